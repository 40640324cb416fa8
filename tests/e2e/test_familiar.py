# SPDX-License-Identifier: BSD-3-Clause
"""Whom a sender wrote to before is familiar, also after a restart, when the
row has to be read first: through the relay, and through a real Postfix with
the milter and the policy service."""
import contextlib
import os
import pathlib
import tempfile
import time

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
    with pytest.raises(CtlError, match="never seen"):
        w.ctl("forget", "mallory@example.com")


def test_some_leave_before_the_answer(relay):
    """Each sender's row has to be read, and its client is gone, or has said
    RSET, before or after that."""
    w, sink = relay
    for cut in range(1, 40):
        sender = f"s{cut}@example.com"
        text = (f"EHLO client.test\r\nMAIL FROM:<{sender}>\r\n"
                f"RCPT TO:<{OLD}>\r\nRCPT TO:<{NEW}>\r\nRSET\r\n"
                f"MAIL FROM:<{sender}>\r\nRCPT TO:<{OLD}>\r\n").encode()
        gone = Peer.connect(w.port)
        gone.sock.sendall(text[:len(text) * cut // 39])
        gone.close()
    assert submit(w, OLD) == 250
    assert sink.wait_for(3)[2:] == [OLD]
    until(lambda: len(w.ctl("senders")) == 1, "what they made to be gone")
    assert w.held() == []


def learn(w, *lines):
    file = pathlib.Path(w.dir) / "known"
    file.write_bytes(b"\n".join(
        x.encode() if isinstance(x, str) else x for x in lines) + b"\n")
    done = w.run_ctl("learn", str(file))
    return done.returncode, done.stdout, done.stderr.replace(str(file), "F")


def test_learns_from_a_file(relay):
    w, sink = relay
    today = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert learn(w, "# whom they know", "",
                 f"{ALICE} {NEW} {today}", f"  {ALICE}\tnew2@x.test 2001-01-01",
                 f"bob@example.com  {NEW} {today}\r") == (
        0, "learnt 2 of 3 lines; 1 are older than familiar_for, 0 wrong\n", "")
    why = w.ctl("explain", ALICE, NEW)
    assert (why["tier"], why["verdict"]) == ("familiar", "pass")
    assert w.ctl("explain", "bob@example.com", NEW)["tier"] == "familiar"
    assert w.ctl("explain", "bob@example.com", OLD)["tier"] == "stranger"
    assert w.ctl("show", ALICE)["remembered_imported"] == 1
    w.kill()  # it is on disk
    w.launch()
    assert submit(w, NEW) == 250
    assert sink.wait_for(3)[2:] == [NEW]
    assert [a["action"] for a in w.ctl("audit")] == ["learn"]


def test_learns_nothing_wrong(relay):
    w, _ = relay
    code, out, err = learn(
        w, f"{ALICE} {NEW} 2999-01-01", "one", b"a b\xff 2026-01-01",
        f"{ALICE} a@b@x.test 2026-01-01", "a b c d", "x" * 5000,
        f"{ALICE} {NEW} 2026-02-30")
    assert code == 1
    assert out.endswith(" 7 wrong\n") and out.startswith("learnt 0 of 6 ")
    lines = sorted(err.splitlines())
    assert [x.split(":")[2] for x in lines] == list("1234567")
    assert "F:1: the time is in the future" in lines[0]
    assert "not an address" in lines[3]
    # A file of something else: told of, and not read to its end.
    code, out, err = learn(w, *["rubbish"] * 1000000)
    assert code == 1
    assert len(err.splitlines()) == 21 and "from line 21 on" in err
    assert w.run_ctl("learn", "/nowhere").returncode == 1
    assert w.status()["senders"] == 1


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
                code = s.rcpt(rcpt)[0]
                return s.data(message())[0] if code == 250 else code

        for rcpt in (OLD, LAST):
            assert send(rcpt) == 250
        # Postfix may deliver them in any order.
        until(lambda: sorted(sink.recipients()) == sorted([OLD, LAST]),
              "both to be out")
        assert w.stop() == 0
        w.launch()
        assert send(OLD) == 250
        until(lambda: sink.recipients()[2:] == [OLD], "the old one's mail")
        assert w.status()["passed_familiar"] == 1
        if protocol == "milter":
            assert send(NEW) == 250
            until(lambda: w.held() == [NEW], "the new one to be held")
        else:
            assert send(NEW) == 450
