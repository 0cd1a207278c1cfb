"""Facts, past tense: the only thing that ever changes a shard.

Law: an event is never altered and never decided again. Together, in order, the events are the
audit trail, the timeline and the state. Each belongs to one stream, named by what it is about.
They stand in one file, so that all that can ever have happened is read in one go.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from midwatch.core.values.alerts import Alert
from midwatch.core.values.canary import CanaryPlan, Sides
from midwatch.core.values.changes import Change
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.judgements import Judgement
from midwatch.core.values.plans import Plan
from midwatch.core.values.reasons import Reason
from midwatch.core.values.schedules import Override
from midwatch.core.values.silences import Silence
from midwatch.core.values.sli import Counts, FailedAnswer, Harm

# Raised in the first release that writes an event, or a field of one, that the release before it
# does not know: 1 is midwatch 0.1.0. An older midwatch refuses a journal with newer events.
EVENT_VERSION = 2

# --- streams -------------------------------------------------------------------------------------


class IncidentEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about one incident."""

    incident: str

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"incident/{self.incident}"


class ReleaseEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about what a service runs."""

    service: str

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"release/{self.service}"


class CaseEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about one regression case that is kept."""

    case: str

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"case/{self.case}"


class SloEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about one objective."""

    slo: str

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"slo/{self.slo}"


class ScheduleEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about one schedule."""

    schedule: str

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"schedule/{self.schedule}"


class JobEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about a job that must say that it lives."""

    job: str

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"job/{self.job}"


class TicketEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about one ticket."""

    ticket: str

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"ticket/{self.ticket}"


class ChangeEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about what somebody changed."""

    change: Change

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"change/{self.change.service}"


class SilenceEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about a silence."""

    silence: Silence

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"silence/{self.silence.id}"


class StormEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about the rate of all alerts."""

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return "storm"


class ClockEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about the machine's clocks."""

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return "clock"


class SourceEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about what a source told that is no alert."""

    source: str

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return f"source/{self.source}"


class TermEvent(Struct, frozen=True, tag=True, omit_defaults=True):
    """A fact about the process that owns the journal."""

    @property
    def stream(self) -> str:
        """Where the event is appended."""
        return "term"


# --- terms ---------------------------------------------------------------------------------------


class TermBegan(TermEvent, frozen=True):
    """A process began to decide. `salt` is random and is in every key that it draws.

    `boot` names the run of the machine; `ticks_ms` and `wall` are what its clocks said.
    """

    salt: str
    boot: str = ""
    ticks_ms: int = 0
    wall: int = 0


# --- alerts and their incident -------------------------------------------------------------------


class IncidentOpened(IncidentEvent, frozen=True):
    """Something joined no open incident, so there is a new one."""

    service: str
    namespace: str
    title: str
    started_at: int
    reason: Reason
    recurrence_of: str = ""
    group: str = ""  # that people want together


class Attachment(Struct, frozen=True, gc=False):
    """One alert in an incident; `why` says which of the event's reasons put it there."""

    alert: Alert
    why: int = 0
    muted: str = ""  # by what, when nobody is paged for it
    mutes: tuple[str, ...] = ()  # what it inhibits while it fires


class AlertsAttached(IncidentEvent, frozen=True):
    """Alerts of one batch joined this incident; those that are alike share a reason."""

    attached: tuple[Attachment, ...]
    reasons: tuple[Reason, ...]

    def reason_of(self, item: Attachment) -> Reason:
        """Give why one of its alerts is in the incident."""
        return self.reasons[item.why]


class AlertsResolved(IncidentEvent, frozen=True):
    """A source said that these alerts, by fingerprint, no longer fire."""

    fingerprints: tuple[str, ...]


class AlertsMoved(IncidentEvent, frozen=True):
    """Alerts of this incident belong to another one, `to`: they are its alerts from now on."""

    to: str
    fingerprints: tuple[str, ...]
    reason: Reason
    kind: Literal["", "merge", "split", "undo"] = ""  # what a person did, else a rule


class AlertsMuted(IncidentEvent, frozen=True):
    """Alerts that fire are muted by `key` from now on; by nothing any more when it is empty."""

    fingerprints: tuple[str, ...]
    key: str
    reason: Reason


