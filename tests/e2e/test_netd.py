# SPDX-License-Identifier: BSD-3-Clause
"""weir-netd on a host: what passes, what waits, what is frozen, and what is left
when it stops."""
import re
import shutil
import signal
import socket
import time

import pytest

import netlab
from harness import CtlError, until
from netlab import connect, run, send_udp

REASON = netlab.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"netd: {REASON}")
NEW = [f"10.99.1.{i}" for i in range(1, 255)]


@pytest.fixture
def lab(tmp_path):
    made = netlab.Lab(tmp_path)
    yield made
    made.close()


@pytest.fixture
def pair(lab):
    lab.counted_pair()
    return lab


def fill(lab, n=5, start=200):
    """Fills the working set."""
    for i in range(n):
        assert lab.within("host", connect, f"10.99.3.{start + i}") < 0.5


def freeze(lab, rate=400, seconds=0.5):
    w = lab.worm("host", rate=rate, net="10.99.2.0/24", seconds=seconds)
    w.wait()


def test_five_pass_the_sixth_waits(pair):
    d = pair.netd("host")
    took = [pair.within("host", connect, a) for a in NEW[:6]]
    assert max(took[:5]) < 0.3, took
    assert 0.3 < took[5] < 1.5, took
    assert pair.within("host", connect, NEW[5]) < 0.3  # known now
    s = d.status()
    assert (s["passed_recipients"], s["delayed_recipients"],
            s["released_recipients"], s["passed_known"]) == (6, 1, 1, 1)
    assert pair.arrived("net") == 7
    assert d.sender()["working_set"] == 5


def test_all_of_a_destination_go_together(pair):
    pair.netd("host", policy='interval = "2s"')
    fill(pair)
    p = [pair.popen("host", "curl", "-s", "-o", "/dev/null", "-m", "8",
                    "http://10.99.1.1/") for _ in range(4)]
    for q in p:
        q.wait()
    assert pair.arrived("net") == 5 + 4


def test_ipv6_and_udp(pair):
    d = pair.netd("host")
    took = [pair.within("host", connect, f"fd99::1:{i}") for i in range(1, 7)]
    assert max(took[:5]) < 0.3 < took[5] < 1.5, took
    begin = time.monotonic()
    for a in NEW[:6]:
        assert pair.within("host", send_udp, a, 80, b"x", 5) == b"x"
    assert 0.3 < time.monotonic() - begin < 1.9
    assert d.sender("fd99::1")["working_set"] >= 4
    # Known: many packets pass, none waits.
    for _ in range(20):
        pair.within("host", send_udp, NEW[5])
    until(lambda: pair.arrived("net", "udp") == 26, "all packets", 3)


def test_a_udp_stream_is_one_request(pair):
    d = pair.netd("host")
    for a in NEW[:5]:
        assert pair.within("host", send_udp, a, 80, b"x", 5) == b"x"

    def stream():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect((NEW[6], 80))
        for _ in range(150):
            s.send(b"x")
        return s
    s = pair.within("host", stream)
    until(lambda: pair.arrived("net", "udp") >= 5 + 8, "the first of it", 4)
    s.close()
    status = d.status()
    assert not d.frozen() and status["delayed_recipients"] == 8
    assert status["released_recipients"] == 8
    assert status["flow_dropped"] == 150 - 8
    assert d.ctl("problems") == []
    d.ctl("freeze", "10.99.0.1", "--reason", "ticket 17")
    row, = d.ctl("problems")
    assert (row["kind"], row["who"], row["reason"]) == (
        "frozen", "10.99.0.1", "by hand: ticket 17")
    assert "weirctl thaw 10.99.0.1" in row["help"]


def test_frozen_drops_and_thaws(pair):
    d = pair.netd("host")
    freeze(pair)
    until(d.frozen, "a freeze", 3)
    row = d.sender()
    assert row["freeze_reason"] == "queue length"
    assert row["queue_length"] == 0 and d.ctl("queue") == []
    before = pair.arrived("net")
    assert isinstance(pair.within("host", connect, NEW[0], 80, 1), OSError)
    pair.within("host", send_udp, NEW[0])  # TCP's freeze is UDP's too
    assert pair.arrived("net") == before and pair.arrived("net", "udp") == 0
    assert [r["sender"] for r in d.ctl("senders", "--frozen")] == ["10.99.0.1"]
    d.ctl("thaw", "10.99.0.1")
    assert pair.within("host", connect, NEW[0], 80, 4) < 3
    assert d.status()["freezes"] == 1
    kinds = [e["type"] for e in d.events()]
    assert kinds == ["freeze", "thaw"]
    with pytest.raises(CtlError):
        d.ctl("thaw", "10.99.7.7")


