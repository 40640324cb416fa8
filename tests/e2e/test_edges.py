# SPDX-License-Identifier: BSD-3-Clause
"""Corners of the relay: a next hop that is weir itself, two relays that are
each other's, long local parts, and every protocol name of Received."""
import re

import pytest

from harness import Peer, free_port, hello, message, serve_smtp, until
from pki import Pki
from test_tls import starttls

ROOMY = 'interval = "1h"  burst = 100  initial = 100'
HOLD = 'key = envelope  interval = "1h"  burst = 1  initial = 0'


# ---- loops ----

def refused(w, source):
    """What a client hears at RCPT."""
    peer = Peer.connect(w.port, source=source)
    assert peer.reply()[0] == 220
    assert peer.ask("EHLO client.test")[0] == 250
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    code, lines = peer.ask("RCPT TO:<b@example.com>")
    peer.close()
    return code, " ".join(lines)


@pytest.mark.parametrize("beside", ["nothing", "a dead address"])
def test_next_hop_is_weir_itself(weir, beside):
    """Told at once, to the client and in the log, with the option's name. An
    address that does not answer beside it (localhost is ::1 as well on most
    machines) does not hide that."""
    w = weir(start=False, policy=ROOMY)
    w.next_hop = [f"localhost:{w.port}"]  # what a check of the file cannot see
    if beside != "nothing":
        w.next_hop.append(f"127.0.0.1:{free_port()}")
    w.start()
    code, text = refused(w, "127.0.0.1")
    assert code == 451 and "loops back to myself" in text
    assert w.log_lines("next_hop rest .*loops back.*option next_hop")
    until(lambda: w.status()["sessions_open"] == 0, "the sessions' end")
    assert w.status()["sessions"] <= 4


def test_same_name_is_no_loop(weir, scripted):
    """Postfix behind weir on one machine has the machine's name as well."""
    hop = scripted(lambda p: serve_smtp(
        p, on={"": lambda p, line: p.say("220 relay.weir.test ESMTP")}))
    w = weir(next_hop=hop.address, policy=ROOMY)
    assert hello(w.port, "relay.weir.test").transact(
        "a@example.org", ["b@example.com"], message())[0] == 250


def test_two_relays_in_a_circle(weir):
    """Each session opens one at the other relay. EHLO is answered in the end
    without the other's, client_sessions_max bounds the rest, and who sends mail
    waits in line for a connection and hears 451; nothing hangs."""
    options = {"policy": ROOMY, "client_sessions_max": "20",
               "answer_timeout": '"5s"'}
    a = weir(start=False, hostname='"a.weir.test"', name="a", **options)
    b = weir(start=False, hostname='"b.weir.test"', name="b", **options)
    a.next_hop, b.next_hop = b.port_address, a.port_address
    a.start()
    b.start()
    assert refused(a, "127.0.0.7")[0] == 451
    for w in (a, b):
        until(lambda: w.status()["sessions_open"] <= 20, "the end of it")
        assert w.status()["sessions"] < 200
        assert w.status()["messages"] == 0
    # A drain would wait for the transactions of the other one.
    a.kill()
    b.kill()


# ---- local parts ----

def test_long_local_parts(weir, sink):
    w = weir(policy=ROOMY)
    peer = w.hello()
    fits, longer = "a" * 64, "a" * 65
    assert peer.transact(f"{fits}@example.org", [f"{fits}@example.com"],
                         message())[0] == 250
    assert peer.ask(f"MAIL FROM:<{longer}@example.org>") == (
        553, ["5.1.7 local part longer than 64 bytes"])
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    assert peer.ask(f"RCPT TO:<{longer}@example.org>") == (
        553, ["5.1.3 local part longer than 64 bytes"])


def test_longer_local_parts_where_they_are_allowed(weir, sink):
    """VERP and SRS: taken, held, told apart, and as they were at the end."""
    verp = ("bounces+1234567-89ab-list-subscriber=" + "x" * 40 +
            ".example.com@em.example.net")
    most = "b" * 242 + "@example.net"  # 254 bytes
    w = weir(policy=HOLD, local_part_max="254")
    peer = w.hello()
    assert len(most) == 254
    assert peer.transact(verp, [most, "c" + most[1:], verp],
                         message())[0] == 250
    assert peer.ask("MAIL FROM:<" + "b" + most + ">")[0] == 501
    # It counts for the list, and is found by what stands in a log.
    (sender,) = w.ctl("senders")
    assert sender["sender"] == "<bounces@em.example.net>"
    assert sender["queue_length"] == 3
    shown = w.ctl("show", verp)
    assert shown["sender"] == sender["sender"]
    w.restart()
    assert w.held() == [most, "c" + most[1:], verp]
    w.ctl("release", "--all")
    assert sink.wait_for(3) == [most, "c" + most[1:], verp]


# ---- Received (RFC 3848, RFC 6531 section 4.3) ----

PLAIN = "AUTH PLAIN AGFsaWNlAHB3"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def cert(pki):
    return pki.cert("relay", ["relay.weir.test"])


@pytest.mark.parametrize("hidden", [False, True])
def test_every_protocol_name(weir, scripted, pki, cert, hidden):
    peers = []

    def serve(peer):
        peers.append(peer)
        serve_smtp(peer, ["SMTPUTF8", "8BITMIME", "AUTH PLAIN"], {
            "AUTH": lambda p, line: p.say("235 2.7.0 ok") or True})

    port = free_port()
    w = weir(next_hop=scripted(serve).address, policy=ROOMY,
             tls_cert=f'"{cert}"',
             sections=f'listen "all" {{ address = "127.0.0.1:{port}"\n'
             'tls = may  auth = pass  hide_client = '
             f'{"true" if hidden else "false"} }}\n')

    def name_of(tls, auth, utf8, helo=False):
        if tls:
            peer = starttls(port, pki.client())
        else:
            peer = Peer.connect(port)
            assert peer.reply()[0] == 220
        assert peer.ask("HELO me.test" if helo else "EHLO me.test")[0] == 250
        if auth:
            assert peer.ask(PLAIN)[0] == 235
        before = sum(len(p.data) for p in peers)
        code, text = peer.transact("a@example.org", ["b@example.com"],
                                   message(), " SMTPUTF8" if utf8 else "")
        assert code == 250, text
        peer.ask("QUIT")
        assert sum(len(p.data) for p in peers) > before
        data = b"".join(p.data for p in peers)
        for p in peers:
            p.data = b""
        trace = data[:data.index(b"\r\nFrom:")].decode()
        assert trace.count("Received:") == 1
        assert ("me.test" in trace) == ("127.0.0.1" in trace) == (not hidden)
        return re.search(r"with (\S+) id ", trace).group(1)

    assert name_of(False, False, False, helo=True) == "SMTP"
    assert name_of(True, False, False, helo=True) == "SMTP"
    for tls in (False, True):
        for auth in (False, True):
            tail = ("S" if tls else "") + ("A" if auth else "")
            assert name_of(tls, auth, False) == "ESMTP" + tail
            assert name_of(tls, auth, True) == "UTF8SMTP" + tail
