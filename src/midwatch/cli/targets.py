"""What a case is run against, as it is typed: one spelling for every command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec

from midwatch.cli.output import counted
from midwatch.core.values.evals import Case
from midwatch.core.values.scorers import Judged
from midwatch.engine.evaluating import RETRIES, TIMEOUT_S, WORKERS, Asked
from midwatch.errors import InputError

SPELLED = "http://..., python:module:function, cmd:program args or release:NAME"
PROXY_URL, PIN_TOKEN = "MIDWATCH_PROXY_URL", "MIDWATCH_PROXY_PIN_TOKEN"
REMEDY = f"write {SPELLED}"


def target_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options that say how targets are asked."""
    for option in reversed(
        (
            click.option(
                "--request",
                default="",
                metavar="JSON",
                help='Request body for an http target: \'{"question": "{question}"}\'.',
            ),
            click.option(
                "--answer",
                default="",
                metavar="PATH",
                help="Path of the answer in the response: $.answer.",
            ),
            click.option(
                "--header",
                "headers",
                multiple=True,
                metavar="NAME=ENV",
                help="HTTP header taken from an environment variable (repeatable).",
            ),
            click.option(
                "--env",
                "variables",
                multiple=True,
                metavar="NAME",
                help="Environment variable passed to a python or cmd target (repeatable).",
            ),
            click.option(
                "--concurrency",
                type=click.IntRange(1, 256),
                default=WORKERS,
                show_default=True,
                help="Number of concurrent cases.",
            ),
            click.option(
                "--timeout",
                type=click.FloatRange(0, min_open=True),
                default=TIMEOUT_S,
                show_default=True,
                help="Timeout of one answer, in seconds.",
            ),
            click.option(
                "--retries",
                type=click.IntRange(0, 20),
                default=RETRIES,
                show_default=True,
                help="Number of retries when there is no answer.",
            ),
        )
    ):
        function = option(function)
    return function


def suite_options(function: Callable[..., int]) -> Callable[..., int]:
    """Add the options that say how files of cases are read."""
    from midwatch.adapters.suites.files import FORMATS

    for option in reversed(
        (
            click.option(
                "--format",
                "kind",
                type=click.Choice(FORMATS),
                help="Format of the file (default: auto-detect).",
            ),
            click.option(
                "--map",
                "fields",
                multiple=True,
                metavar="FIELD=NAME",
                help="For Inspect: rename a field, such as input=prompt.",
            ),
            click.option(
                "--match",
                default="",
                metavar="CLASS",
                help="For OpenAI: Match, Includes, FuzzyMatch or JsonMatch.",
            ),
        )
    ):
        function = option(function)
    return function


def pairs(given: Sequence[str], name: str) -> dict[str, str]:
    """Read NAME=VALUE options. Raises InputError."""
    found: dict[str, str] = {}
    for one in given:
        key, sign, value = one.partition("=")
        if not sign or not key or not value:
            raise InputError(f"{one!r} is not NAME=VALUE", place=name, remedy="write name=value")
        found[key] = value
    return found


def make_target(
    spelled: str,
    timeout_s: float,
    request: str,
    answer: str,
    headers: Sequence[str],
    variables: Sequence[str] = (),
) -> Asked:
    """Build a target. Raises InputError when it is spelled wrongly, or is not there.

    Code of the candidate's own sees a clean environment and the `variables` that are named.
    """
    kind, _, rest = spelled.partition(":")
    if kind == "python":
        from midwatch.adapters.targets import worker

        return worker.FunctionTarget(rest, _seen((*worker.PASSED, *variables), variables))
    if kind == "cmd":
        from midwatch.adapters.targets import commands

        return commands.load(rest, timeout_s, _seen(variables, variables))
    if kind in ("http", "https") and rest.startswith("//"):
        return _http(spelled, timeout_s, request, answer, headers)
    if kind == "release" and rest:
        return _release(rest, timeout_s, request, answer, headers)
    raise InputError(f"{spelled!r} is not a target", remedy=REMEDY)


