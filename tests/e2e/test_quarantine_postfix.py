# SPDX-License-Identifier: BSD-3-Clause
"""milter_hold = quarantine in a real Postfix: what is new goes to its hold
queue, weir lets it out in time or on request, once, and forgets what an
administrator let out or deleted himself."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from harness import DEADLINE_S, TOP, message, until
from milter import MilterPostfix, MilterWeir

HOLD = 'interval = "1h"  burst = 2  initial = 2'
NONE = 'interval = "1h"  burst = 1  initial = 0'


def people(n, prefix="p"):
    return [f"{prefix}{i}@example.com" for i in range(n)]


@pytest.fixture(scope="module")
def postfix():
    """One for all tests, with each test's weir behind the same socket."""
    # Postfix's own user reaches the socket: not below pytest's directory.
    with tempfile.TemporaryDirectory(prefix="weir-hold-") as directory:
        os.chmod(directory, 0o755)
        mta = MilterPostfix(f"unix:{directory}/mta.sock",
                            main="enable_long_queue_ids = yes\n")
        mta.start()
        yield mta, directory
        mta.stop()


@pytest.fixture
def world(postfix):
    """world(policy=..., long=...) gives (weir, postfix)."""
    mta, directory = postfix
    made = []

    def make(policy=HOLD, long=True, check="1h", by_id=False, start=True,
             **kw):
        w = MilterWeir(tempfile.mkdtemp(dir=directory), "127.0.0.1:1",
                       policy=policy, milter_hold="quarantine", **kw)
        w.dir.chmod(0o755)
        w.sections = w.sections.replace(w.where, mta.where)
        made.append(w)
        what = "%i" if by_id else "-"
        sup = f"/usr/sbin/postsuper -c {mta.dir}/etc"
        w.options.update(
            release_command=f'"{sup} -H {what} hold"',
            discard_command=f'"{sup} -d {what} hold"',
            queue_command=f'"/usr/sbin/postqueue -c {mta.dir}/etc -j"',
            queue_check=f'"{check}"', queue_settle='"500ms"')
        if not long:
            mta.run("postconf", "-e", "enable_long_queue_ids = no")
            mta.run("postfix", "reload")
        if start:
            w.start()
        return w, mta

    yield make
    for w in made:
        if w.process is not None:
            w.stop()
    mta.run("postconf", "-e", "enable_long_queue_ids = yes")
    mta.run("postfix", "reload")
    mta.run("postsuper", "-d", "ALL")
    mta.clear()


def test_another_instance_is_refused(world):
    """The commands would not find its mail."""
    w, mta = world(NONE)
    other = MilterPostfix(mta.where, main="myhostname = other.test\n")
    try:
        other.start()
        assert mta.transact("a@example.org", ["p0@example.com"],
                            message())[0] == 250
        until(lambda: len(w.held()) == 1, "the first one's")
        code, words = other.transact("a@example.org", ["p1@example.com"],
                                     message())
        assert code == 451 and b"for this mail server" in words
        assert w.log_lines("milter server server=other.test "
                           "first_server=mta.test ")
        assert len(w.held()) == 1
        other.wait_queue_empty()
    finally:
        other.stop()


def holds(mta):
    """Queue ids on hold."""
    return [e["queue_id"] for e in map(json.loads, mta.queue())
            if e["queue_name"] == "hold"]


def send(mta, rcpts, sender="a@example.org", **kw):
    code, words = mta.transact(sender, rcpts, message(sender=sender, **kw))
    assert code == 250, words


def script(w, name, text):
    """A command of the site's, to be changed while weir runs."""
    path = w.dir / name
    fresh = path.with_suffix(".new")
    fresh.write_text(f"#!/bin/sh\n{text}\n")
    fresh.chmod(0o755)
    fresh.rename(path)
    return path


