"""One transaction: load, decide, commit. The only place where a shard changes.

Law: a decision is never split. Whoever gets an answer from `handle` may forget the input: it is on
disk, was there before, or is kept as a dead letter. When the commit fails, what the group changed
in memory is undone exactly, or else thrown away and folded from the journal, and the caller sends
again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

import msgspec
from msgspec import Struct

from midwatch.core.deaths import Death, bury, is_ours, plain, sender, worst_of
from midwatch.core.decide import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs, shard, upgrades
from midwatch.core.state.decision import Decision
from midwatch.core.state.events import Event
from midwatch.core.state.inputs import Envelope, Timer
from midwatch.core.state.leaving import Archived
from midwatch.core.state.shard import Shard
from midwatch.core.state.undo import Undo
from midwatch.core.values.keys import id_of
from midwatch.core.values.sli import Bucket
from midwatch.engine.letters import body_of, letter, rejects
from midwatch.errors import CommitFailed, Diverged, InputError, StateError, Unstorable, told
from midwatch.ports import Entry, Journal, Planned, Row, Settled, Snapshot

# A snapshot is due after so many events, and after so many times its own size of them: writing
# down a large shard again and again would cost more than the fold that it saves.
SNAPSHOT_EVERY = 1_000
SNAPSHOT_GROWTH = 8
MAX_BURIALS = 3  # with its next step, with a page alone, and without
MAX_TAIL = 8_000_000  # bytes: what a start folds at most, however large the shard is

_encode = msgspec.json.Encoder().encode
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class Handled(Struct, frozen=True):
    """What became of an input; `why` says it for a rejected one."""

    key: str
    status: Literal["committed", "duplicate", "rejected"]
    why: str = ""


def fold(journal: Journal) -> Shard:
    """Make a shard out of what a journal holds."""
    return _fold(*journal.load())


def _fold(snapshot: Snapshot | None, tail: Sequence[Row]) -> Shard:
    state = upgrades.load(snapshot.body, snapshot.state_version) if snapshot else Shard()
    for row in tail:
        shard.evolve(state, _event_decoder.decode(row.body), row.at)
    return state


class Handler:
    """Owns one shard in memory."""

    def __init__(
        self,
        journal: Journal,
        rules: Rules,
        clock: Callable[[], int],
        counted: Callable[[Sequence[Bucket]], None] | None = None,
    ) -> None:
        self._journal = journal
        self._rules = rules
        self._clock = clock
        self._counted = counted  # hears of the counts of each commit
        self.shard = Shard()
        self.appended: list[Row] = []  # by the newest commit
        self.wrote = False  # whether there was anything to commit
        self._seq = 0
        self._snapshot_seq = 0
        self._snapshot_bytes = 0
        self._tail_bytes = 0  # of the events after the snapshot
        self.reload()

    def reload(self) -> None:
        """Throw memory away and fold the journal."""
        snapshot, tail = self._journal.load()
        self.shard = _fold(snapshot, tail)
        self._snapshot_seq = snapshot.seq if snapshot else 0
        self._seq = tail[-1].seq if tail else self._snapshot_seq
        self._snapshot_bytes = len(snapshot.body) if snapshot else 0
        self._tail_bytes = sum(len(row.body) for row in tail)

    def handle(self, envelopes: Sequence[Envelope]) -> list[Handled]:
        """Decide on a group of inputs and commit them as one; answers come in their order.

        What cannot be decided on or be stored is a dead letter, and its neighbours commit. Raises
        CommitFailed or Fenced; then nothing of the group happened.
        """
        dead: dict[int, Death] = {}  # by place in the group
        while True:
            try:
                return self._together(envelopes, dead)
            except Unstorable:  # one of them; each is written by itself to see which
                with suppress(_Again):
                    return self._apart(envelopes, dead)
            except _Again:
                pass

    def _together(self, envelopes: Sequence[Envelope], dead: dict[int, Death]) -> list[Handled]:
        group = _Group(max(self._clock(), self.shard.at), self._seq)
        entry = Entry(group.at)
        for index, envelope in enumerate(envelopes):
            entry.add(self._part(group, index, envelope, dead))
        self.appended = []
        self.wrote = not entry.is_empty
        if not entry.is_empty:
            self._commit(entry, group)
        return group.answers

    def _apart(self, envelopes: Sequence[Envelope], dead: dict[int, Death]) -> list[Handled]:
        """Do as `_together` does, with each input in a part of its own of the transaction."""
        group = _Group(max(self._clock(), self.shard.at), self._seq)
        parts: list[Entry] = []
        marks: list[_Mark] = []

        def in_turn() -> Iterator[Entry]:
            for index, envelope in enumerate(envelopes):
                marks.append(group.mark())
                parts.append(self._part(group, index, envelope, dead))
                yield parts[-1]

        def instead(why: str, tries: int) -> Entry | None:
            index = len(parts) - 1
            dead[index] = Death(why, "that cannot be stored")
            undone = group.undos[marks[-1].undos :]
            group.back_to(marks[-1])
            if not self._take_back(reversed(undone)):
                self.reload()
                raise _Again
            if tries >= MAX_BURIALS:
                raise CommitFailed(f"even the dead letter cannot be written: {why}")
            parts[-1] = self._part(group, index, envelopes[index], dead, tries)
            return parts[-1]

        try:
            self._journal.commit_each(in_turn(), instead)
        except BaseException as error:
            self._failed(error, group)
            raise
        whole = Entry(group.at)
        for part in parts:
            whole.add(part)
        self.wrote = not whole.is_empty
        self._committed(whole, group)
        return group.answers

    def _take_back(self, undos: Iterable[Undo]) -> bool:
        """Undo decisions, the newest first. False when one cannot be undone exactly."""
        for undo in undos:
            if not undo.is_exact:
                return False
            undo.back()
        return True

    def probe(self) -> None:
        """Find out whether a commit would succeed. Raises CommitFailed when not."""
        self._journal.probe()

    def snapshot(self) -> None:
        """Write the shard down, so that the next start folds only what comes after."""
        if self._seq > self._snapshot_seq:
            entry = Entry(self.shard.at, snapshot=shard.dump(self.shard))
            self._commit(entry, _Group(entry.at, self._seq))

    def _part(
        self,
        group: _Group,
        index: int,
        envelope: Envelope,
        dead: dict[int, Death],
        tries: int = 0,
    ) -> Entry:
        """Decide on one input; gives all that is to be written of it."""
        entry, key = Entry(group.at), plain(envelope.key)
        if key and (key in group.keys or self._journal.seen(key)):
            _end_timer(entry, group, envelope.input)
            group.answers.append(Handled(envelope.key, "duplicate"))
            return entry
        if key:
            group.keys.add(key)
        if index not in dead:
            try:
                self._decide(group, entry, envelope, key)
            except Exception as error:  # whatever it raises, its neighbours must commit
                dead[index] = _death_of(error, envelope.input)
                entry = Entry(group.at)
        if index in dead:
            self._bury(group, entry, envelope, key, dead[index], tries)
        group.timers.update(entry.timers)
        group.answers.append(
            Handled(envelope.key, "rejected", dead[index].says)
            if index in dead
            else Handled(envelope.key, "committed")
        )
        return entry

    def _decide(self, group: _Group, entry: Entry, envelope: Envelope, key: str) -> None:
        with self._undoing(group) as undo:
            recalled = self._recall(envelope.input, group)
            decision = decide(self.shard, envelope.input, group.at, self._rules, undo, recalled)
            if not decision.is_empty:
                _collect(entry, decision, _cause(envelope), group.seq)
        if key and not _is_refresh(envelope, decision):
            entry.inputs.append(key)
        _settle(entry, group, envelope.input, decision.retries)
        rejects(entry, key, envelope)
        group.seq += len(entry.rows)
        group.archived.update((one.incident.id, one) for one in entry.archived)

    def _bury(
        self,
        group: _Group,
        entry: Entry,
        envelope: Envelope,
        key: str,
        death: Death,
        tries: int,
    ) -> None:
        """Keep what died, and leave whoever waits for it a next step: as much as can be decided."""
        entry.inputs.extend([key] if key else [])
        source = sender(envelope.input)
        entry.dead.append(letter(key, group.at, body_of(envelope.input), death.says, source))
        answer, retries = worst_of(envelope.input, death), {}
        for only_page in () if death.refused else (False, True)[tries:]:
            more = Entry(group.at)
            with suppress(Exception):  # then less of it
                with self._undoing(group) as undo:
                    decision, instead = bury(
                        self.shard,
                        envelope.input,
                        death,
                        group.at,
                        self._rules,
                        undo,
                        only_page=only_page,
                    )
                    _collect(more, decision, _cause(envelope), group.seq)
                answer, retries = instead or answer, decision.retries
                entry.add(more)
                group.seq += len(more.rows)
                break
        _settle(entry, group, answer, retries)

    def _recall(self, given: inputs.Input, group: _Group) -> dict[str, Archived]:
        """Fetch the incidents that an input is about, of those that have left the shard."""
        found: dict[str, Archived] = {}
        for called in (getattr(given, "incident", ""), getattr(given, "into", "")):
            name = id_of(called)
            if name and shard.has_left(self.shard, name):
                record = group.archived.get(name) or self._journal.recall(name)
                if record is not None:
                    found[name] = record
        return found

    @contextmanager
    def _undoing(self, group: _Group) -> Generator[Undo]:
        """Take back what a decision changed when it ends with an error. Raises that, or _Again."""
        undo = Undo(self.shard)
        try:
            yield undo
        except Exception:
            if not self._take_back([undo]):
                self.reload()
                raise _Again from None
            raise
        group.undos.append(undo)

    def _commit(self, entry: Entry, group: _Group) -> None:
        last, size = group.seq, sum(len(row.body) for row in entry.rows)
        many = last - self._snapshot_seq >= SNAPSHOT_EVERY
        if many and self._tail_bytes + size >= min(
            SNAPSHOT_GROWTH * self._snapshot_bytes, MAX_TAIL
        ):
            entry.snapshot = shard.dump(self.shard)
        try:
            self._journal.commit(entry)
        except BaseException as error:
            self._failed(error, group)
            raise
        self._committed(entry, group)

    def _failed(self, error: BaseException, group: _Group) -> None:
        """Make memory what it was. Where nobody can say what is on disk, it is read again."""
        known = isinstance(error, CommitFailed | Unstorable) and not isinstance(error, Diverged)
        if isinstance(error, _Again):
            return
        if not known or not self._take_back(reversed(group.undos)):
            self.reload()

    def _committed(self, entry: Entry, group: _Group) -> None:
        self._seq = group.seq
        self.appended = entry.rows
        self._tail_bytes += sum(len(row.body) for row in entry.rows)
        if entry.buckets and self._counted is not None:
            self._counted(entry.buckets)
        if entry.snapshot is not None:
            self._snapshot_seq, self._snapshot_bytes = group.seq, len(entry.snapshot)
            self._tail_bytes = 0


class _Again(BaseException):
    """A decision could not be undone exactly; memory was folded again, so begin again.

    Not an Exception: it is no fault of the input that was decided on.
    """


class _Mark(Struct, frozen=True):
    seq: int
    undos: int
    answers: int
    keys: frozenset[str]
    timers: dict[str, Timer | None]
    archived: dict[str, Archived]


class _Group:
    """What is known of a group of inputs while it is decided on, one after the other."""

    def __init__(self, at: int, seq: int) -> None:
        self.at = at
        self.seq = seq  # of the newest event, those of the group among them
        self.keys: set[str] = set()
        self.timers: dict[str, Timer | None] = {}
        self.undos: list[Undo] = []
        self.answers: list[Handled] = []
        self.archived: dict[str, Archived] = {}  # incidents that left, or have left and changed

    def mark(self) -> _Mark:
        """Remember how far the group is."""
        return _Mark(
            self.seq,
            len(self.undos),
            len(self.answers),
            frozenset(self.keys),
            dict(self.timers),
            dict(self.archived),
        )

    def back_to(self, mark: _Mark) -> None:
        """Forget what came after."""
        self.seq, self.keys, self.timers = mark.seq, set(mark.keys), dict(mark.timers)
        self.archived = dict(mark.archived)
        del self.undos[mark.undos :], self.answers[mark.answers :]


def _death_of(error: Exception, given: inputs.Input) -> Death:
    theirs = isinstance(error, StateError) or type(error) is InputError  # and of no kind of it
    refused = theirs and not is_ours(given)
    return Death(told(error), type(error).__name__, refused)


def _is_refresh(envelope: Envelope, decision: Decision) -> bool:
    """Say whether a delivery only repeats what is known: it may come again, and leaves nothing."""
    alerts = isinstance(envelope.input, inputs.AlertsArrived)
    return alerts and decision.is_empty and not envelope.rejected and not envelope.once


def _cause(envelope: Envelope) -> str:
    """Name what events follow from: the input's key, and who sent it."""
    return plain(" ".join(one for one in (envelope.key, envelope.actor) if one))


