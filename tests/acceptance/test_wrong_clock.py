"""A server whose wall clock is wrong for a while: who is paged, what is shown, what is asked.

Real processes under libfaketime, which may set the wall clock and leaves the one that counts since
the start alone. The servers run side by side, for each of them mostly waits.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Serving, alert, reconfigure, until
from tests.servers import clocked

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.rules import Rules
from midwatch.core.state.inputs import AlertsArrived, Envelope
from midwatch.core.values.alerts import identify
from midwatch.core.values.clock import parse_time, show_duration, show_time
from midwatch.core.values.teams import Policy, Step
from midwatch.engine.clock import wall_ms
from midwatch.engine.handle import Handler
from midwatch.engine.verify import verify

pytestmark = pytest.mark.slow

HOUR_S, DAY_S = 3_600, 86_400
YEARS_S = 3_650 * DAY_S
SOAK = os.environ.get("MIDWATCH_SOAK") == "1"
WRONG_FOR_S = 20.0 if SOAK else 0.0
STEP_S = 4  # until the next person is paged
PEOPLE = [f"p{number}" for number in range(7)]
SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: availability}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    metadata: {name: requests}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: prometheus, spec: {query: 'sum(good)'}}}
        total: {metricSource: {type: prometheus, spec: {query: 'sum(all)'}}}
  objectives: [{target: 0.999}]
"""


class Prometheus:
    """Says that there is nothing, and keeps for when it was asked."""

    def __init__(self, receiver: Receiver) -> None:
        self.url = receiver.url
        self._receiver = receiver

    def asked_s(self) -> list[float]:
        """Say for which times, in seconds since the epoch, it was asked."""
        found = [
            parse_qs(body.decode()).get("time", [""])[0]
            for path, _, body in list(self._receiver.requests)
            if path == "/api/v1/query"
        ]
        return [float(one) for one in found if one]


def nothing(path: str, body: bytes) -> bytes:
    """What Prometheus answers when no series fits."""
    kind = "matrix" if path.endswith("range") else "vector"
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": []}}).encode()


class Watch:
    """A server with a wall clock of its own, its pager, and its Prometheus."""

    def __init__(self, folder: Path, pager: Receiver, metrics: Receiver) -> None:
        folder.mkdir()
        self.serving = Serving(folder)
        self.pager = pager
        self.prometheus = Prometheus(metrics)
        self.off_s = 0
        self._file = folder / "offset"
        self.set(0)
        # Turns of an hour, half an hour from their edges: who has which does not change meanwhile.
        self.began = (wall_ms() - (7 * HOUR_S + 1_800) * 1_000) // 60_000 * 60_000
        reconfigure(
            folder / "midwatch",
            f"""
sources: {{alertmanager: {{type: alertmanager}}}}
pagers: {{hook: {{type: webhook, url: "{pager.url}", secret_env: HOOK}}}}
metrics: {{prometheus: {{type: prometheus, url: "{metrics.url}"}}}}
people: {{{", ".join(f"{name}: {{pagers: [hook]}}" for name in (*PEOPLE, "boss"))}}}
escalation: {{digest: off, steps: [{{to: turns, delay: {STEP_S}s}}, {{to: boss}}]}}
""",
        )
        schedules = folder / "midwatch" / "schedules"
        schedules.mkdir(exist_ok=True)
        (schedules / "turns.yaml").write_text(
            f"time_zone: UTC\npeople: [{', '.join(PEOPLE)}]\nevery: 1h\n"
            f"starts: {show_time(self.began)[:16]}\n"
        )
        (folder / "midwatch" / "slos" / "counted.yaml").write_text(SLO)

    def set(self, off_s: int) -> None:
        """Set the wall clock; a reader sees the old offset or the new one."""
        self.off_s = off_s
        new = self._file.with_name("new")
        new.write_text(f"{off_s:+d}\n")
        new.replace(self._file)

    def start(self) -> None:
        """Start it under its clock."""
        words = clocked(
            FAKETIME_TIMESTAMP_FILE=str(self._file),
            FAKETIME_NO_CACHE="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
        )
        self.serving.start(*words)

    def on_call(self) -> str:
        """Say whose turn it is by the wall clock, by hand."""
        turns = (wall_ms() + self.off_s * 1_000 - self.began) // (HOUR_S * 1_000)
        return PEOPLE[turns % len(PEOPLE)]

    def fire(self, name: str) -> str:
        """Send an alert; gives whom it paged first."""
        assert self.serving.deliver(alert(name, name.lower(), namespace=name)).status == 202
        until(lambda: self.paged(name))
        return self.paged(name)[0]

    def paged(self, name: str) -> list[str]:
        """Say whom was paged with something in the title, in order.

        Each once; signed by a wrong clock they are, which only a receiver that looks would mind.
        """
        sent = [(headers.get("webhook-id"), body) for _, headers, body in self.pager.requests]
        pages = [json.loads(body) for key, body in dict(sent).items() if key]
        return [page["to"] for page in pages if name in page["title"]]

    def ask(self, path: str, body: bytes | None = None, **given: Any) -> Any:
        """Ask the API, or tell it something."""
        body = json.dumps(given).encode() if given else body
        answer = self.serving.ask(
            "POST" if body else "GET",
            f"/api/v1/{path}",
            body,
            self.serving.person,
            content_type="application/json",
        )
        assert answer.status == 200, answer.body
        return answer.document

    def incident(self, name: str) -> Any:
        """Find the newest incident by its title."""
        found = [one for one in self.ask("incidents?all=true") if name in one["title"]]
        return max(found, key=lambda one: int(one["id"].removeprefix("INC-")))

    def asks_for(self, off_s: int) -> bool:
        """Say whether Prometheus was asked for a time so far off."""
        return any(abs(at - time.time() - off_s) < 60 for at in self.prometheus.asked_s())


