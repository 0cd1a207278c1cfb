"""What is live after a fix: the suite and the incident's case once more, beside the old baseline.

Law: an incident's case is never averaged; one valid failure blocks. No cases, no baseline or an
error is `inconclusive`, never a pass.
"""

from __future__ import annotations

from typing import Literal

from midwatch.core.rules.fixes import retry_evals
from midwatch.core.state import effects, events
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import EvalsAnswered
from midwatch.core.values.evals import Outcome, tally
from midwatch.core.values.reasons import Reason, Term

RULE = "rechecks/1"
Verdict = Literal["pass", "regression", "inconclusive"]


def judge(
    outcomes: tuple[Outcome, ...], *, release: str, baseline: str, incident_cases: frozenset[str]
) -> tuple[Verdict, Reason]:
    """Say whether a release may stay.

    >>> judge((), release="v3", baseline="v1", incident_cases=frozenset())[0]
    'inconclusive'
    """
    ours, theirs = tally(outcomes, release), tally(outcomes, baseline)
    terms: dict[str, Term] = {
        "cases": ours.total,
        "passed": ours.passed,
        "errors": ours.errors,
        "baseline_passed": theirs.passed,
    }
    for outcome in outcomes:
        mine = outcome.release == release and outcome.case in incident_cases
        if mine and outcome.status == "failed":
            return "regression", Reason(RULE, f"{outcome.case} fails again", terms)
    if not ours.total or not theirs.total:
        return "inconclusive", Reason(RULE, "no case was run on both sides", terms)
    if ours.errors or theirs.errors:
        says = f"{ours.errors + theirs.errors} cases could not be run"
        return "inconclusive", Reason(RULE, says, terms)
    if ours.passed < theirs.passed:
        says = f"passes {ours.passed} of {ours.total}, the baseline {theirs.passed}"
        return "regression", Reason(RULE, says, terms)
    return "pass", Reason(RULE, f"passes {ours.passed} of {ours.total}", terms)


def start(d: Decision, incident: Incident) -> None:
    """Ask for the suite and the incident's case to be run on what is live now."""
    d.plan(
        effects.RunEvals(
            key=d.key("gate", incident.id, incident.gates),
            incident=incident.id,
            service=incident.service_of_plan,
            purpose="gate",
            releases=(incident.fix, incident.baseline),
            cases=(incident.case,) if incident.case else (),
            suite=True,
        )
    )


def on_answer(d: Decision, incident: Incident, answer: EvalsAnswered) -> None:
    """Record the verdict."""
    if incident.fix_state != "promoted" or retry_evals(d, answer):
        return
    cases = frozenset((incident.case.id,) if incident.case else ())
    verdict, reason = judge(
        answer.outcomes, release=incident.fix, baseline=incident.baseline, incident_cases=cases
    )
    if answer.error:
        verdict, reason = "inconclusive", Reason(RULE, answer.error)
    d.emit(
        events.GateJudged(
            incident=incident.id,
            release=incident.fix,
            verdict=verdict,
            outcomes=answer.outcomes,
            reason=reason,
        )
    )
