"""What may arrive at a shard: news from the world, timers, answers to effects, people's commands.

Law: an input carries all it needs; deciding on it reads nothing else. News and answers are past
tense, commands are imperative. Each arrives in an envelope with a key, and the same key twice is
one input.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from midwatch.core.values.alerts import Alert
from midwatch.core.values.canary import Sides
from midwatch.core.values.changes import Change
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.judgements import Added, Judgement
from midwatch.core.values.sli import Bucket, SliReading

MAX_SNOOZE_MIN = 30 * 24 * 60


class Timer(Struct, frozen=True):
    """A wish to be woken at `due_at`; setting the same key again replaces it."""

    key: str
    due_at: int
    purpose: Literal[
        "escalate",
        "verify",
        "settle",
        "snooze",
        "digest",
        "forgotten",
        "silent",
        "mute",
        "unmute",
        "storm",
        "prove",
        "step",
        "unanswered",
        "grow",
        "others",
        "look",
        "waits",
        "automate",
    ]
    incident: str


class AlertsArrived(Struct, frozen=True, tag=True):
    """A source delivered alerts, firing and resolved, in any order."""

    source: str
    alerts: tuple[Alert, ...]


class ChangesArrived(Struct, frozen=True, tag=True):
    """A pipeline or a person tells what was changed."""

    source: str
    changes: tuple[Change, ...]


class PagesSeen(Struct, frozen=True, tag=True):
    """A source delivered what another system really paged for."""

    source: str
    alerts: tuple[Alert, ...]


class SliMeasured(Struct, frozen=True, tag=True):
    """A metrics backend was read."""

    reading: SliReading


class TimerCameDue(Struct, frozen=True, tag=True):
    """A timer's time has come."""

    timer: Timer


class PageAnswered(Struct, frozen=True, tag=True):
    """A pager answered: a receipt, or an error and perhaps how long to wait."""

    key: str
    incident: str
    attempt: int
    receipt: str = ""
    error: str | None = None
    retry_after_s: float | None = None


class ReleaseAnswered(Struct, frozen=True, tag=True):
    """A router was told to serve a release and then observed.

    `applied`: the wanted release at the wanted epoch was seen. `not-applied`: provably another one
    is served. `unknown`: it could not be observed.
    """

    key: str
    incident: str
    attempt: int
    state: Literal["applied", "not-applied", "unknown"]
    seen: str


class ActionAnswered(Struct, frozen=True, tag=True):
    """A step of a plan was done and then observed.

    `applied`: it was seen to be done, or nothing sees it and it said yes. `not-applied`: nothing of
    it left us, or it was answered with an error and is not seen. `unknown`: nobody can tell, and it
    is done again only when it is `repeatable`. `output` is what a program wrote, without secrets.
    """

    key: str
    incident: str
    attempt: int
    state: Literal["applied", "not-applied", "unknown"]
    seen: str
    repeatable: bool = False
    output: str = ""


class EvalsAnswered(Struct, frozen=True, tag=True):
    """Cases were run; `error` says why they could not be run at all."""

    key: str
    incident: str
    attempt: int
    outcomes: tuple[Outcome, ...] = ()
    error: str = ""


class RegisterRelease(Struct, frozen=True, tag=True):
    """Make a release known; `good` when recorded as good, `live` when it is what is served."""

    service: str
    release: str
    digest: str
    good: bool = False
    live: bool = False


class MoveRelease(Struct, frozen=True, tag=True):
    """A person moves a service's traffic: back to the last good release, or on to another.

    `epoch` is the one that they saw; `operation` is theirs, and the same again is done once.
    """

    service: str
    purpose: Literal["rollback", "promote"]
    operation: str
    by: str
    release: str = ""
    epoch: int | None = None
    why: str = ""


class ReleaseSeen(Struct, frozen=True, tag=True):
    """A router was looked at: this is what it really serves."""

    service: str
    release: str
    epoch: int
    candidate: str = ""
    weight: int = 0
    asked_at: int = -1  # the pointer's epoch then; -1 when nobody knows


class ReleaseChecked(Struct, frozen=True, tag=True):
    """A release was looked at, by whoever serves it: whether it is healthy, and its digest.

    `trouble` is empty when it is healthy; `digest` when nobody can tell.
    """

    service: str
    release: str
    trouble: str = ""
    digest: str = ""


