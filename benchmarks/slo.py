"""What objectives cost, and how often they page in vain.

Law: the counts go through the ring and the judgement that production uses. What is simulated is
drawn from seeds that no rule was chosen on, and the trivial answers stand beside.

    python -m benchmarks.slo            the table of false pages and of delays
"""

from __future__ import annotations

import math
import random
import statistics
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from msgspec import structs
from tests.servers import free_port, need, running

from midwatch.adapters.metrics.prometheus_rules import rules
from midwatch.core.values.sli import Indicator
from midwatch.core.values.sli_window import SliWindow
from midwatch.core.values.slo import DAY_S, TIERS, Slo, judge_burn

MINUTE_MS = 60_000
START = 1_760_000_000_000
WINDOWS = tuple(sorted({w for tier in TIERS for w in (tier.long_s, tier.short_s)}))
PAGES = tuple(tier for tier in TIERS if tier.urgency == "page")
PAGE_WINDOWS = tuple(sorted({w for tier in PAGES for w in (tier.long_s, tier.short_s)}))
PROVEN = Slo("shop/x", "shop", "0.999", tiers=PAGES)
PLAIN = structs.replace(PROVEN, proof="")
MONTH_MIN = 30 * 24 * 60
KNOB = 30  # requests in the long window, as people set it


def objectives(count: int) -> list[tuple[Slo, SliWindow]]:
    """Make objectives with three days of counts: calm, near their thresholds, and burning."""
    rng = random.Random(count)
    found: list[tuple[Slo, SliWindow]] = []
    for number in range(count):
        slo = Slo(f"s{number}/x", f"s{number}", rng.choice(("0.99", "0.999", "0.9995")))
        ring, bad = SliWindow(slo.period_s), rng.choice((0, 0, 0, 1, 2, 20))
        for second in range(0, 3 * DAY_S, 300):
            ring.add(START + second * 1_000, 1_000 - bad, 1_000)
        found.append((slo, ring))
    return found


def evaluate_ms(made: list[tuple[Slo, SliWindow]], rounds: int = 9) -> float:
    """Time one judgement of each, on this process's own CPU; gives the median."""
    now = START + 3 * DAY_S * 1_000
    times: list[float] = []
    for _ in range(rounds):
        start = time.process_time()
        for slo, ring in made:
            judge_burn(slo, ring.counts(WINDOWS, now))
        times.append(1_000 * (time.process_time() - start))
    return statistics.median(times)


def ring_per_s(events: int) -> float:
    """Count how many events a second go through a ring, `events` a call."""
    ring, calls = SliWindow(30 * DAY_S), 200_000
    start = time.process_time()
    for number in range(calls):
        ring.add(START + number * 50, events, events)
    return events * calls / (time.process_time() - start)


def memory_mb(count: int = 1_000) -> float:
    """Measure what so many objectives with their rings take."""
    tracemalloc.start()
    made = objectives(count)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == count
    return size / 1e6


# --- Prometheus, on the same objectives ---------------------------------------------------------


