"""Every pre-trade control and the reservation in one step.

What the controls remember of the past (rings, throttles, latches) is changed by facts alone; an approval that no fact stands
behind yet waits in `waiting` and counts as if it had been sent.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.ledger cimport Ledger
from pyrt._core.prices cimport Prices, bounds_t, look_t, order_t, tape_t
from pyrt._core.types cimport i128, ref_t
from pyrt._core.windows cimport activity_t


cdef enum:
    SENT = 1024                        # orders that DUPLICATE looks back over
    WAITING = 64                       # approvals that no fact stands behind yet
    SHORT_BPS = 300                    # what is sold short counts at so much over the ask

ctypedef struct sent_t:
    order_t order
    int64_t at                         # venue ns


cdef class Controls(Prices):
    cdef readonly Ledger ledger
    cdef const ref_t[::1] refs
    cdef bounds_t* bounds              # by instrument id
    cdef tape_t* tapes
    cdef uint32_t instruments
    cdef activity_t* activities        # by position slot
    cdef uint32_t activities_room
    cdef int64_t* strategy_throttle    # by strategy id, venue ns
    cdef uint8_t* strategy_level
    cdef int64_t account_throttle      # monotonic ns; not durable
    cdef uint8_t system_level, account_level
    cdef uint8_t gate_open             # 0 = closed, 1 = exits only, 2 = open
    cdef sent_t* sent
    cdef uint64_t sent_count
    cdef sent_t waiting[WAITING]
    cdef uint32_t waiting_count
    cdef i128 buying_power             # the venue's figure, money; -1 = never told
    cdef i128 pnl, baseline, peak      # money: at the last mark; where the day began; the day's highest
    cdef i128 gross, net_long, net_short
    cdef readonly int unmarked         # positions that the last mark found no price for
    cdef readonly int unpriced         # instruments that count in the worst-case sums and have no price
    cdef readonly int64_t clock_off    # how far our clock is off, ns; 0 = near enough
    cdef readonly uint64_t crossed     # key of the own order that SELF_MATCH met last
    cdef list books                    # keeps what tapes[].book points to
    cdef bint rules_complete
    cdef bint market_halted            # a circuit breaker stopped all shares
    cdef int64_t lists_until           # until when the restricted lists are good, venue ns
    cdef i128 days_peak                # the highest P&L of the last days, money
    cdef bint measuring                # nothing is reserved
    cdef bint limit_in_money           # of POSITION_LIMIT's numbers
    cdef look_t look

    cdef uint64_t check_order(self, const order_t* order, int64_t now, int64_t mono, bint every) noexcept nogil
    cdef bint gates(self, look_t* k) noexcept nogil
    cdef bint size(self, look_t* k) noexcept nogil
    cdef bint closed(self, look_t* k) noexcept nogil
    cdef bint shortable(self, look_t* k, i128 free) noexcept nogil
    cdef bint position(self, look_t* k) noexcept nogil
    cdef bint portfolio(self, look_t* k) noexcept nogil
    cdef i128 filled_loss(self, look_t* k) noexcept nogil
    cdef i128 loss_of(self, uint32_t instrument, int side, int64_t n, int64_t px, int64_t cross_px,
                      bint closing) noexcept nogil
    cdef bint crossing(self, look_t* k) noexcept nogil
    cdef bint repeated(self, look_t* k) noexcept nogil
    cdef bint rate(self, look_t* k) noexcept nogil
    cdef bint reserve(self, look_t* k) noexcept nogil
    cdef i128 cost_of(self, const order_t* order, int64_t n, int64_t px, i128 q, i128 buys, i128 sells) noexcept nogil
    cdef bint forget(self, uint64_t key) noexcept nogil
    cdef void contribute(self, uint32_t instrument) noexcept nogil
    cdef int64_t unquoted(self, uint32_t instrument) noexcept nogil
    cdef activity_t* activity(self, uint32_t position) noexcept nogil
    cdef bint grow(self, uint32_t instrument) noexcept nogil
