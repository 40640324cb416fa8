# SPDX-License-Identifier: BSD-3-Clause
"""Runs the interoperability matrix: every server once, two weirs before each
next hop (plain and TLS), all messages in flight together. What became of each
is in its cell; nothing here judges it."""
import collections
import concurrent.futures
import contextlib
import pathlib
import shutil
import tempfile
import threading
import time

import exim
import interop_clients as clients
import opensmtpd
from dovecot_lmtp import Dovecot
from harness import FastSink, Sink, Weir, until
from interop_cells import domain_of, key_of
from pki import Pki
from postfix import Postfix

WAIT_S = 90
SEND_S = 300

POLICY = """key = envelope
interval = "1h"  burst = 1  initial = 0  freeze_at = 0
exempt_recipients = {%s}"""

POSTFIX_TLS = """
smtpd_tls_security_level = may
smtpd_tls_chain_files = {cert}
"""

POSTFIX_CLIENT = """
transport_maps = inline:{{ {transport} }}
smtp_tls_policy_maps = inline:{{ {policy} }}
smtp_tls_CAfile = {ca}
default_destination_recipient_limit = 200
default_destination_concurrency_limit = 8
default_process_limit = 30
"""


def hop_of(hop, stack, cert):
    """(the server, where what it accepted ends)."""
    if hop == "dovecot":
        # Not below pytest's own directory: a second pytest closes that to
        # all but root, and the mail is not root's.
        directory = pathlib.Path(tempfile.mkdtemp(prefix="weir-dovecot-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        server = Dovecot(directory / "dovecot", cert=cert).start()
        stack.callback(server.stop)
        return server, server
    if hop == "aiosmtpd":
        sink = Sink(tls_context=Pki.server(cert)).start()
        sink.refuse_rcpt["unknown@example.com"] = "550 5.1.1 No such person"
        stack.callback(sink.stop)
        return sink, sink
    sink = FastSink()
    stack.callback(sink.stop)
    if hop == "postfix":
        server = Postfix("hop.test", f"[127.0.0.1]:{sink.port}", local=False,
                         extra=POSTFIX_TLS.format(cert=cert))
    elif hop == "exim":
        server = exim.Exim([("*", "127.0.0.1", sink.port, False)], cert=cert)
    else:
        server = opensmtpd.OpenSmtpd([("*", "127.0.0.1", sink.port, False)],
                                     cert=cert)
    stack.callback(server.stop)
    return server.start(), sink


def taken(sink):
    with sink.lock:
        new = list(sink.messages)
        sink.messages.clear()
    return new


class Matrix:
    """cells, and when they have run .faults: {key of a cell: words}."""

    def __init__(self, directory, cells):
        self.dir = directory
        self.cells = cells
        self.by_key = {c.key: c for c in cells}
        self.stack = contextlib.ExitStack()
        self.weirs, self.sinks, self.servers = {}, {}, {}
        self.read = set()
        self.took = {}

    # ---- the parts ----

    def start(self):
        self.pki = Pki(self.dir / "pki")
        # OpenSMTPD's own words for its keys: RSA is what all have.
        self.cert = self.pki.cert("mta", ["mta.test", "127.0.0.1"], rsa=True)
        self.relay = self.pki.cert("relay", [clients.NAME, "127.0.0.1"])
        for hop in sorted({c.hop for c in self.cells}):
            server, self.sinks[hop] = hop_of(hop, self.stack, self.cert)
            if hop != "aiosmtpd":
                self.servers[f"hop-{hop}"] = server
            for tls in (False, True):
                self.weirs[hop, tls] = self.weir(hop, tls, server.address)
        for cell in self.cells:
            cell.port = self.weirs[cell.hop, cell.tls].port
        self.bounces = FastSink()
        self.stack.callback(self.bounces.stop)
        self.clients = {name: self.client(name)
                        for name in dict.fromkeys(c.client
                                                  for c in self.cells)}

    def weir(self, hop, tls, address):
        known = domain_of(hop, tls, False)
        options = {}
        if tls:
            # Debian's OpenSMTPD cannot finish a handshake as a server.
            level = "may" if hop == "opensmtpd" else "verify"
            options = {"tls_cert": f'"{self.relay}"', "next_hop_tls": level,
                       "next_hop_tls_ca": f'"{self.pki.ca}"'}
        weir = Weir(self.dir / f"weir-{hop}-{tls}", address,
                    policy=POLICY % f'"@{known}"',
                    listen_options="tls = require" if tls else "",
                    **options).start()
        self.stack.callback(weir.stop)
        return weir

    def client(self, name):
        if name in ("postfix", "exim", "opensmtpd"):
            server = getattr(self, f"{name}_client")()
            self.stack.callback(server.stop)
            server.start()
            self.servers[name] = server
            return clients.Server(server.port)
        return {"smtplib": clients.Smtplib, "msmtp": clients.Msmtp,
                "swaks": clients.Swaks,
                "nodemailer": clients.Nodemailer}[name](self.pki)

    def routes(self):
        """(domains, port, tls) of every weir, and where bounces go."""
        return [*((clients.domains(hop, tls), w.port, tls)
                  for (hop, tls), w in self.weirs.items()),
                (["sender.test"], self.bounces.port, False)]

    def postfix_client(self):
        transport = ", ".join(
            f"{{{d} = smtp:[127.0.0.1]:{port}}}"
            for domains, port, _ in self.routes() for d in domains)
        policy = ", ".join(
            f"{{[127.0.0.1]:{port} = secure match={clients.NAME}}}"
            for _, port, tls in self.routes() if tls)
        return Postfix("postfix.test", local=False,
                       extra=POSTFIX_CLIENT.format(
                           transport=transport, policy=policy,
                           ca=self.pki.ca))

    def exim_client(self):
        return exim.Exim([(" : ".join(domains), "127.0.0.1", port, tls)
                          for domains, port, tls in self.routes()],
                         ca=self.pki.ca)

    def opensmtpd_client(self):
        return opensmtpd.OpenSmtpd(
            [(domains, "127.0.0.1", port, tls)
             for domains, port, tls in self.routes()], ca=self.pki.ca)

    # ---- the run ----

    def run(self):
        begin = time.monotonic()
        self.start()
        self.took["start"] = time.monotonic() - begin
        self.timed("send", self.send)
        held = [c for c in self.cells if c.is_to_wait]
        self.timed("known", self.wait,
                   [c for c in self.cells if not c.is_to_wait])
        self.timed("held", self.wait_held)
        self.look()
        for cell in held:
            cell.early = len(cell.arrived)
        for weir in self.weirs.values():
            weir.ctl("release", "--all")
        self.timed("release", self.wait, self.cells)
        self.timed("empty", self.wait_empty)
        self.faults = {c.key: c.fault() for c in self.cells if c.fault()}
        return self

    def timed(self, name, function, *args):
        begin = time.monotonic()
        function(*args)
        self.took[name] = time.monotonic() - begin

    def send(self):
        threads = []
        for name, client in self.clients.items():
            mine = [c for c in self.cells if c.client == name]
            threads.append(threading.Thread(target=client.send, args=(mine,)))
            threads[-1].start()
        for thread in threads:
            thread.join(SEND_S)

    def wait(self, cells):
        """Until all are done; what is not by then is a fault of its cell."""
        left = list(cells)

        def done():
            self.look()
            left[:] = [c for c in left if not c.is_done()]
            return not left
        with contextlib.suppress(AssertionError):
            until(done, "cells", WAIT_S)

    def wait_held(self):
        """Until as many recipients wait as should."""
        want = collections.Counter()
        for c in self.cells:
            if c.is_to_wait:
                want[c.hop, c.tls] += len(c.rcpts)
        with contextlib.suppress(AssertionError):
            until(lambda: all(
                self.weirs[k].status()["held_recipients"] >= n
                for k, n in want.items()), "all to be held", WAIT_S)

    def wait_empty(self):
        with contextlib.suppress(AssertionError):
            until(lambda: all(w.status()["held_messages"] == 0
                              for w in self.weirs.values()), "empty spools",
                  10)

    def look(self):
        """Gives what arrived since the last look to its cells; the texts,
        which are large together, are not kept."""
        for hop, sink in self.sinks.items():
            if hop == "dovecot":
                self.look_into_mailboxes(sink)
                continue
            for _, rcpts, text, *_ in taken(sink):
                for to in rcpts:
                    self.by_key[key_of(text)].arrive(to, text)
        for _, rcpts, text in taken(self.bounces):
            key = rcpts[0].partition("@")[0].removeprefix("jürgen-")
            self.by_key[key].bounce = text

    def look_into_mailboxes(self, dovecot):
        """A mailbox is named as the local part is."""
        for path in dovecot.dir.glob("mail/*/new/*"):
            if path not in self.read:
                self.read.add(path)
                text = path.read_bytes()
                cell = self.by_key[key_of(text)]
                domain = cell.rcpts[0].partition("@")[2]
                cell.arrive(f"{path.parts[-3]}@{domain}", text)

    def save_logs(self, directory):
        """To find out why a cell failed."""
        directory.mkdir(exist_ok=True)
        for (hop, tls), weir in self.weirs.items():
            wire = "tls" if tls else "plain"
            (directory / f"weir-{hop}-{wire}.log").write_text(weir.log())
            (directory / f"weir-{hop}-{wire}.queue").write_text(
                weir.run_ctl("queue").stdout)
        for name, server in self.servers.items():
            (directory / f"{name}.log").write_text(server.log())

    def stop(self):
        """The weirs' exit statuses."""
        with concurrent.futures.ThreadPoolExecutor(len(self.weirs)) as pool:
            statuses = set(pool.map(Weir.stop, self.weirs.values()))
        self.stack.close()
        return statuses


def table(cells, faults):
    """The matrix as text: a line for each client, a column for each hop."""
    hops = list(dict.fromkeys(c.hop for c in cells))
    lines = [f"{'':12}" + "".join(f"{h:>12}" for h in hops)]
    for client in dict.fromkeys(c.client for c in cells):
        row = f"{client:12}"
        for hop in hops:
            pair = [c for c in cells if (c.client, c.hop) == (client, hop)]
            good = sum(c.key not in faults for c in pair)
            row += f"{f'{good}/{len(pair)}' if pair else '-':>12}"
        lines.append(row)
    return "\n".join(lines) + "\n"
