# SPDX-License-Identifier: BSD-3-Clause
"""The relay between a client and its next hop: what passes, what is held, and
whose words the client hears."""
import concurrent.futures
import hashlib
import smtplib
import subprocess
import threading

import pytest

from harness import (DEADLINE_S, FastSink, Peer, free_port, hello, message,
                     serve_smtp, until)

KEY = "key = envelope\n"
# Everybody is a stranger, but for one domain.
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0\n'
              'exempt_recipients = {"@known.test"}')
# What a next hop's SIZE is offered less: RELAY_TRACE_MAX + SMTP_OPENING_MAX.
TRACE = 1024 + 130

FULL = ["PIPELINING", "SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES",
        "DSN", "SMTPUTF8"]


def trace_and_text(data):
    """Splits off the Received header that weir put in front."""
    head, sep, rest = data.partition(b"\r\nFrom: ")
    assert sep and head.startswith(b"Received: "), data[:200]
    return head, b"From: " + rest


# ---- real clients ----

def test_swaks(weir, sink):
    w = weir(policy=KEY)
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(w.port), "--from",
         "alice@example.org", "--to", "bob@example.com,carol@example.com",
         "--header", "Subject: from swaks", "--body", "line one\n.\nend"],
        capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout
    assert "250 2.0.0 Ok: queued as SINK1" in done.stdout
    sender, rcpts, text, _ = sink.messages[0]
    assert sender == "alice@example.org"
    assert rcpts == ["bob@example.com", "carol@example.com"]
    assert b"Subject: from swaks\r\n" in text
    assert b"\r\nline one\r\n.\r\nend\r\n" in text


def test_the_clients_250_is_the_next_hops(weir, sink):
    w = weir(policy=KEY)
    peer = w.hello()
    for i in (1, 2):
        assert peer.transact("a@example.org", ["b@example.com"],
                             message()) == (250,
                                            f"2.0.0 Ok: queued as SINK{i}")
    assert peer.ask("QUIT")[0] == 221


def test_null_sender_and_odd_addresses(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=KEY)
    peer = w.hello()
    odd = ['"a b"@example.com', "o'brien+tag@example.com",
           "user@[192.0.2.1]"]
    assert peer.transact("", odd, message())[0] == 250
    assert fast_sink.messages[0][:2] == ("", odd)


def test_every_octet_of_a_message(weir, fast_sink):
    """Dots, 8-bit text, long lines and empty lines go through as they are,
    cut through and held alike."""
    w = weir(next_hop=fast_sink.address, policy=HOLD)
    body = (b"From: a\r\nSubject: x\r\n\r\n.\r\n..\r\n.dot\r\n\r\n\r\n" +
            bytes(c for c in range(1, 256) if c not in b"\r\n") + b"\r\n" +
            b"x" * 60000 + b"\r\n.\r\n")
    peer = w.hello()
    code, text = peer.transact("a@example.org",
                               ["b@known.test", "new@example.com"], body)
    assert code == 250, text
    w.ctl("release", "--all")
    fast_sink.wait_for(2)
    for _, _, data in fast_sink.messages:
        assert trace_and_text(data)[1] == body


# ---- refusals ----

@pytest.mark.parametrize("reply", ["550 5.1.1 No such user here",
                                   "450 4.2.0 Greylisted, come later",
                                   "452 4.2.2 Mailbox full"])
def test_refused_recipient_reaches_the_client(weir, sink, reply):
    sink.refuse_rcpt["bad@example.com"] = reply
    w = weir(policy=KEY)
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    assert peer.ask("RCPT TO:<good@example.com>")[0] == 250
    code, lines = peer.ask("RCPT TO:<bad@example.com>")
    assert f"{code} {lines[0]}" == reply
    assert peer.submit(message())[0] == 250
    assert sink.recipients() == ["good@example.com"]


