"""What the agent says about itself: OpenTelemetry's GenAI names, and counters for objectives.

Law: every name of the conventions stands in this file alone, of one pinned version. A counter
counts what happened, with the release that did it; no question and no answer is in a label.
"""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from midwatch.agent.agent import Reply
from midwatch.agent.releases import Release

# OpenTelemetry's semantic conventions 1.43.0; GenAI is in development there.
OPERATION_DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105  the name of a metric
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
EVALUATION = "gen_ai.evaluation.result"
EVALUATION_NAME = "gen_ai.evaluation.name"
SCORE_VALUE = "gen_ai.evaluation.score.value"
SCORE_LABEL = "gen_ai.evaluation.score.label"
EXPLANATION = "gen_ai.evaluation.explanation"
RESPONSE_ID = "gen_ai.response.id"
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105  the name of a label

# The buckets that the conventions ask for.
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
FAST_S = 0.5


def plain(name: str) -> str:
    """Write a name of the conventions as Prometheus does.

    >>> plain("gen_ai.client.token.usage")
    'gen_ai_client_token_usage'
    """
    return name.replace(".", "_")


def evaluation(response: str, name: str, release: str, why: str, *, good: bool) -> dict[str, Any]:
    """Make the event that tells one judged answer."""
    attributes = {
        EVALUATION_NAME: name,
        SCORE_VALUE: 1.0 if good else 0.0,
        SCORE_LABEL: "pass" if good else "fail",
        RESPONSE_ID: response,
        REQUEST_MODEL: release,
    }
    if why:
        attributes[EXPLANATION] = why
    return {"name": EVALUATION, "attributes": attributes}


class Telemetry:
    """The metrics of one release at work."""

    def __init__(self, release: Release) -> None:
        self.registry = CollectorRegistry()
        names = (plain(OPERATION), plain(PROVIDER), plain(REQUEST_MODEL))
        values = ("chat", "midwatch", release.name)

        def histogram(
            name: str, says: str, unit: str, buckets: tuple[float, ...], *more: str
        ) -> Histogram:
            return Histogram(
                plain(name),
                says,
                (*names, *more),
                unit=unit,
                buckets=buckets,
                registry=self.registry,
            )

        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(name, says, ("release", *labels), registry=self.registry)

        seconds = histogram(OPERATION_DURATION, "Time to answer", "seconds", SECONDS)
        first = histogram(FIRST_CHUNK, "Time to the first part, streaming", "seconds", SECONDS)
        tokens = histogram(TOKEN_USAGE, "Words in and out", "", TOKENS, plain(TOKEN_TYPE))
        self._seconds, self._first = seconds.labels(*values), first.labels(*values)
        self._in, self._out = tokens.labels(*values, "input"), tokens.labels(*values, "output")
        outcomes = counter("support_agent_answers", "Questions by what became of them", "outcome")
        self._outcomes = {
            one: outcomes.labels(release.name, one) for one in ("answered", "handed over", "failed")
        }
        judged = counter("support_agent_judged", "Answers that were judged", "result")
        self._judged = {one: judged.labels(release.name, one) for one in ("good", "bad")}
        self._fast = counter("support_agent_fast", f"Answers within {FAST_S} s").labels(
            release.name
        )
        self._cost = counter("support_agent_cost_euros", "What a model would have cost").labels(
            release.name
        )
        info = Gauge(
            "support_agent_release",
            "The release at work",
            ("release", "digest"),
            registry=self.registry,
        )
        info.labels(release.name, release.digest).set(1)

    def count(self, reply: Reply, seconds: float) -> None:
        """Count one reply and how long it took."""
        self._seconds.observe(seconds)
        self._in.observe(reply.words_in)
        self._out.observe(reply.words_out)
        self._outcomes[reply.outcome].inc()
        self._cost.inc(reply.cost)
        if seconds <= FAST_S and reply.outcome != "failed":
            self._fast.inc()

    def first_chunk(self, seconds: float) -> None:
        """Note when the first part of a stream went out."""
        self._first.observe(seconds)

    def judged(self, *, good: bool) -> None:
        """Count one judged answer."""
        self._judged["good" if good else "bad"].inc()

    def text(self) -> bytes:
        """Write them as Prometheus reads them."""
        return generate_latest(self.registry)
