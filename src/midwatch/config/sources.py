"""Where alerts come from, and what their labels mean.

Law: a source has a kind and an address of its own; only a generic one says how it is read.
"""

from __future__ import annotations

from typing import cast

from msgspec import Struct

from midwatch.adapters.sources.generic import FIELDS, GenericOptions, steps
from midwatch.core.values.alerts import LEVELS, SERVICE_LABELS, Level, Naming
from midwatch.registry import SOURCES
from midwatch.yaml_nodes import Node


class SourceConfig(Struct, frozen=True):
    """One place that alerts come from: its kind, and how a generic one is read.

    With `pages` it tells what another system really paged for: midwatch shadow report compares.
    """

    kind: str
    options: GenericOptions = GenericOptions()
    pages: bool = False


def read_sources(node: Node) -> dict[str, SourceConfig]:
    """Read where alerts come from."""
    return {name: _source(item) for name, item in node.entries()}


def read_naming(main: Node) -> Naming:
    """Read which labels name a service, and what one's own severities mean."""
    labels = tuple(n.text() for n in main.child("service_labels").items()) or SERVICE_LABELS
    kinds = tuple(dict.fromkeys(LEVELS.values()))
    own: dict[str, Level] = {
        name.lower(): cast("Level", node.choice(*kinds))
        for name, node in main.child("levels").entries()
    }
    return Naming(labels, {**LEVELS, **own})


def _source(node: Node) -> SourceConfig:
    kind = node.child("type").choice(*sorted(SOURCES))
    pages = node.child("as").choice("alerts", "pages", default="alerts") == "pages"
    if kind != "generic":
        node.keys("type", "as", required=("type",))
        return SourceConfig(kind, pages=pages)
    node.keys("type", "as", "alerts", "fields", "resolved", required=("type", "fields"))
    node.child("fields").keys(*FIELDS, required=("name",))
    usual = GenericOptions()
    words = tuple(item.text() for item in node.child("resolved").items())
    return SourceConfig(
        kind,
        GenericOptions(
            {name: _path(item) for name, item in node.child("fields").entries()},
            _path(node.child("alerts")) if node.has("alerts") else "",
            words or usual.resolved,
        ),
        pages,
    )


def _path(node: Node) -> str:
    text = node.text()
    try:
        steps(text)
    except ValueError as error:
        node.error(f"not a valid path: {error}", "write it like $.labels.app or $.items[0]")
        return "$"
    return text
