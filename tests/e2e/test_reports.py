# SPDX-License-Identifier: BSD-3-Clause
"""What senders hear of mail that weir took over: DSN parameters kept with held
mail, success reports where the next hop makes none, delay notices, and bounces
for an extension that the next hop lost. And IDN: two forms, one recipient."""
import email
import email.policy
import re

import pytest

from harness import FastSink, message, path_of, serve_smtp, until

KEY = 'key = envelope\n'
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0  freeze_at = 50\n'
              'exempt_recipients = {"@known.test"}')
NULL = 'policy "null" { interval = "1h"  initial = 0 }'
FULL = ["PIPELINING", "SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES",
        "DSN", "SMTPUTF8"]


class Hop(FastSink):
    """A sink whose extensions can change, and that keeps its commands."""

    def __init__(self):
        self.extensions, self.commands, self.refuse = list(FULL), [], {}
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

    def now_offers(self, *extensions):
        self.extensions = list(extensions)
        for old in self.peers:
            old.close()

    def reports(self):
        with self.lock:
            return [report(m[2]) for m in self.messages
                    if m[:2] == ("", ["a@example.org"])]


@pytest.fixture
def hop():
    h = Hop()
    yield h
    h.stop()


def report(text):
    """A multipart/report taken apart: (message, notice, [fields], third)."""
    m = email.message_from_bytes(text, policy=email.policy.default)
    assert m.get_content_type() == "multipart/report"
    assert m["Auto-Submitted"] and m["Message-ID"]
    notice, status, third = m.iter_parts()
    assert status.get_content_type() == "message/delivery-status"
    return (m, notice.get_content(), list(status.iter_parts()),
            third.get_content_type())


def hold(w, *rcpts, mail="", rcpt="", sender="a@example.org", **kw):
    code, text = w.hello().transact(sender, rcpts, message(**kw), mail, rcpt)
    assert code == 250, text


# ---- DSN ----

def test_dsn_parameters_are_kept_with_held_mail(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD)
    hold(w, "new@example.com", mail=" RET=HDRS ENVID=QQ+2B314",
         rcpt=" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Old+2Bnew@example.com")
    w.kill()
    w.launch()
    hop.commands.clear()
    w.ctl("release", "--all")
    hop.wait_for(1)
    assert hop.commands[-2].startswith("MAIL FROM:<a@example.org> ")
    assert "RET=HDRS ENVID=QQ+2B314" in hop.commands[-2]
    assert hop.commands[-1] == (
        "RCPT TO:<new@example.com> NOTIFY=SUCCESS,DELAY "
        "ORCPT=rfc822;Old+2Bnew@example.com")
    w.wait_empty()
    assert hop.reports() == []  # the next hop will say so itself


def test_relayed_when_the_next_hop_lost_dsn(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD)
    hold(w, "new@example.com", "other@example.com", mail=" ENVID=QQ+2B314",
         rcpt=" NOTIFY=SUCCESS ORCPT=rfc822;old@example.com")
    hold(w, "quiet@example.com", rcpt=" NOTIFY=NEVER")
    hold(w, "usual@example.com")
    hold(w, "null@example.com", sender="", rcpt=" NOTIFY=SUCCESS")
    hop.now_offers("PIPELINING", "8BITMIME")
    w.ctl("release", "--all")
    hop.wait_for(6)
    w.wait_empty()
    ((m, notice, fields, third),) = hop.reports()
    assert m["To"] == "a@example.org"
    assert m["Subject"] == "Successful mail delivery report"
    assert "does not report deliveries" in re.sub(r"\s+", " ", notice)
    assert fields[0]["Original-Envelope-Id"] == "QQ+314"
    assert [f["Action"] for f in fields[1:]] == ["relayed", "relayed"]
    assert [f["Status"] for f in fields[1:]] == ["2.0.0", "2.0.0"]
    assert fields[1]["Original-Recipient"] == "rfc822; old@example.com"
    assert fields[1]["Final-Recipient"] == "rfc822; new@example.com"
    assert third == "text/rfc822-headers"


def test_dsn_is_not_dropped_in_a_session(weir, hop):
    """DSN was offered at EHLO and is gone when the message comes."""
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello()
    assert "DSN" in peer.extensions
    hop.now_offers("PIPELINING", "8BITMIME")
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    code, lines = peer.ask("RCPT TO:<b@known.test> NOTIFY=SUCCESS")
    assert code == 451 and "DSN" in lines[0], lines
    assert peer.ask("RCPT TO:<b@known.test> NOTIFY=FAILURE")[0] == 250
    assert peer.submit(message())[0] == 250
    assert "DSN" not in w.hello().extensions


