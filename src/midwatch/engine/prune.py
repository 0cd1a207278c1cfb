"""How far a journal may be shortened, and the snapshot that stands in for what goes.

Law: events go only behind a snapshot that was folded from them here and now, so that nothing which
is decided or verified later needs them. An incident that is still in the shard keeps its whole
timeline, and holds nothing else back. While it serves the same is done a slice at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import msgspec

from midwatch.core.state import chain, shard, upgrades
from midwatch.core.state.events import Event
from midwatch.core.state.shard import STATE_VERSION, Shard
from midwatch.core.values.clock import SECOND
from midwatch.engine.progress import Progress, quiet, reported
from midwatch.engine.queries import skews_of
from midwatch.ports import Audit, Cut, Snapshot

A_SLICE = 100  # events that are folded at a turn
EVERY_S = 86_400

_decode: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


class _Fold:
    """The state after the events so far, on the way to a cut."""

    def __init__(self, audit: Audit) -> None:
        base = audit.base()
        self.state = upgrades.load(base.body, base.state_version) if base else Shard()
        self._skews = skews_of(audit)  # `before` is a date
        self.after = self.last = base.seq if base else 0
        self.head = self.link = base.head if base else chain.GENESIS

    @property
    def skew(self) -> int:
        """How far the journal's time is ahead of the wall clock."""
        return self._skews.now

    def take(self, audit: Audit, before: int, limit: int) -> bool:
        """Fold at most `limit` events older than `before`; False at the cut."""
        rows = audit.following(self.last, limit)
        for row, link in rows:
            if self._skews.shown(row.at) >= before:
                return False
            shard.evolve(self.state, _decode.decode(row.body), row.at)
            self.last, self.link = row.seq, link
        return bool(rows)

    def steps(self, audit: Audit, before: int) -> Iterator[int]:
        """Fold up to the cut; gives the number of the last event of each slice."""
        while self.take(audit, before, A_SLICE):
            yield self.last

    def cut(self, here: Iterable[str]) -> Cut | None:
        """Make the cut; `here` are the incidents that are in the shard now."""
        if self.last == self.after:
            return None
        streams = [f"incident/{name}" for name in here]
        staying = [one for one in streams if one in self.state.versions]
        snapshot = Snapshot(self.last, STATE_VERSION, shard.dump(self.state), self.link)
        return Cut(snapshot, self.last - self.after, self.after, self.head, staying)


def find_cut(
    audit: Audit, before: int, here: Iterable[str], progress: Progress = quiet
) -> Cut | None:
    """Cut behind the last event older than `before` (milliseconds since the epoch).

    `here` names the incidents that are in the shard now; they keep their events. Gives None when
    there is nothing to cut. `progress` hears how many events were read.
    """
    fold = _Fold(audit)
    events = audit.head()[0] - fold.after
    for _ in reported(fold.steps(audit, before), events // A_SLICE + 1, progress):
        pass
    return fold.cut(here)


class Pruned(Audit, Protocol):
    """A journal that can be shortened."""

    def cut(self, made: Cut) -> None:
        """Put a snapshot in the place of what is before it, and keep what stays."""
        ...

    def sweep(self, before: int, now: int) -> bool:
        """Let a slice of what is before the cut go; False when nothing is left."""
        ...


class Pruner:
    """Shortens a journal while it serves, once a day, a slice at a turn."""

    def __init__(self, journal: Pruned, here: Callable[[], Iterable[str]], keep_s: int) -> None:
        self._journal = journal
        self._here = here
        self._keep_ms = keep_s * SECOND
        self._next_at = 0
        self._fold: _Fold | None = None
        self._before = 0

    def turn(self, now: int) -> bool:
        """Do a slice; says whether more is left. Raises CommitFailed or Fenced."""
        if self._fold is None:
            if now >= self._next_at:
                self._next_at = now + EVERY_S * SECOND
                self._before = now - self._keep_ms
                self._fold = _Fold(self._journal)
                return True
            if self._before and not self._journal.sweep(self._before, now):
                self._before = 0
            return bool(self._before)
        # `now` is the journal's time, and events are as old as the wall clock says.
        fold, self._fold = self._fold, None  # what fails here is begun anew the next day
        if fold.take(self._journal, self._before - fold.skew, A_SLICE):
            self._fold = fold
            return True
        made = fold.cut(self._here())
        if made is not None:
            self._journal.cut(made)
        return True
