"""Read-only views of a journal and of a shard.

Law: nothing here changes anything, and nothing is remembered: a view is made from the stored events
each time it is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct, field

from midwatch.core.rules import causes
from midwatch.core.rules.causes import Cause
from midwatch.core.state import events as e
from midwatch.core.state import shard as shards
from midwatch.core.state.events import Event
from midwatch.core.state.incidents import Alike, Incident, lacks, snooze_due
from midwatch.core.state.shard import Shard, Ticket
from midwatch.core.values.alerts import Alert
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import show_time
from midwatch.core.values.reasons import Reason
from midwatch.core.values.silences import Silence
from midwatch.core.values.skews import Skews
from midwatch.core.values.sli import FailedAnswer
from midwatch.core.values.topology import Topology
from midwatch.core.values.traffic import Traffic
from midwatch.engine import archive, plans
from midwatch.engine.plans import PlanView
from midwatch.ports import Archive, Audit, DeadLetter, Row
from midwatch.texts import plain

NOWHERE = Topology()
CLOCK = "clock"  # the stream of what happened to the machine's clocks
OVER = ("resolved", "closed", "merged")  # nobody is asked to answer it any more

E = TypeVar("E")

_decode: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Fact(Struct, Generic[E], frozen=True):
    """An event with its place in the journal; `at` is what the wall clock said."""

    seq: int
    at: int
    event: E


def skews_of(audit: Audit) -> Skews:
    """Say how a journal's time and the wall clock stand to each other, out of its events alone."""
    base = audit.base()
    skews = shards.load(base.body).skews if base is not None else Skews()
    for row, _ in audit.rows(CLOCK):
        event = event_of(row)
        if isinstance(event, e.ClockJumped):
            skews = skews.jumped(row.at, event.skew_ms)
    return skews


def facts(audit: Audit) -> list[Fact[Event]]:
    """Give every event kept, in order."""
    skews = skews_of(audit)
    return [Fact(row.seq, skews.shown(row.at), event_of(row)) for row, _ in audit.rows()]


def timeline(audit: Audit, stream: str = "") -> list[str]:
    """Tell every event in one line with its reason; of one stream when it is named."""
    lines: list[str] = []
    skews = skews_of(audit)
    for row, _ in audit.rows(stream):
        says, at = _says(event_of(row)), show_time(skews.shown(row.at))
        gap = "  " if says else ""
        lines.append(f"{at}  {row.seq:>4}  {row.stream:<32} {row.type}{gap}{says}")
    return lines


class Moment(Struct, frozen=True):
    """One line of an incident's timeline: what happened and why."""

    seq: int
    at: str
    event: str
    says: str
    reason: Reason | None = None
    plan: str = ""  # the hash of the plan that it is about, where that is named


class Summary(Struct, frozen=True):
    """An incident as a list shows it; times in RFC 3339, empty when it has not happened."""

    id: str
    state: str
    severity: str
    urgency: str
    title: str
    service: str
    services: list[str]
    opened_at: str
    acknowledged_by: str
    snoozed_until: str
    mitigated_at: str
    alerts: int
    firing: int
    pages: int
    slo: str
    recurrence_of: str
    exhausted: bool = False  # everybody was tried and nobody has it
    unreached: bool = False  # and no pager took a page
    plan: str = "none"  # how far its plan is: proposed, running, waiting, verifying, ended
    merged_into: str = ""  # the incident that has its alerts now
    ref: str = ""  # what links and keys call it; no other journal gives that to another incident
    asks: int = 0  # plans that wait for a person


class Detail(Struct, frozen=True):
    """An incident with everything that happened to it; `pruned` events of it are gone.

    What fires is told once with a count for alerts of the same name on the same service.
    `causes` are ranked, best first; `texts` count the alerts that say the same, each as the newest
    one said it when that is more than its name, and `links` are the runbooks that their rules
    name. `failures` are a few of the answers that made its objective burn. `plans` are all that it
    has, `plan` the first of them: it runs, else waits for a person, else is the newest.
    """

    incident: Summary
    firing: list[str]
    causes: list[Cause]
    texts: list[str]
    timeline: list[Moment]
    pruned: int = 0
    failures: list[FailedAnswer] = field(default_factory=list[FailedAnswer])
    plan: PlanView | None = None
    no_runbook: str = ""  # why no plan is proposed
    again: str = ""  # which earlier incident it is, and what that one left behind
    lacks: list[str] = field(default_factory=list[str])  # until it may close, once resolved
    waits: str = ""  # for what, while nothing fires and too few events say how users are
    links: list[str] = field(default_factory=list[str])
    plans: list[PlanView] = field(default_factory=list[PlanView])


