"""What the pages of docs/howto show is done here, in their order, in an empty folder.

Law: a command of a page is run, and its words and flags are in `--help`; a file that a page shows
is understood by the program that reads it. At the address of a vendor, where the config takes one,
stands a server of ours. Where a page starts `midwatch serve` and goes on, the server runs, and what
follows is a terminal that knows nothing of the first one.
"""

import functools
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML
from tests.acceptance.receiver import Receiver
from tests.docs import test_pages
from tests.docs.pages import Done, alarm, commands, fences, put, run, served
from tests.haproxy import Upstream
from tests.servers import free_port, need, running

from midwatch.adapters.routers.haproxy import weighted
from midwatch.cli.main import cli
from midwatch.config import check

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "howto").glob("*.md"))
NAMES = [page.stem for page in PAGES]
EVERY = [*PAGES, DOCS / "comparison.md"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Each page is done beside its own server. What is left out: a tool that nobody else needs.
OTHERS = re.compile(r"socat")
SERVES = re.compile(r"midwatch serve")  # it is typed on some page
# What is true a moment later: when Prometheus was looked at twice, when Alertmanager has sent.
LATER = {
    ("prometheus", "midwatch slo status"): r"calm|burning",
    ("alertmanager", "midwatch incidents list"): "INC-1",
    ("alertmanager", "midwatch incidents show INC-1"): "shadow: not sent",
    ("pagerduty", "midwatch incidents ack INC-1"): r"^(?!error)",
    ("pagerduty", "midwatch incidents show INC-1"): "acknowledged by ada",
    ("slack", "midwatch incidents show INC-1"): "PageSent",
}
# These are only there with their server.
TOOLS = {"amtool": "prometheus-alertmanager", "promtool": "promtool", "haproxy": "haproxy"}


Play = Callable[[str], tuple[Path, list[Done]]]


class Shop(BaseHTTPRequestHandler):
    """A service whose counters grow, one request in ten an error."""

    asked = 0

    def do_GET(self) -> None:
        Shop.asked += 1
        lines = (
            f'http_requests_total{{service="shop",code="{code}"}} {Shop.asked * step}\n'
            for code, step in ((200, 900), (500, 100))
        )
        body = "".join(lines).encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """Run the Prometheus that the reader has already, scraping the shop; gives its address."""
    program, at = need("prometheus"), f"127.0.0.1:{free_port()}"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as shop:
        threading.Thread(target=shop.serve_forever, daemon=True).start()
        (folder / "own.yml").write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: shop\n"
            f"    static_configs: [{{targets: ['127.0.0.1:{shop.server_port}']}}]\n"
        )
        command = [program, f"--config.file={folder / 'own.yml'}"]
        command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={at}"]
        with running(command, f"http://{at}/-/ready", folder / "log"):
            yield at
        shop.shutdown()


@contextmanager
def haproxy(folder: Path) -> Iterator[dict[str, str]]:
    """Two releases to stand behind the page's HAProxy, and where its files are here."""
    folder.mkdir()
    with Upstream("v1") as one, Upstream("v2") as two:
        yield {
            "/run/haproxy/": f"{folder}/",
            "/var/lib/midwatch/": f"{folder}/",
            "127.0.0.1:8080": f"127.0.0.1:{free_port()}",
            "127.0.0.1:8701": f"127.0.0.1:{one.port}",
            "127.0.0.1:8702": f"127.0.0.1:{two.port}",
        }


def reader_has(page: str, folder: Path, beside: Path, servers: ExitStack) -> dict[str, str]:
    """Give what stands in the page, and what it is here: addresses, and places of files."""
    if page == "prometheus":
        return {"localhost:9090": servers.enter_context(prometheus(beside))}
    if page == "alertmanager":
        beside.mkdir()
        at = f"localhost:{free_port()}"
        return {"/etc/alertmanager/": f"{beside}/", "localhost:9093": at}
    if page == "haproxy":
        places = servers.enter_context(haproxy(beside))
        return {**places, "/etc/haproxy/": f"{folder}/"}
    if page in OTHER_SIDES:
        other = servers.enter_context(Receiver())
        other.usual, other.answer = (202 if page == "pagerduty" else 200), OTHER_SIDES[page]
        return {
            "127.0.0.1:8701": f"127.0.0.1:{other.port}",
            "https://hooks.slack.com": other.url,
            "routing_key_env: PAGERDUTY_KEY": f'routing_key_env: PAGERDUTY_KEY, url: "{other.url}"',
        }
    return {}


