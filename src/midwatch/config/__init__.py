"""A config directory, read into one frozen value.

Law: every error is collected and names file, line, key and remedy; nothing is guessed and nothing
unknown is ignored. YAML is 1.2: `Yes` stays a string and a key stands once.

    midwatch.yaml   service_labels, levels, sources, pagers, heartbeat, correlation, escalation,
                    tickets, metrics, slo_defaults, people, public_url, inhibit, maintenance,
                    watched_jobs, routers, canaries, actions, automation, limits, trust,
                    always_page, cases
    topology.yaml   services and caller -> callee edges
    topology.json   more edges, as a mesh or a tracing system wrote them down
    schedules/*.yaml  who is on call, in turn; an escalation step may name the file
    slos/*.yaml     objectives, as OpenSLO v1 or Sloth prometheus/v1
    runbooks/*.md   front matter with the steps, then text for people
    suites/*        eval cases of any known format; the file is named after its service
"""

from __future__ import annotations

import shlex
from pathlib import Path

from msgspec import Struct, field, structs

from midwatch.adapters.metrics.options import PrometheusOptions
from midwatch.adapters.pagers.options import TerminalOptions
from midwatch.adapters.specs.reader import read_specs
from midwatch.config.grouping import read_gatherings, read_threshold, read_wall, wants_groups
from midwatch.config.jobs import read_jobs
from midwatch.config.limits import LOOPBACK, Limits, read_limits, read_trust
from midwatch.config.metrics import read_metrics
from midwatch.config.muting import read_always, read_muting
from midwatch.config.pagers import check_addresses, read_pagers
from midwatch.config.paging import read_paging
from midwatch.config.releases import read_canaries, read_routers
from midwatch.config.runbooks import read_books
from midwatch.config.slos import check_slos, read_defaults
from midwatch.config.sources import SourceConfig, read_naming, read_sources
from midwatch.config.suites import read_suites
from midwatch.config.tickets import read_tickets
from midwatch.config.topology import read_topology
from midwatch.config.unread import find_unread
from midwatch.core.rules.rules import Rules
from midwatch.core.values.alerts import Naming
from midwatch.errors import BadFile
from midwatch.ports import Rate
from midwatch.registry import FOLLOWERS, Contact, MetricsOptions, PagerOptions, RouterOptions
from midwatch.yaml_nodes import Node, Problems, read_yaml

# Addresses below /intake that are no sources of alerts or counts.
INTAKES = ("changes", "tickets")
USUAL = Path("midwatch")
ELSEWHERE = "choose a directory with --config"


class HeartbeatConfig(Struct, frozen=True):
    """Whom midwatch tells that it lives: a URL, fetched every so many seconds."""

    url: str
    every_s: int = 60


KEPT_LEAST_S = 86_400


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
    limits: Limits = Limits()
    trust: tuple[str, ...] = LOOPBACK  # networks whose proxies are believed
    keep_s: int = 0  # how long events are kept; 0 is for ever


def load(folder: Path) -> Config:
    """Read a config directory. Raises BadFile with the first error; `check` gives them all."""
    config, problems = check(folder)
    if not problems:
        return config
    first, *more = problems
    if more:
        says = f"{first.remedy}; midwatch check lists {len(more)} more"
        raise BadFile(first.message, place=first.place, remedy=says)
    raise first


def how_to_begin(folder: Path) -> str:
    """Name the command that writes a config directory there.

    >>> how_to_begin(USUAL), how_to_begin(Path("two words"))
    ('midwatch init', "midwatch init 'two words'")
    """
    return "midwatch init" if folder == USUAL else f"midwatch init {shlex.quote(str(folder))}"


