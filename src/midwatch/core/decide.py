"""(state, input, now) -> Decision: what follows from whatever arrives.

Law: this file only dispatches. Each function below is one kind of input, and reads as the order in
which the nouns are asked; the rules themselves live with their nouns. Where a page is decided:
`escalation.declare`. Where an alert finds its incident: `correlation.attach`. Where users count as
well again: `slo.judge_recovery`, `recovery.judge`. Where an incident may close: `incidents.lacks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from msgspec import structs

from midwatch.core.rules import (
    answers,
    approving,
    burns,
    causes,
    clocks,
    closure,
    correlation,
    covers,
    drafts,
    escalation,
    fixes,
    growth,
    heartbeats,
    impact,
    looks,
    moves,
    muting,
    news,
    overrides,
    patience,
    pointers,
    proposing,
    proving,
    receipts,
    rechecks,
    recovery,
    refreshes,
    regressions,
    rollouts,
    storms,
    terms,
    tickets,
)
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.leaving import Archived
from midwatch.core.state.members import speaking
from midwatch.core.state.runs import doing
from midwatch.core.state.shard import Shard
from midwatch.core.state.undo import Undo
from midwatch.core.values import changes
from midwatch.core.values.alerts import Alert
from midwatch.core.values.canary import Canary
from midwatch.core.values.keys import Key
from midwatch.core.values.reasons import Reason
from midwatch.errors import StateError

# What ends the firing of alerts, and with it what those muted.
_ENDING = (events.AlertsResolved, events.IncidentResolved)


def decide(
    shard: Shard,
    given: inputs.Input,
    now: int,
    rules: Rules,
    undo: Undo | None = None,
    recalled: Mapping[str, Archived] = {},
) -> Decision:
    """Decide on one input. The shard is changed in place; raising leaves it half-changed.

    `undo` hears of each change before it is made, and can take all of them back. `recalled` has the
    incident that the input is about, when that has left the shard.

    Raises StateError when a command does not fit the present state.
    """
    d = Decision(shard, max(now, shard.at), undo, recalled)
    dispatch(d, rules, given)
    return d


def dispatch(d: Decision, rules: Rules, given: inputs.Input) -> None:
    """Decide on one more input in the same decision."""
    _DISPATCH[type(given)](d, rules, given)
    if any(isinstance(x, _ENDING) or _mutes_others(x) for x in d.events):
        _lift(d, rules, muting.ended(d))
    moved = {x.service for x in d.events if isinstance(x, events.ReleaseEvent) and _shows(x)}
    if moved:
        _plan_again(d, rules, moved)
    again = (x.incident for x in d.events if isinstance(x, events.IncidentReopened))
    for name in dict.fromkeys(again):
        proposing.ask_again(d, d.known(name))


def _shows(event: events.ReleaseEvent) -> bool:
    """Say whether a plan may be another one after a fact about a service's releases."""
    return not isinstance(event, events.CanaryCounted | events.CanaryHeld)


def _plan_again(d: Decision, rules: Rules, services: Collection[str]) -> None:
    """Show the plans of services as they would be now that what is live has changed."""
    for name in list(d.shard.open):
        incident = d.known(name)
        mine = [one for one in incident.plans if one.asks_somebody or one.is_under_way]
        asks = any(incident.acts_for(one) in services for one in mine if one.asks_somebody)
        lacks = not mine and any(one in incident.services for one in services)
        if asks or lacks:
            approving.check(d, rules.means(incident), incident, services)


def _mutes_others(event: events.Event) -> bool:
    """Say whether an alert that goes on firing inhibits something else than it did."""
    return isinstance(event, events.AlertsChanged) and bool(event.mutes)


def _alerts(d: Decision, rules: Rules, given: inputs.AlertsArrived) -> None:
    rest = given.alerts
    if any(job.alert for job in rules.jobs.values()):
        rest = _without_beats(d, rules, given)
    _attach(d, rules, rest)


