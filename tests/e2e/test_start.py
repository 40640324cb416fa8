# SPDX-License-Identifier: BSD-3-Clause
"""The daemon's life: drain, restart, what a start refuses, whose it runs as."""
import os
import pathlib
import pwd
import re
import signal
import socket
import sqlite3
import subprocess

import pytest

from harness import (BUILD, DEADLINE_S, Weir, free_port, hello, listens, message,
                     until)
from milter import MilterWeir

ALICE, BOB = "alice@example.org", "bob@example.org"
KEY = "key = envelope\n"
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0  freeze_at = 50\n'
              'exempt_recipients = {"@known.test"}')
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


# ---- stop and start ----

def test_sigterm_drains(weir, sink):
    w = weir(policy=HOLD)
    peer, idle = w.hello(), w.hello()
    peer.ask(f"MAIL FROM:<{ALICE}>")
    peer.ask("RCPT TO:<x@known.test>")
    peer.ask("RCPT TO:<new@example.com>")
    assert peer.ask("DATA")[0] == 354
    w.process.send_signal(signal.SIGTERM)
    # Idle sessions hear it at once, new ones are not taken.
    assert idle.reply()[0] == 421
    until(lambda: not listens(w.port), "the listener to close")
    peer.send(message() + b".\r\n")
    assert peer.reply()[0] == 250
    assert peer.reply()[0] == 421
    peer.close()
    idle.close()
    assert w.process.wait(DEADLINE_S) == 0
    assert sink.recipients() == ["x@known.test"]
    w.launch()
    assert w.held() == ["new@example.com"]


def test_restart_keeps_everything(weir, sink):
    w = weir(policy=KEY + 'interval = "1h"  burst = 2  initial = 2\n'
             "freeze_at = 3")
    peer = w.hello()
    for i in range(5):
        assert peer.transact(ALICE, [f"new{i}@example.com"],
                             message())[0] == 250
    peer.transact(BOB, ["friend@example.com"], message())
    before = w.sender(f"<{ALICE}>")
    queue = w.queue()
    assert before["frozen"] and before["queue_length"] == 3
    w.restart()
    after = w.sender(f"<{ALICE}>")
    for key in ("frozen", "queue_length", "allowance", "working_set",
                "policy"):
        assert after[key] == before[key], key
    assert w.queue() == queue
    # Bob's friend is still known.
    assert w.sender(f"<{BOB}>")["working_set"] == 1
    w.ctl("thaw", ALICE, "--release")
    sink.wait_for(6)
    assert sorted(sink.recipients()) == sorted(
        [f"new{i}@example.com" for i in range(5)] + ["friend@example.com"])


# ---- starts that are refused ----

def refused_start(w, *args):
    """Runs it to its end: (status, the one line)."""
    done = subprocess.run([BUILD / "weir-maild", "-c", w.config, *args],
                          capture_output=True, text=True, timeout=DEADLINE_S)
    lines = done.stderr.strip().splitlines()
    return done.returncode, lines


def prepared(tmp_path, name="other", **kw):
    w = Weir(tmp_path / name, "127.0.0.1:9", **kw)
    w.write_config()
    return w


def test_check_of_a_good_file(tmp_path):
    w = prepared(tmp_path)
    status, lines = refused_start(w, "-t")
    assert status == 0
    assert not w.spool.exists(), "a check creates nothing"


def ask(*args):
    return subprocess.run([BUILD / "weir-maild", *args], capture_output=True,
                          text=True, timeout=DEADLINE_S)


def test_version_and_usage():
    for option in "-V", "--version":
        done = ask(option)
        assert done.returncode == 0 and done.stdout.startswith("weir-maild ")
    for option in "-h", "--help":
        done = ask(option)
        assert done.returncode == 0 and done.stdout.startswith("usage: ")
    assert ask("-x").returncode == 64
    assert ask("help").returncode == 64


BAD = [
    ("colour = blue", "colour"),
    ('retry_max = "10 parsecs"', "retry_max"),
    ('message_size = "many"', "message_size"),
    ("recipients_max = -5", "recipients_max"),
    ("recipients_max = 99999999", "recipients_max"),
    ("mode = sleep", "mode"),
    ('control_group = "no-such-group"', "no-such-group"),
    ('user = "no-such-user"', "no-such-user"),
    ('freeze_command = "/no/such/program"', "/no/such/program"),
    ('bare_newline_allow = {"127.0.0.300"}', "127.0.0.300"),
    ('postmaster = ""', "postmaster"),
    ('listen "x" { address = "nowhere" }', "nowhere"),
    ('listen "x" { address = "127.0.0.1:2"  protocol = lmtp }', "lmtp"),
    ('listen "x" { }', "address"),
    ('policy "p" { match = {"a@b"}  interval = "0" }', "interval"),
    ('policy "p" { interval = "1m" }', "match"),
    ('policy "p" { match = {"file:/no/such/list"} }', "/no/such/list"),
    ('policy "p" { match = {"a@b"}  limit = {"5 per hour"} }', "limit"),
    ('policy "p" { match = {"a@b"}  working_set = 0 }', "working_set"),
    ('retry_min = "2h"\nretry_max = "1h"', "retry_m"),
    ("mode = enforce {", ""),
    ('include("/no/such/file")', ""),
    ('hostname = "not a name"', "hostname"),
]


