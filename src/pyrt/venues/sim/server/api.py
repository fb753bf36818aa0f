"""One table of what the venue's REST understands: it makes the routes, reads their parameters and describes them (OpenAPI)."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from pyrt.venues.sim.server.edge import BadRequest
from pyrt.venues.sim.times import parse_time

Schema = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TRUE = {"true", "1", "t"}
_FALSE = {"false", "0", "f", ""}


class Param(NamedTuple):
    """A parameter of the query: how it is described, what it is when it is absent or empty, and how it is read."""

    name: str
    schema: Schema
    default: Any
    read: Callable[[str], Any]  # raises BadRequest
    required: bool = False


class Route(msgspec.Struct, frozen=True):
    """One path and method."""

    method: str
    path: str  # as aiohttp writes it
    handler: Handler
    query: tuple[Param, ...] = ()
    body: Schema | None = None  # of the JSON that a request holds
    ok: int = 200


ASKED = web.RequestKey("asked", dict[str, Any])  # the parameters, read


TABLE = web.AppKey("table", list[Route])  # of an application


def add_routes(app: web.Application, table: list[Route]) -> None:
    """Let an application serve the table."""
    app[TABLE] = table
    # aiohttp would let HEAD in beside GET; Alpaca does not.
    options = {row.method: {"allow_head": False} if row.method == "GET" else {} for row in table}
    app.add_routes([web.route(row.method, row.path, _serving(row), **options[row.method]) for row in table])


def _serving(row: Route) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        request[ASKED] = {param.name: _read(request, param) for param in row.query}
        return await row.handler(request)

    return serve


def _read(request: web.Request, param: Param) -> Any:
    text = request.query.get(param.name, "")
    if text:
        return param.read(text)
    if param.required:
        raise BadRequest(f"{param.name} is required")
    return param.default


# ---------------------------------------------------------------------------------------------------- kinds of parameters
def flag(name: str) -> Param:
    """A boolean, written in any case."""

    def read(text: str) -> bool:
        if text.lower() not in _TRUE | _FALSE:
            raise BadRequest(f"{name} is not a boolean")
        return text.lower() in _TRUE

    return Param(name, {"type": "boolean"}, False, read)


def choice(name: str, *values: str) -> Param:
    """One of the values, the first where nothing is asked for."""

    def read(text: str) -> str:
        if text.lower() not in values:
            raise BadRequest(f"{name} must be one of {', '.join(v for v in values if v)}")
        return text.lower()

    return Param(name, {"type": "string", "enum": [v for v in values if v]}, values[0], read)


def integer(name: str, default: int, least: int, most: int) -> Param:
    """A whole number of a range."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10) or not least <= int(text) <= most:
            raise BadRequest(f"{name} must be an integer from {least} to {most}")
        return int(text)

    return Param(name, {"type": "integer", "minimum": least, "maximum": most, "default": default}, default, read)


def time(name: str) -> Param:
    """A time or a date as ns UTC, None where absent."""

    def read(text: str) -> int:
        try:
            return parse_time(text)
        except ValueError:
            raise BadRequest(f"{name} is not an RFC 3339 time or a date") from None

    return Param(name, {"type": "string", "format": "date-time"}, None, read)


def day(name: str) -> Param:
    """A date, None where absent."""

    def read(text: str) -> date:
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            raise BadRequest(f"{name} is not a date") from None

    return Param(name, {"type": "string", "format": "date"}, None, read)


def text(name: str, *, required: bool = False) -> Param:
    """Any text, None where absent."""
    return Param(name, {"type": "string"}, None, str, required)


def names(name: str) -> Param:
    """Names with commas between them, None where absent."""

    def read(text: str) -> list[str] | None:
        return [part for part in text.split(",") if part] or None

    return Param(name, {"type": "string"}, None, read)


# ---------------------------------------------------------------------------------------------------- kinds of bodies
NUMBER: Schema = {"type": ["string", "number"]}
TEXT: Schema = {"type": "string"}


def body(properties: dict[str, Schema], *required: str) -> Schema:
    """A JSON object with these properties."""
    return {"type": "object", "properties": properties, "required": list(required)}


def one_of(*values: str) -> Schema:
    """Text that is one of the values."""
    return {"type": "string", "enum": list(values)}
