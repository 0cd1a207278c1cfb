"""Service level indicators as counts: good events out of valid events, never a ratio.

Law: a count carries its evidence with it. Zero valid events is no data, and no data has no ratio.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field


class Counts(Struct, frozen=True, gc=False):
    """Good events out of all valid events of one window.

    >>> Counts(80, 100).percent, Counts(80, 100).bad, Counts(0, 0).percent
    (80.0, 20, None)
    """

    good: int
    total: int

    @property
    def bad(self) -> int:
        """Valid events that were not good."""
        return self.total - self.good

    @property
    def percent(self) -> float | None:
        """Good events per hundred; None without data."""
        return 100 * self.good / self.total if self.total else None

    def shown(self) -> str:
        """Write the ratio for people.

        >>> Counts(4, 5).shown(), Counts(999, 1000).shown(), Counts(0, 0).shown()
        ('80%', '99.9%', 'no data')
        """
        if not self.total:
            return "no data"
        # Rounding may not turn a failure into a perfect score: 99 999 of 100 000 is not 100%.
        places = next((p for p in (4, 6, 9) if self._fits(p)), 15)
        return f"{self.percent:.{places}g}%"

    def _fits(self, places: int) -> bool:
        rounded = float(f"{self.percent:.{places}g}")
        return (rounded == 100) == (self.bad == 0)


class Sample(Struct, frozen=True):
    """Cumulative counts, as they stood at a moment (milliseconds)."""

    at: int
    good: int
    total: int


class Indicator(Struct, frozen=True):
    """Where the counts of an objective come from, and what its numbers mean.

    `source` names one of the config's `metrics`; empty is the only one. Two of `good`, `bad` and
    `total` are questions in that source's own words; what is not needed is empty.

        counter    cumulative numbers that only grow until they start anew
        increase   how many events a window had; `{{.window}}` in the question is its length
        delta      how many events came since the former look
        threshold  `total` is one number, an event is good when it is `op` than `value`
        ratio      `good` (or `bad`) is a ratio already: there are no events behind it

    With `slice_s` it is not events that count but slices of time: one is good when at least
    `slice_target` of its events were.
    """

    kind: Literal["counter", "increase", "delta", "threshold", "ratio"]
    source: str = ""
    good: str = ""
    bad: str = ""
    total: str = ""
    op: Literal["", "lt", "lte", "gt", "gte"] = ""
    value: str = ""
    slice_s: int = 0
    slice_target: str = ""


class FailedAnswer(Struct, frozen=True):
    """An answer that counted as bad: what was asked, what came, what would have been right."""

    id: str
    question: str
    answer: str
    expected: str


class Bucket(Struct, frozen=True, gc=False):
    """Events of an objective that came up to `at` (milliseconds), and a few of the bad ones."""

    slo: str
    at: int
    good: int
    total: int
    failures: tuple[FailedAnswer, ...] = ()


class Edge(Struct, frozen=True, gc=False):
    """Cumulative good and total events up to a moment (milliseconds), from any beginning."""

    at: int
    good: int
    total: int


class Trace(Struct, frozen=True):
    """How an objective was counted over a stretch of time: its edges, oldest first.

    `first_at` is when the first event known of the period came, None when nobody can say; `period`
    are the counts of the whole period that ends with the trace, None when they are unknown.
    """

    edges: tuple[Edge, ...] = ()
    first_at: int | None = None
    period: Counts | None = None


class Outage(Struct, frozen=True):
    """Where to look for the harm of one objective, in the journal's time (milliseconds).

    It began after `since`, the beginning of the longest window that burned, was seen at `seen_at`,
    and users were proven well at `until`; 0 as long as they are not.
    """

    since: int
    seen_at: int
    until: int = 0


class Stretch(Struct, frozen=True):
    """Harm from edge to edge (milliseconds), and the events between them.

    It began within `start_width_s` after `start`, and ended within `end_width_s` before `end`.
    """

    start: int
    end: int
    start_width_s: int
    end_width_s: int
    good: int
    total: int


class Measured(Struct, frozen=True):
    """The stretches of some of `outages`, by their place, and what they are a share of."""

    outages: tuple[Outage, ...]
    stretches: dict[int, Stretch]
    period: Counts | None = None
    seen_s: int | None = None


class Harm(Struct, frozen=True):
    """What one objective of an incident lost, as it was measured at `at`; all are dates.

    A stretch is missing where nobody counted. `seen_s` says how much of the period was counted.
    """

    at: int
    stretches: tuple[Stretch | None, ...]
    period: Counts | None = None
    seen_s: int | None = None

    @property
    def known(self) -> list[Stretch]:
        """The stretches that were counted, in order."""
        return [one for one in self.stretches if one is not None]

    @property
    def counts(self) -> Counts:
        """All events of its stretches."""
        known = self.known
        return Counts(sum(one.good for one in known), sum(one.total for one in known))


class SliReading(Struct, frozen=True):
    """What a metrics backend said at one moment: counts for each window asked for, by seconds.

    A window that the backend could not answer is missing, never zero. `failures` are a few of the
    bad answers, newest last; `harms` is what was measured of each incident that asks, by its id.
    It is watched since `watched_at`, and had events when it was read at `heard_at`. `period` are
    the counts of the whole period, of which `seen_s` seconds were counted.
    """

    slo: str
    at: int
    windows: dict[int, Counts]
    failures: tuple[FailedAnswer, ...] = ()
    harms: dict[str, Measured] = field(default_factory=dict[str, Measured])
    watched_at: int = 0
    heard_at: int = 0
    period: Counts | None = None
    seen_s: int | None = None
