"""The levels of one side that its ladder does not cover: sorted chunks, found by halving."""
from libc.stdint cimport int64_t, uint32_t


cdef enum:
    CHUNK = 64
    MOST_CHUNKS = 32768                # two million levels a side; a level beyond is refused and the book says GAP

cdef enum:                             # what became of an update
    APPLIED = 0
    REFUSED = 1                        # off the tick, out of range, no such side: counted
    NEEDS_ROOM = 2                     # nothing was changed: call book_grow and repeat
    SKIPPED = 3                        # not about this book's levels


cdef struct chunk_t:
    int64_t key[CHUNK]                 # ascending
    int64_t qty[CHUNK]
    uint32_t n

cdef struct far_t:
    chunk_t* chunks
    uint32_t* order                    # chunks in use, best first
    uint32_t* spare                    # chunks not in use
    uint32_t used, spares, capacity
    int64_t levels


cdef int far_set(far_t* far, int64_t key, int64_t qty) noexcept nogil      # APPLIED or NEEDS_ROOM; qty 0 removes
cdef void far_remove(far_t* far, uint32_t place, uint32_t i) noexcept nogil
cdef void far_empty(far_t* far) noexcept nogil
cdef bint far_grow(far_t* far) noexcept nogil                              # the one verb that allocates; False: no more room
cdef void far_free(far_t* far) noexcept nogil
