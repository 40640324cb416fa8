# SPDX-License-Identifier: BSD-3-Clause
"""Logins: passed through to a next hop, checked by a real Dovecot, and weir's
own at a smart host. The user who logs in is the one who is throttled."""
import base64
import concurrent.futures
import os
import smtplib
import subprocess
import threading
import time

import pytest

from dovecot import Dovecot
from harness import DEADLINE_S, Peer, free_port, message, serve_smtp, until
from postfix import Postfix

SECRET = "hunter2-secret"
USERS = {"alice@example.org": SECRET, "bob@example.org": "builder"}
EXT = ("PIPELINING", "SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES",
       "DSN", "SMTPUTF8", "AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER")
HOLD = 'interval = "1h"  burst = 1  initial = 0\n'


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes)
                            else text.encode()).decode()


PLAIN = b64(f"\0alice@example.org\0{SECRET}")


@pytest.fixture(scope="module")
def dovecot():
    if os.geteuid() != 0:
        pytest.fail("a private Dovecot needs root; run the tests as root")
    d = Dovecot(USERS).start()
    yield d
    d.stop()


class Hop:
    """A next hop that takes logins: exchange is mechanism -> [challenges];
    the last line of the client decides with `accept`."""

    def __init__(self, scripted, challenges=None, accept=None,
                 refusal="535 5.7.8 no", extensions=EXT):
        self.challenges = challenges or {}
        self.accept = accept or (lambda lines: True)
        self.refusal = refusal
        self.extensions = extensions
        self.exchanges = []  # [lines of the client] as they came
        self.sessions = []   # Peers, in order
        self.server = scripted(self.run)
        self.address = self.server.address

    def run(self, peer):
        self.sessions.append(peer)
        peer.user = None
        serve_smtp(peer, extensions=self.extensions,
                   on={"AUTH": self.on_auth})

    def on_auth(self, peer, line):
        words = line.split(" ")
        lines = words[2:3]
        self.exchanges.append(lines)
        for challenge in self.challenges.get(words[1], []):
            if callable(challenge):
                challenge = challenge(lines)
            if challenge is None:
                continue
            peer.say(f"334 {challenge}")
            lines.append(peer.line())
            if lines[-1] == "*":
                peer.say("501 5.7.0 cancelled")
                return True
        if self.accept(lines):
            peer.user = lines
            peer.say("235 2.7.0 the hop welcomes you")
        else:
            peer.say(self.refusal)
        return True

    def authenticated(self):
        return [p for p in self.sessions if p.user is not None]


def passing(weir, hop, listen="auth = pass", **kw):
    return weir(next_hop=hop.address, listen_options=listen, **kw)


def swaks(port, *args):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), "--from",
         "alice@example.org", "--to", "known@example.com", *args],
        capture_output=True, text=True, timeout=DEADLINE_S)
    return done.returncode, done.stdout


def senders(w):
    return {s["sender"] for s in w.ctl("senders")}


def no_secret_in(text):
    for word in (SECRET, b64(SECRET), PLAIN):
        assert word not in text


# ---- passed through ----

def test_pass_plain(weir, scripted):
    hop = Hop(scripted)
    w = passing(weir, hop)
    c = w.hello()
    assert "AUTH PLAIN LOGIN CRAM-MD5 XOAUTH2 OAUTHBEARER" in c.extensions
    assert c.ask(f"AUTH PLAIN {PLAIN}") == (
        235, ["2.7.0 the hop welcomes you"])
    assert hop.exchanges == [[PLAIN]]
    for i in range(2):  # both over the connection that has logged in
        code, text = c.transact("alice@example.org", [f"b{i}@example.com"],
                                message())
        assert code == 250, text
    assert senders(w) == {"alice@example.org"}
    [peer] = hop.authenticated()
    assert peer.data.count(b"with ESMTPA id") == 2
    assert c.ask("QUIT")[0] == 221
    until(lambda: "QUIT" in peer.lines, "QUIT at the next hop")
    until(lambda: w.log_lines("smtp auth.*result=ok.*alice@example.org"),
          "the log line")
    no_secret_in(w.log())


