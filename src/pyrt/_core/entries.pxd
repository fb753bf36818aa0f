"""Entries of a recording that are not yet written, as they will lie in its file.

u32 length, u32 crc32c of everything behind it and of the length, u64 number, i64 venue, i64 mono, u16 kind, 6 bytes zero; payload.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef struct entry_t:
    uint32_t length, crc
    uint64_t number
    int64_t venue, mono                # ns
    uint16_t kind
    uint16_t reserved[3]


cdef class Entries:
    cdef uint8_t* bytes
    cdef Py_ssize_t first, n, cap      # bytes: of the first entry, behind the last
    cdef Py_ssize_t most, payload      # bytes of payload that may wait, that wait or are being written
    cdef readonly uint64_t count, dropped
    cdef public bint closed            # everything is dropped
    cdef object wake
    cdef bint asleep

    cdef int add(self, uint16_t kind, int64_t venue, int64_t mono, const void* data, Py_ssize_t n) except -1
    cdef uint8_t* room(self, Py_ssize_t n) noexcept nogil
