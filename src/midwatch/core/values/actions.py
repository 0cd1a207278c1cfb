"""What a runbook's step does in the world: a request, a command, or a named action of the config.

Law: a value is put in whole or not at all; nothing is pasted into a text, and there is no template
language. What comes from outside has to fit its pattern first, may not look like an option of a
command, and is never longer than MAX_VALUE. A named action says how it is seen to be done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from msgspec import Struct, field, structs

from midwatch.core.values import patterns
from midwatch.errors import InputError

MAX_VALUE = 200
NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
PLAIN = r"[A-Za-z0-9][A-Za-z0-9._@+/-]*"  # what midwatch itself puts in: services, releases
OK = tuple(range(200, 300))

Risk = Literal["read", "reversible", "destructive"]


class Request(Struct, frozen=True, tag="http", omit_defaults=True):
    """An HTTP request; to observe, each of `expect` is what a JSON path of the answer must be."""

    url: str
    method: str = "GET"
    body: dict[str, Any] | None = None
    expect: dict[str, Any] = field(default_factory=dict[str, Any])
    token_env: str = ""

    @property
    def says(self) -> str:
        """Write it for people; the body comes after it."""
        return f"{self.method} {self.url}"


class Command(Struct, frozen=True, tag="command", omit_defaults=True):
    """A program with its arguments; to observe, it ends with 0 when it is done and 1 when not."""

    arguments: tuple[str, ...]

    @property
    def says(self) -> str:
        """Write it for people."""
        return " ".join(
            one if re.fullmatch(r"[\w@%+=:,./-]+", one) else repr(one) for one in self.arguments
        )


Deed = Request | Command


class Action(Struct, frozen=True):
    """A named action: what does it, what sees that it is done, and how long that may take.

    An `idempotent` one may be done twice: it is then as if it was done once.
    """

    name: str
    apply: Deed
    observe: Deed
    within_s: int = 0  # 0 for what is not said
    idempotent: bool = False

    @property
    def places(self) -> frozenset[str]:
        """Name the values that it needs."""
        return places_of(self.apply) | places_of(self.observe)


def places_of(deed: object) -> frozenset[str]:
    """Name the values that have to be put in.

    >>> sorted(places_of(Command(("kubectl", "{namespace}", "x{y}"))))
    ['namespace']
    """
    if isinstance(deed, str):
        found = PLACE.fullmatch(deed)
        return frozenset((found[1],)) if found else frozenset()
    if isinstance(deed, Struct):
        return places_of(structs.asdict(deed))
    if isinstance(deed, dict):
        values = cast("dict[str, object]", deed)
        return frozenset[str]().union(*(places_of(one) for one in values.values()))
    if isinstance(deed, list | tuple):
        items = cast("list[object]", deed)
        return frozenset[str]().union(*(places_of(one) for one in items))
    return frozenset()


def places_inside(given: Any) -> frozenset[str]:
    """Name the places that stand inside a longer text, where nothing is put in.

    >>> sorted(places_inside({"path": "apps/{service}/restart", "topic": "{topic}"}))
    ['service']
    """
    if isinstance(given, str):
        return frozenset() if PLACE.fullmatch(given) else frozenset(PLACE.findall(given))
    if isinstance(given, Request):
        return places_inside((given.url, given.body, given.expect))
    if isinstance(given, Command):
        return places_inside(given.arguments)
    if isinstance(given, dict):
        parts = cast("dict[str, Any]", given).values()
    elif isinstance(given, list | tuple):
        parts = cast("list[Any]", given)
    else:
        return frozenset()
    return frozenset[str]().union(*(places_inside(one) for one in parts))


def put(given: Any, values: Mapping[str, Any]) -> Any:
    """Put values in whole: a text that is a place and nothing else becomes its value.

    Raises InputError for a place without a value.

    >>> put({"topic": "{topic}", "why": "for {topic}"}, {"topic": "gift cards; rm -rf /"})
    {'topic': 'gift cards; rm -rf /', 'why': 'for {topic}'}
    """
    if isinstance(given, str):
        found = PLACE.fullmatch(given)
        if found is None:
            return given
        if found[1] not in values:
            raise InputError(f"{given} has no value", remedy=f"give --param {found[1]}=...")
        return values[found[1]]
    if isinstance(given, dict):
        mapping = cast("dict[str, Any]", given)
        return {name: put(one, values) for name, one in mapping.items()}
    if isinstance(given, list | tuple):
        items = [put(one, values) for one in cast("list[Any]", given)]
        return tuple(items) if isinstance(given, tuple) else items
    return given


def filled(deed: Deed, values: Mapping[str, Any]) -> Deed:
    """Put values into a request's body or a command's arguments. Raises InputError.

    >>> filled(Command(("purge", "{topic}")), {"topic": "a b"}).arguments
    ('purge', 'a b')
    """
    if isinstance(deed, Request):
        body, expect = put(deed.body, values), put(deed.expect, values)
        return structs.replace(deed, body=body, expect=expect)
    arguments = tuple(str(put(one, values)) for one in deed.arguments)
    for before, after in zip(deed.arguments, arguments, strict=True):
        if before != after and after.startswith("-"):
            raise InputError(f"{before} would be an option: {after!r}", remedy="give another value")
    return Command(arguments)


def checked(name: str, value: str, pattern: str) -> str:
    """Give a value back that fits. Raises InputError; a long one is not even told.

    >>> checked("release", "v1.2", "[a-z0-9.]{1,64}")
    'v1.2'
    >>> checked("release", "v1; rm", "[a-z0-9.]{1,64}")
    Traceback (most recent call last):
        ...
    midwatch.errors.InputError: release: 'v1; rm' does not fit [a-z0-9.]{1,64}; give one that fits
    """
    if len(value) > MAX_VALUE:
        says = f"{len(value)} characters are more than {MAX_VALUE}"
        raise InputError(says, place=name, remedy="give a shorter one")
    if not value.isprintable() or not patterns.fits(pattern, value):
        says = f"{value!r} does not fit {pattern}"
        raise InputError(says, place=name, remedy="give one that fits")
    return value
