"""What a summary says with the particulars taken out, so that alike ones are seen to be alike.

Law: numbers, hexadecimal ids, quoted text, paths and addresses are particulars; words are not. Two
summaries are the same text when their templates are equal.
"""

from __future__ import annotations

import re
from functools import lru_cache

from midwatch.core.values.alerts import Alert

MAX_LENGTH = 120
_PARTICULAR = re.compile(
    r"""
      "[^"]*" | '[^']*' | `[^`]*`          # what is quoted
    | \S*[/@]\S*                           # paths, addresses, mail
    | \b\S*\d\S*                           # whatever has a digit in it: numbers, ids, pods
    """,
    re.VERBOSE,
)


@lru_cache(8192)  # a storm says the same few things
def template(summary: str) -> str:
    """Take the particulars out of a summary.

    >>> template("CPU of pod shop-5b67c-fj8b7 at 97.3 % for 5m")
    'cpu of pod * at * % for *'
    >>> template("")
    ''
    """
    return " ".join(_PARTICULAR.sub("*", summary[: 4 * MAX_LENGTH]).lower().split())[:MAX_LENGTH]


def text_of(alert: Alert) -> str:
    """Say what an alert says: its summary's template, or its name when there is none."""
    return template(alert.summary) or alert.name
