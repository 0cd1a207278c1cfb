"""`midwatch correlate`: alerts from a file into incidents, through the production code."""

from __future__ import annotations

import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec
from msgspec import Struct, structs

from midwatch.adapters.sources import changes as change_files
from midwatch.adapters.sources.alertmanager import AlertmanagerSource
from midwatch.cli.joblog import in_json
from midwatch.cli.output import counted, json_lines, some_of
from midwatch.cli.places import own_config_option, read_file
from midwatch.cli.progress import shown_progress
from midwatch.config import USUAL, load
from midwatch.config.topology import read_edges
from midwatch.core.rules.rules import Rules
from midwatch.core.state.incidents import Incident
from midwatch.core.values.alerts import NAMING, Alert
from midwatch.core.values.changes import Change
from midwatch.core.values.clock import show_span
from midwatch.core.values.reasons import Reason
from midwatch.core.values.topology import Topology
from midwatch.engine.placing import Placed, Storm, place_all
from midwatch.errors import InputError

STDIN = "<stdin>"
NO_SERVICE = "no service"
DAY_MS, SHOWN_DAYS = 86_400_000, 2
HINTS = 5  # labels that may name a service
_FILE = click.Path(path_type=Path)


class Correlated(Struct, frozen=True):
    """Where one alert belongs; no incident when it resolved and was never seen firing.

    `pages` when it makes a phone ring: its incident begins to page, or has news beyond that.
    """

    incident: str
    causes: list[str]
    why: Reason
    pages: bool = False


@click.command("correlate", context_settings={"allow_extra_args": True})
@click.option("--summary", is_flag=True, help="Print a human-readable summary.")
@click.option(
    "--topology", type=_FILE, help='Dependency graph: {"edges": [[caller, callee], ...]}.'
)
@click.option(
    "--changes",
    type=_FILE,
    help='Changes, one per line: {"at": TIME, "service": NAME, "kind": "deploy", "id": ID}.',
)
@own_config_option
@json_lines(Correlated)
@click.pass_context
def command(
    context: click.Context,
    summary: bool,
    topology: Path | None,
    changes: Path | None,
    folder: Path | None,
) -> int:
    """Read alerts from standard input and print the incident of each.

    Accepts Alertmanager's webhook, its /api/v2/alerts response, a JSON array of such alerts, one
    alert per line, and any sequence of these. Prints one JSON line for each
    alert, in the order of the input: {"incident": ID, "causes": [service, ...], "why": {...}}.
    Without a dependency graph, alerts are grouped by service, time and text; the reasons say so.

    Example: midwatch correlate --topology calls.json --summary < alerts.jsonl
    """
    if context.args:
        file = context.args[0]
        remedy = f"run midwatch correlate < {shlex.quote(file)}"
        raise InputError("correlate reads alerts from standard input", place=file, remedy=remedy)
    if sys.stdin.isatty():
        raise InputError(
            "no alerts on standard input", remedy="run midwatch correlate < alerts.jsonl"
        )
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
    lines = [*_summary(alerts, storm), *_advice(alerts, folder)] if summary else _lines(storm)
    for line in lines:
        click.echo(line)
    return 0


def _changes(file: Path | None) -> list[Change]:
    if file is None:
        return []
    return change_files.parse_file(read_file(file, "give a file of changes"), str(file))


def _lines(storm: Storm) -> Iterable[str]:
    for one, pages in zip(storm.placed, storm.pages, strict=True):
        row = Correlated(one.incident, list(one.causes), one.why, pages)
        yield in_json(msgspec.json.encode(row))


