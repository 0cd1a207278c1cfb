"""Service level indicators as counts: good events out of valid events, never a ratio.

Law: a count carries its evidence with it. Zero valid events is no data, and no data has no ratio.
"""

from __future__ import annotations

from msgspec import Struct, field


class Counts(Struct, frozen=True):
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


class FailedAnswer(Struct, frozen=True):
    """An answer that counted as bad: what was asked, what came, what would have been right."""

    id: str
    question: str
    answer: str
    expected: str


class SliReading(Struct, frozen=True):
    """What a metrics backend said at one moment: counts for each window asked for, by seconds.

    A window that the backend could not answer is missing, never zero. `failures` are a few of the
    bad answers, newest last; `since` counts from the start of each open incident, by its id.
    """

    slo: str
    at: int
    windows: dict[int, Counts]
    failures: tuple[FailedAnswer, ...] = ()
    since: dict[str, Counts] = field(default_factory=dict[str, Counts])
