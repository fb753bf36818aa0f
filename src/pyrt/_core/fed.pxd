"""Indicators that a pipeline steps with each bar of theirs as it closes."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from pyrt._core.formulas cimport indicator_t
from pyrt._core.types cimport bar_t


cdef struct fed_t:
    indicator_t** nodes
    double* out                        # the values of the set
    double unit                        # qty units in one
    int64_t interval
    int64_t newest                     # start of the last bar taken in
    uint32_t count, demands
    uint32_t next                      # of the same instrument: number + 1; 0 = no other
    uint64_t refused                   # bars that some member cannot take


cdef void feed_bar(fed_t* all, uint32_t first, const bar_t* bar) noexcept nogil    # first: number + 1 of the instrument's first set