def _without_beats(d: Decision, rules: Rules, given: inputs.AlertsArrived) -> tuple[Alert, ...]:
    """Take out the alerts that are beats of a watched job: they say that all is well."""
    jobs = {job.alert: job for job in rules.jobs.values() if job.source == given.source}
    for name in {a.name for a in given.alerts if a.name in jobs and a.status == "firing"}:
        _attach_if(d, rules, heartbeats.seen(d, jobs[name]))
    return tuple(alert for alert in given.alerts if alert.name not in jobs)


def _attach_if(d: Decision, rules: Rules, alert: Alert | None) -> None:
    if alert is not None:
        _attach(d, rules, [alert])


def _heartbeat(d: Decision, rules: Rules, given: inputs.HeartbeatSeen) -> None:
    job = rules.jobs.get(given.job)
    if job is None:
        raise StateError(f"no heartbeat is named {given.job!r}", remedy="run midwatch check")
    _attach_if(d, rules, heartbeats.seen(d, job))


def _started(d: Decision, rules: Rules, given: inputs.Started) -> None:
    heartbeats.watch(d, rules.jobs.values(), given.due_at)


def _begin_term(d: Decision, rules: Rules, given: inputs.BeginTerm) -> None:
    terms.begin(d, given)


def _clock(d: Decision, rules: Rules, given: inputs.ClockSeen) -> None:
    if clocks.see(d, rules, given):  # whatever has a date is judged again
        escalation.keep_dates(d)
        _quiet(d, muting.keep_dates(d, rules.muting))
        _lift(d, rules, muting.timed(d.shard))


def _attach(d: Decision, rules: Rules, alerts: Iterable[Alert]) -> None:
    known = refreshes.take(d, rules.muting, alerts, partial(impact.wakes, d, rules))
    if any(_mutes_others(x) for x in d.events):
        _quiet(d, muting.inhibit(d, rules.muting))
    touched = correlation.attach(d, rules.places(d.shard), known.rest)
    for name in dict.fromkeys((*known.worse, *touched)):
        new = [item.alert for item in touched.get(name, ()) if not item.muted]
        impact.declare(d, rules, d.known(name), [*known.worse.get(name, ()), *new])
    for name, attached in touched.items():
        incident = d.known(name)
        speaking = [item.alert for item in attached if not item.muted]
        if speaking:
            impact.page_if_silent(d, rules, incident, f"{speaking[0].name} is not muted")
        recovery.reopen_without_sli(d, rules, incident)
        news.not_over(d, rules, incident)
        recovery.recover_without_sli(d, rules, incident)
    _think_again(d, rules, known.rest)
    if touched:
        _think_ahead(d, rules, touched)
        _inhibit(d, rules, touched.values())
        storms.judge(d)


def _think_ahead(
    d: Decision, rules: Rules, touched: Mapping[str, Sequence[events.Attachment]]
) -> None:
    """Look for a runbook where new alerts may change the answer.

    Not at each alert: an incident of thousands would be looked through for each of them.
    """
    if not rules.books.runbooks:
        return
    declared = {x.incident for x in d.events if isinstance(x, events.SeverityDeclared)}
    for name, attached in touched.items():
        incident = d.known(name)
        alerts = [item.alert for item in attached]
        if (
            name in declared
            or any(proposing.is_named(rules.books, alert.labels) for alert in alerts)
            or causes.widens(incident, alerts)
        ):
            proposing.consider(d, rules.means(incident), incident)


def _think_again(d: Decision, rules: Rules, alerts: Sequence[Alert]) -> None:
    """Look for a runbook where an alert has ended that one asks for."""
    ended = [one for one in alerts if one.status == "resolved"]
    if not any(proposing.is_named(rules.books, one.labels) for one in ended):
        return
    for name in dict.fromkeys(x.incident for x in d.events if isinstance(x, events.AlertsResolved)):
        proposing.consider(d, rules.means(d.known(name)), d.known(name))


