# SPDX-License-Identifier: BSD-3-Clause
"""A disk that fails: each write, sync, rename and creation below the spool
fails in turn, with ENOSPC and with EIO, over a small scenario that does
everything with it. After each: the client had an honest reply, nothing that
was acknowledged is lost, the daemon lives, works when the fault is gone, and
starts again. And a disk that is really full."""
import concurrent.futures
import contextlib
import errno
import os
import shutil
import subprocess

import pytest

from faultio import Faults
from harness import (BUILD, DEADLINE_S, CtlError, FastSink, Weir, hello,
                     message, until)

POLICY = """
    key = envelope
    interval = "1h"  burst = 1  initial = 0
    exempt_recipients = {"@known.test"}
"""
LARGE = 700_000
AT_ONCE = 8


class Run:
    """The scenario, and what was promised in it."""

    def __init__(self, w, sink):
        self.w, self.sink = w, sink
        self.safe = set()  # recipients of what was answered 250
        self.gone = set()  # those whose discard was confirmed
        self.texts = {}  # recipient -> what it is to get
        self.frozen = False
        self.replies = []

    def send(self, rcpts, size=0):
        body = "\r\n".join(f"{i:070}" for i in range(size // 72)) or "short"
        peer = hello(self.w.port)
        code, _ = peer.ask("MAIL FROM:<a@example.org>")
        self.replies.append(code)
        taken = []
        for rcpt in rcpts if code == 250 else []:
            code, _ = peer.ask(f"RCPT TO:<{rcpt}>")
            self.replies.append(code)
            if code == 250:
                taken.append(rcpt)
        if taken:
            text = message(body=body)
            self.texts.update(dict.fromkeys(taken, text))
            code, _ = peer.submit(text)
            self.replies.append(code)
            if code == 250:
                self.safe.update(taken)
        peer.ask("QUIT")

    def ctl(self, *args):
        """How many recipients were changed; None: it was refused."""
        try:
            return (self.w.ctl(*args) or {"recipients": 0})["recipients"]
        except CtlError as error:
            assert error.status == 1, error
            return None

    def everything(self):
        self.send(["k1@known.test"])
        self.send(["h1@new.test"])
        self.send(["k2@known.test", "h2@new.test", "h3@new.test"])
        self.send(["h4@new.test"], LARGE)
        self.send(["k3@known.test", "h5@new.test"], LARGE)
        self.ctl("release", "--recipient", "h2@new.test", "--all")
        self.ctl("release", "--recipient", "h4@new.test", "--all")
        for rcpt in ("h3@new.test", "h5@new.test"):
            if self.ctl("discard", "--recipient", rcpt, "--all") == 1:
                self.gone.add(rcpt)
        self.frozen = self.ctl("freeze", "<b@example.org>") is not None
        until(lambda: self.w.status()["spool"]["sending"] == 0,
              "deliveries to end")

    def check(self):
        """Nothing that was acknowledged is lost, nothing that was discarded
        is there."""
        waiting = set(self.w.held())
        there = waiting | set(self.sink.recipients())
        missing = self.safe - there - self.gone
        assert not missing, f"answered 250 and gone: {missing}"
        assert not self.gone & self.safe & there
        for _, rcpts, text in list(self.sink.messages):
            for rcpt in rcpts:
                assert text.endswith(self.texts.get(rcpt, b"")), rcpt


def start(tmp_path, sink, shim):
    directory = tmp_path / "weir"
    faults = Faults(tmp_path, directory / "spool", shim)
    w = Weir(directory, sink.address, policy=POLICY, preload=faults.env)
    return w, faults


def finish(w, run):
    """The fault is gone: it works, starts again, and all can be delivered."""
    assert w.process.poll() is None, w.log()[-3000:]
    until(lambda: hello(w.port).transact(
        "c@example.org", ["after@new.test"], message())[0] == 250,
        "the daemon to work again")
    run.check()
    w.restart()
    run.check()
    if run.frozen:
        assert w.sender("<b@example.org>")["frozen"]
    w.ctl("release", "--all")
    w.wait_empty()
    assert "after@new.test" in run.sink.recipients()
    run.check()
    assert w.stop() == 0
    assert list((w.spool / "bodies").iterdir()) == []


def under_way(w, sink):
    """What each connection to the next hop came to, where one is stuck."""
    with contextlib.suppress(CtlError, OSError):
        return (w.status(),
                [getattr(peer, "lines", None) for peer in sink.peers])
    return "it does not answer"


def one_fault(tmp_path, shim, n, error):
    """(calls in the scenario, whether one failed)"""
    here = tmp_path / str(n)
    here.mkdir()
    sink = FastSink()
    w, faults = start(here, sink, shim)
    try:
        w.start()
        run = Run(w, sink)
        faults.arm(n, error)
        run.everything()
        seen, failed, what = faults.disarm()
        try:
            assert all(code == 250 or 400 <= code < 500
                       for code in run.replies), run.replies
            finish(w, run)
        except (AssertionError, CtlError) as problem:
            raise AssertionError(
                f"call {n} ({what}) with {errno.errorcode[error]}: {problem}"
                f"\n{w.log()[-2500:]}\n{under_way(w, sink)}") from problem
    finally:
        if w.process is not None:
            w.kill()
        sink.stop()
    shutil.rmtree(here)
    return seen, failed


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO],
                         ids=["ENOSPC", "EIO"])
