#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sizing of a machine for weir-maild: messages per second that pass and that
are held, and the memory and disk that held mail and senders use. Prints the
figures of doc/install.md for this machine; the spool is in --directory."""
import argparse
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from bench_relay import HELD, cpu_seconds, rss_kb, source  # noqa: E402
from harness import Weir, free_port, listens, until  # noqa: E402

SESSIONS = 20
RCPTS = 10
# Its recipients are known after the first message; nobody waits.
FREE = 'key = envelope\ninterval = "1s"\nburst = 60000\nfreeze_at = 0\n'


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--directory", default=None)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--messages", type=int, default=5000)
    p.add_argument("--held", type=int, default=20_000)
    p.add_argument("--senders", type=int, default=20_000)
    return p.parse_args()


def disk_kb(spool):
    return sum(f.stat().st_blocks for f in spool.rglob("*")) / 2


def many_senders(port, senders, rcpts):
    """One small message from each sender to all recipients, on one
    connection."""
    to = "".join(f"RCPT TO:<r{n}@example.com>\r\n" for n in range(rcpts))
    with socket.create_connection(("127.0.0.1", port)) as s:
        replies = s.makefile("rb")

        def ask(text, count):
            s.sendall(text.encode())
            for _ in range(count):
                reply = replies.readline()
                while reply[3:4] == b"-":
                    reply = replies.readline()
                assert reply[:1] in (b"2", b"3"), reply

        ask("", 1)
        ask("EHLO bench\r\n", 1)
        for i in range(senders):
            ask(f"MAIL FROM:<u{i}@example.org>\r\n{to}DATA\r\n", 2 + rcpts)
            ask("Subject: x\r\n\r\nx\r\n.\r\n", 1)


def speed(weir, args, size, many):
    """(messages per second, CPU s per 1000 messages), medians."""
    rates, used = [], []
    for _ in range(args.rounds):
        before = cpu_seconds(weir.process.pid)
        rates.append(args.messages / source(
            weir.port, args.messages, size, SESSIONS, many))
        used.append((cpu_seconds(weir.process.pid) - before) /
                    args.messages * 1000)
    return statistics.median(rates), statistics.median(used)


def row(what, *values):
    print(f"| {what} | " + " | ".join(values) + " |")


def measure(directory, hop, args):
    caps = {"client_sessions_max": 1000, "log_level": "warning",
            "held_bytes_max": '"20G"'}
    weir = Weir(directory / "pass", hop, policy=FREE, **caps).start()
    row("memory after start", f"{rss_kb(weir.process.pid) / 1024:.1f} MB")
    source(weir.port, 1, 100, 1, False)
    for size in (10_000, 100_000):
        for many, how in ((False, "one per connection"),
                          (True, "many per connection")):
            rate, cpu = speed(weir, args, size, many)
            row(f"passing messages, {size // 1000} KB, {how}",
                f"{rate:.0f}/s", f"{cpu:.2f} CPU s per 1000")
    row("memory after these messages",
        f"{rss_kb(weir.process.pid) / 1024:.1f} MB")
    weir.stop()

    weir = Weir(directory / "held", hop, policy=HELD, **caps).start()
    kb, disk = rss_kb(weir.process.pid), disk_kb(weir.spool)
    for size in (10_000,):
        rate = args.held / source(weir.port, args.held, size, SESSIONS, False)
        row(f"held messages, {size // 1000} KB", f"{rate:.0f}/s",
            f"{(rss_kb(weir.process.pid) - kb) / args.held * 1024:.0f}"
            " bytes of memory per message",
            f"{(disk_kb(weir.spool) - disk) / args.held:.1f} KB of disk"
            " per message")
    weir.stop()

    weir = Weir(directory / "senders", hop, policy=FREE, **caps).start()
    many_senders(weir.port, 100, RCPTS)
    kb, disk = rss_kb(weir.process.pid), disk_kb(weir.spool)
    many_senders(weir.port, args.senders, RCPTS)
    row(f"a sender with {RCPTS} known recipients",
        f"{(rss_kb(weir.process.pid) - kb) / args.senders * 1024:.0f}"
        " bytes of memory")
    weir.stop()
    row("the same sender, after shutdown",
        f"{(disk_kb(weir.spool) - disk) / args.senders * 1024:.0f}"
        " bytes of disk")


def main():
    args = arguments()
    port = free_port()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-",
                                              dir=args.directory))
    sink = subprocess.Popen(
        ["smtp-sink", "-u", "nobody", "-m", "1000", f"127.0.0.1:{port}",
         "1000"], stdout=subprocess.DEVNULL)
    try:
        until(lambda: listens(port), "smtp-sink")
        print(f"{os.cpu_count()} processors, {SESSIONS} sessions, median of"
              f" {args.rounds} runs; held mail and senders: one run")
        measure(directory, f"127.0.0.1:{port}", args)
    finally:
        sink.kill()
        sink.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
