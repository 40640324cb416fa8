# SPDX-License-Identifier: BSD-3-Clause
"""The API over HTTP: rights from its own table, tokens, logins, pages, bulk
changes with a count first, the stream of events."""
import base64
import http.client
import json
import os
import pathlib
import re
import smtplib
import socket
import subprocess
import time
import urllib.parse

import pytest

from harness import BUILD, DEADLINE_S, free_port, message, until

FROM = "mallory@example.org"
TIGHT = 'key = envelope  interval = "1h"  burst = 2  initial = 2'
RIGHTS = ["view", "operate", "admin"]
SOURCE = pathlib.Path(__file__).parents[2] / "src"


class Api:
    """One daemon, and requests to it."""

    def __init__(self, weir, port):
        self.weir, self.port = weir, port

    def token(self, name="t", right="admin", *options):
        done = self.weir.run_ctl("token", "new", name, "--right", right,
                                 *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ask(self, method, path, body=None, token=None, raw=None, whole=True,
            **headers):
        """(status, headers, JSON or text)"""
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            raw = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        c = http.client.HTTPConnection("127.0.0.1", self.port,
                                       timeout=DEADLINE_S)
        c.request(method, path, raw, headers)
        r = c.getresponse()
        is_json = "json" in (r.getheader("Content-Type") or "")
        text = r.read().decode() if whole or is_json else ""
        c.close()
        if "json" in (r.getheader("Content-Type") or ""):
            text = json.loads(text)
        return r.status, r, text

    def get(self, path, token):
        status, _, value = self.ask("GET", "/api/v1/" + path, token=token)
        assert status == 200, value
        return value

    def post(self, path, auth, /, **body):
        return self.ask("POST", "/api/v1/" + path, body, auth)


@pytest.fixture
def api(weir, sink):
    def make(extra="", policy=TIGHT, alerts="", **kw):
        port = free_port()
        w = weir(sections=f'http "admin" {{ address = "127.0.0.1:{port}" '
                 f"{extra} }}\n{alerts}", policy=policy, **kw)
        return Api(w, port)
    return make


def send(a, to, sender=FROM, subject="m"):
    with smtplib.SMTP("127.0.0.1", a.weir.port, timeout=DEADLINE_S) as s:
        s.sendmail(sender, to, message(subject))


def check_rights(ask, tokens):
    """Of each row of the table: without a token, with a right that is too low,
    with the right. What the table says comes from the API itself. ask: (method,
    path, token) to (status, JSON or text). Returns {command: right}."""
    routes = ask("GET", "/api/v1/openapi.json", tokens["view"])[1]["paths"]
    commands = {}
    for path, methods in routes.items():
        for method, op in methods.items():
            right = op["x-weir-right"]
            commands.setdefault(op.get("x-weir-command"), right)
            url = path.replace("{id}", "0S9N9W1VW0000").replace("{", "")
            url = url.replace("}", "")
            where = method.upper(), url
            status, text = ask(*where, None)
            if right == "none":
                assert status not in (401, 403), where
                continue
            assert status == 401, where
            need = {"login": "view", "metrics": "view"}.get(right, right)
            for other in RIGHTS:
                status, text = ask(*where, tokens[other])
                if RIGHTS.index(other) < RIGHTS.index(need):
                    assert status == 403 and f'"{need}"' in text["detail"]
                else:
                    assert status not in (401, 403), (where, other, text)
    return commands


def commands_of(path):
    """The command table's, as its source has it."""
    return set(re.findall(r"\.name = \"([a-z_]+)\"",
                          (SOURCE / path).read_text()))


def test_each_route_asks_for_its_right(api):
    a = api("metrics = token")

    def ask(method, path, token):
        # A stream has no end.
        status, _, text = a.ask(method, path, token=token,
                                whole=not path.endswith("/stream"))
        return status, text

    commands = check_rights(ask, {r: a.token(r, r) for r in RIGHTS})
    # All that weirctl can do, the API can.
    table = commands_of("maild/control_table.c")
    assert "learn" in table and table <= set(commands)
    assert {"tokens", "user_set", "token_revoke"} <= set(commands)


def test_tokens(api, tmp_path):
    a = api()
    ops = a.token("ops", "operate")
    assert a.get("session", ops)["right"] == "operate"
    # As the password of Basic, whatever the name.
    basic = base64.b64encode(f"any:{ops}".encode()).decode()
    status, _, who = a.ask("GET", "/api/v1/session",
                           Authorization=f"Basic {basic}")
    assert status == 200 and who["name"] == "token ops"
    # From there alone; for a time alone.
    far = a.token("far", "admin", "--networks", "192.0.2.0/24")
    assert a.ask("GET", "/api/v1/status", token=far)[0] == 401
    short = a.token("short", "view", "--expires", "1ms")
    until(lambda: a.ask("GET", "/api/v1/status", token=short)[0] == 401,
          "the token has expired")
    # Nothing in the file lets anybody in; a restart keeps what it holds.
    text = (a.weir.spool / "http-access.json").read_text()
    assert ops not in text and ops.removeprefix("weir_") not in text
    a.weir.restart()
    assert a.get("session", ops)["name"] == "token ops"
    rows = json.loads(a.weir.run_ctl("--json", "token", "list").stdout)
    row = next(r for r in rows if r["name"] == "ops")
    assert row["last_used"] and row["right"] == "operate"
    assert a.weir.run_ctl("token", "revoke", row["id"]).returncode == 0
    assert a.ask("GET", "/api/v1/status", token=ops)[0] == 401
    assert a.weir.run_ctl("token", "revoke", row["id"]).returncode == 1


def test_one_domain(api):
    """A domain's administrator: his own senders, and no others by any way."""
    a = api()
    send(a, [f"n{i}@example.com" for i in range(5)])
    send(a, [f"n{i}@example.com" for i in range(4)], "eve@example.net")
    admin = a.token()
    own = a.token("net", "operate", "--domain", "example.net")
    rows = a.get("senders", own)["items"]
    assert [r["sender"] for r in rows] == ["<eve@example.net>"] or \
        [r["sender"] for r in rows] == ["eve@example.net"]
    foreign = next(r["sender"] for r in a.get("senders", admin)["items"]
                   if "mallory" in r["sender"])
    path = "senders/" + urllib.parse.quote(foreign, safe="")
    assert a.ask("GET", "/api/v1/" + path, token=own)[0] == 404
    assert a.post(path + "/freeze", own)[0] == 404
    queue = a.get("queue", admin)["items"]
    mine = [m["id"] for m in queue if "eve" in m["sender"]]
    others = [m["id"] for m in queue if "mallory" in m["sender"]]
    assert [m["id"] for m in a.get("queue", own)["items"]] == mine
    for other in others:
        assert a.ask("GET", f"/api/v1/queue/{other}", token=own)[0] == 404
        assert a.ask("GET", f"/api/v1/queue/{other}/content",
                     token=own)[0] == 404
    assert a.post("queue/discard", own, ids=others)[0] == 404
    for path in ("status", "audit", "problems", "tokens", "config"):
        assert a.ask("GET", "/api/v1/" + path, token=own)[0] == 403, path
    assert all("mallory" not in json.dumps(e)
               for e in a.get("events", own)["items"])
    # All is all of his.
    status, _, done = a.post("queue/release", own, all=True)
    assert status == 200 and done["recipients"] == 2
    assert {m["id"] for m in a.get("queue", admin)["items"]} >= set(others)


def test_queue_in_pages_and_bulk(api):
    a = api()
    t = a.token()
    for i in range(7):
        send(a, [f"n{i}@example.com"], subject=f"Invoice {i}")
    send(a, ["n9@example.com"], subject="Lunch")
    ids, cursor = [], ""
    while cursor is not None:
        page = a.get(f"queue?limit=2{cursor}", t)
        assert len(page["items"]) <= 2
        ids += [m["id"] for m in page["items"]]
        cursor = page["next"] and "&cursor=" + page["next"]
    assert len(ids) == 6 == len(set(ids)) and ids == sorted(ids)
    assert len(a.get("queue?subject=INVOICE", t)["items"]) == 5
    assert a.get("queue?size_min=100000", t)["items"] == []
    assert a.get("queue?older=1h", t)["items"] == []
    assert len(a.get("queue?newer=1h&state=held", t)["items"]) == 6
    assert a.get("queue?state=deferred", t)["items"] == []
    one = a.get(f"queue/{ids[0]}", t)
    assert one["id"] == ids[0] and one["recipients"][0]["state"] == "held"
    text = a.get(f"queue/{ids[0]}/content", t)
    assert "Subject: Invoice" in text["content"] and not text["truncated"]
    # First a count, which changes nothing, then the change.
    select = {"sender": FROM, "subject": "invoice", "reason": "ticket 7"}
    status, _, count = a.post("queue/discard", t, dry_run=True, **select)
    assert status == 200 and count["dry_run"]
    assert (count["messages"], count["recipients"]) == (5, 5)
    assert len(a.get("queue", t)["items"]) == 6
    status, _, done = a.post("queue/discard", t, **select)
    assert status == 200 and done["recipients"] == 5
    assert [m["subject"] for m in a.get("queue", t)["items"]] == ["Lunch"]
    row = next(r for r in a.get("audit", t)["items"]
               if r["action"] == "discard")
    assert row["who"] == "token t" and "ticket 7" in row["detail"]
    assert a.post("queue/release", t, subject="x")[0] == 400
    for bad in ("limit=0", "limit=1001", "cursor=x", "cursor=s0", "cursor=q"
                + "f" * 17, "older=x", "frozen=maybe", "nothing=1",
                "state=odd"):
        assert a.ask("GET", "/api/v1/queue?" + bad, token=t)[0] == 400, bad


def test_senders_and_freeze(api):
    a = api()
    t = a.token()
    send(a, [f"n{i}@example.com" for i in range(5)])
    row = a.get("senders?term=MALLORY&busy=true", t)["items"][0]
    assert row["queue_length"] == 3
    path = "senders/" + urllib.parse.quote(row["sender"], safe="")
    assert a.get(path, t)["burst"] == 2
    status, _, done = a.post(path + "/freeze", t, reason="spam", **{
        "for": "2h"})
    assert status == 200 and done["sender"] == row["sender"]
    row = a.get("senders?frozen=true", t)["items"][0]
    assert row["freeze_note"] == "spam" and row["thaw_at"]
    status, _, done = a.post(path + "/thaw", t, then="release",
                             reason="he called")
    assert status == 200 and done["recipients"] == 3
    assert any("he called" in r["detail"] for r in a.get("audit", t)["items"])
    assert a.post("senders/nobody/thaw", t)[0] == 404
    assert a.post(path + "/freeze", t, then="release")[0] == 400
    assert a.ask("POST", f"/api/v1/{path}/freeze", raw="{}", token=t,
                 Content_Type="text/plain")[0] == 415
    assert a.ask("POST", f"/api/v1/{path}/freeze", raw="[1]", token=t,
                 Content_Type="application/json")[0] == 400


def test_pages_of_senders(api):
    """While senders come: each comes once; of another run they are refused."""
    a = api()
    t = a.token()
    for i in range(60):
        a.weir.run_ctl("freeze", f"s{i}@example.org")
    names, cursor = [], ""
    while cursor is not None:
        page = a.get(f"senders?limit=7&frozen=true{cursor}", t)
        names += [r["sender"] for r in page["items"]]
        cursor = page["next"] and "&cursor=" + page["next"]
        for i in range(20):
            a.weir.run_ctl("freeze", f"{len(names)}-{i}@example.net")
        if len(names) > 60:
            break
    old = a.get("senders?limit=7&frozen=true", t)["next"]
    while cursor is not None:
        page = a.get(f"senders?limit=500&frozen=true{cursor}", t)
        names += [r["sender"] for r in page["items"]]
        cursor = page["next"] and "&cursor=" + page["next"]
    assert len(names) == len(set(names))
    assert {f"<s{i}@example.org>" for i in range(60)} <= set(names)
    for bad in ("q1", "zzzzzzzzs1", old[:8], old[:8] + "q1", old + "x"):
        assert a.ask("GET", f"/api/v1/senders?cursor={bad}", token=t)[0] in (
            400, 410), bad
    a.weir.restart()
    status, _, problem = a.ask("GET", f"/api/v1/senders?cursor={old}", token=t)
    assert status == 410 and "start again" in problem["detail"]


def test_login(api):
    """By password and by token; the cookie; where it may come from; how wrong
    ones are slowed down."""
    a = api()
    subprocess.run([BUILD / "weirctl", "-s", a.weir.control, "user", "set",
                    "alice", "--right", "operate"], input="correct horse\n",
                   text=True, check=True)
    status, r, who = a.post("session", None, name="alice",
                            password="correct horse")
    assert status == 200 and who["right"] == "operate", who
    cookie = r.getheader("Set-Cookie")
    assert cookie.startswith("weir_session=weir_")
    for part in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie
    cookie = cookie.split(";")[0]

    def change(**headers):
        return a.ask("POST", "/api/v1/queue/flush", {"all": True},
                     Cookie=cookie, **headers)[0]

    own = f"http://127.0.0.1:{a.port}"
    assert a.ask("GET", "/api/v1/status", Cookie=cookie)[0] == 200
    assert change(Sec_Fetch_Site="same-origin") == 200
    assert change(Origin=own) == 200
    assert change() == 403
    assert change(Sec_Fetch_Site="cross-site", Origin=own) == 403
    assert change(Sec_Fetch_Site="same-site") == 403
    assert change(Origin="http://evil.test") == 403
    assert change(Origin="null") == 403
    a.weir.restart()
    assert a.ask("GET", "/api/v1/session", Cookie=cookie)[2]["name"] == "alice"
    status, r, _ = a.ask("DELETE", "/api/v1/session", Cookie=cookie,
                         Origin=own)
    assert status == 204 and "Max-Age=0" in r.getheader("Set-Cookie")
    assert a.ask("GET", "/api/v1/session", Cookie=cookie)[0] == 401
    token = a.token("page", "view")
    status, r, who = a.post("session", None, token=token)
    assert status == 200 and who["name"] == "token page"
    # With the token its sessions end.
    cookie = r.getheader("Set-Cookie").split(";")[0]
    row = json.loads(a.weir.run_ctl("--json", "token", "list").stdout)[0]
    a.weir.run_ctl("token", "revoke", row["id"])
    assert a.ask("GET", "/api/v1/session", Cookie=cookie)[0] == 401

    codes = []
    while len(codes) < 20 and 429 not in codes:
        began = time.monotonic()
        codes.append(a.post("session", None, name="alice", password="x")[0])
        if codes[-1] == 401:
            assert time.monotonic() - began >= 0.9
    assert codes[:5] == [401] * 5 and codes[-1] == 429
    status, r, _ = a.post("session", None, name="alice",
                          password="correct horse")
    assert status == 429 and int(r.getheader("Retry-After")) > 0
    # Who has a token is not locked out by those who guess.
    assert a.ask("GET", "/api/v1/status", token=a.token("in"))[0] == 200


def read_events(s, wanted, deadline_s=DEADLINE_S):
    """Fields of the events that come until one is of that type."""
    found, text, end = [], b"", time.monotonic() + deadline_s
    s.settimeout(1)
    while time.monotonic() < end:
        try:
            piece = s.recv(65536)
        except TimeoutError:
            continue
        assert piece, "the stream ended"
        text += piece
        *blocks, text = text.split(b"\n\n")
        for block in blocks:
            lines = [x for x in block.decode().splitlines() if ": " in x]
            found.append(dict(x.split(": ", 1) for x in lines))
            if found[-1].get("event") == wanted:
                return found
    raise AssertionError(f"no {wanted} in {found}")


def open_stream(a, token, last=None, path="/api/v1/events/stream"):
    s = socket.create_connection(("127.0.0.1", a.port), timeout=DEADLINE_S)
    head = (f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {token}\r\n")
    if last:
        head += f"Last-Event-ID: {last}\r\n"
    s.sendall(head.encode() + b"\r\n")
    return s


def test_stream(api):
    a = api()
    t = a.token("s", "view")
    own = a.token("d", "view", "--domain", "example.net")
    assert a.ask("GET", "/api/v1/events/stream")[0] == 401
    with open_stream(a, t) as s, open_stream(a, own) as other:
        boot = json.loads(read_events(s, "hello")[-1]["data"])["boot"]
        a.weir.run_ctl("freeze", FROM)
        event = read_events(s, "freeze")[-1]
        assert FROM in json.loads(event["data"])["sender"]
        a.weir.run_ctl("freeze", "eve@example.net")
        assert "eve" in read_events(other, "freeze")[-1]["data"]
    # What was missed meanwhile.
    a.weir.run_ctl("thaw", FROM)
    path = "/api/v1/events/stream?type=thaw,reload"
    with open_stream(a, t, path=path) as s:
        read_events(s, "hello")
        a.weir.run_ctl("freeze", "bob@example.net")
        a.weir.run_ctl("thaw", "bob@example.net")
        found = [e for e in read_events(s, "thaw") if "event" in e]
        assert [e["event"] for e in found] == ["thaw"]
        assert "bob" in found[0]["data"]
    for wrong in ("", "thaw,", ",thaw", "thaw,nothing", "th%22aw"):
        status, _, problem = a.ask(
            "GET", "/api/v1/events/stream?type=" + wrong, token=t)
        assert status == 400 and "event" in problem["detail"], (wrong, problem)
    with open_stream(a, t, event["id"]) as s:
        assert [e["event"] for e in read_events(s, "thaw")][-1] == "thaw"
    with open_stream(a, t, "0123456789abcdef-1") as s:
        assert read_events(s, "reset")
    with open_stream(a, t) as s:
        read_events(s, "hello")
        a.weir.restart()
        s.settimeout(DEADLINE_S)
        while s.recv(65536):
            pass
    with open_stream(a, t, event["id"]) as s:
        hello = json.loads(read_events(s, "reset")[0]["data"])
        assert hello["boot"] != boot


def test_trace(api):
    """What one client says and is answered, until the time is over."""
    a = api()
    t = a.token("s", "view")
    own = a.token("d", "view", "--domain", "example.org")
    path = "/api/v1/trace/stream?for=3s&term="
    assert a.ask("GET", path + "127.0.0.1", token=own)[0] == 403
    assert a.ask("GET", "/api/v1/trace/stream", token=t)[0] == 400
    status, _, problem = a.ask("GET", path.replace("3s", "soon") + "x",
                               token=t)
    assert status == 400 and "for" in problem["detail"]
    with open_stream(a, t, path=path + "127.0.0.1") as s:
        until(lambda: a.weir.log_lines("control trace "), "it has begun")
        send(a, ["new@example.com"])
        rows = read_events(s, "end")
    texts = [json.loads(r["data"])["text"] for r in rows
             if r.get("event") == "trace"]
    assert any(x.startswith("MAIL FROM:<" + FROM) or FROM in x for x in texts)
    assert any("RCPT" in x for x in texts)
    # It hangs on its token.
    with open_stream(a, t, path=path.replace("3s", "1h") + "192.0.2.1") as s:
        until(lambda: len(a.weir.log_lines("control trace ")) == 2, "begun")
    assert a.weir.run_ctl("status").returncode == 0


def test_alerts_learn_and_history(api, tmp_path):
    """What else weirctl can do."""
    log = tmp_path / "told"
    script = tmp_path / "tell"
    script.write_text(f"#!/bin/sh\ncat >{log}\n")
    script.chmod(0o755)
    a = api(alerts=f'alert "hook" {{ channel = command  command = {{"{script}"}} }}',
            policy='key = envelope  interval = "1h"  burst = 2  initial = 2  '
                   'familiar_for = "30d"')
    view, t = a.token("v", "view"), a.token("o", "operate")
    row, = a.get("alerts", view)["items"]
    assert (row["alert"], row["channel"]) == ("hook", "command")
    assert a.post("alerts/hook/test", view)[0] == 403
    status, _, answer = a.post("alerts/hook/test", t)
    assert status == 200 and log.exists(), answer
    status, _, answer = a.post("alerts/other/test", t)
    assert status == 404 and "other" in answer["detail"]
    # Whom a sender knows.
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ",
                         time.gmtime(time.time() - 86400))
    rows = [[FROM, f"old{i}@example.com", when] for i in range(5)]
    status, _, answer = a.post("learn", t, rows=rows + [[FROM, "x", "soon"]])
    assert status == 200 and answer["learnt"] == 5, answer
    assert answer["bad"] == [{"row": 5, "why": answer["bad"][0]["why"]}]
    assert a.ask("GET", "/api/v1/learn?rows=a", token=t)[0] == 405
    assert a.post("learn", t, rows=[])[0] == 400
    send(a, [f"old{i}@example.com" for i in range(5)])
    assert a.get("queue", t)["items"] == []
    # The last day's mail, in pages.
    send(a, ["new@example.com"])
    page = a.get("history?limit=1", t)
    first, = page["items"]
    assert len(first["recipients"]) == 5 and page["next"]
    page = a.get("history?limit=1&cursor=" + page["next"], t)
    assert page["items"][0]["recipients"][0]["address"].startswith("new@")


def test_unix_socket(weir, sink, tmp_path):
    """Who is on the machine shows what he is by his socket; through a proxy he
    may be anybody."""
    path = tmp_path / "http.sock"
    w = weir(sections=f'http "local" {{ address = "unix:{path}" }}',
             policy=TIGHT)

    def ask(*lines):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE_S)
            s.connect(str(path))
            s.sendall("\r\n".join(["GET /api/v1/session HTTP/1.1", "Host: x",
                                   "Connection: close", *lines, "",
                                   ""]).encode())
            text = b""
            while piece := s.recv(65536):
                text += piece
        return text.decode()

    assert f"(uid {os.geteuid()})" in ask()
    assert " 401 " in ask("X-Forwarded-For: 192.0.2.1")
    assert w.run_ctl("status").returncode == 0


