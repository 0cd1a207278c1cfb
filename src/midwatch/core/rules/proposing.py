"""Which runbooks fit an incident, and which of their plans are proposed.

Law: midwatch proposes and a person approves, unless a policy names it. Each objective that burns
and each service of an incident may have its own plan; what fits best is proposed once for each, and
what no longer fits is withdrawn. Nothing replaces what a person chose, or what takes back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

from msgspec import Struct

from midwatch.core.rules import (
    causes,
    consent,
    planning,
    running,
    subjects,
)
from midwatch.core.rules.planning import RULE, Books, Means
from midwatch.core.rules.subjects import Subject
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Timer
from midwatch.core.state.runs import Run, named
from midwatch.core.values import automation
from midwatch.core.values.clock import SECOND
from midwatch.core.values.plans import (
    Plan,
    Runbook,
    best_first,
    sealed,
)
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.silences import all_fit
from midwatch.errors import InputError, StateError

BUSY_S = 30  # until a policy is asked again of a plan whose service was busy
PLANS = 8  # that are under way or proposed beside each other


def consider(d: Decision, means: Means, incident: Incident) -> None:
    """Propose for each subject the plan that fits best, or say that nothing fits at all.

    What a policy names is begun.
    """
    if incident.state not in ("open", "acknowledged") or incident.promotion:
        return
    ask_again(d, incident)
    if not _is_urgent(incident, means.books):
        return
    held = {planning.subject_of(incident, one) for one in incident.plans if _is_held(one)}
    found, why_not = _best(d, means, incident, held)
    for run in [one for one in incident.plans if one.state == "proposed"]:
        name = planning.subject_of(incident, run)
        if not run.is_a_persons and name not in found:
            planning.withdraw(d, incident, run, why_not.get(name, f"no runbook matches {name}"))
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
    if any(planning.subject_of(incident, one) == name and _is_held(one) for one in incident.plans):
        return
    old = planning.proposed_for(incident, name)
    # What ended since it was made has used up its hash.
    plan = sealed(plan, planning.place_of(incident, old))
    if old is not None and old.hash == plan.hash:
        return
    policy, leave = _leave(d, means, incident, plan)
    says = f"{fit.book.id} v{fit.book.version} matches {name}; {changed(old, plan)}{leave.says}"
    terms: dict[str, Term] = {**leave.terms, "conditions": fit.book.match.conditions}
    run = planning.propose(d, incident, plan, name, {}, Reason(RULE, says, terms))
    _begin_or_ask_again(d, means, incident, run, policy, leave)


def changed(old: Run | None, plan: Plan) -> str:
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


def ask_again(d: Decision, incident: Incident) -> None:
    """Propose what is to be taken back under a new hash, once the incident was reopened.

    Also what waited for a further approval: it is proposed as a whole, since the outage is another.
    """
    for run in [one for one in incident.plans if one.state == "proposed" and one.takes_back]:
        plan = sealed(cast("Plan", run.plan), planning.place_of(incident, run))
        if plan.hash != run.hash:
            undone = ", ".join(one.undoes for one in plan.steps)
            says = f"{incident.id} was reopened, and {undone} still has to be reverted"
            subject = planning.subject_of(incident, run)
            planning.propose(
                d, incident, plan, subject, run.given, Reason(RULE, says), run.chosen_by
            )


def _begin_or_ask_again(
    d: Decision, means: Means, incident: Incident, run: Run, policy: str, leave: Reason
) -> None:
    """Begin what a policy allows; what only hours or a cool-down hold back is asked of later."""
    if policy:
        d.cancel_timer(planning.key_of("automate", incident, run))
        running.approved(d, means, incident, run, automation.by(policy), leave)
        running.advance(d, means, incident, run)
        return
    due_at, service = None, incident.acts_for(run)
    if run.plan is not None and service not in incident.by_hand:
        asked = (
            means.books.automation,
            d.shard.remediations,
            service,
            incident.severity or "sev1",
            run.plan,
            d.now,
            d.wall,
        )
        due_at = automation.again_at(*asked)
        if running.busy(d, incident, run, service, verifying=True) is not None:
            soon = d.now + BUSY_S * SECOND
            allowed = due_at is not None or automation.may_run(*asked)[0]
            due_at = max(due_at or 0, soon) if allowed else None
    if due_at is not None:
        d.set_timer(
            Timer(planning.key_of("automate", incident, run), due_at, "automate", incident.id)
        )


def on_automate_timer(d: Decision, means: Means, incident: Incident, plan_hash: str = "") -> None:
    """Ask the policies again, of the plan as it would be now."""
    run = planning.timed(incident, plan_hash)
    if run is None or run.state != "proposed" or run.is_a_persons:
        return
    before = run.hash
    consider(d, means, incident)
    run = named(incident.plans, before)
    if run is not None and run.state == "proposed" and run.plan is not None:
        policy, leave = _leave(d, means, incident, run.plan)
        _begin_or_ask_again(d, means, incident, run, policy, leave)


def take_away(d: Decision, incident: Incident, why: str) -> None:
    """Take back what was proposed for an incident that goes on as part of another."""
    for run in [one for one in incident.plans if one.state == "proposed"]:
        planning.withdraw(d, incident, run, why)


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
    cause, about = cause_of(d, means, incident), incident.service_of_plan
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
            plan = planning.make_plan(d, means.books, book, incident, subject, {})
        except (InputError, StateError) as error:
            why_not[name] = f"{book.id} matches {name}, and cannot be done: {error.message}"
            continue
        found[name] = Fit(book, subject, plan)
    return found, why_not


def cause_of(d: Decision, means: Means, incident: Incident) -> str:
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
    other = running.busy(d, incident, Run(plan=plan), service, verifying=True)
    if other:
        says = f"needs approval: {other} has a plan for {service} under way"
        return "", Reason(automation.RULE, says)
    return automation.may_run(
        means.books.automation,
        d.shard.remediations,
        service,
        incident.severity or "sev1",
        plan,
        d.now,
        d.wall,
    )


def choose(d: Decision, means: Means, incident: Incident, given: inputs.ProposePlan) -> None:
    """Propose the runbook that a person names. Raises StateError or InputError."""
    must_be_open(incident)
    fit = _plan_of(d, means, incident, given.runbook, given.given, given.service)
    plan, service = fit.plan, fit.subject.service
    rolls_back = Run(plan=plan).rolls_back
    for one in incident.plans:
        if incident.acts_for(one) == service and one.runs:
            if rolls_back and running.gives_way(one):
                continue
            says = f"{incident.id} has {one.runbook} for {service} under way"
            raise StateError(says, remedy="wait until it ends")
    says = f"{given.by} chose {plan.runbook} v{plan.version}"
    reason = Reason(RULE, says, {"by": given.by})
    planning.propose(d, incident, plan, fit.subject.name, given.given, reason, given.by)


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
    book = planning.book_of(means.books, name)
    subject = subjects.chosen(book.match, incident, cause_of(d, means, incident), service)
    return Fit(book, subject, planning.make_plan(d, means.books, book, incident, subject, given))


def must_be_open(incident: Incident, *, takes_back: bool = False) -> None:
    """Raise StateError for an incident that is over; what takes back may be approved later."""
    if incident.state not in ("open", "acknowledged", *(("mitigated",) if takes_back else ())):
        raise StateError(
            f"{incident.id} is {incident.state} and has no plan to approve",
            remedy=f"see midwatch incidents show {incident.id}",
        )
