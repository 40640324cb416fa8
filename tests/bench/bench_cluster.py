#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What one throttle for several relays costs a message: smtp-source through a
weir-maild with `shared` (a redis-server on loopback) and through one without,
in turn in one run. Mail to a known recipient waits for nothing, and the server
is told of it afterwards; mail to a new one that passes waits for its answer.
pipe_source names several new ones in one piece, which wait together. Medians of the rounds are printed; the
ratio of a round is what counts, and what weir-maild and the server took of a
processor."""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from bench_relay import cpu_seconds  # noqa: E402
from harness import BUILD, Weir, free_port, listens, until  # noqa: E402
from redis_server import Redis  # noqa: E402

# Whoever comes passes, and each is new.
BURST = 65535
OPEN = (f'working_set = 16\ninterval = "1s"\nburst = {BURST}\n'
        f"initial = {BURST}\nfreeze_at = 0\n")


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--messages", type=int, default=4000)
    p.add_argument("--sessions", type=int, default=20)
    p.add_argument("--recipients", type=int, default=10,
                   help="of a message whose envelope is pipelined")
    return p.parse_args()


class Bench:
    def __init__(self, directory, args):
        self.args = args
        top = pathlib.Path(directory)
        port = free_port()
        self.sink = subprocess.Popen([BUILD / "tests/bench/quick_sink",
                                      str(port)])
        until(lambda: listens(port), "quick_sink")
        self.server = Redis(top / "redis").start()
        secret = top / "secret"
        secret.write_text("the secret of this bench\n")
        secret.chmod(0o600)
        options = {"client_sessions_max": 1000, "log_level": "warning"}
        hop = f"127.0.0.1:{port}"
        self.alone = Weir(top / "alone", hop, policy=OPEN, **options).start()
        self.shared = Weir(
            top / "shared", hop, policy=OPEN, shared=f'"{self.server.url}"',
            shared_secret_file=f'"{secret}"', shared_timeout='"5s"',
            **options).start()
        until(lambda: self.shared.status()["shared"]["up"], "the server")

    def stop(self):
        for part in (self.alone, self.shared):
            part.stop()
        self.server.kill()
        self.sink.kill()
        self.sink.wait()

    def source(self, port, new, round_):
        return ["smtp-source", "-s", str(self.args.sessions),
                "-m", str(self.args.messages), "-l", "1024", "-d",
                "-f", "a@example.com",
                *(["-N", "-t", f"r{round_}@example.com"] if new else
                  ["-t", "b@example.com"]), f"127.0.0.1:{port}"]

    def pipeline(self, port, _new, round_):
        return [BUILD / "tests/bench/pipe_source", str(port),
                str(self.args.sessions),
                str(self.args.messages // self.args.recipients),
                str(self.args.recipients), "1024", f"p{round_}x"]

    def load(self, weir, source, new, round_):
        """(recipients/s, CPU s per 1000 of weir, and of the server)."""
        n = self.args.messages
        pids = weir.process.pid, self.server.process.pid
        before = [cpu_seconds(pid) for pid in pids]
        begin = time.monotonic()
        subprocess.run(
            source(weir.port, new, round_),
            check=True, stdout=subprocess.DEVNULL)
        took = time.monotonic() - begin
        return (n / took, *((cpu_seconds(pid) - b) / n * 1000
                            for pid, b in zip(pids, before)))

    def case(self, name, new, source=None):
        source = source or self.source
        self.load(self.alone, source, new, "a")
        self.load(self.shared, source, new, "a")
        asked = self.shared.status()["shared"]
        rounds = [(self.load(self.alone, source, new, i),
                   self.load(self.shared, source, new, i))
                  for i in range(self.args.rounds)]
        if not asked["up"] or not self.shared.status()["shared"]["up"]:
            sys.exit("the server was away meanwhile: nothing was measured")
        if self.shared.status()["held_messages"] != 0:
            sys.exit("mail was held: this measures what passes")
        for i, who in enumerate(("alone", "shared")):
            rate, cpu, server = (statistics.median(r[i][k] for r in rounds)
                                 for k in range(3))
            print(f"{name:>16} {who:>7} {rate:9.0f}/s {cpu:8.4f} {server:8.4f}")
        of = statistics.median(s[0] / a[0] for a, s in rounds)
        print(f"{name:>16}  shared is {of:.2f} of alone"
              f" ({min(s[0] / a[0] for a, s in rounds):.2f}"
              f" to {max(s[0] / a[0] for a, s in rounds):.2f})")


def main():
    args = arguments()
    # Two cases of new recipients, with a round to warm up, use up one burst.
    most = BURST // (2 * (args.rounds + 1))
    if args.messages > most:
        sys.exit(f"--messages: at most {most} with {args.rounds} rounds")
    directory = tempfile.mkdtemp(prefix="weir-bench-")
    os.chmod(directory, 0o755)
    bench = Bench(directory, args)
    try:
        print(f"{args.messages} recipients, messages of 1 KB,"
              f" {args.sessions} sessions, {args.rounds} rounds; recipients/s,"
              " CPU s/1000 of weir-maild and the server")
        bench.case("known recipient", False)
        bench.case("new recipients", True)
        bench.case(f"{args.recipients} new pipelined", True, bench.pipeline)
    finally:
        bench.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
