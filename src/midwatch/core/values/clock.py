"""Times as the core speaks them: integer milliseconds since the epoch, UTC.

Law: pure arithmetic and text. Nothing here reads a clock; `now` always comes from outside.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

SECOND = 1_000
_LONGEST_S = 10**15
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999  # what a datetime can hold


# The alerts of a delivery started at a few moments: each is read once.
@lru_cache(1024)
def parse_time(text: str) -> int:
    """Read an RFC 3339 time; fractions beyond the millisecond are cut off.

    Raises ValueError when the text is no time or has no zone.

    >>> parse_time("1970-01-01T00:00:01.5Z")
    1500
    >>> parse_time("2026-11-23T15:22:45.437740405+00:00") % 1000
    437
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as 2026-01-31T09:00:00Z")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def show_time(at: int) -> str:
    """Write a time the way it is read back.

    A journal may hold any number: beyond the years 1 to 9999 it is the first or the last moment of
    them.

    >>> show_time(1500), show_time(10**15), show_time(-(10**400))
    ('1970-01-01T00:00:01.500Z', '9999-12-31T23:59:59.999Z', '0001-01-01T00:00:00.000Z')
    """
    moment = _EPOCH + timedelta(milliseconds=min(max(at, _FIRST), _LAST))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show_span(begin: int, end: int) -> str:
    """Write from when to when, to the minute, as a person reads it; times are UTC.

    >>> show_span(1_796_004_000_000, 1_796_006_100_000)
    '2026-11-30 02:00 to 02:35 UTC'
    >>> show_span(1_796_004_000_000, 1_796_104_000_000)
    '2026-11-30 02:00 to 2026-12-01 05:46 UTC'
    """
    first, last = (show_time(at)[:16].replace("T", " ") for at in (begin, end))
    if first[:10] == last[:10]:
        last = last[11:]
    return f"{first} UTC" if first[11:] == last else f"{first} to {last} UTC"


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def show_duration(seconds: float) -> str:
    """Write a duration as people say it: in the largest unit that stays readable, and the next.

    >>> show_duration(90), show_duration(129_600), show_duration(300), show_duration(-7_200)
    ('90 s', '36 h', '5 min', '-2 h')
    >>> show_duration(167), show_duration(5_160), show_duration(9_000), show_duration(1.25)
    ('2 min 47 s', '86 min', '2 h 30 min', '1.25 s')
    >>> show_duration(3_650 * 86_400)
    '3650 d'
    """
    if seconds < 0:
        return f"-{show_duration(-seconds)}"
    seconds = min(seconds, _LONGEST_S)  # a number of any length divides badly
    for (size, unit), (small, smaller) in pairwise(_UNITS):
        if seconds >= 2 * size:
            count, rest = divmod(round(seconds / small), size // small)
            return f"{count} {unit} {rest} {smaller}" if rest and count < 100 else f"{count} {unit}"
    return f"{seconds:.3g} s"
