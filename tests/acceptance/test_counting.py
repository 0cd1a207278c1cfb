"""Counters as a real Prometheus scraped them: what was counted is what its samples show.

The worlds are backfilled, each under an app of its own, and asked in virtual time: three days of
history, then looks. The truth is taken from the samples by arithmetic of its own.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator

import pytest
from tests.servers import free_port, need, running

from midwatch.adapters.metrics.options import PrometheusOptions
from midwatch.adapters.metrics.prometheus import PrometheusMetrics
from midwatch.core.values.sli import Counts, Indicator
from midwatch.core.values.slo import DAY_S, HOUR_S, Slo, windows_needed
from midwatch.outbound import Outbound

START = 1_790_000_000 // 3_600 * 3_600 - 47  # no scrape lies on a step
DAYS = 3
LIVE_S = 2 * HOUR_S  # of looks, after the history
END = START + DAYS * DAY_S + LIVE_S
Samples = dict[tuple[str, str], list[tuple[int, int]]]  # (instance, code) -> (time, value)


class World:
    """One app: how it is scraped, and what its processes count."""

    def __init__(self, app: str, step_s: int = 60) -> None:
        self.app, self.step_s = app, step_s
        self.samples: Samples = {}
        self._draw = random.Random(app)

    def play(
        self,
        instance: str = "a",
        begin: int = START,
        end: int = END,
        good: int = 0,
        bad: int = 0,
        share: float = 0.002,
        gap: tuple[int, int] = (0, 0),
        resets: tuple[int, ...] = (),
        rate: float = 10.0,
    ) -> tuple[int, int]:
        """Let a process run from `begin` to `end`; it may have counted before. Gives its counts."""
        for at in range(begin, end, self.step_s):
            if any(at - self.step_s < one <= at for one in resets):
                good = bad = 0
            came = round(rate * self.step_s / 60)
            failed = sum(self._draw.random() < share for _ in range(came))
            good, bad = good + came - failed, bad + failed
            if not gap[0] <= at < gap[1]:
                self.samples.setdefault((instance, "200"), []).append((at, good))
                if bad:  # as client libraries do: the series appears with its first event
                    self.samples.setdefault((instance, "500"), []).append((at, bad))
        return good, bad

    def shown(self, since: int, until: int, ignored: tuple[str, ...] = ()) -> Counts:
        """Say what the samples show of (since, until]; of `ignored` the first values count not."""
        sums = {"200": 0, "500": 0}
        begun = min(points[0][0] for points in self.samples.values())
        for (instance, code), points in self.samples.items():
            before = None
            for at, value in points:
                if at > until:
                    break
                if before is None:
                    late = points[0][0] > begun + self.step_s and instance not in ignored
                    young = late or (code == "500" and instance not in ignored)
                    more = value if young and at > begun else 0
                else:
                    more = value - before if value >= before else value
                before = value
                sums[code] += more if at > since else 0
        return Counts(sums["200"], sums["200"] + sums["500"])

    def lines(self) -> Iterator[str]:
        """Write the samples as OpenMetrics."""
        for (instance, code), points in self.samples.items():
            name = (
                f'requests_total{{app="{self.app}",code="{code}",instance="{instance}",job="web"}}'
            )
            yield from (f"{name} {value} {at}\n" for at, value in points)


def indicator(app: str) -> Indicator:
    """The two questions of an app's objective."""
    return Indicator(
        "counter",
        bad=f'sum(requests_total{{app="{app}",code="500"}})',
        total=f'sum(requests_total{{app="{app}"}})',
    )


HISTORY_END = START + DAYS * DAY_S
GAP = (START + 30 * HOUR_S, START + 42 * HOUR_S)
LIVE_GAP = (HISTORY_END + 1_800, HISTORY_END + 4_500)


