"""The engine in real time: one thread decides and commits, a few perform.

Law: whoever waits for an answer gets it after the commit, or CommitFailed, or Busy before anything
was taken. Answers of effects and timers that could not be committed are kept and tried again. What
is under way when it stops has FINISH_S to end; what was claimed and has no answer then is in doubt,
and the next start settles it. Readers never hold up the writer: looks at the state get a budget of
time in each turn, and those that it does not reach wait for the next turn, behind what is decided
there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from midwatch.core.state.inputs import Envelope
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import SECOND
from midwatch.engine.beat import Beat
from midwatch.engine.clock import SteadyClock, settle
from midwatch.engine.handle import Handled, Handler
from midwatch.engine.hands import Hands
from midwatch.engine.lanes import PERFORMERS, Lanes
from midwatch.engine.perform import Performer
from midwatch.engine.readings import Readings
from midwatch.engine.stats import Stats
from midwatch.engine.upkeep import Upkeep
from midwatch.engine.views import Views
from midwatch.engine.waiting import MAX_WAITING, Delivery, Waiting
from midwatch.engine.watch import Watcher
from midwatch.errors import Busy, CommitFailed, Fenced, Interrupted, told
from midwatch.ports import Outbox, Rate, Row, Timers

T = TypeVar("T")

log = logging.getLogger("midwatch.engine")

RECOVERY = "recovery"  # the lane of what a former process left in doubt
IDLE_S = 1.0
RETRY_S = 0.25
FINISH_S = 3.0  # for what is under way when it stops
LEAVE_S = 0.5  # for whoever was told to wait no longer
PROBE_AFTER_S = 2.0


class Due(Outbox, Timers, Protocol):
    """What says when something is due next."""


class Loop:
    """Runs an engine until it is told to stop."""

    def __init__(
        self,
        handler: Handler,
        performer: Performer,
        watcher: Watcher,
        due: Due,
        clock: Callable[[], int],
        *,
        max_waiting: int = MAX_WAITING,
        beat: Beat | None = None,
        rates: Mapping[str, Rate] | None = None,
        upkeep: Upkeep | None = None,
        steady: SteadyClock | None = None,
    ) -> None:
        self.stats = Stats()
        self.error: BaseException | None = None
        self._handler = handler
        self._performer = performer
        self._watcher = watcher
        self._due = due
        self._clock = clock
        self._steady = steady  # the same one, where its wall clock may jump
        self._max_waiting = max_waiting
        self.leave: Callable[[], None] | None = None  # tells calls to wait no longer, at the end
        self._wake = threading.Condition()
        self._deliveries = Waiting(max_waiting)
        self._views = Views()
        self._answers: deque[Envelope] = deque()
        self._lanes = Lanes(rates)
        self._readings = Readings()
        self._stopping = False
        self._listeners: list[Callable[[Sequence[Row]], None]] = []
        self._beat = beat
        self._upkeep = upkeep
        self._failed_at = 0.0
        self._claimed_at = 0
        self._next_effect_at: int | None = None
        self._pool = Hands(PERFORMERS, "perform")
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    # --- for everybody else; any thread ---

    def start(self) -> None:
        """Start deciding."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish what is under way, take nothing more, and let the thread end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def submit(self, envelopes: list[Envelope], of: str = "") -> Future[list[Handled]]:
        """Hand inputs over; the future has an answer for each after the commit.

        `of` is the token that brought them: senders take turns, and none fills the queue alone.
        Raises Busy when too many wait already, or the loop has stopped. The future raises
        CommitFailed when nothing of it happened.
        """
        done: Future[list[Handled]] = Future()
        with self._wake:
            if self._stopping or self.error is not None:
                raise Busy("midwatch is shutting down", remedy="send again in a moment")
            self._deliveries.put(Delivery(envelopes, done, of))
            self._wake.notify()
        return done

    def view(self, look: Callable[[Shard], T]) -> Future[T]:
        """Look at the shard between two decisions; `look` must copy what it keeps, and be short.

        Raises Busy when too many looks wait already, or the loop has stopped.
        """
        with self._wake:
            if self._stopping or self.error is not None:
                raise Busy("midwatch is shutting down", remedy="try again in a moment")
            done = self._views.put(look)
            self._wake.notify()
        return done

    def on_commit(self, listener: Callable[[Sequence[Row]], None]) -> None:
        """Call a function on the engine's thread with what a commit appended.

        It must return at once and raise nothing. At the end it is called once more, with nothing.
        """
        self._listeners.append(listener)

    def outbox_age_s(self) -> float:
        """Say for how long the oldest effect that is due has not been begun; 0 when none is."""
        due_at = self._next_effect_at
        return max(self._clock() - due_at, 0) / SECOND if due_at else 0.0

    @property
    def waiting(self) -> int:
        """How many deliveries wait to be decided on."""
        return len(self._deliveries)

    # --- the engine's thread ---

    def _run(self) -> None:
        try:
            for finish in self._performer.recover(self._handler.shard):
                self._perform(finish, RECOVERY)
            while not self._is_over():
                self._wait()
                self._look_at_clock()
                self._handle_next()
                self._tick()
            self._finish()
            self._handle_next()
            with suppress(CommitFailed):  # it only shortens the next start
                self._handler.snapshot()
        except BaseException as error:  # whoever waits must hear of it
            self.error = error
        finally:
            self._refuse_rest()
            self._tell([])

    def _finish(self) -> None:
        """Give what is under way a moment; what takes longer is left for the next start to see."""
        until = time.monotonic() + FINISH_S
        while not self._pool.settle(min(0.1, max(until - time.monotonic(), 0))):
            self._handle_next()  # what has ended is written down, whatever else hangs
            if until <= time.monotonic():
                if self.leave is not None:
                    self.leave()
                    self._pool.settle(LEAVE_S)
                break
        if left := self._pool.busy:
            says = "calls are unfinished: the next start reconciles them"
            log.warning("shutting down", extra={"fields": {"msg": says, "calls": left}})
        self._pool.end()

    def _look_at_clock(self) -> None:
        """Commit that the wall clock has jumped, before anything is decided by it."""
        if self._steady is not None:
            with suppress(CommitFailed):  # the next turn tries again; time goes on as before
                settle(self._steady, self._commit)

    def _is_over(self) -> bool:
        with self._wake:
            return self._stopping and not self._deliveries

    def _wait(self) -> None:
        with self._wake:
            if not (self._deliveries or self._views or self._answers or self._stopping):
                self._wake.wait(self._idle_s())

    def _idle_s(self) -> float:
        # What is due already and was not claimed waits for a performer, not for a moment.
        effect_at = self._due.next_effect_at(self._claimed_at)
        moments = [m for m in (self._due.next_timer_at(), effect_at) if m]
        if not moments:
            return IDLE_S
        return min(max((min(moments) - self._clock()) / SECOND, 0.001), IDLE_S)

    def _handle_next(self) -> None:
        """Decide on one group of what has arrived, and on every answer.

        One group alone: under a load that never ends, what is due must have its turn as well.
        """
        with self._wake:
            answers = list(self._answers)
            self._answers.clear()
            deliveries = self._deliveries.group()
        if answers or deliveries:
            self._handle(answers, deliveries)
        self._answer_views()

    def _answer_views(self) -> None:
        """Answer those who look, within this turn's budget."""
        if not self._views:
            return
        stats, cpu_s = self.stats, time.thread_time()
        stats.views += self._views.answer(self._handler.shard)
        stats.views_put_off += bool(self._views)
        stats.view_s += time.thread_time() - cpu_s

    def _handle(self, answers: list[Envelope], deliveries: list[Delivery]) -> None:
        envelopes = [*answers, *(e for d in deliveries for e in d.envelopes)]
        try:
            handled = self._commit(envelopes)
        except CommitFailed as error:
            # A sender has its own copy and comes again; our answers exist nowhere else.
            with self._wake:
                self._answers.extendleft(reversed(answers))
            for delivery in deliveries:
                delivery.done.set_exception(error)
            return
        except BaseException as error:
            for delivery in deliveries:
                delivery.done.set_exception(error)
            raise
        at = len(answers)
        for delivery in deliveries:
            until = at + len(delivery.envelopes)
            delivery.done.set_result(handled[at:until])
            at = until
        self.stats.heard(envelopes)

    def _commit(self, envelopes: Sequence[Envelope]) -> list[Handled]:
        """Commit a group. Raises CommitFailed, and remembers since when."""
        started = time.monotonic()
        try:
            handled = self._handler.handle(envelopes)
        except CommitFailed as error:
            self._failed(error, started)
            raise
        if self._handler.wrote:  # else it says nothing about the disk
            self.stats.committed(time.monotonic() - started)
            self._tell(self._handler.appended)
        return handled

    def _failed(self, error: CommitFailed, since: float) -> None:
        stats, self._failed_at = self.stats, time.monotonic()
        stats.failed_commits += 1
        if stats.failing_since is None:
            log.error("commits are failing", extra={"fields": {"msg": told(error)}})
            stats.failing_since = since

    def _probe(self) -> None:
        """Find out whether commits succeed again; nobody may send while /readyz says no."""
        quiet = time.monotonic() - self._failed_at > PROBE_AFTER_S
        if self.stats.failing_since is not None and quiet:
            self._handler.probe()
            self.stats.failing_since = None

    def _tick(self) -> None:
        """Do what is due. A commit that fails here is tried again in a moment."""
        now = self._clock()
        try:
            if timers := self._watcher.due_timers(now):
                self._commit(timers)
            if self._readings.is_due(now):
                self._ask(now)
            self._probe()
            self._claim()
            if self._upkeep is not None and not self.stats.failing_since:
                self._upkeep.turn(now)
            self._next_effect_at = self._due.next_effect_at()
        except Fenced:
            raise
        except CommitFailed:
            time.sleep(RETRY_S)
        self.stats.last_tick = time.monotonic()
        beats = self._beat is not None and not self.stats.failing_since
        if self._beat is not None and beats and self._beat.is_due(now):
            self._pool.submit(self._beat.call).add_done_callback(self._beaten)

    def _ask(self, now: int) -> None:
        """Have each source read that is not being read still."""
        for question in self._readings.begin(self._watcher.questions(self._handler.shard, now)):
            asked = self._pool.submit(question.ask)
            asked.add_done_callback(partial(self._asked, question.source))

    def _asked(self, source: str, done: Future[list[Envelope]]) -> None:
        if _is_left(done):
            return
        with self._wake:
            self._readings.end(source)
            self._answers.extend(done.result())
            self._wake.notify()

    def _beaten(self, done: Future[None]) -> None:
        if _is_left(done):
            return
        error = done.exception()
        self.stats.beats["sent" if error is None else "failed"] += 1
        if isinstance(error, Exception):
            log.warning("heartbeat failed", extra={"fields": {"msg": told(error)}})

    def _claim(self) -> None:
        """Hand due effects to free performers; no more are claimed than are begun at once.

        What cannot be claimed now stays planned, and is claimed later.
        """
        free = self._lanes.free
        if self._stopping or free <= 0:
            return
        now = self._claimed_at = self._clock()
        try:
            claims = self._performer.claim(now, free, lambda lane: self._lanes.room(lane, now))
        except CommitFailed as error:
            self._failed(error, time.monotonic())
            return
        for claim in claims:
            self._lanes.claimed(claim.effect.lane, now)
            self._perform(partial(self._performer.perform, claim), claim.effect.lane)

    def _perform(self, call: Callable[[], Envelope], lane: str) -> None:
        with self._wake:
            self._lanes.begin(lane)
        self._pool.submit(call).add_done_callback(partial(self._performed, lane))

    def _performed(self, lane: str, done: Future[Envelope]) -> None:
        if _is_left(done):
            return
        envelope = done.result()
        with self._wake:
            self._lanes.end(lane)
            self._answers.append(envelope)
            self._wake.notify()

    def _refuse_rest(self) -> None:
        with self._wake:
            self._stopping = True
            rest = self._deliveries.clear()
            views = self._views.clear()
        for waiting in (*rest, *views):
            if waiting.done.set_running_or_notify_cancel():
                waiting.done.set_exception(
                    Busy("midwatch has stopped", remedy="send again in a moment")
                )

    def _tell(self, rows: Sequence[Row]) -> None:
        for listener in self._listeners:
            listener(rows)


def _is_left(done: Future[Any]) -> bool:
    """Say whether nobody knows what came of a call, since midwatch stops."""
    return done.cancelled() or isinstance(done.exception(), Interrupted)
