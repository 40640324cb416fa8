# SPDX-License-Identifier: BSD-3-Clause
"""weir-netd's refinements, each against traffic in namespaces."""
import signal
import stat
import time

import pytest

import netlab
from harness import until
from netlab import connect, resolve, send_udp

REASON = netlab.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"netd: {REASON}")
NEVER = 'interval = "1h"\n'  # once the working set is full nothing new passes


@pytest.fixture
def lab(tmp_path):
    made = netlab.Lab(tmp_path)
    made.counted_pair()
    yield made
    made.close()


def fill(lab, contact=connect):
    for i in range(5):
        lab.within("host", contact, f"10.99.3.{i + 1}")


def passes(lab, address, timeout=0.7):
    return not isinstance(
        lab.within("host", connect, address, 80, timeout), OSError)


DNS = {"pass": '{"10.99.0.2"}', "dns_servers": '{"10.99.0.2"}'}


def dig(lab, *argv):
    """What the real one prints; asks until the server is there."""
    def ask():
        p = lab.execute("host", "dig", "@10.99.0.2", "+short", "+tries=1",
                        "+time=1", *argv, check=False)
        return p.returncode == 0 and set(p.stdout.split())

    return until(ask, f"an answer to {argv}")


def test_what_dns_named_is_not_new(lab):
    lab.popen("net", "/usr/bin/python3", netlab.HERE / "netdns.py")
    d = lab.netd("host", policy=NEVER + "dns_known = true", **DNS)
    fill(lab)
    for i in range(1, 6):
        lab.within("host", connect, f"fd99::1:{200 + i}")
    assert not passes(lab, "10.99.2.7")
    assert dig(lab, "n8.test") == {"real8.test.", "10.99.2.8"}
    assert passes(lab, "10.99.2.8")       # an alias, then A
    assert "10.99.2.10" in dig(lab, "swap10.test")
    assert passes(lab, "10.99.2.10")      # or the other way round
    assert not passes(lab, "fd99::1:8")
    assert dig(lab, "n8.test", "AAAA") == {"real8.test.", "fd99::1:8"}
    assert passes(lab, "fd99::1:8")       # and AAAA, asked for over IPv4
    assert lab.within("host", resolve, "10.99.0.2", "lie9.test")
    assert not passes(lab, "10.99.2.9")   # not the name that was asked for
    assert lab.within("host", resolve, "10.99.0.2", "short11.test")
    assert passes(lab, "10.99.2.11")
    # Over TCP: asked for, and after an answer that was too long for UDP.
    assert "10.99.2.13" in dig(lab, "+tcp", "n13.test")
    assert passes(lab, "10.99.2.13")
    assert "10.99.2.14" in dig(lab, "big14.test")
    assert passes(lab, "10.99.2.14")
    time.sleep(6.5)
    assert not passes(lab, "10.99.2.11")  # its TTL is over
    assert passes(lab, "10.99.2.8")
    assert d.status()["dns_answers"] >= 6


def test_answers_nobody_asked_for(lab):
    """From port 53, but no answer: where contacts are known too, it is one."""
    d = lab.netd("host", policy=NEVER + "dns_known = true\n"
                 'inbound_known = "1h"', **DNS)
    fill(lab)

    def send_answer():
        import socket
        query = b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0\1a\0\0\1\0\1"
        record = b"\xc0\x0c\0\1\0\1\0\0\1\0\0\4\x0a\x63\2\x15"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("10.99.0.2", 53))
            s.sendto(query + record, ("10.99.0.1", 4000))

    lab.within("net", send_answer)
    until(lambda: d.status()["inbound_contacts"] == 1, "the contact")
    assert d.status()["dns_answers"] == 0
    assert not passes(lab, "10.99.2.21")


def test_a_resolver_asks_for_all(lab):
    lab.popen("net", "/usr/bin/python3", netlab.HERE / "netdns.py")
    lab.at("host", "addr", "add", "10.99.0.9/16", "dev", "eth0")
    d = lab.netd("host", policy=NEVER + "dns_known = true",
                 dns_resolvers='{"10.99.0.9"}',
                 **{**DNS, "dns_servers": '{"10.99.0.9"}'})
    fill(lab)
    assert not passes(lab, "10.99.2.31")
    assert dig(lab, "-b", "10.99.0.9", "n32.test")
    assert passes(lab, "10.99.2.32")
    assert dig(lab, "n33.test")  # a server that counts for nobody else
    assert not passes(lab, "10.99.2.33")
    assert d.status()["dns_answers"] == 1


