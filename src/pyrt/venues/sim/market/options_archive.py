"""The past of option contracts: prints, bars and the latest quote, made again from the underlying's past."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pyrt._core.types import NO_PRICE, quote_dtype
from pyrt.clock import DAY, MINUTE, SECOND
from pyrt.venues.sim.market import options
from pyrt.venues.sim.market.market import Market
from pyrt.venues.sim.market.options import GRID, Contract, Print, Quote
from pyrt.venues.sim.market.rows import Timeframe
from pyrt.venues.sim.times import format_time

Row = dict[str, Any]
EXCHANGE = "C"  # Cboe: where all contracts trade
TRADE_CONDITION = "I"  # electronic
QUOTE_CONDITION = "A"  # electronic
REACH = DAY  # how far back a last print is looked for
NEAR = (10 * SECOND, MINUTE, 10 * MINUTE, 5 * DAY)  # how far back the underlying's quote is looked for, step by step


class Trade(NamedTuple):
    """A print and its price, px units."""

    at: int
    px: int
    qty: int


class OptionArchive:
    """Answers from a market of its own; one thread at a time. `is_open`: whether contracts trade at an instant."""

    def __init__(self, market: Market, is_open: Callable[[int], bool], begin: int) -> None:
        self._market = market
        self._is_open = is_open
        self._begin = begin  # ns UTC: nothing is made before it
        self._spots: dict[tuple[str, int], int] = {}

    def spot(self, symbol: str, at: int) -> int:
        """The mid of the underlying's last quote before `at`; px units, 0 = none."""
        key = (symbol, at)
        if key not in self._spots:
            if len(self._spots) > 100_000:
                self._spots.clear()
            self._spots[key] = self._find(symbol, at)
        return self._spots[key]

    def _find(self, symbol: str, at: int) -> int:
        for reach in NEAR:
            rows = self._market.history_quotes(symbol, at - reach, at - 1).view(quote_dtype)
            if len(rows):
                bid, ask = int(rows["bid_px"][-1]), int(rows["ask_px"][-1])
                return (bid + ask) // 2 if bid != NO_PRICE and ask != NO_PRICE else 0
        return 0

    def quote(self, contract: Contract, symbol: str, now: int) -> tuple[int, int, Quote] | None:
        """When it was made, of what price of the underlying, and the quote; None without a price or after the expiry."""
        at = min(now, contract.expires) // GRID * GRID
        spot = self.spot(symbol, at)
        return (at, spot, options.quote(contract, spot, at)) if spot else None

    def trades(self, contract: Contract, symbol: str, start: int, end: int) -> Iterator[Trade]:
        """The prints of a span, both ends included, in time order."""
        for found in options.prints(contract, max(start, self._begin), end):
            priced = self._priced(contract, symbol, found)
            if priced is not None:
                yield priced

    def _priced(self, contract: Contract, symbol: str, found: Print) -> Trade | None:
        spot = self.spot(symbol, found.at) if self._is_open(found.at) else 0
        if not spot:
            return None
        shown = options.quote(contract, spot, found.at)
        px = shown.ask if found.lifts else shown.bid
        return Trade(found.at, px, found.qty) if px else None

    def last_trade(self, contract: Contract, symbol: str, now: int) -> Trade | None:
        """The last print up to `now`, None where a day had none."""
        last = min(now, contract.expires)
        for minute in range(last // MINUTE, max(last - REACH, self._begin) // MINUTE - 1, -1):
            found = options.print_in(contract, minute)
            if found is not None and self._begin <= found.at <= last:
                priced = self._priced(contract, symbol, found)
                if priced is not None:
                    return priced
        return None

    def bars(self, contract: Contract, symbol: str, start: int, end: int, timeframe: Timeframe, now: int) -> list[Row]:
        """Bars that begin in the span; of minutes and hours those that are over, the present day as far as it has come."""
        interval = timeframe.interval
        begin = start // interval * interval if interval else timeframe.start_of(start)
        begin += interval if interval and begin < start else 0
        last = min(end // interval * interval + interval - 1, now // interval * interval - 1) if interval else now
        groups: dict[int, list[Trade]] = {}
        for trade in self.trades(contract, symbol, begin, last):
            label = trade.at // interval * interval if interval else timeframe.start_of(trade.at)
            if start <= label <= end:
                groups.setdefault(label, []).append(trade)
        return [_bar(label, group) for label, group in groups.items()]


def _bar(start: int, trades: list[Trade]) -> Row:
    volume = sum(trade.qty for trade in trades)
    return {
        "t": format_time(start),
        "o": trades[0].px / 1e9,
        "h": max(trade.px for trade in trades) / 1e9,
        "l": min(trade.px for trade in trades) / 1e9,
        "c": trades[-1].px / 1e9,
        "v": volume,
        "n": len(trades),
        "vw": round(sum(trade.px * trade.qty for trade in trades) / volume / 1e9, 6),
    }


def trade_row(trade: Trade) -> Row:
    """A trade as the data host shows it."""
    return {"t": format_time(trade.at), "x": EXCHANGE, "p": trade.px / 1e9, "s": trade.qty, "c": TRADE_CONDITION}


def quote_row(at: int, shown: Quote) -> Row:
    """A quote as the data host shows it."""
    return {
        "t": format_time(at),
        "ax": EXCHANGE,
        "ap": shown.ask / 1e9,
        "as": shown.ask_qty,
        "bx": EXCHANGE,
        "bp": shown.bid / 1e9,
        "bs": shown.bid_qty,
        "c": QUOTE_CONDITION,
    }
