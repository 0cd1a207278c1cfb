"""Each block of YAML that a page shows is put into a config, and the config is without an error.

Law: a block stands in the config as the page has it; only the names that it refers to are added.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.docs.pages import fences, put, run
from tests.servers import need

from midwatch.config import check

DOCS = Path(__file__).parents[2] / "docs"
PAGES = "agent", "correlation", "releases", "serve", "shadow", "slo"
BLOCKS = [
    (page, n, text)
    for page in PAGES
    for n, (_, _, text) in enumerate(f for f in fences(DOCS / f"{page}.md") if f[0] == "yaml")
]
# What blocks refer to; a block with one of these keys has its own.
NAMES = """
metrics: {judge: {type: pushed}}
pagers:
  terminal: {type: terminal}
  room: {type: terminal}
  chat: {type: slack, url_env: SLACK_URL}
  mail: {type: email, smtp: "mail.example.org:587", from: midwatch@example.org}
people: {ada: {pagers: [terminal]}, ben: {pagers: [terminal]}, cyd: {pagers: [terminal]}}
"""
TOPOLOGY = "services: [{}]\nedges: []\n".format(
    ", ".join(f"{{name: {one}}}" for one in ("shop", "cart", "db", "checkout", "support-agent"))
)
PRIMARY = "people: [ada, ben]\ntime_zone: Etc/UTC\nstarts: 2026-01-05T09:00\nevery: 7d\n"
METADATA = "metadata: {name: answers}\n"
OBJECTIVE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    spec:
      ratioMetric:
        counter: false
        good: {metricSource: {metricSourceRef: judge}}
        total: {metricSource: {metricSourceRef: judge}}
  objectives: [{target: 0.95}]
"""


@pytest.mark.parametrize(
    ("page", "text"),
    [(page, text) for page, _, text in BLOCKS],
    ids=[f"{page}-{n}" for page, n, _ in BLOCKS],
)
def test_a_block_of_a_page_is_a_config(page: str, text: str, tmp_path: Path) -> None:
    """Beside what `midwatch init` wrote; what is Alertmanager's is Alertmanager's to judge."""
    assert run(tmp_path, "midwatch init").code == 0
    (tmp_path / "midwatch" / "slos" / "availability.yaml").unlink()  # it is about another source
    (tmp_path / "midwatch" / "runbooks" / "rollback.md").unlink()
    put(tmp_path, "midwatch.yaml", NAMES)
    put(tmp_path, "topology.yaml", TOPOLOGY)
    put(tmp_path, "schedules/primary.yaml", PRIMARY)
    keys = YAML(typ="safe").load(text)
    if "receivers" in keys:
        need("prometheus-alertmanager")
        (tmp_path / "am.yml").write_text(text, "utf-8")
        ran = run(tmp_path, "amtool check-config am.yml")
        assert ran.code == 0, ran.output
        return
    name = "slos/shown.yaml" if "kind" in keys else "midwatch.yaml"
    if "services" in keys:
        name = "topology.yaml"
    put(tmp_path, "slos/shown.yaml", OBJECTIVE)
    if "layers" in keys:
        name = "schedules/shown.yaml"
    elif "metadata" in keys and "kind" not in keys:  # the beginning of an objective
        name, text = "slos/shown.yaml", OBJECTIVE.replace(METADATA, text)
        assert text != OBJECTIVE
    put(tmp_path, name, text)
    _, errors = check(tmp_path / "midwatch")
    assert [str(error) for error in errors] == []
