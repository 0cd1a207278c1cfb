"""The search index: chunks of articles in SQLite's FTS5, ranked by BM25.

Law: the same articles and config give the same index, byte for byte in its digest. What a user
writes reaches the search as quoted words only, never as query syntax.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Container, Iterable, Sequence
from collections.abc import Set as AbstractSet
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct

from midwatch.agent.articles import Article, in_force
from midwatch.agent.releases import IndexConfig
from midwatch.agent.spelling import ALIKE, corrected

TITLE_WEIGHT = 2.0
MAX_WORDS = 40
MAX_KNOWN = 20_000
_WORD = re.compile(r"[^\W_]+")
# Words that say nothing of what a question is about.
_STOP = """
a about after all am an and any are as at be been but by can could did do does for from get
go had has have hello hi how i if in is it its just may me must my no not now of on or
our please so some still tell than that the their them then there they thing things this to
up us was we what whats which whom why will with would yes you your hi there thanks lot
thank dear hey ok tell say says see take takes give given keep kept bring need want
live lives living writing question
"""
STOP = frozenset(_STOP.split())


class Chunk(Struct, frozen=True):
    """A part of an article as it is found and shown."""

    row: int
    article: Article
    text: str


class Found(Struct, frozen=True):
    """A chunk, its BM25 (more is better), and the share of the question's weight that it covers."""

    chunk: Chunk
    score: float
    covers: float


def words_of(text: str) -> list[str]:
    r"""Take the words of a question that say what it is about, each once.

    >>> words_of("What does a RETURN cost?  \" OR NEAR(x)")
    ['return', 'cost', 'near', 'x']
    """
    found = dict.fromkeys(_WORD.findall(text.casefold()))
    return [word for word in found if word not in STOP][:MAX_WORDS]


def chunks(article: Article, size: int) -> list[str]:
    """Cut an article into parts of about `size` words, at sentences where they allow it.

    >>> one = Article("a", "t", "T", "One two three. Four five. Six.", "2025-01-01")
    >>> chunks(one, 4)
    ['One two three.', 'Four five. Six.']
    """
    found: list[list[str]] = [[]]
    for sentence in re.split(r"(?<=[.!?]) ", article.text):
        words = sentence.split()
        if found[-1] and len(found[-1]) + len(words) > size:
            found.append([])
        while len(words) > size:
            found[-1] += words[:size]
            words = words[size:]
            found.append([])
        found[-1] += words
    return [" ".join(words) for words in found if words]


def _named(article: Article, *, titles: bool) -> tuple[str, str]:
    return (article.title, article.asked) if titles else ("", "")


