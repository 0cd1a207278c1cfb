"""How the journal's time and the wall clock stand to each other, now and before.

Law: the journal's time only goes forward and leaps with nothing; what people see is the wall clock,
which is the journal's time less the skew of now. A time of the journal is shown as the wall clock
that is right now would have called it: a clock that was wrong for a while and is right again has
never been wrong, and what an earlier boot wrote keeps the clock of then.

    skew = journal's time - wall clock, in milliseconds; 0 in normal life
"""

from __future__ import annotations

from msgspec import Struct, structs

from midwatch.core.clock import SECOND

JUMP_MS = 60 * SECOND  # what is less is no jump: the journal's time follows it
SPANS = 32
OUTLIER = 10  # a clock that comes back to within a tenth of how far it went was wrong meanwhile


class Span(Struct, frozen=True):
    """The skew of all that was written before `until_at`, and after the span before it."""

    until_at: int
    skew: int


class Skews(Struct, frozen=True, omit_defaults=True):
    """The skew of now, those of earlier spans, and where the boot's own clock stood.

    At the journal's time `at` the clock that counts since the machine's start, whose run `boot`
    names, said `ticks_ms`; so a process that starts in the same run knows how long it was down.
    """

    now: int = 0
    earlier: tuple[Span, ...] = ()
    boot: str = ""
    ticks_ms: int = 0
    at: int = 0

    @property
    def shows(self) -> tuple[int, tuple[Span, ...]]:
        """Give what decides how a time is shown; what was shown by another one is out of date."""
        return self.now, self.earlier

    def shown(self, at: int) -> int:
        """Give the wall clock's time for a time of the journal.

        >>> skews = Skews().jumped(100_000_000, 0).jumped(200_000_000, 90_000_000)
        >>> skews.shown(50_000_000), skews.shown(250_000_000)
        (50000000, 160000000)

        What would lie after the end of its own span was written under a wrong clock, and is shown
        by the clock that came after it:

        >>> skews.shown(199_000_000)
        109000000
        """
        if not self.earlier:
            return at - self.now
        after = (*(span.skew for span in self.earlier[1:]), self.now)
        for span, following in zip(self.earlier, after, strict=True):
            if at < span.until_at and at - span.skew <= span.until_at - following:
                return at - span.skew
        return at - self.now

    def around(self, start: int, end: int) -> tuple[int, int]:
        """Give the journal's times from which on, and before which, all lies that is shown between.

        >>> Skews().jumped(100_000_000, -5_000_000).around(60_000_000, 70_000_000)
        (55000000, 70000000)
        """
        skews = [self.now, *(span.skew for span in self.earlier)]
        return start + min(skews), end + max(skews)

    def returns(self, skew: int) -> bool:
        """Say whether a skew undoes the jump that led to the one of now.

        >>> ahead = Skews().jumped(0, -86_400_000)
        >>> ahead.returns(0), ahead.returns(-300_000), ahead.returns(-40_000_000)
        (True, True, False)
        """
        if not self.earlier:
            return False
        before = self.earlier[-1].skew
        return abs(skew - before) <= max(abs(self.now - before) / OUTLIER, JUMP_MS / 2)

    def jumped(self, at: int, skew: int) -> Skews:
        """Give what is true after a jump at the journal's time `at`.

        >>> Skews().jumped(10, -86_400_000).jumped(20, 0)
        Skews(now=0, earlier=(), boot='', ticks_ms=0, at=0)
        """
        earlier = self.earlier
        if skew == self.now:
            return self
        if not self.returns(skew):
            earlier = (*earlier, Span(at, self.now))[-SPANS:]
        elif abs(skew - earlier[-1].skew) < JUMP_MS:
            earlier = earlier[:-1]
        return structs.replace(self, now=skew, earlier=earlier)

    def anchored(self, at: int, boot: str, ticks_ms: int) -> Skews:
        """Note what the boot's own clock said at a time of the journal."""
        return structs.replace(self, boot=boot, ticks_ms=ticks_ms, at=at)
