# SPDX-License-Identifier: BSD-3-Clause
"""The next hop that is down, slow or hangs up; others in its place; what is
kept open to it; and released mail that it does not take."""
import concurrent.futures
import threading
import time

import pytest

from harness import (FastSink, Scripted, free_port, hello, message,
                     serve_smtp, until)
from test_relay import HOLD, KEY, big_message


# ---- failures of the next hop ----

def test_next_hop_down(weir):
    w = weir(next_hop=f"127.0.0.1:{free_port()}", policy=HOLD)
    peer = w.hello()
    # For known recipients the client keeps the mail ...
    peer.ask("MAIL FROM:<a@example.org>")
    code, lines = peer.ask("RCPT TO:<b@known.test>")
    assert code == 451, lines
    assert "next hop" in lines[0]
    # ... and for new ones the mail waits anyhow.
    assert peer.ask("RCPT TO:<new@example.com>")[0] == 250
    assert peer.submit(message())[0] == 250
    assert w.held() == ["new@example.com"]


def test_failover(weir, fast_sink, scripted):
    dead = f"127.0.0.1:{free_port()}"
    busy = scripted(lambda p: p.say("421 4.3.2 shutting down"))
    w = weir(next_hop=[dead, busy.address, fast_sink.address], policy=KEY)
    peer = w.hello()
    for i in range(5):
        assert peer.transact("a@example.org", [f"b{i}@example.com"],
                             message())[0] == 250
    assert len(fast_sink.messages) == 5
    # What failed rests: it is not tried for each message.
    assert len(busy.peers) == 1


def test_one_that_never_greets_is_passed_over(weir, fast_sink, scripted):
    """Whatever next_hop_command_timeout allows for it: another is there."""
    mute = scripted(lambda p: p.line())
    w = weir(next_hop=[mute.address, fast_sink.address], policy=KEY,
             connect_timeout='"1s"')
    peers = [w.hello() for _ in range(3)]
    for i, peer in enumerate(peers):
        assert peer.transact("a@example.org", [f"b{i}@example.com"],
                             message())[0] == 250
    assert len(fast_sink.messages) == 3
    assert len(mute.peers) <= 2
    assert w.log_lines("next_hop rest .*no greeting in time")


def test_the_first_next_hop_is_preferred(weir):
    first = Scripted(serve_smtp)
    second = FastSink()
    w = weir(next_hop=[first.address, second.address], policy=KEY,
             next_hop_rest='"0"', next_hop_idle="0")
    peer = w.hello()
    peer.transact("a@example.org", ["b@example.com"], message())
    assert len(second.messages) == 0
    first.stop()
    assert peer.transact("a@example.org", ["b@example.com"],
                         message())[0] == 250
    assert len(second.messages) == 1
    again = Scripted(serve_smtp, first.address)
    assert peer.transact("a@example.org", ["b@example.com"],
                         message())[0] == 250
    assert len(second.messages) == 1
    second.stop()
    again.stop()


def wait_settled(w):
    """Nothing is held, pending, reserved or under way."""
    w.wait_empty()
    assert w.held() == []
    until(lambda: (w.sender("<a@example.org>") or
                   {"queue_length": 0})["queue_length"] == 0,
          "no recipient in the queue")


def test_slow_next_hop_is_answered_for_in_time(weir, scripted):
    go = threading.Event()

    def late(peer, line):
        go.wait(20)

    hop = scripted(lambda p: serve_smtp(p, on={".": late}))
    w = weir(next_hop=hop.address, policy=HOLD, answer_timeout='"1s"')
    peer = w.hello()
    started = time.monotonic()
    code, text = peer.transact("a@example.org",
                               ["b@known.test", "new@example.com"],
                               message())
    assert code == 451, text
    assert 0.9 < time.monotonic() - started < 10
    # The session goes on while the next hop still thinks.
    assert peer.ask("NOOP")[0] == 250
    go.set()
    # The client comes again: what was to be held then is not held now.
    wait_settled(w)


@pytest.mark.parametrize("when", ["after the dot", "in mid body", "at DATA",
                                  "after RCPT"])
def test_next_hop_hangs_up(weir, scripted, when):
    def hang_up(peer, line):
        if when == "in mid body":
            peer.say("354 go")
            for _ in range(20):
                peer.line()
        peer.close()
        raise EOFError

    verb = {"after the dot": ".", "in mid body": "DATA", "at DATA": "DATA",
            "after RCPT": "RCPT"}[when]
    hop = scripted(lambda p: serve_smtp(p, on={verb: hang_up}))
    w = weir(next_hop=hop.address, policy=HOLD, verify_held="false")
    peer = w.hello()
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    assert peer.ask("RCPT TO:<new@example.com>")[0] == 250
    code, lines = peer.ask("RCPT TO:<b@known.test>")
    if when == "after RCPT":
        assert code == 451, lines
        assert peer.ask("RSET")[0] == 250
    else:
        assert code == 250
        code, text = peer.submit(big_message(2_000_000, "hang"))
        assert code == 451, text
    # Nothing half-sent counts as sent, and the held are not kept: the
    # client comes again with all of it.
    wait_settled(w)
    assert peer.ask("NOOP")[0] == 250


