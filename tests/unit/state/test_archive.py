"""What is closed leaves memory, and is found for ever."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs, shard, upgrades
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Envelope
from midwatch.core.state.leaving import Archived, leaving
from midwatch.core.state.shard import Burn, Shard
from midwatch.core.values.alerts import identify
from midwatch.core.values.judgements import Judgement
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.engine import archive, queries, reporting
from midwatch.engine.handle import Handler
from midwatch.engine.verify import verify

RULES = Rules(policy=Policy("p", (Step(("ada",)),), team=Team(digest_s=0, ack_s=0)))
HOUR = 3_600_000


class Desk:
    """An engine on a journal, and a clock that is moved."""

    def __init__(self, store: SqliteStore | None = None) -> None:
        self.now = 1_000_000
        self.store = store or SqliteStore.memory()
        self.handler = Handler(self.store, RULES, lambda: self.now)
        self.number = 0

    def give(self, *given: inputs.Input) -> list[str]:
        """Hand inputs over, each with a key of its own; gives why those that are refused are."""
        self.number += 1
        keyed = [Envelope(f"{self.now}/{self.number}/{n}", one) for n, one in enumerate(given)]
        return [one.why for one in self.handler.handle(keyed) if one.status != "committed"]

    def alert(self, service: str, level: str = "critical", status: str = "firing") -> None:
        """Let an alert fire, or end."""
        named = identify({"alertname": "Down", "service": service, "severity": level})
        ends = self.now if status == "resolved" else None
        one = named.alert("resolved" if ends else "firing", self.now, ends)
        self.give(inputs.AlertsArrived("test", (one,)))

    def quiet(self, service: str) -> str:
        """An incident that pages nobody and is over, and so is closed."""
        self.alert(service, "info")
        name = self.handler.shard.firing[next(iter(self.handler.shard.firing))]
        self.now += 1_000
        self.alert(service, "info", "resolved")
        self.now += HOUR
        self.give(*(inputs.TimerCameDue(one) for one in self.store.due(self.now)))
        return name

    def closed(self, service: str) -> str:
        """An incident that paged, and was closed by a waiver."""
        self.alert(service)
        name = next(reversed(self.handler.shard.incidents))
        for given in (
            inputs.Acknowledge(name, "ada"),
            inputs.ResolveIncident(name, "ada", "restarted"),
            inputs.GrantWaiver(name, "no model", "ada", self.now + 90 * 24 * HOUR),
        ):
            self.now += 1_000
            assert self.give(given) == []
        return name


@pytest.fixture
def desk() -> Desk:
    """On a journal in memory."""
    return Desk()


def test_who_is_closed_leaves_and_is_told_as_before(tmp_path: Path) -> None:
    """Not in memory, not in the snapshot; in the list, in detail and in the report, also later."""
    path = tmp_path / "journal.db"
    desk = Desk(SqliteStore.own(path))
    quiet, closed = desk.quiet("blog"), desk.closed("shop")
    state = desk.handler.shard
    assert not state.incidents
    assert state.left == 2
    assert not [stream for stream in state.versions if stream.startswith("incident/")]
    told = queries.detail(state, desk.store, closed)
    assert told is not None
    assert told.incident.state == "closed"
    assert told.pruned == 0
    assert [one.event for one in told.timeline][-1] == "IncidentClosed"
    desk.handler.snapshot()
    assert msgspec.json.decode(shard.dump(state))["incidents"] == {}
    desk.store.close()
    again = Desk(SqliteStore.own(path))
    assert again.handler.shard == state
    assert queries.detail(again.handler.shard, again.store, closed) == told
    listed = queries.summaries(again.handler.shard, again.store)
    assert {one.id for one in listed} == {quiet, closed}
    assert queries.summaries(again.handler.shard) == []
    end, skews = desk.now + HOUR, again.handler.shard.skews
    gathered = reporting.gather(again.store, skews, 0, end)
    known = reporting.known([], again.store, gathered, skews, 0, end)
    found, _ = reporting.report(known, gathered, 0, end)
    assert [line.id for line in found.incidents] == [quiet, closed]
    assert len(found.waivers) == 1
    assert verify(again.store)[1] == []
    again.store.close()


def test_a_late_fact_is_told_with_the_incident_that_has_left(desk: Desk) -> None:
    """A receipt that comes after the end, and what a person makes of it months later."""
    name = desk.closed("shop")
    before = desk.store.recall(name)
    assert before is not None
    assert before.incident.pages[0].state == "planned"
    assert desk.give(inputs.PageAnswered(f"page/{name}/1", name, 1, receipt="ok")) == []
    desk.now += 1_000 * HOUR
    desk.quiet("blog")
    mine, more = Judgement(summary="a bad deploy"), Judgement(summary="a bad deploy, and tired")
    assert (
        desk.give(
            inputs.EditPostmortem(name, mine, "ada"), inputs.EditPostmortem(name, more, "ada")
        )
        == []
    )
    after = desk.store.recall(name)
    assert after is not None
    assert after.incident.pages[0].state == "sent"
    assert after.incident.judgement == more
    assert after.version == before.version + 3
    told = queries.detail(desk.handler.shard, desk.store, name)
    assert told is not None
    assert len(told.timeline) == after.version
    assert name not in desk.handler.shard.incidents
    assert verify(desk.store)[1] == []
    assert Desk(desk.store).handler.shard == desk.handler.shard


@pytest.mark.parametrize("name", ["INC-9", "INC-01", "INC-x", "x", "INC-", "INC-0", "INC-²"])
def test_who_never_was_is_not_found(desk: Desk, name: str) -> None:
    """Whatever somebody asks for."""
    desk.quiet("blog")
    assert archive.find(desk.handler.shard, desk.store, name) is None
    assert "no incident is named" in desk.give(inputs.Acknowledge(name, "ada"))[0]


def test_a_command_on_who_has_left_says_that_it_is_closed(desk: Desk) -> None:
    """As it did when it was in memory."""
    name = desk.closed("shop")
    assert desk.give(inputs.CloseIncident(name, "ada")) == [
        f"{name} is closed; no action is needed"
    ]
    (why,) = desk.give(inputs.Snooze(name, "ada", desk.now + HOUR))
    assert f"{name} is closed" in why
    assert desk.give(inputs.Acknowledge(name, "ben")) == []
    assert verify(desk.store)[1] == []


def test_what_was_merged_leaves_with_what_it_is_part_of(desk: Desk) -> None:
    """Not before, for until then it may be undone; afterwards that is refused."""
    desk.alert("shop")
    desk.now += HOUR
    desk.alert("cart")
    assert list(desk.handler.shard.incidents) == ["INC-1", "INC-2"]
    assert desk.give(inputs.MergeIncident("INC-1", "INC-2", "ada")) == []
    assert "INC-1" in desk.handler.shard.incidents
    for given in (
        inputs.Acknowledge("INC-2", "ada"),
        inputs.ResolveIncident("INC-2", "ada", "restarted"),
        inputs.GrantWaiver("INC-2", "no model", "ada", desk.now + HOUR),
    ):
        assert desk.give(given) == []
    assert not desk.handler.shard.incidents
    assert "is closed" in desk.give(inputs.UndoMove("INC-1", "ada"))[0]
    assert desk.store.recall("INC-1") is not None
    assert verify(desk.store)[1] == []


def test_who_burns_on_or_is_at_work_stays() -> None:
    """What is decided when the burn ends, or the answer comes, needs it."""
    closed = Incident("INC-1", "shop", "", "slow", 0, state="closed")
    part = Incident("INC-2", "cart", "", "slow", 0, state="merged", merged_into="INC-1")
    known = {"INC-1": closed, "INC-2": part}
    assert leaving(known, "INC-2", []) == ["INC-1", "INC-2"]
    assert leaving(known, "INC-1", ["INC-2"]) == []
    part.promotion = "promote/INC-2/1"
    assert leaving(known, "INC-1", []) == []


def test_a_chronic_alert_is_known_when_its_incidents_have_left(desk: Desk) -> None:
    """What opened two incidents alone is no part of a third one's storm."""
    names = [desk.quiet("disk"), desk.quiet("disk")]
    habits = desk.handler.shard.habits
    assert list(habits.alone) == names
    desk.quiet("disk")
    assert len(habits.alone) == 2
    assert names[0] not in habits.alone
    assert shard.load(shard.dump(desk.handler.shard)) == desk.handler.shard


