"""What a text says: its words, and whether a word or a phrase that people configured stands in it.

Law: what is looked for is found as people write it, in any case, with or without accents, and
nothing is found that was not asked for. Looking takes time in proportion to the text, whatever the
text is.

    card             this word
    pay*             words that begin so; *zahlung that end so; *zahlung* that have it inside
    charged twice    these words, one after the other
    log ... in       the same, with at most GAP others between
    信用卡            anywhere: Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

GAP = 3
LEAST_PREFIX, LEAST_INSIDE = 2, 3  # letters beside a *
SIGNS_A_WORD = 4  # where there are no spaces; a Chinese character counts as two signs
_KEPT = 4_096
_CHINESE = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = f"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff{_CHINESE}"
_is_unspaced = re.compile(f"[{_UNSPACED}]").search
_chinese = re.compile(f"[{_CHINESE}]")
_runs = re.compile(f"[{_UNSPACED}]+")
_words = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u0060\u00b4", "'"))
_LATIN_ENDS = 0x250


def plain(text: str) -> str:
    """Write a text without regard to case, width and accents.

    >>> plain("D\u00c9BIT\u00c9, Stra\u00dfe, \uff76\uff70\uff84\uff9e")
    'debite, strasse, \u30ab\u30fc\u30c9'
    """
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold()
    if text.isascii():
        return text
    kept: list[str] = []
    latin = False
    for sign in unicodedata.normalize("NFD", text):
        if unicodedata.combining(sign):
            if latin:
                continue
        else:
            latin = ord(sign) < _LATIN_ENDS
        kept.append(sign)
    return unicodedata.normalize("NFC", "".join(kept))


def words_of(text: str) -> frozenset[str]:
    """Take the words of a text, without regard to case, accents, order and signs.

    Where there are no spaces, each two neighbouring signs are taken for one.

    >>> sorted(words_of("It is DOWN! can't log in."))
    ["can't", 'down', 'in', 'is', 'it', 'log']
    >>> sorted(words_of("\u767b\u5f55\u4e0d")) == ["\u5f55\u4e0d", "\u767b\u5f55"]
    True
    """
    text = plain(text)
    found = set(_words.findall(_runs.sub(" ", text)))
    for run in _runs.findall(text):
        found.update(run[at : at + 2] for at in range(max(len(run) - 1, 1)))
    return frozenset(found)


class _Step(Struct, frozen=True):
    """One word of a phrase; `far` when others may stand before it."""

    text: str
    begins: bool
    ends: bool
    far: bool = False

    def fits(self, word: str) -> bool:
        if self.begins and self.ends:
            return word == self.text
        if self.begins:
            return word.startswith(self.text)
        return word.endswith(self.text) if self.ends else self.text in word

    @property
    def sought(self) -> str:
        """What stands in all words, each between two spaces, when this one does."""
        return f"{' ' if self.begins else ''}{self.text}{' ' if self.ends else ''}"


class Phrase(Struct, frozen=True):
    """What is looked for: words in their order, or `inside`, which stands anywhere.

    `weight` is how many words it counts for.
    """

    steps: tuple[_Step, ...]
    inside: str
    weight: int


@lru_cache(_KEPT)
def phrase_of(given: str) -> Phrase:
    """Read what people configured. Raises ValueError with what is wrong, when it can never fit.

    >>> phrase_of("log ... in*").weight, phrase_of("\u652f\u6255").weight
    (2, 1)
    >>> phrase_of("a*b")
    Traceback (most recent call last):
    ValueError: has a * within a word; put it at an end
    """
    text = plain(given)
    if _is_unspaced(text):
        inside = _squeezed(text.strip("* "))
        if "*" in inside:
            raise ValueError("has a * within a word; put it at an end")
        signs = len(inside) + len(_chinese.findall(inside))
        return Phrase((), inside, max(1, signs // SIGNS_A_WORD))
    steps: list[_Step] = []
    far = False
    for part in text.replace("\u2026", "...").split():
        if part == "...":
            if not steps or far:
                raise ValueError("has ... at its beginning or twice; put it between two words")
            far = True
            continue
        found = _steps(part, far=far)
        steps.extend(found)
        far = far and not found
    if not steps:
        raise ValueError("has neither a letter nor a digit, so no report has it; write a word")
    if far:
        raise ValueError("has ... at its end; put it between two words")
    return Phrase(tuple(steps), "", len(steps))


def _steps(part: str, *, far: bool) -> list[_Step]:
    """Read what stands between two spaces: signs part words here as they do in a report."""
    words = _words.findall(part)
    core = part.strip("*")
    if "*" in core:
        raise ValueError("has a * within a word; put it at an end")
    if not words:
        if "*" in part:
            raise ValueError("has a * without a word; put it at the end of one")
        return []
    begins, ends = not part.startswith("*"), not part.endswith("*")
    last = len(words) - 1
    steps = [
        _Step(word.replace("'", ""), begins or at > 0, ends or at < last, far and at == 0)
        for at, word in enumerate(words)
    ]
    for one in steps:
        least = LEAST_PREFIX if one.begins or one.ends else LEAST_INSIDE
        if not (one.begins and one.ends) and len(one.text) < least:
            raise ValueError(f"fits nearly all words; write at least {least} letters beside the *")
    return steps


def _squeezed(text: str) -> str:
    return "".join(text.split())


class Said:
    """The words of one text, to look for phrases in."""

    __slots__ = ("_all", "_forms", "_squeezed")

    def __init__(self, text: str) -> None:
        text = plain(text)
        self._squeezed = _squeezed(text) if _is_unspaced(text) else ""
        self._forms = [_forms(word) for word in _words.findall(_runs.sub(" ", text))]
        self._all = f" {' '.join(form for forms in self._forms for form in forms)} "

    def places(self, phrase: Phrase) -> frozenset[str | int]:
        """Give what a phrase fits, empty when it is not there: words, or the numbers of signs."""
        if phrase.inside:
            at = self._squeezed.find(phrase.inside)
            return frozenset(range(at, at + len(phrase.inside))) if at >= 0 else frozenset()
        if any(step.sought not in self._all for step in phrase.steps):
            return frozenset()
        first, *rest = phrase.steps
        for at, forms in enumerate(self._forms):
            if any(first.fits(form) for form in forms):
                found = self._follow(at, rest)
                if found:
                    return frozenset(self._forms[one][0] for one in (at, *found))
                if not rest:
                    return frozenset((forms[0],))
        return frozenset()

    def _follow(self, at: int, rest: list[_Step]) -> list[int]:
        """Find the other words of a phrase after its first one."""
        found: list[int] = []
        for step in rest:
            reach = at + 2 + (GAP if step.far else 0)
            near = range(at + 1, min(reach, len(self._forms)))
            fitting = (one for one in near if any(step.fits(form) for form in self._forms[one]))
            at = next(fitting, -1)
            if at < 0:
                return []
            found.append(at)
        return found

    def weigh(
        self, phrases: Iterable[tuple[str, Phrase]]
    ) -> tuple[int, list[str], frozenset[str | int]]:
        """Count the words of the text that phrases speak of, each once.

        Gives also the names of those that fit, and what they fit.

        >>> card, cards = phrase_of("credit card"), phrase_of("card*")
        >>> Said("My Credit-Card fails").weigh([("credit card", card), ("card*", cards)])[:2]
        (2, ['credit card', 'card*'])
        """
        met = [(name, one, self.places(one)) for name, one in phrases]
        met = [found for found in met if found[2]]
        covered: set[str | int] = set()
        weight = 0
        for _, phrase, places in sorted(met, key=lambda found: -found[1].weight):
            new = places - covered
            if new:
                weight += phrase.weight if phrase.inside else len(new)
            covered |= places
        return weight, [name for name, _, _ in met], frozenset(covered)


def _forms(word: str) -> tuple[str, ...]:
    """Give how a word may be meant: l'argent is argent, can't may be written cant."""
    whole = word.replace("'", "")
    return (whole,) if whole == word else (whole, word.rpartition("'")[2])
