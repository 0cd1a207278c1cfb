"""The API and its description say the same, whoever asks whatever."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click
import jsonschema_rs
import pytest
from click.testing import CliRunner
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from starlette.routing import Route
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Answer, Serving, alert, reconfigure, until, webhook

from midwatch import config
from midwatch.adapters.stores.access import SqliteAccess
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.adapters.stores.tokens import SqliteTokens
from midwatch.bootstrap import build_service
from midwatch.cli.main import cli
from midwatch.web.app import build_app
from midwatch.web.news import News

ST = str(Path(sys.executable).with_name("st"))
EXAMPLES = "400" if os.environ.get("MIDWATCH_SOAK") else "25"
# What a body must hold depends on the source's format, which the description cannot say.
NOT_FOR_INTAKE = "positive_data_acceptance"
# Pages for people, figures for machines, and an address that would put a token into documents.
NOT_DESCRIBED = {
    "/",
    "/changes",
    "/login",
    "/logout",
    "/incidents/{id}",
    "/incidents/{id}/ack",
    "/incidents/{id}/approve",
    "/incidents/{id}/refuse",
    "/incidents/{id}/stop",
    "/incidents/{id}/postmortem",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/openapi.json",
    "/intake/{source}/{token}",
    "/slack/{pager}",
    "/heartbeats/{job}",
    "/heartbeats/{job}/{token}",
}
MADE_UP = "mw_deadbeef_" + "S" * 43
BARE = "/intake/alertmanager"
WIDTH = 78  # what is written on a terminal of 80 columns


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with two sources, three incidents, one of them over, and something rejected."""
    serving = Serving(tmp_path_factory.mktemp("api"))
    file = serving.folder / "midwatch" / "midwatch.yaml"
    two = "\nsources:\n  other: {type: grafana}\n"
    file.write_text(file.read_text("utf-8").replace("\nsources:\n", two), "utf-8")
    serving.start(options=["--log-level", "debug"])
    bad = {"labels": 7, "startsAt": "2026-11-24T02:00:00Z"}
    serving.deliver(alert("Down", namespace="a"), alert("Slow", "cart", namespace="b"), bad)
    serving.deliver(alert("Over", namespace="over"))
    done = post(serving, f"/{known(serving, 'Over')}/resolve", b'{"why": "swapped"}')
    assert done.status == 200
    yield serving
    assert serving.stop() == 0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Serving]:
    """A running server for a test that does it harm."""
    serving = Serving(tmp_path)
    serving.start(options=["--log-level", "debug"])
    yield serving
    serving.kill()


def known(serving: Serving, title: str) -> str:
    """The id of the incident that such an alert opened."""
    listed = serving.incidents(all="true")
    return next(i["id"] for i in listed if i["title"].startswith(title))


def post(serving: Serving, path: str, body: bytes, token: str = "", **headers: str) -> Answer:
    """Send a command about an incident, as ada unless somebody else is named."""
    path = "/api/v1/incidents" + path
    return serving.ask("POST", path, body, token or serving.person, **headers)


