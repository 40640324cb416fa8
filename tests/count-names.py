#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""How many names a newcomer meets: for each folder of src its files and lines,
the public names in its objects, how many of them no other file or just one
uses, its static functions, and how many of those are called from one place.

    tests/count-names.py [--names] [--once] [FOLDER ...]

--names lists the public names that no other file or just one uses, with that
file and the tests that use them; --once the functions called from one place,
with the lines of their bodies. Reads build/ ($WEIR_BUILD): `make` it first.
A name that the tests alone use besides its own file counts as used by none.
"""
import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", TOP / "build"))
# Text of a file that names nothing: comments, strings, characters.
NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"'
                     r"|'(?:[^'\\\n]|\\.)+'", re.S)
STATIC = re.compile(r"^static\b[^;={}()]*?\b(\w+)\((?:[^;{}]*)\)\n\{\n(.*?)^\}",
                    re.S | re.M)


def code_of(path):
    return NO_CODE.sub(lambda m: "\n" * m.group().count("\n"),
                       path.read_text())


def read_objects():
    """Of each source file with an object: the names it defines and wants."""
    defines, wants = {}, {}
    for obj in sorted((BUILD / "src").rglob("*.o")):
        if ".libs" in obj.parts:
            continue
        # Objects of a program's own are called PROGRAM-FILE.o.
        source = obj.relative_to(BUILD).with_suffix(".c")
        if not (TOP / source).exists():
            source = source.with_name(source.name.split("-", 1)[-1])
        if not (TOP / source).exists():
            continue
        out = subprocess.run(["nm", obj], check=True, text=True,
                             capture_output=True).stdout
        mine, other = set(), set()
        for kind, name in re.findall(r"^\S* +([A-Za-z]) (\w+)$", out, re.M):
            if kind == "U":
                other.add(name)
            elif kind.isupper():
                mine.add(name)
        defines[str(source)] = mine - {"main"}
        wants[str(source)] = other
    return defines, wants


def statics_of(path):
    """(name, lines of its body, calls) for each static function of a .c."""
    code = code_of(path)
    words = collections.Counter(re.findall(r"\w+", code))
    found = []
    for name, body in STATIC.findall(code):
        heads = len(re.findall(rf"^(?:static\b[^;{{}}()]*\b)?{name}\(", code,
                               re.M))
        calls = len(re.findall(rf"\b{name}\s*\(", code)) - heads
        # One that stands in a table is a handler, not a step of its caller.
        once = calls == 1 and words[name] - heads == 1
        found.append((name, body.count("\n"), once))
    return found


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--names", action="store_true")
    p.add_argument("--once", action="store_true")
    p.add_argument("folder", nargs="*")
    args = p.parse_args()
    defines, wants = read_objects()
    if not defines:
        sys.exit(f"no objects in {BUILD}: make it first")
    users = collections.defaultdict(list)
    for source, names in wants.items():
        for name in names:
            users[name].append(source)
    tests = collections.defaultdict(list)
    for path in sorted((TOP / "tests").rglob("*.[ch]")):
        for word in set(re.findall(r"\w+", code_of(path))):
            tests[word].append(path.name)

    print(f"{'folder':<10}{'files':>6}{'lines':>7}{'public':>8}{'by none':>8}"
          f"{'by one':>8}{'statics':>8}{'once':>6}{'share':>7}")
    total = collections.Counter()
    notes = []
    for folder in sorted((TOP / "src").iterdir()):
        if not folder.is_dir() or (args.folder and
                                   folder.name not in args.folder):
            continue
        n = collections.Counter()
        for path in sorted(folder.glob("*.[ch]")):
            n["files"] += 1
            n["lines"] += path.read_text().count("\n")
            if path.suffix != ".c":
                continue
            source = str(path.relative_to(TOP))
            for name in sorted(defines.get(source, ())):
                by = [u for u in users[name] if u != source]
                n["public"] += 1
                n["by none"] += not by
                n["by one"] += len(by) == 1
                if args.names and len(by) < 2:
                    notes.append(f"{source}: {name}: "
                                 f"{by[0] if by else 'nobody'}"
                                 f"{''.join(' ' + t for t in tests[name])}")
            for name, lines, once in statics_of(path):
                n["statics"] += 1
                n["once"] += once
                if args.once and once:
                    notes.append(f"{source}: {name}: {lines} lines")
        total.update(n)
        show(folder.name, n)
    show("all", total)
    for note in notes:
        print(note)


def show(name, n):
    share = 100 * n["once"] / n["statics"] if n["statics"] else 0
    print(f"{name:<10}{n['files']:>6}{n['lines']:>7}{n['public']:>8}"
          f"{n['by none']:>8}{n['by one']:>8}{n['statics']:>8}{n['once']:>6}"
          f"{share:>6.1f}%")


if __name__ == "__main__":
    main()
