"""Facts about the alerts of an incident: joined, resolved, moved, merged."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from midwatch.core.state.events.base import IncidentEvent
from midwatch.core.values.alerts import Alert
from midwatch.core.values.reasons import Reason


class IncidentOpened(IncidentEvent, frozen=True, kw_only=True):
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


class AlertsAttached(IncidentEvent, frozen=True, kw_only=True):
    """Alerts of one batch joined this incident; those that are alike share a reason."""

    attached: tuple[Attachment, ...]
    reasons: tuple[Reason, ...]

    def reason_of(self, item: Attachment) -> Reason:
        """Give why one of its alerts is in the incident."""
        return self.reasons[item.why]


class AlertsResolved(IncidentEvent, frozen=True, kw_only=True):
    """A source said that these alerts, by fingerprint, no longer fire."""

    fingerprints: tuple[str, ...]


class AlertsMoved(IncidentEvent, frozen=True, kw_only=True):
    """Alerts of this incident belong to another one, `to`: they are its alerts from now on."""

    to: str
    fingerprints: tuple[str, ...]
    reason: Reason
    kind: Literal["", "merge", "split", "undo"] = ""  # what a person did, else a rule


class AlertsMuted(IncidentEvent, frozen=True, kw_only=True):
    """Alerts that fire are muted by `key` from now on; by nothing any more when it is empty."""

    fingerprints: tuple[str, ...]
    key: str
    reason: Reason


class AlertsChanged(IncidentEvent, frozen=True, kw_only=True):
    """Alerts that fire already say something else: another level, text or runbook, a later start.

    They are the same firing: nothing has ended, and nothing else began. `calm` are the fingerprints
    of those that would wake nobody as they are now. `mutes` has what each of them inhibits from now
    on, and nothing where all of them inhibit what they did.
    """

    alerts: tuple[Alert, ...]
    reason: Reason
    mutes: tuple[tuple[str, ...], ...] = ()
    calm: tuple[str, ...] = ()


class IncidentMerged(IncidentEvent, frozen=True, kw_only=True):
    """It was the same as another one, `into`, which has its alerts and tickets now."""

    into: str
    by: str
    reason: Reason


class MergeUndone(IncidentEvent, frozen=True, kw_only=True):
    """It stands for itself again."""

    by: str
    reason: Reason


class IncidentRecurred(IncidentEvent, frozen=True, kw_only=True):
    """It is an earlier incident again, and what that one left behind."""

    of: str
    reason: Reason
