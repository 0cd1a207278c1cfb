"""What a runbook's step may do to a real server: nothing hangs, nothing is done twice or leaks."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.serving import Serving, alert, until
from tests.acceptance.test_runbook import detail, kinds, typed

from midwatch.adapters import processes
from midwatch.cli.serve import DOOR_S, STOP_S
from midwatch.engine.loop import FINISH_S, LEAVE_S

pytestmark = pytest.mark.slow

LONG_S = 600  # what a step here may take; no test waits for it
PASSWORD = "tr0ub4dor-and-3"
WRITTEN = 30_000_000
TOKEN = "ghp_0123456789abcdefghij0123456789abcdef"
CONFIG = """
actions:
  shelf.fill:
    apply: {{http: {{url: "{url}/fill", method: POST}}}}
    observe: {{http: {{url: "{url}/shelf", expect: {{full: true}}}}}}
    within: 1s
  shelf.hang:
    apply: {{http: {{url: "{url}/hang", method: POST}}}}
    observe: {{http: {{url: "{url}/shelf", expect: {{full: true}}}}}}
    within: 1s
  tool.talk:
    apply: {{command: [/bin/sh, "{folder}/talk"]}}
    observe: {{command: [/bin/sh, -c, "exit 1"]}}
    within: 1s
  tool.restart:
    apply: {{command: [/bin/sh, "{folder}/restart"]}}
    observe: {{command: [/bin/sh, "{folder}/look"]}}
    within: 1s
