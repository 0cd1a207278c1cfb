"""A shard: everything one tenant and correlation domain remembers, the fold of its events.

Law: only `evolve` changes it. The same events in the same order give the same bytes, on every
machine and under every hash seed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct, field

from midwatch.core.state import events as e
from midwatch.core.state import evolving, incidents, members, past, releases
from midwatch.core.state.board import Board, number_of
from midwatch.core.state.incidents import Firing, Incident
from midwatch.core.state.leaving import Archived, leaving
from midwatch.core.state.past import Lesson, Lessons
from midwatch.core.state.releases import Pointer
from midwatch.core.state.runs import named
from midwatch.core.values import automation, changes, marks
from midwatch.core.values.alerts import Alert
from midwatch.core.values.automation import Remediation
from midwatch.core.values.changes import Change
from midwatch.core.values.evals import Case
from midwatch.core.values.habits import Habits
from midwatch.core.values.keys import Place, id_of, number_in
from midwatch.core.values.marks import Loud
from midwatch.core.values.moments import kept
from midwatch.core.values.schedules import KEEP_MS, Override
from midwatch.core.values.silences import Silence
from midwatch.core.values.skews import JUMP_MS, Skews
from midwatch.core.values.storm import Storm
from midwatch.errors import BugError

# Raised in the first release in which the shape of Shard is not that of the one before it: 11 is
# midwatch 0.1.0. `upgrades` brings an older state to this shape; an older midwatch refuses it.
STATE_VERSION = 13
KEPT_TICKETS, KEPT_TEXT = 4_096, 400
KEPT_STUMBLES = 256
KEPT_RESTED = 4_096
CHRONIC = 2
KEPT_MET, KEPT_SPACES = 64, 2


class Ticket(Struct, frozen=True):
    """A report as it was triaged."""

    category: str
    priority: str
    route: str
    incident: str
    service: str = ""
    text: str = ""
    affected: int = 1
    duplicate_of: str = ""
    by: str = ""
    source: str = ""
    doubted: bool = False
    at: int = 0  # when it was read, in the journal's time

    @property
    def reporter(self) -> str:
        """Say whose report it is: one that names nobody is its sender's."""
        return f"by {self.by.strip().casefold()}" if self.by.strip() else f"from {self.source}"


class KeptCase(Struct):
    """A regression case that was admitted: where it came from, and what became of it."""

    case: Case
    incident: str
    bad: str
    good: str
    bad_digest: str = ""
    good_digest: str = ""
    duplicate_of: str = ""
    service: str = ""
    original: str = ""  # the question before it was made smaller
    owner: str = ""
    quarantined_until: int = 0
    held_for: str = ""  # why it is quarantined
    retired: str = ""  # why


class Rest(Struct, frozen=True, gc=False):
    """Where an alert ended last and when, by people's clocks, and how often it has there.

    `alone` counts the incidents in which it was alone when it first ended.
    """

    incident: str
    at: int
    rounds: int = 1
    alone: int = 0


class Burn(Struct, frozen=True):
    """An objective that burns now: the tier that fired last and the incident it joined."""

    tier: str
    incident: str


JobState = Literal["watched", "beating", "silent"]
_JOB_STATES: dict[type, JobState] = {
    e.JobWatched: "watched",
    e.JobHeard: "beating",
    e.JobWentSilent: "silent",
}


