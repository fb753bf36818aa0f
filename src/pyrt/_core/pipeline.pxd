"""Market records in, until a callback is due: book, bars and references of every instrument, by instrument id."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pyrt._core.bar_window cimport bars_out_t
from pyrt._core.bars cimport bars_t
from pyrt._core.book cimport book_t
from pyrt._core.fed cimport fed_t
from pyrt._core.types cimport market_t, ref_t


cdef enum:
    MOST_INSTRUMENTS = 262144          # rows reserved for references; untouched ones cost no memory

cdef enum:                             # due
    DUE_RECORD = 1
    DUE_BARS = 2


cdef enum:
    LINE = 64                          # bytes of a cache line: books, bars and references begin one
    BLOCK = 64                         # structs that memory is taken for at once


cdef struct slot_t:
    book_t* book                       # NULL: not added
    bars_t* bars                       # NULL: no intervals
    uint32_t wake                      # 1 << RecordType
    uint32_t fed                       # number + 1 of its first set of indicators

cdef struct pipeline_t:
    slot_t* slots
    ref_t* refs
    int64_t* closes                    # when the next bar of each instrument closes; 0 = nothing to close
    uint32_t capacity, top             # rows; above the highest id in use
    uint32_t due
    int64_t next_close                 # the earliest of `closes`
    int64_t closed_at
    const uint8_t* rules
    bars_out_t out
    fed_t* fed                         # sets of indicators
    uint32_t feds
    uint64_t unknown                   # records of instruments that were not added, or of no known type


cdef bint pipeline_record(pipeline_t* p, const market_t* record) noexcept nogil      # True: something is due
cdef void pipeline_close(pipeline_t* p, int64_t at) noexcept nogil
cdef Py_ssize_t pipeline_run(pipeline_t* p, const market_t* records, Py_ssize_t i, Py_ssize_t n) noexcept nogil   # from i: index after the first that is due


cdef class Lines:
    cdef void* blocks                  # of memory, each begins with where the one before it is
    cdef uint8_t* at
    cdef size_t left

    cdef void* take(self, size_t size) except NULL


cdef class Pipeline:
    cdef pipeline_t p
    cdef uint8_t own_rules[256]
    cdef int64_t grace
    cdef object rows                   # all reserved references
    cdef Lines book_lines, bars_lines  # where they lie
    cdef list sets                     # of indicators, whose memory `fed` points into
    cdef list boundaries               # arrays that bars point into
    cdef bint running

    cdef int _idle(self) except -1
    cdef slot_t* _slot(self, uint32_t instrument) except NULL
