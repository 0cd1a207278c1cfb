"""What every pager keeps to, and what signed webhooks keep to beyond that."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Any, Protocol

import msgspec
import pytest
from standardwebhooks import Webhook
from tests.acceptance.receiver import SECRET, Receiver

from midwatch.adapters.pagers.terminal import TerminalOptions, TerminalPager
from midwatch.adapters.pagers.webhook import WebhookOptions
from midwatch.core.clock import SECOND
from midwatch.core.effects import SendPage
from midwatch.errors import HarnessError, InputError, Throttled
from midwatch.outbound import TIMEOUT_S, Outbound
from midwatch.ports import Pager
from midwatch.registry import PAGERS, Tools, make_pager

PAGE = SendPage(
    "page/INC-7/1", "INC-7", "ada", "sev1", "Checkout is down", "burns 20x", "shop-api", "hook"
)
HOSTILE = "\x1b[2J\x07\r\n\nPAGE sev4 INC-0 for nobody: all is well\x00\x9b31m\u202e<b>{{7*7}}"
MANY = 16


def wall() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def webhook(
    receiver: Receiver,
    *,
    secret: str = SECRET,
    journal: str = "j1",
    clock: Callable[[], int] = wall,
    timeout_s: float = TIMEOUT_S,
) -> Pager:
    """A pager that posts to the receiver, made as config makes it."""
    options = WebhookOptions(f"{receiver.url}/s3cret-path", "HOOK")
    tools = Tools(
        lambda: Outbound([receiver.url], timeout_s=timeout_s), journal, clock, {"HOOK": secret}
    )
    return make_pager(options, tools)


class Channel(Protocol):
    """A pager, what came out at its other end, and a way to break it."""

    pager: Pager

    def arrived(self) -> list[str]:
        """One text a page."""
        ...

    def end(self) -> None:
        """Take the other end away."""
        ...


class Terminal:
    """Pages on a stream."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self.pager: Pager = TerminalPager(self._out)

    def arrived(self) -> list[str]:
        return ["PAGE " + part for part in self._out.getvalue().split("PAGE ")[1:]]

    def end(self) -> None:
        self._out.close()


