"""Harm from edge to edge, one sum for each share of the budget, and who is named and credited."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
from msgspec import structs
from tests.unit.rules.test_core import alert
from tests.unit.rules.test_postmortems import Told, told, written
from tests.unit.rules.test_runbooks import PURGES, ROLLS, approve, burn
from tests.unit.rules.test_runbooks import answer as answered

from midwatch.adapters.metrics.pushed import PushedMetrics
from midwatch.adapters.reports import postmortem as pages
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.shard import Shard
from midwatch.core.values import budget, harm
from midwatch.core.values.changes import Change
from midwatch.core.values.judgements import ActionItem, Added, Judgement
from midwatch.core.values.postmortems import problems, unjudged
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import Bucket, Counts, Indicator, Outage, Trace
from midwatch.core.values.sli_window import SliWindow
from midwatch.core.values.slo import Slo
from midwatch.engine.explain import standings
from midwatch.engine.reporting import Gathered
from midwatch.engine.watch import Watcher
from midwatch.errors import InputError, StateError

CENT = Fraction(1, 100)


def ring(*counts: tuple[int, int, int]) -> SliWindow:
    """Counts of (second, good, total)."""
    found = SliWindow(86_400)
    for at, good, total in counts:
        found.add(at * 1_000, good, total)
    return found


def stretch(found: SliWindow, now: int, outage: Outage) -> tuple[int, int, int, int]:
    """Start and end in seconds, bad and all."""
    trace_ = Trace(tuple(found.edges(outage.since, now * 1_000)))
    one = harm.measure(CENT, (outage,), trace_, now * 1_000, 86_400).stretches[0]
    return one.start // 1_000, one.end // 1_000, one.total - one.good, one.total


def test_harm_ends_with_its_last_bad_event_though_nobody_comes_any_more() -> None:
    """A service that is gone has no traffic: silence is no harm that was counted."""
    found = ring((10, 50, 50), (20, 50, 50), (30, 0, 50), (40, 0, 50))
    assert stretch(found, 3_000, Outage(0, 60_000)) == (20, 40, 100, 100)


def test_late_counts_move_both_edges() -> None:
    """What comes late is counted where it belongs, before the start as well."""
    found = ring((10, 50, 50), (30, 0, 50), (50, 50, 50), (60, 100, 100))
    assert stretch(found, 100, Outage(0, 60_000)) == (20, 30, 50, 50)
    found.add(20_000, 0, 10)
    found.add(40_000, 0, 10)
    assert stretch(found, 100, Outage(0, 60_000)) == (10, 40, 70, 70)


def test_older_edges_are_as_wide_as_the_ring_knows_them() -> None:
    """Six hours back an edge is five minutes; it says so."""
    counts = [(at, 10, 10) for at in range(10, 40_000, 10)]
    counts += [(at, 0, 10) for at in range(40_000, 40_600, 10)]
    found = ring(*counts, *((at, 10, 10) for at in range(40_600, 90_000, 10)))
    trace_ = Trace(tuple(found.edges(20_000_000, 89_990_000)))
    asked = (Outage(20_000_000, 41_000_000),)
    one = harm.measure(CENT, asked, trace_, 89_990_000, 86_400).stretches[0]
    assert (one.start_width_s, one.end_width_s) == (300, 300)
    assert one.start <= 40_000_000 <= one.start + 300_000
    assert one.end - 300_000 <= 40_600_000 <= one.end


# --- one share, whoever says it -----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_page_status_report_and_postmortem_say_one_share(seed: int) -> None:
    """On drawn histories, of periods that are full and that are not."""
    rng = random.Random(seed)
    shop = Slo(
        "shop/answers",
        "shop",
        rng.choice(("0.9", "0.99", "0.999")),
        rng.choice((3_600, 86_400)),
        indicator=Indicator("counter", "push"),
    )
    source = PushedMetrics({shop.id: shop})
    watcher = Watcher(SqliteStore.memory(), {"push": source}, Rules(slos={shop.id: shop}))
    now = 1_700_000_000_000
    pushes = rng.randrange(30, 600)
    for _ in range(pushes):
        now += 10_000
        source.take([Bucket(shop.id, now, rng.randrange(0, 9), 10)])
    (envelope,) = watcher.readings(Shard(), now)
    reading = envelope.input.reading
    (standing,) = standings(Shard(), watcher.newest())
    shown = standing.objective.budget
    bad = reading.period.bad
    part = budget.share(shop, bad, reading.period)
    assert part is not None
    assert shown.bad / shown.allowed == pytest.approx(float(part), rel=1e-9)
    says = budget.spent(shop, bad, reading.period, reading.seen_s)
    document = {
        "slo": shop.id,
        "bad_events": bad,
        "says": says,
        "allowed": shown.allowed,
        "seen_s": shown.seen_s,
        "budget_spent": float(part) if shown.full else None,
    }
    gathered = Gathered()
    gathered.take(now, e.PostmortemDrafted(incident="INC-1", document={"objectives": [document]}))
    assert gathered.budgets()[1] == {shop.id: says}
    assert shown.full == ((pushes - 1) * 10 >= shop.period_s)
    page = budget.says(shop, Fraction(20), reading.period, reading.seen_s)
    if shown.full:
        assert shown.left == pytest.approx(1 - float(part), rel=1e-9)
        assert page.startswith("budget gone")
    else:
        assert shown.left is None
        assert "gone" not in shown.says + page
        assert "%" not in shown.says + page
        assert shown.says == page == says


# --- credit -------------------------------------------------------------------------------------


def test_a_run_that_did_not_hold_is_not_credited_with_what_a_person_did() -> None:
    """The second recovery came by hand: no runbook ended it."""
    found = told(PURGES)
    burn(found)
    approve(found)
    answered(found, "applied")
    found.read(9_990, 10_000, 400_000)
    found.read(2_000, 10_000, 900_000)
    found.read(10_000, 10_000, 1_900_000)
    one = written(found)
    assert [run.verification for run in one.runs] == ["did not hold"]
    says = " ".join(sentence.says for sentence in one.summary)
    assert "ended the harm" not in says
    assert "not by a runbook" in says
    assert one.impact.objectives[0].outages == 2


def test_a_step_after_the_last_harm_is_credited_with_nothing() -> None:
    """It was approved while the window of proof ran: users were well before."""
    found = told(PURGES)
    burn(found)
    found.give(inputs.ApprovePlan("INC-1", found.only.plan_hash, "ada", "responder"), 90_000)
    given = inputs.ActionAnswered(found.only.operation, "INC-1", 1, "applied", "seen")
    found.give(given, 95_000)
    found.edges.append(structs.replace(found.edges[-1], at=80_000))
    found.read(9_990, 10_000, 396_000)
    (run,) = written(found).runs
    assert run.verification == "not by it"
    assert "counted before it began" in run.says


# --- names --------------------------------------------------------------------------------------


def test_a_name_that_is_a_word_stays_a_word() -> None:
    """People are replaced where they are named, not inside what an alert says."""
    found = told(PURGES)
    found.alerts(structs.replace(alert("shop", "DiskWillFill"), summary="disk will be full"))
    burn(found)
    found.give(inputs.Acknowledge("INC-1", "will"), 1_500)
    found.read(9_990, 10_000, 400_000)
    found.give(inputs.ResolveIncident("INC-1", "will", "the disk will be watched"), 500_000)
    one = written(found)
    told_ = "\n".join(moment.says for moment in one.timeline)
    assert "responder 2 acknowledged it" in told_
    assert "will acknowledged it" not in told_
    assert "resolved: responder 2: the disk will be watched" in told_
    assert problems(one, {"will": "Will Smith"}) == []


@pytest.mark.parametrize(
    ("says", "people", "wrong"),
    [
        ("Will Smith rang", {"will": "Will Smith"}, "Will Smith"),
        ("Will Smith rang", {"will": ""}, "Will Smith"),
        ("will took it", {"will": ""}, "will"),
        ("will acknowledged it", {"will": ""}, "will"),
        ("disk will be full", {"will": "Will Smith"}, ""),
    ],
)
def test_the_check_finds_names_as_people_write_them(
    says: str, people: dict[str, str], wrong: str
) -> None:
    """The name in the config, and the one that people use; a word is none."""
    found = told(PURGES)
    burn(found)
    found.read(9_990, 10_000, 400_000)
    one = written(found)
    named = structs.replace(one, timeline=[structs.replace(one.timeline[0], says=says)])
    expected = [f"names {wrong!r}: people appear as roles"] if wrong else []
    assert problems(named, people) == expected


# --- the order of things ------------------------------------------------------------------------


def test_the_timeline_has_each_thing_at_its_own_time() -> None:
    """A deploy that is told late, the first alert's start, and the first bad event."""
    found = told(PURGES)
    found.alerts(structs.replace(alert("shop"), starts_at=-50_000))
    burn(found)
    change = Change("d-1", "shop", "deploy", -90_000, "ci", "v1", "v2")
    found.give(inputs.ChangesArrived("ci", (change,)), 3_000)
    found.read(9_990, 10_000, 400_000)
    one = written(found)
    assert [moment.at for moment in one.timeline] == sorted(moment.at for moment in one.timeline)
    assert one.timeline[0].says == "deploy of shop from v1 to v2"
    assert one.timeline[1].says.startswith("the first alert began")
    text = pages.markdown(one, zone="Europe/Berlin")
    assert "time (Europe/Berlin, UTC)" in text
    assert "1970-01-01 00:58:30, 23:58:30" in text