def own_agent(_: str, body: bytes) -> bytes:
    """Answer as the page's own agent does, over HTTP, in words of its own."""
    text = "You have 30 days." if "return" in json.loads(body)["ask"] else "I do not know."
    return json.dumps({"out": {"text": text}}).encode()


# Who is at the other end of a page's addresses, and what it answers.
OTHER_SIDES: dict[str, Callable[[str, bytes], bytes] | None] = {
    "your-agent": own_agent,
    "pagerduty": None,
    "slack": None,
}
ALARMED = {"pagerduty", "slack"}  # of these a real incident is shown


def reader_starts(line: str, folder: Path, beside: Path, done: list[Done]) -> list[str]:
    """Give the program that the reader runs with a file of the page, when this line needs it."""
    if line.startswith("amtool alert add"):
        (token,) = (one.output for one in done if "--source alertmanager" in one.command)
        (beside / "midwatch.token").write_text(token, "utf-8")
        at = line.split("=http://localhost:")[1].split(maxsplit=1)[0]
        return [
            need("prometheus-alertmanager"),
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={beside / 'data'}",
            f"--web.listen-address=127.0.0.1:{at}",
            "--cluster.listen-address=",
            f"http://127.0.0.1:{at}/-/ready",
        ]
    if line == "midwatch serve" and (folder / "haproxy.cfg").exists():
        bound = re.findall(r"bind (\S+)", (folder / "haproxy.cfg").read_text("utf-8"))[0]
        command = [need("haproxy"), "-db", "-q", "-f", str(folder / "haproxy.cfg")]
        return [*command, f"http://{bound}/"]
    return []


def played(page: Path, folder: Path, beside: Path) -> list[Done]:
    """Do a page: write its files and run its commands, in its order."""
    name, exports, port = page.stem, dict[str, str](), free_port()
    done: list[Done] = []
    with ExitStack() as servers, ExitStack() as own:
        moved = reader_has(name, folder, beside, servers)
        moved["127.0.0.1:8600"] = f"127.0.0.1:{port}"
        moved["https://oncall.example.org/slack"] = f"http://127.0.0.1:{port}/slack"
        for kind, title, text in fences(page):
            for here, there in moved.items():
                text = text.replace(here, there)  # noqa: PLW2901
            if title:
                put(folder, title, text)
                continue
            for line in text.replace("\\\n", " ").splitlines() if not kind else ():
                if not line or OTHERS.search(line):
                    continue
                if starts := reader_starts(line, folder, beside, done):
                    *command, ready = starts
                    servers.enter_context(running(command, ready, beside / "log"))
                if line.startswith("midwatch serve"):
                    own.close()
                    own.enter_context(served(folder, line, port, **exports))
                    exports.clear()  # another terminal
                    if name in ALARMED and "--shadow" not in line:
                        alarm(folder, f"http://127.0.0.1:{port}")
                else:
                    done.append(typed(name, folder, line, exports))
    return done


