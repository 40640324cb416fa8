# SPDX-License-Identifier: BSD-3-Clause
"""The dialogue's odd ends, spoken by miltertest: a filter client that does what
no well-behaved mail server does."""
import struct
import subprocess

import pytest

from harness import DEADLINE_S, Peer, until
from milter import MilterWeir

HOLD = 'interval = "1h"  burst = 1  initial = 1'

BEGIN = """
conn = mt.connect("inet:{port}@127.0.0.1")
if conn == nil then error("connect") end
"""
NEGOTIATE = """
if mt.negotiate(conn, {version}, {actions}, {steps}) ~= nil then
    error("negotiate")
end
if mt.conninfo(conn, "client.test", "192.0.2.7") ~= nil then
    error("conninfo")
end
"""
ENVELOPE = """
function mail(from)
    if mt.mailfrom(conn, "<" .. from .. ">") ~= nil then error("mail") end
    return mt.getreply(conn)
end
function rcpt(to)
    if mt.rcptto(conn, "<" .. to .. ">") ~= nil then error("rcpt") end
    return mt.getreply(conn)
end
function text()
    if mt.header(conn, "From", "a@example.org") ~= nil then error("header") end
    if mt.header(conn, "Subject", "hello") ~= nil then error("header") end
    if mt.eoh(conn) ~= nil then error("eoh") end
    if mt.bodystring(conn, "some text\\r\\n") ~= nil then error("body") end
    if mt.eom(conn) ~= nil then error("eom") end
    return mt.getreply(conn)
end
function want(got, wanted, what)
    if got ~= wanted then
        error(what .. ": " .. string.char(got) .. " and not " ..
              string.char(wanted))
    end
end
"""


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


