"""Triage of a human's report: category, priority, route, and the incident it belongs to.

Law: a category comes from the words in the config and abstains rather than guesses. Priority is
computed out of the incident's severity; text alone never makes a ticket urgent. A report joins an
incident by the same scorer as an alert, and reading it never changes anything else.
"""

from __future__ import annotations

import re

from msgspec import Struct

from midwatch.core import events
from midwatch.core.correlation import Places, Symptom, open_candidates, place
from midwatch.core.decision import Decision
from midwatch.core.inputs import FileTicket
from midwatch.core.reasons import Reason

RULE = "tickets/1"
MIN_WORDS = 2
PRIORITY = {"sev1": "P1", "sev2": "P2", "sev3": "P3", "sev4": "P4"}
UNKNOWN_CATEGORY = "unknown"


class Category(Struct, frozen=True):
    """Words that speak for a category, the service it is about and the team it goes to."""

    name: str
    words: tuple[str, ...]
    service: str
    route: str


def categorise(text: str, categories: tuple[Category, ...]) -> tuple[Category | None, list[str]]:
    """Find the category most words speak for; None on a tie or with fewer than MIN_WORDS.

    >>> quality = Category("answers", ("wrong", "refund"), "agent", "ai-team")
    >>> categorise("The refund answer is WRONG", (quality,))[1]
    ['wrong', 'refund']
    >>> categorise("the printer is out of paper", (quality,))
    (None, [])
    """
    words = set(re.findall(r"[^\W_]+", text.casefold()))
    found = [(c, [w for w in c.words if w.casefold() in words]) for c in categories]
    ranked = sorted(found, key=lambda item: -len(item[1]))
    if not ranked or len(ranked[0][1]) < MIN_WORDS:
        return None, []
    if len(ranked) > 1 and len(ranked[1][1]) == len(ranked[0][1]):
        return None, []
    return ranked[0]


def triage(
    d: Decision, places: Places, categories: tuple[Category, ...], ticket: FileTicket
) -> None:
    """Read a report once; the same ticket again is not read twice."""
    if ticket.ticket in d.shard.tickets:
        return
    category, words = categorise(ticket.text, categories)
    if category is None:
        says = "no category has enough words in it"
        reason = Reason(RULE, says, {"min_words": MIN_WORDS})
        d.emit(_triaged(ticket, UNKNOWN_CATEGORY, "P4", "triage", "", reason))
        return
    symptom = Symptom(category.service, "", d.now, lasting=True)
    placement = place(symptom, open_candidates(d), places)
    incident = d.incident(placement.incident) if placement.incident else None
    priority = PRIORITY.get(incident.severity or "sev4", "P4") if incident else "P4"
    where = f"{incident.id}, {incident.severity}" if incident else "no open incident"
    reason = Reason(
        RULE,
        f"{category.name} by {', '.join(words)}; {where}: {placement.reason.says}",
        {"words": len(words), "service": category.service, **placement.reason.terms},
        placement.reason.runner_up,
    )
    name = incident.id if incident else ""
    d.emit(_triaged(ticket, category.name, priority, category.route, name, reason))
    if incident is not None:
        d.emit(events.TicketLinked(incident.id, ticket.ticket, reason))


def _triaged(
    ticket: FileTicket, category: str, priority: str, route: str, incident: str, reason: Reason
) -> events.TicketTriaged:
    return events.TicketTriaged(
        ticket.ticket, ticket.text, category, priority, route, incident, reason
    )
