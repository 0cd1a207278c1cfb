"""Which run of a runbook ended the harm: `core/carried_out.py`."""

from __future__ import annotations

from midwatch.core import events as e
from midwatch.core.carried_out import Fact, Runs
from midwatch.core.reasons import Reason
from midwatch.core.sentences import Roles

WHY = Reason("r", "why")
BEGUN: tuple[e.Event, ...] = (
    e.PlanProposed("INC-1", "book", 1, "a1", (), WHY),
    e.PlanApproved("INC-1", "a1", "ada"),
    e.ActionStarted("INC-1", "op", "shed", "http.request", "POST /shed"),
)
DONE = e.ActionDone("INC-1", "op", "shed", "answered 200", changed=True)
OTHER = e.PlanRefused("INC-1", "b2", "ben", Reason("r", "ben: not now"))
WELL = e.IncidentMitigated("INC-1", Reason("slo", "SLI 100% over 5 min"))


def runs(*events: e.Event) -> Runs:
    """Fold events, a second apart."""
    facts = [Fact(n, n * 1_000, one) for n, one in enumerate((*BEGUN, *events), 1)]
    return Runs(facts, Roles(one.event for one in facts), {})


def test_a_run_that_went_before_the_recovery_is_credited() -> None:
    """Also when another proposal was refused meanwhile."""
    for found in (runs(DONE, WELL), runs(DONE, OTHER, WELL)):
        assert found.helped == found.found
        assert found.found[-1].verification == "recovered"


def test_a_run_that_a_person_stopped_is_not_credited() -> None:
    """Its step under way ends, and users get well by something else."""
    asked = e.PlanStopAsked("INC-1", "a1", "ada", Reason("r", "ada: wrong cluster"))
    found = runs(asked, DONE, WELL)
    assert found.found[-1].verification == "stopped"
    assert found.helped == []
