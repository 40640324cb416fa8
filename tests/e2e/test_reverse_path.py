# SPDX-License-Identifier: BSD-3-Clause
"""The return path as the carrier of a text to strangers, and the honest mail
that has many return paths: lists, forwarders, ticket systems, people with
several addresses. The next hop is a real Postfix where bounces are its own."""
import os
import re

import pytest

from harness import CtlError, FastSink, message, path_of, serve_smtp, until
from postfix import Postfix

EXT = ["PIPELINING", "SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES",
       "DSN", "SMTPUTF8"]
SLOW = 'interval = "1h"'
DEAD = "nobody@bounce.test"


class Hop(FastSink):
    """Keeps its commands, and refuses whom it is told to."""

    def __init__(self, extensions=EXT):
        self.extensions, self.refuse, self.commands = list(extensions), {}, []
        super().__init__()

    def session(self, peer):
        mail = {}

        def on_mail(peer, line):
            self.commands.append(line)
            mail.update({"from": path_of(line), "to": []})

        def on_rcpt(peer, line):
            self.commands.append(line)
            if path_of(line) in self.refuse:
                peer.say(self.refuse[path_of(line)])
                return True
            mail["to"].append(path_of(line))

        def on_end(peer, line):
            text, peer.data = peer.data[:-3], b""
            with self.lock:
                self.messages.append((mail["from"], list(mail["to"]), text))

        serve_smtp(peer, extensions=self.extensions,
                   on={"MAIL": on_mail, "RCPT": on_rcpt, ".": on_end})


@pytest.fixture
def hop():
    made = []

    def make(extensions=EXT):
        made.append(Hop(extensions))
        return made[-1]

    yield make
    for h in made:
        h.stop()


@pytest.fixture
def postfix(hop):
    """Behind weir; the world behind it refuses DEAD."""
    if os.geteuid() != 0:
        pytest.fail("a private Postfix needs root; run the tests as root")
    world = hop()
    world.refuse[DEAD] = "550 5.1.1 no such user"
    p = Postfix("mail.weir.test", f"[127.0.0.1]:{world.port}", local=False)
    p.world = world
    yield p.start()
    p.stop()


def send(peer, path, to, mail="", rcpt=""):
    """The code of the last reply."""
    for line in (f"MAIL FROM:<{path}>{mail}", f"RCPT TO:<{to}>{rcpt}"):
        code, _ = peer.ask(line)
        if code >= 400:
            peer.ask("RSET")
            return code
    return peer.submit(message(subject="BUY PILLS"))[0]


def as_user(peer, user):
    assert peer.ask(f"XCLIENT LOGIN={user}")[0] == 220
    assert peer.ask("EHLO client.test")[0] == 250
    return peer


# ---- the attack ----

@pytest.mark.parametrize("user,to,rcpt", [
    (None, DEAD, ""), ("mallory", "me@own.test", " NOTIFY=SUCCESS")])
def test_bounces_carry_to_the_allowance_at_most(weir, postfix, user, to, rcpt):
    w = weir(next_hop=postfix.address, policy=SLOW,
             xclient_from='{"127.0.0.1"}' if user else "{}")
    peer = w.hello()
    if user:
        as_user(peer, user)
    codes = [send(peer, f"s{i}@x.test", to, " RET=FULL", rcpt)
             for i in range(40)]
    assert codes == [250] * 40
    assert len(w.held()) == 30
    reports = lambda: [m for m in postfix.world.messages if m[0] == ""]
    if rcpt == "":
        until(lambda: len(reports()) >= 10, "the bounces of the first ten")
    else:
        until(lambda: len(postfix.world.messages) >= 10, "the mail")
    until(lambda: "mail queue is empty" in postfix.run("postqueue", "-p")
          .stdout.lower(), "Postfix to be done")
    strangers = {r for m in reports() for r in m[1]}
    # The first is the sender's own; the recipient cost one of ten.
    if rcpt == "":
        assert strangers == {f"s{i}@x.test" for i in range(10)}
    else:
        assert strangers <= {"s0@x.test"}
    if rcpt == "":  # the first may have the whole of it
        assert all(b"some text" not in m[2] for m in reports()
                   if m[1] != ["s0@x.test"])
    sender = w.ctl("show", user or "127.0.0.1")
    assert sender["held_for_reverse_path"] == 30
    assert sender["last_reverse_path_held"] == "s39@x.test"
    assert w.log_lines(r"gate hold .*to=s39@x.test reason=\"reverse path is new")


