"""What moves and what trades most today, from the archive; and the news, of which there are none."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from pyrt.model import AssetClass
from pyrt.venues.sim.market.archive import Archive
from pyrt.venues.sim.server.archive_thread import ArchiveThread
from pyrt.venues.sim.server.data_query import read_limit
from pyrt.venues.sim.server.edge import BadRequest, answer, problem
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.times import format_time

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_CLASSES = {"stocks": AssetClass.US_EQUITY, "crypto": AssetClass.CRYPTO}


class ScreenerRest:
    """The handlers of /v1beta1/screener and /v1beta1/news."""

    def __init__(self, floor: Floor, archive: Archive, thread: ArchiveThread, news_stream: Handler) -> None:
        self._floor = floor
        self._archive = archive
        self._there = thread.run
        self._news_stream = news_stream

    def routes(self) -> list[web.RouteDef]:
        """Every path."""
        base = "/v1beta1/screener"
        return [
            web.get(f"{base}/stocks/most-actives", self.most_actives, allow_head=False),
            web.get(f"{base}/{{market:stocks|crypto}}/movers", self.movers, allow_head=False),
            web.get("/v1beta1/news", self.news, allow_head=False),
        ]

    async def most_actives(self, request: web.Request) -> web.Response:
        """GET /v1beta1/screener/stocks/most-actives?by=volume|trades&top=10."""
        by, top = request.query.get("by") or "volume", read_limit(request.query, "top", 10, 100)
        if by not in ("volume", "trades"):
            raise BadRequest(f"invalid by: {by}")
        now = self._floor.catch_up()
        rows = [
            {"symbol": symbol, "volume": day["v"], "trade_count": day["n"]}
            for symbol, day, _ in await self._there(self._days, AssetClass.US_EQUITY, now)
        ]
        rows.sort(key=lambda row: (-row["volume" if by == "volume" else "trade_count"], row["symbol"]))
        return answer({"most_actives": rows[:top], "last_updated": format_time(now)})

    async def movers(self, request: web.Request) -> web.Response:
        """GET /v1beta1/screener/{stocks|crypto}/movers?top=10."""
        market, top = request.match_info["market"], read_limit(request.query, "top", 10, 50)
        now = self._floor.catch_up()
        rows = []
        for symbol, day, before in await self._there(self._days, _CLASSES[market], now):
            if before:
                change = round(day["c"] - before, 9)
                percent = round(100 * change / before, 2)
                rows.append({"symbol": symbol, "percent_change": percent, "change": change, "price": day["c"]})
        rows.sort(key=lambda row: (-row["percent_change"], row["symbol"]))
        gainers = [row for row in rows if row["change"] > 0][:top]
        losers = [row for row in reversed(rows) if row["change"] < 0][:top]
        return answer({"gainers": gainers, "losers": losers, "market_type": market, "last_updated": format_time(now)})

    async def news(self, request: web.Request) -> web.StreamResponse:
        """GET /v1beta1/news; its stream has the same path."""
        if "Upgrade" in request.headers:
            return await self._news_stream(request)
        return problem(404, None, "this venue has no news: it has prices, orders and accounts alone")

    def _days(self, asset_class: AssetClass, now: int) -> list[tuple[str, dict[str, Any], float]]:
        """Symbol, the day so far, and the last price of the day before; symbols that did not trade today are left out."""
        found = []
        for symbol in self._archive.symbols(asset_class):
            day, before = self._archive.today(symbol, now)
            if day is not None:
                found.append((symbol, day, before))
        return found
