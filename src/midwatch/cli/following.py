"""What became of a plan that was approved, as its incident tells it.

Law: done is what was seen to be done. A plan whose step nobody can tell of, that waits for a person
or is under way, is none of done and failed; and that another plan is proposed meanwhile hides
nothing of the one that was approved.
"""

from __future__ import annotations

from msgspec import Struct

from midwatch.engine.queries import Detail, Moment

DONE, FAILED, UNKNOWN = 0, 1, 3
_ENDS = ("ActionFailed", "RollbackFailed", "PlanStopped", "PlanRefused")


class Outcome(Struct, frozen=True):
    """How far a plan is: its steps that were done, what failed, and the exit code that says it."""

    done: list[str]
    is_over: bool
    code: int
    failed: str = ""


def outcome_of(detail: Detail, plan_hash: str) -> Outcome:
    """Say what became of the plan with this hash since it was approved last."""
    moments = _since_approval(detail.timeline, plan_hash)
    done = [_step(one) for one in moments if one.event in ("ActionDone", "RollbackCompleted")]
    plan = next((one for one in detail.plans if one.hash == plan_hash), None)
    if plan is not None:
        done = [one.step for one in plan.steps if one.state == "done"]
        if plan.state == "running":
            return Outcome(done, is_over=False, code=UNKNOWN)
        if plan.state == "waiting":
            return Outcome(done, is_over=True, code=UNKNOWN)
        if plan.state == "verifying" or len(done) == len(plan.steps):
            return Outcome(done, is_over=True, code=DONE)
    ends = [one for one in moments if one.event in _ENDS]
    if not ends and any(one.event == "ActionWaits" for one in moments):
        return Outcome(done, is_over=True, code=UNKNOWN)  # asked again, under another hash
    if not ends:
        return Outcome(done, is_over=True, code=DONE if done else FAILED)
    last = ends[-1]
    unknown = " unknown: " in f" {last.says[:100]}" and last.event in _ENDS[:2]
    return Outcome(done, is_over=True, code=UNKNOWN if unknown else FAILED, failed=last.says)


def _since_approval(timeline: list[Moment], plan_hash: str) -> list[Moment]:
    """List what happened to the plan; what names none is of the one that was approved last."""
    found: list[Moment] = []
    is_last = was_approved = False
    for one in timeline:
        if one.event == "PlanApproved":
            was_last, is_last = is_last, one.says.split(" ", 1)[0] == plan_hash
            if is_last and not was_last:
                found, was_approved = [], True
        elif was_approved and (one.plan == plan_hash if one.plan else is_last):
            found.append(one)
    return found


def _step(one: Moment) -> str:
    return one.says.split(":", 1)[0] if one.event == "ActionDone" else "rollback"
