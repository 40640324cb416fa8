# SPDX-License-Identifier: BSD-3-Clause
"""Several relays as an administrator sees them, from any of them."""
import json
import signal
import smtplib
import subprocess
import threading
import urllib.parse

import pytest

from harness import BUILD, CtlError, DEADLINE_S, free_port, message, until
from test_api import Api
from test_cluster import (ALICE, BOB, KEY, is_up, redis,  # noqa: F401
                          relay, send, shared)

SLOW = KEY + 'interval = "1h"  burst = 1  initial = 0  freeze_at = 100'
A, B, C = "a.weir.test", "b.weir.test", "c.weir.test"


def know(*relays):
    """Each of them knows all others."""
    is_up(*relays)
    for w in relays:
        until(lambda w=w: shared(w)["other_relays"] == len(relays) - 1
              and shared(w)["relays_down"] == 0, "the other relays")


def holders(w, *args):
    return {m["id"]: m["relay"] for m in w.ctl("queue", *args)}


def id_at(w):
    return w.queue()[0]["id"]


def test_queue_senders_and_show_tell_of_all(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=SLOW), relay(server, policy=SLOW)
    know(a, b)
    send(a, "one")
    send(b, "two", "three")
    for w in (a, b):
        assert sorted(holders(w).values()) == [A, B, B]
        rows = w.ctl("senders")
        assert {(r["relay"], r["queue_length"]) for r in rows
                if r["sender"] == ALICE} == {(A, 1), (B, 2)}
        row = w.ctl("show", ALICE)
        assert {r["relay"]: r["queue_length"] for r in row["relays"]} == {
            A: 1, B: 2}
    # The own ones come first.
    assert [m["relay"] for m in b.ctl("queue")] == [B, B, A]
    assert holders(a, "--relay", B) == holders(b, "--relay", B)
    assert set(holders(a, "--relay", B).values()) == {B}
    # Of a sender that this relay has never seen.
    send(b, "four", sender="bob@example.org")
    assert a.ctl("show", BOB)["relays"][0]["relay"] == B
    assert set(holders(a, BOB).values()) == {B}
    found = a.ctl("find", "four@example.com")
    assert [f["relay"] for f in found] == [B]
    text = a.run_ctl("queue").stdout
    assert text.splitlines()[0].split()[-1] == "RELAY" and B in text
    with pytest.raises(CtlError) as e:
        a.ctl("queue", "--relay", "x.weir.test")
    assert "no such relay" in e.value.err
    with pytest.raises(CtlError) as e:
        a.ctl("show", "<nobody@example.org>")
    assert "never seen" in e.value.err


def test_mail_is_read_and_let_go_from_any_relay(redis, relay, sink):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=SLOW), relay(server, policy=SLOW)
    know(a, b)
    send(b, "one", "two", "three")
    send(a, "four")
    ids = [m["id"] for m in b.queue()]
    assert "X-Weir-Sender: " + ALICE in a.run_ctl("cat", ids[0]).stdout
    assert a.ctl("release", ids[0])["recipients"] == 1
    until(lambda: [m[1] for m in sink.messages] == [["one@example.com"]],
          "the mail")
    assert a.ctl("discard", ids[1])["recipients"] == 1
    assert b.held() == ["three@example.com"]
    assert b.ctl("audit")[0]["action"] == "discard"
    assert b.ctl("audit")[0]["who"].endswith("at " + A)
    # What is gone is found nowhere.
    with pytest.raises(CtlError) as e:
        a.ctl("discard", ids[1])
    assert "no held mail matches" in e.value.err
    # A sender's mail at all of them, counted first.
    dry = a.ctl("discard", "--sender", ALICE, "--dry-run")
    assert (dry["messages"], dry["recipients"]) == (2, 2)
    assert a.ctl("release", "--sender", ALICE)["recipients"] == 2
    until(lambda: len(sink.messages) == 3, "all of it")
    assert b.status()["released_recipients"] == 2


