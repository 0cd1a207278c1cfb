"""OpenAI evals: JSONL samples, and the registry's YAML that names their match class.

Law: a sample is judged as its class judges. A class that is not one of the four matches makes each
sample unsupported, by its name. A file is of one class, which a registry names: what is written
says it in each sample's metadata, too, and whoever names a class overrules that.
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

# Their class -> our check; each takes one ideal answer or several, of which one is enough.
CLASSES = {
    "Match": "starts-with",
    "Includes": "contains",
    "FuzzyMatch": "fuzzy",
    "JsonMatch": "json-equals",
}
BACK = {ours: theirs for theirs, ours in CLASSES.items()}
USUAL = "Match"


def looks_like_lines(first: Any) -> bool:
    """Recognise a line of JSONL."""
    return isinstance(first, dict) and "input" in first and "ideal" in first


def looks_like(document: Any) -> bool:
    """Recognise a registry's document."""
    return isinstance(document, dict) and any(
        isinstance(v, dict) and "class" in v for v in cast("Raw", document).values()
    )


def read_lines(lines: Iterable[tuple[int, Raw]], file: Path, match: str = "") -> list[Case]:
    """Read samples. Raises BadFile with the line that is none."""
    return [_case(number, sample, file, match) for number, sample in lines]


def classes(document: Raw) -> list[tuple[str, str]]:
    """List a registry's evals as (match class, name of the samples' file)."""
    found: list[tuple[str, str]] = []
    for entry in document.values():
        if not isinstance(entry, dict) or "class" not in entry:
            continue
        args = cast("Raw", cast("Raw", entry).get("args") or {})
        name = str(cast("Raw", entry)["class"]).rpartition(":")[2]
        found.append((name, str(args.get("samples_jsonl", ""))))
    return found


def _case(number: int, sample: Raw, file: Path, match: str) -> Case:
    place = f"{file}:{number}"
    given, ideal = sample.get("input"), sample.get("ideal")
    along = carried.along(sample, place)
    match = match or along.match or USUAL
    turns: list[str] = []
    system = ""
    if isinstance(given, str):
        question = given
    elif isinstance(given, list) and given:
        said: list[str] = []
        for message in cast("list[Any]", given):
            if not isinstance(message, dict) or not isinstance(
                cast("Raw", message).get("content"), str
            ):
                remedy = 'write {"role": "user", "content": "..."}'
                raise BadFile("a message has no text", place=place, remedy=remedy)
            one = cast("Raw", message)
            if one.get("role") == "system":
                system = f"{system}\n{one['content']}".strip()
            elif one.get("role") == "user":
                said.append(one["content"])
        if not said:
            raise BadFile(
                "no message of role user", place=place, remedy="add a message of role user"
            )
        *turns, question = said
    else:
        raise BadFile("input is neither text nor messages", place=place, remedy="write input")
    ideals = cast("list[Any]", ideal) if isinstance(ideal, list) else [ideal]
    if not ideals or not all(isinstance(one, (str, int, float)) for one in ideals):
        if match != "JsonMatch":
            raise BadFile("ideal is not text", place=place, remedy="write text, or a list of texts")
        ideals = [msgspec.json.encode(one).decode() for one in ideals]
    kind = CLASSES.get(match)
    value: Any = str(ideals[0]) if len(ideals) == 1 else [str(one) for one in ideals]
    if system:
        first, *rest = *turns, question
        *turns, question = f"{system}\n\n{first}", *rest
    found = Case(
        f"sample-{number}",
        question,
        checks=(Check(kind or f"openai:{match}", value),),
        turns=tuple(turns),
        unsupported=() if kind else (f"class {match}",),
    )
    return carried.taken(found, along)


def write(cases: Iterable[Case]) -> list[Raw]:
    """Write samples for one match class. Raises BadFile for what it has no word for."""
    samples: list[Raw] = []
    of_all = ""
    for case in map(carried.plain, cases):
        for number, one in enumerate(case.checks):
            if number or one.negate or one.kind not in BACK:
                raise carried.refused(case, f"check {'not ' * one.negate}{one.kind}")
        check = case.checks[0]
        match = BACK[check.kind]
        of_all = of_all or match
        if match != of_all:
            raise carried.refused(case, f"check {check.kind}: the file is of class {of_all}")
        messages = [{"role": "user", "content": text} for text in (*case.turns, case.question)]
        about = carried.metadata(case, name=case.id, match=match)
        samples.append({"input": messages, "ideal": check.value} | about)
    return samples
