"""A reason is a value: the rule with its version, a sentence, the terms, the runner-up.

Law: each decision carries one; it is stored with the event, shown to people and replayable. The
sentence alone must be enough for somebody woken at three in the morning.
"""

from __future__ import annotations

from msgspec import Struct, field

Term = bool | int | float | str


class Reason(Struct, frozen=True, omit_defaults=True, gc=False):
    """Why something was decided.

    `rule` is `name/version`; `terms` are the numbers and names that entered, in order of weight;
    `runner_up` names what would have been decided otherwise, empty when nothing came close.

    >>> Reason("escalation/1", "sev1 pages", {"severity": "sev1"}).says
    'sev1 pages'
    """

    rule: str
    says: str
    terms: dict[str, Term] = field(default_factory=dict[str, Term])
    runner_up: str = ""
