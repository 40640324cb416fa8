# SPDX-License-Identifier: BSD-3-Clause
"""Certificates of a listener: several kinds of key for one name, and clients
that must show one of their own."""
import socket
import ssl
import subprocess

import pytest

from harness import DEADLINE_S, free_port, hello, message, until
from pki import Pki, openssl
from test_tls import listen, starttls

FROM, TO = "alice@example.org", "bob@example.com"
ROOMY = 'interval = "1h"  burst = 100  initial = 100'


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def pairs(pki):
    return {"ec": pki.cert("ec", ["relay.weir.test", "127.0.0.1"]),
            "rsa": pki.cert("rsa", ["relay.weir.test"], rsa=True),
            "ec2": pki.cert("ec2", ["mail.other.test"]),
            "rsa2": pki.cert("rsa2", ["mail.other.test", "more.test"],
                             rsa=True)}


@pytest.fixture
def tls_weir(weir):
    def make(certs, level="implicit", extra="", **kw):
        port = free_port()
        w = weir(sections=listen(level, port, extra), policy=ROOMY,
                 tls_cert="{" + ", ".join(f'"{c}"' for c in certs) + "}", **kw)
        w.tls_port = port
        return w
    return make


def shown(pki, port, name, ciphers):
    """The cipher that a TLS 1.2 client gets who can verify one kind alone."""
    context = pki.client(verify=name is not None)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with socket.create_connection(("127.0.0.1", port)) as s:
        with context.wrap_socket(s, server_hostname=name) as t:
            return t.cipher()[0]


def shown_1_3(pki, port, name, algorithms):
    out = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3",
         "-CAfile", pki.ca, "-servername", name, "-sigalgs", algorithms],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=DEADLINE_S)
    return [line for line in out.stdout.splitlines()
            if line.startswith("Peer signature type")]


@pytest.mark.parametrize("order", [["ec", "ec2", "rsa", "rsa2"],
                                   ["rsa", "rsa2", "ec", "ec2"]])
def test_both_kinds_for_one_name(tls_weir, pki, pairs, order):
    w = tls_weir([pairs[k] for k in order])
    for name in ("relay.weir.test", "mail.other.test", None):
        for kind in ("ECDSA", "RSA"):
            assert f"-{kind}-" in shown(pki, w.tls_port, name,
                                        f"ECDHE+a{kind}"), (name, kind)
    # One kind alone has this name.
    assert "-RSA-" in shown(pki, w.tls_port, "more.test", "ECDHE")
    assert shown_1_3(pki, w.tls_port, "mail.other.test",
                     "ECDSA+SHA256") == ["Peer signature type: ECDSA"]
    assert shown_1_3(pki, w.tls_port, "mail.other.test",
                     "RSA-PSS+SHA256") == ["Peer signature type: RSA-PSS"]


# ---- client certificates ----

@pytest.fixture(scope="module")
def clients(pki, tmp_path_factory):
    other = Pki(tmp_path_factory.mktemp("other"))
    own = pki.dir / "self.pem"
    openssl("req", "-x509", *pki.new_key(pki.dir / "self.key"), "-out",
            pki.dir / "self.crt", "-days", 90, "-subj", "/CN=self")
    own.write_text((pki.dir / "self.key").read_text() +
                   (pki.dir / "self.crt").read_text())
    return {"known": pki.cert("known", ["known.test"], cn="carol"),
            "expired": pki.cert("old", ["old.test"], days=-1, cn="carol"),
            "strange": other.cert("strange", ["known.test"], cn="carol"),
            "pinned": own, None: None}


def try_mail(w, pki, cert):
    """True: mail was taken. A TLS 1.3 client hears of it at its first read."""
    try:
        p = starttls(w.tls_port, pki.client(cert))
        assert p.ask("EHLO me")[0] == 250
        return p.transact(FROM, [TO], message())[0] == 250
    except (OSError, EOFError):
        return False


@pytest.mark.parametrize("kind,taken", [
    ("known", True), ("pinned", True), ("expired", False),
    ("strange", False), (None, False)])
def test_client_certificate_is_required(tls_weir, pki, pairs, clients, kind,
                                        taken):
    w = tls_weir([pairs["ec"]], "require",
                 'tls_client_cert = require\n'
                 f'tls_client_ca = "{pki.ca}"\n'
                 'tls_client_account = {"dave='
                 f'{pki.fingerprint(clients["pinned"])}"}}')
    assert try_mail(w, pki, clients[kind]) == taken
    senders = {s["sender"] for s in w.ctl("senders")}
    if taken:
        assert senders == {"carol" if kind == "known" else "dave"}
    else:
        assert senders == set()
        until(lambda: w.log_lines("smtp tls_failed .*certificate"), "why")
    # Nor is there a way round it without TLS.
    p = hello(w.tls_port)
    assert p.ask(f"MAIL FROM:<{FROM}>")[0] == 530


def test_client_certificate_is_asked_for(tls_weir, pki, pairs, clients):
    w = tls_weir([pairs["ec"]], "require", f'tls_client_ca = "{pki.ca}"')
    for kind in ("known", "strange", None):
        assert try_mail(w, pki, clients[kind])


@pytest.mark.parametrize("level,extra,words", [
    ("require", "", "tls_client_ca or tls_client_account"),
    ("may", 'tls_client_ca = "{ca}"', "set tls to require or implicit")])
def test_required_of_nobody_is_an_error(weir, pki, pairs, level, extra,
                                        words):
    w = weir(start=False, tls_cert=f'"{pairs["ec"]}"', sections=listen(
        level, free_port(), "tls_client_cert = require\n" +
        extra.format(ca=pki.ca)))
    w.write_config()
    done = subprocess.run([w.command, "-t", "-c", w.config],
                          capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 78 and words in done.stderr
