"""`midwatch serve` that kills itself, with SIGKILL, at one point of the first move of traffic.

python router_kill_child.py MIDWATCH serve ...     the point stands in KILL_AT

    before-apply    the intent is on disk, the router was not told
    in-apply        HAProxy has taken the first half of its commands
    after-apply     the router was told
    after-observe   what is served was seen, and not committed
"""

from __future__ import annotations

import os
import signal
import sys

from midwatch import bootstrap
from midwatch.adapters.routers.haproxy import HaproxyRouter
from midwatch.cli.main import main
from midwatch.core.values.traffic import Traffic
from midwatch.ports import Health, Router

POINT = os.environ.get("KILL_AT", "")


def hit(point: str) -> None:
    """Die here, if this is the place."""
    if point == POINT:
        os.kill(os.getpid(), signal.SIGKILL)


class Killing:
    """A router around which the process dies."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._applied = False

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        hit("before-apply")
        self._router.apply(service, traffic, operation)
        self._applied = True
        hit("after-apply")

    def observe(self, service: str) -> Traffic:
        seen = self._router.observe(service)
        if self._applied:
            hit("after-observe")
        return seen

    def check(self, service: str, release: str) -> Health:
        return self._router.check(service, release)


def arm() -> None:
    """Stand around the router that the config builds."""
    build, tell = bootstrap.build_router, HaproxyRouter._tell

    def build_killing(config: bootstrap.Config) -> Router | None:
        router = build(config)
        return Killing(router) if router else None

    def tell_and_die(self: HaproxyRouter, command: str) -> str:
        said = tell(self, command)
        if command.startswith("set ") and "weight" in command:
            hit("in-apply")
        return said

    bootstrap.build_router = build_killing
    HaproxyRouter._tell = tell_and_die


if __name__ == "__main__":
    arm()
    sys.argv = sys.argv[1:]
    sys.exit(main())
