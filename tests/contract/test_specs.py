"""OpenSLO and Sloth: what is read from each, and what is said of a wrong one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch.adapters.specs.reader import Specs, read_specs
from midwatch.core.values.slo import DAY_S
from midwatch.yaml_nodes import Problems

EXAMPLES = Path(__file__).parents[2] / "examples" / "slos"

OPENSLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {spec: {query: good_total}}}
        total: {metricSource: {spec: {query: all_total}}}
  objectives: [{target: 0.999}]
"""
SLOTH = """
version: prometheus/v1
service: shop
slos:
  - name: availability
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(bad_total[{{.window}}]))
        total_query: sum(rate(all_total[{{.window}}]))
"""
KUBERNETES = """
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata: {name: shop}
spec:
  service: shop
  slos:
    - name: availability
      objective: 99.9
      sli:
        events:
          errorQuery: sum(rate(bad_total[{{.window}}]))
          totalQuery: sum(rate(all_total[{{.window}}]))
"""
WINDOWS = """
apiVersion: sloth.slok.dev/v1
kind: AlertWindows
spec:
  sloPeriod: 28d
  page:
    quick: {errorBudgetPercent: 2, shortWindow: 5m, longWindow: 1h}
    slow: {errorBudgetPercent: 5, shortWindow: 30m, longWindow: 6h}
  ticket:
    quick: {errorBudgetPercent: 10, shortWindow: 2h, longWindow: 1d}
    slow: {errorBudgetPercent: 10, shortWindow: 6h, longWindow: 3d}
"""


def read(folder: Path, *texts: str) -> tuple[Specs, list[str]]:
    """Read files with these texts; gives what was found and every error."""
    files: list[Path] = []
    for number, text in enumerate(texts):
        files.append(folder / f"{number}.yaml")
        files[-1].write_text(text, "utf-8")
    problems = Problems()
    found = read_specs(files, problems)
    return found, [str(error) for error in problems.in_order()]


@pytest.mark.parametrize("text", [OPENSLO, SLOTH, KUBERNETES], ids=["openslo", "sloth", "k8s"])
def test_the_same_objective_is_read_from_each_format(text: str, tmp_path: Path) -> None:
    """Its budget is exactly a thousandth."""
    specs, errors = read(tmp_path, text)
    assert errors == []
    slo = specs.slos["shop/availability"]
    assert (slo.budget, slo.period_s) == (Fraction(1, 1000), 30 * DAY_S)
    assert [t.name for t in slo.tiers] == ["PageQuick", "PageSlow", "TicketQuick", "TicketSlow"]


def test_each_example_is_read() -> None:
    """The files that people copy have no error."""
    problems = Problems()
    specs = read_specs(sorted(EXAMPLES.glob("*.yaml")), problems)
    assert [str(error) for error in problems.found] == []
    assert len(specs.slos) == len(list(EXAMPLES.glob("*.yaml")))


def test_alert_windows_give_sloths_published_factors(tmp_path: Path) -> None:
    """13.44, 5.6, 2.8 and 0.933 at 28 days."""
    specs, errors = read(tmp_path, SLOTH, WINDOWS)
    assert errors == []
    slo = specs.slos["shop/availability"]
    factors = [float(tier.factor(slo.period_s)) for tier in slo.tiers]
    assert factors == pytest.approx([13.44, 5.6, 2.8, 28 / 30])


def test_annotations_say_what_openslo_has_no_words_for(tmp_path: Path) -> None:
    """Tiers, the proof and the time of silence."""
    text = OPENSLO.replace(
        "metadata: {name: availability}",
        """metadata:
  name: availability
  annotations:
    midwatch.dev/tiers: none
    midwatch.dev/tier.Fast: long=2h short=10m budget=5% severity=sev2
    midwatch.dev/tier.Factor: long=1d short=2h factor=3 severity=sev3
    midwatch.dev/proof: "off"
    midwatch.dev/quiet-after: 10m""",
    )
    specs, errors = read(tmp_path, text)
    assert errors == []
    slo = specs.slos["shop/availability"]
    assert [(t.name, float(t.factor(slo.period_s))) for t in slo.tiers] == [
        ("Fast", 18.0),
        ("Factor", 3.0),
    ]
    assert (slo.proof, slo.quiet_s) == ("", 600)


