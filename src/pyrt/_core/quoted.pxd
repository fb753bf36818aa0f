"""Indicators of the best bid and offer: what one quote says, without memory."""
from libc.stdint cimport uint32_t


cdef enum:                             # kind
    KIND_IMBALANCE
    KIND_MICROPRICE
    KIND_SPREAD
    KIND_RELATIVE_SPREAD


cdef class OfQuotes:
    cdef uint32_t kind
    cdef double last

    cdef double take(self, double bid, double ask, double bid_size, double ask_size) except? -1
    cdef object run(self, object bid, object ask, object bid_size, object ask_size)
