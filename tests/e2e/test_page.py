# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard's page in Chromium, with a real daemon behind it: an outbreak
that an administrator sees and stops, every action, what strangers write, two
administrators at once, a restart, keys alone, narrow screens, and axe-core's
rules. Wherever a test ends, the page asked nobody but its own daemon, broke no
content security policy and threw nothing."""
import csv
import re
import shutil
import smtplib
import subprocess
import sys
import time
import urllib.parse

import pytest

from browser import Browser
from harness import DEADLINE_S, TOP, Sink, free_port, until
from redis_server import Redis

MALLORY = "mallory@example.org"
ALICE = "alice@example.org"
POLICY = ('key = envelope  interval = "1h"  burst = 2  initial = 2'
          '  freeze_at = 20')
AXE = TOP / "build/axe/package/axe.min.js"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    b = Browser(tmp_path_factory.mktemp("chromium"))
    yield b
    b.stop()


class Site:
    def __init__(self, w, port, chromium):
        self.w, self.port, self.chromium = w, port, chromium
        self.url = f"http://127.0.0.1:{port}/"
        self.pages = []
        self.tokens = {}

    def token(self, right="admin", *args):
        key = (right, *args)
        if key not in self.tokens:
            self.tokens[key] = self.w.ctl(
                "token", "new", f"ops{len(self.tokens)}", "--right", right,
                *args)["token"]
        return self.tokens[key]

    def page(self, view="", right="admin", args=(), **kw):
        """A browser of its own, logged in as ./bootstrap run has it."""
        p = self.chromium.page(**kw)
        self.pages.append(p)
        p.open(f"{self.url}#token={self.token(right, *args)}")
        p.shows("Is anybody stuck?")
        if view:
            self.go(p, view)
        return p

    @staticmethod
    def go(p, view):
        p.js(f"location.hash = {repr('#/' + view)}")

    def send(self, sender, to, subject="m", body="hello\r\n", first=0):
        """A message to each of so many strangers; how many were taken."""
        taken = 0
        with smtplib.SMTP("127.0.0.1", self.w.port,
                          timeout=DEADLINE_S) as s:
            for i in range(first, first + to):
                try:
                    s.sendmail(sender, f"n{i}@example.com",
                               f"From: {sender}\r\nSubject: {subject}\r\n"
                               f"\r\n{body}".encode())
                    taken += 1
                except smtplib.SMTPException:
                    s.rset()
        return taken

    def outbreak(self, sender=MALLORY):
        subprocess.run(
            [sys.executable, TOP / "tests/outbreak.py", "--server",
             f"127.0.0.1:{self.w.port}", "--from", sender, "--strangers",
             "60"], capture_output=True, timeout=DEADLINE_S, check=False)

    def held(self, sender=None):
        try:
            return self.w.ctl("queue", *([sender] if sender else []))
        except AssertionError:
            raise
        except Exception:
            return []

    def is_frozen(self, sender):
        return self.w.ctl("show", sender)["frozen"]


@pytest.fixture
def site(weir, chromium):
    made = []

    def make(policy=POLICY, sections="", **kw):
        port = free_port()
        w = weir(policy=policy, sections=f'http "admin" {{ address = '
                 f'"127.0.0.1:{port}" }}\n{sections}', **kw)
        made.append(Site(w, port, chromium))
        return made[-1]

    yield make
    for s in made:
        for p in s.pages:
            own = (s.url, "data:", "blob:" + s.url)
            assert [u for u in p.requests if not u.startswith(own)
                    and u != "about:blank"] == []
            assert [c for c in p.complaints if "status of 4" not in c
                    and "ERR_CONNECTION_REFUSED" not in c
                    and "ERR_INCOMPLETE_CHUNKED" not in c
                    and "ERR_CONNECTION_RESET" not in c
                    and "ERR_EMPTY_RESPONSE" not in c] == []
            p.open("about:blank")


def test_outbreak_is_seen_and_stopped(site):
    """The page is open when it happens; one click and a count end it."""
    s = site()
    p = s.page()
    p.shows("Nobody is stuck")
    assert "token" not in p.js("location.href")
    s.outbreak()
    p.shows("1 sender frozen, 20 recipients waiting")
    text = p.text()
    assert MALLORY in text and "20 of 20" in text and "queue length" in text
    assert "From 127.0.0.1" in text and "You have won" in text
    assert re.search(r"frozen since [0-2]\d:\d\d:\d\d CES?T", text)
    assert p.js("document.title").startswith("(1) ")
    p.shows(f"until <{MALLORY}> is thawed")
    p.click("button", f"Thaw <{MALLORY}> and discard 20")
    p.shows("20 messages to 20 recipients")
    p.fill("Reason (optional)", "password was stolen")
    p.click("button", "Thaw, discard 20")
    p.shows("20 recipients discarded")
    p.shows("Nobody is stuck")
    assert not s.is_frozen(MALLORY) and s.w.ctl("status")[
        "held_messages"] == 0
    assert any("password was stolen" in str(a) and "ops0" in a["who"]
               for a in s.w.ctl("audit"))


def test_each_action(site):
    s = site()
    s.send(ALICE, 8)
    p = s.page()
    card = f"<{ALICE}>"
    p.click("button", f"Freeze {card}")
    p.shows("1 sender frozen")
    assert s.is_frozen(ALICE)
    p.click("button", "Undo")
    p.shows("Nobody is frozen")
    assert not s.is_frozen(ALICE)
    s.w.run_ctl("freeze", ALICE)
    # One click, and one that takes it back.
    p.click("button", f"Thaw {card}")
    p.shows("Nobody is frozen")
    p.click("button", "Undo")
    p.shows("1 sender frozen")
    # One message goes, one is discarded; the others stay.
    first = s.held()[0]["id"]
    p.click("button", f"Release: m {first}")
    p.click("button", "Release 1")
    p.shows("1 recipient released")
    until(lambda: len(s.held()) == 5, "one message to go")
    second = s.held()[0]["id"]
    p.click("button", f"Discard: m {second}")
    p.click("button", "Cancel")
    assert len(s.held()) == 5
    p.click("button", f"Discard: m {second}")
    p.click("button", "Discard 1")
    p.shows("1 recipient discarded")
    assert s.held()[0]["id"] != second
    p.click("button", f"Release 4 of {card}")
    p.click("button", "Release 4")
    p.shows("4 recipients released")
    until(lambda: s.is_frozen(ALICE) and s.w.ctl("status")[
        "held_recipients"] == 0, "a release that does not thaw")
    p.click("button", f"Thaw {card}")
    p.shows("Nobody is stuck")


def test_queue(site):
    """Filters, some and all that match, a bar that moves, a message that is
    read and noted."""
    s = site(policy=POLICY.replace("20", "500"))
    s.send(ALICE, 130, subject="offer")
    s.send("bob@example.org", 6, subject="other")
    p = s.page("queue")
    p.shows("First 100 messages")
    p.click("button", "Show more")
    p.shows("132 messages")
    p.fill("Subject contains", "other")
    p.shows("4 messages")
    p.click("checkbox", "/^Select [0-9A-Z]+: other/")
    p.click("button", "Release 1 selected")
    p.click("button", "Release 1")
    p.shows("1 recipient released")
    p.shows("3 messages")
    p.click("button", "Discard all that match")
    p.shows("3 messages to 3 recipients")
    p.click("button", "Discard 3")
    p.shows("No held mail matches")
    p.fill("Subject contains", "")
    p.shows("First 100 messages")
    p.click("button", "Show more")
    p.shows("128 messages")
    p.js("""window.bars = new Set(); new MutationObserver(() => {
        const b = document.querySelector("progress");
        if (b && b.max > 1) window.bars.add(b.value);
    }).observe(document.body, {subtree: true, childList: true,
        attributes: true})""")
    p.click("checkbox", "Select all shown")
    p.click("button", "Discard 128 selected")
    p.click("button", "Discard 128")
    p.shows("128 recipients discarded")
    assert len(p.js("[...window.bars]")) == 2
    assert s.w.ctl("status")["held_messages"] == 0


def test_what_strangers_write(site, tmp_path):
    """Markup, directions, controls and formulas are shown, and do nothing."""
    s = site()
    evil = '"<img src=x onerror=alert(1)>"@example.org'
    subject = "=?utf-8?B?PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0PuKArmdwaC5leGU=?="
    s.send(evil, 3, subject=subject, body="<script>alert(2)</script>\u202e\r\n")
    s.send(ALICE, 3, subject="=HYPERLINK(1)")
    s.send(ALICE, 1, subject="+1\t@SUM(1)", first=9)
    p = s.page("queue")
    p.shows("<script>alert(1)</script>U+202E")
    assert "<img src=x" in p.text()
    p.keep_downloads(tmp_path)
    p.click("button", "Save as CSV")
    until(lambda: list(tmp_path.glob("weir-queue-*.csv")), "a file")
    rows = until(lambda: list(csv.DictReader(next(tmp_path.glob(
        "weir-queue-*.csv")).open(encoding="utf-8-sig"))), "rows")
    assert {r["subject"] for r in rows} == {
        subject and "'" + subject, "'=HYPERLINK(1)", "'+1\t@SUM(1)"}
    p.click("link", "/script/")
    p.click("button", "Read the message")
    p.shows("<script>alert(2)</script>")
    assert p.text().count("U+202E") >= 2
    p.click("button", "Show source")
    p.shows(subject)
    for view in ("", "senders", "events", "sender/" +
                 urllib.parse.quote("<" + evil + ">", safe="")):
        s.go(p, view)
        p.shows("onerror")
        assert p.js("document.querySelectorAll('img,iframe,script:not([src])')"
                    ".length") == 0
    assert any(a["action"] == "cat" for a in s.w.ctl("audit"))


def test_sender_with_quotes(site):
    """A sender whose name is escaped is looked at and stopped like another."""
    s = site()
    evil = '"a\\\\b <img>"@example.org'
    s.send(evil, 5)
    p = s.page()
    p.shows("3 of 20")
    p.shows("From 127.0.0.1")
    name = s.w.ctl("senders")[0]["sender"]
    assert "\\x5c" in name and "\\x22" in name
    p.click("button", f"Freeze {name}")
    p.shows("1 sender frozen")
    p.click("link", name)
    p.click("button", "Thaw and discard 3")
    p.shows("3 messages to 3 recipients")
    p.click("button", "Thaw, discard 3")
    p.shows("3 recipients discarded")
    assert s.w.ctl("status")["held_messages"] == 0
    s.go(p, "queue?" + urllib.parse.urlencode({"sender": name}))
    p.shows("No held mail matches")


def test_message_view(site):
    """Of one message: it goes, or is discarded, with a reason; then it says so
    and the way back."""
    s = site()
    s.send(ALICE, 4)
    first, second = (m["id"] for m in s.held())
    p = s.page("message/" + first)
    p.fill("Reason (optional)", "known to me")
    p.click("button", "Release")
    p.shows("1 message to 1 recipient")
    p.click("button", "Release 1")
    p.shows("no longer held")
    p.click("link", "Back to the queue")
    p.shows("1 message, oldest first")
    s.go(p, "message/" + second)
    p.click("button", "Discard")
    p.click("button", "Discard 1")
    p.shows("no longer held")
    assert any("known to me" in a["detail"] for a in s.w.ctl("audit"))


def test_what_goes_wrong_is_told(site):
    """A configuration that is wrong, a term that is none, no daemon: in words,
    and what was typed stays."""
    s = site()
    s.send(ALICE, 4)
    p = s.page("status")
    p.shows("enforce")
    config = s.w.config.read_text()
    s.w.config.write_text(config + "\nfrozen_at = 3\n")
    p.click("button", "Reload the configuration")
    p.shows("The old configuration stays")
    p.shows("no such option 'frozen_at'")
    s.w.config.write_text(config)
    s.go(p, "policies")
    p.fill("Sender", ALICE)
    p.fill("Recipient", "x@example.com")
    p.fill("Client address (optional)", "nowhere")
    p.click("button", "Explain")
    p.until("document.querySelector('main [role=alert]')", "refusal")
    assert p.js(f"{p.pick('textbox', 'Client address (optional)')}.value"
                ) == "nowhere"
    s.go(p, "")
    p.fill("Reason (optional)", "typed before")
    s.w.stop()
    p.shows("No connection to the daemon")
    p.click("button", f"Freeze <{ALICE}>")
    p.shows(f"Freeze <{ALICE}>: no answer from the daemon")
    s.w.launch()
    p.hides("No connection to the daemon")
    assert p.js(f"{p.pick('textbox', 'Reason (optional)')}.value"
                ) == "typed before"


def test_message_that_means_harm(site):
    """A message made to keep the page busy is read like another."""
    s = site()
    body = ('--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: '
            'quoted-printable\r\n\r\n=48ello' + " " * 900 + "=\r\nx=C3=A9"
            "\r\n--b\r\nContent-Type: text/html\r\n\r\n<h1 onclick=x>hi</h1>"
            "\r\n--b\r\nContent-Type: image/png; name=\"p.png\"\r\n\r\nAAAA"
            + "\r\n--b\r\n" * 2000 + ("\r\n" + " " * 990) * 200)
    s.send(ALICE, 3, body=body, subject=
           'm\r\nContent-Type: multipart/mixed; boundary="b"')
    p = s.page("message/" + s.held()[0]["id"])
    p.click("button", "Read the message")
    p.shows("Hello")
    text = p.text()
    assert "é" in text and "<h1 onclick=x>hi</h1>" in text
    assert "image/png p.png" in text and "Not text" in text


def test_near_a_limit(site):
    """Who comes near a limit is shown before he is frozen."""
    s = site(policy='key = envelope  interval = "1s"  burst = 60'
             '  initial = 60  limit = {"20/1d"}')
    p = s.page()
    p.shows("Nobody is stuck")
    s.send(ALICE, 17)
    p.shows("near a limit")
    p.shows("17 of 20 in 1 d")
    p.click("button", f"Freeze <{ALICE}>")
    p.shows("1 sender frozen")


def test_a_domain_only(site):
    """Who has a domain sees its senders, and is offered no more."""
    s = site()
    s.send(ALICE, 4)
    s.send("eve@other.test", 4)
    p = s.page(right="operate", args=("--domain", "other.test"))
    p.shows("eve@other.test")
    assert ALICE not in p.text()
    assert not any(p.has("link", x) for x in ("Status", "Audit", "Graphs"))
    p.click("button", "Freeze <eve@other.test>")
    p.shows("1 sender frozen")
    s.go(p, "queue")
    p.shows("2 messages")
    s.go(p, "events")
    p.shows("freeze")
    assert ALICE not in p.text()


def test_two_administrators(site):
    """What one does the other sees; what one did before the other is said."""
    s = site()
    s.send(ALICE, 6)
    one, two = s.page(), s.page(right="operate")
    one.click("button", f"Freeze <{ALICE}>")
    two.shows("1 sender frozen")
    two.click("button", f"Discard 4 of <{ALICE}>")
    two.shows("4 messages to 4 recipients")
    one.click("button", f"Thaw <{ALICE}> and release 4")
    one.click("button", "Thaw, release 4")
    one.shows("4 recipients released")
    until(lambda: s.w.ctl("status")["held_messages"] == 0, "delivery")
    two.click("button", "Discard 4")
    two.shows("nothing left to do")
    two.shows("Nobody is stuck")


def test_rights(site):
    """Who may only look is offered nothing; a login ends."""
    s = site()
    s.send(ALICE, 4)
    p = s.page(right="view")
    p.shows(ALICE)
    assert not p.has("button", "/Freeze|Release|Discard/")
    s.go(p, "queue")
    p.shows("2 messages")
    assert not p.has("button", "/Release|Discard/")
    p.click("button", "Log out")
    p.shows("Log in")
    p.open(s.url)
    p.shows("Log in")
    p.fill("Token", "weir_wrong")
    p.click("button", "Log in")
    p.until("document.querySelector('[role=alert]')", "refusal")
    p.fill("Token", s.token("view"))
    p.click("button", "Log in")
    p.shows("Is anybody stuck?")


def test_tokens(site):
    """A token is made, shown once, used, and revoked; who used it is out."""
    s = site()
    p = s.page("access")
    p.shows("For browsers, scripts and Prometheus")
    p.fill("Name of the token", "portal")
    p.fill("Only this domain (optional)", "a@b")
    p.click("button", "Create token")
    p.shows('must be a domain such as "example.org"')
    assert p.js(f"{p.pick('textbox', 'Name of the token')}.value") == "portal"
    p.fill("Only this domain (optional)", "")
    p.choose("Right of the token", "operate")
    p.fill("Only from networks (optional)", "127.0.0.0/8 192.0.2.0/24")
    p.click("button", "Create token")
    p.shows("shown only once")
    assert "must be a domain" not in p.text()
    assert p.js("document.activeElement.ariaLabel") == "The new token"
    secret = p.js(f"{p.pick('textbox', 'Token')}.value")
    address = p.js(f"""{p.pick('textbox',
                   'Login link for a browser')}.value""")
    assert address == f"{s.url}#token={secret}"
    two = s.chromium.page()
    s.pages.append(two)
    two.open(address)
    two.shows("token portal (operate)")
    # Put away, it is nowhere; nor is it after the view was left.
    p.click("button", "Hide it")
    p.hides("shown only once")
    nowhere = f"""!(document.documentElement.outerHTML + [...document
        .querySelectorAll("input")].map((i) => i.value)).includes("{secret}")"""
    assert p.js(nowhere)
    s.go(p, "status")
    p.shows("Daemon")
    s.go(p, "access")
    p.shows("127.0.0.0/8, 192.0.2.0/24")
    assert p.js(nowhere)
    made = next(t for t in s.w.ctl("token", "list") if t["name"] == "portal")
    assert made["right"] == "operate" and made["expires"]
    # Cancelled, nothing happens; confirmed, it is gone and says so.
    p.click("button", f"Revoke portal {made['id']}")
    p.shows("Revoke the token portal?")
    p.click("button", "Cancel")
    assert any(t["name"] == "portal" for t in s.w.ctl("token", "list"))
    p.click("button", f"Revoke portal {made['id']}")
    p.click("button", "Revoke")
    p.shows("The token portal has been revoked")
    two.shows("The session has ended. Log in again.")
    s.go(p, "audit")
    p.shows("token_revoke")
    p.shows("right operate")


def test_users(site):
    """A user with a password logs in, gets another right, and is removed."""
    s = site()
    p = s.page("access")
    p.shows("There are no users")
    p.fill("Name of the user", "carol")
    p.fill("Password (at least 8 characters)", "long enough 1")
    p.choose("Right of the user", "view")
    p.click("button", "Save user")
    p.shows("The user carol can now log in")
    form = p.pick("textbox", "Password (at least 8 characters)")
    assert p.js(f"{form}.value") == ""

    def log_in(q, password):
        q.shows("Password")
        q.fill("Name", "carol")
        q.fill("Password", password)
        q.click("button", "Log in")

    two = s.chromium.page()
    s.pages.append(two)
    two.open(s.url)
    log_in(two, "wrong")
    two.shows("Wrong name, password or token")
    log_in(two, "long enough 1")
    two.shows("carol (view)")
    p.fill("Name of the user", "carol")
    p.fill("Password (at least 8 characters)", "another one 2")
    p.choose("Right of the user", "operate")
    p.click("button", "Save user")
    p.shows("Replace the user carol?")
    p.click("button", "Replace")
    p.shows("The user carol has been replaced")
    two.shows("The session has ended. Log in again.")
    log_in(two, "another one 2")
    two.shows("carol (operate)")
    p.click("button", "Remove carol")
    p.click("button", "Remove")
    p.shows("The user carol has been removed")
    p.shows("There are no users")
    two.shows("The session has ended. Log in again.")
    assert s.w.ctl("user", "list") == []


@pytest.mark.parametrize("right, args", [
    ("operate", ()), ("admin", ("--domain", "other.test"))],
    ids=["too low", "one domain"])
def test_access_is_for_administrators(site, right, args):
    """Others see their own login, and are offered and told no more."""
    s = site()
    p = s.page("access", right=right, args=args)
    p.shows("This login")
    p.shows("Tokens and users are shown only to administrators")
    assert ("other.test" in p.text()) == bool(args)
    assert not p.js("document.querySelector('main form, main table')")
    for what in ("tokens", "users"):
        assert p.js(f"fetch('api/v1/{what}').then((r) => r.status)") == 403
        assert p.js(f"""fetch('api/v1/{what}', {{method: "POST", headers:
            {{"Content-Type": "application/json"}}, body: JSON.stringify({{
            name: "x", right: "admin", password: "long enough 1"}})}})
            .then((r) => r.status)""") in (400, 403)
    assert len(s.w.ctl("token", "list")) == 1


def test_dashboard_dir(site, tmp_path):
    """The page comes from a directory, and a change is there at a reload."""
    s = site()
    directory = tmp_path / "page"
    shutil.copytree(TOP / "src/page", directory)
    view = directory / "view_stuck.js"
    text = view.read_text()
    view.write_text(text.replace("Nobody is stuck:", "Nobody waits here:"))
    s.w.arguments = ("--dashboard-dir", directory)
    s.w.stop()
    s.w.launch()
    p = s.page()
    p.shows("Nobody waits here")
    view.write_text(text.replace("Nobody is stuck:", "All is well:"))
    p.call("Page.reload")
    p.shows("All is well")


def test_restart(site):
    """A page that is left open says so, and goes on by itself."""
    s = site()
    s.send(ALICE, 4)
    p = s.page()
    p.shows(ALICE)
    s.w.stop()
    p.shows("No connection to the daemon")
    s.w.launch()
    p.hides("No connection to the daemon")
    s.w.run_ctl("freeze", ALICE)
    p.shows("1 sender frozen")


def test_other_views(site):
    s = site()
    s.send(ALICE, 6)
    s.w.run_ctl("freeze", ALICE)
    s.w.run_ctl("thaw", ALICE)
    p = s.page("events")
    p.shows("thaw")
    s.w.run_ctl("freeze", ALICE)  # live
    p.until("[...document.querySelectorAll('tbody tr')][0]?"
            ".innerText.includes('freeze')", "the newest event")
    p.click("button", "Pause")
    s.w.run_ctl("thaw", ALICE)
    p.click("button", "/^Resume .1 new/")
    p.until("[...document.querySelectorAll('tbody tr')][0]?"
            ".innerText.includes('thaw')", "what was missed")
    s.go(p, "senders")
    p.fill("Name contains", "nobody")
    p.shows("No sender matches")
    p.fill("Name contains", "alic")
    p.shows("1 sender")
    p.click("link", f"<{ALICE}>")
    p.shows("4 of 20")
    p.shows("Actions of administrators")
    s.go(p, "policies")
    p.fill("Sender", ALICE)
    p.fill("Recipient", "stranger@example.com")
    p.click("button", "Explain")
    p.shows("hold")
    p.shows('policy "default" {')
    p.shows("freeze_at = 20")
    s.go(p, "status")
    p.shows("enforce")
    p.click("button", "Reload the configuration")
    p.shows("has been reloaded")
    s.go(p, "audit")
    p.shows("reload")
    s.go(p, "graphs")
    p.shows("Recipients held")
    p.click("summary", "As a table")
    p.until("[...document.querySelectorAll('.chart details[open] tbody tr')]"
            "[0]?.innerText.includes('4')", "the table of a graph")
    p.choose("Span", "week")
    p.shows("Recipients held")


def test_next_hops(site):
    """Which works, which is down and why; a message says when it goes."""
    sink = Sink().start()
    dead = sink.port
    s = site(next_hop=sink.address)
    p = s.page("status")
    p.shows("not tried yet")
    s.send(ALICE, 3)
    p.shows("working")
    s.go(p, "message/" + s.held()[0]["id"])
    p.shows("(in 59 min)")
    sink.stop()
    s.w.restart()
    s.go(p, "status")
    p.shows("not tried yet")
    s.w.run_ctl("release", "--all")
    p.shows("Connection refused")
    row = p.js("document.querySelector('main tbody tr').innerText")
    assert "down" in row and "refused" in row and "in " in row
    hop, = s.w.ctl("status")["next_hops"]
    assert hop["state"] == "down" and "refused" in hop["reason"]
    assert re.search(rf"next hop 127.0.0.1:{dead}: down, .*refused",
                     s.w.run_ctl("status").stdout)
    sink = Sink(dead).start()
    try:
        s.w.run_ctl("flush")
        p.shows("working")
        p.until("!document.querySelector('main').innerText.includes("
                "'Connection refused')", "end of the failure")
    finally:
        sink.stop()


def test_alerts(site, sink):
    """How the sections do, a test of each, and that there is none."""
    s = site()
    p = s.page("status")
    p.shows("No alerts are sent: the configuration has no alert section")
    dead = free_port()
    s = site(sections=f"""
        alert "admins" {{ to = {{"admin@example.org"}} }}
        alert "hook" {{ channel = webhook  url = "http://127.0.0.1:{dead}/" }}
        """)
    p = s.page("status")
    p.click("button", "Send a test through admins")
    p.shows("Test sent through admins")
    until(lambda: any("admin@example.org" in m[1] for m in sink.messages),
          "the test")
    p.click("button", "Send a test through hook")
    p.shows("Test of hook: the test was not accepted")
    p = s.page("status", right="view")
    p.shows("webhook")
    assert not p.has("button", "/Send a test/")


def test_shared_state(site, tmp_path):
    """A server that relays share and that is not reached is named."""
    secret = tmp_path / "secret"
    secret.write_text("thirty-two bytes that nobody knows\n")
    secret.chmod(0o600)
    s = site(shared=f'"redis://127.0.0.1:{free_port()}"',
             shared_secret_file=f'"{secret}"')
    p = s.page("status")
    p.shows("Shared with other relays")
    p.shows("not connected")
    p.shows("refused")


def test_one_id_at_two_relays(site, tmp_path):
    """An id is its relay's own: what is picked at one relay stays at the
    other, by the list, by the message's own view and on the first screen."""
    secret = tmp_path / "secret"
    secret.write_text("thirty-two bytes that nobody knows\n")
    secret.chmod(0o600)
    server = Redis(tmp_path / "redis").start()
    try:
        a, b = (site(hostname=f'"{name}.weir.test"',
                     shared=f'"{server.url}"', shared_timeout='"5s"',
                     shared_secret_file=f'"{secret}"') for name in "ab")
        for s in (a, b):
            until(lambda s=s: s.w.status()["shared"]["up"], "the server")
        a.send(ALICE, 6, subject="twin")
        ids = sorted(m["id"] for m in a.w.queue())
        assert len(ids) == 4
        a.w.stop()
        b.w.stop()
        shutil.rmtree(b.w.spool)
        shutil.copytree(a.w.spool, b.w.spool)
        a.w.launch()
        b.w.launch()
        until(lambda: a.w.status()["shared"]["relays_down"] == 0
              and a.w.status()["shared"]["other_relays"] == 1, "the other")
        assert sorted(m["id"] for m in b.w.queue()) == ids

        def left(s):
            return sorted(m["id"] for m in s.w.queue())

        p = a.page("queue")
        p.shows("8 messages")
        p.click("checkbox", f"Select {ids[0]} b.weir.test: twin")
        p.click("button", "Discard 1 selected")
        p.shows("1 message to 1 recipient")
        p.click("button", "Discard 1")
        p.shows("1 recipient discarded")
        assert (left(a), left(b)) == (ids, ids[1:])
        a.go(p, f"message/{ids[1]}?relay=b.weir.test")
        p.shows("Held by")
        p.shows("b.weir.test")
        p.click("button", "Discard")
        p.click("button", "Discard 1")
        p.shows("no longer held")
        assert (left(a), left(b)) == (ids, ids[2:])
        a.go(p, "")
        p.shows("Waiting")
        # One card, of what waits at both.
        p.click("summary", "Waiting: 6 recipients")
        p.hides("Waiting: 4 recipients")
        p.click("button", f"Discard: twin {ids[2]} b.weir.test")
        p.shows("1 message to 1 recipient")
        p.click("button", "Discard 1")
        until(lambda: left(b) == ids[3:], "the end of it")
        assert left(a) == ids
        # All that is shown: of each relay its own.
        a.go(p, "queue")
        p.shows("5 messages")
        p.click("checkbox", "Select all shown")
        p.click("button", "Discard 5 selected")
        p.shows("5 messages to 5 recipients")
        p.click("button", "Discard 5")
        p.shows("5 recipients discarded")
        assert (left(a), left(b)) == ([], [])
    finally:
        server.kill()


