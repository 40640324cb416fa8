# SPDX-License-Identifier: BSD-3-Clause
"""Several relays whose throttle is one, in a real Redis server."""
import contextlib
import os
import socket
import struct
import threading
import time

from harness import free_port, message, until
from pki import Pki
from test_cluster import (ALICE, KEY, frozen, is_up, redis,  # noqa: F401
                          relay, send, shared, shiftclock, spent)

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


def test_a_server_that_forgets_its_scripts(redis, relay):  # noqa: F811
    """SCRIPT FLUSH, again and again while mail flows, is no outage."""
    server = redis()
    a, b = relay(server, policy=FEW), relay(server, policy=FEW)
    is_up(a, b)
    for i in range(4):
        send(a, f"a{i}")
        send(b, f"b{i}")
        server.call("SCRIPT", "FLUSH")
    send(b, "last")
    assert passed(a) + passed(b) == 4
    assert len(a.held()) + len(b.held()) == 5
    for w in (a, b):
        assert shared(w)["up"]
        assert not w.log_lines("shared down")


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
    until(lambda: not a.held() and not b.held(), "the next hop")


RESERVED = ("local k = redis.call('KEYS', '{weir:4:*}:state')[1] local n = 0"
            " if not k then return -1 end"
            " for _ in pairs(cmsgpack.unpack(redis.call('GET', k)).r) do"
            " n = n + 1 end return n")


def test_a_client_that_leaves_before_the_answer(redis, relay):  # noqa: F811
    """What was reserved for it is given back."""
    server = redis()
    a, b = relay(server, policy=FEW), relay(server, policy=FEW)
    is_up(a, b)
    send(a, "one")
    server.pause()
    peers = [a.hello() for _ in range(3)]
    for i, peer in enumerate(peers):
        peer.ask("MAIL FROM:<alice@example.org>")
        peer.say(f"RCPT TO:<gone{i}@example.com>")
    until(lambda: a.status()["sessions_open"] == 3, "the sessions")
    for peer in peers:  # a reset, which ends the session at once
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        peer.file.close()
        peer.sock.close()
    until(lambda: a.status()["sessions_open"] == 0, "the end of them")
    assert shared(a)["up"]
    server.go_on()
    until(lambda: server.call("EVAL", RESERVED, 0) == b":0", "what was reserved")
    send(b, "two", "three", "four", "five")
    assert b.held() == ["five@example.com"]


class Slow:
    """A way to the server that takes a second."""

    def __init__(self, port):
        self.to = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", self.to))
            for ends in ((here, there), (there, here)):
                threading.Thread(target=self.carry, args=ends,
                                 daemon=True).start()

    @staticmethod
    def carry(a, b):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                threading.Event().wait(0.5)
                b.sendall(data)
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


def test_a_second_of_latency(redis, relay):  # noqa: F811
    """No reply waits for it longer than the deadline."""
    server = redis()
    slow = Slow(server.port)
    a = relay(f"redis://127.0.0.1:{slow.port}", policy=FEW,
              shared_timeout='"200ms"')
    until(lambda: a.log_lines("shared down"), "the outage")
    peer = a.hello()
    for i in range(12):
        peer.ask("MAIL FROM:<alice@example.org>")
        began = time.monotonic()
        assert peer.ask(f"RCPT TO:<to{i}@example.com>")[0] == 250
        assert time.monotonic() - began < 3
        assert peer.submit(message())[0] == 250
    assert len(a.held()) == 8
    slow.listener.close()


def test_the_clock_is_the_servers(redis, relay, shiftclock):  # noqa: F811
    server = redis()
    wrong = {"LD_PRELOAD": str(shiftclock), "SHIFTCLOCK_S": "3600",
             "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")
                             + ":verify_asan_link_order=0"}
    a, b = relay(server, policy=FEW), relay(server, policy=FEW, preload=wrong)
    is_up(a, b)
    send(a, "one", "two")
    send(b, "three", "four", "five")
    send(a, "six")
    assert b.held() == ["five@example.com"]
    assert a.held() == ["six@example.com"]


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


