"""The API and its description say the same, whoever asks whatever."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
from tests.acceptance.serving import Serving, alert, until, webhook

ST = str(Path(sys.executable).with_name("st"))
EXAMPLES = "400" if os.environ.get("MIDWATCH_SOAK") else "25"
# What a body must hold depends on the source's format, which the description cannot say.
NOT_FOR_INTAKE = "positive_data_acceptance"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with two incidents and something rejected."""
    serving = Serving(tmp_path_factory.mktemp("api"))
    serving.start(options=["--log-level", "debug"])
    bad = {"labels": 7, "startsAt": "2026-11-24T02:00:00Z"}
    serving.deliver(alert("Down", namespace="a"), alert("Slow", "cart", namespace="b"), bad)
    yield serving
    assert serving.stop() == 0


# --- the description ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("door", ["api", "intake"])
def test_drawn_requests_meet_the_description(serving: Serving, door: str, tmp_path: Path) -> None:
    """No 5xx, no status, header or body that the document does not promise."""
    token = serving.person if door == "api" else serving.sender
    file = tmp_path / "schemathesis.toml"
    file.write_text('[parameters]\n"path.source" = "alertmanager"\n', "utf-8")
    done = subprocess.run(
        [ST, "--config-file", file, "run", f"{serving.url}/api/v1/openapi.json",
         "--include-path-regex", f"^/{door}", "-H", f"Authorization: Bearer {token}",
         "--checks", "all", "--max-examples", EXAMPLES, "--generation-deterministic", "--no-color",
         *(["--exclude-checks", NOT_FOR_INTAKE] if door == "intake" else [])],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Tested: +(\d+)", done.stdout)
    assert tested
    assert int(tested[1]) == (7 if door == "api" else 1)


def test_the_description_is_a_valid_one(serving: Serving) -> None:
    """OpenAPI 3.1, and each schema in it is a JSON Schema."""
    document = serving.ask("GET", "/api/v1/openapi.json").document
    assert document["openapi"].startswith("3.1.")
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


def test_an_answer_fits_its_schema(serving: Serving) -> None:
    """A real incident, with its reasons, against what the document promises of it."""
    document = serving.ask("GET", "/api/v1/openapi.json").document
    get = document["paths"]["/api/v1/incidents/{id}"]["get"]
    schema = get["responses"]["200"]["content"]["application/json"]["schema"]
    answer = serving.ask("GET", "/api/v1/incidents/INC-1", token=serving.person)
    jsonschema_rs.validate({**schema, "components": document["components"]}, answer.document)
    assert answer.document["timeline"][0]["reason"]["says"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/intake/alertmanager"), ("DELETE", "/api/v1/incidents/INC-1"), ("PUT", "/"),
     ("POST", "/api/v1/incidents"), ("GET", "/nowhere"), ("GET", "/api/v1/incidents/INC-99")],
)  # fmt: skip
def test_what_is_not_there_is_a_problem_too(serving: Serving, method: str, path: str) -> None:
    """404 and 405 as problems; 405 says what would do."""
    answer = serving.ask(method, path, token=serving.person)
    assert answer.status in (404, 405)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.document["status"] == answer.status
    if answer.status == 405:
        assert answer.headers["Allow"]


# --- done once ----------------------------------------------------------------------------------


def events(serving: Serving, name: str) -> list[str]:
    """The types of an incident's events."""
    answer = serving.ask("GET", f"/api/v1/incidents/{name}", token=serving.person)
    return [moment["event"] for moment in answer.document["timeline"]]


def test_the_same_request_under_the_same_key_is_done_once(serving: Serving) -> None:
    """It is answered again; another one under that key, or of somebody else, is another."""
    serving.deliver(alert("Once", namespace="once"))
    name = next(i["id"] for i in serving.incidents() if i["title"].startswith("Once"))
    path, body = f"/api/v1/incidents/{name}/snooze", b'{"minutes": 5}'
    before = len(events(serving, name))

    def snooze(body: bytes, key: str, token: str = serving.person) -> int:
        answer = serving.ask("POST", path, body, token, Idempotency_Key=key)
        assert answer.status in (200, 422), answer.document
        return events(serving, name)[before:].count("PageSnoozed")

    assert snooze(body, "k1") == 1
    assert snooze(body, "k1") == 1
    assert snooze(b'{"minutes": 6}', "k1") == 2
    assert snooze(body, "k2") == 3
    assert snooze(body, "k1", serving.token("--role", "responder", "--name", "ben")) == 4
    for bad in ("", " ", "k" * 256, "k k", "\xe9"):
        assert snooze(body, bad) == 4


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
    bare = "/intake/alertmanager"
    made_up = "mw_deadbeef_" + "S" * 43
    answers = [
        serving.ask("POST", f"{bare}/{made_up}", webhook()),
        serving.ask("POST", f"{bare}/{serving.sender}", b"{"),
        serving.ask("GET", f"{bare}/{serving.sender}"),
        serving.ask("POST", f"/nowhere/{serving.sender}", b"{"),
        serving.ask("POST", f"{bare}/{serving.sender}/more", b"{"),
        serving.ask("GET", "/api/v1/incidents", token=made_up),
        serving.ask("GET", f"/api/v1/incidents?all={serving.person}", token=serving.person),
        serving.ask("POST", bare, b"{", Authorization=f"Basic {_basic(serving.sender)}"),
    ]
    assert [answer.status for answer in answers] == [401, 400, 405, 404, 404, 401, 422, 400]
    journal = serving.folder / "midwatch" / "midwatch.db"
    stored = b"".join(file.read_bytes() for file in journal.parent.glob("midwatch.db*"))
    for token in (made_up, serving.sender, serving.person):
        secret = token.split("_", 2)[2]
        assert secret not in serving.out.read_text()
        assert secret.encode() not in stored
    said = b"".join(a.body for n, a in enumerate(answers) if n != 6)
    assert b"mw_" not in said


def _basic(token: str) -> str:
    return base64.b64encode(f"x:{token}".encode()).decode()


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
    assert "no pager is called 'pigeon'; known are terminal" in wrong.stderr
    answer = serving.ask("POST", "/api/v1/pages/test", b'{"via": "pigeon"}', serving.person)
    assert answer.status == 404


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--server", "127.0.0.1:1", "--token", "x"], "is no address"),
        (["--server", "http://127.0.0.1:1", "--token", "x"], "is midwatch serve running?"),
        (["--server", "http://127.0.0.1:1"], "needs a token"),
        (["--db", "nowhere.db"], "is not there"),
    ],
)
def test_a_command_that_reaches_nobody_says_why(
    serving: Serving, args: list[str], says: str
) -> None:
    """One line, exit 2, and what to do."""
    done = serving.type("incidents", "list", *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
