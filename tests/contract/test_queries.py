"""The named queries: each is declared, has a text in every engine, fits its rows, and is used."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from midwatch.adapters.stores import named, names
from midwatch.adapters.stores.named import Query, Rows
from midwatch.adapters.stores.sqlite_file import apply_migrations
from midwatch.errors import HarnessError

STORES = Path(named.__file__).parent
QUERIES = named.declared(names.FAMILIES)
TEXTS = named.load("sqlite", names.FAMILIES)
ENGINES = sorted(folder.name for folder in named.FOLDER.iterdir())


@pytest.fixture(scope="module")
def schema() -> sqlite3.Connection:
    """A database with every table, and nothing in it that a migration does not put there."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    apply_migrations(db, 0)
    db.executescript((STORES / "access_schema.sql").read_text("utf-8"))
    return db


def parameters(text: str) -> set[str]:
    return set(re.findall(r"(?<!:):([a-z_]+)", text))


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_has_a_text_for_every_query_and_no_other(engine: str) -> None:
    assert named.load(engine, names.FAMILIES).keys() == QUERIES.keys()
    files = {file.stem for file in (named.FOLDER / engine).iterdir()}
    assert files == {family.__name__.lower() for family in names.FAMILIES}


def test_a_text_too_many_or_too_few_keeps_the_store_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "FOLDER", tmp_path)
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" / "inbox.sql"
    for text, says in (
        ("-- name: seen\nSELECT 1;\n", r"no text or no declaration: inbox\.add"),
        ("-- name: seen\nSELECT 1;\n-- name: add\nSELECT 2;\n-- name: more\nSELECT 3;\n", "more"),
        ("-- name: seen\nSELECT 1;\n-- name: seen\nSELECT 2;\n", "seen is there twice"),
        ("-- name: seen\n-- name: add\nSELECT 2;\n", "seen has no text"),
    ):
        file.write_text(text)
        with pytest.raises(HarnessError, match=says):
            named.load.__wrapped__("mine", (names.Inbox,))
    file.unlink()
    with pytest.raises(HarnessError, match="cannot be read"):
        named.load.__wrapped__("mine", (names.Inbox,))


def test_each_query_is_used() -> None:
    code = "\n".join(file.read_text("utf-8") for file in STORES.glob("*.py"))
    assert {q for q in QUERIES if not re.search(rf"\b{q}\b", code, re.IGNORECASE)} == set()


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_each_text_fits_the_schema_and_what_its_rows_are(
    query: Query, schema: sqlite3.Connection
) -> None:
    """A statement that fits no table is refused here; columns are the fields, in their order."""
    text = TEXTS[query.name]
    found = schema.execute(f"EXPLAIN {text}", dict.fromkeys(parameters(text), 0))
    assert found.fetchone()
    if isinstance(query, Rows) and query.kind is not tuple:
        cursor = schema.execute(text, dict.fromkeys(parameters(text), 0))
        assert tuple(column[0] for column in cursor.description) == query.fields


# What is asked at each input, turn or page: none of it may read a table through, or sort one.
HOT = {
    "inbox": "seen",
    "journal": "after linked_after linked_page stream stretch at_or_after trim_snapshots",
    "outbox": "find change claimed due_in_lane next_number next_after",
    "timers": "due find drop",
    "archive": "find newest opened lasting",
    "letters": "read of_source reason",
    "counts": "judged fine fine_until next_fine trim_failures",
    "tokens": "find",
    "access": "find",
    "pruning": "sweep_inbox sweep_outbox sweep_events",
}


@pytest.mark.parametrize("name", [f"{f}.{one}" for f, all_ in HOT.items() for one in all_.split()])
def test_what_is_asked_often_is_found_by_an_index(name: str, schema: sqlite3.Connection) -> None:
    text = TEXTS[name]
    arguments = dict.fromkeys(parameters(text), 0)
    plan = [row[3] for row in schema.execute(f"EXPLAIN QUERY PLAN {text}", arguments)]
    assert [step for step in plan if "SCAN" in step and "USING" not in step] == []
    assert [step for step in plan if "TEMP B-TREE" in step] == []