class AlertsChanged(IncidentEvent, frozen=True):
    """Alerts that fire already say something else: another level, text or runbook, a later start.

    They are the same firing: nothing has ended, and nothing else began. `calm` are the fingerprints
    of those that would wake nobody as they are now. `mutes` has what each of them inhibits from now
    on, and nothing where all of them inhibit what they did.
    """

    alerts: tuple[Alert, ...]
    reason: Reason
    mutes: tuple[tuple[str, ...], ...] = ()
    calm: tuple[str, ...] = ()


class IncidentMerged(IncidentEvent, frozen=True):
    """It was the same as another one, `into`, which has its alerts and tickets now."""

    into: str
    by: str
    reason: Reason


class MergeUndone(IncidentEvent, frozen=True):
    """It stands for itself again."""

    by: str
    reason: Reason


class IncidentRecurred(IncidentEvent, frozen=True):
    """It is an earlier incident again, and what that one left behind."""

    of: str
    reason: Reason


# --- tickets -------------------------------------------------------------------------------------


class TicketTriaged(TicketEvent, frozen=True):
    """A human's report was read; `incident` is empty when it belongs to none that is open."""

    text: str
    category: str
    priority: str
    route: str
    incident: str
    reason: Reason
    duplicate_of: str = ""
    affected: int = 0
    service: str = ""
    by: str = ""  # who reports it, as far as anybody says
    source: str = ""  # the sender, when it was one
    doubted: bool = False  # whether `affected` is a claim that nobody vouches for


class TicketLinked(IncidentEvent, frozen=True):
    """A ticket reports the harm of this incident."""

    ticket: str
    reason: Reason
    service: str = ""


# --- silences, storms, changes, pages of others --------------------------------------------------


class SilenceAdded(SilenceEvent, frozen=True):
    """Somebody wants quiet."""


class SilenceEnded(SilenceEvent, frozen=True):
    """It is over; `by` whoever ended it before its time."""

    by: str


class StormBegan(StormEvent, frozen=True):
    """The rate of new alerts left its own past far behind."""

    reason: Reason


class StormEnded(StormEvent, frozen=True):
    """It came back."""

    reason: Reason


class ChangeSeen(ChangeEvent, frozen=True):
    """A pipeline or a person told that something was changed."""


class RealPageSeen(SourceEvent, frozen=True):
    """Another system paged somebody: one delivery of it, whatever number of alerts it names."""

    at: int
    services: tuple[str, ...]
    key: str
    title: str


class InputDied(SourceEvent, frozen=True):
    """What a source sent, or midwatch asked for, could not be decided on or not be committed.

    It stands once for each kind, until what it raised is over; for a `timer` each time, which is
    set again after so many `tries`.
    """

    kind: str
    service: str
    reason: Reason
    timer: str = ""
    tries: int = 0


# --- clocks --------------------------------------------------------------------------------------


class ClockJumped(ClockEvent, frozen=True):
    """The wall clock went `by_ms` further than time passed; below 0 it went back.

    From now on the journal's time is `skew_ms` ahead of it. `right` when this undoes the jump
    before. At this time of the journal the clock of the run `boot` of the machine said `ticks_ms`.
    """

    by_ms: int
    skew_ms: int
    reason: Reason
    right: bool = False
    incident: str = ""  # which tells of it
    boot: str = ""
    ticks_ms: int = 0


class ClockAnchored(ClockEvent, frozen=True):
    """The journal's time has followed many small steps: what the other clock says was noted."""

    boot: str
    ticks_ms: int


# --- jobs ----------------------------------------------------------------------------------------


class JobWatched(JobEvent, frozen=True):
    """It is waited for, and was never heard yet."""


class JobHeard(JobEvent, frozen=True):
    """It said that it lives, for the first time or after silence."""


class JobWentSilent(JobEvent, frozen=True):
    """It was not heard for its time."""


# --- objectives ----------------------------------------------------------------------------------


class SliHeard(SloEvent, frozen=True):
    """Events are counted: from now on the objective says how users are."""


class SliWentSilent(SloEvent, frozen=True):
    """Nothing was heard for its time: until it is, alerts alone can say how users are."""

    reason: Reason