def test_a_sentinel_with_a_password_and_tls(
        redis, relay, tmp_path):  # noqa: F811
    """The server's password and the sentinel's are two."""
    pki = Pki(tmp_path / "pki")
    options = ("--tls-ca-cert-file", str(pki.ca))
    server = redis(*options, "--user", "weir", "on", ">servers", "~*",
                   "+@all", tls=pki.cert("redis", ["127.0.0.1"]))
    sentinel = server.sentinel("requirepass sentinels", "tls-replication yes",
                               f"tls-ca-cert-file {pki.ca}")
    files = {}
    for name in ("servers", "sentinels", "wrong"):
        files[name] = tmp_path / name
        files[name].write_text(f"{name}\n")
        files[name].chmod(0o600)
    options = {"shared_tls_ca": f'"{pki.ca}"', "shared_user": '"weir"',
               "shared_password_file": f'"{files["servers"]}"'}
    url = f"rediss+sentinel://127.0.0.1:{sentinel.port}/mymaster"

    def make(name):
        return relay(url, policy=FEW, **options, **({
            "shared_sentinel_password_file": f'"{files[name]}"'}
            if name else {}))

    try:
        sentinel.start()
        good, bad, none = make("sentinels"), make("wrong"), make(None)
        is_up(good)
        send(good, "one")
        assert spent_at(server)
        until(lambda: "WRONGPASS" in shared(bad)["problem"], "the refusal")
        until(lambda: "NOAUTH" in shared(none)["problem"], "the refusal")
        assert not bad.log_lines("wrong\b")
    finally:
        sentinel.kill()


def spent_at(server):
    return server.call("EVAL", "return #redis.call('KEYS', '{weir:*state')",
                       0) == b":1"


def test_memory_and_names(redis, relay):  # noqa: F811
    server = redis()
    a = relay(server, policy=FEW)
    is_up(a)
    send(a, *(f"to{i}" for i in range(8)))
    count = ("local n, size = 0, 0 for _, k in ipairs(redis.call('KEYS',"
             " '{weir:4:*')) do n = n + 1"
             " assert(redis.call('PTTL', k) > 0)"
             " assert(not string.find(redis.call('DUMP', k), 'example'))"
             " size = size + redis.call('MEMORY', 'USAGE', k) end"
             " return size")
    until(lambda: a.ctl("show", ALICE)["queue_length"] == 4, "the queue")
    size = int(server.call("EVAL", count, 0)[1:])
    assert 0 < size < 1700


AMONG = (KEY + 'interval = "1h"  burst = 1  initial = 0\n'
         'familiar_burst = 4  familiar_interval = "1h"'
         '  familiar_freeze_at = 6')
OURS = {"internal_domains": '{"example.com"}'}


def test_familiar_recipients_share_an_allowance(redis, relay):  # noqa: F811
    """Whom the sender knows: what a stolen account mails first."""
    server = redis()
    a, b, c = (relay(server, policy=AMONG, **OURS) for _ in range(3))
    is_up(a, b, c)
    send(a, "one", "two")
    send(b, "three", "one")  # known there by now
    assert a.held() == [] and b.held() == []
    send(c, "four", "five")
    send(a, "six")
    assert c.held() == ["five@example.com"]
    assert a.held() == ["six@example.com"]
    until(lambda: c.ctl("show", ALICE)["waiting_elsewhere"] == 1, "the queue")
    # The queue is one for familiar_freeze_at.
    send(b, "seven", "eight", "nine")
    assert not any(w.sender(ALICE)["frozen"] for w in (a, b, c))
    send(c, "ten")
    frozen(a, b, c)
    c.ctl("thaw", ALICE, "--release")
    until(lambda: went(a, b, c) == 6, "all of it")


def test_familiar_recipients_wait_in_one_order(redis, relay):  # noqa: F811
    policy = AMONG.replace('familiar_burst = 4  familiar_interval = "1h"',
                           'familiar_burst = 1  familiar_interval = "2s"')
    server = redis()
    a, b = relay(server, policy=policy, **OURS), relay(server, policy=policy,
                                                       **OURS)
    is_up(a, b)
    send(a, "zero")
    began = time.monotonic()
    for i, w in enumerate((a, b, b)):
        send(w, f"to{i}")
    assert len(a.held()) + len(b.held()) == 3
    until(lambda: went(a, b) == 3, "all of it")
    assert time.monotonic() - began > 3


