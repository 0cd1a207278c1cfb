"""Facts about what is learned: the postmortem and the regression cases."""

from __future__ import annotations

from typing import Any

from midwatch.core.state.events.base import CaseEvent, IncidentEvent
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.judgements import Judgement
from midwatch.core.values.reasons import Reason


class PostmortemDrafted(IncidentEvent, frozen=True, kw_only=True):
    """The document so far; facts only, judgement is a person's."""

    document: dict[str, Any]


class PostmortemEdited(IncidentEvent, frozen=True, kw_only=True):
    """What a person makes of it; it stands whole, and replaces what stood before."""

    judgement: Judgement
    by: str


class RegressionCaseDrafted(IncidentEvent, frozen=True, kw_only=True):
    """An answer that was observed wrong became a case, not yet proven."""

    case: Case
    reason: Reason


class RegressionCaseAdmitted(IncidentEvent, frozen=True, kw_only=True):
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


class RegressionCaseRefused(IncidentEvent, frozen=True, kw_only=True):
    """The case does not tell the bad release from the good one, or could not be run."""

    case: str
    evidence: tuple[Outcome, ...]
    reason: Reason


class CaseMinimised(CaseEvent, frozen=True, kw_only=True):
    """A smaller input still tells the two releases apart; the original is kept."""

    question: str
    turns: tuple[str, ...]
    by: str


class CaseQuarantined(CaseEvent, frozen=True, kw_only=True):
    """It flakes: it runs and is told, and counts for nothing until its time is over."""

    owner: str
    until: int
    why: str
    by: str


class CaseRetired(CaseEvent, frozen=True, kw_only=True):
    """What it wants is no longer wanted."""

    why: str
    by: str


class WaiverGranted(IncidentEvent, frozen=True, kw_only=True):
    """A person lets the incident close without a case, for a time."""

    why: str
    owner: str
    ends_at: int
