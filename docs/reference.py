"""Pages of the site that are made out of the program itself.

Law: such a page is read from the program when the site is built: the real `--help`, the
OpenAPI document that `serve` gives out, the types of events and effects, and TRANSITIONS. Nothing
of it is typed twice, so nothing can be out of date.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from html import escape
from types import ModuleType
from typing import Any, get_args

import click
import msgspec

from midwatch.cli.main import cli
from midwatch.core.state import effects, events, evolving, incidents, inputs
from midwatch.web.openapi import document
from midwatch.web.routes import ROUTES

# What stays the same within a major version; everything else in the package may change.
PUBLIC = (
    "midwatch.config.load",
    "midwatch.config.check",
    "midwatch.core.values.sli.Counts",
    "midwatch.core.values.slo.Slo",
    "midwatch.core.values.slo.judge_burn",
    "midwatch.core.values.slo.judge_recovery",
    "midwatch.core.values.binomial.tail",
    "midwatch.core.values.exact.fisher",
    "midwatch.core.values.exact.sign_test",
    "midwatch.core.values.evidence.clean_pairs_needed",
    "midwatch.core.values.evals.Case",
    "midwatch.core.values.scorers.judge",
    "midwatch.core.values.minimise.minimise",
    "midwatch.core.values.gate.Gate",
)

HTTP = """# HTTP API

`midwatch serve` serves the whole document at `/api/v1/openapi.json`, without a token. Send a token
in `Authorization: Bearer`. An error is `application/problem+json`.
"""
FACTS = """# Events, effects, inputs

An input is something that happened outside. A decision appends events (facts) and plans effects
(what is to be done). `midwatch incidents show` prints the events of an incident, and
`midwatch drill --trace` all events of a shift. A type's name is its tag in the event log.
"""
STATES = """# States of an incident

From `TRANSITIONS` in `core/state/evolving.py`: an event that is in no row never changes the state.
"""
PYTHON = """# Python

These names are stable within a major version ([what that means](../versions.md)); the rest of the
package is internal and may change in any release. Except for `config`, they are pure: no I/O, no
clock.
"""


def walk(command: click.Command, path: str = "midwatch") -> Iterator[tuple[str, click.Command]]:
    """Go through every command, those of groups behind their group."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from walk(inner, f"{path} {name}")