def _seen(passed: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Make the environment of a target. Raises InputError when a variable is not there."""
    from midwatch.adapters import processes

    for name in wanted:
        if name not in os.environ:
            raise InputError(
                "the environment variable is not set",
                place=f"${name}",
                remedy="export it, or omit --env",
            )
    more = {name: os.environ[name] for name in passed if name in os.environ}
    return processes.clean(os.environ) | more


def _release(
    name: str, timeout_s: float, request: str, answer: str, headers: Sequence[str]
) -> Asked:
    """Ask one release through `midwatch proxy`, whatever it serves to users."""
    url = os.environ.get(PROXY_URL, "")
    if not url or not os.environ.get(PIN_TOKEN):
        missing = PROXY_URL if not url else PIN_TOKEN
        remedy = (
            "set it to the URL of user traffic with its path, such as http://127.0.0.1:8650/ask"
        )
        raise InputError("the environment variable is not set", place=f"${missing}", remedy=remedy)
    pin = {"x-midwatch-pin": name, "x-midwatch-pin-token": os.environ[PIN_TOKEN]}
    return _http(url, timeout_s, request, answer, headers, pin)


def _http(
    url: str,
    timeout_s: float,
    request: str,
    answer: str,
    headers: Sequence[str],
    more: Mapping[str, str] | None = None,
) -> Asked:
    try:
        from midwatch.outbound import Outbound
    except ModuleNotFoundError as error:
        remedy = "pip install 'midwatch[server]'"
        raise InputError(f"an http target needs {error.name}", remedy=remedy) from None
    from midwatch.adapters.targets.http import HttpOptions, HttpTarget

    options = HttpOptions(answer=answer)
    if request:
        try:
            template = msgspec.json.decode(request, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            remedy = 'write {"question": "{question}"}'
            raise InputError(f"not valid JSON: {error}", place="--request", remedy=remedy) from None
        if "{question}" not in request:
            remedy = 'write {"question": "{question}"}'
            raise InputError("{question} is missing", place="--request", remedy=remedy)
        options = HttpOptions(template, answer)
    named = pairs(headers, "--header")
    for name, variable in named.items():
        if not os.environ.get(variable):
            raise InputError(
                "the environment variable is not set",
                place=f"${variable}",
                remedy=f"export it: {name} needs it",
            )
    values = {name.lower(): os.environ[variable] for name, variable in named.items()}
    values.update(more or {})
    return HttpTarget(url, options, Outbound([url], timeout_s=timeout_s), values)


def asked_as(suites: Sequence[Path], request: str, answer: str) -> tuple[str, str]:
    """Say how an http target is asked: by the options, else as the first suite that says it."""
    from midwatch.adapters.suites import files

    for file in suites:
        template, place = files.target(file)
        request = request or (msgspec.json.encode(template).decode() if template else "")
        answer = answer or place
    return request, answer


def chosen(cases: Sequence[Case], wanted: Sequence[str]) -> list[Case]:
    """Keep the cases whose id has one of these texts, or that are of that slice.

    Raises InputError when none is left: nothing passes on nothing.
    """
    kept = [
        case
        for case in cases
        if not wanted or any(text in case.id or text in case.slices for text in wanted)
    ]
    if not kept:
        says = f"matches none of {counted(len(cases), 'case')}"
        raise InputError(says, place="--filter", remedy="write part of an id, or a slice")
    return kept


def judge_named(url: str, model: str) -> str:
    """Name the model that judges, by where it stands; what is secret in its address is left out."""
    if not url:
        return ""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    place = f"{parts.scheme}://{host}{parts.path.rstrip('/')} {model}"
    return blake2b(place.encode(), digest_size=8).hexdigest()


def make_opinion(url: str, model: str, timeout_s: float) -> Judged | None:
    """Build the language model that judges; None when none is named."""
    if not url:
        return None
    from midwatch.adapters.targets.judge import JudgeModel
    from midwatch.outbound import Outbound

    key = os.environ.get("MIDWATCH_JUDGE_KEY", "")
    return JudgeModel(url, model, key, Outbound([url], timeout_s=timeout_s)).opinion
