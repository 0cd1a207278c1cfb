"""How long, and how surely, something that fires draws in what fires next.

Law: what still fires draws; how long depends on how near the two are. By direction, severity or
size of the incident nothing is told apart that was not measured to differ. The strength falls from
the relation's own value to 0 over its window, and the strongest draws.

Chosen on made days of outages (docs/correlation.md says on which, and what else was tried): further
alerts of one outage come for about 15 minutes one call away, for 10 minutes elsewhere, and until it
is over on the same service.
"""

from __future__ import annotations

from msgspec import Struct


class Window(Struct, frozen=True, gc=False):
    """One relation: for how many seconds it draws, and how strongly at the same moment."""

    seconds: int
    at_once: float

    def strength(self, quiet_ms: int) -> float:
        """Say how strongly it draws so long after, 0 when it does not.

        >>> ONE_CALL.strength(0), ONE_CALL.strength(450_000), ONE_CALL.strength(900_000)
        (0.9, 0.45, 0.0)
        """
        left = 1 - quiet_ms / (1_000 * self.seconds)
        return self.at_once * left if left > 0 else 0.0


SAME = Window(5_400, 1.0)
# What fires on the same service, or names the same id, draws as long as it fires: at least so.
LEAST = 0.05
ENDED = Window(600, 1.0)  # on the same service, by the time since its end
ONE_CALL = Window(900, 0.9)
TWO_CALLS = Window(700, 0.75)
CONNECTED = Window(600, 0.6)
BY_TIME = Window(500, 0.5)  # not connected, and something critical fires there
BY_TIME_CROWDED = Window(60, 0.5)  # the same where too many services are for time to say much
CROWDED = 48  # services of one namespace; beyond, two of them begin to fail at once by chance
AGAIN_S = 3_600  # the same alert is the same incident, so long after it resolved by itself
CHRONIC = 0.4  # what mostly fires alone joins others only when it is drawn as strongly as this


def near(hops: int) -> Window:
    """Give the window of a service that is so many calls away, one at least."""
    return ONE_CALL if hops == 1 else TWO_CALLS if hops == 2 else CONNECTED


# Whether something critical explains a critical alert, so that it is no surprise: on the same
# service while it fires or a while after its end, on another one while it fires.
EXPLAINS_SAME_S, EXPLAINS_ENDED_S, EXPLAINS_S = 3_600, 1_800, 900
SURPRISE = 0.4  # what is a surprise joins only what draws as strongly as this
