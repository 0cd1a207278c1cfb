"""What `midwatch tickets test` says of the words that find what reports are about."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from midwatch import config
from midwatch.cli.main import cli
from midwatch.core.values.confusions import confuse
from midwatch.errors import BadFile, InputError

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "tickets" / "tickets.yaml"
REPORTS = ROOT / "tests" / "fixtures" / "tickets"
LANGUAGES = ["en", "de", "fr", "zh", "ja"]
ASSISTANT = EXAMPLE.with_name("assistant.yaml")
KINDS = ("en", "de", "fr", "es", "ja")
TEN = 10  # words or phrases a category and language
FOUND, WRONG = 0.75, 0.02
# What was measured, found of those that belong and wrong of all: it gets no worse from now on.
MEASURED = {
    "assistant-own.jsonl": (0.72, WRONG),
    "assistant-seen.jsonl": (0.95, WRONG),
    "assistant-unseen.jsonl": (0.45, 0.05),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config with the categories of the example."""
    return config_of(tmp_path, EXAMPLE, "{name: checkout}, {name: login}, {name: search}")


def config_of(folder: Path, example: Path, services: str) -> Path:
    """A config with the categories of a file."""
    main = "sources: {a: {type: alertmanager}}\nescalation: {steps: [{to: ada}]}\n"
    (folder / "midwatch.yaml").write_text(main + example.read_text("utf-8"), "utf-8")
    (folder / "topology.yaml").write_text(f"services: [{services}]\n", "utf-8")
    return folder


def typed(folder: Path, *args: str) -> tuple[int, str]:
    """Type it; gives its exit code and what it printed, or the error that it says."""
    said = StringIO()
    line = ["tickets", "test", *args, "--config", str(folder)]
    try:
        with redirect_stdout(said):
            code = cli.main(line, standalone_mode=False)
    except (click.ClickException, BadFile, InputError) as error:
        return 2, str(error)
    return code, said.getvalue()


def labelled(file: Path, reports: Iterable[dict[str, Any]]) -> str:
    """A file of labelled reports."""
    file.write_text("".join(f"{json.dumps(one)}\n" for one in reports), "utf-8")
    return str(file)


WRONGLY = "my password is wrong"
SOME = (
    {"text": "my card was declined", "category": "payment", "language": "en"},
    {"text": "登录不了", "category": "login", "language": "zh"},
    {"text": WRONGLY, "category": "payment", "language": "en"},
    {"text": "I want my money", "category": "payment", "language": "en"},
    {"text": "where is my parcel?", "category": "", "language": "en"},
    {"text": "thank you", "category": "none", "language": "en"},
)


def test_the_table_says_what_the_words_say(folder: Path) -> None:
    """Each label against what was said, the shares of all and by language, and what was misread."""
    file = labelled(folder / "r.jsonl", SOME)
    code, printed = typed(folder, file)
    assert (code, printed.splitlines()) == (
        0,
        [
            "label    payment  login  search   none   <- what the words say",
            "payment        1      1       0      1",
            "login          0      1       0      0",
            "search         0      0       0      0",
            "none           0      0       0      2",
            "all: found 2 of 4 that belong (0.50), wrong 1 of 6 (0.17)",
            "en: found 1 of 3 that belong (0.33), wrong 1 of 5 (0.20)",
            "zh: found 1 of 1 that belong (1.00), wrong 0 of 1 (0.00)",
            f"wrong  {file}:3: payment, said login, by password*, *passwor*, wrong: {WRONGLY}",
            f"missed {file}:4: payment, said none: I want my money",
        ],
    )
    code, printed = typed(folder, file, "--json")
    found = json.loads(printed)
    assert (code, found["table"]["payment"]) == (
        0,
        {"payment": 1, "login": 1, "search": 0, "none": 1},
    )
    assert found["all"]["found_share"] == 0.5
    assert [one["place"] for one in found["misread"]] == [f"{file}:3", f"{file}:4"]


