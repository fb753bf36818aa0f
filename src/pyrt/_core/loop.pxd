"""What a session's loop is at, and the way of a record to callbacks and of what they sent to its decision, without Python between.

What is not plain (a status, a book's callback, whatever else waits) is left to the session, which does the same.
"""
from libc.stdint cimport int64_t, uint32_t

from pyrt._core.strategy cimport Decider
from pyrt._core.types cimport market_t


cdef class Listeners:                  # who wants what of an instrument
    cdef str symbol
    cdef double unit                   # qty units in one
    cdef list trade, quote             # (strategy, callback)
    cdef bint book                     # and some want its book, with each quote


cdef class Loop:
    cdef public object now             # clock.Now of the event being handled
    cdef public bint running           # callbacks are delivered, intents accepted
    cdef public bint _busy             # something is being handled
    cdef public object _told, _calls, _queue   # deques; see the session
    cdef public object halted          # set of strategies whose callbacks are no longer called
    cdef public Decider _decider       # decides about an order at once; None = nobody does
    cdef dict listeners                # by instrument id

    cdef bint is_idle(self) except -1
    cdef bint give(self, const market_t* record) except -1
    cdef int settle_first(self) except -1
