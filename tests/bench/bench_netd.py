#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What weir-netd costs, over a veth pair between two namespaces: no rules; rules
that ask for connection tracking and no more; a queue whose program accepts
everything; weir-netd with known destinations, fast path off and on, the latter
also with TCP alone, which needs no connection tracking. Connections and UDP
packets per second, and the time that one connection takes. Every case has
namespaces of its own, and all are there at once: a round measures each for a
moment, one after the other, so that what else the machine does hits all alike.
Printed are the ratio of the upper tenths of the rates, and the median of
the ratios of a round with the quarter below and above: on a machine that does
nothing else they are the same. Needs root."""
import argparse
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import netlab  # noqa: E402
from harness import BUILD  # noqa: E402

TOOL = BUILD / "tests/bench/netload"
FAST = "fast path, "
TRACKED = "connection tracking alone"
ALONE = ", TCP"
CASES = ("no rules", TRACKED, "accept-all queue", "weir-netd", FAST + "nft",
         FAST + "ipset", FAST + "nft" + ALONE, FAST + "ipset" + ALONE)
POLICY = "working_set = 64\nprofile = window\nlimit = {\"60000/1s\"}"


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=15)
    p.add_argument("--seconds", type=float, default=0.15,
                   help="of one measurement")
    return p.parse_args()


def sets_of(name):
    return name[len(FAST):].removesuffix(ALONE)


class Case:
    """A host and a net, and what stands between them."""

    def __init__(self, lab, name, number):
        self.lab, self.host, self.net = lab, f"host{number}", f"net{number}"
        self.rounds = []
        lab.pair(self.host, self.net)
        server = lab.popen(self.net, TOOL, "serve", 80, stdout=-1)
        assert server.stdout.readline() == b"ready\n"
        if name == TRACKED:  # one rule that asks for it
            self.lab.execute(
                self.host, "iptables", "-t", "mangle", "-A", "OUTPUT", "-m",
                "conntrack", "--ctstate", "ESTABLISHED", "-j", "RETURN")
        elif name == "accept-all queue":
            self.accept_all()
        elif name != "no rules":
            self.netd(name)

    def accept_all(self):
        for r in (["-p", "tcp", "--syn"], ["-p", "udp"]):
            self.lab.execute(
                self.host, "iptables", "-t", "mangle", "-A", "OUTPUT", "-o",
                "eth0", "-m", "conntrack", "!", "--ctstate",
                "ESTABLISHED,RELATED", *r, "-j", "NFQUEUE", "--queue-num",
                "7")
        p = self.lab.popen(self.host, TOOL, "accept", 7, stdout=-1)
        assert p.stdout.readline() == b"ready\n"

    def netd(self, name):
        fast = {}
        if name.startswith(FAST):
            fast = {"fast_path": '"1h"', "fast_path_set": sets_of(name)}
        if name.endswith(ALONE):
            fast["protocols"] = '{"tcp"}'
        d = self.lab.netd(self.host, policy=POLICY, hosts_max="1000", **fast)
        assert d.status()["fast_path"] == bool(fast), d.log()
        self.lab.within(self.host, netlab.connect, "10.99.0.2")
        self.lab.within(self.host, netlab.send_udp, "10.99.0.2", 80, b"x", 2)

    def load(self, what, seconds, parallel=1):
        p = self.lab.execute(self.host, TOOL, what, "10.99.0.2", 80, seconds,
                             parallel)
        return float(p.stdout)


MEASURES = (("tcp", "tcp", 1), ("x20", "tcp", 20), ("udp", "udp", 1),
            ("us", "latency", 1))


def round_of(cases, seconds):
    for key, what, parallel in MEASURES:
        for c in cases.values():
            if key == "tcp":
                c.rounds.append({})
            c.rounds[-1][key] = c.load(what, seconds, parallel)


def undisturbed(case, key):
    """What else runs only takes away: the upper tenth is the case's own."""
    rates = [r[key] for r in case.rounds]
    return statistics.quantiles(rates, n=10, method="inclusive")[8]


def ratio(case, base, key):
    quarters = statistics.quantiles(
        [a[key] / b[key] for a, b in zip(case.rounds, base.rounds)], n=4)
    return (f"{undisturbed(case, key) / undisturbed(base, key):5.2f}, "
            f"{quarters[1]:.2f} ({quarters[0]:.2f}-{quarters[2]:.2f})")


def report(cases):
    keys = [m[0] for m in MEASURES]
    print(f"{'medians of ' + str(len(cases['no rules'].rounds)):27}"
          f"{'tcp/s':>9}{'x20/s':>9}{'udp/s':>9}{'us/connect':>11}")
    for name, c in cases.items():
        medians = [statistics.median(r[k] for r in c.rounds) for k in keys]
        print(f"{name:27}" + "".join(f"{m:9.0f}" for m in medians[:3]) +
              f"{medians[3]:11.1f}")
    for base in ("no rules", TRACKED, "accept-all queue"):
        print(f"\n{'of ' + base:27}" + "".join(
            f"{k:>24}" for k in ("tcp", "tcp x20", "udp")))
        for name, c in cases.items():
            if c is not cases[base] and \
                    list(cases).index(name) > list(cases).index(base):
                print(f"{name:27}" + "".join(
                    f"{ratio(c, cases[base], k):>24}" for k in keys[:3]))
    added = statistics.median(
        a["us"] - b["us"] for a, b in zip(cases["weir-netd"].rounds,
                                          cases["no rules"].rounds))
    print(f"\ndelay that weir-netd adds to a connection that passes: "
          f"{added:.1f} us")


def main():
    a = arguments()
    reason = netlab.why_not()
    if reason:
        print(f"netd: not measured: {reason}")
        return
    names = [c for c in CASES if not c.startswith(FAST) or
             not netlab.why_no_sets(sets_of(c))]
    with tempfile.TemporaryDirectory() as directory:
        lab = netlab.Lab(directory)
        try:
            cases = {n: Case(lab, n, i) for i, n in enumerate(names)}
            for _ in range(a.rounds):
                round_of(cases, a.seconds)
        finally:
            lab.close()
    report(cases)


if __name__ == "__main__":
    main()
