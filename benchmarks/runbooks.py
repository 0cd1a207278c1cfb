"""What a plan costs, what it cures, and how fast the document is written.

    python -m benchmarks.runbooks

Each figure stands beside what does the same without midwatch: the bare command, the bare request,
and for what is cured the two trivial answers, always rolling back and doing nothing.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from midwatch.adapters.actions.command import CommandActions
from midwatch.adapters.actions.http import HttpActions
from midwatch.adapters.actions.ways import Actions
from midwatch.adapters.reports import postmortem
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.effects import RunAction
from midwatch.core.values.actions import Action, Command, Request
from midwatch.core.values.plans import Match, Runbook, Step
from midwatch.core.values.sli import Counts, SliReading
from midwatch.core.values.slo import Slo, Verify, windows_needed
from midwatch.core.values.teams import Policy
from midwatch.core.values.teams import Step as Paging
from midwatch.drill import faults, scenarios
from midwatch.drill.scenarios import Scenario
from midwatch.drill.shift import Shift
from midwatch.engine.handle import Handler
from midwatch.engine.retelling import retell
from midwatch.outbound import Outbound

TROUBLES = (
    "date-rule",
    "index-part-missing",
    "invented-policy",
    "prompt-regression",
    "provider-outage",
    "retry-storm",
    "stale-cache",
)
ROUNDS = 200
DONE = '{"cached": 0}'


class Cost(Struct, frozen=True):
    """A median in milliseconds, and the bare thing's in the same run."""

    ours_ms: float
    bare_ms: float


class Cured(Struct, frozen=True):
    """Of how many kinds of trouble users had recovered."""

    by_runbooks: int
    by_rollback: int
    by_nothing: int
    kinds: int


def cured() -> Cured:
    """Play the seven troubles with their runbooks, with rollbacks alone, and with nobody acting."""
    found = [scenarios.load(scenarios.find(name)) for name in TROUBLES]
    return Cured(
        sum(_is_cured(one) for one in found),
        sum(_is_cured(faults.break_on_purpose(one, "always-rollback").scenario) for one in found),
        sum(_is_cured(_without(one)) for one in found),
        len(found),
    )


def _without(scenario: Scenario) -> Scenario:
    """Take all runbooks and all fixes away."""
    services = tuple(
        structs.replace(s, releases=tuple(r for r in s.releases if r.proposed_s is None))
        for s in scenario.services
    )
    rules = structs.replace(scenario.config.rules, books=Books())
    config = structs.replace(scenario.config, rules=rules)
    return structs.replace(scenario, services=services, config=config)


def _is_cured(scenario: Scenario) -> bool:
    shift = Shift(scenario, SqliteStore.memory())
    shift.run()
    incidents = [i for i in shift.engine.handler.shard.incidents.values() if i.slo]
    return bool(incidents) and all(i.mitigated_at for i in incidents)


def decided() -> Cost:
    """Propose, approve and settle a plan on a journal on disk; beside one bare commit of SQLite."""
    slo = Slo("shop/answers", "shop", "0.99")
    purge = Action("cache.purge", Command(("true",)), Command(("true",)))
    book = Runbook("purge", 1, Match(slo.id), (Step("purge", "cache.purge"),))
    rules = Rules(
        slos={slo.id: slo},
        policy=Policy("p", (Paging(("ada",), 300),)),
        books=Books((book,), {purge.name: purge}),
    )
    windows = dict.fromkeys(windows_needed(slo, Verify()), Counts(8_000, 10_000))
    took: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS // 4):
            now = 1_000
            store = SqliteStore.own(Path(folder) / f"{number}.db")
            handler = Handler(store, rules, lambda now=now: now)
            handler.handle(
                [inputs.Envelope("", inputs.SliMeasured(SliReading(slo.id, now, windows)))]
            )
            plan = handler.shard.incidents["INC-1"].plan_hash
            start = time.perf_counter()
            handler.handle([inputs.Envelope("a", inputs.ApprovePlan("INC-1", plan, "ada"))])
            took.append(time.perf_counter() - start)
            start = time.perf_counter()
            handler.handle([inputs.Envelope("b", inputs.Acknowledge("INC-1", "ada"))])
            bare.append(time.perf_counter() - start)
            store.close()
    return Cost(1_000 * statistics.median(took), 1_000 * statistics.median(bare))


def by_command() -> Cost:
    """Do and observe a command, beside running the program twice."""
    action = RunAction(
        "op", "INC-1", "shop", "index.restore", Command(("/bin/true",)), Command(("/bin/true",))
    )
    return _beside(action, lambda: subprocess.run(["/bin/true"], check=True))


def by_request() -> Cost:
    """Do and observe a request, beside two bare ones."""

    class Cache(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(DONE)))
            self.end_headers()
            self.wfile.write(DONE.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Cache)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    action = RunAction(
        "op",
        "INC-1",
        "shop",
        "cache.purge",
        Request(url, "POST"),
        Request(url, expect={"cached": 0}),
    )

    def bare() -> None:
        with urllib.request.urlopen(url, timeout=5) as answer:
            answer.read()

    try:
        return _beside(action, bare)
    finally:
        server.shutdown()
        server.server_close()


def _beside(action: RunAction, bare: Callable[[], object]) -> Cost:
    requests = HttpActions(lambda url, timeout_s: Outbound([url], timeout_s=timeout_s), {})
    actions = Actions(requests, CommandActions({"PATH": "/usr/bin:/bin"}))
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        actions.apply(action)
        assert actions.observe(action).done
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        bare()
        bare()
        theirs.append(time.perf_counter() - start)
    return Cost(1_000 * statistics.median(ours), 1_000 * statistics.median(theirs))


def written() -> tuple[float, float, int]:
    """Write a postmortem of the lab's shift and its page: milliseconds each, and its events."""
    store = SqliteStore.memory()
    shift = Shift(scenarios.load(scenarios.find("shift")), store)
    shift.run()
    shard = shift.engine.handler.shard
    told: list[float] = []
    drawn: list[float] = []
    events = 0
    for _ in range(30):
        start = time.perf_counter()
        document = retell(shard.incidents["INC-1"], shard.at, store)
        told.append(time.perf_counter() - start)
        start = time.perf_counter()
        postmortem.html(document)
        drawn.append(time.perf_counter() - start)
        events = len(document.timeline)
    return 1_000 * statistics.median(told), 1_000 * statistics.median(drawn), events


def main() -> None:
    """Print every figure."""
    found = cured()
    print(f"users well again, of {found.kinds} kinds of trouble: by their own runbook", end=" ")
    print(f"{found.by_runbooks}, by a rollback alone {found.by_rollback}", end=", ")
    print(f"by nothing {found.by_nothing}")
    for name, cost in (
        ("an approval decided and on disk, beside an ack", decided()),
        ("a command done and observed, beside two bare ones", by_command()),
        ("a request done and observed, beside two bare ones", by_request()),
    ):
        print(f"{name}: {cost.ours_ms:.2f} ms, {cost.bare_ms:.2f} ms")
    told, drawn, events = written()
    print(f"a postmortem of {events} moments: {told:.1f} ms to write, {drawn:.1f} ms to draw")


if __name__ == "__main__":
    main()
