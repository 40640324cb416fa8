# SPDX-License-Identifier: BSD-3-Clause
"""A DNS server for netlab.py: nN.test is an alias of realN.test, which has the
addresses 10.99.2.N and fd99::1:N; a name that begins with lie gets an address
under another name. The TTL is 60 s, or 6 s for a name that begins with short."""
import re
import socket
import struct

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))


def label(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + \
        b"\0"


while True:
    query, peer = s.recvfrom(512)
    end = query.index(b"\0", 12)
    name = query[13:13 + query[12]].decode()
    kind = struct.unpack(">H", query[end + 1:end + 3])[0]
    n = int(re.search(r"\d+", name)[0])
    ttl = 6 if name.startswith("short") else 60
    target = label(f"real{n}.test")
    owner = label("else.test") if name.startswith("lie") else target
    address = socket.inet_pton(socket.AF_INET6, f"fd99::1:{n}") \
        if kind == 28 else socket.inet_pton(socket.AF_INET, f"10.99.2.{n}")
    answers = owner + struct.pack(">HHIH", kind, 1, ttl, len(address)) + address
    answers += b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, ttl, len(target)) + \
        target
    s.sendto(query[:2] + b"\x81\x80\0\1\0\2\0\0\0\0" + query[12:end + 5] +
             answers, peer)
