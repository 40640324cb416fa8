# SPDX-License-Identifier: BSD-3-Clause
"""Whom a sender knows, passed on from relay to relay."""
import time

from harness import message, until
from test_cluster import (ALICE, KEY, is_up, redis, relay,  # noqa: F401
                          send, shared)

# What is not recent any more is familiar, or else a stranger that waits.
ONE = KEY + ('working_set = 1  interval = "1h"  burst = 9  initial = 9'
             '  familiar_for = "365d"')


def learnt(w, n):
    until(lambda: w.status()["shared_learnt"] >= n, "what others learnt")


def knows(w, name):
    """By the memory of acquaintances, not by the working set."""
    return w.ctl("explain", ALICE, f"{name}@example.com")["tier"] == "familiar"


def test_known_at_one_relay_is_known_at_all(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=ONE), relay(server, policy=ONE)
    is_up(a, b)
    send(a, "one", "two", "three")
    learnt(b, 3)
    send(b, "four")  # which makes a sender of it there
    assert knows(b, "one") and knows(b, "two")
    assert not knows(b, "five")
    # Nobody tells again of what was heard.
    learnt(a, 1)
    assert a.status()["shared_learnt"] == 1
    # Its names are hashes, and nobody's address is to be read.
    dump = server.call("EVAL", "return redis.call('DUMP', '{weir:1}:learnt')",
                       0)
    assert b"example" not in dump and b"alice" not in dump
    assert server.call("PTTL", "{weir:1}:learnt") != b":-1"
    # What counts them outlives them: days without a record are no gap.
    assert (int(server.call("PTTL", "{weir:1}:learnt-count")[1:]) >
            10 * int(server.call("PTTL", "{weir:1}:learnt")[1:]))
    send(a, "six")
    learnt(b, 4)
    server.call("DEL", "{weir:1}:learnt")
    send(a, "seven")
    learnt(b, 5)
    assert not b.log_lines("learnt_gap")
    a.ctl("forget", ALICE)
    until(lambda: not knows(b, "one"), "what was forgotten")
    assert not knows(a, "one")


def test_held_mail_makes_known_when_it_goes(redis, relay):  # noqa: F811
    server = redis()
    pace = KEY + 'working_set = 1  interval = "2s"  burst = 1  initial = 0'
    a, b = relay(server, policy=pace), relay(server, policy=pace)
    is_up(a, b)
    send(a, "one", "two", "three")
    assert b.status()["shared_learnt"] == 0
    until(lambda: a.status()["released_recipients"] >= 1, "the first")
    learnt(b, 1)
    a.ctl("release", "--sender", ALICE)
    learnt(b, 3)
    assert b.status()["shared_learnt"] == 3


def test_learn_reaches_all_and_who_was_down(redis, relay, tmp_path):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=ONE), relay(server, policy=ONE)
    is_up(a, b)
    send(b, "own")
    learnt(a, 1)
    rows = tmp_path / "rows"
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    rows.write_text("".join(f"alice@example.org\told{i}@example.com\t{when}\n"
                            for i in range(300)))
    b.stop()
    done = a.run_ctl("learn", rows)
    assert done.returncode == 0, done.stderr
    assert a.ctl("show", ALICE)["remembered_imported"] == 300
    # The daemon goes on where it was: also past what it had when it stopped.
    until(lambda: int(server.call("XLEN", "{weir:1}:learnt")[1:]) >= 301,
          "the stream")
    b.launch()
    is_up(b)
    learnt(b, 300)
    assert b.status()["shared_learnt"] == 300
    assert knows(b, "old0") and knows(b, "old299")
    # Killed, it reads some of it again, and knows no less.
    b.kill()
    b.launch()
    is_up(b)
    send(b, "new")
    until(lambda: knows(b, "old7"), "what was learnt")
    assert not b.log_lines("learnt_gap")


