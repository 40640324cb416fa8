# SPDX-License-Identifier: BSD-3-Clause
"""HTTP in the mail daemon: metrics as Prometheus' own tool takes them, what
hostile requests get, TLS, a reload; and mail goes on meanwhile."""
import http.client
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess

import pytest

from harness import DEADLINE_S, free_port, message, until
from pki import Pki

FROM = "alice@example.org"
RULES = pathlib.Path(__file__).parents[2] / "contrib/prometheus-rules.yml"
TIGHT = 'key = envelope  interval = "1h"  burst = 2  initial = 2'
OPENMETRICS = "application/openmetrics-text"


def section(port, extra=""):
    return f'http "admin" {{ address = "127.0.0.1:{port}"  {extra} }}'


@pytest.fixture
def web(weir):
    def make(extra="", **kw):
        port = free_port()
        w = weir(sections=section(port, extra), policy=TIGHT, **kw)
        w.web_port = port
        return w
    return make


def get(port, path="/metrics", method="GET", **headers):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    c.request(method, path, headers=headers)
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return r, text


def send(w, to):
    with smtplib.SMTP("127.0.0.1", w.port, timeout=DEADLINE_S) as s:
        s.sendmail(FROM, to, message("m"))


def value(text, series):
    line = next(x for x in text.splitlines() if x.startswith(series + " "))
    return float(line.split()[-1])


