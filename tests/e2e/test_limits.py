# SPDX-License-Identifier: BSD-3-Clause
"""Caps, per client address and in all: what happens at each, that others are
served meanwhile, and that memory and descriptors stay bounded and come back."""
import pathlib
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from many_clients import (SANITIZED, ManyClients, cpu_s, descriptors,
                          descriptors_allowed, rss_kb)
from harness import (DEADLINE_S, FastSink, Peer, Weir, free_port, hello,
                     message, serve_smtp, until)
from pki import Pki

KEY = "key = envelope\n"
HOLD = KEY + 'interval = "1h"  burst = 1  initial = 0'
EXEMPT = "exempt = true"
IDLE, TRICKLING = 10_000, 1_000


class Served:
    """Others: one message each over a connection of its own."""

    def __init__(self, w, sink, sender="good@example.org"):
        self.w, self.sink, self.sender = w, sink, sender
        self.longest, self.count = 0, 0

    def send(self, deadline_s=DEADLINE_S):
        started = time.monotonic()
        peer = hello(self.w.port)
        code, text = peer.transact(self.sender, ["friend@known.test"],
                                   message(f"number {self.count}"))
        assert code == 250, text
        peer.close()
        took = time.monotonic() - started
        assert took < deadline_s, f"served after {took:.1f}s"
        self.longest = max(self.longest, took)
        self.count += 1
        self.sink.wait_for(self.count)


def first_word(port, source):
    """The code that a newcomer hears; its connection is closed after a
    refusal."""
    peer = Peer.connect(port, source=source)
    code, _ = peer.reply()
    assert code == 220 or peer.at_end()
    peer.close()
    return code


@pytest.fixture
def known_sink():
    """A sink that counts none but the good messages."""
    class Known(FastSink):
        def recipients(self):
            return [r for r in super().recipients()
                    if r == "friend@known.test"]
    s = Known(keep=lambda text: b"")
    yield s
    s.stop()


def test_ten_thousand_idle_and_a_thousand_trickling(weir, known_sink):
    need = IDLE + TRICKLING + 2000
    if descriptors_allowed() < need:
        pytest.skip(f"needs {need} descriptors a process, "
                    f"{descriptors_allowed()} are allowed (ulimit -Hn)")
    if SANITIZED:
        pytest.skip("a sanitizer's memory and speed tell nothing here")
    w = weir(next_hop=known_sink.address,
             policy='exempt_recipients = {"@known.test"}',
             sessions_max=IDLE + TRICKLING + 50, client_sessions_max=500,
             data_rate_window='"4s"')
    pid = w.process.pid
    served = Served(w, known_sink)
    served.send()
    before = rss_kb(pid), descriptors(pid)
    with ManyClients(w.port, "idle", IDLE, 20) as idle:
        idle.until("greeted", IDLE)
        each = (rss_kb(pid) - before[0]) / IDLE
        served.send()
        # The next one of an address that has its share.
        assert first_word(w.port, "127.1.0.1") == 421
        with ManyClients(w.port, "trickle", TRICKLING, 50) as trickle:
            trickle.until("greeted", TRICKLING - 50)
            # The connections to the next hop are all taken by those who
            # send a byte now and then; others get through all the same.
            until(lambda: trickle.figures()["there"] >= 300, "trickling")
            for _ in range(5):
                served.send()
            peak = rss_kb(pid), descriptors(pid)
            trickle.until("gone", TRICKLING)
            figures = trickle.figures()
        # All idle ones are still there.
        assert idle.figures()["gone"] == 0
        served.send()
        idle_figures = idle.figures()
    until(lambda: w.status()["sessions_open"] == 0, "the sessions to go")
    until(lambda: descriptors(pid) <= before[1] + 40, "their descriptors")
    # Memory is given back every ten seconds, but for pages that hold something
    # else as well: a third to a half of it.
    until(lambda: rss_kb(pid) < before[0] + (peak[0] - before[0]) * 2 / 3,
          "the memory")
    after = rss_kb(pid), descriptors(pid)
    print(f"\nidle {idle_figures}\ntrickling {figures}\n"
          f"an idle session takes {each:.1f} KB; resident {before[0]} KB "
          f"before, {peak[0]} KB with all, {after[0]} KB after; descriptors "
          f"{before[1]}, {peak[1]}, {after[1]}; others waited "
          f"{served.longest:.2f} s at most")
    assert each < 16
    assert peak[0] < before[0] + IDLE * 16 + TRICKLING * 64
    assert figures["told"] > TRICKLING / 2
    assert w.status()["sessions_refused"] >= 1


