"""How the service itself is: alive, ready, and in figures.

Law: ready means that a delivery would be committed now. What is shown names no incident. How many
there are, and whether pages fail, is told to this machine itself and to whoever has a token.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from midwatch import __version__
from midwatch.core.state.shard import Shard
from midwatch.engine.conditions import Conditions
from midwatch.engine.loop import Loop
from midwatch.engine.stats import COMMIT_BOUNDS_S, Stats
from midwatch.errors import Busy
from midwatch.ports import Tokens
from midwatch.web import guards
from midwatch.web.peers import client_of

STALLED_S = 15.0


class Ready(msgspec.Struct, frozen=True):
    """Whether it can take alerts, and if not, why.

    `notes` are conditions that somebody should look at, by name; it is ready all the same.
    """

    ready: bool
    why: str
    notes: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Health:
    """`/healthz`, `/readyz` and `/metrics`."""

    def __init__(
        self,
        loop: Loop,
        conditions: Conditions | None = None,
        tokens: Tokens | None = None,
        dropped: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._loop = loop
        self._tokens = tokens
        self._conditions = conditions or Conditions()
        self._dropped = dropped

    async def alive(self, request: Request) -> Response:
        """Say that the process answers and its engine runs."""
        if self._loop.error is not None:
            return PlainTextResponse("the engine has stopped\n", 503)
        return PlainTextResponse("ok\n")

    async def ready(self, request: Request) -> Response:
        """Say whether a delivery would be committed now."""
        stats = self._loop.stats
        why = ""
        if self._loop.error is not None:
            why = "the engine has stopped"
        elif stats.failing_since is not None:
            why = "commits are failing"
        elif stats.last_tick and time.monotonic() - stats.last_tick > STALLED_S:
            why = "the engine is stalled"
        notes = {name: says for name, says in self._conditions.found().items() if says}
        body = msgspec.json.encode(Ready(not why, why, notes or msgspec.UNSET))
        return Response(body, 503 if why else 200, media_type="application/json")

    async def metrics(self, request: Request) -> Response:
        """Give the figures in Prometheus' text format."""
        inside = self._is_inside(request)
        states: Counter[tuple[str, str]] = Counter()
        dropped: Mapping[str, int] = {}
        try:
            look = self._loop.view(lambda shard: (_states(shard), self._dropped()))
            states, dropped = await asyncio.wait_for(asyncio.wrap_future(look), 1.0)
        except (Busy, TimeoutError):
            pass  # an engine that stands still has no counts, but its lag must be seen
        registry = CollectorRegistry()
        figures = _Figures(self._loop, states, self._conditions, dropped, inside=inside)
        registry.register(figures)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def _is_inside(self, request: Request) -> bool:
        if client_of(request).is_local:
            return True
        text = guards.token_text(request)
        return bool(text) and self._tokens is not None and self._tokens.find(text) is not None


class _Figures(Collector):
    """One scrape; one from inside has what tells how bad it is."""

    def __init__(
        self,
        loop: Loop,
        states: Counter[tuple[str, str]],
        conditions: Conditions,
        dropped: Mapping[str, int],
        *,
        inside: bool,
    ) -> None:
        self._inside = inside
        self._dropped = dropped
        self._loop = loop
        self._states = states
        self._conditions = conditions

    def collect(self) -> Iterator[Metric]:
        loop, stats = self._loop, self._loop.stats
        yield _gauge("midwatch_up", "1 while the engine is running.", float(loop.error is None))
        info = GaugeMetricFamily("midwatch_build_info", "The midwatch version.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield _gauge("midwatch_queue_depth", "Deliveries waiting in the queue.", loop.waiting)
        yield _gauge(
            "midwatch_outbox_age_seconds",
            "Age of the oldest effect that is due and not started.",
            loop.outbox_age_s(),
        )
        lag = time.monotonic() - stats.last_tick if stats.last_tick else 0.0
        yield _gauge("midwatch_engine_lag_seconds", "Time since the last turn of the engine.", lag)
        yield _commits(stats)
        yield _counter("midwatch_failed_commits", "Failed commits.", stats.failed_commits)
        yield _counter("midwatch_alerts", "Accepted alerts.", stats.alerts)
        yield _counter("midwatch_alerts_rejected", "Rejected alerts.", stats.rejected)
        letters = CounterMetricFamily(
            "midwatch_dead_letters_dropped", "Rejected input that was dropped.", labels=["source"]
        )
        for source, count in self._dropped.items() if self._inside else ():
            letters.add_metric([source], count)
        yield letters
        yield _by_result("midwatch_heartbeats", "Heartbeats sent.", stats.beats)
        yield _counter("midwatch_views", "Reads answered on the engine thread.", stats.views)
        yield _counter(
            "midwatch_view_seconds", "CPU time of reads on the engine thread.", stats.view_s
        )
        yield _counter(
            "midwatch_views_put_off",
            "Turns that ended with reads still waiting.",
            stats.views_put_off,
        )
        yield from _conditions(self._conditions)
        if not self._inside:
            return
        yield _by_result("midwatch_pages", "Attempts to send a page.", stats.pages)
        incidents = GaugeMetricFamily(
            "midwatch_incidents", "Incidents that are not resolved.", labels=["state", "severity"]
        )
        for (state, severity), count in sorted(self._states.items()):
            incidents.add_metric([state, severity], count)
        yield incidents


def _states(shard: Shard) -> Counter[tuple[str, str]]:
    found = (shard.incidents[name] for name in shard.open)
    return Counter((i.state, i.severity or "") for i in found)


def _conditions(conditions: Conditions) -> Iterator[Metric]:
    if found := conditions.found():
        noted = GaugeMetricFamily(
            "midwatch_condition", "1 while /readyz shows a note of this name.", labels=["name"]
        )
        for name, says in sorted(found.items()):
            noted.add_metric([name], float(bool(says)))
        yield noted
    for one in conditions.figures:
        kind = GaugeMetricFamily if one.kind == "gauge" else CounterMetricFamily
        family = kind(one.name, one.says, labels=[one.label] if one.label else [])
        for value, count in one.values().items():
            family.add_metric([value] if one.label else [], count)
        yield family


def _commits(stats: Stats) -> HistogramMetricFamily:
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*COMMIT_BOUNDS_S, "+Inf"), stats.commit_buckets, strict=True):
        total += count
        buckets.append((str(bound), total))
    return HistogramMetricFamily(
        "midwatch_commit_seconds",
        "Time to decide on a batch and commit it.",
        buckets=buckets,
        sum_value=stats.commit_s,
    )


def _gauge(name: str, says: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, says, value=value)


def _counter(name: str, says: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, says, value=value)


def _by_result(name: str, says: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, says, labels=["result"])
    for result, count in counts.items():
        family.add_metric([result], count)
    return family