class BudgetBurning(SloEvent, frozen=True):
    """A tier of an objective fires, and the incident it belongs to."""

    service: str
    incident: str
    tier: str
    burn: float
    counts: Counts
    failures: tuple[FailedAnswer, ...]
    reason: Reason


class BudgetCalm(SloEvent, frozen=True):
    """No tier of the objective fires any more."""

    incident: str


class BurnHeldBack(SloEvent, frozen=True):
    """A tier burns, and only the proof is missing that it is no bad luck."""

    service: str
    tier: str
    counts: Counts
    reason: Reason


class HoldEnded(SloEvent, frozen=True):
    """No tier is held back any more: it fires now, or it is over."""


class BurnAttached(IncidentEvent, frozen=True):
    """An objective's burn joined this incident, scored like an alert."""

    slo: str
    service: str
    counts: Counts
    reason: Reason


class BurnSampled(IncidentEvent, frozen=True):
    """How an objective burned at a moment, in the shortest window that pages.

    `slo` is empty in a journal of midwatch 0.1.0: there it is the first that burned.
    """

    counts: Counts
    burn: float
    window_s: int
    slo: str = ""


class HarmBegan(IncidentEvent, frozen=True):
    """The harm of an objective is to be looked for after `since`; it was seen at `seen_at`.

    Both are in the journal's time. It comes again when a longer window burns, too.
    """

    slo: str
    since: int
    seen_at: int


class HarmMeasured(IncidentEvent, frozen=True):
    """What an objective lost so far; the newest of an objective holds."""

    slo: str
    harm: Harm


# --- who is on call ------------------------------------------------------------------------------


class OverrideAdded(ScheduleEvent, frozen=True):
    """Somebody stands in for a while."""

    override: Override
    reason: Reason


class OverrideRemoved(ScheduleEvent, frozen=True):
    """An override holds no longer."""

    override: str
    by: str


# --- severity and pages --------------------------------------------------------------------------


class SeverityDeclared(IncidentEvent, frozen=True):
    """User impact, as far as it is known; it only rises.

    Title and service are those of what is so bad; empty when the incident is titled by it already.
    """

    severity: str
    urgency: str
    reason: Reason
    title: str = ""
    service: str = ""
    level: str = ""


class NewsJudged(IncidentEvent, frozen=True):
    """Something came for which somebody is woken: it pages, or earlier news covers it.

    `told` is the worst severity that whoever is paged knows of with it, `policy` whose news it is.
    """

    service: str
    severity: str
    pages: bool
    reason: Reason
    told: str = ""
    policy: str = ""
    namespace: str = ""
    fingerprints: tuple[str, ...] = ()
    slo: str = ""
    covered_by: str = ""
    own: bool = False  # raised by midwatch itself
    rung_at: int = 0  # when the page was asked for that covers it
    apart: bool = False  # it covers its own alerts alone
    names: tuple[str, ...] = ()  # of alerts without a service
    level: str = ""
    more: int = 0  # alerts, beside the fingerprints
    said: str = ""  # the worst severity that was said of this very service
    held: bool = False  # it flaps: nobody is told yet


class IncidentGrew(IncidentEvent, frozen=True):
    """It is worse or wider than whoever was paged for it knows: they are paged again."""

    reason: Reason


class GrowthHeld(IncidentEvent, frozen=True):
    """It grew again, soon after a page that told of growth: one page tells of all, at `until`.

    With `flaps` it came and went too often to be told at once: it is told if it fires then. Without
    `until` the page that is held for a digest tells of it.
    """

    until: int
    reason: Reason
    flaps: bool = False
    what: str = ""
    fingerprints: tuple[str, ...] = ()


class PageWaits(IncidentEvent, frozen=True):
    """It pages nobody yet, and is looked at again at `until`; `by` is the one that covers it."""

    until: int
    reason: Reason
    by: str = ""
    policy: str = ""  # that pages then, when it is another one than before


class AskingResumed(IncidentEvent, frozen=True):
    """Nobody had answered when it was over for a moment: the policy goes on where it was.

    `step` is its next one, at `until`; `exhausted` when all of it had been paged.
    """

    policy: str
    step: int
    until: int
    reason: Reason
    exhausted: bool = False


