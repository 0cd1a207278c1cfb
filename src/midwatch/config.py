"""A config directory, read into one frozen value.

Law: every error is collected and names file, line, key and remedy; nothing is guessed and nothing
unknown is ignored. YAML is 1.2: `Yes` stays a string and a key stands once.

    midwatch.yaml   service_labels, levels, sources, pagers, heartbeat, correlation, escalation,
                    tickets, metrics, slo_defaults, people, public_url, inhibit, maintenance,
                    watched_jobs, routers, canaries, actions, automation
    topology.yaml   services and caller -> callee edges
    topology.json   more edges, as a mesh or a tracing system wrote them down
    schedules/*.yaml  who is on call, in turn; an escalation step may name the file
    slos/*.yaml     objectives, as OpenSLO v1 or Sloth prometheus/v1
    runbooks/*.md   front matter with the steps, then text for people
    suites/*        eval cases of any known format; the file is named after its service
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal, cast

import msgspec
from msgspec import Struct, field, structs

from midwatch.adapters.metrics.file import FileOptions
from midwatch.adapters.metrics.prometheus import PrometheusOptions
from midwatch.adapters.metrics.proxy import ProxyOptions
from midwatch.adapters.metrics.pushed import PushedOptions
from midwatch.adapters.pagers.apprise import AppriseOptions
from midwatch.adapters.pagers.email import EmailOptions
from midwatch.adapters.pagers.pagerduty import URL as PAGERDUTY_URL
from midwatch.adapters.pagers.pagerduty import PagerDutyOptions
from midwatch.adapters.pagers.slack import SlackOptions
from midwatch.adapters.pagers.terminal import TerminalOptions
from midwatch.adapters.pagers.webhook import WebhookOptions
from midwatch.adapters.sources.generic import FIELDS, GenericOptions, steps
from midwatch.adapters.specs.reader import Specs, read_specs
from midwatch.adapters.specs.settings import Defaults, read_proof, read_tier
from midwatch.adapters.suites import files as suite_files
from midwatch.core import correlation
from midwatch.core.alerts import LEVELS, SERVICE_LABELS, Level, Naming
from midwatch.core.evals import Case, Suite
from midwatch.core.heartbeats import Watched
from midwatch.core.rules import Rules
from midwatch.core.schedules import Layer, Schedule
from midwatch.core.severity import SEVERITIES, Severity
from midwatch.core.silences import Inhibition, Maintenance, Matcher, Muting, read_matcher
from midwatch.core.slo import Slo
from midwatch.core.tickets import Category
from midwatch.core.topology import Service, Topology
from midwatch.errors import BadFile
from midwatch.paging_config import Paging, read_hours, read_paging, read_zone
from midwatch.ports import Rate
from midwatch.registry import (
    FOLLOWERS,
    METRICS,
    PAGERS,
    SOURCES,
    Contact,
    MetricsOptions,
    PagerOptions,
    RouterOptions,
)
from midwatch.releases_config import read_canaries, read_routers
from midwatch.runbooks_config import read_books
from midwatch.yaml_nodes import UNITS_S, Node, Problems, read_yaml

_decode_case = msgspec.json.Decoder(Case).decode


SUITE_ENDS = (".jsonl", ".yaml", ".yml", ".json", ".csv")
# Addresses below /intake that are no sources of alerts or counts.
INTAKES = ("changes", "tickets")


class SourceConfig(Struct, frozen=True):
    """One place that alerts come from: its kind, and how a generic one is read.

    With `pages` it tells what another system really paged for: midwatch shadow report compares.
    """

    kind: str
    options: GenericOptions = GenericOptions()
    pages: bool = False


class HeartbeatConfig(Struct, frozen=True):
    """Whom midwatch tells that it lives: a URL, fetched every so many seconds."""

    url: str
    every_s: int = 60


class Config(Struct, frozen=True):
    """What people configured."""

    rules: Rules
    sources: dict[str, SourceConfig] = field(default_factory=dict[str, SourceConfig])
    naming: Naming = Naming()
    pagers: dict[str, PagerOptions] = field(default_factory=dict[str, PagerOptions])
    heartbeat: HeartbeatConfig | None = None
    metrics: dict[str, MetricsOptions] = field(default_factory=dict[str, MetricsOptions])
    contacts: dict[str, Contact] = field(default_factory=dict[str, Contact])
    rates: dict[str, Rate] = field(default_factory=dict[str, Rate])
    public_url: str = ""
    routers: dict[str, RouterOptions] = field(default_factory=dict[str, RouterOptions])


def load(folder: Path) -> Config:
    """Read a config directory. Raises BadFile with the first error; `check` gives them all."""
    config, problems = check(folder)
    if not problems:
        return config
    first, *more = problems
    if more:
        says = f"{first.remedy}; midwatch check tells {len(more)} more"
        raise BadFile(first.message, place=first.place, remedy=says)
    raise first


def check(folder: Path) -> tuple[Config, list[BadFile]]:
    """Read a config directory and give every error in it, in the order of files and lines."""
    problems = Problems()
    if not (folder / "midwatch.yaml").is_file():
        remedy = "name a directory with --config, or set MIDWATCH_CONFIG"
        problems.add(f"{folder.name}/midwatch.yaml", "is not there", remedy)
        return Config(Rules()), problems.found
    main = read_yaml(folder / "midwatch.yaml", problems)
    topology = _topology(folder, problems)
    suites = _suites(folder, problems)
    main.keys(
        "service_labels", "levels", "sources", "correlation", "escalation", "tickets", "pagers",
        "heartbeat", "metrics", "slo_defaults", "people", "public_url", "watched_jobs", "inhibit",
        "maintenance", "routers", "canaries", "actions", "automation",
    )  # fmt: skip
    files = [*sorted((folder / "slos").glob("*.yaml")), *sorted((folder / "slos").glob("*.yml"))]
    specs = read_specs(files, problems, _defaults(main.child("slo_defaults")))
    metrics = _metrics(main.child("metrics"))
    for name, source in specs.sources.items():
        metrics.setdefault(name, PrometheusOptions(source.url))
    slos = _slos(specs, topology, metrics)
    if main.has("correlation"):
        main.child("correlation").keys("threshold")
    sources = {name: _source(node) for name, node in main.child("sources").entries()}
    for name, node in (*main.child("sources").entries(), *main.child("metrics").entries()):
        if name in INTAKES:
            node.error(f"is called {name!r}", "that address takes something else; rename it")
    channels = list(main.child("pagers").entries())
    pagers = {name: _pager(node) for name, node in channels}
    known = pagers or {"terminal": TerminalOptions()}
    followers = [name for name, options in known.items() if isinstance(options, FOLLOWERS)]
    paging = read_paging(main, folder, known, followers, problems)
    who = {*paging.policy.team.people, *paging.policy.team.schedules}
    rules = Rules(
        topology=topology,
        slos=slos,
        policy=paging.policy,
        policies=paging.policies,
        routes=paging.routes,
        jobs=_jobs(main.child("watched_jobs"), topology, sources),
        books=read_books(main, folder, slos, topology, who, problems),
        categories=_categories(main.child("tickets"), topology),
        suites=suites,
        threshold=float(
            main.child("correlation").child("threshold").number(str(correlation.THRESHOLD))
        ),
        muting=Muting(
            tuple(_inhibition(name, item) for name, item in main.child("inhibit").entries()),
            tuple(_maintenance(name, item) for name, item in main.child("maintenance").entries()),
        ),
        canaries=read_canaries(main, topology, slos, metrics),
    )
    beat = _heartbeat(main.child("heartbeat")) if main.has("heartbeat") else None
    for name in sorted(set(metrics) & set(sources)):
        main.child("metrics").child(name).error(
            "is called like a source of alerts", "give it another name: both are addresses"
        )
    rates = {name: _rate(node.child("rate")) for name, node in channels}
    _check_addresses(main, pagers, paging)
    config = Config(
        rules,
        sources,
        _naming(main),
        pagers,
        beat,
        metrics,
        paging.contacts,
        {name: rate for name, rate in rates.items() if rate},
        main.child("public_url").url() if main.has("public_url") else "",
        read_routers(main, topology),
    )
    return config, problems.in_order()


def _source(node: Node) -> SourceConfig:
    kind = node.child("type").choice(*sorted(SOURCES))
    pages = node.child("as").choice("alerts", "pages", default="alerts") == "pages"
    if kind != "generic":
        node.keys("type", "as", required=("type",))
        return SourceConfig(kind, pages=pages)
    node.keys("type", "as", "alerts", "fields", "resolved", required=("type", "fields"))
    node.child("fields").keys(*FIELDS, required=("name",))
    usual = GenericOptions()
    words = tuple(item.text() for item in node.child("resolved").items())
    return SourceConfig(
        kind,
        GenericOptions(
            {name: _path(item) for name, item in node.child("fields").entries()},
            _path(node.child("alerts")) if node.has("alerts") else "",
            words or usual.resolved,
        ),
        pages,
    )


def _pager(node: Node) -> PagerOptions:
    kind = node.child("type").choice(*PAGERS)
    need = {
        "webhook": ("url", "secret_env"),
        "pagerduty": ("routing_key_env",),
        "slack": ("url_env",),
        "email": ("smtp", "from"),
        "apprise": ("url_env",),
        "terminal": (),
    }[kind]
    may = {
        "pagerduty": ("url",),
        "slack": ("signing_secret_env",),
        "email": ("tls", "username", "password_env", "tls_ca", "to"),
    }.get(kind, ())
    node.keys("type", "rate", *need, *may, required=("type", *need))
    match kind:
        case "webhook":
            return WebhookOptions(node.child("url").url(), node.child("secret_env").text())
        case "pagerduty":
            url = node.child("url").url() if node.has("url") else PAGERDUTY_URL
            return PagerDutyOptions(node.child("routing_key_env").text(), url)
        case "slack":
            signing = node.child("signing_secret_env").text(default="")
            return SlackOptions(node.child("url_env").text(), signing)
        case "email":
            return _email(node)
        case "apprise":
            return AppriseOptions(node.child("url_env").text())
        case _:
            return TerminalOptions()


def _email(node: Node) -> EmailOptions:
    host, _, port = node.child("smtp").text().rpartition(":")
    if node.has("smtp") and (not host or not port.isdigit() or not 0 < int(port) < 65_536):
        node.child("smtp").error(
            f"is {node.child('smtp').shape}", "write it like mail.example.org:587"
        )
        host, port = "localhost", "587"
    for name in ("from", "to"):
        address = node.child(name).text(default="")
        if address and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", address):
            node.child(name).error("is no e-mail address", "write it like oncall@example.org")
    if node.has("username") is not node.has("password_env"):
        node.error("has only one of username and password_env", "write both")
    tls = node.child("tls").choice("starttls", "tls", "none", default="starttls")
    return EmailOptions(
        host,
        int(port or 587),
        node.child("from").text(),
        cast("Literal['starttls', 'tls', 'none']", tls),
        node.child("username").text(default=""),
        node.child("password_env").text(default=""),
        node.child("tls_ca").text(default=""),
        node.child("to").text(default=""),
    )


def _rate(node: Node) -> Rate | None:
    """Read how many pages a pager takes in a time, such as 10/1m."""
    if node.value is None:
        return None
    count, _, span = str(node.value).partition("/")
    found = re.fullmatch(r"(\d+)([smhd])", span)
    if not count.isdigit() or int(count) < 1 or not found or int(found[1]) < 1:
        node.error(f"is {node.shape}", "write it like 10/1m")
        return None
    return Rate(int(count), int(found[1]) * UNITS_S[found[2]])


def _jobs(node: Node, topology: Topology, sources: Collection[str]) -> dict[str, Watched]:
    found: dict[str, Watched] = {}
    for name, item in node.entries():
        item.keys("service", "every", "grace", "severity", "alert", "source", required=("every",))
        if item.has("service"):
            item.child("service").known("service", topology.services, "topology.yaml")
        if item.has("alert") is not item.has("source"):
            item.error(
                "has only one of alert and source", "write both: which alert of which source"
            )
        elif item.has("source") and item.child("source").text() not in sources:
            remedy = f"known are {', '.join(sources) or 'none'}"
            item.child("source").error(f"is {item.child('source').shape}, no source", remedy)
        if name in sources:
            item.error("is called like a source", "give it another name: both are addresses")
        usual = "sev2" if item.has("alert") else "sev3"
        found[name] = Watched(
            name,
            item.child("every").duration_s(3_600),
            item.child("grace").duration_s(0) if item.has("grace") else 0,
            item.child("service").text(default=""),
            cast("Severity", item.child("severity").choice(*SEVERITIES, default=usual)),
            item.child("alert").text(default=""),
            item.child("source").text(default=""),
        )
    alerts = [(job.source, job.alert) for job in found.values() if job.alert]
    for name, job in found.items():
        if job.alert and alerts.count((job.source, job.alert)) > 1:
            node.child(name).error("waits for the same alert as another job", "remove one")
    return found


def _check_addresses(main: Node, pagers: dict[str, PagerOptions], paging: Paging) -> None:
    """Note people whom a pager of theirs would not find."""
    people = main.child("people")
    for name, contact in paging.contacts.items():
        listed = people.child(name).child("pagers")
        for one in listed.items() if isinstance(listed.value, list) else ():
            options = pagers.get(str(one.value))
            if isinstance(options, EmailOptions) and not contact.email:
                one.error(f"sends e-mail, and {name} has no address", "add email to the person")


def _naming(main: Node) -> Naming:
    """Read which labels name a service, and what one's own severities mean."""
    labels = tuple(n.text() for n in main.child("service_labels").items()) or SERVICE_LABELS
    kinds = tuple(dict.fromkeys(LEVELS.values()))
    own: dict[str, Level] = {
        name.lower(): cast("Level", node.choice(*kinds))
        for name, node in main.child("levels").entries()
    }
    return Naming(labels, {**LEVELS, **own})


