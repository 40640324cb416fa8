# SPDX-License-Identifier: BSD-3-Clause
"""A next hop that has had enough of a connection, or wants a login of weir:
what it says then is no word on anybody's mail."""
import base64
import threading

import pytest

from harness import DEADLINE_S, hello, message, serve_smtp, until

KNOWN = 'key = envelope  interval = "1h"  burst = 1  initial = 0\n' \
        'exempt_recipients = {"@known.test"}'
LOGIN = "AUTH PLAIN " + base64.b64encode(b"\0alice@x.test\0pw").decode()
EXTENSIONS = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "AUTH PLAIN")


def limited(verb, reply, most=2):
    """A server whose connection refuses the verb after so many of them."""
    def count(peer, line):
        peer.count = getattr(peer, "count", 0) + 1
        if peer.count <= most:
            return False
        peer.say(reply)
        if reply == "close":
            raise ConnectionError
        return True

    return lambda p: serve_smtp(p, on={verb: count})


@pytest.mark.parametrize("reply", [
    "452 4.5.3 Too many messages sent", "421 4.7.0 enough", "420 4.4.5 enough",
    "550 5.5.0 enough"])
def test_mail_refused_on_a_used_connection(weir, scripted, reply):
    hop = scripted(limited("MAIL", reply))
    w = weir(next_hop=hop.address, policy=KNOWN)
    for i in range(7):
        assert w.hello().transact("a@example.org", [f"b{i}@known.test"],
                                  message())[0] == 250
    assert sum(p.data.count(b"Subject") for p in hop.peers) == 7


@pytest.mark.parametrize("reply", ["452 4.4.5 enough", "421 4.7.0 enough"])
def test_data_refused_on_a_used_connection(weir, scripted, reply):
    """Its recipients are asked again, and the client hears nothing of it."""
    hop = scripted(limited("DATA", reply))
    w = weir(next_hop=hop.address, policy=KNOWN)
    for i in range(5):
        code, text = w.hello().transact(
            "a@example.org", ["b@known.test", f"held{i}@new.test",
                              "c@known.test"], message(f"number {i}"))
        assert code == 250 and "1 of 3 recipients held" in text, text
    for i in range(5):
        [peer] = [p for p in hop.peers if f"number {i}".encode() in p.data]
        assert peer.lines.count("RCPT TO:<b@known.test>") >= 1
        assert peer.lines.count("RCPT TO:<c@known.test>") >= 1
    assert len(w.held()) == 5


def test_a_recipient_that_the_new_connection_refuses(weir, scripted):
    """It was taken once: the client hears at DATA to come again."""
    def first_only(peer, line):
        if peer is hop.peers[0]:
            return False
        peer.say("550 5.1.1 not here")
        return True

    def serve(peer):
        def count(peer, line):
            peer.count = getattr(peer, "count", 0) + 1
            if peer.count == 1:
                return False
            peer.say("421 4.7.0 enough")
            return True

        serve_smtp(peer, on={"DATA": count, "RCPT": first_only})

    hop = scripted(serve)
    w = weir(next_hop=hop.address, policy=KNOWN)
    assert w.hello().transact("a@example.org", ["b@known.test"],
                              message())[0] == 250
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    assert peer.ask("RCPT TO:<b@known.test>")[0] == 250
    code, lines = peer.ask("DATA")
    assert code == 451 and "was refused" in lines[0], lines
    assert peer.ask("RSET")[0] == 250


def test_a_first_refusal_is_the_mails(weir, scripted):
    hop = scripted(limited("MAIL", "452 4.5.3 not now", most=0))
    w = weir(next_hop=hop.address, policy=KNOWN)
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    assert peer.ask("RCPT TO:<b@known.test>")[0] == 452
    assert len(hop.peers) <= 2


def test_refused_in_the_middle_of_the_text(weir, scripted):
    """It does not wait for the dot, and it is the message's refusal."""
    gone = threading.Event()

    def cut_off(peer, line):
        peer.say("354 go")
        while "x" != peer.line():
            pass
        peer.say("554 5.6.0 not this")
        peer.close()
        gone.set()
        raise EOFError

    hop = scripted(lambda p: serve_smtp(p, on={"DATA": cut_off}))
    w = weir(next_hop=hop.address, policy=KNOWN)
    peer = w.hello()
    for line in ("MAIL FROM:<a@example.org>", "RCPT TO:<b@known.test>"):
        assert peer.ask(line)[0] == 250
    assert peer.ask("DATA")[0] == 354
    peer.send(b"Subject: x\r\n\r\nx\r\n")
    assert gone.wait(DEADLINE_S)
    until(lambda: w.log_lines("not this"), "weir to hear of it")
    peer.send(b"y\r\n.\r\n")
    code, lines = peer.reply()
    assert code == 554 and "not this" in lines[0], lines


