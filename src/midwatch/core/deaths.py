"""An input that could not be decided on, or not be committed: what becomes of what it was about.

Law: nobody waits for it in vain. A timer is set again a few times; an answer is taken for the worst
that it may have been; a canary is taken off. The owner of the service is paged, once for each
source and kind, for as long as that incident is open. What could not even be decided on here is
kept by whoever asked, without a page.
"""

from __future__ import annotations

from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from midwatch.core import decide
from midwatch.core.rules import escalation
from midwatch.core.rules.rules import Rules
from midwatch.core.state import events, inputs
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.runs import named
from midwatch.core.state.shard import Shard
from midwatch.core.state.undo import Undo
from midwatch.core.values.alerts import Alert, identify
from midwatch.core.values.clock import SECOND
from midwatch.core.values.keys import Key, service_of
from midwatch.core.values.reasons import Reason
from midwatch.core.values.severity import Severity, severity_of
from midwatch.texts import cut

RULE = "deaths/1"
ALERT = "InputNotDecided"
FIRST_RETRY_S = 60
MAX_RETRIES = 5
LONGEST = 250  # characters of what comes from outside
GIVES_UP = 1_000  # the attempt of an answer after which nothing is tried again
WE = "midwatch"


class Death(Struct, frozen=True):
    """Why an input died. `refused` when whoever sent it hears that it does not fit the state."""

    says: str
    kind: str
    refused: bool = False


def plain(text: str) -> str:
    """Make a text that every journal takes.

    >>> plain("caf" + chr(0xD800))
    'caf?'
    """
    return text.encode("utf-8", "replace").decode()


def is_ours(given: inputs.Input) -> bool:
    """Say whether nobody but midwatch waits for an answer: then a refusal is a death, too."""
    return type(given) in _OURS


def bury(
    shard: Shard,
    given: inputs.Input,
    death: Death,
    now: int,
    rules: Rules,
    undo: Undo,
    *,
    only_page: bool = False,
) -> tuple[Decision, inputs.Input | None]:
    """Decide what follows; gives what was decided on in the place of an answer that died.

    With `only_page` nothing is, as that died as well.
    """
    d = Decision(shard, max(now, shard.at), undo)
    source, service, incident = _about(d, given)
    kind = f"{type(given).__name__} {death.kind}"
    instead = None if only_page else _instead(d, given, death)
    if instead is not None:
        decide.dispatch(d, rules, instead)
    timer = given.timer if isinstance(given, inputs.TimerCameDue) else None
    tries = shard.stumbled.get(timer.key, 0) + 1 if timer is not None else 0
    raised = _alert(d, rules, source, service, kind, death)
    known = raised.fingerprint in shard.firing
    if timer is not None or not known:
        reason = Reason(RULE, raised.summary, {"incident": incident})
        d.emit(
            events.InputDied(
                source=source,
                kind=kind,
                service=service,
                reason=reason,
                timer=timer.key if timer is not None else "",
                tries=tries,
            )
        )
    if timer is not None and tries <= MAX_RETRIES:
        due_at = d.now + FIRST_RETRY_S * 2 ** (tries - 1) * SECOND
        d.set_timer(replace(timer, due_at=due_at))
    if not known:
        decide.dispatch(d, rules, inputs.AlertsArrived(WE, (raised,)))
        _page(d, rules, raised)
    return d, instead


def _page(d: Decision, rules: Rules, raised: Alert) -> None:
    """Page although somebody has the incident that it joined: this is news to them."""
    home = d.shard.firing.get(raised.fingerprint)
    if home is None:
        return
    incident = d.shard.incidents[home]
    paged = any(isinstance(x, events.PagePlanned | events.PageHeld) for x in d.events)
    muted = incident.firing[raised.fingerprint].muted
    if not paged and not muted and incident.state in ("open", "acknowledged"):
        reason = Reason(RULE, raised.summary)
        escalation.page_again(d, rules.policy_of(incident), incident, reason)


