#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What grows with what a site has: the start, what people look at, commands
and SMTP replies meanwhile, each with so many held messages; memory and start
with so many senders; memory and idle CPU time with so many TLS sessions.

	bench_growth.py held 3000000      a tenth of them one sender's, the others
	                                  of 1000 senders
	bench_growth.py senders 1000000
	bench_growth.py sessions 10000

Spools are made by SQL out of one message or sender that weir-maild stored
itself. Flat is what prints the same for ten times as many."""
import argparse
import contextlib
import pathlib
import resource
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from bench_commands import Probe  # noqa: E402
from bench_relay import cpu_seconds, rss_kb  # noqa: E402
from bulk import HOLD, STEP, columns, hold  # noqa: E402
from harness import BUILD, FastSink, Weir, until  # noqa: E402
from pki import Pki  # noqa: E402

EVE = "<eve@example.org>"
SENDERS = 1000


def spread(spool, count):
    """Of the one message that is held: count in all, a tenth eve's."""
    with contextlib.closing(sqlite3.connect(spool / "spool.db")) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -400000")
        last = db.execute("SELECT max(id) FROM message").fetchone()[0]
        m = columns(db, "message", ("id", "source", "sender"))
        r = columns(db, "rcpt", ("ticket", "address", "destination"))
        numbers = ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1"
                   f" FROM n WHERE i < {count - 1}) ")
        address = ("CASE i % 10 WHEN 0 THEN 'eve' ELSE 'u' ||"
                   f" (i % {SENDERS}) END || '@example.org'")
        db.execute(f"{numbers} INSERT INTO message (id, source, sender, {m})"
                   f" SELECT id + i * {STEP}, '<' || {address} || '>',"
                   f" {address}, {m} FROM n, message WHERE id = {last}")
        db.execute(f"{numbers} INSERT INTO rcpt (ticket, address, destination,"
                   f" {r}) SELECT ticket + i * {STEP},"
                   " 'r' || i || '@example.net', destination + i,"
                   f" {r} FROM n, rcpt WHERE ticket = {last}")


def timed(what):
    start = time.monotonic()
    result = what()
    return time.monotonic() - start, result


def line(what, took, *more):
    print(f"{what:28} {took:8.2f} s ", *more, flush=True)


def first_line(weir, *words):
    """Of what goes on for as long as somebody reads."""
    shown = subprocess.Popen([BUILD / "weirctl", "-s", weir.control, *words],
                             stdout=subprocess.PIPE)
    shown.stdout.readline()
    shown.kill()
    shown.wait()
    shown.stdout.close()


def looks(weir):
    """What people look at first."""
    line("queue, first lines", timed(lambda: first_line(weir, "queue"))[0])
    for name, words in {
            "find, a word": ("find", "-n", "10", "r77@"),
            "find, a sender's": ("find", "-n", "10", "--sender", EVE),
            "find, nothing": ("find", "-n", "10", "nobody-has-this"),
            "senders": ("senders",),
            "status": ("status",)}.items():
        took, done = timed(lambda w=words: weir.run_ctl(*w))
        line(name, took, done.stderr.strip())


class Watch:
    """SMTP replies to two senders while a command runs."""

    def __init__(self, weir):
        self.probes = [Probe(weir.port, "free@example.org", "one@example.net"),
                       Probe(weir.port, "bob@example.org", "two@example.net")]

    def longest(self, start, end):
        return [p.longest(start, end) for p in self.probes]

    def above(self, start, end, ms):
        """Share of replies that took longer."""
        took = [t for p in self.probes for at, t in p.replies
                if at > start and at - t < end]
        return sum(t * 1000 > ms for t in took) / max(1, len(took)) * 100

    def stop(self):
        for p in self.probes:
            p.stop()


class Tail:
    """The log from here on, read once: it has a line for each recipient."""

    def __init__(self, weir):
        self.file = open(weir.log_path, "rb")
        self.file.seek(0, 2)
        self.rest = b""

    def has(self, text):
        self.rest = self.rest[-len(text):] + self.file.read()
        return text in self.rest


def launch(weir, name):
    """Mail is accepted first, and the queues are read behind it."""
    tail = Tail(weir)
    start = time.monotonic()
    weir.launch()
    line(name, time.monotonic() - start)
    until(lambda: tail.has(b"gate loaded"), "its queues", 1800)
    tail.file.close()
    line(f"{name}, queues read", time.monotonic() - start,
         f"{rss_kb(weir.process.pid) / 1024:.0f} MB")


