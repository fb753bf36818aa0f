"""What the market was worth at the end of each interval, kept while the tape runs: for equity and for charts."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pyrt._core.types import RecordType, bar_dtype
from pyrt.model import Instrument
from pyrt.research.tape import Chunk
from pyrt.venues.sim.market.bars_of import bars_of, merge_bars

Records = np.ndarray[Any, Any]


class Samples:
    """Candles of every instrument, of `interval` ns, from the prints of the chunks that pass through `watch`."""

    def __init__(self, instruments: Sequence[Instrument], interval: int) -> None:
        self.instruments = tuple(instruments)
        self.interval = interval
        self._parts: dict[int, list[Records]] = {i.id: [] for i in instruments}

    def watch(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """Pass chunks on, and keep their candles."""
        for session, exchange in chunks:
            prints = session[session["type"] == RecordType.TRADE]
            for instrument, parts in self._parts.items():
                own = prints[prints["instrument"] == instrument] if len(self._parts) > 1 else prints
                if len(own):
                    parts.append(bars_of(own, self.interval))
            yield session, exchange

    def candles(self, instrument: int, most: int = 0) -> Records:
        """The candles of an instrument (bar_dtype); `most`: merged until there are no more than so many, 0 = all."""
        parts = self._parts[instrument]
        if not parts:
            return np.empty(0, bar_dtype)
        bars = merge_bars(np.concatenate(parts), self.interval)
        if most and len(bars) > most:
            bars = merge_bars(bars, self.interval * -(-len(bars) // most))
        return bars
