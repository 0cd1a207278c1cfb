"""Carrying a plan out, step by step.

Law: each step is written before it is begun and counts when it was seen. Before each one the rest
is made again and compared with what was approved (`consent` says when it is over); anything else
stops the plan, or asks a person under another hash. One plan runs a service over all incidents; a
rollback goes before what runs its own service: a fix, a canary, a plan. A stopped plan says what is
done and not undone, and what takes that back is proposed.

    state      -> next       when
    proposed   -> running    approved by a person or a policy
    running    -> waiting    a step asks, its approval has expired or its values are others;
                             approved by the new hash, it runs on
    running    -> verifying  all steps are done, and something was changed
    verifying  -> ended      users are well, or are not known to be in time: then a human is paged
    any        -> ended      refused, stopped, failed, or the world is another one
"""

from __future__ import annotations

from typing import cast

import msgspec

from midwatch.core.rules import (
    consent,
    escalation,
    fixes,
    planning,
    pointers,
    rollouts,
)
from midwatch.core.rules.planning import RULE, Means
from midwatch.core.state import effects, events, inputs, releases
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Timer
from midwatch.core.state.runs import Run
from midwatch.core.values import automation
from midwatch.core.values.actions import Deed
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.keys import service_of
from midwatch.core.values.plans import (
    ABORT,
    ASK,
    PAGE,
    ROLLBACK,
    WAIT,
    Plan,
    PlannedStep,
    sealed,
)
from midwatch.core.values.reasons import Reason
from midwatch.core.values.silences import all_fit
from midwatch.core.values.traffic import Traffic
from midwatch.errors import InputError, StateError


def busy(
    d: Decision, incident: Incident, run: Run, service: str, *, verifying: bool = False
) -> str | None:
    """Name the incident of which another plan runs a service; a rollback waits for none but one.

    A proof of the incident's own holds nothing up that a person approves.
    """
    for one in [d.shard.incidents[name] for name in d.shard.open]:
        if one.promotion and one.service_of_plan == service and not run.rolls_back:
            return one.id
        for other in one.plans:
            if other is run or one.acts_for(other) != service:
                continue
            proves = other.state == "verifying" and (verifying or one is not incident)
            if (other.runs and not (run.rolls_back and gives_way(other))) or (
                proves and not run.rolls_back
            ):
                return one.id
    return None


def gives_way(run: Run) -> bool:
    """Say whether a rollback goes before a plan that runs: whatever is no rollback itself."""
    return not run.rolls_back and not run.operation.startswith("rollback/")


def approved(
    d: Decision, means: Means, incident: Incident, run: Run, by: str, why: Reason | None = None
) -> None:
    """Note an approval; what runs the service gives way to a rollback."""
    service = incident.acts_for(run)
    d.emit(
        events.PlanApproved(
            incident=incident.id, plan_hash=run.hash, by=by, service=service, reason=why
        )
    )
    if not run.rolls_back:
        return
    for one in [d.shard.incidents[name] for name in d.shard.open]:
        for other in list(one.plans):
            if other is run or one.acts_for(other) != service or not other.runs:
                continue
            theirs = msgspec.structs.replace(means, policy=means.policy_of(one))
            _give_way(d, theirs, one, other, f"a rollback of {service} takes precedence")


def _give_way(d: Decision, means: Means, incident: Incident, run: Run, why: str) -> None:
    """End a plan for one that goes before it: now, or when the step under way has ended."""
    if not is_doing(d, incident, run):
        halt(d, means, incident, run, why, quiet=True)
    elif not run.stopping:
        d.emit(
            events.PlanStopAsked(
                incident=incident.id, plan_hash=run.hash, by="", reason=Reason(RULE, why)
            )
        )


def advance(
    d: Decision, means: Means, incident: Incident, run: Run, *, answered: bool = False
) -> None:
    """Begin steps until one has to be waited for; `answered` is a person's word on the first."""
    while run.state == "running" and run.plan is not None and not run.operation:
        step = run.plan.steps[run.step]
        if run.stopping:
            halt(d, means, incident, run, f"stopped by {run.stopping}", quiet=True)
            return
        if not answered and not (
            goes_on(d, means, incident, run) and _is_fresh(d, means, incident, run)
        ):
            return
        answered = False
        operation = d.key("action", incident.id, run.number or incident.runs, step.id)
        if step.action == ROLLBACK:
            _roll_back(d, means, incident, run, step)
        elif step.action == ABORT:
            _abort(d, means, incident, run, step)
        else:
            d.emit(
                events.ActionStarted(
                    incident=incident.id,
                    operation=operation,
                    step=step.id,
                    action=step.action,
                    says=step.says,
                    plan_hash=run.hash,
                )
            )
            _begin(d, means, incident, run, step, operation)
    if run.state == "verifying":
        deadline_s = run.plan.verify.deadline_s if run.plan else 0
        due_at = d.now + deadline_s * SECOND
        d.set_timer(Timer(planning.key_of("verify", incident, run), due_at, "verify", incident.id))
    elif run.state == "ended":
        means.reconsider(d, means, incident)


