"""The lines of a timeline, and the steps of a run beside its plan: what was and what was not."""

from __future__ import annotations

import pytest
from msgspec import structs
from tests.unit.rules.test_core import alert
from tests.unit.rules.test_postmortems import WHY, Told, told, written
from tests.unit.rules.test_runbooks import PURGES, burn

from midwatch.adapters.reports import postmortem as pages
from midwatch.core.rules.carried_out import Fact, Runs, whole
from midwatch.core.rules.sentences import Roles
from midwatch.core.rules.timeline import Pages, Timeline
from midwatch.core.state import events as e
from midwatch.core.values.alerts import Alert
from midwatch.core.values.plans import Plan, PlannedStep

SLOW = alert("shop")
DOWN = alert("shop", "Down")
EXHAUSTED = e.EscalationExhausted(incident="INC-1", reason=WHY)


def planned(key: str, to: str = "ada") -> e.PagePlanned:
    """A page to somebody."""
    return e.PagePlanned(incident="INC-1", key=key, to=to, step=0, reason=WHY)


def refused(key: str) -> e.PageFailed:
    """A pager that did not take it, for good."""
    return e.PageFailed(incident="INC-1", key=key, attempt=5, error="503 from the pager")


def joined(*alerts: Alert) -> e.AlertsAttached:
    """Alerts that join."""
    return e.AlertsAttached(
        incident="INC-1", attached=tuple(e.Attachment(one, 0) for one in alerts), reasons=(WHY,)
    )


def lines(*events: e.Event) -> list[str]:
    """What the timeline says of events, a second apart."""
    facts = [Fact(n, n * 1_000, one) for n, one in enumerate(events, 1)]
    roles = Roles(one.event for one in facts)
    made = Timeline("INC-1", facts, len(facts), roles, {}, mitigated=False)
    return [one.says for one in made.moments()]


# --- pages ---------------------------------------------------------------------------------------


def test_a_page_that_no_pager_took_is_an_attempt() -> None:
    """Nobody was paged: not in a line, not in the table, and the summary says so."""
    found = lines(planned("p-1"), refused("p-1"), planned("p-2", "ben"), refused("p-2"), EXHAUSTED)
    assert found == [
        "a page to responder 1 was tried: because",
        "a page failed, try 5: 503 from the pager",
        "a page to responder 2 was tried: because",
        "a page failed, try 5: 503 from the pager",
        "everybody was tried and nobody could be reached",
    ]
    facts = [Fact(1, 1_000, planned("p-1")), Fact(2, 2_000, refused("p-1"))]
    assert Pages(facts).first(facts) is None
    assert Pages(facts).unreached == facts[1]


def test_somebody_is_paged_when_a_pager_takes_the_page() -> None:
    """Told once, however often it was tried, at the time of the receipt."""
    sent = e.PageSent(incident="INC-1", key="p-1", receipt="r-1", attempt=2)
    facts = [Fact(1, 1_000, planned("p-1")), Fact(2, 2_000, refused("p-1")), Fact(3, 9_000, sent)]
    assert Pages(facts).first(facts) == facts[2]
    assert Pages(facts).unreached is None
    assert lines(planned("p-1"), sent, sent, EXHAUSTED) == [
        "the responder was paged: because",
        "everybody was paged and nobody answered",
    ]
    mixed = lines(
        planned("p-1"),
        refused("p-1"),
        planned("p-2", "ben"),
        e.PageSent(incident="INC-1", key="p-2", receipt="r", attempt=1),
        EXHAUSTED,
    )
    assert mixed[-1] == "everybody was tried, and nobody who could be reached answered"


def test_the_summary_says_that_nobody_could_be_reached() -> None:
    """Of an incident whose pages all failed; never as if it only had not been paged yet."""
    found = told(PURGES)
    burn(found)
    keys = [one.event.key for one in found.facts if isinstance(one.event, e.PagePlanned)]
    assert keys
    for key in keys:
        found.facts.append(Fact(len(found.facts) + 1, 5_000, refused(key)))
    one = written(found)
    assert one.times.paged is None
    says = " ".join(x.says for x in one.summary)
    assert "nobody could be reached by a page" in says
    assert "was paged" not in says


# --- alerts --------------------------------------------------------------------------------------


def test_an_alert_joins_once_and_fires_again() -> None:
    """One that comes back is not one more; each line names it."""
    over = e.AlertsResolved(incident="INC-1", fingerprints=(SLOW.fingerprint,))
    assert lines(joined(SLOW), over, joined(SLOW, DOWN), over)[1:] == [
        "1 alert joined: Slow on shop",
        "1 alert ended: Slow on shop",
        "1 alert joined: Down on shop; 1 alert fired again: Slow on shop",
        "1 alert ended: Slow on shop",
    ]


def test_an_alert_that_fires_again_is_counted_once() -> None:
    """In the sentence that says how many alerts became one incident, in both forms."""
    found = told(PURGES)
    found.alerts(SLOW)
    for at in (100_000, 200_000):
        found.alerts(structs.replace(SLOW, status="resolved", ends_at=at), now=at)
        found.alerts(structs.replace(SLOW, starts_at=at + 50_000), now=at + 50_000)
    one = written(found)
    assert sum(isinstance(fact.event, e.AlertsAttached) for fact in found.facts) == 3
    assert one.alerts.count == 1
    for text in (pages.markdown(one), pages.html(one)):
        assert "1 alert on 1 service became one incident." in text


