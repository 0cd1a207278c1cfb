"""Which runbook fits, the plan it makes, and carrying that plan out, step by step.

Law: midwatch proposes and a person approves, unless a policy names it; an approval binds to the
hash of the plan that was shown, expires, and a world that moved on needs a new one: before each
approval and each step the rest is made again and compared (`consent` says when it is over). One
remediation at a time for each service, one rollback an incident. Each step is written before it is
begun and counts when it was seen; what cannot be seen, or did not help, pages a human and the next
runbook that fits is proposed. A rollback pre-empts a fix under way.

    state      -> next       when
    proposed   -> running    approved by a person or a policy
    running    -> waiting    a step asks, its approval has expired or its values are others;
                             approved by the new hash, it runs on
    running    -> verifying  all steps are done, and something was changed
    verifying  -> ended      users are well, or are not known to be in time: then a human is paged
    any        -> ended      refused, stopped, failed, or the world is another one
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct, field

from midwatch.core import (
    actions,
    automation,
    causes,
    consent,
    effects,
    escalation,
    events,
    fixes,
    inputs,
    pointers,
    releases,
    rollouts,
    subjects,
)
from midwatch.core.actions import Action, Deed, Request
from midwatch.core.automation import Automation
from midwatch.core.clock import SECOND, show_duration
from midwatch.core.decision import Decision
from midwatch.core.incidents import UNDER_WAY, Incident
from midwatch.core.inputs import ActionAnswered, ReleaseAnswered, Timer
from midwatch.core.plans import (
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
    best_first,
    sealed,
)
from midwatch.core.reasons import Reason, Term
from midwatch.core.silences import all_fit
from midwatch.core.slo import RecoveryVerdict, Verify
from midwatch.core.subjects import Subject
from midwatch.core.teams import Policy
from midwatch.core.topology import Topology
from midwatch.core.traffic import Traffic
from midwatch.errors import InputError, StateError

RULE = "runbooks/2"
MAX_ATTEMPTS = 3
RETRY_S = 5
SHOWN = 300


class Books(Struct, frozen=True):
    """What people wrote: runbooks, the named actions they use, and what may run by itself."""

    runbooks: tuple[Runbook, ...] = ()
    actions: dict[str, Action] = field(default_factory=dict[str, Action])
    automation: Automation = Automation()
    moves: bool = True  # whether anything moves traffic


class Means(Struct, frozen=True):
    """What a run is decided with: the books, who is paged for the incident, who calls whom."""

    books: Books
    policy: Policy
    topology: Topology


# --- making a plan ------------------------------------------------------------------------------


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
        raise InputError(f"{book.id} has no value {unknown[0]!r}", remedy=f"known are {known}")
    values = _values(d, books, book, incident, subject, given)
    steps = tuple(_planned(d, books, step, incident, subject, values) for step in book.steps)
    plan = Plan(
        book.id, book.version, steps, "", book.verify, book.resolves, subject.service,
        subject.proofs, values,
    )  # fmt: skip
    return sealed(plan, _place(incident))


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


def make_again(d: Decision, means: Means, incident: Incident) -> Plan:
    """Make the steps of an incident's plan that are not begun, as they would be now.

    Values that its own finished steps changed count as they were. Raises InputError or StateError
    when what is left cannot be done any more.
    """
    plan = cast("Plan", incident.plan)
    book = _book(means.books, plan.runbook)
    steps = {step.id: step for step in book.steps}
    left = [step.id for step in plan.steps[incident.step :]]
    if gone := [name for name in left if name not in steps]:
        raise StateError(f"{book.id} has no step {gone[0]} any more", remedy="make a new plan")
    rest = msgspec.structs.replace(book, steps=tuple(steps[name] for name in left))
    subject = Subject(incident.planned_for, incident.proofs)
    pointer = d.shard.pointers.get(subject.service)
    own = consent.settled(plan, incident.step, pointer.live if pointer else "")
    values = _values(d, means.books, rest, incident, subject, incident.given, plan.values)
    values |= {name: value for name, value in plan.values.items() if name in own}
    made = [_planned(d, means.books, step, incident, subject, values) for step in rest.steps]
    return msgspec.structs.replace(
        plan, steps=(*plan.steps[: incident.step], *made), values={**plan.values, **values}
    )


def _book(books: Books, name: str) -> Runbook:
    """Find a runbook. Raises StateError."""
    book = next((one for one in books.runbooks if one.id == name), None)
    if book is None:
        known = ", ".join(one.id for one in books.runbooks) or "none"
        raise StateError(f"no runbook is called {name!r}", remedy=f"known are {known}")
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
                raise InputError(f"no action is called {step.action!r}", remedy="add it to actions")
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
        step.id, step.action, says, step.risk, role, step.ttl_s, step.timeout_s, given, apply,
        observe, within_s, idempotent, step.keeps, step.undoes,
    )  # fmt: skip


def _told(deed: Deed) -> str:
    if isinstance(deed, Request) and deed.body:
        return f"{deed.says} {msgspec.json.encode(deed.body).decode()}"
    return deed.says


def _rollback_says(
    d: Decision, books: Books, incident: Incident, service: str
) -> tuple[str, dict[str, Any]]:
    """Say where a rollback would go. Raises StateError when it would go nowhere."""
    if not books.moves:
        raise StateError("nothing is configured that moves traffic", remedy="add routers")
    pointer = d.shard.pointers.get(service)
    if incident.rollbacks:
        raise StateError(f"{incident.id} was rolled back already", remedy="a person has to look")
    if pointer is None:
        raise StateError(f"no release is registered for {service}", remedy="register what is live")
    since = (d.now - pointer.rolled_back_at) // SECOND
    if pointer.rolled_back_at and since < pointers.COOL_DOWN_S:
        says = f"{service} was rolled back {show_duration(since)} ago: a person has to look"
        raise StateError(says, remedy="midwatch release rollback")
    target, reason = releases.rollback_target(pointer)
    if not target:
        raise StateError(reason.says, remedy="register a release that is good")
    says = f"{ROLLBACK} {service} {pointer.live} -> {target} at epoch {pointer.epoch + 1}"
    return says, {"service": service, "live": pointer.live, "target": target}


def _abort_says(d: Decision, service: str) -> tuple[str, dict[str, Any]]:
    pointer = d.shard.pointers.get(service)
    if pointer is None or pointer.canary is None:
        raise StateError(f"no canary of {service} is under way", remedy="nothing is to be done")
    candidate = pointer.canary.release
    return f"{ABORT} {service}: {candidate} is taken off", {"candidate": candidate}


# --- proposing ----------------------------------------------------------------------------------


def consider(d: Decision, means: Means, incident: Incident) -> None:
    """Propose the plan that fits best, or say that nothing fits; begin it when a policy says so."""
    if incident.state not in ("open", "acknowledged") or incident.operation:
        return
    if incident.run in UNDER_WAY or not _is_urgent(incident, means.books):
        return
    if incident.run == "proposed" and (incident.chosen_by or _takes_back(incident)):
        return  # a person chose it, or it comes first
    found, why_not = best(d, means, incident)
    if found is None:
        if incident.run == "proposed":
            _withdraw(d, incident, why_not)
        if incident.run != "proposed" and why_not != incident.no_runbook:
            d.emit(events.NoRunbook(incident.id, Reason(RULE, why_not, {"slo": incident.slo})))
        return
    book, subject, plan = found
    if incident.run == "proposed" and plan.hash == incident.plan_hash:
        return
    policy, leave = _leave(d, means, incident, plan)
    says = f"{book.id} v{book.version} matches {subject.name}; {leave.says}"
    terms: dict[str, Term] = {**leave.terms, "conditions": book.match.conditions}
    _propose(d, incident, plan, {}, Reason(RULE, says, terms))
    _begin_or_ask_again(d, means, incident, policy, leave)


def _begin_or_ask_again(
    d: Decision, means: Means, incident: Incident, policy: str, leave: Reason
) -> None:
    """Begin what a policy allows; what only hours or a cool-down hold back is asked of later."""
    key = f"automate/{incident.id}"
    if policy:
        d.cancel_timer(key)
        _approved(d, incident, automation.by(policy), leave)
        _advance(d, means, incident)
        return
    due_at = None
    if incident.plan is not None and _busy(d, incident, incident.planned_for) is None:
        due_at = automation.again_at(
            means.books.automation, d.shard.remediations, incident.planned_for,
            incident.severity or "sev1", incident.plan, d.now, d.wall,
        )  # fmt: skip
    if due_at is not None:
        d.set_timer(Timer(key, due_at, "automate", incident.id))


def on_automate_timer(d: Decision, means: Means, incident: Incident) -> None:
    """Ask the policies again, of the plan as it would be now."""
    if incident.run != "proposed" or incident.chosen_by or _takes_back(incident):
        return
    before = incident.plan_hash
    consider(d, means, incident)
    if incident.run == "proposed" and incident.plan_hash == before and incident.plan is not None:
        policy, leave = _leave(d, means, incident, incident.plan)
        _begin_or_ask_again(d, means, incident, policy, leave)


def _takes_back(incident: Incident) -> bool:
    return incident.plan is not None and incident.plan.takes_back


def _withdraw(d: Decision, incident: Incident, why: str) -> None:
    """Take back what was proposed and nobody approved."""
    says = f"{incident.runbook} was proposed for {incident.planned_for}: {why}"
    if incident.plan is not None and incident.plan.takes_back:
        left = ", ".join(one.undoes for one in incident.plan.steps)
        says = f"{says}; {left} is done and is not undone"
    d.emit(events.PlanStopped(incident.id, incident.plan_hash, Reason(RULE, says)))
    d.cancel_timer(f"automate/{incident.id}")


def take_away(d: Decision, incident: Incident, why: str) -> None:
    """Take back what was proposed for an incident that goes on as part of another."""
    if incident.run == "proposed":
        _withdraw(d, incident, why)


def is_named(books: Books, labels: Mapping[str, str]) -> bool:
    """Say whether a runbook asks for an alert with these labels."""
    return any(all_fit(book.match.labels, labels) for book in books.runbooks)


def _is_urgent(incident: Incident, books: Books) -> bool:
    """Say whether a human is wanted: who is not paged is left alone with plans too."""
    return bool(incident.slo) or (incident.urgency == "page" and bool(books.runbooks))


def best(
    d: Decision, means: Means, incident: Incident
) -> tuple[tuple[Runbook, Subject, Plan] | None, str]:
    """Find the runbook that fits best and can be done; or say why there is none."""
    why_not = f"no runbook matches {incident.slo or incident.speaks_of or 'it'}"
    cause, about = _cause(d, means, incident), incident.service_of_plan
    fitting = [
        (book, subject)
        for book in best_first(means.books.runbooks)
        for subject in subjects.fitting(book.match, incident, cause)
    ]
    # First what is for the service that the page speaks of, then what is for another of it.
    fitting.sort(key=lambda one: one[0].match.asks_for_alerts and one[1].service != about)
    for book, subject in fitting:
        if incident.has_tried(book.id, subject.service):
            why_not = f"{book.id} was tried, and nothing else matches {subject.name}"
            continue
        try:
            plan = make_plan(d, means.books, book, incident, subject, {})
        except (InputError, StateError) as error:
            why_not = f"{book.id} matches {subject.name}, and cannot be done: {error.message}"
            continue
        return (book, subject, plan), ""
    return None, why_not


def _cause(d: Decision, means: Means, incident: Incident) -> str:
    """Name the likeliest cause, where a runbook asks for one."""
    if not any(book.match.cause for book in means.books.runbooks):
        return ""
    likely = causes.rank(incident, means.topology, d.shard.changes)
    return likely[0].service if likely else ""


def _leave(d: Decision, means: Means, incident: Incident, plan: Plan) -> tuple[str, Reason]:
    """Ask whether the plan may begin by itself."""
    service = plan.service or ""
    other = _busy(d, incident, service)
    if other is not None:
        says = f"a person approves: {other.id} has a plan for {service} under way"
        return "", Reason(automation.RULE, says)
    return automation.may_run(
        means.books.automation, d.shard.remediations, service, incident.severity or "sev1", plan,
        d.now, d.wall,
    )  # fmt: skip


def _busy(d: Decision, incident: Incident, service: str) -> Incident | None:
    """Find another incident that has a plan for a service under way."""
    return next(
        (
            one
            for one in (d.shard.incidents[name] for name in d.shard.open)
            if one.id != incident.id
            and (one.run in UNDER_WAY or one.operation)
            and one.planned_for == service
        ),
        None,
    )


def _propose(
    d: Decision,
    incident: Incident,
    plan: Plan,
    given: Mapping[str, str],
    reason: Reason,
    by: str = "",
) -> None:
    d.emit(
        events.PlanProposed(
            incident.id, plan.runbook, plan.version, plan.hash, plan.lines, reason, plan, by,
            dict(given),
        )
    )  # fmt: skip


def choose(d: Decision, means: Means, incident: Incident, given: inputs.ProposePlan) -> None:
    """Propose the runbook that a person names. Raises StateError or InputError."""
    _must_be_open(incident)
    if incident.operation or (incident.run in UNDER_WAY and incident.run != "verifying"):
        raise StateError(
            f"{incident.id} has {incident.runbook} under way", remedy="wait for its end"
        )
    plan = plan_of(d, means, incident, given.runbook, given.given, given.service)
    says = f"{given.by} chose {plan.runbook} v{plan.version}"
    _propose(d, incident, plan, given.given, Reason(RULE, says, {"by": given.by}), given.by)


def plan_of(
    d: Decision,
    means: Means,
    incident: Incident,
    name: str,
    given: Mapping[str, str],
    service: str = "",
) -> Plan:
    """Make the plan of the runbook of this name. Raises StateError or InputError.

    `service` is the one that is meant, where the runbook could act on several of the incident.
    """
    book = _book(means.books, name)
    subject = subjects.chosen(book.match, incident, _cause(d, means, incident), service)
    return make_plan(d, means.books, book, incident, subject, given)


def _must_be_open(incident: Incident, *, takes_back: bool = False) -> None:
    if incident.state not in ("open", "acknowledged", *(("mitigated",) if takes_back else ())):
        raise StateError(
            f"{incident.id} is {incident.state} and has no plan to approve",
            remedy="look at the incident first",
        )


# --- approving ----------------------------------------------------------------------------------


def approve(d: Decision, means: Means, incident: Incident, given: inputs.ApprovePlan) -> None:
    """Carry out what was approved; raises StateError when it is not the present plan."""
    _must_be_open(incident, takes_back=_takes_back(incident))
    if incident.run == "waiting":
        _approve_rest(d, means, incident, given)
        return
    if incident.run != "proposed":
        says = f"{incident.id} has no plan to approve"
        if incident.run in UNDER_WAY:
            says = f"{incident.runbook} of {incident.id} was approved already"
        if incident.rollbacks:
            says = f"{incident.id} was rolled back already"
        raise StateError(says, remedy="a person has to look")
    if says := consent.over(incident) or _unmatched(d, means, incident):
        raise StateError(f"{incident.runbook} is not needed: {says}", remedy="look at the incident")
    if _takes_back(incident):
        plan = sealed(make_again(d, means, incident), _place(incident))
    else:
        plan = plan_of(d, means, incident, incident.runbook, incident.given, incident.planned_for)
    if plan.hash != given.plan_hash:
        raise _other(incident, given.plan_hash)
    other = _busy(d, incident, incident.planned_for)
    if other is not None:
        says = f"{other.id} has a plan for {incident.planned_for} under way"
        raise StateError(says, remedy="one at a time: wait for its end")
    for number in range(len(plan.steps)):
        _check_role(plan, number, given.role)
    if plan.hash != incident.plan_hash:
        reason = Reason(RULE, "the world moved on, and a person looked at the new plan")
        _propose(d, incident, plan, incident.given, reason, incident.chosen_by)
    _approved(d, incident, given.by)
    _advance(d, means, incident)


def _approve_rest(d: Decision, means: Means, incident: Incident, given: inputs.ApprovePlan) -> None:
    """Go on with what waited; what is another plan by now is stopped or asked of again."""
    if given.plan_hash != incident.plan_hash:
        raise _other(incident, given.plan_hash)
    _check_role(cast("Plan", incident.plan), incident.step, given.role)
    if _goes_on(d, means, incident):
        d.cancel_timer(f"step/{incident.id}")
        _approved(d, incident, given.by)
        _advance(d, means, incident, answered=True)


def _unmatched(d: Decision, means: Means, incident: Incident) -> str:
    """Say that what a proposal was made for is not there any more; a person's choice stays."""
    if incident.chosen_by or _takes_back(incident):
        return ""
    match = _book(means.books, incident.runbook).match
    found = subjects.fitting(match, incident, _cause(d, means, incident))
    service = incident.planned_for
    if any(one.service == service for one in found):
        return ""
    return f"{incident.runbook} matches {service or 'it'} no longer"


