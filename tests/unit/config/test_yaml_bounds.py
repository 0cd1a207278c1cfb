"""A small file that stands for endlessly much is an error with its line, whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch import config
from midwatch.adapters.suites import files
from midwatch.errors import BadFile
from midwatch.yaml_nodes import Problems, excess, read_yaml


def bomb(depth: int, width: int) -> str:
    """Each line refers to the one before so many times."""
    lines = ["x0: &x0 {a: b}"]
    for level in range(1, depth + 1):
        inside = ", ".join(f"k{i}: *x{level - 1}" for i in range(width))
        lines.append(f"x{level}: &x{level} {{{inside}}}")
    return "\n".join(lines) + "\n"


def lists(depth: int, width: int) -> str:
    """The same, of lists."""
    lines = ["x0: &x0 [lol]"]
    for level in range(1, depth + 1):
        inside = ", ".join([f"*x{level - 1}"] * width)
        lines.append(f"x{level}: &x{level} [{inside}]")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (bomb(9, 9), "the aliases expand to more than"),
        (lists(20, 10), "the aliases expand to more than"),
        ("a: " + "[" * 150 + "]" * 150 + "\n", "nested"),
        ("a: " + "[" * 5_000 + "]" * 5_000 + "\n", "nested"),
        ("a: " + "{b: " * 150 + "1" + "}" * 150 + "\n", "nested"),
    ],
    ids=["maps", "lists", "deep", "very deep", "deep maps"],
)
def test_what_stands_for_too_much_is_refused(text: str, says: str, tmp_path: Path) -> None:
    """By the reader of the config, and by that of suites."""
    file = tmp_path / "file.yaml"
    file.write_text(text, "utf-8")
    problems = Problems()
    read_yaml(file, problems)
    (found,) = problems.in_order()
    assert says in str(found)
    assert str(found).startswith(f"{file}:")
    (tmp_path / "midwatch.yaml").write_text(text, "utf-8")
    _, errors = config.check(tmp_path)
    assert any(says in str(one) for one in errors)
    suite = tmp_path / "suite.yaml"
    suite.write_text(f"suite: s\ncases: [{{id: a, question: q, expect: x}}]\n{text}", "utf-8")
    with pytest.raises(BadFile, match=says):
        files.read(suite)


def test_what_leads_back_to_itself_is_found() -> None:
    """In lists and maps, at once and deep inside; the same value twice is no circle."""
    inner: list[object] = []
    for circle in (inner, [inner], {"a": {"b": inner}}):
        inner[:] = [circle]
        assert "an alias refers to a value that contains it" in excess(circle)
    inner[:] = [1]
    assert excess([inner, {"a": inner}]) == ""


def test_aliases_as_people_write_them_are_fine(tmp_path: Path) -> None:
    """An anchor that is used a hundred times, inside others."""
    text = "base: &base {a: 1, b: [x, y]}\nall:\n" + "  - {of: *base}\n" * 100
    file = tmp_path / "file.yaml"
    file.write_text(text, "utf-8")
    problems = Problems()
    assert sum(1 for _ in read_yaml(file, problems).child("all").items()) == 100
    assert not problems.found


def test_references_that_fan_out_are_refused(tmp_path: Path) -> None:
    """promptfoo's `$ref` in a few lines can stand for millions of tests."""
    levels = ""
    for level in range(1, 9):
        refs = ", ".join([f"{{$ref: '#/defs/l{level - 1}'}}"] * 9)
        levels += f"  l{level}: [{refs}]\n"
    file = tmp_path / "promptfooconfig.yaml"
    file.write_text(
        f"defs:\n  l0: {{a: b}}\n{levels}prompts: ['{{{{q}}}}']\n"
        "tests: [{vars: {q: {$ref: '#/defs/l8'}}}]\n",
        "utf-8",
    )
    with pytest.raises(BadFile, match="references expand to more than"):
        files.read(file)
