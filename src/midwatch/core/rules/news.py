"""Whether a phone rings: what came, beside what whoever is paged knows already.

Law: worse news always gets through. An acknowledgement, a snooze or a page covers what was known
when it was given, never what came later: what is worse, what is elsewhere, what is other people's
pages. It is asked of each alert and burn that would wake somebody by itself, whichever incident it
is in: a warning never pages and covers nothing. One outage pages once as long as it is the same
news; `covers` says what that is. What is covered is recorded with its reason, stands in the pages
of what covers it, and is looked at again: it is never dropped.

A service that flaps is quiet after ROUNDS until it has held for HOLD_S, but for a sev1. What is
held so covers nothing. Where nobody has answered, the policy goes on where it was: what was over
for a moment is no answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from msgspec import Struct

from midwatch.core.rules import covers, escalation, growth, looks
from midwatch.core.rules.covers import Cover
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident, title_of
from midwatch.core.state.members import speaking
from midwatch.core.values.clock import show_duration
from midwatch.core.values.keys import service_of
from midwatch.core.values.marks import KEPT_FINGERPRINTS, Held
from midwatch.core.values.reach import reach_of
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.severity import SEVERITIES, Severity
from midwatch.core.values.teams import Policy

RULE = "news/1"
ROUNDS = 3
HOLD_S = 900


class Item(Struct, frozen=True):
    """What came for one service: `title` names it, `how` says how bad, in the sender's words.

    `more` is how many others of the service are as bad.
    """

    service: str
    severity: Severity
    title: str
    how: str
    namespace: str = ""
    fingerprints: tuple[str, ...] = ()
    slo: str = ""
    own: bool = False  # raised by midwatch itself, such as that a job is silent
    always: bool = False  # it pages whatever an objective says
    names: tuple[str, ...] = ()  # of the alerts, where nothing names a service
    more: int = 0
    saw: str = ""  # what midwatch itself saw, which nobody else can say

    @property
    def what(self) -> str:
        """Name it, with how many more there are."""
        more = f" and {self.more} more" if self.more else ""
        return f"{self.title}{more}{f': {self.saw}' if self.saw else ''}"


class Was(Struct, frozen=True):
    """How an incident was called, and how bad it was, before what came."""

    title: str
    how: str
    severity: Severity | None


class _Asked(Struct, frozen=True):
    """News that pages, and by which policy."""

    item: Item
    policy: Policy

    @property
    def says(self) -> str:
        """Name it, and how bad it is."""
        return f"{self.item.what} ({self.item.how})"


def known_of(incident: Incident) -> Was:
    """Say how an incident is called now."""
    return Was(incident.title, incident.level or incident.severity or "", incident.severity)


def hear(d: Decision, rules: Rules, incident: Incident, items: Iterable[Item], was: Was) -> None:
    """Judge what came for an incident, and page for what is news; `was` is as it was before."""
    urgency = rules.policy.team.urgency
    loud = [one for one in items if urgency[one.severity] == "page"]
    asked: list[_Asked] = []
    cover: Cover | None = None
    for item in sorted(loud, key=lambda one: (one.severity, one.service)):
        policy = rules.policy_for(item.service, item.severity)
        found = _cover_of(d, rules, item, policy)
        if found is None:
            asked.append(_Asked(item, policy))
        cover = cover or found
        _judged(d, incident, item, policy, found)
    if asked:
        _ring(d, rules, incident, asked, was)
    elif cover is not None:
        _cover(d, rules, incident, cover)
    if incident.others_left and incident.state in ("open", "acknowledged"):
        _ask_on(d, rules, incident)


def _cover_of(d: Decision, rules: Rules, item: Item, policy: Policy) -> Cover | None:
    news = covers.News(
        item.service,
        item.severity,
        policy.name,
        item.namespace,
        alone=bool(item.slo) or item.own or item.always,
        apart=item.own or item.always,
        fingerprints=frozenset(item.fingerprints),
        names=frozenset(item.names),
    )
    reach = reach_of(rules.topology)
    return covers.cover_of(d.shard, rules.topology, reach, news, rules.same_people)


def _judged(
    d: Decision, incident: Incident, item: Item, policy: Policy, cover: Cover | None
) -> None:
    terms: dict[str, Term] = {"severity": item.severity, "policy": policy.name}
    if cover is None:
        says = f"{item.what} ({item.how}) is news"
    else:
        says = f"{item.what} ({item.how}) is covered by {cover.incident}: {cover.says}"
    told = min(item.severity, cover.told) if cover else item.severity
    said = min(item.severity, cover.said) if cover and cover.said else item.severity
    held = cover is None and bool(_flaps(incident, item.what, [(item.severity, item.fingerprints)]))
    d.emit(
        events.NewsJudged(
            incident=incident.id,
            service=item.service,
            severity=item.severity,
            pages=cover is None,
            reason=Reason(RULE, says, terms),
            told=told,
            policy=policy.name,
            namespace=item.namespace,
            fingerprints=item.fingerprints[:KEPT_FINGERPRINTS],
            slo=item.slo,
            covered_by=cover.incident if cover else "",
            own=item.own,
            rung_at=cover.rung_at if cover else 0,
            apart=item.always,
            names=item.names,
            level=item.how,
            more=max(len(item.fingerprints) - KEPT_FINGERPRINTS, 0),
            said=said,
            held=held,
        )
    )


def _cover(d: Decision, rules: Rules, incident: Incident, cover: Cover) -> None:
    """Note what covers an incident that nobody is paged for, and look at it again in time."""
    by = covers.home_of(d.shard, cover.incident)
    other = by if by is not incident else None
    if incident.state == "acknowledged":
        if not cover.answered and (other is not None or incident.snoozed_until):
            looks.later(d, incident)
        _tell_of(d, incident, other)
        return
    if incident.state != "open" or incident.awaits_ack:
        return
    if other is None:
        says = f"nobody has answered: {cover.incident}, {cover.says}"
        if escalation.resume(d, rules.policy_of(incident), incident, Reason(RULE, says)):
            return
    name = other.id if other is not None and cover.lasting else ""
    says = f"nobody is paged for now: covered by {cover.incident}, {cover.says}"
    escalation.wait(d, incident, Reason(RULE, says), escalation.LOOK_S, name)
    _tell_of(d, incident, other)


def _tell_of(d: Decision, incident: Incident, other: Incident | None) -> None:
    """Let the pages of what covers an incident tell of that one, too."""
    if other is not None:
        says = f"also: {incident.id} {incident.severity or ''}: {incident.title}"
        d.emit(events.CoversAlso(incident=other.id, other=incident.id, reason=Reason(RULE, says)))


def _ring(d: Decision, rules: Rules, incident: Incident, asked: list[_Asked], was: Was) -> None:
    """Page for news: for the first time, or as growth of what somebody has or is paged for."""
    if incident.state not in ("open", "acknowledged"):
        return  # a mitigated one is opened again first, or is not: `reopened`, `not_over`
    main = _main(rules, incident, asked[0].policy)
    others: dict[str, list[_Asked]] = {}
    mine: list[_Asked] = []
    for one in asked:
        theirs = not rules.same_people(main.name, one.policy.name)
        if theirs:
            others.setdefault(one.policy.name, []).append(one)
        if not theirs or _is_of(rules, main, one.item.service):
            mine.append(one)
    if mine:
        if incident.state == "open" and (not incident.awaits_ack or incident.waits):
            _first(d, main, incident, mine)
        else:
            _grown(d, rules, main, incident, mine, was)
    for group in others.values():
        growth.page_others(d, main, group[0].policy, incident, _growth(incident, group, was))


def _is_of(rules: Rules, policy: Policy, service: str) -> bool:
    """Say whether a policy pages for a service when it is less bad, or worse."""
    found = (rules.policy_for(service, severity).name for severity in SEVERITIES)
    return any(rules.same_people(policy.name, name) for name in found)


def _main(rules: Rules, incident: Incident, new: Policy) -> Policy:
    """Find who has an incident, or is paged for it; else whose the news is."""
    known = rules.policies.get(incident.policy)
    if known is not None and (incident.awaits_ack or incident.state == "acknowledged"):
        return known
    if incident.state == "acknowledged" and incident.mark and incident.mark.services:
        return rules.policy_for(incident.mark.services[0], incident.severity or "sev3")
    return new


def _first(d: Decision, policy: Policy, incident: Incident, mine: list[_Asked]) -> None:
    """Page for the first time in this round, unless it flaps."""
    worst = mine[0].item
    if _waits_out(d, incident, worst.what, _rounds_of(mine)):
        return
    if worst.title != incident.title and not _speaks(incident):
        reason = Reason(RULE, mine[0].says)
        escalation.rename(d, incident, reason, worst.title, worst.service, worst.how)
    says = incident.why if worst.title == incident.title and incident.why else mine[0].says
    escalation.page(d, policy, incident, Reason(escalation.RULE, says))


def _speaks(incident: Incident) -> bool:
    """Say whether what the title is about burns, or fires and is not muted."""
    return bool(incident.slo) or any(
        title_of(one.name, one.service) == incident.title for one in speaking(incident)
    )


def _rounds_of(asked: list[_Asked]) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.item.severity, one.item.fingerprints) for one in asked]


def _waits_out(
    d: Decision, incident: Incident, what: str, news: Iterable[tuple[str, tuple[str, ...]]]
) -> bool:
    """Keep what flaps quiet until it holds; True when it does."""
    says = _flaps(incident, what, news)
    if says:
        escalation.wait(d, incident, Reason(RULE, says), HOLD_S)
    return bool(says)


def _flaps(incident: Incident, what: str, news: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    """Say that all of it has come and gone again and again, empty when it has not.

    `news` are severities, and the fingerprints of their alerts.
    """
    rounds: list[int] = []
    for severity, fingerprints in news:
        known = (incident.rounds.get(one) for one in fingerprints)
        rounds += [one.count if one and severity != "sev1" else 0 for one in known]
    if not rounds or min(rounds) <= ROUNDS:
        return ""
    return (
        f"{what} flaps, round {max(rounds)}: no page until it is stable for {show_duration(HOLD_S)}"
    )


def _growth(incident: Incident, asked: list[_Asked], was: Was) -> Reason:
    told = "; ".join(one.says for one in asked)
    known = f", was: {was.title} ({was.how})" if was.title and was.how else ""
    return Reason(RULE, f"{incident.id} grew: {told}{known}")


def _grown(
    d: Decision, rules: Rules, policy: Policy, incident: Incident, mine: list[_Asked], was: Was
) -> None:
    reason = _growth(incident, mine, was)
    news = [Held(one.says, one.item.fingerprints[:KEPT_FINGERPRINTS]) for one in mine]
    flaps = _flaps(incident, mine[0].item.what, _rounds_of(mine))
    if flaps:
        growth.hold_flap(d, incident, Reason(RULE, f"{reason.says}; {flaps}"), news, HOLD_S)
        return
    rose = was.severity is None or mine[0].item.severity < was.severity
    bound = all(
        one.item.severity != "sev1" and _is_near(rules, incident, one.item.service) for one in mine
    )
    if rose or not bound or not growth.hold_growth(d, incident, reason, news):
        growth.grow(d, policy, incident, reason, news)


def _is_near(rules: Rules, incident: Incident, service: str) -> bool:
    """Say whether growth is about a service that the incident had, or that is connected to it."""
    known = incident.mark.services if incident.mark else tuple(incident.services)
    if incident.mark and incident.seen and incident.seen.at > incident.mark.at:
        known = incident.seen.services
    near = reach_of(rules.topology).around(service)
    return any(other in near for other in known if incident.mark or other != service)


def reopened(
    d: Decision, rules: Rules, incident: Incident, reason: Reason, *, asks: bool = False
) -> None:
    """Page for an incident that was over and is not, unless who was paged knows, or it flaps.

    `asks` when somebody is looked for anyhow.
    """
    if incident.urgency != "page":
        return
    mine = _judged_now(d, incident)
    acted = bool(incident.acted_at or incident.rollbacks)  # a mitigation that did not hold is news
    if asks or acted or any(x.pages for x in mine):
        rounds = [(x.severity, x.fingerprints) for x in mine]
        if not _waits_out(d, incident, incident.title, rounds):
            _page_again(d, rules, incident, mine, reason)
        return
    policy = _asked_again(d, rules, incident, reason, mine)
    _ask_on(d, rules, incident)
    if incident.awaits_ack:
        return
    delay_s = escalation.LOOK_S
    if incident.mark is None and policy.steps:  # nobody has answered yet
        delay_s = min(delay_s, policy.steps[0].delay_s)
    says = f"{reason.says}; the people paged know about it"
    escalation.wait(d, incident, Reason(RULE, says), delay_s, policy=policy.name)


def _asked_again(
    d: Decision, rules: Rules, incident: Incident, reason: Reason, mine: list[events.NewsJudged]
) -> Policy:
    """Find whose the news is, and go on looking for somebody of them when nobody has answered."""
    main = rules.policy_of(incident)
    covered = [covers.home_of(d.shard, x.covered_by) for x in mine]
    if not mine or any(one is not incident for one in covered):  # others have what covers it
        return main
    says = f"{reason.says}, and nobody has acknowledged"
    whose = [rules.policies.get(x.policy, main) for x in mine]
    if any(rules.same_people(one.name, main.name) for one in whose):
        escalation.resume(d, main, incident, Reason(RULE, says))
        return main
    step = incident.others_left.get(whose[0].name)
    if step is not None:
        escalation.take_over(d, whose[0], incident, Reason(RULE, says), step)
    return whose[0]


def not_over(d: Decision, rules: Rules, incident: Incident) -> None:
    """Open an incident again whose objective is well, and which has news of something else."""
    if incident.state != "mitigated":
        return
    paging = [x for x in _judged_now(d, incident) if x.pages]
    if paging:
        d.emit(events.IncidentReopened(incident=incident.id, reason=paging[0].reason))
        d.cancel_timer(f"settle/{incident.id}")
        _page_again(d, rules, incident, paging, paging[0].reason)


def _page_again(
    d: Decision, rules: Rules, incident: Incident, news: list[events.NewsJudged], reason: Reason
) -> None:
    """Page for an incident that was over: whose news it is, and whoever else's besides."""
    asked = [rules.policies.get(x.policy) for x in news if x.pages]
    policies = [one for one in asked if one is not None] or [rules.policy_of(incident)]
    escalation.page(d, policies[0], incident, reason)
    told = [policies[0].name]
    for policy in policies:
        if not any(rules.same_people(policy.name, name) for name in told):
            told.append(policy.name)
            growth.page_others(d, policies[0], policy, incident, reason)