def _inhibit(d: Decision, rules: Rules, attached: Iterable[Sequence[events.Attachment]]) -> None:
    """Mute what fires already, when the first source of an inhibition comes after it."""
    keys = [key for items in attached for item in items for key in item.mutes]
    if not keys:
        return
    new = Counter(keys)
    # A key that muted before has muted all that fires already.
    if any(len(d.shard.inhibitors.get(key, ())) == count for key, count in new.items()):
        _quiet(d, muting.inhibit(d, rules.muting))


def _lift(d: Decision, rules: Rules, keys: Iterable[str]) -> None:
    """Judge alerts that are muted no longer, as if they had just come."""
    for name, firing in muting.lift(d, rules.muting, keys).items():
        incident = d.known(name)
        impact.declare(d, rules, incident, firing)
        impact.page_if_silent(d, rules, incident, f"{len(firing)} alerts are no longer muted")


def _changes(d: Decision, rules: Rules, given: inputs.ChangesArrived) -> None:
    """Note what was changed, each once."""
    for change in given.changes:
        told = changes.near(d.shard.changes, change.at)
        if all((one.id, one.service) != (change.id, change.service) for one in told):
            d.emit(events.ChangeSeen(change=change))


def _pages(d: Decision, rules: Rules, given: inputs.PagesSeen) -> None:
    """Note what somebody was paged for elsewhere; a delivery of ends alone pages nobody."""
    firing = [alert for alert in given.alerts if alert.status == "firing"]
    if firing:
        services = tuple(dict.fromkeys(alert.service for alert in firing))
        names = ", ".join(dict.fromkeys(alert.name for alert in firing))
        key = firing[0].labels.get("dedup_key") or firing[0].fingerprint
        d.emit(
            events.RealPageSeen(
                source=given.source, at=d.wall, services=services, key=key, title=names
            )
        )


def _sli(d: Decision, rules: Rules, given: inputs.SliMeasured) -> None:
    reading = given.reading
    objective = rules.slos.get(reading.slo)
    if objective is None:
        raise StateError(f"no SLO is named {reading.slo!r}", remedy="run midwatch check")
    _attach_if(d, rules, burns.hear(d, rules, objective, reading))
    burns.judge(d, rules, objective, reading)
    for incident_id in list(d.shard.open):
        incident = d.known(incident_id)
        drafts.sample(d, incident, objective, reading)
        if objective.id in incident.slos or (
            not incident.slo and objective.service in incident.services
        ):
            recovery.judge(d, rules, objective, incident, reading)
    for name in reading.harms:
        if name in d.shard.incidents:
            drafts.follow(d, d.known(name), rules, objective, reading)


def _override(d: Decision, rules: Rules, given: inputs.AddOverride) -> None:
    overrides.add(d, rules.policy.team.schedules, rules.people, given)


def _override_over(d: Decision, rules: Rules, given: inputs.RemoveOverride) -> None:
    overrides.remove(d, given)


def _swap(d: Decision, rules: Rules, given: inputs.SwapShifts) -> None:
    overrides.swap(d, rules.policy.team.schedules, given)


def _counted(d: Decision, rules: Rules, given: inputs.SliCounted) -> None:
    # Whoever pushes says dates; the counts are kept in the journal's time, which does not jump.
    skew = d.shard.skew
    shifted = (structs.replace(one, at=one.at + skew) for one in given.buckets)
    d.count(shifted if skew else given.buckets)


def _ticket(d: Decision, rules: Rules, given: inputs.FileTicket) -> None:
    places = rules.places(d.shard)
    desk = tickets.Desk(places, rules.categories, rules.trouble, rules.trusted)
    found = tickets.triage(d, desk, given)
    if found is not None and not found.incident.slo and not found.incident.alert_count:
        policy = rules.policy_of(found.incident)
        growth.declare(
            d,
            policy,
            found.incident,
            found.severity,
            found.reason,
            title=found.incident.title,
            service=found.incident.service,
        )
    if found is not None and found.incident.state == "mitigated":
        drafts.draft(d, found.incident, rules)  # a late report counts


def _tickets(d: Decision, rules: Rules, given: inputs.TicketsArrived) -> None:
    for ticket in given.tickets:
        _ticket(d, rules, ticket)


