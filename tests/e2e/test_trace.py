# SPDX-License-Identifier: BSD-3-Clause
"""Why does one message wait? The dialogue on both sides, states and verdicts of
one client, sender or next hop; and no password in it."""
import base64
import signal
import subprocess

from harness import BUILD, DEADLINE_S, message, until
from milter import MilterWeir
from test_auth import HOLD, PLAIN, SECRET, Hop, b64, no_secret_in, passing
from test_policy_service import answers, request

class Follow:
    """weirctl trace, from the moment when it follows."""

    def __init__(self, w, *words):
        self.w = w
        self.process = subprocess.Popen(
            [BUILD / "weirctl", "-s", w.control, "trace", *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until(lambda: w.log_lines(" control trace "), "the trace to begin")

    def end(self):
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        return out


ALL = '{"127.0.0.0/8"}'


def traced(w, part=r"\w+"):
    return "\n".join(w.log_lines(rf" trace {part} "))


def test_a_dialogue_in_the_log(weir, sink):
    w = weir(policy=HOLD + "key = envelope", trace_clients=ALL)
    c = w.hello()
    code, text = c.transact("alice@example.org", ["new@example.com"],
                            message(body="words of the message"))
    assert code == 250 and "held" in text
    c.close()
    assert 'text="MAIL FROM:<alice@example.org>"' in traced(w, "client")
    assert "text=DATA" in traced(w, "client")
    assert "text=250-relay.weir.test" in traced(w, "reply")
    # The next hop was asked about the held recipient.
    assert 'text="RCPT TO:<new@example.com>' in traced(w, "command")
    assert f"next_hop={sink.address}" in traced(w, "hop")
    assert "recipient new@example.com: hold (" in traced(w, "verdict")
    assert "transaction: text to end" in traced(w, "state")
    [line] = w.log_lines(" trace verdict .*recipient ")
    assert "client=127.0.0.1 sender=<alice@example.org>" in line
    assert "words of the message" not in w.log()

    # Delivery of what was held is of that client as well.
    before = len(w.log_lines(" trace command "))
    w.ctl("release", "--all")
    w.wait_empty()
    released = w.log_lines(" trace command ")[before:]
    assert any('text="MAIL FROM:<alice@example.org>' in line
               for line in released)

    # A reload ends it.
    w.options["trace_clients"] = '{"192.0.2.1"}'
    w.write_config()
    w.ctl("reload")
    before = len(w.log_lines(" trace "))
    w.hello().close()
    assert len(w.log_lines(" trace ")) == before


def test_passwords_are_left_out(weir, scripted, tmp_path):
    """Of the client, of weir itself, and where either is repeated."""
    hop = Hop(scripted, challenges={"LOGIN": [b64("Username:"),
                                              b64("Password:")]})
    credentials = tmp_path / "hop.auth"
    credentials.write_text("weir:own-word\n")
    credentials.chmod(0o600)
    w = passing(weir, hop, policy=HOLD, next_hop_auth=f'"{credentials}"',
                trace_clients=ALL)
    c = w.hello()
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    assert c.transact("alice@example.org", ["new@example.com"],
                      message())[0] == 250
    c.close()
    c = w.hello()
    assert c.ask("AUTH LOGIN")[0] == 334
    assert c.ask(b64("alice@example.org"))[0] == 334
    assert c.ask(b64(SECRET))[0] == 235
    c.close()
    c = w.hello()
    # It goes on as if it had been asked.
    assert c.ask("AUTH NONSENSE")[0] == 504
    assert c.ask(b64(SECRET))[0] == 500
    assert c.ask(f"auth plain  {PLAIN}")[0] in (235, 501)
    c.close()
    w.ctl("release", "--all")
    w.wait_empty()
    no_secret_in(w.log())
    assert "own-word" not in w.log()
    assert b64("\0weir\0own-word") not in w.log()
    assert 'text="AUTH PLAIN ***"' in traced(w, "client")
    assert 'text="AUTH PLAIN ***"' in traced(w, "command")
    assert "text=***" in traced(w, "client")
    assert 'text="334 ***"' in traced(w, "reply")
    assert base64.b64encode(b"Password:").decode() not in traced(w)


def test_a_hop_that_repeats_the_password(weir, scripted):
    hop = Hop(scripted, accept=lambda lines: False,
              refusal=f"535 5.7.8 no such thing: AUTH PLAIN {PLAIN}")
    w = passing(weir, hop, trace_clients=ALL)
    c = w.hello()
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 535
    c.close()
    no_secret_in(traced(w, "hop"))
    assert "535 5.7.8 ***" in traced(w, "hop")


def test_the_policy_service(tmp_path):
    w = MilterWeir(tmp_path / "w", "127.0.0.1:1", protocol="policy",
                   unix=False, policy=HOLD,
                   trace_clients='{"192.0.2.0/24"}').start()
    try:
        answers(w.mta_port, request("new@example.com"), 1)
        assert "state=RCPT sender=alice@example.org " \
            "recipient=new@example.com" in traced(w, "client")
        assert "policy: DEFER_IF_PERMIT" in traced(w, "reply")
        assert "recipient new@example.com: hold" in traced(w, "verdict")
    finally:
        assert w.stop() == 0


def test_weirctl_follows_one_sender(weir, sink):
    w = weir(policy=HOLD + "key = envelope")
    follow = Follow(w, "alice@example.org", "--for", "20s")
    for who in ("bob", "alice"):
        c = w.hello()
        assert c.transact(f"{who}@example.org", [f"for-{who}@example.com"],
                          message())[0] == 250
        c.close()
    until(lambda: len(w.queue()) == 2, "both to be held")
    follow.process.send_signal(signal.SIGINT)
    out = follow.end()
    assert "client > weir   RCPT TO:<for-alice@example.com>" in out
    assert "weir > next hop RCPT TO:<for-alice@example.com>" in out
    assert "verdict         recipient for-alice@example.com: hold (" in out
    assert "client < weir   250 2.0.0 Ok: held as " in out
    assert "bob" not in out


def test_weirctl_ends_by_itself(weir):
    w = weir()
    follow = Follow(w, "127.0.0.1", "--for", "1s")
    w.hello().close()
    out = follow.end()
    assert follow.process.returncode == 0
    assert "client > weir   EHLO client.test" in out


def pour(w):
    """A session of many lines; whether the follower is gone."""
    c = w.hello()
    for _ in range(90):
        c.ask("NOOP " + 400 * "x")
    c.close()
    return w.log_lines("follower_dropped")


def test_one_who_does_not_read_is_dropped(weir, sink):
    w = weir(policy="exempt = true")
    follow = Follow(w, "127.0.0.0/8")
    follow.process.send_signal(signal.SIGSTOP)
    try:
        until(lambda: pour(w), "the follower to be dropped")
    finally:
        follow.process.send_signal(signal.SIGCONT)
    follow.end()
    assert w.status()["uptime_s"] >= 0