class Shard(Struct):
    """The state that decisions are made on."""

    at: int = 0
    incidents: dict[str, Incident] = field(default_factory=dict[str, Incident])
    firing: dict[str, str] = field(default_factory=dict[str, str])  # in no order; never walked
    open: dict[str, None] = field(default_factory=dict[str, None])
    burning: dict[str, Burn] = field(default_factory=dict[str, Burn])
    heard: dict[str, None] = field(default_factory=dict[str, None])  # objectives with events
    held: dict[str, str] = field(default_factory=dict[str, str])  # objective -> tier
    proofs: dict[str, int] = field(default_factory=dict[str, int])  # objective -> last proven well
    pointers: dict[str, Pointer] = field(default_factory=dict[str, Pointer])
    tickets: dict[str, Ticket] = field(default_factory=dict[str, Ticket])
    versions: dict[str, int] = field(default_factory=dict[str, int])
    last_resolved: dict[str, str] = field(default_factory=dict[str, str])
    held_pages: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    last_page_at: dict[str, int] = field(default_factory=dict[str, int])  # by person and pager
    jobs: dict[str, JobState] = field(default_factory=dict[str, JobState])
    overrides: dict[str, list[Override]] = field(default_factory=dict[str, list[Override]])
    changes: list[Change] = field(default_factory=list[Change])  # the newest, by time
    habits: Habits = field(default_factory=Habits)
    silences: dict[str, Silence] = field(default_factory=dict[str, Silence])  # that are not over
    muted: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])  # by what
    inhibitors: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])
    cases: dict[str, KeptCase] = field(default_factory=dict[str, KeptCase])
    remediations: list[Remediation] = field(default_factory=list[Remediation])  # newest last
    stumbled: dict[str, int] = field(default_factory=dict[str, int])  # timers -> how often
    storm: Storm = field(default_factory=Storm)
    skews: Skews = Skews()
    clock_incident: str = ""  # the newest one about a jump of the clock
    clock_right: bool = True  # whether the newest jump has put right the one before
    # Silences by the journal's time at which they are over at the latest, whatever the clock says.
    quiet_until: dict[str, int] = field(default_factory=dict[str, int])
    lapsed: dict[str, Silence] = field(default_factory=dict[str, Silence])  # over before that
    next_silence: int = 1
    next_override: int = 1
    next_incident: int = 1
    term_salt: str = ""  # of the process that decides; empty before the first one had one
    left: int = 0  # incidents that are in the archive alone
    loud: marks.Table = field(default_factory=dict[str, tuple[Loud, ...]])  # news that pages
    snoozed: dict[str, None] = field(default_factory=dict[str, None])  # incidents
    rested: dict[str, Rest] = field(default_factory=dict[str, Rest])  # alerts that ended
    met: dict[str, None] = field(default_factory=dict[str, None])  # the first services and
    spaces: dict[str, None] = field(default_factory=dict[str, None])  # namespaces that fired
    past: Lessons = field(default_factory=dict[str, list[Lesson]])  # of what is over, by service
    # Indexes over the open incidents, which are not written down.
    board: Board = field(default_factory=Board)
    digests: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def told_by(self, page: str, but: str = "") -> list[Incident]:
        """List the open incidents that the page of another one told of, but for `but`."""
        return [self.incidents[name] for name in self.digests.get(page, ()) if name != but]

    @property
    def skew(self) -> int:
        """How far the journal's time is ahead of the wall clock, in milliseconds."""
        return self.skews.now

    @property
    def wall(self) -> int:
        """What the wall clock said at the shard's time."""
        return self.at - self.skew

    def shown(self, at: int) -> int:
        """Give the wall clock's time for a time of the journal."""
        return self.skews.shown(at)


def has_left(shard: Shard, name: str) -> bool:
    """Say whether an incident was opened once and is in the archive alone.

    >>> has_left(Shard(next_incident=2, left=1), "INC-1"), has_left(Shard(), "INC-1")
    (True, False)
    """
    if name in shard.incidents:
        return False
    number = number_in(name)
    return number is not None and 0 < number < shard.next_incident


def evolve(shard: Shard, event: e.Event, at: int) -> tuple[Archived, ...]:
    """Apply one fact in place; `at` is the shard's time when it was decided.

    Gives the incidents that leave by it. A fact about one that has left is none of the shard's.
    """
    shard.at = max(shard.at, at)
    if isinstance(event, e.IncidentEvent) and has_left(shard, event.incident):
        _evolve_left(shard, event)
        return ()
    about = _may_free(shard, event)
    stream = event.stream
    shard.versions[stream] = shard.versions.get(stream, 0) + 1
    _apply(shard, event, at)
    return _let_leave(shard, about) if about else ()


