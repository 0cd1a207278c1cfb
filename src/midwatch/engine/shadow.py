"""What midwatch would have paged for, beside what really paged.

Law: every verdict names its evidence, and what cannot be judged is shown, never counted as good. A
page is missed unless midwatch would have paged for the same trouble in time: for its service, or
the people of its policy while it knew that the service is in it. That two things broke at the same
time is no evidence. Nobody can acknowledge in shadow, so an incident counts as one page however far
it would have escalated.

    covered   midwatch pages for it, too: about as early, or at most `within` later
    saved     a further real page of what midwatch has paged for before
    ticket    midwatch has the incident, and would not have woken anybody for it
    missed    no incident of that service at that time, only one at the same time, or its page would
              have come too late or to others
    extra     an incident that midwatch pages for and nobody was really paged
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, get_args

from msgspec import Struct, field

from midwatch.core.state import events as e
from midwatch.core.values.clock import SECOND, show_duration, show_time
from midwatch.core.values.phrases import plain
from midwatch.core.values.reasons import Reason
from midwatch.engine.queries import Fact

WITHIN_S = 900
BY_TIME = ("time only", "by time alone")  # as correlation and covers say it
_drawn_by = re.compile(r"calls? from (.+)").fullmatch
_between = re.compile(r"[\W_]+")

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
    `paged_for` that of its first page. `told` says when pages would have been about a service,
    `asked` whose news each is, `heard` what it was, and `people` when each policy is paged first.
    What joined by time only is `loose`, with the reason; `drawn` names the service through which
    another one joined. `over_at` is None when it is not over.
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
    told: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    asked: dict[str, str] = field(default_factory=dict[str, str])
    people: dict[str, int] = field(default_factory=dict[str, int])
    heard: dict[str, str] = field(default_factory=dict[str, str])
    loose: dict[str, str] = field(default_factory=dict[str, str])
    drawn: dict[str, str] = field(default_factory=dict[str, str])
    news: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])  # no page yet
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
                _join(one, item.alert.service, event.reason_of(item), at)
        case e.BurnAttached():
            _join(one, event.service, event.reason, at)
        case e.TicketLinked():
            if event.service:
                _join(one, event.service, event.reason, at)
        case e.NewsJudged():
            _hear(one, event)
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


def _join(one: Recorded, service: str, reason: Reason, at: int) -> None:
    """Note since when a service is in it; how it came in first is what speaks for it."""
    if service in one.services:
        return
    one.services[service] = at
    if len(one.services) == 1:
        return  # it opened the incident
    relation = str(reason.terms.get("relation", ""))
    if BY_TIME[0] in relation:
        one.loose[service] = "no call connects them"
    elif found := _drawn_by(relation.partition(" ")[2]):
        one.drawn[service] = found[1]


def _hear(one: Recorded, event: e.NewsJudged) -> None:
    one.asked[event.service] = event.policy
    if event.pages:
        one.news.append((event.service, event.policy))
        one.heard[event.service] = event.reason.says
    elif BY_TIME[1] in event.reason.says:
        one.loose.setdefault(event.service, event.reason.says)


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
            _tell(one, event, at)
        case _:
            pass


def _tell(one: Recorded, event: e.PagePlanned, at: int) -> None:
    """Note which services a page is about: that of the title, and what was news."""
    one.people.setdefault(event.policy, at)
    about = {one.about} if not event.beside else set[str]()
    rest: list[tuple[str, str]] = []
    for service, policy in one.news:
        if event.beside and policy != event.policy:
            rest.append((service, policy))
        else:
            about.add(service)
    one.news = rest
    for service in about:
        one.told.setdefault(service, []).append(at)


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


class Names:
    """Services as people write them: in any case, with any signs between, or by an alias.

    >>> names = Names(["shop-web"], {"Online Shop (EU)": "shop-web"})
    >>> names.of("Shop Web"), names.of("online shop eu"), names.of("mail")
    ('shop-web', 'shop-web', 'mail')
    """

    def __init__(self, services: Iterable[str], aliases: Mapping[str, str]) -> None:
        self._exact = dict.fromkeys(services)
        self._known = {_key(alias): name for alias, name in aliases.items()}
        for name in self._exact:
            self._known.setdefault(_key(name), name)

    def of(self, name: str) -> str:
        """Give the service that is meant; what nobody knows stays as it is."""
        return name if name in self._exact else self._known.get(_key(name), name)


def _key(name: str) -> str:
    return _between.sub(" ", plain(name)).strip()


def same_name(one: str, other: str) -> bool:
    """Say whether two policies are one; of an old journal that names none nobody knows."""
    return one == other or "" in (one, other)


class Known(Struct, frozen=True):
    """What the config knows: other names of services, their policies, and whose people are one."""

    aliases: Mapping[str, str] = {}
    policy_of: Callable[[str], str] = lambda _: ""
    same: Callable[[str, str], bool] = same_name


def compare(
    incidents: Sequence[Recorded],
    pages: Iterable[RealPage],
    *,
    since: int,
    until: int,
    within_s: int = WITHIN_S,
    known: Known = Known(),  # noqa: B008  it is frozen
) -> Report:
    """Judge each real page between two moments; the others are listed as not judged.

    Args:
        incidents: what midwatch recorded.
        pages: what really paged.
        since: milliseconds since the epoch, as is `until`.
        until: when the recording ended.
        within_s: how much later midwatch's page may come, and how long after an incident's end a
            page still belongs to it.
        known: what the config says of services and policies.

    """
    judge = _Judge(incidents, within_s, known)
    judged: list[Judged] = []
    outside: list[Judged] = []
    for page in sorted(pages):
        if since <= page.at <= until:
            judged.append(judge.judge(page))
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
        by_another=sum(judge.by_another(j) for j in judged),
        saved=count["saved"],
        tickets=count["ticket"],
        missed=count["missed"],
        judged=judged,
        extra=[_extra(one) for one in paging if one.id not in judge.used],
        not_judged=outside,
    )


class _Judge:
    """Finds the incident of each real page, in their order, and says what midwatch would do."""

    def __init__(self, incidents: Sequence[Recorded], within_s: int, known: Known) -> None:
        self._incidents = incidents
        self._within_s = within_s
        self._known = known
        names = dict.fromkeys(name for one in incidents for name in one.services)
        self._names = Names(names, known.aliases)
        self._count: dict[tuple[str, str], int] = {}  # real pages, by what midwatch's is about
        self.used: set[str] = set()

    def judge(self, page: RealPage) -> Judged:
        """Judge one page."""
        services = tuple(map(self._names.of, page.services))
        one = self._home(page, services)
        if one is None:
            about = ", ".join(filter(None, page.services)) or "no service"
            return _judged(page, "missed", "", f"no incident of {about} at that time")
        theirs = [name for name in services if name in one.services]
        told = [name for name in theirs if name in one.told]
        loose = [why for name in theirs if (why := _loose(one, name))]
        if not told and len(loose) == len(theirs):
            what = "for something else" if one.paged_at is not None else "nobody"
            says = f"joined {one.id} by time only, which pages {what}: {loose[0]}"
            return _judged(page, "missed", one.id, says)
        if one.paged_at is None:
            says = f"{one.severity or 'unrated'}, a ticket: {one.why or one.title}"
            return _judged(page, "ticket", one.id, says)
        if told:
            return self._beside(page, one, min(one.told[name][0] for name in told), told[0])
        asked = [one.asked.get(name) or self._known.policy_of(name) for name in theirs]
        paged = [
            at
            for policy, at in one.people.items()
            if any(self._known.same(policy, other) for other in asked)
        ]
        if not paged and one.people:
            says = f"{one.id} pages {_listed(one.people)}, not {_listed(asked)}, whose it is"
            return _judged(page, "missed", one.id, says)
        first_at = min(paged, default=one.paged_at)
        at = max(first_at, min(one.services[name] for name in theirs))
        return self._beside(page, one, at, one.paged_for)

    def _beside(self, page: RealPage, one: Recorded, at: int, about: str) -> Judged:
        """Judge a page beside the one of midwatch's that is about the same."""
        delay_s = (at - page.at) / SECOND
        if delay_s > self._within_s:
            says = f"midwatch would have paged {show_duration(delay_s)} later: {one.why}"
            return _judged(page, "missed", one.id, says, delay_s)
        self.used.add(one.id)
        number = self._count[one.id, about] = self._count.get((one.id, about), 0) + 1
        if number > 1 and delay_s <= 0:
            says = f"real page {number} of {one.id}, which pages once when somebody takes it"
            return _judged(page, "saved", one.id, says)
        grown = about != one.paged_for and one.heard.get(about, "")
        says = f"{one.severity}: {grown or one.why}"
        return _judged(page, "covered", one.id, says, delay_s, about)

    def by_another(self, one: Judged) -> bool:
        """Say whether midwatch's page would name another service than the real one."""
        theirs = map(self._names.of, one.services)
        return one.verdict == "covered" and bool(one.paged_for) and one.paged_for not in theirs

    def _home(self, page: RealPage, services: tuple[str, ...]) -> Recorded | None:
        """Find the incident that a real page is about: same service and time, nearest opening.

        A service that joined later than midwatch's page may come is no sign of the same trouble.
        """
        slack = self._within_s * SECOND
        later = page.at + slack + 1
        near = [
            one
            for one in self._incidents
            if one.opened_at - slack <= page.at
            and (one.over_at is None or page.at <= one.over_at + slack)
            and any(one.services.get(name, later) - slack <= page.at for name in services)
        ]
        return min(near, key=lambda one: abs(page.at - one.opened_at), default=None)


def _loose(one: Recorded, service: str) -> str:
    """Say that only time speaks for a service, or for what drew it in; "" when more does."""
    seen: set[str] = set()
    while service not in seen and service not in one.told:
        if service in one.loose:
            return one.loose[service]
        seen.add(service)
        service = one.drawn.get(service, service)
    return ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(f"policy {name}" for name in names))


def _judged(
    page: RealPage,
    verdict: Verdict,
    incident: str,
    why: str,
    delay_s: float | None = None,
    paged_for: str = "",
) -> Judged:
    return Judged(
        show_time(page.at),
        page.services,
        page.key,
        page.source,
        verdict,
        incident,
        why,
        delay_s,
        paged_for,
    )


def _extra(one: Recorded) -> Extra:
    at = show_time(one.paged_at or one.opened_at)
    return Extra(at, one.id, list(one.services), f"{one.severity}: {one.why}")
