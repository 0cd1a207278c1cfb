"""JUnit XML, as CI systems read it: a test case for each eval case.

Law: what the red verdict stands on is a failure, and so is what always fails and is not known to
do so on the baseline, unless the gate is green. What could not be run is an error; what fails as on
the baseline, flaked or is quarantined is skipped with its reason. A case of an incident says which,
and where that is shown when the suite knows it.
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from midwatch.core.values.gate_report import CaseLine, Report

# What XML 1.0 has no place for.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(report: Report) -> str:
    """Write a report."""
    failed = sum(one.state == "failed" for one in report.lines)
    errors = sum(one.state in ("error", "unsupported") for one in report.lines)
    head = (
        f'<testsuite name="midwatch gate" tests="{len(report.lines) + 1}"'
        f' failures="{failed + (report.verdict == "regression")}"'
        f' errors="{errors + (report.verdict in ("error", "inconclusive"))}">'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', head, *_verdict(report)]
    for one in report.lines:
        lines += _case(one)
    return "\n".join([*lines, "</testsuite>", ""])


def _verdict(report: Report) -> list[str]:
    says = _attribute(report.says)
    name = '  <testcase classname="midwatch" name="gate">'
    if report.verdict == "pass":
        return [f"{name}</testcase>"]
    kind = "failure" if report.verdict == "regression" else "error"
    body = _text("\n".join([*report.blamed, report.last_line]))
    return [name, f"    <{kind} message={says}>{body}</{kind}>", "  </testcase>"]


def _case(one: CaseLine) -> list[str]:
    suite = _attribute(one.incident or "cases")
    name = f"  <testcase classname={suite} name={_attribute(one.case)}>"
    counts = f"passed {one.passed}, failed {one.failed}, errors {one.errors}"
    counts += f"; baseline passed {one.base_passed}, failed {one.base_failed}"
    of = f"incident: {one.incident} {one.link}".strip() + "\n" if one.incident else ""
    body = _text(f"{of}asked: {one.question}\n{one.why}\ngot: {one.got}\n{counts}")
    about: list[str] = []
    if one.incident:
        value = _attribute(one.link or one.incident)
        about = [f'    <properties><property name="incident" value={value}/></properties>']
    match one.state:
        case "passed":
            return [name, *about, "  </testcase>"]
        case "failed":
            inner = f"    <failure message={_attribute(one.why or counts)}>{body}</failure>"
        case "error" | "unsupported":
            inner = f"    <error message={_attribute(one.why or one.state)}>{body}</error>"
        case _:
            inner = f"    <skipped message={_attribute(f'{one.state}: {counts}')}/>"
    return [name, *about, inner, "  </testcase>"]


def _clean(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text)


def _attribute(text: str) -> str:
    return quoteattr(_clean(text).replace("\n", " "))


def _text(text: str) -> str:
    return escape(_clean(text))
