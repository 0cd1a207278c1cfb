"""Which runbook fits, the plan it makes, and carrying that plan out, step by step.

Law: midwatch proposes and a person approves, unless a policy names it; an approval binds to the
hash of the plan that was shown, expires, and a world that moved on needs a new one: before each
approval and each step the rest is made again and compared (`consent` says when it is over). Each
objective that burns and each service of an incident may have its own plan; over all incidents one
runs a service, and one rollback of it an incident. Each step is written before it is begun and
counts when it was seen; what cannot be seen, or did not help, pages a human and the next runbook
that fits is proposed. A rollback goes before what runs its own service: a fix, a canary, a plan.

    state      -> next       when
    proposed   -> running    approved by a person or a policy
    running    -> waiting    a step asks, its approval has expired or its values are others;
                             approved by the new hash, it runs on
    running    -> verifying  all steps are done, and something was changed
    verifying  -> ended      users are well, or are not known to be in time: then a human is paged
    any        -> ended      refused, stopped, failed, or the world is another one
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct, field

from midwatch.core.rules import causes, consent, escalation, fixes, pointers, rollouts, subjects
from midwatch.core.rules.subjects import Subject
from midwatch.core.state import effects, events, inputs, releases
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import ActionAnswered, ReleaseAnswered, Timer
from midwatch.core.state.runs import Run, doing, named
from midwatch.core.values import actions, automation
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
    best_first,
    sealed,
)
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.silences import all_fit
from midwatch.core.values.slo import RecoveryVerdict, Verify
from midwatch.core.values.teams import Policy
from midwatch.core.values.topology import Topology
from midwatch.core.values.traffic import Traffic
from midwatch.errors import InputError, StateError

RULE = "runbooks/2"
MAX_ATTEMPTS = 3
RETRY_S = 5
BUSY_S = 30  # until a policy is asked again of a plan whose service was busy
PLANS = 8  # that are under way or proposed beside each other


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
    policy_of: Callable[[Incident], Policy]


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
        raise InputError(f"{book.id} has no value {unknown[0]!r}", remedy=f"use one of {known}")
    values = _values(d, books, book, incident, subject, given)
    steps = tuple(_planned(d, books, step, incident, subject, values) for step in book.steps)
    plan = Plan(
        book.id, book.version, steps, "", book.verify, book.resolves, subject.service,
        subject.proofs, values,
    )  # fmt: skip
    return sealed(plan, _place(incident, _proposed_for(incident, subject.name)))


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
    book = _book(means.books, plan.runbook)
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


def _book(books: Books, name: str) -> Runbook:
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


# --- proposing ----------------------------------------------------------------------------------


def consider(d: Decision, means: Means, incident: Incident) -> None:
    """Propose for each subject the plan that fits best, or say that nothing fits at all.

    What a policy names is begun.
    """
    if incident.state not in ("open", "acknowledged") or incident.promotion:
        return
    ask_again(d, incident)
    if not _is_urgent(incident, means.books):
        return
    held = {_subject_of(incident, one) for one in incident.plans if _is_held(one)}
    found, why_not = _best(d, means, incident, held)
    for run in [one for one in incident.plans if one.state == "proposed"]:
        name = _subject_of(incident, run)
        if not run.is_a_persons and name not in found:
            _withdraw(d, incident, run, why_not.get(name, f"no runbook matches {name}"))
    if not found and not held:
        says = next(reversed(why_not.values()), _nothing_fits(incident))
        if says != incident.no_runbook:
            d.emit(
                events.NoRunbook(
                    incident=incident.id, reason=Reason(RULE, says, {"slo": incident.slo})
                )
            )
    for one in found.values():
        _take_up(d, means, incident, one)


class Fit(Struct, frozen=True):
    """A runbook that fits, whom it is for, and the plan that it makes."""

    book: Runbook
    subject: Subject
    plan: Plan


def _take_up(d: Decision, means: Means, incident: Incident, fit: Fit) -> None:
    """Propose a plan that fits, unless it is proposed already; begin it when a policy says so."""
    if incident.state not in ("open", "acknowledged") or incident.promotion:
        return  # by what another plan of it has done
    name, plan = fit.subject.name, fit.plan
    if any(_subject_of(incident, one) == name and _is_held(one) for one in incident.plans):
        return
    old = _proposed_for(incident, name)
    # What ended since it was made has used up its hash.
    plan = sealed(plan, _place(incident, old))
    if old is not None and old.hash == plan.hash:
        return
    policy, leave = _leave(d, means, incident, plan)
    says = f"{fit.book.id} v{fit.book.version} matches {name}; {_changed(old, plan)}{leave.says}"
    terms: dict[str, Term] = {**leave.terms, "conditions": fit.book.match.conditions}
    run = _propose(d, incident, plan, name, {}, Reason(RULE, says, terms))
    _begin_or_ask_again(d, means, incident, run, policy, leave)


def _changed(old: Run | None, plan: Plan) -> str:
    """Say how a plan differs from the one of the same runbook that was shown before."""
    if old is None or old.plan is None or old.plan.runbook != plan.runbook:
        return ""
    if [one.id for one in old.plan.steps] != [one.id for one in plan.steps]:
        return ""
    says = consent.difference(old.plan.steps, plan.steps, "shown")
    return f"the plan has changed: {says}; " if says else ""


def _is_held(run: Run) -> bool:
    """Say whether nothing else is proposed for its subject: it is under way, or was chosen."""
    return run.is_under_way or (run.state == "proposed" and run.is_a_persons)


def _subject_of(incident: Incident, run: Run) -> str:
    """Name what a plan is for, also one of a journal that does not say it."""
    if run.subject:
        return run.subject
    return Subject(incident.acts_for(run), incident.proofs_of(run)).name


def _proposed_for(incident: Incident, subject: str, plan: Plan | None = None) -> Run | None:
    """Find what is proposed for a subject and gives its place to `plan`, or to a plain one."""
    new = Run(plan=plan)
    proposed = (one for one in incident.plans if one.state == "proposed" and new.replaces(one))
    return next((one for one in proposed if _subject_of(incident, one) == subject), None)


def ask_again(d: Decision, incident: Incident) -> None:
    """Propose what is to be taken back under a new hash, once the incident was reopened.

    Also what waited for a further approval: it is proposed as a whole, since the outage is another.
    """
    for run in [one for one in incident.plans if one.state == "proposed" and one.takes_back]:
        plan = sealed(cast("Plan", run.plan), _place(incident, run))
        if plan.hash != run.hash:
            undone = ", ".join(one.undoes for one in plan.steps)
            says = f"{incident.id} was reopened, and {undone} still has to be reverted"
            subject = _subject_of(incident, run)
            _propose(d, incident, plan, subject, run.given, Reason(RULE, says), run.chosen_by)


def _begin_or_ask_again(
    d: Decision, means: Means, incident: Incident, run: Run, policy: str, leave: Reason
) -> None:
    """Begin what a policy allows; what only hours or a cool-down hold back is asked of later."""
    if policy:
        d.cancel_timer(_key("automate", incident, run))
        _approved(d, means, incident, run, automation.by(policy), leave)
        _advance(d, means, incident, run)
        return
    due_at, service = None, incident.acts_for(run)
    if run.plan is not None and service not in incident.by_hand:
        asked = (
            means.books.automation, d.shard.remediations, service, incident.severity or "sev1",
            run.plan, d.now, d.wall,
        )  # fmt: skip
        due_at = automation.again_at(*asked)
        if _busy(d, incident, run, service, verifying=True) is not None:
            soon = d.now + BUSY_S * SECOND
            allowed = due_at is not None or automation.may_run(*asked)[0]
            due_at = max(due_at or 0, soon) if allowed else None
    if due_at is not None:
        d.set_timer(Timer(_key("automate", incident, run), due_at, "automate", incident.id))


def _key(purpose: str, incident: Incident, run: Run) -> str:
    """Name the timer of a plan."""
    return f"{purpose}/{incident.id}/{run.hash}"


def _timed(incident: Incident, plan_hash: str) -> Run | None:
    """Find the plan of a timer; one of a journal with one plan an incident does not name it."""
    if plan_hash:
        return named(incident.plans, plan_hash)
    return incident.lead if incident.plans else None


def on_automate_timer(d: Decision, means: Means, incident: Incident, plan_hash: str = "") -> None:
    """Ask the policies again, of the plan as it would be now."""
    run = _timed(incident, plan_hash)
    if run is None or run.state != "proposed" or run.is_a_persons:
        return
    before = run.hash
    consider(d, means, incident)
    run = named(incident.plans, before)
    if run is not None and run.state == "proposed" and run.plan is not None:
        policy, leave = _leave(d, means, incident, run.plan)
        _begin_or_ask_again(d, means, incident, run, policy, leave)


def _withdraw(d: Decision, incident: Incident, run: Run, why: str) -> None:
    """Take back what was proposed and nobody approved."""
    says = f"{run.runbook} was proposed for {incident.acts_for(run)}: {why}"
    if run.plan is not None and run.plan.takes_back:
        left = ", ".join(one.undoes for one in run.plan.steps)
        says = f"{says}; {left} is done and not reverted"
    d.emit(events.PlanStopped(incident=incident.id, plan_hash=run.hash, reason=Reason(RULE, says)))
    d.cancel_timer(_key("automate", incident, run))


def take_away(d: Decision, incident: Incident, why: str) -> None:
    """Take back what was proposed for an incident that goes on as part of another."""
    for run in [one for one in incident.plans if one.state == "proposed"]:
        _withdraw(d, incident, run, why)


def is_named(books: Books, labels: Mapping[str, str]) -> bool:
    """Say whether a runbook asks for an alert with these labels."""
    return any(all_fit(book.match.labels, labels) for book in books.runbooks)


def _is_urgent(incident: Incident, books: Books) -> bool:
    """Say whether a human is wanted: who is not paged is left alone with plans too."""
    return bool(incident.slo) or (incident.urgency == "page" and bool(books.runbooks))


def _nothing_fits(incident: Incident) -> str:
    return f"no runbook matches {incident.slo or incident.speaks_of or 'it'}"


def best(d: Decision, means: Means, incident: Incident) -> tuple[Plan | None, str]:
    """Make the plan that fits best and can be done; or say why there is none."""
    found, why_not = _best(d, means, incident, frozenset())
    plan = next((one.plan for one in found.values()), None)
    return plan, next(reversed(why_not.values()), _nothing_fits(incident))


def _best(
    d: Decision, means: Means, incident: Incident, held: Collection[str]
) -> tuple[dict[str, Fit], dict[str, str]]:
    """Find what fits best for each subject and can be done, and why not what fits besides.

    No more than PLANS are proposed beside each other; the next ones have their turn later.
    """
    cause, about = _cause(d, means, incident), incident.service_of_plan
    fitting = [
        (book, subject)
        for book in best_first(means.books.runbooks)
        for subject in subjects.fitting(book.match, incident, cause)
    ]
    # First what is for the service that the page speaks of, then what is for another of it.
    fitting.sort(key=lambda one: one[0].match.asks_for_alerts and one[1].service != about)
    found: dict[str, Fit] = {}
    why_not: dict[str, str] = {}
    for book, subject in fitting:
        name = subject.name
        if name in found or name in held or len(found) + len(held) >= PLANS:
            continue
        why_not.pop(name, None)
        if incident.has_tried(book.id, subject.service):
            why_not[name] = f"{book.id} was tried, and nothing else matches {name}"
            continue
        try:
            plan = make_plan(d, means.books, book, incident, subject, {})
        except (InputError, StateError) as error:
            why_not[name] = f"{book.id} matches {name}, and cannot be done: {error.message}"
            continue
        found[name] = Fit(book, subject, plan)
    return found, why_not


def _cause(d: Decision, means: Means, incident: Incident) -> str:
    """Name the likeliest cause, where a runbook asks for one."""
    if not any(book.match.cause for book in means.books.runbooks):
        return ""
    likely = causes.rank(incident, means.topology, d.shard.changes)
    return likely[0].service if likely else ""


def _leave(d: Decision, means: Means, incident: Incident, plan: Plan) -> tuple[str, Reason]:
    """Ask whether the plan may begin by itself."""
    service = plan.service or ""
    if service in incident.by_hand:
        says = f"needs approval: {incident.by_hand[service]} stopped a plan for {service}"
        return "", Reason(automation.RULE, says)
    other = _busy(d, incident, Run(plan=plan), service, verifying=True)
    if other:
        says = f"needs approval: {other} has a plan for {service} under way"
        return "", Reason(automation.RULE, says)
    return automation.may_run(
        means.books.automation, d.shard.remediations, service, incident.severity or "sev1", plan,
        d.now, d.wall,
    )  # fmt: skip


def _busy(
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
            if (other.runs and not (run.rolls_back and _gives_way(other))) or (
                proves and not run.rolls_back
            ):
                return one.id
    return None


def _gives_way(run: Run) -> bool:
    """Say whether a rollback goes before a plan that runs: whatever is no rollback itself."""
    return not run.rolls_back and not run.operation.startswith("rollback/")


def _propose(
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
    old = _proposed_for(incident, subject, plan)
    if old is not None and old.hash != plan.hash:
        d.cancel_timer(_key("automate", incident, old))
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


def choose(d: Decision, means: Means, incident: Incident, given: inputs.ProposePlan) -> None:
    """Propose the runbook that a person names. Raises StateError or InputError."""
    _must_be_open(incident)
    fit = _plan_of(d, means, incident, given.runbook, given.given, given.service)
    plan, service = fit.plan, fit.subject.service
    rolls_back = Run(plan=plan).rolls_back
    for one in incident.plans:
        if incident.acts_for(one) == service and one.runs:
            if rolls_back and _gives_way(one):
                continue
            says = f"{incident.id} has {one.runbook} for {service} under way"
            raise StateError(says, remedy="wait until it ends")
    says = f"{given.by} chose {plan.runbook} v{plan.version}"
    reason = Reason(RULE, says, {"by": given.by})
    _propose(d, incident, plan, fit.subject.name, given.given, reason, given.by)


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
    return _plan_of(d, means, incident, name, given, service).plan


def _plan_of(
    d: Decision,
    means: Means,
    incident: Incident,
    name: str,
    given: Mapping[str, str],
    service: str,
) -> Fit:
    book = _book(means.books, name)
    subject = subjects.chosen(book.match, incident, _cause(d, means, incident), service)
    return Fit(book, subject, make_plan(d, means.books, book, incident, subject, given))


def _must_be_open(incident: Incident, *, takes_back: bool = False) -> None:
    if incident.state not in ("open", "acknowledged", *(("mitigated",) if takes_back else ())):
        raise StateError(
            f"{incident.id} is {incident.state} and has no plan to approve",
            remedy=f"see midwatch incidents show {incident.id}",
        )


# --- approving ----------------------------------------------------------------------------------


def approve(d: Decision, means: Means, incident: Incident, given: inputs.ApprovePlan) -> None:
    """Carry out what was approved; raises StateError when it is not a present plan."""
    shown = named(incident.plans, given.plan_hash)
    _must_be_open(incident, takes_back=(shown or incident.lead).takes_back)
    if shown is not None and shown.state == "waiting":
        _approve_rest(d, means, incident, shown, given)
        return
    run, plan = _meant(d, means, incident, given.plan_hash)
    service = incident.acts_for(run)
    if other := _busy(d, incident, run, service):
        says = f"{other} has a plan for {service} under way"
        raise StateError(says, remedy="wait until it ends; only one runs at a time")
    for number in range(len(plan.steps)):
        _check_role(plan, number, given.role)
    if plan.hash != run.hash:
        says = "the situation changed, and a person looked at the new plan"
        if given.plan_hash == run.hash:
            says = "it was proposed by midwatch 0.1, and its steps are the same"
        subject, reason = _subject_of(incident, run), Reason(RULE, says)
        run = _propose(d, incident, plan, subject, run.given, reason, run.chosen_by, seen=True)
    d.cancel_timer(_key("automate", incident, run))
    _approved(d, means, incident, run, given.by)
    _advance(d, means, incident, run)


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
        return sealed(make_again(d, means, incident, run), _place(incident, run))
    plan = plan_of(d, means, incident, run.runbook, run.given, incident.acts_for(run))
    return sealed(plan, _place(incident, run))


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
    if _goes_on(d, means, incident, run):
        d.cancel_timer(_key("step", incident, run))
        _approved(d, means, incident, run, given.by)
        _advance(d, means, incident, run, answered=True)


def _unmatched(d: Decision, means: Means, incident: Incident, run: Run) -> str:
    """Say that what a proposal was made for is not there any more; a person's choice stays."""
    if run.is_a_persons:
        return ""
    match = _book(means.books, run.runbook).match
    found = subjects.fitting(match, incident, _cause(d, means, incident))
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