def goes_on(d: Decision, means: Means, incident: Incident, run: Run) -> bool:
    """Say whether the rest of a plan is what was approved; else stop it, or ask a person again."""
    plan = cast("Plan", run.plan)
    if not consent.needs(plan.steps[run.step]):
        return True
    if says := consent.over(incident, run) or _is_gone(means, incident, run):
        halt(d, means, incident, run, says)
        return False
    try:
        now = planning.make_again(d, means, incident, run)
    except (InputError, StateError) as error:
        halt(d, means, incident, run, error.message)
        return False
    left = slice(run.step, None)
    if says := consent.difference(plan.steps[left], now.steps[left]):
        _ask(d, means, incident, run, f"the remaining steps have changed: {says}", now)
        return False
    return True


def _is_gone(means: Means, incident: Incident, run: Run) -> str:
    """Say that what a plan was for is in another incident now, or has ended."""
    plan, service = cast("Plan", run.plan), incident.acts_for(run)
    book = next((one for one in means.books.runbooks if one.id == run.runbook), None)
    if book is None or plan.service is None or plan.takes_back:
        return ""
    if book.match.cause and not run.chosen_by:
        return ""  # a cause need not be in trouble itself
    burns = any(service_of(slo) == service for slo in incident.slos)
    if incident.services and service not in incident.services and not burns:
        return f"{incident.id} has no alert of {service} any more"
    if not book.match.labels or book.match.slo or run.chosen_by or plan.proofs:
        return ""
    mine = [one.labels for one in incident.firing.values() if one.service == service]
    if any(all_fit(book.match.labels, one) for one in mine):
        return ""
    return f"no alert of {service} that it was for fires any more"