def test_familiar_mail_of_an_outage_is_told(redis, relay):  # noqa: F811
    server = redis()
    a, b = (relay(server, policy=AMONG, shared_fail="tempfail", **OURS)
            for _ in range(2))
    is_up(a, b)
    send(a, "one")
    server.kill()
    until(lambda: not shared(a)["up"] and not shared(b)["up"], "the outage")
    send(a, "two", "three")  # no strangers: not refused
    server.start()
    is_up(a, b)
    send(b, "four", "five")
    until(lambda: a.ctl("show", ALICE)["familiar_allowance"] == 0, "the level")
    send(b, "six")
    assert "six@example.com" in b.held()


def test_a_sender_without_credit_waits(redis, relay, sink):  # noqa: F811
    """What the relay knows of it, the server carries out."""
    sink.refuse_rcpt["unknown@example.com"] = "550 5.1.1 No such person"
    policy = FEW + "  refused_credit = 1"
    server = redis()
    a, b = relay(server, policy=policy), relay(server, policy=policy)
    is_up(a, b)
    peer = a.hello()
    peer.ask("MAIL FROM:<alice@example.org>")
    assert peer.ask("RCPT TO:<unknown@example.com>")[0] == 550
    peer.close()
    until(lambda: a.ctl("show", ALICE)["credit"] == 0, "the refusal")
    send(a, "one", "two")
    assert a.held() == ["one@example.com", "two@example.com"]
    send(b, "three")
    assert b.held() == ["three@example.com"]


SCOPED = 'scope "site" {\n  by = all\n  limit = "4/1d"\n}\n'


def by(w, sender, *names):
    peer = w.hello()
    for name in names:
        peer.transact(f"{sender}@example.org", [f"{name}@example.com"],
                      message())
    peer.ask("QUIT")


def test_a_scope_counts_at_all_relays(redis, relay):  # noqa: F811
    """Many senders at three relays together what one relay would let go."""
    policy = KEY + 'interval = "1h"  burst = 50  initial = 50'
    server = redis()
    a, b, c = (relay(server, policy=policy, sections=SCOPED)
               for _ in range(3))
    is_up(a, b, c)
    by(a, "alice", "one", "two")
    by(b, "bob", "three")
    by(c, "alice", "four")
    by(b, "bob", "five")
    by(c, "carol", "six")
    assert a.held() == []
    assert b.held() == ["five@example.com"]
    assert c.held() == ["six@example.com"]
    assert "4 of 4" in str(c.ctl("show", ALICE)["scopes"])
    # An outage, and an emptied server, give no place that was not there.
    server.kill()
    for w in (a, b, c):
        until(lambda w=w: not shared(w)["up"], "the outage")
    by(b, "dave", "seven")
    assert "seven@example.com" in b.held()
    server.start()
    is_up(a, b, c)
    by(a, "alice", "eight")
    assert a.held() == ["eight@example.com"]


def test_what_waits_for_a_scope_goes_once(redis, relay):  # noqa: F811
    """Relays ask one after the other when the window opens."""
    policy = KEY + 'interval = "1h"  burst = 50  initial = 50'
    server = redis()
    short = SCOPED.replace("4/1d", "2/4s")
    a, b = (relay(server, policy=policy, sections=short) for _ in range(2))
    is_up(a, b)
    by(a, "alice", "one", "two", "three")
    by(b, "bob", "four", "five")
    assert len(a.held()) == 1 and len(b.held()) == 2
    began = time.monotonic()
    until(lambda: went(a, b) == 3, "all of it")
    assert time.monotonic() - began > 4


def test_what_a_client_gives_up_leaves_the_scope(redis, relay):  # noqa: F811
    policy = KEY + 'interval = "1h"  burst = 50  initial = 50'
    server = redis()
    a, b = (relay(server, policy=policy, sections=SCOPED) for _ in range(2))
    is_up(a, b)
    peer = a.hello()
    peer.ask("MAIL FROM:<alice@example.org>")
    for i in range(4):
        assert peer.ask(f"RCPT TO:<to{i}@example.com>")[0] == 250
    by(b, "bob", "one")
    assert b.held() == ["one@example.com"]
    peer.ask("RSET")
    until(lambda: went(b) == 1, "the place")
