"""Programs that are run for somebody: a router's, a target's, a runbook's.

Law: an argument list, never a shell; nothing on the standard input that was not handed in. One that
takes too long is ended with all that it started.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from msgspec import Struct

from midwatch.errors import HarnessError

MAX_SHOWN = 300
PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")  # of the environment


class Ended(Struct, frozen=True):
    """How a program ended: its exit code, and what it wrote."""

    code: int
    said: str
    complained: str

    @property
    def last(self) -> str:
        """The end of what it wrote, its complaints before all."""
        return (self.complained or self.said).strip()[-MAX_SHOWN:]


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Keep of an environment what every program needs, and no secret."""
    return {name: environment[name] for name in PASSED if name in environment}


def run(
    arguments: Sequence[str],
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
) -> Ended:
    """Run a program to its end. Raises HarnessError when it cannot be run, or hangs.

    Args:
        arguments: the program and its arguments.
        timeout_s: seconds until it is ended with all that it started.
        environment: what it sees; None for all of ours.
        given: its standard input; None for nothing.

    >>> run(["/bin/echo", "a b; rm -rf /"], 10).said.strip()
    'a b; rm -rf /'

    """
    try:
        process = subprocess.Popen(  # noqa: S603  a list from the config, without a shell
            arguments,
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        says = getattr(error, "strerror", None) or error
        raise HarnessError(f"{arguments[0]}: {says}") from None
    try:
        said, complained = process.communicate(given, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise HarnessError(f"{arguments[0]} took more than {timeout_s:g} s") from None
    return Ended(process.returncode, said, complained)
