"""The document that an incident leaves: what happened, what it cost, and what was learned.

Law: facts come out of the incident's own events, each sentence names the events that it says, and
writing it again gives the same. Judgement is a person's and stands beside the facts. People appear
as roles, never by name. What is not known is null, never a guess. The shape has a version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct, field

from midwatch.core.values import judgements
from midwatch.core.values.judgements import Judgement

SCHEMA = "midwatch.postmortem/1"
# Between these a sentence of midwatch's own would put a name.
_BEFORE = r"(?:^|: |\bby |\bfrom |\bto )"
_AFTER = r"(?=: |$| (?:has|took|acknowledged|snoozed|gave|was|did|ended|cannot)\b)"


class Sentence(Struct, frozen=True):
    """Something that is said, and the events that say it, by their numbers in the journal."""

    says: str
    events: list[int]


class Moment(Struct, frozen=True):
    """A sentence at a time."""

    at: str
    says: str
    events: list[int]


class Times(Struct, frozen=True):
    """When it was what, RFC 3339 in UTC; null for what did not happen."""

    started: str
    detected: str | None
    acknowledged: str | None
    mitigated: str | None
    resolved: str | None
    closed: str | None
    paged: str | None = None


class Durations(Struct, frozen=True):
    """How long it took, in seconds since it started; `to_acknowledge` since the first page."""

    to_detect: float | None
    to_acknowledge: float | None
    to_mitigate: float | None
    to_resolve: float | None
    to_page: float | None = None


class Lost(Struct, frozen=True):
    """What one objective lost: from its first bad event beyond the budget to its last.

    It began within `start_width_s` of `started`, and ended within `end_width_s` of `ended`.
    With several `outages` it was well in between, and the events are those of the outages alone.
    `share` is of the `allowed` bad events: those that the events of the period allow, as far as
    they were seen, in `seen_s` seconds; `budget_spent` is
    the same once the period is full, null before; `says` writes it for people. `ended_by` is the
    runbook that ended the last harm, empty when that was none.
    """

    slo: str
    objective: str | None
    query: str | None
    started: str | None
    ended: str | None
    start_width_s: int | None
    end_width_s: int | None
    outages: int
    bad_events: int | None
    valid_events: int | None
    share: float | None
    budget_spent: float | None
    says: str
    peak_burn: float | None
    events: list[int]
    allowed: float | None = None
    seen_s: int | None = None
    ended_by: str = ""


class Impact(Struct, frozen=True):
    """What it cost: `budget_spent` is a share of a whole period's error budget, null before.

    `query` is how the events were counted; `users` is how many people reported it at least, null
    before it was mitigated, and `reports` how many reports there were. The figures at the top are
    of the objective that burned first; `objectives` has all of them.
    """

    slo: str | None
    objective: str | None
    query: str | None
    bad_events: int | None
    valid_events: int | None
    budget_spent: float | None
    peak_burn: float | None
    users: int | None
    recovered: str | None
    events: list[int]
    objectives: list[Lost] = field(default_factory=list[Lost])
    reports: int = 0


class Cause(Struct, frozen=True):
    """A service that may have caused it, and why."""

    service: str
    why: str


class Alerts(Struct, frozen=True):
    """How many alerts became this one incident, where, and what most likely caused it.

    `opener` says what opened it when no alert did.
    """

    count: int
    services: list[str]
    causes: list[Cause]
    events: list[int]
    opener: str = ""


class ChangeBefore(Struct, frozen=True):
    """The change that came before it, or that was rolled back."""

    service: str
    kind: str
    before: str
    after: str
    at: str
    events: list[int]


class RunStep(Struct, frozen=True):
    """A step: done, failed, unknown, begun (still under way), or not begun."""

    step: str
    says: str
    state: str
    seen: str
    at: str
    events: list[int]


class Run(Struct, frozen=True):
    """A runbook that was carried out, who let it, and whether users were well afterwards.

    `ended` are the objectives whose harm it ended.
    """

    runbook: str
    version: int
    plan: str
    approved_by: str
    steps: list[RunStep]
    verification: str
    says: str
    events: list[int]
    ended: list[str] = field(default_factory=list[str])


class CaseLeft(Struct, frozen=True):
    """A regression case, and what both releases did with it."""

    case: str
    state: str
    question: str
    bad: str
    good: str
    failed_on_bad: int
    runs_on_bad: int
    passed_on_good: int
    runs_on_good: int
    says: str
    events: list[int]


class Fix(Struct, frozen=True):
    """A release that should end it for good, and what its canary said."""

    release: str
    verdict: str
    says: str
    live_at: str | None
    events: list[int]


class Recurrence(Struct, frozen=True):
    """The earlier incident that this one is again."""

    of: str
    says: str
    events: list[int]


class Waiver(Struct, frozen=True):
    """Why it may close without a case, whose word that is, and until when it holds."""

    why: str
    owner: str
    until: str
    events: list[int]


class Point(Struct, frozen=True):
    """The burn rate at a moment, out of so many events of the window that ended then."""

    at: str
    good: int
    total: int
    burn: float
    event: int


class Curve(Struct, frozen=True):
    """How one objective burned."""

    slo: str
    points: list[Point]


class Marker(Struct, frozen=True):
    """Something that stands over the curve."""

    at: str
    kind: str
    says: str
    event: int


class Postmortem(Struct, frozen=True):
    """The whole document; `schema` names its version.

    `curve` is that of the objective that burned first, `curves` has one of each objective, of the
    first few that burned; `curves_left_out` says of how many there is none.
    """

    schema: str
    incident: str
    title: str
    service: str
    state: str
    severity: str
    summary: list[Sentence]
    roles: list[str]
    times: Times
    durations_s: Durations
    impact: Impact
    alerts: Alerts
    change: ChangeBefore | None
    timeline: list[Moment]
    runs: list[Run]
    judgement: Judgement
    cases: list[CaseLeft]
    fix: Fix | None
    waiver: Waiver | None
    recurrence: Recurrence | None
    curve: list[Point]
    markers: list[Marker]
    lacks: list[str] = field(default_factory=list[str])  # until it may close
    version: int = 0  # how often somebody has written the judgement
    curves: list[Curve] = field(default_factory=list[Curve])
    curves_left_out: int = 0

    @property
    def drawn(self) -> list[Curve]:
        """The curves that are shown; a document of before 0.2 has one."""
        if self.curves or not self.curve:
            return self.curves
        return [Curve(self.impact.slo or "", self.curve)]


def unjudged(document: Postmortem) -> list[str]:
    """List what a person has to write before it is sent out, or say why there is nothing."""
    judgement = document.judgement
    found: list[str] = []
    if document.state == "merged":  # that is written of what it is part of
        return []
    if not any(one.strip() for one in judgement.went_well):
        found.append("does not say what went well")
    if not judgement.action_items:
        found.append("has no action item")
    return found


def problems(document: Postmortem, people: Mapping[str, str] = {}) -> list[str]:
    """List what is wrong with a document, so that it must not be sent out. Empty is good.

    `people` must not stand in what was generated: how each is called in the config, and how people
    write that name, "" when nobody says. A name in the config may be a word of the language, such
    as will: it is one where midwatch itself would put a name, and where "Will Smith" stands.
    """
    found: list[str] = []
    if document.schema != SCHEMA:
        found.append(f"schema is {document.schema!r}, not {SCHEMA!r}")
    if not document.summary:
        found.append("has no summary")
    if not document.timeline:
        found.append("has no timeline")
    cited = (
        *document.summary,
        *document.timeline,
        *document.runs,
        *document.cases,
        *(step for run in document.runs for step in run.steps),
        *(
            one
            for one in (document.fix, document.waiver, document.recurrence, document.change)
            if one is not None
        ),
    )
    found += [f"says without an event: {one}" for one in cited if not one.events]
    if document.times.detected is None:
        found.append("does not say when it was detected")
    if document.state in ("mitigated", "resolved", "closed") and document.times.mitigated is None:
        found.append("does not say when it was mitigated")
    if document.impact.slo is not None and document.impact.valid_events is None:
        found.append("has an objective and no figures of the harm")
    if document.impact.slo is not None and not document.curve:
        found.append("has an objective and no curve")
    for number, item in enumerate(document.judgement.action_items, start=1):
        if not item.owner.strip() or judgements.DAY.fullmatch(item.due) is None:
            found.append(f"action item {number} has no owner or no due date")
    return found + _named(document, people)


def _named(document: Postmortem, people: Mapping[str, str]) -> list[str]:
    """List the names of people in what was generated."""
    found: list[str] = []
    generated = "\n".join(one.says for one in (*document.summary, *document.timeline))
    for name, called in people.items():
        forms = [
            rf"(?<![\w@.-]){re.escape(called)}(?![\w@-])" if called else "",
            # As a sentence of midwatch's own names somebody, and with a surname.
            rf"(?m){_BEFORE}{re.escape(name)}{_AFTER}",
            rf"(?<![\w@.-]){re.escape(name[:1].upper() + name[1:])} [A-Z][a-z]+",
        ]
        seen = (re.search(form, generated) for form in forms if form)
        for one in seen:
            if one is not None:
                found.append(f"names {one[0].strip(' :')!r}: people appear as roles")
                break
    return found