@pytest.mark.parametrize("text,word", BAD)
@pytest.mark.parametrize("args", [["-t"], []])
def test_bad_configuration(tmp_path, text, word, args):
    w = prepared(tmp_path)
    before = w.config.read_text()
    if text.startswith("hostname"):  # given there already
        before = before.replace('hostname = "relay.weir.test"\n', "")
    w.config.write_text(before + text + "\n")
    first = before.count("\n") + 1
    status, lines = refused_start(w, *args)
    assert status == 78, lines
    assert len(lines) == 1, lines
    assert re.search(rf"weir\.conf:({first}|{first + 1}|{first + 2})\b",
                     lines[0]), lines
    assert word in lines[0], lines
    assert not w.spool.exists()


def test_warnings_of_a_good_configuration(tmp_path):
    """Of older versions: what no longer means an envelope sender."""
    w = prepared(tmp_path, sections=(
        'policy "bulk" { match = {"news", "news@example.org", '
        '"@lists.example.org"} }\n'
        'policy "ok" { match = {"user:a@example.org", "192.0.2.0/24"} }\n'
        'policy "env" { match = {"b@example.org"}  key = envelope }\n'))
    text = w.config.read_text().splitlines()
    line = [i for i, t in enumerate(text) if '"bulk"' in t][0] + 1
    done = ask("-t", "-c", w.config)
    assert done.returncode == 0 and done.stdout.endswith(": ok\n")
    said = done.stderr.splitlines()
    assert len(said) == 2 and "next_hop: 127.0.0.1:9" in said[1], said
    assert re.search(rf"warning: .*weir\.conf:{line}: policy \"bulk\": match: "
                     r"\"news@example\.org\" is a login", said[0]), said
    w.start()
    assert len(w.log_lines("maild config reason=")) == 1
    assert w.stop() == 0


def test_warnings_of_what_does_nothing(tmp_path):
    """A scope that matches no sender, and learning without memory: said with
    their lines, and the daemon starts."""
    (tmp_path / "nobody").write_text("# none yet\n")
    w = prepared(tmp_path, acquaintances_memory='"0"',
                 local_domains='{"example.org"}', inbound_memory='"64M"',
                 sections=(
                     f'scope "void" {{ match = {{"file:{tmp_path}/nobody"}} '
                     'limit = {"5/1h"} }\n'
                     'policy "p" { match = {"a"}  learn_inbound = yes }\n'))
    text = w.config.read_text().splitlines()
    void = '"void"'
    at = {word: [i for i, t in enumerate(text, 1) if word in t][0]
          for word in (void, "learn_inbound", "inbound_memory")}
    done = ask("-t", "-c", w.config)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"weir\.conf:{at[void]}: scope \"void\": match: "
                     r".*matches no sender", done.stderr), done.stderr
    assert re.search(rf"weir\.conf:{at['learn_inbound']}: policy "
                     r"\"p\": learn_inbound learns nothing",
                     done.stderr), done.stderr
    assert (f"weir.conf:{at['inbound_memory']}: inbound_memory has no effect "
            "any more") in done.stderr
    w.start()
    assert w.stop() == 0


def test_a_hold_command_needs_the_others(tmp_path):
    """Else nothing would be found, or stay on hold for good."""
    conf = tmp_path / "weir.conf"
    others = ['queue_command = "/bin/true"', 'release_command = "/bin/true"',
              'discard_command = "/bin/true"']
    for left_out in (None, *others):
        conf.write_text("\n".join(
            [f'spool = "{tmp_path}/spool"', 'next_hop = "127.0.0.1:1"',
             'mta_hold_command = "/bin/true"',
             *(o for o in others if o != left_out),
             f'listen "a" {{ address = "unix:{tmp_path}/a.sock" }}', ""]))
        done = subprocess.run([BUILD / "weir-maild", "-t", "-c", conf],
                              capture_output=True, text=True)
        assert (done.returncode == 0) == (left_out is None), done.stderr
        assert ("mta_hold_command needs" in done.stderr) == \
            (left_out is not None)