def test_reject_fails_at_once(pair):
    d = pair.netd("host", policy="when_frozen = reject")
    d.ctl("freeze", "10.99.0.1")
    begin = time.monotonic()
    e = pair.within("host", connect, NEW[0], 80, 5)
    assert isinstance(e, ConnectionRefusedError), e
    assert time.monotonic() - begin < 1
    assert pair.arrived("net") == 0


def test_thaw_after(pair):
    d = pair.netd("host", policy='thaw_after = "2s"')
    freeze(pair)
    until(d.frozen, "a freeze", 3)
    until(lambda: not d.frozen(), "thaw_after", 5)
    assert pair.within("host", connect, NEW[0]) < 5


def test_frozen_stays_frozen_over_a_restart(pair):
    d = pair.netd("host")
    freeze(pair)
    until(d.frozen, "a freeze", 3)
    assert d.stop() == 0
    d.start()
    assert d.frozen() and d.sender()["freeze_reason"] == "queue length"
    # And over a crash, with packets waiting of another host address.
    d.ctl("thaw", "10.99.0.1")
    d.ctl("freeze", "10.99.9.9")
    until(lambda: "10.99.9.9" in (d.dir / "state/frozen").read_text() and
          "10.99.0.1" not in (d.dir / "state/frozen").read_text(), "the file")
    fill(pair)
    w = pair.worm("host", rate=50, net="10.99.1.0/24", seconds=0.2)
    w.wait()
    assert d.status()["held_messages"] > 0
    d.kill()
    d.start()
    assert d.frozen("10.99.9.9") and not d.frozen()
    # What was cut off in the file is passed over.
    d.stop()
    (d.dir / "state/frozen").write_bytes(b"10.99.9.9 12 by hand\n10.9\xff 3\n"
                                         b"nonsense\n" + b"x" * 70000)
    d.start()
    assert d.frozen("10.99.9.9")
    assert "unreadable=3" in d.log()


@pytest.mark.parametrize("fail,flows", [("open", True), ("closed", False)])
def test_fail(pair, fail, flows):
    d = pair.netd("host", fail=fail)
    fill(pair)
    d.kill()

    def passes():
        return not isinstance(
            pair.within("host", connect, NEW[9], 80, 0.5), OSError)

    if flows:
        until(passes, "traffic to flow", 5)
    else:
        time.sleep(0.5)  # the keeper had time to take the rules away
        assert not passes()
    d.start()
    assert pair.within("host", connect, NEW[10]) < 2
    # At once: the old keeper and the new one do not meet.
    d.kill()
    d.start()
    rules = pair.execute("host", "iptables-save").stdout
    assert rules.count("-j WEIR-OUT") == 1
    assert d.stop() == 0
    rules = pair.execute("host", "iptables-save").stdout
    assert "WEIR" not in rules and "NFQUEUE" not in rules
    assert pair.within("host", connect, NEW[11]) < 0.3


def ours(pair):
    """Our rules in the kernel."""
    return [line for tool in ("iptables-save", "ip6tables-save")
            for line in pair.execute("host", tool).stdout.splitlines()
            if "WEIR" in line or "NFQUEUE" in line]


