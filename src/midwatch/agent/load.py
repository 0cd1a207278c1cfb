"""A bounded generator of traffic: questions of the online sample, at a rate, in a seeded order.

Law: what is asked, and when, is a function of seed, rate and length; an answer that is late delays
no later question, up to the number of workers. Nothing is asked after the end.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from midwatch.agent.questions import Question
from midwatch.errors import InputError

WORKERS = 16
TIMEOUT_S = 30.0


class Result(Struct, frozen=True):
    """What came back: talks by outcome, the times of answers in milliseconds, the rate reached."""

    asked: int
    outcomes: dict[str, int]
    p50_ms: float
    p99_ms: float
    per_s: float


def plan(questions: Sequence[Question], rate: float, seconds: float, seed: int) -> list[Question]:
    """Draw the talks, one for each beat."""
    draw = random.Random(seed)  # noqa: S311  a seeded order, no secret
    return draw.choices(questions, k=max(1, round(rate * seconds)))


def run(
    url: str, talks: Sequence[Question], rate: float, progress: Callable[[int, int], None]
) -> Result:
    """Ask at a rate. Raises InputError when nobody answers there at all."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise InputError(
            f"{url!r} is not a valid URL", place="--url", remedy="http://127.0.0.1:8700"
        )
    host, port = parts.hostname, parts.port or 80
    outcomes: Counter[str] = Counter()
    took: list[float] = []
    lock = threading.Lock()
    numbers = iter(range(len(talks)))
    begun = time.perf_counter()

    def work() -> None:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            wait = begun + number / rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            outcome, times = _talk(connection, talks[number], f"user-{number}")
            with lock:
                outcomes[outcome] += 1
                took.extend(times)
                progress(outcomes.total(), len(talks))
        connection.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # so that Ctrl-C is heard
    if not took:
        raise InputError(
            f"no agent answers at {url}", place="--url", remedy="start it with midwatch agent serve"
        )
    took.sort()
    spent = time.perf_counter() - begun
    return Result(
        len(talks),
        dict(sorted(outcomes.items())),
        round(1_000 * took[len(took) // 2], 2),
        round(1_000 * took[min(len(took) - 1, int(len(took) * 0.99))], 2),
        round(len(took) / spent, 1),
    )


def _talk(
    connection: http.client.HTTPConnection, talk: Question, user: str
) -> tuple[str, list[float]]:
    """Have one talk; gives what became of its last turn, and the time of each answer.

    Each talk is a user's own, so that whoever shares traffic by users keeps its turns together.
    """
    headers = {"content-type": "application/json", "x-user-id": user}
    conversation, outcome = "", "no answer"
    times: list[float] = []
    for turn in talk.turns:
        body = json.dumps({"question": turn, "conversation": conversation})
        start = time.perf_counter()
        try:
            connection.request("POST", "/ask", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                return f"status {answer.status}", times
            found = json.loads(text)
            conversation, outcome = found["conversation"], found["outcome"]
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            connection.close()
            return "no answer", times
        times.append(time.perf_counter() - start)
    return outcome, times
