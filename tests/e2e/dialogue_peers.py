# SPDX-License-Identifier: BSD-3-Clause
"""Both sides of weir in a dialogue: the client, whose packets are what they
are meant to be, and the next hop, which follows a script and keeps all bytes.
What weir sends to either is held to rules that no dialogue has to repeat."""
import contextlib
import re
import select
import socket
import ssl
import struct
import threading
import time

from harness import DEADLINE_S, Scripted, until

FOREVER_MAX = 64_000_000  # bytes of \{forever}
TRICKLE_S = 0.02          # the pace of an attacker, not a wait of the test
REPLY_LINE_MAX = 512      # RFC 5321 section 4.5.3.1.5
EXTENSIONS = ["PIPELINING", "SIZE 100000000", "8BITMIME",
              "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", "CHUNKING"]


class Failed(Exception):
    """A dialogue went otherwise than it is written."""


class Transcript:
    """Who said what, in order, for the report of a failure."""

    def __init__(self):
        self.lines = []

    def add(self, who, data):
        self.lines.append(f"{who} {data!r}"[:400])

    def text(self):
        return "\n".join(self.lines[-40:])


# ---- packets ----

def socket_state(client):
    """(bytes that weir's end of this connection has received, bytes of them
    that weir has not read); None: the connection is gone. Asked of the
    kernel: sock_diag(7)."""
    host, port = client.getsockname()[:2]
    peer, peer_port = client.getpeername()[:2]
    any_word = 0xffffffff
    request = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 2,
                          any_word)
    request += struct.pack("!HH4s12x4s12x", peer_port, port,
                           socket.inet_aton(peer), socket.inet_aton(host))
    request += struct.pack("=III", 0, any_word, any_word)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as s:
        s.settimeout(DEADLINE_S)
        s.send(struct.pack("=IHHII", 16 + len(request), 20, 1, 1, 0) +
               request)
        answer = s.recv(8192)
    if struct.unpack_from("=H", answer, 4)[0] == 2:  # NLMSG_ERROR
        return None
    unread = struct.unpack_from("=I", answer, 72)[0]
    at = 88
    while at < len(answer):
        size, kind = struct.unpack_from("=HH", answer, at)
        if kind == 2:  # struct tcp_info
            return struct.unpack_from("=Q", answer, at + 4 + 128)[0], unread
        at += (size + 3) & ~3
    return None


