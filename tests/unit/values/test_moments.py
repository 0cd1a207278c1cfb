"""Times and numbers that others wrote: read at one door, and what a journal holds is shown."""

from __future__ import annotations

import math
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.acceptance.serving import midwatch

from midwatch.adapters.reports import postmortem as pages
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs, shard
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import identify
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND, parse_time, show_duration, show_time
from midwatch.core.values.moments import EARLIEST, LATEST, moment
from midwatch.core.values.teams import Policy, Step
from midwatch.engine import queries, reporting
from midwatch.engine.handle import Handler
from midwatch.engine.placement import find
from midwatch.engine.retelling import retell, subject

NOW = 1_796_037_749_873
SANE = st.integers(EARLIEST, LATEST - 1)
# Whole numbers of 64 bits and far beyond, and their neighbours in milliseconds of real years.
ANY = st.one_of(
    st.integers(-(2**63), 2**63),
    st.integers(),
    SANE,
    st.integers(1, 400).flatmap(lambda digits: st.integers(10 ** (digits - 1), 10**digits)),
)


@given(SANE)
def test_a_number_is_read_in_whichever_unit_it_is(at: int) -> None:
    """Seconds, milli-, micro- and nanoseconds, whole, in digits and as a fraction."""
    seconds = at // SECOND
    assert moment(seconds, NOW) == moment(str(seconds), NOW) == seconds * SECOND
    for times in (1, 1_000, 1_000_000):
        assert moment(at * times, NOW) == moment(str(at * times), NOW) == at
    assert moment(f"{seconds}.{at % SECOND:03d}", NOW) == at
    assert moment(at / SECOND, NOW) == at
    assert moment(show_time(at), NOW) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-30T11:22:29Z", "2026-11-30T11:22:29.000Z"),
        ("2026-11-30t11:22:29.5z", "2026-11-30T11:22:29.500Z"),
        ("2026-11-30 11:22:29Z", "2026-11-30T11:22:29.000Z"),
        ("2026-11-30 11:22:29 +0100", "2026-11-30T10:22:29.000Z"),
        ("2026-11-30T11:22:29.437740405123-05:30", "2026-11-30T16:52:29.437Z"),
        ("2026-11-30T11:22:29,25+01:00", "2026-11-30T10:22:29.250Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000Z"),
        ("  2026-11-30T11:22:29-00:00 ", "2026-11-30T11:22:29.000Z"),
    ],
)
def test_rfc_3339_is_read_in_all_its_forms(text: str, at: str) -> None:
    """Small letters, a space, a leap second, any fraction."""
    assert show_time(moment(text, NOW)) == at


@pytest.mark.parametrize(
    "bad",
    [
        True,
        False,
        None,
        [],
        {},
        math.nan,
        math.inf,
        -math.inf,
        0,
        42,
        -1,
        -NOW,
        10**14,
        10**30,
        10**400,
        1e300,
        5e-324,
        "",
        " ",
        "yesterday",
        "NaN",
        "inf",
        "1e3",
        "1_000",
        "0x10",
        "\u0661\u0667\u0669\u0666\u0660\u0663\u0667\u0667\u0664\u0669",
        "9" * 30,
        "9" * 5_000,
        "2026-11-30 11:22:29",
        "2026-11-30T11:22:29",
        "1999-12-31T23:59:59Z",
        "2100-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "2026-13-01T00:00:00Z",
        "2026-11-30T11:22:29Z; rm -rf",
        "2026-11-30T11:22:61Z",
    ],
    ids=lambda bad: repr(bad)[:24],
)
def test_what_is_no_moment_is_refused(bad: Any) -> None:
    """In one line that is no longer than a line."""
    with pytest.raises(ValueError, match=r"\w") as refused:
        moment(bad, NOW)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


@given(st.one_of(ANY, st.floats(), st.booleans(), st.none(), st.text(), ANY.map(str)))
@example(-(10**5_000))
def test_anything_is_a_moment_of_the_window_or_a_value_error(bad: Any) -> None:
    """Nothing else comes out of the door."""
    try:
        assert EARLIEST <= moment(bad, NOW) < LATEST
    except ValueError:
        return


