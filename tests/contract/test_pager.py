"""What every pager keeps to, and what signed webhooks keep to beyond that."""

from __future__ import annotations

import hmac
import html
import io
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec
import pytest
import requests
from standardwebhooks import Webhook
from tests.acceptance.receiver import SECRET, Receiver
from tests.contract.smtp import Smtp
from tests.servers import need

from midwatch.adapters.pagers import email
from midwatch.adapters.pagers.options import (
    AppriseOptions,
    EmailOptions,
    PagerDutyOptions,
    SlackOptions,
    TerminalOptions,
    WebhookOptions,
)
from midwatch.adapters.pagers.terminal import TerminalPager
from midwatch.core.state.effects import SendPage, UpdatePage
from midwatch.core.values.clock import SECOND
from midwatch.errors import HarnessError, InputError, Throttled
from midwatch.outbound import TIMEOUT_S, Outbound
from midwatch.ports import Pager
from midwatch.registry import FOLLOWERS, PAGERS, Contact, PagerOptions, Tools, make_pager
from midwatch.texts import ZERO_WIDTH_SPACE, plain

PAGE = SendPage(
    "page/INC-7/1", "INC-7", "ada", "sev1", "Checkout is down", "burns 20x", "shop-api", "hook"
)
HOSTILE = "\x1b[2J\x07\r\n\nPAGE sev4 INC-0 for nobody: all is well\x00\x9b31m\u202e<b>{{7*7}}"
# What somebody may write into an alert so that the page says or does something else.
ACTIVE = (
    "@everyone",
    "@here",
    "@channel",
    "@all",
    "@room",
    "x@here.example",
    "<!channel>",
    "<!here|all clear>",
    "<@U999>",
    "<@&77>",
    "<@!77>",
    "<#C1>",
    "<users/all>",
    "<https://evil.example|Acknowledge>",
    "[Acknowledge](https://evil.example)",
    "![pixel](https://evil.example/p.gif)",
    "[a][b]",
    '<img src="https://evil.example/p.gif">',
    "<a href='https://evil.example'>Acknowledge</a>",
    "<b>all clear</b>",
    "</b>",
    "<at>ada</at>",
    "rate <5% & List<String>",
    "&lt;script&gt;",
    "||hidden||",
    "*bold* _it_ ~gone~ `code`",
    "\x1b[2J\x07",
    "\u202eraelc lla",
    "\u2066inner\u2069",
    "\r\n.\r\nQUIT",
    "\0end",
    "{{7*7}}",
)
TEXTS = (*ACTIVE, " ".join(ACTIVE))
CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
# Mentions, tags and links, and words that are hidden.
CHAT = rf"{CONTROLS}|@\w|<[!@#/a-zA-Z]|\][(\[]|\|\|"
MANY = 16
CUTS = (
    "ApprisePager",
    "PagerDutyPager",
    "SlackPager",
)  # their vendors take no more, and it is shown


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
        lambda url: Outbound([receiver.url], timeout_s=timeout_s), journal, clock, {"HOOK": secret}
    )
    return make_pager(options, tools)


class Channel(Protocol):
    """A pager, what came out at its other end, what that end would obey, and a way to break it."""

    pager: Pager
    obeys: str  # a pattern of what is no text to whoever reads `wire`

    def wire(self) -> list[str]:
        """The texts of all pages as they came, before anybody reads them."""
        ...

    def arrived(self) -> list[str]:
        """One text a page."""
        ...

    def end(self) -> None:
        """Take the other end away."""
        ...


class Terminal:
    """Pages on a stream; it obeys control characters."""

    obeys = CONTROLS

    def __init__(self) -> None:
        self._out = io.StringIO()
        self.pager: Pager = TerminalPager(self._out)

    def wire(self) -> list[str]:
        return self._out.getvalue().split("\n")[:-1]

    def arrived(self) -> list[str]:
        return ["PAGE " + part for part in self._out.getvalue().split("PAGE ")[1:]]

    def end(self) -> None:
        self._out.close()


class Hook:
    """Pages at a receiver: data for a program, each field as it is, so that nothing is obeyed."""

    obeys = "(?!)"

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.pager = webhook(receiver)

    def wire(self) -> list[str]:
        bodies = [msgspec.json.decode(body) for _, _, body in self._receiver.requests]
        return [text for body in bodies for text in strings(body)]

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


