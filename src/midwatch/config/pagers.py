"""By which channels people are reached.

Law: a secret is never written here, only the name of the environment variable that holds it.
"""

from __future__ import annotations

import re
from typing import Literal, cast

from midwatch.adapters.pagers.options import (
    PAGERDUTY_URL,
    AppriseOptions,
    EmailOptions,
    PagerDutyOptions,
    SlackOptions,
    TerminalOptions,
    WebhookOptions,
)
from midwatch.config.limits import read_rate
from midwatch.config.paging import Paging
from midwatch.errors import BugError
from midwatch.ports import Rate
from midwatch.registry import PAGERS, PagerOptions
from midwatch.yaml_nodes import Node


def read_pagers(node: Node) -> tuple[dict[str, PagerOptions], dict[str, Rate]]:
    """Read the channels by which people are reached, and how much those take that say it."""
    channels = list(node.entries())
    pagers = {name: _pager(item) for name, item in channels}
    rates = {name: read_rate(item.child("rate")) for name, item in channels}
    return pagers, {name: rate for name, rate in rates.items() if rate}


def check_addresses(main: Node, pagers: dict[str, PagerOptions], paging: Paging) -> None:
    """Note people whom a pager of theirs would not find."""
    people = main.child("people")
    for name, contact in paging.contacts.items():
        listed = people.child(name).child("pagers")
        for one in listed.items() if isinstance(listed.value, list) else ():
            options = pagers.get(str(one.value))
            if isinstance(options, EmailOptions) and not contact.email:
                one.error(f"sends email, and {name} has no address", "add email to the person")


def _pager(node: Node) -> PagerOptions:
    kind = node.child("type").choice(*PAGERS)
    need = {
        "webhook": ("url", "secret_env"),
        "pagerduty": ("routing_key_env",),
        "slack": ("url_env",),
        "email": ("smtp", "from"),
        "apprise": ("url_env",),
        "terminal": (),
    }[kind]
    may = {
        "pagerduty": ("url",),
        "slack": ("signing_secret_env",),
        "email": ("tls", "username", "password_env", "tls_ca", "to"),
    }.get(kind, ())
    node.keys("type", "rate", *need, *may, required=("type", *need))
    match kind:
        case "webhook":
            return WebhookOptions(node.child("url").url(), node.child("secret_env").text())
        case "pagerduty":
            url = node.child("url").url() if node.has("url") else PAGERDUTY_URL
            return PagerDutyOptions(node.child("routing_key_env").text(), url)
        case "slack":
            signing = node.child("signing_secret_env").text(default="")
            return SlackOptions(node.child("url_env").text(), signing)
        case "email":
            return _email(node)
        case "apprise":
            return AppriseOptions(node.child("url_env").text())
        case "terminal":
            return TerminalOptions()
        case _:
            raise BugError(f"no keys are read for the pager type {kind}")


def _email(node: Node) -> EmailOptions:
    host, _, port = node.child("smtp").text().rpartition(":")
    if node.has("smtp") and (not host or not port.isdigit() or not 0 < int(port) < 65_536):
        node.child("smtp").error(node.child("smtp").found, "write it like mail.example.org:587")
        host, port = "localhost", "587"
    for name in ("from", "to"):
        address = node.child(name).text(default="")
        if address and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", address):
            node.child(name).error("not an email address", "write it like oncall@example.org")
    if node.has("username") is not node.has("password_env"):
        node.error("username and password_env belong together", "write both")
    tls = node.child("tls").choice("starttls", "tls", "none", default="starttls")
    return EmailOptions(
        host,
        int(port or 587),
        node.child("from").text(),
        cast("Literal['starttls', 'tls', 'none']", tls),
        node.child("username").text(default=""),
        node.child("password_env").text(default=""),
        node.child("tls_ca").text(default=""),
        node.child("to").text(default=""),
    )
