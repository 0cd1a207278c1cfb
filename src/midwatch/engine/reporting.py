"""A week or a month on call: what hurt, who was woken, how fast it was over, what is left to do.

Law: read only, out of the events of the period. Times to detect, acknowledge and mitigate are told
as distributions, never as one mean; what did not happen is not counted as fast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from midwatch.core import events as e
from midwatch.core.clock import SECOND, show_time
from midwatch.core.incidents import Incident, type_of
from midwatch.core.shard import Shard
from midwatch.engine import queries
from midwatch.ports import Audit

HOUR_MS = 3_600 * SECOND
NOISY, OFTEN = 10, 3  # types of alerts that are listed, and how often one has to fire
DAY = 10


class IncidentLine(Struct, frozen=True):
    """One incident of the period; seconds since it started, null for what did not happen."""

    id: str
    title: str
    service: str
    severity: str
    state: str
    opened_at: str
    alerts: int
    pages: int
    to_detect_s: float | None
    to_acknowledge_s: float | None
    to_mitigate_s: float | None
    budget_spent: float | None
    recurrence_of: str


class Spread(Struct, frozen=True):
    """A distribution in seconds; null when it has nothing in it."""

    count: int
    median_s: float | None
    p90_s: float | None
    worst_s: float | None


class Noise(Struct, frozen=True):
    """A type of alert: how often it fired, and in how many incidents that paged nobody."""

    alert: str
    count: int
    incidents: int
    silent: int


class OpenItem(Struct, frozen=True):
    """An action item that is not done."""

    incident: str
    what: str
    owner: str
    due: str
    overdue: bool


class Report(Struct, frozen=True):
    """What happened in [start, end); `pages_by_hour` has 24 hours of the day in UTC.

    The distributions are of incidents that hurt somebody: that paged or spent error budget.
    """

    start: str
    end: str
    incidents: list[IncidentLine]
    pages: int
    pages_by_hour: list[int]
    pages_by_person: dict[str, int]
    budget_spent: dict[str, float]
    to_detect: Spread
    to_acknowledge: Spread
    to_mitigate: Spread
    noisy: list[Noise]
    open_items: list[OpenItem]
    cases_added: list[str]
    recurrences: list[str]
    waivers: list[str]


def gather(audit: Audit, start: int, end: int) -> Gathered:
    """Add up the events of [start, end), in milliseconds. It may take its time."""
    gathered = Gathered()
    skews = queries.skews_of(audit)
    for row, _ in audit.rows():
        at = skews.shown(row.at)
        if start <= at < end:
            gathered.take(at, queries.event_of(row))
        elif row.type == e.PagePlanned.__name__ and at < start:
            gathered.remember(queries.event_of(row))
    return gathered


def report(
    shard: Shard, incidents: Mapping[str, Incident], gathered: Gathered, start: int, end: int
) -> Report:
    """Tell a period, of what was gathered of it.

    `incidents` are those that were opened in it, and all others that still matter, by name.
    """
    lines = [
        _line(shard, one, gathered)
        for one in incidents.values()
        if start <= shard.shown(one.opened_at) < end and one.state != "merged"
    ]
    hurt = [line for line in lines if incidents[line.id].hurt]
    budgets: dict[str, float] = {}
    for slo, spent in gathered.spent:
        budgets[slo] = round(budgets.get(slo, 0.0) + spent, 6)
    return Report(
        show_time(start), show_time(end), lines, sum(gathered.hours), gathered.hours,
        dict(gathered.persons.most_common()), budgets,
        _spread(line.to_detect_s for line in hurt),
        _spread(line.to_acknowledge_s for line in hurt),
        _spread(line.to_mitigate_s for line in hurt),
        gathered.noisy(incidents), _items(incidents, end), gathered.cases, gathered.recurrences,
        [f"{one.id}: {one.waiver}, until {show_time(one.waived_until)}"
         for one in incidents.values() if one.waiver and one.waived_until > end],
    )  # fmt: skip


class Gathered:
    """What the events of a period add up to."""

    def __init__(self) -> None:
        self.hours = [0] * 24
        self.persons: Counter[str] = Counter()
        self.spent: list[tuple[str, float]] = []
        self.by_incident: dict[str, float] = {}
        self.cases: list[str] = []
        self.recurrences: list[str] = []
        self._sent: dict[str, str] = {}
        self._alerts: Counter[str] = Counter()
        self._where: dict[str, set[str]] = {}

    def remember(self, event: e.Event) -> None:
        """Keep whom a page is for; it may be sent in the period."""
        if isinstance(event, e.PagePlanned):
            self._sent[event.key] = event.to

    def take(self, at: int, event: e.Event) -> None:
        """Count an event in."""
        match event:
            case e.PagePlanned():
                self.remember(event)
            case e.PageSent():
                self.hours[at // HOUR_MS % 24] += 1
                self.persons[self._sent.get(event.key, "somebody")] += 1
            case e.AlertsAttached():
                for item in event.attached:
                    kind = type_of(item.alert.service, item.alert.name)
                    self._alerts[kind] += 1
                    self._where.setdefault(kind, set()).add(event.incident)
            case e.PostmortemDrafted():
                spent, slo = event.document.get("budget_spent"), event.document.get("slo")
                if spent is not None and slo:
                    self.spent.append((slo, spent))
                    self.by_incident[event.incident] = spent
            case e.RegressionCaseAdmitted():
                self.cases.append(f"{event.case.id} of {event.incident}")
            case e.IncidentRecurred():
                self.recurrences.append(event.reason.says)
            case _:
                pass

    def noisy(self, incidents: Mapping[str, Incident]) -> list[Noise]:
        """List the types of alerts that fired most where nobody was paged."""
        found: list[Noise] = []
        for kind, count in self._alerts.items():
            where = [incidents[name] for name in self._where[kind] if name in incidents]
            silent = sum(not one.pages for one in where)
            found.append(Noise(kind.strip(), count, len(where), silent))
        noisy = [one for one in found if one.silent and one.count >= OFTEN]
        return sorted(noisy, key=lambda one: (-one.silent, -one.count, one.alert))[:NOISY]


def _line(shard: Shard, one: Incident, gathered: Gathered) -> IncidentLine:
    def since(at: int) -> float | None:
        return (shard.shown(at) - one.first_at) / SECOND if at else None

    return IncidentLine(
        one.id, one.title, one.service_of_plan, one.severity or "", one.state,
        show_time(shard.shown(one.opened_at)), one.alert_count, len(one.pages),
        since(min(at for at in (one.burned_at, one.opened_at) if at)) if one.opened_at else None,
        since(one.acknowledged_at), since(one.mitigated_at), gathered.by_incident.get(one.id),
        one.recurrence_of if one.again else "",
    )  # fmt: skip


def _spread(seconds: Iterable[float | None]) -> Spread:
    """Describe a distribution by its median, its 90th percentile and its worst.

    >>> _spread([30.0, None, 10.0, 20.0])
    Spread(count=3, median_s=20.0, p90_s=30.0, worst_s=30.0)
    """
    known = sorted(one for one in seconds if one is not None)
    if not known:
        return Spread(0, None, None, None)
    last = len(known) - 1
    return Spread(len(known), known[last // 2], known[-(-last * 9 // 10)], known[last])


def _items(incidents: Mapping[str, Incident], now: int) -> list[OpenItem]:
    today = show_time(now)[:DAY]
    found = [
        OpenItem(one.id, item.what, item.owner, item.due, item.due < today)
        for one in incidents.values()
        if one.judgement is not None
        for item in one.judgement.action_items
        if item.state == "open"
    ]
    return sorted(found, key=lambda item: item.due)
