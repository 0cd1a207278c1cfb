"""Tells an incident in the order in which it happened, a line for each thing that is news.

Law: a line stands at the time of what it tells, not of when that was noticed. Somebody was paged
when a pager took the page: what a pager refused is an attempt. An alert joins once, however often
it fires.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from midwatch.core.rules.carried_out import Fact
from midwatch.core.rules.sentences import Roles, count, sentence
from midwatch.core.state import events as e
from midwatch.core.state.incidents import title_of
from midwatch.core.values.clock import show_duration, show_time
from midwatch.core.values.postmortems import Moment
from midwatch.core.values.sli import Harm

# At the same moment: a change, then what nobody noticed when it happened, then what was noticed.
_CHANGED, _UNSEEN, _SEEN = 0, 1, 2
_Line = tuple[int, int, int, str]  # when, which of these, the event, what it says


class Pages:
    """Which pages a pager took, refused, or was never shown."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.sent: dict[str, Fact] = {}  # by key: when a pager took it first
        self.kept_back: set[str] = set()  # in a trial run
        self.refused: set[str] = set()
        self._refusal: Fact | None = None  # the newest one
        for fact in facts:
            event = fact.event
            if isinstance(event, e.PageSent):
                if event.receipt == e.NOT_SENT:
                    self.kept_back.add(event.key)
                else:
                    self.sent.setdefault(event.key, fact)
            elif isinstance(event, e.PageFailed):
                self.refused.add(event.key)
                self._refusal = fact

    @property
    def unreached(self) -> Fact | None:
        """Give the newest refusal, when no page ever reached anybody."""
        return None if self.sent or self.kept_back else self._refusal

    def first(self, facts: Sequence[Fact]) -> Fact | None:
        """Give what says that somebody was paged first, None when nobody was.

        As long as no pager has said anything, a page counts from when it was planned.
        """
        if self.sent:
            return min(self.sent.values(), key=lambda one: one.seq)
        if self.kept_back:
            return None
        planned = (one for one in facts if isinstance(one.event, e.PagePlanned))
        return next((one for one in planned if _key(one.event) not in self.refused), None)


