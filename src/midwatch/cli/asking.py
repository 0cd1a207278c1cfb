"""How a command asks before it does what cannot be taken back.

Law: only a person's yes goes on. No, and nobody there to answer, end with 2 and nothing done;
Ctrl-C ends it as everywhere.
"""

from __future__ import annotations

import click

from midwatch.errors import InputError


def ask(question: str, remedy: str) -> None:
    """Ask on stderr; `remedy` says how to go without. Raises InputError unless it was a yes."""
    try:
        yes = click.confirm(question, err=True)
    except click.Abort as error:
        # click tells the end of the input and Ctrl-C apart only there.
        if isinstance(error.__context__, EOFError):
            raise InputError("no terminal to ask on; nothing was done", remedy=remedy) from None
        raise
    if not yes:
        raise InputError("nothing was done", remedy=remedy)