def test_verify_finds_a_row_that_is_gone_or_another_one(desk: Desk) -> None:
    """Which incident it is, is said."""
    names = [desk.quiet("blog"), desk.closed("shop"), desk.closed("cart")]
    assert verify(desk.store)[1] == []
    desk.store._db.execute("DELETE FROM archive WHERE number = 1")
    record = desk.store.recall(names[1])
    assert record is not None
    record.incident.title = "nothing happened"
    desk.store.archive([record])
    found = verify(desk.store)[1]
    assert f"archive {names[0]}: is missing in the archive" in found
    assert f"archive {names[1]}: is another one than its events give" in found
    desk.store._db.execute("UPDATE archive SET body = body || ' ' WHERE number = 3")
    assert any("archive 3: the row does not match its seal" in one for one in verify(desk.store)[1])


def test_a_journal_without_an_archive_gets_it(desk: Desk) -> None:
    """One of 0.1.0, whose closed incidents were in memory; late facts are in their rows."""
    names = [desk.quiet("blog"), desk.closed("shop")]
    desk.give(inputs.EditPostmortem(names[1], Judgement(summary="late"), "ada"))
    rows = "SELECT * FROM archive ORDER BY number"
    before = desk.store._db.execute(rows).fetchall()
    desk.store._db.execute("DELETE FROM archive")
    assert archive.complete(desk.store, desk.handler.shard)
    assert desk.store._db.execute(rows).fetchall() == before
    assert not archive.complete(desk.store, desk.handler.shard)


