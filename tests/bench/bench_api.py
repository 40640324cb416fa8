#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the API's pages cost with many messages held, what SMTP replies cost
while slow HTTP clients hold all the places that there are, and the throughput
of SMTP while a scraper asks for /metrics each second and the dashboard is open,
beside the same without. Machines are noisy: each round measures both, in
changing order, and the median of the rounds' ratios is what counts. Each round
measures without a second time: what these two differ by is noise."""
import argparse
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from bench_relay import source  # noqa: E402
from browser import Browser  # noqa: E402
from bulk import HOLD, ROOM, hold, multiply  # noqa: E402
from harness import Weir, free_port, hello, listens, until  # noqa: E402

PAGES = ["queue", "queue?limit=1000", "queue?sender=%3Ceve@example.org%3E",
         "queue?subject=hello", "senders?busy=true", "status", "problems"]


def get(port, token, path):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    start = time.monotonic()
    c.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    r = c.getresponse()
    body = r.read()
    took = time.monotonic() - start
    c.close()
    assert r.status == 200, (path, body[:200])
    return took, body


def replies(port, seconds):
    """Milliseconds of each whole message to a recipient that passes."""
    client, took = hello(port), []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        client.transact("bob@example.org", ["known@pass.test"],
                        b"Subject: x\r\n\r\ntext\r\n")
        took.append(1000 * (time.monotonic() - start))
    client.close()
    return took


def tell(what, took):
    took.sort()
    print(f"{what:32} {len(took):6} messages, median {statistics.median(took):.2f}"
          f" ms, 99 % {took[len(took) * 99 // 100]:.2f} ms")


class Watchers:
    """A scraper, and the requests of a page whose first view is open: what
    view_stuck.js asks for, and the events as they happen. The stream is read
    and thrown away: the browser's own work belongs to another machine."""

    def __init__(self, port, token):
        self.port, self.token = port, token
        self.end = threading.Event()
        session = json.loads(get(port, token, "/api/v1/session")[1])
        self.types = ",".join(t for t in session["event_types"]
                              if t != "message").encode()
        self.threads = [threading.Thread(target=self.every, args=(1, [
            "/metrics"])), threading.Thread(target=self.every, args=(5, [
                "/api/v1/senders?busy=true&limit=1000",
                "/api/v1/problems?max=50",
                "/api/v1/senders/%3Ceve@example.org%3E",
                "/api/v1/find?sender=%3Ceve@example.org%3E&max=50"])),
            threading.Thread(target=self.stream)]
        self.asked = self.bytes = 0

    def every(self, seconds, paths):
        while True:
            for path in paths:
                get(self.port, self.token, path)
                self.asked += 1
            if self.end.wait(seconds):
                return

    def stream(self):
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.sendall(b"GET /api/v1/events/stream?type=" + self.types
                      + b" HTTP/1.1\r\n"
                      b"Host: 127.0.0.1\r\nAuthorization: Bearer "
                      + self.token.encode() + b"\r\n\r\n")
            s.settimeout(0.2)
            while not self.end.is_set():
                try:
                    some = s.recv(1 << 20)
                    assert some, "the event stream ended"
                    self.bytes += len(some)
                except TimeoutError:
                    pass

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for t in self.threads:
            t.join()


class Chromium:
    """The real page, with all that the browser itself takes of this machine."""

    def __init__(self, directory, port, token):
        self.browser = Browser(directory)
        self.url = f"http://127.0.0.1:{port}/#token={token}"

    def __enter__(self):
        self.page = self.browser.page()
        self.page.open(self.url)
        self.page.shows("Is anybody stuck?")
        return self

    def __exit__(self, *_):
        self.page.open("about:blank")


