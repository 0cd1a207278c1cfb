"""Who is paged, when the next one is, and when paging stops.

Law: severity only ever rises. An incident whose severity pages and that nobody has acknowledged
always has a page under way, a timer, or a visible "exhausted", which is tried anew after a time. An
ack stops everything: no page is planned, claimed or escalated after it. Several incidents at once
reach the same person as one digest; a sev1 is never held back by it, nor is the first page. Who has
a second pager is paged by it after the first failure or SILENT_S without an answer, once for each
page, while the first pager is still tried under its own key.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from midwatch.core import effects, events, inputs
from midwatch.core.clock import SECOND, show_duration, show_time
from midwatch.core.decision import Decision
from midwatch.core.incidents import (
    Incident,
    Paged,
    is_waiting_for_ack,
    snooze_due,
    speaking,
)
from midwatch.core.reasons import Reason
from midwatch.core.severity import Severity
from midwatch.core.storm import DIGEST_S
from midwatch.core.teams import Policy, Step, Team
from midwatch.errors import StateError
from midwatch.texts import cut

RULE = "escalation/2"
MAX_ATTEMPTS = 5
FIRST_RETRY_S = 5
SILENT_S = 15
MAX_FOLLOWS = 3
FAILED = 3  # answers that a page names
LONGEST = 250  # characters of each part of a page's reason
REASSIGNED_STEP = -1  # a page that no step asked for: the policy begins after it


def declare(
    d: Decision,
    policy: Policy,
    incident: Incident,
    severity: Severity,
    reason: Reason,
    ahead: Callable[[], None] = lambda: None,
    *,
    title: str,
    service: str,
) -> None:
    """Raise the severity of an incident and page when it now demands a human.

    `title` and `service` say what is so bad: from now on the incident is called so.

    `ahead` is called in between: what it finds out goes along with the page.
    """
    if incident.severity and incident.severity <= severity:
        return
    urgency = policy.team.urgency[severity]
    renamed = (title, service) if title != incident.title else ("", "")
    d.emit(events.SeverityDeclared(incident.id, severity, urgency, reason, *renamed))
    ahead()
    if urgency != "page" or incident.state != "open":
        return
    if not incident.awaits_ack:
        page(d, policy, incident, reason)
    elif severity == "sev1":
        _release(d, policy, incident, reason)


def _release(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Send at once what was held for a digest."""
    places = [place for place, held in d.shard.held_pages.items() if incident.id in held]
    for place in places:
        person, _, via = place.rpartition("/")
        _plan(d, policy.name, incident, person, via, incident.next_step - 1, reason)


