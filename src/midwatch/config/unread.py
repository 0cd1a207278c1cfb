"""Files and folders of a config directory that nothing reads.

Law: config that is silently not read is an error: who wrote `schedule/` or `primary.yml` believes
that it holds. What is no config by its looks (a journal, a key, a README, a folder of data, what is
hidden) may lie there.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from midwatch.yaml_nodes import Problems

FILES = ("midwatch.yaml", "topology.yaml", "topology.json")
FOLDERS = {
    "schedules": (".yaml",),
    "slos": (".yaml", ".yml"),
    "runbooks": (".md",),
    "suites": (),  # of any known format
}
LIKE_CONFIG = (".yaml", ".yml", ".json", ".toml")


def find_unread(folder: Path, problems: Problems) -> None:
    """Note every file and folder that looks like config and is not read."""
    for one in sorted(folder.iterdir()):
        if _is_apart(one):
            continue
        if one.is_dir():
            if one.name not in FOLDERS and _looks_like_config(one):
                _unread(one, f"{one}/", tuple(FOLDERS), problems)
            elif endings := FOLDERS.get(one.name):
                _look_into(one, endings, problems)
        elif one.suffix in LIKE_CONFIG and one.name not in FILES:
            _unread(one, str(one), FILES, problems)


def _looks_like_config(folder: Path) -> bool:
    """Say whether somebody may take a folder for one of those that are read."""
    if difflib.get_close_matches(folder.name.lower(), FOLDERS, 1):
        return True
    return any(one.suffix in (".yaml", ".yml", ".md") for one in folder.iterdir())


def _look_into(folder: Path, endings: tuple[str, ...], problems: Problems) -> None:
    for one in sorted(folder.iterdir()):
        if not _is_apart(one) and (one.suffix not in endings or one.is_dir()):
            wanted = " or ".join(f"*{ending}" for ending in endings)
            problems.add(
                str(one),
                "midwatch does not read this path",
                f"rename it to {wanted}, or move it elsewhere",
            )


def _is_apart(one: Path) -> bool:
    return one.name.startswith((".", "README", "lost+found"))


def _unread(one: Path, place: str, known: tuple[str, ...], problems: Problems) -> None:
    near = difflib.get_close_matches(one.name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"midwatch reads {', '.join(known)}"
    problems.add(
        place,
        "midwatch does not read this path",
        f"{hint} Otherwise move it out of this directory" if near else hint,
    )