def _collect(entry: Entry, decision: Decision, cause: str, committed: int) -> None:
    """Turn a decision into rows."""
    for event, version in zip(decision.events, decision.versions, strict=True):
        seq = committed + len(entry.rows) + 1
        stream, kind = event.stream, type(event).__name__
        entry.rows.append(Row(seq, stream, version, decision.now, cause, kind, _encode(event)))
    last = committed + len(entry.rows)
    for effect in decision.effects:
        kind, body = type(effect).__name__, _encode(effect)
        entry.planned.append(Planned(effect.key, kind, body, decision.now, last, effect.lane))
    entry.cancelled.extend(decision.cancelled_effects)
    entry.buckets.extend(decision.buckets)
    entry.archived.extend(decision.left.values())
    entry.retries.update(decision.retries)
    entry.timers.update(decision.timers)


def _end_timer(entry: Entry, group: _Group, given: inputs.Input) -> None:
    """Let a timer go that was answered, however it was: it would be due again and again."""
    if isinstance(given, inputs.TimerCameDue) and given.timer.key not in group.timers:
        entry.timers.setdefault(given.timer.key, None)


def _settle(entry: Entry, group: _Group, given: inputs.Input, retries: Mapping[str, int]) -> None:
    """End the effect or the timer that this input answers, unless it is wished for again."""
    match given:
        case inputs.TimerCameDue():
            _end_timer(entry, group, given)
        case inputs.PageAnswered() if given.key not in retries:
            state = "done" if given.error is None else "failed"
            entry.settled.append(Settled(given.key, state, given.error or given.receipt))
        case inputs.ReleaseAnswered() | inputs.ActionAnswered() if given.key not in retries:
            state = {"applied": "done", "not-applied": "failed"}.get(given.state, "unknown")
            entry.settled.append(Settled(given.key, state, given.seen))
        case inputs.EvalsAnswered() if given.key not in retries:
            state = "failed" if given.error else "done"
            entry.settled.append(Settled(given.key, state, given.error))
        case _:
            pass
