"""Each step by its own way: requests through the outgoing client, commands as processes.

Law: what takes a while until it is seen is looked at again and again, also while nobody answers who
looks, and done only once.
"""

from __future__ import annotations

import time

from midwatch.adapters import processes
from midwatch.adapters.actions.command import CommandActions
from midwatch.adapters.actions.http import HttpActions
from midwatch.core.state.effects import RunAction
from midwatch.core.values.actions import Command, Deed
from midwatch.errors import HarnessError
from midwatch.ports import Observed, StepSaid

POLL_S = 1.0


class Actions:
    """Does and observes steps."""

    def __init__(self, requests: HttpActions, commands: CommandActions) -> None:
        self._requests = requests
        self._commands = commands

    def apply(self, action: RunAction) -> StepSaid:
        """Do it; gives what it said. Raises HarnessError."""
        deed = action.apply
        if isinstance(deed, Command):
            return self._commands.apply(deed, action.key, action.timeout_s)
        return self._requests.apply(deed, action.key, action.timeout_s)

    def observe(self, action: RunAction) -> Observed:
        """Say whether it is done, within its time. Raises HarnessError when nobody can tell."""
        if action.observe is None:
            raise HarnessError(f"no way to observe {action.action} is configured")
        ends_at = time.monotonic() + action.within_s
        while True:
            is_last = time.monotonic() + POLL_S > ends_at
            try:
                seen = self._look(action.observe, action)
            except HarnessError:  # what is being restarted does not answer for a while
                if is_last:
                    raise
            else:
                if seen.done or is_last:
                    return seen
            processes.pause(POLL_S)

    def _look(self, deed: Deed, action: RunAction) -> Observed:
        if isinstance(deed, Command):
            return self._commands.observe(deed, action.key, action.timeout_s)
        return self._requests.observe(deed, action.key, action.timeout_s)
