"""What moves traffic, and how candidates are tried: routers and canaries out of midwatch.yaml.

Law: a service has one router at the most. A guard names where its counts come from and which
release it asks for; one that cannot tell releases apart is an error.
"""

from __future__ import annotations

from collections.abc import Mapping

from midwatch.adapters.metrics.options import (
    COUNTED,
    PrometheusOptions,
    ProxyOptions,
    PushedOptions,
)
from midwatch.adapters.routers.options import (
    TIMEOUT_S,
    CommandOptions,
    HaproxyOptions,
    SplitOptions,
)
from midwatch.core.values.canary import RELEASE, CanaryPlan, Guard
from midwatch.core.values.sli import Indicator
from midwatch.core.values.slo import Slo
from midwatch.core.values.topology import Topology
from midwatch.registry import ROUTERS, MetricsOptions, RouterOptions
from midwatch.yaml_nodes import Node

# Of each kind of router: what it needs, and what it may say.
ROUTER_KEYS = {
    "command": (("apply", "observe"), ("timeout", "check")),
    "haproxy": (("socket", "backend", "state"), ("config", "servers", "server_state")),
    "split": (("url", "token_env"), ()),
}


def read_routers(main: Node, topology: Topology) -> dict[str, RouterOptions]:
    """Read the routers; each service has one at the most."""
    found: dict[str, RouterOptions] = {}
    taken: dict[str, str] = {}
    for name, node in main.child("routers").entries():
        kind = node.child("type").choice(*ROUTERS)
        needed, may = ROUTER_KEYS[kind]
        node.keys("type", "services", *needed, *may, required=("type", *needed))
        for item in node.child("services").items():
            item.known("service", topology.services, "topology.yaml")
        services = tuple(item.text() for item in node.child("services").items())
        for one in services or ("",):
            if other := taken.get(one) or (taken and taken.get("")):
                node.error(
                    f"{other} already routes these services",
                    "list its services; each belongs to one router",
                )
            taken[one] = name
        match kind:
            case "haproxy":
                found[name] = _haproxy(node, services)
            case "split":
                url, token = node.child("url").url(), node.child("token_env").text()
                found[name] = SplitOptions(url, token, services)
            case _:
                found[name] = _tool(node, services)
    return found


def _tool(node: Node, services: tuple[str, ...]) -> CommandOptions:
    return CommandOptions(
        _command(node.child("apply"), "{release}"),
        _command(node.child("observe"), ""),
        services,
        node.child("timeout").duration_s(TIMEOUT_S),
        _command(node.child("check"), "") if node.has("check") else (),
    )


def _haproxy(node: Node, services: tuple[str, ...]) -> HaproxyOptions:
    return HaproxyOptions(
        node.child("socket").text(),
        node.child("backend").text(),
        node.child("state").text(),
        node.child("config").text(default=""),
        {name: item.text() for name, item in node.child("servers").entries()},
        services,
        node.child("server_state").text(default=""),
    )


def _command(node: Node, needed: str) -> tuple[str, ...]:
    arguments = tuple(item.text() for item in node.items())
    if not arguments:
        node.error("not a command", "write a list: [deployctl, served, '{service}']")
    elif needed and not any(needed in one for one in arguments):
        node.error(f"{needed} is missing", f"put {needed} into the command")
    return arguments


def read_canaries(
    main: Node, topology: Topology, slos: Mapping[str, Slo], metrics: Mapping[str, MetricsOptions]
) -> dict[str, CanaryPlan]:
    """Read how candidates of each service are tried."""
    found: dict[str, CanaryPlan] = {}
    for service, node in main.child("canaries").entries():
        node.known("service", topology.services, "topology.yaml", value=service)
        node.keys(
            "guards",
            "steps",
            "samples",
            "step_time",
            "warm_up",
            "deadline",
            "every",
            "lag",
            "alpha",
            "margin",
            required=("guards",),
        )
        guards = tuple(
            _guard(name, item, slos, metrics) for name, item in node.child("guards").entries()
        )
        if node.has("guards") and not guards:
            node.child("guards").error(
                "the list is empty", "guard at least errors or judged answers"
            )
        usual = CanaryPlan(())
        every_s = node.child("every").duration_s(usual.every_s)
        if every_s % 10:
            node.child("every").error("not a multiple of 10s", "write 10s, 30s or 1m")
        found[service] = CanaryPlan(
            guards,
            _steps(node.child("steps"), usual.steps),
            node.child("samples").integer(usual.samples, at_least=1),
            node.child("step_time").duration_s(usual.step_s),
            node.child("warm_up").duration_s(usual.warm_up_s),
            node.child("deadline").duration_s(usual.deadline_s),
            every_s,
            node.child("lag").duration_s(usual.lag_s),
            _share(node.child("alpha"), usual.alpha, 0.5),
            _share(node.child("margin"), usual.margin, 1.0),
        )
    return found


