"""A journal that is put back, or lives twice: what leaves is never taken for something older."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Serving, alert, midwatch, reconfigure, until

CONFIG = """
sources: {{alertmanager: {{type: alertmanager}}}}
people: {{ada: {{pagers: [hook]}}, ben: {{pagers: [duty]}}}}
pagers:
  hook: {{type: webhook, url: "{hook}/hook", secret_env: HOOK}}
  duty: {{type: pagerduty, routing_key_env: KEY, url: "{duty}/enqueue"}}
escalation: {{digest: off, steps: [{{to: [ada, ben]}}]}}
"""
JSON = {"Content_Type": "application/json"}


class Pagers:
    """Who is paged by a webhook, and by PagerDuty; both drop what they know by its key."""

    def __init__(self, hook: Receiver, duty: Receiver) -> None:
        self.hook, self.duty = hook, duty
        duty.usual = 202

    def webhooks(self) -> list[tuple[str, str]]:
        """Key and title of each request."""
        return [
            (headers["webhook-id"], json.loads(body)["title"])
            for _, headers, body in self.hook.requests
            if b'"incident.page"' in body
        ]

    def events(self, action: str = "trigger") -> list[tuple[str, str]]:
        """Key and summary of each event of PagerDuty."""
        found = [json.loads(body) for _, _, body in self.duty.requests]
        return [
            (one["dedup_key"], one.get("payload", {}).get("summary", ""))
            for one in found
            if one["event_action"] == action
        ]

    def wait_for(self, title: str) -> tuple[str, str]:
        """Wait until both were paged for an alert; gives both keys."""
        until(lambda: any(title in said for _, said in self.webhooks()))
        until(lambda: any(title in said for _, said in self.events()))
        webhook = next(key for key, said in self.webhooks() if title in said)
        return webhook, next(key for key, said in self.events() if title in said)


@pytest.fixture
def pagers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pagers]:
    """A receiver of webhooks and a stand-in for PagerDuty."""
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.setenv("KEY", "R" * 32)
    with Receiver() as hook, Receiver() as duty:
        yield Pagers(hook, duty)


def served(folder: Path, pagers: Pagers) -> Serving:
    """A config with two people to page, not started yet."""
    folder.mkdir(exist_ok=True)
    serving = Serving(folder)
    reconfigure(folder / "midwatch", CONFIG.format(hook=pagers.hook.url, duty=pagers.duty.url))
    return serving


def put_back(copy: Path, file: Path) -> None:
    """Put a copy in the place of a journal as anybody would who knows no command for it."""
    for end in ("-wal", "-shm"):
        file.with_name(f"{file.name}{end}").unlink(missing_ok=True)
    shutil.copy(copy, file)


def test_a_new_outage_after_a_restore_is_new_for_everybody(tmp_path: Path, pagers: Pagers) -> None:
    """Also where a copy runs beside the original; what is in the copy keeps its key."""
    first = served(tmp_path / "one", pagers)
    file, copy = first.folder / "midwatch" / "midwatch.db", tmp_path / "copy.db"
    first.start()
    first.deliver(alert("DiskFull", namespace="a"))
    disk = pagers.wait_for("DiskFull")
    assert midwatch("db", "backup", str(file), str(copy)).returncode == 0
    first.deliver(alert("PaymentsDown", namespace="b"))
    payments = pagers.wait_for("PaymentsDown")
    lost = first.incidents()[0]["ref"]
    first.kill()
    put_back(copy, file)
    # Somebody tries the copy elsewhere, too.
    twin = served(tmp_path / "two", pagers)
    put_back(copy, twin.folder / "midwatch" / "midwatch.db")
    twin.sender, twin.person = first.sender, first.person
    try:
        for serving, name in ((first, "LoginDown"), (twin, "SearchDown")):
            serving.start()
            serving.deliver(alert(name, namespace="c"))
        login, search = pagers.wait_for("LoginDown"), pagers.wait_for("SearchDown")
        assert [one["id"] for one in first.incidents()] == ["INC-2", "INC-1"]
        assert len({disk[0], payments[0], login[0], search[0]}) == 4
        assert len({disk[1], payments[1], login[1], search[1]}) == 4
        # What a page of before the restore leads to is not what has its number now.
        path = f"/api/v1/incidents/{lost}"
        assert first.ask("GET", path, token=first.person).status == 404
        assert first.ask("POST", f"{path}/ack", b"{}", first.person, **JSON).status in (404, 409)
        assert not first.incidents()[0]["acknowledged_by"]
        (ours,) = [one["ref"] for one in first.incidents() if one["id"] == "INC-2"]
        path = f"/api/v1/incidents/{ours}/ack"
        assert first.ask("POST", path, b"{}", first.person, **JSON).status == 200
        until(lambda: (login[1], "") in pagers.events("acknowledge"))
        # What was open in the copy ends where it was opened.
        over = b'{"why": "there is room again"}'
        path = "/api/v1/incidents/INC-1/resolve"
        assert first.ask("POST", path, over, first.person, **JSON).status == 200
        until(lambda: (disk[1], "") in pagers.events("resolve"))
    finally:
        first.stop()
        twin.stop()


def test_a_page_in_doubt_is_repeated_under_its_old_key(tmp_path: Path, pagers: Pagers) -> None:
    """The next process has another salt; whoever had the page already can drop it."""
    serving = served(tmp_path, pagers)
    pagers.hook.plan = ["hang"]
    serving.start()
    serving.deliver(alert("Down", namespace="a"))
    until(pagers.webhooks)
    serving.kill()
    serving.start()
    try:
        until(lambda: len(pagers.webhooks()) == 2)
        serving.deliver(alert("SlowToo", namespace="b"))
        pagers.wait_for("SlowToo")
    finally:
        serving.stop()
    (one, _), (again, _), (other, _) = pagers.webhooks()
    assert one == again
    assert one.rpartition("/")[2] != other.rpartition("/")[2]