def test_what_was_missed_is_said(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=ONE), relay(server, policy=ONE)
    is_up(a, b)
    send(a, "one")
    learnt(b, 1)
    b.stop()
    send(a, "two", "three", "four")
    until(lambda: server.call("XLEN", "{weir:1}:learnt") == b":4", "the stream")
    server.call("XTRIM", "{weir:1}:learnt", "MAXLEN", 1)
    b.launch()
    is_up(b)
    # Three, if it was stopped before the first was on its disk.
    until(lambda: b.log_lines("shared learnt_gap count=[23]"), "the gap")
    learnt(b, 1)
    server.call("FLUSHALL")
    send(a, "five")
    until(lambda: b.log_lines("shared learnt_gap count=0"), "the loss")
    learnt(b, 2)
    # What was learnt without the server is passed on afterwards.
    server.kill()
    for w in (a, b):
        until(lambda w=w: not shared(w)["up"], "the outage")
    send(a, "six")
    server.start()
    learnt(b, 3)


def test_what_is_not_ours_is_passed_over(redis, relay):  # noqa: F811
    """Text that is no record, and what another site or version wrote."""
    server = redis()
    a, b = relay(server, policy=ONE), relay(server, policy=ONE)
    is_up(a, b)
    send(a, "one")
    learnt(b, 1)
    junk = ("for i = 1, 50 do local n = redis.call('HINCRBY', KEYS[2], 'n', 1)"
            " redis.call('XADD', KEYS[1], string.format('%.0f-0', n), 's',"
            " string.rep('x', i * 40)) end return 1")
    server.call("EVAL", junk, 2, "{weir:1}:learnt", "{weir:1}:learnt-count")
    send(a, "two")
    learnt(b, 2)
    assert b.status()["shared_learnt"] == 2
    assert shared(b)["up"]


def test_whom_incoming_mail_names_is_known_at_all(redis, relay):  # noqa: F811
    """One rate for the site, in whatever relay mail comes in."""
    server = redis()
    policy = KEY + ('interval = "1d"  burst = 1  initial = 0'
                    '  exempt_recipients = {"@example.org"}'
                    '  learn_inbound = yes  inbound_rate = "4/1d"')
    extra = {"local_domains": '{"example.org"}',
             "xclient_from": '{"127.0.0.0/8"}'}
    a, b = (relay(server, policy=policy, **extra) for _ in range(2))
    is_up(a, b)

    def comes_in(w, *names):
        for i, name in enumerate(names):
            peer = w.hello()
            assert peer.ask(f"XCLIENT ADDR=198.51.{100 + i}.7")[0] == 220
            peer.ask("EHLO client.test")
            assert peer.transact(f"{name}@{name}.example.net",
                                 ["alice@example.org"], message())[0] == 250
            peer.close()

    def known(w, *names):
        return [n for n in names if w.ctl(
            "explain", ALICE, f"{n}@{n}.example.net")["tier"] == "familiar"]

    comes_in(a, "one", "two")
    learnt(b, 2)
    comes_in(b, "three", "one")  # who is known already
    learnt(a, 1)
    for w in (a, b):
        until(lambda w=w: known(w, "one", "two", "three") ==
              ["one", "two", "three"], "whom the others know")
    # The last place goes to one of them, and then there is none anywhere.
    comes_in(a, "four", "five")
    learnt(b, 3)
    comes_in(b, "six", "seven")
    comes_in(a, "eight")
    for w in (a, b):
        assert known(w, "four", "five", "six", "seven", "eight") == ["four"]
    assert a.status()["inbound_refused"] + b.status()["inbound_refused"] == 4
    # Nor at a relay that knows of nothing, as the server does.
    c = relay(server, policy=policy, **extra)
    is_up(c)
    until(lambda: known(c, "one") == ["one"], "whom the others know")
    comes_in(c, "nine")
    assert known(c, "nine") == []
    server.call("FLUSHALL")
    until(lambda: a.log_lines("learnt_gap"), "the gap")
    # A forget reaches what incoming mail named, too.
    a.ctl("forget", ALICE)
    until(lambda: not known(b, "one"), "what was forgotten")
