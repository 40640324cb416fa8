# SPDX-License-Identifier: BSD-3-Clause
import pytest

from harness import Scripted, Sink, Weir


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: the main job, in seconds")


@pytest.fixture
def sink():
    s = Sink().start()
    yield s
    s.stop()


@pytest.fixture
def weir(tmp_path, sink):
    """A factory: weir(policy=..., option=...) starts a daemon in front of the
    sink (or of next_hop); all are stopped, and must stop cleanly."""
    made = []

    def make(next_hop=None, name="weir", start=True, **kw):
        w = Weir(tmp_path / f"{name}{len(made)}", next_hop or sink.address,
                 **kw)
        made.append(w)
        return w.start() if start else w

    yield make
    for w in made:
        if w.process is not None:
            assert w.stop() == 0, w.log()[-2000:]


@pytest.fixture
def scripted():
    made = []

    def make(script):
        s = Scripted(script)
        made.append(s)
        return s

    yield make
    for s in made:
        s.stop()