def test_own_bounces_are_limited(weir, hop):
    h = hop()
    h.refuse[DEAD] = "550 5.1.1 no such user"
    w = weir(next_hop=h.address, verify_held="false", policy=SLOW +
             " initial = 0  burst = 1  queue_max = 500  freeze_at = 0",
             local_domains='{"x.test"}', report_limit='"7/1h"',
             report_limit_address='"3/1h"')
    peer = w.hello()
    for i in range(20):
        assert send(peer, f"s{i}@x.test", DEAD) == 250
    for i in range(5):
        assert send(peer, f"s+{i}@x.test", DEAD) == 250
    w.ctl("release", "--all")
    until(lambda: w.status()["reports_limited"] == 18, "the limit")
    assert len(h.wait_for(7)) == 7
    # Not lost from view: the rest waits, and says why. The row of the seventh
    # goes after the next hop has it.
    until(lambda: len(w.held()) == 18, "the seventh report's end")
    assert sum(e["count"] for e in w.ctl("events")
               if e["type"] == "defer") >= 18
    assert len(w.log_lines("bounce_put_off .*reason=report_limit")) == 18


# ---- honest mail ----

@pytest.mark.parametrize("path", [
    "list-bounces+u%d=sub.test@lists.test",   # Mailman
    "list-return-%d-u=sub.test@lists.test",   # ezmlm
    "SRS0=hh%d=tt=sub.test=u@forward.test",   # a forwarder
    "prvs=12%03dabcde=me@own.test",           # BATV
    "ticket+%d@desk.test"])                   # a ticket system
def test_many_paths_of_one_base_go_on(weir, hop, path):
    h = hop()
    w = weir(next_hop=h.address, policy=SLOW)
    peer = w.hello()
    for i in range(100):
        assert send(peer, path % i, "known@b.test") == 250
    assert w.status()["held_recipients"] == 0
    w.restart()
    peer = w.hello()
    assert send(peer, path % 999, "known@b.test") == 250
    assert w.status()["held_recipients"] == 0
    # As it came, whatever it counts as.
    assert h.messages[-1][0] == path % 999


def test_people_with_several_addresses(weir, hop, tmp_path):
    owners = tmp_path / "senders"
    owners.write_text("alice alice@a.test, sales@b.test\n")
    h = hop()
    w = weir(next_hop=h.address, xclient_from='{"127.0.0.1"}',
             local_domains='{"example.org"}', policy=SLOW + " initial = 1\n"
             f'sender_address_file = "{owners}"')
    peer = as_user(w.hello(), "alice")
    for path in ("alice@example.org", "boss@example.org", "alice@a.test",
                 "sales@b.test", "home@c.test", "") * 3:
        assert send(peer, path, "known@d.test") == 250
    assert w.status()["held_recipients"] == 0


# ---- what the next hop is told ----

