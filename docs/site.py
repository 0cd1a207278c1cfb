"""What MkDocs needs besides the pages: those made out of the program, and those outside of docs/.

Law: a page exists once. A file elsewhere in the project has its own address in the site, and
a link to a file that is no page is shown as the file's name.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from posixpath import dirname, normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import reference  # type: ignore[import-not-found]  # it stands beside this file

ROOT = Path(__file__).parents[1]
ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "lab/README.md": "lab.md",
}
LINK = re.compile(r"(\[[^\]]*\])\(([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add what is not in docs/."""
    for name, page in ELSEWHERE.items():
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, page, content=relinked(text, name)))
    for page, write in reference.PAGES.items():
        files.append(File.generated(config, page, content=write()))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn links to what is outside of docs/ into links of the site."""
    if page.file.src_uri in (*reference.PAGES, *ELSEWHERE.values()):
        return markdown
    return relinked(markdown, f"docs/{page.file.src_uri}")


def relinked(text: str, name: str) -> str:
    """Give the text of a file of the project with its links as they are in the site."""
    own = ELSEWHERE.get(name, name.removeprefix("docs/"))

    def one(found: re.Match[str]) -> str:
        shown, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        there = normpath(f"{dirname(name)}/{target}" if dirname(name) else target)
        if there in ELSEWHERE:
            page = ELSEWHERE[there]
        elif there.startswith("docs/") and there.endswith((".md", ".json")):
            page = there.removeprefix("docs/")
        else:
            return f"{shown[1:-1]} (`{there}`)" if f"`{there}`" != shown[1:-1] else shown[1:-1]
        return f"{shown}({relpath(page, dirname(own) or '.')}{anchor})"

    return LINK.sub(one, text)
