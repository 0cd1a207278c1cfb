"""Pages by e-mail, over SMTP.

Law: one page has one Message-ID, however often it is sent. Text from outside reaches no header
unless it is one printable line. The connection is encrypted unless the config says that it is not,
and the server's certificate is always checked. A mail is given up after WHOLE_S, however the server
drips its answers.
"""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from hashlib import blake2b
from typing import Any

from midwatch.adapters.pagers.options import EmailOptions
from midwatch.core.state.effects import SendPage
from midwatch.core.values.clock import SECOND
from midwatch.errors import HarnessError
from midwatch.hiding import hidden
from midwatch.texts import cut, plain

TIMEOUT_S = 10  # for each answer
WHOLE_S = 30.0  # for all of them
MAX_SUBJECT = 200


class _Smtp(smtplib.SMTP):
    """A connection that is cut when it takes too long: its timeout is for each read alone."""

    _cut: threading.Timer | None = None

    def connect(
        self, host: str = "localhost", port: int = 0, source_address: Any = None
    ) -> tuple[int, bytes]:
        self._cut = threading.Timer(WHOLE_S, self._shut)
        self._cut.daemon = True
        self._cut.start()
        return super().connect(host, port, source_address)

    def close(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
        super().close()

    def _shut(self) -> None:
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


class _SmtpOverTls(_Smtp, smtplib.SMTP_SSL):
    pass


class EmailPager:
    """Sends pages to people's addresses."""

    def __init__(
        self,
        options: EmailOptions,
        password: str,
        journal: str,
        clock: Callable[[], int],
        link: Callable[[str], str],
        addresses: Mapping[str, str],
    ) -> None:
        self._options = options
        self._password = password
        self._journal = journal
        self._clock = clock
        self._link = link
        self._addresses = addresses

    def send(self, page: SendPage) -> str:
        """Send one page. Raises HarnessError when the server did not take it."""
        address = self._addresses.get(page.to) or self._options.to
        if not address:
            remedy = "add email to them under people"
            raise HarnessError(f"{page.to!r} has no email address", remedy=remedy)
        message = self._message(page, address)
        options = self._options
        try:
            with self._connect() as server:
                if options.tls == "starttls":
                    server.starttls(context=self._context())
                if options.username:
                    server.login(options.username, self._password)
                server.send_message(message)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            says = hidden(_told(error), self._logins())
            raise HarnessError(f"{options.host} refused the message: {plain(says)}") from None
        return f"accepted for {address}"

    def _connect(self) -> smtplib.SMTP:
        options = self._options
        if options.tls == "tls":
            return _SmtpOverTls(
                options.host, options.port, timeout=TIMEOUT_S, context=self._context()
            )
        return _Smtp(options.host, options.port, timeout=TIMEOUT_S)

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._options.tls_ca or None)

    def _logins(self) -> list[str]:
        """List the ways in which the password is shown, which a server may send back."""
        ways = (self._password, f"\0{self._options.username}\0{self._password}")
        return [self._password, *(base64.b64encode(one.encode()).decode() for one in ways)]

    def _message(self, page: SendPage, address: str) -> EmailMessage:
        message = EmailMessage()
        hashed = blake2b(f"{self._journal}/{page.key}".encode(), digest_size=12).hexdigest()
        domain = self._options.sender.rpartition("@")[2]
        message["Message-ID"] = f"<{hashed}@{domain}>"
        message["Date"] = formatdate(self._clock() / SECOND)
        message["From"] = self._options.sender
        message["To"] = address
        subject = f"[{page.severity}] {page.incident}: {page.title}"
        message["Subject"] = cut(plain(subject), MAX_SUBJECT)
        message["Auto-Submitted"] = "auto-generated"
        message["X-Priority"] = "1" if page.severity == "sev1" else "3"
        where = f" ({plain(page.service)})" if page.service else ""
        lines = [
            f"{page.severity} {page.incident} for {plain(page.to)}: {plain(page.title)}{where}",
            f"why: {plain(page.summary)}",
            *(plain(line) for line in page.also),
            "",
            f"midwatch incidents ack {page.incident}",
            *filter(None, [self._link(page.outside)]),
        ]
        message.set_content("\n".join(lines) + "\n", cte="base64")
        return message


def _told(error: Exception) -> str:
    """Tell an SMTP error in one line, with the server's code."""
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        return f"{error.smtp_code} {' '.join(text.split())}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = {code for code, _ in error.recipients.values()}
        return f"recipient refused ({', '.join(map(str, codes))})"
    return f"{type(error).__name__}: {error}"
