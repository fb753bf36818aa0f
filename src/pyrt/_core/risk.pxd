"""The pre-trade gate: the controls, and the facts and settings that they go by."""
from libc.stdint cimport int64_t

from pyrt._core.controls cimport Controls, order_t


cdef class Gate(Controls):
    cdef int64_t fact_px(self, const order_t* order, int64_t ref_px) noexcept nogil
    cdef void confirm_order(self, const order_t* order, int64_t ref_px, int64_t at) noexcept nogil
