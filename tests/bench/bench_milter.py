#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What weir costs inside Postfix: smtp-source to a Postfix that discards, with
no milter, with one that does nothing (it asks for nothing, or for the envelope
alone), with weir and known recipients, with weir and all held, and with rspamd's
ratelimit (Redis; a bucket for each sender that is never full) where rspamd and
redis-server are installed. Each round measures all of them, in an order of its
own; medians, ratios to the milters that do nothing of the same round, and the CPU
time of the milter's own processes for a message."""
import argparse
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from harness import BUILD, free_port, listens, until  # noqa: E402
from milter import MilterPostfix, MilterWeir  # noqa: E402

DISCARD = "in_flow_delay = 0\ndefault_transport = discard:\nrelay_transport = discard:\n" \
    "virtual_mailbox_domains =\nsmtpd_recipient_restrictions = " \
    "permit_mynetworks, reject\n"
RSPAMD = """
options {{ pidfile = "{dir}/pid"; filters = ""; dns {{ nameserver = "127.0.0.1"; }}
    control_socket = "{dir}/control.sock"; }}
logging {{ type = "file"; filename = "{dir}/log"; level = "error"; }}
redis {{ servers = "127.0.0.1:{redis}"; }}
ratelimit {{ rates {{ sender = {{ selector = "from('smtp'):addr";
    bucket = {{ burst = 1000000; rate = "1000000 / 1min"; }} }} }} }}
modules {{ path = "/usr/share/rspamd/plugins/ratelimit.lua"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
worker "rspamd_proxy" {{ bind_socket = "{dir}/milter.sock mode=0666"; milter = yes;
    timeout = 60s; count = 1; upstream "local" {{ default = yes; self_scan = yes; }} }}
"""


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--messages", type=int, default=1000)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--sessions", type=int, default=20)
    return p.parse_args()


