"""Who is paged, when the next one is, and when paging stops.

Law: severity only ever rises. An incident whose severity pages and that nobody has acknowledged
always has a page under way, a timer, or a visible "exhausted", which is tried anew after a time. An
ack stops all that it was given for: no page of that news is planned, claimed or escalated after it.
What is worse or elsewhere is a page of its own (`news`, `growth`). Several incidents at once reach
the same person as one digest; a sev1 is never held back by it, nor is the first page. What became
of a page that was sent: `receipts`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from midwatch.core.rules import held
from midwatch.core.rules.covers import home_of
from midwatch.core.state import effects, events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident, Paged, is_waiting_for_ack, snooze_due, title_of
from midwatch.core.state.members import speaking
from midwatch.core.state.runs import Run
from midwatch.core.values.clock import SECOND, show_duration, show_time
from midwatch.core.values.keys import Key, Place
from midwatch.core.values.reasons import Reason
from midwatch.core.values.severity import Severity
from midwatch.core.values.storm import DIGEST_S
from midwatch.core.values.teams import Policy, Sides, Step, Team
from midwatch.errors import StateError
from midwatch.texts import cut

RULE = "escalation/2"
SILENT_S = 15
FAILED = 3  # answers that a page names
PLANS = 3  # and plans
NAMED = 3  # things that fire
LOOK_S = 900  # after which what pages nobody for now is looked at again
LONGEST = 250  # characters of each part of a page's reason
REASSIGNED_STEP = -1  # a page that no step asked for: the policy begins after it


def rate(
    d: Decision,
    policy: Policy,
    incident: Incident,
    severity: Severity,
    reason: Reason,
    ahead: Callable[[], None] = lambda: None,
    *,
    title: str,
    service: str,
    level: str = "",
) -> bool:
    """Raise the severity of an incident, and page nobody; False when it is as bad already.

    `ahead` is called then: what it finds out goes along with the page.
    """
    if incident.severity and incident.severity <= severity:
        return False
    urgency = policy.team.urgency[severity]
    renamed = title != incident.title
    d.emit(
        events.SeverityDeclared(
            incident=incident.id,
            severity=severity,
            urgency=urgency,
            reason=reason,
            title=title if renamed else "",
            service=service if renamed else "",
            level=level,
        )
    )
    ahead()
    return True


def rename(
    d: Decision, incident: Incident, reason: Reason, title: str, service: str, level: str
) -> None:
    """Call an incident after what is heard of it now, as bad as it is."""
    severity, urgency = incident.severity or "sev1", incident.urgency
    d.emit(
        events.SeverityDeclared(
            incident=incident.id,
            severity=severity,
            urgency=urgency,
            reason=reason,
            title=title,
            service=service,
            level=level,
        )
    )


def wait(
    d: Decision, incident: Incident, reason: Reason, delay_s: int, by: str = "", policy: str = ""
) -> None:
    """Page nobody for now, and look again; `by` is the incident that stands for it meanwhile.

    `policy` pages then, when it is another one than before.
    """
    _wait_until(d, incident, reason, d.now + delay_s * SECOND, by, policy)


def _wait_until(
    d: Decision, incident: Incident, reason: Reason, until: int, by: str, policy: str = ""
) -> None:
    d.emit(events.PageWaits(incident=incident.id, until=until, reason=reason, by=by, policy=policy))
    d.set_timer(inputs.Timer(_timer_key(incident), until, "escalate", incident.id))


def resume(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> bool:
    """Go on looking for somebody, as if it had not been over for a moment.

    False when nothing is left to go on with: somebody has answered, or nobody was looked for.
    """
    left = incident.left
    if left is None:
        return False
    if left.waits:
        _wait_until(d, incident, reason, max(left.until, d.now), left.waits_by)
        return True
    mine = [one.at for one in incident.pages[left.earlier_pages :] if not one.beside]
    until = next_at(d, policy, mine, 0 if left.exhausted else left.next_step)
    _go_on(d, policy, incident, reason, left.next_step, until, exhausted=left.exhausted)
    return True


def take_over(d: Decision, policy: Policy, incident: Incident, reason: Reason, step: int) -> None:
    """Make those who were asked besides, and had not answered, the ones whose incident it is."""
    until = next_at(d, policy, asked_at(incident, policy), step)
    _go_on(d, policy, incident, reason, step, until)


def asked_at(incident: Incident, policy: Policy) -> list[int]:
    """Say when people of a policy that is asked besides were paged."""
    return [one.at for one in incident.pages if one.beside == policy.name]


def next_at(d: Decision, policy: Policy, pages: list[int], step: int) -> int:
    """Say when the step after the last page is due; `step` is the next one, 0 when all were."""
    last = policy.step(step - 1) if step else None
    delay_s = last.delay_s if last else policy.team.again_s
    return max(pages[-1] + delay_s * SECOND, d.now) if pages else d.now


def _go_on(
    d: Decision,
    policy: Policy,
    incident: Incident,
    reason: Reason,
    step: int,
    until: int,
    *,
    exhausted: bool = False,
) -> None:
    d.emit(
        events.AskingResumed(
            incident=incident.id,
            policy=policy.name,
            step=step,
            until=until,
            reason=reason,
            exhausted=exhausted,
        )
    )
    d.set_timer(inputs.Timer(_timer_key(incident), until, "escalate", incident.id))


def release(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Send at once what was held for a digest."""
    places = [place for place, names in d.shard.held_pages.items() if incident.id in names]
    for place in places:
        person, via = Place.read(place)
        plan_page(d, policy.name, incident, person, via, incident.next_step - 1, reason)