def test_those_without_dns_have_a_limit_of_their_own(lab):
    d = lab.netd("host", policy="profile = window\ndns_known = true\n"
                 'no_dns_limit = "6/1m"', **{"pass": '{"10.99.0.2"}'})
    got = [passes(lab, f"10.99.1.{i}", 0.3) for i in range(1, 9)]
    assert got == [True] * 6 + [False] * 2
    assert d.sender()["queue_length"] == 2


def test_who_came_first_is_not_new(lab):
    d = lab.netd("host", policy=NEVER + 'inbound_known = "1h"')
    fill(lab)
    lab.serve("host", 81)
    lab.at("net", "addr", "add", "10.99.1.50/32", "dev", "lo")

    def visit():
        import socket
        with socket.socket() as s:
            s.bind(("10.99.1.50", 0))
            s.settimeout(2)
            s.connect(("10.99.0.1", 81))

    assert not passes(lab, "10.99.1.50")
    lab.within("net", visit)
    assert passes(lab, "10.99.1.50")
    assert not passes(lab, "10.99.1.51")
    assert d.status()["inbound_contacts"] == 1


def test_hybrid_windows(lab):
    lab.netd("host", policy="profile = window\n"
             'limit = {"4/1s", "6/1m"}')
    got = [passes(lab, f"10.99.1.{i}", 0.15) for i in range(1, 6)]
    assert got == [True] * 4 + [False]
    time.sleep(1.1)  # the fifth went meanwhile
    assert passes(lab, "10.99.1.6", 0.3)
    time.sleep(1.1)
    assert not passes(lab, "10.99.1.7", 1.5)  # the long window is full


def test_aggregate_limit(lab):
    """Two hosts that each stay below their own limit are held together."""
    lab.at("host", "addr", "add", "10.99.0.3/16", "dev", "eth0")
    d = lab.netd("host", aggregate_limit='{"6/1m"}')

    def from_address(source, dst):
        import socket
        with socket.socket() as s:
            s.bind((source, 0))
            s.settimeout(0.3)
            try:
                s.connect((dst, 80))
            except OSError:
                return False
            return True

    got = [lab.within("host", from_address, source, f"10.99.1.{i}")
           for i in (1, 2, 3, 4) for source in ("10.99.0.1", "10.99.0.3")]
    assert got == [True] * 6 + [False] * 2
    assert {r["recipients"][0]["state"] for r in d.ctl("queue")} == \
        {"aggregate"}
    # Known destinations are not counted.
    assert lab.within("host", from_address, "10.99.0.1", "10.99.1.1")
    assert d.ctl("release", "--all") == {"recipients": 2}


def test_classes_of_hosts(lab):
    lab.at("host", "addr", "add", "10.99.0.9/16", "dev", "eth0")
    d = lab.netd("host", policy=NEVER, sections="""
policy "server" { match = {"10.99.0.8/29"}  working_set = 50 }
""")

    def many(source, n):
        import socket
        done = 0
        for i in range(n):
            with socket.socket() as s:
                s.bind((source, 0))
                s.settimeout(0.3)
                done += s.connect_ex((f"10.99.1.{i + 1}", 80)) == 0
        return done

    assert lab.within("host", many, "10.99.0.9", 20) == 20
    assert lab.within("host", many, "10.99.0.1", 7) == 5
    assert d.sender("10.99.0.9")["policy"] == "server"
    assert d.sender("10.99.0.1")["policy"] == "default"


def test_credit_alone(lab):
    """Who succeeds goes on for ever, who fails runs dry."""
    d = lab.netd("host", policy="credit = alone")
    for i in range(1, 41):
        assert lab.within("host", connect, f"10.99.1.{i}") < 0.5, i
    assert d.status()["successes"] >= 40
    assert d.sender()["credit"] >= 10
    # A port where nobody listens: RST is no success.
    w = lab.worm("host", rate=200, net="10.99.2.0/24", port=4444, seconds=1.2)
    before = lab.arrived("net")
    w.wait()
    assert lab.arrived("net") - before < 60
    until(d.frozen, "a freeze", 3)
    assert d.status()["failures"] >= 8


