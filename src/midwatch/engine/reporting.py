"""A week or a month on call: what hurt, who was woken, how fast it was over, what is left to do.

Law: read only, out of the events of the period. Times to detect, acknowledge and mitigate are told
as distributions, never as one mean; what did not happen is not counted as fast.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, structs

from midwatch.core import events as e
from midwatch.core.board import number_of
from midwatch.core.clock import SECOND, show_time
from midwatch.core.incidents import PREFIX, Incident, type_of
from midwatch.core.shard import Shard
from midwatch.core.skews import Skews
from midwatch.engine import archive, paging, queries
from midwatch.ports import Archive, Audit

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


class Told(Struct, frozen=True):
    """What a report needs of one incident, copied between two decisions."""

    line: IncidentLine  # its budget is not known yet
    opened_at: int  # by the wall clock
    hurt: bool
    items: list[tuple[str, str, str]]  # open action items: what, owner, due
    waiver: str
    waived_until: int


def gather(audit: Audit, skews: Skews, start: int, end: int) -> Gathered:
    """Add up the events of [start, end), in milliseconds. It may take its time."""
    gathered = Gathered()
    first, last = skews.around(start, end)
    for row in audit.since(first):
        if row.at >= last:
            break
        at = skews.shown(row.at)
        if start <= at < end:
            gathered.take(at, queries.event_of(row))
    gathered.ask(audit)
    return gathered


def take(shard: Shard, names: Iterable[str]) -> list[Told]:
    """Copy the incidents of these names that are in the shard."""
    known = (shard.incidents.get(name) for name in names)
    return [_told(one, shard.skews) for one in known if one is not None]


def known(
    taken: Iterable[Told], records: Archive, gathered: Gathered, skews: Skews, start: int, end: int
) -> list[Told]:
    """Put what was taken of the shard, and what has left it and matters to a period, in one order.

    The shard was looked at before the archive is read here, so that nobody leaves unseen between
    the two. It may take its time.
    """
    found = {one.line.id: one for one in taken}
    for incident in archive.past(records, skews, start, end):
        found[incident.id] = _told(incident, skews)
    for name in gathered.about - found.keys():  # opened before, and alerts came in the period
        record = records.recall(name)
        if record is not None:
            found[name] = _told(record.incident, skews)
    return sorted(found.values(), key=lambda one: number_of(one.line.id))


def report(
    incidents: Sequence[Told], gathered: Gathered, start: int, end: int, limit: int = 0,
    after: str = "",
) -> tuple[Report, str]:  # fmt: skip
    """Tell a period, of what was gathered of it and of all that is known; and where to go on.

    With a limit only so many lines of incidents, after the one that is named; the sums are of all.
    Raises NoSuchRow.
    """
    period = [
        one for one in incidents if start <= one.opened_at < end and one.line.state != "merged"
    ]
    lines = [
        structs.replace(one.line, budget_spent=gathered.by_incident.get(one.line.id))
        for one in period
    ]
    hurt = [one.line for one in period if one.hurt]
    budgets: dict[str, float] = {}
    for slo, spent in gathered.spent:
        budgets[slo] = round(budgets.get(slo, 0.0) + spent, 6)
    more = False
    if limit:
        last = paging.number(after, PREFIX) if after else None
        if last is not None and not any(number_of(one.line.id) >= last for one in incidents):
            raise paging.unknown(after)
        lines, more = paging.part(lines, lambda line: number_of(line.id), limit, last)
    told = Report(
        show_time(start), show_time(end), lines, sum(gathered.hours), gathered.hours,
        dict(gathered.persons.most_common()), budgets,
        _spread(line.to_detect_s for line in hurt),
        _spread(line.to_acknowledge_s for line in hurt),
        _spread(line.to_mitigate_s for line in hurt),
        gathered.noisy({one.line.id: one.line.pages for one in incidents}), _items(incidents, end),
        gathered.cases, gathered.recurrences,
        [f"{one.line.id}: {one.waiver}, until {show_time(one.waived_until)}"
         for one in incidents if one.waiver and one.waived_until > end],
    )  # fmt: skip
    return told, lines[-1].id if more else ""


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
        self._unknown: list[tuple[str, str]] = []  # pages of before, and their incidents
        self._alerts: Counter[str] = Counter()
        self._where: dict[str, set[str]] = {}

    @property
    def about(self) -> set[str]:
        """The incidents that alerts came to."""
        return {name for names in self._where.values() for name in names}

    def ask(self, audit: Audit) -> None:
        """Find out whom the pages were for that had been planned before the period."""
        for incident in dict.fromkeys(name for _, name in self._unknown):
            for row, _ in audit.rows(f"incident/{incident}"):
                if row.type == e.PagePlanned.__name__:
                    event = queries.event_of(row)
                    if isinstance(event, e.PagePlanned):
                        self._sent[event.key] = event.to
        for key, _ in self._unknown:
            self.persons[self._sent.get(key, "somebody")] += 1

    def take(self, at: int, event: e.Event) -> None:
        """Count an event in."""
        match event:
            case e.PagePlanned():
                self._sent[event.key] = event.to
            case e.PageSent():
                self.hours[at // HOUR_MS % 24] += 1
                if event.key in self._sent:
                    self.persons[self._sent[event.key]] += 1
                else:
                    self._unknown.append((event.key, event.incident))
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

    def noisy(self, pages: Mapping[str, int]) -> list[Noise]:
        """List the types of alerts that fired most where nobody was paged; pages by incident."""
        found: list[Noise] = []
        for kind, count in self._alerts.items():
            where = [pages[name] for name in self._where[kind] if name in pages]
            silent = sum(not paged for paged in where)
            found.append(Noise(kind.strip(), count, len(where), silent))
        noisy = [one for one in found if one.silent and one.count >= OFTEN]
        return sorted(noisy, key=lambda one: (-one.silent, -one.count, one.alert))[:NOISY]


def _told(one: Incident, skews: Skews) -> Told:
    items = one.judgement.action_items if one.judgement is not None else ()
    left = [(item.what, item.owner, item.due) for item in items if item.state == "open"]
    opened_at = skews.shown(one.opened_at)
    return Told(_line(one, skews), opened_at, one.hurt, left, one.waiver, one.waived_until)


def _line(one: Incident, skews: Skews) -> IncidentLine:
    def since(at: int) -> float | None:
        took = (skews.shown(at) - one.first_at) / SECOND if at else None
        return took if took is not None and took >= 0 else None  # it is said to begin later

    return IncidentLine(
        one.id, one.title, one.service_of_plan, one.severity or "", one.state,
        show_time(skews.shown(one.opened_at)), one.alert_count, len(one.pages),
        since(min(at for at in (one.burned_at, one.opened_at) if at)) if one.opened_at else None,
        since(one.acknowledged_at), since(one.mitigated_at), None,
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


def _items(incidents: Sequence[Told], now: int) -> list[OpenItem]:
    today = show_time(now)[:DAY]
    found = [
        OpenItem(one.line.id, what, owner, due, due < today)
        for one in incidents
        for what, owner, due in one.items
    ]
    return sorted(found, key=lambda item: item.due)
