#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holds src/os/log_table.def, of which weir-log(5) is made, against the sources:
each event is logged somewhere, with every key that the table gives it and with
no other, and lines are written by log_write alone. Prints what breaks this and
exits 1.

    tests/check-log.py [top of the source tree]

A call names its event, or two with ?:. Where it has a variable for it, the
events are those that the file names elsewhere; if it names none, those that
other files name and do not log themselves.
"""
import pathlib
import re
import sys

TOP = pathlib.Path(sys.argv[1] if len(sys.argv) > 1
                   else pathlib.Path(__file__).resolve().parent.parent)
TABLE = "src/os/log_table.def"
STRINGS = r'((?:"(?:[^"\\]|\\.)*"\s*)+)'
KINDS = {"TEXT", "NUMBER", "MS", "BYTES", "TIME", "YESNO"}
SUFFIX = {"MS": "_ms", "BYTES": "_bytes"}
# One key for each idea; these are other names of one that there is.
BANNED = {"note": "advice", "hint": "advice", "why": "reason",
          "said": "output", "who": "by", "source": "sender",
          "errno": "error", "fate": "result", "recipient": "to"}

faults = []


def fault(where, text):
    faults.append(f"{where}: {text}")


def joined(strings):
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', strings))


def read_table():
    text = (TOP / TABLE).read_text()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    parts = re.findall(rf"LOG_PART\({STRINGS}", text)
    events = {i: (name, level, joined(keys).split())
              for i, level, name, keys in re.findall(
                  rf'LOG_EVENT\((\w+),\s*(\w+),\s*"([^"]*)",\s*{STRINGS}',
                  text)}
    keys = dict(re.findall(r"LOG_KEY\((\w+),\s*(\w+),\s*\"", text))
    return {joined(p) for p in parts}, events, keys


def check_table(parts, events, keys):
    names = set()
    for i, (name, level, used) in events.items():
        if not re.fullmatch(r"[a-z_]+ [a-z_]+", name):
            fault(TABLE, f"{i}: a name is two words of a-z and _, not {name}")
        if name.upper().replace(" ", "_") != i:
            fault(TABLE, f"{i}: its name is {name}")
        if name.split()[0] not in parts:
            fault(TABLE, f"{i}: there is no part {name.split()[0]}")
        if level not in ("DEBUG", "INFO", "WARNING", "ERROR", "FATAL"):
            fault(TABLE, f"{i}: {level} is no level")
        if name in names:
            fault(TABLE, f"{name} is given twice")
        names.add(name)
        for key in used:
            if key not in keys:
                fault(TABLE, f"{i}: the key {key} is not in the table")
        if len(set(used)) != len(used):
            fault(TABLE, f"{i}: a key is given twice")
    used = {key for _, _, of in events.values() for key in of}
    for key, kind in keys.items():
        if key not in used:
            fault(TABLE, f"no event has the key {key}")
        if key in BANNED:
            fault(TABLE, f"the key {key} is called {BANNED[key]}")
        if kind not in KINDS:
            fault(TABLE, f"{key}: {kind} is no kind")
        for of, end in SUFFIX.items():
            if (kind == of) != key.endswith(end):
                fault(TABLE, f"{key}: keys in {end}, and only they, are {of}")
    if list(keys) != sorted(keys):
        fault(TABLE, "keys are in the order of the alphabet")


def end_of_call(text, at):
    """The index behind the parenthesis that closes the one before `at`."""
    depth, string = 1, False
    while depth:
        c = text[at]
        if string:
            if c == "\\":
                at += 1
            elif c == '"':
                string = False
        elif c == '"':
            string = True
        elif c in "()":
            depth += 1 if c == "(" else -1
        at += 1
    return at


def read_source(path, text, events, logged):
    """Adds the keys that this file gives to each event to logged; returns those
    that it gives to events of other files."""
    where = str(path.relative_to(TOP))
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text,
                  flags=re.S)
    variable, rest, last = set(), "", 0
    has_variable = False
    for call in re.finditer(r"\blog_write\(", text):
        end = end_of_call(text, call.end())
        body = text[call.end():end]
        line = text.count("\n", 0, call.start()) + 1
        ids = re.findall(r"\bLOG_EV_(\w+)", body)
        keys = re.findall(r"\bKV\(\s*(\w+)", body)
        rest += text[last:call.start()]
        last = end
        for i in ids:
            if i not in events:
                fault(f"{where}:{line}", f"{i} is not in {TABLE}")
                continue
            for key in set(keys) - set(events[i][2]):
                fault(f"{where}:{line}",
                      f"{i} has no key {key} in {TABLE}")
            order = [events[i][2].index(k) for k in keys if k in events[i][2]]
            if order != sorted(order):
                fault(f"{where}:{line}", f"{i}: keys are not in the order of "
                      + " ".join(events[i][2]))
            logged.setdefault(i, set()).update(keys)
        if not ids:
            has_variable = True
            variable.update(keys)
    rest += text[last:]
    named = set(re.findall(r"\bLOG_EV_(\w+)(?!\w|##)", rest)) - {"MAX"}
    for prefix in re.findall(r"\bLOG_EV_(\w+)##", rest):
        named |= {i for i in events if i.startswith(prefix)}
    for i in named:
        logged.setdefault(i, set())
        if has_variable:
            logged[i].update(variable & set(events.get(i, ("", "", []))[2]))
    for key in variable if named else ():
        if not any(key in events[i][2] for i in named if i in events):
            fault(where, f"no event of this file has the key {key}")
    if re.search(r"\b(log_event|log_write_fields)\(", text):
        fault(where, "log lines are written with log_write")
    return set() if named else variable


def main():
    parts, events, keys = read_table()
    if not events or not keys:
        fault(TABLE, "no events or no keys were found")
    check_table(parts, events, keys)
    logged, others = {}, set()
    for path in sorted((TOP / "src").rglob("*.[ch]")):
        if path.parent.name == "os" and path.stem == "log":
            continue
        others |= read_source(path, path.read_text(), events, logged)
    for i in logged:
        if not logged[i] and i in events:
            logged[i].update(others & set(events[i][2]))
    for i, (name, _, wanted) in events.items():
        if i not in logged:
            fault(TABLE, f"nothing logs {name}")
            continue
        for key in set(wanted) - logged[i]:
            fault(TABLE, f"{name}: nothing logs the key {key}")
    for i in logged:
        if i not in events:
            fault(TABLE, f"{i} is missing")
    print("\n".join(faults) if faults else
          f"{len(events)} events, {len(keys)} keys")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