def _may_free(shard: Shard, event: e.Event) -> str:
    """Name the incident that may leave after a fact."""
    if isinstance(event, e.IncidentEvent):
        return event.incident
    if isinstance(event, e.BudgetBurning | e.BudgetCalm) and event.slo in shard.burning:
        return shard.burning[event.slo].incident
    return ""


def may_leave(shard: Shard, event: e.Event) -> bool:
    """Say before a fact whether anybody may leave by it."""
    one = shard.incidents.get(_may_free(shard, event))
    return one is not None and (
        isinstance(event, e.IncidentClosed) or one.state in ("closed", "merged")
    )


def _apply(shard: Shard, event: e.Event, at: int) -> None:
    match event:
        case e.IncidentOpened():
            shard.incidents[event.incident] = incidents.opened(event, at, shard.term_salt)
            shard.open[event.incident] = None
            shard.board.gather(event.incident, event.group)
            shard.next_incident += 1
            shard.habits.count_incident()
        case e.IncidentEvent():
            _evolve_incident(shard, event, at)
        case e.CaseEvent():
            _evolve_case(shard, event)
        case e.ReleaseEvent():
            releases.evolve(_pointer(shard, event.service), event, at)
        case e.SloEvent():
            _evolve_slo(shard, event)
        case e.JobEvent():
            shard.jobs[event.job] = _JOB_STATES[type(event)]
        case e.ScheduleEvent():
            _evolve_schedule(shard, event, at - shard.skew)
        case e.TermBegan():
            shard.term_salt = event.salt
            if event.boot:
                shard.skews = shard.skews.anchored(at, event.boot, event.ticks_ms)
        case e.ClockEvent():
            _evolve_clock(shard, event, at)
        case e.SilenceEvent():
            _evolve_silence(shard, event, at)
        case _:
            _evolve_world(shard, event)


def find(shard: Shard, name: str) -> Incident | None:
    """Look an incident up by its name or its ref; None also for a ref of another journal.

    >>> shard = Shard(incidents={"INC-2": Incident("INC-2", "shop", "", "Slow", 0, salt="aa" * 8)})
    >>> [find(shard, name) is not None for name in ("INC-2", "INC-2-aaaaaaaa", "INC-2-bbbbbbbb")]
    [True, True, False]
    """
    incident = shard.incidents.get(name)  # its plain name, which nearly all say
    if incident is not None:
        return incident
    incident = shard.incidents.get(id_of(name))
    return incident if incident and incident.is_called(name) else None


def _let_leave(shard: Shard, name: str) -> tuple[Archived, ...]:
    one = shard.incidents.get(name)
    if one is None or one.state not in ("closed", "merged"):
        return ()
    names = leaving(shard.incidents, name, [burn.incident for burn in shard.burning.values()])
    return tuple(_leave(shard, name) for name in names)


def _leave(shard: Shard, name: str) -> Archived:
    incident = shard.incidents.pop(name)
    shard.snoozed.pop(name, None)
    shard.left += 1
    if incidents.is_alone(incident):
        shard.habits.keep_alone(name, incident.first_at)
    return Archived(incident, shard.versions.pop(f"incident/{name}"))


def _evolve_left(shard: Shard, event: e.IncidentEvent) -> None:
    """Take what a late fact about an incident that has left means for what is still decided on."""
    if isinstance(event, e.RegressionCaseAdmitted):
        _keep_case(shard, event, "")
        past.amend(shard.past, event.incident, event.case)


def _keep_case(shard: Shard, event: e.RegressionCaseAdmitted, service: str) -> None:
    shard.cases[event.case.id] = KeptCase(
        event.case,
        event.incident,
        event.bad,
        event.good,
        event.bad_digest,
        event.good_digest,
        event.duplicate_of,
        service,
    )


