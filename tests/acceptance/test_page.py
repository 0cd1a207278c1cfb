"""The page in a real browser: it shows what is wrong, takes an answer, and runs nothing foreign."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)
from tests.acceptance.serving import Serving, alert, until
from tests.servers import free_port, need

pytestmark = pytest.mark.slow

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000
PHONE: ViewportSize = {"width": 390, "height": 844}
NARROW: ViewportSize = {"width": 320, "height": 640}
TOPOLOGY = """services:
  - {name: shop, tier: 1}
  - {name: cart, tier: 2}
  - {name: docs, tier: 3}
edges: []
"""
# One that does something small, and says it at length.
RUNBOOK = """---
id: free-the-disk
match: {labels: [alertname=Planned]}
steps:
  - id: look-first
    action: command.run
    with: {command: [echo, the-name-of-a-volume-that-nobody-could-ever-shorten-without-a-loss]}
    risk: read
  - id: free
    action: command.run
    with: {command: ["true"]}
    observe: {command: ["true"]}
    risk: reversible
---
# The disk is full
"""
LONG = "CheckoutLatencyP99AboveObjectiveForLongerThanTenMinutesInTheAvailabilityZoneB"
HOSTILE = '<script>window.ran=1</script><img src=x onerror="window.ran=1">\'"><svg onload=alert(1)>'

# Each piece of text that can be seen, with its colour's contrast against what lies behind it.
CONTRASTS = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = parse(color).slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if ((parse(color)[3] ?? 1) === 1) return color;
    }
    throw new Error("nothing lies behind");
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility()) continue;
    const a = light(getComputedStyle(element).color), b = light(behind(element));
    found.push([text, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return found;
}"""


class Visit(Protocol):
    """Opens a page, with the session of the token that is given."""

    def __call__(self, serving: Serving, token: str = "", *, script: bool = True) -> Page: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the file."""
    program = need("chromium")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def contexts(browser: Browser) -> dict[bool, BrowserContext]:
    """With JavaScript and without; each test begins without cookies."""
    found = {script: browser.new_context(java_script_enabled=script) for script in (True, False)}
    for context in found.values():
        context.set_default_timeout(WAIT_MS)
    return found


@pytest.fixture
def visit(contexts: dict[bool, BrowserContext]) -> Iterator[Visit]:
    """A way in."""

    def visit(serving: Serving, token: str = "", *, script: bool = True) -> Page:
        context = contexts[script]
        if token:
            context.request.post(f"{serving.url}/login", form={"token": token})
        page = context.new_page()
        page.goto(serving.url)
        return page

    yield visit
    for context in contexts.values():
        for page in context.pages:
            page.close()
        context.clear_cookies()


def log_in(page: Page, token: str) -> None:
    """Fill the form."""
    page.get_by_label("Your token").fill(token)
    page.get_by_role("button", name="Log in").click()


def prepared(folder: Path) -> Serving:
    """A config with three services, not started."""
    serving = Serving(folder)
    (serving.folder / "midwatch" / "topology.yaml").write_text(TOPOLOGY, "utf-8")
    (serving.folder / "midwatch" / "runbooks" / "disk.md").write_text(RUNBOOK, "utf-8")
    return serving


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server to which each test adds alerts of its own."""
    serving = prepared(tmp_path_factory.mktemp("quiet"))
    serving.start()
    yield serving
    assert serving.stop() == 0


