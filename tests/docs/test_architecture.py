"""docs/architecture.md and the code say the same.

Law: each file and each function that the page names is there, the layers are those that are
enforced, and who counts files counted right.
"""

import ast
import functools
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "midwatch"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PROSE = re.sub(r"^```.*?^```", "", PAGE, flags=re.M | re.S)
NAME = re.compile(r"_?[A-Za-z]\w*(?:\.\w+)?")


def path_of(named: str) -> Path:
    return ROOT / named if named.startswith("tests/") else SOURCES / named


@functools.cache
def names_in(file: Path) -> frozenset[str]:
    """Give functions, classes and constants of a file, methods also behind their class."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if hasattr(one, "name")}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id for one in targets if isinstance(one, ast.Name)}
    return frozenset(found)


def rows() -> list[tuple[list[str], list[str]]]:
    """Give the files and the functions of each row of a table."""
    found: list[tuple[list[str], list[str]]] = []
    for line in PROSE.splitlines():
        cells = line.split("|")[1:-1]
        at = next((n for n, cell in enumerate(cells) if ".py`" in cell), None)
        if at is not None:
            found.append((*(re.findall(r"`([^`]+)`", cell) for cell in cells[at : at + 2]),))
    return found


def test_each_file_that_the_page_names_is_there() -> None:
    """In the text and in the tables."""
    named = re.findall(r"`([\w/]+\.py)`", PROSE)
    assert len(named) > 100
    assert [one for one in named if not path_of(one).is_file()] == []


def test_each_function_that_a_table_names_is_in_the_file_beside_it() -> None:
    """A row names files, and after them what is in them."""
    found = rows()
    assert len(found) > 90
    lost = [
        (files, name)
        for files, names in found
        for name in names
        if not any(name in names_in(path_of(file)) for file in files)
    ]
    assert lost == []
    assert all(NAME.fullmatch(name) for _, names in found for name in names)


def test_each_method_that_the_text_names_is_there() -> None:
    """`Loop.submit` and its like exist somewhere."""
    everything = frozenset[str]().union(*(names_in(file) for file in SOURCES.rglob("*.py")))
    named = re.findall(r"`([A-Z]\w+\.[a-z_]\w*)`", PROSE)
    assert named
    assert [one for one in named if one not in everything] == []


@pytest.mark.parametrize("walk", ["One alert, file by file", "One release, file by file"])
def test_a_walk_counts_its_files(walk: str) -> None:
    """The number below the table is how many different files the table has."""
    text = PAGE.split(f"## {walk}\n")[1].split("\n## ")[0]
    files = set(re.findall(r"^\| `([\w/]+\.py)`", text, re.M))
    (told,) = re.findall(r"^That is (\d+) files, (\d+) of them in the core\.$", text, re.M)
    core = [one for one in files if one.startswith("core/")]
    assert [int(one) for one in told] == [len(files), len(core)]


@pytest.mark.parametrize("floor", ["rules", "state", "values"])
def test_the_layers_of_a_floor_are_those_that_are_enforced(floor: str) -> None:
    """The page lists them as pyproject.toml does; a long line goes on after a `|`."""
    shown = re.findall(rf"^core/{floor}/\n((?:  .*\n)+)", PAGE, re.M)[0]
    lines = re.sub(r" \|\n\s+", " | ", shown).strip().splitlines()
    assert [line.strip() for line in lines] == layers_of(f"core-{floor}")


def test_the_layers_are_those_that_are_enforced() -> None:
    """From the commands to what knows nothing else; behind each is what it is for."""
    shown = re.findall(r"^```\n(cli\n.*?)\n\n", PAGE, re.M | re.S)[0]
    assert [re.split(r"   +", line)[0] for line in shown.splitlines()] == layers_of("layers")


def test_the_floors_of_the_core_are_those_that_are_enforced() -> None:
    """From the top of the core to its ground."""
    shown = re.findall(r"^core/     (.*?)\n\n", PAGE, re.M | re.S)[0]
    assert [line.split()[0].rstrip("/") for line in shown.splitlines()] == layers_of("core-floors")


def layers_of(contract: str) -> list[str]:
    """Give the layers of a contract in pyproject.toml."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    (layers,) = (one["layers"] for one in contracts["contracts"] if one["id"] == contract)
    return layers
