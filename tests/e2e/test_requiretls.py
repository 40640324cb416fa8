# SPDX-License-Identifier: BSD-3-Clause
"""REQUIRETLS (RFC 8689): offered where weir can keep the promise, carried to
the next hop, kept with held mail, and never let go quietly."""
import email
import re

import pytest

from harness import (FastSink, free_port, hello, message, path_of, serve_smtp,
                     until)
from pki import Pki
from test_tls import starttls

FROM = "a@example.org"
HOLD = ('key = envelope  interval = "1h"  burst = 1  initial = 0\n'
        'exempt_recipients = {"@known.test"}')
PLAIN = ["PIPELINING", "STARTTLS", "8BITMIME", "DSN"]
SECURE = ["PIPELINING", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES",
          "REQUIRETLS"]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def cert(pki):
    return pki.cert("relay", ["relay.weir.test", "127.0.0.1"])


class TlsSink(FastSink):
    """A sink behind STARTTLS that notes each MAIL with the options it had.
    What it offers before and after TLS may be changed while it runs."""

    def __init__(self, context, lmtp=False, on=None, **kw):
        self.context, self.lmtp, self.on = context, lmtp, on or {}
        self.plain, self.secure = list(PLAIN), list(SECURE)
        self.mails = []
        super().__init__(**kw)

    def session(self, peer):
        def start(peer, line):
            peer.say("220 go")
            peer.sock = self.context.wrap_socket(peer.sock, server_side=True)
            peer.file = peer.sock.makefile("rb")
            self.speak(peer, self.secure, {"": lambda p, line: None})
            raise EOFError

        self.speak(peer, self.plain, {"STARTTLS": start})

    def speak(self, peer, extensions, more):
        mail = {}

        def on_mail(peer, line):
            with self.lock:
                self.mails.append(line)
            mail.update({"from": path_of(line), "to": []})

        def on_rcpt(peer, line):
            mail["to"].append(path_of(line))

        def on_lhlo(peer, line):
            for word in ["sink", *extensions][:-1]:
                peer.say(f"250-{word}")
            peer.say(f"250 {extensions[-1]}")
            return True

        def on_end(peer, line):
            text, peer.data = peer.data, b""
            with self.lock:
                self.messages.append((mail["from"], list(mail["to"]), text))
            if not self.lmtp:
                return False
            for _ in mail["to"]:
                peer.say("250 2.0.0 Ok")
            return True

        serve_smtp(peer, extensions, {"MAIL": on_mail, "RCPT": on_rcpt,
                                      ".": on_end, "LHLO": on_lhlo,
                                      **self.on, **more})

    def drop_all(self):
        for peer in self.peers:
            peer.close()


@pytest.fixture
def tls_sink(pki, cert):
    made = []

    def make(**kw):
        made.append(TlsSink(pki.server(cert), **kw))
        return made[-1]

    yield make
    for s in made:
        s.stop()


@pytest.fixture
def relay(weir, pki, cert):
    """A daemon with a STARTTLS listener and a verified next hop."""
    def make(next_hop, tls="verify", **kw):
        port = free_port()
        w = weir(next_hop, **{
            "policy": HOLD, "tls_cert": f'"{cert}"', "next_hop_tls": tls,
            "next_hop_tls_ca": f'"{pki.ca}"',
            "sections": f'listen "tls" {{ address = "127.0.0.1:{port}"  '
                        'tls = may }\n', **kw})
        w.tls_port = port
        return w
    return make


def secure(w, pki):
    peer = starttls(w.tls_port, pki.client())
    code, lines = peer.ask("EHLO client.test")
    assert code == 250, lines
    peer.extensions = lines[1:]
    return peer


def held_with_it(w, pki, to="new@example.com", mail=" REQUIRETLS", text=None):
    peer = secure(w, pki)
    assert "REQUIRETLS" in peer.extensions
    assert peer.transact(FROM, [to], text or message(), mail)[0] == 250
    assert w.held() == [to]
    assert [m["require_tls"] for m in w.queue()] == [True]


