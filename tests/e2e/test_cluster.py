# SPDX-License-Identifier: BSD-3-Clause
"""Several relays that freeze together over a real Redis server."""
import json
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from harness import BUILD, free_port, hello, listens, message, until
from pki import Pki
from redis_server import Redis

ALICE, BOB = "<alice@example.org>", "<bob@example.org>"
HERE = pathlib.Path(__file__).resolve().parent
KEY = "key = envelope\n"
RULE = KEY + 'interval = "1h"  burst = 1  initial = 0  freeze_at = 2'


@pytest.fixture
def redis(tmp_path):
    made = []

    def make(*options, name="redis", **kw):
        r = Redis(tmp_path / f"{name}{len(made)}", *options, **kw)
        made.append(r)
        return r.start()

    yield make
    for r in made:
        if r.process is not None:
            r.go_on()
        r.kill()


@pytest.fixture
def relay(weir, tmp_path):
    """A factory of relays of one site."""
    secret = tmp_path / "secret"
    secret.write_text("a secret of this site alone\n")
    secret.chmod(0o600)
    count = iter("abcdefgh")

    def make(server, policy=KEY, preload=None, **kw):
        options = {"hostname": f'"{next(count)}.weir.test"',
                   "shared": f'"{server if isinstance(server, str) else server.url}"',
                   "shared_secret_file": f'"{secret}"', **kw}
        # A busy machine is no outage.
        options.setdefault("shared_timeout", '"5s"')
        return weir(policy=policy, preload=preload, **options)

    return make


def shared(w):
    return w.status()["shared"]


def is_up(*relays):
    for w in relays:
        until(lambda w=w: shared(w)["up"], "the shared server")


def is_frozen(w, sender=ALICE):
    row = w.sender(sender)
    return row is not None and row["frozen"]


def frozen(*relays, sender=ALICE):
    for w in relays:
        until(lambda w=w: is_frozen(w, sender), "a freeze")


def thawed(*relays, sender=ALICE):
    for w in relays:
        until(lambda w=w: not is_frozen(w, sender), "a thaw")


def test_what_one_relay_freezes_is_frozen_at_all(redis, relay):
    server = redis()
    a, b, c = relay(server), relay(server), relay(server)
    is_up(a, b, c)
    a.ctl("freeze", ALICE, "--reason", "asked by phone")
    frozen(b, c)
    until(lambda: b.sender(ALICE)["freeze_note"], "the reason")
    row = b.sender(ALICE)
    assert row["freeze_reason"] == "another relay"
    assert row["freeze_note"] == "a.weir.test: asked by phone"
    c.ctl("thaw", ALICE)
    thawed(a, b)
    # None is thrown back by the others' echo.
    until(lambda: all(shared(w)["waiting"] == 0 for w in (a, b, c)), "peace")
    a.ctl("freeze", BOB)
    frozen(b, c, sender=BOB)
    assert not any(is_frozen(w) for w in (a, b, c))
    # Nobody's name is to be read on the server.
    dump = str(server.call("HVALS", "{weir:1}:freezes"))
    assert "alice" not in dump and "example" not in dump


def test_a_freeze_by_a_rule_reaches_a_relay_that_never_saw_the_sender(
        redis, relay):
    server = redis()
    a, b = relay(server, policy=RULE), relay(server)
    is_up(a, b)
    peer = a.hello()
    for i in range(2):
        peer.transact("alice@example.org", [f"to{i}@example.com"], message())
    peer.ask("QUIT")
    frozen(a, b)
    until(lambda: "waiting" in (b.sender(ALICE)["freeze_note"] or ""),
          "the reason")
    # Its mail stays where it is, and goes or not as somebody decides elsewhere.
    b.ctl("thaw", ALICE, "--discard")
    thawed(a, b)
    until(lambda: a.status()["held_messages"] == 0, "the queue to go")
    assert a.status()["discarded_recipients"] == 2


def test_time_of_a_freeze_ends_everywhere(redis, relay):
    server = redis()
    a, b = relay(server), relay(server)
    is_up(a, b)
    a.ctl("freeze", ALICE, "--for", "1h")
    frozen(b)
    until(lambda: b.sender(ALICE)["thaw_at"], "its time")
    b.ctl("thaw", ALICE)
    thawed(a)
    # Too short a time to be looked at on a busy machine.
    a.ctl("freeze", BOB, "--for", "1s")
    until(lambda: b.log_lines("gate freeze sender=<bob"), "the freeze")
    thawed(a, b, sender=BOB)


