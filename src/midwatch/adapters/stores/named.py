"""Named queries: what a query gives is declared in Python, its text is in a file of each engine.

Law: a declared query has a text and a text is declared, or the store is not opened. No text is put
together at run time: what varies is a named parameter.

    queries/sqlite/timers.sql       -- name: due
                                    SELECT ... FROM timer WHERE due_at <= :now ...;
    names.py                        class Timers:
                                        due = Rows(Timer)
    in use                          db.all(Timers.due, now=now)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from midwatch.errors import HarnessError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

FOLDER = Path(__file__).parent / "queries"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


class Query:
    """A query by its name, which is that of its family and of the attribute that holds it."""

    name = ""

    def __set_name__(self, family: type, name: str) -> None:
        self.name = f"{family.__name__.lower()}.{name}"

    def __repr__(self) -> str:
        return f"<query {self.name}>"


class Rows(Query, Generic[T_co]):
    """A query whose rows are values of a type: its columns are the fields, in their order."""

    def __init__(self, kind: type[T_co]) -> None:
        self.kind = kind

    @property
    def fields(self) -> tuple[str, ...]:
        """Name the columns that it must have."""
        return tuple(getattr(self.kind, "__struct_fields__", ())) or tuple(
            getattr(self.kind, "_fields", ())
        )


class Values(Query, Generic[T_co]):
    """A query of one column."""


class Change(Query):
    """A statement that writes, and gives no rows."""


def parse(text: str, place: str) -> dict[str, str]:
    r"""Take a file of queries apart. What comes before the first name says what the file is for.

    >>> parse("-- Timers.\n\n-- name: find\nSELECT 1;\n\n-- name: all\nSELECT 2;\n", "t.sql")
    {'find': 'SELECT 1;', 'all': 'SELECT 2;'}
    """
    _, *parts = _NAME.split(text)
    found: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        lines = [line for line in body.strip().splitlines() if not line.startswith("--")]
        if name in found or not lines:
            says = f"the query {name} is there twice" if name in found else f"{name} has no text"
            raise HarnessError(says, place=place, remedy="install midwatch again")
        found[name] = "\n".join(lines)
    return found


def declared(families: Iterable[type]) -> dict[str, Query]:
    """List the queries of families, by their names."""
    return {
        query.name: query
        for family in families
        for query in vars(family).values()
        if isinstance(query, Query)
    }


@cache
def load(engine: str, families: tuple[type, ...]) -> dict[str, str]:
    """Give the text of each query of an engine. Raises HarnessError when one is missing or unknown.

    The texts of a family are in the file that is called as the family is.
    """
    texts: dict[str, str] = {}
    for family in families:
        file = FOLDER / engine / f"{family.__name__.lower()}.sql"
        try:
            found = parse(file.read_text("utf-8"), file.name)
        except OSError as error:
            raise HarnessError(
                f"cannot be read: {error.strerror}",
                place=str(file),
                remedy="install midwatch again",
            ) from error
        texts |= {f"{family.__name__.lower()}.{name}": text for name, text in found.items()}
    odd = declared(families).keys() ^ texts.keys()
    if odd:
        raise HarnessError(
            f"these queries have no text or no declaration: {', '.join(sorted(odd))}",
            place=str(FOLDER / engine),
            remedy="install midwatch again",
        )
    return texts
