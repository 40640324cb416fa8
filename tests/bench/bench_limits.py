#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the caps of a default configuration are worth: sessions_max connections
of each kind of bad client, from as many addresses as that takes, and what the
daemon has resident, what the kernel keeps for its sockets, and which
descriptors are open. The figures of LIMITS in weir-maild(8)."""
import argparse
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from many_clients import ManyClients, descriptors, rss_kb  # noqa: E402
from harness import FastSink, Weir, free_port, until  # noqa: E402
from pki import Pki  # noqa: E402

PAGE_KB = 4
HOLD = 'interval = "1h"  burst = 1  initial = 0  freeze_at = 0'
KINDS = {
    # kind: (what it is, listener, policy)
    "idle": ("idle in plain", "plain", ""),
    "hello": ("half a TLS handshake", "tls", ""),
    "half": ("200 KB of a held message", "plain", HOLD),
    "deaf": ("replies that nobody reads", "plain", ""),
    "rcpt": ("a message begun, next hop held", "plain", "exempt = true"),
    "bomb": ("200 recipients of 250 bytes", "plain", "exempt = true"),
}


def socket_kb():
    """Of all TCP sockets of the machine, both ends of ours included."""
    for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            return int(line.split()[-1]) * PAGE_KB
    return 0


def measure(directory, kind, count):
    _, listener, policy = KINDS[kind]
    pem = Pki(directory / "pki").cert("mx", ["mx.test"])
    tls_port = free_port()
    sink = FastSink(keep=lambda text: b"")
    more = {"idle_commands_max": 100000} if kind == "deaf" else {}
    w = Weir(directory / kind, sink.address, policy=policy,
             tls_cert=f'{{"{pem}"}}', next_hop_wait='"0s"', sessions_max=count,
             sections=f'listen "tls" {{ address = "127.0.0.1:{tls_port}"'
                      "  tls = implicit }", **more).start()
    pid = w.process.pid
    try:
        w.hello().close()
        until(lambda: w.status()["sessions_open"] == 0, "the start")
        before = rss_kb(pid), descriptors(pid), socket_kb()
        port = tls_port if listener == "tls" else w.port
        with ManyClients(port, kind, count, (count + 99) // 100) as clients:
            # Where connections to the next hop are short, others wait.
            least = min(count, 150) if kind in ("rcpt", "bomb") else count
            clients.until("greeted", count, 120)
            clients.until("there", least, 120)
            until(lambda: w.status()["sessions_open"] >= count, "them all")
            at = rss_kb(pid), descriptors(pid), socket_kb()
    finally:
        w.stop()
        sink.stop()
    return before, at


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--sessions", type=int, default=1000)
    p.add_argument("--only", choices=KINDS)
    args = p.parse_args()
    print(f"{args.sessions} sessions of each kind:")
    print(f"{'':32} {'KB each':>8} {'MB resident':>12} {'sockets MB':>11} "
          f"{'descriptors':>12}")
    worst = 0
    with tempfile.TemporaryDirectory() as name:
        for kind in [args.only] if args.only else KINDS:
            before, at = measure(pathlib.Path(name), kind, args.sessions)
            each = (at[0] - before[0]) / args.sessions
            worst = max(worst, at[0])
            print(f"{KINDS[kind][0]:32} {each:8.1f} {at[0] / 1024:12.1f} "
                  f"{(at[2] - before[2]) / 1024:11.1f} {at[1]:12}")
    print(f"at worst {worst / 1024:.0f} MB resident")


if __name__ == "__main__":
    main()
