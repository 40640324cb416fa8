# SPDX-License-Identifier: BSD-3-Clause
"""mta_hold_command in a real Postfix: a freeze reaches what weir had let go and
what Postfix could not deliver yet; the thaw lets it go on, or deletes it, and
holds of an administrator stay."""
import json
import os
import smtplib
import tempfile

import pytest

from harness import TOP, message, until
from milter import MilterPostfix, MilterWeir

HOLD = 'interval = "1h"  burst = 2  initial = 2'
ALICE, BOB, CAROL = (f"{name}@example.org" for name in
                     ("alice", "bob", "carol"))
SOURCES = (f"<{ALICE}>", "[127.0.0.1]")


def helper(w, mta):
    """contrib/weir-hold for this Postfix, which a service manager would tell
    it."""
    path = w.dir / "hold"
    path.write_text(f"#!/bin/sh\nPOSTFIX_CONFIG={mta.dir}/etc exec "
                    f"{TOP}/contrib/weir-hold postfix hold\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def world():
    # Postfix's own user reaches the socket: not below pytest's directory.
    with tempfile.TemporaryDirectory(prefix="weir-mta-hold-") as directory:
        os.chmod(directory, 0o755)
        w = MilterWeir(f"{directory}/w", "127.0.0.1:1", policy=HOLD)
        w.dir.chmod(0o755)
        mta = MilterPostfix(w.where, main="enable_long_queue_ids = yes\n"
                            "defer_transports = virtual\n"
                            "queue_run_delay = 1h\n"
                            "minimal_backoff_time = 1h\n"
                            "maximal_backoff_time = 2h\n")
        w.next_hop = mta.back
        sup = f"/usr/sbin/postsuper -c {mta.dir}/etc"
        w.options.update(
            mta_hold_command=f'"{helper(w, mta)}"',
            release_command=f'"{sup} -H - hold"',
            discard_command=f'"{sup} -d - hold"',
            queue_command=f'"/usr/sbin/postqueue -c {mta.dir}/etc -j"',
            queue_settle='"500ms"')
        try:
            w.start()
            mta.start()
            yield w, mta
        finally:
            if w.process is not None:
                w.stop()
            mta.stop()


def queues(mta):
    """Sender, and its first recipient: the queue in which they are."""
    return {(e["sender"], e["recipients"][0]["address"]): e["queue_name"]
            for e in map(json.loads, mta.queue()) if e["recipients"]}


def send(mta, sender, *rcpts):
    code, words = mta.transact(sender, rcpts, message(sender=sender))
    assert code == 250, words


def test_freeze_thaw_and_discard(world):
    w, mta = world
    by_milter, of_admin = (ALICE, "p0@example.com"), (ALICE, "p1@example.com")
    by_release, by_relay = (ALICE, "p2@example.com"), (CAROL, "r0@example.com")
    of_bob = (BOB, "q0@example.com")
    send(mta, ALICE, "p0@example.com")
    send(mta, ALICE, "p1@example.com")
    # Held by weir, released, and handed to Postfix by weir itself.
    send(mta, ALICE, "p2@example.com")
    w.ctl("release", "--all")
    send(mta, BOB, "q0@example.com")
    # Through weir's relay, where the client is the source.
    with smtplib.SMTP("127.0.0.1", w.port, timeout=20) as s:
        s.sendmail(CAROL, ["r0@example.com"], message(sender=CAROL))
    theirs = {by_milter, by_release, by_relay}
    until(lambda: queues(mta) ==
          dict.fromkeys({*theirs, of_admin, of_bob}, "deferred"),
          "all to be deferred")
    ids = {(e["sender"], e["recipients"][0]["address"]): e["queue_id"]
           for e in map(json.loads, mta.queue())}
    mta.run("postsuper", "-h", ids[of_admin])
    for source in SOURCES:
        w.ctl("freeze", source)
    frozen = {**dict.fromkeys({*theirs, of_admin}, "hold"), of_bob: "deferred"}
    until(lambda: queues(mta) == frozen, "theirs to be on hold")
    until(lambda: w.status()["mta_holds"] == 3, "the command to have ended")
    assert [w.ctl("show", source)["mta_held"] for source in SOURCES] == [2, 1]
    w.restart()
    assert queues(mta) == frozen
    for source in SOURCES:
        w.ctl("thaw", source)
    thawed = {**dict.fromkeys({*theirs, of_bob}, "deferred"), of_admin: "hold"}
    until(lambda: queues(mta) == thawed, "theirs to be back")
    until(lambda: w.status()["mta_held"] == 0, "nothing on hold")
    # What was released is known to the next freeze, after a restart too.
    w.ctl("freeze", SOURCES[0])
    again = {**thawed, by_milter: "hold", by_release: "hold"}
    until(lambda: queues(mta) == again, "alice's to be on hold again")
    w.ctl("thaw", SOURCES[0], "--discard")
    for key in (by_milter, by_release):
        del again[key]
    until(lambda: queues(mta) == again, "alice's to be gone")
    until(lambda: w.status()["mta_held"] == 0, "nothing on hold")
    assert w.status()["mta_hold_failures"] == 0
    assert mta.recipients() == []
