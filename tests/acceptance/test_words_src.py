"""What the program prints is plain: help, errors, reasons, log events, templates."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.words import unprintable

from midwatch.cli.main import COMMANDS, cli
from midwatch.cli.schemas import walk

SRC = Path(__file__).parents[2] / "src" / "midwatch"
SOURCES = sorted(SRC.rglob("*.py"))
TEMPLATES = sorted(SRC.rglob("templates/*.html")) + sorted(SRC.rglob("templates/*.j2"))
# What takes words for people: errors, notes of a config, refusals, and log records.
SPEAKS = {
    "error",
    "add",
    "lacks",
    "warning",
    "info",
    "problem",
    "weak",
    "Route",
    "set_exception",
    "Reason",
}
RAISED = re.compile(r"(Error|Refused|Busy|Failed|File|Json|Sent|Declined|Throttled|Parameter)$")
KEYWORDS = {"remedy", "help", "short_help", "epilog", "says"}
SAID = {"says", "remedy", "hint", "why", "trouble"}


def texts(node: ast.AST) -> Iterator[str]:
    """Every literal text below a node, with {} where a value goes."""
    inside: set[int] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in one.values]
            inside.update(id(part) for part in one.values)
            yield "".join(map(str, parts))
    for one in ast.walk(node):
        literal = one.value if isinstance(one, ast.Constant) and id(one) not in inside else None
        if isinstance(literal, str) and not literal.startswith("/"):  # an address is no text
            yield literal


def name_of(call: ast.Call) -> str:
    """The last part of what is called."""
    one = call.func
    return one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "")


def spoken(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts of errors, remedies, help and log records, each with its line."""
    for one in ast.walk(tree):
        if isinstance(one, ast.Call):
            name = name_of(one)
            if name in SPEAKS or RAISED.search(name):
                for argument in one.args:
                    yield from ((one.lineno, text) for text in texts(argument))
            for keyword in one.keywords:
                if keyword.arg in KEYWORDS:
                    yield from ((one.lineno, text) for text in texts(keyword.value))
        elif isinstance(one, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id in SAID for target in one.targets
        ):
            yield from ((one.lineno, text) for text in texts(one.value))


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(SRC)))
def test_errors_and_log_records_are_plain(file: Path) -> None:
    """No habit of the list comes back, wherever an error is raised or a record is logged."""
    tree = ast.parse(file.read_text("utf-8"))
    wrong = [(line, text, bad) for line, text in spoken(tree) if (bad := unprintable(text))]
    assert wrong == []


def test_every_help_is_plain() -> None:
    """Of each command, option and argument, and each line of the list."""
    wrong: list[tuple[str, str, list[str]]] = []
    for path, command in walk(cli):
        said = [command.help or "", command.short_help or ""]
        said += [one.help or "" for one in command.params if isinstance(one, click.Option)]
        wrong += [(" ".join(path), text, bad) for text in said if (bad := unprintable(text))]
    wrong += [
        (name, says, bad) for name, (_, says) in COMMANDS.items() if (bad := unprintable(says))
    ]
    assert wrong == []


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: file.name)
def test_every_template_is_plain(file: Path) -> None:
    """Its text, without tags, expressions and comments."""
    text = re.sub(
        r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>", " ", file.read_text("utf-8"), flags=re.S
    )
    assert [(line, bad) for line in text.splitlines() if (bad := unprintable(line.strip()))] == []


def test_the_walk_sees_what_it_has_to_see() -> None:
    """A guard that finds nothing would be green for ever."""
    tree = ast.parse(
        'raise InputError(f"{x} is no file", remedy="mend it")\nlog.error("Who wants")'
    )
    assert [text for _, text in spoken(tree)] == ["{} is no file", "mend it", "Who wants"]
    assert sum(1 for file in SOURCES for _ in spoken(ast.parse(file.read_text("utf-8")))) > 1_400