def _timer(d: Decision, rules: Rules, given: inputs.TimerCameDue) -> None:
    timer = given.timer
    name = Key.read(timer.key).rest
    match timer.purpose:
        case "silent":
            job = rules.jobs.get(name)
            if job is not None:  # else nobody watches it any more
                _attach_if(d, rules, heartbeats.silent(d, job))
        case "prove":
            pointers.on_prove_timer(d, name)
        case "mute" | "unmute":
            _mute_or_lift(d, rules, timer.key)
        case "storm":
            storms.on_timer(d)
        case _:
            incident = d.incident(timer.incident)
            if incident is not None:
                _incident_timer(d, rules, timer, incident)


def _incident_timer(d: Decision, rules: Rules, timer: inputs.Timer, incident: Incident) -> None:
    on_plan = _PLAN_TIMERS.get(timer.purpose)
    on_policy = _POLICY_TIMERS.get(timer.purpose)
    if on_plan is not None:
        on_plan(d, rules.means(incident), incident, Key.read(timer.key).after(incident.id))
    elif on_policy is not None:
        on_policy(d, rules.policy_of(incident), incident)
    elif timer.purpose == "waits":
        deadline_s = rules.verify_of(incident).deadline_s
        patience.on_timer(d, rules.policy_of(incident), incident, deadline_s)
    elif timer.purpose == "look":
        looks.on_timer(d, rules, incident)
    elif timer.purpose == "others":
        _others_timer(d, rules, incident, timer)
    elif timer.purpose == "unanswered":
        receipts.on_unanswered(d, rules.policy_of, incident, timer)
    elif timer.purpose == "digest":
        escalation.on_digest_timer(d, timer)
    else:
        recovery.on_settle_timer(d, rules, incident, timer)


_PLAN_TIMERS = {
    "verify": proving.on_verify_timer,
    "step": answers.on_step_timer,
    "automate": proposing.on_automate_timer,
}
_POLICY_TIMERS = {
    "escalate": escalation.on_timer,
    "snooze": escalation.on_snooze_end,
    "grow": growth.on_growth_timer,
    "forgotten": escalation.on_forgotten,
}


def _others_timer(d: Decision, rules: Rules, incident: Incident, timer: inputs.Timer) -> None:
    name = Key.read(timer.key).after(incident.id)
    policy = rules.policies.get(name)
    if policy is None:
        news.rerouted(d, rules, incident, name)
    else:
        growth.on_others_timer(d, rules.policy_of(incident), policy, incident)


def _mute_or_lift(d: Decision, rules: Rules, timer: str) -> None:
    purpose, key = Key.read(timer)
    silence = muting.starting(d.shard, key)
    if purpose == "mute":
        if silence is not None:
            _quiet(d, muting.mute(d, silence))
        return
    muting.expire(d, key)
    _lift(d, rules, [key])
    if key in d.shard.muted:  # the next window has begun at once
        muting.watch(d, rules.muting, key)


def _quiet(d: Decision, incidents: Iterable[Incident]) -> None:
    """Stop paging for incidents of which every alert is muted."""
    for incident in incidents:
        if incident.state == "open" and not incident.awaits_ack and not incident.slo:
            escalation.silence(d, incident)


def _silence(d: Decision, rules: Rules, given: inputs.AddSilence) -> None:
    _quiet(d, muting.add(d, rules.muting, given))


def _silence_over(d: Decision, rules: Rules, given: inputs.EndSilence) -> None:
    _lift(d, rules, [muting.end(d, given)])


def _merge(d: Decision, rules: Rules, given: inputs.MergeIncident) -> None:
    into = _known(d, given.into)
    old = _known(d, given.incident)
    asked, was = news.unanswered(rules, old), news.known_of(into)
    asks = old.awaits_ack and not old.waits
    moves.merge(d, rules.policy_of(into), old, into, given.by)
    recovery.reopen_without_sli(d, rules, into, asks=asks)
    news.merged(d, rules, old, into, given.by, was, asked)
    if speaking(into):
        impact.page_if_silent(d, rules, into, f"{given.incident} is part of it")
    approving.check(d, rules.means(into), into)
    _price(d, rules, into)