def test_each_call_fails_in_turn(tmp_path, shim, error):
    """Until a call is reached that the scenario does not make any more; a few
    at a time, each with a daemon of its own."""
    hits, n = 0, 1
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            turns = range(n, n + 2 * AT_ONCE)
            results = list(pool.map(
                lambda turn: one_fault(tmp_path, shim, turn, error), turns))
            hits += sum(failed > 0 for _, failed in results)
            n = turns.stop
            if not results[-1][1]:
                break
    print(f"\n{hits} faults with {errno.errorcode[error]}, "
          f"{results[-1][0]} calls in the last run")
    assert hits > 50, "the scenario did not touch the disk"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO],
                         ids=["ENOSPC", "EIO"])
def test_the_disk_fails_for_a_while(tmp_path, fast_sink, shim, error):
    """All calls fail from the first on: held mail gets 4xx, what is known
    passes, and afterwards all is well."""
    w, faults = start(tmp_path, fast_sink, shim)
    w.start()
    run = Run(w, fast_sink)
    run.send(["before@new.test"])
    try:
        faults.arm(1, error, 1 << 40)
        run.send(["k1@known.test"])
        assert "k1@known.test" in run.safe, "known mail needs no disk"
        for rcpt, size in (("h1@new.test", 0), ("h2@new.test", LARGE)):
            run.send([rcpt], size)
            assert rcpt not in run.safe
            assert run.replies[-1] == (452 if error == errno.ENOSPC else 451)
        run.send(["k2@known.test", "h3@new.test"])
        assert run.replies[-1] in (451, 452)
        assert "k2@known.test" not in fast_sink.recipients()
        assert run.ctl("release", "--all") is None
        assert run.ctl("discard", "--all") is None
        assert w.status()["spool"]["database_errors"] > 0
        faults.disarm()
        finish(w, run)
    finally:
        if w.process is not None:
            w.kill()
    assert any(" error " in line for line in w.log().splitlines())


def test_start_on_a_failing_disk(tmp_path, fast_sink, shim):
    """Each call at the start fails in turn: one line and 74, or it works; and
    what is in the spool stays."""
    w, faults = start(tmp_path, fast_sink, shim)
    w.start()
    run = Run(w, fast_sink)
    run.send(["h1@new.test"])
    run.send(["h2@new.test"], LARGE)
    w.kill()
    refused = n = 0
    while True:
        n += 1
        faults.arm(n, errno.EIO)
        size = w.log_path.stat().st_size
        w.spawn()
        until(lambda: w.process.poll() is not None or w.is_up(), "a start")
        if w.process.poll() is not None:
            refused += 1
            assert w.process.returncode in (74, 78), w.process.returncode
            said = w.log()[size:].strip().splitlines()
            last = [line for line in said if " info " not in line]
            assert last and str(w.spool) in last[-1], said
            w.process = None
        else:
            w.kill()
        if not faults.disarm()[1]:
            break
        assert n < 200
    print(f"\n{n - 1} faults at the start, {refused} starts refused")
    w.launch()
    finish(w, run)