LOGIN = [b64("Username:"), b64("Password:")]
CRAM = b64("alice@example.org 0123456789abcdef0123456789abcdef")
XOAUTH2 = b64("user=alice@example.org\1auth=Bearer ya29.x\1\1")
BEARER = b64("n,a=alice@example.org,\1host=h\1port=587\1auth=Bearer y\1\1")


@pytest.mark.parametrize("mechanism, initial, challenges, answers", [
    ("PLAIN", None, [""], [PLAIN]),
    ("LOGIN", None, LOGIN, [b64("alice@example.org"), b64(SECRET)]),
    ("LOGIN", b64("alice@example.org"), LOGIN[1:], [b64(SECRET)]),
    ("CRAM-MD5", None, [b64("<1896.697@hop.test>")], [CRAM]),
    ("XOAUTH2", XOAUTH2, [], []),
    ("XOAUTH2", None, [""], [XOAUTH2]),
    ("OAUTHBEARER", BEARER, [], []),
], ids=str)
def test_pass_every_mechanism(weir, scripted, mechanism, initial, challenges,
                              answers):
    hop = Hop(scripted, {mechanism: challenges})
    w = passing(weir, hop)
    c = w.hello()
    code, lines = c.ask(f"AUTH {mechanism}" + (f" {initial}" if initial
                                               else ""))
    for challenge, answer in zip(challenges, answers):
        assert (code, lines) == (334, [challenge])
        code, lines = c.ask(answer)
    assert code == 235, lines
    # Untouched.
    assert hop.exchanges == [([initial] if initial else []) + answers]
    assert c.transact("x@example.org", ["b@example.com"], message())[0] == 250
    assert senders(w) == {"alice@example.org"}
    assert len(hop.authenticated()) == 1


def test_pass_error_of_a_token(weir, scripted):
    error = b64('{"status":"401","schemes":"bearer"}')
    hop = Hop(scripted, {"XOAUTH2": [error]}, accept=lambda lines: False)
    w = passing(weir, hop)
    c = w.hello()
    assert c.ask(f"AUTH XOAUTH2 {XOAUTH2}") == (334, [error])
    assert c.ask("")[0] == 535
    assert hop.exchanges == [[XOAUTH2, ""]]


def test_pass_swaks(weir, scripted):
    hop = Hop(scripted, {"LOGIN": LOGIN, "CRAM-MD5": [b64("<1@hop>")],
                         "PLAIN": []},
              accept=lambda lines: True)
    w = passing(weir, hop)
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        status, out = swaks(w.port, "--auth", mechanism, "--auth-user",
                            "alice@example.org", "--auth-password", SECRET)
        assert status == 0, out
        assert "235 2.7.0" in out
    assert len(hop.authenticated()) == 3
    assert senders(w) == {"alice@example.org"}


def test_pass_smtplib(weir, scripted):
    hop = Hop(scripted, {"CRAM-MD5": [b64("<1@hop>")]})
    w = passing(weir, hop)
    with smtplib.SMTP("127.0.0.1", w.port, timeout=DEADLINE_S) as c:
        c.login("alice@example.org", SECRET)
        c.sendmail("alice@example.org", ["b@example.com"], message())
    assert len(hop.authenticated()) == 1


def test_pass_refusal_is_the_next_hops_and_slow(weir, scripted):
    hop = Hop(scripted, accept=lambda lines: False,
              refusal="535 5.7.8 Error: authentication failed: not today")
    w = passing(weir, hop, auth_failures_max=3)
    c = w.hello()
    for delay in (1, 2):
        begin = time.monotonic()
        assert c.ask(f"AUTH PLAIN {PLAIN}") == (
            535, ["5.7.8 Error: authentication failed: not today"])
        assert time.monotonic() - begin >= delay * 0.95
    # The third is the last of this address.
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 421
    assert c.at_end()
    c = w.hello()
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 421
    assert len(hop.exchanges) == 3
    assert w.status()["auth_failures"] == 3
    no_secret_in(w.log())


