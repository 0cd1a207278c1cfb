"""What no roll-back of the code changes: indexes, the warmed cache, back ends, overrides.

Law: a release may leave something behind here when it is deployed, and the next one finds it. Each
trouble has its own remedy, and none is cured by another one's.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field, structs

from midwatch.agent.articles import Article, handbook
from midwatch.agent.index import Index
from midwatch.agent.orders import OrderBackend
from midwatch.agent.releases import IndexConfig

LOST = "warranty"
PROVIDERS = ("first", "second")
SEASON = 2025  # the year in which the holiday rule begins; right in each release until it is not


class Cached(Struct, frozen=True):
    """An answer made before anybody asked."""

    text: str
    source: str


class Surroundings(Struct):
    """The world around the agent, shared by its releases."""

    articles: tuple[Article, ...] = field(default_factory=handbook)
    orders: OrderBackend = field(default_factory=OrderBackend)
    indexes: dict[IndexConfig, Index] = field(default_factory=dict[IndexConfig, Index])
    cache: dict[str, Cached] = field(default_factory=dict[str, Cached])
    provider: str = "first"
    providers_down: set[str] = field(default_factory=set[str])
    season: int = SEASON
    off: set[str] = field(default_factory=set[str])  # topics and articles, handed over for now

    def index(self, config: IndexConfig) -> Index:
        """Give the index of a config, built when it is not there yet."""
        if config not in self.indexes:
            self.indexes[config] = Index(self.articles, config)
        return self.indexes[config]

    def old_index(self) -> Index:
        """Give an index of everything that was replaced, as an old job would build it."""
        replaced = {one.replaces for one in self.articles if one.replaces}
        old = [
            structs.replace(one, replaces="")
            for one in self.articles
            if one.id in replaced or not one.replaces
        ]
        return Index(old, IndexConfig())

    # --- the remedies ---

    def restore_indexes(self) -> None:
        """Build every index anew."""
        for index in self.indexes.values():
            index.build()

    def purge_cache(self) -> None:
        """Forget what was made before anybody asked."""
        self.cache.clear()

    def disable(self, topics: Iterable[str]) -> None:
        """Hand these topics, or single articles, over to people."""
        self.off.update(topics)
