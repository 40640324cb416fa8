# SPDX-License-Identifier: BSD-3-Clause
"""weirctl explain --policy: the last day under another configuration."""
import json
import os

import pytest

from harness import message

KEY = "key = envelope\n"
LOOSE = KEY + 'interval = "1h"  burst = 3  initial = 3  freeze_at = 50\n'
ALICE, BOB = "alice@example.org", "bob@example.org"


@pytest.fixture
def day(weir):
    """Alice writes to a friend twice and to four strangers, the last of whom
    waits; bob to one stranger."""
    w = weir(policy=LOOSE)
    peer = w.hello()
    for n, rcpts in enumerate((["friend@example.com"], ["friend@example.com"],
                               ["s1@example.com", "s2@example.com"],
                               ["s3@example.com"])):
        peer.transact(ALICE, rcpts, message(subject=f"m{n}"))
    peer.transact(BOB, ["s1@example.com"], message())
    peer.ask("QUIT")
    return w


def conf(w, tmp_path, policy):
    path = tmp_path / "other.conf"
    text = w.config.read_text()
    assert LOOSE in text
    path.write_text(text.replace(LOOSE, KEY + policy))
    return str(path)


def trial(w, path):
    done = w.run_ctl("--json", "explain", "--policy", path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_other_configurations(day, tmp_path):
    same = trial(day, conf(day, tmp_path, LOOSE[len(KEY):]))
    assert (same["messages"], same["recipients"], same["senders"]) == (5, 6, 2)
    [alice] = same["touched"]
    assert alice["sender"] == f"<{ALICE}>"
    assert (alice["waited"], alice["would_wait"]) == (1, 1)
    assert 0 < alice["longest_wait_s"] <= 3600
    assert alice["would_be_frozen_at"] is None

    # Alice knew her friend only at the second time.
    strict = trial(day, conf(
        day, tmp_path,
        'interval = "1h"  burst = 1  initial = 0  freeze_at = 3\n'))
    alice, bob = strict["touched"]
    assert alice["sender"] == f"<{ALICE}>" and alice["would_be_frozen_at"]
    assert alice["reason"].startswith("3 of 3 recipients waiting")
    assert (bob["would_wait"], bob["would_be_frozen_at"]) == (1, None)

    done = day.run_ctl("explain", "--policy", conf(
        day, tmp_path, "exempt = true\n"))
    assert done.returncode == 0 and done.stderr == ""
    assert "0 recipients would wait (1 did), 0 senders" in done.stdout
    assert f"<{ALICE}> (policy default): 0 of 5" in done.stdout
    # It took nothing.
    assert day.ctl("show", ALICE)["queue_length"] == 1


def test_mistakes(weir, tmp_path):
    w = weir(policy=LOOSE)
    path = conf(w, tmp_path, "exempt = true\n")

    def fails(*args):
        done = w.run_ctl(*args)
        return done.returncode, done.stderr

    code, said = fails("explain", "--policy", path)
    assert code == 1 and "none was accepted in the last day" in said
    peer = w.hello()
    peer.transact(ALICE, ["a@example.com"], message())
    code, said = fails("explain", "--policy", str(tmp_path / "none.conf"))
    assert code == 1 and "none.conf" in said
    code, said = fails("explain", "--policy", conf(w, tmp_path, "bursts = 1\n"))
    assert code == 1 and "other.conf:" in said and "bursts" in said
    for args in (["explain"], ["explain", ALICE], ["history", "x"],
                 ["explain", ALICE, "b@example.org", "--policy", path],
                 ["explain", "--policy", path, "--client", "192.0.2.1"]):
        code, said = fails(*args)
        assert code == 2 and "usage" in said
    os.remove(path)