class Vendor(Hook):
    """Pages at a vendor's address, whose receiver checks no signature of ours."""

    obeys = CONTROLS

    def __init__(
        self,
        receiver: Receiver,
        options: PagerOptions,
        secrets: dict[str, str],
        obeys: str = CONTROLS,
    ) -> None:
        self._receiver = receiver
        self.obeys = obeys
        self.pager = make_pager(options, tools(receiver, secrets))

    def arrived(self) -> list[str]:
        bodies = [html.unescape(body.decode()) for _, _, body in self._receiver.requests]
        return [body.replace(ZERO_WIDTH_SPACE, "") for body in bodies]


class Slacked(Vendor):
    """Pages at a receiver in Slack's place, which obeys nothing in a text of type plain_text."""

    def __init__(self, receiver: Receiver, url: str) -> None:
        # What Slack makes of its own signs, but for the person who is paged.
        obeys = rf"{CONTROLS}|<(?!@U123>)"
        super().__init__(receiver, SlackOptions("URL"), {"URL": url}, obeys)

    def wire(self) -> list[str]:
        found: list[str] = []
        for _, _, body in self._receiver.requests:
            message = msgspec.json.decode(body)
            assert message.pop("mrkdwn") is False
            for block in message.pop("blocks"):
                said = block["text"]
                plain_ = said["type"] == "plain_text"
                found.append(html.escape(said["text"]) if plain_ else said["text"])
                assert plain_ or said["verbatim"]
            found += strings(message)
        return found


class Apprised(Vendor):
    """Pages at a receiver of Apprise's own JSON form."""

    def __init__(self, receiver: Receiver) -> None:
        url = f"json://127.0.0.1:{receiver.port}/s3cret-path"
        super().__init__(receiver, AppriseOptions("URL"), {"URL": url}, CHAT)

    def arrived(self) -> list[str]:
        bodies = [msgspec.json.decode(body) for _, _, body in self._receiver.requests]
        texts = [f"{one['title']}\n{one['message']}" for one in bodies]
        return [text.replace(ZERO_WIDTH_SPACE, "") for text in texts]


class Mail:
    """Pages at a real SMTP server; whatever is no plain text is obeyed by who reads mail."""

    obeys = rf"{CONTROLS}|Content-Type: text/html"

    def __init__(self) -> None:
        self.server = Smtp()
        options = EmailOptions("127.0.0.1", self.server.port, "midwatch@example.org", "none")
        self.pager = make_pager(options, tools(None, {}))

    def arrived(self) -> list[str]:
        return [text_of(message) for message in self.server.messages]

    def wire(self) -> list[str]:
        found: list[str] = []
        for one in self.server.messages:
            found += [f"{name}: {value}" for name, value in one.items()]
            found += one.get_content().splitlines()
        return found

    def end(self) -> None:
        self.server.close()


