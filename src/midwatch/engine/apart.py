"""Checks with somebody's own pattern, tried in a process of their own.

Law: a pattern may take for ever, and Python can neither end it nor go on beside it. So it is tried
where the kernel ends it after TRY_S seconds of work; such a check is an error that says so, never a
verdict, and no other case waits longer than that.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from typing import IO, cast

import msgspec
from msgspec import Struct

from midwatch.core.values.evals import Case, Check, Reply
from midwatch.core.values.scorers import SCORERS, Nonsense

TRY_S = 2.0  # of the processor's time, so that a busy machine makes no error


class _Asked(Struct):
    check: Check
    reply: Reply


class _Said(Struct):
    good: bool
    says: str
    nonsense: bool = False


class Apart:
    """One process that tries patterns, begun when the first one comes.

    >>> with contextlib.closing(Apart()) as apart:
    ...     apart(Check("regex", "^y"), Case("a", "is it"), Reply("yes"))
    (True, "to match '^y'")
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, check: Check, case: Case, reply: Reply) -> tuple[bool, str]:
        """Judge a check. Raises Nonsense when it cannot be applied, or takes too long."""
        with self._lock:
            said = self._ask(_Asked(check, reply))
        if said.nonsense:
            raise Nonsense(said.says)
        return said.good, said.says

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._gone()

    def _gone(self) -> int:
        """Let go of a process that has ended; gives its exit code, below 0 for a signal."""
        process, self._process = self._process, None
        if process is None:
            return 0
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        return code

    def _ask(self, asked: _Asked) -> _Said:
        """Ask the process; when it ends meanwhile, the next one is begun anew."""
        process = self._process
        if process is None:
            # Of a session of its own: a Ctrl-C is for midwatch, which ends it. -P: what lies in the
            # folder where somebody stands is no module of ours.
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "midwatch.engine.apart"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        tell, hear = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        line = b""
        with contextlib.suppress(BrokenPipeError):
            tell.write(msgspec.json.encode(asked) + b"\n")
            tell.flush()
            line = hear.readline()
        if not line.endswith(b"\n"):
            code = self._gone()
            says = f"the process that tests patterns exited with code {code}"
            if code == -signal.SIGVTALRM:
                says = f"the pattern ran longer than {TRY_S:g} s: write a simpler one"
            return _Said(good=False, says=says, nonsense=True)
        return msgspec.json.decode(line, type=_Said)


def _tried(asked: _Asked) -> _Said:
    try:
        return _Said(*SCORERS[asked.check.kind](asked.check, asked.reply))
    except Nonsense as error:
        return _Said(good=False, says=str(error), nonsense=True)
    except Exception as error:  # a scorer that breaks says nothing about the answer
        return _Said(good=False, says=f"{type(error).__name__}: {error}", nonsense=True)


def main() -> None:
    """Answer line by line, each under the kernel's own timer, which needs nobody to run Python."""
    for line in sys.stdin.buffer:
        asked = msgspec.json.decode(line, type=_Asked)
        signal.setitimer(signal.ITIMER_VIRTUAL, TRY_S)
        said = _tried(asked)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
