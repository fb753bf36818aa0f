"""Trading REST under /v2/watchlists: lists by id and by name."""

from aiohttp import web

from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.server import api
from pyrt.venues.sim.server.api import ASKED, TEXT, Route
from pyrt.venues.sim.server.edge import ACCOUNT, answer, read_object
from pyrt.venues.sim.server.floor import Floor

_SYMBOLS = {"type": "array", "items": TEXT}
_NAME = (api.text("name", required=True),)
_LIST = api.body({"name": {"type": "string", "maxLength": 64}, "symbols": _SYMBOLS})
_ONE = api.body({"symbol": TEXT}, "symbol")


class WatchlistsRest:
    """The handlers; a list is named by the path or, on :by_name, by the query."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._exchange: Exchange = floor.exchange

    def routes(self) -> list[Route]:
        """Every path and method."""
        table = [
            Route("GET", "/v2/watchlists", self.watchlists),
            Route("POST", "/v2/watchlists", self.create, body=_LIST),
            Route("DELETE", "/v2/watchlists/{id}/{symbol:.+}", self.take),
        ]
        for path, query in (("/v2/watchlists/{id}", ()), ("/v2/watchlists:by_name", _NAME)):
            table += [
                Route("GET", path, self.watchlist, query=query),
                Route("PUT", path, self.change, query=query, body=_LIST),
                Route("POST", path, self.add, query=query, body=_ONE),
                Route("DELETE", path, self.drop, query=query, ok=204),
            ]
        return table

    async def watchlists(self, request: web.Request) -> web.Response:
        """GET /v2/watchlists."""
        return answer(self._exchange.watchlists(request[ACCOUNT]))

    async def watchlist(self, request: web.Request) -> web.Response:
        """GET /v2/watchlists/{id} and :by_name."""
        return answer(self._exchange.watchlist(*_which(request), request[ACCOUNT]))

    async def create(self, request: web.Request) -> web.Response:
        """POST /v2/watchlists."""
        made = self._exchange.add_watchlist(await read_object(request), self._floor.catch_up(), request[ACCOUNT])
        return self._changed(answer(made))

    async def change(self, request: web.Request) -> web.Response:
        """PUT /v2/watchlists/{id} and :by_name: name, assets or both."""
        id_, name = _which(request)
        body = await read_object(request)
        return self._changed(answer(self._exchange.change_watchlist(id_, body, self._floor.catch_up(), name, request[ACCOUNT])))

    async def add(self, request: web.Request) -> web.Response:
        """POST /v2/watchlists/{id} and :by_name: one more asset."""
        id_, name = _which(request)
        body = await read_object(request)
        return self._changed(answer(self._exchange.add_to_watchlist(id_, body, self._floor.catch_up(), name, request[ACCOUNT])))

    async def take(self, request: web.Request) -> web.Response:
        """DELETE /v2/watchlists/{id}/{symbol}: one asset less."""
        id_, symbol = request.match_info["id"], request.match_info["symbol"]
        now = self._floor.catch_up()
        return self._changed(answer(self._exchange.take_from_watchlist(id_, symbol, now, account=request[ACCOUNT])))

    async def drop(self, request: web.Request) -> web.Response:
        """DELETE /v2/watchlists/{id} and :by_name."""
        self._exchange.drop_watchlist(*_which(request), request[ACCOUNT])
        return self._changed(web.Response(status=204))

    def _changed(self, response: web.Response) -> web.Response:
        self._floor.pass_on()
        return response


def _which(request: web.Request) -> tuple[str | None, str | None]:
    """The id in the path, or the name in the query."""
    return request.match_info.get("id"), request[ASKED].get("name")
