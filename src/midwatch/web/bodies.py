"""What people and programs may say: the body of each command.

Law: a body's type is all that is checked of its form, and what the OpenAPI document says of it. A
field that nobody knows is refused.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from midwatch.core.state import inputs
from midwatch.core.values.evals import Case, Outcome
from midwatch.core.values.moments import EARLIEST, LATEST

MAX_NUMBER = 10**14
# A whole number may be written 1.0. Where it may be left out, it is now.
Moment = Annotated[float, Meta(ge=EARLIEST, lt=LATEST)]
MAX_WHY = 10_000  # characters
MAX_AFFECTED = 10_000_000
# One visible character; spelled out, as \s is another set in each dialect of patterns.
VISIBLE = r"[^\x00-\x20\x7f-\xa0\u1680\u2000-\u200f\u2028-\u202f\u205f\u3000\ufeff]"


class Ack(Struct, frozen=True, forbid_unknown_fields=True):
    """Take an incident."""


class Snooze(Struct, frozen=True, forbid_unknown_fields=True):
    """Take an incident for so many minutes, at most 30 days."""

    minutes: Annotated[float, Meta(gt=0, le=inputs.MAX_SNOOZE_MIN)]


class Unack(Struct, frozen=True, forbid_unknown_fields=True):
    """Give an incident back."""


class Reassign(Struct, frozen=True, forbid_unknown_fields=True):
    """Hand an incident to a person, or to whoever is on call for a schedule."""

    to: Annotated[str, Meta(pattern=VISIBLE, max_length=200)]


class Override(Struct, frozen=True, forbid_unknown_fields=True):
    """Put a person on call; times in milliseconds since 1970."""

    person: Annotated[str, Meta(pattern=VISIBLE, max_length=200)]
    starts_at: Moment
    ends_at: Moment


class RemoveOverride(Struct, frozen=True, forbid_unknown_fields=True):
    """End an override."""

    override: str


class Swap(Struct, frozen=True, forbid_unknown_fields=True):
    """Let the people of two shifts take each other's; a moment in each, in milliseconds."""

    one_at: Moment
    other_at: Moment


class Resolve(Struct, frozen=True, forbid_unknown_fields=True):
    """Say that it is over, and why."""

    why: Annotated[str, Meta(pattern=VISIBLE, max_length=MAX_WHY)]


class Merge(Struct, frozen=True, forbid_unknown_fields=True):
    """Say that an incident is the same as another one, which goes on."""

    into: Annotated[str, Meta(pattern=VISIBLE, max_length=200)]


class Split(Struct, frozen=True, forbid_unknown_fields=True):
    """Make an incident of its own out of the alerts of these services, or of these fingerprints."""

    services: Annotated[list[str], Meta(max_length=1_000)] = []
    alerts: Annotated[list[str], Meta(max_length=10_000)] = []


class Undo(Struct, frozen=True, forbid_unknown_fields=True):
    """Take back the last merge or split."""


