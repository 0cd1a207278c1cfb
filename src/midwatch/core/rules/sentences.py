"""What an event says of an incident, in words that need no knowledge of midwatch.

Law: people appear as roles. A name is replaced where a field is a person, and where a sentence of
midwatch's own puts one; never inside what somebody else wrote, since "will" is a word, too. What a
page or an alert came to, no event says alone: the timeline tells those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import structs

from midwatch.core.state import events as e
from midwatch.core.values.clock import show_time
from midwatch.core.values.reasons import Reason

# Fields that name a person, by the kind of event; a policy may stand in a few of them.
_PERSONS: dict[type, tuple[str, ...]] = {
    e.IncidentMerged: ("by",),
    e.MergeUndone: ("by",),
    e.OthersAnswered: ("by",),
    e.PagePlanned: ("to",),
    e.PageHeld: ("to",),
    e.IncidentReassigned: ("to", "by"),
    e.PageAcknowledged: ("by",),
    e.PageSnoozed: ("by",),
    e.PlanProposed: ("by",),
    e.PlanApproved: ("by",),
    e.PlanRefused: ("by",),
    e.PlanStopAsked: ("by",),
    e.PostmortemEdited: ("by",),
    e.RegressionCaseAdmitted: ("by",),
    e.FixProposed: ("by",),
    e.WaiverGranted: ("owner",),
}
# Where midwatch's own sentences put a name; {} stands for it.
_PLACES = (
    r"^{}(?=: )",
    r"^{}(?= (?:acknowledged it|gave it back|reassigned it|chose|snoozed|cannot be reached)\b)",
    r"(?<=^no ack from ){}(?= within )",
    r"(?<=^the snooze by ){}(?= ended)",
    r"(?<=^the approval by ){}(?= is )",
    r"(?<= reassigned it to ){}$",
    r"(?<=^yes, ){}$",
    r"(?<=^aborted by ){}(?=$|: )",
    r"(?<=^overridden by ){}(?=: )",
    r"(?<=^no SLI: ){}(?=: )",
    # as event logs of 0.1 have it
    r"^{}(?= (?:has it|took it|hands it)\b)",
    r"(?<= hands it to ){}$",
)
POLICY = "policy "


class Roles:
    """Who had to do with an incident, and which role stands for whom.

    >>> why = Reason("r/1", "will has it")
    >>> roles = Roles([e.PageAcknowledged(incident="INC-1", by="will", reason=why)])
    >>> roles.of("will"), roles.own("will: the disk will be full")
    ('the responder', 'the responder: the disk will be full')
    """

    def __init__(self, happened: Iterable[e.Event]) -> None:
        names: dict[str, None] = {}
        for event in happened:
            for name in _names(event):
                if name and not name.startswith(POLICY):
                    names[name] = None
        listed = list(names)
        self.roles = {name: f"responder {number}" for number, name in enumerate(listed, start=1)}
        if len(listed) == 1:
            self.roles = {listed[0]: "the responder"}
        known = "|".join(re.escape(name) for name in sorted(listed, key=len, reverse=True))
        self._own = (
            re.compile("|".join(one.format(f"(?:{known})") for one in _PLACES)) if known else None
        )

    @property
    def listed(self) -> list[str]:
        """The roles in the order in which people came in."""
        return list(dict.fromkeys(self.roles.values()))

    def of(self, name: str) -> str:
        """Give the role of a person; a policy keeps its name."""
        return self.roles.get(name, name)

    def own(self, says: str) -> str:
        """Put roles where a sentence of midwatch's own names people."""
        if self._own is None:
            return says
        return self._own.sub(lambda found: self.roles[found[0]], says)

    def in_place(self, event: e.Event) -> e.Event:
        """Give an event with roles in the place of people."""
        changed: dict[str, Any] = {
            name: self.of(getattr(event, name)) for name in _PERSONS.get(type(event), ())
        }
        reason = getattr(event, "reason", None)
        # How bad it is, is said in the words of an alert: nobody is named there by us.
        if isinstance(reason, Reason) and not isinstance(event, e.SeverityDeclared):
            changed["reason"] = structs.replace(reason, says=self.own(reason.says))
        if isinstance(event, e.ActionDone):
            changed["seen"] = self.own(event.seen)
        return structs.replace(event, **changed) if changed else event


def _names(event: e.Event) -> Iterable[str]:
    """List who is named by an event."""
    for field in _PERSONS.get(type(event), ()):
        if field != "owner":  # that may be a team
            yield getattr(event, field)
    reason = getattr(event, "reason", None)
    if isinstance(reason, Reason) and not isinstance(event, e.ChangeSeen):
        for term in ("by", "to"):
            said = reason.terms.get(term)
            if isinstance(said, str) and isinstance(event, e.IncidentEvent):
                yield said if reason.says.find(said) >= 0 else ""


def sentence(event: e.Event, roles: Roles) -> str:
    """Say an event; empty for what is no news."""
    say = _SAY.get(type(event))
    return say(roles.in_place(event)) if say else ""


