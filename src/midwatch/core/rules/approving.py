"""What people say to plans: approve, refuse, stop; and what ends an approval.

Law: an approval binds to the hash of the plan that was shown, and the plan is made again before it
counts. Where an incident is over, or is another one than it was, nothing more of its plans begins.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from midwatch.core.rules import (
    consent,
    planning,
    proposing,
    running,
    subjects,
)
from midwatch.core.rules.planning import RULE, Means
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.runs import Run, named
from midwatch.core.values.plans import (
    Plan,
    sealed,
)
from midwatch.core.values.reasons import Reason
from midwatch.errors import InputError, StateError


def approve(d: Decision, means: Means, incident: Incident, given: inputs.ApprovePlan) -> None:
    """Carry out what was approved; raises StateError when it is not a present plan."""
    shown = named(incident.plans, given.plan_hash)
    proposing.must_be_open(incident, takes_back=(shown or incident.lead).takes_back)
    if shown is not None and shown.state == "waiting":
        _approve_rest(d, means, incident, shown, given)
        return
    run, plan = _meant(d, means, incident, given.plan_hash)
    service = incident.acts_for(run)
    if other := running.busy(d, incident, run, service):
        says = f"{other} has a plan for {service} under way"
        raise StateError(says, remedy="wait until it ends; only one runs at a time")
    for number in range(len(plan.steps)):
        _check_role(plan, number, given.role)
    if plan.hash != run.hash:
        says = "the situation changed, and a person looked at the new plan"
        if given.plan_hash == run.hash:
            says = "it was proposed by midwatch 0.1, and its steps are the same"
        subject, reason = planning.subject_of(incident, run), Reason(RULE, says)
        run = planning.propose(
            d, incident, plan, subject, run.given, reason, run.chosen_by, seen=True
        )
    d.cancel_timer(planning.key_of("automate", incident, run))
    running.approved(d, means, incident, run, given.by)
    running.advance(d, means, incident, run)


def _meant(d: Decision, means: Means, incident: Incident, plan_hash: str) -> tuple[Run, Plan]:
    """Find the proposal that a hash means, as it would be now. Raises StateError.

    That is the one with this hash, or one that has it by now, which somebody has looked at.
    """
    shown = named(incident.plans, plan_hash)
    proposed = [one for one in incident.plans if one.state == "proposed"]
    if shown is not None and shown.state != "proposed":
        raise _nothing_to_approve(incident, shown)
    if not proposed:
        if any(one.state == "waiting" for one in incident.plans):
            raise _other(incident, plan_hash)
        raise _nothing_to_approve(incident, incident.lead)
    refused: StateError | InputError | None = None
    for run in proposed if shown is None else [shown]:
        try:
            if says := consent.over(incident, run) or _unmatched(d, means, incident, run):
                remedy = f"see midwatch incidents show {incident.id}"
                raise StateError(f"{run.runbook} is not needed: {says}", remedy=remedy)
            plan = _made_now(d, means, incident, run)
        except (InputError, StateError) as error:
            refused = error
            continue
        if plan.hash == plan_hash:
            return run, plan
        if run is shown and _is_as_first_shown(run, plan):
            return run, plan
        refused = None
    raise refused or _other(incident, plan_hash)


def _is_as_first_shown(run: Run, plan: Plan) -> bool:
    """Say whether a proposal of midwatch 0.1, whose hashes are others, would do what it showed."""
    if run.subject or run.plan is None:
        return False
    before, now = run.plan.steps, plan.steps
    return [one.id for one in before] == [one.id for one in now] and not consent.difference(
        before, now, "shown"
    )


def _made_now(d: Decision, means: Means, incident: Incident, run: Run) -> Plan:
    """Make a proposal as it would be now. Raises InputError or StateError."""
    if run.takes_back:
        return sealed(
            planning.make_again(d, means, incident, run), planning.place_of(incident, run)
        )
    plan = proposing.plan_of(d, means, incident, run.runbook, run.given, incident.acts_for(run))
    return sealed(plan, planning.place_of(incident, run))


def _nothing_to_approve(incident: Incident, run: Run) -> StateError:
    says, service = f"{incident.id} has no plan to approve", incident.acts_for(run)
    if incident.was_rolled_back(service):
        says = f"{service or incident.id} was rolled back already"
    elif run.is_under_way:
        says = f"{run.runbook} of {incident.id} was approved already"
    return StateError(says, remedy="a person has to look")


def _approve_rest(
    d: Decision, means: Means, incident: Incident, run: Run, given: inputs.ApprovePlan
) -> None:
    """Go on with what waited; what is another plan by now is stopped or asked of again."""
    _check_role(cast("Plan", run.plan), run.step, given.role)
    if running.goes_on(d, means, incident, run):
        d.cancel_timer(planning.key_of("step", incident, run))
        running.approved(d, means, incident, run, given.by)
        running.advance(d, means, incident, run, answered=True)


def _unmatched(d: Decision, means: Means, incident: Incident, run: Run) -> str:
    """Say that what a proposal was made for is not there any more; a person's choice stays."""
    if run.is_a_persons:
        return ""
    match = planning.book_of(means.books, run.runbook).match
    found = subjects.fitting(match, incident, proposing.cause_of(d, means, incident))
    service = incident.acts_for(run)
    if any(one.service == service for one in found):
        return ""
    return f"{run.runbook} no longer matches {service or 'it'}"


def _other(incident: Incident, plan_hash: str) -> StateError:
    return StateError(
        f"plan {plan_hash} of {incident.id} no longer describes what is live",
        remedy="check the new plan and approve it",
    )


