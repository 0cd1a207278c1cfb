"""A Python function asked in a process of its own, which sees no secret of the job.

Law: what is asked of a function may be written by anybody who can open a pull request, so it runs
with a clean environment and the variables that were named, never in the process that holds the
tokens of judge and proxy. Questions go in and answers come out as JSON lines over pipes of their
own; what the function prints reaches no output of ours. The process ends with ours.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, cast

import msgspec
from msgspec import Struct

from midwatch.adapters.targets.callables import CallableTarget, load
from midwatch.core.values.evals import Case, Reply
from midwatch.errors import HarnessError, InputError, told

MOST = 256  # questions at once, as `--concurrency` allows
KEPT_LINES = 5
# Where Python finds modules; no secret.
PASSED = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONUTF8")


class _Asked(Struct):
    number: int
    case: Case


class _Said(Struct):
    number: int  # -1: of the start
    reply: Reply | None = None
    error: str = ""
    remedy: str = ""


class FunctionTarget:
    """Asks one function; `environment` is all that it sees of ours."""

    def __init__(self, spelled: str, environment: Mapping[str, str]) -> None:
        """Start the process. Raises InputError when the function cannot be loaded."""
        # -P: the folder comes in by `load`, as it did, and nothing of it shadows our modules.
        self._process = subprocess.Popen(  # noqa: S603  our own module, without a shell
            [sys.executable, "-P", "-m", "midwatch.adapters.targets.worker", spelled],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[_Said]] = {-1: Future()}
        self._printed: deque[str] = deque(maxlen=KEPT_LINES)
        started = self._waiting[-1]
        for keep in (self._hear, self._drain):
            threading.Thread(target=keep, name="target", daemon=True).start()
        said = started.result()
        if said.error:
            raise InputError(said.error, place=f"python:{spelled}", remedy=said.remedy)

    def ask(self, case: Case) -> Reply:
        """Call it. Raises HarnessError when it gives no answer."""
        number = next(self._numbers)
        waiting: Future[_Said] = Future()
        line = msgspec.json.encode(_Asked(number, case)) + b"\n"
        with self._lock:
            if self._process.poll() is not None:
                raise HarnessError(self._ended())
            self._waiting[number] = waiting
            try:
                pipe = cast("IO[bytes]", self._process.stdin)
                pipe.write(line)
                pipe.flush()
            except OSError:
                raise HarnessError(self._ended()) from None
        said = waiting.result()
        if said.reply is None:
            raise HarnessError(said.error)
        return said.reply

    def _hear(self) -> None:
        for line in cast("IO[bytes]", self._process.stdout):
            said = msgspec.json.decode(line, type=_Said)
            with self._lock:
                waiting = self._waiting.pop(said.number, None)
            if waiting is not None:
                waiting.set_result(said)
        self._process.wait()
        with self._lock:
            left, self._waiting = self._waiting, {}
        for waiting in left.values():
            waiting.set_result(_Said(0, error=self._ended()))

    def _drain(self) -> None:
        for line in cast("IO[bytes]", self._process.stderr):
            self._printed.append(line.decode("utf-8", "replace").strip())

    def _ended(self) -> str:
        last = "; ".join(one for one in self._printed if one)
        says = f"the worker process exited with code {self._process.returncode}"
        return f"{says}: {last}" if last else says


def main() -> None:
    """Load the function and answer line by line, until nobody asks any more."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the function prints is no answer
    lock = threading.Lock()

    def say(said: _Said) -> None:
        try:
            line = msgspec.json.encode(said)
        except (UnicodeEncodeError, msgspec.MsgspecError) as error:
            line = msgspec.json.encode(_Said(said.number, error=f"cannot be written: {error!a}"))
        with lock, contextlib.suppress(OSError):
            out.write(line + b"\n")
            out.flush()

    try:
        target = load(sys.argv[1])
    except InputError as error:
        say(_Said(-1, error=error.message, remedy=error.remedy))
        os._exit(2)
    say(_Said(-1))
    pool = ThreadPoolExecutor(MOST)

    def answer(asked: _Asked) -> None:
        say(_answered(target, asked))

    for line in sys.stdin.buffer:
        pool.submit(answer, msgspec.json.decode(line, type=_Asked))
    os._exit(0)  # what still runs has nobody to answer


def _answered(target: CallableTarget, asked: _Asked) -> _Said:
    try:
        return _Said(asked.number, target.ask(asked.case))
    except Exception as error:  # whatever it raises, it gave no answer
        return _Said(asked.number, error=told(error))


if __name__ == "__main__":
    main()
