# SPDX-License-Identifier: BSD-3-Clause
"""Relays whose throttle lies in a real Redis cluster of six nodes."""
import itertools
import re
import threading
import time

import pytest

from harness import message, until
from pki import Pki
from redis_cluster import Cluster
from test_cluster import (ALICE, HERE, acl_of_the_manual,  # noqa: F401
                          frozen, is_up, relay, shared, thawed)
from test_cluster_order import FEW, passed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    c = Cluster(tmp_path_factory.mktemp("cluster"))
    yield c.start()
    c.kill()


@pytest.fixture
def fresh(tmp_path):
    """For a test that kills of it."""
    c = Cluster(tmp_path / "cluster")
    yield c.start()
    c.kill()


@pytest.fixture
def cluster(made):
    """Empty."""
    yield made
    for n in made.masters_now():
        for slot in re.findall(r"\[(\d+)-[<>]-", n.call(
                "CLUSTER", "NODES").decode()):
            n.call("CLUSTER", "SETSLOT", slot, "STABLE")
    until(lambda: len(made.masters_now()) == 3 and
          all(made.is_ok(n) for n in made.nodes), "the cluster to be whole",
          deadline_s=60)
    for n in made.masters_now():
        n.call("FLUSHALL")


def send(w, *names, sender="alice"):
    """One message to each; the time that the slowest answer to RCPT took."""
    peer, slowest = w.hello(), 0
    for name in names:
        peer.ask(f"MAIL FROM:<{sender}@example.org>")
        began = time.monotonic()
        assert peer.ask(f"RCPT TO:<{name}@example.com>")[0] == 250
        slowest = max(slowest, time.monotonic() - began)
        assert peer.submit(message())[0] == 250
    peer.ask("QUIT")
    return slowest


def nodes(w):
    return {n["address"]: n for n in w.status().get("shared_nodes", [])}


def all_up(*relays):
    is_up(*relays)
    for w in relays:
        until(lambda w=w: len(nodes(w)) == 3 and all(
            n["state"] == "up" for n in nodes(w).values()), "all masters")


def test_the_last_of_an_allowance_goes_once(cluster, relay):  # noqa: F811
    """Two relays and one sender get together what one relay would give."""
    relays = [relay(cluster, policy=FEW) for _ in range(2)]
    all_up(*relays)
    peers = [(w.hello(), f"to{i}@example.com")
             for i, w in enumerate(relays * 5)]
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
    assert sum(len(w.held()) for w in relays) == 6
    assert sum(passed(w) for w in relays) == 4
    # Freezes are shared, and senders lie at all nodes.
    relays[0].ctl("freeze", ALICE)
    frozen(relays[1])
    relays[1].ctl("thaw", ALICE)
    thawed(relays[0])
    for i in range(30):
        send(relays[i % 2], "one", sender=f"user{i}")
    assert len({n.port for _, _, n in cluster.find()}) == 3
    assert sum(n["slots"] for n in nodes(relays[0]).values()) == 16384


def at(cluster, w, n, names=None):
    """A sender whose throttle lies at this master."""
    for i in names or itertools.count():
        before = {key for key, _, _ in cluster.find()}
        send(w, "first", sender=f"s{i}")
        new = [x for x in cluster.find() if x[0] not in before]
        if new and new[0][2] is n:
            return f"s{i}"
    return None


def set_user(n, password):
    """As doc/cluster.md says it."""
    more = re.search(r"^    (\+cluster.*)$", (HERE / "../../doc/cluster.md")
                     .read_text(), re.M).group(1)
    rules = acl_of_the_manual().replace("PASSWORD", password).split()[1:]
    assert n.call("ACL", "SETUSER", "weir", "reset", *rules,
                  *more.split()) == b"+OK"


@pytest.fixture
def login(cluster, tmp_path):
    """Options of a user that may do just what the page says."""
    path = tmp_path / "password"
    path.write_text("right\n")
    path.chmod(0o600)
    for n in cluster.nodes:
        set_user(n, "right")
    yield {"shared_user": '"weir"', "shared_password_file": f'"{path}"'}
    for n in cluster.nodes:
        if n.process is not None and not n.is_paused:
            n.call("ACL", "DELUSER", "weir")


def errors(n, word):
    """Times that the server has answered with it."""
    for line in n.call("INFO", "errorstats").decode().splitlines():
        if line.startswith(f"errorstat_{word}:"):
            return int(line.split("=")[1])
    return 0


def queue(w):
    row = w.ctl("show", ALICE)
    return row["queue_length"] + row["waiting_elsewhere"]