def test_what_comes_after_closing_changes_no_figure() -> None:
    """It is a line that says so."""
    found = told(PURGES)
    burn(found)
    found.read(9_990, 10_000, 400_000)
    found.give(inputs.ResolveIncident("INC-1", "ada", "gone"), 500_000)
    found.give(inputs.GrantWaiver("INC-1", "why", "ada", 86_400_000), 600_000)
    gone = found.left["INC-1"].incident
    assert gone.state == "closed"
    before = _closed(found)
    found.facts.append(
        structs.replace(
            found.facts[-1], event=e.TicketLinked(incident="INC-1", ticket="T-9", reason=WHY)
        )
    )
    after = _closed(found)
    assert after.impact == before.impact
    assert after.timeline[-1].says == "after closing: somebody reported it"


WHY: Any = Reason("test/1", "because")


def _closed(found: Told) -> Any:
    from midwatch.core.rules.postmortem_writer import write

    facts = [one for one in found.facts if getattr(one.event, "incident", "INC-1") == "INC-1"]
    return write(found.left["INC-1"].incident, facts)


# --- what people write --------------------------------------------------------------------------


def test_what_two_people_add_meets_and_the_same_is_one() -> None:
    """Nothing is lost, items stay one, and a stale whole is refused."""
    found = told(PURGES)
    burn(found)
    found.read(9_990, 10_000, 400_000)
    item = ActionItem("test it", "ada", "2026-12-31")
    assert unjudged(written(found)) == ["does not say what went well", "has no action item"]
    for by, added in (
        ("ada", Added(contributing_factors=("a cache",), action_items=(item,))),
        ("ben", Added(contributing_factors=("a job",), action_items=(item,))),
        ("ben", Added(went_well=("the page",), contributing_factors=("a cache",))),
    ):
        found.give(inputs.AddToPostmortem("INC-1", added, by), 500_000)
    one = written(found)
    assert one.judgement.contributing_factors == ("a cache", "a job")
    assert one.judgement.action_items == (item,)
    assert (one.version, unjudged(one)) == (3, [])
    stale = inputs.EditPostmortem("INC-1", Judgement("mine"), "ada", 2)
    with pytest.raises(StateError, match="was written since version 2"):
        found.give(stale, 600_000)
    with pytest.raises(InputError, match="no action item 2"):
        found.give(inputs.AddToPostmortem("INC-1", Added(done=2), "ada"), 600_000)
    found.read(9_990, 10_000, 700_000)  # a redraft touches nothing of it
    assert written(found).judgement == one.judgement


