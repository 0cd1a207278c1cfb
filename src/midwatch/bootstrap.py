"""The one place where objects are wired together.

Law: nothing else in the project constructs an engine; production, drill and CI differ only in what
they hand in here.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct, field

from midwatch.adapters.metrics.options import PrometheusOptions, ProxyOptions
from midwatch.adapters.metrics.pushed import PushedMetrics
from midwatch.adapters.pagers.options import TerminalOptions
from midwatch.adapters.stores.access import SqliteAccess
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.config import Config, Limits
from midwatch.core.rules import jumps
from midwatch.core.rules.heartbeats import timer_key
from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.rules.terms import SALT_BYTES
from midwatch.core.state.events import TermBegan
from midwatch.core.state.inputs import BeginTerm, Envelope, Started
from midwatch.core.state.shard import Shard
from midwatch.core.values.actions import Request
from midwatch.core.values.automation import Automation
from midwatch.core.values.clock import SECOND
from midwatch.core.values.silences import refused
from midwatch.core.values.sli import Bucket
from midwatch.core.values.slo import Slo
from midwatch.core.values.traffic import Traffic
from midwatch.engine import archive
from midwatch.engine.beat import Beat
from midwatch.engine.cases import link
from midwatch.engine.clock import SteadyClock, boot_id, settle, wall_ms
from midwatch.engine.conditions import Conditions
from midwatch.engine.handle import Handler
from midwatch.engine.logs import tell
from midwatch.engine.loop import Loop
from midwatch.engine.perform import Performer
from midwatch.engine.prune import Pruner
from midwatch.engine.upkeep import Chore, Upkeep
from midwatch.engine.waiting import MAX_WAITING
from midwatch.engine.watch import Newest, Watcher
from midwatch.errors import BugError, HarnessError, InputError
from midwatch.ports import (
    Actor,
    Archive,
    Health,
    Journal,
    Metrics,
    Outbox,
    Pager,
    Rate,
    Router,
    Source,
    Target,
    Timers,
)
from midwatch.registry import (
    MetricsOptions,
    Tools,
    make_metrics,
    make_pager,
    make_router,
    make_source,
)

if TYPE_CHECKING:
    from midwatch.outbound import Outbound


METRICS_BYTES = 64 * 1024 * 1024


class Store(Journal, Outbox, Timers, Archive, Protocol):
    """A store is all four."""


log = logging.getLogger("midwatch.serve")


class World(Struct):
    """The outside, one adapter a port; what is None is not configured."""

    pagers: Mapping[str, Pager]
    router: Router | None = None
    metrics: Mapping[str, Metrics] = field(default_factory=dict[str, Metrics])
    target: Target | None = None
    actor: Actor | None = None


class Engine(Struct):
    """The loop's four rooms, over one store."""

    handler: Handler
    performer: Performer
    watcher: Watcher


def build_engine(
    store: Store,
    rules: Rules,
    world: World,
    clock: Callable[[], int],
    *,
    shadow: bool = False,
    counted: Callable[[Sequence[Bucket]], None] | None = None,
) -> Engine:
    """Wire an engine. `clock` gives milliseconds since the epoch; in `shadow` it calls nobody.

    `counted` hears of pushed counts once they are committed.
    """
    handler = Handler(store, rules, clock, counted)
    performer = Performer(
        store, rules.suites, world.pagers, world.router, world.target, world.actor, shadow=shadow
    )
    watched = None if shadow else world.router
    return Engine(handler, performer, Watcher(store, world.metrics, rules, watched))


def build_loop(
    store: Store,
    engine: Engine,
    clock: Callable[[], int],
    max_waiting: int = MAX_WAITING,
    beat: Beat | None = None,
    rates: Mapping[str, Rate] | None = None,
    upkeep: Upkeep | None = None,
    steady: SteadyClock | None = None,
) -> Loop:
    """Put an engine on a thread of its own, in real time."""
    return Loop(
        engine.handler,
        engine.performer,
        engine.watcher,
        store,
        clock,
        max_waiting=max_waiting,
        beat=beat,
        rates=rates,
        upkeep=upkeep,
        steady=steady,
    )


