# SPDX-License-Identifier: BSD-3-Clause
"""weir as a milter inside a real Postfix: what is held leaves the message,
comes back on release by the listener without the milter, and nothing is lost
or doubled on the way."""
import json
import os
import pathlib
import random
import smtplib
import subprocess
import tempfile
import threading

import pytest

from harness import message, until
from milter import MilterPostfix, MilterWeir

HOLD = 'interval = "1h"  burst = 2  initial = 2'


@pytest.fixture
def world():
    """world(policy=..., unix=...) gives (weir, postfix)."""
    made = []

    def make(policy=HOLD, unix=True, main="", default="tempfail", start=True,
             **kw):
        # Postfix's own user reaches the socket: not below pytest's directory.
        directory = tempfile.TemporaryDirectory(prefix="weir-milter-")
        made.append(directory.cleanup)
        os.chmod(directory.name, 0o755)
        w = MilterWeir(f"{directory.name}/w", "127.0.0.1:1", unix=unix,
                       policy=policy, **kw)
        w.dir.chmod(0o755)
        mta = MilterPostfix(w.where, main=main, default=default)
        w.next_hop = mta.back
        made.append(mta.stop)
        made.append(lambda: w.process is None or w.stop())
        if start:
            w.start()
        mta.start()
        return w, mta

    yield make
    for undo in reversed(made):
        undo()


def people(n, prefix="p"):
    return [f"{prefix}{i}@example.com" for i in range(n)]


@pytest.mark.parametrize("unix", [True, False])
def test_known_pass_new_are_held_and_come_on_release(world, unix):
    w, mta = world(unix=unix)
    text = message(subject="to many", sender="alice@example.org")
    code, words = mta.transact("alice@example.org", people(4), text)
    assert code == 250, words
    assert sorted(mta.wait_for(2)) == people(2)
    assert sorted(w.held()) == people(4)[2:]
    entry = w.queue()[0]
    assert entry["subject"] == "to many"
    assert entry["from"] == "alice@example.org"
    w.ctl("release", "--all")
    assert sorted(mta.wait_for(4)) == people(4)
    w.wait_empty()
    # Known now: straight through.
    mta.clear()
    mta.transact("alice@example.org", people(4), text)
    assert sorted(mta.wait_for(4)) == people(4)
    assert w.status()["held_messages"] == 0


def test_a_decoy_freezes_and_the_client_sees_nothing(world):
    w, mta = world(policy=HOLD, decoys='{"trap@example.com"}')
    text = message(sender="eve@example.org")
    code, words = mta.transact(
        "eve@example.org", ["p0@example.com", "trap@example.com"], text)
    assert code == 250, words
    until(lambda: w.status()["frozen_senders"] == 1, "the freeze")
    assert w.ctl("senders", "--frozen")[0]["freeze_reason"] == "decoy"
    # None of it has left; what others send goes on.
    assert "trap@example.com" in w.held()
    assert mta.transact("bob@example.org", ["b@example.com"],
                        message(sender="bob@example.org"))[0] == 250
    assert mta.wait_for(1) == ["b@example.com"]
    with mta.client() as s:
        s.ehlo()
        code, words = s.mail("eve@example.org")
    assert code == 451 and b"decoy" not in words, words
    assert mta.wait_for(1) == ["b@example.com"]


def test_the_copy_is_the_message_with_its_id_and_signature(world):
    w, mta = world(policy='interval = "1h"  burst = 1  initial = 0')
    lines = [b"From: a@example.org", b"To: p0@example.com",
             b"Message-ID: <one@example.org>",
             b"DKIM-Signature: v=1; a=rsa-sha256;\r\n\td=example.org;\r\n"
             b"  b=abc=", b"Subject:  two  spaces", b"X-Empty:",
             b"", b"..dots", b".", b"\xe4\xf6 eight bit", b"last"]
    text = b"\r\n".join(lines) + b"\r\n"
    assert mta.transact("a@example.org", people(1), text)[0] == 250
    assert mta.wait_for(0) == []
    w.ctl("release", "--all")
    mta.wait_for(1)
    got = mta.raw()[0].replace(b"\r\n", b"\n")
    want = text.replace(b"\r\n", b"\n").replace(b"\n..", b"\n..")
    head, _, body = want.partition(b"\n\n")
    assert head in got, got.decode("latin-1")
    assert got.endswith(b"\n\n" + body)
    assert b"(weir) with ESMTP id" in got
    w.wait_empty()


