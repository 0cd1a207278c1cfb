"""What every fact is, and the streams that facts are appended to.

Law: an event belongs to one stream, named after its subject. Constructors take names only, so that
no value takes another one's place.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from midwatch.core.values.changes import Change
from midwatch.core.values.silences import Silence


class Fact(Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """What happened: its tag in the event log is the name of its class."""

    STREAM: ClassVar[str] = ""  # with the fields of the event in it, as `str.format` puts them in

    @property
    def stream(self) -> str:
        """Where the event is appended.

        >>> IncidentEvent(incident="INC-1").stream
        'incident/INC-1'
        """
        return self.STREAM.format(self)


class IncidentEvent(Fact, frozen=True, kw_only=True):
    """A fact about one incident."""

    STREAM: ClassVar[str] = "incident/{0.incident}"

    incident: str


class ReleaseEvent(Fact, frozen=True, kw_only=True):
    """A fact about what a service runs."""

    STREAM: ClassVar[str] = "release/{0.service}"

    service: str


class CaseEvent(Fact, frozen=True, kw_only=True):
    """A fact about one regression case that is kept."""

    STREAM: ClassVar[str] = "case/{0.case}"

    case: str


class SloEvent(Fact, frozen=True, kw_only=True):
    """A fact about one objective."""

    STREAM: ClassVar[str] = "slo/{0.slo}"

    slo: str


class ScheduleEvent(Fact, frozen=True, kw_only=True):
    """A fact about one schedule."""

    STREAM: ClassVar[str] = "schedule/{0.schedule}"

    schedule: str


class JobEvent(Fact, frozen=True, kw_only=True):
    """A fact about a job that must say that it lives."""

    STREAM: ClassVar[str] = "job/{0.job}"

    job: str


class TicketEvent(Fact, frozen=True, kw_only=True):
    """A fact about one ticket."""

    STREAM: ClassVar[str] = "ticket/{0.ticket}"

    ticket: str


class ChangeEvent(Fact, frozen=True, kw_only=True):
    """A fact about what somebody changed."""

    STREAM: ClassVar[str] = "change/{0.change.service}"

    change: Change


class SilenceEvent(Fact, frozen=True, kw_only=True):
    """A fact about a silence."""

    STREAM: ClassVar[str] = "silence/{0.silence.id}"

    silence: Silence


class StormEvent(Fact, frozen=True, kw_only=True):
    """A fact about the rate of all alerts."""

    STREAM: ClassVar[str] = "storm"


class ClockEvent(Fact, frozen=True, kw_only=True):
    """A fact about the machine's clocks."""

    STREAM: ClassVar[str] = "clock"


class SourceEvent(Fact, frozen=True, kw_only=True):
    """A fact about something other than an alert that a source reported."""

    STREAM: ClassVar[str] = "source/{0.source}"

    source: str


class TermEvent(Fact, frozen=True, kw_only=True):
    """A fact about the process that owns the journal."""

    STREAM: ClassVar[str] = "term"
