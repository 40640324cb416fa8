# SPDX-License-Identifier: BSD-3-Clause
"""Who the client is: XCLIENT to the next hop, XCLIENT, XFORWARD and PROXY from
those who may, the Received line."""
import os
import socket
import subprocess

import pytest

from harness import (DEADLINE_S, Peer, free_port, listens, message, serve_smtp,
                     until)
from postfix import Postfix

EXT = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES",
       "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT")
TRUST = {"xclient_from": '{"127.0.0.1"}'}
PROXY = {"listen_options": "proxy = true", "proxy_from": '{"127.0.0.1"}'}


class Hop:
    """A next hop that takes XCLIENT, and remembers who sent what."""

    def __init__(self, scripted, extensions=EXT, xclient="220 again ESMTP"):
        self.peers = []
        self.xclient = xclient

        def on_xclient(peer, line):
            peer.say(self.xclient)
            return True

        def run(peer):
            self.peers.append(peer)
            serve_smtp(peer, extensions=extensions,
                       on={"XCLIENT": on_xclient})
        self.address = scripted(run).address


def attributes(peer):
    return dict(word.split("=", 1) for line in peer.lines
                if line.startswith("XCLIENT ") for word in line.split()[1:])


def mail(c, to="b@example.com", subject="hello"):
    return c.transact("a@example.org", [to], message(subject=subject))


def senders(w):
    return {s["sender"] for s in w.ctl("senders")}


def received(sink, n=0):
    return sink.messages[n][2].split(b"\r\nFrom:")[0].decode()


# ---- to the next hop ----

def test_xclient_to_the_next_hop(weir, scripted):
    hop = Hop(scripted)
    w = weir(next_hop=hop.address, next_hop_xclient="true")
    one = Peer.connect(w.port, source="127.0.0.7")
    one.reply()
    one.ask("EHLO one.test")
    two = Peer.connect(w.port, source="127.0.0.8")
    two.reply()
    two.ask("EHLO two+=x.test")
    for c, name in ((one, "one"), (two, "two"), (one, "one")):
        assert mail(c, subject=f"of {name}")[0] == 250
    users = [p for p in hop.peers if p.data]
    assert len(users) == 2  # a connection for each session
    for peer, name, addr in zip(users, ("one", "two"),
                                ("127.0.0.7", "127.0.0.8")):
        got = attributes(peer)
        assert got["ADDR"] == addr and got["PROTO"] == "ESMTP"
        assert got["NAME"] == "[UNAVAILABLE]"
        assert got["LOGIN"] == "[UNAVAILABLE]"
        assert got["DESTADDR"] == "127.0.0.1"
        assert got["DESTPORT"] == str(w.port)
        assert all(len(line) <= 510 for line in peer.lines)
        # It is the client who says EHLO then.
        assert peer.lines[-20:].count(
            "EHLO one.test" if name == "one" else "EHLO two+=x.test") == 1
        other = b"of two" if name == "one" else b"of one"
        assert other not in peer.data
    assert attributes(users[1])["HELO"] == "two+2B+3Dx.test"
    assert one.ask("QUIT")[0] == 221
    until(lambda: "QUIT" in users[0].lines, "QUIT at the next hop")


def test_xclient_held_mail_is_weirs(weir, scripted):
    hop = Hop(scripted)
    w = weir(next_hop=hop.address, next_hop_xclient="true",
             policy='interval = "1h"  burst = 1  initial = 0')
    c = w.hello()
    assert "held" in mail(c)[1]
    w.ctl("release", "--all")
    w.wait_empty()
    [peer] = [p for p in hop.peers if p.data]
    assert not attributes(peer)


def test_xclient_not_offered(weir, scripted):
    hop = Hop(scripted, extensions=EXT[:-1])
    w = weir(next_hop=hop.address, next_hop_xclient="true")
    assert mail(w.hello())[0] == 250
    assert not any(attributes(p) for p in hop.peers)


def test_xclient_refused(weir, scripted):
    hop = Hop(scripted, xclient="550 5.7.0 insufficient authorization")
    w = weir(next_hop=hop.address, next_hop_xclient="true")
    c = w.hello()
    assert c.ask("MAIL FROM:<a@example.org>")[0] == 250
    code, lines = c.ask("RCPT TO:<b@example.com>")
    assert code == 451 and "insufficient authorization" in lines[0]