# --- the description ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("door", ["api", "intake"])
def test_drawn_requests_meet_the_description(serving: Serving, door: str, tmp_path: Path) -> None:
    """No 5xx, no status, header or body that the document does not promise."""
    token = serving.person if door == "api" else serving.sender
    file = tmp_path / "schemathesis.toml"
    file.write_text('[parameters]\n"path.source" = "alertmanager"\n', "utf-8")
    done = subprocess.run(
        [
            ST,
            "--config-file",
            file,
            "run",
            f"{serving.url}/api/v1/openapi.json",
            "--include-path-regex",
            f"^/{door}",
            "-H",
            f"Authorization: Bearer {token}",
            "--checks",
            "all",
            "--max-examples",
            EXAMPLES,
            "--generation-deterministic",
            "--no-color",
            *(["--exclude-checks", NOT_FOR_INTAKE] if door == "intake" else []),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Tested: +(\d+)", done.stdout)
    assert tested
    paths = serving.ask("GET", "/api/v1/openapi.json").document["paths"]
    assert int(tested[1]) == sum(len(hows) for path, hows in paths.items() if f"/{door}" in path)
    if door == "api":
        assert "PageAcknowledged" in events(serving, "INC-1")


def test_the_description_is_a_valid_one(serving: Serving) -> None:
    """OpenAPI 3.1, and each schema in it is a JSON Schema."""
    document = serving.ask("GET", "/api/v1/openapi.json").document
    OPENAPI_31_VALIDATOR.validate(document)
    for schema in document["components"]["schemas"].values():
        whole = {**schema, "components": document["components"]}
        jsonschema_rs.meta.validate(whole)
    told = {
        (path, method, code)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for code in operation["responses"]
    }
    assert ("/api/v1/incidents/{id}/ack", "post", "200") in told
    assert ("/intake/{source}", "post", "202") in told
    assert ("/intake/{source}", "post", "503") in told


async def routed(folder: Path, file: Path) -> set[tuple[str, str]]:
    """The paths and methods of the application over a config."""
    store, tokens = SqliteStore.own(file), SqliteTokens.open(file)
    try:
        service = build_service(store, config.load(folder), lambda: 0)
        with closing(SqliteAccess.open(file)) as access:
            app = build_app(service, store, tokens, access, store.name, News())
    finally:
        tokens.close()
        store.close()
    routes = [route for route in app.routes if isinstance(route, Route)]
    return {
        (route.path_format, how) for route in routes for how in route.methods or () if how != "HEAD"
    }


def test_every_address_is_described_or_left_out_on_purpose(
    serving: Serving, tmp_path: Path
) -> None:
    """What the application routes and what the document names are the same."""
    document = serving.ask("GET", "/api/v1/openapi.json").document
    described = {(path, how.upper()) for path, hows in document["paths"].items() for how in hows}
    there = asyncio.run(routed(serving.folder / "midwatch", tmp_path / "midwatch.db"))
    assert described <= there
    assert {path for path, _ in there - described} == NOT_DESCRIBED


def test_every_operation_has_a_name_of_its_own(serving: Serving) -> None:
    """From which generated clients make their methods."""
    paths = serving.ask("GET", "/api/v1/openapi.json").document["paths"]
    names = [operation["operationId"] for hows in paths.values() for operation in hows.values()]
    assert {"ack", "incident", "incidents", "intake", "slos"} < set(names)
    assert len(names) == len(set(names))


def test_an_answer_fits_its_schema(serving: Serving) -> None:
    """A real incident, with its reasons, against what the document promises of it."""
    document = serving.ask("GET", "/api/v1/openapi.json").document
    get = document["paths"]["/api/v1/incidents/{id}"]["get"]
    schema = get["responses"]["200"]["content"]["application/json"]["schema"]
    answer = serving.ask("GET", "/api/v1/incidents/INC-1", token=serving.person)
    jsonschema_rs.validate({**schema, "components": document["components"]}, answer.document)
    assert answer.document["timeline"][0]["reason"]["says"]


@pytest.mark.parametrize(
    "why",
    ["", " ", "\x1f", "\x85", "\xa0", "\u200b", "\u3000", "\ufeff", " x ", "\xe9", "\u65e5"],
    ids=ascii,
)
def test_a_reason_is_blank_to_the_document_when_it_is_to_the_server(
    serving: Serving, why: str
) -> None:
    """Whatever a dialect of patterns calls a space."""
    document = serving.ask("GET", "/api/v1/openapi.json").document
    schema = {"$ref": "#/components/schemas/Resolve", "components": document["components"]}
    given = {"why": why}
    answer = post(serving, f"/{known(serving, 'Over')}/resolve", json.dumps(given).encode())
    assert answer.status == (409 if jsonschema_rs.is_valid(schema, given) else 422)
    assert (answer.status == 409) == (why in (" x ", "\xe9", "\u65e5"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/intake/alertmanager"),
        ("DELETE", "/api/v1/incidents/INC-1"),
        ("PUT", "/"),
        ("POST", "/api/v1/incidents"),
        ("GET", "/nowhere"),
        ("GET", "/api/v1/incidents/INC-99"),
    ],
)
def test_what_is_not_there_is_a_problem_too(serving: Serving, method: str, path: str) -> None:
    """404 and 405 as problems; 405 says what would do."""
    answer = serving.ask(method, path, token=serving.person)
    assert answer.status in (404, 405)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.document["status"] == answer.status
    if answer.status == 405:
        assert answer.headers["Allow"]


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "path", "body", "place", "says"),
    [
        (400, "/INC-1/snooze", b'{"minutes": ', "", "not valid JSON"),
        (404, "/INC-99/ack", b"", "", "no incident is named 'INC-99'"),
        (404, "/INC-1/nothing", b"", "", "no such address"),
        (405, "/INC-1", b"", "", "POST is not allowed here"),
        (409, "/{over}/resolve", b'{"why": "again"}', "{over}", "no action is needed"),
        (413, "/INC-1/ack", b" " * (64 * 1024 + 1), "", "the body is larger than 65536 bytes"),
        (422, "/INC-1/snooze", b'{"minutes": "5"}', "$.minutes", "Expected `float`, got `str`"),
        (422, "/INC-1/snooze", b"{}", "$", "missing required field `minutes`"),
    ],
)
def test_an_error_says_what_and_where_and_what_to_do(
    serving: Serving, status: int, path: str, body: bytes, place: str, says: str
) -> None:
    """A problem document; the place is the key in the body, when it is one."""
    over = known(serving, "Over")
    answer = post(serving, path.format(over=over), body)
    assert answer.status == answer.document["status"] == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert says in answer.document["detail"]
    assert answer.document["place"] == place.format(over=over)
    # What the engine refused says in its one line what to do.
    assert answer.document["remedy"] or "; " in answer.document["detail"]
    assert answer.document["title"]


