"""OpenSLO v1: objectives, and what they refer to.

Law: every key of the kinds that are read is known here; one that midwatch cannot honour is an error
with what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.adapters.specs.openslo_documents import Documents, labels_of
from midwatch.adapters.specs.openslo_indicators import check_sli, indicator_of, sliced
from midwatch.adapters.specs.openslo_policies import check_policies, conditions, policies
from midwatch.adapters.specs.settings import (
    PREFIX,
    Defaults,
    Found,
    check_tiers,
    settings,
    target,
)
from midwatch.core.values.slo import Extras, Slo
from midwatch.yaml_nodes import Node


def check_others(documents: Documents) -> None:
    """Read the kinds that nothing may refer to, so that their errors are reported too."""
    for root in documents.found.get("Service", {}).values():
        if root.child("spec").value is not None:
            root.child("spec").keys("description")
    for root in documents.found.get("SLI", {}).values():
        check_sli(root)
    check_policies(documents)


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
        "description",
        "service",
        "indicator",
        "indicatorRef",
        "timeWindow",
        "budgetingMethod",
        "objectives",
        "alertPolicies",
        required=("service", "objectives"),
    )  # fmt: skip, since one key a line would hide what belongs together
    method = spec.child("budgetingMethod")
    if method.value == "RatioTimeslices":
        method.error("got RatioTimeslices", "write Occurrences, or Timeslices")
    else:
        method.choice("Occurrences", "Timeslices", default="Occurrences")
    period_s = _period_s(spec.child("timeWindow"), defaults)
    metadata = root.child("metadata")
    named = list(policies(documents, spec.child("alertPolicies")))
    annotations = [policy.child("metadata").child("annotations") for policy in named]
    own = settings([*annotations, metadata.child("annotations")], defaults, period_s)
    found = [one for policy in named for one in conditions(documents, policy, period_s)]
    tiers = own.tiers
    if named:
        written = tuple(tier for tier in own.tiers if tier.name in own.written)
        tiers = (*(tier for tier, _ in found), *written)
        tiers = tuple(sorted(tiers, key=lambda tier: (tier.severity, tier.long_s)))
    objectives = list(spec.child("objectives").items())
    if not objectives and spec.has("objectives"):
        spec.child("objectives").error("the list is empty", "write at least one objective")
    name = f"{spec.child('service').text()}/{metadata.child('name').text()}"
    notes = [(key, node) for key, node in metadata.child("annotations").entries()]
    extras = Extras(
        labels=tuple(labels_of(metadata).items()),
        annotations=tuple(
            (key, node.text(default="")) for key, node in notes if not key.startswith(PREFIX)
        ),
    )
    for number, node in enumerate(objectives, start=1):
        asked = indicator_of(documents, spec, node)
        indicator = sliced(asked.indicator, method, node) if asked else None
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
            extras,
        )
        places = {tier.name: place for tier, place in found}
        check_tiers(slo, {**places, **own.written})
        queries = asked.queries if asked else ()
        yield Found(slo, metadata.child("name"), spec.child("service"), queries)


def _name_of(objective: Node, number: int) -> str:
    """Name one of several objectives."""
    shown = objective.child("displayName").text(default="")
    return "-".join(shown.lower().split()) or str(number)


def _target(objective: Node) -> str:
    objective.keys(
        "displayName",
        "target",
        "targetPercent",
        "op",
        "value",
        "timeSliceTarget",
        "timeSliceWindow",
        "indicator",
        "indicatorRef",
        "compositeWeight",
    )  # fmt: skip, since one key a line would hide what belongs together
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
