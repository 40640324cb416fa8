# SPDX-License-Identifier: BSD-3-Clause
"""next_hop is a name: resolv.conf and hosts change while weir runs. In a mount
and a network namespace of its own."""
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

from harness import DEADLINE_S, Scripted, Weir, message, serve_smtp, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs root and unshare")
ROOMY = 'interval = "1h"  burst = 1000  initial = 1000'
NAME = "mx.hop.test"


def name_server(address):
    """Answers every A question with 127.0.0.1, and nothing else."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 53))

    def serve():
        while True:
            q, peer = sock.recvfrom(2048)
            end = q.index(b"\0", 12) + 5
            is_a = struct.unpack(">H", q[end - 4:end - 2])[0] == 1
            answer = (b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4)
                      + socket.inet_aton("127.0.0.1")) if is_a else b""
            sock.sendto(q[:2] + b"\x81\x80"
                        + struct.pack(">HHHH", 1, int(is_a), 0, 0)
                        + q[12:end] + answer, peer)

    threading.Thread(target=serve, daemon=True).start()


def put(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def send(w):
    """The reply to RCPT; 250: the mail has gone."""
    peer = w.hello()
    assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
    code = peer.ask("RCPT TO:<b@example.com>")[0]
    peer.ask("RSET")
    if code == 250:
        assert peer.transact("a@example.org", ["b@example.com"],
                             message())[0] == 250
    return code


def inside(directory, what):
    name_server("127.0.0.1")
    hop = Scripted(serve_smtp)
    put("/etc/hosts", "127.0.0.1 localhost\n")
    put("/etc/resolv.conf",  # nobody is there
        "nameserver 127.0.0.9\noptions timeout:1 attempts:1\n")
    w = Weir(directory, f"{NAME}:{hop.port}", policy=ROOMY,
             next_hop_rest='"1s"').start()
    assert send(w) == 451
    if what == "resolv.conf":
        put("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    else:
        put("/etc/hosts", f"127.0.0.1 localhost {NAME}\n")
    began = time.monotonic()
    if what == "hosts and reload":
        w.ctl("reload")
        assert send(w) == 250  # the name's rest is over as well
    until(lambda: send(w) == 250, "an answer", pause_s=0.2)
    print(f"after {time.monotonic() - began:.1f} s")
    w.stop()
    hop.stop()


@pytest.mark.parametrize("what", ["resolv.conf", "hosts", "hosts and reload"])
def test_files_change(tmp_path, what):
    script = ('ip link set lo up; for f in resolv.conf hosts; do touch "$1/$f";'
              ' mount --bind "$1/$f" /etc/$f; done; shift; exec "$@"')
    done = subprocess.run(
        ["unshare", "-n", "-m", "--propagation", "private", "sh", "-ec",
         script, "sh", tmp_path, sys.executable, __file__, tmp_path / "w",
         what],
        capture_output=True, text=True, timeout=3 * DEADLINE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    inside(sys.argv[1], sys.argv[2])
