"""Pages by webhook: signed, retried under one id, given up in the open, and refused in time."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Serving, alert, midwatch, reconfigure, until

from midwatch import config
from midwatch.adapters.pagers.options import WebhookOptions
from midwatch.adapters.stores.sqlite import SqliteStore
from midwatch.bootstrap import World, build_engine
from midwatch.core.rules.receipts import MAX_ATTEMPTS
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.inputs import Envelope
from midwatch.core.values.alerts import identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.teams import Policy, Step, Team
from midwatch.drill.machine import VirtualClock
from midwatch.outbound import Outbound
from midwatch.registry import Tools, make_pager

PATH = "/s3cret-path"
CONFIG = """
sources:
  alertmanager: {{type: alertmanager}}
pagers:
  screen: {{type: terminal}}
  hook: {{type: webhook, url: "{url}", secret_env: HOOK}}
escalation:
  digest: off
  steps: [{{to: ada, delay: 30m, via: hook}}, {{to: ben, via: screen}}]
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where pages go."""
    with Receiver() as receiver:
        yield receiver


def configured(folder: Path, receiver: Receiver) -> Serving:
    """A server, not started, that pages the receiver."""
    serving = Serving(folder)
    text = CONFIG.format(url=receiver.url + PATH)
    reconfigure(folder / "midwatch", text)
    return serving


# --- midwatch serve -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Receiver]]:
    """A running server and its receiver, for tests that each open an incident of their own."""
    with Receiver() as receiver, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOOK", SECRET)
        serving = configured(tmp_path_factory.mktemp("hooked"), receiver)
        serving.start()
        yield serving, receiver
        assert serving.stop() == 0


def opened(serving: Serving, name: str) -> str:
    """Fire an alert that joins no other; gives its incident."""
    assert serving.deliver(alert(name, namespace=name)).status == 202
    (found,) = (i["id"] for i in serving.incidents() if i["title"].startswith(name))
    return found


def requests_about(receiver: Receiver, incident: str) -> list[tuple[dict[str, str], Any]]:
    """Headers and documents that came about an incident."""
    found = [(headers, json.loads(body)) for _, headers, body in list(receiver.requests)]
    return [(headers, page) for headers, page in found if page["incident"] == incident]


def test_a_page_in_doubt_is_sent_again_under_its_id(shared: tuple[Serving, Receiver]) -> None:
    """The receiver took it and hung up: it gets the same once more, and drops it."""
    serving, receiver = shared
    receiver.plan = ["accept and hang up"]
    incident = opened(serving, "Doubt")
    until(lambda: len(requests_about(receiver, incident)) == 2)
    (first, page), (again, repeat) = requests_about(receiver, incident)
    assert first["webhook-id"] == again["webhook-id"]
    assert page == repeat
    assert first["webhook-id"] in receiver.pages
    assert receiver.refused == []
    env = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    until(lambda: "PageSent" in serving.type("incidents", "show", incident, **env).stdout)
    told = serving.type("incidents", "show", incident, **env).stdout
    tried = rf"page/{incident}/1/[0-9a-f]{{16}}, try 1: {re.escape(receiver.url)}: no response"
    assert re.search(tried, told)


def test_a_page_can_be_acknowledged_from_what_it_says(shared: tuple[Serving, Receiver]) -> None:
    """It arrives signed, by the pager of its step, and the path in it takes the incident."""
    serving, receiver = shared
    incident = opened(serving, "Down")
    until(lambda: requests_about(receiver, incident))
    ((headers, page),) = requests_about(receiver, incident)
    assert receiver.pages[headers["webhook-id"]] == page
    assert (page["to"], page["severity"], page["title"]) == ("ada", "sev1", "Down on shop")
    assert serving.ask("POST", page["ack"], b"", serving.person).status == 200
    (found,) = (i for i in serving.incidents() if i["id"] == incident)
    assert found["acknowledged_by"] == "ada"


def test_a_test_page_says_why_it_failed(shared: tuple[Serving, Receiver]) -> None:
    """Before anybody depends on it: exit 1 and what the receiver answered; then 0."""
    serving, receiver = shared
    env = {"MIDWATCH_SERVER": serving.url, "MIDWATCH_TOKEN": serving.person}
    receiver.usual = 503  # for whatever comes meanwhile, too
    failed = serving.type("page", "test", "--via", "hook", **env)
    receiver.usual = 200
    assert (failed.returncode, failed.stdout) == (1, "hook: FAILED: the receiver answered 503\n")
    good = serving.type("page", "test", "--via", "hook", **env)
    assert (good.returncode, good.stdout) == (0, "hook: status 200\n")


def test_neither_logs_nor_journal_hold_a_secret(shared: tuple[Serving, Receiver]) -> None:
    """Not the path of the URL, which often is one, and not the signing secret."""
    serving, receiver = shared
    receiver.plan = ["accept and hang up"]
    incident = opened(serving, "Quiet")
    until(lambda: f"page/{incident}/1" in serving.out.read_text())
    files = [serving.out, *(serving.folder / "midwatch").glob("midwatch.db*")]
    assert len(files) > 1
    for file in files:
        for secret in (PATH, SECRET[6:]):
            assert secret.encode() not in file.read_bytes(), file


def test_a_page_that_hung_when_the_process_died_is_sent_again(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill under the same id, as nobody has acknowledged it."""
    monkeypatch.setenv("HOOK", SECRET)
    receiver.plan = ["hang"]
    serving = configured(tmp_path, receiver)
    serving.start()
    try:
        serving.deliver(alert("Down"))
        until(lambda: receiver.requests)
        serving.kill()
        assert receiver.pages == {}
        serving.start()
        receiver.wait(1)
    finally:
        serving.kill()
    assert len(receiver.requests) == 2
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1


