"""How commands print documents and counts.

Law: `--json` is one flag everywhere, and a command that has it says which type its document has, so
that its schema can be published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from midwatch.cli.joblog import in_json

F = TypeVar("F", bound=Callable[..., Any])
GIVES = "midwatch_gives"
EACH_LINE = "midwatch_each_line"


def json_option(gives: Any) -> Callable[[F], F]:
    """Add `--json` to a command whose document is of this type."""

    def add(function: F) -> F:
        setattr(function, GIVES, gives)
        says = "Print one JSON document."
        return click.option("--json", "as_json", is_flag=True, help=says)(function)

    return add


def json_lines(gives: Any) -> Callable[[F], F]:
    """Say that a command prints one JSON document a line anyway, each of this type."""

    def add(function: F) -> F:
        setattr(function, EACH_LINE, gives)
        return function

    return add


def counted(number: int, noun: str) -> str:
    """Say how many of something there are.

    >>> counted(1, "alert"), counted(0, "incident")
    ('1 alert', '0 incidents')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def some_of(names: Sequence[str], shown: int = 5) -> str:
    """List names, and of many only how many more there are.

    >>> some_of(["a", "b"]), some_of(["a", "b", "c", "d"], 2)
    ('a, b', 'a, b and 2 more')
    """
    if len(names) <= shown + 1:
        return ", ".join(names)
    return f"{', '.join(names[:shown])} and {len(names) - shown:,} more"


def on_one_line(text: str) -> str:
    """Make a line of it, cut at 160 characters.

    >>> on_one_line("it is   so")
    'it is so'
    """
    line = " ".join(text.split())
    return line if len(line) <= 160 else f"{line[:157]}..."


def print_json(document: object) -> None:
    """Print one JSON document, indented."""
    click.echo(in_json(msgspec.json.format(msgspec.json.encode(document), indent=2)))
