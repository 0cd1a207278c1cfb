"""Lists in parts: whoever reads part after part reads everything once, and each part is small."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import Engine, World, build_engine
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.events import PageSent
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.leaving import Archived
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import identify
from midwatch.core.values.judgements import ActionItem, Judgement
from midwatch.core.values.skews import Skews
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.engine import cases, listing, oncall, paging, queries, reporting
from midwatch.engine.prune import find_cut
from midwatch.engine.queries import Summary
from midwatch.errors import InputError
from midwatch.ports import Entry, Row

NOON = 1_764_504_000_000
HOUR, DAY = 3_600_000, 86_400_000
LEVELS = ("critical", "warning", "info")
UTC = Skews()


class Pager:
    """Takes every page."""

    def send(self, page: object) -> str:
        return "receipt"


class Bench:
    """An engine over a journal in memory."""

    def __init__(self) -> None:
        self.store = SqliteStore.memory()
        self.now = NOON
        policy = Policy("p", (Step(("ada",)),), team=Team(digest_s=0))
        self.rules = Rules(policy=policy, wall="namespace")
        self.engine: Engine = build_engine(
            self.store, self.rules, World({"p": Pager()}), lambda: self.now
        )

    @property
    def shard(self) -> Shard:
        """What is remembered."""
        return self.engine.handler.shard

    def give(self, *commands: inputs.Input) -> None:
        """Decide on some inputs, a second later."""
        self.now += 1_000
        handled = self.engine.handler.handle([Envelope("", one) for one in commands])
        assert {one.status for one in handled} == {"committed"}, [one.why for one in handled]

    def alert(self, place: str, level: str = "critical", name: str = "Down") -> None:
        """Take one alert, in a place of its own."""
        self.give(self.arrival(place, level, name))

    def arrival(self, place: str, level: str, name: str = "Down") -> inputs.Input:
        """One alert that arrives."""
        labels = {"alertname": name, "service": "svc", "severity": level, "namespace": place}
        one = identify(labels).alert("firing", self.now)
        return inputs.AlertsArrived("test", (one,))

    def page(self) -> None:
        """Perform what is due."""
        for claim in self.engine.performer.claim(self.now, 100):
            self.engine.handler.handle([self.engine.performer.perform(claim)])

    def resolve(self, *names: str) -> None:
        """Say that they are over."""
        for name in names:
            self.give(inputs.Acknowledge(name, "ada"))
            self.give(inputs.ResolveIncident(name, "ada", "restarted"))

    def close(self, *names: str) -> None:
        """Let them leave: each that harmed somebody is waived."""
        self.resolve(*names)
        for name in names:
            if name in self.shard.incidents:
                self.give(inputs.GrantWaiver(name, "no model", "ada", self.now + 90 * DAY))
            assert name not in self.shard.incidents

    def all_part(
        self, limit: int, after: str, between: Callable[[], object] = lambda: None
    ) -> tuple[list[Summary], str]:
        """A part of all incidents; something may happen between the look and the archive."""
        seen = listing.look(self.shard, limit, after)
        between()
        return listing.newest_part(seen, self.store, limit)

    def report(self, start: int, end: int) -> tuple[list[reporting.Told], reporting.Gathered]:
        """What a report of a period is made of."""
        shard = self.shard
        gathered = reporting.gather(self.store, shard.skews, start, end)
        taken = reporting.take(shard, shard.incidents)
        known = reporting.known(taken, self.store, gathered, shard.skews, start, end)
        return known, gathered


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Seventeen incidents of three levels; some are taken, one is merged, four have left."""
    bench = Bench()
    for n in range(12):
        bench.alert(f"n{n}", LEVELS[n % 3])
    five = [(f"n{n}", LEVELS[n % 3]) for n in range(12, 17)]
    bench.give(*(bench.arrival(*one) for one in five))  # at the same moment
    bench.give(inputs.Acknowledge("INC-4", "ada"))
    bench.give(inputs.MergeIncident("INC-2", "INC-5", "ada"))
    bench.close("INC-1", "INC-7", "INC-8", "INC-16")
    yield bench
    bench.store.close()


def parts(
    ask: Callable[[str], tuple[list[Summary], str]], between: Callable[[], object] = lambda: None
) -> list[str]:
    """Read part after part."""
    found, after = ask("")
    names = [one.id for one in found]
    while after:
        assert len(names) < 100, "it never ends"
        between()
        found, after = ask(after)
        names += [one.id for one in found]
    return names


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 16, 17, 18])
def test_the_parts_are_the_whole_in_its_order(bench: Bench, limit: int) -> None:
    """Those that are not over, worst first; and all that there were, newest first."""
    shard = bench.shard
    waiting = [one.id for one in queries.summaries(shard)]
    assert len(waiting) == 12
    assert parts(lambda after: listing.urgent_part(shard, limit, after)) == waiting
    everything = [f"INC-{n}" for n in range(17, 0, -1)]
    assert parts(lambda after: bench.all_part(limit, after)) == everything
    listed = listing.worst_first(bench.all_part(100, "")[0])
    assert listed == queries.summaries(shard, bench.store)