class Rejected(Struct, frozen=True):
    """What could not be taken, as it came, and why; damaged bytes are shown as far as they go."""

    key: str
    at: str
    why: str
    body: str


def rejected(audit: Audit) -> list[Rejected]:
    """List every input that could not be taken, oldest first."""
    skews = skews_of(audit)
    return [rejected_view(one, skews) for one in audit.letters()]


def rejected_view(one: DeadLetter, skews: Skews) -> Rejected:
    """Show one, at the wall clock's time."""
    body = one.body.decode("utf-8", "replace")
    return Rejected(one.key, show_time(skews.shown(one.at)), one.reason, body)


class SilenceView(Struct, frozen=True):
    """One silence that is not over; `mutes` counts the alerts that it mutes now.

    `trouble` says why it mutes nothing, for one of an older version whose pattern RE2 refuses.
    """

    silence: str
    matchers: list[str]
    starts_at: str
    ends_at: str
    by: str
    why: str
    mutes: int
    trouble: str = ""


def silences(shard: Shard) -> list[SilenceView]:
    """List the silences that are not over."""
    return [silence_view(shard, one) for one in shard.silences.values()]


def silence_view(shard: Shard, one: Silence) -> SilenceView:
    """Show one."""
    return SilenceView(
        one.id,
        [matcher.says for matcher in one.matchers],
        show_time(one.starts_at),
        show_time(one.ends_at),
        one.by,
        one.why,
        len(shard.muted.get(one.key, ())),
        one.trouble,
    )


class ChangeView(Struct, frozen=True):
    """One change."""

    id: str
    service: str
    kind: str
    at: str
    by: str
    from_release: str
    to_release: str


def changes(shard: Shard) -> list[ChangeView]:
    """List the changes that are remembered, the newest first."""
    return [change_view(one) for one in sorted(shard.changes, key=change_place)]


def change_place(one: Change) -> tuple[int, str]:
    """Say where a change is in the list of them, for good."""
    return -one.at, f"{one.service}/{one.id}"


def change_view(one: Change) -> ChangeView:
    """Show one."""
    return ChangeView(
        one.id, one.service, one.kind, show_time(one.at), one.by, one.from_release, one.to_release
    )


class TicketView(Struct, frozen=True):
    """One report as it was triaged."""

    ticket: str
    category: str
    priority: str
    route: str
    incident: str
    service: str
    affected: int
    duplicate_of: str
    text: str


def tickets(shard: Shard, wanted: str = "") -> list[TicketView]:
    """List the reports that are remembered, the newest first; or the one that is wanted."""
    return [
        ticket_view(name, one)
        for name, one in reversed(shard.tickets.items())
        if wanted in ("", name)
    ]


def ticket_view(name: str, one: Ticket) -> TicketView:
    """Show one."""
    return TicketView(
        name,
        one.category,
        one.priority,
        one.route,
        one.incident,
        one.service,
        one.affected,
        one.duplicate_of,
        one.text,
    )


def summaries(shard: Shard, everything: Archive | None = None) -> list[Summary]:
    """List the incidents that are not over, worst first; of `everything` those that are, too."""
    if everything is None:
        return listed(shard, (shard.incidents[name] for name in shard.open))
    return listed(shard, archive.everything(shard, everything).values())


def owed(shard: Shard) -> list[Summary]:
    """List the incidents that are resolved and not closed, worst first."""
    return listed(shard, (one for one in shard.incidents.values() if one.state == "resolved"))


def listed(shard: Shard, incidents: Iterable[Incident]) -> list[Summary]:
    """List incidents, worst first."""
    return [summary(i, shard.skews) for i in sorted(incidents, key=urgent_first)]