def test_newcomers_at_sessions_max(weir, known_sink):
    """Silent clients keep nobody out: one of those with most sessions makes
    room. Who is at work stays."""
    w = weir(next_hop=known_sink.address, sessions_max=60,
             client_sessions_max=60)
    workers = [Peer.connect(w.port, source="127.1.0.1") for _ in range(3)]
    for peer in workers:
        assert peer.reply()[0] == 220
        assert peer.ask("EHLO client.test")[0] == 250
        assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    with ManyClients(w.port, "idle", 100, 10) as clients:
        until(lambda: (f := clients.figures())["refused"] + f["gone"] >= 43,
              "all but sixty to go")
        shed = w.status()["sessions_shed"]
        newcomers = [Peer.connect(w.port, source=f"127.0.0.{9 + i}")
                     for i in range(20)]
        assert [peer.reply()[0] for peer in newcomers] == [220] * 20
        status = w.status()
        assert status["sessions_open"] == 60
        assert status["sessions_shed"] == shed + 20
        for peer in workers:
            assert peer.ask("RCPT TO:<friend@known.test>")[0] == 250
        for peer in newcomers + workers:
            peer.close()
    served = Served(w, known_sink)
    until(lambda: w.status()["sessions_open"] == 0, "the sessions to go")
    served.send()


def test_refused_at_sessions_max(weir, known_sink):
    """A client that has them all is told so, the limit and its use."""
    w = weir(next_hop=known_sink.address, sessions_max=20,
             client_sessions_max=20)
    peers = [Peer.connect(w.port, source="127.0.0.9") for _ in range(20)]
    assert [peer.reply()[0] for peer in peers] == [220] * 20
    late = [Peer.connect(w.port, source="127.0.0.9") for _ in range(40)]
    for peer in late:
        code, lines = peer.reply()
        if code == 220:  # on a slow machine, where another was silent long
            continue
        assert code == 421
        assert "20 are open" in lines[0] and "try again" in lines[0]
    refused = w.status()["sessions_refused"]
    assert refused + w.status()["sessions_shed"] == 40 and refused > 0
    # One line a second, however many were turned away.
    lines = w.log_lines("smtp refuse .*limit=client_sessions_max")
    assert 1 <= len(lines) <= 10, lines


KINDS = {
    # kind: connections, options, KB each and in all that are allowed
    "half": (200, {"policy": HOLD + '  exempt_recipients = {"@known.test"}'
                             '  freeze_at = 0',
                   "body_memory": '"4M"', "data_timeout": '"3s"'}, 120),
    "deaf": (200, {"policy": KEY, "idle_commands_max": 100000,
                   "errors_max": 10000, "command_timeout": '"3s"'}, 160),
    "hello": (400, {"policy": KEY, "tls_timeout": '"3s"'}, 64),
}


