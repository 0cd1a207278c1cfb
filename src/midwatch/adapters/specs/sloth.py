"""Sloth: `version: prometheus/v1` files, the same as a Kubernetes object, and AlertWindows.

Law: what Sloth would compute is what is asked: its queries are put to the backend as they stand,
with `{{.window}}` filled in. What is not read is an error, never ignored.
"""

from __future__ import annotations

import re
from fractions import Fraction

from msgspec import Struct, structs

from midwatch.adapters.specs.settings import (
    PREFIX,
    Defaults,
    Found,
    Query,
    check_tiers,
    pairs,
    settings,
    target,
    tier_of,
)
from midwatch.core.values.sli import Indicator
from midwatch.core.values.slo import Extras, Slo, Tier
from midwatch.yaml_nodes import Node

WINDOW = re.compile(r"{{\s*\.window\s*}}")
# (urgency, speed) -> (name, severity)
NAMES = {
    ("page", "quick"): ("PageQuick", "sev1"),
    ("page", "slow"): ("PageSlow", "sev2"),
    ("ticket", "quick"): ("TicketQuick", "sev3"),
    ("ticket", "slow"): ("TicketSlow", "sev4"),
}


class Spelling(Struct, frozen=True):
    """How keys are spelled: with underscores in files, in camel case in Kubernetes objects."""

    error: str = "error_query"
    total: str = "total_query"
    ratio: str = "error_ratio_query"
    page: str = "page_alert"
    ticket: str = "ticket_alert"


KUBERNETES = Spelling("errorQuery", "totalQuery", "errorRatioQuery", "pageAlert", "ticketAlert")


def alert_windows(root: Node) -> tuple[int, tuple[Tier, ...]]:
    """Read an AlertWindows document: the period, and its tiers."""
    root.keys("apiVersion", "kind", "metadata", "spec", required=("spec",))
    spec = root.child("spec")
    spec.keys("sloPeriod", "page", "ticket", required=("sloPeriod", "page", "ticket"))
    period_s = spec.child("sloPeriod").duration_s(Defaults().period_s)
    tiers: list[Tier] = []
    for (urgency, speed), (name, severity) in NAMES.items():
        group = spec.child(urgency)
        if group.value is not None:
            group.keys("quick", "slow", required=("quick", "slow"))
        node = group.child(speed)
        if node.value is None:
            continue
        words = ("errorBudgetPercent", "shortWindow", "longWindow")
        node.keys(*words, required=words)
        share = Fraction(node.child("errorBudgetPercent").number("1")) / 100
        long_s = node.child("longWindow").duration_s(3_600)
        short_s = node.child("shortWindow").duration_s(300)
        if share <= 0:
            node.child("errorBudgetPercent").error(
                "must be above 0", "write a percentage such as 2"
            )
        elif short_s >= long_s:
            node.child("shortWindow").error(
                "must be shorter than longWindow", "write a twelfth of it, such as 5m for 1h"
            )
        else:
            tiers.append(tier_of(name, severity, long_s, short_s, share, urgency))
    return period_s, tuple(tiers)


def slos(root: Node, defaults: Defaults) -> list[Found]:
    """Read the objectives of a document."""
    if root.has("version"):
        root.keys(
            "version", "service", "labels", "slos", "slo_plugins", required=("service", "slos")
        )
        return _slos(root, defaults, Spelling())
    root.keys("apiVersion", "kind", "metadata", "spec", required=("spec",))
    spec = root.child("spec")
    spec.keys("service", "labels", "slos", "sloPlugins", required=("service", "slos"))
    return _slos(spec, defaults, KUBERNETES)


def _slos(spec: Node, defaults: Defaults, spelled: Spelling) -> list[Found]:
    for key in ("slo_plugins", "sloPlugins"):
        if spec.has(key):
            spec.child(key).error("not supported", "only Sloth runs plugins; remove it")
    service = spec.child("service")
    if spec.has("slos") and spec.child("slos").value in (None, []):
        spec.child("slos").error("the list is empty", "write at least one objective")
    labels = spec.child("labels")
    return [_slo(node, service, labels, defaults, spelled) for node in spec.child("slos").items()]


