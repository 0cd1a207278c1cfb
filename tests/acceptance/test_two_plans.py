"""Two plans of two services in one incident, over a real server: each is named by its hash."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright
from tests.acceptance.serving import Serving, alert, until
from tests.acceptance.test_page import ARGS, PHONE, WAIT_MS, boxes_of
from tests.acceptance.test_runbook import detail, kinds, typed
from tests.servers import need

pytestmark = pytest.mark.slow

DESK: ViewportSize = {"width": 1280, "height": 900}
SHOTS = os.environ.get("MIDWATCH_SHOTS", "")  # where pictures go, for whoever looks at them
TOPOLOGY = "services: [{name: shop, tier: 1}, {name: cart, tier: 1}]\nedges: [[shop, cart]]\n"
RUNBOOK = """---
id: restart-workers
match: {{labels: [alertname=Stuck]}}
steps:
  - id: drain
    action: command.run
    with: {{command: [/bin/sh, {drain}, "{{service}}"]}}
    risk: reversible
  - id: start
    action: command.run
    with: {{command: [/bin/sh, {start}, "{{service}}"]}}
    risk: reversible
---
# Workers are stuck
"""
SCRIPTS = {
    "drain": 'touch "{folder}/$1.began"\nuntil test -e "{folder}/$1.go"; do sleep 0.05; done\n',
    "start": 'touch "{folder}/$1.started"\n',
}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server whose runbook fits two services that call each other."""
    found = Serving(tmp_path)
    config = tmp_path / "midwatch"
    (config / "topology.yaml").write_text(TOPOLOGY, "utf-8")
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text.format(folder=tmp_path), "utf-8")
    book = RUNBOOK.format(drain=tmp_path / "drain", start=tmp_path / "start")
    (config / "runbooks" / "restart.md").write_text(book, "utf-8")
    found.start()
    try:
        yield found
    finally:
        found.kill()


def plans(serving: Serving) -> dict[str, Any]:
    """The plans of the incident, by service."""
    return {one["service"]: one for one in detail(serving)["plans"]}


def both(serving: Serving) -> tuple[str, str]:
    """Let both services be in trouble at once; gives the hash of each one's plan."""
    assert serving.deliver(alert("Stuck", "shop"), alert("Stuck", "cart")).status == 202
    until(lambda: serving.incidents() and len(plans(serving)) == 2)
    assert [one["id"] for one in serving.incidents()] == ["INC-1"]
    found = plans(serving)
    return found["shop"]["hash"], found["cart"]["hash"]


def test_two_plans_are_named_by_their_hash_wherever_they_are_told(serving: Serving) -> None:
    """By `show`, the page, the API and every command; without a hash nothing is chosen."""
    shop, cart = both(serving)
    assert shop != cart
    told = typed(serving, "incidents", "show", "INC-1")[1]
    for service, name in (("shop", shop), ("cart", cart)):
        assert f"restart-workers v1 for {service}, plan {name}, proposed" in told
    until(lambda: "PageSent" in kinds(serving))
    page = serving.out.read_text()
    for service, name in (("shop", shop), ("cart", cart)):
        says = f"runbook restart-workers for {service}, midwatch runbook approve INC-1 {name}"
        assert says in page

    for word in (("approve",), ("refuse", "--why", "no")):
        code, _, err = typed(serving, "runbook", *word[:1], "INC-1", *word[1:])
        assert code == 2
        assert "2 plans of INC-1 await approval: " in err
        for service, name in (("shop", shop), ("cart", cart)):
            assert f"{name} (restart-workers for {service})" in err
        assert "name one by its hash" in err
    assert {one["state"] for one in plans(serving).values()} == {"proposed"}

    assert typed(serving, "runbook", "approve", "INC-1", shop, "--no-wait")[0] == 0
    until((serving.folder / "shop.began").exists)
    assert {of: one["state"] for of, one in plans(serving).items()} == {
        "shop": "running",
        "cart": "proposed",
    }
    assert not (serving.folder / "cart.began").exists()
    assert typed(serving, "runbook", "approve", "INC-1", cart, "--no-wait")[0] == 0
    until((serving.folder / "cart.began").exists)

    code, _, err = typed(serving, "runbook", "stop", "INC-1", "--why", "cart is well")
    assert code == 2
    assert "2 plans of INC-1 are in progress: " in err
    assert shop in err
    assert cart in err
    code, out, err = typed(serving, "runbook", "stop", "INC-1", cart, "--why", "cart is well")
    assert code == 0, err
    assert "drain is running and finishes first; no further step starts" in out
    for service in ("shop", "cart"):
        (serving.folder / f"{service}.go").touch()
    until(lambda: "PlanStopped" in kinds(serving))
    until((serving.folder / "shop.started").exists)
    until(lambda: plans(serving)["shop"]["state"] == "verifying")
    assert plans(serving)["shop"]["hash"] == shop
    assert not (serving.folder / "cart.started").exists()
    stopped = [one for one in detail(serving)["timeline"] if one["event"] == "PlanStopped"]
    assert [one["plan"] for one in stopped] == [cart]


