"""Releases of the agent: each a real difference of config and index, with a digest.

Law: nothing here says how good a release is; that is measured. A release changes only what its
config says; what it leaves behind in its surroundings when it is deployed stands in `leaves`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Struct

from midwatch.errors import InputError

Leaves = Literal["", "lost part", "stale cache"]


class IndexConfig(Struct, frozen=True):
    """How articles become the index: words of a chunk, whether titles count, stemmer, old topic."""

    chunk_words: int = 80
    titles: bool = True
    tokenizer: Literal["porter unicode61", "unicode61"] = "porter unicode61"
    old_topic: str = ""


class Release(Struct, frozen=True):
    """Everything that makes one release differ from another.

    `top_k` chunks are looked at; `abstain_below` is the share of a question's weight that an answer
    must cover; an answer has at most `answer_chars`; `order_schema` is what the look-up expects;
    `tries` of a look-up that times out; `countries` is the table that turns places into countries.
    """

    name: str
    says: str
    index: IndexConfig = IndexConfig()
    top_k: int = 10
    abstain_below: float = 0.40
    answer_chars: int = 700
    order_schema: int = 2
    tries: int = 2
    countries: Literal["right", "shifted"] = "right"
    wording: Literal["plain", "friendly"] = "plain"
    leaves: Leaves = ""

    @property
    def digest(self) -> str:
        """Give the hash of config and index; name and description are no part of it."""
        text = msgspec.json.encode(msgspec.structs.replace(self, name="", says=""))
        return blake2b(text, digest_size=16).hexdigest()


def _all() -> dict[str, Release]:
    found = [
        Release("v1-good", "the baseline"),
        Release("small-chunks", "chunks of 12 words", IndexConfig(chunk_words=12)),
        Release("top-1", "looks at one chunk", top_k=1),
        Release("no-titles", "titles are not in the chunks", IndexConfig(titles=False)),
        Release("no-stemmer", "words are not stemmed", IndexConfig(tokenizer="unicode61")),
        Release("part-missing", "its index job loses the part on warranty", leaves="lost part"),
        Release(
            "old-delivery", "delivery from the old handbook", IndexConfig(old_topic="delivery")
        ),
        Release("short-answers", "answers end after 70 characters", answer_chars=70),
        Release("order-schema", "expects another schema of the orders", order_schema=3),
        Release(
            "stale-cache", "its job warms the cache from the old handbook", leaves="stale cache"
        ),
        Release("wrong-country", "its table of places is shifted by one", countries="shifted"),
        Release("retry-storm", "tries a look-up eight times", tries=8),
        Release("hands-over", "hands over what it covers by less than 90 %", abstain_below=0.9),
        Release("invents", "hands over nothing", abstain_below=0.0),
        Release("k-9", "looks at nine chunks", top_k=9),
        Release("friendly", "another wording", wording="friendly"),
    ]
    return {one.name: one for one in found}


RELEASES = _all()
BASELINE = RELEASES["v1-good"]


def find(name: str) -> Release:
    """Find a release by name or digest. Raises InputError.

    >>> find("k-9").top_k
    9
    """
    for one in RELEASES.values():
        if name in (one.name, one.digest):
            return one
    raise InputError(f"the agent has no release {name!r}", remedy="midwatch agent releases")
