"""Facts about plans: proposed, approved, each step, each rollback."""

from __future__ import annotations

from msgspec import field

from midwatch.core.state.events.base import IncidentEvent
from midwatch.core.values.plans import Plan
from midwatch.core.values.reasons import Reason


class NoRunbook(IncidentEvent, frozen=True, kw_only=True):
    """Nothing written fits; a person has to find the step."""

    reason: Reason


class PlanProposed(IncidentEvent, frozen=True, kw_only=True):
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


class PlanApproved(IncidentEvent, frozen=True, kw_only=True):
    """A person, or a policy, approved this plan and no other; it holds for a time."""

    plan_hash: str
    by: str
    service: str = ""
    reason: Reason | None = None


class PlanRefused(IncidentEvent, frozen=True, kw_only=True):
    """A person does not want it; what fits next is looked for."""

    plan_hash: str
    by: str
    reason: Reason


class PlanStopped(IncidentEvent, frozen=True, kw_only=True):
    """The plan goes no further: the world is another one than when it was approved.

    Also a proposal that nothing matches any more, and a plan that a person stopped, `by` whom.
    """

    plan_hash: str
    reason: Reason
    by: str = ""


class PlanStopAsked(IncidentEvent, frozen=True, kw_only=True):
    """A person stops a plan; the step under way ends first."""

    plan_hash: str
    by: str
    reason: Reason


class ActionStarted(IncidentEvent, frozen=True, kw_only=True):
    """The intent to do a step is on disk; it may or may not be done yet.

    Its plan has this hash; here and below it is empty where an older journal had one plan.
    """

    operation: str
    step: str
    action: str
    says: str
    plan_hash: str = ""


class ActionDone(IncidentEvent, frozen=True, kw_only=True):
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


class ActionFailed(IncidentEvent, frozen=True, kw_only=True):
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


class ActionRetried(IncidentEvent, frozen=True, kw_only=True):
    """A step was provably not done, and is tried again `at`, unless its plan is stopped before."""

    operation: str
    seen: str
    at: int
    plan_hash: str = ""


class ActionWaits(IncidentEvent, frozen=True, kw_only=True):
    """A person has to say something before the step begins: a question, or a new approval.

    What is left to do is `plan`, under a hash of its own; in a journal of midwatch 0.1 it is not
    there, and the hash is the old one. `plan_hash` is the one that it had until now.
    """

    step: str
    reason: Reason
    plan: Plan | None = None
    plan_hash: str = ""


class RollbackStarted(IncidentEvent, frozen=True, kw_only=True):
    """The intent to serve an older release is on disk; it may or may not be applied yet."""

    service: str
    operation: str
    bad: str
    to: str
    epoch: int
    reason: Reason
    plan_hash: str = ""


class RollbackRefused(IncidentEvent, frozen=True, kw_only=True):
    """There is no release to go back to."""

    service: str
    reason: Reason


class RollbackCompleted(IncidentEvent, frozen=True, kw_only=True):
    """The older release was seen being served."""

    service: str
    operation: str
    bad: str
    to: str
    seen: str
    plan_hash: str = ""


class RollbackFailed(IncidentEvent, frozen=True, kw_only=True):
    """The router did not do it, or nobody can tell; a person has to look."""

    operation: str
    state: str
    seen: str
    plan_hash: str = ""
