"""The reader that holds each drilled postmortem against its journal finds what is not so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import midwatch
from tests.acceptance.truth import untrue

from midwatch.drill.scenarios import folder

pytestmark = pytest.mark.slow
Told = dict[str, Any]


@pytest.fixture(scope="module")
def drilled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three journals: a rollback, what comes and goes, and a plan of a neighbour."""
    made = tmp_path_factory.mktemp("truth")
    files = {name: made / f"{name}.db" for name in ("two-at-once", "flapping", "neighbour-deploy")}
    for name, file in files.items():
        assert midwatch("drill", "run", name, "--db", str(file)).returncode == 0
    return files


def _says(part: str, old: str, new: str) -> Callable[[Told], bool]:
    """Say something else in the first line that holds some words; says whether there was one."""

    def lie(told: Told) -> bool:
        for one in told[part]:
            if old in one["says"]:
                one["says"] = one["says"].replace(old, new)
                return True
        return False

    return lie


def _set(*path: Any) -> Callable[[Told], bool]:
    """Put another value in a place that has one."""

    def lie(told: Told) -> bool:
        node: Any = told
        for step in path[:-2]:
            if isinstance(step, int) and len(node) <= step:
                return False
            node = node[step]
        if not node or node[path[-2]] is None:
            return False
        node[path[-2]] = path[-1]
        return True

    return lie


LIES: dict[str, tuple[str, Callable[[Told], bool]]] = {
    "each firing is an alert": ("flapping", _set("alerts", "count", 8)),
    "it held": ("flapping", _says("summary", ", having not held 7 times", "")),
    "it did not hold once": ("flapping", _says("summary", "7 times", "once")),
    "another duration": ("flapping", _says("summary", "after 75 min", "after 85 min")),
    "another title": ("flapping", _says("summary", "TimeoutsHigh", "ErrorsHigh")),
    "it joins again": ("flapping", _says("timeline", "fired again", "joined")),
    "more alerts": ("two-at-once", _says("timeline", "3 alerts joined", "5 alerts joined")),
    "users were well": ("flapping", _says("timeline", "mitigated: ", "users had recovered: ")),
    "somebody is named": ("flapping", _says("timeline", "the responder ack", "ada ack")),
    "a plan of another hash": (
        "two-at-once",
        _says("timeline", "approved plan ", "approved plan 0"),
    ),
    "another release": ("two-at-once", _says("timeline", " serves v1-stable", " serves v2-stable")),
    "another deploy": ("two-at-once", _says("summary", "from v1-stable", "from v9-stable")),
    "another fix": ("two-at-once", _says("summary", "The fix v3-fix", "The fix v4-fix")),
    "another runbook": (
        "two-at-once",
        _says("summary", "Runbook support-agent-answers", "Runbook restart"),
    ),
    "nobody did it": (
        "two-at-once",
        _says(
            "summary", "Runbook support-agent-answers ended the harm", "It ended, not by a runbook"
        ),
    ),
    "harm that nobody measured": (
        "neighbour-deploy",
        _says(
            "summary",
            "After runbook bad-deploy it was mitigated",
            "Runbook bad-deploy ended the harm",
        ),
    ),
    "an objective that is not named": (
        "neighbour-deploy",
        _says("summary", "mitigated: assistant/answers: ", "mitigated: "),
    ),
    "a width": ("two-at-once", _says("timeline", "within 20 s", "within 10 s")),
    "a moment": ("two-at-once", _set("times", "paged", "2026-03-02T00:50:00.000Z")),
    "a duration": ("two-at-once", _set("durations_s", "to_page", 60.0)),
    "a time of a line": ("two-at-once", _set("timeline", 9, "at", "2026-03-02T00:40:31.000Z")),
    "another event": ("two-at-once", _set("timeline", 9, "events", [1])),
    "bad events": ("two-at-once", _set("impact", "objectives", 0, "bad_events", 1)),
    "the peak": ("two-at-once", _set("impact", "objectives", 0, "peak_burn", 99.0)),
    "people": ("two-at-once", _set("impact", "reports", 400)),
    "a service": ("neighbour-deploy", _set("alerts", "services", ["assistant"])),
    "a step failed": ("neighbour-deploy", _set("runs", 0, "steps", 0, "state", "failed")),
    "who approved": ("neighbour-deploy", _set("runs", 0, "approved_by", "the responder")),
    "a change that never was": (
        "neighbour-deploy",
        _set("change", "at", "2026-03-02T00:08:00.000Z"),
    ),
    "a cause out of nowhere": (
        "neighbour-deploy",
        _set("alerts", "causes", 0, "service", "image-cdn"),
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found(name: str, drilled: dict[str, Path]) -> None:
    """What one document says falsely is listed."""
    scenario, lie = LIES[name]
    told: list[bool] = []
    found = untrue(drilled[scenario], folder() / "shop", lambda one: told.append(lie(one)))
    assert any(told), "the document has nothing like it"
    assert found


def test_what_nobody_changed_is_true(drilled: dict[str, Path]) -> None:
    """Not by its own doing does the reader list anything."""
    assert [one for file in drilled.values() for one in untrue(file, folder() / "shop")] == []
