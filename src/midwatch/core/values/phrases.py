"""What a text says: its words, and whether a word or a phrase that people configured stands in it.

Law: what is looked for is found as people write it, in any case, with or without accents, and
nothing is found that was not asked for. Looking takes time in proportion to the text, whatever the
text is.

    card             this word
    pay*             words that begin so; *zahlung that end so; *zahlung* that have it inside
    charged twice    these words, one after the other
    log ... in       the same, with at most GAP others between, in one sentence
    not sent         also never sent, wasn't sent and didnt ...: not, nicht, pas and the Spanish no
                     are each written in many ways
    # seconds        any number in digits
    信用卡            anywhere: Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces
    英語 ... 返       both, with at most SIGNS_BETWEEN signs between, in one sentence
    届かない          also 届きません, 届かなかった, 届かず: a Japanese verb's no in each form
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import takewhile

from msgspec import Struct

GAP = 3
LEAST_PREFIX, LEAST_INSIDE = 2, 3  # letters beside a *
SIGNS_A_WORD = 4  # where there are no spaces; a Chinese character counts as two signs
SIGNS_BETWEEN = 10
NUMBER = "#"  # stands for any
_KEPT = 4_096
_CHINESE = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = f"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff{_CHINESE}"
_is_unspaced = re.compile(f"[{_UNSPACED}]").search
_chinese = re.compile(f"[{_CHINESE}]")
_runs = re.compile(f"[{_UNSPACED}]+")
_words = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SENTENCE_ENDS = r"(?<![.\u2026])[.!?](?=\s)|\u3002|\n\s*\n"
_tokens = re.compile(f"{_words.pattern}|(?P<end>{_SENTENCE_ENDS})")
_ends_inside = re.compile(f"(?:{_SENTENCE_ENDS}).*[^\\W_]", re.DOTALL).search
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u0060\u00b4", "'"))
_LATIN_ENDS = 0x250
# What people write for one no, without apostrophes and accents.
_NOES = (
    "not cannot never arent cant couldnt didnt doesnt dont hasnt havent isnt wasnt wont wouldnt",
    "nicht nie niemals nimmer",
    "pas plus jamais point",
    "no nunca jamas tampoco",
)
_NO = {words.split()[0]: tuple(words.split()) for words in _NOES}
_UMLAUTS = str.maketrans({"\xe4": "ae", "\xf6": "oe", "\xfc": "ue"})
# Japanese: 届か(ない), 届き(ません); and one way of writing for what has two.
_BEFORE_NAI, _BEFORE_MASEN = "かがさたなばまらわ", "きぎしちにびみりい"
_POLITE = str.maketrans(_BEFORE_NAI, _BEFORE_MASEN)
_TWO_WAYS = (("出来", "でき"), ("無い", "ない"), ("無く", "なく"), ("下さい", "ください"))


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
    """One word of a phrase, in each way of writing; `far` when others may stand before it."""

    texts: tuple[str, ...]
    begins: bool
    ends: bool
    far: bool = False

    def fits(self, word: str) -> bool:
        if self.begins and self.ends:
            return word in self.texts
        if self.begins:
            return word.startswith(self.texts)
        return word.endswith(self.texts) if self.ends else any(one in word for one in self.texts)

    def is_in(self, words: str) -> bool:
        """Whether all words, each between two spaces, have it."""
        before, after = " " if self.begins else "", " " if self.ends else ""
        return any(f"{before}{one}{after}" in words for one in self.texts)


class Phrase(Struct, frozen=True):
    """What is looked for: words in their order, or `inside`, which stands anywhere as a pattern.

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
    if _ends_inside(text):
        raise ValueError("continues after the end of a sentence; write two phrases")
    if _is_unspaced(text):
        return _anywhere(text.strip("* "))
    steps: list[_Step] = []
    far = False
    spelled = _spelled_out(given, text)
    for part, other in zip(text.split(), spelled.split(), strict=True):
        if part == "...":
            if not steps or far:
                raise ValueError("has ... at its beginning or twice; put it between two words")
            far = True
            continue
        found = _steps(part, other, far=far)
        steps.extend(found)
        far = far and not found
    if not steps:
        raise ValueError("has neither a letter nor a digit, so no report has it; write a word")
    if far:
        raise ValueError("has ... at its end; put it between two words")
    return Phrase(tuple(steps), "", len(steps))