def _evolve_world(
    shard: Shard,
    event: e.ChangeSeen
    | e.StormBegan
    | e.StormEnded
    | e.RealPageSeen
    | e.InputDied
    | e.TicketTriaged,
) -> None:
    match event:
        case e.ChangeSeen():
            at = kept(event.change.at, shard.wall)
            changes.keep(shard.changes, msgspec.structs.replace(event.change, at=at))
        case e.StormEvent():
            shard.storm.raging = isinstance(event, e.StormBegan)
        case e.TicketTriaged():
            _keep_ticket(shard, event)
        case e.InputDied():
            if event.timer:
                rest = [one for one in shard.stumbled.items() if one[0] != event.timer]
                shard.stumbled = dict([*rest[-KEPT_STUMBLES + 1 :], (event.timer, event.tries)])
        case e.RealPageSeen():
            pass  # kept for whoever compares; nothing is decided on it


def _evolve_case(shard: Shard, event: e.CaseEvent) -> None:
    kept = shard.cases.get(event.case)
    if kept is None:
        raise BugError(f"{type(event).__name__} for unknown case {event.case}")
    match event:
        case e.CaseMinimised():
            kept.original = kept.original or "\n".join((*kept.case.turns, kept.case.question))
            kept.case = msgspec.structs.replace(
                kept.case, question=event.question, turns=event.turns
            )
        case e.CaseQuarantined():
            kept.owner, kept.quarantined_until = event.owner, event.until
            kept.held_for = event.why
        case e.CaseRetired():
            kept.retired = event.why
        case _:
            pass


def _keep_ticket(shard: Shard, event: e.TicketTriaged) -> None:
    shard.tickets[event.ticket] = Ticket(
        event.category,
        event.priority,
        event.route,
        event.incident,
        event.service,
        event.text[:KEPT_TEXT],
        event.affected,
        event.duplicate_of,
        event.by,
        event.source,
        event.doubted,
        shard.at,
    )
    if len(shard.tickets) > KEPT_TICKETS:
        del shard.tickets[next(iter(shard.tickets))]


def _pointer(shard: Shard, service: str) -> Pointer:
    pointer = shard.pointers.get(service)
    if pointer is None:
        pointer = shard.pointers[service] = Pointer(service)
    return pointer


def _evolve_incident(shard: Shard, event: e.IncidentEvent, at: int) -> None:
    incident = shard.incidents.get(event.incident)
    if incident is None:
        raise BugError(f"{type(event).__name__} for unknown incident {event.incident}")
    if isinstance(event, e.AlertsAttached):
        _learn(shard.habits, incident, event)
        shard.storm.count(len(event.attached), at)
        for item in event.attached:
            again = incident.firing.get(item.alert.fingerprint)
            if again is not None:
                _take_line(shard, incident.id, item.alert.fingerprint, again)
            _meet(shard, item.alert)
            if item.alert.level != "critical" and is_chronic(shard, item.alert.fingerprint):
                service = item.alert.service
                incident.noise[service] = incident.noise.get(service, 0) + 1
    elif isinstance(event, e.AlertsResolved | e.AlertsMuted | e.AlertsChanged):
        _before_lines(shard, incident, event, at)
    if isinstance(event, e.PlanApproved):
        run = named(incident.plans, event.plan_hash) or incident.lead
        if run.state == "proposed":
            service = event.service or incident.service_of_plan
            automation.keep(shard.remediations, Remediation(service, at, run.runbook, event.by))
    _part(shard, incident, event)
    waited = incident.waits
    evolving.evolve(incident, event, at, at - shard.skew)
    rings = waited and isinstance(event, e.PagePlanned | e.PageHeld) and not incident.waits
    if rings or (isinstance(event, e.IncidentGrew) and incident.holds):
        incident.holds = False
        marks.tell(shard.loud, incident.services, incident.id, shard.at, all_=rings)
    if isinstance(event, e.RegressionCaseAdmitted):
        _keep_case(shard, event, incident.service_of_plan)
    if incident.snoozed_until or incident.id in shard.snoozed:
        _index_snooze(shard, incident, event)
    _index(shard, incident, event)


def _index_snooze(shard: Shard, incident: Incident, event: e.IncidentEvent) -> None:
    """Note which incidents are snoozed, and for what news."""
    if incident.state != "acknowledged" or not incident.snoozed_until:
        shard.snoozed.pop(incident.id, None)
    elif isinstance(event, e.PageSnoozed) and incident.mark is not None:
        shard.snoozed[incident.id] = None
        news = marks.of_incident(shard.loud, incident.services, incident.id)
        incident.mark = msgspec.structs.replace(incident.mark, news=news)


