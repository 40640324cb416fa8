# SPDX-License-Identifier: BSD-3-Clause
"""TCP alone, with the kernel's connection tracking and without: what the rules
ask differs, what a host sees does not."""
import re
import socket

import pytest

import netlab
from harness import until
from netlab import connect, run, send_udp
from test_netd_worm import scan

REASON = netlab.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"netd: {REASON}")
NEW = [f"10.99.1.{i}" for i in range(1, 255)]
TCP = {"protocols": '{"tcp"}'}


@pytest.fixture
def pair(tmp_path):
    made = netlab.Lab(tmp_path)
    made.counted_pair()
    yield made
    made.close()


@pytest.fixture(params=["yes", "no"])
def tracked(request):
    return {**TCP, "conntrack": request.param}


def tracks(pair):
    """Does the namespace track connections?"""
    return int(pair.execute("host", "sysctl", "-n",
                            "net.netfilter.nf_conntrack_count").stdout) > 0


def fill(pair, addresses=("10.99.3.1", "10.99.3.2", "10.99.3.3", "10.99.3.4",
                          "10.99.3.5")):
    for a in addresses:
        assert pair.within("host", connect, a) < 0.5


def test_five_pass_the_sixth_waits(pair, tracked):
    d = pair.netd("host", **tracked)
    for new in (NEW, [f"fd99::1:{i}" for i in range(1, 7)]):
        took = [pair.within("host", connect, a) for a in new[:6]]
        assert max(took[:5]) < 0.3 < took[5] < 1.5, took
        assert pair.within("host", connect, new[5]) < 0.3  # known now
    s = d.status()
    assert (s["packets"], s["delayed_recipients"], s["passed_known"]) == \
        (14, 2, 2)
    assert pair.arrived("net") == 7  # no copies
    assert tracks(pair) == (tracked["conntrack"] == "yes")


def test_copies_of_a_waiting_syn(pair, tracked):
    d = pair.netd("host", policy='interval = "2500ms"', **tracked)
    fill(pair)
    before = pair.arrived("net")
    assert pair.within("host", connect, NEW[0], 80, 12) < 9
    assert d.status()["delayed_recipients"] == 1
    assert pair.arrived("net") == before + 1


@pytest.mark.parametrize("rate", [100, 200])
def test_stopping_time(pair, tracked, rate):
    d = pair.netd("host", **tracked)
    fill(pair)
    took, out = scan(pair, d, "tcp", rate, 100 / (rate - 1) + 0.5)
    assert 90 / rate < took < 110 / rate + 1, took
    assert out <= took + 1.5, out


class Peer:
    """A listener of its own, with one connection to it at a time."""

    def __init__(self, pair, space, address, port=99):
        self.pair = pair
        self.server = pair.within(
            space, lambda: socket.create_server((address, port)))
        self.server.settimeout(5)
        self.address = address, port

    def connect(self, space):
        s = self.pair.within(
            space, socket.create_connection, self.address, 2)
        s.settimeout(3)
        t = self.server.accept()[0]
        t.settimeout(3)
        return s, t


def speak(a, b):
    for x, y in ((a, b), (b, a)):
        x.sendall(b"hello")
        assert y.recv(5) == b"hello"


def test_what_is_open_goes_on_when_frozen(pair, tracked):
    """And a frozen server still answers: neither is an attempt."""
    d = pair.netd("host", policy="when_frozen = reject", **tracked)
    out = Peer(pair, "net", "10.99.0.2")
    mine, theirs = out.connect("host")
    inside = Peer(pair, "host", "10.99.0.1")
    d.ctl("freeze", "10.99.0.1")
    before = d.status()["packets"]
    speak(mine, theirs)
    visitor, served = inside.connect("net")
    speak(visitor, served)
    assert d.status()["packets"] == before
    e = pair.within("host", connect, "10.99.0.2", 99, 5)
    assert isinstance(e, ConnectionRefusedError), e
    for s in (mine, visitor, theirs, served, out.server, inside.server):
        s.close()


