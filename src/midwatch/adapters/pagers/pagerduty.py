"""Pages as PagerDuty events, API v2.

Law: one incident has one dedup key in every trigger, acknowledge and resolve, so that PagerDuty has
one incident for it too; the key is unique across journals and their copies. What PagerDuty has
acknowledged rings no more under its key: when somebody is needed again after that, for worse news
or because an ack has ended, a further key begins, and the end resolves all of them.
Only 202 is a delivery. Control characters in text from outside are shown.

Source: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from midwatch.adapters.pagers.options import PagerDutyOptions
from midwatch.core.state.effects import SendPage, UpdatePage
from midwatch.errors import HarnessError, Throttled
from midwatch.texts import cut, plain

if TYPE_CHECKING:  # config reads the options below where no HTTP client is installed
    from midwatch.outbound import Outbound

SEVERITY = {"sev1": "critical", "sev2": "error", "sev3": "warning", "sev4": "info"}
BECAME = {"acknowledged": "acknowledge", "resolved": "resolve"}
MAX_SUMMARY = 1_024
MAX_KEY = 255
MAX_DETAIL = 50_000  # of an event's 512 KB


class PagerDutyPager:
    """Sends events to one integration."""

    def __init__(
        self,
        options: PagerDutyOptions,
        routing_key: str,
        outbound: Outbound,
        journal: str,
        clock: Callable[[], int],
        link: Callable[[str], str],
    ) -> None:
        self._url = options.url
        self._routing_key = routing_key
        self._outbound = outbound
        self._journal = journal
        self._clock = clock
        self._link = link

    def send(self, page: SendPage) -> str:
        """Trigger. Raises Throttled when PagerDuty asks to wait, else HarnessError."""
        link = self._link(page.outside)
        title, service = plain(page.title), plain(page.service)
        details = {
            "title": title,
            "why": plain(page.summary),
            "for": plain(page.to),
            "severity": page.severity,
            "ack": f"midwatch incidents ack {page.incident}",
            **({"also": "\n".join(map(plain, page.also))} if page.also else {}),
        }
        event: dict[str, Any] = {
            "payload": {
                "summary": cut(f"{page.incident} {page.severity}: {title}", MAX_SUMMARY),
                "source": service or "midwatch",
                "severity": SEVERITY.get(page.severity, "critical"),
                "component": service,
                "custom_details": {name: cut(text, MAX_DETAIL) for name, text in details.items()},
            },
            "client": "midwatch",
        }
        if link:
            event |= {"client_url": link, "links": [{"href": link, "text": page.incident}]}
        return self._post("trigger", _thread(page.outside, page.thread), event)

    def follow(self, update: UpdatePage) -> str:
        """Acknowledge or resolve what was triggered. Raises as `send` does."""
        first = 0 if update.became == "resolved" else update.thread
        threads = [_thread(update.outside, n) for n in range(first, update.thread + 1)]
        return ", ".join([self._post(BECAME[update.became], one, {}) for one in threads])

    def _post(self, action: str, incident: str, event: dict[str, Any]) -> str:
        key = f"midwatch/{self._journal}/{incident}"[:MAX_KEY]
        body = {
            "routing_key": self._routing_key,
            "event_action": action,
            "dedup_key": key,
            **event,
        }
        headers = {"content-type": "application/json"}
        answer = self._outbound.post(
            self._url, msgspec.json.encode(body), headers, [self._routing_key]
        )
        if answer.status == 202:
            return f"{action}: {key}"
        says = f"PagerDuty answered {answer.status}"
        wait_s = answer.retry_after_s(self._clock())
        if answer.status == 429 or wait_s is not None:
            raise Throttled(says, wait_s or 60.0)
        raise HarnessError(says)


def _thread(incident: str, number: int) -> str:
    return f"{incident}/{number}" if number else incident
