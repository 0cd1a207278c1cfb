"""What holds while a wall clock is wrong for a while, and once it is right again.

Law: a checker compares events and what reached the world with the right time, which the engine
never sees. A clock that is off by less than a minute may shift what is compared by as much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import cast

from midwatch.core.rules.jumps import RULE
from midwatch.core.state import events as e
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.schedules import Override
from midwatch.core.values.skews import JUMP_MS
from midwatch.core.values.teams import Policy
from midwatch.drill.reports import Story
from midwatch.drill.shift import Shift
from midwatch.drill.witnesses import BY, KEPT, SNOOZE_FOR_S
from midwatch.engine.queries import Fact

NEAR_MS = 900 * SECOND  # a clock that comes so near to what it was counts as right
TOLD_S = 60  # after a jump; a process may be down when it comes
RETRY_S = 60  # a try may wait for others that are due
SPARE_S = 35  # what a restart or a sender that comes back may add
SAMPLE_S = 60
LAST_SEQ = 1 << 62

Page = e.PagePlanned | e.PageHeld


def broken_times(shift: Shift, story: Story) -> list[str]:
    """List the laws of time that a shift broke; empty is good, and when its clock was right."""
    if not shift.machine.wrong:
        return []
    found = [
        _journal_goes_on(shift, story),
        _jumps_are_told(shift, story),
        _one_page_a_jump(story),
        _right_person(shift, story),
        _steps_wait(shift, story),
        _acks_wait(shift, story),
        _retries_wait(shift, story),
        _dates_hold(shift, story),
        _snoozes_end(shift, story),
    ]
    return [law for law in found if law]


def _slack(shift: Shift) -> int:
    return 2 * shift.machine.wrong.small_ms + SPARE_S * SECOND


def _takes(shift: Shift, took: int, wanted: int, spare_s: int = 0) -> bool:
    """Say whether a wait took its time: it may end a little late, and is never cut short."""
    small = 2 * shift.machine.wrong.small_ms + SECOND
    return wanted - small <= took <= wanted + _slack(shift) + spare_s * SECOND


def _off(ms: int) -> str:
    return show_duration(abs(ms) / SECOND)


def _journal_goes_on(shift: Shift, story: Story) -> str:
    """The journal's time never goes back, and goes as fast as time passes."""
    before, most = 0, shift.machine.wrong.small_ms + SECOND
    for row, _ in story.rows:
        if row.at < before:
            return (
                f"the event log's time never goes back: event {row.seq}, by {_off(before - row.at)}"
            )
        before, off = row.at, row.at - shift.happened_at(row.seq)
        if abs(off) > most:
            return f"the event log's time leaps with nothing: event {row.seq} is off by {_off(off)}"
    return ""


def _jumps_are_told(shift: Shift, story: Story) -> str:
    """Each jump is an event when it happens, and nothing else is one."""
    starts_at, last = shift.scenario.starts_at, shift.clock.now
    edges = [
        (starts_at + at, by) for at, by in shift.machine.wrong.edges() if starts_at + at < last
    ]
    told = [
        (shift.happened_at(fact.seq), fact.event.by_ms, fact.event.right)
        for fact in story.all(e.ClockJumped)
        if abs(fact.event.by_ms) >= JUMP_MS
    ]
    if len(told) != len(edges):
        return f"each jump of the clock is told: {len(told)} of {len(edges)}"
    was = [0]
    for (at, by), (told_at, told_by, right) in zip(edges, told, strict=True):
        far = abs(told_by - by) > JUMP_MS
        if far or not 0 <= told_at - at <= TOLD_S * SECOND:
            return f"each jump of the clock is told: {_off(by)} at {at}"
        off = shift.machine.wrong.off_ms(at - starts_at, big=True)
        if right != (off in was) and not (right and any(abs(off - one) <= NEAR_MS for one in was)):
            return f"a clock that is right again is right at once: {_off(off)} off at {at}"
        was = was[: was.index(off) + 1] if off in was else [*was, off]
    return ""


