"""midwatch's own suites: YAML with a list of cases.

Law: a check stands under its kind. Whatever is unknown is an error with its line.

    suite: support-agent
    target: {request: {ask: "{question}"}, answer: $.out.text}    # of an http target
    links: {INC-7: https://oncall.example.org/#INC-7}             # for reports
    cases:
      - id: refund-window
        question: How long can I return something?
        expect: 30 days                          # equals it
      - id: refund-window-said
        question: How long can I return something?
        slices: [returns]
        incident: INC-7                          # one of its failures blocks
        runs: 5
        least: 4
        checks:
          - contains: 30 days
          - regex: "14|7 days"
            negate: true
          - token-f1: You have 30 days.
            threshold: 0.6
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from midwatch.core.values.evals import Case, Check, Reply
from midwatch.core.values.scorers import JUDGE, PATTERNS, SCORERS, USUAL, Nonsense
from midwatch.yaml_nodes import Node

KINDS = (*SCORERS, JUDGE)
_ANY = Reply("0", 0.0, 0.0, (), ())  # an answer that tells everything a check may ask for


def looks_like(document: Any) -> bool:
    """Recognise a document."""
    return isinstance(document, dict) and "cases" in document and "suite" in document


def read(root: Node) -> list[Case]:
    """Read the cases; what is wrong is noted."""
    root.keys(
        "suite", "target", "cases", "unproven", "waived", "links", required=("suite", "cases")
    )
    if root.has("target"):
        root.child("target").keys("request", "answer")
    links(root)
    return [_case(node) for node in root.child("cases").items()]


def target(root: Node) -> tuple[dict[str, Any], str]:
    """Read how an http target is asked: what it is sent, and where its answer stands."""
    node = root.child("target")
    return node.child("request").mapping or {}, node.child("answer").text(default="")


def links(root: Node) -> dict[str, str]:
    """Read where incidents are shown."""
    return {incident: node.url() for incident, node in root.child("links").entries()}


def quarantined(root: Node) -> list[tuple[str, str, str, str]]:
    """Read which cases are quarantined, as (case, owner, until, why)."""
    found: list[tuple[str, str, str, str]] = []
    for node in root.child("cases").items():
        held = node.child("quarantine")
        if held.value is not None:
            held.keys("owner", "until", "why", required=("owner", "until", "why"))
            owner, until, why = (held.child(key).text() for key in ("owner", "until", "why"))
            found.append((node.child("id").text(), owner, until, why))
    return found


def unproven(root: Node) -> list[str]:
    """Read the incidents that closed without a proven case."""
    return [item.text() for item in root.child("unproven").items()]


def waived(root: Node) -> list[tuple[str, str, str]]:
    """Read the incidents that closed by a waiver, as (incident, until, why)."""
    found: list[tuple[str, str, str]] = []
    for node in root.child("waived").items():
        node.keys("incident", "until", "why", required=("incident", "until", "why"))
        incident, until, why = (node.child(key).text() for key in ("incident", "until", "why"))
        found.append((incident, until, why))
    return found


def _case(node: Node) -> Case:
    node.keys(
        "id",
        "question",
        "turns",
        "expect",
        "checks",
        "slices",
        "incident",
        "runs",
        "least",
        "quarantine",
        required=("id", "question"),
    )
    if node.has("expect") is node.has("checks"):
        node.error("expect or checks is needed", "write what a correct answer is")
    elif node.has("checks") and not list(node.child("checks").items()):
        node.child("checks").error("the list is empty", "write what a correct answer is")
    runs = node.child("runs").integer(1, at_least=1)
    least = node.child("least").integer(runs, at_least=1)
    if least > runs:
        node.child("least").error(f"more than {runs} runs", "write how many runs have to pass")
    return Case(
        _scalar(node.child("id")),
        node.child("question").text(),
        _scalar(node.child("expect")) if node.has("expect") else "",
        node.child("incident").text(default=""),
        tuple(_check(item) for item in node.child("checks").items()),
        tuple(item.text() for item in node.child("turns").items()),
        tuple(item.text() for item in node.child("slices").items()),
        runs=runs,
        least=least,
    )


def _scalar(node: Node) -> str:
    """Expect a text; a number is one as it was written."""
    if isinstance(node.value, bool) or not isinstance(node.value, (str, int, float)):
        node.error(node.found, "write text")
        return ""
    return str(node.value)


def _check(node: Node) -> Check:
    mapping = node.mapping
    if mapping is None:
        node.error(node.found, "write a kind and its value, such as contains: 30 days")
        return Check("equals")
    kinds = [str(key) for key in mapping if str(key) not in ("negate", "threshold", "knobs")]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        node.error(f"got the kinds {', '.join(kinds) or 'none'}", f"use one of {', '.join(KINDS)}")
        return Check("equals")
    threshold = node.child("threshold")
    found = Check(
        kinds[0],
        node.child(kinds[0]).value,
        node.child("negate").value is True,
        float(threshold.number("0")) if threshold.value is not None else None,
    )
    _try(node.child(kinds[0]), found)
    return found


def _try(node: Node, check: Check) -> None:
    """Note a value that no answer could be judged by, before any is asked for."""
    if check.kind in USUAL and not 0 <= (check.threshold or 0) <= 1:
        node.error(f"got the threshold {check.threshold}", "write a number from 0 to 1")
    elif check.value is False and check.kind in ("is-json", "refuses"):
        node.error("got false", "write true, and negate: true next to it")
    elif check.value == "" and check.kind.removeprefix("i") in ("contains", "starts-with"):
        node.error(
            "the text is empty: every answer contains it", "write what an answer must contain"
        )
    elif check.kind == "regex":
        try:
            re.compile(str(check.value))
        except re.error as error:
            node.error(f"not a valid regular expression: {error}", "fix the pattern")
    elif check.kind in SCORERS and check.kind not in PATTERNS:
        try:
            SCORERS[check.kind](check, _ANY)
        except (Nonsense, TypeError, ValueError) as error:
            node.error(str(error), "see docs/gate.md for what each kind takes")


def write(name: str, cases: Iterable[Case]) -> dict[str, Any]:
    """Write cases as such a document."""
    return {"suite": name, "cases": [_written(case) for case in cases]}


def _written(case: Case) -> dict[str, Any]:
    found: dict[str, Any] = {"id": case.id, "question": case.question}
    if case.turns:
        found["turns"] = list(case.turns)
    if case.checks:
        found["checks"] = [_written_check(one) for one in case.checks]
    else:
        found["expect"] = case.expect
    for name, value in (("slices", list(case.slices)), ("incident", case.incident)):
        if value:
            found[name] = value
    if case.runs > 1:
        found |= {"runs": case.runs, "least": case.least}
    return found


def _written_check(one: Check) -> dict[str, Any]:
    found: dict[str, Any] = {one.kind: one.value}
    if one.negate:
        found["negate"] = True
    if one.threshold is not None:
        found["threshold"] = one.threshold
    return found
