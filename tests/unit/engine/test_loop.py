"""The loop in real time: answers after the commit, and nothing of ours forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World, build_engine, build_loop
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.effects import SendPage
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import identify
from midwatch.core.values.teams import Person, Policy, Route, Step, Team
from midwatch.core.values.topology import Service, Topology
from midwatch.engine.beat import Beat
from midwatch.engine.handle import Handled
from midwatch.engine.loop import Loop
from midwatch.engine.views import MAX_VIEWS
from midwatch.errors import Busy, CommitFailed
from midwatch.ports import Claim, Entry, Rate

WAIT_S = 20


def wall() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Pager:
    """Notes what it was asked to send; waits while `gate` is closed."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def send(self, page: SendPage) -> str:
        self.gate.wait(WAIT_S)
        self.sent.append(page.key)
        return "receipt"


class FullDisk(SqliteStore):
    """Refuses commits while `full`."""

    full = False

    def commit(self, entry: Entry) -> None:
        if self.full:
            raise CommitFailed("the disk is full")
        super().commit(entry)

    def probe(self) -> None:
        if self.full:
            raise CommitFailed("the disk is full")
        super().probe()


class Bench:
    """A loop over a store and a pager."""

    def __init__(self, max_waiting: int = 1_000) -> None:
        self.store = FullDisk.memory()
        self.pager = Pager()
        rules = Rules(policy=Policy("p", (Step(("ada",)),), team=Team(digest_s=0)))
        self.engine = build_engine(self.store, rules, World({"pager": self.pager}), wall)
        self.loop: Loop = build_loop(self.store, self.engine, wall, max_waiting=max_waiting)

    def alert(self, service: str) -> list[Envelope]:
        labels = {"alertname": "Down", "service": service, "severity": "critical"}
        labels["namespace"] = service  # a wall: one incident each
        one = identify(labels).alert("firing", wall())
        return [Envelope(f"k/{service}", inputs.AlertsArrived("test", (one,)))]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Not started yet."""
    bench = Bench()
    yield bench
    bench.pager.gate.set()
    bench.loop.stop()
    bench.store.close()


def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def states(bench: Bench) -> list[str]:
    """The states of all effects."""
    found = bench.loop.view(lambda shard: bench.store.outbox()).result(WAIT_S)
    return [state for _, _, state, _ in found]


def test_an_answer_comes_after_the_commit_and_the_page_goes_out(bench: Bench) -> None:
    """What the future gives is in the store, and the pager is called without anybody asking."""
    bench.loop.start()
    (handled,) = bench.loop.submit(bench.alert("shop")).result(WAIT_S)
    assert handled.status == "committed"
    until(lambda: states(bench) == ["done"])
    assert bench.pager.sent == ["page/INC-1/1"]
    assert bench.loop.submit(bench.alert("shop")).result(WAIT_S)[0].status == "duplicate"


def test_a_pager_takes_no_more_than_its_rate(bench: Bench) -> None:
    """What is over it waits, and is sent later, in order."""
    rates = {"page/": Rate(3, 1)}
    bench.loop = build_loop(bench.store, bench.engine, wall, rates=rates)
    for number in range(7):
        bench.loop.submit(bench.alert(f"s{number}"))
    bench.loop.start()
    started = time.monotonic()
    until(lambda: len(bench.pager.sent) == 7)
    assert time.monotonic() - started >= 2
    assert bench.pager.sent == [f"page/INC-{n}/1" for n in range(1, 8)]


def test_a_pager_that_hangs_holds_up_nobody(bench: Bench) -> None:
    """Deliveries are answered while pages wait."""
    bench.pager.gate.clear()
    bench.loop.start()
    for number in range(20):
        bench.loop.submit(bench.alert(f"s{number}")).result(WAIT_S)
    assert not bench.pager.sent
    assert states(bench).count("claimed") <= 8
    bench.pager.gate.set()
    until(lambda: states(bench) == ["done"] * 20)
    assert len(bench.pager.sent) == 20


def test_pagers_that_hang_leave_room_for_another_one() -> None:
    """As many of them as would take every performer, with more pages each than are sent at once."""
    hanging, well = Pager(), Pager()
    hanging.gate.clear()
    names = [f"p{number}" for number in range(12)]
    people = {name: Person(name, (name,)) for name in (*names, "well")}
    team = Team(people=people, digest_s=0)
    policies = {name: Policy(name, (Step((name,)),), team=team) for name in people}
    routes = tuple(Route(name, (name,)) for name in people)
    sev1 = Topology([Service(name, 1) for name in people], [])  # which no storm holds back
    rules = Rules(sev1, policy=policies["well"], policies=policies, routes=routes)
    store = SqliteStore.memory()
    pagers = {**dict.fromkeys(names, hanging), "well": well}
    engine = build_engine(store, rules, World(pagers), wall)
    loop = build_loop(store, engine, wall)

    def alert(service: str, number: int) -> list[Envelope]:
        labels = {"alertname": "Down", "service": service, "severity": "critical"}
        one = identify({**labels, "namespace": f"{service}/{number}"}).alert("firing", wall())
        return [Envelope("", inputs.AlertsArrived("test", (one,)))]

    loop.start()
    try:
        for number in range(10):
            for name in names:
                loop.submit(alert(name, number)).result(WAIT_S)
        loop.submit(alert("well", 0)).result(WAIT_S)
        until(lambda: bool(well.sent))
        assert hanging.sent == []
    finally:
        hanging.gate.set()
        loop.stop()
        store.close()


def test_too_many_waiting_are_refused_and_nothing_of_them_is_kept() -> None:
    """Busy before anything was taken."""
    bench = Bench(max_waiting=2)
    first = [bench.loop.submit(bench.alert(f"s{n}")) for n in range(2)]
    with pytest.raises(Busy):
        bench.loop.submit(bench.alert("more"))
    bench.loop.start()
    assert all(f.result(WAIT_S)[0].status == "committed" for f in first)
    bench.loop.stop()
    assert len(bench.engine.handler.shard.incidents) == 2


def test_a_full_disk_refuses_senders_and_forgets_no_answer(bench: Bench) -> None:
    """The receipt of a page that could not be written down is written later, and sent once."""
    bench.pager.gate.clear()
    bench.loop.start()
    bench.loop.submit(bench.alert("shop")).result(WAIT_S)
    until(lambda: states(bench) == ["claimed"])
    bench.store.full = True
    bench.pager.gate.set()
    with pytest.raises(CommitFailed):
        bench.loop.submit(bench.alert("cart")).result(WAIT_S)
    until(lambda: bench.loop.stats.failed_commits > 1)
    assert bench.loop.stats.failing_since is not None
    bench.store.full = False
    until(lambda: states(bench) == ["done"])
    assert bench.pager.sent == ["page/INC-1/1"]
    assert bench.loop.submit(bench.alert("cart")).result(WAIT_S)[0].status == "committed"
    assert bench.loop.stats.failing_since is None


def test_it_finds_out_by_itself_that_the_disk_has_room_again(bench: Bench) -> None:
    """Nobody sends while it says that it is not ready."""
    bench.loop.start()
    bench.store.full = True
    with pytest.raises(CommitFailed):
        bench.loop.submit(bench.alert("cart")).result(WAIT_S)
    assert bench.loop.stats.failing_since is not None
    bench.store.full = False
    until(lambda: bench.loop.stats.failing_since is None)


def test_a_delivery_that_writes_nothing_says_nothing_about_the_disk(bench: Bench) -> None:
    """A repeat is answered while the disk is full, and it is full all the same."""
    bench.loop.start()
    (one,) = bench.alert("shop")
    bench.loop.submit([one]).result(WAIT_S)
    until(lambda: states(bench) == ["done"])
    commits = bench.loop.stats.commits
    bench.store.full = True
    with pytest.raises(CommitFailed):
        bench.loop.submit(bench.alert("cart")).result(WAIT_S)
    (handled,) = bench.loop.submit([Envelope("again", one.input)]).result(WAIT_S)
    assert handled.status == "committed"
    assert bench.loop.stats.failing_since is not None
    assert bench.loop.stats.commits == commits


def test_a_claim_that_cannot_be_written_down_is_made_later(bench: Bench) -> None:
    """The page stays planned, and nobody dies of it."""
    real = bench.store.claim

    def full(*args: object) -> list[Claim]:
        raise CommitFailed("the disk is full")

    bench.store.claim = full
    bench.loop.start()
    bench.loop.submit(bench.alert("shop")).result(WAIT_S)
    until(lambda: bench.loop.stats.failed_commits > 0)
    assert states(bench) == ["planned"]
    bench.store.claim = real
    until(lambda: states(bench) == ["done"])
    assert bench.loop.error is None


def test_what_is_due_has_its_turn_under_a_load_that_never_ends(bench: Bench) -> None:
    """Somebody is always waiting, and the second person is paged in time all the same."""
    steps = (Step(("ada",), delay_s=1), Step(("ben",), delay_s=3_600))
    rules = Rules(policy=Policy("p", steps, 0, Team(digest_s=0)))
    engine = build_engine(bench.store, rules, World({"pager": bench.pager}), wall)
    loop = build_loop(bench.store, engine, wall)
    over = threading.Event()

    def again(_: object) -> None:
        # On the engine's own thread, so that there is no moment at which nothing waits.
        if not over.is_set():
            loop.submit(bench.alert("shop")).add_done_callback(again)

    loop.start()
    again(None)
    again(None)
    try:
        until(lambda: "page/INC-1/2" in bench.pager.sent)
    finally:
        over.set()
        loop.stop()


def test_a_lane_that_is_full_holds_up_no_other(bench: Bench) -> None:
    """More pages hang at one pager than it begins at once; another pager's page goes past them."""
    steps = (Step(("ada",), delay_s=1, via="bad"), Step(("ben",), via="good"))
    rules = Rules(policy=Policy("p", steps, team=Team(digest_s=0)))
    bad, good = Pager(), Pager()
    bad.gate.clear()
    engine = build_engine(bench.store, rules, World({"bad": bad, "good": good}), wall)
    loop = build_loop(bench.store, engine, wall)
    loop.start()
    for number in range(20):
        loop.submit(bench.alert(f"s{number}")).result(WAIT_S)
    until(lambda: len(good.sent) == 20)
    assert bad.sent == []
    bad.gate.set()
    loop.stop()


