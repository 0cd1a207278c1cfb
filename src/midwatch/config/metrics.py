"""Where counts of good and bad events come from.

Law: a secret is never written here, only the name of the environment variable that holds it.
"""

from __future__ import annotations

from midwatch.adapters.metrics.options import (
    FileOptions,
    PrometheusOptions,
    ProxyOptions,
    PushedOptions,
)
from midwatch.registry import METRICS, MetricsOptions
from midwatch.yaml_nodes import Node


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
        "type", "url", "token_env", "username", "password_env", "tls_ca", "timeout",
        required=("type", "url"),
    )  # fmt: skip
    if node.has("token_env") and node.has("username"):
        node.child("username").error("cannot be combined with token_env", "write one of the two")
    if node.has("username") is not node.has("password_env"):
        node.error("username and password_env belong together", "write both")
    return PrometheusOptions(
        node.child("url").url(),
        node.child("token_env").text(default=""),
        node.child("username").text(default=""),
        node.child("password_env").text(default=""),
        node.child("tls_ca").text(default=""),
        node.child("timeout").duration_s(10),
    )
