# SPDX-License-Identifier: BSD-3-Clause
"""weirctl: every command, for people and as JSON; who may; and reload."""
import datetime
import json
import os
import pty
import pwd
import re
import select
import signal
import socket
import subprocess
import time

import pytest

from harness import BUILD, DEADLINE_S, message, serve_smtp, until

KEY = "key = envelope\n"
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0  freeze_at = 50\n'
              'exempt_recipients = {"@known.test"}')
ALICE, BOB = "alice@example.org", "bob@example.org"
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def held(weir, sink):
    """A daemon that holds four messages: alice's with two recipients and
    one, bob's with one, and one with a hostile subject."""
    w = weir(policy=HOLD)
    peer = w.hello()
    peer.transact(ALICE, ["one@example.com", "two@example.com"],
                  message(subject="first"))
    peer.transact(ALICE, ["three@example.net"], message(subject="second"))
    peer.transact(BOB, ["four@example.com"], message(subject="third"))
    peer.transact(BOB, ["five@example.com"],
                  b"From: x\r\nSubject: \x1b[2Jevil \xff\r\n\r\nx\r\n")
    peer.ask("QUIT")
    return w


def human(w, *args):
    done = w.run_ctl(*args)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    return done.stdout


# ---- looking ----

def test_status(held):
    status = held.ctl("status")
    assert {"mode", "senders", "frozen_senders", "held_messages",
            "held_recipients", "passed_recipients", "delayed_recipients",
            "released_recipients", "refused_recipients",
            "uptime_s"} <= set(status)
    assert status["mode"] == "enforce"
    assert status["held_messages"] == 4 and status["held_recipients"] == 5
    assert status["delayed_recipients"] == 5
    assert status["senders"] == 2 and status["frozen_senders"] == 0
    text = human(held, "status")
    assert "enforce" in text and "5 recipients held" in text


def test_senders_and_show(held):
    held.ctl("freeze", BOB)
    rows = held.ctl("senders")
    assert {r["sender"] for r in rows} == {f"<{ALICE}>", f"<{BOB}>"}
    for row in rows:
        assert {"sender", "frozen", "queue_length", "allowance",
                "working_set", "policy", "last_seen"} <= set(row)
        datetime.datetime.fromisoformat(row["last_seen"].replace("Z",
                                                                 "+00:00"))
    alice = held.sender(f"<{ALICE}>")
    assert (alice["queue_length"], alice["allowance"], alice["frozen"],
            alice["policy"]) == (3, 0, False, "default")
    [bob] = held.ctl("senders", "--frozen")
    assert bob["sender"] == f"<{BOB}>" and bob["frozen"] is True
    # By its full name or without the brackets.
    for name in (ALICE, f"<{ALICE}>"):
        assert held.ctl("show", name)["sender"] == f"<{ALICE}>"
    assert "frozen" in human(held, "senders")
    assert ALICE in human(held, "show", ALICE)


def test_explain(held):
    before = held.ctl("show", ALICE)
    told = held.ctl("explain", ALICE, "new@example.com")
    assert told["sender"] == f"<{ALICE}>" and told["verdict"] == "hold"
    assert told["queue_length"] == 3 and told["release"] is not None
    assert "allowance used up" in told["why"] and told["change"]
    assert held.ctl("explain", ALICE, "x@known.test")["verdict"] == "pass"
    stranger = held.ctl("explain", "eve@example.org", "<new@example.com>",
                        "--client", "192.0.2.1")
    assert not stranger["seen"] and stranger["verdict"] == "hold"
    assert "why allowance used up" in re.sub(
        " +", " ", human(held, "explain", ALICE, "new@example.com"))
    held.ctl("freeze", ALICE)
    told = held.ctl("explain", ALICE, "x@known.test")
    assert told["verdict"] == "refuse" and told["reply"] == "451 4.7.1"
    assert told["change"] == "weirctl thaw"
    after = held.ctl("show", ALICE)
    assert after["last_seen"] == before["last_seen"]
    assert {s["sender"] for s in held.ctl("senders")} == {
        f"<{ALICE}>", f"<{BOB}>"}
    assert held.ctl("status")["refused_recipients"] == 0


