"""One plan of an incident and how far it is; an incident may have several beside each other.

Law: each burning objective and each service has a plan of its own, named by its hash. What happens
to one is written with its name; what names none is of a journal in which an incident had only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from midwatch.core.values.plans import ROLLBACK, Plan, RunState

UNDER_WAY: tuple[RunState, ...] = ("running", "waiting", "verifying")
ASKS: tuple[RunState, ...] = ("proposed", "waiting")
KEPT = 16  # plans that an incident remembers


class Run(Struct):
    """A plan from its proposal to its end; `subject` is the objective or service that it is for.

    One of a journal that had one plan an incident has no `subject`.
    """

    subject: str = ""
    runbook: str = ""
    hash: str = ""
    plan: Plan | None = None
    state: RunState = "none"
    number: int = 0  # of the incident's runs, from its approval on
    asks: int = 0  # how often the incident had asked when it was proposed, or asked last
    step: int = 0  # of the plan, that is next or under way
    operation: str = ""  # under way
    again_at: int = 0  # when that is tried again
    approved_by: str = ""
    approved_at: int = 0
    step_asked_at: int = 0  # when a step of it last began to wait for a person
    stopping: str = ""  # who stops it, and why
    given: dict[str, str] = field(default_factory=dict[str, str])  # values, by a person
    chosen_by: str = ""  # who chose its runbook, when a person did
    looks: str = ""  # how recovery was last

    @property
    def is_under_way(self) -> bool:
        """Whether it was begun and has no end yet."""
        return self.state in UNDER_WAY

    @property
    def runs(self) -> bool:
        """Whether a step of it is next, under way or waits: its service is taken."""
        return self.state in ("running", "waiting") or bool(self.operation)

    @property
    def asks_somebody(self) -> bool:
        """Whether it waits for a person's yes."""
        return self.state in ASKS

    @property
    def takes_back(self) -> bool:
        """Whether it undoes what a plan that was stopped has done."""
        return self.plan is not None and self.plan.takes_back

    @property
    def is_a_persons(self) -> bool:
        """Whether nothing that fits better takes its place: somebody chose it, or it takes back."""
        return bool(self.chosen_by) or self.takes_back

    @property
    def rolls_back(self) -> bool:
        """Whether its next step moves traffic back: nothing else of a plan goes before others."""
        left = self.plan.steps[self.step :] if self.plan else ()
        return bool(left) and left[0].action == ROLLBACK

    def replaces(self, old: Run) -> bool:
        """Say whether this proposal takes the place of another one for the same subject.

        What takes something back stays beside any other, unless this takes back all of that.
        """
        if not (self.takes_back and old.takes_back):
            return self.takes_back == old.takes_back
        mine, theirs = (one.plan.steps if one.plan else () for one in (self, old))
        return {one.id for one in theirs} <= {one.id for one in mine}

    @property
    def has_changed(self) -> bool:
        """Whether a step of it that is done has changed something."""
        done = self.plan.steps[: self.step] if self.plan else ()
        return any(one.changes for one in done)


# What people are shown first, of the states that a plan may be in.
_FIRST: dict[RunState, int] = {
    "running": 0,
    "waiting": 1,
    "proposed": 2,
    "verifying": 3,
    "ended": 4,
    "none": 5,
}


def lead(plans: Sequence[Run], service: str = "") -> Run | None:
    """Give the one that a single line shows: what runs, what waits for a person, else the newest.

    Of proposals the first is what takes something back, then what a person chose, then the one of
    the `service` that the incident is about.

    >>> old, new = Run("shop", state="ended"), Run("db", state="proposed")
    >>> lead([old, new]).subject, lead([]) is None
    ('db', True)
    """

    def place(numbered: tuple[int, Run]) -> tuple[int, ...]:
        number, one = numbered
        if one.state != "proposed":
            return _FIRST[one.state], -number
        own = one.plan is not None and one.plan.service == service
        newest = -number if one.chosen_by else number
        return _FIRST["proposed"], not one.takes_back, not one.chosen_by, not own, newest

    return min(enumerate(plans), key=place)[1] if plans else None


def named(plans: Iterable[Run], plan_hash: str) -> Run | None:
    """Find one by its hash; of two with the same the one that is not over.

    >>> named([Run("shop", hash="aa", state="ended"), Run("shop", hash="aa")], "aa").state
    'none'
    """
    found = [one for one in plans if one.hash == plan_hash] if plan_hash else []
    return min(found, key=lambda one: (one.state == "ended", one.state == "none"), default=None)


def doing(plans: Iterable[Run], operation: str) -> Run | None:
    """Find the one that an operation is a step of."""
    return next((one for one in plans if operation and one.operation == operation), None)


def forget(plans: list[Run]) -> None:
    """Let what is over leave, the oldest first, so that no more are kept than KEPT."""
    over = [one for one in plans if one.state in ("ended", "none")]
    for one in over[: max(len(plans) - KEPT, 0)]:
        plans.remove(one)
