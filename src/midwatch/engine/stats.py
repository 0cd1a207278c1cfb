"""What the loop has counted since it started; `/metrics` and `/readyz` read it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct, field

from midwatch.core.state.events import NOT_SENT
from midwatch.core.state.inputs import AlertsArrived, Envelope, PageAnswered

COMMIT_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Stats(Struct):
    """Counts and durations; times are those of `time.monotonic`."""

    commits: int = 0
    commit_s: float = 0.0
    commit_buckets: list[int] = field(default_factory=lambda: [0] * (len(COMMIT_BOUNDS_S) + 1))
    failed_commits: int = 0
    failing_since: float | None = None
    alerts: int = 0
    rejected: int = 0
    pages: dict[str, int] = field(default_factory=lambda: {"sent": 0, "failed": 0, "shadow": 0})
    beats: dict[str, int] = field(default_factory=lambda: {"sent": 0, "failed": 0})
    views: int = 0  # looks that were answered on the engine's thread
    view_s: float = 0.0  # of its CPU
    views_put_off: int = 0  # turns that ended with looks still waiting
    last_tick: float = 0.0

    def committed(self, took_s: float) -> None:
        """Count a commit that wrote something: the disk works."""
        self.failing_since = None
        self.commits += 1
        self.commit_s += took_s
        self.commit_buckets[bisect_left(COMMIT_BOUNDS_S, took_s)] += 1

    def heard(self, envelopes: Sequence[Envelope]) -> None:
        """Count the alerts and the pagers' answers in inputs that were committed.

        >>> stats = Stats()
        >>> stats.heard([Envelope("one", AlertsArrived("alertmanager", ()))])
        >>> stats.alerts, stats.rejected
        (0, 0)
        """
        for envelope in envelopes:
            if isinstance(envelope.input, AlertsArrived):
                self.alerts += len(envelope.input.alerts)
            self.rejected += len(envelope.rejected)
            if isinstance(envelope.input, PageAnswered):
                answer = envelope.input
                kept = "shadow" if answer.receipt == NOT_SENT else "sent"
                self.pages["failed" if answer.error else kept] += 1
