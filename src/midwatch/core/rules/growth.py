"""Pages for what is worse or wider than whoever has an incident, or is paged for it, knows.

Law: growth is a page of its own: it goes to whoever has it first, escalates by itself and stops at
its own ack. Growth of one incident pages at most every GROWTH_S; what is held until then is told by
one page and never dropped, but for what flaps, which is told if it fires then. People of another
policy are paged besides, step by step, and answer for themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from midwatch.core.rules import escalation, held
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.values.clock import SECOND
from midwatch.core.values.marks import Held
from midwatch.core.values.reasons import Reason
from midwatch.core.values.severity import Severity
from midwatch.core.values.teams import Policy

GROWTH_S = 600


def declare(
    d: Decision,
    policy: Policy,
    incident: Incident,
    severity: Severity,
    reason: Reason,
    *,
    title: str,
    service: str,
) -> None:
    """Raise the severity of an incident and page when it now demands a human.

    `title` and `service` say what is so bad: from now on the incident is called so. Where that is
    news of an alert or a burn, `news.hear` decides on paging.
    """
    was = incident.title
    if not escalation.rate(d, policy, incident, severity, reason, title=title, service=service):
        return
    if incident.urgency != "page" or incident.state not in ("open", "acknowledged"):
        return
    if incident.state == "acknowledged":
        grow(d, policy, incident, growth(incident, title, severity, was))
    elif not incident.awaits_ack:
        escalation.page(d, policy, incident, reason)
    elif severity == "sev1":
        escalation.release(d, policy, incident, reason)


def growth(incident: Incident, now: str, how: str, was: str, before: str = "") -> Reason:
    """Say what is new of an incident, and what whoever is paged knows of it."""
    before = f" ({before})" if before else ""
    known = f", was: {was}{before}" if was and was != now else ""
    return Reason(escalation.RULE, f"{incident.id} grew: {now} ({how}){known}")


def grow(
    d: Decision, policy: Policy, incident: Incident, reason: Reason, news: Sequence[Held] = ()
) -> None:
    """Page again for what is worse or wider: whoever has it first, or whoever is being paged."""
    if _is_held(d, incident):
        if incident.severity == "sev1":
            escalation.release(d, policy, incident, reason)
        else:
            _hold_all(d, incident, reason, news, incident.growth_at)
        return  # the page that is to come tells of it
    holder = incident.mark.by if incident.mark and incident.state == "acknowledged" else ""
    here = [one for one in incident.pages[incident.earlier_pages :] if not one.beside]
    d.emit(events.IncidentGrew(incident=incident.id, reason=reason))
    d.cancel_timer(_growth_key(incident))
    if incident.state == "acknowledged":
        escalation.withdraw(d, incident, reason)
        pagers = _pagers_of(policy, holder)
        if not pagers:
            escalation.page(d, policy, incident, reason)
            return
        escalation.send(d, policy, incident, holder, pagers[0], escalation.REASSIGNED_STEP, reason)
        escalation.wait_for_ack(
            d, incident, policy.steps[0].delay_s if policy.steps else policy.team.again_s
        )
        return
    asked: dict[str, str] = {}  # whom, by their first pager: the second is for when that one fails
    for one in here:
        if one.step == incident.next_step - 1:
            asked.setdefault(one.to, one.via)
    if not asked or incident.waits:
        escalation.page(d, policy, incident, reason)
        return
    for person, via in asked.items():
        escalation.send(d, policy, incident, person, via, incident.next_step - 1, reason)


def page_others(
    d: Decision, main: Policy, policy: Policy, incident: Incident, reason: Reason
) -> None:
    """Page the people of another policy besides, step by step, until one of them has it.

    Whoever of them is asked already hears of it, and the policy goes on as it was. Where nobody of
    them can be reached it goes to whoever has the incident, or is paged for it: by `main`.
    """
    number = incident.besides.get(policy.name, 0) - 1
    asked: dict[str, str] = {}
    for one in incident.pages:
        if one.beside == policy.name and one.step == number:
            asked.setdefault(one.to, one.via)
    if not asked:
        _ask(d, main, policy, incident, reason, 0)
        return
    d.emit(events.OthersAsked(incident=incident.id, policy=policy.name, step=number, reason=reason))
    for person, via in asked.items():
        _plan_beside(d, policy, incident, person, via, number, reason)


def _ask(
    d: Decision, main: Policy, policy: Policy, incident: Incident, reason: Reason, number: int
) -> None:
    is_new = policy.name not in incident.besides
    while (step := policy.step(number)) is not None:
        reached = escalation.reach_of_step(d, policy, incident, step)
        if reached:
            d.emit(
                events.OthersAsked(
                    incident=incident.id, policy=policy.name, step=number, reason=reason
                )
            )
            for person, via in reached:
                _plan_beside(d, policy, incident, person, via, number, reason)
            _ask_again(d, policy, incident, step.delay_s)
            return
        number += 1
    found = "can be reached" if is_new else "has acknowledged: it begins again"
    says = f"nobody in policy {policy.name!r} {found}"
    d.emit(
        events.OthersAsked(
            incident=incident.id, policy=policy.name, step=-1, reason=Reason(escalation.RULE, says)
        )
    )
    _ask_again(d, policy, incident, policy.team.again_s)
    told = Reason(escalation.RULE, f"{reason.says}; {says}" if is_new else says)
    for name in policy.team.last_resort:
        person = policy.team.behind(name, d.wall, d.shard.overrides)
        for via in policy.team.pagers(person)[:1] if person else ():
            _plan_beside(d, policy, incident, person or name, via, number, told)
    if is_new:
        grow(d, main, incident, told)


def _plan_beside(
    d: Decision,
    policy: Policy,
    incident: Incident,
    person: str,
    via: str,
    number: int,
    reason: Reason,
) -> None:
    escalation.plan_page(d, policy.name, incident, person, via, number, reason, beside=True)


def ask_on(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Go on asking the people of another policy, who had not answered before it was over."""
    step = incident.others_left[policy.name]
    pages = escalation.asked_at(incident, policy)
    d.emit(
        events.OthersAsked(incident=incident.id, policy=policy.name, step=step - 1, reason=reason)
    )
    _ask_at(d, policy, incident, escalation.next_at(d, policy, pages, step))


