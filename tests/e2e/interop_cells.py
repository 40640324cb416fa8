# SPDX-License-Identifier: BSD-3-Clause
"""What the interoperability matrix is made of: programs, messages, and what
each program can do, so what must come of each cell."""
import dataclasses
import email.utils
import re

CLIENTS = ["postfix", "exim", "opensmtpd", "msmtp", "swaks", "smtplib",
           "nodemailer"]
HOPS = ["postfix", "exim", "opensmtpd", "dovecot", "aiosmtpd"]
KINDS = ["small", "large", "8-bit", "utf8", "many"]
MANY = 40

# Next hops that know SMTPUTF8.
UTF8_HOPS = {"postfix", "exim", "aiosmtpd"}

# What becomes of a message to a UTF-8 address where the next hop, and so weir,
# offers no SMTPUTF8: the words that its sender reads.
WITHOUT_UTF8 = {
    # On a connection that it uses again it leaves the refusal to weir.
    "postfix": ("bounced", r"5\.6\.7.*SMTPUTF8 is required|"
                r"553 5\.6\.7 non-ASCII address requires SMTPUTF8"),
    # It makes an A-label of the local part, which is another address.
    "exim": ("rewritten", r"xn--"),
    "smtplib": ("refused", r"SMTPUTF8 not supported by server"),
    "nodemailer": ("refused", r"553 .*non-ASCII address requires SMTPUTF8"),
}
# And of clients that know none themselves, whoever is the next hop.
NO_UTF8 = {
    "opensmtpd": ("refused", r"SMTPUTF8 not supported by server"),
    "msmtp": ("refused", r"553 .*non-ASCII address requires SMTPUTF8"),
    "swaks": ("refused", r"553 .*non-ASCII address requires SMTPUTF8"),
}

TRACE = {b"received", b"return-path", b"delivered-to", b"x-original-to"}


@dataclasses.dataclass(eq=False)
class Cell:
    client: str
    hop: str
    kind: str
    held: bool
    tls: bool
    port: int = 0  # of the weir before that next hop
    reply: str = None  # what the client, or whoever sent for it, was told
    taken: bool = False
    bounce: bytes = None
    arrived: dict = dataclasses.field(default_factory=dict)
    # recipient -> for each arrival None, or how its text differs
    early: int = 0  # arrivals before the release

    def __post_init__(self):
        self.key = "-".join([self.client, self.hop, self.kind, self.outcome,
                             self.wire])
        utf8 = self.kind == "utf8"
        domain = domain_of(self.hop, self.tls, self.held)
        self.sender = ("jürgen-" if utf8 else "") + f"{self.key}@sender.test"
        user = ("müller-" if utf8 else "") + self.key
        self.rcpts = ([f"{user}-{i}@{domain}" for i in range(MANY)]
                      if self.kind == "many" else [f"{user}@{domain}"])

    @property
    def outcome(self):
        return "held" if self.held else "known"

    @property
    def wire(self):
        return "tls" if self.tls else "plain"

    @property
    def expected(self):
        """("arrives" | "rewritten" | "bounced" | "refused", pattern of the
        new address or of the words)."""
        if self.kind == "utf8":
            if self.client in NO_UTF8:
                return NO_UTF8[self.client]
            if self.hop not in UTF8_HOPS:
                return WITHOUT_UTF8[self.client]
        return "arrives", r""

    @property
    def is_to_wait(self):
        """weir is to hold it until the release."""
        return self.held and self.expected[0] in ("arrives", "rewritten")

    def text(self):
        return message(self)

    def arrive(self, to, text):
        self.arrived.setdefault(to, []).append(
            difference(self.text(), text, self.hop == "dovecot"))

    def is_done(self):
        how, _ = self.expected
        if how == "refused" or (self.reply is not None and not self.taken):
            return self.reply is not None
        if how == "bounced":
            return self.bounce is not None
        if how == "rewritten":
            return bool(self.arrived)
        return self.bounce is not None or set(self.arrived) >= set(self.rcpts)

    def fault(self):
        """What is wrong with this cell, or None."""
        how, words = self.expected
        if self.reply is None:
            return "its client has no answer"
        if how == "refused":
            return self.fault_of_refusal(self.taken, self.reply, words)
        if not self.taken:
            return f"not taken: {self.reply}"
        if how == "bounced":
            if self.bounce is None:
                return "no bounce came"
            return self.fault_of_refusal(
                False, self.bounce.decode("utf-8", "replace"), words)
        if self.bounce is not None:
            return f"bounced: {self.bounce[-3000:]}"
        if how == "rewritten":
            new = [to for to in self.arrived if re.match(words, to)]
            return self.fault_of_arrival(new or self.rcpts)
        return self.fault_of_arrival(self.rcpts)

    def fault_of_refusal(self, taken, reply, words):
        if taken:
            return f"taken, and should not be: {reply}"
        if self.arrived:
            return f"refused, and arrived for {list(self.arrived)}"
        if not re.search(words, reply, re.S):
            said = re.findall(r"(?im)^diagnostic-code:.*(?:\r?\n[ \t].*)*",
                              reply)
            return f"the words are {said or reply[-2000:]!r}, not {words!r}"
        return None

    def fault_of_arrival(self, rcpts):
        if self.held and self.early:
            return f"{self.early} arrived before the release"
        missing = [r for r in rcpts if r not in self.arrived]
        if missing:
            return f"{len(missing)} of {len(rcpts)} did not arrive"
        extra = [r for r in self.arrived if r not in rcpts]
        if extra:
            return f"arrived for others: {extra}"
        for to, faults in self.arrived.items():
            if len(faults) != 1:
                return f"arrived {len(faults)} times for {to}"
            if faults[0]:
                return f"for {to}: {faults[0]}"
        return None


