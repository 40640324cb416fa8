# SPDX-License-Identifier: BSD-3-Clause
"""Many messages of one sender that are released delay no other's."""
import time

import pytest
from bulk import HOLD, ROOM, hold, multiply
from harness import FastSink, Weir, until


@pytest.fixture
def sink():
    with_sink = FastSink(keep=lambda text: b"")
    yield with_sink
    with_sink.stop()


def fill(tmp_path, sink, count):
    weir = Weir(tmp_path / "weir", sink.address, policy=HOLD, **ROOM,
                delivery_concurrency=5).start()
    hold(weir, "bob@example.org", "friend@example.net")
    hold(weir, "eve@example.org", "r0@example.net")
    assert len(weir.held()) == 2
    weir.stop()
    multiply(weir, count)
    weir.launch()
    assert weir.status()["held_recipients"] == count + 1
    return weir


def place_of_one(weir, sink, count):
    """eve's many are released, and bob's one when some of them have left: at
    which place it comes, and how long that took."""
    eve, bob = "<eve@example.org>", "<bob@example.org>"
    done = weir.ctl("release", "--sender", eve)
    assert done["recipients"] == count or done["goes_on"]
    until(sink.recipients, "the first of eve's")
    start = time.monotonic()
    assert weir.ctl("release", "--sender", bob)["recipients"] == 1
    until(lambda: "friend@example.net" in sink.recipients(), "bob's one")
    took = time.monotonic() - start
    return sink.recipients().index("friend@example.net"), took


def test_one_message_among_many(tmp_path, sink):
    weir = fill(tmp_path, sink, 500)
    try:
        place, _ = place_of_one(weir, sink, 500)
        assert place < 400
    finally:
        weir.kill()


@pytest.mark.long("one message among 100 000 of another sender")
def test_one_message_among_100000(tmp_path, sink):
    weir = fill(tmp_path, sink, 100000)
    try:
        place, took = place_of_one(weir, sink, 100000)
        print(f"bob's came as number {place}, {took:.2f} s after its release")
        assert place < 50000
    finally:
        weir.kill()
