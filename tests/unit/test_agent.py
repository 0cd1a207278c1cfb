"""The support agent: what it says, what it remembers, and what each release really changes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.agent.agent import Agent, deploy
from midwatch.agent.articles import handbook, in_force
from midwatch.agent.grader import ask, judge
from midwatch.agent.index import Index, chunks
from midwatch.agent.orders import ORDERS, OrderBackend, Unavailable
from midwatch.agent.questions import Question, bank, frequent, part
from midwatch.agent.releases import BASELINE, RELEASES, IndexConfig
from midwatch.agent.surroundings import PROVIDERS, Surroundings

MARCH, DECEMBER = 1_772_400_000.0, 1_796_600_000.0
ONLINE = part("online")


def agent(name: str = "v1-good", around: Surroundings | None = None, now: float = MARCH) -> Agent:
    """A release in place."""
    around = around or Surroundings()
    release = RELEASES[name]
    deploy(release, around, frequent(ONLINE))
    return Agent(release, around, lambda: now)


def good(one: Agent, questions: tuple[Question, ...] = ONLINE) -> float:
    """The share of good answers."""
    return sum(judge(q, ask(one, q)).good for q in questions) / len(questions)


def about(topic: str) -> tuple[Question, ...]:
    """All questions of a topic."""
    return tuple(q for q in bank() if f"topic={topic}" in q.slices)


# --- the material -------------------------------------------------------------------------------


def test_the_handbook_is_whole() -> None:
    """Enough articles, each once; who is replaced is there; some hold in one country only."""
    names = Counter(one.id for one in handbook())
    assert len(names) >= 80
    assert max(names.values()) == 1
    assert all(one.replaces in names for one in handbook() if one.replaces)
    assert sum(bool(one.replaces) for one in handbook()) >= 10
    assert {one.country for one in handbook()} == {"", "CH", "AT", "UK"}
    assert sum(one.business for one in handbook()) >= 8


def test_the_bank_is_whole_and_its_parts_are_apart() -> None:
    """At least 400 questions, about 30 talks of several turns; no question in both parts."""
    assert len(bank()) >= 400
    assert len({one.id for one in bank()}) == len(bank())
    assert sum(len(one.turns) > 1 for one in bank()) >= 25
    assert not {q.turns for q in part("suite")} & {q.turns for q in ONLINE}
    bases = {part_: {q.id[:8] for q in part(part_)} for part_ in ("suite", "online")}
    assert not bases["suite"] & bases["online"]


def test_every_fact_stands_in_the_article_that_it_is_asked_of() -> None:
    """Else no agent could pass; and what must not be said does not."""
    articles = {one.id: one for one in handbook()}
    for one in bank():
        if one.source in articles:
            text = articles[one.source].text.casefold()
            assert all(fact.casefold() in text for fact in one.must), one
            assert not any(fact.casefold() in text for fact in one.must_not), one


def test_questions_are_not_the_articles_own_sentences() -> None:
    """Words that customers use: none stands in an article as it is."""
    texts = [f"{one.title} {one.text}".casefold() for one in handbook()]
    copied = [q.turns[-1] for q in bank() if any(q.turns[-1].casefold() in text for text in texts)]
    assert len(copied) <= 6, copied


# --- what it says -------------------------------------------------------------------------------


def test_most_answers_are_good_and_unknown_ones_are_handed_over() -> None:
    """The baseline is no dictionary: it is wrong now and then."""
    share = good(agent(), bank())
    assert 0.93 <= share < 1
    assert good(agent(), about("unanswerable")) >= 0.8


def test_country_and_customer_are_remembered_in_a_talk_only() -> None:
    """The next talk knows nothing of them."""
    one = agent()
    assert one.ask("What does a return cost?", "a").source == "returns-cost"
    one.ask("I am in Switzerland", "b")
    assert one.ask("What does a return cost?", "b").source == "returns-cost-ch"
    assert one.ask("What does a return cost?", "a").source == "returns-cost"
    assert one.ask("What does a return cost?").source == "returns-cost"


def test_an_order_is_looked_up_and_an_unknown_one_is_handed_over() -> None:
    """The tool answers from the back end, also in a later turn."""
    one = agent()
    assert "carrier" in one.ask("where is order 41207").text
    one.ask("my order is 41733", "t")
    assert "packed" in one.ask("has it left", "t").text
    assert one.ask("where is order 99999").outcome == "handed over"


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_nothing_that_is_asked_breaks_it(text: str) -> None:
    """Signs, queries and other scripts are words or nothing."""
    assert SHARED.ask(text, "fuzz").outcome in ("answered", "handed over", "failed")


SHARED = agent()


@pytest.mark.parametrize(
    "text",
    [
        'return" OR body:* NEAR(cost, 2) --',
        "'; DROP TABLE chunk; --",
        "\x00\x01\x02",
        "؟ما هي تكلفة",
        "return " * 5_000,
        "",
        "   ",
        "🦀",
        "chunk MATCH '*'",
        "{}[]()^:*-\"'",
    ],
)
def test_hostile_questions_get_an_answer(text: str) -> None:
    """Nothing of it reaches the search as syntax; the index is whole afterwards."""
    assert SHARED.ask(text).outcome in ("answered", "handed over")
    assert SHARED.ask("What does a return cost?").source == "returns-cost"


# --- its releases -------------------------------------------------------------------------------


def test_digests_tell_releases_apart_and_names_do_not_matter() -> None:
    """Each is another one; a digest covers config and index."""
    assert len({one.digest for one in RELEASES.values()}) == len(RELEASES)
    assert len(BASELINE.digest) == 32


@pytest.mark.parametrize(
    ("name", "topic", "at_most"),
    [
        ("order-schema", "orders-tool", 0.1),
        ("part-missing", "warranty", 0.1),
        ("wrong-country", "delivery", 0.85),
        ("old-delivery", "delivery", 0.85),
        ("invents", "unanswerable", 0.6),
    ],
)
def test_a_bad_release_is_bad_where_it_should_be(name: str, topic: str, at_most: float) -> None:
    """Small overall, large in one slice."""
    assert good(agent(name), about(topic)) <= at_most < good(agent(), about(topic))


@pytest.mark.parametrize("name", ["small-chunks", "top-1", "no-titles", "hands-over"])
def test_a_bad_release_is_bad_everywhere(name: str) -> None:
    """Ten points and more."""
    assert good(agent(name)) < good(agent()) - 0.1


@pytest.mark.parametrize("name", ["k-9", "friendly"])
def test_a_harmless_release_changes_answers_and_breaks_none(name: str) -> None:
    """What is said differs; what is right does not."""
    before, after = agent(), agent(name)
    replies = [(ask(before, q), ask(after, q), q) for q in ONLINE]
    assert sum(a.text != b.text for a, b, _ in replies) > 20
    assert all(judge(q, a).good == judge(q, b).good for a, b, q in replies)


# --- what a roll-back does not cure -------------------------------------------------------------


def test_a_lost_part_stays_lost_until_it_is_restored() -> None:
    """The old code finds the same hole; only building anew fills it."""
    around = Surroundings()
    whole = good(agent(around=around), about("warranty"))
    agent("part-missing", around)
    assert good(agent(around=around), about("warranty")) < 0.1
    around.restore_indexes()
    assert good(agent(around=around), about("warranty")) == whole


def test_a_stale_cache_outlives_its_release_until_it_is_purged() -> None:
    """What it holds was made from the old handbook."""
    around = Surroundings()
    whole = good(agent(around=around))
    agent("stale-cache", around)
    assert good(agent(around=around)) < whole - 0.1
    around.purge_cache()
    assert good(agent(around=around)) == whole


def test_a_provider_that_is_down_is_failed_over() -> None:
    """No release is better than another one."""
    around = Surroundings()
    around.providers_down.add("first")
    assert good(agent(around=around)) < 0.2
    around.provider = PROVIDERS[1]
    assert good(agent(around=around)) > 0.9


def test_the_date_rule_is_wrong_in_every_release_until_it_is_set() -> None:
    """In December 2026 nobody told them that there are holidays again."""
    holiday = tuple(q for q in bank() if q.source == "returns-holiday")
    around = Surroundings()
    assert good(agent(around=around), holiday) > 0.7
    assert good(agent(around=around, now=DECEMBER), holiday) == 0
    around.season = 2026
    assert good(agent(around=around, now=DECEMBER), holiday) > 0.7


def test_a_topic_can_be_switched_off() -> None:
    """It is handed over, and the others are answered."""
    around = Surroundings()
    around.disable(["returns"])
    one = agent(around=around)
    assert one.ask("What does a return cost?").outcome == "handed over"
    assert one.ask("how long is a gift card valid").outcome == "answered"


def test_retries_keep_a_slow_back_end_busy() -> None:
    """The queue drains under two tries, never under eight, and only shedding ends it."""
    backend = OrderBackend(work_s=0.8, backlog_s=8.0)

    def refused(tries: int, seconds: range) -> int:
        count = 0
        for second in seconds:
            for _ in range(tries):
                try:
                    backend.look_up("41207", 4.0 * second)
                    break
                except Unavailable:
                    continue
            else:
                count += 1
        return count

    assert refused(2, range(20)) < 5
    backend.backlog_s = 8.0
    assert refused(8, range(20, 60)) == 40
    backend.shed = True
    assert refused(1, range(60, 200)) == 140
    backend.shed = False
    assert refused(2, range(200, 220)) == 0


# --- the index ----------------------------------------------------------------------------------


def test_a_chunk_holds_all_words_of_its_article() -> None:
    """Nothing is lost in cutting, whatever the size."""
    for size in (1, 5, 12, 80):
        for article in handbook():
            parts = chunks(article, size)
            assert " ".join(parts).split() == article.text.split()
            assert all(len(text.split()) <= size for text in parts)


def test_an_index_of_a_file_is_taken_as_it_is_or_built_anew(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The same digest is not built twice; another one is never served."""
    file = tmp_path / "index.db"
    first = Index(handbook(), IndexConfig(), file)
    first.lose("warranty")
    first.close()
    same = Index(handbook(), IndexConfig(), file)
    assert len(same) < len(Index(handbook(), IndexConfig()))
    same.close()
    other = Index(handbook(), IndexConfig(chunk_words=12), file)
    assert len(other) == len(Index(handbook(), IndexConfig(chunk_words=12)))


def test_what_is_replaced_is_not_found() -> None:
    """The newest holds; the topic of an old release is the exception."""
    current = {one.id for one in in_force(handbook())}
    assert "returns-window-2023" not in current
    assert "returns-window" in current


def test_orders_have_all_states() -> None:
    """Every state that a question is asked about is there."""
    states = {state for state, _ in ORDERS.values()}
    assert states == {
        "with the carrier",
        "packed",
        "delivered",
        "cancelled",
        "waiting for stock",
        "returned",
    }
