"""What the engine asks of the world, as Protocols of one to three methods, and their values.

Law: an adapter raises HarnessError when the world did not do its part, and never swallows it. It
keeps no decision: what an answer means is decided in the core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

from midwatch.core.state.effects import Effect, RunAction, SendPage, UpdatePage
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import Rejected, Timer
from midwatch.core.state.leaving import Archived
from midwatch.core.values.alerts import Alert
from midwatch.core.values.sli import Bucket, Counts, FailedAnswer, Trace
from midwatch.core.values.slo import Slo
from midwatch.core.values.traffic import Traffic

# --- the journal --------------------------------------------------------------------------------


class Row(Struct, frozen=True):
    """An event as it is stored; `cause` is the key of the input that it follows from."""

    seq: int
    stream: str
    version: int
    at: int
    cause: str
    type: str
    body: bytes


class DeadLetter(Struct, frozen=True):
    """An input that could not be decided on, as it came, and why; `id` once it is kept."""

    key: str
    at: int
    body: bytes
    reason: str
    source: str = ""
    id: int = 0


class Planned(Struct, frozen=True):
    """An effect on its way into the outbox; `seq` is the event that it follows from.

    `lane` names what it waits for together with others.
    """

    key: str
    kind: str
    body: bytes
    due_at: int
    seq: int
    lane: str


class Settled(Struct, frozen=True):
    """How an effect ended: done, failed or unknown."""

    key: str
    state: str
    detail: str


class Entry(Struct):
    """Everything of one transaction. It happens whole or not at all."""

    at: int
    # One is made for each group of inputs: msgspec copies a bare [] or {} faster than it calls one.
    inputs: list[str] = []
    rows: list[Row] = []
    planned: list[Planned] = []
    settled: list[Settled] = []
    retries: dict[str, int] = {}
    cancelled: list[str] = []
    timers: dict[str, Timer | None] = {}
    dead: list[DeadLetter] = []
    dropped: dict[str, int] = {}  # letters that are not kept, by source
    buckets: list[Bucket] = []
    archived: list[Archived] = []
    snapshot: bytes | None = None

    def add(self, other: Entry) -> None:
        """Take what another one has, as what comes after."""
        self.inputs += other.inputs
        self.rows += other.rows
        self.planned += other.planned
        self.settled += other.settled
        self.retries |= other.retries
        self.cancelled += other.cancelled
        self.timers |= other.timers
        self.dead += other.dead
        for source, count in other.dropped.items():
            self.dropped[source] = self.dropped.get(source, 0) + count
        self.buckets += other.buckets
        self.archived += other.archived

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (
            self.inputs
            or self.rows
            or self.planned
            or self.settled
            or self.retries
            or self.cancelled
            or self.timers
            or self.dead
            or self.buckets
            or self.snapshot
        )


class Snapshot(Struct, frozen=True):
    """A shard's bytes after event `seq`, and the chain's head there."""

    seq: int
    state_version: int
    body: bytes
    head: bytes


class Cut(Struct, frozen=True):
    """Where a journal is cut: `snapshot` holds the state after the last of `events` that may go.

    They come after event `after`, whose link is `head`. Events of the streams that are `staying`
    are kept.
    """

    snapshot: Snapshot
    events: int
    after: int
    head: bytes
    staying: list[str]


class Claim(Struct, frozen=True):
    """An effect that one performer has taken; `attempt` counts from 1."""

    effect: Effect
    attempt: int


class Journal(Protocol):
    """The truth: events in, events out."""

    def load(self) -> tuple[Snapshot | None, list[Row]]:
        """Give the newest snapshot of this version and the events after it."""
        ...

    def seen(self, key: str) -> bool:
        """Say whether an input with this key was committed."""
        ...

    def commit(self, entry: Entry) -> None:
        """Write one transaction. Raises CommitFailed, Unstorable or Fenced; then nothing happened.

        Unstorable: the file takes all but this.
        """
        ...

    def commit_each(
        self, parts: Iterable[Entry], instead: Callable[[str, int], Entry | None]
    ) -> None:
        """Write one transaction of several parts; what cannot be stored is replaced alone.

        Each part is asked for when the one before is written. `instead` gives what takes the place
        of one that cannot be stored: why, and how often it was asked for already. Raises as
        `commit` does.
        """
        ...

    def probe(self) -> None:
        """Write what is there already, to see whether a commit would succeed; raises as it does."""
        ...

    def recall(self, incident: str) -> Archived | None:
        """Give an incident that has left the shard."""
        ...


class Archive(Protocol):
    """Incidents that have left the shard: a row each, for whoever asks about the past."""

    def recall(self, incident: str) -> Archived | None:
        """Give one by its name."""
        ...

    def closed(self, limit: int, before: str = "") -> list[Incident]:
        """Give the newest of them, or the newest that were opened before another one."""
        ...

    def opened(self, start: int, end: int) -> Iterator[Incident]:
        """Give those that were opened in [start, end), in milliseconds, oldest first."""
        ...

    def lasting(self) -> Iterator[Incident]:
        """Give those that still matter: without a proven case, waived, or with work to do."""
        ...


class Outbox(Protocol):
    """Effects between their planning and their end."""

    def claim(self, now: int, limit: int, room: Callable[[str], int] | None = None) -> list[Claim]:
        """Take planned effects that are due, in order; each is taken by one performer alone.

        `room` says how many more of a lane may be begun; without it there is no end.
        """
        ...

    def in_doubt(self) -> list[Claim]:
        """List effects that were claimed and never settled: a crash came between."""
        ...

    def next_effect_at(self, after: int = -1) -> int | None:
        """Say when the next planned effect is due, of those that are due later than `after`."""
        ...


class Timers(Protocol):
    """Wishes to be woken."""

    def due(self, now: int) -> list[Timer]:
        """List the timers whose time has come, earliest first."""
        ...

    def timer(self, key: str) -> Timer | None:
        """Look a timer up."""
        ...

    def next_timer_at(self) -> int | None:
        """Say when the next timer is due."""
        ...


# Events that came up to a moment (milliseconds): (at, good, all).
Sum = tuple[int, int, int]


class Counted(Protocol):
    """Pushed counts as they are kept: sums that get coarser with age, and stay exact."""

    def counted(self, slo: str, since: int, unit: str | None) -> list[Sum]:
        """Give what was pushed about an objective since then, oldest first.

        With a unit, what was rolled up of it; with none, what was not rolled up yet.
        """
        ...

    def releases(self, slo: str, since: int) -> list[str]:
        """List the releases that had counts of their own since then, the newest last."""
        ...

    def failed(self, slo: str) -> list[tuple[int, FailedAnswer]]:
        """Give the newest bad answers that were pushed, each with its moment, oldest first."""
        ...


class Audit(Archive, Protocol):
    """The stored bytes, for whoever verifies them."""

    def kept(self) -> int:
        """Count the incidents that have left the shard; -1 where there is no archive yet."""
        ...

    def head(self) -> tuple[int, bytes]:
        """Give the newest event's number and link, as they are kept beside the events."""
        ...

    def rows(self, stream: str = "") -> Iterator[tuple[Row, bytes]]:
        """Give every event kept, of one stream when it is named, with its stored link, in order."""
        ...

    def following(self, after: int, limit: int) -> list[tuple[Row, bytes]]:
        """Give at most `limit` events that follow event `after`, with their stored links."""
        ...

    def stretch(self, stream: str, after: int, limit: int) -> list[Row]:
        """Give at most `limit` events of a stream, in order, after its `after`-th."""
        ...

    def since(self, at: int) -> Iterator[Row]:
        """Give every event from the first one on that is not before a moment (milliseconds)."""
        ...

    def beside(self) -> AbstractContextManager[Audit]:
        """Read what is committed, from any thread, without holding anybody up."""
        ...

    def planned(self) -> list[tuple[str, int]]:
        """Give the key of every effect, and the event that it followed, in the order of plans."""
        ...

    def letters(self, limit: int = -1, after: int = 0) -> list[DeadLetter]:
        """Give inputs that could not be taken, oldest first: `limit` after the one `after`."""
        ...

    def why_dead(self, key: str) -> str:
        """Say why the input with this key could not be taken; "" when nobody knows of that."""
        ...

    def dropped(self) -> dict[str, int]:
        """Count the letters that were dropped by their bounds, by source; from any thread."""
        ...

    def snapshots(self) -> list[Snapshot]:
        """Give every snapshot kept, oldest first."""
        ...

    def base(self) -> Snapshot | None:
        """Give the snapshot that replaces pruned events; None if nothing was pruned."""
        ...

    def problems(self) -> list[str]:
        """List what is wrong with the storage itself."""
        ...


