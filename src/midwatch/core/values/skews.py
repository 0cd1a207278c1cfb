"""How the journal's time and the wall clock stand to each other, now and before.

Law: the journal's time only goes forward and leaps with nothing; what people see is the wall clock,
which is the journal's time less the skew of now. A time of the journal is shown as the wall clock
that is right now would have called it: a clock that was wrong for a while and is right again has
never been wrong, and what an earlier boot wrote keeps the clock of then.

    skew = journal's time - wall clock, in milliseconds; 0 in normal life
"""

from __future__ import annotations

from msgspec import Struct, structs

from midwatch.core.values.clock import SECOND

JUMP_MS = 60 * SECOND  # what is less is no jump: the journal's time follows it
SPANS = 32
# A clock that comes back to within a tenth of how far it went, and a quarter of an hour, was wrong
# meanwhile.
OUTLIER, LONGEST_MS = 10, 900 * SECOND


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
        """Say whether a skew undoes the jump that led to the one of now, or several.

        >>> ahead = Skews().jumped(0, -86_400_000)
        >>> ahead.returns(0), ahead.returns(-300_000), ahead.returns(-40_000_000)
        (True, True, False)
        >>> ahead.jumped(10, 3_600_000).returns(0)
        True
        """
        if not self.earlier:
            return False
        before = self.earlier[-1].skew
        far = min(max(abs(self.now - before) / OUTLIER, JUMP_MS / 2), LONGEST_MS)
        return self._place(skew) >= 0 or abs(skew - before) <= far

    def _place(self, skew: int) -> int:
        """Find the earlier span that had this skew; -1 when none had."""
        for number in reversed(range(len(self.earlier))):
            if abs(skew - self.earlier[number].skew) < JUMP_MS:
                return number
        return -1

    def jumped(self, at: int, skew: int) -> Skews:
        """Give what is true after a jump at the journal's time `at`.

        >>> Skews().jumped(10, -86_400_000).jumped(20, 0)
        Skews(now=0, earlier=(), boot='', ticks_ms=0, at=0)

        Also when it was wrong in several ways, one after the other:

        >>> Skews().jumped(10, 86_400_000).jumped(15, 315_360_000_000).jumped(20, 0).earlier
        ()
        """
        earlier, place = self.earlier, self._place(skew)
        if skew == self.now:
            return self
        if place >= 0:
            earlier = earlier[:place]
        elif not self.returns(skew):
            earlier = (*earlier, Span(at, self.now))[-SPANS:]
        return structs.replace(self, now=skew, earlier=earlier)

    def anchored(self, at: int, boot: str, ticks_ms: int) -> Skews:
        """Note what the boot's own clock said at a time of the journal."""
        return structs.replace(self, boot=boot, ticks_ms=ticks_ms, at=at)