class Timeline:
    """Folds the facts of an incident and of its parts into lines; those after `closed` say so.

    What belongs to another incident is among those after `closed` alone.
    """

    def __init__(
        self,
        incident: str,
        facts: Sequence[Fact],
        closed: int,
        roles: Roles,
        harms: Mapping[str, tuple[Fact, Harm]],
        *,
        mitigated: bool,
    ) -> None:
        self._incident = incident
        self._facts = facts
        self._closed = closed
        self._roles = roles
        self._harms = harms
        self._mitigated = mitigated
        self._pages = Pages(facts)
        self._planned = {
            one.event.key: one.event for one in facts if isinstance(one.event, e.PagePlanned)
        }
        self._titles: dict[str, str] = {}  # of the alerts that joined so far
        self._reported: set[str] = set()
        self._reached = self._tried = 0  # pages since everybody was paged before

    def moments(self) -> list[Moment]:
        """Give the lines in their order."""
        found = [*self._unseen()]
        for number, fact in enumerate(self._facts):
            after = number >= self._closed
            says = (self._elsewhere(fact.event) if after else "") or self._says(fact)
            if says:
                late = "after closing: " if after else ""
                change = fact.event.change if isinstance(fact.event, e.ChangeSeen) else None
                at, rank = (change.at, _CHANGED) if change else (fact.at, _SEEN)
                found.append((at, rank, fact.seq, f"{late}{says}"))
        found.sort(key=lambda one: one[:3])
        return [Moment(show_time(at), says, [seq]) for at, _, seq, says in found]

    def _unseen(self) -> Iterator[_Line]:
        """Tell what nobody noticed when it happened: the first alert, and each harm's edges."""
        alerts = [
            (one.alert.starts_at, fact.seq, title_of(one.alert.name, one.alert.service))
            for fact in self._facts[: self._closed]
            if isinstance(fact.event, e.AlertsAttached)
            for one in fact.event.attached
        ]
        if alerts:
            at, seq, title = min(alerts)
            yield at, _UNSEEN, seq, f"the first alert began: {title}"
        for slo, (fact, harm) in self._harms.items():
            for place, one in enumerate(harm.known, start=1):
                if one.total == one.good:
                    continue
                width = show_duration(one.start_width_s)
                says = f"{slo}: users began to be affected, within {width} of this"
                yield one.start, _UNSEEN, fact.seq, says
                # The newest stretch may go on, as long as nothing says that users are well.
                if self._mitigated or place < len(harm.known) or one.end < fact.at:
                    width = show_duration(one.end_width_s)
                    says = f"{slo}: the last bad events were counted, within {width} of this"
                    yield one.end, _UNSEEN, fact.seq, says

    def _says(self, fact: Fact) -> str:
        """Say an event; empty for what is no news."""
        event = fact.event
        match event:
            case e.PagePlanned():
                return self._page(event)
            case e.PageSent():
                return self._sent(event, fact)
            case e.EscalationExhausted():
                return self._exhausted()
            case e.AlertsAttached():
                return self._joined(event)
            case e.AlertsResolved():
                return self._ended(event.fingerprints)
            case e.TicketLinked():
                if event.ticket in self._reported:  # a merge links it again
                    return ""
                self._reported.add(event.ticket)
                return sentence(event, self._roles)
            case e.IncidentMerged() if event.incident != self._incident:
                return f"{event.incident} was merged into it"
            case _:
                return sentence(event, self._roles)

    def _elsewhere(self, event: e.Event) -> str:
        """Say what came after it was closed, and belongs to another incident."""
        match event:
            case e.TicketTriaged():
                where = (
                    f"belongs to {event.incident}" if event.incident else "belongs to no incident"
                )
                return f"{event.ticket} reported {event.service}; it {where}"
            case e.AlertsAttached() if event.incident != self._incident:
                titles = [title_of(one.alert.name, one.alert.service) for one in event.attached]
                says = _such(titles, "that began before it came late")
                return (
                    f"{says}; it belongs to {event.incident}"
                    if len(titles) == 1
                    else (f"{says}; they belong to {event.incident}")
                )
            case _:
                return ""

    def _page(self, event: e.PagePlanned) -> str:
        to, why = self._roles.of(event.to), self._roles.own(event.reason.says)
        self._tried += 1
        if event.key in self._pages.kept_back:
            return f"{to} would have been paged: {why}"
        if event.key in self._pages.sent:
            return ""  # told when a pager took it
        if event.key in self._pages.refused:
            return f"a page to {to} was tried: {why}"
        return f"{to} was paged: {why}"

    def _sent(self, event: e.PageSent, fact: Fact) -> str:
        planned = self._planned.get(event.key)
        if planned is None or self._pages.sent.get(event.key) is not fact:
            return ""
        self._reached += 1
        to = self._roles.of(planned.to)
        return f"{to} was paged: {self._roles.own(planned.reason.says)}"

    def _exhausted(self) -> str:
        reached, tried = self._reached, self._tried
        self._reached = self._tried = 0
        if self._pages.kept_back:
            return "nobody else would have been paged"
        if not reached and self._pages.refused:
            return "everybody was tried and nobody could be reached"
        if reached < tried:
            return "everybody was tried, and nobody who could be reached answered"
        return "everybody was paged and nobody answered"

    def _joined(self, event: e.AlertsAttached) -> str:
        new: list[str] = []
        again: list[str] = []
        for one in event.attached:
            title = title_of(one.alert.name, one.alert.service)
            (again if one.alert.fingerprint in self._titles else new).append(title)
            self._titles[one.alert.fingerprint] = title
        parts = [_such(new, "joined")] if new else []
        return "; ".join([*parts, _such(again, "fired again")] if again else parts)

    def _ended(self, fingerprints: Collection[str]) -> str:
        known = [self._titles[one] for one in fingerprints if one in self._titles]
        if len(known) < len(fingerprints):
            return f"{count(len(fingerprints), 'alert')} ended"
        return _such(known, "ended")


def _such(titles: Sequence[str], what: str) -> str:
    """Say what some alerts did, and name one of them.

    >>> _such(["Slow on shop"], "joined"), _such(["Slow on shop", "Down on shop"], "ended")
    ('1 alert joined: Slow on shop', '2 alerts ended, such as Slow on shop')
    """
    between = ":" if len(titles) == 1 else ", such as"
    return f"{count(len(titles), 'alert')} {what}{between} {titles[0]}"


def _key(event: e.Event) -> str:
    return event.key if isinstance(event, e.PagePlanned) else ""
