"""One bar as it forms, what a trade changes in it, and the rows that bars leave by. All inline."""
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport realloc

from pyrt._core.conditions cimport UPDATES_LAST, UPDATES_RANGE
from pyrt._core.types cimport FLAG_AMENDED, NO_PX, TYPE_BAR, bar_t, i128

cdef extern from "money.h" nogil:
    i128 i128_of(int64_t hi, uint64_t lo)

cdef extern from * nogil:
    bint add_overflows "__builtin_add_overflow"(int64_t, int64_t, int64_t*)


cdef enum:
    INHERITED = 16 | 4096 | 8192       # BACKFILLED, FEED_IEX, FEED_SIP: flags of a trade that its bars show


cdef struct window_t:
    int64_t start, end
    int64_t open_px, high_px, low_px, close_px
    int64_t open_ts, close_ts
    int64_t volume
    uint64_t notional_lo               # 128 bits in two words
    int64_t notional_hi
    uint32_t trades, revision          # revision counts publications after the first
    uint16_t flags
    uint8_t fields                     # which UPDATES_ bits any trade brought
    bint published, amended            # amended: changed since it was published

cdef struct bars_out_t:
    bar_t* rows
    int64_t n, capacity
    bint failed                        # out of memory


cdef inline void blank_window(window_t* w) noexcept nogil:
    # Field by field: a compiler makes of it a few wide stores, of memset a loop that takes longer to begin than to end.
    w.start = w.end = 0
    w.open_px = w.high_px = w.low_px = w.close_px = 0
    w.open_ts = w.close_ts = 0
    w.volume = 0
    w.notional_lo = 0
    w.notional_hi = 0
    w.trades = w.revision = 0
    w.flags = 0
    w.fields = 0
    w.published = w.amended = False


cdef inline bint add_to_window(window_t* w, int64_t qty, i128 notional) noexcept nogil:
    """False: the volume is beyond 64 bits, and stays at their end."""
    cdef i128 total = i128_of(w.notional_hi, w.notional_lo) + notional
    w.notional_lo = <uint64_t>total
    w.notional_hi = <int64_t>(total >> 64)
    if add_overflows(w.volume, qty, &w.volume):
        w.volume = INT64_MAX if qty > 0 else INT64_MIN
        return False
    return True


cdef inline void price_window(window_t* w, int64_t ts, int64_t px, uint8_t fields) noexcept nogil:
    # Open is the earliest price, close the latest; of equal times the first and the last to arrive.
    if fields & UPDATES_RANGE:
        if not w.fields & UPDATES_RANGE or px > w.high_px:
            w.high_px = px
        if not w.fields & UPDATES_RANGE or px < w.low_px:
            w.low_px = px
    if fields & UPDATES_LAST:
        if not w.fields & UPDATES_LAST or ts < w.open_ts:
            w.open_px = px
            w.open_ts = ts
        if not w.fields & UPDATES_LAST or ts >= w.close_ts:
            w.close_px = px
            w.close_ts = ts
    w.fields |= fields


cdef inline void write_window(const window_t* w, uint32_t instrument, int64_t interval, int64_t ts_recv, bar_t* row) noexcept nogil:
    row.type = TYPE_BAR
    row.seq = 0
    row.reserved[0] = row.reserved[1] = 0
    row.flags = w.flags
    if w.revision > 0:
        row.flags |= FLAG_AMENDED
    row.instrument = instrument
    row.ts_event = w.end
    row.ts_recv = ts_recv
    row.start = w.start
    row.interval = interval
    row.open_px = w.open_px if w.fields & UPDATES_LAST else NO_PX
    row.close_px = w.close_px if w.fields & UPDATES_LAST else NO_PX
    row.high_px = w.high_px
    row.low_px = w.low_px
    if not w.fields & UPDATES_RANGE:
        row.high_px = max(row.open_px, row.close_px)
        row.low_px = min(row.open_px, row.close_px)
    row.volume = w.volume
    row.notional_lo = w.notional_lo
    row.notional_hi = w.notional_hi
    row.trades = w.trades
    row.revision = w.revision


cdef inline bar_t* next_row(bars_out_t* out) noexcept nogil:
    """Room for one more bar; NULL: there is no memory, and `failed` says so."""
    cdef int64_t capacity = max(out.capacity * 2, 64)
    cdef void* rows
    if out.n == out.capacity:
        rows = realloc(out.rows, capacity * sizeof(bar_t))
        if rows == NULL:
            out.failed = True
            return NULL
        out.rows = <bar_t*>rows
        out.capacity = capacity
    out.n += 1
    return &out.rows[out.n - 1]
