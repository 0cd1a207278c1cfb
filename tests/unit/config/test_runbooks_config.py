"""What is wrong in runbooks, actions and policies, each with its file, its line and a remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from midwatch import config
from midwatch.cli import main
from midwatch.config.runbooks import hasty, lint

TEMPLATE = Path(main.__file__).parent / "template"
BOOK = """---
id: purge
match: {slo: shop/availability}
params:
  topic: {pattern: "[a-z]{1,9}"}
steps:
  - id: purge
    action: cache.purge
    with: {topic: "{topic}"}
    risk: reversible
verify: {slo: shop/availability, window: 5m}
---
# Purge the cache

## Meaning
## Impact
## Diagnosis
## Mitigation
"""
GIVEN = BOOK[BOOK.index("  topic: {p") : BOOK.index("    risk")]
NOT_GIVEN = """  x: {pattern: a}
steps:
  - id: purge
    action: cache.purge
"""
ROLLS_TWICE = """steps:
  - {id: a, action: release.rollback}
  - {id: b, action: release.rollback}
"""
ROLLS = """---
id: r
match: {slo: shop/availability}
steps: [{id: a, action: release.rollback}]
---
"""
ACTIONS = """
actions:
  cache.purge:
    apply: {http: {url: "http://cache/purge", method: POST, body: {topic: "{topic}"}}}
    observe: {http: {url: "http://cache/state", expect: {cached: 0}}}
    within: 20s