def test_queue(held):
    rows = held.ctl("queue")
    assert len(rows) == 4
    first = rows[0]
    assert {"id", "sender", "from", "recipients", "size", "queued_at",
            "subject"} <= set(first)
    assert first["sender"] == f"<{ALICE}>" and first["from"] == ALICE
    assert first["subject"] == "first"
    assert [(r["address"], r["state"]) for r in first["recipients"]] == [
        ("one@example.com", "held"), ("two@example.com", "held")]
    assert 100 < first["size"] < 1000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
                        first["queued_at"])
    assert [m["subject"] for m in held.queue(ALICE)] == ["first", "second"]
    assert held.held("--recipient", "*@example.net") == [
        "three@example.net"]
    assert held.ctl("queue", "--older", "1h") == []
    text = human(held, "queue")
    assert first["id"] in text and "+1" in text and "evil" in text


def test_find(held):
    held.hello().transact(ALICE, ["six@example.com"], (
        b"Message-ID:\r\n <Lost.1@laptop>\r\n"
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nx\r\n"))
    for term in ("<lost.1@laptop>", "GR\u00dc\u00dfE", "SIX@"):
        [found] = held.ctl("find", term)
        [to] = found["recipients"]
        assert (found["message_id"], to["address"], to["what"],
                to["before"]) == ("Lost.1@laptop", "six@example.com", "held",
                                  3)
        assert to["expected"] > found["queued_at"]
    assert len(held.ctl("find", "--client", "127.0.0.1")) == 5
    assert len(held.ctl("find", "--client", "127.0.0.1", "--sender", BOB)) == 2
    text = human(held, "find", "--subject", "gr\u00fc")
    assert "six@example.com: held, 3 ahead of it; it goes in" in text
    assert "<Lost.1@laptop>" in text
    # Each held recipient has a line of its own.
    for at, to in enumerate(["one@example.com", "two@example.com",
                             "three@example.net"]):
        assert len(held.log_lines(
            rf"gate hold sender=<{ALICE}> .*id=\w{{13}} to={to} "
            rf"until=20\S+Z reason=.* queue_length={at + 1}")) == 1, held.log()
    held.ctl("freeze", ALICE)
    assert f"frozen, until <{ALICE}> is thawed" in human(held, "find", "six@")
    held.ctl("release", "--sender", BOB)
    done = until(lambda: (d := held.run_ctl("find", "four@")).returncode == 1
                 and d, "bob's mail to be gone")
    assert "deliver" in done.stdout and "no mail in the spool" in done.stderr
    assert held.run_ctl("find").returncode == 2


def test_problems(held, sink):
    assert held.ctl("problems") == []
    assert "no problems in the last" in human(held, "problems")
    held.ctl("freeze", ALICE, "--reason", "call 17")
    peer = held.hello()
    assert peer.ask(f"MAIL FROM:<{ALICE}>")[0] == 451
    peer.ask("QUIT")
    sink.stop()
    held.ctl("release", "--sender", BOB)
    rows = until(lambda: (r := {(p["kind"], p["who"]): p
                                for p in held.ctl("problems")})
                 and ("next_hop", sink.address) in r and r,
                 "the next hop to be down")
    assert "refused" in rows["next_hop", sink.address]["reason"]
    refused = rows["refused", f"<{ALICE}>"]
    assert (refused["count"], refused["option"],
            refused["never_accepted"]) == (1, "when_frozen", False)
    assert refused["last"] and "sender is frozen" in refused["reason"]
    text = human(held, "problems")
    assert re.search(rf"refused +<{ALICE}>: 1 time, last \S+ ago: sender is "
                     rf"frozen -> .*weirctl thaw {ALICE}\n", text), text
    assert re.search(rf"frozen +<{ALICE}>: since \S+, 3 recipients wait, "
                     r"oldest \S+: by hand: call 17 -> ", text), text
    assert re.search(rf"next_hop +{re.escape(sink.address)}: last .*"
                     r"weirctl flush", text), text
    assert held.run_ctl("problems", "extra").returncode == 2
    assert held.run_ctl("problems", "-n", "1").returncode == 0


def test_freeze_with_a_reason_and_for_a_time(held):
    held.ctl("freeze", ALICE, "--reason", "asked by phone", "--for", "2s")
    row = held.sender(f"<{ALICE}>")
    assert row["frozen"] and row["freeze_note"] == "asked by phone"
    assert row["thaw_at"] > row["frozen_at"]
    until(lambda: not held.sender(f"<{ALICE}>")["frozen"], "its time to end")
    assert "the time of its freeze is over" in held.log()
    held.ctl("freeze", BOB, "--reason", "for good")
    assert "by hand: for good" in human(held, "senders", "--frozen")
    assert "for good" in held.log()


def test_cat(held):
    first = held.queue()[0]["id"]
    done = subprocess.run([BUILD / "weirctl", "-s", held.control, "cat",
                           first], capture_output=True, timeout=DEADLINE_S)
    assert done.returncode == 0
    assert b"one@example.com" in done.stdout  # the envelope
    assert b"Received: from client.test" in done.stdout
    assert b"\r\nSubject: first\r\n\r\nsome text\r\n" in done.stdout
    rows = held.ctl("cat", first)
    assert rows[0]["envelope"]["id"] == first
    assert "Subject: first" in "".join(r["data"] for r in rows[1:])


def test_events_and_audit(held):
    held.ctl("release", "--sender", BOB)
    held.ctl("freeze", ALICE)
    held.ctl("thaw", ALICE, "--discard")
    types = [e["type"] for e in held.ctl("events")]
    for kind in ("message", "hold", "release", "freeze", "thaw", "discard"):
        assert kind in types, types
    assert "freeze" in human(held, "events")
    rows = held.ctl("audit")
    actions = [r["action"] for r in rows]
    for action in ("release", "freeze", "thaw"):
        assert action in actions, rows
    me = pwd.getpwuid(os.getuid()).pw_name
    assert all(me in r["who"] for r in rows), rows
    assert me in human(held, "audit")
    assert any(ALICE in r["target"] for r in rows if r["action"] == "thaw")
    # The audit trail outlives the daemon.
    held.restart()
    assert [r["action"] for r in held.ctl("audit")] == actions


def test_events_are_followed(held):
    process = subprocess.Popen(
        [BUILD / "weirctl", "-s", held.control, "--json", "events", "-f"],
        stdout=subprocess.PIPE, text=True)
    try:
        held.hello().transact("carol@example.org", ["six@example.com"],
                              message())
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            event = json.loads(process.stdout.readline())
            if "carol@example.org" in event["sender"]:
                break
        assert event["type"] in ("hold", "message")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def read_pty(fd, wanted, deadline_s=DEADLINE_S):
    text = b""
    end = time.monotonic() + deadline_s
    while wanted not in text and time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                text += os.read(fd, 65536)
            except OSError:
                break
    assert wanted in text, text
    return text


def test_top_in_a_terminal(held):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(BUILD / "weirctl", ["weirctl", "-s", str(held.control),
                                     "top"])
    try:
        read_pty(fd, ALICE.encode())
        held.ctl("freeze", ALICE)
        read_pty(fd, b"frozen")  # it refreshes
        os.write(fd, b"q")
        until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid or
              not os.path.exists(f"/proc/{pid}"), "top to leave")
    finally:
        os.close(fd)


def test_tables_fit_the_terminal(held):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["COLUMNS"] = "60"
        subprocess.run(["stty", "cols", "60"])
        os.execv(BUILD / "weirctl", ["weirctl", "-s", str(held.control),
                                     "queue"])
    text = b""
    while True:
        try:
            block = os.read(fd, 65536)
        except OSError:
            break
        if not block:
            break
        text += block
    os.waitpid(pid, 0)
    os.close(fd)
    lines = text.decode().splitlines()
    assert len(lines) == 5
    assert all(len(line) <= 60 for line in lines), lines


def test_config(held):
    text = human(held, "config")
    assert str(held.spool) in text and "freeze_at" in text


# ---- changing ----

def test_release_by_id(held, sink):
    first = held.queue()[0]["id"]
    text = human(held, "release", first)
    assert "2" in text
    assert sorted(sink.wait_for(2)) == ["one@example.com", "two@example.com"]
    until(lambda: held.status()["held_messages"] == 3, "the first to go")
    assert held.status()["released_recipients"] == 2
    assert held.sender(f"<{ALICE}>")["queue_length"] == 1
    # Released by hand they are known.
    code, reply = held.hello().transact(ALICE, ["one@example.com"],
                                        message())
    assert code == 250 and "held" not in reply


def test_several_ids(held, sink):
    ids = [m["id"] for m in held.queue()]
    held.ctl("release", ids[0], ids[2])
    assert sorted(sink.wait_for(3)) == [
        "four@example.com", "one@example.com", "two@example.com"]
    held.ctl("discard", ids[1], ids[3])
    held.wait_empty()
    assert len(sink.recipients()) == 3


@pytest.mark.parametrize("selection,left", [
    (["--sender", ALICE], ["four@example.com", "five@example.com"]),
    (["--all"], []),
    (["--all", "--recipient", "*@example.com"], ["three@example.net"]),
    (["--sender", ALICE, "--recipient", "t*"],
     ["one@example.com", "four@example.com", "five@example.com"]),
    (["--all", "--older", "1h"],
     ["one@example.com", "two@example.com", "three@example.net",
      "four@example.com", "five@example.com"]),
])
@pytest.mark.parametrize("command", ["release", "discard"])
def test_selections(held, sink, command, selection, left):
    done = held.ctl(command, *selection)
    assert done == {"recipients": 5 - len(left)}
    until(lambda: held.held() == left, "the rest alone to be there")
    if command == "release":
        assert len(sink.wait_for(5 - len(left))) == 5 - len(left)
    queue = sum(s["queue_length"] for s in held.ctl("senders"))
    assert queue == len(left)
    if command == "discard":
        assert sink.recipients() == []


def test_older(weir, sink):
    w = weir(policy=HOLD)
    peer = w.hello()
    peer.transact(ALICE, ["old@example.com"], message())
    time.sleep(1.1)
    peer.transact(ALICE, ["young@example.com"], message())
    assert w.ctl("discard", "--all", "--older", "1s") == {"recipients": 1}
    assert w.held() == ["young@example.com"]


@pytest.mark.parametrize("then", [[], ["--release"], ["--discard"]])
def test_thaw(held, sink, then):
    held.ctl("freeze", ALICE)
    code, lines = held.hello().ask(f"MAIL FROM:<{ALICE}>")
    assert code == 451 and "administrator" in lines[0], lines
    held.ctl("thaw", ALICE, *then)
    alice = held.sender(f"<{ALICE}>")
    assert not alice["frozen"]
    if then:
        until(lambda: held.held(ALICE) == [], "alice's queue to go")
        assert alice["queue_length"] == 0
    else:
        assert alice["queue_length"] == 3
    if then == ["--release"]:
        sink.wait_for(3)
    assert len(held.held(BOB)) == 2
    assert len(sink.recipients()) == (3 if then == ["--release"] else 0)
    assert held.hello().ask(f"MAIL FROM:<{ALICE}>")[0] == 250


def test_a_sender_never_seen_can_be_frozen(held):
    held.ctl("freeze", "<carol@example.org>")
    assert held.hello().ask("MAIL FROM:<carol@example.org>")[0] == 451
    held.restart()
    assert held.hello().ask("MAIL FROM:<carol@example.org>")[0] == 451


def test_a_name_is_nobody_else(held):
    """Envelope senders count here: a name that was never seen is one of them,
    and not the null sender."""
    done = held.run_ctl("freeze", "Dave@example.org")
    assert done.stdout == "frozen: <dave@example.org>\n", done.stderr
    assert held.hello().ask("MAIL FROM:<dave@example.org>")[0] == 451
    assert held.hello().ask("MAIL FROM:<>")[0] == 250
    # It is said, and who may have been meant.
    assert done.stderr == "weirctl: Dave@example.org: never seen\n"
    assert held.run_ctl("freeze", "<dave@example.org>").stderr == ""


def test_who_may_have_been_meant(held):
    """Those who wrote to somebody, not the names that were mistyped before."""
    for name in ("alice@example.com", "alice@example.net"):
        done = held.run_ctl("freeze", name)
        assert done.returncode == 0 and done.stderr == (
            f"weirctl: {name}: never seen; did you mean <{ALICE}>?\n")
    for command in (["show"], ["thaw"], ["forget"], ["release", "--sender"],
                    ["discard", "--sender"], ["flush", "--sender"]):
        done = held.run_ctl(*command, "ALICE+x@elsewhere.test")
        assert done.returncode == 1, command
        assert f"never seen; did you mean <{ALICE}>?" in done.stderr, command


# ---- exit codes ----

@pytest.mark.parametrize("args,status,words", [
    (["show", "nobody@example.org"], 1, "no such sender"),
    (["explain", ALICE], 2, "usage"),
    (["explain", ALICE, "a b@example.org"], 2, "not an address"),
    (["explain", ALICE, "a@example.org", "--client", "x"], 2, "IP address"),
    (["thaw", "nobody@example.org"], 1, "no such sender"),
    (["queue", "nobody@example.org"], 1, "no such sender"),
    (["release", "0000000001000"], 1, ""),
    (["discard", "--sender", "nobody@example.org"], 1, ""),
    (["cat", "0000000001000"], 1, ""),
    (["freeze", " "], 1, "not a valid sender name"),
    ([], 2, "usage"),
    (["frobnicate"], 2, "frobnicate"),
    (["status", "extra"], 2, "usage"),
    (["--nonsense", "status"], 2, ""),
    (["release"], 2, "--all"),
    (["discard"], 2, "--all"),
    (["release", "--all", "--sender", "x"], 2, "--all"),
    (["thaw", "x", "--release", "--discard"], 2, "exclusive"),
    (["events", "-n", "no"], 2, "number"),
    (["release", "no id"], None, "queue id"),
    (["release", "--all", "--older", "soon"], None, "duration"),
])
def test_exit_status(held, args, status, words):
    done = held.run_ctl(*args)
    assert done.returncode == status if status else done.returncode in (1, 2)
    assert words in done.stderr, done.stderr
    assert done.stdout == ""
    assert held.status()["held_recipients"] == 5


def test_help():
    for word in "-h", "--help", "help":
        done = subprocess.run([BUILD / "weirctl", word], capture_output=True,
                              text=True, timeout=DEADLINE_S)
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith("usage: ")


def test_daemon_not_there(tmp_path):
    for path in (tmp_path / "nothing.sock", tmp_path):
        done = subprocess.run([BUILD / "weirctl", "-s", path, "status"],
                              capture_output=True, text=True,
                              timeout=DEADLINE_S)
        assert done.returncode == 69, done.stderr
        assert str(path) in done.stderr and done.stderr.count("\n") == 1


def test_daemon_goes_away(held):
    held.kill()
    assert held.run_ctl("status").returncode == 69
    held.launch()
    assert held.status()["held_recipients"] == 5


@root_only
def test_others_may_not(held, tmp_path):
    """Another user, even where the directory lets it through to the
    socket."""
    path = held.control
    for part in [path, *path.parents]:
        if str(part) != "/":
            os.chmod(part, os.stat(part).st_mode | 0o005 |
                     (0o002 if part == path else 0))
    for command in (["status"], ["release", "--all"],
                    ["freeze", ALICE], ["reload"]):
        done = subprocess.run(
            ["setpriv", "--reuid=nobody", "--regid=nogroup",
             "--clear-groups", BUILD / "weirctl", "-s", path, *command],
            capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode in (1, 69), done
        assert done.stdout == ""
        assert re.search("permission|not allowed|may not|denied",
                         done.stderr, re.I), done.stderr
    assert held.status()["held_recipients"] == 5
    assert not held.sender(f"<{ALICE}>")["frozen"]


@root_only
def test_members_of_the_group_may(weir, sink):
    w = weir(policy=HOLD, control_group='"nogroup"')
    for part in w.control.parents:
        if str(part) != "/":
            os.chmod(part, os.stat(part).st_mode | 0o005)
    done = subprocess.run(
        ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
         BUILD / "weirctl", "-s", w.control, "freeze", "x@example.org"],
        capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    assert any("nobody" in r["who"] for r in w.ctl("audit"))


def control_raw(w, data):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(DEADLINE_S)
        s.connect(str(w.control))
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: s.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            return b""


def test_garbage_on_the_control_socket(held):
    for data in (b"\n", b"{}\n", b"[1]\n", b"\xff\xfe\n", b"GET / HTTP/1.1\n",
                 b'{"command": 5}\n', b'{"command": "status", "x": 1}\n',
                 b'{"command": "release"}\n', b"{" * 100000 + b"\n",
                 b"x" * 1_000_000, b'{"command":"release","ids":["' +
                 b"0" * 100 + b'"]}\n'):
        control_raw(held, data)
    assert held.status()["held_recipients"] == 5


# ---- reload ----

def test_reload(held, sink):
    peer = held.hello()
    peer.ask(f"MAIL FROM:<{ALICE}>")
    held.policy = KEY + "exempt = true"
    held.write_config()
    assert held.run_ctl("reload").returncode == 0
    # An open transaction goes on ...
    assert peer.ask("RCPT TO:<x@known.test>")[0] == 250
    assert peer.submit(message())[0] == 250
    # ... and what comes now follows the new rules.
    code, text = peer.transact(ALICE, ["new@example.com"], message())
    assert code == 250 and "held" not in text
    assert held.status()["held_recipients"] == 5
    assert any(r["action"] == "reload" for r in held.ctl("audit"))


@pytest.mark.parametrize("how", ["weirctl", "SIGHUP"])
def test_a_bad_file_keeps_the_old_configuration(held, how):
    good = held.config.read_text()
    held.config.write_text(good + "nonsense = 5\n")
    line = good.count("\n") + 1
    if how == "weirctl":
        done = held.run_ctl("reload")
        assert done.returncode == 1
        assert f"weir.conf:{line}" in done.stderr, done.stderr
        assert "nonsense" in done.stderr
    else:
        held.process.send_signal(signal.SIGHUP)
    until(lambda: held.log_lines(rf"maild reload_failed .*weir\.conf:{line}"),
          "the log to name the line")
    code, text = held.hello().transact(ALICE, ["new@example.com"], message())
    assert code == 250 and "held" in text
    held.config.write_text(good)


@pytest.fixture
def deferred(weir, scripted):
    """A daemon with three released messages whose next try is in an hour; the
    next hop takes them from .back() on."""
    refuse = [True]

    def later(peer, line):
        if refuse[0]:
            peer.say("450 4.2.0 later")
        return refuse[0]

    def take(peer, line):
        taken.append(not refuse[0])  # else a text without recipients

    taken = []
    hop = scripted(lambda p: serve_smtp(p, on={"RCPT": later, ".": take}))
    w = weir(next_hop=hop.address, policy=HOLD, verify_held="false",
             retry_min='"1h"')
    peer = w.hello()
    for who, to in ((ALICE, "one"), (ALICE, "two"), (BOB, "three")):
        peer.transact(who, [f"{to}@example.com"], message(subject=to))
    peer.ask("QUIT")
    w.ctl("release", "--all")
    until(lambda: all(r.get("attempts") for m in w.queue()
                      for r in m["recipients"]), "the first try")
    w.taken, w.back = taken, lambda: refuse.__setitem__(0, False)
    return w


def test_flush(deferred):
    assert human(deferred, "flush", BOB).startswith("due now: 1 recipient")
    until(lambda: any(r.get("attempts") == 2 for m in deferred.queue()
                      for r in m["recipients"]), "a second try")
    deferred.back()
    first, second = [m["id"] for m in deferred.queue(ALICE)]
    assert deferred.ctl("flush", first) == {"recipients": 1}
    until(lambda: len(deferred.queue()) == 2, "the first")
    assert deferred.ctl("release", second) == {"recipients": 1}
    until(lambda: len(deferred.queue()) == 1, "the second")
    human(deferred, "flush")
    until(lambda: not deferred.queue(), "the third")
    assert deferred.ctl("flush", "all") == {"recipients": 0}
    assert deferred.run_ctl("flush", "--all", BOB).returncode == 2
    assert {a["action"] for a in deferred.ctl("audit")} >= {"flush"}


def states(w):
    return sorted(r["state"] for m in w.queue() for r in m["recipients"])


@pytest.mark.parametrize("then", ["", "--release", "--discard"])
def test_a_freeze_reaches_what_was_let_go(deferred, then):
    """Nothing of it is tried, by flush or after a restart, before the thaw."""
    deferred.ctl("freeze", ALICE)
    assert states(deferred) == ["frozen", "frozen", "released"]
    assert deferred.ctl("show", ALICE)["stopped_by_freeze"] == 2
    assert deferred.status()["stopped_by_freeze"] == 2
    deferred.back()
    assert deferred.ctl("flush") == {"recipients": 1}
    until(lambda: states(deferred) == ["frozen", "frozen"], "bob's")
    deferred.restart()
    assert states(deferred) == ["frozen", "frozen"]
    assert deferred.status()["stopped_by_freeze"] == 2
    deferred.ctl("thaw", ALICE, *then.split())
    until(lambda: not deferred.queue(), "an empty queue")
    taken = 1 if then == "--discard" else 3
    assert sum(deferred.taken) == taken


def test_flush_leaves_what_is_held(held):
    assert held.ctl("flush") == {"recipients": 0}
    assert held.status()["held_recipients"] == 5


def test_sighup_keeps_sessions(held):
    peer = held.hello()
    peer.ask(f"MAIL FROM:<{ALICE}>")
    peer.ask("RCPT TO:<x@known.test>")
    assert peer.ask("DATA")[0] == 354
    peer.send("Subject: x\r\n\r\nhalf")
    held.options["message_size"] = '"70K"'
    held.write_config()
    held.process.send_signal(signal.SIGHUP)
    until(lambda: held.log_lines("info maild reload file="), "the reload")
    peer.send(" and half\r\n.\r\n")
    assert peer.reply()[0] == 250
    assert "SIZE 71680" in held.hello().extensions


def test_reload_says_what_it_cannot_change(held):
    held.options["min_free"] = '"2M"'
    held.write_config()
    done = held.run_ctl("reload")
    assert done.returncode == 0
    assert "min_free was changed" in done.stdout, done.stdout
    assert len(held.log_lines("reload_later option=min_free")) == 1
    # It is no more in force after a second time.
    assert "min_free was changed" in held.run_ctl("reload").stdout
    assert len(held.log_lines("reload_later option=min_free")) == 2
    held.options["min_free"] = '"1M"'
    held.write_config()
    assert held.run_ctl("reload").stdout == (
        "configuration reloaded\n")


def test_a_new_next_hop_by_reload(held, fast_sink):
    held.next_hop = fast_sink.address
    held.write_config()
    assert held.run_ctl("reload").returncode == 0
    held.ctl("release", "--all")
    assert len(fast_sink.wait_for(5)) == 5
    held.wait_empty()


def test_the_spool_is_nobody_elses_business(held):
    for path in [held.spool, *held.spool.rglob("*")]:
        assert os.stat(path).st_mode & 0o077 == 0, path
    assert os.stat(held.control).st_mode & 0o007 == 0


def test_any_command_by_its_name(held):
    """What the daemon has is asked for without a line in weirctl."""
    rows = [json.loads(line) for line in held.run_ctl(
        "ask", "senders", "frozen=false", "term=alice").stdout.splitlines()]
    assert rows and all("alice" in row["sender"] for row in rows)
    assert held.run_ctl("ask", "status").stdout.count("\n") == 1
    for args, words in ((["nonsense"], "nonsense"), (["senders", "x"], "x"),
                        (["senders", "max=5"], "max"), (["senders", "=5"], "=5"),
                        ([], "usage: weirctl ask")):
        done = held.run_ctl("ask", *args)
        assert done.returncode == 2 and words in done.stderr, done
