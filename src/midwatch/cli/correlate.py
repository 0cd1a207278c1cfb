"""`midwatch correlate`: alerts from a file into incidents, through the production code."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from msgspec import Struct, structs

from midwatch.adapters.sources import changes as change_files
from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.cli.output import json_lines
from midwatch.cli.places import own_config_option, read_file
from midwatch.cli.progress import shown_progress
from midwatch.config import load
from midwatch.config.topology import read_edges
from midwatch.core.alerts import NAMING, Alert
from midwatch.core.changes import Change
from midwatch.core.clock import show_time
from midwatch.core.incidents import Incident
from midwatch.core.reasons import Reason
from midwatch.core.rules import Rules
from midwatch.core.topology import Topology
from midwatch.engine.placing import Placed, Storm, place_all
from midwatch.errors import InputError

STDIN = "<stdin>"
_FILE = click.Path(path_type=Path)


class Correlated(Struct, frozen=True):
    """Where one alert belongs; no incident when it resolved and was never seen firing."""

    incident: str
    causes: list[str]
    why: Reason


@click.command("correlate")
@click.option("--summary", is_flag=True, help="Print the storm as a person wants to read it.")
@click.option("--topology", type=_FILE, help='Who calls whom: {"edges": [[caller, callee], ...]}.')
@click.option(
    "--changes",
    type=_FILE,
    help='What was changed, one a line: {"at": TIME, "service": NAME, "kind": "deploy", "id": ID}.',
)
@own_config_option
@json_lines(Correlated)
def command(summary: bool, topology: Path | None, changes: Path | None, folder: Path | None) -> int:
    """Read alerts from standard input and say which incident each belongs to.

    Understood are Alertmanager's webhook, its /api/v2/alerts answer, a JSON array of such alerts,
    one alert a line, and several of these one behind the other. Prints one JSON line for each
    alert, in the order of the input: {"incident": ID, "causes": [service, ...], "why": {...}}.
    Without a call graph, alerts are grouped by service, time and text, and each reason says so.

    Example: midwatch correlate --topology calls.json --summary < alerts.jsonl
    """
    if sys.stdin.isatty():
        raise InputError("no alerts came in", remedy="midwatch correlate < alerts.jsonl")
    rules, naming = Rules(), NAMING
    if folder is not None:
        config = load(folder)
        rules, naming = config.rules, config.naming
    if topology is not None:
        calls = [*rules.topology.edges, *read_edges(topology)]
        graph = Topology(rules.topology.services.values(), calls)
        rules = structs.replace(rules, topology=graph)
    alerts = AlertmanagerSource(naming).parse_file(sys.stdin.buffer.read(), STDIN)
    with shown_progress("alerts") as progress:
        storm = place_all(alerts, _changes(changes), rules, progress)
    for line in _summary(alerts, storm) if summary else _lines(storm):
        click.echo(line)
    return 0


def _changes(file: Path | None) -> list[Change]:
    if file is None:
        return []
    return change_files.parse_file(read_file(file, "name a file of changes"), str(file))


def _lines(storm: Storm) -> Iterable[str]:
    named = {name: [one.service for one in found] for name, found in storm.causes.items()}
    for one in storm.placed:
        row = Correlated(one.incident, named.get(one.incident, []), one.why)
        yield msgspec.json.encode(row).decode()


def _summary(alerts: list[Alert], storm: Storm) -> Iterable[str]:
    members: dict[str, list[tuple[Alert, Placed]]] = {}
    for alert, one in zip(alerts, storm.placed, strict=True):
        members.setdefault(one.incident, []).append((alert, one))
    incidents = [i for i in storm.shard.incidents.values() if members.get(i.id)]
    yield f"{len(alerts)} alerts -> {len(incidents)} incidents"
    for incident in incidents:
        yield from _told(incident, members[incident.id], storm)
    lost = len(members.get("", ()))
    if lost:
        yield f"  {lost} resolved alerts were never seen firing"


def _told(incident: Incident, mine: list[tuple[Alert, Placed]], storm: Storm) -> Iterable[str]:
    likely = storm.causes[incident.id]
    cause = likely[0].service if likely else "unknown"
    why = max((one.why for _, one in mine), key=lambda why: len(why.terms))
    names = dict.fromkeys(alert.name for alert, _ in mine)
    yield (
        f"  {incident.id}: {len(mine)} alerts on {', '.join(incident.services) or '?'};"
        f" cause {cause}; {show_time(incident.first_at)} to {show_time(incident.last_at)}"
    )
    if likely:
        yield f"    because {likely[0].why}"
    yield f"    {', '.join(names)}; {why.says}"
    muted = sum(1 for _, one in mine if one.muted)
    if muted:
        yield f"    {muted} muted: {next(one.muted for _, one in mine if one.muted)}"