def _slo(node: Node, service: Node, labels: Node, defaults: Defaults, spelled: Spelling) -> Found:
    node.keys(
        "name",
        "objective",
        "description",
        "labels",
        "sli",
        "alerting",
        "plugins",
        required=("name", "objective", "sli"),
    )  # fmt: skip, since one key a line would hide what belongs together
    if node.has("plugins"):
        node.child("plugins").error("not supported", "only Sloth runs plugins; remove it")
    alerting = node.child("alerting")
    if alerting.value is not None:
        alerting.keys("name", "labels", "annotations", spelled.page, spelled.ticket)
    own = settings([alerting.child("annotations")], defaults, defaults.period_s)
    tiers = tuple(
        tier
        for tier in own.tiers
        if not _is_off(alerting.child(spelled.page if tier.urgency == "page" else spelled.ticket))
    )
    indicator, queries = _indicator(node.child("sli"), spelled)
    page, ticket = alerting.child(spelled.page), alerting.child(spelled.ticket)
    slo = Slo(
        f"{service.text()}/{node.child('name').text()}",
        service.text(),
        target(node.child("objective"), percent=True),
        defaults.period_s,
        tiers,
        "" if indicator.kind == "ratio" else own.proof,
        own.quiet_s,
        indicator,
        Extras(
            alert=alerting.child("name").text(default=""),
            labels=pairs(labels, node.child("labels")),
            annotations=_notes(alerting),
            page_labels=pairs(alerting.child("labels"), page.child("labels")),
            page_annotations=_notes(page),
            ticket_labels=pairs(alerting.child("labels"), ticket.child("labels")),
            ticket_annotations=_notes(ticket),
        ),
    )
    check_tiers(slo, own.written)
    return Found(slo, node.child("name"), service, queries)


def _notes(alert: Node) -> tuple[tuple[str, str], ...]:
    """Read annotations but for midwatch's own."""
    found = pairs(alert.child("annotations"))
    return tuple((key, value) for key, value in found if not key.startswith(PREFIX))


def _is_off(alert: Node) -> bool:
    if alert.value is None:
        return False
    alert.keys("disable", "labels", "annotations")
    disable = alert.child("disable")
    if disable.value not in (None, True, False):
        disable.error(disable.found, "write true or false")
    return disable.value is True


def _indicator(sli: Node, spelled: Spelling) -> tuple[Indicator, tuple[Query, ...]]:
    if sli.value is None:
        return Indicator("increase"), ()
    sli.keys("events", "raw", "plugin")
    named = [key for key in ("events", "raw", "plugin") if sli.has(key)]
    if sli.has("plugin"):
        sli.child("plugin").error(
            "not supported", "only Sloth runs plugins; write events with its two queries"
        )
    elif len(named) != 1:
        sli.error(f"got {len(named)} kinds", "write either events or raw")
    elif named == ["events"]:
        events = sli.child("events")
        events.keys(spelled.error, spelled.total, required=(spelled.error, spelled.total))
        bad, total = _query(events.child(spelled.error)), _query(events.child(spelled.total))
        return Indicator("increase", bad=bad.text, total=total.text), (bad, total)
    else:
        raw = sli.child("raw")
        raw.keys(spelled.ratio, required=(spelled.ratio,))
        bad = _query(raw.child(spelled.ratio))
        return Indicator("ratio", bad=bad.text), (bad,)
    return Indicator("increase"), ()


def _query(node: Node) -> Query:
    text = node.text()
    if text and not WINDOW.search(text):
        node.error("{{.window}} is missing", "write the range as [{{.window}}]")
    # What is missing is said already.
    return Query(WINDOW.sub("{{.window}}", text), node, promql=bool(text))


def with_period(defaults: Defaults, windows: list[tuple[int, tuple[Tier, ...]]]) -> Defaults:
    """Take the windows of the period; the only AlertWindows there are choose the period too."""
    if len(windows) == 1:
        return structs.replace(defaults, period_s=windows[0][0], tiers=windows[0][1])
    for period_s, tiers in windows:
        if period_s == defaults.period_s:
            return structs.replace(defaults, tiers=tiers)
    return defaults
