"""YAML -> who is paged: people, schedules, policies.

Law: whoever is named must be somebody: every name of a step, a layer or a route is looked up, and
what nobody can be reached by is an error here and not in the night.

    people:      {ada: {pagers: [slack, mail], email: ada@example.org, slack: U123}}
    escalation:  {steps: [{to: primary, delay: 5m}], repeat: 1}
                 or {policies: {day: {steps: [...]}}, routes: [{policy: day, services: [shop]}]}
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import cast

from msgspec import Struct, structs

from midwatch.core.values.alerts import LEVELS
from midwatch.core.values.schedules import DAY_MIN, EVERY_DAY, Hours, Layer, Schedule, hidden
from midwatch.core.values.severity import SEVERITIES, SEVERITY_TABLE, URGENCY, Severity, Urgency
from midwatch.core.values.teams import Person, Policy, Route, Step, Team
from midwatch.registry import Contact
from midwatch.yaml_nodes import Node, Problems, read_yaml

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
POLICY_KEYS = ("steps", "repeat")
COMMON_KEYS = (
    "policies",
    "routes",
    "urgency",
    "severities",
    "ack_timeout",
    "digest",
    "again",
    "last_resort",
)


class Paging(Struct, frozen=True):
    """Everything about who is paged."""

    policy: Policy = Policy("none", ())
    policies: dict[str, Policy] = {}
    routes: tuple[Route, ...] = ()
    contacts: dict[str, Contact] = {}


def read_paging(
    main: Node,
    folder: Path,
    pagers: Collection[str],
    followers: Collection[str],
    problems: Problems,
) -> Paging:
    """Read people, schedules and policies together."""
    people, contacts = _people(main.child("people"), pagers)
    schedules = _schedules(folder, people, problems)
    node = main.child("escalation")
    if node.value is None:
        node.error("missing", "write whom to page: escalation: {steps: [{to: ada}]}")
        return Paging(contacts=contacts)
    node.keys(*POLICY_KEYS, *COMMON_KEYS)
    if node.mapping is None:
        return Paging(contacts=contacts)
    known = _Known(people, schedules, pagers)
    team = structs.replace(
        _team(node, known), people=people, schedules=schedules, followers=frozenset(followers)
    )
    policies = {
        name: _policy(item, name, team, known) for name, item in node.child("policies").entries()
    }
    routes = tuple(_route(item, policies) for item in node.child("routes").items())
    if node.has("steps") or not policies:
        policy = _policy(node, "default", team, known, only=False)
    else:
        policy = next(iter(policies.values()))
    return Paging(policy, {**policies, policy.name: policy}, routes, contacts)


class _Known(Struct, frozen=True):
    people: dict[str, Person]
    schedules: dict[str, Schedule]
    pagers: Collection[str]

    def check(self, node: Node) -> str:
        """Expect a person's or a schedule's name.

        Without `people` it may be whoever stands in a schedule; without both, anybody.
        """
        name = node.text()
        named = [*self.schedules, *(self.people or self._in_turn())]
        if named and name and name not in named:
            remedy = "add it to schedules or to people"
            _unknown(node, "person or schedule", name, named, remedy)
        return name

    def _in_turn(self) -> list[str]:
        return [
            name for one in self.schedules.values() for layer in one.layers for name in layer.people
        ]

    def check_pager(self, node: Node) -> str:
        """Expect a pager's name."""
        name = node.text()
        if name and name not in self.pagers:
            _unknown(node, "pager", name, self.pagers, "add it to pagers")
        return name


def _unknown(node: Node, what: str, name: str, known: Iterable[str], remedy: str) -> None:
    near = difflib.get_close_matches(name, list(known), 1)
    node.error(f"unknown {what} {name!r}", f"did you mean {near[0]}?" if near else remedy)


# --- people -------------------------------------------------------------------------------------


