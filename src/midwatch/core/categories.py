"""What a report is about, by the words that people configured.

Law: it abstains rather than guesses: too few words, or as many for two categories, are none.
"""

from __future__ import annotations

from msgspec import Struct

from midwatch.core.phrases import Said, phrase_of

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


def categorise(text: str, categories: tuple[Category, ...]) -> tuple[Category | None, list[str]]:
    """Find the category most words speak for; None on a tie or with fewer than MIN_WORDS.

    >>> quality = Category("answers", ("wrong", "refund*"), "agent", "ai-team", ("made up",))
    >>> categorise("The refunds answer is WRONG", (quality,))[1]
    ['wrong', 'refund*']
    >>> categorise("refund?", (quality,))
    (None, [])
    """
    said = Said(text)
    ranked = sorted((_weighed(said, one) for one in categories), key=lambda found: -found[0])
    if not ranked or ranked[0][0] < MIN_WORDS:
        return None, []
    if len(ranked) > 1 and ranked[1][0] == ranked[0][0]:
        return None, []
    return ranked[0][1], ranked[0][2]


def _weighed(said: Said, category: Category) -> tuple[int, Category, list[str]]:
    entries = (*category.words, *category.sure)
    weight, met = said.weigh([(one, phrase_of(one)) for one in entries])
    return weight + sum(one in category.sure for one in met), category, met
