"""Moments as others write them, read at one door.

Law: a moment lies in the years 2000 to 2099, or from 1970 on where now is earlier, as in a made-up
world. A number is taken for the seconds, milliseconds, microseconds or nanoseconds since 1970 that
give such a year; no two of them do. A text is RFC 3339 with its zone, or such a number. Anything
else raises ValueError and nothing else: booleans are no numbers, nor are NaN and infinity, and what
has more digits than a moment can have is not computed with.
"""

from __future__ import annotations

import re
from functools import lru_cache

from midwatch.core.values.clock import parse_time, show_time

EARLIEST = parse_time("2000-01-01T00:00:00Z")
LATEST = parse_time("2100-01-01T00:00:00Z")  # exclusive
# Milliseconds in a second, a millisecond, a microsecond and a nanosecond.
UNITS = ((1_000, 1), (1, 1), (1, 1_000), (1, 1_000_000))
MAX_CHARACTERS = 64  # of a text; the longest moment has about 40
MAX_ABS = 10**20  # nanoseconds of the year 5138
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,20})?", re.ASCII)
_RFC_3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:)([0-9]{2})([.,][0-9]+)?"
    r" ?([Zz]|[+-][0-9]{2}:?[0-9]{2})",
    re.ASCII,
)


def moment(given: object, now: int) -> int:
    """Read a moment as milliseconds since 1970; `now` is in milliseconds too.

    Raises ValueError, with a text that needs no more than "has" or "is" before it.

    >>> now = 1_796_037_749_000
    >>> moment(1_796_037_749, now) == moment("1796037749000", now) == moment(1_796_037_749.0, now)
    True
    >>> show_time(moment("2026-11-30t11:22:29.873z", now))
    '2026-11-30T11:22:29.873Z'
    """
    earliest = _earliest(now)
    if isinstance(given, str):
        text = given.strip()
        if not _NUMBER.fullmatch(text):
            return _sane(_written(text), earliest)
        given = float(text) if "." in text else int(text)
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise ValueError("is neither a time nor a number")
    if not abs(given) <= MAX_ABS:  # false for NaN too
        raise ValueError("is not a time in any unit")
    for up, down in UNITS:
        at = round(given * up / down) if isinstance(given, float) else given * up // down
        if earliest <= at < LATEST:
            return at
    raise ValueError(_outside(f"{given}", earliest))


def kept(at: int, told_at: int) -> int:
    """Take a start out of a journal: as it is, or when it was told where it is no moment.

    Journals of 0.1.0 hold whatever number a sender wrote.

    >>> kept(1_796_037_749_000, 1_796_037_750_000), kept(10**15, 1_796_037_750_000)
    (1796037749000, 1796037750000)
    """
    return at if _earliest(told_at) <= at < LATEST else told_at


def _earliest(now: int) -> int:
    return EARLIEST if now >= EARLIEST else 0


def _sane(at: int, earliest: int) -> int:
    if not earliest <= at < LATEST:
        raise ValueError(_outside(show_time(at), earliest))
    return at


def _outside(shown: str, earliest: int) -> str:
    return f"{shown} is not within {show_time(earliest)[:4]} and {show_time(LATEST)[:4]}"


# The alerts of a delivery started at a few moments: each is read once.
@lru_cache(1024)
def _written(text: str) -> int:
    """Read RFC 3339 in all its forms. Raises ValueError."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"{len(text)} characters are too many for a time")
    found = _RFC_3339.fullmatch(text)
    if found is None:
        return parse_time(text)  # another form of ISO 8601, or an error that says what is missing
    day, minute, second, fraction, zone = found.groups()
    leap = second == "60"  # a leap second is the one before it, once more
    clock = f"{minute}{'59' if leap else second}{(fraction or '').replace(',', '.')}"
    try:
        return parse_time(f"{day}T{clock}{zone.upper()}")
    except OverflowError:
        raise ValueError(f"{text!r} is not a time") from None