def strings(value: Any) -> Iterator[str]:
    """Each text in a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def seen(text: str) -> str:
    """What a person sees of it, letters and digits alone: no escapes, no space of no width."""
    shown = html.unescape(html.unescape(text.replace("<br/>", " "))).replace("\xa0", " ")
    return re.sub(r"\W", "", plain(shown.replace(ZERO_WIDTH_SPACE, "")))


def text_of(message: EmailMessage) -> str:
    """What a person reads: subject and text."""
    return f"{message['Subject']}\n{message.get_content()}"


def tools(receiver: Receiver | None, secrets: dict[str, str]) -> Tools:
    """What pagers are built with, as bootstrap does."""
    contacts = {"ada": Contact("ada@example.org", "U123")}
    # Whoever a hostile text names is somebody with an address too.
    contacts |= dict.fromkeys((HOSTILE, *TEXTS), Contact("x@example.org", ""))
    listed = [receiver.url] if receiver else []
    return Tools(
        lambda url: Outbound([*listed, url]), "j1", wall, secrets, lambda name: "", contacts
    )


@pytest.fixture(params=PAGERS)
def channel(request: pytest.FixtureRequest, receiver: Receiver) -> Iterator[Channel]:
    """Each pager of the registry; a new one needs its far end here."""
    url = f"{receiver.url}/s3cret-path"
    receiver.usual = 202 if request.param == "pagerduty" else 200
    ends: dict[str, Callable[[], Channel]] = {
        "terminal": Terminal,
        "webhook": lambda: Hook(receiver),
        "email": Mail,
        "pagerduty": lambda: Vendor(receiver, PagerDutyOptions("KEY", url), {"KEY": "s3cret"}),
        "slack": lambda: Slacked(receiver, url),
        "apprise": lambda: Apprised(receiver),
    }
    channel = ends[request.param]()
    yield channel
    channel.end()


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


def test_who_follows_an_incident_is_known_to_the_config(
    channel: Channel, request: pytest.FixtureRequest
) -> None:
    """Else its `follow` would never be called, and nobody would notice."""
    followers = {one.__struct_config__.tag for one in FOLLOWERS}
    kind = request.node.callspec.params["channel"]
    assert hasattr(channel.pager, "follow") == (kind in followers)


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


def hostile(text: str) -> SendPage:
    """A page that says this wherever something from outside may stand."""
    return SendPage("page/INC-7/1", "INC-7", text, "sev1", text, text, text, "hook", (text,))


def test_text_from_outside_is_text_to_whoever_gets_the_page(channel: Channel) -> None:
    """It mentions nobody, links nothing, hides nothing and formats nothing, and can be read."""
    for text in TEXTS:
        before = len(channel.wire())
        channel.pager.send(hostile(text))
        wire = channel.wire()[before:]
        assert [one for one in wire if re.search(channel.obeys, one)] == []
        # Each place where it stood.
        assert sum(seen(one).count(seen(text)) for one in wire) >= 4, (text, wire)


# Where a page of each service of Apprise goes, and the markup that the service's own plugin adds.
SERVICES = {
    "tgram": ("tgram://111111111:" + "A" * 35 + "/222222222/", "<b>sev1 INC-7</b>"),
    "slack": ("slack://T00000000/B00000000/" + "X" * 24 + "/", ""),
    "slack blocks": ("slack://T00000000/B00000000/" + "X" * 24 + "/?blocks=yes", ""),
    "discord": ("discord://1234567/" + "A" * 68, ""),
    "discord embeds": ("discord://1234567/" + "A" * 68 + "?format=markdown", ""),
    "mmost": ("mmost://127.0.0.1/abcdefghijklmnopqrstuvwxyz", ""),
    "matrix": ("matrix://127.0.0.1/" + "a" * 64 + "?mode=slack", ""),
    "teams": ("workflows://host:443/" + "a" * 32 + "/" + "b" * 20, ""),
    "webex": ("webex://" + "a" * 80, ""),
    "gchat": ("gchat://w/k/t", ""),
    "zulip": ("zulip://b@org/" + "a" * 32 + "/general", ""),
    "sendgrid": ("sendgrid://abcd:user@example.com/to@example.com", "<br/>"),
    "ntfy": ("ntfy://127.0.0.1/topic", ""),
}


@pytest.mark.parametrize("service", SERVICES)
def test_apprise_hands_text_on_as_text(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request is caught: whatever the service behind it obeys, no word from outside is it."""
    url, markup = SERVICES[service]
    bodies: list[str] = []

    def caught(self: Any, method: str, url: str, **given: Any) -> requests.Response:
        said = given.get("json") or given.get("data") or ""
        said = msgspec.json.decode(said) if isinstance(said, (str, bytes)) else said
        bodies.extend(text.replace(markup, "") if markup else text for text in strings(said))
        answer = requests.Response()
        answer.status_code, answer.raw = 200, io.BytesIO(b"ok" if "slack" in url else b"{}")
        return answer

    monkeypatch.setattr(requests.Session, "request", caught)
    for text in ACTIVE:
        bodies.clear()
        # Another one each time: Apprise makes a second page of one wait.
        assert make_pager(AppriseOptions("URL"), tools(None, {"URL": url})).send(hostile(text))
        said = [one for one in bodies if seen("midwatch incidents ack INC-7") in seen(one)]
        assert said
        assert [one for one in said if re.search(CHAT, one)] == []
        # Where tags are read, a single sign of one may cost the page: Telegram refuses it.
        assert [one for one in said if markup and "<" in one] == []
        assert all(seen(text) in seen(one) for one in said)


