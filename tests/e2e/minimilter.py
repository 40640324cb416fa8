# SPDX-License-Identifier: BSD-3-Clause
"""A filter of a few lines, for a mail server that asks weir as well. At the end
of a message it does what it is told: "reject", "addheader", or
"addrcpt:ADDRESS"."""
import socket
import struct
import threading

ACTIONS = 0x7f  # whatever version 6 of the protocol has


class MiniMilter:
    def __init__(self, at_end):
        self.at_end = at_end
        self.server = socket.create_server(("127.0.0.1", 0))
        self.where = f"inet:127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,),
                             daemon=True).start()

    def stop(self):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def serve(self, conn):
        with conn, conn.makefile("rb") as f:
            def put(packet):
                conn.sendall(struct.pack(">I", len(packet)) + packet)

            while len(head := f.read(4)) == 4:
                packet = f.read(struct.unpack(">I", head)[0])
                command = packet[:1]
                if command == b"O":
                    put(b"O" + struct.pack(">III", 6, ACTIONS, 0))
                elif command == b"Q":
                    return
                elif command == b"E":
                    self.end(put)
                elif command not in (b"D", b"A", b"K"):
                    put(b"c")

    def end(self, put):
        if self.at_end == "reject":
            put(b"y550 5.7.1 virus found\0")
            return
        if self.at_end == "addheader":
            put(b"hX-Mini\0seen\0")
        elif self.at_end.startswith("addrcpt:"):
            put(b"+" + self.at_end[8:].encode() + b"\0")
        put(b"c")
