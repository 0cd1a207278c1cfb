"""`midwatch serve` against real processes: what got its 2xx is never lost."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Serving, alert, reconfigure, until, webhook
from tests.servers import need

from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.core.state import events as e
from midwatch.engine import queries

KILLS = 50 if os.environ.get("MIDWATCH_SOAK") else 8


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A fresh config, not started."""
    serving = Serving(tmp_path)
    yield serving
    serving.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A running server for questions that leave nothing behind."""
    serving = Serving(tmp_path_factory.mktemp("shared"))
    serving.start()
    yield serving
    assert serving.stop() == 0


# --- as a newcomer ------------------------------------------------------------------------------


def test_a_newcomer_gets_a_page_and_answers_it(serving: Serving) -> None:
    """Init, check, serve, an alert; the page, the ack, the timeline; with each command typed."""
    assert serving.type("check").stdout.startswith("ok: ")
    serving.start()
    assert serving.deliver(alert("Down")).status == 202
    until(lambda: "PAGE sev1 INC-1 for me: Down on shop" in serving.out.read_text())
    env = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    (listed,) = json.loads(serving.type("incidents", "list", "--json", **env).stdout)
    assert (listed["id"], listed["state"], listed["firing"]) == ("INC-1", "open", 1)
    assert "acknowledged by ada" in serving.type("incidents", "ack", "INC-1", **env).stdout
    told = serving.type("incidents", "show", "INC-1", **env).stdout
    for name in ("IncidentOpened", "PagePlanned", "PageSent", "PageAcknowledged  "):
        assert name in told
    assert serving.deliver(alert("Down", status="resolved")).status == 202
    assert "mitigated" in serving.type("incidents", "list", **env).stdout
    resolved = serving.type("incidents", "resolve", "INC-1", "--why", "disk swapped", **env)
    assert "IncidentResolved" in resolved.stdout
    assert "ada: disk swapped" in resolved.stdout
    assert serving.stop() == 0
    assert serving.type("db", "verify", "midwatch/midwatch.db").returncode == 0


def test_the_same_commands_work_on_the_file_and_a_server_is_not_bypassed(serving: Serving) -> None:
    """While a server owns the file the command is refused and says what to do."""
    serving.start()
    serving.deliver(alert("Down"))
    refused = serving.type("incidents", "ack", "INC-1")
    assert refused.returncode == 2
    assert (
        f"midwatch/midwatch.db: in use by another midwatch (pid {serving.pid}); " in refused.stderr
    )
    assert "use --server URL with $MIDWATCH_TOKEN" in refused.stderr
    assert serving.type("serve", "--listen", "127.0.0.1:0").returncode == 2
    serving.stop()
    assert serving.type("incidents", "ack", "INC-1").returncode == 0
    snoozed = serving.type("incidents", "snooze", "INC-1", "--minutes", "5", "--json")
    assert json.loads(snoozed.stdout)["incident"]["snoozed_until"]
    assert serving.type("incidents", "show", "INC-9").returncode == 2


def test_an_alert_of_an_unknown_service_or_of_none_still_opens_an_incident(
    serving: Serving,
) -> None:
    """Nobody wrote it down; it fires all the same, and pages when it is critical."""
    serving.start()
    nameless = alert("Odd", namespace="b")
    del nameless["labels"]["service"]
    serving.deliver(alert("Down", "nobody-knows", namespace="a"), nameless)
    found = {i["title"]: i for i in serving.incidents()}
    assert set(found) == {"Down on nobody-knows", "Odd on unknown service"}
    assert all(i["urgency"] == "page" for i in found.values())


# --- what intake answers ------------------------------------------------------------------------


def test_one_bad_alert_is_a_dead_letter_and_its_neighbours_count(serving: Serving) -> None:
    """202 with counts; the bad one can be looked at as it came."""
    serving.start()
    bad = {"labels": 7, "startsAt": "2026-11-24T02:00:00Z"}
    answer = serving.deliver(alert("Down"), bad, alert("Slow"))
    assert answer.status == 202
    assert (answer.document["accepted"], answer.document["rejected"]) == (2, 1)
    env = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    (letter,) = json.loads(serving.type("alerts", "rejected", "--json", **env).stdout)
    assert letter["why"].startswith("$.alerts[1].labels: ")
    assert json.loads(letter["body"]) == bad
    assert serving.deliver(alert("Down"), bad, alert("Slow")).document["duplicate"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b'{"version": "4", "alerts": [', 400),
        (b"[" * 200_000, 400),
        (b'{"alerts": []}', 422),
        (b'{"version": "3", "alerts": []}', 422),
        (b"[]", 422),
        (b" " * (8 * 1024 * 1024 + 1), 413),
        (webhook(), 202),
    ],
    ids=["empty", "cut", "bomb", "no-version", "old-version", "list", "large", "good"],
)
def test_what_is_no_delivery_is_told_so(shared: Serving, body: bytes, status: int) -> None:
    """Each kind of wrong has its status, and a problem document."""
    answer = shared.ask("POST", "/intake/alertmanager", body, shared.sender)
    assert answer.status == status
    if status != 202:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.document["detail"]


def test_a_sender_that_would_rather_speak_http_2_is_heard(shared: Serving) -> None:
    """As Java's HttpClient asks each time: the wish is passed over, and the body is read."""
    text = webhook()
    head = (
        "POST /intake/alertmanager HTTP/1.1\r\nhost: midwatch\r\n"
        f"authorization: Bearer {shared.sender}\r\ncontent-length: {len(text)}\r\n"
        "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
        "http2-settings: AAMAAABk\r\n\r\n"
    )
    host, port = shared.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as line:
        line.sendall(head.encode() + text)
        assert line.recv(64).startswith(b"HTTP/1.1 202")
    closing = (
        "GET /readyz HTTP/1.1\r\nhost: m\r\nconnection: Upgrade, close\r\nupgrade: h2c\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), 20) as line:
        line.sendall(closing.encode())
        assert line.recv(64).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("body", [b"[]", b'{"alerts": []}', b'{"version": "3", "alerts": []}'])
def test_what_is_taken_is_what_the_remedy_says(shared: Serving, body: bytes) -> None:
    """The server takes the webhook alone; what a file may hold is no help here."""
    answer = shared.ask("POST", "/intake/alertmanager", body, shared.sender)
    assert answer.document["remedy"] == "send Alertmanager's webhook (version 4)"


def test_bad_json_is_told_with_its_position(shared: Serving) -> None:
    """Where the bytes stop being JSON."""
    body = b'{"version": "4", "alerts": [}'
    answer = shared.ask("POST", "/intake/alertmanager", body, shared.sender)
    assert "(byte 28)" in answer.document["detail"]


def test_a_token_opens_its_own_door_and_no_other(shared: Serving) -> None:
    """Bearer, basic auth or the last segment; wrong, revoked and foreign ones are refused."""
    good = base64.b64encode(f"anybody:{shared.sender}".encode()).decode()
    bare = "/intake/alertmanager"
    assert shared.ask("POST", bare, webhook(), Authorization=f"Basic {good}").status == 202
    assert shared.ask("POST", f"{bare}/{shared.sender}", webhook()).status == 202
    refused = shared.ask("POST", bare, webhook())
    assert refused.status == 401
    assert "Bearer" in refused.headers["WWW-Authenticate"]
    assert shared.ask("POST", bare, webhook(), shared.sender[:-1]).status == 401
    assert shared.ask("POST", bare, webhook(), Authorization="Basic !").status == 401
    assert shared.ask("POST", bare, webhook(), shared.person).status == 403
    assert shared.ask("GET", "/api/v1/incidents", token=shared.sender).status == 403
    assert shared.ask("GET", "/api/v1/incidents").status == 401
    other = shared.token("--source", "alertmanager")
    assert shared.ask("POST", bare, webhook(), other).status == 202
    assert shared.type("token", "revoke", other.split("_")[1]).stdout.endswith("is revoked\n")
    assert shared.ask("POST", bare, webhook(), other).status == 401
    assert shared.sender.split("_", 2)[2] not in shared.out.read_text()


def test_a_source_that_config_does_not_name_has_no_token(shared: Serving) -> None:
    """The slip is told when the token is made."""
    done = shared.type("token", "create", "--source", "alertmanagr")
    assert done.returncode == 2
    assert "did you mean alertmanager?" in done.stderr


def test_a_command_that_does_not_fit_is_refused_with_its_reason(serving: Serving) -> None:
    """404, 409, 422 and 400, each as a problem."""
    serving.start()
    serving.deliver(alert("Down"))
    base = "/api/v1/incidents"

    def told(path: str, body: bytes = b"") -> int:
        return serving.ask("POST", base + path, body, serving.person).status

    assert told("/INC-9/ack") == 404
    assert told("/INC-1/snooze", b'{"minutes": -1}') == 422
    assert told("/INC-1/snooze", b'{"minutes": 1e308}') == 422
    assert told("/INC-1/snooze", b"{}") == 422
    assert told("/INC-1/resolve", b'{"why": " "}') == 422
    assert told("/INC-1/resolve", b'{"reason": "typo"}') == 422
    assert told("/INC-1/resolve", b"{") == 400
    assert told("/INC-1/resolve", b'{"why": "done"}') == 200
    assert told("/INC-1/resolve", b'{"why": "done"}') == 409


# --- tortures -----------------------------------------------------------------------------------


def test_a_token_made_beside_the_server_does_not_pull_its_log_away(serving: Serving) -> None:
    """Another process opens and closes the file; what is committed after that survives a kill."""
    serving.start()
    assert serving.deliver(alert("Before", namespace="a")).status == 202
    sender = serving.token("--source", "alertmanager")
    bare = "/intake/alertmanager"
    later = webhook(alert("After", namespace="b"))
    assert serving.ask("POST", bare, later, sender).status == 202
    serving.type("token", "revoke", sender.split("_")[1])
    assert serving.ask("POST", bare, later, sender).status == 401
    serving.kill()
    serving.start()
    assert len(serving.incidents()) == 2
    serving.stop()
    assert serving.type("db", "verify", "midwatch/midwatch.db").returncode == 0


class Loader(threading.Thread):
    """Sends alerts until told to stop and notes each that got its 202; retries as senders do."""

    def __init__(self, serving: Serving, number: int) -> None:
        super().__init__(daemon=True)
        self.serving = serving
        self.number = number
        self.acknowledged: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        count = 0
        while not self.over.is_set():
            count += 1
            names = [f"A{self.number}-{count}-{n}" for n in range(3)]
            # A namespace each: nothing may be correlated, so each batch is an incident and a page.
            batch = [alert(name, namespace=f"{self.number}-{count}") for name in names]
            while not self.over.is_set():
                try:
                    if self.serving.deliver(*batch).status == 202:
                        self.acknowledged.extend(names)
                        break
                except (OSError, HTTPException):
                    pass  # a kill may also cut an answer in two
                time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.soak
def test_nothing_that_was_acknowledged_is_lost_by_a_kill(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at random moments under load: each alert in one incident, each page at its receiver.

    A page may be sent twice, and then says the same under the same id.
    """
    rng = random.Random(7)
    monkeypatch.setenv("HOOK", SECRET)
    with Receiver() as receiver:
        hook = f'{{type: webhook, url: "{receiver.url}", secret_env: HOOK}}'
        reconfigure(
            serving.folder / "midwatch",
            "sources: {alertmanager: {type: alertmanager}}\n"
            f"pagers: {{hook: {hook}}}\n"
            "escalation: {digest: off, steps: [{to: ada, delay: 1d}]}\n",
        )
        started = time.monotonic()
        serving.start()
        usual_s = time.monotonic() - started
        loaders = [Loader(serving, number) for number in range(3)]
        for loader in loaders:
            loader.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.5))
            serving.kill()
            started = time.monotonic()
            serving.start()
            # Within 5 s, beyond what a start takes on this machine at this moment anyway.
            assert time.monotonic() - started < 5 + usual_s
        time.sleep(0.3)
        for loader in loaders:
            loader.over.set()
            loader.join(20)
        receiver.wait(len(serving.incidents()))
        assert serving.stop() == 0
    acknowledged = [name for loader in loaders for name in loader.acknowledged]

    store = SqliteStore.read_only(serving.folder / "midwatch" / "midwatch.db")
    homes: dict[str, list[str]] = {}
    planned: set[str] = set()
    for fact in queries.facts(store):
        if isinstance(fact.event, e.AlertsAttached):
            for item in fact.event.attached:
                homes.setdefault(item.alert.name, []).append(fact.event.incident)
        elif isinstance(fact.event, e.PagePlanned):
            planned.add(f"{store.name}/{fact.event.key}")
    states = {state for _, kind, state, _ in store.outbox() if kind == "SendPage"}
    store.close()
    assert len(acknowledged) > 100
    assert [name for name in acknowledged if len(homes.get(name, [])) != 1] == []
    assert states == {"done"}
    assert receiver.refused == []
    # Of a request whose sender was killed, the head may have come alone.
    whole = {
        (headers["webhook-id"], body)
        for _, headers, body in receiver.requests
        if len(body) == int(headers["content-length"])
    }
    assert {message for message, _ in whole} == planned
    assert len(whole) == len(planned)
    assert serving.type("db", "verify", "midwatch/midwatch.db").returncode == 0


def test_the_202_comes_after_the_disk(serving: Serving) -> None:
    """As the kernel saw it: fdatasync of the log, then the answer."""
    trace = serving.folder / "trace.txt"
    calls = "trace=fdatasync,fsync,sendto,write,writev,sendmsg"
    serving.start(need("strace"), "-f", "-o", str(trace), "-e", calls, "-s", "64")
    try:
        assert serving.deliver(alert("Down", status="firing")).status == 202
    finally:
        subprocess.run(["pkill", "-TERM", "-P", str(serving.pid)], check=False)
        serving.stop()
    lines = trace.read_text().splitlines()
    answered = next(n for n, line in enumerate(lines) if "HTTP/1.1 202" in line)
    before = [n for n, line in enumerate(lines[:answered]) if re.search(r"f(data)?sync\(", line)]
    ready = next(n for n, line in enumerate(lines) if "midwatch is ready" in line)
    assert before
    assert before[-1] > ready
