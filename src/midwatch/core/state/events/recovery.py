"""Facts about recovery, and the end of an incident."""

from __future__ import annotations

from midwatch.core.state.events.base import IncidentEvent
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import Counts


class IncidentMitigated(IncidentEvent, frozen=True, kw_only=True):
    """Users are well again; the cause may remain.

    `no_case` says why no regression case is owed, "" when one is.
    """

    reason: Reason
    before: Counts | None = None
    after: Counts | None = None
    no_case: str = ""


class RecoveryJudged(IncidentEvent, frozen=True, kw_only=True):
    """After a plan: whether users are seen well, each time that the answer is another one.

    Also between two steps of one that has changed nothing yet, or may only shed load.
    """

    verdict: str
    reason: Reason
    plan_hash: str = ""


class ObjectiveJudged(IncidentEvent, frozen=True, kw_only=True):
    """Of several objectives that burned: whether users are seen well by one of them.

    Told each time that the answer is another one; only all of them say that users are well.
    """

    slo: str
    verdict: str
    reason: Reason


class RecoveryAwaited(IncidentEvent, frozen=True, kw_only=True):
    """Nothing fires any more, and too few events come to say how users are."""

    slo: str
    reason: Reason


class WaitTold(IncidentEvent, frozen=True, kw_only=True):
    """It has waited for longer than its recovery may take; whoever has it is told, once."""

    reason: Reason


class RecoveryMissed(IncidentEvent, frozen=True, kw_only=True):
    """The time for recovery is over and recovery is not confirmed."""

    reason: Reason
    plan_hash: str = ""


class IncidentReopened(IncidentEvent, frozen=True, kw_only=True):
    """The mitigation did not hold."""

    reason: Reason


class IncidentResolved(IncidentEvent, frozen=True, kw_only=True):
    """Harm and cause are gone."""

    reason: Reason


class IncidentClosed(IncidentEvent, frozen=True, kw_only=True):
    """What the incident had to teach is kept, or there was nothing."""

    reason: Reason
