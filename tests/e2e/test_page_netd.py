# SPDX-License-Identifier: BSD-3-Clause
"""The dashboard of weir-netd, below a path of a reverse proxy (HAProxy), since
weir-netd itself listens on a Unix socket alone."""
import subprocess

import pytest

import netlab
from browser import Browser
from harness import free_port, listens, until
from netlab import send_udp

REASON = netlab.why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"netd: {REASON}")
HOST = "10.99.0.1"


@pytest.fixture
def lab(tmp_path):
    made = netlab.Lab(tmp_path)
    made.counted_pair()
    yield made
    made.close()


@pytest.fixture
def proxy(tmp_path):
    """Takes /weir/ off, as many do, and says for whom it asks."""
    made = []

    def make(path):
        port = free_port()
        config = tmp_path / "haproxy.cfg"
        config.write_text(f"""
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option forwardfor
frontend f
  bind 127.0.0.1:{port}
  http-request replace-path /weir/(.*) /\\1
  default_backend b
backend b
  server weir unix@{path}
""")
        made.append(subprocess.Popen(["haproxy", "-db", "-f", config]))
        until(lambda: listens(port), "haproxy")
        return f"http://127.0.0.1:{port}/weir/"

    yield make
    for p in made:
        p.terminate()
        p.wait()


@pytest.fixture
def page(tmp_path):
    b = Browser(tmp_path)
    yield b.page()
    b.stop()


def test_hosts_and_packets(lab, proxy, page):
    path = lab.dir / "http.sock"
    d = lab.netd("host", sections=f'http "admin" {{ address = "unix:{path}" '
                 '}', policy='interval = "1h"')
    url = proxy(path)
    token = d.ctl("token", "new", "x", "--right", "admin")["token"]
    page.open(f"{url}#token={token}")
    page.shows("Nobody is stuck")
    for i in range(1, 8):
        lab.within("host", send_udp, f"10.99.1.{i}", 80, b"x", 0.2)
    page.shows(HOST)
    page.shows("waiting")
    page.shows("2 of 100")
    page.click("button", f"Release 2 of {HOST}")
    page.shows("2 packets will be released now")
    page.click("button", "Release 2")
    page.shows("2 packets released")
    page.shows("Nobody is stuck")
    page.js(f"location.hash = '#/sender/{HOST}'")
    page.fill("Reason (optional)", "looks odd")
    page.click("button", "Freeze")
    page.shows("frozen since")
    assert d.sender()["frozen"]
    page.js("location.hash = '#/stuck'")
    page.shows("1 host frozen")
    page.click("button", f"Thaw {HOST}")
    page.shows("Nobody is stuck")
    assert not d.sender()["frozen"]
    for view, text in (("queue", "Nothing is waiting"), ("senders", "1 host"),
                       ("events", "thaw"), ("status", "weir-netd"),
                       ("policies", "policy"), ("graphs", "Packets passed"),
                       ("access", "For browsers, scripts"),
                       (f"sender/{HOST}", "Waiting, UDP")):
        page.js(f"location.hash = '#/{view}'")
        page.shows(text)
    assert not page.has("link", "Audit")
    assert all(u.startswith((url, "data:")) for u in page.requests
               if u != "about:blank"), page.requests
    assert page.complaints == []