"""


def written(folder: Path, book: str = BOOK, more: str = ACTIONS) -> Path:
    """A config with this runbook, and with this at the end of midwatch.yaml."""
    shutil.copytree(TEMPLATE, folder / "midwatch")
    (folder / "midwatch" / "runbooks" / "rollback.md").unlink()
    (folder / "midwatch" / "runbooks" / "book.md").write_text(book, "utf-8")
    with (folder / "midwatch" / "midwatch.yaml").open("a") as main:
        main.write(more)
    return folder / "midwatch"


def wrong(folder: Path) -> list[str]:
    """The errors, a line each."""
    return [str(one) for one in config.check(folder)[1]]


def test_a_runbook_is_read_whole(tmp_path: Path) -> None:
    """With its action, its values, its proof and its text."""
    books = config.load(written(tmp_path)).rules.books
    (book,) = (one for one in books.runbooks if one.id == "purge")
    assert book.steps[0].given == {"topic": "{topic}"}
    assert book.title == "Purge the cache"
    assert books.actions["cache.purge"].places == {"topic"}
    assert lint(books, ["shop/availability"]) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("id: purge\nmatch", "id: Purge it\nmatch", "book.md:2 id: got 'Purge it'; use a-z"),
        ("{slo: shop/availability}\npar", "{}\npar", "book.md:3 match: nothing to match"),
        ("{slo: shop/availability}\npar", "{slo: shop/avail}\npar", "unknown objective"),
        ("{slo: shop/availability}\npar", "{cause: shopp}\npar", "unknown service 'shopp'"),
        ("{slo: shop/availability}\npar", "{labels: ['x']}\npar", "'x' is not a matcher"),
        ("{slo: shop/availability}\npar", "{labels: ['x=']}\npar", "an alert without labels"),
        ('"[a-z]{1,9}"', '"[a-z"', "params.topic.pattern: not a valid pattern"),
        ('pattern: "[a-z]{1,9}"', 'pattern: "[a-z]", default: UP', "does not match [a-z]"),
        ("  topic: {p", "  service: {p", "params.service: midwatch reserves this name"),
        ("cache.purge\n", "rm -rf\n", "steps[0].action: got 'rm -rf'; write one of"),
        (
            "risk: reversible",
            "risk: none",
            "got 'none'; write one of read, reversible, destructive",
        ),
        ('topic: "{topic}"', 'topic: "{subject}"', "unknown parameter {subject}"),
        ('with: {topic: "{topic}"}', "with: {to: x}", "not an argument of cache.purge"),
        ("params:\n  topic", "params:\n  other", "unknown parameter {topic}"),
        (GIVEN, NOT_GIVEN, "topic is missing; cache.purge needs it"),
        ("window: 5m", "windov: 5m", "windov"),
        ("verify: {slo: shop/availability", "verify: {slo: shop/x", "differs from match"),
        ("risk: reversible", "risk: reversible\n    approval: {role: king}", "got 'king'"),
        (
            "risk: reversible",
            "risk: reversible\n    observe: {command: [x]}",
            "not a key of cache.purge",
        ),
        ("steps:\n", "resolves: maybe\nsteps:\n", "resolves: got 'maybe'; write true or false"),
        (
            "steps:\n",
            "resolves: true\nsteps:\n  - {id: back, action: release.rollback}\n",
            "a rollback does not resolve an incident",
        ),
        (
            "steps:\n",
            "steps:\n  - {id: purge, action: wait, with: {for: 1m}}\n",
            "a second step has the id 'purge'",
        ),
        ("steps:\n", ROLLS_TWICE, "the runbook rolls back twice"),
        (
            "steps:\n",
            "steps:\n  - {id: a, action: release.rollback, risk: read}\n",
            "the risk of a rollback is destructive",
        ),
        (
            "steps:\n",
            "steps:\n  - {id: a, action: release.rollback, with: {service: db}}\n",
            "must be {service}; act on the service of the incident only",
        ),
        (
            "steps:\n",
            "steps:\n  - {id: a, action: command.run, with: {command: ['{topic}']}}\n",
            "a parameter must not choose the program",
        ),
        (
            "steps:\n",
            "steps:\n  - {id: a, action: http.request, with: {url: 'ftp://x'}}\n",
            "not an http or https URL",
        ),
        ("---\nid", "--\nid", "book.md:1: the front matter is missing"),
        (
            "risk: reversible",
            "risk: reversible\n    within: 5s",
            "not a key of cache.purge; write it in",
        ),
        ("risk: reversible", "risk: reversible\n    idempotent: true", "write it in the action"),
        ("risk: reversible", "risk: reversible\n    output: all", "'all'; write one of drop, keep"),
        (
            "steps:\n",
            "steps:\n  - {id: a, action: wait, with: {for: 1m}, output: keep}\n",
            "not a key of wait; remove it: only commands have output",
        ),
        (
            "steps:\n",
            "steps:\n  - {id: a, action: command.run, with: {command: [x]}, within: 5s}\n",
            "within needs observe; add observe",
        ),
        (
            "steps:\n",
            "steps:\n  - {id: a, action: command.run, with: {command: [x]}, idempotent: often}\n",
            "idempotent: got 'often'; write true or false",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, says: str, tmp_path: Path) -> None:
    """Before anything burns."""
    assert old in BOOK
    found = wrong(written(tmp_path, BOOK.replace(old, new, 1)))
    assert any(says in one for one in found), found
    assert all("/runbooks/book.md:" in one for one in found)


def test_a_place_inside_a_longer_text_is_an_error(tmp_path: Path) -> None:
    """It would stay as it is written: in a step, and in a named action; other braces may stand."""
    deed = 'with: {url: "http://ops/{topic}/purge", method: POST, body: {note: "a {b} {c"}}'
    step = f"  - id: purge\n    action: http.request\n    {deed}\n"
    old = BOOK[BOOK.index("  - id: purge\n") : BOOK.index("    risk")]
    found = wrong(written(tmp_path / "step", BOOK.replace(old, step)))
    says = "{topic} inside a longer text is not replaced; make {topic} an argument"
    assert [one for one in found if says in one], found
    assert not [one for one in found if "{b}" in one]
    action = ACTIONS.replace("http://cache/purge", "http://cache/{service}/purge")
    found = wrong(written(tmp_path / "action", more=action))
    assert [one for one in found if "{service} inside a longer text is not replaced" in one], found


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            "\nactions: {purge: {apply: {command: [x]}, observe: {command: [x]}}}\n",
            "not a valid action name",
        ),
        ("\nactions: {wait.x: {apply: {command: [x]}}}\n", "actions.wait.x: observe is missing"),
        (
            "\nactions: {command.run: {apply: {command: [x]}, observe: {command: [x]}}}\n",
            "a built-in action has this name",
        ),
        ("\nactions: {a.b: {apply: {command: []}, observe: {command: [x]}}}\n", "not a command"),
        (
            "\nactions: {a.b: {apply: {}, observe: {command: [x]}}}\n",
            "either http or command is needed",
        ),
        (
            (
                "\nactions: {a.b: {apply: {http: {url: 'http://x', body: 3}},"
                " observe: {command: [x]}}}\n"
            ),
            "got 3; write a mapping",
        ),
    ],
)
def test_an_action_says_how_it_is_done_and_seen(more: str, says: str, tmp_path: Path) -> None:
    """Both, by a request or a command."""
    found = wrong(written(tmp_path, ROLLS, more))
    assert any(says in one for one in found), found


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("{severities: [sev1]}", "services is missing"),
        ("{services: [shopp], severities: [sev1]}", "unknown service 'shopp'"),
        ("{services: [shop], severities: [sev9]}", "got 'sev9'"),
        ("{services: [shop], severities: [sev1], risks: [all]}", "got 'all'"),
        ("{services: [shop], severities: [sev1], runbooks: [none]}", "unknown runbook 'none'"),
        (
            "{services: [shop], severities: [sev1], at_most: often}",
            "got 'often'; write it like 2/1d",
        ),
        ("{services: [shop], severities: [sev1], time_zone: Mars/X}", "unknown time zone"),
    ],
)
def test_a_policy_names_what_it_lets_run(policy: str, says: str, tmp_path: Path) -> None:
    """And nothing that is not there."""
    more = f"{ACTIONS}\nautomation: {{policies: {{nights: {policy}}}}}\n"
    found = wrong(written(tmp_path, more=more))
    assert any(says in one for one in found), found


def test_what_is_weak_is_said_too(tmp_path: Path) -> None:
    """By lint: no eye on a step, a value for nothing, a deadline that is over before it begins."""
    weak = (
        BOOK.replace(
            "steps:\n", "steps:\n  - {id: run, action: command.run, with: {command: [x]}}\n"
        )
        .replace("  topic: {p", "  more: {pattern: x}\n  topic: {p")
        .replace("window: 5m", "window: 5m, deadline: 5m")
        .replace("## Impact\n", "")
    )
    books = config.load(written(tmp_path, weak)).rules.books
    says = [one.message for one in lint(books, ["shop/availability"])]
    assert says == [
        "no heading for Impact",
        "the parameter more is never used",
        "midwatch cannot check run: after a crash it pages a person",
        "the deadline ends within the window, so recovery can never be proven",
    ]


HASTY = (
    "the step changes something and has no within: midwatch checks it for 30 s, then asks a person"
)
LOOKS = """  - id: LOOK
    action: command.run
    with: {command: [svc, restart]}
    observe: {command: [svc, up]}