def talk(w, script, negotiate=True, version=6, actions="SMFI_V6_ACTS",
         steps="SMFI_V6_PROT"):
    path = w.dir / "script.lua"
    path.write_text(
        BEGIN.format(port=w.mta_port) +
        (NEGOTIATE.format(version=version, actions=actions, steps=steps)
         if negotiate else "") + ENVELOPE + script)
    done = subprocess.run(["miltertest", "-s", path], capture_output=True,
                          text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


TAKE = """
want(mail("a@example.org"), SMFIR_CONTINUE, "mail")
want(rcpt("known@example.com"), SMFIR_CONTINUE, "first")
want(rcpt("new@example.com"), SMFIR_CONTINUE, "second")
want(text(), SMFIR_CONTINUE, "eom")
if not mt.eom_check(conn, MT_RCPTDELETE, "<new@example.com>") then
    error("not taken out")
end
if mt.eom_check(conn, MT_RCPTDELETE, "<known@example.com>") then
    error("taken out")
end
mt.disconnect(conn)
"""


@pytest.mark.parametrize("version,steps", [
    (2, "SMFI_V2_PROT"), (6, "SMFI_V6_PROT"), (2, "0"), (4, "0x1ff"),
    (6, "0x1ff")])
def test_protocol_versions(milter, version, steps):
    w = milter()
    actions = "SMFI_V2_ACTS" if version == 2 else "SMFI_V6_ACTS"
    talk(w, TAKE, version=version, actions=actions, steps=steps)
    assert w.held() == ["new@example.com"]
    assert w.sender("[192.0.2.7]") is not None


def test_macros_and_their_absence(milter):
    w = milter()
    talk(w, """
if mt.helo(conn, "client.test") ~= nil then error("helo") end
mt.macro(conn, SMFIC_MAIL, "{auth_authen}", "alice", "i", "QUEUE1")
want(mail("a@example.org"), SMFIR_CONTINUE, "mail")
want(rcpt("p0@example.com"), SMFIR_CONTINUE, "rcpt")
want(text(), SMFIR_ACCEPT, "eom")
want(mail(""), SMFIR_CONTINUE, "null sender")
want(rcpt("p0@example.com"), SMFIR_CONTINUE, "rcpt")
mt.disconnect(conn)
""")
    assert w.sender("alice") is not None


def test_abort_and_several_messages(milter):
    w = milter()
    talk(w, """
for i = 1, 5 do
    want(mail("a@example.org"), SMFIR_CONTINUE, "mail")
    want(rcpt("p" .. i .. "@example.com"), SMFIR_CONTINUE, "rcpt")
    mt.abort(conn)
end
want(mail("a@example.org"), SMFIR_CONTINUE, "mail")
want(rcpt("p9@example.com"), SMFIR_CONTINUE, "rcpt")
want(text(), SMFIR_ACCEPT, "eom")
for i = 1, 3 do
    want(mail("a@example.org"), SMFIR_CONTINUE, "mail")
    want(rcpt("n" .. i .. "@example.com"), SMFIR_CONTINUE, "rcpt")
    want(text(), SMFIR_DISCARD, "eom")
end
mt.disconnect(conn)
""")
    # What was aborted took nothing from the allowance.
    assert sorted(w.held()) == [f"n{i}@example.com" for i in (1, 2, 3)]
    assert w.status()["passed_recipients"] == 1


def test_hanging_up_in_the_middle(milter):
    w = milter()
    for cut in ("", 'mail("a@example.org")',
                'mail("a@example.org") rcpt("x@example.com")',
                'mail("a@example.org") rcpt("x@example.com") '
                'rcpt("y@example.com") mt.header(conn, "Subject", "s")'):
        talk(w, cut + "\nmt.disconnect(conn, false)\n")
    talk(w, "mt.disconnect(conn, false)", negotiate=False)
    assert w.status()["held_messages"] == 0
    talk(w, TAKE)
    assert w.held() == ["new@example.com"]


class Raw:
    """Packets, for what miltertest does not let one say."""

    def __init__(self, port, steps=0):
        self.peer = Peer.connect(port)
        self.say(b"O", struct.pack("!III", 6, 0x1ff, steps))
        assert self.reply()[0:1] == b"O"

    def say(self, command, data=b""):
        self.peer.send(struct.pack("!I", len(data) + 1) + command + data)

    def reply(self):
        size = struct.unpack("!I", self.peer.file.read(4))[0]
        return self.peer.file.read(size)

    def ask(self, command, data=b""):
        self.say(command, data)
        return self.reply()


def test_unknown_commands_and_commands_out_of_order(milter):
    w = milter(local_domains='{"example.org"}')
    raw = Raw(w.mta_port)
    assert raw.ask(b"C", b"client.test\0" + b"4" + b"\0\x19" +
                   b"192.0.2.7\0") == b"c"
    assert raw.ask(b"U", b"FOO bar\0") == b"c"
    assert raw.ask(b"H", b"helo\0") == b"c"
    assert raw.ask(b"M", b"<a@example.org>\0") == b"c"
    assert raw.ask(b"U", b"FOO\0") == b"c"
    assert raw.ask(b"R", b"<p0@example.com>\0") == b"c"
    # MAIL in MAIL: the first one is given up.
    assert raw.ask(b"M", b"<b@example.org>\0") == b"c"
    assert raw.ask(b"R", b"<p0@example.com>\0") == b"c"
    assert raw.ask(b"E") == b"a"
    raw.say(b"Q")
    assert raw.peer.at_end()
    assert w.status()["passed_recipients"] == 1
    for garbage in (b"\0\0\0\0", b"\xff" * 64, b"GET / HTTP/1.1\r\n\r\n"):
        peer = Peer.connect(w.mta_port)
        peer.send(garbage)
        peer.close()
    talk(w, TAKE.replace("known@", "p0@"))
    assert w.held() == ["new@example.com"]


def test_a_frozen_client_hears_it_at_rcpt(milter):
    """At MAIL nobody knows yet that the mail does not come in."""
    w = milter(HOLD + "  when_frozen = reject")
    w.ctl("freeze", "192.0.2.7")
    talk(w, """
want(mail("a@example.org"), SMFIR_CONTINUE, "mail")
want(rcpt("new@example.com"), SMFIR_REPLYCODE, "rcpt")
mt.disconnect(conn)
""")
    assert w.status()["refused_recipients"] == 1


QUARANTINE = {"policy": 'interval = "1h"  burst = 1  initial = 0',
              "milter_hold": "quarantine", "release_command": '"/bin/true"',
              "discard_command": '"/bin/true"', "queue_settle": '"0s"'}

# The body is not wanted, and miltertest does not send it then.
NO_BODY = """
function header()
    if mt.header(conn, "Subject", "hello") ~= nil then error("header") end
    if mt.eoh(conn) ~= nil then error("eoh") end
    if mt.eom(conn) ~= nil then error("eom") end
    return mt.getreply(conn)
end
"""

ID = NO_BODY + """
want(mail("a@example.org"), SMFIR_CONTINUE, "mail")
want(rcpt("new@example.com"), SMFIR_CONTINUE, "rcpt")
mt.macro(conn, SMFIC_RCPT, "i", "{id}")
want(header(), {reply}, "eom")
if {held} ~= mt.eom_check(conn, MT_QUARANTINE, "held by weir") then
    error("quarantine")
end
mt.disconnect(conn)
"""


def test_quarantine_wants_a_queue_id_that_can_be_named(milter):
    w = milter(**QUARANTINE)
    for bad in ("-d", "ALL", "../../../etc/passwd", "4jWFs55w7zz1 ALL",
                "4jWFs55w7zz1;reboot", "x" * 32, "$(reboot)"):
        talk(w, ID.format(id=bad, reply="SMFIR_REPLYCODE", held="false"))
    talk(w, NO_BODY + """
want(mail("a@example.org"), SMFIR_CONTINUE, "mail")
want(rcpt("new@example.com"), SMFIR_CONTINUE, "rcpt")
want(header(), SMFIR_REPLYCODE, "no macro at all")
mt.disconnect(conn)
""")
    until(lambda: w.status()["held_messages"] == 0, "nothing to be kept")
    assert len(w.log_lines("milter queue_id")) == 8
    talk(w, ID.format(id="4jWFs55w7zz1cQhf", reply="SMFIR_CONTINUE",
                      held="true"))
    [found] = w.ctl("find", "--mta-id", "4jWFs55w7zz1cQhf")
    assert found["quarantined"]
    assert w.log_lines("gate hold .*to=new@example.com "
                       "mta_id=4jWFs55w7zz1cQhf until=20")
    assert found["recipients"][0]["what"] == "quarantined"
    # /bin/true releases everything at once.
    w.ctl("release", "--all")
    w.wait_empty()


def test_quarantine_must_be_allowed(milter):
    w = milter(**QUARANTINE)
    peer = Peer.connect(w.mta_port)
    peer.send(struct.pack("!I", 13) + b"O" + struct.pack("!III", 6, 0x1f, 0))
    assert peer.at_end()
    until(lambda: w.log_lines("milter negotiate_failed "), "the log")
