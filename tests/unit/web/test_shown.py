"""The page's view: made once for everybody, cheap for the engine, and as right as a fresh one."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytest
from msgspec.structs import replace
from starlette.requests import Request

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World, build_engine, build_loop
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import identify
from midwatch.core.values.changes import Change
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.drill import fuzz, scenarios
from midwatch.engine.handle import Handled, Handler
from midwatch.engine.overview import Card, Looker, Overview
from midwatch.ports import Row
from midwatch.web import shown
from midwatch.web.cards import TOLD, Cards, templates
from midwatch.web.news import News
from midwatch.web.shell import Shells
from midwatch.web.shown import Shown, View

SHOWN = 50
WAIT_S = 20
NOON = 1_764_504_000_000


def wall() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Pager:
    """Takes every page."""

    def send(self, page: object) -> str:
        return "receipt"


class Bench:
    """A journal in memory with an engine over it, and what looks at it."""

    def __init__(self) -> None:
        self.store = SqliteStore.memory()
        self.now = NOON
        policy = Policy("p", (Step(("ada",)),), team=Team(digest_s=0))
        self.rules = Rules(policy=policy, wall="namespace")
        self.engine = build_engine(self.store, self.rules, World({"p": Pager()}), lambda: self.now)
        self.looker = Looker(self.rules.topology, SHOWN)
        self.cards = self.new_cards()

    def new_cards(self) -> Cards:
        return Cards(templates(), self.store, shadow=False)

    @property
    def shard(self) -> Shard:
        return self.engine.handler.shard

    def give(self, command: inputs.Input) -> None:
        """Decide on one input, a second later."""
        self.now += 1_000
        (handled,) = self.engine.handler.handle([Envelope("", command)])
        assert handled.status == "committed", handled

    def alert(self, name: str, place: str, count: int = 1) -> None:
        """Alerts of one name, in a place of their own."""
        found = [
            identify(
                {
                    "alertname": name,
                    "service": f"svc-{place}",
                    "severity": "critical",
                    "namespace": place,
                    "pod": str(n),
                }
            ).alert("firing", self.now)
            for n in range(count)
        ]
        self.give(inputs.AlertsArrived("test", tuple(found)))

    def drawn(self) -> str:
        """The page from memory; it is what it would be from nothing."""
        overview = self.looker.look(self.shard)
        fresh = Looker(self.rules.topology, SHOWN).look(self.shard)
        assert overview == fresh
        text = self.cards.draw(overview, self.now)
        assert text == self.new_cards().draw(fresh, self.now)
        return text.decode()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """An empty journal."""
    bench = Bench()
    yield bench
    bench.store.close()


# --- what is remembered is what there is --------------------------------------------------------


def test_a_look_again_touches_only_what_changed(bench: Bench) -> None:
    """The cards of all others are the same objects, so that nothing of them is drawn again."""
    for place in ("a", "b", "c"):
        bench.alert("Down", place)
    first = by_name(bench.looker.look(bench.shard))
    bench.alert("Slow", "b")
    second = by_name(bench.looker.look(bench.shard))
    assert [second[name] is first[name] for name in ("INC-1", "INC-2", "INC-3")] == [
        True,
        False,
        True,
    ]
    assert second["INC-2"].detail.firing == ["Down on svc-b", "Slow on svc-b"]


def by_name(overview: Overview) -> dict[str, Card]:
    return {one.detail.incident.id: one for one in (*overview.harm, *overview.well)}


def test_a_merge_its_undo_and_a_split_are_seen_on_both_sides(bench: Bench) -> None:
    """An incident gets alerts by an event of the other one's stream."""
    bench.alert("Down", "a", 2)
    bench.alert("Slow", "b", 3)
    before = bench.drawn()
    assert "3 of 3 alerts firing" in before
    bench.give(inputs.MergeIncident("INC-2", "INC-1", "ada"))
    merged = bench.drawn()
    assert "5 of 5 alerts firing" in merged
    assert 'id="INC-2"' not in merged
    bench.give(inputs.UndoMove("INC-1", "ada"))
    assert "3 of 3 alerts firing" in bench.drawn()
    fingerprint = next(iter(bench.shard.incidents["INC-1"].firing))
    bench.give(inputs.SplitIncident("INC-1", (), (fingerprint,), "ada"))
    assert "1 of 1 alert firing" in bench.drawn()


def test_a_change_that_may_be_the_cause_is_seen_at_once(bench: Bench) -> None:
    """Though it is no event of the incident."""
    bench.alert("Down", "a")
    assert "Likely cause" not in bench.drawn()
    change = Change("d-7", "svc-a", "deploy", bench.now - 60_000)
    bench.give(inputs.ChangesArrived("ci", (change,)))
    assert "deploy d-7" in bench.drawn()


