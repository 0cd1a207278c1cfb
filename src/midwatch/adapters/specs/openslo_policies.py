"""OpenSLO's alert policies: their conditions become tiers.

Law: every key is read or refused. A policy is checked whole, whether an objective refers to it or
not; a severity that midwatch does not know is an error, since it decides who is woken.

An AlertCondition of kind burnrate is one window; it becomes a tier whose long window is its
lookbackWindow and whose short one is its alertAfter, or a twelfth. OpenSLO has no words for more
(OpenSLO issue 139): settings.py says which annotations have.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from msgspec import structs

from midwatch.adapters.specs.openslo_documents import Documents, name_of
from midwatch.adapters.specs.openslo_indicators import OPS
from midwatch.adapters.specs.settings import tier_of
from midwatch.core.values.alerts import LEVELS
from midwatch.core.values.slo import DAY_S, Tier
from midwatch.yaml_nodes import Node

_OF_LEVEL = {"critical": "sev1", "error": "sev2", "warning": "sev3", "info": "sev4"}
SEVERITIES = {
    **{f"{word}{number}": f"sev{number}" for word in ("sev", "p") for number in range(1, 5)},
    **{word: _OF_LEVEL[level] for word, level in LEVELS.items()},
}
WHEN = ("alertWhenNoData", "alertWhenBreaching", "alertWhenResolved")


def check_policies(documents: Documents) -> None:
    """Read the kinds that nothing may refer to, so that their errors are reported too."""
    for root in documents.found.get("AlertNotificationTarget", {}).values():
        _target(root.child("spec"))
    for root in documents.found.get("AlertCondition", {}).values():
        _condition("x", root.child("spec"), 30 * DAY_S)
    for root in documents.found.get("AlertPolicy", {}).values():
        for _ in conditions(documents, root, 30 * DAY_S):
            pass


def policies(documents: Documents, node: Node) -> Iterable[Node]:
    """Follow an objective's alertPolicies: names, references, or the thing itself."""
    for item in node.items():
        if isinstance(item.value, str):
            policy = documents.get("AlertPolicy", item)
        elif item.has("alertPolicyRef"):
            item.keys("alertPolicyRef")
            policy = documents.get("AlertPolicy", item.child("alertPolicyRef"))
        else:
            policy = _inline(item, "AlertPolicy")
        if policy is not None:
            yield policy


def conditions(documents: Documents, policy: Node, period_s: int) -> Iterable[tuple[Tier, Node]]:
    """Read the conditions of a policy as tiers, each with where it stands.

    A policy that does not alert when its condition is breached has no tier.
    """
    spec = policy.child("spec")
    spec.keys("description", *WHEN, "conditions", "notificationTargets", required=("conditions",))
    for key in WHEN:
        if spec.child(key).value not in (None, True, False):
            spec.child(key).error(spec.child(key).found, "write true or false")
    for item in spec.child("notificationTargets").items():
        if item.has("targetRef"):
            item.keys("targetRef")
            documents.get("AlertNotificationTarget", item.child("targetRef"))
        else:
            _target(_inline(item, "AlertNotificationTarget").child("spec"))
    for item in spec.child("conditions").items():
        if item.has("conditionRef"):
            item.keys("conditionRef")
            root = documents.get("AlertCondition", item.child("conditionRef"))
            name = str(item.child("conditionRef").value)
        else:
            root = _inline(item, "AlertCondition")
            name = item.child("metadata").child("name").text(default="condition")
        tier = _condition(name, root.child("spec"), period_s) if root else None
        if (
            tier is not None
            and root is not None
            and spec.child("alertWhenBreaching").value is not False
        ):
            yield tier, root.child("spec").child("condition")


def _inline(item: Node, kind: str) -> Node:
    item.keys("apiVersion", "kind", "metadata", "spec", required=("kind", "spec"))
    item.child("kind").choice(kind)
    if item.has("metadata"):
        name_of(item)
    return item


def _target(spec: Node) -> None:
    """Check a target; who is paged is the escalation policy's to say."""
    if spec.value is not None:
        spec.keys("description", "target", required=("target",))
        spec.child("target").text()


def _condition(name: str, spec: Node, period_s: int) -> Tier | None:
    if spec.value is None:
        return None
    spec.keys("description", "severity", "condition", required=("severity", "condition"))
    severity = _severity(spec.child("severity"))
    condition = spec.child("condition")
    if condition.value is None:
        return None
    words = ("kind", "op", "threshold", "lookbackWindow", "alertAfter")
    condition.keys(*words, required=("kind", "threshold", "lookbackWindow"))
    condition.child("kind").choice("burnrate")
    op = condition.child("op").choice(*OPS, default="gt")
    if op not in ("gt", "gte"):
        says = "a tier burns above its threshold: write gt or gte"
        condition.child("op").error(f"got {op}", says)
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
    tier = tier_of(name, severity, long_s, short_s, threshold * long_s / period_s)
    return structs.replace(tier, inclusive=op == "gte")


def _severity(node: Node) -> str:
    word = str(node.value).lower()
    if node.value is not None and word not in SEVERITIES:
        node.error(f"unknown severity {str(node.value)!r}", "write sev1, sev2, sev3 or sev4")
    return SEVERITIES.get(word, "sev2")
