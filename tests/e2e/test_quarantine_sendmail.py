# SPDX-License-Identifier: BSD-3-Clause
"""milter_hold = quarantine in a real Sendmail, by way of contrib/weir-hold."""
import contextlib
import subprocess

import pytest

from harness import DEADLINE_S, TOP, message, until
from milter import MilterWeir
from sendmail import Sendmail, unpack

NONE = 'interval = "1h"  burst = 1  initial = 0'

# Sendmail waits a minute where the machine's own name has no domain.
SCRIPT = """#!/bin/sh
export LD_LIBRARY_PATH='{libs}' SENDMAIL_CF='{dir}/sendmail.cf'
export WEIR_HOLD_PATH='{bin}:/usr/sbin:/usr/bin:/bin'
exec unshare --uts sh -c 'hostname mta.test && exec "$@"' sh \\
    {hold} sendmail {verb}
"""


@pytest.fixture(scope="module", autouse=True)
def sendmail_is_there():
    why = unpack()
    if why is not None:
        print(f"Sendmail is not tested: {why}")
        pytest.skip(why)


@pytest.fixture
def world(tmp_path, sink):
    made = contextlib.ExitStack()

    def make(policy=NONE, check="1h", **kw):
        w = MilterWeir(tmp_path / "w", "127.0.0.1:1", unix=False,
                       policy=policy, milter_hold="quarantine",
                       queue_check=f'"{check}"',
                       queue_settle='"500ms"', **kw)
        mta = Sendmail(f"inet:{w.mta_port}@127.0.0.1", sink.port)
        for verb, option in (("release", "release_command"),
                             ("discard", "discard_command"),
                             ("list", "queue_command")):
            path = w.dir / verb
            path.write_text(SCRIPT.format(
                libs=mta.env["LD_LIBRARY_PATH"], dir=mta.dir, verb=verb,
                bin=mta.binary.parent, hold=TOP / "contrib/weir-hold"))
            path.chmod(0o755)
            w.options[option] = f'"{path}"'
        made.callback(mta.stop)
        made.callback(lambda: w.process is None or w.stop())
        w.start()
        mta.start()
        return w, mta

    with made:
        yield make


def people(n, prefix="p"):
    return [f"{prefix}{i}@example.com" for i in range(n)]


def send(mta, rcpts, sender="a@example.org", **kw):
    code, words = mta.transact(sender, rcpts, message(sender=sender, **kw))
    assert code == 250, words


def holds(mta):
    return sorted(p.name[2:] for p in mta.queue() if p.name[0] == "h")


def test_known_pass_new_are_held_and_come_on_release(world, sink):
    w, mta = world('interval = "1h"  burst = 2  initial = 2')
    send(mta, people(2))
    assert sorted(sink.wait_for(2)) == people(2)
    send(mta, people(4), subject="to many")
    assert sorted(w.held()) == people(4)
    entry = w.queue()[0]
    assert holds(mta) == [entry["mta_id"]] and entry["subject"] == "to many"
    shown = subprocess.run([w.dir / "list"], capture_output=True, text=True,
                           timeout=DEADLINE_S).stdout
    assert entry["mta_id"] in shown and "QUARANTINE: held by weir" in shown
    w.ctl("release", "--all")
    assert sorted(sink.wait_for(6)) == sorted(people(2) + people(4))
    w.wait_empty()
    send(mta, people(4))
    sink.wait_for(10)
    assert len(sink.recipients()) == 10 and holds(mta) == []
    assert w.status()["messages"] == 3


def test_time_discard_and_other_hands(world, sink):
    w, mta = world('interval = "1s"  burst = 1  initial = 0  '
                   "when_frozen = hold", check="1s")
    w.ctl("freeze", "<a@example.org>")
    for i in range(4):
        send(mta, [f"p{i}@example.com"])
    gone, dropped = w.queue()[:2]
    assert len(holds(mta)) == 4
    w.ctl("discard", dropped["id"])
    until(lambda: not list((mta.dir / "queue").glob(f"*{dropped['mta_id']}")),
          "the end of the discarded one's files")
    for part in "hd":
        (mta.dir / "queue" / f"{part}f{gone['mta_id']}").unlink()
    until(lambda: sorted(w.held()) == people(4)[2:], "the one that is gone")
    w.ctl("thaw", "<a@example.org>")
    sink.wait_for(2)
    w.wait_empty()
    assert sorted(sink.recipients()) == people(4)[2:]


def test_weir_dies_and_comes_back(world, sink):
    w, mta = world()
    send(mta, people(3))
    w.kill()
    w.launch()
    assert sorted(w.held()) == people(3) and len(holds(mta)) == 1
    w.ctl("release", "--all")
    assert sorted(sink.wait_for(3)) == people(3)
    w.wait_empty()
