"""An incident: what is wrong, who has it, what was done, and how far it is from closed.

Law: the state changes by TRANSITIONS alone. A resolved or closed incident absorbs nothing. A
mitigation that did not hold opens it again, and the very alert that it was about, within an hour of
a resolution that no person gave.

          +--------- reopened ----------+------------+
          v                             |            |
        open --ack--> acknowledged --> mitigated --> resolved --> closed
          |                             ^
          +--------- mitigated ---------+

From the first three it may be merged into another one, and that may be undone: then it is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from msgspec import Struct, field
from msgspec.structs import replace

from midwatch.core.state import events as e
from midwatch.core.state.runs import Run, doing, forget, lead, named
from midwatch.core.values.alerts import RANK, Alert, Level
from midwatch.core.values.clock import SECOND
from midwatch.core.values.evals import Case
from midwatch.core.values.habits import MAX_TOGETHER
from midwatch.core.values.judgements import Judgement
from midwatch.core.values.keys import ref_of
from midwatch.core.values.marks import KEPT_SERVICES, Answer, Held, Mark
from midwatch.core.values.moments import kept
from midwatch.core.values.plans import Plan, RunState
from midwatch.core.values.severity import Severity
from midwatch.core.values.sli import Counts, FailedAnswer, Harm, Outage
from midwatch.core.values.templates import text_of
from midwatch.errors import BugError

State = Literal["open", "acknowledged", "mitigated", "resolved", "closed", "merged"]

# (state, event) -> next state. An event that stands here in no row never changes the state.
TRANSITIONS: dict[tuple[State, type], State] = {
    ("open", e.PageAcknowledged): "acknowledged",
    ("acknowledged", e.AckWithdrawn): "open",
    ("acknowledged", e.IncidentReassigned): "open",
    ("open", e.IncidentMitigated): "mitigated",
    ("acknowledged", e.IncidentMitigated): "mitigated",
    ("mitigated", e.IncidentReopened): "open",
    ("resolved", e.IncidentReopened): "open",
    ("mitigated", e.IncidentResolved): "resolved",
    ("resolved", e.IncidentClosed): "closed",
    ("open", e.IncidentMerged): "merged",
    ("acknowledged", e.IncidentMerged): "merged",
    ("mitigated", e.IncidentMerged): "merged",
    ("merged", e.MergeUndone): "open",
}
# What has to be there besides by the wall clock, for an event of the table above: law 7.
GUARDS: dict[type, Callable[[Incident, int], list[str]]] = {
    e.IncidentClosed: lambda incident, wall: lacks(incident, wall),  # noqa: PLW0108  defined below
}
# Events that are only possible in some states, beside those that the table above moves.
_ONLY_WHILE_OPEN = (e.AlertsAttached, e.BurnAttached, e.TicketLinked)
_MOVING = {event for _, event in TRANSITIONS}
# A late ack is kept, and changes nothing: the harm may be over before anybody answers.
_HARMLESS_ELSEWHERE = (e.PageAcknowledged, e.AckWithdrawn, e.IncidentReassigned)

CaseState = Literal["none", "drafted", "admitted", "refused"]


PREFIX = "INC-"
BY_PERSON = "recovery.person/1"  # the rule of a resolution that a person has said
MAX_REFS = 64
# In a storm texts get coarser: beyond FINE of them an alert counts by its name, beyond COARSE as
# any.
FINE, COARSE, MAX_LINKS, MAX_SAYS = 16, 48, 5, 200
ANY = "*"
MAX_ROUNDS, MAX_ALSO, MAX_GROWTH = 64, 16, 64
ROUND_S = 3_600  # an alert that begins again so soon is in its next round


class Firing(Struct, frozen=True, gc=False):
    """An alert of the incident that has not been resolved."""

    name: str
    service: str
    level: Level
    starts_at: int
    labels: dict[str, str] = field(default_factory=dict[str, str])
    severity: str = ""
    muted: str = ""  # by what
    mutes: tuple[str, ...] = ()


class Move(Struct, frozen=True):
    """What a person did last with an incident's alerts, so that it can be undone."""

    kind: str
    old: str
    new: str
    fingerprints: tuple[str, ...]


class Round(Struct, frozen=True, gc=False):
    """How often an alert has fired again soon after it began before, and when it began last.

    `times` is how often it has fired in all.
    """

    count: int
    at: int
    times: int = 1


class Alike(Struct, frozen=True, gc=False):
    """Alerts that say the same: how many, and what the newest one said."""

    count: int = 0
    says: str = ""


class Trouble(Struct, frozen=True, gc=False):
    """What one service of the incident raised: alerts, and the worst level of each name."""

    alerts: int = 0
    firing: int = 0
    names: dict[str, Level] = field(default_factory=dict[str, Level])


_NO_TROUBLE = Trouble()


class Paged(Struct, frozen=True):
    """One page and what became of it."""

    key: str
    to: str
    state: Literal["planned", "sent", "failed", "not sent"]  # the last in shadow
    step: int = 0
    via: str = ""
    digest: str = ""
    at: int = 0
    beside: str = ""  # the policy whose people are paged besides


class Left(Struct, frozen=True):
    """How far the search for somebody was when it stopped without an answer.

    With `waits` nobody was paged before `until`, for `waits_by` stood for it.
    """

    at: int
    next_step: int
    earlier_pages: int
    exhausted: bool = False
    waits: bool = False
    waits_by: str = ""
    until: int = 0


class Part(Struct, frozen=True):
    """What an incident had when it was merged into another one, besides alerts that still fired.

    `alerts` are those that had ended, `pages` how many there were; times are the journal's, but for
    `first_at`, which is a date.
    """

    opened_at: int
    first_at: int
    alerts: int = 0
    services: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    pages: int = 0
    paged_at: int = 0
    acknowledged_at: int = 0
    waits_ms: tuple[int, ...] = ()


