"""Trades gathered once for all time bars: those in order since a window ended, and the last ones, to be taken back. All inline."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.bar_window cimport INHERITED, add_overflows, i128_of
from pyrt._core.conditions cimport UPDATES_ALL, UPDATES_VOLUME
from pyrt._core.types cimport NO_PX, i128, trade_t


cdef extern from * nogil:
    bint likely "__builtin_expect"(bint, bint)

cdef extern from "stdint.h" nogil:
    const int64_t FARTHEST "(INT64_MAX / 2)"           # ns: no time and no interval is beyond


cdef struct tip_t:                      # trades in order, not yet added to the newest window of each interval
    int64_t ts, until                  # a trade with ts <= its time < until belongs here; until 0: none does
    int64_t high_px, low_px, close_px
    int64_t volume
    uint64_t notional_lo
    int64_t notional_hi
    uint32_t trades
    uint16_t flags
    bint priced                        # some of them moved the price

cdef struct kept_t:                    # a trade that may be taken back
    int64_t ts, px, qty
    uint64_t trade_id
    uint8_t exchange, fields, live
    uint8_t reserved[5]


cdef inline bint fits_a_bar(const trade_t* trade) noexcept nogil:
    return 0 <= trade.ts_event <= FARTHEST and trade.qty > 0 and trade.px != NO_PX


cdef inline bint add_to_tip(tip_t* tip, const trade_t* trade, uint8_t fields) noexcept nogil:
    cdef int64_t px = trade.px, volume
    cdef i128 total
    if (not likely(trade.ts_event >= tip.ts and trade.ts_event < tip.until, True) or not fields & UPDATES_VOLUME
            or add_overflows(tip.volume, trade.qty, &volume)):
        return False
    if likely(fields == UPDATES_ALL, True):
        tip.high_px = px if px > tip.high_px else tip.high_px
        tip.low_px = px if px < tip.low_px else tip.low_px
        tip.close_px = px
        tip.ts = trade.ts_event
        tip.priced = True
    elif fields != UPDATES_VOLUME:
        return False
    total = i128_of(tip.notional_hi, tip.notional_lo) + <i128>px * trade.qty
    tip.notional_lo = <uint64_t>total
    tip.notional_hi = <int64_t>(total >> 64)
    tip.volume = volume
    tip.trades += 1
    tip.flags |= trade.flags & INHERITED
    return True


cdef inline uint64_t keep_trade(kept_t* ring, uint32_t size, uint64_t count, const trade_t* trade, uint8_t fields) noexcept nogil:
    """Remember a trade behind `count` others; returns how many there are then."""
    cdef kept_t* kept
    if size == 0:
        return count
    kept = &ring[count & (size - 1)]
    kept.ts = trade.ts_event
    kept.px = trade.px
    kept.qty = trade.qty
    kept.trade_id = trade.trade_id
    kept.exchange = trade.exchange
    kept.fields = fields
    kept.live = True
    return count + 1
