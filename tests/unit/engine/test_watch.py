"""Reading SLIs beside the engine: nobody waits for a backend, and no answer is never a good one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World, build_engine, build_loop
from midwatch.core.rules.rules import Rules
from midwatch.core.state.effects import SendPage
from midwatch.core.state.shard import Shard
from midwatch.core.values.sli import Counts, FailedAnswer, Indicator, Trace
from midwatch.core.values.slo import Slo
from midwatch.core.values.teams import Policy, Step
from midwatch.engine.explain import standings
from midwatch.engine.readings import READ_EVERY_S
from midwatch.engine.watch import PERIOD_EVERY_S, Watcher
from midwatch.errors import HarnessError

WAIT_S = 20
SHOP = Slo("shop/availability", "shop", "0.99", indicator=Indicator("counter", "one"))
CART = Slo("cart/availability", "cart", "0.99", indicator=Indicator("counter", "two"))
RULES = Rules(slos={s.id: s for s in (SHOP, CART)}, policy=Policy("p", (Step(("ada",)),)))


class Source:
    """Counts the same in every window, once its gate is open; or raises."""

    def __init__(self, counts: Counts, raises: Exception | None = None) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.asked: list[tuple[int, ...]] = []
        self._counts = counts
        self._raises = raises

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        self.asked.append(tuple(windows_s))
        self.gate.wait(WAIT_S)
        if self._raises:
            raise self._raises
        return dict.fromkeys(windows_s, self._counts)

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        return Trace((), -slo.period_s * 1_000)

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        return (FailedAnswer("resp-1", "", "", ""),)


class Pager:
    """Notes for which incident it was asked."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, page: SendPage) -> str:
        self.sent.append(page.summary)
        return "receipt"


class Bench:
    """A loop over two sources, under a clock that the test moves."""

    def __init__(self, one: Source, two: Source) -> None:
        self.now = time.time_ns() // 1_000_000
        self.store = SqliteStore.memory()
        self.pager = Pager()
        self.one, self.two = one, two
        world = World({"pager": self.pager}, metrics={"one": one, "two": two})
        self.engine = build_engine(self.store, RULES, world, lambda: self.now)
        self.loop = build_loop(self.store, self.engine, lambda: self.now)

    def later(self) -> None:
        """Let the time for a reading come."""
        self.now += READ_EVERY_S * 1_000

    def close(self) -> None:
        self.one.gate.set()
        self.two.gate.set()
        self.loop.stop()
        self.store.close()


@pytest.fixture
def make() -> Iterator[Callable[[Source, Source], Bench]]:
    """Benches that are closed after the test."""
    made: list[Bench] = []

    def build(one: Source, two: Source) -> Bench:
        made.append(Bench(one, two))
        return made[-1]

    yield build
    for bench in made:
        bench.close()


def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


BAD, GOOD = Counts(800, 1_000), Counts(1_000, 1_000)


def test_a_burn_pages_in_real_time(make: Callable[[Source, Source], Bench]) -> None:
    """The loop asks by itself, and what it hears becomes a page."""
    bench = make(Source(BAD), Source(GOOD))
    bench.loop.start()
    until(lambda: len(bench.pager.sent) == 1)
    assert bench.pager.sent[0].startswith("fast burn 20x")


def test_a_source_that_hangs_holds_up_nobody(make: Callable[[Source, Source], Bench]) -> None:
    """The other source is read, its burn pages, and the hanging one is not asked a second time."""
    hanging = Source(GOOD)
    hanging.gate.clear()
    bench = make(hanging, Source(BAD))
    bench.loop.start()
    until(lambda: len(bench.pager.sent) == 1)
    for _ in range(3):
        before = len(bench.two.asked)
        bench.later()
        until(lambda: len(bench.two.asked) > before)  # noqa: B023 - asked before it changes
    assert len(hanging.asked) == 1
    hanging.gate.set()
    until(lambda: not bench.engine.watcher.newest()[0].trouble)

    def is_asked_again() -> bool:
        bench.later()  # more than once: the round that hung may just have ended
        return len(hanging.asked) >= 2

    until(is_asked_again)


@pytest.mark.parametrize("error", [HarnessError("is down"), ZeroDivisionError("a bug")])
def test_a_source_that_breaks_gives_no_windows_and_says_why(error: Exception) -> None:
    """However it breaks, nothing is made up: neither good nor bad."""
    watcher = Watcher(SqliteStore.memory(), {"one": Source(GOOD, error)}, RULES)
    (envelope,) = watcher.readings(Shard(), 1_000)
    assert envelope.input.reading.windows == {}
    (newest,) = watcher.newest()
    assert str(error) in newest.trouble
    (standing,) = standings(Shard(), watcher.newest())
    assert standing.state == "no data"
    assert str(error) in standing.trouble


def test_an_objective_without_a_source_is_not_read() -> None:
    """Nobody asks for it; others are not disturbed."""
    watcher = Watcher(SqliteStore.memory(), {"two": Source(GOOD)}, RULES)
    assert [e.input.reading.slo for e in watcher.readings(Shard(), 1_000)] == [CART.id]


def test_the_period_is_asked_for_now_and_then() -> None:
    """A month is much to ask of a backend every half minute; its answer is kept."""
    source = Source(GOOD)
    watcher = Watcher(SqliteStore.memory(), {"one": source}, RULES)
    for now in (1_000, 31_000, 1_000 + PERIOD_EVERY_S * 1_000):
        watcher.readings(Shard(), now)
        (standing,) = standings(Shard(), watcher.newest())
        assert standing.objective.budget.left == 1.0
    assert [SHOP.period_s in asked for asked in source.asked] == [True, False, True]


def test_a_period_that_a_burn_outdates_is_asked_for_at_once() -> None:
    """Else the page would say that nothing was bad; the burn over, the answer is kept."""
    source = Source(Counts(1_000, 1_000))
    watcher = Watcher(SqliteStore.memory(), {"one": source}, RULES)
    watcher.readings(Shard(), 1_000)
    source._counts = Counts(500, 1_000)
    left: list[float] = []
    for now in (11_000, 21_000, 31_000):
        (envelope,) = watcher.readings(Shard(), now)
        assert envelope.input.reading.period == Counts(500, 1_000)
        (standing,) = standings(Shard(), watcher.newest())
        assert standing.objective.budget.left is not None
        left.append(standing.objective.budget.left)
    asked = [SHOP.period_s in one for one in source.asked]
    assert asked == [True, False, True, False, False]
    assert left[0] == left[1] == left[2] < 0


def test_silence_runs_from_the_last_reading_with_events() -> None:
    """A reading says since when it is watched, and when it last heard something."""
    source = Source(GOOD)
    watcher = Watcher(SqliteStore.memory(), {"one": source}, RULES)
    watcher.readings(Shard(), 1_000)
    source._counts = Counts(0, 0)
    (envelope,) = watcher.readings(Shard(), 31_000)
    assert (envelope.input.reading.watched_at, envelope.input.reading.heard_at) == (1_000, 1_000)
