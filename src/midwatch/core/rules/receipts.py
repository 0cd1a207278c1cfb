"""What pagers answer: a receipt, a failure, or nothing at all.

Law: a page that fails is tried again under its own key until it is given up. Who has a second pager
is paged by it after the first failure or SILENT_S without an answer, once for each page, while the
first pager is still tried; only when every page of a step was given up comes the next one early.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from midwatch.core.rules import escalation
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident, Paged, asks_by
from midwatch.core.values.clock import SECOND
from midwatch.core.values.keys import Key
from midwatch.core.values.reasons import Reason
from midwatch.core.values.teams import Policy

MAX_ATTEMPTS = 5
FIRST_RETRY_S = 5
MAX_FOLLOWS = 3


def on_page_answer(
    d: Decision,
    policy_of: Callable[[Incident], Policy],
    incident: Incident,
    answer: inputs.PageAnswered,
) -> None:
    """Record a receipt, or plan the next try under the same key, or give this way up."""
    if answer.key.startswith("update/"):
        if answer.error is not None and answer.attempt < MAX_FOLLOWS:
            wait_s = retry_delay_s(answer.key, answer.attempt, answer.retry_after_s)
            d.retry_effect(answer.key, d.now + int(wait_s * SECOND))
        return
    d.cancel_timer(escalation.silent_key(answer.key))
    told = [incident, *d.shard.told_by(answer.key, incident.id)]
    if answer.error is None:
        for one in told:
            key = _paged(one, answer.key).key
            d.emit(
                events.PageSent(
                    incident=one.id, key=key, receipt=answer.receipt, attempt=answer.attempt
                )
            )
        return
    waiting = [one for one in told if asks_by(one, answer.key)]
    wait_s = retry_delay_s(answer.key, answer.attempt, answer.retry_after_s)
    gives_up = answer.attempt >= MAX_ATTEMPTS or not waiting
    retry_at = None if gives_up else d.now + int(wait_s * SECOND)
    for one in told:
        key = _paged(one, answer.key).key
        d.emit(
            events.PageFailed(
                incident=one.id,
                key=key,
                attempt=answer.attempt,
                error=answer.error,
                retry_at=retry_at,
            )
        )
    if retry_at is not None:
        d.retry_effect(answer.key, retry_at)
    _try_next_pager(d, policy_of, waiting, answer.key, answer.error)
    for one in waiting if retry_at is None else ():
        _leave_step(d, policy_of(one), one, _paged(one, answer.key), answer.error)


def on_unanswered(
    d: Decision, policy_of: Callable[[Incident], Policy], incident: Incident, timer: inputs.Timer
) -> None:
    """Try the next pager beside one that has said nothing; its late receipt does no harm."""
    key = Key.read(timer.key).rest
    told = [incident, *d.shard.told_by(key, incident.id)]
    waiting = [one for one in told if asks_by(one, key)]
    if _paged(incident, key).state == "planned":
        _try_next_pager(d, policy_of, waiting, key, f"no answer within {escalation.SILENT_S} s")


def _try_next_pager(
    d: Decision,
    policy_of: Callable[[Incident], Policy],
    waiting: list[Incident],
    key: str,
    error: str,
) -> None:
    """Page by the person's next pager too, once for each page, whatever becomes of this one."""
    if not waiting:
        return
    first, *others = waiting
    policy, sent = policy_of(first), _paged(first, key)
    pagers = policy.team.pagers(sent.to)
    left = pagers[pagers.index(sent.via) + 1 :] if sent.via in pagers else ()
    later = first.pages[first.pages.index(sent) + 1 :]
    if not left or any((one.to, one.via) == (sent.to, left[0]) for one in later):
        return
    # The page may be one of an earlier round: it takes no step of this one for taken.
    step = sent.step if sent.beside else min(sent.step, first.next_step - 1)
    reason = Reason(escalation.RULE, _unreached(sent, error))
    escalation.plan_page(
        d,
        sent.beside or policy.name,
        first,
        sent.to,
        left[0],
        step,
        reason,
        tuple(others),
        beside=bool(sent.beside),
    )


def _leave_step(d: Decision, policy: Policy, incident: Incident, sent: Paged, error: str) -> None:
    """Take the next step when every page of this one, by every pager, was given up."""
    if sent.beside:
        return  # its own timer goes on
    here = [
        one
        for one in incident.pages[incident.earlier_pages :]
        if one.step == sent.step and not one.beside
    ]
    newest = sent in here and sent.step == incident.next_step - 1
    if newest and all(one.state == "failed" for one in here):
        escalation.page(
            d,
            policy,
            incident,
            Reason(escalation.RULE, _unreached(sent, error), {"step": sent.step}),
        )


def _unreached(sent: Paged, error: str) -> str:
    way = f" by {sent.via}" if sent.via else ""
    return f"{sent.to} cannot be reached{way}: {error}"


def _paged(incident: Incident, key: str) -> Paged:
    return next(one for one in incident.pages if key in (one.key, one.digest))


def retry_delay_s(key: str, attempt: int, retry_after_s: float | None = None) -> float:
    """Back off twice as long each time, with a jitter that depends on key and attempt alone.

    >>> 5 <= retry_delay_s("page/INC-1/1", 1) <= 10 <= retry_delay_s("page/INC-1/1", 2) <= 20
    True
    >>> retry_delay_s("page/INC-1/1", 1, retry_after_s=60.0) >= 60
    True
    """
    digest = blake2b(f"{key}#{attempt}".encode(), digest_size=4).digest()
    jitter = int.from_bytes(digest) / 2**32
    wait_s = FIRST_RETRY_S * 2 ** (attempt - 1) * (1 + jitter)
    return max(wait_s, retry_after_s or 0.0)
