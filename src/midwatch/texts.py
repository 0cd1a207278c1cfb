"""Text that came from outside: shown so that nothing obeys it, and cut to the room there is.

Law: what is cut says so.
"""

from __future__ import annotations

import re

# An invisible character that joins what stands beside it: no line breaks there.
JOINER = "\u2060"
_LINKED = re.compile(r"(?<=:)(?=//)|(?<=@)(?=\w)|(?<=#)(?=\d)|(?<=www)(?=\.)|(?<=GH-)(?=\d)", re.I)
# What some chat obeys: a mention, a tag or a link in its own markup, a link or an image behind a
# text, and words that are hidden until somebody presses them.
_OBEYED = re.compile(r"[@<]|\](?=[(\[])|\|(?=\|)")
ZERO_WIDTH_SPACE = "\u200b"


def unlinked(text: str) -> str:
    """Write addresses and names so that no reader of Markdown makes a link or a mention of them.

    GitHub and GitLab look for them in the text that is shown, where no escape of Markdown helps.

    >>> shown = unlinked("see https://a.example, @org/team and #12")
    >>> shown.replace(JOINER, "|")
    'see https:|//a.example, @|org/team and #|12'
    """
    return _LINKED.sub(JOINER, text)


def plain(text: str) -> str:
    r"""Show control characters, so that nothing obeys them.

    >>> plain("a\x1b[2J")
    'a\\x1b[2J'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def inert(text: str) -> str:
    r"""Part what a chat would obey with a space of no width, so that it reads as it was written.

    >>> ascii(inert("@here <!channel> [click](https://x.example)"))
    "'@\\u200bhere <\\u200b!channel> [click]\\u200b(https://x.example)'"
    """
    return _OBEYED.sub(lambda found: found[0] + ZERO_WIDTH_SPACE, text)


def cut(text: str, limit: int) -> str:
    """Cut a text to `limit` characters, and show that it was cut.

    >>> cut("abcdef", 4), cut("abc", 4)
    ('abc…', 'abc')
    """
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