def test_a_snapshot_of_before_lets_leave_whoever_is_closed(desk: Desk) -> None:
    """And what is remembered of them is what would have been remembered."""
    names = [desk.quiet("blog"), desk.quiet("disk"), desk.closed("shop")]
    desk.alert("open")
    now = desk.handler.shard
    old = msgspec.json.decode(shard.dump(now))
    records = [desk.store.recall(name) for name in names]
    gone = {one.incident.id: one for one in records if one}
    for name, one in gone.items():
        old["versions"][f"incident/{name}"] = one.version
    kept = {name: msgspec.to_builtins(one.incident) for name, one in gone.items()}
    old["incidents"] = {**kept, **old["incidents"]}
    old["left"] = 0
    for new in ("past", "left"):
        del old[new]
    del old["habits"]["alone"]
    found, left = upgrades.read(msgspec.json.encode(old), 11)
    assert found == now
    assert left == [Archived(gone[name].incident, gone[name].version) for name in names]


def test_a_burn_lets_its_incident_leave_when_it_calms() -> None:
    """The fact that ends the burn is the one by which it leaves."""
    state = Shard(next_incident=2, incidents={"INC-1": Incident("INC-1", "shop", "", "x", 0)})
    state.incidents["INC-1"].state = "closed"
    state.versions["incident/INC-1"] = 7
    state.burning["shop/ok"] = Burn("fast", "INC-1")
    (gone,) = shard.evolve(state, shard.e.BudgetCalm(slo="shop/ok", incident="INC-1"), 5)
    assert (gone.incident.id, gone.version, state.left) == ("INC-1", 7, 1)
