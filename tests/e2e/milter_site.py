# SPDX-License-Identifier: BSD-3-Clause
"""weir as a milter inside a real Postfix or a real Sendmail, with one face for
both: what arrived is in recipients() and raw()."""
import contextlib
import os
import pathlib
import tempfile

import pytest

from faultio import Faults
from harness import Sink
from milter import MilterPostfix, MilterWeir
from sendmail import Sendmail, unpack

HOLD_ALL = 'interval = "1h"  burst = 1  initial = 0'
# Of the mail server, in seconds; weir's own are longer unless a test says so.
SHORT_CF = """milter_connect_timeout = 2s
milter_command_timeout = 2s
milter_content_timeout = 2s
"""
SHORT_T = "C:2s;S:2s;R:2s;E:2s"


class PostfixSite:
    def __init__(self, made, directory, w, accept=False, short=False,
                 main=""):
        self.w = w
        self.mta = MilterPostfix(
            w.where, default="accept" if accept else "tempfail",
            main=main + (SHORT_CF if short else ""))
        made.callback(self.mta.stop)
        self.recipients, self.raw = self.mta.recipients, self.mta.raw
        self.wait_for = self.mta.wait_for

    def kill_mta(self):
        self.mta.kill()


class SendmailSite:
    def __init__(self, made, directory, w, accept=False, short=False,
                 users=None):
        self.w = w
        self.sink = Sink().start()
        made.callback(self.sink.stop)
        inet = not w.where.startswith("unix:")
        where = (f"inet:{w.mta_port}@127.0.0.1" if inet
                 else w.where.replace("unix:", "local:"))
        more = {"times": SHORT_T} if short else {}
        self.mta = Sendmail(where, self.sink.port, users=users,
                            fail="" if accept else "T", **more)
        made.callback(self.mta.stop)
        self.recipients, self.wait_for = (self.sink.recipients,
                                          self.sink.wait_for)

    def raw(self):
        return [m[2] for m in self.sink.messages]

    def kill_mta(self):
        self.mta.kill()


def make_site(made, kind, policy=HOLD_ALL, shim=None, start=True, site=None,
              unix=False, **options):
    """made: an ExitStack that takes it all down again. shim: faultio.c's
    library, when the disk is to fail; the orders are then in site.faults."""
    if kind == "sendmail":
        why = unpack()
        if why is not None:
            print(f"Sendmail is not tested: {why}")
            pytest.skip(why)
    # Postfix's own user reaches the socket: not below pytest's directory.
    directory = pathlib.Path(
        made.enter_context(tempfile.TemporaryDirectory(prefix="weir-site-")))
    os.chmod(directory, 0o755)
    faults = Faults(directory, directory / "w/spool", shim) if shim else None
    w = MilterWeir(directory / "w", "127.0.0.1:1", unix=unix, policy=policy,
                   preload=faults.env if faults else None, **options)
    w.dir.chmod(0o755)
    made.callback(lambda: w.process is None or w.stop())
    cls = PostfixSite if kind == "postfix" else SendmailSite
    s = cls(made, directory, w, **(site or {}))
    s.faults = faults
    w.next_hop = s.mta.back
    if start:
        w.start()
    s.mta.start()
    return s


@pytest.fixture
def site():
    """site(kind, ...): see make_site."""
    with contextlib.ExitStack() as made:
        yield lambda kind, **kw: make_site(made, kind, **kw)


def people(n, prefix="p"):
    return [f"{prefix}{i}@example.com" for i in range(n)]
