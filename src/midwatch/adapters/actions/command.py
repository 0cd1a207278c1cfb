"""A runbook's command: run with an argument list, a clean environment and no shell.

Law: to do, it ends with 0. To see whether it is done, 0 says yes, 1 says no, and anything else that
nobody can tell. It knows its operation by $MIDWATCH_OPERATION, so that it can be done once.
"""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.adapters import processes
from midwatch.core.actions import Command
from midwatch.errors import HarnessError
from midwatch.ports import Observed


class CommandActions:
    """Runs commands."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = processes.clean(environment)

    def apply(self, deed: Command, operation: str, timeout_s: float) -> str:
        """Do it; gives what it said last. Raises HarnessError."""
        ended = self._run(deed, operation, timeout_s)
        if ended.code:
            raise HarnessError(f"{deed.arguments[0]} ended with {ended.code}: {ended.last}")
        return ended.said.strip()[-processes.MAX_SHOWN :] or f"{deed.arguments[0]} ended with 0"

    def observe(self, deed: Command, operation: str, timeout_s: float) -> Observed:
        """Say whether it is done. Raises HarnessError when nobody can tell."""
        ended = self._run(deed, operation, timeout_s)
        if ended.code not in (0, 1):
            raise HarnessError(f"{deed.arguments[0]} ended with {ended.code}: {ended.last}")
        says = ended.last or f"{deed.arguments[0]} ended with {ended.code}"
        return Observed(ended.code == 0, says)

    def _run(self, deed: Command, operation: str, timeout_s: float) -> processes.Ended:
        environment = {**self._environment, "MIDWATCH_OPERATION": operation}
        return processes.run(deed.arguments, timeout_s, environment)
