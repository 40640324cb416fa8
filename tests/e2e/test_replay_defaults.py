# SPDX-License-Identifier: BSD-3-Clause
"""What the shipped defaults, a configuration without a policy section, do to
people and to thieves: figures, asked of weir-replay. Where real traces are at
hand (WEIR_TRACES, a directory with NAME.msgs.xz and NAME.nodes.xz), theirs as
well."""
import functools
import json
import os
import pathlib
import random
import subprocess

import pytest

from harness import BUILD, DEADLINE_S

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TRACES = pathlib.Path(os.environ.get("WEIR_TRACES",
                                     SOURCE.parent / "shared" / "traces"))
CONFIG = """hostname = "relay.test"
next_hop = "127.0.0.1:25"
listen "x" { address = "127.0.0.1:2525" }
"""
DAY = 86400
PEOPLE = 60
DAYS = 60


def replay(directory, messages, nodes, *args, timeout=DEADLINE_S, more=""):
    config = directory / "weir.conf"
    config.write_text(CONFIG + more)
    done = subprocess.run(
        [BUILD / "weir-replay", "trace", messages, "--nodes", nodes, "-c",
         config, "--json", *args], capture_output=True, text=True,
        timeout=timeout, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def town():
    """A firm of people who write to their few, now and then to somebody new,
    and once in a while to many: (messages, nodes). Always the same."""
    r = random.Random(11)
    lines = []
    others = range(PEOPLE + 1, PEOPLE + 2000)
    for who in range(1, PEOPLE + 1):
        known = r.sample(others, 12) + r.sample(range(1, PEOPLE), 12)
        for day in range(DAYS):
            for _ in range(r.randrange(0, 9)):
                at = day * DAY + 8 * 3600 + r.randrange(9 * 3600)
                dice = r.random()
                if dice < 0.05:
                    known.append(r.choice(others))
                    to = [known[-1]]
                elif dice < 0.055:
                    to = r.sample(others, 25)
                else:
                    to = r.sample(known, 1 + (r.random() < 0.2))
                to = [str(x) for x in to if x != who]
                if to:
                    lines.append((at, who, to))
    messages = "".join(f"{at} {who} {' '.join(to)}\n"
                       for at, who, to in sorted(lines))
    nodes = "".join(f"{i} {int(i <= PEOPLE)} {int(i <= PEOPLE)} 1\n"
                    for i in range(1, PEOPLE + 2000))
    return messages, nodes


@functools.cache
def report(directory):
    messages, nodes = town()
    (directory / "messages").write_text(messages)
    (directory / "nodes").write_text(nodes)
    return replay(directory, directory / "messages", directory / "nodes",
                  "--attack", "1", "--attack", "10", "--attack", "200",
                  "--attack", "1/60", "--attack", "100/1d,packed",
                  "--attack", "10,packed", "--attack", "1,known=500",
                  "--attack", "10,known=500", "--attack", "200,known=500")


@pytest.fixture(scope="module", name="figures")
def figures_fixture(tmp_path_factory):
    return report(tmp_path_factory.mktemp("town"))


def attacks_of(figures):
    return {a["attack"]: a for a in figures["attacks"]}


def check_attacks(attacks):
    for rate in ("1", "10", "200"):
        known = attacks[f"{rate},known=500"]["after_day"]["known"]
        assert 64 + 100 <= known <= 220, rate
    for rate, most in (("1", 11), ("10", 10), ("200", 10)):
        assert attacks[rate]["after_day"]["strangers"] <= most, rate
        assert attacks[rate]["frozen_after_s"] is not None, rate
    slow = attacks["1/60"]
    assert slow["after_day"]["strangers"] <= 41
    assert slow["frozen_after_s"] <= 3600


def test_outbreaks(figures):
    check_attacks(attacks_of(figures))


def test_packed(figures):
    attacks = attacks_of(figures)
    assert attacks["100/1d,packed"]["after_day"]["strangers"] <= 100
    assert attacks["10,packed"]["after_day"]["strangers"] <= 10


def test_people_notice_little(figures):
    warm = figures["warm"]
    assert warm["recipients"] > 5000
    assert figures["cold"]["freezes"] == 0
    # All that waits is the tail of a message to 25 strangers.
    assert warm["recipients_waited"]["share"] < 0.05
    assert warm["why"]["forgotten"] == 0


def test_people_are_remembered(tmp_path):
    """Where no domain is internal, too."""
    messages, nodes = town()
    (tmp_path / "messages").write_text(messages)
    (tmp_path / "nodes").write_text(nodes)

    def forgotten(more):
        got = replay(tmp_path, tmp_path / "messages", tmp_path / "nodes",
                     more=more)
        return got["warm"]["why"]["forgotten"]

    alone = "internal_domains = {}\n"
    assert forgotten(alone) == 0
    assert forgotten(alone + 'acquaintances_memory = "0"\n') > 0


@pytest.mark.long("the figures of doc/policies.md, on real traces")
@pytest.mark.parametrize("name,share,alone,freezes", [
    ("eu", 0.0001, 0.002, 0), ("rado", 0.0005, 0.0066, 1)])
def test_real_mail(tmp_path, name, share, alone, freezes):
    messages = TRACES / f"{name}.msgs.xz"
    if not messages.exists():
        pytest.skip(f"there is no {messages.name}; WEIR_TRACES names the "
                    "directory of traces")
    nodes = TRACES / f"{name}.nodes.xz"
    got = replay(tmp_path, messages, nodes,
                 "--attack", "1", "--attack", "10", "--attack", "200",
                 "--attack", "1/60", "--attack", "1,known=500",
                 "--attack", "10,known=500", "--attack", "200,known=500",
                 "--attack", "100/1d,packed", timeout=600)
    attacks = attacks_of(got)
    check_attacks(attacks)
    assert attacks["100/1d,packed"]["after_day"]["strangers"] <= 100
    assert got["cold"]["freezes"] <= freezes
    assert got["warm"]["recipients_waited"]["share"] <= share
    # Where no domain is internal, the memory alone tells who is known.
    got = replay(tmp_path, messages, nodes, timeout=600,
                 more="internal_domains = {}\n")
    assert got["cold"]["freezes"] <= freezes
    assert got["warm"]["recipients_waited"]["share"] <= alone
