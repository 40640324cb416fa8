# SPDX-License-Identifier: BSD-3-Clause
"""weir-replay as it is run: what it prints, what it refuses, what it leaves."""
import csv
import gzip
import html.parser
import io
import json
import lzma
import os
import re
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness import BUILD, DEADLINE_S, message as text_of_mail, until

NODES = "".join(f"{i} 1 1 1\n" for i in range(1, 20))
TWELVE = "0 1 " + " ".join(str(i) for i in range(2, 14)) + "\n"
CONFIG = """hostname = "relay.test"
next_hop = "127.0.0.1:25"
listen "x" { address = "127.0.0.1:2525" }
internal_domains = {}
policy "default" { working_set = 64  interval = "1m"  burst = 10
                   freeze_at = 100 }
policy "slow" { match = {"user:nobody"}  interval = "1h"  burst = 1
                initial = 1  freeze_at = 100 }
"""


@pytest.fixture
def replay(tmp_path):
    """Runs `weir-replay trace` on these files: (status, stdout, stderr)."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    (tmp_path / "weir.conf").write_text(CONFIG)

    def run(messages, *args, nodes=NODES, config="weir.conf"):
        for name, text in (("messages", messages), ("nodes", nodes)):
            if text is not None:
                data = text if isinstance(text, bytes) else text.encode()
                (tmp_path / name).write_bytes(data)
        done = subprocess.run(
            [BUILD / "weir-replay", "trace", "messages", "--nodes", "nodes",
             "-c", config, *args], cwd=tmp_path, text=True,
            env=dict(os.environ, TMPDIR=str(scratch)),
            capture_output=True, timeout=DEADLINE_S)
        assert list(scratch.iterdir()) == []
        return done.returncode, done.stdout, done.stderr
    return run


def test_twelve_at_once(replay):
    status, out, err = replay(TWELVE)
    assert (status, err) == (0, "")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "recipients that waited 2 (16.667 %) 0 (0.000 %)" in rows
    assert "many in one message 2 0" in rows
    assert "1 12 2 3m 2m 2 many in one message" in rows


def test_colleagues_are_familiar(replay, tmp_path):
    (tmp_path / "own.conf").write_text(
        CONFIG.replace("internal_domains = {}\n", ""))
    status, out, err = replay(TWELVE, config="own.conf")
    assert (status, err) == (0, "")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "recipients that waited 0 (0.000 %) 0 (0.000 %)" in rows


def test_packed_json_and_attack(replay):
    status, out, err = replay(lzma.compress(TWELVE.encode()), "--json",
                              "--attack", "10", "--attack", "1/60",
                              nodes=lzma.compress(NODES.encode()))
    assert (status, err) == (0, "")
    report = json.loads(out)
    cold = report["cold"]
    assert (report["messages"], cold["recipients"]) == (1, 12)
    assert cold["recipients_waited"] == {
        "number": 2, "share": pytest.approx(2 / 12), "median_s": 60,
        "p90_s": 120, "p99_s": 120, "longest_s": 120}
    assert cold["waited_most"][0]["total_s"] == 180
    assert [a["after_day"] for a in report["attacks"]] == [
        {"strangers": 10, "known": 0}, {"strangers": 1440, "known": 0}]
    assert report["attacks"][0]["frozen_after_s"] == 10.9
    assert report["attacks"][1]["frozen_after_s"] is None


def test_policy_by_name(replay):
    status, out, _ = replay(TWELVE, "--policy", "slow", "--json")
    assert status == 0
    assert json.loads(out)["cold"]["recipients_waited"]["number"] == 11


@pytest.mark.parametrize("messages,nodes,args,status,words", [
    ("0 1 2\n1 1\n", NODES, [], 65, "messages:2: a recipient is missing"),
    ("0 1 2\n", "1 1 1 1\n1 1 1 1\n", [], 65, "nodes:2: 1 is given twice"),
    ("5 1 2\n4 1 2\n", NODES, [], 65, "messages:2: the time 4 is before"),
    ("", NODES, [], 65, "messages: contains no message"),
    (lzma.compress(TWELVE.encode())[:-9], NODES, [], 65,
     "messages: truncated xz file"),
    (None, NODES, [], 66, "messages: No such file or directory"),
    (TWELVE, None, [], 66, "nodes: No such file or directory"),
    (TWELVE, NODES, ["-c", "none"], 66, "none: cannot be read"),
    (TWELVE, NODES, ["-c", "nodes"], 78, "nodes:1"),
    (TWELVE, NODES, ["--policy", "fast"], 64, 'has no policy "fast"'),
    (TWELVE, NODES, ["--attack", "fast"], 64, '"fast": is not a rate'),
    (TWELVE, NODES, ["another"], 64, "usage: weir-replay trace FILE"),
    (TWELVE, NODES, ["--fast"], 64, "unrecognized option"),
])
def test_refused(replay, messages, nodes, args, status, words):
    got, out, err = replay(messages, *args, nodes=nodes)
    assert (got, out) == (status, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_report_that_cannot_be_printed(tmp_path):
    (tmp_path / "m").write_text(TWELVE)
    (tmp_path / "n").write_text(NODES)
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [BUILD / "weir-replay", "trace", tmp_path / "m", "--nodes",
             tmp_path / "n"], stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=DEADLINE_S)
    assert done.returncode == 74
    assert "the report cannot be written" in done.stderr


def test_interrupted(tmp_path):
    """What it made goes with it."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    (tmp_path / "n").write_text(
        "".join(f"{i} 1 1 1\n" for i in range(1, 1001)))
    # Each message spends something, which is saved before it goes: minutes.
    (tmp_path / "m").write_text("".join(
        f"{i * 60} {1 + i % 1000} {2000 + i}\n" for i in range(400000)))
    process = subprocess.Popen(
        [BUILD / "weir-replay", "trace", tmp_path / "m", "--nodes",
         tmp_path / "n"],
        env=dict(os.environ, TMPDIR=str(scratch)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # Its spool is there, so the signals are caught.
    until(lambda: list(scratch.glob("*/spool.db")), "the replay to begin")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (75, "")
    assert err == "weir-replay: interrupted\n"
    assert list(scratch.iterdir()) == []


# ---- logs ----

LOGIN = "client=pc[192.0.2.17], sasl_method=PLAIN, sasl_username=a@example.org"
# The files are new, so the year is this one, or the last one.
YEAR = (lambda t: t.tm_year - ((t.tm_mon, t.tm_mday) < (11, 28)))(
    time.gmtime())
SENT = "relay=h[198.51.100.1]:25, dsn=2.0.0, status=sent (250 ok)"


def message(day, minute, queue_id, recipients, client=LOGIN):
    """The lines of one message in Postfix's log."""
    head = f"Nov {day:2} 10:{minute:02}:00 mx postfix"
    return "".join(
        [f"{head}/smtpd[1]: {queue_id}: {client}\n"]
        + [f"{head}/smtp[2]: {queue_id}: to=<{r}@example.net>, {SENT}\n"
           for r in recipients]
        + [f"{head}/qmgr[3]: {queue_id}: removed\n"])


@pytest.fixture
def log(tmp_path):
    """Runs weir-replay, `log` unless said otherwise, on these files: (status, stdout, stderr)."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    (tmp_path / "weir.conf").write_text(CONFIG)

    def run(files, *args, stdin=b"", command="log"):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        done = subprocess.run(
            [BUILD / "weir-replay", command, *files, *args], cwd=tmp_path,
            env=dict(os.environ, TMPDIR=str(scratch), TZ="UTC"), input=stdin,
            capture_output=True, timeout=DEADLINE_S)
        assert list(scratch.iterdir()) == []
        return done.returncode, done.stdout.decode(), done.stderr.decode()
    return run


def test_log(log):
    """A file, an older one, packed, and one more on standard input."""
    twelve = [f"r{i}" for i in range(12)]
    files = {"mail.log": message(28, 1, "10012A94230", ["r1"]).encode(),
             "mail.log.2": gzip.compress(
                 message(2, 0, "10012A94230", twelve).encode())}
    status, out, err = log(files, "-", "-c", "weir.conf", "--json",
                           stdin=message(28, 2, "10012A94230",
                                         twelve).encode())
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert (report["messages"], report["recipients"]) == (3, 25)
    cold = report["cold"]
    assert cold["recipients_waited"]["number"] == 2
    assert cold["waited_most"][0]["user"] == "a@example.org"
    assert report["log"]["submitted"] == 3
    assert report["log"]["what_became_of_them"]["not understood"] == 0


def test_log_frozen_and_compared(log, tmp_path):
    """Who, when, and the line that shows why; not so with another policy."""
    data = "".join(message(28, 1, f"10012A942{i:02}", [f"r{i}"])
                   for i in range(40)) + "rubbish\n"
    strict = CONFIG.replace("freeze_at = 100 }", "freeze_at = 20 }", 1)
    (status, out, err) = log({"mail.log": data.encode()}, "-c", "weir.conf")
    assert (status, err) == (0, "")
    assert "frozen, and the last lines" not in out
    assert "mail.log:121: rubbish" in out
    (tmp_path / "strict.conf").write_text(strict)
    status, out, err = log({"mail.log": data.encode()}, "-c", "strict.conf",
                           "--compare", "weir.conf")
    assert (status, err) == (0, "")
    rows = out.splitlines()
    at = rows.index("Senders that would have been frozen, "
                    "and the last lines before it")
    assert rows[at + 1].startswith(f"{YEAR}-11-28T10:01:00Z a@example.org: ")
    assert rows[at + 2].startswith("    mail.log:")
    assert any(row.split()[:1] == ["a@example.org"] and
               row.split()[-2:] == ["1", "0"] for row in rows)


class Page(html.parser.HTMLParser):
    """A page that is sound: each element ends where it should."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        self.words.append(data)

    def check(self, plots):
        """It needs nothing else, and who cannot see a plot is told of it."""
        tags = [tag for tag, _ in self.seen]
        assert "script" not in tags and "link" not in tags
        assert not any(key in attrs for _, attrs in self.seen
                       for key in ("src", "href", "onload", "onclick"))
        assert tags.count("svg") == tags.count("desc") == plots
        assert tags.count("title") == plots + 1
        assert tags.count("details") == plots


def test_log_as_table_and_page(log, tmp_path):
    """A sender that a spreadsheet would calculate, and a name of HTML."""
    login = LOGIN.replace("a@example.org", "=cmd<b>@example.org")
    data = "".join(message(day, 1, f"10012A9{day:02}{i:02}", [f"r{day}-{i}"],
                           client=login)
                   for day in (1, 28) for i in range(60))
    (tmp_path / "strict.conf").write_text(
        CONFIG.replace("freeze_at = 100 }", "freeze_at = 20 }", 1))
    args = ["-c", "weir.conf", "--compare", "strict.conf", "--attack", "10"]
    status, out, err = log({"mail.log": data.encode()}, *args, "--csv")
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert rows[0]["sender"] == "'=cmd<b>@example.org"
    assert (rows[0]["recipients"], rows[0]["waited"]) == ("120", "100")
    assert int(rows[0]["other_freezes"]) > 0
    status, out, err = log({"mail.log": data.encode()}, *args, "--html")
    assert (status, err) == (0, "")
    page = Page(out)
    page.check(plots=2)
    assert any("=cmd<b>@example.org" in word for word in page.words)
    assert "<b>" not in out
    status, out, err = log({"mail.log": data.encode()}, "--html", "--json")
    assert (status, out) == (64, "")


@pytest.fixture(scope="module")
def made_up_log():
    """Eight people, a newsletter, a slow sender, and a stolen account."""
    script = Path(__file__).parents[1] / "make_mail_log.py"
    return subprocess.run(
        [sys.executable, script, "--users", "8", "--days", "21"],
        check=True, capture_output=True, timeout=DEADLINE_S).stdout


BASE = CONFIG.split("policy", 1)[0]


def test_propose(log, made_up_log, tmp_path):
    """What is printed is a configuration; it keeps to its aim on a part of
    the log that it was not fitted to, and says the same each time."""
    files = {"mail.log": made_up_log}
    status, out, err = log(files, "--target", "0.2%", command="propose")
    assert (status, err) == (0, "")
    assert "mallory@example.org" in out
    assert "a burst: was the account stolen?" in out
    (tmp_path / "new.conf").write_text(BASE + out)
    checked = subprocess.run(
        [BUILD / "weir-maild", "-t", "-c", tmp_path / "new.conf"],
        capture_output=True, text=True, timeout=DEADLINE_S)
    assert checked.returncode == 0, checked.stderr
    report = json.loads(
        log(files, "--target", "0.2%", "--json", command="propose")[1])
    assert report["is_reached"] and report["is_confirmed"]
    assert report["fragment"] == out[out.index("policy "):]
    then, now = report["proposal"], report["now"]
    assert then["kept_back"]["share"] <= 0.002 < now["kept_back"]["share"]
    assert then["kept_back_with_bursts"]["frozen_users"] == 1
    assert (then["kept_back"]["strangers_reached"]
            <= now["kept_back"]["strangers_reached"])
    assert 'match = {"user:news@example.org"}' in out
    # The replay of the whole log under it says the same of the kept part.
    status, again, err = log(files, "-c", "new.conf", "--csv")
    waited = {row["sender"]: int(row["waited"])
              for row in csv.DictReader(io.StringIO(again, newline=""))}
    assert waited.pop("mallory@example.org") > 500
    assert sum(waited.values()) <= then["fitted"]["waited"] + 60


def test_propose_as_table_and_page(log, made_up_log):
    files = {"mail.log": made_up_log}
    status, out, err = log(files, "--csv", "--attack", "10",
                           command="propose")
    assert (status, err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert sum(row["is_proposed"] == "1" for row in rows) == 1
    status, out, err = log(files, "--html", "--attack", "10",
                           command="propose")
    assert (status, err) == (0, "")
    Page(out).check(plots=2)


def test_outbreaks(log, made_up_log):
    """Logins of the log stolen at a time of it: a row for each, however they
    are shown, and single accounts apart from them."""
    files = {"mail.log": made_up_log}
    many = "10,users=100,known=30%,packed"
    args = ["--attack", "1,users=3,at=2026-09-12T10:00:00Z,unknown=20%",
            "--attack", "10", "--attack", many]
    status, out, err = log(files, *args, "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert [a["attack"] for a in report["attacks"]] == ["10"]
    few, all_of_them = report["outbreaks"]
    assert (few["accounts"], few["frozen"]) == (3, 3)
    assert few["all_frozen_after_s"] < 120 and few["known"] == 0
    assert 8 < all_of_them["accounts"] < 100 and all_of_them["attack"] == many
    assert all_of_them["known"] > 0
    status, out, err = log(files, *args, "--html")
    assert (status, err) == (0, "")
    assert many in Page(out).words
    status, out, err = log(files, *args)
    assert (status, err) == (0, "") and "Outbreaks among the users" in out


@pytest.mark.parametrize("args,status,words", [
    (["--attack", "10,users=2"], 64, "users is for log and trace"),
    (["--target", "lots"], 64, "a share between 0% and 100%"),
    (["--target", "0%"], 64, "a share between 0% and 100%"),
    (["--keep-back", "100%"], 64, "a share between 0% and 100%"),
    ([], 65, "too little mail"),
], ids=["outbreak", "word", "zero", "all", "little"])
def test_propose_refused(log, args, status, words):
    got, out, err = log(
        {"mail.log": message(28, 1, "10012A94230", ["r1"]).encode()}, *args,
        command="propose")
    assert (got, out) == (status, "")
    assert words in err


@pytest.mark.long("the walk of doc/replay.md, as it is typed")
def test_walk_of_the_manual(tmp_path):
    """Each command runs, and what the page says it prints is printed."""
    page = (Path(__file__).parents[2] / "doc/replay.md").read_text()
    page, _, rest = page.partition("\n## 6.")  # that needs a daemon's log
    assert rest
    (tmp_path / "tests").symlink_to(Path(__file__).parents[1])
    lines = [line.strip() for line in page.splitlines()
             if line.startswith("    ") and line.strip()]
    commands = re.compile(r"(weir-|python3 |cat |printf )")
    printed = ""
    for command in filter(commands.match, lines):
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, text=True,
            env=dict(os.environ, PATH=f"{BUILD}:{os.environ['PATH']}"),
            capture_output=True, timeout=10 * DEADLINE_S)
        assert done.returncode == 0, (command, done.stderr)
        printed += done.stdout
    printed = {" ".join(line.split()) for line in printed.splitlines()}
    said = [line for line in lines if not commands.match(line)]
    assert len(said) > 10
    assert [x for x in said if " ".join(x.split()) not in printed] == []
    example = Path(__file__).parents[2] / "doc/replay-example.html"
    assert (tmp_path / "report.html").read_text() == example.read_text()


def test_learn(log, tmp_path):
    """Each pair once, with its last time; or numbers, which trace takes."""
    files = {"mail.log": (message(1, 1, "10012A94230", ["r1", "r2"])
                          + message(28, 2, "10012A94231", ["r1"])).encode()}
    status, out, err = log(files, command="learn")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"a@example.org r1@example.net {YEAR}-11-28T10:02:00Z",
        f"a@example.org r2@example.net {YEAR}-11-01T10:01:00Z"]
    status, out, err = log(files, "--anonymise", "--nodes", "nodes",
                           command="learn")
    assert (status, err) == (0, "")
    assert "example" not in out + (tmp_path / "nodes").read_text()
    (tmp_path / "trace").write_text(out)
    status, out, err = log({}, "trace", "--nodes", "nodes", "--json",
                           command="trace")
    assert (status, err) == (0, "")
    assert json.loads(out)["cold"]["recipients"] == 3


@pytest.mark.parametrize("data,args,status,words", [
    (b"\x00\x01rubbish\n" * 9, [], 65, "has a log format that weir-replay knows"),
    (gzip.compress(message(28, 1, "10012A94230", ["r"]).encode(),
                   mtime=0)[:-9], [], 65, "mail.log: truncated gzip file"),
    (message(28, 1, "10012A94230", ["r"],
             client="client=m[203.0.113.5]").encode(), [], 65,
     "--my-networks"),
    (b"", [], 65, "no line of 0"),
    (b"", ["--format", "qmail"], 64, "must be one of auto, postfix"),
    (message(28, 1, "10012A94230", ["r"]).encode(), ["--format", "exim"], 65,
     "no line of 3 has the format of exim; without --format"),
    (b'[{"unix_time":1795893602,"user":"a","required_score":15}]', [], 65,
     "history_redis"),
    (b"", ["--year", "26"], 64, "four-digit year"),
    (b"", ["--my-networks", "10.0.0.0/8,x"], 64, '"x" is not a network'),
    (b"", ["--journal"], 64, "usage: weir-replay log"),
    (b"", ["none.log"], 66, "none.log: No such file"),
], ids=["rubbish", "cut", "incoming", "empty", "format", "other_format",
        "rspamd", "year", "networks", "journal", "missing"])
def test_log_refused(log, data, args, status, words):
    got, out, err = log({"mail.log": data}, *args)
    assert (got, out) == (status, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_log_internal_domains(log, tmp_path):
    """Colleagues are familiar, unless the configuration says otherwise."""
    data = message(28, 1, "10012A94230", [f"r{i}" for i in range(30)])
    files = {"mail.log": data.encode()}
    for extra, waited in (("internal_domains = {}", 20), ("", 0),
                          ('internal_domains = {"example.net"}', 0)):
        (tmp_path / "own.conf").write_text(
            CONFIG.replace("internal_domains = {}", extra))
        _, out, err = log(files, "-c", "own.conf", "--local-domains",
                          "example.net", "--json")
        assert err == ""
        got = json.loads(out)["cold"]["recipients_waited"]["number"]
        assert got == waited, extra


def test_log_damaged(log):
    """What is too long, and times that run backwards, are told of."""
    data = (message(28, 1, "10012A94230", ["r1"]).encode()
            + b"x" * 1500000 + b"\n"
            + message(2, 1, "10012A94231", ["r1"]).encode())
    status, out, err = log({"mail.log": data})
    assert (status, err) == (0, "")
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "of these longer than 1 MiB 1" in rows
    assert "lines dated an hour before the line above 1" in rows
    assert "messages by logins and our networks 2" in rows


def test_flows(tmp_path):
    """Seven new addresses at once under the paper: two wait."""
    (tmp_path / "f").write_bytes(lzma.compress("".join(
        f"0.5 h {i} 6 443\n" for i in range(7)).encode()))

    def run(*args):
        return subprocess.run(
            [BUILD / "weir-replay", "flows", *args], cwd=tmp_path, text=True,
            capture_output=True, timeout=DEADLINE_S)
    done = run("f", "--profile", "paper", "--profile", "workstation", "--json",
               "--attack", "200")
    assert (done.returncode, done.stderr) == (0, "")
    paper, workstation = json.loads(done.stdout)["profiles"]
    assert (paper["tcp"]["waited"], paper["tcp"]["longest_s"]) == (2, 2.0)
    assert workstation["tcp"]["waited"] == 0
    assert paper["attacks"] == [
        {"rate": "200", "reached": 5, "frozen_after_s": 0.52}]
    rows = [" ".join(line.split()) for line in run("f").stdout.splitlines()]
    assert "policy workstation server gateway paper" in rows
    assert "1/60 1440 / never 1440 / never 1440 / never 1440 / never" in rows
    for args, words in ((["f", "--profile", "mail"], "no profile"),
                        (["f", "--attack", "1,packed"], "packed"),
                        (["f", "--policy", "x"], "-c")):
        refused = run(*args)
        assert (refused.returncode, refused.stdout) == (64, "")
        assert words in refused.stderr
    (tmp_path / "f").write_text("0 h 1 6 443\n0 h 1 1 443\n")
    refused = run("f")
    assert refused.returncode == 65 and refused.stderr.startswith(
        "weir-replay: f:2: the protocol")


def test_log_of_weir(weir, log):
    """The daemon's own log names every recipient, however many."""
    w = weir(policy='key = envelope  interval = "1m"  burst = 100\n'
                    'freeze_at = 100')
    peer = w.hello()
    crowd = [f"somebody.with.a.long.name.{i}@example.net" for i in range(90)]
    peer.transact("a@example.org", ["o'b+c=d@example.com"],
                  text_of_mail())
    peer.transact("a@example.org", crowd, text_of_mail())
    peer.ask("QUIT")
    assert len(w.log_lines(" smtp recipients id=")) > 1
    _, out, err = log({"weir.log": w.log().encode()}, "--json")
    assert err == ""
    report = json.loads(out)
    assert report["log"]["formats"] == ["weir"]
    assert (report["messages"], report["recipients"]) == (2, 91)
    assert report["log"]["partial"] == 0


def epidemic(*args):
    done = subprocess.run([BUILD / "weir-replay", "epidemic", *args],
                          capture_output=True, text=True, timeout=DEADLINE_S)
    return done.returncode, done.stdout, done.stderr


def test_epidemic():
    status, out, err = epidemic("--hosts", "2000", "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert [f["what"] for f in report["figures"] if not f["reproduced"]] == []
    sides = {s["deployed_percent"]: s for s in report["deployments"]}
    assert list(sides) == [0, 50, 75, 100]
    assert sides[75]["half_s"] > 2 * sides[0]["half_s"]
    assert sides[100]["ever_infected"] < 20
    assert epidemic("--hosts", "2000", "--json")[1] == out


def test_epidemic_by_mail(tmp_path):
    trace = tmp_path / "trace"
    trace.write_text("".join(
        f"{i} {i % 20} {(i * 7 + 1) % 20}\n" for i in range(200)))
    status, out, err = epidemic(str(trace), "--deployed", "0", "--html")
    assert (status, err) == (0, "")
    assert "<svg" in out and "<script" not in out


@pytest.mark.parametrize("args,status,message", [
    (["--hosts", "1"], 64, "--hosts: must be a number from 2 to 1000000"),
    (["--spread", "mail"], 64, "--spread: must be random, local or contacts"),
    (["--spread", "contacts"], 64, "--spread=contacts needs a trace"),
    (["--deployed", "0,101"], 64, "--deployed: must be up to 4 percentages"),
    (["--deployed", "1,2,3,4,5"], 64, "--deployed: must be up to 4 percentages"),
    (["--rate", "10,udp"], 64, "--rate: must be attempts a second"),
    (["--density", "nan%"], 64, "--density: must be a share"),
    (["--profile", "x"], 64, 'no profile "x"'),
    (["--csv"], 64, "usage: weir-replay epidemic"),
    (["-c", "weir.conf"], 64, "-c and --policy are for mail"),
    (["/nowhere"], 66, "/nowhere"),
    (["/dev/null"], 65, "contains no message"),
])
def test_epidemic_mistakes(args, status, message):
    result = epidemic(*args)
    assert result[0] == status
    assert message in result[2] and result[1] == ""


# ---- flows and captures ----


def flows(tmp_path, data, *args, name="flows"):
    (tmp_path / name).write_bytes(data)
    done = subprocess.run([BUILD / "weir-replay", "flows", name, *args],
                          cwd=tmp_path, capture_output=True, text=True,
                          timeout=DEADLINE_S)
    return done.returncode, done.stdout, done.stderr


def capture_of(packets, linktype=101):
    """A pcap file of (seconds, bytes of a frame); 101 is raw IP."""
    out = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, linktype)
    for at, frame in packets:
        out += struct.pack("<IIII", int(at), int(at % 1 * 1e6), len(frame),
                           len(frame)) + frame
    return out


def syn(src, dst, port=40000):
    tcp = struct.pack("!HHIIBBHHH", port, 443, port, 0, 0x50, 2, 0, 0, 0)
    return struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0,
        socket.inet_aton(src), socket.inet_aton(dst)) + tcp


SEVEN = [(1000, syn("192.168.0.1", f"192.0.2.{i}", i)) for i in range(7)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gz"])
def test_capture(tmp_path, pack):
    status, out, err = flows(tmp_path, pack(capture_of(SEVEN)), "--json",
                             "--profile", "paper", "--attack", "200")
    assert (status, err) == (0, "")
    paper = json.loads(out)["profiles"][0]
    assert paper["tcp"]["flows"] == 7 and paper["tcp"]["waited"] == 2
    # The same as a trace of flows is the same.
    trace = "".join(f"0 192.168.0.1 192.0.2.{i} 6 443\n" for i in range(7))
    again = flows(tmp_path, trace.encode(), "--json", "--profile", "paper",
                  "--attack", "200")
    assert json.loads(again[1])["profiles"][0] == paper


def test_flows_under_a_file(tmp_path):
    (tmp_path / "netd.conf").write_text(
        'policy "open" { match = {"192.168.0.1"} exempt = true }\n'
        'policy "default" { profile = paper }\n')
    args = ["-c", "netd.conf", "--attack", "200", "--json"]
    _, out, err = flows(tmp_path, capture_of(SEVEN), *args)
    assert err == ""
    assert json.loads(out)["profiles"][0]["tcp"]["waited"] == 0
    _, out, err = flows(
        tmp_path, capture_of(SEVEN), *args, "--policy", "default")
    column = json.loads(out)["profiles"][0]
    assert column["tcp"]["waited"] == 2
    assert column["attacks"][0]["reached"] == 5
    _, out, err = flows(
        tmp_path, capture_of(SEVEN), *args, "--profile", "paper")
    assert [c["profile"] for c in json.loads(out)["profiles"]] == [
        "netd.conf", "paper"]


@pytest.mark.skipif(not (BUILD / "weir-netd").exists(), reason="no weir-netd")
def test_flows_propose(tmp_path):
    trace = "".join(
        f"{i // 10 * 600} 192.168.0.1 d{i} 6 443\n" for i in range(600))
    status, out, err = flows(tmp_path, trace.encode(), "--propose", "--json",
                             "--attack", "20", "--attack", "1")
    assert (status, err) == (0, "")
    report = json.loads(out)
    (tmp_path / "netd.conf").write_text(report["policy"])
    subprocess.run([BUILD / "weir-netd", "-t", "-c", tmp_path / "netd.conf"],
                   check=True, timeout=DEADLINE_S)
    # What the fragment says is what was measured.
    _, out, _ = flows(tmp_path, trace.encode(), "-c", "netd.conf", "--json",
                      "--attack", "20", "--attack", "1")
    kept = report["kept_back"]["profiles"]
    assert json.loads(out)["profiles"][0]["attacks"] == kept[0]["attacks"]
    assert [c["profile"] for c in kept] == ["proposal", "workstation", "paper"]
    assert kept[0]["tcp"]["waited"] == 0 and kept[2]["tcp"]["waited"] > 0


@pytest.mark.parametrize("data,args,status,message", [
    (capture_of(SEVEN, 105), [], 65, "link type 105"),
    (capture_of(SEVEN)[:20], [], 65, "flows: "),
    (capture_of(SEVEN), ["--my-networks", "203.0.113.0/24"], 65,
     "no host of --my-networks opens a connection in 7 packets"),
    (capture_of(SEVEN), ["--my-networks", "203.0.113.1/24"], 64,
     "not an address or a network"),
    (b"0 a b 6 443\n", ["--my-networks", "10.0.0.0/8"], 64,
     "--my-networks is for a capture"),
    (b"0 a b 6 443\n", ["--propose"], 65, "1 flows are too few"),
    (b"0 a b 6 443\n", ["--propose", "-c", "x"], 64, "chooses the values itself"),
    (b"0 a b 6 443\n", ["--propose", "--target", "1"], 64,
     "--target: must be a share"),
    (b"0 a b 6 443\n", ["--policy", "x"], 64, "needs -c FILE"),
    (b"0 a b 6 443\n", ["-c", "absent"], 66, "absent"),
    (b"0 a b 6 443\n", ["-c", "flows"], 78, "flows:1"),
], ids=range(11))
def test_flow_mistakes(tmp_path, data, args, status, message):
    result = flows(tmp_path, data, *args)
    assert result[0] == status
    assert message in result[2] and result[1] == ""


def test_capture_that_was_cut(tmp_path):
    status, out, err = flows(tmp_path, capture_of(SEVEN)[:-5], "--json",
                             "--profile", "paper")
    assert status == 0 and "ends within a packet" in err
    assert json.loads(out)["flows"] == 6


# ---- the daemon's verdicts, once more ----

BUSY_POLICY = """key = envelope  working_set = 6  interval = "1s"  burst = 3
                 freeze_at = 9  limit = {"40/1h"}  stranger_messages = "30/1h"
                 reverse_paths = free"""


def send_busily(w, sender, seed):
    """Transactions of all kinds; what is refused is refused."""
    chance = random.Random(seed)
    peer = w.hello()
    for _ in range(25):
        time.sleep(chance.expovariate(30))
        peer.ask(f"MAIL FROM:<{sender}>")
        taken = 0
        for _ in range(chance.randrange(1, 4)):
            to = f"r{chance.randrange(25)}@example.net"
            taken += peer.ask(f"RCPT TO:<{to}>")[0] == 250
        if taken == 0 or chance.random() < 0.15:
            peer.ask("RSET")
        else:
            peer.submit(text_of_mail())
    peer.ask("QUIT")


def verify(w, *args, config=None):
    return subprocess.run(
        [BUILD / "weir-replay", "verify", *args, "-c", config or w.config],
        capture_output=True, text=True, timeout=DEADLINE_S)


def test_a_replay_gives_the_daemons_verdicts(weir, tmp_path):
    """Under load, on real time: twelve clients of four senders at once."""
    w = weir(policy=BUSY_POLICY, log_level="debug")
    threads = [threading.Thread(
        target=send_busily, args=(w, f"s{i % 4}@example.org", i))
        for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(DEADLINE_S)
    assert w.stop() == 0
    log = w.log()
    for verdict in ("pass", "hold", "refuse"):
        assert f"verdict={verdict}" in log
    for how in ("commit", "cancel"):
        assert f"how={how}" in log
    done = verify(w, w.log_path)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "the same verdicts as the daemon's" in done.stdout
    # The same each time, and it can tell.
    assert verify(w, w.log_path).stdout == done.stdout
    other = tmp_path / "other.conf"
    other.write_text(
        w.config.read_text().replace("burst = 3", "burst = 2"))
    done = verify(w, w.log_path, config=other)
    assert done.returncode == 1 and "hold here" in done.stdout


def test_verify_needs_what_it_needs(weir, tmp_path):
    w = weir()
    peer = w.hello()
    peer.transact("a@example.org", ["b@example.net"], text_of_mail())
    peer.ask("QUIT")
    done = verify(w, w.log_path)
    assert done.returncode == 65 and "log_level = debug" in done.stderr
    bad = tmp_path / "bad.log"
    bad.write_text("2026-11-29T20:00:00Z debug gate begin txn=1 now_ms=x\n")
    done = verify(w, bad)
    assert done.returncode == 65 and f"{bad}:1: " in done.stderr
