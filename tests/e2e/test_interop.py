# SPDX-License-Identifier: BSD-3-Clause
"""Mail programs that nobody here wrote, on both sides of weir: each client with
each next hop, five kinds of message, known and held, plain and over TLS. What
each can do is in interop_cells.py; doc/interop.md says what was learnt."""
import os
import shutil

import pytest

import exim
import opensmtpd
from harness import BUILD
from interop import Matrix, table
from interop_cells import CLIENTS, HOPS, all_cells

SANITIZED = bool(os.environ.get("WEIR_SANITIZED"))


def wanted():
    """The sanitized daemon sees each program once, and no large mail."""
    cells = all_cells()
    if not SANITIZED:
        return cells
    diagonal = {(c, HOPS[i % len(HOPS)]) for i, c in enumerate(CLIENTS)}
    return [c for c in cells if (c.client, c.hop) in diagonal and
            c.kind != "large"]


CELLS = wanted()
PAIRS = list(dict.fromkeys((c.client, c.hop) for c in CELLS))


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    for why in exim.missing(), opensmtpd.missing():
        if why is not None:
            pytest.skip(f"no mail servers to try weir with: {why}")
    for program in "msmtp", "swaks", "node", "postfix", "dovecot":
        assert shutil.which(program), f"{program} is not installed"
    m = Matrix(tmp_path_factory.mktemp("interop"), CELLS)
    try:
        yield m.run()
        report(m)
    finally:
        m.stop()


def report(m):
    text = table(m.cells) + "".join(
        f"{name}: {s:.1f} s\n" for name, s in m.took.items())
    (BUILD / "interop.txt").write_text(text + "".join(
        f"{c.key}: {c.fault()}\n" for c in m.cells if c.fault()))
    print("\n" + text)


@pytest.mark.parametrize("client,hop", PAIRS)
def test_pair(matrix, client, hop):
    faults = {c.key: c.fault() for c in matrix.cells
              if (c.client, c.hop) == (client, hop) and c.fault()}
    assert not faults, "\n" + "\n".join(
        f"{key}: {why}" for key, why in faults.items())


def test_nothing_is_left(matrix):
    assert {k: w.status()["held_messages"] for k, w in matrix.weirs.items()
            if w.status()["held_messages"]} == {}
