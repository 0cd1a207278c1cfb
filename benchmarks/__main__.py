"""Measure everything and write results.json.

    python -m benchmarks [DIR]

DIR holds labelled storms; without it the figures of how well alerts are grouped are left out.

Law: a figure stands beside a peer that was measured in the same run on the same machine; the ratio
is what counts, for the machine is shared. Nothing is typed in: each row is computed below.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    agent,
    canary,
    correlation,
    evals,
    gate,
    idle,
    intake,
    kayenta,
    page,
    placing,
    proxy,
    runbooks,
    sizing,
    slo,
    tabs,
    undo,
    years,
)
from benchmarks import lasting as outage_rows
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.drill import scenarios
from midwatch.drill.shift import Shift

HERE = Path(__file__).parent
LAB = HERE.parent / "lab" / "solution"
MIDWATCH = str(Path(sys.executable).with_name("midwatch"))
ROUNDS = 15
KEEP_DAYS = 90  # as docs/operations.md advises


def seconds(
    command: list[str], env: dict[str, str] | None = None, cwd: Path | None = None
) -> float:
    """Time one run of a command."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=env, cwd=cwd)
    return time.perf_counter() - start


def beside(command: list[str], peer: list[str]) -> tuple[float, float]:
    """Time two commands in turn, once they have run and written their bytecode; the medians."""
    seconds(command)
    pairs = [(seconds(command), seconds(peer)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def per_minute(work: Callable[[], object], for_s: float = 4.0) -> float:
    """Count how often something is done in a minute of this process's own CPU time."""
    work()
    count, start = 0, time.process_time()
    while (spent := time.process_time() - start) < for_s:
        work()
        count += 1
    return 60 * count / spent


def row(
    value: float, unit: str, peer: str, peer_value: float, reach: str, ok: bool, command: str
) -> dict[str, Any]:
    """Write one figure down."""
    return {
        "value": round(value, 4),
        "unit": unit,
        "peer": peer,
        "peer_value": round(peer_value, 4),
        "ratio": round(value / peer_value, 3) if peer_value else None,
        "reach": reach,
        "ok": ok,
        "command": command,
        "machine": f"{platform.machine()}, {os.cpu_count()} shared cores, "
        f"Python {platform.python_version()}",
        "date": datetime.fromtimestamp(time.time(), UTC).date().isoformat(),
    }


def one_shift() -> None:
    """Play the scenario through SQLite in memory."""
    store = SqliteStore.memory()
    Shift(SCENARIO, store).run()
    store.close()


SCENARIO = scenarios.load(scenarios.find("shift"))


def lab_shift() -> Callable[[], object]:
    """Load the lab, which does the same story in dictionaries."""
    sys.path.insert(0, str(LAB))
    import drill  # pyright: ignore  the lab's own module, beside its parts

    return drill.run_shift


def journal_heads() -> list[str]:
    """Play one seed under three hash seeds; gives the journals' last links."""
    found: list[str] = []
    for hash_seed in ("0", "1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [MIDWATCH, "drill", "--seed", "5", "--json"]
        done = subprocess.run(command, check=True, capture_output=True, env=env)
        found.append(json.loads(done.stdout)["journal_head"])
    return found


def taken_in() -> dict[str, dict[str, Any]]:
    """Send the same alerts to `midwatch serve` and to Alertmanager, in turn, and take medians.

    Of the shapes that the call graph may have, the worse one is told.
    """
    shapes = intake.topologies()
    rounds = [
        (intake.alertmanager(), [intake.midwatch(shape) for shape in shapes.values()])
        for _ in range(intake.ROUNDS)
    ]
    found: dict[str, dict[str, Any]] = {}
    for name, unit, reach, at_least in (
        ("new", "alerts/s", 1.0, True),
        ("refreshed", "alerts/s", 3.0, True),
        ("p99_ms", "ms", 1.5, False),
        ("memory_mb", "MB", 1.0, False),
    ):
        worse = min if at_least else max
        mine = statistics.median(worse(getattr(one, name) for one in runs) for _, runs in rounds)
        theirs = statistics.median(getattr(peer, name) for peer, _ in rounds)
        ratio = mine / theirs
        ok = ratio >= reach if at_least else ratio <= reach
        wanted = f"{'>=' if at_least else '<='} {reach} x"
        found[f"intake_{name}"] = row(
            mine, unit, "Alertmanager", theirs, wanted, ok, "python -m benchmarks.intake"
        )
    return found


def objectives() -> dict[str, dict[str, Any]]:
    """Judge objectives beside Prometheus, and count what pages in vain beside plain rules."""
    command, prometheus = "python -m benchmarks.slo", "Prometheus, its rules of the same"
    peer_ms = slo.prometheus_ms()
    thousand, ten = (slo.evaluate_ms(slo.objectives(n)) for n in (1_000, 10_000))
    single, counted, memory = slo.ring_per_s(1), slo.ring_per_s(1_000), slo.memory_mb()
    bare = "none"
    found = {
        "slo_evaluate_1000_ms": row(
            thousand, "ms", prometheus, peer_ms, "<= 10 ms", thousand <= 10, command
        ),
        "slo_evaluate_10000_ms": row(ten, "ms", bare, 0.0, "<= 120 ms", ten <= 120, command),
        "ring_single_per_s": row(
            single, "events/s", bare, 0.0, ">= 200000", single >= 200_000, command
        ),
        "ring_counted_per_s": row(
            counted, "events/s", bare, 0.0, ">= 10000000", counted >= 10_000_000, command
        ),
        "slo_memory_1000_mb": row(memory, "MB", bare, 0.0, "<= 100 MB", memory <= 100, command),
    }
    for line in slo.table():
        load = int(line["per_hour"])
        found[f"false_pages_{load}_an_hour"] = row(
            line["proven"],
            "pages/month",
            "plain rules (a traffic minimum is the same)",
            line["plain"],
            "< 0.1",
            line["proven"] < 0.1 and line["knob"] == line["plain"],
            command,
        )
    for line in slo.delays():
        found[f"delay_{int(100 * line['bad'])}_percent_min"] = row(
            line["proven"], "min", "plain rules", line["plain"], "-", ok=True, command=command
        )
    return found


def placed(alertmanager_mb: float) -> dict[str, dict[str, Any]]:
    """Time the core alone, and its memory beside what Alertmanager took in this run."""
    command, bare = "python -m benchmarks.placing", "none"
    new, mixed = placing.new_per_s(), placing.mixed_per_s()
    growth, cost, memory = placing.growth(), placing.cost_of_open(), placing.memory_mb()
    line = placing.line_us()
    figures = {
        "new_per_s": (new, "alerts/s", bare, 0.0, ">= 40000", new >= 40_000),
        "mixed_per_s": (mixed, "alerts/s", bare, 0.0, ">= 200000", mixed >= 200_000),
        "line_us": (line, "us", "96 services, 100 open incidents", 0.0, "<= 60", line <= 60),
        "growth": (growth, "x", "ten times the alerts", 10.0, "<= 11", growth <= 11),
        "cost_of_open": (cost, "x", "ten times the open incidents", 10.0, "<= 1.3", cost <= 1.3),
        "memory_mb": (
            memory,
            "MB",
            "Alertmanager",
            alertmanager_mb,
            "<= 1.0 x",
            memory <= alertmanager_mb,
        ),
    }
    return {f"placing_{name}": row(*one, command) for name, one in figures.items()}


def answered() -> dict[str, dict[str, Any]]:
    """Ask the support agent, in process and over HTTP."""
    command, bare = "python -m benchmarks.agent", "none"
    asked, built, calm = agent.per_s(), agent.index_s(), agent.served()
    full = agent.served(5_000)
    figures = {
        "per_s": (asked, "questions/s", bare, 0.0, ">= 1000", asked >= 1_000),
        "http_per_s": (full.per_s, "answers/s", bare, 0.0, ">= 700", full.per_s >= 700),
        "http_p99_ms": (calm.p99_ms, "ms", bare, 0.0, "<= 15 ms", calm.p99_ms <= 15),
        "index_s": (built, "s", bare, 0.0, "<= 1 s", built <= 1),
        "start_s": (calm.start_s, "s", bare, 0.0, "<= 0.6 s", calm.start_s <= 0.6),
        "memory_mb": (calm.memory_mb, "MB", bare, 0.0, "<= 80 MB", calm.memory_mb <= 80),
    }
    return {f"agent_{name}": row(*one, command) for name, one in figures.items()}


def moved() -> dict[str, dict[str, Any]]:
    """Move traffic through each router, and carry it, beside HAProxy and nginx."""
    command, bare = "python -m benchmarks.proxy", "none"
    carried = proxy.costs()
    own, peer = carried["midwatch proxy"], carried["HAProxy"]
    embedded, balanced = proxy.rollback("midwatch proxy"), proxy.rollback("HAProxy")
    reload, commit = proxy.nginx_reload(), proxy.commit_us()
    wrong = embedded.wrong + balanced.wrong
    nginx = "nginx -s reload" if reload else "none (nginx is not installed)"
    figures = {
        "proxy_p50_ms": (own.p50_ms, "ms", "HAProxy", peer.p50_ms, "-", True),
        "proxy_p99_ms": (own.p99_ms, "ms", "HAProxy", peer.p99_ms, "-", True),
        "proxy_per_s": (own.per_s, "requests/s", "HAProxy", peer.per_s, "-", True),
        "rollback_proxy_ms": (
            embedded.median_ms,
            "ms",
            nginx,
            reload.median_ms if reload else 0.0,
            "-",
            True,
        ),
        "rollback_haproxy_ms": (
            balanced.median_ms,
            "ms",
            nginx,
            reload.median_ms if reload else 0.0,
            "-",
            True,
        ),
        "rollback_wrong_answers": (
            wrong,
            "after it",
            nginx,
            reload.wrong if reload else 0.0,
            "0",
            wrong == 0,
        ),
        "move_commit_us": (commit, "us", bare, 0.0, "-", True),
    }
    return {name: row(*one, command) for name, one in figures.items()}


def tried() -> dict[str, dict[str, Any]]:
    """Count the samples of canaries, and how often chance decides wrongly."""
    command, found = "python -m benchmarks.canary", {}
    for name, (label, one, reach) in zip(canary.NAMES, canary.table(400), strict=True):
        half, most = (float(part.replace(",", "")) for part in reach[3:].split(" / "))
        found[f"canary_{name}_median"] = row(
            one.median, "samples", label, 0.0, f"<= {half:g}", one.median <= half, command
        )
        found[f"canary_{name}_p95"] = row(
            one.p95, "samples", label, 0.0, f"<= {most:g}", one.p95 <= most, command
        )
    same = canary.traffic(0.99, 0.99, 0.01, 1, runs=800, longest=1_500).rejected
    edge = canary.traffic(0.99, 0.97, 0.02, 1, runs=800, longest=1_500).promoted
    naive = canary.peeking_z(0.99, runs=800, longest=1_500)
    judge = kayenta.detected(0.99, 0.97, *canary.KAYENTA[0], runs=200)
    cost = canary.sample_us()
    by = "a z-test looked at always"
    found["canary_false_reject"] = row(same, "share", by, naive, "<= 0.05", same <= 0.05, command)
    found["canary_false_promote"] = row(
        edge, "share", "none", 0.0, "<= 0.05", edge <= 0.05, command
    )
    found["canary_found_at_1200"] = row(
        canary.found_within(1_200), "share", "Kayenta's judge", judge, "-", ok=True, command=command
    )
    found["canary_sample_us"] = row(cost, "us", "none", 0.0, "<= 20", cost <= 20, command)
    return found


def remedied() -> dict[str, dict[str, Any]]:
    """Play the seven troubles, carry steps out, and write a postmortem."""
    command = "python -m benchmarks.runbooks"
    cured, told = runbooks.cured(), runbooks.written()
    costs = {
        "approval_on_disk_ms": ("an ack", runbooks.decided()),
        "request_step_ms": ("two bare requests", runbooks.by_request()),
        "command_step_ms": ("two bare commands", runbooks.by_command()),
        "postmortem_ms": ("its page", runbooks.Cost(told[0], told[1])),
    }
    found = {
        "troubles_cured": row(
            cured.by_runbooks,
            "of 7",
            "always rolling back",
            cured.by_rollback,
            ">= 7",
            cured.by_runbooks >= cured.kinds,
            command,
        )
    }
    for name, (peer, cost) in costs.items():
        found[name] = row(cost.ours_ms, "ms", peer, cost.bare_ms, "none", ok=True, command=command)
    return found


def sized() -> dict[str, dict[str, Any]]:
    """Fill two journals through the real server; each figure beside that of the smaller one."""
    command = "python -m benchmarks.sizing"
    less, more = (sizing.measure(count) for count in sizing.SIZES)
    peer = f"{less.alerts:,} alerts"
    units = {"file_mb": "MB", "memory_mb": "MB", "restart_s": "s", "verify_s": "s", "backup_s": "s"}
    return {
        f"sizing_{name}": row(
            getattr(more, name), unit, peer, getattr(less, name), "none", ok=True, command=command
        )
        for name, unit in units.items()
    }


def idled() -> dict[str, dict[str, Any]]:
    """Send alerts beside connections that keep quiet, and without them."""
    command, peer = "python -m benchmarks.idle", "the same without them"
    beside, calm = idle.measure()
    answer, paged = beside.answer_ms, beside.page_ms
    return {
        "idle_answer_ms": row(
            answer, "ms", peer, calm.answer_ms, "<= 2000 ms", answer <= 2_000, command
        ),
        "idle_page_ms": row(paged, "ms", peer, calm.page_ms, "<= 5000 ms", paged <= 5_000, command),
    }


def looked_at() -> dict[str, dict[str, Any]]:
    """Serve open tabs, and the same without them; draw the page."""
    command, found = "python -m benchmarks.tabs", tabs.measure()
    few, many, all_new = tabs.render_ms(50), tabs.render_ms(500), tabs.render_ms(50, 50)
    quiet, busy = found.quiet, found.busy
    alone, ratio = "without tabs", busy.p50_ms / quiet.p50_ms
    return {
        "tabs_200_answer_ms": row(
            busy.p50_ms, "ms", alone, quiet.p50_ms, "<= 2 x", ratio <= 2, command
        ),
        "tabs_200_page_s": row(
            busy.page_s, "s", alone, quiet.page_s, "<= 2 s", busy.page_s <= 2, command
        ),
        "tabs_200_views_per_s": row(
            found.views_per_s, "views/s", "none", 0.0, "<= 2.1", found.views_per_s <= 2.1, command
        ),
        "page_view_50_ms": row(few, "ms", "news of all 50", all_new, "<= 5 ms", few <= 5, command),
        "page_view_500_ms": row(
            many, "ms", "50 open incidents", few, "<= 20 ms", many <= 20, command
        ),
        "page_look_ms": row(
            found.look_ms, "ms", "none", 0.0, "<= 1 ms", found.look_ms <= 1, command
        ),
    }


def aged() -> dict[str, dict[str, Any]]:
    """Live through two years with a journal that prunes itself, and be killed."""
    command, keep = f"python -m benchmarks.years {years.DAYS} {KEEP_DAYS}", KEEP_DAYS
    found, young = years.measure(years.DAYS, keep), years.measure(years.MONTH, keep)
    one, first = found.opened, young.opened
    rows = (
        ("restart_s", "s of CPU", one.start_s, first.start_s, "<= 2 s", 2.0),
        ("memory_mb", "MB", one.memory_mb, first.memory_mb, "<= 200 MB", 200.0),
        ("snapshot_mb", "MB", found.snapshot_mb, young.snapshot_mb, "<= 3 MB", 3.0),
        ("open_ms", "ms", one.open_ms, first.open_ms, "<= 5 ms", 5.0),
        ("history_ms", "ms", one.history_ms, first.history_ms, "<= 30 ms", 30.0),
        ("p99_ms", "ms", found.last_ms, found.first_ms, "<= 1.3 x", 1.3 * found.first_ms),
    )
    return {
        f"years_{name}": row(value, unit, "the first month", peer, bar, value <= most, command)
        for name, unit, value, peer, bar, most in rows
    }


def undone() -> dict[str, dict[str, Any]]:
    """Let a commit fail with a quarter's journal."""
    failed, _, again = undo.measure()
    command, peer = "python -m benchmarks.undo", "reading the journal again"
    return {
        "failed_commit_ms": row(failed, "ms of CPU", peer, again, "<= 20 ms", failed <= 20, command)
    }


def judged() -> dict[str, dict[str, Any]]:
    """Run cases, and play the gate over simulated suites."""
    command, peer = "python -m benchmarks.evals", evals.pydantic_ms()
    name = "pydantic-evals" if peer else "none (pydantic-evals is not installed)"
    local = evals.runner_ms(evals.CallableTarget(evals.answer))
    mine, bare = evals.http_ms()
    start, few, many = evals.start_s(), evals.memory_mb(1_000), evals.memory_mb(100_000)
    found = {
        "case_local_ms": row(local, "ms", name, peer or 0.0, "<= 0.1", local <= 0.1, command),
        "case_http_ms": row(
            mine, "ms", "a bare call", bare, "<= 0.5 more", mine - bare <= 0.5, command
        ),
        "eval_start_s": row(start, "s", "none", 0.0, "<= 0.4", start <= 0.4, command),
        "eval_memory_mb": row(few, "MB", "100,000 cases", many, "<= 60", few <= 60, command),
    }
    for scene, word, key, reach, ok in GATES:
        one = gate.shares(next(s for s in gate.SCENES if s.name == scene), 300)
        value = getattr(one, word)
        share = word != "extra"
        peer = "red when below the baseline" if share else "none"
        scenes = {one.name: one for one in gate.SCENES}
        beside = gate.others(scenes[scene], 300)["below baseline"] if share else 0.0
        found[f"gate_{key}"] = row(
            value,
            "share" if share else "calls",
            peer,
            beside,
            reach,
            ok(value),
            "python -m benchmarks.gate",
        )
    return found


GATES: tuple[tuple[str, str, str, str, Callable[[float], bool]], ...] = (
    ("no change", "red", "red_no_change", "<= 0.01", lambda v: v <= 0.01),
    ("no change", "extra", "extra_calls", "<= 500", lambda v: v <= 500),
    ("no change, stale history", "red", "red_stale", "<= 0.02", lambda v: v <= 0.02),
    ("one case broken", "red", "red_one_broken", ">= 0.99", lambda v: v >= 0.99),
    ("broad -3 points", "red", "red_broad", ">= 0.95", lambda v: v >= 0.95),
    ("broad -1 point", "red", "red_broad_1", ">= 0.2", lambda v: v >= 0.2),
)


def grouped(data: Path) -> dict[str, dict[str, Any]]:
    """Score grouping and causes on labelled storms, beside the trivial answers."""
    command = "python -m benchmarks.correlation DIR"
    return {
        name: row(one.value, "share", one.peer, one.peer_value, one.reach, one.ok, command)
        for name, one in correlation.figures_below(data, print).items()
    }


def lasting(data: Path | None) -> dict[str, dict[str, Any]]:
    """Group, page and explain days of outages that last, beside the best trivial answer of each."""
    return {name: row(*one, _commands(name)) for name, one in outage_rows.rows(data)}


def _commands(name: str) -> str:
    if name.startswith("outage_of_an_hour"):
        return "python -m benchmarks.timelines"
    return f"python -m benchmarks.outages{' --merged' if '_merged_' in name else ''}"


def measure(data: Path | None) -> dict[str, dict[str, Any]]:
    """Run every benchmark."""
    python = [sys.executable, "-c", "pass"]
    bare = "python -c pass"
    cold, started = beside([MIDWATCH, "drill"], python)
    results = {
        "drill_cold": row(cold, "s", bare, started, "<= 0.35 s", cold <= 0.35, "midwatch drill")
    }
    helped, started = beside([MIDWATCH, "--help"], python)
    results["help_cold"] = row(
        helped, "s", bare, started, "<= 0.12 s", helped <= 0.12, "midwatch --help"
    )
    shifts, lab = per_minute(one_shift), per_minute(lab_shift())
    results["shifts_per_minute_and_core"] = row(
        shifts,
        "shifts/min",
        "the lab's shift, in dictionaries",
        lab,
        ">= 5000",
        shifts >= 5_000,
        "python -m benchmarks",
    )
    results |= taken_in()
    results |= placed(results["intake_memory_mb"]["peer_value"])
    results |= objectives()
    results |= answered()
    results |= moved()
    results |= tried()
    results |= judged()
    results |= remedied()
    results |= sized()
    results |= idled()
    results |= looked_at()
    results |= undone()
    results |= aged()
    results |= lasting(data)
    if data is not None:
        results |= grouped(data)
    heads = journal_heads()
    results["journal_heads_over_hash_seeds"] = row(
        len(set(heads)),
        "different heads",
        "runs",
        len(heads),
        "1",
        len(set(heads)) == 1,
        "midwatch drill --seed 5 --json",
    )
    return results


def main() -> None:
    """Print each figure beside its peer, and keep them."""
    told = argparse.ArgumentParser(prog="python -m benchmarks")
    told.add_argument("data", type=Path, nargs="?", metavar="DIR", help="holds labelled storms")
    results = measure(told.parse_args().data)
    for name, found in results.items():
        print(
            f"{name:<32} {found['value']:>12} {found['unit']:<16} reach {found['reach']:<10}"
            f" {'ok' if found['ok'] else 'NOT REACHED':<12}"
            f" {found['peer']}: {found['peer_value']} (ratio {found['ratio']})"
        )
    text = json.dumps(results, indent=2) + "\n"
    page.RESULTS.write_text(text, "utf-8")
    page.write()


if __name__ == "__main__":
    main()
