"""Regression cases that are kept: where they came from, what proves them, what became of them.

Law: read only.
"""

from __future__ import annotations

from msgspec import Struct, field, structs

from midwatch.core.state import events as e
from midwatch.core.state.board import number_of
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import KeptCase, Shard
from midwatch.core.values.clock import show_time
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.skews import Skews
from midwatch.engine.queries import event_of
from midwatch.ports import Archive, Audit

ALL = "all"


class CaseView(Struct, frozen=True):
    """One case; its `state`: kept, quarantined, expired, retired, duplicate or refused."""

    id: str
    state: str
    question: str
    incident: str
    bad: str
    good: str
    bad_digest: str
    good_digest: str
    runs: int
    least: int
    why: str
    case: Case


class CaseStory(Struct, frozen=True):
    """A case with its evidence, and the way from its incident to the fix."""

    case: CaseView
    original: str
    evidence: list[Outcome]
    fix: str
    fix_state: str
    moments: list[str]


class Waived(Struct, frozen=True):
    """An incident that closed by a waiver: whose word that is, until when, and why."""

    incident: str
    until: str
    why: str


class Kept(Struct, frozen=True):
    """All that a gate has to know: cases, which of them are held, incidents without one."""

    cases: list[Case]
    held: dict[str, dict[str, str]]  # case -> owner, until, why
    unproven: list[str]
    waived: list[Waived] = field(default_factory=list[Waived])
    links: dict[str, str] = field(default_factory=dict[str, str])  # incident -> its page


def cases(shard: Shard) -> list[CaseView]:
    """List the cases that were admitted, oldest first."""
    return [case_view(one, shard.wall) for one in shard.cases.values()]


def case_view(one: KeptCase, now: int) -> CaseView:
    """Show one, as it is `now` by the wall clock."""
    state, why = "kept", ""
    if one.retired:
        state, why = "retired", one.retired
    elif one.duplicate_of:
        state, why = "duplicate", f"of {one.duplicate_of}"
    elif one.quarantined_until:
        state = "quarantined" if one.quarantined_until > now else "expired"
        why = f"{one.owner}, until {show_time(one.quarantined_until)}"
    return CaseView(
        one.case.id,
        state,
        one.case.question,
        one.incident,
        one.bad,
        one.good,
        one.bad_digest,
        one.good_digest,
        one.case.runs,
        one.case.least,
        why,
        one.case,
    )


class Subject(Struct, frozen=True):
    """A case as it is now, to be told elsewhere; its incident's fix where that is in the shard."""

    view: CaseView
    original: str
    fix: tuple[str, str] | None  # the release, and how far it is
    skews: Skews


def subject(shard: Shard, name: str) -> Subject | None:
    """Take a case as it is now; None when there is none of that name."""
    kept = shard.cases.get(name)
    if kept is None:
        return None
    incident = shard.incidents.get(kept.incident)
    fix = (incident.fix, incident.fix_state) if incident else None
    return Subject(case_view(kept, shard.wall), kept.original, fix, shard.skews)


def story(found: Subject, audit: Audit) -> CaseStory:
    """Tell one case: its own events and those of its incident. It may take its time."""
    name, incident = found.view.id, found.view.incident
    streams = (f"incident/{incident}", f"case/{name}")
    rows = sorted((row for one in streams for row, _ in audit.rows(one)), key=lambda row: row.seq)
    evidence: list[Outcome] = []
    moments: list[str] = []
    for row in rows:
        event = event_of(row)
        says = _moment(event, incident, name)
        if says:
            moments.append(f"{show_time(found.skews.shown(row.at))}  {says}")
        if isinstance(event, e.RegressionCaseAdmitted) and event.case.id == name:
            evidence = list(event.evidence)
    fix, fix_state = found.fix or _fix_of(audit, incident)
    return CaseStory(found.view, found.original, evidence, fix, fix_state, moments)


def _fix_of(records: Archive, incident: str) -> tuple[str, str]:
    record = records.recall(incident)
    return (record.incident.fix, record.incident.fix_state) if record else ("", "none")


