"""The table of routes: what may be asked and said, where, and who answers it; one file a noun.

Law: the table makes the handlers, the guards and the OpenAPI document; nothing is said twice.
"""

from __future__ import annotations

from midwatch.web.routes import arrivals, incidents, oncall, services, watching

ROUTES = (
    *incidents.ROWS,
    *arrivals.ROWS,
    *oncall.ROWS,
    *services.ROWS,
    *watching.ROWS,
)
