# SPDX-License-Identifier: BSD-3-Clause
"""HTTP in the mail daemon: metrics as Prometheus' own tool takes them, what
hostile requests get, TLS, a reload; and mail goes on meanwhile."""
import concurrent.futures
import hashlib
import http.client
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

import openmetrics
from harness import DEADLINE_S, free_port, message, until
from pki import Pki

FROM = "alice@example.org"
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
    assert value(text, 'weir_recipients_total{verdict="hold",why="allowance"}'
                 ) == 3
    assert value(text, 'weir_recipients_total{verdict="pass",why="allowed"}'
                 ) == 2
    for verdict, n in ("pass", 2), ("hold", 3), ("refuse", 0):
        assert value(text, 'weir_policy_recipients_total{policy="default",'
                     f'verdict="{verdict}"}}') == n
    assert value(text, 'weir_spool_recipients{state="held"}') == 3
    assert value(text, 'weir_senders{state="frozen"}') == 0
    assert value(text, 'weir_senders{state="waiting"}') == 1
    assert value(text, "weir_messages_total") == 1
    assert FROM not in text and "example.com" not in text
    # Series are there from the start, at 0.
    assert value(text, "weir_freezes_total") == 0
    for series in ("connections_total{listener=", "next_hop_up{next_hop=",
                   "next_hop_connections_total{next_hop=",
                   'scope_recipients_held_total{scope="local"} 0',
                   'recipients_total{verdict="refuse",why="frozen"} 0',
                   'alerts_total{channel="mail",result="sent"} 0',
                   'held_duration_seconds_bucket{le="60.0"} 0',
                   'policy_freezes_total{policy="default"} 0'):
        assert f"\nweir_{series}" in text, series
    until(lambda: value(get(w.web_port)[1], "weir_oldest_held_seconds") > 0,
          "the oldest is found")
    w.run_ctl("freeze", FROM)
    _, text = get(w.web_port)
    assert value(text, 'weir_senders{state="frozen"}') == 1
    assert value(text, 'weir_senders{state="waiting"}') == 0
    w.run_ctl("release", "--sender", FROM)
    _, text = get(w.web_port)
    assert value(text, "weir_held_duration_seconds_count") == 3
    assert value(text, 'weir_held_duration_seconds_bucket{le="60.0"}') == 3
    assert value(text, 'weir_held_duration_seconds_bucket{le="+Inf"}') == 3
    assert 0 < value(text, "weir_held_duration_seconds_sum") < 180
    until(lambda: value(get(w.web_port)[1], "weir_oldest_held_seconds") == 0,
          "nothing is held")
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
    families = openmetrics.check(text)
    assert families["weir_build"]["type"] == "info"
    assert families["weir_messages"]["type"] == "counter"
    assert families["weir_held_duration_seconds"]["type"] == "histogram"
    # Prometheus sends both; one that takes anything gets the older text.
    assert "# EOF" not in get(w.web_port, Accept="*/*")[1]


HOSTILE = pathlib.Path(__file__).parent / "dialogues/http.txt"


def unescape(text):
    return text.encode().decode("unicode_escape").encode("latin-1")


def read_hostile(words):
    """[(name, bytes, [statuses], (seconds, text) or None)]"""
    found = []
    for line in HOSTILE.read_text().splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "==":
            found.append([rest, b"", [], None])
        elif mark == ">":
            for word, value in words.items():
                rest = rest.replace("{%s}" % word, value)
            rest = re.sub(r"\{([^{}*]+)\*(\d+)\}",
                          lambda m: m[1] * int(m[2]), rest)
            found[-1][1] += unescape(rest)
        elif mark == "~":
            seconds, _, text = rest.partition(" ")
            found[-1][3] = int(seconds), unescape(text)
        elif mark == "=":
            found[-1][2] = [] if rest == "closed" else rest.split()
    return found


def say(port, request):
    """Statuses of what is answered until the connection ends."""
    with socket.create_connection(("127.0.0.1", port)) as s:
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
    return re.findall(r"(?:^|\n|\})HTTP/1\.1 (\d+)",
                      answer.decode("latin-1"))