class StartCanary(Struct, frozen=True, tag=True):
    """A person gives a candidate a small part of live traffic; `epoch` is the one they saw."""

    service: str
    release: str
    operation: str
    by: str
    epoch: int | None = None
    why: str = ""


class AbortCanary(Struct, frozen=True, tag=True):
    """A person takes a candidate off live traffic."""

    service: str
    by: str
    why: str = ""


class CanaryRead(Struct, frozen=True, tag=True):
    """A block of time that ended `at`: what each guard counted, and which could not be read."""

    service: str
    operation: str
    at: int
    block: dict[str, Sides]
    missed: tuple[str, ...] = ()


class FileTicket(Struct, frozen=True, tag=True):
    """A person reports something in their own words."""

    ticket: str
    text: str
    by: str = ""
    service: str = ""  # when whoever files it knows
    category: str = ""  # when whoever files it, such as a classifier, knows
    affected: int = 1  # people
    source: str = ""  # the sender, when it was one
    signed: bool = False  # whether a person who is signed in files it


class TicketsArrived(Struct, frozen=True, tag=True):
    """Another system delivered reports."""

    source: str
    tickets: tuple[FileTicket, ...]


class Acknowledge(Struct, frozen=True, tag=True):
    """A person takes an incident."""

    incident: str
    by: str


class Snooze(Struct, frozen=True, tag=True):
    """A person snoozes an incident until a time; if it is not over then, people are paged again."""

    incident: str
    by: str
    until: int


class ResolveIncident(Struct, frozen=True, tag=True):
    """A person says that it is over, and why."""

    incident: str
    by: str
    why: str


class ProposePlan(Struct, frozen=True, tag=True):
    """A person chooses a runbook for an incident, gives its values, and says for which service."""

    incident: str
    runbook: str
    given: dict[str, str]
    by: str
    service: str = ""


class ApprovePlan(Struct, frozen=True, tag=True):
    """A person with a role approves exactly the plan with this hash, or what it waits for."""

    incident: str
    plan_hash: str
    by: str
    role: str = "responder"


class RefusePlan(Struct, frozen=True, tag=True):
    """A person does not want this plan, or says no to what it asks."""

    incident: str
    plan_hash: str
    by: str
    why: str


class StopPlan(Struct, frozen=True, tag=True):
    """A person ends a plan that is under way; an empty hash means whichever it is."""

    incident: str
    by: str
    why: str
    plan_hash: str = ""


class ProposeFix(Struct, frozen=True, tag=True):
    """A person offers a release that should end an incident for good."""

    incident: str
    release: str
    by: str


class OfferCase(Struct, frozen=True, tag=True):
    """A person offers a case of an incident with what came of it on both sides.

    `outcomes` name the sides by `bad` and `good`; with `replaces` it is a smaller input of a case
    that is kept.
    """

    incident: str
    case: Case
    bad: str
    good: str
    outcomes: tuple[Outcome, ...]
    by: str
    bad_digest: str = ""
    good_digest: str = ""
    replaces: bool = False


class QuarantineCase(Struct, frozen=True, tag=True):
    """A person takes a flaky case out of the count until a time."""

    case: str
    owner: str
    until: int
    why: str
    by: str


class RetireCase(Struct, frozen=True, tag=True):
    """A person says that what a case wants is no longer wanted."""

    case: str
    why: str
    by: str


class GrantWaiver(Struct, frozen=True, tag=True):
    """A person lets an incident close without a regression case, until `ends_at`."""

    incident: str
    why: str
    owner: str
    ends_at: int


class CloseIncident(Struct, frozen=True, tag=True):
    """A person wants a resolved incident closed."""

    incident: str
    by: str


class DraftPostmortem(Struct, frozen=True, tag=True):
    """A person wants the facts of an incident written down now."""

    incident: str
    by: str


class EditPostmortem(Struct, frozen=True, tag=True):
    """A person says what they make of an incident; it replaces what stood there."""

    incident: str
    judgement: Judgement
    by: str
    version: int | None = None


class AddToPostmortem(Struct, frozen=True, tag=True):
    """A person adds to what people make of it."""

    incident: str
    added: Added
    by: str


class SliCounted(Struct, frozen=True, tag=True):
    """Somebody pushed counts: what came on top, in buckets."""

    source: str
    buckets: tuple[Bucket, ...]