@pytest.mark.parametrize("kind", KINDS)
def test_crowds(weir, known_sink, tmp_path, kind):
    """Half-sent large messages, replies that nobody reads, handshakes that
    stop half way."""
    count, options, each_kb = KINDS[kind]
    pem = Pki(tmp_path / "pki").cert("mx", ["mx.test"])
    tls_port = free_port()
    w = weir(next_hop=known_sink.address, tls_cert=f'{{"{pem}"}}',
             sections=f'listen "tls" {{ address = "127.0.0.1:{tls_port}"'
                      "  tls = implicit }", **options)
    pid = w.process.pid
    served = Served(w, known_sink)
    served.send()
    before = rss_kb(pid), descriptors(pid)
    port = tls_port if kind == "hello" else w.port
    with ManyClients(port, kind, count, 10) as clients:
        clients.until("there", count)
        until(lambda: w.status()["sessions_open"] >= count, "them all")
        served.send()
        if kind == "hello":
            context = ssl._create_unverified_context()
            with socket.create_connection(("127.0.0.1", tls_port)) as s:
                s.settimeout(DEADLINE_S)
                with context.wrap_socket(s) as tls:
                    assert tls.recv(100).startswith(b"220 ")
        peak = rss_kb(pid), descriptors(pid)
        if kind != "deaf":
            clients.until("gone", count)
        until(lambda: w.status()["sessions_open"] == 0, "the sessions to go")
    served.send()
    # Some connections to the next hop are kept for a while.
    until(lambda: descriptors(pid) <= before[1] + 25, "their descriptors")
    after = rss_kb(pid)
    print(f"\n{count} {kind}: resident {before[0]} KB before, {peak[0]} KB "
          f"with all ({(peak[0] - before[0]) / count:.1f} KB each), "
          f"{after} KB after; descriptors {before[1]}, {peak[1]}; others "
          f"waited {served.longest:.2f} s at most")
    if not SANITIZED:
        assert peak[0] - before[0] < count * each_kb
    assert peak[1] <= before[1] + 2 * count + 20
    until(lambda: not list((w.spool / "bodies").iterdir()), "the files to go")
    assert w.status()["held_messages"] == 0


@pytest.mark.parametrize("kind", ["rcpt", "trickle"])
def test_nobody_keeps_the_next_hop_to_himself(weir, known_sink, kind):
    """All connections to the next hop belong to clients that do nothing with
    them; who waits gets one, and who is quick keeps his."""
    w = weir(next_hop=known_sink.address, policy=EXEMPT,
             next_hop_connections=8, next_hop_wait='"1s"')
    quick = w.hello()
    served = Served(w, known_sink)
    with ManyClients(w.port, kind, 40, 4) as clients:
        until(lambda: clients.figures()["there"] >= 8, "the clients")
        for _ in range(3):
            served.send()
        # It sends more than slow_rate, a little at a time.
        for line in ("MAIL FROM:<a@example.org>",
                     "RCPT TO:<b@example.com>"):
            assert quick.ask(line)[0] == 250
        assert quick.ask("DATA")[0] == 354
        for _ in range(30):
            quick.send(b"y" * 998 + b"\r\n")
            time.sleep(0.05)
        quick.send(b".\r\n")
        assert quick.reply()[0] == 250
        figures = clients.figures()
    assert figures["told"] >= 3
    assert w.status()["slow_ended"] >= 3
    assert w.log_lines("smtp refuse .*limit=next_hop_connections")


def test_slow_clients_are_left_alone_where_nobody_waits(weir, known_sink):
    w = weir(next_hop=known_sink.address, policy=EXEMPT,
             next_hop_connections=8, next_hop_wait='"1s"')
    with ManyClients(w.port, "trickle", 6, 1) as clients:
        clients.until("there", 6)
        time.sleep(3)
        assert clients.figures()["gone"] == 0
    assert w.status()["slow_ended"] == 0


