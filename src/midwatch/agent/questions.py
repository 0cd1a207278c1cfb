"""Questions with the facts that an answer must and must not contain, and the source.

Law: what people ask is written by hand in bank.txt; variants come from the rules below and never
from an article's own sentences. A question is in one part alone: the gate's suite, or the online
sample; so are all variants of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from msgspec import Struct

from midwatch.agent.articles import handbook
from midwatch.errors import BadFile

BANK = Path(__file__).parent / "bank.txt"
Part = Literal["suite", "online"]
_HEAD = re.compile(r"@ (none|order (\d{5})|[a-z0-9-]+)(?:: (.+?))?(?:  not: (.+))?")


class Question(Struct, frozen=True):
    """One talk, whose last turn is judged; `slices` say what kind it is, such as topic=delivery."""

    id: str
    turns: tuple[str, ...]
    must: tuple[str, ...]
    must_not: tuple[str, ...]
    source: str  # "" when it has to be handed over to a person
    slices: tuple[str, ...]
    part: Part


@lru_cache(1)
def bank() -> tuple[Question, ...]:
    """Read the bank that comes with midwatch, with its variants."""
    return tuple(read(BANK.read_text("utf-8")))


def part(name: Part) -> tuple[Question, ...]:
    """Give one part of the bank."""
    return tuple(one for one in bank() if one.part == name)


def read(text: str) -> Iterator[Question]:
    """Read questions and make their variants. Raises BadFile with the line."""
    topics = {one.id: one for one in handbook()}
    head: re.Match[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("@"):
            head = _HEAD.fullmatch(line)
            if head is None or not (head[2] or head[1] == "none" or head[1] in topics):
                raise BadFile(f"{line!r} has no article", place=f"{BANK.name}:{number}")
            continue
        if head is None:
            raise BadFile("a question before the first @", place=f"{BANK.name}:{number}")
        turns = tuple(turn.strip() for turn in line.split(" > "))
        yield from _variants(head, turns)


def _variants(head: re.Match[str], turns: tuple[str, ...]) -> Iterator[Question]:
    base = blake2b(" > ".join(turns).encode(), digest_size=4).hexdigest()
    draw = int(base, 16)
    where: Part = "online" if draw % 2 else "suite"
    yield _question(head, base, turns, "plain", where)
    # A third of all is asked once more by somebody who types badly, a sixth by one who chats.
    if draw // 2 % 3 == 0:
        yield _question(head, base + "-typo", (*turns[:-1], misspelt(turns[-1])), "typo", where)
    elif draw // 2 % 6 == 1:
        chat = f"hi there, {turns[-1]}? thanks a lot"
        yield _question(head, base + "-chat", (*turns[:-1], chat), "chatty", where)


def _question(
    head: re.Match[str], name: str, turns: tuple[str, ...], phrasing: str, where: Part
) -> Question:
    article = next((one for one in handbook() if one.id == head[1]), None)
    source = f"order {head[2]}" if head[2] else "" if article is None else article.id
    topic = article.topic if article else "orders-tool" if head[2] else "unanswerable"
    slices = [f"topic={topic}", f"phrasing={phrasing}"]
    if article is not None:
        slices.append(f"country={article.country or 'any'}")
        if article.business:
            slices.append("customer=business")
        if article.replaces:
            slices.append("policy=replaced")
    if len(turns) > 1:
        slices.append("turns=many")
    return Question(name, turns, _list(head[3]), _list(head[4]), source, tuple(slices), where)


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(text.split("; ")) if text else ()


def misspelt(text: str) -> str:
    """Swap two letters inside the longest word, as hurried fingers do.

    >>> misspelt("what does a return cost")
    'what does a rteurn cost'
    """
    longest = max(text.split(), key=len)
    if len(longest) < 5 or not longest.isalpha():
        return text
    wrong = longest[0] + longest[2] + longest[1] + longest[3:]
    return text.replace(longest, wrong, 1)


def slices_of(questions: Iterable[Question]) -> dict[str, list[Question]]:
    """Group questions by slice."""
    found: dict[str, list[Question]] = {}
    for one in questions:
        for name in one.slices:
            found.setdefault(name, []).append(one)
    return dict(sorted(found.items()))


def frequent(questions: Sequence[Question]) -> list[str]:
    """List what is asked without anything before it."""
    return [one.turns[0] for one in questions if len(one.turns) == 1]
