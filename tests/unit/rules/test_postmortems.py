"""What an incident leaves: facts out of events, what people make of it, and what comes again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.rules.test_core import SHOP, Bench, alert, kinds, resolved
from tests.unit.rules.test_runbooks import PURGES, ROLLS, approve, bench, burn, due
from tests.unit.rules.test_runbooks import answer as answered

from midwatch.adapters.reports import curve
from midwatch.adapters.reports import postmortem as pages
from midwatch.core.rules.carried_out import Fact
from midwatch.core.rules.postmortem_writer import write
from midwatch.core.state import events as e
from midwatch.core.state import inputs
from midwatch.core.state.effects import SendPage
from midwatch.core.state.evolving import evolve
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import SliMeasured
from midwatch.core.values import harm, judgements, slo
from midwatch.core.values.evals import Outcome
from midwatch.core.values.judgements import ActionItem, Judgement
from midwatch.core.values.postmortems import Postmortem, problems
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import Counts, Edge, FailedAnswer, SliReading, Trace
from midwatch.core.values.slo import Verify
from midwatch.errors import BugError, InputError, StateError

DOCS = Path(__file__).parents[3] / "docs"
WHY = Reason("test/1", "because")
DAY_MS = 86_400_000


class Told(Bench):
    """A bench that keeps every event, as a journal does."""

    facts: list[Fact]
    edges: list[Edge]

    def give(self, given: inputs.Input, now: int = 0) -> Any:
        """Decide, and keep what was decided."""
        decision = super().give(given, now)
        for event in decision.events:
            self.facts.append(Fact(len(self.facts) + 1, decision.now, event))
        return decision

    def read(self, good: int, total: int, now: int, short: Counts | None = None) -> Any:
        """Read the SLI; harm goes on until the window that proves its end."""
        counts = Counts(good, total)
        windows = dict.fromkeys(slo.windows_needed(SHOP, Verify()), short or counts)
        failures = (FailedAnswer("a1", "refund window", "7 days", "30 days"),)
        last, before = self.edges[-1], self.edges[-2:]
        bad = (last.total - last.good) - (before[0].total - before[0].good)
        until = now - 300_000
        if bad > 0 and good + bad >= total and until > last.at:  # it went on until then
            last = Edge(until, last.good, last.total + bad)
            self.edges += [Edge(until - 1, last.good, last.total - bad), last]
        if now - 1 > last.at:
            self.edges.append(structs.replace(last, at=now - 1))
        self.edges.append(Edge(now, last.good + good, last.total + total))
        trace = Trace(tuple(self.edges), 0, counts)
        harms = {
            name: harm.measure(SHOP.budget, incident.outages[SHOP.id], trace, now, SHOP.period_s)
            for name, incident in self.state.incidents.items()
            if SHOP.id in incident.outages
        }
        return self.give(
            SliMeasured(
                SliReading(SHOP.id, now, windows, failures, harms, period=counts, seen_s=60)
            ),
            now,
        )


def told(*books: Any) -> Told:
    """A shop with runbooks, and its journal."""
    known = bench(*books)
    found = Told(known.rules, known.state)
    found.facts, found.edges = [], [Edge(-10_000, 0, 0)]
    return found


def written(found: Told, name: str = "INC-1") -> Postmortem:
    """The postmortem so far."""
    about = [
        fact
        for fact in found.facts
        if getattr(fact.event, "incident", name) == name
        and not isinstance(fact.event, e.ReleaseEvent)
    ]
    return write(found.state.incidents[name], about)


@pytest.fixture
def shift() -> Told:
    """Burned, acknowledged, purged, well again."""
    found = told(PURGES)
    found.alerts(alert("shop"), alert("shop", "Errors"))
    burn(found)
    found.give(inputs.Acknowledge("INC-1", "ada"), 1_500)
    approve(found)
    answered(found, "applied")
    found.read(9_990, 10_000, 400_000)
    return found


# --- the facts ----------------------------------------------------------------------------------


def test_it_says_what_happened_what_it_cost_and_what_helped(shift: Told) -> None:
    """Times, durations, impact, the run with its verification; all of it from events."""
    one = written(shift)
    assert one.times.started == "1970-01-01T00:00:00.999Z"
    assert one.durations_s.to_acknowledge == 0.5  # after the page
    assert one.durations_s.to_mitigate == 399.001
    assert one.impact.peak_burn == 20.0
    assert one.impact.recovered == "SLI recovered from 80% to 99.9%"
    assert one.alerts.count == 2
    (run,) = one.runs
    assert (run.runbook, run.approved_by, run.verification) == (
        "purge",
        "the responder",
        "recovered",
    )
    assert [step.state for step in run.steps] == ["done"]
    assert [(marker.kind, marker.says) for marker in one.markers] == [
        ("ack", "taken"),
        ("mitigation", "purge"),
        ("recovery", "well again"),
    ]
    assert [point.burn for point in one.curve] == [20.0, 0.1]
    assert problems(one, {"ada": "", "ben": ""}) == []


def test_each_sentence_names_events_that_say_it(shift: Told) -> None:
    """Numbers of the journal, of events that are there."""
    one = written(shift)
    known = {fact.seq for fact in shift.facts}
    sentences = (*one.summary, *one.timeline, *one.runs)
    assert sentences
    for said in sentences:
        assert said.events
        assert set(said.events) <= known


def test_nobody_is_named(shift: Told) -> None:
    """Roles stand in the place of people, in whatever was said of them."""
    shift.give(inputs.Acknowledge("INC-1", "ada"), 500_000)
    one = written(shift)
    text = json.dumps(msgspec.to_builtins(structs.replace(one, judgement=Judgement())))
    assert "ada" not in text.replace("adapt", "")
    assert "the responder acknowledged it" in text
    named = structs.replace(one, summary=[structs.replace(one.summary[0], says="ada did it")])
    assert problems(named, {"ada": ""}) == ["names 'ada': people appear as roles"]


def test_the_same_events_write_the_same_document(shift: Told) -> None:
    """And an edit changes only what a person wrote."""
    before = msgspec.json.encode(written(shift))
    assert msgspec.json.encode(written(shift)) == before
    said = Judgement(
        "a cache",
        ("fast",),
        ("late",),
        ("luck",),
        ("a job",),
        (ActionItem("test it", "ada", "2026-12-31"),),
    )
    shift.give(inputs.EditPostmortem("INC-1", said, "ada"), 500_000)
    after = written(shift)
    assert after.judgement == said
    assert after.judgement.unwritten == []
    assert after.impact == msgspec.json.decode(before, type=Postmortem).impact
    assert kinds(shift.give(inputs.EditPostmortem("INC-1", said, "ada"), 600_000)) == []


def test_what_did_not_hold_is_told_of_its_own_run() -> None:
    """Each run has its verification: missed, and then recovered."""
    found = told(PURGES, ROLLS)
    burn(found)
    approve(found)
    answered(found, "applied")
    due(found, "verify", 1_803_000)
    approve(found, 1_900_000)
    found.give(inputs.ReleaseAnswered("rollback/INC-1/1", "INC-1", 1, "applied", "v1"), 1_901_000)
    found.read(10_000, 10_000, 2_300_000)
    one = written(found)
    assert [(run.runbook, run.verification) for run in one.runs] == [
        ("purge", "missed"),
        ("roll", "recovered"),
    ]
    assert one.change is not None
    assert (one.change.before, one.change.after) == ("v1", "v2")


def test_the_curve_is_drawn_with_its_markers(shift: Told) -> None:
    """Markers of what was done, one line, and no text that runs anything."""
    document = written(shift)
    (one,) = document.drawn
    svg = curve.draw(document, one)
    assert svg.count("<polyline") == 1
    for says in ("taken", "purge", "well again", "budget lasts exactly"):
        assert f">{says}</text>" in svg
    assert one.points == document.curve
    assert structs.replace(document, curves=[]).drawn == [one]  # of before 0.2
    assert structs.replace(document, curves=[], curve=[]).drawn == []
    assert "How it burned" not in pages.markdown(structs.replace(document, curves=[], curve=[]))


@given(st.text())
def test_what_came_from_outside_is_text(text: str) -> None:
    """In both forms: no tag, no link, no row of a table comes out of it."""
    found = told(PURGES)
    hostile = f"<script>alert(1)</script> | [x](javascript:y) {text}"
    found.alerts(structs.replace(alert("shop", "Slow"), summary=hostile))
    burn(found)
    said = Judgement(summary=hostile[:1_000], lucky=(hostile[:1_000] + "!",))
    found.give(inputs.EditPostmortem("INC-1", said, "eve"), 2_000)
    one = structs.replace(written(found), title=hostile)
    page, marked = pages.html(one), pages.markdown(one)
    assert "<script>alert" not in page
    assert "<script>" not in marked
    assert "[x](" not in marked
    head = marked.splitlines()[0]
    assert head.startswith("# INC-1: &lt;script&gt;")


def test_the_schema_is_published() -> None:
    """docs/schemas has the shape of this version; another shape needs another version."""
    file = DOCS / "schemas" / "postmortem-1.json"
    made = msgspec.json.schema(Postmortem)
    assert json.loads(file.read_bytes())["$defs"] == json.loads(json.dumps(made["$defs"]))


# --- judgement ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (ActionItem("do", "", "2026-12-31"), "has no owner"),
        (ActionItem("do", "ada", "soon"), "is due 'soon'"),
        (ActionItem("do", "ada", "2026-13-01"), "is due '2026-13-01'"),
        (ActionItem(" ", "ada", "2026-12-31"), "says nothing to do"),
    ],
)
def test_an_action_item_has_an_owner_and_a_day(item: ActionItem, says: str, shift: Told) -> None:
    """Or it is refused, wherever it comes from."""
    with pytest.raises(InputError, match=says):
        judgements.checked(Judgement(action_items=(item,)))
    with pytest.raises(InputError):
        shift.give(inputs.EditPostmortem("INC-1", Judgement(action_items=(item,)), "ada"), 9_000)


# --- closure ------------------------------------------------------------------------------------


def resolve(found: Bench, now: int = 500_000) -> None:
    """Say that it is over."""
    found.give(inputs.ResolveIncident("INC-1", "ada", "the cache was purged for good"), now)


def test_closing_says_what_is_missing(shift: Told) -> None:
    """Not resolved, no case; then a waiver, and it closes by itself."""
    with pytest.raises(StateError, match=r"missing: its resolution.*a proven regression case"):
        shift.give(inputs.CloseIncident("INC-1", "ada"), 450_000)
    resolve(shift)
    with pytest.raises(
        StateError,
        match="INC-1 cannot be closed yet, missing: a proven regression case or a waiver",
    ):
        shift.give(inputs.CloseIncident("INC-1", "ada"), 600_000)
    shift.give(inputs.GrantWaiver("INC-1", "no answer was wrong", "ada", DAY_MS), 700_000)
    assert shift.only.state == "closed"
    with pytest.raises(StateError, match="is closed"):
        shift.give(inputs.CloseIncident("INC-1", "ada"), 800_000)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (inputs.GrantWaiver("INC-1", " ", "ada", DAY_MS), "a reason and an owner"),
        (inputs.GrantWaiver("INC-1", "why", "", DAY_MS), "a reason and an owner"),
        (inputs.GrantWaiver("INC-1", "why", "ada", 1), "in the past"),
        (inputs.GrantWaiver("INC-1", "why", "ada", 400 * DAY_MS), "lasts at most"),
    ],
)
def test_a_waiver_has_reason_owner_and_end(
    given: inputs.GrantWaiver, says: str, shift: Told
) -> None:
    """And the end is neither over nor for ever away."""
    resolve(shift)
    with pytest.raises(StateError, match=says):
        shift.give(given, 700_000)


def test_a_waiver_that_is_over_closes_nothing(shift: Told) -> None:
    """It was granted while the incident was open, and its time passed."""
    shift.give(inputs.GrantWaiver("INC-1", "why", "ada", 450_000), 410_000)
    resolve(shift)
    assert shift.only.state == "resolved"
    with pytest.raises(StateError, match="its waiver is over"):
        shift.give(inputs.CloseIncident("INC-1", "ada"), 600_000)


def test_no_event_gets_past_the_guard() -> None:
    """Whoever emits it: an incident without its evidence does not become closed."""
    one = Incident("INC-1", "shop", "", "slow", 0, state="resolved", slo="shop/answers")
    with pytest.raises(BugError, match="without a postmortem"):
        evolve(one, e.IncidentClosed(incident="INC-1", reason=WHY), 0)
    assert one.state == "resolved"


# --- again --------------------------------------------------------------------------------------


def over(found: Bench, *, waived: bool = False, now: int = 500_000) -> None:
    """Resolve and close the first incident: by its case, or by a waiver."""
    resolve(found, now)
    if waived:
        found.give(inputs.GrantWaiver("INC-1", "nothing to test", "ada", DAY_MS), now + 1)
    else:
        case = found.state.incidents["INC-1"].case
        assert case is not None
        rows = [
            Outcome(case.id, name, status)
            for name, status in (("v2", "failed"), ("v1", "passed"))
            for _ in range(3)
        ]
        found.give(inputs.OfferCase("INC-1", case, "v2", "v1", tuple(rows), "ada"), now + 1)
    assert found.left["INC-1"].incident.state == "closed"


def test_the_same_question_fails_again_and_its_case_is_named(shift: Told) -> None:
    """The predecessor's case should have caught it: that is said with its name."""
    over(shift)
    decision = burn(shift, 40_000_000)
    (again,) = (x for x in decision.events if isinstance(x, e.IncidentRecurred))
    case = shift.left["INC-1"].incident.case
    assert case is not None
    assert again.of == "INC-1"
    assert f"Its case {case.id} should have caught it" in again.reason.says
    one = written(shift, "INC-2")
    assert one.recurrence is not None
    assert "This happened before." in pages.markdown(one)