def shot(page: Page, name: str) -> None:
    """Keep a picture for whoever looks."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def test_the_web_ui_shows_each_plan_with_its_own_buttons(serving: Serving) -> None:
    """At a desk and on a phone; one is approved and stopped, the other refused with a reason."""
    shop, cart = both(serving)
    program = need("chromium")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGS)
        context = browser.new_context(viewport=DESK)
        context.request.post(f"{serving.url}/login", form={"token": serving.person})
        page = context.new_page()
        page.goto(serving.url)
        for size, name in ((DESK, "desk"), (PHONE, "phone")):
            page.set_viewport_size(size)
            for service, plan in (("shop", shop), ("cart", cart)):
                region = page.get_by_role("region", name=f"Plan for INC-1, {plan}")
                expect(region).to_contain_text(f"runbook restart-workers v1 for {service}")
                for word in ("Approve", "Refuse"):
                    expect(region.get_by_role("button", name=f"{word} the plan")).to_have_count(1)
                expect(region.get_by_role("button")).to_have_count(2)
            wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert wide == [size["width"]] * 2
            assert [box for box in boxes_of(page) if box["height"] < 44] == []
            shot(page, f"proposed-{name}")

        # The form of a browser cannot lack a reason; one that does changes nothing.
        own = {"Origin": serving.url}
        for word, form, says in (
            ("refuse", {"hash": shop, "why": " "}, "a reason is needed"),
            ("stop", {"hash": shop}, "a reason is needed"),
            ("approve", {"why": "all"}, "the form names no plan"),
            ("stop", {"why": "all"}, "the form names no plan"),
        ):
            path = f"{serving.url}/incidents/{detail(serving)['incident']['ref']}/{word}"
            answer = context.request.post(path, form=form, headers=own)
            assert (answer.status, says in answer.text()) == (422, True)
        assert {one["state"] for one in plans(serving).values()} == {"proposed"}

        # News while somebody types: the text, its place and the focus stay with the same plan.
        reason = page.get_by_label(f"Reason to refuse the plan for INC-1, {cart}")
        reason.fill("cart is well")
        serving.deliver(alert("Other", "docs", namespace="elsewhere"))
        expect(page.get_by_role("article", name="Other on docs")).to_be_visible()
        expect(reason).to_be_focused()
        expect(reason).to_have_value("cart is well")
        shot(page, "typing-phone")
        reason.press("Enter")
        page.wait_for_url(re.compile("#INC-1"))
        until(lambda: "PlanRefused" in kinds(serving))
        assert plans(serving)["shop"]["state"] == "proposed"
        said = next(m for m in detail(serving)["timeline"] if m["event"] == "PlanRefused")
        assert (said["plan"], "cart is well" in said["says"]) == (cart, True)

        page.get_by_role("button", name=f"Approve the plan for INC-1, {shop}").click()
        until((serving.folder / "shop.began").exists)
        mine = page.get_by_role("region", name=f"Plan for INC-1, {shop}")
        expect(mine).to_contain_text("Running")
        expect(mine.get_by_role("button")).to_have_count(1)
        for size, name in ((PHONE, "phone"), (DESK, "desk")):
            page.set_viewport_size(size)
            shot(page, f"running-{name}")
        mine.get_by_label("Reason to stop").fill("enough")
        mine.get_by_role("button", name=f"Stop the plan for INC-1, {shop}").click()
        page.wait_for_url(re.compile("#INC-1"))
        (serving.folder / "shop.go").touch()
        until(lambda: "PlanStopped" in kinds(serving))
        assert not (serving.folder / "shop.started").exists()
        assert not (serving.folder / "cart.began").exists()
        browser.close()
