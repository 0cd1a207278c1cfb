"""`midwatch drill`: an on-call shift in virtual time."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct, field

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.cli.joblog import in_json
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import write_anew
from midwatch.cli.progress import shown_progress
from midwatch.drill import checkers, faults, fuzz, reports, scenarios
from midwatch.drill.faults import BREAKS, Broken
from midwatch.drill.fuzz import Failure
from midwatch.drill.meddling import Meddler
from midwatch.drill.reports import ShiftReport, Story
from midwatch.drill.shift import Shift
from midwatch.drill.world import Begun, Log, Troubles
from midwatch.engine import queries
from midwatch.errors import InputError

BREAK = f"Failure to inject, or several separated by commas: {', '.join(BREAKS)}."


class Listed(Struct, frozen=True):
    """A scenario by its name, and what it is about."""

    name: str
    says: str


class Explained(Struct, frozen=True):
    """What happens in a scenario, in order, what is expected of it, and what can be broken."""

    name: str
    says: str
    happens: list[str]
    expected: list[str]
    breaks: list[str]


class Fuzzed(Struct, frozen=True):
    """How many shifts were played, from which seed on, and which of them broke a law."""

    seeds: int
    first: int = field(name="from")
    failures: list[Failure]


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a run, the same with and without naming a scenario."""
    for option in (
        click.option("--seed", default=0, show_default=True, help="Random seed."),
        click.option("--break", "broke", default="", help=BREAK),
        click.option(
            "--report",
            type=click.Path(path_type=Path),
            help="Write events, decisions with reasons, and checks to this JSON file.",
        ),
        json_option(ShiftReport),
        click.option("--trace", is_flag=True, help="Print every event with its reason."),
        click.option(
            "--db",
            "database",
            type=click.Path(path_type=Path),
            help="The database file of the event log; an existing one is resumed.",
        ),
    ):
        function = option(function)
    return function


@click.group("drill", invoke_without_command=True)
@_options
@click.pass_context
def command(ctx: click.Context, **options: Any) -> int:
    """Run an on-call shift on the production engine, in virtual time.

    Without a command it runs the scenario `shift` and scores it. Exit 0 when every check passes,
    1 when one fails.
    """
    if ctx.invoked_subcommand is None:
        return _run("shift", **options)
    given = (p for p in ctx.command.params if p.name in options)
    for one in given:
        if ctx.get_parameter_source(one.name or "") != click.core.ParameterSource.DEFAULT:
            says = f"{one.opts[0]} is given before {ctx.invoked_subcommand}, which ignores it"
            remedy = f"write midwatch drill {ctx.invoked_subcommand} ... {one.opts[0]}"
            raise click.UsageError(f"{says}; {remedy}")
    return 0


@command.command("run", short_help="Run a scenario by name or file.")
@click.argument("scenario")
@_options
def run_command(scenario: str, **options: Any) -> int:
    """Run SCENARIO: a name from `drill list`, or the path of a YAML file."""
    return _run(scenario, **options)


@command.command("list")
@json_option(list[Listed])
def list_command(as_json: bool) -> int:
    """List the scenarios that come with midwatch."""
    found = [scenarios.load(scenarios.find(name)) for name in scenarios.names()]
    if as_json:
        print_json([Listed(s.name, s.says) for s in found])
        return 0
    for scenario in found:
        click.echo(f"{scenario.name:<24} {scenario.says}")
    return 0


@command.command("explain", short_help="Explain a scenario and its expected result.")
@click.argument("scenario")
@json_option(Explained)
def explain_command(scenario: str, as_json: bool) -> int:
    """Explain SCENARIO: its events in order, and the expected result."""
    found = scenarios.load(scenarios.find(scenario))
    wanted = [name for name, _ in checkers.SEVEN] if found.seven_checks else []
    wanted += [f"{name}: {want}" for name, want in found.expect.items()]
    breaks = [*BREAKS] if found.seven_checks else []
    if not breaks and found.config.rules.books.runbooks:
        breaks = [faults.ALWAYS_ROLLBACK]
    told = Explained(found.name, found.says, _happenings(found), wanted, breaks)
    if as_json:
        print_json(told)
        return 0
    click.echo(f"{told.name}: {told.says}")
    for line in told.happens:
        click.echo(f"  {line}")
    click.echo("expected:")
    for line in told.expected:
        click.echo(f"  {line}")
    if told.breaks:
        click.echo(f"to break on purpose: {', '.join(told.breaks)}")
    return 0


