# SPDX-License-Identifier: BSD-3-Clause
"""What weir asks of a mail server, packet by packet: what it needs and no
more, in each version of the milter protocol."""
import ctypes
import os
import re
import shlex
import signal
import struct
import subprocess

import pytest

from harness import DEADLINE_S, Peer, free_port, until
from milter import MilterWeir
from test_http import get

HOLD = 'interval = "1h"  burst = 1  initial = 1'
DELRCPT, SETSYMLIST = 0x08, 0x100
NOBODY, NOHDRS, NOEOH = 0x10, 0x20, 0x40
NR_HDR, NOUNKNOWN, SKIP = 0x80, 0x100, 0x400
NR_CONN, NR_HELO, NR_EOH = 0x1000, 0x2000, 0x40000
HDR_LEADSPC, RCPT_REJ = 0x100000, 0x800
# What Sendmail 8.17 and Postfix 3.7 offer in version 6.
ALL_ACTIONS, ALL_STEPS = 0x1ff, 0x1fffff
# The steps that a version knows.
KNOWN = {2: 0x7f, 3: 0x17f, 4: 0x37f, 5: 0x37f, 6: ALL_STEPS}


@pytest.fixture
def milter(tmp_path):
    made = []

    def make(policy=HOLD, **kw):
        w = MilterWeir(tmp_path / "w", "127.0.0.1:1", unix=False,
                       policy=policy, **kw)
        made.append(w)
        return w.start()

    yield make
    for w in made:
        assert w.stop() == 0, w.log()[-2000:]


class Mta:
    """The mail server's side. What was agreed on is in version, actions,
    steps and macros; commands that need no reply get none."""

    def __init__(self, w, version=6, actions=ALL_ACTIONS, steps=None):
        steps = KNOWN[version] if steps is None else steps
        self.peer = Peer.connect(w.mta_port)
        self.say(b"O", struct.pack("!III", version, actions, steps))
        kind, data = self.reply()
        assert kind == b"O"
        self.version, self.actions, self.steps = struct.unpack(
            "!III", data[:12])
        self.macros = {}
        rest = data[12:]
        while rest:
            stage = struct.unpack("!I", rest[:4])[0]
            text, _, rest = rest[4:].partition(b"\0")
            self.macros[stage] = text.decode()
        self.say(b"C", b"client.test\0004\0\x19192.0.2.7\0")
        self.expect(NR_CONN, b"c")

    def say(self, kind, data=b""):
        self.peer.send(struct.pack("!I", len(data) + 1) + kind + data)

    def reply(self):
        size = struct.unpack("!I", self.peer.file.read(4))[0]
        packet = self.peer.file.read(size)
        return packet[:1], packet[1:]

    def ask(self, kind, data=b""):
        self.say(kind, data)
        return self.reply()[0]

    def expect(self, silent, wanted):
        if not self.steps & silent:
            assert self.reply()[0] == wanted

    def envelope(self, *rcpts):
        assert self.ask(b"M", b"<a@example.org>\0") == b"c"
        for rcpt in rcpts:
            assert self.ask(b"R", f"<{rcpt}>\0".encode()) == b"c"

    def header(self):
        if not self.steps & NOHDRS:
            self.say(b"L", b"Subject\0hello\0")
            self.expect(NR_HDR, b"c")
        if not self.steps & NOEOH:
            self.say(b"N")
            self.expect(NR_EOH, b"c")

    def end(self):
        """The answers to the end of a message, without "still at work"."""
        self.say(b"E")
        got = []
        while not got or got[-1][0] not in b"acdtry":
            got.append(self.reply())
        return [g for g in got if g[0] != b"p"]

    def close(self):
        self.say(b"Q")
        assert self.peer.at_end()
        self.peer.close()


def test_connections_are_counted(milter):
    """In /metrics, by the listener's name, from the start."""
    port = free_port()
    w = milter(sections=f'http "m" {{ address = "127.0.0.1:{port}" }}\n')

    def count():
        text = get(port)[1]
        return int(re.search(r'^weir_connections_total\{listener="mta"\} (\d+)',
                             text, re.M)[1])

    before = count()  # the harness looks whether the port is open
    for _ in range(3):
        Mta(w).close()
    until(lambda: count() == before + 3, "three more")