def page(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Page the next step at which anybody can be reached, or record that there is none."""
    d.cancel_timer(_timer_key(incident))
    while (step := policy.step(incident.next_step)) is not None:
        number = incident.next_step
        reached = _reach(d, policy, incident, step)
        if reached:
            for person, via in reached:
                _send(d, policy, incident, person, via, number, reason)
            _wait(d, incident, step.delay_s)
            return
        says = f"nobody can be reached at step {number + 1} of policy {policy.name!r}"
        d.emit(
            events.StepSkipped(
                incident.id, number, policy.name, Reason(RULE, says, {"step": number})
            )
        )
    _exhausted(d, policy, incident)


def _reach(d: Decision, policy: Policy, incident: Incident, step: Step) -> list[tuple[str, str]]:
    """Say whom a step reaches now, and by which pager."""
    found: dict[tuple[str, str], None] = {}
    for name in step.to:
        person = policy.team.behind(name, d.wall, d.shard.overrides)
        pagers = policy.team.pagers(person, step.via) if person else ()
        if person and pagers:
            found[person, pagers[0]] = None
    for channel in step.channels:
        found[channel, channel] = None
    return list(found)


def _send(
    d: Decision,
    policy: Policy,
    incident: Incident,
    person: str,
    via: str,
    step: int,
    reason: Reason,
) -> None:
    """Plan a page, or hold it for a moment when the person was just paged for something else."""
    last_at = d.shard.last_page_at.get(f"{person}/{via}")
    digest_s = policy.team.digest_s
    if d.shard.storm.raging:
        digest_s = max(digest_s, DIGEST_S)
    until = (last_at or 0) + digest_s * SECOND
    if last_at is None or incident.severity == "sev1" or d.now >= until:
        _plan(d, policy.name, incident, person, via, step, reason)
        return
    d.emit(events.PageHeld(incident.id, person, via, step, until, policy.name, reason))
    d.set_timer(inputs.Timer(f"digest/{person}/{via}", until, "digest", incident.id))


def _plan(
    d: Decision,
    policy: str,
    incident: Incident,
    person: str,
    via: str,
    step: int,
    reason: Reason,
    others: tuple[Incident, ...] = (),
) -> None:
    """Plan one page, for an incident and for the others of its digest."""
    key = _page_key(d, incident)
    d.emit(events.PagePlanned(incident.id, key, person, step, reason, via, policy))
    for other in others:
        d.emit(
            events.PagePlanned(
                other.id, _page_key(d, other), person, other.next_step - 1, reason, via, policy, key
            )
        )
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
                    cut(_again(incident), LONGEST),
                    cut(_failed(incident), LONGEST),
                    cut(_link(incident), LONGEST),
                    _next_step(incident),
                )
            ),
            service=incident.speaks_of,
            via=via,
            also=tuple(f"{one.id} {one.severity or 'sev1'}: {one.title}" for one in others),
            ref=incident.ref,
        )
    )
    silent_at = d.now + SILENT_S * SECOND
    d.set_timer(inputs.Timer(_silent_key(key), silent_at, "unanswered", incident.id))


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
    """Say what whoever is paged may do next, where a plan is there."""
    if incident.run == "proposed":
        how = f"midwatch runbook approve {incident.id} {incident.plan_hash}"
        return f"; next step: runbook {incident.runbook}, {how}"
    if incident.run == "running":
        return f"; runbook {incident.runbook} is under way, by {incident.approved_by}"
    return ""


def on_digest_timer(d: Decision, timer: inputs.Timer) -> None:
    """Send what was held for one person, the worst first, as one page."""
    place = timer.key.removeprefix("digest/")
    person, _, via = place.rpartition("/")
    names = dict.fromkeys(d.shard.held_pages.get(place, ()))
    _digest(d, person, via, [d.known(name) for name in names if name in d.shard.incidents])


def _digest(d: Decision, person: str, via: str, incidents: list[Incident]) -> None:
    waiting = [one for one in incidents if is_waiting_for_ack(one)]
    if waiting:
        first, *others = sorted(waiting, key=lambda one: (one.severity or "sev1", one.opened_at))
        says = f"{len(waiting)} incidents" if others else first.title
        reason = Reason(RULE, says, {"incidents": len(waiting)})
        _plan(d, first.policy, first, person, via, first.next_step - 1, reason, tuple(others))


def page_again(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Wake people anew: something failed that midwatch may not try again by itself."""
    _withdraw(d, incident, reason)
    page(d, policy, incident, reason)


def _withdraw(d: Decision, incident: Incident, reason: Reason) -> None:
    if incident.acknowledged_by:
        d.emit(events.AckWithdrawn(incident.id, reason))
        d.cancel_timer(_ack_key(incident))


def _nobody_has_it(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Take an ack back; people are paged anew when the incident would page them as it stands."""
    _withdraw(d, incident, reason)
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
    _plan(d, policy.name, incident, person, pagers[0], incident.next_step - 1, reason)


def on_timer(d: Decision, policy: Policy, incident: Incident) -> None:
    """Go one step on when nobody has acknowledged in time."""
    if not is_waiting_for_ack(incident):
        return
    if incident.exhausted:
        waited = show_duration(policy.team.again_s)
        reason = Reason(RULE, f"still nobody has it, {waited} after everybody was paged")
        d.emit(events.EscalationRestarted(incident.id, reason))
        page(d, policy, incident, reason)
        return
    last = policy.step(max(incident.next_step - 1, 0))
    waited = show_duration(last.delay_s) if last else "its time"
    who = incident.pages[-1].to if incident.pages else "anybody"
    says = f"no ack from {who} within {waited}"
    page(d, policy, incident, Reason(RULE, says, {"step": incident.next_step}))


def _exhausted(d: Decision, policy: Policy, incident: Incident) -> None:
    pages = len(incident.pages)
    says = f"nobody of policy {policy.name!r} answered {pages} pages"
    reason = Reason(RULE, says, {"pages": pages})
    d.emit(events.EscalationExhausted(incident.id, reason))
    for name in policy.team.last_resort:
        person = policy.team.behind(name, d.wall, d.shard.overrides)
        for via in policy.team.pagers(person)[:1] if person else ():
            _plan(d, policy.name, incident, person or name, via, incident.next_step - 1, reason)
    _wait(d, incident, policy.team.again_s)


def _wait(d: Decision, incident: Incident, delay_s: int) -> None:
    due_at = d.now + delay_s * SECOND
    d.set_timer(inputs.Timer(_timer_key(incident), due_at, "escalate", incident.id))


# --- answers of people --------------------------------------------------------------------------


def acknowledge(d: Decision, team: Team, incident: Incident, by: str) -> None:
    """Stop all paging of an incident: somebody has it. This also ends a snooze."""
    if incident.acknowledged_by and not incident.snoozed_until:
        return
    says = f"{by} has it"
    silence(d, incident)
    d.emit(events.PageAcknowledged(incident.id, by, Reason(RULE, says, {"by": by})))
    tell(d, team, incident, "acknowledged", by)
    if team.ack_s and incident.state == "acknowledged":
        due_at = d.now + team.ack_s * SECOND
        d.set_timer(inputs.Timer(_ack_key(incident), due_at, "forgotten", incident.id))


def on_forgotten(d: Decision, policy: Policy, incident: Incident) -> None:
    """Page anew when whoever took an incident has had it for too long."""
    if incident.state == "acknowledged" and not incident.snoozed_until:
        held = show_duration(policy.team.ack_s)
        says = f"{incident.acknowledged_by} took it {held} ago and it is not over"
        _nobody_has_it(d, policy, incident, Reason(RULE, says))


def snooze(d: Decision, team: Team, incident: Incident, by: str, until: int) -> None:
    """Take an incident until a time. Raises StateError when there is nothing to put off."""
    if incident.state not in ("open", "acknowledged"):
        raise StateError(
            f"{incident.id} is {incident.state}", remedy="only an open one can be snoozed"
        )
    if until <= d.wall:
        raise StateError(
            f"{show_time(until)} is over already", remedy="snooze until a time to come"
        )
    acknowledge(d, team, incident, by)
    says = f"{by} has it until {show_time(until)}"
    d.emit(events.PageSnoozed(incident.id, by, until, Reason(RULE, says, {"by": by})))
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
        says = f"the snooze by {incident.acknowledged_by} ended and it is not over"
        _nobody_has_it(d, policy, incident, Reason(RULE, says))


def unacknowledge(d: Decision, policy: Policy, incident: Incident, by: str) -> None:
    """Give an incident back. Raises StateError when nobody has it."""
    if incident.state != "acknowledged":
        raise StateError(f"{incident.id} is {incident.state}", remedy="nobody has it")
    silence(d, incident)
    says = f"{by} gave it back"
    _nobody_has_it(d, policy, incident, Reason(RULE, says, {"by": by}))


def reassign(d: Decision, policy: Policy, incident: Incident, to: str, by: str) -> None:
    """Hand an incident to somebody else. Raises StateError when nobody is called so."""
    known = {*policy.team.people, *policy.team.schedules}
    if known and to not in known:
        raise StateError(f"nobody is called {to!r}", remedy=f"known are {', '.join(sorted(known))}")
    if incident.state not in ("open", "acknowledged"):
        raise StateError(
            f"{incident.id} is {incident.state}", remedy="only an open one can be handed over"
        )
    person = policy.team.behind(to, d.wall, d.shard.overrides)
    pagers = policy.team.pagers(person) if person else ()
    if person is None or not pagers:
        raise StateError(f"nobody can be reached as {to!r}", remedy="name somebody else")
    silence(d, incident)
    reason = Reason(RULE, f"{by} hands it to {person}", {"by": by, "to": person})
    d.emit(events.IncidentReassigned(incident.id, person, by, reason))
    _plan(d, policy.name, incident, person, pagers[0], REASSIGNED_STEP, reason)
    _wait(d, incident, policy.steps[0].delay_s if policy.steps else policy.team.again_s)


def silence(d: Decision, incident: Incident) -> None:
    """Take back the pages that are not sent yet, and every timer that would page."""
    for sent in incident.pages:
        if sent.state == "planned":
            d.cancel_effect(sent.key)
            d.cancel_timer(_silent_key(sent.key))
            # The page told of others too, who are not answered by this.
            rest = [o for o in d.shard.told_by(sent.key, incident.id) if is_waiting_for_ack(o)]
            _digest(d, sent.to, sent.via, rest)
    for key in (_timer_key(incident), _ack_key(incident)):
        d.cancel_timer(key)
    if incident.snoozed_until:
        d.cancel_timer(_snooze_key(incident))


def tell(d: Decision, team: Team, incident: Incident, became: effects.Became, by: str) -> None:
    """Let the pagers that follow an incident hear what became of it."""
    told = {(one.to, one.via): None for one in incident.pages if one.via in team.followers}
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
            )
        )


# --- answers of pagers --------------------------------------------------------------------------


def on_page_answer(
    d: Decision,
    policy_of: Callable[[Incident], Policy],
    incident: Incident,
    answer: inputs.PageAnswered,
) -> None:
    """Record a receipt, or plan the next try under the same key, or give this way up."""
    if answer.key.startswith("update/"):
        if answer.error is not None and answer.attempt < MAX_FOLLOWS:
            wait_s = retry_delay_s(answer.key, answer.attempt, answer.retry_after_s)
            d.retry_effect(answer.key, d.now + int(wait_s * SECOND))
        return
    d.cancel_timer(_silent_key(answer.key))
    told = [incident, *d.shard.told_by(answer.key, incident.id)]
    if answer.error is None:
        for one in told:
            key = _paged(one, answer.key).key
            d.emit(events.PageSent(one.id, key, answer.receipt, answer.attempt))
        return
    waiting = [one for one in told if is_waiting_for_ack(one)]
    wait_s = retry_delay_s(answer.key, answer.attempt, answer.retry_after_s)
    gives_up = answer.attempt >= MAX_ATTEMPTS or not waiting
    retry_at = None if gives_up else d.now + int(wait_s * SECOND)
    for one in told:
        key = _paged(one, answer.key).key
        d.emit(events.PageFailed(one.id, key, answer.attempt, answer.error, retry_at))
    if retry_at is not None:
        d.retry_effect(answer.key, retry_at)
    _try_next_pager(d, policy_of, waiting, answer.key, answer.error)
    for one in waiting if retry_at is None else ():
        _leave_step(d, policy_of(one), one, _paged(one, answer.key), answer.error)


def on_unanswered(
    d: Decision, policy_of: Callable[[Incident], Policy], incident: Incident, timer: inputs.Timer
) -> None:
    """Try the next pager beside one that has said nothing; its late receipt does no harm."""
    key = timer.key.partition("/")[2]
    told = [incident, *d.shard.told_by(key, incident.id)]
    waiting = [one for one in told if is_waiting_for_ack(one)]
    if _paged(incident, key).state == "planned":
        _try_next_pager(d, policy_of, waiting, key, f"no answer within {SILENT_S} s")


def _try_next_pager(
    d: Decision,
    policy_of: Callable[[Incident], Policy],
    waiting: list[Incident],
    key: str,
    error: str,
) -> None:
    """Page by the person's next pager too, once for each page, whatever becomes of this one."""
    if not waiting:
        return
    first, *others = waiting
    policy, sent = policy_of(first), _paged(first, key)
    pagers = policy.team.pagers(sent.to)
    left = pagers[pagers.index(sent.via) + 1 :] if sent.via in pagers else ()
    later = first.pages[first.pages.index(sent) + 1 :]
    if not left or any((one.to, one.via) == (sent.to, left[0]) for one in later):
        return
    # The page may be one of an earlier round: it takes no step of this one for taken.
    step = min(sent.step, first.next_step - 1)
    reason = Reason(RULE, _unreached(sent, error))
    _plan(d, policy.name, first, sent.to, left[0], step, reason, tuple(others))


def _leave_step(d: Decision, policy: Policy, incident: Incident, sent: Paged, error: str) -> None:
    """Take the next step when every page of this one, by every pager, was given up."""
    here = [one for one in incident.pages[incident.earlier_pages :] if one.step == sent.step]
    newest = sent in here and sent.step == incident.next_step - 1
    if newest and all(one.state == "failed" for one in here):
        page(d, policy, incident, Reason(RULE, _unreached(sent, error), {"step": sent.step}))


def _unreached(sent: Paged, error: str) -> str:
    way = f" by {sent.via}" if sent.via else ""
    return f"{sent.to} cannot be reached{way}: {error}"


def _paged(incident: Incident, key: str) -> Paged:
    return next(one for one in incident.pages if key in (one.key, one.digest))


def retry_delay_s(key: str, attempt: int, retry_after_s: float | None = None) -> float:
    """Back off twice as long each time, with a jitter that depends on key and attempt alone.

    >>> 5 <= retry_delay_s("page/INC-1/1", 1) <= 10 <= retry_delay_s("page/INC-1/1", 2) <= 20
    True
    >>> retry_delay_s("page/INC-1/1", 1, retry_after_s=60.0) >= 60
    True
    """
    digest = blake2b(f"{key}#{attempt}".encode(), digest_size=4).digest()
    jitter = int.from_bytes(digest) / 2**32
    wait_s = FIRST_RETRY_S * 2 ** (attempt - 1) * (1 + jitter)
    return max(wait_s, retry_after_s or 0.0)


def _page_key(d: Decision, incident: Incident) -> str:
    return d.key("page", incident.id, incident.next_page)


def _silent_key(page: str) -> str:
    return f"unanswered/{page}"


def _ack_key(incident: Incident) -> str:
    return f"forgotten/{incident.id}"


def _snooze_key(incident: Incident) -> str:
    return f"snooze/{incident.id}"


def _timer_key(incident: Incident) -> str:
    return f"escalate/{incident.id}"
