# SPDX-License-Identifier: BSD-3-Clause
"""Clients and next hops that mean harm, or are broken beyond it, as far as it
takes many of them, other parts, or time of its own. What one client and one
next hop can say is in dialogues/."""
import concurrent.futures
import os
import socket
import threading
import time

import pytest

from harness import DEADLINE_S, Peer, hello, message, serve_smtp, until

KEY = "key = envelope\n"
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0\n'
              'exempt_recipients = {"@known.test"}')


@pytest.fixture
def w(weir, fast_sink):
    """A daemon with small timeouts and caps, that serves others at the
    end."""
    w = weir(next_hop=fast_sink.address, policy=HOLD)
    yield w
    assert w.hello().transact("z@example.org", ["z@known.test"],
                              message())[0] == 250


# ---- talking out of turn ----

def test_illegal_pipelining_into_a_refusal(weir, scripted):
    def refuse(peer, line):
        time.sleep(0.2)  # the client talks meanwhile
        peer.say("554 5.7.1 no")
        return True

    hop = scripted(lambda p: serve_smtp(p, on={"DATA": refuse,
                                               "RCPT": refuse_bad}))
    w = weir(next_hop=hop.address, policy=HOLD, refused_max="3")
    for tail in ("Subject: x\r\n\r\n.\r\n", "QUIT\r\n", "RSET\r\n"):
        peer = w.hello()
        peer.ask("MAIL FROM:<a@example.org>")
        assert peer.ask("RCPT TO:<b@known.test>")[0] == 250
        peer.send("DATA\r\n")
        peer.send(tail)
        assert peer.reply()[0] == 554
        peer.close()
    # At a cap, with more behind it.
    peer = w.hello()
    peer.send("MAIL FROM:<a@example.org>\r\n" +
              "RCPT TO:<bad@known.test>\r\n" * 10 + "DATA\r\nQUIT\r\n")
    assert peer.at_end()
    assert w.hello().ask("NOOP")[0] == 250


def refuse_bad(peer, line):
    if "bad" in line:
        peer.say("550 5.1.1 no")
        return True


# ---- too long, too much ----

def test_odd_senders_for_the_administrator(w):
    """What a sender's name looks like must not stop weirctl from naming it."""
    peer = w.hello()
    for odd in ("o'hara\\'; DELETE FROM rcpt; --", "%s%n%x", "$(id)", "`id`",
                "{'a':1}"):
        sender = '"' + odd.replace("\\", "\\\\") + '"@example.org'
        code, _ = peer.transact(sender, ["new@example.com"], message())
        assert code == 250, odd
    assert len(w.held()) == 5
    assert len({m["sender"] for m in w.queue()}) == 5
    for m in w.queue():
        assert m["sender"].isascii() and m["sender"].isprintable()
        assert w.ctl("show", m["sender"])["queue_length"] == 1
    assert w.ctl("discard", "--all") == {"recipients": 5}


def test_too_many_recipients(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=KEY + "exempt = true",
             recipients_max="100")
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    codes = [peer.ask(f"RCPT TO:<r{i}@example.com>")[0] for i in range(110)]
    assert codes == [250] * 100 + [452] * 10
    assert peer.submit(message())[0] == 250
    assert len(fast_sink.recipients()) == 100


@pytest.mark.skipif("WEIR_SANITIZED" in os.environ,
                    reason="it is about time, which a sanitizer tells nothing")
def test_a_loop_ends(weir, fast_sink):
    """Two relays that are each other's next hop: the mail is refused in the
    end, not sent for ever. Neither knows what the other offers, and EHLO is
    answered all the same after a while."""
    # Held recipients are not asked about: that would go in circles, too.
    options = {"policy": KEY, "received_max": "8", "verify_held": "false"}
    there = weir(next_hop=fast_sink.address, **options)
    back = weir(next_hop=there.port_address, **options)
    there.next_hop = back.port_address
    there.write_config()
    assert there.run_ctl("reload").returncode == 0
    peer = hello(back.port)
    peer.sock.settimeout(60)
    code, text = peer.transact("a@example.org", ["b@example.com"], message())
    assert code == 554 and "5.4.6" in text