@pytest.mark.parametrize("long,by_id", [(True, False), (False, True)])
def test_known_pass_new_are_held_and_come_on_release(world, long, by_id):
    w, mta = world(long=long, by_id=by_id)
    send(mta, people(2))
    assert sorted(mta.wait_for(2)) == people(2)
    assert holds(mta) == []
    # Two are known, two are new: Postfix cannot split it.
    send(mta, people(4), subject="to many")
    send(mta, people(2, "q"))
    assert len(holds(mta)) == 2
    assert sorted(w.held()) == sorted(people(4) + people(2, "q"))
    entry = w.queue()[0]
    assert entry["subject"] == "to many" and entry["mta_id"] in holds(mta)
    assert w.status()["quarantined_messages"] == 2
    text = w.run_ctl("cat", entry["id"]).stdout
    assert "Subject: to many" in text and entry["mta_id"] in text
    assert w.sender("<a@example.org>")["queue_length"] == 4
    w.ctl("release", entry["id"])
    assert sorted(mta.wait_for(6)) == sorted(people(2) + people(4))
    assert len(holds(mta)) == 1
    w.ctl("release", "--all")
    mta.wait_for(8)
    w.wait_empty()
    # It did not pass the milter again; and all are known now.
    assert w.status()["messages"] == 3
    send(mta, people(4) + people(2, "q"))
    assert len(mta.wait_for(14)) == 14
    mta.wait_queue_empty()
    assert w.status()["quarantine_ended"] == 2
    # Short ids come again: said once.
    assert len(w.log_lines("warning milter short_id .*enable_long_queue_ids"
                           )) == (not long)


def test_time_lets_it_out_once(world):
    w, mta = world('interval = "1s"  burst = 1  initial = 1')
    for i in range(4):
        send(mta, [f"p{i}@example.com"])
    assert sorted(mta.wait_for(4)) == people(4)
    w.wait_empty()
    # The whole message, when the last of its recipients may go.
    send(mta, people(3, "q"))
    assert sorted(mta.wait_for(7)) == people(4) + people(3, "q")
    w.wait_empty()
    assert holds(mta) == []


def test_local_submission(world):
    w, mta = world()
    done = mta.sendmail("www@example.org", people(3), message())
    assert done.returncode == 0, done.stderr
    until(lambda: len(w.held()) == 3, "the entry")
    until(lambda: len(holds(mta)) == 1, "the message on hold")
    w.ctl("release", "--all")
    assert sorted(mta.wait_for(3)) == people(3)
    w.wait_empty()


def test_freeze_discard_and_thaw(world):
    w, mta = world('interval = "1h"  burst = 1  initial = 0  freeze_at = 5')
    for i in range(5):
        send(mta, [f"v{i}@example.com"], sender="bot@example.org")
    send(mta, people(1), sender="ok@example.org")
    assert w.sender("<bot@example.org>")["frozen"]
    w.ctl("thaw", "<bot@example.org>", "--release")
    assert sorted(mta.wait_for(5)) == people(5, "v")
    assert w.held() == people(1)
    w.ctl("freeze", "<ok@example.org>")
    # A recipient cannot be taken out of a message of the mail server's.
    send(mta, people(2, "z"), sender="third@example.org")
    assert w.run_ctl("discard", "--sender", "<third@example.org>",
                     "--recipient", "z0@*").returncode != 2
    assert sorted(w.held("<third@example.org>")) == people(2, "z")
    w.ctl("discard", "--sender", "<third@example.org>")
    until(lambda: len(holds(mta)) == 1, "the discarded one to be gone")
    w.ctl("thaw", "<ok@example.org>", "--discard")
    until(lambda: holds(mta) == [], "an empty hold queue")
    w.wait_empty()
    assert w.status()["quarantine_ended"] == 7
    assert sorted(mta.recipients()) == people(5, "v")
    mta.wait_queue_empty()


def test_gone_by_other_hands(world):
    w, mta = world(NONE, check="1s")
    for i in range(5):
        send(mta, [f"p{i}@example.com"])
    ids = {m["recipients"][0]["address"]: m["mta_id"] for m in w.queue()}
    mta.run("postsuper", "-H", ids["p0@example.com"])
    mta.run("postsuper", "-d", ids["p1@example.com"])
    # Requeued it has a new id, and is not on hold.
    mta.run("postsuper", "-r", ids["p4@example.com"])
    mta.scan_maildrop()
    assert sorted(mta.wait_for(2)) == ["p0@example.com", "p4@example.com"]
    until(lambda: len(w.queue()) == 2, "the three to be forgotten")
    assert sorted(w.held()) == people(4)[2:]
    assert sorted(holds(mta)) == sorted(m["mta_id"] for m in w.queue())
    assert w.status()["quarantine_gone"] == 3
    assert w.sender("<a@example.org>")["queue_length"] == 2
    # Without the listing the release finds that it is gone.
    w.options["queue_check"] = '"1h"'
    w.write_config()
    w.ctl("reload")
    mta.run("postsuper", "-d", ids["p2@example.com"])
    w.ctl("release", "--all")
    w.wait_empty()
    assert sorted(mta.wait_for(3)) == [f"p{i}@example.com" for i in (0, 3, 4)]


