"""Pages as signed HTTP requests, for whatever a team has: https://www.standardwebhooks.com.

Law: one page has one `webhook-id` for its whole life, however often it is sent, so that the
receiver can drop repeats; the id is unique across journals and their copies. Only a 2xx is a
delivery. A secret that can be guessed signs nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from midwatch.adapters.pagers.options import WebhookOptions
from midwatch.core.state.effects import SendPage, UpdatePage
from midwatch.core.values.clock import SECOND
from midwatch.errors import HarnessError, InputError, Throttled

if TYPE_CHECKING:  # config reads the options below where no HTTP client is installed
    from midwatch.outbound import Answer, Outbound


MIN_KEY_BYTES = 24  # what the standard asks for at least
PREFIX = "whsec_"


class Body(Struct, frozen=True, omit_defaults=True):
    """What is posted; `ack` is the path at midwatch that takes the incident.

    `also` are lines about further incidents; `by` is set where `type` says what became of it.
    `ref` names the incident; no other journal, and no copy of this one, gives it to another.
    """

    type: str
    incident: str
    key: str
    to: str
    severity: str
    title: str
    summary: str
    service: str
    ack: str
    also: tuple[str, ...] = ()
    by: str = ""
    ref: str = ""


class WebhookPager:
    """Posts a page and signs it."""

    def __init__(
        self,
        options: WebhookOptions,
        secret: str,
        outbound: Outbound,
        journal: str,
        clock: Callable[[], int],
    ) -> None:
        from standardwebhooks import Webhook

        self._signer = Webhook(_key_of(secret, options.secret_env))
        self._options = options
        self._outbound = outbound
        self._journal = journal
        self._clock = clock

    def send(self, page: SendPage) -> str:
        """Post one page. Raises Throttled when the receiver asks to wait, else HarnessError."""
        return self._post(
            page.key,
            Body(
                "incident.page",
                page.incident,
                page.key,
                page.to,
                page.severity,
                page.title,
                page.summary,
                page.service,
                f"/api/v1/incidents/{page.outside}/ack",
                page.also,
                ref=page.outside,
            ),
        )

    def follow(self, update: UpdatePage) -> str:
        """Post what became of an incident. Raises as `send` does."""
        return self._post(
            update.key,
            Body(
                f"incident.{update.became}",
                update.incident,
                update.key,
                update.to,
                "",
                update.title,
                "",
                "",
                "",
                (),
                update.by,
                update.outside,
            ),
        )

    def _post(self, key: str, content: Body) -> str:
        message = f"{self._journal}/{key}"
        body = msgspec.json.encode(content)
        now = datetime.fromtimestamp(self._clock() / SECOND, UTC)
        answer = self._outbound.post(
            self._options.url,
            body,
            {
                "content-type": "application/json",
                "webhook-id": message,
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": self._signer.sign(message, now, body.decode()),
            },
        )
        return receipt_of(answer, self._clock())


def _key_of(secret: str, name: str) -> bytes:
    """Read the bytes that sign, strictly: the library skips whatever is no base64."""
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        key = b""
    if len(key) < MIN_KEY_BYTES:
        raise InputError(
            "not a signing secret",
            place=f"${name}",
            remedy=f"create one: echo {PREFIX}$(openssl rand -base64 {MIN_KEY_BYTES})",
        )
    return key


def receipt_of(answer: Answer, now: int) -> str:
    """Read a receiver's answer. Raises Throttled or HarnessError unless it took the page.

    >>> from midwatch.outbound import Answer
    >>> receipt_of(Answer(204, {}, b""), 0)
    'status 204'
    """
    if 200 <= answer.status < 300:
        return f"status {answer.status}"
    says = f"the receiver answered {answer.status}"
    wait_s = answer.retry_after_s(now)
    if wait_s is not None:
        raise Throttled(f"{says}, retry after {wait_s:g} s", wait_s)
    raise HarnessError(says)