def test_rules_of_another_configuration(pair):
    """Those that a killed daemon left are replaced, whatever they were made
    for, and in whatever table; and at a clean end nothing is left."""
    d = pair.netd("host", fail="closed", policy="when_frozen = reject\n"
                  'inbound_known = "1h"', interfaces='{"eth0", "eth1"}')
    old = ours(pair)
    assert any("WEIR-REJECT" in r for r in old)
    d.kill()
    time.sleep(0.3)
    assert ours(pair) == old  # fail = closed
    d.policy = ""
    d.options["interfaces"] = '{"eth0"}'
    d.start()
    now = ours(pair)
    assert sum("-j WEIR-OUT" in r for r in now) == 2  # IPv4 and IPv6
    assert not any("eth1" in r or "WEIR-IN" in r or "REJECT" in r
                   for r in now), now
    assert pair.within("host", connect, NEW[0]) < 0.5
    table = pair.execute("host", "iptables", "-t", "security", "-S").stdout
    assert "-j WEIR-OUT" in table
    d.stop(signal.SIGKILL)
    d.options["before_filter"] = "true"
    d.start()
    table = pair.execute("host", "iptables", "-t", "security", "-S").stdout
    assert "WEIR" not in table and len(ours(pair)) > len(now)
    assert d.stop() == 0
    assert ours(pair) == []


def test_one_keeper_in_a_namespace(pair):
    """Chains and tables have one name: a second daemon with rules is told."""
    d = pair.netd("host")
    before = ours(pair)
    other = pair.netd("host", start=False, queue="10")
    p = pair.popen("host", netlab.BUILD / "weir-netd", "--install-rules",
                   "-c", other.config, stderr=-1, text=True)
    assert p.wait(30) == 69
    assert "another weir-netd" in p.stderr.read()
    assert ours(pair) == before and d.process.poll() is None


def test_end_lets_nothing_out(pair):
    """What waits when the daemon ends does not go, though it would be
    rejected."""
    d = pair.netd("host", policy='interval = "1h"\nwhen_frozen = reject')
    fill(pair)
    pair.worm("host", "udp", rate=100, net="10.99.1.0/24", seconds=0.2).wait()
    pair.worm("host", rate=100, net="10.99.1.0/24", seconds=0.2).wait()
    assert d.status()["held_messages"] == 35  # five UDP pass
    before = pair.arrived("net"), pair.arrived("net", "udp")
    pids = [p for p in pair.processes if p.poll() is None]
    assert d.stop() == 0 and pids
    time.sleep(0.2)
    assert (pair.arrived("net"), pair.arrived("net", "udp")) == before


@pytest.mark.parametrize("fail,flows", [("open", True), ("closed", False)])
def test_fail_with_printed_rules(pair, fail, flows):
    """Without a keeper the queue's bypass decides."""
    d = pair.netd("host", fail=fail, rules=False)
    sh = run(netlab.BUILD / "weir-netd", "--print-rules", "iptables", "-c",
             d.config).stdout
    pair.execute("host", "sh", "-e", text=sh)
    took = [pair.within("host", connect, a) for a in NEW[:6]]
    assert max(took[:5]) < 0.3 < took[5] < 2
    d.kill()
    e = pair.within("host", connect, NEW[9], 80, 0.7)
    assert isinstance(e, OSError) != flows
    d.start()
    assert pair.within("host", connect, NEW[0]) < 2


def test_only_one_syn_of_a_connection_waits(pair):
    """Copies are dropped, so no ghost reaches the server."""
    for count_retries in ("false", "true"):
        d = pair.netd("host", policy=f'interval = "4s"\n'
                      f"count_retries = {count_retries}")
        fill(pair)
        before = pair.arrived("net")
        assert pair.within("host", connect, NEW[0], 80, 12) < 9
        s = d.status()
        time.sleep(0.3)
        assert pair.arrived("net") == before + 1
        print(f"SYN held for up to 4 s: {s['syn_copies']} copies dropped")
        d.stop()


def test_released_and_discarded_by_hand(pair):
    d = pair.netd("host", policy='interval = "1h"')
    fill(pair)
    w = pair.worm("host", rate=100, net="10.99.1.0/24", seconds=0.1)
    w.wait()
    rows = until(lambda: len(d.ctl("queue", "10.99.0.1")) == 10 and
                 d.ctl("queue"), "ten in the queue")
    assert {r["recipients"][0]["address"] for r in rows} == \
        {f"10.99.1.{i}:80" for i in range(1, 11)}
    before = pair.arrived("net")
    assert d.ctl("release", rows[0]["id"]) == {"recipients": 1}
    until(lambda: pair.arrived("net") == before + 1, "the released one")
    assert d.ctl("discard", rows[1]["id"]) == {"recipients": 1}
    assert d.ctl("release", "--sender", "10.99.0.1") == {"recipients": 8}
    until(lambda: pair.arrived("net") == before + 9, "the others")
    assert d.ctl("queue") == []
    with pytest.raises(CtlError) as e:
        d.ctl("release", "12345")
    assert e.value.status == 1


