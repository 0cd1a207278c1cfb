"""Facts about what surrounds incidents: clock, terms, silences, storms, changes, on-call."""

from __future__ import annotations

from midwatch.core.state.events.base import (
    ChangeEvent,
    ClockEvent,
    ScheduleEvent,
    SilenceEvent,
    SourceEvent,
    StormEvent,
    TermEvent,
)
from midwatch.core.values.reasons import Reason
from midwatch.core.values.schedules import Override


class TermBegan(TermEvent, frozen=True, kw_only=True):
    """A process began to decide. `salt` is random and is in every key that it draws.

    `boot` names the run of the machine; `ticks_ms` and `wall` are what its clocks said.
    """

    salt: str
    boot: str = ""
    ticks_ms: int = 0
    wall: int = 0


class SilenceAdded(SilenceEvent, frozen=True, kw_only=True):
    """Somebody wants quiet."""


class SilenceEnded(SilenceEvent, frozen=True, kw_only=True):
    """It is over; `by` whoever ended it before its time."""

    by: str


class StormBegan(StormEvent, frozen=True, kw_only=True):
    """The rate of new alerts left its own past far behind."""

    reason: Reason


class StormEnded(StormEvent, frozen=True, kw_only=True):
    """It came back."""

    reason: Reason


class ChangeSeen(ChangeEvent, frozen=True, kw_only=True):
    """A pipeline or a person told that something was changed."""


class RealPageSeen(SourceEvent, frozen=True, kw_only=True):
    """Another system paged somebody: one delivery of it, whatever number of alerts it names."""

    at: int
    services: tuple[str, ...]
    key: str
    title: str


class InputDied(SourceEvent, frozen=True, kw_only=True):
    """What a source sent, or midwatch asked for, could not be decided on or not be committed.

    It stands once for each kind, until what it raised is over; for a `timer` each time, which is
    set again after so many `tries`.
    """

    kind: str
    service: str
    reason: Reason
    timer: str = ""
    tries: int = 0


class ClockJumped(ClockEvent, frozen=True, kw_only=True):
    """The wall clock went `by_ms` further than time passed; below 0 it went back.

    From now on the journal's time is `skew_ms` ahead of it. `right` when this undoes the jump
    before. At this time of the journal the clock of the run `boot` of the machine said `ticks_ms`.
    """

    by_ms: int
    skew_ms: int
    reason: Reason
    right: bool = False
    incident: str = ""  # which tells of it
    boot: str = ""
    ticks_ms: int = 0


class ClockAnchored(ClockEvent, frozen=True, kw_only=True):
    """The journal's time has followed many small steps: what the other clock says was noted."""

    boot: str
    ticks_ms: int


class OverrideAdded(ScheduleEvent, frozen=True, kw_only=True):
    """Somebody takes another person's turn for a while."""

    override: Override
    reason: Reason


class OverrideRemoved(ScheduleEvent, frozen=True, kw_only=True):
    """An override holds no longer."""

    override: str
    by: str
