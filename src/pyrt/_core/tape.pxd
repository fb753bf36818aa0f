"""What books by order tell the rest of the core of a share: its trades, best prices and trading states as market records."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pyrt._core.l3 cimport orders_t
from pyrt._core.types cimport market_t


cdef struct watched_t:
    uint32_t instrument
    int64_t one                        # qty units of a share
    int64_t bid_px, bid_qty, ask_px, ask_qty    # as they were last told

cdef struct tape_t:
    market_t* rows                     # wait for take()
    Py_ssize_t n, cap
    uint64_t seq                       # of the last record
    int64_t midnight                   # ns UTC that the stream's times count from

# False: memory ran out.
cdef bint tape_trade(tape_t* tape, const watched_t* w, int64_t ts, int64_t px, uint64_t qty, uint64_t trade_id, uint8_t taker,
                     uint8_t condition) noexcept nogil
cdef bint tape_status(tape_t* tape, const watched_t* w, int64_t ts, uint8_t state, uint8_t letter, uint32_t reason) noexcept nogil
cdef bint tape_quote(tape_t* tape, watched_t* w, int64_t ts, const orders_t* orders, uint32_t book) noexcept nogil   # where it changed
