# SPDX-License-Identifier: BSD-3-Clause
"""A stolen account mails strangers as fast as it can: how much gets out, who
notices, and what an administrator can do afterwards."""
import collections
import concurrent.futures
import os
import smtplib
import subprocess
import threading
import time

import pytest

from harness import DEADLINE_S, FastSink, hello, message, until

KEY = "key = envelope\n"
MALLORY = "mallory@example.org"
SOURCE = f"<{MALLORY}>"
BURST, FREEZE_AT = 10, 100


@pytest.fixture
def sink():
    s = FastSink(keep=lambda text: None)
    yield s
    s.stop()


class Sessions:
    """Parallel sessions, each sending its part of the strangers with one
    message each, over a raw connection or through smtplib."""

    def __init__(self, port, sender, rcpts, sessions=4):
        self.port, self.sender = port, sender
        self.parts = [rcpts[i::sessions] for i in range(sessions)]
        self.outcomes = {}  # recipient -> passed, held, refused

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(len(self.parts)) as pool:
            for outcomes in pool.map(self.send, self.parts):
                self.outcomes.update(outcomes)
        return collections.Counter(self.outcomes.values())

    def send(self, rcpts):
        outcomes, smtp = {}, None
        for rcpt in rcpts:
            if smtp is None:
                smtp = smtplib.SMTP("127.0.0.1", self.port, timeout=DEADLINE_S)
            try:
                smtp.sendmail(self.sender, [rcpt],
                              message(sender=self.sender, to=rcpt))
                outcomes[rcpt] = "sent"
            except smtplib.SMTPServerDisconnected:
                outcomes[rcpt], smtp = "cut off", None
            except (smtplib.SMTPRecipientsRefused,
                    smtplib.SMTPSenderRefused, smtplib.SMTPDataError):
                outcomes[rcpt] = "refused"
        if smtp is not None:
            smtp.close()
        return outcomes

    def sent(self):
        return {r for r, outcome in self.outcomes.items() if outcome == "sent"}


def smtp_source(port, *args):
    done = subprocess.run(
        ["smtp-source", *args, f"127.0.0.1:{port}"], capture_output=True,
        text=True, timeout=DEADLINE_S)
    return done.returncode


def strangers(count):
    return [f"stranger{i}@example.com" for i in range(count)]


def allowed(started):
    """How many new recipients can have passed since then: the burst, and one
    for each interval (1 s) that has elapsed."""
    return BURST + int(time.monotonic() - started)


class Bystander(threading.Thread):
    """Somebody else who writes to few people the whole time."""

    def __init__(self, port):
        super().__init__()
        self.port, self.done, self.replies = port, threading.Event(), []

    def run(self):
        peer = hello(self.port)
        i = 0
        while not self.done.is_set() or i < 20:
            self.replies.append(peer.transact(
                "alice@example.org", [f"friend{i % 5}@example.com"],
                message()))
            i += 1

    def finish(self):
        self.done.set()
        self.join()
        assert all(code == 250 and "held" not in text
                   for code, text in self.replies)
        return len(self.replies)


def test_outbreak_from_parallel_sessions(weir, sink):
    w = weir(next_hop=sink.address,
             policy=KEY + 'interval = "1s"  burst = 10  freeze_at = 100')
    alice = Bystander(w.port)
    alice.start()
    started = time.monotonic()
    mob = Sessions(w.port, MALLORY, strangers(1000), sessions=6)
    counts = mob.run()
    passed = [r for r in sink.recipients() if r.startswith("stranger")]
    limit = allowed(started)
    mails = alice.finish()
    assert len(passed) <= limit, "more than burst + 1 per interval got out"
    # The rest up to the freeze waits, and what other sessions had handed over
    # by then; everything after it was refused.
    mallory = w.sender(SOURCE)
    waiting = mallory["queue_length"]
    assert mallory["frozen"] and FREEZE_AT <= waiting < FREEZE_AT + 6
    assert BURST + FREEZE_AT <= counts["sent"] <= limit + waiting
    assert sum(counts.values()) == 1000 and counts["refused"] > 500
    # Frozen: nothing moves, however long one waits.
    time.sleep(2.1)
    out = {r for r in sink.recipients() if r.startswith("stranger")}
    assert len(out) == counts["sent"] - waiting
    assert sink.recipients().count("friend0@example.com") >= 4
    assert len(sink.recipients()) == mails + len(out)
    # Release delivers exactly the rest, once.
    w.ctl("thaw", MALLORY, "--release")
    w.wait_empty()
    got = [r for r in sink.recipients() if r.startswith("stranger")]
    assert sorted(got) == sorted(mob.sent())
    assert not w.sender(SOURCE)["frozen"]
    assert w.status()["refused_recipients"] > 500


