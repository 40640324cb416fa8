# SPDX-License-Identifier: BSD-3-Clause
"""The hostile dialogues: each scenario of dialogues/*.dialogue is a test.
Their format is described in dialogues/README.md."""
import pathlib

import pytest

from conftest import children
from dialogue import read_file
from dialogue_peers import Failed
from dialogue_run import Stage

FILES = sorted((pathlib.Path(__file__).parent / "dialogues").glob(
    "*.dialogue"))
SCENARIOS = [s for path in FILES for s in read_file(path)]


@pytest.fixture(scope="module", autouse=True)
def leaves_nothing_behind():
    """As in conftest.py, but for the whole file: the daemon is the stage of
    all dialogues."""
    before = children()
    yield
    left = {p: c for p, c in children().items() if p not in before}
    assert not left, f"processes left behind: {left}"


@pytest.fixture(scope="module")
def stage(tmp_path_factory, leaves_nothing_behind):
    s = Stage(tmp_path_factory.mktemp("stage"))
    yield s
    s.stop()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.id)
def test_dialogue(stage, scenario):
    failure = None
    try:
        stage.play(scenario)
    except Failed as e:
        failure = str(e)
    if failure is not None:
        pytest.fail(failure, pytrace=False)
