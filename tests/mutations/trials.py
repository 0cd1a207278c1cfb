"""Reports and a trial's comparison, broken on purpose: who is counted, and what counts as good."""

from __future__ import annotations

from tests.mutations.laws import Mutation

TICKETS = ("tests/unit/rules/test_tickets.py",)
TRIAL, SHADOW = "src/midwatch/engine/shadow.py", ("tests/unit/engine/test_shadow.py",)
MUTATIONS = (
    Mutation(
        "one person who writes five times is five",
        14,
        "src/midwatch/core/rules/tickets.py",
        "return max(len({one.reporter for one in told}), max(claimed, default=0))",
        "return max(len(told), max(claimed, default=0))",
        TICKETS,
    ),
    Mutation(
        "anybody's claim is believed",
        14,
        "src/midwatch/core/rules/tickets.py",
        "doubted = not (ticket.signed or ticket.source in desk.trusted)",
        "doubted = False",
        TICKETS,
    ),
    Mutation(
        "many people without a service page nobody",
        10,
        "src/midwatch/core/rules/tickets.py",
        "if count < MANY and claimed < MANY:",
        "if claimed < MANY:",
        TICKETS,
    ),
    Mutation(
        "a tie of two categories is a guess",
        13,
        "src/midwatch/core/values/categories.py",
        "if len(ranked) > 1 and ranked[1][0] == ranked[0][0]:",
        "if not ranked:",
        TICKETS,
    ),
    Mutation(
        "one word is a category",
        13,
        "src/midwatch/core/values/categories.py",
        "MIN_WORDS = 2",
        "MIN_WORDS = 1",
        TICKETS,
    ),
    Mutation(
        "a phrase goes over the end of a sentence",
        13,
        "src/midwatch/core/values/phrases.py",
        "near = takewhile(self._forms.__getitem__, range(",
        "near = iter(range(",
        TICKETS,
    ),
    Mutation(
        "a no is written in one way alone",
        13,
        "src/midwatch/core/values/phrases.py",
        "return _NO.get(word) or (",
        "return (",
        TICKETS,
    ),
    Mutation(
        "a Japanese no is written in one way alone",
        13,
        "src/midwatch/core/values/phrases.py",
        'stem = part.removesuffix("ない")',
        "stem = part",
        TICKETS,
    ),
    Mutation(
        "what broke at the same time is saved",
        4,
        TRIAL,
        "if not told and len(loose) == len(theirs):",
        "if False:",
        SHADOW,
    ),
    Mutation(
        "who wakes others has woken these people",
        4,
        TRIAL,
        "if not paged and one.people:",
        "if False:",
        SHADOW,
    ),
    Mutation(
        "a page that came first is saved",
        4,
        TRIAL,
        "if number > 1 and delay_s <= 0:",
        "if number > 1:",
        SHADOW,
    ),
    Mutation(
        "what comes far too late is covered",
        4,
        TRIAL,
        "if delay_s > self._within_s:",
        "if False:",
        SHADOW,
    ),
)
