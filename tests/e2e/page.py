# SPDX-License-Identifier: BSD-3-Clause
"""A page of doc/ that a reader follows step by step, as data: what is typed,
what is printed, what goes into a file. Read from the page itself.

A block is indented by four spaces. One that begins with "# " or "$ " is typed,
by root or by a user; the lines between are what is printed, with "..." for
anything, at the end of a line too. A block behind a paragraph that begins with `/a/file` is the file's
content; "these lines in place of" in that paragraph: lines of it. Any other
block is shown."""
import collections
import re

Step = collections.namedtuple("Step", "kind what text line")
# kind: "root" or "user" (what: the command, text: what it prints), "file" or
# "lines" (what: the path), "shown".

PROMPTS = {"# ": "root", "$ ": "user"}


def section(text, begin, end):
    """The part of a page from one heading to another, and its first line."""
    first = text.index(begin)
    return (text[first:text.index(end, first)],
            text.count("\n", 0, first) + 1)


def blocks(text):
    """[(the paragraph before, the block, line)]"""
    # Between what is typed and a file's content there may be no paragraph.
    found, before, block, start, blank = [], [], [], 0, False
    for number, line in enumerate(text.split("\n") + ["end"]):
        if line.startswith("    "):
            if block and blank and (line[4:6] in PROMPTS) != (
                    block[0][:2] in PROMPTS):
                found.append((" ".join(before), block, start))
                before, block = [], []
            start = start if block else number
            block.append(line[4:])
        elif not line.strip():
            blank = True
            if block:  # it may hold an empty line
                block.append("")
            continue
        else:
            if block:
                found.append((" ".join(before), block, start))
            before = [line] if block or blank else before + [line]
            block = []
        blank = False
    return found


def typed(block, line):
    steps = []
    lines = iter(enumerate(block, line))
    for number, text in lines:
        who = PROMPTS.get(text[:2])
        if who is None:
            steps[-1].text.append(text)
            continue
        command = text[2:]
        while command.endswith("\\"):
            command = command[:-1] + next(lines)[1].lstrip()
        steps.append(Step(who, command, [], number))
    return steps


def steps_of(text, first_line=1):
    steps = []
    for before, block, at in blocks(text):
        while not block[-1]:
            block.pop()
        line = at + first_line
        file = re.match(r"`(/[^`]+)`", before)
        if block[0][:2] in PROMPTS:
            steps += typed(block, line)
        elif file:
            kind = "lines" if "these lines in place of" in before else "file"
            steps.append(Step(kind, file[1], block, line))
        else:
            steps.append(Step("shown", None, block, line))
    return steps


def form(line):
    """A line without what differs each time: ids, numbers, times."""
    line = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d+ \w{3} \d{4} "
                  r"[\d:]+( [+-]\d{4})?( \(\w+\))?", "DATE", line)
    return " ".join(re.sub(r"\S*\d\S*", "#", line).split())


def missing(expected, printed, ordered=True):
    """The first line of a step that is not printed, in this order; None."""
    got = [form(line) for line in printed.split("\n")]
    got = iter(got) if ordered else got
    for line in expected:
        want = form(line)
        if want == "...":
            continue
        cut = want.endswith("...")
        if not any(g.startswith(want[:-3]) if cut else g == want
                   for g in got):
            return want
    return None
