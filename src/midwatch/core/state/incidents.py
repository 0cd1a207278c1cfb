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

from typing import Any, Literal

from msgspec import Struct, field

from midwatch.core.state import events as e
from midwatch.core.state.runs import Run, lead
from midwatch.core.values.alerts import Level
from midwatch.core.values.evals import Case
from midwatch.core.values.judgements import Judgement
from midwatch.core.values.keys import ref_of, service_of
from midwatch.core.values.marks import KEPT_SERVICES, Answer, Held, Mark
from midwatch.core.values.moments import kept
from midwatch.core.values.plans import Plan, RunState
from midwatch.core.values.severity import Severity
from midwatch.core.values.sli import Counts, FailedAnswer, Harm, Outage

State = Literal["open", "acknowledged", "mitigated", "resolved", "closed", "merged"]

CaseState = Literal["none", "drafted", "admitted", "refused"]


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


NO_TROUBLE = Trouble()


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
        return service_of(self.slo) if self.slo else self.speaks_of

    @property
    def lead(self) -> Run:
        """The plan that one line shows: it runs, else waits for a person, else is the newest."""
        own = service_of(self.slo) if self.slo else self.speaks_of
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


def mark_of(i: Incident, at: int, kind: Answer, by: str) -> Mark:
    """Note what is known of it now."""
    people = tuple(dict.fromkeys(one.to for one in i.pages[i.earlier_pages :]))
    services = tuple(list(i.services)[:KEPT_SERVICES])
    return Mark(
        at, kind, by, i.severity or "", i.title, services, i.policy, people, i.alert_count, i.level
    )
