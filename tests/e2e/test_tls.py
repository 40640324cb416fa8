# SPDX-License-Identifier: BSD-3-Clause
"""TLS with clients, and with a Postfix on either side."""
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess

import pytest

from harness import DEADLINE_S, Peer, Sink, free_port, hello, message, until
from pki import Pki
from postfix import Postfix

FROM, TO = "alice@example.org", "bob@example.com"
ROOMY = 'interval = "1h"  burst = 100  initial = 100'
HOLD = 'interval = "1h"  burst = 1  initial = 0'


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def cert(pki):
    return pki.cert("relay", ["relay.weir.test", "127.0.0.1"])


def listen(level, port, extra=""):
    return (f'listen "{level}" {{ address = "127.0.0.1:{port}"\n'
            f'tls = {level}\n{extra} }}\n')


@pytest.fixture
def tls_weir(weir, cert):
    """A daemon with one listener of a level; .tls_port is its port."""
    def make(level, extra="", certs=None, sections_more="", **kw):
        port = free_port()
        w = weir(sections=listen(level, port, extra) + sections_more,
                 **{"policy": ROOMY,
                    "tls_cert": "{" + ", ".join(f'"{c}"' for c in
                                                certs or [cert]) + "}", **kw})
        w.tls_port = port
        return w
    return make


def starttls(port, context, name="relay.weir.test"):
    """A raw session after STARTTLS, before any EHLO in it."""
    peer = hello(port)
    assert peer.ask("STARTTLS")[0] == 220
    peer.sock = context.wrap_socket(peer.sock, server_hostname=name)
    peer.file = peer.sock.makefile("rb")
    return peer


def names_of(sock):
    return {n for _, n in sock.getpeercert()["subjectAltName"]}


# ---- with clients ----


def test_starttls(tls_weir, pki, sink):
    w = tls_weir("may")
    with smtplib.SMTP("127.0.0.1", w.tls_port, timeout=DEADLINE_S) as c:
        c.ehlo()
        assert c.has_extn("starttls")
        c._host = "relay.weir.test"
        c.starttls(context=pki.client())
        c.ehlo()
        assert not c.has_extn("starttls")
        c.sendmail(FROM, [TO], message())
    text = sink.messages[0][2]
    assert b" with ESMTPS id " in text and b"\ttls TLS_AES_" in text
    assert w.log_lines("smtp tls .*tls=TLSv1.3 cipher=TLS_AES")
    assert w.log_lines("smtp message .*tls=TLSv1.3 cipher=TLS_AES")
    assert w.status()["tls_sessions"] == 1


def test_plain_is_as_before(tls_weir, sink):
    w = tls_weir("may")
    with smtplib.SMTP("127.0.0.1", w.tls_port, timeout=DEADLINE_S) as c:
        c.sendmail(FROM, [TO], message())
    assert b" with ESMTP id " in sink.messages[0][2]
    assert "STARTTLS" not in w.hello().extensions
    p = w.hello()
    assert p.ask("STARTTLS")[0] == 502
    assert w.log_lines("smtp message .*tls=none")


def test_utf8_over_tls(tls_weir, pki, sink):
    w = tls_weir("may")
    p = starttls(w.tls_port, pki.client())
    p.ask("EHLO me")
    p.transact("jörg@example.org", [TO], message(), mail=" SMTPUTF8")
    assert b" with UTF8SMTPS id " in sink.messages[0][2]


def test_require(tls_weir, pki, sink):
    w = tls_weir("require")
    p = hello(w.tls_port)
    assert "STARTTLS" in p.extensions
    for command in (f"MAIL FROM:<{FROM}>", f"RCPT TO:<{TO}>", "DATA",
                    "RSET", "VRFY x"):
        assert p.ask(command)[0] == 530, command
    assert p.ask("NOOP")[0] == 250
    assert p.ask("QUIT")[0] == 221
    p = starttls(w.tls_port, pki.client())
    assert p.ask("EHLO me")[0] == 250
    assert p.transact(FROM, [TO], message())[0] == 250
    assert len(sink.messages) == 1


