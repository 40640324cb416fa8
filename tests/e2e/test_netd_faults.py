# SPDX-License-Identifier: BSD-3-Clause
"""weir-netd under what goes wrong: broken packets, floods, a queue that is
full, a daemon that stands still."""
import os
import signal
import socket
import struct
import time

import pytest

import netlab
from harness import until
from netlab import connect, send_udp

REASON = netlab.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"netd: {REASON}")


@pytest.fixture
def lab(tmp_path):
    made = netlab.Lab(tmp_path)
    made.counted_pair()
    yield made
    made.close()


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    n = sum(struct.unpack(f">{len(data) // 2}H", data))
    while n >> 16:
        n = (n & 0xffff) + (n >> 16)
    return ~n & 0xffff


def ipv4(source, dst, protocol, body, options=b"", ident=1, flags=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0,
                       20 + len(options) + len(body), ident, flags, 64,
                       protocol, 0, socket.inet_aton(source),
                       socket.inet_aton(dst)) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + body


def syn(port=80, seq=1, offset=5):
    return struct.pack(">HHIIBBHHH", 1234, port, seq, 0, offset << 4, 2, 1024,
                       0, 0)


def send_raw(packets):
    """Sends whole IPv4 packets from the namespace it runs in."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW,
                       socket.IPPROTO_RAW) as s:
        for dst, p in packets:
            try:
                s.sendto(p, (dst, 0))
            except OSError:
                pass  # what the kernel itself does not send


def still_works(lab, d, address="10.99.1.77"):
    assert d.process.poll() is None, d.log()
    assert lab.within("host", connect, address, 80, 5) < 3


def test_broken_packets(lab):
    d = lab.netd("host")
    bad = []
    for n in range(0, 20):
        bad.append(("10.99.1.1", ipv4("10.99.0.1", "10.99.1.1", 6, syn()[:n])))
        bad.append(("10.99.1.1", ipv4("10.99.0.1", "10.99.1.1", 17,
                                      b"\0" * n)))
    bad.append(("10.99.1.2", ipv4("10.99.0.1", "10.99.1.2", 6,
                                  syn(offset=3))))
    bad.append(("10.99.1.2", ipv4("10.99.0.1", "10.99.1.2", 6, syn(),
                                  options=b"\x01" * 40)))
    for i in range(50):
        bad.append(("10.99.1.3", ipv4("10.99.0.1", "10.99.1.3", 17,
                                      os.urandom(8), ident=i, flags=0x2000)))
        bad.append(("10.99.1.3", ipv4("10.99.0.1", "10.99.1.3", i,
                                      os.urandom(40))))
    lab.within("host", send_raw, bad)
    still_works(lab, d)


def test_ipv6_extension_headers(lab):
    """Destination options before the TCP header hide nothing."""
    d = lab.netd("host", policy='interval = "1h"')

    def connect_with_options(address, length):
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as s:
            s.settimeout(0.7)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS,
                         bytes([0, length // 8 - 1, 0x1e, length - 4]) +
                         bytes(length - 4))
            return s.connect_ex((address, 80))

    got = [lab.within("host", connect_with_options, f"fd99::1:{i}", 64)
           for i in range(1, 7)]
    assert got[:5] == [0] * 5 and got[5] != 0, got
    rows = d.ctl("queue", "fd99::1")
    assert rows[0]["recipients"][0]["address"] == "[fd99::1:6]:80"
    # So many that the TCP header is not among the first 256 bytes.
    assert lab.within("host", connect_with_options, "fd99::1:9", 248) != 0
    assert d.status()["malformed_packets"] >= 1
    still_works(lab, d)


def test_fragments(lab):
    """The kernel puts them together before the queue: one request each."""
    d = lab.netd("host")
    big = b"x" * 4000
    for i in range(5):
        assert lab.within("host", send_udp, f"10.99.1.{i + 1}", 80, big,
                          3) == big
    assert lab.within("host", send_udp, "fd99::1:1", 80, big, 3) == big
    # The kernel defragments once conntrack looks: whole packets are counted.
    assert d.status()["packets"] == 6


def test_flood_of_made_up_sources(lab):
    d = lab.netd("host", hosts_max="200", held_max="300")
    lab.at("net", "route", "add", "blackhole", "10.99.64.0/18")
    packets = []
    for i in range(6000):
        source = f"10.99.{100 + i // 250}.{i % 250 + 1}"
        dst = f"10.99.1.{i % 250 + 1}"
        packets.append((dst, ipv4(source, dst, 6, syn(seq=i))))
    lab.within("host", send_raw, packets)
    until(lambda: d.status()["packets"] >= 5000, "the flood", 10)
    s = d.status()
    assert s["senders"] <= 201 and s["held_messages"] <= 300
    assert s["crowded_packets"] > 3000
    assert s["memory_bytes"] < 4 << 20
    rss = int(open(f"/proc/{d.process.pid}/statm").read().split()[1]) * 4096
    assert rss < 100 << 20
    d.ctl("discard", "--all")
    assert d.process.poll() is None


@pytest.mark.parametrize("fail,out", [("open", True), ("closed", False)])
def test_queue_overflow(lab, fail, out):
    """A daemon that stands still: the queue fills, then what is over passes, or
    does not."""
    d = lab.netd("host", fail=fail, queue_length="64", held_max="32")
    lab.within("host", connect, "10.99.1.1")
    before = lab.arrived("net", "udp")
    d.process.send_signal(signal.SIGSTOP)
    try:
        for i in range(200):
            lab.within("host", send_udp, f"10.99.1.{i + 1}")
        time.sleep(0.2)
        got = lab.arrived("net", "udp") - before
    finally:
        d.process.send_signal(signal.SIGCONT)
    assert (got >= 130) if out else (got == 0), got
    until(lambda: d.status()["queue"]["packets"] >= 60, "the rest", 5)
    assert d.process.poll() is None


def test_overrun_of_the_socket(lab):
    """More than the netlink socket holds: nothing hangs, later packets pass."""
    d = lab.netd("host", policy="exempt = true")
    d.process.send_signal(signal.SIGSTOP)
    try:
        lab.worm("host", "udp", 40000, "10.99.1.0/24", seconds=1).wait()
    finally:
        d.process.send_signal(signal.SIGCONT)
    until(lambda: lab.within("host", send_udp, "10.99.1.9", 80, b"y", 1),
          "an answer", 10)
    s = d.status()["queue"]
    print(f"\npackets {s['packets']}, overruns {s['overruns']}, "
          f"verdicts {s['verdicts']}, batches {s['batches']}")
    assert s["verdicts"] == s["packets"]
    still_works(lab, d)


def test_wall_clock_and_reload_with_packets_waiting(lab):
    d = lab.netd("host", policy='interval = "2s"')
    for i in range(5):
        lab.within("host", connect, f"10.99.3.{i + 1}")
    p = lab.popen("host", "curl", "-s", "-o", "/dev/null", "-m", "9", "-w",
                  "%{time_connect}", "http://10.99.1.1/", stdout=-1)
    until(lambda: d.ctl("queue"), "a packet that waits")
    d.ctl("reload")
    d.policy = 'interval = "1s"\nworking_set = 3'
    d.write_config()
    d.ctl("reload")
    assert len(d.ctl("queue")) == 1
    assert 0.2 < float(p.communicate()[0]) < 5


def test_queue_taken_and_no_rights(lab):
    import subprocess
    d = lab.netd("host")
    other = lab.netd("host", start=False)
    p = subprocess.run(
        ["ip", "netns", "exec", lab.prefix + "host",
         netlab.BUILD / "weir-netd", "-c", other.config], text=True,
        capture_output=True, timeout=10)
    assert p.returncode == 69 and "queue 0" in p.stderr, p.stderr
    still_works(lab, d)


def ours(lab):
    """Our rules in the kernel."""
    return [line for tool in ("iptables-save", "ip6tables-save")
            for line in lab.execute("host", tool).stdout.splitlines()
            if "WEIR" in line or "NFQUEUE" in line]


@pytest.mark.parametrize("signo,fail", [(signal.SIGKILL, "open"),
                                        (signal.SIGTERM, "closed")])
def test_end_while_the_rules_are_made(lab, tmp_path, signo, fail):
    """Whoever dies or is told to end in the middle leaves none behind."""
    made, go = tmp_path / "made", tmp_path / "go"
    tools = tmp_path / "tools"
    tools.mkdir()
    slow = tools / "iptables-restore"
    slow.write_text(f"#!/bin/sh\nPATH={os.environ['PATH']}\ntouch {made}\n"
                    f"until [ -e {go} ]; do sleep 0.02; done\n"
                    'exec iptables-restore "$@"\n')
    slow.chmod(0o755)
    d = lab.netd("host", start=False, fail=fail, rules_kind="iptables")
    p = lab.popen("host", "env", f"PATH={tools}:{os.environ['PATH']}",
                  netlab.BUILD / "weir-netd", "--install-rules", "-c",
                  d.config)
    until(made.exists, "the rules' program")
    p.send_signal(signo)
    if signo == signal.SIGKILL:
        assert p.wait(10) == -signal.SIGKILL
    go.touch()
    if signo == signal.SIGTERM:
        assert p.wait(20) == 0
    until(lambda: ours(lab) == [], "the keeper's end", 20)
    assert lab.within("host", connect, "10.99.1.1") < 0.5


def test_start_in_a_flood(lab):
    """With rules that stand already no packet of the first moment is lost, and
    left in the queue for ever."""
    d = lab.netd("host", rules=False, policy="exempt = true", fail="closed")
    lab.execute("host", "sh", "-e", text=netlab.run(
        netlab.BUILD / "weir-netd", "--print-rules", "iptables", "-c",
        d.config).stdout)

    def waiting():
        text = lab.execute("host", "cat",
                           "/proc/net/netfilter/nfnetlink_queue").stdout
        return int(text.split()[2])

    for _ in range(2):
        assert d.stop() == 0
        w = lab.worm("host", "udp", 5000, "10.99.1.0/24", seconds=30)
        assert w.stdout.readline()
        try:
            d.start()
            until(lambda: d.status()["packets"] > 0, "packets")
        finally:
            w.kill()
            w.wait()
        until(lambda: d.status()["queue"]["verdicts"] ==
              d.status()["queue"]["packets"], "verdicts")
        assert waiting() == 0
        assert d.status()["queue"]["errors"] == 0
