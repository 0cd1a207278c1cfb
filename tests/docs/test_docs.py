"""Docs and programs say the same: what a page shows is what the command prints.

Law: an output in the README was printed by the command above it; a flag in a page is in `--help`.
"""

import collections
import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from benchmarks import page as figures
from click.testing import CliRunner
from ruamel.yaml import YAML

from midwatch import __version__, yaml_nodes
from midwatch.cli.main import cli
from midwatch.config import check
from midwatch.core.values import judgements

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.M | re.S)
# The command's words, then whatever follows on the line.
COMMAND = re.compile(r"\bmidwatch ((?:[a-z]+(?:-[a-z]+)* ?){1,3})([^`\n|<>#]*)")


def test_the_readme_shows_what_the_drill_prints() -> None:
    """The fence after `make drill` holds what it printed."""
    ran = CliRunner().invoke(cli, ["drill"])
    assert not ran.exit_code
    blocks = FENCE.findall((ROOT / "README.md").read_text("utf-8"))
    at = blocks.index("make drill\n")
    assert blocks[at + 1] == ran.output


def test_the_page_of_benchmarks_shows_what_was_measured() -> None:
    """Its table is what `make bench` makes of results.json, down to what missed its mark."""
    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    shown = text.partition(figures.BEGIN)[2].partition(figures.END)[0]
    assert shown.strip() == figures.table(results).strip()
    assert shown.count("**not reached**") == sum(not one["ok"] for one in results.values())


def test_what_misses_its_mark_stands_among_the_limits() -> None:
    """Nobody has to look for it in a table."""
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    limits = (ROOT / "docs" / "limits.md").read_text("utf-8")
    for name, one in results.items():
        if not one["ok"]:
            shown = f"{one['value']:,.0f}" if one["value"] > 1 else f"{one['value']:.3f}"[1:]
            assert shown in limits or shown.rstrip("0") in limits, (name, shown)


KEYS = {
    "value",
    "unit",
    "peer",
    "peer_value",
    "ratio",
    "reach",
    "ok",
    "command",
    "machine",
    "date",
}


def test_each_figure_says_how_it_was_measured() -> None:
    """Its ten keys and no other: a value beside its peer's, on which machine, by which command."""
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    assert results
    assert {name: sorted(row) for name, row in results.items() if set(row) != KEYS} == {}
    for name, row in results.items():
        assert all(row[key] not in ("", None) for key in KEYS - {"ratio"}), name
        ratio = row["value"] / row["peer_value"] if row["peer_value"] else None
        assert (row["ratio"] is None) is (ratio is None), name
        if ratio is not None:
            assert row["ratio"] == pytest.approx(ratio, rel=0.05, abs=0.001), name


@pytest.mark.parametrize("name", ["base", "dev"])
def test_each_locked_package_has_its_hashes_and_no_address(name: str) -> None:
    """What is installed is what was locked, from whichever index one uses."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text("utf-8")
    entries = text.replace("\\\n", " ").splitlines()
    assert entries
    pinned = re.compile(r"[a-z0-9][a-z0-9._-]*==\S+( ; [^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*")
    assert [line for line in entries if not pinned.fullmatch(line)] == []
    assert "://" not in text
    assert "index-url" not in text


def test_the_figures_of_the_readme_were_measured() -> None:
    """Each with its peer, as the newest `make bench` wrote it down."""
    page = (ROOT / "README.md").read_text("utf-8")
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    shown = {
        "intake_new": ("{:,.0f}", "{:,.0f}"),
        "false_pages_60_an_hour": ("{:.2f}", "{:.1f}"),
        "troubles_cured": ("{:.0f}", "{:.0f}"),
    }
    for name, (ours, theirs) in shown.items():
        said, beside = (
            ours.format(results[name]["value"]),
            theirs.format(results[name]["peer_value"]),
        )
        assert re.search(rf"\| {re.escape(said)} \| {re.escape(beside)}, ", page), name


def test_what_few_false_pages_cost_is_said_wherever_they_are_claimed() -> None:
    """The later page of an outage, and the same number of false pages, stand beside the gain."""
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text("utf-8"))
    few, late = results["false_pages_60_an_hour"], results["delay_10_percent_min"]
    busy = results["false_pages_600_an_hour"]
    for name in ("README.md", "docs/comparison.md"):
        page = " ".join((ROOT / name).read_text("utf-8").split())
        for told in (
            f"{few['value']:.2f}",
            f"{few['peer_value']:.1f}",
            f"after {late['value']} minutes instead of {late['peer_value']}",
        ):
            assert told in page, f"{name}: {told}"
        same = f"{busy['value']:.1f}" == f"{busy['peer_value']:.1f}"
        assert not same or re.search(rf"both have {busy['value']:.1f} pages", page), name


def test_the_runbook_and_the_config_of_the_page_are_understood(tmp_path: Path) -> None:
    """What docs/runbooks.md shows is a runbook, actions and policies, as they stand there."""
    page = (ROOT / "docs" / "runbooks.md").read_text("utf-8")
    fences = re.findall(r"^```(markdown|yaml)\n(.*?)^```", page, re.M | re.S)
    (book,) = (text for kind, text in fences if kind == "markdown")
    folder = tmp_path / "config"
    shutil.copytree(ROOT / "scenarios" / "tideline-agent", folder)
    for file in (folder / "runbooks").glob("*.md"):
        if "release.rollback" not in file.read_text("utf-8"):
            file.unlink()
    (folder / "runbooks" / "shown.md").write_text(book, "utf-8")
    main = folder / "midwatch.yaml"
    kept = main.read_text("utf-8").partition("\n# What runbooks may do")[0]
    main.write_text("\n".join([kept, *(t for kind, t in fences if kind == "yaml")]), "utf-8")
    config, errors = check(folder)
    assert [str(error) for error in errors] == []
    assert "stale-answer-cache" in [one.id for one in config.rules.books.runbooks]
    assert config.rules.books.automation.policies[0].times == 2


def test_the_page_of_the_config_has_every_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config in docs/config.md is without an error, and has every key that is read."""
    page = (ROOT / "docs" / "config.md").read_text("utf-8")
    for name, text in re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', page, re.M | re.S):
        file = tmp_path / "config" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as written:
            written.write(text)
    asked: list[tuple[frozenset[str], str]] = []  # which keys may stand together, and where
    alike, near = collections.defaultdict(set), collections.defaultdict(set)
    usual = yaml_nodes.Node.keys

    def keys(node: yaml_nodes.Node, *allowed: str, required: tuple[str, ...] = ()) -> None:
        part = re.split(r"[.\[]", node.path)[0]
        if "/slos/" not in node.file:  # those are OpenSLO's and Sloth's own
            asked.append((frozenset(allowed), part))
            alike[frozenset(allowed)] |= set(node.mapping or ())
            near[part] |= set(node.mapping or ())
        usual(node, *allowed, required=required)

    monkeypatch.setattr(yaml_nodes.Node, "keys", keys)
    config, errors = check(tmp_path / "config")
    assert [str(error) for error in errors] == []
    assert config.rules.books.runbooks
    assert len(alike) > 40
    assert {part: lack for one, part in asked if (lack := one - alike[one] - near[part])} == {}