def s_client(port, *options):
    """The version that openssl's own client ends up with; None: no session."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls",
         "smtp", "-brief", *options], input=b"QUIT\r\n",
        capture_output=True, timeout=DEADLINE_S, check=False)
    found = [line.split(b": ")[1] for line in done.stderr.splitlines()
             if line.startswith(b"Protocol version: ")]
    return found[0].decode() if found else None


OLD = ["-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"]


def test_old_tls_only_where_it_is_asked_for(tls_weir):
    port = free_port()
    w = tls_weir("may", sections_more=listen(
        "require", port, 'tls_min_version = "1.0"'))
    assert s_client(port, *OLD) == "TLSv1"
    assert s_client(port, "-tls1_2") == "TLSv1.2"
    assert s_client(port) == "TLSv1.3"
    assert s_client(w.tls_port, *OLD) is None
    assert s_client(w.tls_port, "-tls1_2") == "TLSv1.2"


def test_new_tls_alone(tls_weir):
    w = tls_weir("may", 'tls_min_version = "1.3"')
    assert s_client(w.tls_port, "-tls1_2") is None
    assert s_client(w.tls_port) == "TLSv1.3"


def test_implicit(tls_weir, pki, sink):
    w = tls_weir("implicit")
    with smtplib.SMTP_SSL("127.0.0.1", w.tls_port, timeout=DEADLINE_S,
                          context=pki.client()) as c:
        c.ehlo()
        assert not c.has_extn("starttls")
        c.sendmail(FROM, [TO], message())
        assert c.docmd("STARTTLS")[0] == 503
    assert b" with ESMTPS id " in sink.messages[0][2]


def test_implicit_with_greeting_delay(tls_weir, pki):
    w = tls_weir("implicit", greeting_delay='"300ms"')
    with socket.create_connection(("127.0.0.1", w.tls_port)) as s:
        s.settimeout(20)
        with pki.client().wrap_socket(
                s, server_hostname="relay.weir.test") as t:
            assert t.recv(100).startswith(b"220 ")
    with socket.create_connection(("127.0.0.1", w.tls_port)) as s:
        s.settimeout(20)
        with pki.client().wrap_socket(
                s, server_hostname="relay.weir.test") as t:
            t.sendall(b"EHLO bot\r\n")
            assert t.recv(100).startswith(b"554 ")


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_are_refused(tls_weir, pki, version):
    w = tls_weir("implicit")
    context = pki.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = getattr(ssl.TLSVersion, version)
    with socket.create_connection(("127.0.0.1", w.tls_port)) as s:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(s, server_hostname="relay.weir.test")
    until(lambda: w.log_lines('smtp tls_failed .*reason="unsupported protocol'),
          "the reason in the log")


def test_tls_1_2(tls_weir, pki, sink):
    w = tls_weir("implicit")
    context = pki.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with smtplib.SMTP_SSL("127.0.0.1", w.tls_port, context=context,
                          timeout=DEADLINE_S) as c:
        c.sendmail(FROM, [TO], message())
    assert w.log_lines("smtp message .*tls=TLSv1.2 cipher=TLS_ECDHE_ECDSA")


def test_no_renegotiation(tls_weir, pki):
    w = tls_weir("implicit")
    out = w.dir / "s_client.out"
    with open(out, "wb") as f:
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{w.tls_port}",
             "-tls1_2", "-CAfile", pki.ca, "-crlf"], stdin=subprocess.PIPE,
            stdout=f, stderr=f)
    until(lambda: b"220 relay" in out.read_bytes(), "the greeting")
    client.stdin.write(b"R\n")  # s_client's own command
    client.stdin.flush()
    assert client.wait(20) != 0
    assert b"no renegotiation" in out.read_bytes()
    client.stdin.close()
    assert w.ctl("status")


def test_openssl_s_client(tls_weir, pki):
    w = tls_weir("may")
    done = subprocess.run(
        ["openssl", "s_client", "-starttls", "smtp", "-connect",
         f"127.0.0.1:{w.tls_port}", "-CAfile", pki.ca, "-verify_return_error",
         "-verify_hostname", "relay.weir.test", "-crlf", "-quiet"],
        input="QUIT\n", capture_output=True, text=True, timeout=DEADLINE_S)
    assert "221" in done.stdout, done


def test_session_tickets(tls_weir, pki):
    w = tls_weir("implicit")
    context, session = pki.client(), None
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", w.tls_port)) as s:
            with context.wrap_socket(s, server_hostname="relay.weir.test",
                                     session=session) as t:
                assert t.recv(100).startswith(b"220")
                t.sendall(b"QUIT\r\n")
                assert t.recv(100).startswith(b"221")
                session = t.session
                reused = t.session_reused
    assert reused
    assert w.log_lines("smtp tls .*resumed=yes")


def test_certificate_by_server_name(tls_weir, pki, cert):
    other = pki.cert("other", ["mail.other.test", "*.wild.test"])
    w = tls_weir("implicit", certs=[cert, other])
    for name, expected in (("mail.other.test", "mail.other.test"),
                           ("a.wild.test", "mail.other.test"),
                           ("relay.weir.test", "relay.weir.test")):
        with socket.create_connection(("127.0.0.1", w.tls_port)) as s:
            with pki.client().wrap_socket(s, server_hostname=name) as t:
                assert expected in names_of(t)
    context = pki.client()
    context.check_hostname = False
    with socket.create_connection(("127.0.0.1", w.tls_port)) as s:
        with context.wrap_socket(s) as t:
            assert "relay.weir.test" in names_of(t)


def test_key_files_and_own_certificates(tls_weir, pki, cert):
    """A listener's own certificate, with its key in a file of its own."""
    pki.cert("own", ["own.weir.test"])
    w = tls_weir("implicit", extra=f'tls_cert = {{"{pki.dir}/own.crt"}}\n'
                 f'tls_key = {{"{pki.dir}/own.key"}}')
    with socket.create_connection(("127.0.0.1", w.tls_port)) as s:
        with pki.client().wrap_socket(s,
                                      server_hostname="own.weir.test") as t:
            assert "own.weir.test" in names_of(t)


