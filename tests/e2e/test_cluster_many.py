# SPDX-License-Identifier: BSD-3-Clause
"""Recipients that a client names without waiting for the answers: the server
that the relays share is asked once for all of them."""
import contextlib
import os
import re
import signal
import socket
import struct
import time

from harness import message, until
from test_cluster import (ALICE, KEY, is_up, redis, relay,  # noqa: F401
                          send, shared)
from test_cluster_order import Slow

FEW = KEY + 'interval = "1h"  burst = 4  initial = 4  limit = "20/1d"'
RESERVED = ("local n = 0 for _, k in ipairs(redis.call('KEYS', '{weir:*:state'))"
            " do for _ in pairs(cmsgpack.unpack(redis.call('GET', k)).r) do"
            " n = n + 1 end end return n")


class Calls:
    """The scripts that the server was asked to run about recipients. What is
    asked on schedule about mail that waits has no step."""
    STEP = re.compile(rb'\] "eval(sha)?" ".*" "\d" "[^"]*:state" .*'
                      rb' "[RHrhCXQbA]" "', re.I)

    def __init__(self, server):
        self.server = server
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(server.socket_path))
        self.sock.sendall(b"MONITOR\r\n")
        self.lines = self.sock.makefile("rb")
        assert self.lines.readline() == b"+OK\r\n"
        self.marks = 0

    def count(self):
        """Since the last time."""
        self.marks += 1
        mark = f"mark {self.marks} of this test"
        self.server.call("ECHO", mark)
        n = 0
        for line in self.lines:
            if mark.encode() in line:
                return n
            n += self.STEP.search(line) is not None
        raise EOFError


def names(word, n):
    return [f"{word}{i}@example.com" for i in range(n)]


@contextlib.contextmanager
def stopped(w):
    """What comes meanwhile is read at once."""
    os.kill(w.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(w.process.pid, signal.SIGCONT)


def say_all(peer, rcpts, sender="alice@example.org"):
    peer.send("".join(f"{line}\r\n" for line in (
        f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{to}>" for to in rcpts),
        "DATA")))


def hear_all(peer, n):
    return [peer.reply()[0] for _ in range(n + 2)]


def pipeline(w, rcpts, sender="alice@example.org"):
    """The codes of all replies; the message is taken."""
    peer = w.hello()
    with stopped(w):
        say_all(peer, rcpts, sender)
    codes = hear_all(peer, len(rcpts))
    peer.send(message() + b".\r\n")
    assert peer.reply()[0] == 250
    peer.ask("QUIT")
    return codes


def test_many_at_once_are_one_call(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=FEW), relay(server, policy=FEW)
    is_up(a, b)
    send(a, "known")
    calls = Calls(server)
    rcpts = names("to", 10) + ["known@example.com"] + names("more", 10)
    assert pipeline(a, rcpts) == [250] * 22 + [354]
    # All that passes and waits, and the touch of who was known, at the end.
    until(lambda: server.call("EVAL", RESERVED, 0) == b":0", "the end")
    assert calls.count() == 2
    assert sorted(a.held()) == sorted(
        to for to in rcpts if to not in [*names("to", 3), "known@example.com"])
    # One call for three that are known by now, and nobody waits for it.
    assert pipeline(a, names("to", 3)) == [250] * 4 + [354]
    until(lambda: calls.count() == 1, "the touch")
    send(b, "last")
    assert b.held() == ["last@example.com"]


def test_many_at_once_are_as_one_by_one(redis, relay, sink):  # noqa: F811
    """With two that the next hop refuses, whose allowance others get, one named
    twice, and one that is none."""
    server = redis()
    a, b = relay(server, policy=FEW), relay(server, policy=FEW)
    is_up(a, b)
    for to in ("to1@example.com", "to6@example.com"):
        sink.refuse_rcpt[to] = "550 5.7.1 not here"
    rcpts = names("to", 5) + ["to2@example.com", "no@dom@ain"]
    rcpts += names("to", 9)[5:]
    codes = pipeline(a, rcpts)
    peer = b.hello()
    one = [peer.ask("MAIL FROM:<bob@example.org>")[0]]
    one += [peer.ask(f"RCPT TO:<{to}>")[0] for to in rcpts]
    one.append(peer.ask("DATA")[0])
    peer.send(message() + b".\r\n")
    assert peer.reply()[0] == 250
    peer.ask("QUIT")
    assert codes == one
    assert {250, 354, 501, 550} == set(codes)
    assert sorted(a.held()) == sorted(b.held())
    assert [m[1] for m in sink.messages] == [
        [f"to{i}@example.com" for i in (0, 2, 3, 4, 2)]] * 2


def test_many_when_the_server_stands_still(redis, relay):  # noqa: F811
    """What it reserved for a question that nobody heard the answer of is given
    back, and what passed meanwhile is told: counted once."""
    server = redis()
    policy = KEY + 'interval = "1h"  burst = 8  initial = 8'
    a = relay(server, policy=policy, shared_timeout='"1s"')
    b = relay(server, policy=policy)
    is_up(a, b)
    send(a, "one")
    server.pause()
    rcpts = names("to", 4)
    began = time.monotonic()
    assert pipeline(a, rcpts) == [250] * 5 + [354]
    assert time.monotonic() - began < 10
    assert a.held() == []
    until(lambda: not shared(a)["up"], "the outage")
    server.go_on()
    is_up(a, b)
    until(lambda: server.call("EVAL", RESERVED, 0) == b":0", "what was lost",
          deadline_s=30)
    until(lambda: a.sender(ALICE)["allowance"] == 3, "what is left",
          deadline_s=30)
    assert pipeline(b, names("more", 5)) == [250] * 6 + [354]
    assert len(b.held()) == 2


def test_who_leaves_gives_all_of_it_back(redis, relay):  # noqa: F811
    server = redis()
    a, b = (relay(server, policy=FEW, shared_timeout='"10s"')
            for _ in range(2))
    is_up(a, b)
    server.pause()
    peer = a.hello()
    say_all(peer, names("gone", 20))
    until(lambda: a.sender(ALICE), "the question")
    # A reset, which ends the session at once.
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
    peer.file.close()
    peer.sock.close()
    server.go_on()
    until(lambda: a.status()["sessions_open"] == 0, "the end of it")
    assert shared(a)["up"]
    until(lambda: server.call("EVAL", RESERVED, 0) == b":0", "what was reserved")
    send(b, "one", "two", "three", "four", "five")
    assert b.held() == ["five@example.com"]


def test_many_wait_for_one_answer(redis, relay):  # noqa: F811
    """A second for all of them, where each alone would have taken one."""
    server = redis()
    slow = Slow(server.port)
    a = relay(f"redis://127.0.0.1:{slow.port}", policy=FEW,
              shared_timeout='"10s"')
    is_up(a)
    began = time.monotonic()
    assert pipeline(a, names("to", 40)) == [250] * 41 + [354]
    assert time.monotonic() - began < 20
    assert len(a.held()) == 36
    slow.listener.close()
