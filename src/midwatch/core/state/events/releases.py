"""Facts about what a service runs: the pointer, the canary, good and bad releases."""

from __future__ import annotations

from midwatch.core.state.events.base import ReleaseEvent
from midwatch.core.values.canary import CanaryPlan, Sides
from midwatch.core.values.reasons import Reason


class ReleaseRegistered(ReleaseEvent, frozen=True, kw_only=True):
    """A release is known by name and digest."""

    release: str
    digest: str
    good: bool = False
    live: bool = False


class PointerIntended(ReleaseEvent, frozen=True, kw_only=True):
    """The pointer's next value, written before the router is told."""

    operation: str
    release: str
    epoch: int
    purpose: str
    by: str = ""
    reason: Reason | None = None
    candidate: str = ""
    weight: int = 0


class PointerMoved(ReleaseEvent, frozen=True, kw_only=True):
    """The release was seen live; `condemned` names one that is now known bad."""

    operation: str
    release: str
    epoch: int
    condemned: str = ""
    candidate: str = ""
    weight: int = 0


class PointerAbandoned(ReleaseEvent, frozen=True, kw_only=True):
    """The intent came to nothing; the pointer stays where it was."""

    operation: str
    epoch: int
    reason: Reason | None = None


class ReleaseCondemned(ReleaseEvent, frozen=True, kw_only=True):
    """A release is known bad, and so is its digest under any name: it is never served again."""

    release: str
    reason: Reason


class CanaryStarted(ReleaseEvent, frozen=True, kw_only=True):
    """A candidate gets a part of live traffic, step by step; the whole plan is here."""

    operation: str
    release: str
    digest: str
    baseline: str
    by: str
    plan: CanaryPlan
    incident: str = ""
    why: str = ""


class CanaryCounted(ReleaseEvent, frozen=True, kw_only=True):
    """A block of time that ended `until`, on both sides; its evidence is folded from this."""

    until: int
    block: dict[str, Sides]
    missed: tuple[str, ...] = ()


class CanaryHeld(ReleaseEvent, frozen=True, kw_only=True):
    """The weight stays where it is, and why; or, without a reason, no longer."""

    reason: Reason | None = None


class CanaryEnded(ReleaseEvent, frozen=True, kw_only=True):
    """The verdict, or that it was taken off; what follows from it comes next."""

    release: str
    verdict: str
    reason: Reason


class ReleaseFoundUnfit(ReleaseEvent, frozen=True, kw_only=True):
    """A check failed: the release is not healthy, or is `changed`: no longer what it was."""

    release: str
    says: str
    changed: bool = False


class ReleaseFoundFit(ReleaseEvent, frozen=True, kw_only=True):
    """A check that had failed is good again."""

    release: str


class ReleaseProven(ReleaseEvent, frozen=True, kw_only=True):
    """The live release stayed well, so it is where the next rollback goes."""

    release: str
    reason: Reason | None = None