def test_figures_of_a_second_outage_are_added() -> None:
    """They do not freeze at the first mitigation, and the calm between them is not counted."""
    found = told(PURGES)
    burn(found)
    found.read(10_000, 10_000, 400_000)
    (first,) = written(found).impact.objectives
    found.read(2_000, 10_000, 900_000)
    found.read(10_000, 10_000, 1_900_000)
    (both,) = written(found).impact.objectives
    assert first.bad_events is not None
    assert both.bad_events is not None
    assert (first.outages, both.outages) == (1, 2)
    assert both.bad_events >= first.bad_events + 8_000
    assert both.valid_events is not None
    assert both.valid_events < 40_000


def test_late_counts_count_until_it_is_closed() -> None:
    """After the mitigation and after the resolution; each is a new draft."""
    found = told(PURGES)
    burn(found)
    found.read(9_990, 10_000, 400_000)
    (one,) = written(found).impact.objectives
    assert one.bad_events is not None
    for more, now in ((500, 430_000), (1_000, 460_000)):
        if more == 1_000:
            found.give(inputs.ResolveIncident("INC-1", "ada", "gone"), 450_000)
        late = [structs.replace(x, total=x.total + 500) for x in found.edges if x.at >= 1_000]
        found.edges = [x for x in found.edges if x.at < 1_000] + late
        found.read(10_000, 10_000, now)
        (after,) = written(found).impact.objectives
        assert after.bad_events == one.bad_events + more


