"""The whole books that a crypto stream begins with."""

from collections.abc import Iterable
from math import gcd

import numpy as np
import numpy.typing as npt

from pyrt._core.book import OrderBook
from pyrt._core.types import Action, Flag, RecordType, Side, delta_dtype, market_dtype
from pyrt.model import Instrument

Records = npt.NDArray[np.void]
ALL = 1_000_000  # levels


class Depth:
    """The books of some instruments, from their deltas."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._books = {i.id: OrderBook(gcd(i.tick, i.sub_tick)) for i in instruments}

    def apply(self, records: Records) -> None:
        """Take in the deltas of a batch."""
        deltas = records[records["type"] == int(RecordType.DELTA)]
        if not len(deltas):  # np.unique is not free, and this is on the way of every request
            return
        for instrument in np.unique(deltas["instrument"]).tolist():
            self._books[instrument].apply(deltas[deltas["instrument"] == instrument])

    def whole(self, instrument: int, now: int) -> Records:
        """One event that begins with CLEAR and sets every level."""
        bids, asks = self._books[instrument].depth(ALL)
        out: Records = np.zeros(1 + len(bids) + len(asks), delta_dtype)
        out["type"], out["instrument"], out["flags"] = int(RecordType.DELTA), instrument, int(Flag.SNAPSHOT)
        out["ts_event"] = out["ts_recv"] = now
        out["action"][0] = int(Action.CLEAR)
        for side, levels, begin in ((Side.BUY, bids, 1), (Side.SELL, asks, 1 + len(bids))):
            part = out[begin : begin + len(levels)]
            part["side"], part["px"], part["qty"], part["action"] = int(side), levels["px"], levels["qty"], int(Action.SET)
        out["flags"][-1] |= int(Flag.LAST)
        return out.view(market_dtype)