def _ask_on(d: Decision, rules: Rules, incident: Incident) -> None:
    """Go on asking people of other policies who had not answered before their part was over."""
    for heard in _judged_now(d, incident):
        policy = rules.policies.get(heard.policy)
        if policy is not None and policy.name in incident.others_left:
            says = f"{heard.reason.says}, and nobody in policy {policy.name!r} has answered"
            growth.ask_on(d, policy, incident, Reason(RULE, says))


def _judged_now(d: Decision, incident: Incident) -> list[events.NewsJudged]:
    judged = [x for x in d.events if isinstance(x, events.NewsJudged)]
    return [x for x in judged if x.incident == incident.id]


def unanswered(rules: Rules, incident: Incident) -> list[Policy]:
    """List whose people are paged for an incident and have not answered."""
    besides = [rules.policies.get(name) for name in incident.besides]
    asked = [one for one in besides if one is not None]
    return [rules.policy_of(incident), *asked] if _rings(incident) else asked


def _rings(incident: Incident) -> bool:
    return incident.awaits_ack and not incident.waits


def merged(
    d: Decision,
    rules: Rules,
    old: Incident,
    into: Incident,
    by: str,
    was: Was,
    asked: list[Policy],
) -> None:
    """Ask on for what was merged: `asked` had not answered. It is the answer of who merged alone.

    Whoever has the other one hears of it; people of other policies are paged besides.
    """
    told = f"{into.id} grew: {old.title} ({old.level or old.severity or ''})"
    known = f", was: {was.title} ({was.how})" if was.title and was.how else ""
    reason = Reason(RULE, f"{told}, merged by {by} as {old.id}{known}")
    main = rules.policy_of(into)
    growth.carry(d, old, into)
    if asked and into.state == "mitigated":
        d.emit(events.IncidentReopened(incident=into.id, reason=reason))
        d.cancel_timer(f"settle/{into.id}")
    mine = [one for one in asked if rules.same_people(one.name, main.name)]
    if mine and not _was_planned(d, into):
        _merged_into(d, main, into, by, reason)
    for policy in asked:
        theirs = policy not in mine and policy.name not in into.besides
        if theirs and not rules.is_member(policy.name, by):
            growth.page_others(d, main, policy, into, reason)


