"""What armed faults do to HTTP requests and to their answers."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from pyrt.clock import SECOND
from pyrt.venues.sim.exchange.orders import FINAL, VenueRefusal
from pyrt.venues.sim.server import skew
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.incidents import Incidents
from pyrt.venues.sim.server.kinds import (
    ClockSkew,
    CutRequest,
    DelayAccept,
    Fault,
    FillDuringReplace,
    GatewayTimeout,
    LoseCancel,
    RateLimited,
    ServerError,
    SlowAnswer,
    Truncate,
    requests_of,
)
from pyrt.venues.sim.server.truth import Request

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]

REASONS = {500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}
_MESSAGES = {500: "internal server error occurred", 502: "bad gateway", 503: "service unavailable", 504: "gateway timeout"}


class Mishaps:
    """Between the edge and the handlers: `serve` is called once, or not at all where the request is lost before the exchange."""

    def __init__(self, faults: Faults, floor: Floor, incidents: Incidents) -> None:
        self._faults = faults
        self._floor = floor
        self._incidents = incidents

    def storm(self, entry: Request, *, data: bool) -> dict[str, str] | None:
        """The headers of the 429 that this request meets; None where it meets none."""
        fault = self._faults.meets(RateLimited, groups=requests_of(entry.method, entry.path, data=data), request=entry)
        if fault is None:
            return None
        left = self._faults.left(fault)
        headers = {"X-Ratelimit-Reset": str(int(time.time() + left) + 1)}
        return headers | ({"Retry-After": str(max(1, round(left)))} if fault.retry_after else {})

    async def answered(self, request: web.Request, entry: Request, serve: Serve, *, data: bool) -> web.StreamResponse:
        """Serve a request as the faults will have it."""
        if not self._faults.armed(Fault):
            return await serve(request)
        groups = requests_of(entry.method, entry.path, data=data)
        offset = self.offset_ns
        if offset:
            request = skew.asked(request, offset)
        response = await self._before(request, entry, groups)
        if response is None:
            response = await serve(request)
            if offset:
                skew.told(response, time.time(), offset)
            response = await self._after(request, entry, groups, response)
        return response

    @property
    def offset_ns(self) -> int:
        """How far the venue's clock is off, as it tells the time."""
        return offset_ns(self._faults)

    async def _before(self, request: web.Request, entry: Request, groups: frozenset[str]) -> web.StreamResponse | None:
        faults = self._faults
        cut = faults.meets(CutRequest, lambda f: f.when == "before", groups=groups, request=entry, note="before")
        if cut is not None:
            return sever_request(request, entry, cut.how)
        error = faults.meets(ServerError, lambda f: not f.applied, groups=groups, request=entry)
        if error is not None:
            return _error(error)
        delay = faults.meets(DelayAccept, groups=groups, request=entry)
        if delay is not None:
            await asyncio.sleep(delay.seconds)
        if "cancels" in groups:
            return self._lost_cancel(entry)
        if "replaces" in groups and not self._floor.exchange.latency.replace:
            self._fill(entry)
        return None

    async def _after(
        self, request: web.Request, entry: Request, groups: frozenset[str], response: web.StreamResponse
    ) -> web.StreamResponse:
        faults = self._faults
        if response.status < 300:
            if "replaces" in groups and self._floor.exchange.latency.replace:
                self._fill(entry)
            if faults.meets(GatewayTimeout, groups=groups, request=entry) is not None:
                return web.Response(status=504, text="504 Gateway Time-out")
            error = faults.meets(ServerError, lambda f: f.applied, groups=groups, request=entry, note="applied")
            if error is not None:
                return _error(error)
            if "cancels" in groups and faults.meets(
                LoseCancel, lambda f: f.happens, request=entry, order=_order_of(entry), note="the answer is lost"
            ):
                return sever_request(request, entry, "rst")
        cut = faults.meets(CutRequest, lambda f: f.when == "after", groups=groups, request=entry, note="after")
        if cut is not None:
            return sever_request(request, entry, cut.how)
        body = response.body if isinstance(response, web.Response) else None
        if isinstance(body, bytes) and len(body) > 1:
            if (shorten := faults.meets(Truncate, groups=groups, request=entry)) is not None:
                return await _truncated(request, entry, response, body, shorten)
            if (slow := faults.meets(SlowAnswer, groups=groups, request=entry)) is not None:
                return await _dripped(request, entry, response, body, slow.interval)
        return response

    # ------------------------------------------------------------------------------------------------ single verbs
    def _lost_cancel(self, entry: Request) -> web.StreamResponse | None:
        """204 for the DELETE of an open order, which stays open."""
        order = self._open_order(entry) if self._faults.armed(LoseCancel) else ""
        if not order or self._faults.meets(LoseCancel, lambda f: not f.happens, request=entry, order=order) is None:
            return None
        return web.Response(status=204)

    def _fill(self, entry: Request) -> None:
        """Fill the order that a PATCH is about: before the PATCH is looked at, or while the replacement travels."""
        order = self._open_order(entry) if self._faults.armed(FillDuringReplace) else ""
        fault = self._faults.meets(FillDuringReplace, request=entry, order=order) if order else None
        if fault is not None:
            self._incidents.fill(order, fault.qty, entry.account or None)

    def _open_order(self, entry: Request) -> str:
        """The id of the open order that a request names, "" where it names none."""
        order_id = _order_of(entry)
        self._floor.catch_up()
        try:
            return "" if self._floor.exchange.order(order_id, account=entry.account or None)["status"] in FINAL else order_id
        except VenueRefusal:
            return ""