def test_a_next_hop_slow_to_greet_is_no_clients_fault(weir, scripted):
    """A quarter of the connections wait for their greeting and others for
    theirs; that a client takes its time over its message costs nobody
    anything."""
    greet = threading.Event()

    def serve(peer):
        if peer is not hop.peers[0]:
            greet.wait(DEADLINE_S)
        serve_smtp(peer)
    hop = scripted(serve)
    w = weir(next_hop=hop.address, policy=EXEMPT, next_hop_connections=24,
             next_hop_wait='"500ms"')
    slow = w.hello()
    assert slow.ask("MAIL FROM:<a@example.org>")[0] == 250
    assert slow.ask("RCPT TO:<b@example.com>")[0] == 250
    peers = [Peer.connect(w.port) for _ in range(8)]
    for peer in peers:
        assert peer.reply()[0] == 220
        assert peer.ask("EHLO client.test")[0] == 250
        assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
        peer.say("RCPT TO:<b@example.com>")
    until(lambda: len(hop.peers) == 7, "six to be dialed")
    time.sleep(1.5)
    assert len(hop.peers) == 7
    assert slow.submit(message())[0] == 250
    greet.set()
    for peer in peers:
        assert peer.reply()[0] == 250
    assert w.status()["slow_ended"] == 0


def test_questions_about_held_recipients_do_not_wait(weir, scripted):
    """Each session holds a connection and asks for a second one: none would
    ever come free."""
    hop = scripted(serve_smtp)
    w = weir(next_hop=hop.address, next_hop_connections=4,
             next_hop_wait='"500ms"', policy=KEY +
             'initial = 0  burst = 1  interval = "1h"  '
             'exempt_recipients = {"@known.test"}')
    peers = [w.hello() for _ in range(4)]
    for peer in peers:
        assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
        assert peer.ask("RCPT TO:<friend@known.test>")[0] == 250
    for i, peer in enumerate(peers):
        peer.say(f"RCPT TO:<new{i}@example.com>")
    for peer in peers:
        assert peer.reply()[0] == 250
    for peer in peers:
        code, text = peer.submit(message())
        assert code == 250 and "1 of 2 recipients held" in text, text
    assert w.status()["held_recipients"] == 4


def test_slow_next_hops(weir, scripted):
    """A next hop that greets nobody: clients hear 451 in time, and no more
    connections are open than may be."""
    def mute(peer):
        peer.sock.settimeout(60)
        peer.sock.recv(1)
    hop = scripted(mute)
    w = weir(next_hop=hop.address, policy=EXEMPT, next_hop_connections=10,
             next_hop_command_timeout='"1s"', answer_timeout='"3s"')
    pid = w.process.pid
    before = descriptors(pid)
    with ManyClients(w.port, "rcpt", 100, 5) as clients:
        clients.until("greeted", 100)
        peak = descriptors(pid)
        assert w.status()["sessions_open"] == 100
        until(lambda: clients.figures()["code"] == 451, "an answer", 40)
    assert peak <= before + 100 + 10 + 5
    until(lambda: descriptors(pid) <= before + 10, "the descriptors")


def test_envelope_memory(weir, known_sink):
    """Many clients want all of it: it is bounded, and others have their part."""
    w = weir(next_hop=known_sink.address, policy=EXEMPT,
             envelope_memory='"1M"', next_hop_wait='"0s"')
    before = rss_kb(w.process.pid)
    served = Served(w, known_sink)
    served.send()
    with ManyClients(w.port, "bomb", 20, 4) as clients:
        clients.until("there", 20)
        assert clients.figures()["code"] == 452
        peer = w.hello()
        peer.ask("MAIL FROM:<a@example.org>")
        long = ".".join(["d" * 60] * 3)
        for i in range(20):
            code, lines = peer.ask(f"RCPT TO:<b{i:059}@{long}.example>")
            assert code == 250, lines
        # It has no more than its part.
        code = 250
        for i in range(20, 1000):
            if code != 250:
                break
            code, lines = peer.ask(f"RCPT TO:<b{i:059}@{long}.example>")
        assert code == 452 and "of 1024 KiB" in lines[0]
        assert "try again later" in lines[0]
        peak = rss_kb(w.process.pid)
    until(lambda: w.status()["sessions_open"] == 1, "the sessions to go")
    # What it took has come back.
    assert peer.ask("RCPT TO:<b@example.com>")[0] == 250
    peer.close()
    served.send()
    # Who came first may have had room.
    assert w.status()["limit_refusals"] >= 5
    assert w.log_lines("smtp refuse .*limit=envelope_memory")
    if not SANITIZED:
        assert peak < before + 8000