class CoversAlso(IncidentEvent, frozen=True):
    """Whoever has this incident is looked to for another one, `other`, too."""

    other: str
    reason: Reason


class OthersAsked(IncidentEvent, frozen=True):
    """It has news of a service of other people: they are paged besides, by their own policy."""

    policy: str
    step: int
    reason: Reason


class OthersAnswered(IncidentEvent, frozen=True):
    """One of those has it."""

    policy: str
    by: str


class OthersLeft(IncidentEvent, frozen=True):
    """Nobody of that policy is asked besides any more, though nobody has answered."""

    policy: str
    reason: Reason


class PagePlanned(IncidentEvent, frozen=True):
    """A page to one person is in the outbox under this key."""

    key: str
    to: str
    step: int
    reason: Reason
    via: str = ""
    policy: str = ""
    digest: str = ""  # the key of the page that tells of this incident too
    beside: bool = False  # whether its policy is asked besides the incident's own


class PageHeld(IncidentEvent, frozen=True):
    """The person was paged a moment ago: this one goes with what else comes, at `until`."""

    to: str
    via: str
    step: int
    until: int
    policy: str
    reason: Reason


class StepSkipped(IncidentEvent, frozen=True):
    """Nobody of this step can be reached, so the next one is taken at once."""

    step: int
    policy: str
    reason: Reason


class IncidentReassigned(IncidentEvent, frozen=True):
    """Somebody else is asked to take it."""

    to: str
    by: str
    reason: Reason


class EscalationRestarted(IncidentEvent, frozen=True):
    """Everybody was paged in vain; they are paged anew."""

    reason: Reason


NOT_SENT = "shadow: not sent"  # the receipt of a page that a trial run keeps to itself


class PageSent(IncidentEvent, frozen=True):
    """The pager took the page and gave a receipt."""

    key: str
    receipt: str
    attempt: int


class PageFailed(IncidentEvent, frozen=True):
    """The pager did not take the page; `retry_at` is None when this step is given up."""

    key: str
    attempt: int
    error: str
    retry_at: int | None = None


class PageAcknowledged(IncidentEvent, frozen=True):
    """A person has it."""

    by: str
    reason: Reason


class AckWithdrawn(IncidentEvent, frozen=True):
    """The acknowledged incident needs somebody again."""

    reason: Reason


class PageSnoozed(IncidentEvent, frozen=True):
    """A person has it until `until`; then, if it is not over, people are paged anew."""

    by: str
    until: int
    reason: Reason


class EscalationExhausted(IncidentEvent, frozen=True):
    """Everybody was paged, nobody answered: an alarm of its own."""

    reason: Reason


# --- plans and their steps -----------------------------------------------------------------------


class NoRunbook(IncidentEvent, frozen=True):
    """Nothing written fits; a person has to find the step."""

    reason: Reason


class PlanProposed(IncidentEvent, frozen=True):
    """A runbook matched, or a person chose it; these are its steps with every value filled in.

    `subject` is the objective or service that it is for: it takes the place of what was proposed
    for that one. Without it, as in older journals, it is the incident's only plan.
    """

    runbook: str
    version: int
    plan_hash: str
    steps: tuple[str, ...]
    reason: Reason
    plan: Plan | None = None
    by: str = ""
    given: dict[str, str] = field(default_factory=dict[str, str])
    subject: str = ""


class PlanApproved(IncidentEvent, frozen=True):
    """A person, or a policy, approved this plan and no other; it holds for a time."""

    plan_hash: str
    by: str
    service: str = ""
    reason: Reason | None = None


class PlanRefused(IncidentEvent, frozen=True):
    """A person does not want it; what fits next is looked for."""

    plan_hash: str
    by: str
    reason: Reason


class PlanStopped(IncidentEvent, frozen=True):
    """The plan goes no further: the world is another one than when it was approved.

    Also a proposal that nothing matches any more, and a plan that a person stopped, `by` whom.
    """

    plan_hash: str
    reason: Reason
    by: str = ""


class PlanStopAsked(IncidentEvent, frozen=True):
    """A person stops a plan; the step under way ends first."""

    plan_hash: str
    by: str
    reason: Reason


