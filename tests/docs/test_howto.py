"""What the pages of docs/howto show is done here, in their order, in an empty folder.

Law: a command of a page is run, or, when it needs a server or somebody else, its words and flags
are in `--help`; a file that a page shows is understood by the program that reads it.
"""

import functools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML
from tests.docs.pages import Done, commands, fences, run
from tests.servers import need

from midwatch.adapters.routers.haproxy import weighted
from midwatch.cli.main import cli
from midwatch.config import check

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "howto").glob("*.md"))
NAMES = [page.stem for page in PAGES]
EVERY = [*PAGES, DOCS / "comparison.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
# What `midwatch init` writes, and a page adds to, stands in a folder of its own.
CONFIG = re.compile(r"(midwatch|topology)\.yaml|(schedules|slos|runbooks)/")
# These need a running server, a third party, or somebody who holds the socket.
ELSEWHERE = re.compile(
    r"midwatch (serve|incidents|page|proxy|heartbeats|runbook|release (?!register|list))"
    r"|--server |--prometheus |https?://|^(amtool alert|echo|curl|socat)|=\.\.\.$|^export MIDWATCH_"
)
# These are only there with their server.
TOOLS = {"amtool": "prometheus-alertmanager", "promtool": "promtool", "haproxy": "haproxy"}


Play = Callable[[str], tuple[Path, list[Done]]]


def put(folder: Path, name: str, text: str) -> None:
    """Write a file that a page shows; keys of midwatch.yaml replace those of the same name."""
    file = folder / "midwatch" / name if CONFIG.match(name) else folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if name == "midwatch.yaml":
        shown = YAML(typ="safe").load(text)
        blocks = re.split(r"^(?=[a-z_]+:)", file.read_text("utf-8"), flags=re.M)
        text += "".join(one for one in blocks if one.partition(":")[0] not in shown)
    file.write_text(text, "utf-8")


def played(page: Path, folder: Path) -> list[Done]:
    """Do a page: write its files and run its commands, in its order."""
    done: list[Done] = []
    exports: list[str] = []
    for kind, title, text in fences(page):
        if title:
            put(folder, title, text)
            continue
        for line in text.replace("\\\n", " ").splitlines() if not kind else ():
            tool = line.split(" ")[0]
            if not line or ELSEWHERE.search(line):
                continue
            if tool in TOOLS:
                need(TOOLS[tool])
            done.append(run(folder, "\n".join([*exports, line])))
            if tool == "export":
                exports.append(line)
    return done


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Do a page once, whoever asks; gives its folder and what was run."""

    @functools.cache
    def once(name: str) -> tuple[Path, list[Done]]:
        folder = tmp_path_factory.mktemp(name)
        return folder, played(DOCS / "howto" / f"{name}.md", folder)

    return once


@pytest.mark.parametrize("name", NAMES)
def test_a_page_does_what_it_says(name: str, play: Play) -> None:
    """Each command of a page ends as the page says, and its config is without an error."""
    folder, done = play(name)
    assert done
    for one in done:
        assert one.code == one.wanted, f"{one.command}\n{one.output}"
    if name != "ci-gate":
        _, errors = check(folder / "midwatch")
        assert [str(error) for error in errors] == []


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.stem)
def test_each_command_is_in_the_help(page: Path) -> None:
    """A command that a page names, in a fence or in its text, exists with each of its flags."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    named = [line for line in commands(page) if re.search(r"\bmidwatch [a-z]", line)]
    named += re.findall(r"`([^`\n]*\bmidwatch [a-z][^`\n]*)`", text)
    for line in named:
        # Only its own words and flags: no quoted command of somebody else, nothing behind a pipe.
        for given in re.findall(r"\bmidwatch ([a-z][^|<>)#]*)", re.sub(r'"[^"]*"', "X", line)):
            words = re.match(r"(?:[a-z]+(?:-[a-z]+)*(?: |$)){1,3}", given)
            assert words, f"{page.name}: {line}"
            told = help_of(words[0].split())
            assert told, f"{page.name}: no command `{line}`"
            for flag in re.findall(r"(?<= )--[a-z][a-z-]+", given):
                assert f"{flag} " in told or f"{flag}\n" in told, f"{page.name}: {flag} in `{line}`"


def help_of(words: list[str]) -> str:
    """Print the help of the command that these words begin with; a group counts alone."""
    for n in range(len(words), 0, -1):
        ran = CliRunner().invoke(cli, [*words[:n], "--help"])
        if ran.exit_code == 0:
            return ran.output if n == len(words) or "COMMAND [ARGS]" not in ran.output else ""
    return ""


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.stem)
def test_each_link_leads_somewhere(page: Path) -> None:
    """A relative link of a page names a file, and a heading of it."""
    for link in LINK.findall(page.read_text("utf-8")):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), f"{page.name}: {link}"
        heads = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.M) if anchor else []
        known = [re.sub(r"[^a-z0-9 _-]", "", head.lower()).replace(" ", "-") for head in heads]
        assert not anchor or anchor in known, f"{page.name}: {link}, there are {known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_short_enough_to_be_read(page: Path) -> None:
    """No page is longer than what one reads in one go, and none is a stub."""
    assert 40 <= len(page.read_text("utf-8").splitlines()) <= 135