def test_take_asks_for_what_it_needs(milter):
    mta = Mta(milter())
    assert mta.version == 6
    assert mta.actions == DELRCPT | SETSYMLIST
    # No replies are waited for where weir has nothing to say.
    assert mta.steps == (NOUNKNOWN | NR_CONN | NR_HELO | NR_HDR | NR_EOH |
                         HDR_LEADSPC | SKIP | RCPT_REJ)
    # Connection, HELO, MAIL, RCPT, DATA, end: no more macros than these.
    asked = {m for text in mta.macros.values() for m in text.split()}
    assert {"{auth_authen}", "{client_addr}", "i"} <= asked
    assert asked <= {"{auth_authen}", "{client_addr}", "{rcpt_mailer}",
                     "{rcpt_host}", "i", "j"}
    mta.close()


def test_tempfail_sees_no_message(milter):
    mta = Mta(milter(milter_hold="tempfail"))
    assert mta.actions == SETSYMLIST
    assert mta.steps & (NOBODY | NOHDRS | NOEOH) == NOBODY | NOHDRS | NOEOH
    mta.envelope("p0@example.com")
    mta.header()
    assert mta.end() == [(b"a", b"")]
    mta.close()


@pytest.mark.parametrize("version", sorted(KNOWN))
def test_versions(milter, version):
    """Of an older mail server nothing is asked that it does not know, and the
    work is done all the same."""
    w = milter()
    actions = 0x3f if version < 6 else ALL_ACTIONS
    mta = Mta(w, version, actions)
    assert mta.version == version
    assert mta.steps & ~KNOWN[version] == 0
    assert mta.actions & ~actions == 0
    mta.envelope("p0@example.com", "p1@example.com")
    if version >= 4:
        assert mta.ask(b"T") == b"c"
    mta.header()
    assert mta.ask(b"B", b"text\r\n") == b"c"
    assert mta.end() == [(b"-", b"<p1@example.com>\0"), (b"c", b"")]
    mta.close()
    assert w.held() == ["p1@example.com"]


def test_a_mail_server_that_does_not_let_recipients_be_removed(milter):
    """The connection is closed, for the mail server to do without a filter
    what it is configured to do; the log says why."""
    w = milter()
    peer = Peer.connect(w.mta_port)
    peer.send(struct.pack("!I", 13) + b"O" +
              struct.pack("!III", 6, 0x01, ALL_STEPS))
    assert peer.at_end()
    until(lambda: w.log_lines("milter negotiate_failed .*milter_hold"), "the log")


def test_known_recipients_are_let_go_at_data(milter):
    """No header and no body of theirs crosses the socket."""
    w = milter()
    for i in range(3):
        mta = Mta(w)
        mta.envelope("p0@example.com")
        if i == 0:  # counted at the end, since it may be given up until then
            mta.header()
            assert mta.ask(b"B", b"text\r\n") == b"s"
            assert mta.end() == [(b"a", b"")]
        else:
            assert mta.ask(b"T") == b"a"
        mta.close()
    until(lambda: w.status()["passed_recipients"] == 3, "all three")


@pytest.mark.parametrize("steps,answer", [(ALL_STEPS, b"s"),
                                          (ALL_STEPS & ~SKIP, b"c")])
def test_the_body_is_asked_for_only_where_something_is_held(
        milter, steps, answer):
    w = milter()
    mta = Mta(w, steps=steps)
    mta.envelope("p0@example.com")
    mta.header()
    assert mta.ask(b"B", b"text\r\n") == answer
    assert mta.end() == [(b"a", b"")]
    mta.envelope("p1@example.com")
    mta.header()
    for _ in range(3):
        assert mta.ask(b"B", b"text\r\n" * 1000) == b"c"
    assert mta.end() == [(b"d", b"")]
    mta.close()
    assert w.held() == ["p1@example.com"]


def test_a_long_message_keeps_the_mail_server_patient(milter):
    """"Still at work" comes before what is done at the end; without it a mail
    server could give up in between."""
    w = milter()
    mta = Mta(w)
    mta.envelope("p0@example.com", "p1@example.com")
    mta.header()
    for _ in range(40):
        assert mta.ask(b"B", b"x" * 65000) == b"c"
    mta.say(b"E")
    assert [mta.reply()[0] for _ in range(3)] == [b"p", b"-", b"c"]
    mta.close()
    assert w.queue()[0]["size"] > 40 * 65000


