"""What midwatch would have paged for, beside what really paged.

Law: every verdict names its evidence, and what cannot be judged is shown, never counted as good. A
page is missed unless midwatch would have paged for the same trouble in time. Nobody can acknowledge
in shadow, so an incident counts as one page however far it would have escalated.

    covered   the first real page of an incident that midwatch pages for, about as early
    saved     a further real page of such an incident
    ticket    midwatch has the incident, and would not have woken anybody for it
    missed    no incident of that service at that time, or its page would have come too late
    extra     an incident that midwatch pages for and nobody was really paged
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from msgspec import Struct, field

from midwatch.core import events as e
from midwatch.core.clock import SECOND, show_duration, show_time
from midwatch.engine.queries import Fact

WITHIN_S = 900

Verdict = Literal["covered", "saved", "ticket", "missed"]


class RealPage(Struct, frozen=True, order=True):
    """Somebody was paged by another system; `services` is empty when it did not say about what."""

    at: int
    services: tuple[str, ...]
    key: str
    source: str = ""


class Recorded(Struct):
    """An incident of the journal, as far as paging goes; `over_at` None when it is not over."""

    id: str
    title: str
    opened_at: int
    services: dict[str, None] = field(default_factory=dict[str, None])
    alerts: int = 0
    severity: str = ""
    why: str = ""
    paged_at: int | None = None
    pages: int = 0
    over_at: int | None = None


class Judged(Struct, frozen=True):
    """A real page and what midwatch would have done; `delay_s` is how much later it would page."""

    at: str
    services: tuple[str, ...]
    key: str
    source: str
    verdict: Verdict
    incident: str
    why: str
    delay_s: float | None = None


class Extra(Struct, frozen=True):
    """An incident that only midwatch would have paged for."""

    at: str
    incident: str
    services: list[str]
    why: str


class Report(Struct, frozen=True):
    """The comparison; times in RFC 3339."""

    since: str
    until: str
    within_s: int
    alerts: int
    incidents: int
    would_page: int
    real_pages: int
    keys: int
    covered: int
    saved: int
    tickets: int
    missed: int
    judged: list[Judged]
    extra: list[Extra]
    not_judged: list[Judged]


def recorded(facts: Iterable[Fact[e.Event]]) -> list[Recorded]:
    """Read the incidents out of a journal, oldest first."""
    found: dict[str, Recorded] = {}
    for fact in facts:
        event = fact.event
        if isinstance(event, e.IncidentOpened):
            found[event.incident] = Recorded(event.incident, event.title, fact.at)
        elif isinstance(event, e.IncidentEvent) and event.incident in found:
            _note(found[event.incident], event, fact.at)
    return list(found.values())


def _note(one: Recorded, event: e.IncidentEvent, at: int) -> None:
    match event:
        case e.AlertsAttached():
            one.alerts += len(event.attached)
            one.services |= dict.fromkeys(item.alert.service for item in event.attached)
        case e.BurnAttached():
            one.services[event.service] = None
        case e.SeverityDeclared():
            one.severity, one.why = event.severity, event.reason.says
        case e.PagePlanned():
            one.paged_at = at if one.paged_at is None else one.paged_at
            one.pages += 1
        case e.IncidentMitigated() | e.IncidentResolved():
            one.over_at = one.over_at or at
        case e.IncidentReopened():
            one.over_at = None
        case _:
            pass


def pages_of(facts: Iterable[Fact[e.Event]]) -> list[RealPage]:
    """Give the real pages that a source has told the journal of."""
    seen = (fact.event for fact in facts)
    return [
        RealPage(event.at, event.services, event.key, event.source)
        for event in seen
        if isinstance(event, e.RealPageSeen)
    ]


def compare(
    incidents: Sequence[Recorded],
    pages: Iterable[RealPage],
    *,
    since: int,
    until: int,
    within_s: int = WITHIN_S,
) -> Report:
    """Judge each real page between two moments; the others are listed as not judged.

    Args:
        incidents: what midwatch recorded.
        pages: what really paged.
        since: milliseconds since the epoch, as is `until`.
        until: when the recording ended.
        within_s: how much later midwatch's page may come, and how long after an incident's end a
            page still belongs to it.

    """
    judged: list[Judged] = []
    outside: list[Judged] = []
    covered: dict[str, int] = {}
    for page in sorted(pages):
        if since <= page.at <= until:
            judged.append(_judge(page, incidents, covered, within_s))
        else:
            says = f"outside of {show_time(since)} to {show_time(until)}"
            outside.append(_judged(page, "missed", "", says))
    paging = [one for one in incidents if one.paged_at is not None]
    count = {name: sum(j.verdict == name for j in judged) for name in get_args(Verdict)}
    return Report(
        since=show_time(since),
        until=show_time(until),
        within_s=within_s,
        alerts=sum(one.alerts for one in incidents),
        incidents=len(incidents),
        would_page=len(paging),
        real_pages=len(judged),
        keys=len({one.key for one in judged}),
        covered=count["covered"],
        saved=count["saved"],
        tickets=count["ticket"],
        missed=count["missed"],
        judged=judged,
        extra=[_extra(one) for one in paging if one.id not in covered],
        not_judged=outside,
    )


def _judge(
    page: RealPage, incidents: Sequence[Recorded], covered: dict[str, int], within_s: int
) -> Judged:
    """Find the page's incident and say what midwatch would have done."""
    one = _home(page, incidents, within_s)
    if one is None:
        about = ", ".join(filter(None, page.services)) or "no service"
        return _judged(page, "missed", "", f"no incident of {about} at that time")
    if one.paged_at is None:
        says = f"{one.severity or 'unrated'}, a ticket: {one.why or one.title}"
        return _judged(page, "ticket", one.id, says)
    if one.id in covered:
        covered[one.id] += 1
        says = f"real page {covered[one.id]} of {one.id}, which pages once when somebody takes it"
        return _judged(page, "saved", one.id, says)
    delay_s = (one.paged_at - page.at) / SECOND
    if delay_s > within_s:
        says = f"midwatch would have paged {show_duration(delay_s)} later: {one.why}"
        return _judged(page, "missed", one.id, says, delay_s)
    covered[one.id] = 1
    return _judged(page, "covered", one.id, f"{one.severity}: {one.why}", delay_s)


def _home(page: RealPage, incidents: Sequence[Recorded], within_s: int) -> Recorded | None:
    """Find the incident that a real page is about: same service, same time, the nearest opening."""
    slack = within_s * SECOND
    near = [
        one
        for one in incidents
        if one.opened_at - slack <= page.at
        and (one.over_at is None or page.at <= one.over_at + slack)
        and any(service in one.services for service in page.services)
    ]
    return min(near, key=lambda one: abs(page.at - one.opened_at), default=None)


def _judged(
    page: RealPage, verdict: Verdict, incident: str, why: str, delay_s: float | None = None
) -> Judged:
    at = show_time(page.at)
    return Judged(at, page.services, page.key, page.source, verdict, incident, why, delay_s)


def _extra(one: Recorded) -> Extra:
    at = show_time(one.paged_at or one.opened_at)
    return Extra(at, one.id, list(one.services), f"{one.severity}: {one.why}")