def count(number: int, what: str) -> str:
    """Write a number of things.

    >>> count(1, "alert"), count(2, "alert")
    ('1 alert', '2 alerts')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def _failed(what: str, state: str) -> str:
    """Say that something was not done, or that nobody knows.

    >>> _failed("step purge", "not-applied"), _failed("the rollback", "unknown")
    ('step purge failed (not-applied)', 'nobody knows whether the rollback was done')
    """
    if state == "unknown":
        return f"nobody knows whether {what} was done"
    return f"{what} failed ({state})"


def _mitigated(event: e.IncidentMitigated) -> str:
    """Say by what it ended: users had recovered only where somebody had counted their harm."""
    slo = event.reason.terms.get("slo")
    by = f", by {slo}" if slo else ""
    what = "users had recovered" if event.before is not None else "mitigated"
    return f"{what}{by}: {event.reason.says}"


_SAY: dict[type, Callable[[Any], str]] = {
    e.IncidentOpened: lambda x: f"{x.incident} was opened: {x.title}",
    e.AlertsMoved: lambda x: f"{count(len(x.fingerprints), 'alert')} moved to {x.to}",
    e.IncidentMerged: lambda x: f"it was merged into {x.into}",
    e.MergeUndone: lambda x: "the merge was undone",
    e.TicketLinked: lambda x: "somebody reported it",
    e.BudgetBurning: lambda x: f"{x.slo}: {x.reason.says}",
    e.BudgetCalm: lambda x: f"{x.slo} no longer burns",
    e.SeverityDeclared: lambda x: f"declared {x.severity}: {x.reason.says}",
    e.PageFailed: lambda x: f"a page failed, try {x.attempt}: {x.error}",
    e.IncidentReassigned: lambda x: f"reassigned to {x.to}",
    e.PageAcknowledged: lambda x: f"{x.by} acknowledged it",
    e.AckWithdrawn: lambda x: f"people had to be paged again: {x.reason.says}",
    e.PageSnoozed: lambda x: f"{x.by} snoozed it until {show_time(x.until)}",
    e.NoRunbook: lambda x: f"no plan: {x.reason.says}",
    e.PlanProposed: lambda x: f"runbook {x.runbook} v{x.version} was proposed, plan {x.plan_hash}",
    e.PlanApproved: lambda x: f"{x.by} approved plan {x.plan_hash}",
    e.PlanRefused: lambda x: f"plan {x.plan_hash} was refused: {x.reason.says}",
    e.PlanStopped: lambda x: f"plan {x.plan_hash} was stopped: {x.reason.says}",
    e.ActionStarted: lambda x: f"step {x.step} began: {x.says}",
    e.ActionRetried: lambda x: f"not done, will be retried: {x.seen}",
    e.PlanStopAsked: lambda x: f"{x.by} stops plan {x.plan_hash}: {x.reason.says}",
    e.ActionDone: lambda x: f"step {x.step} was done: {x.seen}",
    e.ActionFailed: lambda x: f"{_failed(f'step {x.step}', x.state)}: {x.seen}",
    e.ActionWaits: lambda x: f"a person was asked: {x.reason.says}",
    e.RollbackStarted: lambda x: f"the rollback of {x.service} from {x.bad} to {x.to} began",
    e.RollbackRefused: lambda x: f"no rollback: {x.reason.says}",
    e.RollbackCompleted: lambda x: f"{x.service} serves {x.to} again: {x.seen}",
    e.WaitTold: lambda x: (
        f"the person who acknowledged it was paged about what it waits for: {x.reason.says}"
    ),
    e.RollbackFailed: lambda x: f"{_failed('the rollback', x.state)}: {x.seen}",
    e.RecoveryJudged: lambda x: f"recovery {x.verdict}: {x.reason.says}",
    e.ObjectiveJudged: lambda x: f"{x.slo} {x.verdict}: {x.reason.says}",
    e.RecoveryMissed: lambda x: f"no recovery in time: {x.reason.says}",
    e.IncidentMitigated: _mitigated,
    e.IncidentReopened: lambda x: f"the mitigation did not hold: {x.reason.says}",
    e.PostmortemDrafted: lambda x: "the postmortem was drafted",
    e.PostmortemEdited: lambda x: "somebody edited the postmortem",
    e.IncidentRecurred: lambda x: x.reason.says,
    e.RegressionCaseDrafted: lambda x: f"case {x.case.id} was drafted: {x.reason.says}",
    e.RegressionCaseAdmitted: lambda x: f"case {x.case.id} was admitted: {x.reason.says}",
    e.RegressionCaseRefused: lambda x: f"case {x.case} was refused: {x.reason.says}",
    e.WaiverGranted: lambda x: f"a waiver by {x.owner} until {show_time(x.ends_at)}: {x.why}",
    e.FixProposed: lambda x: f"fix {x.release} was proposed, beside {x.baseline}",
    e.FixRefused: lambda x: f"fix {x.release} was not tried: {x.reason.says}",
    e.FixEligible: lambda x: f"fix {x.release} went on to live traffic: {x.reason.says}",
    e.FixWithdrawn: lambda x: f"fix {x.release} was withdrawn: {x.reason.says}",
    e.CanaryJudged: lambda x: f"fix {x.release}: {x.verdict}, {x.reason.says}",
    e.FixPromoted: lambda x: f"fix {x.release} is live: {x.seen}",
    e.PromotionFailed: lambda x: f"{_failed('the promotion', x.state)}: {x.seen}",
    e.GateJudged: lambda x: f"gate {x.verdict} on {x.release}: {x.reason.says}",
    e.IncidentResolved: lambda x: f"resolved: {x.reason.says}",
    e.IncidentClosed: lambda x: f"closed: {x.reason.says}",
    e.ChangeSeen: lambda x: (
        f"{x.change.kind} of {x.change.service}"
        + (f" from {x.change.from_release}" if x.change.from_release else "")
        + (f" to {x.change.to_release}" if x.change.to_release else "")
    ),
}
