# SPDX-License-Identifier: BSD-3-Clause
"""weir-netd among the rules of a site: what weir lets go, or only learns from,
meets all of them, with the mark that it came with."""
import gzip
import http.client
import json
import os
import re
import socket
import subprocess
import threading

import pytest

import netlab
import openmetrics
from harness import CtlError, until
from netlab import connect, resolve, send_udp
from test_api import RIGHTS, check_rights, commands_of
from test_dashboards import NETD, expressions, named

REASON = netlab.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"netd: {REASON}")
SO_MARK = 36


@pytest.fixture
def lab(tmp_path):
    made = netlab.Lab(tmp_path)
    made.counted_pair()
    yield made
    made.close()


def mangle(lab, *rule):
    lab.execute("host", "iptables", "-t", "mangle", *rule)


def count(lab, chain, comment):
    """Packets that the rule of this comment saw."""
    text = lab.execute("host", "iptables", "-t", "mangle", "-nvxL",
                       chain).stdout
    return int(re.search(rf"^\s*(\d+).*/\* {comment} \*/", text, re.M)[1])


@pytest.mark.parametrize("late,before", [(False, "false"), (True, "false"),
                                         (True, "true")])
def test_mangle_sees_all_that_passes(lab, late, before):
    """Rules ahead of ours or behind them, there before or made later, see each
    packet once: known, new, released, and what is learnt from."""
    def rules():
        for chain, match in (("OUTPUT", ["--dport", "80", "--syn"]),
                             ("INPUT", ["--sport", "80", "--tcp-flags",
                                        "SYN,ACK", "SYN,ACK"])):
            mangle(lab, "-A", chain, "-p", "tcp", *match, "-m", "mark",
                   "--mark", "0", "-m", "comment", "--comment", "seen")

    if not late:
        rules()
    lab.netd("host", policy='interval = "200ms"\ncredit = beside\n'
             'inbound_known = "1h"', fast_path='"1m"', rules_kind="iptables",
             before_filter=before)
    if late:
        rules()
    for i in range(1, 8):
        assert lab.within("host", connect, f"10.99.1.{i}") < 5
    for i in range(1, 4):
        assert lab.within("host", connect, f"10.99.1.{i}") < 5
    assert count(lab, "OUTPUT", "seen") == lab.arrived("net") == 10
    assert count(lab, "INPUT", "seen") == 10


@pytest.mark.parametrize("before", ["false", "true"])
def test_site_drops_what_weir_passes(lab, before):
    lab.netd("host", policy='inbound_known = "1h"', rules_kind="iptables",
             before_filter=before)
    lab.serve("host")
    assert lab.within("net", connect, "10.99.0.1") < 1
    assert lab.within("host", connect, "10.99.1.1") < 1
    mangle(lab, "-A", "OUTPUT", "-d", "10.99.1.2", "-j", "DROP")
    mangle(lab, "-A", "INPUT", "-s", "10.99.0.2", "-p", "tcp", "--syn", "-j",
           "DROP")
    assert isinstance(lab.within("host", connect, "10.99.1.2", 80, 1), OSError)
    assert isinstance(lab.within("net", connect, "10.99.0.1", 80, 1), OSError)
    assert lab.within("host", connect, "10.99.1.1") < 1


@pytest.mark.parametrize("mark", [51820, 0x10000000, 0x0c000005])
@pytest.mark.parametrize("fast", ["nft", "ipset"])
def test_marks(lab, fast, mark):
    """A program's own mark stays, and none of ours is left. With nft's sets
    one that has our bits lets nothing pass, and loses them."""
    if netlab.why_no_sets(fast):
        pytest.skip(netlab.why_no_sets(fast))
    if mark & 0x0c000000 and fast == "ipset":
        pytest.skip("weir-netd(8): choose other bits")
    mangle(lab, "-A", "POSTROUTING", "-p", "udp", "-o", "eth0", "-m", "mark",
           "!", "--mark", str(mark), "-m", "comment", "--comment", "other")
    mangle(lab, "-A", "POSTROUTING", "-p", "udp", "-o", "eth0", "-m", "mark",
           "--mark", str(mark), "-m", "comment", "--comment", "same")
    d = lab.netd("host", fast_path='"1m"', fast_path_set=fast,
                 policy='interval = "1h"', rules_kind="iptables")

    def send(address, n):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
            s.settimeout(2)
            for _ in range(n):
                s.sendto(b"x", (address, 80))
                s.recv(10)

    for i in range(1, 6):
        lab.within("host", send, f"10.99.1.{i}", 3)
    if mark & 0x0c000000:
        assert count(lab, "POSTROUTING", "other") == 5  # those that are new
    else:
        assert count(lab, "POSTROUTING", "same") == 15
    with pytest.raises(OSError):
        lab.within("host", send, "10.99.2.9", 1)
    assert d.status()["held_messages"] == 1


