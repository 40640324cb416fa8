# SPDX-License-Identifier: BSD-3-Clause
"""LMTP next hops: a verdict for each recipient after the text, and one honest
reply for the client. With a scripted next hop, and with a real Dovecot."""
import os
import re

import pytest

from dovecot_lmtp import Dovecot
from harness import FastSink, message, path_of, serve_smtp, until

KEY = 'key = envelope\n'
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0\n'
              'exempt_recipients = {"@known.test"}')
EXT = ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING"]


class LmtpSink(FastSink):
    """verdicts: address -> reply after the text, once or for ever."""

    def __init__(self, **kw):
        self.verdicts, self.once, self.hang_up_after = {}, {}, None
        super().__init__(**kw)

    def session(self, peer):
        mail = {}

        def hello(peer, line):
            for word in ["scripted", *EXT[:-1]]:
                peer.say(f"250-{word}")
            peer.say(f"250 {EXT[-1]}")
            return True

        def on_mail(peer, line):
            mail.update({"from": path_of(line), "to": []})

        def on_rcpt(peer, line):
            mail["to"].append(path_of(line))

        def on_end(peer, line):
            text, peer.data = peer.data, b""
            for i, to in enumerate(mail["to"]):
                if self.hang_up_after == i:
                    raise EOFError
                reply = (self.once.pop(to, None) or
                         self.verdicts.get(to, "250 2.0.0 Saved"))
                if reply[0] == "2":
                    with self.lock:
                        self.messages.append((mail["from"], [to], text))
                peer.say(reply)
            return True

        def no_smtp(peer, line):
            peer.say("500 5.5.1 This is LMTP")
            return True

        serve_smtp(peer, on={"LHLO": hello, "EHLO": no_smtp, "HELO": no_smtp,
                             "MAIL": on_mail, "RCPT": on_rcpt, ".": on_end})

    @property
    def lmtp(self):
        return f"lmtp:{self.address}"


@pytest.fixture
def lmtp():
    s = LmtpSink()
    yield s
    s.stop()


def submit(w, *rcpts, sender="a@example.org", **kw):
    peer = w.hello()
    return peer.transact(sender, rcpts, message(**kw))


def test_all_taken(weir, lmtp):
    w = weir(next_hop=lmtp.lmtp, policy=HOLD)
    assert submit(w, "b@known.test") == (250, "2.0.0 Saved")
    assert submit(w, "b@known.test", "c@known.test") == (250, "2.0.0 Saved")
    assert len(lmtp.messages) == 3
    assert w.status()["held_messages"] == 0


def test_size_is_weirs_own(weir, lmtp):
    """An LMTP server that names no limit does not keep weir from naming
    its own, and is not told a size that it did not ask for."""
    w = weir(next_hop=lmtp.lmtp, policy=HOLD, message_size='"1M"')
    peer = w.hello()
    assert "SIZE 1048576" in peer.extensions
    assert peer.ask("MAIL FROM:<a@example.org> SIZE=1048577")[0] == 552
    assert peer.transact("a@example.org", ["b@known.test"], message(),
                         mail=" SIZE=100")[0] == 250
    assert not [line for p in lmtp.peers for line in p.lines
                if "SIZE" in line]


def test_chunks_become_data(weir, lmtp):
    w = weir(next_hop=lmtp.lmtp, policy=HOLD)
    peer = w.hello()
    assert "CHUNKING" in peer.extensions
    peer.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@known.test>\r\n"
              b"BDAT 17 LAST\r\nSubject: x\r\n\r\n.\r\n")
    assert [peer.reply()[0] for _ in range(3)] == [250] * 3
    assert lmtp.messages[0][2].endswith(b"Subject: x\r\n\r\n..\r\n.\r\n")


@pytest.mark.parametrize("verdicts,reply", [
    (["550 5.1.1 Gone", "552 5.2.2 Full"], (550, "5.1.1 Gone")),
    (["550 5.1.1 Gone", "452 4.2.2 Full"], (452, "4.2.2 Full")),
    (["452 4.2.2 Full", "550 5.1.1 Gone"], (452, "4.2.2 Full")),
])
def test_none_taken(weir, lmtp, verdicts, reply):
    lmtp.verdicts = dict(zip(["b@known.test", "c@known.test"], verdicts))
    w = weir(next_hop=lmtp.lmtp, policy=HOLD)
    assert submit(w, "b@known.test", "c@known.test") == reply
    # Held ones go back with the rest: the client sends it again.
    assert submit(w, "b@known.test", "c@known.test",
                  "new@example.com") == reply
    assert w.status()["held_messages"] == 0
    assert lmtp.messages == []


def test_some_taken_others_full(weir, lmtp):
    """The rest is weir's own: on disk before the 250, delivered later."""
    lmtp.once = {"c@known.test": "452 4.2.2 Full"}
    w = weir(next_hop=lmtp.lmtp, policy=HOLD)
    code, text = submit(w, "b@known.test", "c@known.test", "d@known.test")
    assert code == 250 and "1 of 3" in text, text
    assert lmtp.recipients() == ["b@known.test", "d@known.test"]
    (kept,) = w.queue()
    assert kept["id"] in text
    assert [r["address"] for r in kept["recipients"]] == ["c@known.test"]
    # Due in a minute: the test does not wait, a crash does no harm.
    w.kill()
    w.launch()
    (again,) = w.queue()
    assert again["id"] == kept["id"]


