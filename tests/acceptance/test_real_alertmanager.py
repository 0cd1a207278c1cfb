"""`midwatch correlate` on what a real Alertmanager answers."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

from tests.servers import free_port, need, running

MIDWATCH = str(Path(sys.executable).with_name("midwatch"))


def test_the_api_answer_of_a_running_alertmanager_is_correlated(tmp_path: Path) -> None:
    """Two services in trouble hours apart, posted to a real Alertmanager, are two incidents."""
    program = need("prometheus-alertmanager")
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n", "utf-8")
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={config}",
        f"--storage.path={tmp_path}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    now = datetime.fromtimestamp(1_800_000_000, UTC)
    posted = [
        {
            "labels": {"alertname": name, "service": service, "severity": "critical"},
            "startsAt": (now - timedelta(hours=hours)).isoformat(),
            "endsAt": (now + timedelta(days=3650)).isoformat(),
        }
        for service, hours in (("checkout", 5), ("search", 1))
        for name in ("ErrorsHigh", "LatencyHigh", "SaturationHigh")
    ]
    with running(command, f"{url}/-/ready", tmp_path / "log"):
        post = Request(
            f"{url}/api/v2/alerts",
            json.dumps(posted).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(post, timeout=5) as answer:
            assert answer.status == 200
        with urlopen(f"{url}/api/v2/alerts", timeout=5) as answer:
            body = answer.read()
    alerts = json.loads(body)
    done = subprocess.run(
        [MIDWATCH, "correlate"], input=body, capture_output=True, check=True, timeout=30
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(alerts) == 6
    by_service = {
        alert["labels"]["service"]: row["incident"] for alert, row in zip(alerts, rows, strict=True)
    }
    assert sorted(by_service.values()) == ["INC-1", "INC-2"]
    assert [row["causes"] for row in rows] == [[a["labels"]["service"]] for a in alerts]
