"""What alerts usually do: how often a type takes part, with which others, and which fire alone.

Law: it is learned from incidents that were, by counting, and forgotten by halving: when WINDOW
incidents were counted, or too many types, every count is halved, so that the last few hundred
incidents weigh most and memory is bounded. Nothing here depends on time or order of delivery within
one incident.
"""

from __future__ import annotations

from msgspec import Struct, field, structs

WINDOW = 256
MAX_TYPES = 2_048
# Beyond so many types an incident is a crowd: that two of them met in it says nothing.
MAX_TOGETHER = 12
MIN_SUPPORT = 3
MIN_SHARE = 0.5
MAX_ALONE = 4_096


class Habits(Struct):
    """Counts over incidents, each halved as it gets old."""

    incidents: float = 0.0
    seen: dict[str, float] = field(default_factory=dict[str, float])  # type -> incidents with it
    together: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    # fingerprint -> the newest incidents that it opened
    openings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    # of those that have left and had that one alert alone -> when it began
    alone: dict[str, int] = field(default_factory=dict[str, int])

    def keep_alone(self, incident: str, first_at: int) -> None:
        """Remember that an incident which leaves had one alert alone, while that is asked for."""
        if any(incident in opened for opened in self.openings.values()):
            self.alone[incident] = first_at

    def in_order(self) -> Habits:
        """Give the same habits, written down in an order that is nobody's accident."""
        return structs.replace(self, alone=dict(sorted(self.alone.items())))

    def count_incident(self) -> None:
        """Count an incident that opened."""
        self.incidents += 1
        if self.incidents >= WINDOW or len(self.seen) > MAX_TYPES:
            self._fade()

    def count_opening(self, fingerprint: str, incident: str) -> None:
        """Note which alert opened an incident."""
        for one in self.forgotten_by(fingerprint):
            self.alone.pop(one, None)
        opened = self.openings.pop(fingerprint, [])
        self.openings[fingerprint] = [*opened[-1:], incident]
        if len(self.openings) > MAX_ALONE:
            del self.openings[next(iter(self.openings))]

    def forgotten_by(self, fingerprint: str) -> list[str]:
        """List the incidents that are forgotten when this alert opens another one."""
        found = self.openings.get(fingerprint, [])[:-1]
        if fingerprint not in self.openings and len(self.openings) >= MAX_ALONE:
            found = self.openings[next(iter(self.openings))]
        return found

    def count_type(self, kind: str, others: list[str]) -> None:
        """Count that a type takes part in an incident where these others do already."""
        self.seen[kind] = self.seen.get(kind, 0.0) + 1
        if len(others) >= MAX_TOGETHER:
            return
        mine = self.together.setdefault(kind, {})
        for other in others:
            mine[other] = mine.get(other, 0.0) + 1
            theirs = self.together.setdefault(other, {})
            theirs[kind] = theirs.get(kind, 0.0) + 1

    def share(self, kind: str) -> float:
        """Give the share of the other incidents in which a type took part.

        >>> habits = Habits(incidents=9, seen={"shop Slow": 6})
        >>> habits.share("shop Slow"), habits.share("shop Down")
        (0.5, 0.0)
        """
        return max(self.seen.get(kind, 0.0) - 1, 0.0) / (max(self.incidents - 1, 0.0) + 2)

    def go_together(self, kind: str, others: list[str]) -> float:
        """Say how surely a type comes with one of these others: 0 below MIN_SUPPORT incidents."""
        mine = self.together.get(kind)
        if not mine:
            return 0.0
        best = max((mine.get(other, 0.0) for other in others), default=0.0)
        return best / self.seen[kind] if best >= MIN_SUPPORT else 0.0

    def _fade(self) -> None:
        self.incidents /= 2
        self.seen = _halved(self.seen)
        together = {kind: _halved(with_) for kind, with_ in self.together.items()}
        self.together = {k: with_ for k, with_ in together.items() if with_ and k in self.seen}


def _halved(counts: dict[str, float]) -> dict[str, float]:
    return {name: count / 2 for name, count in counts.items() if count >= 1}
