# SPDX-License-Identifier: BSD-3-Clause
"""Taking a message apart inside a real Postfix where it does not know its
recipients by the names that it gives; and weir's own mail that comes round."""
import contextlib
import os
import pathlib
import re
import tempfile

import pytest

from harness import Sink, message, until
from milter import MilterPostfix, MilterWeir

HOLD = ('interval = "1h"  burst = 1  initial = 0  '
        'exempt_recipients = {"known@example.com"}')
# Addresses that change between the filter and the queue.
MAPS = """myorigin = example.com
recipient_canonical_maps = inline:{ {old@example.com = canonical@example.com} }
virtual_alias_maps = inline:{ {both@example.com = one@example.com, two@example.com} }
smtpd_authorized_xclient_hosts = 127.0.0.0/8
"""


class Site:
    """weir hands back to Postfix, or to sink."""

    def __init__(self, made, sink=None, circle=False, options=""):
        self.dir = pathlib.Path(made.enter_context(
            tempfile.TemporaryDirectory(prefix="weir-apart-")))
        os.chmod(self.dir, 0o755)
        self.w = MilterWeir(self.dir / "w", "127.0.0.1:1", policy=HOLD,
                            mta_options=options)
        self.w.dir.chmod(0o755)
        made.callback(lambda: self.w.process is None or self.w.stop())
        self.mta = MilterPostfix(self.w.where, main=MAPS)
        made.callback(self.mta.stop)
        self.w.next_hop = (sink.address if sink else self.mta.address
                           if circle else self.mta.back)
        self.w.start()
        self.mta.start()


@pytest.fixture(scope="module")
def site():
    with contextlib.ExitStack() as made:
        yield Site(made)


@pytest.fixture(scope="module")
def around():
    """(site, sink): what is let go is caught, and can be sent again."""
    with contextlib.ExitStack() as made:
        sink = Sink().start()
        made.callback(sink.stop)
        yield Site(made, sink, options="hide_client = true"), sink


def delivered(site):
    return sorted(m["Delivered-To"] or "" for m in site.mta.mail())


def smtp(site, sender, paths):
    with site.mta.client() as s:
        s.ehlo()
        assert s.mail(sender)[0] == 250
        for path in paths:
            code, words = s.docmd("RCPT", f"TO:{path}")
            assert code == 250, words
        return s.data(message())


@pytest.mark.parametrize("name,ends", [
    ("bob", ["bob@example.com"]), ("old@example.com", ["canonical@example.com"]),
    ("both@example.com", ["one@example.com", "two@example.com"]),
    ("plain@example.com", ["plain@example.com"])])
def test_sendmail_names_them_otherwise(site, name, ends):
    """The known one at once, the held one once, when it is let go."""
    site.mta.clear()
    assert site.mta.sendmail("a@example.org", ["known@example.com", name],
                             message()).returncode == 0
    site.mta.wait_for(1)
    assert delivered(site) == ["known@example.com"]
    assert len(site.w.held()) == 1
    site.w.ctl("release", "--all")
    site.mta.wait_for(1 + len(ends))
    site.w.wait_empty()
    assert delivered(site) == sorted(["known@example.com", *ends])


@pytest.mark.parametrize("path,end", [
    ("<@relay.test:routed@example.com>", "routed@example.com"),
    ('<"quo.ted"@example.com>', "quo.ted@example.com"),
    ("<short>", "short@example.com"),
    ("<old@example.com>", "canonical@example.com")])
def test_paths_that_the_mail_server_writes_otherwise(site, path, end):
    site.mta.clear()
    assert smtp(site, "b@example.org", ["<known@example.com>", path])[0] == 250
    site.mta.wait_for(1)
    assert delivered(site) == ["known@example.com"]
    site.w.ctl("release", "--all")
    site.mta.wait_for(2)
    site.w.wait_empty()
    assert delivered(site) == sorted(["known@example.com", end])


def test_own_mail_that_comes_round_by_its_trace(around):
    """As a content filter brings it back: with its id and to the recipients
    that it was let go to it passes, once. An id that was read in somebody's
    mail is good for nothing else."""
    site, sink = around
    assert smtp(site, "c@example.org", ["<n1@example.com>",
                                        "<n2@example.com>"])[0] == 250
    site.w.ctl("release", "--all")
    sink.wait_for(1)
    text = sink.messages[-1][2]
    assert b"Received: by " in text and b"127.0.0.1" not in text

    def again(rcpts, login=None):
        with site.mta.client() as s:
            s.ehlo()
            if login:
                assert s.docmd("XCLIENT", f"LOGIN={login}")[0] == 220
                s.ehlo()
            s.sendmail("x@example.org", rcpts, text)

    held = ["n1@example.com", "n2@example.com", "other@example.com"]
    again(held)
    assert sorted(site.w.held()) == held
    again(["n1@example.com"], login="thief")
    assert len(site.w.held()) == 4
    assert site.mta.recipients() == []
    again(held[:2])
    assert sorted(site.mta.wait_for(2)) == held[:2]
    assert site.w.log_lines("warning milter own_mail")
    again(held[:2])
    assert len(site.w.held()) == 6
    assert len(site.mta.recipients()) == 2
    assert site.w.status()["own_mail"] == 1
    site.w.ctl("discard", "--all")


def test_utf8_that_only_a_recipient_needs(around):
    """Of sendmail(1), whose sender says nothing of it."""
    site, sink = around
    before = len(sink.messages)
    assert site.mta.sendmail("e@example.org", ["mïa@example.net"],
                             message()).returncode == 0
    until(lambda: site.w.held(), "the message")
    site.w.ctl("release", "--all")
    until(lambda: len(sink.messages) > before, "the message at the next hop")
    assert "SMTPUTF8" in sink.messages[-1][3], sink.messages[-1]


@pytest.fixture
def circle():
    """next_hop leads to the listener that has the milter."""
    with contextlib.ExitStack() as made:
        yield Site(made, circle=True)


def test_own_mail_that_comes_round_by_its_connection(circle):
    w, mta = circle.w, circle.mta
    assert smtp(circle, "d@example.org", ["<n3@example.com>"])[0] == 250
    assert w.held() == ["n3@example.com"]
    w.ctl("release", "--all")
    assert mta.wait_for(1) == ["n3@example.com"]
    w.wait_empty()
    assert w.log_lines("warning milter own_mail")
    assert w.status()["own_mail"] == 1
    # At a start beside a Postfix that runs it is found before any mail.
    assert w.stop() == 0
    w.start()
    until(lambda: w.log_lines("warning milter own_connection"), "the warning")
    # A listener without it is no cause for a warning.
    assert w.stop() == 0
    w.next_hop, before = mta.back, len(w.log())
    w.start()
    until(lambda: w.status()["next_hop_connections"] == 2, "both next hops")
    assert smtp(circle, "d@example.org", ["<n4@example.com>"])[0] == 250
    assert not re.search("own_connection|maild config", w.log()[before:])
    w.ctl("discard", "--all")
