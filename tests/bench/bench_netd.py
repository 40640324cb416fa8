#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What weir-netd costs, over a veth pair between two namespaces: no rules; a
queue whose program accepts everything; weir-netd with known destinations, fast
path off and on. Connections and UDP packets per second, and the delay that is
added to one connection. Each round measures all of them; the ratios of a round
count, medians are printed. Needs root."""
import argparse
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import netlab  # noqa: E402
from harness import BUILD  # noqa: E402

TOOL = BUILD / "tests/bench/netload"
CASES = ("no rules", "accept-all queue", "weir-netd", "weir-netd, fast path")
POLICY = "working_set = 64\nprofile = window\nlimit = {\"60000/1s\"}"


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=float, default=0.7)
    return p.parse_args()


def load(lab, what, seconds, parallel=1):
    p = lab.execute("host", TOOL, what, "10.99.0.2", 80, seconds, parallel)
    return float(p.stdout)


def start(lab, case):
    """What stands between the two; returns how it ends."""
    if case == "no rules":
        return lambda: None
    if case == "accept-all queue":
        rules = [["-p", "tcp", "--syn"], ["-p", "udp"]]
        for r in rules:
            lab.execute("host", "iptables", "-t", "mangle", "-A", "OUTPUT",
                        "-o", "eth0", "-m", "conntrack", "!", "--ctstate",
                        "ESTABLISHED,RELATED", *r, "-j", "NFQUEUE",
                        "--queue-num", "7")
        p = lab.popen("host", TOOL, "accept", 7, stdout=-1)
        assert p.stdout.readline() == b"ready\n"

        def end():
            p.kill()
            p.wait()
            lab.execute("host", "iptables", "-t", "mangle", "-F")
        return end
    fast = case == "weir-netd, fast path"
    d = lab.netd("host", policy=POLICY, hosts_max="1000",
                 **({"fast_path": '"1m"'} if fast else {}))
    if fast and not d.status()["fast_path"]:
        raise SystemExit("no nft sets here: no fast path")
    lab.within("host", netlab.connect, "10.99.0.2")
    lab.within("host", netlab.send_udp, "10.99.0.2", 80, b"x", 2)
    return lambda: d.stop()


def measure(lab, case, seconds):
    end = start(lab, case)
    try:
        return {
            "tcp": load(lab, "tcp", seconds),
            "tcp x20": load(lab, "tcp", seconds, 20),
            "udp": load(lab, "udp", seconds),
            "us": load(lab, "latency", seconds),
        }
    finally:
        end()


def main():
    a = arguments()
    reason = netlab.why_not()
    if reason:
        print(f"netd: not measured: {reason}")
        return
    rounds = []
    with tempfile.TemporaryDirectory() as directory:
        lab = netlab.Lab(directory)
        try:
            lab.pair()
            server = lab.popen("net", TOOL, "serve", 80, stdout=-1)
            assert server.stdout.readline() == b"ready\n"
            for _ in range(a.rounds):
                rounds.append({c: measure(lab, c, a.seconds) for c in CASES})
        finally:
            lab.close()

    def median(f):
        return statistics.median(f(r) for r in rounds)

    print(f"{'':24}{'tcp/s':>9}{'x20':>9}{'udp/s':>9}"
          f"{'us/connect':>11}   of no rules (tcp, x20, udp)   of the queue")
    for c in CASES:
        row = f"{c:24}" + "".join(
            f"{median(lambda r: r[c][k]):9.0f}" for k in ("tcp", "tcp x20",
                                                          "udp"))
        row += f"{median(lambda r: r[c]['us']):11.1f}   "
        for base in ("no rules", "accept-all queue"):
            row += "  ".join(
                f"{median(lambda r: r[c][k] / r[base][k]):5.2f}"
                for k in ("tcp", "tcp x20", "udp")) + "           "
        print(row.rstrip())
    added = median(lambda r: r["weir-netd"]["us"] - r["no rules"]["us"])
    print(f"delay that weir-netd adds to a connection that passes: "
          f"{added:.1f} us")


if __name__ == "__main__":
    main()
