"""Facts about how bad an incident is, and who is paged for it."""

from __future__ import annotations

from midwatch.core.state.events.base import IncidentEvent
from midwatch.core.values.reasons import Reason


class SeverityDeclared(IncidentEvent, frozen=True, kw_only=True):
    """User impact, as far as it is known; it only rises.

    Title and service are those of what is so bad; empty when the incident is titled by it already.
    """

    severity: str
    urgency: str
    reason: Reason
    title: str = ""
    service: str = ""
    level: str = ""


class NewsJudged(IncidentEvent, frozen=True, kw_only=True):
    """Something came for which somebody is woken: it pages, or earlier news covers it.

    `told` is the worst severity that whoever is paged knows of with it, `policy` whose news it is.
    """

    service: str
    severity: str
    pages: bool
    reason: Reason
    told: str = ""
    policy: str = ""
    namespace: str = ""
    fingerprints: tuple[str, ...] = ()
    slo: str = ""
    covered_by: str = ""
    own: bool = False  # raised by midwatch itself
    rung_at: int = 0  # when the page was asked for that covers it
    apart: bool = False  # it covers its own alerts alone
    names: tuple[str, ...] = ()  # of alerts without a service
    level: str = ""
    more: int = 0  # alerts, beside the fingerprints
    said: str = ""  # the worst severity that was said of this very service
    held: bool = False  # it flaps: nobody is told yet


class IncidentGrew(IncidentEvent, frozen=True, kw_only=True):
    """It is worse or wider than whoever was paged for it knows: they are paged again."""

    reason: Reason


class GrowthHeld(IncidentEvent, frozen=True, kw_only=True):
    """It grew again, soon after a page that told of growth: one page tells of all, at `until`.

    With `flaps` it came and went too often to be told at once: it is told if it fires then. Without
    `until` the page that is held for a digest tells of it.
    """

    until: int
    reason: Reason
    flaps: bool = False
    what: str = ""
    fingerprints: tuple[str, ...] = ()


class PageWaits(IncidentEvent, frozen=True, kw_only=True):
    """It pages nobody yet, and is looked at again at `until`; `by` is the one that covers it."""

    until: int
    reason: Reason
    by: str = ""
    policy: str = ""  # that pages then, when it is another one than before


class AskingResumed(IncidentEvent, frozen=True, kw_only=True):
    """Nobody had answered when it was over for a moment: the policy goes on where it was.

    `step` is its next one, at `until`; `exhausted` when all of it had been paged.
    """

    policy: str
    step: int
    until: int
    reason: Reason
    exhausted: bool = False


class CoversAlso(IncidentEvent, frozen=True, kw_only=True):
    """Whoever has this incident is looked to for another one, `other`, too."""

    other: str
    reason: Reason


class OthersAsked(IncidentEvent, frozen=True, kw_only=True):
    """It has news of a service of other people: they are paged besides, by their own policy."""

    policy: str
    step: int
    reason: Reason


class OthersAnswered(IncidentEvent, frozen=True, kw_only=True):
    """One of those has it."""

    policy: str
    by: str


class OthersLeft(IncidentEvent, frozen=True, kw_only=True):
    """Nobody of that policy is asked besides any more, though nobody has answered."""

    policy: str
    reason: Reason


class PagePlanned(IncidentEvent, frozen=True, kw_only=True):
    """A page to one person is in the outbox under this key."""

    key: str
    to: str
    step: int
    reason: Reason
    via: str = ""
    policy: str = ""
    digest: str = ""  # the key of the page that tells of this incident too
    beside: bool = False  # whether its policy is asked besides the incident's own


class PageHeld(IncidentEvent, frozen=True, kw_only=True):
    """The person was paged a moment ago: this one goes with what else comes, at `until`."""

    to: str
    via: str
    step: int
    until: int
    policy: str
    reason: Reason


class StepSkipped(IncidentEvent, frozen=True, kw_only=True):
    """Nobody of this step can be reached, so the next one is taken at once."""

    step: int
    policy: str
    reason: Reason


class IncidentReassigned(IncidentEvent, frozen=True, kw_only=True):
    """Somebody else is asked to take it."""

    to: str
    by: str
    reason: Reason


class EscalationRestarted(IncidentEvent, frozen=True, kw_only=True):
    """Everybody was paged and nobody answered; they are paged again."""

    reason: Reason


NOT_SENT = "shadow: not sent"  # the receipt of a page that a trial run keeps to itself


class PageSent(IncidentEvent, frozen=True, kw_only=True):
    """The pager took the page and gave a receipt."""

    key: str
    receipt: str
    attempt: int


class PageFailed(IncidentEvent, frozen=True, kw_only=True):
    """The pager did not take the page; `retry_at` is None when this step is given up."""

    key: str
    attempt: int
    error: str
    retry_at: int | None = None


class PageAcknowledged(IncidentEvent, frozen=True, kw_only=True):
    """A person has it."""

    by: str
    reason: Reason


class AckWithdrawn(IncidentEvent, frozen=True, kw_only=True):
    """The acknowledged incident needs somebody again."""

    reason: Reason


class PageSnoozed(IncidentEvent, frozen=True, kw_only=True):
    """A person has it until `until`; then, if it is not over, people are paged again."""

    by: str
    until: int
    reason: Reason


class EscalationExhausted(IncidentEvent, frozen=True, kw_only=True):
    """Everybody was paged, nobody answered: an alarm of its own."""

    reason: Reason
