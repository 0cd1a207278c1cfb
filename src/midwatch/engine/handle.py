"""One transaction: load, decide, commit. The only place where a shard changes.

Law: a decision is never split. Whoever gets an answer from `handle` may forget the input: it is on
disk, was there before, or is kept as a dead letter. When the commit fails, what the group changed
in memory is undone exactly, or else thrown away and folded from the journal, and the caller sends
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from midwatch.core import inputs, shard
from midwatch.core.decide import decide
from midwatch.core.decision import Decision
from midwatch.core.events import Event
from midwatch.core.inputs import Envelope
from midwatch.core.rules import Rules
from midwatch.core.shard import Shard
from midwatch.core.sli import Bucket
from midwatch.core.undo import Undo
from midwatch.errors import CommitFailed, told
from midwatch.ports import DeadLetter, Entry, Journal, Planned, Row, Settled, Snapshot

# A snapshot is due after so many events, and after so many times its own size of them: writing
# down a large shard again and again would cost more than the fold that it saves.
SNAPSHOT_EVERY = 1_000
SNAPSHOT_GROWTH = 8

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
    state = shard.load(snapshot.body) if snapshot else Shard()
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

        Raises CommitFailed or Fenced; then nothing of the group happened.
        """
        poison: dict[int, str] = {}
        while True:
            entry = Entry(max(self._clock(), self.shard.at))
            undos: list[Undo] = []
            answers = self._decide_all(envelopes, entry, poison, undos)
            if answers is not None:
                break
            self.reload()  # and start over without what raised
        self._commit(entry, undos)
        return answers

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
            self._commit(Entry(self.shard.at, snapshot=shard.dump(self.shard)), [])

    def _decide_all(
        self,
        envelopes: Sequence[Envelope],
        entry: Entry,
        poison: dict[int, str],
        undos: list[Undo],
    ) -> list[Handled] | None:
        answers: list[Handled] = []
        in_group: set[str] = set()
        for index, envelope in enumerate(envelopes):
            key = envelope.key
            if key and (key in in_group or self._journal.seen(key)):
                _end_timer(entry, envelope.input)
                answers.append(Handled(key, "duplicate"))
                continue
            if key:
                in_group.add(key)
            decision = None
            if index not in poison:
                undo = Undo(self.shard)
                try:
                    decision = decide(self.shard, envelope.input, entry.at, self._rules, undo)
                except Exception as error:  # whatever it raises, its neighbours must commit
                    poison[index] = told(error)
                    if not self._take_back([undo]):
                        return None
                else:
                    undos.append(undo)
            if decision is None:
                body = _encode(envelope.input)
                entry.inputs.extend([key] if key else [])
                entry.dead.append(DeadLetter(key, entry.at, body, poison[index]))
                _end_timer(entry, envelope.input)
                answers.append(Handled(key, "rejected", poison[index]))
                continue
            if not decision.is_empty:
                _collect(entry, decision, _cause(envelope), self._seq)
            if key and not _is_refresh(envelope, decision):
                entry.inputs.append(key)
            _settle(entry, envelope.input, decision)
            for part in envelope.rejected:
                why = f"{part.place}: {part.why}"
                entry.dead.append(DeadLetter(key, entry.at, part.body, why))
            answers.append(Handled(key, "committed"))
        return answers

    def _commit(self, entry: Entry, undos: Sequence[Undo]) -> None:
        self.appended = []
        self.wrote = not entry.is_empty
        if entry.is_empty:
            return
        last = entry.rows[-1].seq if entry.rows else self._seq
        for row in entry.rows:
            self._tail_bytes += len(row.body)
        many = last - self._snapshot_seq >= SNAPSHOT_EVERY
        if many and self._tail_bytes >= SNAPSHOT_GROWTH * self._snapshot_bytes:
            entry.snapshot = shard.dump(self.shard)
        try:
            self._journal.commit(entry)
        except CommitFailed:
            self._tail_bytes -= sum(len(row.body) for row in entry.rows)
            if not self._take_back(reversed(undos)):
                self.reload()
            raise
        except BaseException:  # nobody can say what is on disk
            self.reload()
            raise
        self._seq = last
        self.appended = entry.rows
        if entry.buckets and self._counted is not None:
            self._counted(entry.buckets)
        if entry.snapshot is not None:
            self._snapshot_seq, self._snapshot_bytes = last, len(entry.snapshot)
            self._tail_bytes = 0


def _is_refresh(envelope: Envelope, decision: Decision) -> bool:
    """Say whether a delivery only repeats what is known: it may come again, and leaves nothing."""
    alerts = isinstance(envelope.input, inputs.AlertsArrived)
    return alerts and decision.is_empty and not envelope.rejected and not envelope.once


def _cause(envelope: Envelope) -> str:
    """Name what events follow from: the input's key, and who sent it."""
    return " ".join(one for one in (envelope.key, envelope.actor) if one)


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
    entry.retries.update(decision.retries)
    entry.timers.update(decision.timers)


def _end_timer(entry: Entry, given: inputs.Input) -> None:
    """Let a timer go that was answered, however it was: it would be due again and again."""
    if isinstance(given, inputs.TimerCameDue):
        entry.timers.setdefault(given.timer.key, None)


def _settle(entry: Entry, given: inputs.Input, decision: Decision) -> None:
    """End the effect or the timer that this input answers, unless it is wished for again."""
    match given:
        case inputs.TimerCameDue():
            _end_timer(entry, given)
        case inputs.PageAnswered() if given.key not in decision.retries:
            state = "done" if given.error is None else "failed"
            entry.settled.append(Settled(given.key, state, given.error or given.receipt))
        case inputs.ReleaseAnswered() if given.key not in decision.retries:
            state = {"applied": "done", "not-applied": "failed"}.get(given.state, "unknown")
            entry.settled.append(Settled(given.key, state, given.seen))
        case inputs.ActionAnswered() if given.key not in decision.retries:
            state = {"applied": "done", "not-applied": "failed"}.get(given.state, "unknown")
            entry.settled.append(Settled(given.key, state, given.seen))
        case inputs.EvalsAnswered() if given.key not in decision.retries:
            state = "failed" if given.error else "done"
            entry.settled.append(Settled(given.key, state, given.error))
        case _:
            pass