def test_outbreak_from_smtp_source(weir, sink):
    w = weir(next_hop=sink.address,
             policy=KEY + 'interval = "1s"  burst = 10  freeze_at = 100',
             errors_max="10000", refused_max="10000")
    started = time.monotonic()
    smtp_source(w.port, "-A", "-c", "-d", "-N", "-s", "5", "-m", "1000",
                "-l", "1024", "-f", MALLORY, "-t", "@example.com")
    mallory = w.sender(SOURCE)
    waiting = mallory["queue_length"]
    assert mallory["frozen"] and FREEZE_AT <= waiting < FREEZE_AT + 5
    # One that an interval let go just before the freeze is on its way.
    until(lambda: len(w.held()) <= waiting, "released mail to arrive")
    out = sink.recipients()
    limit = allowed(started)
    assert BURST <= len(out) <= limit
    assert len(set(out)) == len(out)
    held = set(w.held())
    assert len(held) == waiting and not held & set(out)
    # Discard: none of it is ever delivered.
    w.ctl("discard", "--sender", MALLORY)
    w.ctl("thaw", MALLORY)
    w.wait_empty()
    assert w.sender(SOURCE)["queue_length"] == 0
    time.sleep(1.2)  # more than an interval: nothing is left to go
    assert sorted(sink.recipients()) == sorted(out)
    assert w.status()["discarded_recipients"] == waiting


def test_one_message_to_1000_recipients(weir, sink):
    w = weir(next_hop=sink.address,
             policy=KEY + 'interval = "1h"  burst = 10  freeze_at = 100')
    peer = w.hello()
    peer.send(f"MAIL FROM:<{MALLORY}>\r\n" + "".join(
        f"RCPT TO:<{r}>\r\n" for r in strangers(1000)))
    codes = [peer.reply()[0] for _ in range(1001)]
    assert codes[0] == 250
    # It is taken whole, and is one thing: that the next one comes freezes.
    assert codes[1:] == [250] * 1000
    assert peer.submit(message())[0] == 250
    assert sink.recipients() == strangers(10)
    assert w.held() == strangers(1000)[10:]
    assert not w.sender(SOURCE)["frozen"]
    assert w.status()["blasts"] == 1
    more = [f"more{i}@example.com" for i in range(100)]
    assert peer.transact(MALLORY, more, message())[0] == 250
    assert w.sender(SOURCE)["frozen"]
    w.ctl("thaw", MALLORY, "--release")
    assert sorted(sink.wait_for(1100)) == sorted(strangers(1000) + more)
    w.wait_empty()


def test_one_message_to_1000_recipients_is_answered_temporarily(weir, sink):
    """With the session's own caps as they are: whatever ends it, nobody was
    told yes who does not get the mail, nobody no for ever."""
    w = weir(next_hop=sink.address, policy=KEY + 'interval = "1h"')
    with smtplib.SMTP("127.0.0.1", w.port) as smtp:
        try:
            refused = smtp.sendmail(MALLORY, strangers(1000), message())
            accepted = set(strangers(1000)) - set(refused)
            codes = {code for code, _ in refused.values()}
        except smtplib.SMTPRecipientsRefused as error:
            accepted = set()
            codes = {code for code, _ in error.recipients.values()}
        except smtplib.SMTPServerDisconnected:
            accepted, codes = set(), set()
    assert all(400 <= code < 500 for code in codes), codes
    assert set(sink.recipients()) | set(w.held()) == accepted


