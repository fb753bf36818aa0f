"""Bars that close by the clock, take late trades, and give back what was taken back; beside them those that close by trades."""
from cpython.buffer cimport PyBuffer_Release
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.stdlib cimport calloc, free
from libc.string cimport memset

import numpy as np

from pyrt._core.bar_window cimport INHERITED, add_to_window, blank_window, i128_of, next_row, price_window, write_window
from pyrt._core.buffers cimport open_records
from pyrt._core.conditions cimport UPDATES_ALL, UPDATES_LAST, UPDATES_VOLUME, default_rules, fill_rules, trade_fields
from pyrt._core.gathered cimport FARTHEST, add_to_tip, fits_a_bar, keep_trade, likely
from pyrt._core.sampled cimport fit_code, read_code, sample_t, samples_flag, samples_free, samples_init, samples_trade
from pyrt._core.types cimport (
    CLOCK_VENUE, FLAG_BACKFILLED, FLAG_CORRECTED, FLAG_GAP, FLAG_LAST, FLAG_LATE, NO_PX, TYPE_GAP, TYPE_TIMER, TYPE_TRADE,
    TYPE_TRADE_CANCEL, bar_t, i128, market_t,
)
from pyrt._core.types import bar_dtype as _bar_dtype


DAY = 86_400_000_000_000
cdef extern from "stdint.h" nogil:
    const int64_t MOST "INT64_MAX"
    const int64_t LEAST "INT64_MIN"


# ---------------------------------------------------------------------------------------------------- windows
cdef inline window_t* _window(const series_t* s, uint32_t i) noexcept nogil:
    return &s.windows[(s.first + i) & (s.size - 1)]


cdef inline void _sum(bars_t* bars, window_t* w, int64_t qty, i128 notional) noexcept nogil:
    if not add_to_window(w, qty, notional):
        bars.overflowed += 1


cdef void _changed(bars_t* bars, series_t* s, window_t* w) noexcept nogil:
    # A published window is published again, together with the other changes of one grace.
    if not w.published or w.amended:
        return
    w.amended = True
    s.pending += 1
    if bars.amend_at == 0:
        bars.amend_at = bars.closed_at + bars.grace
    if bars.next_close == 0 or bars.amend_at < bars.next_close:
        bars.next_close = bars.amend_at


cdef void _publish(bars_t* bars, series_t* s, window_t* w, bars_out_t* out) noexcept nogil:
    cdef bar_t* row
    s.pending -= 1
    if s.last == w:
        s.last = NULL
    if not w.published and not w.fields & UPDATES_LAST:
        bars.unpriced += w.trades
    w.published = True
    w.amended = False
    if not w.fields & UPDATES_LAST and w.revision == 0:
        return                                          # no valid trade, no bar
    row = next_row(out)
    if row == NULL:
        return
    write_window(w, bars.instrument, s.interval, bars.closed_at, row)
    w.revision += 1


cdef bint _bounds(const bars_t* bars, const series_t* s, int64_t ts, int64_t* start, int64_t* end) noexcept nogil:
    cdef int64_t low = 0, high = bars.session_count, middle, opening
    if not s.anchored:
        start[0] = ts - ts % s.interval
        end[0] = start[0] + s.interval
        return True
    while low < high:                                   # the first session that begins after ts
        middle = (low + high) >> 1
        if bars.sessions[2 * middle] <= ts:
            low = middle + 1
        else:
            high = middle
    if low == 0 or ts >= bars.sessions[2 * low - 1]:
        return False
    opening = bars.sessions[2 * low - 2]
    start[0] = opening + (ts - opening) // s.interval * s.interval
    end[0] = min(start[0] + s.interval, bars.sessions[2 * low - 1])
    return True


cdef window_t* _insert(bars_t* bars, series_t* s, uint32_t i, bars_out_t* out) noexcept nogil:
    # A blank window as the i-th oldest, or NULL where that would only push itself out.
    cdef window_t* w
    cdef uint32_t k
    if s.count == s.size:
        if i == 0:
            return NULL
        w = _window(s, 0)
        if s.pending > 0 and (not w.published or w.amended):
            _publish(bars, s, w, out)                   # nobody closed it in time: never lost
            s.due = 0
        s.forgotten = w.end
        s.first = (s.first + 1) & (s.size - 1)
        s.count -= 1
        i -= 1
    for k in range(s.count, i, -1):
        _window(s, k)[0] = _window(s, k - 1)[0]
    s.count += 1
    w = _window(s, i)
    blank_window(w)
    return w


