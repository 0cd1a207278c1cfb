"""A runbook's command: run with an argument list, a clean environment and no shell.

Law: to do, it ends with 0. To see whether it is done, 0 says yes, 1 says no, and anything else that
nobody can tell. It knows its operation by $MIDWATCH_OPERATION, so that it can be done once. What it
writes is never part of what is said about it: it may hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.adapters import processes
from midwatch.core.values.actions import Command
from midwatch.errors import Declined, HarnessError
from midwatch.ports import Observed, StepSaid


class CommandActions:
    """Runs commands."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = processes.clean(environment)

    def apply(self, deed: Command, operation: str, timeout_s: float) -> StepSaid:
        """Do it. Raises HarnessError, Declined when it ended with another code than 0."""
        ended = self._run(deed, operation, timeout_s)
        says = _says(deed, ended)
        if ended.code:
            # Who was ended by a signal has answered nothing.
            error = Declined(says) if ended.code > 0 else HarnessError(says)
            error.output = ended.output
            raise error
        return StepSaid(says, ended.output)

    def observe(self, deed: Command, operation: str, timeout_s: float) -> Observed:
        """Say whether it is done. Raises HarnessError when nobody can tell."""
        ended = self._run(deed, operation, timeout_s)
        if ended.code not in (0, 1):
            error = HarnessError(_says(deed, ended))
            error.output = ended.output
            raise error
        return Observed(ended.code == 0, _says(deed, ended), ended.output)

    def _run(self, deed: Command, operation: str, timeout_s: float) -> processes.Ended:
        environment = {**self._environment, "MIDWATCH_OPERATION": operation}
        return processes.run(deed.arguments, timeout_s, environment, tells=True)


def _says(deed: Command, ended: processes.Ended) -> str:
    """Say how it ended, what it left running, and how much it wrote that nobody kept."""
    how = (
        f"exited with code {ended.code}"
        if ended.code >= 0
        else f"was killed by signal {-ended.code}"
    )
    lost = f"; {ended.lost:,} bytes of its output were dropped" if ended.lost else ""
    return f"{deed.arguments[0]} {how}" + (f"; {ended.left}" if ended.left else "") + lost
