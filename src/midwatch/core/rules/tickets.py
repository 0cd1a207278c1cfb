"""Triage of a human's report: category, priority, route, and the incident it belongs to.

Law: a category comes from whoever files the ticket or from the words in the config, and abstains
rather than guesses. Priority is computed, impact times urgency; text alone never wakes anybody. A
report joins an incident by the same scorer as an alert, and opens one when there is none: users
notice first in four incidents of ten. One problem told twice is linked, not counted as two: people
are counted, not letters, and a claim of how many they are counts from whoever is known for it.

Reports that name no service, and that no category fits, belong to no incident until they are from
MANY people within TOGETHER_S: then one incident is opened for people to look at.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from msgspec import Struct

from midwatch.core.rules.correlation import (
    Placement,
    Places,
    Symptom,
    open_incident,
    place,
)
from midwatch.core.rules.covers import home_of
from midwatch.core.state import events
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident, is_open
from midwatch.core.state.inputs import FileTicket
from midwatch.core.state.shard import Ticket
from midwatch.core.values.categories import MIN_WORDS, Category, categorise
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.phrases import words_of
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.severity import Severity

RULE = "tickets/3"
UNKNOWN_CATEGORY = "unknown"
TRIAGE = "triage"
SAME = 0.7  # of their words, together, are in both
RECENT = 64  # reports that a new one is compared with
MANY = 5  # people: so many are no single person's mistake
TOGETHER_S = 3_600  # in which reports without a service are counted together
LINKED = 64  # of those that came before the incident, so many are linked to it
HINTS = frozenset(("urgent", "down", "outage", "broken", "cannot", "can't", "nobody", "everyone"))
# impact + urgency, 1 the greatest of each
PRIORITY = {2: "P1", 3: "P2", 4: "P3", 5: "P4", 6: "P4"}
URGENCY: dict[Severity, int] = {"sev1": 1, "sev2": 2, "sev3": 3, "sev4": 3}


class Desk(Struct, frozen=True):
    """By what reports are read: where incidents are, what words mean, whose claims are believed."""

    places: Places
    categories: tuple[Category, ...] = ()
    trouble: tuple[str, ...] = ()
    trusted: frozenset[str] = frozenset()


class Triaged(Struct, frozen=True):
    """What followed from a report: the incident, and how bad people alone say that it is."""

    incident: Incident
    severity: Severity
    reason: Reason


def triage(d: Decision, desk: Desk, ticket: FileTicket) -> Triaged | None:
    """Read a report once; the same ticket again is not read twice.

    Gives None when it belongs to no incident: nobody knows which service it is about.
    """
    if ticket.ticket in d.shard.tickets:
        return None
    places = desk.places
    category, words = _category(ticket, desk)
    service = ticket.service or (category.service if category else "")
    if not service:
        return _without_service(d, desk, ticket)
    route = category.route if category else places.topology.owner(service) or TRIAGE
    name = category.name if category else UNKNOWN_CATEGORY
    duplicate = _duplicate(d, ticket, service)
    placement = _placement(d, places, service, duplicate)
    if placement.incident is None:
        title = f"reported on {service}: {' '.join(ticket.text.split())[:80]}"
        symptom = Symptom(service, "", d.wall, lasting=True)
        incident = open_incident(d, symptom, title, placement.reason)
    else:
        incident = d.shard.incidents[placement.incident]
    priority, terms = _priority(d, places, incident, service, ticket)
    by = f"{name} by {', '.join(words)}" if words else f"{name}, filed for {service}"
    says = f"{by}; {incident.id}, {incident.severity or 'new'}: {placement.reason.says}"
    reason = Reason(
        RULE,
        says,
        {**terms, "service": service, **placement.reason.terms},
        placement.reason.runner_up,
    )
    d.emit(_triaged(ticket, name, priority, route, incident.id, reason, service, duplicate))
    d.emit(
        events.TicketLinked(
            incident=incident.id, ticket=ticket.ticket, reason=reason, service=service
        )
    )
    return Triaged(incident, *_people_alone(d, incident))


def _without_service(d: Decision, desk: Desk, ticket: FileTicket) -> Triaged | None:
    """Note a report that nobody knows a service for; many people's open one incident."""
    doubted = not (ticket.signed or ticket.source in desk.trusted)
    duplicate = _duplicate(d, ticket, "")
    incident = _for_triage(d)
    alone = "no category has enough words in it, and no service is named"
    terms: dict[str, Term] = {"min_words": MIN_WORDS}
    if incident is not None:
        reason = Reason(RULE, f"{alone}; {incident.id} is open for such reports", terms)
    else:
        waiting = _waiting(d)
        claimed = ticket.affected if not doubted else 1
        count = len({*waiting, _reporter(ticket)})
        terms |= {"people": max(count, claimed), "many": MANY}
        if count < MANY and claimed < MANY:
            told = Reason(RULE, alone, terms)
            d.emit(
                _triaged(ticket, UNKNOWN_CATEGORY, "P4", TRIAGE, "", told, "", duplicate, doubted)
            )
            return None
        within = show_duration(TOGETHER_S)
        who = (
            f"{count} people within {within}"
            if count >= MANY
            else f"{claimed} people, according to the report"
        )
        reason = Reason(RULE, f"{alone}; {who}", terms)
        title = f"reported, no service named: {' '.join(ticket.text.split())[:80]}"
        symptom = Symptom("", "", d.wall, lasting=True)
        incident = open_incident(d, symptom, title, reason)
        if count >= MANY:
            _link_earlier(d, incident, waiting.values(), reason)
    priority = _rank(1, URGENCY["sev2"])
    d.emit(
        _triaged(
            ticket, UNKNOWN_CATEGORY, priority, TRIAGE, incident.id, reason, "", duplicate, doubted
        )
    )
    d.emit(events.TicketLinked(incident=incident.id, ticket=ticket.ticket, reason=reason))
    return Triaged(incident, *_people_alone(d, incident))


