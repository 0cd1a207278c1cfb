"""What a report is about, by the words that people configured.

Law: it abstains rather than guesses: too few words, or as many for two categories, are none.
"""

from __future__ import annotations

from msgspec import Struct

from midwatch.core.values.phrases import Said, phrase_of

MIN_WORDS = 2


class Category(Struct, frozen=True):
    """Words that speak for a category, the service it is about and the team it goes to.

    What is in `sure` counts for one word more, so that one of it is enough.
    """

    name: str
    words: tuple[str, ...]
    service: str
    route: str
    sure: tuple[str, ...] = ()

    @property
    def most(self) -> int:
        """How many words a report may have of it, at most."""
        return sum(phrase_of(one).weight for one in (*self.words, *self.sure)) + len(self.sure)


def categorise(
    text: str, categories: tuple[Category, ...], trouble: tuple[str, ...] = ()
) -> tuple[Category | None, list[str]]:
    """Find the category most words speak for; None on a tie or with fewer than MIN_WORDS.

    `trouble` are words that say that something is wrong, whatever it is: one of them is one word
    more for a category that has at least one of its own.

    >>> quality = Category("answers", ("wrong", "refund*"), "agent", "ai-team", ("made up",))
    >>> categorise("The refunds answer is WRONG", (quality,))[1]
    ['wrong', 'refund*']
    >>> categorise("refund?", (quality,))
    (None, [])
    >>> categorise("refund fails", (quality,), ("fail*",))[1]
    ['refund*', 'fail*']
    """
    said = Said(text)
    bad = [(one, said.places(phrase_of(one))) for one in trouble]
    bad = [found for found in bad if found[1]]
    ranked = sorted((_weighed(said, one, bad) for one in categories), key=lambda found: -found[0])
    if not ranked or ranked[0][0] < MIN_WORDS:
        return None, []
    if len(ranked) > 1 and ranked[1][0] == ranked[0][0]:
        return None, []
    return ranked[0][1], ranked[0][2]


def _weighed(
    said: Said, category: Category, bad: list[tuple[str, frozenset[str | int]]]
) -> tuple[int, Category, list[str]]:
    entries = (*category.words, *category.sure)
    weight, met, covered = said.weigh([(one, phrase_of(one)) for one in entries])
    weight += sum(one in category.sure for one in met)
    if met:
        besides = [one for one, places in bad if not places <= covered][:1]
        return weight + len(besides), category, [*met, *besides]
    return weight, category, met
