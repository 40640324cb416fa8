# SPDX-License-Identifier: BSD-3-Clause
"""The dialogue of an Exchange send connector with weir as its smart host, and
the relays of Google Workspace and Microsoft 365 as next hops. Nothing here was
recorded from a live system of ours: commands, their order and the replies are
those of protocol logs that others have published, where doc/exchange.md and
doc/providers.md say so, and of the vendors' documents for the rest."""
import base64
import re

import pytest

from harness import FastSink, Peer, free_port, path_of, serve_smtp, until
from pki import Pki
from test_tls import starttls

KEY = 'key = envelope\n'
HOLD = KEY + ('interval = "1h"  burst = 1  initial = 0\n'
              'exempt_recipients = {"@known.test"}')
POSTFIX = ["PIPELINING", "SIZE 100000000", "ENHANCEDSTATUSCODES", "8BITMIME",
           "DSN", "SMTPUTF8", "CHUNKING"]
GOOGLE = ["SIZE 157286400", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING",
          "CHUNKING", "SMTPUTF8"]
MICROSOFT = ["SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES",
             "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8"]

# As Exchange writes them: folded far out, unusual names, long values.
HEADER = (
    "From: Alice Example <alice@contoso.test>\r\n"
    "To: \"Bob (known)\" <bob@known.test>\r\n"
    "Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n"
    "Thread-Topic: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n"
    "Thread-Index: AdqXkz0Y2c3lQ0mGQ4uJ5v0mJb3pZg==\r\n"
    "Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n"
    "Message-ID: <3f1c0d7bb6a54c0e9d1b@EX01.contoso.test>\r\n"
    "Accept-Language: en-US, de-DE\r\n"
    "Content-Language: en-US\r\n"
    "X-MS-Has-Attach: yes\r\n"
    "X-MS-TNEF-Correlator:\r\n"
    "x-originating-ip: [10.1.2.3]\r\n"
    "X-MS-Exchange-Organization-AuthAs: Internal\r\n"
    "X-MS-Exchange-Organization-AuthMechanism: 04\r\n"
    "X-MS-Exchange-Organization-AuthSource: EX01.contoso.test\r\n"
    "x-ms-exchange-antispam-messagedata: =?us-ascii?Q?" + "A" * 900 + "?=\r\n"
    "\t=?us-ascii?Q?" + "B" * 60 + "?=\r\n"
    "Content-Type: text/plain; charset=\"utf-8\"\r\n"
    "Content-Transfer-Encoding: 8bit\r\n"
    "MIME-Version: 1.0\r\n\r\n")


class Relay(FastSink):
    """Keeps the commands that come, and messages by DATA and by BDAT."""

    def __init__(self, extensions, greeting="relay ESMTP"):
        self.extensions, self.greeting = extensions, greeting
        self.commands = []
        super().__init__()

    def session(self, peer):
        mail = {}

        def greet(peer, line):
            peer.say(f"220 {self.greeting}")

        def note(peer, line):
            self.commands.append(line)

        def on_mail(peer, line):
            note(peer, line)
            mail.update({"from": path_of(line), "to": [], "text": b""})

        def on_rcpt(peer, line):
            note(peer, line)
            mail["to"].append(path_of(line))

        def keep(text):
            with self.lock:
                self.messages.append((mail["from"], list(mail["to"]), text))

        def on_bdat(peer, line):
            note(peer, line)
            words = line.split()
            mail["text"] += peer.file.read(int(words[1]))
            if words[2:] == ["LAST"]:
                keep(mail["text"])

        def on_end(peer, line):
            text, peer.data = peer.data[:-3], b""
            keep(text[text.startswith(b"."):].replace(b"\r\n..", b"\r\n."))

        serve_smtp(peer, extensions=self.extensions, on={
            "": greet, "EHLO": note, "MAIL": on_mail, "RCPT": on_rcpt,
            "BDAT": on_bdat, ".": on_end, "DATA": note})


@pytest.fixture
def relay():
    made = []

    def make(*args, **kw):
        made.append(Relay(*args, **kw))
        return made[-1]

    yield make
    for r in made:
        r.stop()


def text_of(data):
    """Without weir's Received lines, which must come first."""
    found = re.match(rb"(Received: [^\r]*\r\n(?:\t[^\r]*\r\n)*)+", data)
    assert found and b"weir" in found.group(0)
    return data[found.end():]