def _for_triage(d: Decision) -> Incident | None:
    """Find the open incident of reports without a service, or what it was merged into."""
    for one in reversed(d.shard.tickets.values()):
        if one.incident and not one.service:
            incident = home_of(d.shard, one.incident)
            return incident if incident is not None and is_open(incident) else None
    return None


def _waiting(d: Decision) -> dict[str, str]:
    """Give the reporters of late whose reports belong nowhere, each with the newest one."""
    since = d.now - TOGETHER_S * SECOND
    found: dict[str, str] = {}
    for name, one in reversed(d.shard.tickets.items()):
        if one.at < since:
            break
        if not one.service and not one.incident:
            found.setdefault(one.reporter, name)
    return found


def _link_earlier(d: Decision, incident: Incident, waiting: Iterable[str], reason: Reason) -> None:
    """Take what was reported before into the incident: it belongs somewhere now."""
    for name in reversed(list(islice(waiting, LINKED))):
        one = d.shard.tickets[name]
        d.emit(
            events.TicketTriaged(
                ticket=name,
                text=one.text,
                category=one.category,
                priority=one.priority,
                route=one.route,
                incident=incident.id,
                reason=reason,
                duplicate_of=one.duplicate_of,
                affected=one.affected,
                service=one.service,
                by=one.by,
                source=one.source,
                doubted=one.doubted,
            )
        )
        d.emit(events.TicketLinked(incident=incident.id, ticket=name, reason=reason))


def _reporter(ticket: FileTicket) -> str:
    return Ticket("", "", "", "", by=ticket.by, source=ticket.source).reporter


def _category(ticket: FileTicket, desk: Desk) -> tuple[Category | None, list[str]]:
    """Take the category that the ticket names, when config knows it, else the words'."""
    named = next((one for one in desk.categories if one.name == ticket.category), None)
    return (named, []) if named else categorise(ticket.text, desk.categories, desk.trouble)


def _placement(d: Decision, places: Places, service: str, duplicate: str) -> Placement:
    told = d.shard.tickets.get(duplicate)
    incident = d.shard.incidents.get(told.incident) if told else None
    if incident is not None and is_open(incident):
        return Placement(incident.id, Reason(RULE, f"it says the same as {duplicate}"))
    return place(d, Symptom(service, "", d.wall, lasting=True), places)


def _duplicate(d: Decision, ticket: FileTicket, service: str) -> str:
    """Find a report of the same service that says nearly the same, the newest first."""
    mine = words_of(ticket.text)
    for name, other in islice(reversed(d.shard.tickets.items()), RECENT):
        theirs = words_of(other.text)
        both = len(mine | theirs)
        if other.service == service and both and len(mine & theirs) / both >= SAME:
            return other.duplicate_of or name
    return ""


def _priority(
    d: Decision, places: Places, incident: Incident, service: str, ticket: FileTicket
) -> tuple[str, dict[str, Term]]:
    """Compute impact and urgency, 1 to 3 each; text can only hint from 3 to 2."""
    mine = Ticket("", "", "", "", affected=ticket.affected, by=ticket.by, source=ticket.source)
    affected = people([*_kept(d, incident), mine])
    tier = places.topology.tier(service)
    impact = min(max(tier, 1), 3)
    if affected >= MANY:
        impact = max(impact - 1, 1)
    if incident.slo:
        impact = 1
    urgency = URGENCY[incident.severity or "sev4"]
    if urgency > 2 and not HINTS.isdisjoint(words_of(ticket.text)):
        urgency = 2
    terms: dict[str, Term] = {"impact": impact, "urgency": urgency, "affected": affected}
    return _rank(impact, urgency), terms


def _rank(impact: int, urgency: int) -> str:
    return PRIORITY[impact + urgency]


def people(tickets: Iterable[Ticket]) -> int:
    """Count the people behind reports: who reports it, or as many as one report speaks for.

    >>> told = [Ticket("", "", "", "", by=name) for name in ("ada", "Ada ", "ben", "", "")]
    >>> people(told), people([*told, Ticket("", "", "", "", affected=40)])
    (3, 40)
    """
    told = list(tickets)
    claimed = (one.affected for one in told if not one.doubted)
    return max(len({one.reporter for one in told}), max(claimed, default=0))


def _kept(d: Decision, incident: Incident) -> list[Ticket]:
    known = d.shard.tickets
    return [known[name] for name in incident.tickets if name in known]


def _people_alone(d: Decision, incident: Incident) -> tuple[Severity, Reason]:
    """Say how bad it is by what people say: one person wakes nobody, many do."""
    affected = people(_kept(d, incident))
    reports = len(incident.tickets)
    says = f"{reports} report{'' if reports == 1 else 's'} of {affected} affected, no measurement"
    severity: Severity = "sev2" if affected >= MANY else "sev3"
    return severity, Reason(RULE, says, {"reports": reports, "affected": affected})


def _triaged(
    ticket: FileTicket,
    category: str,
    priority: str,
    route: str,
    incident: str,
    reason: Reason,
    service: str = "",
    duplicate_of: str = "",
    doubted: bool = False,
) -> events.TicketTriaged:
    return events.TicketTriaged(
        ticket=ticket.ticket,
        text=ticket.text,
        category=category,
        priority=priority,
        route=route,
        incident=incident,
        reason=reason,
        duplicate_of=duplicate_of,
        affected=ticket.affected,
        service=service,
        by=ticket.by,
        source=ticket.source,
        doubted=doubted,
    )
