"""What a session's loop is at, and the way of a record to callbacks and of what they sent to its decision, without Python between.

What is not plain (a status, a book's callback, whatever else waits) is left to the session, which does the same.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.types cimport market_t


ctypedef struct wish_t:                # what an order is that is nothing but this
    uint64_t source
    int64_t qty, limit_px, stop_px     # qty and px units; 0 = none
    int64_t valid_until                # venue ns; 0 = as long as the session lets one live
    uint32_t instrument
    uint16_t strategy
    uint8_t side, type, tif, reduce_only


cdef class Decider:                    # the lane, as far as others know it
    cdef bint take_unseen(self, wish_t* wish, int64_t now, int64_t mono) noexcept nogil
    cdef bint go(self, order, now) except -1        # decides what was sent, and hands it over
    cpdef int hand_over(self, now) except -1        # what take_unseen decided; its intent must come next


cdef class Listeners:                  # who wants what of an instrument
    cdef str symbol
    cdef double unit                   # qty units in one
    cdef list trade, quote             # (strategy, callback)
    cdef bint book                     # and some want its book, with each quote


cdef class Loop:
    cdef int64_t venue, mono           # of the event being handled, on both clocks
    cdef public object instant         # the kind of tuple that `now` is; None: only what was set
    cdef object told_now               # `now`, as somebody set it or asked for it,
    cdef bint moved                    # unless it is another one since
    cdef public bint running           # callbacks are delivered, intents accepted
    cdef public bint _busy             # something is being handled
    cdef public object _told, _calls, _queue   # deques; see the session
    cdef public object halted          # set of strategies whose callbacks are no longer called
    cdef public Decider _decider       # decides about an order at once; None = nobody does
    cdef dict listeners                # by instrument id

    cdef void be(self, int64_t venue, int64_t mono) noexcept nogil     # now is then; its object is made when it is asked for
    cdef bint is_idle(self) except -1
    cdef bint give(self, const market_t* record) except -1
    cdef int settle_first(self) except -1