def test_apprise_sends_mail_without_tags_of_others() -> None:
    """Neither a picture that tells who reads it nor a link that says something else."""
    server = Smtp()
    url = f"mailto://127.0.0.1:{server.port}?from=m@example.org&to=ada@example.org&mode=insecure"
    make_pager(AppriseOptions("URL"), tools(None, {"URL": url})).send(hostile(" ".join(ACTIVE)))
    server.close()
    (message,) = server.messages
    parts = [part.get_content() for part in message.walk() if not part.is_multipart()]
    tags = {tag for part in parts for tag in re.findall(r"<(/?\w+)", part)}
    assert tags <= {"html", "/html", "head", "/head", "body", "/body", "br"}
    assert any(seen("rate <5% & List<String>") in seen(part) for part in parts)


def test_apprise_cuts_no_page_in_the_midst_of_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that escapes has less room than it says: its own cut would break what it sends."""
    sent: list[str] = []

    def caught(self: Any, method: str, url: str, **given: Any) -> requests.Response:
        sent.append(msgspec.json.decode(given["data"])["text"])
        answer = requests.Response()
        answer.status_code, answer.raw = 200, io.BytesIO(b"{}")
        return answer

    monkeypatch.setattr(requests.Session, "request", caught)
    pager = make_pager(AppriseOptions("URL"), tools(None, {"URL": SERVICES["tgram"][0]}))
    also = tuple("<&>" * 40 for _ in range(200))
    pager.send(msgspec.structs.replace(PAGE, also=also))
    (text,) = sent
    assert text.endswith("\u2026")
    assert "incidents ack INC-7" in text
    assert re.findall(r"&(?!lt;|gt;|amp;)", text) == []


def test_apprise_cuts_what_the_service_behind_it_would_refuse(receiver: Receiver) -> None:
    """The end of a long digest goes, and never the line that takes the incident."""
    url = f"mmost://127.0.0.1:{receiver.port}/abcdefghijklmnopqrstuvwxyz"  # takes 4,000 characters
    pager = make_pager(AppriseOptions("URL"), tools(receiver, {"URL": url}))
    also = tuple(f"INC-{number} sev2: Slow on shop-{number}" for number in range(8, 400))
    assert pager.send(msgspec.structs.replace(PAGE, also=also))
    ((_, _, body),) = receiver.requests
    text = msgspec.json.decode(body)["text"]
    assert len(text) <= 4_000
    assert [part for part in (PAGE.title, "incidents ack INC-7", also[0]) if part not in text] == []
    assert text.endswith("…")


def test_long_and_foreign_text_arrives_whole(channel: Channel) -> None:
    """Nothing is cut and no script is lost."""
    title = (
        "\u5e97\u8217 \U0001f525 \u041e\u0448\u0438\u0431\u043a\u0430 " + "long " * 20_000 + "end"
    )
    channel.pager.send(msgspec.structs.replace(PAGE, title=title))
    (text,) = channel.arrived()
    if type(channel.pager).__name__ in CUTS:
        assert title[:2_000].strip() in text
        assert "\u2026" in text
    else:
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
    assert isinstance(
        make_pager(TerminalOptions(), Tools(lambda url: Outbound([url]), "", wall, {})),
        TerminalPager,
    )


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
        "ref": "INC-7",
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
    with pytest.raises(HarnessError, match="no response"):
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
        "whsec_",
        "hunter2",
        "whsec_hunter2",
        "whsec_" + "A" * 31,
        SECRET + " ",
        SECRET + "\n",
        SECRET[:10] + "-_" + SECRET[12:],
        SECRET + "!",
        "whsec_" + SECRET,
    ],
)
def test_what_is_no_signing_secret_is_refused(receiver: Receiver, secret: str) -> None:
    """Short ones and those with stray characters, with a way to make one; it is not repeated."""
    says = r"\$HOOK: not a signing secret; create one: echo whsec_"
    with pytest.raises(InputError, match=says) as refused:
        webhook(receiver, secret=secret)
    assert SECRET[12:] not in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("secrets", [{}, {"HOOK": ""}, {"OTHER": SECRET}])
def test_a_secret_that_is_not_set_is_refused(secrets: dict[str, str]) -> None:
    """With the variable's name, before anything is sent."""
    options = WebhookOptions("http://127.0.0.1:9/", "HOOK")
    with pytest.raises(InputError, match=r"\$HOOK: the environment variable is not set; export it"):
        make_pager(options, Tools(lambda url: Outbound([url]), "j1", wall, secrets))