def test_one_report_for_both_fates(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD)
    hold(w, "good@example.com", "bad@example.com",
         rcpt=" NOTIFY=SUCCESS,FAILURE")
    hop.now_offers("PIPELINING", "8BITMIME")
    hop.refuse["bad@example.com"] = "550 5.1.1 No such user"
    w.ctl("release", "--all")
    hop.wait_for(2)
    w.wait_empty()
    ((m, notice, fields, _),) = hop.reports()
    assert m["Subject"] == "Undelivered mail returned to sender"
    assert {f["Final-Recipient"]: f["Action"] for f in fields[1:]} == {
        "rfc822; good@example.com": "relayed",
        "rfc822; bad@example.com": "failed"}
    assert "No such user" in notice


# ---- delay notices ----

def test_delay_notice(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD, sections=NULL,
             notify_after='"1s"')
    hold(w, "new@example.com", "never@example.com", subject="the invoice",
         mail=" ENVID=E7")
    hold(w, "quiet@example.com", rcpt=" NOTIFY=NEVER")
    hold(w, "failure@example.com", rcpt=" NOTIFY=FAILURE")
    hold(w, "wants@example.com", rcpt=" NOTIFY=DELAY")
    hold(w, "null@example.com", sender="")
    until(lambda: len(hop.reports()) >= 2, "two notices")
    until(lambda: len(w.log_lines("delivery delayed")) >= 4, "the log")
    # Two connections bring them, in any order.
    (m, notice, fields, third), second = sorted(
        hop.reports(), key=lambda r: "Original-Envelope-Id" not in r[2][0])
    assert (m["To"], m["Subject"]) == (
        "a@example.org", "Delayed mail (still being retried)")
    assert "many new recipients" in re.sub(r"\s+", " ", notice)
    assert "Do not send it again" in re.sub(r"\s+", " ", notice)
    assert fields[0]["Original-Envelope-Id"] == "E7"
    assert [(f["Final-Recipient"], f["Action"]) for f in fields[1:]] == [
        ("rfc822; new@example.com", "delayed"),
        ("rfc822; never@example.com", "delayed")]
    assert third == "text/rfc822-headers"
    assert [f["Final-Recipient"] for f in second[2][1:]] == [
        "rfc822; wants@example.com"]
    # The administrator hears of all four that have a sender.
    lines = w.log_lines("delivery delayed")
    assert sorted(re.search(r"notice=(\S+)", x).group(1) == "none"
                  for x in lines) == [False, False, True, True]
    assert "delay" in {e["type"] for e in w.ctl("events")}
    # Nothing was lost by it, and a restart tells nobody twice.
    assert len(w.held()) == 6
    w.restart()
    hold(w, "later@example.com")
    until(lambda: len(hop.reports()) >= 3, "the third notice")
    assert len(hop.reports()) == 3


def test_delay_notice_names_the_time_of_this_message(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD, notify_after='"1s"',
             notify_limit='"100/1d"')
    for i in range(25):
        hold(w, f"n{i}@example.com")
    hold(w, "quick@example.com", "last@example.com", subject="the invoice")
    until(lambda: len(hop.reports()) >= 26, "the notices")

    def notice_about(address):
        """They come in any order."""
        (words,) = [notice for _, notice, fields, _ in hop.reports()
                    if any(f["Final-Recipient"] == f"rfc822; {address}"
                           for f in fields[1:])]
        return re.sub(r"\s+", " ", words)

    # Queued a moment ago, so the hours are not quite full.
    words = notice_about("last@example.com")
    assert re.search(r"26 ahead of it; it goes in "
                     r"(1d 2h|1d 3h|1d 2h \d+m)", words), words
    assert "its sender" not in words
    assert re.search(r"\b0 ahead of it; it goes in (1h|59m)",
                     notice_about("n0@example.com"))


def test_delay_notice_names_the_next_hops_reason(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD, notify_after='"1s"',
             retry_min='"1h"')
    hold(w, "grey@example.com")
    hop.refuse["grey@example.com"] = "451 4.7.1 Greylisted, come again"
    w.ctl("release", "--all")
    until(lambda: hop.reports(), "a notice")
    ((_, notice, fields, _),) = hop.reports()
    assert "Greylisted, come again" in notice
    assert fields[1]["Status"] == "4.4.7"
    assert fields[1]["Will-Retry-Until"]


def test_no_notice_unless_asked_for(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD)
    hold(w, "new@example.com")
    w.restart()
    assert hop.reports() == [] and not w.log_lines("delivery delayed")


