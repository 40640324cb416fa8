# SPDX-License-Identifier: BSD-3-Clause
"""Extensions from client to next hop: CHUNKING, LIMITS, REQUIRETLS, SMTPUTF8,
DSN, against next hops that have them, lack them, or lose them meanwhile."""
import hashlib
import re

import pytest

from harness import FastSink, free_port, message, path_of, serve_smtp, until

KEY = 'key = envelope\n'
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0\n'
              'exempt_recipients = {"@known.test"}')
FULL = ["PIPELINING", "SIZE 100000000", "8BITMIME", "ENHANCEDSTATUSCODES",
        "DSN", "SMTPUTF8", "CHUNKING"]


class ChunkSink(FastSink):
    """A sink that speaks BDAT, and notes how each message came."""

    def __init__(self, extensions=FULL, on=None, **kw):
        self.extensions, self.on = extensions, on or {}
        self.rcpt_max = 0
        self.how, self.chunks, self.commands = [], [], []
        super().__init__(**kw)

    def session(self, peer):
        mail = {}

        def on_any(peer, line):
            self.commands.append(line)

        def on_mail(peer, line):
            on_any(peer, line)
            mail.update({"from": path_of(line), "to": [], "text": b""})

        def on_rcpt(peer, line):
            on_any(peer, line)
            if self.rcpt_max and len(mail["to"]) >= self.rcpt_max:
                peer.say("452 4.5.3 Too many recipients")
                return True
            mail["to"].append(path_of(line))

        def keep(how, text):
            with self.lock:
                self.how.append(how)
                self.messages.append((mail["from"], list(mail["to"]), text))

        def on_end(peer, line):
            text, peer.data = peer.data[:-3], b""
            text = text[1:] if text.startswith(b".") else text
            keep("DATA", text.replace(b"\r\n.", b"\r\n"))

        def on_bdat(peer, line):
            on_any(peer, line)
            words = line.split()
            mail["text"] += peer.file.read(int(words[1]))
            self.chunks.append(int(words[1]))
            if words[2:] == ["LAST"]:
                keep("BDAT", mail["text"])

        serve_smtp(peer, extensions=self.extensions, on={
            "MAIL": on_mail, "RCPT": on_rcpt, ".": on_end, "BDAT": on_bdat,
            "RSET": on_any, **self.on})


@pytest.fixture
def chunk_sink():
    made = []

    def make(**kw):
        made.append(ChunkSink(**kw))
        return made[-1]

    yield make
    for s in made:
        s.stop()


def text_of(data):
    """The message without weir's own Received lines."""
    return re.sub(rb"\AReceived: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*", b"", data)


def chunked(peer, sender, rcpts, chunks, mail=""):
    """All commands in one write, as a pipelining client has it; the replies
    to the chunks."""
    lines = [f"MAIL FROM:<{sender}>{mail}\r\n"]
    lines += [f"RCPT TO:<{r}>\r\n" for r in rcpts]
    data = "".join(lines).encode()
    for i, chunk in enumerate(chunks):
        last = " LAST" if i + 1 == len(chunks) else ""
        data += f"BDAT {len(chunk)}{last}\r\n".encode() + chunk
    peer.send(data)
    for _ in lines:
        assert peer.reply()[0] == 250
    return [peer.reply() for _ in chunks]


TEXT = (b"From: a@example.org\r\nSubject: chunks\r\nX-Odd: .\r\n\r\n.\r\n"
        b"..\r\nQUIT\r\n.\r\n" + bytes(range(128, 256)) + b"\r\n")


# ---- CHUNKING ----

def test_chunks_from_client_to_next_hop(weir, chunk_sink):
    sink = chunk_sink()
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    assert "CHUNKING" in peer.extensions
    assert "BINARYMIME" not in peer.extensions
    replies = chunked(peer, "a@example.org", ["b@known.test"],
                      [TEXT[:7], TEXT[7:40], b"", TEXT[40:]],
                      " BODY=8BITMIME")
    assert [code for code, _ in replies] == [250] * 4
    assert sink.how == ["BDAT"]
    assert text_of(sink.messages[0][2]) == TEXT
    # And again on the same sessions, now by DATA.
    assert peer.transact("a@example.org", ["b@known.test"], TEXT)[0] == 250
    assert sink.how == ["BDAT", "DATA"]
    assert text_of(sink.messages[1][2]) == TEXT


def test_text_without_line_end_stays_as_it_is(weir, chunk_sink):
    sink = chunk_sink()
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    text = b"Subject: x\r\n\r\nno end"
    assert chunked(peer, "a@example.org", ["b@known.test"],
                   [text])[0][0] == 250
    assert text_of(sink.messages[0][2]) == text