def _one_page_a_jump(story: Story) -> str:
    """A jump pages, once, unless a page of an earlier one still waits, or it is put right."""
    jumps = [fact for fact in story.all(e.ClockJumped) if abs(fact.event.by_ms) >= JUMP_MS]
    waits: dict[str, bool] = {}
    ends = [*(jump.seq for jump in jumps[1:]), LAST_SEQ][: len(jumps)]
    for jump, end in zip(jumps, ends, strict=True):
        name = jump.event.incident
        wanted = int(name not in waits or not (waits[name] or jump.event.right))
        paged = 0
        waits.setdefault(name, True)
        for fact in story.facts:
            event = fact.event
            if getattr(event, "incident", "") != name or not jump.seq < fact.seq < end:
                continue
            if isinstance(event, Page):
                paged += event.reason.rule == RULE
                waits[name] = True
            elif isinstance(event, e.PageAcknowledged | e.AckWithdrawn):
                waits[name] = isinstance(event, e.AckWithdrawn)
        if paged != wanted:
            return f"a jump pages once: {name} paged {paged} times for one, not {wanted}"
    return ""


# --- pages and waits ----------------------------------------------------------------------------


def _policy(shift: Shift, name: str) -> Policy:
    rules = shift.scenario.config.rules
    return rules.policies.get(name, rules.policy)


def _steps(shift: Shift, story: Story) -> Iterator[tuple[Fact[Page], Fact[Page] | None]]:
    """Give each page that took a step of a policy, with the one of its incident before it."""
    before: dict[str, Fact[Page]] = {}
    held: dict[tuple[str, str, str], int] = {}  # -> the step that it was of
    for fact in story.facts:
        event = fact.event
        if isinstance(event, e.PageAcknowledged):
            held = {place: step for place, step in held.items() if place[0] != event.incident}
        if not isinstance(event, Page):
            continue
        place = (event.incident, event.to, event.via)
        if isinstance(event, e.PageHeld):
            held[place] = event.step
        elif (
            event.digest
            or "incidents" in event.reason.terms
            # What was silenced while it was held is never sent: another step is a new page.
            or held.get(place) == event.step
        ):
            held.pop(place, None)  # it was held, and this sends it, maybe with others
            continue
        pagers = _policy(shift, event.policy).team.pagers(event.to)
        if event.via == pagers[0] and event.step >= 0:
            last = before.get(event.incident)
            grew = event.reason.says.startswith(f"{event.incident} grew: ")
            if grew and last is not None and last.event.step == event.step:
                continue  # growth is told to whoever was asked, while that step goes on
            yield cast("Fact[Page]", fact), last
            before[event.incident] = cast("Fact[Page]", fact)


def _right_person(shift: Shift, story: Story) -> str:
    """Whoever is paged is on call by the wall clock of that moment.

    Where that has nobody at all, as before the start of every rota, by the journal's time.
    """
    small = shift.machine.wrong.small_ms + SECOND
    added = story.all(e.OverrideAdded)
    for fact, _ in _steps(shift, story):
        event = fact.event
        policy = _policy(shift, event.policy)
        step = policy.step(event.step)
        at = shift.happened_at(fact.seq)
        wall = at + shift.machine.off_ms(at)
        stand: dict[str, list[Override]] = {}
        for one in added:
            if one.seq < fact.seq:
                stand.setdefault(one.event.schedule, []).append(one.event.override)
        named = {name for one in policy.steps for name in one.to}
        nobody = not any(policy.team.behind(name, wall, stand) for name in named)
        middle = fact.at if nobody else wall
        fit: set[str | None] = set()
        for name in step.to if step else ():
            moments = (middle - small, middle, middle + small)
            fit |= {policy.team.behind(name, moment, stand) for moment in moments}
        if event.to not in fit and not (step and event.to in step.channels):
            return f"whoever is on call is paged: {event.to} by {event.incident} at {wall}"
    return ""