def test_a_message_that_is_held_whole_is_discarded_at_the_mta(world):
    w, mta = world(policy='interval = "1h"  burst = 1  initial = 0')
    assert mta.transact("a@example.org", people(3), message())[0] == 250
    assert sorted(w.held()) == people(3)
    mta.wait_queue_empty()
    assert mta.recipients() == []
    assert w.ctl("discard", "--all") is not None
    w.wait_empty()
    assert mta.recipients() == []


@pytest.mark.parametrize("then", ["--discard", "--release"])
def test_a_frozen_program_leaves_nothing_in_maildrop(world, then):
    """A thaw with --discard discards what sendmail(1) handed in meanwhile. What
    finds no room is put off as ever."""
    w, mta = world(policy='interval = "1h"  burst = 2  freeze_at = 3  '
                   "queue_max = 3")
    who = "bot@example.org"
    assert mta.sendmail(who, ["known@example.com"], message()).returncode == 0
    mta.wait_for(1)
    w.ctl("freeze", who)
    assert mta.sendmail(who, ["known@example.com", "new@example.com"],
                        message()).returncode == 0
    until(lambda: w.status()["held_recipients"] == 2, "both to be held")
    until(lambda: not list((mta.dir / "queue/maildrop").iterdir()),
          "an empty maildrop")
    with mta.client() as s:
        s.ehlo()
        assert s.mail(who)[0] == 451  # over SMTP it is told
    # The known one waits among the familiar, which queue_max counts apart.
    assert mta.sendmail(who, people(3), message()).returncode == 0
    until(lambda: list(map(json.loads, mta.queue())), "what has no room")
    [left] = map(json.loads, mta.queue())
    assert left["queue_name"] == "maildrop"
    w.options.update(queue_command=f'"/usr/sbin/postqueue -c {mta.dir}/etc -j"',
                     queue_check='"1s"')
    w.write_config()
    w.ctl("reload")
    until(lambda: w.status()["maildrop_messages"] == 1, "it to be counted")
    assert w.status()["held_recipients"] == 2
    mta.run("postsuper", "-d", "ALL")
    w.ctl("thaw", who, then)
    w.wait_empty()
    taken = 1 if then == "--discard" else 3
    assert len(mta.wait_for(taken)) == taken


def test_one_message_to_many_is_taken_whole(world):
    """sendmail(1) with more than burst and freeze_at together: a refusal would
    leave it in maildrop for ever. A list by hundreds over SMTP as well. One
    such message is a blast, and freezes nobody; the second does."""
    w, mta = world(policy='interval = "1h"  burst = 10  freeze_at = 20',
                   sections='scope "new-local" { limit = {} }\n')
    assert mta.sendmail("list@example.org", people(60),
                        message()).returncode == 0
    assert len(mta.wait_for(10)) == 10
    until(lambda: w.status()["held_recipients"] == 50, "the rest to be held")
    assert w.status()["frozen_senders"] == 0
    assert list((mta.dir / "queue/maildrop").iterdir()) == []
    assert mta.transact("other@example.org", people(300, "q"),
                        message())[0] == 250
    assert w.status()["held_recipients"] == 340
    assert w.status()["frozen_senders"] == 0 and w.status()["blasts"] == 2
    assert mta.transact("other@example.org", people(300, "r"),
                        message())[0] == 250
    assert w.status()["held_recipients"] == 640
    with mta.client() as s:
        s.ehlo()
        code, words = s.mail("other@example.org")
        code, words = s.rcpt("q0@example.com") if code == 250 else (code, words)
        assert code == 451 and b"frozen" in words


def test_multi_whole_keeps_the_message_together(world):
    w, mta = world(policy=HOLD + "  multi = whole")
    assert mta.transact("a@example.org", people(4), message())[0] == 250
    assert sorted(w.held()) == people(4)
    assert mta.recipients() == []
    w.ctl("release", "--all")
    assert sorted(mta.wait_for(4)) == people(4)


def test_several_messages_on_one_connection(world):
    w, mta = world()
    with mta.client() as s:
        for i in range(5):
            s.sendmail("a@example.org", [f"p{i}@example.com"], message())
        s.rset()
        assert s.mail("a@example.org")[0] == 250
        assert s.rcpt("never@example.com")[0] == 250
        s.rset()
        s.sendmail("a@example.org", ["p0@example.com"], message())
    assert sorted(mta.wait_for(3)) == ["p0@example.com", "p0@example.com",
                                       "p1@example.com"]
    assert sorted(w.held()) == people(5)[2:]


