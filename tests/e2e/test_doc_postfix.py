# SPDX-License-Identifier: BSD-3-Clause
"""doc/postfix.md followed by a stranger, line by line, on a Debian 12 with
nothing on it and its own systemd: what is typed there is typed, what is to be
printed has to be printed. At the end of the page mail of users is signed,
scanned and throttled, and mail that comes in is none of weir's business."""
import functools
import mailbox
import os
import re
import shlex
import time

import dkim
import pytest

import page
from debian_system import (INSIDE, OUTSIDE, DebianSystem, put_release,
                           why_not)
from harness import DEADLINE_S, TOP, until

TREE = "/home/admin/weir"
NAME = "mail.example.org"
PAGE = TOP / "doc/postfix.md"
BUILD_S = 3600
LOOKS = re.compile("weirctl (queue|senders)")
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
# What the comment behind the page's apt-get line says to answer.
ANSWERS = f"""postfix postfix/main_mailer_type select Internet Site
postfix postfix/mailname string {NAME}"""


@functools.lru_cache
def first_page():
    text, line = page.section(PAGE.read_text(), "## The milter\n",
                              "## What happens to a message\n")
    return page.steps_of(text, line)


class Site:
    """The machine, and mail to and from it."""

    def __init__(self, debian):
        self.debian = debian

    def mails(self, rcpt=None):
        """What lies in the mailbox that stands for everybody: of one
        recipient, or all, as [(recipient, bytes)]."""
        path = self.debian.path("/var/mail/test")
        if not path.exists():
            return []
        box = mailbox.mbox(path, create=False)
        found = [(m["X-Original-To"], m.as_bytes(unixfrom=False))
                 for m in box]
        box.close()
        return [f for f in found if rcpt is None or f[0] == rcpt]

    def arrived(self, tag):
        return {to for to, _ in self.mails() if to.startswith(f"test+{tag}")}

    def swaks(self, *words):
        got = self.debian.run("swaks --suppress-data " + " ".join(words),
                              user="admin")
        return got.returncode, got.stdout

    def submit(self, user, rcpts, *words):
        return self.swaks(
            "--server", NAME + ":587", "--tls", "--auth-user", user,
            "--auth-password secret", f"--from {user}@{NAME}",
            "--to", ",".join(rcpts), *words)

    def weirctl(self, words):
        return self.debian.must("weirctl " + words)

    def make_user(self, name):
        self.debian.must(f"adduser --disabled-password --gecos '' {name};"
                         f" echo {name}:secret | chpasswd")


def do(site, step):
    debian, where = site.debian, f"{PAGE.name}:{step.line}"
    if step.kind in ("root", "user"):
        # A client that is refused ends with the status of its refusal.
        refused = any(re.match(r"\s*<[-~]?\*", t) for t in step.text)

        end = time.monotonic() + DEADLINE_S
        while True:
            got = debian.run(step.what, cwd=TREE, timeout=BUILD_S,
                             user="root" if step.kind == "root" else "admin")
            assert (got.returncode == 0) != refused, \
                f"{where}: {step.what}\n{got.stdout[-3000:]}\n{logs(debian)}"
            lost = page.missing(step.text, got.stdout,
                                ordered=not LOOKS.match(step.what))
            if lost is None:
                break
            # Who only looks may look again.
            assert LOOKS.match(step.what) and time.monotonic() < end, \
                f"{where}: not printed: {lost}\nprinted:\n{got.stdout}" \
                f"\n{logs(debian)}"
            time.sleep(0.3)
    elif step.kind == "file":
        debian.write(step.what, "\n".join(step.text) + "\n")
    elif step.kind == "lines":
        names = {t.split()[0] for t in step.text}
        kept = [t for t in debian.read(step.what).splitlines()
                if (t.split() or [""])[0] not in names]
        debian.write(step.what, "\n".join(kept + step.text) + "\n")
    else:
        want = page.form(" ".join(step.text))
        until(lambda: any(want in page.form(" ".join(m.decode().split("\n")))
                          for _, m in site.mails()),
              f"{where}: in a mail: {want}")


