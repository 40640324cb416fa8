# SPDX-License-Identifier: BSD-3-Clause
"""Several relays whose throttle is one, in a real Redis server."""
import threading
import time

from harness import free_port, message, until
from test_cluster import (ALICE, KEY, frozen, is_up, redis,  # noqa: F401
                          relay, send, shared, spent)

FEW = KEY + 'interval = "1h"  burst = 4  initial = 4  limit = "20/1d"'


def passed(w):
    return w.status()["passed_recipients"]


def test_the_last_of_an_allowance_goes_once(redis, relay):
    """Many at once at three relays: together what one relay would give."""
    server = redis()
    relays = [relay(server, policy=FEW) for _ in range(3)]
    is_up(*relays)
    peers = [(w.hello(), f"to{i}@example.com")
             for i, w in enumerate(relays * 4)]
    for peer, _ in peers:
        peer.ask("MAIL FROM:<alice@example.org>")
    threads = [threading.Thread(target=p.ask, args=(f"RCPT TO:<{to}>",))
               for p, to in peers]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for peer, _ in peers:
        assert peer.submit(message())[0] == 250
        peer.ask("QUIT")
    assert sum(len(w.held()) for w in relays) == 8
    assert sum(passed(w) for w in relays) == 4


PACE = KEY + 'interval = "2s"  burst = 1  initial = 0  freeze_at = 100'


def went(*relays):
    return sum(w.status()["released_recipients"] for w in relays)


def test_waiting_mail_goes_in_one_order(redis, relay, sink):  # noqa: F811
    """One per interval from all relays, in the order in which it came."""
    server = redis()
    a, b = relay(server, policy=PACE), relay(server, policy=PACE)
    is_up(a, b)
    for i, w in enumerate((a, b, b, a)):
        send(w, f"to{i}")
    began = time.monotonic()
    until(lambda: went(a, b) == 4, "all of it")
    took = time.monotonic() - began
    until(lambda: len(sink.messages) == 4, "all of it at the next hop")
    assert took > 5
    assert [m[1][0] for m in sink.messages] == [
        f"to{i}@example.com" for i in range(4)]


TEN = KEY + 'interval = "1h"  burst = 1  initial = 0  freeze_at = 6'


def test_the_queue_is_one_for_the_detector(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=TEN), relay(server, policy=TEN)
    is_up(a, b)
    send(a, "one", "two", "three")
    send(b, "four", "five")
    assert len(a.held()) == 3 and len(b.held()) == 2
    assert not a.sender(ALICE)["frozen"] and not b.sender(ALICE)["frozen"]
    send(b, "six")
    frozen(a, b)
    # What was looked at and let go makes room at all of them.
    a.ctl("thaw", ALICE, "--discard")
    until(lambda: not b.sender(ALICE)["frozen"] and not b.held(), "the thaw")
    send(b, "seven")
    send(a, "eight", "nine")
    assert not a.sender(ALICE)["frozen"]
    assert a.ctl("show", ALICE)["waiting_elsewhere"] == 1
    # By hand at one relay.
    b.ctl("release", "--sender", ALICE)
    until(lambda: a.ctl("show", ALICE)["waiting_elsewhere"] == 0, "the release")


def test_an_emptied_server_gives_no_new_allowance(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=FEW), relay(server, policy=FEW)
    is_up(a, b)
    send(a, "one", "two")
    send(b, "three", "four", "five")
    assert b.held() == ["five@example.com"]
    server.call("FLUSHALL")
    send(b, "six")
    send(a, "seven")
    assert b.held() == ["five@example.com", "six@example.com"]
    assert a.held() == ["seven@example.com"]


def test_known_at_one_relay_is_known_at_all(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=FEW), relay(server, policy=FEW)
    is_up(a, b)
    send(a, "one", "two", "three", "four")
    send(b, "four", "one")
    assert b.held() == []
    send(b, "five")
    assert b.held() == ["five@example.com"]


