# SPDX-License-Identifier: BSD-3-Clause
"""The format of dialogues/*.dialogue: text in, scenarios out. What may stand in
such a file is written in dialogues/README.md. Errors name file and line.

Nothing here knows of sockets: dialogue_run.py plays what this file reads."""
import dataclasses
import re

ACTIONS = ("close", "reset", "silence", "trickle", "plain")
REPEAT_MAX = 1_000_000


class FormatError(Exception):
    """The file is wrong, at a line of it."""

    def __init__(self, path, line, what):
        super().__init__(f"{path}:{line}: {what}")


class TextError(Exception):
    """A text is wrong; who knows the line makes a FormatError of it."""


@dataclasses.dataclass
class Step:
    """One statement: its word, its text as written, its line in the file."""
    kind: str
    text: str = ""
    line: int = 0
    times: int = 1
    arg: str = ""
    lines: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Table:
    columns: list
    rows: list
    line: int


@dataclasses.dataclass
class Scenario:
    path: str
    line: int
    name: str
    steps: list
    cells: dict
    packets: int  # bytes in each; 0: as the file has them
    config: dict
    policy: str

    @property
    def id(self):
        split = f" [packets of {self.packets}]" if self.packets else ""
        return f"{self.path.stem}: {self.name}{split}"


# ---- texts with escapes ----

SIMPLE = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "e": b"\x1b",
          "\\": b"\\"}


