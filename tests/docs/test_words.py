"""What people read in the documentation is plain English, in the words of docs/words.md.

Law: no page uses a word or a sentence of the list in tests/words.py, except those in EXCEPT.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.words import PATTERNS, SENTENCES, forbidden, paragraphs

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
GLOSSARY = ROOT / "docs" / "words.md"
# The exceptions: a page, the words it may use, and why.
EXCEPT = {
    "benchmarks.md": {"journal": "its measured table has the texts of benchmarks/results.json"},
    "words.md": dict.fromkeys(
        ("journal", "fold", "watched job", "call graph", "remedy", "hand-off"),
        "its last table lists names that commands, config and code still have",
    ),
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_in_plain_words(page: Path) -> None:
    """Prose, tables, and the comments in what it shows."""
    allowed = EXCEPT.get(page.name, {})
    found = [
        f"{hit} in: {part}"
        for part in paragraphs(page.read_text("utf-8"))
        for hit in forbidden(part)
        if hit.partition(" (write")[0] not in allowed
    ]
    assert found == []


@pytest.mark.parametrize(
    "file", sorted((ROOT / "examples").rglob("*.y*ml")), ids=lambda file: file.name
)
def test_the_comments_of_an_example_are_in_plain_words(file: Path) -> None:
    """People copy them with the rest of the file."""
    shown = f"```yaml\n{file.read_text('utf-8')}```\n"
    assert [hit for part in paragraphs(shown) for hit in forbidden(part)] == []


def test_an_exception_is_needed() -> None:
    """An exception without a use is removed."""
    for name, allowed in EXCEPT.items():
        (page,) = (one for one in PAGES if one.name == name)
        hits = [h for part in paragraphs(page.read_text("utf-8")) for h in forbidden(part)]
        assert {hit.partition(" (write")[0] for hit in hits} == set(allowed)


@pytest.mark.parametrize(
    "text",
    [
        "The proxy stands in `trust`.",
        "It is read anew.",
        "The report tells when.",
        "Nobody is told.",
        "Who wants more, says so.",
        "One that is never red is no gate.",
        "The fix mends it.",
        "A header; may stand again.",
        "Somebody was woken.",
        "Its callers cry out.",
        "Long windows burn on.",
        "The person is called ada.",
        "At the most three.",
        "It lies in the journal.",
        "State is folded.",
        "Users are well again.",
        "Two services in trouble.",
    ],
)
def test_the_list_finds_each_habit(text: str) -> None:
    """In sentences written for this test."""
    assert forbidden(text)


@pytest.mark.parametrize(
    "text",
    [
        "It tells noise from a regression.",
        "There is no cluster.",
        "A token is no longer valid, and one side is no worse.",
        "## Who is paged",
        "Who is on call now?",
        "The incident is closed, and the service has recovered.",
    ],
)
def test_the_list_leaves_plain_english_alone(text: str) -> None:
    """Otherwise people would remove the pattern."""
    assert [hit for part in paragraphs(text) for hit in forbidden(part)] == []


def test_each_sentence_of_the_audit_is_found_across_lines() -> None:
    """However it is wrapped."""
    assert len(SENTENCES) >= 59
    for one in SENTENCES:
        assert one in forbidden("\n".join(one.split(" ")))
    assert len({pattern for pattern, _ in PATTERNS}) == len(PATTERNS)


def test_the_glossary_has_one_row_a_word() -> None:
    """Each word has a meaning and a place; the site and the first pages link to the glossary."""
    text = GLOSSARY.read_text("utf-8").partition("## Exit codes")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| word |")
    ]
    assert len(rows) > 80
    words = [word for word, _, _ in rows]
    assert sorted(set(words)) == sorted(words)
    assert all(meaning and place for _, meaning, place in rows)
    for page in ("README.md", "docs/index.md", "docs/concepts.md", "CONTRIBUTING.md"):
        assert re.search(r"\]\((?:docs/)?words\.md\)", (ROOT / page).read_text("utf-8")), page
    assert "- words.md" in (ROOT / "mkdocs.yml").read_text("utf-8")