def prometheus_ms(count: int = 1_000) -> float:
    """Time one cycle of Prometheus' rules for the same objectives, in milliseconds of its CPU."""
    rng = random.Random(count)
    slos = [
        Slo(
            f"s{number}/x",
            f"s{number}",
            rng.choice(("0.99", "0.999", "0.9995")),
            proof="",
            indicator=Indicator(
                "counter",
                bad=f'sum(events_total{{s="s{number}",kind="bad"}})',
                total=f'sum(events_total{{s="s{number}",kind="all"}})',
            ),
        )
        for number in range(count)
    ]
    with tempfile.TemporaryDirectory() as folder, exporter(count) as target:
        here, port = Path(folder), free_port()
        (here / "rules.yaml").write_text(rules(slos), "utf-8")
        (here / "prometheus.yml").write_text(
            "global: {scrape_interval: 5s, evaluation_interval: 10s}\nrule_files: [rules.yaml]\n"
            f"scrape_configs: [{{job_name: x, static_configs: [{{targets: ['{target}']}}]}}]\n",
            "utf-8",
        )
        command = [
            need("prometheus"),
            f"--config.file={here / 'prometheus.yml'}",
            f"--storage.tsdb.path={here / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with running(command, f"http://127.0.0.1:{port}/-/ready", here / "log"):
            time.sleep(25)
            before = cpu_s(port)
            time.sleep(30)
            return 1_000 * (cpu_s(port) - before) / 3


class exporter:  # noqa: N801 - used as a function
    """Counters of so many objectives, for as long as the block lasts."""

    def __init__(self, count: int) -> None:
        scrapes = iter(range(1, 10**9))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                turn = next(scrapes)
                body = "".join(
                    f'events_total{{s="s{n}",kind="bad"}} {turn * (n % 3)}\n'
                    f'events_total{{s="s{n}",kind="all"}} {turn * 1_000}\n'
                    for n in range(count)
                ).encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def cpu_s(port: int) -> float:
    """Ask Prometheus for its own CPU seconds."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("process_cpu_seconds_total "):
                return float(line.split()[1])
    raise ValueError("no process_cpu_seconds_total")


# --- pages in vain ------------------------------------------------------------------------------


def traffic(per_minute: int, share: float, rng: random.Random) -> Iterator[tuple[int, int]]:
    """Give the bad and all events of each minute: arrivals by chance, each bad by `share`."""
    enough = math.exp(-per_minute)
    while True:
        total, left = 0, rng.random()
        while left > enough:
            total += 1
            left *= rng.random()
        yield sum(rng.random() < share for _ in range(total)), total


def pages_a_month(per_hour: int, months: int, seed: int) -> dict[str, float]:
    """Count pages of a service that exactly meets its objective, by each rule."""
    per_minute, rng = per_hour // 60, random.Random(seed)
    ring, minutes = SliWindow(30 * DAY_S), months * MONTH_MIN
    pages = dict.fromkeys(("plain", "knob", "proven"), 0)
    firing = dict.fromkeys(pages, False)
    events = traffic(per_minute, 0.001, rng)
    for minute in range(minutes):
        now = START + minute * MINUTE_MS
        bad, total = next(events)
        ring.add(now, total - bad, total)
        if minute < 6 * 60 or (not bad and not any(firing.values())):
            continue
        windows = ring.counts(PAGE_WINDOWS, now)
        plain = judge_burn(PLAIN, windows).burning
        now_firing = {
            "plain": plain is not None,
            "knob": plain is not None and plain.long.total >= KNOB,
            "proven": judge_burn(PROVEN, windows).burning is not None,
        }
        for name, fires in now_firing.items():
            pages[name] += fires and not firing[name]
        firing = now_firing
    return {name: count / months for name, count in pages.items()}


def delay_min(per_hour: int, share: float, slo: Slo, seeds: range) -> float:
    """Say after how many minutes an outage pages, the median over seeds."""
    delays: list[int] = []
    for seed in seeds:
        rng, per_minute = random.Random(seed), per_hour // 60
        ring, calm = SliWindow(30 * DAY_S), traffic(per_hour // 60, 0.001, random.Random(~seed))
        outage = traffic(per_minute, share, rng)
        for minute in range(24 * 60):
            begun = minute - 12 * 60
            bad, total = next(outage if begun >= 0 else calm)
            now = START + minute * MINUTE_MS
            ring.add(now, total - bad, total)
            if begun >= 0 and judge_burn(slo, ring.counts(PAGE_WINDOWS, now)).burning:
                delays.append(begun + 1)
                break
        else:
            delays.append(12 * 60)
    return statistics.median(delays)


def table(months: int = 24, seed: int = 20_261_125) -> list[dict[str, float]]:
    """Measure false pages at three loads, and delays at the lowest."""
    return [
        {"per_hour": load, **pages_a_month(load, months, seed + load)} for load in (60, 600, 6_000)
    ]


def delays(seeds: range = range(900, 941)) -> list[dict[str, float]]:
    """Measure what the proof costs in minutes, at 60 requests an hour."""
    return [
        {
            "bad": share,
            "plain": delay_min(60, share, PLAIN, seeds),
            "proven": delay_min(60, share, PROVEN, seeds),
        }
        for share in (0.1, 0.5, 1.0)
    ]


def main() -> None:
    """Print both tables."""
    print("false pages a month, a service that exactly meets 99.9 %")
    for line in table():
        print(
            f"  {line['per_hour']:>5} requests/h: plain rules {line['plain']:.1f},"
            f" at least {KNOB} requests {line['knob']:.1f}, with proof {line['proven']:.2f}"
        )
    print("minutes until an outage pages, at 60 requests/h")
    for line in delays():
        print(
            f"  {line['bad']:>4.0%} bad: plain rules {line['plain']:g},"
            f" with proof {line['proven']:g}"
        )


if __name__ == "__main__":
    sys.exit(main())
