"""Trading REST under /v2: the account, its configuration, activities and history."""

from aiohttp import web

from pyrt.clock import DAY
from pyrt.venues.sim.exchange.exchange import Exchange
from pyrt.venues.sim.server import api
from pyrt.venues.sim.server.api import ASKED, Route
from pyrt.venues.sim.server.edge import ACCOUNT, answer, read_object
from pyrt.venues.sim.server.floor import Floor

_FLAG = {"type": "boolean"}
_CONFIGURATION = api.body(
    {
        "no_shorting": _FLAG,
        "suspend_trade": _FLAG,
        "fractional_trading": _FLAG,
        "ptp_no_exception_entry": _FLAG,
        "max_margin_multiplier": api.one_of("1", "2", "4"),
        "trade_confirm_email": api.one_of("all", "none"),
        "max_options_trading_level": {"type": ["integer", "null"], "minimum": 0, "maximum": 3},
    }
)
_ACTIVITIES = (
    api.time("date"),
    api.time("after"),
    api.time("until"),
    api.choice("direction", "desc", "asc"),
    api.integer("page_size", 100, 1, 100),
    api.text("page_token"),
)
_HISTORY = (
    api.text("period"),
    api.choice("timeframe", "", "1min", "5min", "15min", "1h", "1d"),
    api.choice("intraday_reporting", "market_hours", "extended_hours", "continuous"),
    api.choice("pnl_reset", "per_day", "no_reset"),
    api.time("start"),
    api.time("end"),
    api.time("date_end"),
    api.flag("extended_hours"),
    api.text("cashflow_types"),
)


class AccountRest:
    """The handlers of /v2/account."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._exchange: Exchange = floor.exchange

    def routes(self) -> list[Route]:
        """Every path and method."""
        every = (api.names("activity_types"), *_ACTIVITIES)
        return [
            Route("GET", "/v2/account", self.account),
            Route("GET", "/v2/account/configurations", self.configuration),
            Route("PATCH", "/v2/account/configurations", self.configure, body=_CONFIGURATION),
            Route("GET", "/v2/account/portfolio/history", self.history, query=_HISTORY),
            Route("GET", "/v2/account/activities", self.activities, query=every),
            Route("GET", "/v2/account/activities/{type}", self.activities, query=_ACTIVITIES),
        ]

    async def account(self, request: web.Request) -> web.Response:
        """GET /v2/account."""
        self._floor.catch_up()
        return answer(self._exchange.account(request[ACCOUNT]))

    async def configuration(self, request: web.Request) -> web.Response:
        """GET /v2/account/configurations."""
        return answer(self._exchange.configuration(request[ACCOUNT]))

    async def configure(self, request: web.Request) -> web.Response:
        """PATCH /v2/account/configurations."""
        changed = self._exchange.configure(await read_object(request), request[ACCOUNT])
        self._floor.pass_on()
        return answer(changed)

    async def history(self, request: web.Request) -> web.Response:
        """GET /v2/account/portfolio/history."""
        now = self._floor.catch_up()
        return answer(self._exchange.portfolio_history(now, request[ASKED], request[ACCOUNT]))

    async def activities(self, request: web.Request) -> web.Response:
        """GET /v2/account/activities[/{type}]."""
        self._floor.catch_up()
        asked, one = request[ASKED], request.match_info.get("type")
        after, until = asked["after"] or 0, asked["until"] or 0
        if asked["date"] is not None:
            after, until = asked["date"] - 1, asked["date"] + DAY
        rows = self._exchange.activities(
            types=[one] if one else asked["activity_types"],
            after=after,
            until=until,
            direction=asked["direction"],
            page_size=asked["page_size"],
            page_token=asked["page_token"],
            account=request[ACCOUNT],
        )
        return answer(rows)