def test_dsn_of_a_new_foreign_path(weir, hop):
    h = hop()
    w = weir(next_hop=h.address, policy=SLOW + " burst = 2  initial = 2")
    peer = w.hello()
    send(peer, "me@own.test", "known@b.test", " RET=FULL",
         " NOTIFY=SUCCESS,FAILURE")
    assert "RET=FULL" in h.commands[-2]
    assert h.commands[-1].endswith(" NOTIFY=SUCCESS,FAILURE")
    send(peer, "s0@x.test", "known@b.test", " RET=FULL",
         " NOTIFY=SUCCESS,FAILURE")
    assert "RET=HDRS" in h.commands[-2]
    assert h.commands[-1].endswith(" NOTIFY=FAILURE")
    # Used before: no stranger any more.
    send(peer, "s0@x.test", "known@b.test", " RET=FULL", " NOTIFY=SUCCESS")
    assert "RET=FULL" in h.commands[-2]
    # Held mail: no report of success, and none of the delay.
    for i, (given, kept) in enumerate([
            ("", "FAILURE"), (" NOTIFY=SUCCESS", "NEVER"),
            (" NOTIFY=NEVER", "NEVER"), (" NOTIFY=DELAY", "NEVER"),
            (" NOTIFY=SUCCESS,DELAY,FAILURE", "FAILURE")]):
        assert send(peer, f"h{i}@x.test", "known@b.test", " RET=FULL",
                    given) == 250
        w.ctl("release", "--all")
        until(lambda: not w.queue(), "the held message")
        assert "RET=HDRS" in h.commands[-2], h.commands[-2]
        assert h.commands[-1].endswith(f" NOTIFY={kept}"), (given, h.commands)


def test_success_alone_becomes_never(weir, hop):
    h = hop()
    w = weir(next_hop=h.address, policy=SLOW)
    peer = w.hello()
    send(peer, "me@own.test", "known@b.test")
    send(peer, "s0@x.test", "known@b.test", "", " NOTIFY=SUCCESS")
    assert h.commands[-1].endswith(" NOTIFY=NEVER")


def test_no_dsn_no_parameters(weir, hop):
    h = hop([x for x in EXT if x != "DSN"])
    w = weir(next_hop=h.address, policy=SLOW)
    peer = w.hello()
    for path in ("me@own.test", "s0@x.test"):
        assert send(peer, path, "known@b.test") == 250
        assert "RET" not in h.commands[-2]
        assert h.commands[-1] == "RCPT TO:<known@b.test>"


def test_discard_never_bounces(weir, hop):
    h = hop()
    w = weir(next_hop=h.address, policy=SLOW + " burst = 1  initial = 1")
    peer = w.hello()
    send(peer, "me@own.test", "known@b.test")
    send(peer, "s0@x.test", "known@b.test")
    assert len(w.held()) == 1
    w.ctl("discard", "--sender", "127.0.0.1")
    until(lambda: not w.queue(), "the spool to be empty")
    w.restart()
    assert len(h.messages) == 1


# ---- sender_addresses ----

def test_sender_addresses_own(weir, hop, tmp_path):
    owners = tmp_path / "senders"
    owners.write_text("alice sales@b.test\nbob @lists.test\n")
    w = weir(next_hop=hop().address, xclient_from='{"127.0.0.1"}',
             local_domains='{"example.org"}', policy="sender_addresses = own\n"
             f'sender_address_file = "{owners}"')
    peer = as_user(w.hello(), "alice")
    for path, code in (("alice@example.org", 250), ("Sales@B.test", 250),
                       ("", 250), ("bob@example.org", 553),
                       ("any@lists.test", 553), ("alice@x.test", 553)):
        got, lines = peer.ask(f"MAIL FROM:<{path}>")
        assert got == code, (path, lines)
        if got == 553:
            assert re.fullmatch(
                r"5\.7\.1 <\S+>: Sender address rejected: not owned by user "
                r"alice; help@weir\.test can help", lines[0]), lines
        peer.ask("RSET")
    # Without a login nobody is asked.
    assert w.hello().ask("MAIL FROM:<bob@example.org>")[0] == 250
    # A bad file keeps the old one, and says where.
    owners.write_text("alice sales@b.test new@b.test\nbob lists.test\n")
    with pytest.raises(CtlError) as e:
        w.ctl("reload")
    assert f"{owners}:2: not an address" in e.value.err
    assert peer.ask("MAIL FROM:<new@b.test>")[0] == 553
    owners.write_text("alice sales@b.test new@b.test\n")
    w.ctl("reload")
    peer = as_user(w.hello(), "alice")
    assert peer.ask("MAIL FROM:<new@b.test>")[0] == 250
