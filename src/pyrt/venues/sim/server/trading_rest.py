"""Trading REST under /v2: orders and positions."""

from typing import Any

from aiohttp import web

from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.server import api
from pyrt.venues.sim.server.api import ASKED, NUMBER, TEXT, Route, one_of
from pyrt.venues.sim.server.edge import ACCOUNT, BadRequest, answer, handled, read_object
from pyrt.venues.sim.server.floor import Floor

_GROUPS = {"take_profit", "stop_loss"}
_NESTED = (api.flag("nested"),)
_ORDERS = (
    api.choice("status", "open", "closed", "all"),
    api.integer("limit", 50, 1, 500),
    api.time("after"),
    api.time("until"),
    api.choice("direction", "desc", "asc"),
    api.choice("side", "", "buy", "sell"),
    api.names("symbols"),
    api.choice("asset_class", "", "us_equity", "us_option", "crypto", "all"),
    *_NESTED,
)
_TIFS = one_of("day", "gtc", "opg", "cls", "ioc", "fok")
_NEW_ORDER = api.body(
    {
        "symbol": TEXT,
        "qty": NUMBER,
        "notional": NUMBER,
        "side": one_of("buy", "sell"),
        "type": one_of("market", "limit", "stop", "stop_limit", "trailing_stop"),
        "time_in_force": _TIFS,
        "limit_price": NUMBER,
        "stop_price": NUMBER,
        "trail_price": NUMBER,
        "trail_percent": NUMBER,
        "extended_hours": {"type": "boolean"},
        "client_order_id": {"type": "string", "maxLength": 128},
        "order_class": one_of("", "simple", "bracket", "oco", "oto", "mleg"),
        "take_profit": api.body({"limit_price": NUMBER}),
        "stop_loss": api.body({"stop_price": NUMBER, "limit_price": NUMBER}),
        "position_intent": one_of("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close"),
        "legs": {"type": "array", "items": {"type": "object"}},
    },
    "type",
    "time_in_force",
)
_CHANGE = api.body(
    {
        "qty": NUMBER,
        "time_in_force": _TIFS,
        "limit_price": NUMBER,
        "stop_price": NUMBER,
        "trail": NUMBER,
        "client_order_id": {"type": "string", "maxLength": 128},
    }
)


class TradingRest:
    """The handlers; the exchange decides, they only translate."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._exchange: Exchange = floor.exchange

    def routes(self) -> list[Route]:
        """Every path and method."""
        return [
            Route("POST", "/v2/orders", self.submit, body=_NEW_ORDER),
            Route("GET", "/v2/orders", self.orders, query=_ORDERS),
            Route("DELETE", "/v2/orders", self.cancel_all, ok=207),
            Route("GET", "/v2/orders:by_client_order_id", self.order_by_cid, query=(api.text("client_order_id", required=True),)),
            Route("GET", "/v2/orders/{id}", self.order, query=_NESTED),
            Route("PATCH", "/v2/orders/{id}", self.replace, body=_CHANGE),
            Route("DELETE", "/v2/orders/{id}", self.cancel, ok=204),
            Route("GET", "/v2/positions", self.positions),
            Route("DELETE", "/v2/positions", self.close_all, query=(api.flag("cancel_orders"),), ok=207),
            Route("GET", "/v2/positions/{symbol:.+}", self.position),
            Route("DELETE", "/v2/positions/{symbol:.+}", self.close_position, query=(api.text("qty"), api.text("percentage"))),
        ]

    # ------------------------------------------------------------------------------------------------ orders
    async def submit(self, request: web.Request) -> web.Response:
        """POST /v2/orders."""
        body = _plain(await read_object(request))
        order = self._exchange.submit(body, handled(self._floor, request), request[ACCOUNT])
        self._floor.pass_on()
        return answer(order)

    async def replace(self, request: web.Request) -> web.Response:
        """PATCH /v2/orders/{id}."""
        body = _plain(await read_object(request))
        order = self._exchange.replace(request.match_info["id"], body, handled(self._floor, request), request[ACCOUNT])
        self._floor.pass_on()
        return answer(order)

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /v2/orders/{id}."""
        self._exchange.cancel(request.match_info["id"], handled(self._floor, request), request[ACCOUNT])
        self._floor.pass_on()
        return web.Response(status=204)

    async def cancel_all(self, request: web.Request) -> web.Response:
        """DELETE /v2/orders."""
        results = self._exchange.cancel_all(handled(self._floor, request), request[ACCOUNT])
        self._floor.pass_on()
        rows = [{"id": id_, "status": http} | ({} if body is None else {"body": body}) for id_, http, body in results]
        return answer(rows, 207)

    async def order(self, request: web.Request) -> web.Response:
        """GET /v2/orders/{id}."""
        self._floor.catch_up()
        return answer(self._exchange.order(request.match_info["id"], request[ASKED]["nested"], request[ACCOUNT]))

    async def order_by_cid(self, request: web.Request) -> web.Response:
        """GET /v2/orders:by_client_order_id."""
        self._floor.catch_up()
        return answer(self._exchange.order_by_cid(request[ASKED]["client_order_id"], request[ACCOUNT]))

    async def orders(self, request: web.Request) -> web.Response:
        """GET /v2/orders."""
        self._floor.catch_up()
        asked = request[ASKED]
        rows = self._exchange.orders(
            status=asked["status"],
            limit=asked["limit"],
            after=asked["after"] or 0,
            until=asked["until"] or 0,
            direction=asked["direction"],
            side=asked["side"] or None,
            symbols=asked["symbols"],
            nested=asked["nested"],
            account=request[ACCOUNT],
            asset_class=asked["asset_class"],
        )
        return answer(rows)

    # ------------------------------------------------------------------------------------------------ positions
    async def positions(self, request: web.Request) -> web.Response:
        """GET /v2/positions."""
        self._floor.catch_up()
        return answer(self._exchange.positions(request[ACCOUNT]))

    async def position(self, request: web.Request) -> web.Response:
        """GET /v2/positions/{symbol or asset id}."""
        self._floor.catch_up()
        return answer(self._exchange.position(request.match_info["symbol"], request[ACCOUNT]))

    async def close_position(self, request: web.Request) -> web.Response:
        """DELETE /v2/positions/{symbol or asset id}."""
        now, asked = handled(self._floor, request), request[ASKED]
        if asked["qty"] and asked["percentage"]:
            raise BadRequest("only one of qty and percentage can be given")
        order = self._exchange.close_position(request.match_info["symbol"], now, **asked, account=request[ACCOUNT])
        self._floor.pass_on()
        return answer(order)

    async def close_all(self, request: web.Request) -> web.Response:
        """DELETE /v2/positions."""
        results = self._exchange.close_all(handled(self._floor, request), request[ASKED]["cancel_orders"], request[ACCOUNT])
        self._floor.pass_on()
        return answer([{"symbol": symbol, "status": http, "body": body} for symbol, http, body in results], 207)


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
