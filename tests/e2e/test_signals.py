# SPDX-License-Identifier: BSD-3-Clause
"""What gives a stolen account away, against a real Postfix: recipients that it
does not know."""
import os

import pytest

from harness import message, until
from postfix import Postfix

PEOPLE = ["bob@example.com", "carl@example.com"]


@pytest.fixture(scope="module")
def postfix():
    """Knows PEOPLE alone."""
    if os.geteuid() != 0:
        pytest.fail("a private Postfix needs root; run the tests as root")
    known = " ".join(f"{{{p} = all/}}" for p in PEOPLE)
    p = Postfix("mail.weir.test", extra="virtual_mailbox_maps = inline:{ "
                f"{known} }}\nsmtpd_recipient_restrictions =\n")
    yield p.start()
    p.stop()


def as_user(peer, user):
    assert peer.ask(f"XCLIENT LOGIN={user}")[0] == 220
    assert peer.ask("EHLO client.test")[0] == 250
    return peer


def events(w, kind):
    return [e for e in w.ctl("events") if e["type"] == kind]


def ask(w, user, to):
    peer = as_user(w.hello(), user)
    code, lines = peer.ask(f"MAIL FROM:<{user}>")
    if code == 250:
        code, lines = peer.ask(f"RCPT TO:<{to}>")
    peer.close()
    return code, lines


def test_unknown_recipients(weir, postfix):
    w = weir(next_hop=postfix.address, xclient_from='{"127.0.0.1"}',
             policy='burst = 50  initial = 50  refused_credit = 3  '
             'credit_freeze = "10ms"  interval = "1h"')
    eve = "eve@example.org"
    for i in range(3):
        assert ask(w, eve, f"guess{i}@example.com")[0] == 550
    shown = w.ctl("show", eve)
    assert (shown["credit"], shown["credit_max"]) == (0, 3)
    assert shown["credit_empty"] and not shown["frozen"]
    assert len(events(w, "credit")) == 1
    # Who is there waits, since too many were not; others' mail does not.
    code, text = as_user(w.hello(), eve).transact(
        eve, PEOPLE[:1], message())
    assert code == 250 and w.held() == PEOPLE[:1], text
    told = w.ctl("explain", eve, PEOPLE[1])
    assert told["verdict"] == "hold" and "unknown" in told["why"]
    assert as_user(w.hello(), "fay@example.org").transact(
        "fay@example.org", PEOPLE[1:], message())[0] == 250
    postfix.wait_for(1)

    # Who goes on is frozen.
    assert ask(w, eve, "guess3@example.com")[0] == 550
    assert w.ctl("show", eve)["freeze_reason"] == "unknown recipients"
    code, text = ask(w, eve, PEOPLE[1])
    assert code == 451 and "too many unknown recipients" in text[0]
    assert w.status()["unknown_recipients"] == 4
    assert w.status()["credit_holds"] == 1
    w.ctl("thaw", eve, "--release")
    until(lambda: PEOPLE[0] in postfix.recipients(), "what was released")


def test_networks_of_a_login(weir, postfix):
    w = weir(next_hop=postfix.address, xclient_from='{"127.0.0.1"}',
             policy='client_networks = "2/1h"  interval = "1h"')
    eve = "eve@example.org"

    def send(client, to):
        peer = w.hello()
        assert peer.ask(f"XCLIENT ADDR={client} LOGIN={eve}")[0] == 220
        assert peer.ask("EHLO client.test")[0] == 250
        return peer.transact(eve, [to], message())

    assert send("192.0.2.1", PEOPLE[0])[0] == 250
    assert send("IPV6:2001:db8:1::1", PEOPLE[0])[0] == 250
    assert w.held() == [] and events(w, "networks") == []
    code, text = send("203.0.113.7", PEOPLE[1])
    assert code == 250 and "used from too many networks" in text
    assert w.held() == [PEOPLE[1]]
    assert "203.0.113.0/24" in events(w, "networks")[0]["detail"]
    shown = w.ctl("show", eve)
    assert (shown["client_networks"], shown["client_networks_max"]) == (3, 2)
    assert w.status()["network_holds"] == 1


def test_a_decoy_named_by_incoming_mail(weir, postfix):
    """Who answers to all of a harvester's mail is no thief; the tarpit is for
    who writes to it by himself."""
    trap = "trap@traps.test"
    w = weir(next_hop=postfix.address, xclient_from='{"127.0.0.1"}',
             decoys=f'{{"{trap}"}}', local_domains='{"example.com"}',
             my_networks='{"127.0.0.0/8"}', tarpit='"1s"',
             policy='when_frozen = tempfail')
    peer = w.hello()
    assert peer.ask("XCLIENT ADDR=192.0.2.9 LOGIN=[UNAVAILABLE]")[0] == 220
    assert peer.ask("EHLO spammer.test")[0] == 250
    text = message(sender="x@spam.test").replace(
        b"Subject:", b"Cc: Bob <bob@example.com>,\r\n\t<TRAP@traps.test>\r\n"
        b"Subject:", 1)
    assert peer.transact("x@spam.test", PEOPLE[:1], text)[0] == 250

    bob, carl = PEOPLE
    peer = as_user(w.hello(), bob)
    assert peer.ask(f"MAIL FROM:<{bob}>")[0] == 250
    peer.ask(f"RCPT TO:<{trap}>")
    assert not w.ctl("show", bob)["frozen"]
    assert "named it" in events(w, "decoy")[0]["detail"]
    assert w.status()["tarpit_replies"] == 0
    peer.close()

    peer = as_user(w.hello(), carl)
    assert peer.transact(carl, [trap], message())[0] == 250
    assert w.ctl("show", carl)["freeze_reason"] == "decoy"
    late = w.status()["tarpit_replies"]
    assert late >= 2  # RCPT, and the dot
    code, _ = peer.ask(f"MAIL FROM:<{carl}>")
    assert code == 451
    # Who leaves meanwhile leaves nothing behind; nor does a stop wait.
    peer.say(f"MAIL FROM:<{carl}>")
    until(lambda: w.status()["tarpit_replies"] == late + 2, "the delay")
    peer.close()
    peer = as_user(w.hello(), carl)
    peer.say(f"MAIL FROM:<{carl}>")
    until(lambda: w.status()["tarpit_replies"] == late + 3, "the delay")
    assert w.stop() == 0
    assert peer.reply()[0] == 451
