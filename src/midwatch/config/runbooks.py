"""Runbooks, the actions that they use and what may run by itself, out of the config directory.

Law: what is executed stands in the front matter, never in the text. Each action and each value is
known before anything burns: a step that could not be planned is an error of the config.

    runbooks/*.md    front matter with the steps, then text for people
    midwatch.yaml    actions: what a named action does, and what sees that it is done
                     automation: which plans need no person
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from midwatch.config.muting import read_matchers
from midwatch.config.paging import read_hours, read_zone
from midwatch.core.rules.planning import Books, places_needed
from midwatch.core.values import automation, patterns
from midwatch.core.values.actions import (
    MAX_VALUE,
    NAME,
    PLACE,
    Action,
    Command,
    Deed,
    Request,
    Risk,
    places_inside,
    places_of,
)
from midwatch.core.values.automation import COOL_DOWN_S, DAY_S, SERVICES, Automation, Policy
from midwatch.core.values.plans import (
    ASK,
    BUILT_IN,
    COMMAND,
    PAGE,
    REQUEST,
    RISKS,
    ROLE,
    ROLLBACK,
    TIMEOUT_S,
    TTL_S,
    WAIT,
    WITHIN_S,
    Match,
    Param,
    Runbook,
    Step,
)
from midwatch.core.values.schedules import Layer, Schedule
from midwatch.core.values.severity import SEVERITIES
from midwatch.core.values.silences import Matcher
from midwatch.core.values.slo import Slo, Verify
from midwatch.core.values.topology import Topology
from midwatch.errors import BadFile
from midwatch.yaml_nodes import UNITS_S, Node, Problems, read_yaml

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
RISK_WORDS = ("read", "reversible", "destructive")
OWN_VALUES = ("service", "incident", "slo", "severity", "live", "last_good")
ROLES = (ROLE,)
_IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def read_books(
    main: Node,
    folder: Path,
    slos: Mapping[str, Slo],
    topology: Topology,
    people: Collection[str],
    problems: Problems,
) -> Books:
    """Read all that runbooks need; `people` are those who may be paged, schedules too."""
    known = {name: _action(name, node) for name, node in main.child("actions").entries()}
    reader = _Reader(slos, topology, people, known)
    found: dict[str, Runbook] = {}
    for file in sorted((folder / "runbooks").glob("*.md")):
        book = read_runbook(file, reader, problems)
        if book is None:
            continue
        if book.id in found:
            place = f"{file}:1 id"
            problems.add(
                place, f"a second runbook has the id {book.id!r}", "give each runbook its own id"
            )
        found[book.id] = book
    automation = _automation(main.child("automation"), topology, found)
    return Books(tuple(found.values()), known, automation)


def read_runbook(file: Path, reader: _Reader, problems: Problems) -> Runbook | None:
    """Read one runbook; None when something is wrong with it."""
    name = str(file)
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.add(f"{name}:1", f"cannot be read: {error}", "write it in UTF-8")
        return None
    parts = re.match(r"---\n(.*?\n)---\n(.*)", text, re.DOTALL)
    if parts is None:
        problems.add(
            f"{name}:1", "the front matter is missing", "start the file with ---, the steps, ---"
        )
        return None
    before = len(problems.found)
    book = reader.runbook(read_yaml(file, problems, parts[1], 1), parts[2])
    return book if len(problems.found) == before else None


def _refuse_inside(node: Node, parts: tuple[object, ...], known: set[str]) -> None:
    """Note known places inside longer texts, which stay as they are: nothing is glued together."""
    for place in sorted(places_inside(parts) & known):  # other braces, such as JSON's, mean nothing
        says = f"{{{place}}} inside a longer text is not replaced"
        node.error(says, f"make {{{place}}} an argument or a value of its own")


def _action(name: str, node: Node) -> Action:
    node.keys("apply", "observe", "within", "idempotent", required=("apply", "observe"))
    if NAME.fullmatch(name) is None or name in BUILT_IN:
        why = "a built-in action has this name" if name in BUILT_IN else "not a valid action name"
        node.error(why, "write it like cache.purge")
    apply, observe = _deed(node.child("apply")), _deed(node.child("observe"))
    known = {*OWN_VALUES, *places_of(apply), *places_of(observe)}
    _refuse_inside(node, (apply, observe), known)
    within_s = node.child("within").duration_s(0)
    return Action(name, apply, observe, within_s, _flag(node.child("idempotent")))


def _flag(node: Node) -> bool:
    """Read what is true or false; false when nobody says."""
    if node.value is not None and not isinstance(node.value, bool):
        node.error(node.found, "write true or false")
    return node.value is True


def _deed(node: Node) -> Deed:
    """Read a request or a command."""
    node.keys("http", "command")
    if node.has("http") is node.has("command"):
        node.error("either http or command is needed", "write http: {url: ...} or command: [...]")
    if node.has("command"):
        return _command(node.child("command"))
    return _request(node.child("http"))


def _request(node: Node) -> Request:
    node.keys("url", "method", "body", "expect", "token_env", required=("url",))
    body = node.child("body")
    if body.value is not None and body.mapping is None:
        body.error(body.found, "write a mapping; it is sent as JSON")
    expect = {name: _plain(item.value) for name, item in node.child("expect").entries()}
    return Request(
        node.child("url").url(),
        node.child("method").choice(*METHODS, default="GET"),
        _plain(body.value) if body.mapping is not None else None,
        expect,
        node.child("token_env").text(default=""),
    )


def _command(node: Node) -> Command:
    arguments = tuple(item.text() for item in node.items())
    if not arguments:
        node.error("not a command", "write a list: [cachectl, purge, '{topic}']")
    elif PLACE.fullmatch(arguments[0]):
        node.error("a parameter must not choose the program", "name the program")
    return Command(arguments)


def _plain(value: Any) -> Any:
    """Give what was read without its marks."""
    if isinstance(value, dict):
        mapping = cast("dict[object, Any]", value)
        return {str(name): _plain(one) for name, one in mapping.items()}
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[Any]", value)]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value


class _Reader:
    """Reads runbooks against what else the config says."""

    def __init__(
        self,
        slos: Mapping[str, Slo],
        topology: Topology,
        people: Collection[str],
        known: Mapping[str, Action],
    ) -> None:
        self._slos = slos
        self._topology = topology
        self._people = people
        self._actions = known

    def runbook(self, root: Node, text: str) -> Runbook:
        """Read the front matter."""
        root.keys(
            "id",
            "version",
            "match",
            "params",
            "steps",
            "verify",
            "resolves",
            required=("id", "match", "steps"),
        )
        params = {name: self._param(name, n) for name, n in root.child("params").entries()}
        values = {*OWN_VALUES, *params}
        steps = tuple(self._step(item, values) for item in root.child("steps").items())
        if not steps and root.has("steps"):
            root.child("steps").error("the list is empty", "write at least one step")
        self._check_steps(root.child("steps"), steps)
        resolves = root.child("resolves")
        if _flag(resolves) and any(step.action == ROLLBACK for step in steps):
            resolves.error(
                "a rollback does not resolve an incident",
                "remove it: a rollback ends the impact, the cause remains",
            )
        heading = re.search(r"^# +(.+)$", text, re.MULTILINE)
        return Runbook(
            self._id(root.child("id")),
            root.child("version").integer(1, at_least=1),
            self._match(root.child("match")),
            steps,
            self._verify(root.child("verify"), root.child("match").child("slo").text(default="")),
            params,
            resolves.value is True,
            heading[1].strip() if heading else "",
            text.strip(),
        )

    def _id(self, node: Node) -> str:
        text = node.text()
        if text and _IDENTIFIER.fullmatch(text) is None:
            node.error(node.found, "use a-z, 0-9, - and _, at most 64")
        return text

    def _match(self, node: Node) -> Match:
        node.keys("slo", "labels", "cause")
        if not any(node.has(name) for name in ("slo", "labels", "cause")):
            node.error("nothing to match", "name an slo, labels or a cause")
        if node.has("slo"):
            node.child("slo").known("objective", self._slos, "slos/ as service/name")
        if node.has("cause"):
            node.child("cause").known("service", self._topology.services, "topology.yaml")
        return Match(
            node.child("slo").text(default=""),
            _labels(node.child("labels")),
            node.child("cause").text(default=""),
        )

    def _param(self, name: str, node: Node) -> Param:
        node.keys("pattern", "label", "default", required=("pattern",))
        if name in OWN_VALUES:
            node.error("midwatch reserves this name", "rename it")
        pattern = node.child("pattern").text()
        try:
            patterns.check(pattern)
        except patterns.BadPattern as error:
            remedy = "write a regular expression in RE2 syntax"
            node.child("pattern").error(f"not a valid pattern: {error}", remedy)
            return Param("")
        default = node.child("default").text(default="")
        if default and (len(default) > MAX_VALUE or not patterns.fits(pattern, default)):
            node.child("default").error(f"does not match {pattern}", "write a value that matches")
        return Param(pattern, node.child("label").text(default=""), default)

    def _step(self, node: Node, values: set[str]) -> Step:
        node.keys(
            "id",
            "action",
            "with",
            "observe",
            "within",
            "idempotent",
            "risk",
            "approval",
            "timeout",
            "output",
            "undoes",
            required=("id", "action"),
        )
        action = node.child("action")
        name = action.choice(*BUILT_IN, *self._actions)
        given, deed, observe = self._given(name, node, values)
        usual: Risk = RISKS.get(name, "destructive")
        risk = cast("Risk", node.child("risk").choice(*RISK_WORDS, default=usual))
        if name == ROLLBACK and risk != "destructive":
            node.child("risk").error("the risk of a rollback is destructive", "write destructive")
        approval = node.child("approval")
        _only(approval, "role", "ttl")
        if name not in (REQUEST, COMMAND):
            where = "write it in the action" if name in self._actions else "remove it"
            for key in ("within", "idempotent"):
                if node.has(key):
                    node.child(key).error(f"not a key of {name}", where)
        elif node.has("within") and observe is None:
            node.child("within").error("within needs observe", "add observe")
        if node.has("output") and name in BUILT_IN and name != COMMAND:
            node.child("output").error(
                f"not a key of {name}", "remove it: only commands have output"
            )
        return Step(
            self._id(node.child("id")),
            name,
            given,
            risk,
            approval.child("role").choice(*ROLES, default=ROLE),
            approval.child("ttl").duration_s(TTL_S),
            node.child("timeout").duration_s(TIMEOUT_S),
            deed,
            observe,
            node.child("within").duration_s(0),
            _flag(node.child("idempotent")),
            node.child("output").choice("drop", "keep", default="drop") == "keep",
            node.child("undoes").text(default=""),
        )

    def _given(
        self, name: str, node: Node, values: set[str]
    ) -> tuple[dict[str, Any], Deed | None, Deed | None]:
        inside = node.child("with")
        deed: Deed | None = None
        observe = _deed(node.child("observe")) if node.has("observe") else None
        if observe is not None and name not in (REQUEST, COMMAND):
            node.child("observe").error(
                f"not a key of {name}", "remove it: this action observes its own result"
            )
        given: dict[str, Any] = {}
        match name:
            case "http.request":
                deed = _request(inside)
            case "command.run":
                inside.keys("command", required=("command",))
                deed = _command(inside.child("command"))
            case "wait":
                inside.keys("for", required=("for",))
                given = {"for_s": inside.child("for").duration_s(60)}
            case "ask":
                inside.keys("question", required=("question",))
                given = {"says": inside.child("question").text()}
            case "page.person":
                inside.keys("to", "says", required=("to", "says"))
                if self._people:
                    inside.child("to").known("person", self._people, "people or schedules")
                given = {"to": inside.child("to").text(), "says": inside.child("says").text()}
            case "release.rollback" | "release.abort_canary":
                _only(inside, "service", "to")
                inside.child("to").choice("last_good", default="last_good")
                if inside.child("service").text(default="{service}") != "{service}":
                    inside.child("service").error(
                        "must be {service}", "act on the service of the incident only"
                    )
            case _:
                given = {key: _plain(item.value) for key, item in inside.entries()}
        self._check_places(name, inside, (given, deed, observe), values)
        return given, deed, observe

    def _check_places(
        self, name: str, inside: Node, parts: tuple[object, ...], values: set[str]
    ) -> None:
        """Note values that nothing gives."""
        given = cast("dict[str, Any]", parts[0])
        for place in sorted(frozenset[str]().union(*(places_of(one) for one in parts))):
            if place not in values:
                inside.error(f"unknown parameter {{{place}}}", f"add {place} to params")
        _refuse_inside(inside, parts, values)
        action = self._actions.get(name)
        for key in sorted(set(given) - action.places) if action else ():
            inside.child(key).error(f"not an argument of {name}", "remove it")
        for place in sorted(action.places if action else ()):
            if place not in given and place not in values:
                inside.error(f"{place} is missing; {name} needs it", f"write {place}: ...")

    def _check_steps(self, node: Node, steps: tuple[Step, ...]) -> None:
        names = [step.id for step in steps]
        for number, item in enumerate(node.items()):
            if number < len(names) and names[number] in names[:number]:
                item.child("id").error(
                    f"a second step has the id {names[number]!r}", "give each step its own id"
                )
            undoes = steps[number].undoes if number < len(steps) else ""
            if undoes and undoes not in names[:number]:
                item.child("undoes").error(
                    f"no earlier step has the id {undoes!r}", "name an earlier step"
                )
        if sum(step.action == ROLLBACK for step in steps) > 1:
            node.error("the runbook rolls back twice", "keep one rollback per runbook")
        if steps and all(step.action in (WAIT, ASK, PAGE) for step in steps):
            node.error("the steps only wait, ask and page", "add a step that acts")

    def _verify(self, node: Node, slo: str) -> Verify:
        usual = Verify()
        if node.value is None:
            return usual
        node.keys("slo", "window", "burn_below", "min_events", "deadline", "else")
        if node.has("slo") and node.child("slo").text() != slo:
            node.child("slo").error("differs from match.slo", f"write {slo or 'none'}")
        node.child("else").choice("escalate", default="escalate")
        return Verify(
            node.child("window").duration_s(usual.window_s),
            node.child("burn_below").number(usual.burn_below),
            node.child("min_events").integer(usual.min_events, at_least=1),
            node.child("deadline").duration_s(usual.deadline_s),
        )


def _only(node: Node, *names: str) -> None:
    """Refuse other keys in what may be left out altogether."""
    if node.value is not None:
        node.keys(*names)


def _labels(node: Node) -> tuple[Matcher, ...]:
    found = read_matchers(node)
    if found and all(one.fits({}) for one in found):
        node.error("an alert without labels would match", "name a label and its value")
    return found


def _automation(node: Node, topology: Topology, books: Mapping[str, Runbook]) -> Automation:
    _only(node, "policies", "cool_down", "blast_radius")
    radius = node.child("blast_radius")
    _only(radius, "services", "within")
    policies = tuple(
        _policy(name, item, topology, books) for name, item in node.child("policies").entries()
    )
    return Automation(
        policies,
        node.child("cool_down").duration_s(COOL_DOWN_S),
        radius.child("services").integer(SERVICES, at_least=1),
        radius.child("within").duration_s(automation.WITHIN_S),
    )


def _policy(name: str, node: Node, topology: Topology, books: Mapping[str, Runbook]) -> Policy:
    node.keys(
        "services",
        "severities",
        "risks",
        "runbooks",
        "hours",
        "time_zone",
        "at_most",
        required=("services", "severities"),
    )
    for item in node.child("services").items():
        item.known("service", topology.services, "topology.yaml")
    for item in node.child("runbooks").items():
        item.known("runbook", books, "runbooks/")
    usual = Policy(name, (), ())
    hours = tuple(read_hours(item) for item in node.child("hours").items())
    layer = Layer("window", (name,), "2026-01-05T00:00", hours=hours)
    zone = read_zone(node.child("time_zone"))
    schedule = Schedule(name, zone, (layer,)) if hours else None
    risks = tuple(cast("Risk", one.choice(*RISK_WORDS)) for one in node.child("risks").items())
    risks = cast("tuple[Risk, ...]", ("read", *risks)) if risks else ()
    times, per_s = _at_most(node.child("at_most"))
    return Policy(
        name,
        tuple(item.text() for item in node.child("services").items()),
        tuple(item.choice(*SEVERITIES) for item in node.child("severities").items()),
        risks or usual.risks,
        tuple(item.text() for item in node.child("runbooks").items()),
        schedule,
        times,
        per_s,
    )


def _at_most(node: Node) -> tuple[int, int]:
    """Read how often, such as 2/1d."""
    if node.value is None:
        return 1, DAY_S
    found = re.fullmatch(r"(\d+)/(\d+)([smhd])", str(node.value))
    if not found or int(found[1]) < 1 or int(found[2]) < 1:
        node.error(node.found, "write it like 2/1d")
        return 1, DAY_S
    return int(found[1]), int(found[2]) * UNITS_S[found[3]]


def hasty(books: Books) -> list[BadFile]:
    """List what changes something and is looked at, with nobody saying how long that takes."""
    found: dict[str, BadFile] = {}
    says = (
        "the step changes something and has no within: "
        f"midwatch checks it for {WITHIN_S} s, then asks a person"
    )
    remedy = "add within: how long observe may take to see the change"
    for book in books.runbooks:
        for step in book.steps:
            action = books.actions.get(step.action)
            observe, within_s = step.observe, step.within_s
            place = f"{book.id} {step.id}"
            if action is not None:
                observe, within_s, place = action.observe, action.within_s, step.action
            if step.risk != "read" and observe is not None and not within_s:
                found[place] = BadFile(says, place=place, remedy=remedy)
    return list(found.values())


SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation")


def lint(books: Books, slos: Collection[str]) -> list[BadFile]:
    """Say what is weak in runbooks that can be read: what somebody would miss at night."""
    found: list[BadFile] = []
    seen: dict[str, str] = {}
    for book in books.runbooks:

        def weak(says: str, remedy: str, name: str = book.id) -> None:
            found.append(BadFile(says, place=name, remedy=remedy))

        lacking = [one for one in SECTIONS if not re.search(rf"(?m)^#+ +{one}\b", book.text)]
        if lacking:
            weak(f"no heading for {', '.join(lacking)}", "add one heading for each")
        for name in sorted(set(book.params) - places_needed(books, book)):
            weak(f"the parameter {name} is never used", "remove it")
        for step in book.steps:
            blind = step.action in (REQUEST, COMMAND) and step.observe is None
            if blind and step.risk != "read":
                weak(
                    f"midwatch cannot check {step.id}: after a crash it pages a person",
                    "add observe",
                )
        if book.verify.deadline_s <= book.verify.window_s:
            weak(
                "the deadline ends within the window, so recovery can never be proven",
                "raise deadline",
            )
        if not book.match.slo and slos:
            weak("no slo is named, so only resolved alerts can prove recovery", "add slo to match")
        same = repr(book.match)
        if same in seen:
            weak(
                f"matches whenever {seen[same]} does, which takes precedence",
                "make match more specific",
            )
        seen.setdefault(same, book.id)
    return found + hasty(books)