def test_large_message_in_chunks(weir, chunk_sink):
    sink = chunk_sink()
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    block = b"".join(b"%06d %s\r\n" % (
        i, hashlib.sha1(b"%d" % i).hexdigest().encode()) for i in range(4000))
    chunks = [b"Subject: big\r\n\r\n"] + [block] * 40
    assert chunked(peer, "a@example.org", ["b@known.test"],
                   chunks)[-1][0] == 250
    assert text_of(sink.messages[0][2]) == b"".join(chunks)
    # Pieces are gathered: not a command for each read of a socket.
    assert sum(sink.chunks) / len(sink.chunks) > 20000


def test_known_and_held_recipients_in_chunks(weir, chunk_sink):
    sink = chunk_sink()
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    code, lines = chunked(peer, "a@example.org",
                          ["b@known.test", "new@example.com"],
                          [TEXT[:50], TEXT[50:]], " BODY=8BITMIME")[-1]
    assert code == 250 and "held" in lines[0], lines
    assert w.held() == ["new@example.com"]
    w.ctl("release", "--all")
    sink.wait_for(2)
    assert [text_of(m[2]) for m in sink.messages] == [TEXT, TEXT]


def test_not_offered_when_the_next_hop_does_not(weir, chunk_sink):
    sink = chunk_sink(extensions=FULL[:-1])
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    assert "CHUNKING" not in peer.extensions
    peer.ask("MAIL FROM:<a@example.org>")
    peer.ask("RCPT TO:<b@known.test>")
    peer.send(b"BDAT 6 LAST\r\nQUIT\r\n")
    assert peer.reply()[0] == 502
    assert peer.ask("NOOP")[0] == 250  # the octets were no command


def test_next_hop_lost_chunking(weir, chunk_sink):
    """It was there at EHLO; the connection that the message takes has none:
    BDAT in, DATA out."""
    sink = chunk_sink()
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    assert "CHUNKING" in peer.extensions
    sink.extensions = FULL[:-1]
    for old in sink.peers:
        old.close()
    assert chunked(peer, "a@example.org", ["b@known.test"], [TEXT],
                   " BODY=8BITMIME")[0][0] == 250
    assert sink.how == ["DATA"]
    assert text_of(sink.messages[0][2]) == TEXT


@pytest.mark.parametrize("chunking", [True, False])
def test_smuggling_in_chunks(weir, chunk_sink, chunking):
    """Nothing that an end of data could be read from leaves by DATA, whatever
    came by BDAT."""
    sink = chunk_sink(extensions=FULL)
    w = weir(next_hop=sink.address, policy=HOLD, bare_newline="normalize")
    peer = w.hello()
    if not chunking:
        sink.extensions = FULL[:-1]
        for old in sink.peers:
            old.close()
    text = b"Subject: x\r\n\r\na\n.\nb\r.\rc\n.\r\nd\r\n.\ne\r"
    want = b"Subject: x\r\n\r\na\r\n.\r\nb\r\n.\r\nc\r\n.\r\nd\r\n.\r\ne\r\n"
    assert chunked(peer, "a@example.org", ["b@known.test"],
                   [text[:19], text[19:20], text[20:]])[-1][0] == 250
    assert sink.how == ["BDAT" if chunking else "DATA"]
    assert [text_of(m[2]) for m in sink.messages] == [want]


def test_client_leaves_between_chunks(weir, chunk_sink):
    sink = chunk_sink()
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    peer.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@known.test>\r\n"
              b"RCPT TO:<new@example.com>\r\nBDAT 14\r\nSubject: x\r\n\r\n")
    for _ in range(4):
        assert peer.reply()[0] == 250
    assert peer.ask("RSET")[0] == 250
    peer.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@known.test>\r\n"
              b"RCPT TO:<new@example.com>\r\nBDAT 14\r\nSubject: x\r\n\r\n")
    for _ in range(4):
        assert peer.reply()[0] == 250
    peer.close()
    assert w.hello().transact("a@example.org", ["b@known.test"],
                              TEXT)[0] == 250
    assert [m[1] for m in sink.messages] == [["b@known.test"]]
    assert w.held() == []