class Token(Struct, frozen=True):
    """Who may call: a sender for one `source`, or a person with a `role`. Never the secret."""

    id: str
    source: str
    role: str
    name: str
    created_at: int
    revoked_at: int = 0
    expires_at: int = 0  # 0 for never


class Tokens(Protocol):
    """Who may call."""

    def find(self, text: str) -> Token | None:
        """Give the live token with this text."""
        ...

    def get(self, token_id: str) -> Token | None:
        """Give the live token with this id, for somebody who showed its text before."""
        ...


class Session(Struct, frozen=True):
    """One login of a token: `id` names it for people, and opens nothing."""

    id: str
    token: str
    began_at: int
    used_at: int


Did = Literal[
    "login",
    "login refused",
    "logout",
    "call refused",
    "token made",
    "token revoked",
    "logins ended",
]


class Attempt(Struct, frozen=True):
    """A line of the trail: who came, or was refused, and from where; never a secret.

    `times` is how often the same was refused within the minute before `at`.
    """

    at: int
    what: Did
    token: str = ""
    name: str = ""
    address: str = ""
    says: str = ""
    times: int = 1
    number: int = 0


class Sessions(Protocol):
    """Who is logged in."""

    def create(self, token: str, seq: int, now: int) -> str:
        """Log a token in; gives the text that the browser keeps. Raises CommitFailed."""
        ...

    def find(self, text: str, now: int, seq: Callable[[], int]) -> Session | None:
        """Give the login of this text, unless it is unknown, ended or too old.

        `seq` gives the journal's newest event, to note now and then that the login saw it.
        """
        ...

    def end_of(self, token: str) -> int:
        """End the logins of a token; gives how many there were. Raises CommitFailed."""
        ...

    def end(self, text: str) -> None:
        """End one login. Raises CommitFailed."""
        ...