def _alert(d: Decision, rules: Rules, source: str, service: str, kind: str, death: Death) -> Alert:
    labels = {"alertname": ALERT, "service": service, "source": source, "kind": kind}
    says = f"{WE} could not decide on what {source} sent: {cut(plain(death.says), LONGEST)}"
    alert = identify(labels, key=f"{ALERT}/{source}/{kind}").alert("firing", d.now, summary=says)
    team = rules.policy.team
    severity = severity_of("critical", rules.topology.tier(service), team.table)
    paging = [one for one, urgency in team.urgency.items() if urgency == "page"]
    if paging and severity not in paging:
        severity = cast("Severity", max(paging))
    return replace(alert, severity=severity)


def worst_of(given: inputs.Input, death: Death) -> inputs.Input:
    """Give the worst that an answer may have been; any other input as it is."""
    says = _says(death)
    match given:
        case inputs.PageAnswered():
            return inputs.PageAnswered(given.key, given.incident, GIVES_UP, error=says)
        case inputs.ReleaseAnswered() | inputs.ActionAnswered():
            return replace(given, attempt=GIVES_UP, state="unknown", seen=says)
        case inputs.EvalsAnswered():
            return inputs.EvalsAnswered(given.key, given.incident, GIVES_UP, error=says)
        case _:
            return given


def _says(death: Death) -> str:
    return f"its answer could not be taken: {cut(plain(death.says), LONGEST)}"


def _instead(d: Decision, given: inputs.Input, death: Death) -> inputs.Input | None:
    """Give what is decided on in the place of what died."""
    says, worst = _says(death), worst_of(given, death)
    if worst is not given:
        return worst
    match given:
        case inputs.CanaryRead():
            pointer = d.shard.pointers.get(given.service)
            if pointer is not None and pointer.canary is not None:
                return inputs.AbortCanary(given.service, WE, says)
        case inputs.TimerCameDue() if given.timer.purpose == "step":
            incident = d.incident(given.timer.incident)
            name = _step_of(incident, given.timer) if incident is not None else ""
            if incident is not None and name:
                return inputs.ActionAnswered(name, incident.id, GIVES_UP, "unknown", says)
        case _:
            pass
    return None


def _step_of(incident: Incident, timer: inputs.Timer) -> str:
    """Give what is under way of the plan that a timer is for."""
    run = named(incident.plans, Key.read(timer.key).after(incident.id))
    return run.operation if run else incident.operation


def sender(given: inputs.Input) -> str:
    """Say who sent an input, as far as it says so itself.

    >>> sender(inputs.Acknowledge("INC-1", "ada"))
    'people'
    """
    if isinstance(given, inputs.TimerCameDue):
        return f"the timer to {given.timer.purpose}"
    return plain(getattr(given, "source", "")) or _OURS.get(type(given), "people")


def _about(d: Decision, given: inputs.Input) -> tuple[str, str, str]:
    """Say who sent an input, and which service and incident it is about; "" when none is known."""
    source, service, incident = sender(given), "", ""
    match given:
        case inputs.AlertsArrived() | inputs.PagesSeen():
            service = next((a.service for a in given.alerts if a.service), "")
        case inputs.ChangesArrived():
            service = next((one.service for one in given.changes), "")
        case inputs.TicketsArrived():
            service = next((one.service for one in given.tickets if one.service), "")
        case inputs.SliMeasured():
            service = service_of(given.reading.slo)
        case inputs.SliCounted():
            service = next((service_of(one.slo) for one in given.buckets), "")
        case inputs.TimerCameDue():
            incident = given.timer.incident
            service = Key.read(given.timer.key).rest if given.timer.purpose == "prove" else ""
        case inputs.ReleaseAnswered():
            incident = given.incident
            found = (p.service for p in d.shard.pointers.values() if p.pending == given.key)
            service = next(found, "")
        case _:
            service = getattr(given, "service", "")
            incident = getattr(given, "incident", "")
    known = d.incident(incident)
    if known is not None and not service:
        service = known.speaks_of
    return source, cut(plain(service), LONGEST), plain(incident)


_OURS: dict[type, str] = {
    inputs.TimerCameDue: "a timer",
    inputs.SliMeasured: "the metrics",
    inputs.PageAnswered: "a pager",
    inputs.ReleaseAnswered: "a router",
    inputs.ActionAnswered: "an action",
    inputs.EvalsAnswered: "the evals",
    inputs.CanaryRead: "the metrics of a canary",
    inputs.ReleaseSeen: "a router",
    inputs.ReleaseChecked: "a router",
}
