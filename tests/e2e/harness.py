# SPDX-License-Identifier: BSD-3-Clause
"""Real parts for the end-to-end tests: the daemon under test, sinks that keep
what they get, a next hop that misbehaves on command. Everything listens on
loopback ports that the kernel chose; every wait has a deadline."""
import contextlib
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time
import weakref

from aiosmtpd.controller import Controller

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", TOP / "build"))
# For what takes a second at most where nothing else runs. It ends a test that
# hangs and judges no speed: a busy machine, or a build with sanitizers, may
# take its time.
DEADLINE_S = 180 if os.environ.get("WEIR_SANITIZED") else 90


def port_range():
    """Below the ports that the kernel gives to clients, which would take one
    between the asking and the listening; a part for each parallel worker."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    first = 12000 + worker % 8 * 2500
    return itertools.cycle(random.sample(range(first, first + 2500), 2500))


PORTS = port_range()


def free_port():
    for port in PORTS:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def until(condition, what, deadline_s=DEADLINE_S, pause_s=0.01):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {deadline_s}s for {what}"
        time.sleep(pause_s)


def listens(port, host="127.0.0.1"):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex((host, port)) == 0


class CtlError(Exception):
    def __init__(self, status, err):
        super().__init__(f"weirctl: exit status {status}: {err}")
        self.status, self.err = status, err


class Weir:
    """weir-maild with a configuration and a spool of its own."""

    DEFAULTS = {
        "hostname": '"relay.weir.test"',
        "min_free": '"1M"',
        "retry_min": '"1s"',
        "contact": '"help@weir.test"',
    }

    def __init__(self, directory, next_hop, policy="", sections="", listen=None,
                 preload=None, listen_options="", **options):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.next_hop = next_hop
        self.policy = policy
        self.sections = sections
        self.listen = listen or f"127.0.0.1:{self.port}"
        self.listen_options = listen_options
        self.options = {**self.DEFAULTS, **options}
        self.preload = preload or {}
        self.config = self.dir / "weir.conf"
        self.spool = self.dir / "spool"
        self.control = self.dir / "control.sock"
        self.log_path = self.dir / "weir.log"
        self.process = None

    @property
    def port_address(self):
        return f"127.0.0.1:{self.port}"

    def more_hops(self):
        """Further lines about next hops."""
        return []

    def write_config(self):
        hops = ([self.next_hop] if isinstance(self.next_hop, str)
                else self.next_hop)
        lines = [f'spool = "{self.spool}"', f'control = "{self.control}"',
                 "next_hop = {" + ", ".join(f'"{h}"' for h in hops) + "}",
                 *self.more_hops()]
        lines += [f"{k} = {v}" for k, v in self.options.items()]
        lines.append(f'listen "test" {{ address = "{self.listen}"'
                     f"  protocol = smtp  {self.listen_options} }}")
        lines.append(f'policy "default" {{\n{self.policy}\n}}')
        lines.append(self.sections)
        self.config.write_text("\n".join(lines) + "\n")

    def start(self):
        self.write_config()
        self.launch()
        return self

    command = BUILD / "weir-maild"
    arguments = ()

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [self.command, *self.arguments, "-c", self.config], stderr=log,
                stdout=log, env={**os.environ, **self.preload})

    def launch(self):
        self.spawn()
        until(lambda: self.is_up() or self.process.poll() is not None,
              "weir-maild to start")
        assert self.process.poll() is None, self.log()

    def listens(self):
        return listens(self.port)

    def is_up(self):
        try:
            return bool(self.ctl("status"))
        except CtlError:
            return False

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self, pattern):
        return [line for line in self.log().splitlines()
                if re.search(pattern, line)]

    def peak_rss_kb(self):
        """The most memory that the daemon ever had resident; 0 in a build
        with sanitizers, which tells nothing."""
        if os.environ.get("WEIR_SANITIZED"):
            return 0
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1))

    def hello(self, name="client.test"):
        """A raw session after its EHLO."""
        return hello(self.port, name)

    def stop(self, deadline_s=DEADLINE_S):
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(deadline_s)
        self.process = None
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        self.stop()
        self.launch()

    def run_ctl(self, *args):
        return subprocess.run(
            [BUILD / "weirctl", "-s", self.control, *map(str, args)],
            capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL)

    def ctl(self, *args):
        """The JSON value that a command prints."""
        done = self.run_ctl("--json", *args)
        if done.returncode != 0:
            raise CtlError(done.returncode, done.stderr)
        if args[0] == "events":  # a line each, so that they can be followed
            return [json.loads(line) for line in done.stdout.splitlines()]
        return json.loads(done.stdout) if done.stdout.strip() else None

    def status(self):
        return self.ctl("status")

    def here(self):
        """Of several relays this one alone."""
        if "shared" not in self.options:
            return []
        return ["--relay", self.options["hostname"].strip('"')]

    def queue(self, *args):
        return self.ctl("queue", *args, *self.here())

    def sender(self, name):
        return next((s for s in self.ctl("senders", *self.here())
                     if s["sender"] == name), None)

    def held(self, *args):
        """Addresses of the recipients that wait."""
        return [r["address"] for m in self.queue(*args)
                for r in m["recipients"]]

    def wait_empty(self):
        until(lambda: self.status()["held_messages"] == 0, "an empty spool")


class Listener(socket.socket):
    """Knows the connections that it took."""

    def __init__(self, address):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.taken = weakref.WeakSet()
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setblocking(False)
        self.bind(address)

    def accept(self):
        sock, peer = super().accept()
        self.taken.add(sock)
        return sock, peer


class SinkController(Controller):
    """asyncio leaves open what a stopped loop had just accepted: the client
    would wait for a greeting until its time-out."""

    def _create_server(self):
        self.listener = Listener((self.hostname, self.port))
        return self.loop.create_server(self._factory_invoker,
                                       sock=self.listener,
                                       ssl=self.ssl_context)

    def stop(self, no_assert=False):
        super().stop(no_assert)
        for sock in self.listener.taken:
            with contextlib.suppress(OSError):  # most are closed by now
                sock.shutdown(socket.SHUT_RDWR)


class Sink:
    """A real SMTP server (aiosmtpd) that keeps every message it accepts, and
    refuses what it is told to."""

    def __init__(self, port=None, **options):
        self.port = port or free_port()
        self.messages = []  # (from, [to], bytes, mail_options)
        self.refuse_rcpt = {}  # address -> reply
        self.refuse_mail = None
        self.refuse_data = None
        self.rcpts_seen = []
        self.lock = threading.Lock()
        self.options = options
        self.controller = None

    def start(self):
        self.controller = SinkController(
            self, hostname="127.0.0.1", port=self.port,
            ready_timeout=DEADLINE_S,
            enable_SMTPUTF8=True, data_size_limit=100_000_000, **self.options)
        self.controller.start()
        return self

    def stop(self):
        if self.controller is not None:
            self.controller.stop()
            self.controller = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    async def handle_EHLO(self, server, session, envelope, hostname,
                          responses):
        session.host_name = hostname
        return [*responses[:-1], "250-ENHANCEDSTATUSCODES", responses[-1]]

    async def handle_MAIL(self, server, session, envelope, address, options):
        if self.refuse_mail:
            return self.refuse_mail
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(self, server, session, envelope, address, options):
        with self.lock:
            self.rcpts_seen.append(address)
        if address in self.refuse_rcpt:
            return self.refuse_rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        if self.refuse_data:
            return self.refuse_data
        with self.lock:
            self.messages.append((envelope.mail_from, list(envelope.rcpt_tos),
                                  envelope.original_content or
                                  envelope.content,
                                  list(envelope.mail_options)))
            return f"250 2.0.0 Ok: queued as SINK{len(self.messages)}"

    def recipients(self):
        with self.lock:
            return [r for m in self.messages for r in m[1]]

    def wait_for(self, count, deadline_s=DEADLINE_S):
        until(lambda: len(self.recipients()) >= count,
              f"{count} recipients at the sink", deadline_s)
        return self.recipients()


class Scripted:
    """A next hop that misbehaves on command: script(conn) runs in a thread for
    each connection, with conn a Peer."""

    def __init__(self, script, address="127.0.0.1:0"):
        self.script = script
        if address.startswith("unix:"):
            self.server = socket.socket(socket.AF_UNIX)
            self.server.bind(address[len("unix:"):])
            self.server.listen(16)
            self.address = address
        else:
            host, _, port = address.rpartition(":")
            self.server = socket.create_server(
                (host.strip("[]"), int(port)),
                family=socket.AF_INET6 if "[" in host else socket.AF_INET)
            self.port = self.server.getsockname()[1]
            self.address = f"{host}:{self.port}"
        self.peers = []
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            peer = Peer(sock)
            self.peers.append(peer)
            threading.Thread(target=self.serve, args=(peer,),
                             daemon=True).start()

    def serve(self, peer):
        # A peer that the test's end closed under its thread is a ValueError.
        with contextlib.suppress(OSError, EOFError, ValueError):
            self.script(peer)
        peer.close()

    def stop(self):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for peer in self.peers:
            peer.close()


class Peer:
    """One raw connection: lines in, bytes out."""

    def __init__(self, sock):
        sock.settimeout(DEADLINE_S)
        # Else the second of two replies waits 40 ms for an acknowledgement.
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.file = sock.makefile("rb")
        self.data = b""

    @classmethod
    def connect(cls, port, host="127.0.0.1", source=None):
        return cls(socket.create_connection(
            (host, port), timeout=DEADLINE_S,
            source_address=(source, 0) if source else None))

    def line(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        return line.rstrip(b"\r\n").decode("utf-8", "replace")

    def reply(self):
        """A whole reply: (code, [lines])."""
        lines = []
        while True:
            line = self.line()
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), lines

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def say(self, line):
        self.send(line + "\r\n")

    def ask(self, line):
        self.say(line)
        return self.reply()

    def at_end(self):
        """The peer has closed, after whatever it still had to say."""
        try:
            while self.file.readline():
                pass
        except ConnectionError:
            pass
        return True

    def body(self):
        """Reads to the final dot; the text with its dots. Nothing but
        CR LF . CR LF ends it."""
        lines, before = [], b"\r\n"
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError
            lines.append(line)
            if line == b".\r\n" and before.endswith(b"\r\n"):
                return b"".join(lines)
            before = line

    def transact(self, sender, rcpts, text, mail="", rcpt=""):
        """A whole transaction whose recipients are all taken; the reply to
        the message: (code, text)."""
        code, lines = self.ask(f"MAIL FROM:<{sender}>{mail}")
        assert code == 250, lines
        for address in rcpts:
            code, lines = self.ask(f"RCPT TO:<{address}>{rcpt}")
            assert code == 250, (address, lines)
        return self.submit(text)

    def submit(self, text):
        code, lines = self.ask("DATA")
        if code != 354:
            return code, lines[0]
        self.send(dot_stuff(text) + b".\r\n")
        code, lines = self.reply()
        return code, "\n".join(lines)

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.sock.close()


def dot_stuff(text):
    return (b"." + text if text.startswith(b".") else text).replace(
        b"\r\n.", b"\r\n..")


def dot_unstuff(text):
    """What Peer.body read, as the message that it stands for."""
    text = text[:-3]
    return (text[1:] if text.startswith(b".") else text).replace(
        b"\r\n.", b"\r\n")


def hello(port, name="client.test"):
    peer = Peer.connect(port)
    assert peer.reply()[0] == 220
    code, lines = peer.ask(f"EHLO {name}")
    assert code == 250, lines
    peer.extensions = lines[1:]
    return peer


def serve_smtp(peer, extensions=("PIPELINING", "SIZE 100000000", "8BITMIME",
                                 "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8"),
               on=None):
    """A well-behaved SMTP server for Scripted, but for the verbs in `on`:
    verb -> function(peer, line), which returns True when it did the rest. The
    commands and the text that came are in peer.lines and peer.data."""
    on = on or {}
    peer.lines = []
    if "" in on:
        on[""](peer, "")
    else:
        peer.say("220 scripted ESMTP")
    while True:
        line = peer.line()
        verb = line.split(" ")[0].upper()
        peer.lines.append(line)
        if verb in on and on[verb](peer, line):
            continue
        if verb == "EHLO":
            words = ["scripted", *extensions]
            for word in words[:-1]:
                peer.say(f"250-{word}")
            peer.say(f"250 {words[-1]}")
        elif verb == "DATA":
            peer.say("354 go")
            peer.data += peer.body()
            if "." in on and on["."](peer, line):
                continue
            peer.say("250 2.0.0 Ok: queued")
        elif verb == "QUIT":
            peer.say("221 2.0.0 bye")
            return
        else:
            peer.say("250 2.0.0 Ok")


class FastSink(Scripted):
    """A sink for much mail: one thread per connection, no framework. Keeps
    (from, [to], text), with the text made short by `keep`, and keeps what
    it had when it is stopped and another takes its port."""

    def __init__(self, keep=bytes, address="127.0.0.1:0"):
        self.keep = keep
        self.messages = []
        self.lock = threading.Lock()
        super().__init__(self.session, address)

    def session(self, peer):
        mail = {"from": "", "to": []}

        def on_mail(peer, line):
            mail.update({"from": path_of(line), "to": []})

        def on_rcpt(peer, line):
            mail["to"].append(path_of(line))

        def on_end(peer, line):
            entry = (mail["from"], list(mail["to"]),
                     self.keep(dot_unstuff(peer.data)))
            peer.data = b""
            with self.lock:
                self.messages.append(entry)

        serve_smtp(peer, on={"MAIL": on_mail, "RCPT": on_rcpt, ".": on_end})

    def recipients(self):
        with self.lock:
            return [r for m in self.messages for r in m[1]]

    def wait_for(self, count, deadline_s=DEADLINE_S):
        until(lambda: len(self.recipients()) >= count,
              f"{count} recipients at the sink", deadline_s)
        return self.recipients()


def path_of(line):
    return line[line.index("<") + 1:line.index(">")]


def message(subject="hello", body="some text", sender="a@example.org",
            to="b@example.com"):
    return (f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n"
            f"{body}\r\n").encode()
