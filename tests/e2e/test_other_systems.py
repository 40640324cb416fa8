# SPDX-License-Identifier: BSD-3-Clause
"""The release on a later Debian, with its compiler and its libraries: built,
its unit tests, a smoke run."""
import re

import pytest

from debian_system import APT, DebianSystem, put_release, run, why_not

WHAT = "a build and the quick check on Debian 13"
TREE = "/home/weir"
BUILD_S = 3600


@pytest.fixture(scope="module")
def trixie():
    why = why_not()
    if why is not None:
        pytest.skip(why)
    s = DebianSystem("trixie.weir.test", "trixie")
    try:
        why = s.make()
        if why is not None:
            pytest.skip(why)
        put_release(s.path(TREE))
        yield s
    finally:
        s.stop()


@pytest.mark.long(WHAT)
def test_quick_check(trixie):
    said = trixie.fetch("./bootstrap check --quick", cwd=TREE,
                        timeout=BUILD_S)
    found = re.search(r"^(\d+) passed, 0 failed$", said, re.M)
    assert found and int(found[1]) > 500, said[-3000:]
