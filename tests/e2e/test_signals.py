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


def new_people(n):
    return [f"n{i}@relayed.test" for i in range(n)]


def send_each(w, user, to):
    """A message to each; the last reply."""
    peer = as_user(w.hello(), user)
    last = None
    for address in to:
        code, last = peer.ask(f"MAIL FROM:<{user}>")
        if code != 250:
            break
        code, last = peer.ask(f"RCPT TO:<{address}>")
        if code == 250:
            code, last = peer.submit(message())
    peer.close()
    return code, last


SLOW = 'interval = "1h"  burst = 1  initial = 1  freeze_at = 5  '


def test_warnings_and_who_is_never_frozen(weir, postfix):
    vip, eve = "vip@example.com", "eve@example.org"
    w = weir(next_hop=postfix.address, xclient_from='{"127.0.0.1"}',
             never_freeze=f'{{"user:{vip}"}}', verify_held="false",
             policy=SLOW + 'warn_at = {"60%", "80%"}  queue_max = 8')
    for user in (vip, eve):
        assert send_each(w, user, PEOPLE[:1])[0] == 250
        assert send_each(w, user, new_people(4))[0] == 250
    # Once for each part, not once for each message above it.
    warned = [e["detail"] for e in events(w, "warn") if e["sender"] == eve]
    assert len(warned) == 2 and "60%" in warned[0] and "80%" in warned[1]
    assert w.status()["warnings"] == 4
    assert len(w.log_lines(f"gate warn sender={eve}")) == 2

    code, _ = send_each(w, eve, ["n5@relayed.test", "n6@relayed.test"])
    assert code == 451 and w.ctl("show", eve)["frozen"]
    code, text = send_each(w, vip, ["n5@relayed.test", "n6@relayed.test"])
    assert code == 250 and "held" in text
    shown = w.ctl("show", vip)
    assert not shown["frozen"] and shown["never_freeze"]
    told = events(w, "spare")
    assert [e["sender"] for e in told] == [vip]
    assert w.status()["spared_freezes"] == 1
    assert len(w.log_lines(f"gate spare sender={vip}")) == 1
    # It is mail all the same, and a person may stop it.
    w.ctl("release", "--sender", vip)
    until(lambda: not [m for m in w.ctl("queue") if m["sender"] == vip],
          "what was released")
    w.ctl("freeze", vip)
    assert send_each(w, vip, PEOPLE[:1])[0] == 451


def test_networks_may_freeze(weir, postfix):
    w = weir(next_hop=postfix.address, xclient_from='{"127.0.0.1"}',
             policy='client_networks = "1/1h"  interval = "1h"  '
             'client_networks_action = freeze')
    eve = "eve@example.org"

    def mail(client):
        peer = w.hello()
        assert peer.ask(f"XCLIENT ADDR={client} LOGIN={eve}")[0] == 220
        assert peer.ask("EHLO client.test")[0] == 250
        reply = peer.ask(f"MAIL FROM:<{eve}>")
        peer.close()
        return reply

    assert mail("192.0.2.1")[0] == 250
    assert mail("192.0.2.200")[0] == 250
    code, text = mail("203.0.113.7")
    assert code == 451 and "too many networks" in text[0]
    assert w.ctl("show", eve)["freeze_reason"] == "client networks"
    until(lambda: len(events(w, "freeze")) == 1, "it on the disk")
    assert len(events(w, "networks")) == 1
    assert "203.0.113.0/24" in w.log_lines("gate networks")[0]


def test_signals_in_observe_mode(weir, postfix):
    """All pass, and what would have been is told."""
    eve, trap = "eve@example.org", "trap@example.com"
    postfix.clear()
    w = weir(next_hop=postfix.address, xclient_from='{"127.0.0.1"}',
             mode="observe", decoys=f'{{"{trap}"}}', policy=SLOW +
             'refused_credit = 2  client_networks = "1/1h"  '
             'client_networks_action = freeze')
    for i in range(2):
        assert ask(w, eve, f"guess{i}@example.com")[0] == 550
    assert ask(w, eve, trap)[0] == 550  # of Postfix, to whom it is nobody
    for client in ("192.0.2.1", "203.0.113.7"):
        peer = w.hello()
        assert peer.ask(f"XCLIENT ADDR={client} LOGIN={eve}")[0] == 220
        assert peer.ask("EHLO client.test")[0] == 250
        assert peer.transact(eve, PEOPLE, message())[0] == 250
        peer.close()
    postfix.wait_for(4)
    assert w.held() == [] and not w.ctl("show", eve)["frozen"]
    assert w.status()["frozen_senders"] == 0
    assert len(w.log_lines("gate observe .*would freeze: decoy")) == 1
    assert len(w.log_lines("gate observe .*would freeze: used from")) == 1
    assert len(events(w, "credit")) == len(events(w, "networks")) == 1
    assert w.status()["observed_holds"] > 0
