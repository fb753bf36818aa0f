"""The trades that a stream told while a session starts, so that the venue's history of the same time doubles none. Pure."""

from collections import deque

import numpy as np

from pyrt._core.types import RecordType, trade_dtype
from pyrt.market.backfill import HELD, KEY, untold
from pyrt.market.sequencer import Records

_TRADE = int(RecordType.TRADE)  # NumPy compares enums slowly
_BLOCK = 16_384  # trades
_KEYS = np.dtype([(name, trade_dtype[name]) for name in KEY])


class Told:
    """The newest trades told, as their keys: at most `most` of them and a block, however long the start takes."""

    def __init__(self, most: int = HELD) -> None:
        self.dropped = 0  # older ones, of which nothing is known any more
        self.dropped_to = 0  # venue ns of the newest of them
        self._most = most
        self._blocks: deque[Records] = deque()
        self._used = _BLOCK  # of the last block
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, records: Records) -> None:
        """Market records as they are told."""
        trades = records[records["type"] == _TRADE].view(trade_dtype)
        at = 0
        while at < len(trades):
            if self._used == _BLOCK:
                self._blocks.append(np.empty(_BLOCK, _KEYS))
                self._used = 0
            n = min(_BLOCK - self._used, len(trades) - at)
            rows = self._blocks[-1][self._used : self._used + n]
            for name in KEY:
                rows[name] = trades[name][at : at + n]
            self._used += n
            self._count += n
            at += n
        if self._count > self._most + _BLOCK:
            self._drop()

    def _drop(self) -> None:
        oldest = self._blocks.popleft()
        self._count -= _BLOCK
        self.dropped += _BLOCK
        self.dropped_to = max(self.dropped_to, int(oldest["ts_event"].max()))

    def untold(self, trades: Records) -> Records:
        """Those of the venue's trades that were not told; none of the time of which nothing is known any more."""
        known = trades[trades["ts_event"] > self.dropped_to] if self.dropped else trades
        blocks = list(self._blocks)
        if blocks:
            blocks[-1] = blocks[-1][: self._used]
        return untold(known, blocks, together=1)