def test_the_secret_that_the_remedy_makes_is_one(receiver: Receiver) -> None:
    """24 bytes in base64, as `openssl rand -base64 24` prints them."""
    assert webhook(receiver, secret="whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX").send(PAGE)


# --- what became of it --------------------------------------------------------------------------

UPDATE = UpdatePage("update/INC-7/1", "INC-7", "ada", "acknowledged", "ben", PAGE.title, "hook")


def pagerduty(receiver: Receiver) -> Any:
    """A PagerDuty pager at the receiver."""
    receiver.usual = 202
    options = PagerDutyOptions("KEY", f"{receiver.url}/v2/enqueue")
    return make_pager(options, tools(receiver, {"KEY": "s3cret-key"}))


def test_pagerduty_has_one_incident_for_ours(receiver: Receiver) -> None:
    """Trigger, a second step's trigger, acknowledge and resolve: one dedup key, short enough."""
    pager = pagerduty(receiver)
    pager.send(PAGE)
    pager.send(msgspec.structs.replace(PAGE, key="page/INC-7/2", to="ben"))
    pager.follow(UPDATE)
    pager.follow(msgspec.structs.replace(UPDATE, became="resolved"))
    bodies = [msgspec.json.decode(body) for _, _, body in receiver.requests]
    assert [one["event_action"] for one in bodies] == [
        "trigger",
        "trigger",
        "acknowledge",
        "resolve",
    ]
    assert {one["dedup_key"] for one in bodies} == {"midwatch/j1/INC-7"}
    assert bodies[0]["payload"]["severity"] == "critical"
    assert {one["routing_key"] for one in bodies} == {"s3cret-key"}


def test_what_pagerduty_has_as_acknowledged_rings_again_under_a_further_key(
    receiver: Receiver,
) -> None:
    """Worse news after an ack would be added silently; the end resolves all that was opened."""
    pager = pagerduty(receiver)
    pager.send(PAGE)
    pager.follow(UPDATE)
    pager.send(msgspec.structs.replace(PAGE, key="page/INC-7/2", thread=1))
    pager.follow(msgspec.structs.replace(UPDATE, thread=1))
    pager.follow(msgspec.structs.replace(UPDATE, became="resolved", thread=1))
    bodies = [msgspec.json.decode(body) for _, _, body in receiver.requests]
    assert [(one["event_action"], one["dedup_key"]) for one in bodies] == [
        ("trigger", "midwatch/j1/INC-7"),
        ("acknowledge", "midwatch/j1/INC-7"),
        ("trigger", "midwatch/j1/INC-7/1"),
        ("acknowledge", "midwatch/j1/INC-7/1"),
        ("resolve", "midwatch/j1/INC-7"),
        ("resolve", "midwatch/j1/INC-7/1"),
    ]


def test_incidents_of_one_number_in_two_copies_are_two_for_pagerduty(receiver: Receiver) -> None:
    """By the ref; what midwatch 0.1.0 planned has none, and keeps the key that it had."""
    pager = pagerduty(receiver)
    for ref in ("INC-7-00112233", "INC-7-ffeeddcc", ""):
        pager.send(msgspec.structs.replace(PAGE, ref=ref))
        pager.follow(msgspec.structs.replace(UPDATE, became="resolved", ref=ref))
    keys = [msgspec.json.decode(body)["dedup_key"] for _, _, body in receiver.requests]
    assert keys == [
        *["midwatch/j1/INC-7-00112233"] * 2,
        *["midwatch/j1/INC-7-ffeeddcc"] * 2,
        *["midwatch/j1/INC-7"] * 2,
    ]


@pytest.mark.parametrize("kind", ["slack", "pagerduty", "webhook"])
def test_what_leads_to_an_incident_names_it_by_its_ref(receiver: Receiver, kind: str) -> None:
    """Links, buttons and paths; what people read and type keeps its short name."""
    pager = {"slack": slack, "pagerduty": pagerduty, "webhook": webhook}[kind](receiver)
    pager.send(msgspec.structs.replace(PAGE, ref="INC-7-00112233"))
    body = receiver.requests[0][2].decode()
    assert body.count("INC-7-00112233") == {"slack": 1, "pagerduty": 1, "webhook": 2}[kind]
    assert "INC-7" in body.replace("INC-7-00112233", "")