def test_a_long_timeline_keeps_its_end_and_counts_the_rest(bench: Bench) -> None:
    """However it grew between two looks: by one event, or by more than are shown."""
    bench.alert("Down", "a")
    for count in (0, 1, 2, TOLD - 1, TOLD + 7, 3):
        for n in range(count):
            bench.alert(f"Symptom{count}-{n}", "a")
        text = bench.drawn()
        total = bench.shard.versions["incident/INC-1"]
        assert text.count("<li><time") == min(total, TOLD)
        left_out = f"{total - TOLD} earlier events are not shown"
        assert (left_out in text) == (total > TOLD)


class Pruned:
    """A journal that has only the newest events left."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def beside(self) -> AbstractContextManager[Any]:
        return nullcontext(self)

    def stretch(self, stream: str, after: int, limit: int) -> list[Row]:
        return self._store.stretch(stream, after, limit)[-5:]


def test_what_was_pruned_between_two_looks_leaves_no_hole(bench: Bench) -> None:
    """What is shown is one stretch up to now."""
    cards = Cards(templates(), cast("Any", Pruned(bench.store)), shadow=False)
    bench.alert("Down", "a")
    cards.draw(bench.looker.look(bench.shard), bench.now)
    for n in range(TOLD + 5):
        bench.alert(f"Symptom{n}", "a")
    text = cards.draw(bench.looker.look(bench.shard), bench.now).decode()
    assert text.count("<li><time") == 5
    left_out = bench.shard.versions["incident/INC-1"] - 5
    assert f"{left_out} earlier events are not shown" in text


def test_midnight_and_the_minute_are_seen(bench: Bench) -> None:
    """Ages are of the minute, and a time of yesterday says its day."""
    bench.alert("Down", "a")
    assert "for 0 min, since 12:00 UTC" in bench.drawn()
    bench.now += 5 * 60_000
    assert "for 5 min, since 12:00 UTC" in bench.drawn()
    bench.now += 13 * 3_600_000
    assert "for 13 h, since 2025-11-30 12:00 UTC" in bench.drawn()


def test_through_fuzzed_shifts_the_page_from_memory_is_the_page_from_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After every commit, and after every crash, of whole shifts with faults; causes apart.

    Learned habits may rank the causes of an incident again without an event of its own.
    """
    topology = scenarios.load(scenarios.find("shift")).config.rules.topology
    looker = Looker(topology, SHOWN)
    handle = Handler.handle
    looks: list[int] = []

    def bare(overview: Overview) -> list[tuple[Card, int]]:
        return [(replace_causes(one), one.version) for one in (*overview.harm, *overview.well)]

    def watched(self: Handler, envelopes: Sequence[Envelope]) -> list[Handled]:
        handled = handle(self, envelopes)
        seen, fresh = looker.look(self.shard), Looker(topology, SHOWN).look(self.shard)
        assert (seen.open, seen.more, bare(seen)) == (fresh.open, fresh.more, bare(fresh))
        looks.append(len(seen.harm))
        return handled

    monkeypatch.setattr(Handler, "handle", watched)
    for seed in range(2):
        looker = Looker(topology, SHOWN)
        failure = fuzz.play(scenarios.load(scenarios.find("shift")), seed)
        assert failure is None, failure.shown()
    assert sum(map(bool, looks)) > 50


def replace_causes(card: Card) -> Card:
    return replace(card, detail=replace(card.detail, causes=[]))


# --- one view for everybody ---------------------------------------------------------------------


class Watched:
    """A loop in real time, and the view that is shared."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.news = News()
        self.loop = build_loop(bench.store, bench.engine, wall)
        self.loop.on_commit(self.news.note)
        self.shown = Shown(self.loop, bench.looker, bench.cards, self.news)
        self.loop.start()

    async def alert(self, place: str, name: str = "Down") -> None:
        """Commit one alert, as a sender does."""
        labels = {"alertname": name, "service": "svc", "severity": "critical", "namespace": place}
        one = identify(labels).alert("firing", wall())
        done = self.loop.submit([Envelope("", inputs.AlertsArrived("test", (one,)))])
        await asyncio.wrap_future(done)


def live(bench: Bench, story: Callable[[Watched], Awaitable[None]]) -> None:
    """Let something happen around a running loop."""

    async def run() -> None:
        watched = Watched(bench)
        try:
            async with asyncio.timeout(WAIT_S):
                await story(watched)
        finally:
            watched.news.close()
            await asyncio.to_thread(watched.loop.stop)

    bench.now = wall()
    asyncio.run(run())


def test_hundreds_who_look_at_once_cost_one_look(bench: Bench) -> None:
    """And the same bytes, not equal ones; as long as nothing is committed nobody looks again."""

    async def story(watched: Watched) -> None:
        await watched.alert("a")
        views = await asyncio.gather(*(watched.shown.current() for _ in range(300)))
        assert {id(view.main) for view in views} == {id(views[0].main)}
        for _ in range(300):
            await watched.shown.current()
        # A minute may end meanwhile, and everybody's ages with it.
        assert watched.shown.figures.looks <= 2
        assert watched.loop.stats.views <= 2

    live(bench, story)


def test_nobody_gets_a_view_that_is_older_than_the_question(bench: Bench) -> None:
    """What was answered to a sender stands on the next page, whoever looks, also under load."""

    async def story(watched: Watched) -> None:
        for number in range(3):
            await watched.alert(f"n{number}")
            view = await watched.shown.current()
            assert f'id="INC-{number + 1}"'.encode() in view.main

    live(bench, story)


def test_under_load_two_views_a_second_are_made_at_most(bench: Bench) -> None:
    """However many commit and look; and each view that is given differs by its tag."""

    async def story(watched: Watched) -> None:
        views: list[View] = []
        over = False

        async def look() -> None:
            while not over:
                views.append(await watched.shown.current())
                await asyncio.sleep(0.005)

        readers = [asyncio.create_task(look()) for _ in range(20)]
        began = time.monotonic()
        for number in range(40):
            await watched.alert(f"n{number % 3}", f"Symptom{number}")
            await asyncio.sleep(0.02)
        over = True
        await asyncio.gather(*readers)
        spent = time.monotonic() - began
        assert watched.shown.figures.drawn <= 2 * spent + 2
        assert len({view.main for view in views}) == len({view.tag for view in views}) > 1

    live(bench, story)


def test_nothing_is_made_while_nobody_looks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm at night costs the page nothing; whoever followed and left costs nothing either."""
    monkeypatch.setattr(shown, "FOLLOW_S", 0.0)

    async def story(watched: Watched) -> None:
        follower = watched.shown.follow()
        await anext(follower)
        await asyncio.sleep(0.05)
        await follower.aclose()
        made = watched.shown.figures.drawn
        for number in range(10):
            await watched.alert(f"n{number}")
        await asyncio.sleep(0.7)  # more than the time between two views
        assert watched.shown.figures.drawn == made
        assert watched.shown.figures.followers == 0

    live(bench, story)