def _before_lines(
    shard: Shard,
    incident: Incident,
    event: e.AlertsResolved | e.AlertsMuted | e.AlertsChanged,
    at: int,
) -> None:
    """Take alerts that end, are muted or say something else out of what is looked up by them."""
    if isinstance(event, e.AlertsChanged):
        for alert in event.alerts:
            one = incident.firing[alert.fingerprint]
            _take_line(shard, incident.id, alert.fingerprint, one)
            if event.mutes:
                _drop(shard.inhibitors, alert.fingerprint, one.mutes)
            if alert.fingerprint in event.calm:
                marks.end(shard.loud, one.service, alert.fingerprint, one.level, at)
        return
    gone = isinstance(event, e.AlertsResolved)
    for fingerprint in event.fingerprints:
        one = incident.firing.get(fingerprint)
        if one is None:
            continue
        _forget_muting(shard, fingerprint, one, gone=gone)
        if gone:
            _let_rest(shard, incident.id, fingerprint, one)
            marks.end(shard.loud, one.service, fingerprint, one.level, at)
        elif event.key:
            marks.forget(shard.loud, one.service, fingerprint, one.level)


def is_chronic(shard: Shard, fingerprint: str) -> bool:
    """Say whether an alert has ended before in CHRONIC incidents in which nothing else fired."""
    rest = shard.rested.get(fingerprint)
    return rest is not None and rest.alone >= CHRONIC


def _meet(shard: Shard, alert: Alert) -> None:
    """Note which services and namespaces there are, as far as it matters how many."""
    if len(shard.met) < KEPT_MET:
        shard.met[alert.service] = None
    if len(shard.spaces) < KEPT_SPACES:
        shard.spaces[alert.namespace] = None


def _hear(shard: Shard, event: e.NewsJudged) -> None:
    heard = Loud(
        shard.at,
        event.incident,
        event.told,
        event.policy,
        event.namespace,
        event.fingerprints,
        event.slo,
        0,
        event.covered_by,
        event.own,
        event.rung_at or shard.at,
        event.apart,
        event.names,
        event.level,
        event.more,
        (),
        event.said,
        event.held,
    )
    marks.keep(shard.loud, event.service, heard)


def _take_line(shard: Shard, name: str, fingerprint: str, one: Firing) -> None:
    loud = one.level == "critical"
    shard.board.rest(name, one.service, fingerprint, one.starts_at, loud=loud)


def _let_rest(shard: Shard, name: str, fingerprint: str, one: Firing) -> None:
    """Remember where an alert ended, and when, so that it finds its way back."""
    _take_line(shard, name, fingerprint, one)
    incident, before = shard.incidents[name], shard.rested.get(fingerprint)
    incident.last_labels = one.labels
    incident.ended[one.service] = max(shard.wall, incident.ended.get(one.service, 0))
    if before is None and len(shard.rested) >= KEPT_RESTED:
        del shard.rested[next(iter(shard.rested))]
    here = before is not None and before.incident == name
    rounds = before.rounds + 1 if before is not None and here else 1
    alone = before.alone if before is not None else 0
    if rounds == 1 and incidents.is_alone(incident):
        alone += 1
    shard.rested[fingerprint] = Rest(name, shard.wall, rounds, alone)


def _forget_muting(shard: Shard, fingerprint: str, one: Firing, *, gone: bool) -> None:
    """Take an alert out of what mutes it and, when it is gone, out of what it mutes."""
    _drop(shard.muted, fingerprint, (one.muted,) if one.muted else ())
    _drop(shard.inhibitors, fingerprint, one.mutes if gone else ())


def _drop(index: dict[str, dict[str, None]], fingerprint: str, keys: Iterable[str]) -> None:
    for key in keys:
        members = index.get(key)
        if members is not None:
            members.pop(fingerprint, None)
            if not members:
                del index[key]