def _heartbeat(node: Node) -> HeartbeatConfig:
    node.keys("url", "every", required=("url",))
    return HeartbeatConfig(node.child("url").url(), node.child("every").duration_s(60))


def _path(node: Node) -> str:
    text = node.text()
    try:
        steps(text)
    except ValueError as error:
        node.error(f"is no path: {error}", "write it like $.labels.app or $.items[0]")
        return "$"
    return text


def _categories(node: Node, topology: Topology) -> tuple[Category, ...]:
    if node.value is None:
        return ()
    node.keys("categories")
    found: list[Category] = []
    for name, item in node.child("categories").entries():
        item.keys("words", "service", "route", required=("words", "service", "route"))
        words = tuple(w.text() for w in item.child("words").items())
        service = item.child("service")
        service.known("service", topology.services, "topology.yaml")
        found.append(Category(name, words, service.text(), item.child("route").text()))
    return tuple(found)


def _inhibition(name: str, node: Node) -> Inhibition:
    node.keys("source", "target", "equal", required=("source", "target"))
    return Inhibition(
        name,
        _matchers(node.child("source")),
        _matchers(node.child("target")),
        tuple(item.text() for item in node.child("equal").items()),
    )


def _maintenance(name: str, node: Node) -> Maintenance:
    node.keys("matchers", "hours", "time_zone", required=("matchers", "hours"))
    hours = tuple(read_hours(item) for item in node.child("hours").items())
    zone = read_zone(node.child("time_zone"))
    layer = Layer("window", (name,), "2026-01-05T00:00", hours=hours)
    if not hours:
        node.child("hours").error("names no hours", "write [{from: '02:00', to: '03:00'}]")
    return Maintenance(name, _matchers(node.child("matchers")), Schedule(name, zone, (layer,)))