def test_a_long_text_is_read_from_another_relay(redis, relay):  # noqa: F811
    """Byte for byte, in several pages, of which a byte may take six."""
    server = redis()
    a, b = relay(server, policy=SLOW), relay(server, policy=SLOW)
    know(a, b)
    line = bytes(c for c in range(1, 256) if c not in b"\r\n.") + b"\r\n"
    body = b"".join(b"%d %s" % (i, line) for i in range(4200))
    with smtplib.SMTP("127.0.0.1", b.port, timeout=DEADLINE_S) as s:
        s.sendmail("alice@example.org", ["one@example.com"],
                   b"From: alice@example.org\r\n\r\n" + body)

    def cat(w):
        return subprocess.run([BUILD / "weirctl", "-s", w.control, "cat",
                               id_at(b)], capture_output=True, timeout=120,
                              check=True).stdout

    assert body in cat(b) and len(body) > 1 << 20
    assert cat(a) == cat(b)
    assert [e["action"] for e in b.ctl("audit")] == ["cat"] * 3


def test_a_relay_that_is_down_is_named(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=SLOW), relay(server, policy=SLOW)
    know(a, b)
    send(a, "one")
    send(b, "two")
    held = id_at(b)
    b.kill()
    until(lambda: shared(a)["relays_down"] == 1, "the loss of a relay")
    done = a.run_ctl("--json", "queue")
    assert [m["relay"] for m in json.loads(done.stdout)] == [A]
    assert f"weirctl: {B}: down for " in done.stderr
    done = a.run_ctl("release", held)
    assert done.returncode == 1 and f"{B}: down for " in done.stderr
    # What could be done was done, and what not is told.
    done = a.run_ctl("release", "--sender", ALICE)
    assert done.returncode == 1
    assert done.stdout == "released: 1 recipient\n"
    assert f"weirctl: {B}: down for " in done.stderr
    b.launch()
    know(a, b)
    assert a.ctl("release", held)["recipients"] == 1


def test_an_answer_that_does_not_come(redis, relay):  # noqa: F811
    """Killed between the question and the answer, and the box emptied."""
    server = redis()
    a, b = relay(server, policy=SLOW), relay(server, policy=SLOW)
    know(a, b)
    send(b, "two")
    held = id_at(b)
    drop = ("for _, k in ipairs(redis.call('KEYS', '{weir:1}:box:*')) do"
            " redis.call('DEL', k) end return 1")
    b.kill()
    over = threading.Event()

    def lose():
        while not over.is_set():
            server.call("EVAL", drop, 0)

    thread = threading.Thread(target=lose)
    thread.start()
    try:
        done = a.run_ctl("release", held)
    finally:
        over.set()
        thread.join()
    assert done.returncode == 1
    assert f"{B}: " in done.stderr
    b.launch()
    know(a, b)
    # A letter that was lost was not carried out.
    assert b.held() == ["two@example.com"]


COPY = ("local n = 0 for _, k in ipairs(redis.call('KEYS', ARGV[1])) do"
        " for _, v in ipairs(redis.call('LRANGE', k, 0, -1)) do"
        " redis.call('RPUSH', ARGV[2], v) n = n + 1 end end return n")


def test_a_letter_is_carried_out_once(redis, relay):  # noqa: F811
    """Whoever can write to the server can keep one, and give it again."""
    server = redis()
    a, b = relay(server, policy=SLOW), relay(server, policy=SLOW)
    know(a, b)
    send(b, "one")
    b.process.send_signal(signal.SIGSTOP)
    ctl = threading.Thread(target=a.run_ctl,
                           args=("discard", "--sender", ALICE))
    ctl.start()
    until(lambda: server.call("EVAL", COPY, 0, "{weir:1}:box:*", "kept")
          != b":0", "the letter")
    box = server.call("EVAL", "return redis.call('KEYS', ARGV[1])[1]", 0,
                      "{weir:1}:box:*").decode()
    b.process.send_signal(signal.SIGCONT)
    ctl.join()
    until(lambda: b.held() == [], "what was asked")
    send(b, "two")
    server.call("EVAL", COPY, 0, "kept", box)
    until(lambda: server.call("LLEN", box) == b":0", "the copy to be read")
    # It answers another question afterwards, hence it is through with that.
    assert len(a.ctl("queue")) == 1
    assert b.held() == ["two@example.com"]
    assert not [e for e in b.ctl("audit") if e["action"] == "discard"][1:]