def test_xclient_after_a_message_that_was_dropped(weir, scripted):
    """DATA was under way when the client gave up: the connection goes, the
    next one is made and named anew."""
    hop = Hop(scripted)
    w = weir(next_hop=hop.address, next_hop_xclient="true",
             message_size='"64K"')
    c = w.hello()
    assert c.ask("MAIL FROM:<a@example.org>")[0] == 250
    assert c.ask("RCPT TO:<b@example.com>")[0] == 250
    code, _ = c.submit(b"x\r\n" * 40000)
    assert code == 552
    assert mail(c)[0] == 250
    assert len([p for p in hop.peers if attributes(p)]) == 2


def test_xclient_to_postfix(weir):
    if os.geteuid() != 0:
        pytest.fail("a private Postfix needs root; run the tests as root")
    p = Postfix("xclient.weir.test", extra=(
        "smtpd_authorized_xclient_hosts = 127.0.0.1\n"
        "smtpd_client_restrictions = check_client_access "
        "inline:{ {127.0.0.66 = 554 5.7.1 we know you} }\n"
        "smtpd_delay_reject = yes\n")).start()
    try:
        w = weir(next_hop=p.address, next_hop_xclient="true")
        good = Peer.connect(w.port, source="127.0.0.7")
        good.reply()
        good.ask("EHLO good.test")
        assert mail(good)[0] == 250
        assert mail(good)[0] == 250
        p.wait_for(2)
        for m in p.mail():
            assert "from good.test (unknown [127.0.0.7])" in " ".join(
                m.get_all("Received")[0].split())
        bad = Peer.connect(w.port, source="127.0.0.66")
        bad.reply()
        bad.ask("EHLO bad.test")
        bad.ask("MAIL FROM:<a@example.org>")
        code, lines = bad.ask("RCPT TO:<b@example.com>")
        assert code == 554 and "we know you" in lines[0]
        assert mail(good)[0] == 250
    finally:
        p.stop()


# ---- from others ----

def test_xclient_from_a_listed_host(weir, sink):
    w = weir(**TRUST)
    c = w.hello()
    assert any(e.startswith("XCLIENT ") for e in c.extensions)
    assert c.ask("XCLIENT NAME=far.test ADDR=192.0.2.9 PORT=4711 "
                 "LOGIN=carol+40example.org") == (
        220, ["relay.weir.test ESMTP"])
    assert c.ask("MAIL FROM:<a@example.org>")[0] == 503
    assert c.ask("EHLO far.test")[0] == 250
    assert mail(c)[0] == 250
    assert "from far.test (far.test [192.0.2.9])" in received(sink)
    assert "with ESMTPA id" in received(sink)
    assert senders(w) == {"carol@example.org"}
    # Another client over the same connection.
    assert c.ask("XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 "
                 "LOGIN=[UNAVAILABLE]")[0] == 220
    c.ask("EHLO six.test")
    assert mail(c, "c@example.com")[0] == 250
    assert "from six.test ([2001:db8::1])" in received(sink, 1)
    assert senders(w) == {"carol@example.org", "[2001:db8::/64]"}


@pytest.mark.parametrize("first, second, other", [
    ("192.0.2.9", "192.0.2.9", "192.0.2.10"),
    ("IPV6:2001:db8::1", "IPV6:2001:db8::2:1", "IPV6:2001:db8:0:1::1"),
], ids=["IPv4", "an IPv6 /64"])
def test_xclient_counts_sessions_of_the_client(weir, first, second, other):
    w = weir(client_sessions_max=2, **TRUST)
    held = []
    for address in (first, second):
        c = w.hello()
        assert c.ask(f"XCLIENT ADDR={address}")[0] == 220
        held.append(c)
    c = w.hello()
    assert c.ask(f"XCLIENT ADDR={first}")[0] == 421
    assert c.at_end()
    assert w.hello().ask(f"XCLIENT ADDR={other}")[0] == 220
    held[0].close()

    def again():
        return w.hello().ask(f"XCLIENT ADDR={first}")[0] == 220
    until(again, "room for the client")


def test_xforward(weir, sink):
    w = weir(**TRUST)
    c = w.hello()
    assert c.ask("XFORWARD NAME=far.test ADDR=192.0.2.9 PROTO=ESMTP")[0] == 250
    assert c.ask("XFORWARD HELO=far.helo IDENT=4XyZ SOURCE=REMOTE")[0] == 250
    assert mail(c)[0] == 250
    assert "from far.helo ([192.0.2.9])" in received(sink)
    # For one message alone.
    assert mail(c, "c@example.com")[0] == 250
    assert "from client.test ([127.0.0.1])" in received(sink, 1)
    assert senders(w) == {"[192.0.2.9]", "[127.0.0.1]"}


