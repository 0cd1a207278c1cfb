"""Inspect: samples as JSON, JSONL or CSV, with a map of their fields.

Law: a sample says what is asked and what is right, not how that is scored: an answer that includes
the target, whatever the case, is right, as Inspect's `includes` has it. So no sample says another
check. Samples with files, a sandbox or choices are unsupported, by that name.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, cast

from midwatch.adapters.suites import carried
from midwatch.core.values.evals import Case, Check
from midwatch.errors import BadFile

Raw = dict[str, Any]
FIELDS = ("input", "target", "id", "choices", "files", "sandbox", "setup")


def looks_like_lines(first: Any) -> bool:
    """Recognise a sample."""
    return isinstance(first, dict) and "input" in first and "target" in first


def looks_like_csv(header: Iterable[str]) -> bool:
    """Recognise a CSV by its header."""
    return {"input", "target"} <= set(header)


def read_lines(
    lines: Iterable[tuple[int, Raw]], file: Path, fields: Mapping[str, str] | None = None
) -> list[Case]:
    """Read samples. Raises BadFile with the place of one that is none."""
    return [_case(number, sample, file, fields or {}) for number, sample in lines]


def read_csv(text: str, file: Path, fields: Mapping[str, str] | None = None) -> list[Case]:
    """Read a CSV with a header."""
    rows = csv.DictReader(StringIO(text), strict=True)
    try:
        found: list[tuple[int, Raw]] = [(rows.line_num, dict(row)) for row in rows]
    except csv.Error as error:
        remedy = "quote fields that contain commas"
        raise BadFile(f"not valid CSV: {error}", place=str(file), remedy=remedy) from None
    return read_lines(found, file, fields)


def _case(number: int, sample: Raw, file: Path, fields: Mapping[str, str]) -> Case:
    place = f"{file}:{number}"
    said: Raw = {name: sample.get(fields.get(name, name)) for name in FIELDS}
    question, turns = _asked(said["input"], place)
    target = said["target"]
    targets = cast("list[Any]", target) if isinstance(target, list) else [target]
    if not targets or any(one is None or isinstance(one, (dict, list)) for one in targets):
        raise BadFile("target is missing", place=place, remedy="write target, or map a field to it")
    value: Any = str(targets[0]) if len(targets) == 1 else [str(one) for one in targets]
    name = said["id"]
    found = Case(
        str(name) if name not in (None, "") else f"sample-{number}",
        question,
        checks=(Check("icontains", value),),
        turns=turns,
        unsupported=tuple(k for k in ("choices", "files", "sandbox", "setup") if said[k]),
    )
    return carried.taken(found, carried.along(sample, place))


def _asked(given: Any, place: str) -> tuple[str, tuple[str, ...]]:
    if isinstance(given, str) and given.strip():
        return given, ()
    if isinstance(given, list):
        said = [
            cast("Raw", one).get("content")
            for one in cast("list[Any]", given)
            if isinstance(one, dict) and cast("Raw", one).get("role") == "user"
        ]
        if said and all(isinstance(one, str) for one in said):
            *turns, question = cast("list[str]", said)
            return question, tuple(turns)
    raise BadFile("input is missing", place=place, remedy="write input, or map a field to it")


def write(cases: Iterable[Case]) -> list[Raw]:
    """Write samples. Raises BadFile for what they have no word for."""
    samples: list[Raw] = []
    for case in map(carried.plain, cases):
        for number, one in enumerate(case.checks):
            if number or one.negate or one.kind != "icontains":
                raise carried.refused(case, f"check {'not ' * one.negate}{one.kind}")
        check = case.checks[0]
        messages = [{"role": "user", "content": text} for text in (*case.turns, case.question)]
        asked = messages if case.turns else case.question
        sample = {"id": case.id, "input": asked, "target": check.value}
        samples.append(sample | carried.metadata(case))
    return samples
