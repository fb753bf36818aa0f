"""The description of the venue's REST in OpenAPI 3.1, made from the routes that the server has."""

import re
from typing import Any

from aiohttp import web

from pyrt.venues.sim.server.api import TABLE, TEXT, Route, Schema, one_of
from pyrt.venues.sim.server.edge import STREAMS, answer, is_data_path, local

_PLACE = re.compile(r"\{([a-z_]+)(?::[^{}]*)?\}")
_GROUP = re.compile(r"\(\?P<([a-z_]+)>([^()]*)\)")  # of the pattern that aiohttp makes of a path
_WORDS = re.compile(r"[a-z0-9-]+(\|[a-z0-9-]+)+")
_ERROR = {
    "description": "no",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
                "required": ["message"],
            }
        }
    },
}
_KEYS = {
    "key": {"type": "apiKey", "in": "header", "name": "APCA-API-KEY-ID"},
    "secret": {"type": "apiKey", "in": "header", "name": "APCA-API-SECRET-KEY"},
}


def routes() -> list[web.RouteDef]:
    """GET /sim/openapi.json."""
    return [web.get("/sim/openapi.json", local(serve), allow_head=False)]


async def serve(request: web.Request) -> web.Response:
    """GET /sim/openapi.json: what the venue answers to; its streams are no part of it."""
    return answer(describe(request.app))


def describe(app: web.Application) -> dict[str, Any]:
    """The document; every path and method of the application is in it, parameters and bodies where the table has them."""
    table = {(row.method, _PLACE.sub(r"{\1}", row.path)): row for row in app[TABLE]}
    paths: dict[str, dict[str, Any]] = {}
    for route in app.router.routes():
        path = route.resource.canonical if route.resource is not None else ""
        if path and path not in STREAMS:
            row = table.get((route.method, path))
            pattern = route.resource.get_info().get("pattern") if route.resource is not None else None
            paths.setdefault(path, {})[route.method.lower()] = _operation(route.method, path, _places(pattern), row)
    return {
        "openapi": "3.1.0",
        "info": {"title": "pyrt sim: an exchange that speaks Alpaca's protocol", "version": "2"},
        "components": {"securitySchemes": _KEYS},
        "paths": paths,
    }


def _places(pattern: re.Pattern[str] | None) -> list[Schema]:
    """The parameters of a path: any text, or one of the words that its pattern names."""
    found = _GROUP.findall(pattern.pattern) if pattern is not None else []
    return [
        {"name": name, "in": "path", "required": True, "schema": one_of(*words.split("|")) if _WORDS.fullmatch(words) else TEXT}
        for name, words in found
    ]


def _operation(method: str, path: str, places: list[Schema], row: Route | None) -> dict[str, Any]:
    asked = [{"name": p.name, "in": "query", "required": p.required, "schema": p.schema} for p in (row.query if row else ())]
    ok = {"description": "done"}
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()} {path}",
        "parameters": places + asked,
        "responses": {str(row.ok) if row else "2XX": ok, "4XX": _ERROR},
        "security": [] if path.startswith("/sim/") else [{key: [] for key in _KEYS}],
        "tags": ["venue" if path.startswith("/sim/") else "data" if is_data_path(path) else "trading"],
    }
    if row is not None and row.handler.__doc__:
        operation["summary"] = row.handler.__doc__.strip().splitlines()[0]
    if row is not None and row.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": row.body}}}
    return operation
