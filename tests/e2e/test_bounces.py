# SPDX-License-Identifier: BSD-3-Clause
"""Mail servers that take any recipient and find out later that nobody lives
there: their bounces count for refused_credit, if they are of weir's mail. And
what a mail server refuses itself, of which it tells its milters."""
import os
import re

import pytest

from harness import message, until
from postfix import Postfix
from test_milter_postfix import world  # noqa: F401 (a fixture)
from test_signals import as_user, events

EVE = "eve@example.org"
TAKES_ALL = "smtpd_reject_unlisted_recipient = no\n"


@pytest.fixture
def far():
    """far(w) is the mail server of example.com: it takes any recipient, has
    bob alone, and brings its bounces to weir."""
    if os.geteuid() != 0:
        pytest.fail("a private Postfix needs root; run the tests as root")
    p = Postfix("mx.weir.test", extra=TAKES_ALL +
                "virtual_mailbox_maps = inline:{ {bob@example.com = all/} }\n"
                "smtpd_recipient_restrictions =\n")

    def begin(w):
        with open(p.dir / "etc/main.cf", "a", encoding="utf-8") as f:
            f.write("transport_maps = inline:{ {example.org = "
                    f"smtp:[127.0.0.1]:{w.port}}} }}\n")
        return p.start()

    begin.address = p.address
    yield begin
    p.stop()


@pytest.fixture
def near(far):
    """weir's next hop: the mail server of example.org, which sends all else
    to far."""
    host, port = far.address.split(":")
    p = Postfix("mail.weir.test", relayhost=f"[{host}]:{port}",
                extra="virtual_mailbox_domains = example.org\n"
                "smtpd_recipient_restrictions =\n")
    yield p.start()
    p.stop()


def bounce(w, text, sender=""):
    peer = w.hello()
    code, words = peer.transact(sender, [EVE], text)
    peer.close()
    assert code == 250, words


def credit(w):
    return w.ctl("show", EVE)["credit"]


def test_bounces_of_a_real_mail_server(weir, near, far):
    w = weir(next_hop=near.address, xclient_from='{"127.0.0.1"}',
             policy='burst = 50  initial = 50  refused_credit = 6  '
             'interval = "1h"')
    mx = far(w)
    to = ["bob@example.com"] + [f"guess{i}@example.com" for i in range(3)]
    code, words = as_user(w.hello(), EVE).transact(EVE, to, message())
    assert code == 250, words
    mx.wait_for(1)
    until(lambda: w.status()["bounced_recipients"] == 3, "the bounce")
    assert credit(w) == 3
    assert len(events(w, "unknown")) == 1
    assert "guess" in events(w, "unknown")[0]["detail"]
    near.wait_for(1)
    text = near.raw()[0]
    text = text[text.index(b"Received:"):].replace(b"\n", b"\r\n")
    assert re.search(rb"Original-Envelope-Id: weir-[0-9a-f-]{66}\r\n", text)

    # The same once more counts for nobody; and so does one that was altered.
    bounce(w, text)
    assert w.status()["bounces_ignored"] == 3
    code, words = as_user(w.hello(), EVE).transact(
        EVE, ["new@example.com"], message())
    assert code == 250, words
    until(lambda: w.status()["bounced_recipients"] == 4, "the bounce")
    near.wait_for(3)
    left = credit(w)
    fresh = [t for t in near.raw() if b"new@example.com" in t][0]
    fresh = fresh[fresh.index(b"Received:"):].replace(b"\n", b"\r\n")
    bounce(w, fresh.replace(b"new@example.com", b"bob@example.com"))
    digit = re.search(rb"Envelope-Id: weir-.*(.)\r", fresh)
    at = digit.start(1)
    bounce(w, fresh[:at] + (b"1" if fresh[at:at + 1] == b"0" else b"0") +
           fresh[at + 1:])
    assert w.status()["bounces_ignored"] == 5
    assert credit(w) == left and not w.ctl("show", EVE)["frozen"]

    # After a restart weir still knows its mail.
    with_own = " ENVID=QQ314159"
    mx.run("postfix", "stop")
    code, words = as_user(w.hello(), EVE).transact(
        EVE, ["late@example.com"], message())
    assert code == 250, words
    assert w.stop() == 0
    w.start()
    mx.run("postfix", "start")
    near.run("postqueue", "-f")
    until(lambda: w.status()["bounced_recipients"] == 1, "the bounce")

    # An ENVID of the client's own comes back to it as it was.
    code, words = as_user(w.hello(), EVE).transact(
        EVE, ["own@example.com"], message(), mail=with_own)
    assert code == 250, words
    until(lambda: any(b"Original-Envelope-Id: QQ314159" in t
                      for t in near.raw()), "the client's bounce")
    assert w.status()["bounced_recipients"] == 1


