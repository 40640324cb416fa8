# SPDX-License-Identifier: BSD-3-Clause
"""Decisions for programs that are no mail: the same policies, places in the
same queue, and what a program needs to be sure of."""
import base64
import hashlib
import hmac
import json
import pathlib
import subprocess
import sys

import pytest

from harness import DEADLINE_S, until
from test_alert import hook  # noqa: F401
from test_api import Api, api, open_stream, read_events  # noqa: F401

TIGHT = 'interval = "1h"  burst = 3  initial = 3'
SMS = ('policy "sms" { match = {"app:sms"}  interval = "2s"  burst = 2  '
       "initial = 2 }")
CLIENTS = pathlib.Path(__file__).parents[2] / "contrib"


def decide(a, token, source, destinations, path="decide", key=None, **more):
    body = {"source": source, "application": "im",
            "destinations": destinations, **more}
    headers = {"Idempotency-Key": key} if key else {}
    status, r, answer = a.ask("POST", "/api/v1/" + path, body, token,
                              **headers)
    return status, answer


def verdicts(answer):
    return [d["verdict"] for d in answer["destinations"]]


def test_decide(api):  # noqa: F811
    a = api(policy=TIGHT)
    t = a.token("im", "operate")
    low = a.token("low", "view")
    names = ["bob", "carol@example.net", "+49 30 1", "x!y%z", "eve"]
    assert decide(a, low, "alice", names)[0] == 403
    # A check takes nothing.
    for _ in range(3):
        status, answer = decide(a, low, "alice", names, "check")
        assert status == 200, answer
        assert verdicts(answer) == ["pass"] * 3 + ["hold"] * 2
    status, answer = decide(a, t, "alice", names)
    assert status == 200 and verdicts(answer) == ["pass"] * 3 + ["hold"] * 2
    assert answer["source"] == "im:alice" and answer["remaining"] == 0
    held = answer["destinations"][3]
    assert held["ticket"] and 0 < held["retry_after_s"] <= 3600
    # What is known passes; what waits keeps its one place.
    status, answer = decide(a, t, "alice", ["bob", "x!y%z", "frank"])
    assert verdicts(answer) == ["pass", "hold", "hold"]
    assert answer["destinations"][1]["ticket"] == held["ticket"]
    row = a.get("senders/im:alice", t)
    assert row["queue_length"] == 3 and row["frozen"] is False
    ticket = a.get(f"tickets/{held['ticket']}", t)
    assert ticket["destination"] == "x!y%z" and ticket["before"] == 0
    # It survives a restart.
    a.weir.restart()
    ticket = a.get(f"tickets/{held['ticket']}", t)
    assert ticket["destination"] == "x!y%z"
    assert 0 < ticket["retry_after_s"] <= 3600
    assert decide(a, t, "alice", ["x!y%z"])[1]["destinations"][0][
        "verdict"] == "hold"
    # Other applications and sources are others.
    assert verdicts(decide(a, t, "alice", names[:3], application="form")[1]
                    ) == ["pass"] * 3
    a.weir.run_ctl("freeze", "im:alice")
    status, answer = decide(a, t, "alice", ["new"])
    assert status == 429 and verdicts(answer) == ["refuse"]
    for bad in ({"source": ""}, {"destinations": []}, {"application": "A"},
                {"application": "user"}, {"destinations": [1]},
                {"commit": "soon"}, {"client": "x"}, {"odd": 1},
                {"destinations": ["a\nb"]}, {"policy": "none"},
                {"policy": 1}):
        body = {"source": "s", "application": "im", "destinations": ["d"],
                **bad}
        assert a.post("decide", t, **body)[0] == 400, bad


def test_commit_later(api):  # noqa: F811
    a = api(policy=TIGHT)
    t = a.token("im", "operate")
    names = ["a", "b", "c", "d"]
    _, first = decide(a, t, "alice", names, commit="later")
    assert verdicts(first) == ["pass"] * 3 + ["hold"] and first["decision"]
    assert first["destinations"][3]["ticket"] is None
    # Reserved: nobody else has it meanwhile; given back, all is there again.
    assert verdicts(decide(a, t, "alice", ["x"], "check")[1]) == ["hold"]
    where = f"decisions/{first['decision']}/"
    assert a.post(where + "cancel", t)[0] == 204
    assert a.post(where + "commit", t)[0] == 404
    assert verdicts(decide(a, t, "alice", ["x"], "check")[1]) == ["pass"]
    _, second = decide(a, t, "alice", names, commit="later")
    status, _, done = a.post(f"decisions/{second['decision']}/commit", t)
    assert status == 200 and verdicts(done) == ["pass"] * 3 + ["hold"]
    assert done["destinations"][3]["ticket"]
    assert verdicts(decide(a, t, "alice", names, "check")[1]) == \
        ["pass"] * 3 + ["hold"]
    # A restart gives back what was not committed.
    decide(a, t, "bob", ["a", "b", "c"], commit="later")
    a.weir.restart()
    assert verdicts(decide(a, t, "bob", ["x", "y", "z"], "check")[1]) == \
        ["pass"] * 3


