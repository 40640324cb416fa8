# SPDX-License-Identifier: BSD-3-Clause
"""weir's policy service asked by a real Exim, with the lines of
contrib/exim.conf as doc/exim.md has them."""
import signal
import smtplib

import pytest

import exim
from harness import DEADLINE_S, TOP, FastSink, message, until
from milter import MilterWeir, let_others_in
from unpacked import FIRST_ID

HOLD = 'interval = "1h"  burst = 2  initial = 2  freeze_at = 0\n'


@pytest.fixture(scope="module", autouse=True)
def exim_is_there():
    why = exim.missing()
    if why is not None:
        print(f"Exim is not tested: {why}")
        pytest.skip(why)


class Site:
    """Exim, weir's policy service, and where Exim's mail goes."""

    def __init__(self, directory):
        self.sink = FastSink()
        self.weir = MilterWeir(directory / "weir", "127.0.0.1:1",
                               protocol="policy", policy=HOLD,
                               socket_users=f'{{"{FIRST_ID}"}}')
        lines = (TOP / "contrib/exim.conf").read_text()
        assert "/run/weir/policy.sock" in lines
        self.exim = exim.Exim(
            [("*", "127.0.0.1", self.sink.port, False)], login=True,
            acl=lines.replace("/run/weir/policy.sock", self.weir.mta_socket))

    def start(self):
        self.weir.start()
        let_others_in(self.weir.dir)
        self.exim.start()
        return self

    def stop(self):
        self.exim.stop()
        self.sink.stop()
        if self.weir.process is not None:
            assert self.weir.stop() == 0

    def set_policy(self, text):
        self.weir.policy = text
        self.weir.write_config()
        assert self.weir.run_ctl("reload").returncode == 0

    def client(self, user="alice"):
        """A session after its login."""
        session = smtplib.SMTP("127.0.0.1", self.exim.port, "client.test",
                               timeout=DEADLINE_S)
        session.ehlo()
        if user is not None:
            session.user, session.password = user, "secret"
            session.auth("PLAIN", session.auth_plain)
        return session

    def ask(self, *rcpts, user="alice", sender="alice@example.org"):
        """The replies to each RCPT: [(code, text)]."""
        with self.client(user) as session:
            assert session.mail(sender)[0] == 250
            return [(code, " ".join(text.decode().split())) for code, text in
                    map(session.rcpt, rcpts)]

    def send(self, *rcpts):
        with self.client() as session:
            return session.sendmail("alice@example.org", rcpts, message())


@pytest.fixture
def site(tmp_path):
    s = Site(tmp_path)
    try:
        yield s.start()
    finally:
        s.stop()


def test_known_pass_and_new_ones_wait(site):
    assert site.send("p0@example.com", "p1@example.com") == {}
    site.sink.wait_for(2)
    replies = site.ask("p0@example.com", "p2@example.com", "p1@example.com")
    assert [code for code, _ in replies] == [250, 451, 250]
    assert replies[1][1] == (
        "4.7.1 new recipient must wait: allowance used up, 0 of 2 left; "
        "0 ahead of it; goes in 1h")
    # One recipient was put off; the message goes to the others.
    refused = site.send("p0@example.com", "p2@example.com")
    assert list(refused) == ["p2@example.com"]
    assert site.sink.wait_for(3)[2:] == ["p0@example.com"]
    # The source is who logged in, whatever his envelope says.
    alice = site.weir.sender("alice")
    assert alice["queue_length"] == 1 and alice["working_set"] == 2
    assert site.ask("p2@example.com", sender="other@example.org")[0][0] == 451
    assert site.ask("p2@example.com", user="bob")[0][0] == 250


def test_local_programs_count_by_their_sender(site):
    """Without a login, from this machine."""
    assert site.ask("a@example.com", user=None)[0][0] == 250
    print(site.weir.ctl("senders"))
    assert site.weir.sender("<alice@example.org>") is not None


def test_put_off_is_let_in_when_its_turn_has_come(site):
    site.set_policy(HOLD.replace("1h", "1s"))
    rcpts = [f"p{i}@example.com" for i in range(3)]
    assert [c for c, _ in site.ask(*rcpts)] == [250, 250, 451]
    said = set()

    def is_let_in():
        code, text = site.ask(rcpts[2])[0]
        said.add(text)
        return code == 250

    try:
        until(is_let_in, "its turn", pause_s=0.1)
    finally:
        print(said, site.weir.sender("alice"), sep="\n")


def test_frozen_waits_or_is_refused(site):
    assert site.ask("a@example.com")[0][0] == 250
    site.weir.ctl("freeze", "alice")
    code, text = site.ask("a@example.com")[0]
    assert code == 451
    assert text.startswith("4.7.1 alice has been frozen since ") and (
        "help@weir.test" in text)
    site.set_policy(HOLD + "when_frozen = reject")
    code, text = site.ask("a@example.com")[0]
    assert code == 550
    assert text.startswith("5.7.1 alice has been frozen since ")
    # Others are not concerned, and a bounce is nobody's.
    assert site.ask("a@example.com", user="bob")[0][0] == 250
    assert site.ask("alice@example.org", sender="")[0][0] == 250
    site.weir.ctl("thaw", "alice")
    assert site.ask("a@example.com")[0][0] == 250


def test_service_reject_and_hold(site):
    site.set_policy(HOLD + "service = reject")
    rcpts = [f"p{i}@example.com" for i in range(3)]
    replies = site.ask(*rcpts)
    assert [code for code, _ in replies] == [250, 250, 550]
    assert replies[2][1].startswith("5.7.1 new recipient must wait: ")
    # HOLD freezes the message on Exim's own queue, until exim -M.
    site.set_policy(HOLD + "service = hold")
    assert site.send(rcpts[0], rcpts[2]) == {}
    frozen = until(lambda: [line.split()[2] for line in site.exim.run(
        "-bp").stdout.splitlines() if "*** frozen ***" in line],
        "a frozen message")
    assert site.sink.recipients() == []
    site.exim.run("-M", frozen[0])
    assert sorted(site.sink.wait_for(2)) == [rcpts[0], rcpts[2]]


def test_odd_addresses(site):
    """What Exim's expansion or the request's lines could stumble over."""
    site.set_policy(HOLD.replace("= 2", "= 9"))
    for to in ('"a b=c"@example.com', "a{b}${c}@example.com", "%n\\n@x.test"):
        code, text = site.ask(to, user=None)[0]
        assert code in (250, 501), (to, text)
    assert site.ask("x@example.com", sender="prvs=1=a@example.org",
                    user="{$x}=y")[0][0] == 250
    assert site.weir.sender("{$x}=y") is not None


def test_weir_is_down(site):
    assert site.ask("a@example.com")[0][0] == 250
    site.weir.kill()
    answer = (451, "4.3.0 weir does not answer, try again later")
    assert site.ask("a@example.com") == [answer]
    assert site.ask("alice@example.org", sender="")[0][0] == 250
    site.weir.launch()
    assert site.ask("a@example.com")[0][0] == 250


def test_weir_hangs(site):
    site.weir.process.send_signal(signal.SIGSTOP)
    try:
        code, text = site.ask("a@example.com")[0]
    finally:
        site.weir.process.send_signal(signal.SIGCONT)
    assert (code, text) == (451,
                            "4.3.0 weir does not answer, try again later")
