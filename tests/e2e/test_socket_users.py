# SPDX-License-Identifier: BSD-3-Clause
"""Who may use the milter and the policy service: whoever asks there is believed
when it names a user, so the peer must be known."""
import json
import os
import socket
import subprocess

import pytest

from harness import DEADLINE_S, Peer, until
from milter import MilterWeir, let_others_in

HOLD = 'interval = "1h"  burst = 2  initial = 2'
NOBODY = 65534
REQUEST = ("request=smtpd_access_policy\nprotocol_state=RCPT\n"
           "client_address=192.0.2.1\nsender=alice@example.org\n"
           "recipient=b@example.com\nsasl_username=boss\ninstance=1.2\n\n")
NEGOTIATE = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="it takes root to be somebody else")

# Prints what it hears; with "gone" it is away before anybody looks.
CLIENT = """
import json, socket, sys, time
kind, where, data, how = json.loads(sys.argv[1])
s = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
s.settimeout(%d)
s.connect(where if kind == "unix" else tuple(where))
try:
    s.sendall(bytes.fromhex(data))
    if how == "gone":
        sys.exit()
    print(s.recv(4096).hex())
except OSError:
    print("")
""" % DEADLINE_S


@pytest.fixture
def service(tmp_path):
    """The path to the socket must be open to everybody."""
    made = []

    def make(protocol, kind, **kw):
        w = MilterWeir(tmp_path / "w", "127.0.0.1:1", protocol=protocol,
                       unix=kind == "unix", policy=HOLD, **kw)
        made.append(w)
        w.start()
        let_others_in(w.dir)
        return w

    yield make
    for w in made:
        assert w.stop() == 0, w.log()[-2000:]


def asks(w, kind, data, uid=NOBODY, how="reads"):
    where = w.mta_socket if kind == "unix" else ["127.0.0.1", w.mta_port]
    done = subprocess.run(
        ["/usr/bin/python3", "-c", CLIENT,
         json.dumps([kind, where, data.hex(), how])],
        user=uid, group=uid, extra_groups=[], capture_output=True, text=True,
        timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return bytes.fromhex(done.stdout.strip())


SAID = {"policy": REQUEST.encode(), "milter": NEGOTIATE}


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("protocol", ["policy", "milter"])
def test_other_users_are_not_heard(service, protocol, kind):
    w = service(protocol, kind)
    for _ in range(12):  # libmilter ends after ten failures in a row
        assert asks(w, kind, SAID[protocol]) == b""
    assert asks(w, kind, SAID[protocol], how="gone") == b""
    assert asks(w, kind, SAID[protocol], uid=0) != b""
    until(lambda: w.status()["peers_refused"] >= 12, "the counter")
    assert w.log_lines(f"{protocol} denied reason=.*(nobody|65534)")
    assert len(w.log_lines(f"{protocol} denied")) <= 13
    assert w.sender("boss") is None or protocol == "policy"


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("protocol", ["policy", "milter"])
def test_a_listed_user_is_heard(service, protocol, kind):
    w = service(protocol, kind, socket_users='{"nobody", "no-such-user"}')
    assert asks(w, kind, SAID[protocol]) != b""
    assert w.status()["peers_refused"] == 0


@pytest.mark.parametrize("protocol", ["policy", "milter"])
def test_tcp_only_from_listed_addresses(service, protocol):
    w = service(protocol, "tcp", mta_options='clients = {"192.0.2.0/24"}')
    assert asks(w, "tcp", SAID[protocol], uid=0) == b""
    assert w.log_lines(f"{protocol} denied reason=.*127.0.0.1 is not")


def test_tcp_is_warned_of(service):
    w = service("policy", "tcp")
    assert w.log_lines("over TCP every program")


# ---- orders of commands ----

CONNECT = b"C" + b"client.test\0004\0\x19192.0.2.7\0"
PACKETS = [NEGOTIATE[4:], CONNECT, b"Hhelo.test\0", b"M<a@example.org>\0",
           b"R<b@example.com>\0", b"T", b"LSubject\0hello\0", b"N",
           b"Btext\r\n", b"E", b"A", b"K", b"DM{auth_authen}\0boss\0", b"Uodd\0"]


def frame(packet):
    return len(packet).to_bytes(4, "big") + packet


def orders(first, most):
    """All sequences of up to `most` packets that begin with this one."""
    yield [first]
    if most > 1:
        for packet in PACKETS:
            for rest in orders(packet, most - 1):
                yield [first, *rest]


def play(port, packets):
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as s:
        s.sendall(b"".join(map(frame, packets)))
        s.shutdown(socket.SHUT_WR)
        got = b""
        while data := s.recv(4096):
            got += data
    return got


@pytest.mark.parametrize("first", range(len(PACKETS)),
                         ids=[chr(p[0]) for p in PACKETS])
def test_every_order_of_milter_commands(service, first):
    """A command that comes without its time ends the connection at most; of
    the negotiated ones each message is judged."""
    w = service("milter", "tcp")
    for packets in orders(PACKETS[first], 4):
        try:
            play(w.mta_port, packets)
        except OSError:  # it closed before it had read all
            pass
    assert w.process.poll() is None
    said = play(w.mta_port, [NEGOTIATE[4:], CONNECT, b"Hhelo.test\0",
                             b"M<b@example.org>\0", b"Q"])
    assert said.endswith(frame(b"c"))


@pytest.mark.parametrize("packet", PACKETS[1:],
                         ids=[chr(p[0]) for p in PACKETS[1:]])
def test_without_negotiation_the_connection_ends(service, packet):
    w = service("milter", "tcp")
    peer = Peer.connect(w.mta_port)
    peer.send(frame(packet))
    if packet[:1] in b"HM":  # the others libmilter does not let through
        assert peer.at_end()
    peer.close()
    assert w.process.poll() is None