class ActionStarted(IncidentEvent, frozen=True):
    """The intent to do a step is on disk; it may or may not be done yet.

    Its plan has this hash; here and below it is empty where an older journal had one plan.
    """

    operation: str
    step: str
    action: str
    says: str
    plan_hash: str = ""


class ActionDone(IncidentEvent, frozen=True):
    """The step was seen to be done; `changed` when it changed something.

    `output` is what a program wrote, without secrets; who `keeps` it shows it elsewhere, too.
    """

    operation: str
    step: str
    seen: str
    changed: bool = False
    output: str = ""
    keeps: bool = False
    plan_hash: str = ""


class ActionFailed(IncidentEvent, frozen=True):
    """The step was not done, or nobody can tell; the plan `goes_on` after one that only reads.

    `output` and `keeps` are as in ActionDone.
    """

    operation: str
    step: str
    state: str
    seen: str
    goes_on: bool = False
    output: str = ""
    keeps: bool = False
    plan_hash: str = ""


class ActionRetried(IncidentEvent, frozen=True):
    """A step was provably not done, and is tried again `at`, unless its plan is stopped before."""

    operation: str
    seen: str
    at: int
    plan_hash: str = ""


class ActionWaits(IncidentEvent, frozen=True):
    """A person has to say something before the step begins: a question, or a new approval.

    What is left to do is `plan`, under a hash of its own; in a journal of midwatch 0.1 it is not
    there, and the hash is the old one. `plan_hash` is the one that it had until now.
    """

    step: str
    reason: Reason
    plan: Plan | None = None
    plan_hash: str = ""


class RollbackStarted(IncidentEvent, frozen=True):
    """The intent to serve an older release is on disk; it may or may not be applied yet."""

    service: str
    operation: str
    bad: str
    to: str
    epoch: int
    reason: Reason
    plan_hash: str = ""


class RollbackRefused(IncidentEvent, frozen=True):
    """There is no release to go back to."""

    service: str
    reason: Reason


class RollbackCompleted(IncidentEvent, frozen=True):
    """The older release was seen being served."""

    service: str
    operation: str
    bad: str
    to: str
    seen: str
    plan_hash: str = ""


class RollbackFailed(IncidentEvent, frozen=True):
    """The router did not do it, or nobody can tell; a person has to look."""

    operation: str
    state: str
    seen: str
    plan_hash: str = ""


# --- recovery and end ----------------------------------------------------------------------------


class IncidentMitigated(IncidentEvent, frozen=True):
    """Users are well again; the cause may remain.

    `no_case` says why no regression case is owed, "" when one is.
    """

    reason: Reason
    before: Counts | None = None
    after: Counts | None = None
    no_case: str = ""


class RecoveryJudged(IncidentEvent, frozen=True):
    """After a plan: whether users are seen well, each time that the answer is another one.

    Also between two steps of one that has changed nothing yet, or may only shed load.
    """

    verdict: str
    reason: Reason
    plan_hash: str = ""


class ObjectiveJudged(IncidentEvent, frozen=True):
    """Of several objectives that burned: whether users are seen well by one of them.

    Told each time that the answer is another one; only all of them say that users are well.
    """

    slo: str
    verdict: str
    reason: Reason


class RecoveryAwaited(IncidentEvent, frozen=True):
    """Nothing fires any more, and too few events come to say how users are."""

    slo: str
    reason: Reason


class WaitTold(IncidentEvent, frozen=True):
    """It has waited for longer than its recovery may take; whoever has it is told, once."""

    reason: Reason


class RecoveryMissed(IncidentEvent, frozen=True):
    """The time for recovery is over and users are not known to be well."""

    reason: Reason
    plan_hash: str = ""


class IncidentReopened(IncidentEvent, frozen=True):
    """The mitigation did not hold."""

    reason: Reason


class IncidentResolved(IncidentEvent, frozen=True):
    """Harm and cause are gone."""

    reason: Reason


class IncidentClosed(IncidentEvent, frozen=True):
    """What the incident had to teach is kept, or there was nothing."""

    reason: Reason


# --- postmortems ---------------------------------------------------------------------------------


class PostmortemDrafted(IncidentEvent, frozen=True):
    """The document so far; facts only, judgement is a person's."""

    document: dict[str, Any]


