"""Market-data REST: history with pages, latest and snapshots of stocks, answered by the archive on a thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from aiohttp import web

from pyrt.venues.sim.market.archive import Archive, Ask
from pyrt.venues.sim.market.rows import parse_timeframe, parse_token
from pyrt.venues.sim.server.edge import BadRequest, answer, problem
from pyrt.venues.sim.server.floor import Floor
from pyrt.venues.sim.times import new_york_midnight, parse_time

KINDS = "bars|trades|quotes"
_ONE = {"bars": "bar", "trades": "trade", "quotes": "quote"}

P = ParamSpec("P")
R = TypeVar("R")


class DataRest:
    """The handlers of /v2/stocks."""

    def __init__(self, floor: Floor, archive: Archive) -> None:
        self._floor = floor
        self._archive = archive
        # One thread: the archive's caches are not made for two, and the loop must go on while a page is made.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pyrt-sim-archive")

    def routes(self) -> list[web.RouteDef]:
        """Every path, the most special first."""
        return [
            web.get("/v2/stocks/snapshots", self.snapshots, allow_head=False),
            web.get(f"/v2/stocks/{{kind:{KINDS}}}/latest", self.latest, allow_head=False),
            web.get(f"/v2/stocks/{{kind:{KINDS}}}", self.history, allow_head=False),
            web.get("/v2/stocks/{symbol}/snapshot", self.snapshot, allow_head=False),
            web.get(f"/v2/stocks/{{symbol}}/{{kind:{KINDS}}}/latest", self.latest_one, allow_head=False),
            web.get(f"/v2/stocks/{{symbol}}/{{kind:{KINDS}}}", self.history_one, allow_head=False),
        ]

    async def close(self, app: web.Application) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def history(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{bars,trades,quotes}."""
        ask = _ask(request, _symbols(request), self._floor.catch_up())
        rows, token = await self._there(self._archive.page, ask)
        return answer({ask.kind: rows, "next_page_token": token})

    async def history_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/{bars,trades,quotes}."""
        symbol = request.match_info["symbol"].upper()
        ask = _ask(request, [symbol], self._floor.catch_up())
        rows, token = await self._there(self._archive.page, ask)
        return answer({ask.kind: rows.get(symbol), "symbol": symbol, "next_page_token": token})

    async def latest(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{bars,trades,quotes}/latest."""
        kind, now = request.match_info["kind"], self._floor.catch_up()
        found = {symbol: await self._there(self._archive.latest, kind, symbol, now) for symbol in _symbols(request)}
        return answer({kind: {symbol: row for symbol, row in found.items() if row is not None}})

    async def latest_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/{bars,trades,quotes}/latest."""
        kind, symbol = request.match_info["kind"], request.match_info["symbol"].upper()
        row = await self._there(self._archive.latest, kind, symbol, self._floor.catch_up())
        if row is None:
            return problem(404, None, f"no {_ONE[kind]} found for {symbol}")
        return answer({"symbol": symbol, _ONE[kind]: row})

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/snapshots."""
        now = self._floor.catch_up()
        found = {symbol: await self._there(self._archive.snapshot, symbol, now) for symbol in _symbols(request)}
        return answer({symbol: snapshot for symbol, snapshot in found.items() if snapshot is not None})

    async def snapshot(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/snapshot."""
        symbol = request.match_info["symbol"].upper()
        snapshot = await self._there(self._archive.snapshot, symbol, self._floor.catch_up())
        if snapshot is None:
            return problem(404, None, f"no snapshot found for {symbol}")
        return answer({"symbol": symbol, **snapshot})

    async def _there(self, work: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **options))


def _ask(request: web.Request, symbols: list[str], now: int) -> Ask:
    query: Any = request.query
    kind = request.match_info["kind"]
    limit, order = query.get("limit") or "1000", query.get("sort") or "asc"
    if not (limit.isascii() and limit.isdigit() and len(limit) < 6 and 1 <= int(limit) <= 10_000):
        raise BadRequest("invalid limit: it must be from 1 to 10000")
    if order not in ("asc", "desc"):
        raise BadRequest("invalid sort: it must be asc or desc")
    try:
        start = parse_time(query["start"]) if query.get("start") else new_york_midnight(now)
        end = parse_time(query["end"]) if query.get("end") else now
        if end < start and query.get("start") and query.get("end"):
            raise ValueError("end should not be before start")
        return Ask(
            kind=kind,
            symbols=symbols,
            start=start,
            end=min(end, now),
            now=now,
            limit=int(limit),
            descending=order == "desc",
            token=parse_token(query["page_token"]) if query.get("page_token") else None,
            timeframe=parse_timeframe(query.get("timeframe", "")) if kind == "bars" else None,
        )
    except ValueError as e:
        raise BadRequest(str(e)) from None


def _symbols(request: web.Request) -> list[str]:
    symbols = {s.strip().upper() for s in request.query.get("symbols", "").split(",") if s.strip()}
    if not symbols:
        raise BadRequest("symbols is required")
    return sorted(symbols)