@pytest.mark.parametrize("cut", [b"M", b"R", b"T", b"L", b"N", b"B"])
def test_abort_at_each_step(milter, cut):
    """What was given up takes nothing from the allowance and leaves nothing
    behind; the connection goes on."""
    w = milter()
    mta = Mta(w)
    packets = [(b"M", b"<a@example.org>\0"), (b"R", b"<x@example.com>\0"),
               (b"R", b"<y@example.com>\0"), (b"T", b""),
               (b"L", b"Subject\0hello\0"), (b"N", b""),
               *[(b"B", b"x" * 65000)] * 4]
    silent = {b"L": NR_HDR, b"N": NR_EOH}
    for i, (kind, data) in enumerate(packets):
        mta.say(kind, data)
        mta.expect(silent.get(kind, 0), b"c")
        if kind == cut and kind not in [k for k, _ in packets[i + 1:]]:
            break
    mta.say(b"A")
    mta.envelope("p0@example.com")
    mta.header()
    assert mta.end() == [(b"a", b"")]
    mta.close()
    assert w.held() == [] and w.status()["passed_recipients"] == 1
    until(lambda: list((w.spool / "bodies").iterdir()) == [], "no body left")


@pytest.mark.parametrize("known", [[], ["p0@example.com"]],
                         ids=["all_held", "some_held"])
def test_the_mail_server_is_gone_when_it_is_answered(milter, known):
    """Its client heard no 250 and comes again: the copy, which is on disk by
    then, is taken back. On a busy machine the kernel may tell the reset only
    after the second write: then the message is sent twice, which is allowed,
    but not each time."""
    w = milter('interval = "1h"  burst = 1  initial = 0  '
               'exempt_recipients = {"p0@example.com"}')

    def is_taken_back():
        before = w.status()["spool"]["operations"]
        mta = Mta(w)
        mta.envelope(*known, "p1@example.com")
        mta.header()
        mta.say(b"E")
        mta.peer.close()
        until(lambda: w.status()["spool"]["operations"] >= before + 2,
              "the copy to be stored, and removed or kept")
        if w.held() == []:
            return True
        w.ctl("discard", "--all")
        return False

    assert any(is_taken_back() for _ in range(4))
    assert w.status()["held_messages"] == 0


def signal_libmilter(pid, number):
    """To each thread but the main one: all of them block it, and libmilter's
    thread for signals waits for it."""
    tgkill = {"x86_64": 234}.get(os.uname().machine, 131)
    for task in os.listdir(f"/proc/{pid}/task"):
        if int(task) != pid:
            ctypes.CDLL(None).syscall(tgkill, pid, int(task), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP,
                                    signal.SIGINT])
def test_signals_are_not_libmilters(milter, number):
    """It would end when it has one, and a signal to the process goes to any
    thread that takes it."""
    w = milter()
    Mta(w).close()  # all of its threads are there
    signal_libmilter(w.process.pid, number)
    for _ in range(5):  # it looks when somebody connects
        Mta(w).close()
    assert w.process.poll() is None
    w.run_ctl("reload")
    Mta(w).close()


SMFI_MAIN = """#include <unistd.h>
int smfi_main(void) {
	while (access("%s", F_OK) != 0)
		usleep(10000);
	return -1;
}
"""


@pytest.mark.skipif(bool(os.environ.get("WEIR_SANITIZED")),
                    reason="a sanitizer wants to be loaded first")
def test_libmilter_ends_by_itself(tmp_path):
    """Nothing would be throttled any more: a failure, so that the daemon is
    started again (Restart=on-failure)."""
    shim, end = tmp_path / "shim.so", tmp_path / "end"
    subprocess.run(
        [*shlex.split(os.environ.get("CC", "cc")), "-shared", "-fPIC", "-x",
         "c", "-o", shim, "-"], input=SMFI_MAIN % end, text=True, check=True)
    w = MilterWeir(tmp_path / "w", "127.0.0.1:1", unix=False, policy=HOLD)
    w.preload["LD_PRELOAD"] = str(shim)
    w.start()
    end.touch()
    assert w.process.wait(DEADLINE_S) == 70, w.log()[-2000:]
    w.process = None
    assert w.log_lines("error milter ended")
    w.preload.clear()
    w.launch()
    Mta(w).close()
    assert w.stop() == 0
