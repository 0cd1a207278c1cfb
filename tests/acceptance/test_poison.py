"""One input that cannot be decided on or committed stops nobody else, over HTTP."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.acceptance.receiver import SECRET, Receiver
from tests.acceptance.serving import Answer, Serving, alert, reconfigure, until

CHILD = str(Path(__file__).with_name("poison_child.py"))


@pytest.mark.slow
def test_a_poisoned_alert_between_good_ones_pages_its_owner_and_the_good_ones_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """202 for all, each good one at its pager, one page for each kind of death, and ready."""
    monkeypatch.setenv("HOOK", SECRET)
    serving = Serving(tmp_path)
    with Receiver() as receiver:
        reconfigure(
            tmp_path / "midwatch",
            "sources: {alertmanager: {type: alertmanager}}\n"
            f'pagers: {{hook: {{type: webhook, url: "{receiver.url}", secret_env: HOOK}}}}\n'
            "escalation: {digest: off, steps: [{to: ada, delay: 1d}]}\n",
        )
        names = [name for n in range(6) for name in (f"Down{n}", "Raises", f"Up{n}", "Repeats")]

        services = [f"{name}-{n}".lower() for n, name in enumerate(names)]
        listed = "".join(f"  - {{name: {one}, tier: 1}}\n" for one in services)
        topology = f"services:\n{listed}edges: []\n"
        (tmp_path / "midwatch" / "topology.yaml").write_text(topology, "utf-8")
        serving.start(sys.executable, CHILD)

        def send(number: int) -> Answer:
            return serving.deliver(alert(names[number], services[number]))

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, range(len(names))))
        assert {one.status for one in answers} == {202}
        assert send(1).document["duplicate"] is True
        good = {one for one in services if one.split("-")[0][-1].isdigit()}

        def firing() -> set[str]:
            found = [
                serving.ask("GET", f"/api/v1/incidents/{one['id']}", token=serving.person)
                for one in serving.incidents()
            ]
            return {name for one in found for name in one.document["firing"]}

        until(lambda: {f"{names[services.index(one)]} on {one}" for one in good} <= firing())
        until(lambda: len(told(receiver)) == 2)
        assert serving.ask("GET", "/readyz").document["ready"] is True
        letters = serving.ask("GET", "/api/v1/alerts/rejected", token=serving.person).document
        reasons = [one["why"] for one in letters]
        assert sum("a bug of the core" in one for one in reasons) == 6
        assert sum("UNIQUE constraint failed: outbox.key" in one for one in reasons) == 5
        serving.kill()
        serving.start(sys.executable, CHILD)
        assert serving.ask("GET", "/readyz").status == 200
        assert len(told(receiver)) == 2, "one for each kind"
        assert serving.stop() == 0
        assert serving.type("db", "verify", "midwatch/midwatch.db").returncode == 0


def told(receiver: Receiver) -> list[str]:
    """What was paged about alerts that died; the answer of the effect that was made up dies too."""
    said = [page["summary"] for page in receiver.pages.values()]
    return [one for one in said if one.startswith("midwatch could not decide on what alertmanager")]