class Service(Struct):
    """What runs in production: a loop over an engine, what feeds it, and how it reaches people."""

    clock: Callable[[], int]  # the journal's time
    wall: Callable[[], int]  # what people see
    rules: Rules
    timers: Timers
    engine: Engine
    loop: Loop
    sources: dict[str, Source]
    paging: frozenset[str]  # the sources that tell what was really paged, not what fires
    pagers: Mapping[str, Pager]
    shadow: bool
    pushed: dict[str, PushedMetrics]  # sources of counts that come in by themselves
    moves: bool  # whether a router is configured
    public_url: str  # where people reach it
    limits: Limits = Limits()  # of each token
    conditions: Conditions = field(default_factory=Conditions)  # what /readyz and /metrics tell


def measured(rules: Rules) -> Rules:
    """Keep the objectives that say where their counts come from.

    Without its objective a service's alerts count like any others; with one that nobody measures
    they would wait for it for ever, and so would a canary that it guards.
    """
    slos = {name: slo for name, slo in rules.slos.items() if slo.indicator is not None}
    canaries = {
        service: plan
        for service, plan in rules.canaries.items()
        if all(not guard.slo or guard.slo in slos for guard in plan.guards)
    }
    return msgspec.structs.replace(rules, slos=slos, canaries=canaries)


def acting(rules: Rules, config: Config, *, shadow: bool) -> Rules:
    """Say what can be done at all: nothing by itself in shadow, no rollback without a router."""
    books = msgspec.structs.replace(rules.books, moves=bool(config.routers))
    if shadow:
        books = msgspec.structs.replace(books, automation=Automation())
    return msgspec.structs.replace(rules, books=books)


def build_service(
    store: SqliteStore, config: Config, wall: Callable[[], int], *, shadow: bool = False
) -> Service:
    """Wire what `midwatch serve` runs; `wall` gives milliseconds since the epoch.

    Raises InputError when a secret is missing.
    """
    pagers = build_pagers(config, store.name, wall)
    rules = acting(measured(config.rules), config, shadow=shadow)
    clock = SteadyClock(wall, boot=boot_id())
    conditions = Conditions()
    metrics = build_metrics(config, rules, lambda: clock.skew, conditions)
    pushed = {name: one for name, one in metrics.items() if isinstance(one, PushedMetrics)}
    router = build_router(config)
    if not shadow:
        check_secrets(rules.books, os.environ)
    world = World(pagers, router, metrics, actor=build_actor())
    engine = build_engine(store, rules, world, clock, shadow=shadow, counted=_to_all(pushed))
    archive.complete(store, engine.handler.shard)
    clock.go_on(engine.handler.shard)
    begin_term(engine.handler, clock)
    settle(clock, engine.handler.handle)
    for one in pushed.values():
        one.remember(store, clock())
    watch_clock(conditions, clock, engine.handler)
    watch_silences(conditions, engine.handler)
    beat = None if shadow else build_beat(config)
    rates = {f"page/{name}": rate for name, rate in config.rates.items()}
    units = {name: unit for one in pushed.values() for name, unit in one.units.items()}
    chores: list[Chore] = [partial(store.roll_up, units)]
    if config.keep_s:
        chores.append(Pruner(store, lambda: engine.handler.shard.incidents, config.keep_s).turn)
    upkeep = Upkeep(chores)
    loop = build_loop(
        store,
        engine,
        clock,
        config.limits.waiting,
        beat=beat,
        rates=rates,
        upkeep=upkeep,
        steady=clock,
    )
    loop.on_commit(tell)
    sources = {
        name: make_source(source.kind, config.naming, source.options)
        for name, source in config.sources.items()
    }
    paging = frozenset(name for name, source in config.sources.items() if source.pages)
    if rules.jobs:
        timers = {name: store.timer(timer_key(name)) for name in rules.jobs}
        due_at = {name: timer.due_at for name, timer in timers.items() if timer}
        loop.submit([Envelope("", Started(due_at))])
    return Service(
        clock,
        clock.wall,
        rules,
        store,
        engine,
        loop,
        sources,
        paging,
        pagers,
        shadow,
        pushed,
        bool(config.routers),
        config.public_url,
        config.limits,
        conditions,
    )