def _moment(event: e.Event, incident: str, name: str) -> str:
    if isinstance(event, e.CaseEvent):
        why = getattr(event, "why", "")
        return f"{type(event).__name__}{': ' + why if why else ''}" if event.case == name else ""
    if not isinstance(event, e.IncidentEvent) or event.incident != incident:
        return ""
    match event:
        case e.RollbackCompleted():
            return f"{incident} rolled back {event.bad} -> {event.to}"
        case e.RegressionCaseDrafted() | e.RegressionCaseAdmitted():
            return f"{type(event).__name__}: {event.reason.says}"
        case e.CanaryJudged():
            return f"fix {event.release}: {event.verdict}, {event.reason.says}"
        case e.FixPromoted():
            return f"fix {event.release} is live"
        case e.GateJudged():
            return f"{event.release}: {event.verdict}, {event.reason.says}"
        case _:
            return ""


class Origin(Struct, frozen=True):
    """What a gate has to know of an incident."""

    incident: str
    ref: str
    service: str
    is_owed: bool  # it hurt somebody and is closed, so it has to have a case
    waiver: str
    waived_until: int


class Guards(Struct, frozen=True):
    """The cases as they are now, and what the shard says of incidents, to be told elsewhere."""

    cases: list[KeptCase]
    origins: dict[str, Origin]


def guards(shard: Shard) -> Guards:
    """Take what guards services, as it is now."""
    found = [structs.replace(one) for one in shard.cases.values()]
    names = {one.incident for one in found}
    origins = {
        one.id: _origin(one)
        for one in shard.incidents.values()
        if one.state == "closed" or one.id in names
    }
    return Guards(found, origins)


def kept(taken: Guards, records: Archive, service: str, public_url: str = "") -> Kept:
    """Give what guards a service: its cases, and its incidents that closed without a proven one.

    What was taken of the shard was taken before the archive is read here. Where `public_url` is
    known, each case says where its incident is shown. It may take its time.
    """
    origins = dict(taken.origins)
    for one in records.lasting():
        origins[one.id] = _origin(one)

    def origin(name: str) -> Origin | None:
        if name not in origins and (record := records.recall(name)):
            origins[name] = _origin(record.incident)
        return origins.get(name)

    def is_of(one: KeptCase) -> bool:
        if not service or one.service:
            return service in ("", one.service)
        of = origin(one.incident)  # a case that came late
        return of is not None and of.service == service

    found = [
        one.case for one in taken.cases if not one.retired and not one.duplicate_of and is_of(one)
    ]
    proven = {one.incident for one in taken.cases}
    owed = [
        one
        for name, one in sorted(origins.items(), key=lambda pair: number_of(pair[0]))
        if one.is_owed and name not in proven and service in ("", one.service)
    ]
    unproven = [one.incident for one in owed if not one.waiver]
    # Until when a waiver holds is for whoever reads this to say: they may read it much later.
    waived = [
        Waived(one.incident, show_time(one.waived_until), one.waiver) for one in owed if one.waiver
    ]
    held = {
        one.case.id: {
            "owner": one.owner,
            "until": show_time(one.quarantined_until),
            "why": one.held_for,
        }
        for one in taken.cases
        if one.quarantined_until
    }
    kept_held = {case.id: held[case.id] for case in found if case.id in held}
    links: dict[str, str] = {}
    for case in found if public_url else ():
        of = origin(case.incident)
        if of is not None:
            links[case.incident] = link(public_url, of.ref)
    return Kept(found, kept_held, unproven, waived, links)


def _origin(one: Incident) -> Origin:
    return Origin(
        one.id,
        one.ref,
        one.service_of_plan,
        one.state == "closed" and one.hurt,
        one.waiver,
        one.waived_until,
    )


def link(public_url: str, ref: str) -> str:
    """Say where an incident is shown; nothing where nobody said where midwatch stands.

    >>> link("https://oncall.example.org/", "INC-7-00112233")
    'https://oncall.example.org/incidents/INC-7-00112233'
    """
    return f"{public_url.rstrip('/')}/incidents/{ref}" if public_url else ""