def test_once(api):  # noqa: F811
    """Asked twice with one key, it is decided once."""
    a = api(policy=TIGHT)
    t = a.token("im", "operate")
    first = decide(a, t, "alice", ["a", "b"], key="k1")
    assert decide(a, t, "alice", ["a", "b"], key="k1") == first
    assert a.get("senders/im:alice", t)["allowance"] == 1
    assert decide(a, t, "alice", ["c"], key="k1")[0] == 422
    # Another's keys are others.
    other = a.token("other", "operate")
    assert decide(a, other, "alice", ["c"], key="k1")[0] == 200


def killed(a):
    a.weir.kill()
    a.weir.start()


def test_answers_survive_a_kill(api):  # noqa: F811
    """What an answer promises is on the disk before it: the place of each that
    has to wait, and the answer for its key."""
    a = api(policy=TIGHT)
    t = a.token("im", "operate")
    for i in range(5):
        source = f"s{i}"
        first = decide(a, t, source, ["a", "b", "c", "d"], key=f"k{i}")
        assert verdicts(first[1]) == ["pass"] * 3 + ["hold"]
        # At once: nothing has time for what comes later.
        killed(a)
        ticket = first[1]["destinations"][3]["ticket"]
        row = a.get(f"tickets/{ticket}", t)
        assert (row["destination"], row["before"]) == ("d", 0)
        assert decide(a, t, source, ["a", "b", "c", "d"],
                      key=f"k{i}") == first
        assert decide(a, t, source, ["e"], key=f"k{i}")[0] == 422
        # What was spent is spent.
        assert verdicts(decide(a, t, source, ["e"], "check")[1]) == ["hold"]
    # In the order in which they came, and each once.
    _, more = decide(a, t, "s0", ["e", "d", "f"])
    assert [d["ticket"] for d in more["destinations"]][1] == row["ticket"] \
        or verdicts(more) == ["hold"] * 3
    killed(a)
    places = [a.get("tickets/" + d["ticket"], t)["before"]
              for d in more["destinations"]]
    assert places == [1, 0, 2]
    # What waits for its commit is given back, so its answer is forgotten.
    status, later = decide(a, t, "x", ["a"], key="later", commit="later")
    killed(a)
    status, again = decide(a, t, "x", ["a"], key="later", commit="later")
    assert status == 200 and again["decision"] != later["decision"]
    # A frozen one's refusal says for how long, too.
    a.weir.run_ctl("freeze", "im:y")
    for _ in range(2):
        body = {"source": "y", "application": "im", "destinations": ["a"]}
        status, r, _ = a.ask("POST", "/api/v1/decide", body, t,
                             Idempotency_Key="frozen")
        assert status == 429 and int(r.getheader("Retry-After")) > 0
        killed(a)


def test_disk_that_fails(api):  # noqa: F811
    """Then the answer says that it may be forgotten; later it is written."""
    a = api(policy=TIGHT)
    t = a.token("im", "operate")
    _, first = decide(a, t, "alice", ["a", "b", "c", "d"])
    assert "durable" not in first
    path = a.weir.spool / "http-decisions.json"
    text = path.read_text()
    path.unlink()
    path.mkdir()
    _, second = decide(a, t, "alice", ["e"])
    assert second["durable"] is False
    assert a.weir.log_lines("http decisions_file_failed .*error=")
    path.rmdir()
    until(path.exists, "it is written anew")
    until(lambda: len(path.read_text().splitlines()) == 2, "both places")
    killed(a)
    for answer, n in (first, 3), (second, 0):
        a.get("tickets/" + answer["destinations"][n]["ticket"], t)
    # What cannot be read is told, and the rest is.
    a.weir.stop()
    path.write_text(text + "nonsense\n" + text[:-20])
    a.weir.start()
    assert a.weir.log_lines("http decisions_file_damaged .*count=1")
    a.get("tickets/" + first["destinations"][3]["ticket"], t)


def test_batch_and_domain(api):  # noqa: F811
    a = api(policy=TIGHT)
    t = a.token("im", "operate", "--domain", "example.org")
    one = {"application": "im", "destinations": ["d"]}
    status, _, answer = a.post("decide", t, batch=[
        {**one, "source": "alice@example.org"},
        {**one, "source": "eve@example.net"}, {"source": "x"}])
    assert status == 200
    first, second, third = answer["batch"]
    assert verdicts(first) == ["pass"]
    assert (second["status"], third["status"]) == (403, 400)
    assert a.post("decide", t, batch=[])[0] == 400


