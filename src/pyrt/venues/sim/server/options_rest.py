"""Trading REST of options: the contracts that are listed, exercise, and the word not to exercise."""

import base64
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import uuid5
from zlib import crc32

from aiohttp import web

from pyrt._core.types import format_units, to_units
from pyrt.venues.sim.exchange import expiry
from pyrt.venues.sim.exchange.assets import NAMESPACE
from pyrt.venues.sim.exchange.contracts import Options
from pyrt.venues.sim.exchange.orders import Body, VenueRefusal
from pyrt.venues.sim.market import options
from pyrt.venues.sim.market.options import Contract
from pyrt.venues.sim.server import api
from pyrt.venues.sim.server.api import ASKED, Param, Route
from pyrt.venues.sim.server.edge import ACCOUNT, BadRequest, answer, handled
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.times import new_york, new_york_midnight


def _price(name: str) -> Param:
    def read(text: str) -> int:
        try:
            return to_units(text, 9)
        except ValueError:
            raise BadRequest(f"{name} is not a price") from None

    return Param(name, {"type": "string"}, None, read)


FILTERS = (
    api.day("expiration_date"),
    api.day("expiration_date_gte"),
    api.day("expiration_date_lte"),
    api.text("root_symbol"),
    api.choice("type", "", "call", "put"),
    _price("strike_price_gte"),
    _price("strike_price_lte"),
)
_CONTRACTS = (
    api.names("underlying_symbols"),
    api.choice("status", "active", "inactive"),
    *FILTERS,
    api.choice("style", "", "american", "european"),
    api.integer("limit", 100, 1, 10_000),
    api.text("page_token"),
)


def wanted(asked: dict[str, Any]) -> Callable[[Contract], bool]:
    """Whether a contract passes the filters of a request."""
    day, first, last = asked["expiration_date"], asked["expiration_date_gte"], asked["expiration_date_lte"]
    least, most = asked["strike_price_gte"], asked["strike_price_lte"]

    def passes(contract: Contract) -> bool:
        return (
            (day is None or contract.expiration == day)
            and (first is None or contract.expiration >= first)
            and (last is None or contract.expiration <= last)
            and (least is None or contract.strike >= least)
            and (most is None or contract.strike <= most)
            and (not asked["type"] or contract.type == asked["type"])
            and (asked["root_symbol"] is None or contract.root == asked["root_symbol"].upper())
        )

    return passes


def read_token(text: str | None) -> str:
    """The symbol that a page ended with, "" = the first page. Raises BadRequest."""
    try:
        return base64.b64decode((text or "").encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise BadRequest("invalid page token") from None


def page_of(found: list[Contract], limit: int, token: str) -> tuple[list[Contract], str | None]:
    """A page of contracts by symbol, and the token of the next page or None."""
    rest = sorted((contract for contract in found if contract.symbol > token), key=lambda contract: contract.symbol)
    page = rest[:limit]
    more = len(rest) > limit
    return page, base64.urlsafe_b64encode(page[-1].symbol.encode()).decode() if more else None


def known(desk: Options | None) -> Options:
    """The options of an exchange. Raises VenueRefusal 404 where it has none."""
    if desk is None:
        raise VenueRefusal(404, 40410000, "this venue lists no options")
    return desk


class OptionsRest:
    """The handlers under /v2."""

    def __init__(self, floor: Floor) -> None:
        self._floor = floor
        self._exchange = floor.exchange
        self._first: dict[tuple[int, date], int] = {}  # underlying and day of a close -> the price that stands for it

    def routes(self) -> list[Route]:
        """Every path and method."""
        return [
            Route("GET", "/v2/options/contracts", self.contracts, query=_CONTRACTS),
            Route("GET", "/v2/options/contracts/{contract}", self.contract),
            Route("POST", "/v2/positions/{contract}/exercise", self.exercise),
            Route("POST", "/v2/positions/{contract}/do-not-exercise", self.do_not_exercise),
        ]

    async def contracts(self, request: web.Request) -> web.Response:
        """GET /v2/options/contracts: without a word on the expiration, those up to the next weekend."""
        desk, now = known(self._exchange.options), self._floor.catch_up()
        asked: dict[str, Any] = dict(request[ASKED].items())
        if not any(asked[name] for name in ("expiration_date", "expiration_date_gte", "expiration_date_lte")):
            today = new_york(now).date()
            asked["expiration_date_lte"] = today + timedelta(6 - today.weekday())
        names = None if asked["underlying_symbols"] is None else {name.upper() for name in asked["underlying_symbols"]}
        passes = wanted(asked)
        found = [
            contract
            for contract in desk.contracts.values()
            if (contract.expires > now) == (asked["status"] == "active")
            and asked["style"] != "european"
            and (names is None or self._underlying(contract) in names)
            and passes(contract)
        ]
        page, token = page_of(found, asked["limit"], read_token(asked["page_token"]))
        return answer({"option_contracts": [self._show(desk, contract) for contract in page], "next_page_token": token})

    async def contract(self, request: web.Request) -> web.Response:
        """GET /v2/options/contracts/{symbol or id}."""
        desk = known(self._exchange.options)
        self._floor.catch_up()
        return answer(self._show(desk, desk.contract(request.match_info["contract"])))

    async def exercise(self, request: web.Request) -> web.Response:
        """POST /v2/positions/{symbol or id}/exercise."""
        known(self._exchange.options)
        expiry.exercise(self._exchange, request.match_info["contract"], handled(self._floor, request), request[ACCOUNT])
        self._floor.pass_on()
        return web.Response()

    async def do_not_exercise(self, request: web.Request) -> web.Response:
        """POST /v2/positions/{symbol or id}/do-not-exercise."""
        known(self._exchange.options)
        expiry.do_not_exercise(self._exchange, request.match_info["contract"], handled(self._floor, request), request[ACCOUNT])
        self._floor.pass_on()
        return web.Response()

    def _underlying(self, contract: Contract) -> str:
        return self._exchange.assets_.instruments[contract.underlying].symbol

    def _show(self, desk: Options, contract: Contract) -> Body:
        now = self._exchange.now
        active, midnight = contract.expires > now, new_york_midnight(min(now, contract.expires))
        yesterday = _trading_day_before(new_york(midnight).date())
        underlying = contract.underlying
        spot = self._exchange.state.closes.get(underlying) or self._first.get((underlying, yesterday), 0)
        if not spot and (spot := desk.spot(underlying) or 0):  # before the first close: what was seen first stays for the day
            self._first[underlying, yesterday] = spot
        close = options.quote(contract, spot, midnight).mid if spot else 0
        return {
            "id": str(uuid5(NAMESPACE, contract.symbol)),
            "symbol": contract.symbol,
            "name": contract.name,
            "status": "active" if active else "inactive",
            "tradable": active,
            "expiration_date": contract.expiration.isoformat(),
            "root_symbol": contract.root,
            "underlying_symbol": self._underlying(contract),
            "underlying_asset_id": str(self._exchange.assets_.shown[underlying]["id"]),
            "type": contract.type,
            "style": "american",
            "strike_price": format_units(contract.strike),
            "multiplier": str(options.MULTIPLIER),
            "size": str(options.MULTIPLIER),
            "open_interest": str(crc32(f"{contract.symbol}@{yesterday}".encode()) % 5000),
            "open_interest_date": yesterday.isoformat(),
            "close_price": format_units(close) if close else None,
            "close_price_date": yesterday.isoformat() if close else None,
        }


def _trading_day_before(day: date) -> date:
    before = day - timedelta(1)
    while before.weekday() > 4:
        before -= timedelta(1)
    return before
