# SPDX-License-Identifier: BSD-3-Clause
"""Relays whose throttle lies in a real Redis cluster of six nodes."""
import threading
import time

import pytest

from harness import message, until
from redis_cluster import Cluster
from test_cluster import (ALICE, KEY, frozen, is_up, relay,  # noqa: F401
                          shared, thawed)
from test_cluster_order import FEW, passed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    c = Cluster(tmp_path_factory.mktemp("cluster"))
    yield c.start()
    c.kill()


@pytest.fixture
def cluster(made):
    """Empty; what a test did to its nodes is its own to mend."""
    yield made
    for n in made.masters:
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
    assert all(m.call("DBSIZE") != b":0" for m in cluster.masters)
    assert sum(n["slots"] for n in nodes(relays[0]).values()) == 16384