def test_release_notice(api):  # noqa: F811
    """A policy of the application's own; its turn comes, an event says so."""
    a = api(policy=TIGHT + " }\n" + SMS.rstrip("} "))
    t = a.token("im", "operate")
    with open_stream(a, t) as s:
        read_events(s, "hello")
        _, answer = decide(a, t, "alice", ["1", "2", "3"], application="sms")
        assert answer["policy"] == "sms"
        # Or by its name.
        _, other = decide(a, t, "alice", ["1", "2", "3"], policy="sms")
        assert other["policy"] == "sms" and other["source"] == "im:alice"
        assert verdicts(other) == ["pass", "pass", "hold"]
        assert verdicts(answer) == ["pass", "pass", "hold"]
        ticket = answer["destinations"][2]["ticket"]
        event = json.loads(read_events(s, "release")[-1]["data"])
    assert event["id"] == ticket and event["sender"] == "sms:alice"
    assert event["detail"].startswith("3: may go now")
    assert a.ask("GET", f"/api/v1/tickets/{ticket}", token=t)[0] == 404
    assert verdicts(decide(a, t, "alice", ["3"], application="sms")[1]) == [
        "pass"]


def test_release_notice_by_webhook(api, hook, tmp_path):  # noqa: F811
    """Signed, with ticket, source and destination, each once, and after a kill
    as well."""
    secret = tmp_path / "secret"
    secret.write_text("an example key of thirty-two bytes")
    secret.chmod(0o600)
    told = tmp_path / "told"
    script = tmp_path / "tell"
    script.write_text(f"#!/bin/sh\ncat >>{told}\n")
    script.chmod(0o755)
    a = api(policy=TIGHT + " }\n" + SMS.rstrip("} "), alerts=f"""
        alert "turns" {{ channel = webhook  events = {{"release"}}
            url = "http://127.0.0.1:{hook.port}/in"
            secret_file = "{secret}"  group_wait = "0s"
            group_limit = "10000/1h" }}
        alert "people" {{ channel = command  group_wait = "0s"  command = "{script}" }}""")
    t = a.token("im", "operate")
    hook.answer = lambda handler: handler.send_error(503)
    _, answer = decide(a, t, "alice", ["1", "2", "3"], application="sms")
    ticket = answer["destinations"][2]["ticket"]
    hook.wait_for(1)
    killed(a)
    hook.answer = None

    def notices():
        return [e for _, body in hook.posts[1:]
                for e in json.loads(body)["events"]]

    until(lambda: ticket in [e["ticket"] for e in notices()], "the notice",
          30)
    notice = notices()[0]
    assert (notice["event"], notice["sender"], notice["destination"]) == (
        "release", "sms:alice", "3")
    headers, body = hook.posts[-1]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}."
    mac = hmac.new(secret.read_bytes(), signed.encode() + body,
                   hashlib.sha256).digest()
    assert headers["webhook-signature"] == \
        "v1," + base64.b64encode(mac).decode()
    assert verdicts(decide(a, t, "alice", ["3"], application="sms")[1]) == [
        "pass"]
    # Several are several, whoever they are for; nobody else is told.
    n = len(hook.posts)
    _, answer = decide(a, t, "bob", [str(i) for i in range(5)],
                       application="sms")
    waiting = {d["ticket"] for d in answer["destinations"] if d["ticket"]}
    assert len(waiting) == 3
    until(lambda: waiting <= {e["ticket"] for e in notices()}, "all of them",
          30)
    assert len(hook.posts) > n
    until(told.exists, "the crash is told")
    assert '"release"' not in told.read_text()


@pytest.mark.parametrize("client", [
    [sys.executable, CLIENTS / "weir-decide.py"],
    ["sh", CLIENTS / "weir-decide.sh"]], ids=["python", "shell"])
def test_example_clients(api, tmp_path, client):  # noqa: F811
    a = api(policy=TIGHT)
    token = tmp_path / "token"
    token.write_text(a.token("im", "operate") + "\n")
    url = f"http://127.0.0.1:{a.port}"

    def run(*destinations):
        done = subprocess.run(
            [*client, url, token, "im", "alice", *destinations],
            capture_output=True, text=True, timeout=DEADLINE_S)
        return done.returncode, done.stdout, done.stderr

    code, out, err = run("bob", "carol")
    assert code == 0 and not err, (out, err)
    assert "bob pass" in out and "carol pass" in out
    code, out, _ = run("dave", "eve")
    assert code == 75 and "dave pass" in out and "eve hold" in out
    token.write_text("weir_wrong\n")
    assert run("x")[0] == 1
