"""A trial run beside what really pages: it sends nothing, and says what it would have done."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Serving, alert, reconfigure, until, webhook

pytestmark = pytest.mark.slow

RECORDED = Path(__file__).parents[2] / "scenarios" / "recorded-alertmanager"
CONFIG = """
service_labels: [service, sloth_service]
sources:
  alertmanager: {{type: alertmanager}}
  paged: {{type: alertmanager, as: pages}}
  events: {{type: pagerduty, as: pages}}
  incidents: {{type: pagerduty-webhook, as: pages}}
pagers:
  hook: {{type: webhook, url: "{url}", secret_env: HOOK}}
heartbeat: {{url: "{url}", every: 1s}}
escalation:
  digest: off
  steps: [{{to: ada, delay: 1s}}, {{to: ben, delay: 1s}}]
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where pages and heartbeats would go."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def serving(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Serving]:
    """A server in shadow, with sources for alerts and for what really paged."""
    monkeypatch.setenv("HOOK", SECRET)
    serving = Serving(tmp_path)
    reconfigure(tmp_path / "midwatch", CONFIG.format(url=receiver.url))
    serving.sender = serving.token("--source", "alertmanager", "--shadow")
    serving.person = serving.token("--role", "responder", "--name", "ada", "--shadow")
    serving.start(options=["--shadow"])
    yield serving
    serving.kill()


def report(serving: Serving, *args: str) -> tuple[int, Any]:
    """Type the command; gives its exit code and its document."""
    done = serving.type("shadow", "report", "--json", *args)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def recorded() -> list[bytes]:
    """What a real Alertmanager sent on a day."""
    return [file.read_bytes() for file in sorted(RECORDED.glob("deliveries/*-webhook.json"))]


def test_a_recorded_day_is_reported(serving: Serving, receiver: Receiver) -> None:
    """The same deliveries are the alerts and what paged: one page is covered, repeats are saved."""
    mirror = serving.token("--source", "paged", "--shadow")
    for body in recorded():
        assert serving.ask("POST", "/intake/alertmanager", body, serving.sender).status == 202
        assert serving.ask("POST", "/intake/paged", body, mirror).status == 202
    code, found = report(serving)
    # Recorded with short windows: the same bytes within minutes are a retry, not a page.
    firing = len({body for body in recorded() if b'"status":"firing"' in body})
    assert code == 0
    assert (found["incidents"], found["would_page"]) == (1, 1)
    assert (found["real_pages"], found["covered"], found["saved"]) == (firing, 1, firing - 1)
    assert (found["missed"], found["tickets"], found["extra"]) == (0, 0, [])
    assert all(one["why"] and one["incident"] == "INC-1" for one in found["judged"])
    said = serving.type("shadow", "report").stdout
    assert f"{firing} real pages" in said
    assert "real page 2 of INC-1" in said
    assert receiver.requests == []


def test_pages_are_read_from_a_file_and_missed_ones_fail_the_report(
    serving: Serving, tmp_path: Path
) -> None:
    """Exit 1 when somebody was really paged and midwatch had nothing; 3 when there is no page."""
    assert serving.deliver(alert("Down")).status == 202
    assert report(serving)[0] == 3
    opened = serving.incidents()[0]["opened_at"]
    pages = tmp_path / "pages.jsonl"
    lines = [{"at": opened, "service": name, "key": name} for name in ("shop", "mail")]
    pages.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    code, found = report(serving, "--pages", str(pages))
    assert code == 1
    # Whoever wrote the line calls it by another name, which the config knows.
    topology = serving.folder / "midwatch" / "topology.yaml"
    topology.write_text("services: [{name: shop, aliases: [Webshop (DE)]}]\n", "utf-8")
    written = tmp_path / "written.jsonl"
    told = [{**lines[0], "service": name} for name in ("webshop de", "SHOP", "Webshop (FR)")]
    written.write_text("".join(json.dumps(line) + "\n" for line in told), "utf-8")
    _, other = report(serving, "--pages", str(written))
    assert [(j["services"][0], j["verdict"] == "missed") for j in other["judged"]] == [
        ("SHOP", False),
        ("Webshop (FR)", True),
        ("webshop de", False),
    ]
    assert [(j["key"], j["verdict"]) for j in found["judged"]] == [
        ("mail", "missed"),
        ("shop", "covered"),
    ]
    # A zone of its own is the same moment; one that nobody named is refused, and so is a guess.
    local = datetime.fromisoformat(opened).astimezone(timezone(timedelta(hours=1)))
    zoned = tmp_path / "zoned.jsonl"
    zoned.write_text(json.dumps({**lines[0], "at": local.isoformat()}) + "\n", "utf-8")
    living = report(serving, "--pages", str(zoned))
    assert [(j["at"], j["verdict"]) for j in living[1]["judged"]] == [(opened, "covered")]
    code, said = report(serving, "--until", "2026-11-25T02:00:00")
    assert (code, "write it as 2026-01-31T09:00:00Z" in said) == (2, True)
    pages.write_text('{"at": "yesterday", "service": "a", "key": "b"}', "utf-8")
    code, said = report(serving, "--pages", str(pages))
    assert code == 2
    assert "pages.jsonl:1: not a valid page" in said
    assert report(serving, "--db", "nowhere.db")[0] == 2
    # The journal says the same when the server that keeps it is gone.
    assert serving.stop() == 0
    code, gone = report(serving, "--pages", str(zoned))
    assert (code, gone["judged"]) == (living[0], living[1]["judged"])


