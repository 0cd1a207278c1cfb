"""What a shift is judged by: the lab's seven checks, a scenario's own expectations, the laws.

Law: a checker reads events and never the engine's mind; one that cannot be computed fails. It says
why in a sentence.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from itertools import pairwise

from msgspec import structs

from midwatch.core.state import events as e
from midwatch.core.values.clock import SECOND
from midwatch.core.values.slo import Verify
from midwatch.core.values.verdicts import MARGIN
from midwatch.drill.reports import Story, recovered_by_rollback
from midwatch.drill.scenarios import Scenario
from midwatch.drill.storm import Storm
from midwatch.drill.world import Log, Moved
from midwatch.engine.perform import STILL_IN_DOUBT

Check = tuple[str, bool, str]
USED = ("is planned twice", "outbox.key")  # how decisions and journals refuse a key

LATE_S = 120  # a reading, and a restart
WORSE_S = 660  # the ten minutes that growth is held at most, and a delivery


# --- the seven ----------------------------------------------------------------------------------


def _correlated(story: Story, storm: Storm) -> tuple[bool, str]:
    """Every alert is in exactly one incident, and an incident holds one cause and all of it."""
    causes: dict[str, dict[str, None]] = {}
    seen: dict[str, int] = {}
    for fact in story.all(e.AlertsAttached):
        event = fact.event
        for item in event.attached:
            cause = storm.cause_of(item.alert.service, item.alert.name)
            if not cause:
                continue  # one that midwatch raised itself, such as that nothing moves
            causes.setdefault(event.incident, {})[cause] = None
            key = f"{item.alert.fingerprint}/{item.alert.starts_at}"
            seen[key] = seen.get(key, 0) + 1
    once = len(seen) == storm.alert_count and all(n == 1 for n in seen.values())
    pure = all(len(found) == 1 for found in causes.values())
    says = f"{len(seen)} of {storm.alert_count} alerts once, {len(causes)} incidents"
    return once and pure and len(causes) == len(storm.causes), says


def _ticket_joined(story: Story, storm: Storm) -> tuple[bool, str]:
    triaged = story.first(e.TicketTriaged)
    if triaged is None or not story.incident:
        return False, "no ticket or no incident that burns"
    joined = triaged.event.incident
    return joined == story.incident, f"joined {joined or 'none'}, {story.incident} burns"


def _paged(story: Story, storm: Storm) -> tuple[bool, str]:
    burning, sent = story.mine(e.BudgetBurning), story.mine(e.PageSent)
    if burning is None or sent is None:
        return False, "no burn or no page arrived"
    severity = story.incidents[story.incident].severity
    says = f"{severity}, {burning.event.reason.says}"
    return severity == "sev1" and burning.event.tier == "PageQuick", says


def _rolled_back(story: Story, storm: Storm) -> tuple[bool, str]:
    done, approved = story.mine(e.RollbackCompleted), story.mine(e.PlanApproved)
    if done is None or approved is None:
        return False, "nothing was rolled back"
    good = [f.event.release for f in story.all(e.ReleaseRegistered) if f.event.good]
    return done.event.to in good, f"{done.event.bad} -> {done.event.to}"


def _recovered(story: Story, storm: Storm) -> tuple[bool, str]:
    mitigated = recovered_by_rollback(story)
    if mitigated is None:
        return False, "users were not seen well after the rollback alone"
    return mitigated.event.after is not None, mitigated.event.reason.says


def _left_a_case(story: Story, storm: Storm) -> tuple[bool, str]:
    written, case = story.mine(e.PostmortemDrafted), story.mine(e.RegressionCaseAdmitted)
    if written is None or case is None:
        refused = story.mine(e.RegressionCaseRefused)
        return False, refused.event.reason.says if refused else "no postmortem or no case"
    return True, case.event.reason.says


def _promoted(story: Story, storm: Storm) -> tuple[bool, str]:
    judged, promoted = story.mine(e.CanaryJudged), story.mine(e.FixPromoted)
    if judged is None:
        return False, "no canary ran"
    if promoted is None:
        return False, f"{judged.event.verdict}: {judged.event.reason.says}"
    live = story.shard.pointers[promoted.event.service].live
    return live == promoted.event.release, f"{live} is live"


SEVEN: tuple[tuple[str, Callable[[Story, Storm], tuple[bool, str]]], ...] = (
    ("AIOps correlated the storm", _correlated),
    ("ticket triaged into the incident", _ticket_joined),
    ("fast burn paged at sev1", _paged),
    ("runbook rolled back to the last good release", _rolled_back),
    ("SLI recovered after the rollback", _recovered),
    ("postmortem left a regression case", _left_a_case),
    ("fix canaried & promoted to live", _promoted),
)


def seven(story: Story, storm: Storm) -> list[Check]:
    """Run the lab's seven checks."""
    return [(name, *check(story, storm)) for name, check in SEVEN]


