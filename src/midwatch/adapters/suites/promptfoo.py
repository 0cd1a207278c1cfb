"""promptfoo: its YAML with prompts and tests, its CSV with `__expected` columns, its JSONL.

Law: what promptfoo would ask is what is asked: the first prompts with their variables filled in. An
assertion or a template that is not understood makes its case unsupported, by its name.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, cast

import msgspec

from midwatch.adapters.suites import carried
from midwatch.core.values.evals import Case, Check
from midwatch.errors import BadFile
from midwatch.yaml_nodes import Problems, read_yaml

# promptfoo's kind -> ours. A limit of time is in milliseconds there.
KINDS = {
    "equals": "equals",
    "contains": "contains",
    "icontains": "icontains",
    "contains-any": "contains-any",
    "contains-all": "contains-all",
    "icontains-any": "icontains-any",
    "icontains-all": "icontains-all",
    "starts-with": "starts-with",
    "regex": "regex",
    "is-json": "is-json",
    "is-refusal": "refuses",
    "llm-rubric": "judge",
    "latency": "latency",
    "cost": "cost",
}
VARIABLE = re.compile(r"{{\s*([\w.]+)\s*}}")
MAX_DEPTH = 20
MAX_VALUES = 2_000_000  # of a file whose references are put in

Raw = dict[str, Any]


def looks_like(document: Any) -> bool:
    """Recognise a YAML document."""
    return isinstance(document, dict) and "tests" in document


def looks_like_lines(first: Any) -> bool:
    """Recognise a line of JSONL."""
    return isinstance(first, dict) and ("vars" in first or "assert" in first)


def looks_like_csv(header: Iterable[str]) -> bool:
    """Recognise a CSV by its header."""
    return any(name.startswith("__expected") for name in header)


def read(document: Raw, file: Path) -> list[Case]:
    """Read a config. Raises BadFile for what is no such file."""
    root = cast("Raw", _resolved(document, document, file))
    prompts = _prompts(root.get("prompts"), file)
    usual = _mapping(root.get("defaultTest"), file, "defaultTest")
    cases: list[Case] = []
    for number, test in enumerate(_tests(root.get("tests"), file), start=1):
        for at, prompt in enumerate(prompts):
            suffix = f"/{at + 1}" if len(prompts) > 1 else ""
            cases.append(_case(test, usual, prompt, f"test-{number}{suffix}", file))
    return cases


def read_lines(lines: Iterable[tuple[int, Raw]], file: Path) -> list[Case]:
    """Read JSONL: a test a line, asked by its first variable."""
    return [_case(test, {}, "", f"test-{number}", file) for number, test in lines]


def read_csv(text: str, file: Path, prompt: str = "") -> list[Case]:
    """Read a CSV: a test a row; columns that begin with __ say what is expected."""
    tests = _csv_tests(text, file)
    return [_case(test, {}, prompt, f"test-{n}", file) for n, test in enumerate(tests, start=1)]


# --- parts ---


def _bad(file: Path, says: str, remedy: str) -> BadFile:
    return BadFile(says, place=str(file), remedy=remedy)


def _mapping(value: Any, file: Path, name: str) -> Raw:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad(file, f"{name} is {type(value).__name__}", f"{name} is a mapping")
    return cast("Raw", value)


def _resolved(value: Any, root: Any, file: Path) -> Any:
    """Put in what `$ref: '#/...'` points to. Raises BadFile for what would never end."""
    return _Resolver(root, file).value(value, 0)


class _Resolver:
    """Puts in what references point to, up to MAX_VALUES values in all."""

    def __init__(self, root: Any, file: Path) -> None:
        self._root = root
        self._file = file
        self._left = MAX_VALUES

    def value(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH:
            raise _bad(
                self._file, "the reference is circular, or nested too deeply", "check its $ref"
            )
        if self._left < 0:
            says = f"the references expand to more than {MAX_VALUES:,} values"
            raise _bad(self._file, says, "check its $ref")
        if isinstance(value, dict):
            mapping = cast("Raw", value)
            ref = mapping.get("$ref")
            if isinstance(ref, str):
                return self.value(self._target(ref), depth + 1)
            return {k: self.value(v, depth + 1) for k, v in mapping.items()}
        if isinstance(value, list):
            return [self.value(v, depth + 1) for v in cast("list[Any]", value)]
        return value

    def _target(self, ref: str) -> Any:
        target: Any = self._root
        for part in ref.removeprefix("#/").split("/"):
            if not isinstance(target, dict) or part not in target:
                raise _bad(self._file, f"$ref {ref!r} points to nothing", "write #/key/name")
            target = cast("Raw", target)[part]
        return target


def _prompts(value: Any, file: Path) -> list[str]:
    found = cast("list[Any]", value) if isinstance(value, list) else [value]
    prompts: list[str] = []
    for one in found:
        text = cast("Raw", one).get("raw") if isinstance(one, dict) else one
        if text is None:
            prompts.append("")
            continue
        if not isinstance(text, str):
            raise _bad(file, "a prompt is not text", "write prompts: ['Answer: {{question}}']")
        if text.startswith("file://"):
            text = _read_beside(file, text)
        prompts.append(text)
    return prompts or [""]


def _tests(value: Any, file: Path) -> list[Raw]:
    if isinstance(value, str):
        return _tests_of(value, file)
    if not isinstance(value, list):
        raise _bad(file, "tests is not a list", "write tests: [{vars: ..., assert: ...}]")
    found: list[Raw] = []
    for one in cast("list[Any]", value):
        if isinstance(one, str):
            found += _tests_of(one, file)
        else:
            found.append(_mapping(one, file, "a test"))
    return found


def _tests_of(reference: str, file: Path) -> list[Raw]:
    text = _read_beside(file, reference)
    other = file.parent / reference.removeprefix("file://")
    if other.suffix == ".csv":
        return _csv_tests(text, other)
    if other.suffix in (".yaml", ".yml", ".json"):
        problems = Problems()
        root = read_yaml(other, problems, text)
        if problems.found:
            raise problems.found[0]
        return _tests(root.value, other)
    raise _bad(file, f"{reference} is not supported", "use file:// with YAML, JSON or CSV")


def _read_beside(file: Path, reference: str) -> str:
    """Read a file beside this one; nothing outside its folder."""
    name = reference.removeprefix("file://")
    other = (file.parent / name).resolve()
    if not other.is_relative_to(file.parent.resolve()):
        raise _bad(
            file, f"{reference} is outside its directory", "copy it into the directory of the file"
        )
    try:
        return other.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(file, f"{reference} cannot be read: {error}", "name a file of text") from None


def _csv_tests(text: str, file: Path) -> list[Raw]:
    rows = csv.DictReader(StringIO(text), strict=True)
    tests: list[Raw] = []
    try:
        for row in rows:
            if None in row:
                says = f"line {rows.line_num} has more fields than the header"
                raise _bad(file, says, "quote fields that contain commas")
            variables = {k: v for k, v in row.items() if not k.startswith("__")}
            checks = [
                _expected(value)
                for name, value in row.items()
                if name.startswith("__expected") and value
            ]
            tests.append(
                {"vars": variables, "assert": checks, "description": row.get("__description")}
            )
    except csv.Error as error:
        raise _bad(file, f"not valid CSV: {error}", "quote fields that contain commas") from None
    return tests


def _expected(text: str) -> Raw:
    """Read a cell: `kind: value`, or the text itself."""
    kind, colon, value = text.partition(":")
    threshold: float | None = None
    found = re.fullmatch(r"([a-z-]+)(?:\(([\d.]+)\))?", kind.strip())
    if not colon or found is None:
        return {"type": "equals", "value": text}
    name = {"grade": "llm-rubric", "fn": "javascript", "eval": "javascript"}.get(found[1], found[1])
    if found[2]:
        threshold = float(found[2])
    if name.removeprefix("not-") not in KINDS and name not in _KNOWN:
        return {"type": "equals", "value": text}
    given: Raw = {"type": name, "value": value.strip()}
    if threshold is not None:
        given["threshold"] = threshold
    return given


# Kinds that promptfoo has and that are not judged here.
_KNOWN = (
    "javascript",
    "python",
    "similar",
    "factuality",
    "answer-relevance",
    "model-graded-closedqa",
    "levenshtein",
    "rouge-n",
    "webhook",
    "contains-json",
    "is-sql",
    "is-xml",
    "perplexity",
)


def _case(test: Raw, usual: Raw, prompt: str, name: str, file: Path) -> Case:
    variables = {
        **_mapping(usual.get("vars"), file, "vars"),
        **_mapping(test.get("vars"), file, "vars"),
    }
    missing: list[str] = []
    # A variable may name others.
    variables = {
        name: _filled(value, variables, missing) if isinstance(value, str) else value
        for name, value in variables.items()
    }
    template = prompt or (f"{{{{{next(iter(variables))}}}}}" if variables else "")
    question = _filled(template, variables, missing)
    asserts = [*_list(usual.get("assert"), file), *_list(test.get("assert"), file)]
    checks = tuple(_check(one, variables, missing, file) for one in asserts)
    description = test.get("description")
    if not checks:
        missing.append("a test without an assertion")
    found = Case(
        str(description) if isinstance(description, str) and description else name,
        question,
        checks=checks,
        variables=variables,
        unsupported=tuple(dict.fromkeys(missing)),
    )
    return carried.taken(found, carried.along(test, f"{file.name} {found.id}"))


def _list(value: Any, file: Path) -> list[Raw]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _bad(file, "assert is not a list", "write assert: [{type: contains, value: ...}]")
    return [_mapping(one, file, "an assertion") for one in cast("list[Any]", value)]


def _check(given: Raw, variables: Mapping[str, Any], missing: list[str], file: Path) -> Check:
    name = str(given.get("type", ""))
    negate = name.startswith("not-")
    kind = KINDS.get(name.removeprefix("not-"))
    if kind is None:
        missing.append(f"assertion {name or 'without a type'}")
        return Check(f"promptfoo:{name}")
    if given.get("transform") or given.get("provider"):
        missing.append(f"{name} with a transform or provider")
    value = given.get("value")
    if isinstance(value, str):
        if value.startswith("file://"):
            missing.append(f"{name} with {value}")
        value = _filled(value, variables, missing)
    elif isinstance(value, list):
        texts = cast("list[Any]", value)
        value = [_filled(v, variables, missing) if isinstance(v, str) else v for v in texts]
    threshold = given.get("threshold")
    if threshold is not None and (
        isinstance(threshold, bool) or not isinstance(threshold, (int, float))
    ):
        raise _bad(file, f"threshold {threshold!r} is not a number", "write a number")
    if kind in carried.LIMITS and threshold is None:
        # Their limit is the threshold alone; without one nothing would be judged.
        missing.append(f"{name} without a threshold")
    if kind == "latency" and threshold is not None:
        threshold = threshold / 1_000
    return Check(kind, value, negate, threshold)


def _filled(template: str, variables: Mapping[str, Any], missing: list[str]) -> str:
    """Fill {{variables}} in; more than that is not understood."""

    def put(found: re.Match[str]) -> str:
        value: Any = variables
        for part in found[1].split("."):
            if not isinstance(value, dict) or part not in value:
                missing.append(f"variable {found[1]}")
                return found[0]
            value = cast("Raw", value)[part]
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    text = VARIABLE.sub(put, template)
    if "{%" in text or ("{{" in template and "{{" in VARIABLE.sub("", template)):
        missing.append("a template with more than variables")
    return text


_BACK = {ours: theirs for theirs, ours in KINDS.items()}
_MANY = ("contains-any", "contains-all", "icontains-any", "icontains-all")


def write(name: str, cases: Iterable[Case]) -> Raw:
    """Write cases as such a config. Raises BadFile for a check that it has no word for."""
    tests: list[Raw] = []
    for case in map(carried.plain, cases):
        if case.turns:
            raise carried.refused(case, "turns")
        if case.question.startswith("file://"):
            raise carried.refused(case, "question: file:// is a file there")
        test: Raw = {"description": case.id, "vars": {"question": case.question}}
        test["assert"] = [_written(case, one) for one in case.checks]
        tests.append(test | carried.metadata(case))
    return {"description": name, "prompts": ["{{question}}"], "tests": tests}


def _written(case: Case, one: Check) -> Raw:
    theirs = _BACK.get(one.kind)
    if theirs is None:
        raise carried.refused(case, f"check {one.kind}")
    value: object = one.value
    if isinstance(value, list) and one.kind not in _MANY:
        raise carried.refused(case, f"check {one.kind} with several values")
    given: Raw = {"type": f"not-{theirs}" if one.negate else theirs}
    if value is not None:
        given["value"] = value
    if one.threshold is not None:
        in_ms = one.kind == "latency"
        given["threshold"] = round(one.threshold * (1_000 if in_ms else 1), carried.DIGITS)
    return given