def bounce_of(sink):
    until(lambda: [m for m in sink.messages if m[0] == ""], "a bounce")
    return [m for m in sink.messages if m[0] == ""][0]


# ---- who is offered it ----

def test_offered_over_tls_alone(relay, tls_sink, pki):
    w = relay(tls_sink().address)
    assert "REQUIRETLS" in secure(w, pki).extensions
    for port in (w.port, w.tls_port):
        peer = hello(port)
        assert "REQUIRETLS" not in peer.extensions
        assert peer.ask(f"MAIL FROM:<{FROM}> REQUIRETLS")[0] == 555


@pytest.mark.parametrize("level", ["none", "may", "require"])
def test_not_offered_for_a_next_hop_that_is_not_verified(
        relay, tls_sink, pki, level):
    sink = tls_sink()
    sink.plain.append("REQUIRETLS")
    w = relay(sink.address, tls=level)
    peer = secure(w, pki)
    assert "REQUIRETLS" not in peer.extensions
    assert peer.ask(f"MAIL FROM:<{FROM}> REQUIRETLS")[0] == 555
    assert peer.transact(FROM, ["b@known.test"], message())[0] == 250


def test_not_offered_when_the_next_hop_does_not(relay, tls_sink, pki):
    """What it said before TLS does not count."""
    sink = tls_sink()
    sink.plain.append("REQUIRETLS")
    sink.secure.remove("REQUIRETLS")
    w = relay(sink.address)
    assert "REQUIRETLS" not in secure(w, pki).extensions


def test_a_pinned_certificate_counts_as_verified(relay, tls_sink, pki, cert):
    w = relay(tls_sink().address,
              next_hop_tls_fingerprint=f'{{"{pki.fingerprint(cert)}"}}')
    assert "REQUIRETLS" in secure(w, pki).extensions


# ---- in the session ----

def test_goes_through(relay, tls_sink, pki):
    sink = tls_sink()
    w = relay(sink.address)
    peer = secure(w, pki)
    assert peer.transact(FROM, ["b@known.test"], message(),
                         " REQUIRETLS")[0] == 250
    assert peer.transact(FROM, ["b@known.test"], message())[0] == 250
    assert [" REQUIRETLS" in m for m in sink.mails] == [True, False]
    assert peer.ask(f"MAIL FROM:<{FROM}> REQUIRETLS REQUIRETLS")[0] == 501
    assert peer.ask(f"MAIL FROM:<{FROM}> REQUIRETLS=yes")[0] == 501


def test_next_hop_lost_it_in_the_session(relay, tls_sink, pki):
    """Nothing of the message goes to a peer that does not offer it now, and
    the session goes on."""
    sink = tls_sink()
    w = relay(sink.address)
    peer = secure(w, pki)
    sink.secure.remove("REQUIRETLS")
    sink.drop_all()
    assert peer.ask(f"MAIL FROM:<{FROM}> REQUIRETLS")[0] == 250
    for _ in range(2):
        code, lines = peer.ask("RCPT TO:<b@known.test>")
        assert (code, lines[0].split()[0]) == (550, "5.7.30"), lines
    # Nor is what would be held taken, while the next hop can be asked.
    code, lines = peer.ask("RCPT TO:<new@example.com>")
    assert (code, lines[0].split()[0]) == (550, "5.7.30"), lines
    assert peer.ask("RSET")[0] == 250
    assert sink.mails == []
    # A new connection may have it again; this one ends as it should.
    until(lambda: any("QUIT" in p.lines for p in sink.peers), "the QUIT")
    assert peer.transact(FROM, ["b@known.test"], message())[0] == 250
    assert "REQUIRETLS" not in secure(w, pki).extensions


@pytest.mark.parametrize("ehlo, code", [(True, 550), (False, 451)],
                         ids=["EHLO", "HELO"])
