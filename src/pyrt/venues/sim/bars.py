"""Minute and daily bars of the stream, from the venue's own trades."""

from typing import Any

import numpy as np

from pyrt._core.types import Flag, RecordType, bar_dtype, trade_dtype
from pyrt.clock import MINUTE
from pyrt.venues.sim.floor import Records
from pyrt.venues.sim.times import new_york_midnight


class _Bar:
    __slots__ = ("close", "high", "low", "notional", "open", "start", "trades", "volume")

    def __init__(self, start: int, px: int) -> None:
        self.start = start
        self.open = self.high = self.low = self.close = px
        self.volume = self.trades = self.notional = 0

    def add(self, px: int, qty: int) -> None:
        self.high = max(self.high, px)
        self.low = min(self.low, px)
        self.close = px
        self.volume += qty
        self.trades += 1
        self.notional += px * qty


class MinuteBars:
    """Closes a minute when the venue's clock passes its end; with it comes the day so far."""

    def __init__(self) -> None:
        self._minutes: dict[int, _Bar] = {}
        self._days: dict[int, _Bar] = {}
        self._day = (0, 0)

    def take(self, records: Records, now: int) -> dict[str, Records]:
        """Count a batch; the bars that ended by `now`, by message type."""
        closed: list[tuple[int, int, int, _Bar]] = []
        daily: list[tuple[int, int, int, _Bar]] = []
        trades = records[(records["type"] == int(RecordType.TRADE)) & (records["flags"] & int(Flag.INELIGIBLE) == 0)].view(
            trade_dtype
        )
        columns = (trades["instrument"].tolist(), trades["ts_event"].tolist(), trades["px"].tolist(), trades["qty"].tolist())
        # Ineligible prints are left out whole: Alpaca's rule per field is the pipeline's business, not that of this feed.
        for instrument, ts, px, qty in zip(*columns, strict=True):
            start = ts - ts % MINUTE
            bar = self._minutes.get(instrument)
            if bar is None or bar.start != start:
                if bar is not None:
                    self._close(instrument, bar, closed, daily)
                bar = self._minutes[instrument] = _Bar(start, px)
            bar.add(px, qty)
        for instrument, bar in list(self._minutes.items()):
            if bar.start + MINUTE <= now:
                del self._minutes[instrument]
                self._close(instrument, bar, closed, daily)
        return {"b": _table(closed), "d": _table(daily)} if closed else {}

    def _close(self, instrument: int, bar: _Bar, closed: list[Any], daily: list[Any]) -> None:
        closed.append((instrument, bar.start + MINUTE, MINUTE, bar))
        if not self._day[0] <= bar.start < self._day[1]:
            self._day = (new_york_midnight(bar.start), new_york_midnight(bar.start, 1))
            self._days.clear()
        day = self._days.get(instrument)
        if day is None:
            day = self._days[instrument] = _Bar(self._day[0], bar.open)
        day.high, day.low, day.close = max(day.high, bar.high), min(day.low, bar.low), bar.close
        day.volume += bar.volume
        day.trades += bar.trades
        day.notional += bar.notional
        daily.append((instrument, bar.start + MINUTE, self._day[1] - self._day[0], day))


def _table(rows: list[tuple[int, int, int, _Bar]]) -> Records:
    table: Records = np.zeros(len(rows), dtype=bar_dtype)
    for row, (instrument, end, interval, bar) in zip(table, rows, strict=True):
        row["type"], row["instrument"], row["ts_event"] = int(RecordType.BAR), instrument, end
        row["start"], row["interval"], row["trades"] = bar.start, interval, bar.trades
        row["open_px"], row["high_px"], row["low_px"], row["close_px"] = bar.open, bar.high, bar.low, bar.close
        row["volume"], row["notional_hi"], row["notional_lo"] = bar.volume, bar.notional >> 64, bar.notional & (1 << 64) - 1
    return table
