"""Which sources are read now, and when all are read next.

Law: a source that is slow is not read twice at once, and holds up no other source.
"""

from __future__ import annotations

from collections.abc import Iterable

from midwatch.core.values.clock import SECOND
from midwatch.engine.watch import Question

READ_EVERY_S = 10


class Readings:
    """Hands out what has to be read; the engine's lock guards `end`."""

    def __init__(self) -> None:
        self._next_at = 0
        self._asking: set[str] = set()

    def is_due(self, now: int) -> bool:
        """Say whether it is time to read (ms), and wait for the next time if so."""
        if now < self._next_at:
            return False
        self._next_at = now + READ_EVERY_S * SECOND
        return True

    def begin(self, questions: Iterable[Question]) -> list[Question]:
        """Pick the questions whose source is not being read still."""
        picked: list[Question] = []
        for question in questions:
            if question.source not in self._asking:
                self._asking.add(question.source)
                picked.append(question)
        return picked

    def end(self, source: str) -> None:
        """Take that a source has answered, or failed to."""
        self._asking.discard(source)