def test_a_stop_finishes_what_was_begun(bench: Bench) -> None:
    """The page under way is settled; who comes later is told to come again."""
    bench.pager.gate.clear()
    bench.loop.start()
    bench.loop.submit(bench.alert("shop")).result(WAIT_S)
    until(lambda: states(bench) == ["claimed"])
    threading.Timer(0.1, bench.pager.gate.set).start()
    bench.loop.stop()
    assert [state for _, _, state, _ in bench.store.outbox()] == ["done"]
    with pytest.raises(Busy):
        bench.loop.submit(bench.alert("late"))


def test_a_bug_in_the_engine_is_told_to_whoever_waits(bench: Bench) -> None:
    """Nobody hangs: the future raises and the loop says why it ended."""

    def broken(_: object) -> list[object]:
        raise RuntimeError("boom")

    bench.engine.handler.handle = broken
    bench.loop.start()
    with pytest.raises(RuntimeError, match="boom"):
        bench.loop.submit(bench.alert("shop")).result(WAIT_S)
    until(lambda: isinstance(bench.loop.error, RuntimeError))
    with pytest.raises(Busy):
        bench.loop.submit(bench.alert("more"))


def test_a_heartbeat_stops_while_commits_fail_and_comes_back(bench: Bench) -> None:
    """Whoever waits for it must notice that nothing is taken."""
    beats: list[int] = []
    beat = Beat(lambda: beats.append(1), every_s=0)
    loop = build_loop(bench.store, bench.engine, wall, beat=beat)
    bench.store.full = True
    waits = loop.submit(bench.alert("shop"))
    loop.start()
    with pytest.raises(CommitFailed):
        waits.result(WAIT_S)
    for _ in range(3):  # what is due is looked at between two of these
        loop.view(lambda shard: None).result(WAIT_S)
    assert beats == []
    bench.store.full = False
    assert loop.submit(bench.alert("shop")).result(WAIT_S)[0].status == "committed"
    until(lambda: beats != [])
    loop.stop()


