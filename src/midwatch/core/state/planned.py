"""What becomes of an incident's plans, fact by fact.

Law: a fact names its plan by hash; what names none is of an event log in which an incident had one.
A plan that ended has used up its hash: the next proposal of the same has another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace

from midwatch.core.state import events as e
from midwatch.core.state.incidents import Incident
from midwatch.core.state.runs import Run, doing, forget, named
from midwatch.errors import BugError


def its_run(i: Incident, plan_hash: str, operation: str = "") -> Run:
    """Find the plan that a fact is about; what names none is of a journal with one an incident."""
    found = named(i.plans, plan_hash) or doing(i.plans, operation)
    if found is None:
        if not i.plans:
            i.plans.append(Run(asks=i.asks))
        found = i.lead
    return found


def _proposed(i: Incident, event: e.PlanProposed, at: int) -> None:
    run = Run(
        event.subject,
        event.runbook,
        event.plan_hash,
        event.plan,
        "proposed",
        asks=i.asks,
        given=event.given,
        chosen_by=event.by,
    )
    if not event.subject:  # the only one, as journals had it
        if i.plans:
            run.step_asked_at, run.operation = i.lead.step_asked_at, i.lead.operation
        i.plans.clear()
    for one in [one for one in i.plans if one.subject in (event.subject, "")]:
        if one.state == "proposed" and not run.replaces(one):
            continue
        if one.state == "proposed":
            if run.subject and one.hash != run.hash:
                _used(i, one)
            run.asks = i.asks if run.subject else one.asks
        if not one.is_under_way:
            i.plans.remove(one)
    i.plans.append(run)
    forget(i.plans)
    i.no_runbook = ""


def _no_runbook(i: Incident, event: e.NoRunbook, at: int) -> None:
    i.no_runbook = event.reason.says
    for one in [one for one in i.plans if not one.is_under_way and one.state != "ended"]:
        if one.state == "proposed":
            _used(i, one)
        one.runbook, one.hash, one.plan, one.state = "", "", None, "none"
        if one.subject or replace(one, asks=0) == Run():
            i.plans.remove(one)  # what was done stays to be seen


def _approved(i: Incident, event: e.PlanApproved, at: int) -> None:
    run = its_run(i, event.plan_hash)
    run.approved_by, run.approved_at = event.by, at
    is_judged(i)
    if run.state == "proposed":
        if i.fix_state in ("none", "refused"):  # else it stays with the fix
            i.acts_on = event.service or i.acts_for(run)
        _used(i, run)
        i.runs += 1
        run.number = i.runs
        _tried(i, run)
    run.state = "running"


def _refused(i: Incident, event: e.PlanRefused, at: int) -> None:
    run = its_run(i, event.plan_hash)
    _tried(i, run)
    _used(i, run)
    run.state = "ended"


def _used(i: Incident, run: Run) -> None:
    """Give the next proposal another hash, though it is the same plan: old buttons do nothing."""
    if run.subject:  # in journals of one plan an incident the hash stays
        i.asks += 1


def _tried(i: Incident, run: Run) -> None:
    """Remember what was begun or refused, and for which service."""
    if run.runbook not in i.tried:
        i.tried.append(run.runbook)
    if run.plan is not None and run.plan.service is not None:
        done = i.tried_on.get(run.plan.service, [])
        others = (one for one in done if one != run.runbook)
        i.tried_on[run.plan.service] = [*others, run.runbook]


def _stopped(i: Incident, event: e.PlanStopped, at: int) -> None:
    run = its_run(i, event.plan_hash)
    _used(i, run)
    if run.state == "proposed":  # nothing of it was begun
        run.state = "none"
        return
    if event.by:
        i.by_hand[i.acts_for(run)] = event.by
    run.operation, run.state, run.stopping, run.again_at = "", "ended", "", 0


def _stop_asked(i: Incident, event: e.PlanStopAsked, at: int) -> None:
    run = its_run(i, event.plan_hash)
    run.stopping = event.reason.says
    if run.subject and event.by:
        i.by_hand[i.acts_for(run)] = event.by


def _action_started(i: Incident, event: e.ActionStarted, at: int) -> None:
    its_run(i, event.plan_hash).operation = event.operation


def _action_retried(i: Incident, event: e.ActionRetried, at: int) -> None:
    its_run(i, event.plan_hash, event.operation).again_at = event.at


def _action_done(i: Incident, event: e.ActionDone, at: int) -> None:
    run = its_run(i, event.plan_hash, event.operation)
    run.operation, run.again_at = "", 0
    if event.changed:
        _acted(i, run, at)
    _next_step(i, run)


def _acted(i: Incident, run: Run, at: int) -> None:
    """Note that something was changed: whatever was seen before proves nothing any more."""
    i.acted_at = at
    if run.subject and run.plan is not None:
        i.acted_on.update(dict.fromkeys(i.proofs_of(run), at))
        i.lasting[i.acts_for(run)] = run.plan.resolves
        run.looks = ""


def _action_failed(i: Incident, event: e.ActionFailed, at: int) -> None:
    run = its_run(i, event.plan_hash, event.operation)
    run.operation, run.again_at = "", 0
    if event.goes_on:
        _next_step(i, run)
    else:
        run.state = "ended"


def _action_waits(i: Incident, event: e.ActionWaits, at: int) -> None:
    run = its_run(i, event.plan_hash)
    run.state, run.step_asked_at = "waiting", at
    i.asks += 1
    run.asks = i.asks
    if event.plan is not None:
        run.plan, run.hash = event.plan, event.plan.hash


def _next_step(i: Incident, run: Run) -> None:
    run.step += 1
    if run.plan is not None and run.step < len(run.plan.steps):
        return
    # What changed nothing has nothing to prove, and who is well needs no proof.
    changed = run.plan is None or (run.plan.changes and not run.plan.takes_back)
    run.state = "verifying" if changed and i.state in ("open", "acknowledged") else "ended"


def _looked(i: Incident, event: e.RecoveryJudged, at: int) -> None:
    run = its_run(i, event.plan_hash)
    run.looks = event.verdict
    if event.verdict == "recovered" and run.state == "verifying":
        run.state = "ended"


def is_judged(i: Incident) -> None:
    """Let what it waited for be over: something says how users are."""
    i.unproven, i.unproven_since = "", 0


def _rollback_started(i: Incident, event: e.RollbackStarted, at: int) -> None:
    run = its_run(i, event.plan_hash)
    if run.plan is not None and event.service != i.acts_for(run):
        raise BugError(f"a rollback of {event.service} by a plan for {i.acts_for(run)}")
    run.operation = event.operation
    i.rollbacks += 1
    i.rolled.append(event.service)
    # Of several services its lesson is that of the one whose objective burned, else of the first.
    if not i.rolled_back or i.slo.startswith(f"{event.service}/"):
        i.bad_release, i.good_release, i.rolled_back = event.bad, event.to, event.service


def _rollback_done(i: Incident, event: e.RollbackCompleted, at: int) -> None:
    run = its_run(i, event.plan_hash, event.operation)
    run.operation, run.again_at, i.rolled_back_at = "", 0, at
    _acted(i, run, at)
    _next_step(i, run)


def _rollback_failed(i: Incident, event: e.RollbackFailed, at: int) -> None:
    run = its_run(i, event.plan_hash, event.operation)
    run.operation, run.again_at, run.state = "", 0, "ended"


def _rollback_refused(i: Incident, event: e.RollbackRefused, at: int) -> None:
    run = its_run(i, "")
    run.operation, run.again_at, run.state = "", 0, "ended"


def _fix_over(i: Incident, event: e.PromotionFailed | e.FixWithdrawn, at: int) -> None:
    i.promotion, i.fix_state = "", "refused"


# Each function takes the one event type that stands beside it.
APPLY = cast(
    "dict[type, Callable[[Incident, Any, int], None]]",
    {
        e.PlanProposed: _proposed,
        e.PlanApproved: _approved,
        e.NoRunbook: _no_runbook,
        e.PlanRefused: _refused,
        e.PlanStopped: _stopped,
        e.PlanStopAsked: _stop_asked,
        e.ActionStarted: _action_started,
        e.ActionRetried: _action_retried,
        e.ActionDone: _action_done,
        e.ActionFailed: _action_failed,
        e.ActionWaits: _action_waits,
        e.RecoveryJudged: _looked,
        e.RollbackRefused: _rollback_refused,
        e.RollbackStarted: _rollback_started,
        e.RollbackCompleted: _rollback_done,
        e.RollbackFailed: _rollback_failed,
        e.PromotionFailed: _fix_over,
        e.FixWithdrawn: _fix_over,
    },
)