def test_weir_behind_weir(weir, sink, tmp_path):
    """Both sides of XCLIENT are the same protocol."""
    inner = weir(**TRUST)
    outer = weir(next_hop=f"127.0.0.1:{inner.port}", next_hop_xclient="true")
    c = Peer.connect(outer.port, source="127.0.0.7")
    c.reply()
    c.ask("EHLO c.test")
    assert mail(c)[0] == 250
    assert "from c.test ([127.0.0.7])" in received(sink)
    assert "[127.0.0.7]" in senders(inner)


def test_weir_behind_weir_with_much_to_tell(weir, sink):
    """More than one command holds: the login, which each XCLIENT forgets, is
    in the last."""
    inner = weir(**TRUST)
    outer = weir(next_hop=f"127.0.0.1:{inner.port}", next_hop_xclient="true",
                 **TRUST)
    for n in range(380, 440, 5):
        c = outer.hello()
        name = f"{n}." + "n" * 200
        assert c.ask(f"XCLIENT NAME={name} ADDR=192.0.2.9 PORT=4711 "
                     f"LOGIN=user{n}")[0] == 220
        assert c.ask("EHLO " + "h" * (n - 200))[0] == 250
        assert mail(c)[0] == 250
        c.close()
    assert senders(inner) == {f"user{n}" for n in range(380, 440, 5)}


def test_weir_behind_weir_knows_users_with_blanks(weir, sink):
    """A login is text, not a word: one that the outer relay took must not stop
    at the inner one."""
    inner = weir(**TRUST)
    outer = weir(next_hop=f"127.0.0.1:{inner.port}", next_hop_xclient="true",
                 **TRUST)
    c = outer.hello()
    assert c.ask("XCLIENT LOGIN=john+20doe")[0] == 220
    assert c.ask("EHLO c.test")[0] == 250
    assert mail(c)[0] == 250
    assert senders(inner) == {"john doe"} == senders(outer)


def test_xclient_that_is_refused(weir, scripted):
    """It is no fault of the client's mail: 451, and the status says so too."""
    hop = Hop(scripted, xclient="550 5.7.0 not you")
    w = weir(next_hop=hop.address, next_hop_xclient="true")
    c = w.hello()
    assert c.ask("MAIL FROM:<a@example.org>")[0] == 250
    assert c.ask("RCPT TO:<b@example.com>") == (451, ["4.7.0 not you"])


# ---- PROXY ----

def rest(c):
    """What the peer still says; with our bytes unread it ends in a reset."""
    text = b""
    try:
        while line := c.file.readline():
            text += line
    except ConnectionError:
        pass
    return text


def proxied(w, header, source=None):
    c = Peer.connect(w.port, source=source)
    c.send(header)
    return c


V1 = b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\r\n"
V2 = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc6\x33\x64\x01"
      b"\x12\x67\0\x19")
V2_6 = (b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" +
        socket.inet_pton(socket.AF_INET6, "2001:db8::9") +
        socket.inet_pton(socket.AF_INET6, "2001:db8::1") +
        b"\x12\x67\0\x19")


