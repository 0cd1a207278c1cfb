"""Making a failing input smaller while it still fails: delta debugging over turns and sentences.

Law: nothing is taken out unless what is left still tells the two sides apart; the order of parts
stays. After Zeller and Hildebrandt (2002, ddmin).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence

from msgspec import structs

from midwatch.core.values.evals import Case

SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
MAX_TRIES = 200


def parts_of(case: Case) -> list[tuple[int, str]]:
    """Take a case apart: each sentence with the number of its turn; the question is the last."""
    found: list[tuple[int, str]] = []
    for number, text in enumerate((*case.turns, case.question)):
        found += [(number, one) for one in SENTENCE.split(text) if one.strip()]
    return found


def whole(case: Case, parts: Sequence[tuple[int, str]]) -> Case:
    """Put parts together: what is left of the last turn is the question."""
    texts: dict[int, list[str]] = {}
    for number, text in parts:
        texts.setdefault(number, []).append(text)
    *turns, question = (" ".join(one) for _, one in sorted(texts.items()))
    return structs.replace(case, turns=tuple(turns), question=question)


def minimise(case: Case) -> Generator[Case, bool, Case]:
    """Propose smaller cases; send whether one still tells the sides apart. Returns the smallest.

    >>> def play(case, needed):
    ...     search, told = minimise(case), None
    ...     try:
    ...         proposed = next(search)
    ...         while True:
    ...             proposed = search.send(needed in proposed.question)
    ...     except StopIteration as stopped:
    ...         return stopped.value
    >>> long = Case("c", "Hi there. I bought shoes. How long may I return them? Thanks.")
    >>> play(long, "return").question
    'How long may I return them?'
    """
    parts, count, tries = parts_of(case), 2, 0
    while len(parts) > 1 and tries < MAX_TRIES:
        size = -(-len(parts) // count)
        chunks = [parts[n : n + size] for n in range(0, len(parts), size)]
        smaller: list[tuple[int, str]] | None = None
        # One chunk alone first, then all but one.
        rests = [[p for other in chunks if other is not one for p in other] for one in chunks]
        for candidate in (*chunks, *rests):
            if not candidate or len(candidate) == len(parts):
                continue
            tries += 1
            if (yield whole(case, candidate)):
                smaller = candidate
                break
        if smaller is not None:
            parts, count = smaller, 2
        elif count < len(parts):
            count = min(2 * count, len(parts))
        else:
            break
    return whole(case, parts)
