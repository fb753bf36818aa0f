"""What happened at the market, in chunks: for the session with the timers that close bars, for the exchange without them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pyrt._core.types import Clock, RecordType, market_dtype, timer_dtype
from pyrt.errors import DataError

Records = np.ndarray[Any, Any]
Chunk = tuple[Records, Records]  # (for the session, for the exchange), market_dtype in time order
NEVER = (1 << 63) - 1
ROWS = 1 << 16
_RAW = f"V{market_dtype.itemsize}"


def chunks_of(records: Records, rows: int = ROWS) -> Iterator[Records]:
    """A long array in parts that never split an instant. Raises DataError for records that are not in time order."""
    times = records["ts_event"]
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        raise DataError(f"record {int(back[0]) + 1} is older than the one before it", mend="sort the records by ts_event")
    begin = 0
    while begin < len(records):
        end = min(begin + rows, len(records))
        if end < len(records):
            end = int(np.searchsorted(times, times[end - 1], side="right"))
        yield records[begin:end]
        begin = end


def _runs(values: Records) -> Records:
    """Each value of an array once where equal ones stand together."""
    first = np.ones(len(values), bool)
    first[1:] = values[1:] != values[:-1]
    return values[first]


def _merged(some: Records, before: Records, others: Records) -> Records:
    """Two arrays of records as one: each of `some` before the place in `others` that is named."""
    out = np.empty(len(some) + len(others), _RAW)  # whole records are copied, not field by field
    at = before + np.arange(len(some))
    theirs = np.ones(len(out), bool)
    theirs[at] = False
    out[at] = some.view(_RAW)
    out[theirs] = np.ascontiguousarray(others).view(_RAW)
    return out.view(market_dtype)


class BarTimers:
    """Puts TIMER records where a bar ends, before the first record that is not part of it."""

    def __init__(self, intervals: Iterable[int], ends: Records | None = None) -> None:
        self._intervals = sorted(set(intervals))
        self._ends = ends  # of days that follow sessions, ascending
        self._left: Records = np.empty(0, np.int64)  # ends that no record has reached yet

    def join(self, records: Records) -> Records:
        """The records with the timers that are due up to the last of them."""
        times = np.ascontiguousarray(records["ts_event"])
        ends = [_runs((times // interval + 1) * interval) for interval in self._intervals]
        if self._ends is not None:
            ends.append(self._ends[np.unique(np.searchsorted(self._ends, times, side="right")).clip(max=len(self._ends) - 1)])
        due = _runs(np.sort(np.concatenate([self._left, *ends]), kind="stable"))
        last = int(times[-1]) if len(times) else 0
        self._left = due[due > last]
        due = due[due <= last]
        timers = np.zeros(len(due), timer_dtype)
        timers["type"], timers["clock"] = RecordType.TIMER, Clock.VENUE
        timers["ts_event"] = timers["ts_recv"] = timers["at"] = due
        if len(times) and (times[1:] < times[:-1]).any():  # a sequencer's own records may be older than what they tell of
            joined = np.concatenate([timers.view(market_dtype), records])
            return joined[np.argsort(joined["ts_event"], kind="stable")]
        return _merged(timers, times.searchsorted(due), records)

    def rest(self) -> Records:
        """The timers that are still to come when the data has ended."""
        timers = np.zeros(len(self._left), timer_dtype)
        timers["type"], timers["clock"] = RecordType.TIMER, Clock.VENUE
        timers["ts_event"] = timers["ts_recv"] = timers["at"] = self._left
        self._left = self._left[:0]
        return timers.view(market_dtype)


def tape_chunks(
    parts: Iterable[Chunk],
    intervals: Sequence[int],
    sequence: Callable[[Records], Records] = lambda records: records,
    ends: Records | None = None,
) -> Iterator[Chunk]:
    """Chunks with bar timers for the session, and the last timers at the end; `sequence` brings venues' deltas into order.

    ends: of the bars of days, where these follow sessions.
    """
    timers = BarTimers(intervals, ends)
    for session, exchange in parts:
        if len(session):
            yield timers.join(sequence(session)), exchange
    rest = timers.rest()
    if len(rest):
        yield rest, rest[:0]


class Tape:
    """Reads chunks for two readers at different instants: the session, and the exchange, which may be ahead or behind."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._chunks = iter(chunks)
        self._waiting: deque[Records] = deque()  # chunks that the exchange has not begun
        self._exchange: Records = np.empty(0, market_dtype)
        self._exchange_times = np.empty(0, np.int64)
        self._exchange_at = 0
        self.records: Records = np.empty(0, market_dtype)
        self.times = np.empty(0, np.int64)
        self.at = 0  # of the session, in `records`
        self.begun = 0  # ts_event of the first record
        self.reached = 0
        self.total = 0  # records given to the session
        self._load()
        self.begun = self.next_time

    def _load(self) -> bool:
        for session, exchange in self._chunks:
            if not len(session):
                continue
            self.records, self.times, self.at = session, np.ascontiguousarray(session["ts_event"]), 0
            self.total += len(session)
            self._waiting.append(exchange)
            return True
        self.records, self.at = self.records[:0], 0
        return False

    # ------------------------------------------------------------------------------------------------ the session's side
    @property
    def next_time(self) -> int:
        """When the session's next record is due; NEVER at the end."""
        if self.at == len(self.records) and not self._load():
            return NEVER
        return int(self.times[self.at])

    def until(self, limit: int) -> int:
        """The index behind the records of this chunk that come before `limit`, exclusive; at least the next instant's."""
        return max(int(self.times.searchsorted(limit)), int(self.times.searchsorted(self.times[self.at], side="right")))

    # ------------------------------------------------------------------------------------------------ the exchange's side
    @property
    def next_at(self) -> int:
        """When the exchange's next record is due, as far as it is known; NEVER where it has seen all."""
        while self._exchange_at == len(self._exchange):
            if not self._waiting:
                return NEVER
            self._exchange = self._waiting.popleft()
            self._exchange_times, self._exchange_at = np.ascontiguousarray(self._exchange["ts_event"]), 0
        return int(self._exchange_times[self._exchange_at])

    def take(self, until: int) -> Records:
        """The exchange's records up to `until`, inclusive, that it has not had."""
        parts = []
        while self.next_at <= until:
            end = int(self._exchange_times.searchsorted(until, side="right"))
            parts.append(self._exchange[self._exchange_at : end])
            self._exchange_at = end
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([part.view(_RAW) for part in parts]).view(market_dtype) if parts else np.empty(0, market_dtype)
