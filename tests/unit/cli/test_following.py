"""What `approve` says of the plan that was approved, and by which exit code."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.rules.test_runbooks import PURGES, answer, approve, bench, burn

from midwatch.cli.following import Outcome, outcome_of
from midwatch.core.state import events as e
from midwatch.core.state.events import Event
from midwatch.core.values.reasons import Reason
from midwatch.core.values.skews import Skews
from midwatch.engine import queries
from midwatch.engine.queries import Detail
from midwatch.ports import Row

AGAIN = replace(PURGES, id="again")


def shown(found: Any, events: list[Event]) -> Detail:
    """The incident as the API tells it."""
    moments = [
        queries.moment_of(
            Row(1, "incident/INC-1", 1, 0, "", type(one).__name__, msgspec.json.encode(one)),
            Skews(),
        )
        for one in events
    ]
    return replace(queries.outline(found.state, found.only), timeline=moments)


def outcome(state: str, *, attempt: int = 3) -> Outcome:
    """What is said when the one step of the plan ends so, and another runbook fits."""
    found = bench(PURGES, AGAIN)
    events = list(burn(found).events)
    plan = found.only.plan_hash
    events += approve(found).events
    under_way = outcome_of(shown(found, events), plan)
    assert (under_way.is_over, under_way.code) == (False, 3)
    events += answer(found, state, attempt).events
    return outcome_of(shown(found, events), plan)


@pytest.mark.parametrize(("state", "code"), [("applied", 0), ("not-applied", 1), ("unknown", 3)])
def test_the_exit_code_is_that_of_the_plan_that_was_approved(state: str, code: int) -> None:
    """Also when another one is proposed by then."""
    found = outcome(state)
    assert (found.code, found.is_over) == (code, True)
    assert found.done == (["purge"] if state == "applied" else [])
    assert found.failed == ("" if state == "applied" else f"purge {state}: seen")


def test_a_plan_that_was_stopped_or_waits_is_not_done() -> None:
    """Stopped is 1; a question is 3."""
    found = bench(PURGES)
    events = list(burn(found).events)
    plan = found.only.plan_hash
    events += [*approve(found).events]
    stopped = e.PlanStopped(
        incident="INC-1", plan_hash=plan, reason=Reason("r", "the world moved on")
    )
    found.only.lead.state = "ended"
    assert outcome_of(shown(found, [*events, stopped]), plan).code == 1
    found.only.lead.state = "waiting"
    assert outcome_of(shown(found, events), plan).code == 3


def test_a_rollback_that_failed_says_how() -> None:
    """It has no step's name."""
    events: list[Event] = [
        e.PlanApproved(incident="INC-1", plan_hash="a1", by="ada"),
        e.RollbackFailed(
            incident="INC-1", operation="op", state="unknown", seen="the router does not answer"
        ),
        e.PlanApproved(incident="INC-1", plan_hash="b2", by="ada"),
        e.ActionFailed(incident="INC-1", operation="op", step="x", state="not-applied", seen="no"),
    ]
    found = bench(PURGES)
    burn(found)
    detail = shown(found, events)
    assert outcome_of(detail, "a1") == Outcome(
        [], is_over=True, code=3, failed="unknown: the router does not answer"
    )
    assert outcome_of(detail, "b2").code == 1