def check(folder: Path, elsewhere: str = ELSEWHERE) -> tuple[Config, list[BadFile]]:
    """Read a config directory and give every error in it, in the order of files and lines.

    When it is not there, `elsewhere` is how to name another.
    """
    problems = Problems()
    if not (folder / "midwatch.yaml").is_file():
        remedy = f"create it with {how_to_begin(folder)}, or {elsewhere}"
        problems.add(str(folder / "midwatch.yaml"), "not found", remedy)
        return Config(Rules()), problems.found
    main = read_yaml(folder / "midwatch.yaml", problems)
    unread = bool(problems.found)
    find_unread(folder, problems)
    topology = read_topology(folder, problems)
    suites = read_suites(folder, problems)
    main.keys(
        "service_labels",
        "levels",
        "sources",
        "correlation",
        "escalation",
        "tickets",
        "pagers",
        "heartbeat",
        "metrics",
        "slo_defaults",
        "people",
        "public_url",
        "watched_jobs",
        "inhibit",
        "maintenance",
        "routers",
        "canaries",
        "actions",
        "automation",
        "keep",
        "limits",
        "trust",
        "always_page",
        "cases",
    )
    files = [*sorted((folder / "slos").glob("*.yaml")), *sorted((folder / "slos").glob("*.yml"))]
    specs = read_specs(files, problems, read_defaults(main.child("slo_defaults")))
    if unread:
        # What the other files name in it would be told as unknown.
        return Config(Rules()), problems.in_order()
    metrics = read_metrics(main.child("metrics"))
    for name, source in specs.sources.items():
        metrics.setdefault(name, PrometheusOptions(source.url))
    slos = check_slos(specs, topology, metrics)
    grouping = main.child("correlation")
    if main.has("correlation"):
        grouping.keys("threshold", "wall", "routes")
    sources = read_sources(main.child("sources"))
    for name, node in (*main.child("sources").entries(), *main.child("metrics").entries()):
        if name in INTAKES:
            node.error(f"the name {name!r} cannot be used", "that address is reserved; rename it")
    _check_segments(main)
    pagers, rates = read_pagers(main.child("pagers"))
    known = pagers or {"terminal": TerminalOptions()}
    followers = [name for name, options in known.items() if isinstance(options, FOLLOWERS)]
    paging = read_paging(main, folder, known, followers, problems)
    who = {*paging.policy.team.people, *paging.policy.team.schedules}
    desk = read_tickets(main.child("tickets"), topology.services)
    rules = Rules(
        topology=topology,
        slos=slos,
        policy=paging.policy,
        policies=paging.policies,
        routes=paging.routes,
        jobs=read_jobs(main.child("watched_jobs"), topology, sources),
        books=read_books(main, folder, slos, topology, who, problems),
        categories=desk.categories,
        trouble=desk.trouble,
        trusted=desk.trusted,
        suites=suites,
        threshold=read_threshold(grouping),
        wall=read_wall(grouping),
        gatherings=read_gatherings(grouping),
        muting=read_muting(main),
        canaries=read_canaries(main, topology, slos, metrics),
        always_page=read_always(main.child("always_page")),
        always_case=main.child("cases").choice("possible", "always", default="possible")
        == "always",
    )
    beat = _heartbeat(main.child("heartbeat")) if main.has("heartbeat") else None
    for name in sorted(set(metrics) & set(sources)):
        main.child("metrics").child(name).error(
            "has the name of an alert source", "rename it: both names are addresses"
        )
    check_addresses(main, pagers, paging)
    config = Config(
        rules,
        sources,
        structs.replace(read_naming(main), groups=wants_groups(grouping)),
        pagers,
        beat,
        metrics,
        paging.contacts,
        rates,
        main.child("public_url").url() if main.has("public_url") else "",
        read_routers(main, topology),
        read_limits(main.child("limits")),
        read_trust(main.child("trust")),
        _keep(main),
    )
    return config, problems.in_order()


def _keep(main: Node) -> int:
    """Read how long events are kept; a day is the least."""
    kept_s = main.child("keep").duration_s(0)
    if main.has("keep") and kept_s < KEPT_LEAST_S:
        main.child("keep").error("shorter than a day", "write at least 1d, such as 90d")
    return kept_s


def _heartbeat(node: Node) -> HeartbeatConfig:
    node.keys("url", "every", required=("url",))
    return HeartbeatConfig(node.child("url").url(), node.child("every").duration_s(60))


def _check_segments(main: Node) -> None:
    """Note names that are to stand in an address and would not be found there."""
    groups = [main.child(name) for name in ("sources", "metrics", "watched_jobs")]
    slack = [(n, p) for n, p in main.child("pagers").entries() if p.child("type").value == "slack"]
    for name, node in [*(one for group in groups for one in group.entries()), *slack]:
        if "/" in name or name in ("", ".", ".."):
            node.error(
                f"the name {name!r} cannot be used",
                "the name is part of an address: use no slash and no dots",
            )