@pytest.mark.usefixtures("world")
def test_a_bounce_that_the_milter_sees(world):  # noqa: F811
    """weir sends on what was held, and the milter sees who it was not."""
    w, mta = world(policy='interval = "1h"  burst = 1  initial = 0  '
                   'refused_credit = 6', main=TAKES_ALL +
                   "virtual_mailbox_maps = inline:{ {bob@example.com = all/} "
                   "{eve@example.com = all/} }\n"
                   "smtpd_recipient_restrictions = permit_mynetworks\n")
    eve = "eve@example.com"
    code, words = mta.transact(eve, ["gone@example.com"], message(sender=eve))
    assert code == 250, words
    sender = w.ctl("queue")[0]["sender"]
    w.ctl("release", "--all")
    # Postfix does not show the milter its own bounces.
    mta.wait_for(1)
    text = mta.raw()[0]
    assert b"Original-Envelope-Id: weir-" in text
    text = text[text.index(b"Received:"):].replace(b"\n", b"\r\n")
    assert w.status()["bounced_recipients"] == 0
    assert mta.transact("", [eve], text.replace(
        b"gone@example.com", b"bob@example.com"))[0] == 250
    assert w.status()["bounced_recipients"] == 0
    for _ in range(2):
        assert mta.transact("", [eve], text)[0] == 250
    until(lambda: w.status()["bounced_recipients"] == 1, "the bounce")
    until(lambda: w.status()["bounces_ignored"] == 2, "the others")
    assert w.ctl("show", sender)["credit"] == 5


def test_refusals_of_the_milters_mail_server(world):  # noqa: F811
    """Postfix shows a milter whom it has refused, and why."""
    w, mta = world(
        policy='burst = 50  initial = 50  refused_credit = 3  '
        'interval = "1h"',
        main="virtual_mailbox_maps = inline:{ {bob@example.com = all/} }\n"
        "virtual_alias_domains = alias.test\n"
        "virtual_alias_maps = inline:{ {list@alias.test = bob@example.com} }\n"
        "smtpd_recipient_restrictions = check_recipient_access inline:{ "
        "{full@example.com = 552 5.2.2 Mailbox full} "
        "{later@example.com = 450 4.1.1 Not yet} }, permit_mynetworks\n"
        "smtpd_authorized_xclient_hosts = 127.0.0.1\n")
    eve = "eve@example.org"

    def ask(*to, client=None):
        """Postfix's code for each recipient; the message goes to the rest."""
        with mta.client() as s:
            if client:
                assert s.docmd("XCLIENT", f"ADDR={client}")[0] == 220
            s.ehlo()
            assert s.mail(eve)[0] == 250
            codes = [s.rcpt(t)[0] for t in to]
            if 250 in codes:
                assert s.data(message(sender=eve))[0] == 250
        return codes

    # What is refused for another reason, or taken though the macros name the
    # mailer "error"; and what a client that is not ours was refused.
    assert ask("full@example.com", "later@example.com", "list@alias.test",
               "bob@example.com") == [552, 450, 250, 250]
    mta.wait_for(2)
    assert ask("guess0@example.com", client="203.0.113.9") == [550]
    assert w.status()["unknown_recipients"] == 0
    assert ask("guess0@example.com", "bob@example.com",
               "guess1@example.com") == [550, 250, 550]
    mta.wait_for(3)
    until(lambda: w.status()["unknown_recipients"] == 2, "two refusals")
    sender = w.ctl("senders")[0]["sender"]
    assert w.ctl("show", sender)["credit"] == 1
    assert ask("guess1@example.com", "guess2@example.com",
               "nobody@alias.test") == [550, 550, 550]
    shown = w.ctl("show", sender)
    assert shown["credit_empty"] and not shown["frozen"]
    assert len(events(w, "credit")) == 1
    assert w.status()["unknown_recipients"] == 4
    # New ones wait now.
    with mta.client() as c:
        c.ehlo()
        assert c.mail(eve)[0] == 250
        assert c.rcpt("carl@relayed.test")[0] == 250
        assert c.data(message(sender=eve))[0] == 250
    assert w.held() == ["carl@relayed.test"]
    assert w.status()["credit_holds"] == 1