def _split(d: Decision, rules: Rules, given: inputs.SplitIncident) -> None:
    old = _known(d, given.incident)
    new, _ = moves.split(d, old, given)
    impact.declare(d, rules, new, speaking(new))
    proposing.consider(d, rules.means(new), new)
    approving.check(d, rules.means(old), old)


def _undo(d: Decision, rules: Rules, given: inputs.UndoMove) -> None:
    incident = _known(d, given.incident)
    last = incident.last_move
    other = d.incident(last.new) if last else None
    old = d.incident(last.old) if last else None
    asked = news.unanswered(rules, other) if other else []
    was = news.known_of(old or incident)
    back, reason = moves.undo(d, incident, given.by)
    impact.declare(d, rules, back, speaking(back))
    if other is not None and other.merged_into == back.id:
        news.merged(d, rules, other, back, given.by, was, asked)
    elif other is not None:
        news.unmerged(d, rules, back, other)
    impact.page_if_silent(d, rules, back, reason.says)
    for one in (back, incident):
        approving.check(d, rules.means(one), one)
    for one in filter(None, (back, other)):
        _price(d, rules, one)


def _price(d: Decision, rules: Rules, incident: Incident) -> None:
    """Make the figures of an incident again that is over: it gained or lost a part."""
    if incident.state in ("mitigated", "resolved") and incident.has_postmortem:
        drafts.draft(d, incident, rules)


def _page_answer(d: Decision, rules: Rules, given: inputs.PageAnswered) -> None:
    incident = _known(d, given.incident)
    receipts.on_page_answer(d, rules.policy_of, incident, given)


def _release_answer(d: Decision, rules: Rules, given: inputs.ReleaseAnswered) -> None:
    _moved(d, rules, given)
    pointer = next((p for p in d.shard.pointers.values() if p.done == given.key), None)
    if pointer is not None:
        _attach_if(d, rules, pointers.moves_again(d, pointer.service))


def _moved(d: Decision, rules: Rules, given: inputs.ReleaseAnswered) -> None:
    if not given.incident:
        pointer = next((p for p in d.shard.pointers.values() if p.pending == given.key), None)
        _attach_if(d, rules, pointers.on_answer(d, given))
        if pointer is not None:
            _trial_over(d, rollouts.on_answer(d, pointer, given.key))
            _step_over(d, rules, given)
        return
    incident = _known(d, given.incident)
    if given.key.startswith("rollback/"):
        answers.on_rollback_answer(d, rules.means(incident), incident, given)
        return
    promoting = incident.promotion == given.key
    needs_person = fixes.on_promote_answer(d, incident, given)
    if needs_person:
        says = f"promotion {given.state}: {given.seen}"
        escalation.page_again(d, rules.policy_of(incident), incident, Reason(fixes.RULE, says))
    elif promoting and incident.fix_state == "promoted":
        rechecks.start(d, incident)


def _step_over(d: Decision, rules: Rules, given: inputs.ReleaseAnswered) -> None:
    """Tell the incident whose plan took a canary off."""
    for incident in [d.known(name) for name in d.shard.open]:
        if doing(incident.plans, given.key) is not None:
            answers.on_traffic(d, rules.means(incident), incident, given)


def _action_answer(d: Decision, rules: Rules, given: inputs.ActionAnswered) -> None:
    incident = _known(d, given.incident)
    answers.on_answer(d, rules.means(incident), incident, given)


def _evals_answer(d: Decision, rules: Rules, given: inputs.EvalsAnswered) -> None:
    incident = _known(d, given.incident)
    purpose = Key.read(given.key).purpose
    if purpose == "admission":
        regressions.on_answer(d, incident, given)
    elif purpose == "canary":
        suite = rules.suites.get(incident.service_of_plan)
        kept = frozenset(case.id for case in (suite.cases if suite else ()) if case.incident)
        fixes.on_evals_answer(d, rules.canaries, kept, incident, given)
    else:
        rechecks.on_answer(d, incident, given)
    closure.close_if_done(d, incident)


