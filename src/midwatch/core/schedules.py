"""Who is on call: people who take turns.

Law: exactly one person of a schedule is on call at each moment. A hand-off is at the same local
time whatever the clocks did, so a shift may be an hour shorter or longer.
"""

from __future__ import annotations

from msgspec import Struct


class Schedule(Struct, frozen=True):
    """People in turn, from a local time such as `2026-01-05T09:00` in a time zone on.

    >>> weekly = Schedule("primary", ("ada", "ben"), "Europe/Berlin", "2026-01-05T09:00", 7)
    >>> weekly.on_call(1_768_204_799_000), weekly.on_call(1_768_204_800_000)
    ('ada', 'ben')
    """

    name: str
    people: tuple[str, ...]
    time_zone: str
    starts: str
    every_days: int = 7

    def on_call(self, at: int) -> str:
        """Name who is on call at a moment (milliseconds); before the start it is the first."""
        from whenever import Instant, PlainDateTime  # heavy; whoever has no schedule needs none

        begin = PlainDateTime.parse_iso(self.starts)
        moment = Instant.from_timestamp(at, unit="millisecond")
        # The ignores: whenever's stubs name a type that they lack.
        today = moment.to_tz(self.time_zone).date()  # pyright: ignore[reportUnknownMemberType]
        turn = int(today.since(begin.date(), total="days")) // self.every_days
        # The days alone may be a hand-off too far: whether it has come is a question of the moment.
        # "compatible": of a repeated local time the first, for a skipped one as long after the gap.
        handed_off = begin.add(days=turn * self.every_days).assume_tz(  # pyright: ignore[reportUnknownMemberType]
            self.time_zone, disambiguation="compatible"
        )
        if moment < handed_off:
            turn -= 1
        return self.people[max(turn, 0) % len(self.people)]
