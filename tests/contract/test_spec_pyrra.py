"""Pyrra: each kind of indicator as its own objects have it, and what midwatch cannot keep apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch.adapters.metrics.prometheus_rules import rules
from midwatch.adapters.specs.reader import read_specs
from midwatch.core.values.sli import Indicator
from midwatch.core.values.slo import DAY_S, Slo
from midwatch.yaml_nodes import Problems

RATIO = """
ratio:
      errors: {metric: 'requests_total{job="shop",code=~"5.."}'}
      total: {metric: 'requests_total{job="shop"}'}
"""
LATENCY = """
latency:
      success: {metric: 'duration_seconds_bucket{job="shop",le="0.5"}'}
      total: {metric: 'duration_seconds_count{job="shop"}'}
"""
NATIVE = """
latencyNative:
      latency: 250ms
      total: {metric: 'duration_seconds{job="shop"}'}
"""
GAUGE = """
bool_gauge: {metric: 'probe_success{job="probes"}'}
"""


def document(indicator: str = RATIO, metadata: str = "", more: str = "") -> str:
    """Write an objective."""
    return f"""
apiVersion: pyrra.dev/v1alpha1
kind: ServiceLevelObjective
metadata:
  name: shop-errors
  namespace: stores
  labels: {{prometheus: k8s, role: alert-rules, pyrra.dev/team: payments}}
  {metadata}
spec:
  target: "99.9"
  window: 2w
  description: Customers can pay.
  {more}
  indicator:
    {indicator.strip()}
"""


def read(folder: Path, text: str) -> tuple[list[Slo], list[str]]:
    """Read a file with this text."""
    file = folder / "pyrra.yaml"
    file.write_text(text, "utf-8")
    problems = Problems()
    found = read_specs([file], problems)
    return list(found.slos.values()), [
        str(one).replace(f"{folder}/", "") for one in problems.in_order()
    ]


@pytest.mark.parametrize(
    ("indicator", "want"),
    [
        (
            RATIO,
            Indicator(
                "counter",
                bad='requests_total{job="shop",code=~"5.."}',
                total='requests_total{job="shop"}',
            ),
        ),
        (
            LATENCY,
            Indicator(
                "counter",
                good='duration_seconds_bucket{job="shop",le="0.5"}',
                total='duration_seconds_count{job="shop"}',
            ),
        ),
        (
            NATIVE,
            Indicator(
                "increase",
                good='histogram_fraction(0, 0.25, sum(increase(duration_seconds{job="shop"}'
                "[{{.window}}])))"
                ' * histogram_count(sum(increase(duration_seconds{job="shop"}[{{.window}}])))',
                total='histogram_count(sum(increase(duration_seconds{job="shop"}[{{.window}}])))',
            ),
        ),
        (
            GAUGE,
            Indicator(
                "increase",
                good='sum(sum_over_time(probe_success{job="probes"}[{{.window}}]))',
                total='sum(count_over_time(probe_success{job="probes"}[{{.window}}]))',
            ),
        ),
    ],
    ids=["ratio", "latency", "latencyNative", "bool_gauge"],
)
def test_each_indicator_counts_what_pyrra_counts(
    indicator: str, want: Indicator, tmp_path: Path
) -> None:
    """The target is a percentage, and the window is the period."""
    (slo,), errors = read(tmp_path, document(indicator))
    assert errors == []
    assert slo.indicator == want
    assert (slo.objective, slo.period_s) == ("0.999", 14 * DAY_S)
    assert (slo.id, slo.service) == ("shop-errors/shop-errors", "shop-errors")
    assert rules([slo]).count("alert:") == len(slo.useful_tiers) + 1


@pytest.mark.parametrize(
    "metadata",
    ["annotations: {midwatch.dev/service: shop}", "labels: {pyrra.dev/service: shop}"],
)
def test_an_annotation_or_a_label_names_the_service(metadata: str, tmp_path: Path) -> None:
    """Pyrra itself knows none."""
    text = document(metadata=metadata)
    if metadata.startswith("labels"):
        text = text.replace(
            "  labels: {prometheus: k8s, role: alert-rules, pyrra.dev/team: payments}\n", ""
        )
    (slo,), errors = read(tmp_path, text)
    assert errors == []
    assert (slo.id, slo.service) == ("shop/shop-errors", "shop")


def test_pyrras_labels_go_with_the_alerts(tmp_path: Path) -> None:
    """As in Pyrra: those of its own prefix, and the namespace; Kubernetes' own stay behind."""
    (slo,), _ = read(
        tmp_path, document(metadata="annotations: {runbook: 'https://wiki.example/pay'}")
    )
    assert dict(slo.extras.labels) == {"team": "payments", "namespace": "stores"}
    assert dict(slo.extras.annotations) == {"runbook": "https://wiki.example/pay"}
    written = rules([slo])
    assert "team: payments" in written
    assert "runbook: https://wiki.example/pay" in written


@pytest.mark.parametrize("off", ["disabled: true", "burnrates: false"])
def test_alerts_that_are_off_have_no_tier(off: str, tmp_path: Path) -> None:
    """The recordings are written all the same."""
    (slo,), errors = read(tmp_path, document(more=f"alerting: {{{off}}}"))
    assert errors == []
    assert slo.tiers == ()
    written = rules([slo])
    assert "record:" in written
    assert "alert:" not in written


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "      total:",
            "      grouping: [tenant]\n      total:",
            "the groups of tenant each have",
        ),
        ('"99.9"', '"0.999"', "this is a percentage: write 99.9"),
        ('"99.9"', '"high"', 'write a percentage such as "99.9"'),
        ("window: 2w", "window: 2", "write a duration"),
        ("window: 2w", "windows: 2w", "did you mean window?"),
        ("ratio:", "ratios:", "did you mean ratio?"),
        ("      errors:", "      error:", "did you mean errors?"),
        ("'requests_total{job=\"shop\"}'", "'sum(requests_total)'", "write a plain series"),
        ("'requests_total{job=\"shop\"}'", "'requests_total{job=shop}'", "does not parse"),
        ("kind: ServiceLevelObjective", "kind: SLO", "write one of ServiceLevelObjective"),
        (
            "description: Customers can pay.",
            "partial_response_strategy: warn",
            "write one of abort",
        ),
    ],
)
def test_what_is_not_read_is_an_error_with_its_line(
    old: str, new: str, says: str, tmp_path: Path
) -> None:
    """Groups are never added up in silence."""
    assert old in document()
    _, errors = read(tmp_path, document().replace(old, new, 1))
    assert any(says in one for one in errors), errors
    assert all(one.startswith("pyrra.yaml:") for one in errors)


def test_what_kubernetes_adds_to_an_exported_object_is_no_error(tmp_path: Path) -> None:
    """`kubectl get -o yaml` writes more than a person does."""
    more = (
        "resourceVersion: '4711'\n  uid: 6f1c\n  generation: 3\n  creationTimestamp: '2026-11-01'"
    )
    (_,), errors = read(tmp_path, document(metadata=more) + "status: {type: PrometheusRule}\n")
    assert errors == []


def test_two_indicators_are_an_error(tmp_path: Path) -> None:
    """As in Pyrra."""
    _, errors = read(tmp_path, document(RATIO + "    " + GAUGE.strip()))
    assert any("got ratio and bool_gauge; write one of" in one for one in errors)