@contextmanager
def watch(folder: Path) -> Iterator[Watch]:
    """Make one."""
    with Receiver() as pager, Receiver() as metrics:
        metrics.answer = nothing
        made = Watch(folder, pager, metrics)
        try:
            yield made
        finally:
            made.serving.kill()


def is_wrong(watch: Watch, off_s: int) -> None:
    """The clock jumps: somebody is paged for it, and people see what it says."""
    kind = f"The clock went {'ahead' if off_s > 0 else 'back'} by {show_duration(abs(off_s))}"
    watch.set(off_s)
    until(lambda: watch.paged(kind))
    assert watch.paged(kind)[0] == watch.on_call()
    name = f"Meanwhile{off_s}"
    assert watch.fire(name) == watch.on_call()
    notes = watch.serving.ask("GET", "/readyz").document["notes"]
    assert kind in notes["clock"]
    watch.ask(f"incidents/{watch.incident(name)['id']}/snooze", minutes=30)
    ends_at = wall_ms() + (off_s + 2 * HOUR_S) * 1_000
    watch.ask("silences", matchers=["service=quiet"], ends_at=ends_at, why="a test")
    time.sleep(WRONG_FOR_S)


def is_right_again(watch: Watch, off_s: int, since_ms: float) -> None:
    """Nothing is left of it, and it is over once somebody has it."""
    watch.set(0)
    until(lambda: "is right again" in watch.serving.ask("GET", "/readyz").body.decode())
    assert watch.fire(f"Again{off_s}") == watch.on_call()
    now_ms = time.time() * 1_000
    for one in watch.ask("incidents?all=true"):
        assert since_ms - 1_000 <= parse_time(one["opened_at"]) <= now_ms + 1_000
    snoozed = watch.incident(f"Meanwhile{off_s}")["snoozed_until"]  # over, when its date is past
    assert not snoozed or parse_time(snoozed) <= now_ms + 30 * 60_000
    watch.ask(f"incidents/{watch.incident('The clock')['id']}/ack", b"{}")
    assert watch.incident("The clock")["state"] == "mitigated"
    assert "notes" not in watch.serving.ask("GET", "/readyz").document