def test_a_slot_that_moves_while_mail_flows(cluster, relay, login):  # noqa: F811
    """ASK, TRYAGAIN, MOVED, as a real server says them."""
    a, b = (relay(cluster, policy=FEW, **login) for _ in range(2))
    all_up(a, b)
    send(a, "one", "two", "three", "four", "five")
    assert a.held() == ["five@example.com"]
    (key, slot, was), = cluster.find()
    to = next(n for n in cluster.masters_now() if n is not was)
    cluster.begin_move(slot, to)
    send(b, "six")
    tag = key[:key.index("}") + 1]
    keys = [k for k, _, _ in cluster.find(f"{tag}*")]
    assert len(keys) == 3
    # Some are here and some there: nobody can say, and each relay does.
    cluster.carry(was, to, f"{tag}:state")
    tried = errors(was, "TRYAGAIN")
    assert send(b, "seven") < 3
    assert errors(was, "TRYAGAIN") > tried
    cluster.carry(was, to, f"{tag}:queue", f"{tag}:index")
    asked = errors(was, "ASK")
    send(a, "eight")
    send(b, "nine")
    assert errors(was, "ASK") > asked
    until(lambda: queue(a) == 5, "the one queue")
    cluster.end_move(slot, to)
    moved = errors(was, "MOVED")
    send(b, "ten")
    assert errors(was, "MOVED") > moved
    moved = errors(was, "MOVED")
    send(a, "four", "two", "eleven")
    send(b, "one", "twelve")
    assert passed(a) + passed(b) == 4 + 3
    assert len(a.held()) + len(b.held()) == 8
    until(lambda: queue(a) == 8 and queue(b) == 8, "the queue")
    all_up(a, b)
    assert not a.log_lines("shared down") and not b.log_lines("node_down")


def test_tempfail_where_one_slot_has_no_answer(cluster, relay):  # noqa: F811
    """The cluster is there, and cannot say anything about this sender."""
    a = relay(cluster, policy=FEW, shared_fail="tempfail",
              shared_timeout='"1s"')
    all_up(a)
    send(a, "one", "two", "three", "four", "five")
    (key, slot, was), = cluster.find()
    to = next(n for n in cluster.masters_now() if n is not was)
    cluster.begin_move(slot, to)
    cluster.carry(was, to, key)
    peer = a.hello()
    peer.ask("MAIL FROM:<alice@example.org>")
    assert peer.ask("RCPT TO:<six@example.com>")[0] == 451
    assert peer.ask("RCPT TO:<one@example.com>")[0] == 250
    peer.ask("QUIT")
    tag = key[:key.index("}") + 1]
    cluster.carry(was, to, f"{tag}:queue", f"{tag}:index")
    cluster.end_move(slot, to)
    send(a, "six")
    assert a.held() == ["five@example.com", "six@example.com"]


def test_slots_resharded_by_the_administrator(cluster, relay):  # noqa: F811
    relays = [relay(cluster, policy=FEW) for _ in range(2)]
    all_up(*relays)
    names = [f"user{i}" for i in range(12)]
    for name in names:
        send(relays[0], "one", sender=name)
    was, to = cluster.masters_now()[:2]
    over, slowest = threading.Event(), []

    def flow(w, who):
        for i in itertools.count():
            if over.is_set():
                return
            slowest.append(send(w, f"{who}{i}", sender=names[i % 12]))

    threads = [threading.Thread(target=flow, args=x)
               for x in zip(relays, "ab")]
    for t in threads:
        t.start()
    cluster.reshard(600, was, to)
    over.set()
    for t in threads:
        t.join()
    sent = 12 + len(slowest)
    assert max(slowest) < 5
    all_up(*relays)
    assert sum(passed(w) + len(w.held()) for w in relays) == sent
    # What was decided alone meanwhile is told: nothing is left for anybody.
    for name in names:
        for i, w in enumerate(relays):
            send(w, *(f"more{i}{j}" for j in range(4)), sender=name)
    before = sum(passed(w) for w in relays)
    send(relays[0], "late", sender=names[0])
    send(relays[1], "later", sender=names[0])
    assert sum(passed(w) for w in relays) == before