def test_what_went_while_weir_was_down(world):
    """Also when nothing of weir's is left there."""
    w, mta = world(NONE, check="1s")
    send(mta, people(1))
    until(lambda: w.log_lines("quarantine proven"), "a listing that shows it")
    w.stop()
    mta.run("postsuper", "-d", "ALL", "hold")
    w.start()
    w.wait_empty()
    assert w.status()["quarantine_gone"] == 1


def test_a_wrong_listing_makes_nothing_forgotten(world):
    w, mta = world(NONE, check="1s", start=False)
    w.options["queue_command"] = f'"{script(w, "list", "exit 0")}"'
    w.start()
    send(mta, people(1))
    until(lambda: w.log_lines("quarantine gone_unproven "), "a listing")
    assert w.held() == people(1)
    script(w, "list", "echo nothing; exit 3")
    until(lambda: w.status()["quarantine_failures"] > 0, "a failure")
    assert w.held() == people(1)
    # One that has shown it is believed, when it does not any more.
    script(w, "list", f"postqueue -c {mta.dir}/etc -j")
    mta.transact("b@example.org", people(1, "q"), message())
    until(lambda: len(holds(mta)) == 2, "two on hold")
    ids = {m["recipients"][0]["address"]: m["mta_id"] for m in w.queue()}
    mta.run("postsuper", "-d", ids["p0@example.com"])
    until(lambda: w.held() == people(1, "q"), "the one that is gone")


def test_a_failing_command_is_tried_again_and_shows(world):
    w, mta = world(NONE, start=False)
    fails = script(w, "release", "cat >/dev/null; echo no rights >&2; exit 77")
    good = w.options["release_command"].strip('"')
    w.options["release_command"] = f'"{fails}"'
    w.start()
    for i in range(3):
        send(mta, [f"p{i}@example.com"])
    w.ctl("release", "--all")
    until(lambda: w.status()["quarantine_failures"] > 0, "a failure")
    row = until(lambda: next((r for m in w.queue() for r in m["recipients"]
                              if r.get("attempts")), None), "an attempt")
    assert row["last_error"] == ("release_command: status 77: no rights")
    assert len(holds(mta)) == 3 and mta.recipients() == []
    # A shell is not involved, but a script may be what runs.
    script(w, "release", f"exec {good}")
    w.ctl("reload")
    assert sorted(mta.wait_for(3)) == people(3)
    w.wait_empty()


def test_a_hanging_command_is_killed(world):
    w, mta = world(NONE, start=False, queue_command_timeout='"1s"')
    hangs = script(w, "release", f"echo $$ >>{w.dir}/pids; sleep 600")
    w.options["release_command"] = f'"{hangs}"'
    w.start()
    send(mta, people(1))
    w.ctl("release", "--all")
    until(lambda: w.log_lines("quarantine failed .*timed_out=yes"), "a kill")
    # The loop went on all the while.
    send(mta, people(1, "q"), sender="b@example.org")
    for pid in (w.dir / "pids").read_text().split():
        assert not pathlib.Path(f"/proc/{pid}").exists()


