"""Jobs that must say that they live, through a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.serving import Serving, alert, midwatch, reconfigure, until

from midwatch import config

pytestmark = pytest.mark.slow

CONFIG = """
service_labels: [service]
sources: {alertmanager: {type: alertmanager}}
watched_jobs:
  backup: {every: EVERY, service: shop, severity: sev2}
  prometheus: {every: OTHER, alert: Watchdog, source: alertmanager}
escalation: {steps: [{to: ada}]}
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server with two watched jobs, not started; one of them has a day's time."""
    serving = Serving(tmp_path)
    write(serving, "2s", "1d")
    yield serving
    serving.stop()


def write(serving: Serving, every: str, other: str) -> None:
    """Write the config."""
    text = CONFIG.replace("EVERY", every).replace("OTHER", other)
    reconfigure(serving.folder / "midwatch", text)


def state(serving: Serving, job: str) -> str:
    """How a job stands."""
    found = serving.ask("GET", "/api/v1/heartbeats", token=serving.person).document
    return next(one["state"] for one in found if one["job"] == job)


def open_incidents(serving: Serving) -> list[tuple[str, str]]:
    """Title and severity of what is open."""
    found = serving.ask("GET", "/api/v1/incidents", token=serving.person).document
    return sorted((one["title"], one["severity"]) for one in found if one["firing"])


def test_a_job_that_falls_silent_pages_and_its_next_beat_ends_it(serving: Serving) -> None:
    """Never heard is silent too; a beat by the URL alone resolves the alert."""
    token = serving.token("--source", "backup")
    serving.start()
    assert serving.ask("POST", "/heartbeats/backup", token=token).status == 202
    assert state(serving, "backup") == "beating"
    until(lambda: state(serving, "backup") == "silent")
    assert ("HeartbeatSilent on shop", "sev2") in open_incidents(serving)
    until(lambda: "PAGE sev2" in serving.out.read_text())
    assert serving.ask("GET", f"/heartbeats/backup/{token}").status == 202
    assert state(serving, "backup") == "beating"
    assert ("HeartbeatSilent on shop", "sev2") not in open_incidents(serving)
    assert (
        "backup"
        in serving.type(
            "heartbeats", "list", "--server", serving.url, "--token", serving.person
        ).stdout
    )


def test_a_dead_mans_alert_that_stops_coming_is_told(serving: Serving) -> None:
    """While it comes it opens nothing; without it monitoring itself is blind, which pages."""
    write(serving, "1d", "2s")
    serving.start()
    serving.deliver(alert("Watchdog"))
    assert state(serving, "prometheus") == "beating"
    assert not [one for one in open_incidents(serving) if "Watchdog" in one[0]]
    until(lambda: ("HeartbeatSilent on unknown service", "sev2") in open_incidents(serving))
    serving.deliver(alert("Watchdog"))
    assert state(serving, "prometheus") == "beating"


def test_the_same_bytes_again_are_another_beat(serving: Serving) -> None:
    """Alertmanager repeats a Watchdog to the byte; each repeat puts silence off."""
    write(serving, "1d", "3s")
    serving.start()
    for _ in range(8):
        serving.deliver(alert("Watchdog"))
        time.sleep(0.6)  # the server's own clock has to go on
    assert state(serving, "prometheus") == "beating"
    assert open_incidents(serving) == []


def test_only_a_jobs_own_token_beats(serving: Serving) -> None:
    """Not a sender's, not none; and a job that nobody watches is not found."""
    serving.start()
    assert serving.ask("POST", "/heartbeats/backup", token=serving.sender).status == 403
    assert serving.ask("POST", "/heartbeats/backup").status == 401
    other = serving.token("--source", "backup")
    assert serving.ask("POST", "/heartbeats/nightly", token=other).status == 403


def test_a_deadline_outlives_a_kill(serving: Serving) -> None:
    """What was heard before a kill is waited for after it, once more for its whole time."""
    token = serving.token("--source", "backup")
    serving.start()
    assert serving.ask("POST", "/heartbeats/backup", token=token).status == 202
    serving.kill()
    serving.start()
    assert state(serving, "backup") == "beating"
    until(lambda: state(serving, "backup") == "silent")


def test_config_errors_of_jobs_are_told_together(serving: Serving) -> None:
    """Each with file, line and what to write."""
    write(serving, "0s", "1d")
    file = serving.folder / "midwatch" / "midwatch.yaml"
    file.write_text(file.read_text().replace("source: alertmanager}", "source: alertmanger}"))
    told = serving.type("check", "midwatch")
    assert told.returncode == 2
    assert "watched_jobs.backup.every" in told.stdout + told.stderr
    assert "watched_jobs.prometheus.source" in told.stdout + told.stderr


# --- who hears that midwatch itself is gone ------------------------------------------------------


def test_check_warns_when_nobody_would_hear_that_midwatch_is_gone(tmp_path: Path) -> None:
    """It says what follows and is no error; `init` says it too, and takes the address."""
    wrote = midwatch("init", cwd=tmp_path)
    assert "without it nobody is paged when midwatch" in wrote.stdout
    checked = midwatch("check", cwd=tmp_path)
    assert checked.returncode == 0
    assert checked.stdout.startswith("ok: ")
    assert "warning: midwatch.yaml: no heartbeat: nobody is paged" in checked.stderr
    listed = json.loads(midwatch("check", "--json", cwd=tmp_path).stdout)
    assert (listed["ok"], listed["errors"], len(listed["warnings"])) == (True, [], 1)


def test_init_takes_the_address_that_is_told(tmp_path: Path) -> None:
    """Then `check` has nothing to say, and what is no address is refused before a file is there."""
    url = "https://cron.example.org/ping/4f2?a=b"
    refused = midwatch("init", "--heartbeat", 'ftp://x"', cwd=tmp_path)
    assert refused.returncode == 2
    assert "--heartbeat" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    wrote = midwatch("init", "--heartbeat", url, cwd=tmp_path)
    assert (wrote.returncode, "nobody is paged" in wrote.stdout) == (0, False)
    found, errors = config.check(tmp_path / "midwatch")
    assert errors == []
    assert found.heartbeat is not None
    assert found.heartbeat.url == url
    assert midwatch("check", cwd=tmp_path).stderr == ""
