"""A real `midwatch serve` in a process of its own, for tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MIDWATCH = str(Path(sys.executable).with_name("midwatch"))
READY_S = 60
READY = re.compile(r"midwatch is ready on (http://\S+), event log")


def midwatch(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Type a command."""
    return subprocess.run(
        [MIDWATCH, *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **env},
        timeout=60,
    )


def alert(
    name: str, service: str = "shop", status: str = "firing", **labels: str
) -> dict[str, Any]:
    """One alert as Alertmanager sends it."""
    full = {"alertname": name, "service": service, "severity": "critical", **labels}
    return {"status": status, "labels": full, "startsAt": "2026-11-24T02:00:00Z", "endsAt": ""}


def webhook(*alerts: Any) -> bytes:
    """A delivery as Alertmanager sends it."""
    return json.dumps({"version": "4", "alerts": alerts}).encode()


APART = "\ncorrelation: {wall: namespace}\n"  # tests keep their incidents apart by namespaces


def reconfigure(config: Path, text: str) -> None:
    """Write midwatch.yaml anew after init; the people of init's schedule are not its people."""
    text += "" if "correlation:" in text else APART
    (config / "midwatch.yaml").write_text(text, "utf-8")
    (config / "schedules" / "primary.yaml").unlink(missing_ok=True)


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


class Answer:
    """A status, headers and a document."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class Serving:
    """A config directory and the server over it, which may be killed and started again."""

    def __init__(self, folder: Path, *, together: bool = False) -> None:
        self.folder = folder
        self.url = ""
        self.port = 0
        self.out = folder / "out.txt"
        self._process: subprocess.Popen[str] | None = None
        assert midwatch("init", cwd=folder).returncode == 0
        # Its objective waits for counts that most tests do not push.
        (folder / "midwatch" / "slos" / "availability.yaml").unlink()
        (folder / "midwatch" / "runbooks" / "rollback.md").unlink()
        # Many incidents at once are many pages here, so that each can be waited for.
        main = folder / "midwatch" / "midwatch.yaml"
        text = main.read_text("utf-8")
        text = text.replace("escalation:\n", "escalation:\n  digest: off\n")
        main.write_text(text + ("" if together else APART), "utf-8")
        self.sender = self.token("--source", "alertmanager")
        self.person = self.token("--role", "responder", "--name", "ada")

    def token(self, *args: str) -> str:
        """Make a token."""
        return self.type("token", "create", *args).stdout.strip()

    def type(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Type a command in the folder."""
        return midwatch(*args, cwd=self.folder, **env)

    def start(self, *wrap: str, options: Sequence[str] = ()) -> None:
        """Start the server and wait for its line."""
        listen = f"127.0.0.1:{self.port}"
        with self.out.open("a") as out:
            self._process = subprocess.Popen(
                [*wrap, MIDWATCH, "serve", "--listen", listen, *options],
                stdout=subprocess.PIPE,
                stderr=out,
                text=True,
                cwd=self.folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        assert self._process.stdout is not None
        stdout = self._process.stdout
        timer = threading.Timer(READY_S, self._process.kill)
        timer.start()
        line = stdout.readline()
        timer.cancel()
        found = READY.match(line)
        assert found, f"not ready: {line!r} {self.out.read_text()}"
        self.url = found[1]
        self.port = int(self.url.rpartition(":")[2])

        def keep() -> None:
            with self.out.open("a") as out:
                for text in stdout:
                    out.write(text)
                    out.flush()

        self._reader = threading.Thread(target=keep, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    def end(self, seconds: float = 60) -> int:
        """Wait until it ends by itself; gives the exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        code = process.wait(seconds)
        self._reader.join(5)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def kill(self) -> None:
        """As a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator does; gives the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(how)
        code = process.wait(60)
        self._reader.join(5)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def ask(
        self, method: str, path: str, body: bytes | None = None, token: str = "", **headers: str
    ) -> Answer:
        """Send one request."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.url + path, body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def deliver(self, *alerts: Any) -> Answer:
        """Send alerts as Alertmanager does."""
        return self.ask("POST", "/intake/alertmanager", webhook(*alerts), self.sender)

    def incidents(self, **query: str) -> Any:
        """The list, over the API."""
        path = "/api/v1/incidents" + "".join(f"?{k}={v}" for k, v in query.items())
        return self.ask("GET", path, token=self.person).document
