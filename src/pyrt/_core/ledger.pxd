"""Positions, cost basis, P&L and reservations: exact, and a function of the facts alone.

Money is 128 bits in units of 1e-18 (include/money.h). A slot is a place in an array that never moves to another key.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.types cimport i128, ref_t


cdef extern from "money.h" nogil:
    i128 i128_of(int64_t hi, uint64_t lo)
    int64_t i128_hi(i128 x)
    uint64_t i128_lo(i128 x)
    i128 i128_abs(i128 x)
    i128 i128_max(i128 a, i128 b)
    i128 i128_min(i128 a, i128 b)
    bint fits_i64(i128 x)
    bint money_add(i128 a, i128 b, i128* out)
    bint money_of(int64_t px, i128 qty, int64_t scale, i128* out)
    i128 money_share(i128 cost, uint64_t part, uint64_t whole)
    int64_t px_widen(int64_t px, int64_t bps, bint up)


cdef enum:                             # what fill() reports; bits
    FILL_UNRESERVED = 1                # no reservation of that key: booked all the same
    FILL_OVER = 2                      # more than the reservation's leaves: booked all the same
    FILL_OVERFLOW = 4                  # beyond 64 or 128 bits: not booked, the ledger is broken for good

cdef enum:                             # reservation_t.state; bits
    RESERVED_FIRM = 1                  # an Intended or ExternalSeen fact stands behind it, not only an approval
    RESERVED_UNKNOWN = 2               # its fate at the venue is not proved
    RESERVED_NETTED = 4                # the venue's buying power already counts it
    RESERVED_REPLACING = 8             # the pending replace is an Intended fact, not only an approval

ctypedef struct terms_t:               # an instrument's units
    int64_t scale                      # money = px * qty * scale; 0 = not defined
    int64_t tick, sub_tick             # px units at and above, and below 1.00
    int64_t lot                        # qty units

ctypedef struct position_t:            # of one strategy, or the account's sum, in one instrument
    i128 cost                          # money paid for what is held; negative for a short
    i128 realised                      # money, fees not taken off
    i128 fees                          # money paid
    i128 buys, sells                   # open leaves B and S, qty units
    int64_t qty                        # signed, qty units
    uint32_t strategy, instrument

ctypedef struct reservation_t:
    i128 cost                          # buying power it holds, money
    i128 pending_cost                  # what a replace under way holds beyond it
    uint64_t key                       # Intent.key of the chain's first order
    int64_t leaves                     # of the working order, qty units
    int64_t pending                    # what a replace under way would leave; 0 = none
    int64_t filled                     # of the whole chain
    int64_t seen_at                    # venue ns of the venue's acknowledgement; 0 = none yet
    int64_t px                         # price for notional, px units
    int64_t pending_px
    int64_t cross_px                   # the most generous price at which it may trade
    int64_t pending_cross
    uint32_t position, account         # slots
    uint32_t next, prev                # within the instrument's list; 0 = end
    uint16_t strategy
    uint8_t side, state


cdef inline int64_t counted(const reservation_t* r) noexcept nogil:
    return r.pending if r.pending > r.leaves else r.leaves

cdef inline int64_t notional_px(const reservation_t* r) noexcept nogil:
    return r.pending_px if r.pending > 0 and r.pending_px > r.px else r.px


cdef class Ledger:
    cdef terms_t* terms                # by instrument id
    cdef position_t* accounts          # by instrument id
    cdef uint32_t* first               # by instrument id: its newest reservation, 0 = none
    cdef uint32_t instruments          # rows of the three arrays
    cdef position_t* positions         # from 1
    cdef uint32_t positions_used, positions_room
    cdef uint32_t* position_table      # open addressing, slot numbers
    cdef reservation_t* reservations   # from 1
    cdef uint32_t reservations_used, reservations_room, free_reservation
    cdef uint32_t* reservation_table
    cdef uint32_t order_count          # reservations now
    cdef i128 order_value               # sum of counted leaves * px, money
    cdef i128 held                     # buying power of reservations that the venue does not count yet, money
    cdef int64_t filled_at             # venue ns of the latest fill that spent buying power
    cdef i128 spent                    # buying power of fills since the venue's figure, money
    cdef i128 realised, fees           # sums over everything, money
    cdef readonly bint broken          # a number did not fit: deny everything

    cdef bint grow_instruments(self, uint32_t instrument) noexcept nogil
    cdef uint32_t position_slot(self, uint32_t strategy, uint32_t instrument, bint make) noexcept nogil   # 0 = none
    cdef uint32_t find(self, uint64_t key) noexcept nogil                                                 # 0 = none
    cdef uint32_t put(self, uint64_t key, uint32_t strategy, uint32_t instrument, int side, int64_t qty, int64_t px,
                      int64_t cross_px) noexcept nogil                                                    # 0 = no room or not defined
    cdef bint shift(self, uint32_t slot, int64_t leaves, int64_t pending) noexcept nogil
    cdef void price(self, uint32_t slot, int64_t px, int64_t pending_px) noexcept nogil
    cdef void hold(self, uint32_t slot, i128 cost, i128 pending_cost) noexcept nogil
    cdef void settle_slot(self, uint32_t slot, bint accepted) noexcept nogil
    cdef void drop(self, uint32_t slot) noexcept nogil
    cdef int fill_order(self, uint64_t key, uint32_t strategy, uint32_t instrument, int side, int64_t px, int64_t qty, i128 fee) noexcept nogil
    cdef bint book(self, position_t* p, int64_t px, int64_t signed_qty, int64_t scale, i128 fee, i128* realised) noexcept nogil
    cdef bint marked(self, const position_t* p, const ref_t* ref, i128* out) noexcept nogil
    cdef void unlink_key(self, uint64_t key) noexcept nogil
