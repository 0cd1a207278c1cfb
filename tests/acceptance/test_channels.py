"""Channels through a real server: an alert comes in, and arrives where people are."""

from __future__ import annotations

import hmac
import json
import re
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.acceptance.receiver import Receiver
from tests.acceptance.serving import Serving, alert, reconfigure, until

CONFIG = """
service_labels: [service]
sources: {{alertmanager: {{type: alertmanager}}}}
public_url: https://oncall.example.org
people: {{ada: {{pagers: [chat, duty], slack: U123}}}}
pagers:
  chat: {{type: slack, url_env: CHAT, signing_secret_env: SIGN}}
  duty: {{type: pagerduty, routing_key_env: KEY, url: "{duty}"}}
escalation: {{steps: [{{to: ada}}]}}
"""

JSON = {"Content_Type": "application/json"}


def press(secret: str, value: str) -> tuple[bytes, dict[str, str]]:
    """The request that Slack makes when the button of an incident is pressed."""
    payload = {"user": {"id": "U123"}, "actions": [{"action_id": "midwatch-ack", "value": value}]}
    body = urlencode({"payload": json.dumps(payload)}).encode()
    at = str(int(time.time()))
    signed = hmac.new(secret.encode(), b"v0:" + at.encode() + b":" + body, "sha256").hexdigest()
    return body, {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={signed}"}


def test_slack_pages_and_its_button_takes_the_incident(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pressed by whom the config knows; a forged press does nothing; no secret is in the log."""
    with Receiver() as slack, Receiver() as duty:
        duty.usual = 202
        secrets = {
            "CHAT": f"{slack.url}/services/s3cret",
            "SIGN": "s1gn-s3cret",
            "KEY": "k3y-s3cret",
        }
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        serving = Serving(tmp_path)
        reconfigure(tmp_path / "midwatch", CONFIG.format(duty=duty.url))
        serving.start()
        try:
            serving.deliver(alert("Down"))
            until(lambda: slack.requests)
            said = json.dumps(json.loads(slack.requests[0][2]))
            assert "<@U123>" in said
            (ref,) = set(re.findall(r"INC-1-[0-9a-f]{8}", said))
            assert f"https://oncall.example.org/incidents/{ref}|INC-1" in said
            # Buttons of another journal, of a copy, and of before the journal was restored.
            for value in ("INC-9", "INC-1", "INC-1-00000000", ""):
                body, headers = press("s1gn-s3cret", value)
                assert serving.ask("POST", "/slack/chat", body, **headers).status == 200
                refused = slack.requests.pop()[2].decode()
                assert f"Nothing was done: this event log has no incident {value}:" in refused
            assert not serving.incidents()[0]["acknowledged_by"]
            for secret, status in (("other", 401), ("s1gn-s3cret", 200)):
                body, headers = press(secret, ref)
                assert serving.ask("POST", "/slack/chat", body, **headers).status == status
            until(lambda: len(slack.requests) == 2)
            assert "INC-1 is now acknowledged: ada" in slack.requests[1][2].decode()
            (incident,) = serving.ask("GET", "/api/v1/incidents", token=serving.person).document
            assert incident["acknowledged_by"] == "ada"
            # The same press, sent again by whoever has seen it, takes nothing a second time.
            path = "/api/v1/incidents/INC-1"
            given = serving.ask("POST", f"{path}/unack", b"{}", serving.person, **JSON)
            assert given.status == 200
            assert serving.ask("POST", "/slack/chat", body, **headers).status == 200
            again = serving.ask("GET", path, token=serving.person).document
            assert (again["incident"]["state"], again["incident"]["acknowledged_by"]) == (
                "open",
                "",
            )
            assert [m["event"] for m in again["timeline"]].count("PageAcknowledged") == 1
            assert serving.ask("POST", "/slack/duty", b"").status == 404
        finally:
            serving.stop()
        log = serving.out.read_text()
        assert [value for value in ("s3cret", "k3y") if value in log] == []
