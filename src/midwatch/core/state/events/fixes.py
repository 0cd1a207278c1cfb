"""Facts about the fix of an incident, its canary and its gate."""

from __future__ import annotations

from midwatch.core.state.events.base import IncidentEvent
from midwatch.core.values.evals import Outcome
from midwatch.core.values.reasons import Reason


class FixProposed(IncidentEvent, frozen=True, kw_only=True):
    """A candidate stands against the live baseline."""

    service: str
    release: str
    baseline: str
    by: str


class FixRefused(IncidentEvent, frozen=True, kw_only=True):
    """The candidate was not even tried."""

    release: str
    reason: Reason


class FixEligible(IncidentEvent, frozen=True, kw_only=True):
    """The candidate stood up to the eval cases; a part of live traffic decides."""

    release: str
    outcomes: tuple[Outcome, ...]
    reason: Reason


class FixWithdrawn(IncidentEvent, frozen=True, kw_only=True):
    """The candidate was under way and had to make room."""

    release: str
    reason: Reason


class CanaryJudged(IncidentEvent, frozen=True, kw_only=True):
    """Candidate against baseline; every outcome that entered is here."""

    release: str
    baseline: str
    verdict: str
    outcomes: tuple[Outcome, ...]
    reason: Reason


class PromotionStarted(IncidentEvent, frozen=True, kw_only=True):
    """The intent to serve the fix is on disk."""

    service: str
    operation: str
    release: str
    epoch: int


class FixPromoted(IncidentEvent, frozen=True, kw_only=True):
    """The fix was seen being served."""

    service: str
    operation: str
    release: str
    seen: str


class PromotionFailed(IncidentEvent, frozen=True, kw_only=True):
    """The fix is not known to be served."""

    operation: str
    state: str
    seen: str


class GateJudged(IncidentEvent, frozen=True, kw_only=True):
    """The suite with the incident's case, run on what is live now."""

    release: str
    verdict: str
    outcomes: tuple[Outcome, ...]
    reason: Reason
