"""Every pre-trade control and the reservation in one step.

What the controls remember of the past (rings, throttles, latches) is changed by facts alone; an approval that no fact stands
behind yet waits in `waiting` and counts as if it had been sent.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.book cimport book_t
from pyrt._core.codes cimport CODES
from pyrt._core.ledger cimport Ledger, position_t, reservation_t, terms_t
from pyrt._core.types cimport i128, ref_t
from pyrt._core.windows cimport activity_t, ring_t


cdef enum:                             # order_t.type, as model.OrderType
    ORDER_MARKET = 1
    ORDER_LIMIT = 2
    ORDER_STOP = 3
    ORDER_STOP_LIMIT = 4
    ORDER_TRAILING_STOP = 5

cdef enum:
    SENT = 1024                        # orders that DUPLICATE looks back over
    WAITING = 64                       # approvals that no fact stands behind yet

ctypedef struct order_t:
    uint64_t key
    uint64_t replaces                  # key of the chain it changes; 0 = a new order
    int64_t qty, limit_px, stop_px     # 0 = none
    int64_t trail                      # of a trailing stop: px units; below 0 = parts of 1e9 of the price
    uint32_t instrument
    uint16_t strategy
    uint8_t side, type, reduce_only, extended
    uint8_t auction                    # for the opening or closing auction: whoever asks knows its hours

ctypedef struct rules_t:               # of the account; -1 = missing
    int64_t max_age                    # of a quote, ns of venue time
    int64_t max_trade_age              # of the last trade, ns
    int64_t max_spread_bps
    int64_t haircut_bps                # on a last good price that is stale
    int64_t gap_bps                    # beyond a stop price
    int64_t max_slippage_bps, slippage_absolute    # 1 = the distance counts both ways
    int64_t duplicate_window           # ns
    int64_t repeat_max, repeat_window  # sends, or executions, of a strategy in an instrument and side
    int64_t round_trips                # of a strategy in an instrument within repeat_window
    int64_t account_interval, account_burst        # ns a message; messages. Orders may use 4/5 of the burst
    int64_t strategy_interval, strategy_burst
    int64_t symbol_interval, symbol_burst
    int64_t rate_max, rate_window      # orders of an instrument
    int64_t cancel_ratio, cancel_window            # cancels a fill of an instrument
    int64_t open_count
    i128 open_value, gross, net        # money
    i128 daily_loss, drawdown          # money, above 0

ctypedef struct bounds_t:              # of an instrument; -1 = missing
    i128 notional, position_notional   # money
    int64_t qty, position_qty, strategy_qty        # qty units
    int64_t collar_bps, passive_bps
    uint32_t complete                  # 0 = no profile, or a limit of it is missing
    uint32_t restricted                # 0 = free, 1 = close only, 2 = nothing

ctypedef struct tape_t:                # of an instrument
    ring_t sends, cancels, fills
    int64_t throttle                   # the instant at which the bucket is full again, venue ns
    int64_t pre_open, open, close, post_close      # session boundaries, venue ns; 0, 0 = always open
    int64_t mark_px                    # of the last mark; 0 = never
    int64_t lower_px, upper_px         # bands of the regular session; 0 = none told
    const book_t* book                 # NULL = none: the touch alone is visible
    bint scheduled                     # the session was told; where it was not, the market is closed
    uint32_t unknown                   # orders whose fate is not proved
    uint32_t level
    i128 up, down                      # of what it adds to the sums now
    int64_t px, scale
    i128 gross, net_long, net_short    # what it adds to the sums, money

ctypedef struct sent_t:
    order_t order
    int64_t at                         # venue ns

ctypedef struct look_t:                # one order under check
    const order_t* order
    position_t* account
    position_t* own                    # the strategy's
    const reservation_t* replaced      # NULL = a new order
    bounds_t* bounds
    tape_t* tape
    activity_t* activity               # NULL = the strategy never traded this
    const ref_t* ref
    terms_t terms
    int64_t now, mono
    int64_t n                          # what its leaves may become, qty units
    int64_t ref_px                     # 0 = none
    int64_t worst_px, cross_px
    i128 notional
    i128 long_, short_                 # both ends of the account's interval at worst_px, money
    i128 reach                         # the larger of the two
    i128 cost
    i128 up, down                      # q + B and q - S of the account with this order
    i128 own_up, own_down
    bint fresh                         # ref_px is not stale
    bint reducing, own_reducing


cdef inline int64_t trail_distance(const order_t* o, int64_t ref_px) noexcept nogil:
    # Rounded up: a wider trail is the worse one for what buys.
    return o.trail if o.trail >= 0 else <int64_t>((-<i128>o.trail * ref_px + 999_999_999) / 1_000_000_000)


cdef class Controls:
    cdef readonly Ledger ledger
    cdef const ref_t[::1] refs
    cdef rules_t rules
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
    cdef readonly uint64_t crossed     # key of the own order that SELF_MATCH met last
    cdef list books                    # keeps what tapes[].book points to
    cdef bint rules_complete
    cdef bint every                    # all codes, or stop at the first
    cdef uint64_t failed
    cdef bint measuring                # nothing is reserved
    cdef bint limit_in_money           # of POSITION_LIMIT's numbers
    cdef i128 limits[CODES]
    cdef i128 observed[CODES]
    cdef look_t look

    cdef uint64_t check_order(self, const order_t* order, int64_t now, int64_t mono, bint every) noexcept nogil
    cdef bint fail(self, uint64_t code, i128 limit, i128 observed) noexcept nogil      # True = stop here
    cdef bint gates(self, look_t* k) noexcept nogil
    cdef bint size(self, look_t* k) noexcept nogil
    cdef void refer(self, look_t* k) noexcept nogil
    cdef bint price(self, look_t* k) noexcept nogil
    cdef bint collar(self, look_t* k, int64_t px, int64_t ref_px) noexcept nogil
    cdef bint trailing(self, look_t* k, int64_t ref_px) noexcept nogil
    cdef bint closed(self, look_t* k) noexcept nogil
    cdef bint slipping(self, look_t* k, int64_t ask) noexcept nogil
    cdef int64_t expected(self, look_t* k) noexcept nogil
    cdef bint position(self, look_t* k) noexcept nogil
    cdef bint portfolio(self, look_t* k) noexcept nogil
    cdef bint crossing(self, look_t* k) noexcept nogil
    cdef bint repeated(self, look_t* k) noexcept nogil
    cdef bint rate(self, look_t* k) noexcept nogil
    cdef bint reserve(self, look_t* k) noexcept nogil
    cdef i128 cost_of(self, const order_t* order, int64_t n, int64_t px, i128 q, i128 buys, i128 sells) noexcept nogil
    cdef bint forget(self, uint64_t key) noexcept nogil
    cdef void contribute(self, uint32_t instrument) noexcept nogil
    cdef activity_t* activity(self, uint32_t position) noexcept nogil
    cdef bint grow(self, uint32_t instrument) noexcept nogil