def _other(incident: Incident, plan_hash: str) -> StateError:
    return StateError(
        f"plan {plan_hash} of {incident.id} no longer describes what is live",
        remedy="look at the new plan and approve that",
    )


def _check_role(plan: Plan, number: int, role: str) -> None:
    wanted = plan.steps[number].role
    if wanted and wanted != role:
        raise StateError(
            f"step {plan.steps[number].id} takes a {wanted} to approve, not a {role or 'nobody'}",
            remedy=f"ask a {wanted}",
        )


def _approved(d: Decision, incident: Incident, by: str, why: Reason | None = None) -> None:
    d.emit(events.PlanApproved(incident.id, incident.plan_hash, by, incident.planned_for, why))


def refuse(d: Decision, means: Means, incident: Incident, given: inputs.RefusePlan) -> None:
    """Drop a plan that waits for a person, and look for the next. Raises StateError."""
    if incident.run not in ("proposed", "waiting") or given.plan_hash != incident.plan_hash:
        raise StateError(
            f"{incident.id} has no plan {given.plan_hash} that waits for a person",
            remedy="look at the incident first",
        )
    reason = Reason(RULE, f"{given.by}: {given.why}", {"by": given.by})
    waited = incident.run == "waiting"
    d.emit(events.PlanRefused(incident.id, given.plan_hash, given.by, reason))
    d.cancel_timer(f"step/{incident.id}")
    if waited:
        _take_back(d, means, incident)
    consider(d, means, incident)