class Incident(Struct):
    """The fold of one incident's events."""

    id: str
    service: str
    namespace: str
    title: str
    opened_at: int
    state: State = "open"
    recurrence_of: str = ""
    salt: str = ""  # of the term in which it was opened; empty for one of midwatch 0.1.0
    severity: Severity | None = None
    urgency: str = "ticket"
    worst_service: str = ""  # whose trouble its severity and its title are, when not `service`
    acts_on: str = ""  # the service of its plan, its roll-back or its fix, once there was one
    # the storm
    services: dict[str, int] = field(default_factory=dict[str, int])  # -> first in trouble at
    troubles: dict[str, Trouble] = field(default_factory=dict[str, Trouble])  # by service
    kinds: list[str] = field(default_factory=list[str])  # the first types of its alerts
    texts: dict[str, Alike] = field(default_factory=dict[str, Alike])
    refs: dict[str, None] = field(default_factory=dict[str, None])
    links: dict[str, None] = field(default_factory=dict[str, None])  # runbooks that alerts name
    first_at: int = 0
    began_at: int = 0  # like first_at, but a late alert with an older start does not move it
    last_at: int = 0
    alert_count: int = 0
    firing: dict[str, Firing] = field(default_factory=dict[str, Firing])
    tickets: list[str] = field(default_factory=list[str])
    wide: int = 0  # services with an alert that fires
    ended: dict[str, int] = field(default_factory=dict[str, int])  # service -> its newest end
    noise: dict[str, int] = field(default_factory=dict[str, int])  # service -> chronic alerts
    last_labels: dict[str, str] = field(default_factory=dict[str, str])  # of what ended last
    group: str = ""  # of alerts that people want together
    groups: list[str] = field(default_factory=list[str])  # of those that were merged into it
    no_case: str = ""  # why it owes no regression case
    by_itself: bool = False  # whether it was resolved by what was seen, not by a person
    last_move: Move | None = None
    merged_into: str = ""
    parts: dict[str, Part] = field(default_factory=dict[str, Part])  # what was merged into it
    # the burn
    slo: str = ""  # the objective that burned first
    slos: dict[str, int] = field(default_factory=dict[str, int])  # all of them -> seen well at
    burned_at: int = 0
    outages: dict[str, tuple[Outage, ...]] = field(default_factory=dict[str, tuple[Outage, ...]])
    harms: dict[str, Harm] = field(default_factory=dict[str, Harm])  # by objective
    worst: Counts | None = None
    failures: tuple[FailedAnswer, ...] = ()
    # the page
    pages: list[Paged] = field(default_factory=list[Paged])
    policy: str = ""
    next_step: int = 0
    next_page: int = 1
    earlier_pages: int = 0  # how many are of rounds of the policy before this one
    awaits_ack: bool = False
    acknowledged_by: str = ""
    acknowledged_at: int = 0
    paged_at: int = 0  # when the first page went out
    asked_at: int = 0  # when a page went out that nobody has acknowledged yet
    waits_ms: list[int] = field(default_factory=list[int])  # from a page to its ack
    snoozed_until: int = 0
    snooze_over_at: int = 0  # in the journal's time, at the latest
    exhausted: bool = False
    # what whoever is paged knows
    mark: Mark | None = None  # what was known when somebody answered last
    seen: Mark | None = None  # what was known when a person merged into it or muted a part of it
    asking: dict[str, str] = field(default_factory=dict[str, str])  # services -> unanswered news
    answered: dict[str, str] = field(default_factory=dict[str, str])  # what was `asking`
    why: str = ""  # it pages
    level: str = ""  # of the alert that its title names
    waits: bool = False  # nobody is paged yet: something else stands for it, or it flaps
    waits_by: str = ""  # the incident that stands for it
    waits_until: int = 0
    left: Left | None = None  # the search that stopped when it was over, or merged
    also: list[str] = field(default_factory=list[str])  # incidents that it stands for
    grown_at: int = 0  # when a page last told of growth
    growth: list[Held] = field(default_factory=list[Held])  # that the next one tells of
    growth_at: int = 0  # when that is due
    growth_more: int = 0  # growth beyond what is kept
    besides: dict[str, int] = field(default_factory=dict[str, int])  # other policies -> next step
    others_left: dict[str, int] = field(default_factory=dict[str, int])  # like `left`, of those
    others_answered: dict[str, int] = field(default_factory=dict[str, int])  # policy -> when
    thread: int = 0  # how often it needed somebody again after an ack
    rounds: dict[str, Round] = field(default_factory=dict[str, Round])  # by alert
    holds: bool = False  # news that flaps, of which nobody was told
    # the mitigation
    plans: list[Run] = field(default_factory=list[Run])  # as they were proposed
    tried: list[str] = field(default_factory=list[str])  # runbooks that were begun or refused
    tried_on: dict[str, list[str]] = field(default_factory=dict[str, list[str]])  # by service
    runs: int = 0
    acted_at: int = 0  # when a step last changed something
    acted_on: dict[str, int] = field(default_factory=dict[str, int])  # likewise, by objective
    lasting: dict[str, bool] = field(default_factory=dict[str, bool])  # service -> cause removed
    by_hand: dict[str, str] = field(default_factory=dict[str, str])  # service -> who stopped a plan
    no_runbook: str = ""  # why nothing is proposed
    asks: int = 0  # how often a step of a plan began to wait for a person
    unproven: str = ""  # what it waits for: too few events say how users are
    unproven_since: int = 0
    unproven_told: bool = False
    promotion: str = ""  # of the fix, under way
    rollbacks: int = 0
    rolled: list[str] = field(default_factory=list[str])  # the services that were rolled back
    rolled_back: str = ""  # of these the one that it is about
    bad_release: str = ""
    good_release: str = ""
    rolled_back_at: int = 0
    mitigated_at: int = 0
    recovery: str = ""
    # the lesson
    has_postmortem: bool = False
    drafted: dict[str, Any] = field(default_factory=dict[str, Any])  # the newest figures
    case: Case | None = None
    case_state: CaseState = "none"
    waiver: str = ""
    waived_until: int = 0
    judgement: Judgement | None = None
    edits: int = 0  # how often somebody wrote it: the version that a change is made to
    again: str = ""  # why it is an earlier one again
    sampled_at: int = 0  # when its burn was last written down
    sampled: dict[str, int] = field(default_factory=dict[str, int])  # and that of each objective
    samples: int = 0
    # the fix
    fix: str = ""
    baseline: str = ""
    fix_state: Literal["none", "proposed", "trial", "promoting", "promoted", "refused"] = "none"
    canaries: int = 0
    promoted_at: int = 0
    gate: str = ""
    gates: int = 0

    @property
    def ref(self) -> str:
        """What it is called where its number alone could be another one's."""
        return ref_of(self.id, self.salt)

    def is_called(self, name: str) -> bool:
        """Say whether it is meant by a name: its own, or its ref."""
        return name in (self.id, self.ref)

    @property
    def service_of_plan(self) -> str:
        """The service whose releases it is about: rolled back, else burning, else in the title.

        What is under way or has moved traffic stays with its service, whatever joins meanwhile.
        """
        if self.rolled_back:
            return self.rolled_back
        is_under_way = any(one.is_under_way for one in self.plans)
        if self.acts_on and (is_under_way or self.rollbacks or self.fix):
            return self.acts_on
        return self.slo.split("/")[0] if self.slo else self.speaks_of

    @property
    def lead(self) -> Run:
        """The plan that one line shows: it runs, else waits for a person, else is the newest."""
        own = self.slo.split("/")[0] if self.slo else self.speaks_of
        return lead(self.plans, own) or Run()

    def acts_for(self, run: Run) -> str:
        """The service that a plan acts on; a journal of midwatch 0.1 does not name it."""
        service = run.plan.service if run.plan else None
        return self.service_of_plan if service is None else service

    def proofs_of(self, run: Run) -> tuple[str, ...]:
        """The objectives that prove a plan; all that burned where it names none."""
        return (run.plan.proofs if run.plan else ()) or tuple(self.slos)

    @property
    def planned_for(self) -> str:
        """The service that its leading plan acts on."""
        return self.acts_for(self.lead)

    @property
    def proofs(self) -> tuple[str, ...]:
        """The objectives that prove its leading plan."""
        return self.proofs_of(self.lead)

    @property
    def runbook(self) -> str:
        """The runbook of its leading plan."""
        return self.lead.runbook

    @property
    def plan_hash(self) -> str:
        """The hash of its leading plan."""
        return self.lead.hash

    @property
    def plan(self) -> Plan | None:
        """Its leading plan."""
        return self.lead.plan

    @property
    def run(self) -> RunState:
        """How far its leading plan is."""
        return self.lead.state

    @property
    def operation(self) -> str:
        """What is being done for it, of several the leading plan's."""
        found = (one.operation for one in (self.lead, *self.plans) if one.operation)
        return self.promotion or next(found, "")

    def was_rolled_back(self, service: str) -> bool:
        """Say whether it rolled a service back, or one that nobody wrote down."""
        return service in self.rolled or self.rollbacks > len(self.rolled)

    def acted_for(self, slo: str) -> int:
        """Say when something was last changed that an objective has to prove."""
        return self.acted_on.get(slo, self.acted_at)

    def has_tried(self, runbook: str, service: str) -> bool:
        """Say whether a runbook was begun or refused for a service, or for an unknown one."""
        if runbook in self.tried_on.get(service, ()):
            return True
        return runbook in self.tried and all(runbook not in one for one in self.tried_on.values())

    @property
    def speaks_of(self) -> str:
        """The service that its title is about: the one that whoever is paged looks at first."""
        return self.worst_service or self.service

    @property
    def cause_gone(self) -> bool:
        """Whether nothing leaves the cause in place: no step changed anything, or it removed it."""
        if self.rollbacks:
            return False
        if self.lasting:
            return all(self.lasting.values())
        return not self.acted_at or (self.plan is not None and self.plan.resolves)

    @property
    def hurt(self) -> bool:
        """Whether it was paged or spent error budget: such an incident leaves a test behind."""
        return bool(self.pages or self.slo)


