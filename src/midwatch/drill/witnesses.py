"""What has dates and waits in a shift whose clock is wrong: by it is seen what a clock has done.

Law: it is all a function of the seed, and there is none of it while the clock is right. Each name
of a policy takes turns with a stand-in, so that a wrong date pages somebody else. People silence,
snooze and stand in for each other, alerts fire for whoever is silenced, one page waits for its
answer, and at the end all of it is over.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from midwatch.core.state import inputs
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.alerts import Alert, Identity, identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.schedules import DAY_MIN, Hours, Layer, Schedule
from midwatch.core.values.silences import Maintenance, Muting, read_matcher
from midwatch.core.values.teams import Person, Policy, Team
from midwatch.drill.machine import Machine, WrongClock
from midwatch.drill.scenarios import Scenario
from midwatch.drill.world import Sent

SILENCED, KEPT, SNOOZED, WAITING = "w-silenced", "w-kept", "w-snoozed", "w-waiting"
BY = "wim"
TURNS_MIN = (13, 60, 420, DAY_MIN)
ACK_S = 1_500
PROBE_EVERY_S, PROBE_S = 480, 900
SNOOZES_S, SNOOZE_FOR_S = (480, 2_880), 1_200
WAITS_S = (800, 3_200)
WAITS = 3  # pages that nobody answers
ENDS_S = 600  # after the last fault
MINUTE_S = 60

Draw = Callable[[Shard], inputs.Input | None]


class Dates(Struct, frozen=True):
    """What is muted from when to when, in seconds since the start, and how long a turn is."""

    silence_s: tuple[int, int]
    kept_min: tuple[int, int]
    turn_min: int
    stands_in_s: tuple[int, int]


def draw_dates(seed: int) -> Dates:
    """Draw them."""
    rng = Random(f"dates/{seed}")

    def span(first: int, last: int, shortest: int, longest: int) -> tuple[int, int]:
        begin = rng.randrange(first, last)
        return begin, begin + rng.randrange(shortest, longest)

    return Dates(
        span(120, 2_400, 600, 3_600),
        span(3, 50, 10, 50),
        rng.choice(TURNS_MIN),
        span(120, 3_000, 600, 2_400),
    )


def turn_of(name: str) -> str:
    """Name the schedule in which somebody and a stand-in take turns."""
    return f"turns of {name}"


def add_witnesses(scenario: Scenario, wrong: WrongClock, seed: int) -> Scenario:
    """Give the people of a scenario turns, and a window of maintenance, when its clock is wrong."""
    if not wrong:
        return scenario
    dates, rules = draw_dates(seed), scenario.config.rules
    day_min = scenario.starts_at // (MINUTE_S * SECOND) % DAY_MIN
    begin, end = (day_min + one for one in dates.kept_min)
    hours = Hours(from_min=begin % DAY_MIN, to_min=end % DAY_MIN)
    layer = Layer("kept", ("on",), "2020-01-01T00:00", DAY_MIN, hours=(hours,))
    kept = Maintenance(
        "witness", (read_matcher(f"service={KEPT}"),), Schedule("kept", "UTC", (layer,))
    )
    muting = Muting(rules.muting.inhibitions, (*rules.muting.maintenances, kept))
    rules = replace(
        rules,
        policy=_in_turns(rules.policy, dates.turn_min),
        policies={name: _in_turns(one, dates.turn_min) for name, one in rules.policies.items()},
        muting=muting,
    )
    return replace(scenario, config=replace(scenario.config, rules=rules))


def _in_turns(policy: Policy, turn_min: int) -> Policy:
    team = policy.team
    names = sorted(team.people)
    stand_ins = {f"{name}-too": Person(f"{name}-too", team.people[name].pagers) for name in names}
    schedules = {
        turn_of(name): Schedule(
            turn_of(name),
            "UTC",
            (Layer("turns", (name, f"{name}-too"), "2020-01-01T00:00", turn_min),),
        )
        for name in names
    }
    team = Team(
        {**team.people, **stand_ins},
        {**team.schedules, **schedules},
        team.followers,
        team.last_resort,
        team.urgency,
        team.table,
        ACK_S,
        team.digest_s,
        team.again_s,
    )
    steps = tuple(
        replace(step, to=tuple(turn_of(one) if one in names else one for one in step.to))
        for step in policy.steps
    )
    return replace(policy, steps=steps, team=team)


class Witnesses:
    """Says what people and alerts do in a shift whose clock is wrong."""

    def __init__(self, machine: Machine, seed: int, people: tuple[str, ...]) -> None:
        self._machine = machine
        self._people = people
        self._starts_at = machine.starts_at
        self._answered: dict[str, set[str]] = {}
        self.dates = draw_dates(seed)
        last_s = machine.wrong.stops_at_s + ENDS_S if machine.wrong else 0
        self.ends_at = self._starts_at + last_s * SECOND if machine.wrong else 0

    def identity(self, service: str, number: int = 0) -> Identity:
        """Give the identity of an alert of ours."""
        return identify({"alertname": f"Witness{number}", "service": service})

    def probes(self) -> list[tuple[Identity, str]]:
        """List the alerts that fire for what is muted at times, each with its service."""
        numbers = range(self._last_s // PROBE_EVERY_S)
        return [(self.identity(one, n), one) for n in numbers for one in (SILENCED, KEPT)]

    @property
    def _last_s(self) -> int:
        return self._machine.wrong.stops_at_s

    def muted(self, service: str, fired_at: int, at: int) -> bool | None:
        """Say whether what fires since a right time is muted at one, by the dates that were named.

        A window of maintenance mutes what begins to fire in it; of what did before, None.
        """
        since_s = (at - self._starts_at) / SECOND
        if service == SILENCED:
            begin, end = self.dates.silence_s
            return begin <= since_s < end
        begin, end = self._kept()
        return None if fired_at < begin <= at < end else begin <= at < end

    def _kept(self) -> tuple[int, int]:
        """Say from when to when the window of maintenance is: hours begin with a full minute."""
        minute = self._starts_at - self._starts_at % (MINUTE_S * SECOND)
        begin, end = (minute + one * MINUTE_S * SECOND for one in self.dates.kept_min)
        return begin, end

    def turns_at(self) -> list[int]:
        """List the right times at which something begins or ends to be muted."""
        silence = [self._starts_at + one * SECOND for one in self.dates.silence_s]
        return [*silence, *self._kept()]

    def leaves(self, page: Sent, incident: Incident | None) -> bool:
        """Say whether people leave a page unanswered: so it is seen how long is waited."""
        if not self._machine.wrong or incident is None or WAITING not in incident.services:
            return False
        keys = self._answered.setdefault(incident.id, set())
        keys.add(page.key)
        return len(keys) <= WAITS

    def dated(self) -> list[tuple[int, str, Draw]]:
        """List what happens when, with its key."""
        if not self._machine.wrong:
            return []
        found: list[tuple[int, str, Draw]] = []

        def add(at_s: int, key: str, draw: Draw) -> None:
            found.append((self._starts_at + at_s * SECOND, f"witness/{key}", draw))

        add(30, "silence", lambda shard: self._silence())
        if self._people:
            add(40, "override", lambda shard: self._override())
        for number, (identity, service) in enumerate(self.probes()):
            at_s = 60 + number // 2 * PROBE_EVERY_S
            self._fire(add, at_s, at_s + PROBE_S, service, identity)
        for number, at_s in enumerate(SNOOZES_S):
            identity = self.identity(SNOOZED, number)
            self._fire(add, at_s - 180, self._last_s + ENDS_S, SNOOZED, identity)
            add(at_s, f"snooze/{number}", lambda shard, who=identity: self._snooze(shard, who))
        for number, at_s in enumerate(WAITS_S):
            identity = self.identity(WAITING, number)
            self._fire(add, at_s, self._last_s + ENDS_S, WAITING, identity)
        return found

    def _fire(
        self,
        add: Callable[[int, str, Draw], None],
        from_s: int,
        to_s: int,
        service: str,
        identity: Identity,
    ) -> None:
        at, over = (self._starts_at + one * SECOND for one in (from_s, to_s))
        fires = replace(identity.alert("firing", at, summary=service), severity="sev2")
        ends = replace(identity.alert("resolved", at, over), severity="sev2")
        name = identity.fingerprint
        add(from_s, f"fires/{name}", lambda shard: _arrived(fires))
        add(to_s, f"ends/{name}", lambda shard: _arrived(ends))

    def _silence(self) -> inputs.Input:
        begin, end = (self._starts_at + one * SECOND for one in self.dates.silence_s)
        return inputs.AddSilence((f"service={SILENCED}",), begin, end, BY, "a witness")

    def _override(self) -> inputs.Input:
        begin, end = (self._starts_at + one * SECOND for one in self.dates.stands_in_s)
        name = self._people[0]
        return inputs.AddOverride(turn_of(name), f"{name}-too", begin, end, BY)

    def _snooze(self, shard: Shard, identity: Identity) -> inputs.Input | None:
        incident = shard.incidents.get(shard.firing.get(identity.fingerprint, ""))
        if incident is None or incident.state not in ("open", "acknowledged"):
            return None
        until = self._machine.wall() + SNOOZE_FOR_S * SECOND
        return inputs.Snooze(incident.id, BY, until)


def _arrived(alert: Alert) -> inputs.Input:
    return inputs.AlertsArrived("witness", (alert,))
