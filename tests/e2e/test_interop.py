# SPDX-License-Identifier: BSD-3-Clause
"""Mail programs that nobody here wrote, on both sides of weir: each client with
each next hop, five kinds of message, known and held, plain and over TLS. What
each can do is in interop_cells.py; doc/interop.md says what was learnt."""
import os
import re
import shutil

import pytest

import exim
import opensmtpd
from harness import BUILD, FastSink, message, until
from interop import Matrix, table
from interop_cells import CLIENTS, HOPS, all_cells, domain_of
from pki import Pki

SANITIZED = bool(os.environ.get("WEIR_SANITIZED"))


def wanted():
    """The sanitized daemon sees each program once, and no large mail."""
    cells = all_cells()
    if not SANITIZED:
        return cells
    diagonal = {(c, HOPS[i % len(HOPS)]) for i, c in enumerate(CLIENTS)}
    return [c for c in cells if (c.client, c.hop) in diagonal and
            c.kind != "large"]


CELLS = wanted()
PAIRS = list(dict.fromkeys((c.client, c.hop) for c in CELLS))


@pytest.fixture(scope="module", autouse=True)
def programs_are_there():
    for why in exim.missing(), opensmtpd.missing():
        if why is not None:
            print(f"interoperability is not tested: {why}")
            pytest.skip(why)
    for program in "msmtp", "swaks", "node", "postfix", "dovecot":
        assert shutil.which(program), f"{program} is not installed"


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    m = Matrix(tmp_path_factory.mktemp("interop"), CELLS)
    try:
        m.run()
        report(m)
        yield m
    finally:
        statuses = m.stop()
    assert statuses == {0}


def report(m):
    text = table(m.cells, m.faults) + "".join(
        f"{name}: {s:.1f} s\n" for name, s in m.took.items())
    (BUILD / "interop.txt").write_text(text + "".join(
        f"{key}: {why}\n" for key, why in m.faults.items()))
    if m.faults:
        m.save_logs(BUILD / "interop-logs")


@pytest.mark.parametrize("client,hop", PAIRS)
def test_pair(matrix, client, hop):
    faults = [f"{c.key}: {matrix.faults[c.key]}" for c in matrix.cells
              if (c.client, c.hop) == (client, hop) and
              c.key in matrix.faults]
    assert not faults, "\n" + "\n".join(faults)


def test_nothing_is_left(matrix):
    for key, weir in matrix.weirs.items():
        status = weir.status()
        assert status["held_messages"] == 0, key
        assert status["bounces"] == 0, key


OFFERED = {
    "postfix": {"PIPELINING", "SIZE 49998846", "8BITMIME", "DSN", "SMTPUTF8",
                "ENHANCEDSTATUSCODES", "CHUNKING"},
    "exim": {"PIPELINING", "SIZE 52427646", "8BITMIME", "DSN", "SMTPUTF8",
             "CHUNKING"},
    "opensmtpd": {"SIZE 52427646", "8BITMIME", "DSN", "ENHANCEDSTATUSCODES"},
    "dovecot": {"PIPELINING", "SIZE 52428800", "8BITMIME", "CHUNKING",
                "ENHANCEDSTATUSCODES"},
    "aiosmtpd": {"SIZE 52428800", "8BITMIME", "SMTPUTF8",
                 "ENHANCEDSTATUSCODES"},
}


def test_offered(matrix):
    """What the next hop has and weir carries, and nothing else; its SIZE less
    the room for the trace header."""
    got = {hop: set(weir.hello().extensions)
           for (hop, tls), weir in matrix.weirs.items() if not tls}
    assert got == {hop: OFFERED[hop] for hop in got}


REFUSED = {
    "postfix": r"5\.1\.1 <unknown@example\.com>: .*No such person",
    "exim": r"No such person",
    "opensmtpd": r"Invalid recipient: <unknown@example\.com>",
    "aiosmtpd": r"5\.1\.1 No such person",
}


def test_refused_recipient(matrix):
    """The next hop's no reaches the client at RCPT, in its own words, though
    the recipient would be held; the others are served."""
    for (hop, tls), weir in matrix.weirs.items():
        if tls or hop == "dovecot":  # there everybody is known
            continue
        peer = weir.hello()
        to = domain_of(hop, tls, held=False)
        assert peer.ask("MAIL FROM:<a@example.org>")[0] == 250
        assert peer.ask(f"RCPT TO:<one@{to}>")[0] == 250
        code, lines = peer.ask("RCPT TO:<unknown@example.com>")
        assert code == 550, (hop, lines)
        assert re.search(REFUSED[hop], " ".join(lines)), (hop, lines)
        assert peer.ask(f"RCPT TO:<two@{to}>")[0] == 250
        assert peer.ask("RSET")[0] == 250
        peer.close()


def test_exim_chunks(matrix):
    """Exim sends BDAT wherever it is offered (K in its log)."""
    if "exim" not in matrix.servers or SANITIZED:
        pytest.skip("the sanitized daemon sees Exim with one next hop only")
    chunked = {m.group(1) for m in re.finditer(
        r" => \S+@(\w+)-(?:plain|tls)-\S+ .* K C=\"250",
        matrix.servers["exim"].log())}
    assert chunked == {"postfix", "exim", "dovecot"}


# ---- what Debian's OpenSMTPD cannot do ----

def test_opensmtpd_cannot_do_tls(weir, tmp_path):
    """Its STARTTLS ends in an alert, whatever the key (built for OpenSSL 1.1,
    it does not get on with 3). Where TLS must be, nothing leaves and nothing
    is lost."""
    pki = Pki(tmp_path / "pki")
    cert = pki.cert("mta", ["127.0.0.1"], rsa=True)
    sink = FastSink()
    server = opensmtpd.OpenSmtpd([("*", "127.0.0.1", sink.port, False)],
                                 cert=cert)
    try:
        server.start()
        w = weir(next_hop=server.address, policy='key = envelope\n'
                 'interval = "1h"  burst = 1  initial = 0\n'
                 'exempt_recipients = {"known@example.com"}',
                 next_hop_tls="verify", next_hop_tls_ca=f'"{pki.ca}"',
                 next_hop_rest='"0"')
        peer = w.hello()
        peer.ask("MAIL FROM:<a@example.org>")
        code, lines = peer.ask("RCPT TO:<known@example.com>")
        assert code == 451 and "TLS" in lines[0], lines
        peer.ask("RSET")
        code, text = peer.transact("a@example.org", ["new@example.com"],
                                   message())
        assert code == 250, text
        w.ctl("release", "--all")
        until(lambda: w.log_lines(" delivery (rest|defer) .*TLS"),
              "an attempt")
        assert sink.messages == []
        w.next_hop = f"127.0.0.1:{sink.port}"
        w.options["next_hop_tls"] = "none"
        w.write_config()
        w.run_ctl("reload")
        assert sink.wait_for(1) == ["new@example.com"]
    finally:
        server.stop()
        sink.stop()
