"""Pages by Apprise, for the many services that it knows.

Law: Apprise knows no keys and gives no receipts: what it calls sent may arrive twice, and nothing
more is known. It is told that a page is text, so that it escapes as each service needs it; what a
chat would obey even then is parted. What the service behind it has no room for, escaped, is cut.
Its address is a secret and is in no error. It makes its own connections; only the config can
name them.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

from midwatch.core.state.effects import SendPage
from midwatch.errors import HarnessError, InputError
from midwatch.texts import cut, inert, plain

# How many characters Apprise makes of one, by the format that a service has; of others it makes 1.
TEXT = {"&": 5, "<": 4, ">": 4}
HTML = {**TEXT, "'": 6, '"': 6, " ": 6, "\n": 5}
GROWS: dict[str, dict[str, int]] = {
    "html": HTML,
    "markdown": {**dict.fromkeys(string.punctuation, 2), **TEXT},
    "text": TEXT,
}
AROUND_TITLE = 16  # what a service may put around the title, and a line break


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
            remedy = "see https://appriseit.com/services for the URL format"
            raise InputError("not an Apprise URL", place=f"${name}", remedy=remedy)
        for service in self._apprise:
            # As it comes, Apprise hands on what the service refuses for its length. What it cuts
            # shows no cut, so it only has what our own leaves over, such as a service's markup.
            if service.overflow_mode == apprise.OverflowMode.UPSTREAM:
                service.overflow_mode = apprise.OverflowMode.TRUNCATE

    def send(self, page: SendPage) -> str:
        """Send one page. Raises HarnessError when Apprise says that it did not go out."""
        where = f" ({_safe(page.service)})" if page.service else ""
        lines = [
            f"for {_safe(page.to)}: {_safe(page.title)}{where}",
            f"why: {_safe(page.summary)}",
            f"midwatch incidents ack {page.incident}",
            *filter(None, [self._link(page.outside)]),
            *(_safe(line) for line in page.also),  # last: of a long digest the end is cut
        ]
        title = f"{page.severity} {page.incident}"
        body = "\n".join(lines)
        # A service without titles gets it as the first line.
        taken = 2 * len(title) + AROUND_TITLE
        room = min(_fitting(body, one.body_maxlen - taken, _grows(one)) for one in self._apprise)
        if not self._apprise.notify(title=title, body=cut(body, room), body_format="text"):
            raise HarnessError("Apprise could not send the page", remedy="see its log")
        return "handed to Apprise"


def _safe(text: str) -> str:
    return inert(plain(text))


def _grows(service: Any) -> Mapping[str, int]:
    """Say how much a service's format makes of each character, where it makes more than one."""
    resolve = getattr(service, "resolve_format", None)  # what Apprise 2 decides for each message
    format_ = resolve("text") if resolve else service.notify_format
    return GROWS.get(str(getattr(format_, "value", format_)), HTML)


def _fitting(text: str, room: int, grows: Mapping[str, int]) -> int:
    """Count the characters from the beginning that fit into `room` once they are escaped.

    >>> _fitting("a<b", 5, TEXT), _fitting("a<b", 6, TEXT)
    (2, 3)
    """
    for number, character in enumerate(text):
        room -= grows.get(character, 1)
        if room < 0:
            return number
    return len(text)
