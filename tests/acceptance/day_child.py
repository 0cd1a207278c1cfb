"""Plays a recorded day to a `midwatch serve` of its own; run it under a clock that is set and fast.

Between requests it looks at the figures again and again: a thread that waits for a moment is woken
by the machine's own clock, which the fast one does not move, and a look wakes it as well.

python day_child.py CONFIG DB DAY     DAY holds {"ends_at", "requests": [{at, path, token, body}]}
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path


def main() -> None:
    config, db, day = sys.argv[1:]
    recorded = json.loads(Path(day).read_text("utf-8"))
    midwatch = str(Path(sys.executable).with_name("midwatch"))
    command = [midwatch, "serve", "--config", config, "--db", db, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serve:
        assert serve.stdout is not None
        found = re.search(r"ready on http://(\S+),", serve.stdout.readline())
        assert found
        try:
            for request in recorded["requests"]:
                look_until(request["at"], found[1])
                headers = {"Authorization": f"Bearer {request['token']}"}
                status = ask(found[1], "POST", request["path"], request["body"], headers)
                sys.stdout.write(f"{status}\n")
            look_until(recorded["ends_at"], found[1])
        finally:
            serve.terminate()
            serve.communicate()


def look_until(at: int, server: str) -> None:
    """Wait for a moment in milliseconds since the epoch."""
    while time.time() < at / 1_000:
        ask(server, "GET", "/metrics")


def ask(
    server: str, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> int:
    """Send one request on a connection of its own: a kept one ages as fast as the clock runs.

    On a busy machine even a new one may be idle for too long before its request is there, and the
    server hangs up: then it is sent again, as a sender would. The same bytes are the same delivery.
    """
    for last in (False, False, False, True):
        connection = HTTPConnection(server)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            if last:
                raise
        else:
            return answer.status
        finally:
            connection.close()
    raise AssertionError("never reached")


if __name__ == "__main__":
    main()