@pytest.mark.parametrize("late", [False, True])
def test_the_change_before_it_is_the_newest_by_its_own_time(late: bool) -> None:
    """However late the pipeline tells of an older one."""
    found = told(PURGES)
    burn(found)
    changes = [
        Change("d-1", "shop", "deploy", -90_000, "ci", "v0", "v1"),
        Change("d-2", "shop", "deploy", -30_000, "ci", "v1", "v2"),
    ]
    for one in reversed(changes) if late else changes:
        found.give(inputs.ChangesArrived("ci", (one,)), 3_000)
    found.read(9_990, 10_000, 400_000)
    change = written(found).change
    assert change is not None
    assert change.after == "v2"


def test_the_change_that_was_rolled_back_is_that_of_its_own_service() -> None:
    """Another service had a release of the same name."""
    found = told(ROLLS)
    burn(found)
    for at, service in ((-90_000, "db"), (-80_000, "shop"), (-20_000, "db")):
        change = Change(f"d{at}", service, "deploy", at, "ci", "v1", "v2")
        found.give(inputs.ChangesArrived("ci", (change,)), 3_000)
    approve(found)
    found.give(inputs.ReleaseAnswered("rollback/INC-1/1", "INC-1", 1, "applied", "v1"), 4_000)
    found.read(9_990, 10_000, 400_000)
    change = written(found).change
    assert change is not None
    assert (change.service, change.at) == ("shop", "1969-12-31T23:58:40.000Z")


def test_each_objective_that_burned_has_its_curve() -> None:
    """In the document, in Markdown with its picture, in HTML; how many are left out is said."""
    found = told(PURGES)
    burn(found)
    found.read(9_990, 10_000, 400_000)
    others = [f"db/o{number}" for number in range(5)]
    for number, slo in enumerate(others):
        found.facts.append(
            structs.replace(
                found.facts[-1],
                seq=900 + number,
                event=e.BurnAttached(
                    incident="INC-1", slo=slo, service="db", counts=Counts(1, 2), reason=WHY
                ),
            )
        )
        sampled = e.BurnSampled(
            incident="INC-1",
            counts=Counts(90 - number, 100),
            burn=10.0 + number,
            window_s=300,
            slo=slo,
        )
        found.facts.append(structs.replace(found.facts[-1], seq=950 + number, event=sampled))
    one = written(found)
    assert [curve.slo for curve in one.curves] == ["shop/answers", "db/o0", "db/o1", "db/o2"]
    assert one.curves_left_out == 2
    assert [point.burn for point in one.curves[1].points] == [10.0]
    assert one.curve == one.curves[0].points
    text, page = pages.markdown(one, ["a.svg", "b.svg", "c.svg", "d.svg"]), pages.html(one)
    assert "### db/o1" in text
    assert "![Burn rate and response](c.svg)" in text
    assert "2 more SLOs burned; their curves are left out." in text
    assert page.count("<svg ") == 4
    assert "Burn rate of db/o2, 1 points" in page
    assert "2 more SLOs burned" in page
