"""Tells judged answers to midwatch, in the background, as OpenTelemetry's evaluation events.

Law: a question is never held up by it. What could not be sent is kept and sent again under the same
key, up to a bound; what goes over it is counted and said.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from hashlib import blake2b
from typing import Any

import msgspec

from midwatch.errors import HarnessError
from midwatch.outbound import Outbound

EVERY_S = 2.0
MAX_WAITING = 10_000
BATCH = 500

log = logging.getLogger("midwatch.agent")


class Pusher:
    """Sends events to one address until it is stopped."""

    def __init__(self, outbound: Outbound, url: str, token: str) -> None:
        self._outbound = outbound
        self._url = url
        self._headers = {
            "content-type": "application/x-ndjson",
            "authorization": f"Bearer {token}",
        }
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING)
        self._batch: list[dict[str, Any]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pusher", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, event: dict[str, Any]) -> None:
        """Send an event some time soon."""
        self.dropped += len(self._waiting) == MAX_WAITING
        self._waiting.append(event)

    def stop(self) -> None:
        """Send what waits, once, and end."""
        self._stop.set()
        self._thread.join(15)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._batch or self._waiting:
            while self._waiting and len(self._batch) < BATCH:
                self._batch.append(self._waiting.popleft())
            body = b"\n".join(msgspec.json.encode(event) for event in self._batch)
            key = blake2b(body, digest_size=16).hexdigest()
            try:
                answer = self._outbound.post(
                    self._url, body, {**self._headers, "idempotency-key": key}
                )
            except HarnessError as error:
                log.warning("push failed", extra={"fields": {"msg": str(error)}})
                return
            if answer.status >= 500 or answer.status == 429:
                log.warning("push failed", extra={"fields": {"msg": f"answered {answer.status}"}})
                return
            if answer.status != 202:
                says = f"answered {answer.status}: {answer.says}"
                log.error("push refused", extra={"fields": {"msg": says}})
            self._batch = []