def test_what_pagerduty_tells_counts_as_pages(serving: Serving) -> None:
    """Its Events API and its outgoing webhooks, each under PagerDuty's own key; ends count not."""
    assert serving.deliver(alert("Down")).status == 202
    event = {
        "event_action": "trigger",
        "dedup_key": "shop/down",
        "payload": {"summary": "Down", "source": "shop", "severity": "critical"},
    }
    told = {
        "event": {
            "event_type": "incident.triggered",
            "occurred_at": "2026-11-25T02:00:00Z",
            "data": {"id": "P1", "title": "Down", "service": {"summary": "shop"}},
        }
    }
    for name, document in (
        ("events", event),
        ("events", {"event_action": "resolve", "dedup_key": "shop/down"}),
        ("incidents", told),
        ("incidents", {"event": {**told["event"], "event_type": "incident.acknowledged"}}),
    ):
        token = serving.token("--source", name, "--shadow")
        body = json.dumps(document).encode()
        assert serving.ask("POST", f"/intake/{name}", body, token).status == 202
    _, found = report(serving)
    judged = [(j["source"], j["verdict"]) for j in found["judged"]]
    assert judged == [("events", "covered"), ("incidents", "saved")]
    assert len(serving.incidents()) == 1


def test_shadow_decides_as_live_and_sends_nothing(
    serving: Serving, receiver: Receiver, tmp_path: Path
) -> None:
    """The same incidents, pages and reasons; no page, no heartbeat, not even an escalated one."""
    assert serving.deliver(alert("Down"), alert("Slow", "cart")).status == 202
    until(lambda: serving.incidents()[0]["pages"] == 4)
    shadow = serving.ask("GET", "/api/v1/incidents/INC-1", token=serving.person).document
    assert serving.stop() == 0
    assert receiver.requests == []

    (tmp_path / "live").mkdir()
    live = Serving(tmp_path / "live")
    reconfigure(live.folder / "midwatch", CONFIG.format(url=receiver.url))
    live.start()
    try:
        assert live.deliver(alert("Down"), alert("Slow", "cart")).status == 202
        until(lambda: live.incidents()[0]["pages"] == 4)
        lived = live.ask("GET", "/api/v1/incidents/INC-1", token=live.person).document
    finally:
        live.kill()
    assert receiver.pages
    # A receipt may still be on its way; what was decided is whole.
    told = [
        [(m["event"], m["reason"]) for m in x["timeline"] if m["event"] != "PageSent"]
        for x in (shadow, lived)
    ]
    assert told[0] == told[1]
    sent = [m["says"] for m in shadow["timeline"] if m["event"] == "PageSent"]
    assert sent
    assert all(says.endswith("shadow: not sent") for says in sent)


TOOL = """#!/bin/sh
cd {folder}
echo "$@" >> calls
echo '{{"release": "v2", "epoch": 1}}'
"""
TOOLS = """
routers:
  edge: {{type: command, apply: ["{tool}", set, "{{release}}", "{{epoch}}"], observe: ["{tool}"]}}
actions:
  index.restore: {{apply: {{command: ["{tool}", restore]}}, observe: {{command: ["{tool}"]}}}}
"""
RUNBOOK = """---
id: restore
match: {labels: [alertname=Down]}
steps:
  - {id: restore, action: index.restore, risk: reversible}
---
# Down
"""