def test_pass_a_guesser_does_not_lock_others_out(weir, scripted):
    """Behind one address somebody guesses at many users: others log in from
    there all the same, and the guesser gets slower; and a user whose name was
    guessed at is locked there alone."""
    hop = Hop(scripted, accept=lambda lines: lines[-1] == PLAIN)
    w = passing(weir, hop, auth_failures_max=3)

    def guess(user, source="127.0.0.1"):
        c = Peer.connect(w.port, source=source)
        assert c.reply()[0] == 220
        assert c.ask("EHLO client.test")[0] == 250
        c.say("AUTH PLAIN " + b64(f"\0{user}\0guess"))
        return c

    # All at once: the delays of all pass together.
    codes = [c.reply()[0] for c in [guess(f"x{k}@example.org")
                                    for k in range(3)]]
    assert set(codes) <= {535, 421} and 421 in codes
    # She was never seen there, and is known from now on.
    for _ in range(3):
        assert w.hello().ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    # The guesser stands in line, or is turned away.
    asked = len(hop.exchanges)
    guesses = [guess(f"y{k}@example.org") for k in range(16)]
    code, lines = guesses[-1].reply()
    assert code == 421 and "try again in" in lines[0]
    assert len(hop.exchanges) - asked <= 4
    assert w.hello().ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    for c in guesses:
        c.close()
    assert w.status()["auth_locked"] >= 2
    assert w.log_lines("smtp refuse .*limit=auth_failures_max")
    # Guesses at alice from elsewhere lock nobody here.
    for c in [guess("alice@example.org", "127.0.0.7") for _ in range(3)]:
        assert c.reply()[0] in (535, 421)
    code, lines = guess("alice@example.org", "127.0.0.7").reply()
    assert code == 421 and "of this user" in lines[0]
    assert w.hello().ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    no_secret_in(w.log())


def test_pass_who_has_logged_in_makes_no_room(weir, scripted):
    w = passing(weir, Hop(scripted), sessions_max=3, client_sessions_max=3)
    alice = w.hello()
    assert alice.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    newcomers = []
    for peer in [w.hello() for _ in range(2)]:
        c = Peer.connect(w.port, source=f"127.0.0.{7 + len(newcomers)}")
        assert c.reply()[0] == 220
        newcomers.append(c)
        code, lines = peer.reply()
        assert code == 421 and "Idle" in lines[0]
    assert w.status()["sessions_open"] == 3
    assert alice.ask("NOOP")[0] == 250


def test_pass_names_that_hide(weir, scripted):
    """What names nobody, or another at the second try, never gets there."""
    hop = Hop(scripted, {"LOGIN": LOGIN})
    w = passing(weir, hop)
    c = w.hello()
    assert c.ask("AUTH PLAIN " + b64("\0\0x"))[0] == 535
    assert c.ask("AUTH OAUTHBEARER " + b64("n,,\1auth=Bearer x\1\1"))[0] == 535
    assert c.ask("AUTH PLAIN " + b64("nonsense"))[0] == 501
    assert hop.exchanges == []
    # The next hop ignores the initial response: the name would be another's.
    assert c.ask("AUTH LOGIN " + b64("innocent"))[0] == 334
    assert c.ask(b64("alice@example.org"))[0] == 334
    assert c.ask(b64(SECRET))[0] == 501
    assert not hop.authenticated()


def test_pass_next_hop_down(weir, scripted):
    w = weir(next_hop=f"127.0.0.1:{free_port()}", listen_options="auth = pass")
    c = w.hello()
    assert "AUTH PLAIN LOGIN" in c.extensions
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 454
    assert c.ask("NOOP")[0] == 250


def test_pass_next_hop_leaves_in_the_middle(weir, scripted):
    def leave(peer, line):
        peer.say("334 ")
        peer.line()
        peer.close()
        raise EOFError

    server = scripted(lambda peer: serve_smtp(peer, extensions=EXT,
                                              on={"AUTH": leave}))
    w = weir(next_hop=server.address, listen_options="auth = pass")
    c = w.hello()
    assert c.ask("AUTH PLAIN")[0] == 334
    assert c.ask(PLAIN)[0] == 454
    assert c.ask("NOOP")[0] == 250


