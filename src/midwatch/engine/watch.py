"""Time and SLIs become inputs.

Law: nothing is decided here. A window that the backend could not answer is left out of the
reading, never filled in; a backend that breaks, however it does, gives a reading without windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import Struct, field

from midwatch.core.rules.rules import Rules
from midwatch.core.state.inputs import Envelope, SliMeasured, Timer, TimerCameDue
from midwatch.core.state.shard import Shard
from midwatch.core.values import harm
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Counts, FailedAnswer, Measured, Outage, SliReading
from midwatch.core.values.slo import Slo, windows_needed
from midwatch.engine import sound
from midwatch.engine.question import Question
from midwatch.engine.trials import Trials
from midwatch.errors import told
from midwatch.ports import Metrics, Router, Timers

PERIOD_EVERY_S = 300


class Newest(Struct, frozen=True):
    """How an objective was read last, at `at`, 0 for never; `trouble` says what went wrong.

    `seen_s` says how much of its period was counted, None when nobody knows.
    """

    slo: Slo
    at: int = 0
    windows: dict[int, Counts] = field(default_factory=dict[int, Counts])
    trouble: str = ""
    seen_s: int | None = None


Outages = dict[str, tuple[Outage, ...]]


class Watcher:
    """Reads timers and metrics, and looks at the router; `metrics` by the name of their source."""

    def __init__(
        self,
        timers: Timers,
        metrics: Mapping[str, Metrics],
        rules: Rules,
        router: Router | None = None,
    ) -> None:
        self._timers = timers
        self._metrics = metrics
        self._trials = Trials(metrics, router)
        self._by_source: dict[str, list[_Watched]] = {}
        for slo in rules.slos.values():
            source = slo.indicator.source if slo.indicator else ""
            watched = _Watched(slo, windows_needed(slo, *rules.verifies(slo.id)))
            if source in metrics:
                self._by_source.setdefault(source, []).append(watched)

    def due_timers(self, now: int) -> list[Envelope]:
        """Wake what is due; a timer's key and time make it one input."""
        return [_came_due(timer) for timer in self._timers.due(now)]

    def questions(self, shard: Shard, now: int) -> list[Question]:
        """Say what has to be read now: a question a source, and some a service.

        The answers may take their time and be lost: the next ones say it again.
        """
        hurt: dict[str, Outages] = {}
        for name, incident in shard.incidents.items():
            for slo, outages in incident.outages.items():
                if incident.state not in ("closed", "merged") and harm.unsettled(outages, now):
                    hurt.setdefault(slo, {})[name] = outages
        read = [
            Question(source, partial(self._ask, source, hurt, now)) for source in self._by_source
        ]
        return read + self._trials.questions(shard, now)

    def readings(self, shard: Shard, now: int) -> list[Envelope]:
        """Read everything once, here and now."""
        return [answer for question in self.questions(shard, now) for answer in question.ask()]

    def newest(self) -> list[Newest]:
        """Say how each objective was read last."""
        watched = (one for group in self._by_source.values() for one in group)
        return [one.newest for one in watched]

    def _ask(self, source: str, hurt: dict[str, Outages], now: int) -> list[Envelope]:
        metrics = self._metrics[source]
        return [
            Envelope("", SliMeasured(watched.read(metrics, hurt.get(watched.slo.id, {}), now)))
            for watched in self._by_source[source]
        ]


def _outdates(windows: Iterable[Counts], period: Counts) -> bool:
    """Say whether a part of the period holds many more bad events than the whole seemed to."""
    return any(one.bad * 10 > max(period.bad, 1) * 11 for one in windows)