def _steps(node: Node, usual: tuple[int, ...]) -> tuple[int, ...]:
    if node.value is None:
        return usual
    steps = [item.integer(0, at_least=1) for item in node.items()]
    rising = steps == sorted(set(steps)) and steps and steps[0] < 100 and steps[-1] <= 100
    if not rising:
        node.error("the percentages must rise from 1 to 100", "write a list such as [1, 5, 25, 50]")
        return usual
    # At 100 there is nothing to compare with: that is the promotion.
    return tuple(one for one in steps if one < 100)


def _share(node: Node, usual: float, most: float) -> float:
    found = float(node.number(str(usual)))
    if not 0 < found < most:
        node.error(f"got {found:g}", f"write a share above 0 and below {most:g}, such as 0.05")
        return usual
    return found


def _guard(
    name: str, node: Node, slos: Mapping[str, Slo], metrics: Mapping[str, MetricsOptions]
) -> Guard:
    node.keys("slo", "source", "good", "bad", "total", "margin", "floor")
    margin = _share(node.child("margin"), 0.05, 1.0)
    floor = _share(node.child("floor"), 0.8, 1.0)
    if node.has("slo"):
        return Guard(name, margin, _of_slo(node, slos, metrics), node.child("slo").text(), floor)
    source = node.child("source")
    if not source.value and len(metrics) == 1:
        label = next(iter(metrics))
    else:
        source.known("source", metrics, "metrics in midwatch.yaml")
        label = source.text()
    parts = {part: node.child(part).text(default="") for part in ("good", "bad", "total")}
    written = [part for part, text in parts.items() if text]
    options = metrics.get(label)
    if len(written) != 2:
        node.error(
            f"got {' and '.join(written) or 'none of good, bad and total'}",
            "write two of good, bad, total",
        )
    elif isinstance(options, ProxyOptions):
        for part in written:
            node.child(part).choice(*COUNTED)
            parts[part] = f"{RELEASE}/{parts[part]}"
    elif isinstance(options, PrometheusOptions):
        for part in written:
            if RELEASE not in parts[part]:
                says = f"the query does not contain {RELEASE}"
                node.child(part).error(says, f'write a label such as release="{RELEASE}"')
    else:
        node.error("this source cannot separate releases", "use Prometheus, the proxy, or slo:")
    # A question about a window names it; one about a counter is asked again and again.
    windowed = "{{.window}}" in "".join(parts.values())
    kind = "increase" if windowed else "counter"
    asked = Indicator(kind, label, parts["good"], parts["bad"], parts["total"])
    return Guard(name, margin, asked, "", floor)


def _of_slo(
    node: Node, slos: Mapping[str, Slo], metrics: Mapping[str, MetricsOptions]
) -> Indicator:
    """Take the counts of an objective that is pushed: each push says which release it is of."""
    child = node.child("slo")
    child.known("objective", slos, "slos/")
    if any(node.has(key) for key in ("source", "good", "bad", "total")):
        node.error("slo is enough", "remove the other keys: the SLO already has its SLI events")
    slo = slos.get(str(child.value))
    indicator = slo.indicator if slo else None
    if indicator is None:
        return Indicator("delta")  # nobody measures it, as in a drill
    if not isinstance(metrics.get(indicator.source), PushedOptions):
        child.error("not a pushed query", f"write source, good and total with {RELEASE}")
    return indicator
