# SPDX-License-Identifier: BSD-3-Clause
"""Who is throttled when mail comes through a mail server: the user who logged
in, and for programs of the machine itself never one key for all of them."""
import smtplib

import pytest

from harness import message, until
from milter_site import people, site  # noqa: F401

HOLD = 'interval = "1h"  burst = 2  initial = 2'
OUTBREAK = 'interval = "1h"  burst = 5  initial = 5  freeze_at = 20'


def senders(w):
    return {s["sender"] for s in w.ctl("senders")}


# ---- Sendmail with Cyrus SASL ----

def submit(s, user, sender, rcpts):
    with s.mta.client() as client:
        client.login(user, f"word of {user}")
        return client.sendmail(sender, rcpts, message(sender=sender))


@pytest.fixture
def logins(site):  # noqa: F811
    users = {name: f"word of {name}" for name in ("mallory", "bob")}
    return lambda policy: site("sendmail", policy=policy,
                               local_domains='{"example.org"}',
                               site={"users": users})


def test_sendmail_a_stolen_account_is_frozen_and_others_notice_nothing(
        logins):
    s = logins(OUTBREAK)
    refused = 0
    for i in range(12):
        try:
            # A new sender address for each message changes nothing.
            submit(s, "mallory", f"x{i}@example.org", people(3, f"v{i}."))
        except smtplib.SMTPException as e:
            assert "frozen" in str(e) or "452" in str(e), e
            refused += 1
    assert refused > 0
    frozen = [f["sender"] for f in s.w.ctl("senders", "--frozen")]
    assert len(frozen) == 1 and frozen[0].startswith("mallory"), frozen
    submit(s, "bob", "bob@example.org", ["friend@example.com"])
    until(lambda: "friend@example.com" in s.recipients(), "bob's mail")
    assert len(s.recipients()) == 5 + 1
    s.w.ctl("discard", "--sender", frozen[0])
    s.w.ctl("thaw", frozen[0])
    s.w.wait_empty()
    # A wrong password is Sendmail's matter.
    with s.mta.client() as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("bob", "another word")
    assert len(s.recipients()) == 5 + 1


def test_sendmail_local_submission_counts_by_its_user(site):  # noqa: F811
    s = site("sendmail", policy=HOLD)
    for user in ("www-data", "games"):
        text = (f"From: {user}@mta.test\r\nTo: " +
                ", ".join(people(3, user)) +
                "\r\nSubject: by hand\r\n\r\ntext\r\n").encode()
        done = s.mta.sendmail(user, text)
        assert done.returncode == 0, done.stderr + done.stdout
    s.wait_for(4)
    until(lambda: len(s.w.held()) == 2, "one held of each")
    assert senders(s.w) == {"<www-data@mta.test>", "<games@mta.test>"}
    s.w.ctl("release", "--all")
    assert len(s.wait_for(6)) == len(set(s.recipients())) == 6
    s.w.wait_empty()


# ---- webmail and PHP: SMTP from the machine itself, without a login ----

@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
@pytest.mark.parametrize("local,keys", [
    ("sender", {"<shop@example.org>", "<news@example.org>", "<>"}),
    ("user", {"shop", "news", "<>"}),
    ("client", {"[127.0.0.1]"})])
def test_mail_through_localhost(site, kind, local, keys):  # noqa: F811
    """client is one key for all, but only where a policy asks for it."""
    s = site(kind, policy=f"{HOLD}  local = {local}",
             local_domains='{"example.org"}')
    for i, sender in enumerate(("shop@example.org", "news@example.org", "")):
        code, words = s.mta.transact(sender, [f"p{i}@example.com"],
                                     message(sender=sender or "x@mta.test"))
        assert code == 250, words
    assert senders(s.w) == keys
    assert len(s.w.held()) == (1 if local == "client" else 0)


def test_a_script_that_writes_to_many_stops_nobody_else(site):  # noqa: F811
    """PHP's mail() calls sendmail(1); each site of the machine has its own
    envelope sender (sendmail_path = "sendmail -t -i -f shop@...")."""
    s = site("postfix", policy='interval = "1h"  burst = 1  initial = 1  '
                               "freeze_at = 5")
    for i in range(8):
        done = s.mta.sendmail("shop@example.org", [f"v{i}@example.com"],
                              message(sender="shop@example.org"))
        assert done.returncode == 0
    until(lambda: (s.w.sender("<shop@example.org>") or {}).get("frozen"),
          "the freeze")
    done = s.mta.sendmail("blog@example.org", ["friend@example.com"],
                          message(sender="blog@example.org"))
    assert done.returncode == 0
    until(lambda: "friend@example.com" in s.recipients(), "the other's mail")
    # Nobody can be told 451: what weir did not take waits in Postfix, which
    # tries again each minute, and at once when it is asked.
    s.w.ctl("thaw", "<shop@example.org>", "--release")
    s.mta.scan_maildrop()
    everybody = {f"v{i}@example.com" for i in range(8)}
    until(lambda: everybody <= {*s.recipients(), *s.w.held()},
          "all of the script's mail")
    s.w.ctl("release", "--all")
    until(lambda: everybody <= set(s.recipients()), "all to arrive")
    s.w.wait_empty()
    got = s.recipients()
    assert len(got) == len(set(got)), got
