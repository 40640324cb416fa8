# SPDX-License-Identifier: BSD-3-Clause
"""TLS with clients and with the next hop."""
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess

import pytest

from harness import Peer, Sink, free_port, hello, message, serve_smtp, until
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
    def make(level, extra="", certs=None, **kw):
        port = free_port()
        w = weir(sections=listen(level, port, extra),
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
    with smtplib.SMTP("127.0.0.1", w.tls_port, timeout=20) as c:
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
    with smtplib.SMTP("127.0.0.1", w.tls_port, timeout=20) as c:
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


def test_implicit(tls_weir, pki, sink):
    w = tls_weir("implicit")
    with smtplib.SMTP_SSL("127.0.0.1", w.tls_port, timeout=20,
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
    until(lambda: w.log_lines('smtp tls_fail .*reason="unsupported protocol'),
          "the reason in the log")


def test_tls_1_2(tls_weir, pki, sink):
    w = tls_weir("implicit")
    context = pki.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with smtplib.SMTP_SSL("127.0.0.1", w.tls_port, context=context,
                          timeout=20) as c:
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
        input="QUIT\n", capture_output=True, text=True, timeout=30)
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
    until(lambda: w.log_lines("maild reload result=done"), "the reload")
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
    until(lambda: w.log_lines("maild reload result=failed kept=old .*"
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
    assert w.log_lines('smtp tls_fail .*reason="no handshake in time"')


def test_garbage_instead_of_a_handshake(tls_weir):
    w = tls_weir("implicit")
    p = Peer.connect(w.tls_port)
    p.say("EHLO me")
    assert p.at_end()
    assert w.log_lines("smtp tls_fail .*reason=")
    # Gone in the midst of it.
    p = Peer.connect(w.tls_port)
    p.send(b"\x16\x03\x01")
    p.close()
    until(lambda: len(w.log_lines("smtp tls_fail")) == 2, "its end")


def test_client_certificate_is_the_user(tls_weir, pki, sink):
    by_ca = pki.cert("carol", ["carol.test"], cn="carol@example.org")
    stranger = Pki(pki.dir / "strangers")
    by_print = stranger.cert("dave", ["dave.test"])
    nobody = stranger.cert("eve", ["eve.test"], cn="carol@example.org")
    w = tls_weir("implicit", extra=f'tls_client_ca = "{pki.ca}"\n'
                 f'tls_client_account = {{"dave@example.org='
                 f'{pki.fingerprint(by_print)}"}}')
    for own in (by_ca, by_print, nobody, None):
        with smtplib.SMTP_SSL("127.0.0.1", w.tls_port, timeout=20,
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
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sink.wait_for(1) == [TO]


# ---- with the next hop ----


def tls_hop(pki, pem, plain=("PIPELINING", "STARTTLS", "SIZE 1000"),
            secure=("PIPELINING", "8BITMIME", "SIZE 5000000"), behind=b"",
            on=None):
    """A scripted next hop with STARTTLS; `behind` is said with its 220."""
    context = pki.server(pem)

    def start(peer, line):
        peer.send(b"220 go\r\n" + behind)
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        peer.sni = getattr(context, "sni", None)
        peer.file = peer.sock.makefile("rb")
        serve_smtp(peer, secure, {"": lambda p, line: None, **(on or {})})
        raise EOFError

    return lambda peer: serve_smtp(peer, plain, {"STARTTLS": start})


def send(w, code=250):
    p = w.hello()
    assert p.ask(f"MAIL FROM:<{FROM}>")[0] == 250
    got, lines = p.ask(f"RCPT TO:<{TO}>")
    if got == 250:
        got, text = p.submit(message())
    else:
        text = " ".join(lines)
    assert got == code, (got, text)
    return text


@pytest.mark.parametrize("level", ["may", "require", "verify"])
def test_hop_levels(weir, pki, cert, scripted, level):
    hop = scripted(tls_hop(pki, cert))
    w = weir(hop.address, policy=ROOMY, next_hop_tls=level,
             next_hop_tls_ca=f'"{pki.ca}"')
    send(w)
    yes = "yes" if level == "verify" else "no"
    assert w.log_lines(f"next_hop connect .*tls=TLSv1.3 .*verified={yes}")


def test_hop_caps_are_learnt_again(weir, pki, cert, scripted):
    """What it offered in plain may not have been its own words."""
    hop = scripted(tls_hop(pki, cert))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="require")
    extensions = w.hello().extensions
    assert "8BITMIME" in extensions and "SIZE 5000000" in extensions


def test_hop_without_starttls(weir, pki, scripted):
    hop = scripted(serve_smtp)
    w = weir(hop.address, policy=ROOMY, next_hop_tls="may")
    send(w)
    w = weir(hop.address, policy=ROOMY, next_hop_tls="require")
    assert "STARTTLS is not offered" in send(w, 451)
    assert w.log_lines("next_hop rest .*STARTTLS is not offered")


def test_hop_refuses_starttls(weir, pki, cert, scripted):
    def refuse(peer, line):
        peer.say("454 4.7.0 not now")
        return True

    hop = scripted(lambda p: serve_smtp(p, ["STARTTLS"],
                                        {"STARTTLS": refuse}))
    send(weir(hop.address, policy=ROOMY, next_hop_tls="may"))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="require")
    assert "STARTTLS was refused" in send(w, 451)


def check_untrusted(weir, scripted, pki, pem, words, **options):
    hop = scripted(tls_hop(pki, pem))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="verify",
             **{"next_hop_tls_ca": f'"{pki.ca}"', **options})
    text = send(w, 451)
    for word in words:
        assert word in text, text
        assert any(word in line for line in w.log_lines("next_hop rest")), \
            w.log()


def test_hop_certificate_expired(weir, pki, scripted):
    pem = pki.cert("expired", ["127.0.0.1", "expired.test"], days=-1)
    check_untrusted(weir, scripted, pki, pem,
                    ["certificate of 127.0.0.1", "expired on 20"])


def test_hop_certificate_of_another(weir, pki, scripted):
    pem = pki.cert("wrong", ["wrong.test"])
    check_untrusted(weir, scripted, pki, pem, ["is for wrong.test",
                                               "expected 127.0.0.1"])


def test_hop_certificate_of_no_trusted_ca(weir, pki, scripted):
    pem = Pki(pki.dir / "untrusted").cert("x", ["127.0.0.1"])
    check_untrusted(weir, scripted, pki, pem, ["is not trusted", "local"])


def test_hop_name_and_sni(weir, pki, scripted):
    pem = pki.cert("mx", ["mx.weir.test"])
    context, seen = pki.server(pem), []
    context.sni_callback = lambda sock, name, ctx: seen.append(name)

    def start(peer, line):
        peer.say("220 go")
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        peer.file = peer.sock.makefile("rb")
        serve_smtp(peer, ["SIZE"], {"": lambda p, line: None})
        raise EOFError

    hop = scripted(lambda p: serve_smtp(p, ["STARTTLS"], {"STARTTLS": start}))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="verify",
             next_hop_tls_ca=f'"{pki.ca}"', next_hop_tls_name='"mx.weir.test"')
    send(w)
    assert "mx.weir.test" in seen


