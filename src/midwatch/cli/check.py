"""`midwatch check`: whether a config directory is right."""

from __future__ import annotations

from pathlib import Path

import click
from msgspec import Struct

from midwatch import config
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import config_option


class ConfigError(Struct, frozen=True):
    """Something wrong in a config: where, what, and what to do."""

    place: str
    message: str
    remedy: str


class Checked(Struct, frozen=True):
    """Whether a config is right, and everything that is wrong with it."""

    ok: bool
    errors: list[ConfigError]


@click.command("check")
@click.argument("given", required=False, metavar="[FOLDER]", type=click.Path(path_type=Path))
@config_option
@json_option(Checked)
def command(given: Path | None, folder: Path, as_json: bool) -> int:
    """Check a config directory.

    It is FOLDER, else --config. Every error in one go, each with file, line and remedy. Exit 0 when
    there is none, else 2.
    """
    elsewhere = "name another directory" if given else config.ELSEWHERE
    found, errors = config.check(given or folder, elsewhere)
    if as_json:
        listed = [ConfigError(e.place, e.message, e.remedy) for e in errors]
        print_json(Checked(not errors, listed))
        return 2 if errors else 0
    for error in errors:
        click.echo(f"error: {error}", err=True)
    if errors:
        click.echo(counted(len(errors), "error"), err=True)
        return 2
    rules = found.rules
    counts = {
        "service": rules.topology.services, "objective": rules.slos,
        "runbook": rules.books.runbooks, "suite": rules.suites,
        "schedule": rules.policy.team.schedules, "source": found.sources,
    }  # fmt: skip
    click.echo(f"ok: {', '.join(counted(len(given), noun) for noun, given in counts.items())}")
    return 0
