#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a second core would bring the relay, at most: the same load through one
weir-maild, and half of it through each of two, which share nothing (no gate, no
spool), as no two listeners of one daemon could. In turn in one run, medians of
the rounds. Rates tell little where other things run; what follows from the CPU
seconds of relay, load and next hop is printed too: one event loop is what all
wait for only where it takes more than the others leave of the machine."""
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
from bench_relay import cpu_seconds  # noqa: E402
from harness import BUILD, Weir, free_port, listens, until  # noqa: E402
from pki import Pki  # noqa: E402

QUICK_SINK = BUILD / "tests/bench/quick_sink"
TLS_SOURCE = BUILD / "tests/bench/tls_source"
PARTS = 2


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--messages", type=int, default=12000)
    p.add_argument("--sessions", type=int, default=20)
    p.add_argument("--handshakes", type=int, default=2000)
    return p.parse_args()


class Bench:
    def __init__(self, directory, args):
        self.dir = pathlib.Path(directory)
        self.args = args
        cert = Pki(self.dir / "pki").cert("bench", ["bench.test"])
        self.dir.chmod(0o755)
        sink_port = free_port()
        self.sink = subprocess.Popen([QUICK_SINK, str(sink_port)])
        until(lambda: listens(sink_port), "quick_sink")
        self.weirs, self.tls_ports = [], []
        for i in range(PARTS):
            port = free_port()
            self.tls_ports.append(port)
            self.weirs.append(Weir(
                self.dir / str(i), f"127.0.0.1:{sink_port}",
                client_sessions_max=1000, log_level="warning",
                tls_cert=f'{{"{cert}"}}',
                sections=f'listen "tls" {{ address = "127.0.0.1:{port}"'
                         "  tls = implicit }").start())

    def stop(self):
        for weir in self.weirs:
            weir.stop()
        self.sink.kill()
        self.sink.wait()

    def mail(self, size, many):
        def load(i):
            return ["smtp-source", "-s", str(self.args.sessions // PARTS),
                    "-m", str(self.args.messages // PARTS), "-l", str(size),
                    "-f", "a@example.com", "-t", "b@example.com",
                    *(["-d"] if many else []),
                    f"127.0.0.1:{self.weirs[i].port}"]
        return load, self.args.messages // PARTS * PARTS

    def handshakes(self):
        def load(i):
            return [TLS_SOURCE, str(self.tls_ports[i]), "4",
                    str(self.args.handshakes // PARTS), "0", "0"]
        return load, self.args.handshakes // PARTS * PARTS

    def run(self, load, count, spread):
        """(a second, CPU s per 1000: of the relays, of load and sink)."""
        pids = [w.process.pid for w in self.weirs]
        before = [cpu_seconds(pid) for pid in [*pids, self.sink.pid]]
        children = os.times()
        begin = time.monotonic()
        parts = [subprocess.Popen(load(i if spread else 0),
                                  stdout=subprocess.DEVNULL)
                 for i in range(PARTS)]
        for part in parts:
            if part.wait() != 0:
                sys.exit("the load failed")
        took = time.monotonic() - begin
        used = [cpu_seconds(pid) - was
                for pid, was in zip([*pids, self.sink.pid], before)]
        ended = os.times()
        used[-1] += (ended.children_user + ended.children_system
                     - children.children_user - children.children_system)
        return (count / took, sum(used[:-1]) / count * 1000,
                used[-1] / count * 1000)

    def case(self, name, load, count):
        rounds = [[self.run(load, count, spread) for spread in (False, True)]
                  for _ in range(self.args.rounds)]
        print(f"\n{name} ({self.args.rounds} rounds)")
        print(f"  {'':6}{'a second':>10}{'CPU s/1000':>12}{'the others':>12}")
        for i, who in enumerate(("one", "two")):
            rate, relay, others = (statistics.median(r[i][k] for r in rounds)
                                   for k in range(3))
            print(f"  {who:6}{rate:10.0f}{relay:12.4f}{others:12.4f}")
        gain = statistics.median(r[1][0] / r[0][0] for r in rounds)
        relay, others = (statistics.median(r[0][k] for r in rounds)
                         for k in (1, 2))
        print(f"  measured: {gain:.2f} times; by CPU seconds on 2 cores at"
              f" best {bound(relay, others, 2):.2f}, with all others on"
              f" further machines {bound(relay, 0, 2):.2f};"
              f" one core is full at {1000 / relay:.0f} a second")


def bound(relay, others, cores):
    """How many times as fast two are as one, if nothing else is in the way."""
    def rate(processes):
        return min(processes / relay, cores / (relay + others))
    return rate(2) / rate(1)


def main():
    args = arguments()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    directory = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(directory, 0o755)
    bench = Bench(directory, args)
    print(f"{os.cpu_count()} cores, with the load and the next hop on them")
    try:
        bench.case("1 KB, many per connection", *bench.mail(1024, True))
        bench.case("1 KB, one per connection", *bench.mail(1024, False))
        bench.case("100 KB, many per connection", *bench.mail(102400, True))
        bench.case("full TLS handshakes", *bench.handshakes())
    finally:
        bench.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