def stop(d: Decision, means: Means, incident: Incident, given: inputs.StopPlan) -> None:
    """End a plan: now, or when the step under way has ended. Raises StateError."""
    if incident.run not in UNDER_WAY or given.plan_hash not in ("", incident.plan_hash):
        which = f"plan {given.plan_hash}" if given.plan_hash else "plan"
        remedy = "look at the incident first"
        if incident.run == "proposed":
            remedy = f"refuse it: midwatch runbook refuse {incident.id} {incident.plan_hash}"
        raise StateError(f"{incident.id} has no {which} under way", remedy=remedy)
    reason = Reason(RULE, f"{given.by}: {given.why}", {"by": given.by})
    if not consent.is_under_way(incident):
        _stop(d, means, incident, f"stopped by {reason.says}", quiet=True)
    elif not incident.stopping:
        d.emit(events.PlanStopAsked(incident.id, incident.plan_hash, given.by, reason))


def end(d: Decision, means: Means, incident: Incident, why: str) -> None:
    """Let nothing more of a plan begin, and take back what was proposed."""
    if incident.run == "proposed":
        _withdraw(d, incident, why)
    elif incident.run == "waiting" or (
        incident.run == "running" and not consent.is_under_way(incident)
    ):
        _stop(d, means, incident, why, quiet=True)


