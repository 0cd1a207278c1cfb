"""`midwatch correlate`: alerts from a file into incidents, through the production code."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
import msgspec

from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.core import causes
from midwatch.core.alerts import Alert
from midwatch.core.clock import show_time
from midwatch.core.decide import Rules, decide
from midwatch.core.events import AlertsAttached
from midwatch.core.incidents import Incident
from midwatch.core.inputs import AlertsArrived
from midwatch.core.reasons import Reason
from midwatch.core.shard import Shard
from midwatch.errors import InputError

STDIN = "<stdin>"


@click.command("correlate")
@click.option("--summary", is_flag=True, help="Print the storm as a person wants to read it.")
def command(summary: bool) -> int:
    """Read alerts from standard input and say which incident each belongs to.

    Understood are Alertmanager's webhook, its /api/v2/alerts answer, a JSON array of such alerts,
    and one alert a line. Prints one JSON line for each alert, in the order of the input:
    {"incident": ID, "causes": [service, ...], "why": {...}}. The call graph is not known here, so
    alerts are grouped by service and time, and each reason says so.

    Example: midwatch correlate --summary < alerts.jsonl
    """
    if sys.stdin.isatty():
        raise InputError("no alerts came in", remedy="midwatch correlate < alerts.jsonl")
    alerts = AlertmanagerSource().parse_file(sys.stdin.buffer.read(), STDIN)
    rules = Rules()
    shard, placed = place_all(alerts, rules)
    lines = _summary(alerts, shard, placed, rules) if summary else _lines(shard, placed, rules)
    for line in lines:
        click.echo(line)
    return 0


def place_all(alerts: list[Alert], rules: Rules) -> tuple[Shard, list[tuple[str, Reason]]]:
    """Decide on each alert in the order of time; gives incident and reason in the input's order.

    A resolved alert, and one that fires already, is told where its fingerprint was put; a resolved
    one that never fired opens nothing and gets the incident "".
    """
    shard = Shard()
    where: dict[str, tuple[str, Reason]] = {}
    placed: list[tuple[str, Reason]] = [("", Reason("correlate/1", ""))] * len(alerts)
    # A resolved alert is news at its end, whatever its start: it must find the incident open.
    order = sorted(
        range(len(alerts)), key=lambda n: (_news_at(alerts[n]), alerts[n].fingerprint, n)
    )
    for index in order:
        alert = alerts[index]
        given = AlertsArrived("file", (alert,))
        decision = decide(shard, given, _news_at(alert), rules)
        for event in decision.events:
            if isinstance(event, AlertsAttached):
                where[alert.fingerprint] = (event.incident, event.attached[0].reason)
        unknown = ("", Reason("correlate/1", "resolved, and was never seen firing"))
        placed[index] = where.get(alert.fingerprint, unknown)
    return shard, placed


def _news_at(alert: Alert) -> int:
    if alert.status == "resolved" and alert.ends_at is not None:
        return alert.ends_at
    return alert.starts_at


def _causes(incident: Incident | None, rules: Rules) -> list[str]:
    return causes.rank(incident.services, rules.topology) if incident else []


def _lines(shard: Shard, placed: list[tuple[str, Reason]], rules: Rules) -> Iterable[str]:
    for name, why in placed:
        found = _causes(shard.incidents.get(name), rules)
        yield msgspec.json.encode({"incident": name, "causes": found, "why": why}).decode()


def _summary(
    alerts: list[Alert], shard: Shard, placed: list[tuple[str, Reason]], rules: Rules
) -> Iterable[str]:
    yield f"{len(alerts)} alerts -> {len(shard.incidents)} incidents"
    for incident in shard.incidents.values():
        mine = [
            (a, why) for a, (name, why) in zip(alerts, placed, strict=True) if name == incident.id
        ]
        ranked = _causes(incident, rules)
        cause = ranked[0] if ranked else "unknown"
        why = max((w for _, w in mine), key=lambda w: len(w.terms), default=Reason("", ""))
        names = dict.fromkeys(a.name for a, _ in mine)
        yield (
            f"  {incident.id}: {len(mine)} alerts on {', '.join(incident.services) or '?'};"
            f" cause {cause}; {show_time(incident.first_at)} to {show_time(incident.last_at)}"
        )
        yield f"    {', '.join(names)}; {why.says}"
    lost = sum(1 for name, _ in placed if not name)
    if lost:
        yield f"  {lost} resolved alerts were never seen firing"