def watch_silences(conditions: Conditions, handler: Handler) -> None:
    """Let /readyz tell of silences that mute nothing."""
    conditions.add("silences", lambda: "; ".join(refused(list(handler.shard.silences.values()))))


def watch_clock(conditions: Conditions, clock: SteadyClock, handler: Handler) -> None:
    """Let /readyz and /metrics tell how the clocks stand."""
    conditions.add("clock", lambda: jumps.condition(handler.shard))
    conditions.counter(
        "midwatch_clock_jumps", "Wall-clock jumps of a minute or more.", lambda: clock.jumps
    )
    conditions.gauge(
        "midwatch_clock_skew_seconds",
        "Event log time minus wall-clock time, in seconds.",
        lambda: clock.skew / SECOND,
    )


def begin_term(handler: Handler, clock: SteadyClock) -> None:
    """Draw a salt and commit it, before anything is decided, claimed or recovered.

    With it goes where the machine's clocks stand. Raises CommitFailed or Fenced when the journal
    cannot be written.
    """
    salt = secrets.token_hex(SALT_BYTES)
    begun = BeginTerm(salt, clock.boot, clock.ticks(), wall_ms())
    (handled,) = handler.handle([Envelope("", begun)])
    if handled.status == "rejected":
        raise BugError(f"the engine could not start: {handled.why}")


def begin_logins(access: SqliteAccess, store: SqliteStore) -> int:
    """End the logins that were made for another journal or a later state of this one.

    Call it once the term has begun; gives how many logins were ended.
    """
    decode = msgspec.json.Decoder(TermBegan).decode
    salts = [decode(row.body).salt for row, _ in store.rows("term")]
    before = salts[-2] if len(salts) > 1 else ""
    return access.begin(store.name, before, salts[-1], store.head()[0])


def _to_all(pushed: Mapping[str, PushedMetrics]) -> Callable[[Sequence[Bucket]], None]:
    def counted(buckets: Sequence[Bucket]) -> None:
        for one in pushed.values():
            one.take(buckets)

    return counted


def build_metrics(
    config: Config,
    rules: Rules,
    skew: Callable[[], int] = lambda: 0,
    conditions: Conditions | None = None,
) -> dict[str, Metrics]:
    """Build the sources of counts that config names, each for its own objectives.

    They are asked in the journal's time, which is `skew` milliseconds ahead of the wall clock.
    `conditions` hears how their clocks differ from ours. Raises InputError when a secret is
    missing.
    """
    conditions = conditions or Conditions()
    by_source: dict[str, dict[str, Slo]] = {name: {} for name in config.metrics}
    for slo in rules.slos.values():
        if slo.indicator is not None:
            by_source[slo.indicator.source][slo.id] = slo

    def way(name: str, options: MetricsOptions) -> Outbound:
        outbound = _way_to(options)
        conditions.off(f"metrics/{name}", lambda: outbound.ahead_s)
        return outbound

    return {
        name: make_metrics(options, by_source[name], partial(way, name, options), os.environ, skew)
        for name, options in config.metrics.items()
    }


def read_objectives(store: SqliteStore, shard: Shard, config: Config, now: int) -> list[Newest]:
    """Ask every source once, as the running service does every few seconds; `now` is a date.

    Raises InputError when a secret is missing.
    """
    rules = measured(config.rules)
    metrics = build_metrics(config, rules, lambda: shard.skew)
    now += shard.skew
    for one in metrics.values():
        if isinstance(one, PushedMetrics):
            one.remember(store, now)
    watcher = Watcher(store, metrics, rules)
    watcher.readings(shard, now)
    return watcher.newest()


def build_prometheus(url: str) -> Metrics:
    """Build a Prometheus that is named by hand, for one question."""
    options = PrometheusOptions(url)
    return make_metrics(options, {}, partial(_way_to, options), os.environ)