def test_restart_and_kill_with_messages_on_hold(world):
    w, mta = world(NONE, start=False)
    slow = script(w, "release", "sleep 600")
    good = w.options["release_command"].strip('"')
    w.options["release_command"] = f'"{slow}"'
    w.start()
    for i in range(3):
        send(mta, [f"p{i}@example.com"])
    w.restart()
    assert sorted(w.held()) == people(3)
    assert w.sender("<a@example.org>")["queue_length"] == 3
    w.ctl("release", w.queue()[0]["id"])
    until(lambda: w.status()["spool"]["sending"] == 1, "the command to run")
    child = until(lambda: children(w.process.pid), "the command")
    w.kill()
    for pid in child:
        os.kill(pid, signal.SIGKILL)
    script(w, "release", f"exec {good}")
    w.launch()
    # What the command was at is due again.
    assert mta.wait_for(1) == ["p0@example.com"]
    assert sorted(w.held()) == people(3)[1:]
    w.ctl("discard", w.queue()[0]["id"])
    w.ctl("release", "--all")
    mta.wait_for(2)
    w.wait_empty()
    assert sorted(mta.recipients()) == ["p0@example.com", "p2@example.com"]
    mta.wait_queue_empty()


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(p) for p in path.read_text().split()]


def test_killed_while_messages_come(world):
    """Whatever was answered 250 is on hold and known to weir, or delivered."""
    w, mta = world(NONE)
    answered = set()
    for turn in range(4):
        w.process.send_signal(signal.SIGSTOP)
        os.kill(w.process.pid, signal.SIGCONT)
        for i in range(3):
            name = f"k{turn}.{i}@example.com"
            try:
                send(mta, [name])
                answered.add(name)
            except (AssertionError, OSError):
                pass
            if i == 1:
                w.kill()
        w.launch()
    assert len(answered) >= 8
    assert answered <= set(w.held())
    w.ctl("release", "--all")
    until(lambda: answered <= set(mta.recipients()), "what was answered")
    w.wait_empty()
    got = mta.recipients()
    assert len(got) == len(set(got)) and holds(mta) == []


def test_many_are_released_in_few_runs(world):
    w, mta = world('interval = "1h"  burst = 1  initial = 0  '
                   "freeze_at = 100000")
    with mta.client() as s:
        for i in range(300):
            s.sendmail("a@example.org", [f"m{i}@example.com"], message())
    assert w.status()["quarantined_messages"] == 300
    w.ctl("release", "--all")
    assert len(set(mta.wait_for(300, 60))) == 300
    w.wait_empty()
    assert len(w.log_lines("quarantine run command=release")) <= 8


def serve_requests(listener, command, env):
    """What systemd does for a socket with Accept=yes."""
    while True:
        try:
            conn, _ = listener.accept()
        except OSError:  # shut down
            return
        with conn:
            subprocess.run(command, stdin=conn, stdout=conn, env=env,
                           stderr=subprocess.DEVNULL, timeout=DEADLINE_S)


@pytest.fixture
def helper(postfix):
    """contrib/weir-hold as root behind a socket that only weir's user may
    open, as weir-hold.socket and weir-hold@.service have it."""
    mta, directory = postfix
    path = pathlib.Path(directory) / "weir-hold.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        shutil.chown(path, "nobody")
        path.chmod(0o600)
        listener.listen()
        server = threading.Thread(target=serve_requests, args=(
            listener, [TOP / "contrib/weir-hold", "-s", "postfix"],
            {**os.environ, "POSTFIX_CONFIG": f"{mta.dir}/etc"}))
        server.start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)
        server.join(20)
    path.unlink()


def test_a_daemon_without_rights_asks_a_helper(world, helper):
    w, mta = world(NONE, check="1s", user='"nobody"', start=False)
    for verb, option in (("release", "release_command"),
                         ("discard", "discard_command"),
                         ("list", "queue_command")):
        w.options[option] = f'"unix:{helper} {verb}"'
    w.start()
    status = pathlib.Path(f"/proc/{w.process.pid}/status").read_text()
    assert "Uid:\t65534\t65534" in status
    for i in range(5):
        send(mta, [f"p{i}@example.com"])
    entries = w.queue()
    w.ctl("release", entries[0]["id"], entries[1]["id"])
    assert sorted(mta.wait_for(2)) == people(2)
    w.ctl("discard", entries[2]["id"])
    until(lambda: len(holds(mta)) == 2, "the discarded one to go")
    mta.run("postsuper", "-d", entries[3]["mta_id"])
    until(lambda: w.held() == ["p4@example.com"], "the other to be forgotten")
    assert w.status()["quarantine_failures"] == 0
