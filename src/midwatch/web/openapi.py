"""The OpenAPI 3.1 document, out of the table of routes.

Law: nothing is described by hand that the table or the types already say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from midwatch import __version__
from midwatch.engine import paging
from midwatch.web import guards
from midwatch.web.intake import Taken
from midwatch.web.problems import TITLES, Problem

if TYPE_CHECKING:
    from midwatch.web.rows import Row

REF = "#/components/schemas/{name}"
JSON = "application/json"
PROBLEM = "application/problem+json"


def document(routes: Sequence[Row]) -> bytes:
    """Describe the API, and the intake beside it."""
    types: list[Any] = [Problem, Taken]
    for route in routes:
        types.extend(t for t in (route.gives, route.takes) if t is not None)
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    schema_of = dict(zip(map(repr, types), schemas, strict=True))
    problem = {"schema": schema_of[repr(Problem)]}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        takes = schema_of[repr(route.takes)] if route.takes else None
        codes = [401, 403, 429, 503]
        codes += [422] if route.takes or route.flags or route.numbers or route.paged else []
        codes += [400, 408, 409, 413] if route.takes else []
        codes += [404] if "{" in route.path or route.paged else []
        codes += route.also
        operation = _operation(
            route.says, route.path, 200, schema_of[repr(route.gives)], codes, problem
        )
        operation["operationId"] = route.name
        operation["parameters"] += [_flag(name) for name in route.flags]
        operation["parameters"] += [_number(name) for name in route.numbers]
        if route.paged:
            operation["parameters"] += _PARTS
            operation["responses"]["200"]["headers"] = _LINK
        if takes is not None:
            operation["requestBody"] = _body(takes, required=_must_come(route.takes))
        if route.once:
            operation["parameters"].append(_IDEMPOTENCY)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    taken = schema_of[repr(Taken)]
    codes = [400, 401, 403, 404, 408, 413, 422, 503]
    intake = _operation(
        "Accept alerts from a source; changes and tickets are built-in sources.",
        INTAKE,
        202,
        taken,
        codes,
        problem,
    )
    intake["operationId"] = "intake"
    intake["requestBody"] = _body({}, required=True)
    intake["parameters"].append(_IDEMPOTENCY)
    paths[INTAKE] = {"post": intake}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "midwatch", "version": __version__},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer"},
                    "password": {"type": "http", "scheme": "basic"},
                },
            },
            "security": [{"token": []}, {"password": []}],
        }
    )


INTAKE = "/intake/{source}"
_EXAMPLES = {"id": "INC-1", "source": "alertmanager", "schedule": "primary"}
_PARTS: list[dict[str, Any]] = [
    {
        "name": "limit",
        "in": "query",
        "required": False,
        "description": "Maximum number of rows.",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": paging.MOST,
            "default": paging.LIMIT,
        },
    },
    {
        "name": "after",
        "in": "query",
        "required": False,
        "description": "Start after this row, as given by the Link header of the previous page.",
        "schema": {"type": "string"},
    },
]
_LINK = {
    "Link": {
        "required": False,
        "description": 'The next page, rel="next"; absent on the last page.',
        "schema": {"type": "string"},
    }
}
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Idempotency key: a repeated request with the same key gets the same answer "
    "and is executed once.",
    "schema": {"type": "string", "pattern": f"^{guards.IDEMPOTENCY_KEY.pattern}$"},
}


def _operation(
    says: str, path: str, status: int, gives: Any, codes: Sequence[int], problem: Any
) -> dict[str, Any]:
    answers: dict[str, Any] = {str(status): {"description": "Done.", "content": _json(gives)}}
    for code in sorted(codes):
        answers[str(code)] = {"description": TITLES[code], "content": {PROBLEM: problem}}
    answers["503"]["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
    names = re.findall(r"{(\w+)}", path)
    return {"summary": says, "parameters": [_segment(n) for n in names], "responses": answers}


def _segment(name: str) -> dict[str, Any]:
    schema = {"type": "string"}
    example = _EXAMPLES[name]
    return {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


def _flag(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "boolean"}}


def _number(name: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": 0, "maximum": 10**14}
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _must_come(kind: Any) -> bool:
    """Say whether a body has a field that has no default."""
    return any(one.required for one in msgspec.structs.fields(kind))


def _body(schema: Any, *, required: bool) -> dict[str, Any]:
    return {"required": required, "content": _json(schema)}


def _json(schema: Any) -> dict[str, Any]:
    return {JSON: {"schema": schema}}