"""


def test_what_changes_something_says_when_it_is_seen_at_the_latest(tmp_path: Path) -> None:
    """Else it gets 30 s, and check and lint warn, once for each action."""
    steps = "steps:\n" + LOOKS.replace("LOOK", "blink")
    steps += LOOKS.replace("LOOK", "slow") + "    within: 2m\n    idempotent: true\n"
    steps += LOOKS.replace("LOOK", "reads") + "    risk: read\n    output: keep\n"
    book = BOOK.replace("steps:\n", steps)
    folder = written(tmp_path, book, ACTIONS.replace("    within: 20s\n", ""))
    books = config.load(folder).rules.books
    wanted = {"cache.purge": HASTY, "purge blink": HASTY}
    assert {one.place: one.message for one in hasty(books)} == wanted
    assert [one.place for one in lint(books, ["shop/availability"])] == [
        "purge blink",
        "cache.purge",
    ]
    _, slow, reads, _ = books.runbooks[0].steps
    assert (slow.within_s, slow.idempotent, slow.keeps) == (120, True, False)
    assert (reads.within_s, reads.idempotent, reads.keeps) == (0, False, True)
    done = CliRunner().invoke(main.cli, ["check", str(folder), "--json"])
    places = [one["place"] for one in json.loads(done.output)["warnings"]]
    assert {"cache.purge", "purge blink"} <= set(places)
    assert not {"purge slow", "purge reads"} & set(places)
    assert done.exit_code == 0