def test_the_trial_leaves_the_old_pager_in_place(play: Play) -> None:
    """By Alertmanager's own routing each alert reaches both, and a Watchdog midwatch alone."""
    need("prometheus-alertmanager")
    folder, _ = play("alertmanager")
    ask = "amtool config routes test --config.file=alertmanager.yml"
    both = run(folder, f"{ask} service=shop severity=critical 2>/dev/null")
    assert both.output.strip() == "midwatch,pager"
    assert run(folder, f"{ask} alertname=Watchdog 2>/dev/null").output.strip() == "midwatch"


def test_the_counts_of_the_page_page(play: Play) -> None:
    """On the counts that the page shows, the tier that it names fires at the time that it says."""
    _, done = play("prometheus")
    (told,) = (one.output for one in done if "slo explain" in one.command)
    text = (DOCS / "howto" / "prometheus.md").read_text("utf-8")
    said = re.search(r"here `(\w+)`\s+fires at\s+(\d\d:\d\d)", text)
    assert said
    assert re.search(rf"T{said[2]}:00.000Z  {said[1]} fired \(page\)", told), told


def test_prometheus_takes_the_rules_and_the_config(play: Play) -> None:
    """Prometheus' own tool takes the page's config together with the rules that midwatch wrote."""
    need("promtool")
    folder, _ = play("prometheus")
    assert "alert:" in (folder / "rules.yaml").read_text("utf-8")
    checked = run(folder, "promtool check config prometheus.yml")
    assert checked.code == 0, checked.output


def test_haproxy_and_the_router_mean_the_same(tmp_path: Path, play: Play) -> None:
    """The router's socket and backend stand in haproxy.cfg, which has a server for each release."""
    need("haproxy")
    page = DOCS / "howto" / "haproxy.md"
    folder, _ = play("haproxy")
    shown = (folder / "haproxy.cfg").read_text("utf-8")
    router = YAML(typ="safe").load(folder / "midwatch" / "midwatch.yaml")["routers"]["edge"]
    assert f"stats socket {router['socket']} " in shown
    assert f"\nbackend {router['backend']}\n" in shown
    released = {w for line in commands(page) for w in re.findall(r"\brelease .* (v\d)\b", line)}
    assert released == {"v1", "v2"}
    assert all(f"  server {release} " in shown for release in released)
    (tmp_path / "haproxy.cfg").write_text(weighted(shown, router["backend"], "v2"), "utf-8")
    assert run(tmp_path, "haproxy -c -f haproxy.cfg").code == 0


def test_the_examples_for_ci_run_as_the_page_does(tmp_path: Path, play: Play) -> None:
    """The gate commands of examples/ci pass with the page's agent on both sides."""
    shown, _ = play("ci-gate")
    old, here = tmp_path / "main", tmp_path / "here"
    for folder in (old, here):
        folder.mkdir()
        shutil.copy(shown / "old" / "agent.py", folder)
    shutil.copytree(shown / "suites", here / "suites")
    for example in sorted((ROOT / "examples" / "ci").glob("*.yml")):
        found = re.search(
            r"(midwatch gate .*?\n\s+--candidate.*?)$", example.read_text("utf-8"), re.M | re.S
        )
        assert found, example.name
        gated = run(here, re.sub(r"\s+", " ", found[1]))
        assert gated.code == 0, f"{example.name}\n{gated.output}"
        assert gated.output.splitlines()[-1] == "GATE: pass (exit 0)"
        assert (here / "gate.xml").is_file()


def test_the_gate_of_the_page_ends_as_it_says(play: Play) -> None:
    """The page's first gate passes, its second one names the case and says regression."""
    _, done = play("ci-gate")
    first, second = (one for one in done if one.command.startswith("midwatch gate"))
    assert first.output.splitlines()[-1] == "GATE: pass (exit 0)"
    assert second.output.splitlines()[-1] == "GATE: regression (exit 1)"
    assert "refund-window" in second.output


def test_the_audit_says_what_it_is_to_say() -> None:
    """Both audits are YAML and fail on what was skipped and on what has no hash."""
    audits = {title: text for _, title, text in fences(DOCS / "howto" / "ci-gate.md") if title}
    for name in (".github/workflows/audit.yml", ".gitlab-ci.yml"):
        assert YAML(typ="safe").load(audits[name])
        assert "pip-audit -r requirements.txt --require-hashes --strict" in audits[name]
    for example in sorted((ROOT / "examples" / "ci").glob("*.yml")):
        jobs = YAML(typ="safe").load(example)
        audit = jobs.get("jobs", jobs)["audit"]
        assert "pip-audit -r requirements.txt --require-hashes --strict" in str(audit), example.name


def test_the_address_of_the_button_is_the_one_that_is_served() -> None:
    """The address that the page gives to Slack ends with the route, and with the pager's name."""
    page = DOCS / "howto" / "slack.md"
    text = page.read_text("utf-8")
    (config,) = (text for _, title, text in fences(page) if title == "midwatch.yaml")
    pagers = YAML(typ="safe").load(config)["pagers"]
    named = {name for name, pager in pagers.items() if pager["type"] == "slack"}
    assert set(re.findall(r"https://oncall\.example\.org/slack/(\w+)", text)) == named
    app = (ROOT / "src" / "midwatch" / "web" / "app.py").read_text("utf-8")
    assert 'Route("/slack/{pager}"' in app
