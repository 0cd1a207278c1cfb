"""How many connections may be open at once, how long each may take, and who goes first.

Law: connections never take the descriptors that the journal, the pagers, the metrics and the
control address need, and whoever sends nothing never keeps out whoever sends something. When as
many are open as may be, the one that has been idle for longest is closed to make room; then one
whose body does not come; then, unless what is under way must last, the oldest stream, whose browser
comes again by itself. Only when every connection waits for an answer of ours is a new one refused.

    head    no complete head, since it was opened or since its last answer    10 s
    body    a head, and not all of its body          the app's own limit, 20 s
    asked   a whole request, and no whole answer     as long as the app takes; a reader that takes
                                                     nothing of its answer: 30 s
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

log = logging.getLogger("midwatch.listener")

HEAD_S = 10.0
UNREAD_S = 30.0  # an answer of which nothing is taken
CLOSING_S = 5.0  # a last answer of which nothing is taken
SWEEP_S = 1.0
SAID_EVERY_S = 60.0
WANTED_FILES = 65_536  # more is of no use here, and what is started from here inherits it
MAX_OPEN = 4_096
FEW_FILES = 64

WORDS = {
    "full": "refused, because all allowed connections were busy",
    "idle": "idle ones closed to make room",
    "body": "closed to make room while waiting for the body",
    "stream": "event streams closed to make room",
    "slow": f"closed, because no complete request head arrived within {HEAD_S:g} s",
    "silent": "closed, because nothing was received",
    "unread": "closed, because the client did not read the response",
    "large": "refused, because the request head was too large",
    "bad": "refused, because they sent no valid request",
}
NOTED = ("full", "idle", "body", "stream", "slow", "unread")  # what somebody should look at


class Files(Struct, frozen=True):
    """What the limit of descriptors leaves: connections that may be open, and may wait for us."""

    open: int
    backlog: int


def raise_limit() -> int:
    """Raise the soft limit of descriptors towards the hard one; gives what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = resource.RLIM_INFINITY
    wanted = WANTED_FILES if hard == endless else min(hard, WANTED_FILES)
    if soft == endless or soft >= wanted:
        return WANTED_FILES if soft == endless else soft
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def files_for(limit: int, each: int = 1) -> Files:
    """Share a limit of descriptors out; a connection takes `each` of them.

    Half is for connections; a quarter for those that the system has accepted and nobody has seen,
    for they are taken all at once; what is left is for everything else.

    >>> files_for(1_024), files_for(1_024, each=2), files_for(65_536)
    (Files(open=512, backlog=256), Files(open=256, backlog=256), Files(open=4096, backlog=2048))
    """
    usable = max(limit, FEW_FILES)
    return Files(min(usable // 2 // each, MAX_OPEN), min(usable // 4, 2_048))


class Held(Protocol):
    """A connection, as the door sees it."""

    @property
    def state(self) -> str:
        """`head`, `body`, `asked`, or `stream`: asked, and a part of the answer is sent."""
        ...

    def overdue(self, now: float) -> str:
        """Say why its time is over, as a key of WORDS; empty while it is not."""
        ...

    def end(self, why: str) -> None:
        """End it at once, with an answer if that is possible."""
        ...


class Door:
    """The connections of one listener.

    With `lasting` what is under way is never cut to make room for something else.
    """

    def __init__(
        self,
        files: Files,
        *,
        lasting: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = files.open
        self.backlog = files.backlog
        self.turned_away: Counter[str] = Counter(dict.fromkeys(WORDS, 0))
        self.clock = clock
        self._lasting = lasting
        self._open: dict[Held, None] = {}  # the oldest first
        self._idle: dict[Held, None] = {}  # of them, without a complete head; longest idle first
        self._said: Counter[str] = Counter(self.turned_away)
        self._said_at = -SAID_EVERY_S
        self._noted: Counter[str] = Counter()  # since it last was quiet for a minute
        self._noted_until = 0.0
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    # --- what connections say ---

    def enter(self, one: Held) -> bool:
        """Let a connection in, and make room for it if need be. False when there is none."""
        if len(self._open) >= self.most and not self._make_room():
            self.count("full")
            return False
        self._open[one] = None
        self._idle[one] = None
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return True

    def leave(self, one: Held) -> None:
        """Forget a connection that is closed."""
        self._open.pop(one, None)
        self._idle.pop(one, None)

    def idles(self, one: Held) -> None:
        """Hear that a connection has no complete head, from now on."""
        if one in self._open:
            self._idle.pop(one, None)
            self._idle[one] = None

    def works(self, one: Held) -> None:
        """Hear that a connection has a complete head."""
        self._idle.pop(one, None)

    def count(self, why: str) -> None:
        """Count somebody who was turned away; why is a key of WORDS."""
        self.turned_away[why] += 1
        now = self.clock()
        if why in NOTED:
            if now > self._noted_until:
                self._noted.clear()
            self._noted[why] += 1
            self._noted_until = now + SAID_EVERY_S
        if why != "silent":  # browsers open connections for later
            self._say(now)

    # --- what others hear ---

    def says(self) -> str:
        """Say what is turned away of late; empty after a quiet minute."""
        if self.clock() > self._noted_until:
            return ""
        told = (f"{count} {WORDS[why]}" for why, count in sorted(self._noted.items()))
        return f"{len(self)} of at most {self.most} open; recently: {', '.join(told)}"

    # --- inside ---

    def _make_room(self) -> bool:
        one = next(iter(self._idle), None)
        why = "idle"
        if one is None and not self._lasting:
            for state in ("body", "stream"):
                one, why = next((held for held in self._open if held.state == state), None), state
                if one is not None:
                    break
        if one is None:
            return False
        self.leave(one)
        self.count(why)
        one.end(why)
        return True

    def _sweep(self) -> None:
        self._sweeper = None
        now = self.clock()
        for one in list(self._open):
            if why := one.overdue(now):
                self.count(why)
                one.end(why)
        self._say(now)
        if self._open:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _say(self, now: float) -> None:
        """Log what was turned away, once a minute at the most."""
        if now - self._said_at < SAID_EVERY_S:
            return
        fresh = self.turned_away - self._said
        del fresh["silent"]
        if fresh:
            self._said, self._said_at = Counter(self.turned_away), now
            fields = {"open": len(self), "at_most": self.most, **fresh}
            log.warning("connections turned away", extra={"fields": fields})
