# SPDX-License-Identifier: BSD-3-Clause
"""Several relays whose throttle is one, in a real Redis server."""
import threading

import pytest

from harness import hello, message, until
from test_cluster import (ALICE, KEY, frozen, is_up, redis,  # noqa: F401
                          relay, send, shared)

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