cdef window_t* _find(bars_t* bars, series_t* s, int64_t ts, bars_out_t* out) noexcept nogil:
    # The window of a time, made where there is none; NULL: none can be. `out` NULL: do not make one.
    cdef int64_t start, end
    cdef uint32_t i = s.count
    cdef window_t* w
    if not _bounds(bars, s, ts, &start, &end):
        if out != NULL:
            bars.outside += 1
        return NULL
    while i > 0 and _window(s, i - 1).start > start:
        i -= 1
    if i > 0 and _window(s, i - 1).start == start:
        return _window(s, i - 1)
    w = _insert(bars, s, i, out) if out != NULL and end > s.forgotten else NULL
    if w == NULL:
        bars.too_late += 1
        return NULL
    w.start = start
    w.end = end
    w.flags = FLAG_GAP if start < bars.gap_to else 0
    if s.pending == 0 or (s.due != 0 and end + bars.grace < s.due):
        s.due = end + bars.grace
    s.pending += 1
    if bars.next_close == 0 or end + bars.grace < bars.next_close:
        bars.next_close = end + bars.grace
    return w


# ---------------------------------------------------------------------------------------------------- trades
cdef void _add(bars_t* bars, series_t* s, const trade_t* trade, uint8_t fields, i128 notional, bars_out_t* out) noexcept nogil:
    cdef window_t* w = s.last
    cdef window_t* newest
    if w == NULL or trade.ts_event < w.start or trade.ts_event >= w.end:
        w = _find(bars, s, trade.ts_event, out)
        if w == NULL:
            return
        newest = _window(s, s.count - 1)
        s.last = newest if not newest.published else NULL
    price_window(w, trade.ts_event, trade.px, fields)
    if fields & UPDATES_VOLUME:
        _sum(bars, w, trade.qty, notional)
    w.trades += 1
    w.flags |= trade.flags & INHERITED
    if w.end + bars.grace <= bars.closed_at:
        w.flags |= FLAG_LATE
    _changed(bars, s, w)


cdef void _fold(bars_t* bars) noexcept nogil:
    # What the tip gathered becomes part of the windows.
    cdef tip_t* tip = &bars.tip
    cdef i128 notional = i128_of(tip.notional_hi, tip.notional_lo)
    cdef uint32_t k
    cdef window_t* w
    tip.until = 0
    if tip.trades == 0:
        return
    for k in range(bars.intervals):
        w = bars.series[k].last
        if tip.priced:
            w.high_px = tip.high_px if tip.high_px > w.high_px else w.high_px
            w.low_px = tip.low_px if tip.low_px < w.low_px else w.low_px
            w.close_px = tip.close_px
            w.close_ts = tip.ts
        _sum(bars, w, tip.volume, notional)
        w.trades += tip.trades
        w.flags |= tip.flags
    tip.trades = 0


cdef void _raise_tip(bars_t* bars) noexcept nogil:
    # From here on trades in order are gathered once for all intervals, until the first window ends.
    cdef tip_t* tip = &bars.tip
    cdef uint32_t k
    cdef window_t* w
    memset(tip, 0, sizeof(tip_t))
    tip.high_px = LEAST
    tip.low_px = MOST
    for k in range(bars.intervals):
        w = bars.series[k].last
        if w == NULL or w.fields != UPDATES_ALL:
            tip.until = 0
            return
        if k == 0 or w.end < tip.until:
            tip.until = w.end
        tip.ts = max(tip.ts, w.close_ts)


cdef inline void _clock(bars_t* bars, const trade_t* trade, uint8_t fields, bars_out_t* out) noexcept nogil:
    # Into the time bars alone: nothing here costs more because there are other kinds.
    cdef i128 notional
    cdef uint32_t k
    if not likely(fits_a_bar(trade), True):
        bars.refused += 1
        return
    if fields == 0:
        return
    bars.kept_count = keep_trade(bars.kept, bars.kept_size, bars.kept_count, trade, fields)
    if not add_to_tip(&bars.tip, trade, fields):
        _fold(bars)
        notional = <i128>trade.px * trade.qty
        for k in range(bars.intervals):
            _add(bars, &bars.series[k], trade, fields, notional, out)
        _raise_tip(bars)
    if trade.flags & FLAG_BACKFILLED and trade.flags & FLAG_LAST:
        _heal(bars)


