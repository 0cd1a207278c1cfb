"""OpenSLO v1: objectives, and what they refer to.

Law: every key of the kinds that are read is known here; one that midwatch cannot honour is an error
with what to write instead. References reach over all files that are read together.

An AlertCondition of kind burnrate is one window; it becomes a tier whose long window is its
lookbackWindow and whose short one is its alertAfter, or a twelfth. OpenSLO has no words for more
(OpenSLO issue 139): settings.py says which annotations have.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fractions import Fraction
from typing import Literal, cast

from msgspec import Struct, field, structs

from midwatch.adapters.specs.settings import (
    Defaults,
    Found,
    check_tiers,
    settings,
    target,
    tier_of,
)
from midwatch.adapters.specs.sloth import WINDOW
from midwatch.core.values.alerts import LEVELS
from midwatch.core.values.sli import Indicator
from midwatch.core.values.slo import Slo, Tier
from midwatch.yaml_nodes import Node

KINDS = (
    "DataSource", "Service", "SLI", "SLO", "AlertPolicy", "AlertCondition",
    "AlertNotificationTarget",
)  # fmt: skip
OPS = ("lt", "lte", "gt", "gte")
_SEVERITY_OF = {"critical": "sev1", "error": "sev2", "warning": "sev3", "info": "sev4"}


class DataSource(Struct, frozen=True):
    """Where metrics are: a kind in small letters and, for Prometheus, its address."""

    kind: str
    url: str


class Documents(Struct):
    """All documents that are read together, by kind and name."""

    found: dict[str, dict[str, Node]] = field(default_factory=dict[str, dict[str, Node]])

    def add(self, root: Node) -> None:
        """Take a document in; a name stands once a kind."""
        root.keys("apiVersion", "kind", "metadata", "spec", required=("kind", "metadata", "spec"))
        root.child("apiVersion").choice("openslo/v1")
        kind = root.child("kind").choice(*KINDS)
        metadata = root.child("metadata")
        if metadata.value is not None:
            metadata.keys("name", "displayName", "labels", "annotations", required=("name",))
        name = metadata.child("name").text() if metadata.value is not None else ""
        there = self.found.setdefault(kind, {})
        if name in there and kind != "SLO":  # objectives are told apart by their service too
            metadata.child("name").error(
                f"the {kind} {name!r} is defined twice", f"it is also defined in {there[name].file}"
            )
        there[f"{root.file}:{root.line}" if kind == "SLO" else name] = root

    def get(self, kind: str, name: Node) -> Node | None:
        """Follow a reference; an unknown one is noted."""
        known = self.found.get(kind, {})
        text = name.text()
        if text and text not in known:
            near = difflib.get_close_matches(text, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"add a document of kind {kind}"
            name.error(f"unknown {kind} {text!r}", hint)
        return known.get(text)


def data_sources(documents: Documents) -> dict[str, DataSource]:
    """Read the DataSource documents."""
    found: dict[str, DataSource] = {}
    for name, root in documents.found.get("DataSource", {}).items():
        spec = root.child("spec")
        spec.keys("description", "type", "connectionDetails", required=("type",))
        kind = spec.child("type").text().lower()
        details = spec.child("connectionDetails")
        url = ""
        if kind == "prometheus":
            if details.value is None:
                spec.error(
                    "connectionDetails is missing", "add connectionDetails: {url: http://...}"
                )
            else:
                details.keys("url", required=("url",))
                url = details.child("url").text()
        elif kind:
            spec.child("type").error(f"got {kind!r}", "write Prometheus")
        found[name] = DataSource(kind, url)
    return found


def check_others(documents: Documents) -> None:
    """Read the kinds that stand for themselves, so that what is wrong in them is told."""
    for root in documents.found.get("Service", {}).values():
        root.child("spec").keys("description")
    for root in documents.found.get("AlertNotificationTarget", {}).values():
        root.child("spec").keys("description", "target", required=("target",))
    for root in documents.found.get("SLI", {}).values():
        _indicator(root.child("spec"), Node(None, root.file, root.line, "", root.problems))
    for root in documents.found.get("AlertCondition", {}).values():
        _condition("x", root.child("spec"), Defaults().period_s)
    for root in documents.found.get("AlertPolicy", {}).values():
        _conditions(documents, root, Defaults().period_s)


def services(documents: Documents) -> set[str]:
    """Name the services that have a document."""
    return set(documents.found.get("Service", {}))


def slos(documents: Documents, defaults: Defaults) -> list[Found]:
    """Read every objective."""
    return [
        one
        for root in documents.found.get("SLO", {}).values()
        for one in _slos(documents, root, defaults)
    ]


def _slos(documents: Documents, root: Node, defaults: Defaults) -> Iterable[Found]:
    spec = root.child("spec")
    spec.keys(
        "description", "service", "indicator", "indicatorRef", "timeWindow", "budgetingMethod",
        "objectives", "alertPolicies",
        required=("service", "objectives", "timeWindow"),
    )  # fmt: skip
    method = spec.child("budgetingMethod")
    if method.value == "RatioTimeslices":
        method.error("got RatioTimeslices", "write Occurrences, or Timeslices")
    else:
        method.choice("Occurrences", "Timeslices", default="Occurrences")
    period_s = _period_s(spec.child("timeWindow"), defaults)
    policies = list(_policies(documents, spec.child("alertPolicies")))
    annotations = [policy.child("metadata").child("annotations") for policy in policies]
    own = settings([*annotations, root.child("metadata").child("annotations")], defaults, period_s)
    conditions = [c for policy in policies for c in _conditions(documents, policy, period_s)]
    tiers = own.tiers
    if conditions:
        written = tuple(tier for tier in own.tiers if tier.name in own.written)
        tiers = (*(tier for tier, _ in conditions), *written)
        tiers = tuple(sorted(tiers, key=lambda tier: (tier.severity, tier.long_s)))
    objectives = list(spec.child("objectives").items())
    if not objectives and spec.has("objectives"):
        spec.child("objectives").error("the list is empty", "write at least one objective")
    name = f"{spec.child('service').text()}/{root.child('metadata').child('name').text()}"
    for number, node in enumerate(objectives, start=1):
        indicator = _sliced(_found_indicator(documents, spec, node), method, node)
        ratio = indicator is not None and indicator.kind == "ratio" and not indicator.slice_s
        slo = Slo(
            name if len(objectives) == 1 else f"{name}/{_name_of(node, number)}",
            spec.child("service").text(),
            _target(node),
            period_s,
            tiers,
            "" if ratio else own.proof,
            own.quiet_s,
            indicator,
        )
        places = {tier.name: place for tier, place in conditions}
        check_tiers(slo, {**places, **own.written})
        yield Found(slo, root.child("metadata").child("name"), spec.child("service"))


def _name_of(objective: Node, number: int) -> str:
    """Name one of several objectives."""
    shown = objective.child("displayName").text(default="")
    return "-".join(shown.lower().split()) or str(number)


def _target(objective: Node) -> str:
    objective.keys(
        "displayName", "target", "targetPercent", "op", "value", "timeSliceTarget",
        "timeSliceWindow", "indicator", "indicatorRef", "compositeWeight",
    )  # fmt: skip
    if objective.has("compositeWeight"):
        says = "write the parts of a composite as separate objectives"
        objective.child("compositeWeight").error("not supported", says)
    if objective.has("target") and objective.has("targetPercent"):
        objective.child("targetPercent").error(
            "cannot be combined with target", "write one of the two"
        )
    if objective.has("targetPercent"):
        return target(objective.child("targetPercent"), percent=True)
    if not objective.has("target"):
        objective.error("target is missing", "add target, such as 0.999")
        return "0.99"
    return target(objective.child("target"), percent=False)


def _period_s(windows: Node, defaults: Defaults) -> int:
    found = list(windows.items())
    if len(found) > 1:
        windows.error(f"got {len(found)} entries", "write exactly one")
    period_s = defaults.period_s
    for window in found[:1]:
        window.keys("duration", "isRolling", "calendar", required=("duration",))
        duration = window.child("duration")
        if isinstance(duration.value, str) and duration.value[-1:] in "MQY":
            duration.error(f"got {duration.value!r}", "months differ in length: write 30d or 28d")
        else:
            period_s = duration.duration_s(period_s)
        if window.child("isRolling").value is False or window.has("calendar"):
            window.error(
                "calendar-aligned windows are not supported",
                "write isRolling: true and no calendar",
            )
    return period_s


# --- indicators ---------------------------------------------------------------------------------


def _found_indicator(documents: Documents, spec: Node, objective: Node) -> Indicator | None:
    """Find the indicator of an objective: its own, or the one of all objectives."""
    for node in (objective, spec):
        if node.has("indicator") and node.has("indicatorRef"):
            node.child("indicatorRef").error(
                "cannot be combined with indicator", "write one of the two"
            )
        if node.has("indicator"):
            inline = node.child("indicator")
            inline.keys("metadata", "spec", required=("spec",))
            return _indicator(inline.child("spec"), objective)
        if node.has("indicatorRef"):
            root = documents.get("SLI", node.child("indicatorRef"))
            return _indicator(root.child("spec"), objective) if root else None
    return None


def _indicator(spec: Node, objective: Node) -> Indicator | None:
    if spec.value is None:
        return None
    spec.keys("description", "ratioMetric", "thresholdMetric")
    if spec.has("ratioMetric") is spec.has("thresholdMetric"):
        spec.error("exactly one metric is needed", "write either ratioMetric or thresholdMetric")
        return None
    if spec.has("thresholdMetric"):
        source, query = _metric(spec.child("thresholdMetric"))
        op, value = _threshold(objective)
        return Indicator("threshold", source, total=query, op=op, value=value)
    return _ratio(spec.child("ratioMetric"))


def _ratio(ratio: Node) -> Indicator | None:
    ratio.keys("counter", "good", "bad", "total", "raw", "rawType")
    if ratio.has("raw"):
        failure = ratio.child("rawType").choice("success", "failure") == "failure"
        for key in ("counter", "good", "bad", "total"):
            if ratio.has(key):
                ratio.child(key).error(
                    "cannot be combined with raw", "remove it: a raw ratio has no separate counts"
                )
        source, query = _metric(ratio.child("raw"))
        good, bad = ("", query) if failure else (query, "")
        return Indicator("ratio", source, good=good, bad=bad)
    counter = ratio.child("counter")
    if counter.value not in (None, True, False):
        counter.error(counter.found, "write true or false")
    named = [key for key in ("good", "bad", "total") if ratio.has(key)]
    if "total" not in named or len(named) != 2:
        ratio.error(f"got {' and '.join(named) or 'no counts'}", "write total, and good or bad")
        return None
    sources: dict[str, str] = {}
    queries: dict[str, str] = {}
    for key in named:
        sources[key], queries[key] = _metric(ratio.child(key))
    if len(set(sources.values())) > 1:
        ratio.error("the counts come from two sources", "use one source for both")
    windowed = any("{{.window}}" in query for query in queries.values())
    kind = "increase" if windowed else "delta" if counter.value is False else "counter"
    return Indicator(
        kind,
        sources["total"],
        queries.get("good", ""),
        queries.get("bad", ""),
        queries["total"],
    )


def _metric(node: Node) -> tuple[str, str]:
    """Read a metricSource: the name of its source, and the question."""
    node.keys("metricSource", required=("metricSource",))
    source = node.child("metricSource")
    if source.value is None:
        return "", ""
    source.keys("metricSourceRef", "type", "spec")
    name = source.child("metricSourceRef").text(default="")
    if source.has("type"):
        source.child("type").text()
    spec = source.child("spec")
    if spec.value is None:
        return name, ""
    spec.keys("query", "evaluation")
    if spec.has("evaluation"):
        return name, f"evaluation:{spec.child('evaluation').text()}"
    return name, WINDOW.sub("{{.window}}", spec.child("query").text())


def _threshold(objective: Node) -> tuple[Literal["", "lt", "lte", "gt", "gte"], str]:
    if objective.value is None:  # an SLI for itself has no objective
        return "", ""
    if not objective.has("op") or not objective.has("value"):
        objective.error("op or value is missing", "a thresholdMetric needs both, such as op: lte")
        return "", ""
    op = objective.child("op").choice(*OPS)
    return cast("Literal['lt', 'lte', 'gt', 'gte']", op), objective.child("value").number("0")


def _sliced(indicator: Indicator | None, method: Node, objective: Node) -> Indicator | None:
    """Count slices of time instead of events, where the budgeting method says so."""
    slices = method.value == "Timeslices"
    for key in ("timeSliceTarget", "timeSliceWindow"):
        if objective.has(key) and not slices:
            says = "write budgetingMethod: Timeslices, or leave it out"
            objective.child(key).error("not used here", says)
        elif slices and not objective.has(key):
            objective.error(f"{key} is missing", f"add {key}")
    if not slices or indicator is None:
        return indicator
    share = Fraction(objective.child("timeSliceTarget").number("0.99"))
    if not 0 < share <= 1:
        objective.child("timeSliceTarget").error(
            "not a fraction", "write a fraction above 0, at most 1"
        )
    window = objective.child("timeSliceWindow")
    # A bare number is minutes, as the specification has it.
    if isinstance(window.value, int) and not isinstance(window.value, bool):
        slice_s = window.integer(1, at_least=1) * 60
    else:
        slice_s = window.duration_s(60)
    return structs.replace(
        indicator, slice_s=slice_s, slice_target=f"{share.numerator}/{share.denominator}"
    )


# --- alert policies -----------------------------------------------------------------------------


def _policies(documents: Documents, node: Node) -> Iterable[Node]:
    """Follow an objective's alertPolicies: names, references, or the thing itself."""
    for item in node.items():
        if isinstance(item.value, str):
            policy = documents.get("AlertPolicy", item)
        elif item.has("alertPolicyRef"):
            item.keys("alertPolicyRef")
            policy = documents.get("AlertPolicy", item.child("alertPolicyRef"))
        else:
            item.keys("apiVersion", "kind", "metadata", "spec", required=("kind", "spec"))
            item.child("kind").choice("AlertPolicy")
            policy = item
        if policy is not None:
            yield policy