def offset_ns(faults: Faults) -> int:
    """How far the venue's clock is off, as it tells the time, ns."""
    return sum(int(a.fault.offset * SECOND) for a in faults.armed(ClockSkew) if isinstance(a.fault, ClockSkew))


def sever(transport: asyncio.Transport | None, how: str) -> None:
    """End a connection at once: `rst` resets it, `fin` closes it; nothing that waits is sent."""
    if transport is None:
        return
    plain = transport.get_extra_info("socket")
    if how == "rst" and plain is not None:
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def sever_request(request: web.Request, entry: Request, how: str) -> web.Response:
    """End the connection under a request; the response that is returned reaches nobody."""
    entry.cut = True
    sever(request.transport, how)
    return web.Response(status=444)


def _order_of(entry: Request) -> str:
    return entry.path.removeprefix("/v2/orders").strip("/")


def _error(fault: ServerError) -> web.Response:
    if fault.body == "json":
        body = f'{{"code":{fault.status}10000,"message":"{_MESSAGES[fault.status]}"}}'
        return web.Response(status=fault.status, body=body.encode(), content_type="application/json")
    if fault.body == "empty":
        return web.Response(status=fault.status)
    title = f"{fault.status} {REASONS[fault.status]}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    return web.Response(status=fault.status, text=page, content_type="text/html")


async def _truncated(
    request: web.Request, entry: Request, response: web.StreamResponse, body: bytes, fault: Truncate
) -> web.StreamResponse:
    part = body[: min(int(len(body) * fault.keep), len(body) - 1)]
    if fault.how == "short":
        return web.Response(status=response.status, body=part, headers=_headers(response))
    entry.cut = True
    stream = await _begun(request, response, len(body))
    with contextlib.suppress(ConnectionError):
        await stream.write(part)
    if request.transport is not None:
        request.transport.close()
    return stream


async def _dripped(
    request: web.Request, entry: Request, response: web.StreamResponse, body: bytes, interval: float
) -> web.StreamResponse:
    stream = await _begun(request, response, len(body))
    try:
        for i in range(len(body)):
            await stream.write(body[i : i + 1])
            await asyncio.sleep(interval)
            if request.transport is None or request.transport.is_closing():
                raise ConnectionResetError
    except ConnectionError:
        entry.cut = True
    return stream


async def _begun(request: web.Request, response: web.StreamResponse, length: int) -> web.StreamResponse:
    stream = web.StreamResponse(status=response.status, headers=_headers(response))
    stream.content_length = length
    await stream.prepare(request)
    return stream


def _headers(response: web.StreamResponse) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
