"""Name -> adapter.

Law: the built-in ones stand in a static table, so that starting scans nothing; they come in by the
same door as anybody's.
"""

from __future__ import annotations

from collections.abc import Callable

from midwatch.adapters.pagers.terminal import TerminalPager
from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.adapters.sources.generic import GenericOptions, GenericSource
from midwatch.adapters.sources.grafana import GrafanaSource
from midwatch.adapters.sources.pagerduty import PagerDutySource
from midwatch.errors import InputError
from midwatch.ports import Pager, Source

SOURCES: dict[str, Callable[[tuple[str, ...]], Source]] = {
    "alertmanager": AlertmanagerSource,
    "generic": GenericSource,
    "grafana": GrafanaSource,
    "pagerduty": PagerDutySource,
}

PAGERS: dict[str, Callable[[], Pager]] = {
    "terminal": TerminalPager,
}


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


def make_pager(kind: str) -> Pager:
    """Build the pager adapter of this kind.

    >>> type(make_pager("terminal")).__name__
    'TerminalPager'
    """
    build = PAGERS.get(kind)
    if build is None:
        raise InputError(
            f"no pager is called {kind!r}", remedy=f"use one of {', '.join(sorted(PAGERS))}"
        )
    return build()
