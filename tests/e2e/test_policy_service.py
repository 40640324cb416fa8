# SPDX-License-Identifier: BSD-3-Clause
"""The policy service: raw requests as Postfix and Exim send them, and a real
Postfix that asks."""
import socket

import pytest

from harness import Peer, message, until
from milter import MilterPostfix, MilterWeir

HOLD = 'interval = "1h"  burst = 2  initial = 2'


@pytest.fixture
def service(tmp_path):
    made = []

    def make(policy=HOLD, **kw):
        w = MilterWeir(tmp_path / "w", "127.0.0.1:1", protocol="policy",
                       unix=False, policy=policy, **kw)
        made.append(w)
        return w.start()

    yield make
    for w in made:
        assert w.stop() == 0


def request(recipient="b@example.com", state="RCPT", user="alice", **more):
    fields = {"request": "smtpd_access_policy", "protocol_state": state,
              "client_address": "192.0.2.1", "sender": "alice@example.org",
              "recipient": recipient, "sasl_username": user,
              "instance": "1.2", **more}
    return "".join(f"{k}={v}\n" for k, v in fields.items()) + "\n"


def answers(port, text, count, at_once=True):
    peer = Peer.connect(port)
    if at_once:
        peer.send(text)
    else:
        for byte in text:
            peer.send(byte)
    got = []
    for _ in range(count):
        got.append(peer.line())
        assert peer.line() == ""
    peer.close()
    return got


@pytest.mark.parametrize("service_answer,action", [
    ("defer", "DEFER_IF_PERMIT 4.7.1 "), ("hold", "HOLD "),
    ("reject", "REJECT 5.7.1 ")])
def test_answers(service, service_answer, action):
    w = service(HOLD + f"  service = {service_answer}")
    got = answers(w.mta_port, "".join(
        request(f"p{i}@example.com") for i in range(3)), 3)
    assert got[:2] == ["action=DUNNO"] * 2
    assert got[2].startswith(f"action={action}new recipient must wait"), got
    # The same again: known, and still waiting, without a second place.
    for _ in range(3):
        got = answers(w.mta_port, request("p0@example.com") +
                      request("p2@example.com"), 2)
        assert got[0] == "action=DUNNO"
        assert got[1].startswith(f"action={action}")
    assert w.sender("alice")["queue_length"] == 1
    told = [(p["kind"], p["who"], p["option"], p["count"])
            for p in w.ctl("problems")]
    assert told == ([] if service_answer == "hold" else
                    [("refused", "alice", "service", 4)])


def test_a_foreign_return_path_counts(service):
    w = service()

    def ask(path):
        return answers(w.mta_port, request("b@example.com", sender=path), 1)[0]

    # The first is the user's own, and the recipient cost one of two.
    assert [ask(f"s{i}@x.test") for i in range(2)] == ["action=DUNNO"] * 2
    for _ in range(3):
        assert "reverse path is new to this sender" in ask("s2@x.test")
        assert ask("s1@x.test") == "action=DUNNO"
    assert w.sender("alice")["queue_length"] == 1


def test_fragments_and_odd_attributes(service):
    w = service()
    text = request(future="a=b=c", helo_name="x" * 5000,
                   sender="prvs=123=a@example.org")
    assert answers(w.mta_port, text, 1, at_once=False) == ["action=DUNNO"]
    got = answers(w.mta_port, request(recipient="r" * 3000), 1)
    assert got[0].startswith("action=DEFER_IF_PERMIT 4.7.1 an attribute")
    assert answers(w.mta_port, "request=other\n\n", 1) == ["action=DUNNO"]
    peer = Peer.connect(w.mta_port)
    peer.send("GET / HTTP/1.1\n\n")
    assert peer.at_end()
    # A client that goes in the middle of a request harms nobody.
    peer = Peer.connect(w.mta_port)
    peer.send("request=smtpd_acc")
    peer.close()
    assert answers(w.mta_port, "\n", 1) == ["action=DUNNO"]


def test_a_client_that_ends_its_side_is_answered(service):
    """As Exim's ${readsocket} does."""
    w = service()
    with socket.create_connection(("127.0.0.1", w.mta_port), 10) as s:
        s.sendall(request().encode())
        s.shutdown(socket.SHUT_WR)
        assert s.makefile("rb").read() == b"action=DUNNO\n\n"


def test_the_end_of_a_message_asks_once_more(service):
    w = service('interval = "1h"  burst = 1  initial = 1')
    end = request(state="END-OF-MESSAGE")
    # Asked about before: not again. Alone: as at RCPT.
    assert answers(w.mta_port, request() + end, 2) == ["action=DUNNO"] * 2
    got = answers(w.mta_port, request("new@example.com",
                                      state="END-OF-MESSAGE"), 1)
    assert got[0].startswith("action=DEFER_IF_PERMIT")
    w.ctl("freeze", "alice")
    got = answers(w.mta_port, end, 1)[0]
    assert got.startswith("action=DEFER_IF_PERMIT 4.7.1") and "frozen" in got


