"""What people configured: the part of the world that does not change while a shard runs.

Law: rules say what is wanted and decide nothing; each noun is handed the part that it needs.
"""

from __future__ import annotations

from msgspec import Struct, field

from midwatch.core.rules import proposing
from midwatch.core.rules.correlation import THRESHOLD, Places
from midwatch.core.rules.heartbeats import Watched
from midwatch.core.rules.planning import Books, Means
from midwatch.core.state.incidents import Incident
from midwatch.core.state.runs import Run, lead
from midwatch.core.state.shard import Shard
from midwatch.core.values.canary import CanaryPlan
from midwatch.core.values.categories import Category
from midwatch.core.values.evals import Suite
from midwatch.core.values.gathering import Gathering
from midwatch.core.values.severity import Severity
from midwatch.core.values.silences import Matcher, Muting
from midwatch.core.values.slo import Slo, Verify
from midwatch.core.values.teams import Policy, Route, Sides
from midwatch.core.values.topology import Topology


class Rules(Struct, frozen=True):
    """Everything that config says about incidents and releases."""

    topology: Topology = field(default_factory=Topology)
    slos: dict[str, Slo] = field(default_factory=dict[str, Slo])
    policy: Policy = Policy("none", ())
    books: Books = Books()
    categories: tuple[Category, ...] = ()
    trouble: tuple[str, ...] = ()  # words of reports that say that something is wrong
    trusted: frozenset[str] = frozenset()  # senders of reports whose `affected` is believed
    suites: dict[str, Suite] = field(default_factory=dict[str, Suite])
    threshold: float = THRESHOLD
    wall: str = ""  # the label that no incident crosses
    gatherings: tuple[Gathering, ...] = ()
    policies: dict[str, Policy] = field(default_factory=dict[str, Policy])
    routes: tuple[Route, ...] = ()
    jobs: dict[str, Watched] = field(default_factory=dict[str, Watched])
    muting: Muting = Muting()
    canaries: dict[str, CanaryPlan] = field(default_factory=dict[str, CanaryPlan])
    always_page: tuple[tuple[Matcher, ...], ...] = ()  # alerts that no objective speaks for
    always_case: bool = False  # whether a case is owed where none can be made, too

    def slo_of(self, service: str) -> Slo | None:
        """Find the objective of a service."""
        return next((s for s in self.slos.values() if s.service == service), None)

    def policy_of(self, incident: Incident) -> Policy:
        """Find who is paged for an incident: whoever was, else whose service it speaks of."""
        known = self.policies.get(incident.policy)
        if known is not None:
            return known
        if incident.tickets and not incident.services:  # nobody knows a service: no route fits
            return self.policy
        return self.policy_for(incident.speaks_of, incident.severity or "sev1")

    @property
    def people(self) -> frozenset[str]:
        """Whoever may stand in: those of `people`, else whoever has a turn or is in a policy."""
        team = self.policy.team
        if team.people:
            return frozenset(team.people)
        turns = (name for one in team.schedules.values() for name in one.people)
        policies = (self.policy, *self.policies.values())
        steps = (name for one in policies for step in one.steps for name in step.to)
        return frozenset((*turns, *steps)) - frozenset(team.schedules)

    def policy_for(self, service: str, severity: Severity) -> Policy:
        """Find who is paged for news of a service."""
        route = next((one for one in self.routes if one.fits((service,), severity)), None)
        return self.policies.get(route.policy, self.policy) if route else self.policy

    def same_people(self, one: str, other: str) -> bool:
        """Say whether two policies page the same people; one that is gone pages nobody."""
        if one == other:
            return True
        known = [self._people(name) for name in (one, other)]
        return bool(known[0]) and known[0] == known[1]

    def sides_of(self, incident: Incident, by: str) -> Sides:
        """Say for whom somebody answers, where people of several policies are asked.

        Each for their own; whoever is in none of them for the incident's own; a name that is
        nobody's for all.
        """
        asked = (*incident.besides, *incident.others_left)
        if by not in self.people:
            return Sides(own=True, besides=asked)
        theirs = {one.beside for one in incident.pages if one.to == by}
        besides = tuple(one for one in asked if one in theirs or by in self._members(one))
        own = not besides or "" in theirs or by in self._members(incident.policy)
        return Sides(own=own, besides=besides)

    def is_member(self, name: str, person: str) -> bool:
        """Say whether somebody is in a policy."""
        return person in self._members(name)

    def _members(self, name: str) -> frozenset[str]:
        """Name whoever is in a policy, also those who have no turn just now."""
        schedules = self.policy.team.schedules
        named = self._people(name)
        turns = (who for one in named & schedules.keys() for who in schedules[one].people)
        return named | frozenset(turns)

    def _people(self, name: str) -> frozenset[str]:
        policy = self.policies.get(name)
        steps = policy.steps if policy else ()
        return frozenset(who for step in steps for who in (*step.to, *step.channels))

    def places(self, shard: Shard) -> Places:
        """Give by what alerts are placed."""
        return Places(self.topology, self.threshold, self.muting, self.wall, self.gatherings)

    def verify_of(self, incident: Incident, slo_id: str = "") -> Verify:
        """Find what proves recovery: the plan's own words, else those of a runbook for its SLO.

        A plan speaks for the objectives that prove it; without `slo_id` the first is asked for.
        """
        wanted = slo_id if slo_id and incident.slo else incident.slo
        speaking = [one for one in incident.plans if wanted in _proves(incident, one)]
        found = lead(speaking)
        if found is not None and found.plan is not None:
            return found.plan.verify
        return next(iter(self.verifies(wanted)), Verify())

    def verifies(self, slo_id: str) -> tuple[Verify, ...]:
        """List what may have to be proven of an objective."""
        fitting = (book for book in self.books.runbooks if book.match.slo in ("", slo_id))
        return tuple(book.verify for book in fitting)

    def means(self, incident: Incident) -> Means:
        """Give by what a plan for an incident is decided."""
        policy = self.policy_of(incident)
        return Means(self.books, policy, self.topology, self.policy_of, proposing.consider)


def _proves(incident: Incident, run: Run) -> tuple[str, ...]:
    """List the objectives that a plan speaks for; "" where there are none."""
    if run.plan is None:
        return ()
    if run.plan.service is None:  # of midwatch 0.1
        return (incident.slo,)
    return incident.proofs_of(run) or ("",)