# --- a scenario's own expectations --------------------------------------------------------------


def expected(story: Story, scenario: Scenario, log: Log) -> list[Check]:
    """Compare what a scenario expects with what was."""
    wanted = scenario.expect
    mitigated = story.all(e.IncidentMitigated)
    counts: dict[str, int] = {
        "incidents": len(story.incidents),
        "pages": len({page.key for page in log.sent()}),
        "mitigated": len(mitigated),
        "closed": sum(i.state == "closed" for i in story.incidents.values()),
        "unresolved": sum(i.state not in ("resolved", "closed") for i in story.incidents.values()),
    }
    checks: list[Check] = []
    for name, want in wanted.items():
        if name in counts:
            checks.append((f"{want} {name}", counts[name] == want, f"{counts[name]} {name}"))
        elif name == "recovery":
            reasons = [f.event.reason.says for f in mitigated]
            passed = bool(reasons) and all(str(want) in says for says in reasons)
            checks.append((f"recovered with reason {want!r}", passed, "; ".join(reasons)))
        elif name == "mitigation" and isinstance(want, tuple):
            checks.append((f"mitigated by {' or '.join(want)}", *_mitigated_by(story, want)))
        elif name == "untouched" and isinstance(want, tuple):
            says = _touched(story, log, want)
            checks.append((f"nothing done to {', '.join(want)}", not says, says or "nothing was"))
        elif name == "plans" and isinstance(want, dict):
            says = " and ".join(f"{service} {became}" for service, became in want.items())
            checks.append((f"one incident, a plan each: {says}", *_plans(story, want)))
        elif name == "overlapping":
            checks.append(("the incidents overlap", *_overlap(story)))
        else:
            last = max((at for at, _ in scenario.deliveries), default=0)
            first = min((f.at for f in mitigated), default=0)
            passed = first >= last > 0
            says = "mitigated with the last delivery" if passed else "mitigated too early"
            checks.append(("not recovered before the last alert resolved", passed, says))
    return checks


def _touched(story: Story, log: Log, services: tuple[str, ...]) -> str:
    """Say what was done to one of these services for an incident, in the journal or the world."""
    rolled = [
        f"rollback of {f.event.service}"
        for f in story.all(e.RollbackStarted)
        if f.event.service in services
    ]
    plans = [
        f"plan for {f.event.service}"
        for f in story.all(e.PlanApproved)
        if f.event.service in services
    ]
    done = [f"{one.action} on {one.service}" for one in log.remedied() if one.service in services]
    begun = {f.event.operation for f in story.all(e.RollbackStarted)}
    moved = [
        f"{one.service} moved to {one.release}"
        for one in log.moved()
        if one.service in services and one.operation in begun
    ]
    return "; ".join((*plans, *rolled, *done, *moved))


def _mitigated_by(story: Story, wanted: tuple[str, ...]) -> tuple[bool, str]:
    """Each incident that was mitigated had one of these done before, and nothing else but them."""
    done: dict[str, dict[str, int]] = {}
    for started in story.all(e.ActionStarted):
        event = started.event
        for fact in story.all(e.ActionDone):
            if fact.event.operation == event.operation and fact.event.changed:
                done.setdefault(event.incident, {}).setdefault(event.action, fact.at)
    for fact in story.all(e.RollbackCompleted):
        done.setdefault(fact.event.incident, {}).setdefault("release.rollback", fact.at)
    mitigated = story.all(e.IncidentMitigated)
    says = "; ".join(
        f"{f.event.incident} by {', '.join(done.get(f.event.incident, {})) or 'nothing'}"
        for f in mitigated
    )
    passed = bool(mitigated) and all(
        name in wanted and at <= fact.at
        for fact in mitigated
        for name, at in done.get(fact.event.incident, {"": 0}).items()
    )
    return passed, says or "nothing was mitigated"