def test_a_page_in_doubt_is_not_sent_once_somebody_has_it(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledged between the kill and the start: nobody is woken for it again."""
    monkeypatch.setenv("HOOK", SECRET)
    receiver.plan = ["hang"]
    serving = configured(tmp_path, receiver)
    serving.start()
    try:
        serving.deliver(alert("Down", namespace="here"))
        until(lambda: receiver.requests)
        serving.kill()
        assert serving.type("incidents", "ack", "INC-1").returncode == 0
        serving.start()
        serving.deliver(alert("Slow", namespace="elsewhere"))
        receiver.wait(2)
    finally:
        serving.kill()
    told = sorted((page["incident"], page["type"]) for page in receiver.pages.values())
    assert told == [("INC-1", "incident.acknowledged"), ("INC-2", "incident.page")]
    assert len(receiver.requests) == 3


# --- what is refused before it matters ----------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        ("", "error: $HOOK: the environment variable is not set; export it before starting"),
        ("hunter2", "error: $HOOK: not a signing secret; create one: echo whsec_"),
    ],
)
def test_serve_does_not_start_without_its_secret(tmp_path: Path, secret: str, says: str) -> None:
    """Exit 2 and one line that names the variable and a way out; what was in it is not shown."""
    (tmp_path / "midwatch.yaml").write_text(CONFIG.format(url="http://127.0.0.1:9/"), "utf-8")
    where = ("--config", str(tmp_path), "--listen", "127.0.0.1:0")
    done = midwatch("serve", *where, HOOK=secret)
    assert done.returncode == 2
    assert says in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "is ready" not in done.stdout


def test_check_takes_pagers_and_a_heartbeat(tmp_path: Path) -> None:
    """On one's own network too, with a port, a path and a query; by `via` from any step."""
    (tmp_path / "midwatch.yaml").write_text(
        """
pagers:
  near: {type: webhook, url: "http://127.0.0.1:9000/hook?room=ops", secret_env: NEAR}
  far: {type: webhook, url: "https://example.org/hook", secret_env: FAR}
  v6: {type: webhook, url: "http://[::1]:9000/", secret_env: NEAR}
  screen: {type: terminal}
heartbeat: {url: "https://example.org/ping/midwatch", every: 90s}
escalation: {steps: [{to: ada, via: far}, {to: ben, via: screen}, {to: cyd}]}
""",
        "utf-8",
    )
    done = midwatch("check", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


WRONG = {
    "type: pager": "pagers.x.type: got 'pager'; write one of apprise, email, pagerduty, slack,",
    "type: webhook": "pagers.x: url is missing; add url",
    "type: webhook, url: U": "pagers.x: secret_env is missing; add secret_env",
    "type: webhook, url: U, secret: s": "pagers.x.secret: unknown key",
    "type: terminal, url: U": "pagers.x.url: unknown key",
    **{
        f"type: webhook, secret_env: S, url: {url!r}": "pagers.x.url: not an http or https URL"
        for url in (
            "ftp://h/hook",
            "h/hook",
            "http://",
            "http:///hook",
            "http://ada:pw@h/hook",
            "http://h:99999/",
            "http://h:x/",
            "http://h:0/",
            "http://[::1/hook",
            "http://a b/",
            "http://h/a b",
            "http://h\u00fcok/",
            "file:///etc/passwd",
        )
    },
    "type: webhook, secret_env: S, url: 7": "pagers.x.url: got 7; write text",
}


def test_check_names_everything_that_is_wrong_with_a_pager(tmp_path: Path) -> None:
    """In one run, each with its line and what to write instead."""
    lines = [f"  x{n}: {{{text.replace('U', 'http://h/')}}}" for n, text in enumerate(WRONG)]
    text = "\n".join(["escalation: {steps: [{to: ada}]}", "pagers:", *lines])
    (tmp_path / "midwatch.yaml").write_text(text, "utf-8")
    done = midwatch("check", "--json", str(tmp_path))
    assert done.returncode == 2
    errors = json.loads(done.stdout)["errors"]
    told = [f"{e['place']}: {e['message']}; {e['remedy']}" for e in errors]
    for number, says in enumerate(WRONG.values()):
        place = f"{tmp_path}/midwatch.yaml:{number + 3} "
        want = place + says.replace("pagers.x", f"pagers.x{number}")
        assert [line for line in told if line.startswith(want)], want
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("heartbeat: {url: 'h/ping'}", "heartbeat.url: not an http or https URL; write it like"),
        ("heartbeat: {every: 60s}", "heartbeat: url is missing; add url"),
        ("heartbeat: {url: 'http://h/', every: 0s}", "heartbeat.every: got '0s'; write a duration"),
        ("heartbeat: http://h/", "heartbeat: got 'http://h/'; write a mapping with url, every"),
        (
            "pagers: {hook: {type: terminal}}\nescalation: {steps: [{to: ada, via: hok}]}",
            "escalation.steps[0].via: unknown pager 'hok'; did you mean hook?",
        ),
        (
            "escalation: {steps: [{to: ada, via: phone}]}",
            "escalation.steps[0].via: unknown pager 'phone'; add it to pagers",
        ),
    ],
)
def test_check_tells_a_slip_with_its_remedy(tmp_path: Path, line: str, says: str) -> None:
    """The heartbeat's address, and a step's pager that nobody configured."""
    steps = "" if "escalation" in line else "escalation: {steps: [{to: ada}]}\n"
    (tmp_path / "midwatch.yaml").write_text(steps + line, "utf-8")
    told = [str(error) for error in config.check(tmp_path)[1]]
    assert [text for text in told if f" {says}" in text], told


