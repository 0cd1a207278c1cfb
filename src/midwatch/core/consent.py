"""When a consent has ended: the world that a plan was approved for is another one.

Law: a plan is approved for one incident as it is. Mitigated, resolved, closed or merged, well again
by what was to prove it, or with other values than those that were shown, nothing more of it is
begun; a person is asked about what is left, under another hash. What a stopped plan has done and
has not undone is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from midwatch.core.incidents import Incident
from midwatch.core.plans import ASK, ROLLBACK, WAIT, Plan, PlannedStep

OPEN = ("open", "acknowledged")


def over(incident: Incident) -> str:
    """Say why nothing more of an incident's plan may begin, "" when it may.

    What takes back an earlier step may also be done once users are well.

    >>> over(Incident("INC-1", "shop", "", "slow", 0, state="mitigated"))
    'INC-1 is mitigated'
    """
    taking_back = incident.plan is not None and incident.plan.takes_back
    if incident.state not in (*OPEN, "mitigated") or (
        incident.state == "mitigated" and not taking_back
    ):
        return f"{incident.id} is {incident.state}"
    if taking_back:
        return ""
    if incident.proofs:
        well = all(incident.slos.get(one) for one in incident.proofs)
        return f"{' and '.join(incident.proofs)} is well again" if well else ""
    service = incident.planned_for
    trouble = incident.troubles.get(service)
    return f"no alert of {service} fires any more" if trouble and not trouble.firing else ""


def needs(step: PlannedStep) -> bool:
    """Say whether a step needs a consent that still holds; what only looks or pages does not.

    >>> needs(PlannedStep("look", "http.request", "GET /", "read"))
    False
    """
    return step.changes or step.action in (ASK, WAIT)


def progress(incident: Incident) -> str:
    """Tell how far a plan came: what is done, and what is not.

    >>> steps = tuple(PlannedStep(one, "x.y", one, "reversible") for one in ("shed", "restore"))
    >>> one = Incident("INC-1", "shop", "", "slow", 0, plan=Plan("shed", 1, steps), step=1)
    >>> progress(one)
    'done: shed; not done: restore'
    """
    steps = incident.plan.steps if incident.plan else ()
    done = [one.id for one in steps[: incident.step]]
    left = [one.id for one in steps[incident.step :]]
    return f"done: {', '.join(done) or 'nothing'}; not done: {', '.join(left) or 'nothing'}"


def difference(approved: Sequence[PlannedStep], now: Sequence[PlannedStep]) -> str:
    """Say what steps would do that is not what was approved, "" when they would do the same.

    How a step is seen to be done is no value: that may be written better meanwhile.

    >>> one = PlannedStep("wait", "wait", "wait 1 min", "read", given={"for_s": 60})
    >>> other = PlannedStep("wait", "wait", "wait 2 min", "read", given={"for_s": 120})
    >>> difference([one], [one]), difference([one], [other])
    ('', 'wait would be "wait 2 min", approved was "wait 1 min"')
    """
    found: list[str] = []
    for old, new in zip(approved, now, strict=True):
        if _what(old) != _what(new):
            how = "had other values" if old.says == new.says else f'was "{old.says}"'
            found.append(f'{old.id} would be "{new.says}", approved {how}')
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


def to_take_back(incident: Incident) -> tuple[PlannedStep, ...]:
    """List the steps left that undo one that was done."""
    plan = incident.plan
    if plan is None or plan.takes_back:
        return ()
    done = {one.id for one in plan.steps[: incident.step]}
    return tuple(one for one in plan.steps[incident.step :] if one.undoes in done)


def is_under_way(incident: Incident) -> bool:
    """Say whether something of it is being done in the world; waiting is nothing."""
    if not incident.operation:
        return False
    plan = incident.plan
    if incident.run != "running" or plan is None or incident.step >= len(plan.steps):
        return True
    return plan.steps[incident.step].action != WAIT
