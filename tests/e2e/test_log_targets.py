# SPDX-License-Identifier: BSD-3-Clause
"""The syslog and the journal, heard by sockets in their places. Only where
this machine has no log daemon of its own."""
import os
import pathlib
import socket

import pytest

from harness import DEADLINE_S, message
from test_smoke import send


def listen(path):
    if os.geteuid() != 0 or path.exists():
        pytest.skip(f"{path} is taken, or not ours to make")
    path.parent.mkdir(parents=True, exist_ok=True)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(str(path))
    path.chmod(0o666)
    s.settimeout(DEADLINE_S)
    return s


@pytest.fixture(params=["syslog", "journal"])
def target(request):
    path = pathlib.Path("/dev/log" if request.param == "syslog"
                        else "/run/systemd/journal/socket")
    s = listen(path)
    yield request.param, s
    s.close()
    path.unlink()


def test_lines_reach_the_log(weir, sink, target):
    name, heard = target
    w = weir(policy="key = envelope", log=name)
    send(w.port, "alice@example.org", ["bob@example.com"],
         message(subject="logged"))
    while True:
        data = heard.recv(65536)
        if b"smtp message" in data and b"result=passed" in data:
            break
    assert b"<alice@example.org>" in data
    assert b"weir-maild" in data
    if name == "syslog":
        assert data.startswith(b"<22>")  # mail.info
    else:
        assert b"PRIORITY=6" in data
    assert "result=passed" not in w.log()