def _plans(story: Story, wanted: dict[str, str]) -> tuple[bool, str]:
    """One incident had a plan for each of these services at once, and each ended as it should.

    Plans are named by hash: what was approved, done or refused is this plan and no other.
    """
    plans: dict[str, tuple[str, str, str]] = {}  # service -> incident, hash and what became of it
    asked: set[str] = set()  # services whose plan waits for a person
    together = False
    for fact in story.facts:
        event = fact.event
        if isinstance(event, e.PlanProposed) and event.plan is not None:
            plans[event.plan.service or ""] = event.incident, event.plan_hash, "proposed"
            asked.add(event.plan.service or "")
        elif isinstance(event, e.PlanApproved | e.PlanRefused | e.ActionDone | e.RollbackCompleted):
            together = together or asked >= {*wanted}
            became = "approved" if isinstance(event, e.PlanApproved) else "done"
            became = "refused" if isinstance(event, e.PlanRefused) else became
            for service, (incident, plan, _) in list(plans.items()):
                if (incident, plan) == (event.incident, event.plan_hash):
                    plans[service] = incident, plan, became
                    asked.discard(service)
    says = "; ".join(
        f"{plan} of {of} in {incident} {became}" for of, (incident, plan, became) in plans.items()
    )
    one = len({incident for incident, _, _ in plans.values()}) == 1
    ended = {service: became for service, (_, _, became) in plans.items()}
    return one and together and ended == wanted, says or "no plan was proposed"


def _overlap(story: Story) -> tuple[bool, str]:
    spans = sorted((i.opened_at, i.mitigated_at) for i in story.incidents.values())
    over = all(later[0] < earlier[1] for earlier, later in pairwise(spans))
    return over and len(spans) > 1, f"{len(spans)} incidents"


# --- the laws -----------------------------------------------------------------------------------


def broken_laws(
    story: Story,
    storm: Storm,
    scenario: Scenario,
    log: Log,
    excused: AbstractSet[str] = frozenset(),
) -> list[str]:
    """List the laws that a shift broke; empty is good.

    `excused` are operations that were said not to be done though they were, and pages that were on
    their way for a while: of those, twice and late is the world's doing.
    """
    found = [
        _every_alert_once(story, storm),
        _no_page_lost(story, log),
        _nothing_twice(log, scenario, excused),
        _only_approved(story, log),
        _no_page_after_ack(story, log, excused),
        _worse_news_pages(story),
        _waits_are_told(story, scenario),
        _only_proven_fixes(story, scenario),
        _pointer_is_served(story, scenario, log),
        _recovery_was_seen(story),
        _settled(story, scenario),
        _keys_are_new(story),
        _keys_are_salted(story),
    ]
    return [law for law in found if law]


def _every_alert_once(story: Story, storm: Storm) -> str:
    places: dict[str, list[str]] = {}
    for fact in story.all(e.AlertsAttached):
        event = fact.event
        for item in event.attached:
            if not storm.cause_of(item.alert.service, item.alert.name):
                continue  # one that midwatch raised itself, such as that nothing moves
            key = f"{item.alert.fingerprint}/{item.alert.starts_at}"
            places.setdefault(key, []).append(event.incident)
    twice = [key for key, where in places.items() if len(where) > 1]
    if twice or len(places) != storm.alert_count:
        return (
            f"every alert in exactly one incident: {len(places)} of {storm.alert_count} placed,"
            f" {len(twice)} twice"
        )
    return ""


def _no_page_lost(story: Story, log: Log) -> str:
    """A planned page arrived, was given up visibly, or was taken back by an ack or a recovery."""
    arrived = {page.key for page in log.sent()}
    # What a crash left in doubt, and somebody has acknowledged meanwhile, is not sent again.
    arrived |= {
        fact.event.key for fact in story.all(e.PageSent) if fact.event.receipt == STILL_IN_DOUBT
    }
    for fact in story.all(e.PagePlanned):
        event = fact.event
        incident = story.incidents[event.incident]
        state = next(p.state for p in incident.pages if p.key == event.key)
        over = incident.acknowledged_at or incident.mitigated_at
        sent = (event.digest or event.key) in arrived
        if not sent and state != "failed" and not over:
            return f"no page lost: {event.key} never arrived"
        if state == "sent" and not sent:
            return f"no page lost: {event.key} counts as sent and never arrived"
    return ""


