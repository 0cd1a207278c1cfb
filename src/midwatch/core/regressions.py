"""Regression cases: drafted out of an answer that was observed wrong, admitted on both sides.

Law: a case is admitted only when it failed on the bad release and passed on the last good one,
every one of EPOCHS times. One that fails on both, passes on both or could not be run is refused,
and the reason says which.
"""

from __future__ import annotations

import re

from midwatch.core import effects, events
from midwatch.core.decision import Decision
from midwatch.core.evals import Case, Outcome
from midwatch.core.fixes import retry_evals
from midwatch.core.incidents import Incident
from midwatch.core.inputs import EvalsAnswered
from midwatch.core.reasons import Reason, Term

RULE_DRAFT = "regressions.draft/1"
RULE_ADMIT = "regressions.admit/1"
EPOCHS = 3


def draft(d: Decision, incident: Incident) -> None:
    """Make a case out of the first failing answer that the objective points to, once."""
    # Without the question and what would have been right there is nothing to ask a release.
    usable = (one for one in incident.failures if one.question and one.expected)
    failed = next(usable, None)
    if incident.case is not None or failed is None:
        return
    slug = re.sub(r"[^a-z0-9]+", "-", failed.question.lower()).strip("-")[:40]
    case = Case(f"{incident.id.lower()}-{slug}", failed.question, failed.expected, incident.id)
    says = f"answer {failed.id} to {failed.question!r} was {failed.answer!r}"
    reason = Reason(RULE_DRAFT, says, {"answer_id": failed.id, "expected": failed.expected})
    d.emit(events.RegressionCaseDrafted(incident.id, case, reason))


def try_both_sides(d: Decision, incident: Incident) -> None:
    """Ask for the drafted case to be run on the bad and on the last good release."""
    if incident.case is None or incident.case_state != "drafted" or not incident.bad_release:
        return
    d.plan(
        effects.RunEvals(
            key=f"admission/{incident.id}/{incident.case.id}",
            incident=incident.id,
            service=incident.service_of_plan,
            purpose="admission",
            releases=(incident.bad_release, incident.good_release),
            cases=(incident.case,),
            epochs=EPOCHS,
        )
    )


def admit(case: Case, outcomes: tuple[Outcome, ...], *, bad: str, good: str) -> tuple[bool, Reason]:
    """Say whether the case tells the bad release from the good one.

    >>> case = Case("c", "q", "a")
    >>> admit(case, (Outcome("c", "v2", "failed"),) * 3 + (Outcome("c", "v1", "passed"),) * 3,
    ...       bad="v2", good="v1")[0]
    True
    """
    on_bad = [o.status for o in outcomes if o.release == bad and o.case == case.id]
    on_good = [o.status for o in outcomes if o.release == good and o.case == case.id]
    terms: dict[str, Term] = {
        "bad": bad,
        "good": good,
        "failed_on_bad": on_bad.count("failed"),
        "passed_on_good": on_good.count("passed"),
        "epochs": EPOCHS,
    }
    if len(on_bad) < EPOCHS or len(on_good) < EPOCHS or "error" in on_bad + on_good:
        return False, Reason(RULE_ADMIT, "could not be run often enough on both sides", terms)
    if on_bad.count("failed") < len(on_bad):
        return False, Reason(RULE_ADMIT, f"does not always fail on {bad}", terms)
    if on_good.count("passed") < len(on_good):
        return False, Reason(RULE_ADMIT, f"does not always pass on {good}", terms)
    return True, Reason(RULE_ADMIT, f"fails on {bad}, passes on {good}", terms)


def on_answer(d: Decision, incident: Incident, answer: EvalsAnswered) -> None:
    """Admit or refuse what was run."""
    case = incident.case
    if case is None or incident.case_state != "drafted" or retry_evals(d, answer):
        return
    bad, good = incident.bad_release, incident.good_release
    admitted, reason = admit(case, answer.outcomes, bad=bad, good=good)
    if answer.error:
        admitted, reason = False, Reason(RULE_ADMIT, answer.error)
    if admitted:
        d.emit(events.RegressionCaseAdmitted(incident.id, case, bad, good, answer.outcomes, reason))
    else:
        d.emit(events.RegressionCaseRefused(incident.id, case.id, answer.outcomes, reason))
