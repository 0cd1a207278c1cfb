"""A part of a list: at most so many, after the place where the part before ended.

Law: whoever reads part after part reads once what kept its place all the time, whoever comes and
goes meanwhile. A list that is read on the engine's thread is never made whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from midwatch.errors import InputError

T = TypeVar("T")

LIMIT, MOST = 500, 1_000  # rows of a part, when nothing is said and at most
_DIGITS = 18


class NoSuchRow(InputError):
    """A list has no such place after which it could go on."""


def part(
    items: Iterable[T], place: Callable[[T], Any], limit: int, after: object = None
) -> tuple[list[T], bool]:
    """Give at most `limit` items whose place is beyond `after`, and whether more follow.

    Items come in the order of their places, which are theirs for good: so nobody has to be there
    still for the list to go on behind him.

    >>> part([1, 2, 3], int, 2), part([1, 4, 5], int, 2, 2)
    (([1, 2], True), ([4, 5], False))
    """
    rest = items if after is None else (one for one in items if place(one) > after)
    found = list(islice(rest, limit + 1))
    return found[:limit], len(found) > limit


def named_part(
    items: Iterable[T], name: Callable[[T], str], limit: int, after: str = ""
) -> tuple[list[T], bool]:
    """Give at most `limit` items after the one named `after`, and whether more follow.

    For a list whose order is in nothing but itself. Raises NoSuchRow when nothing is called so.

    >>> named_part(["b", "a"], str, 2), named_part(["c", "b", "a"], str, 1, "c")
    ((['b', 'a'], False), (['b'], True))
    """
    rest = iter(items)
    if after and not any(name(one) == after for one in rest):
        raise unknown(after)
    found = list(islice(rest, limit + 1))
    return found[:limit], len(found) > limit


def number(after: str, prefix: str = "") -> int:
    """Read a place that is a number, behind the prefix of a name. Raises NoSuchRow.

    >>> number("INC-7", "INC-"), number("12")
    (7, 12)
    """
    text = after.removeprefix(prefix)
    whole = text.isascii() and text.isdigit() and len(text) <= _DIGITS
    if not whole or f"{prefix}{int(text)}" != after or (prefix and not int(text)):
        raise unknown(after)
    return int(text)


def unknown(after: str) -> NoSuchRow:
    """Say that a list has no such place."""
    remedy = "use the Link header of the previous page, or start again without after"
    return NoSuchRow(f"no page of results starts after {after!r}", place="?after", remedy=remedy)