def test_held_recipient_is_verified(weir, sink):
    sink.refuse_rcpt["bad@example.com"] = "550 5.1.1 No such user here"
    sink.refuse_rcpt["grey@example.com"] = "450 4.2.0 Greylisted"
    w = weir(policy=HOLD)
    with smtplib.SMTP("127.0.0.1", w.port) as smtp:
        refused = smtp.sendmail(
            "a@example.org", ["new@example.com", "bad@example.com",
                              "grey@example.com"], message())
    assert refused == {"bad@example.com": (550,
                                           b"5.1.1 No such user here")}
    # A temporary refusal is no reason not to hold.
    assert w.held() == ["new@example.com", "grey@example.com"]
    assert w.sender("<a@example.org>")["queue_length"] == 2
    assert sink.recipients() == []


def test_nobody_hears_at_rcpt_who_is_known(weir, scripted):
    """Or anybody could ask, for nothing, who writes to whom."""
    def words(peer, line):
        peer.say("250 2.1.5 " + line[8:])
        return True

    hop = scripted(lambda p: serve_smtp(p, on={"RCPT": words}))
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    known = peer.ask("RCPT TO:<b@known.test>")
    assert known == peer.ask("RCPT TO:<new@example.com>")
    code, text = peer.submit(message())
    assert code == 250 and "1 of 2 recipients held" in text, text


def test_held_recipient_is_not_verified_when_told_so(weir, sink):
    sink.refuse_rcpt["bad@example.com"] = "550 5.1.1 No such user here"
    w = weir(policy=HOLD, verify_held="false")
    assert w.hello().transact("a@example.org", ["bad@example.com"],
                              message())[0] == 250
    assert sink.rcpts_seen == []
    assert w.held() == ["bad@example.com"]


@pytest.mark.parametrize("reply", ["550 5.7.1 not you", "451 4.3.0 later"])
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "."])
def test_next_hop_refuses_a_verb(weir, scripted, verb, reply):
    def refuse(peer, line):
        peer.say(reply)
        return True

    hop = scripted(lambda p: serve_smtp(p, on={verb: refuse}))
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello()
    code, lines = peer.ask("MAIL FROM:<a@example.org>")
    if code == 250:
        code, lines = peer.ask("RCPT TO:<b@known.test>")
    if code == 250:
        code, text = peer.submit(message())
        lines = [text]
    assert f"{code} {lines[0]}" == reply
    # The session goes on, and nothing was kept.
    assert peer.ask("RSET")[0] == 250
    assert w.status()["held_messages"] == 0


def test_data_refused_and_said_again(weir, scripted):
    """The recipients stand: what a client does next is its own affair."""
    refusals = ["451 4.3.0 not yet", "451 4.3.0 not yet"]

    def refuse(peer, line):
        if refusals:
            peer.say(refusals.pop())
            return True

    hop = scripted(lambda p: serve_smtp(p, on={"DATA": refuse}))
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    peer.ask("RCPT TO:<b@known.test>")
    peer.ask("RCPT TO:<new@example.com>")
    assert peer.ask("DATA") == (451, ["4.3.0 not yet"])
    assert peer.ask("RCPT TO:<c@known.test>")[0] == 250
    assert peer.ask("RCPT TO:<newer@example.com>")[0] == 250
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 503
    assert peer.ask("DATA") == (451, ["4.3.0 not yet"])
    assert peer.submit(message())[0] == 250
    assert w.held() == ["new@example.com", "newer@example.com"]
    assert peer.transact("a@example.org", ["b@known.test"],
                         message())[0] == 250


@pytest.mark.parametrize("greeting", ["554 5.3.2 no service", "421 busy",
                                      "hello?", "220"])
def test_next_hop_turns_away(weir, scripted, greeting):
    hop = scripted(lambda p: (p.say(greeting), p.at_end()))
    w = weir(next_hop=hop.address, policy=HOLD, next_hop_command_timeout='"1s"')
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    code, lines = peer.ask("RCPT TO:<b@known.test>")
    assert 400 <= code < 500, lines
    assert peer.ask("NOOP")[0] == 250


