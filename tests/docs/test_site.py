"""The site: it is built without a warning, and no link in it leads nowhere.

Law: what is checked is what a reader gets: the built pages, their anchors, and what they fetch.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from midwatch.core.state import effects, events
from midwatch.web.routes import ROUTES

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """Collects where a page leads to, what it fetches, and its own anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found.get("id", ""), found.get("name", "")}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("script", "img", "iframe"):
            self.fetched.append(found.get("src", ""))
        elif tag == "link" and found.get("rel") in ("stylesheet", "icon", "preconnect"):
            self.fetched.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Build it as `make docs` does, and read every page."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [str(Path(sys.executable).with_name("mkdocs")), "build", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert not done.returncode, done.stderr
    assert "WARNING" not in done.stderr
    pages = {file: Page(file.read_text("utf-8")) for file in folder.rglob("*.html")}
    assert len(pages) > 40
    return pages


def test_every_link_leads_somewhere(site: dict[Path, Page]) -> None:
    """To a file of the site, and to an anchor that is there."""
    wrong: list[str] = []
    for file, page in site.items():
        if file.name == "404.html":  # its links are of an address that nobody knows
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            there = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            there = there / "index.html" if there.is_dir() else there
            lost = not there.is_file()
            lost = lost or (there in site and parts.fragment not in {"", *site[there].anchors})
            if lost:
                wrong.append(f"{file.name}: {link}")
    assert wrong == []


def test_every_link_leads_somewhere_in_the_checkout_too() -> None:
    """Who reads the pages as files, as a code host shows them, gets to the same places."""
    wrong: list[str] = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "lab" / "README.md"]:
        text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
            if "://" not in link and not (page.parent / link).exists():
                wrong.append(f"{page.name}: {link}")
    assert wrong == []


def test_nothing_is_fetched_from_elsewhere(site: dict[Path, Page]) -> None:
    """Neither fonts nor scripts: the site works without a network."""
    fetched = [one for page in site.values() for one in page.fetched if "//" in one]
    assert fetched == []


def test_the_reference_is_whole(site: dict[Path, Page]) -> None:
    """Each command, route, event, effect and state has its place there."""
    texts = {
        file.stem: re.sub(r"<[^>]+>", "", file.read_text("utf-8"))
        for file in site
        if file.parent.name == "reference"
    }
    for words in ("midwatch release canary start", "midwatch db prune", "midwatch init"):
        assert f"Usage: {words}" in texts["cli"]
    for route in ROUTES:
        assert f"{route.method} {route.path}" in texts["http"]
    for kind in (events.PageSent, events.RecoveryJudged, effects.SetRelease):
        assert kind.__name__ in texts["events"]
    assert "IncidentClosed" in texts["states"]
    assert "judge_burn" in texts["python"]