def check(d: Decision, means: Means, incident: Incident) -> None:
    """Look again at what waits for a person, after what an incident is about was changed."""
    if incident.run == "waiting":
        _goes_on(d, means, incident)
    elif incident.run in ("none", "ended"):
        consider(d, means, incident)
    elif incident.run == "proposed" and not _takes_back(incident):
        if incident.chosen_by:
            try:
                plan = plan_of(
                    d, means, incident, incident.runbook, incident.given, incident.planned_for
                )
            except (InputError, StateError) as error:
                _withdraw(d, incident, error.message)
            else:
                if plan.hash != incident.plan_hash:
                    reason = Reason(RULE, "what the incident is about was changed")
                    _propose(d, incident, plan, incident.given, reason, incident.chosen_by)
        consider(d, means, incident)


def on_well(d: Decision, means: Means, incident: Incident, reason: Reason) -> None:
    """Take that an objective is well; another one of the incident still burns."""
    if incident.run in ("none", "ended") or not consent.over(incident):
        return
    if incident.run == "verifying":
        d.emit(events.RecoveryJudged(incident.id, "recovered", reason))
        d.cancel_timer(f"verify/{incident.id}")
    else:
        end(d, means, incident, consent.over(incident))
    consider(d, means, incident)


# --- carrying out -------------------------------------------------------------------------------


