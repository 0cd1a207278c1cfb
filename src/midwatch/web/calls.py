"""One request, past its guards, and what an answer may be.

Law: a call knows who calls and what its address says; what its body says is a value of its own.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct
from starlette.requests import Request

from midwatch.core.values.moments import moment
from midwatch.engine import paging
from midwatch.errors import InputError
from midwatch.ports import Token

D_co = TypeVar("D_co", covariant=True)


class Call(Struct, frozen=True, kw_only=True):
    """Who calls, and what the address says; `now` is the wall clock in milliseconds."""

    request: Request
    by: Token
    now: int
    flags: dict[str, bool]
    numbers: dict[str, int]
    key: str = ""  # of the input that follows, empty when it may be done again
    limit: int = paging.LIMIT
    after: str = ""

    @property
    def id(self) -> str:
        """The name in its path, empty where the path has none."""
        return next(iter(self.request.path_params.values()), "")

    @property
    def after_number(self) -> int:
        """Where to go on in what is counted. Raises NoSuchRow."""
        return paging.number(self.after) if self.after else 0

    def at(self, given: float, name: str) -> int:
        """Read a moment of a body as milliseconds; 0 is none. Raises InputError."""
        try:
            return moment(int(given), self.now) if given else 0
        except ValueError as error:
            remedy = "write milliseconds since 1970"
            raise InputError(str(error), place=f"$.{name}", remedy=remedy) from None


class Part(Struct, Generic[D_co], frozen=True):
    """A part of an answer; `path` gives the next one with `after`, which is empty at the end."""

    document: D_co
    path: str
    after: str


class NotThere(InputError):
    """What is asked for does not exist."""