def test_an_outage_ends_with_what_both_sides_did(redis, relay):
    server = redis()
    a, b = relay(server), relay(server)
    is_up(a, b)
    a.ctl("freeze", BOB)
    frozen(b, sender=BOB)
    server.kill()
    for w in (a, b):
        until(lambda w=w: not shared(w)["up"], "the outage")
    a.ctl("freeze", ALICE)
    b.ctl("thaw", BOB)
    assert shared(a)["waiting"] == 1
    assert [p for p in b.ctl("problems") if p["kind"] == "shared"]
    # It comes back empty: what the relays know fills it again.
    server.start()
    is_up(a, b)
    frozen(a, b)
    # The thaw was of the freeze that both know.
    thawed(a, b, sender=BOB)
    assert b.log_lines("shared down") and b.log_lines("shared up")


def test_a_thaw_while_the_server_stood_still(redis, relay):
    server = redis()
    a, b = relay(server, shared_timeout='"200ms"'), relay(server)
    is_up(a, b)
    b.ctl("freeze", ALICE)
    frozen(a)
    server.pause()
    until(lambda: not shared(a)["up"], "the outage")
    assert "in time" in shared(a)["problem"]
    a.ctl("thaw", ALICE)
    server.go_on()
    is_up(a, b)
    thawed(a, b)


def test_a_thaw_does_not_end_a_freeze_that_it_is_not_of(redis, relay):
    server = redis()
    a, b = relay(server), relay(server)
    is_up(a, b)
    server.kill()
    for w in (a, b):
        until(lambda w=w: not shared(w)["up"], "the outage")
        w.ctl("freeze", ALICE)
    b.ctl("thaw", ALICE)
    server.start()
    is_up(a, b)
    frozen(a, b)


ALLOWED = KEY + 'interval = "1h"  burst = 4  initial = 4  limit = "20/1d"'
SLOW = (KEY + 'interval = "1s"  burst = 50  initial = 50  freeze_at = 100\n'
        'stranger_messages = "4/1d"')


def send(w, *names, sender="alice@example.org"):
    """One message to each."""
    peer = w.hello()
    for name in names:
        peer.transact(sender, [f"{name}@example.com"], message())
    peer.ask("QUIT")


def spent(w, n):
    until(lambda: w.status()["shared_spent"] == n, "what others spent")


def test_relays_share_an_allowance(redis, relay):
    """Three relays and one sender get together what one relay would give."""
    server = redis()
    a, b, c = (relay(server, policy=ALLOWED) for _ in range(3))
    is_up(a, b, c)
    send(a, "one", "two", "three")
    spent(b, 3)
    send(b, "four", "five")
    assert b.held() == ["five@example.com"]
    spent(a, 1)
    spent(c, 4)
    send(a, "one", "six")
    send(c, "seven")
    assert a.held() == ["six@example.com"]
    assert c.held() == ["seven@example.com"]
    dump = str(server.call("DUMP", "{weir:1}:spent"))
    assert "alice" not in dump and "example" not in dump


def test_what_was_spent_in_an_outage_is_told_afterwards(redis, relay):
    server = redis()
    a, b = relay(server, policy=ALLOWED), relay(server, policy=ALLOWED)
    is_up(a, b)
    send(a, "zero")
    spent(b, 1)
    server.kill()
    for w in (a, b):
        until(lambda w=w: not shared(w)["up"], "the outage")
    send(a, "one", "two", "three")
    assert a.held() == []
    server.start()
    is_up(a, b)
    spent(b, 4)
    send(b, "four")
    assert b.held() == ["four@example.com"]


def messages(w):
    return int(w.ctl("show", ALICE)["stranger_messages"].split()[0])


def test_messages_to_strangers_count_at_all_relays(redis, relay):
    server = redis()
    a, b = relay(server, policy=SLOW), relay(server, policy=SLOW)
    is_up(a, b)
    send(a, "one", "two")
    until(lambda: b.sender(ALICE) and messages(b) == 2, "the messages")
    send(b, "three", "four")
    until(lambda: messages(a) == 4, "the messages")
    send(a, "five")
    assert a.held() == ["five@example.com"]
    assert "messages to new recipients" in a.log()


