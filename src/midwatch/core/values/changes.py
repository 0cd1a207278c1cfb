"""What somebody changed: a deploy, a config, an index; and which of them stand before a trouble.

Law: most incidents begin with a change, and half of the causes raise no alert of their own: what
changed is kept beside the alerts, in order of time, the newest KEPT of a shard. A change is told by
its id and never counted twice.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from msgspec import Struct

from midwatch.core.values.clock import SECOND

KEPT = 1_024
# Rules wait up to a quarter of an hour before they fire. The clocks of pipelines and of monitoring
# differ by some seconds, and who deploys tells it when it is done.
BEFORE_S = 900
AFTER_S = 60
SAME_S = 300  # within which the same change may be told again


class Change(Struct, frozen=True, gc=False):
    """One change of one service; `at` in milliseconds, `by` the pipeline or person."""

    id: str
    service: str
    kind: str
    at: int
    by: str = ""
    from_release: str = ""
    to_release: str = ""

    @property
    def says(self) -> str:
        """Say what changed.

        >>> Change("d-1", "shop", "deploy", 0, "ci", "v2", "v3").says
        'deploy d-1 (v2 to v3) by ci'
        """
        releases = " to ".join(filter(None, (self.from_release, self.to_release)))
        between = f" ({releases})" if releases else ""
        return f"{self.kind} {self.id}{between}" + (f" by {self.by}" if self.by else "")


def keep(changes: list[Change], change: Change) -> None:
    """Put a change where its time says, in place, and let the oldest go."""
    insort(changes, change, key=_when)
    if len(changes) > KEPT:
        del changes[0]


def near(changes: Sequence[Change], at: int) -> Sequence[Change]:
    """Give the changes of about one time: where the same one would stand, told again."""
    return _between(changes, at - SAME_S * SECOND, at + SAME_S * SECOND)


def before(changes: Sequence[Change], first_at: int) -> Sequence[Change]:
    """Give the changes that a trouble which began at `first_at` may come from.

    >>> two = [Change("a", "shop", "deploy", 0), Change("b", "shop", "deploy", 1)]
    >>> [one.id for one in before(two, 900_001)]
    ['b']
    """
    return _between(changes, first_at - BEFORE_S * SECOND, first_at + AFTER_S * SECOND)


def _between(changes: Sequence[Change], start: int, end: int) -> Sequence[Change]:
    return changes[bisect_left(changes, start, key=_at) : bisect_left(changes, end + 1, key=_at)]


def _when(change: Change) -> tuple[int, str]:
    return change.at, change.id


def _at(change: Change) -> int:
    return change.at