cdef void bars_trade(bars_t* bars, const trade_t* trade, uint8_t fields, bars_out_t* out) noexcept nogil:
    _clock(bars, trade, fields, out)
    if bars.sampled > 0 and fields != 0 and fits_a_bar(trade):
        samples_trade(&bars.samples, trade, fields, bars.instrument, out)


cdef kept_t* _recall(bars_t* bars, const trade_t* trade) noexcept nogil:
    cdef uint64_t n = bars.kept_count if bars.kept_count < bars.kept_size else bars.kept_size
    cdef uint64_t i
    cdef kept_t* kept
    for i in range(1, n + 1):
        kept = &bars.kept[(bars.kept_count - i) & (bars.kept_size - 1)]
        if (kept.live and kept.trade_id == trade.trade_id and kept.px == trade.px and kept.qty == trade.qty
                and kept.exchange == trade.exchange and (trade.trade_id != 0 or kept.ts == trade.ts_event)):
            return kept
    return NULL


cdef void _price_again(bars_t* bars, window_t* w) noexcept nogil:
    # Open, high, low and close from the trades that are still known, if those are all of the window.
    cdef uint64_t n = bars.kept_count if bars.kept_count < bars.kept_size else bars.kept_size
    cdef uint64_t i
    cdef uint32_t known = 0
    cdef window_t fresh
    cdef kept_t* kept
    blank_window(&fresh)
    for i in range(n, 0, -1):
        kept = &bars.kept[(bars.kept_count - i) & (bars.kept_size - 1)]
        if kept.live and w.start <= kept.ts < w.end:
            price_window(&fresh, kept.ts, kept.px, kept.fields)
            known += 1
    if known != w.trades:
        bars.inexact += 1
        w.flags |= FLAG_GAP
        return
    w.fields = fresh.fields
    w.open_px, w.open_ts = fresh.open_px, fresh.open_ts
    w.close_px, w.close_ts = fresh.close_px, fresh.close_ts
    w.high_px, w.low_px = fresh.high_px, fresh.low_px


cdef void bars_cancel(bars_t* bars, const trade_t* trade) noexcept nogil:
    cdef kept_t* kept = _recall(bars, trade)
    cdef window_t* w
    cdef uint32_t k
    if kept == NULL:
        bars.unmatched += 1
        return
    kept.live = False
    samples_flag(&bars.samples, FLAG_CORRECTED, True)   # one of theirs, perhaps: they say so and stay
    _fold(bars)
    for k in range(bars.intervals):
        w = _find(bars, &bars.series[k], kept.ts, NULL)
        if w == NULL:
            continue
        w.trades -= 1
        w.flags |= FLAG_CORRECTED
        if kept.fields & UPDATES_VOLUME:
            _sum(bars, w, -kept.qty, -(<i128>kept.px * kept.qty))
        if kept.fields & ~UPDATES_VOLUME and (
                kept.px == w.high_px or kept.px == w.low_px or kept.ts == w.open_ts or kept.ts == w.close_ts):
            _price_again(bars, w)
        _changed(bars, &bars.series[k], w)


# ---------------------------------------------------------------------------------------------------- gaps and time
cdef void bars_gap(bars_t* bars, const gap_t* gap) noexcept nogil:
    cdef int64_t end = gap.to_ts if gap.to_ts != 0 else gap.ts_event
    cdef int64_t begin = gap.from_ts if gap.from_ts != 0 else end
    cdef uint32_t k, i
    cdef window_t* w
    if gap.flags & FLAG_BACKFILLED:                     # everything that was missed is known or follows at once
        samples_flag(&bars.samples, FLAG_GAP, False)
        _heal(bars)
        return
    samples_flag(&bars.samples, FLAG_GAP, True)
    _fold(bars)
    for k in range(bars.intervals):
        for i in range(bars.series[k].count):
            w = _window(&bars.series[k], i)
            if not w.published or (w.start < end and w.end > begin):
                w.flags |= FLAG_GAP
                _changed(bars, &bars.series[k], w)
    bars.gap_to = max(bars.gap_to, end)


