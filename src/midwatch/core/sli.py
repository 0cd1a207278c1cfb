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


class SliReading(Struct, frozen=True):
    """What a metrics backend said at one moment: counts for each window asked for, by seconds.

    A window that the backend could not answer is missing, never zero. `failures` are a few of the
    bad answers, newest last; `since` counts from the start of each open incident, by its id.
    It is watched since `watched_at`, and had events when it was read at `heard_at`.
    """

    slo: str
    at: int
    windows: dict[int, Counts]
    failures: tuple[FailedAnswer, ...] = ()
    since: dict[str, Counts] = field(default_factory=dict[str, Counts])
    watched_at: int = 0
    heard_at: int = 0
