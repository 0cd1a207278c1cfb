"""Who came and who was refused: counted, logged, and kept for whoever audits.

Law: nothing here holds up a request, names a secret or grows with an attack. The first refusal of a
kind from an address is written at once; what follows within a minute is summed up in one line.
Beyond MOST kinds a minute, addresses are no longer told apart.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from msgspec import Struct
from starlette.requests import Request

from midwatch.engine.conditions import Conditions
from midwatch.ports import Attempt, Did, Token, Trail

log = logging.getLogger("midwatch.access")

MINUTE_MS = 60_000
MOST = 60
ANYWHERE = "many addresses"


class _Minute(Struct):
    """The refusals of one kind that are summed up."""

    began_at: int
    last: Attempt
    more: int = 0  # beyond the first, which was written


class Watch:
    """Hears of every login, logout and refusal."""

    def __init__(self, trail: Trail, clock: Callable[[], int], conditions: Conditions) -> None:
        self._trail = trail
        self._clock = clock
        self._minutes: dict[tuple[str, str, str], _Minute] = {}
        self.counts: Counter[str] = Counter()
        conditions.counters(
            "midwatch_access",
            "Logins, logouts and refusals.",
            "what",
            lambda: (
                {"login": 0, "logout": 0, "login refused": 0, "call refused": 0} | dict(self.counts)
            ),
        )

    def did(self, request: Request, what: Did, token: Token | None, says: str = "") -> None:
        """Keep what somebody did."""
        self._keep(self._made(request, what, token, says))

    def refused(self, request: Request, what: Did, token: Token | None, says: str) -> None:
        """Keep that somebody was refused; `says` names no secret and no address."""
        one = self._made(request, what, token, says)
        self.flush(one.at)
        key = (what, one.address, says)
        if key not in self._minutes and len(self._minutes) >= MOST:
            key = (what, ANYWHERE, "")
            one = Attempt(one.at, what, address=ANYWHERE, says="refusals, summarised")
        minute = self._minutes.get(key)
        self.counts[what] += 1
        if minute is None:
            self._minutes[key] = _Minute(one.at, one)
            self._write(one)
            return
        minute.last, minute.more = one, minute.more + 1

    def used(self, token: Token) -> None:
        """Note that a token opened something."""
        self._trail.use(token.id, self._clock())

    def flush(self, now: int = 0) -> None:
        """Write the sums of minutes that are over; of all of them without a time."""
        for key, minute in list(self._minutes.items()):
            if now and now - minute.began_at < MINUTE_MS:
                continue
            del self._minutes[key]
            if minute.more:
                last = minute.last
                self._write(
                    Attempt(
                        last.at,
                        last.what,
                        last.token,
                        last.name,
                        last.address,
                        last.says,
                        minute.more,
                    )
                )

    def _made(self, request: Request, what: Did, token: Token | None, says: str) -> Attempt:
        address = request.client.host if request.client else ""
        known = (token.id, token.name) if token else ("", "")
        return Attempt(self._clock(), what, *known, address, says)

    def _keep(self, one: Attempt) -> None:
        self.counts[one.what] += 1
        self._write(one)

    def _write(self, one: Attempt) -> None:
        fields = {
            "token": one.token,
            "name": one.name,
            "address": one.address,
            "msg": one.says,
            "times": one.times,
        }
        level = logging.WARNING if "refused" in one.what else logging.INFO
        log.log(level, one.what, extra={"fields": {k: v for k, v in fields.items() if v}})
        self._trail.note(one)


def watch_of(request: Request) -> Watch:
    """Give what hears of this server's refusals."""
    return request.app.state.watch
