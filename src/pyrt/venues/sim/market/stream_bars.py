"""The bars of the stream: minutes when they are over, with each of them the day so far, and minutes again that were corrected."""

from collections.abc import Iterable
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from pyrt._core.bars import BarAggregator
from pyrt._core.types import RecordType, bar_dtype
from pyrt.calendar import NEW_YORK
from pyrt.clock import MINUTE, SECOND
from pyrt.model import AssetClass, Instrument
from pyrt.venues.sim.market.bars_of import merge_bars
from pyrt.venues.sim.times import day_start

Records = npt.NDArray[np.void]
AGAIN = 30 * SECOND  # after its end a corrected minute is told again
MINUTES_MAX = 16  # of a market that went on at once
_ALL = 2**62  # ns: one group
_TOLD = ["open_px", "high_px", "low_px", "close_px", "volume", "trades", "notional_lo", "notional_hi"]
_NONE: Records = np.zeros(0, dtype=bar_dtype)


class Past(Protocol):
    """What is asked of a market."""

    def history_bars(self, symbol: str, start: int, end: int, interval: int, now: int = ...) -> Records: ...


class StreamBars:
    """Minute bars of every instrument, closed when the venue's clock passes their end; `d` counts from the venue's start on.

    A minute in which a print was taken back or corrected, and that of a pair in which nothing traded, come from the market's past.
    """

    def __init__(self, instruments: Iterable[Instrument], past: Past, zone: ZoneInfo = NEW_YORK) -> None:
        instruments = list(instruments)
        self._past = past
        self._zone = zone  # whose midnight begins a day
        self._symbols = {i.id: i.symbol for i in instruments}
        self._pairs = [i.id for i in instruments if i.asset_class == AssetClass.CRYPTO]
        self._minutes = {i.id: BarAggregator([MINUTE], instrument=i.id) for i in instruments}
        self._corrected: dict[int, set[int]] = {}  # start of a minute: instruments
        self._days: dict[int, Records] = {}  # instrument: its day so far
        self._of_day: dict[int, dict[int, Records]] = {}  # instrument: the minutes in it, by their start
        self._day = (0, 0)
        self._due = 0
        self._closed = 0  # all minutes up to this instant are told

    def count(self, records: Records) -> None:
        """Take in the trades among some records: those of the minute in which the venue begins, from before it did."""
        trades = records[(records["type"] == int(RecordType.TRADE)) & (records["seq"] == 0)]
        for instrument in np.unique(trades["instrument"]).tolist():
            self._minutes[instrument].apply(trades[trades["instrument"] == instrument])

    def take(self, records: Records, now: int) -> dict[str, Records]:
        """Count a batch of at most 16 minutes; the bars that are due by `now`, by message type."""
        if len(records):
            self.count(records)
            late = records[records["type"] == int(RecordType.TRADE_CANCEL)]
            for told, instrument in late[["seq", "instrument"]].tolist():
                self._corrected.setdefault(told // MINUTE * MINUTE, set()).add(instrument)
        if now < self._due:
            return {}
        minute = now // MINUTE * MINUTE
        self._due = minute + AGAIN if now < minute + AGAIN else minute + MINUTE
        rows = [_NONE]
        for bars in self._minutes.values():
            bars.close(now)
            rows.append(bars.take())
        closed = self._whole(np.concatenate(rows), minute, now)
        days = self._so_far(closed)  # with what was corrected before
        return {"b": closed, "u": self._again(now), "d": days}

    def _whole(self, closed: Records, minute: int, now: int) -> Records:
        """Minutes with what was corrected in time, and those of pairs that did not trade."""
        hit = [int(bar["instrument"]) in self._corrected.get(int(bar["start"]), ()) for bar in closed]
        rows = [_NONE, closed[~np.array(hit, dtype=bool)]]
        rows += [self._from_past(int(bar["instrument"]), int(bar["start"]), now) for bar in closed[np.array(hit, dtype=bool)]]
        begin = max(self._closed or minute, minute - MINUTES_MAX * MINUTE)
        for start in range(begin, minute, MINUTE):
            traded = closed["instrument"][closed["start"] == start].tolist()
            rows += [self._from_past(pair, start, now) for pair in self._pairs if pair not in traded]
        self._closed = minute
        return np.concatenate(rows)

    def _again(self, now: int) -> Records:
        """The corrected minutes whose time has come, where they are not as they were told."""
        rows = [_NONE]
        for start in [start for start in self._corrected if start + MINUTE + AGAIN <= now]:
            for instrument in sorted(self._corrected.pop(start)):
                told, fresh = self._of_day.get(instrument, {}).get(start), self._from_past(instrument, start, now)
                if told is None or not len(fresh) or told[_TOLD].tolist() == fresh[_TOLD].tolist():
                    continue
                self._of_day[instrument][start] = fresh
                self._days[instrument] = self._join(list(self._of_day[instrument].values()))
                rows.append(fresh)
        return np.concatenate(rows)

    def _from_past(self, instrument: int, start: int, now: int) -> Records:
        bars = self._past.history_bars(self._symbols[instrument], start, start, MINUTE, now)
        bars["instrument"], bars["ts_recv"] = instrument, now
        return bars

    def _so_far(self, minutes: Records) -> Records:
        days = [_NONE]
        for at in range(len(minutes)):
            minute = minutes[at : at + 1]
            start, instrument = int(minute["start"][0]), int(minute["instrument"][0])
            if not self._day[0] <= start < self._day[1]:
                self._day = (day_start(start, self._zone), day_start(start, self._zone, 1))
                self._days.clear()
                self._of_day.clear()
            self._of_day.setdefault(instrument, {})[start] = minute
            day = self._days.get(instrument)
            day = self._days[instrument] = self._join([minute] if day is None else [day, minute])
            days.append(day)
        return np.concatenate(days)

    def _join(self, bars: list[Records]) -> Records:
        """The day so far, of its minutes or of the day before the last one."""
        day = merge_bars(np.concatenate(bars), _ALL)
        day["start"], day["interval"] = self._day[0], self._day[1] - self._day[0]
        day["ts_event"] = bars[-1]["ts_event"]
        return day
