"""Whom a page can reach: people with their pagers, schedules of them, and policies over both.

Law: a policy is a list of steps and nothing else; who stands behind a name of a step is found at
the moment of the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from midwatch.core.values.alerts import Level
from midwatch.core.values.schedules import Override, Schedule
from midwatch.core.values.severity import SEVERITY_TABLE, URGENCY, Severity, Urgency


class Person(Struct, frozen=True):
    """Somebody and how they are reached: by these pagers, the first that works.

    `called` is how people write the name; `time_zone` is where they live, "" when nobody says.
    """

    name: str
    pagers: tuple[str, ...] = ()
    called: str = ""
    time_zone: str = ""


class Step(Struct, frozen=True):
    """Page these people at once, then wait `delay_s` for an ack before the next step.

    `to` names people, or schedules: then it is whoever is on call. `channels` are pagers that no
    person owns, such as a room. `via` is the pager to use; without it each has their own.
    """

    to: tuple[str, ...]
    delay_s: int = 300
    via: str = ""
    channels: tuple[str, ...] = ()


class Team(Struct, frozen=True):
    """What all policies share.

    `followers` are pagers that want to hear what became of an incident. Times are in seconds; an
    `ack_s` of 0 never forgets an ack.
    """

    people: dict[str, Person] = field(default_factory=dict[str, Person])
    schedules: dict[str, Schedule] = field(default_factory=dict[str, Schedule])
    followers: frozenset[str] = frozenset()
    last_resort: tuple[str, ...] = ()
    urgency: dict[Severity, Urgency] = field(default_factory=lambda: dict(URGENCY))
    table: dict[Level, tuple[Severity, Severity, Severity]] = field(
        default_factory=lambda: dict(SEVERITY_TABLE)
    )
    ack_s: int = 4 * 3_600
    digest_s: int = 30
    again_s: int = 1_800

    def zones(self) -> dict[str, str]:
        """Say in which time zone each person lives: their own, else that of their schedule."""
        found = {
            name: one.time_zone
            for one in reversed(self.schedules.values())
            for layer in one.layers
            for name in layer.people
        }
        told = {name: one.time_zone for name, one in self.people.items() if one.time_zone}
        return found | told

    def behind(
        self, name: str, now: int, overrides: Mapping[str, Sequence[Override]]
    ) -> str | None:
        """Name the person behind a person's or a schedule's name; None when nobody is on call."""
        schedule = self.schedules.get(name)
        return schedule.on_call(now, overrides.get(name, ())) if schedule else name

    def pagers(self, person: str, via: str = "") -> tuple[str, ...]:
        """List the pagers that reach a person, best first; an empty name is the first there is."""
        if via:
            return (via,)
        known = self.people.get(person)
        return known.pagers if known else ("",)


class Policy(Struct, frozen=True):
    """Steps in order; after the last one they start over `repeat` times."""

    name: str
    steps: tuple[Step, ...]
    repeat: int = 1
    team: Team = Team()

    def step(self, number: int) -> Step | None:
        """Give step `number`, counted over all repeats; None when the policy is exhausted.

        >>> p = Policy("p", (Step(("ada",)), Step(("ben",))), repeat=1)
        >>> [s.to if (s := p.step(n)) else None for n in range(5)]
        [('ada',), ('ben',), ('ada',), ('ben',), None]
        """
        if number >= len(self.steps) * (self.repeat + 1):
            return None
        return self.steps[number % len(self.steps)]


class Sides(Struct, frozen=True):
    """For whom somebody answers: the incident's own people, and policies asked besides."""

    own: bool
    besides: tuple[str, ...] = ()


class Route(Struct, frozen=True):
    """Which policy pages for these services and severities; empty is any."""

    policy: str
    services: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()

    def fits(self, services: Iterable[str], severity: str) -> bool:
        """Say whether an incident goes this way.

        >>> Route("night", ("shop",)).fits(["cart", "shop"], "sev1")
        True
        """
        theirs = not self.services or not set(self.services).isdisjoint(services)
        return theirs and (not self.severities or severity in self.severities)
