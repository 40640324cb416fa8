# SPDX-License-Identifier: BSD-3-Clause
"""The proof of "never lose mail": the daemon is killed with SIGKILL at random
moments under load, and restarted each time, while clients send and an
administrator releases and discards. At the end every message that was answered
250 has reached the next hop or is in the spool for each of its recipients, or
its discard was confirmed; and nothing was delivered after its discard had been
confirmed. Duplicates are allowed, counted and printed.

WEIR_CRASH_ROUNDS kills more often, WEIR_CRASH_SEED repeats a run's choices."""
import collections
import contextlib
import hashlib
import os
import random
import re
import subprocess
import threading
import time

import pytest

from harness import (CtlError, FastSink, Peer, Weir, dot_unstuff, path_of,
                     serve_smtp, until)
from powerloss import PowerLoss

ROUNDS = int(os.environ.get("WEIR_CRASH_ROUNDS", "110"))
POWER_ROUNDS = int(os.environ.get("WEIR_POWER_ROUNDS", "60"))
CLIENTS = 4
LARGE = 300_000  # a body file, not a row

POLICY = """
    key = envelope
    interval = "100ms"  burst = 1  initial = 0
    freeze_at = 0  queue_max = 100000
    exempt_recipients = {"@known.test"}
"""


def body_of(number, size):
    """A text that says which one it is and shows a lost or doubled block."""
    line = hashlib.sha256(b"%d" % number).hexdigest().encode()
    lines = [b"%s %06d\r\n" % (line, i) for i in range(size // 73 + 1)]
    return (b"From: x@example.org\r\nX-Number: %d %d\r\n\r\n" % (
        number, size) + b"".join(lines))


def check_body(text):
    """The number of a message that arrived, whole."""
    found = re.search(rb"\r\nX-Number: (\d+) (\d+)\r\n", text[:2000])
    assert found, text[:500]
    number, size = int(found.group(1)), int(found.group(2))
    whole = text.endswith(body_of(number, size))
    return number, whole


class Sink(FastSink):
    """Remembers when what arrived, and whether a connection is still read: a
    kill must not leave bytes behind that count as delivered later."""

    def __init__(self):
        self.arrivals = collections.defaultdict(list)  # recipient -> times
        self.broken = []
        self.active = 0
        super().__init__(keep=None)

    def serve(self, peer):
        with self.lock:
            self.active += 1
        try:
            super().serve(peer)
        finally:
            with self.lock:
                self.active -= 1
                self.peers.remove(peer)

    def take(self, rcpts, text):
        number, whole = check_body(text)
        now = time.monotonic()
        with self.lock:
            if not whole:
                self.broken.append(number)
            for rcpt in rcpts:
                self.arrivals[rcpt].append(now)

    def session(self, peer):
        rcpts = []

        def on_mail(peer, line):
            rcpts.clear()

        def on_rcpt(peer, line):
            rcpts.append(path_of(line))

        def on_end(peer, line):
            self.take(rcpts, dot_unstuff(peer.data))
            peer.data = b""

        serve_smtp(peer, on={"MAIL": on_mail, "RCPT": on_rcpt, ".": on_end})


class Shared:
    """What the threads know together."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.count = 0
        self.acknowledged = {}  # number -> recipients
        self.refused = collections.Counter()
        self.discarded = {}  # recipient -> when it was confirmed
        self.maybe_discarded = set()
        self.admin = collections.Counter()
        self.errors = []
        self.kill_now = None  # by the first client that hears a 250

    def on_250(self):
        kill, self.kill_now = self.kill_now, None
        if kill is not None:
            kill()

    def next_number(self):
        with self.lock:
            self.count += 1
            return self.count


def make_message(number, rng):
    kind = rng.choice(["known", "new", "new", "mixed", "mixed", "many"])
    size = LARGE if rng.random() < 0.06 else rng.choice([100, 2000, 20000])
    known, new = {"known": (1, 0), "new": (0, 1), "mixed": (1, 2),
                  "many": (2, 12)}[kind]
    rcpts = [f"m{number}k{i}@known.test" for i in range(known)]
    rcpts += [f"m{number}n{i}@new.test" for i in range(new)]
    rng.shuffle(rcpts)
    return rcpts, body_of(number, size)


def client(port, shared, rng):
    peer = None
    while not shared.stop.is_set():
        try:
            if peer is None:
                peer = Peer.connect(port)
                if peer.reply()[0] != 220 or peer.ask("EHLO c")[0] != 250:
                    raise EOFError
            send_one(peer, shared, rng)
        except (OSError, EOFError, ValueError):
            if peer is not None:
                peer.close()
            peer = None
            shared.stop.wait(0.005)
    if peer is not None:
        peer.close()


def send_one(peer, shared, rng):
    number = shared.next_number()
    rcpts, text = make_message(number, rng)
    sender = f"s{rng.randrange(30)}@example.org"
    peer.send(f"MAIL FROM:<{sender}>\r\n" + "".join(
        f"RCPT TO:<{r}>\r\n" for r in rcpts))
    code, _ = peer.reply()
    taken = []
    for rcpt in rcpts:
        answer, _ = peer.reply()
        if answer == 250:
            taken.append(rcpt)
    if code != 250 or not taken:
        shared.refused[code] += 1
        peer.ask("RSET")
        return
    if peer.ask("DATA")[0] != 354:
        peer.ask("RSET")
        return
    peer.send(text + b".\r\n")
    code, lines = peer.reply()
    if code == 250:
        shared.on_250()
        with shared.lock:
            shared.acknowledged[number] = taken
    else:
        assert 400 <= code < 500, lines
        shared.refused[code] += 1


def administrator(w, shared, rng):
    while not shared.stop.wait(0.01):
        try:
            rows = w.queue()
            if rows:
                change_some(w, shared, rng, rows)
        except (CtlError, ValueError, subprocess.TimeoutExpired):
            continue  # killed in the middle


def change_some(w, shared, rng, rows):
    if rng.random() < 0.4:
        few = rng.sample(rows, min(len(rows), rng.choice([1, 3, 10])))
        w.ctl("release", *[m["id"] for m in few])
        shared.admin["releases"] += 1
        return
    waiting = [m for m in rows
               if all(r["state"] == "held" for r in m["recipients"])]
    for m in rng.sample(waiting, min(len(waiting), 4)):
        rcpts = [r["address"] for r in m["recipients"]]
        try:
            count = w.ctl("discard", m["id"])["recipients"]
        except CtlError as error:
            # 1: nothing was changed; else nobody knows what was done.
            if error.status != 1:
                shared.maybe_discarded.update(rcpts)
            continue
        now = time.monotonic()
        if count == len(rcpts):
            shared.discarded.update({r: now for r in rcpts})
            shared.admin["discarded"] += count
        else:  # others of its recipients were on their way out
            shared.maybe_discarded.update(rcpts)


def guarded(shared, target, *args):
    def run():
        try:
            target(*args)
        except BaseException as error:
            shared.errors.append(error)
            raise
    return threading.Thread(target=run)


def crash_loop(w, sink, shared, rounds, power):
    rng = shared.random
    for _ in range(rounds):
        w.spawn()
        if rng.random() < 0.85:
            until(lambda: w.listens() or w.process.poll() is not None,
                  "the daemon to listen")
            assert w.process.poll() is None, w.log()[-3000:]
            time.sleep(rng.uniform(0.0, 0.5))
        else:  # in the middle of its recovery
            time.sleep(rng.uniform(0.0, 0.03))
        assert w.process.poll() is None, w.log()[-3000:]
        if rng.random() < 0.6:  # right behind a 250: the worst of moments
            shared.kill_now = w.process.kill
            with contextlib.suppress(subprocess.TimeoutExpired):
                w.process.wait(1)
            shared.kill_now = None
        w.kill()
        if power is not None:
            power.lose()
        until(lambda: sink.active == 0, "the sink to see the end")


def judge(w, sink, shared):
    """What became of each recipient of each acknowledged message."""
    waiting = set(w.held())
    lost, outcomes = [], collections.Counter()
    for number, rcpts in shared.acknowledged.items():
        for rcpt in rcpts:
            if rcpt in sink.arrivals:
                outcomes["delivered"] += 1
            elif rcpt in shared.discarded:
                outcomes["discarded"] += 1
            elif rcpt in waiting:
                outcomes["waiting"] += 1
            elif rcpt in shared.maybe_discarded:
                outcomes["discarded, unconfirmed"] += 1
            else:
                lost.append(rcpt)
    return lost, outcomes


def zombies(sink, shared):
    """Delivered after their discard had been confirmed."""
    return [r for r, at in shared.discarded.items()
            if any(t > at for t in sink.arrivals.get(r, []))]


def test_sigkill_under_load(tmp_path):
    kill_under_load(tmp_path, ROUNDS, False)


@pytest.mark.long("a loss of power under load, again and again")
def test_power_loss_under_load(tmp_path):
    """The same, and what was written but not synced is gone each time: of
    the database, its log, body files and directories."""
    kill_under_load(tmp_path, POWER_ROUNDS, True)


def kill_under_load(tmp_path, rounds, lose_power):
    seed = int(os.environ.get("WEIR_CRASH_SEED",
                              random.SystemRandom().randrange(1 << 32)))
    print(f"\nseed {seed}: WEIR_CRASH_SEED={seed} repeats it")
    shared = Shared(seed)
    sink = Sink()
    w = Weir(tmp_path / "weir", sink.address, policy=POLICY,
             errors_max="10000", retry_max='"1s"')
    power = None
    if lose_power:
        power = PowerLoss(tmp_path, w.spool)
        w.preload = power.env
    w.write_config()
    threads = [guarded(shared, client, w.port, shared,
                       random.Random(seed + i)) for i in range(CLIENTS)]
    threads.append(guarded(shared, administrator, w, shared,
                           random.Random(seed - 1)))
    for thread in threads:
        thread.start()
    try:
        crash_loop(w, sink, shared, rounds, power)
        w.launch()
        time.sleep(0.2)  # a last while of load without a kill
    finally:
        shared.stop.set()
        for thread in threads:
            thread.join()
    try:
        assert not shared.errors, shared.errors
        lost, outcomes = judge(w, sink, shared)
        assert not lost, f"answered 250 and gone: {lost[:20]}"
        # And what waits can be delivered.
        w.ctl("release", "--all")
        until(lambda: w.status()["held_messages"] == 0, "an empty spool", 60)
        lost, _ = judge(w, sink, shared)
        assert not lost, f"answered 250, never delivered: {lost[:20]}"
        assert not sink.broken, f"damaged messages: {sink.broken[:20]}"
        assert not zombies(sink, shared)
        until(lambda: list((w.spool / "bodies").iterdir()) == [],
              "no body left")
    finally:
        assert w.stop() == 0
        sink.stop()
    twice = sum(len(times) - 1 for times in sink.arrivals.values())
    print(f"{rounds} kills; {len(shared.acknowledged)} messages answered "
          f"250, {sum(outcomes.values())} recipients: "
          f"{dict(outcomes)}; {len(shared.discarded)} discards confirmed, "
          f"{len(shared.maybe_discarded)} not; {twice} duplicates; "
          f"refused {dict(shared.refused)}; {dict(shared.admin)}")
    # The run must have been one: mail of every kind, and kills in it.
    assert len(shared.acknowledged) > 2 * rounds
    assert outcomes["delivered"] > rounds and len(shared.discarded) > 0
    if power is not None:
        print(f"{power.dropped} files lost what was not synced")
        assert power.dropped > 0