SILENCE = "silence "  # what the key of a person's silence begins with
ABSORBING: tuple[State, ...] = ("open", "acknowledged", "mitigated")


def is_open(incident: Incident) -> bool:
    """Say whether the incident still absorbs alerts."""
    return incident.state in ABSORBING


def is_alone(incident: Incident) -> bool:
    """Say whether alerts of one name on one service are all that it ever had."""
    troubles = incident.troubles
    return len(troubles) == 1 and all(len(one.names) == 1 for one in troubles.values())


def distinct_alerts(incident: Incident) -> int:
    """Count its alerts, each once however often it fired."""
    again = sum(one.times - 1 for one in incident.rounds.values())
    return max(incident.alert_count - again, 1)


def title_of(name: str, service: str) -> str:
    """Say what an alert is about, as a title.

    >>> title_of("Slow", "shop"), title_of("", "")
    ('Slow on shop', 'alert on unknown service')
    """
    return f"{name or 'alert'} on {service or 'unknown service'}"


def began(incident: Incident) -> int:
    """Say when users began to be hurt, as a date: by what was counted, else by its first alert.

    >>> began(Incident("INC-1", "shop", "", "slow", 0, first_at=7_000))
    7000
    """
    starts = [one.start for harm in incident.harms.values() for one in harm.known]
    firsts = [incident.first_at, *(one.first_at for one in incident.parts.values())]
    return min(starts, default=min(firsts))


def type_of(service: str, name: str) -> str:
    """Name a type of alerts: what an alert is about, whichever instance raised it."""
    return f"{service} {name}"


def lacks(incident: Incident, wall: int) -> list[str]:
    """List what still stands between an incident and closed, besides its resolution.

    `wall` is what the wall clock says: a waiver ends at a date.

    >>> lacks(Incident("INC-1", "shop", "", "slow", 0, slo="shop/answers"), 0)
    ['a postmortem', 'a proven regression case or a waiver']
    """
    if not incident.hurt:
        return []
    found: list[str] = []
    plain = bool(incident.no_case) and incident.case is None and not incident.fix
    if not incident.has_postmortem and (not plain or (incident.severity or "sev1") <= "sev2"):
        found.append("a postmortem")
    if not plain and incident.case_state != "admitted" and incident.waived_until <= wall:
        was = " (its waiver is over)" if incident.waiver else ""
        found.append(f"a proven regression case or a waiver{was}")
    if incident.fix_state == "promoted" and incident.gate != "pass":
        found.append("a gate that passes")
    return found


def is_waiting_for_ack(incident: Incident) -> bool:
    """Say whether it was paged and somebody still has to be found for it."""
    return incident.awaits_ack


def asks_by(incident: Incident, key: str) -> bool:
    """Say whether a page, or the digest of that key, still looks for somebody.

    One that was acknowledged does not, also when the incident needs somebody again since.
    """
    page = next((one for one in incident.pages if key in (one.key, one.digest)), None)
    beside = page.beside if page is not None else ""
    mark = incident.mark.at if incident.mark is not None else 0
    answered_at = incident.others_answered.get(beside, 0) if beside else mark
    if page is not None and page.at < answered_at:
        return False
    return beside in incident.besides if beside else incident.awaits_ack


def opened(event: e.IncidentOpened, at: int, salt: str) -> Incident:
    """Make the incident that this event opens, in the term of a salt."""
    started_at = kept(event.started_at, at)
    return Incident(
        id=event.incident,
        service=event.service,
        namespace=event.namespace,
        title=event.title,
        opened_at=at,
        first_at=started_at,
        began_at=started_at,
        last_at=started_at,
        recurrence_of=event.recurrence_of,
        group=event.group,
        salt=salt,
    )


