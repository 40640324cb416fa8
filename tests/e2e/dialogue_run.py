# SPDX-License-Identifier: BSD-3-Clause
"""Plays dialogues against a daemon. One daemon is the stage of all of them: a
dialogue has a next hop of its own and its own configuration, which are set by
a reload. At its end nothing may be left that was not written down."""
import json
import re
import socket
import time

from dialogue import PATH, expand, plain
from dialogue_peers import (TLS_ERRORS, TRICKLE_S, Client, Failed, Hop,
                            Transcript, controls_in)
from harness import DEADLINE_S, Weir, free_port, until
from pki import Pki

POLICY = ('key = envelope  interval = "1h"  burst = 1  initial = 0\n'
          'exempt_recipients = {"@known.test"}')
LISTENERS = {"tls": "tls = may", "required": "tls = require",
             "implicit": "tls = implicit", "proxy": "proxy = true",
             "login": "tls = may  auth = pass"}
MAIL_S = 8
RSS_MAX_KB = 60_000  # of the daemon, after all that was done to it


def soon(condition, what, deadline_s=DEADLINE_S):
    """until, for what takes a millisecond or two."""
    return until(condition, what, deadline_s, 0.001)


class Stage:
    """The daemon, and what it takes to let it appear in other clothes."""

    def __init__(self, directory):
        self.pki = Pki(directory / "pki")
        self.cert = self.pki.cert("relay", ["relay.weir.test", "127.0.0.1"])
        self.ports = {name: free_port() for name in LISTENERS}
        sections = "\n".join(
            f'listen "{name}" {{ address = "127.0.0.1:{self.ports[name]}" '
            f"{options} }}" for name, options in LISTENERS.items())
        self.weir = Weir(directory / "weir", "127.0.0.1:9", policy=POLICY,
                         sections=sections)
        self.defaults = {**self.weir.options, "log_level": "debug",
                         "proxy_from": '{"127.0.0.1"}',
                         "tls_cert": f'{{"{self.cert}"}}'}
        self.ports["smtp"] = self.weir.port
        self.weir.options = dict(self.defaults)
        self.weir.start()
        self.count = 0
        self.server_context = self.pki.server(self.cert)

    def ask(self, command, **arguments):
        """What weirctl asks, without a process for it: [(kind, value)]."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(self.weir.control))
            s.sendall(json.dumps({"command": command, **arguments}).encode() +
                      b"\n")
            rows = []
            for line in s.makefile("rb"):
                rows.append(json.loads(line))
                if "done" in rows[-1] or "error" in rows[-1]:
                    break
        return rows

    def rows(self, command):
        return [a["row"] for a in self.ask(command) if "row" in a]

    def prepare(self, scenario, hop):
        w = self.weir
        w.options = {**self.defaults, **scenario.config}
        w.policy = POLICY if scenario.policy is None else scenario.policy
        w.next_hop = hop.address
        w.write_config()
        answer = self.ask("reload")
        if "error" in answer[-1]:
            raise Failed(f"the configuration is refused: {answer[-1]}")
        self.count += 1
        return f"u{self.count}"

    def play(self, scenario):
        transcript = Transcript()
        hop = Hop(self.server_context, transcript)
        log_at = self.weir.log_path.stat().st_size
        play = Play(self, scenario, hop, transcript, log_at)
        try:
            play.names["u"] = self.prepare(scenario, hop).encode()
            play.run()
        except (Failed, AssertionError, OSError) as e:
            where = play.step.line if play.step else scenario.line
            raise Failed(
                f"{scenario.path}:{where}: {e}{self.clear()}\n"
                f"--- what was said\n{transcript.text()}\n"
                f"--- log\n{play.log()[-3000:]}") from None
        finally:
            play.close()
            hop.stop()

    def clear(self):
        """After a failure: the next dialogue finds the stage as it should
        be. Returns what the report must say."""
        status = self.weir.process.poll()
        if status is None:
            self.ask("discard", all=True)
            return ""
        self.weir.launch()
        return f"; weir-maild has ended with {status}"

    def stop(self):
        status = self.weir.stop()
        assert status == 0, self.weir.log()[-3000:]


class Play:
    """One dialogue on its way."""

    def __init__(self, stage, scenario, hop, transcript, log_at):
        self.stage, self.scenario, self.hop = stage, scenario, hop
        self.transcript = transcript
        self.log_at = log_at
        self.names = dict(scenario.cells)
        self.client = None
        self.clients = []
        self.gathered = []   # parts that go out with the next pause
        self.step = None
        self.held = []       # recipients that must wait at the end
        self.answer_key = None

    # -- helpers --

    def log(self):
        with open(self.stage.weir.log_path, "rb") as f:
            f.seek(self.log_at)
            return f.read().decode("utf-8", "replace")

    def bytes_of(self, text):
        return plain(text, self.names)

    def text_of(self, text):
        return self.bytes_of(text).decode("utf-8", "surrogateescape")

    def paths(self, text):
        return [path[1:-1] for path in re.findall(PATH, self.text_of(text))]

    def the_client(self):
        if self.client is None:
            self.do_hello(None)
        return self.client

    def flush(self):
        """Sends what was gathered, in packets."""
        parts, self.gathered = self.gathered, []
        if not parts:
            return
        client = self.the_client()
        packets = [b""]
        for part in parts:
            if isinstance(part, bytes):
                packets[-1] += part
            else:
                packets.append(b"")
        if size := self.scenario.packets:
            packets = [p[i:i + size] for p in packets
                       for i in range(0, len(p), size)]
        client.send([p for p in packets if p])

    # -- the play --

    def run(self):
        for step in self.scenario.steps:
            self.step = step
            if step.kind not in ("send line", "send bytes", "chunk"):
                self.flush()
            if step.kind != "hop":
                self.answer_key = None
            getattr(self, "do_" + step.kind.replace(" ", "_").replace(
                "-", "_"))(step)
        self.flush()
        self.step = None
        self.finish()

    def close(self):
        for client in self.clients:
            client.close()

    def connect(self, listener, source):
        port = self.stage.ports.get(listener or "smtp")
        if port is None:
            raise Failed(f"no listener {listener}")
        self.client = Client(port, source, self.transcript)
        self.clients.append(self.client)

    def gather(self, step, end):
        for i in range(step.times):
            self.names["n"] = str(i + 1).encode()
            self.gathered += expand(step.text, self.names)
            self.gathered.append(end)

    def do_send_line(self, step):
        self.gather(step, b"\r\n")

    def do_send_bytes(self, step):
        self.gather(step, b"")

    def do_chunk(self, step):
        text = self.bytes_of(step.text) + b"".join(
            map(self.bytes_of, step.lines))
        last = " LAST" if step.arg else ""
        self.gathered += [f"BDAT {len(text)}{last}\r\n".encode(), text]

    def send_for(self, step):
        """A piece every now and then, for so many seconds; whether weir had
        something to say meanwhile."""
        end = time.monotonic() + step.times
        while time.monotonic() < end:
            if self.the_client().has_input():
                return True
            self.client.send([self.bytes_of(step.text)])
            time.sleep(TRICKLE_S)
        return False

    def do_trickle(self, step):
        if not self.send_for(step):
            raise Failed(f"weir let it go on for {step.times} s")

    def do_keep_sending(self, step):
        if self.send_for(step):
            raise Failed(f"weir said {self.client.line()!r}")

    def do_close(self, step):
        self.the_client().close()

    def do_half_close(self, step):
        self.the_client().half_close()

    def do_reset(self, step):
        self.the_client().reset()

    def do_start_TLS(self, step):
        try:
            self.the_client().start_tls(self.stage.pki.client())
        except TLS_ERRORS as e:
            raise Failed(f"the handshake fails: {e}") from None

    def do_fail_TLS(self, step):
        try:
            self.the_client().start_tls(self.stage.pki.client())
        except TLS_ERRORS:
            return
        raise Failed("the handshake succeeds")

    def do_connect(self, step):
        self.connect(step.arg, step.text)

    def do_hello(self, step):
        self.connect(step.arg if step else "", step.text if step else "")
        self.expect("220")
        self.client.send([b"EHLO client.test\r\n"])
        self.expect("250")

    def expect(self, pattern):
        """The next reply begins like this; x stands for any digit of the
        code."""
        lines = self.the_client().reply()
        code, _, words = pattern.partition(" ")
        fits = re.fullmatch(code.replace("x", "[0-9]"), lines[0][:3])
        if not fits or not lines[0][4:].startswith(words):
            raise Failed(f"expected {pattern!r}, but weir said {lines}")

    def do_reply(self, step):
        for i in range(step.times):
            self.names["n"] = str(i + 1).encode()
            self.expect(self.text_of(step.text))

    def do_bytes(self, step):
        want = self.bytes_of(step.text)
        got = self.the_client().exactly(len(want))
        if got != want:
            raise Failed(f"expected {want!r}, but weir said {got!r}")

    def do_has(self, step):
        want = self.text_of(step.text)
        if not any(line[4:].startswith(want)
                   for line in self.the_client().last_reply):
            raise Failed(f"no line {want!r} in {self.client.last_reply}")

    def do_lacks(self, step):
        word = self.text_of(step.text)
        if any(line[4:].startswith(word)
               for line in self.the_client().last_reply):
            raise Failed(f"a line {word!r} in {self.client.last_reply}")

    def do_closes(self, step):
        self.the_client().expect_end()

    def do_envelope(self, step):
        sender, *rcpts = self.paths(step.text)
        lines = [f"MAIL FROM:<{sender}>\r\n",
                 *[f"RCPT TO:<{r}>\r\n" for r in rcpts]]
        for line in lines:
            self.the_client().send([line.encode()])
            self.expect("250")

    def do_in_step(self, step):
        self.the_client().send([b"NOOP\r\n"])
        lines = self.client.reply()
        if lines not in (["250 2.0.0 OK"], ["250 OK"]):
            raise Failed(f"out of step: to NOOP weir said {lines}")

    def do_log(self, step):
        pattern = self.text_of(step.text)
        soon(lambda: re.search(pattern, self.log()),
              f"a log line with {pattern!r}", MAIL_S)

    def do_no_log(self, step):
        found = re.search(self.text_of(step.text), self.log())
        if found:
            raise Failed(f"the log has {found[0]!r}")

    # -- the next hop --

    def do_extensions(self, step):
        words = [w.strip() for w in self.text_of(step.text).split(",")]
        for tls in {True, bool(step.arg)}:
            self.hop.extensions[tls] = [w for w in words if w]

    def do_hop(self, step):
        key, again = re.fullmatch(r"(.*?)( again)?", step.arg).groups()
        if step.text == " as usual":
            self.hop.set_answer(key, again, None)
            self.answer_key = None
            return
        parts = expand(step.text[1:].removeprefix(" "), self.names)
        if step.text.startswith(":"):
            # Actions at the end come behind the line.
            at = len(parts)
            while at > 0 and not isinstance(parts[at - 1], bytes):
                at -= 1
            parts.insert(at, b"\r\n") if at > 0 else None
        if self.answer_key == step.arg:
            self.hop.answers[key][-1].extend(parts)
        else:
            self.hop.set_answer(key, again, parts)
        self.answer_key = step.arg

    def heard(self, step):
        with self.hop.lock:
            return [line for tls, line in self.hop.heard
                    if re.search(self.text_of(step.text), line) and
                    (not step.arg or tls == (step.arg == "in TLS"))]

    def do_heard(self, step):
        soon(lambda: self.heard(step), f"the next hop to hear {step.text}")

    def do_not_heard(self, step):
        if heard := self.heard(step):
            raise Failed(f"the next hop heard {heard}")

    def unexpected(self):
        with self.hop.lock:
            return [m for m in self.hop.mails if not m.is_expected]

    def take_mail(self, step):
        sender, *rcpts = self.paths(step.text)
        want = [sender, *sorted(rcpts)]

        def arrived():
            return [m for m in self.unexpected() if m.envelope == want]

        try:
            soon(arrived, "mail", MAIL_S)
        except AssertionError:
            others = "; ".join(map(str, self.unexpected())) or "nothing"
            raise Failed(f"no such mail came, but {others}") from None
        mail = arrived()[0]
        mail.is_expected = True
        if step.arg and mail.how != step.arg:
            raise Failed(f"it came by {mail.how}")
        return mail

    def compare(self, step, got):
        want = b"".join(map(self.bytes_of, step.lines))
        if got != want:
            raise Failed(f"the text is not as expected\nwant {want!r}\n"
                         f"got  {got!r}")

    def do_mail(self, step):
        self.compare(step, self.take_mail(step).text)

    def do_wire(self, step):
        self.compare(step, self.take_mail(step).wire)

    # -- what waits --

    def waiting(self):
        return sorted(r["address"] for message in self.stage.rows("queue")
                      for r in message["recipients"])

    def await_held(self, want):
        want = sorted(want)
        try:
            soon(lambda: self.waiting() == want, "held mail", MAIL_S)
        except AssertionError:
            raise Failed(f"expected to wait: {want}, but there wait "
                         f"{self.waiting()}") from None

    def do_held(self, step):
        text = self.text_of(step.text)
        self.held = [] if text == "nothing" else text.split()
        self.await_held(self.held)

    def do_waiting(self, step):
        """So many recipients, whoever they are."""
        soon(lambda: len(self.waiting()) == int(step.text),
             f"{step.text} held recipients")
        self.held = self.waiting()

    def do_ignore_mail(self, step):
        self.hop.keeps = True

    def do_release(self, step):
        self.stage.ask("release", all=True)
        self.held = []

    def do_discard(self, step):
        self.stage.ask("discard", all=True)
        self.held = []

    # -- the end --

    def status(self):
        return self.stage.rows("status")[0]

    def finish(self):
        """What holds after every dialogue."""
        self.close()
        soon(lambda: self.status()["sessions_open"] == 0,
              "the sessions to end")
        self.await_held(self.held)
        if self.held:
            self.stage.ask("discard", all=True)
        if not self.hop.keeps and (rest := self.unexpected()):
            raise Failed("mail that was not expected: " +
                         "; ".join(map(str, rest)))
        if self.hop.faults:
            raise Failed("the next hop met " + "; ".join(self.hop.faults))
        self.check_log()
        self.check_others()

    def check_log(self):
        for line in self.log().split("\n"):
            if controls_in(line) or "\ufffd" in line:
                raise Failed(f"control characters in the log: {line!r}")

    def check_others(self):
        """The daemon lives and serves others."""
        self.connect("smtp", None)
        self.expect("220")
        self.client.send([b"NOOP\r\n"])
        self.expect("250")
        self.client.close()
        if (rss := self.stage.weir.peak_rss_kb()) > RSS_MAX_KB:
            raise Failed(f"the daemon has grown to {rss} kB")