def test_tls_was_turned_off_in_the_session(relay, tls_sink, pki, ehlo, code):
    """A next hop that refuses EHLO has not said that it cannot: it may be
    another time."""
    sink = tls_sink()
    sink.plain.append("REQUIRETLS")
    w = relay(sink.address)
    peer = secure(w, pki)
    assert peer.ask(f"MAIL FROM:<{FROM}> REQUIRETLS")[0] == 250
    w.options["next_hop_tls"] = "none"
    del w.options["next_hop_tls_ca"]
    w.write_config()
    w.ctl("reload")
    if not ehlo:
        sink.on["EHLO"] = lambda p, line: p.say("554 5.5.1 busy") or True
    got, lines = peer.ask("RCPT TO:<b@known.test>")
    assert (got, lines[0].split()[0]) == (code, f"{code // 100}.7.10"), lines
    assert sink.mails == []


def test_over_a_login_of_its_own(relay, tls_sink, pki):
    """A connection with the client's login keeps the promise as well."""
    sink = tls_sink(on={"AUTH": lambda p, line: p.say("235 2.7.0 ok") or True})
    sink.secure.append("AUTH PLAIN")
    port = free_port()
    w = relay(sink.address, sections=f'listen "tls" {{ address = '
              f'"127.0.0.1:{port}"  tls = may  auth = pass }}\n')
    w.tls_port = port
    peer = secure(w, pki)
    assert peer.ask("AUTH PLAIN AGFsaWNlAHB3")[0] == 235
    assert peer.transact(FROM, ["b@known.test"], message(),
                         " REQUIRETLS")[0] == 250
    assert " REQUIRETLS" in sink.mails[-1]


# ---- held mail ----

def test_held_and_released(relay, tls_sink, pki):
    sink = tls_sink()
    w = relay(sink.address)
    held_with_it(w, pki)
    w.kill()
    w.launch()
    assert [m["require_tls"] for m in w.queue()] == [True]
    sink.mails.clear()  # of the probe
    w.ctl("release", "--all")
    sink.wait_for(1)
    w.wait_empty()
    assert [" REQUIRETLS" in m for m in sink.mails] == [True]


def test_released_to_a_next_hop_without_it(relay, tls_sink, pki):
    """Returned with the header alone, and the report asks for the same; the
    report of a null sender goes on without it rather than be lost."""
    sink = tls_sink()
    w = relay(sink.address)
    text = message(body="the secret itself")
    held_with_it(w, pki, mail=" REQUIRETLS RET=FULL ENVID=x1", text=text)
    sink.secure.remove("REQUIRETLS")
    sink.mails.clear()
    sink.drop_all()
    w.ctl("release", "--all")
    sender, to, data = bounce_of(sink)
    assert to == [FROM]
    assert b"Status: 5.7.30\r\n" in data
    assert b"REQUIRETLS" in data and b"the secret itself" not in data
    assert b"text/rfc822-headers" in data and b"Subject: hello" in data
    w.wait_empty()
    assert len(sink.mails) == 1 and sink.mails[0].startswith("MAIL FROM:<>")
    assert "REQUIRETLS" not in sink.mails[0]


def test_waits_for_the_next_hop_that_has_it(relay, tls_sink, pki):
    """The second one is asked while the first is away, and has none of it."""
    first, second = tls_sink(), tls_sink()
    second.secure.remove("REQUIRETLS")
    w = relay([first.address, second.address], next_hop_rest='"1s"')
    held_with_it(w, pki)
    peer = secure(w, pki)
    first.stop()
    w.ctl("release", "--all")
    until(lambda: w.log_lines("delivery defer .*REQUIRETLS"), "the wait")
    assert peer.ask(f"MAIL FROM:<{FROM}> REQUIRETLS")[0] == 250
    code, lines = peer.ask("RCPT TO:<b@known.test>")
    assert (code, lines[0].split()[0]) == (451, "4.7.30"), lines
    assert second.mails == [] and w.status()["bounces"] == 0
    peer.close()
    port = int(first.address.rpartition(":")[2])
    again = TlsSink(first.context, address=f"127.0.0.1:{port}")
    try:
        again.wait_for(1)
        w.wait_empty()
        assert " REQUIRETLS" in again.mails[-1]
    finally:
        again.stop()


