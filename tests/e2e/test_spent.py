# SPDX-License-Identifier: BSD-3-Clause
"""What was spent stays spent, whatever becomes of the daemon, and a freeze stops
the transactions that are open: through the relay, the milter and the policy
service."""
import pytest

from harness import FastSink, Peer, Weir, message
from milter import MilterWeir
from test_milter_wire import Mta
from test_policy_service import answers, request

SLOW = 'interval = "1h"  burst = 4  initial = 4'
ROUNDS, EACH = 3, 5


def by_relay(w, address):
    code, words = w.hello().transact("a@example.org", [address], message())
    assert code == 250
    return "held" not in words


def by_milter(w, address):
    """Refused at RCPT is what must wait (milter_hold = tempfail)."""
    mta = Mta(w)
    assert mta.ask(b"M", b"<a@example.org>\0") == b"c"
    if mta.ask(b"R", f"<{address}>\0".encode()) != b"c":
        return False
    assert mta.ask(b"T") == b"c"
    assert mta.end() == [(b"a", b"")]
    return True


def by_policy(w, address):
    return answers(w.mta_port, request(address), 1) == ["action=DUNNO"]


@pytest.mark.parametrize("front", ["relay", "milter", "policy"])
def test_a_killed_daemon_gives_nothing_back(tmp_path, front):
    sink = FastSink()
    if front == "relay":
        w, send = Weir(tmp_path / "w", sink.address, policy=SLOW), by_relay
    else:
        w = MilterWeir(tmp_path / "w", sink.address, protocol=front,
                       unix=False, policy=SLOW,
                       milter_hold='"tempfail"')
        send = by_milter if front == "milter" else by_policy
    w.start()
    passed = 0
    for i in range(ROUNDS):
        passed += sum(send(w, f"s{i}-{k}@x.test") for k in range(EACH))
        w.kill()
        w.launch()
    assert passed == 4
    if front == "relay":
        assert len(set(sink.recipients())) == 4
    assert w.stop() == 0
    sink.stop()


@pytest.mark.parametrize("when_frozen,code", [
    ("tempfail", 451), ("reject", 550), ("hold", 451)])
def test_a_freeze_stops_what_is_open_in_the_relay(tmp_path, when_frozen, code):
    sink = FastSink()
    w = Weir(tmp_path / "w", sink.address,
             policy=SLOW + f"  when_frozen = {when_frozen}").start()
    at_data, at_dot = w.hello(), w.hello()
    for peer in (at_data, at_dot):
        assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
        assert peer.ask("RCPT TO:<b@x.test>")[0] == 250
    assert at_dot.ask("DATA")[0] == 354
    w.ctl("freeze", "127.0.0.1")
    got, lines = at_data.ask("DATA")
    assert (got, "frozen" in lines[0]) == (code, True), lines
    at_dot.send(message() + b".\r\n")
    got, lines = at_dot.reply()
    assert (got, "frozen" in lines[0]) == (code, True), lines
    # The sessions go on, and so does the sender once it is thawed.
    w.ctl("thaw", "127.0.0.1")
    for peer in (at_data, at_dot):
        assert peer.ask("RSET")[0] == 250
        assert peer.transact("a@example.org", ["b@x.test"],
                             message())[0] == 250
    assert len(sink.recipients()) == 2
    assert w.sender("[127.0.0.1]")["allowance"] == 3
    assert w.stop() == 0
    sink.stop()


def test_a_freeze_stops_what_is_open_in_the_milter(tmp_path):
    w = MilterWeir(tmp_path / "w", "127.0.0.1:1", unix=False,
                   policy=SLOW).start()
    known = Mta(w)
    known.envelope("b@x.test")
    known.header()
    assert known.end() == [(b"a", b"")]
    # Known and new, stopped at DATA and at the end.
    for address in ("b@x.test", "c@x.test"):
        mta = Mta(w)
        mta.envelope(address)
        w.ctl("freeze", "192.0.2.7")
        kind, words = mta.say(b"T") or mta.reply()
        assert kind == b"y" and b"451 4.7.1" in words, (kind, words)
        w.ctl("thaw", "192.0.2.7")
    mta = Mta(w)
    mta.envelope("c@x.test")
    assert mta.ask(b"T") == b"c"
    w.ctl("freeze", "192.0.2.7")
    mta.header()
    kind, words = mta.end()[-1]
    assert kind == b"y" and b"451 4.7.1" in words, (kind, words)
    w.ctl("thaw", "192.0.2.7")
    assert w.sender("[192.0.2.7]")["allowance"] == 3
    assert w.stop() == 0


def test_a_freeze_is_heard_by_the_policy_service(tmp_path):
    w = MilterWeir(tmp_path / "w", "127.0.0.1:1", protocol="policy",
                   unix=False, policy=SLOW).start()
    peer = Peer.connect(w.mta_port)
    peer.send(request("b@x.test"))
    assert [peer.line(), peer.line()] == ["action=DUNNO", ""]
    w.ctl("freeze", "alice")
    for state in ("DATA", "END-OF-MESSAGE"):
        peer.send(request(state=state, recipient=""))
        line, _ = peer.line(), peer.line()
        assert line.startswith("action=DEFER_IF_PERMIT 4.7.1"), line
    peer.close()
    assert w.stop() == 0
