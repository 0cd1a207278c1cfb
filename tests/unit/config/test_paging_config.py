"""What is wrong with who is paged, and with who calls whom: each with its file, line and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch import config

MAIN = """
pagers: {terminal: {type: terminal}}
people:
  ada: {pagers: [terminal]}
  ben: {pagers: [terminal]}
escalation: {steps: [{to: primary}]}
"""
PRIMARY = "time_zone: Europe/Berlin\npeople: [ada, ben]\nstarts: 2026-01-05T09:00\n"
LAYERS = """
layers:
  - {name: low, people: [ada], starts: 2026-01-05T09:00}
  - {name: high, people: [ben], starts: 2026-01-05T09:00}
"""
HOURS = '[{days: [mon], from: "09:00", to: "17:00"}]'
TOPOLOGY = "services: [{name: web}, {name: cart}]\nedges: [[web, cart]]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config in which nothing is wrong."""
    (tmp_path / "schedules").mkdir()
    (tmp_path / "midwatch.yaml").write_text(MAIN, "utf-8")
    (tmp_path / "schedules" / "primary.yaml").write_text(PRIMARY, "utf-8")
    (tmp_path / "topology.yaml").write_text(TOPOLOGY, "utf-8")
    return tmp_path


def told(folder: Path) -> list[str]:
    """Every error, each as one line."""
    return [str(error) for error in config.check(folder)[1]]


def test_nothing_is_told_of_what_is_right(folder: Path) -> None:
    """Or the others would prove nothing."""
    assert told(folder) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "  ben: {pagers: [terminal]}",
            "  ben: {email: ben@example.org}",
            "midwatch.yaml:5 people.ben: no pagers: a page to this person would reach nobody; add",
        ),
        (
            "ben: {pagers: [terminal]}",
            "ben: {pagers: [phone]}",
            "midwatch.yaml:5 people.ben.pagers[0]: unknown pager 'phone'; add it to",
        ),
        (
            "to: primary",
            "to: primry",
            "midwatch.yaml:6 escalation.steps[0].to: unknown person or schedule 'primry'",
        ),
        (
            "to: primary",
            "to: [ada, zed]",
            "midwatch.yaml:6 escalation.steps[0].to[1]: unknown person or schedule 'zed'",
        ),
        (
            "{steps:",
            "{last_resort: zed, steps:",
            "midwatch.yaml:6 escalation.last_resort: unknown person or schedule 'zed'",
        ),
        (
            "to: primary",
            "channel: room",
            "midwatch.yaml:6 escalation.steps[0].channel: unknown pager 'room'",
        ),
    ],
)
def test_a_slip_in_people_and_steps_is_told(folder: Path, old: str, new: str, says: str) -> None:
    """With its line; and nothing else is told."""
    file = folder / "midwatch.yaml"
    file.write_text(MAIN.replace(old, new), "utf-8")
    (error,) = told(folder)
    assert error.startswith(f"{folder}/{says}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            PRIMARY.replace("[ada, ben]", "[ada, bn]"),
            ":2 people[1]: unknown person 'bn'; did you mean ben?",
        ),
        (
            PRIMARY.replace("Berlin", "Berln"),
            ":1 time_zone: unknown time zone 'Europe/Berln'; write it like Europe/Berlin",
        ),
        (
            PRIMARY.replace("Europe/Berlin", "../../etc/passwd"),
            ":1 time_zone: unknown time zone '../../etc/passwd'; write it like",
        ),
        (
            PRIMARY.replace("2026-01-05T09:00", "monday"),
            ":3 starts: got 'monday'; write a local time such as 2026-01-05T09:00",
        ),
        (
            LAYERS,
            ":3 layers[0]: layer 'high' above it always has someone on call, so 'low' is never",
        ),
        (
            LAYERS.replace("T09:00}", f"T09:00, hours: {HOURS}}}"),
            ":3 layers[0]: layer 'high' above it always has someone on call",
        ),
    ],
)
def test_a_slip_in_a_schedule_is_told(folder: Path, text: str, says: str) -> None:
    """With its line; and nothing else is told."""
    (folder / "schedules" / "primary.yaml").write_text(text, "utf-8")
    (error,) = told(folder)
    assert error.startswith(f"{folder}/schedules/primary.yaml{says}")


def test_a_layer_with_hours_may_stand_above_another(folder: Path) -> None:
    """Whoever is below is on call at the other times."""
    head, _, tail = LAYERS.rpartition("}")
    text = f"{head}, hours: {HOURS}}}{tail}"
    (folder / "schedules" / "primary.yaml").write_text(text, "utf-8")
    assert told(folder) == []


def test_a_schedule_is_not_called_like_a_person(folder: Path) -> None:
    """Nobody could say who is meant."""
    (folder / "schedules" / "ada.yaml").write_text(PRIMARY, "utf-8")
    (error,) = told(folder)
    assert "the schedule has the name of the person 'ada'; rename the file" in error


def test_what_a_mesh_wrote_down_joins_the_calls_of_the_config(folder: Path) -> None:
    """topology.json beside topology.yaml: two calls of one path, out of two files."""
    before = config.load(folder).rules.topology
    assert before.hops("web", "db") is None
    (folder / "topology.json").write_text('{"edges": [["cart", "db"]]}', "utf-8")
    after = config.load(folder).rules.topology
    assert (after.hops("web", "cart"), after.hops("web", "db")) == (1, 2)
    (folder / "topology.yaml").unlink()
    assert config.load(folder).rules.topology.hops("cart", "db") == 1


NO_EDGES = ["", "[]", "{}", '{"edges": [["a"]]}', '{"edges": 7}', "\xff", "[" * 99]


@pytest.mark.parametrize("text", NO_EDGES)
def test_a_file_of_a_mesh_that_is_none_is_told(folder: Path, text: str) -> None:
    """With how it is written."""
    (folder / "topology.json").write_bytes(text.encode("latin-1"))
    (error,) = told(folder)
    assert error.startswith(f"{folder}/topology.json: not a list of edges: ")
    assert error.endswith('; write {"edges": [["caller", "callee"]]}')
