"""Eval cases out of the folder suites, in any known format.

Law: a service has one file, and a case its own id.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from midwatch.adapters.suites import files as suite_files
from midwatch.core.values.evals import Case, Suite
from midwatch.errors import BadFile
from midwatch.yaml_nodes import Problems

_decode_case = msgspec.json.Decoder(Case).decode
SUITE_ENDS = (".jsonl", ".yaml", ".yml", ".json", ".csv")


def read_suites(folder: Path, problems: Problems) -> dict[str, Suite]:
    """Read the suites, each named after its service."""
    found: dict[str, Suite] = {}
    for file in sorted((folder / "suites").glob("*")):
        if file.suffix not in SUITE_ENDS:
            continue
        if file.stem in found:
            name = str(file)
            problems.add(name, f"{file.stem} two suite files exist", "keep one file per service")
        read = read_cases if file.suffix == ".jsonl" else _read_suite
        found[file.stem] = Suite(file.stem, file.stem, read(file, problems))
    return found


def _read_suite(file: Path, problems: Problems) -> tuple[Case, ...]:
    """Read a suite of any known format."""
    try:
        return tuple(suite_files.read(file))
    except BadFile as error:
        problems.add(error.place, error.message, error.remedy)
        return ()


def read_cases(file: Path, problems: Problems) -> tuple[Case, ...]:
    """Read eval cases, one JSON object a line; ids stand once."""
    name = str(file)
    cases: dict[str, Case] = {}
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        problems.add(name, f"cannot be read: {error.strerror}", "make it readable")
        return ()
    remedy = 'write {"id": "...", "question": "...", "expect": "..."}'
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case = _decode_case(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            problems.add(f"{name}:{number}", f"not a valid case: {error}", remedy)
            continue
        if case.id in cases:
            remedy_id = "give each case its own id"
            problems.add(f"{name}:{number} id", f"{case.id!r} is defined twice", remedy_id)
        cases[case.id] = case
    return tuple(cases.values())
