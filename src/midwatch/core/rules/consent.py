"""When a consent has ended: the world that a plan was approved for is another one.

Law: a plan is approved for one incident as it is. Mitigated, resolved, closed or merged, well again
by what was to prove it, or with other values than those that were shown, nothing more of it is
begun; a person is asked about what is left, under another hash. What a stopped plan has done and
has not undone is said. Users may look well because a step sheds load: what takes that back, and the
wait for it, goes on; a further change does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.core.state.incidents import Incident
from midwatch.core.state.runs import Run
from midwatch.core.values.plans import ASK, ROLLBACK, WAIT, Plan, PlannedStep

OPEN = ("open", "acknowledged")


def over(incident: Incident, run: Run) -> str:
    """Say why nothing more of a plan of an incident may begin, "" when it may.

    What takes back an earlier step may also be done once users are well.

    >>> over(Incident("INC-1", "shop", "", "slow", 0, state="mitigated"), Run("shop"))
    'INC-1 is mitigated'
    """
    if incident.state not in (*OPEN, "mitigated") or (
        incident.state == "mitigated" and not run.takes_back
    ):
        return f"{incident.id} is {incident.state}"
    if run.takes_back or _only_undoes(run):
        return ""
    proofs = incident.proofs_of(run)
    if proofs:
        well = run.looks == "recovered" or all(incident.slos.get(one) for one in proofs)
        return f"{' and '.join(proofs)} has recovered" if well else ""
    service = incident.acts_for(run)
    trouble = incident.troubles.get(service)
    return f"no alert of {service} fires any more" if trouble and not trouble.firing else ""


def _only_undoes(run: Run) -> bool:
    """Say whether the next step undoes what was done, or waits before that."""
    if run.state != "running" or not run.has_changed or run.plan is None:
        return False
    done = {one.id for one in run.plan.steps[: run.step]}
    left = run.plan.steps[run.step :]
    return bool(left) and (left[0].undoes in done or left[0].action == WAIT)


def needs(step: PlannedStep) -> bool:
    """Say whether a step needs a consent that still holds; what only looks or pages does not.

    >>> needs(PlannedStep("look", "http.request", "GET /", "read"))
    False
    """
    return step.changes or step.action in (ASK, WAIT)


def progress(run: Run) -> str:
    """Tell how far a plan came: what is done, and what is not.

    >>> steps = tuple(PlannedStep(one, "x.y", one, "reversible") for one in ("shed", "restore"))
    >>> progress(Run("shop", plan=Plan("shed", 1, steps), step=1))
    'done: shed; not done: restore'
    """
    steps = run.plan.steps if run.plan else ()
    done = [one.id for one in steps[: run.step]]
    left = [one.id for one in steps[run.step :]]
    return f"done: {', '.join(done) or 'nothing'}; not done: {', '.join(left) or 'nothing'}"


def difference(
    before: Sequence[PlannedStep], now: Sequence[PlannedStep], was: str = "approved"
) -> str:
    """Say what steps would do that is not what `was` approved or shown, "" when it is the same.

    How a step is seen to be done is no value: that may be written better meanwhile.

    >>> one = PlannedStep("wait", "wait", "wait 1 min", "read", given={"for_s": 60})
    >>> other = PlannedStep("wait", "wait", "wait 2 min", "read", given={"for_s": 120})
    >>> difference([one], [one]), difference([one], [other])
    ('', 'wait would be "wait 2 min", approved was "wait 1 min"')
    """
    found: list[str] = []
    for old, new in zip(before, now, strict=True):
        if _what(old) != _what(new):
            how = "had other values" if old.says == new.says else f'was "{old.says}"'
            found.append(f'{old.id} would be "{new.says}", {was} {how}')
    return "; ".join(found)


def _what(step: PlannedStep) -> tuple[object, ...]:
    return step.id, step.action, step.risk, step.given, step.apply


def settled(plan: Plan, done: int, live: str) -> frozenset[str]:
    """Name the values that a plan's own finished steps were to change, and that are as they left.

    >>> back = PlannedStep("back", ROLLBACK, "", "destructive", given={"target": "v1"})
    >>> roll = Plan("roll", 1, (back,))
    >>> sorted(settled(roll, 1, "v1")), sorted(settled(roll, 1, "v3"))
    (['last_good', 'live'], [])
    """
    moved = [one for one in plan.steps[:done] if one.action == ROLLBACK]
    if moved and moved[-1].given.get("target") == live:
        return frozenset(("live", "last_good"))
    return frozenset()


def to_take_back(run: Run, *, begun: bool = False) -> tuple[PlannedStep, ...]:
    """List the steps left that undo one that was done; of a take-back all that are left.

    `begun` when the next step was begun: a take-back is not proposed to do that a second time.
    """
    plan = run.plan
    if plan is None:
        return ()
    if plan.takes_back:
        return plan.steps[run.step + begun :]
    done = {one.id for one in plan.steps[: run.step]}
    return tuple(one for one in plan.steps[run.step :] if one.undoes in done)


def is_under_way(run: Run) -> bool:
    """Say whether something of it is being done in the world; waiting is nothing."""
    if not run.operation:
        return False
    plan = run.plan
    if run.state != "running" or plan is None or run.step >= len(plan.steps):
        return True
    return plan.steps[run.step].action != WAIT
