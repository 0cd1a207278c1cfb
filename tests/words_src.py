"""Words that must not come back in what the program prints.

One list, in one place: patterns over help texts, errors, reasons, log events and pages' templates,
each with what to write instead. tests/acceptance/test_words_src.py walks the sources with it.
"""

from __future__ import annotations

import re

# pattern -> what a native reader expects instead
PATTERNS = {
    r"\banew\b": "again",
    r"\bstands?\b": "is, is listed",
    r"\bstand in\b": "override",
    r"\bmay stand again\b": "(repeatable)",
    r"\bmends?\b": "fix",
    r"^Tell\b|\btells?\b": "show, print, report",
    r"^Say\b": "show, print, check",
    r"\bWho (?:wants|misses|has|serves|runs)\b": "a sentence with a subject",
    r"\bWhoever\b": "a sentence with a subject",
    r"(?<![Tt]here )\bis no (?!longer\b|more\b|public\b)[a-zA-Z]+": "is not a",
    r"\bare no (?!longer\b|more\b)[a-z]+": "are not",
    r"\blacks\b": "X is missing",
    r"\bnames the unknown\b": "unknown X",
    r"\bknown are\b": "use one of",
    r"\b(?:is|are|was) called (?!every|by\b|when\b)": "is named",
    r"\blook at\b|\blook again\b": "see, check",
    r"\bcame along\b": "missing",
    r"\bput off\b": "snooze",
    r"\bhand-off\b": "handoff",
    r"\bso (?:many|long)\b(?! as)": "a number",
    r"\bat the (?:least|most)\b": "at least, at most",
    r"\bgo(?:es)? on\b": "continue, resume",
    r"\bburns? on\b": "still burns",
    r"\bcry out\b|\bwoken\b": "plain words",
    r"\bbeside\b": "next to, compared with",
    r"\bover already\b": "in the past",
    r"\bNone\b|\bdict\b|\bKeyError\b|\bTypeError\b|\bisoformat\b|\btraceback\b": "no words of "
    "Python",
}

FORBIDDEN = {re.compile(pattern): instead for pattern, instead in PATTERNS.items()}


def found_in(text: str) -> list[str]:
    """Name each pattern that a text breaks.

    >>> found_in("is no YAML; mend the syntax")
    ['fix', 'is not a']
    >>> found_in("invalid YAML; fix the syntax")
    []
    """
    return sorted(instead for pattern, instead in FORBIDDEN.items() if pattern.search(text))
