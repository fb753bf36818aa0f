"""Bars into sets of indicators without the GIL: the same formulas in the same order as one bar at a time from Python."""
from pyrt._core.sweep cimport sweep_bar


cdef void feed_bar(fed_t* all, uint32_t first, const bar_t* bar) noexcept nogil:
    # Amended bars and time bars that come after newer ones stay out: what an average has taken in cannot be taken out.
    cdef fed_t* fed
    while first:
        fed = &all[first - 1]
        first = fed.next
        if fed.interval != bar.interval or bar.revision or (bar.start <= fed.newest and bar.interval >= 0):
            continue
        fed.newest = bar.start
        if not sweep_bar(fed.nodes, fed.count, bar, fed.unit, fed.demands, fed.out):
            fed.refused += 1