def test_forget(site):
    """After a theft: whom a sender knows is counted, and forgotten."""
    s = site()
    s.send(ALICE, 1)
    until(lambda: s.w.ctl("show", ALICE)["passed_new"] == 1, "the mail")
    past = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86400))
    rows = s.w.dir / "rows"
    rows.write_text("".join(f"{ALICE} old{i}@example.com {past}\n"
                            for i in range(3)))
    done = s.w.run_ctl("learn", rows)
    assert done.returncode == 0, done.stderr
    p = s.page(f"sender/{urllib.parse.quote(ALICE)}")
    p.shows("3 of them imported")
    remembered = s.w.ctl("show", ALICE)["remembered"]
    assert remembered >= 3
    p.click("button", "Forget known recipients")
    p.shows(f"{remembered} addresses that this sender wrote to")
    p.click("button", f"Forget {remembered}")
    p.shows(f"Forgot {remembered} addresses")
    p.hides("Forget known recipients")
    assert s.w.ctl("show", ALICE)["remembered"] == 0


def test_by_keys(site):
    """Tab, Enter and Escape are enough, and nothing takes the focus away."""
    s = site()
    s.send(ALICE, 4)
    p = s.page()
    p.shows(ALICE)
    p.js("document.activeElement.blur()")

    def tab_to(name):
        for _ in range(60):
            p.key("Tab")
            if p.focused() == name:
                return
        raise AssertionError(f"no way to {name}; at {p.focused()}")

    tab_to("Reason (optional)")
    # Whoever goes by keys sees where he is.
    assert p.js("getComputedStyle(document.activeElement).outlineStyle") \
        == "solid"
    p.call("Input.insertText", text="by keys")
    tab_to(f"Discard 2 of <{ALICE}>")
    p.key("Enter")
    p.until("document.querySelector('dialog[open]')", "dialog")
    p.key("Escape")
    p.until("!document.querySelector('dialog[open]')", "end of the dialog")
    assert len(s.held()) == 2
    # Where it was, while the page draws itself anew.
    s.send(ALICE, 1, first=50)
    p.shows("3 of 20")
    p.until("document.activeElement.textContent === 'Discard 3'", "focus")
    p.key("Enter")
    p.until("document.querySelector('dialog[open]')", "dialog")
    assert p.js("document.querySelector('dialog input').value") == "by keys"
    tab_to("Discard 3")
    p.key("Enter")
    p.shows("3 recipients discarded")


