"""The policy handbook of a made-up shop: articles, some replaced, some for one country or customer.

Law: an article says from when it holds, which one it replaces, and for whom; nothing is looked up
by its place in a file. The handbook was written for this project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from pathlib import Path

from msgspec import Struct, structs

from midwatch.errors import BadFile

HANDBOOK = Path(__file__).parent / "handbook"
_HEAD = re.compile(r"## ([a-z0-9-]+): (.+)")
_FACT = re.compile(
    r"since (\d{4}-\d\d-\d\d)|replaces ([a-z0-9-]+)|only in (\w\w)|(season)"
    r"|(only for business customers)"
)


class Article(Struct, frozen=True):
    """One rule of the shop; `topic` is its file, `season` that it holds around the holidays."""

    id: str
    topic: str
    title: str
    text: str
    since: str
    replaces: str = ""
    country: str = ""
    business: bool = False
    season: bool = False
    asked: str = ""  # words by which customers look for it


def read(text: str, topic: str, name: str = "") -> list[Article]:
    r"""Read a file of articles. Raises BadFile.

    >>> text = "## a-b: How long\n> since 2025-01-01, only in CH\n? when\nTwo days.\nOr three."
    >>> (one,) = read(text, "t")
    >>> one.title, one.text, one.country, one.asked
    ('How long', 'Two days. Or three.', 'CH', 'when')
    """
    found: list[Article] = []
    for number, block in enumerate(re.split(r"(?m)^(?=## )", text)[1:], start=1):
        lines = block.strip().splitlines()
        head = _HEAD.fullmatch(lines[0])
        if head is None or len(lines) < 3 or not lines[1].startswith("> "):
            raise BadFile(
                f"article {number}: {lines[0]!r} is not an article",
                place=name or topic,
                remedy='write "## id: title", "> since 2025-01-01", "? search words", its text',
            )
        asked = lines[2][2:] if lines[2].startswith("? ") else ""
        body = " ".join(lines[3 if asked else 2 :])
        one = _article(head[1], topic, head[2], lines[1][2:], body, name)
        found.append(structs.replace(one, asked=asked))
    return found


def _article(name: str, topic: str, title: str, facts: str, text: str, file: str) -> Article:
    since, replaces, country, season, business = "", "", "", False, False
    for fact in facts.split(", "):
        match = _FACT.fullmatch(fact)
        if match is None:
            raise BadFile(f"{name}: {fact!r} is not understood", place=file or topic)
        since, replaces = match[1] or since, match[2] or replaces
        country = match[3] or country
        season, business = season or bool(match[4]), business or bool(match[5])
    date.fromisoformat(since)
    return Article(name, topic, title, text, since, replaces, country, business, season)


@lru_cache(1)
def handbook() -> tuple[Article, ...]:
    """Read the handbook that comes with midwatch."""
    files = sorted(HANDBOOK.glob("*.md"))
    return tuple(a for file in files for a in read(file.read_text("utf-8"), file.stem, file.name))


def in_force(articles: Iterable[Article], old: str = "") -> list[Article]:
    """Keep what holds: the newest of each; of the topic `old` the one that was replaced.

    >>> names = {one.id for one in in_force(handbook(), old="delivery")}
    >>> "returns-window-2023" in names, "delivery-cost-2023" in names, "delivery-cost" in names
    (False, True, False)
    """
    known = list(articles)
    gone = {one.replaces for one in known if one.replaces and one.topic != old}
    gone |= {one.id for one in known if one.replaces and one.topic == old}
    return [one for one in known if one.id not in gone]
