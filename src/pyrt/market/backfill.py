"""What the stream did not tell, and what of it is news once the venue's history tells it: every trade once, in order. Pure."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyrt._core.inbox import Passed
from pyrt._core.types import Flag, GapCause, RecordType, gap_dtype, market_dtype, trade_dtype
from pyrt.clock import SECOND
from pyrt.market.sequencer import Records, gap_record
from pyrt.market.told import HELD, Key, Keys, among, columns_of, keys_of, trades_of, untold

MARGIN = 5 * SECOND  # that a trade may come late: so much before the last sight of the stream is asked for again
LAG = SECOND  # asked for beyond the stream's return, where the clocks of venue and session may differ
OVERLAP = 60 * SECOND  # of trades' time, for which the stream may still tell what a filling told
MOST = 64  # holes of an instrument
_LOST = (GapCause.DISCONNECT, GapCause.SILENCE, GapCause.SLOW)  # of a stream; the other causes are of books
_TRADE, _GAP = int(RecordType.TRADE), int(RecordType.GAP)  # NumPy compares enums slowly


class Hole(NamedTuple):
    """A time in which trades of an instrument may not have been told; `end` 0: it goes on. Venue ns."""

    instrument: int
    start: int
    end: int


class Holes:
    """Holes of every instrument, the trades told around them, and those that fillings told first.

    `screen` sees what the stream tells before the session does, `heard` everything that the session was fed. Nothing from before
    `begin` is asked for: that belongs to the warm-up.
    """

    def __init__(self, *, margin: int = MARGIN, lag: int = LAG, held: int = HELD) -> None:
        self.filled = 0  # trades that only fillings told
        self.told_again = 0  # trades of the stream that a filling had told before: dropped
        self.closed = 0  # holes filled, those included in which nothing was missed
        self.abandoned = 0  # holes pushed out by MOST newer ones, or given up because more was told meanwhile than is held
        self.on_loss: Callable[[int, int], None] = lambda instrument, ts: None  # told of each GAP that opens a hole
        self.doubts: Callable[[], bool] = lambda: False  # somebody else hears everything, too
        self.passed = Passed(on_full=self._catch_up)  # trades of frames that went past `heard`
        self._margin, self._lag, self._most_held = margin, lag, held
        self._first = 0  # venue ns before which nothing is asked for
        self._newest = 0  # ts of the newest trade told
        self._holes: dict[int, list[Hole]] = {}
        self._recent = Keys()  # of trades told within the margin of the newest, and some before
        self._held = Keys()  # of trades told in or near the holes
        self._early: dict[Key, int] = {}  # fed by a filling, so late that the stream may tell them yet -> until when, venue ns
        self._early_until = 0  # the first of these instants

    # ------------------------------------------------------------------------------------------------ what is told
    def screen(self, records: Records) -> Records:
        """Market records of the stream -> those that are news: without trades that a filling told before."""
        if not self._early:
            return records
        at = np.flatnonzero(records["type"] == _TRADE)
        again = at[among(records[at].view(trade_dtype), self._early)]
        self.told_again += len(again)
        return np.delete(records, again) if len(again) else records

    def heard(self, records: Records) -> None:
        """Market records that the session was fed: its trades are kept while a filling may ask for them, GAP records open holes."""
        self._catch_up()
        trades = trades_of(records)
        if len(trades):
            self._keep(trades)
        is_gap = records["type"] == _GAP
        for gap in records[is_gap].view(gap_dtype) if is_gap.any() else ():
            if gap["cause"] in _LOST and not gap["flags"] & Flag.BACKFILLED:
                self._open(int(gap["instrument"]), int(gap["from_ts"]))
                self.on_loss(int(gap["instrument"]), int(gap["ts_event"]))
        self._look()

    def _catch_up(self) -> None:
        """Hear what was kept natively."""
        if len(trades := self.passed.take().view(trade_dtype)):
            self._keep(trades)

    def _look(self) -> None:
        """Frames may go past `screen` and `heard` while there is no hole, and no filling that told more than the stream."""
        self.passed.quiet = not (self._holes or self._early or self.doubts())

    def _keep(self, trades: Records) -> None:
        columns = columns_of(trades)
        ts = columns[2]
        last = int(ts.max())
        if came := int(trades["ts_recv"][-1]):  # one that is dated next hour would keep every trade until then
            last = min(last, came + self._margin)
        self._newest = max(self._newest, last)
        self._recent.add(columns, last)
        while 0 < self._recent.oldest < self._newest - self._margin:
            self._recent.let_go()
        if self._holes:
            ends = [hole.end for holes in self._holes.values() for hole in holes]
            inside = columns if not min(ends) else tuple(column[ts <= max(ends)] for column in columns)
            if len(inside[0]):
                self._held.add(inside, last)
                self._bound()
        if self._early and self._newest > self._early_until:
            self._early = {key: until for key, until in self._early.items() if until >= self._newest}
            self._early_until = min(self._early.values(), default=0)

    def _bound(self) -> None:
        """A stream that tells without ever being up would fill the memory: its holes stay holes, and their bars flagged."""
        if len(self._held) > self._most_held:
            self.abandoned += self.open
            self._holes.clear()
            self._held.clear()

    def _hold_recent(self, start: int) -> None:
        for near in self._recent.since(start):
            self._held.add(near, self._newest)

    # ------------------------------------------------------------------------------------------------ holes
    def _open(self, instrument: int, last: int) -> None:
        """The stream told nothing after `last`, or after its newest trade where that is older: it is told in order."""
        start = max(min(last, self._newest or last) - self._margin, self._first)
        holes = self._holes.get(instrument, [])
        if holes and (not holes[-1].end or holes[-1].end >= start):  # they are one
            start = min(start, holes.pop().start)
        elif not self._holes:
            self._held.clear()
            self._hold_recent(start)
        elif not any(len(h) and not h[-1].end for h in self._holes.values()):  # else the same loss, of another instrument
            self._hold_recent(start)  # twice does no harm: they are looked up, not counted
        if len(holes) >= MOST:
            holes.pop(0)
            self.abandoned += 1
        self._holes[instrument] = [*holes, Hole(instrument, start, 0)]

    def begin(self, at: int) -> None:
        """What came before `at` is known otherwise."""
        self._first = at
        for instrument, holes in list(self._holes.items()):
            kept = [hole._replace(start=max(hole.start, at)) for hole in holes if not hole.end or hole.end > at + self._lag]
            self._holes[instrument] = kept
            if not kept:
                del self._holes[instrument]
        self._look()

    def up(self, at: int) -> None:
        """The stream is up with all that is wanted: what went on ends here."""
        for instrument, holes in self._holes.items():
            self._holes[instrument] = [hole if hole.end else hole._replace(end=at + self._lag) for hole in holes]

    def due(self, now: int, rank: Callable[[int], int] = lambda instrument: 0) -> Hole | None:
        """A hole that is over: of the instruments of the lowest rank the oldest."""
        over = [hole for holes in self._holes.values() for hole in holes if 0 < hole.end <= now]
        return min(over, key=lambda hole: (rank(hole.instrument), hole.start, hole.instrument), default=None)

    @property
    def next_end(self) -> int:
        """Venue ns at which the first hole will be over; 0 = none will."""
        return min((hole.end for holes in self._holes.values() for hole in holes if hole.end), default=0)

    @property
    def open(self) -> int:
        """Holes that are not filled."""
        return sum(map(len, self._holes.values()))

    def fill(self, hole: Hole, trades: Records, now: int) -> Records:
        """The venue's trades of a hole (oldest first) -> the records to run: those that were not told, flagged BACKFILLED.

        `heard` is to be told of them too. Once nothing of the instrument is missing any more, a GAP record flagged BACKFILLED goes
        before them, because its bars are whole with them.
        """
        self._catch_up()
        fresh = untold(trades, self._held, self._recent).copy()
        fresh["flags"] |= np.uint16(Flag.BACKFILLED)
        fresh["ts_recv"] = now
        self.filled += len(fresh)
        late = fresh[fresh["ts_event"] > hole.end - OVERLAP]
        if len(late):
            until = hole.end + OVERLAP
            self._early_until = min(self._early_until, until) if self._early else until
            self._early.update(dict.fromkeys(keys_of(late), until))
        out: Records = fresh.view(market_dtype)
        last = self._settle(hole)
        self._look()
        if not last:
            return out
        whole = gap_record(hole.instrument, GapCause.DISCONNECT, ts=now, from_ts=hole.start, to_ts=hole.end)
        whole["flags"] = Flag.BACKFILLED
        return np.concatenate([whole, out])

    def _settle(self, hole: Hole) -> bool:
        """Strike it off where it did not grow meanwhile; whether nothing of its instrument is left."""
        holes = self._holes.get(hole.instrument, [])
        left = [other for other in holes if other != hole]
        self.closed += len(left) < len(holes)
        if left:
            self._holes[hole.instrument] = left
        else:
            self._holes.pop(hole.instrument, None)
        self._let_go()
        return not left

    def _let_go(self) -> None:
        """Hold nothing from before every hole: where losses follow each other, one may always be open."""
        if not self._holes:
            self._held.clear()
            return
        first = min(hole.start for holes in self._holes.values() for hole in holes)
        while 0 < self._held.oldest < first:
            self._held.let_go()
