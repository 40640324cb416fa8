# SPDX-License-Identifier: BSD-3-Clause
"""weir in a real Postfix beside the programs that sites have there: PostSRSd,
Dovecot's Sieve, a mailing list manager, a content filter on a second port."""
import contextlib
import os
import pathlib
import subprocess
import tempfile

import pytest

from dovecot_lmtp import Dovecot
from harness import Sink, free_port, listens, message, until
from milter import MilterPostfix, MilterWeir

OURS = {"local_domains": '{"example.com", "srs.test", "lists.test"}'}
MAIN = """smtpd_authorized_xclient_hosts = 127.0.0.0/8
recipient_delimiter = +
relay_domains = srs.test
smtpd_recipient_restrictions =
    permit_mynetworks, permit_auth_destination, reject
"""
FIRST_DAY = 10  # strangers of programs that were never seen, together


class Site:
    """A Postfix with weir's milter; what leaves it goes to a sink."""

    def __init__(self, made, main="", master="", policy="", lists=""):
        self.dir = pathlib.Path(made.enter_context(
            tempfile.TemporaryDirectory(prefix="weir-programs-")))
        os.chmod(self.dir, 0o755)
        self.sink = Sink().start()
        made.callback(self.sink.stop)
        self.w = MilterWeir(self.dir / "w", "127.0.0.1:1", policy=policy,
                            sections=lists, **OURS)
        self.w.dir.chmod(0o755)
        made.callback(lambda: self.w.process is None or self.w.stop())
        self.mta = MilterPostfix(
            self.w.where, relayhost=f"[127.0.0.1]:{self.sink.port}",
            main=MAIN + main)
        made.callback(self.mta.stop)
        with open(self.mta.dir / "etc/master.cf", "a") as f:
            f.write(master)
        self.w.next_hop = str(self.mta.back)
        self.w.start()
        self.mta.start()

    def comes_in(self, sender, rcpts, text=None):
        """From a machine outside."""
        with self.mta.client() as s:
            assert s.docmd("XCLIENT", "ADDR=198.51.100.7")[0] == 220
            s.ehlo()
            assert s.mail(sender)[0] == 250
            for rcpt in rcpts:
                code, words = s.rcpt(rcpt)
                assert code == 250, words
            assert s.data(text or message(sender=sender))[0] == 250

    def sent(self):
        """(reverse path, recipient) of what left."""
        with self.sink.lock:
            return [(m[0], r) for m in self.sink.messages for r in m[1]]


@pytest.fixture
def made():
    with contextlib.ExitStack() as stack:
        yield stack


def run(made, *command, port):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    made.callback(process.wait)
    made.callback(process.kill)
    until(lambda: listens(port), command[0])


# ---- PostSRSd ----

SRS = """sender_canonical_maps = tcp:127.0.0.1:{forward}
sender_canonical_classes = envelope_sender
recipient_canonical_maps = tcp:127.0.0.1:{reverse}
recipient_canonical_classes = envelope_recipient, header_recipient
virtual_alias_maps = inline:{{ {{fwd@example.com = new@elsewhere.test}} }}
"""


def test_postsrsd(made):
    """One SRS address for what passes and for what is held, and the bounce to
    it comes in."""
    forward, reverse = free_port(), free_port()
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write("not a secret\n")
        secret.flush()
        run(made, "postsrsd", f"-s{secret.name}", "-dsrs.test", "-Xexample.com",
            "-l127.0.0.1", f"-f{forward}", f"-r{reverse}", port=forward)
        until(lambda: listens(reverse), "PostSRSd")
    site = Site(made, SRS.format(forward=forward, reverse=reverse),
                policy='interval = "1h"  burst = 1  initial = 1')
    # Two recipients, of which one waits.
    assert site.mta.transact("x@far.test", ["p@known.test", "q@new.test"],
                             message())[0] == 250
    assert site.sink.wait_for(1) == ["p@known.test"]
    until(lambda: site.w.held() == ["q@new.test"], "the other one")
    site.w.ctl("release", "--all")
    site.sink.wait_for(2)
    paths = {path for path, _ in site.sent()}
    assert len(paths) == 1, paths
    srs = paths.pop()
    assert srs.lower().startswith("srs0=") and srs.endswith("@srs.test"), srs
    # Somebody far away writes to a forwarded address: it comes in.
    site.comes_in("y@far.test", ["fwd@example.com"])
    assert site.sink.wait_for(3)[-1] == "new@elsewhere.test"
    # The bounce goes to whom it was forwarded for.
    site.comes_in("", [srs])
    assert site.sink.wait_for(4)[-1] == "x@far.test"
    assert site.w.held() == []


# ---- Dovecot's Sieve ----

SIEVE = """
postmaster_address = postmaster@example.com
submission_host = {mta}
protocol lmtp {{
  mail_plugins = sieve
}}
plugin {{
  sieve = file:{dir}/%n.sieve
}}
"""
VACATION = """require ["vacation"];
vacation :addresses ["bob@example.com"] "I am away";
"""
REDIRECT = 'redirect "carol@mailbox.test";\n'


