"""Is this book whole? Snapshot and deltas joined by the venue's ids, gaps found, nothing applied in doubt.

Each event is a run of delta records that ends with Flag.LAST and carries its last update id; its first is `update_id - span`. Where
a venue chains by the previous event's id instead (Binance futures: pu), `span` is `update_id - (pu + 1)`: the event then begins
where the previous one ended, and one rule serves both. Rule: developers.binance.com, "How to manage a local order book correctly".
"""

from collections import deque
from typing import Any

import numpy as np

from pyrt._core.types import Action, Flag, GapCause, RecordType, delta_dtype, gap_dtype, market_dtype

Records = np.ndarray[Any, np.dtype[np.void]]
NOTHING: Records = np.empty(0, market_dtype)


def gap_record(instrument: int, cause: GapCause, *, ts: int, missed: int = 0, from_ts: int = 0, to_ts: int = 0) -> Records:
    """One GAP record (market_dtype); instrument 0 is the whole feed, `missed` 0 is not known, times in venue ns."""
    out = np.zeros(1, gap_dtype)
    out["type"], out["instrument"], out["ts_event"], out["ts_recv"] = RecordType.GAP, instrument, ts, ts
    out["missed"], out["from_ts"], out["to_ts"], out["cause"] = missed, from_ts, to_ts, cause
    return out.view(market_dtype)


class Sequencer:
    """Lets the deltas of one instrument through in their order, or says that a snapshot is wanted.

    With `ids`, deltas wait for a snapshot (at most `most` records, the oldest go first), join it and must follow one another;
    without (update_id 0) everything waits for an event that begins with CLEAR. What is let through is to be applied; `wanted` tells
    whether to ask the venue for a snapshot. A venue that sends CLEAR by itself after every connection is never asked.
    """

    def __init__(self, instrument: int, *, ids: bool = True, most: int = 100_000) -> None:
        self.instrument = instrument
        self.ids = ids
        self.live = False
        self.wanted = False
        self.update_id = 0
        self.ts = 0
        self.stale = 0  # records of events that were older than the book
        self.dropped = 0  # records that waited in vain
        self.gaps = 0
        self._most = most
        self._waiting: deque[Records] = deque()
        self._held = 0
        self._part: Records = NOTHING
        self._joining = False  # no event has followed the snapshot yet

    def on_deltas(self, records: Records) -> Records:
        """Take delta records (any 64-byte dtype) in the order of the wire; return those to apply now, GAP records among them."""
        records = records.view(market_dtype)
        if len(self._part):
            records = np.concatenate([self._part, records])
        ends = np.flatnonzero(records["flags"] & Flag.LAST) + 1
        whole = int(ends[-1]) if len(ends) else 0
        self._part = records[whole:].copy()
        records = records[:whole]
        if not len(records):
            return NOTHING
        return self._chain(records, ends) if self.ids else self._follow(records, ends)

    def on_snapshot(self, records: Records) -> Records:
        """Take a whole book (CLEAR first, LAST on its last record, one update_id); return it with the deltas that follow it."""
        records = records.view(market_dtype)
        deltas = records.view(delta_dtype)
        snapshot_id = int(deltas["update_id"][-1])
        if self.live and self.ids and snapshot_id < self.update_id:
            self.stale += len(records)
            return NOTHING
        waiting = np.concatenate([*self._waiting, NOTHING])
        ends = np.flatnonzero(waiting["flags"] & Flag.LAST) + 1
        fresh = ends[waiting.view(delta_dtype)["update_id"][ends - 1] > snapshot_id] if self.ids else ends[:0]
        begin = int(ends[len(ends) - len(fresh) - 1]) if len(fresh) < len(ends) else 0
        if len(fresh) and _first(waiting.view(delta_dtype)[fresh[0] - 1]) > snapshot_id + 1:
            self.wanted = True  # older than what waits: there is a hole between them
            self.stale += len(records)
            return NOTHING
        self.stale += begin
        self._waiting.clear()
        self._held = 0
        self._go(snapshot_id, int(deltas["ts_event"][-1]))
        self._joining = True
        rest = waiting[begin:]
        if not len(rest):
            return records
        return np.concatenate([records, self._chain(rest, fresh - begin)])

    def lost(self, cause: GapCause, *, ts: int, missed: int = 0) -> Records:
        """Something was not seen: return the GAP record, and let nothing through until the book is whole again."""
        self.live = False
        self.wanted = self.ids
        self.gaps += 1
        self._part = NOTHING
        return gap_record(self.instrument, cause, ts=ts, missed=missed, from_ts=self.ts)

    def _go(self, update_id: int, ts: int) -> None:
        self.live = True
        self.wanted = False
        self.update_id = update_id
        self.ts = ts

    def _chain(self, records: Records, ends: np.ndarray[Any, Any]) -> Records:
        out = []
        while len(ends) and self.live:
            n = self._in_order(records, ends)
            begin = int(ends[n - 1]) if n else 0
            out.append(records[:begin])
            records, ends = records[begin:], ends[n:] - begin
            if not len(ends):
                break
            last = records.view(delta_dtype)[ends[0] - 1]
            if last["update_id"] <= self.update_id:  # the book is newer
                self.stale += int(ends[0])
                records, ends = records[ends[0] :], ends[1:] - ends[0]
            else:
                missed = max(_first(last) - self.update_id - 1, 0)
                out.append(self.lost(GapCause.SEQUENCE, ts=int(last["ts_event"]), missed=missed))
        if len(records):
            self._wait(records)
        return np.concatenate(out) if out else NOTHING

    def _in_order(self, records: Records, ends: np.ndarray[Any, Any]) -> int:
        """How many events follow the book and one another; they count as applied."""
        last = records.view(delta_dtype)[ends - 1]
        ids = last["update_id"].astype(np.int64)
        firsts = ids - last["span"]
        before = np.concatenate([[self.update_id], ids[:-1]])
        if self._joining and ids[0] > self.update_id:  # the first may reach back behind the snapshot
            before[0] = min(firsts[0] - 1, self.update_id)
            self._joining = False
        wrong = np.flatnonzero(firsts != before + 1)
        n = int(wrong[0]) if len(wrong) else len(ends)
        if n:
            self._go(int(ids[n - 1]), int(last["ts_event"][n - 1]))
        return n

    def _wait(self, records: Records) -> None:
        self.wanted = True
        self._waiting.append(records.copy())
        self._held += len(records)
        while self._held > self._most and len(self._waiting) > 1:
            gone = len(self._waiting.popleft())
            self._held -= gone
            self.dropped += gone

    def _follow(self, records: Records, ends: np.ndarray[Any, Any]) -> Records:
        deltas = records.view(delta_dtype)
        if not self.live:
            clears = np.flatnonzero(deltas["action"] == Action.CLEAR)
            begin = int(clears[0]) if len(clears) else len(records)
            self.dropped += begin
            records = records[begin:]
            if not len(records):
                return NOTHING
        self._go(0, int(records["ts_event"][-1]))
        return records


def _first(delta: Any) -> int:
    return int(delta["update_id"]) - int(delta["span"])
