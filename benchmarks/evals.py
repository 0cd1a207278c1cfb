"""What running a case costs beside the case itself, and beside pydantic-evals.

    python -m benchmarks.evals

Law: the target answers at once, so that what is timed is the runner: a local function, and a small
HTTP server in a process of its own. pydantic-evals does the same over the same cases when it is
installed; it is no dependency.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.servers import free_port

from midwatch.adapters.targets.callables import CallableTarget
from midwatch.adapters.targets.http import HttpOptions, HttpTarget
from midwatch.core.values.evals import Case
from midwatch.engine.evaluating import Asked, Job, Limits, Runner
from midwatch.errors import HarnessError
from midwatch.outbound import Outbound

CASES, ROUNDS = 1_000, 5
MIDWATCH = str(Path(sys.executable).with_name("midwatch"))
SERVER = """
import sys, uvicorn
async def app(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    body = b'{"answer": "yes"}'
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", lifespan="off", access_log=False)
"""


def answer(question: str) -> str:
    """Answer at once."""
    return "yes" if question else ""


def cases(count: int) -> Iterator[Case]:
    """Make cases one by one, so that they take no memory together."""
    return (Case(f"c{n}", f"question {n}", "yes") for n in range(count))


def runner_ms(target: Asked, count: int = CASES) -> float:
    """Give the milliseconds of a case, median of rounds."""
    took: list[float] = []
    for _ in range(ROUNDS):
        runner = Runner({"t": target}, {"t": "t"}, Limits(workers=4))
        start = time.perf_counter()
        passed = sum(o.status == "passed" for _, o in runner.run(_jobs(count)))
        took.append(1e3 * (time.perf_counter() - start) / count)
        assert passed == count
    return statistics.median(took)


def _jobs(count: int) -> Iterator[Job]:
    return (Job("t", case, 0) for case in cases(count))


def http_ms() -> tuple[float, float]:
    """Give the milliseconds of a case over HTTP, and of a bare call to the same server."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)])
    url = f"http://127.0.0.1:{port}/ask"
    outbound = Outbound([url])
    try:
        ends_at = time.monotonic() + 20
        while True:
            try:
                outbound.post(url, b"{}", {})
                break
            except HarnessError:
                if time.monotonic() > ends_at:
                    raise
                time.sleep(0.05)
        mine = runner_ms(HttpTarget(url, HttpOptions(), outbound, {}))
        start = time.perf_counter()
        for _ in range(CASES):
            outbound.post(url, b'{"question": "x"}', {})
        return mine, 1e3 * (time.perf_counter() - start) / CASES
    finally:
        process.terminate()
        process.wait(10)


def pydantic_ms() -> float | None:
    """Give pydantic-evals' milliseconds of a case; None when it is not installed."""
    if importlib.util.find_spec("pydantic_evals") is None:
        return None
    from pydantic_evals import Case as Theirs  # type: ignore[import-not-found]
    from pydantic_evals import Dataset
    from pydantic_evals.evaluators import EqualsExpected  # type: ignore[import-not-found]

    made: list[Any] = [
        Theirs(name=c.id, inputs=c.question, expected_output="yes") for c in cases(CASES)
    ]
    dataset = Dataset(name="bench", cases=made, evaluators=[EqualsExpected()])

    async def task(question: str) -> str:
        return answer(question)

    took: list[float] = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        asyncio.run(dataset.evaluate(task, progress=False))
        took.append(1e3 * (time.perf_counter() - start) / CASES)
    return statistics.median(took)


def start_s() -> float:
    """Give the seconds from the command line to the end of one case, median."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bot.py").write_text("def answer(q): return 'yes'\n", "utf-8")
        line = json.dumps({"id": "a", "question": "q", "expect": "yes"})
        Path(folder, "one.jsonl").write_text(line + "\n", "utf-8")
        command = [MIDWATCH, "eval", "run", "one.jsonl", "--target", "python:bot:answer"]
        took: list[float] = []
        for _ in range(9):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=folder)
            took.append(time.perf_counter() - start)
    return statistics.median(took)


MEMORY = """
import sys
from benchmarks.evals import answer, _jobs
from midwatch.adapters.targets.callables import CallableTarget
from midwatch.engine.evaluating import Limits, Runner
runner = Runner({"t": CallableTarget(answer)}, {"t": "t"}, Limits(workers=4))
for _ in runner.run(_jobs(int(sys.argv[1]))):
    pass
print(int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024)
"""


def memory_mb(count: int) -> float:
    """Give the most memory that so many cases take, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(count)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Print each figure beside its peer."""
    local = runner_ms(CallableTarget(answer))
    theirs = pydantic_ms()
    beside = f"pydantic-evals {theirs:.3f} ms" if theirs else "pydantic-evals is not installed"
    print(f"a case on a local function: {local:.3f} ms ({beside}), reach <= 0.1")
    mine, bare = http_ms()
    print(f"a case over HTTP: {mine:.3f} ms beside a bare call's {bare:.3f}, reach <= 0.5 more")
    print(f"from the command line to the end of one case: {start_s():.2f} s, reach <= 0.4")
    few, many = memory_mb(CASES), memory_mb(100_000)
    print(f"memory: {few:.0f} MB for 1,000 cases (reach <= 60), {many:.0f} MB for 100,000")


if __name__ == "__main__":
    main()