class Index:
    """What can be searched. A part of it can be lost, and restored by building anew."""

    def __init__(self, articles: Iterable[Article], config: IndexConfig, file: Path | None = None):
        self.config = config
        self._articles = {one.id: one for one in in_force(articles, config.old_topic)}
        self._db = sqlite3.connect(
            file or ":memory:", isolation_level=None, check_same_thread=False
        )
        self._chunks: dict[int, Chunk] = {}
        self._rows: dict[str, frozenset[int]] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        self._known: frozenset[str] = frozenset()
        self._parts = [
            (*_named(article, titles=config.titles), text, article.id)
            for article in self._articles.values()
            for text in chunks(article, config.chunk_words)
        ]
        made_of = (config.tokenizer, self._parts)
        self.digest = blake2b(repr(made_of).encode(), digest_size=16).hexdigest()
        if self._is_built():
            self._load()
        else:
            self.build()

    def build(self) -> None:
        """Build it from the articles, whatever was there."""
        self._db.execute("DROP TABLE IF EXISTS chunk")
        self._db.execute(
            "CREATE VIRTUAL TABLE chunk USING fts5(title, asked, body, article UNINDEXED,"
            f" tokenize = '{self.config.tokenizer}')"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS built (digest TEXT)")
        self._db.execute("DELETE FROM built")
        self._db.executemany(
            "INSERT INTO chunk (title, asked, body, article) VALUES (?, ?, ?, ?)",
            self._parts,
        )
        self._db.execute("INSERT INTO built VALUES (?)", (self.digest,))
        self._load()

    @property
    def is_whole(self) -> bool:
        """Whether no part of it is lost."""
        return len(self._chunks) == len(self._parts)

    def _is_built(self) -> bool:
        """Say whether the file holds this very index."""
        named = "SELECT count(*) FROM sqlite_master WHERE name = 'built'"
        if not self._db.execute(named).fetchone()[0]:
            return False
        return self._db.execute("SELECT digest FROM built").fetchall() == [(self.digest,)]

    def lose(self, topic: str) -> None:
        """Lose a topic's part."""
        gone = [(row,) for row, one in self._chunks.items() if one.article.topic == topic]
        self._db.executemany("DELETE FROM chunk WHERE rowid = ?", gone)
        self._load()

    def _load(self) -> None:
        found = self._db.execute("SELECT rowid, article, body FROM chunk").fetchall()
        self._chunks = {row: Chunk(row, self._articles[name], text) for row, name, text in found}
        self._rows.clear()
        self._groups.clear()
        written = (
            f"{one.article.title} {one.article.asked} {one.text}" for one in self._chunks.values()
        )
        words = {word for text in written for word in _WORD.findall(text.casefold())}
        self._known = frozenset(words | set(ALIKE) | STOP)

    def __len__(self) -> int:
        return len(self._chunks)

    def search(
        self,
        words: Sequence[str],
        limit: int,
        country: str = "",
        *,
        business: bool = False,
        places: Container[str] = (),
    ) -> list[Found]:
        """Find the chunks that hold for a country and a kind of customer, best first.

        Of the words, `places` are the names of the country and of such customers: what holds for
        them alone has them all.
        """
        if not words or limit < 1:
            return []
        groups = {word: self._group(word) for word in words}
        meant = dict.fromkeys(word for group in groups.values() for word in group)
        query = " OR ".join(f'"{word}"' for word in meant)
        # What holds for others is left out here, not in SQL: it is little, and the rank is of all.
        rows = self._db.execute(
            "SELECT rowid, bm25(chunk, ?, 1.0, 1.0) FROM chunk WHERE chunk MATCH ?"
            " ORDER BY 2, rowid LIMIT ?",
            (TITLE_WEIGHT, query, 4 * limit + 20),
        )
        hits = [self._hits(group) for group in groups.values()]
        placed = [word in places for word in words]
        total = sum(weight for weight, _ in hits)
        found: list[Found] = []
        for row, rank in rows:
            chunk = self._chunks[row]
            article = chunk.article
            if (article.country and article.country != country) or (
                article.business and not business
            ):
                continue
            special = bool(article.country or article.business)
            hit = sum(
                weight
                for (weight, rows), is_place in zip(hits, placed, strict=True)
                if row in rows or (special and is_place)
            )
            found.append(Found(chunk, -rank, hit / total))
            if len(found) == limit:
                break
        return found

    def meant(self, word: str, also: AbstractSet[str] = frozenset()) -> str:
        """Give the word that was meant, when it is a slip."""
        return corrected(word, self._known | also if also else self._known)

    def _group(self, word: str) -> tuple[str, ...]:
        """Give a word as it was meant, and what the handbook may call it."""
        group = self._groups.get(word)
        if group is None:
            if len(self._groups) >= MAX_KNOWN:
                self._groups.clear()
            meant = self.meant(word)
            group = self._groups[word] = ALIKE.get(meant, (meant,))
        return group

    def _hits(self, group: Iterable[str]) -> tuple[float, frozenset[int]]:
        """Say how much a word tells, the more the fewer chunks have it, and which have it."""
        rows = frozenset[int]().union(*map(self._having, group))
        return math.log(1 + (len(self._chunks) - len(rows) + 0.5) / (len(rows) + 0.5)), rows

    def _having(self, word: str) -> frozenset[int]:
        rows = self._rows.get(word)
        if rows is None:
            if len(self._rows) >= MAX_KNOWN:
                self._rows.clear()
            query = "SELECT rowid FROM chunk WHERE chunk MATCH ?"
            rows = frozenset(row for (row,) in self._db.execute(query, (f'"{word}"',)))
            self._rows[word] = rows
        return rows

    def close(self) -> None:
        """Let the file go."""
        self._db.close()
