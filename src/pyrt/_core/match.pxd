"""Price-time matching of our participants' orders against a market that is told by records. Model: match.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.pit cimport pit_t, resting_t
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