def _approved(
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
    if not _is_doing(d, incident, run):
        _stop(d, means, incident, run, why, quiet=True)
    elif not run.stopping:
        d.emit(
            events.PlanStopAsked(
                incident=incident.id, plan_hash=run.hash, by="", reason=Reason(RULE, why)
            )
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
        d.cancel_timer(_key(purpose, incident, run))
    if waited and not run.takes_back:
        _take_back(d, means, incident, run)
    consider(d, means, incident)


def stop(d: Decision, means: Means, incident: Incident, given: inputs.StopPlan) -> None:
    """End a plan: now, or when the step under way has ended. Raises StateError."""
    run = _to_stop(incident, given.plan_hash)
    reason = Reason(RULE, f"{given.by}: {given.why}", {"by": given.by})
    if not _is_doing(d, incident, run):
        _stop(d, means, incident, run, f"stopped by {reason.says}", quiet=True, by=given.by)
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
        names = ", ".join(f"{one.hash} ({one.runbook} for {_subject_of(incident, one)})"
                          for one in under_way)  # fmt: skip
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
        d.cancel_timer(_key("verify", incident, run))
        if keeps and run.takes_back and run.state in ("proposed", "waiting", "running"):
            if run.asks_somebody:
                undone = ", ".join(one.undoes for one in consent.to_take_back(run))
                _tell_holder(d, means, incident, run, f"{undone} still has to be reverted")
            continue
        _end(d, means, incident, run, why, last=not keeps)


def _end(
    d: Decision, means: Means, incident: Incident, run: Run, why: str, *, last: bool = False
) -> None:
    if run.state == "proposed":
        _withdraw(d, incident, run, why)
    elif run.state == "waiting" or (run.state == "running" and not _is_doing(d, incident, run)):
        _stop(d, means, incident, run, why, quiet=True, last=last)


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
            _goes_on(d, means, incident, run)
        elif run.state == "proposed" and run.chosen_by and not run.takes_back:
            _show_again(d, means, incident, run)
    consider(d, means, incident)


def _show_again(d: Decision, means: Means, incident: Incident, run: Run) -> None:
    """Show what a person chose as it would be now; take it back when it cannot be done."""
    try:
        plan = _made_now(d, means, incident, run)
    except (InputError, StateError) as error:
        _withdraw(d, incident, run, error.message)
        return
    if plan.hash != run.hash:
        says = f"what it is about was changed; {_changed(run, plan)}".removesuffix("; ")
        subject = _subject_of(incident, run)
        _propose(d, incident, plan, subject, run.given, Reason(RULE, says), run.chosen_by)


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
            d.cancel_timer(_key("verify", incident, run))
        else:
            _end(d, means, incident, run, consent.over(incident, run))
    if ended:
        consider(d, means, incident)


# --- carrying out -------------------------------------------------------------------------------


def _advance(
    d: Decision, means: Means, incident: Incident, run: Run, *, answered: bool = False
) -> None:
    """Begin steps until one has to be waited for; `answered` is a person's word on the first."""
    while run.state == "running" and run.plan is not None and not run.operation:
        step = run.plan.steps[run.step]
        if run.stopping:
            _stop(d, means, incident, run, f"stopped by {run.stopping}", quiet=True)
            return
        if not answered and not (
            _goes_on(d, means, incident, run) and _is_fresh(d, means, incident, run)
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
        d.set_timer(Timer(_key("verify", incident, run), due_at, "verify", incident.id))
    elif run.state == "ended":
        consider(d, means, incident)


def _goes_on(d: Decision, means: Means, incident: Incident, run: Run) -> bool:
    """Say whether the rest of a plan is what was approved; else stop it, or ask a person again."""
    plan = cast("Plan", run.plan)
    if not consent.needs(plan.steps[run.step]):
        return True
    if says := consent.over(incident, run) or _is_gone(means, incident, run):
        _stop(d, means, incident, run, says)
        return False
    try:
        now = make_again(d, means, incident, run)
    except (InputError, StateError) as error:
        _stop(d, means, incident, run, error.message)
        return False
    left = slice(run.step, None)
    if says := consent.difference(plan.steps[left], now.steps[left]):
        _ask(d, means, incident, run, f"the remaining steps have changed: {says}", now)
        return False
    return True


def _place(incident: Incident, run: Run | None = None) -> str:
    """Name what a hash is for: the incident, and how often it asked or began again before."""
    asks = incident.asks if run is None else run.asks
    return f"{incident.ref}/{asks}" if asks else incident.ref


def _is_gone(means: Means, incident: Incident, run: Run) -> str:
    """Say that what a plan was for is in another incident now, or has ended."""
    plan, service = cast("Plan", run.plan), incident.acts_for(run)
    book = next((one for one in means.books.runbooks if one.id == run.runbook), None)
    if book is None or plan.service is None or plan.takes_back:
        return ""
    if book.match.cause and not run.chosen_by:
        return ""  # a cause need not be in trouble itself
    burns = any(subjects.service_of(slo) == service for slo in incident.slos)
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
    d.cancel_timer(_key("step", incident, run))
    d.emit(
        events.ActionWaits(
            incident=incident.id, step=step.id, reason=reason, plan=fresh, plan_hash=run.hash
        )
    )
    due_at = d.now + step.ttl_s * SECOND
    d.set_timer(Timer(_key("step", incident, run), due_at, "step", incident.id))
    escalation.page_again(d, means.policy, incident, reason)


def _begin(
    d: Decision, means: Means, incident: Incident, run: Run, step: PlannedStep, operation: str
) -> None:
    """Do what midwatch does by itself, or wish for it."""
    if step.action == PAGE:
        reason = Reason(RULE, str(step.given["says"]), {"step": step.id})
        escalation.page_one(d, means.policy, incident, str(step.given["to"]), reason)
        _is_done(d, incident, run, step, operation, "paged")
    elif step.action == ASK:
        _is_done(d, incident, run, step, operation, f"yes, {run.approved_by}")
    elif step.action == WAIT:
        due_at = d.now + int(step.given["for_s"]) * SECOND
        d.set_timer(Timer(_key("step", incident, run), due_at, "step", incident.id))
    else:
        d.plan(
            effects.RunAction(
                operation, incident.id, incident.acts_for(run), step.action,
                cast("Deed", step.apply), step.observe, step.changes, step.timeout_s,
                step.within_s, step.idempotent,
            )
        )  # fmt: skip


def _is_done(
    d: Decision, incident: Incident, run: Run, step: PlannedStep, operation: str, seen: str
) -> None:
    d.emit(
        events.ActionDone(
            incident=incident.id, operation=operation, step=step.id, seen=seen, plan_hash=run.hash
        )
    )


def _stop(
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
        d.cancel_timer(_key(purpose, incident, run))
    back = not last and _take_back(d, means, incident, run)
    if incident.state in consent.OPEN and (back or not quiet):
        reason = Reason(RULE, f"{name} is stopped: {says}")
        escalation.page_again(d, means.policy, incident, reason)
    elif incident.state == "mitigated" and back:
        _tell_holder(d, means, incident, run, says)
    consider(d, means, incident)


def _tell_holder(d: Decision, means: Means, incident: Incident, run: Run, says: str) -> None:
    """Page once whoever has a mitigated incident, else who approved, for what is left done."""
    by_policy = run.approved_by.startswith(automation.by(""))
    who = incident.acknowledged_by or ("" if by_policy else run.approved_by)
    reason = Reason(
        RULE, f"users have recovered, and what {run.runbook} did is not reverted: {says}"
    )
    escalation.tell_one(d, means.policy, incident, who, reason)


def _take_back(
    d: Decision, means: Means, incident: Incident, run: Run, *, begun: bool = False
) -> bool:
    """Propose to undo what a plan that ended early has done; say whether there is something.

    `begun` when the step that it ended with was begun.
    """
    steps = consent.to_take_back(run, begun=begun)
    if not steps or run.plan is None:
        return False
    subject = _subject_of(incident, run)
    plan = msgspec.structs.replace(run.plan, steps=steps, hash="", resolves=False, takes_back=True)
    undone = ", ".join(one.undoes for one in steps)
    reason = Reason(RULE, f"{plan.runbook} ended early: {undone} has to be reverted")
    sealed_plan = sealed(plan, _place(incident, _proposed_for(incident, subject, plan)))
    _propose(d, incident, sealed_plan, subject, run.given, reason, run.chosen_by)
    return True


def _roll_back(d: Decision, means: Means, incident: Incident, run: Run, step: PlannedStep) -> None:
    pointer = d.shard.pointers[incident.acts_for(run)]
    target, reason = releases.rollback_target(pointer)
    planned = (step.given["live"], step.given["target"])
    if (pointer.live, target) != planned:
        says = f"{pointer.service} serves {pointer.live} now, the plan was {step.says}"
        _stop(d, means, incident, run, says)
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
        _stop(d, means, incident, run, says)
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


def _is_doing(d: Decision, incident: Incident, run: Run) -> bool:
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
        _advance(d, means, incident, run)
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
        _advance(d, means, incident, run)
        return
    _take_back(d, means, incident, run, begun=True)
    reason = Reason(RULE, f"step {step.id} {state}: {seen}", {"step": step.id})
    escalation.page_again(d, means.policy, incident, reason)
    consider(d, means, incident)


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
        _advance(d, means, incident, run)
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
    _take_back(d, means, incident, run, begun=True)
    says = f"rollback {answer.state}: {answer.seen}"
    escalation.page_again(
        d, means.policy, incident, Reason(RULE, says, {"attempts": answer.attempt})
    )
    consider(d, means, incident)


def _from_and_to(incident: Incident, run: Run) -> tuple[str, str]:
    """Say what a rollback goes from and to."""
    given = run.plan.steps[run.step].given if run.plan else {}
    if "live" in given and "target" in given:
        return str(given["live"]), str(given["target"])
    return incident.bad_release, incident.good_release


def on_step_timer(d: Decision, means: Means, incident: Incident, plan_hash: str = "") -> None:
    """Go on when a wait is over; give up when nobody answered in time."""
    run = _timed(incident, plan_hash)
    if run is None or run.plan is None:
        return
    if run.state == "waiting":
        step = run.plan.steps[run.step]
        if d.now >= run.step_asked_at + step.ttl_s * SECOND:
            says = f"nobody approved {step.id} in {show_duration(step.ttl_s)}"
            _stop(d, means, incident, run, says)
        return
    if run.state != "running" or not run.operation:
        return
    step = run.plan.steps[run.step]
    if step.action == WAIT:
        _is_done(d, incident, run, step, run.operation, "finished")
        _advance(d, means, incident, run)


# --- proving ------------------------------------------------------------------------------------


def look(
    d: Decision, incident: Incident, slo: str, verdict: RecoveryVerdict, reason: Reason
) -> None:
    """Note how recovery is after a plan that an objective proves, when the answer is another."""
    for run in list(incident.plans):
        proves = slo in incident.proofs_of(run) or not incident.slo
        if run.state == "verifying" and proves and verdict not in ("recovered", run.looks):
            d.emit(
                events.RecoveryJudged(
                    incident=incident.id, verdict=verdict, reason=reason, plan_hash=run.hash
                )
            )


def look_between(
    d: Decision, means: Means, incident: Incident, slo: str, verdict: RecoveryVerdict, why: Reason
) -> None:
    """Note how users are while a plan waits between two steps.

    Who is well before it changed anything needs it no more. Later, load may only be shed: what
    takes that back is done, and nothing else is changed.
    """
    for run in list(incident.plans):
        if run.state != "running" or consent.is_under_way(run):
            continue
        if slo not in incident.proofs_of(run) and incident.slo:
            continue
        well = verdict == "recovered"
        if well != (run.looks == "recovered"):
            d.emit(
                events.RecoveryJudged(
                    incident=incident.id, verdict=verdict, reason=why, plan_hash=run.hash
                )
            )
        if well and not run.has_changed:
            _stop(d, means, incident, run, consent.over(incident, run), quiet=True)


def on_verify_timer(d: Decision, means: Means, incident: Incident, plan_hash: str = "") -> None:
    """Page when the time for recovery is over and recovery is not confirmed."""
    run = _timed(incident, plan_hash)
    if run is None or incident.state not in ("open", "acknowledged") or run.state != "verifying":
        return
    verify = run.plan.verify if run.plan else Verify()
    waited = show_duration(verify.deadline_s)
    says = f"recovery not confirmed {waited} after {run.runbook}"
    if run.looks:
        says += f": {run.looks}"
    reason = Reason(RULE, says, {"deadline_s": verify.deadline_s, "verdict": run.looks})
    d.emit(events.RecoveryMissed(incident=incident.id, reason=reason, plan_hash=run.hash))
    escalation.page_again(d, means.policy, incident, reason)
    consider(d, means, incident)
