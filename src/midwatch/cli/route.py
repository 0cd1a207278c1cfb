"""`midwatch route`: where an alert would go, through the production code."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import measured
from midwatch.cli.output import json_option, print_json
from midwatch.cli.places import config_option, database_of, db_option, read_file
from midwatch.config import load
from midwatch.core.state.shard import Shard
from midwatch.engine.clock import wall_ms
from midwatch.engine.handle import Handler
from midwatch.engine.placement import Routed, route


@click.group("route")
def command() -> None:
    """Show where an alert would go. Nothing is written and nobody is paged."""


@command.command("test")
@click.argument("file", type=click.Path(path_type=Path))
@json_option(list[Routed])
@config_option
@db_option
def test_command(file: Path, as_json: bool, folder: Path, database: Path | None) -> int:
    """Show where the alerts of a file would go, and whom they would page.

    FILE holds alerts as Alertmanager sends them. They are evaluated with the config and, if
    there is an event log, the open incidents: the first as if it arrived now, the others later by
    the difference of their times. So you see which of them would page someone again.
    """
    config = load(folder)
    rules = measured(config.rules)
    body = read_file(file, "give a file of alerts")
    alerts = AlertmanagerSource(config.naming).parse_file(body, str(file))
    journal = database_of(folder, database)
    shard = Shard()
    if journal.exists():
        store = SqliteStore.read_only(journal)
        try:
            shard = Handler(store, rules, wall_ms).shard
        finally:
            store.close()
    found = route(shard, rules, alerts, wall_ms())
    if as_json:
        print_json(found)
        return 0
    for one in found:
        for line in _told(one):
            click.echo(line)
    return 0


def _told(one: Routed) -> Iterable[str]:
    yield one.alert
    if one.why is None:
        yield f"  {one.says}" + (f" in {one.incident}" if one.incident else "")
        yield from (f"  pages {page} (policy {one.policy})" for page in one.pages)
        return
    yield f"  {'opens' if one.is_new else 'joins'} {one.incident}: {one.why.says}"
    if one.muted:
        yield f"  pages nobody: {one.muted}"
        return
    yield f"  {one.severity or 'unrated'}: {one.says or 'as it was'}"
    if one.pages:
        yield from (f"  pages {page} (policy {one.policy})" for page in one.pages)
    elif one.covered:
        yield f"  pages nobody: {one.covered}"
    else:
        yield f"  pages nobody (policy {one.policy})"
