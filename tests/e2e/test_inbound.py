# SPDX-License-Identifier: BSD-3-Clause
"""learn_inbound: who writes to a user is familiar to that user. Through a
real Postfix with the milter and SASL logins, through its policy service, and
through the relay; after a kill, and under a flood."""
import contextlib
import os
import smtplib
import sqlite3
import tempfile

import pytest

from dovecot import Dovecot
from harness import Peer, Sink, Weir, message, until
from milter import MilterPostfix, MilterWeir

LEARN = 'learn_inbound = yes  inbound_rate = "5/1d"'
# Nobody may write to anybody new outside.
NOBODY_NEW = 'interval = "1d"  burst = 1  initial = 0'
POLICY = NOBODY_NEW + """
    exempt_recipients = {{"@example.com"}}  {more}"""
DOMAINS = '{"example.com"}'
ALICE, BOB = "alice@example.com", "bob@example.net"

MAIN_CF = """
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_sasl_security_options = noanonymous
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtpd_delay_reject = no
header_checks = regexp:{{ {{ /^Subject: rejected/ REJECT }} }}
"""
RCPT = "permit_sasl_authenticated, permit_auth_destination, reject"


class World:
    """weir, its Postfix, a Dovecot with two users, and the world outside."""

    def __init__(self, undo, protocol="milter", more=LEARN, policy=POLICY,
                 main="", **kw):
        directory = undo.enter_context(
            tempfile.TemporaryDirectory(prefix="weir-inbound-"))
        os.chmod(directory, 0o755)  # for Postfix's own user
        self.weir = MilterWeir(f"{directory}/w", "127.0.0.1:1",
                               protocol=protocol, unix=False,
                               policy=policy.format(more=more),
                               **{"local_domains": DOMAINS, **kw})
        self.sink = Sink().start()
        undo.callback(self.sink.stop)
        auth = Dovecot({ALICE: "secret", "carol@example.com": "secret"})
        undo.callback(auth.stop)
        auth.start()
        where, ask = self.weir.where, ""
        if protocol == "policy":
            where, ask = "", f"check_policy_service {where}"
        self.mta = MilterPostfix(where, main=MAIN_CF.format(auth=auth.socket) +
                                 main,
                                 relayhost=f"[127.0.0.1]:{self.sink.port}")
        # Edited, not given twice: each of Postfix's programs would warn of
        # it, postlogd into its own full socket.
        self.mta.run("postconf", "-e",
                     "smtpd_recipient_restrictions = " +
                     (f"{ask}, " if ask else "") + RCPT,
                     f"smtpd_end_of_data_restrictions = {ask}")
        self.weir.next_hop = self.mta.back
        undo.callback(self.mta.stop)
        undo.callback(self.weir.stop)
        self.weir.start()
        self.mta.start()

    def comes_in(self, sender, rcpts, subject="hello"):
        """Mail from a stranger's machine, which has no login."""
        with self.mta.client() as s:
            assert s.docmd("XCLIENT", "ADDR=198.51.100.7")[0] == 220
            s.ehlo()
            s.mail(sender)
            for rcpt in rcpts:
                assert s.rcpt(rcpt)[0] == 250
            return s.data(message(subject=subject))[0]

    def submit(self, user, rcpt):
        with self.mta.client() as s:
            s.login(user, "secret")
            s.sendmail(user, [rcpt], message())

    def learnt(self, user=ALICE):
        done = self.weir.run_ctl("--json", "show", user)
        return self.weir.ctl("show", user)["inbound"] if (
            done.returncode == 0) else 0

    def remembered(self, user=ALICE):
        return self.weir.ctl("show", user)["remembered"]


@pytest.fixture
def world():
    with contextlib.ExitStack() as undo:
        yield lambda **kw: World(undo, **kw)


def stored(weir):
    """Bytes of what is on disk for each user."""
    with contextlib.closing(sqlite3.connect(
            f"file:{weir.spool}/spool.db?mode=ro", uri=True)) as db:
        return [n for n, in db.execute("SELECT length(state) FROM acquaintance")]