def worlds() -> dict[str, World]:
    """What happens to counters in real life."""
    found = {
        name: World(name, 300 if name == "slow" else 60)
        for name in (
            "plain",
            "slow",
            "gap",
            "relabelled",
            "grows",
            "restarts",
            "live-gap",
            "joins",
        )
    }  # fmt: skip, since these are names in a row
    found["plain"].play(good=5_000, bad=7)
    found["slow"].play()
    found["gap"].play(gap=GAP, share=0.01)
    good, bad = found["relabelled"].play(good=980_000, bad=20_000, end=HISTORY_END + 1_200)
    found["relabelled"].play("b", HISTORY_END + 1_200, good=good, bad=bad)
    found["grows"].play(rate=100)
    for number in range(3):  # young pods, scaled out while we look
        found["grows"].play(f"new-{number}", HISTORY_END + 600 + 60 * number, rate=100)
    found["restarts"].play(resets=tuple(START + n * 6 * HOUR_S for n in range(1, 12)), rate=60)
    found["live-gap"].play(gap=LIVE_GAP, share=0.05)
    found["joins"].play()
    found["joins"].play("old", HISTORY_END - 4 * HOUR_S, good=4_000_000, bad=90_000)
    return found


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, World]]]:
    """A real Prometheus that holds all worlds, and they themselves."""
    prometheus, promtool = need("prometheus"), need("promtool")
    folder = tmp_path_factory.mktemp("counting")
    known = worlds()
    text = "# TYPE requests counter\n" + "".join(
        line for world in known.values() for line in world.lines()
    )
    (folder / "history.om").write_text(text + "# EOF\n", "utf-8")
    (folder / "prometheus.yml").write_text("scrape_configs: []\n", "utf-8")
    blocks = [promtool, "tsdb", "create-blocks-from", "openmetrics", "history.om", "data"]
    subprocess.run(blocks, cwd=folder, check=True, capture_output=True)
    port = free_port()
    command = [
        prometheus,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(command, f"http://127.0.0.1:{port}/-/ready", folder / "log"):
        yield f"http://127.0.0.1:{port}", known


class Watch:
    """midwatch beside that Prometheus, in virtual time."""

    def __init__(self, url: str, app: str) -> None:
        self.metrics = PrometheusMetrics(PrometheusOptions(url), Outbound([url]))
        self.slo = Slo(f"web/{app}", "web", "0.99", indicator=indicator(app))

    def look(self, at: int) -> dict[int, Counts]:
        """Read what has to be read at a moment (seconds)."""
        windows = (*windows_needed(self.slo), self.slo.period_s)
        return self.metrics.counts(self.slo, windows, at * 1_000)

    def until(self, begin: int, end: int, every_s: int = 30) -> Counts:
        """Look again and again; gives the counts of the period."""
        *earlier, last = range(begin, end, every_s)
        for at in earlier:
            self.look(at)
        return self.look(last)[self.slo.period_s]


LAST = END - 90  # when midwatch looks last
IGNORED = {"relabelled": ("b",), "joins": ("old",)}


@pytest.mark.parametrize(
    "app", ["plain", "slow", "gap", "relabelled", "grows", "live-gap", "joins"]
)
def test_what_was_counted_is_what_the_samples_show(
    scraped: tuple[str, dict[str, World]], app: str
) -> None:
    """To the event: through a gap of hours, scrapes of five minutes, relabels and new pods."""
    url, known = scraped
    counted = Watch(url, app).until(HISTORY_END, END - 60)
    assert counted == known[app].shown(START, LAST, IGNORED.get(app, ()))


def test_a_restart_of_midwatch_changes_no_budget(scraped: tuple[str, dict[str, World]]) -> None:
    """What is read again out of history is what was counted while it came."""
    url, known = scraped
    for app in known:
        before = Watch(url, app).until(HISTORY_END, END - 60)
        after = Watch(url, app).look(LAST)[30 * DAY_S]
        if app == "restarts":
            assert after.total == pytest.approx(before.total, rel=0.005)
        elif app == "relabelled":  # what history cannot show of the label that was new
            assert abs(after.total - before.total) <= 20
        else:  # a failure in the first step of all may have been there before
            assert after.good == before.good, app
            assert 0 <= before.bad - after.bad <= 1, app


def test_resets_in_history_lose_no_more_than_a_rate_would(
    scraped: tuple[str, dict[str, World]],
) -> None:
    """A counter that began again eleven times: within what extrapolation allows."""
    url, known = scraped
    counted = Watch(url, "restarts").look(HISTORY_END)[30 * DAY_S]
    truth = known["restarts"].shown(START, HISTORY_END)
    assert counted.total == pytest.approx(truth.total, rel=0.005)
    assert counted.bad == pytest.approx(truth.bad, rel=0.03)


def test_short_windows_begin_after_a_gap(scraped: tuple[str, dict[str, World]]) -> None:
    """What is spread over it burns no short window, and makes no recovery."""
    url, _ = scraped
    watch = Watch(url, "live-gap")
    watch.until(HISTORY_END, LIVE_GAP[0])
    ended = LIVE_GAP[1] + 30
    found = watch.look(ended)
    assert set(found) == {watch.slo.quiet_s}  # nothing has come after it yet
    assert found[watch.slo.quiet_s].total
    after = watch.look(ended + 120)
    assert after[300] == after[1_800]
    assert 0 < after[300].total <= 30  # two minutes of ten a minute, not five
    assert after[3_600].total > 400  # the long one has what came in the gap
    watch.until(ended + 150, ended + 1_950, 30)
    later = watch.look(ended + 1_950)
    assert later[300].total == pytest.approx(50, abs=10)
    assert later[1_800].total == pytest.approx(300, abs=10)