def test_where_no_alert_joined_it_says_what_opened_it() -> None:
    """Not "0 alerts on 1 service", and what says so is cited."""
    found = told(PURGES)
    burn(found)
    one = written(found)
    assert one.alerts.count == 0
    cited = {fact.seq: fact.event for fact in found.facts}
    assert any(isinstance(cited[seq], e.BudgetBurning) for seq in one.alerts.events)
    for text in (pages.markdown(one), pages.html(one)):
        assert "No alert joined it: shop/answers burned its error budget." in text
        assert "0 alerts" not in text


# --- what is open --------------------------------------------------------------------------------


def test_an_open_incident_does_not_say_that_nobody_reported_it() -> None:
    """Its reports are counted, the people behind them are not yet; nor is the budget added up."""
    found = told(PURGES)
    burn(found)
    assert "| users who reported it | none |" in pages.markdown(written(found))
    for ticket in ("T-1", "T-2", "T-1"):
        event = e.TicketLinked(incident="INC-1", ticket=ticket, reason=WHY)
        found.facts.append(Fact(len(found.facts) + 1, 5_000, event))
    one = written(found)
    assert (one.impact.users, one.impact.reports) == (None, 2)
    for text in (pages.markdown(one), pages.html(one)):
        assert "2 reports so far; the people behind them are counted when it is mitigated" in text
        assert "not added up before it is mitigated" in text


# --- steps ---------------------------------------------------------------------------------------


def run_of(*events: e.Event) -> list[tuple[str, str]]:
    """The steps of a plan of four, each with its state."""
    steps = tuple(
        PlannedStep(name, "http.request", f"POST /{name}", "reversible")
        for name in ("drain", "purge", "restart", "let-in")
    )
    plan = Plan("book", 1, steps, "h-1")
    facts = [
        Fact(n, n * 1_000, one)
        for n, one in enumerate(
            (
                e.PlanProposed(
                    incident="INC-1",
                    runbook="book",
                    version=1,
                    plan_hash="h-1",
                    steps=(),
                    reason=WHY,
                    plan=plan,
                ),
                e.PlanApproved(incident="INC-1", plan_hash="h-1", by="ada"),
                *events,
            ),
            1,
        )
    ]
    (run,) = Runs(facts, Roles(one.event for one in facts), {}).found
    return [(step.step, step.state) for step in whole(run, facts).steps]


def began(step: str) -> e.ActionStarted:
    """A step begins."""
    return e.ActionStarted(
        incident="INC-1",
        operation=f"op-{step}",
        step=step,
        action="http.request",
        says=f"POST /{step}",
    )


def failed(step: str, state: str) -> e.ActionFailed:
    """A step is not done, or nobody knows."""
    return e.ActionFailed(
        incident="INC-1", operation=f"op-{step}", step=step, state=state, seen="answered 500"
    )


DRAINED = (
    began("drain"),
    e.ActionDone(
        incident="INC-1", operation="op-drain", step="drain", seen="answered 200", changed=True
    ),
)


@pytest.mark.parametrize(
    ("events", "states"),
    [
        (
            (*DRAINED, began("purge"), failed("purge", "not-applied")),
            ["done", "failed, not-applied", "not begun", "not begun"],
        ),
        (
            (*DRAINED, began("purge"), failed("purge", "unknown")),
            ["done", "unknown", "not begun", "not begun"],
        ),
        ((*DRAINED, began("purge")), ["done", "begun", "not begun", "not begun"]),
        (
            (
                *DRAINED,
                began("purge"),
                e.PlanStopped(incident="INC-1", plan_hash="h-1", reason=WHY),
            ),
            ["done", "unknown", "not begun", "not begun"],
        ),
    ],
)
def test_each_step_of_a_plan_has_its_mark(events: tuple[e.Event, ...], states: list[str]) -> None:
    """The one that failed, the one that nobody knows about, and those that were never begun."""
    assert [state for _, state in run_of(*events)] == states


def test_what_was_not_done_is_marked_in_both_forms() -> None:
    """Bold in the list of steps; the line of the timeline says it, too."""
    found = burned_and_failed()
    one = written(found)
    (run,) = one.runs
    assert run.steps[-1].state == "failed, not-applied"
    assert "**failed, not-applied**" in pages.markdown(one)
    assert "<b>failed, not-applied</b>" in pages.html(one)
    assert any(x.says.startswith("step purge failed (not-applied): ") for x in one.timeline)
    assert "Outcome: **failed**" in pages.markdown(one)


def burned_and_failed() -> Told:
    """A purge that was approved, begun, and not done."""
    found = told(PURGES)
    burn(found)
    plan = next(one.event for one in found.facts if isinstance(one.event, e.PlanProposed))
    for event in (
        e.PlanApproved(incident="INC-1", plan_hash=plan.plan_hash, by="ada"),
        e.ActionStarted(
            incident="INC-1", operation="op", step="purge", action="cache.purge", says="POST /purge"
        ),
        e.ActionFailed(
            incident="INC-1", operation="op", step="purge", state="not-applied", seen="answered 500"
        ),
    ):
        found.facts.append(Fact(len(found.facts) + 1, 9_000, event))
    return found
