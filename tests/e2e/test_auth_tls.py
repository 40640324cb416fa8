# SPDX-License-Identifier: BSD-3-Clause
"""Logins and identities where TLS is: what is offered when, what STARTTLS
forgets, a PROXY header in front of a handshake."""
import socket
import ssl

from harness import DEADLINE_S, Peer, hello, message
from test_auth import PLAIN, Hop, senders
from test_identity import V1, V2
from test_tls import cert, pki, starttls, tls_weir  # noqa: F401: fixtures


def offers_auth(lines):
    return any(line.startswith("AUTH") for line in lines)


def test_login_over_tls(tls_weir, pki, scripted):  # noqa: F811
    hop = Hop(scripted)
    w = tls_weir("may", "auth = pass", next_hop=hop.address)
    c = starttls(w.tls_port, pki.client())
    _, lines = c.ask("EHLO c.test")
    assert offers_auth(lines)
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    assert c.transact("a@example.org", ["b@example.com"], message())[0] == 250
    [peer] = hop.authenticated()
    assert b"with ESMTPSA id" in peer.data
    assert senders(w) == {"alice@example.org"}


def test_from_afar_over_tls_alone(tls_weir, pki, scripted):  # noqa: F811
    hop = Hop(scripted)
    w = tls_weir("may", "auth = pass", next_hop=hop.address,
                 xclient_from='{"127.0.0.1"}')
    c = hello(w.tls_port)
    assert c.ask("XCLIENT ADDR=192.0.2.9")[0] == 220
    assert not offers_auth(c.ask("EHLO far.test")[1])
    c = starttls(w.tls_port, pki.client())
    c.ask("EHLO c.test")
    assert c.ask("XCLIENT ADDR=192.0.2.9")[0] == 220
    assert offers_auth(c.ask("EHLO far.test")[1])


def test_login_before_starttls_is_forgotten(tls_weir, pki,  # noqa: F811
                                            scripted):
    hop = Hop(scripted)
    w = tls_weir("may", "auth = pass", next_hop=hop.address)
    c = hello(w.tls_port)
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
    assert c.ask("STARTTLS")[0] == 220
    c.sock = pki.client().wrap_socket(c.sock,
                                      server_hostname="relay.weir.test")
    c.file = c.sock.makefile("rb")
    c.ask("EHLO c.test")
    assert c.transact("a@example.org", ["b@example.com"], message())[0] == 250
    assert senders(w) == {"[127.0.0.1]"}
    assert all(p.data == b"" for p in hop.authenticated())


def test_proxy_header_before_the_handshake(tls_weir, pki, sink):  # noqa: F811
    w = tls_weir("implicit", "proxy = true", proxy_from='{"127.0.0.1"}')
    for n, header in enumerate((V1, V2)):
        raw = socket.create_connection(("127.0.0.1", w.tls_port),
                                       timeout=DEADLINE_S)
        raw.sendall(header)  # and the handshake at its heels
        c = Peer(pki.client().wrap_socket(
            raw, server_hostname="relay.weir.test"))
        assert c.reply()[0] == 220
        c.ask("EHLO c.test")
        assert c.transact("a@example.org", [f"b{n}@example.com"],
                          message())[0] == 250
        head = sink.messages[n][2]
        assert b"([192.0.2.9])" in head and b"with ESMTPS id" in head


def test_proxy_header_and_handshake_in_one_piece(tls_weir, pki,  # noqa: F811
                                                 sink):
    w = tls_weir("implicit", "proxy = true", proxy_from='{"127.0.0.1"}')
    raw = socket.create_connection(("127.0.0.1", w.tls_port),
                                   timeout=DEADLINE_S)
    from_server, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = pki.client().wrap_bio(from_server, to_server,
                                server_hostname="relay.weir.test")
    outgoing = None
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    raw.sendall(V1 + to_server.read())
    while outgoing is None:
        from_server.write(raw.recv(65536))
        try:
            tls.do_handshake()
            outgoing = to_server.read()
        except ssl.SSLWantReadError:
            pass
    raw.sendall(outgoing)
    while True:
        try:
            assert tls.read(4096).startswith(b"220 ")
            break
        except ssl.SSLWantReadError:
            from_server.write(raw.recv(65536))
    raw.close()