class PostmortemEdited(IncidentEvent, frozen=True):
    """What a person makes of it; it stands whole, and replaces what stood before."""

    judgement: Judgement
    by: str


# --- regression cases ----------------------------------------------------------------------------


class RegressionCaseDrafted(IncidentEvent, frozen=True):
    """An answer that was observed wrong became a case, not yet proven."""

    case: Case
    reason: Reason


class RegressionCaseAdmitted(IncidentEvent, frozen=True):
    """The case told the bad release from the last good one; the evidence of both is here."""

    case: Case
    bad: str
    good: str
    evidence: tuple[Outcome, ...]
    reason: Reason
    bad_digest: str = ""
    good_digest: str = ""
    duplicate_of: str = ""
    by: str = ""


class RegressionCaseRefused(IncidentEvent, frozen=True):
    """The case does not tell the bad release from the good one, or could not be run."""

    case: str
    evidence: tuple[Outcome, ...]
    reason: Reason


class CaseMinimised(CaseEvent, frozen=True):
    """A smaller input still tells the two releases apart; the original is kept."""

    question: str
    turns: tuple[str, ...]
    by: str


class CaseQuarantined(CaseEvent, frozen=True):
    """It flakes: it runs and is told, and counts for nothing until its time is over."""

    owner: str
    until: int
    why: str
    by: str


class CaseRetired(CaseEvent, frozen=True):
    """What it wants is no longer wanted."""

    why: str
    by: str


class WaiverGranted(IncidentEvent, frozen=True):
    """A person lets the incident close without a case, for a time."""

    why: str
    owner: str
    ends_at: int


# --- the fix -------------------------------------------------------------------------------------


class FixProposed(IncidentEvent, frozen=True):
    """A candidate stands against the live baseline."""

    service: str
    release: str
    baseline: str
    by: str


class FixRefused(IncidentEvent, frozen=True):
    """The candidate was not even tried."""

    release: str
    reason: Reason


class FixEligible(IncidentEvent, frozen=True):
    """The candidate stood up to the eval cases; a part of live traffic decides."""

    release: str
    outcomes: tuple[Outcome, ...]
    reason: Reason


class FixWithdrawn(IncidentEvent, frozen=True):
    """The candidate was under way and had to make room."""

    release: str
    reason: Reason


class CanaryJudged(IncidentEvent, frozen=True):
    """Candidate against baseline; every outcome that entered is here."""

    release: str
    baseline: str
    verdict: str
    outcomes: tuple[Outcome, ...]
    reason: Reason


class PromotionStarted(IncidentEvent, frozen=True):
    """The intent to serve the fix is on disk."""

    service: str
    operation: str
    release: str
    epoch: int


class FixPromoted(IncidentEvent, frozen=True):
    """The fix was seen being served."""

    service: str
    operation: str
    release: str
    seen: str


class PromotionFailed(IncidentEvent, frozen=True):
    """The fix is not known to be served."""

    operation: str
    state: str
    seen: str


class GateJudged(IncidentEvent, frozen=True):
    """The suite with the incident's case, run on what is live now."""

    release: str
    verdict: str
    outcomes: tuple[Outcome, ...]
    reason: Reason


# --- releases ------------------------------------------------------------------------------------


class ReleaseRegistered(ReleaseEvent, frozen=True):
    """A release is known by name and digest."""

    release: str
    digest: str
    good: bool = False
    live: bool = False


class PointerIntended(ReleaseEvent, frozen=True):
    """The pointer's next value, written before the router is told."""

    operation: str
    release: str
    epoch: int
    purpose: str
    by: str = ""
    reason: Reason | None = None
    candidate: str = ""
    weight: int = 0


class PointerMoved(ReleaseEvent, frozen=True):
    """The release was seen live; `condemned` names one that is now known bad."""

    operation: str
    release: str
    epoch: int
    condemned: str = ""
    candidate: str = ""
    weight: int = 0


class PointerAbandoned(ReleaseEvent, frozen=True):
    """The intent came to nothing; the pointer stays where it was."""

    operation: str
    epoch: int
    reason: Reason | None = None


