"""Trades into bars of several kinds at once.

Each interval keeps its windows, oldest first, in a ring: the last `keep` published ones, then those not yet published (the open
one, and those inside their grace). Bars leave through `bars_out_t`, which all aggregators of a pipeline share.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.bar_window cimport bars_out_t, window_t
from pyrt._core.gathered cimport add_to_tip, fits_a_bar, keep_trade, kept_t, likely, tip_t
from pyrt._core.sampled cimport samples_t
from pyrt._core.types cimport FLAG_BACKFILLED, FLAG_LAST, gap_t, trade_t


cdef enum:
    MOST_INTERVALS = 8


cdef struct series_t:                  # the windows of one interval; a line of the cache where the bars begin one
    int64_t interval
    window_t* windows                  # ring of `size`, a power of two; those of all intervals are one piece
    window_t* last                     # the newest window; NULL before the first
    int64_t due                        # when the first of its windows is to be published; 0 = look
    uint32_t first, count, size
    uint32_t pending                   # windows not published, or amended since
    int64_t forgotten                  # end of the newest window that left the ring: before it, a trade is too late
    bint anchored                      # follows the sessions, not the epoch
    uint32_t reserved

cdef struct bars_t:                    # what a trade in order touches stands first, in two lines of the cache
    tip_t tip
    kept_t* kept                       # ring of the last trades
    uint64_t kept_count
    int64_t closed_at                  # the last `at` of a close
    int64_t next_close                 # 0 = nothing to close
    uint32_t kept_size
    uint32_t sampled                   # how many bars close by what was traded
    series_t series[MOST_INTERVALS]
    uint32_t intervals, instrument
    int64_t grace
    int64_t amend_at                   # when amended windows are published again; 0 = none is
    int64_t gap_to                     # windows that begin before it lack something
    const uint8_t* rules               # 256 UPDATES_ masks by condition letter
    const int64_t* sessions            # start, end, start, end ...; not owned
    int64_t session_count
    samples_t samples                  # the bars that close by what was traded
    uint64_t refused, too_late, outside, unmatched, inexact, unpriced, overflowed


cdef bint bars_init(bars_t* bars, uint32_t instrument, const int64_t* intervals, uint32_t n, int64_t grace, uint32_t keep, uint32_t keep_trades) noexcept nogil
cdef void bars_free(bars_t* bars) noexcept nogil
cdef void bars_trade(bars_t* bars, const trade_t* trade, uint8_t fields, bars_out_t* out) noexcept nogil   # fields: trade_fields()
cdef void bars_cancel(bars_t* bars, const trade_t* trade) noexcept nogil
cdef void bars_gap(bars_t* bars, const gap_t* gap) noexcept nogil
cdef void bars_close(bars_t* bars, int64_t at, bars_out_t* out) noexcept nogil

cdef inline bint bars_in_order(bars_t* bars, const trade_t* trade, uint8_t fields) noexcept nogil:
    """Take in a trade that begins no window and leaves with no bar; False: not such a one, and nothing was done."""
    if (not likely(fits_a_bar(trade), True) or bars.sampled > 0 or (trade.flags & FLAG_BACKFILLED and trade.flags & FLAG_LAST)
            or not add_to_tip(&bars.tip, trade, fields)):
        return False
    bars.kept_count = keep_trade(bars.kept, bars.kept_size, bars.kept_count, trade, fields)
    return True


cdef int start_bars(bars_t* bars, uint32_t instrument, intervals, int64_t grace, uint32_t keep, uint32_t keep_trades, int qty_exp) except -1
cdef bint has_interval(const bars_t* bars, int64_t code) noexcept nogil
cdef object set_sessions(bars_t* bars, boundaries, anchored)          # the array that must outlive the bars, or None
cdef object take_rows(bars_out_t* out)
cdef object forming_rows(bars_t* bars)
cdef dict bars_counters(const bars_t* bars)


cdef class BarAggregator:
    cdef bars_t bars
    cdef bars_out_t out
    cdef uint8_t own_rules[256]
    cdef object boundaries             # keeps the memory of `bars.sessions`
