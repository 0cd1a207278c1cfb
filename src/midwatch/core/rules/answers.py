"""What came of a step of a plan, and what follows.

Law: done is what was seen. What was provably never sent is tried again, a few times; what failed or
is unknown pages a human, and what was done before it is proposed to be taken back.
"""

from __future__ import annotations

from midwatch.core.rules import (
    consent,
    escalation,
    planning,
    pointers,
    running,
)
from midwatch.core.rules.planning import RULE, Means
from midwatch.core.state import events
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import ActionAnswered, ReleaseAnswered
from midwatch.core.state.runs import Run, doing
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.plans import (
    WAIT,
    PlannedStep,
)
from midwatch.core.values.reasons import Reason

MAX_ATTEMPTS = 3
RETRY_S = 5


def on_traffic(d: Decision, means: Means, incident: Incident, answer: ReleaseAnswered) -> None:
    """Take what was seen of a canary that a step took off."""
    run = doing(incident.plans, answer.key)
    if run is None or run.plan is None:
        return
    pointer = d.shard.pointers[incident.acts_for(run)]
    if pointer.pending == answer.key:
        return  # it is tried again
    _settle(d, means, incident, run, run.plan.steps[run.step], answer)


def on_answer(d: Decision, means: Means, incident: Incident, answer: ActionAnswered) -> None:
    """Take what was seen after a step: done, try again, or a person has to look."""
    run = doing(incident.plans, answer.key)
    if run is None or run.plan is None:
        return
    again = answer.attempt < MAX_ATTEMPTS and _may_try_again(incident, run)
    undone = answer.state == "not-applied" or (answer.state == "unknown" and answer.repeatable)
    if undone and again:
        _try_again(d, incident, run, answer)
        return
    _settle(d, means, incident, run, run.plan.steps[run.step], answer)


def _try_again(
    d: Decision, incident: Incident, run: Run, answer: ActionAnswered | ReleaseAnswered
) -> None:
    at = d.now + RETRY_S * SECOND
    d.emit(
        events.ActionRetried(
            incident=incident.id, operation=answer.key, seen=answer.seen, at=at, plan_hash=run.hash
        )
    )
    d.retry_effect(answer.key, at)


def _may_try_again(incident: Incident, run: Run) -> bool:
    return not run.stopping and not consent.over(incident, run)


def _settle(
    d: Decision,
    means: Means,
    incident: Incident,
    run: Run,
    step: PlannedStep,
    answer: ActionAnswered | ReleaseAnswered,
) -> None:
    operation, state, seen = answer.key, answer.state, answer.seen
    output = answer.output if isinstance(answer, ActionAnswered) else ""
    if state == "applied":
        d.emit(
            events.ActionDone(
                incident=incident.id,
                operation=operation,
                step=step.id,
                seen=seen,
                changed=step.changes,
                output=output,
                keeps=step.keeps,
                plan_hash=run.hash,
            )
        )
        running.advance(d, means, incident, run)
        return
    goes_on = not step.changes
    d.emit(
        events.ActionFailed(
            incident=incident.id,
            operation=operation,
            step=step.id,
            state=state,
            seen=seen,
            goes_on=goes_on,
            output=output,
            keeps=step.keeps,
            plan_hash=run.hash,
        )
    )
    if goes_on:
        running.advance(d, means, incident, run)
        return
    running.take_back(d, means, incident, run, begun=True)
    reason = Reason(RULE, f"step {step.id} {state}: {seen}", {"step": step.id})
    escalation.page_again(d, means.policy, incident, reason)
    means.reconsider(d, means, incident)


def on_rollback_answer(
    d: Decision, means: Means, incident: Incident, answer: ReleaseAnswered
) -> None:
    """Take what was seen after the rollback: done, try again, or a person has to look."""
    run = doing(incident.plans, answer.key)
    if run is None:
        return
    pointer = d.shard.pointers[incident.acts_for(run)]
    if answer.state == "applied":
        bad, to = _from_and_to(incident, run)
        pointers.done(d, pointer, answer.key, condemned=bad)
        d.emit(
            events.RollbackCompleted(
                incident=incident.id,
                service=pointer.service,
                operation=answer.key,
                bad=bad,
                to=to,
                seen=answer.seen,
                plan_hash=run.hash,
            )
        )
        running.advance(d, means, incident, run)
        return
    again = answer.attempt < MAX_ATTEMPTS and _may_try_again(incident, run)
    if answer.state == "not-applied" and again:
        _try_again(d, incident, run, answer)
        return
    if pointer.pending == answer.key:
        d.emit(
            events.PointerAbandoned(
                service=pointer.service, operation=answer.key, epoch=pointer.epoch
            )
        )
    d.emit(
        events.RollbackFailed(
            incident=incident.id,
            operation=answer.key,
            state=answer.state,
            seen=answer.seen,
            plan_hash=run.hash,
        )
    )
    running.take_back(d, means, incident, run, begun=True)
    says = f"rollback {answer.state}: {answer.seen}"
    escalation.page_again(
        d, means.policy, incident, Reason(RULE, says, {"attempts": answer.attempt})
    )
    means.reconsider(d, means, incident)


def _from_and_to(incident: Incident, run: Run) -> tuple[str, str]:
    """Say what a rollback goes from and to."""
    given = run.plan.steps[run.step].given if run.plan else {}
    if "live" in given and "target" in given:
        return str(given["live"]), str(given["target"])
    return incident.bad_release, incident.good_release


def on_step_timer(d: Decision, means: Means, incident: Incident, plan_hash: str = "") -> None:
    """Go on when a wait is over; give up when nobody answered in time."""
    run = planning.timed(incident, plan_hash)
    if run is None or run.plan is None:
        return
    if run.state == "waiting":
        step = run.plan.steps[run.step]
        if d.now >= run.step_asked_at + step.ttl_s * SECOND:
            says = f"nobody approved {step.id} in {show_duration(step.ttl_s)}"
            running.halt(d, means, incident, run, says)
        return
    if run.state != "running" or not run.operation:
        return
    step = run.plan.steps[run.step]
    if step.action == WAIT:
        running.is_done(d, incident, run, step, run.operation, "finished")
        running.advance(d, means, incident, run)