def snooze_due(incident: Incident, skew: int) -> int:
    """Say when a snooze is over in the journal's time: at its date, or as long after as was asked.

    A date that was named under a wrong clock keeps nobody quiet for longer than that.

    >>> asked = Incident("INC-1", "shop", "", "slow", 0, snoozed_until=90, snooze_over_at=60)
    >>> snooze_due(asked, -50), snooze_due(asked, 0)
    (40, 60)
    """
    latest = incident.snooze_over_at or incident.snoozed_until
    return min(incident.snoozed_until + skew, latest)


def evolve(incident: Incident, event: e.IncidentEvent, at: int, wall: int | None = None) -> None:
    """Apply one fact in place; `wall` is what the wall clock says, the same as `at` without it.

    Raises BugError for a fact that this state does not allow.

    >>> inc = Incident("INC-1", "shop", "", "slow", 0, state="resolved")
    >>> evolve(inc, e.AlertsResolved(incident="INC-1", fingerprints=("ab",)), 1)
    >>> inc.state
    'resolved'
    """
    wall = at if wall is None else wall
    kind = type(event)
    target = TRANSITIONS.get((incident.state, kind))
    if target is None:
        if isinstance(event, _ONLY_WHILE_OPEN) and not is_open(incident):
            raise BugError(f"{kind.__name__} for {incident.id}, which is {incident.state}")
        if kind in _MOVING and kind not in _HARMLESS_ELSEWHERE:
            raise BugError(f"{kind.__name__} for {incident.id}, which is {incident.state}")
    else:
        missing = GUARDS[kind](incident, wall) if kind in GUARDS else []
        if missing:
            raise BugError(f"{kind.__name__} for {incident.id}, without {missing[0]}")
        incident.state = target
    apply = _APPLY.get(kind)
    if apply is not None:
        apply(incident, event, at)
    dated = _APPLY_DATED.get(kind)
    if dated is not None:
        dated(incident, event, at, wall)


def _attach(i: Incident, event: e.AlertsAttached, at: int) -> None:
    _is_judged(i)
    for item in event.attached:
        alert = item.alert
        one = Firing(
            alert.name, alert.service, alert.level, kept(alert.starts_at, at), alert.labels,
            alert.severity,
            item.muted, item.mutes,
        )  # fmt: skip
        _gain(i, alert.fingerprint, one)
        if alert.fingerprint in i.rounds or len(i.rounds) < MAX_ROUNDS:
            last = i.rounds.get(alert.fingerprint)
            soon = last is not None and at - last.at <= ROUND_S * SECOND
            times = last.times + 1 if last else 1
            count = last.count + 1 if last and soon else 1
            i.rounds[alert.fingerprint] = Round(count, at, times)
        _count_text(i, alert)
        i.namespace = i.namespace or alert.namespace
        if is_new_link(i, alert):
            i.links[alert.runbook] = None
        for ref in alert.refs:
            if len(i.refs) < MAX_REFS:
                i.refs[ref] = None


def _changed(i: Incident, event: e.AlertsChanged, at: int) -> None:
    for number, alert in enumerate(event.alerts):
        one = i.firing[alert.fingerprint]
        starts_at = max(one.starts_at, kept(alert.starts_at, at))
        mutes = event.mutes[number] if event.mutes else one.mutes
        i.firing[alert.fingerprint] = replace(
            one, level=alert.level, starts_at=starts_at, labels=alert.labels, mutes=mutes
        )
        trouble = i.troubles[one.service]
        worst = trouble.names.get(one.name)
        if worst is None or RANK[alert.level] < RANK[worst]:
            names = {**trouble.names, one.name: alert.level}
            i.troubles[one.service] = replace(trouble, names=names)
        if is_new_link(i, alert):
            i.links[alert.runbook] = None
        text = text_of(alert)
        alike = i.texts.get(text)
        if alike is not None:
            i.texts[text] = Alike(alike.count, _said(alert))
        elif is_new_text(i, alert):
            i.texts[text] = Alike(1, _said(alert))


def is_new_link(incident: Incident, alert: Alert) -> bool:
    """Say whether an alert names a runbook that none of the incident did, while there is room."""
    links = incident.links
    return bool(alert.runbook) and alert.runbook not in links and len(links) < MAX_LINKS


def is_new_text(incident: Incident, alert: Alert) -> bool:
    """Say whether an alert says what none of the incident did, while there is room."""
    texts = incident.texts
    return bool(alert.summary) and len(texts) < FINE and text_of(alert) not in texts


def _count_text(i: Incident, alert: Alert) -> None:
    text = text_of(alert)
    alike = i.texts.get(text)
    if alike is None and len(i.texts) >= FINE:
        text = alert.name if len(i.texts) < COARSE or alert.name in i.texts else ANY
        alike = i.texts.get(text)
    count = alike.count + 1 if alike is not None else 1
    i.texts[text] = Alike(count, _said(alert))


def _said(alert: Alert) -> str:
    return " ".join(alert.summary.split())[:MAX_SAYS]


def _gain(i: Incident, fingerprint: str, one: Firing) -> None:
    """Count an alert in."""
    if fingerprint in i.firing:
        _lose(i, fingerprint)
    i.firing[fingerprint] = one
    service, at = one.service, one.starts_at
    if at < i.services.setdefault(service, at):
        i.services[service] = at
    trouble = i.troubles.get(service) or _NO_TROUBLE
    names, worst = trouble.names, trouble.names.get(one.name)
    if worst is None or RANK[one.level] < RANK[worst]:
        names = dict(names)
        names[one.name] = one.level
    i.troubles[service] = Trouble(trouble.alerts + 1, trouble.firing + 1, names)
    i.wide += not trouble.firing
    if worst is None and len(i.kinds) < MAX_TOGETHER:
        i.kinds.append(type_of(service, one.name))
    i.alert_count += 1
    i.first_at = min(i.first_at, at)
    i.last_at = max(i.last_at, at)


def _lose(i: Incident, fingerprint: str) -> Firing | None:
    """Let an alert fire no longer."""
    one = i.firing.pop(fingerprint, None)
    if one is not None:
        trouble = i.troubles[one.service]
        i.troubles[one.service] = Trouble(trouble.alerts, trouble.firing - 1, trouble.names)
        i.wide -= trouble.firing == 1
    return one


def move(old: Incident, new: Incident, fingerprints: Iterable[str]) -> None:
    """Hand alerts that fire over from one incident to another, with all that they count for."""
    for service, at in old.ended.items():
        if service in old.troubles:
            new.ended[service] = max(at, new.ended.get(service, 0))
    for fingerprint in fingerprints:
        one = _lose(old, fingerprint)
        if one is None:
            raise BugError(f"{fingerprint} does not fire in {old.id}")
        if (asked := old.asking.get(one.service)) is not None:
            new.asking[one.service] = min(asked, new.asking.get(one.service, asked))
        old.alert_count -= 1
        trouble = old.troubles[one.service]
        old.troubles[one.service] = replace(trouble, alerts=trouble.alerts - 1)
        if trouble.alerts == 1:
            del old.troubles[one.service]
            old.asking.pop(one.service, None)
            if one.service != old.service and not old.slo.startswith(f"{one.service}/"):
                old.services.pop(one.service, None)
        _gain(new, fingerprint, one)
        new.began_at = min(new.began_at, one.starts_at)
        _keep_answers(old, new, one.service)


