"""Every pager keeps the same promises, whatever its channel."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError
from tests.acceptance.receiver import SECRET, Receiver

from midwatch.adapters.pagers.terminal import TerminalOptions, TerminalPager
from midwatch.adapters.pagers.webhook import WebhookOptions
from midwatch.core.effects import SendPage
from midwatch.core.escalation import retry_delay_s
from midwatch.errors import HarnessError, InputError, Throttled
from midwatch.outbound import Outbound
from midwatch.ports import Pager
from midwatch.registry import PAGERS, Tools, make_pager

NOW = 1_795_000_000_000
HOSTILE = "down\x1b[2J\r\nPAGE sev1 INC-9\u202e <script>alert(1)</script> {{7*7}}"
PAGE = SendPage("page/INC-1/1", "INC-1", "ada", "sev1", "Down", "tier 1", "shop")


@dataclass
class Channel:
    """A pager, what has come out at its far end, and a way to break it."""

    pager: Pager
    arrived: Callable[[], list[str]]
    break_it: Callable[[], None]


def wall() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def webhook(receiver: Receiver, secret: str = SECRET, clock: int = 0) -> Pager:
    """A webhook pager to the receiver."""
    options = WebhookOptions(receiver.url, "HOOK")
    outbound = Outbound([receiver.url], timeout_s=2)
    now = clock or wall()
    return make_pager(options, Tools(outbound, "a1b2", lambda: now, {"HOOK": secret}))


@pytest.fixture(params=PAGERS)
def channel(request: pytest.FixtureRequest) -> Iterator[Channel]:
    """Each pager of the registry."""
    if request.param == "terminal":
        out = io.StringIO()
        yield Channel(TerminalPager(out), lambda: [out.getvalue()], out.close)
        return
    with Receiver() as receiver:

        def broken() -> None:
            receiver.plan = [500]

        yield Channel(
            webhook(receiver),
            lambda: [json.dumps(page) for page in receiver.pages.values()],
            broken,
        )


def test_what_a_person_needs_arrives(channel: Channel) -> None:
    """Who, how bad, which incident, what and why; and there is a receipt."""
    assert channel.pager.send(PAGE)
    (text,) = channel.arrived()
    for part in ("ada", "sev1", "INC-1", "Down", "tier 1", "shop"):
        assert part in text


def test_a_page_that_did_not_arrive_is_an_error(channel: Channel) -> None:
    """Never a receipt for nothing."""
    channel.break_it()
    with pytest.raises(HarnessError) as caught:
        channel.pager.send(PAGE)
    assert str(caught.value)


def test_text_from_outside_is_data(channel: Channel) -> None:
    """Control characters, markup and templates arrive as text and do nothing."""
    page = SendPage("page/INC-1/1", "INC-1", "ada", "sev1", HOSTILE, HOSTILE, HOSTILE)
    channel.pager.send(page)
    (text,) = channel.arrived()
    assert "\x1b" not in text
    assert "{{7*7}}" in text
    assert not [line for line in text.splitlines() if line.startswith("PAGE sev1 INC-9")]


# --- what a webhook's receiver may rely on ------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Verifies and drops repeats, as vendors do."""
    with Receiver() as receiver:
        yield receiver


def sent(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    """The newest request's headers and body."""
    _, headers, body = receiver.requests[-1]
    return headers, body


def test_a_page_sent_again_is_the_same_message(receiver: Receiver) -> None:
    """One id for its whole life, so a receiver keeps one page however often it comes."""
    pager = webhook(receiver)
    pager.send(PAGE)
    pager.send(PAGE)
    assert [h["webhook-id"] for _, h, _ in receiver.requests] == ["a1b2/page/INC-1/1"] * 2
    assert len(receiver.pages) == 1
    assert receiver.refused == []


@pytest.mark.parametrize("part", ["body", "id", "timestamp", "signature"])
def test_what_was_tampered_with_does_not_verify(receiver: Receiver, part: str) -> None:
    """Each signed part is covered."""
    webhook(receiver).send(PAGE)
    headers, body = sent(receiver)
    Webhook(SECRET).verify(body, headers)
    if part == "body":
        body = body.replace(b"ada", b"eve")
    else:
        name = f"webhook-{part}"
        changed = str(int(headers[name]) + 1) if part == "timestamp" else headers[name][:-2] + "x="
        headers |= {name: changed}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers)


@pytest.mark.parametrize("off_s", [-3_600, 3_600])
def test_a_stale_message_does_not_verify(receiver: Receiver, off_s: int) -> None:
    """Replayed an hour later, or sent by a clock that is an hour off."""
    webhook(receiver, clock=wall() + off_s * 1_000).send(PAGE)
    assert receiver.pages == {}
    assert len(receiver.refused) == 1


def test_another_secret_does_not_verify(receiver: Receiver) -> None:
    """Who has not the secret cannot page."""
    webhook(receiver, "whsec_" + "A" * 32).send(PAGE)
    assert receiver.pages == {}


@pytest.mark.parametrize("status", [300, 302, 400, 404, 410, 500, 503])
def test_only_a_2xx_is_a_delivery(receiver: Receiver, status: int) -> None:
    """A redirect is none either."""
    receiver.plan = [status]
    with pytest.raises(HarnessError, match=str(status)):
        webhook(receiver).send(PAGE)


@pytest.mark.parametrize("behaviour", ["hang", "drip", "accept and hang up"])
def test_what_is_in_doubt_is_no_delivery(receiver: Receiver, behaviour: str) -> None:
    """The receiver may have it; it is sent again under the same id, and dropped there."""
    receiver.plan = [behaviour]
    pager = webhook(receiver)
    with pytest.raises(HarnessError):
        pager.send(PAGE)
    pager.send(PAGE)
    assert len(receiver.pages) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_to_wait_is_waited_for(receiver: Receiver, status: int) -> None:
    """Longer than one's own patience would be."""
    receiver.plan = [(status, {"retry-after": "120"})]
    with pytest.raises(Throttled) as caught:
        webhook(receiver).send(PAGE)
    assert retry_delay_s(PAGE.key, 1, caught.value.retry_after_s) >= 120
    assert receiver.url not in str(caught.value)


@pytest.mark.parametrize(
    ("secrets", "says"),
    [
        ({}, "is not set"),
        ({"HOOK": "nonsense!"}, "is no signing secret"),
        ({"HOOK": "whsec_c2hvcnQ="}, "is no signing secret"),
    ],
)
def test_a_secret_that_is_none_is_said_before_the_first_page(
    secrets: dict[str, str], says: str
) -> None:
    """With the variable's name, never with what is in it."""
    options = WebhookOptions("http://127.0.0.1:1", "HOOK")
    with pytest.raises(InputError) as caught:
        make_pager(options, Tools(Outbound(), "a1b2", lambda: NOW, secrets))
    assert says in str(caught.value)
    assert "$HOOK" in str(caught.value)
    assert "nonsense" not in str(caught.value)


def test_a_terminal_has_nothing_to_choose() -> None:
    """It is built from its name alone."""
    options: Any = TerminalOptions()
    assert isinstance(make_pager(options, Tools(Outbound(), "", lambda: 0, {})), TerminalPager)