class ReleaseCondemned(ReleaseEvent, frozen=True):
    """A release is known bad, and so is its digest under any name: it is never served again."""

    release: str
    reason: Reason


class CanaryStarted(ReleaseEvent, frozen=True):
    """A candidate gets a part of live traffic, step by step; the whole plan is here."""

    operation: str
    release: str
    digest: str
    baseline: str
    by: str
    plan: CanaryPlan
    incident: str = ""
    why: str = ""


class CanaryCounted(ReleaseEvent, frozen=True):
    """A block of time that ended `until`, on both sides; its evidence is folded from this."""

    until: int
    block: dict[str, Sides]
    missed: tuple[str, ...] = ()


class CanaryHeld(ReleaseEvent, frozen=True):
    """The weight stays where it is, and why; or, without a reason, no longer."""

    reason: Reason | None = None


class CanaryEnded(ReleaseEvent, frozen=True):
    """The verdict, or that it was taken off; what follows from it comes next."""

    release: str
    verdict: str
    reason: Reason


class ReleaseFoundUnfit(ReleaseEvent, frozen=True):
    """A check failed: the release is not healthy, or is `changed`: no longer what it was."""

    release: str
    says: str
    changed: bool = False


class ReleaseFoundFit(ReleaseEvent, frozen=True):
    """A check that had failed is good again."""

    release: str


class ReleaseProven(ReleaseEvent, frozen=True):
    """The live release stayed well, so it is where the next rollback goes."""

    release: str
    reason: Reason | None = None


Event = (
    TermBegan
    | IncidentOpened
    | AlertsAttached
    | AlertsResolved
    | AlertsMoved
    | AlertsMuted
    | AlertsChanged
    | IncidentMerged
    | MergeUndone
    | IncidentRecurred
    | TicketTriaged
    | TicketLinked
    | SilenceAdded
    | SilenceEnded
    | StormBegan
    | StormEnded
    | ChangeSeen
    | RealPageSeen
    | ClockJumped
    | ClockAnchored
    | InputDied
    | JobWatched
    | JobHeard
    | JobWentSilent
    | SliHeard
    | SliWentSilent
    | BudgetBurning
    | BudgetCalm
    | BurnHeldBack
    | HoldEnded
    | BurnAttached
    | BurnSampled
    | OverrideAdded
    | OverrideRemoved
    | SeverityDeclared
    | NewsJudged
    | IncidentGrew
    | GrowthHeld
    | PageWaits
    | CoversAlso
    | AskingResumed
    | OthersAsked
    | OthersAnswered
    | OthersLeft
    | PagePlanned
    | PageHeld
    | StepSkipped
    | IncidentReassigned
    | EscalationRestarted
    | PageSent
    | PageFailed
    | PageAcknowledged
    | AckWithdrawn
    | PageSnoozed
    | EscalationExhausted
    | NoRunbook
    | PlanProposed
    | PlanApproved
    | PlanRefused
    | PlanStopped
    | PlanStopAsked
    | ActionStarted
    | ActionDone
    | ActionFailed
    | ActionWaits
    | ActionRetried
    | RollbackStarted
    | RollbackRefused
    | RollbackCompleted
    | RollbackFailed
    | IncidentMitigated
    | RecoveryJudged
    | ObjectiveJudged
    | RecoveryMissed
    | RecoveryAwaited
    | WaitTold
    | IncidentReopened
    | IncidentResolved
    | IncidentClosed
    | HarmBegan
    | HarmMeasured
    | PostmortemDrafted
    | PostmortemEdited
    | RegressionCaseDrafted
    | RegressionCaseAdmitted
    | RegressionCaseRefused
    | CaseMinimised
    | CaseQuarantined
    | CaseRetired
    | WaiverGranted
    | FixProposed
    | FixRefused
    | FixEligible
    | FixWithdrawn
    | CanaryJudged
    | PromotionStarted
    | FixPromoted
    | PromotionFailed
    | GateJudged
    | ReleaseRegistered
    | PointerIntended
    | PointerMoved
    | PointerAbandoned
    | ReleaseCondemned
    | CanaryStarted
    | CanaryCounted
    | CanaryHeld
    | CanaryEnded
    | ReleaseFoundUnfit
    | ReleaseFoundFit
    | ReleaseProven
)
