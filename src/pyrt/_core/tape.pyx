"""Market records of books by order."""
from libc.string cimport memset

from pyrt._core.l3 cimport price_of, rank_t, row_t
from pyrt._core.pit cimport room
from pyrt._core.types cimport NO_PX, TYPE_QUOTE, TYPE_STATUS, TYPE_TRADE, i128


cdef market_t* next_record(tape_t* tape, const watched_t* w, int64_t ts, int kind) noexcept nogil:
    cdef market_t* r
    if not room(<void**>&tape.rows, tape.n, &tape.cap, sizeof(market_t)):
        return NULL
    r = &tape.rows[tape.n]
    tape.n += 1
    tape.seq += 1
    memset(r, 0, sizeof(market_t))
    r.header.type = kind
    r.header.instrument = w.instrument
    r.header.seq = tape.seq
    r.header.ts_event = r.header.ts_recv = tape.midnight + ts
    return r


cdef inline int64_t units(const watched_t* w, uint64_t shares) noexcept nogil:
    # More than 64 bits hold is told as the most that they hold.
    cdef int64_t most = 0x7fffffffffffffff
    cdef i128 qty = <i128>shares * w.one
    return most if qty > most else <int64_t>qty


cdef bint tape_trade(tape_t* tape, const watched_t* w, int64_t ts, int64_t px, uint64_t qty, uint64_t trade_id, uint8_t taker,
                     uint8_t condition) noexcept nogil:
    cdef market_t* r = next_record(tape, w, ts, TYPE_TRADE)
    if r == NULL:
        return False
    r.trade.px = px
    r.trade.qty = units(w, qty)
    r.trade.trade_id = trade_id
    r.trade.conditions = condition
    r.trade.exchange = c'Q'
    r.trade.taker = taker
    return True


cdef bint tape_status(tape_t* tape, const watched_t* w, int64_t ts, uint8_t state, uint8_t letter, uint32_t reason) noexcept nogil:
    cdef market_t* r = next_record(tape, w, ts, TYPE_STATUS)
    if r == NULL:
        return False
    r.status.upper_px = r.status.lower_px = NO_PX
    r.status.reason = reason
    r.status.code = letter
    r.status.state = state
    return True


cdef inline void best_of(const orders_t* orders, uint32_t where, const watched_t* w, int64_t* px, int64_t* qty) noexcept nogil:
    cdef const row_t* row = &orders.rows[where]
    cdef const rank_t* v
    px[0] = NO_PX
    qty[0] = 0
    if row.n > 0:
        v = &orders.levels[row.rungs[row.n - 1].level]
        px[0] = price_of(v)
        qty[0] = units(w, <uint64_t>v.qty)


cdef bint tape_quote(tape_t* tape, watched_t* w, int64_t ts, const orders_t* orders, uint32_t book) noexcept nogil:
    cdef int64_t bid_px, bid_qty, ask_px, ask_qty
    cdef market_t* r
    best_of(orders, 2 * book, w, &bid_px, &bid_qty)
    best_of(orders, 2 * book + 1, w, &ask_px, &ask_qty)
    if bid_px == w.bid_px and bid_qty == w.bid_qty and ask_px == w.ask_px and ask_qty == w.ask_qty:
        return True
    r = next_record(tape, w, ts, TYPE_QUOTE)
    if r == NULL:
        return False
    r.quote.bid_px = w.bid_px = bid_px
    r.quote.bid_qty = w.bid_qty = bid_qty
    r.quote.ask_px = w.ask_px = ask_px
    r.quote.ask_qty = w.ask_qty = ask_qty
    return True
