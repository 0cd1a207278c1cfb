"""Many shifts with drawn faults, each checked against the laws.

Law: a seed replays its shift to the byte. A failure says the seed, what was drawn, the broken law,
the last events and the command that plays it again.
"""

from __future__ import annotations

import signal
from collections.abc import Generator
from functools import partial
from random import Random

import msgspec
from msgspec import Struct

from midwatch.core.clock import SECOND
from midwatch.drill import checkers, scenarios
from midwatch.drill.crashes import CrashingStore, crashing
from midwatch.drill.faults import Drawn, DrawnTroubles, apply_drawn, draw
from midwatch.drill.reports import Story
from midwatch.drill.scenarios import Scenario
from midwatch.drill.shift import Crashed, Shift
from midwatch.drill.storm import Delivery
from midwatch.engine import queries
from midwatch.engine.verify import verify
from midwatch.errors import BugError, CommitFailed

MAX_CRASHES = 12
FULL = 0.5  # of the crashes before a commit it is only the disk
LATE_S = 240
LAST_EVENTS = 12


class Failure(Struct, frozen=True):
    """A seed that broke laws."""

    scenario: str
    seed: int
    drawn: Drawn
    broken: list[str]
    events: list[str]

    def shown(self) -> list[str]:
        """Tell it, with the command that plays it again."""
        drawn = msgspec.json.encode(self.drawn).decode()
        return [
            f"seed {self.seed} broke {len(self.broken)} law(s)",
            *(f"  law: {law}" for law in self.broken),
            f"  drawn: {drawn}",
            "  last events:",
            *(f"    {line}" for line in self.events),
            f"  replay: {self.replay}",
        ]

    @property
    def replay(self) -> str:
        """The command that plays it again."""
        return f"midwatch drill fuzz --scenario {self.scenario} --from {self.seed} --seeds 1"


class Plug:
    """Pulls the plug now and then, or fills the disk for a moment, a bounded number of times."""

    def __init__(self, seed: int, share: float) -> None:
        self._rng = Random(f"crashes/{seed}")
        self._disk = Random(f"disk/{seed}")
        self._share = share
        self.pulled = 0

    def __call__(self, point: str) -> None:
        if self._share and self.pulled < MAX_CRASHES and self._rng.random() < self._share:
            self.pulled += 1
            if point.startswith("before") and self._disk.random() < FULL:
                raise CommitFailed("the disk is full")
            raise Crashed(point)


def flaky_network(drawn: Drawn, seed: int, delivery: Delivery) -> list[int]:
    """Deliver late, and so out of order, or twice."""
    rng = Random(f"network/{seed}/{delivery.at}")
    times = [delivery.at]
    if rng.random() < drawn.late:
        times = [delivery.at + rng.randrange(LATE_S * SECOND)]
    if rng.random() < drawn.duplicates:
        times.append(times[0] + rng.randrange(LATE_S * SECOND))
    return times


def play(scenario: Scenario, seed: int) -> Failure | None:
    """Play one seed; gives the failure, None when every law held."""
    drawn = draw(seed)
    changed = apply_drawn(scenario, drawn)
    plug = Plug(seed, drawn.crash_share)
    store = CrashingStore.memory().armed(plug)
    broken: list[str] = []
    shift = Shift(
        changed,
        store,
        seed=seed,
        troubles=DrawnTroubles(drawn, seed),
        network=partial(flaky_network, drawn, seed),
        wrap=partial(crashing, hit=plug),
    )
    try:
        shift.run()
    except BugError as error:
        broken.append(f"no bug: {error}")
    story = Story(store, shift.engine.handler.shard)
    broken += checkers.broken_laws(story, shift.storm, changed, shift.log)
    broken += [f"the journal replays: {line}" for line in verify(store)[1]]
    broken += [f"no input is lost: {letter.key}: {letter.reason}" for letter in store.letters()]
    last = queries.timeline(store)[-LAST_EVENTS:] if broken else []
    store.close()
    return Failure(scenario.name, seed, drawn, broken, last) if broken else None


def run(scenario: str, seeds: range, jobs: int) -> Generator[tuple[int, Failure | None]]:
    """Play seeds, in order, on one or more processes."""
    loaded = scenarios.load(scenarios.find(scenario))
    if jobs == 1:
        for seed in seeds:
            yield seed, play(loaded, seed)
        return
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(jobs, initializer=_load, initargs=(scenario,))
    try:
        # Ctrl-C is for the process that was started: those that it starts are born deaf to it.
        heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            played = pool.map(_play_loaded, seeds, chunksize=8)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
        yield from zip(seeds, played, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


_loaded: dict[str, Scenario] = {}


def _load(name: str) -> None:
    _loaded["it"] = scenarios.load(scenarios.find(name))


def _play_loaded(seed: int) -> Failure | None:
    return play(_loaded["it"], seed)