@given(ANY)
@example(10**5_000)
@example(-(10**5_000))
def test_whatever_a_journal_holds_is_shown_and_can_be_read_back(number: int) -> None:
    """As a time and as a duration; a time of a year from 1 to 9999 is exact."""
    text = show_time(number)
    back = parse_time(text)
    if (
        datetime(2, 1, 1, tzinfo=UTC)
        <= datetime.fromisoformat(text)
        < datetime.max.replace(year=9998, tzinfo=UTC)
    ):
        assert back == number
    assert show_duration(number).isprintable()
    assert len(show_duration(number)) < 40


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_fraction_is_shown_as_a_duration(number: float) -> None:
    """NaN and infinity too."""
    assert show_duration(number).isprintable()


# --- a journal of 0.1.0 -------------------------------------------------------------------------

POLICY = Policy("p", (Step(("ada",)),))


def lived(store: SqliteStore, since: int, changed_at: int) -> Handler:
    """An incident whose alert began, and its change was made, at whatever a sender wrote."""
    now = NOW
    handler = Handler(store, Rules(policy=POLICY, policies={"p": POLICY}), lambda: now)

    def give(given: inputs.Input) -> None:
        (handled,) = handler.handle([Envelope("", given)])
        assert handled.status == "committed", handled.why

    labels = {"alertname": "DiskFull", "service": "pay", "severity": "critical"}
    change = Change("d-1", "pay", "deploy", changed_at)
    give(inputs.ChangesArrived("changes", (change,)))
    give(inputs.AlertsArrived("monitor", (identify(labels).alert("firing", since),)))
    now += 60_000
    give(inputs.Acknowledge("INC-1", "ada"))
    # Its neighbour is read by the door, and finds the incident of the old one there.
    more = identify({**labels, "alertname": "Slow"}).alert("firing", NOW + 30_000)
    give(inputs.AlertsArrived("monitor", (more,)))
    now += 60_000
    over = identify(labels).alert("resolved", NOW - 60_000, now)
    give(inputs.AlertsArrived("monitor", (over,)))
    return handler


def read_everywhere(store: SqliteStore, handler: Handler) -> reporting.Report:
    """Every page and list that tells of it."""
    state = handler.shard
    queries.summaries(state, store)
    assert queries.detail(state, store, "INC-1") is not None
    assert queries.timeline(store)
    queries.changes(state)
    firing = next(iter(state.firing), "")
    find(store, state.skews, firing)
    found = subject(state, store, "INC-1")
    assert found is not None
    document = retell(*found, store)
    assert pages.markdown(document)
    assert pages.html(document)
    gathered = reporting.gather(store, state.skews, 0, LATEST)
    taken = reporting.take(state, state.incidents)
    known = reporting.known(taken, store, gathered, state.skews, 0, LATEST)
    return reporting.report(known, gathered, 0, LATEST)[0]


@given(ANY, ANY)
@example(1_764_500_000_000_000, 10**300)
@example(10**400, -(10**400))
@example(LATEST - 1, NOW)
def test_a_journal_with_any_number_is_told_of(since: int, changed_at: int) -> None:
    """Folded, decided on, reported and retold; a start that is no moment is when it was told."""
    with closing(SqliteStore.memory()) as store:
        handler = lived(store, since, changed_at)
        report = read_everywhere(store, handler)
        incident = report.incidents[0]
        sane, took = EARLIEST <= since < LATEST, incident.to_acknowledge_s
        assert sane or took == 60
        assert took is None or took >= 0, "nothing takes a negative time"
        assert took is not None or since > NOW + 60_000
        again = Handler(store, Rules(), lambda: NOW)
        assert shard.dump(again.shard) == shard.dump(handler.shard)


def test_a_file_with_such_a_number_answers_as_it_is_typed(tmp_path: Path) -> None:
    """Microseconds, taken for milliseconds: `report` and `postmortem show` used to fail."""
    assert midwatch("init", cwd=tmp_path).returncode == 0
    config = tmp_path / "midwatch"
    with closing(SqliteStore.own(config / "midwatch.db")) as store:
        lived(store, 1_764_500_000_000_000, NOW)
    for words in (
        ("postmortem", "show", "INC-1"),
        ("report", "--month", "--until", "2026-12-05T00:00:00Z"),
        ("incidents", "list", "--all"),
        ("incidents", "show", "INC-1"),
        ("db", "verify", "midwatch/midwatch.db"),
    ):
        done = midwatch(*words, cwd=tmp_path)
        assert done.returncode == 0, (words, done.stderr)
        assert "e+" not in done.stdout
