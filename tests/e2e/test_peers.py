# SPDX-License-Identifier: BSD-3-Clause
"""Real mail software on both sides: Postfix as next hop and as a client that
relays through weir, smtp-source, smtp-sink, swaks."""
import os
import subprocess

import pytest

from harness import DEADLINE_S, Weir, free_port, hello, listens, message, until
from postfix import Postfix

KEY = "key = envelope\n"
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0\n'
              'exempt_recipients = {"known@example.com"}')


def need_root():
    if os.geteuid() != 0:
        pytest.fail("a private Postfix needs root; run the tests as root")


@pytest.fixture(scope="module")
def final():
    """Postfix that delivers."""
    need_root()
    p = Postfix("final.weir.test").start()
    yield p
    p.stop()


@pytest.fixture
def postfix(final):
    final.clear()
    return final


@pytest.fixture
def client():
    """Postfix that relays through a weir that does not run yet: made with
    its port."""
    need_root()
    made = []

    def make(port):
        p = Postfix("client.weir.test", f"[127.0.0.1]:{port}", local=False)
        made.append(p)
        return p.start()

    yield make
    for p in made:
        p.stop()


def swaks(port, *args):
    done = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(port), *args],
        capture_output=True, text=True, timeout=DEADLINE_S)
    return done.returncode, done.stdout


# ---- Postfix as the next hop ----

def test_swaks_to_postfix(weir, postfix):
    w = weir(next_hop=postfix.address, policy=KEY)
    status, out = swaks(w.port, "--from", "a@example.org", "--to",
                        "known@example.com", "--header", "Subject: häy",
                        "--body", "grüße\n.\n..\n")
    assert status == 0, out
    assert "250 2.0.0 Ok: queued as " in out  # Postfix's own words
    assert postfix.wait_for(1) == ["known@example.com"]
    [text] = postfix.raw()
    assert "grüße\n.\n..\n".encode() in text
    [mail] = postfix.mail()
    assert "(weir) with ESMTP" in mail.get_all("Received")[1]


def test_postfix_extensions_are_seen_through_weir(weir, postfix):
    w = weir(next_hop=postfix.address, policy=KEY)
    direct = hello(postfix.port).extensions
    ours = w.hello().extensions
    assert set(ours) == {"PIPELINING", "SIZE 49998846", "8BITMIME", "DSN",
                         "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING"}
    # But for SIZE, which leaves room for the trace header.
    assert set(ours) - {"SIZE 49998846"} <= set(direct)


def test_postfix_takes_chunks(weir, postfix):
    w = weir(next_hop=postfix.address, policy=HOLD)
    peer = w.hello()
    text = message(body=".\r\n..\r\nQUIT")
    peer.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<known@example.com>\r\n"
              b"BDAT 20\r\n" + text[:20] +
              b"BDAT %d LAST\r\n" % (len(text) - 20) + text[20:])
    assert [peer.reply()[0] for _ in range(4)] == [250] * 4
    postfix.wait_for(1)
    assert b"\n.\n..\nQUIT" in postfix.raw()[0]


def test_postfix_takes_few_at_a_time(weir):
    """Released mail to many comes as several messages, one behind the other,
    though Postfix does not say its limit before it is reached."""
    need_root()
    people = [f"p{i:02}@example.com" for i in range(25)]
    final = Postfix("few.weir.test",
                    extra="smtpd_recipient_limit = 10\n").start()
    try:
        w = weir(next_hop=final.address, policy=HOLD, verify_held="false")
        assert w.hello().transact("a@example.org", people,
                                  message())[0] == 250
        assert sorted(w.held()) == people
        w.ctl("release", "--all")
        assert sorted(final.wait_for(25)) == people
        w.wait_empty()
        assert final.log().count("message-id=") == 3
        assert not w.log_lines("delivery defer")
    finally:
        final.stop()


