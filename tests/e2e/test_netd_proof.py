# SPDX-License-Identifier: BSD-3-Clause
"""Nobody is frozen by packets that another sent in his name; what is forged is
stopped all the same. Decoys. The lock of the rules, and what a killed keeper
leaves."""
import os
import shutil
import signal
import socket
import struct
import time

import pytest

import netlab
from harness import until
from netlab import connect, run, send_udp
from test_netd_faults import ipv4, send_raw, syn

REASON = netlab.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"netd: {REASON}")


@pytest.fixture
def lab(tmp_path):
    made = netlab.Lab(tmp_path)
    yield made
    made.close()


def gateway(lab):
    """h1 and h2 on the gateway's bridge, r behind h2, and the net."""
    for name in ("gw", "net", "h1", "h2", "r"):
        lab.space(name)
    lab.at("gw", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
    lab.at("gw", "link", "set", "dev", "br0", "up")
    lab.at("gw", "addr", "add", "10.99.10.254/24", "dev", "br0")
    lab.link("gw", "eth0", "net", "net0")
    lab.at("gw", "addr", "add", "10.99.0.1/24", "dev", "eth0")
    lab.at("net", "addr", "add", "10.99.0.2/24", "dev", "net0")
    for third in (10, 11):
        lab.at("net", "route", "add", f"10.99.{third}.0/24", "via",
               "10.99.0.1")
    for third in (1, 2, 3):
        lab.at("net", "route", "add", "local", f"10.99.{third}.0/24", "dev",
               "lo")
        lab.at("gw", "route", "add", f"10.99.{third}.0/24", "via",
               "10.99.0.2")
    for i in (1, 2):
        lab.link(f"h{i}", "eth0", "gw", f"p{i}")
        lab.at("gw", "link", "set", "dev", f"p{i}", "master", "br0")
        lab.at(f"h{i}", "addr", "add", f"10.99.10.{i}/24", "dev", "eth0")
        lab.at(f"h{i}", "route", "add", "default", "via", "10.99.10.254")
    lab.link("h2", "in0", "r", "eth0")
    lab.at("h2", "addr", "add", "10.99.11.254/24", "dev", "in0")
    lab.at("r", "addr", "add", "10.99.11.1/24", "dev", "eth0")
    lab.at("r", "route", "add", "default", "via", "10.99.11.254")
    lab.at("gw", "route", "add", "10.99.11.0/24", "via", "10.99.10.2")
    for name in ("gw", "h2"):
        lab.execute(name, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    lab.serve("net")
    lab.count_new("net")


def forge(lab, space, source, n, protocol=socket.IPPROTO_TCP, net="10.99.1"):
    body = struct.pack(">HHHH", 9, 80, 8, 0)
    lab.within(space, send_raw, [
        (f"{net}.{i + 1}", ipv4(source, f"{net}.{i + 1}", protocol,
                                syn(seq=i) if protocol == 6 else body))
        for i in range(n)])


def queued(d, n):
    until(lambda: d.status()["packets"] >= n, "the packets", 10)


@pytest.mark.parametrize("victim", ["10.99.10.2", "10.99.10.77"])
def test_forged_source(lab, victim):
    """A neighbour, or an address that nobody has: not frozen, paced, and what
    is over is dropped; the neighbour itself notices nothing."""
    gateway(lab)
    d = lab.netd("gw", where="forward")
    assert lab.within("h2", connect, "10.99.2.1") < 1
    before = lab.arrived("net")
    forge(lab, "h1", victim, 180)
    queued(d, 181)
    assert not d.frozen(victim)
    assert d.status()["unproven_dropped"] > 50
    assert [e["sender"] for e in d.events() if e["type"] == "spare"] == [victim]
    assert d.sender(victim)["proven"] == (victim == "10.99.10.2")
    for i in range(4):
        assert lab.within("h2", connect, f"10.99.2.{i + 2}") < 1
    assert lab.arrived("net") - before < 30
    # The one who forged scans in his own name.
    lab.worm("h1", rate=100, net="10.99.3.0/24", seconds=1.5).wait()
    assert d.frozen("10.99.10.1") and not d.frozen(victim)


def test_worm_that_nobody_answers(lab):
    """The gateway has nothing on a host that it never had to answer: it asks
    for its address, and then the host is proven."""
    gateway(lab)
    d = lab.netd("gw", where="forward")
    lab.at("h1", "neigh", "replace", "10.99.10.254", "lladdr",
           lab.execute("gw", "cat", "/sys/class/net/br0/address").stdout.strip(),
           "dev", "eth0")
    lab.at("gw", "neigh", "flush", "dev", "br0")
    assert "10.99.10.1 " not in lab.at("gw", "neigh").stdout
    before = lab.arrived("net", "udp")
    forge(lab, "h1", "10.99.10.1", 250, socket.IPPROTO_UDP)
    until(lambda: d.frozen("10.99.10.1"), "a freeze", 10)
    assert lab.arrived("net", "udp") - before < 15


@pytest.mark.parametrize("frozen", [False, True])
def test_host_behind_a_router(lab, frozen):
    """Nobody can prove it: paced, the rest dropped; frozen where source
    addresses are filtered."""
    gateway(lab)
    d = lab.netd("gw", where="forward",
                 freeze_unproven="true" if frozen else None)
    assert lab.within("r", connect, "10.99.2.1") < 1
    before = lab.arrived("net", "udp"), lab.arrived("net")
    lab.worm("r", "udp", rate=100, net="10.99.1.0/24", seconds=2.5).wait()
    lab.worm("r", rate=100, net="10.99.1.0/24", seconds=1).wait()
    assert d.frozen("10.99.11.1") == frozen
    assert d.frozen("10.99.10.2") is False
    assert lab.arrived("net", "udp") - before[0] < 20
    assert lab.arrived("net") - before[1] < 20
    if not frozen:
        assert d.sender("10.99.11.1")["waiting_unproven"] > 100
        assert d.status()["unproven_dropped"] > 50


def test_decoys(lab, tmp_path):
    entries = tmp_path / "decoys"
    entries.write_text("# nobody lives here\n10.99.3.0/25\n")
    gateway(lab)
    d = lab.netd("gw", where="forward",
                 decoys=f'{{"file:{entries}", "10.99.1.7"}}')
    forge(lab, "h1", "10.99.10.2", 3, net="10.99.3")
    queued(d, 3)
    assert not d.frozen("10.99.10.2")
    told = [e for e in d.events() if e["type"] == "decoy"]
    assert [e["sender"] for e in told] == ["10.99.10.2"]
    assert "10.99.3.1" in told[0]["detail"]
    assert lab.within("h2", connect, "10.99.2.1") < 1
    lab.within("h2", send_udp, "10.99.1.7", 53)
    until(lambda: d.frozen("10.99.10.2"), "a freeze", 5)
    assert d.sender("10.99.10.2")["freeze_reason"] == "decoy"
    assert "decoy=10.99.1.7" in d.log()
    d.ctl("thaw", "10.99.10.2")
    assert lab.within("h2", connect, "10.99.2.2") < 1
    # A file with a bad line keeps what was there.
    entries.write_text("10.99.3.0/25\nx\n")
    with pytest.raises(netlab.CtlError) as e:
        d.ctl("reload")
    assert f"{entries}:2" in str(e.value)


# ---- a host with containers ----


def test_containers(lab):
    """where = both: what the host forwards and masquerades is each container's
    own, and who came to a published port is known to the one behind it."""
    gateway(lab)
    lab.serve("h2", 8080)
    for rule in (["POSTROUTING", "-o", "eth0", "-j", "MASQUERADE"],
                 ["PREROUTING", "-i", "eth0", "-p", "tcp", "--dport", "8080",
                  "-j", "DNAT", "--to-destination", "10.99.10.2"]):
        lab.execute("gw", "iptables", "-t", "nat", "-A", *rule)
    d = lab.netd("gw", where="both", policy='interval = "1h"',
                 sections='policy "containers" { match = {"10.99.10.0/24"}\n'
                 'interval = "1h"\ninbound_known = "1h" }')
    for space in ("gw", "h1", "h2"):
        for i in range(1, 6):
            assert lab.within(space, connect, f"10.99.1.{i}") < 1
    assert lab.within("net", connect, "10.99.0.1", 8080) < 1
    assert lab.within("h2", connect, "10.99.0.2") < 1
    assert isinstance(lab.within("h1", connect, "10.99.0.2", 80, 0.5), OSError)
    assert {s["sender"] for s in d.ctl("senders")} >= {
        "10.99.0.1", "10.99.10.1", "10.99.10.2"}
    d.ctl("freeze", "10.99.10.1")
    assert isinstance(lab.within("h1", connect, "10.99.1.1", 80, 0.5), OSError)
    assert lab.within("h2", connect, "10.99.1.1") < 1
    assert lab.within("gw", connect, "10.99.1.1") < 1


# ---- the lock ----


def ours(lab):
    return [line for tool in ("iptables-save", "ip6tables-save")
            for line in lab.execute("host", tool).stdout.splitlines()
            if "WEIR" in line]


def children(pid):
    return [int(p) for p in
            open(f"/proc/{pid}/task/{pid}/children").read().split()]


def remove_rules(lab, d):
    return lab.execute("host", netlab.BUILD / "weir-netd", "--remove-rules",
                       "-c", d.config, check=False)


def kill_all(d):
    """The daemon, the keeper and the one that stands by."""
    keepers = children(d.process.pid)
    for pid in keepers + [p for k in keepers for p in children(k)]:
        os.kill(pid, signal.SIGSTOP)
        keepers.append(pid)
    for pid in set(keepers):
        os.kill(pid, signal.SIGKILL)
    d.kill()


def test_killed_with_its_keeper(lab):
    """What is left then goes at the next start, or by --remove-rules, which
    does nothing while a daemon is there."""
    lab.pair()
    lab.serve("net")
    d = lab.netd("host", fail="closed")
    p = remove_rules(lab, d)
    assert p.returncode == 69 and "another weir-netd" in p.stderr
    old = ours(lab)
    kill_all(d)
    time.sleep(0.3)
    assert ours(lab) == old
    d.options["interfaces"] = None
    d.start()
    assert ours(lab) and not any("eth0" in r for r in ours(lab))
    kill_all(d)
    assert ours(lab)
    d.config.write_text("nonsense")
    p = remove_rules(lab, d)
    assert p.returncode == 0 and p.stdout == "", p.stderr
    assert ours(lab) == []
    assert lab.within("host", connect, "10.99.1.1") < 1
    assert remove_rules(lab, d).returncode == 0  # nothing there
    d.start()


def test_nobody_can_take_the_lock(lab):
    """Neither by a name that any user can have, nor by a file of his."""
    lab.pair()

    def take():
        s = socket.socket(socket.AF_UNIX)
        s.bind("\0weir-netd/keeper")
        return s

    taken = lab.within("host", take)
    d = lab.netd("host")
    taken.close()
    assert ours(lab)
    assert d.stop() == 0


# ---- the keeper ----


def rules_event(d, text):
    until(lambda: any(e["type"] == "rules" and text in e["detail"]
                      for e in d.events()), text, 15)


@pytest.mark.parametrize("how", [
    ["iptables", "-t", "mangle", "-F"],
    ["iptables", "-t", "security", "-F", "WEIR-OUT"],
    ["ip6tables", "-t", "security", "-D", "OUTPUT", "1"],
    ["nft", "flush", "ruleset"],
])
def test_rules_that_another_took_away(lab, how):
    lab.pair()
    lab.serve("net")
    d = lab.netd("host", fail="closed", fast_path='"10s"',
                 before_filter="true" if "mangle" in how else None)
    old = ours(lab)
    # What is none of ours is nobody's business.
    lab.execute("host", "iptables", "-t", "mangle", "-A", "OUTPUT", "-j",
                "MARK", "--set-mark", "1")
    time.sleep(1.5)
    assert d.status()["rules_restored"] == 0
    lab.execute("host", *how)
    assert ours(lab) != old
    until(lambda: d.status()["rules_restored"] == 1, "the rules", 15)
    assert ours(lab) == old
    rules_event(d, "; restored")
    assert " warning netd rules_restored " in d.log()
    for i in range(1, 8):
        assert lab.within("host", connect, f"10.99.1.{i}") < 4
    assert d.status()["delayed_recipients"] > 0
    assert d.stop() == 0
    assert ours(lab) == []


def test_rules_watch_off(lab):
    lab.pair()
    d = lab.netd("host", rules_watch='"0"')
    lab.execute("host", "iptables", "-t", "security", "-F")
    time.sleep(2)
    assert d.status()["rules_restored"] == 0


@pytest.mark.parametrize("fail", ["open", "closed"])
def test_killed_keeper(lab, fail):
    """Another takes its place, as often as it is killed; a clean end stays
    clean, and a killed daemon's rules are treated as fail says."""
    lab.pair()
    lab.serve("net")
    d = lab.netd("host", fail=fail)
    first = children(d.process.pid)[0]
    standby = children(first)
    assert len(standby) == 1
    os.kill(standby[0], signal.SIGKILL)
    until(lambda: children(first) not in ([], standby), "a stand-by", 10)
    keeper = children(first)[0]
    os.kill(first, signal.SIGKILL)
    rules_event(d, "was killed")
    until(lambda: children(keeper), "a stand-by", 10)
    # It watches as the first did.
    lab.execute("host", "iptables", "-t", "security", "-F")
    until(lambda: d.status()["rules_restored"] == 1, "the rules", 15)
    assert d.stop() == 0
    assert ours(lab) == []
    assert lab.within("host", connect, "10.99.1.1") < 1
    d.start()
    first = children(d.process.pid)[0]
    keeper = children(first)[0]
    os.kill(first, signal.SIGKILL)
    until(lambda: children(keeper), "a stand-by", 10)
    d.kill()
    if fail == "open":
        until(lambda: ours(lab) == [], "no rules", 10)
    else:
        until(lambda: not os.path.exists(f"/proc/{keeper}"), "the end", 10)
        assert ours(lab)


def test_both_keepers_killed(lab):
    lab.pair()
    d = lab.netd("host")
    first = children(d.process.pid)[0]
    keeper = children(first)[0]
    for pid in (first, keeper):
        os.kill(pid, signal.SIGSTOP)
    for pid in (keeper, first):
        os.kill(pid, signal.SIGKILL)
    rules_event(d, "both keepers were killed")
    assert "both keepers were killed" in d.status()["rules"]
    assert d.stop() == 0
    assert "--remove-rules" in d.log()
    assert ours(lab)
    assert remove_rules(lab, d).returncode == 0
    assert ours(lab) == []


def test_rules_of_the_other_iptables(lab):
    """What a daemon left when iptables was iptables-legacy goes when it is
    iptables-nft."""
    if not shutil.which("iptables-legacy"):
        pytest.skip("netd: iptables-legacy is not installed")
    lab.pair()
    tools = lab.dir / "tools"
    tools.mkdir()
    for name in ("iptables", "ip6tables"):
        for what in ("", "-save", "-restore"):
            os.symlink("/usr/sbin/xtables-legacy-multi",
                       tools / (name + what))
    d = lab.netd("host", start=False, rules_kind="iptables")
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{tools}:{path}"
    try:
        d.start()
    finally:
        os.environ["PATH"] = path

    def legacy():
        return lab.execute("host", "iptables-legacy-save").stdout.count("WEIR")

    assert legacy() > 0 and ours(lab) == []
    kill_all(d)
    d.start()
    assert legacy() == 0 and ours(lab) != []