def test_weir_is_not_its_own_next_hop(weir):
    w = weir(next_hop="127.0.0.1:9", policy=KEY)
    w.next_hop = w.port_address
    w.write_config()
    done = w.run_ctl("reload")
    assert done.returncode == 1 and "weir's own listen" in done.stderr


# ---- slow clients and floods ----

def closes_in_time(peer, started, least, most):
    code, lines = peer.reply()
    assert code == 421, lines
    assert peer.at_end()
    assert least <= time.monotonic() - started <= most


def test_idle_sessions_end(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=HOLD, command_timeout='"1s"',
             data_timeout='"1s"')
    started = time.monotonic()
    idle, trickle, data = w.hello(), w.hello(), w.hello()
    data.ask("MAIL FROM:<a@example.org>")
    data.ask("RCPT TO:<new@example.com>")
    data.ask("DATA")
    data.send("Subject: never ends\r\n")
    trickle.send("NO")
    time.sleep(0.6)
    trickle.send("O")  # within a command no byte buys time
    closes_in_time(idle, started, 0.9, 8)
    closes_in_time(trickle, started, 0.9, 8)
    closes_in_time(data, started, 0.9, 8)
    until(lambda: w.status()["sessions_open"] == 0, "the sessions to go")
    # It has sent no mail, so there is no such sender.
    assert w.sender("<a@example.org>") is None
    assert w.status()["held_messages"] == 0


def test_connection_flood(w):
    """Hundreds that come and go, with and without a word."""
    def rude(i):
        peer = Peer.connect(w.port)
        if i % 3 == 0:
            peer.send("EHLO x\r\nMAIL FROM:<a@example.org>\r\nDA")
        elif i % 3 == 1:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 b"\x01\0\0\0\0\0\0\0")
        peer.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(rude, range(400)))
    until(lambda: w.status()["sessions_open"] == 0, "the sessions to go")


def test_clients_that_do_not_read(weir, fast_sink):
    """Answers pile up at us no further than a bound."""
    w = weir(next_hop=fast_sink.address, policy=KEY,
             idle_commands_max="100000", errors_max="10000")
    peer = w.hello()
    peer.sock.settimeout(1)
    sent = 0
    try:
        while sent < 20_000_000:
            peer.send(b"HELP\r\n" * 1000)
            sent += 6000
    except OSError:
        pass
    assert w.peak_rss_kb() < 40_000
    assert hello(w.port).ask("NOOP")[0] == 250


def test_garbage_at_random(w):
    """Not a fuzzer: a burst of noise through the whole daemon."""
    import random
    rng = random.Random(7)
    verbs = [b"EHLO x", b"MAIL FROM:<a@example.org>", b"RCPT TO:<b@c.test>",
             b"DATA", b"RSET", b".", b"QUIT", b"BDAT 5", b"\x00", b"\xff" * 9,
             b"A" * 600, b"MAIL FROM:<>", b"VRFY", b"x: y", b""]
    for _ in range(60):
        peer = Peer.connect(w.port)
        peer.sock.settimeout(0.05)
        try:
            for _ in range(rng.randrange(1, 20)):
                peer.send(rng.choice(verbs) + rng.choice(
                    [b"\r\n", b"\n", b"\r", b""]))
                if rng.random() < 0.5:
                    peer.sock.recv(4096)
        except OSError:
            pass
        peer.close()


# ---- next hops that misbehave ----

def test_next_hop_that_never_answers(weir, scripted):
    done = threading.Event()
    hop = scripted(lambda p: done.wait(DEADLINE_S))
    w = weir(next_hop=hop.address, policy=HOLD, connect_timeout='"1s"',
             next_hop_command_timeout='"1s"')
    started = time.monotonic()
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    assert peer.ask("RCPT TO:<b@known.test>")[0] == 451
    assert peer.ask("RCPT TO:<new@example.com>")[0] == 250
    assert peer.submit(message())[0] == 250
    assert time.monotonic() - started < 15
    assert w.held() == ["new@example.com"]
    done.set()
