"""What can break around the agent that no release is to blame for.

Law: a trouble changes the surroundings alone; a remedy, not a rollback, sets them right.
"""

from __future__ import annotations

from collections.abc import Callable

from midwatch.agent.surroundings import Surroundings

# A back end that takes so long for each look-up, behind a queue of so much work: a hiccup that two
# tries survive and eight do not.
SLOW_S, QUEUE_S = 0.4, 60.0


def _provider_down(around: Surroundings, at_s: float) -> None:
    around.providers_down.add(around.provider)


def _orders_down(around: Surroundings, at_s: float) -> None:
    around.orders.down = True


def _orders_slow(around: Surroundings, at_s: float) -> None:
    around.orders.work_s = SLOW_S
    around.orders.backlog_s, around.orders.at_s = QUEUE_S, at_s


TROUBLES: dict[str, Callable[[Surroundings, float], None]] = {
    "orders-down": _orders_down,
    "orders-slow": _orders_slow,
    "provider-down": _provider_down,
}
