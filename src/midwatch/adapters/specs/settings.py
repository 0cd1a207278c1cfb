"""What midwatch adds to a spec by annotations, and what holds where a spec says nothing.

Law: neither OpenSLO nor Sloth has words for all of this, so it stands in annotations that begin
with `midwatch.dev/`; an unknown one is an error. A tier that somebody wrote and that can never fire
is an error too; a default one is left out.

    midwatch.dev/proof        a probability such as "0.0001", or "off": no low-traffic gate
    midwatch.dev/quiet-after  a duration: so long without an event is an alert of its own
    midwatch.dev/tiers        "default", or "none": only those that follow
    midwatch.dev/tier.NAME    "long=1h short=5m budget=2% severity=sev1", or factor=14.4 for budget
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import cast

from msgspec import Struct

from midwatch import promql
from midwatch.core.values.severity import SEVERITIES, URGENCY, Severity, Urgency
from midwatch.core.values.slo import DAY_S, TIERS, Slo, Tier
from midwatch.yaml_nodes import UNITS_S, Node

PREFIX = "midwatch.dev/"
WORDS = ("long", "short", "budget", "factor", "severity", "urgency")
TIER_HINT = 'write it like "long=1h short=5m budget=2% severity=sev1"'


class Query(Struct, frozen=True):
    """A query as a spec has it, and where it stands.

    `promql` when the spec itself says so; else its source decides what language it is.
    """

    text: str
    node: Node
    promql: bool = True

    def check(self) -> None:
        """Note what Prometheus would refuse, and groups that midwatch would add up."""
        if not self.text:
            self.node.error("Prometheus needs a query", "add spec: {query: ...}")
        elif says := promql.problem(self.text):
            self.node.error(f"the query does not parse: {says}", "fix the PromQL")
        elif kept := promql.groups(self.text):
            labels = ", ".join(kept)
            self.node.error(
                f"the query keeps the groups of {labels} apart, and an SLO has one budget",
                f"remove by ({labels}), or write one SLO for each value with a matcher",
            )


class Found(Struct, frozen=True):
    """An objective, where its name and its service stand, and what it asks."""

    slo: Slo
    name: Node
    service: Node
    queries: tuple[Query, ...] = ()


class Defaults(Struct, frozen=True):
    """What holds where a spec says nothing."""

    period_s: int = 30 * DAY_S
    tiers: tuple[Tier, ...] = TIERS
    proof: str = "0.0001"
    quiet_s: int = 1_800


class Settings(Struct, frozen=True):
    """What holds for one objective; `written` names the tiers that somebody wrote."""

    tiers: tuple[Tier, ...]
    proof: str
    quiet_s: int
    written: dict[str, Node]


def settings(nodes: list[Node], defaults: Defaults, period_s: int) -> Settings:
    """Read the annotations of an objective and of what it refers to; later ones win."""
    found = {
        key.removeprefix(PREFIX): node
        for annotations in nodes
        for key, node in annotations.entries()
        if key.startswith(PREFIX)
    }
    tiers = {tier.name: tier for tier in defaults.tiers}
    written: dict[str, Node] = {}
    proof, quiet_s = defaults.proof, defaults.quiet_s
    if "tiers" in found and found["tiers"].choice("default", "none") == "none":
        tiers = {}
    for key, node in found.items():
        if key.startswith("tier."):
            name = key.removeprefix("tier.")
            tier = read_tier(name, node, period_s)
            if tier is not None:
                tiers[name], written[name] = tier, node
        elif key == "proof":
            proof = read_proof(node)
        elif key == "quiet-after":
            quiet_s = node.duration_s(quiet_s)
        elif key != "tiers":
            node.error("unknown annotation", "use proof, quiet-after, tiers or tier.NAME")
    # The worst speaks first, whatever the order of writing was.
    ordered = sorted(tiers.values(), key=lambda tier: (tier.severity, tier.long_s))
    return Settings(tuple(ordered), proof, quiet_s, written)


def read_proof(node: Node) -> str:
    """Expect a probability, or "off"."""
    text = str(node.value).strip()
    if text == "off":
        return ""
    try:
        if 0 < float(text) < 1:
            return text
    except ValueError:
        pass
    node.error(node.found, 'write a probability such as "0.0001", or "off"')
    return ""


def read_tier(name: str, node: Node, period_s: int) -> Tier | None:
    """Read a tier out of one line of words."""
    words: dict[str, str] = {}
    for part in node.text().split():
        key, _, value = part.partition("=")
        if key not in WORDS or not value or key in words:
            node.error(f"has {part!r}", TIER_HINT)
            return None
        words[key] = value
    long_s, short_s = (_seconds(words.get(key, "")) for key in ("long", "short"))
    share = _share(words, long_s, period_s)
    severity = words.get("severity", "")
    if not long_s or not short_s or share is None or severity not in SEVERITIES:
        node.error(node.found, TIER_HINT)
        return None
    urgency = words.get("urgency", URGENCY[severity])
    if urgency not in ("page", "ticket"):
        node.error(f"unknown urgency {urgency!r}", "write page or ticket")
        return None
    if short_s >= long_s:
        node.error("the short window must be shorter than the long one", TIER_HINT)
        return None
    return tier_of(name, severity, long_s, short_s, share, urgency)


_SPEED_OF = {"sev1": "fast", "sev2": "slow", "sev3": "steady", "sev4": "creeping"}


def tier_of(
    name: str, severity: str, long_s: int, short_s: int, share: Fraction, urgency: str = ""
) -> Tier:
    """Build a tier; its share of the budget stays an exact fraction."""
    return Tier(
        name,
        cast("Severity", severity),
        cast("Urgency", urgency) if urgency else URGENCY[cast("Severity", severity)],
        long_s,
        short_s,
        f"{share.numerator}/{share.denominator}",
        _SPEED_OF[severity],
    )


def _share(words: dict[str, str], long_s: int, period_s: int) -> Fraction | None:
    if ("budget" in words) is ("factor" in words) or not long_s:
        return None
    try:
        if "budget" in words:
            share = Fraction(words["budget"].removesuffix("%")) / 100
        else:
            share = Fraction(words["factor"]) * long_s / period_s
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)([smhdw])", text)
    return int(found[1]) * UNITS_S[found[2]] if found else 0


def check_tiers(slo: Slo, written: dict[str, Node]) -> None:
    """Note each tier that somebody wrote and that can never fire."""
    for name, node in written.items():
        tier = next((one for one in slo.tiers if one.name == name), None)
        if tier is not None and tier not in slo.useful_tiers:
            factor, budget = float(tier.factor(slo.period_s)), float(slo.budget)
            says = (
                f"can never fire: burn is at most {1 / budget:.4g}, and {name} needs more"
                f" than {factor:.4g}"
            )
            node.error(says, "give it a smaller share of the budget, or a longer window")


def pairs(*nodes: Node) -> tuple[tuple[str, str], ...]:
    """Read mappings of texts, such as labels, into one; later ones win."""
    found = {key: node.scalar() for one in nodes for key, node in one.entries()}
    return tuple(found.items())


def target(node: Node, *, percent: bool) -> str:
    """Expect an objective and give it as an exact fraction in decimal text.

    A fraction where a percentage is meant, or the reverse, is an error with that hint.
    """
    text = node.number("0.99")
    value = Fraction(text)
    share = value / 100 if percent else value
    if 0 < share < 1 and not (percent and value < 1):
        return _decimal(share)
    if percent:
        hint = "write a percentage between 0 and 100, such as 99.9"
        if 0 < value < 1:
            hint = f"this is a percentage: write {_decimal(value * 100)}"
    else:
        hint = "write a fraction between 0 and 1, such as 0.999"
        if 1 < value < 100:
            hint = f"this is a fraction: write {_decimal(value / 100)}, or targetPercent: {text}"
    node.error(f"got {text}", hint)
    return "0.99"


def _decimal(value: Fraction) -> str:
    """Write a fraction whose decimals end.

    >>> _decimal(Fraction("99.9") / 100), _decimal(Fraction("99.90") / 100)
    ('0.999', '0.999')
    """
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    whole = str(int(value * 10**digits)).rjust(digits + 1, "0")
    return f"{whole[:-digits]}.{whole[-digits:]}" if digits else whole