def _keep_answers(old: Incident, new: Incident, service: str) -> None:
    """Let what people stopped and what was tried for a service go along with it.

    What is under way ends with the move, not by its own failure: it may be proposed there again.
    """
    if service in old.by_hand:
        new.by_hand.setdefault(service, old.by_hand[service])
    begun = {
        one.runbook
        for one in old.plans
        if one.state in ("running", "waiting") and not one.stopping and old.acts_for(one) == service
    }
    tried = [one for one in old.tried_on.get(service, ()) if one not in begun]
    if tried:
        known = new.tried_on.get(service, [])
        new.tried_on[service] = [*known, *(one for one in tried if one not in known)]


def join(old: Incident, home: Incident) -> None:
    """Let the harm of an incident count for the one that it was merged into."""
    mine = Part(
        old.opened_at, old.first_at, old.alert_count, tuple(old.services)[:KEPT_SERVICES],
        tuple(old.tickets), len(old.pages), old.paged_at, old.acknowledged_at, tuple(old.waits_ms),
    )  # fmt: skip
    home.parts = {**home.parts, **old.parts, old.id: mine}


def part(old: Incident, home: Incident) -> None:
    """Take that back: each has its own harm again; what came since stays where it came."""
    theirs = home.parts.get(old.id)
    gone = {old.id, *old.parts}
    home.parts = {name: one for name, one in home.parts.items() if name not in gone}
    if theirs is not None:
        home.tickets = [one for one in home.tickets if one not in theirs.tickets]


def speaking(incident: Incident) -> list[Firing]:
    """List the alerts that fire and are not muted."""
    return [one for one in incident.firing.values() if not one.muted]


def _resolve(i: Incident, event: e.AlertsResolved, at: int) -> None:
    for fingerprint in event.fingerprints:
        _lose(i, fingerprint)


def _moved(i: Incident, event: e.AlertsMoved, at: int) -> None:
    if event.kind:
        i.last_move = remembered(event)


def remembered(event: e.AlertsMoved) -> Move | None:
    """Say what may be undone after a move."""
    if event.kind == "undo":
        return None
    return Move(event.kind, event.incident, event.to, event.fingerprints)


def _muted(i: Incident, event: e.AlertsMuted, at: int) -> None:
    for fingerprint in event.fingerprints:
        i.firing[fingerprint] = replace(i.firing[fingerprint], muted=event.key)
    if event.key.startswith(SILENCE):
        i.seen = mark_of(i, at, "mute", event.key)
    if event.key and not i.slo and not i.tickets and not speaking(i):
        # Nobody is looked for; when it speaks again, paging begins anew.
        i.awaits_ack = i.waits = False
        i.growth, i.besides = [], {}
        _begin_round(i)


def _begin_round(i: Incident) -> None:
    """Let the policy begin with its first step."""
    i.next_step, i.exhausted, i.earlier_pages = 0, False, len(i.pages)


def _merged(i: Incident, event: e.IncidentMerged, at: int) -> None:
    i.merged_into = event.into
    _leave(i, at)
    i.others_left.update(i.besides)
    i.besides = {}


def _unmerged(i: Incident, event: e.MergeUndone, at: int) -> None:
    i.thread += bool(i.acknowledged_by)
    i.merged_into, i.acknowledged_by = "", ""
    i.mitigated_at = 0
    _begin_round(i)


def _ticket(i: Incident, event: e.TicketLinked, at: int, wall: int) -> None:
    i.tickets.append(event.ticket)
    if event.service:
        i.services.setdefault(event.service, wall)


def _burn(i: Incident, event: e.BurnAttached, at: int, wall: int) -> None:
    _is_judged(i)
    i.slo = i.slo or event.slo
    i.slos[event.slo] = 0
    i.burned_at = i.burned_at or at
    i.services.setdefault(event.service, wall)
    i.last_at = max(i.last_at, wall)
    if i.worst is None or event.counts.good * i.worst.total < i.worst.good * event.counts.total:
        i.worst = event.counts


def _severity(i: Incident, event: e.SeverityDeclared, at: int) -> None:
    i.severity = cast("Severity", event.severity)
    if event.title:
        i.title, i.worst_service = event.title, event.service
    i.urgency, i.why, i.level = event.urgency, event.reason.says, event.level


def _news(i: Incident, event: e.NewsJudged, at: int) -> None:
    i.asking[event.service] = min(event.severity, i.asking.get(event.service, event.severity))
    i.holds = i.holds or event.held


def mark_of(i: Incident, at: int, kind: Answer, by: str) -> Mark:
    """Note what is known of it now."""
    people = tuple(dict.fromkeys(one.to for one in i.pages[i.earlier_pages :]))
    services = tuple(list(i.services)[:KEPT_SERVICES])
    return Mark(
        at, kind, by, i.severity or "", i.title, services, i.policy, people, i.alert_count, i.level
    )


def _grew(i: Incident, event: e.IncidentGrew, at: int) -> None:
    i.why, i.grown_at = event.reason.says, at
    i.growth, i.growth_at, i.growth_more = [], 0, 0


def _growth_held(i: Incident, event: e.GrowthHeld, at: int) -> None:
    if i.growth_at and i.growth_at <= at:  # what is left of it was over when it was due
        i.growth, i.growth_more = [], 0
    if len(i.growth) < MAX_GROWTH:
        i.growth.append(Held(event.what, event.fingerprints, event.flaps))
    else:
        i.growth_more += 1
    i.growth_at = event.until


def _waits(i: Incident, event: e.PageWaits, at: int) -> None:
    i.waits, i.waits_by, i.awaits_ack = True, event.by, True
    i.waits_until, i.left = event.until, None
    i.policy = event.policy or i.policy


def _resumed(i: Incident, event: e.AskingResumed, at: int) -> None:
    if i.left is not None and not i.left.waits:
        i.earlier_pages = i.left.earlier_pages
        if i.policy != event.policy:
            i.others_left[i.policy] = i.left.next_step
    i.others_left.pop(event.policy, None)
    i.next_step, i.exhausted = event.step, event.exhausted
    _asks(i, event.policy)