def logs(debian):
    return debian.run("journalctl --no-pager -n 60").stdout


@pytest.fixture(scope="module")
def site():
    why = why_not()
    if os.environ.get("WEIR_SANITIZED"):
        why = "it builds weir itself"
    if why is not None:
        pytest.skip(why)
    debian = DebianSystem(NAME, MAKEFLAGS=f"-j{os.cpu_count()}", CFLAGS="-O1")
    try:
        why = debian.make()
        if why is not None:
            pytest.skip(why)
        debian.fetch(f"echo {shlex.quote(ANSWERS)} | debconf-set-selections")
        for step in first_page():
            if step.what and step.what.startswith("apt-get install"):
                debian.fetch(step.what.replace("install", "install -y", 1))
        debian.boot()
        debian.must("adduser --disabled-password --gecos '' admin")
        put_release(debian.path(TREE))
        debian.must("chown -R admin: /home/admin")
        made = Site(debian)
        for step in first_page():
            do(made, step)
        yield made
    finally:
        debian.stop()


def test_the_page_is_read_as_it_is_meant():
    """Of each kind there is something, so that a change of the page's form
    does not make the walk shorter than the page."""
    steps = first_page()
    kinds = [s.kind for s in steps]
    assert {k: kinds.count(k) > 0 for k in
            ("root", "user", "file", "lines", "shown")} == dict.fromkeys(
                ("root", "user", "file", "lines", "shown"), True)
    assert kinds.count("root") > 20 and kinds.count("user") > 5
    files = {s.what for s in steps if s.kind in ("file", "lines")}
    assert files == {"/etc/dovecot/conf.d/99-postfix.conf",
                     "/etc/weir/weir.conf", "/etc/opendkim.conf"}
    assert page.missing(["a 1", "...", "b"], "a 22\nx\nb") is None
    assert page.missing(["b", "a 1"], "a 22\nb\n") == "a #"
    assert page.missing(["b", "a 1"], "a 22\nb\n", ordered=False) is None
    assert page.missing(["x: ..."], "x: more") is None
    assert page.missing(["x: ..."], "y: more") == "x: ..."


@pytest.mark.long("doc/postfix.md walked on a bare Debian 12")
def test_submission_is_signed_and_throttled(site):
    site.make_user("rob")
    new = [f"test+r{i}@{NAME}" for i in range(13)]
    # Without TLS there is no login.
    status, said = site.swaks("--server", NAME + ":587", "--auth-user rob",
                              "--auth-password secret", "--to", new[0])
    assert status != 0 and "did not advertise authentication" in said, said
    status, said = site.swaks("--server", NAME + ":587", "--to", new[0])
    assert status != 0 and "530 5.7.0 Must issue a STARTTLS" in said, said
    for rcpt in new:
        status, said = site.submit("rob", [rcpt])
        assert status == 0, said
    until(lambda: site.arrived("r") == set(new[:10]), "ten strangers")
    queue = site.weirctl("queue rob")
    assert all(to in queue for to in new[10:]), queue
    # Known ones have no part in it.
    status, said = site.submit("rob", [new[3]])
    assert status == 0, said
    until(lambda: len(site.mails(new[3])) == 2, "the second to a known one")
    assert site.arrived("r") == set(new[:10])
    # One goes by itself when a minute is over, the rest by hand.
    until(lambda: new[10] in site.arrived("r"), "the first that waited",
          deadline_s=60 + DEADLINE_S)
    site.weirctl("release --sender rob")
    until(lambda: site.arrived("r") == set(new), "all")
    record = re.findall(r'"([^"]*)"', site.debian.read(
        "/etc/dkimkeys/weir.txt"))
    asked = []

    def dns(name, timeout=5):
        asked.append(name)
        return "".join(record).encode()

    for to, text in site.mails():
        if to in new:
            assert dkim.verify(text, dnsfunc=dns), text.decode()
            assert text.count(b"\nDKIM-Signature:") == 1
    assert set(asked) == {f"weir._domainkey.{NAME}.".encode()}
    held = [t for to, t in site.mails() if to in new[10:]]
    assert len(held) == 3 and all(b"(weir) with ESMTP" in t for t in held)


