"""Long, drawn histories of one shard: whatever may arrive, in any order."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from midwatch.core.rules.planning import Books
from midwatch.core.rules.rules import Rules
from midwatch.core.state import inputs
from midwatch.core.state.releases import Pointer
from midwatch.core.state.shard import Shard
from midwatch.core.values import harm
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.canary import CanaryPlan, Guard, Sides
from midwatch.core.values.changes import Change
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.judgements import Judgement
from midwatch.core.values.plans import Match, Runbook
from midwatch.core.values.plans import Step as BookStep
from midwatch.core.values.silences import Inhibition, Matcher, Muting, read_matcher
from midwatch.core.values.sli import Counts, Edge, Indicator, SliReading, Trace
from midwatch.core.values.slo import DAY_S, Slo
from midwatch.core.values.teams import Policy, Step
from midwatch.core.values.topology import Service, Topology

SERVICES = ("shop", "cart", "db", "mail", "news")
NAMES = ("Slow", "Down", "Errors", "Full")
PEOPLE = ("ada", "ben")
OBJECTIVES = (Slo("shop/answers", "shop", "0.99"), Slo("mail/sent", "mail", "0.99"))
WINDOWS_S: tuple[int, ...] = (300, 1_800, 3_600, 21_600, 86_400, 3 * DAY_S, 28 * DAY_S)


def _fits(name: str) -> tuple[Matcher, ...]:
    return (read_matcher(f"alertname={name}"),)


RULES = Rules(
    topology=Topology(
        [Service("shop", 1), Service("cart", 1), Service("db", 2), Service("mail", 3)],
        [("shop", "cart"), ("cart", "db"), ("news", "mail")],
    ),
    slos={one.id: one for one in OBJECTIVES},
    policy=Policy("p", (Step(("ada",), 300), Step(("ben",), 600)), repeat=0),
    books=Books((Runbook("book", 1, Match("shop/answers"), (BookStep("r", "release.rollback"),)),)),
    muting=Muting((Inhibition("down", _fits("Down"), _fits("Slow"), ("zone",)),)),
    canaries={"shop": CanaryPlan((Guard("errors", 0.02, Indicator("counter")),), (10, 50))},
)


def history(seed: int, state: Shard, many: int = 150) -> Iterator[tuple[int, inputs.Input]]:
    """Give moments and inputs; what is drawn next knows what the shard has by then."""
    rng, now = Random(f"history/{seed}"), 1_000_000
    draws = [
        (_alerts, 9),
        (_read, 4),
        (_person, 9),
        (_timer, 6),
        (_answer, 5),
        (_release, 5),
        (_mute, 3),
        (_ticket, 2),
        (_clock, 1),
    ]
    for release, good in (("v1", True), ("v2", False), ("v3", False)):
        yield (
            now,
            inputs.RegisterRelease("shop", release, f"d-{release}", good, live=release != "v3"),
        )
    for _ in range(many):
        now += rng.choice((0, 500, 20_000, 400_000))
        draw = rng.choices([one for one, _ in draws], [weight for _, weight in draws])[0]
        given = draw(rng, state, now)
        if given is not None:
            yield now, given


def alert(rng: Random, now: int) -> Alert:
    """An alert that fires, or one that ends."""
    labels = {
        "alertname": rng.choice(NAMES),
        "service": rng.choice(SERVICES),
        "severity": rng.choice(("critical", "warning", "info")),
        "zone": rng.choice(("a", "b")),
        "pod": str(rng.randrange(4)),
        **({"namespace": rng.choice(("eu", "us"))} if rng.random() < 0.3 else {}),
    }
    starts_at = now - rng.randrange(60_000)
    if rng.random() < 0.4:
        return identify(labels).alert("resolved", starts_at, now)
    return identify(labels).alert("firing", starts_at, summary=f"{rng.random():.2f} of it")


def _alerts(rng: Random, state: Shard, now: int) -> inputs.Input:
    if state.incidents and rng.random() < 0.15:  # all of an incident ends at once
        firing = rng.choice(list(state.incidents.values())).firing.values()
        ended = (identify(one.labels).alert("resolved", one.starts_at, now) for one in firing)
        return inputs.AlertsArrived("prom", tuple(ended))
    return inputs.AlertsArrived("prom", tuple(alert(rng, now) for _ in range(rng.randrange(1, 9))))


def _read(rng: Random, state: Shard, now: int) -> inputs.Input:
    good = rng.choice((700, 900, 1_000, 1_000))
    windows: dict[int, Counts] = dict.fromkeys(WINDOWS_S, Counts(good, 1_000))
    slo = rng.choice(OBJECTIVES)
    edges = (Edge(now - 60_000, 0, 0), Edge(now, good, 1_000))
    trace = Trace(edges, now - 60_000, windows[300])
    harms = {
        name: harm.measure(slo.budget, one.outages[slo.id], trace, now, slo.period_s)
        for name, one in state.incidents.items()
        if slo.id in one.outages
    }
    reading = SliReading(
        slo.id, now, windows, (), harms, now - 60_000, now, windows[300], 60 if good < 900 else None
    )
    return inputs.SliMeasured(reading)


def _person(rng: Random, state: Shard, now: int) -> inputs.Input | None:
    if not state.incidents:
        return None
    name, by = rng.choice(list(state.incidents)), rng.choice(PEOPLE)
    one, other = state.incidents[name], rng.choice(list(state.incidents))
    services = tuple(rng.sample(list(one.services), min(1, len(one.services))))
    case = Case(f"case-{rng.randrange(3)}", "how?", "so")
    sides = (Outcome(case.id, "v2", "failed"), Outcome(case.id, "v1", "passed"))
    return rng.choice(
        (
            inputs.Acknowledge(name, by),
            inputs.Unacknowledge(name, by),
            inputs.Reassign(name, by, "ada"),
            inputs.Snooze(name, by, now + 600_000),
            inputs.MergeIncident(name, other, by),
            inputs.MergeIncident(name, other, by),
            inputs.SplitIncident(name, services, (), by),
            inputs.SplitIncident(name, services, (), by),
            inputs.UndoMove(name, by),
            inputs.UndoMove(name, by),
            inputs.ResolveIncident(name, by, "over"),
            inputs.ApprovePlan(name, one.plan_hash, by),
            inputs.RefusePlan(name, one.plan_hash, by, "no"),
            inputs.ProposeFix(name, "v3", by),
            inputs.OfferCase(name, case, "v2", "v1", sides, by),
            inputs.QuarantineCase(case.id, by, now + 600_000, "flaky", by),
            inputs.RetireCase(case.id, "old", by),
            inputs.GrantWaiver(name, "small", by, now + 9_000_000),
            inputs.DraftPostmortem(name, by),
            inputs.EditPostmortem(name, Judgement(), by),
            inputs.CloseIncident(name, by),
        )
    )


def _timer(rng: Random, state: Shard, now: int) -> inputs.Input | None:
    purposes = ("escalate", "escalate", "settle", "settle", "verify", "snooze", "forgotten", "step")
    if rng.random() < 0.2:
        return inputs.TimerCameDue(inputs.Timer("storm", now, "storm", ""))
    if rng.random() < 0.2:
        return inputs.TimerCameDue(inputs.Timer("prove/shop", now, "prove", ""))
    if not state.incidents:
        return None
    name, purpose = rng.choice(list(state.incidents)), rng.choice(purposes)
    return inputs.TimerCameDue(inputs.Timer(f"{purpose}/{name}", now, purpose, name))


def _answer(rng: Random, state: Shard, now: int) -> inputs.Input | None:
    pointer = state.pointers.get("shop")
    if pointer is not None and pointer.pending and rng.random() < 0.5:
        verdict = rng.choice(("applied", "applied", "not-applied", "unknown"))
        owner = next((x.id for x in state.incidents.values() if x.operation == pointer.pending), "")
        return inputs.ReleaseAnswered(pointer.pending, owner, 3, verdict, "seen")
    paged = [one for one in state.incidents.values() if one.pages]
    if not paged:
        return None
    one = rng.choice(paged)
    error = rng.choice((None, None, "503"))
    return inputs.PageAnswered(one.pages[-1].key, one.id, rng.randrange(1, 6), "", error)


def _release(rng: Random, state: Shard, now: int) -> inputs.Input:
    pointer = state.pointers.get("shop") or Pointer("shop")
    operation = f"op/{rng.randrange(1_000)}"
    block = {"errors": Sides(*(rng.choice(((50, 50), (10, 50))) * 2))}
    live = pointer.live
    return rng.choice(
        (
            inputs.RegisterRelease("shop", f"v{rng.randrange(3, 6)}", f"d-{rng.randrange(4)}"),
            inputs.StartCanary("shop", "v3", operation, "ada"),
            inputs.AbortCanary("shop", "ada"),
            inputs.MoveRelease("shop", "promote", operation, "ada", "v3", why="now"),
            inputs.MoveRelease("shop", "rollback", operation, "ada"),
            inputs.ReleaseSeen("shop", "v9", pointer.epoch),
            inputs.ReleaseChecked("shop", live, rng.choice(("", "down")), ""),
            inputs.CanaryRead(
                "shop", pointer.canary.operation if pointer.canary else operation, now, block, ()
            ),
            inputs.ChangesArrived("ci", (Change(operation, "shop", "deploy", now),)),
        )
    )


def _mute(rng: Random, state: Shard, now: int) -> inputs.Input:
    service = rng.choice(SERVICES)
    if state.silences and rng.random() < 0.5:
        return inputs.EndSilence(rng.choice(list(state.silences)), "ada")
    return inputs.AddSilence((f"service={service}",), now, now + 900_000, "ada", "known")


def _clock(rng: Random, state: Shard, now: int) -> inputs.Input:
    by = rng.choice((3_600_000, -3_600_000, 86_400_000, -86_400_000, state.skew, -30_000))
    skew = 0 if by == state.skew else state.skew - by
    return inputs.ClockSeen(by, skew, "boot", now)


def _ticket(rng: Random, state: Shard, now: int) -> inputs.Input:
    text = rng.choice(("the shop is slow", "no mail comes", "checkout shows an error"))
    return inputs.FileTicket(f"T-{rng.randrange(50)}", text, "eve", rng.choice((*SERVICES, "")))
