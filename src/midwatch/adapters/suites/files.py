"""A file of eval cases in any of five formats, recognised by what is in it.

Law: bytes that are no such file are an error with their place, never a crash and never an empty
suite. Ids stand once. What is written is read again before anybody gets it: a case that does not
come back as it was is an error with its name.

    midwatch    YAML with suite and cases, or JSONL with question and expect
    promptfoo   YAML with prompts and tests, CSV with __expected, JSONL with vars
    openai      JSONL with input and ideal, or the registry's YAML beside it
    inspect     JSON, JSONL or CSV with input and target
    pydantic    YAML or JSON with cases and evaluators
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import structs
from ruamel.yaml import YAML

from midwatch.adapters.suites import (
    carried,
    inspect_samples,
    openai_evals,
    own,
    promptfoo,
    pydantic_evals,
)
from midwatch.core.values.evals import Case
from midwatch.errors import BadFile
from midwatch.yaml_nodes import Node, Problems, read_yaml

FORMATS = ("midwatch", "promptfoo", "openai", "inspect", "pydantic")
LINES = ("openai", "inspect")  # those that are written as JSONL
MAX_BYTES = 256 * 1024 * 1024
REMEDY = f"choose one with --format: {', '.join(FORMATS)}"

Lines = list[tuple[int, dict[str, Any]]]


def read(
    file: Path, kind: str = "", fields: Mapping[str, str] | None = None, match: str = ""
) -> list[Case]:
    """Read a file of cases. Raises BadFile, with the line where there is one.

    `kind` overrules what is recognised; `fields` maps Inspect's fields, `match` names OpenAI's
    class.
    """
    try:
        body = file.read_bytes()
        if len(body) > MAX_BYTES:
            raise BadFile("the file is too large", place=str(file), remedy="split it")
        text = body.decode("utf-8-sig")
    except OSError as error:
        says = f"cannot be read: {error.strerror or error}"
        raise BadFile(says, place=str(file), remedy="name a file of cases") from None
    except UnicodeDecodeError as error:
        raise BadFile(
            f"not valid UTF-8: {error.reason}", place=str(file), remedy="save it as UTF-8"
        ) from None
    try:
        cases = _read(file, text, kind, fields, match)
    except RecursionError:
        raise BadFile("nested too deeply", place=str(file), remedy=REMEDY) from None
    if not cases and not unproven(file) and not waived(file):
        raise BadFile("no cases found", place=str(file), remedy=REMEDY)
    return _once(cases)


def _once(cases: list[Case]) -> list[Case]:
    """Give each case an id of its own: what stands twice is numbered."""
    seen: dict[str, int] = {}
    found: list[Case] = []
    for case in cases:
        seen[case.id] = seen.get(case.id, 0) + 1
        count = seen[case.id]
        found.append(structs.replace(case, id=f"{case.id}#{count}") if count > 1 else case)
    return found


def _read(
    file: Path, text: str, kind: str, fields: Mapping[str, str] | None, match: str
) -> list[Case]:
    match file.suffix.lower():
        case ".csv":
            return _read_csv(file, text, kind, fields)
        case ".jsonl" | ".ndjson":
            return _read_lines(file, _lines(file, text), kind, fields, match)
        case _:
            return _read_document(file, text, kind, fields, match)


def _lines(file: Path, text: str) -> Lines:
    found: Lines = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{file}:{number}"
        try:
            one = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadFile(f"not valid JSON: {error}", place=place, remedy=REMEDY) from None
        if not isinstance(one, dict):
            raise BadFile("not an object", place=place, remedy=REMEDY)
        found.append((number, cast("dict[str, Any]", one)))
    return found


def _read_lines(
    file: Path, lines: Lines, kind: str, fields: Mapping[str, str] | None, match: str
) -> list[Case]:
    first = lines[0][1] if lines else {}
    if kind == "inspect" or (not kind and inspect_samples.looks_like_lines(first)) or fields:
        return inspect_samples.read_lines(lines, file, fields)
    if kind == "openai" or (not kind and openai_evals.looks_like_lines(first)):
        return openai_evals.read_lines(lines, file, match)
    if kind == "promptfoo" or (not kind and promptfoo.looks_like_lines(first)):
        return promptfoo.read_lines(lines, file)
    if kind in ("", "midwatch") and "question" in first:
        problems = Problems()
        cases = [_own(Node(one, str(file), n, "", problems)) for n, one in lines]
        _raise(problems)
        return cases
    raise BadFile("unknown format", place=str(file), remedy=REMEDY)


def _own(node: Node) -> Case:
    (case,) = own.read(
        Node({"suite": "lines", "cases": [node.value]}, node.file, node.line, "", node.problems)
    )
    return case


def _read_csv(file: Path, text: str, kind: str, fields: Mapping[str, str] | None) -> list[Case]:
    try:
        header = next(csv.reader(StringIO(text), strict=True), list[str]())
    except csv.Error as error:
        raise BadFile(f"not valid CSV: {error}", place=str(file), remedy=REMEDY) from None
    if kind == "inspect" or fields or (not kind and inspect_samples.looks_like_csv(header)):
        return inspect_samples.read_csv(text, file, fields)
    if kind == "promptfoo" or (not kind and promptfoo.looks_like_csv(header)):
        return promptfoo.read_csv(text, file)
    raise BadFile("unknown format", place=f"{file}:1", remedy=REMEDY)


def _read_document(
    file: Path, text: str, kind: str, fields: Mapping[str, str] | None, match: str
) -> list[Case]:
    problems = Problems()
    root = read_yaml(file, problems, text)
    _raise(problems)
    document: Any = root.value
    if isinstance(document, list):
        found = cast("list[dict[str, Any]]", document)
        if not found or not all(_is_mapping(one) for one in found):
            raise BadFile("not a list of samples", place=str(file), remedy=REMEDY)
        numbered = list(enumerate(found, start=1))
        return _read_lines(file, numbered, kind, fields, match)
    if not isinstance(document, dict):
        raise BadFile("unknown format", place=str(file), remedy=REMEDY)
    mapping = cast("dict[str, Any]", document)
    if kind == "midwatch" or (not kind and own.looks_like(mapping)):
        cases = own.read(root)
        _raise(problems)
        return cases
    if kind == "promptfoo" or (not kind and promptfoo.looks_like(mapping)):
        return promptfoo.read(mapping, file)
    if kind == "pydantic" or (not kind and pydantic_evals.looks_like(mapping)):
        if not isinstance(mapping.get("cases"), list):
            raise BadFile("no cases found", place=str(file), remedy="write cases: [...]")
        return pydantic_evals.read(mapping, file)
    if kind == "openai" or (not kind and openai_evals.looks_like(mapping)):
        return _registry(file, mapping)
    raise BadFile("unknown format", place=str(file), remedy=REMEDY)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _registry(file: Path, document: dict[str, Any]) -> list[Case]:
    """Read the samples that a registry's file names, with their class."""
    cases: list[Case] = []
    for match, name in openai_evals.classes(document):
        other = (file.parent / name).resolve()
        if not name or not other.is_relative_to(file.parent.resolve()):
            says = f"the samples_jsonl file {name!r} is not in the same directory"
            raise BadFile(
                says, place=str(file), remedy="copy the samples into the directory of the file"
            )
        try:
            text = other.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadFile(f"{name}: {error}", place=str(file), remedy="name the samples") from None
        cases += openai_evals.read_lines(_lines(other, text), other, match)
    return cases


