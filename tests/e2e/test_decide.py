# SPDX-License-Identifier: BSD-3-Clause
"""Decisions for programs that are no mail: the same policies, places in the
same queue, and what a program needs to be sure of."""
import json
import pathlib
import subprocess
import sys

import pytest

from harness import DEADLINE_S, until
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
                {"destinations": ["a\nb"]}):
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
        assert verdicts(answer) == ["pass", "pass", "hold"]
        ticket = answer["destinations"][2]["ticket"]
        event = json.loads(read_events(s, "release")[-1]["data"])
    assert event["id"] == ticket and event["sender"] == "sms:alice"
    assert event["detail"].startswith("3: may go now")
    assert a.ask("GET", f"/api/v1/tickets/{ticket}", token=t)[0] == 404
    assert verdicts(decide(a, t, "alice", ["3"], application="sms")[1]) == [
        "pass"]


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
