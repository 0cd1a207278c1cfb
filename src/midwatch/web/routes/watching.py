"""What is watched, and whether people are reached: jobs, objectives, refused input, test pages.

Law: what was refused can be looked at.
"""

from __future__ import annotations

from midwatch.engine import explain, jobs, perform, queries
from midwatch.web import bodies
from midwatch.web.api import Api
from midwatch.web.rows import handler, parts, read

ROWS = (
    read(
        "jobs",
        "/api/v1/heartbeats",
        "List heartbeats, silent ones first.",
        list[jobs.JobView],
        Api.jobs,
    ),
    read(
        "slos",
        "/api/v1/slos",
        "Show the status of each SLO: windows, tiers, budget.",
        list[explain.StandingView],
        Api.slos,
    ),
    parts(
        "rejected",
        "/api/v1/alerts/rejected",
        "List rejected input, and why it was rejected.",
        list[queries.Rejected],
        Api.rejected,
    ),
    handler(
        "test_page",
        "/api/v1/pages/test",
        "Send a test page via one pager, or via each.",
        bodies.PageTest,
        Api.test_page,
        list[perform.Tested],
        also=(404,),
        once=False,
    ),
)
