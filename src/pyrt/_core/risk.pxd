"""The pre-trade gate: the controls, and the facts and settings that they go by."""
from libc.stdint cimport int64_t, uint32_t

from pyrt._core.controls cimport Controls
from pyrt._core.prices cimport order_t, tape_t
from pyrt._core.types cimport ref_t


cdef class Gate(Controls):
    cdef int64_t fact_px(self, const order_t* order, int64_t ref_px) noexcept nogil
    cdef void confirm_order(self, const order_t* order, int64_t ref_px, int64_t at) noexcept nogil
    cdef bint latched(self, uint32_t strategy, uint32_t instrument) noexcept nogil
    cdef void value(self, int64_t now) noexcept nogil                                                      # a mark
    cdef void stale(self, tape_t* t, ref_t* ref, bint held, int64_t now) noexcept nogil