def test_the_same_alerts_again_name_the_waiver(shift: Told) -> None:
    """Without a case there is nothing that could have caught it, and that is said."""
    over(shift, waived=True)
    decision = shift.alerts(
        structs.replace(alert("shop"), severity="sev1"),
        structs.replace(alert("shop", "Errors"), severity="sev1"),
        now=40_000_000,
    )
    (page,) = (one for one in decision.effects if isinstance(one, SendPage))
    assert "; AGAIN: INC-2 is INC-1 again: the same alerts" in page.summary
    second = shift.state.incidents["INC-2"]
    assert "the same alerts" in second.again
    assert "closed without a case, by a waiver: nothing to test (ada)" in second.again


def test_another_trouble_of_the_same_service_is_no_recurrence(shift: Told) -> None:
    """It is linked as what came after, and no more is claimed."""
    over(shift, waived=True)
    shift.alerts(structs.replace(alert("shop", "DiskFull"), severity="sev1"), now=40_000_000)
    second = shift.state.incidents["INC-2"]
    assert (second.again, second.recurrence_of) == ("", "INC-1")


def test_one_common_alert_of_many_is_no_recurrence(shift: Told) -> None:
    """Most of them have to be the same."""
    names = ("Slow", "DiskFull", "CertOld", "QueueLong")
    shift.alerts(alert("shop", "MemoryHigh"), alert("shop", "CpuHigh"), now=410_000)
    over(shift, waived=True)
    worst = [structs.replace(alert("shop", name), severity="sev1") for name in names]
    shift.alerts(*worst, now=40_000_000)
    assert shift.state.incidents["INC-2"].again == ""


