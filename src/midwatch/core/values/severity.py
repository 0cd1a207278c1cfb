"""How bad it is, and whether that wakes somebody.

Law: severity is declared user impact, sev1 the worst; urgency follows from it. A tier or an alert
says what severity it has, config may say otherwise, and in doubt the higher one holds.
"""

from __future__ import annotations

from typing import Literal

from midwatch.core.values.alerts import Level

Severity = Literal["sev1", "sev2", "sev3", "sev4"]
Urgency = Literal["page", "ticket"]
SEVERITIES: tuple[Severity, ...] = ("sev1", "sev2", "sev3", "sev4")

# Rows: alert level. Columns: service tier 1, 2, 3 and below.
SEVERITY_TABLE: dict[Level, tuple[Severity, Severity, Severity]] = {
    "critical": ("sev1", "sev2", "sev3"),
    "error": ("sev2", "sev3", "sev3"),
    "warning": ("sev3", "sev3", "sev4"),
    "info": ("sev4", "sev4", "sev4"),
}
URGENCY: dict[Severity, Urgency] = {
    "sev1": "page",
    "sev2": "page",
    "sev3": "ticket",
    "sev4": "ticket",
}


def severity_of(
    level: Level,
    tier: int,
    table: dict[Level, tuple[Severity, Severity, Severity]] = SEVERITY_TABLE,
) -> Severity:
    """Look a severity up for an alert of a service without an SLO.

    >>> severity_of("critical", 2), severity_of("warning", 9)
    ('sev2', 'sev4')
    """
    return table[level][min(max(tier, 1), 3) - 1]
