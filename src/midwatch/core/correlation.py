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
from itertools import islice

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

    def absorb(self, alert: Alert) -> bool:
        """Count an alert in, and say whether that can change a score."""
        known = (
            alert.service in self.services
            and alert.starts_at >= self.first_at
            and (not alert.namespace or bool(self.namespace))
        )
        if known:
            return False
        self.services[alert.service] = None
        self.first_at = min(self.first_at, alert.starts_at)
        self.namespace = self.namespace or alert.namespace
        return True


class Symptom(Struct, frozen=True, gc=False):
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
    if _is_walled(symptom, candidate):
        return {"score": 0.0, "namespace": candidate.namespace, "relation": "another namespace"}
    relation, word = _relation(symptom.service, candidate, topology)
    age_s = max(symptom.at - candidate.first_at, 0) / SECOND
    return {
        "score": value_of(symptom, candidate, topology),
        "relation": word,
        "relation_value": relation,
        "age_s": round(age_s, 1),
        "freshness": round(_freshness(symptom, age_s), 4),
    }


def value_of(symptom: Symptom, candidate: Candidate, topology: Topology) -> float:
    """Give the score alone."""
    if _is_walled(symptom, candidate):
        return 0.0
    relation, _ = _relation(symptom.service, candidate, topology)
    age_s = (symptom.at - candidate.first_at) / SECOND
    return relation if age_s <= FRESH_S else round(relation * _freshness(symptom, age_s), 4)


def _is_walled(symptom: Symptom, candidate: Candidate) -> bool:
    """Say whether a namespace stands between the two."""
    return (
        symptom.namespace != candidate.namespace
        and bool(symptom.namespace)
        and bool(candidate.namespace)
    )


def _freshness(symptom: Symptom, age_s: float) -> float:
    half_life_s = HALF_LIFE_LASTING_S if symptom.lasting else HALF_LIFE_S
    return 1.0 if age_s <= FRESH_S else 0.5 ** ((age_s - FRESH_S) / half_life_s)


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
    best: tuple[float, Candidate] | None = None
    second: tuple[float, str] | None = None
    for candidate in candidates:
        value = value_of(symptom, candidate, topology)
        if best is None or value > best[0]:
            second = (best[0], best[1].incident) if best else None
            best = (value, candidate)
        elif second is None or value > second[0]:
            second = (value, candidate.incident)
    if best is None:
        return Placement(None, Reason(RULE, "no incident is open", {"threshold": threshold}))
    value, name = best[0], best[1].incident
    terms: dict[str, Term] = {**score(symptom, best[1], topology), "threshold": threshold}
    if value < threshold:
        says = f"nothing open is close enough: {name} scores {value:.2f}, {terms['relation']}"
        return Placement(None, Reason(RULE, says, terms, runner_up=name))
    runner_up = ""
    if second is not None and second[0] > 0:
        runner_up = second[1]
        terms["margin"] = round(value - second[0], 4)
    says = f"{terms['relation']}, {terms['age_s']} s after the first alert"
    return Placement(name, Reason(RULE, says, terms, runner_up=runner_up))