def test_postfix_refuses_a_recipient(weir, postfix):
    w = weir(next_hop=postfix.address, policy=HOLD)
    for policy_of in ("known", "held"):
        status, out = swaks(w.port, "--from", "a@example.org", "--to",
                            "unknown@example.com")
        assert status != 0
        assert "550 5.1.1" in out and "No such person" in out, policy_of
        w.policy = KEY  # now it passes the throttle, and is refused there
        w.write_config()
        w.run_ctl("reload")
    assert w.status()["held_messages"] == 0


def test_held_mail_to_postfix(weir, postfix):
    """Held with all of its parameters, released later: 8-bit, long lines,
    many recipients, a large one."""
    w = weir(next_hop=postfix.address, policy=HOLD, verify_held="true")
    peer = w.hello()
    eight = message(subject="acht", body="äöü €\r\n" * 50)
    assert peer.transact("a@example.org", ["known@example.com",
                                           "new@example.com"], eight,
                         mail=" BODY=8BITMIME SIZE=1000 RET=HDRS ENVID=x1",
                         rcpt=" NOTIFY=FAILURE")[0] == 250
    many = [f"r{i}@example.com" for i in range(90)]
    assert peer.transact("b@example.org", many, message())[0] == 250
    large = message(subject="large", body=("z" * 76 + "\r\n") * 60000)
    assert peer.transact("c@example.org", ["big@example.com"],
                         large)[0] == 250
    assert postfix.wait_for(1) == ["known@example.com"]
    w.ctl("release", "--all")
    got = postfix.wait_for(93)
    assert sorted(got) == sorted(["known@example.com", "new@example.com",
                                  "big@example.com", *many])
    w.wait_empty()
    texts = postfix.raw()
    assert sum(("äöü €\n" * 50).encode() in t for t in texts) == 2
    assert sum(len(t) > 4_500_000 for t in texts) == 1


def test_postfix_restarts(weir, postfix):
    """Its downtime is the client's 451 for known recipients; held mail goes
    when it is back."""
    w = weir(next_hop=postfix.address, policy=HOLD, next_hop_rest='"0"')
    peer = w.hello()
    assert peer.transact("a@example.org", ["known@example.com"],
                         message())[0] == 250
    postfix.run("postfix", "stop")
    until(lambda: not listens(postfix.port), "Postfix to be down")
    peer.ask("MAIL FROM:<a@example.org>")
    assert peer.ask("RCPT TO:<known@example.com>")[0] == 451
    peer.ask("RSET")
    assert peer.transact("a@example.org", ["new@example.com"],
                         message())[0] == 250
    w.ctl("release", "--all")
    until(lambda: w.log_lines(" delivery (rest|defer) "), "an attempt")
    assert [r["state"] for m in w.queue() for r in m["recipients"]] == [
        "released"]
    postfix.start()
    postfix.wait_for(2)
    w.wait_empty()


# ---- Postfix as the client ----

def test_postfix_relays_through_weir(weir, postfix, client):
    """relayhost = weir: what passes passes, what is held is taken, and of a
    frozen sender Postfix keeps the mail and tries again."""
    w = weir(next_hop=postfix.address, policy=KEY +
             'interval = "1h"  burst = 2  initial = 2  freeze_at = 3',
             start=False)
    c = client(w.port)
    w.start()
    for i in range(8):
        status, out = swaks(c.port, "--from", "mallory@example.org", "--to",
                            f"r{i}@example.com", "--body", f"number {i}")
        assert status == 0, out
    # Two passed, three wait in weir, three in the client's queue.
    postfix.wait_for(2)
    until(lambda: len(w.held()) == 3, "three to be held")
    until(lambda: len(c.queue()) == 3 and
          all("frozen" in line for line in c.queue()),
          "Postfix to keep the rest and know why")
    assert "451 4.7.1" in c.log() and "help@weir.test" in c.log()
    # Other senders are served meanwhile.
    assert swaks(c.port, "--from", "alice@example.org", "--to",
                 "friend@example.com")[0] == 0
    postfix.wait_for(3)
    # Released: everything arrives once.
    w.policy = KEY + "exempt = true"
    w.write_config()
    w.run_ctl("reload")
    w.ctl("thaw", "mallory@example.org", "--release")
    c.run("postqueue", "-f")
    got = postfix.wait_for(9)
    assert sorted(got) == sorted([f"r{i}@example.com" for i in range(8)] +
                                 ["friend@example.com"])
    w.wait_empty()
    until(lambda: c.queue() == [], "the client's queue to be empty")


