"""Whether an answer is what a case wants: one function a kind of check.

Law: a scorer says yes or no and, for no, what was expected. One that breaks, for its value is
nonsense or the answer lacks what it looks at, is an error, never a failure. A kind that is not here
is unsupported and never passes.

    equals, contains, contains-any, contains-all, starts-with, regex    also i...: whatever case
    fuzzy                               is part of the answer or has it, by words alone
    is-json, json-equals, json-schema, json-path    the answer as JSON
    number                              equals a number within `threshold`
    token-f1, edit                      at least as alike as `threshold`, 0 to 1
    latency, cost                       at most so many seconds, so much money
    tools, cites, refuses               what was called, named as source, not answered
    judge                               a language model's opinion; it is asked by the engine
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgspec

from midwatch.core.values.evals import Case, Check, Outcome, Reply, Status

JUDGE = "judge"
VERSION = "scorers/1"
PATTERNS = ("regex", "json-schema")
USUAL = {"token-f1": 0.8, "edit": 0.8}
SHOWN = 400
REFUSALS = re.compile(
    r"\b(i (can(no|')t|am (not able|unable)|do(n't| not) know|won't)|i'm (not able|unable|sorry)"
    r"|cannot (help|answer|assist)|no information|not sure|hand(ed|ing)? (you )?over)\b",
    re.IGNORECASE,
)


class Nonsense(Exception):
    """A check that cannot be applied: its value, or what the answer lacks."""


Judged = Callable[[Check, Case, Reply], tuple[bool, str]]


def judge(
    case: Case,
    release: str,
    reply: Reply,
    opinion: Judged | None = None,
    apart: Judged | None = None,
) -> Outcome:
    """Judge an answer by every check of a case; `opinion` answers checks of kind `judge`.

    `apart` answers those of PATTERNS, which hold somebody's own pattern and so may never end here.

    >>> case = Case("c", "refund window?", checks=(Check("icontains", "30 DAYS"),))
    >>> judge(case, "v1", Reply("Within 30 days.")).status
    'passed'
    >>> judge(case, "v2", Reply("Within 7 days.")).why
    "expected to contain '30 DAYS', whatever the case"
    """

    def say(status: Status, why: str) -> Outcome:
        return Outcome(case.id, release, status, reply.text, why, round(reply.seconds, 6))

    if case.unsupported:
        return say("unsupported", f"not supported: {', '.join(case.unsupported)}")
    wanted = case.wanted
    unknown = [one.kind for one in wanted if one.kind not in SCORERS and one.kind != JUDGE]
    if unknown:
        return say("unsupported", f"not supported: {', '.join(unknown)}")
    failed: list[str] = []
    for check in wanted:
        try:
            if check.kind in PATTERNS and apart is not None:
                good, expected = apart(check, case, reply)
            elif check.kind != JUDGE:
                good, expected = SCORERS[check.kind](check, reply)
            elif opinion is not None:
                good, expected = opinion(check, case, reply)
            else:
                raise Nonsense("no language model is configured as a judge")
        except Nonsense as error:
            return say("error", f"{check.kind}: {error}")
        except Exception as error:  # a scorer that breaks says nothing about the answer
            return say("error", f"{check.kind}: {type(error).__name__}: {error}")
        if good is check.negate:
            failed.append(f"expected {'not ' if check.negate else ''}{expected}")
    return say("failed", "; ".join(failed)[:SHOWN]) if failed else say("passed", "")


def known(kind: str) -> bool:
    """Say whether this kind of check can be judged."""
    return kind == JUDGE or kind in SCORERS


# --- text ---


def _text(check: Check) -> str:
    if isinstance(check.value, bool) or not isinstance(check.value, (str, int, float)):
        raise Nonsense(f"needs a text, got {check.value!r}")
    return str(check.value)


def _texts(check: Check) -> list[str]:
    if isinstance(check.value, str):
        return [one.strip() for one in check.value.split(",")]
    value: object = check.value
    if not isinstance(value, (list, tuple)) or not value:
        raise Nonsense(f"needs a list of texts, got {value!r}")
    return [str(one) for one in cast("list[object]", value)]


def _folded(test: Callable[[str, str], bool], says: str) -> tuple[Any, Any]:
    """Make a scorer of a text, or of any of a list of texts, and one whatever their case."""

    def plain(check: Check, reply: Reply) -> tuple[bool, str]:
        texts = _either(check)
        return any(map(partial(test, reply.text), texts)), f"{says} {_shown(texts)}"

    def folded(check: Check, reply: Reply) -> tuple[bool, str]:
        texts, got = _either(check), reply.text.casefold()
        good = any(test(got, one.casefold()) for one in texts)
        return good, f"{says} {_shown(texts)}, whatever the case"

    return plain, folded


def _either(check: Check) -> list[str]:
    if isinstance(check.value, str):  # as nearly all are
        return [check.value]
    return _texts(check) if isinstance(check.value, (list, tuple)) else [_text(check)]


def _shown(texts: list[str]) -> str:
    return repr(texts[0]) if len(texts) == 1 else f"one of {texts}"


def _alike_enough(one: str, other: str) -> bool:
    """Say whether one text is in the other, without case, articles and signs (OpenAI evals)."""
    first, second = (
        " ".join(re.sub(r"\b(a|an|the)\b|[^\w\s]", " ", text.lower()).split())
        for text in (one, other)
    )
    if not first or not second:
        return first == second
    return first in second or second in first


_equals, _iequals = _folded(lambda got, text: got.strip() == text.strip(), "to equal")
_contains, _icontains = _folded(lambda got, text: text in got, "to contain")
_fuzzy, _ = _folded(_alike_enough, "to be, or to be part of,")
_starts, _istarts = _folded(lambda got, text: got.startswith(text), "to start with")


def _of_many(test: Callable[[list[bool]], bool], says: str, *, fold: bool) -> Any:
    def scorer(check: Check, reply: Reply) -> tuple[bool, str]:
        texts = _texts(check)
        got = reply.text.casefold() if fold else reply.text
        hits = [(one.casefold() if fold else one) in got for one in texts]
        return test(hits), f"to contain {says} of {texts}"

    return scorer


def _regex(check: Check, reply: Reply) -> tuple[bool, str]:
    try:
        found = re.search(_text(check), reply.text[:100_000])
    except re.error as error:
        raise Nonsense(f"{check.value!r} is not a regular expression: {error}") from None
    return found is not None, f"to match {check.value!r}"


# --- JSON ---


def _json(reply: Reply) -> Any:
    return msgspec.json.decode(reply.text.strip().encode())


def _is_json(check: Check, reply: Reply) -> tuple[bool, str]:
    try:
        found = _json(reply)
    except msgspec.DecodeError:
        return False, "to be JSON"
    if check.value is None:
        return True, "to be JSON"
    return _fits(check.value, found)


def _json_equals(check: Check, reply: Reply) -> tuple[bool, str]:
    """Compare as JSON, whatever the order of keys."""
    try:
        found = _json(reply)
        value: object = check.value
        texts = _either(check) if isinstance(value, (str, list, tuple)) else []
        wanted: list[object] = [msgspec.json.decode(one) for one in texts] or [value]
    except msgspec.DecodeError:
        return False, "to be JSON"
    return found in wanted, f"to be the JSON {check.value}"


def _schema(check: Check, reply: Reply) -> tuple[bool, str]:
    try:
        found = _json(reply)
    except msgspec.DecodeError:
        return False, "to be JSON"
    return _fits(check.value, found)


def _fits(schema: Any, document: Any) -> tuple[bool, str]:
    try:
        import fastjsonschema
    except ModuleNotFoundError:
        raise Nonsense("needs a library: pip install 'midwatch[evals]'") from None
    try:
        fastjsonschema.validate(schema, document)  # pyright: ignore[reportUnknownMemberType]
    except fastjsonschema.JsonSchemaValueException as error:
        return False, f"to match the schema: {error}"
    except fastjsonschema.JsonSchemaDefinitionException as error:
        raise Nonsense(f"is not a JSON schema: {error}") from None
    except (AttributeError, TypeError, KeyError, RecursionError) as error:
        # What it does not check of a schema it trips over.
        raise Nonsense(f"is not a JSON schema: {type(error).__name__}: {error}") from None
    return True, "to match the schema"


def _path(check: Check, reply: Reply) -> tuple[bool, str]:
    """Look a value up: {"path": "$.items[0].name"} is there, or with "equals" is that."""
    value: object = check.value
    knobs = cast("dict[str, Any]", value) if isinstance(value, dict) else {"path": value}
    path = str(knobs.get("path", ""))
    try:
        found = look_up(_json(reply), path)
    except msgspec.DecodeError:
        return False, "to be JSON"
    if "equals" in knobs:
        return knobs["equals"] in found, f"{path} to be {knobs['equals']!r}, it is {found}"
    return bool(found), f"to have {path}"


_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+|\*)\]|\['([^']*)'\]")


def look_up(document: Any, path: str) -> list[Any]:
    """Find values by a path such as $.items[*].name.

    >>> look_up({"items": [{"name": "a"}, {"name": "b"}]}, "$.items[*].name")
    ['a', 'b']
    """
    if not path.startswith("$"):
        raise Nonsense(f"{path!r} does not begin with $")
    found, at = [document], 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise Nonsense(f"{path!r} is not understood at {path[at:]!r}")
        at = step.end()
        key, index, quoted = step.groups()
        following: list[Any] = []
        for one in found:
            if index is None:
                name = key if key is not None else quoted
                if isinstance(one, dict) and name in one:
                    following.append(one[name])
            elif isinstance(one, list):
                items = cast("list[Any]", one)
                chosen = items if index == "*" else items[int(index) : int(index) + 1]
                following += chosen
        found = following
    return found


# --- numbers, likeness, limits ---


def _number(check: Check, reply: Reply) -> tuple[bool, str]:
    try:
        wanted = float(check.value)
    except (TypeError, ValueError):
        raise Nonsense(f"needs a number, got {check.value!r}") from None
    within = check.threshold or 0.0
    found = re.findall(r"[-+]?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?", reply.text)
    if not found:
        return False, f"the number {wanted:g}"
    got = float(found[-1].replace(",", ""))
    return abs(got - wanted) <= within + 1e-12, f"the number {wanted:g} within {within:g}"


def token_f1(one: str, other: str) -> float:
    """Give how alike two texts are by their words, 0 to 1.

    >>> token_f1("the refund window is 30 days", "refund window: 30 days")
    0.8
    """
    words, others = (Counter(re.findall(r"\w+", text.casefold())) for text in (one, other))
    common = (words & others).total()
    return 2 * common / (words.total() + others.total()) if common else float(one == other)


def edit_likeness(one: str, other: str) -> float:
    """Give 1 less the share of letters that have to be changed (Levenshtein's distance).

    >>> edit_likeness("kitten", "sitting") == 1 - 3 / 7
    True
    """
    if len(one) < len(other):
        one, other = other, one
    row = list(range(len(other) + 1))
    for n, letter in enumerate(one, start=1):
        before, row[0] = row[0], n
        for m, letter2 in enumerate(other, start=1):
            before, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, before + (letter != letter2))
    return 1.0 - row[-1] / len(one) if one else 1.0


def _alike(measure: Callable[[str, str], float], kind: str) -> Any:
    def scorer(check: Check, reply: Reply) -> tuple[bool, str]:
        least = check.threshold if check.threshold is not None else USUAL[kind]
        texts = _texts(check) if isinstance(check.value, (list, tuple)) else [_text(check)]
        best = max(measure(reply.text, one) for one in texts)
        return best >= least, f"{kind} of {least:g} with {texts[0]!r}, it is {best:.3f}"

    return scorer


def _latency(check: Check, reply: Reply) -> tuple[bool, str]:
    most = check.threshold if check.threshold is not None else float(check.value)
    return reply.seconds <= most, f"an answer within {most:g} s, it took {reply.seconds:.3f} s"


def _cost(check: Check, reply: Reply) -> tuple[bool, str]:
    most = check.threshold if check.threshold is not None else float(check.value)
    if reply.cost is None:
        raise Nonsense("the target reports no cost")
    return reply.cost <= most, f"a cost of {most:g} at most, it is {reply.cost:g}"


def _tools(check: Check, reply: Reply) -> tuple[bool, str]:
    if reply.tools is None:
        raise Nonsense("the target reports no tool calls")
    wanted = _texts(check)
    return list(reply.tools) == wanted, f"tool calls {wanted}, got {list(reply.tools)}"


def _cites(check: Check, reply: Reply) -> tuple[bool, str]:
    wanted = _texts(check)
    if reply.sources is None:
        named = [one for one in wanted if one in reply.text]
    else:
        named = [one for one in wanted if one in reply.sources]
    return len(named) == len(wanted), f"to cite {wanted}"


def _refuses(check: Check, reply: Reply) -> tuple[bool, str]:
    return REFUSALS.search(reply.text) is not None, "to decline to answer"


SCORERS: dict[str, Callable[[Check, Reply], tuple[bool, str]]] = {
    "equals": _equals,
    "iequals": _iequals,
    "contains": _contains,
    "icontains": _icontains,
    "starts-with": _starts,
    "istarts-with": _istarts,
    "contains-any": _of_many(any, "any", fold=False),
    "contains-all": _of_many(all, "all", fold=False),
    "icontains-any": _of_many(any, "any", fold=True),
    "icontains-all": _of_many(all, "all", fold=True),
    "regex": _regex,
    "fuzzy": _fuzzy,
    "is-json": _is_json,
    "json-equals": _json_equals,
    "json-schema": _schema,
    "json-path": _path,
    "number": _number,
    "token-f1": _alike(token_f1, "token-f1"),
    "edit": _alike(edit_likeness, "edit"),
    "latency": _latency,
    "cost": _cost,
    "tools": _tools,
    "cites": _cites,
    "refuses": _refuses,
}
