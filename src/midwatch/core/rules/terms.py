"""Terms: each process that decides draws a salt first, which makes its keys new in the world.

Law: a term begins before anything else is decided or done in it, and its salt is random. The
journal's name and its counters go back with a copy that is put back; the salt does not.
"""

from __future__ import annotations

import re

from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.values.keys import SALT_CHARS
from midwatch.errors import StateError

SALT_BYTES = SALT_CHARS // 2
_SALT = re.compile(f"[0-9a-f]{{{SALT_CHARS}}}")


def begin(d: Decision, given: inputs.BeginTerm) -> None:
    """Begin a term. Raises StateError when the salt is none, or the last term's."""
    if not _SALT.fullmatch(given.salt):
        says = f"{given.salt!r} is not a salt"
        raise StateError(says, remedy=f"draw {SALT_BYTES} random bytes and write them as hex")
    if given.salt == d.shard.term_salt:
        raise StateError(f"{given.salt} is the salt of the last start", remedy="draw another one")
    d.emit(
        events.TermBegan(salt=given.salt, boot=given.boot, ticks_ms=given.ticks_ms, wall=given.wall)
    )