def test_postfix_sends_one_mail_to_many(weir, postfix, client):
    """Postfix pipelines its recipients; some pass, some wait, one reply."""
    w = weir(next_hop=postfix.address, policy=KEY +
             'interval = "1h"  burst = 5  initial = 5', start=False)
    c = client(w.port)
    w.start()
    rcpts = [f"many{i}@example.com" for i in range(40)]
    assert swaks(c.port, "--from", "b@example.org", "--to",
                 ",".join(rcpts))[0] == 0
    passed = postfix.wait_for(5)  # Postfix chooses the order
    until(lambda: c.queue() == [], "the client to be rid of it")
    assert len(passed) == 5
    assert sorted([*w.held(), *passed]) == sorted(rcpts)
    w.ctl("release", "--all")
    assert sorted(postfix.wait_for(40)) == sorted(rcpts)


def test_postfix_sends_smtputf8(weir, postfix, client):
    w = weir(next_hop=postfix.address, policy=HOLD, start=False)
    c = client(w.port)
    w.start()
    peer = hello(c.port)
    code, text = peer.transact(
        "jürgen@example.org", ["known@example.com", "müller@example.com"],
        "Subject: grüße\r\nFrom: jürgen@example.org\r\n\r\nx\r\n".encode(),
        mail=" SMTPUTF8 BODY=8BITMIME")
    assert code == 250, text
    postfix.wait_for(1)
    until(lambda: w.held() == ["müller@example.com"], "it to be held")
    assert w.queue()[0]["from"] == "jürgen@example.org"
    w.ctl("release", "--all")
    postfix.wait_for(2)
    assert any("müller@example.com".encode() in t for t in postfix.raw())


# ---- smtp-source and smtp-sink ----

class SmtpSink:
    def __init__(self):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            ["smtp-sink", *user, "-c", self.address, "200"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        until(lambda: listens(self.port), "smtp-sink")

    def stop(self):
        """How many messages it counted."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        counts = [part for part in out.decode().replace("\r", "\n").split()
                  if part.isdigit()]
        return int(counts[-1]) if counts else 0


@pytest.mark.parametrize("reuse", [[], ["-d"]], ids=["one", "many"])
def test_smtp_source_through_weir_to_smtp_sink(tmp_path, reuse):
    sink = SmtpSink()
    w = Weir(tmp_path / "weir", sink.address, policy=KEY,
             delivery_concurrency="10").start()
    try:
        done = subprocess.run(
            ["smtp-source", *reuse, "-s", "10", "-m", "500", "-l", "4096",
             "-f", "a@example.org", "-t", "b@example.com",
             f"127.0.0.1:{w.port}"], capture_output=True, text=True,
            timeout=DEADLINE_S)
        assert done.returncode == 0, done.stderr
        status = w.status()
        assert status["messages"] == 500
        assert status["held_recipients"] == 0
        assert len(w.log_lines(" smtp message .*result=passed")) == 500
    finally:
        assert w.stop() == 0
        sink.stop()


def test_smtp_source_all_held_then_released(tmp_path):
    sink = SmtpSink()
    w = Weir(tmp_path / "weir", sink.address, policy=KEY +
             'interval = "1h"  burst = 1  initial = 0  freeze_at = 0').start()
    try:
        done = subprocess.run(
            ["smtp-source", "-d", "-N", "-s", "10", "-m", "500", "-l", "2000",
             "-f", "a@example.org", "-t", "@example.com",
             f"127.0.0.1:{w.port}"], capture_output=True, text=True,
            timeout=DEADLINE_S)
        assert done.returncode == 0, done.stderr
        assert w.status()["held_recipients"] == 500
        w.ctl("release", "--all")
        w.wait_empty()
        status = w.status()
        assert status["delivered_recipients"] == 500
    finally:
        assert w.stop() == 0
        sink.stop()
