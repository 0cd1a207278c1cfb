"""Which incident an alert, a burn or a ticket joins, and why.

Law: each joins the single best open incident whose score reaches THRESHOLD, else it opens a new
one. Nothing is ever merged through a chain of others. A refresh of an alert that fires already
writes nothing; the same alert with a later start is a new firing, and proof that the former one
ended. A namespace is a wall. A service without a place in the call graph is unknown, not alone: it
is grouped by time, and the reason says so.

The score is relation times freshness, both between 0 and 1:

    relation    same service 1, one call away .7, two calls .5, unknown .4, known apart 0
    freshness   1 until FRESH_S after the incident's first alert, then halved every HALF_LIFE_S;
                what reports lasting harm, a burn or a ticket, keeps it longer
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from midwatch.core import events
from midwatch.core.alerts import Alert
from midwatch.core.clock import SECOND
from midwatch.core.decision import Decision
from midwatch.core.incidents import Incident, is_open
from midwatch.core.reasons import Reason, Term
from midwatch.core.topology import Topology

RULE = "correlation/1"
THRESHOLD = 0.35
RELATION_BY_HOPS = {0: 1.0, 1: 0.7, 2: 0.5}
RELATION_UNKNOWN = 0.4
FRESH_S = 300
# A fault's alerts come together; what fires minutes later on the same services is mostly the next
# fault. A burn needs most of an hour to be sure, and people write when they have time.
HALF_LIFE_S = 60
HALF_LIFE_LASTING_S = 1_800


class Candidate(Struct):
    """What the scorer has to know of an incident; it grows while a batch is placed."""

    incident: str
    namespace: str
    first_at: int
    services: dict[str, None]

    def absorb(self, alert: Alert) -> None:
        """Count an alert in."""
        self.services[alert.service] = None
        self.first_at = min(self.first_at, alert.starts_at)
        self.namespace = self.namespace or alert.namespace


class Symptom(Struct, frozen=True):
    """Whatever looks for its incident: an alert, or with `lasting` a burn or a ticket."""

    service: str
    namespace: str
    at: int
    lasting: bool = False


class Placement(Struct, frozen=True):
    """The best incident, None when a new one has to be opened, and the reason."""

    incident: str | None
    reason: Reason


def candidate_of(incident: Incident) -> Candidate:
    """Take from an incident what the scorer needs."""
    return Candidate(
        incident.id,
        incident.namespace,
        incident.first_at,
        dict.fromkeys(incident.services),
    )


def open_candidates(d: Decision) -> list[Candidate]:
    """List the incidents that still absorb, oldest first."""
    return [candidate_of(d.shard.incidents[i]) for i in d.shard.open]


def score(symptom: Symptom, candidate: Candidate, topology: Topology) -> dict[str, Term]:
    """Give the terms of one pairing; `score` is their product.

    >>> near = Candidate("INC-1", "", 0, {"shop": None})
    >>> score(Symptom("shop", "", 1000), near, Topology())["score"]
    1.0
    """
    if symptom.namespace and candidate.namespace and symptom.namespace != candidate.namespace:
        return {"score": 0.0, "namespace": candidate.namespace, "relation": "another namespace"}
    relation, word = _relation(symptom.service, candidate, topology)
    age_s = max(symptom.at - candidate.first_at, 0) / SECOND
    half_life_s = HALF_LIFE_LASTING_S if symptom.lasting else HALF_LIFE_S
    freshness = 1.0 if age_s <= FRESH_S else 0.5 ** ((age_s - FRESH_S) / half_life_s)
    return {
        "score": round(relation * freshness, 4),
        "relation": word,
        "relation_value": relation,
        "age_s": round(age_s, 1),
        "freshness": round(freshness, 4),
    }


def _relation(service: str, candidate: Candidate, topology: Topology) -> tuple[float, str]:
    if service and service in candidate.services:
        return 1.0, "same service"
    if not topology.knows(service):
        return RELATION_UNKNOWN, "not in the call graph: time only"
    best: int | None = None
    through, unknown = "", False
    for other in candidate.services:
        hops = topology.hops(service, other)
        if hops is not None and (best is None or hops < best):
            best, through = hops, other
        unknown = unknown or not topology.knows(other)
    if best is not None:
        calls = "one call" if best == 1 else f"{best} calls"
        return RELATION_BY_HOPS[best], f"{calls} from {through}"
    if unknown:
        return RELATION_UNKNOWN, "not in the call graph: time only"
    return 0.0, "apart in the call graph"


def place(
    symptom: Symptom, candidates: Iterable[Candidate], topology: Topology, threshold: float
) -> Placement:
    """Find the best incident. Ties go to the older one."""
    best: tuple[float, str, dict[str, Term]] | None = None
    second: tuple[float, str] | None = None
    for candidate in candidates:
        terms = score(symptom, candidate, topology)
        value = float(terms["score"])
        if best is None or value > best[0]:
            second = (best[0], best[1]) if best else None
            best = (value, candidate.incident, terms)
        elif second is None or value > second[0]:
            second = (value, candidate.incident)
    if best is None:
        return Placement(None, Reason(RULE, "no incident is open", {"threshold": threshold}))
    value, name, terms = best
    terms["threshold"] = threshold
    if value < threshold:
        says = f"nothing open is close enough: {name} scores {value:.2f}, {terms['relation']}"
        return Placement(None, Reason(RULE, says, terms, runner_up=name))
    runner_up = ""
    if second is not None and second[0] > 0:
        runner_up = second[1]
        terms["margin"] = round(value - second[0], 4)
    says = f"{terms['relation']}, {terms['age_s']} s after the first alert"
    return Placement(name, Reason(RULE, says, terms, runner_up=runner_up))


def attach(
    d: Decision, topology: Topology, alerts: Iterable[Alert], threshold: float = THRESHOLD
) -> dict[str, Incident]:
    """Put each alert of a batch into exactly one incident; give the incidents that changed.

    Firing alerts go first, so that an incident whose page resolves while its ticket newly fires
    is never taken for over. Equal times are ordered by fingerprint: delivery order is an accident.
    """
    batch = sorted(alerts, key=lambda a: (a.starts_at, a.fingerprint))
    candidates = {c.incident: c for c in open_candidates(d)}
    attached: dict[str, list[events.Attachment]] = {}
    over: dict[str, dict[str, None]] = {}
    seen: dict[str, str] = {}
    for alert in batch:
        if alert.status != "firing" or alert.fingerprint in seen or _is_refresh(d, alert):
            continue
        symptom = Symptom(alert.service, alert.namespace, alert.starts_at)
        placement = _home(d, alert) or place(symptom, candidates.values(), topology, threshold)
        name = placement.incident
        if name is None:
            title = f"{alert.name or 'alert'} on {alert.service or 'unknown service'}"
            name = open_incident(d, symptom, title, placement.reason).id
            candidates[name] = Candidate(name, alert.namespace, alert.starts_at, {})
        candidates[name].absorb(alert)
        seen[alert.fingerprint] = name
        before = d.shard.firing.get(alert.fingerprint, name)
        if before != name:
            over.setdefault(before, {})[alert.fingerprint] = None
        attached.setdefault(name, []).append(events.Attachment(alert, placement.reason))
    touched: dict[str, Incident] = {}
    for name, fingerprints in over.items():
        d.emit(events.AlertsResolved(name, tuple(fingerprints)))
        touched[name] = d.shard.incidents[name]
    for name, items in attached.items():
        d.emit(events.AlertsAttached(name, tuple(items)))
        touched[name] = d.shard.incidents[name]
    for name, fingerprints in _resolved(d, batch).items():
        d.emit(events.AlertsResolved(name, tuple(fingerprints)))
        touched[name] = d.shard.incidents[name]
    return touched


def _home(d: Decision, alert: Alert) -> Placement | None:
    """Find the open incident of a problem that its sender has named before."""
    home = d.shard.firing.get(alert.fingerprint) if alert.keyed else None
    if home is None or not is_open(d.shard.incidents[home]):
        return None
    return Placement(home, Reason(RULE, "the sender's key is open there"))


def _is_refresh(d: Decision, alert: Alert) -> bool:
    """Say whether this very firing is known already."""
    home = d.shard.firing.get(alert.fingerprint)
    if home is None:
        return False
    return alert.starts_at <= d.shard.incidents[home].firing[alert.fingerprint].starts_at


def _resolved(d: Decision, batch: list[Alert]) -> dict[str, dict[str, None]]:
    """Group the resolved alerts by the incident that they fired in; others say nothing."""
    over: dict[str, dict[str, None]] = {}
    for alert in batch:
        incident = d.shard.firing.get(alert.fingerprint)
        if alert.status == "resolved" and incident is not None:
            over.setdefault(incident, {})[alert.fingerprint] = None
    return over


def open_incident(d: Decision, symptom: Symptom, title: str, reason: Reason) -> Incident:
    """Open an incident; after a resolved one of the same service it is linked as a recurrence."""
    name = f"INC-{d.shard.next_incident}"
    d.emit(
        events.IncidentOpened(
            name,
            symptom.service,
            symptom.namespace,
            title,
            symptom.at,
            reason,
            d.shard.last_resolved.get(symptom.service, ""),
        )
    )
    return d.shard.incidents[name]


def place_burn(
    d: Decision, topology: Topology, service: str, title: str, threshold: float = THRESHOLD
) -> tuple[Incident, Reason]:
    """Find the incident that a burn belongs to, as for an alert of the same service, or open it."""
    symptom = Symptom(service, "", d.now, lasting=True)
    placement = place(symptom, open_candidates(d), topology, threshold)
    if placement.incident is not None:
        return d.shard.incidents[placement.incident], placement.reason
    return open_incident(d, symptom, title, placement.reason), placement.reason