def offset(n):
    return n.call("INFO", "replication").split(b"master_repl_offset:")[
        1].split()[0]


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_master_is_lost_and_its_replica_takes_over(
        fresh, relay, how):  # noqa: F811
    cluster = fresh
    a, b = (relay(cluster, policy=FEW, shared_timeout='"500ms"')
            for _ in range(2))
    all_up(a, b)
    send(a, "one", "two")
    (_, slot, lost), = cluster.find()
    other = next(n for n in cluster.masters_now() if n is not lost)
    bob = at(cluster, a, other)
    copy = cluster.replicas[cluster.masters.index(lost)]
    until(lambda: copy.call("DBSIZE") == lost.call("DBSIZE") and
          offset(copy) == offset(lost), "the replica to have it")
    getattr(lost, how)()
    name = f"127.0.0.1:{lost.port}"
    # Nobody waits longer than the deadline, and what is elsewhere goes on.
    assert send(a, "three") < 3
    assert send(b, "last") < 3  # whom nobody has told b of
    for w in (a, b):
        until(lambda w=w: w.log_lines(f"node_down server={name}"),
              "the outage")
    spare = [n for n in cluster.living() if n is not lost]
    until(lambda: cluster.owner(slot) in spare, "the election", deadline_s=60)
    all_up(a, b)
    assert name not in nodes(a)
    for w in (a, b):
        assert w.log_lines(f"node_gone server={name}")
    # One and two there, three and last alone: four in all.
    # Who told first knows of the other's only when it asks again, as show does.
    for w in (a, b):
        until(lambda w=w: w.ctl("show", ALICE)["allowance"] == 0,
              "what was spent")
    send(b, "four", "five")
    send(a, "six")
    assert b.held() == ["four@example.com", "five@example.com"]
    assert a.held() == ["six@example.com"]
    until(lambda: queue(a) == 3 and queue(b) == 3, "the one queue")
    send(b, "second", "third", "fourth", "fifth", sender=bob)
    assert b.held()[2:] == ["fifth@example.com"]


def test_a_wrong_password_at_one_node(cluster, relay, login):  # noqa: F811
    bad = cluster.masters_now()[1]
    name = f"127.0.0.1:{bad.port}"
    set_user(bad, "wrong")
    a = relay(cluster, policy=FEW, **login)
    until(lambda: "WRONGPASS" in nodes(a).get(name, {}).get("reason", ""),
          "the refusal")
    until(lambda: [n["state"] for n in nodes(a).values()].count("up") == 2,
          "the others")
    assert [p for p in a.ctl("problems") if name in p["reason"]]
    text = a.run_ctl("status").stdout
    assert f"shared server {name}: down, the server says: WRONGPASS" in text
    for i in range(40):  # enough for each of the servers
        send(a, "one", sender=f"user{i}")
    assert passed(a) == 40
    assert {n.port for _, _, n in cluster.find()} == {
        n.port for n in cluster.masters_now() if n is not bad}
    set_user(bad, "right")
    all_up(a)
    for i in range(40):
        send(a, "two", sender=f"user{i}")
    assert len({n.port for _, _, n in cluster.find()}) == 3
    assert not a.log_lines("NOPERM") and not a.log_lines("right")


def test_a_cluster_that_is_down(cluster, relay):  # noqa: F811
    """All of its servers are there, and none of them answers."""
    a = relay(cluster, policy=FEW)
    all_up(a)
    send(a, "one")
    (_, slot, _), = cluster.find()
    spare = (slot + 1) % 16384
    others = [at(cluster, a, n) for n in cluster.masters_now()]

    def is_down():
        """A server of which nothing is asked is not missed: each is."""
        for who in others:
            a.ctl("show", f"<{who}@example.org>")
        return not shared(a)["up"]

    owner = cluster.owner(spare)
    for n in cluster.nodes:
        n.call("CONFIG", "SET", "cluster-require-full-coverage", "yes")
    for n in cluster.masters_now():
        n.call("CLUSTER", "DELSLOTS", spare)
    try:
        until(is_down, "the outage")
        assert send(a, "two", "three", "four", "five") < 3
        assert a.held() == ["five@example.com"]
        until(lambda: "cluster is down" in str(nodes(a)), "the reason")
    finally:
        owner.call("CLUSTER", "ADDSLOTS", spare)
        for n in cluster.nodes:
            n.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
    all_up(a)
    until(lambda: queue(a) == 1, "the queue")
    send(a, "six")
    assert a.held() == ["five@example.com", "six@example.com"]


def test_tls_to_a_cluster(tmp_path, relay):  # noqa: F811
    pki = Pki(tmp_path / "pki")
    c = Cluster(tmp_path / "tls", tls=(pki.cert("redis", ["127.0.0.1"]),
                                       pki.ca))
    try:
        c.start()
        a = relay(c, shared_tls_ca=f'"{pki.ca}"', policy=FEW)
        b = relay(c, shared_tls_ca=f'"{pki.ca}"', policy=FEW)
        all_up(a, b)
        send(a, "one", "two", "three")
        send(b, "four", "five")
        assert b.held() == ["five@example.com"]
    finally:
        c.kill()
