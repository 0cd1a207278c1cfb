"""OpenSLO as its own tools write it: lists, unused policies, names, sources, severities."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract import test_specs
from tests.contract.test_specs import OPENSLO

from midwatch.adapters.metrics.prometheus_rules import rules
from midwatch.adapters.specs.reader import Specs
from midwatch.core.values.sli import Counts
from midwatch.core.values.slo import Slo, judge_burn

POLICY = """
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: pages}
spec:
  alertWhenBreaching: true
  alertWhenNoData: false
  conditions:
    - kind: AlertCondition
      metadata: {name: Burn}
      spec:
        severity: page
        condition: {kind: burnrate, op: gt, threshold: 10, lookbackWindow: 1h, alertAfter: 5m}
  notificationTargets:
    - kind: AlertNotificationTarget
      metadata: {name: chat}
      spec: {target: slack}
"""
WITH_POLICY = OPENSLO.replace(
    "  objectives", "  alertPolicies: [{alertPolicyRef: pages}]\n  objectives"
)


def read(folder: Path, *texts: str) -> tuple[Specs, list[str]]:
    """Read files with these texts; the errors name them without their folder."""
    found, errors = test_specs.read(folder, *texts)
    return found, [one.replace(f"{folder}/", "") for one in errors]


def only(found: dict[str, Slo]) -> Slo:
    """Give the one objective."""
    (one,) = found.values()
    return one


def test_a_list_is_its_documents(tmp_path: Path) -> None:
    """OpenSLO's SDK writes sequences; they may stand beside plain documents."""
    service = "{apiVersion: openslo/v1, kind: Service, metadata: {name: shop}, spec: {}}"
    listed = f"- {service}\n-" + OPENSLO.replace("\n", "\n  ").removeprefix("\n ")
    found, errors = read(tmp_path, listed + "\n---" + OPENSLO.replace("availability}", "more}"))
    assert errors == []
    assert list(found.slos) == ["shop/availability", "shop/more"]
    assert found.services == {"shop"}


def test_an_empty_list_is_an_error(tmp_path: Path) -> None:
    """Whoever wrote it expects to be paged."""
    _, errors = read(tmp_path, "[]\n")
    assert errors == ["0.yaml:1: the list is empty; write a document, or remove the file"]


def test_an_error_in_a_list_names_its_line(tmp_path: Path) -> None:
    """The second of two."""
    _, errors = read(
        tmp_path, "- {apiVersion: openslo/v1, kind: Service, metadata: {name: a}}\n- 7\n"
    )
    assert errors[-1].startswith("0.yaml:2 [1]: got 7")


@pytest.mark.parametrize(
    ("version", "hint"),
    [("openslo/v1alpha", "ratioMetrics"), ("openslo.com/v2alpha", "serviceRef is service")],
)
def test_another_version_is_one_error(version: str, hint: str, tmp_path: Path) -> None:
    """It says what was renamed, and nothing of what follows from it."""
    _, errors = read(tmp_path, OPENSLO.replace("openslo/v1", version).replace("timeWindow", "when"))
    assert len(errors) == 1
    assert f"apiVersion: {version} is not supported; write openslo/v1" in errors[0]
    assert hint in errors[0]


@pytest.mark.parametrize("name", ["my slo / bad name", "a/b", "-a", "früh", "a b"])
def test_a_name_that_cannot_be_a_name_is_an_error(name: str, tmp_path: Path) -> None:
    """A slash would make two names of one."""
    _, errors = read(tmp_path, OPENSLO.replace("name: availability", f'name: "{name}"'))
    assert any("metadata.name: got" in one for one in errors), errors


def test_an_objective_without_an_indicator_is_an_error(tmp_path: Path) -> None:
    """Nothing would measure it, so nobody would be paged."""
    text = OPENSLO[: OPENSLO.index("  indicator")] + "  objectives: [{target: 0.999}]\n"
    _, errors = read(tmp_path, text)
    (error,) = errors
    assert error.startswith("0.yaml:5 spec: the SLO has no indicator, so nothing measures it; add")


def test_a_policy_is_read_whole(tmp_path: Path) -> None:
    """Its condition is a tier, and its inline target is checked."""
    found, errors = read(tmp_path, WITH_POLICY, POLICY)
    assert errors == []
    (tier,) = only(found.slos).tiers
    assert (tier.severity, tier.long_s, tier.short_s) == ("sev1", 3_600, 300)
    assert float(tier.factor(30 * 86_400)) == 10


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  conditions:", "  condtions: []\n  conditions:", "did you mean conditions?"),
        ("  conditions:", "  nonsense: 1\n  conditions:", "spec.nonsense: unknown key"),
        ("severity: page", "severity: P9", "unknown severity 'P9'"),
        ("op: gt", "op: lte", "got lte; a tier burns above its threshold"),
        ("alertWhenNoData: false", "alertWhenNoData: perhaps", "write true or false"),
        ("spec: {target: slack}", "spec: {targt: slack}", "did you mean target?"),
        ("spec: {target: slack}", "spec: {target: 7}", "write text"),
        ("threshold: 10", "treshold: 10", "did you mean threshold?"),
    ],
)
def test_a_policy_that_nothing_uses_is_checked(
    old: str, new: str, says: str, tmp_path: Path
) -> None:
    """Each key is read or refused, and the error names its line."""
    assert old in POLICY
    _, errors = read(tmp_path, POLICY.replace(old, new, 1))
    assert any(says in one for one in errors), errors


