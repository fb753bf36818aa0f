"""The last bars of one instrument and interval, as strategies read them."""
from libc.stdint cimport int64_t

from pyrt._core.types cimport bar_t


cdef class RecentBars:
    cdef bar_t* rows                   # 2 * keep, the newest last: the last `keep` are always contiguous
    cdef Py_ssize_t keep, end
    cdef int64_t newest                # start of the newest bar; INT64_MIN before the first

    cdef void push(self, const bar_t* bar) noexcept nogil
    cdef const bar_t* tail(self, Py_ssize_t* n) noexcept nogil      # the oldest of the at most n newest; n = how many these are
    cdef void insert(self, const bar_t* bar) noexcept nogil
