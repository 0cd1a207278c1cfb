"""How much each token may ask for: a rate, and so many bytes at once.

Law: whoever is over its own share is told when to come back, and takes nothing of anybody else's.
Senders of alerts are told 503, for Alertmanager gives up at any other refusal; people's programs
429. What nobody has a token for has no share to be over: it is refused before it comes here.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

from starlette.responses import Response

from midwatch.config import Limits
from midwatch.engine.conditions import Conditions
from midwatch.ports import Rate, Token
from midwatch.web.problems import problem

log = logging.getLogger("midwatch.web")

MAX_BYTES = 64 * 1024 * 1024  # of one token's bodies that are read, or wait to be committed
MAX_ALL_BYTES = 256 * 1024 * 1024
SAID_EVERY_S = 60.0


class Held:
    """What one request holds of its token's bytes."""

    def __init__(self, shares: Shares, token: Token) -> None:
        self._shares = shares
        self._token = token
        self.size = 0

    def add(self, size: int) -> bool:
        """Hold so many bytes more; False when the share does not have them."""
        if not self._shares.has_room(self._token.id, size):
            self._shares.note(self._token, "too many of its bytes are waiting")
            return False
        self._shares.hold(self._token.id, size)
        self.size += size
        return True


class Shares:
    """What the tokens have asked for of late. Used on the web's one thread."""

    def __init__(
        self,
        limits: Limits,
        conditions: Conditions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._next: dict[str, float] = {}  # when a token's next request would be in its rate
        self._bytes: Counter[str] = Counter()
        self.refused: Counter[str] = Counter({"sender": 0, "person": 0})
        self._said: dict[str, float] = {}
        self._last = -math.inf
        if conditions is not None:
            conditions.add("limits", self.says)
            conditions.counters(
                "midwatch_over_limit",
                "Requests of tokens over their limit.",
                "who",
                lambda: self.refused,
            )

    def says(self) -> str:
        """Say that somebody is over their share; the log has who it is."""
        if self._clock() - self._last > SAID_EVERY_S:
            return ""
        told = (f"{count} requests of {who}s" for who, count in self.refused.items() if count)
        return f"over their limits: {', '.join(told)} since startup; the log names the tokens"

    def refuses(self, token: Token) -> Response | None:
        """Count a request of a token; gives the refusal when it is over its rate."""
        rate = self._limits.person if token.role else self._limits.sender
        wait_s = self._wait_s(token.id, rate)
        if not wait_s:
            return None
        why = f"more than {rate.count} requests in {rate.per_s} s"
        self.note(token, why)
        return problem(
            429 if token.role else 503,
            f"this token is over its limit: {why}",
            remedy="send fewer, larger requests; limits in midwatch.yaml sets what is allowed",
            retry_after_s=math.ceil(wait_s),
        )

    @contextmanager
    def holding(self, token: Token) -> Generator[Held]:
        """Hold a request's bytes against its token's share until it is answered."""
        held = Held(self, token)
        try:
            yield held
        finally:
            self.hold(token.id, -held.size)

    def has_room(self, of: str, size: int) -> bool:
        """Say whether a token may hold so many bytes more."""
        fits = self._bytes[of] + size <= MAX_BYTES
        return fits and self._bytes.total() + size <= MAX_ALL_BYTES

    def hold(self, of: str, size: int) -> None:
        """Count bytes that are held, or no longer."""
        self._bytes[of] += size
        if not self._bytes[of]:
            del self._bytes[of]

    def _wait_s(self, of: str, rate: Rate) -> float:
        """Say how long a token has to wait; 0 when it need not, and then the request counts."""
        now, each = self._clock(), rate.per_s / rate.count
        due = max(self._next.get(of, 0.0), now)
        wait_s = due - now - (rate.per_s - each)
        if wait_s > 1e-9:
            return wait_s
        self._next[of] = due + each
        return 0.0

    def note(self, token: Token, why: str) -> None:
        """Count a refusal, and log whose it was once a minute."""
        now = self._clock()
        self.refused["person" if token.role else "sender"] += 1
        self._last = now
        if now - self._said.get(token.id, -math.inf) > SAID_EVERY_S:
            self._said[token.id] = now
            fields = {"token": token.id, "name": token.name, "source": token.source, "msg": why}
            log.warning("token over its limit", extra={"fields": fields})
