"""A scenario: what happens in the simulated world, read from YAML.

Law: it says what happens, never what midwatch does about it; what should come of it stands under
`expect` or `checks`. Errors name file, line, key and remedy.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from msgspec import Struct, field

from midwatch import config
from midwatch.agent import questions
from midwatch.agent.questions import Question
from midwatch.agent.releases import RELEASES
from midwatch.agent.troubles import TROUBLES
from midwatch.config.suites import read_cases
from midwatch.core.values import judgements
from midwatch.core.values.alerts import LEVELS
from midwatch.core.values.clock import SECOND, parse_time
from midwatch.core.values.evals import Case
from midwatch.core.values.judgements import Judgement
from midwatch.drill import agents
from midwatch.drill.agents import Trouble
from midwatch.errors import BadFile, InputError
from midwatch.yaml_nodes import Node, Problems, read_yaml

EXPECTATIONS = (
    "incidents",
    "pages",
    "mitigated",
    "closed",
    "unresolved",
    "recovery",
    "overlapping",
    "after_last_delivery",
    "mitigation",
    "untouched",
    "plans",
)
OUTCOMES = ("done", "refused")  # what became of a service's plan


Expected = int | str | bool | tuple[str, ...] | dict[str, str]


class Wrong(Struct, frozen=True):
    """A release answers these questions with `answer`, from `from_at` on.

    With `until` it does so until that action was done for its service.
    """

    questions: tuple[str, ...]
    answer: str
    from_at: int = 0
    until: str = ""


class ReleasePlan(Struct, frozen=True):
    """A release: live from `live_at`, or proposed `proposed_s` after the ack.

    `agent` names the release of the support agent that it is, when the service is that agent.
    """

    name: str
    good: bool = False
    live_at: int | None = None
    proposed_s: int | None = None
    wrong: Wrong | None = None
    agent: str = ""


class Lull(Struct, frozen=True):
    """A stretch in which users ask one question every `every_s` seconds, or none at all with 0."""

    from_at: int
    until_at: int
    every_s: int = 0


class ServicePlan(Struct, frozen=True):
    """A service whose answers are judged: the questions its users ask, and its releases.

    With `is_agent` it is the support agent itself, asked in process; else answers are as written.
    """

    name: str
    slo: str
    bank: tuple[Case, ...]
    releases: tuple[ReleasePlan, ...]
    is_agent: bool = False
    asked: tuple[Question, ...] = ()  # of the agent, by its users
    troubles: tuple[Trouble, ...] = ()
    lulls: tuple[Lull, ...] = ()


class Fault(Struct, frozen=True):
    """One cause that raises alerts on itself and on its callers; None ends with the recovery."""

    at: int
    cause: str
    services: tuple[str, ...]
    alerts: tuple[str, ...]
    severity: str
    lasts_s: int | None
    namespace: str = ""


class Ticket(Struct, frozen=True):
    """A report that somebody files."""

    at: int
    text: str
    by: str


class Trial(Struct, frozen=True):
    """A candidate that somebody gives a part of live traffic."""

    at: int
    service: str
    release: str


class Bystander(Struct, frozen=True):
    """What is in trouble besides, and has to page in time, by a pager that never fails."""

    service: str
    pager: str


class Waiver(Struct, frozen=True):
    """A waiver that somebody grants, so long after the first ack."""

    after_s: int
    for_s: int
    owner: str
    why: str


class Learned(Struct, frozen=True):
    """What people write about it, so long after the first ack; see `core.judgements`."""

    after_s: int
    judgement: Judgement


class People(Struct, frozen=True):
    """How fast people are, and the services whose plans they refuse; all others they approve."""

    ack_after_s: int = 90
    approve_after_s: int = 60
    refuse: tuple[str, ...] = ()


class Scenario(Struct, frozen=True):
    """Everything that happens outside, with absolute times in milliseconds."""

    name: str
    says: str
    config: config.Config
    starts_at: int
    ends_at: int
    services: tuple[ServicePlan, ...] = ()
    storm: tuple[Fault, ...] = ()
    tickets: tuple[Ticket, ...] = ()
    trials: tuple[Trial, ...] = ()
    bystander: Bystander | None = None
    deliveries: tuple[tuple[int, bytes], ...] = ()
    people: People = People()
    waivers: tuple[Waiver, ...] = ()
    learned: Learned | None = None
    seven_checks: bool = False
    expect: dict[str, Expected] = field(default_factory=dict[str, Expected])


def folder() -> Path:
    """Find the scenarios that come with midwatch: in the package, or in its checkout."""
    packaged = Path(__file__).parent.parent / "scenarios"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "scenarios"


def names() -> list[str]:
    """List the scenarios that come with midwatch."""
    return sorted(f.stem for f in folder().glob("*.yaml"))


def find(name: str) -> Path:
    """Find a scenario by name, or by the path of a YAML file."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    if name not in names():
        raise InputError(
            f"no scenario is named {name!r}",
            remedy=f"use one of {', '.join(names())}, or the path of a YAML file",
        )
    return folder() / f"{name}.yaml"


