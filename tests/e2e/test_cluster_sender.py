# SPDX-License-Identifier: BSD-3-Clause
"""What several relays count together about one sender beside its allowance:
two of them and one sender get what one relay would give."""
from harness import message, until
from test_cluster import (ALICE, KEY, frozen, is_up, redis,  # noqa: F401
                          relay, send, shared, spent)

PAPER = KEY + "profile = paper  interval = \"1h\""


EVE = "eve@example.org"


def left(w, sender, allowance):
    """As the last answer to this relay has it."""
    until(lambda: w.ctl("show", sender)["allowance"] == allowance,
          "the level")


def held(*relays):
    return sorted(h.split("@")[0] for w in relays for h in w.held())


def test_a_paper_source_has_one_working_set(redis, relay):  # noqa: F811
    """Five places are free, and each relay knows who took them."""
    server = redis()
    a, b = relay(server, policy=PAPER), relay(server, policy=PAPER)
    is_up(a, b)
    send(a, "one", "two", "three")
    send(b, "four", "five")
    assert held(a, b) == []
    send(b, "one", "two")  # not new to the other relay
    send(a, "five", "four")
    assert held(a, b) == []
    send(a, "six")
    send(b, "seven", "three")
    assert held(a) == ["six"] and held(b) == ["seven"]
    until(lambda: a.ctl("show", ALICE)["waiting_elsewhere"] == 1, "the queue")


def test_a_paper_source_in_an_outage(redis, relay):  # noqa: F811
    """The relay that never saw the sender knows how much is left."""
    server = redis()
    a, b = relay(server, policy=PAPER), relay(server, policy=PAPER)
    is_up(a, b)
    send(a, "one", "two", "three")
    spent(b, 3)
    send(b, "four")
    left(b, ALICE, 1)
    server.kill()
    until(lambda: not shared(a)["up"] and not shared(b)["up"], "the outage")
    send(b, "five", "six")
    assert held(b) == ["six"]
    server.start()
    is_up(a, b)
    # Emptied: it hears from the first that asks what was taken.
    left(b, ALICE, 0)
    send(b, "seven")
    assert held(b) == ["seven", "six"]


def refuse(w, name):
    peer = w.hello()
    peer.ask("MAIL FROM:<alice@example.org>")
    assert peer.ask(f"RCPT TO:<{name}@example.com>")[0] == 550
    peer.close()


def credit(w):
    return w.ctl("show", ALICE)["credit"]


CREDIT = KEY + 'interval = "1h"  burst = 50  initial = 50  refused_credit = 4'


def test_relays_share_the_credit(redis, relay, sink):  # noqa: F811
    """Two guesses at each are four, not two and two."""
    for i in range(9):
        sink.refuse_rcpt[f"guess{i}@example.com"] = "550 5.1.1 No such person"
    server = redis()
    a, b = relay(server, policy=CREDIT), relay(server, policy=CREDIT)
    is_up(a, b)
    for i, w in enumerate((a, b, a)):
        refuse(w, f"guess{i}")
    refuse(b, "guess0")  # the same again is free, wherever it was refused
    until(lambda: credit(b) == 1, "three of four")
    send(b, "one")
    assert held(b) == []
    refuse(a, "guess3")
    refuse(b, "guess4")
    until(lambda: b.ctl("show", ALICE)["credit_empty"], "the last of it")
    send(a, "two")
    send(b, "three")
    assert held(a) == ["two"] and held(b) == ["three"]
    # One of them has told.
    assert sum(e["type"] == "credit" for w in (a, b)
               for e in w.ctl("events")) == 1


def test_credit_of_an_outage_is_joined(redis, relay, sink):  # noqa: F811
    for i in range(9):
        sink.refuse_rcpt[f"guess{i}@example.com"] = "550 5.1.1 No such person"
    server = redis("--save", "60 100000")
    a, b = relay(server, policy=CREDIT), relay(server, policy=CREDIT)
    is_up(a, b)
    send(a, "zero")
    send(b, "zero")
    refuse(a, "guess0")
    until(lambda: credit(a) == 3, "the refusal")
    server.kill()
    until(lambda: not shared(a)["up"] and not shared(b)["up"], "the outage")
    for i in range(1, 4):
        refuse(a, f"guess{i}")
    assert a.ctl("show", ALICE)["credit_empty"]
    server.start()
    is_up(a, b)
    # The relay that knows of more says so, whoever asks about the sender.
    send(a, "one")
    assert held(a) == ["one"]
    send(b, "two")
    assert held(b) == ["two"]


def as_eve(w, client):
    peer = w.hello()
    assert peer.ask(f"XCLIENT ADDR={client} LOGIN=eve@example.org")[0] == 220
    assert peer.ask("EHLO client.test")[0] == 250
    return peer


def mail(w, client, to):
    peer = as_eve(w, client)
    code, text = peer.transact(EVE, [f"{to}@example.com"],
                               message())
    assert code == 250, text
    peer.ask("QUIT")