def test_no_traffic_is_moved_and_no_command_is_run(serving: Serving, tmp_path: Path) -> None:
    """Whoever asks for it is refused, and neither router nor tool is called, not even to look."""
    serving.kill()
    tool = tmp_path / "tool"
    tool.write_text(TOOL.format(folder=tmp_path), "utf-8")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    config = tmp_path / "midwatch"
    with (config / "midwatch.yaml").open("a", encoding="utf-8") as main:
        main.write(TOOLS.format(tool=tool))
    (config / "runbooks" / "restore.md").write_text(RUNBOOK, "utf-8")
    serving.start(options=["--shadow"])
    where = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}

    def ask(path: str, given: object) -> tuple[int, str]:
        body = json.dumps(given).encode()
        headers = {"Content_Type": "application/json"}
        answer = serving.ask("POST", f"/api/v1/{path}", body, serving.person, **headers)
        return answer.status, answer.body.decode()

    for name, flag in (("v1", "--known-good"), ("v2", "--live")):
        args = ["release", "register", "shop", name, "--digest", name, flag]
        assert serving.type(*args, **where).returncode == 0
    assert serving.deliver(alert("Down")).status == 202

    def plan() -> dict[str, str] | None:
        path = "/api/v1/incidents/INC-1"
        return serving.ask("GET", path, token=serving.person).document["plan"]

    until(plan)
    found = plan()
    assert found is not None
    for path, given in (
        ("incidents/INC-1/approve", {"hash": found["hash"]}),
        ("services/shop/rollback", {}),
        ("services/shop/promote", {"release": "v1"}),
        ("services/shop/canary", {"release": "v1"}),
        ("services/shop/abort", {}),
    ):
        status, says = ask(path, given)
        assert (status, "shadow mode changes nothing" in says) == (409, True), (path, says)
    said = serving.type("runbook", "approve", "INC-1", found["hash"], **where)
    assert (said.returncode, "shadow mode changes nothing" in said.stderr) == (2, True)
    assert serving.stop() == 0
    assert not (tmp_path / "calls").exists()


def test_nothing_says_that_a_page_was_sent(serving: Serving) -> None:
    """The postmortem, the lists and the figures of a trial run say what would have been."""
    assert serving.deliver(alert("Down")).status == 202

    def timeline() -> list[str]:
        found = serving.ask("GET", "/api/v1/incidents/INC-1", token=serving.person).document
        return [moment["event"] for moment in found["timeline"]]

    until(lambda: "EscalationExhausted" in timeline())
    until(lambda: timeline().count("PageSent") == 4)
    lines = serving.ask("GET", "/metrics", token=serving.person).body.decode().splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if line.startswith("midwatch_pages_total"))
    assert counts == {
        'midwatch_pages_total{result="sent"}': "0.0",
        'midwatch_pages_total{result="failed"}': "0.0",
        'midwatch_pages_total{result="shadow"}': "4.0",
    }
    where = ["--db", "midwatch/shadow.db"]
    assert serving.stop() == 0
    assert "EVERYONE WAS PAGED" not in serving.type("incidents", "list", *where).stdout
    told = serving.type("postmortem", "show", "INC-1", *where).stdout
    assert told.count("would have been paged") == 5
    assert "was paged" not in told
    assert "nobody answered" not in told


def test_a_journal_is_kept_in_one_way_only(serving: Serving) -> None:
    """What was never sent is never taken for sent, and the other way round."""
    assert serving.deliver(alert("Down")).status == 202
    assert serving.stop() == 0
    refused = serving.type("serve", "--listen", "127.0.0.1:0", "--db", "midwatch/shadow.db")
    assert refused.returncode == 2
    assert "created in shadow mode" in refused.stderr
    serving.start()
    serving.sender = serving.token("--source", "alertmanager")
    assert serving.ask("POST", "/intake/alertmanager", webhook(alert("D")), serving.sender).status
    assert serving.stop() == 0
    refused = serving.type("serve", "--shadow", "--db", "midwatch/midwatch.db")
    assert refused.returncode == 2
    assert "created for live use" in refused.stderr


def test_whoever_needs_a_token_of_a_trial_is_told_how_to_make_one(serving: Serving) -> None:
    """The page, the intake, a job's address and the API name a command that makes one for here."""
    page = serving.ask("GET", "/login").body.decode()
    assert "midwatch token create --role responder --name ada --shadow<" in page
    for path in ("/intake/alertmanager", "/heartbeats/backup"):
        remedy = serving.ask("POST", path, b"{}").document["remedy"]
        assert remedy == "midwatch token create --source NAME --shadow"
    remedy = serving.ask("GET", "/api/v1/incidents").document["remedy"]
    assert remedy == "midwatch token create --role responder --name NAME --shadow"