@pytest.mark.parametrize(("behaviour", "wait_s"), [((429, {"Retry-After": "7"}), 7.0), (429, 60.0)])
def test_a_vendor_that_is_busy_is_left_alone(
    receiver: Receiver, behaviour: Any, wait_s: float
) -> None:
    """For as long as it says, or a minute."""
    pager = pagerduty(receiver)
    receiver.plan = [behaviour]
    with pytest.raises(Throttled) as failed:
        pager.send(PAGE)
    assert failed.value.retry_after_s == wait_s


@pytest.mark.parametrize("behaviour", [400, 500, 503, 200, "hang up", "accept and hang up"])
def test_what_is_no_202_is_no_delivery_to_pagerduty(receiver: Receiver, behaviour: Any) -> None:
    """Said without the key; what was taken before the line broke comes again under the same key."""
    pager = pagerduty(receiver)
    receiver.plan = [behaviour]
    with pytest.raises(HarnessError) as failed:
        pager.send(PAGE)
    assert "s3cret" not in str(failed.value)
    assert pager.send(PAGE)
    keys = {msgspec.json.decode(body)["dedup_key"] for _, _, body in receiver.requests}
    assert len(keys) == 1


def slack(receiver: Receiver, secret: str = "shh") -> Any:
    """A Slack pager at the receiver, with a button."""
    options = SlackOptions("URL", "SIGN" if secret else "")
    url = f"{receiver.url}/services/s3cret"
    return make_pager(options, tools(receiver, {"URL": url, "SIGN": secret}))


def pressed(secret: str, at: float, user: str = "U123") -> tuple[dict[str, str], bytes]:
    """What Slack sends when the button of INC-7 is pressed."""
    payload = {
        "user": {"id": user, "username": "ada", "name": "ada"},
        "actions": [{"action_id": "midwatch-ack", "value": "INC-7"}],
    }
    body = urlencode({"payload": msgspec.json.encode(payload).decode()}).encode()
    basis = f"v0:{int(at)}:".encode() + body
    signature = "v0=" + hmac.new(secret.encode(), basis, "sha256").hexdigest()
    return {"x-slack-request-timestamp": str(int(at)), "x-slack-signature": signature}, body


def test_slack_mentions_the_person_and_nobody_else(receiver: Receiver) -> None:
    """By the id in their contact; what comes from outside mentions nobody and formats nothing."""
    pager = slack(receiver)
    pager.send(msgspec.structs.replace(PAGE, title="<!channel> *all* & <@U999>"))
    (_, _, body) = receiver.requests[0]
    text = msgspec.json.decode(body)["text"]
    assert "<@U123>" in text
    assert "<!channel>" not in text
    assert "<@U999>" not in text
    assert "&lt;!channel&gt;" in text


def test_slacks_button_says_who_pressed_it(receiver: Receiver) -> None:
    """By the config's contacts, else by Slack's id: whoever likes may call themselves ada there."""
    pager = slack(receiver)
    for user, name in (("U123", "ada"), ("U777", "slack:U777")):
        found = pager.read(*pressed("shh", time.time(), user))
        assert (found.incident, pager.person(found)) == ("INC-7", name)


@pytest.mark.parametrize(("secret", "age_s"), [("other", 0), ("shh", 301), ("shh", -301), ("", 0)])
def test_only_slack_presses_buttons(receiver: Receiver, secret: str, age_s: int) -> None:
    """A wrong signature, or one that is too old or too new, is refused."""
    with pytest.raises(InputError):
        slack(receiver).read(*pressed(secret, time.time() - age_s))


@pytest.mark.parametrize("at", ["", "soon", "-1", "1e9", "\xb2", "1" * 5_000])
def test_a_time_that_is_none_is_refused(receiver: Receiver, at: str) -> None:
    """Before the signature is looked at, so anybody may send it."""
    headers, body = pressed("shh", time.time())
    with pytest.raises(InputError, match="the timestamp is too old"):
        slack(receiver).read({**headers, "x-slack-request-timestamp": at}, body)


def test_a_press_that_was_changed_on_its_way_is_refused(receiver: Receiver) -> None:
    """One byte is enough."""
    headers, body = pressed("shh", time.time())
    with pytest.raises(InputError):
        slack(receiver).read(headers, body.replace(b"INC-7", b"INC-8"))


