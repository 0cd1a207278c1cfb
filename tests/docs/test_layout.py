"""How the code is laid out: the formatter decides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [
    file for part in ("src", "tests", "benchmarks", "docs") for file in (ROOT / part).rglob("*.py")
]
# An exception says why on its line; a whole stretch that is left out is none.
LEFT_OUT = re.compile(r"#\s*fmt:\s*(off|on|skip)(?!, since \w)")


def test_what_the_formatter_leaves_out_has_its_reason() -> None:
    """On the same line: `# fmt: skip, since ...`."""
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line}"
        for file in FILES
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if file != Path(__file__) and LEFT_OUT.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", ["x = 1  # fmt: skip", "# fmt: off", "x = 1  # fmt:skip, so"])
def test_an_exception_without_a_reason_is_found(line: str) -> None:
    """Whatever the spaces are."""
    assert LEFT_OUT.search(line)
    assert not LEFT_OUT.search("x = 1  # fmt: skip, since a table is read by columns")