def _summary(alerts: list[Alert], storm: Storm) -> Iterable[str]:
    members: dict[str, list[tuple[Alert, Placed]]] = {}
    for alert, one in zip(alerts, storm.placed, strict=True):
        members.setdefault(one.incident, []).append((alert, one))
    incidents = [i for i in storm.incidents.values() if members.get(i.id)]
    rang = sum(storm.pages) + sum(storm.later.values())
    found = f"{_many(len(incidents), 'incident')}, {_many(rang, 'page')}"
    yield f"{_many(_distinct(alerts), 'alert')}{_within(alerts)} -> {found}"
    pages = Counter(
        one.incident for one, rang in zip(storm.placed, storm.pages, strict=True) if rang
    )
    pages.update(storm.later)
    for incident in incidents:
        yield from _told(incident, members[incident.id], storm, pages[incident.id])
    lost = _distinct(alert for alert, _ in members.get("", ()))
    if lost:
        was = "was" if lost == 1 else "were"
        yield f"  {counted(lost, 'resolved alert')} {was} never seen firing"


def _distinct(alerts: Iterable[Alert]) -> int:
    """Count firings: repeats and the end of one are news of it, and no others."""
    return len({(one.fingerprint, one.starts_at) for one in alerts})


def _within(alerts: list[Alert]) -> str:
    """Say in what time they came, or in how many reports when that is short."""
    times = [one.starts_at for one in alerts]
    days = (max(times) - min(times)) / DAY_MS if times else 0
    if days >= SHOWN_DAYS:
        return f" in {days:.0f} days"
    return f" in {_many(len(alerts), 'report')}" if _distinct(alerts) != len(alerts) else ""


def _advice(alerts: list[Alert], folder: Path | None) -> Iterable[str]:
    """Say what a config would change: which labels may name services, and that one lies here."""
    every = {one.fingerprint: one for one in alerts}
    nameless = [one.labels for one in every.values() if not one.service]
    if nameless:
        names = "names" if len(nameless) == 1 else "name"
        found = _hints(nameless)
        shared = f"most have the labels {', '.join(found)}: " if found else ""
        which = "list those that name one" if found else "list the labels that name one"
        where = "in midwatch.yaml, and give its folder with --config"
        yield (
            f"{len(nameless)} of {counted(len(every), 'alert')} {names} no service; {shared}{which}"
            f" under service_labels {f'in {folder}/midwatch.yaml' if folder else where}"
        )
    if folder is None and (USUAL / "midwatch.yaml").is_file():
        yield f"{USUAL}/midwatch.yaml was not read, because --config {USUAL} was not given"


def _hints(nameless: list[dict[str, str]]) -> list[str]:
    """Name the labels that most of these alerts have, and that have few values."""
    values: dict[str, list[str]] = defaultdict(list)
    for labels in nameless:
        for name, value in labels.items():
            if name not in ("alertname", "severity"):
                values[name].append(value)
    # What is another one on each alert names an instance, not a service.
    few = [
        name
        for name, found in values.items()
        if 2 * len(found) > len(nameless) and (len(found) < 3 or 2 * len(set(found)) <= len(found))
    ]
    return sorted(few, key=lambda name: (-len(values[name]), name))[:HINTS]


def _told(
    incident: Incident, mine: list[tuple[Alert, Placed]], storm: Storm, pages: int
) -> Iterable[str]:
    likely = storm.causes[incident.id]
    cause = (likely[0].service if likely else "") or "unknown"
    why = max((one.why for _, one in mine), key=lambda why: len(why.terms))
    names = dict.fromkeys(alert.name or "no name" for alert, _ in mine)
    services = [one for one in incident.services if one]
    if "" in incident.services or not services:
        services.append(NO_SERVICE)
    alerts = counted(_distinct(alert for alert, _ in mine), "alert")
    yield (
        f"  {incident.id}: {alerts} on {some_of(services)}; cause {cause};"
        f" {show_span(incident.first_at, incident.last_at)}; {_rang(pages)}"
    )
    if cause != "unknown":
        yield f"    {cause}: {likely[0].why}"
    yield f"    {some_of(list(names))}; {why.says}"
    muted = [(alert, one.muted) for alert, one in mine if one.muted]
    if muted:
        yield f"    {_distinct(alert for alert, _ in muted)} muted: {muted[0][1]}"


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _rang(pages: int) -> str:
    return counted(pages, "page") if pages else "pages nobody"