def test_who_follows_hears_of_a_change_and_not_of_a_commit_that_shows_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag is that of the page that is served then; when the server stops, so does it."""
    monkeypatch.setattr(shown, "FOLLOW_S", 0.0)

    async def story(watched: Watched) -> None:
        heard: list[str] = []

        async def follow() -> None:
            async for tag in watched.shown.follow():
                heard.append(tag)

        follower = asyncio.create_task(follow())
        await asyncio.sleep(0.1)
        first = await watched.shown.current()
        assert set(heard) == {first.tag}
        before = len(heard)
        unseen = Envelope("", inputs.FileTicket("T-1", "where is my invoice?", "bob"))
        await asyncio.wrap_future(watched.loop.submit([unseen]))
        same = await watched.shown.current()
        await asyncio.sleep(0.1)
        assert same.minute != first.minute or len(heard) == before
        await watched.alert("a")
        view = await watched.shown.current()
        while heard[-1] != view.tag:
            await asyncio.sleep(0.01)
        assert b'id="INC-1"' in view.main
        watched.news.close()
        await follower

    live(bench, story)


def test_an_engine_that_has_ended_is_said_and_not_shown(bench: Bench) -> None:
    """An old view would be taken for the state of now."""

    async def story(watched: Watched) -> None:
        await watched.shown.current()
        await asyncio.to_thread(watched.loop.stop)
        watched.news.count += 1  # as after any commit that was the last
        with pytest.raises(Exception, match="midwatch is shutting down"):
            await watched.shown.current()

    live(bench, story)


# --- around it ----------------------------------------------------------------------------------


def view_of(main: bytes, tag: str = "t") -> View:
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    return View(0, 0, 1, tag, main, packer.compress(main) + packer.flush(zlib.Z_FULL_FLUSH))


def asking(**headers: str) -> Request:
    named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return Request({"type": "http", "headers": named})


def test_a_page_is_the_same_packed_and_not() -> None:
    """One file of gzip, for every size of what is in it."""
    shells = Shells(templates())
    for size in (0, 1, 1_000, 300_000):
        view = view_of(b"<main>" + b"x\xc3\xa4y" * (size // 4) + b"</main>")
        plain = shells.answer(asking(), view, "ada")
        packed = shells.answer(asking(accept_encoding="gzip, br"), view, "ada")
        assert gzip.decompress(packed.body) == plain.body
        assert plain.headers["etag"] != packed.headers["etag"]
        assert view.main in bytes(plain.body)


def test_who_has_the_page_gets_304_and_another_person_or_page_does_not() -> None:
    """Strong tags: same tag, same bytes; a proxy may have made it weak."""
    shells = Shells(templates())
    view = view_of(b"<main>a</main>")
    tag = shells.answer(asking(), view, "ada").headers["etag"]
    packed = shells.answer(asking(accept_encoding="gzip"), view, "ada").headers["etag"]

    def status(header: str, view: View = view, who: str = "ada") -> int:
        return shells.answer(asking(if_none_match=header), view, who).status_code

    assert [status(one) for one in (tag, f"W/{tag}", f'"x", {tag}', packed)] == [304] * 4
    assert status(tag, who="ben") == 200
    assert status(tag, view_of(b"<main>b</main>", "u")) == 200
    assert status('"x"') == 200
    assert b"ben" in bytes(shells.answer(asking(), view, "ben").body)