def _ask_again(d: Decision, policy: Policy, incident: Incident, delay_s: int) -> None:
    _ask_at(d, policy, incident, d.now + delay_s * SECOND)


def _ask_at(d: Decision, policy: Policy, incident: Incident, due_at: int) -> None:
    d.set_timer(
        inputs.Timer(escalation.others_key(incident, policy.name), due_at, "others", incident.id)
    )


def on_others_timer(d: Decision, main: Policy, policy: Policy, incident: Incident) -> None:
    """Go one step on in a policy that is asked besides, when nobody of it has answered."""
    step = incident.besides.get(policy.name)
    if step is not None:
        says = f"nobody in policy {policy.name!r} has answered"
        _ask(d, main, policy, incident, Reason(escalation.RULE, says, {"step": step}), step)


def _pagers_of(policy: Policy, person: str) -> tuple[str, ...]:
    """List the pagers of somebody who answered; of a name that is nobody's there are none."""
    known = policy.team.people
    return policy.team.pagers(person) if person and (not known or person in known) else ()


def _is_held(d: Decision, incident: Incident) -> bool:
    return any(incident.id in names for names in d.shard.held_pages.values())


def hold_growth(d: Decision, incident: Incident, reason: Reason, news: Sequence[Held]) -> bool:
    """Hold growth that comes soon after a page that told of growth; True when it is held.

    It needs no timer to count: the page that is due tells of all that came until then.
    """
    last = max(incident.grown_at, incident.growth_at if incident.growth_at <= d.now else 0)
    due_at = last + GROWTH_S * SECOND
    if not last or d.now >= due_at:
        return False
    until = incident.growth_at if incident.growth_at > d.now else due_at
    _hold_all(d, incident, reason, news, until)
    d.set_timer(inputs.Timer(_growth_key(incident), until, "grow", incident.id))
    return True


def hold_flap(
    d: Decision, incident: Incident, reason: Reason, news: Sequence[Held], delay_s: int
) -> None:
    """Hold growth that comes and goes, until it has held for a while."""
    waits = incident.growth_at > d.now and not all(one.flaps for one in incident.growth)
    until = incident.growth_at if waits else d.now + delay_s * SECOND
    _hold_all(d, incident, reason, [replace(one, flaps=True) for one in news], until)
    d.set_timer(inputs.Timer(_growth_key(incident), until, "grow", incident.id))


def _hold_all(
    d: Decision, incident: Incident, reason: Reason, news: Sequence[Held], until: int
) -> None:
    for one in news:
        d.emit(
            events.GrowthHeld(
                incident=incident.id,
                until=until,
                reason=reason,
                flaps=one.flaps,
                what=one.says,
                fingerprints=one.fingerprints,
            )
        )


def carry(d: Decision, old: Incident, into: Incident) -> None:
    """Let growth that was held for one incident be told in the one that it was merged into."""
    until = max(into.growth_at if into.growth_at > d.now else old.growth_at, d.now)
    if old.growth:
        reason = Reason(escalation.RULE, f"{into.id} grew: what was held for {old.id}")
        _hold_all(d, into, reason, old.growth, until)
        d.set_timer(inputs.Timer(_growth_key(into), until, "grow", into.id))


def keep_on(d: Decision, incident: Incident) -> None:
    """Tell what was held before it was merged, now that it stands for itself again."""
    if incident.growth:
        due_at = max(incident.growth_at, d.now)
        d.set_timer(inputs.Timer(_growth_key(incident), due_at, "grow", incident.id))


def on_growth_timer(d: Decision, policy: Policy, incident: Incident) -> None:
    """Tell of all growth that was held, as one page; of what is over or muted nobody is woken."""
    if not incident.growth or incident.state not in ("open", "acknowledged"):
        return
    told = held.tell(incident)
    if told.fires:
        known = incident.mark
        was = f", was: {known.title} ({known.level})" if known and known.level else ""
        says = f"{incident.id} grew: {told.says}{was}"
        grow(d, policy, incident, Reason(escalation.RULE, says, {"held": len(incident.growth)}))


def _growth_key(incident: Incident) -> str:
    return f"grow/{incident.id}"