def _way_to(options: MetricsOptions) -> Outbound:
    """Build the way out to a source of counts; its answers are larger than a pager's."""
    if isinstance(options, ProxyOptions):
        return _outbound([options.url])
    if not isinstance(options, PrometheusOptions):
        raise BugError(f"{options} not a server")
    return _outbound(
        [options.url],
        max_bytes=METRICS_BYTES,
        timeout_s=options.timeout_s,
        ca=options.tls_ca,
        cert=(options.tls_cert, options.tls_key) if options.tls_cert else None,
    )


def build_pagers(config: Config, journal: str, clock: Callable[[], int]) -> dict[str, Pager]:
    """Build the pagers that config names; without one, pages are printed."""
    options = config.pagers or {"terminal": TerminalOptions()}
    # Built when a pager wants it: the terminal needs no HTTP client.
    tools = Tools(
        cache(_outbound_to),
        journal,
        clock,
        os.environ,
        partial(link, config.public_url),
        config.contacts,
    )
    return {name: make_pager(one, tools) for name, one in options.items()}


def _outbound_to(url: str) -> Outbound:
    """Build the way out to what the config names, which may be on one's own network."""
    return _outbound([url])


def _outbound(listed: list[str], **options: Any) -> Outbound:
    try:
        from midwatch.outbound import Outbound  # nobody who drills needs an HTTP client
    except ModuleNotFoundError as error:
        remedy = "pip install 'midwatch[server]'"
        raise InputError(f"outgoing calls need the package {error.name}", remedy=remedy) from None
    return Outbound(listed, **options)


class _ByService:
    """The router of each service; "" is that of all the others."""

    def __init__(self, routers: Mapping[str, Router]) -> None:
        self._routers = routers

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        self._of(service).apply(service, traffic, operation)

    def observe(self, service: str) -> Traffic:
        return self._of(service).observe(service)

    def check(self, service: str, release: str) -> Health:
        return self._of(service).check(service, release)

    def _of(self, service: str) -> Router:
        found = self._routers.get(service) or self._routers.get("")
        if found is None:
            remedy = "add the service to routers in midwatch.yaml"
            raise HarnessError(f"{service} has no router", remedy=remedy)
        return found


def build_router(config: Config) -> Router | None:
    """Build what moves traffic; None when config names nothing."""
    by_service: dict[str, Router] = {}
    for options in config.routers.values():
        router = make_router(options, os.environ, _outbound_to)
        by_service.update(dict.fromkeys(options.services or ("",), router))
    return _ByService(by_service) if by_service else None


def check_secrets(books: Books, environment: Mapping[str, str]) -> None:
    """Find out now, and not at night, that a secret of a runbook is missing. Raises InputError."""
    deeds = [deed for one in books.actions.values() for deed in (one.apply, one.observe)]
    deeds += [
        deed
        for book in books.runbooks
        for step in book.steps
        for deed in (step.deed, step.observe)
        if deed is not None
    ]
    for deed in deeds:
        name = deed.token_env if isinstance(deed, Request) else ""
        if name and not environment.get(name):
            raise InputError(
                "the environment variable is not set",
                place=f"${name}",
                remedy="export it before starting midwatch",
            )


def build_actor() -> Actor:
    """Build what does the steps of runbooks."""
    from midwatch.adapters.actions.command import CommandActions
    from midwatch.adapters.actions.http import HttpActions
    from midwatch.adapters.actions.ways import Actions

    return Actions(HttpActions(_outbound_for, os.environ), CommandActions(os.environ))


def _outbound_for(url: str, timeout_s: float) -> Outbound:
    """Build the way out to what a runbook names, with the time that its step has."""
    return _outbound([url], timeout_s=timeout_s)


def build_beat(config: Config) -> Beat | None:
    """Build the heartbeat that config names."""
    if config.heartbeat is None:
        return None
    url, outbound = config.heartbeat.url, _outbound_to(config.heartbeat.url)

    def call() -> None:
        answer = outbound.get(url)
        if not 200 <= answer.status < 300:
            raise HarnessError(f"the heartbeat URL answered {answer.status}")

    return Beat(call, config.heartbeat.every_s)
