"""The market stage: what is watched, what was told of it, and whether to believe it."""

from collections.abc import Collection, Sequence
from math import gcd
from typing import Any

import numpy as np

from pyrt._core.book import OrderBook
from pyrt._core.pipeline import Pipeline
from pyrt._core.types import Flag, GapCause, RecordType, market_dtype
from pyrt.calendar import Calendar
from pyrt.clock import DAY, MINUTE
from pyrt.errors import ConfigError
from pyrt.market.sequencer import Records, Sequencer, gap_record
from pyrt.model import AssetClass, Instrument, Instruments

GRACE = 250_000_000  # ns of venue time that a bar waits for trades under way
CAPACITY = 16_384
KEPT = 10 * MINUTE  # of bars that late trades and fillings may still amend, in 16 to 512 bars


class MarketData:
    """Books, bars and references of the watched instruments.

    `pipeline` does the work on records; what comes from a venue with depth goes through `sequence` first. Crypto has depth, a share
    one level from its quotes. `grace` in ns: 0 where a file drives the time. calendar: bars of a day of shares are those of its
    sessions; without it, and of crypto, days are those of UTC.
    """

    def __init__(self, instruments: Instruments, *, grace: int = GRACE, calendar: Calendar | None = None) -> None:
        self.calendar = calendar
        self.instruments = instruments
        self.pipeline = Pipeline(capacity=CAPACITY, grace=grace)
        self.unwatched = 0  # snapshots of instruments without a sequencer
        self._intervals: dict[int, tuple[int, ...]] = {}
        self._sequencers: dict[int, Sequencer] = {}

    @property
    def refs(self) -> Records:
        """The reference of each instrument (ref_dtype, row = instrument id), shared memory."""
        return self.pipeline.refs

    def mark(self, instrument: int, qty: int) -> int:
        """What a position counts as worth, px units: a long one the bid, a short one the ask, else the last trade; 0 = no price."""
        if not instrument < len(self.refs):
            return 0
        ref = self.refs[instrument]
        return int(max(ref["bid_px"] if qty >= 0 else ref["ask_px"], 0) or max(ref["last_px"], 0))

    def watch(
        self,
        instrument: Instrument,
        *,
        intervals: Sequence[int] = (),
        wake: int = 0,
        depth: bool | None = None,
        ids: bool = False,
        boundaries: np.ndarray[Any, Any] | None = None,
        anchored: Collection[int] = (),
    ) -> None:
        """Take in an instrument; again: change which records are due a callback.

        `intervals` in ns or codes of BarSpecs, `wake` bits 1 << RecordType, `ids`: its deltas carry the venue's update ids,
        `boundaries` and `anchored` as in BarAggregator. Raises ConfigError where intervals are added to an instrument that is
        watched, or a number is out of range.
        """
        known = self._intervals.get(instrument.id)
        if known is not None:
            if not set(intervals) <= set(known):
                raise ConfigError("bar intervals are fixed once it is watched", where=instrument.symbol, mend="name all at first")
            self.pipeline.wake(instrument.id, wake)
            return
        if depth is None:
            depth = instrument.asset_class == AssetClass.CRYPTO
        tick = gcd(instrument.tick, instrument.sub_tick)
        if self.has_sessions(instrument, intervals) and boundaries is None:
            if max(intervals) > DAY:
                raise ConfigError("no bars of several days", where=instrument.symbol, mend='use "1d": a session\'s')
            assert self.calendar is not None
            boundaries = self.calendar.day_edges()
        keep = max(16, min(512, KEPT // min((i for i in intervals if i > 0), default=KEPT)))
        try:
            self.pipeline.add(
                instrument.id,
                tick,
                intervals=intervals,
                wake=wake,
                top_only=not depth,
                boundaries=boundaries,
                anchored=anchored,
                keep=keep,
                qty_exp=instrument.qty_exp,
            )
        except ValueError as e:
            raise ConfigError(str(e), where=instrument.symbol, mend="see MarketData.watch") from None
        self._intervals[instrument.id] = tuple(intervals)
        if depth:
            self._sequencers[instrument.id] = Sequencer(instrument.id, ids=ids)

    def has_sessions(self, instrument: Instrument, intervals: Sequence[int]) -> bool:
        """Whether bars of these intervals follow the exchange's sessions: those of a day, of shares, where there are hours."""
        return self.calendar is not None and instrument.asset_class == AssetClass.US_EQUITY and max(intervals, default=0) >= DAY

    def bar_start(self, instrument: Instrument, interval: int, at: int) -> int:
        """The start of the bar that holds `at` (ns); between two sessions that of the next day's."""
        if self.calendar is not None and self.has_sessions(instrument, (interval,)):
            return self.calendar.day_bar(at)[0]
        return at - at % interval

    def book(self, instrument: int) -> OrderBook:
        """The live book of a watched instrument. Raises KeyError for any other."""
        return self.pipeline.book(instrument)

    def sequencer(self, instrument: int) -> Sequencer:
        """The sequencer of an instrument with depth. Raises KeyError for any other."""
        return self._sequencers[instrument]

    @property
    def has_depth(self) -> bool:
        """Whether some deltas go through `sequence`."""
        return bool(self._sequencers)

    @property
    def wanted(self) -> list[int]:
        """Instruments whose book needs a snapshot from the venue."""
        return [i for i, sequencer in self._sequencers.items() if sequencer.wanted]

    def sequence(self, records: Records) -> Records:
        """Market records in the order of the wire -> those to run, in their order, with GAP records where something is missing."""
        if not self._sequencers:
            return records
        deltas = records["type"] == RecordType.DELTA
        if not deltas.any():
            return records
        out = []
        owner = np.where(deltas, records["instrument"], 0)
        edges = np.flatnonzero(np.diff(owner)) + 1
        for run in np.split(records, edges):
            sequencer = self._sequencers.get(int(run["instrument"][0])) if run["type"][0] == RecordType.DELTA else None
            out.append(run if sequencer is None else sequencer.on_deltas(run))
        return np.concatenate(out)

    def on_snapshot(self, records: Records) -> Records:
        """A whole book from the venue, as deltas with CLEAR first -> the records to run, none where it comes too late."""
        sequencer = self._sequencers.get(int(records["instrument"][0])) if len(records) else None
        if sequencer is None:
            self.unwatched += 1
            return records[:0]
        return sequencer.on_snapshot(records)

    def lost(self, cause: GapCause, ts: int) -> Records:
        """The feed was down until `ts` (venue ns): GAP records for every watched instrument, to run before anything newer."""
        from_ts = self.pipeline.refs["quote_ts"]
        out = []
        for instrument in self._intervals:
            sequencer = self._sequencers.get(instrument)
            if sequencer is not None:
                out.append(sequencer.lost(cause, ts=ts))
            else:
                out.append(gap_record(instrument, cause, ts=ts, from_ts=int(from_ts[instrument])))
        return np.concatenate(out) if out else np.empty(0, market_dtype)

    def check(self, ts: int) -> Records:
        """After a run: GAP records for depth books that are crossed, which therefore cannot be right; they want a snapshot."""
        flags = self.pipeline.refs["flags"]
        out = [
            sequencer.lost(GapCause.CROSSED, ts=ts)
            for instrument, sequencer in self._sequencers.items()
            if sequencer.live and flags[instrument] & Flag.CROSSED and self.book(instrument).flags & Flag.CROSSED
        ]
        return np.concatenate(out) if out else np.empty(0, market_dtype)
