"""The way of a fix from proposal to live: candidate against the live baseline.

Law: a fix goes live only when it passes the case of the incident that it is for, and no fewer
cases than the live baseline in the same run. Missing, errored or unpaired outcomes are
`inconclusive`, never a promotion; a valid failure of the incident's case is a reject.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from midwatch.core import effects, events
from midwatch.core.clock import SECOND
from midwatch.core.decision import Decision
from midwatch.core.evals import Case, Outcome, tally
from midwatch.core.incidents import Incident
from midwatch.core.inputs import EvalsAnswered, ReleaseAnswered
from midwatch.core.reasons import Reason, Term
from midwatch.errors import StateError

RULE = "canary/1"
MAX_ERROR_SHARE = 0.05
MAX_ATTEMPTS = 3
RETRY_S = 30
Verdict = Literal["promote", "reject", "inconclusive"]


class Judgement(Struct, frozen=True):
    """A verdict with its reason."""

    verdict: Verdict
    reason: Reason


def judge(
    outcomes: tuple[Outcome, ...], *, candidate: str, baseline: str, case: Case | None
) -> Judgement:
    """Compare two releases over the same cases.

    >>> case = Case("c", "refund window", "30 days", incident="INC-1")
    >>> both = (Outcome("c", "v3", "passed"), Outcome("c", "v1", "passed"),
    ...         Outcome("d", "v3", "passed"), Outcome("d", "v1", "passed"))
    >>> judge(both, candidate="v3", baseline="v1", case=case).verdict
    'promote'
    >>> judge(both, candidate="v3", baseline="v1", case=None).verdict
    'inconclusive'
    """
    ours, theirs = tally(outcomes, candidate), tally(outcomes, baseline)
    terms: dict[str, Term] = {
        "cases": ours.total,
        "candidate_passed": ours.passed,
        "candidate_errors": ours.errors,
        "baseline_passed": theirs.passed,
        "baseline_errors": theirs.errors,
    }

    def verdict(name: Verdict, says: str) -> Judgement:
        return Judgement(name, Reason(RULE, says, terms))

    if case is None:
        return verdict("inconclusive", "the incident left no case to judge the fix by")
    on_case = [o for o in outcomes if o.case == case.id and o.release == candidate]
    if any(o.status == "failed" for o in on_case):
        return verdict("reject", f"fails {case.id}, the case of {case.incident}")
    if not on_case or any(o.status == "error" for o in on_case):
        return verdict("inconclusive", f"{case.id} could not be run on {candidate}")
    by_release = {
        name: sorted(o.case for o in outcomes if o.release == name)
        for name in (candidate, baseline)
    }
    if by_release[candidate] != by_release[baseline] or ours.total < 2:
        return verdict("inconclusive", "the two did not run the same cases")
    for name, seen in ((candidate, ours), (baseline, theirs)):
        if seen.errors > MAX_ERROR_SHARE * seen.total:
            says = f"{seen.errors} of {seen.total} cases could not be run on {name}"
            return verdict("inconclusive", says)
    if ours.passed < theirs.passed:
        says = f"passes {ours.passed} cases, the baseline {theirs.passed}"
        return verdict("reject", says)
    says = f"passes {case.id} and {ours.passed} of {ours.total}, the baseline {theirs.passed}"
    return verdict("promote", says)


def propose(d: Decision, incident: Incident, release: str, by: str) -> None:
    """Take a candidate up; raises StateError when it cannot be tried now."""
    pointer = d.shard.pointers.get(incident.service_of_plan)
    if pointer is None or release not in pointer.releases:
        raise StateError(
            f"release {release!r} is not registered for {incident.service_of_plan}",
            remedy="register it first",
        )
    refusal = ""
    if pointer.releases[release].standing == "bad":
        refusal = f"{release} is known bad"
    elif release == pointer.live:
        refusal = f"{release} is live already"
    elif incident.operation or incident.fix_state in ("proposed", "promoting", "promoted"):
        refusal = "another change of this service is under way"
    elif incident.state not in ("open", "acknowledged", "mitigated"):
        refusal = f"{incident.id} is {incident.state}"
    if refusal:
        d.emit(events.FixRefused(incident.id, release, Reason(RULE, refusal)))
        return
    d.emit(events.FixProposed(incident.id, pointer.service, release, pointer.live, by))
    d.plan(
        effects.RunEvals(
            key=f"canary/{incident.id}/{incident.canaries}",
            incident=incident.id,
            service=pointer.service,
            purpose="canary",
            releases=(release, pointer.live),
            cases=(incident.case,) if incident.case else (),
            suite=True,
        )
    )


def retry_evals(d: Decision, answer: EvalsAnswered) -> bool:
    """Run cases again when they could not be run at all; False when that was tried enough."""
    if not answer.error or answer.attempt >= MAX_ATTEMPTS:
        return False
    d.retry_effect(answer.key, d.now + RETRY_S * SECOND * answer.attempt)
    return True


def on_canary_answer(d: Decision, incident: Incident, answer: EvalsAnswered) -> None:
    """Judge what was run and, when the verdict says so, write the intent to promote."""
    if incident.fix_state != "proposed" or retry_evals(d, answer):
        return
    judgement = judge(
        answer.outcomes, candidate=incident.fix, baseline=incident.baseline, case=incident.case
    )
    if answer.error:
        judgement = Judgement("inconclusive", Reason(RULE, answer.error))
    pointer = d.shard.pointers[incident.service_of_plan]
    if judgement.verdict == "promote" and pointer.live != incident.baseline:
        says = f"{pointer.live} is live now, the canary ran against {incident.baseline}"
        judgement = Judgement("inconclusive", Reason(RULE, says))
    d.emit(
        events.CanaryJudged(
            incident.id,
            incident.fix,
            incident.baseline,
            judgement.verdict,
            answer.outcomes,
            judgement.reason,
        )
    )
    if judgement.verdict == "reject":
        d.emit(events.ReleaseCondemned(pointer.service, incident.fix, judgement.reason))
    if judgement.verdict != "promote":
        return
    operation, epoch = f"promote/{incident.id}/{incident.canaries}", pointer.epoch + 1
    d.emit(events.PromotionStarted(incident.id, pointer.service, operation, incident.fix, epoch))
    d.emit(events.PointerIntended(pointer.service, operation, incident.fix, epoch, "promote"))
    d.plan(
        effects.SetRelease(operation, incident.id, pointer.service, incident.fix, epoch, "promote")
    )


def on_promote_answer(d: Decision, incident: Incident, answer: ReleaseAnswered) -> bool:
    """Take what was seen after the promotion; True when a person has to look."""
    if incident.operation != answer.key:
        return False
    pointer = d.shard.pointers[incident.service_of_plan]
    if answer.state == "applied":
        d.emit(events.PointerMoved(pointer.service, answer.key, incident.fix, pointer.epoch))
        d.emit(
            events.FixPromoted(incident.id, pointer.service, answer.key, incident.fix, answer.seen)
        )
        return False
    if answer.state == "not-applied" and answer.attempt < MAX_ATTEMPTS:
        d.retry_effect(answer.key, d.now + RETRY_S * SECOND)
        return False
    if answer.state == "not-applied":
        d.emit(events.PointerAbandoned(pointer.service, answer.key, pointer.epoch))
    d.emit(events.PromotionFailed(incident.id, answer.key, answer.state, answer.seen))
    return True
