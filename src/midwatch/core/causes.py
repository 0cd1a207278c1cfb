"""What most likely caused an incident: services, best first, each with its reason.

Law: a change just before stands before everything: half of the faults have a root that raises no
alert. Then a symptom calls its cause: what is called by services in trouble, and is in trouble
itself, stands before those that call it; an alert that takes part in many incidents says little.
Among equals, the service whose callees are well, then the earlier onset, then the severity. With
nothing to go by the answer is empty: unknown.

    weight      1 - 2 * share of the incidents in which this type of alert takes part, at least 0,
                less for a lower severity: the greatest of a service's alerts
    score       OWN * weight + CALLED * what of its direct callers' weights it explains
                + CALLING * what of its callees' weights it sees + CHANGED for a change just before
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import sqrt

from msgspec import Struct

from midwatch.core import changes as changes_
from midwatch.core.alerts import RANK, Alert
from midwatch.core.changes import Change
from midwatch.core.clock import SECOND
from midwatch.core.habits import Habits
from midwatch.core.incidents import Incident, Trouble, type_of
from midwatch.core.topology import Topology

OWN, CALLED, CALLING, NEIGHBOUR = 0.5, 0.6, 0.5, 0.1
COMMON = 2.0
BY_SEVERITY = 0.8
CHANGED = 3.0
BY_HOPS = {0: 1.0, 1: 0.8, 2: 0.6}
SAME_PART, UNKNOWN = 0.4, 0.2
MAX_CAUSES = 10


class Cause(Struct, frozen=True):
    """A service that may have caused an incident, how likely beside the others, and why."""

    service: str
    score: float
    why: str


def rank(
    incident: Incident, topology: Topology, habits: Habits, changes: Sequence[Change] = ()
) -> list[Cause]:
    """Rank what may have caused an incident, at most MAX_CAUSES, best first.

    >>> t = Topology([], [("shop", "cart"), ("cart", "db")])
    >>> trouble = Trouble(1, names={"Slow": "critical"})
    >>> onsets = {"shop": 1, "cart": 2, "db": 3}
    >>> storm = Incident("INC-1", "shop", "", "", 0, services=onsets, first_at=1)
    >>> storm.troubles = dict.fromkeys(onsets, trouble)
    >>> for cause in rank(storm, t, Habits()):
    ...     print(cause.service, cause.score, cause.why)
    db 1.1 in trouble, called by cart; its own callees are well
    cart 1.1 in trouble, called by shop
    shop 0.5 in trouble
    >>> rank(storm, t, Habits(), [Change("d-1", "paper", "deploy", 0)])[0].why
    'deploy d-1, 0 s before the first alert; not in the call graph'
    """
    found = _Found(incident, topology, habits)
    for change in changes_.before(changes, incident.first_at):
        found.blame(change)
    return found.ranked()


class _Found:
    """The candidates of one incident."""

    def __init__(self, incident: Incident, topology: Topology, habits: Habits) -> None:
        self._incident = incident
        self._topology = topology
        self._onset = {service: at for service, at in incident.services.items() if service}
        self._weight = {
            service: _weight(service, incident.troubles.get(service), habits)
            for service in self._onset
        }
        self._score: dict[str, float] = {}
        self._changed: dict[str, tuple[float, str]] = {}
        self._callers = self._called_by_trouble()
        for service in self._candidates():
            self._score[service] = self._judge(service)

    def blame(self, change: Change) -> None:
        """Count a change that came just before, by how close its service is to the trouble."""
        relation, says = self._relation(change.service)
        if not relation:
            return
        before_s = (self._incident.first_at - change.at) / SECOND
        when = f"{abs(before_s):.0f} s {'before' if before_s >= 0 else 'after'} the first alert"
        known = self._changed.get(change.service, (0.0, ""))
        why = f"{change.says}, {when}; {says}"
        self._changed[change.service] = max(known, (CHANGED * (1 + relation), why))

    def ranked(self) -> list[Cause]:
        """List them, best first."""
        names = {**self._score, **self._changed}
        causes = [(self._total(name), self._ties(name), name) for name in names]
        causes.sort(key=lambda one: (-one[0], one[1]))
        return [
            Cause(name, round(total, 3), self._why(name))
            for total, _, name in causes[:MAX_CAUSES]
            if total > 0
        ]

    def _total(self, service: str) -> float:
        changed, _ = self._changed.get(service, (0.0, ""))
        return max(changed, self._score.get(service, 0.0))

    def _ties(self, service: str) -> tuple[bool, int, int, str]:
        trouble = self._incident.troubles.get(service)
        worst = min((RANK[level] for level in trouble.names.values()), default=9) if trouble else 9
        return not self._is_deep(service), self._onset.get(service, 2**62), worst, service

    def _is_deep(self, service: str) -> bool:
        """Say whether a service is in trouble and none of those it calls is."""
        callees = self._topology.callees(service)
        return service in self._onset and not any(one in self._onset for one in callees)

    def _called_by_trouble(self) -> dict[str, list[str]]:
        callers: dict[str, list[str]] = {}
        for service in self._onset:
            for callee in self._topology.callees(service):
                callers.setdefault(callee, []).append(service)
        return callers

    def _candidates(self) -> Iterable[str]:
        """Give the services in trouble and their direct neighbours."""
        found = dict.fromkeys(self._onset)
        found.update(dict.fromkeys(self._callers))
        for service in self._onset:
            found.update(dict.fromkeys(self._topology.callers(service)))
        return found

    def _judge(self, service: str) -> float:
        topology, weight = self._topology, self._weight
        callees = [one for one in topology.callees(service) if one in weight]
        explains = sum(
            weight[one] / sqrt(len(topology.callees(one))) for one in self._callers.get(service, ())
        )
        if service in weight:
            return OWN * weight[service] + CALLED * min(1.0, explains)
        near = [*self._callers.get(service, ()), *callees]
        silent = NEIGHBOUR * max((weight[one] for one in near), default=0.0)
        if explains > 1:
            silent = CALLED
        sees = sum(weight[one] for one in callees) / max(len(weight), 1)
        return silent + CALLING * min(1.0, sees)

    def _relation(self, service: str) -> tuple[float, str]:
        topology = self._topology
        if service in self._onset:
            return BY_HOPS[0], "in trouble itself"
        near = topology.near(service)
        hops = [(near[one], one) for one in self._onset if one in near]
        if hops:
            count, through = min(hops)
            calls = "one call" if count == 1 else f"{count} calls"
            return BY_HOPS[count], f"{calls} from {through}"
        parts = {part for one in self._onset if (part := topology.part(one))}
        part = topology.part(service)
        if not part or not parts:
            return UNKNOWN, "not in the call graph"
        return (SAME_PART, "connected with it") if part in parts else (0.0, "")

    def _why(self, service: str) -> str:
        if service in self._changed:
            return self._changed[service][1]
        callers = self._callers.get(service, ())
        if service in self._onset:
            by = f", called by {_some(callers)}" if callers else ""
            deep = "; its own callees are well" if callers and self._is_deep(service) else ""
            return f"in trouble{by}{deep}"
        if callers:
            return f"silent, called by {_some(callers)}"
        callees = [one for one in self._topology.callees(service) if one in self._onset]
        return f"silent, calls {_some(callees)}"


def _weight(service: str, trouble: Trouble | None, habits: Habits) -> float:
    """Say how much a service's alerts say: a rare critical one 1, one in every incident 0."""
    if trouble is None:  # a burn or a ticket alone
        return 1.0
    return max(
        max(0.0, 1 - COMMON * habits.share(type_of(service, name)))
        * (1 - BY_SEVERITY * RANK[level] / 3)
        for name, level in trouble.names.items()
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more


def widens(incident: Incident, alerts: Sequence[Alert]) -> bool:
    """Say whether a service is in trouble by these alerts alone: the causes are other ones then."""
    counts = Counter(alert.service for alert in alerts)
    return any(
        service in incident.troubles and incident.troubles[service].alerts <= count
        for service, count in counts.items()
    )
