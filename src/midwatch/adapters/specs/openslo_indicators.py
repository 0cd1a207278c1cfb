"""OpenSLO's indicators: where the counts of an objective come from.

Law: what is asked of a source is what its owner wrote. A source of another kind than midwatch reads
is named with its line; its query is never put to whatever source there is.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, cast

from msgspec import Struct, structs

from midwatch.adapters.specs.openslo_documents import Documents
from midwatch.adapters.specs.settings import Query
from midwatch.adapters.specs.sloth import WINDOW
from midwatch.core.values.sli import Indicator
from midwatch.yaml_nodes import Node

Op = Literal["", "lt", "lte", "gt", "gte"]
OPS = ("lt", "lte", "gt", "gte")
TYPES = ("prometheus", "pushed", "file", "proxy")  # of sources, as midwatch.yaml has them


class Asked(Struct, frozen=True):
    """An indicator, and the queries that it came from."""

    indicator: Indicator
    queries: tuple[Query, ...] = ()


class _Metric(Struct, frozen=True):
    """One metricSource: the name of its source, and what is asked; without a query where wrong."""

    source: str = ""
    text: str = ""
    query: Query | None = None


def check_sli(root: Node) -> None:
    """Read an SLI document that nothing may use, so that its errors are reported too."""
    _read(root.child("spec"), Node(None, root.file, root.line, "", root.problems))


def indicator_of(documents: Documents, spec: Node, objective: Node) -> Asked | None:
    """Find the indicator of an objective: its own, or the one of all objectives."""
    for node in (objective, spec):
        if node.has("indicator") and node.has("indicatorRef"):
            node.child("indicatorRef").error(
                "cannot be combined with indicator", "write one of the two"
            )
        if node.has("indicator"):
            inline = node.child("indicator")
            inline.keys("metadata", "spec", required=("spec",))
            return _read(inline.child("spec"), objective)
        if node.has("indicatorRef"):
            root = documents.get("SLI", node.child("indicatorRef"))
            return _read(root.child("spec"), objective) if root else None
    spec.error("the SLO has no indicator, so nothing measures it", "add indicator or indicatorRef")
    return None


def _read(spec: Node, objective: Node) -> Asked | None:
    if spec.value is None:
        return None
    spec.keys("description", "ratioMetric", "thresholdMetric")
    if spec.has("ratioMetric") is spec.has("thresholdMetric"):
        spec.error("exactly one metric is needed", "write either ratioMetric or thresholdMetric")
        return None
    if spec.has("thresholdMetric"):
        metric = _metric(spec.child("thresholdMetric"))
        op, value = _threshold(objective)
        indicator = Indicator("threshold", metric.source, total=metric.text, op=op, value=value)
        return Asked(indicator, _queries(metric))
    for key in ("op", "value"):
        if objective.has(key):
            objective.child(key).error(
                "not used here", "remove it: only a thresholdMetric is compared with a value"
            )
    return _ratio(spec.child("ratioMetric"))


def _ratio(ratio: Node) -> Asked | None:
    ratio.keys("counter", "good", "bad", "total", "raw", "rawType")
    if ratio.has("raw"):
        return _raw(ratio)
    counter = ratio.child("counter")
    if counter.value not in (None, True, False):
        counter.error(counter.found, "write true or false")
    named = [key for key in ("good", "bad", "total") if ratio.has(key)]
    if "total" not in named or len(named) != 2:
        ratio.error(f"got {' and '.join(named) or 'no counts'}", "write total, and good or bad")
        return None
    metrics = {key: _metric(ratio.child(key)) for key in named}
    if len({one.source for one in metrics.values()}) > 1:
        ratio.error("the counts come from two sources", "use one source for both")
    windowed = any("{{.window}}" in one.text for one in metrics.values())
    kind = "increase" if windowed else "delta" if counter.value is False else "counter"
    texts = {key: one.text for key, one in metrics.items()}
    indicator = Indicator(
        kind,
        metrics["total"].source,
        texts.get("good", ""),
        texts.get("bad", ""),
        texts["total"],
    )
    return Asked(indicator, _queries(*metrics.values()))


def _raw(ratio: Node) -> Asked:
    failure = ratio.child("rawType").choice("success", "failure") == "failure"
    for key in ("counter", "good", "bad", "total"):
        if ratio.has(key):
            ratio.child(key).error(
                "cannot be combined with raw", "remove it: a raw ratio has no separate counts"
            )
    metric = _metric(ratio.child("raw"))
    good, bad = ("", metric.text) if failure else (metric.text, "")
    return Asked(Indicator("ratio", metric.source, good=good, bad=bad), _queries(metric))


def _queries(*metrics: _Metric) -> tuple[Query, ...]:
    return tuple(one.query for one in metrics if one.query is not None)


def _metric(node: Node) -> _Metric:
    """Read a metricSource."""
    node.keys("metricSource", required=("metricSource",))
    source = node.child("metricSource")
    if source.value is None:
        return _Metric()
    source.keys("metricSourceRef", "type", "spec")
    name = source.child("metricSourceRef").text(default="")
    kind = source.child("type").text(default="").lower()
    if kind and kind not in TYPES:
        # What its spec says is in that product's own words.
        source.child("type").error(
            f"got {str(source.child('type').value)!r}",
            f"use one of {', '.join(TYPES)}; counts from elsewhere can be pushed",
        )
        return _Metric(name)
    # What is pushed, in a file or counted by a proxy needs no query; the source decides.
    none = Query("", source, promql=kind == "prometheus")
    spec = source.child("spec")
    if spec.value is None:
        return _Metric(name, "", none)
    spec.keys("query", "evaluation")
    if spec.has("evaluation"):
        return _Metric(name, f"evaluation:{spec.child('evaluation').text()}", none)
    asked = spec.child("query")
    text = WINDOW.sub("{{.window}}", asked.text())
    return _Metric(name, text, Query(text, asked, promql=kind == "prometheus"))


def _threshold(objective: Node) -> tuple[Op, str]:
    if objective.value is None:  # an SLI document has no objective
        return "", ""
    if not objective.has("op") or not objective.has("value"):
        objective.error("op or value is missing", "a thresholdMetric needs both, such as op: lte")
        return "", ""
    op = objective.child("op").choice(*OPS)
    return cast("Op", op), objective.child("value").number("0")


def sliced(indicator: Indicator, method: Node, objective: Node) -> Indicator:
    """Count slices of time instead of events, where the budgeting method says so."""
    slices = method.value == "Timeslices"
    for key in ("timeSliceTarget", "timeSliceWindow"):
        if objective.has(key) and not slices:
            says = "write budgetingMethod: Timeslices, or leave it out"
            objective.child(key).error("not used here", says)
        elif slices and not objective.has(key):
            objective.error(f"{key} is missing", f"add {key}")
    if not slices:
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