def _people(node: Node, pagers: Collection[str]) -> tuple[dict[str, Person], dict[str, Contact]]:
    people: dict[str, Person] = {}
    contacts: dict[str, Contact] = {}
    for name, item in node.entries():
        item.keys("pagers", "email", "slack", "called", "time_zone")
        chosen: list[str] = []
        for one in item.child("pagers").items():
            pager = one.text()
            if pager and pager not in pagers:
                _unknown(one, "pager", pager, pagers, "add it to pagers")
            chosen.append(pager)
        if not chosen:
            says = "no pagers: a page to this person would reach nobody"
            item.error(says, "add pagers: [NAME], such as the terminal")
        zone = read_zone(item.child("time_zone")) if item.has("time_zone") else ""
        people[name] = Person(name, tuple(chosen), item.child("called").text(default=""), zone)
        contacts[name] = Contact(
            item.child("email").text(default=""), item.child("slack").text(default="")
        )
    return people, contacts


# --- policies -----------------------------------------------------------------------------------


def _team(node: Node, known: _Known) -> Team:
    usual = Team()
    urgency, table = dict(URGENCY), dict(SEVERITY_TABLE)
    for severity, item in node.child("urgency").entries():
        if severity not in SEVERITIES:
            item.error("not a severity", f"write one of {', '.join(SEVERITIES)}")
        else:
            urgency[severity] = cast("Urgency", item.choice("page", "ticket"))
    for level, item in node.child("severities").entries():
        row: list[Severity] = [one.choice(*SEVERITIES) for one in item.items()]  # pyright: ignore[reportAssignmentType]  # choice gives one of them
        if level not in table:
            item.error("not an alert level", f"write one of {', '.join(table)}")
        elif len(row) != 3:
            item.error(f"got {len(row)} entries", "write three: one for each of tiers 1, 2 and 3")
        else:
            table[LEVELS[level]] = (row[0], row[1], row[2])
    ack = node.child("ack_timeout")
    last = node.child("last_resort")
    named = last.items() if isinstance(last.value, list) else [last] if last.value else []
    return Team(
        urgency=urgency,
        table=table,
        ack_s=0 if ack.value == "off" else ack.duration_s(usual.ack_s),
        digest_s=0 if node.child("digest").value == "off" else node.child("digest").duration_s(30),
        again_s=node.child("again").duration_s(usual.again_s),
        last_resort=tuple(known.check(one) for one in named),
    )


def _policy(node: Node, name: str, team: Team, known: _Known, *, only: bool = True) -> Policy:
    if only:
        node.keys(*POLICY_KEYS, required=("steps",))
    elif not node.has("steps"):
        node.error("steps is missing", "write whom to page: steps: [{to: ada}]")
    steps = tuple(_step(item, known) for item in node.child("steps").items())
    if not steps and node.has("steps"):
        node.child("steps").error(
            "the list is empty", "name at least one person, or nobody is paged"
        )
    return Policy(name, steps, node.child("repeat").integer(1), team)


def _step(node: Node, known: _Known) -> Step:
    node.keys("to", "channel", "delay", "via")
    to, channel = node.child("to"), node.child("channel")
    if to.value is None and channel.value is None:
        node.error("to is missing", "add to: PERSON, or channel: PAGER")
    several = isinstance(to.value, list)
    people = (
        tuple(known.check(one) for one in (to.items() if several else [to])) if to.value else ()
    )
    channels = (known.check_pager(channel),) if channel.value else ()
    via = known.check_pager(node.child("via")) if node.has("via") else ""
    return Step(people, node.child("delay").duration_s(300), via, channels)


def _route(node: Node, policies: dict[str, Policy]) -> Route:
    node.keys("policy", "services", "severities", required=("policy",))
    name = node.child("policy").text()
    if name and name not in policies:
        _unknown(node.child("policy"), "policy", name, policies, "add it to policies")
    return Route(
        name,
        tuple(one.text() for one in node.child("services").items()),
        tuple(one.choice(*SEVERITIES) for one in node.child("severities").items()),
    )


# --- schedules ----------------------------------------------------------------------------------


def _schedules(folder: Path, people: dict[str, Person], problems: Problems) -> dict[str, Schedule]:
    found: dict[str, Schedule] = {}
    for file in sorted((folder / "schedules").glob("*.yaml")):
        root = read_yaml(file, problems)
        schedule = _schedule(file.stem, root, people)
        if file.stem in people:
            root.error(f"the schedule has the name of the person {file.stem!r}", "rename the file")
        found[file.stem] = schedule
    return found


