# SPDX-License-Identifier: BSD-3-Clause
"""Accepts TCP on every address and closes again; echoes UDP from the address
that was asked. For netlab.py; ends when it is killed."""
import selectors
import socket
import struct
import sys

port = int(sys.argv[1])
selector = selectors.DefaultSelector()
for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    tcp = socket.socket(family, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        for s in (tcp, udp):
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
    tcp.bind((any_address, port))
    tcp.listen(512)
    udp.bind((any_address, port))
    selector.register(tcp, selectors.EVENT_READ)
    selector.register(udp, selectors.EVENT_READ)
print("ready", flush=True)
while True:
    for key, _ in selector.select():
        s = key.fileobj
        if s.type == socket.SOCK_STREAM:
            s.accept()[0].close()
            continue
        data, control, _, peer = s.recvmsg(65536, 256)
        answer = []
        for level, kind, value in control:
            if kind == 8:
                local = struct.unpack("=I4s4s", value[:12])[2]
                answer = [(level, kind, struct.pack("=I4s4s", 0, local, local))]
        try:
            s.sendmsg([data], answer, 0, peer)
        except OSError:
            pass
