"""Triage of a human's report: category, priority, route, and the incident it belongs to.

Law: a category comes from whoever files the ticket or from the words in the config, and abstains
rather than guesses. Priority is computed, impact times urgency; text alone never wakes anybody. A
report joins an incident by the same scorer as an alert, and opens one when there is none: users
notice first in four incidents of ten. One problem told twice is linked, not counted as two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from msgspec import Struct

from midwatch.core import events
from midwatch.core.correlation import (
    Placement,
    Places,
    Symptom,
    open_incident,
    place,
)
from midwatch.core.decision import Decision
from midwatch.core.incidents import Incident, is_open
from midwatch.core.inputs import FileTicket
from midwatch.core.reasons import Reason, Term
from midwatch.core.severity import Severity

RULE = "tickets/2"
MIN_WORDS = 2
UNKNOWN_CATEGORY = "unknown"
TRIAGE = "triage"
SAME = 0.7  # of their words, together, are in both
RECENT = 64  # reports that a new one is compared with
MANY = 5  # people: so many are no single person's mistake
HINTS = frozenset(("urgent", "down", "outage", "broken", "cannot", "can't", "nobody", "everyone"))
# impact + urgency, 1 the greatest of each
PRIORITY = {2: "P1", 3: "P2", 4: "P3", 5: "P4", 6: "P4"}
URGENCY: dict[Severity, int] = {"sev1": 1, "sev2": 2, "sev3": 3, "sev4": 3}


class Category(Struct, frozen=True):
    """Words that speak for a category, the service it is about and the team it goes to."""

    name: str
    words: tuple[str, ...]
    service: str
    route: str


def words_of(text: str) -> frozenset[str]:
    """Take the words of a text, without regard to case, order and signs.

    >>> sorted(words_of("It is DOWN! can't log in."))
    ["can't", 'down', 'in', 'is', 'it', 'log']
    """
    return frozenset(re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.casefold()))


def categorise(text: str, categories: tuple[Category, ...]) -> tuple[Category | None, list[str]]:
    """Find the category most words speak for; None on a tie or with fewer than MIN_WORDS.

    >>> quality = Category("answers", ("wrong", "refund"), "agent", "ai-team")
    >>> categorise("The refund answer is WRONG", (quality,))[1]
    ['wrong', 'refund']
    >>> categorise("the printer is out of paper", (quality,))
    (None, [])
    """
    words = words_of(text)
    found = [(c, [w for w in c.words if w.casefold() in words]) for c in categories]
    ranked = sorted(found, key=lambda item: -len(item[1]))
    if not ranked or len(ranked[0][1]) < MIN_WORDS:
        return None, []
    if len(ranked) > 1 and len(ranked[1][1]) == len(ranked[0][1]):
        return None, []
    return ranked[0]


class Triaged(Struct, frozen=True):
    """What followed from a report: the incident, and how bad people alone say that it is."""

    incident: Incident
    severity: Severity
    reason: Reason


def triage(
    d: Decision, places: Places, categories: tuple[Category, ...], ticket: FileTicket
) -> Triaged | None:
    """Read a report once; the same ticket again is not read twice.

    Gives None when it belongs to no incident: nobody knows which service it is about.
    """
    if ticket.ticket in d.shard.tickets:
        return None
    category, words = _category(ticket, categories)
    service = ticket.service or (category.service if category else "")
    route = category.route if category else places.topology.owner(service) or TRIAGE
    name = category.name if category else UNKNOWN_CATEGORY
    if not service:
        says = "no category has enough words in it, and no service is named"
        reason = Reason(RULE, says, {"min_words": MIN_WORDS})
        d.emit(_triaged(ticket, name, "P4", route, "", reason))
        return None
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
        RULE, says, {**terms, "service": service, **placement.reason.terms},
        placement.reason.runner_up,
    )  # fmt: skip
    d.emit(_triaged(ticket, name, priority, route, incident.id, reason, service, duplicate))
    d.emit(events.TicketLinked(incident.id, ticket.ticket, reason, service))
    return Triaged(incident, *_people_alone(d, incident))


def _category(
    ticket: FileTicket, categories: tuple[Category, ...]
) -> tuple[Category | None, list[str]]:
    """Take the category that the ticket names, when config knows it, else the words'."""
    named = next((one for one in categories if one.name == ticket.category), None)
    return (named, []) if named else categorise(ticket.text, categories)


def _placement(d: Decision, places: Places, service: str, duplicate: str) -> Placement:
    told = d.shard.tickets.get(duplicate)
    incident = d.shard.incidents.get(told.incident) if told else None
    if incident is not None and is_open(incident):
        return Placement(incident.id, Reason(RULE, f"it says what {duplicate} says"))
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
    affected = _affected(d, incident.tickets) + ticket.affected
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
    return PRIORITY[impact + urgency], terms


def _affected(d: Decision, tickets: Iterable[str]) -> int:
    return sum(d.shard.tickets[one].affected for one in tickets if one in d.shard.tickets)


def _people_alone(d: Decision, incident: Incident) -> tuple[Severity, Reason]:
    """Say how bad it is by what people say: one person wakes nobody, many do."""
    affected = _affected(d, incident.tickets)
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
) -> events.TicketTriaged:
    return events.TicketTriaged(
        ticket.ticket, ticket.text, category, priority, route, incident, reason,
        duplicate_of, ticket.affected, service,
    )  # fmt: skip