def test_warnings_of_numbers_and_of_a_shared_hold(tmp_path):
    conf = tmp_path / "weir.conf"
    conf.write_text(f"""
spool = "{tmp_path}/spool"
next_hop = "127.0.0.1:1"
milter_hold = quarantine
release_command = "/bin/true"
discard_command = "/bin/true"
queue_command = "unix:{tmp_path}/hold.sock list"
listen "mta" {{ address = "unix:{tmp_path}/m.sock"  protocol = milter }}
policy "tight" {{ match = {{"user:a"}}  burst = 20  freeze_at = 10 }}
policy "default" {{ burst = 10  freeze_at = 10 }}
""")
    done = subprocess.run([BUILD / "weir-maild", "-t", "-c", conf],
                          capture_output=True, text=True)
    assert done.returncode == 0
    assert re.search(r'weir\.conf:9: policy "tight": freeze_at \(10\) is below '
                     r"burst \(20\)", done.stderr)
    assert "default" not in done.stderr
    assert re.search(r'weir\.conf:8: listen "mta": milter_hold = quarantine: .*'
                     "is released", done.stderr)
    assert re.search(r"queue_command: there is no socket .*/hold\.sock: No such "
                     "file", done.stderr)


def test_next_hops_that_nobody_listens_on(tmp_path, sink):
    """-t asks each; the daemon asks for its milter, whose mail goes there long
    after it came. One that is there is nobody's business."""
    closed = free_port()
    conf = tmp_path / "weir.conf"
    conf.write_text(f"""
hostname = "relay.weir.test"
spool = "{tmp_path}/spool"
next_hop = {{"{sink.address}", "127.0.0.1:{closed}"}}
milter_next_hop = "no-such-host.invalid:25"
listen "mta" {{ address = "unix:{tmp_path}/m.sock"  protocol = milter }}
""")
    done = ask("-t", "-c", conf)
    assert done.returncode == 0
    said = [t for t in done.stderr.splitlines() if "next_hop" in t]
    assert len(said) == 2 and sink.address not in done.stderr, said
    assert any(re.search(rf"next_hop: 127\.0\.0\.1:{closed}: .*Connection "
                         "refused", t) for t in said), said
    assert any("milter_next_hop: no-such-host.invalid:25: " in t
               for t in said), said