def test_without_a_signing_secret_there_is_no_button(receiver: Receiver) -> None:
    """Nobody could be believed to have pressed it."""
    slack(receiver, "").send(PAGE)
    assert b"midwatch-ack" not in receiver.requests[0][2]
    with pytest.raises(InputError):
        slack(receiver, "").read(*pressed("", time.time()))


# --- e-mail -------------------------------------------------------------------------------------


def mail(server: Smtp, tls: Any = "none", **more: Any) -> Any:
    """A pager that sends to the server."""
    options = EmailOptions("127.0.0.1", server.port, "midwatch@example.org", tls, **more)
    return make_pager(options, tools(None, {"PASSWORD": "s3cret"}))


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[Smtp]:
    """A server that speaks STARTTLS and wants a password."""
    server = Smtp(certificate(tmp_path), password="s3cret")
    yield server
    server.close()


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody else vouches for, with its key."""
    file = folder / "cert.pem"
    subprocess.run(
        [
            need("openssl"),
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            file,
            "-out",
            folder / "only-cert.pem",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(file.read_text() + (folder / "only-cert.pem").read_text())
    return file


def test_a_mail_is_sent_over_starttls_with_a_password(smtp: Smtp, tmp_path: Path) -> None:
    """The same page again has the same Message-ID, and answers no autoresponder."""
    ca = str(tmp_path / "only-cert.pem")
    pager = mail(smtp, "starttls", username="midwatch", password_env="PASSWORD", tls_ca=ca)
    pager.send(PAGE)
    pager.send(PAGE)
    one, again = smtp.messages
    assert one["Message-ID"] == again["Message-ID"]
    assert one["Auto-Submitted"] == "auto-generated"
    assert one["To"] == "ada@example.org"


def test_a_certificate_that_nobody_vouches_for_is_refused(smtp: Smtp) -> None:
    """Nothing is sent, and the password is not shown to whoever that is."""
    pager = mail(smtp, "starttls", username="midwatch", password_env="PASSWORD")
    with pytest.raises(HarnessError) as failed:
        pager.send(PAGE)
    assert "s3cret" not in str(failed.value)
    assert smtp.messages == []


def test_no_text_from_outside_becomes_a_header() -> None:
    """A title with line breaks stays in its one line."""
    server = Smtp()
    mail(server).send(msgspec.structs.replace(PAGE, title="x\r\nBcc: eve@example.org\r\n\r\nhi"))
    server.close()
    (message,) = server.messages
    assert message["Bcc"] is None
    assert "\n" not in message["Subject"]


def test_a_person_without_an_address_is_told() -> None:
    """Never as a receipt."""
    server = Smtp()
    with pytest.raises(HarnessError, match="'zoe' has no email address"):
        mail(server).send(msgspec.structs.replace(PAGE, to="zoe"))
    server.close()


@pytest.mark.parametrize("refusal", ["451 try later", "550 no such user"])
def test_what_the_server_refuses_is_told_with_its_code(refusal: str) -> None:
    """Both kinds are tried again by the outbox, and said."""
    server = Smtp(refusal=refusal)
    with pytest.raises(HarnessError, match=refusal[:3]):
        mail(server).send(PAGE)
    server.close()


@pytest.mark.parametrize("tls", ["none", "starttls"])
def test_a_mail_server_that_drips_is_given_up(tls: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte in time, the answer never: what sends has something else to do."""
    monkeypatch.setattr(email, "WHOLE_S", 0.3)
    over = threading.Event()

    def drip() -> None:
        one, _ = listener.accept()
        with one, suppress(OSError):
            while not over.wait(0.02):
                one.sendall(b"2")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        options = EmailOptions("127.0.0.1", listener.getsockname()[1], "m@example.org", tls)
        with pytest.raises(HarnessError, match="refused the message"):
            make_pager(options, tools(None, {})).send(PAGE)
        over.set()
        dripping.join(10)


def test_a_digest_tells_of_every_incident(channel: Channel) -> None:
    """Whatever the channel."""
    also = ("INC-8 sev2: Slow on cart", "INC-9 sev2: Down on docs")
    channel.pager.send(msgspec.structs.replace(PAGE, also=also))
    (text,) = channel.arrived()
    assert [line for line in also if line not in text] == []
