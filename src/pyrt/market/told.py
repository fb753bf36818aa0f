"""Which trades a stream told, as keys in blocks: what the venue's history tells of the same time doubles none. Pure."""

from collections import deque
from collections.abc import Container, Iterator
from typing import Any

import numpy as np

from pyrt._core.types import RecordType, trade_dtype
from pyrt.market.sequencer import Records

HELD = 1_000_000  # keys of 20 bytes
_TRADE = int(RecordType.TRADE)  # NumPy compares enums slowly
_BLOCK = 1 << 15  # keys: a column of ids is 256 KiB
_TOGETHER = 1 << 12  # keys that are looked through at once
_KEY = ("instrument", "trade_id", "ts_event")

Key = tuple[int, int, int]
Columns = tuple[np.ndarray[Any, Any], ...]  # instruments, trade ids, times


class Keys:
    """Keys of trades in the order in which they were told: an object for each block, not for each frame of a busy stream."""

    def __init__(self) -> None:
        self._blocks: deque[Columns] = deque()
        self._newest: deque[int] = deque()  # venue ns, of each block
        self._used = _BLOCK  # of the last block
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, trades: Columns, newest: int) -> None:
        """Take in the columns of trades, of which there is one at least, and the newest of their times."""
        count, begin = len(trades[0]), self._used
        if begin + count > _BLOCK:
            room = _BLOCK - begin
            if room:
                self.add(tuple(column[:room] for column in trades), newest)
            self._blocks.append(tuple(np.empty(_BLOCK, trade_dtype[name]) for name in _KEY))
            self._newest.append(newest)
            self._used = 0
            for at in range(room, count, _BLOCK):
                self.add(tuple(column[at : at + _BLOCK] for column in trades), newest)
            return
        instruments, ids, times = self._blocks[-1]
        end = self._used = begin + count
        instruments[begin:end], ids[begin:end], times[begin:end] = trades
        if newest > self._newest[-1]:
            self._newest[-1] = newest
        self._count += count

    def since(self, start: int) -> Iterator[Columns]:
        """All that were told of a time from `start` on, venue ns."""
        for part in self._parts():
            near = part[2] >= start
            if near.any():
                yield tuple(column[near] for column in part)

    def those_of(self, ids: np.ndarray[Any, Any]) -> Iterator[Key]:
        """The keys that have one of some trade ids, of which there is one at least."""
        wanted = np.sort(ids)  # np.isin may load a module of a megabyte, on the loop
        for part in self._parts():
            at = np.minimum(np.searchsorted(wanted, part[1]), len(wanted) - 1)
            found = wanted[at] == part[1]
            yield from zip(*(column[found].tolist() for column in part), strict=True)

    def _parts(self) -> Iterator[Columns]:
        last = len(self._blocks) - 1
        for number, block in enumerate(self._blocks):
            end = self._used if number == last else _BLOCK
            for at in range(0, end, _TOGETHER):
                yield tuple(column[at : min(at + _TOGETHER, end)] for column in block)

    @property
    def oldest(self) -> int:
        """Venue ns of the newest trade of the oldest block, which is full; 0 while there is none."""
        return self._newest[0] if len(self._blocks) > 1 else 0

    def let_go(self) -> int:
        """Forget the oldest block, which is full; of how many."""
        self._blocks.popleft()
        self._newest.popleft()
        self._count -= _BLOCK
        return _BLOCK

    def clear(self) -> None:
        """Forget all."""
        self._blocks.clear()
        self._newest.clear()
        self._used, self._count = _BLOCK, 0


class Told:
    """The newest trades told while a session starts: at most `most` of them and a block, however long that takes."""

    def __init__(self, most: int = HELD) -> None:
        self.keys = Keys()
        self.dropped = 0  # older ones, of which nothing is known any more
        self.dropped_to = 0  # venue ns of the newest of them
        self._most = most

    def add(self, records: Records) -> None:
        """Market records as they are told."""
        trades = trades_of(records)
        if not len(trades):
            return
        self.keys.add(columns_of(trades), int(trades["ts_event"].max()))
        while len(self.keys) > self._most + _BLOCK:
            self.dropped_to = max(self.dropped_to, self.keys.oldest)
            self.dropped += self.keys.let_go()

    def untold(self, trades: Records) -> Records:
        """Those of the venue's trades that were not told; none of the time of which nothing is known any more."""
        return untold(trades[trades["ts_event"] > self.dropped_to] if self.dropped else trades, self.keys)


def trades_of(records: Records) -> Records:
    """The trades among market records."""
    trades: Records = records.take((records["type"] == _TRADE).nonzero()[0]).view(trade_dtype)
    return trades


def columns_of(trades: Records) -> Columns:
    """What tells trades from each other: the same number at another time, or of another instrument, is another trade."""
    return trades["instrument"], trades["trade_id"], trades["ts_event"]


def untold(trades: Records, *told: Keys) -> Records:
    """Those of some trades that are not among the ones told, which are many more: a Python key of each would be megabytes."""
    keys = {key for some in told for key in some.those_of(trades["trade_id"])} if len(trades) else set()
    left: Records = trades[~among(trades, keys)]
    return left


def keys_of(trades: Records) -> list[Key]:
    """The keys of trades."""
    return list(zip(*(column.tolist() for column in columns_of(trades)), strict=True))


def among(trades: Records, keys: Container[Key]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of some trades are among the keys."""
    return np.fromiter((key in keys for key in keys_of(trades)), bool, len(trades))
