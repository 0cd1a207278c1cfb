"""What pagers share about text that came from outside."""

from __future__ import annotations


def plain(text: str) -> str:
    r"""Show control characters, so that nothing obeys them.

    >>> plain("a\x1b[2J")
    'a\\x1b[2J'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def cut(text: str, limit: int) -> str:
    """Cut a text to what the other side takes, and show that it was cut.

    >>> cut("abcdef", 4), cut("abc", 4)
    ('abc…', 'abc')
    """
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