def test_an_older_thaw_that_somebody_puts_back(redis, relay):
    """Whoever may write to the server thaws nobody."""
    server = redis()
    a, b = relay(server), relay(server)
    is_up(a, b)
    a.ctl("freeze", ALICE)
    frozen(b)
    a.ctl("thaw", ALICE)
    thawed(b)
    until(lambda: shared(a)["waiting"] == 0, "the thaw")
    steal = ("local f = redis.call('HGETALL', KEYS[1])"
             " redis.call('SET', 'stolen', f[2]) return 1")
    assert server.call("EVAL", steal, 1, "{weir:1}:freezes") == b":1"
    a.ctl("freeze", ALICE)
    frozen(b)
    until(lambda: shared(a)["waiting"] == 0, "the freeze")
    put = ("local v = string.gsub(redis.call('GET', 'stolen'), '^%d+', '77')"
           " local name = redis.call('HKEYS', KEYS[1])[1]"
           " redis.call('HSET', KEYS[3], 'rev', 77)"
           " redis.call('HSET', KEYS[1], name, v)"
           " redis.call('ZADD', KEYS[2], 77, name) return 1")
    assert server.call("EVAL", put, 3, *(
        "{weir:1}:" + k for k in ("freezes", "changes", "meta"))) == b":1"
    until(lambda: server.call("HGET", "{weir:1}:meta", "rev") != b"77",
          "what is true")
    assert is_frozen(a) and is_frozen(b)


def test_flushall_is_made_good(redis, relay):
    server = redis()
    a, b = relay(server), relay(server)
    is_up(a, b)
    a.ctl("freeze", ALICE)
    frozen(b)
    server.call("FLUSHALL")
    until(lambda: server.call("HLEN", "{weir:1}:freezes") == b":1", "its record")
    c = relay(server)
    frozen(c)
    c.ctl("thaw", ALICE)
    thawed(a, b)


def test_a_relay_that_was_off_hears_of_it(redis, relay):
    server = redis()
    a, b = relay(server), relay(server)
    is_up(a, b)
    a.ctl("freeze", ALICE)
    frozen(b)
    b.kill()
    a.ctl("thaw", ALICE)
    a.ctl("freeze", BOB)
    b.launch()
    is_up(b)
    thawed(a, b)
    frozen(b, sender=BOB)
    # And what it froze alone, before it was killed, goes to the others.
    server.kill()
    until(lambda: not shared(b)["up"], "the outage")
    b.ctl("freeze", ALICE)
    b.kill()
    server.start()
    b.launch()
    frozen(a, b)


@pytest.fixture(scope="session")
def shiftclock(tmp_path_factory):
    path = tmp_path_factory.mktemp("shiftclock") / "shiftclock.so"
    subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-shared",
                    "-fPIC", "-o", path, HERE / "shiftclock.c"], check=True)
    return path


@pytest.mark.parametrize("shift", ["-3600", "3600"])
def test_clocks_an_hour_apart(redis, relay, shiftclock, shift):
    server = redis()
    wrong = {"LD_PRELOAD": str(shiftclock), "SHIFTCLOCK_S": shift,
             "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")
                             + ":verify_asan_link_order=0"}
    a, b = relay(server), relay(server, preload=wrong)
    is_up(a, b)
    a.ctl("freeze", ALICE, "--for", "1h")
    frozen(b)
    b.kill()
    a.ctl("thaw", ALICE)
    a.ctl("freeze", BOB)
    b.launch()
    is_up(b)
    thawed(a, b)
    frozen(b, sender=BOB)
    b.ctl("thaw", BOB)
    thawed(a, b, sender=BOB)
    b.ctl("freeze", "<carol@example.org>", "--for", "1s")
    until(lambda: a.log_lines("gate freeze sender=<carol"), "the freeze")
    thawed(a, b, sender="<carol@example.org>")


def acl_of_the_manual():
    """The user that doc/cluster.md says to make."""
    text = (HERE / "../../doc/cluster.md").read_text()
    line = re.search(r"^    user (weir on .*?)\n\n", text, re.M | re.S).group(1)
    return " ".join(line.split())