# --- many tries, in virtual time ----------------------------------------------------------------


class Shift:
    """The engine and a real webhook pager under a clock that jumps to what is due."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.receiver = receiver
        # Behind, so that receivers of real time take what is sent some virtual minutes later.
        self.clock = VirtualClock(time.time_ns() // 1_000_000 - 200 * SECOND)
        self.file = folder / "midwatch.db"
        (folder / "midwatch.yaml").write_text(CONFIG.format(url=receiver.url), "utf-8")
        self.store = SqliteStore.own(self.file)
        options = WebhookOptions(receiver.url + PATH, "HOOK")
        outbound = Outbound([receiver.url], timeout_s=1)
        tools = Tools(lambda url: outbound, self.store.name, self.clock, {"HOOK": SECRET})
        rules = Rules(
            policy=Policy("p", (Step(("ada",), 1800), Step(("ben",), 1800)), 0, Team(digest_s=0))
        )
        world = World({"hook": make_pager(options, tools)})
        self.engine = build_engine(self.store, rules, world, self.clock)
        labels = {"alertname": "Down", "service": "shop", "severity": "critical"}
        one = identify(labels).alert("firing", self.clock.now)
        self.tell("a", inputs.AlertsArrived("test", (one,)))

    def tell(self, key: str, given: inputs.Input) -> None:
        """Hand one input over."""
        self.engine.handler.handle([Envelope(key, given)])

    def play(self, over: Callable[[], bool] = lambda: False) -> None:
        """Do effect after effect, each when it is due, until there is none."""
        while not over() and (due_at := self.store.next_effect_at()) is not None:
            self.clock.now = max(due_at, self.clock.now)
            for claim in self.engine.performer.claim(self.clock.now):
                self.engine.handler.handle([self.engine.performer.perform(claim)])

    def told(self) -> str:
        """What `midwatch incidents show` tells afterwards."""
        self.store.close()
        where = ("--config", str(self.file.parent), "--db", str(self.file))
        return midwatch("incidents", "show", "INC-1", *where).stdout

    @property
    def sent_at(self) -> list[int]:
        """When each request was made, in seconds."""
        return [int(headers["webhook-timestamp"]) for _, headers, _ in self.receiver.requests]

    @property
    def ids(self) -> list[str]:
        """The id of each request."""
        return [headers["webhook-id"] for _, headers, _ in self.receiver.requests]


@pytest.fixture
def shift(tmp_path: Path, receiver: Receiver) -> Iterator[Shift]:
    """One critical alert, and nothing sent yet."""
    shift = Shift(tmp_path, receiver)
    yield shift
    shift.store.close()


def test_a_page_is_tried_again_under_one_id_with_growing_delay(shift: Shift) -> None:
    """Whatever goes wrong: an error, silence, a hang-up; and once taken it is not sent again."""
    shift.receiver.plan = [500, "hang", "accept and hang up", 503]
    shift.play()
    assert len(shift.ids) == MAX_ATTEMPTS
    assert len(set(shift.ids)) == 1
    assert (len(shift.receiver.pages), shift.receiver.refused) == (1, [])
    waits = [b - a for a, b in zip(shift.sent_at, shift.sent_at[1:], strict=False)]
    for number, wait_s in enumerate(waits):
        assert 5 * 2**number - 1 <= wait_s <= 10 * 2**number + 1


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_a_receiver_that_asks_for_time_gets_it(shift: Shift, as_date: bool) -> None:
    """The next try comes when it asked for, though the delay would be shorter."""
    at = shift.clock.now // SECOND + 120
    text = formatdate(at, usegmt=True) if as_date else "120"
    shift.receiver.plan = [(429, {"retry-after": text})]
    shift.play()
    first, again = shift.sent_at
    assert 119 <= again - first <= 121
    assert len(shift.receiver.pages) == 1


def test_giving_up_pages_the_next_person_and_is_told(shift: Shift) -> None:
    """After the last try the next step is paged at once, and `incidents show` says why."""
    shift.receiver.plan = [500] * MAX_ATTEMPTS
    shift.play()
    assert len(shift.ids) == MAX_ATTEMPTS + 1
    assert len(set(shift.ids)) == 2
    (page,) = shift.receiver.pages.values()
    assert page["to"] == "ben"
    assert shift.sent_at[-1] == shift.sent_at[-2]
    told = shift.told()
    for number in range(1, MAX_ATTEMPTS + 1):
        assert f"page/INC-1/1, try {number}: the receiver answered 500" in told
    assert "to ben; ada cannot be reached: the receiver answered 500" in told
    assert PATH not in told


def test_nobody_left_to_page_is_told(shift: Shift) -> None:
    """A receiver that is down for good ends in the open, not in silence."""
    shift.receiver.plan = [500] * 100
    shift.play()
    assert len(shift.ids) == 2 * MAX_ATTEMPTS
    assert "EscalationExhausted" in shift.told()


def test_an_ack_ends_the_tries(shift: Shift) -> None:
    """Somebody has it by another way: the page that failed is not sent again."""
    shift.receiver.plan = [500] * 100
    shift.play(over=lambda: bool(shift.ids))
    shift.tell("ack", inputs.Acknowledge("INC-1", "ben"))
    shift.play()
    assert len(shift.ids) == 1
