"""Who is paged, when the next one is, and how bad an incident is.

Law: severity comes from the burning tier, or for a service without an SLO from the table over
alert level and service tier; it only ever rises. An incident whose severity pages and that nobody
has acknowledged always has a page under way, a timer, or a visible "exhausted". An ack stops
everything: no page is planned, claimed or escalated after it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

from msgspec import Struct, field

from midwatch.core import effects, events, inputs
from midwatch.core.alerts import Level
from midwatch.core.clock import SECOND, show_duration, show_time
from midwatch.core.decision import Decision
from midwatch.core.incidents import Incident, is_waiting_for_ack
from midwatch.core.reasons import Reason
from midwatch.core.schedules import Schedule
from midwatch.core.slo import Severity
from midwatch.errors import StateError

RULE = "escalation/1"
Urgency = Literal["page", "ticket"]

# Rows: alert level. Columns: service tier 1, 2, 3 and below.
SEVERITY_TABLE: dict[Level, tuple[Severity, Severity, Severity]] = {
    "critical": ("sev1", "sev2", "sev3"),
    "error": ("sev2", "sev3", "sev3"),
    "warning": ("sev3", "sev3", "sev4"),
    "info": ("sev4", "sev4", "sev4"),
}
URGENCY: dict[Severity, Urgency] = {
    "sev1": "page",
    "sev2": "page",
    "sev3": "ticket",
    "sev4": "ticket",
}
MAX_ATTEMPTS = 5
FIRST_RETRY_S = 5


class Step(Struct, frozen=True):
    """Page one person by one pager, then wait `delay_s` for the ack before the next step.

    `to` is a person, or a schedule of the policy: then it is whoever is on call.
    """

    to: str
    delay_s: int = 300
    via: str = ""


class Policy(Struct, frozen=True):
    """Steps in order; after the last one they start over `repeat` times."""

    name: str
    steps: tuple[Step, ...]
    repeat: int = 1
    schedules: dict[str, Schedule] = field(default_factory=dict[str, Schedule])

    def person(self, step: Step, now: int) -> str:
        """Name whom a step pages at a moment.

        >>> weekly = Schedule("primary", ("ada", "ben"), "UTC", "1970-01-01T00:00", 7)
        >>> Policy("p", (), schedules={"primary": weekly}).person(Step("primary"), 604_800_000)
        'ben'
        """
        schedule = self.schedules.get(step.to)
        return schedule.on_call(now) if schedule else step.to

    def step(self, number: int) -> Step | None:
        """Give step `number`, counted over all repeats; None when the policy is exhausted.

        >>> p = Policy("p", (Step("ada"), Step("ben")), repeat=1)
        >>> [s.to if (s := p.step(n)) else None for n in range(5)]
        ['ada', 'ben', 'ada', 'ben', None]
        """
        if number >= len(self.steps) * (self.repeat + 1):
            return None
        return self.steps[number % len(self.steps)]


def severity_of(level: Level, tier: int) -> Severity:
    """Look a severity up for an alert of a service without an SLO.

    >>> severity_of("critical", 2), severity_of("warning", 9)
    ('sev2', 'sev4')
    """
    return SEVERITY_TABLE[level][min(max(tier, 1), 3) - 1]


def declare(
    d: Decision, policy: Policy, incident: Incident, severity: Severity, reason: Reason
) -> None:
    """Raise the severity of an incident and page when it now demands a human."""
    if incident.severity and incident.severity <= severity:
        return
    d.emit(events.SeverityDeclared(incident.id, severity, URGENCY[severity], reason))
    if URGENCY[severity] == "page" and incident.state == "open" and not incident.pages:
        page(d, policy, incident, reason)


def page(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Plan the next page of an incident, or record that there is nobody left to page."""
    number = incident.next_step
    step = policy.step(number)
    d.cancel_timer(_timer_key(incident))
    if step is None:
        says = f"nobody of policy {policy.name!r} answered {number} pages"
        d.emit(events.EscalationExhausted(incident.id, Reason(RULE, says, {"pages": number})))
        return
    key = f"page/{incident.id}/{incident.next_page}"
    person = policy.person(step, d.now)
    d.emit(events.PagePlanned(incident.id, key, person, number, reason))
    d.plan(
        effects.SendPage(
            key=key,
            incident=incident.id,
            to=person,
            severity=incident.severity or "sev1",
            title=incident.title,
            summary=reason.says,
            service=incident.service,
            via=step.via,
        )
    )
    d.set_timer(
        inputs.Timer(_timer_key(incident), d.now + step.delay_s * SECOND, "escalate", incident.id)
    )