def goes_wrong(watch: Watch, offs_s: Sequence[int]) -> None:
    """What has to hold when the clock jumps, is right again, and all that over a restart."""
    since_ms = time.time() * 1_000
    watch.start()
    began = time.monotonic()
    assert watch.fire("Before") == watch.on_call()
    until(lambda: watch.asks_for(0))
    is_wrong(watch, offs_s[0])
    assert {one["person"] for one in watch.ask("oncall")} == {watch.on_call()}
    until(lambda: len(watch.paged("Before")) == 2, STEP_S + 20)
    assert time.monotonic() - began >= STEP_S - 1  # no wait was cut short
    is_right_again(watch, offs_s[0], since_ms)
    for off_s in offs_s[1:]:
        is_wrong(watch, off_s)
        is_right_again(watch, off_s, since_ms)
    figures = watch.serving.ask("GET", "/metrics").body.decode()
    assert f"midwatch_clock_jumps_total {2 * len(offs_s)}.0" in figures
    assert "midwatch_clock_skew_seconds 0.0" in figures

    # It is wrong at a start, and is right again while that runs.
    assert watch.serving.stop() == 0
    off_s = -HOUR_S
    watch.set(off_s)
    watch.start()
    until(lambda: watch.asks_for(off_s))
    is_wrong(watch, off_s)
    is_right_again(watch, off_s, since_ms)

    assert watch.serving.stop() == 0
    store = SqliteStore.read_only(watch.serving.folder / "midwatch" / "midwatch.db")
    times = [row.at for row, _ in store.rows()]
    found = verify(store)[1]
    store.close()
    assert times == sorted(times)
    assert times[-1] - times[0] < 600_000
    assert found == []


def was_wrong(watch: Watch, off_s: int) -> None:
    """A journal that an older version wrote while the clock was ahead is right at once."""
    file = watch.serving.folder / "midwatch" / "midwatch.db"
    store = SqliteStore.own(file)
    rules = Rules(policy=Policy("default", (Step(("boss",)),)))
    handler = Handler(store, rules, lambda: wall_ms() + off_s * 1_000)
    old = identify({"alertname": "Old", "service": "old", "severity": "critical"})
    poisoned = old.alert("firing", wall_ms() + off_s * 1_000)
    handler.handle([Envelope("", AlertsArrived("alertmanager", (poisoned,)))])
    store.close()
    watch.start()
    assert watch.fire("Upgraded") == watch.on_call()
    until(lambda: watch.paged("The clock went back"))
    until(lambda: watch.asks_for(0))
    now_ms = time.time() * 1_000
    for one in watch.ask("incidents?all=true"):
        assert abs(parse_time(one["opened_at"]) - now_ms) < 60_000
    until(lambda: len(watch.paged("Upgraded")) == 2, STEP_S + 20)
    watch.serving.stop()


JUMPS_S = (DAY_S, -HOUR_S, HOUR_S, YEARS_S)


def test_a_clock_that_is_wrong_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day ahead, and at a start an hour behind.

    In `make soak` also an hour, ten years, and an hour behind, each on a server of its own, for
    20 s; and a journal that an older version wrote ten years ahead. (What may follow from a jump
    is tried for each of them in virtual time.)
    """
    monkeypatch.setenv("HOOK", SECRET)
    plays: list[Callable[[Watch], None]] = [
        partial(goes_wrong, offs_s=one)
        for one in ([(off,) for off in JUMPS_S] if SOAK else [JUMPS_S])
    ]
    with ExitStack() as stack, ThreadPoolExecutor(len(plays) + 1) as pool:
        if SOAK:
            plays.append(lambda watch: was_wrong(watch, YEARS_S))
        made = [stack.enter_context(watch(tmp_path / str(number))) for number in range(len(plays))]
        running = [pool.submit(play, one) for play, one in zip(plays, made, strict=True)]
        for one in running:
            one.result()
