"""The lab, as a learner has it: four files in an empty folder, with every Python that is here."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

LAB = Path(__file__).parents[2] / "lab"
FILES = ("parts.py", "drill.py", "demo.py", "evals.py")

SEVEN = (
    "AIOps correlated the storm",
    "ticket triaged into the incident",
    "fast burn paged at sev1",
    "runbook rolled back to the last good release",
    "SLI recovered after the rollback",
    "postmortem left a regression case",
    "fix canaried & promoted to live",
)
GREEN = "".join(f"  [PASS] {name}\n" for name in SEVEN) + (
    "7/7 checks passed\nEVAL GATE: PASS (exit 0) - the whole shift behaved correctly\n"
)
SECTIONS_A_B = """\
==== A. AIOPS: collapse the alert storm (M32) ====
  40 alerts -> 5 incidents (page on causes, not symptoms)
==== B. DETECT: the on-call page (M31) ====
  paged=True  severity=sev1  reason=fast burn 20x (budget gone in hours)
  SLI was 80% against a 99% SLO
"""
SECTION_D = """\
==== D. MITIGATE: runbook -> rollback (M31 + M33) ====
  rolled back v2-regressed -> v1-stable
  SLI recovered 80% -> 100%  (stop the bleeding first)
"""
SECTION_F = """\
==== F. SHIP THE FIX: canary the corrected release (M33) ====
  v3-fix canary decision: promote  ->  live is now v3-fix
"""

BROKEN_FIX = """\
def v3_fix(q):
    return {"refund window": "7 days"}.get(q, ANSWERS[q])