def test_pass_challenge_that_is_none(weir, scripted):
    hop = Hop(scripted, {"PLAIN": ["do not do this!"]})
    w = passing(weir, hop)
    c = w.hello()
    assert c.ask("AUTH PLAIN")[0] == 454
    assert c.ask("NOOP")[0] == 250


def test_pass_cancel(weir, scripted):
    hop = Hop(scripted, {"LOGIN": LOGIN})
    w = passing(weir, hop)
    c = w.hello()
    assert c.ask("AUTH LOGIN")[0] == 334
    assert c.ask("*")[0] == 501
    # The half login serves nobody.
    until(lambda: any("AUTH LOGIN" in p.lines for p in hop.sessions),
          "the login at the next hop")
    assert c.transact("x@example.org", ["b@example.com"], message())[0] == 250
    assert senders(w) == {"[127.0.0.1]"}
    assert not hop.authenticated()


def test_pass_connection_lost_after_login(weir, scripted):
    hop = Hop(scripted)
    w = passing(weir, hop)
    c = w.hello()
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    hop.authenticated()[0].close()
    # Nobody sends alice's mail over a connection that does not know her.
    until(lambda: w.log_lines("next_hop failed"), "weir to notice")
    assert c.ask("MAIL FROM:<alice@example.org>")[0] == 421
    assert all(p.data == b"" for p in hop.sessions)


def test_pass_two_sessions_do_not_mix(weir, scripted):
    hop = Hop(scripted)
    w = passing(weir, hop)
    alice, bob, nobody = w.hello(), w.hello(), w.hello()
    assert alice.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    assert bob.ask("AUTH PLAIN " + b64("\0bob@example.org\0b"))[0] == 235
    for c, name in ((alice, "alice"), (bob, "bob"), (nobody, "nobody"),
                    (alice, "alice")):
        code, _ = c.transact(f"{name}@example.org", ["x@example.com"],
                             message(subject=f"of {name}"))
        assert code == 250
    by_user = {str(p.user): p.data for p in hop.sessions if p.data}
    assert by_user[str([PLAIN])].count(b"of alice") == 2
    assert b"bob" not in by_user[str([PLAIN])]
    assert b"alice" not in by_user[str([b64("\0bob@example.org\0b")])]
    assert by_user["None"].count(b"Subject:") == 1
    assert b"of nobody" in by_user["None"]


def test_pass_idle_sessions_make_room(weir, scripted):
    """Three quarters of four connections belong to sessions that idle: who
    logs in next takes the place of the one that has idled longest."""
    hop = Hop(scripted)
    w = passing(weir, hop, next_hop_connections=4, next_hop_wait='"300ms"')
    idle = [w.hello() for _ in range(3)]
    for c in idle:
        assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    # Who has begun a message does not idle.
    assert idle[0].ask("MAIL FROM:<alice@example.org>")[0] == 250
    until(lambda: (login := w.hello()).ask(f"AUTH PLAIN {PLAIN}")[0] == 235,
          "a place")
    assert idle[1].reply()[0] == 421
    assert idle[0].ask("RCPT TO:<known@example.com>")[0] == 250
    assert idle[0].submit(message())[0] == 250
    assert idle[2].ask("NOOP")[0] == 250
    assert w.status()["slow_ended"] == 1


def test_pass_held_mail_goes_over_weirs_own_login(weir, scripted, tmp_path):
    hop = Hop(scripted)
    credentials = tmp_path / "hop.auth"
    credentials.write_text("weir:own-word\n")
    credentials.chmod(0o600)
    w = passing(weir, hop, policy=HOLD, next_hop_auth=f'"{credentials}"')
    c = w.hello()
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    code, text = c.transact("alice@example.org", ["new@example.com"],
                            message(subject="held"))
    assert code == 250 and "held" in text
    c.close()
    assert w.queue()[0]["sender"] == "alice@example.org"
    w.ctl("release", "--all")
    w.wait_empty()
    [peer] = [p for p in hop.sessions if b"held" in p.data]
    assert peer.user == [b64("\0weir\0own-word")]
    assert "own-word" not in w.log()