@pytest.mark.parametrize("by", [-HOUR, HOUR])
def test_the_order_of_the_whole_is_kept_when_the_clock_jumps(bench: Bench, by: int) -> None:
    """By the times that people see, as by those of the journal."""
    bench.give(inputs.ClockSeen(by, -by))
    bench.alert("later")
    bench.now += DAY
    bench.alert("much later")
    listed = listing.worst_first(bench.all_part(100, "")[0])
    assert listed == queries.summaries(bench.shard, bench.store)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_what_comes_and_goes_between_two_parts_takes_nobody_elses_place(
    bench: Bench, limit: int
) -> None:
    """Who kept its place is read once, though others open, merge and close: the last one read too.

    Those that are not over.
    """
    read: list[str] = []
    ends = iter(["INC-15", "INC-12", "INC-9"])

    def ask(after: str) -> tuple[list[Summary], str]:
        found, following = listing.urgent_part(bench.shard, limit, after)
        read.extend(one.id for one in found)
        return found, following

    def move() -> None:
        last = read[-1]
        if last in bench.shard.open and last != "INC-4":
            bench.close(last)
        if name := next(ends, ""):
            bench.give(inputs.MergeIncident(name, "INC-4", "ada"))
            bench.alert(f"new-{name}")

    before = {one.id for one in queries.summaries(bench.shard)}
    assert parts(ask, move) == read
    stayed = before & {one.id for one in queries.summaries(bench.shard)}
    assert stayed
    assert stayed <= set(read)
    assert len(read) == len(set(read))


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_who_leaves_while_all_are_listed_is_shown_once(bench: Bench, limit: int) -> None:
    """Between two parts, and between the look at the shard and the archive, ahead and behind."""
    both = [("INC-17", "INC-3"), ("INC-15", "INC-6"), ("INC-13", "INC-9"), ("INC-11", "INC-10")]
    ends = iter(both)

    def leave() -> None:
        names = [name for name in next(ends, ()) if name in bench.shard.incidents]
        bench.close(*names)
        bench.alert(f"new-{names}")

    read = parts(lambda after: bench.all_part(limit, after, leave), leave)
    assert read == [f"INC-{n}" for n in range(17, 0, -1)]


@pytest.mark.parametrize(
    "after",
    ["INC-99", "INC-0", "x", "INC-1 ", "INC-²", "INC-9" * 9, "sev1.5", "sev1.x.INC-4", "INC-01"],
)
def test_a_place_that_is_none_is_refused(bench: Bench, after: str) -> None:
    """With what to do; a number that has not been given out yet ends nothing."""
    with pytest.raises(InputError, match="no page of results starts after"):
        listing.urgent_part(bench.shard, 5, after)
    if after != "INC-99":
        with pytest.raises(InputError, match="no page of results starts after"):
            listing.look(bench.shard, 5, after)


@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize("name", ["INC-3", "INC-1"])
def test_a_timeline_in_parts_is_the_whole_one(bench: Bench, limit: int, name: str) -> None:
    """Up to where it was looked at, and not beyond; of one that has left, too."""
    for n in range(7):
        bench.alert("n2", name=f"Symptom{n}")
    stream = f"incident/{name}"
    record = bench.store.recall(name)
    version = record.version if record else bench.shard.versions[stream]
    whole = [queries.moment_of(row, UTC) for row, _ in bench.store.rows(stream)]
    bench.alert("n2", name="Later")
    read: list[queries.Moment] = []
    while len(read) < version:
        found, gone = listing.told_part(bench.store, UTC, stream, version, limit, len(read))
        assert gone == 0
        assert 1 <= len(found) <= limit
        read += found
    assert read == whole


def test_events_since_a_moment_are_found_at_each_edge(bench: Bench) -> None:
    """As many as a look at every event finds, also behind the cut of a pruning."""
    for cut_at in (0, NOON + 10_000):
        if cut_at:
            cut = find_cut(bench.store, cut_at, bench.shard.incidents)
            assert cut is not None
            bench.store.cut(cut)
        rows = [row for row, _ in bench.store.rows()]
        edges = sorted({row.at + shift for row in rows for shift in (-1, 0, 1)})
        for at in (0, *edges, rows[-1].at + 1, 10**30):
            assert list(bench.store.since(at)) == [row for row in rows if row.at >= at]
    empty = SqliteStore.memory()
    assert list(empty.since(0)) == []
    empty.close()


