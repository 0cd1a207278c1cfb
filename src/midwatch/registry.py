"""Name -> adapter.

Law: the built-in ones are in a static table, so that starting scans nothing; they come in by the
same door as anybody's. An adapter is imported when something names it: who uses no mail loads none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from midwatch.adapters.metrics.options import (
    FileOptions,
    PrometheusOptions,
    ProxyOptions,
    PushedOptions,
)
from midwatch.adapters.pagers.options import (
    AppriseOptions,
    EmailOptions,
    PagerDutyOptions,
    SlackOptions,
    TerminalOptions,
    WebhookOptions,
)
from midwatch.adapters.routers.options import CommandOptions, HaproxyOptions, SplitOptions
from midwatch.core.values.alerts import NAMING, Naming
from midwatch.core.values.slo import Slo
from midwatch.errors import InputError
from midwatch.ports import Metrics, Pager, Router, Source

if TYPE_CHECKING:
    from midwatch.adapters.sources.generic import GenericOptions
    from midwatch.outbound import Outbound

SOURCES = ("alertmanager", "generic", "grafana", "pagerduty", "pagerduty-webhook")

METRICS = ("file", "prometheus", "proxy", "pushed")
MetricsOptions = FileOptions | PrometheusOptions | ProxyOptions | PushedOptions

PAGERS = ("apprise", "email", "pagerduty", "slack", "terminal", "webhook")
PagerOptions = (
    AppriseOptions
    | EmailOptions
    | PagerDutyOptions
    | SlackOptions
    | TerminalOptions
    | WebhookOptions
)


ROUTERS = ("command", "haproxy", "split")
RouterOptions = CommandOptions | HaproxyOptions | SplitOptions


# Options of pagers that want to hear what became of an incident.
FOLLOWERS = (PagerDutyOptions, SlackOptions, WebhookOptions)


class Contact(Struct, frozen=True):
    """How a person is known to those who carry pages."""

    email: str = ""
    slack: str = ""


class Tools(Struct):
    """What pagers are built with: the way out, the journal's name, clock and secrets.

    `outbound` takes addresses that are secrets and so stand in no config. `link` gives the address
    of an incident's page, empty when nobody said where midwatch is.
    """

    outbound: Callable[..., Outbound]
    journal: str
    clock: Callable[[], int]
    secrets: Mapping[str, str]
    link: Callable[[str], str] = lambda incident: ""
    contacts: Mapping[str, Contact] = {}


def make_source(
    kind: str, naming: Naming = NAMING, options: GenericOptions | None = None
) -> Source:
    """Build the source adapter of this kind; only `generic` has options.

    >>> type(make_source("alertmanager")).__name__
    'AlertmanagerSource'
    """
    match kind:
        case "alertmanager":
            from midwatch.adapters.sources.alertmanager import AlertmanagerSource

            return AlertmanagerSource(naming)
        case "generic":
            from midwatch.adapters.sources.generic import GenericSource

            return GenericSource(naming, options)
        case "grafana":
            from midwatch.adapters.sources.grafana import GrafanaSource

            return GrafanaSource(naming)
        case "pagerduty":
            from midwatch.adapters.sources.pagerduty import PagerDutySource

            return PagerDutySource(naming)
        case "pagerduty-webhook":
            from midwatch.adapters.sources.pagerduty_webhook import PagerDutyWebhookSource

            return PagerDutyWebhookSource(naming)
        case _:
            raise InputError(
                f"no source type is named {kind!r}", remedy=f"use one of {', '.join(SOURCES)}"
            )


def make_pager(options: PagerOptions, tools: Tools) -> Pager:
    """Build a pager. Raises InputError when its secret is not there, or is none."""
    match options:
        case TerminalOptions():
            from midwatch.adapters.pagers.terminal import TerminalPager

            return TerminalPager()
        case PagerDutyOptions():
            from midwatch.adapters.pagers.pagerduty import PagerDutyPager

            key = _secret(options.routing_key_env, tools.secrets)
            outbound = tools.outbound(options.url)
            return PagerDutyPager(options, key, outbound, tools.journal, tools.clock, tools.link)
        case SlackOptions():
            return _slack(options, tools)
        case EmailOptions():
            from midwatch.adapters.pagers.email import EmailPager

            password = _secret(options.password_env, tools.secrets) if options.username else ""
            addresses = {name: one.email for name, one in tools.contacts.items()}
            return EmailPager(options, password, tools.journal, tools.clock, tools.link, addresses)
        case AppriseOptions():
            from midwatch.adapters.pagers.apprise import ApprisePager

            name = options.url_env
            return ApprisePager(_secret(name, tools.secrets), name, tools.link)
        case WebhookOptions():
            from midwatch.adapters.pagers.webhook import WebhookPager

            return WebhookPager(
                options,
                _secret(options.secret_env, tools.secrets),
                tools.outbound(options.url),
                tools.journal,
                tools.clock,
            )


def make_router(
    options: RouterOptions, environment: Mapping[str, str], outbound: Callable[[str], Outbound]
) -> Router:
    """Build a router. Raises InputError when its secret is not there."""
    if isinstance(options, SplitOptions):
        from midwatch.adapters.routers.split import SplitRouter

        token = _secret(options.token_env, environment)
        return SplitRouter(options, token, outbound(options.url))
    if isinstance(options, HaproxyOptions):
        from midwatch.adapters.routers.haproxy import HaproxyRouter

        return HaproxyRouter(options)
    from midwatch.adapters.routers.command import CommandRouter

    return CommandRouter(options, environment)


def make_metrics(
    options: MetricsOptions,
    slos: Mapping[str, Slo],
    outbound: Callable[[], Outbound],
    secrets: Mapping[str, str],
    skew: Callable[[], int] = lambda: 0,
) -> Metrics:
    """Build a source of counts for these objectives. Raises InputError when its secret lacks.

    It is asked in the journal's time; `skew` says how far that is ahead of the wall clock.
    """
    match options:
        case FileOptions():
            from midwatch.adapters.metrics.file import FileMetrics

            return FileMetrics(options)
        case PushedOptions():
            from midwatch.adapters.metrics.pushed import PushedMetrics

            return PushedMetrics(slos)
        case ProxyOptions():
            from midwatch.adapters.metrics.proxy import ProxyMetrics

            return ProxyMetrics(options, _secret(options.token_env, secrets), outbound())
        case PrometheusOptions():
            from midwatch.adapters.metrics.prometheus import PrometheusMetrics

            name = options.token_env or options.password_env
            secret = _secret(name, secrets) if name else ""
            headers = {one: _secret(name, secrets) for one, name in options.headers_env.items()}
            return PrometheusMetrics(options, outbound(), secret, skew=skew, headers=headers)


def _slack(options: SlackOptions, tools: Tools) -> Pager:
    from midwatch.adapters.pagers.slack import SlackPager

    url = _secret(options.url_env, tools.secrets)
    name = options.signing_secret_env
    signing = _secret(name, tools.secrets) if name else ""
    ids = {person: one.slack for person, one in tools.contacts.items() if one.slack}
    return SlackPager(url, signing, tools.outbound(url), tools.clock, tools.link, ids)


def _secret(name: str, secrets: Mapping[str, str]) -> str:
    if not secrets.get(name):
        raise InputError(
            "the environment variable is not set",
            place=f"${name}",
            remedy="export it before starting midwatch",
        )
    return secrets[name]