def commands() -> str:
    """Every command with its `--help`, as a terminal of 100 columns shows it."""
    parts = ["# Commands", "", "Each command's own `--help`.", ""]
    for path, command in walk(cli):
        context = click.Context(
            command, info_name=path, terminal_width=100, help_option_names=["-h", "--help"]
        )
        level = "##" if path.count(" ") <= 1 else "###"
        parts += [f"{level} {path}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(parts)


def http() -> str:
    """Every route of the OpenAPI document, and the shapes that it takes and gives."""
    found = msgspec.json.decode(document(ROUTES))
    parts = [HTTP]
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            parts += [f"## {method.upper()} {path}", "", operation["summary"], ""]
            body = operation.get("requestBody")
            if body:
                parts += [f"Takes {_shape(_content(body))}.", ""]
            for named in operation["parameters"]:
                if named["in"] != "path":
                    parts.append(f"- {named['in']} `{named['name']}`: {_shape(named['schema'])}")
            parts += ["", "| answer | what it means |", "|---|---|"]
            for code, answer in operation["responses"].items():
                gives = _shape(_content(answer)) if code.startswith("2") else answer["description"]
                parts.append(f"| {code} | {gives} |")
            parts.append("")
    parts += ["## Shapes", ""]
    for name, schema in sorted(found["components"]["schemas"].items()):
        parts += [f"### {name}", "", schema.get("description", "").split("\n\n")[0], ""]
        if schema.get("properties"):
            parts += ["| field | |", "|---|---|"]
            needed = schema.get("required", ())
            for field, inner in schema["properties"].items():
                must = "" if field in needed else ", may be left out"
                parts.append(f"| `{field}` | {_shape(inner)}{must} |")
            parts.append("")
    return "\n".join(parts)


def _content(of: dict[str, Any]) -> dict[str, Any]:
    (first,) = of["content"].values()
    schema: dict[str, Any] = first["schema"]
    return schema


def _shape(schema: dict[str, Any]) -> str:
    """Say a JSON schema in a few words, with links to the shapes it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        anchor = name.lower().replace(".", "")  # as the site makes it of the heading
        return f"[{name}](#{anchor})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_shape(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        inner = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"a list of {_shape(inner or {})}"
    if kind == "object" and schema.get("additionalProperties"):
        return f"a mapping to {_shape(schema['additionalProperties'])}"
    return str(kind)


def facts() -> str:
    """Events, effects and inputs, with their fields."""
    parts = [FACTS]
    for title, module in (("Events", events), ("Effects", effects), ("Inputs", inputs)):
        parts += [f"## {title}", "", "| type | what it says | fields |", "|---|---|---|"]
        for one in _structs(module):
            fields = ", ".join(f"`{f.name}`" for f in msgspec.structs.fields(one))
            parts.append(f"| `{one.__name__}` | {_first(one.__doc__)} | {fields} |")
        parts.append("")
    return "\n".join(parts)


def _structs(module: ModuleType) -> list[type[msgspec.Struct]]:
    """Give the types of a module that are kept or handed over, not those that others build on."""
    names = [one for one in vars(module).values() if inspect.isclass(one)]
    found = [one for one in names if issubclass(one, msgspec.Struct) and one.__doc__]
    within = module.__name__
    return [one for one in found if one.__module__.startswith(within) and not one.__subclasses__()]


def _first(text: str | None) -> str:
    """Give the first paragraph of a docstring on one line."""
    return " ".join((text or "").split("\n\n")[0].split()).replace("|", "\\|")


def states() -> str:
    """The states of an incident, drawn and listed out of TRANSITIONS."""
    parts = [
        STATES,
        drawn(evolving.TRANSITIONS),
        "",
        "| state | event | next state |",
        "|---|---|---|",
    ]
    for (state, event), after in evolving.TRANSITIONS.items():
        guard = " (needs what [a closed incident needs](../postmortems.md))"
        says = guard if event in evolving.GUARDS else ""
        parts.append(f"| {state} | `{event.__name__}`: {_first(event.__doc__)}{says} | {after} |")
    return "\n".join([*parts, ""])


TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
    ' orient="auto"><path d="M0 0L8 4L0 8z" fill="currentColor"/></marker></defs>'
)


def drawn(table: dict[tuple[Any, type], Any]) -> str:
    """Draw a table of transitions as SVG: states in a row, arcs above go on and below go back."""
    known = {*(state for state, _ in table), *table.values()}
    names = [name for name in get_args(incidents.State) if name in known]
    at = {name: 90 + 180 * number for number, name in enumerate(names)}
    arcs: dict[tuple[str, str], None] = dict.fromkeys(
        (state, after) for (state, _), after in table.items()
    )
    width, middle = 180 * len(names), 190
    parts = [
        f'<svg viewBox="0 0 {width} 380" role="img" aria-label="States of an incident">',
        TIP,
    ]
    for one, other in arcs:
        x1, x2 = at[one], at[other]
        side, lean = (-1, 12) if x2 > x1 else (1, -12)
        bend = middle + side * (30 + abs(x2 - x1) * 0.28)
        edge = middle + side * 20
        parts.append(
            f'<path d="M{x1 + lean} {edge} C{x1 + lean} {bend:.0f} {x2 - lean} {bend:.0f} '
            f'{x2 - lean} {edge}" fill="none" stroke="currentColor" marker-end="url(#tip)"/>'
        )
    for name in names:
        parts.append(
            f'<rect x="{at[name] - 62}" y="{middle - 20}" width="124" height="40" rx="8" '
            f'fill="none" stroke="currentColor"/><text x="{at[name]}" y="{middle + 6}" '
            f'text-anchor="middle" fill="currentColor" font-size="16">{escape(name)}</text>'
        )
    return "".join([*parts, "</svg>"])


def python() -> str:
    """The public names of the package, with their signatures and docstrings."""
    parts = [PYTHON]
    for name in PUBLIC:
        module, _, last = name.rpartition(".")
        one = getattr(importlib.import_module(module), last)
        signature = str(inspect.signature(one)).replace("midwatch.core.", "")
        parts += [f"## {name}", "", "```python", f"{last}{signature}", "```", ""]
        parts += [*_prose(inspect.getdoc(one) or ""), ""]
    return "\n".join(parts)


def _prose(doc: str) -> Iterator[str]:
    """Give a docstring with its examples in fences."""
    inside = False
    for line in doc.splitlines():
        if line.startswith(">>>") and not inside:
            inside = True
            yield "```pycon"
        if inside and not line.strip():
            inside = False
            yield "```"
        yield line
    if inside:
        yield "```"


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": commands,
    "reference/http.md": http,
    "reference/events.md": facts,
    "reference/states.md": states,
    "reference/python.md": python,
}
