"""Commands over the API of a running server.

Law: the token is for the server that was named, and for no other.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any, TypeVar, cast
from urllib.parse import quote

import msgspec
from msgspec import structs

from midwatch.core.values.judgements import Added, Whole
from midwatch.core.values.postmortems import Postmortem
from midwatch.engine import (
    cases,
    explain,
    jobs,
    listing,
    oncall,
    queries,
    served,
)
from midwatch.engine.cases import ALL
from midwatch.engine.perform import Tested
from midwatch.engine.placement import AlertPlace
from midwatch.engine.plans import PlanView
from midwatch.engine.reporting import Report
from midwatch.errors import HarnessError, InputError, StateError
from midwatch.hiding import hidden, hidden_in

TIMEOUT_S = 10
DAY_MS = 86_400_000
PAGE_TIMEOUT_S = 60  # each pager may take its time
TOKEN = re.compile("[!-~]+")
NEXT = re.compile('<(/api/v1/[!-;=?-~]+)>; rel="next"')

T = TypeVar("T")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the token is for the server that was named, and for no other."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> None:
        """Make no further request."""
        return


_opener = urllib.request.build_opener(_NoRedirect)


class OverServer:
    """Through the API of a running server."""

    def __init__(self, server: str, token: str) -> None:
        if not server.startswith(("http://", "https://")):
            remedy = "write it like http://127.0.0.1:8600"
            raise InputError(f"{server!r} is not a valid URL", place="--server", remedy=remedy)
        if not TOKEN.fullmatch(token.strip()):
            # Never with its text: what is no token here may be one with a slip.
            remedy = "copy the whole token again, on one line"
            raise InputError("not a valid token", place="--token", remedy=remedy)
        self._server = server.rstrip("/")
        self._token = token.strip()

    def all(self, *, everything: bool) -> list[queries.Summary]:
        """List incidents."""
        path = "/api/v1/incidents" + ("?all=true" if everything else "")
        found = self._list("GET", path, queries.Summary)
        return listing.worst_first(found) if everything else found

    def owed(self) -> list[queries.Summary]:
        """List incidents that are resolved and not closed."""
        return self._list("GET", "/api/v1/incidents?owed=true", queries.Summary)

    def show(self, incident: str) -> queries.Detail:
        """Tell one."""
        return self._detail("GET", f"/api/v1/incidents/{quote(incident, '')}")

    def tell(self, incident: str, verb: str, given: dict[str, Any]) -> queries.Detail:
        """Acknowledge, snooze or resolve."""
        path = f"/api/v1/incidents/{quote(incident, '')}/{verb}"
        return self._detail("POST", path, given)

    def plan(self, incident: str, given: dict[str, Any]) -> PlanView:
        """Look at a plan, or propose it."""
        path = f"/api/v1/incidents/{quote(incident, '')}/plan"
        return self._ask("POST", path, PlanView, given)

    def postmortem(self, incident: str) -> Postmortem:
        """Write the postmortem of an incident."""
        return self._ask("GET", f"/api/v1/incidents/{quote(incident, '')}/postmortem", Postmortem)

    def draft(self, incident: str) -> Postmortem:
        """Write its facts down now."""
        return self._ask("POST", f"/api/v1/incidents/{quote(incident, '')}/draft", Postmortem, {})

    def judge(self, incident: str, whole: Whole) -> Postmortem:
        """Keep what a person makes of it."""
        path = f"/api/v1/incidents/{quote(incident, '')}/postmortem"
        return self._ask("POST", path, Postmortem, msgspec.to_builtins(whole))

    def add(self, incident: str, added: Added) -> Postmortem:
        """Add to what people make of it."""
        path = f"/api/v1/incidents/{quote(incident, '')}/postmortem/add"
        return self._ask("POST", path, Postmortem, msgspec.to_builtins(added))

    def report(self, start: int, end: int) -> Report:
        """Tell a period."""
        parts = list(self._parts("GET", f"/api/v1/report?start={start}&end={end}", Report))
        lines = [line for part in parts for line in part.incidents]
        return structs.replace(parts[0], incidents=lines)

    def rejected(self) -> list[queries.Rejected]:
        """List what could not be taken."""
        return self._list("GET", "/api/v1/alerts/rejected", queries.Rejected)

    def alert(self, wanted: str) -> AlertPlace:
        """Say where an alert is and why."""
        return self._ask("GET", f"/api/v1/alerts/{quote(wanted, '')}/explain", AlertPlace)

    def silences(self) -> list[queries.SilenceView]:
        """List silences."""
        return self._list("GET", "/api/v1/silences", queries.SilenceView)

    def silence(self, given: dict[str, Any]) -> list[queries.SilenceView]:
        """Ask for quiet."""
        return self._list("POST", "/api/v1/silences", queries.SilenceView, given)

    def end_silence(self, silence: str) -> list[queries.SilenceView]:
        """End a silence."""
        path = f"/api/v1/silences/{quote(silence, '')}/end"
        return self._list("POST", path, queries.SilenceView, {})

    def changes(self) -> list[queries.ChangeView]:
        """List changes."""
        return self._list("GET", "/api/v1/changes", queries.ChangeView)

    def change(self, given: dict[str, Any]) -> list[queries.ChangeView]:
        """Note a change."""
        return self._list("POST", "/api/v1/changes", queries.ChangeView, given)

    def services(self) -> list[served.ServiceView]:
        """List what services run."""
        return self._ask("GET", "/api/v1/services", list[served.ServiceView])

    def register(self, given: dict[str, Any]) -> list[served.ServiceView]:
        """Make a release known."""
        return self._ask("POST", "/api/v1/services", list[served.ServiceView], given)

    def history(self, service: str) -> list[queries.Moment]:
        """Tell what happened to a service's releases."""
        path = f"/api/v1/services/{quote(service, '')}/history"
        return self._list("GET", path, queries.Moment)

    def move(self, service: str, purpose: str, given: dict[str, Any]) -> list[served.ServiceView]:
        """Begin to move traffic."""
        path = f"/api/v1/services/{quote(service, '')}/{purpose}"
        return self._ask("POST", path, list[served.ServiceView], given)

    def cases(self) -> list[cases.CaseView]:
        """List regression cases."""
        return self._list("GET", "/api/v1/cases", cases.CaseView)

    def case(self, name: str) -> cases.CaseStory:
        """Tell one case."""
        return self._ask("GET", f"/api/v1/cases/{quote(name, '')}", cases.CaseStory)

    def kept(self, service: str) -> cases.Kept:
        """Give what guards a service, or all of them."""
        path = f"/api/v1/services/{quote(service or ALL, '')}/cases"
        return self._ask("GET", path, cases.Kept)

    def change_case(self, name: str, what: str, given: dict[str, Any]) -> list[cases.CaseView]:
        """Admit a case, or quarantine or retire the one of this name."""
        path = f"/api/v1/cases/{quote(name, '')}/{what}" if name else "/api/v1/cases"
        return self._list("POST", path, cases.CaseView, given)

    def tickets(self) -> list[queries.TicketView]:
        """List reports."""
        return self._list("GET", "/api/v1/tickets", queries.TicketView)

    def ticket(self, given: dict[str, Any]) -> list[queries.TicketView]:
        """File a report."""
        return self._list("POST", "/api/v1/tickets", queries.TicketView, given)

    def slos(self) -> list[explain.StandingView]:
        """Say how objectives stand, as the server read them last."""
        return self._ask("GET", "/api/v1/slos", list[explain.StandingView])

    def jobs(self) -> list[jobs.JobView]:
        """List watched jobs."""
        return self._ask("GET", "/api/v1/heartbeats", list[jobs.JobView])

    def oncall(self, at: int) -> list[oncall.OnCall]:
        """Say who is on call."""
        return self._ask("GET", f"/api/v1/oncall?at={at}", list[oncall.OnCall])

    def shifts(self, schedule: str, start: int, end: int) -> list[oncall.ShiftView]:
        """List shifts."""
        path = f"/api/v1/oncall/shifts?start={start}&days={(end - start) // DAY_MS}"
        found = self._ask("GET", path, list[oncall.ShiftView])
        return [one for one in found if schedule in ("", one.schedule)]

    def gaps(self, start: int, end: int) -> list[oncall.Gap]:
        """Say when nobody can be reached."""
        path = f"/api/v1/oncall/gaps?start={start}&days={(end - start) // DAY_MS}"
        return self._ask("GET", path, list[oncall.Gap])

    def handoff(self, hours: int) -> oncall.Handoff:
        """Gather what the next person has to know."""
        return self._ask("GET", f"/api/v1/oncall/handoff?hours={hours}", oncall.Handoff)

    def overrides(self) -> list[oncall.OverrideView]:
        """List overrides."""
        return self._ask("GET", "/api/v1/oncall/overrides", list[oncall.OverrideView])

    def override(self, schedule: str, given: dict[str, Any]) -> list[oncall.OverrideView]:
        """Let somebody stand in."""
        return self._oncall(schedule, "override", given)

    def remove_override(self, schedule: str, override: str) -> list[oncall.OverrideView]:
        """Take an override back."""
        return self._oncall(schedule, "remove-override", {"override": override})

    def swap(self, schedule: str, given: dict[str, Any]) -> list[oncall.OverrideView]:
        """Let two people take each other's shift."""
        return self._oncall(schedule, "swap", given)

    def _oncall(self, schedule: str, verb: str, given: dict[str, Any]) -> list[oncall.OverrideView]:
        path = f"/api/v1/oncall/{quote(schedule, '')}/{verb}"
        return self._ask("POST", path, list[oncall.OverrideView], given)

    def test_page(self, via: str) -> list[Tested]:
        """Send a test page by one pager, or by each."""
        return self._ask("POST", "/api/v1/pages/test", list[Tested], {"via": via}, PAGE_TIMEOUT_S)

    def _detail(
        self, method: str, path: str, given: dict[str, Any] | None = None
    ) -> queries.Detail:
        """Give an incident with its whole timeline."""
        parts = list(self._parts(method, path, queries.Detail, given))
        return structs.replace(parts[0], timeline=[m for part in parts for m in part.timeline])

    def _list(
        self, method: str, path: str, kind: type[T], given: dict[str, Any] | None = None
    ) -> list[T]:
        """Give a whole list, however many parts it comes in."""
        return [one for part in self._parts(method, path, list[kind], given) for one in part]

    def _parts(
        self, method: str, path: str, kind: Any, given: dict[str, Any] | None = None
    ) -> Iterator[Any]:
        """Give an answer part by part, as the server says where the next one is."""
        found, path = self._answer(method, path, kind, given)
        yield found
        while path:
            found, path = self._answer("GET", path, kind)
            yield found

    def _ask(
        self,
        method: str,
        path: str,
        kind: Any,
        given: dict[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        return self._answer(method, path, kind, given, timeout_s)[0]

    def _answer(
        self,
        method: str,
        path: str,
        kind: Any,
        given: dict[str, Any] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[Any, str]:
        """Ask; gives the answer, and where it goes on."""
        body = json.dumps(given).encode() if given is not None else None
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            # The scheme was checked when the server was named.
            request = urllib.request.Request(  # noqa: S310
                self._server + path, body, headers, method=method
            )
            with _opener.open(request, timeout=timeout_s) as answer:
                found = msgspec.json.decode(hidden_in(answer.read(), [self._token]), type=kind)
                return found, _next(answer.headers.get("Link", ""))
        except urllib.error.HTTPError as error:
            says = hidden(_problem(error), [self._token])
            raise StateError(says, place=self._server) from None
        except (OSError, ValueError, HTTPException) as error:
            says = hidden(str(getattr(error, "reason", error)), [self._token])
            raise HarnessError(
                f"no response: {says}", place=self._server, remedy="is midwatch serve running?"
            ) from None
        except msgspec.MsgspecError as error:
            raise HarnessError(
                f"not a midwatch server: {error}", place=self._server, remedy="check --server"
            ) from None


def _next(link: str) -> str:
    """Read where an answer goes on; only an address of the API, for the token goes there.

    >>> _next('</api/v1/changes?limit=2&after=d-7>; rel="next"'), _next("")
    ('/api/v1/changes?limit=2&after=d-7', '')
    """
    found = NEXT.fullmatch(link)
    return found[1] if found else ""


def _problem(error: urllib.error.HTTPError) -> str:
    """Read what a server says is wrong."""
    try:
        document = cast("dict[str, Any]", json.loads(error.read()))
        parts = [str(document[name]) for name in ("detail", "remedy") if document.get(name)]
        place = f"{document['place']}: " if document.get("place") else ""
        return place + "; ".join(parts) or f"answered {error.code}"
    except (ValueError, AttributeError, TypeError):
        return f"answered {error.code}"
