"""Market-data REST: history with pages, latest and snapshots of stocks. Nothing after the venue's present is shown."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from aiohttp import web

from pyrt._core.types import bar_dtype
from pyrt.clock import DAY, MINUTE
from pyrt.model import Instrument
from pyrt.venues.sim.edge import BadRequest, answer, problem
from pyrt.venues.sim.floor import Floor
from pyrt.venues.sim.rows import ROWS, Records, Row, Timeframe, Token, group_bars, parse_timeframe, parse_token
from pyrt.venues.sim.times import new_york_midnight, parse_time

KINDS = "bars|trades|quotes"
SPAN = 900_000_000_000  # ns of trades or quotes made at once while a page is filled
_ONE = {"bars": "bar", "trades": "trade", "quotes": "quote"}


class Ask:
    """The parameters of a history request. Raises BadRequest."""

    def __init__(self, request: web.Request, kind: str, symbols: list[str], now: int) -> None:
        query = request.query
        try:
            self.start = parse_time(query["start"]) if query.get("start") else new_york_midnight(now)
            self.end = min(parse_time(query["end"]) if query.get("end") else now, now)
            self.token = parse_token(query["page_token"]) if query.get("page_token") else None
            self.timeframe = parse_timeframe(query.get("timeframe", "")) if kind == "bars" else None
        except ValueError as e:
            raise BadRequest(str(e)) from None
        if query.get("start") and query.get("end") and parse_time(query["start"]) > parse_time(query["end"]):
            raise BadRequest("end should not be before start")
        limit = query.get("limit") or "1000"
        if not (limit.isascii() and limit.isdigit() and len(limit) < 6 and 1 <= int(limit) <= 10_000):
            raise BadRequest("invalid limit: it must be from 1 to 10000")
        self.limit = int(limit)
        order = query.get("sort") or "asc"
        if order not in ("asc", "desc"):
            raise BadRequest("invalid sort: it must be asc or desc")
        self.descending = order == "desc"
        self.symbols = sorted(set(symbols))


class DataRest:
    """The handlers of /v2/stocks."""

    def __init__(self, floor: Floor, instruments: Iterable[Instrument]) -> None:
        self._floor = floor
        self._market = floor.market
        self._instruments = {i.symbol: i for i in instruments}

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

    async def history(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{bars,trades,quotes}."""
        kind = request.match_info["kind"]
        rows, token = self._page(kind, Ask(request, kind, _symbols(request), self._floor.catch_up()))
        return answer({kind: rows, "next_page_token": token})

    async def history_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/{bars,trades,quotes}."""
        kind, symbol = request.match_info["kind"], request.match_info["symbol"].upper()
        rows, token = self._page(kind, Ask(request, kind, [symbol], self._floor.catch_up()))
        return answer({kind: rows.get(symbol), "symbol": symbol, "next_page_token": token})

    async def latest(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{bars,trades,quotes}/latest."""
        kind = request.match_info["kind"]
        self._floor.catch_up()
        found = {symbol: self._latest(kind, symbol) for symbol in sorted(set(_symbols(request)))}
        return answer({kind: {symbol: row for symbol, row in found.items() if row is not None}})

    async def latest_one(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/{bars,trades,quotes}/latest."""
        kind, symbol = request.match_info["kind"], request.match_info["symbol"].upper()
        self._floor.catch_up()
        row = self._latest(kind, symbol)
        if row is None:
            return problem(404, None, f"no {_ONE[kind]} found for {symbol}")
        return answer({"symbol": symbol, _ONE[kind]: row})

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/snapshots."""
        self._floor.catch_up()
        return answer({s: self._snapshot(s) for s in sorted(set(_symbols(request))) if s in self._instruments})

    async def snapshot(self, request: web.Request) -> web.Response:
        """GET /v2/stocks/{symbol}/snapshot."""
        symbol = request.match_info["symbol"].upper()
        self._floor.catch_up()
        if symbol not in self._instruments:
            return problem(404, None, f"no snapshot found for {symbol}")
        return answer({"symbol": symbol} | self._snapshot(symbol))

    # ------------------------------------------------------------------------------------------------ pages
    def _page(self, kind: str, ask: Ask) -> tuple[dict[str, list[Row]], str | None]:
        page: dict[str, list[Row]] = {}
        left = ask.limit
        for symbol in ask.symbols:
            instrument = self._instruments.get(symbol)
            if instrument is None or (ask.token and symbol < ask.token.symbol):
                continue
            token = ask.token if ask.token and ask.token.symbol == symbol else None
            records = self._records(kind, instrument, ask, token, left + 1)
            if not len(records):
                continue
            if left == 0:  # the page is full and there is more
                return page, Token(symbol, ask.start if not ask.descending else ask.end, 0).text()
            if len(records) > left:
                page[symbol] = self._rows(kind, instrument, records[:left])
                return page, self._next(kind, symbol, records, left, token)
            page[symbol] = self._rows(kind, instrument, records)
            left -= len(records)
        return page, None

    def _next(self, kind: str, symbol: str, records: Records, left: int, token: Token | None) -> str:
        times = records["start" if kind == "bars" else "ts_event"]
        last = int(times[left - 1])
        served = int(np.count_nonzero(times[:left] == last))
        if token and token.ts == last:
            served += token.served
        return Token(symbol, last, served).text()

    def _records(self, kind: str, instrument: Instrument, ask: Ask, token: Token | None, wanted: int) -> Records:
        # The first `wanted` records from the token on, in the order asked for, made span by span: a day of quotes is large.
        start, end = ask.start, ask.end
        if token and ask.descending:
            end = min(end, token.ts)
        elif token:
            start = max(start, token.ts)
        skip = token.served if token else 0
        if kind == "bars":
            assert ask.timeframe is not None
            return _ordered(self._bars(instrument, start, end, ask.timeframe), ask.descending)[skip : skip + wanted]
        parts: list[Records] = []
        have = 0
        reach = self._market.history_trades if kind == "trades" else self._market.history_quotes
        while start <= end and have < wanted + skip:
            first = max(start, end - SPAN + 1) if ask.descending else start
            last = end if ask.descending else min(end, start + SPAN - 1)
            part = _ordered(reach(instrument.symbol, first, last), ask.descending)
            parts.append(part)
            have += len(part)
            if ask.descending:
                end = first - 1
            else:
                start = last + 1
        return np.concatenate(parts)[skip : skip + wanted] if parts else np.empty(0, dtype=bar_dtype)

    def _bars(self, instrument: Instrument, start: int, end: int, timeframe: Timeframe) -> Records:
        if timeframe.is_grouped:
            whole = self._market.history_bars(instrument.symbol, timeframe.start_of(start), end, timeframe.base)
            bars = group_bars(whole, timeframe)
            return bars[bars["start"] >= start]
        bars = self._market.history_bars(instrument.symbol, start, end, timeframe.base)
        return bars[(bars["start"] >= start) & (bars["start"] <= end)]

    # ------------------------------------------------------------------------------------------------ latest
    def _latest(self, kind: str, symbol: str) -> Row | None:
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return None
        if kind == "bars":
            return self._last_bar(instrument, MINUTE, DAY)
        seen = (self._floor.last_trade if kind == "trades" else self._floor.last_quote).get(instrument.id)
        if seen is None:
            now = self._floor.now
            reach = self._market.history_trades if kind == "trades" else self._market.history_quotes
            spans = (SPAN, DAY, 5 * DAY)
            seen = next((found[-1:] for span in spans if len(found := reach(symbol, now - span, now))), None)
        return None if seen is None else self._rows(kind, instrument, seen)[0]

    def _snapshot(self, symbol: str) -> dict[str, Any]:
        instrument = self._instruments[symbol]
        today = new_york_midnight(self._floor.now)
        days = self._bars(instrument, today - 5 * DAY, self._floor.now, Timeframe(1, "D"))
        rows = self._rows("bars", instrument, days)
        return {
            "latestTrade": self._latest("trades", symbol),
            "latestQuote": self._latest("quotes", symbol),
            "minuteBar": self._latest("bars", symbol),
            "dailyBar": rows[-1] if rows else None,
            "prevDailyBar": rows[-2] if len(rows) > 1 else None,
        }

    def _last_bar(self, instrument: Instrument, interval: int, back: int) -> Row | None:
        now = self._floor.now
        for span in (10 * interval, back, 5 * back):
            bars = self._market.history_bars(instrument.symbol, now - span, now, interval)
            if len(bars):
                return self._rows("bars", instrument, bars[-1:])[0]
        return None

    def _rows(self, kind: str, instrument: Instrument, records: Records) -> list[Row]:
        return ROWS[kind](records, 10.0**instrument.qty_exp)


def _ordered(records: Records, descending: bool) -> Records:
    return records[::-1].copy() if descending else records


def _symbols(request: web.Request) -> list[str]:
    symbols = [s.strip().upper() for s in request.query.get("symbols", "").split(",") if s.strip()]
    if not symbols:
        raise BadRequest("symbols is required")
    return symbols
