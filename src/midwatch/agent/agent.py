"""The support agent: it finds the passage that answers, names its source, or hands over.

Law: the same release, surroundings, talk and time give the same reply, whatever the process. It
says only what stands in the handbook or in an order; what it does not know it hands over to a
person. A talk is known by an id that nobody can guess another one's from.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Protocol

from msgspec import Struct

from midwatch.agent.articles import Article
from midwatch.agent.index import Found, Index, words_of
from midwatch.agent.orders import Unavailable
from midwatch.agent.releases import Release
from midwatch.agent.surroundings import LOST, Cached, Surroundings

MAX_QUESTION = 2_000
MAX_TALKS = 10_000
MAX_SLIPS = 10_000
SCORE = 0.02  # BM25 beside the share that is covered
SPECIAL = 1.4  # what holds for one country or kind of customer alone counts more than the general
PRICE_IN, PRICE_OUT = 0.2e-6, 0.8e-6  # euros for a word in and out: a small model's
HANDS_OVER = "I do not know that. I hand you over to a person, who answers here."
UNAVAILABLE = "I cannot look that up right now. I hand you over to a person, who answers here."
EMPTY = "What can I help you with?"

_ORDER = re.compile(r"(?<!\d)\d{5}(?!\d)")
_PLACES = {
    "CH": "switzerland swiss zurich bern basel geneva lucerne schweiz francs twint",
    "AT": "austria austrian vienna graz linz bregenz wien",
    "UK": "uk kingdom london england english britain scotland scottish wales",
    "DE": "germany german berlin hamburg kiel munich helgoland deutschland",
}
_NEXT = {"CH": "AT", "AT": "UK", "UK": "DE", "DE": "CH"}
_COUNTRIES = {place: code for code, places in _PLACES.items() for place in places.split()}
# A shop in a town, and help in a language, say nothing about where somebody lives.
_NOT_A_HOME = frozenset(("kiel", "hamburg", "bregenz", "english", "german"))
_BUSINESS = frozenset(
    ["company", "companies", "firm", "firms", "business", "businesses", "colleagues", "employer"]
)


_PLACE_WORDS = (frozenset(_COUNTRIES) - _NOT_A_HOME) | _BUSINESS


class Reply(Struct, frozen=True):
    """What the agent said, where it stands, and what it took.

    `outcome` is answered, handed over or failed; `seconds` is what back ends took, in their own
    time; `words_in` and `words_out` are what a model would be paid for, `cost` that in euros.
    """

    text: str
    source: str
    outcome: str
    seconds: float = 0.0
    words_in: int = 0
    words_out: int = 0

    @property
    def cost(self) -> float:
        """Give the price in euros."""
        return self.words_in * PRICE_IN + self.words_out * PRICE_OUT


class Talk(Struct):
    """What somebody has said that later questions need."""

    country: str = ""
    business: bool = False
    order: str = ""


class Model(Protocol):
    """A language model behind the agent, when there is one."""

    def phrase(self, question: str, passage: str) -> str:
        """Say the passage as an answer. Raises Unavailable."""
        ...


class Agent:
    """One release, at work in its surroundings."""

    def __init__(
        self,
        release: Release,
        surroundings: Surroundings,
        clock: Callable[[], float],
        model: Model | None = None,
        index: Index | None = None,
    ) -> None:
        """`clock` gives seconds since the epoch; `index` stands in for the release's own."""
        self.release = release
        self._around = surroundings
        self._clock = clock
        self._model = model
        self._index = index or surroundings.index(release.index)
        self._slips: dict[str, str] = {}
        self._talks: OrderedDict[str, Talk] = OrderedDict()

    def ask(self, question: str, talk: str = "") -> Reply:
        """Answer a question; `talk` names what went before it, "" for a question on its own.

        >>> from midwatch.agent.releases import BASELINE
        >>> agent = Agent(BASELINE, Surroundings(), lambda: 0.0)
        >>> agent.ask("What does a return cost?").source
        'returns-cost'
        >>> agent.ask("I live in Switzerland", "t-1").outcome
        'answered'
        >>> agent.ask("What does a return cost?", "t-1").text[:39]
        'From Switzerland a return costs 12 fran'
        """
        known = self._talk(talk)
        text = question[:MAX_QUESTION]
        words = self._words(text)
        self._hear(known, text, words)
        if _PLACE_WORDS.issuperset(words):
            return Reply(EMPTY, "", "answered")
        if (number := self._order_asked(known, text)) is not None:
            return self._look_up(number)
        cached = self._around.cache.get(_key(words, known))
        if cached is not None:
            return Reply(cached.text, cached.source, "answered", 0.0, 0, len(cached.text.split()))
        if self._around.provider in self._around.providers_down:
            return Reply(UNAVAILABLE, "", "failed")
        return self._answer(text, words, known)

    def key_of(self, question: str) -> str:
        """Name a question on its own, for the cache."""
        talk = Talk()
        words = self._words(question)
        self._hear(talk, question, words)
        return _key(words, talk)

    # --- the talk ---

    def _talk(self, name: str) -> Talk:
        if not name:
            return Talk()
        known = self._talks.setdefault(name, Talk())
        self._talks.move_to_end(name)
        if len(self._talks) > MAX_TALKS:
            self._talks.popitem(last=False)
        return known

    def knows(self, talk: str) -> bool:
        """Say whether a talk of this name is remembered."""
        return talk in self._talks

    def _words(self, text: str) -> list[str]:
        """Take the words of a question as they were meant, each once."""
        return list(dict.fromkeys(map(self._meant, words_of(text))))

    def _meant(self, word: str) -> str:
        """Give the word that was meant; slips come again and again, and are looked up once."""
        meant = self._slips.get(word)
        if meant is None:
            if len(self._slips) >= MAX_SLIPS:
                self._slips.clear()
            meant = self._slips[word] = self._index.meant(word, _PLACE_WORDS)
        return meant

    def _hear(self, talk: Talk, text: str, said: Sequence[str]) -> None:
        """Take from a question what later ones need."""
        for word in said:
            code = _COUNTRIES.get(word)
            if code is not None and word not in _NOT_A_HOME:
                talk.country = _NEXT[code] if self.release.countries == "shifted" else code
        if not _BUSINESS.isdisjoint(said):
            talk.business = True
        if "private" in said:
            talk.business = False
        if found := _ORDER.search(text):
            talk.order = found[0]

    def _order_asked(self, talk: Talk, text: str) -> str | None:
        """Give the number of the order that is asked about, None when it is another question."""
        named = _ORDER.search(text) is not None
        words = set(re.findall(r"\w+", text.casefold()))
        about = bool(words & {"order", "parcel", "it", "track", "status"}) and bool(
            words
            & {
                "where",
                "track",
                "status",
                "left",
                "come",
                "arrive",
                "here",
                "delivered",
                "happened",
            }
        )
        if talk.order and (named or about):
            return talk.order
        return None

    # --- the tool ---

    def _look_up(self, number: str) -> Reply:
        """Look an order up, trying again at once when it is refused."""
        for _ in range(self.release.tries):
            try:
                found, took = self._around.orders.look_up(number, self._clock())
            except Unavailable:
                continue
            return self._told(number, found, took)
        return Reply(UNAVAILABLE, "", "failed")

    def _told(self, number: str, found: dict[str, str], took: float) -> Reply:
        if not found:
            return Reply(f"I know no order {number}. {HANDS_OVER}", "", "handed over", took)
        state, day = ("state", "day") if self.release.order_schema == 2 else ("phase", "due")
        if state not in found or day not in found:
            return Reply(UNAVAILABLE, "", "failed", took)
        text = f"Order {number} is {found[state]}, {found[day]}."
        if found[state] == "with the carrier":
            text = f"Order {number} is with the carrier and comes on {found[day]}."
        return Reply(text, f"order {number}", "answered", took, 6, len(text.split()))

    # --- the handbook ---

    def _answer(self, text: str, words: Sequence[str], talk: Talk) -> Reply:
        found = self._index.search(
            words, self.release.top_k, talk.country, business=talk.business, places=_PLACE_WORDS
        )
        found = [one for one in found if self._holds(one.chunk.article)]
        read = sum(len(one.chunk.text.split()) for one in found)
        if not found:
            return Reply(HANDS_OVER, "", "handed over", 0.0, read, 12)
        best = max(found, key=_worth)
        off = {best.chunk.article.topic, best.chunk.article.id} & self._around.off
        if best.covers < self.release.abstain_below or off:
            return Reply(HANDS_OVER, "", "handed over", 0.0, read, 12)
        passage = _cut(best.chunk.text, self.release.answer_chars)
        if self._model is not None:
            try:
                passage = self._model.phrase(text, passage)
            except Unavailable:
                return Reply(UNAVAILABLE, "", "failed", 0.0, read, 0)
        said = self._worded(passage, best.chunk.article, found)
        return Reply(said, best.chunk.article.id, "answered", 0.0, read, len(said.split()))

    def _holds(self, article: Article) -> bool:
        """Say whether a rule of the holidays holds today, as far as the release knows its year."""
        if not article.season:
            return True
        today = datetime.fromtimestamp(self._clock(), UTC).date()
        season = self._around.season
        begins, ends = date(season, 11, 1), date(season + 1, 1, 31)
        # Between two holidays it is still an answer to "how was it"; in a season that the
        # configured year does not know it is thought to be over.
        return begins <= today <= ends or today.month in range(2, 11)

    def _worded(self, passage: str, article: Article, found: Sequence[Found]) -> str:
        others = dict.fromkeys(
            one.chunk.article.title
            for one in found
            if one.chunk.article.topic == article.topic and one.chunk.article.id != article.id
        )
        more = f" See also: {'; '.join(others)}." if others else ""
        if self.release.wording == "friendly":
            return f"Happy to help! {passage} (From our handbook: {article.title}.){more}"
        return f"{passage} (Source: {article.title}.){more}"


def _worth(found: Found) -> float:
    article = found.chunk.article
    special = SPECIAL if article.country or article.business else 1.0
    return special * (found.covers + SCORE * found.score)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0] + " ..."


def _key(words: Iterable[str], talk: Talk) -> str:
    """Name a question in its context."""
    return f"{talk.country}/{'b' if talk.business else ''}/{' '.join(sorted(words))}"


def deploy(release: Release, around: Surroundings, frequent: Iterable[str]) -> None:
    """Put a release in place: its index is built, and what its jobs do is done.

    `frequent` are the questions for which answers are made before anybody asks.
    """
    index = around.index(release.index)
    if release.leaves == "lost part":
        index.lose(LOST)
    elif release.leaves == "stale cache":
        clean = Surroundings(articles=around.articles)
        old = Agent(release, clean, lambda: 0.0, index=around.old_index())
        for question in frequent:
            reply = old.ask(question)
            if reply.outcome == "answered":
                around.cache[old.key_of(question)] = Cached(reply.text, reply.source)