def test_an_answer_passes_at_once_and_after_a_kill(world):
    t = world()
    # A stranger's mail that is refused, and mail without a sender.
    assert t.comes_in("no@example.net", [ALICE], "rejected") == 550
    assert t.comes_in("", [ALICE]) == 250
    assert t.comes_in("noreply@example.net", [ALICE]) == 250
    assert t.learnt() == 0
    t.submit(ALICE, BOB)
    until(lambda: t.weir.held() == [BOB], "what is held")
    assert t.comes_in(BOB, ["Alice+tag@example.com"]) == 250
    until(lambda: t.learnt() == 1, "alice to have learnt")
    t.submit(ALICE, BOB)
    t.submit(ALICE, "stranger@example.net")
    # The answer is out; what waited goes on waiting.
    assert t.sink.wait_for(1) == [BOB]
    assert sorted(t.weir.held()) == [BOB, "stranger@example.net"]
    t.submit("carol@example.com", BOB)
    until(lambda: len(t.weir.held()) == 3, "carol's to be held")
    assert t.weir.status()["passed_inbound"] == 1
    # Mail went to bob; he is not known from incoming mail alone any more.
    assert t.weir.ctl("show", ALICE)["remembered_wrote"] == 1
    assert t.learnt() == 0
    # The kill comes before dora is written to.
    assert t.comes_in("dora@example.net", [ALICE]) == 250
    until(lambda: stored(t.weir) == [14 + 33 + 2 * 6 + 8],
          "both to be on disk")
    t.weir.kill()
    t.weir.launch()
    assert t.learnt() == 1
    assert t.remembered() == 2
    before = len(t.sink.recipients())
    t.submit(ALICE, "dora@example.net")
    until(lambda: "dora@example.net" in t.sink.recipients()[before:],
          "the answer to dora")
    # An administrator takes it back.
    assert t.weir.ctl("forget", ALICE)["addresses"] == 2
    assert t.remembered() == 0
    assert t.weir.run_ctl("forget", ALICE).returncode == 1


OTHER_DOMAINS = """
virtual_alias_domains = alias.test
virtual_alias_maps = inline:{ sales@alias.test=alice@example.com }
relay_domains = behind.test
"""


def test_what_comes_in_is_not_counted(world):
    """To a mailbox and an alias, as Postfix itself tells them. Mail that goes
    on counts, and so does a user's."""
    t = world(policy=NOBODY_NEW, main=OTHER_DOMAINS, local_domains="{}")
    for i in range(3):
        assert t.comes_in(f"s{i}@provider.test",
                          [f"u{i}@example.com", "sales@alias.test"]) == 250
    until(lambda: len(t.mta.recipients()) == 6, "all of it to be delivered")
    assert t.weir.status()["passed_incoming"] == 6
    assert t.weir.ctl("senders") == []
    with t.mta.client() as s:
        assert s.docmd("XCLIENT", "ADDR=198.51.100.7")[0] == 220
        s.ehlo()
        s.mail("s@provider.test")
        assert s.rcpt("x@behind.test")[0] == 250
        assert s.data(message())[0] == 250
    t.submit(ALICE, "carol@example.com")
    until(lambda: sorted(t.weir.held()) ==
          ["carol@example.com", "x@behind.test"], "both to be held")


def test_without_it_an_answer_is_held(world):
    t = world(more="")
    assert t.comes_in(BOB, [ALICE]) == 250
    t.submit(ALICE, BOB)
    until(lambda: t.weir.held() == [BOB], "what is held")
    assert t.weir.status()["inbound_learnt"] == 0
    assert t.sink.recipients() == []


def test_a_frozen_sender_stays_frozen(world):
    t = world(milter_hold="tempfail")
    t.weir.ctl("freeze", ALICE)
    assert t.comes_in(BOB, [ALICE, "carol@example.com"]) == 250
    until(lambda: t.learnt() == 1, "alice to have learnt")
    assert t.weir.sender(ALICE)["frozen"]
    with pytest.raises(smtplib.SMTPException, match="frozen"):
        t.submit(ALICE, BOB)
    # carol, of the same message, is not.
    t.submit("carol@example.com", BOB)
    assert t.sink.wait_for(1) == [BOB]
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        t.submit("carol@example.com", "stranger@example.net")