def _register(d: Decision, rules: Rules, given: inputs.RegisterRelease) -> None:
    pointers.register(d, given)


def _move(d: Decision, rules: Rules, given: inputs.MoveRelease) -> None:
    pointer = d.shard.pointers.get(given.service)
    trial = pointer.canary if pointer else None
    pointers.move(d, given)
    _trial_over(d, trial)


def _trial_over(d: Decision, trial: Canary | None) -> None:
    """Tell the incident whose fix was tried."""
    if trial is not None:
        fixes.on_trial_end(d, trial)


def _checked(d: Decision, rules: Rules, given: inputs.ReleaseChecked) -> None:
    _attach_if(d, rules, pointers.checked(d, given))


def _start_canary(d: Decision, rules: Rules, given: inputs.StartCanary) -> None:
    rollouts.start(d, rules.canaries, given)


def _abort_canary(d: Decision, rules: Rules, given: inputs.AbortCanary) -> None:
    trial = pointers.known(d, given.service).canary
    rollouts.abort(d, given)
    _trial_over(d, trial)


def _canary_read(d: Decision, rules: Rules, given: inputs.CanaryRead) -> None:
    _trial_over(d, rollouts.read(d, given))


def _seen(d: Decision, rules: Rules, given: inputs.ReleaseSeen) -> None:
    if pointers.reconcile(d, given):
        _attach_if(d, rules, pointers.moves_again(d, given.service))


def _acknowledge(d: Decision, rules: Rules, given: inputs.Acknowledge) -> None:
    incident = _known(d, given.incident)
    if incident.state == "merged":  # whoever was paged before has what it goes on in
        incident = covers.home_of(d.shard, incident.id) or incident
    sides = rules.sides_of(incident, given.by)
    escalation.acknowledge(d, rules.policy.team, incident, given.by, sides)
    clocks.end(d, rules, incident)


def _unacknowledge(d: Decision, rules: Rules, given: inputs.Unacknowledge) -> None:
    incident = _known(d, given.incident)
    escalation.unacknowledge(d, rules.policy_of(incident), incident, given.by)


def _reassign(d: Decision, rules: Rules, given: inputs.Reassign) -> None:
    incident = _known(d, given.incident)
    known = rules.people | frozenset(rules.policy.team.schedules)
    escalation.reassign(d, rules.policy_of(incident), incident, given.to, given.by, known)


def _snooze(d: Decision, rules: Rules, given: inputs.Snooze) -> None:
    incident = _known(d, given.incident)
    sides = rules.sides_of(incident, given.by)
    escalation.snooze(d, rules.policy.team, incident, given.by, given.until, sides)


def _resolve(d: Decision, rules: Rules, given: inputs.ResolveIncident) -> None:
    recovery.resolve_by_person(d, rules, _known(d, given.incident), given)


def _approve(d: Decision, rules: Rules, given: inputs.ApprovePlan) -> None:
    incident = _known(d, given.incident)
    approving.approve(d, rules.means(incident), incident, given)
    if any(isinstance(x, events.PlanApproved) for x in d.events):  # else it is asked of again
        news.approved(d, rules, incident, given.by)


def _choose_plan(d: Decision, rules: Rules, given: inputs.ProposePlan) -> None:
    incident = _known(d, given.incident)
    proposing.choose(d, rules.means(incident), incident, given)


def _refuse_plan(d: Decision, rules: Rules, given: inputs.RefusePlan) -> None:
    incident = _known(d, given.incident)
    approving.refuse(d, rules.means(incident), incident, given)


def _stop_plan(d: Decision, rules: Rules, given: inputs.StopPlan) -> None:
    incident = _known(d, given.incident)
    approving.stop(d, rules.means(incident), incident, given)


