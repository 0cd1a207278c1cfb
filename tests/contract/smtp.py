"""A real SMTP server on loopback that keeps what it is sent."""

from __future__ import annotations

import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


class _Controller(Controller):
    """Finds its own free port."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Smtp:
    """Listens until it is closed. With a certificate it wants STARTTLS; with a password, it too."""

    def __init__(
        self, certificate: Path | None = None, password: str = "", refusal: str = ""
    ) -> None:
        self.messages: list[EmailMessage] = []
        self._password = password
        self._refusal = refusal
        options: dict[str, Any] = {}
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            options |= {"tls_context": context, "require_starttls": True}
        if password:
            options |= {"authenticator": self._check, "auth_required": True}
        self._controller = _Controller(self, hostname="127.0.0.1", port=0, **options)
        self._controller.start()
        self.port = self._controller.port

    def close(self) -> None:
        """Be gone; a second time changes nothing."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        if self._refusal:
            return self._refusal
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 taken"

    def _check(self, server: Any, session: Any, envelope: Any, how: str, given: Any) -> AuthResult:
        return AuthResult(success=given.password == self._password.encode())