cdef void _heal(bars_t* bars) noexcept nogil:
    cdef uint32_t k, i
    cdef window_t* w
    _fold(bars)
    for k in range(bars.intervals):
        for i in range(bars.series[k].count):
            w = _window(&bars.series[k], i)
            if w.flags & FLAG_GAP:
                w.flags &= <uint16_t>~FLAG_GAP
                _changed(bars, &bars.series[k], w)
    bars.gap_to = 0


cdef void _close_series(bars_t* bars, series_t* s, int64_t at, bint amend, bars_out_t* out) noexcept nogil:
    # What waits are nearly always the newest windows: the first of them is looked for from there, so that old ones stay untouched.
    cdef uint32_t i = s.count, waiting = s.pending
    cdef int64_t due
    cdef window_t* w
    while waiting > 0 and i > 0:
        i -= 1
        w = _window(s, i)
        waiting -= not w.published or w.amended
    s.due = 0
    for i in range(i, s.count):
        w = _window(s, i)
        if w.published and not w.amended:
            continue
        due = bars.amend_at if w.published else w.end + bars.grace
        if (amend and w.published) or (not w.published and due <= at):
            _publish(bars, s, w, out)
        elif s.due == 0 or due < s.due:
            s.due = due


cdef void bars_close(bars_t* bars, int64_t at, bars_out_t* out) noexcept nogil:
    # Publishes every window whose end + grace has come, and the amended ones after a grace of their own.
    cdef uint32_t k
    cdef bint amend = bars.amend_at != 0 and bars.amend_at <= at
    cdef series_t* s
    if at > bars.closed_at:
        bars.closed_at = at
    if bars.next_close == 0 or at < bars.next_close:
        return
    _fold(bars)
    bars.next_close = 0
    if amend:
        bars.amend_at = 0
    for k in range(bars.intervals):
        s = &bars.series[k]
        if s.pending == 0:
            continue
        if amend or bars.amend_at != 0 or s.due <= at:
            _close_series(bars, s, at, amend, out)
        if s.pending > 0 and (bars.next_close == 0 or s.due < bars.next_close):
            bars.next_close = s.due


cdef bint bars_init(bars_t* bars, uint32_t instrument, const int64_t* intervals, uint32_t n, int64_t grace, uint32_t keep, uint32_t keep_trades) noexcept nogil:
    cdef uint32_t k, size = 2, kept = 1
    cdef window_t* windows = NULL
    memset(bars, 0, sizeof(bars_t))
    while size < keep:
        size *= 2
    while kept < keep_trades:
        kept *= 2
    bars.instrument = instrument
    bars.grace = grace
    bars.rules = default_rules()
    if n > 0:
        windows = <window_t*>calloc(n * size, sizeof(window_t))
        if windows == NULL:
            return False
    for k in range(n):
        bars.series[k].interval = intervals[k]
        bars.series[k].size = size
        bars.series[k].windows = windows + k * size
        bars.intervals += 1
    if keep_trades > 0:
        bars.kept = <kept_t*>calloc(kept, sizeof(kept_t))
        bars.kept_size = kept
    return keep_trades == 0 or bars.kept != NULL


cdef void bars_free(bars_t* bars) noexcept nogil:
    if bars.intervals > 0:
        free(bars.series[0].windows)
    samples_free(&bars.samples)
    free(bars.kept)


# ---------------------------------------------------------------------------------------------------- Python
cdef object take_rows(bars_out_t* out):
    if out.failed:
        raise MemoryError("no memory for more bars: some were lost")
    if out.n == 0:
        return np.empty(0, _bar_dtype)
    raw = PyByteArray_FromStringAndSize(<char*>out.rows, out.n * sizeof(bar_t))
    out.n = 0
    return np.frombuffer(raw, _bar_dtype)


cdef int start_bars(bars_t* bars, uint32_t instrument, intervals, int64_t grace, uint32_t keep, uint32_t keep_trades, int qty_exp) except -1:
    cdef int64_t[MOST_INTERVALS] clocked, sampled
    cdef uint32_t n = 0, m = 0
    cdef int64_t code
    if not 0 <= qty_exp <= 18:
        raise ValueError(f"a quantity exponent is between 0 and 18, not {qty_exp}")
    if not 0 < len(intervals) <= MOST_INTERVALS:
        raise ValueError(f"between one and {MOST_INTERVALS} intervals, not {len(intervals)}")
    for interval in intervals:
        code = read_code(interval)
        if code > 0:
            clocked[n] = code
            n += 1
        else:
            fit_code(code, qty_exp)
            sampled[m] = code
            m += 1
    if grace < 0:
        raise ValueError(f"a grace is 0 ns or more, not {grace}")
    if not bars_init(bars, instrument, clocked, n, grace, keep, keep_trades) or not samples_init(&bars.samples, sampled, m, qty_exp):
        bars_free(bars)
        bars.intervals = 0
        bars.kept = NULL
        raise MemoryError("no memory for bars")
    bars.sampled = m
    return 0