def _was_planned(d: Decision, incident: Incident) -> bool:
    """Say whether this very decision pages for it already."""
    kinds = (events.PagePlanned, events.PageHeld, events.EscalationExhausted)
    return any(isinstance(x, kinds) and x.incident == incident.id for x in d.events)


def _merged_into(d: Decision, main: Policy, into: Incident, by: str, reason: Reason) -> None:
    if into.state == "acknowledged":
        if by != into.acknowledged_by:
            growth.grow(d, main, into, reason)
    elif into.exhausted:
        d.emit(events.EscalationRestarted(incident=into.id, reason=reason))
        escalation.page(d, main, into, reason)
    elif not _rings(into):
        escalation.page(d, main, into, reason)


def unmerged(d: Decision, rules: Rules, back: Incident, other: Incident) -> None:
    """Ask on in the incident that stands for itself again, and there alone for its services."""
    growth.keep_on(d, back)
    for name in [one for one in other.besides if not _theirs(d, other, one)]:
        says = f"what was theirs is {back.id} again"
        d.emit(events.OthersLeft(incident=other.id, policy=name, reason=Reason(RULE, says)))
        d.cancel_timer(escalation.others_key(other, name))
    if _rings(other) and not other.slo and not escalation.fires(d, other):
        escalation.silence(d, other, others=False)
        says = f"what it paged for is {back.id} again"
        escalation.wait(d, other, Reason(RULE, says), escalation.LOOK_S)


