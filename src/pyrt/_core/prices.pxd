"""What the controls look at, and those that judge prices: reference, collar, slippage, drift."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.book cimport book_t
from pyrt._core.codes cimport CODES
from pyrt._core.ledger cimport position_t, reservation_t, terms_t
from pyrt._core.types cimport i128, ref_t
from pyrt._core.windows cimport activity_t, moves_t, ring_t


cdef enum:                             # order_t.type, as model.OrderType
    ORDER_MARKET = 1
    ORDER_LIMIT = 2
    ORDER_STOP = 3
    ORDER_STOP_LIMIT = 4
    ORDER_TRAILING_STOP = 5

cdef enum:
    OFF = 0x4000000000000000           # a limit that is off: nothing exceeds it; of money, its square

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
    int64_t drift_bps, drift_window    # how far own executions may move the reference in their direction
    i128 open_value, gross, net        # money
    i128 daily_loss, drawdown          # money, above 0
    i128 filled_loss                   # of the day, were all open orders filled and marked at the collar; money, above 0
    i128 days_drawdown                 # below the highest of the last days, money, above 0

ctypedef struct bounds_t:              # of an instrument; -1 = missing
    i128 notional, position_notional   # money
    int64_t qty, position_qty, strategy_qty        # qty units
    int64_t collar_bps, passive_bps
    int64_t adv_qty                    # a share of the average day's volume, qty units
    int64_t share                      # qty units of one whole share
    uint32_t shorts                    # 1 = shares that may be sold short
    uint32_t equity                    # 1 = halts of the whole market are its halts
    uint32_t complete                  # 0 = no profile, or a limit of it is missing
    uint32_t restricted                # 0 = free, 1 = close only, 2 = nothing

ctypedef struct tape_t:                # of an instrument
    ring_t sends, cancels, fills
    int64_t throttle                   # the instant at which the bucket is full again, venue ns
    int64_t pre_open, open, close, post_close      # session boundaries, venue ns; 0, 0 = always open
    int64_t mark_px                    # of the last mark; 0 = never
    int64_t venue_px                   # what the venue's account says, or a fill; 0 = nothing was told
    int64_t lower_px, upper_px         # bands of the regular session; 0 = none told
    int64_t short_until                # until when it counts as easy to borrow, venue ns; 0 = it does not
    int64_t ssr_px                     # at or below it the short-sale restriction begins; 0 = not known: it is in force
    int64_t ssr_until                  # until when it is in force, venue ns
    moves_t moves[2]                   # own executions: buys, sells
    const book_t* book                 # NULL = none: the touch alone is visible
    bint scheduled                     # the session was told; where it was not, the market is closed
    uint32_t unknown                   # orders whose fate is not proved
    uint32_t broken                    # 1 = the venue holds what no fill explains
    uint32_t level
    uint32_t unpriced                  # 1 = it counts, and nobody knows at what price
    i128 up, down                      # of what it adds to the sums now
    int64_t px, scale
    i128 gross, net_long, net_short    # what it adds to the sums, money

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


cdef inline int64_t last_good(const tape_t* t) noexcept nogil:
    # Where the feed tells no price: that of the last mark, else what the venue's account or a fill told; 0 = none.
    return t.mark_px if t.mark_px > 0 else t.venue_px


cdef class Prices:
    cdef rules_t rules
    cdef bint every                    # all codes, or stop at the first
    cdef uint64_t failed
    cdef i128 limits[CODES]
    cdef i128 observed[CODES]

    cdef bint fail(self, uint64_t code, i128 limit, i128 observed) noexcept nogil      # True = stop here
    cdef void refer(self, look_t* k) noexcept nogil
    cdef bint price(self, look_t* k) noexcept nogil
    cdef bint collar(self, look_t* k, int64_t px, int64_t ref_px) noexcept nogil
    cdef bint trailing(self, look_t* k, int64_t ref_px) noexcept nogil
    cdef bint slipping(self, look_t* k, int64_t ask) noexcept nogil
    cdef int64_t expected(self, look_t* k) noexcept nogil
    cdef bint drifting(self, look_t* k) noexcept nogil
