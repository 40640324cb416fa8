# SPDX-License-Identifier: BSD-3-Clause
"""A DNS server for netlab.py, UDP and TCP: nN.test is an alias of realN.test,
which has the addresses 10.99.2.N and fd99::1:N; a name that begins with lie gets
an address under another name; one with swap has its alias last; one with big is
truncated over UDP, and over TCP has a hundred addresses more, in segments that
are cut anywhere. The TTL is 60 s, or 6 s for a name that begins with short."""
import re
import socket
import struct
import threading
import time

OPT = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)


def label(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + \
        b"\0"


def record(owner, kind, ttl, data):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def answer(query, is_tcp):
    end = query.index(b"\0", 12)
    name = query[13:13 + query[12]].decode()
    kind = struct.unpack(">H", query[end + 1:end + 3])[0]
    edns = OPT if query[10:12] != b"\0\0" else b""
    n = int(re.search(r"\d+", name)[0])
    ttl = 6 if name.startswith("short") else 60
    target = label(f"real{n}.test")
    owner = label("else.test") if name.startswith("lie") else target
    flags, answers = b"\x81\x80", []
    if name.startswith("big") and not is_tcp:
        flags = b"\x83\x80"  # truncated: ask over TCP
    elif kind in (1, 28):
        address = socket.inet_pton(socket.AF_INET6, f"fd99::1:{n}") \
            if kind == 28 else socket.inet_pton(socket.AF_INET, f"10.99.2.{n}")
        if name.startswith("big"):
            answers += [record(owner, 1, ttl, bytes([192, 0, 2, i]))
                        for i in range(100)]
        answers.append(record(owner, kind, ttl, address))
        alias = record(b"\xc0\x0c", 5, ttl, target)
        answers.insert(len(answers) if name.startswith("swap") else 0, alias)
    return query[:2] + flags + struct.pack(
        ">HHHH", 1, len(answers), 0, bool(edns)) + query[12:end + 5] + \
        b"".join(answers) + edns


def exactly(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def speak(s):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while True:
            data = answer(exactly(s, struct.unpack(">H", exactly(s, 2))[0]),
                          True)
            data = struct.pack(">H", len(data)) + data
            for piece in (data[:1], data[1:90], data[90:700], data[700:]):
                s.sendall(piece)
                time.sleep(0.002)
    except (EOFError, OSError):
        s.close()


def listen():
    s = socket.create_server(("0.0.0.0", 53))
    while True:
        threading.Thread(target=speak, args=s.accept()[:1],
                         daemon=True).start()


udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
threading.Thread(target=listen, daemon=True).start()
while True:
    question, peer = udp.recvfrom(512)
    udp.sendto(answer(question, False), peer)