def _raise(problems: Problems) -> None:
    if problems.found:
        raise problems.in_order()[0]


def write(cases: list[Case], kind: str, name: str) -> str:
    """Write cases in a format. Raises BadFile for what it has no word for."""
    for case in cases:
        if case.unsupported:
            says = f"not supported: {', '.join(case.unsupported)}"
            raise BadFile(says, place=case.id, remedy="remove it, or keep the original format")
    text = _written(cases, kind, name)
    for case, back in zip(cases, _again(cases, kind, text), strict=True):
        carried.compare(case, back)
    return text


def _again(cases: list[Case], kind: str, text: str) -> list[Case]:
    """Read what was written. Raises BadFile with the case that is not understood again."""
    file = Path("it.jsonl" if kind in LINES else "it.yaml")
    try:
        return _read(file, text, kind, None, "")
    except BadFile as error:
        if len(cases) == 1:
            _, inside, field = error.place.rpartition("].")
            says = f"cannot be read back: {field if inside else 'it'} {error.message}"
            raise BadFile(says, place=cases[0].id, remedy=carried.REMEDY) from None
        for case in cases:
            _again([case], kind, _written([case], kind, "one"))
        raise


def _written(cases: list[Case], kind: str, name: str) -> str:
    match kind:
        case "promptfoo":
            return _yaml(promptfoo.write(name, cases))
        case "openai":
            return _jsonl(openai_evals.write(cases))
        case "inspect":
            return _jsonl(inspect_samples.write(cases))
        case "pydantic":
            return _yaml(pydantic_evals.write(name, cases))
        case _:
            return _yaml(own.write(name, cases))