# ---- a login of weir's own ----

def wants_login(peer):
    """Takes mail from those who have logged in."""
    def auth(peer, line):
        peer.ok = True
        peer.say("235 2.7.0 welcome")
        return True

    def mail(peer, line):
        if not getattr(peer, "ok", False):
            peer.say("530 5.7.0 Authentication required")
            return True
        return False

    def rcpt(peer, line):
        if not getattr(peer, "ok", False):
            peer.say("503 5.5.1 MAIL first")
            return True
        return False

    serve_smtp(peer, EXTENSIONS, on={"AUTH": auth, "MAIL": mail, "RCPT": rcpt})


def passing(weir, hop):
    return weir(next_hop=hop.address, listen_options="auth = pass",
                policy=KNOWN.replace("key = envelope", ""))


def test_a_user_never_hears_of_weirs_login(weir, scripted):
    hop = scripted(wants_login)
    w = passing(weir, hop)
    peer = hello(w.port)
    assert peer.ask(LOGIN)[0] == 235
    code, text = peer.transact("alice@x.test", ["b@known.test", "new@y.test"],
                               message())
    assert code == 250 and "1 of 2 recipients held" in text, text
    assert w.held() == ["new@y.test"]


def test_who_has_not_logged_in_hears_it(weir, scripted):
    hop = scripted(wants_login)
    w = passing(weir, hop)
    peer = hello(w.port)
    peer.ask("MAIL FROM:<a@x.test>")
    assert peer.ask("RCPT TO:<b@known.test>")[0] == 530


def test_where_nobody_can_log_in_it_is_temporary(weir, scripted):
    hop = scripted(wants_login)
    w = weir(next_hop=hop.address, policy=KNOWN)
    peer = w.hello()
    peer.ask("MAIL FROM:<a@x.test>")
    code, lines = peer.ask("RCPT TO:<b@known.test>")
    assert code == 451 and "requires this relay to authenticate" in lines[0], lines


def test_a_login_whose_connection_is_over(weir, scripted):
    """It cannot be replaced: the client logs in anew."""
    def serve(peer):
        def auth(peer, line):
            peer.say("235 2.7.0 welcome")
            return True

        def count(peer, line):
            peer.count = getattr(peer, "count", 0) + 1
            if peer.count == 1:
                return False
            peer.say("452 4.5.3 Too many messages sent")
            return True

        serve_smtp(peer, EXTENSIONS, on={"AUTH": auth, "MAIL": count})

    hop = scripted(serve)
    w = passing(weir, hop)
    peer = hello(w.port)
    assert peer.ask(LOGIN)[0] == 235
    assert peer.transact("alice@x.test", ["b@known.test"], message())[0] == 250
    peer.ask("MAIL FROM:<alice@x.test>")
    code, lines = peer.ask("RCPT TO:<b@known.test>")
    assert code == 451 and "log in again" in lines[0], lines
    peer.ask("RSET")
    assert peer.ask("MAIL FROM:<alice@x.test>")[0] == 421
    peer = hello(w.port)
    assert peer.ask(LOGIN)[0] == 235
    assert peer.transact("alice@x.test", ["b@known.test"], message())[0] == 250


# ---- as many connections as may be ----

def test_clients_wait_in_line(weir, scripted):
    lock, open_now = threading.Lock(), [0]

    def serve(peer):
        with lock:
            if open_now[0] >= 2:
                peer.say("421 4.7.0 Too many connections from your host")
                return
            open_now[0] += 1
        try:
            serve_smtp(peer)
        finally:
            with lock:
                open_now[0] -= 1

    hop = scripted(serve)
    w = weir(next_hop=hop.address, policy=KNOWN)
    said = []

    def client(i):
        peer = w.hello(f"c{i}.test")
        for _ in range(5):
            said.append(peer.transact("a@example.org", ["b@known.test"],
                                      message())[0])
        peer.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert said == [250] * 40
