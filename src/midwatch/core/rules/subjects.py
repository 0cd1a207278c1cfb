"""Whose plan it is: the service that a runbook's match means in an incident, and what proves it.

Law: a plan belongs to what matched, never to the incident's first service. A named objective means
its service, labels mean the service of the one alert that they fit, a cause means itself; where
several are named the objective goes first, then the labels. Nothing is left to a default: where
alerts of that service disagree about a value there is no plan.
"""

from __future__ import annotations

from msgspec import Struct

from midwatch.core.state.incidents import Incident
from midwatch.core.state.members import speaking
from midwatch.core.values.keys import service_of
from midwatch.core.values.plans import Match
from midwatch.core.values.silences import all_fit
from midwatch.errors import InputError


class Subject(Struct, frozen=True):
    """What a plan acts on, and the objectives that have to be well after it; none without an SLI.

    >>> Subject("shop", ("shop/answers",)).name, Subject("db", ("shop/answers",)).name
    ('shop/answers', 'db')
    """

    service: str
    proofs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: its objective where it has one of its own, else the service."""
        own = len(self.proofs) == 1 and service_of(self.proofs[0]) == self.service
        return self.proofs[0] if own else self.service


def about(incident: Incident, service: str) -> Subject:
    """Say what proves a plan for a service: its own objectives that burned, else all that did.

    >>> burns = {"shop/answers": 0, "db/writes": 0}
    >>> one = Incident("INC-1", "shop", "", "slow", 0, slos=burns)
    >>> about(one, "db").proofs, about(one, "mail").proofs
    (('db/writes',), ('shop/answers', 'db/writes'))
    """
    burn = tuple(slo for slo, well_at in incident.slos.items() if not well_at)
    own = tuple(slo for slo in burn if service_of(slo) == service)
    return Subject(service, own or burn or tuple(incident.slos))


def fitting(match: Match, incident: Incident, cause: str) -> list[Subject]:
    """List what a runbook is meant for in an incident; `cause` is the likeliest one.

    >>> burns = {"shop/answers": 0, "db/writes": 0}
    >>> one = Incident("INC-1", "shop", "", "slow", 0, slos=burns)
    >>> [each.service for each in fitting(Match("db/writes"), one, "")]
    ['db']
    >>> [each.service for each in fitting(Match(cause="cache"), one, "cache")]
    ['cache']
    """
    if match.cause and match.cause != cause:
        return []
    alerts = speaking(incident)
    if match.slo:
        service = service_of(match.slo)
        alike = any(one.service == service and all_fit(match.labels, one.labels) for one in alerts)
        burns = incident.slos.get(match.slo) == 0  # else it is well already
        return [Subject(service, (match.slo,))] if burns and (alike or not match.labels) else []
    if match.labels:
        services = [one.service for one in alerts if all_fit(match.labels, one.labels)]
    elif match.cause:
        services = [match.cause]
    else:
        services = [service_of(slo) for slo in incident.slos] or [one.service for one in alerts]
    return [about(incident, service) for service in dict.fromkeys(services)]


def chosen(match: Match, incident: Incident, cause: str, service: str = "") -> Subject:
    """Say what a runbook acts on that a person names; `service` is the one they mean.

    Raises InputError when that could be another one.

    >>> chosen(Match("shop/answers"), Incident("INC-1", "shop", "", "", 0), "").service
    'shop'
    """
    known = known_services(incident)
    meant = fitting(match, incident, cause)
    if service:
        named = [one for one in meant if one.service == service]
        if not named and service not in known:
            remedy = f"its services are {', '.join(known)}"
            raise InputError(f"{incident.id} has no service {service!r}", remedy=remedy)
        return named[0] if named else about(incident, service)
    found = meant or [about(incident, one) for one in known]
    if len(found) != 1:
        names = ", ".join(one.service for one in found) or "unknown"
        says = f"it could act on several services of {incident.id}: {names}"
        raise InputError(says, remedy="choose one with --service")
    return found[0]


def known_services(incident: Incident) -> list[str]:
    """List the services that an incident is about: in trouble, burning, or the first one."""
    burned = [service_of(slo) for slo in incident.slos]
    return list(dict.fromkeys((*burned, *incident.services, incident.service)))


def label(incident: Incident, service: str, name: str) -> str:
    """Give the value on which the alerts of a service agree, "" when none of them has it.

    Raises InputError when they disagree: whichever it would be, it could be the wrong one.
    """
    found = {
        one.labels[name]
        for one in speaking(incident)
        if name and one.service == service and name in one.labels
    }
    if len(found) > 1:
        says = f"alerts of {service} disagree on {name}: {', '.join(sorted(found))}"
        raise InputError(says, remedy="choose one with --param")
    return found.pop() if found else ""
