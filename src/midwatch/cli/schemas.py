"""`midwatch schema`: the shape of what commands print with --json.

Law: a schema is made from the type that the command itself declares; none is written by hand. What
is published in docs/schemas/cli-1.json is what this command prints.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from midwatch.cli.output import EACH_LINE, GIVES
from midwatch.errors import InputError

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:midwatch.cli:1"


def walk(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Give a command and all below it, each with its path.

    >>> group = click.Group("slo", commands=[click.Command("rules")])
    >>> [" ".join(path) for path, _ in walk(group)]
    ['', 'rules']
    """
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from walk(below, (*path, name))


def declared(command: click.Command) -> Any:
    """Give the type of a command's document, or of each line that it prints; None without one."""
    return getattr(command.callback, GIVES, None) or getattr(command.callback, EACH_LINE, None)


def every(root: click.Command) -> dict[str, Any]:
    """Give the type of each command's document, by its words."""
    found = {" ".join(path): declared(command) for path, command in walk(root)}
    return {name: gives for name, gives in found.items() if gives is not None}


def published(root: click.Command) -> dict[str, Any]:
    """Give one document with the schema of every command."""
    types = every(root)
    schemas, parts = msgspec.json.schema_components(types.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": DIALECT,
        "$id": ID,
        "title": "What the commands of midwatch print with --json, version 1",
        "commands": dict(zip(types, schemas, strict=True)),
        "$defs": parts,
    }


def schema_of(root: click.Command, name: str) -> dict[str, Any]:
    """Give the schema of one command's document. Raises InputError when it has none."""
    gives = every(root).get(name)
    if gives is None:
        says = f"midwatch {name} has no published schema"
        raise InputError(says, remedy="run midwatch schema for the commands that have one")
    (schema,), parts = msgspec.json.schema_components([gives], ref_template="#/$defs/{name}")
    return {"$schema": DIALECT, "title": f"midwatch {name}", **schema, "$defs": parts}


@click.command("schema")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def command(ctx: click.Context, words: tuple[str, ...]) -> int:
    """Print the JSON schema of what a command prints with --json.

    Without COMMAND it prints the schemas of all commands, as in docs/schemas/cli-1.json. For a
    command that prints JSON lines it is the schema of one line.

    Example: midwatch schema incidents list
    """
    root = ctx.find_root().command
    found = schema_of(root, " ".join(words)) if words else published(root)
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1))
    return 0
