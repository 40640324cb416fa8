# SPDX-License-Identifier: BSD-3-Clause
"""Completion of weirctl in bash, with a daemon that answers hostile names."""
import json
import pathlib
import subprocess

import pytest

from harness import DEADLINE_S

SCRIPT = pathlib.Path(__file__).parents[2] / "contrib/weirctl.bash"
HOSTILE = "$(touch {0})"


def complete(line, tmp_path, function="_weirctl"):
    """What bash offers for `line`, as it would stand in the command line."""
    rows = [
        {"sender": "alice@example.org", "frozen": False},
        {"sender": HOSTILE.format(tmp_path / "owned"), "frozen": True},
        {"id": "0S9KXR4FC0000"},
    ]
    answer = "[\n" + ",\n".join(
        json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n"
    (tmp_path / "answer").write_text(answer)
    done = subprocess.run(
        ["bash", "-c", f"""
         source '{SCRIPT}'
         weirctl() {{ cat '{tmp_path}/answer'; }}
         COMP_LINE=$1 COMP_POINT=${{#1}} COMPREPLY=()
         COMP_WORDS=($1) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
         {function}
         printf '%s\\n' "${{COMPREPLY[@]}}"
         """, "bash", line],
        capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("line,offers", [
    ("weirctl re", ["release", "reload"]),
    ("weirctl --json -s /x que", ["queue"]),
    ("weirctl thaw x --", ["--release", "--discard",
                            "--reason"]),
    ("weirctl show al", ["alice@example.org"]),
    # bash replaces what follows the last @ alone.
    ("weirctl show alice@ex", ["example.org"]),
    ("weirctl discard --sender al", ["alice@example.org"]),
    ("weirctl release 0S", ["0S9KXR4FC0000"]),
    ("weirctl flush a", ["alice@example.org", "all"]),
    ("weirctl fl", ["flush"]),
    ("weirctl release --older 1", ["10m", "1h", "1d"]),
    ("weirctl status ", [""]),
])
def test_offers(tmp_path, line, offers):
    assert complete(line, tmp_path) == offers


@pytest.mark.parametrize("line,offers", [
    ("weir-netd --r", ["--remove-rules"]),
    ("weir-netd --print-rules n", ["nft"]),
])
def test_netd(tmp_path, line, offers):
    assert complete(line, tmp_path, "_weir_netd") == offers


@pytest.mark.parametrize("line,offers", [
    ("weir-replay t", ["trace"]),
    ("weir-replay log --fo", ["--format"]),
    ("weir-replay log --format exi", ["exim"]),
    ("weir-replay trace --n", ["--nodes", "--no-local"]),
    ("weir-replay trace --attack 2", ["200"]),
    ("weir-replay epidemic --spread l", ["local"]),
    ("weir-replay p", ["propose"]),
    ("weir-replay propose --t", ["--target"]),
    ("weir-replay log --c", ["--compare", "--csv"]),
    ("weir-replay learn --c", [""]),
])
def test_replay(tmp_path, line, offers):
    assert complete(line, tmp_path, "_weir_replay") == offers


def test_a_sender_is_never_run(tmp_path):
    offered = complete("weirctl show ", tmp_path)
    assert len(offered) == 2
    assert not (tmp_path / "owned").exists()
    # As it is offered, it is one word of text.
    done = subprocess.run(
        ["bash", "-c", f"printf '%s' {offered[1]}"],
        capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.stdout == HOSTILE.format(tmp_path / "owned")
    assert not (tmp_path / "owned").exists()