def _check_role(plan: Plan, number: int, role: str) -> None:
    wanted = plan.steps[number].role
    if wanted and wanted != role:
        got = f"a {role}" if role else "somebody without a role"
        raise StateError(
            f"step {plan.steps[number].id} must be approved by a {wanted}, not by {got}",
            remedy=f"ask a {wanted}",
        )


def refuse(d: Decision, means: Means, incident: Incident, given: inputs.RefusePlan) -> None:
    """Drop a plan that waits for a person, and look for the next. Raises StateError."""
    run = named(incident.plans, given.plan_hash)
    if run is None or not run.asks_somebody:
        raise StateError(
            f"{incident.id} has no plan {given.plan_hash} awaiting approval",
            remedy=f"see midwatch incidents show {incident.id}",
        )
    reason = Reason(RULE, f"{given.by}: {given.why}", {"by": given.by})
    waited = run.state == "waiting"
    d.emit(
        events.PlanRefused(
            incident=incident.id, plan_hash=given.plan_hash, by=given.by, reason=reason
        )
    )
    for purpose in ("step", "automate"):
        d.cancel_timer(planning.key_of(purpose, incident, run))
    if waited and not run.takes_back:
        running.take_back(d, means, incident, run)
    proposing.consider(d, means, incident)


def stop(d: Decision, means: Means, incident: Incident, given: inputs.StopPlan) -> None:
    """End a plan: now, or when the step under way has ended. Raises StateError."""
    run = _to_stop(incident, given.plan_hash)
    reason = Reason(RULE, f"{given.by}: {given.why}", {"by": given.by})
    if not running.is_doing(d, incident, run):
        running.halt(d, means, incident, run, f"stopped by {reason.says}", quiet=True, by=given.by)
    elif not run.stopping:
        d.emit(
            events.PlanStopAsked(
                incident=incident.id, plan_hash=run.hash, by=given.by, reason=reason
            )
        )


def _to_stop(incident: Incident, plan_hash: str) -> Run:
    """Find the plan that is to be stopped; without a hash the only one. Raises StateError."""
    under_way = [one for one in incident.plans if one.is_under_way]
    if plan_hash:
        under_way = [one for one in under_way if one.hash == plan_hash]
    if len(under_way) == 1:
        return under_way[0]
    if under_way:
        names = ", ".join(
            f"{one.hash} ({one.runbook} for {planning.subject_of(incident, one)})"
            for one in under_way
        )
        says = f"{incident.id} has several plans under way: {names}"
        raise StateError(says, remedy="choose one by its hash")
    which = f"plan {plan_hash}" if plan_hash else "plan"
    remedy, lead = f"see midwatch incidents show {incident.id}", incident.lead
    if lead.state == "proposed":
        remedy = f"refuse it: midwatch runbook refuse {incident.id} {lead.hash}"
    raise StateError(f"{incident.id} has no {which} under way", remedy=remedy)


def end(d: Decision, means: Means, incident: Incident, why: str, *, keeps: bool = False) -> None:
    """Let nothing more of any plan begin, and take back what was proposed.

    `keeps` what is to be taken back, which may also be approved once users are well.
    """
    for run in list(incident.plans):
        d.cancel_timer(planning.key_of("verify", incident, run))
        if keeps and run.takes_back and run.state in ("proposed", "waiting", "running"):
            if run.asks_somebody:
                undone = ", ".join(one.undoes for one in consent.to_take_back(run))
                running.tell_holder(d, means, incident, run, f"{undone} still has to be reverted")
            continue
        _end(d, means, incident, run, why, last=not keeps)


def _end(
    d: Decision, means: Means, incident: Incident, run: Run, why: str, *, last: bool = False
) -> None:
    if run.state == "proposed":
        planning.withdraw(d, incident, run, why)
    elif run.state == "waiting" or (
        run.state == "running" and not running.is_doing(d, incident, run)
    ):
        running.halt(d, means, incident, run, why, quiet=True, last=last)


def check(
    d: Decision, means: Means, incident: Incident, services: Collection[str] | None = None
) -> None:
    """Look again at what waits for a person, after what an incident is about was changed.

    With `services` at the plans of these alone.
    """
    for run in list(incident.plans):
        if services is not None and incident.acts_for(run) not in services:
            continue
        if run.state == "waiting":
            running.goes_on(d, means, incident, run)
        elif run.state == "proposed" and run.chosen_by and not run.takes_back:
            _show_again(d, means, incident, run)
    proposing.consider(d, means, incident)


def _show_again(d: Decision, means: Means, incident: Incident, run: Run) -> None:
    """Show what a person chose as it would be now; take it back when it cannot be done."""
    try:
        plan = _made_now(d, means, incident, run)
    except (InputError, StateError) as error:
        planning.withdraw(d, incident, run, error.message)
        return
    if plan.hash != run.hash:
        says = f"what it is about was changed; {proposing.changed(run, plan)}".removesuffix("; ")
        subject = planning.subject_of(incident, run)
        planning.propose(d, incident, plan, subject, run.given, Reason(RULE, says), run.chosen_by)


def on_well(d: Decision, means: Means, incident: Incident, reason: Reason) -> None:
    """Take that an objective is well; another one of the incident still burns."""
    ended = [
        one
        for one in incident.plans
        if one.state not in ("none", "ended") and consent.over(incident, one)
    ]
    for run in ended:
        if run.state == "verifying":
            d.emit(
                events.RecoveryJudged(
                    incident=incident.id, verdict="recovered", reason=reason, plan_hash=run.hash
                )
            )
            d.cancel_timer(planning.key_of("verify", incident, run))
        else:
            _end(d, means, incident, run, consent.over(incident, run))
    if ended:
        proposing.consider(d, means, incident)
