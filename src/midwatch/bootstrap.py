"""The one place where objects are wired together.

Law: nothing else in the project constructs an engine; production, drill and CI differ only in what
they hand in here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from midwatch.config import Config
from midwatch.core.decide import Rules
from midwatch.engine.handle import Handler
from midwatch.engine.loop import MAX_WAITING, Loop
from midwatch.engine.perform import Performer
from midwatch.engine.watch import Watcher
from midwatch.ports import Journal, Metrics, Outbox, Pager, Router, Source, Target, Timers
from midwatch.registry import make_pager, make_source


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


class Service(Struct):
    """What runs in production: a loop over an engine, and the sources that feed it."""

    engine: Engine
    loop: Loop
    sources: dict[str, Source]


def measured(rules: Rules) -> Rules:
    """Keep the objectives that are measured in real time: none, as no metrics backend is read yet.

    Without its objective a service's alerts count like any others; with one that nobody measures
    they would wait for it for ever.
    """
    return msgspec.structs.replace(rules, slos={}, runbooks=())


def build_service(store: Store, config: Config, clock: Callable[[], int]) -> Service:
    """Wire what `midwatch serve` runs."""
    engine = build_engine(store, measured(config.rules), World(build_pager(config)), clock)
    sources = {
        name: make_source(source.kind, config.service_labels, source.options)
        for name, source in config.sources.items()
    }
    return Service(engine, build_loop(store, engine, clock), sources)


def build_pager(config: Config) -> Pager:
    """Build the pager that config names; without one, pages are printed."""
    return make_pager(next((p.kind for p in config.pagers.values()), "terminal"))