class ClockSeen(Struct, frozen=True, tag=True):
    """The machine's clocks were compared: the wall clock went `by_ms` further than time passed.

    `skew_ms` is the journal's time less the wall clock from now on; at the journal's time `at` the
    clock of this run of the machine, `boot`, said `ticks_ms`.
    """

    by_ms: int
    skew_ms: int
    boot: str = ""
    ticks_ms: int = 0


class HeartbeatSeen(Struct, frozen=True, tag=True):
    """A watched job said that it lives."""

    job: str


class Started(Struct, frozen=True, tag=True):
    """midwatch starts; `due_at` are the deadlines of watched jobs that it knows, by name."""

    due_at: dict[str, int]


class BeginTerm(Struct, frozen=True, tag=True):
    """A process begins to decide; `salt` is random, in lower-case hex.

    `boot` names the run of the machine; `ticks_ms` and `wall` are what its clocks say.
    """

    salt: str
    boot: str = ""
    ticks_ms: int = 0
    wall: int = 0


class Unacknowledge(Struct, frozen=True, tag=True):
    """A person takes an acknowledgement back; people are paged again."""

    incident: str
    by: str


class Reassign(Struct, frozen=True, tag=True):
    """A person hands an incident to another one, who is paged."""

    incident: str
    to: str
    by: str


class MergeIncident(Struct, frozen=True, tag=True):
    """A person says that two incidents are one: `into` goes on."""

    incident: str
    into: str
    by: str


class SplitIncident(Struct, frozen=True, tag=True):
    """A person says that the alerts of some services, or these alerts, are another incident."""

    incident: str
    services: tuple[str, ...]
    fingerprints: tuple[str, ...]
    by: str


class UndoMove(Struct, frozen=True, tag=True):
    """A person takes back the last merge or split of an incident."""

    incident: str
    by: str


class AddSilence(Struct, frozen=True, tag=True):
    """A person wants no pages for what matches, for [starts_at, ends_at)."""

    matchers: tuple[str, ...]
    starts_at: int
    ends_at: int
    by: str
    why: str


class EndSilence(Struct, frozen=True, tag=True):
    """A person ends a silence before its time."""

    silence: str
    by: str


class AddOverride(Struct, frozen=True, tag=True):
    """A person overrides a schedule for [starts_at, ends_at)."""

    schedule: str
    person: str
    starts_at: int
    ends_at: int
    by: str


class RemoveOverride(Struct, frozen=True, tag=True):
    """An override is taken back."""

    schedule: str
    override: str
    by: str


class SwapShifts(Struct, frozen=True, tag=True):
    """Two people take each other's shift: those who are on call at two moments."""

    schedule: str
    one_at: int
    other_at: int
    by: str


Input = (
    AlertsArrived
    | ChangesArrived
    | PagesSeen
    | SliMeasured
    | SliCounted
    | TimerCameDue
    | PageAnswered
    | ReleaseAnswered
    | EvalsAnswered
    | ActionAnswered
    | RegisterRelease
    | MoveRelease
    | ReleaseSeen
    | ReleaseChecked
    | StartCanary
    | AbortCanary
    | CanaryRead
    | FileTicket
    | TicketsArrived
    | Acknowledge
    | Snooze
    | ResolveIncident
    | ProposePlan
    | ApprovePlan
    | RefusePlan
    | StopPlan
    | ProposeFix
    | OfferCase
    | QuarantineCase
    | RetireCase
    | GrantWaiver
    | CloseIncident
    | DraftPostmortem
    | EditPostmortem
    | AddToPostmortem
    | ClockSeen
    | HeartbeatSeen
    | Started
    | BeginTerm
    | Unacknowledge
    | Reassign
    | AddOverride
    | MergeIncident
    | SplitIncident
    | UndoMove
    | AddSilence
    | EndSilence
    | RemoveOverride
    | SwapShifts
)


class Rejected(Struct, frozen=True):
    """A part of a delivery that could not be read, as it came, with its place and why."""

    place: str
    why: str
    body: bytes


class Envelope(Struct, frozen=True):
    """An input with the key that makes it the same input when it comes again.

    An empty key is for readings that may be taken twice without harm; they are not remembered. Nor
    is the key of alerts from which nothing follows, unless their sender chose it: `once`.
    What was `rejected` on the way in is kept as dead letters in the same transaction. `actor` names
    the token or the chat user that sent it; it is stored beside the key with every event that
    follows.
    """

    key: str
    input: Input
    rejected: tuple[Rejected, ...] = ()
    once: bool = False
    actor: str = ""