def _matchers(node: Node) -> tuple[Matcher, ...]:
    items = list(node.items())
    found: list[Matcher] = []
    for item in items:
        try:
            found.append(read_matcher(item.text()))
        except ValueError as error:
            item.error(str(error), "see docs/correlation.md")
    if node.value == []:
        node.error("names no label", "write matchers such as [service=shop]")
    return tuple(found)


def _topology(folder: Path, problems: Problems) -> Topology:
    edges = _known_edges(folder / "topology.json", problems)
    file = folder / "topology.yaml"
    if not file.is_file():
        return Topology((), edges)
    root = read_yaml(file, problems)
    root.keys("services", "edges")
    services: dict[str, Service] = {}
    for item in root.child("services").items():
        item.keys("name", "tier", "owner", required=("name",))
        name = item.child("name").text()
        if name in services:
            item.error(f"names {name!r} a second time", "give each service once")
        tier = item.child("tier").integer(3, at_least=1)
        services[name] = Service(name, tier, item.child("owner").text(default=""))
    for item in root.child("edges").items():
        ends = list(item.items())
        if len(ends) != 2:
            item.error("is no edge", "write [caller, callee]")
            continue
        for end in ends:
            if isinstance(end.value, str) and end.value not in services:
                end.error(f"names the unknown service {end.value!r}", "add it to services")
        edges.append((ends[0].text(), ends[1].text()))
    return Topology(services.values(), edges)


