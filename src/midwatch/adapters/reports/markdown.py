"""Markdown for a pull request and for a step's summary, and the lines that GitHub shows at code.

Law: what came from a case or an answer is text: it can close no table, open no link and start no
command of the runner. The one link is the address that a suite has for an incident.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from midwatch.core.values.gate_report import CaseLine, Report
from midwatch.texts import plain, unlinked

SHOWN, ROWS = 160, 30
HEAD = "| case | | candidate | baseline | expected | got |"
IN_LINKS = ":/?#@!$&'*+,;=%~-._"
HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def write(report: Report) -> str:
    """Write a report."""
    beside = f"Candidate {_code(report.candidate)} compared with baseline {_code(report.baseline)}"
    cases = "1 case" if report.cases == 1 else f"{report.cases} cases"
    calls = "1 call" if report.calls == 1 else f"{report.calls} calls"
    counts = f"{cases}, {calls}, margin {report.margin:g}"
    lines = [f"## midwatch gate: {report.verdict.upper()}", "", _plain(report.says), ""]
    lines.append(f"{beside}: {counts}.")
    if report.drop is not None and report.bound is not None:
        lines.append(f"The mean pass rate drops by {report.drop:.4f}, at most {report.bound:.4f}.")
    if report.blamed:
        lines += ["", *(f"- {_plain(one)}" for one in report.blamed)]
    rows = [one for one in report.lines if one.state != "passed"][:ROWS]
    if rows:
        lines += [
            "",
            "| case | | candidate | baseline | expected | got |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(one) for one in rows]
    left = sum(one.state != "passed" for one in report.lines) - len(rows)
    if left > 0:
        lines += ["", f"{left} more that did not always pass."]
    return "\n".join([*lines, "", _code(report.last_line), ""])


def _row(one: CaseLine) -> str:
    runs = one.passed + one.failed
    base = one.base_passed + one.base_failed
    named = _code(one.case) + (f" of {_linked(one.incident, one.link)}" if one.incident else "")
    cells = (
        named,
        one.state,
        f"{one.passed}/{runs}",
        f"{one.base_passed}/{base}",
        _plain(one.why),
        _plain(one.got),
    )
    return f"| {' | '.join(cells)} |"


def _linked(text: str, link: str) -> str:
    if not link.startswith(("https://", "http://")):
        return _plain(text)
    return f"[{_plain(text)}]({quote(link, safe=IN_LINKS)})"


def notes(report: Report) -> list[str]:
    """Give GitHub's lines for what is wrong; other runners print them as they are."""
    found: list[str] = []
    for one in report.lines:
        if one.state in ("failed", "error", "unsupported"):
            says = one.why or one.state
            found.append(
                f"::error title={_escaped(f'{one.state}: {one.case}', ',:')}::{_escaped(says)}"
            )
    if report.verdict != "pass" and not found:
        level = "error" if report.code else "warning"
        found.append(f"::{level} title=midwatch gate::{_escaped(report.says)}")
    return found[:ROWS]


def _escaped(text: str, more: str = "") -> str:
    for one in ("%", "\r", "\n", *more):
        text = text.replace(one, f"%{ord(one):02X}")
    return text


def _plain(text: str) -> str:
    short = plain(" ".join(text.split()))
    short = short if len(short) <= SHOWN else f"{short[: SHOWN - 3]}..."
    safe = "".join(HTML.get(letter, letter) for letter in unlinked(short))
    return re.sub(r"([\\`*_\[\]|#@!~])", r"\\\1", safe)


def _code(text: str) -> str:
    shown = plain(" ".join(text.split())).replace("`", "'").replace("|", "/")
    return f"`{shown[:SHOWN]}`"
