"""`midwatch shadow`: what a trial run would have done, beside what really paged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from midwatch import config
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.cli.output import counted, json_option, print_json
from midwatch.cli.places import (
    config_option,
    database_of,
    need_database,
    read_time,
    shadow_db_option,
)
from midwatch.core.values.clock import parse_time, show_duration
from midwatch.engine import queries, shadow
from midwatch.engine.clock import wall_ms
from midwatch.errors import BadFile

REMEDY = 'write {"at": "2026-01-31T09:00:00Z", "service": "shop", "key": "disk-full"}'
INCONCLUSIVE = 3


class _Line(Struct, forbid_unknown_fields=True):
    at: str
    service: str
    key: str


_decode = msgspec.json.Decoder(_Line).decode


@click.group("shadow")
def command() -> None:
    """Try midwatch next to your current setup, without risk: `midwatch serve --shadow`."""


@command.command("report", short_help="Compare a shadow run with your real pages.")
@click.option(
    "--pages",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="Your real pages: one JSON object per line with at, service and key; - reads stdin.",
)
@click.option(
    "--within",
    "within_s",
    type=click.IntRange(min=1),
    default=shadow.WITHIN_S,
    show_default=True,
    metavar="SECONDS",
    help="How many seconds after the real page midwatch may page.",
)
@click.option(
    "--since",
    callback=read_time,
    metavar="TIME",
    help="Judge pages from this time (default: the first event).",
)
@click.option(
    "--until",
    callback=read_time,
    metavar="TIME",
    help="Judge pages until this time (default: now).",
)
@json_option(shadow.Report)
@config_option
@shadow_db_option
def report_command(
    files: tuple[Path, ...],
    within_s: int,
    since: int | None,
    until: int | None,
    as_json: bool,
    folder: Path,
    database: Path | None,
) -> int:
    """Compare what midwatch would have paged for with your real pages.

    Real pages come from --pages, and from configured sources with `as: pages`. The event log is not
    changed; the server may be running.

    Exit 0 when no page was missed, 1 when one was, 3 when there was no real page to compare with.
    """
    file = database_of(folder, database, shadow=True)
    need_database(file, "set --db, or run midwatch serve --shadow first")
    store = SqliteStore.read_only(file)
    try:
        facts = queries.facts(store)
    finally:
        store.close()
    pages = shadow.pages_of(facts)
    for name in files:
        pages.extend(read_pages(name))
    now = wall_ms()
    first = facts[0].at if facts else now
    report = shadow.compare(
        shadow.recorded(facts),
        pages,
        since=first if since is None else since,
        until=now if until is None else until,
        within_s=within_s,
        known=_known(folder),
    )
    if as_json:
        print_json(report)
    else:
        for line in _lines(report):
            click.echo(line)
    if not report.real_pages:
        return INCONCLUSIVE
    return 1 if report.missed else 0


def _known(folder: Path) -> shadow.Known:
    """Take from the config how services are called and whose they are; a journal may have none."""
    if not (folder / "midwatch.yaml").is_file():
        return shadow.Known()
    rules = config.load(folder).rules
    named = rules.topology.services.values()
    aliases = {alias: one.name for one in named for alias in (*one.aliases, one.name)}

    def same(one: str, other: str) -> bool:
        return shadow.same_name(one, other) or rules.same_people(one, other)

    return shadow.Known(aliases, lambda name: rules.policy_for(name, "sev1").name, same)


def read_pages(file: Path) -> Iterator[shadow.RealPage]:
    """Read real pages. Raises BadFile with the line."""
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise BadFile(f"cannot be read: {error.strerror}", place=str(file), remedy=REMEDY) from None
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            one = _decode(line)
            at = parse_time(one.at)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
            place = f"{file}:{number}"
            raise BadFile(f"not a valid page: {error}", place=place, remedy=REMEDY) from None
        yield shadow.RealPage(at, (one.service,), one.key, file.name)


def _lines(report: shadow.Report) -> Iterator[str]:
    yield f"from {report.since} to {report.until}"
    if not report.real_pages:
        yield (
            "  no real pages in this period; change it with --since and --until"
            if report.not_judged
            else "  no real pages to compare with: give --pages, or configure a source with as: "
            "pages"
        )
    yield (
        f"  {counted(report.real_pages, 'real page')} ({counted(report.keys, 'key')});"
        f" midwatch: {counted(report.alerts, 'alert')}, {counted(report.incidents, 'incident')},"
        f" {report.would_page} would have paged, {counted(report.pages, 'page')}"
    )
    within = show_duration(report.within_s)
    yield f"  covered  {report.covered:>4}  midwatch pages for it too, at most {within} later"
    if report.by_another:
        yield (
            f"           {report.by_another:>4}  of these by a page for another service of the same"
            " incident: check whether that is right"
        )
    yield f"  saved    {report.saved:>4}  repeated pages that midwatch would have suppressed"
    yield (
        f"  ticket   {report.tickets:>4}  recorded as a ticket, no page: check whether that is "
        f"right"
    )
    yield f"  missed   {report.missed:>4}  midwatch would not have paged for it, or not in time"
    yield f"  extra    {len(report.extra):>4}  midwatch would have paged; there was no real page"
    for verdict in ("missed", "ticket", "saved", "covered"):
        for one in report.judged:
            if one.verdict == verdict:
                yield _line(verdict, one)
    for one in report.extra:
        yield f"extra    {one.at}  {', '.join(one.services)}  {one.incident}  {one.why}"
    for one in report.not_judged:
        yield _line("not judged", one)


def _line(verdict: str, one: shadow.Judged) -> str:
    late = ""
    if one.verdict == "covered" and one.delay_s is not None:
        word = "later" if one.delay_s > 0 else "earlier"
        late = f"  ({show_duration(abs(one.delay_s))} {word})"
    services = ", ".join(one.services)
    return f"{verdict:<8} {one.at}  {services}  {one.key}  {one.incident}  {one.why}{late}"
