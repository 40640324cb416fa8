# SPDX-License-Identifier: BSD-3-Clause
"""Alerts: a real web server with TLS, a real mail server and a program hear
of what happens, once, also across a crash; what does not answer, or answers
wrongly, is counted and logged and disturbs nobody."""
import base64
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import re
import ssl
import threading
import time

import pytest

from harness import CtlError, Sink, Weir, free_port, until
from pki import Pki

SECRET = "an example key of thirty-two bytes"
POLICY = """key = envelope  interval = "1h"  burst = 1  initial = 1
            freeze_at = 3  queue_max = 1000  when_frozen = hold"""


class Hook:
    """A web server that keeps what is posted. answer(handler) may do
    otherwise than 204."""

    def __init__(self, pem=None):
        self.posts = []  # (headers, body)
        self.answer = None
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                hook.posts.append((dict(self.headers.items()), body))
                if hook.answer is not None:
                    hook.answer(self)
                    return
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # Some clients break off on purpose.
        self.server.handle_error = lambda *args: None
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True,
                do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def wait_for(self, count):
        until(lambda: len(self.posts) >= count, f"{count} posts")
        return self.posts

    def events(self, i=-1):
        return json.loads(self.posts[i][1])["events"]


@pytest.fixture
def hook():
    hook = Hook()
    yield hook
    hook.stop()


@pytest.fixture
def sink():
    sink = Sink().start()
    yield sink
    sink.stop()


@pytest.fixture
def make(tmp_path):
    made = []

    def make(sections, next_hop, **options):
        weir = Weir(tmp_path / f"weir{len(made)}", next_hop, policy=POLICY,
                    sections=sections, **options)
        made.append(weir)
        return weir.start()

    yield make
    for weir in made:
        assert weir.stop() == 0


def section(name="hook", **options):
    values = {"group_wait": '"0s"', **options}
    return f'alert "{name}" {{\n' + "\n".join(
        f"{k} = {v}" for k, v in values.items()) + "\n}\n"


def webhook(hook, name="hook", scheme="http", host="127.0.0.1", **options):
    return section(name, channel="webhook",
                   url=f'"{scheme}://{host}:{hook.port}/in"', **options)


def outbreak(weir, sender="alice@example.org", count=4, subject="Win \x07now"):
    """More mail to strangers than the policy has patience with."""
    peer = weir.hello()
    for i in range(count):
        code, text = peer.transact(
            sender, [f"r{i}@far.test"],
            f"Subject: {subject}\r\n\r\nx\r\n".encode())
        assert code == 250, text
    peer.close()
    until(lambda: weir.sender(f"<{sender}>")["frozen"], "the freeze")


def quiet(weir, seconds=0.3):
    """Nothing more is on its way: all sections are at rest."""
    until(lambda: all(a["waiting"] == 0 and not a["sending"]
                      for a in weir.ctl("alert")), "alerts at rest")


