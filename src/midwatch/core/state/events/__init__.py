"""Facts, past tense: the only thing that ever changes a shard.

Law: an event is never altered and never decided again. Together, in order, the events are the
audit trail, the timeline and the state. Each belongs to one stream, named by what it is about.
A family has a file of its own; the union at the end of this one is all that can ever happen.
"""

from __future__ import annotations

from midwatch.core.state.events.alerts import (
    AlertsAttached,
    AlertsChanged,
    AlertsMoved,
    AlertsMuted,
    AlertsResolved,
    Attachment,
    IncidentMerged,
    IncidentOpened,
    IncidentRecurred,
    MergeUndone,
)
from midwatch.core.state.events.base import (
    CaseEvent,
    ChangeEvent,
    ClockEvent,
    IncidentEvent,
    JobEvent,
    ReleaseEvent,
    ScheduleEvent,
    SilenceEvent,
    SloEvent,
    SourceEvent,
    StormEvent,
    TermEvent,
    TicketEvent,
)
from midwatch.core.state.events.fixes import (
    CanaryJudged,
    FixEligible,
    FixPromoted,
    FixProposed,
    FixRefused,
    FixWithdrawn,
    GateJudged,
    PromotionFailed,
    PromotionStarted,
)
from midwatch.core.state.events.lessons import (
    CaseMinimised,
    CaseQuarantined,
    CaseRetired,
    PostmortemDrafted,
    PostmortemEdited,
    RegressionCaseAdmitted,
    RegressionCaseDrafted,
    RegressionCaseRefused,
    WaiverGranted,
)
from midwatch.core.state.events.objectives import (
    BudgetBurning,
    BudgetCalm,
    BurnAttached,
    BurnHeldBack,
    BurnSampled,
    HarmBegan,
    HarmMeasured,
    HoldEnded,
    JobHeard,
    JobWatched,
    JobWentSilent,
    SliHeard,
    SliWentSilent,
)
from midwatch.core.state.events.pages import (
    NOT_SENT,
    AckWithdrawn,
    AskingResumed,
    CoversAlso,
    EscalationExhausted,
    EscalationRestarted,
    GrowthHeld,
    IncidentGrew,
    IncidentReassigned,
    NewsJudged,
    OthersAnswered,
    OthersAsked,
    OthersLeft,
    PageAcknowledged,
    PageFailed,
    PageHeld,
    PagePlanned,
    PageSent,
    PageSnoozed,
    PageWaits,
    SeverityDeclared,
    StepSkipped,
)
from midwatch.core.state.events.plans import (
    ActionDone,
    ActionFailed,
    ActionRetried,
    ActionStarted,
    ActionWaits,
    NoRunbook,
    PlanApproved,
    PlanProposed,
    PlanRefused,
    PlanStopAsked,
    PlanStopped,
    RollbackCompleted,
    RollbackFailed,
    RollbackRefused,
    RollbackStarted,
)
from midwatch.core.state.events.recovery import (
    IncidentClosed,
    IncidentMitigated,
    IncidentReopened,
    IncidentResolved,
    ObjectiveJudged,
    RecoveryAwaited,
    RecoveryJudged,
    RecoveryMissed,
    WaitTold,
)
from midwatch.core.state.events.releases import (
    CanaryCounted,
    CanaryEnded,
    CanaryHeld,
    CanaryStarted,
    PointerAbandoned,
    PointerIntended,
    PointerMoved,
    ReleaseCondemned,
    ReleaseFoundFit,
    ReleaseFoundUnfit,
    ReleaseProven,
    ReleaseRegistered,
)
from midwatch.core.state.events.surroundings import (
    ChangeSeen,
    ClockAnchored,
    ClockJumped,
    InputDied,
    OverrideAdded,
    OverrideRemoved,
    RealPageSeen,
    SilenceAdded,
    SilenceEnded,
    StormBegan,
    StormEnded,
    TermBegan,
)
from midwatch.core.state.events.tickets import TicketLinked, TicketTriaged

# Raised in the first release that writes an event, or a field of one, that the release before it
# does not know: 1 is midwatch 0.1.0. An older midwatch refuses a journal with newer events.
EVENT_VERSION = 2

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

__all__ = [
    "EVENT_VERSION",
    "NOT_SENT",
    "AckWithdrawn",
    "ActionDone",
    "ActionFailed",
    "ActionRetried",
    "ActionStarted",
    "ActionWaits",
    "AlertsAttached",
    "AlertsChanged",
    "AlertsMoved",
    "AlertsMuted",
    "AlertsResolved",
    "AskingResumed",
    "Attachment",
    "BudgetBurning",
    "BudgetCalm",
    "BurnAttached",
    "BurnHeldBack",
    "BurnSampled",
    "CanaryCounted",
    "CanaryEnded",
    "CanaryHeld",
    "CanaryJudged",
    "CanaryStarted",
    "CaseEvent",
    "CaseMinimised",
    "CaseQuarantined",
    "CaseRetired",
    "ChangeEvent",
    "ChangeSeen",
    "ClockAnchored",
    "ClockEvent",
    "ClockJumped",
    "CoversAlso",
    "EscalationExhausted",
    "EscalationRestarted",
    "Event",
    "FixEligible",
    "FixPromoted",
    "FixProposed",
    "FixRefused",
    "FixWithdrawn",
    "GateJudged",
    "GrowthHeld",
    "HarmBegan",
    "HarmMeasured",
    "HoldEnded",
    "IncidentClosed",
    "IncidentEvent",
    "IncidentGrew",
    "IncidentMerged",
    "IncidentMitigated",
    "IncidentOpened",
    "IncidentReassigned",
    "IncidentRecurred",
    "IncidentReopened",
    "IncidentResolved",
    "InputDied",
    "JobEvent",
    "JobHeard",
    "JobWatched",
    "JobWentSilent",
    "MergeUndone",
    "NewsJudged",
    "NoRunbook",
    "ObjectiveJudged",
    "OthersAnswered",
    "OthersAsked",
    "OthersLeft",
    "OverrideAdded",
    "OverrideRemoved",
    "PageAcknowledged",
    "PageFailed",
    "PageHeld",
    "PagePlanned",
    "PageSent",
    "PageSnoozed",
    "PageWaits",
    "PlanApproved",
    "PlanProposed",
    "PlanRefused",
    "PlanStopAsked",
    "PlanStopped",
    "PointerAbandoned",
    "PointerIntended",
    "PointerMoved",
    "PostmortemDrafted",
    "PostmortemEdited",
    "PromotionFailed",
    "PromotionStarted",
    "RealPageSeen",
    "RecoveryAwaited",
    "RecoveryJudged",
    "RecoveryMissed",
    "RegressionCaseAdmitted",
    "RegressionCaseDrafted",
    "RegressionCaseRefused",
    "ReleaseCondemned",
    "ReleaseEvent",
    "ReleaseFoundFit",
    "ReleaseFoundUnfit",
    "ReleaseProven",
    "ReleaseRegistered",
    "RollbackCompleted",
    "RollbackFailed",
    "RollbackRefused",
    "RollbackStarted",
    "ScheduleEvent",
    "SeverityDeclared",
    "SilenceAdded",
    "SilenceEnded",
    "SilenceEvent",
    "SliHeard",
    "SliWentSilent",
    "SloEvent",
    "SourceEvent",
    "StepSkipped",
    "StormBegan",
    "StormEnded",
    "StormEvent",
    "TermBegan",
    "TermEvent",
    "TicketEvent",
    "TicketLinked",
    "TicketTriaged",
    "WaitTold",
    "WaiverGranted",
]
