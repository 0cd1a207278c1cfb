"""What is remembered of incidents that are over, so that one which comes again is recognised.

Law: an index over the last ninety days, and bounded: of incidents of one service that had the same
alerts, and failed the same question, only the newest is kept, and no more than MOST of a service.
It says what the incidents said; nothing in it is decided here.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from msgspec import Struct, structs

from midwatch.core.state.board import number_of
from midwatch.core.state.incidents import Incident
from midwatch.core.values.clock import SECOND
from midwatch.core.values.evals import Case

LOOKS_BACK_S = 90 * 86_400
MOST = 128


class Lesson(Struct, frozen=True):
    """An incident that hurt and is over: what it was like, and what it left behind."""

    incident: str
    opened_at: int
    kinds: tuple[str, ...]
    case: str = ""  # that was admitted
    question: str = ""  # of that case
    waiver: str = ""


# By the service whose objective burned or whose alerts fired; oldest first. Replaced, not changed.
Lessons = dict[str, list[Lesson]]


def learn(lessons: Lessons, incident: Incident) -> None:
    """Remember an incident that is over, as it is now.

    >>> lessons = {}
    >>> learn(lessons, Incident("INC-1", "shop", "", "x", 0, slo="shop/ok", kinds=["shop Slow"]))
    >>> [one.incident for one in before(lessons, "shop", 0)]
    ['INC-1']
    """
    service, lesson = incident.service_of_plan, _lesson(incident)
    if not incident.hurt or not (lesson.kinds or lesson.case):
        return  # nothing could be recognised by it
    known = lessons.get(service, [])
    newest_at = max([lesson.opened_at, *(one.opened_at for one in known[-1:])])
    since = newest_at - LOOKS_BACK_S * SECOND
    kept = [
        one
        for one in known
        if one.incident != lesson.incident
        and one.opened_at >= since
        and not _says_no_more(one, lesson)
    ]
    if lesson.opened_at >= since and not any(_says_no_more(lesson, one) for one in kept):
        insort(kept, lesson, key=lambda one: number_of(one.incident))
    lessons[service] = kept[-MOST:]


def amend(lessons: Lessons, incident: str, case: Case) -> None:
    """Remember a case that was admitted for an incident that is long over."""
    for service, known in lessons.items():
        for place, one in enumerate(known):
            if one.incident == incident:
                kept = structs.replace(one, case=case.id, question=case.question)
                lessons[service] = [*known[:place], kept, *known[place + 1 :]]
                return


def before(lessons: Lessons, service: str, now: int) -> Iterator[Lesson]:
    """Give what is remembered of a service, the newest first."""
    since = now - LOOKS_BACK_S * SECOND
    for one in reversed(lessons.get(service, ())):
        if one.opened_at < since:
            return
        yield one


def _lesson(incident: Incident) -> Lesson:
    case = incident.case if incident.case_state == "admitted" else None
    return Lesson(
        incident.id,
        incident.opened_at,
        tuple(incident.kinds),
        case.id if case else "",
        case.question if case else "",
        incident.waiver,
    )


def _says_no_more(older: Lesson, newer: Lesson) -> bool:
    """Say whether whatever an older one would recognise is found in a newer one first."""
    is_older = number_of(older.incident) < number_of(newer.incident)
    same = set(older.kinds) == set(newer.kinds) and older.question in ("", newer.question)
    return is_older and same