def _is_fresh(d: Decision, means: Means, incident: Incident, run: Run) -> bool:
    """Say whether the approval is young enough for the next step, and the step asks nothing."""
    plan = cast("Plan", run.plan)
    step = plan.steps[run.step]
    if step.action == ASK:
        says = str(step.given["says"])
    elif step.role and d.now > run.approved_at + step.ttl_s * SECOND:
        since = show_duration((d.now - run.approved_at) // SECOND)
        says = f"the approval by {run.approved_by} is {since} old: {step.line}"
    else:
        return True
    _ask(d, means, incident, run, says, plan)
    return False


def _ask(d: Decision, means: Means, incident: Incident, run: Run, says: str, plan: Plan) -> None:
    """Wait for a person, for as long as an approval of the step would last; page for it.

    What is left has a hash of its own: no button that was shown before approves it.
    """
    step = plan.steps[run.step]
    number = run.number or incident.runs
    place = f"{incident.ref}/{number}/{run.step}/{incident.asks + 1}"
    fresh = sealed(plan, place)
    reason = Reason(RULE, says, {"step": step.id, "plan": fresh.hash})
    d.cancel_timer(planning.key_of("step", incident, run))
    d.emit(
        events.ActionWaits(
            incident=incident.id, step=step.id, reason=reason, plan=fresh, plan_hash=run.hash
        )
    )
    due_at = d.now + step.ttl_s * SECOND
    d.set_timer(Timer(planning.key_of("step", incident, run), due_at, "step", incident.id))
    escalation.page_again(d, means.policy, incident, reason)


def _begin(
    d: Decision, means: Means, incident: Incident, run: Run, step: PlannedStep, operation: str
) -> None:
    """Do what midwatch does by itself, or wish for it."""
    if step.action == PAGE:
        reason = Reason(RULE, str(step.given["says"]), {"step": step.id})
        escalation.page_one(d, means.policy, incident, str(step.given["to"]), reason)
        is_done(d, incident, run, step, operation, "paged")
    elif step.action == ASK:
        is_done(d, incident, run, step, operation, f"yes, {run.approved_by}")
    elif step.action == WAIT:
        due_at = d.now + int(step.given["for_s"]) * SECOND
        d.set_timer(Timer(planning.key_of("step", incident, run), due_at, "step", incident.id))
    else:
        d.plan(
            effects.RunAction(
                operation,
                incident.id,
                incident.acts_for(run),
                step.action,
                cast("Deed", step.apply),
                step.observe,
                step.changes,
                step.timeout_s,
                step.within_s,
                step.idempotent,
            )
        )


def is_done(
    d: Decision, incident: Incident, run: Run, step: PlannedStep, operation: str, seen: str
) -> None:
    """Note that a step was seen to be done."""
    d.emit(
        events.ActionDone(
            incident=incident.id, operation=operation, step=step.id, seen=seen, plan_hash=run.hash
        )
    )


def halt(
    d: Decision,
    means: Means,
    incident: Incident,
    run: Run,
    says: str,
    *,
    quiet: bool = False,
    by: str = "",
    last: bool = False,
) -> None:
    """Go no further, say what is done and what is not, page a human, look for what fits next.

    `quiet` when a person said so, or users are well: then only what is to be taken back pages; once
    the incident is mitigated whoever has it, else whoever approved. `last` when the incident is
    resolved: nobody could approve a take-back any more, so it is only said.
    """
    name, says = run.runbook, f"{says}; {consent.progress(run)}"
    if last and (left := consent.to_take_back(run)):
        says += f"; {', '.join(one.undoes for one in left)} is done and not reverted"
    d.emit(
        events.PlanStopped(
            incident=incident.id, plan_hash=run.hash, reason=Reason(RULE, says), by=by
        )
    )
    for purpose in ("step", "verify"):
        d.cancel_timer(planning.key_of(purpose, incident, run))
    back = not last and take_back(d, means, incident, run)
    if incident.state in consent.OPEN and (back or not quiet):
        reason = Reason(RULE, f"{name} is stopped: {says}")
        escalation.page_again(d, means.policy, incident, reason)
    elif incident.state == "mitigated" and back:
        tell_holder(d, means, incident, run, says)
    means.reconsider(d, means, incident)


def tell_holder(d: Decision, means: Means, incident: Incident, run: Run, says: str) -> None:
    """Page once whoever has a mitigated incident, else who approved, for what is left done."""
    by_policy = run.approved_by.startswith(automation.by(""))
    who = incident.acknowledged_by or ("" if by_policy else run.approved_by)
    reason = Reason(
        RULE, f"users have recovered, and what {run.runbook} did is not reverted: {says}"
    )
    escalation.tell_one(d, means.policy, incident, who, reason)


def take_back(
    d: Decision, means: Means, incident: Incident, run: Run, *, begun: bool = False
) -> bool:
    """Propose to undo what a plan that ended early has done; say whether there is something.

    `begun` when the step that it ended with was begun.
    """
    steps = consent.to_take_back(run, begun=begun)
    if not steps or run.plan is None:
        return False
    subject = planning.subject_of(incident, run)
    plan = msgspec.structs.replace(run.plan, steps=steps, hash="", resolves=False, takes_back=True)
    undone = ", ".join(one.undoes for one in steps)
    reason = Reason(RULE, f"{plan.runbook} ended early: {undone} has to be reverted")
    sealed_plan = sealed(
        plan, planning.place_of(incident, planning.proposed_for(incident, subject, plan))
    )
    planning.propose(d, incident, sealed_plan, subject, run.given, reason, run.chosen_by)
    return True


def _roll_back(d: Decision, means: Means, incident: Incident, run: Run, step: PlannedStep) -> None:
    pointer = d.shard.pointers[incident.acts_for(run)]
    target, reason = releases.rollback_target(pointer)
    planned = (step.given["live"], step.given["target"])
    if (pointer.live, target) != planned:
        says = f"{pointer.service} serves {pointer.live} now, the plan was {step.says}"
        halt(d, means, incident, run, says)
        return
    own = incident.service_of_plan == pointer.service
    if own and incident.fix_state in ("proposed", "trial", "promoting"):
        says = "a rollback takes precedence over a fix"
        d.emit(
            events.FixWithdrawn(
                incident=incident.id, release=incident.fix, reason=Reason(RULE, says)
            )
        )
    operation = d.key("rollback", incident.id, incident.rollbacks + 1)
    epoch = pointer.epoch + 1
    d.emit(
        events.RollbackStarted(
            incident=incident.id,
            service=pointer.service,
            operation=operation,
            bad=pointer.live,
            to=target,
            epoch=epoch,
            reason=reason,
            plan_hash=run.hash,
        )
    )
    pointers.withdraw(d, pointer, "a rollback takes precedence over a canary")
    traffic = Traffic(target, pointer.epoch)
    pointers.begin(d, pointer, operation, traffic, "rollback", incident=incident.id)


def _abort(d: Decision, means: Means, incident: Incident, run: Run, step: PlannedStep) -> None:
    pointer = d.shard.pointers[incident.acts_for(run)]
    trial = pointer.canary
    if trial is None or trial.release != step.given["candidate"]:
        says = f"no canary of {step.given['candidate']} is under way any more"
        halt(d, means, incident, run, says)
        return
    rollouts.abort(d, inputs.AbortCanary(pointer.service, run.approved_by, incident.id))
    d.emit(
        events.ActionStarted(
            incident=incident.id,
            operation=pointer.pending,
            step=step.id,
            action=step.action,
            says=step.says,
            plan_hash=run.hash,
        )
    )
    fixes.on_trial_end(d, trial)


def is_doing(d: Decision, incident: Incident, run: Run) -> bool:
    """Say whether a step is really being done; a further try that has not begun is cancelled."""
    if not consent.is_under_way(run):
        return False
    if d.now + SECOND >= run.again_at:  # it may be claimed at any moment
        return True
    operation, pointer = run.operation, d.shard.pointers.get(incident.acts_for(run))
    d.cancel_effect(operation)
    if operation.startswith("rollback/") and pointer is not None:
        if pointer.pending == operation:
            d.emit(
                events.PointerAbandoned(
                    service=pointer.service, operation=operation, epoch=pointer.epoch
                )
            )
        says = "not tried again: its plan is stopped"
        d.emit(
            events.RollbackFailed(
                incident=incident.id,
                operation=operation,
                state="not-applied",
                seen=says,
                plan_hash=run.hash,
            )
        )
    return False