def test_pass_postfix_with_dovecot(weir, dovecot):
    """The real thing behind: Postfix asks Dovecot, and sees the user."""
    p = Postfix("sasl.weir.test", extra=(
        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\n"
        f"smtpd_sasl_path = {dovecot.socket}\n"
        "broken_sasl_auth_clients = yes\n"
        "smtpd_sasl_authenticated_header = yes\n")).start()
    try:
        w = weir(next_hop=p.address, listen_options="auth = pass")
        assert "AUTH PLAIN LOGIN CRAM-MD5" in w.hello().extensions
        for n, mechanism in enumerate(("PLAIN", "LOGIN", "CRAM-MD5")):
            status, out = swaks(w.port, "--auth", mechanism, "--auth-user",
                                "alice@example.org", "--auth-password",
                                SECRET)
            assert status == 0, out
            p.wait_for(n + 1)
        for mail in p.mail():
            assert "Authenticated sender: alice@example.org" in str(
                mail.get_all("Received"))
        assert senders(w) == {"alice@example.org"}
        status, out = swaks(w.port, "--auth", "PLAIN", "--auth-user",
                            "alice@example.org", "--auth-password", "wrong")
        assert status != 0 and "535 5.7.8" in out
    finally:
        p.stop()


SPELLINGS = ("bob", "BOB", " bob ", "bob@h1.test", "Bob@H2.test",
             "bob@h3.test.", "bob@h4.example.net")


def asks_dovecot(dovecot):
    return Postfix("sasl.weir.test", extra=(
        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\n"
        f"smtpd_sasl_path = {dovecot.socket}\n"))


def log_in_as(w, name, authzid=""):
    """As many of the spellings as the server takes, each to new people."""
    s = smtplib.SMTP("127.0.0.1", w.port, timeout=DEADLINE_S)
    s.ehlo()
    code, words = s.docmd("AUTH PLAIN", b64(f"{authzid}\0{name}\0builder"))
    return s, (code, words)


@pytest.mark.parametrize("domains,form,expected", [
    ('{"example.org"}', "lower", {"bob"}), ("{}", "localpart", {"bob"}),
    # Nothing says which domains there are: the password does.
    ("{}", "lower", {"bob"})])
def test_pass_all_spellings_of_a_login_are_one(weir, domains, form, expected):
    """Postfix and a Dovecot that looks at the local part alone: it takes any
    domain, and the allowance is one."""
    d = Dovecot({"bob": "builder"}, form="%Ln").start()
    p = asks_dovecot(d).start()
    taken = 0
    try:
        w = weir(next_hop=p.address, listen_options="auth = pass",
                 login_form=form, local_domains=domains,
                 policy='interval = "1h"  burst = 3  initial = 3')
        for k, name in enumerate(SPELLINGS):
            s, (code, words) = log_in_as(w, name)
            if code == 535:  # a blank is not for Dovecot
                s.close()
                continue
            assert code == 235, (name, words)
            for i in range(2):
                s.sendmail("bob@example.org", f"s{k}-{i}@example.com",
                           message())
                taken += 1
            s.quit()
        assert taken >= 12
        assert senders(w) == expected
        assert w.sender("bob")["queue_length"] == taken - 3
        p.wait_for(3)
        s, (code, words) = log_in_as(w, "bob", authzid="somebody")
        s.close()
        assert senders(w) == expected
    finally:
        p.stop()
        d.stop()


# ---- checked by Dovecot ----


def test_dovecot_tells_the_name(weir, sink):
    """Whatever the client wrote, Dovecot says who it is."""
    d = Dovecot({"bob": "builder"}, form="%Ln").start()
    try:
        w = asking(weir, d, policy=HOLD)
        for i, name in enumerate(("bob@h1.test", "BOB@h2.test", "bob")):
            s, (code, words) = log_in_as(w, name)
            assert code == 235, words
            s.sendmail("bob@example.org", f"to{i}@example.com", message())
            s.quit()
        assert senders(w) == {"bob"}
    finally:
        d.stop()

def asking(weir, dovecot, listen="auth = dovecot", **kw):
    w = weir(listen_options=listen,
             auth_socket=f'"unix:{dovecot.socket}"', **kw)
    until(lambda: w.log_lines("auth connect"), "weir to reach Dovecot")
    return w


