# SPDX-License-Identifier: BSD-3-Clause
"""Reached is reached: once the final dot has gone to the next hop, only its
refusal gives the allowance back. And what it costs to ask without sending."""
import threading

import pytest

from harness import DEADLINE_S, hello, message, serve_smtp, until

POLICY = 'key = envelope  interval = "1h"  burst = 1  initial = 1'
SENDER = "a@example.org"


class Hop:
    """Does with the first final dot what the test says; takes the rest."""

    def __init__(self, scripted, first, verbs=()):
        self.first, self.may_go, self.texts = first, threading.Event(), 0
        on = dict(verbs)
        on["."] = self.dot
        self.address = scripted(lambda p: serve_smtp(p, on=on)).address

    def dot(self, peer, line):
        self.texts += 1
        if self.texts > 1:
            return False
        self.first(self, peer)
        return True


def close(hop, peer):
    peer.sock.close()
    raise ConnectionError


def take_late(hop, peer):
    assert hop.may_go.wait(DEADLINE_S)
    peer.say("250 2.0.0 Ok, late")


def refuse_late(hop, peer):
    assert hop.may_go.wait(DEADLINE_S)
    peer.say("550 5.7.1 not this one")


def refuse(hop, peer):
    peer.say("451 4.3.0 not now")


def allowance(w):
    return (w.sender(f"<{SENDER}>") or {"allowance": 1})["allowance"]


def send(w, to, text="hello"):
    return w.hello().transact(SENDER, to, message(text))


def is_spent(w):
    """The one stranger that may be written to at once was reached; it is known
    from now on, and the next one waits."""
    until(lambda: (w.sender(f"<{SENDER}>") or {"working_set": 0})
          ["working_set"] == 1, "the stranger to be known")
    code, text = send(w, ["first@new.test"], "again")
    assert code == 250 and "held" not in text, text
    code, text = send(w, ["second@new.test"])
    assert code == 250 and "held" in text, text


def is_given_back(w):
    until(lambda: allowance(w) == 1, "the allowance")
    code, text = send(w, ["second@new.test"])
    assert code == 250 and "held" not in text, text


def test_closed_instead_of_an_answer(weir, scripted):
    hop = Hop(scripted, close)
    w = weir(next_hop=hop.address, policy=POLICY)
    assert send(w, ["first@new.test"])[0] == 451
    is_spent(w)


def test_held_ones_are_taken_back_with_it(weir, scripted):
    """The client sends again, to all."""
    hop = Hop(scripted, close)
    w = weir(next_hop=hop.address, policy=POLICY)
    assert send(w, ["first@new.test", "held@new.test"])[0] == 451
    assert w.held() == []
    assert w.sender(f"<{SENDER}>")["queue_length"] == 0
    is_spent(w)


@pytest.mark.parametrize("answer, then", [(take_late, is_spent),
                                          (refuse_late, is_given_back)],
                         ids=["taken", "refused"])
def test_an_answer_too_late_for_the_client(weir, scripted, answer, then):
    hop = Hop(scripted, answer)
    w = weir(next_hop=hop.address, policy=POLICY, answer_timeout='"1s"')
    assert send(w, ["first@new.test"])[0] == 451
    hop.may_go.set()
    then(w)


def test_the_client_has_left(weir, scripted):
    hop = Hop(scripted, take_late)
    w = weir(next_hop=hop.address, policy=POLICY)
    peer = w.hello()
    for line in (f"MAIL FROM:<{SENDER}>", "RCPT TO:<first@new.test>", "DATA"):
        peer.ask(line)
    peer.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
    until(lambda: hop.texts == 1, "the dot")
    peer.close()
    hop.may_go.set()
    is_spent(w)


def test_refused(weir, scripted):
    hop = Hop(scripted, refuse)
    w = weir(next_hop=hop.address, policy=POLICY)
    assert send(w, ["first@new.test"])[0] == 451
    is_given_back(w)


def test_lmtp_answers_for_some_and_closes(weir, scripted):
    """The one that was refused is given back, the one without an answer is
    not."""
    def some(hop, peer):
        peer.say("550 5.1.1 not there")
        close(hop, peer)

    def lhlo(peer, line):
        peer.say("250-scripted")
        peer.say("250 PIPELINING")
        return True

    hop = Hop(scripted, some, {"LHLO": lhlo})
    w = weir(next_hop="lmtp:" + hop.address,
             policy=POLICY.replace("= 1", "= 2"))
    code, _ = send(w, ["refused@new.test", "first@new.test"])
    assert code == 451
    until(lambda: allowance(w) == 1, "one of two to be given back")


# ---- asked, and not written to ----

@pytest.mark.parametrize("how", ["RSET", "EHLO again.test", "QUIT", "close"])
def test_recipients_given_up_count(weir, sink, how):
    w = weir(policy="exempt = true", refused_max=4,
             my_networks='{"192.0.2.0/24"}')

    def ask(n):
        peer = hello(w.port)
        code, lines = peer.ask("MAIL FROM:<a@example.org>")
        for i in range(n if code == 250 else 0):
            assert peer.ask(f"RCPT TO:<b{i}@known.test>")[0] == 250
        if code == 250 and how != "close":
            peer.ask(how)
        peer.close()
        return code, lines

    assert ask(2)[0] == 250 and ask(2)[0] == 250
    until(lambda: ask(0)[0] == 421, "the end of it")
    code, lines = ask(0)
    assert code == 421 and "probed" in lines[0], lines
    [row] = w.ctl("problems")
    assert (row["kind"], row["who"], row["option"]) == (
        "client", "127.0.0.1", "refused_max")
    assert sink.recipients() == []


def test_recipients_of_a_text_that_is_refused_count(weir, sink):
    """Whoever looks for addresses need not say RSET: a text that weir refuses
    does as well."""
    w = weir(policy="exempt = true", refused_max=4,
             my_networks='{"192.0.2.0/24"}')

    def ask():
        return w.hello().transact("a@example.org", [
            f"b{i}@known.test" for i in range(2)], b"one\ntwo\r\n.\r\n")

    for _ in range(2):
        code, text = ask()
        assert code == 550 and "bare" in text, text
    code, lines = w.hello().ask("MAIL FROM:<a@example.org>")
    assert code == 421 and "probed" in lines[0], lines
    assert sink.recipients() == []


def test_call_outs_of_my_networks_may_ask_at_will(weir, sink):
    w = weir(policy="exempt = true", refused_max=4)
    peer = w.hello()
    for _ in range(20):
        assert peer.ask("MAIL FROM:<>")[0] == 250
        assert peer.ask("RCPT TO:<b@known.test>")[0] == 250
        assert peer.ask("RSET")[0] == 250


def test_mail_that_is_sent_is_not_given_up(weir, sink):
    w = weir(policy="exempt = true", refused_max=4,
             my_networks='{"192.0.2.0/24"}')
    for _ in range(6):
        assert send(w, ["b@known.test"])[0] == 250
