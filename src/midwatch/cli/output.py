"""How commands print documents."""

from __future__ import annotations

import click
import msgspec


def print_json(document: object) -> None:
    """Print one JSON document, indented."""
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))
