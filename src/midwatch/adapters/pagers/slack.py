"""Pages in a Slack channel, by an incoming webhook; a button takes the incident.

Law: text from outside is escaped and can neither format nor mention anybody. The webhook's address
is a secret and stands in no error. A button counts only with Slack's own signature, younger than
five minutes; who pressed it is told by Slack's id alone.

Source: https://api.slack.com/messaging/webhooks, https://api.slack.com/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from midwatch.adapters.pagers.webhook import receipt_of
from midwatch.core.state.effects import SendPage, UpdatePage
from midwatch.core.values.clock import SECOND
from midwatch.errors import InputError
from midwatch.hiding import parts_of
from midwatch.texts import ZERO_WIDTH_SPACE, cut, plain

if TYPE_CHECKING:  # config reads the options below where no HTTP client is installed
    from midwatch.outbound import Outbound

MAX_TEXT = 2_900  # of a block's 3,000 characters
MAX_AGE_S = 300
ACTION = "midwatch-ack"
_FORMATS = re.compile("[@*_~`]")


class Pressed(Struct, frozen=True):
    """Somebody pressed the button of an incident; `user` is Slack's id.

    The incident is named by its ref. `signature` is another one for each press, and the same when a
    press is sent again.
    """

    incident: str
    user: str
    signature: str


class _User(Struct):
    id: str


class _Action(Struct):
    action_id: str
    value: str = ""


class _Payload(Struct):
    user: _User
    actions: list[_Action] = []


class SlackPager:
    """Posts to one channel."""

    def __init__(
        self,
        url: str,
        signing_secret: str,
        outbound: Outbound,
        clock: Callable[[], int],
        link: Callable[[str], str],
        ids: Mapping[str, str],
    ) -> None:
        self._url = url
        self._secret = signing_secret
        self._outbound = outbound
        self._clock = clock
        self._link = link
        self._ids = ids  # of people, by name

    @property
    def has_button(self) -> bool:
        """Whether a press can be believed, so that there is a button."""
        return bool(self._secret)

    def send(self, page: SendPage) -> str:
        """Post a page. Raises Throttled when Slack asks to wait, else HarnessError."""
        user = self._ids.get(page.to)
        whom = f"{_safe(page.to)} <@{user}>" if user else _safe(page.to)
        where = f" ({plain(page.service)})" if page.service else ""
        title = f"{plain(page.title)}{where}"
        head = f"{page.severity} {page.incident} for {whom}"
        link = self._link(page.outside)
        take = f"`midwatch incidents ack {page.incident}`"
        blocks: list[dict[str, Any]] = [
            _marked(head),
            *(
                _plain(line)
                for line in (title, f"why: {plain(page.summary)}", *map(plain, page.also))
            ),
            _marked(f"{take}  <{link}|{page.incident}>" if link else take),
        ]
        if self._secret:
            blocks.append({"type": "actions", "elements": [_button(page.outside)]})
        return self._post({"text": cut(f"{head}: {_safe(title)}", MAX_TEXT), "blocks": blocks})

    def follow(self, update: UpdatePage) -> str:
        """Say in the channel what became of an incident. Raises as `send` does."""
        says = f"{update.incident} is now {update.became}: {_safe(update.by)}"
        return self._post({"text": cut(says, MAX_TEXT)})

    def say(self, text: str) -> str:
        """Say something in the channel. Raises as `send` does."""
        return self._post({"text": cut(_safe(text), MAX_TEXT)})

    def read(self, headers: Mapping[str, str], body: bytes) -> Pressed | None:
        """Read a press of the button, None for anything else that Slack tells.

        Raises InputError when it is not Slack who speaks, or long ago.
        """
        sent = headers.get("x-slack-request-timestamp", "")
        fresh = re.fullmatch("[0-9]{1,12}", sent) is not None
        if not fresh or abs(self._clock() / SECOND - int(sent)) > MAX_AGE_S:
            raise InputError(
                "the timestamp is too old or in the future",
                remedy="check the clock of this machine",
            )
        basis = b"v0:" + sent.encode() + b":" + body
        wanted = "v0=" + hmac.new(self._secret.encode(), basis, sha256).hexdigest()
        given = headers.get("x-slack-signature", "")
        if not self._secret or not hmac.compare_digest(wanted.encode(), given.encode()):
            raise InputError("the signature is invalid", remedy="check the signing secret")
        try:
            (text,) = parse_qs(body.decode(), strict_parsing=True)["payload"]
            payload = msgspec.json.decode(text, type=_Payload)
        except (KeyError, ValueError, msgspec.MsgspecError):
            raise InputError("not a Slack interaction", remedy="see docs/serve.md") from None
        found = next((one for one in payload.actions if one.action_id == ACTION), None)
        if found is None:
            return None
        return Pressed(found.value, payload.user.id, wanted)

    def person(self, pressed: Pressed) -> str:
        """Name who pressed: by the config's contacts, else by Slack's id.

        Never by a name of Slack's: people choose it, and it may be somebody else's here.
        """
        known = (name for name, user in self._ids.items() if user == pressed.user)
        return next(known, f"slack:{plain(pressed.user)}")

    def _post(self, message: dict[str, Any]) -> str:
        headers = {"content-type": "application/json"}
        body = msgspec.json.encode({"mrkdwn": False, **message})
        answer = self._outbound.post(self._url, body, headers, parts_of(self._url))
        return receipt_of(answer, self._clock())


def _button(incident: str) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": ACTION,
        "value": incident,
        "style": "primary",
        "text": {"type": "plain_text", "text": "Acknowledge"},
    }


def _marked(text: str) -> dict[str, Any]:
    # Verbatim: Slack makes no mentions and no links of words that only look like some.
    said = {"type": "mrkdwn", "text": cut(text, MAX_TEXT), "verbatim": True}
    return {"type": "section", "text": said}


def _plain(text: str) -> dict[str, Any]:
    """Show a text as it is: nothing in it formats or mentions."""
    said = {"type": "plain_text", "text": cut(text, MAX_TEXT), "emoji": False}
    return {"type": "section", "text": said}


def _safe(text: str) -> str:
    r"""Escape as Slack asks, so that nothing in it mentions, links or formats.

    >>> ascii(_safe("<!channel> & *all*"))
    "'&lt;!channel&gt; &amp; *\\u200ball*\\u200b'"
    """
    shown = plain(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _FORMATS.sub(lambda found: found[0] + ZERO_WIDTH_SPACE, shown)