def freeze(w, first=0):
    """Mails strangers until the sender is frozen."""
    peer = w.hello()
    for i in range(first, first + 200):
        if w.sender(SOURCE) and w.sender(SOURCE)["frozen"]:
            return peer
        assert peer.transact(MALLORY, [f"stranger{i}@example.com"],
                             message())[0] == 250
    raise AssertionError("never frozen")


SMALL = KEY + 'interval = "1h"  burst = 2  initial = 2  freeze_at = 5\n'


@pytest.mark.parametrize("how,code", [("tempfail", 451), ("reject", 550)])
def test_when_frozen_refuse(weir, sink, how, code):
    w = weir(next_hop=sink.address, policy=SMALL + f"when_frozen = {how}")
    peer = freeze(w)
    got, lines = peer.ask(f"MAIL FROM:<{MALLORY}>")
    if got == 250:
        got, lines = peer.ask("RCPT TO:<stranger0@example.com>")
    text = " ".join(lines)
    assert got == code, text
    # Which limit, how much of it is used, who can help.
    assert ("4.7.1" if code == 451 else "5.7.1") in text
    assert MALLORY in text and "5 of 5" in text
    assert "help@weir.test" in text
    assert len(sink.recipients()) == 2 and len(w.held()) == 5


def test_when_frozen_hold(weir, sink):
    w = weir(next_hop=sink.address,
             policy=SMALL + "when_frozen = hold  queue_max = 8")
    peer = freeze(w)
    # Known or new: all of it waits, up to the cap of the queue, which counts
    # those that mail went to before apart.
    for rcpt in ("stranger0@example.com", "other1@example.com",
                 "other2@example.com", "other3@example.com"):
        code, text = peer.transact(MALLORY, [rcpt], message())
        assert code == 250 and "held" in text, text
    peer.ask(f"MAIL FROM:<{MALLORY}>")
    code, lines = peer.ask("RCPT TO:<other4@example.com>")
    assert code == 452 and "8 of 8" in lines[0], lines
    assert len(w.held()) == 9 and len(sink.recipients()) == 2
    w.ctl("thaw", MALLORY, "--release")
    sink.wait_for(11)
    assert sink.recipients().count("stranger0@example.com") == 2


def test_reply_in_words(weir, sink):
    """Held: what is used up, how many wait before it, when it goes."""
    w = weir(next_hop=sink.address,
             policy=KEY + 'interval = "1m"  burst = 1  initial = 1')
    peer = w.hello()
    peer.transact("a@example.org", ["one@example.com"], message())
    code, text = peer.transact("a@example.org", ["two@example.com"],
                               message())
    assert code == 250
    for words in ("held", "0 of 1", "in 1m"):
        assert words in text, text


def test_whole_messages_wait_together(weir, sink):
    w = weir(next_hop=sink.address, policy=KEY + "multi = whole\n"
             'interval = "1h"  burst = 1  initial = 0\n'
             'exempt_recipients = {"@known.test"}')
    peer = w.hello()
    code, text = peer.transact(
        "a@example.org", ["b@known.test", "new@example.com"], message())
    assert code == 250 and "held" in text
    assert sink.recipients() == []
    assert sorted(w.held()) == ["b@known.test", "new@example.com"]
    # Nobody new: it goes at once.
    assert peer.transact("a@example.org", ["b@known.test"],
                         message())[0] == 250
    assert sink.recipients() == ["b@known.test"]
    w.ctl("release", "--recipient", "new@example.com", "--all")
    sink.wait_for(3)
    assert sorted(sink.messages[1][1]) == ["b@known.test",
                                           "new@example.com"]
    w.wait_empty()


