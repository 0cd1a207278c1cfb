"""Reads a postmortem against its journal, by arithmetic of its own: what is not so is listed.

Law: nothing here knows midwatch's events or its writer. The journal is rows of JSON, the document
is what a reader sees. Every name, number and time of a line is in the event that the line cites.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from midwatch.adapters.reports import postmortem as pages
from midwatch.cli.on_file import OnFile
from midwatch.core.values.postmortems import Postmortem

NOT_SENT = "shadow: not sent"
POLICY = "policy "
OVER = ("resolved", "closed")
# What no reader should have to puzzle over.
UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
LASTED = re.compile(r"([\d.]+) (s|min|h|d)\b")
# A word with a digit, or with a capital inside: a name, a figure, a release.
NAMED = re.compile(r"[\w.%+/-]*(?:\d|[a-z][A-Z])[\w.%+/-]*")
ODD = re.compile(r" ->|-&gt;|\b0 alerts?\b|\b1 (?:alerts|services|events|times)\b|\ball 1\b|None")
MOMENTS = {
    "detected": r"t was detected after ",
    "paged": r"omebody was paged after ",
    "acknowledged": r"t was acknowledged ",
    "mitigated": r"t was mitigated\b.* after ",
}
# What each line of a timeline may tell: its first words, and the kinds of events that say so.
LINES = {
    r".+ was paged: ": ("PageSent",),
    r".+ acknowledged it$": ("PageAcknowledged",),
    r".+ approved plan ": ("PlanApproved",),
    r"\d+ alerts? (joined|fired again)": ("AlertsAttached",),
    r"\d+ alerts? ended": ("AlertsResolved",),
    r"users had recovered": ("IncidentMitigated",),
    r"mitigated": ("IncidentMitigated",),
    r"step .+ was done": ("ActionDone",),
    r".+ serves .+ again": ("RollbackCompleted",),
    r"resolved: ": ("IncidentResolved",),
    r"closed: ": ("IncidentClosed",),
    r"everybody was tried and nobody could be reached": ("EscalationExhausted",),
}


class Row(NamedTuple):
    """A row of the journal; `at` is in milliseconds."""

    seq: int
    at: int
    type: str
    body: dict[str, Any]


def untrue(
    file: Path, config: Path, alter: Callable[[dict[str, Any]], object] = lambda _: None
) -> list[str]:
    """List what the postmortems of a journal say, and the journal does not.

    `alter` may change a document before it is read, so that a test can lie.
    """
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
        listed = db.execute("SELECT seq, at, type, body FROM event ORDER BY seq").fetchall()
        streams = db.execute("SELECT DISTINCT stream FROM event WHERE stream LIKE 'incident/%'")
        names = sorted(one.removeprefix("incident/") for (one,) in streams)
    rows = [Row(seq, at, kind, json.loads(body)) for seq, at, kind, body in listed]
    found: list[str] = []
    for name in names:
        told: dict[str, Any] = msgspec.to_builtins(OnFile(config, file).postmortem(name))
        alter(told)
        document = msgspec.convert(told, Postmortem)
        texts = (pages.markdown(document), pages.html(document))
        reading = _Reading(rows, name, told, texts)
        found += [f"{file.name} {name}: {one}" for one in reading.problems()]
    return found


class _Reading:
    """One document, and the rows that are about its incident."""

    def __init__(
        self, rows: list[Row], name: str, told: dict[str, Any], texts: tuple[str, str]
    ) -> None:
        self.all = {one.seq: one for one in rows}
        mine = [one for one in rows if one.body.get("incident") == name]
        closed = [n for n, one in enumerate(mine) if one.type == "IncidentClosed"]
        self.mine = mine[: closed[0] + 1] if closed else mine
        self.told = told
        self.texts = texts
        self.name = name
        self.journal = json.dumps([one.body for one in mine])

    def problems(self) -> Iterator[str]:
        """Give what is not so."""
        yield from self._words()
        yield from self._moments()
        yield from self._summary()
        yield from self._lines()
        yield from self._counts()
        yield from self._runs()
        yield from self._causes()

    def of(self, *kinds: str) -> list[Row]:
        """Give the rows of some kinds."""
        return [one for one in self.mine if one.type in kinds]

    def _harms(self) -> dict[str, list[dict[str, Any]]]:
        """Give the stretches of each objective as they were measured last."""
        return {
            row.body["slo"]: [one for one in row.body["harm"]["stretches"] if one]
            for row in self.of("HarmMeasured")
        }

    def _words(self) -> Iterator[str]:
        """No riddles, no names of people, and nothing is still to come that never will."""
        people = {
            row.body.get(field, "")
            for row in self.mine
            for field in ("to", "by")
            if row.type.startswith(("Page", "Plan", "Fix", "Postmortem", "IncidentReassigned"))
        }
        for text in self.texts:
            yield from (f"odd: {one}" for one in ODD.findall(text))
            if self.told["state"] in OVER and re.search(r"\bnot yet\b", text):
                yield "what is over waits for something"
            for one in people:
                if one and not one.startswith(POLICY) and re.search(rf"\b{one}\b", text):
                    yield f"names {one}"
        markdown, page = (re.sub(r"\W+", "", one) for one in self._sentences())
        if markdown != page:
            yield "Markdown and HTML differ"

    def _sentences(self) -> tuple[str, str]:
        """Give what both forms say of alerts and runs, without their tags."""
        markdown, page = self.texts
        plain = re.sub(r"<[^>]*>", "", page)
        wanted = r"(?:\d+ alerts? on|No alert joined|Outcome:|May close without|The change before)"
        lines = [re.findall(rf"{wanted}[^\[\n]*", one) for one in (markdown, plain)]
        return "".join(lines[0]), "".join(lines[1])

    def _moments(self) -> Iterator[str]:
        """Each moment is that of the event that it means, and durations are differences."""
        sent = [one for one in self.of("PageSent") if one.body["receipt"] != NOT_SENT]
        opened = self.of("IncidentOpened", "BudgetBurning")
        wells = self.of("IncidentMitigated", "IncidentReopened")
        well = wells[-1] if wells and wells[-1].type == "IncidentMitigated" else None
        starts = [one["start"] for found in self._harms().values() for one in found]
        first = min((one["starts_at"] for one in self._alerts()), default=opened[0].at)
        self.moments = {
            "started": min(starts, default=first),
            "detected": min(one.at for one in opened),
            "paged": sent[0].at if sent else None,
            "acknowledged": self._at("PageAcknowledged", 0),
            "mitigated": well.at if well else None,
            "resolved": self._at("IncidentResolved", -1),
            "closed": self._at("IncidentClosed", 0),
        }
        yield from self._clocks()
        for name, at in self.moments.items():
            if (shown := self.told["times"][name]) != (_show(at) if at is not None else None):
                yield f"{name} at {shown}, not {at}"
        for name, since in (
            ("detect", "started"),
            ("page", "started"),
            ("mitigate", "started"),
            ("resolve", "started"),
            ("acknowledge", "paged"),
        ):
            end, start = self.moments[PAST[name]], self.moments[since]
            lasted = None if end is None or start is None else max(end - start, 0) / 1_000
            shown = self.told["durations_s"][f"to_{name}"]
            if (shown is None) is not (lasted is None) or abs((shown or 0) - (lasted or 0)) > 1e-6:
                yield f"took {shown} to {name}, not {lasted}"

    def _clocks(self) -> Iterator[str]:
        """The table of the Markdown has those moments, to the nearest second."""
        for name, at in self.moments.items():
            row = re.search(rf"^\| {name} \| (.*?) \|", self.texts[0], re.M)
            if (
                row
                and at is not None
                and row[1] != _show((at + 500) // 1_000 * 1_000)[:19].replace("T", " ") + " UTC"
            ):
                yield f"{name} at {row[1]}, not {at}"

    def _at(self, kind: str, place: int) -> int | None:
        found = self.of(kind)
        return found[place].at if found else None

    def _alerts(self) -> list[dict[str, Any]]:
        return [one["alert"] for row in self.of("AlertsAttached") for one in row.body["attached"]]

    def _summary(self) -> Iterator[str]:
        """What a sentence cites has the moments, the names and the figures that it tells."""
        for one in self.told["summary"]:
            says, cited = one["says"], [self.all[seq] for seq in one["events"]]
            for name, words in MOMENTS.items():
                if re.search(words, says) and self.moments[name] not in [row.at for row in cited]:
                    yield f"nothing cited was at the moment of {name}: {says}"
            held = re.search(r"having not held (once|\d+ times)", says)
            again = len(self.of("IncidentReopened"))
            if (held is not None) is not (bool(again) and "mitigated" in says):
                yield f"opened again {again} times: {says}"
            if held and held[1] != ("once" if again == 1 else f"{again} times"):
                yield f"opened again {again} times: {says}"
            titled = not self.told["impact"]["objectives"] and one is self.told["summary"][0]
            bodies = json.dumps([row.body for row in cited])
            if titled and says.rstrip(".").split(": ")[-1] not in bodies:
                yield f"what is cited does not call it so: {says}"
            yield from self._credit(says, cited)
            yield from self._lasted(says)

    def _credit(self, says: str, cited: list[Row]) -> Iterator[str]:
        """Who ended it, what came before it, and which fix is live, as it is cited."""
        helped = [run for run in self.told["runs"] if run["verification"] == "recovered"]
        if "not by a runbook" in says and helped:
            yield f"{helped[0]['runbook']} recovered it: {says}"
        if found := re.match(r"Runbook (\S+) ended the harm|After runbook (\S+) it was", says):
            hashes = {row.body.get("plan_hash") for row in cited}
            books = {
                row.body["runbook"]
                for row in self.of("PlanProposed")
                if row.body["plan_hash"] in hashes
            }
            if books != {found[1] or found[2]}:
                yield f"the runbook was {sorted(books)}: {says}"
            if found[1] and not self.of("HarmMeasured"):
                yield f"nobody measured any harm: {says}"
            reasons = [row.body["reason"] for row in cited if row.type == "IncidentMitigated"]
            for one in reasons:
                slo = one.get("terms", {}).get("slo", "")
                if not says.endswith(f": {slo}: {one['says']}." if slo else f": {one['says']}."):
                    yield f"does not say by what: {says}"
        if found := re.match(r"Before it came the (\S+) of (\S+)(.*)\.$", says):
            change = next(row.body["change"] for row in cited if row.type == "ChangeSeen")
            before, after = change.get("from_release", ""), change.get("to_release", "")
            named = (f" from {before}" if before else "") + (f" to {after}" if after else "")
            if found.groups() != (change["kind"], change["service"], named):
                yield f"it was {change}: {says}"
        fixes = {row.body["release"] for row in cited if row.type == "FixPromoted"}
        if (found := re.match(r"The fix (\S+) is live", says)) and found[1] not in fixes:
            yield f"no such fix was promoted: {says}"
        if "nobody could be reached" in says and self.moments["paged"] is not None:
            yield f"somebody was reached: {says}"

    def _lasted(self, says: str) -> Iterator[str]:
        """A duration in a sentence is that of the table."""
        for words, name in (
            (r"was detected after", "to_detect"),
            (r"was paged after", "to_page"),
            (r"was acknowledged", "to_acknowledge"),
            (r"was mitigated(?: for the last time)? after", "to_mitigate"),
        ):
            found = re.search(rf"{words} ((?:[\d.]+ (?:s|min|h|d)\b ?)+)", says)
            lasted = self.told["durations_s"][name]
            if found and abs(_seconds(found[1]) - lasted) > _rounded(found[1], lasted):
                yield f"it was {lasted} s: {says}"

    def _lines(self) -> Iterator[str]:
        """Lines are in order, and each is at the time of what it tells."""
        lines = self.told["timeline"]
        if [one["at"] for one in lines] != sorted(one["at"] for one in lines):
            yield "the timeline is not in order"
        seen = [row for row in self.mine if row.type == "PageSent"]
        refused = {row.body["key"] for row in self.of("PageFailed")}
        refused -= {row.body["key"] for row in seen}
        for one in lines:
            says, (seq,) = one["says"], one["events"]
            row = self.all[seq]
            if one["at"] not in {_show(at) for at in self._when(row, says)}:
                yield f"{one['at']} is not the time of event {seq}: {says}"
            if unsaid := self._unsaid(row, says):
                yield f"event {seq} ({row.type}) does not say {unsaid}: {says}"
            for words, kinds in LINES.items():
                if re.match(words, says) and row.type not in kinds:
                    yield f"{row.type} does not say: {says}"
            if "was paged: " in says and row.body["key"] in refused:
                yield f"no pager took it: {says}"
            if says.startswith("users had recovered") and not row.body.get("before"):
                yield f"nobody had counted their harm: {says}"
        paged = sum(bool(re.match(r".+ was paged: ", one["says"])) for one in lines)
        if paged != len({row.body["key"] for row in seen if row.body["receipt"] != NOT_SENT}):
            yield f"{paged} lines say that somebody was paged"
        ended = [one for one in lines if ": the last bad events were counted" in one["says"]]
        stretches = sum(len(found) for found in self._harms().values())
        if self.told["times"]["mitigated"] and len(ended) != stretches:
            yield f"{len(ended)} lines tell the end of {stretches} stretches of harm"

    def _unsaid(self, row: Row, says: str) -> list[str]:
        """List the names and figures of a line that the event, or the alerts it ends, do not have.

        Roles stand for people, and a number of alerts, a version and a width are counted here.
        """
        prints = row.body.get("fingerprints", ())
        alerts = [one for one in self._alerts() if one["fingerprint"] in prints]
        planned = [x.body for x in self.of("PagePlanned") if x.body["key"] == row.body.get("key")]
        known = " ".join(_leaves([row.body, alerts, *planned]))
        text = re.sub(r"^after closing: |\bresponder \d+", "", says)
        counted = re.match(r"(\d+) alerts? (?:joined|fired again|ended)", text)
        if counted:
            before = {
                one["alert"]["fingerprint"]
                for x in self.of("AlertsAttached")
                for one in x.body["attached"]
                if x.seq < row.seq
            }
            joined = [one["alert"]["fingerprint"] for one in row.body.get("attached", ())]
            if joined and ("fired again" in text) is not any(one in before for one in joined):
                return ["that it fired before"]
            new = {one["alert"]["fingerprint"] for one in row.body.get("attached", ())}
            if f"{len(new or prints)}" != counted[1] and "; " not in text:
                return [counted[0]]
            text = re.sub(r"\d+ alerts?", "", text)
        if version := re.search(r" v(\d+) was proposed", text):
            text = text.replace(version[0], "") if row.body["version"] == int(version[1]) else text
        if width := re.search(r", within (.+) of this$", text):
            edge = "start_width_s" if "began to be affected" in text else "end_width_s"
            widths = [one[edge] for one in row.body["harm"]["stretches"] if one]
            if any(abs(_seconds(width[1]) - one) <= _rounded(width[1], one) for one in widths):
                text = text.replace(width[0], "")
        return [one for one in NAMED.findall(text) if one.strip(".") not in known]

    def _when(self, row: Row, says: str) -> set[int]:
        """Say when that was, what a line tells by an event."""
        if "the first alert began" in says:
            return {min(one["starts_at"] for one in self._alerts())}
        if row.type == "ChangeSeen":
            return {row.body["change"]["at"]}
        if row.type == "HarmMeasured":
            edge = "start" if "began to be affected" in says else "end"
            return {one[edge] for one in row.body["harm"]["stretches"] if one}
        return {row.at}

    def _counts(self) -> Iterator[str]:
        """Alerts, services, people, bad events and the peak are those of the journal."""
        mine = [
            row.body
            for row in self.all.values()
            if row.type == "TicketTriaged" and row.body["incident"] == self.name
        ]
        reporters = {one.get("by") or one.get("source", "") for one in mine}
        most = max([len(reporters), *(one.get("affected", 0) for one in mine)])
        said = self.told["impact"]["users"]
        if (said or 0) != most and (said is not None or self.told["times"]["mitigated"]):
            yield f"{said} people reported it, not {most}"
        if self.told["impact"]["reports"] != len(
            {x.body["ticket"] for x in self.of("TicketLinked")}
        ):
            yield f"{self.told['impact']['reports']} reports were linked"
        if re.search(r"users who reported it \| none", self.texts[0]) and most:
            yield f"{most} people reported it, and it says that nobody did"
        alerts = self._alerts()
        number = len({one["fingerprint"] for one in alerts})
        services = {one["service"] for one in alerts}
        if self.told["alerts"]["count"] != number:
            yield f"{self.told['alerts']['count']} alerts, not {number}"
        head, told = self.texts[0], "No alert joined it"
        if number:
            plural, more = "s" * (number > 1), "s" * (len(services) > 1)
            told = f"{number} alert{plural} on {len(services)} service{more} became one incident."
        if told not in head:
            yield f"does not say: {told}"
        about = re.search(r", services? (.*?)\. Written from the event log", head)
        named: set[str] = set(re.split(r", | and ", about[1])) if about else set()
        if not services <= named:
            yield f"is about {sorted(named)}, and not {sorted(services)}"
        yield from (f"{one} is not in the journal" for one in named if one not in self.journal)
        harms = self._harms()
        for lost in self.told["impact"]["objectives"]:
            found = harms.get(lost["slo"], [])
            total = sum(one["total"] for one in found)
            bad = total - sum(one["good"] for one in found)
            if found and (lost["bad_events"], lost["valid_events"]) != (bad, total):
                yield f"{lost['bad_events']} of {lost['valid_events']}, not {bad} of {total}"
            burns = [
                row.body["burn"]
                for row in self.of("BudgetBurning", "BurnSampled")
                if row.body["slo"] == lost["slo"]
            ]
            if round(max(burns), 4) != lost["peak_burn"]:
                yield f"peak {lost['peak_burn']}, not {max(burns)}"

    def _runs(self) -> Iterator[str]:
        """Who approved it, and what became of each step of its plan."""
        done = self.of("ActionDone", "RollbackCompleted")
        failed = self.of("ActionFailed", "RollbackFailed")
        for run in self.told["runs"]:
            policies = {
                row.body["by"]
                for row in self.of("PlanApproved")
                if row.body["plan_hash"] == run["plan"]
            }
            for who in policies:
                if who.startswith(POLICY) is not (who == run["approved_by"]):
                    yield f"approved by {run['approved_by']}, not {who}"
            plans = [
                row.body["plan"]
                for row in self.of("PlanProposed", "ActionWaits")
                if row.body.get("plan", {}).get("hash") == run["plan"]
            ]
            if plans and len(run["steps"]) < len(plans[-1]["steps"]):
                yield f"{len(run['steps'])} of {len(plans[-1]['steps'])} steps are told"
            for step in run["steps"]:
                cited = {self.all[seq].seq for seq in step["events"]}
                if (step["state"] == "done") is not bool(cited & {row.seq for row in done}):
                    yield f"step {step['step']} is {step['state']}"
                if step["state"].startswith("failed") and not cited & {row.seq for row in failed}:
                    yield f"step {step['step']} is {step['state']}"
                if step["state"] != "done" and f"**{step['state']}**" not in self.texts[0]:
                    yield f"step {step['step']} is not marked"

    def _causes(self) -> Iterator[str]:
        """The change before it is one of the journal, and was before it."""
        change = self.told["change"]
        listed = [row.body["change"] for row in self.all.values() if row.type == "ChangeSeen"]
        if change is not None and change["at"] not in {_show(one["at"]) for one in listed}:
            yield f"no change was at {change['at']}"
        width_s = max(
            (one["start_width_s"] for found in self._harms().values() for one in found), default=0
        )
        until = (self.moments["started"] or 0) + width_s * 1_000
        if change is not None and change["at"] > _show(until):
            yield f"the change before it came after it: {change['at']}"
        about = {*self.told["alerts"]["services"], self.told["service"]}
        mine = [one for one in listed if one["at"] <= until and one["service"] in about]
        if mine and change is None:
            yield f"no change is told, though there was {mine[-1]['id']}"
        for cause in self.told["alerts"]["causes"]:
            if cause["service"] not in self.journal:
                yield f"{cause['service']} is not in the journal"


PAST = {
    "detect": "detected",
    "page": "paged",
    "mitigate": "mitigated",
    "resolve": "resolved",
    "acknowledge": "acknowledged",
}


def _leaves(node: Any) -> Iterator[str]:
    """Give every value of a document, and a number also as the time that it may be."""
    if isinstance(node, dict):
        yield from _leaves(list(cast("dict[str, Any]", node).values()))
    elif isinstance(node, list):
        for one in cast("list[Any]", node):
            yield from _leaves(one)
    elif isinstance(node, int) and abs(node) > 10**11:
        yield from (str(node), _show(node))
    else:
        yield str(node)


def _seconds(text: str) -> float:
    """Read a duration as people say it."""
    return sum(float(number) * UNITS[unit] for number, unit in LASTED.findall(text))


def _rounded(text: str, exact: float) -> float:
    """Say how far a duration may be from what it says: half of the last unit, or three digits."""
    parts = LASTED.findall(text)
    return 0.006 * exact + 1e-3 if len(parts) < 2 else UNITS[parts[-1][1]] / 2


def _show(at: int) -> str:
    shown = datetime.fromtimestamp(at // 1_000, UTC)
    return f"{shown:%Y-%m-%dT%H:%M:%S}.{at % 1_000:03d}Z"