class Choose(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Propose a runbook, with its values; without a name the one that fits best is looked at.

    `service` is the one that is meant, where it could act on several of the incident.
    """

    runbook: Annotated[str, Meta(max_length=100)] = ""
    given: Annotated[dict[str, str], Meta(max_length=50)] = field(default_factory=dict[str, str])
    dry_run: bool = False
    service: Annotated[str, Meta(max_length=200)] = ""


class Approve(Struct, frozen=True, forbid_unknown_fields=True):
    """Carry out the plan with this hash, or go on with it."""

    hash: Annotated[str, Meta(pattern=VISIBLE, max_length=100)]


class Refuse(Struct, frozen=True, forbid_unknown_fields=True):
    """Drop the plan with this hash."""

    hash: Annotated[str, Meta(pattern=VISIBLE, max_length=100)]
    why: Annotated[str, Meta(pattern=VISIBLE, max_length=MAX_WHY)]


class Stop(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """End a plan that is under way at its next safe point; without `hash` whichever it is."""

    why: Annotated[str, Meta(pattern=VISIBLE, max_length=MAX_WHY)]
    hash: Annotated[str, Meta(max_length=100)] = ""


class Close(Struct, frozen=True, forbid_unknown_fields=True):
    """Close a resolved incident."""


class Waive(Struct, frozen=True, forbid_unknown_fields=True):
    """Let it close without a case until `ends_at`, in milliseconds since 1970."""

    why: Annotated[str, Meta(pattern=VISIBLE, max_length=MAX_WHY)]
    owner: Annotated[str, Meta(pattern=VISIBLE, max_length=200)]
    ends_at: Moment


class DraftFacts(Struct, frozen=True, forbid_unknown_fields=True):
    """Write the facts down now."""


class Silence(Struct, frozen=True, forbid_unknown_fields=True):
    """Page nobody for what matches, such as service=shop; times in milliseconds since 1970."""

    matchers: Annotated[
        list[Annotated[str, Meta(max_length=1_000)]], Meta(min_length=1, max_length=20)
    ]
    ends_at: Moment
    why: Annotated[str, Meta(pattern=VISIBLE, max_length=MAX_WHY)]
    starts_at: Moment = 0


class EndSilence(Struct, frozen=True, forbid_unknown_fields=True):
    """End it before its time."""


class Change(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was changed; `at` in milliseconds since 1970, or it is now."""

    service: Annotated[str, Meta(pattern=VISIBLE, max_length=200)]
    kind: Annotated[str, Meta(pattern=VISIBLE, max_length=100)] = "deploy"
    id: Annotated[str, Meta(max_length=200)] = ""
    at: Moment = 0
    by: Annotated[str, Meta(max_length=200)] = ""
    from_release: Annotated[str, Meta(max_length=200)] = field(default="", name="from")
    to_release: Annotated[str, Meta(max_length=200)] = field(default="", name="to")


class Register(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Make a release known: an immutable digest of code, prompt, model, index and config."""

    service: Annotated[str, Meta(pattern=VISIBLE, max_length=100)]
    release: Annotated[str, Meta(pattern=VISIBLE, max_length=100)]
    digest: Annotated[str, Meta(pattern=VISIBLE, max_length=200)]
    good: bool = False
    live: bool = False


class Move(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Move traffic: back, or with `release` on to another one or to a part for it.

    `epoch` is the one that was seen; the same `operation` again is done once.
    """

    release: Annotated[str, Meta(max_length=100)] = ""
    operation: Annotated[str, Meta(max_length=200)] = ""
    epoch: Annotated[float, Meta(ge=0, le=MAX_NUMBER)] | None = None
    why: Annotated[str, Meta(max_length=MAX_WHY)] = ""


class Offer(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A case of an incident, with what came of it on the bad and on the good side."""

    incident: Annotated[str, Meta(pattern=VISIBLE, max_length=100)]
    case: Case
    bad: Annotated[str, Meta(pattern=VISIBLE, max_length=500)]
    good: Annotated[str, Meta(pattern=VISIBLE, max_length=500)]
    outcomes: Annotated[list[Outcome], Meta(max_length=1_000)]
    bad_digest: Annotated[str, Meta(max_length=200)] = ""
    good_digest: Annotated[str, Meta(max_length=200)] = ""
    replaces: bool = False


class Quarantine(Struct, frozen=True, forbid_unknown_fields=True):
    """Take a flaky case out of the count, for hours."""

    owner: Annotated[str, Meta(pattern=VISIBLE, max_length=200)]
    hours: Annotated[float, Meta(gt=0, le=24 * 366)]
    why: Annotated[str, Meta(pattern=VISIBLE, max_length=MAX_WHY)]


class Retire(Struct, frozen=True, forbid_unknown_fields=True):
    """Take a case out for good: what it wants is no longer wanted."""

    why: Annotated[str, Meta(pattern=VISIBLE, max_length=MAX_WHY)]


class Ticket(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is wrong, in somebody's words."""

    text: Annotated[str, Meta(pattern=VISIBLE, max_length=MAX_WHY)]
    id: Annotated[str, Meta(max_length=100)] = ""
    by: Annotated[str, Meta(max_length=200)] = ""
    service: Annotated[str, Meta(max_length=200)] = ""
    category: Annotated[str, Meta(max_length=200)] = ""
    affected: Annotated[float, Meta(ge=1, le=MAX_AFFECTED)] = 1  # 2.0 is a whole number


class PageTest(Struct, frozen=True, forbid_unknown_fields=True):
    """Send a test page by the pager called `via`, or by each."""

    via: str = ""