def test_dovecot_swaks(weir, dovecot, sink):
    w = asking(weir, dovecot)
    assert "AUTH PLAIN LOGIN CRAM-MD5" in w.hello().extensions
    for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
        status, out = swaks(w.port, "--auth", mechanism, "--auth-user",
                            "Alice@example.org", "--auth-password", SECRET)
        assert status == 0, out
    assert len(sink.messages) == 3
    assert b"with ESMTPA id" in sink.messages[0][2]
    # As Dovecot knows it.
    assert senders(w) == {"alice@example.org"}
    no_secret_in(w.log())


def test_dovecot_refuses(weir, dovecot):
    w = asking(weir, dovecot)
    c = w.hello()
    bad = b64("\0alice@example.org\0wrong")
    begin = time.monotonic()
    assert c.ask(f"AUTH PLAIN {bad}")[0] == 535
    assert time.monotonic() - begin >= 0.95
    assert c.ask("AUTH LOGIN")[0] == 334
    assert c.ask("*")[0] == 501
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    assert w.log_lines("smtp auth_failed.*result=refused.*failures=1")


def test_dovecot_gone_and_back(weir, tmp_path):
    d = Dovecot(USERS).start()
    try:
        w = asking(weir, d)
        c = w.hello()
        d.halt()
        until(lambda: w.log_lines("auth lost"), "weir to notice")
        assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 454
        d.start()

        def login():
            return w.hello().ask(f"AUTH PLAIN {PLAIN}")[0] == 235
        until(login, "logins to work again")
    finally:
        d.stop()


def test_dovecot_leaves_in_the_middle(weir, tmp_path):
    """Between its challenge and the client's response."""
    d = Dovecot(USERS).start()
    try:
        w = asking(weir, d)
        c = w.hello()
        assert c.ask("AUTH LOGIN")[0] == 334
        d.halt()
        until(lambda: w.log_lines("auth lost"), "weir to notice")
        assert c.ask(b64("alice@example.org"))[0] == 454
        assert c.ask("NOOP")[0] == 250
        assert w.log_lines("smtp auth_failed result=unavailable")
    finally:
        d.stop()


@pytest.mark.parametrize("unasked", ["CONT\t{}\t", "FAIL\t{}\tuser=x",
                                     "FAIL\t{}\ttemp", "OK\t{}\tuser=root"])
def test_dovecot_speaks_unasked(weir, scripted, tmp_path, unasked):
    """A word behind the challenge decides nothing and breaks nothing."""
    said = threading.Event()

    def serve(peer):
        peer.send("VERSION\t1\t2\nMECH\tLOGIN\nSPID\t1\nDONE\n")
        while True:
            words = peer.line().split("\t")
            if words[0] == "AUTH":
                peer.send(f"CONT\t{words[1]}\tVXNlcjo=\n")
                peer.send((unasked + "\n").format(words[1]) * 2)
                # Answered when the words before it have been read.
                peer.send("VERSION\t9\t0\n")
                said.set()

    fake = scripted(serve, address=f"unix:{tmp_path}/fake")
    w = weir(listen_options="auth = dovecot", auth_socket=f'"{fake.address}"')
    until(lambda: w.log_lines("auth connect"), "weir to reach it")
    c = w.hello()
    assert c.ask("AUTH LOGIN") == (334, ["VXNlcjo="])
    assert said.wait(10)
    until(lambda: w.log_lines("auth lost"), "all of it to be read")
    assert c.ask(b64("alice@example.org"))[0] == 454
    assert c.ask("NOOP")[0] == 250
    assert w.status()["sessions_open"] == 1
    assert not w.log_lines(r"smtp auth\S* result=(ok|refused)")


def test_auth_required(weir, dovecot, sink):
    w = asking(weir, dovecot, "auth = dovecot  auth_required = true")
    c = w.hello()
    assert c.ask("MAIL FROM:<a@example.org>") == (
        530, ["5.7.0 Authentication required"])
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    assert c.transact("a@example.org", ["b@example.com"], message())[0] == 250


