"""`midwatch slo`: how objectives stand, what they would have done, and the same for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
from msgspec import Struct, structs

from midwatch.adapters.metrics.file import samples
from midwatch.adapters.metrics.prometheus_rules import rules
from midwatch.adapters.specs.reader import Specs, read_specs
from midwatch.bootstrap import build_prometheus
from midwatch.cli.client import incidents_at, server_options
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import read_file, read_time
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.keys import Key
from midwatch.core.values.slo import Slo
from midwatch.engine.clock import wall_ms
from midwatch.engine.explain import (
    BudgetView,
    Explained,
    ObjectiveView,
    StandingView,
    TierView,
    WindowView,
    explain,
    replay,
    view,
    windows_of,
)
from midwatch.errors import InputError
from midwatch.yaml_nodes import Problems

_SPEC = click.argument("spec", type=click.Path(path_type=Path))
S = TypeVar("S")
_SLO = click.option("--slo", "name", metavar="NAME", help="SLO to use, if there are several.")


class Budget(Struct, frozen=True):
    """What is left of one objective's error budget."""

    slo: str
    budget: BudgetView


@click.group("slo")
def command() -> None:
    """Show SLO status, and why SLOs page or not.

    An SLO is an OpenSLO v1, Sloth prometheus/v1 or Pyrra file; docs/slo.md lists what is supported.
    """


@command.command("explain", short_help="Explain what an SLO would do, and why.")
@_SPEC
@_SLO
@click.option(
    "--counts",
    "file",
    type=click.Path(path_type=Path),
    help='Recorded SLI events: lines {"at": TIME, "good": N, "total": N}, cumulative.',
)
@click.option(
    "--at",
    callback=read_time,
    metavar="TIME",
    help="Evaluate at this time (default: the last line).",
)
@click.option(
    "--prometheus", "url", metavar="URL", help="Prometheus to query now, instead of --counts."
)
@click.option(
    "--proof", metavar="P", help="Probability that replaces the proof of the file, or off."
)
@json_option(ObjectiveView)
def explain_command(
    spec: Path,
    name: str | None,
    file: Path | None,
    at: int | None,
    url: str | None,
    proof: str | None,
    as_json: bool,
) -> int:
    """Explain what an SLO would do: windows, SLI events, tiers, proof, budget.

    Uses recorded SLI events, or queries Prometheus now: the server in the DataSource of the file,
    or --prometheus. Always exits 0. Times are RFC 3339 or seconds since 1970.

    Example: midwatch slo explain slos/availability.yaml --counts counts.jsonl
    """
    specs = _read(spec)
    objective = _one(specs.slos, name)
    if proof is not None:
        objective = structs.replace(objective, proof=_proof(proof))
    if file is not None:
        lines = read_file(file, "give a file of SLI events").splitlines()
        found = view(replay(objective, samples(lines, file.name), at))
    else:
        found = view(_ask(objective, url or _url_of(objective, specs), at))
    if as_json:
        print_json(found)
        return 0
    for line in _told(found):
        click.echo(line)
    return 0


@command.command("rules", short_help="Export an SLO as Prometheus rules.")
@_SPEC
@_SLO
def rules_command(spec: Path, name: str | None) -> int:
    """Export an SLO as recording and alerting rules for Prometheus, as YAML.

    Example: midwatch slo rules slos/availability.yaml > rules.yaml
    """
    specs = _read(spec, promql=True)
    found = specs.slos
    chosen = [_one(found, name)] if name else list(found.values())
    click.echo(rules(chosen), nl=False)
    return 0


@command.command("status", short_help="Show the status of the configured SLOs.")
@_SLO
@json_option(list[StandingView])
@server_options
def status_command(name: str | None, as_json: bool, **where: Any) -> int:
    """Show the status of the configured SLOs, burning ones first.

    With --slo all details of one SLO: windows with SLI events, tiers, and budget.

    With --server as last read by a running midwatch serve; otherwise the sources are queried now.
    """
    found = incidents_at(**where).slos()
    if name is not None:
        chosen = _one({one.objective.slo: one for one in found}, name)
        found = [chosen]
    if as_json:
        print_json(found)
        return 0
    if name is not None:
        click.echo(_standing(found[0]))
        for line in _told(found[0].objective):
            click.echo(line)
        return 0
    if not found:
        click.echo("no SLO is measured; run midwatch check to see whether one is configured")
    for one in found:
        click.echo(_standing(one))
    return 0


@command.command("budget", short_help="Show the remaining error budget of each SLO.")
@json_option(list[Budget])
@server_options
def budget_command(as_json: bool, **where: Any) -> int:
    """Show the remaining error budget of each SLO, lowest first."""
    found = [one.objective for one in incidents_at(**where).slos()]
    found.sort(key=_least_first)
    if as_json:
        print_json([Budget(one.slo, one.budget) for one in found])
        return 0
    for one in found:
        period = show_duration(one.budget.period_s)
        left = one.budget.says or "no events"
        click.echo(f"{one.slo:<40} {one.objective} over {period}  {left}")
    return 0


