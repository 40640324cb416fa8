# SPDX-License-Identifier: BSD-3-Clause
"""weir, its disk or the mail server hang or die in the middle of a message, at
each step of it. Whatever happens: nothing that was answered 250 is lost, and
what was not may be sent again without arriving twice."""
import contextlib
import os
import signal
import smtplib
import threading
import time

import pytest

from faultio import STALL, STALL_AFTER_SYNC
from harness import hello, message, until
from milter_site import people, site  # noqa: F401

KINDS = ["postfix", "sendmail"]
STEPS = ["connect", "mail", "rcpt", "data"]
plain = pytest.mark.skipif(
    bool(os.environ.get("WEIR_SANITIZED")),
    reason="the sanitizer and the shim of the disk do not go together")


def walk(s, at=None, then=None, rcpts=("p0@example.com",)):
    """A whole message by a client of its own; then() is called before the step
    `at`. The last reply."""
    steps = iter(STEPS)

    def reach():
        if next(steps) == at:
            then()

    reach()
    peer = hello(s.mta.port)
    try:
        reach()
        code, lines = peer.ask("MAIL FROM:<a@example.org>")
        if code != 250:
            return code, lines
        reach()
        for rcpt in rcpts:
            code, lines = peer.ask(f"RCPT TO:<{rcpt}>")
            if code != 250:
                return code, lines
        code, lines = peer.ask("DATA")
        if code != 354:
            return code, lines
        peer.send(message(body="x" * 60))
        reach()
        return peer.ask("more\r\n.")
    except EOFError:
        return None, []
    finally:
        peer.close()


def resume(s):
    s.w.process.send_signal(signal.SIGCONT)


def halt(s):
    s.w.process.send_signal(signal.SIGSTOP)


def exactly_once(s, rcpts):
    """All that is held is let out: each recipient has one copy."""
    s.w.ctl("release", "--all")
    until(lambda: set(rcpts) <= set(s.recipients()), "all to arrive")
    s.w.wait_empty()
    assert sorted(s.recipients()) == sorted(rcpts)


# ---- weir hangs ----

@pytest.mark.parametrize("kind,unix,steps", [
    ("postfix", True, STEPS), ("postfix", False, ["data"]),
    ("sendmail", False, STEPS)])
def test_weir_hangs(site, kind, unix, steps):  # noqa: F811
    """The mail server waits as long as it is told to, then answers for weir
    as milter_default_action or F= say: here 4xx."""
    s = site(kind, unix=unix, site={"short": True})
    done = []
    for step in steps:
        rcpt = f"{step}@example.com"
        begin = time.monotonic()
        code, lines = walk(s, step, lambda: halt(s), [rcpt])
        took = time.monotonic() - begin
        assert 400 <= code < 500, (step, lines)
        assert took < 15, (step, took)
        resume(s)
        until(lambda: walk(s, rcpts=[rcpt])[0] == 250, "weir to answer again")
        done.append(rcpt)
        assert sorted(s.w.held()) == sorted(done)
    exactly_once(s, done)


@pytest.mark.parametrize("kind", KINDS)
def test_weir_hangs_and_mail_may_pass(site, kind):  # noqa: F811
    """milter_default_action = accept, F= with nothing: unthrottled."""
    s = site(kind, site={"short": True, "accept": True})
    code, lines = walk(s, "connect", lambda: halt(s))
    assert code == 250, lines
    s.wait_for(1)
    resume(s)
    assert walk(s, rcpts=["p1@example.com"])[0] == 250
    assert s.w.held() == ["p1@example.com"]
    assert s.recipients() == ["p0@example.com"]


def test_a_program_hands_in_while_weir_is_away(site):  # noqa: F811
    """It cannot be told 451: its mail waits in Postfix."""
    s = site("postfix", start=False)
    done = s.mta.sendmail("a@example.org", ["p0@example.com"], message())
    assert done.returncode == 0, done.stderr
    until(lambda: "milter-reject" in s.mta.log(), "Postfix to try")
    s.w.start()
    s.mta.scan_maildrop()
    until(s.w.held, "its mail")
    exactly_once(s, ["p0@example.com"])


# ---- weir is killed ----

@pytest.mark.parametrize("kind", KINDS)
def test_weir_is_killed(site, kind):  # noqa: F811
    """One passes, one is held: the mail server must not send half of it."""
    known = ", ".join(f'"{step}.known@example.com"' for step in STEPS)
    s = site(kind, policy='interval = "1h"  burst = 1  initial = 0  '
                          f"exempt_recipients = {{{known}}}")
    done = []
    for step in STEPS:
        rcpts = [f"{step}@example.com", f"{step}.known@example.com"]
        code, lines = walk(s, step, s.w.kill, rcpts)
        assert 400 <= code < 500, (step, lines)
        s.w.launch()
        assert sorted([*s.w.held(), *s.recipients()]) == sorted(done)
        assert walk(s, rcpts=rcpts)[0] == 250
        done += rcpts
        until(lambda: len(s.w.held()) + len(s.recipients()) == len(done),
              "both")
    exactly_once(s, done)


@plain
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order,copies", [(STALL, 1), (STALL_AFTER_SYNC, 2)],
                         ids=["before_commit", "after_commit"])
