"""A question to the outside: what is to be read, on whatever thread.

Law: asking changes nothing; an answer that is lost is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from midwatch.core.state.inputs import Envelope


class Question(Struct, frozen=True):
    """What is to be read of one source; it gives the readings."""

    source: str
    ask: Callable[[], list[Envelope]]
