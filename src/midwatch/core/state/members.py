"""What fires in an incident: its alerts, as they join, change, move, are muted and end.

Law: an alert is in one incident. Counts, services and links follow from what fires and has fired; a
merge adds them up, and an undo divides them as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from msgspec.structs import replace

from midwatch.core.state import events as e
from midwatch.core.state import planned
from midwatch.core.state.incidents import (
    ANY,
    COARSE,
    FINE,
    MAX_LINKS,
    MAX_REFS,
    MAX_ROUNDS,
    MAX_SAYS,
    NO_TROUBLE,
    ROUND_S,
    SILENCE,
    Alike,
    Firing,
    Incident,
    Move,
    Part,
    Round,
    Trouble,
    mark_of,
    type_of,
)
from midwatch.core.values.alerts import RANK, Alert
from midwatch.core.values.clock import SECOND
from midwatch.core.values.habits import MAX_TOGETHER
from midwatch.core.values.marks import KEPT_SERVICES
from midwatch.core.values.moments import kept
from midwatch.core.values.templates import text_of
from midwatch.errors import BugError


def _attach(i: Incident, event: e.AlertsAttached, at: int) -> None:
    planned.is_judged(i)
    for item in event.attached:
        alert = item.alert
        one = Firing(
            alert.name,
            alert.service,
            alert.level,
            kept(alert.starts_at, at),
            alert.labels,
            alert.severity,
            item.muted,
            item.mutes,
        )
        _gain(i, alert.fingerprint, one)
        if alert.fingerprint in i.rounds or len(i.rounds) < MAX_ROUNDS:
            last = i.rounds.get(alert.fingerprint)
            soon = last is not None and at - last.at <= ROUND_S * SECOND
            times = last.times + 1 if last else 1
            count = last.count + 1 if last and soon else 1
            i.rounds[alert.fingerprint] = Round(count, at, times)
        _count_text(i, alert)
        i.namespace = i.namespace or alert.namespace
        if is_new_link(i, alert):
            i.links[alert.runbook] = None
        for ref in alert.refs:
            if len(i.refs) < MAX_REFS:
                i.refs[ref] = None


def _changed(i: Incident, event: e.AlertsChanged, at: int) -> None:
    for number, alert in enumerate(event.alerts):
        one = i.firing[alert.fingerprint]
        starts_at = max(one.starts_at, kept(alert.starts_at, at))
        mutes = event.mutes[number] if event.mutes else one.mutes
        i.firing[alert.fingerprint] = replace(
            one, level=alert.level, starts_at=starts_at, labels=alert.labels, mutes=mutes
        )
        trouble = i.troubles[one.service]
        worst = trouble.names.get(one.name)
        if worst is None or RANK[alert.level] < RANK[worst]:
            names = {**trouble.names, one.name: alert.level}
            i.troubles[one.service] = replace(trouble, names=names)
        if is_new_link(i, alert):
            i.links[alert.runbook] = None
        text = text_of(alert)
        alike = i.texts.get(text)
        if alike is not None:
            i.texts[text] = Alike(alike.count, _said(alert))
        elif is_new_text(i, alert):
            i.texts[text] = Alike(1, _said(alert))


def is_new_link(incident: Incident, alert: Alert) -> bool:
    """Say whether an alert names a runbook that none of the incident did, while there is room."""
    links = incident.links
    return bool(alert.runbook) and alert.runbook not in links and len(links) < MAX_LINKS


def is_new_text(incident: Incident, alert: Alert) -> bool:
    """Say whether an alert says what none of the incident did, while there is room."""
    texts = incident.texts
    return bool(alert.summary) and len(texts) < FINE and text_of(alert) not in texts


def _count_text(i: Incident, alert: Alert) -> None:
    text = text_of(alert)
    alike = i.texts.get(text)
    if alike is None and len(i.texts) >= FINE:
        text = alert.name if len(i.texts) < COARSE or alert.name in i.texts else ANY
        alike = i.texts.get(text)
    count = alike.count + 1 if alike is not None else 1
    i.texts[text] = Alike(count, _said(alert))


def _said(alert: Alert) -> str:
    return " ".join(alert.summary.split())[:MAX_SAYS]


def _gain(i: Incident, fingerprint: str, one: Firing) -> None:
    """Count an alert in."""
    if fingerprint in i.firing:
        _lose(i, fingerprint)
    i.firing[fingerprint] = one
    service, at = one.service, one.starts_at
    if at < i.services.setdefault(service, at):
        i.services[service] = at
    trouble = i.troubles.get(service) or NO_TROUBLE
    names, worst = trouble.names, trouble.names.get(one.name)
    if worst is None or RANK[one.level] < RANK[worst]:
        names = dict(names)
        names[one.name] = one.level
    i.troubles[service] = Trouble(trouble.alerts + 1, trouble.firing + 1, names)
    i.wide += not trouble.firing
    if worst is None and len(i.kinds) < MAX_TOGETHER:
        i.kinds.append(type_of(service, one.name))
    i.alert_count += 1
    i.first_at = min(i.first_at, at)
    i.last_at = max(i.last_at, at)


def _lose(i: Incident, fingerprint: str) -> Firing | None:
    """Let an alert fire no longer."""
    one = i.firing.pop(fingerprint, None)
    if one is not None:
        trouble = i.troubles[one.service]
        i.troubles[one.service] = Trouble(trouble.alerts, trouble.firing - 1, trouble.names)
        i.wide -= trouble.firing == 1
    return one


def move(old: Incident, new: Incident, fingerprints: Iterable[str]) -> None:
    """Hand alerts that fire over from one incident to another, with all that they count for."""
    for service, at in old.ended.items():
        if service in old.troubles:
            new.ended[service] = max(at, new.ended.get(service, 0))
    for fingerprint in fingerprints:
        one = _lose(old, fingerprint)
        if one is None:
            raise BugError(f"{fingerprint} does not fire in {old.id}")
        if (asked := old.asking.get(one.service)) is not None:
            new.asking[one.service] = min(asked, new.asking.get(one.service, asked))
        old.alert_count -= 1
        trouble = old.troubles[one.service]
        old.troubles[one.service] = replace(trouble, alerts=trouble.alerts - 1)
        if trouble.alerts == 1:
            del old.troubles[one.service]
            old.asking.pop(one.service, None)
            if one.service != old.service and not old.slo.startswith(f"{one.service}/"):
                old.services.pop(one.service, None)
        _gain(new, fingerprint, one)
        new.began_at = min(new.began_at, one.starts_at)
        _keep_answers(old, new, one.service)


def _keep_answers(old: Incident, new: Incident, service: str) -> None:
    """Let what people stopped and what was tried for a service go along with it.

    What is under way ends with the move, not by its own failure: it may be proposed there again.
    """
    if service in old.by_hand:
        new.by_hand.setdefault(service, old.by_hand[service])
    begun = {
        one.runbook
        for one in old.plans
        if one.state in ("running", "waiting") and not one.stopping and old.acts_for(one) == service
    }
    tried = [one for one in old.tried_on.get(service, ()) if one not in begun]
    if tried:
        known = new.tried_on.get(service, [])
        new.tried_on[service] = [*known, *(one for one in tried if one not in known)]


def join(old: Incident, home: Incident) -> None:
    """Let the harm of an incident count for the one that it was merged into."""
    mine = Part(
        old.opened_at,
        old.first_at,
        old.alert_count,
        tuple(old.services)[:KEPT_SERVICES],
        tuple(old.tickets),
        len(old.pages),
        old.paged_at,
        old.acknowledged_at,
        tuple(old.waits_ms),
    )
    home.parts = {**home.parts, **old.parts, old.id: mine}


def part(old: Incident, home: Incident) -> None:
    """Take that back: each has its own harm again; what came since stays where it came."""
    theirs = home.parts.get(old.id)
    gone = {old.id, *old.parts}
    home.parts = {name: one for name, one in home.parts.items() if name not in gone}
    if theirs is not None:
        home.tickets = [one for one in home.tickets if one not in theirs.tickets]


def speaking(incident: Incident) -> list[Firing]:
    """List the alerts that fire and are not muted."""
    return [one for one in incident.firing.values() if not one.muted]


def _resolve(i: Incident, event: e.AlertsResolved, at: int) -> None:
    for fingerprint in event.fingerprints:
        _lose(i, fingerprint)


def _moved(i: Incident, event: e.AlertsMoved, at: int) -> None:
    if event.kind:
        i.last_move = remembered(event)


def remembered(event: e.AlertsMoved) -> Move | None:
    """Say what may be undone after a move."""
    if event.kind == "undo":
        return None
    return Move(event.kind, event.incident, event.to, event.fingerprints)


def _muted(i: Incident, event: e.AlertsMuted, at: int) -> None:
    for fingerprint in event.fingerprints:
        i.firing[fingerprint] = replace(i.firing[fingerprint], muted=event.key)
    if event.key.startswith(SILENCE):
        i.seen = mark_of(i, at, "mute", event.key)
    if event.key and not i.slo and not i.tickets and not speaking(i):
        # Nobody is looked for; when it speaks again, paging begins anew.
        i.awaits_ack = i.waits = False
        i.growth, i.besides = [], {}
        begin_round(i)


def begin_round(i: Incident) -> None:
    """Let the policy begin with its first step."""
    i.next_step, i.exhausted, i.earlier_pages = 0, False, len(i.pages)


# Each function takes the one event type that stands beside it.
APPLY = cast(
    "dict[type, Callable[[Incident, Any, int], None]]",
    {
        e.AlertsAttached: _attach,
        e.AlertsResolved: _resolve,
        e.AlertsMoved: _moved,
        e.AlertsMuted: _muted,
        e.AlertsChanged: _changed,
    },
)