class _Board:
    """The open incidents while a batch is placed.

    A storm's alerts are alike: what was found for one symptom holds for the next like it, until an
    incident has changed in a way that a score can see. Only incidents that can score are looked at:
    those with a near service, or with one that is not in the call graph.
    """

    def __init__(self, d: Decision, topology: Topology, threshold: float) -> None:
        self._d = d
        self._topology = topology
        self._threshold = threshold
        self._candidates: dict[str, Candidate] = {}
        self._order: dict[str, int] = {}
        self._by_service: dict[str, list[str]] = {}
        self._vague: list[str] = []  # incidents with a service that is not in the call graph
        self._found: dict[Symptom, Placement] = {}
        for candidate in open_candidates(d):
            self._add(candidate)
            for service in candidate.services:
                self._index(candidate.incident, service)

    def put(self, alert: Alert) -> tuple[str, Reason]:
        """Find the incident of an alert, opening it when there is none, and count it in."""
        symptom = Symptom(alert.service, alert.namespace, alert.starts_at)
        placement = _home(self._d, alert) or self._found.get(symptom)
        if placement is None:
            candidates = self._that_can_score(alert.service)
            placement = place(symptom, candidates, self._topology, self._threshold)
            self._found[symptom] = placement
        name = placement.incident
        if name is None:
            title = f"{alert.name or 'alert'} on {alert.service or 'unknown service'}"
            name = open_incident(self._d, symptom, title, placement.reason).id
            self._add(Candidate(name, alert.namespace, alert.starts_at, {}))
        candidate = self._candidates[name]
        is_new = alert.service not in candidate.services
        if candidate.absorb(alert):
            self._found.clear()
        if is_new:
            self._index(name, alert.service)
        return name, placement.reason

    def _add(self, candidate: Candidate) -> None:
        self._order[candidate.incident] = len(self._order)
        self._candidates[candidate.incident] = candidate

    def _index(self, incident: str, service: str) -> None:
        self._by_service.setdefault(service, []).append(incident)
        if not self._topology.knows(service):
            self._vague.append(incident)

    def _that_can_score(self, service: str) -> Iterable[Candidate]:
        """Give the incidents that this service may join, oldest first, and the oldest of all."""
        if not self._topology.knows(service):
            return self._candidates.values()
        names = {*self._vague, *self._by_service.get(service, ())}
        for other in self._topology.near(service):
            names.update(self._by_service.get(other, ()))
        names.update(islice(self._candidates, 1))  # what is named when nothing is close
        return [self._candidates[name] for name in sorted(names, key=self._order.__getitem__)]


def attach(
    d: Decision, topology: Topology, alerts: Iterable[Alert], threshold: float = THRESHOLD
) -> dict[str, list[Alert]]:
    """Put each alert of a batch into exactly one incident.

    Gives what was newly attached to each incident that changed; nothing when alerts only resolved.

    Firing alerts go first, so that an incident whose page resolves while its ticket newly fires
    is never taken for over. Equal times are ordered by fingerprint: delivery order is an accident.
    """
    news = [a for a in alerts if not _is_refresh(d, a)]
    if not news:
        return {}
    news.sort(key=lambda a: (a.starts_at, a.fingerprint))
    board = _Board(d, topology, threshold)
    attached: dict[str, list[events.Attachment]] = {}
    over: dict[str, dict[str, None]] = {}
    seen: set[str] = set()
    for alert in news:
        if alert.status != "firing" or alert.fingerprint in seen:
            continue
        seen.add(alert.fingerprint)
        name, reason = board.put(alert)
        before = d.shard.firing.get(alert.fingerprint, name)
        if before != name:
            over.setdefault(before, {})[alert.fingerprint] = None
        attached.setdefault(name, []).append(events.Attachment(alert, reason))
    touched: dict[str, list[Alert]] = {}
    for name, fingerprints in over.items():
        d.emit(events.AlertsResolved(name, tuple(fingerprints)))
        touched[name] = []
    for name, items in attached.items():
        d.emit(events.AlertsAttached(name, tuple(items)))
        touched[name] = [item.alert for item in items]
    for name, fingerprints in _resolved(d, news).items():
        d.emit(events.AlertsResolved(name, tuple(fingerprints)))
        touched.setdefault(name, [])
    return touched


def _home(d: Decision, alert: Alert) -> Placement | None:
    """Find the open incident of a problem that its sender has named before."""
    home = d.shard.firing.get(alert.fingerprint) if alert.keyed else None
    if home is None or not is_open(d.shard.incidents[home]):
        return None
    return Placement(home, Reason(RULE, "the sender's key is open there"))


def _is_refresh(d: Decision, alert: Alert) -> bool:
    """Say whether this very firing is known already, so that there is nothing to write."""
    home = d.shard.firing.get(alert.fingerprint)
    if home is None or alert.status != "firing":
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
