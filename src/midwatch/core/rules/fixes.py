"""The way of a fix from proposal to live: evals against the live baseline, then live traffic.

Law: a fix goes live only when it passes the case of the incident that it is for, and is proven no
worse than the live baseline by the margin: by the same cases on both sides and, where the config
says how, by a part of live traffic. Too few cases are made up for by traffic alone. What is missing
or broken is `inconclusive`, never a promotion; a valid failure of the incident's case is a reject.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from midwatch.core.rules import pointers, rollouts
from midwatch.core.state import effects, events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import EvalsAnswered, ReleaseAnswered
from midwatch.core.values import verdicts
from midwatch.core.values.canary import Canary, CanaryPlan
from midwatch.core.values.clock import SECOND
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.reasons import Reason
from midwatch.core.values.traffic import Traffic
from midwatch.core.values.verdicts import ALPHA, MARGIN, Pair, Verdict
from midwatch.errors import StateError

RULE = "fixes/1"
MAX_ATTEMPTS = 3
RETRY_S = 30
UNDER_WAY = ("proposed", "trial", "promoting", "promoted")


def pairs_of(
    outcomes: tuple[Outcome, ...],
    *,
    candidate: str,
    baseline: str,
    regressions: frozenset[str],
    seed: str = "",
) -> list[Pair]:
    """Pair the outcomes of two releases by case, in an order that the seed alone gives.

    Reruns of a case enter as their mean; a side that gave no valid outcome is None.

    >>> rows = (Outcome("a", "v2", "passed"), Outcome("a", "v2", "failed"),
    ...         Outcome("a", "v1", "passed"), Outcome("b", "v2", "error"))
    >>> [(p.case, p.candidate, p.baseline) for p in sorted(
    ...     pairs_of(rows, candidate="v2", baseline="v1", regressions=frozenset()),
    ...     key=lambda p: p.case)]
    [('a', 0.5, 1.0), ('b', None, None)]
    """
    seen: dict[str, dict[str, list[bool]]] = {}
    for one in outcomes:
        sides = seen.setdefault(one.case, {candidate: [], baseline: []})
        if one.release in sides and one.status != "error":
            sides[one.release].append(one.status == "passed")

    def place(case: str) -> bytes:
        return blake2b(f"{seed}/{case}".encode(), digest_size=8).digest()

    return [
        Pair(case, _mean(seen[case][candidate]), _mean(seen[case][baseline]), case in regressions)
        for case in sorted(seen, key=place)
    ]


def _mean(passed: list[bool]) -> float | None:
    return sum(passed) / len(passed) if passed else None


def judge(
    outcomes: tuple[Outcome, ...],
    *,
    candidate: str,
    baseline: str,
    case: Case | None,
    regressions: frozenset[str] = frozenset(),
    margin: float = MARGIN,
    alpha: float = ALPHA,
    seed: str = "",
) -> Verdict:
    """Compare two releases over the same cases.

    >>> case = Case("c", "refund window", "30 days", incident="INC-1")
    >>> both = tuple(Outcome(f"q{n}", name, "passed") for n in range(80) for name in ("v3", "v1"))
    >>> own = (Outcome("c", "v3", "passed"), Outcome("c", "v1", "passed"))
    >>> judge((*own, *both), candidate="v3", baseline="v1", case=case).verdict
    'promote'
    >>> judge(own, candidate="v3", baseline="v1", case=case).eligible
    True
    """
    if case is not None:
        regressions |= {case.id}
        if case.id not in {one.case for one in outcomes if one.release == candidate}:
            says = f"{case.id} was not run on {candidate}"
            return Verdict("inconclusive", Reason(RULE, says))
    pairs = pairs_of(
        outcomes, candidate=candidate, baseline=baseline, regressions=regressions, seed=seed
    )
    found = verdicts.judge(pairs, margin, alpha)
    if case is None and found.verdict != "reject":
        says = f"the incident left no case to judge the fix by; {found.reason.says}"
        eligible = found.eligible or found.verdict == "promote"
        reason = Reason(RULE, says, found.reason.terms)
        return Verdict("inconclusive", reason, eligible=eligible)
    return found


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
    elif _is_busy(incident, pointer.service) or incident.fix_state in UNDER_WAY:
        refusal = "another change of this service is in progress"
    elif incident.state not in ("open", "acknowledged", "mitigated"):
        refusal = f"{incident.id} is {incident.state}"
    if refusal:
        d.emit(
            events.FixRefused(incident=incident.id, release=release, reason=Reason(RULE, refusal))
        )
        return
    d.emit(
        events.FixProposed(
            incident=incident.id,
            service=pointer.service,
            release=release,
            baseline=pointer.live,
            by=by,
        )
    )
    d.plan(
        effects.RunEvals(
            key=d.key("canary", incident.id, incident.canaries),
            incident=incident.id,
            service=pointer.service,
            purpose="canary",
            releases=(release, pointer.live),
            cases=(incident.case,) if incident.case else (),
            suite=True,
        )
    )


def _is_busy(incident: Incident, service: str) -> bool:
    """Say whether something is being done to a service for an incident."""
    steps = (one for one in incident.plans if one.operation)
    return bool(incident.promotion) or any(incident.acts_for(one) == service for one in steps)


def retry_evals(d: Decision, answer: EvalsAnswered) -> bool:
    """Run cases again when they could not be run at all; False when that was tried enough."""
    if not answer.error or answer.attempt >= MAX_ATTEMPTS:
        return False
    d.retry_effect(answer.key, d.now + RETRY_S * SECOND * answer.attempt)
    return True


def on_evals_answer(
    d: Decision,
    plans: Mapping[str, CanaryPlan],
    regressions: frozenset[str],
    incident: Incident,
    answer: EvalsAnswered,
) -> None:
    """Judge what was run; what stands up to it goes on to live traffic, or live at once."""
    if incident.fix_state != "proposed" or retry_evals(d, answer):
        return
    pointer = d.shard.pointers[incident.service_of_plan]
    plan = plans.get(pointer.service)
    found = judge(
        answer.outcomes,
        candidate=incident.fix,
        baseline=incident.baseline,
        case=incident.case,
        regressions=regressions,
        margin=plan.margin if plan else MARGIN,
        seed=answer.key,
    )
    if answer.error:
        found = Verdict("inconclusive", Reason(RULE, answer.error))
    if found.verdict != "reject" and pointer.live != incident.baseline:
        says = f"{pointer.live} is live now, the evals ran against {incident.baseline}"
        found = Verdict("inconclusive", Reason(RULE, says))
    if plan is not None and (found.eligible or found.verdict == "promote"):
        refused = _try_live(d, plans, incident, answer, found)
        if refused is None:
            return
        found = refused
    _judged(d, incident, found.verdict, answer.outcomes, found.reason)


def _try_live(
    d: Decision,
    plans: Mapping[str, CanaryPlan],
    incident: Incident,
    answer: EvalsAnswered,
    found: Verdict,
) -> Verdict | None:
    """Give the fix a part of live traffic; gives what stood in the way."""
    service = incident.service_of_plan
    given = inputs.StartCanary(service, incident.fix, answer.key, incident.id)
    try:
        rollouts.start(d, plans, given, incident.id)
    except StateError as error:
        return Verdict("inconclusive", Reason(RULE, error.message))
    d.emit(
        events.FixEligible(
            incident=incident.id,
            release=incident.fix,
            outcomes=answer.outcomes,
            reason=found.reason,
        )
    )
    return None


def on_trial_end(d: Decision, trial: Canary) -> None:
    """Take the verdict of live traffic on a fix."""
    incident = d.incident(trial.incident)
    if incident is None or incident.fix_state != "trial":
        return
    last = d.shard.pointers[incident.service_of_plan].last_canary
    if last is not None and last.operation == trial.operation:
        _judged(d, incident, last.verdict, (), last.reason)


def _judged(
    d: Decision, incident: Incident, verdict: str, outcomes: tuple[Outcome, ...], reason: Reason
) -> None:
    """Record the verdict and, when it says so, write the intent to promote."""
    pointer = d.shard.pointers[incident.service_of_plan]
    d.emit(
        events.CanaryJudged(
            incident=incident.id,
            release=incident.fix,
            baseline=incident.baseline,
            verdict=verdict,
            outcomes=outcomes,
            reason=reason,
        )
    )
    if verdict == "reject":
        d.emit(
            events.ReleaseCondemned(service=pointer.service, release=incident.fix, reason=reason)
        )
    if verdict != "promote":
        return
    operation = d.key("promote", incident.id, incident.canaries)
    epoch = pointer.epoch + 1
    d.emit(
        events.PromotionStarted(
            incident=incident.id,
            service=pointer.service,
            operation=operation,
            release=incident.fix,
            epoch=epoch,
        )
    )
    traffic = Traffic(incident.fix, pointer.epoch)
    pointers.begin(d, pointer, operation, traffic, "promote", incident=incident.id)


def on_promote_answer(d: Decision, incident: Incident, answer: ReleaseAnswered) -> bool:
    """Take what was seen after the promotion; True when a person has to look."""
    if incident.promotion != answer.key:
        return False
    pointer = d.shard.pointers[incident.service_of_plan]
    if answer.state == "applied":
        pointers.done(d, pointer, answer.key)
        d.emit(
            events.FixPromoted(
                incident=incident.id,
                service=pointer.service,
                operation=answer.key,
                release=incident.fix,
                seen=answer.seen,
            )
        )
        return False
    if answer.state == "not-applied" and answer.attempt < MAX_ATTEMPTS:
        d.retry_effect(answer.key, d.now + RETRY_S * SECOND)
        return False
    d.emit(
        events.PointerAbandoned(service=pointer.service, operation=answer.key, epoch=pointer.epoch)
    )
    d.emit(
        events.PromotionFailed(
            incident=incident.id, operation=answer.key, state=answer.state, seen=answer.seen
        )
    )
    return True
