"""Pushed counts get coarser with age, and every window is answered as before."""

from __future__ import annotations

import random
import sqlite3
import threading
from pathlib import Path

import pytest

from midwatch.adapters.metrics.pushed import PushedMetrics
from midwatch.adapters.stores import sli_buckets
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.adapters.stores.sqlite_file import apply_migrations, migrations
from midwatch.bootstrap import World, build_engine, build_loop
from midwatch.core.rules.rules import Rules
from midwatch.core.values.sli import Bucket, Indicator
from midwatch.core.values.sli_window import SliWindow
from midwatch.core.values.slo import Slo
from midwatch.core.values.teams import Policy
from midwatch.engine.upkeep import Upkeep
from midwatch.errors import CommitFailed, Fenced

NOW = 1_790_000_000_000 // 10_000 * 10_000
HOUR, DAY = 3_600_000, 86_400_000


def objective(name: str, days: int, slice_s: int = 0) -> Slo:
    """An objective of events, or of slices of time."""
    indicator = Indicator("delta", slice_s=slice_s, slice_target="0.9" if slice_s else "")
    return Slo(f"shop/{name}", "shop", "0.99", days * 86_400, indicator=indicator)


PLAIN, MINUTES, LONG = objective("ok", 30), objective("minutes", 7, 60), objective("long", 90, 420)
WINDOWS_S = (
    300,
    1_800,
    3_600,
    20_010,
    20_530,
    21_470,
    6 * 3_600,
    21_601,
    86_400 - 7,
    72 * 3_600,
    259_999,
    7 * 86_400,
)


def traffic(seed: int, days: float) -> list[Bucket]:
    """Events now and then, some of them late, with a bad hour here and there."""
    rng = random.Random(seed)
    found: list[Bucket] = []
    at = NOW - int(days * DAY)
    while at < NOW:
        at += 10_000 * rng.choice((1, 1, 2, 7, 30))
        late = 10_000 * rng.choice((0, 0, 0, 30))
        total = rng.randrange(1, 50)
        good = total if at // HOUR % 5 else rng.randrange(total + 1)
        found += [
            Bucket(one.id, min(at, NOW) - late, good, total) for one in (PLAIN, MINUTES, LONG)
        ]
    return found


def metrics() -> PushedMetrics:
    """What counts for the three objectives."""
    return PushedMetrics({one.id: one for one in (PLAIN, MINUTES, LONG)})


def rolled(store: SqliteStore, now: int) -> int:
    """Roll up all that is old enough; gives in how many slices."""
    slices = 0
    while store.roll_up(metrics().units, now):
        slices += 1
    return slices


