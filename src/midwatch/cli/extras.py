"""Which commands need an extra, and what is said where it is not installed.

Law: `--help` lists what works here. What would work with an extra stands below, with the line that
installs it; called all the same, it says that line and ends with 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import click

# What of an extra has to be there: one package that nothing else brings along.
PROOF = {"server": ("starlette", "uvicorn", "httpx2"), "evals": ("fastjsonschema",)}


def is_missing(extra: str) -> bool:
    """Say whether an extra is not installed. Nothing of it is imported.

    >>> is_missing("")
    False
    """
    return any(find_spec(name) is None for name in PROOF.get(extra, ()))


def write_commands(
    formatter: click.HelpFormatter, commands: Mapping[str, str], extras: Mapping[str, str]
) -> None:
    """List commands with their lines, and below them those that need an extra that is not here."""
    lacking = {name: extras.get(name, "") for name in commands if is_missing(extras.get(name, ""))}
    with formatter.section("Commands"):
        formatter.write_dl(
            [(name, says) for name, says in sorted(commands.items()) if name not in lacking]
        )
    for extra in sorted(set(lacking.values())):
        with formatter.section(f"Needs pip install 'midwatch[{extra}]'"):
            names = sorted(name for name in commands if lacking.get(name) == extra)
            formatter.write_dl([(name, commands[name]) for name in names])


class GroupWithExtras(click.Group):
    """A group of which some commands need an extra, by `extras`: command -> extra."""

    extras: Mapping[str, str] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List what works here, and what would."""
        commands = {
            name: one.get_short_help_str(limit=200)
            for name in self.list_commands(ctx)
            if (one := self.get_command(ctx, name)) is not None and not one.hidden
        }
        write_commands(formatter, commands, self.extras)