def test_rules_that_know_no_pass(lab):
    """Rules of another version have no way round: it is passed all the
    same."""
    d = lab.netd("host", rules=False, before_filter="true")
    text = netlab.run(netlab.BUILD / "weir-netd", "--print-rules", "iptables",
                      "-c", d.config).stdout
    lab.execute("host", "sh", "-e", text="\n".join(
        line for line in text.splitlines() if "WEIR-PASS" not in line))
    assert lab.within("host", connect, "10.99.1.1") < 1
    assert lab.within("host", send_udp, "10.99.1.2", 80, b"x", 2)
    assert d.status()["queue"]["loops"] == 2


# ---- where the rules stand ----


@pytest.mark.parametrize("before", ["false", "true"])
def test_what_the_filter_drops(lab, before):
    """It is an attempt only with before_filter; and what the site sends to this
    host itself is none, whatever the interface it was to leave by."""
    d = lab.netd("host", policy='interval = "1h"', before_filter=before)
    lab.execute("host", "iptables", "-A", "OUTPUT", "-p", "udp", "-d",
                "10.99.2.0/24", "-j", "DROP")
    lab.execute("host", "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp",
                "-d", "10.99.3.0/24", "-j", "REDIRECT")
    lab.serve("host")
    for i in range(1, 9):
        lab.within("host", drop_udp, f"10.99.2.{i}")
    s = d.status()
    if before == "true":
        assert s["packets"] == 8 and s["held_messages"] == 3
        return
    assert s["packets"] == 0
    for i in range(1, 9):
        assert lab.within("host", connect, f"10.99.3.{i}") < 0.5
    assert d.status()["packets"] == 0
    assert lab.within("host", connect, "10.99.1.1") < 0.5
    assert d.status()["packets"] == 1


def drop_udp(address):
    try:
        send_udp(address)
    except PermissionError:
        pass


def security(lab):
    return lab.execute("host", "iptables", "-t", "security", "-S").stdout


def test_others_in_the_table_security(lab):
    """Labels of SELinux's: ours go to mangle, there before or made later, and
    nobody's rules miss a packet."""
    d = lab.netd("host", policy='inbound_known = "1h"')
    assert "WEIR-OUT" in security(lab)
    for table in ("security", "mangle"):
        lab.execute("host", "iptables", "-t", table, "-A", "OUTPUT", "-o",
                    "eth0", "-p", "tcp", "--syn", "-m", "mark", "--mark", "0",
                    "-m", "comment", "--comment", table)
    until(lambda: "others have rules" in d.status()["rules"], "the move", 15)
    for once_more in (False, True):
        assert "WEIR" not in security(lab)
        for i in range(1, 6):
            assert lab.within("host", connect, f"10.99.1.{i}") < 0.5
        if once_more:
            break
        d.stop()
        d.start()
        assert "others have rules" in d.log().splitlines()[-1] or \
            "others have rules" in d.status()["rules"]
    for table in ("security", "mangle"):
        text = lab.execute("host", "iptables", "-t", table, "-nvxL",
                           "OUTPUT").stdout
        assert re.search(rf"^\s*10 .*/\* {table} \*/", text, re.M), text