def test_a_command_that_cannot_be_written_down_is_told_when_to_come_again(own: Serving) -> None:
    """503 while somebody else holds the file, and 200 after it."""
    own.deliver(alert("Down"))
    # Each write of the engine's own waits for the file before the command's does.
    until(lambda: "PageSent" in events(own, "INC-1"))
    with closing(sqlite3.connect(own.folder / "midwatch" / "midwatch.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = post(own, "/INC-1/ack", b"", Idempotency_Key="locked")
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "1"
    assert "try again" in refused.document["remedy"]
    assert post(own, "/INC-1/ack", b"", Idempotency_Key="locked").status == 200


def test_a_server_that_lost_its_journal_leaves_the_delivery_with_its_sender(own: Serving) -> None:
    """Another owner has it: 503, so that the sender comes again, and not 500."""
    own.deliver(alert("Down"))
    # Else the answer of the pager would be what finds out, and the server be gone already.
    until(lambda: "PageSent" in events(own, "INC-1"))
    with closing(sqlite3.connect(own.folder / "midwatch" / "midwatch.db")) as other:
        other.execute("UPDATE shard SET fence = fence + 1")
        other.commit()
    answer = own.ask("POST", "/intake/alertmanager", webhook(alert("Slow")), own.sender)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"


# --- done once ----------------------------------------------------------------------------------


def events(serving: Serving, name: str) -> list[str]:
    """The types of an incident's events."""
    answer = serving.ask("GET", f"/api/v1/incidents/{name}", token=serving.person)
    return [moment["event"] for moment in answer.document["timeline"]]


def test_the_same_request_under_the_same_key_is_done_once(serving: Serving) -> None:
    """It is answered again; another one under that key, or of somebody else, is another."""
    serving.deliver(alert("Once", namespace="once"))
    name = known(serving, "Once")
    path, body = f"/{name}/snooze", b'{"minutes": 5}'
    before = len(events(serving, name))

    def snooze(body: bytes, key: str, token: str = serving.person) -> int:
        answer = post(serving, path, body, token, Idempotency_Key=key)
        assert answer.status in (200, 422), answer.document
        return events(serving, name)[before:].count("PageSnoozed")

    assert snooze(body, "k1") == 1
    assert snooze(body, "k1") == 1
    assert snooze(b'{"minutes": 6}', "k1") == 2
    assert snooze(body, "k2") == 3
    assert snooze(body, "k1", serving.token("--role", "responder", "--name", "ben")) == 4
    for bad in ("", " ", "k" * 256, "k k", "\xe9"):
        assert snooze(body, bad) == 4


def test_what_was_refused_is_refused_again_under_its_key(serving: Serving) -> None:
    """A repeat never says that it was done when it was not."""
    path = f"/{known(serving, 'Over')}/resolve"
    answers = [post(serving, path, b'{"why": "again"}', Idempotency_Key="r1") for _ in range(2)]
    assert [answer.status for answer in answers] == [409, 409]
    assert answers[0].document == answers[1].document


def test_a_delivery_under_the_same_key_is_taken_once(serving: Serving) -> None:
    """Whatever its bytes: the sender says that it is the same."""
    path = "/intake/alertmanager"
    first = webhook(alert("Keyed", namespace="keyed"))
    again = webhook(alert("Other", namespace="other"))
    one = serving.ask("POST", path, first, serving.sender, Idempotency_Key="d1")
    two = serving.ask("POST", path, again, serving.sender, Idempotency_Key="d1")
    assert (one.document["duplicate"], two.document["duplicate"]) == (False, True)
    assert not [i for i in serving.incidents() if i["title"].startswith("Other")]


# --- secrets ------------------------------------------------------------------------------------


def test_a_token_stands_nowhere(serving: Serving) -> None:
    """Not in a log at its loudest, an answer, or the file: good ones and bad, in all three ways."""
    sent = {
        **{way: deliver(serving, way, MADE_UP) for way in WAYS},
        **{f"good {way}": deliver(serving, way, serving.sender, b"{") for way in WAYS},
        "read": serving.ask("GET", f"{BARE}/{serving.sender}"),
        "elsewhere": serving.ask("POST", f"/nowhere/{serving.sender}", b"{"),
        "longer": serving.ask("POST", f"{BARE}/{serving.sender}/more", b"{"),
        "slash": serving.ask("POST", f"{BARE}/{serving.sender}/", b"{"),
        "person": serving.ask("GET", "/api/v1/incidents", token=MADE_UP),
    }
    assert [answer.status for answer in sent.values()] == [
        401,
        401,
        401,
        400,
        400,
        400,
        405,
        404,
        404,
        404,
        401,
    ]
    for answer in sent.values():
        assert "mw_" not in f"{answer.headers}{answer.body!r}"
    nobody_holds(serving, MADE_UP, serving.sender, serving.person)


def test_a_handler_that_breaks_tells_no_token(own: Serving) -> None:
    """500 as a problem; the log has the pattern of the path, the traceback and no secret."""
    with closing(sqlite3.connect(own.folder / "midwatch" / "midwatch.db")) as other:
        other.execute("DROP TABLE token")
    answers = [deliver(own, way, own.sender) for way in WAYS]
    answers.append(own.ask("GET", "/api/v1/incidents", token=own.person))
    assert own.stop() == 0
    for answer in answers:
        assert answer.status == answer.document["status"] == 500
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "mw_" not in f"{answer.headers}{answer.body!r}"
    logged = own.out.read_text("utf-8")
    assert "POST /intake/{source}/{token} failed: OperationalError" in logged
    assert "Traceback" in logged
    nobody_holds(own, own.sender, own.person)


WAYS = ("bearer", "basic", "segment")


def deliver(serving: Serving, way: str, token: str, body: bytes = webhook()) -> Answer:
    """Deliver with a token that comes along in one of three ways."""
    if way == "segment":
        return serving.ask("POST", f"{BARE}/{token}", body)
    if way == "bearer":
        return serving.ask("POST", BARE, body, token)
    pair = base64.b64encode(f"x:{token}".encode()).decode()
    return serving.ask("POST", BARE, body, Authorization=f"Basic {pair}")


def nobody_holds(serving: Serving, *tokens: str) -> None:
    """No log and no file of the journal has a token's secret, in the clear or as basic auth has."""
    files = [serving.out, *(serving.folder / "midwatch").glob("midwatch.db*")]
    assert len(files) > 1
    for file in files:
        held = file.read_bytes()
        for token in tokens:
            for secret in (
                token.split("_", 2)[2].encode(),
                base64.b64encode(f"x:{token}".encode()),
            ):
                assert secret not in held, file


@pytest.mark.parametrize("way", WAYS)
def test_a_token_opens_its_own_door_only(serving: Serving, way: str) -> None:
    """Whichever way it comes: unknown and revoked are 401, another source's and a person's 403."""
    revoked, other = serving.token("--source", "alertmanager"), serving.token("--source", "other")
    assert deliver(serving, way, revoked).status == 202
    assert serving.type("token", "revoke", revoked.split("_")[1]).returncode == 0
    found = [deliver(serving, way, t).status for t in (MADE_UP, revoked, other, serving.person)]
    assert found == [401, 401, 403, 403]
    if way != "segment":
        shown = {"bearer": f"Bearer {other}", "basic": "Basic eDo="}[way]
        answer = serving.ask("GET", "/api/v1/incidents", Authorization=shown)
        assert answer.status == {"bearer": 403, "basic": 401}[way]


# --- people --------------------------------------------------------------------------------------


def test_a_test_page_says_how_it_went(serving: Serving) -> None:
    """Over the API and by the command; an unknown pager is named, with those there are."""
    env = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    done = serving.type("page", "test", **env)
    assert (done.returncode, done.stdout) == (0, "terminal: printed\n")
    until(lambda: "PAGE sev4 TEST for ada: This is a test page" in serving.out.read_text())
    assert json.loads(serving.type("page", "test", "--json", **env).stdout)[0]["receipt"]
    wrong = serving.type("page", "test", "--via", "pigeon", **env)
    assert wrong.returncode == 2
    assert "no pager is named 'pigeon'; use one of terminal" in wrong.stderr
    answer = serving.ask("POST", "/api/v1/pages/test", b'{"via": "pigeon"}', serving.person)
    assert answer.status == 404


@pytest.mark.parametrize(
    ("args", "token", "says"),
    [
        (["--server", "127.0.0.1:1"], "x", "is not a valid URL"),
        (["--server", "http://127.0.0.1:1"], "x", "is midwatch serve running?"),
        (["--server", "http://127.0.0.1:1"], "", "a token is needed"),
        (["--server", "http://a b"], "x", "is midwatch serve running?"),
        (["--server", "http://127.0.0.1:1"], "mw_x_T\nX", "--token: not a valid token"),
        (["--db", "nowhere.db"], "", "not found"),
    ],
)
def test_a_command_that_reaches_nobody_says_why(
    serving: Serving, args: list[str], token: str, says: str
) -> None:
    """One line, exit 2, and what to do."""
    done = serving.type("incidents", "list", *args, MIDWATCH_TOKEN=token)
    assert done.returncode == 2
    assert says in done.stderr
    assert "mw_" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_token_may_come_with_the_end_of_its_line(serving: Serving) -> None:
    """As it does out of a file."""
    env = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person + "\n"}
    assert serving.type("incidents", "list", **env).returncode == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["snooze", "INC-1", "--minutes", "nan"], "nan is not a number"),
        (["snooze", "INC-1", "--minutes", "inf"], "inf is not more than 0 and at most 43200"),
        (["resolve", "INC-1", "--why", " "], "the reason is empty; write what ended the incident"),
        (["ack", "../INC 1?"], "no incident is named"),
    ],
)
def test_a_command_refuses_what_cannot_be(stopped: Serving, args: list[str], says: str) -> None:
    """On the file as over the API, which has the same bounds."""
    done = stopped.type("incidents", *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert "a bug in midwatch" not in done.stderr


def test_a_name_that_is_no_path_reaches_the_server_as_it_is(serving: Serving) -> None:
    """Spaces and the like are told like any other unknown name."""
    env = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    done = serving.type("incidents", "ack", "INC 1?", **env)
    assert done.returncode == 2
    assert "no incident is named 'INC 1?'" in done.stderr


# --- pages on the file, and in shadow -----------------------------------------------------------


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Where pages would go."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Serving]:
    """A journal that nobody serves; its pagers are a terminal and a webhook."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK", SECRET)
        serving = Serving(tmp_path_factory.mktemp("stopped"))
        reconfigure(
            serving.folder / "midwatch",
            "sources: {alertmanager: {type: alertmanager}}\n"
            "pagers:\n  screen: {type: terminal}\n"
            f'  hook: {{type: webhook, url: "{receiver.url}", secret_env: HOOK}}\n'
            "escalation: {steps: [{to: ada, via: hook}]}\n",
        )
        yield serving
        serving.kill()


def test_a_test_page_is_sent_when_nobody_serves(stopped: Serving, receiver: Receiver) -> None:
    """By each pager; exit 0, and what a pager prints does not stand in the answer."""
    before = len(receiver.pages)
    done = stopped.type("page", "test", "--json")
    assert done.returncode == 0
    assert [one["via"] for one in json.loads(done.stdout)] == ["screen", "hook"]
    assert done.stderr.startswith("PAGE sev4 TEST ")
    assert len(receiver.pages) == before + 1


@pytest.mark.parametrize(
    ("plan", "via", "code"), [([], "hook", 0), ([500], "hook", 1), ([], "pigeon", 2)]
)
def test_a_test_page_s_exit_code_says_how_it_went(
    stopped: Serving, receiver: Receiver, plan: list[int], via: str, code: int
) -> None:
    """0 when it arrived, 1 when it did not, 2 when there is no such pager."""
    receiver.plan = list(plan)
    assert stopped.type("page", "test", "--via", via).returncode == code


def test_in_shadow_no_test_page_is_sent_either(stopped: Serving, receiver: Receiver) -> None:
    """Refused over the API and on the file; the journal is looked at like any other."""
    person = stopped.token("--role", "responder", "--name", "ada", "--shadow")
    sender = stopped.token("--source", "alertmanager", "--shadow")
    before = len(receiver.requests)
    stopped.start(options=["--shadow"])
    assert deliver(stopped, "bearer", sender, webhook(alert("Down"))).status == 202
    answer = stopped.ask("POST", "/api/v1/pages/test", b"", person)
    assert answer.status == 409
    over = {"MIDWATCH_SERVER": stopped.url, "MIDWATCH_TOKEN": person}
    asked = stopped.type("page", "test", **over)
    assert stopped.stop() == 0
    file = ("--db", "midwatch/shadow.db")
    for done in (asked, stopped.type("page", "test", *file)):
        assert done.returncode == 2
        assert "shadow mode sends nothing" in done.stderr
    assert "Down on shop" in stopped.type("incidents", "list", *file).stdout
    assert len(receiver.requests) == before


# --- help ---------------------------------------------------------------------------------------


def commands() -> Iterator[list[str]]:
    """Every command, as it is typed."""
    waiting: list[list[str]] = [[]]
    while waiting:
        path = waiting.pop()
        yield path
        found = command_at(path)
        if isinstance(found, click.Group):
            waiting += [[*path, name] for name in found.list_commands(click.Context(found))]


def command_at(path: list[str]) -> click.Command:
    """The command that these words name."""
    found: click.Command = cli
    for name in path:
        assert isinstance(found, click.Group), path
        inner = found.get_command(click.Context(found), name)
        assert inner is not None, path
        found = inner
    return found


@pytest.mark.parametrize("path", list(commands()), ids=lambda path: " ".join(["midwatch", *path]))
def test_help_says_everything_and_names_only_what_there_is(path: list[str]) -> None:
    """Each option is explained, no line is cut off, each command that it mentions exists."""
    done = CliRunner().invoke(cli, [*path, "--help"], terminal_width=WIDTH)
    assert done.exit_code == 0
    assert "..." not in done.output.partition("Commands:")[2]
    command = command_at(path)
    assert command.help
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []
    for first, second in re.findall(r"midwatch ([a-z]+)(?: ([a-z]+))?", done.output):
        if first in cli.list_commands(click.Context(cli)):
            named = command_at([first])
            assert not (isinstance(named, click.Group) and second) or command_at([first, second])


def test_a_token_does_not_follow_a_redirect(serving: Serving) -> None:
    """It is for the server that was named; where that one points to is not asked."""
    with Receiver() as other:
        with Receiver((307, {"location": f"{other.url}/api/v1/incidents"})) as server:
            where = ["--server", server.url, "--token", serving.person]
            done = serving.type("incidents", "list", *where)
            assert len(server.requests) == 1
        assert done.returncode == 2
        assert other.requests == []
