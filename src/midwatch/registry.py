"""Name -> adapter.

Law: the built-in ones stand in a static table, so that starting scans nothing; they come in by the
same door as anybody's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from midwatch.adapters.metrics.file import FileMetrics, FileOptions
from midwatch.adapters.metrics.prometheus import PrometheusMetrics, PrometheusOptions
from midwatch.adapters.metrics.pushed import PushedMetrics, PushedOptions
from midwatch.adapters.pagers.terminal import TerminalOptions, TerminalPager
from midwatch.adapters.pagers.webhook import WebhookOptions, WebhookPager
from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.adapters.sources.generic import GenericOptions, GenericSource
from midwatch.adapters.sources.grafana import GrafanaSource
from midwatch.adapters.sources.pagerduty import PagerDutySource
from midwatch.adapters.sources.pagerduty_webhook import PagerDutyWebhookSource
from midwatch.core.slo import Slo
from midwatch.errors import InputError
from midwatch.ports import Metrics, Pager, Source

if TYPE_CHECKING:
    from midwatch.outbound import Outbound

SOURCES: dict[str, Callable[[tuple[str, ...]], Source]] = {
    "alertmanager": AlertmanagerSource,
    "generic": GenericSource,
    "grafana": GrafanaSource,
    "pagerduty": PagerDutySource,
    "pagerduty-webhook": PagerDutyWebhookSource,
}

METRICS = ("file", "prometheus", "pushed")
MetricsOptions = FileOptions | PrometheusOptions | PushedOptions

PAGERS = ("terminal", "webhook")
PagerOptions = TerminalOptions | WebhookOptions


# Options of pagers that want to hear what became of an incident.
FOLLOWERS: tuple[type, ...] = ()


class Tools(Struct):
    """What pagers are built with: the way out, the journal's name, clock and secrets."""

    outbound: Callable[[], Outbound]
    journal: str
    clock: Callable[[], int]
    secrets: Mapping[str, str]


def make_source(
    kind: str, service_labels: tuple[str, ...], options: GenericOptions | None = None
) -> Source:
    """Build the source adapter of this kind; only `generic` has options.

    >>> type(make_source("alertmanager", ("service",))).__name__
    'AlertmanagerSource'
    """
    if kind == "generic":
        return GenericSource(service_labels, options)
    build = SOURCES.get(kind)
    if build is None:
        raise InputError(
            f"no source is called {kind!r}", remedy=f"use one of {', '.join(sorted(SOURCES))}"
        )
    return build(service_labels)


def make_pager(options: PagerOptions, tools: Tools) -> Pager:
    """Build a pager. Raises InputError when its secret is not there, or is none."""
    match options:
        case TerminalOptions():
            return TerminalPager()
        case WebhookOptions():
            return WebhookPager(
                options,
                _secret(options.secret_env, tools.secrets),
                tools.outbound(),
                tools.journal,
                tools.clock,
            )


def make_metrics(
    options: MetricsOptions,
    slos: Mapping[str, Slo],
    outbound: Callable[[], Outbound],
    secrets: Mapping[str, str],
) -> Metrics:
    """Build a source of counts for these objectives. Raises InputError when its secret lacks."""
    match options:
        case FileOptions():
            return FileMetrics(options)
        case PushedOptions():
            return PushedMetrics(slos)
        case PrometheusOptions():
            name = options.token_env or options.password_env
            return PrometheusMetrics(options, outbound(), _secret(name, secrets) if name else "")


def _secret(name: str, secrets: Mapping[str, str]) -> str:
    if not secrets.get(name):
        raise InputError("is not set", place=f"${name}", remedy="export it before the start")
    return secrets[name]