class _Edges(Struct):
    edges: list[tuple[str, str]]


_edges = msgspec.json.Decoder(_Edges)


def read_edges(file: Path) -> list[tuple[str, str]]:
    """Read a JSON file of calls, {"edges": [[caller, callee], ...]}. Raises BadFile."""
    remedy = 'write {"edges": [["caller", "callee"]]}'
    try:
        return _edges.decode(file.read_bytes()).edges
    except OSError as error:
        raise BadFile(error.strerror or "cannot be read", place=str(file), remedy=remedy) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadFile(f"is no list of edges: {error}", place=str(file), remedy=remedy) from None


def _known_edges(file: Path, problems: Problems) -> list[tuple[str, str]]:
    """Read the calls that a mesh or a tracing system has written down, when there are any."""
    if not file.is_file():
        return []
    try:
        return read_edges(file)
    except BadFile as error:
        problems.add(file.name, error.message, error.remedy)
        return []


def _metrics(node: Node) -> dict[str, MetricsOptions]:
    return {name: _metrics_source(item) for name, item in node.entries()}


def _metrics_source(node: Node) -> MetricsOptions:
    kind = node.child("type").choice(*METRICS)
    if kind == "pushed":
        node.keys("type", required=("type",))
        return PushedOptions()
    if kind == "proxy":
        node.keys("type", "url", "token_env", required=("type", "url", "token_env"))
        return ProxyOptions(node.child("url").url(), node.child("token_env").text())
    if kind == "file":
        node.keys("type", "path", required=("type", "path"))
        return FileOptions(node.child("path").text())
    node.keys(
        "type", "url", "token_env", "username", "password_env", "tls_ca", "timeout",
        required=("type", "url"),
    )  # fmt: skip
    if node.has("token_env") and node.has("username"):
        node.child("username").error("stands beside token_env", "write one of the two")
    if node.has("username") is not node.has("password_env"):
        node.error("has only one of username and password_env", "write both")
    return PrometheusOptions(
        node.child("url").url(),
        node.child("token_env").text(default=""),
        node.child("username").text(default=""),
        node.child("password_env").text(default=""),
        node.child("tls_ca").text(default=""),
        node.child("timeout").duration_s(10),
    )