def _evolve_silence(shard: Shard, event: e.SilenceEvent, at: int) -> None:
    """Keep what is silenced; one that ended before its time had passed may begin again."""
    name = event.silence.id
    if isinstance(event, e.SilenceAdded):
        shard.silences[name] = event.silence
        if shard.lapsed.pop(name, None) is None:
            shard.quiet_until[name] = event.silence.ends_at + shard.skew
            shard.next_silence += 1
        return
    shard.silences.pop(name, None)
    by_clock = isinstance(event, e.SilenceEnded) and not event.by
    if by_clock and at < shard.quiet_until.get(name, 0):
        shard.lapsed[name] = event.silence
    else:
        shard.quiet_until.pop(name, None)
        shard.lapsed.pop(name, None)


def _evolve_clock(shard: Shard, event: e.ClockJumped | e.ClockAnchored, at: int) -> None:
    skews = shard.skews
    if isinstance(event, e.ClockJumped):
        skews = skews.jumped(at, event.skew_ms)
        if abs(event.by_ms) >= JUMP_MS:
            shard.clock_incident, shard.clock_right = event.incident, event.right
        over = [name for name, until in shard.quiet_until.items() if until <= at]
        for name in over:
            if shard.lapsed.pop(name, None) is not None:
                del shard.quiet_until[name]
    if event.boot:
        skews = skews.anchored(at, event.boot, event.ticks_ms)
    shard.skews = skews


def _evolve_slo(shard: Shard, event: e.SloEvent) -> None:
    match event:
        case e.BudgetBurning():
            incident = shard.incidents[event.incident]
            shard.burning[event.slo] = Burn(event.tier, event.incident)
            if event.failures and not incident.failures:
                incident.failures = event.failures
        case e.BudgetCalm():
            shard.burning.pop(event.slo, None)
            marks.end_burn(shard.loud, event.slo, shard.at)
        case e.SliHeard():
            shard.heard[event.slo] = None
        case e.SliWentSilent():
            shard.heard.pop(event.slo, None)
        case e.BurnHeldBack():
            shard.held[event.slo] = event.tier
        case e.HoldEnded():
            shard.held.pop(event.slo, None)
        case _:
            pass


def _evolve_schedule(shard: Shard, event: e.ScheduleEvent, at: int) -> None:
    kept = [o for o in shard.overrides.get(event.schedule, ()) if o.ends_at > at - KEEP_MS]
    match event:
        case e.OverrideAdded():
            kept.append(event.override)
            shard.next_override += 1
        case e.OverrideRemoved():
            kept = [one for one in kept if one.id != event.override]
        case _:
            pass
    shard.overrides[event.schedule] = kept


def _index_pages(
    shard: Shard,
    name: str,
    event: e.PageHeld
    | e.PagePlanned
    | e.PageAcknowledged
    | e.IncidentReassigned
    | e.IncidentMitigated,
) -> None:
    """Keep what is held for a digest in step with what was sent and answered."""
    if isinstance(event, e.PageHeld):
        place = Place(event.to, event.via).text
        shard.held_pages[place] = [*shard.held_pages.get(place, ()), name]
        return
    places = list(shard.held_pages)
    if isinstance(event, e.PagePlanned):
        places = [Place(event.to, event.via).text]
        shard.last_page_at[places[0]] = shard.at
        if event.digest and name in shard.open:
            _note_digest(shard, event.digest, name)
    for place in places:
        left = [one for one in shard.held_pages.get(place, ()) if one != name]
        if left:
            shard.held_pages[place] = left
        else:
            shard.held_pages.pop(place, None)


