"""What neighbours and people are promised while ports refuse, hang and lie.

Law: a promise is kept by the world's own truth: what was sent when, what is served, what was typed.
"""

from __future__ import annotations

from midwatch.core.state import events as e
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.drill.by_hand import Told
from midwatch.drill.reports import Story
from midwatch.drill.shift import CALM_S, Shift

PAGED_S = 120  # from when the alert was sent; a process that dies adds what senders wait
RESENT_S = 60
PENDING_S = 600


def broken_promises(shift: Shift, story: Story, crashes: int = 0) -> list[str]:
    """List what was not kept; empty is good."""
    found = [
        _bystander_pages(shift, story, crashes),
        _typed_is_taken(shift),
        _refused_step_ends(story),
        _served_in_the_end(shift, story),
        _nothing_hangs(shift, story),
        *(f"every decision can be committed: {why}" for why in shift.unwritten),
    ]
    return [one for one in found if one]


def _bystander_pages(shift: Shift, story: Story, crashes: int) -> str:
    """A service that has nothing to do with any fault pages as if there were none."""
    bystander = shift.scenario.bystander
    if bystander is None:
        return ""
    came_at = shift.came_at.get(bystander.service)
    if came_at is None:
        return ""
    incidents = {
        fact.event.incident
        for fact in story.all(e.AlertsAttached)
        if any(one.alert.service == bystander.service for one in fact.event.attached)
    }
    due_at = came_at + (PAGED_S + RESENT_S * crashes) * SECOND
    sent = [page.at for page in shift.log.sent() if page.incident in incidents]
    if sent and sent[0] <= due_at:
        return ""
    late = show_duration((sent[0] - came_at) // SECOND) if sent else "never"
    return f"other services page in time: {bystander.service} was paged for after {late}"


def _typed_is_taken(shift: Shift) -> str:
    """A rollback or an abort is refused only when nothing is there to be moved."""
    for told in shift.told:
        if told.answer.status == "rejected" and not _may_refuse(told):
            return (
                f"a {told.typed.what} can always be typed: {told.answer.why}, while"
                f" {told.served.says} was served"
            )
    return ""


def _may_refuse(told: Told) -> bool:
    why = told.answer.why
    if told.typed.what == "abort":
        # After a rollback that was given up unseen, only a rollback may say what is served.
        by_rollback = told.unsettled and told.purpose == "rollback"
        return "no canary of" in why and (by_rollback or not told.served.candidate)
    if any(word in why for word in ("no release of", "is recorded as good", "went before it")):
        return True
    nowhere = "live already" in why or "known bad" in why
    served = told.served.release == told.live and not told.served.candidate
    return nowhere and not told.unsettled and served


def _refused_step_ends(story: Story) -> str:
    """A canary ends with the first of its moves that came to nothing."""
    trying: dict[str, str] = {}
    lost: dict[str, str] = {}
    for fact in story.facts:
        match fact.event:
            case e.CanaryStarted(service=service, operation=operation):
                trying[service] = operation
            case e.CanaryEnded(service=service):
                trying.pop(service, None)
                lost.pop(service, None)
            case e.PointerAbandoned(service=service, operation=operation) if service in trying:
                lost[service] = operation
            case e.CanaryCounted(service=service) if service in lost:
                return f"a step that is refused ends its canary: {lost[service]} did not"
            case _:
                pass
    return ""


def _served_in_the_end(shift: Shift, story: Story) -> str:
    """Some time after the last fault the router serves what the pointer says, and no orphan."""
    if shift.clock.now < shift.meddler.ends_at + CALM_S * SECOND:
        return ""
    for plan in shift.scenario.services:
        pointer = story.shard.pointers.get(plan.name)
        if pointer is None or pointer.pending:
            continue
        seen = shift.router.observe(plan.name)
        stuck = story.shard.pointers[plan.name].releases[pointer.live].standing == "bad"
        if not pointer.traffic.is_like(seen) and not stuck:
            return f"what is served comes right: {plan.name} serves {seen.says}"
        if pointer.candidate and pointer.canary is None:
            return f"no candidate is left over: {plan.name} serves {seen.says}"
    return ""


def _nothing_hangs(shift: Shift, story: Story) -> str:
    """No move is under way for long once everything works."""
    began = {
        (fact.event.service, fact.event.operation): fact.at for fact in story.all(e.PointerIntended)
    }
    for service, pointer in story.shard.pointers.items():
        at = began.get((service, pointer.pending))
        if at is None or shift.clock.now < shift.meddler.ends_at + CALM_S * SECOND:
            continue
        if shift.clock.now - at > PENDING_S * SECOND:
            return f"all settles: {pointer.pending} is under way since {at}"
    return ""