def test_conditions_of_a_policy_are_tiers(tmp_path: Path) -> None:
    """Followed by name through policy and condition; the short window is a twelfth."""
    more = """
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: burns}
spec:
  conditions: [{conditionRef: fast}]
  notificationTargets: [{targetRef: room}]
---
apiVersion: openslo/v1
kind: AlertCondition
metadata: {name: fast}
spec:
  severity: critical
  condition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: room}
spec: {target: slack}
"""
    text = OPENSLO.replace("  objectives:", "  alertPolicies: [burns]\n  objectives:")
    specs, errors = read(tmp_path, text, more)
    assert errors == []
    (tier,) = specs.slos["shop/availability"].tiers
    assert (tier.name, tier.severity, tier.long_s, tier.short_s) == ("fast", "sev1", 3_600, 300)
    assert tier.factor(30 * DAY_S) == Fraction("14.4")


def test_an_indicator_by_reference_and_slices(tmp_path: Path) -> None:
    """An SLI of its own, and minutes that count instead of events."""
    text = OPENSLO[: OPENSLO.index("  indicator:")] + "  indicatorRef: good-requests\n"
    text = text.replace("Occurrences", "Timeslices") + (
        "  objectives: [{target: 0.999, timeSliceTarget: 0.95, timeSliceWindow: 1m}]\n"
    )
    sli = """
apiVersion: openslo/v1
kind: SLI
metadata: {name: good-requests}
spec:
  thresholdMetric: {metricSource: {spec: {query: latency_seconds}}}
"""
    _, errors = read(tmp_path, text, sli)
    place = f"{tmp_path}/0.yaml:10 spec.objectives[0]"
    remedy = "a thresholdMetric needs both, such as op: lte"
    assert errors == [f"{place}: op or value is missing; {remedy}"]
    specs, errors = read(
        tmp_path, text.replace("target: 0.999,", "target: 0.999, op: lte, value: 2,"), sli
    )
    assert errors == []
    indicator = specs.slos["shop/availability"].indicator
    assert indicator is not None
    assert (indicator.kind, indicator.op, indicator.value) == ("threshold", "lte", "2")
    assert (indicator.slice_s, indicator.slice_target) == (60, "19/20")


def test_several_objectives_have_a_name_each(tmp_path: Path) -> None:
    """By their display name."""
    text = OPENSLO.replace(
        "[{target: 0.999}]", "[{target: 0.9, displayName: Most}, {targetPercent: 99.95}]"
    )
    specs, errors = read(tmp_path, text)
    assert errors == []
    assert list(specs.slos) == ["shop/availability/most", "shop/availability/2"]
    assert specs.slos["shop/availability/2"].objective == "0.9995"