def test_hop_fingerprint(weir, pki, scripted):
    pem = pki.cert("pinned", ["whoever.test"], days=-1)
    hop = scripted(tls_hop(pki, pem))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="verify",
             next_hop_tls_fingerprint=f'{{"{pki.fingerprint(pem)}"}}')
    send(w)
    assert w.log_lines("next_hop connect .*verified=yes")
    check_untrusted(weir, scripted, pki, pki.cert("else", ["127.0.0.1"]),
                    ["none of the expected fingerprints"],
                    next_hop_tls_fingerprint=f'{{"{pki.fingerprint(pem)}"}}')


def test_hop_handshake_fails_with_may(weir, scripted):
    """Only wished for: a handshake that fails is followed by plain."""
    def broken(peer, line):
        peer.say("220 go")
        peer.send(b"this is no handshake at all\r\n" * 3)
        peer.file.read(1)
        raise EOFError

    hop = scripted(lambda p: serve_smtp(p, ["STARTTLS"],
                                        {"STARTTLS": broken}))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="may")
    send(w)
    assert w.log_lines("next_hop plain .*reason=")
    w = weir(hop.address, policy=ROOMY, next_hop_tls="require")
    send(w, 451)


def test_hop_handshake_deadline(weir, scripted):
    def silent(peer, line):
        peer.say("220 go")
        while peer.file.read(1):
            pass
        raise EOFError

    hop = scripted(lambda p: serve_smtp(p, ["STARTTLS"],
                                        {"STARTTLS": silent}))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="require",
             tls_timeout='"1s"')
    assert "no handshake in time" in send(w, 451)