def test_a_report_reads_its_period_and_knows_whom_older_pages_were_for(bench: Bench) -> None:
    """A page that was planned before the period and sent in it is its person's."""
    start = bench.now + 500
    bench.now += 1_000
    bench.page()
    bench.alert("late")
    bench.page()
    end = bench.now + 1
    whole, after = reporting.report(*bench.report(start, end), start, end)
    assert [line.id for line in whole.incidents] == ["INC-18"]
    assert whole.pages == sum(whole.pages_by_person.values()) > 1
    assert set(whole.pages_by_person) == {"ada"}
    assert after == ""


def test_a_month_with_incidents_that_left_is_told_as_if_they_had_stayed(bench: Bench) -> None:
    """In parts and whole; of those that were opened before it only what they still owe."""
    start = NOON + 3_500
    items = [ActionItem("write a runbook", "ada", "2099-01-01")]
    bench.give(inputs.EditPostmortem("INC-1", Judgement(action_items=items), "ada"))
    end = bench.now + 1
    before = bench.report(start, end)
    whole, _ = reporting.report(*before, start, end)
    assert {line.state for line in whole.incidents} >= {"closed", "open", "acknowledged"}
    assert [item.incident for item in whole.open_items] == ["INC-1"]
    assert len(whole.waivers) == 3
    left = [*bench.store.opened(0, 2**62)]
    assert {one.id for one in left} == {"INC-1", "INC-7", "INC-8", "INC-16"}
    stayed = Shard(incidents={**{one.id: one for one in left}, **bench.shard.incidents})
    told = reporting.take(stayed, sorted(stayed.incidents, key=lambda name: int(name[4:])))
    assert reporting.report(told, before[1], start, end)[0] == whole
    lines, after = list[reporting.IncidentLine](), ""
    for _ in range(20):
        some, after = reporting.report(*before, start, end, 3, after)
        lines += some.incidents
        assert some.to_acknowledge == whole.to_acknowledge
        assert some.noisy == whole.noisy
        if not after:
            break
    assert lines == whole.incidents
    for place in ("x", "INC-99"):
        with pytest.raises(InputError):
            reporting.report(*before, start, end, 10, place)


def test_who_leaves_while_a_report_is_written_is_told_once(bench: Bench) -> None:
    """It was taken from the shard when it was open; the archive says what became of it."""
    shard, end = bench.shard, bench.now + DAY
    gathered = reporting.gather(bench.store, shard.skews, 0, end)
    taken = reporting.take(shard, shard.incidents)
    bench.close("INC-4")
    known = reporting.known(taken, bench.store, gathered, shard.skews, 0, end)
    told = reporting.report(known, gathered, 0, end)[0]
    assert [one.id for one in told.incidents] == [f"INC-{n}" for n in range(1, 18) if n != 2]
    assert {one.id: one.state for one in told.incidents}["INC-4"] == "closed"


def test_alerts_of_the_period_count_though_their_incident_was_opened_before_and_left(
    bench: Bench,
) -> None:
    """What was noisy is so whether its incident has left or not."""
    start = bench.now + 500
    for n in range(3):
        bench.alert("n2", "info", name=f"Chatter{n // 3}")
        over = identify(
            {"alertname": "Chatter0", "service": "svc", "severity": "info", "namespace": "n2"}
        ).alert("resolved", bench.now, bench.now)
        bench.give(inputs.AlertsArrived("test", (over,)))
    end = bench.now + 1
    before, _ = reporting.report(*bench.report(start, end), start, end)
    assert [(one.alert, one.count) for one in before.noisy] == [("svc Chatter0", 3)]
    bench.resolve("INC-3")
    bench.now += HOUR
    for timer in bench.store.due(bench.now):
        bench.give(inputs.TimerCameDue(timer))
    assert "INC-3" not in bench.shard.incidents
    after, _ = reporting.report(*bench.report(start, end), start, end)
    assert after.noisy == before.noisy


