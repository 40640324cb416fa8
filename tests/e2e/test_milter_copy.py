# SPDX-License-Identifier: BSD-3-Clause
"""What a held message looks like when it arrives: the headers that the mail
server adds are there once, Message-ID is the client's, and a DKIM signature
still verifies."""
import os
import subprocess

import dkim
import pytest

from harness import message, until
from milter_site import HOLD_ALL, people, site  # noqa: F401
from test_reports import hop  # noqa: F401

KINDS = ["postfix", "sendmail"]
pytestmark = pytest.mark.skipif(
    bool(os.environ.get("WEIR_SANITIZED")),
    reason="what arrives is the same, and other tests hold messages too")
ONE_PASSES = 'interval = "1h"  burst = 2  initial = 1'


def unix(raw):
    return raw.replace(b"\r\n", b"\n")


def header(raw, name):
    """All values of a header, unfolded."""
    head = unix(raw).partition(b"\n\n")[0].replace(b"\n\t", b" ")
    head = head.replace(b"\n ", b" ")
    return [line.partition(b":")[2].strip() for line in head.split(b"\n")
            if line.lower().startswith(name.lower() + b":")]


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """(private key, the record that DNS would give)"""
    path = tmp_path_factory.mktemp("dkim") / "key.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", path,
                    "1024"], check=True, capture_output=True)
    public = subprocess.run(
        ["openssl", "rsa", "-in", path, "-pubout"], check=True,
        capture_output=True, text=True).stdout.splitlines()[1:-1]
    return path.read_bytes(), b"v=DKIM1; k=rsa; p=" + "".join(public).encode()


def verifies(raw, record):
    asked = []

    def lookup(name, timeout=5):
        asked.append(name)
        return record

    raw = unix(raw).replace(b"\n", b"\r\n")
    # Return-Path, X-Original-To: what a maildir adds in front is not signed.
    good = dkim.verify(raw, dnsfunc=lookup)
    assert [bytes(n).rstrip(b".") for n in asked] == [
        b"weir._domainkey.example.org"]
    return good


BODY = ("A line.\r\n\r\n..dots\r\n.\r\ntrailing blanks   \r\n"
        "\xc3\xa4\xc3\xb6 in UTF-8\r\nFrom the start\r\n\r\n\r\n")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [(b"relaxed", b"relaxed"),
                                 (b"simple", b"simple")],
                         ids=["relaxed", "simple"])
def test_a_dkim_signature_survives(site, key, kind, way):  # noqa: F811
    private, record = key
    s = site(kind, policy=ONE_PASSES)
    text = (b"From: Alice <alice@example.org>\r\n"
            b"To: P0 <p0@example.com>, P1 <p1@example.com>\r\n"
            b"Subject: a  subject\r\n of   two lines\r\n"
            b"Message-ID: <signed@example.org>\r\n"
            b"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
            b"MIME-Version: 1.0\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n" +
            BODY.encode("latin-1"))
    signature = dkim.sign(
        text, b"weir", b"example.org", private, canonicalize=way,
        include_headers=[b"from", b"to", b"subject", b"date", b"message-id",
                         b"content-type"])
    text = signature + text
    assert verifies(text, record)
    assert not verifies(text.replace(b"two lines", b"one line"), record)
    with s.mta.client() as client:
        client.ehlo()
        client.mail("alice@example.org", ["BODY=8BITMIME"])
        for rcpt in people(2):
            assert client.rcpt(rcpt)[0] == 250
        assert client.data(text)[0] == 250
    s.wait_for(1)
    assert s.w.held() == ["p1@example.com"]
    s.w.ctl("release", "--all")
    s.wait_for(2)
    direct, released = s.raw()
    # What the mail server itself did to it is not weir's doing.
    assert verifies(direct, record), direct.decode("latin-1")
    assert verifies(released, record), released.decode("latin-1")
    for raw in (direct, released):
        assert header(raw, b"Message-ID") == [b"<signed@example.org>"]
    assert unix(direct).partition(b"\n\n")[2] == \
        unix(released).partition(b"\n\n")[2]
    s.w.wait_empty()