def _leave(i: Incident, at: int) -> None:
    """Keep how far the search was, when nobody has answered.

    Who waits for what somebody knows of begins to wait again.
    """
    if i.awaits_ack and (not i.waits or i.mark is None):
        i.left = Left(
            at, i.next_step, i.earlier_pages, i.exhausted, i.waits, i.waits_by, i.waits_until
        )
    i.awaits_ack = i.waits = False


def _others_asked(i: Incident, event: e.OthersAsked, at: int) -> None:
    i.besides[event.policy] = event.step + 1
    i.others_left.pop(event.policy, None)


def _others_answered(i: Incident, event: e.OthersAnswered | e.OthersLeft, at: int) -> None:
    i.besides.pop(event.policy, None)
    i.others_left.pop(event.policy, None)
    if isinstance(event, e.OthersAnswered):
        i.others_answered[event.policy] = at


def _covers_also(i: Incident, event: e.CoversAlso, at: int) -> None:
    if event.other not in i.also:
        i.also = [*i.also[-MAX_ALSO + 1 :], event.other]


def _page_planned(i: Incident, event: e.PagePlanned, at: int) -> None:
    beside = event.policy if event.beside else ""
    i.pages.append(
        Paged(event.key, event.to, "planned", event.step, event.via, event.digest, at, beside)
    )
    if beside:
        i.next_page += 1
        return
    # The second pager of an earlier step takes nothing back: the next step stays the next.
    i.next_step = max(i.next_step, event.step + 1)
    i.next_page += 1
    _asks(i, event.policy)


def _asks(i: Incident, policy: str) -> None:
    i.policy, i.awaits_ack, i.waits, i.waits_by, i.left = policy, True, False, "", None


def _page_held(i: Incident, event: e.PageHeld, at: int) -> None:
    i.next_step = event.step + 1
    _asks(i, event.policy)


def _step_skipped(i: Incident, event: e.StepSkipped, at: int) -> None:
    i.next_step = event.step + 1
    _asks(i, event.policy)


def _reassigned(i: Incident, event: e.IncidentReassigned, at: int) -> None:
    i.thread += bool(i.acknowledged_by)
    i.acknowledged_by, i.snoozed_until = "", 0
    i.asking = {**i.answered, **i.asking}
    _begin_round(i)


def _restarted(i: Incident, event: e.EscalationRestarted, at: int) -> None:
    _begin_round(i)


def _page_sent(i: Incident, event: e.PageSent, at: int) -> None:
    state = "not sent" if event.receipt == e.NOT_SENT else "sent"
    i.pages = [replace(p, state=state) if p.key == event.key else p for p in i.pages]
    if state == "sent":
        i.paged_at = i.paged_at or at
        i.asked_at = i.asked_at or (at if i.awaits_ack else 0)


def _page_failed(i: Incident, event: e.PageFailed, at: int) -> None:
    if event.retry_at is None:
        i.pages = [replace(p, state="failed") if p.key == event.key else p for p in i.pages]


def _ack(i: Incident, event: e.PageAcknowledged, at: int) -> None:
    asked_at = i.asked_at or (i.pages[-1].at if i.pages and i.awaits_ack else 0)
    if asked_at and len(i.waits_ms) < MAX_ROUNDS:
        i.waits_ms.append(max(at - asked_at, 0))
    i.asked_at = 0
    i.acknowledged_by, i.awaits_ack, i.snoozed_until = event.by, False, 0
    i.acknowledged_at = i.acknowledged_at or at
    i.answered = {**i.answered, **i.asking}
    i.waits, i.asking, i.left = False, {}, None
    i.mark = mark_of(i, at, "ack", event.by)


def _unack(i: Incident, event: e.AckWithdrawn, at: int) -> None:
    i.thread += 1
    i.acknowledged_by, i.snoozed_until = "", 0
    if i.grown_at != at:  # else it is what grew that looks for somebody
        i.asking = {**i.answered, **i.asking}
    _begin_round(i)


def _snoozed(i: Incident, event: e.PageSnoozed, at: int, wall: int) -> None:
    i.snoozed_until, i.snooze_over_at = event.until, at + event.until - wall
    i.mark = mark_of(i, at, "snooze", event.by)


def _exhausted(i: Incident, event: e.EscalationExhausted, at: int) -> None:
    i.exhausted, i.awaits_ack, i.waits, i.left = True, True, False, None


def _its_run(i: Incident, plan_hash: str, operation: str = "") -> Run:
    """Find the plan that a fact is about; what names none is of a journal with one an incident."""
    found = named(i.plans, plan_hash) or doing(i.plans, operation)
    if found is None:
        if not i.plans:
            i.plans.append(Run(asks=i.asks))
        found = i.lead
    return found


def _proposed(i: Incident, event: e.PlanProposed, at: int) -> None:
    run = Run(
        event.subject, event.runbook, event.plan_hash, event.plan, "proposed", asks=i.asks,
        given=event.given, chosen_by=event.by,
    )  # fmt: skip
    if not event.subject:  # the only one, as journals had it
        if i.plans:
            run.step_asked_at, run.operation = i.lead.step_asked_at, i.lead.operation
        i.plans.clear()
    for one in [one for one in i.plans if one.subject in (event.subject, "")]:
        if one.state == "proposed" and not run.replaces(one):
            continue
        if one.state == "proposed":
            if run.subject and one.hash != run.hash:
                _used(i, one)
            run.asks = i.asks if run.subject else one.asks
        if not one.is_under_way:
            i.plans.remove(one)
    i.plans.append(run)
    forget(i.plans)
    i.no_runbook = ""


def _no_runbook(i: Incident, event: e.NoRunbook, at: int) -> None:
    i.no_runbook = event.reason.says
    for one in [one for one in i.plans if not one.is_under_way and one.state != "ended"]:
        if one.state == "proposed":
            _used(i, one)
        one.runbook, one.hash, one.plan, one.state = "", "", None, "none"
        if one.subject or replace(one, asks=0) == Run():
            i.plans.remove(one)  # what was done stays to be seen


def _approved(i: Incident, event: e.PlanApproved, at: int) -> None:
    run = _its_run(i, event.plan_hash)
    run.approved_by, run.approved_at = event.by, at
    _is_judged(i)
    if run.state == "proposed":
        if i.fix_state in ("none", "refused"):  # else it stays with the fix
            i.acts_on = event.service or i.acts_for(run)
        _used(i, run)
        i.runs += 1
        run.number = i.runs
        _tried(i, run)
    run.state = "running"


def _refused(i: Incident, event: e.PlanRefused, at: int) -> None:
    run = _its_run(i, event.plan_hash)
    _tried(i, run)
    _used(i, run)
    run.state = "ended"