def test_no_table_security(lab, monkeypatch):
    tool = lab.dir / "iptables"
    tool.write_text("#!/bin/sh\ncase $* in *security*) exit 3 ;; esac\n"
                    f"PATH={os.environ['PATH']}\n" 'exec iptables "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{lab.dir}:{os.environ['PATH']}")
    d = lab.netd("host")
    monkeypatch.undo()
    assert "no table security" in d.status()["rules"]
    mangle(lab, "-A", "OUTPUT", "-d", "10.99.1.2", "-j", "DROP")
    assert lab.within("host", connect, "10.99.1.1") < 0.5
    assert isinstance(lab.within("host", connect, "10.99.1.2", 80, 0.5),
                      OSError)


# ---- what the kernel throws away ----


def throw_away(lab, how):
    if how == "nft":
        lab.execute("host", "nft", "-f", "-", text="table inet other {\n "
                    "chain c {\n type filter hook output priority 0;\n }\n}\n")
        lab.execute("host", "nft", "delete", "table", "inet", "other")
        return
    lab.at("host", "link", "set", "eth0", "down")
    lab.at("host", "link", "set", "eth0", "up")
    for third in (1, 2, 3):
        lab.at("host", "route", "replace", f"10.99.{third}.0/24", "via",
               "10.99.0.2")


@pytest.mark.parametrize("how", ["nft", "link"])
def test_what_the_kernel_threw_away(lab, how):
    """It waits no more and was not released; the next copy of a SYN goes when
    the first would have."""
    if how == "nft" and netlab.why_no_sets("nft"):
        pytest.skip("netd: no nftables here")
    d = lab.netd("host", policy='interval = "4s"')
    for i in range(1, 6):
        assert lab.within("host", connect, f"10.99.1.{i}") < 1
        lab.within("host", send_udp, f"10.99.1.{i}", 80, b"x", 1)
    took = []
    t = threading.Thread(target=lambda: took.append(
        lab.within("host", connect, "10.99.2.9", 80, 20)))
    t.start()
    lab.within("host", send_udp, "10.99.2.9")
    until(lambda: d.status()["held_messages"] == 2, "a SYN and a datagram", 5)
    udp = lab.arrived("net", "udp")
    throw_away(lab, how)
    s = d.status()
    assert s["held_messages"] == 0 and s["lost_packets"] == 2
    t.join()
    assert 2 < took[0] < 7, took
    s = d.status()
    assert s["released_recipients"] == 1 and s["queue"]["errors"] == 0
    assert lab.arrived("net", "udp") == udp
    assert "reason=\"the kernel dropped waiting packets" in d.log()


def test_interfaces_come_and_go_and_two_instances(lab):
    """What is known outlives the interface, and the new one of the same name is
    throttled; a daemon in another namespace has nothing to do with it."""
    d = lab.netd("host")
    for i in range(1, 6):
        assert lab.within("host", connect, f"10.99.1.{i}") < 1
    for _ in range(2):
        lab.at("host", "link", "del", "eth0")
        lab.wire("host", "net")
    before = d.status()["packets"]
    assert lab.within("host", connect, "10.99.1.5") < 1
    assert lab.within("host", connect, "10.99.2.1") < 4
    assert d.status()["packets"] == before + 2
    lab.pair("host2", "net2")
    lab.serve("net2")
    other = lab.netd("host2")
    other.ctl("freeze", "10.99.0.1")
    assert isinstance(lab.within("host2", connect, "10.99.1.1", 80, 0.5),
                      OSError)
    assert not d.frozen()
    assert lab.within("host", connect, "10.99.2.1") < 1
    assert other.stop() == 0
    assert "WEIR" not in lab.execute("host2", "iptables-save").stdout
    assert "WEIR" in lab.execute("host", "iptables-save").stdout


def test_a_release_that_meets_nothing(lab):
    """What is lost while nobody looks is not told as released."""
    d = lab.netd("host", policy='interval = "3s"')
    for i in range(1, 6):
        lab.within("host", send_udp, f"10.99.1.{i}", 80, b"x", 1)
    lab.within("host", send_udp, "10.99.2.9")
    lab.within("host", send_udp, "10.99.2.10")
    until(lambda: d.status()["held_messages"] == 2, "both", 5)
    until(lambda: d.status()["released_recipients"] == 1, "the first", 10)
    throw_away(lab, "link")
    until(lambda: d.status()["lost_packets"] == 1, "the loss", 10)
    assert d.status()["released_recipients"] == 1


# ---- what never comes by, and a resolver on this host ----


def broadcast(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.sendto(b"x", (address, 137))


@pytest.mark.parametrize("small", [False, True])
def test_broadcast(lab, small, monkeypatch):
    """The network's own broadcast address is no destination; on a kernel that
    cannot tell it is said, and the rest works."""
    if small:
        tool = lab.dir / "iptables-restore"
        tool.write_text("#!/bin/sh\nrules=$(cat)\n"
                        "case $rules in *addrtype*) exit 1 ;; esac\n"
                        f"PATH={os.environ['PATH']}\n"
                        'echo "$rules" | exec iptables-restore "$@"\n')
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{lab.dir}:{os.environ['PATH']}")
    d = lab.netd("host")
    lab.within("host", broadcast, "10.99.255.255")
    assert lab.within("host", send_udp, "10.99.1.1", 80, b"x", 2)
    assert d.status()["packets"] == (2 if small else 1)
    assert ("addrtype" in d.status()["rules"]) == small


def test_resolver_on_this_host(lab):
    """What it told over lo is known, whatever way it asked itself."""
    lab.popen("host", "/usr/bin/python3", netlab.HERE / "netdns.py")
    until(lambda: lab.within("host", resolve, "127.0.0.1", "n99.test", 0.5),
          "the resolver", 10)
    d = lab.netd("host", policy='dns_known = true\ninterval = "1h"',
                 dns_servers='{"10.99.0.2"}')
    for i in range(1, 9):
        assert lab.within("host", resolve, "127.0.0.1", f"n{i}.test")
        assert lab.within("host", connect, f"10.99.2.{i}", 80, 5) < 1
    assert d.status()["dns_answers"] == 16


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def test_http(lab, tmp_path):
    """Over a Unix socket alone: metrics that promtool takes, the commands, and
    the page; a token where a proxy speaks for somebody."""
    path = lab.dir / "http.sock"
    d = lab.netd("host", sections=f'http "admin" {{ address = "unix:{path}"  '
                 'metrics = token }', policy='interval = "1h"')

    def ask(method, target, body=None, **headers):
        c = UnixConnection(path)
        c.request(method, target, body,
                  {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, text

    for i in range(1, 8):
        lab.within("host", send_udp, f"10.99.1.{i}", 80, b"x", 0.2)
    until(lambda: d.status()["held_recipients"] == 2, "two wait")
    status, text = ask("GET", "/metrics")
    assert status == 200
    done = subprocess.run(["promtool", "check", "metrics"], input=text,
                          capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert b"\nweir_held_packets 2\n" in text
    text = ask("GET", "/metrics",
               Accept="application/openmetrics-text")[1].decode()
    have = {s[0] for f in openmetrics.check(text).values()
            for s in f["samples"]}
    for expression in expressions(json.loads(NETD.read_text())):
        for name in named(expression):
            assert name in have, name
    rows = json.loads(ask("GET", "/api/v1/senders")[1])["items"]
    assert rows[0]["queue_length"] == 2
    name = rows[0]["sender"]
    held = json.loads(ask("GET", "/api/v1/queue?limit=1")[1])
    assert len(held["items"]) == 1 and held["next"]
    assert ask("POST", f"/api/v1/senders/{name}/freeze")[0] == 200
    assert d.sender()["frozen"]
    assert ask("GET", "/api/v1/status", X_Forwarded_For="192.0.2.1")[0] == 401
    token = d.ctl("token", "new", "x", "--right", "view")["token"]
    assert ask("GET", "/api/v1/status", X_Forwarded_For="192.0.2.1",
               Authorization=f"Bearer {token}")[0] == 200
    assert ask("POST", "/api/v1/reload", X_Forwarded_For="192.0.2.1",
               Authorization=f"Bearer {token}")[0] == 403
    tokens = {r: d.ctl("token", "new", r, "--right", r)["token"]
              for r in RIGHTS}

    def try_route(method, target, who):
        headers = {"Authorization": f"Bearer {tokens[who]}"} if who else {}
        c = UnixConnection(path)
        c.request(method, target, None,
                  {"X-Forwarded-For": "192.0.2.1", **headers})
        r = c.getresponse()
        is_json = "json" in (r.getheader("Content-Type") or "")
        text = json.loads(r.read()) if is_json else ""
        c.close()
        return r.status, text

    commands = check_rights(try_route, {r: r for r in RIGHTS})
    assert commands_of("netd/commands.c") <= set(commands)
    # find, explain and audit are mail's.
    assert ask("GET", "/api/v1/find?term=x")[0] == 404
    assert ask("GET", "/api/v1/queue/1")[0] == 404
    assert b"<html" in gzip.decompress(
        ask("GET", "/", Accept_Encoding="gzip")[1])
    d.config.write_text(d.config.read_text().replace("unix:" + str(path),
                                                     "127.0.0.1:8025"))
    with pytest.raises(CtlError, match="must be a Unix socket"):
        d.ctl("reload")