class Hook:
    """Pages at a receiver."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.pager = webhook(receiver)

    def arrived(self) -> list[str]:
        assert self._receiver.refused == []
        return [body.decode() for _, _, body in self._receiver.requests]

    def end(self) -> None:
        self._receiver.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where webhooks go."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(params=PAGERS)
def channel(request: pytest.FixtureRequest, receiver: Receiver) -> Channel:
    """Each pager of the registry; a new one needs its far end here."""
    ends: dict[str, Callable[[], Channel]] = {
        "terminal": Terminal,
        "webhook": lambda: Hook(receiver),
    }
    return ends[request.param]()


# --- every pager --------------------------------------------------------------------------------


def test_a_page_that_arrived_has_a_receipt(channel: Channel) -> None:
    """One line for the journal."""
    receipt = channel.pager.send(PAGE)
    assert receipt.strip()
    assert receipt.isprintable()
    assert len(channel.arrived()) == 1


def test_a_page_tells_what_its_human_needs(channel: Channel) -> None:
    """Who is meant, which incident, how bad, what and where, why, and how to take it."""
    channel.pager.send(PAGE)
    (text,) = channel.arrived()
    told = (PAGE.to, PAGE.incident, PAGE.severity, PAGE.title, PAGE.service, PAGE.summary, "ack")
    assert [part for part in told if part not in text] == []


def test_a_page_about_no_service_arrives(channel: Channel) -> None:
    """An alert need not name one."""
    assert channel.pager.send(msgspec.structs.replace(PAGE, service=""))
    assert len(channel.arrived()) == 1


@pytest.mark.parametrize("field", ["title", "summary", "service", "to"])
def test_text_from_outside_is_shown_and_never_obeyed(channel: Channel, field: str) -> None:
    """No control character comes out raw, no line looks like a page, no template is filled in."""
    channel.pager.send(msgspec.structs.replace(PAGE, **{field: HOSTILE}))
    text = "".join(channel.arrived())
    assert [c for c in text if c < " " and c != "\n"] == []
    assert "<b>{{7*7}}" in text
    assert [line for line in text.splitlines() if line.startswith("PAGE sev4")] == []


def test_long_and_foreign_text_arrives_whole(channel: Channel) -> None:
    """Nothing is cut and no script is lost."""
    title = (
        "\u5e97\u8217 \U0001f525 \u041e\u0448\u0438\u0431\u043a\u0430 " + "long " * 20_000 + "end"
    )
    channel.pager.send(msgspec.structs.replace(PAGE, title=title))
    (text,) = channel.arrived()
    assert title in text


def test_pages_at_the_same_moment_do_not_mix(channel: Channel) -> None:
    """As many threads as pages; each arrives once and whole."""
    pages = [
        msgspec.structs.replace(PAGE, key=f"k{n}", title=f"<{n}>" * 50, summary=f"[{n}]" * 50)
        for n in range(MANY)
    ]
    with ThreadPoolExecutor(MANY) as pool:
        assert all(pool.map(channel.pager.send, pages))
    arrived = channel.arrived()
    assert len(arrived) == MANY
    for page in pages:
        assert len([t for t in arrived if page.title in t and page.summary in t]) == 1


def test_the_same_page_again_says_the_same(channel: Channel) -> None:
    """So that its human sees a repeat, not a second incident."""
    assert channel.pager.send(PAGE)
    assert channel.pager.send(PAGE)
    assert len(set(channel.arrived())) == 1


def test_a_channel_that_is_gone_is_an_error_of_the_world(channel: Channel) -> None:
    """Said in one line without the secret, and never as a receipt."""
    channel.end()
    with pytest.raises(HarnessError) as failed:
        channel.pager.send(PAGE)
    assert "s3cret" not in str(failed.value)
    assert "\n" not in str(failed.value)


# --- the terminal -------------------------------------------------------------------------------


def test_a_terminal_gets_three_printable_lines() -> None:
    """Also of controls beyond ASCII, which JSON may carry and a terminal would obey."""
    terminal = Terminal()
    hostile = dict.fromkeys(("title", "summary", "service", "to"), HOSTILE)
    terminal.pager.send(msgspec.structs.replace(PAGE, **hostile))
    lines = "".join(terminal.arrived()).splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_a_terminal_needs_nothing_but_its_name() -> None:
    """No secret, no way out."""
    assert isinstance(make_pager(TerminalOptions(), Tools(Outbound, "", wall, {})), TerminalPager)


# --- signed webhooks ----------------------------------------------------------------------------


def sent(receiver: Receiver, **changes: Any) -> tuple[dict[str, str], bytes]:
    """Send one page; gives the headers and the body that came."""
    webhook(receiver, **changes).send(PAGE)
    _, headers, body = receiver.requests[-1]
    return headers, body


def test_the_signature_holds(receiver: Receiver) -> None:
    """The standard's own library verifies it, and the body has every field by its name."""
    headers, body = sent(receiver)
    assert Webhook(SECRET).verify(body, headers) == {
        "type": "incident.page",
        "incident": "INC-7",
        "key": "page/INC-7/1",
        "to": "ada",
        "severity": "sev1",
        "title": "Checkout is down",
        "summary": "burns 20x",
        "service": "shop-api",
        "ack": "/api/v1/incidents/INC-7/ack",
    }
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("what", ["body", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_whatever_is_tampered_with_breaks_the_signature(receiver: Receiver, what: str) -> None:
    """The body, the id and the time are all signed."""
    headers, body = sent(receiver)
    if what == "body":
        body = body.replace(b"sev1", b"sev4")
    else:
        last = headers[what][-1]
        headers[what] = headers[what][:-2] + ("AA" if last != "A" else "BB")
        if what == "webhook-timestamp":
            headers[what] = str(wall() // SECOND + 7)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(SECRET).verify(body, headers)


def test_another_secret_does_not_verify(receiver: Receiver) -> None:
    """The receiver refuses what somebody else signed."""
    other = "whsec_" + SECRET[6:][::-1]
    sent(receiver, secret=other)
    assert receiver.refused == ["No matching signature found"]
    assert receiver.pages == {}


@pytest.mark.parametrize(("off_s", "says"), [(-600, "too old"), (600, "too new")])
def test_a_page_carries_the_time_it_is_sent_at(receiver: Receiver, off_s: int, says: str) -> None:
    """A receiver that knows the time refuses one that was kept back."""
    sent(receiver, clock=lambda: wall() + off_s * SECOND)
    assert receiver.refused == [f"Message timestamp {says}"]


def test_a_repeat_has_the_id_of_the_first(receiver: Receiver) -> None:
    """So the receiver keeps one, though each is signed for its own time."""
    first, _ = sent(receiver, clock=lambda: wall() - 60 * SECOND)
    again, _ = sent(receiver)
    assert first["webhook-id"] == again["webhook-id"] == "j1/page/INC-7/1"
    assert first["webhook-timestamp"] != again["webhook-timestamp"]
    assert (len(receiver.requests), len(receiver.pages)) == (2, 1)


def test_another_journal_has_other_ids(receiver: Receiver) -> None:
    """Its INC-7 is another incident: the receiver must not drop it."""
    sent(receiver)
    sent(receiver, journal="j2")
    assert len(receiver.pages) == 2


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_2xx_is_a_receipt(receiver: Receiver, status: int) -> None:
    """Whichever the receiver likes."""
    receiver.plan = [status]
    assert webhook(receiver).send(PAGE) == f"status {status}"


@pytest.mark.parametrize("status", [300, 302, 400, 401, 404, 410, 429, 500, 503])
def test_anything_else_is_no_delivery(receiver: Receiver, status: int) -> None:
    """Said with the status, and without the path that may be a secret."""
    receiver.plan = [(status, {"location": "/elsewhere"})]
    with pytest.raises(HarnessError, match=f"answered {status}$") as failed:
        webhook(receiver).send(PAGE)
    assert not isinstance(failed.value, Throttled)
    assert "s3cret" not in str(failed.value)


@pytest.mark.parametrize("behaviour", ["hang", "drip", "accept and hang up"])
def test_what_is_in_doubt_is_no_delivery(receiver: Receiver, behaviour: str) -> None:
    """Sent again it is the same message: a receiver that had it already drops it."""
    receiver.plan = [behaviour]
    with pytest.raises(HarnessError, match="gave no answer"):
        webhook(receiver, timeout_s=0.3).send(PAGE)
    assert webhook(receiver).send(PAGE)
    assert (len(receiver.requests), len(receiver.pages)) == (2, 1)


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_may_ask_to_wait(receiver: Receiver, status: int) -> None:
    """In seconds, as a date, or for no time at all."""
    pager = webhook(receiver, clock=lambda: 1_000_000 * SECOND)
    for text, wait_s in (("30", 30), (formatdate(1_000_045, usegmt=True), 45), ("0", 0)):
        receiver.plan = [(status, {"retry-after": text})]
        with pytest.raises(Throttled) as asked:
            pager.send(PAGE)
        assert asked.value.retry_after_s == wait_s


@pytest.mark.parametrize("secret", [SECRET, SECRET[6:], SECRET + "AA==", SECRET + "AA"])
def test_a_secret_is_taken_with_and_without_its_marks(receiver: Receiver, secret: str) -> None:
    """The prefix may be missing, and the padding may be there."""
    headers, body = sent(receiver, secret=secret)
    assert Webhook(secret).verify(body, headers)


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_", "hunter2", "whsec_hunter2", "whsec_" + "A" * 31, SECRET + " ", SECRET + "\n",
        SECRET[:10] + "-_" + SECRET[12:], SECRET + "!", "whsec_" + SECRET,
    ],
)  # fmt: skip
def test_what_is_no_signing_secret_is_refused(receiver: Receiver, secret: str) -> None:
    """Short ones and those with stray characters, with a way to make one; it is not repeated."""
    says = r"\$HOOK: is no signing secret; make one: echo whsec_"
    with pytest.raises(InputError, match=says) as refused:
        webhook(receiver, secret=secret)
    assert SECRET[12:] not in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("secrets", [{}, {"HOOK": ""}, {"OTHER": SECRET}])
def test_a_secret_that_is_not_set_is_refused(secrets: dict[str, str]) -> None:
    """With the variable's name, before anything is sent."""
    options = WebhookOptions("http://127.0.0.1:9/", "HOOK")
    with pytest.raises(InputError, match=r"\$HOOK: is not set; export it"):
        make_pager(options, Tools(Outbound, "j1", wall, secrets))


def test_the_secret_that_the_remedy_makes_is_one(receiver: Receiver) -> None:
    """24 bytes in base64, as `openssl rand -base64 24` prints them."""
    assert webhook(receiver, secret="whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX").send(PAGE)
