"""Regression cases that are kept: where they came from, what proves them, what became of them.

Law: read only.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from midwatch.core import events as e
from midwatch.core.clock import show_time
from midwatch.core.evals import Case, Outcome
from midwatch.core.incidents import Incident
from midwatch.core.shard import KeptCase, Shard
from midwatch.engine import archive
from midwatch.engine.queries import Fact
from midwatch.ports import Archive

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
    return [_view(one, shard.wall) for one in shard.cases.values()]


def _view(one: KeptCase, now: int) -> CaseView:
    state, why = "kept", ""
    if one.retired:
        state, why = "retired", one.retired
    elif one.duplicate_of:
        state, why = "duplicate", f"of {one.duplicate_of}"
    elif one.quarantined_until:
        state = "quarantined" if one.quarantined_until > now else "expired"
        why = f"{one.owner}, until {show_time(one.quarantined_until)}"
    return CaseView(
        one.case.id, state, one.case.question, one.incident, one.bad, one.good, one.bad_digest,
        one.good_digest, one.case.runs, one.case.least, why, one.case,
    )  # fmt: skip


def story(
    shard: Shard, records: Archive, facts: Iterable[Fact[e.Event]], name: str
) -> CaseStory | None:
    """Tell one case; None when there is none of that name."""
    kept = shard.cases.get(name)
    if kept is None:
        return None
    evidence: list[Outcome] = []
    moments: list[str] = []
    for fact in facts:
        event = fact.event
        says = _moment(event, kept.incident, name)
        if says:
            moments.append(f"{show_time(fact.at)}  {says}")
        if isinstance(event, e.RegressionCaseAdmitted) and event.case.id == name:
            evidence = list(event.evidence)
    incident = archive.find(shard, records, kept.incident)
    return CaseStory(
        _view(kept, shard.wall),
        kept.original,
        evidence,
        incident.fix if incident else "",
        incident.fix_state if incident else "none",
        moments,
    )


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


def kept(
    shard: Shard, records: Archive, left: Iterable[Incident], service: str, public_url: str = ""
) -> Kept:
    """Give what guards a service: its cases, and its incidents that closed without a proven one.

    `left` are incidents of the archive that last. Where `public_url` is known, each case says where
    its incident is shown.
    """
    found = [
        one.case
        for one in shard.cases.values()
        if not one.retired and not one.duplicate_of and _is_of(shard, records, one, service)
    ]
    proven = {one.incident for one in shard.cases.values()}
    closed = [
        one
        for one in archive.joined(shard, list(left)).values()
        if one.state == "closed"
        and one.hurt
        and one.id not in proven
        and service in ("", one.service_of_plan)
    ]
    unproven = [one.id for one in closed if not one.waiver]
    # Until when a waiver holds is for whoever reads this to say: they may read it much later.
    waived = [
        Waived(one.id, show_time(one.waived_until), one.waiver) for one in closed if one.waiver
    ]
    held = {
        one.case.id: {
            "owner": one.owner, "until": show_time(one.quarantined_until), "why": one.held_for,
        }
        for one in shard.cases.values()
        if one.quarantined_until
    }  # fmt: skip
    kept_held = {case.id: held[case.id] for case in found if case.id in held}
    links: dict[str, str] = {}
    for case in found if public_url else ():
        incident = archive.find(shard, records, case.incident)
        if incident is not None:
            links[case.incident] = link(public_url, incident.ref)
    return Kept(found, kept_held, unproven, waived, links)


def link(public_url: str, ref: str) -> str:
    """Say where an incident is shown; nothing where nobody said where midwatch stands.

    >>> link("https://oncall.example.org/", "INC-7-00112233")
    'https://oncall.example.org/incidents/INC-7-00112233'
    """
    return f"{public_url.rstrip('/')}/incidents/{ref}" if public_url else ""


def _is_of(shard: Shard, records: Archive, kept: KeptCase, service: str) -> bool:
    if not service or kept.service:
        return service in ("", kept.service)
    incident = archive.find(shard, records, kept.incident)  # a case that came late
    return incident is not None and incident.service_of_plan == service
