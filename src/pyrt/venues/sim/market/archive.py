"""The market's past as pages, latest values and snapshots; nothing after the venue's present. One thread at a time."""

from collections.abc import Callable, Iterable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from pyrt._core.types import Side, bar_dtype, delta_dtype, market_dtype, quote_dtype
from pyrt.calendar import NEW_YORK
from pyrt.clock import DAY, MINUTE
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.market.corrections import mark
from pyrt.venues.sim.market.market import Market
from pyrt.venues.sim.market.rows import HOUR, PAIR_ROWS, ROWS, Records, Row, Timeframe, Token, group_bars, size
from pyrt.venues.sim.times import CHICAGO, day_start, format_time

SPAN = 5 * MINUTE  # of trades or quotes made at once while a page is filled
LATEST_SPANS = (MINUTE, HOUR, DAY, 5 * DAY)  # how far back the latest is looked for, step by step


DAYS_BACK = (1, 2, 4)  # that are searched for the day before: it may be a weekend ago


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A question for history; times ns UTC, both ends included."""

    kind: str  # "bars", "trades", "quotes"
    symbols: list[str]  # sorted
    start: int
    end: int  # not after `now`
    now: int
    limit: int
    descending: bool = False
    token: Token | None = None
    timeframe: Timeframe | None = None  # for bars
    adjustment: str = "raw"


Adjust = Callable[[Records, str, str], Records]


def _as_traded(bars: Records, symbol: str, adjustment: str) -> Records:
    return bars


class Archive:
    """Answers from a market of its own, so that the one that runs is never touched."""

    def __init__(self, market: Market, instruments: Iterable[Instrument], adjust: Adjust = _as_traded) -> None:
        self._market = market
        self.adjust = adjust  # bars of a symbol as `adjustment` (raw, split, dividend, all) wants them
        self._instruments = {i.symbol: i for i in instruments}

    def symbols(self, asset_class: AssetClass) -> dict[str, Instrument]:
        """The instruments of a class by symbol."""
        return {s: i for s, i in self._instruments.items() if i.asset_class == asset_class}

    def trades(self, symbol: str, start: int, end: int) -> Records:
        """The prints of a symbol as they were told: market_dtype."""
        return self._market.history_trades(symbol, start, end)

    def today(self, symbol: str, now: int) -> tuple[Row | None, float]:
        """The day so far, and the last price of the day before; 0 where there was none."""
        instrument = self._instruments[symbol]
        midnight = day_start(now, _zone(instrument))
        days = self._rows("bars", instrument, self._bars(instrument, midnight, now, Timeframe(1, "D"), now))
        before = self.latest("trades", symbol, midnight - 1)
        return (days[-1] if days else None), (before["p"] if before else 0.0)

    def page(self, ask: Ask) -> tuple[dict[str, list[Row]], str | None]:
        """The rows of one page by symbol, and the token of the next page or None."""
        page: dict[str, list[Row]] = {}
        left = ask.limit
        for symbol in ask.symbols:
            instrument = self._instruments.get(symbol)
            if instrument is None or (ask.token and symbol < ask.token.symbol):
                continue
            token = ask.token if ask.token and ask.token.symbol == symbol else None
            records = self._records(instrument, ask, token, left + 1)
            if not len(records):
                continue
            if left == 0:  # the page is full and there is more
                return page, Token(symbol, ask.end if ask.descending else ask.start, 0, ask.now).text()
            page[symbol] = self._marked(ask, instrument, records[:left])
            if len(records) > left:
                return page, _next(ask, symbol, records, left, token)
            left -= len(records)
        return page, None

    def latest(self, kind: str, symbol: str, now: int) -> Row | None:
        """The last trade or quote, or the last minute that is over; None where there is none."""
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return None
        for span in LATEST_SPANS:
            if kind == "bars":
                found = self._market.history_bars(symbol, now - MINUTE - span, now - MINUTE, MINUTE, now)
            else:
                found = self._history(kind, symbol, now - span, now)
            if len(found):
                return self._rows(kind, instrument, found[-1:])[0]
        return self._top(instrument, now) if kind == "quotes" else None

    def orderbook(self, symbol: str, now: int) -> dict[str, Any] | None:
        """The whole book of a pair, best levels first; None where there is none."""
        instrument = self._instruments.get(symbol)
        levels = self._market.book(symbol, now).view(delta_dtype)[1:]
        if instrument is None or not len(levels):
            return None
        scale = 10.0**instrument.qty_exp

        def side(which: Side) -> list[dict[str, float]]:
            own = levels[levels["side"] == int(which)]
            return [{"p": px / 1e9, "s": size(qty, scale)} for px, qty in zip(own["px"].tolist(), own["qty"].tolist(), strict=True)]

        return {"t": format_time(int(levels["ts_event"][0])), "b": side(Side.BUY), "a": side(Side.SELL)}

    def _top(self, instrument: Instrument, now: int) -> Row | None:
        """The top of the book of a pair that is told by its book alone."""
        levels = self._market.book(instrument.symbol, now).view(delta_dtype)[1:]
        bids, asks = (levels[levels["side"] == int(side)][:1] for side in (Side.BUY, Side.SELL))
        if not len(bids) or not len(asks):
            return None
        quote = np.zeros(1, dtype=quote_dtype)
        quote["ts_event"] = bids["ts_event"]
        quote["bid_px"], quote["bid_qty"], quote["ask_px"], quote["ask_qty"] = bids["px"], bids["qty"], asks["px"], asks["qty"]
        return self._rows("quotes", instrument, quote.view(market_dtype))[0]

    def snapshot(self, symbol: str, now: int) -> dict[str, Any] | None:
        """The latest of everything, today and the day before; None for an unknown symbol."""
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return None
        rows: list[Row] = []
        for back in DAYS_BACK:
            if len(rows) > 1:
                break
            begin = day_start(now, _zone(instrument), -back)
            rows = self._rows("bars", instrument, self._bars(instrument, begin, now, Timeframe(1, "D"), now))
        return {
            "latestTrade": self.latest("trades", symbol, now),
            "latestQuote": self.latest("quotes", symbol, now),
            "minuteBar": self.latest("bars", symbol, now),
            "dailyBar": rows[-1] if rows else None,
            "prevDailyBar": rows[-2] if len(rows) > 1 else None,
        }

    def _records(self, instrument: Instrument, ask: Ask, token: Token | None, wanted: int) -> Records:
        start, end = ask.start, ask.end
        if token and ask.descending:
            end = min(end, token.ts)
        elif token:
            start = max(start, token.ts)
        skip = token.served if token else 0
        if ask.timeframe is not None and ask.timeframe.interval:
            bars = self._some_bars(instrument.symbol, (start, end), ask, ask.timeframe.interval, wanted + skip)
            found = _ordered(self.adjust(bars, instrument.symbol, ask.adjustment), ask.descending)
        elif ask.timeframe is not None:
            found = _ordered(self._bars(instrument, start, end, ask.timeframe, ask.now, ask.adjustment), ask.descending)
        else:
            found = self._ticks(ask.kind, instrument.symbol, start, end, ask.descending, wanted + skip, ask.now)
        return found[skip : skip + wanted]

    def _marked(self, ask: Ask, instrument: Instrument, records: Records) -> list[Row]:
        rows = self._rows(ask.kind, instrument, records)
        if ask.kind == "trades" and len(rows):
            times = records["ts_event"]
            late = self._market.history_corrections(instrument.symbol, int(times.min()), int(times.max()))
            marks = mark(records[:0], late[late["ts_event"] <= ask.now])[1]
            for row in rows if marks else ():
                if row["i"] in marks:
                    row["u"] = marks[row["i"]]
        return rows

    def _ticks(self, kind: str, symbol: str, start: int, end: int, descending: bool, wanted: int, now: int) -> Records:
        # Span by span until there is enough: a day of quotes is large. Where there is nothing the spans grow.
        parts: list[Records] = [np.empty(0, dtype=market_dtype)]
        have, span, start = 0, SPAN, max(start, self._market.oldest)
        while start <= end and have < wanted:
            first = max(start, end - span + 1) if descending else start
            last = end if descending else min(end, start + span - 1)
            part = self._history(kind, symbol, first, last)
            if kind == "trades":
                late = self._market.history_corrections(symbol, first, last)
                part = mark(part, late[late["ts_event"] <= now])[0] if len(late) else part
            parts.append(_ordered(part, descending))
            have += len(part)
            span = SPAN if len(part) else min(span * 2, DAY)
            if descending:
                end = first - 1
            else:
                start = last + 1
        return np.concatenate(parts)

    def _some_bars(self, symbol: str, span: tuple[int, int], ask: Ask, interval: int, wanted: int) -> Records:
        """Bars of minutes or hours that are over, in time order: at least the `wanted` ones that come first."""
        start, end = max(span[0], self._market.oldest), min(span[1], ask.now - interval)
        parts: list[Records] = [np.empty(0, dtype=bar_dtype)]
        have, reach = 0, wanted * interval
        while start <= end and have < wanted:
            first = max(start, end - reach + 1) if ask.descending else start
            last = end if ask.descending else min(end, start + reach - 1)
            part = self._market.history_bars(symbol, first, last, interval, ask.now)
            parts.insert(0 if ask.descending else len(parts), part)
            have += len(part)
            reach *= 2
            if ask.descending:
                end = first - 1
            else:
                start = last + 1
        return np.concatenate(parts)

    def _bars(
        self, instrument: Instrument, start: int, end: int, timeframe: Timeframe, now: int, adjustment: str = "raw"
    ) -> Records:
        """Bars of days and more; the present one as far as it has come."""
        # Adjusted before they are grouped: a day may be of two kinds of shares.
        past, symbol = self._market.history_bars, instrument.symbol
        zone = _zone(instrument)
        begin, this_hour = timeframe.start_of(start, zone), now // HOUR * HOUR
        hours = past(symbol, begin, this_hour - 1, HOUR, now)
        minutes = past(symbol, max(this_hour, begin), now - MINUTE, MINUTE, now)
        bars = group_bars(self.adjust(np.concatenate([hours, minutes]), symbol, adjustment), timeframe, zone)
        found: Records = bars[(bars["start"] >= start) & (bars["start"] <= end)]
        return found

    def _history(self, kind: str, symbol: str, start: int, end: int) -> Records:
        reach = self._market.history_trades if kind == "trades" else self._market.history_quotes
        return reach(symbol, start, end)

    def _rows(self, kind: str, instrument: Instrument, records: Records) -> list[Row]:
        rows = PAIR_ROWS if instrument.asset_class == AssetClass.CRYPTO else ROWS
        return rows[kind](records, 10.0**instrument.qty_exp)


def _zone(instrument: Instrument) -> ZoneInfo:
    """Whose midnight begins a day of an instrument."""
    return CHICAGO if instrument.asset_class == AssetClass.CRYPTO else NEW_YORK


def last_seen(market: Market, now: int) -> Records:
    """The last trade and quote of every instrument at `now`, and the book of a pair, in time order: market_dtype."""
    reaches = (market.history_trades, market.history_quotes)
    rows: list[Records] = [np.empty(0, dtype=market_dtype)]
    for instrument in market.instruments:
        rows += [reach(instrument.symbol, now - MINUTE, now)[-1:] for reach in reaches]
        rows.append(market.book(instrument.symbol, now))
    seen = np.concatenate(rows)
    return seen[np.argsort(seen["ts_event"], kind="stable")]


def this_minute(market: Market, now: int) -> Records:
    """The trades of every instrument in the minute of `now`, up to it, and the books of pairs: market_dtype."""
    begin = now // MINUTE * MINUTE
    trades = [market.history_trades(i.symbol, begin, now - 1) for i in market.instruments]
    return np.concatenate([*trades, *(market.book(i.symbol, now - 1) for i in market.instruments)])


def _next(ask: Ask, symbol: str, records: Records, left: int, token: Token | None) -> str:
    times = records["start" if ask.kind == "bars" else "ts_event"]
    last = int(times[left - 1])
    served = int(np.count_nonzero(times[:left] == last))
    if token and token.ts == last:
        served += token.served
    return Token(symbol, last, served, ask.now).text()


def _ordered(records: Records, descending: bool) -> Records:
    return records[::-1].copy() if descending else records