def test_next_hop_without_ehlo(weir, scripted):
    def no(peer, line):
        peer.say("502 5.5.1 what?")
        return True

    hop = scripted(lambda p: serve_smtp(p, on={"EHLO": no}))
    w = weir(next_hop=hop.address, policy=KEY)
    peer = w.hello()
    assert peer.extensions == ["SIZE 52428800"]  # of weir itself
    assert peer.transact("a@example.org", ["b@example.com"],
                         message())[0] == 250
    assert "HELO relay.weir.test" in hop.peers[0].lines


# ---- extensions ----

def test_only_what_the_next_hop_has(weir, scripted):
    hop = scripted(lambda p: serve_smtp(
        p, extensions=["8BITMIME", "SIZE 12345", "STARTTLS", "CHUNKING",
                       "X-UNKNOWN", "AUTH PLAIN", "BINARYMIME", "VRFY"]))
    w = weir(next_hop=hop.address, policy=KEY)
    peer = w.hello()
    assert sorted(peer.extensions) == ["8BITMIME", "CHUNKING",
                                       f"SIZE {12345 - TRACE}"]
    for param in ("SMTPUTF8", "RET=FULL", "ENVID=x"):
        code, lines = peer.ask(f"MAIL FROM:<a@example.org> {param}")
        assert code == 555, lines
    code, lines = peer.ask("MAIL FROM:<a@example.org> SIZE=" + str(12346 - TRACE))
    assert code == 552, lines
    assert peer.ask("MAIL FROM:<a@example.org> BODY=8BITMIME")[0] == 250
    assert peer.ask("RCPT TO:<b@example.com> NOTIFY=NEVER")[0] == 555


def test_all_extensions(weir, scripted):
    hop = scripted(lambda p: serve_smtp(p, extensions=FULL + ["CHUNKING"]))
    w = weir(next_hop=hop.address, policy=KEY, message_size='"5M"')
    assert sorted(w.hello().extensions) == sorted(
        ["PIPELINING", "SIZE 5242880", "8BITMIME", "ENHANCEDSTATUSCODES",
         "DSN", "SMTPUTF8", "CHUNKING"])


def command_of(hop, start):
    found = [line for peer in hop.peers for line in getattr(peer, "lines", [])
             if line.startswith(start)]
    return found[-1]


@pytest.mark.parametrize("rcpt", ["bob@known.test", "new@example.com"])
def test_parameters_are_carried(weir, scripted, rcpt):
    """Through to a known recipient, and kept with held mail."""
    hop = scripted(serve_smtp)
    w = weir(next_hop=hop.address, policy=HOLD, verify_held="false")
    peer = w.hello()
    code, _ = peer.transact(
        "älice@example.org", [rcpt],
        message(body="grüße"),
        mail=" SIZE=123 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B314",
        rcpt=" NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2Baddress@example.com")
    assert code == 250
    if "new" in rcpt:
        assert hop.peers[0].data == b""
        w.ctl("release", "--all")
    until(lambda: any(p.data for p in hop.peers), "the message")
    mail = command_of(hop, "MAIL").split()
    assert mail[1] == "FROM:<älice@example.org>"
    assert {"BODY=8BITMIME", "SMTPUTF8", "RET=HDRS",
            "ENVID=QQ+2B314"} <= set(mail[2:])
    words = command_of(hop, "RCPT").split()
    assert words[1] == f"TO:<{rcpt}>"
    notify = [x for x in words if x.startswith("NOTIFY=")][0]
    assert set(notify[7:].split(",")) == {"SUCCESS", "DELAY"}
    assert "ORCPT=rfc822;old+2Baddress@example.com" in words
    w.wait_empty()


