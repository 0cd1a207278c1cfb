"""Runs the named queries of one engine on one connection, and makes values of its rows.

Law: the only place where a row is read by position. What is here asks a connection for no more than
what every DB-API driver has, so whoever uses it knows no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import starmap
from typing import Any, Protocol, TypeVar, cast

from midwatch.adapters.stores.named import Change, Query, Rows, Values
from midwatch.errors import BadDatabase

T = TypeVar("T")


class Cursor(Protocol):
    """What a statement left behind."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""
        ...

    def fetchone(self) -> Any:
        """Give the next row, or None."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Give the rows that are left."""
        ...


class Connection(Protocol):
    """A connection of a DB-API driver."""

    def execute(self, sql: str, parameters: Mapping[str, Any], /) -> Cursor:
        """Run a statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Mapping[str, Any]], /) -> Cursor:
        """Run a statement for each of several sets of parameters."""
        ...


class Database:
    """A connection that is asked by the names of queries. What it raises is the driver's."""

    def __init__(self, connection: Connection, texts: Mapping[str, str]) -> None:
        self._connection = connection
        self._texts = texts

    def _run(self, query: Query, args: Mapping[str, Any]) -> Cursor:
        return self._connection.execute(self._texts[query.name], args)

    def each(self, query: Rows[T], **args: Any) -> Iterator[T]:
        """Give rows one by one, as they are asked for."""
        found = self._run(query, args)
        if query.kind is tuple:  # rows whose columns are a seal's business alone
            return cast("Iterator[T]", iter(found))
        return starmap(query.kind, found)

    def all(self, query: Rows[T], **args: Any) -> list[T]:
        """Give every row."""
        return list(self.each(query, **args))

    def one(self, query: Rows[T], **args: Any) -> T | None:
        """Give the first row, None when there is none."""
        found = self._run(query, args).fetchone()
        return None if found is None else query.kind(*found)

    def only(self, query: Rows[T]) -> T:
        """Give the row of a table that has one. Raises BadDatabase when it is gone."""
        found = self.one(query)
        if found is None:
            raise BadDatabase(
                f"the row of {query.name} is gone", remedy="restore the event log from a backup"
            )
        return found

    def values(self, query: Values[T], **args: Any) -> Iterator[T]:
        """Give the values of a column, one by one."""
        return (value for (value,) in self._run(query, args))

    def value(self, query: Values[T], **args: Any) -> T | None:
        """Give one value, None when there is no row or nothing in it."""
        found = self._run(query, args).fetchone()
        return None if found is None else found[0]

    def change(self, query: Change, **args: Any) -> int:
        """Write; gives how many rows were changed."""
        return self._run(query, args).rowcount

    def change_each(self, query: Change, args: Sequence[Mapping[str, Any]]) -> None:
        """Write once for each set of parameters."""
        if args:
            self._connection.executemany(self._texts[query.name], args)