def _advance(d: Decision, means: Means, incident: Incident, *, answered: bool = False) -> None:
    """Begin steps until one has to be waited for; `answered` is a person's word on the first."""
    while incident.run == "running" and incident.plan is not None and not incident.operation:
        step = incident.plan.steps[incident.step]
        if incident.stopping:
            _stop(d, means, incident, f"stopped by {incident.stopping}", quiet=True)
            return
        if not answered and not (_goes_on(d, means, incident) and _is_fresh(d, means, incident)):
            return
        answered = False
        operation = d.key("action", incident.id, incident.runs, step.id)
        if step.action == ROLLBACK:
            _roll_back(d, means, incident, step)
        elif step.action == ABORT:
            _abort(d, means, incident, step)
        else:
            d.emit(events.ActionStarted(incident.id, operation, step.id, step.action, step.says))
            _begin(d, means, incident, step, operation)
    if incident.run == "verifying":
        deadline_s = incident.plan.verify.deadline_s if incident.plan else 0
        due_at = d.now + deadline_s * SECOND
        d.set_timer(Timer(f"verify/{incident.id}", due_at, "verify", incident.id))
    elif incident.run == "ended":
        consider(d, means, incident)


def _goes_on(d: Decision, means: Means, incident: Incident) -> bool:
    """Say whether the rest of a plan is what was approved; else stop it, or ask a person again."""
    plan = cast("Plan", incident.plan)
    if not consent.needs(plan.steps[incident.step]):
        return True
    if says := consent.over(incident) or _is_gone(means, incident):
        _stop(d, means, incident, says)
        return False
    try:
        now = make_again(d, means, incident)
    except (InputError, StateError) as error:
        _stop(d, means, incident, error.message)
        return False
    left = slice(incident.step, None)
    if says := consent.difference(plan.steps[left], now.steps[left]):
        _ask(d, means, incident, f"what is left is another plan now: {says}", now)
        return False
    return True