@pytest.mark.parametrize("header, address", [
    (V1, "192.0.2.9"), (V2, "192.0.2.9"), (V2_6, "2001:db8::9"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", "127.0.0.1")],
    ids=["v1", "v2", "v2 IPv6", "unknown", "local"])
def test_proxy_header(weir, sink, header, address):
    w = weir(**PROXY)
    c = proxied(w, header)
    assert c.reply()[0] == 220
    c.ask("EHLO c.test")
    assert mail(c)[0] == 250
    assert f"([{address}])" in received(sink)
    # A byte at a time.
    c = Peer.connect(w.port)
    for i in range(len(header)):
        c.send(header[i:i + 1])
    assert c.reply()[0] == 220


@pytest.mark.parametrize("first", [
    b"EHLO c.test\r\n", b"PROXY TCP4 1.2.3 4.5.6.7 1 2\r\n", b"\x16\x03\x01",
    b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 25\n", b"PROXY " + b"x" * 200],
    ids=["none", "malformed", "TLS", "LF", "endless"])
def test_proxy_header_missing(weir, first):
    w = weir(**PROXY)
    c = proxied(w, first)
    assert rest(c) == b""  # closed without a word
    assert w.log_lines("smtp proxy.*not a PROXY header")


def test_proxy_counts_sessions_of_the_client(weir):
    w = weir(client_sessions_max=2, **PROXY)
    held = [proxied(w, V1) for _ in range(2)]
    assert [c.reply()[0] for c in held] == [220, 220]
    assert proxied(w, V1).reply()[0] == 421
    assert proxied(w, V2_6).reply()[0] == 220


HAPROXY = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen one
    bind 127.0.0.1:{one}
    server weir 127.0.0.1:{weir} send-proxy
listen two
    bind 127.0.0.1:{two}
    server weir 127.0.0.1:{weir} send-proxy-v2
"""


def test_haproxy(weir, sink, tmp_path):
    w = weir(**PROXY)
    one, two = free_port(), free_port()
    conf = tmp_path / "haproxy.cfg"
    conf.write_text(HAPROXY.format(one=one, two=two, weir=w.port))
    process = subprocess.Popen(["haproxy", "-db", "-f", conf],
                               stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        for n, port in enumerate((one, two)):
            until(lambda: listens(port), "haproxy to listen")
            c = Peer.connect(port, source=f"127.0.0.{7 + n}")
            assert c.reply()[0] == 220
            c.ask("EHLO c.test")
            assert mail(c, f"b{n}@example.com")[0] == 250
            assert f"([127.0.0.{7 + n}])" in received(sink, n)
        assert senders(w) == {"[127.0.0.7]", "[127.0.0.8]"}
    finally:
        process.terminate()
        process.wait(20)


def test_proxy_needs_a_list(weir):
    w = weir(start=False, listen_options="proxy = true")
    w.write_config()
    done = subprocess.run([w.command, "-t", "-c", w.config],
                          capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 78 and "proxy_from" in done.stderr


# ---- Received ----

def test_hide_client(weir, sink):
    w = weir(listen_options="hide_client = true", **TRUST)
    c = w.hello("[10.1.2.3]")
    assert mail(c)[0] == 250
    c.ask("XCLIENT NAME=pc7.inside.test ADDR=10.9.8.7 LOGIN=carol")
    c.ask("EHLO pc7.inside.test")
    assert mail(c, "c@example.com")[0] == 250
    for n, protocol in ((0, "ESMTP"), (1, "ESMTPA")):
        head = received(sink, n)
        assert head.startswith(
            f"Received: by relay.weir.test (weir) with {protocol} id ")
        for word in ("10.", "pc7", "127.0.0.1", "client"):
            assert word not in head


def test_what_is_not_known_goes_on_as_not_known(weir, scripted):
    """[UNAVAILABLE] and [TEMPUNAVAIL] of every attribute, from one host to the
    next: a lookup that may work later is no reason to refuse for good."""
    hop = Hop(scripted)
    w = weir(next_hop=hop.address, next_hop_xclient="true",
             **TRUST)
    names = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR",
             "DESTPORT")
    for value in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
        c = w.hello()
        assert c.ask("XCLIENT " + " ".join(
            f"{n}={value}" for n in names))[0] == 220
        assert c.ask("EHLO far.test")[0] == 250
        assert mail(c)[0] == 250
        got = attributes([p for p in hop.peers if p.data][-1])
        # Who is not known is the one who says so.
        assert got["ADDR"] == "127.0.0.1" and got["PROTO"] == "ESMTP"
        assert got["HELO"] == "far.test"
        for n in ("NAME", "PORT", "LOGIN", "DESTADDR", "DESTPORT"):
            assert got[n] == value, n
        # A name that is known after all takes its place.
        assert c.ask("XCLIENT NAME=far.test")[0] == 220
        assert c.ask("EHLO far.test")[0] == 250
        assert mail(c)[0] == 250
        got = attributes([p for p in hop.peers if p.data][-1])
        assert got["NAME"] == "far.test" and got["PORT"] == value
    c = w.hello()
    for command in ("ADDR", "NAME", "PORT", "PROTO", "HELO", "IDENT",
                    "SOURCE"):
        for value in ("[UNAVAILABLE]", "[TEMPUNAVAIL]"):
            assert c.ask(f"XFORWARD {command}={value}")[0] == 250
    assert mail(c)[0] == 250