def test_what_people_write_is_understood_as_the_page_shows_it() -> None:
    """The YAML in docs/postmortems.md is a whole judgement."""
    page = (ROOT / "docs" / "postmortems.md").read_text("utf-8")
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    written = YAML(typ="safe").load(text)
    judgement = judgements.checked(msgspec.convert(written, judgements.Judgement))
    assert judgement.unwritten == []


def test_the_published_schemas_are_what_the_command_prints() -> None:
    """docs/schemas/cli-1.json is the output of `midwatch schema`, to the letter."""
    ran = CliRunner().invoke(cli, ["schema"])
    assert not ran.exit_code
    assert ran.output == (ROOT / "docs" / "schemas" / "cli-1.json").read_text("utf-8")


def test_nothing_is_installed_under_a_name_that_is_not_ours() -> None:
    """midwatch is on no index: what is installed is a wheel, of this version."""
    files = {*PAGES, *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.*")}
    texts = {file: file.read_text("utf-8") for file in files}
    named = {f.name for f, text in texts.items() if re.search(r"pip install ['\"]?midwatch", text)}
    assert named == {"limits.md"}  # which says what the program means by it
    wheels = [w for text in texts.values() for w in re.findall(r"midwatch-([\w.]+)-py3", text)]
    assert set(wheels) == {__version__, "NEW"}


def test_the_first_evening_finds_everything_where_it_is_said_to_be() -> None:
    """CONTRIBUTING.md: its files, the names in them, its targets, and every folder of tests."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    linked = [ROOT / one for one in re.findall(r"\]\(([^)#:]+)\)", page)]
    assert len(linked) > 8
    assert [str(file) for file in linked if not file.exists()] == []
    read = "".join(file.read_text("utf-8") for file in linked if file.suffix == ".py")
    for name in (
        "SOURCES",
        "PAGERS",
        "PagerOptions",
        "make_pager",
        "Format",
        "channel",
        "SteadyClock",
        "VirtualClock",
    ):
        assert f"`{name}`" in page, name
        assert re.search(rf"^(class |def |){name}\b", read, re.M), name
    folders = {f"tests/{file.parent.name}" for file in (ROOT / "tests").glob("*/test_*.py")}
    assert folders == set(re.findall(r"^\| `(tests/\w+)` ", page, re.M))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"\bmake ([a-z][a-z-]*)", page):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for file in re.findall(r"pytest (tests/\S+)", page):
        assert (ROOT / file).is_file(), file


def help_of(words: list[str]) -> str:
    ran = CliRunner().invoke(cli, [*words, "--help"])
    return "" if ran.exit_code else ran.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_flag_of_a_page_is_in_the_help(page: Path) -> None:
    """A command that a page names exists, with every flag that the page gives it."""
    for named, rest in COMMAND.findall(page.read_text("utf-8")):
        flags = re.findall(r"--[a-z][a-z-]+", rest)
        if not flags:
            continue
        words = named.split()
        told = next((t for n in (3, 2, 1) if (t := help_of(words[:n]))), "")
        assert told, f"{page.name}: no command `midwatch {named.strip()}`"
        for flag in flags:
            assert flag in told, f"{page.name}: `midwatch {named.strip()}` has no {flag}"


def test_each_test_that_a_page_names_is_there() -> None:
    """SECURITY.md answers each threat by a test, and the test exists."""
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    named = re.findall(r"`(tests/[a-z_/]+\.py)(?:::(test_[a-z_0-9]+))?`", page)
    assert len(named) > 15
    for file, name in named:
        text = (ROOT / file).read_text("utf-8")
        assert not name or f"def {name}(" in text, f"{file} has no {name}"