def test_alerts_that_end_write_no_figures() -> None:
    """What nothing measured is null."""
    found = told(PURGES)
    one = structs.replace(alert("mail"), severity="sev1")
    found.alerts(one)
    found.alerts(resolved(one), now=2_000)
    document = written(found)
    assert document.impact.slo is None
    assert document.impact.bad_events is None
    assert document.curve == []
    assert problems(document) == []
    assert "none burned: no harm was measured" in pages.markdown(document)


def test_a_figure_that_is_missing_is_a_problem(shift: Told) -> None:
    """An objective burned and nobody knows by how much: not to be sent out."""
    one = written(shift)
    bare = structs.replace(one, impact=structs.replace(one.impact, slo=SHOP.id, valid_events=None))
    assert "has an objective and no figures of the harm" in problems(bare)
    assert "has an objective and no curve" in problems(
        structs.replace(one, curve=[], impact=structs.replace(one.impact, slo=SHOP.id))
    )
    uncited = structs.replace(one, timeline=[structs.replace(one.timeline[0], events=[])])
    assert problems(uncited)[0].startswith("says without an event")


def test_a_burn_is_sampled_every_minute_and_not_for_ever(shift: Told) -> None:
    """So that a journal stays small however often its sources are read."""
    found = told(PURGES)
    for second in range(0, 3_600, 10):
        found.read(8_000, 10_000, 1_000 + second * 1_000)
    samples = [fact for fact in found.facts if isinstance(fact.event, e.BurnSampled)]
    assert len(samples) == 60
    assert samples[0].event.counts == Counts(8_000, 10_000)


def test_reports_that_come_between_the_recovery_and_its_end_count() -> None:
    """Without an SLI no reading comes any more that would say so."""
    known = bench()
    known.rules = structs.replace(known.rules, slos={})
    found = Told(known.rules, known.state)
    found.facts, found.edges = [], [Edge(-10_000, 0, 0)]
    found.alerts(alert("cart", "Slow"))
    found.alerts(resolved(alert("cart", "Slow")), now=25_000)
    for number in range(3):
        report = inputs.FileTicket(
            f"T{number}",
            "the cart is slow",
            service="cart",
            affected=40,
            by=f"p{number}",
            signed=True,
        )
        found.give(report, 30_000 + number)
    assert found.only.state == "mitigated"
    assert written(found).impact.users == 40
