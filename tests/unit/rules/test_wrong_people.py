"""Config that looks safe and reaches the wrong people, or nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.acceptance.serving import midwatch
from tests.unit.rules.test_news import BEGIN, TEAM, alert, deliver, rules
from tests.unit.shifts import Shift

from midwatch import config
from midwatch.core.state import inputs
from midwatch.core.values.clock import SECOND
from midwatch.core.values.schedules import DAY_MIN, simple
from midwatch.errors import StateError

CONFIG = "sources: {am: {type: alertmanager}}\nescalation: {steps: [{to: primary}]}\n"
ROTA = "time_zone: UTC\npeople: [ada, ben]\nstarts: 2026-01-05T09:00\n"


def written(folder: Path, **files: str) -> Path:
    """A config directory; `__` in a name is a folder's end."""
    for name, text in {"midwatch.yaml": CONFIG, "schedules__primary.yaml": ROTA, **files}.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return folder


def errors(folder: Path) -> list[str]:
    """What check finds."""
    return [str(one) for one in config.check(folder)[1]]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("schedule__primary.yaml", "did you mean schedules?"),
        ("schedules__backup.yml", "rename it to *.yaml"),
        ("runbooks__disk.txt", "rename it to *.md"),
        ("midwatch.yml", "did you mean midwatch.yaml?"),
        ("extra.yaml", "midwatch reads midwatch.yaml"),
        ("teams__all.yaml", "midwatch reads schedules"),
    ],
)
def test_what_nothing_reads_is_an_error(tmp_path: Path, name: str, hint: str) -> None:
    """It was written by somebody who believes that it holds."""
    (found,) = errors(written(tmp_path, **{name: ROTA}))
    assert "midwatch does not read this path" in found
    assert hint in found


def test_what_is_no_config_may_lie_there(tmp_path: Path) -> None:
    """A journal and what stands beside it, keys, notes, data, what is hidden."""
    others = (
        "midwatch.db",
        "midwatch.db-wal",
        "ca.pem",
        "README.md",
        ".git__config",
        "data__a.jsonl",
    )
    assert errors(written(tmp_path, **dict.fromkeys(others, "x"))) == []


def test_a_service_without_a_tier_pages_and_one_of_tier_3_is_told(tmp_path: Path) -> None:
    """Listed or not, it has tier 2; check names what pages nobody, and why."""
    services = "services:\n  - {name: shop}\n  - {name: docs, tier: 3}\n"
    folder = written(tmp_path, **{"topology.yaml": services})
    topology = config.load(folder).rules.topology
    assert [topology.tier(name) for name in ("shop", "unlisted", "docs")] == [2, 2, 3]
    done = midwatch("check", str(folder))
    assert done.returncode == 0
    assert "critical alerts of docs page nobody: tier 3 makes them sev3" in done.stderr
    assert "shop page nobody" not in done.stderr


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        ('alertname=~".*DataLoss"', 1),
        ("[service=cart, alertname=LedgerDataLoss]", 2),
    ],
)
def test_what_always_pages_is_read(tmp_path: Path, entry: str, fits: int) -> None:
    """A matcher, or several that have to fit together."""
    folder = written(tmp_path, **{"midwatch.yaml": f"{CONFIG}always_page:\n  - {entry}\n"})
    (always,) = config.load(folder).rules.always_page
    assert len(always) == fits
    wrong = written(tmp_path, **{"midwatch.yaml": f"{CONFIG}always_page: ['nothing']\n"})
    assert any("always_page" in one for one in errors(wrong))


@pytest.mark.parametrize("people", [True, False])
def test_a_name_that_is_nobody_is_refused(people: bool) -> None:
    """An override and a reassignment, with people in the config and without."""
    rota = simple("primary", ("ada", "ben"), "UTC", "1970-01-01T00:00", DAY_MIN)
    team = replace(TEAM, schedules={"primary": rota}, people=TEAM.people if people else {})
    known = rules()
    policy = replace(known.policy, team=team)
    on = Shift(replace(known, policy=policy, policies={"p": policy}))
    deliver(on, BEGIN, alert("db", BEGIN))
    end = (BEGIN + 9_000) * SECOND
    for given in (
        inputs.AddOverride("primary", "adda", BEGIN * SECOND, end, "ada"),
        inputs.Reassign("INC-1", "adda", "ada"),
    ):
        with pytest.raises(StateError, match="unknown person 'adda'"):
            on.give(given, BEGIN + 10)
    on.give(inputs.AddOverride("primary", "ben", BEGIN * SECOND, end, "ada"), BEGIN + 20)
    on.give(inputs.Reassign("INC-1", "primary", "ada"), BEGIN + 30)
    assert on.incident().pages[-1].to == "ben"


def test_a_swap_takes_the_shifts_that_it_names() -> None:
    """Not the turn before it, though that is the same person's."""
    rota = simple("primary", ("ada", "ada", "ben", "cyd"), "UTC", "1970-01-01T00:00", DAY_MIN)
    known = rules()
    policy = replace(known.policy, team=replace(TEAM, schedules={"primary": rota}))
    on = Shift(replace(known, policy=policy, policies={"p": policy}))
    day = 86_400
    noon = [(n * day + day // 2) * SECOND for n in range(4)]
    on.give(inputs.SwapShifts("primary", noon[1], noon[2], "ada"), 100)
    overrides = on.shard.overrides["primary"]
    assert [rota.on_call(at, overrides) for at in noon] == ["ada", "ben", "ada", "cyd"]
