# SPDX-License-Identifier: BSD-3-Clause
"""Whom a sender wrote to before is familiar, also after a restart, when the
row has to be read first: through the relay, and through a real Postfix with
the milter and the policy service."""
import contextlib
import os
import tempfile

import pytest

from harness import CtlError, Peer, Sink, Weir, message, until
from milter import MilterPostfix, MilterWeir

# One of two is recent; afterwards nobody new may pass for a day.
POLICY = 'interval = "1d"  burst = 2  initial = 2  working_set = 1'
DOMAINS = '{"example.com"}'
ALICE = "alice@example.com"
OLD, LAST, NEW = "old@x.test", "last@x.test", "new@x.test"


def submit(w, rcpt):
    c = w.hello()
    code = c.transact(ALICE, [rcpt], b"Subject: x\r\n\r\ny\r\n")[0]
    c.close()
    return code


@pytest.fixture(name="relay")
def relay_fixture(tmp_path):
    with contextlib.ExitStack() as undo:
        sink = Sink().start()
        undo.callback(sink.stop)
        w = Weir(tmp_path / "w", sink.address, policy=POLICY + " key = envelope",
                 local_domains=DOMAINS).start()
        undo.callback(w.stop)
        for rcpt in (OLD, LAST):
            assert submit(w, rcpt) == 250
        assert sink.wait_for(2) == [OLD, LAST]
        assert w.stop() == 0
        w.launch()
        yield w, sink


def test_the_relay_remembers(relay):
    w, sink = relay
    why = w.ctl("explain", ALICE, OLD)
    assert (why["tier"], why["verdict"]) == ("familiar", "pass")
    assert why["why"] == "familiar recipient (mail went to it before)"
    assert w.ctl("explain", ALICE, NEW)["tier"] == "stranger"
    shown = w.ctl("show", ALICE)
    assert (shown["remembered"], shown["remembered_reached"]) == (2, 2)
    # Nobody had to be asked for this one: it is recent.
    for rcpt in (LAST, OLD, LAST, NEW):
        assert submit(w, rcpt) == 250
    assert sink.wait_for(5)[2:] == [LAST, OLD, LAST]
    assert w.held() == [NEW]
    assert w.ctl("forget", ALICE) == {"addresses": 2}
    assert submit(w, OLD) == 250
    assert sorted(w.held()) == [NEW, OLD]
    with pytest.raises(CtlError, match="nobody"):
        w.ctl("forget", "mallory@example.com")


def test_many_at_once_and_gone(relay):
    """All of a message at once, while the row is read; some clients leave
    without hearing the answers."""
    w, sink = relay
    lines = ["EHLO client.test", f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{OLD}>",
             "RSET", f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{OLD}>", "DATA"]
    text = "".join(f"{line}\r\n" for line in lines).encode()
    for cut in range(1, 30):
        gone = Peer.connect(w.port)
        gone.sock.sendall(text[:len(text) * cut // 30])
        gone.close()
        c = w.hello()
        for line in lines:
            assert c.ask(line)[0] in (250, 354), line
        assert c.submit(b"Subject: x\r\n\r\ny\r\n")[0] == 250
        c.close()
    assert sink.wait_for(31)[2:] == [OLD] * 29
    assert w.held() == []


@pytest.mark.parametrize("protocol", ["milter", "policy"])
def test_postfix_asks_and_it_remembers(protocol):
    with contextlib.ExitStack() as undo:
        directory = undo.enter_context(
            tempfile.TemporaryDirectory(prefix="weir-familiar-"))
        os.chmod(directory, 0o755)  # for Postfix's own user
        w = MilterWeir(f"{directory}/w", "127.0.0.1:1", protocol=protocol,
                       unix=False, policy=POLICY, local_domains=DOMAINS)
        sink = Sink().start()
        undo.callback(sink.stop)
        where, ask = w.where, ""
        if protocol == "policy":
            where, ask = "", f"check_policy_service {where},"
        mta = MilterPostfix(where, relayhost=f"[127.0.0.1]:{sink.port}")
        mta.run("postconf", "-e", "smtpd_recipient_restrictions = "
                f"{ask} permit_mynetworks, reject")
        w.next_hop = mta.back
        undo.callback(mta.stop)
        undo.callback(w.stop)
        w.start()
        mta.start()

        def send(rcpt):
            with mta.client() as s:
                s.ehlo()
                s.mail(ALICE)
                return s.rcpt(rcpt)[0], s.data(message())[0]

        for rcpt in (OLD, LAST):
            assert send(rcpt) == (250, 250)
        until(lambda: sink.recipients() == [OLD, LAST], "both to be out")
        assert w.stop() == 0
        w.launch()
        assert send(OLD) == (250, 250)
        until(lambda: sink.recipients()[2:] == [OLD], "the old one's mail")
        assert w.status()["passed_familiar"] == 1
        if protocol == "milter":
            assert send(NEW) == (250, 250)
            until(lambda: w.held() == [NEW], "the new one to be held")
        else:
            assert send(NEW)[0] == 450