def test_what_waited_passes_when_its_turn_has_come(service):
    w = service('interval = "1s"  burst = 1  initial = 1')
    text = request("p0@example.com") + request("p1@example.com")
    got = answers(w.mta_port, text, 2)
    assert got[0] == "action=DUNNO" and "DEFER" in got[1]
    until(lambda: answers(w.mta_port, request("p1@example.com"), 1) ==
          ["action=DUNNO"], "the turn of p1")


@pytest.mark.parametrize("answer", ["defer", "hold", "reject"])
def test_a_decoy_holds_the_whole_message(service, answer):
    """Recipients before it have been let pass, and only HOLD stops those."""
    w = service(f'burst = 9  initial = 9  service = {answer}',
                decoys='{"trap@example.com"}')
    got = answers(w.mta_port, "".join(
        request(f"{to}@example.com") for to in ("a", "trap", "b")) +
        request(state="END-OF-MESSAGE", recipient=""), 4)
    assert got[0] == "action=DUNNO"
    assert got[1].startswith("action=HOLD ") and "decoy" not in got[1]
    assert got[2].startswith("action=HOLD ") and "decoy" not in got[2]
    assert got[3].startswith("action=HOLD "), got
    assert w.sender("alice")["freeze_reason"] == "decoy"
    got = answers(w.mta_port, request("a@example.com", instance="2.1"), 1)
    assert got[0].startswith("action=DEFER_IF_PERMIT") and "frozen" in got[0]


def test_an_outbreak_freezes_its_source(service):
    w = service('interval = "1h"  burst = 5  initial = 5  freeze_at = 20  '
                "when_frozen = reject")
    got = answers(w.mta_port, "".join(
        request(f"v{i}@example.com") for i in range(30)), 30)
    assert got[:5] == ["action=DUNNO"] * 5
    assert all(a.startswith("action=DEFER_IF_PERMIT") for a in got[5:25])
    assert all(a.startswith("action=REJECT 5.7.1") and "frozen" in a
               for a in got[25:])
    assert w.sender("alice")["frozen"]


def test_a_message_on_hold_stays_whole(service):
    """The freeze that it brings refuses no recipient of it, nor its end; the
    next message hears of it."""
    w = service('interval = "1h"  burst = 5  initial = 5  freeze_at = 20  '
                "service = hold")
    got = answers(w.mta_port, "".join(
        request(f"v{i}@example.com") for i in range(30)) +
        request("", "END-OF-MESSAGE") +
        request("w@example.com", instance="1.3"), 32)
    assert got[:5] == ["action=DUNNO"] * 5
    assert all(a.startswith("action=HOLD") for a in got[5:31]), got
    assert got[31].startswith("action=DEFER_IF_PERMIT 4.7.1"), got[31]
    assert w.sender("alice")["frozen"]


def test_postfix_asks(service):
    w = service('interval = "1h"  burst = 2  initial = 2  service = hold  '
                "local = client")
    where = f"check_policy_service inet:127.0.0.1:{w.mta_port}"
    mta = MilterPostfix()
    # Edited, not given twice: postlogd would warn into its own full socket.
    mta.run("postconf", "-e", "smtpd_recipient_restrictions = "
            f"{where}, permit_mynetworks, reject",
            f"smtpd_end_of_data_restrictions = {where}")
    try:
        mta.start()
        for i in range(3):
            assert mta.transact("a@example.org", [f"p{i}@example.com"],
                                message())[0] == 250
        mta.wait_for(2)
        until(lambda: len(mta.queue()) == 1, "one in the hold queue")
        assert '"hold"' in mta.queue()[0]
        w.ctl("freeze", "127.0.0.1")
        with mta.client() as s:
            s.ehlo()
            s.mail("a@example.org")
            code, words = s.rcpt("p0@example.com")
            assert code == 450 or code == 451, (code, words)
            assert b"frozen" in words
    finally:
        mta.stop()


@pytest.mark.parametrize("bad", [
    "x y <b@example.com>", "b @example.com", "b(c)@example.com",
    "b@example.com@example.com", "b@example .com", "@r.test", "b,c@example.com",
    "b\u0085@example.com", "b" * 300 + "@example.com"])
def test_what_is_no_address_is_refused(service, bad):
    w = service()
    got = answers(w.mta_port, request(bad) +
                  request("b@example.com", sender=bad), 2)
    assert got[0].startswith("action=REJECT 5.1.3 "), got
    assert got[1].startswith("action=REJECT 5.1.7 "), got
    assert w.status()["senders"] == 0


def test_all_spellings_of_an_address_are_one(service):
    w = service('interval = "1h"  burst = 1  initial = 1')
    got = answers(w.mta_port, "".join(request(r) for r in (
        "b@example.com", "<B@EXAMPLE.COM>", '"b"@example.com',
        "@r.test,@s.test:b@example.com", "b@example.com.", "root", "root",
        "c@example.com")), 8)
    assert got[:5] == ["action=DUNNO"] * 5
    assert all(a.startswith("action=DEFER_IF_PERMIT") for a in got[5:]), got
    assert w.sender("alice")["queue_length"] == 2