def test_message_size(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=HOLD, message_size='"64K"')
    peer = w.hello()
    code, lines = peer.ask("MAIL FROM:<a@example.org> SIZE=100000")
    assert code == 552, lines
    big = message(body="x" * 70 + ("\r\n" + "y" * 70) * 1500)
    for rcpt in ("b@known.test", "new@example.com"):
        assert peer.transact("a@example.org", [rcpt], big)[0] == 552
    # The session is in step, and nothing of the big ones has gone on.
    assert peer.transact("a@example.org", ["b@known.test"],
                         message())[0] == 250
    assert len(fast_sink.messages) == 1
    assert w.status()["held_messages"] == 0


# ---- large bodies ----

def big_message(size, seed):
    """Text whose lines differ, so that a lost or doubled block shows."""
    block = b"".join(b"%08d %s .dots. %s\r\n" % (
        i, seed.encode(), hashlib.sha1(b"%d" % i).hexdigest().encode())
        for i in range(1024))
    return (b"From: a@example.org\r\nSubject: " + seed.encode() +
            b"\r\n\r\n" + block * (size // len(block) + 1))


def digest(data):
    return hashlib.sha256(trace_and_text(data)[1]).hexdigest()


def test_20_mb(weir):
    sink = FastSink(keep=digest)
    w = weir(next_hop=sink.address, policy=HOLD)
    cases = {"known": ["b@known.test"], "held": ["new@example.com"],
             "both": ["c@known.test", "other@example.com"]}
    texts = {k: big_message(20_000_000, k) for k in cases}

    def send(kind):
        peer = hello(w.port)
        return peer.transact(f"{kind}@example.org", cases[kind],
                             texts[kind])[0]

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(send, cases)) == [250] * 3
    assert w.status()["held_recipients"] == 2
    assert sorted(r["size"] for r in w.queue())[0] >= 20_000_000
    w.ctl("release", "--all")
    sink.wait_for(4, 60)
    w.wait_empty()
    got = sorted((r, d) for _, rcpts, d in sink.messages for r in rcpts)
    want = sorted((r, hashlib.sha256(texts[k]).hexdigest())
                  for k, rcpts in cases.items() for r in rcpts)
    assert got == want
    assert w.peak_rss_kb() < 40_000, "bodies were kept in memory"
    until(lambda: list((w.spool / "bodies").iterdir()) == [], "no body left")
    sink.stop()


def test_a_slow_next_hop_holds_the_client_back(weir, scripted):
    """Back-pressure: what the next hop does not take the client keeps."""
    go = threading.Event()

    def stall(peer, line):
        peer.say("354 go")
        go.wait(20)
        peer.data = peer.body()
        peer.say("250 2.0.0 Ok")
        return True

    hop = scripted(lambda p: serve_smtp(p, on={"DATA": stall}))
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello()
    text = big_message(30_000_000, "slow")
    peer.ask("MAIL FROM:<a@example.org>")
    peer.ask("RCPT TO:<b@known.test>")
    peer.ask("DATA")
    sent = threading.Event()

    def push():
        peer.send(text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        sent.set()

    thread = threading.Thread(target=push)
    thread.start()
    assert not sent.wait(1.0), "30 MB vanished into the relay"
    assert w.peak_rss_kb() < 40_000
    go.set()
    assert peer.reply()[0] == 250
    thread.join()
    assert len(hop.peers[-1].data) > 30_000_000 or any(
        len(p.data) > 30_000_000 for p in hop.peers)


# ---- the dialogue ----

def test_pipelining(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=HOLD)
    peer = w.hello()
    peer.send("MAIL FROM:<a@example.org>\r\nRCPT TO:<b@known.test>\r\n"
              "RCPT TO:<new@example.com>\r\nRCPT TO:<c@known.test>\r\n"
              "DATA\r\n")
    assert [peer.reply()[0] for _ in range(5)] == [250, 250, 250, 250, 354]
    peer.send(message() + b".\r\nMAIL FROM:<a@example.org>\r\n"
              b"RCPT TO:<d@known.test>\r\nRSET\r\nMAIL FROM:<x@example.org>"
              b"\r\nRCPT TO:<e@known.test>\r\nDATA\r\n")
    assert [peer.reply()[0] for _ in range(7)] == [
        250, 250, 250, 250, 250, 250, 354]
    peer.send(message() + b".\r\nQUIT\r\n")
    assert [peer.reply()[0] for _ in range(2)] == [250, 221]
    assert peer.at_end()
    assert [m[1] for m in fast_sink.messages] == [
        ["b@known.test", "c@known.test"], ["e@known.test"]]
    assert w.held() == ["new@example.com"]


def test_mixed_message_gets_one_honest_reply(weir, sink):
    w = weir(policy=HOLD)
    peer = w.hello()
    code, text = peer.transact(
        "a@example.org", ["b@known.test", "new@example.com",
                          "other@example.com"], message())
    assert code == 250
    assert "SINK1" in text and "2 of 3 recipients held" in text, text
    [queued] = w.queue()
    assert queued["id"] in text
    assert [r["state"] for r in queued["recipients"]] == ["held", "held"]
    assert sink.recipients() == ["b@known.test"]
    w.ctl("release", queued["id"])
    assert sorted(sink.wait_for(3)) == sorted(
        ["b@known.test", "new@example.com", "other@example.com"])
    w.wait_empty()


def test_mixed_message_refused_by_the_next_hop_is_not_held(weir, sink):
    sink.refuse_data = "554 5.7.1 spam"
    w = weir(policy=HOLD)
    code, text = w.hello().transact(
        "a@example.org", ["b@known.test", "new@example.com"], message())
    assert (code, text) == (554, "5.7.1 spam")
    w.wait_empty()
    assert w.sender("<a@example.org>") is None
    assert w.held() == []


def test_a_recipient_named_twice(weir, fast_sink):
    w = weir(next_hop=fast_sink.address,
             policy=KEY + 'interval = "1h"  burst = 1  initial = 1')
    peer = w.hello()
    code, _ = peer.transact(
        "a@example.org", ["b@example.com", "B@Example.com",
                          "new@example.com", "NEW@example.com"], message())
    assert code == 250
    # It takes one place of the allowance, and all that were answered 250
    # get the mail.
    assert {r.lower() for r in fast_sink.recipients()} == {"b@example.com"}
    assert {r.lower() for r in w.held()} == {"new@example.com"}
    w.ctl("release", "--all")
    w.wait_empty()
    assert {r.lower() for r in fast_sink.recipients()} == {
        "b@example.com", "new@example.com"}


@pytest.mark.parametrize("how", ["RSET", "EHLO again", "close", "QUIT"])
def test_a_transaction_given_up_leaves_nothing(weir, sink, how):
    w = weir(policy=KEY + 'interval = "1h"  burst = 1  initial = 1')
    peer = w.hello()
    peer.ask("MAIL FROM:<a@example.org>")
    assert peer.ask("RCPT TO:<first@example.com>")[0] == 250
    assert peer.ask("RCPT TO:<second@example.com>")[0] == 250
    if how == "close":
        peer.close()
    else:
        peer.ask({"EHLO again": "EHLO x"}.get(how, how))
    until(lambda: (w.sender("<a@example.org>") or
                   {"queue_length": 0})["queue_length"] == 0,
          "the reservation to be cancelled")
    # The allowance is there again.
    code, text = w.hello().transact("a@example.org", ["third@example.com"],
                                    message())
    assert code == 250 and "held" not in text
    assert sink.recipients() == ["third@example.com"]
    assert w.status()["held_messages"] == 0


def test_helo_client(weir, fast_sink):
    w = weir(next_hop=fast_sink.address, policy=KEY)
    peer = Peer.connect(w.port)
    peer.reply()
    code, lines = peer.ask("HELO old.client.test")
    assert code == 250 and len(lines) == 1
    assert peer.transact("a@example.org", ["b@example.com"],
                         message())[0] == 250
    text = fast_sink.messages[0][2]
    assert text.startswith(
        b"Received: from old.client.test ([127.0.0.1])\r\n"
        b"\tby relay.weir.test (weir) with SMTP id ")


def test_other_commands(weir):
    w = weir(policy=KEY)
    peer = w.hello()
    for command, want in [
            ("NOOP", 250), ("VRFY root", 252), ("HELP", 214), ("FOO", 500),
            ("MAIL", 501), ("MAIL FROM:a@example.org", 501), ("DATA", 503),
            ("RCPT TO:<a@example.org>", 503), ("EXPN list", 502),
            ("STARTTLS", 502), ("AUTH PLAIN xx", 502), ("BDAT 0 LAST", 502),
            ("XCLIENT ADDR=192.0.2.1", 550)]:
        code, lines = peer.ask(command)
        assert code == want, (command, code, lines)


# ---- addresses ----

def test_ipv6_listener_and_next_hop(weir, scripted):
    hop = scripted(serve_smtp, address="[::1]:0")
    port = free_port()
    w = weir(next_hop=hop.address, policy="", listen=f"[::1]:{port}")
    peer = Peer.connect(port, host="::1")
    peer.reply()
    peer.ask("EHLO six.test")
    assert peer.transact("a@example.org", ["b@example.com"],
                         message())[0] == 250
    assert b"from six.test ([::1])" in hop.peers[0].data or \
        b"from six.test ([IPv6:::1])" in hop.peers[0].data
    # The source is the client's /64.
    assert [s["sender"] for s in w.ctl("senders")] == ["[::/64]"]


def test_unix_listener_and_next_hop(weir, scripted, tmp_path):
    import socket
    hop = scripted(serve_smtp, address=f"unix:{tmp_path}/hop.sock")
    w = weir(next_hop=hop.address, policy="",
             listen=f"unix:{tmp_path}/in.sock")
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{tmp_path}/in.sock")
    peer = Peer(sock)
    peer.reply()
    peer.ask("EHLO local.test")
    assert peer.transact("a@example.org", ["b@example.com"],
                         message())[0] == 250
    # The envelope sender is all that is known of it.
    [sender] = w.ctl("senders")
    assert sender["sender"] == "<a@example.org>"


def test_next_hop_by_name(weir, fast_sink):
    port = fast_sink.port
    w = weir(next_hop=f"localhost:{port}", policy=KEY)
    assert w.hello().transact("a@example.org", ["b@example.com"],
                              message())[0] == 250


# ---- the log ----

def test_one_line_per_message_with_its_fate(weir, sink):
    sink.refuse_rcpt["bad@known.test"] = "550 5.1.1 no"
    w = weir(policy=HOLD)
    peer = w.hello()
    peer.transact("a@example.org", ["b@known.test"], message())
    peer.transact("a@example.org", ["new@example.com"], message())
    peer.transact("a@example.org", ["b@known.test", "newer@example.com"],
                  message())
    sink.refuse_data = "554 5.7.1 spam \x01"
    peer.transact("a@example.org", ["b@known.test"], message())
    sink.refuse_data = None
    peer.transact("a@example.org", ["b@known.test"], b"a\nb\r\n")
    peer.ask("QUIT")
    lines = w.log_lines(r" smtp message ")
    outcomes = [line.split(" result=")[1].split()[0] for line in lines]
    assert outcomes == ["passed", "held", "split", "refused", "faulty"]
    for line in lines:
        for key in ("id=", "sender=", "from=", "client=", "size_bytes=",
                    "recipients=", "passed=", "held=", "code=", "reply="):
            assert key in line, line
    assert "\x01" not in w.log()