def domain_of(hop, tls, held):
    return (f"{hop}-{'tls' if tls else 'plain'}-"
            f"{'held' if held else 'known'}.test")


def all_cells(clients=CLIENTS, hops=HOPS, kinds=KINDS):
    return [Cell(c, h, k, held, tls) for k in kinds for c in clients
            for h in hops for held in (False, True) for tls in (False, True)]


DOTS = b".\r\n..\r\n.a\r\n\r\nFrom nobody\r\n.\r\nQUIT\r\n"


def body(kind):
    if kind == "large":
        return b"".join(b"%08d %s\r\n" % (i, b"." * (i % 80))
                        for i in range(60000))
    if kind == "8-bit":
        return ("grüße aus köln, 1 €\r\n" * 20).encode() + bytes(
            range(0xa0, 0x100)) + b"\r\n" + DOTS
    if kind == "utf8":
        return "grüße\r\n".encode() + DOTS
    return b"some text\r\n" + DOTS


BODIES = {kind: body(kind) for kind in KINDS}


def message(cell):
    to = cell.rcpts[0] if len(cell.rcpts) == 1 else "undisclosed:;"
    eight = cell.kind in ("8-bit", "utf8")
    head = (f"From: {cell.sender}\r\n"
            f"To: {to}\r\n"
            f"Subject: {cell.kind} {'für' if cell.kind == 'utf8' else 'for'} "
            f"{cell.hop}\r\n"
            f"Date: {email.utils.formatdate(1767225600)}\r\n"
            f"Message-ID: <{cell.key}@sender.test>\r\n"
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Transfer-Encoding: {'8bit' if eight else '7bit'}\r\n"
            f"X-Cell: {cell.key}\r\n"
            "\r\n")
    return head.encode() + BODIES[cell.kind]


def key_of(text):
    """The cell of a text that arrived."""
    found = re.search(rb"^X-Cell: (\S+)\r?$", text, re.M)
    return found.group(1).decode() if found else None


def without_trace(text, end=b"\r\n"):
    """The text without the trace headers that stand at its top."""
    while True:
        name, colon, _ = text.partition(b":")
        if not colon or name.lower() not in TRACE:
            return text
        lines = text.split(end, 40)
        i = 1
        while i < len(lines) and lines[i][:1] in (b" ", b"\t"):
            i += 1
        text = end.join(lines[i:])


def difference(sent, got, lf):
    """Where two texts begin to differ, or None. A mailbox has LF."""
    if lf:
        sent = sent.replace(b"\r\n", b"\n")
    got = without_trace(got, b"\n" if lf else b"\r\n")
    if sent == got:
        return None
    at = next((i for i, (a, b) in enumerate(zip(sent, got)) if a != b),
              min(len(sent), len(got)))
    return (f"differs at octet {at} of {len(sent)}: sent "
            f"{sent[at - 20:at + 60]!r}, got {got[at - 20:at + 60]!r}")
