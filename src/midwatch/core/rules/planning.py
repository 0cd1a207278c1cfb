"""The plan that a runbook makes for an incident, and how it is proposed.

Law: a plan belongs to what matched, and says so: its service, what verifies it and its values are
in its hash. What it would do is made out of the world as it is; where a value is missing, or a step
cannot be done, there is no plan. Another plan than the one shown before has a hash of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct, field

from midwatch.core.rules import (
    consent,
    pointers,
    subjects,
)
from midwatch.core.rules.subjects import Subject
from midwatch.core.state import events, releases
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.runs import Run, named
from midwatch.core.values import actions
from midwatch.core.values.actions import Action, Deed, Request
from midwatch.core.values.automation import Automation
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.plans import (
    ABORT,
    ASK,
    COMMAND,
    PAGE,
    REQUEST,
    ROLLBACK,
    WAIT,
    WITHIN_S,
    Plan,
    PlannedStep,
    Runbook,
    Step,
    sealed,
)
from midwatch.core.values.reasons import Reason
from midwatch.core.values.teams import Policy
from midwatch.core.values.topology import Topology
from midwatch.errors import InputError, StateError

RULE = "runbooks/2"


class Books(Struct, frozen=True):
    """What people wrote: runbooks, the named actions they use, and what may run by itself."""

    runbooks: tuple[Runbook, ...] = ()
    actions: dict[str, Action] = field(default_factory=dict[str, Action])
    automation: Automation = Automation()
    moves: bool = True  # whether anything moves traffic


class Means(Struct, frozen=True):
    """What a run is decided with: the books, who is paged for the incident, who calls whom.

    `reconsider` looks for what fits next, once a plan has ended.
    """

    books: Books
    policy: Policy
    topology: Topology
    policy_of: Callable[[Incident], Policy]
    reconsider: Callable[[Decision, Means, Incident], None]


def make_plan(
    d: Decision,
    books: Books,
    book: Runbook,
    incident: Incident,
    subject: Subject,
    given: Mapping[str, str],
) -> Plan:
    """Fill a runbook in for what it matched in an incident, as the world is now.

    Raises InputError when a value is missing or does not fit, StateError when a step cannot be
    done now.
    """
    unknown = sorted(set(given) - set(book.params))
    if unknown:
        known = ", ".join(book.params) or "none"
        raise InputError(f"{book.id} has no value {unknown[0]!r}", remedy=f"use one of {known}")
    values = _values(d, books, book, incident, subject, given)
    steps = tuple(_planned(d, books, step, incident, subject, values) for step in book.steps)
    plan = Plan(
        book.id,
        book.version,
        steps,
        "",
        book.verify,
        book.resolves,
        subject.service,
        subject.proofs,
        values,
    )
    return sealed(plan, place_of(incident, proposed_for(incident, subject.name)))


def _values(
    d: Decision,
    books: Books,
    book: Runbook,
    incident: Incident,
    subject: Subject,
    given: Mapping[str, str],
    held: Mapping[str, str] = {},
) -> dict[str, str]:
    """Gather what is put in; each was checked, and what does not fit is an error.

    `held` are values of a plan that is under way, which stay where nothing says otherwise.
    """
    needed = places_needed(books, book)
    service = subject.service
    pointer = d.shard.pointers.get(service)
    own = {
        "service": service,
        "incident": incident.id,
        "slo": subject.proofs[0] if len(subject.proofs) == 1 else "",
        "severity": incident.severity or "",
        "live": pointer.live if pointer else "",
        "last_good": pointer.last_good if pointer else "",
    }
    values = {
        name: actions.checked(name, value, actions.PLAIN)
        for name, value in own.items()
        if value and name in needed
    }
    for name, param in book.params.items():
        if name not in needed and name not in given:
            continue
        said = given.get(name) or subjects.label(incident, service, param.label)
        value = said or held.get(name) or param.default
        if value:
            values[name] = actions.checked(name, value, param.pattern)
    return values


def make_again(d: Decision, means: Means, incident: Incident, run: Run) -> Plan:
    """Make the steps of a plan that are not begun, as they would be now.

    Values that its own finished steps changed count as they were. Raises InputError or StateError
    when what is left cannot be done any more.
    """
    plan = cast("Plan", run.plan)
    book = book_of(means.books, plan.runbook)
    steps = {step.id: step for step in book.steps}
    left = [step.id for step in plan.steps[run.step :]]
    if gone := [name for name in left if name not in steps]:
        raise StateError(f"{book.id} has no step {gone[0]} any more", remedy="make a new plan")
    rest = msgspec.structs.replace(book, steps=tuple(steps[name] for name in left))
    # In midwatch 0.1 `slo` was the objective that burned first, whatever burned besides.
    proofs = (incident.slo,) if plan.service is None else incident.proofs_of(run)
    subject = Subject(incident.acts_for(run), proofs)
    pointer = d.shard.pointers.get(subject.service)
    own = consent.settled(plan, run.step, pointer.live if pointer else "")
    values = _values(d, means.books, rest, incident, subject, run.given, plan.values)
    values |= {name: value for name, value in plan.values.items() if name in own}
    made = [_planned(d, means.books, step, incident, subject, values) for step in rest.steps]
    return msgspec.structs.replace(
        plan, steps=(*plan.steps[: run.step], *made), values={**plan.values, **values}
    )


def book_of(books: Books, name: str) -> Runbook:
    """Find a runbook. Raises StateError."""
    book = next((one for one in books.runbooks if one.id == name), None)
    if book is None:
        known = ", ".join(one.id for one in books.runbooks) or "none"
        raise StateError(f"no runbook is named {name!r}", remedy=f"use one of {known}")
    return book


def places_needed(books: Books, book: Runbook) -> set[str]:
    """Name the values that a runbook puts in somewhere."""
    found: set[str] = set()
    for step in book.steps:
        for part in (step.given, step.deed, step.observe):
            found |= actions.places_of(part)
        if step.action in books.actions:
            found |= books.actions[step.action].places
    return found


def _planned(
    d: Decision,
    books: Books,
    step: Step,
    incident: Incident,
    subject: Subject,
    values: Mapping[str, Any],
) -> PlannedStep:
    given = cast("dict[str, Any]", actions.put(step.given, values))
    apply, observe, within_s = step.deed, step.observe, step.within_s
    idempotent = step.idempotent
    if step.action == ROLLBACK:
        says, given = _rollback_says(d, books, incident, subject.service)
    elif step.action == ABORT:
        says, given = _abort_says(d, subject.service)
    elif step.action == PAGE:
        says = f"page {given['to']}: {given['says']}"
    elif step.action == WAIT:
        says = f"wait {show_duration(given['for_s'])}"
    elif step.action == ASK:
        says = f"ask {given['says']!r}"
    else:
        if step.action not in (REQUEST, COMMAND):
            action = books.actions.get(step.action)
            if action is None:
                raise InputError(f"no action is named {step.action!r}", remedy="add it to actions")
            apply, observe, within_s = action.apply, action.observe, action.within_s
            idempotent = action.idempotent
        inside = {**values, **given}
        apply = actions.filled(cast("Deed", apply), inside)
        observe = actions.filled(observe, inside) if observe else None
        says = f"{step.action} by {_told(apply)}"
    role = step.role if step.risk != "read" else ""
    if observe and step.risk != "read":
        within_s = within_s or WITHIN_S
    return PlannedStep(
        step.id,
        step.action,
        says,
        step.risk,
        role,
        step.ttl_s,
        step.timeout_s,
        given,
        apply,
        observe,
        within_s,
        idempotent,
        step.keeps,
        step.undoes,
    )


def _told(deed: Deed) -> str:
    if isinstance(deed, Request) and deed.body:
        return f"{deed.says} {msgspec.json.encode(deed.body).decode()}"
    return deed.says


def _rollback_says(
    d: Decision, books: Books, incident: Incident, service: str
) -> tuple[str, dict[str, Any]]:
    """Say where a rollback would go. Raises StateError when it would go nowhere."""
    if not books.moves:
        raise StateError("no router is configured to move traffic", remedy="add routers")
    pointer = d.shard.pointers.get(service)
    if incident.was_rolled_back(service):
        raise StateError(f"{service} was rolled back already", remedy="a person has to look")
    if pointer is None:
        raise StateError(
            f"no release is registered for {service}", remedy="register the live release"
        )
    since = (d.now - pointer.rolled_back_at) // SECOND
    if pointer.rolled_back_at and since < pointers.COOL_DOWN_S:
        says = f"{service} was rolled back {show_duration(since)} ago: a person has to look"
        raise StateError(says, remedy="run midwatch release rollback")
    target, reason = releases.rollback_target(pointer)
    if not target:
        raise StateError(reason.says, remedy="register a release that is good")
    says = f"{ROLLBACK} {service} {pointer.live} -> {target} at epoch {pointer.epoch + 1}"
    return says, {"service": service, "live": pointer.live, "target": target}


def _abort_says(d: Decision, service: str) -> tuple[str, dict[str, Any]]:
    pointer = d.shard.pointers.get(service)
    if pointer is None or pointer.canary is None:
        raise StateError(f"no canary of {service} is under way", remedy="no action is needed")
    candidate = pointer.canary.release
    return f"{ABORT} {service}: {candidate} is taken off", {"candidate": candidate}


def place_of(incident: Incident, run: Run | None = None) -> str:
    """Name what a hash is for: the incident, and how often it asked or began again before."""
    asks = incident.asks if run is None else run.asks
    return f"{incident.ref}/{asks}" if asks else incident.ref


def subject_of(incident: Incident, run: Run) -> str:
    """Name what a plan is for, also one of a journal that does not say it."""
    if run.subject:
        return run.subject
    return Subject(incident.acts_for(run), incident.proofs_of(run)).name


def proposed_for(incident: Incident, subject: str, plan: Plan | None = None) -> Run | None:
    """Find what is proposed for a subject and gives its place to `plan`, or to a plain one."""
    new = Run(plan=plan)
    proposed = (one for one in incident.plans if one.state == "proposed" and new.replaces(one))
    return next((one for one in proposed if subject_of(incident, one) == subject), None)


def key_of(purpose: str, incident: Incident, run: Run) -> str:
    """Name the timer of a plan."""
    return f"{purpose}/{incident.id}/{run.hash}"


def timed(incident: Incident, plan_hash: str) -> Run | None:
    """Find the plan of a timer; one of a journal with one plan an incident does not name it."""
    if plan_hash:
        return named(incident.plans, plan_hash)
    return incident.lead if incident.plans else None


def propose(
    d: Decision,
    incident: Incident,
    plan: Plan,
    subject: str,
    given: Mapping[str, str],
    reason: Reason,
    by: str = "",
    *,
    seen: bool = False,
) -> Run:
    """Propose a plan in the place of what was proposed for its subject; gives it.

    Another plan than that has a hash that was never shown, though it may have been proposed before:
    the button of its first message does nothing. One that a person has `seen` keeps its hash.
    """
    old = proposed_for(incident, subject, plan)
    if old is not None and old.hash != plan.hash:
        d.cancel_timer(key_of("automate", incident, old))
        plan = plan if seen else sealed(plan, f"{incident.ref}/{incident.asks + 1}")
    d.emit(
        events.PlanProposed(
            incident=incident.id,
            runbook=plan.runbook,
            version=plan.version,
            plan_hash=plan.hash,
            steps=plan.lines,
            reason=reason,
            plan=plan,
            by=by,
            given=dict(given),
            subject=subject,
        )
    )
    return cast("Run", named(incident.plans, plan.hash))


def withdraw(d: Decision, incident: Incident, run: Run, why: str) -> None:
    """Take back what was proposed and nobody approved."""
    says = f"{run.runbook} was proposed for {incident.acts_for(run)}: {why}"
    if run.plan is not None and run.plan.takes_back:
        left = ", ".join(one.undoes for one in run.plan.steps)
        says = f"{says}; {left} is done and not reverted"
    d.emit(events.PlanStopped(incident=incident.id, plan_hash=run.hash, reason=Reason(RULE, says)))
    d.cancel_timer(key_of("automate", incident, run))
