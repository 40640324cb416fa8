#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the relay costs: smtp-source straight to smtp-sink, through weir-maild
with known recipients, with all held, through haproxy (mode tcp, one thread, as
weir has one loop) and through Postfix as a relay, in turn in one run. Machines
are noisy: each round measures all of them, and the ratios to the direct figure
and to haproxy's of the same round are what counts; medians are printed.

--old FILE measures another weir-maild beside this one, in turn with it."""
import argparse
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from harness import Weir, free_port, listens, until  # noqa: E402
from postfix import Postfix  # noqa: E402

HAPROXY = """
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m
frontend smtp
    bind 127.0.0.1:{port}
    default_backend sink
backend sink
    server sink 127.0.0.1:{sink}
"""
HELD = ('working_set = 64\ninterval = "1000h"\nburst = 1\ninitial = 0\n'
        "freeze_at = 0\nqueue_max = 1000000\n")


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--messages", type=int, default=4000)
    p.add_argument("--sessions", type=int, default=20)
    p.add_argument("--release", type=int, default=100_000)
    p.add_argument("--only", default="", help="cases whose name has this")
    p.add_argument("--old", type=pathlib.Path, help="another weir-maild")
    return p.parse_args()


def source(port, messages, size, sessions, many, rcpt="b@example.com"):
    """Seconds that smtp-source takes."""
    cmd = ["smtp-source", "-s", str(sessions), "-m", str(messages),
           "-l", str(size), "-f", "a@example.com", "-t", rcpt]
    if many:
        cmd.append("-d")
    begin = time.monotonic()
    subprocess.run([*cmd, f"127.0.0.1:{port}"], check=True,
                   stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def cpu_seconds(pid):
    """Of all its threads, by the scheduler's own count."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def rss_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Bench:
    def __init__(self, directory, args):
        self.dir = pathlib.Path(directory)
        self.args = args
        self.sink_port = free_port()
        self.sink = subprocess.Popen(
            ["smtp-sink", "-u", "nobody", "-m", "1000",
             f"127.0.0.1:{self.sink_port}", "1000"],
            stdout=subprocess.DEVNULL)
        until(lambda: listens(self.sink_port), "smtp-sink")
        hop = f"127.0.0.1:{self.sink_port}"
        caps = {"client_sessions_max": 1000, "log_level": "warning"}
        self.known = Weir(self.dir / "known", hop, **caps).start()
        self.old = None
        if args.old:
            self.old = Weir(self.dir / "old", hop, **caps)
            self.old.command = args.old.resolve()
            self.old.start()
            source(self.old.port, 1, 100, 1, False)
        self.held = Weir(self.dir / "held", hop, policy=HELD, **caps).start()
        source(self.known.port, 1, 100, 1, False)
        self.start_haproxy()
        self.postfix = Postfix("postfix.weir.test", local=False,
                               relayhost=f"[127.0.0.1]:{self.sink_port}")
        self.postfix.start()

    def start_haproxy(self):
        self.proxy_port = free_port()
        conf = self.dir / "haproxy.cfg"
        conf.write_text(HAPROXY.format(port=self.proxy_port,
                                       sink=self.sink_port))
        self.haproxy = subprocess.Popen(["haproxy", "-f", conf, "-db"],
                                        stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        until(lambda: listens(self.proxy_port), "haproxy")

    def stop(self):
        for part in (self.known, self.held, self.old, self.postfix):
            if part:
                part.stop()
        self.haproxy.terminate()
        self.haproxy.wait()
        self.sink.kill()
        self.sink.wait()

    def rate(self, port, messages, size, many):
        return messages / source(port, messages, size, self.args.sessions,
                                 many)

    def relay(self, port, pid, messages, size, many):
        before = cpu_seconds(pid)
        rate = self.rate(port, messages, size, many)
        used = cpu_seconds(pid) - before
        return rate, used / messages * 1000

    def weir(self, weir, *load):
        return self.relay(weir.port, weir.process.pid, *load)

    def drop_held(self):
        self.held.ctl("discard", "--all")

    def round(self, size, many, messages):
        """One round of one case: {who: (msg/s, CPU s per 1000)}."""
        out = {"direct": (self.rate(self.sink_port, messages, size, many), 0)}
        out["weir, known"] = self.weir(self.known, messages, size, many)
        if self.old:
            out["the other"] = self.weir(self.old, messages, size, many)
        out["haproxy"] = self.relay(self.proxy_port, self.haproxy.pid,
                                    messages, size, many)
        out["weir, held"] = self.weir(self.held, messages, size, many)
        self.drop_held()
        if size <= 1024:
            few = max(messages // 8, 200)
            out["postfix"] = (self.rate(self.postfix.port, few, size, many), 0)
            until(lambda: not self.postfix.queue(), "Postfix's queue", 120)
        return out

    def case(self, name, size, many, messages):
        if self.args.only not in name:
            return
        rounds = [self.round(size, many, messages)
                  for _ in range(self.args.rounds)]
        print(f"\n{name} ({self.args.sessions} sessions, {messages} messages,"
              f" {self.args.rounds} rounds)")
        print(f"  {'':14}{'msg/s':>10}{'of direct':>11}{'of haproxy':>12}"
              f"{'CPU s/1000':>12}{'of haproxy':>12}")
        for who in rounds[0]:
            rate = statistics.median(r[who][0] for r in rounds)
            of = [statistics.median(r[who][0] / r[base][0] for r in rounds)
                  for base in ("direct", "haproxy")]
            cpu = statistics.median(r[who][1] for r in rounds)
            cpu_of = statistics.median(r[who][1] / r["haproxy"][1]
                                       for r in rounds)
            print(f"  {who:14}{rate:10.0f}{of[0]:11.2f}{of[1]:12.2f}"
                  + (f"{cpu:12.4f}{cpu_of:12.2f}" if cpu else ""))
        if "postfix" in rounds[0]:
            times = statistics.median(
                r["weir, held"][0] / r["postfix"][0] for r in rounds)
            print(f"  held is {times:.1f} times Postfix's queue")

    def memory(self):
        """RSS with 100 sessions at work."""
        if self.args.only not in "memory":
            return
        process = subprocess.Popen(
            ["smtp-source", "-s", "100", "-m", "60000", "-l", "1024", "-d",
             "-f", "a@example.com", "-t", "b@example.com",
             f"127.0.0.1:{self.known.port}"], stdout=subprocess.DEVNULL)
        peak = 0
        while process.poll() is None:
            peak = max(peak, rss_kb(self.known.process.pid))
            time.sleep(0.02)
        print(f"\nresident memory at 100 sessions: {peak / 1024:.1f} MB")

    def release(self):
        if self.args.only not in "release" or self.args.release == 0:
            return
        n = self.args.release
        direct = self.rate(self.sink_port, n // 4, 1024, True)
        source(self.held.port, n, 1024, self.args.sessions, True)
        before = cpu_seconds(self.held.process.pid)
        begin = time.monotonic()
        self.held.ctl("release", "--all")
        until(lambda: self.held.status()["held_messages"] == 0,
              "the release", 600)
        took = time.monotonic() - begin
        used = cpu_seconds(self.held.process.pid) - before
        print(f"\nrelease of {n} held messages: {took:.1f} s,"
              f" {n / took:.0f} msg/s, {n / took / direct:.2f} of direct"
              f" ({direct:.0f} msg/s), {used / n * 1000:.3f} CPU s/1000")


def main():
    args = arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    directory = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(directory, 0o755)
    bench = Bench(directory, args)
    try:
        n = args.messages
        bench.case("1 KB, one per connection", 1024, False, n)
        bench.case("1 KB, many per connection", 1024, True, n * 3)
        bench.case("10 KB, many per connection", 10240, True, n * 2)
        bench.case("100 KB, many per connection", 102400, True, n // 2)
        bench.memory()
        bench.release()
    finally:
        bench.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
