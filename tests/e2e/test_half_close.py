# SPDX-License-Identifier: BSD-3-Clause
"""A client that has said all and closes its side (nc -N, a script) hears the
answers to what it sent; one that is gone holds nothing up. Whatever becomes of
it, its message is passed on once."""
import contextlib
import socket
import ssl
import struct
import threading

import pytest

from harness import DEADLINE_S, Peer, message, serve_smtp, until
from pki import Pki

HOLD = ('key = envelope  interval = "1h"  burst = 1  initial = 0\n'
        'exempt_recipients = {"@known.test"}')
GREETED = ["220", "250"]
PASSED = ["MAIL FROM:<a@example.org>", "RCPT TO:<b@known.test>"]


class Gate:
    """A next hop that answers the command `at` when it is told to."""

    def __init__(self, scripted, at=None, reply=None):
        self.at, self.text = at, reply
        self.go, self.reached = threading.Event(), threading.Event()
        self.messages = []
        self.server = scripted(self.session)
        self.address = self.server.address

    def session(self, peer):
        def wait(peer, line):
            self.reached.set()
            assert self.go.wait(30)
            if self.text is None:
                return False
            peer.say(self.text)
            return True

        def end(peer, line):
            self.messages.append(peer.data)
            peer.data = b""
            return self.at == "." and wait(peer, line)

        on = {".": end}
        if self.at not in (None, "."):
            on[self.at] = wait
        serve_smtp(peer, on=on)


def half_close(peer, lines=()):
    """Says all of it in one go, and that it is all."""
    if lines:
        peer.send("".join(f"{line}\r\n" for line in lines))
    peer.sock.shutdown(socket.SHUT_WR)


def reset(peer):
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
    peer.file.close()
    peer.sock.close()


def rest(peer):
    """The codes that come until weir closes, which it does."""
    codes = []
    with contextlib.suppress(EOFError):
        while True:
            codes.append(peer.reply())
    return [(code, lines[0].split()[0]) for code, lines in codes]


def at_data(w, *recipients):
    peer = w.hello()
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    for address in recipients:
        assert peer.ask(f"RCPT TO:<{address}>")[0] == 250
    assert peer.ask("DATA")[0] == 354
    return peer


def no_session(w):
    until(lambda: w.status()["sessions_open"] == 0, "the session's end")


