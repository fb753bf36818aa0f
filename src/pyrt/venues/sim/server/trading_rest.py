"""Trading REST under /v2: orders, positions, account, activities, assets, clock, calendar."""

import asyncio
from datetime import date
from typing import Any

from aiohttp import web

from pyrt.clock import DAY
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.server.edge import ENTRY, BadRequest, answer, read_object
from pyrt.venues.sim.server.faults import Faults
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.schedule import Schedule
from pyrt.venues.sim.times import parse_time

_GROUPS = {"take_profit", "stop_loss"}
_TRUE = {"true", "1", "t"}
_FALSE = {"false", "0", "f", ""}


class TradingRest:
    """The handlers; the exchange decides, they only translate."""

    def __init__(self, floor: Floor, schedule: Schedule, faults: Faults) -> None:
        self._floor = floor
        self._exchange: Exchange = floor.exchange
        self._schedule = schedule
        self._faults = faults

    def routes(self) -> list[web.RouteDef]:
        """Every path and method."""
        return [
            web.post("/v2/orders", self.submit),
            web.get("/v2/orders", self.orders, allow_head=False),
            web.delete("/v2/orders", self.cancel_all),
            web.get("/v2/orders:by_client_order_id", self.order_by_cid, allow_head=False),
            web.get("/v2/orders/{id}", self.order, allow_head=False),
            web.patch("/v2/orders/{id}", self.replace),
            web.delete("/v2/orders/{id}", self.cancel),
            web.get("/v2/positions", self.positions, allow_head=False),
            web.delete("/v2/positions", self.close_all),
            web.get("/v2/positions/{symbol:.+}", self.position, allow_head=False),
            web.delete("/v2/positions/{symbol:.+}", self.close_position),
            web.get("/v2/account", self.account, allow_head=False),
            web.get("/v2/account/activities", self.activities, allow_head=False),
            web.get("/v2/account/activities/{type}", self.activities, allow_head=False),
            web.get("/v2/assets", self.assets, allow_head=False),
            web.get("/v2/assets/{asset:.+}", self.asset, allow_head=False),
            web.get("/v2/clock", self.clock, allow_head=False),
            web.get("/v2/calendar", self.calendar, allow_head=False),
        ]

    # ------------------------------------------------------------------------------------------------ orders
    async def submit(self, request: web.Request) -> web.Response:
        """POST /v2/orders."""
        body = _plain(await read_object(request))
        delay = self._faults.accept_delay()
        if delay:
            request[ENTRY].fault = "delay_accept"
            await asyncio.sleep(delay)
        order = self._exchange.submit(body, self._handled(request))
        self._changed()
        if self._faults.gateway_timeout():
            request[ENTRY].fault = "gateway_timeout"
            return web.Response(status=504, text="504 Gateway Time-out")
        return answer(order)

    async def replace(self, request: web.Request) -> web.Response:
        """PATCH /v2/orders/{id}."""
        body = _plain(await read_object(request))
        order = self._exchange.replace(request.match_info["id"], body, self._handled(request))
        self._changed()
        return answer(order)

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /v2/orders/{id}."""
        self._exchange.cancel(request.match_info["id"], self._handled(request))
        self._changed()
        return web.Response(status=204)

    async def cancel_all(self, request: web.Request) -> web.Response:
        """DELETE /v2/orders."""
        results = self._exchange.cancel_all(self._handled(request))
        self._changed()
        rows = [{"id": id_, "status": http} | ({} if body is None else {"body": body}) for id_, http, body in results]
        return answer(rows, 207)

    async def order(self, request: web.Request) -> web.Response:
        """GET /v2/orders/{id}."""
        self._floor.catch_up()
        return answer(self._exchange.order(request.match_info["id"], nested=_flag(request, "nested")))

    async def order_by_cid(self, request: web.Request) -> web.Response:
        """GET /v2/orders:by_client_order_id."""
        cid = request.query.get("client_order_id", "")
        if not cid:
            raise BadRequest("client_order_id is required")
        self._floor.catch_up()
        return answer(self._exchange.order_by_cid(cid))

    async def orders(self, request: web.Request) -> web.Response:
        """GET /v2/orders."""
        query = request.query
        self._floor.catch_up()
        rows = self._exchange.orders(
            status=_choice(request, "status", "open", "closed", "all"),
            limit=_integer(request, "limit", 50, 1, 500),
            after=_time(request, "after") or 0,
            until=_time(request, "until") or 0,
            direction=_choice(request, "direction", "desc", "asc"),
            side=_choice(request, "side", "", "buy", "sell") or None,
            symbols=[s for s in query.get("symbols", "").split(",") if s] or None,
            nested=_flag(request, "nested"),
        )
        return answer(rows)

    # ------------------------------------------------------------------------------------------------ positions
    async def positions(self, request: web.Request) -> web.Response:
        """GET /v2/positions."""
        self._floor.catch_up()
        return answer(self._exchange.positions())

    async def position(self, request: web.Request) -> web.Response:
        """GET /v2/positions/{symbol or asset id}."""
        self._floor.catch_up()
        return answer(self._exchange.position(request.match_info["symbol"]))

    async def close_position(self, request: web.Request) -> web.Response:
        """DELETE /v2/positions/{symbol or asset id}."""
        now = self._handled(request)
        qty, percentage = request.query.get("qty"), request.query.get("percentage")
        if qty and percentage:
            raise BadRequest("only one of qty and percentage can be given")
        order = self._exchange.close_position(request.match_info["symbol"], now, qty=qty or None, percentage=percentage or None)
        self._changed()
        return answer(order)

    async def close_all(self, request: web.Request) -> web.Response:
        """DELETE /v2/positions."""
        results = self._exchange.close_all(self._handled(request), _flag(request, "cancel_orders"))
        self._changed()
        return answer([{"symbol": symbol, "status": http, "body": body} for symbol, http, body in results], 207)

    # ------------------------------------------------------------------------------------------------ account
    async def account(self, request: web.Request) -> web.Response:
        """GET /v2/account."""
        self._floor.catch_up()
        return answer(self._exchange.account())

    async def activities(self, request: web.Request) -> web.Response:
        """GET /v2/account/activities[/{type}]."""
        one = request.match_info.get("type")
        types = [one] if one else [t for t in request.query.get("activity_types", "").split(",") if t]
        after, until = _time(request, "after") or 0, _time(request, "until") or 0
        day = _time(request, "date")
        if day is not None:
            after, until = day - 1, day + DAY
        rows = self._exchange.activities(
            types=types or None,
            after=after,
            until=until,
            direction=_choice(request, "direction", "desc", "asc"),
            page_size=_integer(request, "page_size", 100, 1, 100),
            page_token=request.query.get("page_token") or None,
        )
        return answer(rows)

    # ------------------------------------------------------------------------------------------------ reference
    async def assets(self, request: web.Request) -> web.Response:
        """GET /v2/assets."""
        wanted = {
            "status": request.query.get("status"),
            "class": request.query.get("asset_class"),
            "exchange": request.query.get("exchange"),
        }
        rows = [a for a in self._exchange.assets() if all(v is None or a.get(k) == v for k, v in wanted.items())]
        return answer(rows)

    async def asset(self, request: web.Request) -> web.Response:
        """GET /v2/assets/{symbol or id}."""
        return answer(self._exchange.asset(request.match_info["asset"]))

    async def clock(self, request: web.Request) -> web.Response:
        """GET /v2/clock."""
        return answer(self._schedule.clock(self._floor.reading().now_ns))

    async def calendar(self, request: web.Request) -> web.Response:
        """GET /v2/calendar."""
        return answer(self._schedule.calendar(_date(request, "start"), _date(request, "end"), self._floor.now))

    def _handled(self, request: web.Request) -> int:
        now = self._floor.catch_up()
        request[ENTRY].handled_ns = now
        return now

    def _changed(self) -> None:
        self._floor.changed = True
        self._floor.tell()


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    # The exchange may trust the shape: scalars, but for the groups, which hold scalars, and the list of legs.
    for name, value in body.items():
        if name in _GROUPS and isinstance(value, dict):
            _plain(value)
        elif name == "legs" and isinstance(value, list) and all(isinstance(leg, dict) for leg in value):
            for leg in value:
                _plain(leg)
        elif isinstance(value, dict | list):
            raise BadRequest(f"request body format is invalid: {name}", 40010000)
    return body


def _flag(request: web.Request, name: str) -> bool:
    text = request.query.get(name, "").lower()
    if text not in _TRUE | _FALSE:
        raise BadRequest(f"{name} is not a boolean")
    return text in _TRUE


def _choice(request: web.Request, name: str, *values: str) -> str:
    text = request.query.get(name, "").lower() or values[0]
    if text not in values:
        raise BadRequest(f"{name} must be one of {', '.join(v for v in values if v)}")
    return text


def _integer(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10) or not least <= int(text) <= most:
        raise BadRequest(f"{name} must be an integer from {least} to {most}")
    return int(text)


def _time(request: web.Request, name: str) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError:
        raise BadRequest(f"{name} is not an RFC 3339 time or a date") from None


def _date(request: web.Request, name: str) -> date | None:
    text = request.query.get(name, "")
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError:
        raise BadRequest(f"{name} is not a date") from None
