"""The HTTP edge: JSON answers in Alpaca's shapes, keys, the rate limit, and the record of what came in."""

import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.server.access import Access, RateLimits
from pyrt.venues.sim.server.feeds import NEWS_PATH, STREAM_PATHS
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.mishaps import Mishaps
from pyrt.venues.sim.server.truth import Request, Truth

log = logging.getLogger("pyrt.sim")

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
ENTRY = web.RequestKey("entry", Request)
ACCOUNT = web.RequestKey("account", str)  # whose keys the request showed
STREAMS = STREAM_PATHS | {"/stream"}
BODY_MAX = 1 << 20

_PLAIN = {
    404: (40410000, "endpoint not found."),
    405: (40510000, "method not allowed"),
    413: (41310000, "request body is too large"),
}

_encode = msgspec.json.Encoder().encode
# Numbers stay as the text that the client wrote: 10.10 never passes through a float.
_decode = msgspec.json.Decoder(float_hook=str).decode


class BadRequest(Exception):
    """The request cannot be read; the answer is a 400 of Alpaca's."""

    def __init__(self, message: str, code: int = 40010001) -> None:
        super().__init__(message)
        self.code = code


def answer(value: Any, status: int = 200) -> web.Response:
    """A JSON answer."""
    return web.Response(body=_encode(value), status=status, content_type="application/json")


def problem(status: int, code: int | None, message: str, **details: Any) -> web.Response:
    """An error in Alpaca's shape; the data host's errors have no code."""
    body = {"message": message, **details} if code is None else {"code": code, "message": message, **details}
    return answer(body, status)


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body. Raises BadRequest."""
    try:
        body = _decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("request body format is invalid", 40010000) from None
    if not isinstance(body, dict):
        raise BadRequest("request body format is invalid", 40010000)
    return body


class Edge:
    """The middleware of all requests: identity, record, keys, limits, and an answer to every error."""

    def __init__(self, floor: Floor, access: Access, mishaps: Mishaps, truth: Truth, trading: RateLimits, data: RateLimits) -> None:
        self._floor = floor
        self._access = access
        self._mishaps = mishaps
        self._truth = truth
        self._trading = trading
        self._data = data

    @web.middleware
    async def serve(self, request: web.Request, handler: Next) -> web.StreamResponse:
        """Write the request down, answer it, write the answer down."""
        if _is_stream(request):  # a stream has its own way to ask for keys
            return await self._upgraded(request, handler)
        venue = self._floor.reading().now_ns
        entry = self._truth.request(request.method, request.path, request.query_string, venue, time.monotonic_ns())
        request[ENTRY] = entry
        own = request.path.startswith("/sim/")
        response = await (self._answered if own else self._admitted)(request, handler, entry)
        response.headers["X-Request-ID"] = f"{entry.seq:032x}"
        entry.status = 0 if entry.cut else response.status
        entry.answered_mono_ns = time.monotonic_ns()
        return response

    async def _upgraded(self, request: web.Request, handler: Next) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return web.Response(status=404, text="404 page not found\n")
        except web.HTTPException:
            return problem(400, 40010000, "this is a WebSocket: the request is not an upgrade to one")

    async def _admitted(self, request: web.Request, handler: Next, entry: Request) -> web.StreamResponse:
        data = is_data(request)
        account = self._access.allows_headers(request)
        if not account and not _is_public(request):
            return _unauthorized(request, data)
        request[ACCOUNT] = entry.account = account
        limit = (self._data if data else self._trading).of(account)
        if 0 < (request.content_length or 0) <= BODY_MAX:  # a larger one is refused when it is read, and then not read again
            entry.keep(await request.read())  # what a fault then keeps from the handler was asked all the same
        storm = self._mishaps.storm(entry, data=data)
        if storm is None and limit.take():
            serve = partial(self._answered, handler=handler, entry=entry)
            response = await self._mishaps.answered(request, entry, serve, data=data)
        else:
            response = problem(429, None if data else 42910000, "too many requests.")
        response.headers.update(limit.headers())
        if storm is not None:
            response.headers.update(storm if limit.limit else {n: v for n, v in storm.items() if n == "Retry-After"})
        return response

    async def _answered(self, request: web.Request, handler: Next, entry: Request) -> web.StreamResponse:
        try:
            if request.body_exists:
                entry.keep(await request.read())
            return await handler(request)
        except VenueRefusal as e:
            return answer(e.body, e.http)
        except BadRequest as e:
            return problem(400, None if is_data(request) else e.code, str(e))
        except web.HTTPException as e:
            code, message = _PLAIN.get(e.status, (None, e.reason))
            return problem(e.status, code, message)
        except ConnectionError:
            raise
        except Exception:
            log.exception("a request could not be served: %s %s", request.method, request.path)
            return problem(500, 50010000, "internal server error occurred")


def _unauthorized(request: web.Request, data: bool) -> web.Response:
    if data:
        return problem(403, None, "forbidden.")
    if request.headers.get("Authorization", "").lower().startswith("bearer "):
        return problem(401, 40110000, "request is not authorized: this venue has no OAuth, use a key and its secret")
    return problem(401, 40110000, "request is not authorized.")


def local(handler: Next) -> Next:
    """The handler, refused from elsewhere than this machine."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        peer = request.remote
        # An Origin means a browser: no web page may arm a fault here.
        if peer is None or not ipaddress.ip_address(peer).is_loopback or "Origin" in request.headers:
            return problem(403, 40310000, "only from the machine that the venue runs on")
        return await handler(request)

    return guarded


def _is_public(request: web.Request) -> bool:
    # Data of pairs is for everybody; keys that are given must be right.
    return request.path.startswith("/v1beta3/crypto/") and "APCA-API-KEY-ID" not in request.headers


def _is_stream(request: web.Request) -> bool:
    # Also an upgrade of a path that is not there: it gets a plain 404. Of the other paths it opens none.
    upgrade = request.headers.get("Upgrade", "").lower() == "websocket"
    if request.path in STREAMS or (upgrade and request.path == NEWS_PATH):
        return True
    return upgrade and isinstance(request.match_info.http_exception, web.HTTPNotFound)


def is_data(request: web.BaseRequest) -> bool:
    """Whether the request is for the market-data host."""
    return is_data_path(request.path)


def is_data_path(path: str) -> bool:
    """Whether the path belongs to the market-data host."""
    return path.startswith(("/v2/stocks", "/v1"))


def handled(floor: Floor, request: web.Request) -> int:
    """The venue's time at which the exchange takes a request, written down with it."""
    now = floor.catch_up()
    request[ENTRY].handled_ns = now
    return now