def test_credit_beside(lab):
    d = lab.netd("host", policy=NEVER + "credit = beside")
    fill(lab)
    assert not passes(lab, "10.99.1.1")
    assert d.ctl("queue")[0]["recipients"][0]["state"] == "throttle"


def test_never_block(lab):
    d = lab.netd("host", never_block='{"10.99.0.1"}')
    lab.worm("host", rate=400, net="10.99.1.0/24", seconds=0.6).wait()
    s = d.status()
    assert not d.frozen() and s["freezes"] == 0
    assert s["spared_freezes"] > 50 and s["held_messages"] == 100
    assert d.log().count("netgate spare ") == 1
    d.ctl("freeze", "10.99.0.1")  # a person may
    assert d.frozen()


def test_allowed_destinations(lab):
    d = lab.netd("host", policy='allow = {"tcp 10.99.1.0/28 80", '
                 '"udp any 53-80"}')
    assert passes(lab, "10.99.1.3")
    assert not passes(lab, "10.99.1.16")
    assert lab.within("host", send_udp, "10.99.1.99", 80, b"x", 1) == b"x"
    assert d.status()["disallowed_packets"] >= 1


def test_exempt_and_pass(lab):
    d = lab.netd("host", policy="exempt = true",
                 **{"pass": '{"10.99.2.0/24"}'})
    for i in range(1, 21):
        assert passes(lab, f"10.99.1.{i}")
    before = d.status()["packets"]
    assert passes(lab, "10.99.2.1")
    assert d.status()["packets"] == before


def test_hook_and_set(lab, tmp_path):
    lab.execute("host", "nft", "add table inet site; add set inet site "
                "blocked { type ipv4_addr; }", check=True)
    told = tmp_path / "told"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\nenv | grep ^WEIR_ | sort >{told}.new && "
                    f"mv {told}.new {told}\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    d = lab.netd("host", freeze_command=f'"{hook}"',
                 freeze_set4='"inet site blocked"')
    lab.worm("host", rate=400, net="10.99.1.0/24", seconds=0.4).wait()
    until(told.exists, "the hook")
    text = told.read_text()
    assert "WEIR_SENDER=10.99.0.1\n" in text
    assert "WEIR_REASON=queue length\n" in text
    assert "WEIR_QUEUE_LENGTH=100\n" in text

    def blocked():
        return "10.99.0.1" in lab.execute(
            "host", "nft", "list", "set", "inet", "site", "blocked").stdout

    until(blocked, "the set")
    d.stop()
    d.start()  # it stands there still
    assert blocked() and d.frozen()
    d.ctl("thaw", "10.99.0.1")
    until(lambda: not blocked(), "the set's end")
    assert d.status()["set_errors"] <= 1  # it was there at the second start


def test_set_though_the_fast_path_is_full(lab):
    """One turn of the daemon brings both: the one that fails does not undo the
    other."""
    reason = netlab.why_no_sets("nft")
    if reason:
        pytest.skip(f"netd: {reason}")
    lab.execute("host", "nft", "add table inet site; add set inet site "
                "blocked { type ipv4_addr; }")
    lab.at("host", "addr", "add", "10.99.0.3/16", "dev", "eth0")

    def send_from(source, dst):
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((source, 0))
            s.sendto(b"x", (dst, 80))

    d = lab.netd("host", fast_path='"1h"', fast_path_set="nft",
                 freeze_set4='"inet site blocked"')
    elements = ", ".join(f"192.0.2.1 . 10.{i >> 8}.{i & 255}.1"
                         for i in range(65536))
    lab.execute("host", "nft", "-f", "-", text="add element inet weir known4 "
                f"{{ {elements} }}\n")
    d.process.send_signal(signal.SIGSTOP)
    lab.worm("host", "udp", 4000, "10.99.1.0/24", seconds=0.06).wait()
    lab.within("host", send_from, "10.99.0.3", "10.99.1.1")
    d.process.send_signal(signal.SIGCONT)
    until(d.frozen, "a freeze", 5)
    assert d.status()["set_errors"] > 0, "the fast path is full"
    until(lambda: "10.99.0.1" in lab.execute(
        "host", "nft", "list", "set", "inet", "site", "blocked").stdout,
        "the set", 5)