class _Watched:
    """One objective, and what is known of its readings; one thread at a time reads it."""

    def __init__(self, slo: Slo, windows_s: tuple[int, ...]) -> None:
        self.slo = slo
        self.newest = Newest(slo)
        self._windows_s = windows_s
        self._watched_at = 0
        self._heard_at = 0
        self._period: Counts | None = None
        self._period_at = 0
        self._counted_at = 0  # when that period ended
        self._first_at: int | None = None

    def read(self, metrics: Metrics, hurt: Outages, now: int) -> SliReading:
        self._watched_at = self._watched_at or now
        self._heard_at = self._heard_at or now
        asked = self._windows_s
        period_s = self.slo.period_s
        # The budget moves slowly, and a month is much to ask of a backend every few seconds.
        empty = self._period is None or not self._period.total
        if empty or now - self._period_at >= PERIOD_EVERY_S * SECOND:
            asked = (*asked, period_s)
        counts, failures, trouble = self._counts(metrics, asked, now)
        if period_s in asked and period_s in counts:
            self._period, self._period_at, self._counted_at = counts[period_s], now, now
            trouble = self._look_back(metrics, now) or trouble
        windows = {w: counts[w] for w in self._windows_s if w in counts}
        if self._period is not None and _outdates(windows.values(), self._period):
            self._period_at = now - PERIOD_EVERY_S * SECOND  # ask with the next reading, at least
            if period_s not in asked:  # what is said of this burn is not said of a calm period
                newer = self._counts(metrics, (period_s,), now)[0].get(period_s)
                if newer is not None:
                    self._period, self._period_at, self._counted_at = newer, now, now
        measured = {name: self._measure(metrics, outages, now) for name, outages in hurt.items()}
        harms = {name: one for name, one in measured.items() if one is not None}
        if known := [one.period for one in harms.values() if one.period is not None]:
            self._period, self._period_at, self._counted_at = known[-1], now, now
        period = {period_s: self._period} if self._period is not None else {}
        seen_s = None  # the time that the counts are of, not that of this reading
        if self._first_at is not None:
            seen_s = max(self._counted_at - self._first_at, 0) // SECOND
        self.newest = Newest(self.slo, now, windows | period, trouble, seen_s)
        heard = windows.get(self.slo.quiet_s)
        if heard is not None and heard.total:
            self._heard_at = now
        return SliReading(
            self.slo.id,
            now,
            windows,
            failures,
            harms,
            self._watched_at,
            self._heard_at,
            self._period,
            seen_s,
        )

    def _look_back(self, metrics: Metrics, now: int) -> str:
        """Learn since when there are events; gives what went wrong."""
        try:
            trace = metrics.trace(self.slo, now, now)
            self._first_at = trace.first_at if sound.is_trace(trace) else None
        except Exception as error:  # however it breaks, nothing more was seen
            return sound.text(told(error))
        return ""

    def _measure(self, metrics: Metrics, outages: tuple[Outage, ...], now: int) -> Measured | None:
        """Measure what an incident lost; None when the backend cannot say."""
        places = harm.unsettled(outages, now)
        try:
            trace = metrics.trace(self.slo, min(outages[one].since for one in places), now)
        except Exception:  # however it breaks, the next reading tries again
            return None
        if not trace.edges or not sound.is_trace(trace):
            return None
        return harm.measure(self.slo.budget, outages, trace, now, self.slo.period_s)

    def _counts(
        self, metrics: Metrics, windows_s: tuple[int, ...], now: int
    ) -> tuple[dict[int, Counts], tuple[FailedAnswer, ...], str]:
        counts: dict[int, Counts] = {}
        failures: tuple[FailedAnswer, ...] = ()
        trouble = ""
        try:
            said = metrics.counts(self.slo, windows_s, now)
            counts = {window_s: one for window_s, one in said.items() if sound.is_counts(one)}
            if len(counts) < len(said):
                odd = next(one for one in said.values() if not sound.is_counts(one))
                trouble = f"reported {odd.good!r} good of {odd.total!r}, which is ignored"
            shortest = self._windows_s[0]
            if shortest in counts and counts[shortest].bad:
                found = metrics.failures(self.slo, shortest, now)
                failures = tuple(sound.failed(one) for one in found)
        except Exception as error:  # however it breaks, nothing more was seen
            trouble = told(error)
        return counts, failures, sound.text(trouble)


def _came_due(timer: Timer) -> Envelope:
    return Envelope(f"timer/{timer.key}/{timer.due_at}", TimerCameDue(timer))
