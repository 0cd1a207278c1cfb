"""The back end that knows orders: simulated, with a schema and a speed that may change.

Law: it is slow in the way that real ones are: a look-up that is refused because the queue is long
has cost work all the same, so that retries make it slower for everybody. Time is handed in.
"""

from __future__ import annotations

from msgspec import Struct

SCHEMA = 2
LONGEST_S = 4.0  # of a queue; whoever would wait longer is refused
WORK_S = 0.004

ORDERS: dict[str, tuple[str, str]] = {
    "41207": ("with the carrier", "2 March"),
    "41733": ("packed", "6 March"),
    "42018": ("delivered", "24 February"),
    "42555": ("cancelled", "19 February"),
    "43390": ("waiting for stock", "12 March"),
    "44871": ("with the carrier", "4 March"),
    "45102": ("returned", "26 February"),
    "46960": ("with the carrier", "3 March"),
    "47744": ("packed", "7 March"),
    "48213": ("with the carrier", "5 March"),
}


class Unavailable(Exception):
    """The back end did not answer in time, or not at all."""


class OrderBackend(Struct):
    """A queue of one worker: `backlog_s` is the work before it at `at`, in seconds."""

    schema: int = SCHEMA
    work_s: float = WORK_S
    down: bool = False
    shed: bool = False  # look-ups are refused at once, so that the queue can drain
    backlog_s: float = 0.0
    at_s: float = 0.0
    calls: int = 0

    def look_up(self, number: str, now_s: float) -> tuple[dict[str, str], float]:
        """Give an order as the schema says, and how long it took. Raises Unavailable.

        >>> OrderBackend().look_up("41733", 0.0)
        ({'state': 'packed', 'day': '6 March'}, 0.004)
        """
        self.calls += 1
        if self.down or self.shed:
            raise Unavailable("the order system is unavailable")
        self.backlog_s = max(0.0, self.backlog_s - max(0.0, now_s - self.at_s))
        self.at_s = max(self.at_s, now_s)
        self.backlog_s += self.work_s
        if self.backlog_s > LONGEST_S:
            raise Unavailable(f"busy for the next {self.backlog_s:.0f} s")
        state, day = ORDERS.get(number, ("", ""))
        fields = ("state", "day") if self.schema == SCHEMA else ("status", "expected_on")
        found: dict[str, str] = {fields[0]: state, fields[1]: day} if state else {}
        return found, self.backlog_s