def test_tempfail_refuses_what_must_wait_and_lets_it_in_later(world):
    w, mta = world(policy='interval = "1s"  burst = 1  initial = 1',
                   milter_hold="tempfail")
    with mta.client() as s:
        s.ehlo()
        s.mail("a@example.org")
        assert s.rcpt("p0@example.com")[0] == 250
        code, words = s.rcpt("p1@example.com")
        assert code == 451 and b"must wait" in words
        assert s.data(message())[0] == 250
    assert mta.wait_for(1) == ["p0@example.com"]
    assert w.status()["held_messages"] == 0

    def again():
        with mta.client() as s:
            s.ehlo()
            s.mail("a@example.org")
            if s.rcpt("p1@example.com")[0] != 250:
                return False
            return s.data(message())[0] == 250

    until(again, "the turn of p1")
    assert sorted(mta.wait_for(2)) == people(2)


@pytest.mark.parametrize("when,code", [("tempfail", 451), ("reject", 550)])
def test_a_frozen_sender_hears_it_at_mail(world, when, code):
    w, mta = world(policy=HOLD + f"  when_frozen = {when}  local = client")
    w.ctl("freeze", "127.0.0.1")
    with mta.client() as s:
        s.ehlo()
        # Postfix asks its milters when the first recipient comes
        # (smtpd_delay_reject has no say in it).
        got = s.mail("a@example.org")
        if got[0] == 250:
            got = s.rcpt("p0@example.com")
        assert got[0] == code and b"frozen" in got[1], got
    w.ctl("thaw", "127.0.0.1")
    assert mta.transact("a@example.org", people(1), message())[0] == 250
    mta.wait_for(1)


def test_local_submission_counts_by_its_sender(world):
    w, mta = world()
    for who in ("www-data@example.org", "cron@example.org"):
        done = mta.sendmail(who, people(3, who[0]), message(sender=who))
        assert done.returncode == 0, done.stderr
    assert len(mta.wait_for(4)) == 4
    until(lambda: len(w.held()) == 2, "one held of each")
    assert {s["sender"] for s in w.ctl("senders")} == {
        "<www-data@example.org>", "<cron@example.org>"}
    w.ctl("release", "--all")
    assert len(mta.wait_for(6)) == 6
    w.wait_empty()


def test_invented_names_give_nothing(world):
    """Programs of this machine, each message from another sender."""
    w, mta = world(policy='interval = "1m"  burst = 10  freeze_at = 100')
    with mta.client() as s:
        for i in range(25):
            s.sendmail(f"x{i}@site.example", people(1, f"v{i}-"), message())
    assert len(mta.wait_for(10)) == 10
    until(lambda: len(w.held()) == 15, "the others to be held")
    assert w.status()["scope_holds"] == 15
    assert "new-local (all): 10 of 10 in 10m" in w.ctl(
        "show", "<x24@site.example>")["scopes"]
    assert w.log_lines('scope .*new-local.* is full, 10 of 10')


def test_an_outbreak_is_stopped_and_the_rest_waits(world):
    w, mta = world(policy='interval = "1h"  burst = 5  initial = 5  '
                          "freeze_at = 20")
    refused = 0
    for i in range(60):
        with mta.client() as s:
            try:
                s.sendmail("bot@example.org", [f"v{i}@example.com"],
                           message(sender="bot@example.org"))
            except smtplib.SMTPSenderRefused as e:
                assert e.smtp_code == 451
                refused += 1
            except smtplib.SMTPRecipientsRefused as e:
                assert next(iter(e.recipients.values()))[0] == 451
                refused += 1
    assert refused == 60 - 5 - 20
    assert len(mta.wait_for(5)) == 5
    assert w.sender("<bot@example.org>")["frozen"]
    # Others notice nothing.
    assert mta.transact("ok@example.org", ["x@example.com"],
                        message())[0] == 250
    mta.wait_for(6)
    w.ctl("thaw", "<bot@example.org>", "--release")
    got = mta.wait_for(26)
    assert sorted(set(got)) == sorted(got) and len(got) == 26
    w.wait_empty()


