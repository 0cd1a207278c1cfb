"""Sloth: what goes along with its alerts, alerts that are off, and what it cannot be read as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.contract.test_specs import SLOTH, read

from midwatch.adapters.metrics.prometheus_rules import rules
from midwatch.core.values.slo import Slo

NOTED = """
version: prometheus/v1
service: checkout
labels: {team: pay, generated: true}
slos:
  - name: payments
    objective: 99.9
    labels: {category: availability}
    sli:
      events:
        error_query: sum(rate(payments_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(payments_total[{{.window}}]))
    alerting:
      name: PaymentsFail
      labels: {slack: "#pay", severity: high}
      annotations: {runbook: "https://wiki.example/payments", midwatch.dev/quiet-after: 10m}
      page_alert:
        labels: {severity: critical, route: pager}
        annotations: {title: "Payments fail for {{ $labels.service }}"}
      ticket_alert: {labels: {severity: warning}}
  - name: browsing
    objective: 95
    sli:
      events:
        error_query: sum(rate(pages_total{code=~"5.."}[{{ .window }}]))
        total_query: sum(rate(pages_total[{{ .window }}]))
    alerting:
      page_alert: {disable: true}
      ticket_alert: {disable: true}
"""


def written(slos: list[Slo]) -> dict[str, list[dict[str, Any]]]:
    """Write rules and read them again: the rules of each group."""
    reader: Any = YAML(typ="safe")
    groups = reader.load(rules(slos))["groups"]
    return {group["name"]: group["rules"] for group in groups}


def test_labels_annotations_and_names_go_with_the_alerts(tmp_path: Path) -> None:
    """An Alertmanager routes by what its team wrote; midwatch keeps its own marks."""
    found, errors = read(tmp_path, NOTED)
    assert errors == []
    every = written([found.slos["checkout/payments"]])["midwatch-checkout/payments"]
    recorded = [one for one in every if "record" in one]
    marks = {"slo": "checkout/payments", "service": "checkout", "team": "pay", "generated": "true"}
    assert all(marks.items() <= one["labels"].items() for one in recorded)
    pages = [one for one in every if one.get("labels", {}).get("urgency") == "page"]
    tickets = [one for one in every if one.get("labels", {}).get("urgency") == "ticket"]
    assert {one["alert"] for one in pages} == {"PaymentsFail"}
    for one in pages:
        more = {
            "severity": "critical",
            "route": "pager",
            "slack": "#pay",
            "category": "availability",
        }
        assert (marks | more).items() <= one["labels"].items()
        assert one["annotations"]["runbook"] == "https://wiki.example/payments"
        assert one["annotations"]["title"] == "Payments fail for {{ $labels.service }}"
        assert not [key for key in one["annotations"] if key.startswith("midwatch.dev/")]
    assert tickets
    for one in tickets:
        assert one["labels"]["severity"] == "warning"
        assert "route" not in one["labels"]
        assert "title" not in one["annotations"]


def test_an_objective_whose_alerts_are_off_is_recorded(tmp_path: Path) -> None:
    """And the others of its file have their rules."""
    found, _ = read(tmp_path, NOTED)
    groups = written(list(found.slos.values()))
    off = groups["midwatch-checkout/browsing"]
    assert {one["record"] for one in off} >= {"midwatch:bad_share:5m", "midwatch:bad_share:3d"}
    assert not [one for one in off if "alert" in one]
    assert [one for one in groups["midwatch-checkout/payments"] if "alert" in one]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "sum(rate(bad_total",
            "sum by (tenant) (rate(bad_total",
            "keeps the groups of tenant apart",
        ),
        ("[{{.window}}]))\n        total", "[{{.window}}])\n        total", "does not parse"),
        ("sum(rate(bad_total", "sum(rat(bad_total", "unknown function with name 'rat'"),
    ],
)
def test_a_query_that_cannot_be_honoured_has_its_line(
    old: str, new: str, says: str, tmp_path: Path
) -> None:
    """Before a server has to find out."""
    assert old in SLOTH
    _, errors = read(tmp_path, SLOTH.replace(old, new, 1))
    assert len(errors) == 1
    assert ":9 slos[0].sli.events.error_query: " in errors[0]
    assert says in errors[0]


@pytest.mark.parametrize(
    "query",
    [
        'sum(rate(a{path=~"/v[0-9]{1,2}/.*"}[{{.window}}]))',
        "sum(rate(a[{{.window}}])) or vector(0)",
        "sum(sum by (tenant) (rate(a[{{.window}}])))",
        "sum(holt_winters(a[{{.window}}], 0.1, 0.1))",
        "histogram_quantile(0.9, sum by (le) (rate(a_bucket[{{.window}}])))",
        "sum(rate(a[{{.window}}]) > bool 3) / 2 - count(up offset 5m)",
        "sum(rate(a[{{.window}}] offset 1h)) # of the hour before",
    ],
)
def test_what_prometheus_takes_is_taken(query: str, tmp_path: Path) -> None:
    """The check refuses nothing that works."""
    _, errors = read(tmp_path, SLOTH.replace("sum(rate(bad_total[{{.window}}]))", f"'{query}'"))
    assert errors == []


@pytest.mark.parametrize("key", ["slo_plugins: {chain: []}", "sloPlugins: {chain: []}"])
def test_plugins_are_named(key: str, tmp_path: Path) -> None:
    """They run in Sloth alone."""
    _, errors = read(tmp_path, SLOTH.replace("service: shop", f"service: shop\n{key}"))
    assert any("lugins" in one for one in errors)
