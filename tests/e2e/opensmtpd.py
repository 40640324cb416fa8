# SPDX-License-Identifier: BSD-3-Clause
"""Debian's OpenSMTPD, unpacked into the build directory, on loopback ports.
Routes are (recipient domains, host, port, tls); it never writes a mailbox.
unknown@example.com is refused."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import free_port, listens, until
from unpacked import accounts, in_namespace, namespaces, root_of, unpack

PACKAGES = ["opensmtpd"]

CONFIG = """
smtp max-message-size 50M
smtp limit max-mails 1000
queue ttl 1h
mta limit conn-delay-route 0 conn-delay-relay 0 reconn-delay-route 0 \\
    session-keepalive 1 session-mail-max 1000
{pki}
listen on 127.0.0.1 port {port} {tls}
match from any for rcpt-to "unknown@example.com" reject
{actions}
"""


def missing():
    return namespaces() or unpack("opensmtpd", PACKAGES)


class OpenSmtpd:
    """cert: a PEM file for STARTTLS; ca: whom to believe as a client."""

    def __init__(self, routes, cert=None, ca=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-opensmtpd-"))
        self.dir.chmod(0o755)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.process = None
        binds, _ = accounts(self.dir, ["opensmtpd", "opensmtpq"])
        var = self.dir / "var"
        for part in ("spool/smtpd", "lib/opensmtpd/empty", "run", "log",
                     "tmp"):
            (var / part).mkdir(parents=True)
        (var / "spool/smtpd").chmod(0o711)
        # Whatever the build directory is, it is seen where /var is another.
        self.binds = [(root_of("opensmtpd"), "/mnt"), *binds, (var, "/var")]
        if ca is not None:
            # The directory: the file is there with Debian's authorities alone.
            certs = self.dir / "certs"
            certs.mkdir()
            shutil.copy(ca, certs / "ca-certificates.crt")
            self.binds.append((certs, "/etc/ssl/certs"))
        # No name server is asked: its resolver reads only /etc/hosts.
        resolv = self.dir / "resolv.conf"
        resolv.write_text("lookup file\n")
        self.binds.append((resolv, "/etc/resolv.conf"))
        pki = ""
        if cert is not None:
            pem = self.dir / "cert.pem"
            shutil.copy(cert, pem)
            pem.chmod(0o600)
            pki = f'pki mta.test cert "{pem}"\npki mta.test key "{pem}"'
        self.config = self.dir / "smtpd.conf"
        self.config.write_text(CONFIG.format(
            pki=pki, port=self.port,
            tls="tls pki mta.test" if cert is not None else "",
            actions="\n".join(self.action(i, *r)
                              for i, r in enumerate(routes))))
        self.config.chmod(0o600)

    @staticmethod
    def action(i, domains, host, port, tls):
        proto = "smtp+tls" if tls else "smtp+notls"
        where = ("any" if domains == "*" else
                 "domain { " + ", ".join(f'"{d}"' for d in domains) + " }")
        return (f'action "relay{i}" relay host {proto}://{host}:{port}\n'
                f'match from any for {where} action "relay{i}"')

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.process = subprocess.Popen(
                in_namespace(["/mnt/usr/sbin/smtpd", "-d", "-f", self.config],
                             self.binds),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True)
        until(lambda: listens(self.port) or self.process.poll() is not None,
              "OpenSMTPD to start")
        assert self.process.poll() is None, self.log()
        return self

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def stop(self):
        if self.process is not None:
            # One that ended by itself has been reported by who missed it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)
            self.process = None
        shutil.rmtree(self.dir, ignore_errors=True)