def test_some_taken_others_refused(weir, lmtp):
    """A refusal for good is bounced; the bounce goes the same way."""
    lmtp.verdicts = {"c@known.test": "550 5.1.1 No such mailbox"}
    w = weir(next_hop=lmtp.lmtp, policy=HOLD)
    code, text = submit(w, "b@known.test", "c@known.test",
                        "new@example.com")
    assert code == 250 and "1 of 2" in text and "held" in text, text
    lmtp.wait_for(2)
    assert lmtp.messages[0][1] == ["b@known.test"]
    sender, to, bounce = lmtp.messages[1]
    assert (sender, to) == ("", ["a@example.org"])
    assert b"Final-Recipient: rfc822; c@known.test" in bounce
    assert b"No such mailbox" in bounce and b"b@known.test" not in bounce
    until(lambda: w.held() == ["new@example.com"], "the held one alone")


def test_gone_between_two_verdicts(weir, lmtp):
    lmtp.hang_up_after = 1
    w = weir(next_hop=lmtp.lmtp, policy=HOLD)
    code, text = submit(w, "b@known.test", "c@known.test")
    assert code == 250 and "1 of 2" in text, text
    assert w.held() == ["c@known.test"]
    lmtp.hang_up_after = 0
    code, _ = submit(w, "b@known.test", "c@known.test")
    assert code == 451


def test_released_mail_has_a_verdict_each(weir, lmtp):
    lmtp.verdicts = {"full@example.com": "550 5.2.2 Full for good"}
    lmtp.once = {"later@example.com": "452 4.2.2 Full"}
    w = weir(next_hop=lmtp.lmtp, policy=HOLD)
    to = ["one@example.com", "full@example.com", "later@example.com",
          "two@example.com"]
    assert submit(w, *to)[0] == 250
    w.ctl("release", "--all")
    lmtp.wait_for(4)  # one, two, the bounce, and later at its second try
    assert sorted(lmtp.recipients()) == [
        "a@example.org", "later@example.com", "one@example.com",
        "two@example.com"]
    w.wait_empty()
    assert re.search(r"delivery deliver .*to=\"?two@example.com.*Saved",
                     w.log())


def test_unix_socket(weir, tmp_path):
    s = LmtpSink(address=f"unix:{tmp_path}/l")
    try:
        w = weir(next_hop=f"lmtp:unix:{tmp_path}/l", policy=HOLD)
        assert submit(w, "b@known.test")[0] == 250
        assert s.recipients() == ["b@known.test"]
    finally:
        s.stop()


# ---- Dovecot ----

@pytest.fixture
def dovecot(tmp_path):
    if os.geteuid() != 0:
        pytest.fail("a private Dovecot needs root; run the tests as root")
    d = Dovecot(tmp_path / "dovecot", {"b": None, "c": None, "small": 1000})
    yield d.start()
    d.stop()


@pytest.mark.parametrize("unix", [False, True])
def test_dovecot(weir, dovecot, unix):
    w = weir(next_hop=dovecot.unix_address if unix else dovecot.address,
             policy=HOLD)
    peer = w.hello()
    body = ".\r\n..\r\n" + "text " * 1000
    assert peer.transact("a@example.org", ["b@known.test", "c@known.test"],
                         message(body=body))[0] == 250, dovecot.log()
    for user in "b", "c":
        (text,) = dovecot.wait_for(user, 1)
        assert body.replace("\r\n", "\n").encode() in text.replace(
            b"\r\n", b"\n")
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    code, lines = peer.ask("RCPT TO:<nobody@known.test>")
    assert code == 550, lines


def test_dovecot_says_no_after_the_text(weir, dovecot):
    """That the quota does not suffice is known only when the text is: b has
    the message, and the sender hears from weir that small has not."""
    w = weir(next_hop=dovecot.address, policy=HOLD)
    code, text = submit(w, "b@known.test", "small@known.test",
                        sender="c@known.test",
                        body="x" * 900 + "\r\n" * 500)
    assert code == 250 and "1 of 2" in text, (text, dovecot.log())
    assert len(dovecot.wait_for("b", 1)) == 1
    (bounce,) = dovecot.wait_for("c", 1)
    assert b"Final-Recipient: rfc822; small@known.test" in bounce
    assert b"b@known.test" not in bounce.partition(b"rfc822-headers")[0]


def test_one_recipient_at_a_time_on_a_short_disk(weir, lmtp):
    """Nobody would answer for the others, so the client keeps them."""
    w = weir(next_hop=lmtp.lmtp, policy=HOLD, min_free='"1000000G"')
    peer = w.hello()
    for to in ("b@known.test", "c@known.test"):
        assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
        assert peer.ask(f"RCPT TO:<{to}>")[0] == 250
        code, lines = peer.ask("RCPT TO:<d@known.test>")
        assert code == 452 and lines[0].startswith("4.5.3 "), lines
        assert peer.submit(message())[0] == 250
    assert lmtp.recipients() == ["b@known.test", "c@known.test"]