@pytest.mark.long("doc/postfix.md walked on a bare Debian 12")
def test_what_the_scanner_refuses_is_never_held(site):
    site.make_user("sue")
    before = site.weirctl("queue")
    status, said = site.submit("sue", [f"test+s{i}@{NAME}" for i in range(12)],
                               "--body", f"'{GTUBE}'")
    assert status != 0 and "554 5.7.1 Gtube" in said, said
    assert site.weirctl("queue") == before
    status, said = site.submit("sue", [f"test+t{i}@{NAME}" for i in range(10)])
    assert status == 0, said
    until(lambda: len(site.arrived("t")) == 10, "ten, as if nothing had been")
    assert not site.arrived("s")


@pytest.mark.long("doc/postfix.md walked on a bare Debian 12")
def test_mail_that_comes_in_is_left_alone(site):
    senders = site.weirctl("senders")
    for i in range(15):
        status, said = site.swaks(
            "--server", INSIDE, "--local-interface", OUTSIDE,
            f"--from crowd{i}@example.net --to test+in{i}@{NAME}")
        assert status == 0, said
    until(lambda: len(site.arrived("in")) == 15, "all that came in")
    for to, text in site.mails():
        if to.startswith("test+in"):
            assert b"(weir)" not in text and b"DKIM-Signature" not in text
    assert "example.net" not in site.weirctl("queue")
    assert OUTSIDE not in site.weirctl("senders")
    # It is scanned, too, and nobody may relay.
    status, said = site.swaks("--server", INSIDE, "--local-interface", OUTSIDE,
                              f"--to test@{NAME} --body '{GTUBE}'")
    assert status != 0 and "554 5.7.1 Gtube" in said, said
    status, said = site.swaks("--server", INSIDE, "--local-interface", OUTSIDE,
                              "--to you@example.com")
    assert status != 0 and "454 4.7.1" in said, said
    assert senders.splitlines()[0].startswith("SENDER")


@pytest.mark.long("doc/postfix.md walked on a bare Debian 12")
def test_the_hold_queue_by_its_own_service(site):
    """The chapter about Postfix's hold queue, "Rights": the daemon's unit lets
    it do nothing as root, the service behind the socket does."""
    debian = site.debian
    text, line = page.section(PAGE.read_text(), "**Rights.**",
                              "weir-hold checks every id")
    steps = page.steps_of(text, line)
    typed = [s for s in steps if s.kind == "root"]
    conf = [s for s in steps if s.kind == "shown"]
    assert len(typed) == 3 and len(conf) == 1
    for step in typed:
        do(site, step)
    debian.must("postconf -e enable_long_queue_ids=yes && postfix reload")
    debian.write("/etc/weir/weir.conf", "\n".join(
        [debian.read("/etc/weir/weir.conf"), "milter_hold = quarantine",
         'queue_settle = "1s"', *conf[0].text]) + "\n")
    debian.must("weir-maild -t && systemctl restart weir-maild")
    site.make_user("tom")
    status, said = site.submit("tom", [f"test+q{i}@{NAME}" for i in range(11)])
    assert status == 0, said
    # Whole, on hold in Postfix itself.
    until(lambda: '"queue_name": "hold"' in debian.must("postqueue -j"),
          "the message on hold")
    assert not site.arrived("q")
    site.weirctl("release --sender tom")
    until(lambda: "no mail is held" in site.weirctl("queue tom"), "the release")
    # Postfix delivers it at its next queue run.
    debian.must("postqueue -f")
    until(lambda: len(site.arrived("q")) == 11, "it to be let out")
    # The other verb.
    status, said = site.submit("tom", [f"test+u{i}@{NAME}" for i in range(11)])
    assert status == 0, said
    until(lambda: '"queue_name": "hold"' in debian.must("postqueue -j"),
          "the next one on hold")
    site.weirctl("discard --sender tom")
    until(lambda: '"queue_name": "hold"' not in debian.must("postqueue -j"),
          "it to be gone")
    assert not site.arrived("u")