def _nothing_twice(log: Log, scenario: Scenario, excused: AbstractSet[str]) -> str:
    """Only an action whose config says `idempotent: true` may be done twice for one step."""
    actions = scenario.config.rules.books.actions
    repeatable = {name for name, one in actions.items() if one.idempotent}
    operations: dict[str, int] = {}
    done = [one for one in log.remedied() if one.action not in repeatable]
    for move in (*log.moved(), *done):
        operations[move.operation] = operations.get(move.operation, 0) + 1
    twice = [name for name, times in operations.items() if times > 1 and name not in excused]
    return f"nothing done twice: {', '.join(twice)}" if twice else ""


def _only_approved(story: Story, log: Log) -> str:
    """Whatever was done for an incident stands in a plan that was approved before, and no other."""
    approved: set[tuple[str, str]] = set()
    proposed: dict[tuple[str, str], e.PlanProposed] = {}
    begun: set[str] = set()
    for fact in story.facts:
        event = fact.event
        if isinstance(event, e.PlanProposed):
            proposed[event.incident, event.plan_hash] = event
            approved.discard((event.incident, event.plan_hash))
        elif isinstance(event, e.ActionWaits) and event.plan is not None:
            plan = event.plan  # what is left, under a hash of its own
            proposed[event.incident, plan.hash] = structs.replace(
                proposed[event.incident, event.plan_hash],
                plan_hash=plan.hash,
                steps=plan.lines,
                plan=plan,
            )
            approved.discard((event.incident, event.plan_hash))
        elif isinstance(event, e.PlanApproved):
            approved.add((event.incident, event.plan_hash))
        elif isinstance(event, e.ActionStarted | e.RollbackStarted):
            plan = proposed.get((event.incident, event.plan_hash))
            if plan is None or (event.incident, event.plan_hash) not in approved:
                return f"nothing without an approval: {event.operation}"
            if isinstance(event, e.RollbackStarted) and (
                plan.plan is not None and plan.plan.service not in (None, event.service)
            ):
                return f"a plan acts on its own service: {event.operation} on {event.service}"
            says = event.says if isinstance(event, e.ActionStarted) else f"-> {event.to} "
            if not any(says in line for line in plan.steps):
                return f"nothing but the plan: {event.operation} is not in it"
            begun.add(event.operation)
    unknown = [one.operation for one in log.remedied() if one.operation not in begun]
    return f"nothing without an intent on disk: {unknown[0]}" if unknown else ""


def _no_page_after_ack(story: Story, log: Log, excused: AbstractSet[str]) -> str:
    """A page that arrives after it was acknowledged was claimed before.

    Growth is a page of its own, which only an ack that comes after it can stop. What is
    acknowledged stays so when the incident needs somebody again: a page of then says that.
    """
    for fact in story.all(e.PagePlanned):
        event = fact.event
        if event.key in excused or event.beside:
            continue
        acks = [
            f.at
            for f in story.all(e.PageAcknowledged)
            if f.event.incident == event.incident and f.seq > fact.seq
        ]
        for page in log.sent():
            if page.key == event.key and acks and acks[0] < page.at:
                return f"no page after the ack: {page.key}"
    return ""


def _worse_news_pages(story: Story) -> str:
    """What turns worse while somebody has it is told in ten minutes, unless it is over first."""
    taken: set[str] = set()
    worse: dict[str, int] = {}
    for fact in story.facts:
        event = fact.event
        if not isinstance(event, e.IncidentEvent):
            continue
        name = event.incident
        if name in worse and fact.at > worse[name] + WORSE_S * SECOND:
            return f"worse news gets through an ack: nobody was paged again for {name}"
        if isinstance(event, e.PageAcknowledged):
            taken.add(name)
        elif isinstance(event, e.AckWithdrawn | e.IncidentReopened | e.IncidentReassigned):
            taken.discard(name)
        if isinstance(event, e.SeverityDeclared) and event.urgency == "page" and name in taken:
            worse.setdefault(name, fact.at)
        elif isinstance(event, e.PagePlanned | e.PageHeld | e.IncidentMitigated | e.IncidentMerged):
            worse.pop(name, None)
    return f"worse news gets through an ack: {', '.join(worse)}" if worse else ""


