"""What is written down of an incident while it happens, so that it can be told afterwards.

Law: only what no later reading could give: how the objective burned, what it had cost when users
were well again, and what was thought to be the cause. What a person makes of it is taken as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Protocol

from msgspec import structs

from midwatch.core.rules import causes
from midwatch.core.state import events
from midwatch.core.state.decision import Decision
from midwatch.core.state.incidents import Incident
from midwatch.core.state.inputs import AddToPostmortem, EditPostmortem
from midwatch.core.state.shard import Ticket
from midwatch.core.values import budget, judgements
from midwatch.core.values.clock import SECOND
from midwatch.core.values.sli import Harm, SliReading
from midwatch.core.values.slo import Slo
from midwatch.core.values.topology import Topology
from midwatch.errors import StateError

SAMPLE_S, LATER_S, MANY = 60, 600, 120  # a burn every minute for two hours, then every ten
MAX_SAMPLES = 400
AFTER_S = 1_800  # of a mitigation, in which the curve is still drawn


class Sources(Protocol):
    """What of the rules a draft needs."""

    @property
    def topology(self) -> Topology:
        """The services, and who calls whom."""
        ...

    @property
    def slos(self) -> Mapping[str, Slo]:
        """The objectives by their ids."""
        ...


def sample(d: Decision, incident: Incident, slo: Slo, reading: SliReading) -> None:
    """Write down how an objective burns, now and then, and what it lost so far."""
    over = incident.mitigated_at and d.now > incident.mitigated_at + AFTER_S * SECOND
    every_s = SAMPLE_S if incident.samples < MANY else LATER_S
    if over or incident.samples >= MAX_SAMPLES or slo.id not in incident.slos:
        return
    last = incident.sampled.get(slo.id, incident.sampled_at if slo.id == incident.slo else 0)
    if (last and d.now < last + every_s * SECOND) or not slo.useful_tiers:
        return
    window_s = slo.useful_tiers[0].short_s
    counts = reading.windows.get(window_s)
    if counts is not None and counts.total:
        burn = float(Fraction(counts.bad, counts.total) / slo.budget)
        d.emit(
            events.BurnSampled(
                incident=incident.id,
                counts=counts,
                burn=round(burn, 4),
                window_s=window_s,
                slo=slo.id,
            )
        )
        if incident.state in ("open", "acknowledged"):
            measure(d, incident, slo, reading)


def measure(d: Decision, incident: Incident, slo: Slo, reading: SliReading) -> bool:
    """Note what an objective lost, if that is another figure than before; says whether it is."""
    found = reading.harms.get(incident.id)
    outages = incident.outages.get(slo.id, ())
    # Whoever measured looked for what was known then: the next reading knows what came since.
    if found is None or [one.seen_at for one in found.outages] != [one.seen_at for one in outages]:
        return False
    known = incident.harms.get(slo.id)
    before = known.stretches if known is not None else ()
    stretches = list(before) + [None] * (len(outages) - len(before))
    for place, stretch in found.stretches.items():
        start, end = stretch.start - d.shard.skew, stretch.end - d.shard.skew
        stretches[place] = structs.replace(stretch, start=start, end=end)
    harm = Harm(d.wall, tuple(stretches), found.period, found.seen_s)
    if known is not None and known.stretches == harm.stretches:
        return False
    d.emit(events.HarmMeasured(incident=incident.id, slo=slo.id, harm=harm))
    return True


def follow(d: Decision, incident: Incident, rules: Sources, slo: Slo, reading: SliReading) -> None:
    """Take late counts into the figures of an incident that is mitigated, and not closed.

    While it is open, the first figures do not wait for the next sample.
    """
    if incident.state in ("open", "acknowledged") and slo.id not in incident.harms:
        measure(d, incident, slo, reading)
    if incident.state in ("mitigated", "resolved") and measure(d, incident, slo, reading):
        draft(d, incident, rules)


def draft(d: Decision, incident: Incident, rules: Sources) -> None:
    """Write down what an incident that hurt has cost, when that is not written yet."""
    if not incident.hurt:
        return
    document = _document(d, incident, rules)
    if document != incident.drafted:
        d.emit(events.PostmortemDrafted(incident=incident.id, document=document))


def _document(d: Decision, incident: Incident, rules: Sources) -> dict[str, Any]:
    likely = causes.evident(incident, causes.rank(incident, rules.topology, d.shard.changes))
    if incident.drafted and not incident.firing:  # what was likely then, when all was seen
        found = incident.drafted.get("causes", [])
    else:
        found = [{"service": one.service, "why": one.why} for one in likely]
    reports = [d.shard.tickets[name] for name in incident.tickets if name in d.shard.tickets]
    lost = [_lost(incident, name, rules.slos.get(name)) for name in incident.slos]
    first = lost[0] if lost else dict.fromkeys(_OF_FIRST)
    return {
        **{name: first[name] for name in _OF_FIRST},
        "users": people(reports),
        "causes": found,
        "objectives": lost,
    }


_OF_FIRST = ("slo", "objective", "query", "bad_events", "valid_events", "budget_spent")


def _lost(incident: Incident, name: str, slo: Slo | None) -> dict[str, Any]:
    """Write down what an objective lost, as the writer of postmortems reads it."""
    harm = incident.harms.get(name)
    known = harm.known if harm is not None else []
    counts = harm.counts if harm is not None and known else None
    share, spent, says = None, None, ""
    if slo is not None and harm is not None and counts is not None:
        share = budget.share(slo, counts.bad, harm.period)
        spent = share if budget.is_full(slo, harm.seen_s) else None
        says = budget.spent(slo, counts.bad, harm.period, harm.seen_s)
    return {
        "slo": name,
        "objective": slo.objective_percent if slo else None,
        "query": _query(slo),
        "started": known[0].start if known else None,
        "ended": known[-1].end if known else None,
        "start_width_s": known[0].start_width_s if known else None,
        "end_width_s": known[-1].end_width_s if known else None,
        "outages": len(incident.outages.get(name, ())),
        "bad_events": counts.bad if counts else None,
        "valid_events": counts.total if counts else None,
        "share": None if share is None else float(share),
        "allowed": float(slo.budget * harm.period.total) if slo and harm and harm.period else None,
        "seen_s": harm.seen_s if harm is not None else None,
        "budget_spent": None if spent is None else float(spent),
        "says": says,
    }


def people(reports: Sequence[Ticket]) -> int | None:
    """Say how many people reported it at least; None when nobody did.

    Who writes twice is one. Where a report says how many are affected, and somebody vouches for it,
    that counts of the one that says most: the same people may stand behind another.

    >>> one = Ticket("", "", "", "", affected=40, by="ada")
    >>> people([one, one, Ticket("", "", "", "", by="ben")]), people([])
    (40, None)
    """
    if not reports:
        return None
    told = max((one.affected for one in reports if not one.doubted), default=1)
    return max(told, len({one.reporter for one in reports}))


def _query(slo: Slo | None) -> str | None:
    """Say by what the events were counted."""
    if slo is None or slo.indicator is None:
        return None
    one = slo.indicator
    parts = {"good": one.good, "bad": one.bad, "total": one.total}
    return "; ".join(f"{name}: {text}" for name, text in parts.items() if text) or one.source


def draft_by_hand(d: Decision, incident: Incident, rules: Sources) -> None:
    """Write the facts down for a person. Raises StateError when there are none, or already."""
    if incident.has_postmortem:
        raise StateError(
            f"{incident.id} already has a postmortem", remedy="see midwatch postmortem show"
        )
    if not incident.hurt:
        raise StateError(
            f"{incident.id} paged nobody and spent no budget", remedy="it needs no postmortem"
        )
    if incident.state in ("open", "acknowledged"):
        raise StateError(f"{incident.id} is {incident.state}", remedy="mitigate it first")
    draft(d, incident, rules)


def edit(d: Decision, incident: Incident, given: EditPostmortem) -> None:
    """Take what a person makes of it. Raises InputError or StateError."""
    if given.version is not None and given.version != incident.edits:
        says = f"{incident.id} was written since version {given.version}: it is {incident.edits}"
        raise StateError(says, remedy="read the new version and edit that")
    _write(d, incident, given.judgement, given.by)


def add(d: Decision, incident: Incident, given: AddToPostmortem) -> None:
    """Add to what people made of it: nothing that somebody else wrote is lost."""
    known = incident.judgement or judgements.Judgement()
    _write(d, incident, judgements.merged(known, given.added), given.by)


def _write(d: Decision, incident: Incident, judgement: judgements.Judgement, by: str) -> None:
    judgements.checked(judgement)
    if incident.state == "merged":
        says = f"{incident.id} is part of {incident.merged_into}"
        raise StateError(says, remedy=f"run midwatch postmortem edit {incident.merged_into}")
    if not incident.hurt:
        raise StateError(
            f"{incident.id} paged nobody and spent no budget", remedy="it needs no postmortem"
        )
    if judgement != incident.judgement:
        d.emit(events.PostmortemEdited(incident=incident.id, judgement=judgement, by=by))