def detail(
    shard: Shard, audit: Audit, incident_id: str, topology: Topology = NOWHERE
) -> Detail | None:
    """Tell one incident; None when there is none of this name."""
    incident = archive.find(shard, audit, incident_id)
    if incident is None:
        return None
    stream = f"incident/{incident.id}"
    moments = [moment_of(row, shard.skews) for row, _ in audit.rows(stream)]
    pruned = archive.version_of(shard, audit, incident_id) - len(moments)
    found = outline(shard, incident, topology)
    return msgspec.structs.replace(found, timeline=moments, pruned=pruned)


def outline(shard: Shard, incident: Incident, topology: Topology = NOWHERE) -> Detail:
    """Tell one incident without its timeline; nothing is read from the journal."""
    alike = Counter(
        (f.name or "alert", f.service or "unknown service") for f in incident.firing.values()
    )
    firing = [
        f"{name} on {service}" + (f" x{count}" if count > 1 else "")
        for (name, service), count in alike.items()
    ]
    likely = causes.evident(incident, causes.rank(incident, topology, shard.changes))
    texts = [_alike(one) for one in incident.texts.values() if one.says]
    return Detail(
        summary(incident, shard.skews),
        firing,
        likely,
        texts,
        [],
        0,
        list(incident.failures),
        plans.view(incident),
        incident.no_runbook,
        incident.again,
        lacks(incident, shard.wall) if incident.state == "resolved" else [],
        _awaited(incident, shard.skews),
        list(incident.links),
        plans.views(incident),
    )


def _alike(one: Alike) -> str:
    """Say what alerts say that are alike, as the newest of them has it."""
    return one.says if one.count == 1 else f"{one.says} (the newest of {one.count} alike)"


def _awaited(incident: Incident, skews: Skews) -> str:
    """Say what it waits for, and since when."""
    if not incident.unproven:
        return ""
    return f"{incident.unproven}, since {show_time(skews.shown(incident.unproven_since))}"


def not_here(name: str) -> str:
    """Say that a link or a button names an incident of another event log.

    >>> not_here("INC-2-00112233")[:46]
    'this event log has no incident INC-2-00112233:'
    """
    return (
        f"this event log has no incident {name}: it belongs to another one, or was opened after the"
        " backup that this one was restored from"
    )


def urgent_first(incident: Incident) -> tuple[bool, str, int, int, str]:
    """Order incidents: those that are not over, then the worst, then the newest, then by name."""
    over, name = incident.state in OVER, incident.id
    return over, incident.severity or "sev9", -incident.opened_at, len(name), name


def summary(i: Incident, skews: Skews) -> Summary:
    """Show an incident as a list does."""
    snoozed_at = snooze_due(i, skews.now) - skews.now if i.snoozed_until else 0
    return Summary(
        id=i.id,
        state=i.state,
        severity=i.severity or "",
        urgency=i.urgency,
        title=i.title,
        service=i.speaks_of,
        services=list(i.services),
        opened_at=show_time(skews.shown(i.opened_at)),
        acknowledged_by=i.acknowledged_by,
        snoozed_until=show_time(snoozed_at) if snoozed_at else "",
        mitigated_at=show_time(skews.shown(i.mitigated_at)) if i.mitigated_at else "",
        alerts=i.alert_count,
        firing=len(i.firing),
        pages=len(i.pages),
        slo=i.slo,
        recurrence_of=i.recurrence_of,
        # In shadow mode nobody is paged, and nothing is wrong with that.
        exhausted=i.exhausted
        and (not i.pages or any(page.state != "not sent" for page in i.pages)),
        unreached=i.exhausted and all(page.state == "failed" for page in i.pages),
        plan=i.run,
        merged_into=i.merged_into,
        ref=i.ref,
        asks=sum(one.asks_somebody for one in i.plans),
    )


def moment_of(row: Row, skews: Skews) -> Moment:
    """Tell one event, at the wall clock's time."""
    at = show_time(skews.shown(row.at))
    if row.type == e.AlertsAttached.__name__:
        return Moment(row.seq, at, row.type, _attached(row.body))
    event = event_of(row)
    reason = getattr(event, "reason", None)
    return Moment(row.seq, at, row.type, _says(event), reason, getattr(event, "plan_hash", ""))


def event_of(row: Row) -> Event:
    """Read a stored event."""
    return _decode.decode(row.body)


