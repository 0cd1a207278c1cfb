"""Where one alert is and why; and where one that has not come yet would go.

Law: read only. The first is told from the events that were written, the second by the production
decision on a copy of the state, of which nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct, field, structs

from midwatch.core.decide import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state import shard as shards
from midwatch.core.state.decision import Decision
from midwatch.core.state.inputs import AlertsArrived, TimerCameDue
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import Alert
from midwatch.core.values.clock import show_time
from midwatch.core.values.reasons import Reason
from midwatch.core.values.skews import Skews
from midwatch.engine.placing import Waits, is_played, news_at
from midwatch.ports import Audit

_ABOUT = (e.AlertsAttached.__name__, e.AlertsMoved.__name__)
# For whoever asked for what is no alert, such as an incident.
NAMED = (
    "give an alert's name or fingerprint; midwatch incidents show INC-1 lists an incident's alerts"
)
_decode: msgspec.json.Decoder[e.Event] = msgspec.json.Decoder(e.Event)


class AlertPlace(Struct, frozen=True):
    """One alert, its incident, and the record of how it came there; times as text."""

    fingerprint: str
    name: str
    service: str
    level: str
    summary: str
    started_at: str
    incident: str
    at: str
    why: Reason
    muted: str = ""
    moved: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict[str, str])


def find(audit: Audit, skews: Skews, wanted: str) -> AlertPlace | None:
    """Find the newest firing of an alert, by its fingerprint or by its name; None without any.

    Whether it is muted is told as it was then. It may take its time.
    """
    found: AlertPlace | None = None
    moved: list[str] = []
    written = msgspec.json.encode(wanted)[1:-1]  # as it stands in a body: a quote has a backslash
    for row, _ in audit.rows():
        if row.type not in _ABOUT or (found is None and written not in row.body):
            continue
        event = _decode.decode(row.body)
        if isinstance(event, e.AlertsAttached):
            for item in event.attached:
                if wanted in (item.alert.fingerprint, item.alert.name):
                    found, moved = _place(event, item, skews.shown(row.at)), []
        elif isinstance(event, e.AlertsMoved) and found and found.fingerprint in event.fingerprints:
            at = show_time(skews.shown(row.at))
            moved.append(f"{at}  to {event.to}: {event.reason.says}")
            found = structs.replace(found, incident=event.to)
    return structs.replace(found, moved=tuple(moved)) if found is not None else None


def muted_now(shard: Shard, found: AlertPlace) -> AlertPlace:
    """Say whether it is muted now, if it still fires."""
    incident = shard.incidents.get(found.incident)
    firing = incident.firing.get(found.fingerprint) if incident else None
    return structs.replace(found, muted=firing.muted) if firing else found


def _place(event: e.AlertsAttached, item: e.Attachment, at: int) -> AlertPlace:
    alert = item.alert
    return AlertPlace(
        alert.fingerprint,
        alert.name,
        alert.service,
        alert.level,
        alert.summary,
        show_time(alert.starts_at),
        event.incident,
        show_time(at),
        event.reason_of(item),
        item.muted,
        (),
        alert.labels,
    )


class Routed(Struct, frozen=True):
    """What would follow from an alert: the incident, how bad it would be, and who is paged.

    `covered` says why nobody is, when somebody who was paged before knows of it.
    """

    alert: str
    incident: str
    is_new: bool
    why: Reason | None
    muted: str
    severity: str
    says: str
    policy: str
    pages: tuple[str, ...]
    covered: str = ""


def route(shard: Shard, rules: Rules, alerts: Sequence[Alert], now: int) -> list[Routed]:
    """Decide on alerts on a copy of the state: the first one comes now, by the wall clock.

    The others come as much later as they say themselves, in that order; gives them as they came in.
    """
    copy = shards.load(shards.dump(shard))
    before = set(copy.incidents)
    order = sorted(range(len(alerts)), key=lambda n: (news_at(alerts[n]), n))
    first = news_at(alerts[order[0]]) if order else 0
    found: dict[int, Routed] = {}
    waits = Waits()
    for n in order:
        alert = alerts[n]
        at = now + shard.skew + news_at(alert) - first
        for timer in waits.due(at):
            if is_played(copy, timer):
                waits.take(decide(copy, TimerCameDue(timer), timer.due_at, rules))
        decision = decide(copy, AlertsArrived("route test", (alert,)), at, rules)
        waits.take(decision)
        found[n] = _routed(copy, rules, alert, decision, before)
        before = set(copy.incidents)
    return [found[n] for n in range(len(alerts))]


def _routed(
    copy: Shard, rules: Rules, alert: Alert, decision: Decision, before: set[str]
) -> Routed:
    named = f"{alert.name or 'alert'} on {alert.service or 'unknown service'}"
    home = copy.firing.get(alert.fingerprint, "")
    incident = copy.incidents.get(home)
    why, muted, severity, says, covered = None, "", "", "", ""
    policies: dict[str, None] = {}
    pages: list[str] = []
    for event in decision.events:
        match event:
            case e.AlertsAttached():
                (item,) = event.attached
                why, muted = event.reason_of(item), item.muted
            case e.SeverityDeclared():
                severity, says = event.severity, event.reason.says
            case e.NewsJudged():
                covered = "" if event.pages else event.reason.says
            case e.IncidentGrew() | e.AlertsChanged():
                says = event.reason.says
            case e.PageWaits():
                covered = covered or event.reason.says
            case e.GrowthHeld():
                at = show_time(copy.shown(event.until))
                when = f"at {at}" if event.until else "in the page that is being held"
                pages.append(f"whoever has it, {when}")
            case e.PagePlanned() | e.PageHeld():
                policies[event.policy] = None
                held = isinstance(event, e.PageHeld)
                when = f"at {show_time(copy.shown(event.until))}" if held else "now"
                pages.append(f"{event.to} by {event.via or 'the first pager'}, {when}")
            case _:
                pass
    policy = ", ".join(policies)
    if incident is not None:
        severity = severity or incident.severity or ""
        policy = policy or rules.policy_of(incident).name
    if not decision.events:
        says = (
            "nothing follows: it is already firing" if home else "nothing follows: it is not firing"
        )
    return Routed(
        named,
        home,
        bool(home) and home not in before,
        why,
        muted,
        severity,
        says,
        policy,
        tuple(pages),
        covered,
    )
