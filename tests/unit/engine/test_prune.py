"""What is old goes, a slice at a time, and what is still owed work keeps all that happened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from midwatch.adapters.stores import pruning
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs, shard
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import identify
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.engine import prune, queries
from midwatch.engine.handle import Handler
from midwatch.engine.prune import Pruner, find_cut
from midwatch.engine.upkeep import Upkeep
from midwatch.engine.verify import verify

RULES = Rules(policy=Policy("p", (Step(("ada",)),), team=Team(digest_s=0, ack_s=0)))
HOUR, DAY = 3_600_000, 86_400_000


class Year:
    """A journal to which much happens, a day after another."""

    def __init__(self, store: SqliteStore | None = None) -> None:
        self.now = 1_000
        self.store = store or SqliteStore.memory()
        self.handler = Handler(self.store, RULES, lambda: self.now)
        self.number = 0

    def alert(self, service: str, level: str = "critical", status: str = "firing") -> None:
        """Let an alert fire, or end."""
        named = identify({"alertname": "Down", "service": service, "severity": level})
        ends = self.now if status == "resolved" else None
        one = named.alert("resolved" if ends else "firing", self.now, ends)
        self.give(inputs.AlertsArrived("test", (one,)))

    def give(self, *given: inputs.Input) -> None:
        """Hand inputs over."""
        self.number += 1
        self.handler.handle([Envelope(f"in/{self.number}/{n}", one) for n, one in enumerate(given)])

    def days(self, count: int) -> None:
        """Let days pass on each of which an incident comes and goes."""
        for _ in range(count):
            self.alert("blog", "info")
            self.now += 1_000
            self.alert("blog", "info", "resolved")
            self.now += DAY - 1_000
            self.give(*(inputs.TimerCameDue(one) for one in self.store.due(self.now)))

    def pruner(self, keep_days: int) -> Pruner:
        """What a server runs once a day."""
        return Pruner(self.store, lambda: self.handler.shard.incidents, keep_days * DAY // 1_000)

    def count(self, table: str) -> int:
        """Count the rows of a table."""
        return self.store._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


@pytest.fixture
def year() -> Year:
    """With an incident that is open from the second day on, and never ends."""
    year = Year()
    year.days(1)
    year.alert("shop")
    year.give(inputs.Acknowledge("INC-2", "ada"))
    year.days(40)
    return year


def test_one_old_open_incident_holds_nothing_back(year: Year) -> None:
    """It keeps its own events; everything else before the cut goes, and all still holds."""
    before = queries.detail(year.handler.shard, year.store, "INC-2")
    events, state = year.count("event"), shard.dump(year.handler.shard)
    cut = find_cut(year.store, year.now - 10 * DAY, year.handler.shard.incidents)
    assert cut is not None
    year.store.cut(cut)
    assert verify(year.store)[1] == [], "from the moment of the cut on"
    while year.store.sweep(year.now - 10 * DAY, year.now):
        assert verify(year.store)[1] == []
    assert year.count("event") < events / 3
    assert year.count("inbox") < 40
    assert queries.detail(year.handler.shard, year.store, "INC-2") == before
    again = Handler(year.store, RULES, lambda: year.now)
    assert shard.dump(again.shard) == state
    closed = queries.detail(again.shard, year.store, "INC-1")
    assert closed is not None
    assert (closed.incident.state, closed.timeline) == ("closed", [])
    assert closed.pruned > 2
    assert [one.seq for one in year.store.stretch("incident/INC-2", 0, 2)] == [
        one.seq for one, _ in year.store.rows("incident/INC-2")
    ][:2]


def test_the_very_first_event_may_stay() -> None:
    """Its link follows from nothing, and is checked all the same."""
    year = Year()
    year.alert("shop")
    year.days(20)
    for days in (10, 5):
        cut = find_cut(year.store, year.now - days * DAY, year.handler.shard.incidents)
        assert cut is not None
        year.store.cut(cut)
        assert verify(year.store)[1] == []
        while year.store.sweep(year.now - days * DAY, year.now):
            pass
        assert verify(year.store)[1] == []
    assert next(year.store.rows("incident/INC-1"))[0].seq == 1


def test_what_stayed_goes_when_it_is_closed(year: Year) -> None:
    """The next pruning asks again who is owed work; late facts about who left long ago verify."""
    for _ in range(2):
        cut = find_cut(year.store, year.now - 10 * DAY, year.handler.shard.incidents)
        assert cut is not None
        year.store.cut(cut)
        year.days(5)
    assert year.count("kept_event") > 2
    year.give(inputs.ResolveIncident("INC-2", "ada", "restarted"))
    year.give(inputs.GrantWaiver("INC-2", "no model", "ada", year.now + DAY))
    year.give(inputs.PageAnswered("page/INC-2/1", "INC-2", 1, receipt="late"))
    assert verify(year.store)[1] == []
    year.days(30)
    cut = find_cut(year.store, year.now - 5 * DAY, year.handler.shard.incidents)
    assert cut is not None
    year.store.cut(cut)
    assert year.count("kept_event") == 0
    year.give(inputs.PageAnswered("page/INC-2/1", "INC-2", 2, receipt="very late"))
    assert verify(year.store)[1] == []
    record = year.store.recall("INC-2")
    assert record is not None
    assert record.incident.waiver.startswith("no model")


def test_a_server_prunes_by_itself_a_slice_at_a_time(
    year: Year, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much there is, a turn does little; alerts are taken in between."""
    monkeypatch.setattr(pruning, "A_SLICE", 20)
    monkeypatch.setattr(prune, "A_SLICE", 10)
    pruner, turns = year.pruner(10), 0
    events = year.count("event")
    while pruner.turn(year.now):
        turns += 1
        if turns == 5:
            year.alert("cart")
        assert turns < 1_000
    assert turns > events // 20
    assert year.count("event") < events / 3
    assert verify(year.store)[1] == []
    assert not pruner.turn(year.now + HOUR)
    assert pruner.turn(year.now + DAY)
    assert "INC-2" in year.handler.shard.incidents


