"""Dead letters as they are kept: what arrived, and why nothing came of it.

Law: a letter can always be written, whatever died of it. What is kept of a body has a bound, and
says that it was cut.
"""

from __future__ import annotations

import msgspec

from midwatch.core.deaths import plain, sender
from midwatch.core.state import inputs
from midwatch.core.state.inputs import Envelope
from midwatch.ports import DeadLetter, Entry
from midwatch.texts import cut

MAX_BODY = 16_384  # bytes
MAX_REASON = 2_000  # characters
MAX_PARTS = 100  # of one delivery

_encode = msgspec.json.Encoder().encode


def rejects(entry: Entry, key: str, envelope: Envelope) -> None:
    """Keep what could not be read of a delivery: the first of it, and how many more there were."""
    source = sender(envelope.input)
    for part in envelope.rejected[:MAX_PARTS]:
        entry.dead.append(letter(key, entry.at, part.body, f"{part.place}: {part.why}", source))
    more = len(envelope.rejected) - MAX_PARTS
    if more > 0:
        entry.dropped[source] = entry.dropped.get(source, 0) + more


def letter(key: str, at: int, body: bytes, reason: str, source: str = "") -> DeadLetter:
    """Make a letter that can be kept.

    >>> letter("k", 0, b"x" * 20_000, "no").body[-18:]
    b'x... (20000 bytes)'
    """
    if len(body) > MAX_BODY:
        body = body[:MAX_BODY] + f"... ({len(body)} bytes)".encode()
    return DeadLetter(plain(key), at, body, cut(plain(reason), MAX_REASON), source)


def body_of(given: inputs.Input) -> bytes:
    """Write an input down, as JSON where that can be.

    >>> body_of(inputs.Acknowledge("INC-1", "ada"))
    b'{"type":"Acknowledge","incident":"INC-1","by":"ada"}'
    """
    try:
        return _encode(given)
    except (UnicodeError, OverflowError, ValueError, TypeError):
        return plain(repr(given)).encode()
