"""Facts about SLOs and heartbeats: heard, silent, burning, calm."""

from __future__ import annotations

from midwatch.core.state.events.base import IncidentEvent, JobEvent, SloEvent
from midwatch.core.values.reasons import Reason
from midwatch.core.values.sli import Counts, FailedAnswer, Harm


class JobWatched(JobEvent, frozen=True, kw_only=True):
    """It is waited for, and was never heard yet."""


class JobHeard(JobEvent, frozen=True, kw_only=True):
    """It said that it lives, for the first time or after silence."""


class JobWentSilent(JobEvent, frozen=True, kw_only=True):
    """It was not heard for its time."""


class SliHeard(SloEvent, frozen=True, kw_only=True):
    """Events are counted: from now on the objective says how users are."""


class SliWentSilent(SloEvent, frozen=True, kw_only=True):
    """Nothing was heard for its time: until it is, alerts alone can say how users are."""

    reason: Reason


class BudgetBurning(SloEvent, frozen=True, kw_only=True):
    """A tier of an objective fires, and the incident it belongs to."""

    service: str
    incident: str
    tier: str
    burn: float
    counts: Counts
    failures: tuple[FailedAnswer, ...]
    reason: Reason


class BudgetCalm(SloEvent, frozen=True, kw_only=True):
    """No tier of the objective fires any more."""

    incident: str


class BurnHeldBack(SloEvent, frozen=True, kw_only=True):
    """A tier burns, and only the proof is missing that it is no bad luck."""

    service: str
    tier: str
    counts: Counts
    reason: Reason


class HoldEnded(SloEvent, frozen=True, kw_only=True):
    """No tier is held back any more: it fires now, or it is over."""


class BurnAttached(IncidentEvent, frozen=True, kw_only=True):
    """An objective's burn joined this incident, scored like an alert."""

    slo: str
    service: str
    counts: Counts
    reason: Reason


class BurnSampled(IncidentEvent, frozen=True, kw_only=True):
    """How an objective burned at a moment, in the shortest window that pages.

    `slo` is empty in a journal of midwatch 0.1.0: there it is the first that burned.
    """

    counts: Counts
    burn: float
    window_s: int
    slo: str = ""


class HarmBegan(IncidentEvent, frozen=True, kw_only=True):
    """The harm of an objective is to be looked for after `since`; it was seen at `seen_at`.

    Both are in the journal's time. It comes again when a longer window burns, too.
    """

    slo: str
    since: int
    seen_at: int


class HarmMeasured(IncidentEvent, frozen=True, kw_only=True):
    """What an objective lost so far; the newest of an objective holds."""

    slo: str
    harm: Harm