def _propose_fix(d: Decision, rules: Rules, given: inputs.ProposeFix) -> None:
    fixes.propose(d, _known(d, given.incident), given.release, given.by)


def _offer_case(d: Decision, rules: Rules, given: inputs.OfferCase) -> None:
    incident = _known(d, given.incident)
    regressions.offer(d, incident, given)
    closure.close_if_done(d, incident)


def _quarantine(d: Decision, rules: Rules, given: inputs.QuarantineCase) -> None:
    regressions.quarantine(d, given)


def _retire(d: Decision, rules: Rules, given: inputs.RetireCase) -> None:
    regressions.retire(d, given)


def _waive(d: Decision, rules: Rules, given: inputs.GrantWaiver) -> None:
    incident = _known(d, given.incident)
    closure.waive(d, incident, given)


def _close(d: Decision, rules: Rules, given: inputs.CloseIncident) -> None:
    closure.close(d, _known(d, given.incident))


def _draft(d: Decision, rules: Rules, given: inputs.DraftPostmortem) -> None:
    incident = _known(d, given.incident)
    drafts.draft_by_hand(d, incident, rules)
    closure.close_if_done(d, incident)


def _edit(d: Decision, rules: Rules, given: inputs.EditPostmortem) -> None:
    drafts.edit(d, _known(d, given.incident), given)


def _add(d: Decision, rules: Rules, given: inputs.AddToPostmortem) -> None:
    drafts.add(d, _known(d, given.incident), given)


def _known(d: Decision, incident_id: str) -> Incident:
    incident = d.incident(incident_id)
    if incident is None:
        raise StateError(
            f"no incident is named {incident_id!r}", remedy="see midwatch incidents list"
        )
    return incident


_DISPATCH = cast(
    "dict[type, Callable[[Decision, Rules, Any], None]]",
    {
        inputs.AlertsArrived: _alerts,
        inputs.ChangesArrived: _changes,
        inputs.SliCounted: _counted,
        inputs.Unacknowledge: _unacknowledge,
        inputs.Reassign: _reassign,
        inputs.ClockSeen: _clock,
        inputs.HeartbeatSeen: _heartbeat,
        inputs.Started: _started,
        inputs.BeginTerm: _begin_term,
        inputs.AddOverride: _override,
        inputs.MergeIncident: _merge,
        inputs.SplitIncident: _split,
        inputs.UndoMove: _undo,
        inputs.AddSilence: _silence,
        inputs.EndSilence: _silence_over,
        inputs.RemoveOverride: _override_over,
        inputs.SwapShifts: _swap,
        inputs.PagesSeen: _pages,
        inputs.SliMeasured: _sli,
        inputs.FileTicket: _ticket,
        inputs.TicketsArrived: _tickets,
        inputs.TimerCameDue: _timer,
        inputs.PageAnswered: _page_answer,
        inputs.ReleaseAnswered: _release_answer,
        inputs.EvalsAnswered: _evals_answer,
        inputs.RegisterRelease: _register,
        inputs.MoveRelease: _move,
        inputs.ReleaseSeen: _seen,
        inputs.ReleaseChecked: _checked,
        inputs.StartCanary: _start_canary,
        inputs.AbortCanary: _abort_canary,
        inputs.CanaryRead: _canary_read,
        inputs.Acknowledge: _acknowledge,
        inputs.Snooze: _snooze,
        inputs.ResolveIncident: _resolve,
        inputs.ApprovePlan: _approve,
        inputs.ProposePlan: _choose_plan,
        inputs.RefusePlan: _refuse_plan,
        inputs.StopPlan: _stop_plan,
        inputs.ActionAnswered: _action_answer,
        inputs.ProposeFix: _propose_fix,
        inputs.GrantWaiver: _waive,
        inputs.CloseIncident: _close,
        inputs.DraftPostmortem: _draft,
        inputs.EditPostmortem: _edit,
        inputs.AddToPostmortem: _add,
        inputs.OfferCase: _offer_case,
        inputs.QuarantineCase: _quarantine,
        inputs.RetireCase: _retire,
    },
)