def bare(s):
    """A message of a program: no Date, no Message-ID, no From."""
    return b"To: friends:;\r\nSubject: bare\r\n\r\ntext\r\n"


def test_headers_that_postfix_adds_come_before_the_milter(site):  # noqa: F811
    """sendmail(1): both copies have the same Message-ID, Date and From."""
    s = site("postfix", policy=ONE_PASSES)
    done = s.mta.sendmail("a@example.org", people(2), bare(s))
    assert done.returncode == 0, done.stderr
    s.wait_for(1)
    until(lambda: s.w.held(), "the other one")
    s.w.ctl("release", "--all")
    s.wait_for(2)
    direct, released = s.raw()
    for name in (b"Message-ID", b"Date", b"From", b"To", b"Subject"):
        assert len(header(direct, name)) == 1, name
        assert header(direct, name) == header(released, name)
    s.w.wait_empty()


def test_headers_that_sendmail_adds_are_there_once(site):  # noqa: F811
    """Sendmail adds them after its filters: the copy gets its own when it
    comes back, as the manual says."""
    s = site("sendmail", policy=ONE_PASSES)
    assert s.mta.transact("a@example.org", people(2), bare(s))[0] == 250
    s.wait_for(1)
    s.w.ctl("release", "--all")
    s.wait_for(2)
    for raw in s.raw():
        for name in (b"Message-ID", b"Date", b"From", b"To", b"Subject"):
            assert len(header(raw, name)) == 1, (name, raw)
    s.w.wait_empty()


@pytest.mark.parametrize("kind", KINDS)
def test_where_it_came_from(site, kind):  # noqa: F811
    """The mail server hides its own Received line from filters; weir's names
    the client and the id that the mail server's log has."""
    s = site(kind, policy=HOLD_ALL)
    assert s.mta.transact("a@example.org", ["p0@example.com"],
                          message())[0] == 250
    logged = s.w.log_lines("milter message .*result=held")[0]
    queue_id = logged.partition("mta_id=")[2].split()[0]
    assert len(queue_id) > 5
    s.w.ctl("release", "--all")
    s.wait_for(1)
    trace = header(s.raw()[0], b"Received")
    ours = [t for t in trace if b"(weir)" in t]
    assert len(ours) == 1 and trace[-1] == ours[0], trace
    assert b"client.test ([127.0.0.1])" in ours[0]
    assert queue_id.encode() in ours[0]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_client_asked_to_hear_of_it(site, hop, kind):  # noqa: F811
    """DSN parameters of a copy, each recipient's its own, over a restart."""
    s = site(kind, policy=HOLD_ALL, start=False)
    s.w.next_hop = hop.address
    s.w.start()
    asked = {"p0@example.com": "NOTIFY=SUCCESS,DELAY "
                               "ORCPT=rfc822;Old+2Bp0@example.com",
             "p1@example.com": "NOTIFY=NEVER"}
    with s.mta.client() as client:
        client.ehlo()
        client.mail("a@example.org", ["RET=HDRS", "ENVID=QQ+2B314"])
        for rcpt, words in asked.items():
            assert client.rcpt(rcpt, words.split())[0] == 250
        assert client.data(message())[0] == 250
    until(lambda: sorted(s.w.held()) == sorted(asked), "the copy")
    s.w.kill()
    s.w.launch()
    s.w.ctl("release", "--all")
    hop.wait_for(2)
    mail = [t for t in hop.commands if t.startswith("MAIL ")]
    assert mail and all("RET=HDRS" in t and "ENVID=QQ+2B314" in t
                        for t in mail), mail
    got = {t[9:].partition("> ")[0]: t.partition("> ")[2]
           for t in hop.commands if t.startswith("RCPT ")}
    assert got == asked
    s.w.wait_empty()
