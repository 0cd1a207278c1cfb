"""The one place where objects are wired together.

Law: nothing else in the project constructs an engine; production, drill and CI differ only in what
they hand in here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from midwatch.core.decide import Rules
from midwatch.engine.handle import Handler
from midwatch.engine.loop import MAX_WAITING, Loop
from midwatch.engine.perform import Performer
from midwatch.engine.watch import Watcher
from midwatch.ports import Journal, Metrics, Outbox, Pager, Router, Target, Timers


class Store(Journal, Outbox, Timers, Protocol):
    """A store is all three."""


class World(Struct):
    """The outside, one adapter a port; what is None is not configured."""

    pager: Pager
    router: Router | None = None
    metrics: Metrics | None = None
    target: Target | None = None


class Engine(Struct):
    """The loop's four rooms, over one store."""

    handler: Handler
    performer: Performer
    watcher: Watcher


def build_engine(store: Store, rules: Rules, world: World, clock: Callable[[], int]) -> Engine:
    """Wire an engine. `clock` gives milliseconds since the epoch."""
    handler = Handler(store, rules, clock)
    performer = Performer(store, rules.suites, world.pager, world.router, world.target)
    return Engine(handler, performer, Watcher(store, world.metrics, rules))


def build_loop(
    store: Store, engine: Engine, clock: Callable[[], int], max_waiting: int = MAX_WAITING
) -> Loop:
    """Put an engine on a thread of its own, in real time."""
    return Loop(
        engine.handler, engine.performer, engine.watcher, store, clock, max_waiting=max_waiting
    )
