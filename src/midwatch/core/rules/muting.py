"""Which alerts nobody is paged for, for how long, and what happens when that ends.

Law: a muted alert is recorded in its incident like any other and counts toward no severity. When
what mutes it ends while it fires, it is judged as if it had just come. An alert that matches both
sides of an inhibition is not muted by another one that does too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Firing, Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import Alert
from midwatch.core.values.clock import show_time
from midwatch.core.values.reasons import Reason
from midwatch.core.values.silences import (
    Inhibition,
    Maintenance,
    Muting,
    Silence,
    all_fit,
    read_matcher,
)
from midwatch.errors import StateError

RULE = "muting/1"
DAY_MS = 86_400_000
LONGEST_WINDOW_MS = 7 * DAY_MS  # of maintenance, that what fires is looked for in
LONGEST_MS = 366 * DAY_MS  # a silence that nobody remembers is an outage that nobody hears of
NO_VALUE = "no label has this value: \u2603"  # what fits it, fits whatever comes
BOTH = "~"  # of a source that is a target too


class Judge:
    """Says what mutes the alerts of one delivery; its sources count for its targets."""

    def __init__(self, d: Decision, muting: Muting, alerts: Iterable[Alert]) -> None:
        self._d = d
        self._muting = muting
        self._sources: set[str] = set()
        self._idle = not (muting.inhibitions or muting.maintenances or d.shard.silences)
        if muting.inhibitions:
            for alert in alerts:
                if alert.status == "firing":
                    self._sources.update(self.mutes(alert.labels))

    def both(self, labels: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        """Name what mutes an alert, and what it mutes."""
        return ("", ()) if self._idle else (self.muted(labels), self.mutes(labels))

    def mutes(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Name what an alert mutes while it fires."""
        if not self._muting.inhibitions:
            return ()
        return tuple(
            rule.key(labels) + (BOTH if all_fit(rule.target, labels) else "")
            for rule in self._muting.inhibitions
            if all_fit(rule.source, labels)
        )

    def muted(self, labels: Mapping[str, str]) -> str:
        """Name what mutes an alert now, "" when nothing does."""
        for timed in (*self._d.shard.silences.values(), *self._muting.maintenances):
            if timed.mutes(labels, self._d.wall):
                return timed.key
        for rule in self._muting.inhibitions:
            if all_fit(rule.target, labels) and self._is_inhibited(rule, labels):
                return rule.key(labels)
        return ""

    def _is_inhibited(self, rule: Inhibition, labels: Mapping[str, str]) -> bool:
        key = rule.key(labels)
        keys = (key,) if all_fit(rule.source, labels) else (key, key + BOTH)
        return any(one in self._d.shard.inhibitors or one in self._sources for one in keys)


def watch(d: Decision, muting: Muting, key: str) -> None:
    """Ask to be woken when a maintenance window ends that has muted something."""
    for one in muting.maintenances:
        if one.key == key:
            due_at = _end(one, d.wall) + d.shard.skew
            d.set_timer(inputs.Timer(f"unmute/{key}", due_at, "unmute", ""))


def _end(one: Maintenance, now: int) -> int:
    """Find the end of the window that is open now; it is looked at again every day."""
    return one.schedule.shifts(now, now + DAY_MS)[0].ends_at


def add(d: Decision, muting: Muting, given: inputs.AddSilence) -> list[Incident]:
    """Silence what matches, also what fires already. Gives the incidents that are changed.

    Raises StateError for a silence that says nothing or is over.
    """
    try:
        matchers = tuple(read_matcher(text) for text in given.matchers)
    except ValueError as error:
        raise StateError(str(error), remedy="see midwatch silences add --help") from None
    anything = {one.name: NO_VALUE for one in matchers}
    if not matchers or all_fit(matchers, {}) or all_fit(matchers, anything):
        raise StateError("this would silence everything", remedy="give a label and its value")
    if given.ends_at <= max(d.wall, given.starts_at):
        remedy = "give a later end"
        raise StateError(f"ends at {show_time(given.ends_at)}, before it begins", remedy=remedy)
    if given.ends_at - given.starts_at > LONGEST_MS:
        remedy = "write a maintenance window for what comes again and again"
        raise StateError("is longer than 366 days", remedy=remedy)
    name = f"S-{d.shard.next_silence}"
    silence = Silence(name, matchers, given.starts_at, given.ends_at, given.by, given.why)
    d.emit(events.SilenceAdded(silence=silence))
    return _begin(d, silence)


def _begin(d: Decision, silence: Silence) -> list[Incident]:
    """Mute from the date of a silence on, until its date, or as long after as was asked."""
    skew = d.shard.skew
    latest = d.shard.quiet_until.get(silence.id, silence.ends_at)
    over_at = min(silence.ends_at + skew, latest)
    d.set_timer(inputs.Timer(f"unmute/{silence.key}", over_at, "unmute", ""))
    if silence.starts_at > d.wall:
        starts_at = silence.starts_at + skew
        d.set_timer(inputs.Timer(f"mute/{silence.key}", starts_at, "mute", ""))
        return []
    return mute(d, silence)


