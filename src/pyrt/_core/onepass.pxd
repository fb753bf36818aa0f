"""A frame's bytes through decoder, book, bars and references in one call."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pyrt._core.inbox cimport Inbox
from pyrt._core.pipeline cimport Pipeline, pipeline_t
from pyrt._core.wire cimport Decoder


cdef enum:                             # due, beside DUE_RECORD and DUE_BARS of the pipeline
    DUE_CONTROL = 4


cdef class Reader:                     # what whole messages are handed to, without a Python object for each
    cdef int message(self, const uint8_t* data, Py_ssize_t n) except -1


cdef class Intake(Reader):
    cdef readonly Decoder decoder
    cdef Inbox inbox
    cdef object clock, on_control, on_records
    cdef public bint plain             # frames may go to the inbox
    cdef public uint64_t messages      # that gave records or bars
    cdef readonly int64_t last         # ts_recv of the last of them


cdef class OnePass(Reader):
    cdef readonly Decoder decoder
    cdef readonly Pipeline pipeline
    cdef pipeline_t* p
    cdef object clock, on_due
    cdef object copied                 # the frame's records, once somebody asked for them
    cdef Py_ssize_t next               # record of the frame that the pipeline has not seen
    cdef uint32_t reasons
    cdef bint running

    cdef int idle(self) except -1
    cdef void begin(self, const uint8_t* data, Py_ssize_t n, int64_t ts_recv) noexcept nogil
    cdef void go_on(self) noexcept nogil
    cdef int settle(self, const uint8_t* data) except -1
