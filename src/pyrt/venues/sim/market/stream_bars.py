"""The bars of the stream: minutes when they are over, and with each of them the day so far."""

from collections.abc import Iterable

import numpy as np

from pyrt._core.bars import BarAggregator
from pyrt._core.types import RecordType, bar_dtype
from pyrt.clock import MINUTE
from pyrt.model import Instrument
from pyrt.venues.sim.server.floor import Records
from pyrt.venues.sim.times import new_york_midnight

_NONE: Records = np.zeros(0, dtype=bar_dtype)


class StreamBars:
    """Minute bars of every instrument, closed when the venue's clock passes their end; `d` counts from the venue's start on."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._minutes = {i.id: BarAggregator([MINUTE], instrument=i.id) for i in instruments}
        self._days: dict[int, Records] = {}
        self._day = (0, 0)
        self._due = 0

    def count(self, trades: Records) -> None:
        """Take in trades alone: those of the minute in which the venue begins, from before it did."""
        for instrument in np.unique(trades["instrument"]).tolist():
            self._minutes[instrument].apply(trades[trades["instrument"] == instrument])

    def take(self, records: Records, now: int) -> dict[str, Records]:
        """Count a batch of at most 16 minutes; the bars that are due by `now`, by message type."""
        if len(records):
            kinds = records["type"]
            self.count(records[(kinds == int(RecordType.TRADE)) | (kinds == int(RecordType.TRADE_CANCEL))])
        if now < self._due:
            return {}
        self._due = now // MINUTE * MINUTE + MINUTE
        rows = [_NONE]
        for bars in self._minutes.values():
            bars.close(now)
            rows.append(bars.take())
        closed = np.concatenate(rows)
        first = closed["revision"] == 0
        return {"b": closed[first], "u": closed[~first], "d": self._so_far(closed[first])}

    def _so_far(self, minutes: Records) -> Records:
        days = [_NONE]
        for at in range(len(minutes)):
            minute = minutes[at : at + 1]
            start = int(minute["start"][0])
            if not self._day[0] <= start < self._day[1]:
                self._day = (new_york_midnight(start), new_york_midnight(start, 1))
                self._days.clear()
            instrument = int(minute["instrument"][0])
            day = self._days.get(instrument)
            if day is None:
                day = self._days[instrument] = minute.copy()
                day["start"], day["interval"] = self._day[0], self._day[1] - self._day[0]
            else:
                _add(day, minute)
            days.append(day)
        return np.concatenate(days)


def _add(day: Records, minute: Records) -> None:
    day["ts_event"], day["close_px"] = minute["ts_event"], minute["close_px"]
    day["high_px"] = np.maximum(day["high_px"], minute["high_px"])
    day["low_px"] = np.minimum(day["low_px"], minute["low_px"])
    day["volume"] += minute["volume"]
    day["trades"] += minute["trades"]
    total = sum((int(bar["notional_hi"][0]) << 64) + int(bar["notional_lo"][0]) for bar in (day, minute))
    day["notional_hi"], day["notional_lo"] = total >> 64, total & (1 << 64) - 1