def test_one_client_has_all_of_envelope_memory(weir, known_sink):
    """A mail server in front of weir, alone, is bound by nothing but the
    limit."""
    w = weir(next_hop=known_sink.address, policy=EXEMPT,
             envelope_memory='"1M"', next_hop_wait='"0s"')
    peers = [w.hello() for _ in range(4)]
    taken = 0
    for peer in peers:
        peer.ask("MAIL FROM:<a@example.org>")
        for i in range(900):
            code, _ = peer.ask(f"RCPT TO:<{i}@example.com>")
            if code != 250:
                break
            taken += 1
        if code != 250:
            break
    assert code == 452
    # A recipient takes less than 700 bytes.
    assert taken > (1 << 20) / 700


def test_held_max(weir, known_sink):
    w = weir(next_hop=known_sink.address, held_max=3, policy=HOLD +
             '  exempt_recipients = {"@known.test"}')
    for i in range(3):
        peer = w.hello()
        code, text = peer.transact(f"s{i}@example.org",
                                   ["new@example.com"], message())
        assert code == 250, text
    peer.ask("MAIL FROM:<other@example.org>")
    code, lines = peer.ask("RCPT TO:<new@example.com>")
    assert code == 452 and "3 of 3 recipients" in lines[0]
    Served(w, known_sink).send()
    assert w.status()["limit_refusals"] == 1
    assert w.log_lines("smtp refuse .*limit=held_max")
    [row] = w.ctl("problems")
    assert (row["kind"], row["who"], row["option"], row["count"],
            row["never_accepted"]) == ("refused", "<other@example.org>",
                                       "held_max", 1, True)
    w.ctl("discard", "--sender", "<s0@example.org>")
    assert peer.ask("RCPT TO:<new@example.com>")[0] == 250


def test_held_max_has_shares(weir, known_sink):
    """Many senders, none of them frozen, want all that may be held; one who
    comes late finds room, also after a restart."""
    w = weir(next_hop=known_sink.address, held_max=160, policy=HOLD)
    for i in range(7):
        peer = w.hello()
        peer.ask(f"MAIL FROM:<s{i}@example.org>")
        taken = sum(peer.ask(f"RCPT TO:<n{j}@example.com>")[0] == 250
                    for j in range(40))
        assert taken >= 1
        code, text = peer.submit(message())
        # Whole or not at all.
        assert code == (250 if taken == 40 else 452), (taken, text)
        if code == 452:
            assert "refused for all of them" in text
            peer.ask("RSET")
            code, text = peer.transact(
                f"s{i}@example.org",
                [f"n{j}@example.com" for j in range(taken)], message())
            assert code == 250, text
        peer.close()
    assert w.status()["held_recipients"] <= 170
    for restart in (False, True):
        if restart:
            w.stop()
            w.start()
        peer = w.hello()
        code, text = peer.transact(f"late{restart}@example.org",
                                   ["new@example.com"], message())
        assert code == 250, text
    assert w.log_lines("smtp refuse .*limit=held_max")


def test_held_bytes_max(weir, known_sink):
    """One sender may fill it while he is alone; others have room then, and
    what is discarded gives it back."""
    w = weir(next_hop=known_sink.address, held_bytes_max='"16M"',
             policy=HOLD + '  exempt_recipients = {"@known.test"}')
    large = message(body=("x" * 900 + "\r\n") * 1500)
    peer = w.hello()
    for i in range(20):
        code, lines = peer.transact("thief@example.org",
                                    [f"n{i}@example.com"], large)
        if code != 250:
            break
    assert 10 <= i <= 13
    assert code == 452 and "of 16 MB" in str(lines) and "by this sender" in str(lines)
    code, text = w.hello().transact("other@example.org", ["n@example.com"],
                                    message())
    assert code == 250, text
    until(lambda: len(list((w.spool / "bodies").iterdir())) == i,
          "the file of what was refused to go")
    Served(w, known_sink).send()
    assert w.log_lines("smtp refuse .*limit=held_bytes_max")
    w.ctl("discard", "--sender", "<thief@example.org>")
    assert peer.transact("thief@example.org", ["n@example.com"],
                         large)[0] == 250


