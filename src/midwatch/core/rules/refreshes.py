"""Alerts that fire already, when they come again: what they say now, and whether that is news.

Law: a refresh that says the same writes nothing. Another level, text, runbook or a later start is
noted with the firing that is there: nothing has ended and nothing else began, so there is no
recovery, no second incident and no page for a later start alone. A worse level is news, though key
and start are old; a better one lowers what is said of it, and takes back no page. An alert of
another service under the same key is another one. What mutes an alert is asked again when its
labels are others, and so is what it mutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, structs

from midwatch.core.rules import muting
from midwatch.core.state import events
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Firing, Incident, is_open
from midwatch.core.state.members import is_new_link, is_new_text
from midwatch.core.values.alerts import RANK, Alert
from midwatch.core.values.reasons import Reason
from midwatch.core.values.silences import Muting

RULE = "refreshes/1"


class Known(Struct, frozen=True):
    """What is left to be placed, and by incident what fires already and is worse than it was."""

    rest: tuple[Alert, ...]
    worse: dict[str, list[Alert]]


def take(
    d: Decision, muted: Muting, alerts: Iterable[Alert], wakes: Callable[[Alert], bool]
) -> Known:
    """Note what alerts that fire already say now; gives the others, and what is worse.

    `wakes` says whether an alert would wake anybody by itself.
    """
    alerts = tuple(alerts)
    changed: dict[str, dict[str, Alert]] = {}
    taken: set[int] = set()
    for alert in alerts:
        home = _home(d, alert)
        if home is None:
            continue
        incident = d.shard.incidents[home]
        one = incident.firing[alert.fingerprint]
        if alert.service != one.service:
            d.emit(events.AlertsResolved(incident=home, fingerprints=(alert.fingerprint,)))
        elif _says_more(one, alert, incident) and _is_of_now(d, one, alert):
            changed.setdefault(home, {})[alert.fingerprint] = alert
            taken.add(id(alert))
    worse: dict[str, list[Alert]] = {}
    for home, found in changed.items():
        worse[home] = _note(d, muted, home, found, wakes)
    rest = tuple(alert for alert in alerts if id(alert) not in taken) if taken else alerts
    return Known(rest, {home: some for home, some in worse.items() if some})


def _home(d: Decision, alert: Alert) -> str | None:
    """Name the open incident that an alert fires in already."""
    if alert.status != "firing":
        return None
    home = d.shard.firing.get(alert.fingerprint)
    return home if home is not None and is_open(d.shard.incidents[home]) else None


def _is_of_now(d: Decision, one: Firing, alert: Alert) -> bool:
    """Say whether it is no late word of an earlier firing: a worse level counts all the same."""
    return alert.starts_at >= one.starts_at or RANK[alert.level] < RANK[one.level]


def _says_more(one: Firing, alert: Alert, incident: Incident) -> bool:
    if alert.level != one.level or alert.starts_at > one.starts_at:
        return True
    return is_new_link(incident, alert) or is_new_text(incident, alert)


def _note(
    d: Decision,
    muted: Muting,
    home: str,
    found: dict[str, Alert],
    wakes: Callable[[Alert], bool],
) -> list[Alert]:
    """Write down what is said now; gives what is worse, and what nothing mutes."""
    firing = d.shard.incidents[home].firing
    before = {name: firing[name] for name in found}
    levels = {one.name: f"{before[name].level} -> {one.level}" for name, one in found.items()}
    raised = {name: says for name, says in levels.items() if len(set(says.split(" -> "))) > 1}
    says = ", ".join(f"{name or 'alert'}: {how}" for name, how in raised.items())
    reason = Reason(RULE, says or _other_words(before, found))
    calm = tuple(
        name
        for name, one in found.items()
        if RANK[one.level] > RANK[before[name].level] and not wakes(one)
    )
    judge = muting.Judge(d, muted, ())
    mutes = tuple(judge.mutes(one.labels) for one in found.values())
    same = mutes == tuple(before[name].mutes for name in found)
    changed = tuple(found.values())
    d.emit(
        events.AlertsChanged(
            incident=home, alerts=changed, reason=reason, mutes=() if same else mutes, calm=calm
        )
    )
    worse: list[Alert] = []
    for name, alert in found.items():
        key = judge.muted(alert.labels) if alert.labels != before[name].labels else None
        if key is not None and key != before[name].muted:
            why = Reason(RULE, f"its labels changed: {key or 'nothing mutes it now'}")
            d.emit(events.AlertsMuted(incident=home, fingerprints=(name,), key=key, reason=why))
            muting.watch(d, muted, key)
        still = d.shard.incidents[home].firing[name]
        if RANK[alert.level] < RANK[before[name].level] and not still.muted:
            worse.append(structs.replace(alert, severity=still.severity))
    return worse


def _other_words(before: dict[str, Firing], found: dict[str, Alert]) -> str:
    if any(alert.starts_at > before[name].starts_at for name, alert in found.items()):
        return "the same firing with a later start"
    names = ", ".join(dict.fromkeys(one.name or "alert" for one in found.values()))
    return f"{names}: the same firing with other texts"
