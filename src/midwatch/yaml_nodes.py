"""YAML values that know where they stand.

Law: a wrong shape is noted with file, line, key and remedy, and read as empty, so that one run
finds every error. YAML is 1.2: `Yes` stays a string, and a key stands once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from midwatch.errors import BadFile

SHOWN = 60  # so much of a text is shown in an error
DEEPEST = 100
MOST_ALIASED = 100_000  # values beyond those that are written
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Problems:
    """Collects what is wrong, so that one run reports all of it."""

    def __init__(self) -> None:
        self.found: list[BadFile] = []
        self._lacking: list[str] = []

    def add(self, place: str, message: str, remedy: str) -> None:
        """Note one error, once: two parts of the config may read the same key."""
        error = BadFile(message, place=place, remedy=remedy)
        if str(error) not in (str(one) for one in self.found):
            self.found.append(error)

    def lacks(self, path: str) -> None:
        """Remember a missing key: that what is below it is missing too is no news."""
        self._lacking.append(path)

    def is_known(self, path: str) -> bool:
        """Say whether this path, or one above it, is known to be missing."""
        return any(path == lack or path.startswith(f"{lack}.") for lack in self._lacking)

    def in_order(self) -> list[BadFile]:
        """Give the errors by file and line."""

        def where(error: BadFile) -> tuple[str, int]:
            found = re.match(r"(.*?):(\d+)", error.place)
            return (found[1], int(found[2])) if found else (error.place, 0)

        return sorted(self.found, key=where)


class Node:
    """A YAML value that knows where it stands. Wrong shapes are noted, and read as empty."""

    def __init__(self, value: Any, file: str, line: int, path: str, problems: Problems) -> None:
        self.value = value
        self.file = file
        self.line = line
        self.path = path
        self.problems = problems

    def error(self, message: str, remedy: str) -> None:
        """Note that this value is wrong."""
        if self.value is None and self.problems.is_known(f"{self.file}:{self.path}"):
            return
        key = f" {self.path}" if self.path else ""
        self.problems.add(f"{self.file}:{self.line}{key}", message, remedy)

    @property
    def shape(self) -> str:
        """What the value is, in YAML's words."""
        return _shape(self.value)

    @property
    def found(self) -> str:
        """What is here instead of the right value, as an error puts it: "missing" or "got 5"."""
        return self.shape if self.value is None else f"got {self.shape}"

    @property
    def mapping(self) -> dict[Any, Any] | None:
        """The value as a mapping, None when it is another thing."""
        return self.value if _is_a(dict, self.value) else None

    def keys(self, *allowed: str, required: tuple[str, ...] = ()) -> None:
        """Expect a mapping with no other keys than these."""
        mapping = self.mapping
        if mapping is None:
            self.error(self.found, f"write a mapping with {', '.join(allowed)}")
            return
        for key in mapping:
            if key not in allowed:
                near = difflib.get_close_matches(str(key), allowed, 1)
                hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(allowed)}"
                self.child(str(key), key).error("unknown key", hint)
        for key in required:
            if key not in mapping:
                self.error(f"{key} is missing", f"add {key}")
                below = f"{self.path}.{key}" if self.path else key
                self.problems.lacks(f"{self.file}:{below}")

    def child(self, name: str, key: object = None) -> Node:
        """Go to a key of a mapping; its value is None when it is not there."""
        key = name if key is None else key
        value, line = None, self.line
        mapping = self.mapping
        if mapping is not None:
            value = mapping.get(key)
            line = _line_of(mapping, key, self.line)
        path = f"{self.path}.{name}" if self.path else name
        return Node(value, self.file, line, path, self.problems)

    def has(self, name: str) -> bool:
        """Say whether a mapping has this key."""
        mapping = self.mapping
        return mapping is not None and name in mapping

    def items(self) -> Iterator[Node]:
        """Go through a list."""
        if self.value is None:
            return
        if not _is_a(list, self.value):
            self.error(self.found, "write a list")
            return
        values: list[Any] = self.value
        for number, value in enumerate(values):
            line = _line_of(values, number, self.line)
            yield Node(value, self.file, line, f"{self.path}[{number}]", self.problems)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Go through a mapping with free keys."""
        if self.value is None:
            return
        mapping = self.mapping
        if mapping is None:
            self.error(self.found, "write a mapping")
            return
        for key in list(mapping):
            yield str(key), self.child(str(key), key)

    def text(self, default: str | None = None) -> str:
        """Expect a text; without a default it must not be empty."""
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str) or not self.value.strip():
            self.error(self.found, "write text")
            return default or ""
        return str(self.value)

    def scalar(self) -> str:
        """Expect a text, which may be empty, a number or a truth value; give it as text."""
        if isinstance(self.value, bool):
            return str(self.value).lower()
        if isinstance(self.value, (int, float)):
            return str(self.value)
        return self.text() if self.value != "" else ""

    def integer(self, default: int, *, at_least: int = 0, at_most: int | None = None) -> int:
        """Expect a whole number."""
        if self.value is None:
            return default
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self.error(self.found, "write a whole number")
            return default
        if self.value < at_least:
            self.error(f"got {self.value}", f"it must be at least {at_least}")
            return default
        if at_most is not None and self.value > at_most:
            self.error(f"got {self.value}", f"it must be at most {at_most}")
            return default
        return int(self.value)

    def number(self, default: str) -> str:
        """Expect a number, kept as the decimal text that was written."""
        if self.value is None:
            return default
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            self.error(self.found, "write a number")
            return default
        return str(self.value)

    def duration_s(self, default: int) -> int:
        """Expect a duration such as 90s, 5m, 1h or 30d, and give its seconds."""
        if self.value is None:
            return default
        found = re.fullmatch(r"(\d+)([smhdw])", str(self.value))
        if not found or int(found[1]) == 0:
            self.error(f"got {_shape(self.value)}", "write a duration such as 90s, 5m, 1h or 30d")
            return default
        return int(found[1]) * UNITS_S[found[2]]

    def url(self) -> str:
        """Expect an http or https address."""
        text = self.text()
        if text and not _is_url(text):
            self.error("not an http or https URL", "write it like https://example.org/hook")
        return text

    def known(self, what: str, names: Collection[str], where: str, value: object = None) -> None:
        """Expect a name of something that was written elsewhere; `value` stands in for a key."""
        name = self.value if value is None else value
        if isinstance(name, str) and name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"add it to {where}"
            self.error(f"unknown {what} {_shape(name)}", hint)

    def choice(self, *allowed: str, default: str | None = None) -> str:
        """Expect one of a few words."""
        if self.value is None and default is not None:
            return default
        if self.value not in allowed:
            self.error(self.found, f"write one of {', '.join(allowed)}")
            return default or allowed[0]
        return str(self.value)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text
    named = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    return plain and named and port != 0


def read_yaml(file: Path, problems: Problems, text: str | None = None, line: int = 0) -> Node:
    """Read YAML with its lines; `line` is where `text` starts when it is a part of the file."""
    loaded = _load(file, problems, text, line)
    if loaded is None:
        # One error is enough for a file that cannot be read.
        return Node({}, str(file), 1 + line, "", Problems())
    if len(loaded) > 1:
        where = f"{file}:{_begin(loaded[1]) + line}"
        problems.add(where, "a second document starts here", "write one document per file")
    return _root(loaded[0] if loaded else None, file, line, problems)


def read_documents(file: Path, problems: Problems) -> list[Node]:
    """Read every YAML document of a file."""
    loaded = _load(file, problems, None, 0)
    if loaded is not None and all(value is None for value in loaded):
        problems.add(f"{file}:1", "the file is empty", "write a document, or remove the file")
    return [_root(value, file, 0, problems) for value in loaded or () if value is not None]


def _load(file: Path, problems: Problems, text: str | None, line: int) -> list[Any] | None:
    """Give what each document holds; None for a file that is noted as unreadable."""
    from ruamel.yaml import YAML  # imported late: --help must not pay for it
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        reader: Any = YAML(typ="rt")  # ruamel.yaml has no types for what it loads
        loaded: list[Any] = []
        for one in reader.load_all(file.read_text("utf-8") if text is None else text):
            if says := excess(one):
                remedy = "use fewer aliases or fewer levels"
                problems.add(f"{file}:{_begin(one) + line}", says, remedy)
                return None
            loaded.append(_plain(one, set()))
        return loaded
    except RecursionError:
        problems.add(f"{file}:{1 + line}", "nested too deeply", "use fewer levels")
    except MarkedYAMLError as error:
        known = cast("Any", error)
        mark = known.problem_mark or known.context_mark
        at = mark.line + 1 + line if mark else 1
        says = " ".join(str(known.problem or known.context).split())
        problems.add(f"{file}:{at}", f"invalid YAML: {says}", "fix the syntax")
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        says = " ".join(str(error).split())
        problems.add(f"{file}:1", f"cannot be read: {says}", "write it as YAML in UTF-8")
    return None


def excess(value: Any) -> str:
    """Say why a document is more than anybody may read; empty when it is not.

    A few lines of aliases can stand for more values than any machine has room for, and one that
    leads back to what holds it for endlessly many. Each value is looked at once here.

    >>> excess({"a": [1, 2]}), excess([[[]]] * 3)
    ('', '')
    """
    sizes: dict[int, int] = {}  # of containers that are counted, with all that is in them
    open_now: set[int] = set()
    written = 0
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        one, counted = stack.pop()
        inside = _inside(one)
        if inside is None or id(one) in sizes:
            continue
        if counted:
            sizes[id(one)] = 1 + sum(sizes.get(id(part), 1) for part in inside)
            open_now.discard(id(one))
            continue
        if id(one) in open_now:
            return "an alias refers to a value that contains it"
        if len(open_now) >= DEEPEST:
            return f"nested more than {DEEPEST} levels deep"
        open_now.add(id(one))
        written += 1 + len(inside)
        stack.append((one, True))
        stack.extend((part, False) for part in inside)
    stands_for = sizes.get(id(value), 1)
    if stands_for > written + MOST_ALIASED:
        return f"the aliases expand to more than {MOST_ALIASED:,} values"
    return ""


def _inside(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        return list(cast("dict[Any, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else None


def _plain(value: Any, seen: set[int]) -> Any:
    """Give numbers and texts as Python's own; the reader's kinds remember how they were written."""
    if isinstance(value, (dict, list)):
        inside = cast("dict[Any, Any] | list[Any]", value)
        if id(inside) not in seen:  # an alias may lead back to what it stands in
            seen.add(id(inside))
            pairs = inside.items() if isinstance(inside, dict) else enumerate(inside)
            for key, one in list(pairs):
                kept = _plain(one, seen)
                if kept is not one:
                    inside[key] = kept
        return inside
    if type(value).__name__ == "ScalarBoolean":  # an anchored one, which is an int to Python
        return bool(value)
    for kind in (float, int, str):
        if isinstance(value, kind) and not isinstance(value, bool):
            return kind(value)
    return value


def _root(value: Any, file: Path, line: int, problems: Problems) -> Node:
    if line:
        _shift(value, line)
    return Node(value, str(file), _begin(value) + line, "", problems)


def _begin(value: Any) -> int:
    """Say in which line a document begins."""
    line = getattr(getattr(value, "lc", None), "line", None)
    return 1 if line is None else line + 1


def _shift(value: Any, by: int) -> None:
    """Move the line marks of a part to where they stand in the whole file."""
    if hasattr(value, "lc"):
        value.lc.shift = by
        children: list[Any] = list(value.values() if hasattr(value, "values") else value)
        for child in children:
            _shift(child, by)


def _line_of(container: Any, key: object, default: int) -> int:
    try:
        mark = container.lc.data[key]
    except (AttributeError, KeyError, TypeError):
        return default
    return mark[0] + 1 + getattr(container.lc, "shift", 0)


def _is_a(kind: type, value: object) -> bool:
    """Ask for a type without narrowing to a container of unknown things."""
    return isinstance(value, kind)


def _shape(value: object) -> str:
    """Say what a value is, in YAML's words.

    >>> _shape(None), _shape(True), _shape(["a"]), _shape("x"), _shape("y" * 99)[-7:]
    ('missing', 'true', 'a list', "'x'", "yyy...'")
    """
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if not isinstance(value, str):
        return str(value)
    # A file that was not meant may be one text: an error prints no file.
    return repr(value if len(value) <= SHOWN else f"{value[: SHOWN - 3]}...")