def test_decoys(weir, sink, tmp_path):
    traps = tmp_path / "traps"
    traps.write_text("# nobody\ntrap@example.com\n")
    w = weir(next_hop=sink.address, policy=KEY +
             'exempt_recipients = {"@known.test"}',
             decoys=f'{{"file:{traps}"}}')
    peer = w.hello()
    code, text = peer.transact(
        "eve@example.org", ["b@known.test", "Trap@Example.com"], message())
    assert code == 250 and "decoy" not in text
    until(lambda: w.status()["frozen_senders"] == 1, "the freeze")
    assert sink.recipients() == []
    assert peer.transact("bob@example.org", ["b@known.test"],
                         message())[0] == 250
    kinds = [e["type"] for e in w.ctl("events")]
    assert kinds.count("decoy") == 1 and kinds.count("freeze") == 1
    # Bounces touch none.
    assert peer.transact("", ["trap@example.com"], message())[0] == 250
    assert w.status()["decoy_touches"] == 1
    # What is wrong with the list is said, and the old one stays in force.
    for text, part in (("two@example.com\nrubbish\n", ":2: not an address"),
                       (None, "No such file")):
        traps.unlink() if text is None else traps.write_text(text)
        done = w.run_ctl("reload")
        assert done.returncode == 1 and part in done.stderr, done.stderr
    assert peer.transact("carl@example.org", ["trap@example.com"],
                         message())[0] == 250
    until(lambda: w.status()["frozen_senders"] == 2, "the second freeze")


def test_limit_windows(weir, sink):
    w = weir(next_hop=sink.address, policy=KEY +
             'interval = "100ms"  burst = 10  initial = 10\n'
             'limit = {"3/1h"}')
    peer = w.hello()
    for i in range(3):
        assert peer.transact("a@example.org", [f"new{i}@example.com"],
                             message())[0] == 250
    code, text = peer.transact("a@example.org", ["new3@example.com"],
                               message())
    assert code == 250 and "3 of 3" in text and "1h" in text, text
    time.sleep(0.5)  # intervals pass, the window does not
    assert len(sink.recipients()) == 3
    assert w.held() == ["new3@example.com"]
    # Known recipients are not concerned.
    assert "held" not in peer.transact(
        "a@example.org", ["new0@example.com"], message())[1]


def test_growth_freezes(weir, sink):
    w = weir(next_hop=sink.address, policy=KEY + 'interval = "1h"\n'
             'burst = 1  initial = 1  freeze_growth = "5/1m"')
    freeze(w)
    assert w.sender(SOURCE)["queue_length"] == 5
    assert w.ctl("show", MALLORY)["frozen"]


def test_exempt_sender(weir, sink):
    w = weir(next_hop=sink.address, policy=SMALL, sections=(
        'policy "bulk" { match = {"news@example.org"}  exempt = true\n'
        "key = envelope }"))
    peer = w.hello()
    for part in range(3):
        rcpts = [f"reader{part}-{i}@example.com" for i in range(100)]
        assert peer.transact("news@example.org", rcpts, message())[0] == 250
    assert len(sink.recipients()) == 300
    freeze(w)
    assert not (w.sender("<news@example.org>") or {}).get("frozen")
    # Frozen by hand it is frozen all the same.
    w.ctl("freeze", "<news@example.org>")
    code, lines = peer.ask("MAIL FROM:<news@example.org>")
    if code == 250:
        code, lines = peer.ask("RCPT TO:<x@example.com>")
    assert code == 451, lines


def test_observe_holds_nothing(weir, sink):
    w = weir(next_hop=sink.address, policy=SMALL, mode="observe")
    peer = w.hello()
    for i in range(30):
        code, text = peer.transact(
            MALLORY, [f"stranger{i}@example.com"], message())
        assert code == 250 and "held" not in text
    assert len(sink.recipients()) == 30
    status = w.status()
    assert status["mode"] == "observe"
    assert status["held_recipients"] == 0
    assert status["observed_holds"] >= 5
    assert any(e["type"] == "observe" for e in w.ctl("events"))