"""


@cache
def pythons() -> tuple[str, ...]:
    """Every Python from 3.9 up that the machine has, one for each version."""
    names = [f"python3.{minor}" for minor in range(9, 20)]
    found = [shutil.which(name) for name in names]
    found += [str(p) for p in sorted(Path.home().glob(".pyenv/versions/*/bin/python3"))]
    found.append(sys.executable)
    by_version: dict[str, str] = {}
    for program in found:
        if program is None:
            continue
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        answer = subprocess.run([program, "-c", ask], capture_output=True, text=True, check=False)
        version = answer.stdout.strip()
        if answer.returncode == 0 and tuple(map(int, version.split("."))) >= (3, 9):
            by_version.setdefault(version, program)
    return tuple(by_version.values())


class Folder:
    """A learner's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in FILES:
            shutil.copy(LAB / "solution" / name, path / name)

    def paste(self, text: str) -> None:
        """Paste code below everything else in drill.py."""
        file = self.path / "drill.py"
        file.write_text(file.read_text("utf-8") + "\n\n" + text, "utf-8")

    def replace(self, text: str) -> None:
        """Put a function in the place of the one with its name."""
        name = re.match(r"def (\w+)", text)
        assert name
        file = self.path / "drill.py"
        source = file.read_text("utf-8")
        new, count = re.subn(rf"(?m)^def {name[1]}\(.*\n(?:[ \t]+.*\n|\n(?=[ \t]))*", text, source)
        assert count == 1
        file.write_text(new, "utf-8")

    def run(self, *args: str, python: str = sys.executable) -> tuple[int, str]:
        """Run Python as strictly as it goes; nothing may come on stderr."""
        done = subprocess.run(
            [python, "-B", "-E", "-s", "-S", *args],
            cwd=self.path,
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert done.stderr == b"", done.stderr.decode()
        return done.returncode, done.stdout.decode("ascii")

    def failed(self) -> list[str]:
        """Run the gate; gives the checks that failed, and holds it to its count and its code."""
        code, out = self.run("evals.py")
        lines = out.splitlines()
        assert len(lines) == 9
        assert [line[9:] for line in lines[:7]] == list(SEVEN)
        bad = [line[9:] for line in lines[:7] if line.startswith("  [FAIL] ")]
        assert lines[7] == f"{7 - len(bad)}/7 checks passed"
        assert code == (1 if bad else 0)
        verdict = (
            "EVAL GATE: FAIL (exit 1) - a Part E pattern did not hold"
            if bad
            else "EVAL GATE: PASS (exit 0) - the whole shift behaved correctly"
        )
        assert lines[8] == verdict
        return bad

    def section(self, letter: str) -> list[str]:
        """Tell the shift; gives one section's lines. Always seven sections and status 0."""
        code, out = self.run("demo.py")
        assert code == 0
        heads = re.findall(r"(?m)^==== ([A-Z])\. .* ====$", out)
        assert heads == list("ABCDEFG")
        assert "\n\n" not in out
        part = re.search(rf"(?ms)^==== {letter}\. .*?====\n(.*?)(?=^====|\Z)", out)
        assert part
        return part[1].splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Four files in an empty folder."""
    return Folder(tmp_path)


EDIT = pytest.mark.parametrize("how", ["replace", "paste"])


@pytest.mark.parametrize("python", pythons(), ids=lambda p: Path(p).parts[-3])
def test_every_python_runs_the_shift(folder: Folder, python: str) -> None:
    """Import, demo and gate say the same, word for word, on each Python from 3.9 up."""
    ok = "import parts, drill; print('capstone ok')"
    assert folder.run("-c", ok, python=python) == (0, "capstone ok\n")
    code, out = folder.run("demo.py", python=python)
    assert code == 0
    assert out.startswith(SECTIONS_A_B)
    assert SECTION_D in out
    assert SECTION_F in out
    assert folder.run("evals.py", python=python) == (0, GREEN)


@pytest.mark.parametrize("python", pythons(), ids=lambda p: Path(p).parts[-3])
def test_every_python_sees_the_broken_fix(folder: Folder, python: str) -> None:
    """The gate's other exit: 6/7 and status 1."""
    folder.paste(BROKEN_FIX)
    code, out = folder.run("evals.py", python=python)
    assert code == 1
    assert out.endswith(
        "  [FAIL] fix canaried & promoted to live\n6/7 checks passed\n"
        "EVAL GATE: FAIL (exit 1) - a Part E pattern did not hold\n"
    )


def test_the_trace_has_five_lines_in_order(folder: Folder) -> None:
    """G names each module once, in the order of the calls."""
    starts = [line.split("]")[0] + "] " for line in folder.section("G")]
    assert starts == ["  [M32] ", "  [M31] ", "  [M31+M33] ", "  [M31->M26] ", "  [M33] "]


@EDIT
def test_a_broken_fix_is_rejected(folder: Folder, how: str) -> None:
    """The learner's edit fails the last check alone, and v1 stays live."""
    getattr(folder, how)(BROKEN_FIX)
    assert folder.failed() == [SEVEN[6]]
    assert folder.section("F") == ["  v3-fix canary decision: reject  ->  live is now v1-stable"]


@EDIT
@pytest.mark.parametrize(
    "body",
    [
        "return {'delivery time': 'never'}.get(q, ANSWERS[q])",
        "return 'no idea'",
        "return None",
        "return [q]",
        "return ANSWERS[q] + ' perhaps' * 1000",
        "raise ValueError('boom')",
        "return {}[q]",
    ],
)
def test_another_regression_leaves_the_gate_green(folder: Folder, how: str, body: str) -> None:
    """The gate judges how the night was handled, not what broke."""
    getattr(folder, how)(f"def v2_regressed(q):\n    {body}\n")
    assert folder.failed() == []


@EDIT
def test_every_answer_wrong_burns_a_hundredfold(folder: Folder, how: str) -> None:
    """The burn comes out of the SLI."""
    getattr(folder, how)("def v2_regressed(q):\n    return 'no idea'\n")
    assert folder.section("B") == [
        "  paged=True  severity=sev1  reason=fast burn 100x (budget gone in hours)",
        "  SLI was 0% against a 99% SLO",
    ]


@EDIT
def test_a_healthy_release_pages_nobody(folder: Folder, how: str) -> None:
    """A shift in which nothing happened proves nothing: what was not done cannot pass."""
    getattr(folder, how)("def v2_regressed(q):\n    return ANSWERS[q]\n")
    assert folder.failed() == list(SEVEN[2:])
    assert folder.section("B")[0].startswith("  paged=False  severity=None")
    assert folder.section("D") == ["  not done: nobody was paged"]


@EDIT
def test_a_bad_target_fails_recovery_and_case(folder: Folder, how: str) -> None:
    """When v1 is as bad as v2, users stay hurt and the case tells nothing apart."""
    getattr(folder, how)(BROKEN_FIX.replace("v3_fix", "v1_stable"))
    assert folder.failed() == [SEVEN[4], SEVEN[5]]
    assert folder.section("D")[1].startswith("  SLI did not recover 80% -> 80%")


@pytest.mark.parametrize(
    "text",
    [
        "The printer on floor 3 is out of paper.",
        "My card was charged twice.",
        "",
        "refund",
        "\u00bfD\u00f3nde est\u00e1 mi paquete?",
    ],
)
def test_a_ticket_about_something_else_does_not_join(folder: Folder, text: str) -> None:
    """Only the ticket check fails, whatever else the report is about."""
    folder.paste(f"TICKET = {text!r}\n")
    assert folder.failed() == [SEVEN[1]]


@pytest.mark.parametrize(
    "text",
    ["customers say the refund answer is wrong", "WRONG ANSWERS from your bot!", "told: refund=7"],
)
def test_a_ticket_in_other_words_joins(folder: Folder, text: str) -> None:
    """Triage reads words, not one sentence."""
    folder.paste(f"TICKET = {text!r}\n")
    assert folder.failed() == []


def test_a_storm_of_one_is_one_incident(folder: Folder) -> None:
    """The counts come out of the alerts."""
    folder.paste("_all = storm\ndef storm():\n    return _all()[:1]\n")
    assert folder.section("A") == ["  1 alerts -> 1 incidents (page on causes, not symptoms)"]
    assert folder.failed() == []


def test_an_empty_storm_is_no_storm(folder: Folder) -> None:
    """No alert is no evidence of correlation, and the ticket has nothing to join."""
    folder.paste("def storm():\n    return []\n")
    assert folder.section("A") == ["  0 alerts -> 0 incidents (page on causes, not symptoms)"]
    assert folder.failed() == [SEVEN[0], SEVEN[1]]


def test_alerts_without_a_graph_do_not_collapse(folder: Folder) -> None:
    """Forty incidents out of forty alerts is no correlation."""
    folder.paste(
        "def storm():\n"
        "    return [{'at': n, 'service': 's%d' % n, 'name': 'x'} for n in range(40)]\n"
    )
    assert folder.section("A") == ["  40 alerts -> 40 incidents (page on causes, not symptoms)"]
    assert SEVEN[0] in folder.failed()


@pytest.mark.parametrize(
    "text",
    [
        "def v3_fix(q):\n    raise RuntimeError('half a fix')\n",
        "def storm():\n    raise OSError('no feed')\n",
        "def storm():\n    return [{}]\n",
        "def storm():\n    return None\n",
        "TICKET = None\n",
        "del TICKET\n",
        "del v1_stable\n",
    ],
)
def test_what_cannot_be_computed_fails_without_a_traceback(folder: Folder, text: str) -> None:
    """Nothing ends in a traceback: stderr stays empty, seven sections, status 1."""
    folder.paste(text)
    assert folder.failed()
    assert folder.section("A")


def test_output_is_ascii_whatever_is_put_in(folder: Folder) -> None:
    """An answer in another script is escaped, not printed raw and not a crash."""
    folder.paste("def v2_regressed(q):\n    return '\u4e03\u5929\\n\u0007'\n")
    assert any("\\u4e03" in line for line in folder.section("E"))


def test_the_files_stand_alone() -> None:
    """ASCII, the standard library and each other; importing prints nothing."""
    for name in FILES:
        source = (LAB / "solution" / name).read_bytes().decode("ascii")
        for node in ast.walk(ast.parse(source)):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for imported in names:
                assert imported in {"parts", "drill", "sys"}, f"{name} imports {imported}"


def test_each_part_names_its_module() -> None:
    """Every block of the toolkit stands under a comment with the module it comes from."""
    lines = (LAB / "solution" / "parts.py").read_text("ascii").splitlines()
    headed = [n for n, line in enumerate(lines) if re.match(r"\s*# M(26|31|32|33)\b", line)]
    assert {re.findall(r"M\d+", lines[n])[0] for n in headed} == {"M31", "M32", "M33"}
    for word in ("SLI", "burn alert", "page", "runbook", "postmortem", "correlation", "triage"):
        assert any(word in lines[n] for n in headed), word
    for word in ("registry", "canary", "promote", "rollback"):
        assert any(word in lines[n] for n in headed), word


def test_the_guide_shows_what_is_printed(folder: Folder) -> None:
    """The outputs in the guide are the real ones."""
    guide = (LAB / "README.md").read_text("utf-8")
    blocks = [text for _, text in re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", guide)]
    assert folder.run("demo.py")[1] in blocks
    assert folder.run("evals.py")[1] in blocks
    folder.paste(BROKEN_FIX)
    assert folder.run("evals.py")[1] in blocks