def test_signed_webhook_over_tls(make, sink, tmp_path):
    """Freeze and thaw, verified as a receiver would."""
    pki = Pki(tmp_path / "pki")
    hook = Hook(pki.cert("hook", ["hook.test", "127.0.0.1"]))
    (tmp_path / "key").write_text(SECRET + "\n")
    (tmp_path / "fields").write_text("Authorization: Bearer s3cr3t-token\n")
    for name in ("key", "fields"):
        (tmp_path / name).chmod(0o600)
    weir = make(webhook(
        hook, scheme="https", secret_file=f'"{tmp_path}/key"',
        header_file=f'"{tmp_path}/fields"', ca_file=f'"{pki.ca}"',
        link='"https://admin.test/#/senders/%s"'), sink.address)
    outbreak(weir)
    headers, body = hook.wait_for(1)[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
    mac = hmac.new(SECRET.encode(), signed + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(
        mac).decode()
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 120
    assert headers["Authorization"] == "Bearer s3cr3t-token"
    told = json.loads(body)
    assert told["id"] == headers["webhook-id"] and told["count"] == 1
    event = told["events"][0]
    assert event["event"] == "freeze" and event["state"] == "new"
    assert event["sender"] == "<alice@example.org>"
    assert event["limit"] == 3 and event["waiting"] >= 3
    assert event["clients"] == ["127.0.0.1"]
    assert event["subjects"] == ["Win \\x07now"]
    assert "weirctl thaw" in event["what_to_do"]
    assert event["link"].endswith("/senders/%3Calice%40example.org%3E")
    weir.run_ctl("thaw", "alice@example.org", "--discard")
    hook.wait_for(2)
    event = hook.events(1)[0]
    assert event["state"] == "resolved" and event["ended"]
    quiet(weir)
    weir.restart()
    quiet(weir)
    assert len(hook.posts) == 2
    everything = weir.log() + json.dumps(weir.status()) + weir.run_ctl(
        "config").stdout + json.dumps(weir.ctl("alert"))
    assert SECRET not in everything and "s3cr3t" not in everything
    assert weir.status()["alerts_sent_webhook"] == 0  # since the restart
    hook.stop()


def message_of(sink, i=-1):
    sender, rcpts, text, _ = sink.messages[i]
    return sender.strip("<>"), rcpts, email.message_from_bytes(
        text, policy=email.policy.default)


def test_mail(make, sink):
    """By weir's own delivery: null sender, and no bounce when it is refused."""
    weir = make(section(to='{"admin@example.org", "duty@example.org"}'),
                sink.address)
    outbreak(weir, subject="=?utf-8?q?gr=C3=BC=C3=9Fe?=")
    until(lambda: len(sink.messages) == 2, "the alert")  # one passed
    sender, rcpts, message = message_of(sink)
    assert sender == "" and rcpts == ["admin@example.org", "duty@example.org"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith(".alert@relay.weir.test>")
    assert message["Subject"] == (
        "weir on relay.weir.test: <alice@example.org> is frozen")
    text = message.get_content()
    for part in ("3 of 3 recipients", "grüße", "from: 127.0.0.1", "what to do: ", "since: "):
        assert part in text
    sink.refuse_rcpt["admin@example.org"] = "550 5.1.1 no such user"
    sink.refuse_rcpt["duty@example.org"] = "550 5.1.1 no such user"
    weir.run_ctl("alert", "test", "hook")
    until(lambda: weir.status()["dead_letters"] >= 1, "the refusal")
    assert weir.status()["bounces"] == 0
    quiet(weir)
    assert len(sink.messages) == 2


def test_killed_between_freeze_and_alert(make, sink, hook):
    """It is told after the restart, and once; and so is the crash."""
    weir = make(webhook(hook, group_wait='"1h"', events='{"freeze"}')
                + webhook(hook, "crash", events='{"restart"}'), sink.address)
    outbreak(weir)
    weir.kill()
    weir.sections = weir.sections.replace('"1h"', '"0s"')
    weir.start()
    hook.wait_for(2)
    quiet(weir)
    told = sorted(hook.events(i)[0]["event"] for i in (0, 1))
    assert told == ["freeze", "restart"] and len(hook.posts) == 2
    weir.restart()
    quiet(weir)
    assert len(hook.posts) == 2  # stopped, not killed: nothing new


def test_unclear_answer_is_repeated_with_its_id(make, sink, hook):
    """The receiver has it, and weir dies before it hears so."""
    gate = threading.Event()
    hook.answer = lambda handler: gate.wait(60)
    weir = make(webhook(hook, timeout='"60s"', events='{"freeze"}'),
                sink.address)
    outbreak(weir)
    hook.wait_for(1)
    weir.kill()
    hook.answer = None
    gate.set()
    weir.launch()
    hook.wait_for(2)
    first, second = (headers["webhook-id"] for headers, _ in hook.posts)
    assert first == second
    quiet(weir)
    assert len(hook.posts) == 2


def test_outbreak_of_100_accounts_is_one_digest(make, sink, hook):
    weir = make(webhook(hook, group_wait='"1h"')
                + section("mail", to='{"admin@example.org"}',
                          group_wait='"1h"'), sink.address)
    for i in range(100):
        weir.run_ctl("freeze", f"<user{i}@example.org>")
    until(lambda: all(a["waiting"] == 100 for a in weir.ctl("alert")),
          "all to be known")
    weir.sections = weir.sections.replace('"1h"', '"0s"')
    weir.write_config()
    weir.run_ctl("reload")
    hook.wait_for(1)
    sink.wait_for(1)
    told = json.loads(hook.posts[0][1])
    assert told["count"] == 100 and told["summary"] == "100 senders frozen"
    assert len({e["sender"] for e in told["events"]}) == 100
    quiet(weir)
    assert len(hook.posts) == 1 and len(sink.messages) == 1
    _, _, message = message_of(sink)
    assert message["Subject"].endswith("100 senders frozen")
    assert message.get_content().count("is frozen") == 100


def redirect(handler):
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:1/elsewhere")
    handler.end_headers()


def huge(handler):
    handler.send_response(500)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    while True:
        handler.wfile.write(b"x" * 65536)


def refusal(handler):
    handler.send_response(503)
    handler.end_headers()


@pytest.mark.parametrize("answer, words", [
    (redirect, "302, a redirect, which is not followed"),
    (refusal, "answered 503"),
    (huge, "(?i)failed|fail"),
    (lambda handler: time.sleep(5), "(?i)timed out|timeout"),
], ids=["redirect", "503", "huge", "slow"])
def test_wrong_answer(make, sink, hook, answer, words):
    """A failure in words, a metric, a line; mail goes on meanwhile."""
    hook.answer = answer
    weir = make(webhook(hook, timeout='"1s"', events='{"freeze"}'),
                sink.address)
    with pytest.raises(CtlError, match=words):
        weir.ctl("alert", "test", "hook")
    outbreak(weir)
    until(lambda: weir.status()["alerts_failed_webhook"] >= 1, "the failure")
    assert weir.log_lines("alert failed alert=hook channel=webhook")
    assert re.search(words, weir.ctl("alert")[0]["last_error"])
    started = time.monotonic()
    assert weir.hello().transact("bob@example.org", ["x@far.test"],
                                 b"x\r\n")[0] == 250
    assert time.monotonic() - started < 30


def test_huge_answer_of_success_counts(make, sink, hook):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)

    hook.answer = answer
    weir = make(webhook(hook), sink.address)
    assert weir.ctl("alert", "test", "hook") == {"taken": True}


def test_certificate_of_nobody(make, sink, tmp_path):
    """Not known, or of another name: not a byte of the alert is sent."""
    pki = Pki(tmp_path / "pki")
    hook = Hook(pki.cert("hook", ["other.test"]))
    weir = make(webhook(hook, "unknown", scheme="https")
                + webhook(hook, "name", scheme="https",
                          ca_file=f'"{pki.ca}"'), sink.address)
    for name in ("unknown", "name"):
        with pytest.raises(CtlError, match="(?i)certificate|name"):
            weir.ctl("alert", "test", name)
    assert not hook.posts
    hook.stop()


def test_own_route_and_template(make, hook, tmp_path):
    """Mail goes its own way while the next hop of all mail is dead, which is
    an alert, and one with an end."""
    (tmp_path / "t.json").write_text('{"text": "{{summary}}", "n": {{count}}}')
    dead, sink = free_port(), Sink().start()
    weir = make(section("mail", to='{"admin@example.org"}',
                        next_hop=f'"{sink.address}"', events='{"next_hop"}')
                + webhook(hook, template=f'"{tmp_path}/t.json"',
                          events='{"next_hop"}'), f"127.0.0.1:{dead}")
    assert weir.ctl("alert", "test", "mail") == {"taken": True}
    assert message_of(sink)[0] == "" and message_of(sink)[1] == [
        "admin@example.org"]
    def submit():
        peer = weir.hello()
        peer.ask("MAIL FROM:<alice@example.org>")
        code = peer.ask("RCPT TO:<r@far.test>")[0]
        peer.close()
        return code

    assert submit() == 451
    hook.wait_for(1)
    sink.wait_for(2)
    assert json.loads(hook.posts[0][1]) == {
        "text": f"127.0.0.1:{dead} cannot be reached", "n": 1}
    back = Sink(dead).start()
    until(lambda: submit() == 250, "the next hop", pause_s=0.3)
    hook.wait_for(2)
    assert "resolved: " in json.loads(hook.posts[1][1])["text"]
    back.stop()
    sink.stop()


def test_command_and_reload_failed(make, sink, tmp_path):
    """A program hears of an error in the configuration, and of its end."""
    page = tmp_path / "page"
    page.write_text(f"#!/bin/sh\ncat >>{tmp_path}/told\n"
                    f"echo >>{tmp_path}/told\n")
    page.chmod(0o755)
    weir = make(section("page", channel="command", command=f'"{page}"',
                        events='{"reload_failed"}'), sink.address)
    weir.options["sessions_max"] = '"many"'
    weir.write_config()
    weir.run_ctl("reload")
    del weir.options["sessions_max"]

    def states():
        if not (tmp_path / "told").exists():
            return []
        return re.findall(r'"state": "(\w+)"', (tmp_path / "told").read_text())

    until(lambda: states() == ["new"], "the error")
    assert "sessions_max" in (tmp_path / "told").read_text()
    weir.write_config()
    weir.run_ctl("reload")
    until(lambda: states() == ["new", "resolved"], "its end")


def test_sender_is_told(make, sink):
    """Once for each freeze, at its own address, without a number; whoever is
    not ours is not told."""
    weir = make("", sink.address, local_domains='"example.org"')
    weir.policy += "\nnotify_sender = freeze  warn_at = {}"
    weir.write_config()
    weir.run_ctl("reload")
    outbreak(weir, "alice@example.org")
    until(lambda: len(sink.messages) == 2, "the notice")
    sender, rcpts, message = message_of(sink)
    assert sender == "" and rcpts == ["alice@example.org"]
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content()
    assert "change your password" in text and "help@weir.test" in text
    assert "http" not in text
    outbreak(weir, "mallory@elsewhere.test")
    weir.kill()
    weir.launch()
    quiet(weir)
    weir.run_ctl("thaw", "alice@example.org", "--discard")
    weir.run_ctl("freeze", "alice@example.org")
    until(lambda: [m[1] for m in sink.messages].count(
        ["alice@example.org"]) == 2, "the second notice")
    assert not any("mallory" in r for m in sink.messages for r in m[1])


def notices(sink, address):
    """(subject, text) of what this sender was told."""
    found = []
    for sender, rcpts, text, _ in sink.messages:
        message = email.message_from_bytes(text, policy=email.policy.default)
        if rcpts == [address] and message["Auto-Submitted"]:
            assert sender.strip("<>") == ""
            found.append((message["Subject"], message.get_content()))
    return found


def test_sender_is_warned(make, sink):
    """Near a limit once a day, whatever happens in between; frozen once more;
    by "freeze" alone nobody is warned."""
    weir = make("", sink.address, local_domains='"example.org"')
    weir.policy = weir.policy.replace("freeze_at = 3", "freeze_at = 10")
    weir.policy += '\nnotify_sender = warning  warn_at = {"50%", "80%"}'
    weir.sections = ("policy \"quiet\" { match = {\"bob@example.org\"} key = "
                     "envelope interval = \"1h\" burst = 1 initial = 1 "
                     "freeze_at = 10 notify_sender = freeze "
                     "warn_at = {\"50%\"} }")
    weir.write_config()
    weir.run_ctl("reload")

    def send(sender, first, count):
        peer = weir.hello()
        for i in range(first, first + count):
            assert peer.transact(sender, [f"r{i}@far.test"],
                                 b"Subject: x\r\n\r\nx\r\n")[0] == 250
        peer.close()

    warning = "Your account is close to a sending limit"
    send("alice@example.org", 0, 6)  # one passed, five of ten wait
    until(lambda: notices(sink, "alice@example.org"), "the warning")
    (subject, text), = notices(sink, "alice@example.org")
    assert subject == warning and "help@weir.test" in text
    assert "change your" in text and not re.search(r"\d of \d|http", text)
    send("alice@example.org", 6, 3)  # 80 %
    weir.run_ctl("discard", "--sender", "alice@example.org")
    send("alice@example.org", 20, 6)
    until(lambda: len([e for e in weir.ctl("events")
                       if e["type"] == "warn"]) >= 3, "three warnings")
    weir.kill()
    weir.launch()
    send("alice@example.org", 40, 6)
    until(lambda: weir.sender("<alice@example.org>")["frozen"], "the freeze")
    until(lambda: len(notices(sink, "alice@example.org")) > 1, "the notice")
    send("bob@example.org", 0, 6)
    quiet(weir)
    assert [n[0] for n in notices(sink, "alice@example.org")] == [
        warning, "Mail from your account has been stopped"]
    assert notices(sink, "bob@example.org") == []


def test_login_is_told(make, sink):
    """A login without a domain at the first of ours; a client that is known
    by its address alone has none to be told at."""
    weir = make("", sink.address, local_domains='{"example.org", "b.test"}',
                xclient_from='{"127.0.0.1"}')
    weir.policy = POLICY.replace("key = envelope", "") + \
        "\nnotify_sender = freeze"
    weir.write_config()
    weir.run_ctl("reload")

    def outbreak_of(*xclient):
        peer = weir.hello()
        if xclient:
            assert peer.ask("XCLIENT " + " ".join(xclient))[0] == 220
            assert peer.ask("EHLO client.test")[0] == 250
        for i in range(4):
            assert peer.transact("news@elsewhere.test", [f"r{i}@far.test"],
                                 b"Subject: x\r\n\r\nx\r\n")[0] == 250
        peer.close()

    outbreak_of("LOGIN=carol")
    until(lambda: notices(sink, "carol@example.org"), "the notice")
    outbreak_of()
    until(lambda: sum(s["frozen"] for s in weir.ctl("senders")) == 2,
          "both frozen")
    quiet(weir)
    assert len([m for m in sink.messages if m[0].strip("<>") == ""]) == 1


@pytest.mark.parametrize("text, words", [
    ("channel = mail", "mail requires the option to"),
    ("channel = webhook", "requires url or url_file"),
    ('to = {"a b"}', "is not a mail address"),
    ('channel = webhook url = "ftp://x/"', "is not a web server address"),
    ('channel = webhook url = "https://x/" to = {"a@b"}', "remove it"),
    ('to = {"a@b.test"} events = {"frost"}', "is not an event"),
    ('channel = webhook url = "https://x/" secret_file = "/etc/hostname"',
     "secret_file: /etc/hostname"),
    ('channel = webhook url_file = "/nonexistent/x"', "/nonexistent/x"),
    ("channel = command", "command requires the option command"),
], ids=lambda value: None)
def test_wrong_section(tmp_path, text, words):
    """Named with file, line and section."""
    import subprocess
    weir = Weir(tmp_path, "127.0.0.1:1", sections=f'alert "x" {{ {text} }}')
    weir.write_config()
    done = subprocess.run([weir.command, "-t", "-c", weir.config],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert words in done.stderr and 'alert "x"' in done.stderr
    assert re.search(r"weir\.conf:\d+: ", done.stderr)
