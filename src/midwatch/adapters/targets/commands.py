"""A target that is a command: the question on its standard input, the answer on its output.

Law: an argument list, never a shell, and an environment without the job's secrets. A command that
takes too long is ended with its process group. An exit code other than 0 is no answer, nor is one
of which only the end could be held.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping

from midwatch.adapters import processes
from midwatch.core.values.evals import Case, Reply
from midwatch.errors import HarnessError, InputError

MOST = 1024 * 1024  # bytes of an answer


class CommandTarget:
    """Runs one command for each question."""

    def __init__(
        self, arguments: list[str], timeout_s: float, environment: Mapping[str, str]
    ) -> None:
        self._arguments = arguments
        self._environment = environment
        self._timeout_s = timeout_s

    def ask(self, case: Case) -> Reply:
        """Run it. Raises HarnessError when it fails or hangs."""
        started = time.perf_counter()
        asked = "\n".join((*case.turns, case.question)) + "\n"
        ended = processes.run(
            self._arguments, self._timeout_s, self._environment, given=asked, kept=MOST
        )
        if ended.code:
            raise HarnessError(f"exited with code {ended.code}: {ended.last}")
        if ended.lost:
            raise HarnessError(f"wrote more than {MOST:,} bytes, {ended.lost:,} of them lost")
        return Reply(ended.said.strip(), time.perf_counter() - started)


def load(spelled: str, timeout_s: float, environment: Mapping[str, str]) -> CommandTarget:
    """Read a command line; `environment` is all that it sees. Raises InputError for none."""
    try:
        arguments = shlex.split(spelled)
    except ValueError as error:
        raise InputError(f"not a valid command: {error}", place=f"cmd:{spelled}") from None
    if not arguments:
        raise InputError("the program is missing", place="cmd:", remedy="write cmd:program args")
    return CommandTarget(arguments, timeout_s, environment)
