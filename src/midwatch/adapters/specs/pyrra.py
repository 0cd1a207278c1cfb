"""Pyrra: `pyrra.dev/v1alpha1` ServiceLevelObjectives, as files or out of Kubernetes.

Law: what Pyrra would count is what is counted. Its windows are not read: the tiers are midwatch's
own for the period, since Pyrra makes them out of its window in the same way. What is not read is an
error, never ignored.

Pyrra knows no services. The annotation `midwatch.dev/service` or the label `pyrra.dev/service`
names one; otherwise the objective's own name is its service.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from midwatch import promql
from midwatch.adapters.specs.openslo_documents import name_of
from midwatch.adapters.specs.openslo_indicators import Asked
from midwatch.adapters.specs.settings import (
    PREFIX,
    Defaults,
    Found,
    Query,
    check_tiers,
    pairs,
    settings,
    target,
)
from midwatch.core.values.sli import Indicator
from midwatch.core.values.slo import Extras, Slo
from midwatch.yaml_nodes import Node

API = "pyrra.dev/v1alpha1"
KIND = "ServiceLevelObjective"
LABELS = "pyrra.dev/"  # what begins so is handed on to alerts, without this
WINDOW = promql.WINDOW
_SEVERITIES = ("absent", "fastBurn", "mediumBurn", "slowBurn", "longTermBurn")


def slo_of(root: Node, defaults: Defaults) -> Found | None:
    """Read a document; None for one that has no indicator that midwatch can read."""
    root.keys("apiVersion", "kind", "metadata", "spec", "status", required=("metadata", "spec"))
    root.child("kind").choice(KIND)
    metadata, spec = root.child("metadata"), root.child("spec")
    if metadata.value is None or spec.value is None:
        return None
    _check_metadata(metadata)
    spec.keys(
        "target",
        "window",
        "description",
        "indicator",
        "alerting",
        "performanceOverAccuracy",
        "partial_response_strategy",
        "ruleOutput",
        required=("target", "window", "indicator"),
    )  # fmt: skip, since one key a line would hide what belongs together
    spec.child("partial_response_strategy").choice("abort", "", default="abort")
    name = metadata.child("name").text(default="")
    service, said = _service(metadata)
    period_s = spec.child("window").duration_s(defaults.period_s)
    own = settings([_ours(metadata)], defaults, period_s)
    off = _is_off(spec.child("alerting"))
    asked = _indicator(spec.child("indicator"))
    slo = Slo(
        f"{service}/{name}",
        service,
        _target(spec.child("target")),
        period_s,
        () if off else own.tiers,
        own.proof,
        own.quiet_s,
        asked.indicator if asked else None,
        _extras(metadata, spec.child("alerting")),
    )
    if not off:
        check_tiers(slo, own.written)
    return Found(slo, metadata.child("name"), said, asked.queries if asked else ())


def _check_metadata(metadata: Node) -> None:
    # Kubernetes writes the rest itself when an object is exported.
    metadata.keys(
        "name",
        "namespace",
        "labels",
        "annotations",
        "creationTimestamp",
        "generation",
        "managedFields",
        "resourceVersion",
        "uid",
        "selfLink",
        "ownerReferences",
        "finalizers",
        required=("name",),
    )  # fmt: skip, since one key a line would hide what belongs together
    plain = Node(
        {"metadata": {"name": metadata.child("name").value}},
        metadata.file,
        metadata.line,
        "",
        metadata.problems,
    )
    name_of(plain)


def _service(metadata: Node) -> tuple[str, Node]:
    for part, key in (("annotations", f"{PREFIX}service"), ("labels", f"{LABELS}service")):
        node = metadata.child(part).child(key)
        if node.value is not None:
            return node.text(), node
    name = metadata.child("name")
    return name.text(default=""), name


def _ours(metadata: Node) -> Node:
    """Give the annotations but for the one that names the service."""
    found = metadata.child("annotations")
    mapping = found.mapping
    if mapping is None or f"{PREFIX}service" not in mapping:
        return found
    kept = type(mapping)(mapping)
    del kept[f"{PREFIX}service"]
    return Node(kept, found.file, found.line, found.path, found.problems)


def _target(node: Node) -> str:
    """Read a percentage; Pyrra writes it as text."""
    if isinstance(node.value, str):
        try:
            value = float(Fraction(node.value))
        except (ValueError, ZeroDivisionError):
            node.error(node.found, 'write a percentage such as "99.9"')
            return "0.99"
        node = Node(value, node.file, node.line, node.path, node.problems)
    return target(node, percent=True)


def _is_off(alerting: Node) -> bool:
    if alerting.value is None:
        return False
    alerting.keys("disabled", "burnrates", "absent", "name", "absentName", "severities")
    for key in ("disabled", "burnrates", "absent"):
        if alerting.child(key).value not in (None, True, False):
            alerting.child(key).error(alerting.child(key).found, "write true or false")
    if alerting.has("severities"):
        alerting.child("severities").keys(*_SEVERITIES)
        alerting.child("severities").error(
            "not supported", f"write {PREFIX}tier.NAME annotations with severity="
        )
    off = alerting.child("disabled").value is True
    return off or alerting.child("burnrates").value is False


def _extras(metadata: Node, alerting: Node) -> Extras:
    labels = {
        key.removeprefix(LABELS): value
        for key, value in pairs(metadata.child("labels"))
        if key.startswith(LABELS)
    }
    if metadata.child("namespace").value is not None:
        labels["namespace"] = metadata.child("namespace").text()
    notes = pairs(metadata.child("annotations"))
    return Extras(
        alert=alerting.child("name").text(default=""),
        labels=tuple(labels.items()),
        annotations=tuple((key, value) for key, value in notes if not key.startswith(PREFIX)),
    )


# --- indicators ---------------------------------------------------------------------------------


def _indicator(node: Node) -> Asked | None:
    if node.value is None:
        return None
    node.keys(*_KINDS)
    named = [key for key in _KINDS if node.has(key)]
    if len(named) != 1:
        node.error(f"got {' and '.join(named) or 'none'}", f"write one of {', '.join(_KINDS)}")
        return None
    inside = node.child(named[0])
    grouping = inside.child("grouping")
    labels = [one.text() for one in grouping.items()]
    if labels:
        grouping.error(
            f"the groups of {', '.join(labels)} each have a budget, and an SLO has one",
            "remove grouping, or write one SLO for each value with a matcher",
        )
    return _KINDS[named[0]](inside)


def _ratio(node: Node) -> Asked | None:
    node.keys("errors", "total", "grouping", required=("errors", "total"))
    errors, total = _series(node.child("errors")), _series(node.child("total"))
    if errors is None or total is None:
        return None
    return Asked(Indicator("counter", bad=errors.text, total=total.text), (errors, total))


def _latency(node: Node) -> Asked | None:
    node.keys("success", "total", "grouping", required=("success", "total"))
    success, total = _series(node.child("success")), _series(node.child("total"))
    if success is None or total is None:
        return None
    return Asked(Indicator("counter", good=success.text, total=total.text), (success, total))


def _native(node: Node) -> Asked | None:
    node.keys("total", "latency", "grouping", required=("total", "latency"))
    total = _series(node.child("total"))
    seconds = _seconds(node.child("latency"))
    if total is None or seconds is None:
        return None
    came = f"sum(increase({_ranged(total.text)}))"
    count = f"histogram_count({came})"
    return Asked(
        Indicator(
            "increase", good=f"histogram_fraction(0, {seconds}, {came}) * {count}", total=count
        ),
        (total,),
    )


def _bool_gauge(node: Node) -> Asked | None:
    node.keys("metric", "grouping", required=("metric",))
    gauge = _series(node)
    if gauge is None:
        return None
    ranged = _ranged(gauge.text)
    good, total = f"sum(sum_over_time({ranged}))", f"sum(count_over_time({ranged}))"
    return Asked(Indicator("increase", good=good, total=total), (gauge,))


_KINDS: dict[str, Callable[[Node], Asked | None]] = {
    "ratio": _ratio,
    "latency": _latency,
    "latencyNative": _native,
    "bool_gauge": _bool_gauge,
}


def _series(node: Node) -> Query | None:
    """Expect a plain series, as Pyrra does; None where it is none."""
    if node.value is None:
        return None
    if "grouping" not in (node.mapping or {}):
        node.keys("metric", required=("metric",))
    metric = node.child("metric")
    if metric.value is None:
        return None
    text = metric.text().strip()
    if text and not promql.problem(text) and not promql.is_selector(text):
        metric.error(f"got {text!r}", 'write a plain series, such as requests_total{job="api"}')
        return None
    return Query(text, metric) if text else None


def _ranged(series: str) -> str:
    return f"{series}[{WINDOW}]"


def _seconds(node: Node) -> str | None:
    """Read a latency, such as 250ms or 1s, in seconds as decimal text."""
    text = node.text(default="")
    try:
        if text.endswith("ms"):
            return f"{float(text[:-2]) / 1_000:g}"
        if text.endswith("s"):
            return f"{float(text[:-1]):g}"
    except ValueError:
        pass
    if node.value is not None:
        node.error(node.found, "write a latency such as 250ms or 1s")
    return None