@pytest.fixture(scope="module")
def shadow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server in shadow mode, without incidents."""
    serving = prepared(tmp_path_factory.mktemp("shadow"))
    serving.person = serving.token("--role", "responder", "--name", "ada", "--shadow")
    serving.start(options=["--shadow"])
    yield serving
    serving.kill()


@pytest.fixture(scope="module")
def flood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Two hundred open incidents, the worst of which is long, and one that is over."""
    serving = prepared(tmp_path_factory.mktemp("flood"))
    serving.start()
    minor = [alert("Slow", f"s{n}", severity="info", namespace=f"n{n}") for n in range(199)]
    serving.deliver(*minor, alert("Down", namespace="worst"), alert("Over", namespace="over"))
    serving.deliver(alert("Over", status="resolved", namespace="over"))
    for number in range(110):
        serving.deliver(alert(f"Symptom{number}", severity="info", namespace="worst"))
    yield serving
    serving.kill()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with incidents of each severity, some taken, one over; tests only acknowledge."""
    serving = prepared(tmp_path_factory.mktemp("crowd"))
    serving.start()
    for number, (name, service, severity) in enumerate(
        [
            ("Slow", "docs", "info"),
            (LONG, "docs", "critical"),
            ("Down", "cart", "critical"),
            ("Down", "shop", "critical"),
            (f"{LONG} {LONG}", "a-service-with-a-name-that-nobody-could-shorten.internal", "info"),
            ("Over", "shop", "critical"),
            ("Taken", "cart", "critical"),
            ("Press", "cart", "warning"),
            ("Plain", "cart", "warning"),
            ("Keys", "cart", "warning"),
            ("Planned", "shop", "critical"),
        ]
    ):
        serving.deliver(alert(name, service, severity=severity, namespace=f"n{number}"))
    more = [alert(f"Symptom{n}", severity="warning", namespace="n3") for n in range(12)]
    serving.deliver(*more)
    serving.deliver(alert("Symptom0", status="resolved", severity="warning", namespace="n3"))
    serving.deliver(alert("Over", status="resolved", namespace="n5"))
    tell(serving, "INC-7/snooze", b'{"minutes": 60}')
    yield serving
    assert serving.stop() == 0


def tell(serving: Serving, what: str, body: bytes = b"{}") -> None:
    """Give a command over the API."""
    answer = serving.ask("POST", f"/api/v1/incidents/{what}", body, serving.person)
    assert answer.status == 200


def known(serving: Serving, title: str) -> dict[str, Any]:
    """The incident of this title, as the API has it."""
    (found,) = [one for one in serving.incidents() if one["title"] == title]
    return found


def is_live(page: Page) -> None:
    """Wait until the page follows the server."""
    expect(page.get_by_text("live", exact=True)).to_be_visible()


# --- logging in and out -------------------------------------------------------------------------


def test_a_responders_token_opens_a_session(crowd: Serving, visit: Visit) -> None:
    """Whoever comes is sent to the form; with a token they see incidents, and their name."""
    page = visit(crowd)
    expect(page).to_have_url(f"{crowd.url}/login")
    log_in(page, crowd.person)
    expect(page).to_have_url(f"{crowd.url}/")
    expect(page.get_by_role("banner")).to_contain_text("ada")
    (cookie,) = page.context.cookies()
    assert cookie.get("httpOnly")
    assert cookie.get("sameSite") == "Lax"
    assert crowd.person not in str(cookie)


def test_a_token_that_is_no_responders_opens_nothing(crowd: Serving, visit: Visit) -> None:
    """A wrong one, a sender's and a revoked one are refused alike."""
    revoked = crowd.token("--role", "responder", "--name", "eve")
    crowd.type("token", "revoke", revoked.split("_")[1])
    page = visit(crowd)
    for token in (f"{crowd.person}x", crowd.sender, revoked):
        page.goto(f"{crowd.url}/login")
        log_in(page, token)
        expect(page.get_by_role("alert")).to_contain_text("Invalid or revoked token")
        assert page.context.cookies() == []
    page.goto(crowd.url)
    expect(page).to_have_url(f"{crowd.url}/login")


def test_log_out_ends_the_session(crowd: Serving, visit: Visit) -> None:
    """The form stands there again, and the way back is closed."""
    page = visit(crowd, crowd.person)
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{crowd.url}/login")
    assert page.context.cookies() == []
    page.goto(crowd.url)
    expect(page).to_have_url(f"{crowd.url}/login")


def test_a_revoked_token_ends_its_session(quiet: Serving, visit: Visit) -> None:
    """The open page leaves with the next news, and nothing can be acknowledged any more."""
    quiet.deliver(alert("Kept", namespace="kept"))
    name = known(quiet, "Kept on shop")["id"]
    eve = quiet.token("--role", "responder", "--name", "eve")
    page = visit(quiet, eve)
    is_live(page)
    quiet.type("token", "revoke", eve.split("_")[1])
    posted = page.context.request.post(f"{quiet.url}/incidents/{name}/ack")
    assert posted.url == f"{quiet.url}/login"
    assert known(quiet, "Kept on shop")["state"] == "open"
    quiet.deliver(alert("Later", namespace="later"))
    page.wait_for_url(f"{quiet.url}/login")