def _waits_are_told(story: Story, scenario: Scenario) -> str:
    """What waits for events that do not come is told once, when its time for recovery is over."""
    rules = scenario.config.rules
    verifies = [Verify(), *(one for slo in rules.slos for one in rules.verifies(slo))]
    longest = (max(one.deadline_s for one in verifies) + LATE_S) * SECOND
    waits: dict[str, int] = {}
    for fact in story.facts:
        late = [name for name, since in waits.items() if fact.at > since + longest]
        if late:
            return f"what is waited for is told: nobody was told of {late[0]}"
        match fact.event:
            case e.RecoveryAwaited(incident=name):
                waits[name] = fact.at
            case e.WaitTold(incident=name) if name not in waits:
                return f"what is waited for is told once: {name} twice"
            case (
                e.WaitTold(incident=name)
                | e.AlertsAttached(incident=name)
                | e.BurnAttached(incident=name)
                | e.PlanApproved(incident=name)
                | e.PageSnoozed(incident=name)
                | e.IncidentMitigated(incident=name)
                | e.IncidentMerged(incident=name)
            ):
                waits.pop(name, None)
            case _:
                pass
    return ""


def _only_proven_fixes(story: Story, scenario: Scenario) -> str:
    """What was promoted answers its incident's case right, by the world's own truth.

    Without a case live traffic has judged it: then it is not worse than its baseline.
    """
    for fact in story.all(e.FixPromoted):
        event = fact.event
        incident = story.incidents[event.incident]
        plan = next(s for s in scenario.services if s.name == event.service)
        known = {r.name: r.wrong.questions if r.wrong else () for r in plan.releases}
        wrong, before = known[event.release], known[incident.baseline]
        worse = len(wrong) - len(before) > MARGIN * len(plan.bank)
        if worse if incident.case is None else incident.case.question in wrong:
            return f"nothing promoted that fails its case: {event.release}"
    return ""


def _pointer_is_served(story: Story, scenario: Scenario, log: Log) -> str:
    moves: dict[str, Moved] = {}
    for move in log.moved():
        moves[move.service] = move
    for service, move in moves.items():
        pointer = story.shard.pointers[service]
        plan = next(one for one in scenario.services if one.name == service)
        if any((release.live_at or 0) > move.at for release in plan.releases):
            continue  # it was deployed by others since
        if not pointer.pending and pointer.live != move.release:
            return f"the pointer is served: {service} serves {move.release}, not {pointer.live}"
    return ""


def _recovery_was_seen(story: Story) -> str:
    """Once its objective burned, only its SLI with enough events says that users are well."""
    burned: dict[str, int] = {}
    for attached in story.all(e.BurnAttached):
        burned.setdefault(attached.event.incident, attached.seq)
    for fact in story.all(e.IncidentMitigated):
        event = fact.event
        measured = burned.get(event.incident, fact.seq) < fact.seq
        if measured and (event.after is None or event.after.total < 30):
            return f"no data is no recovery: {event.incident}"
    return ""


def _keys_are_new(story: Story) -> str:
    """No key is drawn for two things, and nothing died because one was."""
    used: set[tuple[str, str]] = set()
    for fact in story.facts:
        match fact.event:
            case (
                e.PagePlanned(key=key)
                | e.PointerIntended(operation=key)
                | e.ActionStarted(operation=key)
            ):
                drawn = (type(fact.event).__name__, key)
            case _:
                continue
        if drawn in used:
            return f"no key is drawn twice: {key}"
        used.add(drawn)
    died = [fact.event.reason.says for fact in story.all(e.InputDied)]
    died += [letter.reason for letter in story.letters]
    for says in died:
        if any(words in says for words in USED):
            return f"no key is drawn twice: {says}"
    return ""


def _keys_are_salted(story: Story) -> str:
    """What was planned in a term carries the salt of that term."""
    terms = story.all(e.TermBegan)
    begun = [fact.seq for fact in terms]
    for key, seq in story.planned:
        term = bisect_right(begun, seq)
        if term and not key.endswith(f"/{terms[term - 1].event.salt}"):
            return f"every key carries its term's salt: {key}"
    return ""


def _settled(story: Story, scenario: Scenario) -> str:
    """Each incident is closed, or says what it waits for: also for people who were just paged."""
    ends_at = story.rows[-1][0].at - scenario.people.ack_after_s * SECOND
    for incident in story.incidents.values():
        if incident.state == "closed":
            continue
        waits = (
            incident.exhausted
            or incident.waits  # what covers it is looked at again, or whether it holds
            or incident.acknowledged_by
            or incident.has_postmortem
            or incident.state == "resolved"
            or incident.urgency != "page"
            or (incident.awaits_ack and incident.pages[-1].at >= ends_at)
        )
        if not waits:
            return f"all settles: {incident.id} is {incident.state} and waits for nobody"
    return ""
