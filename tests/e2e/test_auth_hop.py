# SPDX-License-Identifier: BSD-3-Clause
"""What logins may not do: go in clear to a next hop, stand in the log, or tell
nobody whose they are."""
import pytest

from harness import message, serve_smtp, until
from test_auth import (EXT, PLAIN, SECRET, Hop, b64, no_secret_in, passing,
                       senders)

# An address of this machine that is none of its loopback's, to weir's eyes.
ELSEWHERE = "0.0.0.0"


@pytest.mark.parametrize("allowed", [False, True])
def test_no_password_in_clear_to_the_next_hop(weir, scripted, allowed):
    """Clients are not even offered it, and the log says why."""
    hop = Hop(scripted)
    port = hop.address.rpartition(":")[2]
    w = weir(next_hop=f"{ELSEWHERE}:{port}", listen_options="auth = pass",
             next_hop_auth_in_clear="true" if allowed else "false")
    c = w.hello()
    offered = [e for e in c.extensions if e.startswith("AUTH")]
    assert bool(offered) == allowed
    warned = w.log_lines("next_hop no_auth .*next_hop_auth_in_clear")
    assert bool(warned) != allowed
    if allowed:
        assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 235
        assert hop.exchanges == [[PLAIN]]
    else:
        assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 502
        assert hop.exchanges == []


def test_no_password_in_clear_after_a_failover(weir, scripted):
    """Offered while the next hop was in the machine; the one that takes its
    place is not."""
    near, far = Hop(scripted), Hop(scripted)
    port = far.address.rpartition(":")[2]
    w = weir(next_hop=[near.address, f"{ELSEWHERE}:{port}"],
             listen_options="auth = pass")
    c = w.hello()
    assert any(e.startswith("AUTH") for e in c.extensions)
    near.server.stop()
    assert c.ask(f"AUTH PLAIN {PLAIN}")[0] == 454
    assert far.exchanges == []
    assert w.log_lines("smtp auth_failed result=unavailable .*in_clear")


# ---- a next hop that repeats what it heard ----

def echo(code):
    def on_auth(peer, line):
        peer.say(f"{code} what is {line}")
        return code != 421
    return on_auth


@pytest.mark.parametrize("code", [500, 454, 421])
def test_a_password_sent_back_is_not_logged(weir, scripted, code):
    hop = scripted(lambda p: serve_smtp(p, extensions=EXT,
                                        on={"AUTH": echo(code)}))
    w = weir(next_hop=hop.address, listen_options="auth = pass")
    assert w.hello().ask(f"AUTH PLAIN {PLAIN}")[0] == max(code, 454)
    until(lambda: w.log_lines("smtp auth_failed .*what is AUTH PLAIN"), "the line")
    no_secret_in(w.log())


@pytest.mark.parametrize("code", [535, 421])
def test_weirs_own_password_sent_back_is_not_logged(weir, scripted, tmp_path,
                                                    code):
    hop = scripted(lambda p: serve_smtp(p, extensions=EXT,
                                        on={"AUTH": echo(code)}))
    path = tmp_path / "hop.auth"
    path.write_text(f"alice@example.org {SECRET}\n")
    path.chmod(0o600)
    w = weir(next_hop=hop.address, next_hop_auth=f'"{path}"')
    c = w.hello()
    assert c.ask("MAIL FROM:<a@example.org>")[0] == 250
    code, lines = c.ask("RCPT TO:<b@example.com>")
    assert code == 451
    no_secret_in(w.log() + str(lines) + str(w.ctl("events")))


# ---- a token without a name ----

BEARER = b64("n,,\1auth=Bearer the-token\1\1")


def test_token_without_a_name_is_refused(weir, scripted):
    hop = Hop(scripted)
    w = passing(weir, hop)
    code, lines = w.hello().ask(f"AUTH OAUTHBEARER {BEARER}")
    assert code == 535 and "a=" in lines[0]
    assert hop.exchanges == []


def test_token_without_a_name_is_its_address(weir, scripted):
    """Where the listener allows it: the login passes, the source is the
    address, and mail counts as authenticated."""
    hop = Hop(scripted)
    w = passing(weir, hop, "auth = pass  auth_required = true"
                "  auth_nameless = address")
    c = w.hello()
    assert c.ask("MAIL FROM:<a@example.org>")[0] == 530
    assert c.ask(f"AUTH OAUTHBEARER {BEARER}")[0] == 235
    assert hop.exchanges == [[BEARER]]
    assert c.transact("alice@example.org", ["b@example.com"],
                      message())[0] == 250
    (peer,) = hop.authenticated()
    assert b" with ESMTPA id " in peer.data
    assert senders(w) == {"[127.0.0.1]"}
    # A name that is no name is none of this, nor is an empty PLAIN.
    for line in ("OAUTHBEARER " + b64("n,a= ,\1auth=Bearer x\1\1"),
                 "PLAIN " + b64("\0\0secret")):
        assert w.hello().ask(f"AUTH {line}")[0] == 535


def test_token_without_a_name_is_dovecots(weir, scripted, tmp_path):
    """Dovecot tells who it is, whatever the listener says of nameless ones."""
    asked = []

    def auth_service(peer):
        peer.send("VERSION\t1\t2\nMECH\tOAUTHBEARER\nSPID\t1\nCUID\t1\n"
                  "COOKIE\t00112233445566778899aabbccddeeff\nDONE\n")
        while True:
            words = peer.line().split("\t")
            if words[0] == "AUTH":
                asked.append(words[-1])
                peer.send(f"OK\t{words[1]}\tuser=carol@example.org\n")

    scripted(auth_service, address=f"unix:{tmp_path}/auth")
    w = weir(listen_options="auth = dovecot",
             auth_socket=f'"unix:{tmp_path}/auth"')
    until(lambda: any("OAUTHBEARER" in e for e in w.hello().extensions),
          "the auth service")
    c = w.hello()
    assert c.ask(f"AUTH OAUTHBEARER {BEARER}")[0] == 235
    assert asked == [f"resp={BEARER}"]
    assert c.transact("alice@example.org", ["b@example.com"],
                      message())[0] == 250
    assert senders(w) == {"carol@example.org"}
