"""What each pager is told by the config.

Law: no more than values, so that a config is read without any pager's code.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"


class AppriseOptions(Struct, frozen=True, tag="apprise"):
    """Which environment variable holds the address, such as `tgram://...`."""

    url_env: str


class EmailOptions(Struct, frozen=True, tag="email"):
    """The server, whom pages come from, and how it knows us; `to` is for pages to a channel."""

    host: str
    port: int
    sender: str
    tls: Literal["starttls", "tls", "none"] = "starttls"
    username: str = ""
    password_env: str = ""
    tls_ca: str = ""
    to: str = ""


class PagerDutyOptions(Struct, frozen=True, tag="pagerduty"):
    """Which environment variable holds the routing key; `url` is for another region."""

    routing_key_env: str
    url: str = PAGERDUTY_URL


class SlackOptions(Struct, frozen=True, tag="slack"):
    """Which environment variables hold the webhook's address and, for the button, the secret."""

    url_env: str
    signing_secret_env: str = ""


class TerminalOptions(Struct, frozen=True, tag="terminal"):
    """A terminal has nothing to choose."""


class WebhookOptions(Struct, frozen=True, tag="webhook"):
    """Where pages are posted, and which environment variable holds the secret (`whsec_...`)."""

    url: str
    secret_env: str