# ---- a disk that is full ----

@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "small"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs",
                           path], capture_output=True, text=True)
    if done.returncode != 0:
        reason = f"cannot mount a small disk here: {done.stderr.strip()}"
        print(f"\n{reason}")
        pytest.skip(reason)
    yield path
    subprocess.run(["umount", path], check=True)


def fill(path, leave):
    """Takes all of the disk but `leave` bytes."""
    ballast = path / "ballast"
    free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
    with open(ballast, "wb") as f:
        f.write(bytes(max(0, free - leave)))
    return ballast


def test_full_disk(tmp_path, small_disk, fast_sink):
    w = Weir(tmp_path / "weir", fast_sink.address, policy=POLICY)
    w.spool = small_disk / "spool"
    w.start()
    run = Run(w, fast_sink)
    try:
        # Large ones until it is full: 452, at RCPT or at the end.
        for i in range(20):
            run.send([f"big{i}@new.test"], LARGE)
            if run.replies[-1] != 250:
                break
        assert run.replies[-1] == 452
        assert 0 < len(run.safe) < 20
        # Small ones, too, until the floor is reached.
        ballast = fill(small_disk, 900_000)
        until(lambda: w.status()["spool"]["short_of_space"],
              "the floor to be noticed")
        run.send(["small@new.test"])
        assert run.replies[-1] == 452
        # Known mail passes, the administrator can work.
        run.send(["k1@known.test"])
        assert "k1@known.test" in run.safe
        assert w.status()["held_messages"] == len(run.safe) - 1
        # To the last byte: still nothing but 4xx, and alive.
        with open(ballast, "ab") as f:
            try:
                f.write(bytes(6_000_000))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        run.send(["k2@known.test", "h2@new.test"])
        assert run.replies[-1] in (250, 451, 452)
        assert w.process.poll() is None
        run.check()
        ballast.unlink()
        w.ctl("release", "--all")
        w.wait_empty()
        run.check()
        until(lambda: not w.status()["spool"]["short_of_space"],
              "the room to be noticed")
        run.send(["last@new.test"], LARGE)
        assert "last@new.test" in run.safe
        assert w.stop(DEADLINE_S) == 0
    finally:
        if w.process is not None:
            w.kill()


def test_the_disk_fills_up_within_a_message(tmp_path, small_disk, fast_sink):
    """RCPT was taken with room to spare; the body does not fit."""
    w = Weir(tmp_path / "weir", fast_sink.address, policy=POLICY)
    w.spool = small_disk / "spool"
    w.start()
    try:
        peer = hello(w.port)
        peer.ask("MAIL FROM:<a@example.org>")
        assert peer.ask("RCPT TO:<k@known.test>")[0] == 250
        assert peer.ask("RCPT TO:<h@new.test>")[0] == 250
        code, text = peer.submit(message(body="\r\n".join(["y" * 70] * 200000)))
        assert code == 452, text
        # The message is refused as a whole.
        assert fast_sink.recipients() == [] and w.held() == []
        until(lambda: list((w.spool / "bodies").iterdir()) == [],
              "no body left")

        def is_taken():
            try:
                return hello(w.port).transact(
                    "a@example.org", ["h@new.test"], message())[0] == 250
            except AssertionError:
                return False

        # Free space is looked at once a second: it may have been gone then.
        until(is_taken, "room again")
        assert w.stop() == 0
    finally:
        if w.process is not None:
            w.kill()


def test_the_shim_sees_the_daemon(tmp_path, fast_sink, shim):
    """Else the tests above prove nothing."""
    w, faults = start(tmp_path, fast_sink, shim)
    w.start()
    faults.arm(0, 0)
    Run(w, fast_sink).send(["h1@new.test"])
    seen = faults.disarm()[0]
    assert w.stop() == 0
    assert seen >= 2, "no write or sync was counted"
    assert (BUILD / "weir-maild").exists()
