#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What an administrator's command over many held messages costs: when it is
answered, when it is done, and how long SMTP replies take meanwhile, of a
message to a recipient that passes (its reply waits for the next hop) and of
one that is held (its reply waits for the spool's commit). Beside it the same
replies while no command runs."""
import argparse
import multiprocessing
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from bulk import HOLD, ROOM, hold, multiply  # noqa: E402
from harness import FastSink, Weir, hello, until  # noqa: E402

EVE = "<eve@example.org>"
COMMANDS = {
    "queue, first page": ("find", "-n", "50", "example.net"),
    "freeze": ("freeze", EVE),
    "release": ("release", "--all"),
    "freeze, released": ("freeze", EVE),
    "thaw, released": ("thaw", EVE),
    "discard": ("discard", "--all"),
}


def probe(port, sender, to, pipe):
    """Message after message; sends when each reply came and how long it
    took."""
    client = hello(port)
    while True:
        for line in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>", "DATA",
                     "Subject: probe\r\n\r\ntext\r\n."):
            start = time.monotonic()
            client.ask(line)
            end = time.monotonic()
            pipe.send((end, end - start))
        time.sleep(0.002)


class Probe:
    def __init__(self, port, sender, to):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(
            target=probe, args=(port, sender, to, other), daemon=True)
        self.process.start()
        self.replies = []

    def read(self):
        while self.pipe.poll():
            self.replies.append(self.pipe.recv())

    def longest(self, start, end):
        """Replies that came or were waited for in that time."""
        self.read()
        return 1000 * max((took for at, took in self.replies
                           if at > start and at - took < end), default=0)

    def stop(self):
        self.process.terminate()
        self.process.join()


def measure(directory, count, names):
    sink = FastSink(keep=lambda text: b"")
    weir = Weir(directory, "127.0.0.1:9", policy=HOLD, **ROOM,
                sections='policy "free" { match = {"from:free@example.org"}'
                         "  key = envelope  exempt = true }")
    weir.next_hop = sink.address
    weir.start()
    hold(weir, "eve@example.org", "r0@example.net")
    weir.stop()
    multiply(weir, count)
    start = time.monotonic()
    weir.launch()
    print(f"start with {count} held: {time.monotonic() - start:.2f} s")
    probes = [Probe(weir.port, "free@example.org", "one@example.net"),
              Probe(weir.port, "bob@example.org", "two@example.net")]
    print(f"{'':20} {'answers s':>10} {'done s':>8} {'passes ms':>10}"
          f" {'held ms':>8}")
    rest = 0
    try:
        time.sleep(1)
        for name in names:
            row = []
            for command in (None, COMMANDS[name]):
                start = time.monotonic()
                done = weir.run_ctl(*command) if command else time.sleep(1)
                answered = end = time.monotonic()
                if done and "the rest follows" in done.stdout:
                    rest += 1
                    until(lambda: len(weir.log_lines("gate changed")) == rest,
                          "the rest", 600)
                    end = time.monotonic()
                time.sleep(0.3)
                row.append((end - start, answered - start,
                            [p.longest(start, end) for p in probes]))
            print(f"{'no command':20} {'':10} {'':8} {row[0][2][0]:10.0f}"
                  f" {row[0][2][1]:8.0f}")
            print(f"{name:20} {row[1][1]:10.2f} {row[1][0]:8.2f}"
                  f" {row[1][2][0]:10.0f} {row[1][2][1]:8.0f}", flush=True)
    finally:
        for p in probes:
            p.stop()
        weir.kill()
        sink.stop()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--messages", type=int, default=200000)
    p.add_argument("--only", choices=COMMANDS, nargs="+",
                   default=list(COMMANDS))
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(pathlib.Path(name) / "weir", args.messages, args.only)


if __name__ == "__main__":
    main()