def test_behind_a_proxy(api):
    a = api('url = "https://mail.weir.test/weir"  proxies = {"127.0.0.1"}')
    t = a.token()
    for prefix in ("", "/weir"):
        status, r, _ = a.ask("POST", prefix + "/api/v1/session", {"token": t},
                             Host="mail.weir.test",
                             Origin="https://mail.weir.test")
        assert status == 200
        cookie = r.getheader("Set-Cookie")
        assert cookie.startswith("__Host-weir_session=")
        assert "Secure" in cookie
    assert a.ask("GET", "/weir/other", Host="mail.weir.test")[0] == 404
    far = a.token("far", "view", "--networks", "192.0.2.0/24")
    for client, code in (("192.0.2.7", 200), ("198.51.100.1, 192.0.2.7", 200),
                         ("192.0.2.7, 198.51.100.1", 401), ("x", 401)):
        assert a.ask("GET", "/weir/api/v1/status", token=far,
                     X_Forwarded_For=client)[0] == code, client


def test_description(api):
    """OpenAPI 3.1: what a reader of it relies on, and that each right, each
    command's argument and each answer is there."""
    a = api()
    d = a.get("openapi.json", a.token("x", "view"))
    assert d["openapi"] == "3.1.0" and d["info"]["version"]
    ids = []
    for path, methods in d["paths"].items():
        places = {p for p in path.split("/") if p.startswith("{")}
        for method, op in methods.items():
            assert method in ("get", "post", "delete")
            ids.append(op["operationId"])
            assert op["description"] and op["responses"]["default"]
            assert any(code.startswith("2") for code in op["responses"])
            named = {"{%s}" % p["name"] for p in op["parameters"]
                     if p["in"] == "path"}
            assert named == places, path
            for p in op["parameters"]:
                assert p["schema"]["type"] and p["in"] in ("path", "query")
                assert p["required"] or p["in"] == "query"
            assert ("requestBody" in op) <= (method == "post")
    assert len(ids) == len(set(ids))
    freeze = d["paths"]["/api/v1/senders/{sender}/freeze"]["post"]
    body = freeze["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"reason", "for"}
    refs = json.dumps(d).count('"#/components/schemas/problem"')
    assert refs and "problem" in d["components"]["schemas"]