def test_login_and_a_wrong_password(redis, relay, tmp_path):
    rules = tmp_path / "users.acl"
    rules.write_text("user " + acl_of_the_manual().replace(
        "PASSWORD", "right-one") + "\nuser default on nopass ~* +@all\n")
    server = redis("--aclfile", str(rules))
    good, bad = tmp_path / "good", tmp_path / "bad"
    for path, text in ((good, "right-one\n"), (bad, "wrong-one\n")):
        path.write_text(text)
        path.chmod(0o600)
    a = relay(server, shared_user='"weir"', shared_password_file=f'"{good}"')
    b = relay(server, shared_user='"weir"', shared_password_file=f'"{bad}"')
    is_up(a)
    until(lambda: "WRONGPASS" in shared(b)["problem"], "the refusal")
    assert "cannot reach the shared server" in b.run_ctl("status").stdout
    assert "wrong-one" not in b.log() and "right-one" not in a.log()
    bad.write_text("right-one\n")
    b.restart()
    a.ctl("freeze", ALICE)
    frozen(b)
    a.ctl("thaw", ALICE)
    thawed(b)
    # All that the script does is allowed.
    send(a, *(f"to{i}" for i in range(12)), "to0", "to11")
    a.ctl("discard", "--sender", ALICE)
    assert shared(a)["up"] and not a.log_lines("NOPERM")


def test_a_replica_and_full_memory_are_outages(redis, relay):
    master = redis()
    replica = redis("--replicaof", f"127.0.0.1 {master.port}")
    a, b = relay(replica), relay(master)
    is_up(b)
    until(lambda: "replica" in shared(a)["problem"], "the refusal")
    master.call("CONFIG", "SET", "maxmemory", "1")
    b.ctl("freeze", ALICE)
    until(lambda: "OOM" in shared(b)["problem"], "the outage")
    assert is_frozen(b)
    master.call("CONFIG", "SET", "maxmemory", "0")
    c = relay(master)
    frozen(c)


def test_eviction_is_warned_of(redis, relay):
    server = redis("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    a = relay(server)
    is_up(a)
    until(lambda: a.log_lines("shared eviction"), "the warning")


def test_tls_and_a_socket(redis, relay, tmp_path):
    pki = Pki(tmp_path / "pki")
    server = redis(tls=pki.cert("redis", ["127.0.0.1"]))
    a = relay(server, shared_tls_ca=f'"{pki.ca}"')
    b = relay(f"unix:{server.socket_path}")
    liar = relay(server, shared_tls_ca=f'"{pki.ca}"',
                 shared_tls_name='"other.weir.test"')
    is_up(a, b)
    a.ctl("freeze", ALICE)
    frozen(b)
    until(lambda: "TLS failed" in shared(liar)["problem"], "the refusal")


def test_the_example_in_contrib(tmp_path, sink):
    """Two relays behind haproxy: they know the client, and act as one."""
    port = next(p for p in iter(free_port, None)
                if not any(listens(p + i) for i in range(1, 4)))
    with open(tmp_path / "log", "wb") as log:
        script = subprocess.Popen(
            [HERE / "../../contrib/two-relays.sh", tmp_path / "site"],
            stdout=log, stderr=log,
            env={**os.environ, "WEIR_BIN": str(BUILD), "PORT": str(port),
                 "NEXT_HOP": sink.address, "BALANCE": "roundrobin"})

    def ctl(n, *args):
        done = subprocess.run(
            [BUILD / "weirctl", "-s", tmp_path / f"site/mx{n}.sock", "--json",
             *args], capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout) if done.returncode == 0 else None

    try:
        for n in (1, 2):
            until(lambda n=n: (ctl(n, "status") or {}).get("shared", {}).get(
                "up"), "the relays", deadline_s=120)
        until(lambda: listens(port), "haproxy")
        peers = [hello(port) for _ in range(2)]
        for i, peer in enumerate(peers):
            peer.transact("alice@example.org", [f"to{i}@example.com"],
                          message())
            peer.ask("QUIT")
        assert len(sink.messages) == 2
        # Under load haproxy's turns may bring both to one relay.
        until(lambda: sum(ctl(n, "status")["shared_spent"]
                          for n in (1, 2)) >= 2, "what the others spent")
        ctl(1, "freeze", ALICE)
        until(lambda: any(s["sender"] == ALICE and s["frozen"]
                          for s in ctl(2, "senders")), "the freeze")
    finally:
        script.terminate()
        script.wait(60)