def _used(i: Incident, run: Run) -> None:
    """Give the next proposal another hash, though it is the same plan: old buttons do nothing."""
    if run.subject:  # in journals of one plan an incident the hash stays
        i.asks += 1


def _tried(i: Incident, run: Run) -> None:
    """Remember what was begun or refused, and for which service."""
    if run.runbook not in i.tried:
        i.tried.append(run.runbook)
    if run.plan is not None and run.plan.service is not None:
        done = i.tried_on.get(run.plan.service, [])
        others = (one for one in done if one != run.runbook)
        i.tried_on[run.plan.service] = [*others, run.runbook]


def _stopped(i: Incident, event: e.PlanStopped, at: int) -> None:
    run = _its_run(i, event.plan_hash)
    _used(i, run)
    if run.state == "proposed":  # nothing of it was begun
        run.state = "none"
        return
    if event.by:
        i.by_hand[i.acts_for(run)] = event.by
    run.operation, run.state, run.stopping, run.again_at = "", "ended", "", 0


def _stop_asked(i: Incident, event: e.PlanStopAsked, at: int) -> None:
    run = _its_run(i, event.plan_hash)
    run.stopping = event.reason.says
    if run.subject and event.by:
        i.by_hand[i.acts_for(run)] = event.by


def _action_started(i: Incident, event: e.ActionStarted, at: int) -> None:
    _its_run(i, event.plan_hash).operation = event.operation


def _action_retried(i: Incident, event: e.ActionRetried, at: int) -> None:
    _its_run(i, event.plan_hash, event.operation).again_at = event.at


def _action_done(i: Incident, event: e.ActionDone, at: int) -> None:
    run = _its_run(i, event.plan_hash, event.operation)
    run.operation, run.again_at = "", 0
    if event.changed:
        _acted(i, run, at)
    _next_step(i, run)


def _acted(i: Incident, run: Run, at: int) -> None:
    """Note that something was changed: whatever was seen before proves nothing any more."""
    i.acted_at = at
    if run.subject and run.plan is not None:
        i.acted_on.update(dict.fromkeys(i.proofs_of(run), at))
        i.lasting[i.acts_for(run)] = run.plan.resolves
        run.looks = ""


def _action_failed(i: Incident, event: e.ActionFailed, at: int) -> None:
    run = _its_run(i, event.plan_hash, event.operation)
    run.operation, run.again_at = "", 0
    if event.goes_on:
        _next_step(i, run)
    else:
        run.state = "ended"


def _action_waits(i: Incident, event: e.ActionWaits, at: int) -> None:
    run = _its_run(i, event.plan_hash)
    run.state, run.step_asked_at = "waiting", at
    i.asks += 1
    run.asks = i.asks
    if event.plan is not None:
        run.plan, run.hash = event.plan, event.plan.hash


def _next_step(i: Incident, run: Run) -> None:
    run.step += 1
    if run.plan is not None and run.step < len(run.plan.steps):
        return
    # What changed nothing has nothing to prove, and who is well needs no proof.
    changed = run.plan is None or (run.plan.changes and not run.plan.takes_back)
    run.state = "verifying" if changed and i.state in ("open", "acknowledged") else "ended"


def _looked(i: Incident, event: e.RecoveryJudged, at: int) -> None:
    run = _its_run(i, event.plan_hash)
    run.looks = event.verdict
    if event.verdict == "recovered" and run.state == "verifying":
        run.state = "ended"


def _awaited(i: Incident, event: e.RecoveryAwaited, at: int) -> None:
    i.unproven, i.unproven_since, i.unproven_told = event.reason.says, at, False


def _wait_told(i: Incident, event: e.WaitTold, at: int) -> None:
    i.unproven_told = True


def _is_judged(i: Incident) -> None:
    """Let what it waited for be over: something says how users are."""
    i.unproven, i.unproven_since = "", 0


def _missed(i: Incident, event: e.RecoveryMissed, at: int) -> None:
    _its_run(i, event.plan_hash).state = "ended"


def _rollback_started(i: Incident, event: e.RollbackStarted, at: int) -> None:
    run = _its_run(i, event.plan_hash)
    if run.plan is not None and event.service != i.acts_for(run):
        raise BugError(f"a rollback of {event.service} by a plan for {i.acts_for(run)}")
    run.operation = event.operation
    i.rollbacks += 1
    i.rolled.append(event.service)
    # Of several services its lesson is that of the one whose objective burned, else of the first.
    if not i.rolled_back or i.slo.startswith(f"{event.service}/"):
        i.bad_release, i.good_release, i.rolled_back = event.bad, event.to, event.service


def _rollback_done(i: Incident, event: e.RollbackCompleted, at: int) -> None:
    run = _its_run(i, event.plan_hash, event.operation)
    run.operation, run.again_at, i.rolled_back_at = "", 0, at
    _acted(i, run, at)
    _next_step(i, run)


def _rollback_failed(i: Incident, event: e.RollbackFailed, at: int) -> None:
    run = _its_run(i, event.plan_hash, event.operation)
    run.operation, run.again_at, run.state = "", 0, "ended"


def _rollback_refused(i: Incident, event: e.RollbackRefused, at: int) -> None:
    run = _its_run(i, "")
    run.operation, run.again_at, run.state = "", 0, "ended"


def _fix_over(i: Incident, event: e.PromotionFailed | e.FixWithdrawn, at: int) -> None:
    i.promotion, i.fix_state = "", "refused"


def _mitigated(i: Incident, event: e.IncidentMitigated, at: int) -> None:
    i.mitigated_at, i.recovery, i.asked_at = at, event.reason.says, 0
    _leave(i, at)
    i.others_left.update(i.besides)
    i.growth, i.asking, i.answered, i.besides = [], {}, {}, {}
    i.no_case = event.no_case
    _is_judged(i)
    for slo, known in i.outages.items():
        i.outages[slo] = tuple(one if one.until else replace(one, until=at) for one in known)
    for one in i.plans:
        if one.state == "proposed" and not one.takes_back:
            one.state = "none"
        elif one.state == "verifying":
            one.state = (
                "ended"  # of one that is under way no further step begins: core/rules/consent.py
            )
        if one.looks:
            one.looks = "recovered"


def _reopened(i: Incident, event: e.IncidentReopened, at: int) -> None:
    i.thread += bool(i.acknowledged_by)  # what followed that answer rings no more for it
    i.acknowledged_by, i.mitigated_at = "", 0
    i.no_runbook = ""
    i.asks += 1  # whatever is asked from now on, no older button answers
    for one in i.plans:
        one.asks = i.asks
        if one.operation and one.state == "running":  # that step ends, and no other one begins
            one.stopping = one.stopping or "a recovery meanwhile, which did not hold"
        elif one.plan is not None and one.takes_back and one.state == "waiting":
            left = replace(one.plan, steps=one.plan.steps[one.step :])
            one.plan, one.step, one.state = left, 0, "proposed"
        elif not (one.takes_back and one.state == "proposed"):  # that is asked again
            one.state = "none"
    _begin_round(i)
    i.slos = dict.fromkeys(i.slos, 0)


