# SPDX-License-Identifier: BSD-3-Clause
"""Prometheus' rules and Grafana's dashboards in contrib/: promtool takes them,
and what they name is there from the start. And the check of OpenMetrics."""
import json
import pathlib
import re
import subprocess

import pytest

import openmetrics
from test_http import OPENMETRICS, get, web  # noqa: F401

CONTRIB = pathlib.Path(__file__).parents[2] / "contrib"
RULES = CONTRIB / "prometheus-rules.yml"
MAILD = CONTRIB / "grafana-weir-maild.json"
NETD = CONTRIB / "grafana-weir-netd.json"
SOURCE = CONTRIB.parent / "src"


def expressions(dashboard):
    """What it asks Prometheus for, with Grafana's variables filled in."""
    found = [a["expr"] for a in dashboard["annotations"]["list"]]
    for panel in dashboard["panels"]:
        found += [t["expr"] for t in panel.get("targets", [])]
    return [e.replace("$__rate_interval", "5m").replace("$instance", ".*")
            for e in found]


def named(expression):
    return set(re.findall(r"\b(?:weir|process)_[a-z_]+", expression))


def check_rules(path):
    done = subprocess.run(["promtool", "check", "rules", path],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def series_of(text):
    """{name: [labels of each series]}"""
    found = {}
    for one in openmetrics.check(text).values():
        for name, labels, _ in one["samples"]:
            found.setdefault(name, []).append(labels)
    return found


def check_labels(expression, series):
    """What is grouped by, selected by and shown of a series is a label of it,
    and a value that is asked for can come."""
    free = {"instance", "job", "le"}
    for name, inner in re.findall(r"\b((?:weir|process)_[a-z_]+)(?:\{(.*?)\})?",
                                  expression):
        for label, op, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"',
                                           inner or ""):
            if label in free:
                continue
            have = [s[label] for s in series[name] if label in s]
            assert have, (name, label)
            if op == "=":
                assert value in have, (name, label, value)
    for group in re.findall(r"by \(([^)]*)\)", expression):
        labels = {w.strip() for w in group.split(",")}
        for name in named(expression):
            for label in labels - free:
                assert any(label in s for s in series[name]), (name, label)


def start_series(web):  # noqa: F811
    """Of a daemon that has done nothing yet, but for what a certificate and a
    shared server would bring."""
    series = series_of(get(web().web_port, Accept=OPENMETRICS)[1])
    series.setdefault("weir_certificate_expiry_timestamp_seconds", []).append(
        {"file": "", "names": ""})
    return series


def rule_expressions(text):
    return re.findall(r"^ +expr: (.*)$", text, re.M)


def test_alert_rules(web):  # noqa: F811
    check_rules(RULES)
    mail, net = RULES.read_text().split("- name: weir-netd")
    series = start_series(web)
    assert rule_expressions(mail) and rule_expressions(net)
    for expression in rule_expressions(mail):
        for name in named(expression):
            assert name in series, name
        check_labels(expression, series)
    for expression in rule_expressions(net):
        for name in named(expression):
            assert_netd_has(name)


def test_dashboard(web, tmp_path):  # noqa: F811
    dashboard = json.loads(MAILD.read_text())
    series = start_series(web)
    for expression in expressions(dashboard):
        for name in named(expression):
            assert name in series, (name, expression)
        check_labels(expression, series)
    check_dashboard(dashboard, tmp_path)


def assert_netd_has(name):
    """Whether the daemon's source has a family for it: without namespaces it
    cannot be started (test_netd_site looks at the running one)."""
    family = re.sub("_total$", "", name)
    if family.startswith("process_"):
        return
    text = (SOURCE / "netd/http.c").read_text()
    counters = re.findall(r'X\([A-Z_]+,\s+"([a-z_]+)"',
                          (SOURCE / "netgate/netgate.h").read_text())
    assert f'"{family}"' in text or family in [
        "weir_" + re.sub("recipients$", "packets", c) for c in counters], name


def test_netd_dashboard(tmp_path):
    dashboard = json.loads(NETD.read_text())
    for expression in expressions(dashboard):
        for name in named(expression):
            assert_netd_has(name)
    check_dashboard(dashboard, tmp_path)


def check_dashboard(dashboard, tmp_path):
    """The expressions are good ones, panels do not lie on each other, and
    Grafana finds its variables."""
    found = expressions(dashboard)
    assert len(found) > 10 and not any(":" in n for e in found
                                       for n in re.findall(r"weir[\w:]*", e))
    rules = tmp_path / "rules.yml"
    rules.write_text(json.dumps({"groups": [{"name": "d", "rules": [
        {"alert": f"A{i}", "expr": e} for i, e in enumerate(found)]}]}))
    check_rules(rules)
    ids = [p["id"] for p in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for p in dashboard["panels"]:
        g = p["gridPos"]
        assert g["x"] + g["w"] <= 24
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"])
                 for y in range(g["y"], g["y"] + g["h"])}
        assert not cells & taken, p["title"]
        taken |= cells
    variables = {v["name"] for v in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)\b", json.dumps(dashboard)))
    assert used <= variables, used - variables
    assert "id" not in dashboard and dashboard["uid"]


GOOD = ("# HELP a A.\n# TYPE a counter\na_total{x=\"\\\"\"} 1\n"
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\n"
        "h_bucket{le=\"+Inf\"} 2\nh_sum 5.5\nh_count 2\n# EOF\n")


@pytest.mark.parametrize("old, new", [
    ("# EOF\n", ""), ("a_total{", "a{"), ("a_total{", "b_total{"),
    ("} 1\n#", "} 1\na_total{x=\"\\\"\"} 2\n#"), (" A.", " \"A\"."),
    ("h_count 2", "h_count 3"), ('le="1.0"', 'le="1"'), ("+Inf", "9.0"),
    ("h_bucket{le=\"1.0\"} 1", "h_bucket{le=\"1.0\"} 3"), ("\\\"", "\""),
    ("TYPE a counter", "TYPE a sum"), ("# HELP a A.\n", ""), ("} 1\n#", "} x\n#"),
    ("# HELP h H.\n", "\n# HELP h H.\n"), ("a_total{x=", "a_total{x y=")])
def test_openmetrics_check(old, new):
    assert openmetrics.check(GOOD)["h"]["samples"][0][2] == 1
    assert old in GOOD
    with pytest.raises((openmetrics.OpenMetricsError, ValueError, KeyError)):
        openmetrics.check(GOOD.replace(old, new, 1))