def test_a_server_that_stands_still(redis, relay):  # noqa: F811
    """The deadline, then what the relay knew; afterwards nothing is free."""
    server = redis()
    a = relay(server, policy=FEW, shared_timeout='"200ms"')
    b = relay(server, policy=FEW, shared_timeout='"200ms"')
    is_up(a, b)
    send(a, "one")
    send(b, "two")
    spent(a, 1)
    server.pause()
    began = time.monotonic()
    send(a, "three")
    assert time.monotonic() - began < 5
    assert a.held() == []
    until(lambda: not shared(b)["up"], "the outage")
    send(a, "four", "five")
    assert a.held() == ["five@example.com"]
    server.go_on()
    is_up(a, b)
    until(lambda: allowance(b) == 0, "what was spent alone")
    send(b, "six")
    assert b.held() == ["six@example.com"]
    assert a.held() == ["five@example.com"]


def allowance(w):
    return w.sender(ALICE)["allowance"]


def test_shared_fail_tempfail(redis, relay):  # noqa: F811
    server = redis()
    a = relay(server, policy=FEW, shared_fail="tempfail")
    is_up(a)
    send(a, "one")
    server.kill()
    until(lambda: not shared(a)["up"], "the outage")
    peer = a.hello()
    peer.ask("MAIL FROM:<alice@example.org>")
    assert peer.ask("RCPT TO:<two@example.com>")[0] == 451
    assert peer.ask("RCPT TO:<one@example.com>")[0] == 250
    assert peer.submit(message())[0] == 250
    server.start()
    is_up(a)
    send(a, "two")
    assert a.held() == []


def test_a_relay_that_is_killed_with_mail_waiting(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=PACE), relay(server, policy=PACE)
    is_up(a, b)
    send(a, "one", "two")
    send(b, "three")
    a.kill()
    a.launch()
    is_up(a)
    until(lambda: went(a, b) == 3, "all of it")
    assert a.held() == [] and b.held() == []


def test_a_failover_with_sentinel(redis, relay):  # noqa: F811
    """The sentinels are asked at each reconnect; the first is not there."""
    master = redis()
    replica = redis("--replicaof", f"127.0.0.1 {master.port}")
    until(lambda: b"up" in replica.call("INFO", "replication").split(
        b"master_link_status:")[1][:4], "the replica")
    sentinel = master.sentinel()
    sentinel.start()
    try:
        until(lambda: b"slaves=1" in sentinel.call("INFO", "sentinel"),
              "the sentinel to see the replica")
        url = (f"redis+sentinel://127.0.0.1:{free_port()},"
               f"127.0.0.1:{sentinel.port}/mymaster")
        a, b = relay(url, policy=FEW), relay(url, policy=FEW)
        is_up(a, b)
        send(a, "one", "two")
        until(lambda: replica.call("DBSIZE") == master.call("DBSIZE"),
              "the replica to have it")
        master.kill()
        until(lambda: not shared(a)["up"] and not shared(b)["up"],
              "the outage")
        is_up(a, b)
        send(b, "three", "four", "five")
        assert b.held() == ["five@example.com"]
        send(a, "six")
        assert a.held() == ["six@example.com"]
    finally:
        sentinel.kill()


def test_memory_and_names(redis, relay):  # noqa: F811
    server = redis()
    a = relay(server, policy=FEW)
    is_up(a)
    send(a, *(f"to{i}" for i in range(8)))
    count = ("local n, size = 0, 0 for _, k in ipairs(redis.call('KEYS',"
             " '{weir:2:*')) do n = n + 1"
             " assert(redis.call('PTTL', k) > 0)"
             " assert(not string.find(redis.call('DUMP', k), 'example'))"
             " size = size + redis.call('MEMORY', 'USAGE', k) end"
             " return size")
    until(lambda: a.ctl("show", ALICE)["queue_length"] == 4, "the queue")
    size = int(server.call("EVAL", count, 0)[1:])
    assert 0 < size < 1700
