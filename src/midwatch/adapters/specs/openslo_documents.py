"""OpenSLO's documents: every kind by its name, and the references between them.

Law: a document of another version or kind is named with its line and what to write, and nothing
else is said of it. References reach over all files that are read together.
"""

from __future__ import annotations

import difflib
import re

from msgspec import Struct, field

from midwatch.yaml_nodes import Node

KINDS = (
    "DataSource",
    "Service",
    "SLI",
    "SLO",
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
)
# OpenSLO asks for an RFC 1123 label; what people write beyond it and what cannot be confused with a
# path or with words is accepted.
NAME = re.compile(r"[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?")
OTHERS = {
    "openslo/v1alpha": "an objective's ratioMetrics is indicator.spec.ratioMetric there, and"
    " timeWindows is timeWindow with a duration",
    "openslo.com/v2alpha": "serviceRef is service there, sli is indicator, and dataSourceRef is"
    " metricSource.metricSourceRef",
}


class DataSource(Struct, frozen=True):
    """Where metrics are: a kind in small letters and, for Prometheus, its address."""

    kind: str
    url: str


class Documents(Struct):
    """All documents that are read together, by kind and name."""

    found: dict[str, dict[str, Node]] = field(default_factory=dict[str, dict[str, Node]])

    def add(self, root: Node) -> None:
        """Take a document in; a kind has each name once."""
        version = root.child("apiVersion")
        if version.value in OTHERS:
            version.error(
                f"{version.value} is not supported", f"write openslo/v1: {OTHERS[version.value]}"
            )
            return
        root.keys("apiVersion", "kind", "metadata", "spec", required=("kind", "metadata", "spec"))
        version.choice("openslo/v1")
        kind = root.child("kind").choice(*KINDS)
        name = name_of(root)
        there = self.found.setdefault(kind, {})
        if name in there and kind != "SLO":  # objectives are told apart by their service too
            root.child("metadata").child("name").error(
                f"the {kind} {name!r} is defined twice", f"it is also defined in {there[name].file}"
            )
        there[f"{root.file}:{root.line}" if kind == "SLO" else name] = root

    def get(self, kind: str, name: Node) -> Node | None:
        """Follow a reference; an unknown one is noted."""
        known = self.found.get(kind, {})
        text = name.text()
        if text and text not in known:
            near = difflib.get_close_matches(text, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"add a document of kind {kind}"
            name.error(f"unknown {kind} {text!r}", hint)
        return known.get(text)


def data_sources(documents: Documents) -> dict[str, DataSource]:
    """Read the DataSource documents."""
    found: dict[str, DataSource] = {}
    for name, root in documents.found.get("DataSource", {}).items():
        spec = root.child("spec")
        spec.keys("description", "type", "connectionDetails", required=("type",))
        kind = spec.child("type").text().lower()
        details = spec.child("connectionDetails")
        url = ""
        if kind == "prometheus":
            if details.value is None:
                spec.error(
                    "connectionDetails is missing", "add connectionDetails: {url: http://...}"
                )
            else:
                url = _url(details)
        elif kind:
            spec.child("type").error(f"got {kind!r}", "write Prometheus")
        found[name] = DataSource(kind, url)
    return found


def name_of(root: Node) -> str:
    """Read the metadata of a document, and give its name; empty when it has none."""
    metadata = root.child("metadata")
    if metadata.value is None:
        return ""
    metadata.keys("name", "displayName", "labels", "annotations", required=("name",))
    name = metadata.child("name")
    text = name.text()
    if text and not NAME.fullmatch(text):
        name.error(f"got {text!r}", "use letters, digits, - and _, such as checkout-latency")
    labels_of(metadata)
    return text


def labels_of(metadata: Node) -> dict[str, str]:
    """Read labels; one with several values has them in one text, as `a,b`."""
    found: dict[str, str] = {}
    for key, node in metadata.child("labels").entries():
        values = list(node.items()) if isinstance(node.value, list) else [node]
        found[key] = ",".join(one.scalar() for one in values)
    return found


def _url(details: Node) -> str:
    """Read the address; OpenSLO's SDK writes the details as a list of mappings."""
    parts = list(details.items()) if isinstance(details.value, list) else [details]
    for part in parts:
        part.keys("url", required=("url",))
    if len(parts) != 1:
        details.error(f"got {len(parts)} entries", "write one url")
    return parts[0].child("url").text() if parts else ""
