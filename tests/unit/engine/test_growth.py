"""What a decision costs does not grow with what happened before: indexes, not walks."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from midwatch.adapters.stores import lanes
from midwatch.adapters.stores.sqlite import SqliteStore, named
from midwatch.adapters.stores.sqlite_file import apply_migrations, create_file, migrations
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs, past, shard
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Envelope, PageAnswered
from midwatch.core.state.past import LOOKS_BACK_S, MOST, Lessons
from midwatch.core.values.alerts import identify
from midwatch.core.values.evals import Case
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.engine.handle import Handler

DAY = 86_400_000
PAGING = Rules(policy=Policy("p", (Step(("ada",)),), team=Team(digest_s=0, ack_s=0)))
DIGESTS = Rules(policy=Policy("p", (Step(("ada",)),), team=Team(digest_s=60, ack_s=0)))


def fire(number: int) -> Envelope:
    """A page of a service of its own."""
    labels = {"alertname": "Down", "service": f"s{number}", "severity": "critical"}
    alert = identify({**labels, "namespace": f"n{number}"}).alert("firing", 1_000)
    return Envelope(f"in/{number}", inputs.AlertsArrived("test", (alert,)))


def opening_cpu_s(count: int) -> float:
    """Open so many incidents that have nothing to do with each other."""
    engine = Handler(SqliteStore.memory(), PAGING, lambda: 1_000)
    groups = [[fire(n) for n in range(at, at + 50)] for at in range(0, count, 50)]
    start = time.process_time()
    for group in groups:
        engine.handle(group)
    return time.process_time() - start


def test_sixteen_times_the_incidents_cost_about_sixteen_times_as_much() -> None:
    """The bound is wide for a busy machine; a walk over all of them cost sixty-five times."""
    small = min(opening_cpu_s(200) for _ in range(3))
    assert opening_cpu_s(3_200) <= 32 * small


def steps(db: sqlite3.Connection, room: int) -> int:
    """Count what SQLite does to find what may be begun."""
    done = 0

    def step() -> int:
        nonlocal done
        done += 1
        return 0

    db.set_progress_handler(step, 10)
    lanes.due(named(db), 10_000, 64, lambda _: room)
    db.set_progress_handler(None, 0)
    return done


@pytest.mark.parametrize("room", [0, 4])
def test_a_turn_costs_the_same_however_many_effects_wait(room: int) -> None:
    """A lane that is full, or nearly so, is not read through."""
    few, many = SqliteStore.memory(), SqliteStore.memory()
    for store, count in ((few, 20), (many, 2_000)):
        store._db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO outbox SELECT 'page/' || i, i, 'SendPage', '', 1, 'planned', 1000, 0, '',"
            " '', 'page/' FROM n",
            (count,),
        )
    assert len(many.outbox()) == 2_000
    assert steps(many._db, room) <= steps(few._db, room) + 5


def test_lanes_share_a_limit_in_the_order_of_planning() -> None:
    """Of two lanes with room for two each, and three free performers, the oldest go first."""
    store = SqliteStore.memory()
    Handler(store, PAGING, lambda: 1_000).handle([fire(n) for n in range(6)])
    store._db.execute("UPDATE outbox SET lane = 'page/b' WHERE number IN (1, 3, 5)")
    claims = store.claim(1_000, 3, lambda _: 2)
    assert [claim.effect.key for claim in claims] == [f"page/INC-{n}/1" for n in (1, 2, 3)]
    claims = store.claim(1_000, 9, lambda lane: 2 if lane == "page/b" else 0)
    assert [claim.effect.key for claim in claims] == ["page/INC-5/1"]


def test_effects_of_an_older_file_get_their_lane(tmp_path: Path) -> None:
    """What waited when a file was migrated is claimed like anything else."""
    path = tmp_path / "old.db"
    create_file(path)
    store = SqliteStore.own(path)
    Handler(store, PAGING, lambda: 1_000).handle([fire(n) for n in range(3)])
    rows = store._db.execute("SELECT * FROM outbox").fetchall()
    store.close()
    old = sqlite3.connect(":memory:", isolation_level=None)
    for number, sql in migrations():
        if number < 5:
            old.executescript(sql)
    old.executemany(f"INSERT INTO outbox VALUES ({', '.join('?' * 10)})", [r[:10] for r in rows])
    apply_migrations(old, 4)
    assert old.execute("SELECT lane FROM outbox ORDER BY number").fetchall() == [("page/",)] * 3
    assert len(lanes.due(named(old), 1_000, 9, lambda _: 9)) == 3


def test_a_receipt_finds_all_that_its_page_told_of_also_after_a_restart() -> None:
    """The index by digest is built again from what was written down."""
    store, now = SqliteStore.memory(), 1_000
    engine = Handler(store, DIGESTS, lambda: now)
    engine.handle([fire(n) for n in range(4)])
    now += 61_000
    engine.handle([Envelope(f"t/{t.key}", inputs.TimerCameDue(t)) for t in store.due(now)])
    digest = next(key for key in engine.shard.digests)
    told = [one.id for one in engine.shard.told_by(digest)]
    assert len(told) == 2
    engine.snapshot()
    again = Handler(store, DIGESTS, lambda: now)
    assert again.shard == engine.shard
    assert [one.id for one in again.shard.told_by(digest, told[0])] == told[1:]
    first = digest.split("/")[1]
    again.handle([Envelope("", PageAnswered(digest, first, 1, receipt="ok"))])
    assert [again.shard.incidents[name].pages[-1].state for name in told] == ["sent", "sent"]


def over(number: int, kinds: list[str], at: int = 0, question: str = "") -> Incident:
    """An incident that hurt and is over."""
    incident = Incident(f"INC-{number}", "shop", "", "slow", at, slo="shop/ok", kinds=kinds)
    if question:
        incident.case, incident.case_state = Case(f"c{number}", question, "x"), "admitted"
    return incident


def test_what_was_alike_is_remembered_once_and_a_question_as_long_as_it_is_its_own() -> None:
    """The newest is the one that is found; the case of an older one stays found."""
    lessons: Lessons = {}
    for one in (
        over(1, ["shop Slow"], question="how long?"),
        over(2, ["shop Slow"]),
        over(3, ["shop Down"]),
        over(4, ["shop Slow"]),
    ):
        past.learn(lessons, one)
    assert [one.incident for one in past.before(lessons, "shop", 0)] == ["INC-4", "INC-3", "INC-1"]
    assert [one.question for one in past.before(lessons, "shop", 0)][-1] == "how long?"


def test_the_past_is_bounded_by_time_and_number() -> None:
    """Ninety days, and so many of a service."""
    lessons: Lessons = {}
    for number in range(1, 2 * MOST):
        past.learn(lessons, over(number, [f"shop {number}"], at=number))
    assert len(list(past.before(lessons, "shop", 0))) == MOST
    late = LOOKS_BACK_S * 1_000 + 2 * MOST
    assert not list(past.before(lessons, "shop", late))
    past.learn(lessons, over(999, ["shop new"], at=late))
    assert [one.incident for one in lessons["shop"]] == ["INC-999"]


def test_the_past_is_in_the_snapshot() -> None:
    """It cannot be folded from incidents that are gone."""
    state = shard.Shard()
    past.learn(state.past, over(1, ["shop Slow"]))
    assert shard.load(shard.dump(state)) == state