def run_command(weir, watch, name, words):
    tail = Tail(weir)
    start = time.monotonic()
    done = weir.run_ctl(*words)
    answered = end = time.monotonic()
    if "the rest follows" in done.stdout:
        until(lambda: tail.has(b"gate changed"), name, 1800)
        end = time.monotonic()
    tail.file.close()
    time.sleep(0.3)
    passes, held = watch.longest(start, end)
    print(f"{name:28} {answered - start:8.2f} s  done {end - start:7.2f} s"
          f"  longest reply: passes {passes:5.0f} ms, held {held:5.0f} ms;"
          f" over 50 ms: {watch.above(start, end, 50):.2f} %"
          f"{'' if done.returncode == 0 else ' ' + done.stderr}", flush=True)


COMMANDS = {
    "freeze": ("freeze", EVE),
    "thaw --release": ("thaw", "--release", EVE),
    "release --all": ("release", "--all"),
    "freeze, released": ("freeze", "<u7@example.org>"),
    "thaw, released": ("thaw", "<u7@example.org>"),
    "discard --all": ("discard", "--all"),
}


def measure_held(directory, count, names):
    sink = FastSink(keep=lambda text: b"")
    weir = Weir(directory / "weir", sink.address, policy=HOLD,
                held_max=2 * count + 1000, held_bytes_max='"1000G"',
                sections='policy "free" { match = {"from:free@example.org"}'
                         "  key = envelope  exempt = true }")
    weir.start()
    hold(weir, "eve@example.org", "r0@example.net")
    weir.stop()
    took, _ = timed(lambda: spread(weir.spool, count))
    line(f"{count} held made in", took)
    launch(weir, "start")
    weir.stop(600)
    launch(weir, "start again")
    watch = None
    try:
        looks(weir)
        watch = Watch(weir)
        time.sleep(1)
        run_command(weir, watch, "no command", ("status",))
        for name in names:
            run_command(weir, watch, name, COMMANDS[name])
    finally:
        if watch:
            watch.stop()
        weir.kill()
        sink.stop()


def measure_senders(directory, count, _):
    weir = Weir(directory / "weir", "127.0.0.1:9", policy=HOLD,
                senders_max=2 * count)
    weir.start()
    hold(weir, "eve@example.org", "r0@example.net")
    weir.run_ctl("release", "--all")
    weir.run_ctl("discard", "--all")
    empty = rss_kb(weir.process.pid)
    weir.stop()
    with contextlib.closing(
            sqlite3.connect(weir.spool / "spool.db")) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        rest = columns(db, "source", ("key",))
        took, _ = timed(lambda: db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
            f" WHERE i < {count}) INSERT INTO source (key, {rest})"
            f" SELECT '<u' || i || '@example.org>', {rest} FROM n, source"
            f" WHERE key = '{EVE}'"))
    line(f"{count} senders made in", took)
    took, _ = timed(weir.launch)
    kb = rss_kb(weir.process.pid) - empty
    line("start", took, f"{kb * 1024 / count:.0f} bytes a sender")
    line("status", timed(lambda: weir.run_ctl("status"))[0])
    line("senders, first lines", timed(lambda: first_line(weir, "senders"))[0])
    line("show a sender", timed(lambda: weir.run_ctl(
        "show", "<u77@example.org>"))[0])
    weir.stop(600)


def measure_sessions(directory, count, _):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cert = Pki(directory / "pki").cert("bench", ["bench.test"])
    weir = Weir(directory / "weir", "127.0.0.1:9",
                client_sessions_max=count + 100, sessions_max=count + 100,
                tls_cert=f'{{"{cert}"}}', listen_options="tls = implicit",
                command_timeout='"10m"')
    weir.start()
    before = rss_kb(weir.process.pid)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sessions = []

    def open_all():
        for _ in range(count):
            s = context.wrap_socket(
                socket.create_connection(("127.0.0.1", weir.port)))
            s.recv(512)
            sessions.append(s)

    took, _ = timed(open_all)
    line(f"{count} TLS sessions", took)
    time.sleep(5)
    kb = rss_kb(weir.process.pid) - before
    cpu = cpu_seconds(weir.process.pid)
    time.sleep(20)
    cpu = cpu_seconds(weir.process.pid) - cpu
    line("idle", 20, f"{kb * 1024 / count:.0f} bytes a session,"
         f" {cpu / 20 * 100:.2f} % of a core")
    weir.kill()


MEASURES = {"held": measure_held, "senders": measure_senders,
            "sessions": measure_sessions}


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=MEASURES)
    p.add_argument("count", type=int)
    p.add_argument("--directory", default=None)
    p.add_argument("--only", choices=COMMANDS, nargs="+",
                   default=list(COMMANDS))
    args = p.parse_args()
    with tempfile.TemporaryDirectory(dir=args.directory) as name:
        MEASURES[args.what](pathlib.Path(name), args.count, args.only)


if __name__ == "__main__":
    main()
