"""What people make of an incident: the part of a postmortem that no event can know.

Law: facts come from events, judgement from a person, and neither is written by the other. An action
item has an owner, a due date and a state, or it is refused.
"""

from __future__ import annotations

import re
from typing import Literal, cast

from msgspec import Struct, structs

from midwatch.errors import InputError

ItemState = Literal["open", "done", "dropped"]
DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
MAX_TEXT, MAX_LINES = 2_000, 50


class ActionItem(Struct, frozen=True, forbid_unknown_fields=True):
    """Something to be done: by whom, until which day (2026-12-31), and how it stands."""

    what: str
    owner: str
    due: str
    state: ItemState = "open"


class Judgement(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a person wrote; each list holds sentences."""

    summary: str = ""
    went_well: tuple[str, ...] = ()
    went_wrong: tuple[str, ...] = ()
    lucky: tuple[str, ...] = ()
    contributing_factors: tuple[str, ...] = ()
    action_items: tuple[ActionItem, ...] = ()

    @property
    def unwritten(self) -> list[str]:
        """List what nobody has written yet."""
        parts = {
            "what went well": self.went_well,
            "what went wrong": self.went_wrong,
            "where we were lucky": self.lucky,
            "contributing factors": self.contributing_factors,
            "action items": self.action_items,
        }
        return [name for name, part in parts.items() if not part]


class Added(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What somebody adds to what stands there; `done` and `dropped` are numbers of action items.

    A summary replaces the one before.
    """

    summary: str | None = None
    went_well: tuple[str, ...] = ()
    went_wrong: tuple[str, ...] = ()
    lucky: tuple[str, ...] = ()
    contributing_factors: tuple[str, ...] = ()
    action_items: tuple[ActionItem, ...] = ()
    done: int | None = None
    dropped: int | None = None


class Whole(Judgement, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """All of it anew; with a `version` only when nobody has written since that one."""

    version: int | None = None


def plain(whole: Whole) -> Judgement:
    """Give what was written, without the version that it was written to."""
    return Judgement(**{name: getattr(whole, name) for name in Judgement.__struct_fields__})


def merged(known: Judgement, added: Added) -> Judgement:
    """Add to what stands there; what is there already stays one. Raises InputError.

    >>> merged(Judgement(lucky=("a",)), Added(lucky=("b", "a ", "b"))).lucky
    ('a', 'b')
    """
    items = _one_each(known.action_items, added.action_items)
    for number, state in ((added.done, "done"), (added.dropped, "dropped")):
        if number is None:
            continue
        if not 0 < number <= len(items):
            raise InputError(f"there is no action item {number}", remedy="see postmortem show")
        items[number - 1] = structs.replace(items[number - 1], state=cast("ItemState", state))
    return Judgement(
        known.summary if added.summary is None else added.summary,
        _sentences(known.went_well, added.went_well),
        _sentences(known.went_wrong, added.went_wrong),
        _sentences(known.lucky, added.lucky),
        _sentences(known.contributing_factors, added.contributing_factors),
        tuple(items),
    )


def _sentences(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *(one.strip() for one in more))))


def _one_each(known: tuple[ActionItem, ...], more: tuple[ActionItem, ...]) -> list[ActionItem]:
    """Keep one of the items that ask the same of the same person until the same day."""
    found = list(known)
    for new in more:
        one = structs.replace(new, what=new.what.strip())
        if not any((x.what, x.owner, x.due) == (one.what, one.owner, one.due) for x in found):
            found.append(one)
    return found


def checked(judgement: Judgement) -> Judgement:
    """Give a judgement back that may be kept. Raises InputError.

    >>> checked(Judgement(action_items=(ActionItem("test it", "ada", "2026-12-31"),))).unwritten[-1]
    'contributing factors'
    >>> checked(Judgement(action_items=(ActionItem("test it", "", "soon"),)))
    Traceback (most recent call last):
        ...
    midwatch.errors.InputError: action item 1: has no owner; name who does it
    """
    lists = (
        judgement.went_well,
        judgement.went_wrong,
        judgement.lucky,
        judgement.contributing_factors,
    )
    for text in (judgement.summary, *(one for part in lists for one in part)):
        if len(text) > MAX_TEXT:
            raise InputError(
                f"{len(text)} characters are too many", remedy=f"write at most {MAX_TEXT}"
            )
    if any(len(part) > MAX_LINES for part in (*lists, judgement.action_items)):
        raise InputError("too many entries of one kind", remedy=f"write at most {MAX_LINES}")
    if any(not one.strip() for part in lists for one in part):
        raise InputError("an entry is empty", remedy="remove it, or write something")
    for number, item in enumerate(judgement.action_items, start=1):
        place = f"action item {number}"
        if not item.what.strip():
            raise InputError("says nothing to do", place=place, remedy="say what is to be done")
        if not item.owner.strip():
            raise InputError("has no owner", place=place, remedy="name who does it")
        if DAY.fullmatch(item.due) is None:
            raise InputError(f"is due {item.due!r}", place=place, remedy="write 2026-12-31")
    return judgement
