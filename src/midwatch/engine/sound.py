"""What ports answer, before anything is decided on it.

Law: an adapter hands on what somebody else said, and a fault of theirs is an answer that is left
out and reported, never one that the core raises on or the journal cannot hold. Counts that count
nothing are missing data; a router that says nonsense was not seen; a text is a text, and ends.
"""

from __future__ import annotations

from midwatch.core.values.sli import Counts, FailedAnswer, Trace
from midwatch.core.values.traffic import Traffic
from midwatch.errors import HarnessError
from midwatch.ports import Health
from midwatch.texts import cut

LONGEST = 4_000  # characters of what a port says
LONGEST_NAME = 200
MOST = 2**53  # what a number in JSON holds exactly
LONGEST_WAIT_S = 86_400.0


def text(said: object, longest: int = LONGEST) -> str:
    r"""Give a text that can be written down, whatever was said.

    >>> text("ok"), text(None), text("a\ud800"), text({"id": 7})
    ('ok', '', 'a?', "{'id': 7}")
    """
    words = said if isinstance(said, str) else "" if said is None else repr(said)
    return cut(words, longest).encode("utf-8", "replace").decode("utf-8")


def is_counts(found: Counts) -> bool:
    """Say whether these count something: whole numbers, and no more good ones than there are.

    >>> is_counts(Counts(8, 10)), is_counts(Counts(11, 10)), is_counts(Counts(-1, 10))
    (True, False, False)
    """
    good, total = found.good, found.total
    return _is_whole(good) and _is_whole(total) and 0 <= good <= total <= MOST


def is_trace(found: Trace) -> bool:
    """Say whether a trace can be: whole numbers that only grow, in the order of time.

    >>> from midwatch.core.values.sli import Edge
    >>> is_trace(Trace((Edge(0, 1, 2), Edge(10, 2, 3)))), is_trace(Trace((Edge(0, 3, 2),)))
    (True, False)
    """
    if not (found.first_at is None or _is_whole(found.first_at)):
        return False
    if not (found.period is None or is_counts(found.period)):
        return False
    before = None
    for one in found.edges:
        if not is_counts(Counts(one.good, one.total)) or not _is_whole(one.at):
            return False
        if before is not None:
            bad, more = one.total - one.good, one.total - before.total
            if one.at <= before.at or one.good < before.good or more < 0:
                return False
            if bad < before.total - before.good:
                return False
        before = one
    return True


def failed(one: FailedAnswer) -> FailedAnswer:
    """Give an answer that failed, as texts."""
    return FailedAnswer(text(one.id), text(one.question), text(one.answer), text(one.expected))


def wait_s(asked: float | None) -> float | None:
    """Give how long to wait, when what was asked for is a time at all.

    >>> wait_s(30.0), wait_s(float("nan")), wait_s(-1.0), wait_s(1e300)
    (30.0, None, None, 86400.0)
    """
    if asked is None or not asked >= 0.0:
        return None
    return min(asked, LONGEST_WAIT_S)


def health(seen: Health) -> Health:
    """Give what a check found, as texts."""
    return Health(text(seen.trouble), text(seen.digest, LONGEST_NAME))


def traffic(seen: Traffic) -> Traffic:
    """Give back what a router says it serves. Raises HarnessError when that cannot be."""
    epoch, weight = seen.epoch, seen.weight
    whole = _is_whole(epoch) and _is_whole(weight) and 0 <= epoch <= MOST
    if whole and 0 <= weight <= bool(seen.candidate) * 100 and _are_names(seen):
        return seen
    says = f"{text(weight, 20)} % to {text(seen.candidate, 100)!r}, epoch {text(epoch, 20)}"
    raise HarnessError(f"the router serves {text(seen.release, 100)!r}, {says}: that cannot be")


def _are_names(seen: Traffic) -> bool:
    return all(text(one, LONGEST_NAME) == one for one in (seen.release, seen.candidate))


def _is_whole(number: object) -> bool:
    return type(number) is int
