"""How fast the support agent answers, in process and over HTTP, and what it takes.

    python -m benchmarks.agent

Law: questions are those of the bank, in a seeded order; no answer comes from a cache. In process it
is this process's own CPU time; over HTTP a server has one core and the loader the other.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from msgspec import Struct

from midwatch.agent.agent import Agent
from midwatch.agent.index import Index
from midwatch.agent.questions import bank
from midwatch.agent.releases import BASELINE
from midwatch.agent.surroundings import Surroundings

MIDWATCH = str(Path(sys.executable).with_name("midwatch"))
ASKED = 4_000
RATE, LASTS_S = 700, 10


class Served(Struct):
    """A server under load: seconds to its first line, answers a second, p99, megabytes."""

    start_s: float
    per_s: float
    p99_ms: float
    memory_mb: float


def per_s() -> float:
    """Questions a second and core, in process."""
    agent = Agent(BASELINE, Surroundings(), lambda: 1_772_400_000.0)
    turns = [turn for one in bank() for turn in one.turns]
    asked = random.Random(6).choices(turns, k=ASKED)
    start = time.process_time()
    for question in asked:
        agent.ask(question)
    return ASKED / (time.process_time() - start)


def index_s() -> float:
    """Seconds to build the index."""
    articles = Surroundings().articles
    start = time.perf_counter()
    Index(articles, BASELINE.index).close()
    return time.perf_counter() - start


def served(rate: float = RATE) -> Served:
    """Load `midwatch agent serve`."""
    start = time.perf_counter()
    command = ["taskset", "-c", "0", MIDWATCH, "agent", "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://[^,]+", server.stdout.readline())
        if found is None:
            raise RuntimeError("the agent did not start")
        ready = time.perf_counter() - start
        loader = [
            "taskset",
            "-c",
            "1",
            MIDWATCH,
            "agent",
            "load",
            "--url",
            found[0],
            "--rate",
            str(rate),
            "--seconds",
            str(LASTS_S),
            "--json",
        ]
        done = subprocess.run(loader, check=True, capture_output=True, text=True)
        told = json.loads(done.stdout)
        memory = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
        peak_mb = int(memory[1]) / 1024 if memory else 0.0
        return Served(ready, told["per_s"], told["p99_ms"], peak_mb)
    finally:
        server.terminate()
        server.wait(10)


def main() -> None:
    """Print every figure."""
    print(f"in process:   {per_s():,.0f} questions a second and core")
    print(f"index:        {index_s():.3f} s")
    calm, full = served(), served(5_000)
    print(f"started in:   {calm.start_s:.2f} s, {calm.memory_mb:.0f} MB at the most")
    print(f"at {RATE}/s:     {calm.per_s:,.0f} answers/s, p99 {calm.p99_ms:.1f} ms")
    print(f"flat out:     {full.per_s:,.0f} answers/s, p99 {full.p99_ms:.1f} ms")
    print(f"cores:        {os.cpu_count()}")


if __name__ == "__main__":
    main()
