"""A process that dies at each point of a runbook, one after another."""

from __future__ import annotations

import os

import pytest

from midwatch.core.state import events as e
from midwatch.drill import checkers, scenarios
from midwatch.drill.crashes import CrashingStore, crashing
from midwatch.drill.reports import Story
from midwatch.drill.scenarios import Scenario
from midwatch.drill.shift import Crashed, Shift
from midwatch.engine.verify import verify

MANY = 4
EVERY = 1 if os.environ.get("MIDWATCH_SOAK") else 3


class Plug:
    """Pulls the plug once, at a point of the run; without one it notes where the run is."""

    def __init__(self, at: int = -1) -> None:
        self.at = at
        self.count = 0
        self.during: list[int] = []
        self.shift: Shift | None = None

    def __call__(self, point: str) -> None:
        """Pass a point."""
        number = self.count
        self.count += 1
        if number == self.at:
            raise Crashed(point)
        if self.shift is not None:
            incidents = self.shift.engine.handler.shard.incidents.values()
            if any(one.run in ("running", "waiting") for one in incidents):
                self.during.append(number)


def play(scenario: Scenario, plug: Plug) -> tuple[Story, list[str]]:
    """Play a shift to its end; gives its story and the laws that it broke."""
    store = CrashingStore.memory().armed(plug)
    shift = Shift(scenario, store, wrap=lambda world: crashing(world, plug))
    plug.shift = shift
    shift.run()
    story = Story(store, shift.engine.handler.shard)
    broken = checkers.broken_laws(story, shift.storm, scenario, shift.log)
    broken += verify(store)[1]
    if not all(passed for _, passed, _ in checkers.expected(story, scenario, shift.log)):
        broken.append("the shift did not end as it should")
    remedied = [one.operation for one in shift.log.remedied()]
    if len(set(remedied)) != len(remedied):
        broken.append(f"done twice: {remedied}")
    return story, broken


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retry-storm", "prompt-regression"])
def test_a_crash_at_each_point_of_a_runbook_ends_well(name: str) -> None:
    """Done, or tried once more after a look, or a page: never twice, and never forgotten."""
    scenario = scenarios.load(scenarios.find(name))
    whole = Plug()
    _, broken = play(scenario, whole)
    assert broken == []
    points = whole.during
    assert len(points) >= MANY
    for at in points[:: EVERY if len(points) > MANY else 1]:
        story, broken = play(scenario, Plug(at))
        assert broken == [], f"{name}, the plug was pulled at point {at}"
        started = [fact.event.operation for fact in story.all(e.ActionStarted)]
        assert len(started) == len(set(started)), f"{name}, point {at}"