cdef bint has_interval(const bars_t* bars, int64_t code) noexcept nogil:
    cdef uint32_t k
    for k in range(bars.intervals):
        if bars.series[k].interval == code:
            return True
    for k in range(bars.samples.n):
        if bars.samples.each[k].code == code:
            return True
    return False


cdef object set_sessions(bars_t* bars, boundaries, anchored):
    # The array to keep alive, or None.
    cdef const int64_t[::1] edges
    cdef uint32_t k
    if boundaries is None:
        if anchored:
            raise ValueError("anchored intervals need boundaries")
        return None
    array = np.ascontiguousarray(boundaries, np.int64).reshape(-1)
    if len(array) % 2 or np.any(np.diff(array) < 0) or np.any(np.diff(array)[::2] == 0):
        raise ValueError("boundaries are start, end, start, end ... ascending, ns UTC, no session empty")
    edges = array
    bars.sessions = &edges[0] if len(array) > 0 else NULL
    bars.session_count = len(array) // 2
    for k in range(bars.intervals):
        interval = bars.series[k].interval
        bars.series[k].anchored = interval in anchored or interval >= DAY or DAY % interval != 0
    return array


cdef object forming_rows(bars_t* bars):
    cdef uint32_t k, i
    cdef window_t* w
    rows = []
    cdef bar_t row
    _fold(bars)
    for k in range(bars.intervals):
        for i in range(bars.series[k].count):
            w = _window(&bars.series[k], i)
            if not w.published and w.fields & UPDATES_LAST:
                write_window(w, bars.instrument, bars.series[k].interval, bars.closed_at, &row)
                rows.append((<char*>&row)[:sizeof(bar_t)])
    for k in range(bars.samples.n):
        w = &bars.samples.each[k].w
        if w.fields & UPDATES_LAST:
            write_window(w, bars.instrument, bars.samples.each[k].code, bars.closed_at, &row)
            rows.append((<char*>&row)[:sizeof(bar_t)])
    return np.frombuffer(b"".join(rows), _bar_dtype)


cdef dict bars_counters(const bars_t* bars):
    return {"refused": bars.refused, "too_late": bars.too_late + bars.samples.late, "outside": bars.outside, "inexact": bars.inexact,
            "unmatched": bars.unmatched, "unpriced": bars.unpriced, "overflowed": bars.overflowed + bars.samples.overflowed}


cdef Py_ssize_t _gather(bars_t* bars, const market_t* records, Py_ssize_t n) noexcept nogil:
    # How many of the first records are trades that the tip takes; it and the count stay in registers.
    cdef tip_t tip = bars.tip
    cdef const uint8_t* rules = bars.rules
    cdef kept_t* ring = bars.kept
    cdef uint32_t size = bars.kept_size
    cdef uint64_t count = bars.kept_count
    cdef Py_ssize_t i = 0
    cdef const trade_t* trade
    cdef uint8_t fields
    while i < n:
        trade = &records[i].trade
        if trade.type != TYPE_TRADE or not fits_a_bar(trade) or trade.flags & FLAG_BACKFILLED:
            break
        fields = trade_fields(rules, trade)
        if not add_to_tip(&tip, trade, fields):
            break
        count = keep_trade(ring, size, count, trade, fields)
        i += 1
    bars.tip = tip
    bars.kept_count = count
    return i


cdef Py_ssize_t _apply_all(bars_t* bars, const market_t* records, Py_ssize_t n, bars_out_t* out) noexcept nogil:
    cdef Py_ssize_t i = 0, trades = 0, taken
    cdef uint16_t kind
    while i < n:
        if records[i].header.ts_event < bars.tip.until:
            taken = _gather(bars, records + i, n - i)
            trades += taken
            i += taken
            if i == n:
                break
        kind = records[i].header.type
        if kind == TYPE_TRADE:
            _clock(bars, &records[i].trade, trade_fields(bars.rules, &records[i].trade), out)
            trades += 1
        elif kind == TYPE_TIMER:
            if records[i].timer.clock == CLOCK_VENUE:
                bars_close(bars, records[i].timer.at, out)
        elif kind == TYPE_TRADE_CANCEL:
            bars_cancel(bars, &records[i].trade)
        elif kind == TYPE_GAP:
            bars_gap(bars, &records[i].gap)
        i += 1
    return trades


