"""`midwatch check`: whether a config directory is right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import Struct

from midwatch import config
from midwatch.cli.output import counted, json_option, print_json, some_of
from midwatch.cli.places import DATABASE, config_option, db_option
from midwatch.config.runbooks import hasty
from midwatch.core.values.severity import severity_of
from midwatch.core.values.silences import refused
from midwatch.errors import HarnessError


class ConfigError(Struct, frozen=True):
    """Something wrong in a config: where, what, and what to do."""

    place: str
    message: str
    remedy: str


class Checked(Struct, frozen=True):
    """Whether a config is right, everything that is wrong with it, and what is dangerous."""

    ok: bool
    errors: list[ConfigError]
    warnings: list[ConfigError] = []


@click.command("check")
@click.argument("given", required=False, metavar="[FOLDER]", type=click.Path(path_type=Path))
@config_option
@db_option
@json_option(Checked)
def command(given: Path | None, folder: Path, database: Path | None, as_json: bool) -> int:
    """Check a config directory.

    The directory is FOLDER, or --config. Prints every error with file, line and what to do. A
    warning is about something valid but risky, including silences in the database. Exit 0 without
    errors, otherwise 2.
    """
    elsewhere = "choose another directory" if given else config.ELSEWHERE
    found, errors = config.check(given or folder, elsewhere)
    file = database or (given or folder) / DATABASE
    warnings = [] if errors else [*_warnings(found), *_silences(file)]
    if as_json:
        listed = [ConfigError(e.place, e.message, e.remedy) for e in errors]
        print_json(Checked(not errors, listed, warnings))
        return 2 if errors else 0
    for one in warnings:
        click.echo(f"warning: {one.place}: {one.message}; {one.remedy}", err=True)
    for error in errors:
        click.echo(f"error: {error}", err=True)
    if errors:
        click.echo(counted(len(errors), "error"), err=True)
        return 2
    rules = found.rules
    counts = {
        "service": rules.topology.services,
        "objective": rules.slos,
        "runbook": rules.books.runbooks,
        "suite": rules.suites,
        "schedule": rules.policy.team.schedules,
        "source": found.sources,
    }
    click.echo(f"ok: {', '.join(counted(len(given), noun) for noun, given in counts.items())}")
    return 0


def _warnings(found: config.Config) -> list[ConfigError]:
    """List what is right and dangerous."""
    warnings = list(_silent(found))
    if found.heartbeat is None:
        says = "no heartbeat: nobody is paged when midwatch or its host is down"
        remedy = "set a URL that pages you another way when midwatch stops calling it"
        warnings.append(ConfigError("midwatch.yaml", says, remedy))
    hurried = hasty(found.rules.books)
    return warnings + [ConfigError(one.place, one.message, one.remedy) for one in hurried]


def _silent(found: config.Config) -> Iterator[ConfigError]:
    """Name the services whose critical alerts wake nobody, and say why."""
    team, topology = found.rules.policy.team, found.rules.topology
    by_tier: dict[int, list[str]] = defaultdict(list)
    for one in topology.services.values():
        if found.rules.slo_of(one.name) is None:  # there the objective pages
            by_tier[one.tier].append(one.name)
    for tier, names in sorted(by_tier.items()):
        severity = severity_of("critical", tier, team.table)
        if team.urgency[severity] != "page":
            says = (
                f"critical alerts of {some_of(sorted(names))} page nobody: tier {tier} makes them"
                f" {severity}, which is a ticket"
            )
            remedy = "set tier 2 (the default) or 1, or add an SLO, if this is not intended"
            yield ConfigError("topology.yaml", says, remedy)


def _silences(file: Path) -> list[ConfigError]:
    """List the silences that mute nothing: an older midwatch took patterns that RE2 refuses."""
    if not file.exists():
        return []
    from midwatch.adapters.stores.sqlite import SqliteStore  # a config alone needs no database
    from midwatch.engine.handle import fold

    try:
        store = SqliteStore.read_only(file)
        try:
            silences = fold(store).silences
        finally:
            store.close()
    except HarnessError as error:
        remedy = error.remedy or f"run midwatch db verify {file}"
        return [ConfigError(str(file), f"the silences cannot be read: {error.message}", remedy)]
    remedy = "end it, and add one with a valid RE2 pattern"
    return [ConfigError(str(file), says, remedy) for says in refused(silences.values())]
