"""Files of objectives, of whichever format, read together.

Law: the format is told by what a document says of itself, never by its name; what is wrong in any
of them is collected, with file, line and key. Objectives are called `service/name`, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field

from midwatch.adapters.specs import openslo, pyrra, sloth
from midwatch.adapters.specs.openslo_documents import DataSource, Documents, data_sources
from midwatch.adapters.specs.settings import Defaults, Found
from midwatch.core.values.slo import Slo
from midwatch.yaml_nodes import Node, Problems, read_documents

SLOTH_API = "sloth.slok.dev/v1"


class Specs(Struct, frozen=True):
    """What the files say: objectives by id, and named sources."""

    found: dict[str, Found] = field(default_factory=dict[str, Found])
    sources: dict[str, DataSource] = field(default_factory=dict[str, DataSource])
    services: frozenset[str] = frozenset()  # that have a document of their own

    @property
    def slos(self) -> dict[str, Slo]:
        """The objectives alone, by id."""
        return {name: one.slo for name, one in self.found.items()}


def read_specs(
    files: Iterable[Path], problems: Problems, defaults: Defaults | None = None
) -> Specs:
    """Read files together; wrong ones are noted in `problems` and give nothing."""
    defaults = defaults or Defaults()
    documents = Documents()
    sloths, pyrras, windows = list[Node](), list[Node](), list[Node]()
    for file in files:
        for root in _documents(file, problems):
            if root.mapping is None:
                root.error(root.found, "write an OpenSLO, Sloth or Pyrra document")
            elif root.has("version"):
                root.child("version").choice("prometheus/v1")
                sloths.append(root)
            elif root.child("apiVersion").value == pyrra.API:
                pyrras.append(root)
            elif root.child("apiVersion").value == SLOTH_API:
                kind = root.child("kind").choice("PrometheusServiceLevel", "AlertWindows")
                (windows if kind == "AlertWindows" else sloths).append(root)
            elif root.has("apiVersion"):
                documents.add(root)
            else:
                says = (
                    f"write apiVersion: openslo/v1, version: prometheus/v1 (Sloth) or {pyrra.API}"
                )
                root.error("the format is not stated", says)
    found = openslo.slos(documents, defaults)
    read = [sloth.alert_windows(root) for root in windows]
    for root in sloths:
        found.extend(sloth.slos(root, sloth.with_period(defaults, read)))
    found.extend(one for root in pyrras if (one := pyrra.slo_of(root, defaults)))
    openslo.check_others(documents)
    sources = data_sources(documents)
    for one in found:
        _check_queries(one, sources)
    by_id: dict[str, Found] = {}
    for one in found:
        if one.slo.id in by_id:
            says = "give each objective of a service a unique name"
            one.name.error(f"the SLO {one.slo.id} is defined twice", says)
        by_id[one.slo.id] = one
    services = frozenset(openslo.services(documents))
    return Specs(by_id, sources, services)


def _documents(file: Path, problems: Problems) -> Iterator[Node]:
    """Give each document of a file; a list stands for its items, as OpenSLO's SDK writes them.

    A list of nothing is an error: whoever wrote it expects to be paged.
    """
    for root in read_documents(file, problems):
        if root.value == []:
            root.error("the list is empty", "write a document, or remove the file")
        elif root.shape == "a list":
            yield from root.items()
        else:
            yield root


def _check_queries(found: Found, sources: Mapping[str, DataSource]) -> None:
    """Check the queries that are PromQL by what the files say; config may know more sources."""
    indicator = found.slo.indicator
    named = sources.get(indicator.source) if indicator else None
    for query in found.queries:
        if query.promql or (named is not None and named.kind == "prometheus"):
            query.check()
