# SPDX-License-Identifier: BSD-3-Clause
"""Certificates made by the test itself, with the openssl program."""
import pathlib
import ssl
import subprocess


def openssl(*args, **kw):
    return subprocess.run(["openssl", *map(str, args)], check=True,
                          capture_output=True, text=True, timeout=60, **kw)


class Pki:
    """An authority and what it signs."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.ca = self.dir / "ca.pem"
        self.ca_key = self.dir / "ca.key"
        openssl("req", "-x509", *self.new_key(self.ca_key), "-out", self.ca,
                "-days", 100, "-subj", "/CN=weir test CA")

    @staticmethod
    def new_key(path, rsa=False):
        kind = (["rsa:2048"] if rsa else
                ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        return ["-newkey", *kind, "-nodes", "-keyout", path]

    def cert(self, file, names, days=90, cn=None, rsa=False):
        """PEM file with certificate and key; days may be negative."""
        key, csr, ext, out = (self.dir / f"{file}.{end}"
                              for end in ("key", "csr", "ext", "crt"))
        openssl("req", *self.new_key(key, rsa), "-out", csr, "-subj",
                f"/CN={cn or names[0]}")
        ext.write_text("subjectAltName=" + ",".join(
            ("IP:" if n[0].isdigit() else "DNS:") + n for n in names))
        openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey",
                self.ca_key, "-CAcreateserial", "-days", days, "-extfile",
                ext, "-out", out)
        pem = self.dir / f"{file}.pem"
        pem.write_text(key.read_text() + out.read_text())
        return pem

    @staticmethod
    def fingerprint(pem):
        out = openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", pem)
        return out.stdout.strip().rpartition("=")[2]

    def client(self, cert=None, verify=True):
        """A context for who connects."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if cert is not None:
            context.load_cert_chain(cert)
        return context

    @staticmethod
    def server(pem):
        """A context for who listens."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context