def replay(w, sender, rcpts, text, mail="", chunk=None):
    """EHLO, then MAIL and RCPTs in one write, then BDAT chunks of the size
    that Exchange takes, each after the reply to the one before."""
    peer = w.hello("EX01.contoso.test")
    peer.send(f"MAIL FROM:<{sender}> SIZE={len(text)}{mail}\r\n" +
              "".join(f"RCPT TO:<{r}>{p}\r\n" for r, p in rcpts))
    codes = [peer.reply()[0] for _ in range(1 + len(rcpts))]
    chunk = chunk or len(text)
    for at in range(0, len(text), chunk):
        last = " LAST" if at + chunk >= len(text) else ""
        piece = text[at:at + chunk]
        peer.send(f"BDAT {len(piece)}{last}\r\n".encode() + piece)
        codes.append(peer.reply()[0])
    assert peer.ask("QUIT")[0] == 221
    return codes


BODY = "Grüße\r\n.\r\n..signature\r\n".encode()
TEXT = HEADER.encode() + BODY


@pytest.mark.parametrize("extensions", [POSTFIX, POSTFIX[:-1], GOOGLE,
                                        MICROSOFT])
def test_send_connector(weir, relay, extensions):
    """Octet for octet, with the X-headers, whatever the next hop offers."""
    hop = relay(extensions)
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello("EX01.contoso.test")
    assert set(peer.extensions) <= {*POSTFIX, "SIZE 52428800"}
    if "CHUNKING" not in extensions:
        assert peer.transact("alice@contoso.test", ["bob@known.test"], TEXT,
                             f" SIZE={len(TEXT)} BODY=8BITMIME")[0] == 250
    else:
        assert replay(w, "alice@contoso.test", [("bob@known.test", "")], TEXT,
                      " BODY=8BITMIME") == [250] * 3
    (message,) = hop.messages
    assert message[:2] == ("alice@contoso.test", ["bob@known.test"])
    assert text_of(message[2]) == TEXT


def test_send_connector_with_dsn(weir, relay):
    hop = relay(POSTFIX)
    w = weir(next_hop=hop.address, policy=HOLD)
    dsn = " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;bob+40x@known.test"
    assert replay(w, "alice@contoso.test", [("bob@known.test", dsn)], TEXT,
                  " BODY=8BITMIME RET=HDRS ENVID=3f1c0d7b") == [250] * 3
    mail, rcpt = [c for c in hop.commands if c[:4] in ("MAIL", "RCPT")][:2]
    assert "RET=HDRS" in mail and "ENVID=3f1c0d7b" in mail
    assert rcpt == f"RCPT TO:<bob@known.test>{dsn}"


def test_large_attachment(weir, relay):
    hop = relay(POSTFIX)
    w = weir(next_hop=hop.address, policy=HOLD)
    line = b"JVBERi0xLjcKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2cvUGFnZXMgMiA" \
           b"wIFI+Pgpl\r\n"
    text = TEXT + line * 60000
    codes = replay(w, "alice@contoso.test", [("bob@known.test", "")], text,
                   " BODY=8BITMIME", chunk=1 << 16)
    assert set(codes) == {250}
    assert text_of(hop.messages[0][2]) == text


def test_new_recipient_waits_and_is_the_same_later(weir, relay):
    hop = relay(MICROSOFT)
    w = weir(next_hop=hop.address, policy=HOLD)
    assert replay(w, "alice@contoso.test",
                  [("bob@known.test", ""), ("new@fabrikam.test", "")],
                  TEXT, " BODY=8BITMIME") == [250] * 4
    assert w.held() == ["new@fabrikam.test"]
    w.ctl("release", "--all")
    hop.wait_for(2)
    assert {text_of(m[2]) for m in hop.messages} == {TEXT}


def test_utf8_address(weir, relay):
    hop = relay(MICROSOFT)
    w = weir(next_hop=hop.address, policy=HOLD)
    assert replay(w, "alice@contoso.test", [("jürgen@known.test", "")], TEXT,
                  " BODY=8BITMIME SMTPUTF8") == [250] * 3
    assert any(c.startswith("MAIL") and "SMTPUTF8" in c and "8BITMIME" in c
               for c in hop.commands)


def test_non_delivery_report_of_exchange(weir, relay):
    """A null sender passes, and nobody is told of its outcome."""
    hop = relay(POSTFIX)
    w = weir(next_hop=hop.address, policy=HOLD, notify_after='"1s"')
    assert replay(w, "", [("bob@known.test", " NOTIFY=NEVER")],
                  TEXT, " BODY=8BITMIME") == [250] * 3
    assert hop.messages[0][0] == ""


def test_exchange_sends_many_in_one_session(weir, relay):
    """Send connectors reuse a session, up to 20 messages by default."""
    hop = relay(POSTFIX)
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello("EX01.contoso.test")
    for i in range(20):
        text = TEXT + b"%d\r\n" % i
        peer.send(f"MAIL FROM:<alice@contoso.test> SIZE={len(text)} "
                  "BODY=8BITMIME\r\nRCPT TO:<bob@known.test>\r\n")
        assert [peer.reply()[0], peer.reply()[0]] == [250, 250]
        peer.send(f"BDAT {len(text)} LAST\r\n".encode() + text)
        assert peer.reply()[0] == 250
    assert peer.ask("QUIT")[0] == 221
    assert [text_of(m[2]) for m in hop.messages] == [
        TEXT + b"%d\r\n" % i for i in range(20)]


