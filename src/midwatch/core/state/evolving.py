"""What each fact changes in an incident, and which facts a state allows.

Law: a fact that does not fit the present state is a bug of whoever emitted it, and changes nothing.
The same facts make the same incident, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace

from midwatch.core.state import asking, members, planned
from midwatch.core.state import events as e
from midwatch.core.state.incidents import BY_PERSON, Incident, State, is_open, lacks
from midwatch.core.values.sli import Outage
from midwatch.errors import BugError

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
    e.IncidentClosed: lacks,
}
# Events that are only possible in some states, beside those that the table above moves.
_ONLY_WHILE_OPEN = (e.AlertsAttached, e.BurnAttached, e.TicketLinked)
_MOVING = {event for _, event in TRANSITIONS}
# A late ack is kept, and changes nothing: the harm may be over before anybody answers.
_HARMLESS_ELSEWHERE = (e.PageAcknowledged, e.AckWithdrawn, e.IncidentReassigned)


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
    dated = asking.APPLY_DATED.get(kind)
    if dated is not None:
        dated(incident, event, at, wall)


def _merged(i: Incident, event: e.IncidentMerged, at: int) -> None:
    i.merged_into = event.into
    asking.leave(i, at)
    i.others_left.update(i.besides)
    i.besides = {}


def _unmerged(i: Incident, event: e.MergeUndone, at: int) -> None:
    i.thread += bool(i.acknowledged_by)
    i.merged_into, i.acknowledged_by = "", ""
    i.mitigated_at = 0
    members.begin_round(i)


def _awaited(i: Incident, event: e.RecoveryAwaited, at: int) -> None:
    i.unproven, i.unproven_since, i.unproven_told = event.reason.says, at, False


def _wait_told(i: Incident, event: e.WaitTold, at: int) -> None:
    i.unproven_told = True


def _missed(i: Incident, event: e.RecoveryMissed, at: int) -> None:
    planned.its_run(i, event.plan_hash).state = "ended"


def _mitigated(i: Incident, event: e.IncidentMitigated, at: int) -> None:
    i.mitigated_at, i.recovery, i.asked_at = at, event.reason.says, 0
    asking.leave(i, at)
    i.others_left.update(i.besides)
    i.growth, i.asking, i.answered, i.besides = [], {}, {}, {}
    i.no_case = event.no_case
    planned.is_judged(i)
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
    members.begin_round(i)
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
_OWN = cast(
    "dict[type, Callable[[Incident, Any, int], None]]",
    {
        e.IncidentMerged: _merged,
        e.MergeUndone: _unmerged,
        e.RecoveryMissed: _missed,
        e.RecoveryAwaited: _awaited,
        e.WaitTold: _wait_told,
        e.ObjectiveJudged: _objective_judged,
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
_APPLY = {**members.APPLY, **asking.APPLY, **planned.APPLY, **_OWN}
