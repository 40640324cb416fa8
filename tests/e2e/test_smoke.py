# SPDX-License-Identifier: BSD-3-Clause
"""The main job in seconds: a mail passes, a stolen account is frozen, its mail
is looked at and released."""
import smtplib

import pytest

from harness import message, until

pytestmark = pytest.mark.smoke
KEY = "key = envelope\n"


def send(port, sender, rcpts, text=None):
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        return smtp.sendmail(sender, rcpts,
                             text or message(sender=sender))


def test_known_and_new_mail_passes(weir, sink):
    w = weir(policy=KEY)
    assert send(w.port, "alice@example.org", ["bob@example.com"]) == {}
    assert sink.wait_for(1) == ["bob@example.com"]
    text = sink.messages[0][2]
    assert b"by relay.weir.test (weir) with ESMTP id" in text
    assert text.endswith(b"\r\nsome text\r\n")


def test_stolen_account(weir, sink):
    w = weir(policy=KEY + 'interval = "1h"')
    passed = held = refused = 0
    with smtplib.SMTP("127.0.0.1", w.port) as smtp:
        smtp.ehlo()
        for i in range(150):
            rcpt = f"stranger{i}@example.com"
            code, text = smtp.mail("mallory@example.org")
            if code == 250:
                code, text = smtp.rcpt(rcpt)
            if code != 250:
                refused += 1
                assert code == 451, (code, text)
                assert b"mallory@example.org" in text
                assert b"help@weir.test" in text
                smtp.rset()
                continue
            code, text = smtp.data(message(sender="mallory@example.org"))
            assert code == 250
            if b"held" in text:
                held += 1
            else:
                passed += 1
    assert (passed, held, refused) == (10, 100, 40)
    assert len(sink.recipients()) == 10
    mallory = w.sender("<mallory@example.org>")
    assert mallory["frozen"] and mallory["queue_length"] == 100
    status = w.status()
    assert status["held_recipients"] == 100
    assert status["frozen_senders"] == 1
    # Others notice nothing.
    send(w.port, "alice@example.org", ["stranger1@example.com"])
    assert len(sink.wait_for(11)) == 11
    # Release delivers exactly the rest, once.
    w.ctl("thaw", "mallory@example.org", "--release")
    sink.wait_for(111)
    until(lambda: w.status()["held_messages"] == 0, "an empty spool")
    got = sorted(sink.recipients())
    want = sorted([f"stranger{i}@example.com" for i in range(110)] +
                  ["stranger1@example.com"])
    assert got == want
