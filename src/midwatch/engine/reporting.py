"""A week or a month on call: what hurt, who was woken, how fast it was over, what is left to do.

Law: read only, out of the events of the period. Times to detect, acknowledge and mitigate are told
as distributions, never as one mean; what did not happen is not counted as fast, and who was paged
and never acknowledged is counted by name. All numbers are those of the postmortems.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field, structs

from midwatch.core.state import events as e
from midwatch.core.state.board import number_of
from midwatch.core.state.incidents import Incident, began, type_of
from midwatch.core.state.shard import Shard
from midwatch.core.values import budget
from midwatch.core.values.clock import SECOND, show_time
from midwatch.core.values.keys import PREFIX
from midwatch.core.values.schedules import hour_of
from midwatch.core.values.skews import Skews
from midwatch.engine import archive, paging, queries
from midwatch.ports import Archive, Audit

HOUR_MS = 3_600 * SECOND
NOISY, OFTEN = 10, 3  # types of alerts that are listed, and how often one has to fire
DAY = 10


class IncidentLine(Struct, frozen=True):
    """One incident of the period; seconds since it started, null for what did not happen.

    `to_acknowledge_s` runs from its first page. `budget_spent` is of its first objective, and null
    as long as the period is not full; `budget_says` writes it, of each of its objectives.
    """

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
    budget_says: list[str] = field(default_factory=list[str])


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

    `hours_by_person` has them in the time zone of whoever was paged, which `zones` names. The
    distributions are of incidents that hurt somebody: that paged or spent error budget; that of
    acknowledging has each page that was answered, `unacknowledged` the incidents without any.
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
    unacknowledged: list[str] = field(default_factory=list[str])
    hours_by_person: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    zones: dict[str, str] = field(default_factory=dict[str, str])
    budget_says: dict[str, str] = field(default_factory=dict[str, str])


class Told(Struct, frozen=True):
    """What a report needs of one incident, copied between two decisions."""

    line: IncidentLine  # its budget is not known yet
    opened_at: int  # by the wall clock
    hurt: bool
    items: list[tuple[str, str, str]]  # open action items: what, owner, due
    waiver: str
    waived_until: int
    waits_s: list[float]  # from a page to its ack
    unacknowledged: bool


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
    incidents: Sequence[Told],
    gathered: Gathered,
    start: int,
    end: int,
    limit: int = 0,
    after: str = "",
    zones: Mapping[str, str] = {},
) -> tuple[Report, str]:
    """Tell a period, of what was gathered of it and of all that is known; and where to go on.

    With a limit only so many lines of incidents, after the one that is named; the sums are of all.
    Raises NoSuchRow.
    """
    period = [
        one for one in incidents if start <= one.opened_at < end and one.line.state != "merged"
    ]
    lines = [gathered.priced(one.line) for one in period]
    hurt = [one.line for one in period if one.hurt]
    budgets, says = gathered.budgets()
    hours = gathered.local_hours(zones)
    more = False
    if limit:
        last = paging.number(after, PREFIX) if after else None
        if last is not None and not any(number_of(one.line.id) >= last for one in incidents):
            raise paging.unknown(after)
        lines, more = paging.part(lines, lambda line: number_of(line.id), limit, last)
    told = Report(
        show_time(start),
        show_time(end),
        lines,
        sum(gathered.hours),
        gathered.hours,
        dict(gathered.persons.most_common()),
        budgets,
        _spread(line.to_detect_s for line in hurt),
        _spread(wait for one in period if one.hurt for wait in one.waits_s),
        _spread(line.to_mitigate_s for line in hurt),
        gathered.noisy({one.line.id: one.line.pages for one in incidents}),
        _items(incidents, end),
        gathered.cases,
        gathered.recurrences,
        [
            f"{one.line.id}: {one.waiver}, until {show_time(one.waived_until)}"
            for one in incidents
            if one.waiver and one.waived_until > end
        ],
        [one.line.id for one in period if one.unacknowledged],
        hours,
        {name: zones.get(name, "UTC") for name in hours},
        says,
    )
    return told, lines[-1].id if more else ""


class Gathered:
    """What the events of a period add up to."""

    def __init__(self) -> None:
        self.hours = [0] * 24
        self.persons: Counter[str] = Counter()
        self._documents: dict[str, dict[str, Any]] = {}  # the newest of each incident
        self._paged: list[tuple[str, int]] = []  # page, and when it went out
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

    def _lost(self, incident: str) -> list[dict[str, Any]]:
        """List what each objective of an incident lost, as its newest draft says."""
        document = self._documents.get(incident, {})
        old = [document] if document.get("slo") else []  # a draft of midwatch 0.1.0
        return document.get("objectives", old)

    def priced(self, line: IncidentLine) -> IncidentLine:
        """Say what an incident cost."""
        lost = self._lost(line.id)
        says = [f"{one['slo']}: {one['says']}" for one in lost if one.get("says")]
        spent = lost[0].get("budget_spent") if lost else None
        return structs.replace(line, budget_spent=spent, budget_says=says)

    def budgets(self) -> tuple[dict[str, float], dict[str, str]]:
        """Add up what the incidents spent of each budget: as a share where all say one, in words.

        What the period allows is taken from the newest of them.
        """
        by_slo: dict[str, list[dict[str, Any]]] = {}
        for incident in self._documents:
            for one in self._lost(incident):
                if one.get("bad_events") is not None:
                    by_slo.setdefault(one["slo"], []).append(one)
        shares: dict[str, float] = {}
        says: dict[str, str] = {}
        for slo, lost in by_slo.items():
            spent = [one["budget_spent"] for one in lost if one.get("budget_spent") is not None]
            if len(spent) == len(lost):
                shares[slo] = sum(spent)
                says[slo] = budget.of_full(shares[slo])
            elif (allowed := lost[-1].get("allowed")) is not None:
                bad = sum(one["bad_events"] for one in lost)
                says[slo] = budget.of_seen(bad, allowed, lost[-1].get("seen_s"))
        return shares, says

    def local_hours(self, zones: Mapping[str, str]) -> dict[str, list[int]]:
        """Count each person's pages by the hour of the day where they live."""
        found: dict[str, list[int]] = {}
        for key, at in self._paged:
            name = self._sent.get(key, "somebody")
            hours = found.setdefault(name, [0] * 24)
            hours[hour_of(at, zones.get(name, "UTC"))] += 1
        return found

    def take(self, at: int, event: e.Event) -> None:
        """Count an event in."""
        match event:
            case e.PagePlanned():
                self._sent[event.key] = event.to
            case e.PageSent():
                self.hours[at // HOUR_MS % 24] += 1
                self._paged.append((event.key, at))
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
                self._documents[event.incident] = event.document
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
    waits_s = [wait / SECOND for part in (one, *one.parts.values()) for wait in part.waits_ms]
    if not waits_s and (line := _line(one, skews)).to_acknowledge_s is not None:
        waits_s = [line.to_acknowledge_s]  # it was acknowledged under midwatch 0.1.0
    return Told(
        _line(one, skews),
        opened_at,
        one.hurt,
        left,
        one.waiver,
        one.waived_until,
        waits_s,
        any(page.state != "not sent" for page in one.pages) and not _acknowledged_at(one),
    )


def _acknowledged_at(one: Incident) -> int:
    """When somebody acknowledged it first, or a part of it; 0 for never."""
    known = (one.acknowledged_at, *(part.acknowledged_at for part in one.parts.values()))
    return min((at for at in known if at), default=0)


def _line(one: Incident, skews: Skews) -> IncidentLine:
    def since(at: int) -> float | None:
        return max(skews.shown(at) - began(one), 0) / SECOND if at else None

    parts = one.parts.values()
    own = one.paged_at or next((page.at for page in one.pages), 0)
    paged_at = min((at for at in (own, *(part.paged_at for part in parts)) if at), default=0)
    acked_at = _acknowledged_at(one)
    waited = max(acked_at - paged_at, 0) / SECOND if acked_at and paged_at else None
    noticed = (one.burned_at, one.opened_at, *(part.opened_at for part in parts))

    return IncidentLine(
        one.id,
        one.title,
        one.service_of_plan,
        one.severity or "",
        one.state,
        show_time(skews.shown(one.opened_at)),
        one.alert_count + sum(part.alerts for part in parts),
        len(one.pages) + sum(part.pages for part in parts),
        since(min(at for at in noticed if at)) if one.opened_at else None,
        waited,
        since(one.mitigated_at),
        None,
        one.recurrence_of if one.again else "",
    )


def _spread(seconds: Iterable[float | None]) -> Spread:
    """Describe a distribution by its median, its 90th percentile and its worst.

    >>> _spread([30.0, None, 10.0, 20.0])
    Spread(count=3, median_s=20.0, p90_s=30.0, worst_s=30.0)
    >>> _spread([60.0, 3600.0]).median_s
    1830.0
    """
    known = sorted(one for one in seconds if one is not None)
    if not known:
        return Spread(0, None, None, None)
    last = len(known) - 1
    median = (known[last // 2] + known[(last + 1) // 2]) / 2
    return Spread(len(known), median, known[-(-last * 9 // 10)], known[last])


def _items(incidents: Sequence[Told], now: int) -> list[OpenItem]:
    today = show_time(now)[:DAY]
    found = [
        OpenItem(one.line.id, what, owner, due, due < today)
        for one in incidents
        for what, owner, due in one.items
    ]
    return sorted(found, key=lambda item: item.due)