def test_one_that_never_greets_does_not_keep_the_check(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        w = Weir(tmp_path / "w", f"127.0.0.1:{deaf.getsockname()[1]}")
        w.write_config()
        done = ask("-t", "-c", w.config)
    assert done.returncode == 0
    assert "no greeting within 3 seconds" in done.stderr


def test_a_next_hop_that_is_not_there_at_the_start_of_a_milter(tmp_path):
    """It may start a moment later: two tries."""
    w = MilterWeir(tmp_path / "w", f"127.0.0.1:{free_port()}")
    w.start()
    assert not w.log_lines("maild config")
    until(lambda: w.log_lines(r"warning maild config reason=.*next_hop: .*"
                              "Connection refused"), "the warning")
    assert w.stop() == 0


def test_warning_of_logins_that_weir_does_not_have(tmp_path):
    """Users log in at the next hop and weir does not: held mail would wait."""
    w = prepared(tmp_path, listen_options="auth = pass")
    done = ask("-t", "-c", w.config)
    assert done.returncode == 0
    said = [line for line in done.stderr.splitlines()
            if "next_hop_auth" in line]
    assert len(said) == 1 and "auth = pass" in said[0], done.stderr
    assert "verify_held" not in said[0]


def test_missing_file_and_missing_options(tmp_path):
    w = prepared(tmp_path)
    text = w.config.read_text()
    w.config.unlink()
    status, lines = refused_start(w)
    assert status == 78 and len(lines) == 1
    assert str(w.config) in lines[0] and "No such file" in lines[0]
    w.config.write_text(re.sub("next_hop.*\n", "", text))
    status, lines = refused_start(w)
    assert status == 78 and "next_hop" in lines[0] and len(lines) == 1
    w.config.write_text(re.sub('listen "test".*\n', "", text))
    status, lines = refused_start(w)
    assert status == 78 and "listen" in lines[0] and len(lines) == 1


def test_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        w = prepared(tmp_path, listen=f"127.0.0.1:{port}")
        status, lines = refused_start(w)
    assert status == 75 and len(lines) == 1
    assert f"127.0.0.1:{port}" in lines[0], lines
    assert "in use" in lines[0]


def test_second_daemon(weir, sink, tmp_path):
    w = weir(policy=HOLD)
    w.hello().transact(ALICE, ["new@example.com"], message())
    # The same configuration: the port is in use.
    status, lines = refused_start(w)
    assert status == 75 and len(lines) == 1, lines
    # Another port and another socket, the same spool.
    other = prepared(tmp_path)
    other.config.write_text(other.config.read_text().replace(
        str(other.spool), str(w.spool)))
    status, lines = refused_start(other)
    assert status == 75 and len(lines) == 1, lines
    assert str(w.spool) in lines[0]
    # Another spool and port, the same control socket.
    third = prepared(tmp_path, "third")
    third.config.write_text(third.config.read_text().replace(
        str(third.control), str(w.control)))
    status, lines = refused_start(third)
    assert status == 75 and len(lines) == 1, lines
    assert str(w.control) in lines[0]
    # The first one has noticed nothing.
    assert w.held() == ["new@example.com"]


def one_io_line(w, statuses):
    status, lines = refused_start(w)
    assert status in statuses, (status, lines)
    said = [line for line in lines if line.startswith("weir-maild: ")]
    assert len(said) == 1 and said[0] == lines[-1], lines  # others: the log
    assert str(w.spool) in said[0], lines


def test_spool_that_is_no_directory(tmp_path):
    w = prepared(tmp_path)
    w.spool.write_text("a file")
    one_io_line(w, (74, 78))
    assert w.spool.read_text() == "a file"


def test_spool_below_nothing(tmp_path):
    w = prepared(tmp_path)
    w.config.write_text(w.config.read_text().replace(
        str(w.spool), str(w.spool) + "/no/such"))
    one_io_line(w, (74, 78))
    assert not w.spool.exists()


@root_only
def test_spool_not_writable(tmp_path):
    w = prepared(tmp_path, user='"nobody"')
    w.spool.mkdir(mode=0o700)
    one_io_line(w, (74, 78))
    assert list(w.spool.iterdir()) == []


def database_of(w):
    return next(p for p in w.spool.iterdir()
                if p.is_file() and p.read_bytes()[:6] == b"SQLite")


def stopped_with_mail(weir):
    w = weir(policy=HOLD)
    w.hello().transact(ALICE, ["new@example.com"], message())
    assert w.stop() == 0
    path = database_of(w)
    db = sqlite3.connect(path)  # all of it in the one file
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return w, path


def test_newer_schema(weir, sink):
    w, path = stopped_with_mail(weir)
    db = sqlite3.connect(path)
    [version] = db.execute("PRAGMA user_version").fetchone()
    db.execute("PRAGMA user_version = 999")
    db.close()
    before = path.read_bytes()
    one_io_line(w, (78,))
    assert path.read_bytes() == before
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    w.launch()
    assert w.held() == ["new@example.com"]


@pytest.mark.parametrize("how", ["garbage", "truncated", "foreign"])
def test_corrupt_database(weir, sink, how):
    w, path = stopped_with_mail(weir)
    good = path.read_bytes()
    if how == "garbage":
        path.write_bytes(b"This is not a database at all. " * 1000)
    elif how == "truncated":
        path.write_bytes(good[:len(good) // 2])
    else:
        path.unlink()
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE theirs (x)")
        db.commit()
        db.close()
    before = path.read_bytes()
    one_io_line(w, (74, 78))
    assert path.read_bytes() == before, "it was overwritten"
    for extra in path.parent.glob(path.name + "-*"):
        extra.unlink()
    path.write_bytes(good)
    w.launch()
    assert w.held() == ["new@example.com"]


# ---- as its own user ----

@root_only
def test_runs_as_its_own_user(weir, sink, tmp_path):
    parent = tmp_path
    while str(parent) != "/":
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
        parent = parent.parent
    w = weir(policy=HOLD, user='"nobody"', start=False)
    uid, gid = pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid
    w.listen = "127.0.0.1:{}".format(low_port())
    w.port = int(w.listen.split(":")[1])
    w.dir.chmod(0o755)
    w.start()
    status = pathlib.Path(f"/proc/{w.process.pid}/status").read_text()
    ids = {line.split(":")[0]: line.split()[1:]
           for line in status.splitlines() if ":" in line}
    assert ids["Uid"] == [str(uid)] * 4
    assert ids["Gid"] == [str(gid)] * 4
    assert ids["Groups"] in ([], [str(gid)])
    assert int(ids["CapEff"][0], 16) == 0
    assert os.stat(w.spool).st_uid == uid
    assert os.stat(w.spool).st_mode & 0o077 == 0
    hello(w.port).transact(ALICE, ["new@example.com"], message())
    assert w.held() == ["new@example.com"]
    assert w.run_ctl("reload").returncode == 0
    w.restart()
    assert w.held() == ["new@example.com"]


def low_port():
    """A free port that only root may bind."""
    for port in range(600, 1000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port below 1000")
