"""Many shifts with drawn faults, each checked against the laws.

Law: a seed replays its shift to the byte. A failure says the seed, what was drawn, the broken law,
the last events and the command that plays it again.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from functools import partial
from random import Random

import msgspec
from msgspec import Struct

from midwatch.core.values.clock import SECOND
from midwatch.drill import checkers, scenarios
from midwatch.drill.by_hand import Typed
from midwatch.drill.crashes import CrashingStore, crashing
from midwatch.drill.faults import Drawn, DrawnTroubles, apply_drawn, draw
from midwatch.drill.meddling import Meddler
from midwatch.drill.promises import broken_promises
from midwatch.drill.reports import Story
from midwatch.drill.scenarios import Scenario
from midwatch.drill.shift import FULL_DISK, Crashed, Shift
from midwatch.drill.storm import Delivery
from midwatch.drill.times import broken_times
from midwatch.drill.witnesses import add_witnesses
from midwatch.engine import queries
from midwatch.engine.verify import verify
from midwatch.errors import CommitFailed, told
from midwatch.ports import DeadLetter

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
                raise CommitFailed(FULL_DISK)
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


def typed_in(scenario: Scenario, drawn: Drawn) -> list[Typed]:
    """Say when people type what, about the services of a scenario that have releases."""
    names = [plan.name for plan in scenario.services]
    return [
        Typed(
            scenario.starts_at + one.at_s * SECOND,
            one.what,
            names[one.service % len(names)],
            f"by-hand/{one.at_s % 3}",
        )
        for one in drawn.typed
        if names
    ]


def _is_refused(letter: DeadLetter, drawn: Drawn) -> bool:
    """Say whether it is a person's word that the state did not allow, as it may be.

    What was typed without being asked is judged by itself. It makes plans stale and trials late,
    and so do a router that has to be set right, a clock that is wrong, and a restart: what went
    before takes longer. A clock that is wrong knows no date to come.
    """
    moved = bool(drawn.typed or drawn.ports or drawn.clock.jumps or drawn.clock.restarts)
    late = letter.key.startswith(("approve/", "trial/"))
    dated = letter.key.startswith("waiver/") and bool(drawn.clock.jumps)
    return letter.key.startswith("typed/") or (moved and late) or dated


def play(
    scenario: Scenario, seed: int, seen: Callable[[Shift, Story], None] = lambda shift, story: None
) -> Failure | None:
    """Play one seed; gives the failure, None when every law held. `seen` may look at the shift."""
    drawn = draw(seed)
    changed = add_witnesses(apply_drawn(scenario, drawn), drawn.clock, seed)
    plug = Plug(seed, drawn.crash_share)
    store = CrashingStore.memory().armed(plug)
    broken: list[str] = []
    bystander = scenario.bystander
    shift = Shift(
        changed,
        store,
        seed=seed,
        troubles=DrawnTroubles(drawn, seed, bystander.pager if bystander else ""),
        network=partial(flaky_network, drawn, seed),
        wrap=partial(crashing, hit=plug),
        meddler=Meddler(
            drawn.ports,
            starts_at=scenario.starts_at,
            seed=seed,
            spared=(bystander.pager,) if bystander else (),
        ),
        typed=typed_in(scenario, drawn),
        wrong_clock=drawn.clock,
    )
    try:
        shift.run()
    except Exception as error:  # whatever it is, it would have ended the engine's thread
        broken.append(f"no bug: {told(error)}")
    story = Story(store, shift.engine.handler.shard)
    if drawn.clock:
        story.put_right(shift.happened_at)
    broken += checkers.broken_laws(
        story, shift.storm, changed, shift.log, excused=shift.meddler.lied | shift.late
    )
    broken += [f"the event log replays: {line}" for line in verify(store)[1]]
    broken += broken_promises(shift, story, plug.pulled + len(drawn.clock.restarts))
    broken += broken_times(shift, story)
    broken += [
        f"no input is lost: {letter.key}: {letter.reason}"
        for letter in store.letters()
        if not _is_refused(letter, drawn)
    ]
    last = queries.timeline(store)[-LAST_EVENTS:] if broken else []
    seen(shift, story)
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