def test_sieve(made):
    """A vacation answer passes, and so does what a user has sent on, whoever
    wrote it; what is not one program's one recipient is bounded."""
    port = free_port()
    site = Site(made, f"virtual_transport = lmtp:inet:127.0.0.1:{port}\n",
                "lmtp unix - - n - - lmtp\n")
    for user, script in (("bob", VACATION), ("carol", REDIRECT)):
        (site.dir / f"{user}.sieve").write_text(script)
    dovecot = Dovecot(site.dir / "d", extra=SIEVE.format(
        mta=site.mta.address, dir=site.dir))
    dovecot.port = port
    made.callback(dovecot.stop)
    dovecot.start()
    site.comes_in("friend@far.test", ["bob@example.com"],
                  message(sender="friend@far.test", to="bob@example.com"))
    site.sink.wait_for(1)
    assert site.sent() == [("<>", "friend@far.test")]
    assert site.w.status()["passed_replies"] == 1
    # Each writer is a program's sender that was never seen.
    n = FIRST_DAY + 5
    for i in range(n):
        site.comes_in(f"w{i}@far.test", ["carol@example.com"])
    assert site.sink.wait_for(1 + n)[1:] == n * ["carol@mailbox.test"]
    assert site.w.held() == []


# ---- a list ----

def make_list(site, subscribers):
    base = site.dir / "lists/news"
    site.dir.chmod(0o755)
    subprocess.run(["/usr/bin/mlmmj-make-ml", "-L", "news", "-s", site.dir / "lists"],
                   input=b"lists.test\nowner@lists.test\nen\n", check=True,
                   capture_output=True)
    control = base / "control"
    (control / "listaddress").write_text("news@lists.test\n")
    (control / "relayhost").write_text("127.0.0.1\n")
    (control / "smtpport").write_text(f"{site.mta.port}\n")
    (base / "subscribers.d/a").write_text(
        "".join(f"{s}\n" for s in subscribers))
    return base


def post(site, base):
    """As an alias of the list has it."""
    subprocess.run(["/usr/bin/mlmmj-receive", "-F", "-L", base], check=True,
                   input=b"Return-Path: <owner@lists.test>\n" + message(
                       sender="owner@lists.test",
                       to="news@lists.test").replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("policy, out", [
    ('policy "lists" { match = {"from:@lists.test"} interval = "1s" '
     "burst = 5000 initial = 5000 freeze_at = 0 }\n", 60), ("", FIRST_DAY)],
    ids=["with a policy", "without"])
def test_mlmmj(made, policy, out):
    """A return path for each subscriber, and one source: with a policy all of
    it goes, without one the list waits and nothing is lost."""
    subscribers = [f"s{i}@reader{i % 7}.test" for i in range(60)]
    site = Site(made, lists=policy)
    post(site, make_list(site, subscribers))
    site.sink.wait_for(out)
    until(lambda: len(site.w.held()) + len(site.sink.recipients()) == 60,
          "all of it")
    assert len(site.sink.recipients()) == out
    paths = {path for path, _ in site.sent()}
    assert len(paths) == out and all("bounces" in p for p in paths), paths
    sources = [s["sender"] for s in site.w.ctl("senders")]
    assert len(sources) == 1, sources
    assert sorted(site.w.held() + site.sink.recipients()) == sorted(
        subscribers)


# ---- a content filter ----

PROXSMTP = """Listen: 127.0.0.1:{port}
OutAddress: 127.0.0.1:{out}
FilterType: pipe
FilterCommand: {command}
User: nobody
PidFile: {dir}/proxsmtp.pid
TempDirectory: /tmp
"""
SECOND = """127.0.0.1:{out} inet n - n - - smtpd
    -o content_filter=
    -o smtpd_milters=
    -o receive_override_options=no_milters,no_address_mappings,no_header_body_checks
    -o mynetworks=127.0.0.0/8
"""


def test_content_filter_on_a_second_port(made):
    """Each copy goes through it once, what passes and what is held, and nobody
    gets two."""
    port, out = free_port(), free_port()
    site = Site(made, f"content_filter = smtp:[127.0.0.1]:{port}\n",
                SECOND.format(out=out),
                policy='interval = "1h"  burst = 1  initial = 1')
    script = site.dir / "scan"
    script.write_text('#!/bin/sh\necho "X-Scanned: yes"\nexec cat\n')
    script.chmod(0o755)
    conf = site.dir / "proxsmtpd.conf"
    conf.write_text(PROXSMTP.format(port=port, out=out, command=script,
                                    dir=site.dir))
    run(made, "proxsmtpd", "-d", "1", "-f", conf, port=port)
    assert site.mta.transact("a@far.test", ["p@known.test", "q@new.test"],
                             message())[0] == 250
    assert site.sink.wait_for(1) == ["p@known.test"]
    site.w.ctl("release", "--all")
    assert sorted(site.sink.wait_for(2)) == ["p@known.test", "q@new.test"]
    site.w.wait_empty()
    texts = [m[2] for m in site.sink.messages]
    assert len(texts) == 2
    for text in texts:
        assert text.count(b"X-Scanned: yes") == 1, text
    assert len(site.w.ctl("senders")) == 1