NETS = 'client_networks = "2/1h"  interval = "1h"  burst = 9  initial = 9'
TRUSTED = {"xclient_from": '{"127.0.0.1"}'}


def networks(w):
    return w.ctl("show", EVE)["client_networks"]


def test_relays_share_client_networks(redis, relay):  # noqa: F811
    """Three networks are too many, wherever they are used."""
    server = redis()
    a, b = (relay(server, policy=NETS, **TRUSTED) for _ in range(2))
    is_up(a, b)
    mail(a, "192.0.2.1", "one")
    mail(b, "IPV6:2001:db8:1::1", "two")
    assert held(a, b) == []
    mail(a, "192.0.2.7", "three")
    assert held(a, b) == []
    mail(a, "203.0.113.7", "four")
    assert held(a) == ["four"]
    until(lambda: networks(a) == 3, "the count")
    mail(b, "192.0.2.1", "five")
    assert held(b) == ["five"]
    assert networks(b) == 3
    told = [e for w in (a, b) for e in w.ctl("events")
            if e["type"] == "networks"]
    assert len(told) == 1 and "203.0.113.0/24" in told[0]["detail"]
    # The server has no addresses.
    dump = "".join(str(server.call("GET", k))
                   for k in server.call("KEYS", "*state"))
    assert "192" not in dump and "\\xc0\\x00\\x02" not in dump


def test_networks_freeze_at_all_relays(redis, relay):  # noqa: F811
    policy = NETS + "  client_networks_action = freeze"
    server = redis()
    a, b = (relay(server, policy=policy, **TRUSTED) for _ in range(2))
    is_up(a, b)
    mail(a, "192.0.2.1", "one")
    mail(b, "198.51.100.1", "two")
    peer = as_eve(a, "203.0.113.7")
    peer.ask("MAIL FROM:<eve@example.org>")
    frozen(a, b, sender=EVE)
    peer.close()
    rows = [w.sender(EVE) for w in (a, b)]
    assert [r["freeze_reason"] for r in rows] == [
        "client networks", "another relay"]


PATHS = 'interval = "1h"  burst = 3  initial = 3'


def from_path(w, path, to):
    peer = as_eve(w, "192.0.2.1")
    code, text = peer.transact(f"{path}@bounce.test", [f"{to}@example.com"],
                               message())
    assert code == 250, text
    peer.ask("QUIT")


def new_paths(*relays):
    return sum(w.status()["new_reverse_paths"] for w in relays)


def test_reverse_paths_cost_at_all_relays(redis, relay):  # noqa: F811
    """The first path is free, at one of them; others cost one new recipient,
    once."""
    server = redis()
    a, b = (relay(server, policy=PATHS, **TRUSTED) for _ in range(2))
    is_up(a, b)
    from_path(a, "home", "one")
    from_path(b, "home", "one")
    assert new_paths(a, b) == 0
    from_path(b, "other", "one")  # two of three
    from_path(a, "other", "one")  # nothing new in it
    assert new_paths(a, b) == 1 and held(a, b) == []
    from_path(a, "third", "one")  # three of three
    assert new_paths(a, b) == 2 and held(a, b) == []
    # The whole message waits for a path that finds no allowance.
    from_path(b, "fourth", "one")
    assert held(b) == ["one"]
    from_path(a, "home", "two")
    assert held(a) == ["two"]
    until(lambda: a.ctl("show", EVE)["waiting_elsewhere"] == 1,
          "the queue")


def test_a_path_leaves_the_one_queue_first(redis, relay, sink):  # noqa: F811
    """What waits behind it goes after it, in the order of the site."""
    policy = 'interval = "2s"  burst = 1  initial = 0  freeze_at = 100'
    server = redis()
    a, b = (relay(server, policy=policy, **TRUSTED) for _ in range(2))
    is_up(a, b)
    from_path(a, "home", "one")
    from_path(b, "other", "two")
    from_path(a, "home", "three")
    until(lambda: len(sink.messages) == 3, "all of it")
    assert [m[1][0] for m in sink.messages] == [
        f"{n}@example.com" for n in ("one", "two", "three")]


def test_paths_of_an_outage(redis, relay):  # noqa: F811
    """A home is one again behind it, and what passed is taken off."""
    server = redis()
    a, b = (relay(server, policy=PATHS, **TRUSTED) for _ in range(2))
    is_up(a, b)
    from_path(a, "home", "one")
    left(a, EVE, 2)
    server.kill()
    until(lambda: not shared(a)["up"] and not shared(b)["up"], "the outage")
    from_path(a, "other", "one")  # two of three
    server.start()
    is_up(a, b)
    from_path(a, "home", "one")
    left(a, EVE, 1)
    from_path(b, "third", "one")
    assert new_paths(b) == 1 and held(b) == []  # three of three
    from_path(b, "fourth", "one")
    assert held(b) == ["one"]
