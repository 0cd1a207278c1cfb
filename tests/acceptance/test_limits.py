"""What one token may ask for, and what callers may know and say of themselves: a real server."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.acceptance.serving import Serving, alert, reconfigure, until, webhook
from tests.acceptance.test_real_senders import Alertmanager

CONFIG = """
sources: {alertmanager: {type: alertmanager}, other: {type: alertmanager}}
escalation: {digest: off, steps: [{to: ada}]}
limits: {sender: 5/1s, person: 10/1h}
trust: [10.0.0.0/8]
"""
SERVICES = 20
ALERTMANAGER = """
route:
  {{receiver: midwatch, group_by: [service], group_wait: 100ms, group_interval: 1s}}
receivers:
- name: midwatch
  webhook_configs:
  - {{url: "{url}/intake/alertmanager", http_config: {{authorization: {{credentials: "{token}"}}}}}}
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that takes five deliveries a second of a sender, and trusts no proxy of its own."""
    serving = Serving(tmp_path_factory.mktemp("limited"))
    reconfigure(serving.folder / "midwatch", CONFIG)
    serving.start()
    yield serving
    assert serving.stop() == 0


def homes(serving: Serving) -> set[str]:
    """The services of all incidents, by a person of their own, who has a rate of their own."""
    person = serving.token("--role", "responder", "--name", "looks")
    listed = serving.ask("GET", "/api/v1/incidents", token=person).document
    return {one["service"] for one in listed}


def figure(serving: Serving, name: str) -> float:
    found = re.search(
        rf"^{re.escape(name)} (\S+)$", serving.ask("GET", "/metrics").body.decode(), re.MULTILINE
    )
    assert found, name
    return float(found[1])


@pytest.mark.slow
def test_a_real_alertmanager_over_its_limit_loses_nothing(limited: Serving, tmp_path: Path) -> None:
    """It is told 503, comes again, and in the end all is there; another sender waits for nobody."""
    other = limited.token("--source", "other")
    config = ALERTMANAGER.format(url=limited.url, token=limited.sender)
    alertmanager = Alertmanager(tmp_path, config)
    alertmanager.start()
    try:
        names = {f"s{number}" for number in range(SERVICES)}
        taken = figure(limited, "midwatch_alerts_total")
        posted = [
            {"labels": {"alertname": "Down", "service": name, "namespace": name}} for name in names
        ]
        alertmanager.ask("/api/v2/alerts", posted)
        refused = 'midwatch_over_limit_total{who="sender"}'
        until(lambda: figure(limited, refused) > 0)
        answer = limited.ask("POST", "/intake/other", webhook(alert("Up", "beside")), other)
        assert answer.status == 202
        assert figure(limited, "midwatch_alerts_total") - taken < SERVICES
        ready = limited.ask("GET", "/readyz")
        assert ready.status == 200
        assert "requests of senders" in ready.document["notes"]["limits"]
        until(lambda: figure(limited, "midwatch_alerts_total") - taken > SERVICES, 60)
        assert homes(limited) >= {*names, "beside"}
        assert alertmanager.count("notification_requests_failed") > 0
    finally:
        alertmanager.stop()


def test_a_sender_over_its_rate_is_told_503_and_when_to_come(limited: Serving) -> None:
    """Whatever it sends; its neighbour is taken."""
    one, other = (limited.token("--source", "other") for _ in range(2))

    def send(token: str) -> tuple[int, str | None]:
        answer = limited.ask("POST", "/intake/other", b"[]", token)
        return answer.status, answer.headers["Retry-After"]

    started = time.monotonic()
    answers = [send(one) for _ in range(60)]
    most = 5 + (time.monotonic() - started) * 5 + 1
    assert set(answers) == {(422, None), (503, "1")}
    assert 5 <= answers.count((422, None)) <= most
    assert send(other) == (422, None)


def test_a_program_of_a_person_is_told_429(limited: Serving) -> None:
    """With what to do; another person is heard."""
    ada, ben = (limited.token("--role", "responder", "--name", who) for who in ("ada", "ben"))
    answers = [limited.ask("GET", "/api/v1/silences", token=ada) for _ in range(11)]
    assert [one.status for one in answers] == [200] * 10 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 300
    assert "limits in midwatch.yaml" in answers[-1].document["remedy"]
    assert limited.ask("GET", "/api/v1/silences", token=ben).status == 200


def test_what_tells_how_bad_it_is_needs_a_token_from_elsewhere(limited: Serving) -> None:
    """Prometheus on this machine needs none; what a proxy here passes on does."""

    def told(token: str = "", **headers: str) -> set[str]:
        text = limited.ask("GET", "/metrics", token=token, **headers).body.decode()
        return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))

    inside = told()
    outside = told(X_Forwarded_For="203.0.113.9")
    assert inside - outside == {"midwatch_incidents", "midwatch_pages_total"}
    assert "midwatch_connections" in outside
    assert told("mw_made_up", Via="1.1 proxy") == outside
    assert told(limited.sender, X_Forwarded_For="203.0.113.9") == inside


@pytest.mark.parametrize("trusted", [True, False])
def test_a_cookie_is_for_https_when_a_trusted_proxy_says_so(
    limited: Serving, tmp_path: Path, trusted: object
) -> None:
    """By default a proxy on this machine is believed; here only those of 10.0.0.0/8 are."""
    serving = limited
    if trusted:
        serving = Serving(tmp_path)
        serving.start()
    form = urlencode({"token": serving.person}).encode()
    request = {"X_Forwarded_Proto": "https", "X_Forwarded_For": "203.0.113.9"}
    try:
        cookies = cookies_of(serving, form, request)
        assert cookies
        assert all(("; secure" in one.lower()) is trusted for one in cookies)
    finally:
        if trusted:
            serving.kill()


def cookies_of(serving: Serving, form: bytes, said: dict[str, str]) -> list[str]:
    """Log in and give what is set; the answer leads to the page, which nobody follows here."""
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", serving.port, timeout=20)
    headers = {name.replace("_", "-"): value for name, value in said.items()}
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request("POST", "/login", form, headers)
    answer = connection.getresponse()
    assert answer.status == 303, answer.read()
    connection.close()
    return [value for name, value in answer.getheaders() if name.lower() == "set-cookie"]


def test_a_token_comes_from_a_file(limited: Serving, tmp_path: Path) -> None:
    """Not from the command line, where everybody sees it: that works, and is warned of."""
    file = tmp_path / "token"
    person = limited.token("--role", "responder", "--name", "filed")
    file.write_text(f"{person}\n", "utf-8")
    command = ["silences", "list", "--json", "--server", limited.url]
    kept = limited.type(*command, "--token-file", str(file), MIDWATCH_TOKEN="mw_another_one")
    assert (kept.returncode, json.loads(kept.stdout), kept.stderr) == (0, [], "")
    typed = limited.type(*command, "--token", person)
    assert (typed.returncode, json.loads(typed.stdout)) == (0, [])
    assert "--token is visible in the process list" in typed.stderr
    for wrong, says in (
        (b"two words", "the file has no token"),
        (b"\xff", "cannot be read: the file is not text"),
    ):
        file.write_bytes(wrong)
        refused = limited.type(*command, "--token-file", str(file))
        assert refused.returncode == 2
        assert f"{file}: {says}" in refused.stderr