def _conditions(documents: Documents, policy: Node, period_s: int) -> Iterable[tuple[Tier, Node]]:
    """Read the conditions of a policy as tiers, each with where it stands."""
    spec = policy.child("spec")
    spec.keys(
        "description", "alertWhenNoData", "alertWhenBreaching", "alertWhenResolved", "conditions",
        "notificationTargets", required=("conditions",),
    )  # fmt: skip
    for item in spec.child("notificationTargets").items():
        item.keys("targetRef", "metadata", "kind", "spec", "apiVersion")
        if item.has("targetRef"):
            documents.get("AlertNotificationTarget", item.child("targetRef"))
    for item in spec.child("conditions").items():
        if item.has("conditionRef"):
            item.keys("conditionRef")
            root = documents.get("AlertCondition", item.child("conditionRef"))
            name = str(item.child("conditionRef").value)
        else:
            item.keys("apiVersion", "kind", "metadata", "spec", required=("kind", "spec"))
            item.child("kind").choice("AlertCondition")
            root, name = item, item.child("metadata").child("name").text(default="condition")
        tier = _condition(name, root.child("spec"), period_s) if root else None
        if tier is not None and root is not None:
            yield tier, root.child("spec").child("condition")


def _condition(name: str, spec: Node, period_s: int) -> Tier | None:
    spec.keys("description", "severity", "condition", required=("severity", "condition"))
    condition = spec.child("condition")
    if condition.value is None:
        return None
    words = ("kind", "op", "threshold", "lookbackWindow", "alertAfter")
    condition.keys(*words, required=("kind", "threshold", "lookbackWindow"))
    condition.child("kind").choice("burnrate")
    op = condition.child("op").choice(*OPS, default="gt")
    if op in ("lt", "lte"):
        condition.child("op").error(f"got {op}", "a burn rate alerts above a threshold: write gt")
    threshold = Fraction(condition.child("threshold").number("1"))
    long_s = condition.child("lookbackWindow").duration_s(3_600)
    short_s = max(long_s // 12, 10)
    if condition.has("alertAfter") and str(condition.child("alertAfter").value) not in ("0m", "0s"):
        short_s = condition.child("alertAfter").duration_s(short_s)
    if threshold <= 0:
        condition.child("threshold").error("must be above 0", "write a burn rate such as 14.4")
        return None
    if short_s >= long_s:
        condition.child("alertAfter").error(
            "must be shorter than lookbackWindow", "write a twelfth of it, or leave it out"
        )
        return None
    word = spec.child("severity").text().lower()
    severity = word if word in _SEVERITY_OF.values() else _SEVERITY_OF[LEVELS.get(word, "error")]
    return tier_of(name, severity, long_s, short_s, threshold * long_s / period_s)