def _least_first(one: ObjectiveView) -> tuple[float, str]:
    """Sort by how many of the events that are allowed were not bad; without events last."""
    budget = one.budget
    left = 1 - budget.bad / budget.allowed if budget.allowed else 2.0
    return left, one.slo


def _standing(one: StandingView) -> str:
    shown = one.objective
    worst = [tier for tier in shown.tiers if tier.standing in ("fires", "held back")]
    says = f"  {worst[0].tier}: {worst[0].says}" if worst else ""
    where = f"  {one.incident}" if one.incident else ""
    left = f"  {shown.budget.says}" if shown.budget.says else ""
    trouble = f"  trouble: {one.trouble}" if one.trouble else ""
    return f"{shown.slo:<40} {one.state:<10}{where}{says}{left}{trouble}"


def _ask(objective: Slo, url: str, at: int | None) -> Explained:
    """Ask a Prometheus how an objective stands."""
    now = at if at is not None else wall_ms()
    if objective.indicator is None:
        remedy = "add one, or give recorded SLI events with --counts"
        raise InputError("the SLO has no indicator", place=objective.id, remedy=remedy)
    metrics = build_prometheus(url)
    windows = metrics.counts(objective, windows_of(objective), now)
    first_at = metrics.trace(objective, now, now).first_at
    seen_s = None if first_at is None else max(now - first_at, 0) // SECOND
    return explain(objective, windows, now, seen_s=seen_s)


def _url_of(objective: Slo, specs: Specs) -> str:
    source = objective.indicator.source if objective.indicator else ""
    named = specs.sources.get(source)
    if named is None and len(specs.sources) == 1 and not source:
        named = next(iter(specs.sources.values()))
    if named is None:
        remedy = (
            "give --counts FILE or --prometheus URL; midwatch slo status queries the configured "
            "sources"
        )
        raise InputError(
            "the source of its SLI events is not stated", place=objective.id, remedy=remedy
        )
    return named.url


def _read(spec: Path, *, promql: bool = False) -> Specs:
    """Read a file's objectives. Raises BadFile with the last error, the others are printed."""
    read_file(spec, "give an OpenSLO, Sloth or Pyrra file")
    problems = Problems()
    found = read_specs([spec], problems)
    if promql:  # whatever the source is, Prometheus will read it
        for one in found.found.values():
            for query in one.queries:
                query.check()
    if problems.found:
        *others, last = problems.in_order()
        for error in others:
            click.echo(f"error: {error}", err=True)
        raise last
    return found


def _proof(given: str) -> str:
    """Read a probability, or off. Raises InputError."""
    if given == "off":
        return ""
    try:
        if 0 < float(given) < 1:
            return given
    except ValueError:
        pass
    raise InputError(f"got {given!r}", place="--proof", remedy="write 0.0001, or off")


def _one(found: dict[str, S], name: str | None) -> S:
    """Choose an objective by its name, with or without its service."""
    fitting = [
        one for key, one in found.items() if name is None or name in (key, Key.read(key).rest)
    ]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(found)
    says = f"no SLO is named {name!r}" if name else f"there are {counted(len(found), 'objective')}"
    raise InputError(says, place="--slo", remedy=f"use one of {known}")


def _told(found: ObjectiveView) -> Iterator[str]:
    """Tell an objective in lines."""
    period = show_duration(found.budget.period_s)
    yield f"{found.slo}: {found.objective} of events over {period}, at {found.at}"
    yield f"  {'pages' if found.paged else 'does not page'}"
    for tier in found.tiers:
        yield from _tier(tier)
    if found.budget.says:
        yield f"  budget: {found.budget.says}"
    for change in sorted(found.fired, key=lambda one: one.at):
        yield f"  {change.at}  {change.tier} fired ({change.urgency})"
    for change in sorted(found.cleared, key=lambda one: one.at):
        yield f"  {change.at}  {change.tier} cleared"
    for note in found.notes:
        yield f"  note: {note}"


def _tier(one: TierView) -> Iterator[str]:
    yield f"  {one.tier:<12} {one.severity} {one.urgency:<7} {one.standing:<10} {one.says}"
    for window in (one.long, one.short):
        yield f"    {_window(window)}"
    if one.chance is not None:
        enough = "is significant" if one.standing == "fires" else "is not significant"
        yield f"    by chance {one.chance:.3g}, below {one.proof} {enough}"


def _window(one: WindowView) -> str:
    burn = f"burn {one.burn:.4g}x" if one.burn is not None else "no events"
    return f"{show_duration(one.window_s):>7}  {one.bad} bad of {one.total}  {burn}"
