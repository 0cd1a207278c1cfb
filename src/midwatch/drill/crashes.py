"""Crashes at every point of a decision and of an effect.

Law: the store and the ports are the real ones; around them stands somebody who may pull the plug.

    before-commit   all is written, nothing is committed
    after-commit    committed, and nobody was told
    after-claim     an effect is claimed, its port was not called
    after-call      the port was called, the answer is lost
    before-done     the answer is decided on, not committed
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World
from midwatch.core.state.effects import RunAction, SendPage
from midwatch.core.values.traffic import Traffic
from midwatch.ports import Actor, Claim, Entry, Health, Observed, Pager, Router, StepSaid

POINTS = ("before-commit", "after-commit", "after-claim", "after-call", "before-done")

Hit = Callable[[str], None]


class CrashingStore(SqliteStore):
    """A SQLite journal that says when it passes a point."""

    _hit: Hit | None = None
    _settles = False

    def armed(self, hit: Hit) -> Self:
        """Call `hit` at each point from now on."""
        self._hit = hit
        return self

    def hit(self, point: str) -> None:
        """Pass a point."""
        if self._hit is not None:
            self._hit(point)

    def commit(self, entry: Entry) -> None:
        """Write one transaction."""
        self._settles = bool(entry.settled)
        super().commit(entry)
        self.hit("after-commit")

    def before_commit(self) -> None:
        """Pass the last point at which the transaction leaves no trace."""
        self.hit("before-done" if self._settles else "before-commit")

    def claim(self, now: int, limit: int, room: Callable[[str], int] | None = None) -> list[Claim]:
        """Take effects."""
        claims = super().claim(now, limit, room)
        if claims:
            self.hit("after-claim")
        return claims


class CrashingPager:
    """A pager; the plug may be pulled once it has taken the page."""

    def __init__(self, pager: Pager, hit: Hit) -> None:
        self._pager = pager
        self._hit = hit

    def send(self, page: SendPage) -> str:
        """Deliver, then pass the point."""
        receipt = self._pager.send(page)
        self._hit("after-call")
        return receipt


class CrashingRouter:
    """A router; the plug may be pulled once it has moved the traffic."""

    def __init__(self, router: Router, hit: Hit) -> None:
        self._router = router
        self._hit = hit

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        """Apply, then pass the point."""
        self._router.apply(service, traffic, operation)
        self._hit("after-call")

    def observe(self, service: str) -> Traffic:
        """Look."""
        return self._router.observe(service)

    def check(self, service: str, release: str) -> Health:
        """Look at a release."""
        return self._router.check(service, release)


class CrashingActor:
    """Does steps of runbooks; the plug may be pulled once one is done."""

    def __init__(self, actor: Actor, hit: Hit) -> None:
        self._actor = actor
        self._hit = hit

    def apply(self, action: RunAction) -> StepSaid:
        """Do it, then pass the point."""
        said = self._actor.apply(action)
        self._hit("after-call")
        return said

    def observe(self, action: RunAction) -> Observed:
        """Look."""
        return self._actor.observe(action)


def crashing(world: World, hit: Hit) -> World:
    """Stand around the ports that change something."""
    return World(
        {name: CrashingPager(pager, hit) for name, pager in world.pagers.items()},
        CrashingRouter(world.router, hit) if world.router else None,
        world.metrics,
        world.target,
        CrashingActor(world.actor, hit) if world.actor else None,
    )