def _defaults(node: Node) -> Defaults:
    """Read what holds for every objective that says nothing else."""
    usual = Defaults()
    if node.value is None:
        return usual
    node.keys("period", "tiers", "proof", "quiet_after")
    period_s = node.child("period").duration_s(usual.period_s)
    tiers = [read_tier(name, item, period_s) for name, item in node.child("tiers").entries()]
    return Defaults(
        period_s,
        tuple(tier for tier in tiers if tier) or usual.tiers,
        read_proof(node.child("proof")) if node.has("proof") else usual.proof,
        node.child("quiet_after").duration_s(usual.quiet_s),
    )


def _slos(specs: Specs, topology: Topology, sources: Collection[str]) -> dict[str, Slo]:
    """Check what objectives refer to, and name the source of those that need not say it."""
    found: dict[str, Slo] = {}
    for name, one in specs.found.items():
        if str(one.service.value) not in specs.services:
            one.service.known("service", topology.services, "topology.yaml")
        found[name] = one.slo
        indicator = one.slo.indicator
        if indicator is None:
            continue
        if not indicator.source and len(sources) == 1:
            source = next(iter(sources))
            found[name] = structs.replace(
                one.slo, indicator=structs.replace(indicator, source=source)
            )
        elif indicator.source not in sources:
            near = difflib.get_close_matches(indicator.source, sources, 1)
            hint = f"did you mean {near[0]}?" if near else "add it to metrics in midwatch.yaml"
            says = f"counts in the unknown source {indicator.source!r}"
            if not indicator.source:
                says = "does not say which of the metrics it counts in"
                hint = f"write metricSourceRef: {' or '.join(sources)}"
                hint = hint if sources else "add metrics to midwatch.yaml"
            one.name.error(says, hint)
    return found


def _suites(folder: Path, problems: Problems) -> dict[str, Suite]:
    found: dict[str, Suite] = {}
    for file in sorted((folder / "suites").glob("*")):
        if file.suffix not in SUITE_ENDS:
            continue
        if file.stem in found:
            name = f"{file.parent.name}/{file.name}"
            problems.add(name, f"{file.stem} has two files", "keep one file a service")
        read = read_cases if file.suffix == ".jsonl" else _read_suite
        found[file.stem] = Suite(file.stem, file.stem, read(file, problems))
    return found


def _read_suite(file: Path, problems: Problems) -> tuple[Case, ...]:
    """Read a suite of any known format."""
    try:
        return tuple(suite_files.read(file))
    except BadFile as error:
        problems.add(f"{file.parent.name}/{error.place}", error.message, error.remedy)
        return ()


def read_cases(file: Path, problems: Problems) -> tuple[Case, ...]:
    """Read eval cases, one JSON object a line; ids stand once."""
    name = f"{file.parent.name}/{file.name}"
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
            problems.add(f"{name}:{number}", f"is no case: {error}", remedy)
            continue
        if case.id in cases:
            remedy_id = "give each case its own id"
            problems.add(f"{name}:{number} id", f"{case.id!r} stands twice", remedy_id)
        cases[case.id] = case
    return tuple(cases.values())
