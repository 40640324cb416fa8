# SPDX-License-Identifier: BSD-3-Clause
"""OpenMetrics 1.0 as its specification has it, since promtool checks the older
text alone."""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL}(?:,(?!\}}))?)*)\}})? "
                    r"(-?[0-9.]+(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)$")
SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"],
            "histogram": ["_bucket", "_sum", "_count"]}


class OpenMetricsError(Exception):
    pass


def check_histogram(name, samples):
    """Buckets rise, the last is +Inf and as many as there are in all."""
    bounds, counts = [], []
    for sample, labels, value in samples:
        if sample.endswith("_bucket"):
            if not re.fullmatch(r"[0-9]+\.[0-9]+|\+Inf", labels["le"]):
                raise OpenMetricsError(f"{name}: le {labels['le']}")
            bounds.append(float(labels["le"].replace("+Inf", "inf")))
            counts.append(value)
    total = [v for s, _, v in samples if s.endswith("_count")]
    if bounds != sorted(set(bounds)) or not bounds or bounds[-1] != math.inf:
        raise OpenMetricsError(f"{name}: bounds {bounds}")
    if counts != sorted(counts) or total != counts[-1:]:
        raise OpenMetricsError(f"{name}: counts {counts} of {total}")


def check(text):
    """{family: {"type", "help", "samples": [(name, labels, value)]}}"""
    if not text.endswith("\n# EOF\n"):
        raise OpenMetricsError("no EOF at the end")
    families, family, seen = {}, None, set()
    for line in text[:-len("# EOF\n")].splitlines():
        what, _, rest = line.partition(" ")
        if what == "#":
            word, name, value = rest.split(" ", 2)
            if family is None or family["name"] != name:
                if name in families:
                    raise OpenMetricsError(f"{name} comes twice")
                if not re.fullmatch(NAME, name):
                    raise OpenMetricsError(f"name {name}")
                family = families[name] = {"name": name, "samples": []}
            key = {"HELP": "help", "TYPE": "type"}.get(word)
            if key is None or key in family or family["samples"]:
                raise OpenMetricsError(line)
            if key == "type" and value not in SUFFIXES:
                raise OpenMetricsError(line)
            if key == "help" and re.search(r'(?<!\\)(\\\\)*(\\[^\\n"]|")',
                                           value):
                raise OpenMetricsError(line)
            family[key] = value
            continue
        found = SAMPLE.match(line)
        if not found or family is None or "type" not in family:
            raise OpenMetricsError(line)
        name, labels, value = found[1], found[2] or "", float(found[5])
        if name not in [family["name"] + s for s in SUFFIXES[family["type"]]]:
            raise OpenMetricsError(f"{line} in {family['name']}")
        pairs = re.findall(LABEL, labels)
        if len({k for k, _ in pairs}) != len(pairs):
            raise OpenMetricsError(line)
        if (name, labels) in seen:
            raise OpenMetricsError(f"{line} comes twice")
        seen.add((name, labels))
        if family["type"] in ("counter", "histogram") and not value >= 0:
            raise OpenMetricsError(line)
        if family["type"] == "info" and value != 1:
            raise OpenMetricsError(line)
        family["samples"].append((name, dict(pairs), value))
    for name, one in families.items():
        if "type" not in one or "help" not in one:
            raise OpenMetricsError(f"{name}: no help or no type")
        if one["type"] == "histogram":
            check_histogram(name, one["samples"])
    return families
