"""The `midwatch` command.

Law: `--help` imports no server, database or HTTP library: each group is imported when it is used.
Exit codes, everywhere: 0 good, 1 what was judged is bad, 2 usage, config or harness error, 3
inconclusive, 130 stopped by Ctrl-C. An error is one line, `error: `, with place, what is wrong and
what to do, whoever found it; no traceback.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from importlib import import_module

import click

from midwatch import __version__
from midwatch.cli import joblog
from midwatch.cli.extras import write_commands
from midwatch.cli.terminal import guard_stdout, shown
from midwatch.errors import MidwatchError

# name -> (module, one line for --help)
COMMANDS = {
    "agent": ("midwatch.cli.agent", "Run the demo support agent, whose releases can regress."),
    "alerts": ("midwatch.cli.alerts", "List rejected alerts, and why they were rejected."),
    "audit": ("midwatch.cli.audit", "List logins, refused requests and token changes."),
    "cases": ("midwatch.cli.cases", "Admit, list and retire regression cases of incidents."),
    "changes": ("midwatch.cli.changes", "Record and list changes: deploys, config changes."),
    "check": ("midwatch.cli.check", "Check a config directory: every error, with file and line."),
    "completion": ("midwatch.cli.completion", "Print a shell completion script."),
    "correlate": ("midwatch.cli.correlate", "Correlate alerts from a file, with reasons."),
    "db": ("midwatch.cli.db", "Verify, migrate, prune, back up and restore an event log."),
    "drill": ("midwatch.cli.drill", "Run an on-call shift in virtual time."),
    "eval": ("midwatch.cli.eval", "Run, list, convert and compare eval cases."),
    "gate": ("midwatch.cli.gate", "Check in CI whether a candidate may ship."),
    "heartbeats": ("midwatch.cli.heartbeats", "Show heartbeat status."),
    "incidents": ("midwatch.cli.incidents", "List, acknowledge, resolve and close incidents."),
    "init": ("midwatch.cli.init", "Create a config directory that works as is."),
    "oncall": ("midwatch.cli.oncall", "Show who is on call, gaps, overrides and handoffs."),
    "page": ("midwatch.cli.page", "Send a test page."),
    "postmortem": ("midwatch.cli.postmortem", "Show, edit, export and check postmortems."),
    "proxy": ("midwatch.cli.proxy", "Proxy that serves one release and switches on request."),
    "release": ("midwatch.cli.release", "Judge, list, promote and roll back releases."),
    "report": ("midwatch.cli.report", "Summarise a week or month of on-call."),
    "route": ("midwatch.cli.route", "Show where an alert would go, and whom it would page."),
    "runbook": ("midwatch.cli.runbook", "List, plan, approve and run runbooks."),
    "schema": ("midwatch.cli.schemas", "Print the JSON schema of a command's output."),
    "serve": ("midwatch.cli.serve", "Run the server: accept alerts and page people."),
    "session": ("midwatch.cli.session", "List logins, and end all of them."),
    "shadow": ("midwatch.cli.shadow", "Compare a shadow run with your real pages."),
    "silences": ("midwatch.cli.silences", "Silence matching alerts for a while."),
    "slo": ("midwatch.cli.slo", "Show SLO status, and why SLOs page or not."),
    "tickets": ("midwatch.cli.tickets", "File user reports, and see which incident they join."),
    "token": ("midwatch.cli.token", "Create, list and revoke tokens."),
}

# How other programs call what is called otherwise here.
OTHER_WORDS = {"--port": "--listen", "--host": "--listen", "--bind": "--listen"}
BOUNDS = {">": "more than", ">=": "at least", "<": "less than", "<=": "at most"}

STOPPED = 130  # 128 and the number of SIGINT, as shells have it

# Commands that need more than the base install.
EXTRAS = {"proxy": "server", "serve": "server"}


class LazyGroup(click.Group):
    """Imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        return import_module(COMMANDS[cmd_name][0]).command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; of one that there is not, say which was meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            if not near:
                raise
            says = f"{error.message} Did you mean {near[0]!r}?"
            raise click.UsageError(says, ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        commands = {name: says for name, (_, says) in COMMANDS.items()}
        write_commands(formatter, commands, EXTRAS)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="midwatch")
def cli() -> None:
    """Close the on-call loop: alerts, page, rollback, postmortem, regression case, canary, gate.

    Exit codes: 0 good, 1 what was judged is bad, 2 usage, config or harness error, 3 inconclusive,
    130 stopped by Ctrl-C.
    """


def main() -> None:
    """Run the command line and turn every error into one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    guard_stdout()
    with joblog.guarded():
        _main()


def _main() -> None:
    try:
        _check_arguments(sys.argv[1:])
        code = cli.main(prog_name="midwatch", standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail("stopped", STOPPED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _fail(usage(error))
    except BrokenPipeError:
        # Whoever read us has seen enough; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MidwatchError as error:
        _fail(str(error))
    except Exception as error:  # a bug is a harness error too: one line, exit 2
        if os.environ.get("MIDWATCH_DEBUG"):
            raise
        says = f"{type(error).__name__}: {error}"
        _fail(f"a bug in midwatch: {says}; set MIDWATCH_DEBUG=1 for details, and please report it")
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _check_arguments(given: list[str]) -> None:
    """Refuse what is no UTF-8, once for all: nothing could be stored of it, sent or found by it.

    Raises UsageError.
    """
    for number, text in enumerate(given, 1):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise click.UsageError(
                f"argument {number}, {text!r}, is not valid UTF-8; write it in UTF-8"
            )


def usage(error: click.ClickException) -> str:
    """Tell in one line what is wrong with what was typed, and where the right way stands.

    >>> typed = click.Context(cli, info_name="midwatch")
    >>> usage(click.UsageError("No such option '--nope'.", typed))
    "no such option '--nope'; see midwatch --help"
    """
    says = " ".join(error.format_message().split()).rstrip(".")
    says = re.sub(r"\. \(?Did you mean (.*\?)\)?$", r"; did you mean \1", says)
    says = plain(says[:1].lower() + says[1:])
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return says
    meant = OTHER_WORDS.get(error.option_name) if isinstance(error, click.NoSuchOption) else None
    if meant and any(meant in one.opts for one in context.command.params):
        says = f"{says.partition(';')[0]}; did you mean {meant}?"
    return f"{says}{'' if says.endswith('?') else ';'} see {context.command_path} --help"


def plain(says: str) -> str:
    """Say in plain words what the library says in its own.

    >>> plain("'x' is not a valid integer range"), plain("0 is not in the range x>=1")
    ("'x' is not a whole number", '0 is not at least 1')
    >>> plain("-1.0 is not in the range 0<x<=9")
    '-1.0 is not more than 0 and at most 9'
    """
    says = re.sub(r"is not a valid integer( range)?$", "is not a whole number", says)
    says = re.sub(r"is not a valid float( range)?$", "is not a number", says)
    found = re.search(r"is not in the range (?:(\S+?)(<=?))?x(?:([<>]=?)(\S+))?$", says)
    if found is None:
        return says
    turned = found[2].replace("<", ">") if found[2] else ""
    limits = ((turned, found[1]), (found[3], found[4]))
    told = " and ".join(f"{BOUNDS[sign]} {number}" for sign, number in limits if sign)
    return f"{says[: found.start()]}is not {told}"


def _fail(says: str, code: int = 2) -> None:
    click.echo(f"error: {shown(says)}", err=True)
    sys.exit(code)