def test_the_policy_service_learns_too(world):
    t = world(protocol="policy", policy=NOBODY_NEW + "  {more}")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        t.submit(ALICE, BOB)
    # Two recipients: the end of the message tells none of them.
    assert t.comes_in(BOB, [ALICE, "carol@example.com"]) == 250
    until(lambda: t.learnt() == 1 and t.learnt("carol@example.com") == 1,
          "both to have learnt")
    t.submit(ALICE, BOB)
    assert t.sink.wait_for(1) == [BOB]
    # One that never came to its end.
    with t.mta.client() as s:
        assert s.docmd("XCLIENT", "ADDR=198.51.100.7")[0] == 220
        s.ehlo()
        s.mail("eve@example.net")
        assert s.rcpt(ALICE)[0] == 250
    assert t.comes_in("dora@example.net", [ALICE]) == 250
    until(lambda: t.remembered() == 2, "alice to have learnt")
    assert t.weir.status()["passed_incoming"] == 4
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        t.submit(ALICE, "eve@example.net")


# ---- the relay ----


@pytest.fixture
def relay(tmp_path):
    """relay(**options): a relay that believes XCLIENT, and its next hop."""
    with contextlib.ExitStack() as undo:
        def make(more=LEARN, **kw):
            sink = Sink().start()
            undo.callback(sink.stop)
            w = Weir(tmp_path / "w", sink.address,
                     policy=POLICY.format(more=more), local_domains=DOMAINS,
                     xclient_from='{"127.0.0.0/8"}', **kw)
            undo.callback(w.stop)
            return w.start(), sink

        yield make


def say(w, xclient, sender, rcpts):
    c = w.hello()
    assert c.ask(f"XCLIENT {xclient}")[0] == 220
    c.ask("EHLO client.test")
    code = c.transact(sender, rcpts, b"Subject: x\r\n\r\ny\r\n")[0]
    c.close()
    return code


def test_the_relay_learns_from_what_comes_in(relay):
    w, sink = relay(inbound_source="localpart",
                    inbound_users='{"sales@example.com=asmith"}')
    assert say(w, "ADDR=198.51.100.7", BOB, [ALICE]) == 250
    assert w.ctl("show", "alice")["inbound"] == 1
    assert say(w, "ADDR=198.51.100.7", BOB, ["sales@example.com"]) == 250
    # The next hop refuses a message: nobody learns from it.
    sink.refuse_data = "554 5.7.1 no"
    assert say(w, "ADDR=198.51.100.7", "eve@example.net", [ALICE]) == 554
    sink.refuse_data = None
    # Who has logged in does not come in, whatever sender he gives.
    assert say(w, "LOGIN=mallory", "eve@example.net", [ALICE]) == 250
    assert w.ctl("show", "alice")["inbound"] == 1
    for user, rcpt in (("alice", "BOB@example.net"), ("asmith", BOB)):
        assert say(w, f"LOGIN={user}", ALICE, [rcpt]) == 250
    for user, rcpt in (("carol", BOB), ("alice", "eve@example.net")):
        assert say(w, f"LOGIN={user}", ALICE, [rcpt]) == 250
    assert sink.recipients()[-2:] == ["BOB@example.net", BOB]
    assert sorted(w.held()) == [BOB, "eve@example.net"]


def flood(w, count, users):
    """Messages of one recipient as the policy service hears of them."""
    peer = Peer.connect(w.mta_port)
    for first in range(0, count, 500):
        peer.send("".join(
            "request=smtpd_access_policy\nprotocol_state=END-OF-MESSAGE\n"
            f"client_address=198.51.100.7\nsender=spam{i}@example.net\n"
            f"recipient=user{i % users}@example.com\ninstance={i}\n\n"
            for i in range(first, first + 500)))
        for _ in range(500):
            assert peer.line() == "action=DUNNO"
            assert peer.line() == ""
    peer.close()


def test_a_flood_ends_at_its_bounds(tmp_path):
    w = MilterWeir(tmp_path / "w", "127.0.0.1:1", protocol="policy",
                   unix=False, policy=POLICY.format(more=LEARN),
                   local_domains=DOMAINS, acquaintances_memory='"1M"').start()
    try:
        flood(w, 1000, 1)
        assert w.ctl("show", "user0@example.com")["inbound"] == 5
        before = w.peak_rss_kb()
        flood(w, 20000, 20000)
        status = w.status()
        assert 1000 < status["inbound_learnt"] < 10000
        assert status["inbound_refused"] > 10000
        assert status["senders"] == 0
        assert w.peak_rss_kb() - before < 8 * 1024
        assert len(w.log_lines("acquaintances_full")) == 1
        # Who was there before knows whom he knew.
        assert w.ctl("show", "user0@example.com")["inbound"] == 5
    finally:
        assert w.stop() == 0