def test_binary_is_not_offered(weir, relay):
    """Microsoft 365 offers BINARYMIME; weir does not carry it, so Exchange
    encodes. Who sends it all the same is refused, and stays in step."""
    hop = relay(MICROSOFT)
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello("EX01.contoso.test")
    assert "BINARYMIME" not in peer.extensions
    assert peer.ask("MAIL FROM:<a@contoso.test> BODY=BINARYMIME")[0] in (
        501, 555)
    peer.send(b"BDAT 6 LAST\r\nQUIT\r\n")
    assert peer.reply()[0] == 503
    assert peer.ask("NOOP")[0] == 250


def test_published_smtpsend_log(weir, relay):
    """Each step of a published SmtpSend log (Exchange 2016, a report on a
    message of its own): against a server that offers neither PIPELINING nor
    CHUNKING it waits for each reply, and says SIZE alone."""
    hop = relay(["SIZE 1000000", "ENHANCEDSTATUSCODES"])
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = Peer.connect(w.port)
    assert peer.reply()[0] == 220
    code, lines = peer.ask("EHLO EX01.contoso.test")
    assert code == 250 and set(lines[1:]) == {"SIZE 998846",
                                              "ENHANCEDSTATUSCODES"}
    assert peer.ask("MAIL FROM:<> SIZE=18019")[0] == 250
    assert peer.ask("RCPT TO:<bob@known.test>")[0] == 250
    assert peer.ask("DATA")[0] == 354
    text = HEADER.encode() + b"Delivery has failed\r\n"
    peer.send(text + b".\r\n")
    assert peer.reply()[0] == 250
    assert peer.ask("QUIT")[0] == 221
    assert hop.messages[0][:2] == ("", ["bob@known.test"])
    assert text_of(hop.messages[0][2]) == text


# ---- what the providers say ----

@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def cert(pki):
    return pki.cert("relay", ["relay.weir.test", "127.0.0.1"])


def office365(pki, cert, auths):
    """smtp.office365.com:587 as published sessions show it: STARTTLS at its
    place in the list, AUTH there afterwards, and an empty challenge."""
    context = pki.server(cert)
    name = "ZR2P278CA0019.outlook.office365.com"
    known = {"LOGIN": ["VXNlcm5hbWU6", "UGFzc3dvcmQ6"], "XOAUTH2": [""]}

    def lists(word):
        return [f"{name} Hello [192.0.2.1]", *MICROSOFT[:4], word,
                *MICROSOFT[4:]]

    def say_list(peer, word):
        words = lists(word)
        for line in words[:-1]:
            peer.say(f"250-{line}")
        peer.say(f"250 {words[-1]}")
        return True

    def start(peer, line):
        peer.say("220 2.0.0 SMTP server ready")
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        peer.file = peer.sock.makefile("rb")
        serve_smtp(peer, on={
            "": lambda p, line: None, "AUTH": auth, "BDAT": bdat,
            "EHLO": lambda p, line: say_list(p, "AUTH LOGIN XOAUTH2")})
        raise EOFError

    def auth(peer, line):
        lines = []
        for challenge in known[line.split()[1]]:
            peer.say(f"334 {challenge}")
            lines.append(base64.b64decode(peer.line()))
        auths.append(lines)
        if b"wrong" in lines[-1]:
            peer.say("535 5.7.3 Authentication unsuccessful "
                     "[ZR2P278CA0019.CHEP278.PROD.OUTLOOK.COM]")
        else:
            peer.say("235 2.7.0 Authentication successful")
        return True

    def bdat(peer, line):
        peer.data += peer.file.read(int(line.split()[1]))

    return lambda peer: serve_smtp(peer, on={
        "": lambda p, line: p.say(f"220 {name} Microsoft ESMTP MAIL Service "
                                  "ready at Mon, 29 May 2023 11:59:14 +0000"),
        "EHLO": lambda p, line: say_list(p, "STARTTLS"), "STARTTLS": start})