def test_notice_limit(weir, sink):
    """A sender, perhaps forged, hears of two messages; the administrator of
    all."""
    w = weir(policy=HOLD, notify_after='"1s"', notify_limit='"2/1h"')
    for i in range(4):
        code, text = w.hello().transact(
            "Victim@example.org", [f"n{i}@example.com"], message())
        assert code == 250, text
    until(lambda: len(w.log_lines("delivery delayed")) >= 4, "the notices")
    assert len(w.log_lines("delivery delayed .*notice=limit")) == 2
    until(lambda: len(sink.messages) >= 2, "the notices")
    time.sleep(0.5)
    assert [m[1] for m in sink.messages] == [["Victim@example.org"]] * 2


def nofile(pid, limit):
    subprocess.run(["prlimit", f"--nofile={limit}:", "--pid", str(pid)],
                   check=True)


def test_out_of_descriptors(weir, known_sink):
    """Accepting rests: no spin, a line in the log, and service afterwards."""
    w = weir(next_hop=known_sink.address, policy=EXEMPT)
    pid = w.process.pid
    served = Served(w, known_sink)
    served.send()
    before = int(re.search(
        r"Max open files\s+(\d+)",
        pathlib.Path(f"/proc/{pid}/limits").read_text()).group(1))
    nofile(pid, descriptors(pid) + 5)
    with ManyClients(w.port, "idle", 30) as clients:
        until(lambda: w.log_lines("maild accept_failed "), "the trouble")
        started = cpu_s(pid)
        time.sleep(1.5)
        spent = cpu_s(pid) - started
        assert clients.figures()["greeted"] <= 6
        nofile(pid, before)
        clients.until("greeted", 30)
    served.send()
    assert spent < 0.3, f"{spent} s of CPU in 1.5 s"


class Poor(Weir):
    """May have but few descriptors, and has no right to raise that."""

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["prlimit", f"--nofile={self.files}:{self.files}", "setpriv",
                 "--bounding-set=-sys_resource", "--inh-caps=-sys_resource",
                 self.command, "-c", self.config], stderr=log, stdout=log)


def test_few_descriptors_lower_sessions_max(tmp_path, known_sink):
    w = Poor(tmp_path / "weir", known_sink.address, policy=EXEMPT,
             sessions_max=5000)
    w.files = 400
    try:
        w.start()
        line, = w.log_lines("maild limits ")
        assert "sessions_max=5000 lowered_to=100 descriptors=400" in line
        assert "needed=" in line and "ulimit -n" in line
        with ManyClients(w.port, "idle", 120, 2) as clients:
            clients.until("refused", 20)
            assert clients.figures()["greeted"] == 100
        Served(w, known_sink).send()
    finally:
        w.stop()


def test_too_few_descriptors(tmp_path, known_sink):
    w = Poor(tmp_path / "weir", known_sink.address)
    w.files = 15
    w.write_config()
    w.spawn()
    assert w.process.wait(10) == 71
    assert "too few file descriptors" in w.log()


def test_descriptors_are_raised(weir, known_sink):
    """The soft limit follows the configuration, at a reload too."""
    w = weir(next_hop=known_sink.address, sessions_max=1500)

    def limit():
        text = pathlib.Path(f"/proc/{w.process.pid}/limits").read_text()
        return int(re.search(r"Max open files\s+(\d+)", text).group(1))

    nofile(w.process.pid, 1000)
    w.options["sessions_max"] = 1600
    w.write_config()
    w.ctl("reload")
    assert limit() >= 1600 + 200
    assert not w.log_lines("maild limits ")


