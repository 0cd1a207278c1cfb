"""What each source of counts is told by the config.

Law: no more than values, so that a config is read without any of their code.
"""

from __future__ import annotations

from msgspec import Struct, field

COUNTED = ("requests", "errors", "slow")  # what a proxy counts of a release


class FileOptions(Struct, frozen=True):
    """Where the file is."""

    path: str


class PrometheusOptions(Struct, frozen=True):
    """Where it is, and how it knows us; secrets come from the environment.

    `headers` and `headers_env` (name of the header -> variable that holds it) go with every
    request, such as a tenant's; `params` go with every query, such as Thanos' `dedup`. `tls_cert`
    and `tls_key` are the files of a client certificate.
    """

    url: str
    token_env: str = ""
    username: str = ""
    password_env: str = ""
    tls_ca: str = ""
    timeout_s: int = 10
    headers: dict[str, str] = field(default_factory=dict[str, str])
    headers_env: dict[str, str] = field(default_factory=dict[str, str])
    params: dict[str, str] = field(default_factory=dict[str, str])
    tls_cert: str = ""
    tls_key: str = ""


class ProxyOptions(Struct, frozen=True):
    """Where the proxy listens for commands, and which variable holds its token."""

    url: str
    token_env: str


class PushedOptions(Struct, frozen=True):
    """Nothing is to be said: whoever has the source's token may push."""