cdef Py_ssize_t _apply_both(bars_t* bars, const market_t* records, Py_ssize_t n, bars_out_t* out) noexcept nogil:
    cdef Py_ssize_t i, trades = 0
    for i in range(n):
        if records[i].header.type == TYPE_TRADE:
            bars_trade(bars, &records[i].trade, trade_fields(bars.rules, &records[i].trade), out)
            trades += 1
        else:
            _apply_all(bars, &records[i], 1, out)
    return trades


cdef class BarAggregator:
    """Bars of one instrument, of several kinds at once: Time, Tick, Volume, Dollar, Range, Imbalance (pyrt.bars), or an int: ns of time.

    A time bar covers start <= ts_event < start + interval and is published by `close(at)` when its end + grace (ns) has come, not by the
    next trade; a window without a trade that may set open and close is no bar. The last `keep` windows of each interval take late
    trades and are published again with revision + 1; older ones are counted as too late. The last `keep_trades` trades can be taken
    back: volume, notional and count exactly; prices exactly where all other trades of the window are among them, else the bar is
    flagged GAP and counted as inexact; a window left without trades is published with trades 0 and NO_PX.
    Windows start at multiples of the interval since the epoch; with `boundaries` (start, end, start, end ... of sessions, ns UTC)
    intervals that do not divide a day, those of a day or more, and those in `anchored` start with the session and end with it.
    `rules`: letter -> BarField of what a sale condition lets a trade change; letters that are not there change everything.
    The other kinds take trades as they come, and leave with the trade that closes them, once: start and ts_event are the times of their
    first and newest trade, interval is the `code` of what closes them. A gap and a cancel flag the bar that forms (GAP, CORRECTED); a
    backfilled trade older than it counts as too late. `qty_exp`: a quantity's unit is 10^-qty_exp.
    Trades with a negative time, no quantity or no price are refused and counted. Raises ValueError for arguments out of range.
    """

    def __cinit__(self, intervals, *, int64_t grace=0, uint32_t keep=16, uint32_t keep_trades=256, boundaries=None, anchored=(),
                  rules=None, uint32_t instrument=0, int qty_exp=9):
        start_bars(&self.bars, instrument, intervals, grace, keep, keep_trades, qty_exp)
        self.boundaries = set_sessions(&self.bars, boundaries, anchored)
        if rules is not None:
            fill_rules(self.own_rules, rules)
            self.bars.rules = self.own_rules

    def __dealloc__(self):
        bars_free(&self.bars)
        free(self.out.rows)

    def apply(self, records) -> int:
        """Take in 64-byte records without the GIL, return how many were trades: TRADE, TRADE_CANCEL, GAP, venue TIMER (closes)."""
        cdef Py_buffer view
        cdef Py_ssize_t n = open_records(records, &view, sizeof(market_t))
        try:
            with nogil:
                if self.bars.sampled > 0:
                    n = _apply_both(&self.bars, <const market_t*>view.buf, n, &self.out)
                else:
                    n = _apply_all(&self.bars, <const market_t*>view.buf, n, &self.out)
        finally:
            PyBuffer_Release(&view)
        return n

    def close(self, int64_t at) -> None:
        """Publish every bar whose end + grace is at or before `at`, venue ns."""
        bars_close(&self.bars, at, &self.out)

    def take(self):
        """The bars published since the last call, as an array of bar_dtype."""
        return take_rows(&self.out)

    def forming(self):
        """The bars not yet published, as they stand."""
        return forming_rows(&self.bars)

    @property
    def next_close(self) -> int:
        """Venue ns at which `close` has something to publish; 0 = nothing waits."""
        return self.bars.next_close

    @property
    def counters(self) -> dict[str, int]:
        """refused: bad trades; too_late, outside: an interval that had no window for a trade; unmatched: cancels of unknown trades;
        inexact: bars whose prices may contain a cancelled trade; unpriced: trades in windows without a price; overflowed: volumes
        beyond 64 bits.
        """
        return bars_counters(&self.bars)
