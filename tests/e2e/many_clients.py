# SPDX-License-Identifier: BSD-3-Clause
"""Many bad clients at once (many_clients.c), and what a daemon uses meanwhile."""
import contextlib
import os
import pathlib
import re
import resource
import subprocess

from harness import BUILD, DEADLINE_S, until

SANITIZED = bool(os.environ.get("WEIR_SANITIZED"))


class ManyClients:
    """count connections of a kind from so many addresses: 127.1.0.1 and on
    for the idle, each other kind has a network of its own."""

    def __init__(self, port, kind, count, addresses=1):
        self.count = count
        self.process = subprocess.Popen(
            [BUILD / "tests/e2e/many_clients",
             *map(str, (port, count, addresses, kind))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """All connections break at once."""
        if self.process is None:
            return
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        status = self.process.wait(20)
        self.process.stdout.close()
        self.process = None
        assert status == 0

    def figures(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        return {k: int(v) for k, v in zip(words[::2], words[1::2])}

    def until(self, what, least, deadline_s=DEADLINE_S):
        """Until so many have come that far."""
        try:
            return until(lambda: (f := self.figures())[what] >= least and f,
                         f"{least} {what}", deadline_s)
        except AssertionError as e:
            raise AssertionError(f"{e}, not {self.figures()}") from None


def rss_kb(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_s(pid):
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    fields = text.rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors_allowed():
    """How many a child of this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