def answers(of: PushedMetrics, now: int) -> dict[str, dict[int, tuple[int, int]]]:
    """What each objective says of each window."""
    return {
        one.id: {
            window: (counts.good, counts.total)
            for window, counts in of.counts(one, WINDOWS_S, now).items()
        }
        for one in (PLAIN, MINUTES, LONG)
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_every_window_is_answered_the_same_before_and_after(tmp_path: Path, seed: int) -> None:
    """Live, after a restart, after rolling up, and after a restart that follows it."""
    path, live = tmp_path / "journal.db", metrics()
    store = SqliteStore.own(path)
    buckets = traffic(seed, 9)
    # What is late is judged when it comes; a restart knows it from the start. Slices that were
    # closed already do not take it, so that is compared between restarts.
    with store._db:
        store._db.execute("BEGIN")
        sli_buckets.add(store._sql, buckets)
    live.take(buckets)
    before = metrics()
    before.remember(store, NOW)
    assert answers(before, NOW)[PLAIN.id] == answers(live, NOW)[PLAIN.id]
    for now in (NOW, NOW + 7 * HOUR, NOW + 4 * DAY):
        assert rolled(store, now) or now != NOW
        store.close()
        after, store = metrics(), SqliteStore.own(path)
        after.remember(store, now)
        assert answers(after, now) == answers(before, now)
    assert store._db.execute("SELECT count(*) FROM sli_bucket").fetchone()[0] == 0
    store.close()


def test_what_is_kept_is_little() -> None:
    """Ten seconds for six hours, five minutes for three days, an hour for thirteen months."""
    store = SqliteStore.memory()
    db = store._db
    fill(db, "shop/ok", 100_000)
    db.execute("INSERT INTO sli_rollup VALUES ('shop/ok', 3600, '', ?, 1, 1)", (NOW - 400 * DAY,))
    db.execute("INSERT INTO sli_bucket VALUES ('shop/ok@v1', ?, 1, 1)", (NOW - DAY,))
    total = db.execute("SELECT sum(total) FROM sli_bucket WHERE slo = 'shop/ok'").fetchone()[0]
    rolled(store, NOW)
    assert db.execute("SELECT count(*) FROM sli_bucket").fetchone()[0] < 7 * 360
    widths = dict(db.execute("SELECT width_s, count(*) FROM sli_rollup GROUP BY width_s"))
    assert 790 <= widths[300] <= 805
    assert 200 < widths[3_600] < 215
    left = sum(
        db.execute(f"SELECT sum(total) FROM {table}").fetchone()[0]
        for table in ("sli_bucket", "sli_rollup")
    )
    assert left == total


def fill(db: sqlite3.Connection, slo: str, count: int) -> None:
    """A bucket each ten seconds, up to now."""
    db.execute(
        "WITH RECURSIVE k (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM k WHERE n < ?)"
        " INSERT INTO sli_bucket SELECT ?, ? - n * 10000, 99, 100 FROM k",
        (count - 1, slo, NOW),
    )


def test_a_slice_is_bounded() -> None:
    """However much is left, one transaction takes a few hundred rows of it."""
    store = SqliteStore.memory()
    fill(store._db, "shop/ok", 50_000)
    changed = store._db.total_changes
    assert store.roll_up(metrics().units, NOW)
    assert store._db.total_changes - changed <= 2 * sli_buckets.A_SLICE


def test_an_older_file_is_rolled_up_when_it_is_migrated() -> None:
    """Sums stay what they were; a clock that was ahead once has nothing dropped."""
    old = sqlite3.connect(":memory:", isolation_level=None)
    for number, sql in migrations():
        if number < 5:
            old.executescript(sql)
    old.executemany(
        "INSERT INTO sli_bucket VALUES (?, ?, ?, ?)",
        {
            (one.slo, one.at): (one.slo, one.at, one.good, one.total) for one in traffic(3, 9)
        }.values(),
    )
    raw = {
        one.id: old.execute(
            "SELECT at, good, total FROM sli_bucket WHERE slo = ? ORDER BY at", (one.id,)
        ).fetchall()
        for one in (PLAIN, MINUTES)
    }
    apply_migrations(old, 4)
    store = SqliteStore(old)
    kept = metrics()
    kept.remember(store, NOW)
    ring = SliWindow(PLAIN.period_s)
    ring.fill(raw[PLAIN.id])
    assert kept.counts(PLAIN, WINDOWS_S, NOW) == ring.counts(WINDOWS_S, NOW)
    assert kept.counts(MINUTES, (3_600,), NOW)[3_600].total <= 60
    assert old.execute("SELECT count(*) FROM sli_bucket").fetchone()[0] < 3 * 7 * 360


def test_the_newest_releases_are_remembered_and_no_older_history_of_them() -> None:
    """A canary looks six hours back; a release of last month costs a start nothing."""
    store, kept = SqliteStore.memory(), metrics()
    for number in range(40):
        sli_buckets.add(
            store._sql, [Bucket(f"{PLAIN.id}@v{number}", NOW - number * HOUR // 8, 1, 2)]
        )
    kept.remember(store, NOW)
    release = Slo(f"{PLAIN.id}@v3", "shop", "0.99")
    assert kept.counts(release, (3_600,), NOW)[3_600].total == 2
    assert len(kept._meters) == 3 + 32
    rolled(store, NOW + 2 * DAY)
    names = "SELECT count(*) FROM {} WHERE slo LIKE '%@%'"
    assert [
        store._db.execute(names.format(t)).fetchone()[0] for t in ("sli_bucket", "sli_rollup")
    ] == [0, 0]


def test_prune_keeps_what_a_period_reaches_back_to() -> None:
    """A hundred days are always there; what is older goes with --keep."""
    store = SqliteStore.memory()
    rows = [("shop/ok", 3_600, "", NOW - days * DAY, 1, 1) for days in (1, 50, 99, 101, 200)]
    store._db.executemany("INSERT INTO sli_rollup VALUES (?, ?, ?, ?, ?, ?)", rows)
    for keep, left in ((150, 4), (90, 3), (7, 3)):
        sli_buckets.prune(store._sql, NOW - keep * DAY, NOW)
        assert store._db.execute("SELECT count(*) FROM sli_rollup").fetchone()[0] == left


def test_a_chore_that_the_disk_refuses_is_tried_later() -> None:
    """And one who is fenced off stops."""
    says: list[Exception] = [CommitFailed("full"), Fenced("over")]

    def chore(now: int) -> bool:
        raise says.pop(0)

    upkeep = Upkeep([chore])
    assert upkeep.turn(0)
    assert not upkeep.turn(1_000)
    with pytest.raises(Fenced):
        upkeep.turn(60_000)


def test_the_engine_s_thread_does_the_chores() -> None:
    """A slice at a turn, beside everything else; what is left is done at the next turns."""
    store, left = SqliteStore.memory(), [3]
    done = threading.Event()

    def chore(now: int) -> bool:
        left[0] -= 1
        if not left[0]:
            done.set()
        return left[0] > 0

    engine = build_engine(store, Rules(policy=Policy("p", ())), World({}), lambda: clock[0])
    clock = [NOW]

    def tick() -> int:
        clock[0] += 20
        return clock[0]

    loop = build_loop(store, engine, tick, upkeep=Upkeep([chore]))
    loop.start()
    assert done.wait(60)
    loop.stop()
    assert loop.error is None