# ---- SMTPUTF8 and IDN ----

def test_both_forms_of_a_name_are_one_recipient(weir, hop):
    """Known by its A-label, known by its U-label, and the other way round:
    one recipient, which reserves once and is not new the second time."""
    w = weir(next_hop=hop.address,
             policy=KEY + 'interval = "1h"  burst = 2  initial = 1')
    peer = w.hello()
    assert peer.transact("a@example.org", ["Bob@BÜCHER.example"], message(),
                         " SMTPUTF8")[0] == 250
    assert peer.transact("a@example.org", ["bob@xn--bcher-kva.example"],
                         message())[0] == 250
    assert peer.transact("a@example.org", ["bob@bücher.example"], message(),
                         " SMTPUTF8")[0] == 250
    assert w.held() == []
    assert hop.recipients() == ["Bob@BÜCHER.example",
                                "bob@xn--bcher-kva.example",
                                "bob@bücher.example"]
    assert w.sender("<a@example.org>")["working_set"] == 1


def test_utf8_mail_to_a_next_hop_that_lost_it(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD)
    hold(w, "jürgen@example.com", mail=" SMTPUTF8 BODY=8BITMIME")
    hop.now_offers("PIPELINING", "8BITMIME", "DSN")
    w.ctl("release", "--all")
    until(lambda: hop.reports(), "the bounce")
    ((_, notice, fields, _),) = hop.reports()
    assert "SMTPUTF8" in notice
    assert fields[1]["Status"] == "5.6.7"
    assert fields[1]["Action"] == "failed"
    assert fields[1]["Final-Recipient"] == (
        "utf-8; j\\x{FC}rgen@example.com")
    w.wait_empty()


def test_utf8_without_the_parameter_is_refused(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello()
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    assert peer.ask("RCPT TO:<jürgen@known.test>")[0] == 553


# ---- reports that cannot be given to anybody ----

def test_report_to_an_idn_sender_needs_no_smtputf8(weir, hop):
    """Its domain has a form in ASCII, its local part is ASCII."""
    hop.refuse["new@example.com"] = "550 5.1.1 nobody"
    w = weir(next_hop=hop.address, policy=HOLD, verify_held="false")
    assert w.hello().transact("a@bücher.example", ["new@example.com"],
                              message(), " SMTPUTF8")[0] == 250
    hop.refuse.clear()
    hop.now_offers("PIPELINING", "8BITMIME", "DSN")
    w.ctl("release", "--all")
    until(lambda: hop.messages, "the bounce")
    sender, to, text = hop.messages[0]
    assert (sender, to) == ("", ["a@xn--bcher-kva.example"])
    assert text.isascii() and b"To: <a@xn--bcher-kva.example>" in text
    assert hop.commands[-2] == "MAIL FROM:<> BODY=7BIT"


def test_report_to_a_utf8_sender_waits_for_smtputf8(weir, hop):
    """No relay can take it meanwhile; it is in the queue for everybody to
    see, and goes when there is one that can."""
    w = weir(next_hop=hop.address, policy=HOLD, verify_held="false")
    assert w.hello().transact("jörg@example.org", ["new@example.com"],
                              message(), " SMTPUTF8")[0] == 250
    hop.now_offers("PIPELINING", "8BITMIME", "DSN")
    w.ctl("release", "--all")
    until(lambda: [m for m in w.queue() if m["recipients"][0].get(
        "last_error", "").startswith("it needs SMTPUTF8")], "the dead letter")
    ((row,),) = [m["recipients"] for m in w.queue()]
    assert row["address"] == "jörg@example.org" and row["attempts"] == 1
    assert w.log_lines("delivery defer .*jörg.*|delivery defer .*SMTPUTF8")
    hop.now_offers(*FULL)
    until(lambda: hop.messages, "the bounce")
    assert hop.messages[0][:2] == ("", ["jörg@example.org"])
    assert "SMTPUTF8" in hop.commands[-2]
    w.wait_empty()
    assert w.status()["dead_letters"] == 0


def test_report_that_is_refused_is_told_to_the_administrator(weir, hop):
    w = weir(next_hop=hop.address, policy=HOLD, verify_held="false")
    hold(w, "new@example.com")
    hop.refuse.update({"new@example.com": "550 5.1.1 nobody",
                       "a@example.org": "550 5.1.1 nobody either"})
    w.ctl("release", "--all")
    until(lambda: w.status()["dead_letters"] == 1, "the count")
    w.wait_empty()
    assert w.log_lines("warning delivery dead_letter .*reason=.null sender. "
                       ".*nobody either")