class Client:
    """One connection to weir."""

    def __init__(self, port, source, transcript):
        self.sock = socket.create_connection(
            ("127.0.0.1", port), timeout=DEADLINE_S,
            source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transcript = transcript
        self.buffer = b""
        self.sent = 0
        self.is_tls = False
        self.last_reply = []

    def send(self, packets):
        """Each packet is read by weir before the next one is sent."""
        for i, packet in enumerate(packets):
            if i > 0 and not self.is_tls:
                self.wait_read()
            self.transcript.add("C>", packet)
            try:
                self.sock.sendall(packet)
            except OSError as e:  # what weir said before tells more
                self.transcript.add("C!", str(e))
                return
            self.sent += len(packet)

    def wait_read(self):
        def is_read():
            state = socket_state(self.sock)
            return state is None or (state[0] >= self.sent and state[1] == 0)

        try:
            until(is_read, "weir to read a packet", pause_s=0.0002)
        except OSError:  # closed meanwhile
            pass

    def receive(self):
        """More bytes into the buffer; False: the connection has ended."""
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            raise Failed(f"weir says nothing; it said {self.buffer!r}") \
                from None
        except OSError:
            data = b""
        self.buffer += data
        return bool(data)

    def has_input(self):
        return bool(self.buffer) or bool(
            select.select([self.sock], [], [], 0)[0])

    def line(self):
        while b"\n" not in self.buffer:
            if not self.receive():
                raise Failed("weir has closed the connection; before it came "
                             f"{self.buffer!r}")
        line, _, self.buffer = self.buffer.partition(b"\n")
        line += b"\n"
        self.transcript.add("S>", line)
        check_reply_line(line)
        return line[:-2].decode()

    def reply(self):
        """A whole reply, as its lines with their code."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
            if lines[-1][:3] != lines[0][:3]:
                raise Failed(f"a reply of several codes: {lines}")
        self.last_reply = lines
        return lines

    def exactly(self, n):
        while len(self.buffer) < n and self.receive():
            pass
        got, self.buffer = self.buffer[:n], self.buffer[n:]
        self.transcript.add("S>", got)
        return got

    def expect_end(self):
        while self.receive():
            pass
        if self.buffer:
            raise Failed(f"before the end came {self.buffer!r}")
        self.transcript.add("S.", "closed")

    def start_tls(self, context):
        if self.buffer:
            raise Failed(f"before the handshake came {self.buffer!r}")
        self.sock = context.wrap_socket(self.sock,
                                        server_hostname="relay.weir.test")
        self.is_tls = True

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def controls_in(text):
    """Characters that a terminal or a log reader would obey."""
    return [c for c in text if c < " " and c != "\t" or "\x7f" <= c < "\xa0"
            or c in "\u2028\u2029"]


def check_reply_line(line):
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        raise Failed(f"a reply with a bare CR or LF: {line!r}")
    if len(line) > REPLY_LINE_MAX:
        raise Failed(f"a reply line of {len(line)} bytes")
    try:
        text = line[:-2].decode()
    except UnicodeDecodeError:
        raise Failed(f"a reply that is no UTF-8: {line!r}") from None
    if controls_in(text):
        raise Failed(f"control characters in a reply: {line!r}")
    if not re.match(r"[2-5][0-9][0-9]([ -]|$)", text):
        raise Failed(f"this is no reply: {line!r}")


# ---- the next hop ----

class Hangup(Exception):
    pass


class Mail:
    """A message that the next hop has taken: text is what it reads of it,
    wire what weir has written, with the final dot (by DATA)."""

    def __init__(self, sender, rcpts, how, wire):
        self.sender, self.rcpts, self.how = sender, rcpts, how
        self.wire = without_trace(wire)
        self.text = self.wire
        if how == "DATA":
            text = self.wire[:-3]
            self.text = (text[1:] if text.startswith(b".") else
                         text).replace(b"\r\n.", b"\r\n")
        self.is_expected = False

    @property
    def envelope(self):
        return [self.sender, *sorted(self.rcpts)]

    def __str__(self):
        to = " ".join(f"<{r}>" for r in self.rcpts)
        return f"<{self.sender}> {to} by {self.how}: {self.text!r}"


TRACE = re.compile(rb"Received: [^\r]* \(weir\) with [^\r]*\r\n"
                   rb"(?:[ \t][^\r]*\r\n)*|"
                   rb"Received: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*?"
                   rb"[ \t]by [^\r]* \(weir\) with [^\r]*\r\n"
                   rb"(?:[ \t][^\r]*\r\n)*")


def without_trace(text):
    """The message without weir's own Received field; its lack is seen by who
    compares."""
    found = TRACE.match(text)
    return text[found.end():] if found else b"[no Received of weir] " + text


def wire_faults(wire):
    """What no server, however lenient, may read out of a message that weir
    sent by DATA."""
    inner = wire.replace(b"\r\n", b"")
    if b"\r" in inner or b"\n" in inner:
        return ["a bare CR or LF has left in a message"]
    lines = wire[:-2].split(b"\r\n")
    if lines[-1] != b".":
        return ["a message without a final dot"]
    return [f"a line {line!r} that is not stuffed has left"
            for line in lines[:-1]
            if line.startswith(b".") and not line.startswith(b"..")]


class HopConnection:
    """Bytes of one connection from weir."""

    def __init__(self, sock, hop):
        sock.settimeout(DEADLINE_S)
        self.sock, self.hop = sock, hop
        self.buffer = b""
        self.is_tls = False
        self.paced = False
        self.sender, self.rcpts, self.chunks = "", [], b""

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def until(self, mark):
        """Up to the mark, with it."""
        while mark not in self.buffer:
            self.more()
        got, _, self.buffer = self.buffer.partition(mark)
        return got + mark

    def command(self):
        raw = self.until(b"\n")
        if raw.startswith(b"\x16\x03"):
            raise Hangup  # a handshake that the script did not want
        self.hop.transcript.add("  H<", raw)
        self.hop.check_command(raw)
        line = raw.rstrip(b"\r\n").decode("utf-8", "replace")
        with self.hop.lock:
            self.hop.heard.append((self.is_tls, line))
        return line

    def body(self):
        self.buffer = b"\r\n" + self.buffer  # a dot may come first
        wire = self.until(b"\r\n.\r\n")[2:]
        self.hop.transcript.add("  H<", wire)
        return wire

    def octets(self, n):
        while len(self.buffer) < n:
            self.more()
        got, self.buffer = self.buffer[:n], self.buffer[n:]
        self.hop.transcript.add("  H<", got)
        return got

    def write(self, data):
        self.hop.transcript.add("  H>", data)
        if not self.paced:
            self.sock.sendall(data)
            return
        for i in range(len(data)):
            self.sock.sendall(data[i:i + 1])
            time.sleep(TRICKLE_S)

    def act(self, action, data):
        if action == "trickle":
            self.paced = True
        elif action == "silence":
            while True:
                self.more()
        elif action == "forever":
            for _ in range(FOREVER_MAX // (len(data) * 1000) + 1):
                self.sock.sendall(data * 1000)
        elif action == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))
            self.sock.close()
            raise Hangup
        elif action == "close":
            raise Hangup

    def say(self, parts):
        for part in parts:
            if isinstance(part, bytes):
                self.write(part)
            else:
                self.act(*part)
        return b"".join(p for p in parts if isinstance(p, bytes))


class Hop(Scripted):
    """A next hop with a script: answers by verb, the usual one where there is
    none. Connections share the script."""

    def __init__(self, tls_context, transcript):
        self.tls_context = tls_context
        self.transcript = transcript
        self.answers = {}  # key -> [answers], the last one stays
        self.extensions = {False: EXTENSIONS, True: EXTENSIONS}
        self.heard = []    # (in TLS, command line)
        self.mails = []
        self.faults = []
        self.keeps = False  # what it took though weir did not believe it
        self.lock = threading.Lock()
        super().__init__(None)

    def check_command(self, raw):
        if not raw.endswith(b"\r\n") or b"\r" in raw[:-2]:
            self.faults.append(f"a command with a bare CR or LF: {raw!r}")
        elif controls_in(raw[:-2].decode("utf-8", "replace")):
            self.faults.append(f"a control character in a command: {raw!r}")

    def set_answer(self, key, again, answer):
        with self.lock:
            if again:
                self.answers.setdefault(key, [None]).append(answer)
            else:
                self.answers[key] = [answer]

    def take_answer(self, conn, verb, address):
        """The script's parts; None: as usual."""
        keys = [f"{verb} in TLS{address}", verb + address, f"{verb} in TLS",
                verb]
        with self.lock:
            for key in keys:
                if key not in self.answers or (
                        " in TLS" in key and not conn.is_tls):
                    continue
                answers = self.answers[key]
                return answers.pop(0) if len(answers) > 1 else answers[0]
        return None

    def answer(self, conn, verb, usual, line=""):
        found = re.search(r"<[^>]*>", line)
        parts = self.take_answer(conn, verb,
                                 f" {found[0]}" if found else "")
        if parts is not None:
            return conn.say(parts)
        return conn.say([usual])

    def serve(self, peer):
        conn = HopConnection(peer.sock, self)
        with contextlib.suppress(OSError, EOFError, ValueError, Hangup):
            self.session(conn)
        with contextlib.suppress(OSError):
            conn.sock.close()
        peer.close()

    def session(self, conn):
        self.answer(conn, "greeting", b"220 scripted ESMTP\r\n")
        while True:
            line = conn.command()
            verb = line.split(" ")[0].upper()
            handle = getattr(self, "on_" + verb.lower(), None)
            if handle is not None:
                handle(conn, line)
            elif verb == "AUTH":
                self.answer(conn, verb, b"235 2.7.0 Ok\r\n", line)
            elif verb in ("HELO", "RSET", "NOOP", "XCLIENT"):
                self.answer(conn, verb, b"250 2.0.0 Ok\r\n", line)
            else:
                self.faults.append(f"an unknown command: {line!r}")
                self.answer(conn, verb, b"500 5.5.2 what?\r\n", line)

    def on_ehlo(self, conn, line):
        words = ["scripted", *self.extensions[conn.is_tls]]
        lines = [f"250-{w}\r\n" for w in words]
        lines[-1] = lines[-1].replace("250-", "250 ", 1)
        self.answer(conn, "EHLO", "".join(lines).encode(), line)

    def on_starttls(self, conn, line):
        said = self.answer(conn, "STARTTLS", b"220 go\r\n", line)
        if not said.startswith(b"220") or self.is_plain("STARTTLS"):
            return
        conn.sock = self.tls_context.wrap_socket(conn.sock, server_side=True)
        conn.is_tls, conn.buffer = True, b""

    def is_plain(self, verb):
        answer = self.answers.get(verb, [None])[0]
        return answer is not None and ("plain", b"") in answer

    def on_mail(self, conn, line):
        if self.answer(conn, "MAIL", b"250 2.1.0 Ok\r\n",
                       line).startswith(b"2"):
            conn.sender, conn.rcpts, conn.chunks = path_in(line), [], b""

    def on_rcpt(self, conn, line):
        if self.answer(conn, "RCPT", b"250 2.1.5 Ok\r\n",
                       line).startswith(b"2"):
            conn.rcpts.append(path_in(line))

    def keep(self, conn, how, wire, said):
        if not said.startswith(b"2"):
            return
        with self.lock:
            self.mails.append(Mail(conn.sender, list(conn.rcpts), how, wire))

    def on_data(self, conn, line):
        said = self.answer(conn, "DATA", b"354 go\r\n", line)
        if b"354" not in said:
            return
        wire = conn.body()
        self.faults.extend(wire_faults(wire))
        # Kept before the answer: who waits for a reply finds it.
        self.end(conn, ".", "DATA", wire)

    def end(self, conn, verb, how, wire):
        parts = self.take_answer(conn, verb, "")
        if parts is None:
            parts = [b"250 2.0.0 Ok: queued\r\n"]
        said = b"".join(p for p in parts if isinstance(p, bytes))
        self.keep(conn, how, wire, said)
        conn.say(parts)

    def on_bdat(self, conn, line):
        words = line.split()
        conn.chunks += conn.octets(int(words[1]))
        if words[2:] == ["LAST"]:
            self.end(conn, "BDAT", "BDAT", conn.chunks)
        else:
            self.answer(conn, "BDAT", b"250 2.0.0 Ok\r\n", line)

    def on_quit(self, conn, line):
        self.answer(conn, "QUIT", b"221 2.0.0 bye\r\n", line)
        raise Hangup


def path_in(line):
    return line[line.index("<") + 1:line.rindex(">")]


TLS_ERRORS = (ssl.SSLError, OSError, EOFError)
