"""A shard in virtual time, for tests that live through hours."""

from __future__ import annotations

from midwatch.core import decide
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs
from midwatch.core.state.incidents import Incident
from midwatch.core.state.shard import Shard
from midwatch.core.values.clock import SECOND


class Shift:
    """A shard whose timers come due; times are seconds after `zero`, in milliseconds."""

    def __init__(self, rules: Rules, zero: int = 0) -> None:
        self.rules = rules
        self.shard = Shard()
        self.timers: dict[str, inputs.Timer] = {}
        self.told: list[tuple[int, events.Event]] = []
        self.zero = zero

    def give(self, given: inputs.Input, at: int) -> None:
        """Decide on an input at its time."""
        decision = decide.decide(self.shard, given, self.zero + at * SECOND, self.rules)
        self.told += [(at, event) for event in decision.events]
        for key, timer in decision.timers.items():
            self.timers.pop(key, None)
            if timer is not None:
                self.timers[key] = timer

    def wake(self, until: int) -> None:
        """Let everything come due that does until a time, each at its own."""
        now = self.zero + until * SECOND
        while due := [one for one in self.timers.values() if one.due_at <= now]:
            first = min(due, key=lambda one: one.due_at)
            del self.timers[first.key]
            self.give(inputs.TimerCameDue(first), (first.due_at - self.zero) // SECOND)

    def pages(self, incident: str = "INC-1") -> list[int]:
        """When somebody was paged for an incident."""
        found = ((at, x) for at, x in self.told if isinstance(x, events.PagePlanned))
        return [at for at, page in found if page.incident == incident]

    def incident(self, name: str = "INC-1") -> Incident:
        """The incident of this name."""
        return self.shard.incidents[name]
