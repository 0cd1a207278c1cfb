"""Time and SLIs become inputs.

Law: nothing is decided here. A window that the backend could not answer is left out of the
reading, never filled in.
"""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.core import slo
from midwatch.core.clock import SECOND
from midwatch.core.decide import Rules
from midwatch.core.inputs import Envelope, SliMeasured, Timer, TimerCameDue
from midwatch.core.shard import Shard
from midwatch.core.sli import Counts, FailedAnswer, SliReading
from midwatch.errors import HarnessError
from midwatch.ports import Metrics, Timers


class Watcher:
    """Reads timers and metrics."""

    def __init__(self, timers: Timers, metrics: Metrics | None, rules: Rules) -> None:
        self._timers = timers
        self._metrics = metrics
        self._rules = rules
        self._windows = {
            objective.id: slo.windows_needed(objective, rules.verify_of(objective.id))
            for objective in rules.slos.values()
        }

    def due_timers(self, now: int) -> list[Envelope]:
        """Wake what is due; a timer's key and time make it one input."""
        return [_came_due(timer) for timer in self._timers.due(now)]

    def readings(self, shard: Shard, now: int) -> list[Envelope]:
        """Read every objective once. A reading may be lost: the next one says it again."""
        if self._metrics is None:
            return []
        return [
            Envelope("", SliMeasured(self._read(self._metrics, objective, shard, now)))
            for objective in self._rules.slos.values()
        ]

    def _read(self, metrics: Metrics, objective: slo.Slo, shard: Shard, now: int) -> SliReading:
        needed = self._windows[objective.id]
        since = {
            incident_id: (now - incident.first_at) // SECOND
            for incident_id in shard.open
            if (incident := shard.incidents[incident_id]).slo == objective.id
        }
        counts = _counts(metrics, objective.id, (*needed, *since.values()), now)
        windows = {w: counts[w] for w in needed if w in counts}
        shortest = windows.get(needed[0])
        failures = (
            _failures(metrics, objective.id, needed[0], now) if shortest and shortest.bad else ()
        )
        totals = {name: counts[w] for name, w in since.items() if w in counts}
        return SliReading(objective.id, now, windows, failures, totals)


def _counts(metrics: Metrics, slo_id: str, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
    try:
        return metrics.counts(slo_id, windows_s, now)
    except HarnessError:
        return {}


def _failures(metrics: Metrics, slo_id: str, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
    try:
        return metrics.failures(slo_id, window_s, now)
    except HarnessError:
        return ()


def _came_due(timer: Timer) -> Envelope:
    return Envelope(f"timer/{timer.key}/{timer.due_at}", TimerCameDue(timer))
