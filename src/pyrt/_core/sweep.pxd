"""How numbers get to indicators: columns, rows of bar_dtype, or one row of FIELDS numbers."""
from libc.stdint cimport uint32_t

from pyrt._core.formulas cimport indicator_t
from pyrt._core.types cimport bar_t


cdef enum:                             # places in a row of numbers
    HIGH
    LOW
    CLOSE
    VOLUME
    PRICE                              # that VWAP weighs
    FIELDS

cdef enum:                             # what indicators demand of their numbers, beside being finite
    ABOVE_ZERO = 1                     # closes: their logarithms are taken
    NOT_BELOW_ZERO = 2                 # volumes
    HIGH_AND_LOW = 4                   # a close is not enough


cdef void read_bar(const bar_t* row, double unit, double* tick) noexcept nogil

cdef object column(object values)      # numbers of any kind as contiguous float64

# `high` and `low` None: one series. `out`: what they gave, a row for each row that went in, and the last of these again in `last`. All raise ValueError at once.
cdef int sweep(indicator_t** nodes, uint32_t count, object high, object low, object close, object volume, uint32_t demands,
               object rows, double* last) except -1
cdef int sweep_bars(indicator_t** nodes, uint32_t count, object bars, int qty_exp, uint32_t demands, object rows, double* last) except -1
cdef int sweep_one(indicator_t** nodes, uint32_t count, const double* tick, uint32_t demands, double* out) except -1
cdef bint sweep_bar(indicator_t** nodes, uint32_t count, const bar_t* bar, double unit, uint32_t demands, double* out) noexcept nogil   # False: nothing was done, it cannot be taken
