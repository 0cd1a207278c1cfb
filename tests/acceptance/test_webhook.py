"""Pages by webhook through a real `midwatch serve`: each arrives, and what fails is visible."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Serving, alert, until

CONFIG = """
service_labels: [service]
sources:
  alertmanager: {{type: alertmanager}}
pagers:
  screen: {{type: terminal}}
  hook: {{type: webhook, url: "{url}/hook/of/ours", secret_env: HOOK}}
escalation:
  steps: [{{to: ada, delay: 1h, via: hook}}, {{to: ben, delay: 1h, via: screen}}]
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where pages go."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def serving(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Serving]:
    """Configured, not started."""
    monkeypatch.setenv("HOOK", SECRET)
    serving = Serving(tmp_path)
    (tmp_path / "midwatch" / "midwatch.yaml").write_text(CONFIG.format(url=receiver.url), "utf-8")
    yield serving
    serving.kill()


def timeline(serving: Serving, name: str = "INC-1") -> list[dict[str, Any]]:
    """What happened to an incident."""
    answer = serving.ask("GET", f"/api/v1/incidents/{name}", token=serving.person)
    return answer.document["timeline"]


def test_a_page_arrives_signed_by_the_pager_of_its_step(
    serving: Serving, receiver: Receiver
) -> None:
    """What it says is enough to act on."""
    serving.start()
    serving.deliver(alert("Down"))
    receiver.wait(1)
    (page,) = receiver.pages.values()
    assert (page["incident"], page["to"], page["severity"]) == ("INC-1", "ada", "sev1")
    acked = serving.ask("POST", page["ack"], b"{}", serving.person)
    assert acked.document["incident"]["acknowledged_by"] == "ada"
    assert receiver.refused == []


def test_a_page_in_doubt_is_sent_again_and_dropped_there(
    serving: Serving, receiver: Receiver
) -> None:
    """The receiver took it and hung up: it comes again under the same id."""
    receiver.plan = ["accept and hang up"]
    serving.start()
    serving.deliver(alert("Down"))
    until(lambda: [m for m in timeline(serving) if m["event"] == "PageSent"], 40)
    assert len(receiver.requests) == 2
    assert len(receiver.pages) == 1
    (failed,) = (m for m in timeline(serving) if m["event"] == "PageFailed")
    assert "try 1: http://127.0.0.1" in failed["says"]
    assert "/hook/of/ours" not in failed["says"]


def test_a_page_that_a_kill_left_in_doubt_is_sent_at_the_next_start(
    serving: Serving, receiver: Receiver
) -> None:
    """Claimed, never answered: under its own key, once more."""
    receiver.plan = ["hang"]
    serving.start()
    serving.deliver(alert("Down"))
    until(lambda: receiver.requests)
    serving.kill()
    serving.start()
    receiver.wait(1)
    ids = {headers["webhook-id"] for _, headers, _ in receiver.requests}
    assert len(receiver.requests) == 2
    assert len(ids) == 1


def test_a_page_in_doubt_is_not_sent_once_somebody_has_it(
    serving: Serving, receiver: Receiver
) -> None:
    """Acknowledged between the kill and the start: nobody is woken for it again."""
    receiver.plan = ["hang"]
    serving.start()
    serving.deliver(alert("Down", namespace="here"))
    until(lambda: receiver.requests)
    serving.kill()
    assert serving.type("incidents", "ack", "INC-1").returncode == 0
    serving.start()
    serving.deliver(alert("Down", "cart", namespace="elsewhere"))
    receiver.wait(1)
    assert [page["incident"] for page in receiver.pages.values()] == ["INC-2"]


@pytest.mark.parametrize(
    ("secret", "says"), [("", "$HOOK: is not set"), ("nonsense!", "$HOOK: is no signing secret")]
)
def test_a_missing_secret_stops_the_start(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, secret: str, says: str
) -> None:
    """Before the first alert is taken that nobody could be paged for."""
    monkeypatch.setenv("HOOK", secret)
    done = serving.type("serve", "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert "nonsense" not in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("via: hook", "via: hok", "names the unknown pager 'hok'; did you mean hook?"),
        ("http://", "ftp://", "is no http or https address"),
        ("http://", "http://me:pw@", "is no http or https address"),
        (", secret_env: HOOK", "", "secret_env"),
        ("type: webhook", "type: pigeon", "write one of terminal, webhook"),
    ],
)
def test_a_wrong_pager_is_found_by_check(serving: Serving, old: str, new: str, says: str) -> None:
    """With file, line and remedy."""
    file = serving.folder / "midwatch" / "midwatch.yaml"
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    done = serving.type("check", "--json")
    assert done.returncode == 2
    errors = json.loads(done.stdout)["errors"]
    assert any(says in f"{e['message']}; {e['remedy']}; {e['place']}" for e in errors), errors
    assert all("midwatch.yaml:" in e["place"] for e in errors)