def _theirs(d: Decision, incident: Incident, policy: str) -> dict[str, str]:
    """Give the services with news of a policy that fire, and how bad it is."""
    return {
        service: one.severity
        for service in incident.services
        for one in d.shard.loud.get(service, ())
        if one.policy == policy and not one.ended_at
    }


def rerouted(d: Decision, rules: Rules, incident: Incident, name: str) -> None:
    """Ask whoever its services belong to now, when a policy is gone from the config."""
    if name not in incident.besides:
        return
    says = f"policy {name!r} is no longer in the config, and none of its people has acknowledged"
    d.emit(events.OthersLeft(incident=incident.id, policy=name, reason=Reason(RULE, says)))
    main = rules.policy_of(incident)
    theirs = _theirs(d, incident, name)
    told = Reason(RULE, f"{incident.id} grew: {', '.join(theirs) or 'news'}; {says}")
    asked = [rules.policy_for(one, cast("Severity", how)) for one, how in theirs.items()] or [main]
    for policy in {one.name: one for one in asked}.values():
        if rules.same_people(policy.name, main.name):
            growth.grow(d, main, incident, told)
        else:
            growth.page_others(d, main, policy, incident, told)


def approved(d: Decision, rules: Rules, incident: Incident, by: str) -> None:
    """Take the approval of a plan for an answer to the news of its service, and to no other."""
    if incident.state != "open" or not incident.awaits_ack:
        return
    burn = {service_of(one) for one in incident.slos}
    fires = burn | {name for name, one in incident.troubles.items() if one.firing}
    begun = {x.service for x in d.events if isinstance(x, events.PlanApproved)}
    if fires.intersection(incident.asking) <= begun:
        sides = rules.sides_of(incident, by)
        escalation.acknowledge(d, rules.policy.team, incident, by, sides)