def test_observe_holds_nothing(pair):
    d = pair.netd("host", mode="observe")
    freeze(pair, rate=400, seconds=0.5)
    until(lambda: pair.arrived("net") == 200, "all 200", 3)
    s = d.status()
    assert s["mode"] == "observe" and s["observed_holds"] > 90
    assert s["freezes"] == 1


def test_configuration(lab):
    lab.space("host")
    d = lab.netd("host", start=False)
    ok = run(netlab.BUILD / "weir-netd", "-t", "-c", d.config, check=False)
    assert ok.returncode == 0 and "ok" in ok.stdout
    assert "weir-netd 0" in run(netlab.BUILD / "weir-netd", "-V").stdout
    for options, text in (
            ({"where": "sideways"}, "where"),
            ({"held_max": "65536"}, "held_max"),
            ({"pass": '{"10.99.0.1/8"}'}, "pass"),
            ({"protocols": '{"sctp"}'}, "sctp"),
            ({"freeze_set6": '"inet site b"', "ipv6_prefix": "64"},
             "ipv6_prefix = 64"),
            ({"freeze_set4": '"blocked"'}, "freeze_set4")):
        bad = lab.netd("host", start=False, **options)
        p = run(netlab.BUILD / "weir-netd", "-t", "-c", bad.config,
                check=False)
        assert p.returncode == 78 and text in p.stderr, p.stderr


def test_sample_and_examples_are_valid():
    made = run(netlab.BUILD / "netd-conf-doc", "--sample").stdout
    for variable, usual in (("/usr/local/var/", "/var/"),
                            ("/var/run/", "/run/"),
                            ("/usr/local/etc/", "/etc/")):
        made = made.replace(f'"{variable}', f'"{usual}')
    top = netlab.HERE.parents[1]
    # If this fails: make update-netd-sample.
    assert made == (top / "etc/weir-netd.conf").read_text()
    for f in [top / "etc/weir-netd.conf",
              *sorted((top / "contrib").glob("weir-netd-*.conf"))]:
        run(netlab.BUILD / "weir-netd", "-t", "-c", f)
        run(netlab.BUILD / "weir-netd", "--print-rules", "nft", "-c", f)


def test_rules_are_well_formed(lab):
    """As far as this kernel knows them: without nft's queue expression a counter
    stands in its place."""
    lab.space("host")
    for frozen, options in (
            ("drop", {"fast_path": '"5s"'}), ("reject", {}),
            ("reject", {"where": "both", "fail": "closed"}),
            ("reject", {"where": "forward", "fast_path": '"5s"',
                        "pass": '{"10.99.0.2", "fd99::/64"}'})):
        d = lab.netd("host", start=False, policy=f"when_frozen = {frozen}\n"
                     "dns_known = true\ninbound_known = \"1h\"\n"
                     "credit = beside", **options)
        nft = run(netlab.BUILD / "weir-netd", "--print-rules", "nft", "-c",
                  d.config).stdout
        assert ("bypass to 0" in nft) == ("fail" not in options)
        nft = re.sub(r"queue( flags bypass)? to \d+", "counter", nft)
        lab.execute("host", "nft", "-c", "-f", "-", text=nft)
        sh = run(netlab.BUILD / "weir-netd", "--print-rules", "iptables", "-c",
                 d.config).stdout
        lab.execute("host", "sh", "-e", text=sh)
        for program in ("iptables", "ip6tables"):
            for table in ("mangle", "filter", "security"):
                lab.execute("host", program, "-t", table, "-F")


