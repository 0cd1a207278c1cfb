"""The tables of pushed counts: sums in buckets that get wider with age, and the newest bad answers.

Law: written inside the caller's transaction, and only there. A sum is exact however wide its bucket
is, and a bucket gets wider only when every window that may begin inside of it begins at the wider
edges (`core/values/sli_window.py`), so rolling up changes no answer.

    buckets of    10 s    sli_bucket   for 6 h and as long as something may come late
                   5 min  sli_rollup   for 3 d
                   1 h    sli_rollup   for 13 months

An objective that counts slices of time has its slices judged before they are summed: a `unit` says
by which promise, and what was judged by another one is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from midwatch.adapters.stores.database import Database
from midwatch.adapters.stores.named import Values
from midwatch.adapters.stores.names import Counts
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Bucket, FailedAnswer
from midwatch.core.values.sli_window import LATE_S
from midwatch.core.values.slices import Slicer
from midwatch.ports import Sum

KEPT_FAILURES = 100  # of an objective
MIDDLE_S, COARSE_S = 300, 3_600
SPARE_S = LATE_S + MIDDLE_S
FINE_FOR_S = 6 * 3_600 + SPARE_S
MIDDLE_FOR_S = 72 * 3_600 + SPARE_S
KEPT_S = 396 * 86_400
LONGEST_S = 100 * 86_400  # no period is longer
MOST = 10**15  # events of a bucket: beyond 2**63 a sum would be no whole number any more
A_SLICE = 720  # rows that are rolled up in one transaction

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(FailedAnswer).decode


def add(db: Database, buckets: Iterable[Bucket]) -> None:
    """Count buckets in, and keep their bad answers."""
    for one in buckets:
        good, total = min(one.good, MOST), min(one.total, MOST)
        db.change(Counts.add, slo=one.slo, at=one.at, good=good, total=total, most=MOST)
        if not one.failures:
            continue
        db.change_each(
            Counts.add_failure,
            [{"slo": one.slo, "at": one.at, "body": _encode(bad)} for bad in one.failures],
        )
        db.change(Counts.trim_failures, slo=one.slo, kept=KEPT_FAILURES)


# --- what is read at a start ---


def judged(db: Database, slo: str, since: int, unit: str) -> list[Sum]:
    """Give the rolled-up sums of a unit that end after `since`, oldest first."""
    rows = [
        row
        for width in (COARSE_S, MIDDLE_S)
        for row in db.each(Counts.judged, slo=slo, width_s=width, unit=unit, since=since)
    ]
    return sorted(rows)


def fine(db: Database, slo: str, since: int) -> list[Sum]:
    """Give what was pushed and is not rolled up yet, oldest first."""
    return db.all(Counts.fine, slo=slo, since=since)


def releases(db: Database, slo: str, since: int) -> list[str]:
    """List the names of an objective's releases that had events since then, the newest last."""
    mark = f"{slo}@"
    found: list[tuple[int, str]] = []
    for name in _names(db, Counts.next_fine, mark):
        if not name.startswith(mark):
            break
        newest = db.value(Counts.newest_fine, slo=name)
        if newest is not None and newest > since:
            found.append((newest, name))
    return [name for _, name in sorted(found)]


def failures(db: Database, slo: str) -> list[tuple[int, FailedAnswer]]:
    """Give the bad answers that are kept of an objective, oldest first."""
    return [(one.at, _decode(one.body)) for one in db.each(Counts.failures, slo=slo)]


def _names(db: Database, following: Values[str], after: str = "") -> Iterator[str]:
    """Give the objectives of a table, each by one look."""
    name: str | None = after
    while (name := db.value(following, slo=name)) is not None:
        yield name


# --- what gets wider, and what goes ---


def roll_up(db: Database, units: Mapping[str, str], now: int) -> int:
    """Roll up, or let go, about A_SLICE rows of what is old enough; gives how many, 0 at the end.

    `units` has the configured objectives, and how those that count slices judge them, as
    `SECONDS TARGET`. Counts of releases are let go: nothing looks back so far for a release.
    """
    done = 0
    for name in _names(db, Counts.next_fine):
        done += _roll_fine(db, name, units, _edge(now - FINE_FOR_S * SECOND, MIDDLE_S))
        if done >= A_SLICE:
            return done
    for name in _names(db, Counts.next_rolled_up):
        done += _roll_middle(db, name, _edge(now - MIDDLE_FOR_S * SECOND, COARSE_S))
        done += _let_go(db, name, now - KEPT_S * SECOND)
        if done >= A_SLICE:
            return done
    return done


def prune(db: Database, before: int, now: int) -> int:
    """Let go what is older than `before`, as far as no period reaches back to it; says how much."""
    before = min(before, now - LONGEST_S * SECOND)
    deletes = (Counts.prune_fine, Counts.prune_rolled_up)
    return sum(db.change(delete, before=before) for delete in deletes)


def _edge(at: int, width_s: int) -> int:
    """Give the last edge at or before a moment."""
    return at // (width_s * SECOND) * width_s * SECOND


def _roll_fine(db: Database, slo: str, units: Mapping[str, str], until: int) -> int:
    unit = units.get(slo, "")
    if unit:
        slice_s = int(unit.split()[0])
        until = _edge(until, slice_s)
    rows = db.all(Counts.fine_until, slo=slo, until=until, limit=A_SLICE)
    if not rows:
        return 0
    last, raw = rows[-1][0], len(rows)
    if slo in units or slo.partition("@")[0] not in units:
        if unit:
            last, rows = _sliced(db, slo, unit, rows[0][0], rows[-1][0])
        _sum_up(db, slo, MIDDLE_S, unit, rows)
    db.change(Counts.drop_fine, slo=slo, last=last)
    return raw


def _sliced(db: Database, slo: str, unit: str, first: int, last: int) -> tuple[int, list[Sum]]:
    """Judge whole slices alone; gives the end of the last one, and a sum for each."""
    slice_s, target = unit.split()
    end = -(-last // (int(slice_s) * SECOND)) * int(slice_s) * SECOND
    slicer = Slicer(int(slice_s), target)
    found = [
        event
        for at, good, total in db.each(Counts.fine_between, slo=slo, first=first, last=end)
        for event in slicer.add(at, good, total)
    ]
    return end, found + slicer.close(end)


def _roll_middle(db: Database, slo: str, until: int) -> int:
    done = 0
    for unit in list(db.values(Counts.units, slo=slo, width_s=MIDDLE_S)):
        of = {"slo": slo, "width_s": MIDDLE_S, "unit": unit}
        rows = db.all(Counts.rolled_up_until, **of, until=until, limit=A_SLICE)
        if rows:
            _sum_up(db, slo, COARSE_S, unit, rows)
            db.change(Counts.drop_rolled_up, **of, last=rows[-1][0])
        done += len(rows)
    return done


def _let_go(db: Database, slo: str, before: int) -> int:
    return db.change(Counts.drop_of_width, slo=slo, width_s=COARSE_S, before=before)


def _sum_up(db: Database, slo: str, width_s: int, unit: str, rows: Iterable[Sum]) -> None:
    width = width_s * SECOND
    sums: dict[int, tuple[int, int]] = {}
    for at, good, total in rows:
        edge = -(-at // width) * width
        before = sums.get(edge, (0, 0))
        sums[edge] = (before[0] + good, before[1] + total)
    of = {"slo": slo, "width_s": width_s, "unit": unit}
    db.change_each(
        Counts.sum_up,
        [{**of, "at": at, "good": good, "total": total} for at, (good, total) in sums.items()],
    )
