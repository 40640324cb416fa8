# SPDX-License-Identifier: BSD-3-Clause
import collections
import os
import pathlib
import sys

import pytest

import faultio
from harness import FastSink, Scripted, Sink, Weir


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: the main job, in seconds")
    config.addinivalue_line(
        "markers", "long(what): what it covers; takes too long for"
        " ./bootstrap check and runs in ./bootstrap check --long alone")


def pytest_report_collectionfinish(config, items):
    """A line for each reason of the mark "long", where they are asked for."""
    if not config.option.collectonly:
        return []
    what = collections.Counter(
        " ".join(mark.args) or item.nodeid for item in items
        for mark in item.iter_markers("long"))
    return [f"long: {text} ({n})" for text, n in what.items()]


def pytest_terminal_summary(terminalreporter):
    """The tables of weir-netd's experiments, without -s too."""
    netlab = sys.modules.get("netlab")
    if netlab is not None and netlab.TOLD:
        terminalreporter.section("weir-netd: what was measured")
        for text in netlab.TOLD:
            terminalreporter.write_line(text)


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
def fast_sink():
    s = FastSink()
    yield s
    s.stop()


@pytest.fixture
def scripted():
    made = []

    def make(script, **kw):
        s = Scripted(script, **kw)
        made.append(s)
        return s

    yield make
    for s in made:
        s.stop()


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """faultio.c, compiled."""
    return faultio.build(tmp_path_factory.mktemp("faultio"))


def children():
    """Processes that have this one as their parent: command lines by pid."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        proc = pathlib.Path("/proc", pid)
        try:
            fields = (proc / "stat").read_text().rpartition(")")[2].split()
            command = (proc / "cmdline").read_bytes()
        except OSError:  # gone meanwhile
            continue
        if int(fields[1]) == os.getpid():
            found[int(pid)] = command
    return found


@pytest.fixture(autouse=True)
def leaves_nothing_behind():
    before = children()
    yield
    # What was there before may have become another program since.
    left = {p: c for p, c in children().items() if p not in before}
    assert not left, f"processes left behind: {left}"