def page_again(d: Decision, policy: Policy, incident: Incident, reason: Reason) -> None:
    """Wake people anew: something failed that midwatch may not try again by itself."""
    if incident.acknowledged_by:
        d.emit(events.AckWithdrawn(incident.id, reason))
    page(d, policy, incident, reason)


def on_timer(d: Decision, policy: Policy, incident: Incident) -> None:
    """Go one step on when nobody has acknowledged in time."""
    if not is_waiting_for_ack(incident):
        return
    last = policy.step(incident.next_step - 1)
    waited = show_duration(last.delay_s) if last else "its time"
    says = f"no ack from {incident.pages[-1].to} within {waited}"
    page(d, policy, incident, Reason(RULE, says, {"step": incident.next_step}))


def acknowledge(d: Decision, incident: Incident, by: str) -> None:
    """Stop all paging of an incident: somebody has it. This also ends a snooze."""
    if incident.acknowledged_by and not incident.snoozed_until:
        return
    says = f"{by} has it"
    silence(d, incident)
    d.emit(events.PageAcknowledged(incident.id, by, Reason(RULE, says, {"by": by})))


def snooze(d: Decision, incident: Incident, by: str, until: int) -> None:
    """Take an incident until a time. Raises StateError when there is nothing to put off."""
    if incident.state not in ("open", "acknowledged"):
        raise StateError(
            f"{incident.id} is {incident.state}", remedy="only an open one can be snoozed"
        )
    if until <= d.now:
        raise StateError(
            f"{show_time(until)} is over already", remedy="snooze until a time to come"
        )
    acknowledge(d, incident, by)
    says = f"{by} has it until {show_time(until)}"
    d.emit(events.PageSnoozed(incident.id, by, until, Reason(RULE, says, {"by": by})))
    d.set_timer(inputs.Timer(_snooze_key(incident), until, "snooze", incident.id))


def on_snooze_end(d: Decision, policy: Policy, incident: Incident) -> None:
    """Page anew when a snooze ends before the incident does."""
    if incident.state == "acknowledged" and incident.snoozed_until:
        says = f"the snooze by {incident.acknowledged_by} ended and it is not over"
        page_again(d, policy, incident, Reason(RULE, says))


def silence(d: Decision, incident: Incident) -> None:
    """Take back the pages that are not sent yet, the escalation timer and the snooze."""
    for sent in incident.pages:
        if sent.state == "planned":
            d.cancel_effect(sent.key)
    d.cancel_timer(_timer_key(incident))
    if incident.snoozed_until:
        d.cancel_timer(_snooze_key(incident))


def on_page_answer(
    d: Decision, policy: Policy, incident: Incident, answer: inputs.PageAnswered
) -> None:
    """Record a receipt, or plan the next try under the same key, or give this step up."""
    if answer.error is None:
        d.emit(events.PageSent(incident.id, answer.key, answer.receipt, answer.attempt))
        return
    wait_s = retry_delay_s(answer.key, answer.attempt, answer.retry_after_s)
    gives_up = answer.attempt >= MAX_ATTEMPTS or not is_waiting_for_ack(incident)
    d.emit(
        events.PageFailed(
            incident.id,
            answer.key,
            answer.attempt,
            answer.error,
            None if gives_up else d.now + int(wait_s * SECOND),
        )
    )
    if not gives_up:
        d.retry_effect(answer.key, d.now + int(wait_s * SECOND))
    elif is_waiting_for_ack(incident) and incident.pages[-1].key == answer.key:
        says = f"{incident.pages[-1].to} cannot be reached: {answer.error}"
        page(d, policy, incident, Reason(RULE, says, {"attempts": answer.attempt}))


def retry_delay_s(key: str, attempt: int, retry_after_s: float | None = None) -> float:
    """Back off twice as long each time, with a jitter that depends on key and attempt alone.

    >>> 5 <= retry_delay_s("page/INC-1/1", 1) <= 10 <= retry_delay_s("page/INC-1/1", 2) <= 20
    True
    >>> retry_delay_s("page/INC-1/1", 1, retry_after_s=60.0) >= 60
    True
    """
    digest = blake2b(f"{key}#{attempt}".encode(), digest_size=4).digest()
    jitter = int.from_bytes(digest) / 2**32
    wait_s = FIRST_RETRY_S * 2 ** (attempt - 1) * (1 + jitter)
    return max(wait_s, retry_after_s or 0.0)


def _snooze_key(incident: Incident) -> str:
    return f"snooze/{incident.id}"


def _timer_key(incident: Incident) -> str:
    return f"escalate/{incident.id}"
