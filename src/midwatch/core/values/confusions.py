"""How well the words of the config find what reports are about, by reports that people labelled.

Law: a report that nobody was sure of is not wrong, and not found either: both are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from midwatch.core.values.categories import Category, categorise

NONE = "none"


class Labelled(Struct, frozen=True):
    """A report whose `category` a person named, NONE when it belongs to none; `place` is its line.

    `language` is any name for a part of the reports that is to be told by itself.
    """

    place: str
    text: str
    category: str
    language: str = ""


class Misread(Struct, frozen=True):
    """A report that was not read as its label says, and the words that said so."""

    place: str
    language: str
    category: str
    said: str
    words: list[str]
    text: str


class Part(Struct, frozen=True):
    """Reports of one language: how many, how many belong to a category, and of these are found.

    `wrong` are those that were given a category which is not theirs. A share of nothing is None.
    """

    language: str
    reports: int
    belong: int
    found: int
    wrong: int
    found_share: float | None
    wrong_share: float | None


class Confusion(Struct, frozen=True):
    """`table` counts, for each label, what was said; the rest is the same in words."""

    all: Part
    languages: list[Part]
    table: dict[str, dict[str, int]]
    misread: list[Misread]


def confuse(
    reports: Sequence[Labelled], categories: tuple[Category, ...], trouble: tuple[str, ...] = ()
) -> Confusion:
    """Read reports and compare with their labels.

    >>> pay = Category("payment", ("card",), "shop", "team", ("charged",))
    >>> told = [Labelled("f:1", "charged!", "payment"), Labelled("f:2", "my card", "payment")]
    >>> confuse(told, (pay,)).table
    {'payment': {'payment': 1, 'none': 1}, 'none': {'payment': 0, 'none': 0}}
    """
    names = [*(one.name for one in categories), NONE]
    table = {label: dict.fromkeys(names, 0) for label in names}
    misread: list[Misread] = []
    read: list[tuple[Labelled, str]] = []
    for one in reports:
        category, words = categorise(one.text, categories, trouble)
        said = category.name if category else NONE
        read.append((one, said))
        table[one.category][said] += 1
        if said != one.category:
            misread.append(Misread(one.place, one.language, one.category, said, words, one.text))
    languages = dict.fromkeys(one.language for one in reports)
    parts = [_part(lang, [x for x in read if x[0].language == lang]) for lang in languages]
    return Confusion(_part("", read), parts, table, misread)


def _part(language: str, read: Iterable[tuple[Labelled, str]]) -> Part:
    mine = list(read)
    belong = [(one, said) for one, said in mine if one.category != NONE]
    found = sum(said == one.category for one, said in belong)
    wrong = sum(said not in (NONE, one.category) for one, said in mine)
    return Part(
        language,
        len(mine),
        len(belong),
        found,
        wrong,
        _share(found, len(belong)),
        _share(wrong, len(mine)),
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