def test_hop_implicit(weir, pki, cert):
    sink = Sink(ssl_context=pki.server(cert)).start()
    try:
        w = weir(sink.address, policy=ROOMY, next_hop_tls="verify",
                 next_hop_tls_ca=f'"{pki.ca}"', next_hop_tls_implicit="true")
        send(w)
        assert len(sink.messages) == 1
    finally:
        sink.stop()


def test_hop_session_is_reused(weir, pki, cert, scripted):
    hop = scripted(tls_hop(pki, cert))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="verify",
             next_hop_tls_ca=f'"{pki.ca}"', next_hop_idle=0,
             log_level="debug")
    for _ in range(3):
        send(w)
    assert w.log_lines("next_hop connect .*resumed=yes")


def test_held_mail_waits_for_a_good_certificate(weir, pki, cert):
    """Released mail is not sent to who cannot be trusted, and goes when he
    can."""
    bad = pki.cert("late", ["127.0.0.1"], days=-1)
    sink = Sink(tls_context=pki.server(bad), require_starttls=True).start()
    port = sink.port
    try:
        w = weir(sink.address, policy=HOLD, next_hop_tls="verify",
                 next_hop_tls_ca=f'"{pki.ca}"', verify_held="false",
                 retry_min='"1s"', retry_max='"1s"')
        send(w)
        assert w.held() == [TO]
        w.ctl("release", "--all")
        until(lambda: w.log_lines("expired on"), "an attempt")
        assert w.held() == [TO] and sink.messages == []
        sink.stop()
        sink = Sink(port, tls_context=pki.server(cert),
                    require_starttls=True).start()
        assert sink.wait_for(1) == [TO]
        w.wait_empty()
    finally:
        sink.stop()


def test_reload_changes_the_level(weir, pki, cert):
    """Connections kept from before the reload are not used on."""
    sink = Sink(tls_context=pki.server(cert)).start()
    try:
        w = weir(sink.address, policy=ROOMY)
        send(w)
        w.options["next_hop_tls"] = "require"
        w.write_config()
        w.ctl("reload")
        send(w)
        assert w.log_lines("next_hop connect .*tls=TLSv1.3") or \
            w.log_lines("tls_sessions")
    finally:
        sink.stop()


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
    assert w.log_lines("maild certificate .*names=soon.test days_left=12")
    assert w.log_lines("maild certificate .*names=past.test expired_days=")


def test_status_warns_of_the_next_hop(weir, pki, scripted):
    pem = pki.cert("hop-soon", ["127.0.0.1", "hop.test"], days=3)
    hop = scripted(tls_hop(pki, pem))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="require")
    send(w)
    listed = w.status()["expiring_certificates"]
    assert [c["names"] for c in listed] == ["hop.test"]
    assert listed[0]["file"] == hop.address


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
    with smtplib.SMTP("127.0.0.1", front.port, timeout=20) as c:
        for i in range(5):
            c.sendmail(FROM, [TO], message(subject=str(i)))
    behind.wait_for(5)
    raw = behind.raw()[0]
    assert raw.count(b"with ESMTPS") == 2, raw  # to weir, and from weir
    assert b"using TLSv1.3" in raw
    assert w.log_lines("next_hop connect .*verified=yes")
