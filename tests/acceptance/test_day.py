"""A recorded day has one outcome: through `midwatch serve` and through `midwatch drill`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.acceptance.serving import midwatch
from tests.servers import need

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.state import events as e
from midwatch.core.values.clock import SECOND
from midwatch.drill import scenarios
from midwatch.drill.scenarios import Scenario
from midwatch.drill.shift import Shift
from midwatch.engine import queries
from midwatch.engine.queries import Fact

CHILD = Path(__file__).with_name("day_child.py")
DAY = Path(__file__).parent.parent / "fixtures" / "day"
RECORDED = Path(__file__).parents[2] / "scenarios"
BEFORE_S = 600  # in which the server starts
# Each says the same wherever it happens; receipts, durations and what follows from them do not.
COMPARED = (
    e.IncidentOpened,
    e.AlertsAttached,
    e.AlertsResolved,
    e.SeverityDeclared,
    e.PagePlanned,
    e.PageAcknowledged,
    e.EscalationExhausted,
    e.IncidentMitigated,
    e.IncidentReopened,
    e.IncidentResolved,
)


def drilled(scenario: Scenario) -> tuple[list[Fact[e.Event]], list[tuple[int, bytes]]]:
    """Play a scenario in virtual time; gives its facts, and the deliveries that were sent."""
    store = SqliteStore.memory()
    shift = Shift(scenario, store)
    shift.run()
    facts = queries.facts(store)
    store.close()
    sent = [(d.at, d.body) for d in shift.storm.deliveries]
    return facts, sorted([*scenario.deliveries, *sent])


def told(facts: list[Fact[e.Event]], ends_at: int) -> list[Any]:
    """What happened to each incident, in its order, with every reason, and without times."""
    seen = [f.event for f in facts if isinstance(f.event, COMPARED) and f.at <= ends_at]
    assert seen
    # The sort is stable: within an incident the order counts, between two of them it does not.
    whole = sorted(((x.stream, msgspec.to_builtins(x)) for x in seen), key=lambda one: one[0])
    bare = re.sub(r"/[0-9a-f]{16}(?=[/\"])", "/salt", json.dumps(whole))
    # How long something was quiet is counted from when it was heard, to the second.
    bare = re.sub(r'"(since_s|quiet_s|score)": [\d.]+', r'"\1": 0', bare)
    return json.loads(re.sub(r"[\d.]+ (s|min|h)\b", "a while", bare))


def served(
    folder: Path, config: Path, starts_at: int, speed: int, day: dict[str, Any]
) -> list[Fact[e.Event]]:
    """Play requests to a real server whose clock starts just before the day and runs fast."""
    faketime = need("faketime")
    db, file = folder / "midwatch.db", folder / "day.json"
    where = ["--config", str(config), "--db", str(db)]
    for request in day["requests"]:
        role = ["--source", "alertmanager"]
        if "by" in request:
            role = ["--role", "responder", "--name", request.pop("by")]
        request["token"] = midwatch("token", "create", *role, *where).stdout.strip()
    file.write_text(json.dumps(day), "utf-8")
    begin = datetime.fromtimestamp(starts_at / SECOND - BEFORE_S, UTC)
    done = subprocess.run(
        [
            faketime,
            "-f",
            f"@{begin:%Y-%m-%d %H:%M:%S} x{speed}",
            sys.executable,
            CHILD,
            config,
            db,
            file,
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC"},
    )
    assert set(done.stdout.split()) <= {"200", "202"}, done.stderr
    assert midwatch("db", "verify", str(db)).returncode == 0
    store = SqliteStore.read_only(db)
    facts = queries.facts(store)
    store.close()
    return facts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "speed", "lasts_s"),
    [
        (DAY / "day.yaml", 120, 36 * 60),
        (RECORDED / "recorded-alertmanager.yaml", 90, 14 * 60),
    ],
    ids=["faults", "recorded"],
)
def test_a_recorded_day_ends_the_same(tmp_path: Path, file: Path, speed: int, lasts_s: int) -> None:
    """The same requests, in order, at their times: same incidents, same pages, same reasons."""
    scenario = scenarios.load(file)
    facts, deliveries = drilled(scenario)
    ends_at = scenario.starts_at + lasts_s * SECOND
    requests: list[dict[str, Any]] = [
        {"at": at, "path": "/intake/alertmanager", "body": body.decode()} for at, body in deliveries
    ]
    acks = [f for f in facts if isinstance(f.event, e.PageAcknowledged)]
    for fact in acks:
        path = f"/api/v1/incidents/{fact.event.incident}/ack"
        requests.append({"at": fact.at, "path": path, "body": "{}", "by": fact.event.by})
    requests = sorted((r for r in requests if r["at"] <= ends_at), key=lambda r: r["at"])
    config = file.parent / str(msgspec.yaml.decode(file.read_bytes())["config"])
    day = {"ends_at": ends_at, "requests": requests}
    lived = served(tmp_path, config, scenario.starts_at, speed, day)
    assert acks
    assert told(lived, ends_at) == told(facts, ends_at)
