"""An alert: one firing condition with labels, and the hash that says which one it is.

Law: the fingerprint depends on the labels alone, never on annotations, times, order or Python's
own hash; an id of a trace, a deploy or a change says what the alert belongs to, not which one it
is. An end that lies in the year 1, Alertmanager's way of saying "not yet", is no end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Struct, field

Status = Literal["firing", "resolved"]
Level = Literal["critical", "error", "warning", "info"]

SERVICE_LABELS = ("service", "sloth_service", "app", "job")

# How the field spells severities. A spelling that is not here is an `error`: in doubt the higher
# one, yet nobody is woken by a typo in a label alone.
LEVELS: dict[str, Level] = {
    "critical": "critical",
    "page": "critical",
    "emergency": "critical",
    "fatal": "critical",
    "error": "error",
    "major": "error",
    "high": "error",
    "warning": "warning",
    "warn": "warning",
    "ticket": "warning",
    "minor": "warning",
    "low": "info",
    "info": "info",
    "none": "info",
}

RANK: dict[Level, int] = {"critical": 0, "error": 1, "warning": 2, "info": 3}

# What a label or an annotation may call the id of a trace, a deploy or a change, without regard to
# case, "_", "-" and ".".
REFS = {
    "traceid": "trace",
    "deployid": "deploy",
    "deploymentid": "deploy",
    "changeid": "change",
    "changenumber": "change",
}


# What tells of others names itself as the service; what it tells of stands in one of these labels.
ABOUT = (
    "deployment",
    "statefulset",
    "daemonset",
    "cronjob",
    "job_name",
    "horizontalpodautoscaler",
    "persistentvolumeclaim",
    "container",
    "node",
)
_TELLS_OF_OTHERS = re.compile(
    r"(^|-)(kube-state-metrics|kubelet|cadvisor|node[-_]exporter|blackbox[-_]exporter)$"
)


class Naming(Struct, frozen=True):
    """How labels are read: which of them name the service, and what severities mean."""

    services: tuple[str, ...] = SERVICE_LABELS
    levels: dict[str, Level] = field(default_factory=lambda: LEVELS)
    groups: bool = False  # whether the sender's own groups are kept: some route asks for them


NAMING = Naming()


_canonical = msgspec.json.Encoder(order="sorted").encode


# gc=False, here and in what holds alerts by the thousand: none of it can be part of a ring, and the
# collector would walk through all of it again and again.
class Alert(Struct, frozen=True, gc=False):
    """One alert as every source hands it over.

    `service` is empty when no label names one; `ends_at` is None while it fires. `keyed` when the
    sender itself says which problem it is: a repeat belongs to the incident that is open for it.
    `severity` is set by midwatch alone, for what it raises itself; else impact is looked up.
    `refs` are the ids of traces, deploys and changes that it names, such as "trace:7f3a", and
    `runbook` the address that its rule names for whoever is woken.
    """

    fingerprint: str
    name: str
    service: str
    namespace: str
    level: Level
    status: Status
    starts_at: int
    ends_at: int | None = None
    summary: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    keyed: bool = False
    severity: str = ""
    refs: tuple[str, ...] = ()
    runbook: str = ""
    group: str = ""  # the sender's own, where a route asks for it


MAX_LINK = 500


def link_of(text: str) -> str:
    """Give an address that may be shown as a link, empty when it is none.

    >>> link_of("https://wiki/shop#slow"), link_of("javascript:alert(1)"), link_of("see the wiki")
    ('https://wiki/shop#slow', '', '')
    """
    fits = text.startswith(("https://", "http://")) and len(text) <= MAX_LINK
    return text if fits and text.isprintable() and " " not in text else ""


def refs_in(named: Mapping[str, str]) -> tuple[str, ...]:
    """Find the ids of traces, deploys and changes in labels or annotations.

    >>> refs_in({"Trace-ID": "7f3a", "team": "shop", "deploy_id": "d-12"})
    ('trace:7f3a', 'deploy:d-12')
    """
    return _refs(named, _ref_names(tuple(named)))


def _refs(named: Mapping[str, str], found: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{kind}:{named[name]}" for name, kind in found if named[name])


@lru_cache(4096)  # alerts of a rule have the same names again and again
def _ref_names(names: tuple[str, ...]) -> list[tuple[str, str]]:
    found = ((name, REFS.get(name.translate(_IGNORED).lower(), "")) for name in names)
    return [(name, kind) for name, kind in found if kind]


_IGNORED = str.maketrans("", "", "_-.")


def fingerprint(labels: Mapping[str, str]) -> str:
    """Hash the labels, in any order, to 16 hex digits.

    >>> fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    True
    >>> fingerprint({"a": "1b", "c": ""}) == fingerprint({"a": "1", "bc": ""})
    False
    """
    # Quotes stand around each name and value, so no two label sets can run together.
    return blake2b(_canonical(labels), digest_size=8).hexdigest()


class Identity(Struct, frozen=True, gc=False):
    """What labels say, whenever they come: which alert it is, and whom it is about."""

    fingerprint: str
    name: str
    service: str
    namespace: str
    level: Level
    labels: dict[str, str]
    keyed: bool
    refs: tuple[str, ...] = ()

    def alert(
        self,
        status: Status,
        starts_at: int,
        ends_at: int | None = None,
        summary: str = "",
        refs: tuple[str, ...] = (),
        runbook: str = "",
    ) -> Alert:
        """Build the alert. An end at or before the epoch is "not ended"."""
        return Alert(
            self.fingerprint,
            self.name,
            self.service,
            self.namespace,
            self.level,
            status,
            starts_at,
            ends_at if ends_at is not None and ends_at > 0 else None,
            summary,
            self.labels,
            self.keyed,
            "",
            (*self.refs, *refs) if refs else self.refs,
            link_of(runbook) if runbook else "",
        )


def identify(labels: dict[str, str], naming: Naming = NAMING, key: str = "") -> Identity:
    """Read labels.

    The first label that names a service and is set does; what kube-state-metrics and the like tell
    is about the service that they tell of. A sender's own `key` takes the labels' place as the
    identity.

    >>> identify({"alertname": "Slow", "app": "shop"}).service
    'shop'
    >>> identify({"job": "kube-state-metrics", "namespace": "eu", "deployment": "shop"}).service
    'shop'
    >>> one, two = (identify({"alertname": "Slow", "trace_id": t}) for t in ("a", "b"))
    >>> one.fingerprint == two.fingerprint, one.refs
    (True, ('trace:a',))
    """
    service = ""
    for name in naming.services:
        if service := labels.get(name, ""):
            break
    if service and _TELLS_OF_OTHERS.search(service):
        service = next(filter(None, (labels.get(name, "") for name in ABOUT)), service)
    passing = _ref_names(tuple(labels))
    lasting = labels
    if passing:
        gone = {name for name, _ in passing}
        lasting = {name: value for name, value in labels.items() if name not in gone}
    return Identity(
        fingerprint=fingerprint({"": key} if key else lasting),
        name=labels.get("alertname", ""),
        service=service,
        namespace=labels.get("namespace", ""),
        level=naming.levels.get(labels.get("severity", "").lower(), "error"),
        labels=labels,
        keyed=bool(key),
        refs=_refs(labels, passing) if passing else (),
    )
