"""Plans as people see them: what would be done, how far it is, and what stands in the way.

Law: read only. A plan that is looked at beforehand is made by the same function as one that is
carried out, of the same state.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from midwatch.core.rules import proposing
from midwatch.core.rules.rules import Rules
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.runs import ASKS, UNDER_WAY, Run
from midwatch.core.state.shard import Shard
from midwatch.core.values import automation
from midwatch.core.values.clock import show_duration
from midwatch.core.values.plans import ASK, Plan, PlannedStep
from midwatch.core.values.slo import Verify
from midwatch.errors import StateError


class StepView(Struct, frozen=True):
    """One step: what it would do, how much it may break, who approves it, and how far it is.

    `state` is next, under way, waiting, done or open.
    """

    step: str
    action: str
    says: str
    risk: str
    approval: str
    state: str


class PlanView(Struct, frozen=True):
    """A plan for one incident; `state` is new for one that is only looked at.

    `service` is the one that it acts on, `hash` what an approval binds to, `proves` what has to be
    seen afterwards.
    """

    incident: str
    runbook: str
    version: int
    hash: str
    state: str
    steps: list[StepView]
    proves: str
    automatic: str = ""
    approved_by: str = ""
    recovery: str = ""  # how it stood when it was last judged
    given: dict[str, str] = field(default_factory=dict[str, str])
    service: str = ""

    @property
    def asks(self) -> bool:
        """Whether a person is waited for."""
        return self.state in ASKS

    @property
    def is_under_way(self) -> bool:
        """Whether it was begun and has no end yet."""
        return self.state in UNDER_WAY


def view(incident: Incident) -> PlanView | None:
    """Show the leading plan of an incident, None when it has none."""
    return _view(incident, incident.lead)


def views(incident: Incident) -> list[PlanView]:
    """Show every plan of an incident: the leading one, what is under way or waits, what ended."""
    lead = incident.lead
    rest = [one for one in incident.plans if one is not lead]
    rest.sort(key=lambda one: not (one.is_under_way or one.asks_somebody))
    found = (_view(incident, one) for one in (lead, *rest))
    return [one for one in found if one is not None]


def _view(incident: Incident, run: Run) -> PlanView | None:
    plan = run.plan
    if plan is None or run.state == "none":
        return None
    steps = [_step(step, _state(run, number)) for number, step in enumerate(plan.steps)]
    return PlanView(
        incident.id,
        plan.runbook,
        plan.version,
        plan.hash,
        run.state,
        steps,
        proves(plan.verify, *(incident.proofs_of(run) or (incident.slo,))),
        "",
        run.approved_by,
        run.looks,
        dict(run.given),
        incident.acts_for(run),
    )


def draft(
    rules: Rules,
    shard: Shard,
    incident: Incident,
    book_id: str,
    given: Mapping[str, str],
    now: int,
    service: str = "",
) -> PlanView:
    """Make the plan that a runbook would be now, without a name the one that fits best.

    `service` is the one that is meant, where it could act on several of the incident.
    Raises StateError or InputError when it cannot be done.
    """
    d, means = Decision(shard, max(now, shard.at)), rules.means(incident)
    name = book_id or incident.runbook
    if name:
        present = name == incident.runbook and incident.plan is not None
        service = service or (incident.planned_for if present else "")
        shown = incident.lead if present else Run()
        plan = proposing.plan_of(d, means, incident, name, given or shown.given, service)
    else:
        found, why_not = proposing.best(d, means, incident)
        if found is None:
            raise StateError(why_not, place=incident.id, remedy="choose one with --runbook")
        plan = found
    return _new(rules, d, incident, plan, given)


def _new(
    rules: Rules, d: Decision, incident: Incident, plan: Plan, given: Mapping[str, str]
) -> PlanView:
    steps = [_step(step, "open") for step in plan.steps]
    _, leave = automation.may_run(
        rules.books.automation,
        d.shard.remediations,
        plan.service or "",
        incident.severity or "sev1",
        plan,
        d.now,
        d.wall,
    )
    return PlanView(
        incident.id,
        plan.runbook,
        plan.version,
        plan.hash,
        "new",
        steps,
        proves(plan.verify, *(plan.proofs or (incident.slo,))),
        leave.says,
        given=dict(given),
        service=plan.service or "",
    )


def _step(step: PlannedStep, state: str) -> StepView:
    approval = "no approval needed"
    if step.role:
        approval = f"a {step.role} approves, for {show_duration(step.ttl_s)}"
    elif step.action == ASK:
        approval = "a person answers"
    return StepView(step.id, step.action, step.says, step.risk, approval, state)


def _state(run: Run, number: int) -> str:
    if number < run.step:
        return "done"
    if number > run.step or run.state == "ended":
        return "open"
    if run.state == "waiting":
        return "waiting"
    return "under way" if run.state == "running" else "next"


def proves(verify: Verify, *slos: str) -> str:
    """Say what has to be seen after a plan, by its objectives.

    >>> proves(Verify(), "shop/answers")
    'shop/answers burns below 1x for 5 min with at least 30 events, within 30 min'
    """
    within = show_duration(verify.deadline_s)
    if not any(slos):
        return f"every alert is resolved (no SLI), within {within}"
    burn = f"{' and '.join(slos)} burn{'' if len(slos) > 1 else 's'}"
    return (
        f"{burn} below {verify.burn_below}x for {show_duration(verify.window_s)} with at least"
        f" {verify.min_events} events, within {within}"
    )