def test_reload(pair):
    d = pair.netd("host", policy='interval = "1h"')
    fill(pair)
    d.policy = "exempt = true"
    d.write_config()
    d.process.send_signal(signal.SIGHUP)
    until(lambda: "info netd reload file=" in d.log(), "the reload")
    assert pair.within("host", connect, NEW[0]) < 0.3
    # Rules that reject are not there: to be frozen is to be dropped.
    d.policy = "when_frozen = reject"
    d.write_config()
    d.ctl("reload")
    assert "option=policy" in d.log()
    d.ctl("freeze", "10.99.0.1")
    before = pair.arrived("net")
    e = pair.within("host", connect, NEW[2], 80, 0.5)
    assert isinstance(e, TimeoutError) and pair.arrived("net") == before, e
    d.ctl("thaw", "10.99.0.1")
    d.policy = "exempt = true"
    d.write_config()
    d.ctl("reload")
    # Nor may it start programs.
    d.options["freeze_command"] = '"/bin/true"'
    d.write_config()
    d.ctl("reload")
    if "seccomp=on" in d.log():
        assert "option=freeze_command" in d.log()
    # What the frozen are called by stays as it was at the start.
    d.ctl("freeze", "fd99::1")
    d.options["ipv6_prefix"] = "64"
    d.write_config()
    d.ctl("reload")
    assert "option=ipv6_prefix" in d.log()
    e = pair.within("host", connect, "fd99::1:1", 80, 0.5)
    assert isinstance(e, TimeoutError) and d.frozen("fd99::1"), e
    d.config.write_text("nonsense = 1\n")
    with pytest.raises(CtlError):
        d.ctl("reload")
    assert "netd reload_failed " in d.log()
    assert pair.within("host", connect, NEW[1]) < 0.3


def test_rights_are_given_up(pair):
    d = pair.netd("host")
    status = open(f"/proc/{d.process.pid}/status").read()
    fields = dict(line.split(":\t", 1) for line in status.splitlines()
                  if ":\t" in line)
    only_net_admin = f"{1 << 12:016x}"
    assert fields["CapEff"] == fields["CapPrm"] == only_net_admin
    assert fields["CapBnd"] == only_net_admin and fields["NoNewPrivs"] == "1"
    if "seccomp=on" in d.log():
        assert fields["Seccomp"] == "2"
    freeze(pair)
    until(d.frozen, "a freeze within the sandbox", 3)
    until(lambda: "10.99.0.1" in (d.dir / "state/frozen").read_text(),
          "the state file")


@pytest.mark.skipif(not shutil.which("setpriv"),
                    reason="netd: setpriv is not there")