def test_a_next_hop_that_refused_all_it_was_asked_is_let_go(weir, scripted):
    """Held recipients are all that is left: the connection goes back with the
    text, not with the session, and nobody waits for it."""
    def refuse(peer, line):
        if "no@known.test" not in line:
            return False
        peer.say("550 5.1.1 nobody")
        return True

    hop = scripted(lambda p: serve_smtp(p, on={"RCPT": refuse}))
    w = weir(next_hop=hop.address, policy=HOLD, verify_held="false",
             next_hop_connections="4")
    peer = w.hello()
    for i in range(3):
        assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
        assert peer.ask("RCPT TO:<no@known.test>")[0] == 550
        assert peer.ask(f"RCPT TO:<new{i}@example.com>")[0] == 250
        assert peer.submit(message())[0] == 250
    assert len(hop.peers) == 1
    # Nor does anybody hear of it when the next hop closes it.
    hop.peers[0].close()
    assert peer.transact("a@example.org", ["b@known.test"], message())[0] == 250
    assert len(w.held()) == 3


def test_a_kept_connection_that_died_is_replaced(weir, scripted):
    """The next hop closes idle connections whenever it likes."""
    def once(peer, line):
        peer.say("250 2.0.0 Ok: queued")
        peer.close()
        raise EOFError

    hop = scripted(lambda p: serve_smtp(p, on={".": once}))
    w = weir(next_hop=hop.address, policy=KEY)
    peer = w.hello()
    for i in range(5):
        assert peer.transact("a@example.org", ["b@example.com"],
                             message())[0] == 250
    assert len(hop.peers) >= 5


def test_connections_are_reused(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=HOLD)
    for i in range(20):
        peer = w.hello()
        code, _ = peer.transact("a@example.org",
                                [f"b{i}@known.test", f"new{i}@example.com"],
                                message())
        assert code == 250
        peer.ask("QUIT")
    # Some to deliver, and those that ask about held recipients: they end
    # before the next hop counts their RSETs as junk.
    assert len(fast_sink.peers) <= 6
    w.ctl("release", "--all")
    fast_sink.wait_for(40)
    status = w.status()
    assert status["next_hop_connections"] == len(fast_sink.peers)


def test_released_mail_waits_for_a_login_of_weir(weir, scripted):
    """530 is no word on the message: it is not returned, and status tells."""
    wanted = [True]

    def mail(peer, line):
        if wanted[0]:
            peer.say("530 5.7.0 Authentication required")
        return wanted[0]

    hop = scripted(lambda p: serve_smtp(p, on={"MAIL": mail}))
    w = weir(next_hop=hop.address, policy=HOLD, verify_held="false",
             retry_min='"1s"')
    assert w.hello().transact("a@example.org", ["new@example.com"],
                              message())[0] == 250
    w.ctl("release", "--all")
    until(lambda: "530" in w.status()["next_hop_problem"], "the problem")
    assert w.log_lines("delivery no_login")
    wanted[0] = False
    until(lambda: not w.held(), "the delivery")
    assert w.status()["next_hop_problem"] == ""
    assert w.status()["bounces"] == 0


def test_uses_of_a_connection_are_capped(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=KEY, next_hop_uses="2")
    peer = w.hello()
    for i in range(6):
        assert peer.transact("a@example.org", ["b@example.com"],
                             message())[0] == 250
    assert 3 <= len(fast_sink.peers) <= 4


def test_more_sessions_than_connections(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=KEY,
             next_hop_connections="2")

    def send(i):
        return hello(w.port).transact("a@example.org", ["b@example.com"],
                                      message())[0]

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        assert list(pool.map(send, range(40))) == [250] * 40
    assert len(fast_sink.messages) == 40


# ---- retries and bounces of released mail ----

def test_released_mail_is_tried_again(weir, sink):
    w = weir(policy=HOLD, verify_held="false")
    sink.refuse_rcpt["new@example.com"] = "450 4.2.0 later"
    w.hello().transact("a@example.org", ["new@example.com"], message())
    w.ctl("release", "--all")
    rcpt = until(lambda: [r for m in w.queue() for r in m["recipients"]
                          if r.get("attempts")], "an attempt")[0]
    assert rcpt["state"] == "released"
    assert "450" in rcpt["last_error"] or "later" in rcpt["last_error"]
    sink.refuse_rcpt.clear()
    assert sink.wait_for(1) == ["new@example.com"]
    w.wait_empty()


def test_released_mail_refused_for_good_is_returned(weir, sink):
    w = weir(policy=HOLD, verify_held="false",
             sections='policy "null" { initial = 0 }')
    sink.refuse_rcpt["new@example.com"] = "550 5.1.1 No such user here"
    peer = w.hello()
    peer.transact("a@example.org", ["new@example.com"],
                  message(subject="about the bounce"))
    w.ctl("release", "--all")
    assert sink.wait_for(1) == ["a@example.org"]
    sender, _, text, _ = sink.messages[0]
    assert sender in ("", "<>")  # aiosmtpd shows the brackets
    for part in (b"multipart/report", b"message/delivery-status",
                 b"Final-Recipient: rfc822;", b"new@example.com",
                 b"Status: 5.1.1", b"No such user here",
                 b"about the bounce"):
        assert part in text, part
    w.wait_empty()
    # Never a bounce for a bounce.
    peer.transact("", ["new@example.com"], message())
    w.ctl("release", "--all")
    w.wait_empty()
    assert len(sink.messages) == 1