def test_office_365_with_the_clients_token(weir, scripted, pki, cert):
    """XOAUTH2 goes through as it is, the empty challenge included."""
    auths, port = [], free_port()
    hop = scripted(office365(pki, cert, auths))
    w = weir(next_hop=hop.address, policy=HOLD, tls_cert=f'"{cert}"',
             next_hop_tls="verify", next_hop_tls_ca=f'"{pki.ca}"',
             sections=f'listen "tls" {{ address = "127.0.0.1:{port}"  '
                      'tls = require  auth = pass }\n')
    token = b"user=alice@contoso.test\1auth=Bearer EwBA\1\1"
    peer = starttls(port, pki.client())
    code, lines = peer.ask("EHLO client.test")
    assert code == 250 and "AUTH LOGIN XOAUTH2" in lines
    wrong = token.replace(b"EwBA", b"wrong")
    for text, code in ((wrong, 535), (token, 235)):
        assert peer.ask("AUTH XOAUTH2") == (334, [""])
        assert peer.ask(base64.b64encode(text).decode())[0] == code
    assert auths == [[wrong], [token]]
    assert peer.transact("alice@contoso.test", ["bob@known.test"],
                         TEXT)[0] == 250


def test_office_365_with_weirs_own_login(weir, scripted, pki, cert, tmp_path):
    """It offers LOGIN and XOAUTH2, no PLAIN."""
    auths = []
    hop = scripted(office365(pki, cert, auths))
    path = tmp_path / "hop.auth"
    path.write_text("relay@contoso.test secret\n")
    path.chmod(0o600)
    w = weir(next_hop=hop.address, policy=HOLD, next_hop_tls="verify",
             next_hop_tls_ca=f'"{pki.ca}"', next_hop_auth=f'"{path}"')
    assert replay(w, "alice@contoso.test", [("bob@known.test", "")], TEXT,
                  " BODY=8BITMIME") == [250] * 3
    assert auths == [[b"relay@contoso.test", b"secret"]]


def test_google_refuses_the_name_at_ehlo(weir, relay):
    """What its relay says to a name in EHLO that it does not like, localhost
    for one; the client hears its words, and mail waits."""
    words = ("4.7.0 Try again later, closing connection. (EHLO) "
             "v6-20020a50c406000000b00461d375b0a5sm78344edf.43 - gsmtp")
    hop = relay(GOOGLE)
    served = hop.session

    def refuse(peer, line):
        peer.say(f"421 {words}")
        raise EOFError

    hop.script = lambda p: serve_smtp(p, on={"EHLO": refuse})
    w = weir(next_hop=hop.address, policy=HOLD, hostname='"localhost"')
    peer = w.hello()
    assert peer.ask("MAIL FROM:<alice@contoso.test>")[0] == 250
    code, lines = peer.ask("RCPT TO:<bob@known.test>")
    assert code == 451 and "(EHLO)" in lines[0]
    assert w.log_lines("next_hop rest .*421 .*EHLO")
    hop.script = served
    until(lambda: replay(w, "alice@contoso.test", [("bob@known.test", "")],
                         TEXT, " BODY=8BITMIME")[-1] == 250, "the way back")


@pytest.mark.parametrize("greeting,extensions,refusal,code", [
    ("smtp-relay.gmail.com ESMTP 5b1f17b1804b1-47ac.23 - gsmtp", GOOGLE,
     ["550-5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address",
      "550-5.7.1 you've registered in your Workspace SMTP Relay service",
      "550 5.7.1 doesn't match the domain of the account - gsmtp"], 550),
    ("smtp-relay.gmail.com ESMTP 5b1f17b1804b1-47ac.23 - gsmtp", GOOGLE,
     ["421-4.7.0 Try again later, closing connection. (MAIL)",
      "421 4.7.0 see https://support.example - gsmtp"], 451),
    ("FR4P281CA0001.outlook.office365.com Microsoft ESMTP MAIL Service ready",
     MICROSOFT, ["550 5.7.708 Service unavailable. Access denied, traffic "
                 "not accepted from this IP."], 550),
    ("FR4P281CA0001.outlook.office365.com Microsoft ESMTP MAIL Service ready",
     MICROSOFT, ["432 4.3.2 Concurrent connections limit exceeded."], 432),
])
def test_provider_refuses_the_sender(weir, relay, greeting, extensions,
                                     refusal, code):
    """The provider's words reach the client, line by line; its 421 is about
    its own connection, so the client hears 451 and may go on."""
    hop = relay(extensions, greeting)
    w = weir(next_hop=hop.address, policy=HOLD)
    peer = w.hello()

    def refuse(peer, line):
        for text in refusal:
            peer.say(text)
        return True

    original = hop.session
    hop.script = lambda p: serve_smtp(p, extensions=extensions,
                                      on={"MAIL": refuse})
    for old in hop.peers:
        old.close()
    assert peer.ask("MAIL FROM:<alice@contoso.test>")[0] == 250
    got, lines = peer.ask("RCPT TO:<bob@known.test>")
    assert got == code, lines
    assert refusal[0][10:30] in lines[0]
    hop.script = original
    for old in hop.peers:
        old.close()
    until(lambda: replay(w, "alice@contoso.test", [("bob@known.test", "")],
                         TEXT, " BODY=8BITMIME")[-1] == 250, "the way back")
