# SPDX-License-Identifier: BSD-3-Clause
"""weir beside other filters and the rest of a site, with the listener that
contrib has for what comes back: each filter sees a message once, whatever
stands first, and what an administrator ordered is done."""
import contextlib
import os
import pathlib
import subprocess
import tempfile

import dkim
import pytest

from harness import free_port, listens, message, until
from milter import MilterPostfix, MilterWeir
from minimilter import MiniMilter

HOLD = ('interval = "1h"  burst = 1  initial = 0  '
        'exempt_recipients = {"known@example.com"}')
MAIN = """smtpd_sender_restrictions = check_sender_access inline:{
    {hold@example.org = HOLD under investigation}
    {redirect@example.org = REDIRECT boss@example.com}
    {bcc@example.org = BCC boss@example.com}
    {filter@example.org = FILTER discard:}}
header_checks = regexp:{ {/^Subject: (.*)/ REPLACE Subject: [EXT] $$1}
    {/^From:/ PREPEND X-Tag: checked} }
"""
COPIES = """always_bcc = all@example.com
sender_bcc_maps = inline:{ {sb@example.org = archive@example.com} }
recipient_bcc_maps = inline:{ {rb@example.com = archive@example.com} }
"""
OPENDKIM = """Socket inet:{port}@127.0.0.1
Domain example.org
Selector weir
KeyFile {dir}/weir.private
Mode s
Canonicalization relaxed/simple
InternalHosts 127.0.0.0/8
PidFile {dir}/opendkim.pid
RequireSafeKeys no
UserID {user}
Background no
"""


class OpenDkim:
    """Debian's, with a key of its own."""

    def __init__(self, directory):
        self.dir, self.port = pathlib.Path(directory), free_port()
        self.where = f"inet:127.0.0.1:{self.port}"
        subprocess.run(["openssl", "genrsa", "-traditional", "-out",
                        self.dir / "weir.private", "1024"], check=True,
                       capture_output=True)
        public = subprocess.run(
            ["openssl", "rsa", "-in", self.dir / "weir.private", "-pubout"],
            check=True, capture_output=True, text=True).stdout
        self.record = ("v=DKIM1; k=rsa; p=" +
                       "".join(public.splitlines()[1:-1])).encode()
        (self.dir / "weir.private").chmod(0o600)
        conf = self.dir / "opendkim.conf"
        conf.write_text(OPENDKIM.format(port=self.port, dir=self.dir,
                                        user="root"))
        self.process = subprocess.Popen(
            ["/usr/sbin/opendkim", "-f", "-x", conf])
        until(lambda: listens(self.port), "OpenDKIM")

    def stop(self):
        self.process.kill()
        self.process.wait()


class Site:
    """filters: of addresses, None where weir stands. copies: with
    milter_next_hop."""

    def __init__(self, made, filters, main="", copies=False):
        directory = pathlib.Path(made.enter_context(
            tempfile.TemporaryDirectory(prefix="weir-order-")))
        os.chmod(directory, 0o755)
        self.w = MilterWeir(directory / "w", "127.0.0.1:1", policy=HOLD)
        self.w.dir.chmod(0o755)
        made.callback(lambda: self.w.process is None or self.w.stop())
        self.mta = MilterPostfix(
            ", ".join(f or self.w.where for f in filters), main=main)
        made.callback(self.mta.stop)
        self.w.next_hop = self.mta.back if copies else str(self.mta.back)
        self.w.start()
        self.mta.start()

    def send_and_release(self, rcpts, count, sender="a@example.org"):
        """What arrives: before the release, and all of it."""
        text = message(subject="hello", sender=sender)
        assert self.mta.transact(sender, rcpts, text)[0] == 250
        if "known@example.com" in rcpts:
            self.mta.wait_for(1)
        self.w.ctl("release", "--all")
        self.mta.wait_for(count)
        self.w.wait_empty()
        return self.mta.mail()


@pytest.fixture
def made():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def plain():
    with contextlib.ExitStack() as stack:
        yield Site(stack, [None], MAIN)


