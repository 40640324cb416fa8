#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Idioms that came from another language, in the texts that a user meets.

Looked through: string literals of src/ and of the dashboard (adjacent ones as
one text, whatever line they break at), etc/, README.md and the other pages at
the top, doc/ and contrib/.
Quoted facts are exempt: `code` and indented blocks of Markdown, literal blocks
of a manual page. A line with "words-ok" is exempt as well.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

BANNED = [  # (what not to say, what to say)
    (r"\bcomes? again\b", "try again later; is retried"),
    (r"\b(log in|logged in|begin|begins|begun|made|read|asked) anew\b",
     "again, start over"),
    (r"\b(held|anything|nothing) that fits\b|\bfits that\b", "matches"),
    (r"\b(no more than|at most|not more than) so many\b", "at most N"),
    (r"\bso many (new )?(recipients|addresses|senders|bytes|seconds) "
     r"(may|are|wait|pass)\b", "this many"),
    (r"\b(silent|waited|for|after|in) so long\b", "after this much time"),
    (r"\bin so long a time\b", "within this time"),
    (r"\bone a line\b", "one per line"),
    (r"\bone a (minute|second|hour) after that\b", "then one per minute"),
    (r"\bstays who it is\b", "keeps running as the user that started it"),
    (r"\bmay hold \w+ alone\b|\bis for [^.]{3,40} alone\b", "only"),
    (r"\b(in hand here|have in hand)\b", "in open transactions"),
    (r"\b(has|have) to be\b", "must be"),
    (r"\bstands alone\b", "must be the only one"),
    (r"\btake (it|one|one of the two) out\b", "remove"),
    (r"\bmend\b", "repair, fix"),
    (r"\bquotes that quote\b", "redundant quotes"),
    (r"\bnobody new\b", "known"),
    (r"\bthrows? (it|them|mail) away\b", "discard, delete"),
    (r"\bis no (network|list|address|xtext|JSON|host name|event|directory|"
     r"mail (address|server)|header field)\b", "is not a"),
    (r"\bclients? (is|are) told to\b", "gets a reply"),
    (r"\bthr(ow|ew)s? away\b", "discard, drop, evict"),
    (r"\b(for|by) want of\b", "for lack of"),
    (r"\b(is|are|was|were) turned away\b|\bturned away (un|at)", "refused"),
    (r"\bends in the middle\b", "truncated"),
    (r"\bis no rate\b", "is not a rate"),
    (r"\btells the same\b", "reports too"),
    (r"\bput back\b", "restored"),
    (r"\bmeasured anew\b|\bfinds out whose\b", "again; detects"),
    (r"\bthat came by\b", "seen, received"),
    (r"\bas it should\b", "what is wrong"),
    (r"\b(is|are|was|were|be) let (go|out)\b|\blets? (it|them) (go|out)\b",
     "is released, release"),
    (r"\btaken back\b", "undone"),
    (r"\bto do any more\b", "nothing left to do"),
    (r"\b(stands?|stood) there twice\b", "duplicate, is given twice"),
    (r"\bgoes on by itself\b|\bgoes by its\b",
     "continues, works on its own; follows, uses"),
    (r"\bholds no (user|address|entry|text)\b", "contains no"),
    (r"\blies ahead\b", "is in the future"),
    (r"\band (its|their) like\b", "and others, or similar"),
    (r"\bput off\b", "deferred, delayed"),
    (r"\b(one|many) a (connection|message|sender)\b", "per"),
    (r"\btells? of\b|\btold of\b", "reports, lists, describes"),
    (r"\bnobody is told\b|\bto be told\b", "no alert is sent; to be sent"),
    (r"\b(comes?|came|coming) round\b", "loops back"),
    (r"\bwhom (a|the|each|which|its) senders? knows?\b|\bwhom it knows\b",
     "known recipients"),
    (r"\bfrom incoming mail alone\b", "only from incoming mail"),
]
RULES = [(re.compile(words.replace(" ", " +"), re.I), better)
         for words, better in BANNED]
TOKENS = {True: re.compile(r"/\*.*?\*/|//[^\n]*|\"[^\"\n]*\"|`[^`]*`", re.S)}
TOKENS[False] = re.compile(r"/\*.*?\*/|//[^\n]*|'(?:[^'\\\n]|\\.)*'|"
                   r'"(?:[^"\\\n]|\\.)*"', re.S)


def literals(text, is_js):
    """(offset, joined text) of each run of adjacent string literals."""
    start = end = None
    parts = []
    for m in TOKENS[is_js].finditer(text):
        if m.group()[0] not in '"`':
            continue
        if parts and re.fullmatch(r"[\s\\]*" if not is_js else r"[\s+]*",
                                  text[end:m.start()]):
            parts.append(m.group()[1:-1])
        else:
            if parts:
                yield start, "".join(parts)
            start, parts = m.start(), [m.group()[1:-1]]
        end = m.end()
    if parts:
        yield start, "".join(parts)


def blank(m):
    return re.sub(r"[^\n]", " ", m.group())


def prose(path, text):
    """One text, the quoted facts taken out, of the same length."""
    if path.suffix == ".md":
        text = re.sub(r"^```.*?^```", blank, text, flags=re.S | re.M)
        text = re.sub(r"^    .*$", blank, text, flags=re.M)
        text = re.sub(r"`[^`\n]*`", blank, text)
    elif ".Sh " in text:
        text = re.sub(r"^\.Bd -literal.*?^\.Ed", blank, text,
                      flags=re.S | re.M)
    text = re.sub(r"^.*words-ok.*$", blank, text, flags=re.M)
    return re.sub(r"\n[#\t ]*", lambda m: "\n" + " " * (len(m.group()) - 1),
                  text)


def texts():
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in (".c", ".h", ".def", ".js"):
            continue
        text = path.read_text()
        for at, joined in literals(text, path.suffix == ".js"):
            yield path, text.count("\n", 0, at) + 1, joined
    pages = [*ROOT.glob("*.md"), *(ROOT / "etc").glob("*.conf")]
    pages += [p for d in ("doc", "contrib") for p in (ROOT / d).iterdir()
              if p.is_file() and p.suffix in (".md", ".1", ".5", ".8", ".in",
                                              ".conf", ".service", ".socket",
                                              ".json", ".yml")]
    for path in sorted(pages):
        yield path, 1, prose(path, path.read_text())


def main():
    seen = faults = 0
    for path, line, text in texts():
        seen += 1
        flat = re.sub(r"\s", " ", text)
        for rule, better in RULES:
            for m in rule.finditer(flat):
                faults += 1
                at = line + text.count("\n", 0, m.start())
                said = re.sub(" +", " ", m.group())
                print(f"{path.relative_to(ROOT)}:{at}: \"{said}\":"
                      f" say it plainly, as in: {better}")
    if seen < 1000:
        print(f"only {seen} texts were found")
        return 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