class _Many(Struct):
    attached: list[msgspec.Raw]
    reasons: list[msgspec.Raw]


_decode_many = msgspec.json.Decoder(_Many).decode
_decode_one = msgspec.json.Decoder(e.Attachment).decode
_decode_reason = msgspec.json.Decoder(Reason).decode


def _attached(body: bytes) -> str:
    """Tell what was attached without reading all of it: a storm has thousands in one event."""
    many = _decode_many(body)
    first = _decode_one(many.attached[0])
    return _told(first.alert, _decode_reason(many.reasons[first.why]), len(many.attached))


def _told(first: Alert, reason: Reason, count: int) -> str:
    more = f" and {count - 1} more" if count > 1 else ""
    named = f"{first.name or 'alert'} on {first.service or 'unknown service'}"
    return f"{named}{more}; {reason.says}"


def _says(event: Event) -> str:
    """Say in words what an event adds; empty when its name is enough."""
    match event:
        case e.AlertsAttached():
            first = event.attached[0]
            return _told(first.alert, event.reason_of(first), len(event.attached))
        case e.AlertsResolved():
            count = len(event.fingerprints)
            return f"{count} alert{'' if count == 1 else 's'}"
        case e.PagePlanned():
            return f"to {event.to}; {event.reason.says}"
        case e.PageSent():
            return f"{event.key}: {event.receipt}"
        case e.PageFailed():
            return f"{event.key}, try {event.attempt}: {event.error}"
        case e.ReleaseEvent():
            return _of_release(event)
        case e.RollbackFailed():
            return f"{event.state}: {event.seen}"
        case (
            e.PlanApproved()
            | e.ActionStarted()
            | e.ActionRetried()
            | e.ActionDone()
            | e.ActionFailed()
        ):
            return _of_plan(event)
        case _:
            return _because(getattr(event, "reason", None)).removeprefix("; ")


def _because(reason: Reason | None) -> str:
    return f"; {reason.says}" if reason is not None else ""


def _traffic(event: e.PointerIntended | e.PointerMoved) -> str:
    return Traffic(event.release, event.epoch, event.candidate, event.weight).says


def _of_release(event: e.ReleaseEvent) -> str:
    match event:
        case e.PointerIntended():
            return f"{event.purpose} to {_traffic(event)}" + _because(event.reason)
        case e.PointerMoved():
            bad = f"; {event.condemned} is bad" if event.condemned else ""
            return f"{_traffic(event)}{bad}"
        case e.ReleaseFoundUnfit():
            return f"{event.release}: {event.says}"
        case e.ReleaseRegistered():
            return f"{event.release} {event.digest}"
        case _:
            return _of_canary(event)


def _of_plan(
    event: e.PlanApproved | e.ActionStarted | e.ActionRetried | e.ActionDone | e.ActionFailed,
) -> str:
    match event:
        case e.PlanApproved():
            service = f" for {event.service}" if event.service else ""
            return f"{event.plan_hash}{service} by {event.by}"
        case e.ActionStarted():
            return f"{event.step}: {event.says}"
        case e.ActionRetried():
            return f"tried again: {event.seen}"
        case e.ActionDone():
            return f"{event.step}: {event.seen}{_wrote(event.output)}"
        case e.ActionFailed():
            return f"{event.step} {event.state}: {event.seen}{_wrote(event.output)}"


def _wrote(output: str) -> str:
    """Show what a program wrote, on the line of its own step."""
    words = " ".join(output.split())
    return f"; it wrote: {plain(words)}" if words else ""


def _of_canary(event: e.ReleaseEvent) -> str:
    match event:
        case e.CanaryStarted():
            return f"{event.release} beside {event.baseline}, by {event.by}"
        case e.CanaryCounted():
            return ", ".join(
                [
                    *(
                        f"{name} {one.good}/{one.total} beside {one.base_good}/{one.base_total}"
                        for name, one in event.block.items()
                    ),
                    *(f"{name} missing" for name in event.missed),
                ]
            )
        case e.CanaryEnded():
            return f"{event.release}: {event.verdict}; {event.reason.says}"
        case e.CanaryHeld():
            return event.reason.says if event.reason else "no longer"
        case _:
            return _because(getattr(event, "reason", None)).removeprefix("; ")
