# SPDX-License-Identifier: BSD-3-Clause
"""A next hop that accepts too late for the client: its next attempts make no
other copy. A refusal, another message, a restart: sent as usual."""
import threading

from harness import DEADLINE_S, message, serve_smtp, until

SENDER = "a@example.org"
ID = b"Message-ID: <1@example.org>\r\n"
TEXT = ID + message("hello")


class Slow:
    """Its first reply to a final dot comes when it may; it takes the rest."""

    def __init__(self, scripted, reply="250 2.0.0 Ok, late"):
        self.reply, self.go, self.dots = reply, threading.Event(), 0
        on = {".": self.dot}
        self.address = scripted(lambda p: serve_smtp(p, on=on)).address

    def dot(self, peer, line):
        self.dots += 1
        if self.dots > 1:
            return False
        self.go.wait(DEADLINE_S)
        peer.say(self.reply)
        return True


def begin(weir, hop):
    w = weir(next_hop=hop.address, policy="exempt = true",
             answer_timeout='"1s"')
    assert send(w)[0] == 451
    return w


def send(w, text=TEXT, to="b@known.test"):
    return w.hello().transact(SENDER, [to], text)


def test_one_copy(weir, scripted):
    hop = Slow(scripted)
    w = begin(weir, hop)
    code, words = send(w)
    assert code == 451 and "not yet replied" in words, words
    hop.go.set()
    until(lambda: w.log_lines("result=late"), "the late reply")
    for _ in range(2):  # the 250 may be lost as well
        code, words = send(w)
        assert code == 250 and "earlier attempt" in words, words
    assert hop.dots == 1 and w.status()["messages_repeated"] == 2
    assert send(w, ID + message("other"))[0] == 250
    assert send(w, to="c@known.test")[0] == 250
    assert hop.dots == 3


def test_refused_late(weir, scripted):
    hop = Slow(scripted, "451 4.3.0 not now")
    w = begin(weir, hop)
    hop.go.set()
    until(lambda: send(w)[0] == 250, "the next attempt")
    assert hop.dots == 2 and w.status()["messages_repeated"] == 0


def test_killed_in_between(weir, scripted):
    hop = Slow(scripted)
    w = begin(weir, hop)
    w.kill()
    w.launch()
    assert send(w)[0] == 250
    hop.go.set()
    assert hop.dots == 2


def test_the_client_has_left(weir, scripted):
    """By closing its connection, of which weir only sees that it says no
    more."""
    hop = Slow(scripted)
    w = weir(next_hop=hop.address, policy="exempt = true")
    peer = w.hello()
    for line in (f"MAIL FROM:<{SENDER}>", "RCPT TO:<b@known.test>", "DATA"):
        peer.ask(line)
    peer.send(TEXT + b".\r\n")
    until(lambda: hop.dots == 1, "the dot")
    peer.close()
    assert send(w)[0] == 451
    hop.go.set()
    until(lambda: send(w)[0] == 250, "the late reply")
    assert hop.dots == 1 and w.status()["messages_repeated"] == 1