def _schedule(name: str, root: Node, people: dict[str, Person]) -> Schedule:
    layer_keys = ("people", "starts", "every", "handoffs", "hours")
    zone = read_zone(root.child("time_zone"))
    if not root.has("layers"):
        root.keys("time_zone", *layer_keys, required=("people", "starts"))
        return Schedule(name, zone, (_layer(name, root, people),))
    root.keys("time_zone", "layers")
    layers: dict[str, Layer] = {}
    nodes: dict[str, Node] = {}
    for number, item in enumerate(root.child("layers").items(), start=1):
        item.keys("name", *layer_keys, required=("people", "starts"))
        called = item.child("name").text(default=f"layer {number}")
        if called in layers:
            item.error(f"a second layer is named {called!r}", "give each layer its own name")
        layers[called], nodes[called] = _layer(called, item, people), item
    if not layers:
        root.child("layers").error("the list is empty", "write at least one layer")
    for low, high in hidden(tuple(layers.values())).items():
        nodes[low].error(
            f"layer {high!r} above it always has someone on call, so {low!r} is never on call",
            "swap them, or give the upper one hours",
        )
    return Schedule(
        name, zone, tuple(layers.values()) or (Layer("none", ("nobody",), "2026-01-01"),)
    )


def _layer(name: str, node: Node, people: dict[str, Person]) -> Layer:
    members = list(node.child("people").items())
    named = tuple(one.text() for one in members)
    for one in members:
        if people and isinstance(one.value, str) and one.value not in people:
            _unknown(one, "person", one.value, people, "add them to people")
    if not named and node.has("people"):
        node.child("people").error(
            "the list is empty", "name at least one person, or nobody is paged"
        )
    every = node.child("every")
    seconds = every.duration_s(7 * 86_400)
    if seconds % 60:
        every.error("not a whole number of minutes", "write 12h, 1d or 7d")
    handoffs = tuple(sorted(_week_minute(one) for one in node.child("handoffs").items()))
    if handoffs and node.has("every"):
        every.error("cannot be combined with handoffs", "write one of the two")
    return Layer(
        name,
        named or ("nobody",),
        _starts(node.child("starts")),
        max(seconds // 60, 1),
        handoffs,
        tuple(read_hours(one) for one in node.child("hours").items()),
    )


def _starts(node: Node) -> str:
    from whenever import PlainDateTime

    text = node.text()
    try:
        PlainDateTime.parse_iso(text)
    except ValueError:
        if text:
            node.error(f"got {text!r}", "write a local time such as 2026-01-05T09:00")
        return "2026-01-05T09:00"
    return text


def read_zone(node: Node) -> str:
    """Read the name of a time zone, UTC when there is none."""
    from whenever import Instant, TimeZoneNotFoundError

    zone = node.text(default="UTC")
    try:
        Instant.from_timestamp(0).to_tz(zone)  # pyright: ignore[reportUnknownMemberType]
    except TimeZoneNotFoundError:
        node.error(f"unknown time zone {zone!r}", "write it like Europe/Berlin or UTC")
        return "UTC"
    return zone


def read_hours(node: Node) -> Hours:
    """Read on which days, and from when to when."""
    node.keys("days", "from", "to", required=("from", "to"))
    days = tuple(DAYS.index(one.choice(*DAYS)) + 1 for one in node.child("days").items())
    begin, finish = _minute(node.child("from")), _minute(node.child("to"))
    if begin == finish:
        node.error("starts and ends at the same time", "write from and to, such as 09:00 and 17:00")
    return Hours(days or EVERY_DAY, begin, finish)


def _week_minute(node: Node) -> int:
    day, _, time = node.text().partition(" ")
    minute = _clock(time)
    if day.lower() not in DAYS or minute is None:
        node.error(node.found, 'write it like "mon 09:00"')
        return 0
    return DAYS.index(day.lower()) * DAY_MIN + minute


def _minute(node: Node) -> int:
    minute = _clock(str(node.value))
    if minute is None:
        node.error(node.found, 'write a time such as "09:00"')
        return 0
    return minute


def _clock(text: str) -> int | None:
    found = re.fullmatch(r"(\d\d?):(\d\d)", text)
    if not found or int(found[1]) > 24 or int(found[2]) > 59:
        return None
    minute = int(found[1]) * 60 + int(found[2])
    return minute if minute <= DAY_MIN else None