def _index(shard: Shard, incident: Incident, event: e.IncidentEvent) -> None:
    """Keep the look-ups beside the incidents in step."""
    match event:
        case e.AlertsAttached() | e.AlertsResolved() | e.AlertsMoved() | e.AlertsMuted():
            _index_alerts(shard, incident, event)
        case e.AlertsChanged():
            _index_changed(shard, incident, event)
        case e.NewsJudged():
            _hear(shard, event)
        case e.MergeUndone() | e.IncidentReopened():
            shard.open[incident.id] = None
            shard.board.add(incident)
            _index_digests(shard, incident)
        case e.TicketLinked() | e.BurnAttached():
            shard.board.add(incident)
        case (
            e.PageHeld()
            | e.PagePlanned()
            | e.PageAcknowledged()
            | e.IncidentReassigned()
            | e.IncidentMitigated()
        ):
            _index_pages(shard, incident.id, event)
            if isinstance(event, e.IncidentMitigated):
                shard.proofs |= dict.fromkeys(incident.slos, shard.at)
        case e.IncidentMerged() | e.IncidentResolved():
            _index_over(shard, incident, event)
        case e.RegressionCaseAdmitted() | e.RegressionCaseRefused() | e.WaiverGranted():
            if incident.state in ("resolved", "closed"):
                past.learn(shard.past, incident)
        case _:
            pass


def _index_changed(shard: Shard, incident: Incident, event: e.AlertsChanged) -> None:
    for alert in event.alerts:
        one = incident.firing[alert.fingerprint]
        loud = one.level == "critical"
        shard.board.fire(incident.id, one.service, alert.fingerprint, one.starts_at, loud=loud)
        for key in one.mutes if event.mutes else ():
            shard.inhibitors.setdefault(key, {})[alert.fingerprint] = None


def _part(shard: Shard, incident: Incident, event: e.IncidentEvent) -> None:
    if isinstance(event, e.MergeUndone):
        for home in homes(shard, incident):
            members.part(incident, home)


def homes(shard: Shard, incident: Incident) -> list[Incident]:
    """List what an incident was merged into, the nearest first."""
    found: list[Incident] = []
    name = incident.merged_into
    while (one := shard.incidents.get(name)) is not None and one not in found:
        found.append(one)
        name = one.merged_into
    return found


def _index_over(
    shard: Shard, incident: Incident, event: e.IncidentMerged | e.IncidentResolved
) -> None:
    shard.open.pop(incident.id, None)
    shard.board.remove(incident)
    _forget_digests(shard, incident)
    if isinstance(event, e.IncidentMerged):
        if (home := shard.incidents.get(event.into)) is not None:
            members.join(incident, home)
        marks.go_along(shard.loud, list(shard.loud), incident.id, event.into, None)
        for fingerprint, rest in shard.rested.items():
            if rest.incident == incident.id:
                moved = msgspec.structs.replace(rest, incident=event.into)
                shard.rested[fingerprint] = moved
    else:
        shard.last_resolved[incident.service] = incident.id
        past.learn(shard.past, incident)
        if event.reason.rule == incidents.BY_PERSON:
            marks.forget_incident(shard.loud, list(shard.loud), incident.id)
    for fingerprint, one in incident.firing.items():
        _forget_muting(shard, fingerprint, one, gone=True)
        _forget(shard, incident, fingerprint)


def _index_digests(shard: Shard, incident: Incident) -> None:
    for page in incident.pages:
        if page.digest:
            _note_digest(shard, page.digest, incident.id)


def _note_digest(shard: Shard, digest: str, incident: str) -> None:
    told = dict.fromkeys((*shard.digests.get(digest, ()), incident))
    shard.digests[digest] = tuple(sorted(told, key=number_of))


def _forget_digests(shard: Shard, incident: Incident) -> None:
    for page in incident.pages:
        left = tuple(one for one in shard.digests.get(page.digest, ()) if one != incident.id)
        if left:
            shard.digests[page.digest] = left
        else:
            shard.digests.pop(page.digest, None)