@pytest.fixture(scope="module")
def copies():
    with contextlib.ExitStack() as stack:
        yield Site(stack, [None], COPIES, copies=True)


@pytest.mark.parametrize("order", ["last", "first"])
def test_opendkim_signs_what_is_held(made, order):
    """Once, whichever stands first, and the signature is good."""
    signer = OpenDkim(made.enter_context(
        tempfile.TemporaryDirectory(prefix="weir-dkim-")))
    made.callback(signer.stop)
    mini = MiniMilter("addheader")
    made.callback(mini.stop)
    others = [signer.where, mini.where]
    site = Site(made, [*others, None] if order == "last"
                else [None, *others])
    mail = site.send_and_release(["known@example.com", "new@example.com"], 2)
    for raw, m in zip(site.mta.raw(), mail):
        assert len(m.get_all("DKIM-Signature", [])) == 1, raw.decode()
        assert len(m.get_all("X-Mini", [])) == 1
        raw = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        assert dkim.verify(raw, dnsfunc=lambda *a, **k: signer.record)


def test_what_another_filter_refuses_is_not_held(made):
    mini = MiniMilter("reject")
    made.callback(mini.stop)
    site = Site(made, [mini.where, None])
    code, words = site.mta.transact(
        "a@example.org", ["known@example.com", "new@example.com"], message())
    assert code == 550 and b"virus" in words
    assert site.w.held() == [] and site.mta.recipients() == []


@pytest.mark.parametrize("sender,ends", [
    ("hold", []), ("redirect", ["boss"]), ("bcc", ["boss", "new"]),
    ("filter", []), ("nobody", ["new"])])
def test_what_access_says_is_done_for_what_comes_back(plain, sender, ends):
    plain.mta.clear()
    mail = plain.send_and_release(["new@example.com"], len(ends),
                                  f"{sender}@example.org")
    if sender == "hold":
        until(lambda: '"hold"' in "".join(plain.mta.queue()), "hold queue")
    assert sorted(m["Delivered-To"] for m in mail) == [
        f"{end}@example.com" for end in ends]


def test_header_checks_run_once(plain):
    plain.mta.clear()
    for m in plain.send_and_release(["known@example.com", "n@example.com"], 2):
        assert m["Subject"] == "[EXT] hello"
        assert m.get_all("X-Tag") == ["checked"]


@pytest.mark.parametrize("passing", [[], ["known@example.com"]],
                         ids=["held", "split"])
@pytest.mark.parametrize("sender,held", [
    ("sb@example.org", "new@example.com"), ("a@example.org", "rb@example.com")])
def test_automatic_copies_are_made_once(copies, passing, sender, held):
    """When the message comes; the rest comes back by a listener that makes
    none."""
    copies.mta.clear()
    mail = copies.send_and_release([*passing, held], 3 + len(passing), sender)
    assert sorted(m["Delivered-To"] for m in mail) == sorted(
        ["all@example.com", "archive@example.com", held, *passing])


def test_automatic_copies_of_sendmail(copies):
    """It is taken whole, hence they are made of what comes back: of each
    part."""
    copies.mta.clear()
    assert copies.mta.sendmail("p@example.org", [
        "known@example.com", "rb@example.com"], message()).returncode == 0
    copies.mta.wait_for(2)
    copies.w.ctl("release", "--all")
    copies.mta.wait_for(5)
    copies.w.wait_empty()
    mail = [m["Delivered-To"] for m in copies.mta.mail()]
    assert sorted(mail) == ["all@example.com", "all@example.com",
                            "archive@example.com", "known@example.com",
                            "rb@example.com"]


@pytest.mark.parametrize("passing", [[], ["known@example.com"]],
                         ids=["held", "split"])
def test_a_recipient_that_a_filter_added_is_not_lost(made, passing):
    mini = MiniMilter("addrcpt:<archive@example.com>")
    made.callback(mini.stop)
    site = Site(made, [mini.where, None], copies=True)
    mail = site.send_and_release([*passing, "new@example.com"],
                                 2 + len(passing))
    assert sorted(m["Delivered-To"] for m in mail) == sorted(
        ["archive@example.com", "new@example.com", *passing])