def test_metrics(web, sink):
    w = web()
    send(w, [f"n{i}@example.com" for i in range(5)])
    r, text = get(w.web_port)
    assert r.getheader("Content-Type").startswith("text/plain; version=0.0.4")
    assert value(text, 'weir_recipients_total{verdict="hold",why="throttle"}'
                 ) == 3
    assert value(text, 'weir_recipients_total{verdict="pass",why="allowed"}'
                 ) == 2
    assert value(text, 'weir_spool_recipients{state="held"}') == 3
    assert value(text, 'weir_senders{state="frozen"}') == 0
    assert value(text, "weir_messages_total") == 1
    assert FROM not in text and "example.com" not in text
    # Series are there from the start, at 0.
    assert value(text, "weir_freezes_total") == 0
    w.run_ctl("freeze", FROM)
    _, text = get(w.web_port)
    assert value(text, 'weir_senders{state="frozen"}') == 1
    done = subprocess.run(["promtool", "check", "metrics"], input=text,
                          capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_openmetrics(web):
    """What differs from the older text: families are named without _total, an
    info is an info, and the end is marked."""
    w = web()
    r, text = get(w.web_port, Accept=f"{OPENMETRICS};version=1.0.0,"
                  "text/plain;q=0.5")
    assert r.getheader("Content-Type").startswith(OPENMETRICS)
    lines = text.splitlines()
    assert lines[-1] == "# EOF"
    types = dict(x.split()[2:] for x in lines if x.startswith("# TYPE "))
    assert types["weir_build"] == "info" and types["weir_messages"] == "counter"
    seen = []
    for line in lines[:-1]:
        if line.startswith("#"):
            family = line.split()[2]
            continue
        name = line.split("{")[0].split()[0]
        suffix = {"counter": "_total", "gauge": "", "info": "_info"}
        assert name == family + suffix[types[family]], line
        seen.append(line.rpartition(" ")[0])
    assert len(seen) == len(set(seen))
    # Prometheus sends both; one that takes anything gets the older text.
    assert "# EOF" not in get(w.web_port, Accept="*/*")[1]


def test_alert_rules(web):
    """contrib's rules are good, and name series that are there."""
    done = subprocess.run(["promtool", "check", "rules", RULES],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    _, text = get(web().web_port)
    named = re.findall(r"weir_[a-z_]+", "".join(
        x for x in RULES.read_text().splitlines() if "expr:" in x))
    for name in named:
        assert re.search(f"^# TYPE {name} ", text, re.M), name


HOSTILE = [
    (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: a\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
    (b"GET /metrics HTTP/1.1\nHost: localhost\n\n", 400),
    (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", 400),
    (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
     b"Content-Length: 6\r\n\r\nhello", 400),
    (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n"
     b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
     b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 411),
    (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\n"
     b"Content-Length: 99999999\r\n\r\n", 413),
    (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 1000000,
     431),
    (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 100
     + b"\r\n", 431),
    (b"GET /metrics HTTP/1.1\r\nHost: rebound.test\r\n\r\n", 421),
    (b"GET /../metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"GET /%2e/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"GET /metrics%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"GET /metrics/x HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    (b"DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    (b"CONNECT localhost:25 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"EHLO localhost\r\n", None),
    (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n", 400),
]


def test_hostile_requests(web):
    w = web()
    for request, code in HOSTILE:
        with socket.create_connection(("127.0.0.1", w.web_port)) as s:
            s.settimeout(DEADLINE_S)
            try:
                s.sendall(request)
            except ConnectionError:  # refused before its end
                pass
            s.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while piece := s.recv(65536):
                    answer += piece
            except ConnectionError:
                pass
            got = int(answer[9:12]) if answer else None
            assert got == code, (request[:60], answer[:200])
            assert answer.count(b"\r\nHTTP/1.1 ") == 0
    assert get(w.web_port)[0].status == 200


def test_hosts_and_reload(web):
    w = web('hosts = {"relay.weir.test"}')
    assert get(w.web_port, Host="relay.weir.test")[0].status == 200
    r, text = get(w.web_port, Host="new.weir.test")
    assert r.status == 421 and "hosts of the section" in text
    w.sections = section(w.web_port, 'hosts = {"new.weir.test"}')
    w.write_config()
    assert w.run_ctl("reload").returncode == 0
    assert get(w.web_port, Host="new.weir.test")[0].status == 200
    assert get(w.web_port, Host="relay.weir.test")[0].status == 421
    # Without its section it stays bound and says nothing more.
    w.sections = ""
    w.write_config()
    assert w.run_ctl("reload").returncode == 0
    assert get(w.web_port)[0].status == 403


def test_tls(web, tmp_path):
    pki = Pki(tmp_path)
    w = web(f'tls_cert = "{pki.cert("web", ["127.0.0.1"])}"')
    context = ssl.create_default_context(cafile=pki.ca)
    c = http.client.HTTPSConnection("127.0.0.1", w.web_port, context=context,
                                    timeout=DEADLINE_S)
    c.request("GET", "/metrics")
    assert c.getresponse().status == 200
    c.close()
    with socket.create_connection(("127.0.0.1", w.web_port)) as s:
        s.settimeout(DEADLINE_S)
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            assert b"HTTP/1.1 200" not in s.recv(1000)
        except ConnectionError:
            pass
    assert get_status(w.web_port, context) == 200


def get_status(port, context):
    c = http.client.HTTPSConnection("127.0.0.1", port, context=context,
                                    timeout=DEADLINE_S)
    c.request("GET", "/metrics")
    status = c.getresponse().status
    c.close()
    return status


def test_unix_socket(weir, tmp_path):
    path = tmp_path / "http.sock"
    weir(sections=f'http "local" {{ address = "unix:{path}" }}')
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(DEADLINE_S)
    s.connect(str(path))
    s.sendall(b"GET /metrics HTTP/1.0\r\nHost: whatever\r\n\r\n")
    with s.makefile("rb") as f:
        assert f.readline().startswith(b"HTTP/1.1 200")
    s.close()


def test_crowd_costs_mail_nothing(web, sink):
    """All places are taken by clients that trickle or say nothing: further
    ones are turned away, and mail goes on."""
    w = web('clients = "127.0.0.0/8"')
    kept = []
    for i in range(70):
        s = socket.socket()
        s.bind((f"127.0.1.{i // 8 + 1}", 0))
        s.connect(("127.0.0.1", w.web_port))
        s.sendall(b"GET /metr")
        kept.append(s)
    until(lambda: w.log_lines("http refuse .*limit=connections"), "the refusal")
    send(w, ["bob@example.com"])
    assert sink.messages
    for s in kept:
        s.close()
    until(lambda: get(w.web_port)[0].status == 200, "a place")


@pytest.mark.parametrize("extra, words", [
    ('address = "nonsense"', "address"),
    ('address = "127.0.0.1:{port}"  tls_key = "/nonexistent"', "tls_key"),
    ('address = "127.0.0.1:{port}"  tls_cert = "/nonexistent"', "tls_cert"),
    ('address = "127.0.0.1:{port}"  clients = "10.0.0.1/8"', "clients"),
    ('address = "127.0.0.1:{mail}"', "is taken by"),
    ('address = "127.0.0.1:{port}"  token = "x"', "token"),
])
def test_bad_sections(weir, extra, words):
    w = weir(start=False)
    w.sections = 'http "admin" { %s }' % extra.format(port=free_port(),
                                                      mail=w.port)
    w.write_config()
    done = subprocess.run([w.command, "-t", "-c", w.config],
                          capture_output=True, text=True)
    assert done.returncode != 0
    assert words in done.stderr and "weir.conf:" in done.stderr, done.stderr