class TlsClient:
    """TLS whose two directions end one by one, which ssl.SSLSocket cannot."""

    def __init__(self, context, sock):
        self.sock, self.text = sock, b""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing,
                                    server_hostname="relay.weir.test")
        self.go_on(self.tls.do_handshake)

    def flush(self):
        self.sock.sendall(self.outgoing.read())

    def go_on(self, fn, *args):
        while True:
            try:
                return fn(*args)
            except ssl.SSLWantReadError:
                self.flush()
                data = self.sock.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            finally:
                self.flush()

    def say(self, lines):
        self.go_on(self.tls.write,
                   "".join(f"{line}\r\n" for line in lines).encode())

    def hear(self, start):
        """Reads to the line that begins so."""
        while not any(line.startswith(start) for line in
                      self.text.split(b"\r\n")[:-1]):
            self.text += self.go_on(self.tls.read, 65536)
        return True

    def goodbye(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.flush()

    def ends_well(self):
        """By a close_notify; without one this raises SSLEOFError."""
        with contextlib.suppress(ssl.SSLZeroReturnError):
            return self.go_on(self.tls.read, 65536) == b""
        return True


TEXT = ["Subject: x", "", "text", "."]


@pytest.mark.parametrize("recipients", [
    ["b@known.test"], ["new@example.com"], ["b@known.test", "new@example.com"]],
    ids=["passed", "held", "both"])
@pytest.mark.parametrize("quit_", [[], ["QUIT"]], ids=["dot", "quit"])
def test_behind_the_final_dot(weir, sink, recipients, quit_):
    w = weir(policy=HOLD)
    peer = at_data(w, *recipients)
    half_close(peer, TEXT + quit_)
    assert rest(peer) == [(250, "2.0.0")] + [(221, "2.0.0")] * len(quit_)
    passed = [r for r in recipients if "known" in r]
    assert sink.recipients() == passed
    assert w.held() == [r for r in recipients if r not in passed]
    no_session(w)


@pytest.mark.parametrize("reply, told", [
    (None, (250, "2.0.0")), ("554 5.7.1 no", (554, "5.7.1")),
    ("421 4.3.2 bye", (451, "4.3.2"))], ids=["taken", "refused", "away"])
def test_waits_for_the_next_hops_answer(weir, scripted, reply, told):
    hop = Gate(scripted, ".", reply)
    w = weir(hop.address, policy=HOLD)
    peer = at_data(w, "b@known.test")
    half_close(peer, TEXT)
    assert hop.reached.wait(10)
    assert w.status()["sessions_open"] == 1
    hop.go.set()
    assert rest(peer) == [told]
    no_session(w)
    assert len(hop.messages) == 1


@pytest.mark.parametrize("at", ["RCPT", "DATA"])
def test_behind_any_command(weir, scripted, at):
    """Nobody can send the text any more, but the question is answered."""
    hop = Gate(scripted, at)
    w = weir(hop.address, policy=HOLD)
    peer = w.hello()
    half_close(peer, PASSED + ["DATA"] * (at == "DATA"))
    assert hop.reached.wait(10)
    hop.go.set()
    codes = [code for code, _ in rest(peer)]
    assert codes == [250, 250] + [354] * (at == "DATA")
    no_session(w)
    assert hop.messages == []


def test_all_at_once(weir, sink):
    """Many commands in one go, as by nc -N: each is answered."""
    w = weir(policy=HOLD, idle_commands_max="1000")
    peer = w.hello()
    lines = []
    for _ in range(50):
        lines += PASSED + ["RSET"]
    peer.send("".join(f"{line}\r\n" for line in lines))
    peer.send("NOOP\r\nMAIL FROM:<half@exa")  # no end, no command
    half_close(peer)
    assert [code for code, _ in rest(peer)] == [250] * 151
    no_session(w)


def test_more_replies_than_fit(weir):
    """The client reads late: its replies wait for it."""
    w = weir(policy=HOLD, idle_commands_max="100000")
    peer = w.hello()
    half_close(peer, ["VRFY x"] * 20000)
    until(lambda: peer.sock.recv(1, socket.MSG_PEEK), "replies")
    assert rest(peer) == [(252, "2.5.0")] * 20000
    no_session(w)


def test_the_answer_has_its_time_out(weir, scripted):
    """The next hop says nothing: 451 in time, and the message that it may
    have is its own affair."""
    hop = Gate(scripted, ".")
    w = weir(hop.address, policy=HOLD, answer_timeout='"1s"')
    peer = at_data(w, "b@known.test", "new@example.com")
    half_close(peer, TEXT)
    assert rest(peer) == [(451, "4.4.2")]
    no_session(w)
    hop.go.set()
    until(lambda: w.held() == [], "the held part to be taken back")


def test_reset_while_it_waits(weir, scripted):
    """Gone is gone, at once; the message takes its course, once."""
    hop = Gate(scripted, ".")
    w = weir(hop.address, policy=HOLD)
    peer = at_data(w, "b@known.test", "new@example.com")
    half_close(peer, TEXT)
    assert hop.reached.wait(10)
    assert w.status()["sessions_open"] == 1
    reset(peer)
    no_session(w)
    hop.go.set()
    until(lambda: w.log_lines("smtp message .*result=split"), "the end")
    assert len(hop.messages) == 1 and w.held() == ["new@example.com"]


def test_gone_before_the_answer(weir, scripted):
    """Closed in both directions, which is only seen when the reply is sent."""
    hop = Gate(scripted, ".")
    w = weir(hop.address, policy=HOLD)
    peer = at_data(w, "b@known.test", "new@example.com")
    peer.send("\r\n".join(TEXT) + "\r\n")
    peer.close()
    assert hop.reached.wait(10)
    hop.go.set()
    no_session(w)
    until(lambda: w.log_lines("smtp message .*result=split"), "the end")
    assert len(hop.messages) == 1 and w.held() == ["new@example.com"]


def test_a_daemon_that_stops_answers_first(weir, scripted):
    hop = Gate(scripted, ".")
    w = weir(hop.address, policy=HOLD)
    peer = at_data(w, "b@known.test")
    half_close(peer, TEXT)
    assert hop.reached.wait(10)
    w.process.terminate()
    until(lambda: w.log_lines("maild drain"), "the drain")
    hop.go.set()
    assert rest(peer)[0] == (250, "2.0.0")
    assert w.process.wait(20) == 0


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_over_tls(weir, scripted, tmp_path, version):
    """The client's close_notify ends its side alone, and weir's says that
    nothing was cut off."""
    pki = Pki(tmp_path)
    cert = pki.cert("relay", ["relay.weir.test"])
    hop = Gate(scripted, ".")
    w = weir(hop.address, policy=HOLD, tls_cert=f'"{cert}"',
             listen_options="tls = implicit")
    context = pki.client()
    context.minimum_version = context.maximum_version = getattr(
        ssl.TLSVersion, version)
    plain = socket.create_connection(("127.0.0.1", w.port), timeout=DEADLINE_S)
    tls = TlsClient(context, plain)
    tls.hear(b"220")
    tls.say(["EHLO client.test"])
    tls.hear(b"250 ")
    tls.say(PASSED + ["DATA"])
    tls.hear(b"354")
    tls.say(TEXT)
    tls.goodbye()
    assert hop.reached.wait(10)
    hop.go.set()
    assert tls.hear(b"250 2.0.0 Ok: queued") and tls.ends_well()
    no_session(w)