def test_next_hop_refuses_a_chunk(weir, chunk_sink):
    def full(peer, line):
        peer.file.read(int(line.split()[1]))
        peer.say("552 5.3.4 Too big for me")
        return True

    sink = chunk_sink(on={"BDAT": full})
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    chunks = [b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n"] * 3000
    replies = chunked(peer, "a@example.org", ["b@known.test"], chunks)
    assert replies[-1] == (552, ["5.3.4 Too big for me"])
    del sink.on["BDAT"]
    assert w.hello().transact("a@example.org", ["b@known.test"],
                              TEXT)[0] == 250


def test_refused_first_chunk_takes_the_others_with_it(weir, chunk_sink):
    """The second chunk must not be taken for the first of a message."""
    refused = []

    def refuse(peer, line):
        if refused:
            return False
        refused.append(line)
        peer.say("451 4.3.0 not now")
        return True

    sink = chunk_sink(extensions=FULL, on={"DATA": refuse})
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    sink.extensions = FULL[:-1]
    for old in sink.peers:
        old.close()
    replies = chunked(peer, "a@example.org", ["b@known.test"],
                      [TEXT[:50], TEXT[50:]])
    assert replies[0] == (451, ["4.3.0 not now"])
    assert replies[1][0] == 503
    assert peer.transact("a@example.org", ["b@known.test"], TEXT)[0] == 250
    assert [text_of(m[2]) for m in sink.messages] == [TEXT]


# ---- LIMITS ----

def test_limits_is_advertised_and_kept(weir, chunk_sink):
    sink = chunk_sink(extensions=FULL + ["LIMITS MAILMAX=100 RCPTMAX=3"])
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    assert "LIMITS RCPTMAX=3" in peer.extensions
    peer.ask("MAIL FROM:<a@example.org>")
    replies = [peer.ask(f"RCPT TO:<u{i}@known.test>")[0] for i in range(5)]
    assert replies == [250, 250, 250, 452, 452]
    assert peer.submit(TEXT)[0] == 250
    assert sink.recipients() == [f"u{i}@known.test" for i in range(3)]


def test_our_own_limit_is_smaller(weir, chunk_sink):
    sink = chunk_sink(extensions=FULL + ["LIMITS RCPTMAX=5000"])
    w = weir(next_hop=sink.address, policy=HOLD, recipients_max="200")
    assert "LIMITS RCPTMAX=200" in w.hello().extensions


def test_released_mail_is_split(weir, chunk_sink):
    """Held for a next hop without a limit, released to one that has it."""
    sink = chunk_sink()
    w = weir(next_hop=sink.address, policy=HOLD)
    to = [f"u{i}@example.com" for i in range(8)]
    assert w.hello().transact("a@example.org", to, TEXT)[0] == 250
    sink.extensions = FULL + ["LIMITS RCPTMAX=3"]
    sink.rcpt_max = 3
    for old in sink.peers:
        old.close()
    w.ctl("release", "--all")
    sink.wait_for(8)
    assert [m[1] for m in sink.messages] == [to[:3], to[3:6], to[6:]]
    assert {text_of(m[2]) for m in sink.messages} == {TEXT}
    w.wait_empty()


# ---- REQUIRETLS ----

def test_requiretls_is_never_dropped(weir, chunk_sink):
    """Without TLS to the next hop it is not offered, and who asks for it all
    the same is refused: the mail does not go on without it."""
    sink = chunk_sink(extensions=FULL + ["REQUIRETLS"])
    w = weir(next_hop=sink.address, policy=HOLD)
    peer = w.hello()
    assert "REQUIRETLS" not in peer.extensions
    assert peer.ask("MAIL FROM:<a@example.org> REQUIRETLS")[0] == 555
    assert peer.ask("RCPT TO:<b@known.test>")[0] == 503


# ---- a next hop that was never reached ----

def test_unknown_next_hop_costs_no_mail(weir, scripted):
    """A client that hears of no SMTPUTF8 returns such mail for good. Nobody
    knows yet: it is held, or put off."""
    port = free_port()
    w = weir(next_hop=f"127.0.0.1:{port}", policy=KEY + (
        'interval = "1h"  burst = 1  initial = 0\n'
        'exempt_recipients = {"@known.test"}'), next_hop_rest='"1s"',
        retry_min='"1s"')
    peer = w.hello()
    assert {"SMTPUTF8", "8BITMIME", "DSN"} <= set(peer.extensions)
    text = message()
    mail = " SMTPUTF8 BODY=8BITMIME RET=HDRS"
    assert peer.ask("MAIL FROM:<jörg@example.org>" + mail)[0] == 250
    assert peer.ask("RCPT TO:<bob@known.test>")[0] == 451
    peer.ask("RSET")
    assert peer.transact("jörg@example.org", ["new@example.com"], text,
                         mail)[0] == 250
    # It comes up, and lacks what was offered: the session is told, the next
    # one knows.
    hop = scripted(lambda p: serve_smtp(p, extensions=["PIPELINING"]),
                   address=f"127.0.0.1:{port}")

    def lacks():
        peer.ask("RSET")
        peer.ask("MAIL FROM:<jörg@example.org>" + mail)
        code, lines = peer.ask("RCPT TO:<bob@known.test>")
        assert code == 451
        return "start a new session" in lines[0]

    until(lacks, "the next hop", pause_s=0.3)
    assert "SMTPUTF8" not in w.hello().extensions
    assert not any("SMTPUTF8" in line for p in hop.peers for line in p.lines)
