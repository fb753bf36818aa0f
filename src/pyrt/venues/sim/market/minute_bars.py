"""The minute bars of generated tapes, hour by hour, kept for the next who asks."""

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pyrt._core.types import RecordType, bar_dtype
from pyrt.venues.sim.market.bars_of import bars_of, bars_of_quotes
from pyrt.venues.sim.market.corrections import revise
from pyrt.venues.sim.market.crypto import PairTape
from pyrt.venues.sim.market.generator import BLOCK, FEW, TOLD, Tape

Records = npt.NDArray[np.void]
Key = tuple[str, int, int]  # symbol, first minute (ns UTC // BLOCK), count
HOUR, TEN = 60, 10  # minutes
KEPT = 4096  # pieces of at most an hour, 8 KiB each


class MinuteBars:
    """What is certain is made once; minutes in which a correction may still be told are made anew."""

    def __init__(self, tapes: Mapping[str, Tape]) -> None:
        self._tapes = tapes
        self._kept: OrderedDict[Key, Records] = OrderedDict()

    def bars(self, symbol: str, first: int, last: int, now: int) -> Records:
        """The bars of the minutes from `first` to `last`, with what was corrected up to `now` (ns UTC)."""
        parts: list[Records] = [np.zeros(0, dtype=bar_dtype)]
        while first <= last:
            end = min(last + 1, first // HOUR * HOUR + HOUR)
            if end - first >= FEW:
                # Of the hour that goes on ten minutes at a time, so that few are made twice.
                size = HOUR if _certain(first // HOUR * HOUR + HOUR, now) else TEN
                piece = first // size * size
                end = min(end, piece + size)
                if _certain(piece + size, now):
                    bars = self._piece((symbol, piece, size), now)
                    starts = bars["start"] // BLOCK
                    parts.append(bars[(starts >= first) & (starts < end)])
                    first = end
                    continue
            parts += [self._piece((symbol, number, 1), now) for number in range(first, end)]
            first = end
        return np.concatenate(parts)

    def _piece(self, key: Key, now: int) -> Records:
        if not _certain(key[1] + key[2], now):
            return self._made(*key, now)
        bars = self._kept.get(key)
        if bars is None:
            bars = self._kept[key] = self._made(*key, now)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return bars

    def _made(self, symbol: str, number: int, count: int, now: int) -> Records:
        tape = self._tapes[symbol]
        trades = tape.history(RecordType.TRADE, number, count)
        late = tape.late(trades)
        told = late[late["ts_event"] <= now]
        bars = bars_of(revise(trades, told) if len(told) else trades, BLOCK)
        if isinstance(tape, PairTape) and len(bars) < count:
            quotes = tape.history(RecordType.QUOTE, number, count)
            quiet = quotes[~np.isin(quotes["ts_event"] // BLOCK, bars["start"] // BLOCK)]
            bars = np.concatenate([bars, bars_of_quotes(quiet, BLOCK)])
            bars = bars[np.argsort(bars["start"], kind="stable")]
        return bars


def _certain(end: int, now: int) -> bool:
    """Whether nothing of the minutes before `end` will be corrected any more."""
    return end * BLOCK + TOLD <= now