def close_of(text, at):
    """Where the brace that opens at `at` ends."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise TextError("\\{ without }")


def expand(text, names):
    """The parts that a text stands for: bytes, and (action, argument) where
    something is done between them. names: what \\{name} may be."""
    parts, i = [b""], 0

    def add(piece):
        if isinstance(piece, bytes) and isinstance(parts[-1], bytes):
            parts[-1] += piece
        else:
            parts.append(piece)

    while i < len(text):
        if text[i] != "\\":
            end = text.find("\\", i)
            end = len(text) if end < 0 else end
            add(text[i:end].encode())
            i = end
            continue
        mark = text[i + 1:i + 2]
        if mark in SIMPLE and mark:
            add(SIMPLE[mark])
            i += 2
        elif mark == "x" and re.match(r"[0-9a-fA-F]{2}", text[i + 2:i + 4]):
            add(bytes([int(text[i + 2:i + 4], 16)]))
            i += 4
        elif mark == "|":
            add(("packet", b""))
            i += 2
        elif mark == "{":
            end = close_of(text, i + 1)
            for piece in braces(text[i + 2:end], names):
                add(piece)
            i = end + 1
        else:
            raise TextError(f"unknown escape \\{mark}")
    return [p for p in parts if p != b""]


def braces(inner, names):
    repeated = re.fullmatch(r"(.+)\*(\d+)", inner, re.DOTALL)
    if inner in names:
        value = names[inner]
        return [value] if isinstance(value, bytes) else expand(value, names)
    if repeated:
        parts = expand(repeated[1], names)
        if int(repeated[2]) > REPEAT_MAX:
            raise TextError(f"more than {REPEAT_MAX} times")
        if len(parts) == 1 and isinstance(parts[0], bytes):
            return [parts[0] * int(repeated[2])]
        return parts * int(repeated[2])
    if inner in ACTIONS:
        return [(inner, b"")]
    if inner.startswith("forever "):
        return [("forever", plain(inner[len("forever "):], names))]
    raise TextError(f"unknown \\{{{inner}}}")


def plain(text, names):
    """A text in which nothing is done: its bytes."""
    parts = expand(text, names)
    if any(not isinstance(p, bytes) for p in parts):
        raise TextError("only bytes may stand here")
    return b"".join(parts)


# ---- lines ----

PATH = r'<(?:"(?:[^"\\]|\\.)*"|[^<>"\\]|\\.)*>'
STEPS = [  # (kind, pattern with groups text, times, arg)
    ("send line", r"C(?:\*(?P<times>\d+))?: ?(?P<text>.*)"),
    ("send bytes", r"C(?:\*(?P<times>\d+))?> ?(?P<text>.*)"),
    ("chunk", r"C (?P<arg>last )?chunk(?:: (?P<text>.*))?"),
    ("trickle", r"C trickles for (?P<times>\d+): (?P<text>\S.*)"),
    ("keep sending", r"C keeps sending for (?P<times>\d+): (?P<text>\S.*)"),
    ("close", r"C closes"),
    ("half-close", r"C half-closes"),
    ("reset", r"C resets"),
    ("start TLS", r"C starts TLS"),
    ("fail TLS", r"C starts TLS in vain"),
    ("reply", r"S(?:\*(?P<times>\d+))?: (?P<text>\S.*)"),
    ("bytes", r"S> ?(?P<text>.*)"),
    ("has", r"S has: (?P<text>\S.*)"),
    ("lacks", r"S lacks: (?P<text>\S.*)"),
    ("closes", r"S closes"),
    ("connect", r"connect(?: to (?P<arg>\w+))?(?: from (?P<text>\S+))?"),
    ("hello", r"hello(?: to (?P<arg>\w+))?(?: from (?P<text>\S+))?"),
    ("envelope", rf"envelope(?P<text>(?: {PATH})+)"),
    ("in step", r"in step"),
    ("log", r"log: (?P<text>\S.*)"),
    ("no log", r"log lacks: (?P<text>\S.*)"),
    ("held", r"held: (?P<text>\S.*)"),
    ("ignore mail", r"H may keep mail"),
    ("waiting", r"waiting: (?P<text>[0-9]+)"),
    ("release", r"release"),
    ("discard", r"discard"),
    ("heard", r"H heard(?P<arg> in plain| in TLS)?: (?P<text>\S.*)"),
    ("not heard", r"H never heard(?P<arg> in plain| in TLS)?: (?P<text>\S.*)"),
    ("mail", rf"mail(?P<text>(?: {PATH})+)(?: by (?P<arg>DATA|BDAT))?"),
    ("wire", rf"wire(?P<text>(?: {PATH})+)(?: by (?P<arg>DATA|BDAT))?"),
    ("extensions", r"H extensions(?P<arg> in TLS)?: (?P<text>.*)"),
    ("hop", r"H (?P<arg>[A-Z.]+(?: in TLS)?(?: <[^>]*>)?(?: again)?)"
            r"(?P<text>(?::|>| as usual).*)"),
    ("hop", r"H (?P<arg>greeting(?: again)?)(?P<text>[:>].*)"),
]
STEPS = [(kind, re.compile(pattern)) for kind, pattern in STEPS]
CELLS_IN = {"send line", "send bytes", "reply", "bytes", "log", "no log",
            "heard", "not heard", "mail", "wire", "held", "hop", "has",
            "lacks", "envelope", "extensions", "chunk",
            "trickle", "keep sending"}
TEXT_LINE = re.compile(r"\s*\|(?P<end>>?)(?: (?P<text>.*))?$")


class Reader:
    """Goes through a file once. What stands before the first dialogue is for
    all of them."""

    def __init__(self, path, source):
        self.path = path
        self.lines = source.splitlines()
        self.at = 0
        self.config, self.policy = {}, ""
        self.steps = []  # the file's own: how the next hop is
        self.tables = {}
        self.scenarios = []
        self.names = {}  # of dialogues, with their line

    def error(self, what, line=None):
        return FormatError(self.path, line or self.at, what)

    def next(self):
        """The next line that says something, without its indentation."""
        while self.at < len(self.lines):
            self.at += 1
            line = self.lines[self.at - 1].strip()
            if line and not line.startswith("#"):
                return line
        return None

    def peek(self):
        at = self.at
        line = self.next()
        self.at = at
        return line

    def read(self):
        while (line := self.next()) is not None:
            if line.startswith("table "):
                self.read_table(line[len("table "):].strip())
            elif line.startswith("dialogue "):
                self.read_dialogue(line[len("dialogue "):].strip())
            elif not self.read_setting(line, self.config):
                step = self.read_step(line)
                if step.kind not in ("hop", "extensions"):
                    raise self.error("stands outside of a dialogue")
                self.steps.append(step)
        if not self.scenarios:
            raise self.error("no dialogue in this file")
        return self.scenarios

    def read_setting(self, line, config):
        word, _, text = line.partition(" ")
        if word == "policy":
            config["policy"] = text
            return True
        if word != "config":
            return False
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise self.error("expected: config NAME = VALUE")
        config[name.strip()] = value.strip()
        return True

    def read_table(self, name):
        if name in self.tables:
            raise self.error(f"table {name} stands here twice")
        begin, rows = self.at, []
        while (line := self.peek()) is not None and is_row(line):
            self.next()
            rows.append([c.strip() for c in re.split(
                r"(?<=\s)\|(?=\s)", line[1:] + " ")])
            if len(rows[-1]) != len(rows[0]):
                raise self.error(f"{len(rows[-1])} cells in a table of "
                                 f"{len(rows[0])} columns")
        if len(rows) < 2:
            raise self.error(f"table {name} has no rows", begin)
        self.tables[name] = Table(rows[0], rows[1:], begin)

    def read_dialogue(self, title):
        begin = self.at
        title, _, table = title.partition(" for each of ")
        config, packets, steps = dict(self.config), [0], []
        while (line := self.peek()) is not None and not re.match(
                r"(dialogue|table) ", line):
            self.next()
            if line.startswith("packets:"):
                packets = self.read_packets(line[len("packets:"):])
            elif not self.read_setting(line, config):
                steps.append(self.read_step(line))
        if not steps:
            raise self.error("a dialogue in which nothing happens", begin)
        self.add(title.strip(), table.strip(), begin, config, packets,
                 self.steps + steps)

    def read_packets(self, text):
        words = [w.strip() for w in text.split(",")]
        if not all(w == "whole" or re.fullmatch("[1-9][0-9]*", w)
                   for w in words):
            raise self.error("expected: packets: whole, or bytes in each")
        return [0 if w == "whole" else int(w) for w in words]

    def read_step(self, line):
        for kind, pattern in STEPS:
            found = pattern.fullmatch(line)
            if not found:
                continue
            got = {k: v for k, v in found.groupdict().items() if v}
            step = Step(kind, got.get("text", ""), self.at,
                        int(got.get("times", 1)), got.get("arg", "").strip())
            if kind in ("mail", "wire", "chunk"):
                self.read_text(step)
            return step
        raise self.error(f"cannot be understood: {line}")

    def read_text(self, step):
        while (line := self.peek()) is not None:
            found = TEXT_LINE.fullmatch(line)
            if not found:
                return
            self.next()
            end = "" if found["end"] else "\\r\\n"
            step.lines.append((found["text"] or "") + end)

    def add(self, title, table, line, config, packets, steps):
        rows = [{}]
        if table:
            if table not in self.tables:
                raise self.error(f"no table {table}", line)
            t = self.tables[table]
            rows = [dict(zip(t.columns, r)) for r in t.rows]
        for cells in rows:
            name = title
            for column, cell in cells.items():
                name = name.replace("{" + column + "}", cell)
            if name in self.names:
                raise self.error(f'"{name}" has stood at line '
                                 f"{self.names[name]}", line)
            self.names[name] = line
            self.check_texts(steps, cells)
            for size in packets:
                own = dict(config)
                policy = own.pop("policy", None)
                self.scenarios.append(Scenario(
                    self.path, line, name, steps, cells, size, own, policy))

    def check_texts(self, steps, cells):
        """Every escape is known: told now, not when it is played."""
        names = {**cells, "n": b"1", "u": b"u"}
        for step in steps:
            for text in [step.text, *step.lines]:
                if step.kind not in CELLS_IN:
                    continue
                try:
                    parts = expand(text, names)
                except (TextError, RecursionError) as e:
                    raise self.error(str(e), step.line) from None
                doing = {p[0] for p in parts if not isinstance(p, bytes)}
                self.check_doing(step, doing)

    def check_doing(self, step, doing):
        allowed = {"packet"} if step.kind.startswith("send") else set()
        if step.kind == "hop":
            allowed = {*ACTIONS, "forever"}
        if doing - allowed:
            raise self.error(
                f"\\{{{min(doing - allowed)}}} has no meaning here", step.line)


def is_row(line):
    return line.startswith("| ")


def read_file(path):
    return Reader(path, path.read_text()).read()
