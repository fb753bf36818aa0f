"""Bars that close by what was traded: so many trades, so much volume or money, so wide a range, or more on one side than usual.

Trades count in the order of their arrival, each for one bar whole; a bar leaves with the trade that closes it and never again. What
closes which bars is a code: ns of a time bar, or below 0 -(kind << 56 | size), which is also what their `interval` says.
"""
from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.bar_window cimport bars_out_t, window_t
from pyrt._core.types cimport trade_t


cdef enum:
    SIZE_BITS = 56
    SPAN_BITS = 16                     # of an imbalance's size, the lower part: bars that its averages span

cdef enum:                             # kind
    BY_TICK = 1                        # size: trades
    BY_VOLUME = 2                      # size: quantity in 1e-9
    BY_DOLLAR = 3                      # size: money in 1e-2
    BY_RANGE = 4                       # size: px
    BY_TICK_IMBALANCE = 5              # size: expected trades of a bar << SPAN_BITS | span
    BY_VOLUME_IMBALANCE = 6
    BY_DOLLAR_IMBALANCE = 7

cdef enum:
    LEEWAY = 10                        # an imbalance bar has between 1/10 of and 10 times the trades expected at first


cdef struct flow_t:                    # of an imbalance bar
    double theta                       # sum of side * weight
    double trades                      # what a bar is expected to have
    double side                        # what a trade is expected to add to theta
    double least, most                 # trades of a bar
    double alpha                       # share of the newest bar in what is expected
    bint begun                         # a bar has closed: something is expected

cdef struct sample_t:
    int64_t code
    uint32_t kind
    int64_t limit                      # trades, qty units or px
    uint64_t money_lo                  # px * qty, 128 bits in two words
    int64_t money_hi
    flow_t flow
    int64_t newest                     # ts of the newest trade of all
    window_t w

cdef struct samples_t:
    sample_t* each
    uint32_t n
    int8_t side                        # of the last trade: 1 buyer, -1 seller, 0 not known yet
    int64_t px                         # of the last trade that may set a price
    double one                         # qty units in one
    uint64_t late                      # backfilled trades older than the bar that they came to: not taken
    uint64_t overflowed                # volumes beyond 64 bits


cdef bint samples_init(samples_t* samples, const int64_t* codes, uint32_t n, int qty_exp) noexcept nogil
cdef void samples_free(samples_t* samples) noexcept nogil
cdef void samples_trade(samples_t* samples, const trade_t* trade, uint8_t fields, uint32_t instrument, bars_out_t* out) noexcept nogil
cdef void samples_flag(samples_t* samples, uint16_t flag, bint on) noexcept nogil

cdef int64_t read_code(object spec) except 0       # of an int (ns) or a BarSpec; ValueError for any other
cdef int fit_code(int64_t code, int qty_exp) except -1         # ValueError where its size is beyond 64 bits in these units


cdef class BarSpec:
    cdef readonly int64_t code
    cdef str text

    cdef int keep(self, object size, object least, object most, uint32_t kind, str text) except -1
