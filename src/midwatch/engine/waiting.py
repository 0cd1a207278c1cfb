"""What waits to be decided on: a queue with an end, in which nobody takes another one's share.

Law: deliveries of one sender keep their order, and senders take turns. What waits is bounded in all
and for each sender, and whoever is over its own bound is told so while everybody else is heard.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future

from msgspec import Struct

from midwatch.core.state.inputs import AlertsArrived, Envelope
from midwatch.engine.handle import Handled
from midwatch.errors import Busy

MAX_WAITING = 1_000  # deliveries
MAX_WAITING_ALERTS = 100_000  # in them, so that what waits has an end in bytes too
MAX_GROUP = 2_000  # alerts in one commit
SHARE = 4  # one sender has a part of so many
AGAIN = "send again in a moment"


class Delivery(Struct):
    """Inputs that belong together, whose they are, and the future that has their answers."""

    envelopes: list[Envelope]
    done: Future[list[Handled]]
    of: str = ""

    @property
    def size(self) -> int:
        """How many alerts are in it; any other input counts as one."""
        return sum(map(_alerts_in, self.envelopes))


class Waiting:
    """The queue. Not safe between threads: whoever holds it has a lock.

    `of` says whose a delivery is; "" is our own, which has no share.
    """

    def __init__(self, most: int = MAX_WAITING) -> None:
        self._most = most
        self._queues: dict[str, deque[Delivery]] = {}  # whoever is next stands first
        self._alerts: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Delivery]:
        for queue in self._queues.values():
            yield from queue

    def put(self, delivery: Delivery) -> None:
        """Let a delivery wait. Raises Busy when too many do, and says whose they are."""
        if self._count >= self._most or sum(self._alerts.values()) >= MAX_WAITING_ALERTS:
            raise Busy(f"{self._count} deliveries are waiting", remedy=AGAIN)
        queue = self._queues.get(delivery.of)
        if delivery.of and queue:
            alerts = self._alerts[delivery.of]
            if len(queue) * SHARE >= self._most or alerts * SHARE >= MAX_WAITING_ALERTS:
                raise Busy(
                    f"{len(queue)} deliveries of this token are already waiting", remedy=AGAIN
                )
        if queue is None:
            queue = self._queues[delivery.of] = deque()
            self._alerts[delivery.of] = 0
        queue.append(delivery)
        self._alerts[delivery.of] += delivery.size
        self._count += 1

    def group(self) -> list[Delivery]:
        """Take the next group for one commit: one delivery of each sender, again and again."""
        group: list[Delivery] = []
        alerts = 0
        while self._queues and alerts < MAX_GROUP:
            of = next(iter(self._queues))
            queue = self._queues.pop(of)
            delivery = queue.popleft()
            size = delivery.size
            self._count -= 1
            self._alerts[of] -= size
            if queue:
                self._queues[of] = queue  # behind the others
            else:
                del self._alerts[of]
            if delivery.done.set_running_or_notify_cancel():
                group.append(delivery)
                alerts += size
        return group

    def clear(self) -> list[Delivery]:
        """Take all that waits."""
        rest = list(self)
        self._queues.clear()
        self._alerts.clear()
        self._count = 0
        return rest


def _alerts_in(envelope: Envelope) -> int:
    return len(envelope.input.alerts) if isinstance(envelope.input, AlertsArrived) else 1