def test_reload_in_an_open_session(tls_weir, pki, sink, tmp_path):
    file = tmp_path / "served.pem"
    shutil.copy(pki.cert("one", ["one.test"]), file)
    w = tls_weir("may", certs=[file])
    p = starttls(w.tls_port, pki.client(), "one.test")
    assert p.ask("EHLO me")[0] == 250
    assert p.ask(f"MAIL FROM:<{FROM}>")[0] == 250
    in_handshake = hello(w.tls_port)
    assert in_handshake.ask("STARTTLS")[0] == 220

    shutil.copy(pki.cert("two", ["two.test"]), file)
    w.process.send_signal(signal.SIGHUP)
    until(lambda: w.log_lines("info maild reload file="), "the reload")
    assert names_of(starttls(w.tls_port, pki.client(),
                             "two.test").sock) == {"two.test"}
    # The sessions from before go on, in the handshake and in a transaction.
    sock = pki.client().wrap_socket(in_handshake.sock,
                                    server_hostname="one.test")
    assert names_of(sock) == {"one.test"}
    assert p.ask(f"RCPT TO:<{TO}>")[0] == 250
    assert p.submit(message())[0] == 250
    assert len(sink.messages) == 1

    file.write_text("not a certificate")
    w.process.send_signal(signal.SIGHUP)
    until(lambda: w.log_lines("maild reload_failed .*"
                              "served.pem.*cannot be read"), "the refusal")
    assert names_of(starttls(w.tls_port, pki.client(),
                             "two.test").sock) == {"two.test"}
    assert p.transact(FROM, [TO], message())[0] == 250


def test_bad_certificates_at_the_start(weir, pki, cert, tmp_path):
    other = pki.cert("stranger", ["stranger.test"])
    cases = [
        ({}, "there is no certificate"),
        ({"tls_cert": f'{{"{tmp_path}/none.pem"}}'}, "none.pem"),
        ({"tls_cert": f'{{"{cert}"}}', "tls_key": f'{{"{other}"}}'},
         "key values mismatch"),
        ({"tls_cert": f'{{"{cert}", "{other}"}}',
          "tls_key": f'{{"{cert}"}}'}, "as many keys"),
    ]
    for options, words in cases:
        w = weir(start=False, sections=listen("may", free_port()), **options)
        w.write_config()
        w.spawn()
        assert w.process.wait(20) == 78, w.log()
        w.process = None
        assert words in w.log() and "weir.conf:" in w.log()


def test_handshake_has_a_deadline(tls_weir):
    w = tls_weir("implicit", tls_timeout='"1s"')
    silent = Peer.connect(w.tls_port)
    assert silent.at_end()
    assert w.log_lines('smtp tls_failed .*reason="no handshake in time"')


def test_garbage_instead_of_a_handshake(tls_weir):
    w = tls_weir("implicit")
    p = Peer.connect(w.tls_port)
    p.say("EHLO me")
    assert p.at_end()
    assert w.log_lines("smtp tls_failed .*reason=")
    # Gone in the midst of it.
    p = Peer.connect(w.tls_port)
    p.send(b"\x16\x03\x01")
    p.close()
    until(lambda: len(w.log_lines("smtp tls_failed")) == 2, "its end")


