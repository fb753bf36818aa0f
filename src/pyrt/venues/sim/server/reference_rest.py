"""Trading REST under /v2: assets, clock, calendar."""

from aiohttp import web

from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.server import api
from pyrt.venues.sim.server.api import ASKED, Route
from pyrt.venues.sim.server.edge import answer
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.schedule import Schedule

_ASSETS = (
    api.choice("status", "", "active", "inactive", "all"),
    api.text("asset_class"),
    api.text("exchange"),
    api.names("attributes"),
)


class ReferenceRest:
    """The handlers of what is the same for all accounts."""

    def __init__(self, floor: Floor, schedule: Schedule) -> None:
        self._floor = floor
        self._exchange: Exchange = floor.exchange
        self._schedule = schedule

    def routes(self) -> list[Route]:
        """Every path and method."""
        return [
            Route("GET", "/v2/assets", self.assets, query=_ASSETS),
            Route("GET", "/v2/assets/{asset:.+}", self.asset),
            Route("GET", "/v2/clock", self.clock),
            Route("GET", "/v2/calendar", self.calendar, query=(api.day("start"), api.day("end"), api.text("date_type"))),
        ]

    async def assets(self, request: web.Request) -> web.Response:
        """GET /v2/assets."""
        asked = request[ASKED]
        status = "" if asked["status"] == "all" else asked["status"]
        wanted = {"status": status, "class": asked["asset_class"], "exchange": asked["exchange"]}
        rows = [a for a in self._exchange.assets() if all(not v or a.get(k) == v for k, v in wanted.items())]
        attributes = set(asked["attributes"] or ())
        return answer([a for a in rows if not attributes or attributes & set(a["attributes"])])

    async def asset(self, request: web.Request) -> web.Response:
        """GET /v2/assets/{symbol or id}."""
        return answer(self._exchange.asset(request.match_info["asset"]))

    async def clock(self, request: web.Request) -> web.Response:
        """GET /v2/clock."""
        return answer(self._schedule.clock(self._floor.reading().now_ns))

    async def calendar(self, request: web.Request) -> web.Response:
        """GET /v2/calendar."""
        asked = request[ASKED]
        return answer(self._schedule.calendar(asked["start"], asked["end"], self._floor.now))
