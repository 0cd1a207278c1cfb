"""Facts about the reports that people write."""

from __future__ import annotations

from midwatch.core.state.events.base import IncidentEvent, TicketEvent
from midwatch.core.values.reasons import Reason


class TicketTriaged(TicketEvent, frozen=True, kw_only=True):
    """A human's report was read; `incident` is empty when it belongs to none that is open."""

    text: str
    category: str
    priority: str
    route: str
    incident: str
    reason: Reason
    duplicate_of: str = ""
    affected: int = 0
    service: str = ""
    by: str = ""  # who reports it, as far as anybody says
    source: str = ""  # the sender, when it was one
    doubted: bool = False  # whether `affected` is a claim that nobody vouches for


class TicketLinked(IncidentEvent, frozen=True, kw_only=True):
    """A ticket reports the harm of this incident."""

    ticket: str
    reason: Reason
    service: str = ""