@pytest.mark.parametrize("by", [-DAY, DAY])
def test_a_period_is_of_the_wall_clock_also_for_who_has_left(bench: Bench, by: int) -> None:
    """An incident of after a jump is in the report of its date, and in no other."""
    bench.give(inputs.ClockSeen(by, -by))
    bench.alert("after")
    name = f"INC-{bench.shard.next_incident - 1}"
    bench.close(name)
    wall = bench.now + by
    there, _ = reporting.report(*bench.report(wall - HOUR, wall), wall - HOUR, wall)
    assert name in {one.id for one in there.incidents}
    here = bench.now + HOUR
    elsewhere, _ = reporting.report(*bench.report(NOON - 1, here), NOON - 1, here)
    assert name not in {one.id for one in elsewhere.incidents}
    happened = oncall.gather(bench.store, bench.shard.skews, wall - 10_000)
    assert happened.fired == {"Down on svc": 1}


def test_who_took_what_is_told_of_who_has_left(bench: Bench) -> None:
    """Before it was looked at, and between the look and the archive."""
    for n in (0, 6):
        bench.alert(f"n{n}", name="Twice")
        bench.alert(f"m{n}", name="Twice")
    first = next(reversed(bench.shard.incidents))
    happened = oncall.gather(bench.store, bench.shard.skews, 0)
    name = happened.first["Down on svc"]
    assert name == "INC-1"
    present = oncall.present(bench.rules, bench.shard, happened, bench.now)
    assert "INC-1" not in present.taken_by
    if first in bench.shard.incidents:
        bench.close(first)
    told = oncall.handoff(present, happened, bench.store)
    assert (
        f"Down on svc: fired {happened.fired['Down on svc']} times, first in INC-1,"
        in (told.noisy[0])
    )
    assert told.noisy[0].endswith("which ada took")
    assert told.open == present.open


def test_a_gate_hears_of_who_leaves_while_it_asks(bench: Bench) -> None:
    """It was open when the shard was looked at, and is waived in the archive."""
    guards = cases.guards(bench.shard)
    bench.close("INC-4")
    told = cases.kept(guards, bench.store, "")
    assert "INC-4" in {one.incident for one in told.waived}
    assert told.unproven == []


def steps(store: SqliteStore, read: Callable[[], object]) -> int:
    """Count SQLite's steps, in hundreds."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    store._db.set_progress_handler(step, 100)
    try:
        read()
    finally:
        store._db.set_progress_handler(None, 0)
    return count


def history(incidents: int) -> SqliteStore:
    """A journal of incidents that have left, each with its events."""
    store = SqliteStore.memory()
    rows, records = list[Row](), list[Archived]()
    for n in range(1, incidents + 1):
        name = f"INC-{n}"
        closed = Incident(name, "svc", "", f"trouble {n}", NOON + n * HOUR, state="closed")
        records.append(Archived(closed, 5))
        for version in range(1, 6):
            body = msgspec.json.encode(
                PageSent(incident=name, key=f"page/{name}/{version}", receipt="ok", attempt=1)
            )
            at, seq = NOON + n * HOUR, len(rows) + 1
            rows.append(Row(seq, f"incident/{name}", version, at, "", "PageSent", body))
    store.commit(Entry(NOON, rows=rows))
    store.archive(records)
    return store


def test_a_part_costs_what_it_shows_however_long_the_history_is() -> None:
    """SQLite's steps of a part, of a timeline and of a day's events are those of a tenth of it."""
    cost: list[list[int]] = []
    for size in (500, 5_000):
        store = history(size)
        shard = Shard(next_incident=size + 1, left=size)
        middle = size // 2
        day = NOON + middle * HOUR

        def newest(store: SqliteStore = store, shard: Shard = shard, middle: int = middle) -> None:
            seen = listing.look(shard, 20, f"INC-{middle}")
            found, after = listing.newest_part(seen, store, 20)
            assert [one.id for one in found][:2] == [f"INC-{middle - 1}", f"INC-{middle - 2}"]
            assert after == f"INC-{middle - 20}"

        def timeline(store: SqliteStore = store, middle: int = middle) -> None:
            stream = f"incident/INC-{middle}"
            found, gone = listing.told_part(store, UTC, stream, 5, 2, 1)
            assert (len(found), gone) == (2, 0)

        def period(store: SqliteStore = store, day: int = day) -> None:
            assert len(list(store.opened(day, day + DAY))) == 24
            reporting.gather(store, UTC, day, day + DAY)

        cost.append([steps(store, read) for read in (newest, timeline, period)])
        store.close()
    assert all(long <= 2 * short + 5 for short, long in zip(*cost, strict=True)), cost


def test_a_part_of_a_list_in_memory_goes_on_behind_who_is_gone() -> None:
    """By places that are there for good; where there are none, the name has to be there."""
    assert paging.part([1, 2, 5, 6], int, 2, 4) == ([5, 6], False)
    with pytest.raises(InputError, match="no page of results starts after 'c'"):
        paging.named_part(["b", "a"], str, 1, "c")