def test_as_a_user_with_one_capability(pair):
    """As the systemd unit starts it: no root, CAP_NET_ADMIN alone; rules, fast
    path, sandbox, freeze and state all work."""
    d = pair.netd("host", start=False, fast_path='"10s"',
                  policy="when_frozen = reject")
    home = d.sock.parent
    d.config, d.state = home / "conf", home / "state"
    d.wrap = ["setpriv", "--reuid", "nobody", "--regid", "nogroup",
              "--clear-groups", "--inh-caps", "-all,+net_admin",
              "--ambient-caps", "-all,+net_admin", "--bounding-set",
              "-all,+net_admin", "--no-new-privs"]
    shutil.chown(home, "nobody")
    d.start()
    status = open(f"/proc/{d.process.pid}/status").read()
    fields = dict(line.split(":\t", 1) for line in status.splitlines()
                  if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert fields[name] == f"{1 << 12:016x}", name
    assert int(fields["CapAmb"], 16) == 0, "programs get nothing"
    if "seccomp=on" in d.log():
        assert fields["Seccomp"] == "2"
    assert d.status()["fast_path"] or "no fast path" in d.log()
    freeze(pair)
    until(d.frozen, "a freeze", 3)
    until(lambda: "10.99.0.1" in (d.state / "frozen").read_text(), "the file")
    assert isinstance(pair.within("host", connect, NEW[0], 80, 5),
                      ConnectionRefusedError)
    assert d.stop() == 0 and ours(pair) == []


def in_set(pair, kind):
    """The known pairs of IPv4 in the kernel."""
    if kind == "ipset":
        text = pair.execute("host", "ipset", "list", "weir-known4").stdout
        return re.findall(r"^([\d.]+),(\w+):(\d+),([\d.]+) ", text, re.M)
    text = pair.execute("host", "nft", "list", "set", "inet", "weir",
                        "known4").stdout
    return re.findall(r"([\d.]+) \. ([\d.]+)", text)


@pytest.mark.parametrize("kind", ["ipset", "nft"])
def test_fast_path(pair, kind):
    reason = netlab.why_no_sets(kind)
    if reason:
        pytest.skip(f"netd: {reason}")
    d = pair.netd("host", fast_path='"1m"', fast_path_set=kind)
    assert d.status()["fast_path"], d.log()
    assert f"fast path by {kind}" in d.log()
    fill(pair)
    for _ in range(10):
        assert pair.within("host", connect, "10.99.3.200") < 0.3
    s = d.status()
    assert s["packets"] == 5, "known traffic stays in the kernel"
    assert s["set_errors"] == 0
    known = [p for p in in_set(pair, kind) if p[-1] == "10.99.3.200"]
    assert known == [("10.99.0.1", "tcp", "80", "10.99.3.200")
                     if kind == "ipset" else ("10.99.0.1", "10.99.3.200")]
    assert pair.within("host", connect, "fd99::1:1", 80, 5) < 2
    set6 = ("ipset", "list", "weir-known6") if kind == "ipset" else \
        ("nft", "list", "set", "inet", "weir", "known6")
    until(lambda: "fd99::1:1" in pair.execute("host", *set6).stdout, "IPv6")
    for _ in range(3):
        assert pair.within("host", connect, "fd99::1:1") < 0.3
    assert d.status()["packets"] == 6  # fd99::1 is another host
    freeze(pair)
    until(d.frozen, "a freeze", 3)
    assert in_set(pair, kind) == []
    assert isinstance(
        pair.within("host", connect, "10.99.3.200", 80, 1), OSError)
    d.stop()
    assert "weir" not in pair.execute("host", "nft", "list", "ruleset").stdout
    if kind == "ipset":
        assert "weir" not in pair.execute("host", "ipset", "list").stdout


def test_fast_path_is_chosen(pair):
    """What the kernel has, said in the log; and what cannot be is refused."""
    d = pair.netd("host", fast_path='"1m"')
    kinds = [k for k in ("ipset", "nft") if not netlab.why_no_sets(k)]
    said = re.search(r'netd rules rules="([^"]*)"', d.log())[1]
    if not kinds:
        assert "no fast path" in said
    elif "nft cannot queue" in said:
        assert f"fast path by {kinds[0]}" in said
    assert d.status()["rules"] == said
    d.stop()
    bad = pair.netd("host", start=False, fast_path='"1m"', rules_kind="nft",
                    fast_path_set="ipset")
    p = run(netlab.BUILD / "weir-netd", "-t", "-c", bad.config, check=False)
    assert p.returncode == 78 and "fast_path_set" in p.stderr


def test_fast_path_by_printed_rules(pair):
    for kind in ("ipset", "nft"):
        if netlab.why_no_sets(kind):
            continue
        d = pair.netd("host", rules=False, fast_path='"1m"',
                      fast_path_set=kind)
        sh = run(netlab.BUILD / "weir-netd", "--print-rules", "iptables",
                 "-c", d.config).stdout
        pair.execute("host", "sh", "-e", text=sh)
        assert pair.within("host", connect, "10.99.3.1") < 0.3
        until(lambda: in_set(pair, kind), "the pair in the set")
        for _ in range(3):
            assert pair.within("host", connect, "10.99.3.1") < 0.3
        assert d.status()["packets"] == 1, kind
        d.stop()
        # The next one's keeper replaces what a person has put there.
        d = pair.netd("host")
        assert d.stop() == 0
        assert "weir" not in pair.execute(
            "host", "nft", "list", "ruleset").stdout.lower()


def test_allow_is_asked_in_spite_of_the_fast_path(pair):
    for kind in ("ipset", "nft"):
        if netlab.why_no_sets(kind):
            continue
        d = pair.netd("host", policy='allow = {"tcp any 80"}',
                      fast_path='"1m"', fast_path_set=kind)
        for _ in range(3):
            assert pair.within("host", connect, "10.99.3.1") < 0.3
        e = pair.within("host", connect, "10.99.3.1", 81, 0.5)
        assert isinstance(e, TimeoutError), (kind, e)
        assert d.status()["disallowed_packets"] >= 1
        d.stop()
