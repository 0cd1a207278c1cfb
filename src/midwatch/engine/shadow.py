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
    """An incident of the journal, as far as paging goes.

    `services` says since when each is in it; `about` is the service that its title names, and
    `paged_for` that of its first page. `over_at` is None when it is not over.
    """

    id: str
    title: str
    opened_at: int
    services: dict[str, int] = field(default_factory=dict[str, int])
    alerts: int = 0
    severity: str = ""
    why: str = ""
    about: str = ""
    paged_for: str = ""
    paged_at: int | None = None
    pages: int = 0
    over_at: int | None = None
    rang: int = 0  # how often a phone would have rung but for escalation: nobody can answer
    asks: bool = False  # whether somebody is being looked for
    held_until: int = 0  # growth that is told then


class Judged(Struct, frozen=True):
    """A real page and what midwatch would have done.

    `delay_s` is how much later it would page, `paged_for` the service that its page would name.
    """

    at: str
    services: tuple[str, ...]
    key: str
    source: str
    verdict: Verdict
    incident: str
    why: str
    delay_s: float | None = None
    paged_for: str = ""


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
    pages: int  # of midwatch's, growth too, as correlate counts them
    real_pages: int
    keys: int
    covered: int
    by_another: int  # of the covered: by a page that would name another service of the incident
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
            found[event.incident] = Recorded(
                event.incident, event.title, fact.at, about=event.service
            )
        elif isinstance(event, e.IncidentEvent) and event.incident in found:
            _note(found[event.incident], event, fact.at)
    return list(found.values())


def _note(one: Recorded, event: e.IncidentEvent, at: int) -> None:
    match event:
        case e.AlertsAttached():
            one.alerts += len(event.attached)
            for item in event.attached:
                one.services.setdefault(item.alert.service, at)
        case e.BurnAttached():
            one.services.setdefault(event.service, at)
        case e.SeverityDeclared():
            one.severity, one.why = event.severity, event.reason.says
            one.about = event.service or one.about
        case e.IncidentMitigated() | e.IncidentResolved():
            one.over_at = one.over_at or at
            one.asks = False
        case e.IncidentReopened():
            one.over_at = None
        case _:
            _note_page(one, event, at)


def _note_page(one: Recorded, event: e.IncidentEvent, at: int) -> None:
    match event:
        case e.IncidentGrew():
            one.rang += at != one.held_until
        case e.GrowthHeld():
            one.rang += event.until != one.held_until and not event.flaps
            one.held_until = event.until
        case e.OthersAsked():
            one.rang += event.step == 0
        case e.PageHeld():
            _rings(one)
        case e.PagePlanned():
            if not event.beside:
                _rings(one)
            if one.paged_at is None:
                one.paged_at, one.paged_for = at, one.about
            one.pages += 1
        case _:
            pass


def _rings(one: Recorded) -> None:
    """Count the first page since nobody was looked for."""
    one.rang += not one.asks
    one.asks = True


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
        pages=sum(one.rang for one in incidents),
        real_pages=len(judged),
        keys=len({one.key for one in judged}),
        covered=count["covered"],
        by_another=sum(_by_another(j) for j in judged),
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
    says = f"{one.severity}: {one.why}"
    return _judged(page, "covered", one.id, says, delay_s, one.paged_for)


def _by_another(one: Judged) -> bool:
    return one.verdict == "covered" and bool(one.paged_for) and one.paged_for not in one.services


def _home(page: RealPage, incidents: Sequence[Recorded], within_s: int) -> Recorded | None:
    """Find the incident that a real page is about: same service, same time, the nearest opening.

    A service that joined later than midwatch's page may come is no sign of the same trouble.
    """
    slack = within_s * SECOND
    later = page.at + slack + 1
    near = [
        one
        for one in incidents
        if one.opened_at - slack <= page.at
        and (one.over_at is None or page.at <= one.over_at + slack)
        and any(one.services.get(name, later) - slack <= page.at for name in page.services)
    ]
    return min(near, key=lambda one: abs(page.at - one.opened_at), default=None)


def _judged(
    page: RealPage,
    verdict: Verdict,
    incident: str,
    why: str,
    delay_s: float | None = None,
    paged_for: str = "",
) -> Judged:
    return Judged(
        show_time(page.at), page.services, page.key, page.source, verdict, incident, why, delay_s,
        paged_for,
    )  # fmt: skip


def _extra(one: Recorded) -> Extra:
    at = show_time(one.paged_at or one.opened_at)
    return Extra(at, one.id, list(one.services), f"{one.severity}: {one.why}")
