#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the API's pages cost with many messages held, and what SMTP replies cost
while slow HTTP clients hold all the places that there are, a scraper asks for
/metrics each second and a page is open."""
import argparse
import http.client
import json
import pathlib
import socket
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from bulk import HOLD, ROOM, hold, multiply  # noqa: E402
from harness import FastSink, Weir, free_port, hello  # noqa: E402

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


def busy(port, token, stop):
    while not stop.is_set():
        get(port, token, "/metrics")
        get(port, token, "/api/v1/status")
        get(port, token, "/api/v1/senders?busy=true")
        stop.wait(1)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--messages", type=int, default=100000)
    p.add_argument("--seconds", type=float, default=5)
    a = p.parse_args()
    sink = FastSink()
    web = free_port()
    with tempfile.TemporaryDirectory() as directory:
        w = Weir(pathlib.Path(directory), sink.address,
                 policy=HOLD + '\nexempt_recipients = {"@pass.test"}',
                 sections=f'http "x" {{ address = "127.0.0.1:{web}"'
                 '  clients = {"127.0.0.0/8"} }', **ROOM)
        w.start()
        hold(w, "eve@example.org", "r0@example.net")
        w.stop()
        multiply(w, a.messages)
        w.start()
        token = w.run_ctl("token", "new", "bench", "--right",
                          "admin").stdout.strip()
        for page in PAGES:
            took, body = get(web, token, "/api/v1/" + page)
            rows = json.loads(body).get("items", [])
            print(f"GET {page:36} {1000 * took:8.1f} ms {len(rows):5} rows")
        tell("SMTP alone", replies(w.port, a.seconds))
        stop = threading.Event()
        thread = threading.Thread(target=busy, args=(web, token, stop))
        thread.start()
        tell("with a scraper and a page", replies(w.port, a.seconds))
        stop.set()
        thread.join()
        slow = []
        for i in range(64):
            s = socket.socket()
            s.bind((f"127.0.1.{i // 4 + 1}", 0))
            s.connect(("127.0.0.1", web))
            s.sendall(b"GET /metrics HTT")
            slow.append(s)
        tell("with 64 slow HTTP clients", replies(w.port, a.seconds))
        w.stop()
    sink.stop()


if __name__ == "__main__":
    main()
