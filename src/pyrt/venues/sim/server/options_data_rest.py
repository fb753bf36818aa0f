"""Market-data REST of options under /v1beta1/options, answered on the archive's thread."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from pyrt.venues.sim.exchange.orders import VenueRefusal
from pyrt.venues.sim.market import options
from pyrt.venues.sim.market.options import Contract
from pyrt.venues.sim.market.options_archive import OptionArchive, Row, quote_row, trade_row
from pyrt.venues.sim.market.rows import Timeframe, Token, parse_timeframe, parse_token
from pyrt.venues.sim.server import api
from pyrt.venues.sim.server.api import ASKED, Param, Route
from pyrt.venues.sim.server.edge import BadRequest, answer
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.server.options_rest import FILTERS, known, page_of, read_token, wanted
from pyrt.venues.sim.times import new_york_midnight

EXCHANGES = {
    "A": "AMEX - NYSE American",
    "B": "BOX - Boston Options Exchange",
    "C": "CBOE - Cboe Options Exchange",
    "D": "EMERALD - Miami International Stock Exchange",
    "E": "EDGX - Cboe EDGX Options",
    "H": "GEMX - Nasdaq GEMX",
    "I": "ISE - Nasdaq International Securities Exchange",
    "J": "MRX - Nasdaq MRX",
    "M": "MIAX - Miami International Stock Exchange",
    "N": "NYSE - NYSE Arca",
    "O": "OPRA - Options Price Reporting Authority",
    "P": "PEARL - Miami International Stock Exchange",
    "Q": "NASD - Nasdaq Options",
    "T": "BX - Nasdaq BX Options",
    "W": "C2 - Cboe C2 Options",
    "X": "PHLX - Nasdaq PHLX",
    "Z": "BATS - Cboe BZX Options",
}
CONDITIONS = {
    "trade": {"I": "AUTO - Transaction was executed electronically"},
    "quote": {"A": "Eligible for automatic execution"},
}


def _timeframe(name: str) -> Param:
    def read(text: str) -> Timeframe:
        try:
            return parse_timeframe(text)
        except ValueError as e:
            raise BadRequest(str(e)) from None

    return Param(name, {"type": "string"}, None, read, required=True)


_FEED = api.choice("feed", "", "indicative", "opra")
_LIMIT = api.integer("limit", 1000, 1, 10_000)
_SYMBOLS = api.Param("symbols", {"type": "string"}, None, lambda text: text.upper().split(","), required=True)
_PAST = (_SYMBOLS, api.time("start"), api.time("end"), _LIMIT, api.text("page_token"), api.choice("sort", "asc", "desc"))
_SNAPSHOTS = (_FEED, api.time("updated_since"), api.integer("limit", 100, 1, 1000), api.text("page_token"))


class OnThread(Protocol):
    """Runs work where the archive lives."""

    def __call__(self, work: Callable[..., Any], *args: Any) -> Awaitable[Any]: ...


class OptionsDataRest:
    """The handlers; `opra`: whether the account's plan holds that feed, which shows the same as indicative."""

    def __init__(self, floor: Floor, archive: OptionArchive, run: OnThread, *, opra: bool) -> None:
        self._floor = floor
        self._exchange = floor.exchange
        self._archive = archive
        self._run = run
        self._opra = opra

    def routes(self) -> list[Route]:
        """Every path, the most special first."""
        at = "/v1beta1/options"
        return [
            Route("GET", f"{at}/meta/exchanges", self.exchanges),
            Route("GET", f"{at}/meta/conditions/{{kind}}", self.conditions),
            Route("GET", f"{at}/bars", self.bars, query=(*_PAST, _timeframe("timeframe"))),
            Route("GET", f"{at}/trades", self.trades, query=_PAST),
            Route("GET", f"{at}/trades/latest", self.latest_trades, query=(_SYMBOLS, _FEED)),
            Route("GET", f"{at}/quotes/latest", self.latest_quotes, query=(_SYMBOLS, _FEED)),
            Route("GET", f"{at}/snapshots", self.snapshots, query=(_SYMBOLS, *_SNAPSHOTS)),
            Route("GET", f"{at}/snapshots/{{underlying}}", self.chain, query=(*_SNAPSHOTS, *FILTERS)),
        ]

    async def exchanges(self, request: web.Request) -> web.Response:
        """GET .../meta/exchanges."""
        return answer(EXCHANGES)

    async def conditions(self, request: web.Request) -> web.Response:
        """GET .../meta/conditions/{trade or quote}."""
        found = CONDITIONS.get(request.match_info["kind"])
        if found is None:
            raise BadRequest("the tick type is trade or quote")
        return answer(found)

    async def bars(self, request: web.Request) -> web.Response:
        """GET .../bars."""
        return await self._past(request, "bars")

    async def trades(self, request: web.Request) -> web.Response:
        """GET .../trades."""
        return await self._past(request, "trades")

    async def latest_trades(self, request: web.Request) -> web.Response:
        """GET .../trades/latest."""
        now, found = self._asked(request)
        return answer({"trades": await self._run(self._latest_trades, found, now)})

    async def latest_quotes(self, request: web.Request) -> web.Response:
        """GET .../quotes/latest."""
        now, found = self._asked(request)
        return answer({"quotes": await self._run(self._latest_quotes, found, now)})

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET .../snapshots."""
        now, found = self._asked(request)
        return await self._snapshots(request, now, found)

    async def chain(self, request: web.Request) -> web.Response:
        """GET .../snapshots/{underlying}: the contracts that still trade."""
        now, _ = self._asked(request)
        desk, name = known(self._exchange.options), request.match_info["underlying"].upper()
        instrument, passes = self._exchange.assets_.find(name), wanted(request[ASKED])
        number = instrument.id if instrument is not None else -1
        found = [c for c in desk.contracts.values() if c.underlying == number and c.expires > now and passes(c)]
        return await self._snapshots(request, now, found)

    def _asked(self, request: web.Request) -> tuple[int, list[Contract]]:
        """Venue time and the contracts that are named and known. Raises VenueRefusal where the plan has not the feed."""
        asked, desk = request[ASKED], known(self._exchange.options)
        if asked.get("feed") == "opra" and not self._opra:
            refusal = VenueRefusal(403, 40310000, "OPRA agreement is not signed")
            refusal.body = {"message": refusal.message}
            raise refusal
        now = self._floor.catch_up()
        named = {symbol.strip() for symbol in asked.get("symbols", ())}
        return now, [desk.contract(symbol) for symbol in sorted(named) if desk.lists(symbol)]

    def _name(self, contract: Contract) -> str:
        return self._exchange.assets_.instruments[contract.underlying].symbol

    async def _past(self, request: web.Request, kind: str) -> web.Response:
        now, found = self._asked(request)
        asked = request[ASKED]
        start = new_york_midnight(now) if asked["start"] is None else asked["start"]
        end = now if asked["end"] is None else asked["end"]
        if asked["start"] is not None and end < start:
            raise BadRequest("end should not be before start")
        try:
            token = parse_token(asked["page_token"]) if asked["page_token"] else None
        except ValueError as e:
            raise BadRequest(str(e)) from None
        page = await self._run(self._page, found, kind, start, min(end, now), now, asked, token)
        return answer(page)

    def _page(
        self, found: list[Contract], kind: str, start: int, end: int, now: int, asked: dict[str, Any], token: Token | None
    ) -> dict[str, Any]:
        left: int = asked["limit"]
        rows_of: dict[str, list[Row]] = {}
        for contract in found:
            if token is not None and contract.symbol < token.symbol:
                continue
            skip = token.served if token is not None and contract.symbol == token.symbol else 0
            rows = self._rows(contract, kind, start, end, now, asked)[skip:]
            if rows and not left:
                return {kind: rows_of, "next_page_token": Token(contract.symbol, 0, skip).text()}
            if rows:
                rows_of[contract.symbol] = rows[:left]
            if len(rows) > left:
                return {kind: rows_of, "next_page_token": Token(contract.symbol, 0, skip + left).text()}
            left -= len(rows)
        return {kind: rows_of, "next_page_token": None}

    def _rows(self, contract: Contract, kind: str, start: int, end: int, now: int, asked: dict[str, Any]) -> list[Row]:
        name = self._name(contract)
        if kind == "bars":
            rows = self._archive.bars(contract, name, start, end, asked["timeframe"], now)
        else:
            rows = [trade_row(trade) for trade in self._archive.trades(contract, name, start, end)]
        return rows[::-1] if asked["sort"] == "desc" else rows

    def _latest_trades(self, found: list[Contract], now: int) -> dict[str, Row]:
        last = {c.symbol: self._archive.last_trade(c, self._name(c), now) for c in found}
        return {symbol: trade_row(trade) for symbol, trade in last.items() if trade is not None}

    def _latest_quotes(self, found: list[Contract], now: int) -> dict[str, Row]:
        last = {c.symbol: self._archive.quote(c, self._name(c), now) for c in found}
        return {symbol: quote_row(shown[0], shown[2]) for symbol, shown in last.items() if shown is not None}

    async def _snapshots(self, request: web.Request, now: int, found: list[Contract]) -> web.Response:
        asked = request[ASKED]
        page, token = page_of(found, asked["limit"], read_token(asked["page_token"]))
        shown = await self._run(self._snapshot_all, page, now, asked["updated_since"] or 0)
        return answer({"snapshots": shown, "next_page_token": token})

    def _snapshot_all(self, page: list[Contract], now: int, since: int) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for contract in page:
            name = self._name(contract)
            made = self._archive.quote(contract, name, now)
            if made is None or made[0] < since:
                continue
            at, spot, shown = made
            trade = self._archive.last_trade(contract, name, now)
            found[contract.symbol] = {
                **({"latestTrade": trade_row(trade)} if trade is not None else {}),
                "latestQuote": quote_row(at, shown),
                "impliedVolatility": round(options.volatility(contract, spot, at), 4),
                "greeks": options.greeks(contract, spot, at)._asdict(),
            }
        return found