def _steps_wait(shift: Shift, story: Story) -> str:
    """The next step comes when the wait of the last one is over, whatever the wall clock does."""
    handed = story.all(e.AckWithdrawn) + story.all(e.IncidentReassigned)
    resumed = story.all(e.AskingResumed)
    for fact, before in _steps(shift, story):
        if before is None or not fact.event.reason.says.startswith("no ack from "):
            continue
        name, first, last = fact.event.incident, before.seq, fact.seq
        if any(x.event.incident == name and first < x.seq < last for x in resumed):
            continue  # it went on where it was: how long that is, the event says itself
        policy, number = _policy(shift, before.event.policy), before.event.step
        again = [x.seq for x in handed if x.event.incident == name and first < x.seq < last]
        if again:  # whoever had it was asked once more, as by the first step
            first, number = again[-1], 0
        step = policy.step(number)
        took = shift.happened_at(last) - shift.happened_at(first)
        if step is not None and not _takes(shift, took, step.delay_s * SECOND):
            return (
                f"a step waits its time: {fact.event.incident} was paged again after {_off(took)}"
            )
    again_ms = shift.scenario.config.rules.policy.team.again_s * SECOND
    rows = {row.seq: row.at for row, _ in story.rows}
    tired: dict[str, tuple[int, int]] = {}  # incident -> since when, and for how long
    for fact in story.facts:
        at = shift.happened_at(fact.seq)
        match fact.event:
            case e.EscalationExhausted(incident=name):
                tired[name] = at, again_ms
            case e.AskingResumed(incident=name, until=until, exhausted=True):
                # It was over for a while: the wait is from the last page on, as the event says.
                tired[name] = at, until - rows[fact.seq]
            case e.EscalationRestarted(incident=name):
                since, wanted = tired[name]
                if not _takes(shift, at - since, wanted):
                    return f"a step waits its time: {name} began again after {_off(at - since)}"
            case _:
                pass
    return ""


def _acks_wait(shift: Shift, story: Story) -> str:
    """An ack is forgotten after its time, and not before."""
    acked: dict[str, int] = {}
    wanted = shift.scenario.config.rules.policy.team.ack_s * SECOND
    for fact in story.facts:
        match fact.event:
            case e.PageAcknowledged(incident=name):
                acked[name] = shift.happened_at(fact.seq)
            case e.AckWithdrawn(incident=name, reason=reason) if " acknowledged it " in reason.says:
                took = shift.happened_at(fact.seq) - acked[name]
                if not _takes(shift, took, wanted):
                    return f"an ack holds its time: {name} was given back after {_off(took)}"
            case _:
                pass
    return ""


def _retries_wait(shift: Shift, story: Story) -> str:
    """A page that failed is tried again after its wait.

    The try counts, not its answer: a pager that hangs may answer an hour later, or only after a
    restart. A try that a crash cut off before its call is made by the restart.
    """
    effects = {x.event.key: x.event.digest or x.event.key for x in story.all(e.PagePlanned)}
    due: dict[str, tuple[int, int]] = {}
    for fact in story.facts:
        event = fact.event
        if not isinstance(event, e.PageFailed | e.PageSent):
            continue
        at = shift.happened_at(fact.seq)
        if event.key in due:
            failed_at, wait = due.pop(event.key)
            took = shift.claimed.get((effects[event.key], event.attempt), at) - failed_at
            if not _takes(shift, took, wait, RETRY_S):
                return f"a retry waits its time: {event.key} was tried again after {_off(took)}"
        if isinstance(event, e.PageFailed) and event.retry_at is not None:
            row_at = next(row.at for row, _ in story.rows if row.seq == fact.seq)
            due[event.key] = at, event.retry_at - row_at
    return ""


# --- dates --------------------------------------------------------------------------------------


