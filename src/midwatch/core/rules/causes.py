"""What most likely caused an incident: services, best first, each with its reason.

Law: a cause is named with evidence or not at all. Evidence is a change shortly before, on a service
of the incident, on one that it calls, or on one that calls two of its services in trouble; to be
the first that fired; to be the deepest in trouble, with callees that are well; a signal from
inside, such as a full disk, for its own service; and for a service that is silent that two or more
call it which are in trouble. What fires again and again for no cause counts for nothing, and so
does what only informs. A lone alert has no cause but itself, and then none is named.

    score   the sum of WEIGHTS: each says what one kind of evidence is worth beside the others

The weights are rounded from a conditional logit that was fitted on 756 made outages of 24 days, but
for that of a change, which was raised on others; docs/correlation.md says how.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from midwatch.core.state.incidents import Incident
from midwatch.core.values import changes as changes_
from midwatch.core.values.alerts import Alert
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import SECOND
from midwatch.core.values.topology import Topology

CHANGED, FIRST, DEEP, INSIDE, LOUD = 3.5, 0.75, 0.5, 0.5, 0.5
REACHED, LASTS, RULES = 1.0, 1.0, 1.0  # at the most
CALLEES, SILENT, NOISE = -1.5, -0.5, -1.5
MANY = 5  # services that reach it, and rules of it: more say no more
# So many of its callers, or of its callees when it was changed, must be in trouble before a service
# that is silent may be the cause.
CALLERS = CALLEES_HURT = 2
MAX_CAUSES = 10
IN_TROUBLE = "in trouble"
_BY_CHANGE = "the first alert; "
# A signal from inside: its own service is what is wrong.
_INSIDE = re.compile(
    r"disk|filesystem|inode|volume|storage|memory|oom|restart|crash|replica|evict", re.IGNORECASE
)


class Cause(Struct, frozen=True):
    """A service that may have caused an incident, how likely beside the others, and why."""

    service: str
    score: float
    why: str


def rank(incident: Incident, topology: Topology, changes: Sequence[Change] = ()) -> list[Cause]:
    """Rank what may have caused an incident, at most MAX_CAUSES, best first.

    >>> t = Topology([], [("shop", "cart"), ("cart", "db")])
    >>> onsets = {"shop": 1, "cart": 2, "db": 3}
    >>> storm = Incident("INC-1", "shop", "", "", 0, services=onsets, first_at=1)
    >>> for cause in rank(storm, t):
    ...     print(cause.service, cause.score, cause.why)
    db 1.9 in trouble, called by cart; its own callees are healthy
    shop 1.0 the first to fire
    cart 0.45 in trouble, called by shop
    >>> rank(storm, t, [Change("d-1", "db", "deploy", 0)])[0].why
    'deploy d-1, 0 s before the first alert; in trouble itself'
    """
    return _Found(incident, topology, changes).ranked()


def evident(incident: Incident, ranked: Sequence[Cause]) -> list[Cause]:
    """Keep the causes that something speaks for besides that they are in trouble.

    >>> lone = Incident("INC-1", "db", "", "", 0, services={"db": 1}, first_at=1)
    >>> evident(lone, rank(lone, Topology([], [("shop", "db")])))
    []
    """
    found = [one for one in ranked if one.why != IN_TROUBLE]
    alone = len(incident.services) <= 1
    return [one for one in found if not alone or _BY_CHANGE in one.why]


class _Found:
    """The candidates of one incident."""

    def __init__(self, incident: Incident, topology: Topology, changes: Sequence[Change]) -> None:
        self._incident = incident
        self._topology = topology
        self._onset = {service: at for service, at in incident.services.items() if service}
        self._noise = {
            service
            for service, count in incident.noise.items()
            if (trouble := incident.troubles.get(service)) and count >= trouble.alerts
        }
        # What only informs says nothing about harm, neither as a cause nor as a callee in trouble.
        self._noise |= {
            service
            for service, trouble in incident.troubles.items()
            if trouble.names and all(level == "info" for level in trouble.names.values())
        }
        self._real = {one: at for one, at in self._onset.items() if one not in self._noise}
        began = self._real or self._onset
        self._first = min(began, key=lambda one: (began[one], one), default="")
        self._firsts = sum(at == began[self._first] for at in began.values())
        self._began_at = min(began.values(), default=incident.first_at)
        self._now = max([incident.last_at, *incident.ended.values()])
        self._callers = self._called_by_trouble()
        self._changed = self._changes(changes)

    def ranked(self) -> list[Cause]:
        """List them, best first."""
        causes = [(self._judge(name), name) for name in self._candidates()]
        causes.sort(key=lambda one: (-one[0], self._onset.get(one[1], 2**62), one[1]))
        return [
            Cause(name, round(total, 3), self._why(name)) for total, name in causes[:MAX_CAUSES]
        ]

    def _called_by_trouble(self) -> dict[str, list[str]]:
        callers: dict[str, list[str]] = {}
        for service in self._onset:
            for callee in self._topology.callees(service):
                if callee != service:
                    callers.setdefault(callee, []).append(service)
        return callers

    def _changes(self, changes: Sequence[Change]) -> dict[str, Change]:
        """Find the newest change before, of each service that it can have hurt."""
        found: dict[str, Change] = {}
        for change in changes_.before(changes, self._began_at):
            service = change.service
            if service in self._onset or service in self._callers or self._hurts(service):
                found[service] = change
        return found

    def _hurts(self, service: str) -> bool:
        """Say whether it calls two services in trouble: what it asks of them may be too much."""
        return len(self._explained_by(service)) >= CALLEES_HURT

    def _candidates(self) -> Iterable[str]:
        """Give the services in trouble, silent ones that several call, and what was changed."""
        silent = [one for one, by in self._callers.items() if len(by) >= CALLERS]
        return dict.fromkeys((*self._onset, *silent, *self._changed))

    def _explained_by(self, service: str) -> list[str]:
        """List the callees that are in trouble themselves."""
        return [
            one for one in self._topology.callees(service) if one in self._real and one != service
        ]

    def _reached_by(self, service: str) -> int:
        """Count the services in trouble that call it, directly or through others in trouble."""
        seen: set[str] = set()
        edge = [service]
        while edge and len(seen) < MANY:
            at = edge.pop()
            for caller in self._callers.get(at, ()):
                if caller in self._real and caller not in seen and caller != service:
                    seen.add(caller)
                    edge.append(caller)
        return min(len(seen), MANY)

    def _is_deep(self, service: str) -> bool:
        """Say whether it is in trouble, a caller of it is, too, and none of its callees is."""
        return (
            service in self._onset
            and not self._explained_by(service)
            and any(one in self._real for one in self._callers.get(service, ()))
        )

    def _inside(self, service: str) -> str:
        """Name an alert of a service about what is inside it, "" when there is none."""
        trouble = self._incident.troubles.get(service)
        return next((name for name in trouble.names if _INSIDE.search(name)), "") if trouble else ""

    def _share(self, service: str) -> float:
        """Say for how much of the time since its onset a service was in trouble."""
        trouble = self._incident.troubles.get(service)
        if trouble is None or trouble.firing:
            return 1.0
        onset = self._onset[service]
        lasted = self._incident.ended.get(service, onset) - onset
        return max(0.0, min(1.0, lasted / max(self._now - onset, 60 * SECOND)))

    def _judge(self, service: str) -> float:
        total = CHANGED * (service in self._changed) + REACHED * self._reached_by(service) / MANY
        if service not in self._onset:
            return total + SILENT
        total += CALLEES * min(len(self._explained_by(service)), 2) / 2
        trouble = self._incident.troubles.get(service)
        names = trouble.names if trouble else {}
        total += RULES * min(len(names), MANY) / MANY + LASTS * self._share(service)
        total += LOUD * ("critical" in names.values() or self._burns(service))
        total += FIRST * (service == self._first) + DEEP * self._is_deep(service)
        return total + INSIDE * bool(self._inside(service)) + NOISE * (service in self._noise)

    def _burns(self, service: str) -> bool:
        return any(slo.startswith(f"{service}/") for slo in self._incident.slos)

    def _why(self, service: str) -> str:
        callers = self._callers.get(service, ())
        change = self._changed.get(service)
        if change is not None:
            before_s = (self._began_at - change.at) / SECOND
            side = "before" if before_s >= 0 else "after"
            if service in self._onset:
                own = "in trouble itself"
            elif callers:
                own = f"called by {_some(callers)}"
            else:
                own = f"calls {_some(self._explained_by(service))}"
            return f"{change.says}, {abs(before_s):.0f} s {side} {_BY_CHANGE}{own}"
        if service not in self._onset:
            return f"silent, called by {_some(callers)}"
        said: list[str] = []
        if service == self._first and self._firsts == 1 and len(self._onset) > 1:
            said.append("the first to fire")
        if callers:
            deep = "; its own callees are healthy" if self._is_deep(service) else ""
            said.append(f"{IN_TROUBLE}, called by {_some(callers)}{deep}")
        if inside := self._inside(service):
            said.append(f"{inside} is about itself")
        return "; ".join(said) or IN_TROUBLE


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