def test_a_forged_session_is_none(crowd: Serving, visit: Visit) -> None:
    """The cookie is random: neither a token's id nor its text nor a changed one is a login."""
    page = visit(crowd, crowd.person)
    (cookie,) = page.context.cookies()
    name, right = cookie.get("name", ""), cookie.get("value", "")
    other = crowd.token("--role", "responder", "--name", "eve")
    for wrong in (other, other.split("_")[1], right[:-1], right + "A", right.swapcase(), ""):
        page.context.add_cookies([{"name": name, "value": wrong, "url": crowd.url}])
        page.goto(crowd.url)
        expect(page).to_have_url(f"{crowd.url}/login")


# --- what it shows ------------------------------------------------------------------------------


def test_nothing_open_is_said_in_words(shadow: Serving, visit: Visit) -> None:
    """An empty page might be a broken one."""
    page = visit(shadow, shadow.person)
    expect(page.get_by_text("No open incidents.")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(0)
    expect(page).to_have_title("midwatch")


def test_incidents_stand_worst_first_and_those_that_harm_nobody_last(
    crowd: Serving, visit: Visit
) -> None:
    """sev1 on top; what is resolved comes after all that is not, however bad it was."""
    page = visit(crowd, crowd.person)
    shown = page.locator(".severity").all_inner_texts()
    assert shown == ["sev1", "sev1", "sev2", "sev2", *["sev3"] * 4, "sev4", "sev4", "sev1"]
    well = page.get_by_role("region", name="Mitigated and resolved")
    expect(well.get_by_role("heading", level=3)).to_have_text(["sev1 Over on shop"])
    expect(page).to_have_title("(10) midwatch")


def test_a_card_says_what_where_how_much_since_when_and_who(crowd: Serving, visit: Visit) -> None:
    """State, services, firing counts, the age, and who has it until when."""
    page = visit(crowd, crowd.person)
    facts = page.locator("[id^=INC-4-] .facts")
    for says in ("INC-4", "open", "shop", "12 of 13 alerts firing"):
        expect(facts.get_by_text(says, exact=True)).to_be_visible()
    opened = page.locator("[id^=INC-4-] .facts time")
    shown = opened.get_attribute("datetime") or ""
    expect(opened).to_contain_text(f"min, since {shown[11:16]} UTC")
    until = next(one["snoozed_until"] for one in crowd.incidents() if one["id"] == "INC-7")
    expect(page.locator("article[id^=INC-7-]")).to_contain_text("Acknowledged by ada until")
    expect(page.locator("[id^=INC-7-] .taken")).to_contain_text(f"{until[11:16]} UTC")


def test_a_timeline_tells_events_in_words_with_times_and_reasons(
    crowd: Serving, visit: Visit
) -> None:
    """What happened, when, and why; and what fires now."""
    page = visit(crowd, crowd.person)
    card = page.get_by_role("article", name="Down on shop")
    card.get_by_text("Timeline").click()
    told = card.get_by_role("listitem")
    detail = crowd.ask("GET", "/api/v1/incidents/INC-4", token=crowd.person).document
    for moment in detail["timeline"]:
        row = told.filter(has=page.locator(f"time[datetime='{moment['at']}']"))
        expect(row.filter(has_text=moment["says"]).first).to_contain_text(moment["at"][11:19])
    for name in ("Incident opened", "Severity declared", "Page planned", "Alerts resolved"):
        expect(card.get_by_text(name, exact=True)).to_be_visible()
    expect(told.first).to_have_text(f"{detail['timeline'][0]['at'][:10]}, times in UTC")
    expect(card.get_by_text("to me; critical Down on shop")).to_be_visible()
    expect(card.get_by_text(" on shop and 11 more; same service")).to_be_visible()
    expect(card.get_by_text("Firing: Down on shop, ")).to_contain_text("and 4 more")


def test_a_long_timeline_shows_its_end_and_says_what_is_left_out(
    flood: Serving, visit: Visit
) -> None:
    """An incident of hours must not bury the page; the command has the rest."""
    name = known(flood, "Down on shop")["id"]
    detail = flood.ask("GET", f"/api/v1/incidents/{name}", token=flood.person).document
    left_out = len(detail["timeline"]) - 100
    assert left_out > 0
    page = visit(flood, flood.person)
    card = page.get_by_role("article", name="Down on shop")
    card.get_by_text("Timeline").click()
    expect(card.locator("li time")).to_have_count(100)
    says = f"{left_out} earlier events are not shown; see midwatch incidents show {name}"
    expect(card.get_by_text(says)).to_be_visible()
    last = card.locator("li time").last
    expect(last).to_have_attribute("datetime", detail["timeline"][-1]["at"])


def test_of_two_hundred_incidents_the_worst_stand_there_and_the_rest_is_counted(
    flood: Serving, visit: Visit
) -> None:
    """The page stays a page; what is over takes no place from what is not."""
    page = visit(flood, flood.person)
    expect(page.get_by_role("article")).to_have_count(50)
    expect(page.get_by_role("heading", level=3).first).to_have_text("sev1 Down on shop")
    expect(page.get_by_text("151 more. See midwatch incidents list")).to_be_visible()
    expect(page.get_by_role("article", name="Over on shop")).to_have_count(0)
    expect(page).to_have_title("(200) midwatch")


def test_shadow_mode_says_so(shadow: Serving, visit: Visit) -> None:
    """Nobody may think that this server would have woken somebody."""
    page = visit(shadow, shadow.person)
    expect(page.get_by_text("Shadow mode: everything is decided")).to_contain_text(
        "nothing is sent"
    )


# --- answering ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "title"), [(True, "Press on cart"), (False, "Plain on cart")])
def test_the_button_acknowledges(crowd: Serving, visit: Visit, script: bool, title: str) -> None:
    """One press, with JavaScript or without, and the person's name stands there."""
    name = known(crowd, title)["id"]
    page = visit(crowd, crowd.person, script=script)
    page.get_by_role("button", name=f"Acknowledge {name}").click()
    expect(page).to_have_url(re.compile(rf"{crowd.url}/#{name}-\w{{8}}$"))
    card = page.get_by_role("article", name=title)
    expect(card).to_contain_text("Acknowledged by ada")
    expect(card).to_contain_text("acknowledged")
    expect(card.get_by_role("button")).to_have_count(0)
    assert known(crowd, title)["state"] == "acknowledged"


@pytest.mark.parametrize("script", [True, False])
def test_a_plan_is_shown_and_approved(quiet: Serving, visit: Visit, script: bool) -> None:
    """Its steps, what they break and what proves them; one press, and it is carried out."""
    space = f"planned-{script}"
    quiet.deliver(alert("Planned", namespace=space))
    name = f"INC-{max(int(one['id'][4:]) for one in quiet.incidents())}"
    page = visit(quiet, quiet.person, script=script)
    plan = page.get_by_role("region", name=f"Plan for {name}")
    expect(plan).to_contain_text("Proposed: runbook free-the-disk v1 for shop")
    expect(plan).to_contain_text("free command.run by true reversible")
    expect(plan).to_contain_text("Proven when every alert is resolved (no SLI), within 30 min")
    page.get_by_role("button", name=f"Approve the plan for {name}").click()
    expect(page).to_have_url(re.compile(rf"{quiet.url}/#{name}-\w{{8}}$"))
    until(lambda: state_of(quiet, name) == "verifying")
    page.goto(quiet.url)
    expect(page.get_by_role("region", name=f"Plan for {name}")).to_contain_text(
        "Verifying: runbook free-the-disk v1 for shop, approved by ada"
    )
    quiet.deliver(alert("Planned", status="resolved", namespace=space))


def state_of(serving: Serving, name: str) -> str:
    """How far its plan is."""
    found = serving.ask("GET", f"/api/v1/incidents/{name}", token=serving.person).document
    return found["plan"]["state"]


def test_an_old_plan_on_an_old_page_is_refused(quiet: Serving, visit: Visit) -> None:
    """The hash that was shown is the one that is approved, and no other."""
    quiet.deliver(alert("Planned", namespace="old"))
    page = visit(quiet, quiet.person)
    form = page.locator("form[action$='/approve'] input[name=hash]").first
    # In one go: news of the page may bring the right hash back before a click comes.
    form.evaluate("it => { it.value = '0000'; it.form.requestSubmit() }")
    expect(page.get_by_role("alert")).to_contain_text("no longer describes what is live")
    quiet.deliver(alert("Planned", status="resolved", namespace="old"))


def test_a_postmortem_is_a_page_of_its_own(quiet: Serving, visit: Visit) -> None:
    """Whole, without a script, readable on a phone; a stranger does not see it."""
    quiet.deliver(alert("Down", namespace="told"), alert(HOSTILE, namespace="told"))
    page = visit(quiet, quiet.person)
    is_live(page)
    open_all(page)
    page.get_by_role("link", name="Postmortem of").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("INC-")
    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    page.set_viewport_size(NARROW)
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [320, 320]
    assert page.evaluate("window.ran") is None
    found: list[tuple[str, float]] = page.evaluate(CONTRASTS)
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []
    page.get_by_role("link", name="Back").click()
    expect(page).to_have_url(re.compile(rf"{quiet.url}/#INC-"))
    page.context.clear_cookies()
    page.goto(f"{quiet.url}/incidents/INC-1/postmortem")
    expect(page.get_by_label("Your token")).to_be_visible()


def test_an_incident_that_happened_before_says_so(quiet: Serving, visit: Visit) -> None:
    """Loudly, with which one it was and what that left behind; the first one says nothing."""
    quiet.deliver(alert("Returns", "cart", namespace="again"))
    first = newest(quiet)
    page = visit(quiet, quiet.person)
    card = page.get_by_role("article", name="Returns on cart")
    expect(card).to_be_visible()
    expect(card).not_to_contain_text("happened before")
    quiet.deliver(alert("Returns", "cart", status="resolved", namespace="again"))
    tell(quiet, f"{first}/resolve", b'{"why": "it is over"}')
    quiet.deliver(alert("Returns", "cart", namespace="again", pod="another"))
    second = newest(quiet)
    assert second != first
    page.goto(quiet.url)
    expect(card).to_contain_text(
        f"This happened before. {second} is {first} again: the same alerts, cart Returns."
        " It left no case behind."
    )
    expect(card.get_by_text("This happened before.")).to_be_visible()
    quiet.deliver(alert("Returns", "cart", "resolved", namespace="again", pod="another"))


def newest(serving: Serving) -> str:
    """The incident that was opened last."""
    return f"INC-{max(int(one['id'][4:]) for one in serving.incidents())}"


def test_an_answer_that_is_refused_is_told(crowd: Serving, visit: Visit) -> None:
    """Whoever answers must not believe that it was taken."""
    page = visit(crowd, crowd.person)
    is_live(page)
    form = page.locator("form[action*='/INC-4-'][action$='/ack']")
    form.evaluate("it => { it.action = '/incidents/INC-99/ack' }")
    page.get_by_role("button", name="Acknowledge INC-4").click()
    expect(page.get_by_role("alert")).to_contain_text("INC-99")
    page.get_by_role("link", name="Back to incidents").click()
    expect(page).to_have_url(f"{crowd.url}/")


# --- following ----------------------------------------------------------------------------------


def test_a_new_alert_appears_by_itself(quiet: Serving, visit: Visit) -> None:
    """No reload: the news come over the open stream, and are said to a screen reader."""
    page = visit(quiet, quiet.person)
    is_live(page)
    page.evaluate("window.before = true")
    quiet.deliver(alert("Arrived", namespace="arrived"))
    expect(page.get_by_role("article", name="Arrived on shop")).to_be_visible()
    harmed = sum(one["state"] != "mitigated" for one in quiet.incidents())
    expect(page).to_have_title(f"({harmed}) midwatch")
    said = page.get_by_role("status").filter(has_text="New: ")
    expect(said).to_have_text("New: sev1 Arrived on shop")
    assert page.evaluate("window.before")


def test_what_a_person_has_opened_and_focused_stays_while_news_come(
    quiet: Serving, visit: Visit
) -> None:
    """An opened timeline stays open, a closed one closed, and the keyboard stays on it."""
    for name in ("Read", "Unread"):
        quiet.deliver(alert(name, namespace=name))
    page = visit(quiet, quiet.person)
    read, unread = (page.get_by_role("article", name=f"sev1 {n} on") for n in ("Read", "Unread"))
    read.get_by_text("Timeline").focus()
    page.keyboard.press("Enter")
    expect(read.get_by_role("list")).to_be_visible()
    quiet.deliver(alert("News", namespace="News"))
    expect(page.get_by_role("article", name="News on shop")).to_be_visible()
    expect(read.get_by_role("list")).to_be_visible()
    expect(unread.get_by_role("list")).to_be_hidden()
    expect(read.get_by_text("Timeline")).to_be_focused()
    tell(quiet, f"{known(quiet, 'Read on shop')['id']}/ack")
    expect(read).to_contain_text("Acknowledged by ada")
    expect(read.get_by_text("Page acknowledged")).to_be_visible()
    expect(unread).not_to_contain_text("Acknowledged by ada")


def test_a_reader_further_down_keeps_the_place(flood: Serving, visit: Visit) -> None:
    """What changes on top moves nothing under the finger."""
    page = visit(flood, flood.person)
    page.set_viewport_size(PHONE)
    page.locator("summary").first.click()
    read = page.get_by_role("article").nth(30)
    read.evaluate("it => it.scrollIntoView()")
    stood = read.evaluate("it => it.getBoundingClientRect().top")
    tall = page.get_by_role("article").first.evaluate("it => it.offsetHeight")
    tell(flood, f"{known(flood, 'Down on shop')['id']}/ack")
    expect(page.locator(".taken")).to_have_text("Acknowledged by ada")
    assert page.get_by_role("article").first.evaluate("it => it.offsetHeight") != tall
    assert abs(read.evaluate("it => it.getBoundingClientRect().top") - stood) < 2


def test_a_stop_of_the_server_ends_the_stream_at_once(quiet: Serving, visit: Visit) -> None:
    """Whoever follows the page does not hold the server up, and is told that it went."""
    page = visit(quiet, quiet.person)
    is_live(page)
    try:
        assert quiet.stop() == 0
        assert "graceful shutdown" not in quiet.out.read_text()
        expect(page.get_by_text("not live, may be out of date")).to_be_visible()
    finally:
        quiet.start()


def test_a_page_that_lost_its_server_follows_it_again(quiet: Serving, visit: Visit) -> None:
    """After a crash and a start nobody has to reload."""
    page = visit(quiet, quiet.person)
    is_live(page)
    quiet.kill()
    try:
        expect(page.get_by_text("not live, may be out of date")).to_be_visible()
    finally:
        quiet.start()
    quiet.deliver(alert("After", namespace="after"))
    expect(page.get_by_role("article", name="After on shop")).to_be_visible()
    is_live(page)


# --- what is foreign ----------------------------------------------------------------------------


def test_what_the_alert_says_and_where_its_runbook_is_stand_in_reach(
    quiet: Serving, visit: Visit
) -> None:
    """In the page that wakes, in the browser and on the terminal; a link only to the web."""
    notes = {"summary": "The queue of orders is 93 % full", "runbook_url": "https://wiki/orders"}
    full = {**alert("QueueFull", "orders", namespace="reach"), "annotations": notes}
    bad = {
        **alert("Odd", "orders", namespace="reach"),
        "annotations": {"runbook_url": "javascript:alert(1)"},
    }
    quiet.deliver(full)
    quiet.deliver(bad)
    incident = known(quiet, "QueueFull on orders")
    name = incident["id"]
    card = visit(quiet, quiet.person).locator(f"#{incident['ref']}")
    expect(card.get_by_text("The queue of orders is 93 % full")).to_be_visible()
    expect(card.get_by_text("Firing: QueueFull on orders")).to_be_visible()
    expect(card.get_by_role("link", name="https://wiki/orders")).to_be_visible()
    assert card.get_by_role("link", name="javascript").count() == 0
    where = ("--server", quiet.url, "--token", quiet.person)
    shown = quiet.type("incidents", "show", name, *where).stdout
    assert "\n  summary: The queue of orders is 93 % full\n" in shown
    assert "\n  runbook: https://wiki/orders\n" in shown
    until(lambda: "; see https://wiki/orders" in quiet.out.read_text("utf-8"))


def test_no_label_pushes_the_others_out_of_sight(quiet: Serving, visit: Visit) -> None:
    """However long it is, in the browser and on the terminal; one without a service says so."""
    long = "x" * 100_000
    quiet.deliver(alert(long, long, namespace="long", note=long))
    quiet.deliver(alert("", "", namespace="long"))
    quiet.deliver(alert("Last", "last", namespace="long"))
    incident = known(quiet, f"{long} on {long}")
    card = visit(quiet, quiet.person).locator(f"#{incident['ref']}")
    expect(card.locator(".facts").get_by_text("unknown service, last")).to_be_visible()
    box = card.bounding_box()
    assert box is not None
    assert box["height"] < 1_500  # pixels; whole it would have tens of thousands
    expect(card.get_by_text("alert on unknown service, Last on last")).to_be_visible()
    where = ("--server", quiet.url, "--token", quiet.person)
    for shown in (("list",), ("show", incident["id"])):
        told = quiet.type("incidents", *shown, *where).stdout
        assert max(map(len, told.splitlines())) < 600
    assert "(3 of 3 alerts firing)" in told.splitlines()[0]


def test_markup_from_outside_is_shown_and_never_run(quiet: Serving, visit: Visit) -> None:
    """In names, labels, reasons and a person's own name; when loaded and when it comes as news."""
    quiet.deliver(alert(HOSTILE, HOSTILE, namespace="loaded", note=HOSTILE))
    loaded = known(quiet, f"{HOSTILE} on {HOSTILE}")["ref"]
    mallory = quiet.token("--role", "responder", "--name", HOSTILE)
    page = visit(quiet)
    wrong: list[str] = []
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda says: wrong.append(says.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    log_in(page, mallory)
    expect(page.get_by_role("banner")).to_contain_text(HOSTILE)
    quiet.deliver(alert(f"News {HOSTILE}", HOSTILE, namespace="news"))
    news = page.locator(f"#{known(quiet, f'News {HOSTILE} on {HOSTILE}')['ref']}")
    expect(news.get_by_role("heading")).to_contain_text(f"News {HOSTILE} on {HOSTILE}")
    path = f"/api/v1/incidents/{loaded}/snooze"
    assert quiet.ask("POST", path, b'{"minutes": 60}', mallory).status == 200
    put_off = page.locator(f"#{loaded}").get_by_text(f"Acknowledged by {HOSTILE} until")
    expect(put_off.last).to_be_attached()
    news.get_by_role("button").click()
    expect(news.locator(".taken")).to_have_text(f"Acknowledged by {HOSTILE}")
    assert page.evaluate("window.ran") is None
    assert page.locator("main script, main img, main svg").count() == 0
    assert wrong == []


def test_the_browser_is_told_to_run_nothing_foreign(crowd: Serving, visit: Visit) -> None:
    """Each page carries the policy, which has no hole, and is kept by no cache."""
    request = visit(crowd, crowd.person).context.request
    pages = [request.get(f"{crowd.url}{path}") for path in ("/", "/login")]
    for answer in (*pages, request.post(f"{crowd.url}/incidents/INC-99/ack")):
        rules = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(rules)
        assert [rule for rule in rules if "unsafe" in rule or "*" in rule or ":" in rule] == []
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_a_script_that_got_into_the_page_does_not_run(crowd: Serving, visit: Visit) -> None:
    """The second wall: even what were not escaped would be refused by the browser."""
    page = visit(crowd, crowd.person)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = 1";
            document.querySelector("main").append(script);
        }"""
    )
    assert page.evaluate("window.ran") is None


def test_a_form_of_another_site_is_refused(crowd: Serving, visit: Visit) -> None:
    """A page on another port of this host is the same site to cookies, and foreign all the same."""
    page = visit(crowd, crowd.person)
    before = page.context.cookies()
    foreign = f"http://127.0.0.1:{free_port()}/"
    of_plans = [f"/incidents/INC-11/{word}" for word in ("approve", "refuse", "stop")]
    paths = ("/incidents/INC-3/ack", *of_plans, "/logout", "/login")
    forms = "".join(
        f"<form method=post action='{crowd.url}{path}'>"
        f"<input name=token value='{crowd.person}'><button>{path}</button></form>"
        for path in paths
    )

    def serve(route: Route) -> None:
        route.fulfill(body=forms, content_type="text/html")

    page.route(foreign, serve)
    for path in paths:
        page.goto(foreign)
        with page.expect_response(f"{crowd.url}{path}") as answered:
            page.get_by_role("button", name=path).click()
        assert answered.value.status == 403
        expect(page.get_by_role("alert")).to_contain_text("this form was sent from another site")
    assert page.context.cookies() == before
    assert known(crowd, "Down on cart")["state"] == "open"


# --- for tired eyes and large thumbs ------------------------------------------------------------


def open_all(page: Page) -> None:
    """Open every timeline."""
    page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(
    crowd: Serving, visit: Visit, scheme: Literal["light", "dark"]
) -> None:
    """At least 4.5 to 1, as WCAG's AA asks, in the list, its timelines and the forms."""
    page = visit(crowd)
    page.emulate_media(color_scheme=scheme)
    log_in(page, "wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    found: list[tuple[str, float]] = page.evaluate(CONTRASTS)
    log_in(page, crowd.person)
    is_live(page)
    open_all(page)
    found += page.evaluate(CONTRASTS)
    page.evaluate("tell(false)")
    found += page.evaluate(CONTRASTS)
    texts = {text for text, _ in found}
    seen = {"sev1", "sev2", "sev3", "sev4", "live", "not live, may be out of date", "Acknowledge"}
    assert seen <= texts
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []


def test_on_a_phone_everything_that_is_pressed_is_large(crowd: Serving, visit: Visit) -> None:
    """At least 44 pixels high, and what stands below another thing does not overlap it."""
    page = visit(crowd)
    page.set_viewport_size(PHONE)
    found = [boxes_of(page)]
    log_in(page, crowd.person)
    is_live(page)
    found.append(boxes_of(page))
    form = page.locator("form[action$='/ack']").first
    form.evaluate("it => { it.action = '/incidents/INC-99/ack' }")
    form.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_be_visible()
    found.append(boxes_of(page))
    for boxes in found:
        assert boxes
        assert [box for box in boxes if box["height"] < 44] == []
        column = sorted(box["y"] for box in boxes if box["x"] < 195)
        assert all(after - before >= 44 for before, after in pairwise(column))


def boxes_of(page: Page) -> list[dict[str, float]]:
    """Where everything stands that can be pressed."""
    targets = page.locator("a, button, summary, input").filter(visible=True)
    return targets.evaluate_all("all => all.map((it) => it.getBoundingClientRect().toJSON())")


def test_nothing_scrolls_sideways_on_the_narrowest_phone(crowd: Serving, visit: Visit) -> None:
    """Long names and reasons wrap at 320 pixels, and none is cut off."""
    page = visit(crowd)
    page.set_viewport_size(NARROW)
    for _ in ("login", "list"):
        assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [320, 320]
        wider = "all => all.filter((it) => it.clientWidth && it.scrollWidth > it.clientWidth + 1)"
        wider += ".map((it) => it.outerHTML)"
        assert page.locator("body *:not(.unseen)").evaluate_all(wider) == []
        if page.url.endswith("/login"):
            log_in(page, crowd.person)
            is_live(page)
            open_all(page)


def test_the_keyboard_is_enough_and_its_place_is_seen(crowd: Serving, visit: Visit) -> None:
    """From the form to a timeline and an answer without a mouse; what has the focus is outlined."""
    page = visit(crowd)
    expect(page.get_by_label("Your token")).to_be_focused()
    page.keyboard.type(crowd.person)
    page.keyboard.press("Enter")
    card = page.get_by_role("article", name="Keys on cart")
    expect(card).to_be_visible()
    order: list[str] = []
    while "Acknowledge" not in order or not card.locator(":focus").count():
        page.keyboard.press("Tab")
        text, outline = page.locator(":focus").evaluate(
            "it => [it.innerText, parseFloat(getComputedStyle(it).outlineWidth)]"
        )
        assert outline >= 2
        order.append(text)
    assert order[0] == "Log out"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(card.get_by_role("list")).to_be_visible()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(card).to_contain_text("Acknowledged by ada")


def test_the_page_can_be_heard(crowd: Serving, visit: Visit) -> None:
    """Landmarks, one first heading, and a name on each thing that can be pressed."""
    page = visit(crowd)
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.get_by_label("Your token")).to_have_attribute("type", "password")
    log_in(page, crowd.person)
    for landmark in ("banner", "main"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_text("midwatch")
    names = [one.get_attribute("aria-label") for one in page.locator("article button").all()]
    assert len(set(names)) == len(names)
    assert page.locator("html").get_attribute("lang") == "en"
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map((it) => +it.localName[1])")
    assert all(after - before <= 1 for before, after in pairwise(levels))
