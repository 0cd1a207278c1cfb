"""pydantic-evals: datasets as YAML or JSON.

Law: an evaluator is applied as it is written, in its short or its long form. One that is not known
makes its cases unsupported, by its name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec

from midwatch.adapters.suites import carried
from midwatch.core.values.evals import Case, Check
from midwatch.errors import BadFile

Raw = dict[str, Any]


def looks_like(document: Any) -> bool:
    """Recognise a document."""
    return (
        isinstance(document, dict)
        and "suite" not in document
        and isinstance(cast("Raw", document).get("cases"), list)
    )


def read(document: Raw, file: Path) -> list[Case]:
    """Read a dataset. Raises BadFile for what is none."""
    everywhere = _evaluators(document.get("evaluators"), str(file))
    cases: list[Case] = []
    for number, one in enumerate(cast("list[Any]", document["cases"]), start=1):
        place = f"{file} cases[{number - 1}]"
        if not isinstance(one, dict) or "inputs" not in one:
            raise BadFile("inputs is missing", place=place, remedy="write inputs: ...")
        given = cast("Raw", one)
        checks: list[Check] = []
        missing: list[str] = []
        for name, value in [*everywhere, *_evaluators(given.get("evaluators"), place)]:
            check = _check(name, value, given.get("expected_output"))
            if check is None:
                missing.append(f"evaluator {name}")
            else:
                checks.append(check)
        if not checks and not missing:
            missing.append("a case without an evaluator")
        case = Case(
            str(given.get("name") or f"case-{number}"),
            _text(given["inputs"]),
            checks=tuple(checks),
            unsupported=tuple(dict.fromkeys(missing)),
        )
        cases.append(carried.taken(case, carried.along(given, place)))
    return cases


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _evaluators(value: Any, place: str) -> list[tuple[str, Any]]:
    """Read `Name`, `{Name: value}` and `{Name: {field: value}}`."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadFile("evaluators is not a list", place=place, remedy="write evaluators: [...]")
    found: list[tuple[str, Any]] = []
    for one in cast("list[Any]", value):
        if isinstance(one, str):
            found.append((one, None))
        elif isinstance(one, dict) and len(cast("Raw", one)) == 1:
            found += cast("Raw", one).items()
        else:
            raise BadFile(f"unknown evaluator {one!r}", place=place, remedy="write Name: value")
    return found


def _check(name: str, value: Any, expected: Any) -> Check | None:
    said = cast("Raw", value) if isinstance(value, dict) else None
    match name:
        case "EqualsExpected":
            return Check("equals", _text(expected)) if expected is not None else None
        case "Equals":
            return Check("equals", _text(said.get("value") if said else value))
        case "Contains":
            wanted = cast("object", said.get("value") if said else value)
            if isinstance(wanted, (dict, list)):
                return None
            plain = said is None or said.get("case_sensitive", True) is not False
            return Check("contains" if plain else "icontains", _text(wanted))
        case "MaxDuration":
            seconds = cast("object", said.get("seconds") if said else value)
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
                return None
            return Check("latency", threshold=float(seconds))
        case "LLMJudge":
            return Check("judge", said.get("rubric") if said else value)
        case _:
            return None


def write(name: str, cases: Iterable[Case]) -> Raw:
    """Write a dataset. Raises BadFile for what it has no word for."""
    found: list[Raw] = []
    for case in map(carried.plain, cases):
        if case.turns:
            raise carried.refused(case, "turns")
        evaluators = [_written(case, one) for one in case.checks]
        one: Raw = {"name": case.id, "inputs": case.question, "evaluators": evaluators}
        found.append(one | carried.metadata(case))
    return {"name": name, "cases": found}


def _written(case: Case, one: Check) -> Raw:
    value: object = one.value
    if isinstance(value, list):
        raise carried.refused(case, f"check {one.kind} with several values")
    if not one.negate:
        match one.kind:
            case "equals":
                return {"Equals": one.value}
            case "contains":
                return {"Contains": one.value}
            case "icontains":
                return {"Contains": {"value": one.value, "case_sensitive": False}}
            case "latency":
                return {"MaxDuration": one.threshold}
            case "judge":
                return {"LLMJudge": one.value}
            case _:
                pass
    raise carried.refused(case, f"check {'not ' * one.negate}{one.kind}")