def page(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Page the next step at which anybody can be reached, or record that there is none."""
    d.cancel_timer(_timer_key(incident))
    while (step := policy.step(incident.next_step)) is not None:
        number = incident.next_step
        reached = reach_of_step(d, policy, incident, step)
        if reached:
            for person, via in reached:
                send(d, policy, incident, person, via, number, reason)
            wait_for_ack(d, incident, step.delay_s)
            return
        says = f"nobody can be reached at step {number + 1} of policy {policy.name!r}"
        d.emit(
            events.StepSkipped(
                incident=incident.id,
                step=number,
                policy=policy.name,
                reason=Reason(RULE, says, {"step": number}),
            )
        )
    _exhausted(d, policy, incident)


def reach_of_step(
    d: Decision, policy: Policy, incident: Incident, step: Step
) -> list[tuple[str, str]]:
    """Say whom a step reaches now, and by which pager.

    A wall clock that is years behind has nobody on call yet: then the journal's time says who is.
    """
    found = _reached(d, policy, step, d.wall)
    if not found and d.shard.skew and not any(_reached(d, policy, s, d.wall) for s in policy.steps):
        found = _reached(d, policy, step, d.now)
    return found


def _reached(d: Decision, policy: Policy, step: Step, at: int) -> list[tuple[str, str]]:
    found: dict[tuple[str, str], None] = {}
    for name in step.to:
        person = policy.team.behind(name, at, d.shard.overrides)
        pagers = policy.team.pagers(person, step.via) if person else ()
        if person and pagers:
            found[person, pagers[0]] = None
    for channel in step.channels:
        found[channel, channel] = None
    return list(found)


def send(
    d: Decision,
    policy: Policy,
    incident: Incident,
    person: str,
    via: str,
    step: int,
    reason: Reason,
) -> None:
    """Plan a page, or hold it for a moment when the person was just paged for something else."""
    last_at = d.shard.last_page_at.get(Place(person, via).text)
    digest_s = policy.team.digest_s
    if d.shard.storm.raging:
        digest_s = max(digest_s, DIGEST_S)
    until = (last_at or 0) + digest_s * SECOND
    if last_at is None or incident.severity == "sev1" or d.now >= until:
        plan_page(d, policy.name, incident, person, via, step, reason)
        return
    d.emit(
        events.PageHeld(
            incident=incident.id,
            to=person,
            via=via,
            step=step,
            until=until,
            policy=policy.name,
            reason=reason,
        )
    )
    d.set_timer(inputs.Timer(f"digest/{Place(person, via).text}", until, "digest", incident.id))


def plan_page(
    d: Decision,
    policy: str,
    incident: Incident,
    person: str,
    via: str,
    step: int,
    reason: Reason,
    others: tuple[Incident, ...] = (),
    *,
    beside: bool = False,
) -> None:
    """Plan one page, for an incident and for the others of its digest."""
    key = _page_key(d, incident)
    d.emit(
        events.PagePlanned(
            incident=incident.id,
            key=key,
            to=person,
            step=step,
            reason=reason,
            via=via,
            policy=policy,
            beside=beside,
        )
    )
    for other in others:
        d.emit(
            events.PagePlanned(
                incident=other.id,
                key=_page_key(d, other),
                to=person,
                step=other.next_step - 1,
                reason=reason,
                via=via,
                policy=policy,
                digest=key,
            )
        )
    covered = (d.shard.incidents.get(name) for name in incident.also)
    told = dict.fromkeys(o.id for o in others)
    told.update((o.id, None) for o in covered if o is not None and _is_covered(o))
    also = [d.known(name) for name in told]
    d.plan(
        effects.SendPage(
            key=key,
            incident=incident.id,
            to=person,
            severity=incident.severity or "sev1",
            title=incident.title,
            # What comes from outside is cut, so that what may be done next always stands there.
            summary="".join(
                (
                    cut(reason.says, LONGEST),
                    cut(_why(incident, reason), LONGEST),
                    cut(_again(incident), LONGEST),
                    cut(_failed(incident), LONGEST),
                    cut(_link(incident), LONGEST),
                    cut(_tried(incident), LONGEST),
                    _next_step(incident),
                )
            ),
            service=incident.speaks_of,
            via=via,
            also=tuple(f"{one.id} {one.severity or 'sev1'}: {one.title}" for one in also),
            ref=incident.ref,
            thread=incident.thread,
        )
    )
    silent_at = d.now + SILENT_S * SECOND
    d.set_timer(inputs.Timer(silent_key(key), silent_at, "unanswered", incident.id))


def _is_covered(incident: Incident) -> bool:
    """Say whether an incident may still have what the pages of another one tell of."""
    return incident.state == "acknowledged" or (incident.awaits_ack and incident.waits)


def _why(incident: Incident, reason: Reason) -> str:
    """Repeat why it pages, where the page itself says something else, such as who was asked."""
    told = incident.why and incident.why not in reason.says
    return f"; why: {incident.why}" if told else ""


def _tried(incident: Incident) -> str:
    """Name the runbooks that were tried and have not helped."""
    over = not any(one.is_under_way or one.asks_somebody for one in incident.plans)
    return f"; tried: {', '.join(incident.tried)}" if incident.tried and over else ""


def _again(incident: Incident) -> str:
    """Say loudly that it is an earlier one again, which should have been kept away."""
    return f"; AGAIN: {incident.again.rstrip('.')}" if incident.again else ""


def _failed(incident: Incident) -> str:
    """Name a few of the answers that failed, for whoever is paged to look at first."""
    ids = [one.id for one in incident.failures if one.id]
    more = f" and {len(ids) - FAILED} more" if len(ids) > FAILED else ""
    return f"; failed: {', '.join(ids[:FAILED])}{more}" if ids else ""


def _link(incident: Incident) -> str:
    """Name the runbook that the rule of its first alert names."""
    return f"; see {next(iter(incident.links))}" if incident.links else ""


def _next_step(incident: Incident) -> str:
    """Say what whoever is paged may do next, for the first few plans that are there."""
    lead = incident.lead
    plans = [one for one in incident.plans if one is not lead]
    says = [line for one in (lead, *plans) if (line := _of_plan(incident, one))]
    more = f"; {len(says) - PLANS} more plans: midwatch incidents show {incident.id}"
    # What waits for a yes is last, where nothing cuts it off.
    return f"{more if len(says) > PLANS else ''}{''.join(reversed(says[:PLANS]))}"


def _of_plan(incident: Incident, run: Run) -> str:
    about = f"runbook {run.runbook} for {incident.acts_for(run)}".removesuffix(" for ")
    how = f"midwatch runbook approve {incident.id} {run.hash}"
    match run.state:
        case "proposed":
            return f"; next step: {about}, {how}"
        case "waiting":
            return f"; {about} waits, {how}"
        case "running":
            return f"; {about} is under way, by {run.approved_by}"
        case _:
            return ""


def on_digest_timer(d: Decision, timer: inputs.Timer) -> None:
    """Send what was held for one person, the worst first, as one page."""
    place = Key.read(timer.key).rest
    person, via = Place.read(place)
    names = dict.fromkeys(d.shard.held_pages.get(place, ()))
    _digest(d, person, via, [d.known(name) for name in names if name in d.shard.incidents])


def _digest(d: Decision, person: str, via: str, incidents: list[Incident]) -> None:
    waiting = [one for one in incidents if is_waiting_for_ack(one)]
    if waiting:
        first, *others = sorted(waiting, key=lambda one: (one.severity or "sev1", one.opened_at))
        says = f"{len(waiting)} incidents" if others else first.title
        told = held.tell(first)
        if told.fires:
            grew = f"{first.id} grew: {told.says}"
            d.emit(
                events.IncidentGrew(
                    incident=first.id, reason=Reason(RULE, grew, {"held": len(first.growth)})
                )
            )
            says = f"{says}; {grew}"
        reason = Reason(RULE, says, {"incidents": len(waiting)})
        plan_page(d, first.policy, first, person, via, first.next_step - 1, reason, tuple(others))


def page_again(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Wake people anew: something failed that midwatch may not try again by itself."""
    withdraw(d, incident, reason)
    page(d, policy, incident, reason)


def withdraw(d: Decision, incident: Incident, reason: Reason) -> None:
    """Take an ack or a snooze back, when there is one."""
    if incident.acknowledged_by:
        if incident.snoozed_until:
            d.cancel_timer(_snooze_key(incident))
        d.emit(events.AckWithdrawn(incident=incident.id, reason=reason))
        d.cancel_timer(_ack_key(incident))


def _nobody_has_it(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Take an ack back; people are paged again when the incident would page them as it stands."""
    withdraw(d, incident, reason)
    muted = incident.firing and not speaking(incident) and not incident.slo and not incident.tickets
    if incident.urgency == "page" and not muted:
        page(d, policy, incident, reason)


def page_one(d: Decision, policy: Policy, incident: Incident, name: str, reason: Reason) -> None:
    """Page one person besides, or whoever is on call for a schedule; else the next step."""
    person = policy.team.behind(name, d.wall, d.shard.overrides)
    pagers = policy.team.pagers(person) if person else ()
    if person is None or not pagers:
        page(d, policy, incident, reason)
        return
    plan_page(d, policy.name, incident, person, pagers[0], incident.next_step - 1, reason)


def tell_one(d: Decision, policy: Policy, incident: Incident, name: str, reason: Reason) -> None:
    """Page one person, else the first step, once, for what is left to do."""
    person = policy.team.behind(name, d.wall, d.shard.overrides) if name else None
    pagers = policy.team.pagers(person) if person else ()
    step = policy.step(0)
    reached = reach_of_step(d, policy, incident, step) if step is not None else []
    if person is not None and pagers:
        reached = [(person, pagers[0])]
    for who, via in reached:
        plan_page(
            d, policy.name, incident, who, via, max(incident.next_step - 1, 0), reason, beside=True
        )


def on_timer(d: Decision, policy: Policy, incident: Incident) -> None:
    """Go one step on when nobody has acknowledged in time."""
    if not is_waiting_for_ack(incident):
        return
    if incident.exhausted:
        waited = show_duration(policy.team.again_s)
        reason = Reason(RULE, f"still not acknowledged, {waited} after everybody was tried")
        d.emit(events.EscalationRestarted(incident=incident.id, reason=reason))
        page(d, policy, incident, reason)
        return
    if incident.waits:
        _look_again(d, policy, incident)
        return
    last = policy.step(max(incident.next_step - 1, 0))
    waited = show_duration(last.delay_s) if last else "its time"
    who = next((one.to for one in reversed(incident.pages) if not one.beside), "anybody")
    says = f"no ack from {who} within {waited}"
    page(d, policy, incident, Reason(RULE, says, {"step": incident.next_step}))


def _look_again(d: Decision, policy: Policy, incident: Incident) -> None:
    """Page for what paged nobody for a while, unless it is over or somebody has what covers it."""
    if not fires(d, incident):
        wait_for_ack(d, incident, policy.team.again_s)
        return
    other = home_of(d.shard, incident.waits_by) if incident.waits_by else None
    names = firing_loudly(d, incident, incident.services)
    if other is not None and other is not incident:
        loud = _loud_of(d, incident, incident.services)
        if is_looked_for(d, other, loud, incident.severity or "sev1"):
            wait_for_ack(d, incident, LOOK_S)
            return
        says = f"{other.id}, which covered it, is over or snoozed, and {names} still fires"
    else:
        says = f"{names} still fires"
    page(d, policy, incident, Reason(RULE, says))


def is_looked_for(d: Decision, other: Incident, services: Collection[str], severity: str) -> bool:
    """Say whether somebody is paged for or has an incident that covers news of services.

    It has to fire still; and a snooze is an answer for what it was given for alone.
    """
    if not fires(d, other):
        return False
    if other.state == "acknowledged":
        snoozed = other.snoozed_until
        return not snoozed or all(is_snoozed(other, one, severity) for one in services)
    return other.state == "open" and other.awaits_ack and not other.waits


def is_snoozed(incident: Incident, service: str, severity: str) -> bool:
    """Say whether a snooze was given for news of a service that was as bad."""
    known = incident.mark.news.get(service, ()) if incident.mark else ()
    return bool(incident.snoozed_until) and any(one.severity <= severity for one in known)


def _loud_of(d: Decision, incident: Incident, services: Iterable[str]) -> list[str]:
    """List the services of an incident of which something fires that pages by itself."""
    return [
        service
        for service in services
        if any(
            one.incident == incident.id and not one.ended_at
            for one in d.shard.loud.get(service, ())
        )
    ]


def firing_loudly(d: Decision, incident: Incident, services: Iterable[str]) -> str:
    """Name what fires of an incident and pages by itself, by its services; else its title."""
    found: dict[str, None] = {}
    for service in _loud_of(d, incident, services):
        for one in d.shard.loud[service]:
            if one.incident == incident.id and not one.ended_at:
                alert = next(filter(None, map(incident.firing.get, one.fingerprints)), None)
                found[one.slo or (title_of(alert.name, service) if alert else service)] = None
    names = list(found) or [incident.title]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def fires(d: Decision, incident: Incident) -> bool:
    """Say whether something of it fires that pages by itself."""
    known = (d.shard.loud.get(service, ()) for service in incident.services)
    if any(x.incident == incident.id and not x.ended_at for loud in known for x in loud):
        return True
    return any(one.level == "critical" for one in speaking(incident))


def _exhausted(d: Decision, policy: Policy, incident: Incident) -> None:
    pages = len(incident.pages)
    says = f"nobody in policy {policy.name!r} acknowledged {pages} pages"
    reason = Reason(RULE, says, {"pages": pages})
    d.emit(events.EscalationExhausted(incident=incident.id, reason=reason))
    for name in policy.team.last_resort:
        person = policy.team.behind(name, d.wall, d.shard.overrides)
        for via in policy.team.pagers(person)[:1] if person else ():
            plan_page(d, policy.name, incident, person or name, via, incident.next_step - 1, reason)
    wait_for_ack(d, incident, policy.team.again_s)


def wait_for_ack(d: Decision, incident: Incident, delay_s: int) -> None:
    """Go one step on when nobody has acknowledged after a while."""
    due_at = d.now + delay_s * SECOND
    d.set_timer(inputs.Timer(_timer_key(incident), due_at, "escalate", incident.id))


# --- answers of people --------------------------------------------------------------------------


def acknowledge(d: Decision, team: Team, incident: Incident, by: str, sides: Sides) -> None:
    """Stop the paging that a person answers: somebody has it. This also ends a snooze.

    `sides` says for whom: where people of several policies are paged, each answers for their own.
    """
    for policy in sides.besides:
        d.emit(events.OthersAnswered(incident=incident.id, policy=policy, by=by))
        _take_back(d, incident, policy)
        d.cancel_timer(others_key(incident, policy))
    if not sides.own:
        tell(d, team, incident, "acknowledged", by, sides.besides)
        return
    if incident.acknowledged_by and not incident.snoozed_until:
        return
    says = f"{by} acknowledged it"
    silence(d, incident, others=False)
    d.emit(
        events.PageAcknowledged(incident=incident.id, by=by, reason=Reason(RULE, says, {"by": by}))
    )
    tell(d, team, incident, "acknowledged", by)
    if team.ack_s and incident.state == "acknowledged":
        due_at = d.now + team.ack_s * SECOND
        d.set_timer(inputs.Timer(_ack_key(incident), due_at, "forgotten", incident.id))


def on_forgotten(d: Decision, policy: Policy, incident: Incident) -> None:
    """Page anew when whoever took an incident has had it for too long."""
    if incident.state == "acknowledged" and not incident.snoozed_until:
        since = show_duration(policy.team.ack_s)
        says = f"{incident.acknowledged_by} acknowledged it {since} ago, and it is not resolved"
        _nobody_has_it(d, policy, incident, Reason(RULE, says))


def snooze(d: Decision, team: Team, incident: Incident, by: str, until: int, sides: Sides) -> None:
    """Take an incident until a time. Raises StateError when there is nothing to put off."""
    if incident.state not in ("open", "acknowledged"):
        raise StateError(
            f"{incident.id} is {incident.state}", remedy="only an open incident can be snoozed"
        )
    if until <= d.wall:
        raise StateError(f"{show_time(until)} is in the past", remedy="give a later time")
    if not sides.own:
        asked = ", ".join(sides.besides)
        raise StateError(
            f"{by} was paged only for policy {asked!r}, and {incident.id} belongs to other people",
            remedy="acknowledge your own page; only people paged for the incident can snooze it",
        )
    acknowledge(d, team, incident, by, sides)
    says = f"{by} snoozed it until {show_time(until)}"
    d.emit(
        events.PageSnoozed(
            incident=incident.id, by=by, until=until, reason=Reason(RULE, says, {"by": by})
        )
    )
    d.cancel_timer(_ack_key(incident))
    _wake_snoozed(d, incident)


def keep_dates(d: Decision) -> None:
    """Set the ends of snoozes to their dates, after the wall clock has jumped."""
    for name in d.shard.open:
        incident = d.shard.incidents[name]
        if incident.snoozed_until and incident.state == "acknowledged":
            _wake_snoozed(d, incident)


def _wake_snoozed(d: Decision, incident: Incident) -> None:
    due_at = snooze_due(incident, d.shard.skew)
    d.set_timer(inputs.Timer(_snooze_key(incident), due_at, "snooze", incident.id))


def on_snooze_end(d: Decision, policy: Policy, incident: Incident) -> None:
    """Page anew when a snooze ends before the incident does."""
    if incident.state == "acknowledged" and incident.snoozed_until:
        by = incident.mark.by if incident.mark else incident.acknowledged_by
        says = f"the snooze by {by} ended and it is not resolved"
        _nobody_has_it(d, policy, incident, Reason(RULE, says))


def unacknowledge(d: Decision, policy: Policy, incident: Incident, by: str) -> None:
    """Give an incident back. Raises StateError when nobody has it."""
    if incident.state != "acknowledged":
        raise StateError(f"{incident.id} is {incident.state}", remedy="nobody has acknowledged it")
    silence(d, incident, others=False)
    says = f"{by} gave it back"
    _nobody_has_it(d, policy, incident, Reason(RULE, says, {"by": by}))


def reassign(
    d: Decision, policy: Policy, incident: Incident, to: str, by: str, known: Collection[str]
) -> None:
    """Hand an incident to somebody else. Raises StateError when nobody is called so."""
    if known and to not in known:
        raise StateError(f"unknown person {to!r}", remedy=f"use one of {', '.join(sorted(known))}")
    if incident.state not in ("open", "acknowledged"):
        raise StateError(
            f"{incident.id} is {incident.state}", remedy="only an open incident can be reassigned"
        )
    person = policy.team.behind(to, d.wall, d.shard.overrides)
    pagers = policy.team.pagers(person) if person else ()
    if person is None or not pagers:
        raise StateError(f"{to!r} cannot be reached", remedy="choose another person")
    silence(d, incident, others=False)
    reason = Reason(RULE, f"{by} reassigned it to {person}", {"by": by, "to": person})
    d.emit(events.IncidentReassigned(incident=incident.id, to=person, by=by, reason=reason))
    plan_page(d, policy.name, incident, person, pagers[0], REASSIGNED_STEP, reason)
    wait_for_ack(d, incident, policy.steps[0].delay_s if policy.steps else policy.team.again_s)


def silence(d: Decision, incident: Incident, *, others: bool = True) -> None:
    """Take back the pages that are not sent yet, and every timer that would page.

    Without `others` the people of policies that are asked besides go on being paged.
    """
    _take_back(d, incident, "")
    for key in (_timer_key(incident), _ack_key(incident)):
        d.cancel_timer(key)
    if incident.snoozed_until:
        d.cancel_timer(_snooze_key(incident))
    if others:
        for policy in incident.besides:
            _take_back(d, incident, policy)
            d.cancel_timer(others_key(incident, policy))


def _take_back(d: Decision, incident: Incident, policy: str) -> None:
    """Take back the pages of one policy that are not sent yet."""
    for sent in incident.pages:
        if sent.state == "planned" and sent.beside == policy:
            d.cancel_effect(sent.key)
            d.cancel_timer(silent_key(sent.key))
            # The page told of others too, who are not answered by this.
            rest = [o for o in d.shard.told_by(sent.key, incident.id) if is_waiting_for_ack(o)]
            _digest(d, sent.to, sent.via, rest)


def tell(
    d: Decision,
    team: Team,
    incident: Incident,
    became: effects.Became,
    by: str,
    policies: Collection[str] | None = None,
) -> None:
    """Let the pagers that follow an incident hear what became of it.

    With `policies` those alone that paged their people. A pager by which somebody is still asked
    hears of no answer: what it has may be one thing for all.
    """
    theirs = incident.pages
    if policies is not None:
        theirs = [one for one in theirs if one.beside in policies]
    asking = {one.via for one in incident.pages if became != "resolved" and _asks(incident, one)}
    told = {
        (one.to, one.via): None
        for one in theirs
        if one.via in team.followers and one.via not in asking
    }
    # The stream's version is another one at each event, also within the same millisecond.
    version = d.version(f"incident/{incident.id}")
    for number, (person, via) in enumerate(told):
        d.plan(
            effects.UpdatePage(
                d.key("update", incident.id, became, version, number),
                incident.id,
                person,
                became,
                by,
                incident.title,
                via,
                incident.ref,
                incident.thread,
            )
        )


def _asks(incident: Incident, page: Paged) -> bool:
    return page.beside in incident.besides if page.beside else incident.awaits_ack


def _page_key(d: Decision, incident: Incident) -> str:
    return d.key("page", incident.id, incident.next_page)


def silent_key(page: str) -> str:
    """Name the timer that waits for a pager's answer."""
    return f"unanswered/{page}"


def _ack_key(incident: Incident) -> str:
    return f"forgotten/{incident.id}"


def _snooze_key(incident: Incident) -> str:
    return f"snooze/{incident.id}"


def others_key(incident: Incident, policy: str) -> str:
    """Name the timer of a policy that is asked besides."""
    return f"others/{incident.id}/{policy}"


def _timer_key(incident: Incident) -> str:
    return f"escalate/{incident.id}"