def test_a_program_runs_once_per_freeze(weir, sink, tmp_path):
    out = tmp_path / "hook.out"
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\nenv | grep ^WEIR_ | sort | tr '\\n' ' ' "
                    f">>{out}\necho >>{out}\n")
    hook.chmod(0o755)
    w = weir(next_hop=sink.address, policy=SMALL,
             freeze_command=f'"{hook}"')
    peer = freeze(w)
    peer.ask(f"MAIL FROM:<{MALLORY}>")  # more of the same: no second run

    def runs():
        return out.read_text().splitlines() if out.exists() else []

    line = until(runs, "the hook")[0]
    for word in (f"WEIR_SENDER={SOURCE}", "WEIR_POLICY=default",
                 "WEIR_QUEUE_LENGTH=5", "WEIR_FREEZE_AT=5",
                 "WEIR_REASON=5 of 5 recipients waiting", "WEIR_TIME=20",
                 "WEIR_CLIENTS=127.0.0.1 ", 'WEIR_SUBJECTS="', "WEIR_PASSED="):
        assert word in line, line
    w.ctl("thaw", MALLORY, "--discard")
    freeze(w, first=500)
    until(lambda: len(runs()) >= 2, "the second run")
    assert len(runs()) == 2
    assert os.path.exists(hook)


def test_a_program_that_fails_does_no_harm(weir, sink, tmp_path):
    hook = tmp_path / "hook.sh"
    hook.write_text("#!/bin/sh\nexit 3\n")
    hook.chmod(0o755)
    w = weir(next_hop=sink.address, policy=SMALL, freeze_command=f'"{hook}"')
    freeze(w)
    until(lambda: w.log_lines(r"hook failed .*status=3"), "a warning")
    assert w.status()["frozen_senders"] == 1


def test_timed_release_in_order(weir):
    arrivals = []
    sink = FastSink(keep=lambda text: arrivals.append(time.monotonic()))
    w = weir(next_hop=sink.address,
             policy=KEY + 'interval = "500ms"  burst = 1  initial = 0')
    peer = w.hello()
    started = time.monotonic()
    rcpts = [f"new{i}@example.com" for i in range(6)]
    for rcpt in rcpts:
        assert peer.transact("a@example.org", [rcpt], message())[0] == 250
    assert sink.wait_for(6) == rcpts
    for i, at in enumerate(arrivals):
        assert at - started >= 0.5 * (i + 1) - 0.05, "too early"
    # Now they are known.
    for rcpt in rcpts:
        assert "held" not in peer.transact("a@example.org", [rcpt],
                                           message())[1]
    w.wait_empty()
    sink.stop()


def test_sources_are_apart(weir, sink):
    """By default a source is the client's address, whatever it calls itself:
    a new envelope sender per message helps nobody. (As a place for bounces
    each would count as well: test_reverse_path.py.)"""
    w = weir(next_hop=sink.address, local_domains='{"example.org"}',
             policy='interval = "1h"  burst = 2  initial = 2')
    peer = w.hello()
    held = 0
    for i in range(5):
        code, text = peer.transact(f"made-up{i}@example.org",
                                   [f"new{i}@example.com"], message())
        held += "held" in text
    assert held == 3
    assert [s["sender"] for s in w.ctl("senders")] == ["[127.0.0.1]"]


def test_folding_and_case(weir, sink):
    w = weir(next_hop=sink.address, policy=KEY +
             'interval = "1h"  burst = 1  initial = 1  fold_tags = true')
    peer = w.hello()
    for rcpt in ("User+one@Example.com", "user+two@example.COM",
                 "USER@example.com"):
        assert "held" not in peer.transact("A@example.org", [rcpt],
                                           message())[1]
    # The address itself goes on as it came.
    assert sink.recipients()[0] == "User+one@Example.com"
    assert [s["sender"] for s in w.ctl("senders")] == ["<a@example.org>"]
