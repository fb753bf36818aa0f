"""The inbox of a live session for frames of market data: numbered, recorded, kept and run through the pipeline in one native call."""
from libc.stdint cimport int64_t, uint64_t

from pyrt._core.entries cimport Entries
from pyrt._core.loop cimport Loop
from pyrt._core.pipeline cimport Pipeline
from pyrt._core.strategy cimport Dispatch
from pyrt._core.types cimport market_t
from pyrt._core.wire cimport Decoder


cdef class Passed:
    cdef market_t* rows
    cdef Py_ssize_t n
    cdef object on_full
    cdef public bint quiet             # frames may pass: nobody asks for more than their trades

    cdef int keep(self, const market_t* records, Py_ssize_t n) except -1


cdef class Inbox:
    cdef public uint64_t seq           # of the last entry
    cdef public bint open              # frames may be taken in here: all that Python would do with them is done here
    cdef public Passed passed              # None: nobody asks for trades
    cdef public object watch           # None, or called with the records of each frame before they are run
    cdef readonly int64_t venue, mono  # of the last frame that was taken in
    cdef int64_t shown                 # the last instant of the venue's clock that was shown
    cdef int64_t epoch, origin         # the venue's clock
    cdef double rate
    cdef public int64_t begun          # monotonic ns at which the entry in hand came
    cdef object monotonic, counts, on_due, on_close
    cdef Loop loop                     # whose callbacks get what is due; None = it is for on_due
    cdef object on_fault
    cdef bint failed                   # the loop did, in this frame
    cdef Pipeline pipeline
    cdef Dispatch dispatch             # runs it where strategies are compiled; None = nobody's is
    cdef Entries entries
    cdef bint sequenced                # deltas go another way

    cdef int64_t at(self, int64_t mono) noexcept nogil
    cdef int64_t look(self, int64_t mono) noexcept nogil
    cdef bint is_plain(self, const market_t* records, Py_ssize_t n) noexcept nogil
    cdef bint take(self, Decoder decoder, int64_t mono) except -1      # False: nothing was done
    cdef int run(self, const market_t* records, Py_ssize_t n) except -1
    cdef int run_compiled(self, const market_t* records, Py_ssize_t n) except -1
    cdef bint give(self, const market_t* record, bint again) except -1     # again: to a loop that knows the time
