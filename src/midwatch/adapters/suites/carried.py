"""What a case takes along into another tool's format, and what would be lost on the way.

Law: a case comes back as it was, or it is an error that names the case and the field: nobody gets
a weaker suite in silence. What a tool has no word of its own for, and hands through untouched,
stands in the metadata of its case under `midwatch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import Struct, structs

from midwatch.core.values.evals import Case, Check
from midwatch.errors import BadFile

WORD = "midwatch"
REMEDY = "remove it, or export to midwatch's own format"
# Their value is one text, or several of which one is enough: a list of one says the same.
ONE_OF = (
    "equals",
    "iequals",
    "contains",
    "icontains",
    "starts-with",
    "istarts-with",
    "fuzzy",
    "json-equals",
)
# What a number is taken for: the text of it, or each in a list.
TEXTS = (*ONE_OF, "regex", "token-f1", "edit")
LISTS = (
    *TEXTS,
    "contains-any",
    "contains-all",
    "icontains-any",
    "icontains-all",
    "tools",
    "cites",
)
LIMITS = ("latency", "cost")
DIGITS = 9  # of a limit that is written in another unit


class Along(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What stands in a case's metadata; `match` is a class of OpenAI's, which no sample names."""

    id: str = ""
    match: str = ""
    incident: str = ""
    slices: tuple[str, ...] = ()
    runs: int = 1
    least: int = 1


def metadata(case: Case, *, name: str = "", match: str = "") -> dict[str, Any]:
    """Write what a case takes along; nothing when there is nothing to say."""
    along = Along(name, match, case.incident, case.slices, case.runs, case.least)
    said = msgspec.to_builtins(along)
    return {"metadata": {WORD: said}} if said else {}


def along(given: Mapping[str, Any], place: str) -> Along:
    """Read what a case took along. Raises BadFile when that is nonsense."""
    about = given.get("metadata")
    said = cast("dict[str, Any]", about).get(WORD) if isinstance(about, dict) else None
    if said is None:
        return Along()
    remedy = "write incident, slices, runs and least as in midwatch's own format"
    try:
        found = msgspec.convert(said, Along)
    except msgspec.ValidationError as error:
        raise BadFile(f"metadata.{WORD}: {error}", place=place, remedy=remedy) from None
    if not 1 <= found.least <= found.runs:
        says = f"metadata.{WORD}: {found.least} of {found.runs} runs can never pass"
        raise BadFile(says, place=place, remedy=remedy)
    return found


def taken(case: Case, found: Along) -> Case:
    """Give a case what it took along."""
    return structs.replace(
        case,
        id=found.id or case.id,
        incident=found.incident,
        slices=found.slices,
        runs=found.runs,
        least=found.least,
    )


def plain(case: Case) -> Case:
    """Write checks that are judged alike alike, so that another format can say them.

    >>> plain(Case("a", "q", expect="x")).checks
    (Check(kind='equals', value='x', negate=False, threshold=None, knobs={}),)
    """
    return structs.replace(case, checks=tuple(map(_plain, case.wanted)), expect="", variables={})


def _plain(check: Check) -> Check:
    value: Any = check.value
    if check.kind in LIMITS:
        limit = check.threshold
        if limit is None and isinstance(value, (int, float)) and not isinstance(value, bool):
            limit, value = float(value), None
        elif limit is not None:
            limit, value = round(limit, DIGITS), None
        return structs.replace(check, value=value, threshold=limit)
    if isinstance(value, (list, tuple)):
        value = list(cast("list[Any]", value))
        if check.kind in LISTS:
            value = [_as_text(one) for one in value]
        if check.kind in ONE_OF and len(value) == 1:
            (value,) = value
    elif check.kind == "json-equals" and not isinstance(value, str):
        value = msgspec.json.encode(value).decode()
    elif check.kind in TEXTS:
        value = _as_text(value)
    return structs.replace(check, value=value)


def _as_text(value: Any) -> Any:
    """Write a number as the text that a scorer takes it for."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if is_number else value


def refused(case: Case, what: str) -> BadFile:
    """Say that a format has no word for a part of a case."""
    return BadFile(f"this format cannot express the {what}", place=case.id, remedy=REMEDY)


def compare(case: Case, back: Case) -> None:
    """Raise BadFile unless a case came back as it was, with what it lost on the way."""
    if back.unsupported:
        raise refused(case, f"text: {', '.join(back.unsupported)}")
    before, after = plain(case), plain(back)
    fields = [one for one in case.__struct_fields__ if getattr(before, one) != getattr(after, one)]
    if fields:
        raise refused(case, ", ".join(fields))
