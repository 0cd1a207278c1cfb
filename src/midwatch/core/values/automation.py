"""What may be done without a person: only what a policy names, and only so much of it.

Law: off by default. A policy names services, severities and how risky a step may be; it has hours
and a number of times. Whatever it says, one service is not changed again within its cool-down, and
not more services than the blast radius are changed within its time. The answer says why not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from midwatch.core.values.actions import Risk
from midwatch.core.values.clock import SECOND, show_duration
from midwatch.core.values.plans import Plan
from midwatch.core.values.reasons import Reason, Term
from midwatch.core.values.schedules import Schedule

RULE = "automation/1"
COOL_DOWN_S = 3_600
SERVICES, WITHIN_S = 1, 3_600
DAY_S = 86_400
KEPT_S = 31 * DAY_S  # no policy looks further back
KEPT = 1_000


class Policy(Struct, frozen=True):
    """Which plans need no person, when, and how often for one service."""

    name: str
    services: tuple[str, ...]
    severities: tuple[str, ...]
    risks: tuple[Risk, ...] = ("read", "reversible")
    runbooks: tuple[str, ...] = ()
    hours: Schedule | None = None
    times: int = 1
    per_s: int = DAY_S


class Automation(Struct, frozen=True):
    """The policies, and the bounds over all of them."""

    policies: tuple[Policy, ...] = ()
    cool_down_s: int = COOL_DOWN_S
    services: int = SERVICES  # the blast radius
    within_s: int = WITHIN_S


class Remediation(Struct, frozen=True):
    """A plan that was begun: of which service, when, and by whose leave."""

    service: str
    at: int
    runbook: str
    by: str


def may_run(
    rules: Automation,
    past: Sequence[Remediation],
    service: str,
    severity: str,
    plan: Plan,
    now: int,
    wall: int | None = None,
) -> tuple[str, Reason]:
    """Name the policy that lets a plan run by itself, empty when a person has to approve it.

    `now` is the journal's time, `wall` the wall clock's, which hours are in; without it they agree.

    >>> roll = Policy("roll", ("shop",), ("sev1",), ("read", "reversible"))
    >>> may_run(Automation((roll,)), (), "shop", "sev1", Plan("book", 1, ()), 0)[0]
    'roll'
    >>> may_run(Automation((roll,)), (), "shop", "sev3", Plan("book", 1, ()), 0)[1].says
    'needs approval: no automation policy covers shop at sev3'
    """
    terms: dict[str, Term] = {"service": service, "severity": severity, "runbook": plan.runbook}
    fitting = [
        one
        for one in rules.policies
        if service in one.services
        and severity in one.severities
        and (not one.runbooks or plan.runbook in one.runbooks)
    ]
    if not fitting:
        says = f"no automation policy covers {service} at {severity}"
        return "", Reason(RULE, f"needs approval: {says}", terms)
    if says := _bounded(rules, past, service, now):
        return "", Reason(RULE, f"needs approval: {says}", terms)
    refusals: list[str] = []
    for policy in fitting:
        says = _refusal(policy, past, service, plan, now, now if wall is None else wall)
        if not says:
            return policy.name, Reason(RULE, f"policy {policy.name} allows it", terms)
        refusals.append(f"policy {policy.name} {says}")
    return "", Reason(RULE, f"needs approval: {'; '.join(refusals)}", terms)


def again_at(
    rules: Automation,
    past: Sequence[Remediation],
    service: str,
    severity: str,
    plan: Plan,
    now: int,
    wall: int | None = None,
) -> int | None:
    """Say when a plan that a person has to approve now may run by itself; None when never.

    Only a cool-down and the hours of a policy pass by themselves; other bounds are a person's.

    >>> roll = Policy("roll", ("shop",), ("sev1",))
    >>> past = (Remediation("shop", 0, "book", "ada"),)
    >>> again_at(Automation((roll,)), past, "shop", "sev1", Plan("book", 1, ()), 60_000)
    3600000
    """
    wall = now if wall is None else wall
    last = max((one.at for one in past if one.service == service), default=None)
    cool_at = now if last is None else max(now, last + rules.cool_down_s * SECOND)
    found: list[int] = []
    for policy in rules.policies:
        if service in policy.services and severity in policy.severities:
            at = _within_hours(policy, cool_at + wall - now)
            found += [] if at is None else [at - wall + now]
    for at in sorted(found):
        if may_run(rules, past, service, severity, plan, at, at - now + wall)[0]:
            return at
    return None


def _within_hours(policy: Policy, wall: int) -> int | None:
    """Find the first moment from `wall` on that is in a policy's hours, within a week."""
    if policy.hours is None:
        return wall
    shifts = policy.hours.shifts(wall, wall + 8 * DAY_S * SECOND)
    return next((max(wall, one.starts_at) for one in shifts if one.person is not None), None)


def _bounded(rules: Automation, past: Iterable[Remediation], service: str, now: int) -> str:
    """Say which bound over all policies stands in the way."""
    since = {one.service: one.at for one in past}  # the newest of each is last
    last = since.get(service)
    if last is not None and now - last < rules.cool_down_s * SECOND:
        ago = show_duration((now - last) // SECOND)
        return f"{service} was changed {ago} ago, within its cool-down"
    near = {name for name, at in since.items() if now - at < rules.within_s * SECOND}
    if len(near - {service}) >= rules.services:
        within = show_duration(rules.within_s)
        return f"{', '.join(sorted(near))} changed within {within}: the blast radius is reached"
    return ""


def _refusal(
    policy: Policy, past: Iterable[Remediation], service: str, plan: Plan, now: int, wall: int
) -> str:
    """Say why a policy that fits does not let a plan run."""
    risky = next((step for step in plan.steps if step.risk not in policy.risks), None)
    if risky is not None:
        return f"does not cover {risky.risk} steps such as {risky.id}"
    if policy.hours is not None and policy.hours.on_call(wall) is None:
        return "does not apply at this hour"
    begun = [one for one in past if one.service == service and one.by == by(policy.name)]
    if sum(now - one.at < policy.per_s * SECOND for one in begun) >= policy.times:
        return f"ran {policy.times} times in {show_duration(policy.per_s)}"
    return ""


def by(policy: str) -> str:
    """Name a policy as the one that approved."""
    return f"policy {policy}"


def keep(past: list[Remediation], one: Remediation) -> None:
    """Remember a remediation as long as any policy may look back."""
    past[:] = [old for old in past if one.at - old.at < KEPT_S * SECOND][-(KEPT - 1) :]
    past.append(one)