@command.command("fuzz", short_help="Run shifts with faults, and check the invariants.")
@click.option("--scenario", default="shift", show_default=True, help="Scenario to run.")
@click.option("--seeds", default=100, show_default=True, help="Number of shifts.")
@click.option("--from", "first", default=0, show_default=True, help="First seed.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Number of processes.")
@json_option(Fuzzed)
def fuzz_command(scenario: str, seeds: int, first: int, jobs: int, as_json: bool) -> int:
    """Run shifts with faults drawn from the seed, and check the invariants after each.

    A failure prints seed, faults, the broken invariant, the last events and a replay command.
    """
    if seeds < 1 or jobs < 1:
        raise InputError("nothing to run", remedy="--seeds and --jobs must be at least 1")
    failures: list[Failure] = []
    run = fuzz.run(scenario, range(first, first + seeds), jobs)
    with closing(run) as played, shown_progress("shifts") as progress:
        for done, (_, failure) in enumerate(played, start=1):
            if failure is not None:
                failures.append(failure)
                if not as_json:
                    click.echo("\n".join(failure.shown()))
            progress(done, seeds)
    if as_json:
        print_json(Fuzzed(seeds, first, failures))
    else:
        click.echo(f"{counted(seeds, 'shift')}, {len(failures)} broke a law")
    return 1 if failures else 0


def _run(
    name: str,
    *,
    seed: int,
    broke: str,
    report: Path | None,
    as_json: bool,
    trace: bool,
    database: Path | None,
) -> int:
    scenario = scenarios.load(scenarios.find(name))
    broken = faults.break_on_purpose(scenario, broke) if broke else Broken(scenario, Troubles())
    if report is not None and not report.absolute().parent.is_dir():
        raise InputError(
            "the directory does not exist", place=str(report), remedy="create it first"
        )
    store = SqliteStore.own(database) if database else SqliteStore.memory()
    log = Log(database.with_name(f"{database.name}.world") if database else None)
    try:
        log.begin(Begun(scenario.name, seed, broke))
        meddler = Meddler(broken.ports, starts_at=scenario.starts_at, seed=seed)
        shift = Shift(
            broken.scenario, store, seed=seed, log=log, troubles=broken.troubles, meddler=meddler
        )
        shift.run()
        story = Story(store, shift.engine.handler.shard)
        told = queries.timeline(store) if trace else []
    finally:
        log.close()
        store.close()
    checks = (
        checkers.seven(story, shift.storm)
        if scenario.seven_checks
        else checkers.expected(story, scenario, log)
    )
    document = reports.document(story, scenario.name, seed, checks, broke)
    text = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    if report is not None:
        write_anew(report, text)
    passed = all(ok for _, ok, _ in checks)
    if as_json:
        click.echo(in_json(text), nl=False)
    else:
        _print(story, shift, checks, told, scenario.seven_checks, passed)
    return 0 if passed else 1


def _print(
    story: Story,
    shift: Shift,
    checks: list[checkers.Check],
    told: list[str],
    seven: bool,
    passed: bool,
) -> None:
    for line in told:
        click.echo(line)
    if seven:
        for line in reports.sections(story, shift.storm.alert_count):
            click.echo(line)
    else:
        for incident in story.incidents.values():
            click.echo(
                f"{incident.id}  {incident.severity}  {incident.state}  {incident.title}"
                f"  ({counted(incident.alert_count, 'alert')},"
                f" {counted(len(incident.pages), 'page')})"
            )
    for name, ok, why in checks:
        click.echo(f"  [{'PASS' if ok else 'FAIL'}] {name}" + ("" if seven or ok else f": {why}"))
    click.echo(f"{sum(ok for _, ok, _ in checks)}/{len(checks)} checks passed")
    if passed:
        click.echo("EVAL GATE: PASS (exit 0) - the whole shift behaved correctly")
    else:
        click.echo("EVAL GATE: FAIL (exit 1) - a Part E pattern did not hold")
        for name, ok, why in checks:
            if seven and not ok:
                click.echo(f"why: {name}: {why}", err=True)


def _happenings(scenario: scenarios.Scenario) -> list[str]:
    found: list[tuple[int, str]] = []
    for plan in scenario.services:
        for release in plan.releases:
            wrong = (
                f", answers {len(release.wrong.questions)} of {len(plan.bank)} questions wrong"
                if release.wrong
                else ""
            )
            if release.live_at is not None:
                found.append((release.live_at, f"{plan.name}: {release.name} goes live{wrong}"))
            if release.proposed_s is not None:
                minutes = release.proposed_s // 60
                says = f"{plan.name}: {release.name} is offered {minutes} min after the ack{wrong}"
                found.append((scenario.ends_at, says))
    for fault in scenario.storm:
        count = len(fault.services) * len(fault.alerts)
        says = f"{counted(count, 'alert')}, cause {fault.cause}, on {', '.join(fault.services)}"
        found.append((fault.at, says))
    found.extend((t.at, f"ticket: {t.text}") for t in scenario.tickets)
    found.extend(
        (at, f"a recorded webhook of {counted(len(b), 'byte')}") for at, b in scenario.deliveries
    )
    return [
        f"{(at - scenario.starts_at) // 60_000:>4} min  {says}"
        if at < scenario.ends_at
        else f"   later  {says}"
        for at, says in sorted(found)
    ]