def _place(incident: Incident) -> str:
    """Name what a hash is for: the incident, and how often it asked or began again before."""
    return f"{incident.ref}/{incident.asks}" if incident.asks else incident.ref


def _is_gone(means: Means, incident: Incident) -> str:
    """Say that what a plan was for is in another incident now, or has ended."""
    plan, service = cast("Plan", incident.plan), incident.planned_for
    book = next((one for one in means.books.runbooks if one.id == incident.runbook), None)
    if book is None or plan.service is None or plan.takes_back:
        return ""
    if book.match.cause and not incident.chosen_by:
        return ""  # a cause need not be in trouble itself
    burns = any(subjects.service_of(slo) == service for slo in incident.slos)
    if incident.services and service not in incident.services and not burns:
        return f"{incident.id} has no alert of {service} any more"
    if not book.match.labels or book.match.slo or incident.chosen_by or plan.proofs:
        return ""
    mine = [one.labels for one in incident.firing.values() if one.service == service]
    if any(all_fit(book.match.labels, one) for one in mine):
        return ""
    return f"no alert of {service} that it was for fires any more"


def _is_fresh(d: Decision, means: Means, incident: Incident) -> bool:
    """Say whether the approval is young enough for the next step, and the step asks nothing."""
    plan = cast("Plan", incident.plan)
    step = plan.steps[incident.step]
    if step.action == ASK:
        says = str(step.given["says"])
    elif step.role and d.now > incident.approved_at + step.ttl_s * SECOND:
        since = show_duration((d.now - incident.approved_at) // SECOND)
        says = f"the approval by {incident.approved_by} is {since} old: {step.line}"
    else:
        return True
    _ask(d, means, incident, says, plan)
    return False


def _ask(d: Decision, means: Means, incident: Incident, says: str, plan: Plan) -> None:
    """Wait for a person, for as long as an approval of the step would last; page for it.

    What is left has a hash of its own: no button that was shown before approves it.
    """
    step = plan.steps[incident.step]
    place = f"{incident.ref}/{incident.runs}/{incident.step}/{incident.asks + 1}"
    fresh = sealed(plan, place)
    reason = Reason(RULE, says, {"step": step.id, "plan": fresh.hash})
    d.emit(events.ActionWaits(incident.id, step.id, reason, fresh))
    due_at = d.now + step.ttl_s * SECOND
    d.set_timer(Timer(f"step/{incident.id}", due_at, "step", incident.id))
    escalation.page_again(d, means.policy, incident, reason)


def _begin(
    d: Decision, means: Means, incident: Incident, step: PlannedStep, operation: str
) -> None:
    """Do what midwatch does by itself, or wish for it."""
    if step.action == PAGE:
        reason = Reason(RULE, str(step.given["says"]), {"step": step.id})
        escalation.page_one(d, means.policy, incident, str(step.given["to"]), reason)
        d.emit(events.ActionDone(incident.id, operation, step.id, "a page is on its way"))
    elif step.action == ASK:
        d.emit(events.ActionDone(incident.id, operation, step.id, f"yes, {incident.approved_by}"))
    elif step.action == WAIT:
        due_at = d.now + int(step.given["for_s"]) * SECOND
        d.set_timer(Timer(f"step/{incident.id}", due_at, "step", incident.id))
    else:
        d.plan(
            effects.RunAction(
                operation, incident.id, incident.planned_for, step.action,
                cast("Deed", step.apply), step.observe, step.changes, step.timeout_s,
                step.within_s, step.idempotent,
            )
        )  # fmt: skip


def _stop(d: Decision, means: Means, incident: Incident, says: str, *, quiet: bool = False) -> None:
    """Go no further, say what is done and what is not, page a human, look for what fits next.

    `quiet` when a person said so, or users are well: then only what is to be taken back pages.
    """
    name, says = incident.runbook, f"{says}; {consent.progress(incident)}"
    d.emit(events.PlanStopped(incident.id, incident.plan_hash, Reason(RULE, says)))
    d.cancel_timer(f"step/{incident.id}")
    back = _take_back(d, means, incident)
    if incident.state in consent.OPEN and (back or not quiet):
        reason = Reason(RULE, f"{name} is stopped: {says}")
        escalation.page_again(d, means.policy, incident, reason)
    consider(d, means, incident)


def _take_back(d: Decision, means: Means, incident: Incident) -> bool:
    """Propose to undo what a plan that ended early has done; say whether there is something."""
    steps = consent.to_take_back(incident)
    if not steps or incident.plan is None:
        return False
    plan = msgspec.structs.replace(
        incident.plan, steps=steps, hash="", resolves=False, takes_back=True
    )
    undone = ", ".join(one.undoes for one in steps)
    reason = Reason(RULE, f"{plan.runbook} ended early: {undone} is to be taken back")
    sealed_plan = sealed(plan, _place(incident))
    _propose(d, incident, sealed_plan, incident.given, reason, incident.chosen_by)
    return True


def _roll_back(d: Decision, means: Means, incident: Incident, step: PlannedStep) -> None:
    pointer = d.shard.pointers[incident.planned_for]
    target, reason = releases.rollback_target(pointer)
    planned = (step.given["live"], step.given["target"])
    if (pointer.live, target) != planned:
        says = f"{pointer.service} serves {pointer.live} now, the plan was {step.says}"
        _stop(d, means, incident, says)
        return
    if incident.fix_state in ("proposed", "trial", "promoting"):
        says = "a rollback goes before a fix"
        d.emit(events.FixWithdrawn(incident.id, incident.fix, Reason(RULE, says)))
    operation = d.key("rollback", incident.id, incident.rollbacks + 1)
    epoch = pointer.epoch + 1
    d.emit(
        events.RollbackStarted(
            incident.id, pointer.service, operation, pointer.live, target, epoch, reason
        )
    )
    pointers.withdraw(d, pointer, "a rollback goes before a canary")
    traffic = Traffic(target, pointer.epoch)
    pointers.begin(d, pointer, operation, traffic, "rollback", incident=incident.id)


def _abort(d: Decision, means: Means, incident: Incident, step: PlannedStep) -> None:
    pointer = d.shard.pointers[incident.planned_for]
    trial = pointer.canary
    if trial is None or trial.release != step.given["candidate"]:
        says = f"no canary of {step.given['candidate']} is under way any more"
        _stop(d, means, incident, says)
        return
    rollouts.abort(d, inputs.AbortCanary(pointer.service, incident.approved_by, incident.id))
    d.emit(events.ActionStarted(incident.id, pointer.pending, step.id, step.action, step.says))
    fixes.on_trial_end(d, trial)


def on_traffic(d: Decision, means: Means, incident: Incident, answer: ReleaseAnswered) -> None:
    """Take what was seen of a canary that a step took off."""
    pointer = d.shard.pointers[incident.planned_for]
    if pointer.pending == answer.key or incident.plan is None:
        return  # it is tried again
    step = incident.plan.steps[incident.step]
    _settle(d, means, incident, step, answer.key, answer.state, answer.seen)


def on_answer(d: Decision, means: Means, incident: Incident, answer: ActionAnswered) -> None:
    """Take what was seen after a step: done, try again, or a person has to look."""
    if incident.operation != answer.key or incident.plan is None:
        return
    step = incident.plan.steps[incident.step]
    again = answer.attempt < MAX_ATTEMPTS and not incident.stopping and not consent.over(incident)
    undone = answer.state == "not-applied" or (answer.state == "unknown" and answer.repeatable)
    if undone and again:
        d.retry_effect(answer.key, d.now + RETRY_S * SECOND)
        return
    _settle(d, means, incident, step, answer.key, answer.state, answer.seen, answer.output)


def _settle(
    d: Decision,
    means: Means,
    incident: Incident,
    step: PlannedStep,
    operation: str,
    state: str,
    seen: str,
    output: str = "",
) -> None:
    if state == "applied":
        d.emit(
            events.ActionDone(
                incident.id, operation, step.id, seen, step.changes, output, step.keeps
            )
        )
        _advance(d, means, incident)
        return
    goes_on = not step.changes
    d.emit(
        events.ActionFailed(
            incident.id, operation, step.id, state, seen, goes_on, output, step.keeps
        )
    )
    if goes_on:
        _advance(d, means, incident)
        return
    _take_back(d, means, incident)
    reason = Reason(RULE, f"step {step.id} {state}: {seen}", {"step": step.id})
    escalation.page_again(d, means.policy, incident, reason)
    consider(d, means, incident)


def on_rollback_answer(
    d: Decision, means: Means, incident: Incident, answer: ReleaseAnswered
) -> None:
    """Take what was seen after the rollback: done, try again, or a person has to look."""
    if incident.operation != answer.key:
        return
    pointer = d.shard.pointers[incident.planned_for]
    if answer.state == "applied":
        bad, to = incident.bad_release, incident.good_release
        pointers.done(d, pointer, answer.key, condemned=bad)
        d.emit(
            events.RollbackCompleted(incident.id, pointer.service, answer.key, bad, to, answer.seen)
        )
        _advance(d, means, incident)
        return
    again = answer.attempt < MAX_ATTEMPTS and not incident.stopping and not consent.over(incident)
    if answer.state == "not-applied" and again:
        d.retry_effect(answer.key, d.now + RETRY_S * SECOND)
        return
    if pointer.pending == answer.key:
        d.emit(events.PointerAbandoned(pointer.service, answer.key, pointer.epoch))
    d.emit(events.RollbackFailed(incident.id, answer.key, answer.state, answer.seen))
    _take_back(d, means, incident)
    says = f"rollback {answer.state}: {answer.seen}"
    escalation.page_again(
        d, means.policy, incident, Reason(RULE, says, {"attempts": answer.attempt})
    )
    consider(d, means, incident)


def on_step_timer(d: Decision, means: Means, incident: Incident) -> None:
    """Go on when a wait is over; give up when nobody answered in time."""
    plan = incident.plan
    if plan is None:
        return
    if incident.run == "waiting":
        ttl_s = plan.steps[incident.step].ttl_s
        if d.now >= incident.step_asked_at + ttl_s * SECOND:
            says = f"nobody approved {plan.steps[incident.step].id} in {show_duration(ttl_s)}"
            _stop(d, means, incident, says)
        return
    if incident.run != "running" or not incident.operation:
        return
    step = plan.steps[incident.step]
    if step.action == WAIT:
        d.emit(events.ActionDone(incident.id, incident.operation, step.id, "it is over"))
        _advance(d, means, incident)


# --- proving ------------------------------------------------------------------------------------


def look(d: Decision, incident: Incident, verdict: RecoveryVerdict, reason: Reason) -> None:
    """Note how recovery stands after a plan, each time that the answer is another one."""
    if incident.run == "verifying" and verdict != incident.looks:
        d.emit(events.RecoveryJudged(incident.id, verdict, reason))


def on_verify_timer(d: Decision, means: Means, incident: Incident) -> None:
    """Page when the time for recovery is over and users are not known to be well."""
    if incident.state not in ("open", "acknowledged") or incident.run != "verifying":
        return
    verify = incident.plan.verify if incident.plan else Verify()
    waited = show_duration(verify.deadline_s)
    says = f"not known to be well {waited} after {incident.runbook}"
    if incident.looks:
        says += f": {incident.looks}"
    reason = Reason(RULE, says, {"deadline_s": verify.deadline_s, "verdict": incident.looks})
    d.emit(events.RecoveryMissed(incident.id, reason))
    escalation.page_again(d, means.policy, incident, reason)
    consider(d, means, incident)
