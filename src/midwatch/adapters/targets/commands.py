"""A target that is a command: the question on its standard input, the answer on its output.

Law: an argument list, never a shell. A command that takes too long is ended with all that it
started. An exit code other than 0 is no answer.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time

from midwatch.core.evals import Case, Reply
from midwatch.errors import HarnessError, InputError

SHOWN = 300


class CommandTarget:
    """Runs one command for each question."""

    def __init__(self, arguments: list[str], timeout_s: float) -> None:
        self._arguments = arguments
        self._timeout_s = timeout_s

    def ask(self, case: Case) -> Reply:
        """Run it. Raises HarnessError when it fails or hangs."""
        started = time.perf_counter()
        try:
            process = subprocess.Popen(  # noqa: S603  a list, without a shell
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise HarnessError(f"{self._arguments[0]}: {error.strerror or error}") from None
        asked = "\n".join((*case.turns, case.question)) + "\n"
        try:
            said, complained = process.communicate(asked, timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise HarnessError(f"took more than {self._timeout_s:g} s") from None
        if process.returncode:
            last = (complained or said).strip()[-SHOWN:]
            raise HarnessError(f"ended with {process.returncode}: {last}")
        return Reply(said.strip(), time.perf_counter() - started)


def load(spelled: str, timeout_s: float) -> CommandTarget:
    """Read a command line. Raises InputError when there is none."""
    try:
        arguments = shlex.split(spelled)
    except ValueError as error:
        raise InputError(f"is no command: {error}", place=f"cmd:{spelled}") from None
    if not arguments:
        raise InputError("names no program", place="cmd:", remedy="write cmd:program args")
    return CommandTarget(arguments, timeout_s)
