"""What an outage cost, told by a real server of a service that really failed.

The counts carry their own times, a few minutes old, as those of a service that pushes seldom do;
so detection comes long after the first bad event, and the test need not wait for it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, reconfigure, until
from tests.acceptance.test_slo import CONFIG, PUSHED

pytestmark = pytest.mark.slow

SOAK = os.environ.get("MIDWATCH_SOAK") == "1"
# Nothing is done by this runbook: its window says how long users have to be well.
BOOK = """---
id: look
version: 1
match: {slo: shop/answers}
steps:
  - {id: look, action: http.request, with: {url: "http://127.0.0.1:9/", method: GET}, risk: read}
verify: {window: 10s, burn_below: 1, min_events: 10}
---
Look at it.
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server with one objective whose counts are pushed."""
    serving = Serving(tmp_path)
    config = tmp_path / "midwatch"
    reconfigure(config, CONFIG)
    (config / "slos" / "answers.yaml").write_text(PUSHED, "utf-8")
    (config / "runbooks" / "look.md").write_text(BOOK, "utf-8")
    serving.judge = serving.token("--source", "judge")
    serving.start()
    yield serving
    serving.stop()


def push(serving: Serving, counts: list[tuple[float, int, int]]) -> None:
    """Push (time, good, total)."""
    items = [
        {"slo": "shop/answers", "at": at, "good": good, "total": total}
        for at, good, total in counts
    ]
    found = serving.ask("POST", "/intake/judge", json.dumps(items).encode(), token=serving.judge)
    assert found.document["accepted"] == len(items)


def postmortem(serving: Serving) -> dict[str, Any]:
    """The document as the server writes it."""
    return serving.ask("GET", "/api/v1/incidents/INC-1/postmortem", token=serving.person).document


def seconds(shown: str) -> float:
    """A time of the document."""
    return datetime.strptime(shown, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC).timestamp()


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="make soak plays three outages in real time")
@pytest.mark.parametrize("kind", ["fast", "slow", "night"])
def test_the_harm_of_a_service_that_failed(kind: str, serving: Serving) -> None:
    """Its first bad event, its bad events, and no budget that is gone after minutes."""
    now = time.time() // 10 * 10
    onset = now - 240
    sent: list[tuple[float, int, int]] = []
    for at in range(int(now) - 560, int(now) + 1, 10):
        rate = 6 if kind == "night" and at > onset else 60
        bad = {"fast": rate, "slow": 18, "night": rate}[kind] if at > onset else 0
        sent.append((at, rate - bad, rate))
    push(serving, sent)

    def state() -> str:
        listed = serving.ask("GET", "/api/v1/incidents", token=serving.person).document
        return listed[0]["state"] if listed else ""

    until(lambda: state() in ("open", "acknowledged"))

    def recovers() -> bool:
        sent.append((time.time(), 60, 60))
        push(serving, sent[-1:])
        time.sleep(1)
        return state() == "mitigated"

    until(recovers, 300)
    one = postmortem(serving)
    (lost,) = one["impact"]["objectives"]
    bad = sum(total - good for _, good, total in sent)
    assert lost["bad_events"] == bad
    assert abs(seconds(one["times"]["started"]) - onset) <= 10
    assert one["durations_s"]["to_detect"] >= 230
    assert lost["budget_spent"] is None
    assert "that the events seen in" in lost["says"]
    where = ("--server", serving.url, "--token", serving.person)
    assert "gone" not in serving.type("slo", "status", *where).stdout
    assert "gone" not in serving.type("postmortem", "show", "INC-1", *where).stdout


def test_three_people_who_write_at_once_lose_nothing(serving: Serving) -> None:
    """And whoever writes all of it to an older version is told so."""
    push(serving, [(time.time(), 40, 100)])
    until(lambda: "INC-1" in serving.out.read_text())
    where = ("--server", serving.url, "--token", serving.person)

    def write(number: int) -> str:
        said = ("--factor", f"factor {number}", "--went-well", "the page")
        return serving.type("postmortem", "edit", "INC-1", *said, *where).stdout

    with ThreadPoolExecutor(3) as pool:
        assert all("written" in said for said in pool.map(write, range(3)))
    one = postmortem(serving)
    assert sorted(one["judgement"]["contributing_factors"]) == [f"factor {n}" for n in range(3)]
    assert one["judgement"]["went_well"] == ["the page"]
    whole = json.dumps({"summary": "mine", "version": one["version"] - 1}).encode()
    path = "/api/v1/incidents/INC-1/postmortem"
    found = serving.ask("POST", path, whole, token=serving.person, Content_Type="application/json")
    assert found.status == 409
    assert "was written since" in json.dumps(found.document)
    # Open as it is, it says what was lost so far.
    until(lambda: postmortem(serving)["impact"]["bad_events"] == 60)
    assert "unknown yet" not in serving.type("postmortem", "show", "INC-1", *where).stdout
