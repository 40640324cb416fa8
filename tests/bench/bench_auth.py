#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What logins cost that pass through: sessions per second that log in and send
mail, straight to a next hop that takes logins, through haproxy (TCP, one
thread), and through weir-maild; and the same without a login. With one, a
session has a connection to the next hop of its own, without it shares kept
ones. In turn in one run; ratios are of the same round, medians are printed."""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from harness import BUILD, Weir, free_port, listens, until  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
LOAD = BUILD / "tests/bench/auth_load"
HAPROXY = """
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 10s
    timeout client 1m
    timeout server 1m
listen smtp
    bind 127.0.0.1:{port}
    server sink 127.0.0.1:{sink}
"""


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--sessions", type=int, default=4000)
    p.add_argument("--threads", type=int, default=20)
    return p.parse_args()


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1]
    user, system = fields.split()[11:13]
    return (int(user) + int(system)) / TICKS


class Bench:
    def __init__(self, directory, args):
        self.args = args
        self.sink_port, self.proxy_port = free_port(), free_port()
        self.sink = subprocess.Popen([LOAD, "sink", str(self.sink_port)])
        until(lambda: listens(self.sink_port), "the sink")
        conf = pathlib.Path(directory) / "haproxy.cfg"
        conf.write_text(HAPROXY.format(port=self.proxy_port,
                                       sink=self.sink_port))
        self.haproxy = subprocess.Popen(
            ["haproxy", "-f", conf, "-db"], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        until(lambda: listens(self.proxy_port), "haproxy")
        self.weir = Weir(pathlib.Path(directory) / "weir",
                         f"127.0.0.1:{self.sink_port}",
                         listen_options="auth = pass",
                         client_sessions_max=1000,
                         log_level="warning").start()

    def stop(self):
        self.weir.stop()
        for part in (self.haproxy, self.sink):
            part.terminate()
            part.wait()

    def one(self, port, pid, messages, login):
        """(sessions per second, CPU ms per session)"""
        n = max(self.args.sessions // messages, 100)
        before = cpu_seconds(pid)
        done = subprocess.run(
            [LOAD, "source", *map(str, (port, self.args.threads, n, messages,
                                        int(login)))],
            check=True, capture_output=True, text=True)
        return n / float(done.stdout), (cpu_seconds(pid) - before) / n * 1000

    def case(self, messages):
        servers = {"direct": (self.sink_port, self.sink.pid),
                   "haproxy": (self.proxy_port, self.haproxy.pid),
                   "weir": (self.weir.port, self.weir.process.pid)}
        rounds = [{(who, login): self.one(*server, messages, login)
                   for who, server in servers.items()
                   for login in (True, False)}
                  for _ in range(self.args.rounds)]
        print(f"\n{messages} message{'s' if messages > 1 else ''} a session "
              f"({self.args.threads} threads, {self.args.rounds} rounds)")
        print(f"  {'':10}{'login':>7}{'sessions/s':>12}{'of direct':>11}"
              f"{'of haproxy':>12}{'CPU ms/session':>16}")
        for who, login in rounds[0]:
            def ratio(to):
                return statistics.median(
                    r[who, login][0] / r[to, login][0] for r in rounds)
            rate = statistics.median(r[who, login][0] for r in rounds)
            cpu = statistics.median(r[who, login][1] for r in rounds)
            print(f"  {who:10}{'yes' if login else 'no':>7}{rate:12.0f}"
                  f"{ratio('direct'):11.2f}{ratio('haproxy'):12.2f}"
                  f"{cpu:16.3f}")
        cost = statistics.median(
            r["weir", True][1] - r["weir", False][1] for r in rounds)
        times = statistics.median(
            r["weir", True][0] / r["weir", False][0] for r in rounds)
        print(f"  a login that passes through costs weir {cost:.3f} ms of CPU;"
              f" {times:.2f} times the sessions of those without")


def main():
    args = arguments()
    directory = tempfile.mkdtemp(prefix="weir-bench-")
    bench = Bench(directory, args)
    try:
        for messages in (1, 10):
            bench.case(messages)
    finally:
        bench.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