def write_kept(
    cases: list[Case],
    held: dict[str, dict[str, str]],
    unproven: list[str],
    waived: list[dict[str, str]],
    links: dict[str, str],
    name: str,
) -> str:
    """Write the cases of incidents, their quarantines, and incidents that closed without one.

    Each of `waived` says incident, until and why; `links` says where an incident is shown.
    """
    document = own.write(name, cases)
    for one in document["cases"]:
        if one["id"] in held:
            one["quarantine"] = held[one["id"]]
    parts = {"unproven": unproven, "waived": waived, "links": links}
    return _yaml({**document, **{name: part for name, part in parts.items() if part}})


def target(file: Path) -> tuple[dict[str, Any], str]:
    """Read how a suite of midwatch's own wants an http target to be asked."""
    root = _own_root(file)
    return own.target(root) if root is not None else ({}, "")


def links(file: Path) -> dict[str, str]:
    """Read where a suite of midwatch's own says that its incidents are shown."""
    root = _own_root(file)
    return own.links(root) if root is not None else {}


def header(file: Path) -> list[str]:
    """Name what a suite of midwatch's own says beside its cases that no other format can say."""
    parts = {"quarantine": quarantined(file), "unproven": unproven(file), "waived": waived(file)}
    return [name for name, part in parts.items() if part]


def quarantined(file: Path) -> list[tuple[str, str, str, str]]:
    """Read the quarantines of a suite of midwatch's own, as (case, owner, until, why)."""
    root = _own_root(file)
    return own.quarantined(root) if root is not None else []


def _own_root(file: Path) -> Node | None:
    if file.suffix.lower() not in (".yaml", ".yml"):
        return None
    root = read_yaml(file, Problems())
    return root if own.looks_like(root.value) else None


def unproven(file: Path) -> list[str]:
    """Read which incidents a suite of midwatch's own names as closed without a proven case."""
    root = _own_root(file)
    return own.unproven(root) if root is not None else []


def waived(file: Path) -> list[tuple[str, str, str]]:
    """Read which incidents closed by a waiver, as (incident, until, why)."""
    root = _own_root(file)
    return own.waived(root) if root is not None else []


def _jsonl(lines: list[dict[str, Any]]) -> str:
    return "".join(msgspec.json.encode(one).decode() + "\n" for one in lines)


def _yaml(document: dict[str, Any]) -> str:
    out = StringIO()
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 100
    yaml.dump(document, out)  # pyright: ignore[reportUnknownMemberType]
    return out.getvalue()