def cpu_seconds(pid):
    """To the nanosecond, of all threads that are there."""
    return sum(int(p.read_text().split()[0]) for p in pathlib.Path(
        f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def rate(w, messages, sessions):
    """Messages a second, and the daemon's CPU seconds of a thousand."""
    before = cpu_seconds(w.process.pid)
    took = source(w.port, messages, 1024, sessions, True, "known@pass.test")
    return (messages / took,
            (cpu_seconds(w.process.pid) - before) / messages * 1000)


def throughput(w, a, port, token, directory):
    chromium = Chromium(directory, port, token) if a.chromium else None
    rounds = []

    def watched():
        with Watchers(port, token) as seen:
            if not chromium:
                return *rate(w, a.burst, a.sessions), seen.bytes
            with chromium:
                return *rate(w, a.burst, a.sessions), seen.bytes

    def alone():
        return *rate(w, a.burst, a.sessions), 0

    rate(w, a.burst // 4, a.sessions)  # warm
    kinds = [alone, watched, alone]
    for i in range(a.rounds):
        got = {}
        for k in (i % 3, (i + 1) % 3, (i + 2) % 3):
            got[k] = kinds[k]()
        assert got[1][2] > 0, "no event came"
        rounds.append(got)
    print(f"\nSMTP throughput, {a.sessions} sessions, {a.burst} messages a "
          f"time, {a.rounds} rounds"
          f"{', Chromium on this machine' if a.chromium else ''}")
    for name, k in (("alone", 0), ("with a scraper and a page", 1)):
        print(f"  {name:28}{statistics.median(r[k][0] for r in rounds):8.0f}"
              f" msg/s {statistics.median(r[k][1] for r in rounds):8.3f}"
              " CPU s/1000")
    for what, m in (("throughput", 0), ("CPU", 1)):
        for name, k in (("with / alone", 1), ("alone / alone", 2)):
            of = sorted(r[k][m] / r[0][m] for r in rounds)
            print(f"  {what}, {name:16} median {statistics.median(of):.3f}, "
                  f"half of the rounds from {of[len(of) // 4]:.3f} to "
                  f"{of[-1 - len(of) // 4]:.3f}")
    if chromium:
        chromium.browser.stop()


def slow_clients(w, a, web):
    tell("SMTP replies, alone", replies(w.port, a.seconds))
    slow = []
    for i in range(64):
        s = socket.socket()
        s.bind((f"127.0.1.{i // 4 + 1}", 0))
        s.connect(("127.0.0.1", web))
        s.sendall(b"GET /metrics HTT")
        slow.append(s)
    tell("with 64 slow HTTP clients", replies(w.port, a.seconds))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--messages", type=int, default=100000, help="held")
    p.add_argument("--seconds", type=float, default=5)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--burst", type=int, default=50000, help="messages sent in "
                   "each part of a round")
    p.add_argument("--sessions", type=int, default=10)
    p.add_argument("--chromium", action="store_true", help="open the page in "
                   "Chromium too, which takes CPU of its own")
    p.add_argument("--only-throughput", action="store_true")
    a = p.parse_args()
    web, hop = free_port(), free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", "-m", "1000",
                             f"127.0.0.1:{hop}", "1000"],
                            stdout=subprocess.DEVNULL)
    until(lambda: listens(hop), "smtp-sink")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        w = Weir(pathlib.Path(directory), f"127.0.0.1:{hop}",
                 policy=HOLD + '\nexempt_recipients = {"@pass.test"}',
                 sections=f'http "x" {{ address = "127.0.0.1:{web}"'
                 '  clients = {"127.0.0.0/8"} }', client_sessions_max=1000,
                 log_level="warning", **ROOM)
        w.start()
        hold(w, "eve@example.org", "r0@example.net")
        w.stop()
        multiply(w, a.messages)
        w.start()
        token = w.run_ctl("token", "new", "bench", "--right",
                          "admin").stdout.strip()
        if not a.only_throughput:
            for page in PAGES:
                took, body = get(web, token, "/api/v1/" + page)
                rows = json.loads(body).get("items", [])
                print(f"GET {page:36} {1000 * took:8.1f} ms {len(rows):5} "
                      "rows")
        throughput(w, a, web, token, directory)
        if not a.only_throughput:
            slow_clients(w, a, web)
        w.stop()
    sink.kill()
    sink.wait()


if __name__ == "__main__":
    main()