def load(file: Path) -> Scenario:
    """Read a scenario and the config it names. Raises BadFile with the first thing wrong."""
    if not file.is_file():
        raise BadFile("not found", place=str(file), remedy="see midwatch drill list")
    problems = Problems()
    root = read_yaml(file, problems)
    scenario = _Reader(root, file.parent, problems).read()
    if problems.found or scenario is None:
        raise problems.found[0]
    return scenario


class _Reader:
    """Reads one scenario; offsets such as `5m` become absolute times."""

    def __init__(self, root: Node, base: Path, problems: Problems) -> None:
        self.root = root
        self.base = base
        self.problems = problems
        self.starts_at = 0
        self.ends_at = 0
        self.banks: dict[str, tuple[Case, ...]] = {}

    def read(self) -> Scenario | None:
        root = self.root
        root.keys(
            "name",
            "says",
            "config",
            "starts_at",
            "lasts",
            "checks",
            "services",
            "storm",
            "tickets",
            "trials",
            "bystander",
            "deliveries",
            "people",
            "waivers",
            "learned",
            "expect",
            required=("name", "says", "config"),
        )
        if self.problems.found:
            return None
        self.config_dir = self.base / root.child("config").text()
        found, errors = config.check(self.config_dir, "choose another in the scenario")
        self.problems.found.extend(errors)
        deliveries = self._deliveries(root.child("deliveries"))
        self.starts_at = self._starts_at(root.child("starts_at"), deliveries)
        ends_at = self.ends_at = self.starts_at + root.child("lasts").duration_s(10_800) * SECOND
        services = tuple(
            self._service(name, node, found) for name, node in root.child("services").entries()
        )
        return Scenario(
            name=root.child("name").text(),
            says=root.child("says").text(),
            config=found,
            starts_at=self.starts_at,
            ends_at=ends_at,
            services=services,
            storm=tuple(self._fault(item, found) for item in root.child("storm").items()),
            tickets=tuple(self._ticket(item) for item in root.child("tickets").items()),
            trials=tuple(self._trial(item, services) for item in root.child("trials").items()),
            bystander=self._bystander(root.child("bystander"), found),
            deliveries=deliveries,
            people=self._people(root.child("people"), found),
            waivers=tuple(self._waiver(item) for item in root.child("waivers").items()),
            learned=self._learned(root.child("learned")),
            seven_checks=root.child("checks").choice("seven", default="") == "seven",
            expect=self._expect(root.child("expect")),
        )

    def _starts_at(self, node: Node, deliveries: tuple[tuple[int, bytes], ...]) -> int:
        if node.value is None and deliveries:
            return deliveries[0][0]
        try:
            return parse_time(node.text())
        except ValueError:
            node.error(f"got {node.value!r}", "write a time such as 2026-03-02T00:00:00Z")
            return 0

    def _at(self, node: Node) -> int:
        if node.value == "0s":
            return self.starts_at
        return self.starts_at + node.duration_s(0) * SECOND

    def _deliveries(self, node: Node) -> tuple[tuple[int, bytes], ...]:
        if node.value is None:
            return ()
        folder = self.base / node.text()
        bodies = sorted(folder.glob("*-webhook.json"))
        if not bodies:
            node.error("no *-webhook.json found", "give a directory of recorded deliveries")
        found: list[tuple[int, bytes]] = []
        for body in bodies:
            header = body.with_name(body.name.replace(".json", ".headers.json"))
            try:
                received = msgspec.json.decode(header.read_bytes())["received_at"]
                found.append((int(received * SECOND), body.read_bytes()))
            except (OSError, msgspec.MsgspecError, KeyError, TypeError) as error:
                node.error(f"{header.name}: {error}", 'it must contain {"received_at": seconds}')
        return tuple(sorted(found))

    def _bank(self, node: Node) -> tuple[Case, ...]:
        name = node.text()
        if name not in self.banks:
            file = self.config_dir / name
            if not file.is_file():
                node.error(f"{name} does not exist", "give a file of the config")
                return ()
            self.banks[name] = read_cases(file, self.problems)
        return self.banks[name]

    def _service(self, name: str, node: Node, found: config.Config) -> ServicePlan:
        node.keys(
            "questions", "agent", "releases", "asks", "troubles", "lulls", required=("releases",)
        )
        is_agent = node.child("agent").value is True
        if is_agent == node.has("questions"):
            node.error(
                "either questions or an agent is needed", "write `agent: true`, or questions"
            )
        slo = found.rules.slo_of(name)
        if slo is None:
            node.error("no SLO is configured", f"write slos/{name}.yaml in the config")
        if is_agent:
            bank = tuple(agents.case_of(one) for one in questions.part("online"))
        else:
            bank = tuple(c for item in node.child("questions").items() for c in self._bank(item))
        releases = tuple(
            self._release(n, r, is_agent=is_agent) for n, r in node.child("releases").entries()
        )
        if not any(r.live_at is not None for r in releases):
            node.child("releases").error("no release is live", "give one of them `at: 0s`")
        asked, troubles = self._around(node) if is_agent else ((), ())
        if is_agent and node.has("lulls"):
            node.child("lulls").error("is of a service with questions", "leave it out of an agent")
        lulls = tuple(self._lull(item) for item in node.child("lulls").items())
        return ServicePlan(
            name, slo.id if slo else "", bank, releases, is_agent, asked, troubles, lulls
        )

    def _lull(self, node: Node) -> Lull:
        node.keys("from", "until", "every", required=("from",))
        until = self._at(node.child("until")) if node.has("until") else self.ends_at
        every_s = node.child("every").duration_s(60) if node.has("every") else 0
        return Lull(self._at(node.child("from")), until, every_s)

    def _around(self, node: Node) -> tuple[tuple[Question, ...], tuple[Trouble, ...]]:
        """Read what users of the agent ask more than usual, and what breaks around it."""
        popular = {name: item.integer(1, at_least=1) for name, item in node.child("asks").entries()}
        troubles: list[Trouble] = []
        for item in node.child("troubles").items():
            item.keys("at", "what", required=("at", "what"))
            what = item.child("what").choice(*sorted(TROUBLES))
            troubles.append(Trouble(self._at(item.child("at")), what))
        try:
            return agents.asked_by(popular), tuple(troubles)
        except InputError as error:
            node.child("asks").error(error.message, error.remedy)
            return (), ()

    def _release(self, name: str, node: Node, *, is_agent: bool) -> ReleasePlan:
        node.keys("good", "at", "proposed", *(("agent",) if is_agent else ("wrong",)))
        wrong = None
        if node.has("wrong"):
            item = node.child("wrong")
            item.keys("questions", "answer", "from", "until", required=("questions", "answer"))
            questions = tuple(c.question for c in self._bank(item.child("questions")))
            from_at = self._at(item.child("from")) if item.has("from") else 0
            wrong = Wrong(
                questions, item.child("answer").text(), from_at, item.child("until").text("")
            )
        proposed = node.child("proposed")
        return ReleasePlan(
            name,
            node.child("good").value is True,
            self._at(node.child("at")) if node.has("at") else None,
            proposed.duration_s(0) if node.has("proposed") else None,
            wrong,
            self._agent_release(name, node) if is_agent else "",
        )

    def _agent_release(self, name: str, node: Node) -> str:
        named = node.child("agent")
        wanted = named.text() if node.has("agent") else name
        if wanted not in RELEASES:
            at = named if node.has("agent") else node
            at.error(f"the agent has no release {wanted!r}", "see midwatch agent releases")
        return wanted

    def _fault(self, node: Node, found: config.Config) -> Fault:
        node.keys(
            "at",
            "cause",
            "also",
            "lasts",
            "until",
            "severity",
            "alerts",
            "namespace",
            required=("at", "cause", "alerts"),
        )
        services = [node.child("cause"), *node.child("also").items()]
        node.child("until").choice("recovered", default="")
        lasts_s = None if node.has("until") else node.child("lasts").duration_s(1_200)
        return Fault(
            self._at(node.child("at")),
            node.child("cause").text(),
            tuple(self._known(s, found) for s in services),
            tuple(a.text() for a in node.child("alerts").items()),
            node.child("severity").choice(*LEVELS, default="warning"),
            lasts_s,
            node.child("namespace").text() if node.has("namespace") else "",
        )

    def _trial(self, node: Node, services: tuple[ServicePlan, ...]) -> Trial:
        node.keys("at", "service", "release", required=("at", "service", "release"))
        service, release = node.child("service").text(), node.child("release").text()
        known = {(plan.name, one.name) for plan in services for one in plan.releases}
        if (service, release) not in known:
            says = f"unknown release {release!r} of {service!r}"
            node.child("release").error(says, "use a release of a service of this scenario")
        return Trial(self._at(node.child("at")), service, release)

    def _bystander(self, node: Node, found: config.Config) -> Bystander | None:
        if node.value is None:
            return None
        node.keys("service", "pager", required=("service", "pager"))
        pager = node.child("pager").choice(*found.pagers)
        return Bystander(node.child("service").text(), pager)

    def _ticket(self, node: Node) -> Ticket:
        node.keys("at", "by", "text", required=("at", "text"))
        return Ticket(
            self._at(node.child("at")), node.child("text").text(), node.child("by").text("")
        )

    def _people(self, node: Node, found: config.Config) -> People:
        if node.value is None:
            return People()
        node.keys("ack_after", "approve_after", "refuse")
        return People(
            node.child("ack_after").duration_s(90),
            node.child("approve_after").duration_s(60),
            tuple(self._known(item, found) for item in node.child("refuse").items()),
        )

    def _known(self, node: Node, found: config.Config) -> str:
        if isinstance(node.value, str) and node.value not in found.rules.topology.services:
            node.error(f"unknown service {node.value!r}", "add it first")
        return node.text()

    def _waiver(self, node: Node) -> Waiver:
        node.keys("after", "for", "owner", "why", required=("after", "for", "owner", "why"))
        return Waiver(
            node.child("after").duration_s(900),
            node.child("for").duration_s(86_400),
            node.child("owner").text(),
            node.child("why").text(),
        )

    def _learned(self, node: Node) -> Learned | None:
        mapping = node.mapping
        if mapping is None:
            return None
        written = {name: value for name, value in mapping.items() if name != "after"}
        try:
            judgement = judgements.checked(msgspec.convert(written, Judgement, str_keys=True))
        except (msgspec.ValidationError, InputError) as error:
            node.error(f"not valid as written by people: {error}", "see docs/postmortems.md")
            return None
        return Learned(node.child("after").duration_s(3_600), judgement)

    def _expect(self, node: Node) -> dict[str, Expected]:
        if node.value is None:
            return {}
        node.keys(*EXPECTATIONS)
        wanted: dict[str, Expected] = {}
        for name, item in node.entries():
            if name == "recovery":
                wanted[name] = item.text()
            elif name in ("mitigation", "untouched"):
                wanted[name] = tuple(one.text() for one in item.items())
            elif name == "plans":
                wanted[name] = {of: one.choice(*OUTCOMES) for of, one in item.entries()}
            elif isinstance(item.value, bool) and name in ("overlapping", "after_last_delivery"):
                wanted[name] = item.value
            else:
                wanted[name] = item.integer(0)
        return wanted


def slug(text: str) -> str:
    """Make a key part out of a text.

    >>> slug("A customer")
    'a-customer'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