def test_a_stolen_account_is_frozen_from_many_addresses(weir, dovecot):
    w = asking(weir, dovecot,
               policy='interval = "1h"  burst = 1  initial = 0  freeze_at = 5')
    for n in range(5):
        c = Peer.connect(w.port, source=f"127.0.0.{n + 2}")
        c.reply()
        c.ask("EHLO bot")
        assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
        c.transact("any@example.org", [f"v{n}@example.com"], message())
    assert w.sender("alice@example.org")["frozen"]


# ---- not offered ----

def test_not_offered(weir, scripted):
    hop = Hop(scripted)
    w = weir(next_hop=hop.address)
    c = w.hello()
    assert not [e for e in c.extensions if e.startswith("AUTH")]
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 502


def test_in_clear_only_where_it_is_allowed(weir, scripted):
    """XCLIENT makes the client one from elsewhere."""
    hop = Hop(scripted)
    for listen, offered in (("auth = pass", False),
                            ("auth = pass  auth_in_clear = true", True)):
        w = passing(weir, hop, listen, xclient_from='{"127.0.0.1"}')
        c = w.hello()
        assert any(e.startswith("AUTH") for e in c.extensions)
        assert c.ask("XCLIENT ADDR=192.0.2.9")[0] == 220
        _, lines = c.ask("EHLO far.test")
        assert any(e.startswith("AUTH") for e in lines) == offered
        assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == (235 if offered else 502)


# ---- weir's own ----

def run_maild(w):
    w.write_config()
    return subprocess.run([w.command, "-c", w.config], capture_output=True,
                          text=True, timeout=DEADLINE_S)


def test_own_credentials_must_be_private(weir, tmp_path):
    path = tmp_path / "hop.auth"
    path.write_text(f"weir:{SECRET}\n")
    w = weir(start=False, next_hop_auth=f'"{path}"')
    for mode in (0o640, 0o604):
        path.chmod(mode)
        done = run_maild(w)
        assert done.returncode == 78
        assert str(path) in done.stderr and "chmod 600" in done.stderr
    path.chmod(0o600)
    path.write_text(f"{SECRET}\n")
    done = run_maild(w)
    assert done.returncode == 78
    assert f"{path}:1: " in done.stderr and SECRET not in done.stderr


@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "LOGIN"])
def test_own_login(weir, scripted, tmp_path, mechanisms):
    hop = Hop(scripted, {"LOGIN": LOGIN},
              extensions=(*EXT[:-1], f"AUTH {mechanisms}"))
    path = tmp_path / "hop.auth"
    path.write_text(f"{hop.address} weir {SECRET}\n")
    path.chmod(0o600)
    w = weir(next_hop=hop.address, next_hop_auth=f'"{path}"')
    c = w.hello()
    assert c.transact("a@example.org", ["b@example.com"], message())[0] == 250
    want = ([b64("\0weir\0" + SECRET)] if "PLAIN" in mechanisms else
            [b64("weir"), b64(SECRET)])
    assert hop.exchanges == [want]
    no_secret_in(w.log())


def test_own_login_refused_means_wait(weir, scripted, tmp_path):
    hop = Hop(scripted, accept=lambda lines: False)
    path = tmp_path / "hop.auth"
    path.write_text("weir wrong\n")
    path.chmod(0o600)
    w = weir(next_hop=hop.address, next_hop_auth=f'"{path}"')
    c = w.hello()
    assert c.ask("MAIL FROM:<a@example.org>")[0] == 250
    code, lines = c.ask("RCPT TO:<b@example.com>")
    assert code == 451 and "refuses the login" in lines[0]
    assert w.log_lines("next_hop.*refuses the login")


def test_own_login_not_offered_means_wait(weir, scripted, tmp_path):
    hop = Hop(scripted, extensions=EXT[:-1])
    path = tmp_path / "hop.auth"
    path.write_text("weir word\n")
    path.chmod(0o600)
    w = weir(next_hop=hop.address, next_hop_auth=f'"{path}"')
    c = w.hello()
    assert c.ask("MAIL FROM:<a@example.org>")[0] == 250
    assert c.ask("RCPT TO:<b@example.com>")[0] == 451
    assert w.log_lines("offers neither AUTH PLAIN")
