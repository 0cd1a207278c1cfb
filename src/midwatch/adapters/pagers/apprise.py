"""Pages by Apprise, for the many services that it knows.

Law: Apprise knows no keys and gives no receipts: what it calls sent may arrive twice, and nothing
more is known. What the service behind it has no room for is cut. Its address is a secret and stands
in no error. It makes its own connections; only the config can name them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from midwatch.core.effects import SendPage
from midwatch.errors import HarnessError, InputError
from midwatch.texts import cut, plain


class AppriseOptions(Struct, frozen=True, tag="apprise"):
    """Which environment variable holds the address, such as `tgram://...`."""

    url_env: str


class ApprisePager:
    """Hands pages to Apprise."""

    def __init__(self, url: str, name: str, link: Callable[[str], str]) -> None:
        try:
            import apprise
        except ModuleNotFoundError:
            remedy = "pip install 'midwatch[notify]'"
            raise InputError("a pager of type apprise needs apprise", remedy=remedy) from None
        self._apprise: Any = apprise.Apprise()
        self._link = link
        if not self._apprise.add(url):
            remedy = "see https://appriseit.com/services for the form of an address"
            raise InputError("is no address that Apprise knows", place=f"${name}", remedy=remedy)
        for service in self._apprise:
            # As it comes, Apprise hands on what the service refuses for its length. What it cuts
            # shows no cut, so it only has what our own leaves over, such as a service's markup.
            if service.overflow_mode == apprise.OverflowMode.UPSTREAM:
                service.overflow_mode = apprise.OverflowMode.TRUNCATE

    def send(self, page: SendPage) -> str:
        """Send one page. Raises HarnessError when Apprise says that it did not go out."""
        where = f" ({plain(page.service)})" if page.service else ""
        lines = [
            f"for {plain(page.to)}: {plain(page.title)}{where}",
            f"why: {plain(page.summary)}",
            f"midwatch incidents ack {page.incident}",
            *filter(None, [self._link(page.incident)]),
            *(plain(line) for line in page.also),  # last: of a long digest the end is cut
        ]
        title = f"{page.severity} {page.incident}"
        # A service without titles gets it as the first line.
        room = min(service.body_maxlen for service in self._apprise) - len(f"{title}\r\n")
        if not self._apprise.notify(title=title, body=cut("\n".join(lines), room)):
            raise HarnessError("Apprise could not send it", remedy="its log says why")
        return "sent, as far as Apprise knows"