NAME = "{name: availability}"
TIER = "{name: a, annotations: {midwatch.dev/tier.X: "
GOOD = "good: {"
OBJECTIVES = "  objectives:"
WRONG = [
    (OPENSLO, "target: 0.999", "target: 99.9", "write 0.999, or targetPercent: 99.9"),
    (OPENSLO, "target: 0.999", "target: 0", "write a fraction between 0 and 1"),
    (OPENSLO, "target: 0.999", "target: 1", "write a fraction between 0 and 1"),
    (OPENSLO, "target: 0.999", "targetPercent: 100", "write a percentage between 0 and 100"),
    (OPENSLO, "target: 0.999", "targetPercent: 0.999", "this is a percentage: write 99.9"),
    (OPENSLO, "30d", "1M", "months differ in length: write 30d or 28d"),
    (OPENSLO, "30d", "soon", "write a duration such as"),
    (OPENSLO, "isRolling: true", "isRolling: false", "write isRolling: true"),
    (OPENSLO, "Occurrences", "RatioTimeslices", "write Occurrences, or Timeslices"),
    (OPENSLO, "  indicator:", "  indicatorr:", "did you mean indicator?"),
    (OPENSLO, GOOD, f"bad: {{}}\n        {GOOD}", "write total, and good or bad"),
    (OPENSLO, OBJECTIVES, f"  alertPolicies: [nope]\n{OBJECTIVES}", "add a document of kind"),
    (OPENSLO, NAME, "{name: a, annotations: {midwatch.dev/prof: x}}", "use proof"),
    (OPENSLO, NAME, TIER + '"long=1h"}}', "write it like"),
    (OPENSLO, NAME, TIER + '"long=1h short=5m factor=2000 severity=sev1"}}', "a smaller share"),
    (OPENSLO, "kind: SLO", "kind: SLOO", "write one of"),
    (OPENSLO, "apiVersion: openslo/v1", "apiVersion: openslo/v2", "write one of openslo/v1"),
    (SLOTH, "99.9", "0.999", "this is a percentage: write 99.9"),
    (SLOTH, "99.9", "100", "write a percentage between 0 and 100"),
    (SLOTH, "[{{.window}}]", "[5m]", "write the range as [{{.window}}]"),
    (SLOTH, "      events:", "      plugin: {id: x}\n      events:", "only Sloth runs plugins"),
    (SLOTH, "prometheus/v1", "prometheus/v2", "write one of prometheus/v1"),
    (SLOTH, "service: shop", "servce: shop", "did you mean service?"),
]


@pytest.mark.parametrize(("text", "old", "new", "remedy"), WRONG)
def test_a_wrong_spec_is_told_with_its_place_and_remedy(
    text: str, old: str, new: str, remedy: str, tmp_path: Path
) -> None:
    """File, line and key, and what to write instead."""
    assert old in text
    _, errors = read(tmp_path, text.replace(old, new, 1))
    assert any(remedy in error for error in errors), errors
    assert all(error.startswith(f"{tmp_path}/0.yaml:") for error in errors)


def test_a_name_that_stands_twice_and_an_empty_file_are_told_in_one_go(tmp_path: Path) -> None:
    """Over both formats."""
    _, errors = read(tmp_path, OPENSLO, SLOTH, "")
    assert len(errors) == 2
    assert any("shop/availability is defined twice" in error for error in errors)
    assert any("is empty" in error for error in errors)


@pytest.mark.parametrize("text", ["secret " * 900, f"apiVersion: openslo/v1\nkind: {'x' * 9_000}"])
def test_a_file_that_was_not_meant_is_not_printed(text: str, tmp_path: Path) -> None:
    """An error shows the start of what it found there, and no more."""
    _, errors = read(tmp_path, text)
    assert errors
    assert all(len(error) < 250 + len(str(tmp_path)) for error in errors)


@given(text=st.text(max_size=200))
def test_garbage_is_told_and_raises_nothing(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in the file, it gives errors or nothing."""
    folder = tmp_path_factory.mktemp("garbage")
    (folder / "x.yaml").write_text(text, "utf-8", newline="")
    problems = Problems()
    specs = read_specs([folder / "x.yaml"], problems)
    assert problems.found or not specs.slos


@given(st.integers(1, 99_999))
def test_a_percentage_is_exact(thousandths: int) -> None:
    """No float comes between the file and the budget."""
    from midwatch.adapters.specs.settings import target
    from midwatch.yaml_nodes import Node

    text = f"{thousandths // 1000}.{thousandths % 1000:03d}"
    if float(text) < 1:
        return

    class Written(float):
        def __str__(self) -> str:
            return text

    got = target(Node(Written(text), "f", 1, "", Problems()), percent=True)
    assert Fraction(got) == Fraction(text) / 100
