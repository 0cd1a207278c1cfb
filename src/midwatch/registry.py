"""Name -> adapter.

Law: the built-in ones stand in a static table, so that starting scans nothing; they come in by the
same door as anybody's.
"""

from __future__ import annotations

from collections.abc import Callable

from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.errors import InputError
from midwatch.ports import Source

SOURCES: dict[str, Callable[[tuple[str, ...]], Source]] = {
    "alertmanager": AlertmanagerSource,
}


def make_source(kind: str, service_labels: tuple[str, ...]) -> Source:
    """Build the source adapter of this kind.

    >>> type(make_source("alertmanager", ("service",))).__name__
    'AlertmanagerSource'
    """
    build = SOURCES.get(kind)
    if build is None:
        raise InputError(
            f"no source is called {kind!r}", remedy=f"use one of {', '.join(sorted(SOURCES))}"
        )
    return build(service_labels)