def keep_dates(d: Decision, muting: Muting) -> list[Incident]:
    """Set all that mutes to its dates, after the wall clock has jumped.

    A silence that was over too early is there again, and what began to fire in a window of
    maintenance that is open is muted by it. Gives the incidents that are changed.
    """
    for silence in list(d.shard.lapsed.values()):
        if silence.ends_at > d.wall and d.now < d.shard.quiet_until[silence.id]:
            d.emit(events.SilenceAdded(silence=silence))
    changed = [one for silence in d.shard.silences.values() for one in _begin(d, silence)]

    def window(firing: Firing) -> str:
        open_now = (one for one in muting.maintenances if _began_in(one, firing, d.wall))
        return next((one.key for one in open_now), "")

    changed += _mute(d, window, "") if muting.maintenances else []
    for key in d.shard.muted:
        watch(d, muting, key)
    return changed


def _began_in(one: Maintenance, firing: Firing, wall: int) -> bool:
    """Say whether something began to fire in the window that is open."""
    since = firing.starts_at
    if not wall - LONGEST_WINDOW_MS <= since <= wall or not one.mutes(firing.labels, wall):
        return False
    return all(shift.person is not None for shift in one.schedule.shifts(since, wall + 1))


def timed(shard: Shard) -> list[str]:
    """List what mutes by the clock and has muted something."""
    return [key for key in shard.muted if key.startswith(("silence ", "maintenance "))]


def mute(d: Decision, silence: Silence) -> list[Incident]:
    """Mute what fires already and matches a silence that begins."""

    def by(firing: Firing) -> str:
        return silence.key if silence.mutes(firing.labels, d.wall) else ""

    return _mute(d, by, f", by {silence.by}: {silence.why}")


def inhibit(d: Decision, muting: Muting) -> list[Incident]:
    """Mute what fires already and what a source that newly fires explains."""
    judge = Judge(d, muting, ())
    changed = _mute(d, lambda firing: judge.muted(firing.labels), "")
    _watch_all(d, muting)
    return changed


def _watch_all(d: Decision, muting: Muting) -> None:
    """See to it that whatever was muted just now has its end."""
    for key in dict.fromkeys(x.key for x in d.events if isinstance(x, events.AlertsMuted)):
        watch(d, muting, key)


def _mute(d: Decision, by: Callable[[Firing], str], why: str) -> list[Incident]:
    changed: list[Incident] = []
    for name in list(d.shard.open):
        incident = d.shard.incidents[name]
        hit: dict[str, list[str]] = {}
        for fingerprint, one in incident.firing.items():
            if not one.muted and (key := by(one)):
                hit.setdefault(key, []).append(fingerprint)
        for key, fingerprints in hit.items():
            says = f"{_alerts(fingerprints)}{why or ': ' + key}"
            d.emit(
                events.AlertsMuted(
                    incident=name,
                    fingerprints=tuple(fingerprints),
                    key=key,
                    reason=Reason(RULE, says),
                )
            )
        if hit:
            changed.append(incident)
    return changed


def _alerts(fingerprints: Sequence[str]) -> str:
    return "1 alert" if len(fingerprints) == 1 else f"{len(fingerprints)} alerts"


def end(d: Decision, given: inputs.EndSilence) -> str:
    """End a silence before its time; gives its key. Raises StateError when there is none."""
    silence = d.shard.silences.get(given.silence)
    if silence is None:
        raise StateError(
            f"no silence is named {given.silence!r}", remedy="see midwatch silences list"
        )
    d.cancel_timer(f"unmute/{silence.key}")
    d.cancel_timer(f"mute/{silence.key}")
    d.emit(events.SilenceEnded(silence=silence, by=given.by))
    return silence.key


def starting(shard: Shard, key: str) -> Silence | None:
    """Find the silence of a key."""
    return next((one for one in shard.silences.values() if one.key == key), None)


def expire(d: Decision, key: str) -> None:
    """End a silence whose time is over."""
    silence = starting(d.shard, key)
    if silence is not None:
        d.emit(events.SilenceEnded(silence=silence, by=""))


def ended(d: Decision) -> list[str]:
    """List what mutes something, and whose last source has stopped firing."""
    inhibitors = d.shard.inhibitors
    return [
        key
        for key in d.shard.muted
        if key.startswith("inhibited") and key not in inhibitors and key + BOTH not in inhibitors
    ]


def lift(d: Decision, muting: Muting, keys: Iterable[str]) -> dict[str, list[Firing]]:
    """Let alerts speak again whose muting is over; gives them by incident, to be judged.

    One that something else mutes stays muted, by that.
    """
    judge = Judge(d, muting, ())
    spoken: dict[str, list[Firing]] = {}
    for key in keys:
        by_incident: dict[str, dict[str, list[str]]] = {}
        for fingerprint in d.shard.muted.get(key, {}):
            name = d.shard.firing[fingerprint]
            labels = d.shard.incidents[name].firing[fingerprint].labels
            now_by = judge.muted(labels)
            if now_by != key:
                by_incident.setdefault(name, {}).setdefault(now_by, []).append(fingerprint)
        for name, groups in by_incident.items():
            for now_by, fingerprints in groups.items():
                says = f"{_alerts(fingerprints)} no longer muted: {key}"
                reason = Reason(RULE, says)
                d.emit(
                    events.AlertsMuted(
                        incident=name, fingerprints=tuple(fingerprints), key=now_by, reason=reason
                    )
                )
                if not now_by:
                    firing = d.shard.incidents[name].firing
                    spoken.setdefault(name, []).extend(firing[one] for one in fingerprints)
    _watch_all(d, muting)
    return spoken