@pytest.mark.parametrize(
    ("word", "severity"),
    [("P1", "sev1"), ("p4", "sev4"), ("SEV2", "sev2"), ("warning", "sev3"), ("page", "sev1")],
)
def test_severities_are_read_as_people_write_them(word: str, severity: str, tmp_path: Path) -> None:
    """P4 is no page."""
    found, errors = read(
        tmp_path, WITH_POLICY, POLICY.replace("severity: page", f"severity: {word}")
    )
    assert errors == []
    assert only(found.slos).tiers[0].severity == severity


@pytest.mark.parametrize(
    ("op", "bad", "fires"), [("gt", 10, False), ("gte", 10, True), ("gte", 9, False)]
)
def test_a_tier_fires_at_its_threshold_where_its_owner_says_so(
    op: str, bad: int, fires: bool, tmp_path: Path
) -> None:
    """`gte` is no `gt`: at exactly ten times the budget it pages, and its rule does."""
    found, errors = read(tmp_path, WITH_POLICY, POLICY.replace("op: gt", f"op: {op}"))
    assert errors == []
    slo = only(found.slos)
    counts = Counts(1_000 - bad, 1_000)  # of a budget of one in a thousand
    assert bool(judge_burn(slo, {300: counts, 3_600: counts}).burning) is fires
    assert ("} >= (1 / 100)" in rules([slo])) is (op == "gte")


def test_a_policy_that_does_not_alert_has_no_tier(tmp_path: Path) -> None:
    """alertWhenBreaching: false is what its owner wrote."""
    quiet = POLICY.replace("alertWhenBreaching: true", "alertWhenBreaching: false")
    found, errors = read(tmp_path, WITH_POLICY, quiet)
    assert errors == []
    assert only(found.slos).tiers == ()


def test_a_query_for_another_product_is_put_to_nobody(tmp_path: Path) -> None:
    """Datadog's words mean something else to Prometheus, or nothing."""
    text = OPENSLO.replace(
        "metricSource: {spec: {query: good_total}}",
        "metricSource: {type: Datadog, spec: {query: 'sum:hits{*}.as_count()'}}",
    )
    _, errors = read(tmp_path, text)
    (error,) = errors
    place = "0.yaml:13 spec.indicator.spec.ratioMetric.good.metricSource.type"
    assert error.startswith(f"{place}: got 'Datadog'; use one of prometheus, pushed, file, proxy;")


PROMETHEUS = """
apiVersion: openslo/v1
kind: DataSource
metadata: {name: prom}
spec:
  type: Prometheus
  connectionDetails: [{url: "http://localhost:9090"}]
"""
OF_PROMETHEUS = OPENSLO.replace("metricSource: {spec", "metricSource: {metricSourceRef: prom, spec")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("rate(good_total[5m]", "the query does not parse: unclosed left parenthesis"),
        ("this is not promql", "the query does not parse"),
        ("rat(good_total[5m])", "unknown function with name 'rat'"),
        ("sum by (tenant) (good_total)", "keeps the groups of tenant apart"),
        ("sum(good_total) by (tenant, code)", "keeps the groups of tenant, code apart"),
    ],
)
def test_a_query_that_prometheus_would_refuse_has_its_line(
    query: str, says: str, tmp_path: Path
) -> None:
    """And so has one whose groups would be added up."""
    text = OF_PROMETHEUS.replace("query: good_total", f"query: '{query}'")
    _, errors = read(tmp_path, PROMETHEUS, text)
    assert len(errors) == 1
    assert errors[0].startswith("1.yaml:13 spec.indicator.spec.ratioMetric.good")
    assert says in errors[0]


def test_what_prometheus_has_to_be_asked_is_missing(tmp_path: Path) -> None:
    """Pushed counts need no query; Prometheus does."""
    text = OF_PROMETHEUS.replace(", spec: {query: good_total}", "")
    _, errors = read(tmp_path, PROMETHEUS, text)
    (error,) = errors
    place = "1.yaml:13 spec.indicator.spec.ratioMetric.good.metricSource"
    assert error == f"{place}: Prometheus needs a query; add spec: {{query: ...}}"


def test_labels_and_annotations_are_kept(tmp_path: Path) -> None:
    """A label may have several values; midwatch's own annotations are no one else's."""
    metadata = """metadata:
  name: availability
  labels: {team: [pay, shop], tier: 1, old: false}
  annotations: {runbook: "https://wiki.example/burn", midwatch.dev/quiet-after: 10m}
"""
    found, errors = read(tmp_path, OPENSLO.replace("metadata: {name: availability}\n", metadata))
    assert errors == []
    extras = only(found.slos).extras
    assert dict(extras.labels) == {"team": "pay,shop", "tier": "1", "old": "false"}
    assert dict(extras.annotations) == {"runbook": "https://wiki.example/burn"}
    assert only(found.slos).quiet_s == 600