def test_what_waits_is_counted_until_it_is_decided_on(bench: Bench) -> None:
    """The queue's depth, as /metrics tells it."""
    futures = [bench.loop.submit(bench.alert(f"s{number}")) for number in range(3)]
    assert bench.loop.waiting == 3
    bench.loop.start()
    for future in futures:
        future.result(WAIT_S)
    assert bench.loop.waiting == 0


def test_looks_never_hold_up_a_delivery(bench: Bench) -> None:
    """Of thirty slow looks that wait, few are answered before what comes in is committed."""
    seen: list[int] = []

    def look(shard: Shard) -> None:
        time.sleep(0.006)  # each takes all the time of one turn
        seen.append(len(shard.incidents))

    looks = [bench.loop.view(look) for _ in range(30)]
    first = bench.loop.submit(bench.alert("first"))
    second: list[Future[list[Handled]]] = []
    first.add_done_callback(lambda _: second.append(bench.loop.submit(bench.alert("second"))))
    bench.loop.start()
    for one in looks:
        one.result(WAIT_S)
    (two,) = second
    assert two.result(WAIT_S)[0].status == "committed"
    # The first delivery came before every look, and the second after one of them.
    assert seen.count(0) == 0
    assert seen.count(1) <= 2
    assert bench.loop.stats.views == 30
    assert bench.loop.stats.views_put_off == 29


def test_too_many_looks_are_refused(bench: Bench) -> None:
    """What waits has an end; whoever waited is answered."""
    looks = [bench.loop.view(lambda shard: len(shard.incidents)) for _ in range(MAX_VIEWS)]
    with pytest.raises(Busy, match="readers are waiting"):
        bench.loop.view(lambda shard: None)
    bench.loop.start()
    assert [one.result(WAIT_S) for one in looks] == [0] * MAX_VIEWS


def test_a_look_that_raises_ends_nobody_elses(bench: Bench) -> None:
    """Its reader hears of it, and the next one is answered in its turn."""
    bench.loop.start()
    broken = bench.loop.view(lambda shard: shard.incidents["INC-404"])
    assert bench.loop.view(lambda shard: 1).result(WAIT_S) == 1
    with pytest.raises(KeyError):
        broken.result(WAIT_S)
