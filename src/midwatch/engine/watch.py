"""Time and SLIs become inputs.

Law: nothing is decided here. A window that the backend could not answer is left out of the
reading, never filled in.
"""

from __future__ import annotations

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

    def __init__(self, timers: Timers, metrics: Metrics, rules: Rules) -> None:
        self._timers = timers
        self._metrics = metrics
        self._rules = rules

    def due_timers(self, now: int) -> list[Envelope]:
        """Wake what is due; a timer's key and time make it one input."""
        return [_came_due(timer) for timer in self._timers.due(now)]

    def readings(self, shard: Shard, now: int) -> list[Envelope]:
        """Read every objective once. A reading may be lost: the next one says it again."""
        return [
            Envelope("", SliMeasured(self._read(objective, shard, now)))
            for objective in self._rules.slos.values()
        ]

    def _read(self, objective: slo.Slo, shard: Shard, now: int) -> SliReading:
        wanted = slo.windows_needed(objective, self._rules.verify_of(objective.id))
        windows: dict[int, Counts] = {}
        for window_s in wanted:
            counts = self._count(objective.id, window_s, now)
            if counts is not None:
                windows[window_s] = counts
        since: dict[str, Counts] = {}
        for incident_id in shard.open:
            incident = shard.incidents[incident_id]
            if incident.slo == objective.id:
                window_s = (now - incident.first_at) // SECOND
                counts = self._count(objective.id, window_s, now)
                if counts is not None:
                    since[incident_id] = counts
        shortest = windows.get(wanted[0])
        failures = self._failures(objective.id, wanted[0], now) if shortest and shortest.bad else ()
        return SliReading(objective.id, now, windows, failures, since)

    def _count(self, slo_id: str, window_s: int, now: int) -> Counts | None:
        try:
            return self._metrics.counts(slo_id, window_s, now)
        except HarnessError:
            return None

    def _failures(self, slo_id: str, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        try:
            return self._metrics.failures(slo_id, window_s, now)
        except HarnessError:
            return ()


def _came_due(timer: Timer) -> Envelope:
    return Envelope(f"timer/{timer.key}/{timer.due_at}", TimerCameDue(timer))
