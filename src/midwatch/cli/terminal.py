"""What a terminal gets to see: texts from outside, and no command to it.

Law: a label, an answer or a ticket may hold control characters; a terminal that obeyed them could
be made to hide lines or to show others. They are shown, not sent. A pipe gets every byte as it is.
"""

from __future__ import annotations

import io
import sys
import unicodedata
from typing import TextIO

_KEPT = "\n\t"


def shown(text: str) -> str:
    r"""Write control characters out, so that nothing obeys them.

    >>> shown("a\x1b[2J\tb\n")
    'a\\x1b[2J\tb\n'
    """
    if text.isprintable():
        return text
    return "".join(
        ascii(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cf") and c not in _KEPT else c
        for c in text
    )


class _Terminal(io.TextIOWrapper):
    def write(self, s: str, /) -> int:
        super().write(shown(s))
        return len(s)


def careful(stream: TextIO) -> TextIO:
    """Give the stream to write to instead: the same, unless a terminal is behind it."""
    buffer = getattr(stream, "buffer", None)
    if buffer is None or not stream.isatty():
        return stream
    return _Terminal(
        buffer, stream.encoding, "backslashreplace", line_buffering=True, write_through=True
    )


def guard_stdout() -> None:
    """Let nothing from outside command the terminal; what is ours has no escape on stdout."""
    sys.stdout = careful(sys.stdout)
