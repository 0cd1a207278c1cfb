"""`midwatch completion`: what a shell needs to complete commands and flags.

Law: a shell completes what this very program has; nothing is listed a second time.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> int:
    """Print a completion script for SHELL.

    In ~/.bashrc or ~/.zshrc: eval "$(midwatch completion bash)", or zsh. In
    ~/.config/fish/config.fish: midwatch completion fish | source.
    """
    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if kind is not None:
        click.echo(kind(root, {}, "midwatch", "_MIDWATCH_COMPLETE").source().rstrip())
    return 0
