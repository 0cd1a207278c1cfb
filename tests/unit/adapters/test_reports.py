"""Reports for people and machines: what came from a case or an answer is text in each of them."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from midwatch.adapters.reports import junit, markdown
from midwatch.core.values.gate_report import CaseLine, Report

HOSTILE = (
    "<script>x</script> | a [b](javascript:c) ![i](http://x)\n::set-output name=x::y\n"
    "</failure></testcase>]]> `code` @everybody #1 \x00 %0A::error::z"
)


def report(text: str) -> Report:
    """One red case whose every text is this."""
    line = CaseLine(text, "failed", 0, 3, 0, 3, 0, text, text, text, text, text)
    return Report("regression", 1, text, text, text, 1, 6, 0.02, 0.5, 0.6, [text], [text], [line])


@given(st.one_of(st.just(HOSTILE), st.text()))
def test_what_a_case_says_is_text_in_every_report(text: str) -> None:
    """No tag, no link, no row, no command of the runner comes out of it, and XML stays XML."""
    made = report(text or "x")
    root = ET.fromstring(junit.write(made))
    assert [one.tag for one in root] == ["testcase", "testcase"]
    assert {one.tag for case in root for one in case} <= {"properties", "failure"}
    # What stands in a code span is shown as it is.
    marked = re.sub(r"`[^`]*`", "", markdown.write(made))
    assert "<script" not in marked
    assert "[b](" not in marked
    assert "![i](" not in marked
    rows = [line for line in marked.splitlines() if line.startswith("| ")]
    assert len(rows) == 2
    for note in markdown.notes(made):
        assert note.count("\n") == 0
        assert note.startswith("::error title=")
        assert note.count("::") <= 2 + (text or "x").count("::") * 2


@given(st.text().map(lambda text: f"https://x/{text}"))
def test_an_address_ends_where_its_link_ends(link: str) -> None:
    """Whatever stands in it: one cell, one link."""
    line = CaseLine("a", "failed", 0, 3, 0, 3, 0, "INC-7", "q", "g", "w", link)
    (row,) = (
        one
        for one in markdown.write(structs.replace(report("x"), lines=[line])).splitlines()
        if one.startswith("| `a`")
    )
    assert re.fullmatch(r"\| `a` of \[INC-7\]\(https://x/[!-\'*-;=?-Z_a-z~]*\) \|.*", row)
    assert row.count("|") == 7


def test_a_note_cannot_begin_a_second_command() -> None:
    """A new line, which a command of the runner needs, is written as its number."""
    (note,) = markdown.notes(report("a\n::set-output name=x::y"))
    assert "%0A" in note
    assert len(note.splitlines()) == 1