def _is_calm(shift: Shift, at: int) -> bool:
    """Say whether the clock is right, and has been for a moment."""
    since, slack = at - shift.scenario.starts_at, _slack(shift)
    wrong = shift.machine.wrong
    near = any(since - slack <= when <= since for when, _ in wrong.edges())
    return not near and not wrong.off_ms(since, big=True)


def _muted(shift: Shift, story: Story) -> dict[str, list[tuple[int, bool | None]]]:
    """Say of each alert from when on it was muted or was not; None when it ended."""
    found: dict[str, list[tuple[int, bool | None]]] = {}

    def note(names: Iterable[str], muted: bool | None) -> None:
        for name in names:
            found.setdefault(name, []).append((at, muted))

    for fact in story.facts:
        at = shift.happened_at(fact.seq)
        match fact.event:
            case e.AlertsAttached(attached=attached):
                for item in attached:
                    note([item.alert.fingerprint], bool(item.muted))
            case e.AlertsMuted(fingerprints=fingerprints, key=key):
                note(fingerprints, bool(key))
            case e.AlertsResolved(fingerprints=fingerprints):
                note(fingerprints, None)
            case _:
                pass
    return found


def _dates_hold(shift: Shift, story: Story) -> str:
    """While the clock is right, what is muted is what is muted by its dates."""
    muted, slack, turns = _muted(shift, story), _slack(shift), shift.witnesses.turns_at()

    def is_turn(at: int) -> bool:  # then the clock's seconds decide
        return any(abs(at - one) <= slack for one in turns)

    for identity, service in shift.witnesses.probes():
        told = muted.get(identity.fingerprint, [])
        if told and service == KEPT and is_turn(told[0][0]):
            continue
        for (begin, is_muted), (end, _) in pairwise([*told, (shift.clock.now, None)]):
            moments = range(begin, end, SAMPLE_S * SECOND) if is_muted is not None else ()
            for at in moments:
                wanted = shift.witnesses.muted(service, told[0][0], at)
                settled = _is_calm(shift, at) and not is_turn(at) and wanted is not None
                if settled and is_muted != wanted:
                    word = "muted" if is_muted else "not muted"
                    return f"dates hold while the clock is right: {service} is {word} at {at}"
    return ""


def _snoozes_end(shift: Shift, story: Story) -> str:
    """A snooze ends after what was asked for, or when the wall clock has come to its date."""
    begun: dict[str, tuple[int, int]] = {}
    slack, asked = _slack(shift), SNOOZE_FOR_S * SECOND
    for fact in story.facts:
        at = shift.happened_at(fact.seq)
        late = [name for name, (since, _) in begun.items() if at - since > asked + slack]
        if late:
            return f"a snooze ends at its date: {late[0]} is snoozed still"
        match fact.event:
            case e.PageSnoozed(incident=name, by=by, until=until) if by == BY:
                begun[name] = at, until
            case e.AckWithdrawn(incident=name, reason=reason) if name in begun:
                since, until = begun.pop(name)
                ended = at - since < asked - slack and reason.says.startswith("the snooze ")
                if ended and not _came_to(shift, since, at, until - slack):
                    return f"a snooze ends at its date: {name} ended after {_off(at - since)}"
            case (
                e.PageAcknowledged(incident=name)
                | e.IncidentReassigned(incident=name)
                | e.IncidentMitigated(incident=name)
                | e.IncidentResolved(incident=name)
                | e.IncidentClosed(incident=name)
                | e.IncidentMerged(incident=name)
            ):
                begun.pop(name, None)
            case _:
                pass
    return ""


def _came_to(shift: Shift, since: int, at: int, date: int) -> bool:
    """Say whether the wall clock has shown a date in a stretch of the right time."""
    starts_at = shift.scenario.starts_at
    moments = [at, *(starts_at + when for when, _ in shift.machine.wrong.edges())]
    return any(
        since <= moment <= at and moment + shift.machine.off_ms(moment) >= date
        for moment in moments
    )