def test_a_turn_reads_and_writes_only_a_slice(year: Year) -> None:
    """Counted in rows: what a thousand alerts wait for is the same as what ten wait for."""
    pruner, most = year.pruner(10), 0
    changed = year.store._db.total_changes
    while pruner.turn(year.now):
        now = year.store._db.total_changes
        most, changed = max(most, now - changed), now
    assert 0 < most <= 2 * pruning.A_SLICE


def test_a_cut_that_ends_half_swept_is_whole_after_a_restart(tmp_path: Path) -> None:
    """What is before it is read by nobody, and goes the next time."""
    year = Year(SqliteStore.own(tmp_path / "live.db"))
    year.days(30)
    cut = find_cut(year.store, year.now - 5 * DAY, ())
    assert cut is not None
    year.store.cut(cut)
    year.store.close()
    store = SqliteStore.own(tmp_path / "live.db")
    assert store.base() is not None
    assert verify(store)[1] == []
    handler = Handler(store, RULES, lambda: year.now)
    assert handler.shard == year.handler.shard
    handler.snapshot()
    assert store.base() is not None
    again = find_cut(store, year.now - DAY, ())
    assert again is not None
    store.cut(again)
    while store.sweep(year.now - DAY, year.now):
        pass
    assert verify(store)[1] == []
    store.close()


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE kept_event SET body = replace(body, 'ada', 'ben')", "do not match the chain"),
        ("DELETE FROM kept_event WHERE version = 2", "version 3 follows 1"),
        ("DELETE FROM kept_event", "differ from those kept"),
        ("UPDATE pruned SET seq = seq - 1", "pruned 1: the row does not match its seal"),
        ("DELETE FROM event WHERE seq = (SELECT seq + 2 FROM pruned)", "missing"),
    ],
)
def test_damage_to_what_stayed_is_found(year: Year, sql: str, says: str) -> None:
    """As it is in every other event."""
    cut = find_cut(year.store, year.now - 10 * DAY, year.handler.shard.incidents)
    assert cut is not None
    year.store.cut(cut)
    assert verify(year.store)[1] == []
    try:
        year.store._db.execute(sql)
    except sqlite3.OperationalError:
        year.store._db.execute(sql.replace("body, ", "CAST(body AS TEXT), "))
    assert any(says in one for one in verify(year.store)[1])


def test_a_clock_that_was_far_ahead_ages_nothing() -> None:
    """The journal's time goes on from it; how old an event is, the wall clock says."""
    year = Year()
    year.days(5)
    year.now += 400 * DAY
    year.give(inputs.ClockSeen(-400 * DAY, 400 * DAY))  # the wall clock is right again
    year.days(5)
    assert year.handler.shard.skew == 400 * DAY
    before = year.count("event")
    pruner = year.pruner(90)
    while pruner.turn(year.now):
        pass
    assert year.count("event") == before
    pruner = year.pruner(1)
    while pruner.turn(year.now):
        pass
    assert 0 < year.count("event") < before
    assert verify(year.store)[1] == []


def test_a_damaged_old_event_stops_only_the_pruning(year: Year) -> None:
    """Nobody else reads it: alerts are taken and people are paged as ever."""
    year.store._db.execute("UPDATE event SET body = '{' WHERE seq = 5")
    upkeep = Upkeep([year.pruner(10).turn])
    events = year.count("event")
    for _ in range(50):
        upkeep.turn(year.now)
        year.now += 60_000
    assert year.count("event") == events
    year.alert("cart")
    assert year.handler.shard.incidents[f"INC-{year.handler.shard.next_incident - 1}"].pages
