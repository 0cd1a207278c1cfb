"""What commands ask of midwatch, and the way there: a server when one is named, else the file.

Law: a file has one owner. When a server owns it, the command goes through the server or is refused
with its address.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
from click.core import ParameterSource

from midwatch.cli.on_file import OnFile
from midwatch.cli.over_server import OverServer
from midwatch.cli.places import config_option, database_of, db_option
from midwatch.core.values.judgements import Added, Whole
from midwatch.core.values.postmortems import Postmortem
from midwatch.engine import (
    cases,
    explain,
    jobs,
    oncall,
    queries,
    served,
)
from midwatch.engine.perform import Tested
from midwatch.engine.placement import AlertPlace
from midwatch.engine.plans import PlanView
from midwatch.engine.reporting import Report
from midwatch.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

KEPT = "midwatch.cli.client.kept"  # where a context has what a file says
HOW = "put the token from midwatch token create into it"
IN_SIGHT = "--token is visible in the process list; use --token-file or $MIDWATCH_TOKEN"


class Incidents(Protocol):
    """What the commands need, wherever it is."""

    def all(self, *, everything: bool) -> list[queries.Summary]:
        """List incidents."""
        ...

    def owed(self) -> list[queries.Summary]:
        """List incidents that are resolved and not closed."""
        ...

    def show(self, incident: str) -> queries.Detail:
        """Tell one. Raises StateError when there is none of this name."""
        ...

    def tell(self, incident: str, verb: str, given: dict[str, Any]) -> queries.Detail:
        """Acknowledge, snooze or resolve."""
        ...

    def plan(self, incident: str, given: dict[str, Any]) -> PlanView:
        """Look at a plan, or propose it."""
        ...

    def postmortem(self, incident: str) -> Postmortem:
        """Write the postmortem of an incident."""
        ...

    def draft(self, incident: str) -> Postmortem:
        """Write its facts down now."""
        ...

    def judge(self, incident: str, whole: Whole) -> Postmortem:
        """Keep what a person makes of it."""
        ...

    def add(self, incident: str, added: Added) -> Postmortem:
        """Add to what people make of it."""
        ...

    def report(self, start: int, end: int) -> Report:
        """Tell a period."""
        ...

    def rejected(self) -> list[queries.Rejected]:
        """List what could not be taken."""
        ...

    def alert(self, wanted: str) -> AlertPlace:
        """Say where an alert is and why, by fingerprint or name. Raises StateError."""
        ...

    def silences(self) -> list[queries.SilenceView]:
        """List silences."""
        ...

    def silence(self, given: dict[str, Any]) -> list[queries.SilenceView]:
        """Ask for quiet."""
        ...

    def end_silence(self, silence: str) -> list[queries.SilenceView]:
        """End a silence."""
        ...

    def changes(self) -> list[queries.ChangeView]:
        """List changes."""
        ...

    def change(self, given: dict[str, Any]) -> list[queries.ChangeView]:
        """Note a change."""
        ...

    def services(self) -> list[served.ServiceView]:
        """List what services run."""
        ...

    def register(self, given: dict[str, Any]) -> list[served.ServiceView]:
        """Make a release known."""
        ...

    def history(self, service: str) -> list[queries.Moment]:
        """Tell what happened to a service's releases."""
        ...

    def move(self, service: str, purpose: str, given: dict[str, Any]) -> list[served.ServiceView]:
        """Begin to move traffic."""
        ...

    def cases(self) -> list[cases.CaseView]:
        """List regression cases."""
        ...

    def case(self, name: str) -> cases.CaseStory:
        """Tell one case."""
        ...

    def kept(self, service: str) -> cases.Kept:
        """Give what guards a service, or all of them."""
        ...

    def change_case(self, name: str, what: str, given: dict[str, Any]) -> list[cases.CaseView]:
        """Admit a case, or quarantine or retire the one of this name."""
        ...

    def tickets(self) -> list[queries.TicketView]:
        """List reports."""
        ...

    def ticket(self, given: dict[str, Any]) -> list[queries.TicketView]:
        """File a report; gives it alone, as it was triaged."""
        ...

    def slos(self) -> list[explain.StandingView]:
        """Say how objectives stand."""
        ...

    def jobs(self) -> list[jobs.JobView]:
        """List watched jobs."""
        ...

    def oncall(self, at: int) -> list[oncall.OnCall]:
        """Say who is on call."""
        ...

    def shifts(self, schedule: str, start: int, end: int) -> list[oncall.ShiftView]:
        """List shifts."""
        ...

    def gaps(self, start: int, end: int) -> list[oncall.Gap]:
        """Say when nobody can be reached."""
        ...

    def handoff(self, hours: int) -> oncall.Handoff:
        """Gather what the next person has to know."""
        ...

    def overrides(self) -> list[oncall.OverrideView]:
        """List overrides."""
        ...

    def override(self, schedule: str, given: dict[str, Any]) -> list[oncall.OverrideView]:
        """Let somebody stand in."""
        ...

    def remove_override(self, schedule: str, override: str) -> list[oncall.OverrideView]:
        """Take an override back."""
        ...

    def swap(self, schedule: str, given: dict[str, Any]) -> list[oncall.OverrideView]:
        """Let two people take each other's shift."""
        ...

    def test_page(self, via: str) -> list[Tested]:
        """Send a test page by one pager, or by each."""
        ...


def server_options(function: F) -> F:
    """Add `--server`, `--token-file`, `--token`, `--config` and `--db`."""
    for option in (
        click.option(
            "--server",
            envvar="MIDWATCH_SERVER",
            metavar="URL",
            help="URL of a running midwatch serve (or set $MIDWATCH_SERVER).",
        ),
        click.option(
            "--token-file",
            type=click.Path(dir_okay=False, path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=_keep_token,
            help="File with a responder token for the server (or set $MIDWATCH_TOKEN).",
        ),
        click.option(
            "--token",
            envvar="MIDWATCH_TOKEN",
            callback=_token,
            help="Responder token for the server; prefer $MIDWATCH_TOKEN or --token-file.",
        ),
        db_option,
        config_option,
    ):
        function = option(function)
    return function


def _keep_token(ctx: click.Context, param: click.Parameter, file: Path | None) -> None:
    """Read the token out of its file, for the option that comes after. Raises InputError."""
    if file is None:
        return
    try:
        text = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        says = getattr(error, "strerror", None) or "the file is not text"
        raise InputError(f"cannot be read: {says}", place=str(file), remedy=HOW) from None
    if not text or len(text.split()) > 1:
        raise InputError("the file has no token", place=str(file), remedy=HOW)
    ctx.meta[KEPT] = text


def _token(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    """Give the token, that of a file before any other one."""
    if ctx.get_parameter_source("token") is ParameterSource.COMMANDLINE:
        click.echo(f"warning: {IN_SIGHT}", err=True)
    kept: str | None = ctx.meta.get(KEPT)
    return kept or text


def incidents_at(
    *, server: str | None, token: str | None, folder: Path, database: Path | None
) -> Incidents:
    """Choose the way: the server when one is named, else the file."""
    if server:
        if not token:
            makes = "midwatch token create --role responder --name NAME"
            remedy = f"--token-file or $MIDWATCH_TOKEN; create one with {makes}"
            raise InputError("a token is needed", place="--server", remedy=remedy)
        return OverServer(server, token)
    return OnFile(folder, database_of(folder, database))