def source(port, args, many):
    command = ["smtp-source", "-s", str(args.sessions), "-m",
               str(args.messages), "-l", "1024", "-f", "alice@example.org",
               "-t", "bob@example.com", f"127.0.0.1:{port}"]
    if many:
        command.insert(1, "-d")
    begin = time.monotonic()
    subprocess.run(command, check=True, timeout=300)
    return args.messages / (time.monotonic() - begin)


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text()
        user, system = fields.rsplit(")", 1)[1].split()[11:13]
        ticks += int(user) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid):
    """It and its children."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [pid, *map(int, children.split())]


class Null:
    def __init__(self, directory, *args):
        self.where = f"unix:{directory}/null{len(args)}.sock"
        self.process = subprocess.Popen(
            [BUILD / "null-milter", self.where, *args])
        path = self.where.partition(":")[2]
        until(lambda: os.path.exists(path), "the milter")
        os.chmod(path, 0o666)

    def pids(self):
        return [self.process.pid]

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class Rspamd:
    def __init__(self, directory):
        self.dir = pathlib.Path(directory) / "rspamd"
        self.dir.mkdir(mode=0o777)
        self.port = free_port()
        self.redis = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--save", "", "--bind",
             "127.0.0.1"], stdout=subprocess.DEVNULL)
        until(lambda: listens(self.port), "redis")
        conf = self.dir / "rspamd.conf"
        conf.write_text(RSPAMD.format(dir=self.dir, redis=self.port))
        self.process = subprocess.Popen(
            ["rspamd", "-i", "-f", "-c", conf, "--var", f"DBDIR={self.dir}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.where = f"unix:{self.dir}/milter.sock"
        until(lambda: (self.dir / "milter.sock").exists() or
              self.process.poll() is not None, "rspamd")

    def pids(self):
        return [*family(self.process.pid), self.redis.pid]

    def buckets_asked(self):
        """How often Redis ran the script of a bucket."""
        done = subprocess.run(
            ["redis-cli", "-p", str(self.port), "info", "commandstats"],
            capture_output=True, text=True, check=True, timeout=20)
        return sum(map(int, re.findall(r"cmdstat_evalsha:calls=(\d+)",
                                       done.stdout)))

    def stop(self):
        for p in (self.process, self.redis):
            p.terminate()
            p.wait(20)


def candidates(directory, made):
    """name -> (the milter's address, its process: pids())"""
    def weir(name, policy):
        w = MilterWeir(f"{directory}/{name}", "127.0.0.1:1", policy=policy,
                       log_level="warning")
        w.dir.chmod(0o755)
        made.append(w.start())
        w.pids = lambda: [w.process.pid]
        return w.where, w

    null, envelope = Null(directory), Null(directory, "envelope")
    made += [null, envelope]
    found = {"no milter": ("", None), "null": (null.where, null),
             "null, envelope": (envelope.where, envelope),
             "weir, known": weir("known", "burst = 10"),
             "weir, all held": weir(
                 "held", 'interval = "1h"  burst = 1  initial = 0  '
                 "freeze_at = 0  queue_max = 1000000")}
    if shutil.which("rspamd") and shutil.which("redis-server"):
        rspamd = Rspamd(directory)
        made.append(rspamd)
        found["rspamd ratelimit"] = rspamd.where, rspamd
    else:
        print("rspamd and redis-server are not installed: not measured")
    return found


class Bench:
    def __init__(self, args, directory, made):
        self.args, self.made = args, made
        self.rates, self.cpu, self.mtas = {}, {}, {}
        self.parts = candidates(directory, made)
        for name, (where, _) in self.parts.items():
            mta = MilterPostfix(where, main=DISCARD, local=False)
            made.append(mta.start())
            self.mtas[name] = mta
            source(mta.port, argparse.Namespace(
                sessions=args.sessions, messages=200), True)

    def measure(self, name, many):
        part = self.parts[name][1]
        before = cpu_seconds(part.pids()) if part else 0
        rate = source(self.mtas[name].port, self.args, many)
        used = (cpu_seconds(part.pids()) if part else 0) - before
        self.rates.setdefault((name, many), []).append(rate)
        self.cpu.setdefault((name, many), []).append(
            used / self.args.messages * 1e6)

    def run(self):
        for _ in range(self.args.rounds):
            for many in (False, True):
                for name in random.sample(list(self.mtas), len(self.mtas)):
                    self.measure(name, many)
                    until(lambda: not self.mtas[name].queue(), "its queue", 60)
        rspamd = self.parts.get("rspamd ratelimit")
        if rspamd:
            asked = rspamd[1].buckets_asked()
            sent = self.args.messages * self.args.rounds * 2
            assert asked >= sent, f"rspamd asked Redis {asked} times"

    def ratio(self, name, base, many):
        return statistics.median(
            a / b for a, b in zip(self.rates[name, many],
                                  self.rates[base, many]))

    def report(self):
        print(f"{self.args.messages} messages of 1 KB, {self.args.sessions} "
              f"sessions, median of {self.args.rounds} rounds")
        for many in (False, True):
            label = "many per connection" if many else "one per connection"
            print(f"\n{label:20}{'msg/s':>8}{'ratio to null':>15}"
                  f"{'to null, envelope':>19}{'CPU us/msg':>12}")
            for name in self.mtas:
                print(f"{name:20}"
                      f"{statistics.median(self.rates[name, many]):8.0f}"
                      f"{self.ratio(name, 'null', many):15.2f}"
                      f"{self.ratio(name, 'null, envelope', many):19.2f}"
                      f"{statistics.median(self.cpu[name, many]):12.0f}")


def main():
    args = arguments()
    tempfile.tempdir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    made = []
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as directory:
        os.chmod(directory, 0o755)
        try:
            bench = Bench(args, directory, made)
            bench.run()
        finally:
            for m in reversed(made):
                m.stop()
    bench.report()


if __name__ == "__main__":
    main()
