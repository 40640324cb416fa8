# SPDX-License-Identifier: BSD-3-Clause
"""The dialogues' own format: what is wrong in a file is told with its line, and
a dialogue that expects what does not happen fails."""
import pathlib

import pytest

from dialogue import FormatError, Reader, expand, plain
from dialogue_peers import Failed, check_reply_line, wire_faults
from dialogue_run import Stage
from test_dialogues import leaves_nothing_behind, stage  # noqa: F401

HERE = pathlib.Path("some.dialogue")


def read(text):
    return Reader(HERE, text).read()


# ---- texts ----

def test_bytes():
    assert plain(r"a\r\n\0\t\e\\\x7f", {}) == b"a\r\n\0\t\x1b\\\x7f"
    assert plain(r"\{ab\n*3}", {}) == b"ab\nab\nab\n"
    assert plain(r"\{\{x*2}-*2}\{who}", {"who": "é"}) == \
        b"xx-xx-" + "é".encode()
    assert expand(r"a\|b", {}) == [b"a", ("packet", b""), b"b"]
    assert expand(r"220 go\{close}", {}) == [b"220 go", ("close", b"")]
    assert expand(r"\{forever x\n}", {}) == [("forever", b"x\n")]


# ---- what is read ----

def test_a_scenario_for_each_row_and_size():
    found = read("""
config bare_newline = normalize
table ends
    | name | in
    | LF   | \\n
    | CR   | \\r

dialogue {name} for each of ends
    packets: whole, 3
    config errors_max = 7
    C> a\\{in}
    S: 250
dialogue other
    hello
""")
    assert [s.id for s in found] == [
        "some: LF", "some: LF [packets of 3]", "some: CR",
        "some: CR [packets of 3]", "some: other"]
    assert found[0].config == {"bare_newline": "normalize",
                               "errors_max": "7"}
    assert found[-1].config == {"bare_newline": "normalize"}
    assert found[2].cells == {"name": "CR", "in": "\\r"}


WRONG = {
    "unknown line": ("dialogue x\n    say hello", 2, "cannot be understood"),
    "unknown escape": ("dialogue x\n    C: \\q", 2, "unknown escape"),
    "unknown name": ("dialogue x\n    C: \\{who}", 2, "unknown \\{who}"),
    "open brace": ("dialogue x\n    C: a\n    C: \\{a*3", 3, "without }"),
    "too often": ("dialogue x\n    C: \\{a*9999999}", 2, "more than"),
    "bad hex": ("dialogue x\n    C: \\xZZ", 2, "unknown escape"),
    "packet in a reply": ("dialogue x\n    S: 250 a\\|b", 2, "no meaning"),
    "action of a client": ("dialogue x\n    C: a\\{close}", 2, "no meaning"),
    "no table": ("dialogue x for each of ends\n    hello", 1,
                 "no table ends"),
    "no rows": ("table ends\n    | name\ndialogue x\n    hello", 1,
                "has no rows"),
    "a cell too many": ("table ends\n    | a | b\n    | 1 | 2 | 3\n"
                        "dialogue x\n    hello", 3, "3 cells"),
    "table twice": ("table a\n | x\n | y\ntable a\n | x\n | y", 4, "twice"),
    "name twice": ("dialogue x\n    hello\ndialogue x\n    hello", 3,
                   "has stood at line 1"),
    "nothing happens": ("dialogue x\n# hello", 1, "nothing happens"),
    "no dialogue": ("# nothing\n", 1, "no dialogue"),
    "step outside": ("hello\ndialogue x\n    hello", 1,
                     "outside of a dialogue"),
    "config": ("config bare_newline\ndialogue x\n    hello", 1,
               "config NAME = VALUE"),
    "packets": ("dialogue x\n    packets: 0\n    hello", 2, "packets"),
    "mail without text mark": ("dialogue x\n    mail <a> <b>\n    text", 3,
                               "cannot be understood"),
}


@pytest.mark.parametrize("what", WRONG)
def test_errors_name_file_and_line(what):
    text, line, words = WRONG[what]
    with pytest.raises(FormatError) as e:
        read(text)
    assert str(e.value).startswith(f"some.dialogue:{line}: ")
    assert words in str(e.value)


# ---- what holds in every dialogue ----

@pytest.mark.parametrize("line", [
    b"250 ok\n", b"250 a\rb\r\n", b"250 \x1b[2J\r\n", b"250 \xff\r\n",
    b"250 \xc2\x9b\r\n", b"hello\r\n", b"250 " + b"x" * 510 + b"\r\n"])
