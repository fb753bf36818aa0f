"""Alpaca's data-stream frames, msgpack or JSON, to records in one bounds-checked pass."""
from libc.stdint cimport int64_t, uint8_t, uint64_t

from pyrt._core.fixed cimport value_t
from pyrt._core.messages cimport Messages, level_t


cdef class Decoder(Messages):
    cdef Py_ssize_t read(self, const uint8_t* data, Py_ssize_t n, int64_t ts_recv) except -1      # one frame: how many records and bars it gave
    cdef Py_ssize_t read_long(self, const uint8_t* data, Py_ssize_t n, int64_t ts_recv) except -1  # the same without the GIL
    cdef int keep_controls(self, const uint8_t* data) except -1        # of the frame just read, while its bytes are there
    cdef bint frame(self, const uint8_t* p, Py_ssize_t n) noexcept nogil
    cdef const uint8_t* msgpack_message(self, const uint8_t* p, const uint8_t* end, uint64_t entries) noexcept nogil
    cdef const uint8_t* msgpack_conditions(self, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil
    cdef const uint8_t* msgpack_levels(self, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil
    cdef void level_entry(self, level_t* level, const value_t* key, const value_t* number) noexcept nogil
    cdef const uint8_t* json_frame(self, const uint8_t* p, const uint8_t* end, const uint8_t* base) noexcept nogil
    cdef const uint8_t* json_message(self, const uint8_t* p, const uint8_t* end) noexcept nogil
    cdef const uint8_t* json_conditions(self, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil
    cdef const uint8_t* json_levels(self, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil
    cdef const uint8_t* json_level(self, const uint8_t* p, const uint8_t* end, level_t* level) noexcept nogil