def _over(i: Incident, event: e.IncidentResolved, at: int) -> None:
    i.by_itself = event.reason.rule != BY_PERSON
    if not i.by_itself:
        i.left, i.others_left = None, {}


def _objective_judged(i: Incident, event: e.ObjectiveJudged, at: int) -> None:
    i.slos[event.slo] = at if event.verdict == "recovered" else 0


def _harm_began(i: Incident, event: e.HarmBegan, at: int) -> None:
    known = i.outages.get(event.slo, ())
    if known and not known[-1].until:
        known = known[:-1]
    i.outages[event.slo] = (*known, Outage(event.since, event.seen_at))


def _harmed(i: Incident, event: e.HarmMeasured, at: int) -> None:
    i.harms[event.slo] = event.harm


def _postmortem(i: Incident, event: e.PostmortemDrafted, at: int) -> None:
    i.has_postmortem, i.drafted = True, event.document


def _case_drafted(i: Incident, event: e.RegressionCaseDrafted, at: int) -> None:
    i.case, i.case_state = event.case, "drafted"


def _case_admitted(i: Incident, event: e.RegressionCaseAdmitted, at: int) -> None:
    i.case, i.case_state = event.case, "admitted"


def _case_refused(i: Incident, event: e.RegressionCaseRefused, at: int) -> None:
    i.case_state = "refused"


def _waived(i: Incident, event: e.WaiverGranted, at: int) -> None:
    i.waiver, i.waived_until = f"{event.why} ({event.owner})", event.ends_at


def _judged_by_person(i: Incident, event: e.PostmortemEdited, at: int) -> None:
    i.judgement, i.edits = event.judgement, i.edits + 1


def _recurred(i: Incident, event: e.IncidentRecurred, at: int) -> None:
    i.recurrence_of, i.again = event.of, event.reason.says


def _sampled(i: Incident, event: e.BurnSampled, at: int) -> None:
    i.sampled_at, i.samples = at, i.samples + 1
    i.sampled[event.slo or i.slo] = at


def _fix_proposed(i: Incident, event: e.FixProposed, at: int) -> None:
    i.acts_on = i.service_of_plan
    i.fix, i.baseline, i.fix_state = event.release, event.baseline, "proposed"
    i.canaries += 1


def _eligible(i: Incident, event: e.FixEligible, at: int) -> None:
    i.fix_state = "trial"


def _judged(i: Incident, event: e.CanaryJudged, at: int) -> None:
    i.fix_state = "promoting" if event.verdict == "promote" else "refused"


def _promoting(i: Incident, event: e.PromotionStarted, at: int) -> None:
    i.promotion = event.operation


def _promoted(i: Incident, event: e.FixPromoted, at: int) -> None:
    i.promotion, i.fix_state, i.promoted_at = "", "promoted", at
    i.gates += 1


def _gated(i: Incident, event: e.GateJudged, at: int) -> None:
    i.gate = event.verdict


# Each function takes the one event type that stands beside it.
_APPLY = cast(
    "dict[type, Callable[[Incident, Any, int], None]]",
    {
        e.AlertsAttached: _attach,
        e.AlertsResolved: _resolve,
        e.AlertsMoved: _moved,
        e.AlertsMuted: _muted,
        e.AlertsChanged: _changed,
        e.NewsJudged: _news,
        e.IncidentGrew: _grew,
        e.GrowthHeld: _growth_held,
        e.PageWaits: _waits,
        e.AskingResumed: _resumed,
        e.CoversAlso: _covers_also,
        e.OthersAsked: _others_asked,
        e.OthersAnswered: _others_answered,
        e.OthersLeft: _others_answered,
        e.IncidentMerged: _merged,
        e.MergeUndone: _unmerged,
        e.SeverityDeclared: _severity,
        e.PagePlanned: _page_planned,
        e.PageHeld: _page_held,
        e.StepSkipped: _step_skipped,
        e.IncidentReassigned: _reassigned,
        e.EscalationRestarted: _restarted,
        e.PageSent: _page_sent,
        e.PageFailed: _page_failed,
        e.PageAcknowledged: _ack,
        e.AckWithdrawn: _unack,
        e.EscalationExhausted: _exhausted,
        e.PlanProposed: _proposed,
        e.PlanApproved: _approved,
        e.NoRunbook: _no_runbook,
        e.PlanRefused: _refused,
        e.PlanStopped: _stopped,
        e.PlanStopAsked: _stop_asked,
        e.ActionStarted: _action_started,
        e.ActionRetried: _action_retried,
        e.ActionDone: _action_done,
        e.ActionFailed: _action_failed,
        e.ActionWaits: _action_waits,
        e.RecoveryMissed: _missed,
        e.RecoveryAwaited: _awaited,
        e.WaitTold: _wait_told,
        e.RecoveryJudged: _looked,
        e.ObjectiveJudged: _objective_judged,
        e.RollbackRefused: _rollback_refused,
        e.RollbackStarted: _rollback_started,
        e.RollbackCompleted: _rollback_done,
        e.RollbackFailed: _rollback_failed,
        e.PromotionFailed: _fix_over,
        e.FixWithdrawn: _fix_over,
        e.IncidentMitigated: _mitigated,
        e.IncidentReopened: _reopened,
        e.IncidentResolved: _over,
        e.HarmBegan: _harm_began,
        e.HarmMeasured: _harmed,
        e.PostmortemDrafted: _postmortem,
        e.RegressionCaseDrafted: _case_drafted,
        e.RegressionCaseAdmitted: _case_admitted,
        e.RegressionCaseRefused: _case_refused,
        e.WaiverGranted: _waived,
        e.PostmortemEdited: _judged_by_person,
        e.IncidentRecurred: _recurred,
        e.BurnSampled: _sampled,
        e.FixProposed: _fix_proposed,
        e.FixEligible: _eligible,
        e.CanaryJudged: _judged,
        e.PromotionStarted: _promoting,
        e.FixPromoted: _promoted,
        e.GateJudged: _gated,
    },
)
# Those that note a date too, which the wall clock names.
_APPLY_DATED = cast(
    "dict[type, Callable[[Incident, Any, int, int], None]]",
    {
        e.TicketLinked: _ticket,
        e.BurnAttached: _burn,
        e.PageSnoozed: _snoozed,
    },
)
