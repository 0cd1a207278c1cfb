"""Where counts of good and bad events come from.

Law: a secret is never written here, only the name of the environment variable that holds it.
"""

from __future__ import annotations

import re

from midwatch.adapters.metrics.options import (
    FileOptions,
    PrometheusOptions,
    ProxyOptions,
    PushedOptions,
)
from midwatch.registry import METRICS, MetricsOptions
from midwatch.yaml_nodes import Node

_HEADER = re.compile(r"[A-Za-z0-9-]+")
_OURS = (
    "authorization",
    "content-type",
    "content-length",
    "host",
    "transfer-encoding",
    "connection",
)
_ASKED = ("query", "time", "start", "end", "step")


def read_metrics(node: Node) -> dict[str, MetricsOptions]:
    """Read where counts come from."""
    return {name: _metrics_source(item) for name, item in node.entries()}


def _metrics_source(node: Node) -> MetricsOptions:
    kind = node.child("type").choice(*METRICS)
    if kind == "pushed":
        node.keys("type", required=("type",))
        return PushedOptions()
    if kind == "proxy":
        node.keys("type", "url", "token_env", required=("type", "url", "token_env"))
        return ProxyOptions(node.child("url").url(), node.child("token_env").text())
    if kind == "file":
        node.keys("type", "path", required=("type", "path"))
        return FileOptions(node.child("path").text())
    node.keys(
        "type",
        "url",
        "token_env",
        "username",
        "password_env",
        "tls_ca",
        "timeout",
        "headers",
        "headers_env",
        "params",
        "tls_cert",
        "tls_key",
        required=("type", "url"),
    )  # fmt: skip, since one key a line would hide what belongs together
    if node.has("token_env") and node.has("username"):
        node.child("username").error("cannot be combined with token_env", "write one of the two")
    if node.has("username") is not node.has("password_env"):
        node.error("username and password_env belong together", "write both")
    if node.has("tls_cert") is not node.has("tls_key"):
        node.error("tls_cert and tls_key belong together", "write both")
    headers, headers_env = _headers(node.child("headers")), _headers(node.child("headers_env"))
    for name in {*map(str.lower, headers)} & {*map(str.lower, headers_env)}:
        node.child("headers_env").error(f"{name} is in headers too", "write it in one of the two")
    return PrometheusOptions(
        node.child("url").url(),
        node.child("token_env").text(default=""),
        node.child("username").text(default=""),
        node.child("password_env").text(default=""),
        node.child("tls_ca").text(default=""),
        node.child("timeout").duration_s(10),
        headers,
        headers_env,
        _params(node.child("params")),
        node.child("tls_cert").text(default=""),
        node.child("tls_key").text(default=""),
    )


def _headers(node: Node) -> dict[str, str]:
    """Read headers; those that midwatch itself writes are refused."""
    found: dict[str, str] = {}
    for name, item in node.entries():
        value = item.scalar()
        if not _HEADER.fullmatch(name) or name.lower() in _OURS:
            remedy = "use token_env or username for Authorization, and letters, digits and -"
            item.error(f"the header {name!r} cannot be set", remedy)
        elif not value.isascii() or not value.isprintable() or not value:
            item.error("a header is printable ASCII", "write it without line breaks and umlauts")
        else:
            found[name] = value
    return found


def _params(node: Node) -> dict[str, str]:
    """Read query parameters; those of the query itself are refused."""
    found: dict[str, str] = {}
    for name, item in node.entries():
        if name in _ASKED:
            item.error("midwatch sets this parameter itself", "remove it")
        else:
            found[name] = item.scalar()
    return found