def test_weir_is_killed_while_it_stores(site, shim, kind, order,  # noqa: F811
                                        copies):
    """The mail server has not heard: 4xx, and the client comes again. What
    was committed just before counts as held: the one case of two copies, which
    the manual names."""
    s = site(kind, shim=shim)
    # The first sync of a new database is of its header.
    assert walk(s)[0] == 250
    s.w.ctl("discard", "--all")
    s.w.wait_empty()
    reply = []
    client = threading.Thread(target=lambda: reply.append(
        walk(s, "data", lambda: s.faults.arm(1, order, 1 << 40))))
    client.start()
    until(s.faults.hits, "the disk to be waited for")
    assert not reply, "answered before it was stored"
    s.w.kill()
    client.join(30)
    assert 400 <= reply[0][0] < 500, reply
    s.faults.disarm()
    s.w.launch()
    assert len(s.w.held()) == copies - 1
    assert walk(s)[0] == 250
    assert s.w.held() == ["p0@example.com"] * copies
    s.w.ctl("release", "--all")
    s.wait_for(copies)
    s.w.wait_empty()
    assert s.recipients() == ["p0@example.com"] * copies


@pytest.mark.parametrize("kind", KINDS)
def test_restarts_under_load(site, kind):  # noqa: F811
    """Clients that come again until they hear 250; meanwhile weir is stopped
    and started, as an upgrade does."""
    s = site(kind, policy='interval = "1h"  burst = 3  initial = 3')
    names = people(40)
    unsent, lock = list(names), threading.Lock()

    def client():
        while True:
            with lock:
                if not unsent:
                    return
                name = unsent.pop()
            code = None
            with contextlib.suppress(OSError, EOFError):
                code, _ = walk(s, rcpts=[name])
            if code != 250:
                with lock:
                    unsent.append(name)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for c in clients:
        c.start()
    for left in (30, 20, 10):
        until(lambda: len(unsent) <= left, "some progress", 60)
        begin = time.monotonic()
        assert s.w.stop() == 0
        assert time.monotonic() - begin < 20, "messages did not end"
        s.w.launch()
    for c in clients:
        c.join(60)
    exactly_once(s, names)


# ---- the disk is slow ----

@plain
@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_stands_still(site, shim, kind):  # noqa: F811
    """weir answers by itself before the mail server gives it up, and what
    reaches the disk later does not stay there."""
    s = site(kind, shim=shim, answer_timeout='"1s"')
    begin = time.monotonic()
    code, lines = walk(s, "data",
                       lambda: s.faults.arm(1, STALL, 1 << 40))
    assert code == 451 and "checked in time" in lines[0], lines
    assert 0.9 < time.monotonic() - begin < 10
    s.faults.disarm()
    until(lambda: s.w.status()["held_messages"] == 0,
          "what came too late to be taken back")
    assert walk(s)[0] == 250
    assert s.w.held() == ["p0@example.com"]
    exactly_once(s, ["p0@example.com"])


# ---- the mail server is killed ----

@pytest.mark.parametrize("kind", KINDS)
def test_the_mail_server_is_killed(site, kind):  # noqa: F811
    s = site(kind)
    done = []
    for step in ("rcpt", "data"):
        rcpt, code = f"{step}@example.com", None
        with contextlib.suppress(OSError):
            code, _ = walk(s, step, s.kill_mta, [rcpt])
        assert code != 250
        s.mta.start()
        assert sorted(s.w.held()) == sorted(done)
        assert walk(s, rcpts=[rcpt])[0] == 250
        done.append(rcpt)
    exactly_once(s, done)


@plain
@pytest.mark.parametrize("kind", KINDS)
def test_the_mail_server_is_killed_while_weir_stores(
        site, shim, kind):  # noqa: F811
    """It never heard the answer, its client heard no 250: the copy that
    reaches the disk afterwards is taken back."""
    s = site(kind, shim=shim)
    reply = []

    def client():
        with contextlib.suppress(OSError):
            reply.append(walk(
                s, "data", lambda: s.faults.arm(1, STALL, 1 << 40)))

    thread = threading.Thread(target=client)
    thread.start()
    until(s.faults.hits, "the disk to be waited for")
    s.kill_mta()
    thread.join(30)
    assert not reply or reply[0][0] != 250, reply
    s.faults.disarm()
    s.mta.start()
    until(lambda: walk(s)[0] == 250, "the mail server to answer")
    until(lambda: s.w.held() == ["p0@example.com"], "one copy alone")
    exactly_once(s, ["p0@example.com"])


def test_the_session_in_which_weir_died(site):  # noqa: F811
    """The rest of a client's connection is put off, even when weir is there
    again; the next connection asks it."""
    s = site("postfix", policy='interval = "1h"  burst = 2  initial = 2')
    with s.mta.client() as client:
        client.sendmail("a@example.org", ["p0@example.com"], message())
        s.w.kill()
        for _ in range(2):
            with pytest.raises(smtplib.SMTPException) as e:
                client.sendmail("a@example.org", ["p1@example.com"],
                                message())
            assert "4.7.1" in str(e.value)
            if s.w.process is None:
                s.w.launch()
    assert walk(s, rcpts=["p1@example.com"])[0] == 250
    until(lambda: {*s.recipients(), *s.w.held()} == {*people(2)}, "both")
    exactly_once(s, people(2))