def test_what_is_wanted_is_judged(folder: Path) -> None:
    """Exit 1 when too few are found or too many are wrong, for a check in CI."""
    file = labelled(folder / "r.jsonl", SOME)
    for args, code in (
        (("--found", "0.5"), 0),
        (("--found", "0.51"), 1),
        (("--wrong", "0.1"), 1),
        (("--wrong", "0.17"), 0),
        (("--found", "nan"), 2),
        (("--found", "7"), 2),
    ):
        assert typed(folder, file, *args)[0] == code, args
    nothing = labelled(folder / "n.jsonl", SOME[4:])
    assert typed(folder, nothing, "--found", "0.9")[0] == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": "a"}', "r.jsonl:1"),
        ('{"text": "a", "category": "paiment"}', "r.jsonl:1: unknown category 'paiment'"),
        ("nothing", "r.jsonl:1"),
        ("", "the file has no reports"),
    ],
)
def test_a_bad_line_is_named(folder: Path, line: str, says: str) -> None:
    """With its file, and nothing is measured."""
    file = folder / "r.jsonl"
    file.write_text(line + "\n", "utf-8")
    code, printed = typed(folder, str(file))
    assert (code, says in printed) == (2, True), printed


@pytest.mark.parametrize(
    ("half", "reports", "belong"), [("seen", 180, 120), ("unseen", 60, 40), ("all", 240, 160)]
)
def test_the_words_of_the_example_find_most_and_guess_nothing(
    folder: Path, half: str, reports: int, belong: int
) -> None:
    """In five languages, also of the reports that nobody had run when the words were written."""
    rules = config.load(folder).rules
    assert all(len({*one.words, *one.sure}) <= TEN * len(LANGUAGES) for one in rules.categories)
    assert len(rules.trouble) <= TEN * len(LANGUAGES)
    names = ("seen", "unseen") if half == "all" else (half,)
    file = folder / "measured.jsonl"
    file.write_bytes(b"".join((REPORTS / f"{name}.jsonl").read_bytes() for name in names))
    code, printed = typed(folder, str(file), "--found", str(FOUND), "--wrong", str(WRONG), "--json")
    measured = json.loads(printed)
    assert code == 0, measured["all"]
    assert (measured["all"]["reports"], measured["all"]["belong"]) == (reports, belong)
    assert {one["language"] for one in measured["languages"]} == set(LANGUAGES)


def test_of_nothing_there_is_no_share() -> None:
    """Not one of 0, and none of 1."""
    assert confuse([], ()).all.found_share is None


@pytest.mark.parametrize(
    "file", sorted(one.name for one in REPORTS.glob("assistant-*.jsonl")), ids=str
)
def test_the_words_for_an_assistant_do_not_get_worse(tmp_path: Path, file: str) -> None:
    """On each file of labelled reports that is here, whoever wrote it."""
    assert file in MEASURED, (
        f"run it once, and write what was found and wrong into MEASURED: {file}"
    )
    config_of(tmp_path, ASSISTANT, "{name: assistant}, {name: tools}")
    found, wrong = map(str, MEASURED[file])
    code, printed = typed(
        tmp_path, str(REPORTS / file), "--found", found, "--wrong", wrong, "--json"
    )
    measured = json.loads(printed)
    assert code == 0, (measured["all"], measured["misread"])
    assert {one["language"] for one in measured["languages"]} == set(KINDS)


def test_a_category_has_at_most_ten_words_in_each_language(tmp_path: Path) -> None:
    """Whatever is in the example stands on a line of one language, and trouble likewise."""
    counts: Counter[tuple[str, str]] = Counter()
    category = ""
    for line in ASSISTANT.read_text("utf-8").splitlines():
        if head := re.match(r" {2,4}([\w-]+):(?: \[)?$", line):
            category = head[1]
        if part := re.match(r" +(.*), # (\w\w)$", line):
            counts[category, part[2]] += len(yaml.safe_load(f"[{part[1]}]"))
    rules = config.load(config_of(tmp_path, ASSISTANT, "{name: assistant}, {name: tools}")).rules
    assert {one.name for one in rules.categories} | {"trouble"} == {name for name, _ in counts}
    entries = sum(len(one.words) + len(one.sure) for one in rules.categories) + len(rules.trouble)
    assert sum(counts.values()) == entries
    assert {language for _, language in counts} == set(KINDS)
    assert {place: count for place, count in counts.items() if count > TEN} == {}


def test_reports_may_name_their_language_as_corpora_do(folder: Path) -> None:
    """Under `lang`, too; `language` goes first."""
    file = labelled(
        folder / "r.jsonl",
        (
            {"text": "thank you", "category": "", "lang": "en"},
            {"text": "danke", "category": "", "lang": "xx", "language": "de"},
        ),
    )
    measured = json.loads(typed(folder, file, "--json")[1])
    assert [one["language"] for one in measured["languages"]] == ["en", "de"]
