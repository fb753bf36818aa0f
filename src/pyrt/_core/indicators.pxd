"""Indicators as objects: each owns the state of one formula; a set steps several with one call."""
from libc.stdint cimport uint32_t

from pyrt._core.formulas cimport MOST_OUTPUTS, indicator_t


cdef enum:
    MOST_PERIOD = 1000000


cdef class Indicator:
    cdef indicator_t node
    cdef double last[MOST_OUTPUTS]     # its outputs where it is alone
    cdef double* out                   # its outputs: `last`, or in the values of a set
    cdef double* memory                # of all windows
    cdef uint32_t demands
    cdef object home                   # the IndicatorSet that steps it; None: nobody but its caller

    cdef int start(self, uint32_t kind, uint32_t outputs, uint32_t warmup, object n, object m=*, object p=*) except -1
    cdef int windows(self, object a, object b=*, object c=*) except -1
    cdef int idle(self) except -1
    cdef int moments(self) except -1
    cdef double take(self, double high, double low, double close, double volume, double price) except? -1
    cdef double take_row(self, const double* tick) except? -1
    cdef object run(self, object high, object low, object close, object volume)
    cdef object run_bars(self, object bars, int qty_exp)


cdef class IndicatorSet:
    cdef indicator_t** nodes
    cdef uint32_t count, outputs, demands
    cdef double* store                 # the outputs of all
    cdef readonly tuple members
    cdef object view                   # `store` as an array

    cdef void _share(self, indicator_t* node) noexcept nogil
    cdef int need(self, object low, object close) except -1
    cdef object take(self, const double* tick)