def test_without_the_server_there_is_this_relay(redis, relay):  # noqa: F811
    server = redis()
    a, b = relay(server, policy=SLOW), relay(server, policy=SLOW)
    know(a, b)
    send(a, "one")
    server.kill()
    until(lambda: not shared(a)["up"], "the outage")
    done = a.run_ctl("--json", "queue")
    assert done.returncode == 0
    assert [m["relay"] for m in json.loads(done.stdout)] == [A]
    assert "the shared server does not answer" in done.stderr


def test_two_relays_with_one_name(redis, relay):  # noqa: F811
    server = redis()
    a = relay(server)
    is_up(a)
    # A restart is no twin.
    a.kill()
    a.launch()
    is_up(a)
    twin = relay(server, hostname=f'"{A}"')
    for w in (a, twin):
        until(lambda w=w: shared(w)["same_name"], "the twin")
        assert w.log_lines("shared twin relay=" + A)
        assert [p for p in w.ctl("problems")
                if "same hostname" in p["reason"]]
    twin.stop()
    until(lambda: not shared(a)["same_name"], "the end of it")


def test_many_rows(redis, relay):  # noqa: F811
    """More than one page, over the socket and over HTTP."""
    server = redis()
    port = free_port()
    many = SLOW.replace("100", "2000")
    b = relay(server, policy=many)  # a.weir.test
    a = relay(server, policy=many, sections='http "admin" { address = '
              f'"127.0.0.1:{port}" }}')
    api = Api(a, port)
    know(a, b)
    peer = b.hello()
    for i in range(450):
        peer.transact("alice@example.org", [f"to{i}@example.com"],
                      message())
        if i % 90 == 89:
            peer.ask("QUIT")
            peer = b.hello()
    send(a, "one")
    rows = a.ctl("queue")
    assert len({m["id"] for m in rows}) == len(rows) == 451
    assert [m["relay"] for m in rows] == [B] + [A] * 450
    # As many as were wanted, of all relays and all pages.
    assert len(a.ctl("find", "-n", "300", "alice")) == 300
    assert len(b.ctl("find", "-n", "2", "alice")) == 2
    token = api.token()
    seen, path = [], "queue?limit=120"
    while path:
        page = api.get(path, token)
        assert len(page["items"]) <= 120
        seen += page["items"]
        path = page["next"] and f"queue?limit=120&cursor={page['next']}"
    assert [m["id"] for m in seen] == [m["id"] for m in rows]
    one = api.get(f"queue/{rows[-1]['id']}", token)
    assert one["relay"] == A
    text = api.get(f"queue/{rows[-1]['id']}/content", token)
    assert "some text" in text["content"]
    row = api.get("senders/" + urllib.parse.quote(ALICE, safe=""), token)
    assert {r["relay"]: r["queue_length"] for r in row["relays"]} == {
        B: 1, A: 450}
    done = api.post("queue/discard", token, ids=[rows[-1]["id"]])[2]
    assert done["recipients"] == 1
    b.kill()
    until(lambda: shared(a)["relays_down"] == 1, "the loss")
    page = api.get("queue", token)
    assert page["elsewhere"][0]["relay"] == A
    status, _, done = api.post("queue/release", token, sender=ALICE, relay=A)
    assert status == 409 and "down for" in done["detail"]
    done = api.post("queue/release", token, sender=ALICE)[2]
    assert done["recipients"] == 1 and done["failed"]