def test_narrow(site):
    """At 320 pixels nothing needs to be moved sideways."""
    s = site()
    s.send(ALICE, 6, subject="x" * 300)
    p = s.page(width=320)
    for view in (*VIEWS, "message/" + s.held(ALICE)[0]["id"]):
        s.go(p, view)
        p.until("document.querySelector('h1') && !document.querySelector("
                "'main').innerText.includes('Loading')", view)
        assert p.js("document.documentElement.scrollWidth") <= 320, view


VIEWS = ("stuck", "senders", "queue", "events", "graphs", "policies",
         "status", "audit", "access", f"sender/{urllib.parse.quote(ALICE)}")


def seen_by_axe(p, what):
    found = p.js("axe.run(document, {resultTypes: ['violations']}).then((r) =>"
                 " r.violations.map((v) => [v.id, v.nodes.map((n) =>"
                 " [n.html, n.failureSummary])]))")
    assert found == [], (what, found)


@pytest.mark.parametrize("width", [1100, pytest.param(
    320, marks=pytest.mark.long("axe-core's rules on a narrow screen"))])
def test_everybody_can_use_it(site, width):
    """axe-core finds nothing in either scheme, on a wide and a narrow screen,
    and no view needs to be moved sideways."""
    assert AXE.exists(), "axe-core is not there: ./bootstrap check gets it"
    s = site()
    s.send(ALICE, 6, subject="=?utf-8?B?4oCuZ3Bq?=")
    s.outbreak()
    p = s.page()
    p.js(AXE.read_text() + ";0")
    views = (*VIEWS, "message/" + s.held(ALICE)[0]["id"])
    p.size(width, 900)
    for view in views:
        s.go(p, view)
        p.until("document.querySelector('h1') && !document.querySelector("
                "'main').innerText.includes('Loading')", view)
        if view.startswith("message"):
            p.click("button", "Read the message")
            p.shows("Show source")
        assert p.js("document.documentElement.scrollWidth") <= width, view
        for scheme in ("light", "dark"):
            p.look(scheme)
            seen_by_axe(p, (view, scheme))
    s.go(p, "stuck")
    p.click("button", f"Discard 20 of <{MALLORY}>")
    p.shows("Discard 20 messages?")
    seen_by_axe(p, "dialog")
    p.key("Escape")
    p.click("button", f"Thaw <{MALLORY}>")
    p.shows("Undo")
    seen_by_axe(p, "toast")
    p.click("button", "Log out")
    p.shows("Log in")
    seen_by_axe(p, "login")