def test_client_certificate_is_the_user(tls_weir, pki, sink):
    by_ca = pki.cert("carol", ["carol.test"], cn="carol@example.org")
    stranger = Pki(pki.dir / "strangers")
    by_print = stranger.cert("dave", ["dave.test"])
    nobody = stranger.cert("eve", ["eve.test"], cn="carol@example.org")
    w = tls_weir("implicit", extra=f'tls_client_ca = "{pki.ca}"\n'
                 f'tls_client_account = {{"dave@example.org='
                 f'{pki.fingerprint(by_print)}"}}')
    for own in (by_ca, by_print, nobody, None):
        with smtplib.SMTP_SSL("127.0.0.1", w.tls_port, timeout=DEADLINE_S,
                              context=pki.client(own)) as c:
            c.sendmail(FROM, [TO], message())
    senders = {s["sender"] for s in w.ctl("senders")}
    assert senders == {"carol@example.org", "dave@example.org",
                       "[127.0.0.1]"}


def test_large_message_both_ways(tls_weir, pki, cert):
    sink = Sink(tls_context=pki.server(cert)).start()
    try:
        w = tls_weir("may", next_hop=sink.address, next_hop_tls="require")
        text = message(body="\r\n".join("%070d" % i for i in range(90000)))
        p = starttls(w.tls_port, pki.client())
        p.ask("EHLO me")
        assert p.transact(FROM, [TO], text)[0] == 250
        got = sink.messages[0][2]
        assert got.endswith(text[text.index(b"From:"):])
    finally:
        sink.stop()


def test_a_byte_at_a_time(tls_weir, pki, sink):
    w = tls_weir("may")
    p = starttls(w.tls_port, pki.client())
    p.ask("EHLO me")
    for c in f"MAIL FROM:<{FROM}>\r\nRCPT TO:<{TO}>\r\n":
        p.send(c)
    assert (p.reply()[0], p.reply()[0]) == (250, 250)
    # Replies and text in many small records at once.
    p.send("NOOP\r\n" * 30)
    assert [p.reply()[0] for _ in range(30)] == [250] * 30
    assert p.submit(message())[0] == 250


def test_swaks(tls_weir, pki, sink):
    w = tls_weir("require")
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(w.tls_port), "--tls",
         "--tls-ca-path", pki.ca, "--tls-verify", "--from", FROM, "--to", TO],
        capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sink.wait_for(1) == [TO]


# ---- status ----


def test_status_warns_of_expiry(tls_weir, pki, weir, cert):
    soon = pki.cert("soon", ["soon.test"], days=13)
    past = pki.cert("past", ["past.test"], days=-1)
    later = pki.cert("later", ["later.test"], days=15)
    w = tls_weir("may", certs=[later, soon, past])
    listed = {c["names"]: c for c in w.status()["expiring_certificates"]}
    assert set(listed) == {"soon.test", "past.test"}
    assert listed["past.test"]["expired"]
    assert not listed["soon.test"]["expired"]
    assert listed["soon.test"]["file"] == str(soon)
    text = w.run_ctl("status").stdout
    assert f"the certificate of soon.test ({soon}) expires 20" in text
    assert f"the certificate of past.test ({past}) expired 20" in text
    assert w.log_lines("maild certificate .*names=soon.test expires=20")
    assert w.log_lines("maild certificate .*names=past.test expires=20")


# ---- Postfix ----


@pytest.fixture
def postfix():
    made = []

    def make(name, main="", **kw):
        p = Postfix(name, **kw)
        with (p.dir / "etc/main.cf").open("a") as f:
            f.write(main)
        made.append(p)
        return p.start()

    yield make
    for p in made:
        p.stop()


def test_postfix_in_front_and_behind(tls_weir, pki, cert, postfix):
    behind = postfix("behind.weir.test", main=f"""
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {cert}
smtpd_tls_received_header = yes
""")
    w = tls_weir("require", next_hop=behind.address, next_hop_tls="verify",
                 next_hop_tls_ca=f'"{pki.ca}"')
    front = postfix("front.weir.test", local=False,
                    relayhost=f"[127.0.0.1]:{w.tls_port}", main=f"""
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = relay.weir.test
smtp_tls_CAfile = {pki.ca}
""")
    with smtplib.SMTP("127.0.0.1", front.port, timeout=DEADLINE_S) as c:
        for i in range(5):
            c.sendmail(FROM, [TO], message(subject=str(i)))
    behind.wait_for(5)
    raw = behind.raw()[0]
    assert raw.count(b"with ESMTPS") == 2, raw  # to weir, and from weir
    assert b"using TLSv1.3" in raw
    assert w.log_lines("next_hop connect .*verified=yes")