def say_slowly(port, request, seconds, text):
    """The same of a client that does not come to an end, and whether it was
    ended in time."""
    began, answer, sent = time.monotonic(), b"", 0
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(request)
        s.settimeout(0.5)
        while time.monotonic() < began + seconds:
            try:
                piece = s.recv(65536)
                if not piece:
                    break
                answer += piece
                continue
            except TimeoutError:
                pass
            except ConnectionError:
                break
            try:
                if text:
                    s.sendall(text[sent % len(text):][:1])
                    sent += 1
            except ConnectionError:
                break
        else:
            return ["not ended"]
    return re.findall(r"(?:^|\n|\})HTTP/1\.1 (\d+)", answer.decode("latin-1"))


def test_hostile_requests(web, sink):
    w = web()
    send(w, [f"n{i}@example.com" for i in range(5)])
    token = w.run_ctl("token", "new", "a", "--right", "admin").stdout.strip()
    view = w.run_ctl("token", "new", "v").stdout.strip()
    words = {"token": token, "view": view, "port": str(w.web_port),
             "hash": hashlib.sha256(token.encode()).hexdigest()}
    before = w.queue()
    dialogues = read_hostile(words)
    assert len(dialogues) > 50
    for name, request, statuses, pace in dialogues:
        if pace:
            continue
        assert say(w.web_port, request) == statuses, name
    assert w.queue() == before
    assert len(w.ctl("token", "list")) == 2
    assert get(w.web_port)[0].status == 200


@pytest.mark.long("clients that send a header or a body by the byte")
def test_hostile_slow_requests(web):
    """Together, since they take their time."""
    w = web()
    words = {"token": w.run_ctl("token", "new", "a", "--right",
                                "admin").stdout.strip()}
    slow = [d for d in read_hostile(words) if d[3]]
    assert len(slow) > 3
    with concurrent.futures.ThreadPoolExecutor(len(slow)) as pool:
        heard = pool.map(lambda d: say_slowly(w.web_port, d[1], *d[3]), slow)
        for (name, _, statuses, _), got in zip(slow, heard):
            assert got == statuses, name
    assert get(w.web_port)[0].status == 200


def test_slow_clients_cost_mail_nothing(web, sink):
    """All places taken by clients that say a byte now and then: mail goes on,
    those that wait lose their place, and others find one."""
    w = web('clients = {"127.0.0.0/8"}')
    slow = []
    for i in range(70):
        s = socket.socket()
        s.bind((f"127.0.1.{i // 4 + 1}", 0))
        s.connect(("127.0.0.1", w.web_port))
        s.sendall(b"GET /metrics HTT")
        slow.append(s)
    began = time.monotonic()
    send(w, ["one@example.com"])
    assert time.monotonic() - began < 5
    until(lambda: get_or_none(w.web_port) == 200, "a place again", 60)
    for s in slow:
        s.close()
    assert w.status()["messages"] == 1


def get_or_none(port):
    try:
        return get(port)[0].status
    except (OSError, http.client.HTTPException):
        return None


def test_hosts_and_reload(web):
    w = web('hosts = {"relay.weir.test"}')
    assert get(w.web_port, Host="relay.weir.test")[0].status == 200
    r, text = get(w.web_port, Host="new.weir.test")
    assert r.status == 421 and "hosts of the http section" in text
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
    ('address = "127.0.0.1:{mail}"', "is already used by"),
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


def test_last_reload(web):
    w = web()
    _, text = get(w.web_port)
    assert value(text, "weir_last_reload_successful") == 1
    was = value(text, "weir_last_reload_timestamp_seconds")
    w.config.write_text(w.config.read_text() + "odd = 1\n")
    assert w.run_ctl("reload").returncode == 1
    _, text = get(w.web_port)
    assert value(text, "weir_last_reload_successful") == 0
    assert value(text, "weir_last_reload_timestamp_seconds") >= was
