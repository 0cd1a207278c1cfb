"""What happens, in the process's log: one record a committed event, with its incident.

Law: the log repeats the journal and decides nothing; losing it loses nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from midwatch.core.values.keys import Key
from midwatch.core.values.skews import Skews
from midwatch.engine.queries import event_of, moment_of
from midwatch.ports import Row

log = logging.getLogger("midwatch.engine")

# What comes in thousands is logged at debug level; what needs a look, as a warning.
QUIET = frozenset({"AlertsAttached", "AlertsResolved"})
LOUD = frozenset(
    {"ClockJumped", "PageFailed", "EscalationExhausted", "RecoveryMissed", "RollbackFailed"}
)
NEVER = Skews()  # a record has the time of its writing


def tell(rows: Sequence[Row]) -> None:
    """Log what a commit appended."""
    for row in rows:
        level = logging.DEBUG if row.type in QUIET else logging.INFO
        level = logging.WARNING if row.type in LOUD else level
        if log.isEnabledFor(level):
            moment = moment_of(row, NEVER)
            noun, name = Key.read(row.stream)
            extra = {
                "event": row.type,
                noun: name,
                "seq": row.seq,
                "msg": moment.says,
                **_page_of(row),
            }
            log.log(level, "%s", row.type, extra={"fields": extra})


def _page_of(row: Row) -> dict[str, str]:
    """Name the page that an event is about, as its pager and the outbox know it."""
    event = event_of(row)
    key = getattr(event, "key", "") if row.type.startswith("Page") else ""
    via = getattr(event, "via", "")
    return {**({"page_id": key} if key else {}), **({"pager": via} if key and via else {})}


class PlainLines(logging.Formatter):
    """Formats a record for somebody who watches a terminal.

    >>> record = logging.LogRecord("midwatch.engine", 20, "", 1, "PageSent", None, None)
    >>> record.fields = {"event": "PageSent", "incident": "INC-1", "msg": "printed"}
    >>> PlainLines().format(record)[9:]
    'PageSent incident=INC-1 printed'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format one record in one line; a traceback follows it."""
        fields = dict(getattr(record, "fields", {}))
        says = ascii(fields.pop("msg", ""))[1:-1]
        shown = {name: value for name, value in fields.items() if name not in ("event", "seq")}
        named = [f"{name}={value}" for name, value in shown.items()]
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        level = [f"{record.levelname}:"] if record.levelno > logging.INFO else []
        line = " ".join([at, *level, record.getMessage(), *named, says]).rstrip()
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return line + trace


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: at, level, logger, event, msg and its own fields.

    >>> record = logging.LogRecord("midwatch.engine", 20, "", 1, "PageSent", None, None)
    >>> record.fields = {"event": "PageSent", "incident": "INC-1"}
    >>> shown = json.loads(JsonLines().format(record))
    >>> shown["level"], shown["event"], shown["incident"]
    ('info', 'PageSent', 'INC-1')
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; a traceback is one field."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            "msg": "",
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)
