"""The way of the plainest orders: every control, the reservation, the number, the journal's record and the body in one call.

What it knows beside the live gate and screen is told by whoever owns the facts, and is good for one decision: then it is closed until
it is told again. It decides an order only where it surely passes; all else, and every refusal, is for the rules with words.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.ledger cimport Ledger
from pyrt._core.loop cimport Decider, wish_t
from pyrt._core.risk cimport Gate
from pyrt._core.screen cimport Screen
from pyrt._core.types cimport i128


cdef enum:
    MOST_SYMBOL = 32                   # bytes; a longer one takes the other way
    MOST_BODY = 512                    # bytes
    MOST_PREFIX = 16                   # of a cid

ctypedef struct pair_t:                # a strategy in an instrument that it may trade
    int64_t since, until               # venue ns: in between the gate knows the session
    int64_t one                        # qty units of a whole share
    int64_t tick, sub_tick             # px units
    int exp                            # of quantities
    bint known
    bint shortable, easy               # the asset may be borrowed, and is easy to borrow
    uint8_t symbol_n
    char symbol[MOST_SYMBOL]

ctypedef struct intended_t:            # a journal record, as journal.codec has it
    uint16_t kind, zero
    uint32_t instrument
    uint64_t signal
    int64_t ts, rest
    uint64_t number, source
    int64_t qty, limit_px, stop_px, valid_until
    uint64_t approval
    int64_t ref_px
    uint64_t replaces, root
    uint32_t strategy, epoch, limits_version
    uint8_t side, type, tif, bits


cdef class Lane(Decider):
    cdef Gate gate
    cdef Ledger ledger
    cdef Screen screen
    cdef char prefix[MOST_PREFIX]      # of every cid
    cdef int prefix_n, remainder
    cdef pair_t* pairs                 # by position slot
    cdef uint32_t pairs_room
    cdef readonly bint is_open
    cdef bint dirty                    # a mark comes before the decision
    cdef bint exits                    # and looks after exits, which only the table of them can
    cdef int64_t since, until          # venue ns of the present day
    cdef int64_t mark_at               # venue ns at which a mark is due; 0 = none
    cdef i128 daily, drawdown, days    # losses that close a latch, money; below 0 = none does
    cdef i128 peak                     # that is journaled when it is reached, money,
    cdef int64_t peak_from             # from that venue ns on; below 0 = never
    cdef uint64_t last                 # number of the last order
    cdef intended_t fact
    cdef char text[MOST_BODY]
    cdef Py_ssize_t text_n
    cdef object intend                 # called with number, record, body and Now of what is handed over
    cdef readonly uint64_t decided     # orders that were handed over
    cdef public uint64_t handed        # number of the last, until its fact is known to have followed; 0 = it did
    cdef dict used                     # strategy -> the last source that facts tell of
    cdef object gone                   # the order that `go` decided, until it is asked for
    cdef readonly uint64_t ahead       # key of what was handed over before there is an intent of it; 0 = nothing was

    cdef bint take(self, const wish_t* wish, int64_t now, int64_t mono) noexcept nogil
    cpdef int hand(self, now) except -1
    cdef bint marked(self, int64_t now) noexcept nogil
    cdef bint write(self, const wish_t* wish, const pair_t* pair, uint64_t number) noexcept nogil
