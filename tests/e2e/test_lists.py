# SPDX-License-Identifier: BSD-3-Clause
"""A mailing list of 5000 that a program of the machine sends by 500s, with a
return path of its own for each batch: through a real Postfix with the milter,
and through the relay."""
import collections
import smtplib

import pytest

from harness import DEADLINE_S, message, until
from milter_site import site  # noqa: F401

LIST = "<news-bounces@lists.example.org>"
BATCHES = [[f"m{b}.{i}@example.com" for i in range(500)] for b in range(10)]
EVERYBODY = collections.Counter(r for batch in BATCHES for r in batch)
# As doc/postfix.md has it.
POLICY = """policy "lists" {
    match     = {"from:@lists.example.org"}
    interval  = "1s"
    burst     = 5000
    initial   = 5000
    freeze_at = 0
}"""


def sender(i):
    return f"news-bounces+batch{i}=example.com@lists.example.org"


def post(port, batches):
    """By number what the mail server says to each: the first refusal, or the
    reply to the message."""
    said = {}
    for i in batches:
        with smtplib.SMTP("127.0.0.1", port, "list.test",
                          timeout=DEADLINE_S) as client:
            client.ehlo()
            said[i] = client.mail(sender(i))[0]
            for rcpt in BATCHES[i]:
                if said[i] != 250:
                    break
                said[i] = client.rcpt(rcpt)[0]
            if said[i] == 250:
                said[i] = client.data(message(sender=sender(i)))[0]
    return said


def lists_frozen(w):
    return [s["sender"] for s in w.ctl("senders", "--frozen")]


@pytest.fixture
def mta(site, fast_sink):  # noqa: F811
    """mta(sections): Postfix hands everything on to the sink."""
    return lambda sections="": site(
        "postfix", policy="", sections=sections, site={"main": (
            "virtual_mailbox_domains =\n"
            f"relayhost = [127.0.0.1]:{fast_sink.port}\n")})


def test_a_list_with_its_policy_passes(mta, fast_sink):
    s = mta(POLICY)
    assert set(post(s.mta.port, range(10)).values()) == {250}
    fast_sink.wait_for(5000)
    assert collections.Counter(fast_sink.recipients()) == EVERYBODY
    assert s.w.held() == [] and s.w.ctl("senders", "--frozen") == []
    assert [r["sender"] for r in s.w.ctl("senders")] == [LIST]


def test_a_list_without_a_policy_waits_where_it_can_be_seen(mta, fast_sink):
    """What was taken is held or has gone; what was not is still the list's,
    which was told to come again; nothing is lost or comes twice."""
    s = mta()
    taken, w = set(), s.w
    for _ in range(2):
        said = post(s.mta.port, sorted(set(range(10)) - taken))
        taken_now = {i for i, code in said.items() if code == 250}
        assert taken_now and set(said.values()) <= {250, 451}, said
        taken |= taken_now
        want = collections.Counter(r for i in taken for r in BATCHES[i])
        until(lambda: collections.Counter(
            [*w.held(), *fast_sink.recipients()]) == want,
            "each of those taken to be held or gone")
        # One sender for all of the return paths, frozen by the rules.
        assert [r["sender"] for r in w.ctl("senders")] == [LIST]
        assert [r["sender"] for r in w.ctl("senders", "--frozen")] == [LIST]
        assert w.sender(LIST)["queue_length"] == len(w.held()) > 400
        w.ctl("thaw", LIST, "--release")
        fast_sink.wait_for(want.total())
        w.wait_empty()
    assert collections.Counter(fast_sink.recipients()) == want
