"""Pages as signed HTTP requests, for whatever a team has: https://www.standardwebhooks.com.

Law: one page has one `webhook-id` for its whole life, however often it is sent, so that the
receiver can drop repeats; the id is unique across journals. Only a 2xx is a delivery.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from midwatch.core.clock import SECOND
from midwatch.core.effects import SendPage
from midwatch.errors import HarnessError, InputError, Throttled

if TYPE_CHECKING:  # config reads the options below where no HTTP client is installed
    from midwatch.outbound import Answer, Outbound


class WebhookOptions(Struct, frozen=True, tag="webhook"):
    """Where pages are posted, and which environment variable holds the secret (`whsec_...`)."""

    url: str
    secret_env: str


class Body(Struct, frozen=True):
    """What is posted; `ack` is the path at midwatch that takes the incident."""

    type: str
    incident: str
    key: str
    to: str
    severity: str
    title: str
    summary: str
    service: str
    ack: str


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

        # The library takes whatever decodes somehow, and would sign with a weak key.
        if not is_secret(secret):
            raise InputError(
                "is no signing secret",
                place=f"${options.secret_env}",
                remedy="make one: echo whsec_$(openssl rand -base64 24)",
            )
        self._signer = Webhook(secret)
        self._options = options
        self._outbound = outbound
        self._journal = journal
        self._clock = clock

    def send(self, page: SendPage) -> str:
        """Post one page. Raises Throttled when the receiver asks to wait, else HarnessError."""
        message = f"{self._journal}/{page.key}"
        body = msgspec.json.encode(
            Body(
                "incident.page", page.incident, page.key, page.to, page.severity, page.title,
                page.summary, page.service, f"/api/v1/incidents/{page.incident}/ack",
            )
        )  # fmt: skip
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
        return receipt_of(answer)


def is_secret(text: str) -> bool:
    """Say whether a text is a secret as the standard wants it: 24 to 64 bytes in base64.

    >>> is_secret("whsec_" + "A" * 32), is_secret("whsec_c2hvcnQ="), is_secret("nonsense!")
    (True, False, False)
    """
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return 24 <= len(key) <= 64


def receipt_of(answer: Answer) -> str:
    """Read a receiver's answer. Raises Throttled or HarnessError unless it took the page.

    >>> from midwatch.outbound import Answer
    >>> receipt_of(Answer(204, {}, b""))
    'status 204'
    """
    if 200 <= answer.status < 300:
        return f"status {answer.status}"
    says = f"the receiver answered {answer.status}"
    if answer.retry_after_s is not None:
        raise Throttled(f"{says}, retry after {answer.retry_after_s:g} s", answer.retry_after_s)
    raise HarnessError(says)