def _spelled_out(given: str, text: str) -> str:
    """Write umlauts with an e, as who has no key for them does; `text` where that is no gain."""
    composed = unicodedata.normalize("NFC", given).casefold()
    spelled = plain(composed.translate(_UMLAUTS))
    return spelled if len(spelled.split()) == len(text.split()) else text


def _steps(part: str, other: str, *, far: bool) -> list[_Step]:
    """Read what stands between two spaces: signs part words here as they do in a report."""
    if part == NUMBER:
        return [_Step((NUMBER,), begins=True, ends=True, far=far)]
    words, others = _words.findall(part), _words.findall(other)
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
        _Step(_ways(word, spelled), begins or at > 0, ends or at < last, far and at == 0)
        for at, (word, spelled) in enumerate(zip(words, others, strict=True))
    ]
    for one in steps:
        least = LEAST_PREFIX if one.begins or one.ends else LEAST_INSIDE
        if not (one.begins and one.ends) and len(one.texts[0]) < least:
            raise ValueError(
                f"matches nearly all words; write at least {least} letters next to the *"
            )
    return steps


def _ways(word: str, spelled: str) -> tuple[str, ...]:
    """Give the ways in which people write a word."""
    word, spelled = word.replace("'", ""), spelled.replace("'", "")
    return _NO.get(word) or ((word,) if word == spelled else (word, spelled))


def _anywhere(text: str) -> Phrase:
    """Read what has no spaces: parts in their order, in one sentence."""
    parts = [_squeezed(part) for part in text.split("...")]
    if "" in parts:
        raise ValueError("has ... at its beginning, at its end or twice; put it between two words")
    if any("*" in part for part in parts):
        raise ValueError("has a * within a word; put it at an end")
    signs = sum(len(part) + len(_chinese.findall(part)) for part in parts)
    between = f"[^\u3002!?]{{0,{SIGNS_BETWEEN}}}?"
    return Phrase((), between.join(map(_inflected, parts)), max(len(parts), signs // SIGNS_A_WORD))


def _inflected(part: str) -> str:
    """Give the pattern of a part: what ends in ない is found in its verb's other forms, too."""
    stem = part.removesuffix("ない")
    if stem in ("", part):
        return _literal(part)
    polite = stem[:-1] + stem[-1].translate(_POLITE)
    forms = [f"{_literal(stem)}(?:な[いくかけ]|ず)", f"{_literal(polite)}ませ"]
    if stem.endswith("し"):
        forms.append(_literal(stem[:-1]) + "せず")
    if stem.endswith("こ"):
        forms.append(_literal(stem[:-1]) + "きませ")
    return f"(?:{'|'.join(forms)})"


def _literal(part: str) -> str:
    return re.escape(part).replace(re.escape(NUMBER), "[0-9]")


def _squeezed(text: str) -> str:
    text = "".join(text.split())
    for one, other in _TWO_WAYS:
        text = text.replace(one, other)
    return text


class Said:
    """The words of one text, to look for phrases in."""

    __slots__ = ("_all", "_forms", "_squeezed")

    def __init__(self, text: str) -> None:
        text = plain(text)
        self._squeezed = _squeezed(text) if _is_unspaced(text) else ""
        # The end of a sentence is a word of no form: nothing fits it, and no phrase goes over it.
        self._forms: list[tuple[str, ...]] = [
            () if found["end"] else _forms(found[0])
            for found in _tokens.finditer(_runs.sub(" ", text))
        ]
        self._all = f" {' '.join(form for forms in self._forms for form in forms)} "

    def places(self, phrase: Phrase) -> frozenset[str | int]:
        """Give what a phrase fits, empty when it is not there: words, or the numbers of signs."""
        if phrase.inside:
            found = re.search(phrase.inside, self._squeezed)
            return frozenset(range(*found.span())) if found else frozenset()
        if not all(step.is_in(self._all) for step in phrase.steps):
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
            near = takewhile(self._forms.__getitem__, range(at + 1, min(reach, len(self._forms))))
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
    """Give how a word may be meant: l'argent is argent, can't may be written cant, 7 a number."""
    if word.isdecimal():
        return (word, NUMBER)
    whole = word.replace("'", "")
    return (whole,) if whole == word else (whole, word.rpartition("'")[2])