def test_replies_that_no_client_may_get(line):
    with pytest.raises(Failed):
        check_reply_line(line)
    check_reply_line(b"250-ok\r\n")


@pytest.mark.parametrize("wire", [
    b"a\n.\r\n", b"a\r.\r\n.\r\n", b"a\r\n.\r\nb\r\n.\r\n", b".a\r\n.\r\n",
    b"a\r\n"])
def test_messages_that_must_not_leave(wire):
    assert wire_faults(wire)
    assert not wire_faults(b"..a\r\n..\r\n.\r\n")


# ---- a wrong expectation fails ----

MAIL = """
    envelope <a@example.org> <b@known.test>
    C: DATA
    S: 354
    C: Subject: x
    C:
    C: ..
    C: .
    S: 250
"""
GOOD = MAIL + """
    mail <a@example.org> <b@known.test> by DATA
    | Subject: x
    |
    | .
"""
HELD = """
    envelope <a\\{u}@example.org> <\\{u}@example.com>
    C: DATA
    S: 354
    C: .
    S: 250
"""

FAILS = {
    "another code": ("C: NOOP\nS: 550", 3, "expected '550'"),
    "other words": ("C: NOOP\nS: 250 2.0.0 no", 3, "but weir said"),
    "a reply that does not come": ("C: QUIT\nS: 221\nS: 250", 4, "closed"),
    "a reply too many": ("C: NOOP\nC: NOOP\nS: 250\nC: QUIT\nS: 221", 6,
                         "expected '221'"),
    "out of step": ("C: VRFY x\nin step", 3, "out of step"),
    "other bytes": ("C: NOOP\nS> 250 ok", 3, "but weir said"),
    "it does not close": ("C: NOOP\nS: 250\nS closes", 4, "says nothing"),
    "no such extension": ("hello\nS has: EVIL", 3, "no line"),
    "an extension": ("hello\nS lacks: PIPELINING", 3, "a line"),
    "mail that was not named": (MAIL, 1, "not expected"),
    "mail that does not come": ("mail <a@example.org> <b@known.test>", 2,
                                "no such mail"),
    "mail with another text": (GOOD.replace("| .", "| .."), 11,
                               "not as expected"),
    "mail by another way": (GOOD.replace("by DATA", "by BDAT"), 11,
                            "came by DATA"),
    "mail to another": (GOOD.replace("mail <a@example.org> <b@", "mail "
                                     "<a@example.org> <c@"), 11,
                        "no such mail"),
    "wire without its dots": (GOOD.replace("mail", "wire") + "| .\n", 11,
                              "not as expected"),
    "mail that is held": (HELD, 1, "expected to wait: []"),
    "nobody is held": ("held: c@example.com", 2, "but there wait []"),
    "a log line": ("log lacks: reload", 2, "the log has"),
    "a command": ("envelope <a@example.org> <b@known.test>\n"
                  "H never heard: RCPT", 3, "heard"),
    "TLS": ("hello to tls\nC starts TLS", 3, "handshake fails"),
    "no TLS": ("hello to tls\nC: STARTTLS\nS: 220\nC starts TLS in vain", 5,
               "succeeds"),
    "configuration": ("config errors_max = 0\nhello", 1, "refused"),
}


@pytest.fixture
def impatient(monkeypatch):
    """What does not come is not waited for long here."""
    monkeypatch.setattr("dialogue_run.MAIL_S", 0.5)
    monkeypatch.setattr("dialogue_peers.DEADLINE_S", 0.5)


@pytest.mark.parametrize("what", FAILS)
def test_a_wrong_expectation_fails(stage, impatient, what):  # noqa: F811
    text, line, words = FAILS[what]
    scenario, = read("dialogue x\n" + text.lstrip("\n"))
    with pytest.raises(Failed) as e:
        stage.play(scenario)
    assert str(e.value).startswith(f"some.dialogue:{line}: "), e.value
    assert words in str(e.value)


def test_a_right_one_passes(stage):  # noqa: F811
    scenario, = read("dialogue x\n" + GOOD.lstrip("\n"))
    stage.play(scenario)


def test_a_daemon_that_dies_fails_the_dialogue(tmp_path):
    lonely = Stage(tmp_path)

    def die(client, packets):
        lonely.weir.process.kill()
        lonely.weir.process.wait()

    scenario, = read("dialogue x\nC: NOOP\nS: 250")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dialogue_peers.Client.send", die)
        with pytest.raises(Failed, match="weir-maild has ended"):
            lonely.play(scenario)
    # The next one finds another.
    lonely.play(scenario)
    lonely.stop()