def test_large_bodies_arrive_as_they_were(world):
    w, mta = world(policy='interval = "1h"  burst = 1  initial = 1')
    text = message(body="\r\n".join("x" * 70 + str(i)
                                    for i in range(60000)))
    assert mta.transact("a@example.org", people(2), text)[0] == 250
    mta.wait_for(1)
    w.ctl("release", "--all")
    mta.wait_for(2)
    bodies = [m.partition(b"\n\n")[2] for m in mta.raw()]
    assert bodies[0] == bodies[1] and len(bodies[0]) > 4_000_000


def test_weir_is_not_there(world):
    w, mta = world(start=False)
    with mta.client() as s, pytest.raises(smtplib.SMTPException) as e:
        s.sendmail("a@example.org", people(1), message())
    assert "4.7.1" in str(e.value)
    w.start()
    assert mta.transact("a@example.org", people(1), message())[0] == 250
    mta.wait_for(1)


# ---- SASL: the source is the authenticated user ----

DOVECOT = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols =
ssl = no
auth_mechanisms = plain login
disable_plaintext_auth = no
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/tmp
}}
service auth {{
  unix_listener {dir}/auth {{
    mode = 0666
  }}
}}
"""

SASL_CF = """
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {dir}/auth
smtpd_sasl_security_options = noanonymous
"""


@pytest.fixture
def dovecot():
    directory = tempfile.TemporaryDirectory(prefix="weir-dovecot-")
    os.chmod(directory.name, 0o755)
    conf = pathlib.Path(directory.name) / "dovecot.conf"
    conf.write_text(DOVECOT.format(dir=directory.name))
    with open(conf.with_suffix(".out"), "w") as out:
        process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", conf],
                                   stdout=out, stderr=out)
    until(lambda: os.path.exists(f"{directory.name}/auth") or
          process.poll() is not None, "Dovecot's auth socket")
    assert process.poll() is None, conf.with_suffix(".out").read_text()
    yield SASL_CF.format(dir=directory.name)
    process.terminate()
    process.wait(20)
    directory.cleanup()


def submit(mta, user, sender, rcpts, text):
    with mta.client() as s:
        s.login(user, "secret")
        return s.sendmail(sender, rcpts, text)


def test_a_foreign_return_path_counts(world, dovecot):
    """Mail to one friend, each from another forged address."""
    w, mta = world(policy='interval = "1h"  burst = 3  initial = 3',
                   main=dovecot, local_domains='{"example.org"}')
    for path in ["alice@example.org"] + [f"s{i}@x.test" for i in range(6)]:
        submit(mta, "mallory", path, ["friend@example.com"], message())
    # The friend, the first foreign path for nothing, and two more.
    until(lambda: len(mta.recipients()) == 4, "what may go")
    assert sorted(m["from"] for m in w.queue()) == [
        f"s{i}@x.test" for i in range(3, 6)]
    w.ctl("release", "--all")
    until(lambda: len(mta.recipients()) == 7, "what was held")


def test_a_stolen_account_is_frozen_and_others_notice_nothing(
        world, dovecot):
    w, mta = world(policy='interval = "1h"  burst = 5  initial = 5  '
                          "freeze_at = 20", main=dovecot,
                   local_domains='{"example.org"}')
    refused = 0
    for i in range(12):
        try:
            # A new sender address for each message changes nothing.
            submit(mta, "mallory", f"x{i}@example.org",
                   people(3, f"v{i}."), message())
        except smtplib.SMTPException as e:
            assert "frozen" in str(e) or "452" in str(e), e
            refused += 1
    assert refused > 0
    assert w.sender("mallory")["frozen"]
    submit(mta, "bob", "bob@example.org", ["friend@example.com"], message())
    until(lambda: "friend@example.com" in mta.recipients(), "bob's mail")
    assert not w.sender("bob")["frozen"]
    assert len(mta.recipients()) == 5 + 1
    w.ctl("discard", "--sender", "mallory")
    w.ctl("thaw", "mallory")
    w.wait_empty()
    assert len(mta.recipients()) == 5 + 1


# ---- kill -9 ----


def test_weir_is_killed_in_the_middle_of_messages(world):
    """Whatever was answered 250 arrives; what was not may be sent again. A
    message of many kilobytes is stopped at a random place."""
    w, mta = world(policy='interval = "1h"  burst = 1  initial = 0')
    answered, unsure = set(), set()
    body = "x" * 60 + "\r\n"

    def send(i):
        name = f"k{i}@example.com"
        try:
            with mta.client() as s:
                s.sendmail("a@example.org", [name],
                           message(body=body * 2000, subject=name))
            answered.add(name)
        except (smtplib.SMTPException, OSError):
            unsure.add(name)

    for turn in range(8):
        threads = [threading.Thread(target=send, args=(turn * 4 + i,))
                   for i in range(4)]
        for t in threads:
            t.start()
        threading.Event().wait(random.uniform(0, 0.15))
        w.kill()
        w.launch()
        for t in threads:
            t.join()
    assert answered | unsure == {f"k{i}@example.com" for i in range(32)}
    held = w.held()
    assert len(held) == len(set(held))
    missing = answered - set(held) - set(mta.recipients())
    assert not missing, missing
    w.ctl("release", "--all")
    until(lambda: answered <= set(mta.recipients()), "what was answered")
    w.wait_empty()
    got = mta.recipients()
    assert len(got) == len(set(got))


def test_postfix_is_killed_after_its_250(world):
    w, mta = world()
    assert mta.transact("a@example.org", people(4), message())[0] == 250
    mta.kill()
    mta.start()
    w.ctl("release", "--all")
    until(lambda: set(mta.recipients()) == set(people(4)), "all four", 40)
    w.wait_empty()
    # Postfix may repeat a delivery of its own that was cut off; weir does not.
    got = mta.recipients()
    assert got.count("p2@example.com") == got.count("p3@example.com") == 1


def said(mta, path):
    """What Postfix answers to a recipient that only it can read."""
    with mta.client() as s:
        s.ehlo()
        s.docmd("MAIL FROM:<alice@example.org>")
        code, words = s.docmd(f"RCPT TO:{path}")
        s.docmd("RSET")
    return code, words


def test_what_is_no_path_is_refused_though_postfix_reads_it(world):
    w, mta = world()
    for path in ("<x y <p9@example.com>>", "<p9(c)@example.com>",
                 "<p9 @example.com>", "<p9@example .com>"):
        code, words = said(mta, path)
        assert (code, b"5.1.3" in words) == (553, True), (path, words)
    with mta.client() as s:
        s.ehlo()
        code, words = s.docmd("MAIL FROM:<x y <alice@example.org>>")
        assert (code, b"5.1.7" in words) == (553, True), words
    assert w.status()["senders"] == 0


def test_however_a_recipient_is_spelt_it_leaves_the_message(world):
    """Held in a message of which others go at once: Postfix knows the held
    one by another name than its client wrote."""
    w, mta = world(policy='interval = "1h"  burst = 1  initial = 0  '
                          'exempt_recipients = {"known@example.com"}')
    forms = ["<@relay.test:p0@example.com>", "<@a.test,@b.test:p1@example.com>",
             "p2@example.com", '<"p3"@example.com>', "<P4@EXAMPLE.COM>",
             "<p5@example.com.>", '<"p\\6"@example.com>',
             "@relay.test:p7@example.com"]
    with mta.client() as s:
        s.ehlo()
        s.docmd("MAIL FROM:<alice@example.org>")
        for path in ["<known@example.com>", *forms]:
            code, words = s.docmd(f"RCPT TO:{path}")
            assert code == 250, (path, words)
        assert s.data(message(subject="spelt"))[0] == 250
    mta.wait_for(1)
    w.ctl("release", "--all")
    mta.wait_for(1 + len(forms))
    w.wait_empty()
    # Nobody had it at once, hence nobody twice.
    arrived = sorted(r.lower().strip('"') for r in mta.recipients())
    assert len(arrived) == 1 + len(forms), arrived


def test_an_exempt_domain_is_no_way_around(world):
    w, mta = world(main="mydestination = example.org\n",
                   policy=HOLD + '  exempt_recipients = {"@example.org"}')
    with mta.client() as s:
        s.ehlo()
        for n, local in enumerate((
                "a{}%example.com", '"b{}@example.com"', "example.com!c{}",
                '"d{}%example.com"')):
            s.docmd(f"MAIL FROM:<sender{n}@example.org>")
            for i in range(6):
                code, words = s.docmd(
                    f"RCPT TO:<{local.format(i)}@example.org>")
                assert code == 250, words
            assert s.data(message(subject="to many"))[0] == 250
    # A program of this machine counts by its sender.
    until(lambda: len(w.held()) == 16, "all but two each to be held")
    assert len(mta.wait_for(8)) == 8