def typed(page: str, folder: Path, line: str, exports: dict[str, str]) -> Done:
    """Type one line where these were exported, and keep what it exports itself."""
    tool, _, rest = line.partition(" ")
    if tool in TOOLS:
        need(TOOLS[tool])
    if tool == "export":
        name = rest.partition("=")[0]
        one = run(folder, f'{line}\nprintf %s "${name}"', **exports)
        exports[name] = one.output
        return one
    if tool == "unset":
        for name in rest.split():
            del exports[name]
    end = time.monotonic() + 60
    while True:
        one = run(folder, line, **exports)
        if re.search(LATER.get((page, line), ""), one.output) or time.monotonic() > end:
            return one
        time.sleep(1)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Do a page once, whoever asks; gives its folder and what was run."""

    @functools.cache
    def once(name: str) -> tuple[Path, list[Done]]:
        folder, beside = tmp_path_factory.mktemp(name), tmp_path_factory.mktemp("beside")
        return folder, played(DOCS / "howto" / f"{name}.md", folder, beside / "prometheus")

    return once


@pytest.mark.parametrize("name", NAMES)
def test_a_page_does_what_it_says(name: str, play: Play) -> None:
    """Each command of a page ends as the page says, and its config is without an error."""
    folder, done = play(name)
    assert done
    for one in done:
        assert one.code == one.wanted, f"{one.command}\n{one.output}"
        assert re.search(LATER.get((name, one.command), ""), one.output), one.output
    if name != "ci-gate":
        _, errors = check(folder / "midwatch")
        assert [str(error) for error in errors] == []


def test_what_is_not_typed_is_said() -> None:
    """docs/limits.md names each page of which a command is only looked up."""
    kept = dict.fromkeys(PAGES, OTHERS)
    kept |= {DOCS / f"{name}.md": test_pages.ELSEWHERE for name in test_pages.STAGES}
    kept[DOCS / "operations.md"] = test_pages.INSTALLS
    part = {
        page
        for page, left_out in kept.items()
        if any(left_out.search(one) for one in commands(page) if not SERVES.match(one))
    }
    text = (DOCS / "limits.md").read_text("utf-8")
    (said,) = re.findall(r"^- The tests type(.*?)(?=^- )", text, re.M | re.S)
    assert {(DOCS / link).resolve() for link in LINK.findall(said)} == part


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
    assert 40 <= len(page.read_text("utf-8").splitlines()) <= 145


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
    (told,) = (one.output for one in done if "--counts" in one.command)
    text = (DOCS / "howto" / "prometheus.md").read_text("utf-8")
    said = re.search(r"here `(\w+)`\s+fires at\s+(\d\d:\d\d)", text)
    assert said
    assert re.search(rf"T{said[2]}:00.000Z  {said[1]} fired \(page\)", told), told


def test_the_server_of_the_page_has_read_prometheus(play: Play) -> None:
    """In the second terminal, with what that one exports, the objective has data."""
    _, done = play("prometheus")
    (told,) = (one.output for one in done if one.command == "midwatch slo status")
    assert re.search(r"^shop/availability +(calm|burning) ", told, re.M), told


def test_the_push_of_the_page_is_taken(play: Play) -> None:
    """With the token of the second terminal, and the objective is known by its name."""
    _, done = play("your-agent")
    (told,) = (one.output for one in done if one.command.startswith("curl"))
    assert '"accepted":1,"rejected":0' in told, told
    (listed,) = (one.output for one in done if one.command == "midwatch slo status")
    assert re.search(r"^answers/quality ", listed, re.M), listed


def test_the_trial_of_the_page_heard_of_the_alert(play: Play) -> None:
    """A real Alertmanager with the page's routes hands it on, and nothing is sent."""
    _, done = play("alertmanager")
    (told,) = (one.output for one in done if one.command == "midwatch incidents show INC-1")
    assert "Trial on shop" in told
    assert "shadow: not sent" in told


def test_the_rollback_of_the_page_brings_v1_back(play: Play) -> None:
    """By a real HAProxy between two releases, whose file has the weights that the page says."""
    folder, done = play("haproxy")
    (live,) = (one.output for one in done if one.command == "midwatch release live shop")
    assert live.split()[0] == "v1", live
    weights = re.findall(r"server (v\d) .* weight (\d+)", (folder / "haproxy.cfg").read_text())
    assert dict(weights) == {"v1": "100", "v2": "0"}


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
    for example in sorted((ROOT / "examples" / "ci").glob("*gate.yml")):
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
    examples = ROOT / "examples" / "ci"
    assert (examples / "github-audit.yml").read_text("utf-8") == audits[
        ".github/workflows/audit.yml"
    ]
    assert (examples / "gitlab-gate.yml").read_text("utf-8").endswith(audits[".gitlab-ci.yml"])


def test_the_examples_for_ci_may_only_read() -> None:
    """A workflow's token reads the repository, and a gate has nothing to do with the audit."""
    for example in sorted((ROOT / "examples" / "ci").glob("github-*.yml")):
        workflow = YAML(typ="safe").load(example)
        assert workflow["permissions"] == {"contents": "read"}, example.name
        assert [*workflow["jobs"]] == [example.stem.removeprefix("github-")]


@pytest.mark.parametrize(("page", "via"), [("pagerduty", "duty"), ("slack", "chat")])
def test_the_vendor_of_the_page_takes_its_pages(page: str, via: str, play: Play) -> None:
    """A test, and a real one; at the vendor's address stands a server of ours."""
    _, done = play(page)
    (tried,) = (one.output for one in done if one.command.startswith("midwatch page test"))
    assert re.match(f"{via}: (status 200|trigger: midwatch/[0-9a-f]+/TEST)$", tried), tried
    (shown,) = (one.output for one in done if one.command.startswith("midwatch incidents show"))
    assert re.search("PageSent .*(status 200|trigger: midwatch/[0-9a-f]+/INC-1)", shown), shown


def test_the_button_refuses_what_slack_did_not_sign(play: Play) -> None:
    """As the page says of its address, from a shell."""
    _, done = play("slack")
    (told,) = (one.output for one in done if one.command.startswith("curl"))
    assert '"status":401' in told, told
    assert "the timestamp is too old or in the future" in told


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