class Trail(Protocol):
    """What is kept of who came and who was refused."""

    def note(self, one: Attempt) -> None:
        """Add a line; what cannot be written is lost, and raises nothing."""
        ...

    def use(self, token: str, now: int) -> None:
        """Note that a token was used."""
        ...


class Access(Sessions, Trail, Protocol):
    """Logins and their trail."""


# --- the world ----------------------------------------------------------------------------------


class Rate(Struct, frozen=True):
    """So many in so many seconds."""

    count: int
    per_s: int


class Parsed(Struct, frozen=True):
    """A delivery: its good alerts, and what could not be read, each with its place and why.

    `repeatable` when the same bytes again are the same news, as a sender's retry is.
    """

    alerts: tuple[Alert, ...]
    rejected: tuple[Rejected, ...] = ()
    repeatable: bool = True


class Source(Protocol):
    """One alert format."""

    def parse(self, body: bytes, now: int) -> Parsed:
        """Read a delivery; `now` stands in for times that the format leaves out.

        Raises BadJson when it is no JSON, BadFile when its envelope is not of this format. One bad
        alert is rejected alone.
        """
        ...


class Pager(Protocol):
    """One channel to a human."""

    def send(self, page: SendPage) -> str:
        """Deliver a page under its key and give a receipt. Raises HarnessError."""
        ...


@runtime_checkable
class Follower(Protocol):
    """A pager that wants to hear what became of what it paged for."""

    def follow(self, update: UpdatePage) -> str:
        """Say that an incident was acknowledged or resolved. Raises HarnessError."""
        ...


class Health(Struct, frozen=True):
    """What was seen of a release: `trouble` is empty when it is fit to serve.

    `digest` is what it says to be made of, empty when it says nothing.
    """

    trouble: str = ""
    digest: str = ""


class Router(Protocol):
    """One way of moving traffic."""

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        """Serve a release, and a candidate beside it when there is one.

        An older epoch than the served one does nothing. Raises HarnessError.
        """
        ...

    def observe(self, service: str) -> Traffic:
        """Look at what is really served. Raises HarnessError when that cannot be seen."""
        ...

    def check(self, service: str, release: str) -> Health:
        """Look at a release that may get no traffic yet, and keep it warm by that.

        Who cannot look says that nothing is wrong. Raises HarnessError when asking fails.
        """
        ...


class StepSaid(Struct, frozen=True):
    """What an action said when it was done; `output` is what a program wrote, as it wrote it."""

    says: str
    output: str = ""


class Observed(Struct, frozen=True):
    """What was seen of an action: whether it is done, in words too, and what a program wrote."""

    done: bool
    says: str
    output: str = ""


class Actor(Protocol):
    """Whoever does the steps of runbooks that midwatch does not do by itself."""

    def apply(self, action: RunAction) -> StepSaid:
        """Do it; gives what was said. Raises HarnessError.

        NeverSent when nothing can have come of it, Declined when it was answered with an error.
        """
        ...

    def observe(self, action: RunAction) -> Observed:
        """Say whether it is done, within its time. Raises HarnessError when nobody can tell."""
        ...


class Metrics(Protocol):
    """Counts out of a metrics backend. It may take its time: no decision waits for it."""

    def counts(self, slo: Slo, windows_s: Sequence[int], now: int) -> dict[int, Counts]:
        """Count the windows that end now; one that the backend cannot answer is left out.

        Raises HarnessError when it answered nothing.
        """
        ...

    def trace(self, slo: Slo, since: int, now: int) -> Trace:
        """Give what was counted from the edge at or before `since` up to `now`, edge by edge.

        The edges lie as close as the backend knows; none when it cannot say. Raises HarnessError.
        """
        ...

    def failures(self, slo: Slo, window_s: int, now: int) -> tuple[FailedAnswer, ...]:
        """Give a few of the window's bad answers, newest last; none where counts are all there is.

        Raises HarnessError.
        """
        ...


class Target(Protocol):
    """What a case is run against."""

    def answer(self, service: str, release: str, question: str) -> str:
        """Ask one release one question. Raises HarnessError when it did not answer."""
        ...