def test_replies_and_errors_are_no_attempts(pair, tracked):
    """Of UDP and ICMP nothing comes by; a reset is no attempt either."""
    d = pair.netd("host", **tracked)
    pair.serve("host", 81)
    for i in range(12):
        pair.at("net", "addr", "add", f"10.99.1.{100 + i}/32", "dev", "lo")

    def ask(source, port):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, 0))
            s.settimeout(3)
            s.connect(("10.99.0.1", port))
            s.send(b"x")
            try:
                return s.recv(9)
            except ConnectionRefusedError:
                return "unreachable"

    def refused(source):
        with socket.socket() as s:
            s.bind((source, 0))
            s.settimeout(3)
            with pytest.raises(ConnectionRefusedError):
                s.connect(("10.99.0.1", 4444))

    for i in range(12):
        source = f"10.99.1.{100 + i}"
        assert pair.within("net", ask, source, 81) == b"x"
        pair.within("net", refused, source)
    # The kernel has a limit on these.
    assert pair.within("net", ask, "10.99.1.100", 4444) == "unreachable"
    for i in range(12):
        assert pair.within("host", send_udp, NEW[i], 80, b"y", 3) == b"y"
    assert d.status()["packets"] == 0


@pytest.mark.parametrize("kind", ["ipset", "nft"])
def test_fast_path(pair, tracked, kind):
    reason = netlab.why_no_sets(kind)
    if reason:
        pytest.skip(f"netd: {reason}")
    d = pair.netd("host", fast_path='"1m"', fast_path_set=kind, **tracked)
    assert f"fast path by {kind}" in d.log()

    def come_by(times):
        """How many packets of so many connections to each the daemon saw."""
        before = d.status()["packets"]
        for a in ["10.99.3.1", "fd99::1:1"] * times:
            assert pair.within("host", connect, a) < 0.5
        return d.status()["packets"] - before

    assert come_by(1) == 2
    # A pair is in the set a moment after its packet has gone.
    until(lambda: come_by(1) == 0, "both in the set", 5)
    assert come_by(3) == 0
    assert d.status()["set_errors"] == 0
    assert tracks(pair) == (tracked["conntrack"] == "yes")
    d.ctl("freeze", "10.99.0.1")
    e = pair.within("host", connect, "10.99.3.1", 80, 0.7)
    assert isinstance(e, TimeoutError), e


def test_behind_extension_headers(pair, tracked):
    d = pair.netd("host", policy='interval = "1h"', **tracked)

    def connect_with_options(address):
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.settimeout(0.7)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS,
                         bytes([0, 7, 0x1e, 60]) + bytes(60))
            return s.connect_ex((address, 80))

    got = [pair.within("host", connect_with_options, f"fd99::1:{i}")
           for i in range(1, 7)]
    assert got[:5] == [0] * 5 and got[5] != 0, got
    assert len(d.ctl("queue", "fd99::1")) == 1


def test_auto_and_what_cannot_be(pair):
    """auto tracks where it must; no is refused there."""
    def rules(kind, policy="", **options):
        d = pair.netd("host", start=False, policy=policy, **options)
        return run(netlab.BUILD / "weir-netd", "--print-rules", kind, "-c",
                   d.config, check=False)

    for kind, asks in (("nft", r"\bct\b"), ("iptables", "conntrack")):
        for policy, options in (
                ("", {}), ("", {"protocols": '{"udp"}'}),
                ("", {**TCP, "where": "forward"}),
                ("", {**TCP, "where": "both"}), ("dns_known = true", TCP),
                ('inbound_known = "1h"', TCP), ("credit = beside", TCP)):
            p = rules(kind, policy, **options)
            assert p.returncode == 0 and re.search(asks, p.stdout)
            p = rules(kind, policy, conntrack="no", **options)
            assert p.returncode == 78 and "conntrack" in p.stderr
        for conntrack in ("auto", "no"):
            p = rules(kind, **TCP, conntrack=conntrack, fast_path='"5s"')
            assert p.returncode == 0 and not re.search(asks, p.stdout)
        assert re.search(asks, rules(kind, **TCP, conntrack="yes").stdout)
    # What the rules are made of is known to this kernel, the queue aside.
    text = rules("nft", policy="when_frozen = reject", **TCP,
                 fast_path='"5s"').stdout
    pair.execute("host", "nft", "-c", "-f", "-", text=re.sub(
        r"queue( flags bypass)? to \d+", "counter", text))