"""
BOOK = """---
id: {id}
match: {{labels: [alertname={alert}]}}
steps:
{steps}
---
# {id}
"""
STEP = "  - {{id: {id}, action: {action}, risk: {risk}, timeout: 10m}}"
RESTART = """
head -c {written} /dev/zero | tr '\\0' x
echo
echo DB_PASSWORD={password}
(while :; do echo beat >> {folder}/beats; sleep 0.05; done) &
echo $! >> {folder}/pids
"""
LOOK = "echo token={token}\n"
TALK = """
trap '' TERM INT HUP
echo $$ >> {folder}/pids
while :; do echo working; sleep 0.01; done
"""


class Shelf:
    """A service that takes what it is asked, says yes, and shows it when it likes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []  # path and operation
        self.go = threading.Event()
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                shelf.calls.append((self.path, self.headers["Idempotency-Key"]))
                if self.path == "/hang":
                    shelf.go.wait(LONG_S)
                self._answer({})

            def do_GET(self) -> None:
                self._answer({"full": False})

            def _answer(self, body: Any) -> None:
                text = json.dumps(body).encode()
                with suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self) -> None:
        """Let go of all that hang."""
        self.go.set()
        self.server.shutdown()
        self.server.server_close()

    def of(self, incident: str) -> list[str]:
        """List the paths that were called for an incident."""
        return [path for path, operation in self.calls if f"/{incident}/" in operation]


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    """What the requests go to."""
    found = Shelf()
    yield found
    found.end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where programs write their own number to `pids`; they are ended at last."""
    found = tmp_path_factory.mktemp("live")
    file = found / "pids"
    file.touch()
    yield found
    for pid in file.read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


@pytest.fixture(scope="module")
def serving(folder: Path, shelf: Shelf) -> Iterator[Serving]:
    """A server whose runbooks have one step, or two of which the second has to wait."""
    found = Serving(folder)
    config = folder / "midwatch"
    with (config / "midwatch.yaml").open("a") as main:
        main.write(CONFIG.format(url=shelf.url, folder=folder))
    for name, text in (("restart", RESTART), ("talk", TALK), ("look", LOOK)):
        script = text.format(folder=folder, password=PASSWORD, token=TOKEN, written=WRITTEN)
        (folder / name).write_text(script, "utf-8")
    for alert_name, *steps in (
        ("Stuck", "shelf.hang", "shelf.fill"),
        ("Mute", "tool.talk", "shelf.fill"),
        ("Down", "tool.restart"),
    ):
        lines = "\n".join(
            STEP.format(id=f"s{n}", action=action, risk="destructive")
            for n, action in enumerate(steps, start=1)
        )
        text = BOOK.format(id=alert_name.lower(), alert=alert_name, steps=lines)
        (config / "runbooks" / f"{alert_name.lower()}.md").write_text(text, "utf-8")
    found.start()
    try:
        yield found
    finally:
        found.kill()


def proposed(serving: Serving, name: str, service: str) -> tuple[str, str]:
    """Let an alert of a service of its own come; gives the incident and the hash of its plan."""
    assert serving.deliver(alert(name, service, namespace=service)).status == 202

    def found() -> list[str]:
        title = f"{name} on {service}"
        return [one["id"] for one in serving.incidents() if one["title"] == title]

    until(found)
    (incident,) = found()
    until(lambda: detail(serving, incident)["plan"])
    return incident, detail(serving, incident)["plan"]["hash"]


def pids(folder: Path) -> list[str]:
    """The programs that said that they run."""
    return (folder / "pids").read_text().split()


def lives(pid: str) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_of_three_who_approve_at_once_one_begins_it(serving: Serving, shelf: Shelf) -> None:
    """The others hear that somebody was faster. It said yes and is not seen: nobody can tell."""
    name, plan = proposed(serving, "Stuck", "one")
    with ThreadPoolExecutor(3) as pool:
        given = [pool.submit(typed, serving, "runbook", "approve", name, plan) for _ in range(3)]
        until(lambda: sum(one.done() for one in given) == 2)
        shelf.go.set()
    shelf.go.clear()
    answers = sorted(one.result() for one in given)
    assert [code for code, _, _ in answers] == [2, 2, 3], answers
    assert all(f"stuck of {name} was approved already" in err for _, _, err in answers[:2])
    assert "failed: s1 unknown: full is false (answered 200; not verified" in answers[2][1]
    assert shelf.of(name) == ["/hang"]
    until(lambda: kinds(serving, name).count("PagePlanned") == 2)


def test_what_a_program_writes_goes_nowhere_and_what_it_starts_lives_on(
    serving: Serving, folder: Path
) -> None:
    """Its step ends with it; secrets are masked in its record, and no postmortem has its output."""
    before = len(pids(folder))
    name, plan = proposed(serving, "Down", "two")
    code, out, err = typed(serving, "runbook", "approve", name, plan)
    assert code == 0, out + err
    (daemon,) = pids(folder)[before:]
    seen = detail(serving, name)
    (done,) = [one for one in seen["timeline"] if one["event"] == "ActionDone"]
    (lost,) = re.findall(r"([0-9,]+) bytes of its output were dropped", done["says"])
    assert WRITTEN > int(lost.replace(",", "")) > WRITTEN - 2 * processes.KEPT
    serving.deliver(alert("Down", "two", status="resolved", namespace="two"))
    until(lambda: "PostmortemDrafted" in kinds(serving, name))
    _, written, _ = typed(serving, "postmortem", "show", name)
    _, shown, _ = typed(serving, "incidents", "show", name)
    assert "xxxx" not in written
    places = (folder / "midwatch").glob("midwatch.db*")
    journal = b"".join(file.read_bytes() for file in places if file.is_file())
    assert b"DB_PASSWORD=***" in journal
    told = (json.dumps(seen), written, shown, serving.out.read_text())
    for secret in (PASSWORD, TOKEN):
        assert secret.encode() not in journal
        assert all(secret not in text for text in told)
    serving.kill()
    beats = folder / "beats"
    heard = beats.stat().st_size
    until(lambda: beats.stat().st_size > heard + 20)
    assert lives(daemon)
    serving.start()


def test_sigterm_waits_for_no_step_and_a_kill_repeats_none(
    serving: Serving, shelf: Shelf, folder: Path
) -> None:
    """A request that hangs, a program that talks and hears no signal: in doubt at the next start.

    There each is looked at, is not done again, no step after it begins, and a person is paged.
    """
    assert DOOR_S + FINISH_S + LEAVE_S < STOP_S <= 10
    before = len(pids(folder))

    def begin(alert_name: str, service: str) -> str:
        name, plan = proposed(serving, alert_name, service)
        code, _, err = typed(serving, "runbook", "approve", name, plan, "--no-wait")
        assert code == 0, err
        return name

    names = [begin("Stuck", "three"), begin("Mute", "four")]
    until(lambda: shelf.of(names[0]) and len(pids(folder)) > before)
    began = time.monotonic()
    assert serving.stop() == 0
    # It may be slow here; the steps have ten minutes.
    assert time.monotonic() - began < 40
    (talker,) = pids(folder)[before:]
    assert lives(talker)
    serving.start()
    names.append(begin("Stuck", "five"))
    until(lambda: shelf.of(names[-1]))
    serving.kill()
    serving.start()
    for name, calls in zip(names, (["/hang"], [], ["/hang"]), strict=True):
        until(lambda name=name: kinds(serving, name).count("PagePlanned") == 2)
        (failed,) = [m for m in detail(serving, name)["timeline"] if m["event"] == "ActionFailed"]
        assert "s1 unknown: " in failed["says"]
        assert "after a crash" in failed["says"]
        assert shelf.of(name) == calls
    assert len(pids(folder)) == before + 1
