"""What people type in a shift without being asked, and what came of it.

Law: what was typed is judged by what was served when it was typed, and by nothing else.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from midwatch.core.values.traffic import Traffic
from midwatch.engine.handle import Handled


class Typed(Struct, frozen=True):
    """A rollback, or an abort of a canary, that somebody types at a moment.

    `operation` is what they call it; two may have called it the same.
    """

    at: int
    what: Literal["rollback", "abort"]
    service: str
    operation: str


class Told(Struct, frozen=True):
    """What was answered to it, what the router served then, and what the pointer said of it."""

    typed: Typed
    at: int
    served: Traffic
    live: str
    purpose: str
    unsettled: bool
    answer: Handled
