"""Traffic moved by a team's own command, and looked at by another one.

Law: an argument list, never a shell; a value replaces its place in an argument and cannot become
another argument. What the observing command prints is what is served, whatever the other one said.
A command that takes too long is ended with its process group.

    apply:   [deployctl, serve, "{service}", "{release}", "--epoch", "{epoch}",
              "--canary={candidate}:{weight}"]
    observe: [deployctl, served, "{service}"]        prints {"release": "v1", "epoch": 7}
    check:   [deployctl, health, "{service}", "{release}"]      ends with 0 when it is healthy

The applying command must refuse an epoch that is older than the one it serves. One that does not
say {weight} cannot share traffic: with it there are no canaries. While a candidate has a part,
`observe` prints "candidate" and "weight" as well; `check` may print {"digest": "sha256:..."}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from midwatch.adapters import processes
from midwatch.adapters.routers.options import CommandOptions
from midwatch.core.values.traffic import Traffic
from midwatch.errors import HarnessError
from midwatch.ports import Health


class _Digest(Struct):
    digest: str = ""


class CommandRouter:
    """Moves traffic by running commands."""

    def __init__(self, options: CommandOptions, environment: Mapping[str, str]) -> None:
        self._options = options
        self._environment = processes.clean(environment)

    def apply(self, service: str, traffic: Traffic, operation: str) -> None:
        """Serve a release. Raises HarnessError when the command fails, hangs or cannot share."""
        if traffic.candidate and not any("{weight}" in one for one in self._options.apply):
            remedy = "put {candidate} and {weight} into the command"
            raise HarnessError(
                "the apply command has no {weight}, so it cannot split traffic", remedy=remedy
            )
        values = {
            "service": service,
            "release": traffic.release,
            "epoch": str(traffic.epoch),
            "operation": operation,
            "candidate": traffic.candidate,
            "weight": str(traffic.weight),
        }
        self._run(filled(self._options.apply, values))

    def check(self, service: str, release: str) -> Health:
        """Run the checking command, if there is one: what it says when it fails is the trouble."""
        if not self._options.check:
            return Health()
        values = {"service": service, "release": release}
        try:
            said = self._run(filled(self._options.check, values))
        except HarnessError as error:
            return Health(error.message)
        lines = said.strip().splitlines()
        try:
            return Health("", msgspec.json.decode(lines[-1] if lines else "", type=_Digest).digest)
        except msgspec.MsgspecError:
            return Health()  # it ended with 0, which is all that it has to say

    def observe(self, service: str) -> Traffic:
        """Look at what is served. Raises HarnessError when that cannot be told."""
        said = self._run(filled(self._options.observe, {"service": service}))
        lines = said.strip().splitlines()
        try:
            return msgspec.json.decode(lines[-1] if lines else "", type=Traffic)
        except msgspec.MsgspecError as error:
            remedy = 'it must print {"release": "v1", "epoch": 7} on its last line'
            raise HarnessError(
                f"the observe command printed no valid result: {error}", remedy=remedy
            ) from None

    def _run(self, arguments: Sequence[str]) -> str:
        ended = processes.run(arguments, self._options.timeout_s, self._environment)
        if ended.code:
            raise HarnessError(f"{arguments[0]} exited with code {ended.code}: {ended.last}")
        return ended.said


def filled(arguments: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Put values into their places.

    >>> filled(["serve", "{release}", "--of={service}"], {"release": "v 1; rm", "service": "shop"})
    ['serve', 'v 1; rm', '--of=shop']
    """
    found: list[str] = []
    for argument in arguments:
        for name, value in values.items():
            argument = argument.replace("{" + name + "}", value)  # noqa: PLW2901
        found.append(argument)
    return found