def test_released_when_tls_was_turned_off(relay, tls_sink, pki):
    sink = tls_sink()
    sink.plain.append("REQUIRETLS")
    w = relay(sink.address)
    held_with_it(w, pki)
    w.options["next_hop_tls"] = "none"
    del w.options["next_hop_tls_ca"]
    w.write_config()
    w.ctl("reload")
    sink.mails.clear()
    w.ctl("release", "--all")
    assert b"Status: 5.7.10\r\n" in bounce_of(sink)[2]
    assert all(m.startswith("MAIL FROM:<>") for m in sink.mails)


def test_waits_while_the_certificate_is_wrong(relay, tls_sink, pki, cert):
    """Not to be verified now is no reason to give it up."""
    sink = tls_sink()
    w = relay(sink.address)
    held_with_it(w, pki)
    sink.mails.clear()
    sink.context = pki.server(pki.cert("other", ["other.test"]))
    sink.drop_all()
    w.ctl("release", "--all")
    until(lambda: w.log_lines("next_hop rest .*TLS"), "the handshake to fail")
    assert sink.mails == [] and w.held() == ["new@example.com"]
    sink.context = pki.server(cert)
    sink.wait_for(1)
    assert " REQUIRETLS" in sink.mails[-1]


def test_bounces_carry_it(relay, tls_sink, pki):
    """Any report on such mail, where the way back offers it."""
    def no(peer, line):
        if "no@example.com" not in line:
            return False
        peer.say("550 5.1.1 nobody")
        return True

    sink = tls_sink()
    w = relay(sink.address)
    held_with_it(w, pki, to="no@example.com", mail=" REQUIRETLS RET=FULL",
                 text=message(body="the secret itself"))
    sink.on["RCPT"] = no
    sink.mails.clear()
    sink.drop_all()
    w.ctl("release", "--all")
    data = bounce_of(sink)[2]
    assert [" REQUIRETLS" in m for m in sink.mails] == [True, True]
    assert b"Status: 5.1.1\r\n" in data and b"secret" not in data


def test_delay_notice_carries_it(relay, tls_sink, pki):
    sink = tls_sink()
    w = relay(sink.address, notify_after='"1s"')
    held_with_it(w, pki)
    sink.mails.clear()
    assert b"Action: delayed" in bounce_of(sink)[2]
    assert [" REQUIRETLS" in m for m in sink.mails] == [True]


def test_lmtp(relay, tls_sink, pki):
    sink = tls_sink(lmtp=True)
    w = relay("lmtp:" + sink.address)
    peer = secure(w, pki)
    assert "REQUIRETLS" in peer.extensions
    assert peer.transact(FROM, ["b@known.test", "new@example.com"], message(),
                         " REQUIRETLS")[0] == 250
    w.ctl("release", "--all")
    sink.wait_for(2)
    assert all(" REQUIRETLS" in m for m in sink.mails)


# ---- TLS-Required: no ----

@pytest.mark.parametrize("tls", ["may", "verify"])
def test_the_header_goes_through_and_weakens_nothing(
        relay, tls_sink, pki, tls):
    """It is about the recipient's policy (RFC 8689 section 3), not about the
    administrator's way to the next hop; and beside REQUIRETLS it is void."""
    sink = tls_sink()
    w = relay(sink.address, tls=tls)
    text = b"TLS-Required: No\r\n" + message()
    peer = secure(w, pki)
    mail = " REQUIRETLS" if tls == "verify" else ""
    assert peer.transact(FROM, ["b@known.test", "new@example.com"], text,
                         mail)[0] == 250
    w.ctl("release", "--all")
    sink.wait_for(2)
    for _, _, data in sink.messages:
        parsed = email.message_from_bytes(data)
        assert parsed["TLS-Required"] == "No"
    assert all(mail in m for m in sink.mails)
    assert not w.log_lines(r"next_hop connect\S* .*tls=none")
    assert re.search(r"tls=TLSv1\.[23]", w.log())
