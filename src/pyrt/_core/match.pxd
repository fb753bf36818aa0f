"""Price-time matching of our participants' orders against a market that is told by records. Model: match.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.types cimport delta_t, market_t, quote_t, trade_t


cdef enum:                              # Execution.kind
    EXEC_FILL = 1
    EXEC_CANCELED = 2                   # the venue took the rest away: IOC, FOK
    EXEC_TRIGGERED = 3                  # a stop was reached; the order works from here on. qty: a trailing stop's best price

cdef enum:                              # Matcher.submit: tif, as model.TimeInForce
    TIF_DAY = 1
    TIF_GTC = 2
    TIF_IOC = 3
    TIF_FOK = 4

cdef enum:                              # Matcher: who of a level is taken to cancel
    QUEUE_PESSIMISTIC = 0               # those behind us
    QUEUE_PROPORTIONAL = 1              # all of the level, each by his part

ctypedef struct execution_t:
    uint64_t order                      # the caller's number
    uint64_t contra                     # the other order's number; 0 = the external market
    int64_t px                          # px units; 0 where nothing traded
    int64_t qty                         # of this execution, or what was taken away
    int64_t leaves                      # after it
    int64_t ts                          # ns UTC: of the record or of the verb that caused it
    uint32_t instrument
    uint8_t kind                        # EXEC_*
    uint8_t maker                       # 1 = the order was resting
    uint16_t reserved

ctypedef struct level_t:                # of the external market
    int64_t key                         # px of a bid, -px of an ask: the greater the better
    int64_t qty                         # displayed
    int64_t taken                       # by our orders since qty last changed
    int64_t traded                      # at its price since qty last changed; QUEUE_PROPORTIONAL only

ctypedef struct resting_t:              # one of our orders
    uint64_t order
    int64_t key                         # as level_t; of a stop: -stop of a buy, stop of a sell
    int64_t limit_px                    # 0 = at any price
    int64_t leaves
    int64_t ahead                       # external size before us at our price; -1 = not known
    int64_t trail                       # px units that a trailing stop keeps from the best price; 0 = none
    int64_t ratio                       # the same as parts of 1e9 of the best price; 0 = none
    int64_t best                        # best trade price since a trailing stop works; 0 = none yet
    int64_t budget                      # px units (1e-9) of money that may still be spent or earned; order by money only
    int64_t one                         # qty units of one share; 0 = not an order by money
    uint32_t owner                      # orders of one owner never meet
    uint8_t side                        # 0 buy, 1 sell
    uint8_t tif
    uint8_t sweeping                    # waits for more to take: it could trade, but all that is displayed is taken

ctypedef struct levels_t:               # ascending key: the best is the last
    level_t* rows
    Py_ssize_t n, cap

ctypedef struct queue_t:                # ascending key, then newest first: the next to trade is the last
    resting_t* rows
    Py_ssize_t n, cap
    Py_ssize_t sweepers                 # rows that sweep
    Py_ssize_t trailers                 # rows that trail

ctypedef struct pit_t:                  # one instrument; index 0 buy or bid, 1 sell or ask
    levels_t levels[2]
    queue_t resting[2]
    queue_t stops[2]
    int64_t last_px, last_ts            # last trade that may set a price; 0 = never
    uint32_t instrument
    bint told                           # a QUOTE or a DELTA was seen
    bint depth                          # a DELTA was seen: quotes no longer set the book
    bint halted

ctypedef struct executions_t:
    execution_t* rows
    Py_ssize_t n, cap


cdef class Matcher:
    cdef pit_t** _pits                  # by instrument id; NULL = not traded here
    cdef Py_ssize_t _size
    cdef executions_t _out              # waits for take()
    cdef int _queue                     # QUEUE_*
    cdef bint _failed                   # memory ran out

    # market in
    cdef void record(self, const market_t* r) noexcept nogil
    cdef void quote(self, pit_t* p, const quote_t* q) noexcept nogil
    cdef void delta(self, pit_t* p, const delta_t* d) noexcept nogil
    cdef void trade(self, pit_t* p, const trade_t* t) noexcept nogil
    cdef void follow(self, pit_t* p, int s, int64_t px) noexcept nogil
    cdef void trigger(self, pit_t* p, int s, int64_t px, int64_t ts) noexcept nogil

    # orders in
    cdef void enter(self, pit_t* p, resting_t* o, int64_t ts) noexcept nogil
    cdef int64_t remove(self, pit_t* p, uint64_t order) noexcept nogil

    # meeting
    cdef void take_all(self, pit_t* p, resting_t* o, int64_t ts) noexcept nogil
    cdef void meet(self, pit_t* p, int s, int64_t ts) noexcept nogil
    cdef int64_t offered(self, pit_t* p, const resting_t* o) noexcept nogil

    cdef int64_t share(self, resting_t* o, int64_t px, int64_t offered) noexcept nogil

    # executions out
    cdef void emit(self, pit_t* p, resting_t* o, int kind, int64_t px, int64_t qty, uint64_t contra, bint maker,
                   int64_t ts) noexcept nogil

    # at the edge
    cdef Py_ssize_t _run(self, records, Py_ssize_t start, bint stops) except -1
    cdef pit_t* _pit(self, uint32_t instrument) except NULL
    cdef Py_ssize_t _waiting(self) except -1
