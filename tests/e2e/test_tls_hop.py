# SPDX-License-Identifier: BSD-3-Clause
"""TLS with the next hop: levels, names, certificates, sessions used again."""
import pytest

from harness import Sink, message, serve_smtp, until
from pki import Pki
from test_tls import FROM, HOLD, ROOMY, TO, cert, pki  # noqa: F401


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
    assert "8BITMIME" in extensions and "SIZE 4998846" in extensions


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
        peer.file.read(1)  # what came with the reply would be an attack
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
    assert w.log_lines("next_hop connect_again .*resumed=yes")


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
        until(lambda: w.log_lines("delivery rest .*expired on"), "an attempt")
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


def test_status_warns_of_the_next_hop(weir, pki, scripted):
    pem = pki.cert("hop-soon", ["127.0.0.1", "hop.test"], days=3)
    hop = scripted(tls_hop(pki, pem))
    w = weir(hop.address, policy=ROOMY, next_hop_tls="require")
    send(w)
    listed = w.status()["expiring_certificates"]
    assert [c["names"] for c in listed] == ["hop.test"]
    assert listed[0]["file"] == hop.address