NEGOTIATE = struct.pack(">IcIII", 13, b"O", 6, 0x1ff, 0x1fffff)
SMFIP_NR_CONN = 0x1000


def start_milter(weir, sink, **options):
    port = free_port()
    w = weir(next_hop=sink.address, start=False,
             sections=f'listen "mta" {{ address = "127.0.0.1:{port}"'
                      "  protocol = milter }", **options)
    w.write_config()
    done = subprocess.run([w.command, "-t", "-c", w.config],
                          capture_output=True, text=True)
    if "without libmilter" in done.stderr:
        pytest.skip("built without libmilter")
    w.start()
    return w, port


def test_milter_connections(weir, known_sink):
    w, port = start_milter(weir, known_sink, milter_connections_max=2)

    def negotiated():
        s = socket.create_connection(("127.0.0.1", port))
        s.settimeout(DEADLINE_S)
        s.sendall(NEGOTIATE)
        return s, s.recv(5)[4:]

    kept = [negotiated() for _ in range(2)]
    assert [answer for _, answer in kept] == [b"O", b"O"]
    assert negotiated()[1] == b""
    assert w.log_lines("milter refuse .*limit=milter_connections_max")
    kept[0][0].close()
    until(lambda: negotiated()[1] == b"O", "a place")


def test_milter_connections_are_shared_by_clients(weir, known_sink):
    """One client of the mail server that takes all it can get leaves room for
    another, who hears no 451."""
    w, port = start_milter(weir, known_sink, milter_connections_max=16)
    kept = []

    def connected(client):
        s = socket.create_connection(("127.0.0.1", port))
        kept.append(s)
        s.settimeout(DEADLINE_S)
        words = b"a.test\0" + struct.pack(">cH", b"4", 25) + client + b"\0"
        s.sendall(NEGOTIATE + struct.pack(">Ic", len(words) + 1, b"C") + words)
        f = s.makefile("rb")
        agreed = f.read(struct.unpack(">I", f.read(4))[0])
        if struct.unpack(">I", agreed[9:13])[0] & SMFIP_NR_CONN:
            return b"c"
        return f.read(5)[4:]

    greedy = [connected(b"192.0.2.1") for _ in range(17)]
    assert greedy == 16 * [b"c"] + [b"t"]
    kept.pop().close()

    def has_room():
        try:
            return connected(b"198.51.100.7") == b"c"
        except ConnectionResetError:
            return False  # weir has not seen the end of the last one yet

    until(has_room, "room for another")
    assert w.log_lines("milter refuse client=192.0.2.1 ")
    until(lambda: w.status()["connections_refused"] >= 1, "the counter")
    for s in kept:
        s.close()


def test_policy_connections(weir, known_sink):
    port = free_port()
    w = weir(next_hop=known_sink.address, policy_connections_max=3,
             sections=f'listen "mta" {{ address = "127.0.0.1:{port}"'
                      "  protocol = policy }")
    ask = (b"request=smtpd_access_policy\nprotocol_state=RCPT\n"
           b"client_address=192.0.2.1\nrecipient=b@example.com\n"
           b"sender=a@example.org\ninstance=1\n\n")

    def answer():
        s = socket.create_connection(("127.0.0.1", port))
        s.settimeout(DEADLINE_S)
        s.sendall(ask)
        try:
            return s, s.recv(100)
        except ConnectionError:
            return s, b""

    kept = [answer() for _ in range(3)]
    assert all(text.startswith(b"action=") for _, text in kept)
    assert answer()[1] == b""
    assert w.log_lines("policy refuse .*limit=policy_connections_max")
    kept.pop()[0].close()
    until(lambda: answer()[1].startswith(b"action="), "a place")


def test_control_connections(weir, known_sink):
    w = weir(next_hop=known_sink.address, control_connections_max=2)
    kept = []
    for _ in range(2):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(w.control))
        kept.append(s)
    until(lambda: "too many" in w.run_ctl("status").stderr, "the refusal")
    for s in kept:
        s.close()
    until(w.is_up, "a place")
