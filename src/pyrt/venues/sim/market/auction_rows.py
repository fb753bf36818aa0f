"""The opening and the closing of each session of the exchange, as history tells auctions."""

from datetime import date, datetime
from typing import Any

import numpy as np

from pyrt._core.types import Flag, trade_dtype
from pyrt.calendar import FIRST_YEAR, NEW_YORK, Calendar
from pyrt.clock import MINUTE, SECOND
from pyrt.venues.sim.market.archive import Archive, Ask
from pyrt.venues.sim.market.rows import EXCHANGE, Row, Token, letters, size
from pyrt.venues.sim.times import format_time

SEARCHED = 5 * MINUTE  # around the bell
_OPEN, _CLOSE = frozenset("QO"), frozenset("M6")  # conditions of the official prints


class AuctionRows:
    """Where the tape has official prints (conditions Q, O, M, 6) those are told, else a session's first and last trade."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._calendar = Calendar()

    def page(self, ask: Ask) -> tuple[dict[str, list[Row]], str | None]:
        """The days of one page by symbol, and the token of the next page or None."""
        page: dict[str, list[Row]] = {}
        left = ask.limit
        for symbol in ask.symbols:
            if ask.token and symbol < ask.token.symbol:
                continue
            rows = self._days(symbol, ask)
            if ask.token and ask.token.symbol == symbol:
                rows = rows[ask.token.served :]
            begin = ask.token.served if ask.token and ask.token.symbol == symbol else 0
            if rows[:left]:
                page[symbol] = rows[:left]
            if len(rows) > left:
                return page, Token(symbol, ask.start, begin + left, ask.now).text()
            left -= len(rows)
        return page, None

    def _days(self, symbol: str, ask: Ask) -> list[Row]:
        rows = []
        for session in self._calendar.sessions(max(_day(ask.start), date(FIRST_YEAR, 1, 1)), _day(ask.end)):
            row: dict[str, Any] = {"d": session.date.isoformat(), "o": [], "c": []}
            if ask.start <= session.open <= ask.end:
                row["o"] = self._prints(symbol, session.open, min(session.open + SEARCHED, ask.now), _OPEN, 0)
            if ask.start <= session.close <= ask.end:
                until = min(session.close + SEARCHED, ask.now)
                row["c"] = self._prints(symbol, session.close - SEARCHED, until, _CLOSE, session.close)
            if row["o"] or row["c"]:
                rows.append(row)
        return rows[::-1] if ask.descending else rows

    def _prints(self, symbol: str, start: int, end: int, official: frozenset[str], before: int) -> list[Row]:
        trades = self._archive.trades(symbol, start, end).view(trade_dtype)
        told = [row for row in trades if official.intersection(letters(int(row["conditions"])))]
        if not told:
            regular = trades[trades["flags"] & int(Flag.INELIGIBLE) == 0]
            told = list(regular[regular["ts_event"] < before][-1:] if before else regular[:1])
        return [self._row(row, "M" if before else "Q") for row in told]

    def _row(self, trade: np.void, condition: str) -> Row:
        conditions = [c for c in letters(int(trade["conditions"])) if c in _OPEN | _CLOSE]
        return {
            "t": format_time(int(trade["ts_event"])),
            "x": chr(trade["exchange"]) if trade["exchange"] else EXCHANGE,
            "p": int(trade["px"]) / 1e9,
            "s": size(int(trade["qty"]), 1e9),
            "c": conditions[0] if conditions else condition,
        }


def _day(ns: int) -> date:
    return datetime.fromtimestamp(ns // SECOND, NEW_YORK).date()