def _index_alerts(
    shard: Shard,
    incident: Incident,
    event: e.AlertsAttached | e.AlertsResolved | e.AlertsMoved | e.AlertsMuted,
) -> None:
    match event:
        case e.AlertsAttached():
            services: dict[str, None] = {}
            refs: dict[str, None] = {}
            for item in event.attached:
                alert = item.alert
                shard.firing[alert.fingerprint] = incident.id
                services[alert.service] = None
                one = incident.firing[alert.fingerprint]
                loud = one.level == "critical"
                shard.board.fire(
                    incident.id, one.service, alert.fingerprint, one.starts_at, loud=loud
                )
                if alert.refs:  # no more of them than the incident keeps
                    refs.update((ref, None) for ref in alert.refs if ref in incident.refs)
                if item.muted:
                    shard.muted.setdefault(item.muted, {})[alert.fingerprint] = None
                for key in item.mutes:
                    shard.inhibitors.setdefault(key, {})[alert.fingerprint] = None
            for service in services:
                shard.board.put(incident.id, service, refs)
        case e.AlertsResolved():
            for fingerprint in event.fingerprints:
                _forget(shard, incident, fingerprint)
        case e.AlertsMoved():
            _move(shard, incident, event)
        case e.AlertsMuted():
            if event.key:
                muted = shard.muted.setdefault(event.key, {})
                muted.update(dict.fromkeys(event.fingerprints))


def _forget(shard: Shard, incident: Incident, fingerprint: str) -> None:
    if shard.firing.get(fingerprint) == incident.id:
        del shard.firing[fingerprint]


def _learn(habits: Habits, incident: Incident, event: e.AlertsAttached) -> None:
    """Count what the alerts of an incident are, before they are put into it."""
    if not incident.alert_count:
        habits.count_opening(event.attached[0].alert.fingerprint, incident.id)
    new: list[str] = []
    for kind in new_types(incident, event):
        habits.count_type(kind, [*incident.kinds, *new])
        new.append(kind)


def new_types(incident: Incident, event: e.AlertsAttached) -> dict[str, None]:
    """List the types of alerts that an incident has not met yet, in their order."""
    new: dict[str, None] = {}
    for item in event.attached:
        alert = item.alert
        trouble = incident.troubles.get(alert.service)
        if trouble is None or alert.name not in trouble.names:
            new[incidents.type_of(alert.service, alert.name)] = None
    return new


def _move(shard: Shard, old: Incident, event: e.AlertsMoved) -> None:
    """Hand alerts over; both incidents are looked up anew by what they have now."""
    new = shard.incidents[event.to]
    shard.board.remove(old)
    first_at = new.first_at
    members.move(old, new, event.fingerprints)
    if event.kind == "merge":  # when the other one began is known of it as a part
        new.first_at = first_at
    if event.kind:
        new.last_move = members.remembered(event)
    if event.kind == "merge":
        by = str(event.reason.terms.get("by", ""))
        new.seen = incidents.mark_of(new, shard.at, "merge", by)
    theirs = [one for one in (old.group, *old.groups) if one]
    if event.kind == "merge":
        new.groups = list(dict.fromkeys((*new.groups, *theirs)))
    elif event.kind == "undo":
        old.groups = [one for one in old.groups if one not in (new.group, *new.groups)]
    for fingerprint in event.fingerprints:
        shard.firing[fingerprint] = new.id
    services = {new.firing[one].service for one in event.fingerprints}
    marks.go_along(shard.loud, services, old.id, new.id, event.fingerprints)
    shard.board.add(old)
    shard.board.add(new)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Shard)


def dump(shard: Shard) -> bytes:
    """Write a shard as bytes; the same events always give the same bytes."""
    firing, habits = dict(sorted(shard.firing.items())), shard.habits.in_order()
    whole = msgspec.structs.replace(shard, firing=firing, habits=habits, board=Board(), digests={})
    return _encoder.encode(whole)


def load(data: bytes) -> Shard:
    """Read a shard back.

    >>> load(dump(Shard())) == Shard()
    True
    """
    return load_whole(data)[0]


def load_whole(data: bytes) -> tuple[Shard, list[Archived]]:
    """Read a shard back, and let leave whoever would have left: before state 12 nobody did."""
    found = _decoder.decode(data)
    closed = [name for name, one in found.incidents.items() if one.state == "closed"]
    left = [gone for name in closed for gone in _let_leave(found, name)]
    for name in found.open:
        found.board.add(found.incidents[name])
        _index_digests(found, found.incidents[name])
    return found, left
