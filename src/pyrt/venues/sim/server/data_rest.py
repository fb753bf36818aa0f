"""Market-data REST of shares: history with pages, latest, snapshots, auctions and codes, answered on a thread of its own."""

from aiohttp import web

from pyrt.model import AssetClass
from pyrt.venues.sim.market.archive import Archive, Ask
from pyrt.venues.sim.market.auction_rows import AuctionRows
from pyrt.venues.sim.market.codes import CONDITIONS, EXCHANGES
from pyrt.venues.sim.server.archive_thread import ArchiveThread
from pyrt.venues.sim.server.data_query import SILENT, Plan, read_ask, read_span, read_symbols
from pyrt.venues.sim.server.edge import BadRequest, answer, problem
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.times import new_york_midnight

KINDS = "bars|trades|quotes"
_ONE = {"bars": "bar", "trades": "trade", "quotes": "quote"}


class DataRest:
    """The handlers of /v2/stocks."""

    def __init__(self, floor: Floor, archive: Archive, thread: ArchiveThread, plan: Plan) -> None:
        self._floor = floor
        self._archive = archive
        self._auctions = AuctionRows(archive)
        self._there = thread.run
        self._plan = plan
        self._known = archive.symbols(AssetClass.US_EQUITY)

    def routes(self) -> list[web.RouteDef]:
        """Every path, the most special first."""
        paths = {
            "/v2/stocks/snapshots": self.snapshots,
            "/v2/stocks/auctions": self.auctions,
            "/v2/stocks/meta/exchanges": self.exchanges,
            "/v2/stocks/meta/conditions/{kind}": self.conditions,
            f"/v2/stocks/{{kind:{KINDS}}}/latest": self.latest,
            f"/v2/stocks/{{kind:{KINDS}}}": self.history,
            "/v2/stocks/{symbol}/snapshot": self.snapshot,
            "/v2/stocks/{symbol}/auctions": self.auctions_one,
            f"/v2/stocks/{{symbol}}/{{kind:{KINDS}}}/latest": self.latest_one,
            f"/v2/stocks/{{symbol}}/{{kind:{KINDS}}}": self.history_one,
        }
        return [web.get(path, handler, allow_head=False) for path, handler in paths.items()]

    def _ask(self, request: web.Request, kind: str, symbols: list[str]) -> Ask:
        """What is asked of history, within the plan."""
        now = self._floor.catch_up()
        feed = self._plan.feed(request.query)
        span = read_span(request.query, now, new_york_midnight(now))
        until = self._plan.until(feed, now, span[1])
        return read_ask(request.query, kind, [] if feed in SILENT else symbols, until, span)

    def _now(self, request: web.Request) -> int:
        """The instant of which the latest is asked: it is recent in any feed."""
        now = self._floor.catch_up()
        feed = self._plan.feed(request.query)
        until = self._plan.until(feed, now, now)
        return 0 if feed in SILENT else until

    def _symbol(self, request: web.Request) -> str:
        return request.match_info["symbol"].upper()

    async def history(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{bars,trades,quotes}."""
        ask = self._ask(request, request.match_info["kind"], read_symbols(request.query, self._known))
        rows, token = await self._there(self._archive.page, ask)
        return answer({ask.kind: rows, "next_page_token": token})

    async def history_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/{bars,trades,quotes}."""
        symbol = self._symbol(request)
        ask = self._ask(request, request.match_info["kind"], [symbol] if symbol in self._known else [])
        rows, token = await self._there(self._archive.page, ask)
        return answer({ask.kind: rows.get(symbol), "symbol": symbol, "next_page_token": token})

    async def latest(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{bars,trades,quotes}/latest."""
        kind, now = request.match_info["kind"], self._now(request)
        found = {s: await self._there(self._archive.latest, kind, s, now) for s in read_symbols(request.query, self._known)}
        return answer({kind: {symbol: row for symbol, row in found.items() if row is not None}})

    async def latest_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/{bars,trades,quotes}/latest."""
        kind, symbol, now = request.match_info["kind"], self._symbol(request), self._now(request)
        row = await self._there(self._archive.latest, kind, symbol, now) if symbol in self._known else None
        if row is None:
            return problem(404, None, f"no {_ONE[kind]} found for {symbol}")
        return answer({"symbol": symbol, _ONE[kind]: row})

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/snapshots."""
        now = self._now(request)
        found = {s: await self._there(self._archive.snapshot, s, now) for s in read_symbols(request.query, self._known)}
        return answer({symbol: snapshot for symbol, snapshot in found.items() if snapshot is not None})

    async def snapshot(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/snapshot."""
        symbol, now = self._symbol(request), self._now(request)
        snapshot = await self._there(self._archive.snapshot, symbol, now) if symbol in self._known else None
        if snapshot is None:
            return problem(404, None, f"no snapshot found for {symbol}")
        return answer({"symbol": symbol, **snapshot})

    async def auctions(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/auctions."""
        ask = self._ask(request, "auctions", read_symbols(request.query, self._known))
        rows, token = await self._there(self._auctions.page, ask)
        return answer({"auctions": rows, "next_page_token": token})

    async def auctions_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/auctions."""
        symbol = self._symbol(request)
        ask = self._ask(request, "auctions", [symbol] if symbol in self._known else [])
        rows, token = await self._there(self._auctions.page, ask)
        return answer({"auctions": rows.get(symbol), "symbol": symbol, "next_page_token": token})

    async def exchanges(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/meta/exchanges."""
        return answer(EXCHANGES)

    async def conditions(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/meta/conditions/{trade|quote}?tape=A."""
        kind, tape = request.match_info["kind"], request.query.get("tape", "")
        found = CONDITIONS.get((kind, tape.upper()))
        if found is None:
            raise BadRequest(f"invalid tape: {tape}" if kind in ("trade", "quote") else f"invalid tick type: {kind}")
        return answer(found)
