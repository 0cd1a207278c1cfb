"""Text that came from outside: shown so that nothing obeys it, and cut to the room there is.

Law: what is cut says so.
"""

from __future__ import annotations


def plain(text: str) -> str:
    r"""Show control characters, so that nothing obeys them.

    >>> plain("a\x1b[2J")
    'a\\x1b[2J'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cut(text: str, limit: int) -> str:
    """Cut a text to `limit` characters, and show that it was cut.

    >>> cut("abcdef", 4), cut("abc", 4)
    ('abc…', 'abc')
    """
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
