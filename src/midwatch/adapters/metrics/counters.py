"""What cumulative series came by between two looks: the same for now, for a gap and for history.

Law: a difference counts, whatever lies between two looks; a value below the former one is a counter
that began at zero again. A value that is seen for the first time counts only as far as it is
plausible, for a lifetime is not an increment: a process that was relabelled, found late or scraped
again brings no old events along. What is not plausible is a baseline, and named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

from msgspec import Struct

Labels = tuple[tuple[str, str], ...]
Values = Mapping[str, Mapping[Labels, float]]  # by good, bad or total, then by series

PLAUSIBLE = 3  # times what usually comes
PATIENCE_S = 120  # so long a series may have counted before it is seen
FEW = 10  # events that a new series may always bring
MEMORY_S = 600  # over which the usual rate is taken
FORGOTTEN = 1_000  # series that are remembered beyond twice those that are there


class Came(Struct, frozen=True):
    """How many events came, by part, and the series whose first value was not counted."""

    counts: dict[str, int]
    baselines: tuple[Labels, ...] = ()


class Counters:
    """Remembers the last value of each series of an objective.

    >>> counters, a, b = Counters(), (("pod", "a"),), (("pod", "b"),)
    >>> [counters.look({"total": {a: value}}, 10).counts["total"] for value in (1000, 1100)]
    [0, 100]
    >>> counters.look({"total": {a: 1200, b: 90}}, 10).counts
    {'total': 190}
    >>> counters.look({"total": {a: 1300, (("pod", "c"),): 980000}}, 10)
    Came(counts={'total': 100}, baselines=((('pod', 'c'),),))
    """

    def __init__(self) -> None:
        self._last: dict[str, dict[Labels, float]] = {}
        self._usual = 0.0  # events a second
        self._ahead: dict[str, int] = {}  # good or bad ones that were scraped before all
        self._begun = False

    def knows(self, part: str, labels: Labels) -> bool:
        """Say whether a series has a value already."""
        return labels in self._last.get(part, {})

    def look(
        self,
        values: Values,
        elapsed_s: float,
        *,
        is_young: Callable[[Labels], bool] = lambda labels: False,
        resets: Mapping[tuple[str, Labels], float] = {},
        firsts: Mapping[tuple[str, Labels], float] = {},
        whole: frozenset[str] = frozenset(),
    ) -> Came:
        """Take the newest values, and say what came since the former ones, `elapsed_s` ago.

        `is_young` says of a series whether its process began after the former look; it is asked of
        implausible ones alone. `resets` are better counts of series that began again, and `firsts`
        what new series had when they were first seen, where somebody knows. Parts in `whole` add
        many counters up: when one of them goes nothing can be said.
        """
        counts: dict[str, int] = {}
        refused: dict[Labels, None] = {}
        processes: set[Labels] = set()
        order = sorted(values, key=lambda part: part != "total")
        for part in order:
            last = self._last.setdefault(part, {})
            known, new = 0, list[tuple[Labels, float]]()
            for labels, value in values[part].items():
                if not math.isfinite(value):
                    continue
                before = last.get(labels)
                last[labels] = value
                if before is None:
                    first = min(firsts.get((part, labels), value), value)
                    new.append((labels, first))
                    known += round(value) - round(first)
                elif value >= before:
                    known += round(value) - round(before)
                elif part not in whole:
                    known += round(resets.get((part, labels), value))
            counts[part] = known
            room = None if part == "total" or "total" not in counts else counts["total"] - known
            for labels, first in new if self._begun else ():
                added = self._first(labels, first, known, room, elapsed_s, processes, is_young)
                if added is None:
                    refused[labels] = None
                    processes.add(_process(labels))
                else:
                    counts[part] += added
                    room = None if room is None else room - added
            self._forget(last, values[part])
        if self._begun:
            self._learn(counts, elapsed_s)
        self._begun = True
        return Came(self._matched(counts), tuple(refused))

    def _first(
        self,
        labels: Labels,
        value: float,
        known: int,
        room: int | None,
        elapsed_s: float,
        refused: Iterable[Labels],
        is_young: Callable[[Labels], bool],
    ) -> int | None:
        """Say how much of a first value counts; None when it is a baseline.

        `room` is what came in all: no more of it can have been good, or bad.
        """
        if _process(labels) in refused:
            return None
        usual = self._usual * max(elapsed_s, PATIENCE_S)
        if room is not None:  # what came in all may be scraped a little later, from elsewhere
            return round(value) if value <= max(room, usual) else None
        usual = max(known, usual)
        if value <= max(FEW, PLAUSIBLE * usual) or is_young(labels):
            return round(value)
        return None

    def _matched(self, counts: dict[str, int]) -> dict[str, int]:
        """Keep what was scraped before what counts all events, until that comes too.

        No more is kept than usually comes meanwhile: what is no part of all would pile up.
        """
        if "total" not in counts:
            return counts
        found = dict(counts)
        for part in counts.keys() - {"total"}:
            there = counts[part] + self._ahead.get(part, 0)
            found[part] = min(there, counts["total"])
            self._ahead[part] = min(there - found[part], round(self._usual * PATIENCE_S))
        return found

    def _learn(self, counts: Mapping[str, int], elapsed_s: float) -> None:
        """Follow how many events usually come."""
        came = counts["total"] if "total" in counts else sum(counts.values())
        if elapsed_s > 0:
            share = 1 - math.exp(-elapsed_s / MEMORY_S) if self._usual else 1.0
            self._usual += share * (came / elapsed_s - self._usual)

    @staticmethod
    def _forget(last: dict[Labels, float], there: Mapping[Labels, float]) -> None:
        """Let series leave that went long ago, when pods come and go by the thousand."""
        if len(last) > 2 * len(there) + FORGOTTEN:
            for labels in [one for one in last if one not in there][: len(last) // 2]:
                del last[labels]


def _process(labels: Labels) -> Labels:
    """Say whose series it is: of which process, where its labels name one."""
    named = tuple((name, value) for name, value in labels if name in ("instance", "job", "pod"))
    return named or labels


def spread(total: int, steps: int) -> list[int]:
    """Divide a count evenly, so that the parts add up to it.

    >>> spread(7, 3), spread(0, 2)
    ([2, 2, 3], [0, 0])
    """
    edges = [total * number // steps for number in range(steps + 1)]
    return [after - before for before, after in pairwise(edges)]
