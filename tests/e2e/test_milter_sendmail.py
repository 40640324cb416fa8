# SPDX-License-Identifier: BSD-3-Clause
"""weir as a milter inside a real Sendmail."""
import contextlib
import smtplib

import pytest

from harness import message, until
from milter import MilterWeir
from sendmail import Sendmail, unpack

HOLD = 'interval = "1h"  burst = 2  initial = 2'


@pytest.fixture(scope="module", autouse=True)
def sendmail_is_there():
    why = unpack()
    if why is not None:
        print(f"Sendmail is not tested: {why}")
        pytest.skip(why)


@pytest.fixture
def world(tmp_path, sink):
    made = contextlib.ExitStack()

    def make(policy=HOLD, start=True, **kw):
        w = MilterWeir(tmp_path / "w", "127.0.0.1:1", unix=False,
                       policy=policy, **kw)
        mta = Sendmail(f"inet:{w.mta_port}@127.0.0.1", sink.port)
        w.next_hop = mta.back
        made.callback(mta.stop)
        made.callback(lambda: w.process is None or w.stop())
        if start:
            w.start()
        mta.start()
        return w, mta

    with made:
        yield make


def people(n, prefix="p"):
    return [f"{prefix}{i}@example.com" for i in range(n)]


def test_known_pass_new_are_held_and_come_on_release(world, sink):
    w, mta = world()
    text = message(subject="to many", sender="alice@example.org")
    text = b"Message-ID: <1@example.org>\r\n" + text
    code, words = mta.transact("alice@example.org", people(4), text)
    assert code == 250, words
    assert sorted(sink.wait_for(2)) == people(2)
    assert sorted(w.held()) == people(4)[2:]
    w.ctl("release", "--all")
    assert sorted(sink.wait_for(4)) == people(4)
    w.wait_empty()
    for m in sink.messages:
        assert m[2].count(b"Message-I") == 1
        assert b"<1@example.org>" in m[2]


def test_held_whole_then_discarded(world, sink):
    w, mta = world('interval = "1h"  burst = 1  initial = 0')
    assert mta.transact("a@example.org", people(3), message())[0] == 250
    assert sorted(w.held()) == people(3)
    w.ctl("discard", "--all")
    w.wait_empty()
    until(lambda: mta.queue() == [], "an empty queue of Sendmail")
    assert sink.recipients() == []


def test_tempfail(world, sink):
    w, mta = world('interval = "1h"  burst = 1  initial = 1',
                   milter_hold="tempfail")
    with mta.client() as s:
        s.ehlo()
        s.mail("a@example.org")
        assert s.rcpt("p0@example.com")[0] == 250
        code, words = s.rcpt("p1@example.com")
        assert code == 451 and b"must wait" in words
        assert s.data(message())[0] == 250
    assert sink.wait_for(1) == ["p0@example.com"]


def test_outbreak_freeze_and_release(world, sink):
    w, mta = world('interval = "1h"  burst = 5  initial = 5  freeze_at = 20')
    refused = 0
    with mta.client() as s:
        for i in range(40):
            try:
                s.sendmail("bot@example.org", [f"v{i}@example.com"],
                           message(sender="bot@example.org"))
            except smtplib.SMTPSenderRefused as e:
                assert e.smtp_code == 451 and b"frozen" in e.smtp_error
                refused += 1
    assert refused == 40 - 5 - 20
    assert w.sender("<bot@example.org>")["frozen"]
    sink.wait_for(5)
    w.ctl("thaw", "<bot@example.org>", "--release")
    got = sink.wait_for(25)
    w.wait_empty()
    assert len(sink.recipients()) == 25 and len(set(got)) == 25


def test_weir_dies_and_comes_back(world, sink):
    # initial = 0: the allowance of the last seconds may be lost with it.
    w, mta = world('interval = "1h"  burst = 1  initial = 0')
    assert mta.transact("a@example.org", people(3), message())[0] == 250
    w.kill()
    with mta.client() as s, pytest.raises(smtplib.SMTPException) as e:
        s.sendmail("a@example.org", people(3), message())
    assert "451" in str(e.value)
    w.launch()
    assert sorted(w.held()) == people(3)
    w.ctl("release", "--all")
    assert sorted(sink.wait_for(3)) == people(3)
    w.wait_empty()


def test_sendmail_is_killed_after_its_250(world, sink):
    w, mta = world()
    assert mta.transact("a@example.org", people(4), message())[0] == 250
    mta.kill()
    mta.start()
    w.ctl("release", "--all")
    got = sink.wait_for(4)
    w.wait_empty()
    assert set(got) == set(people(4))
