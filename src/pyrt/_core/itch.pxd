"""NASDAQ TotalView-ITCH 5.0: messages into the books of all shares. Fields: the table of itch_records.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pyrt._core.l3 cimport orders_t
from pyrt._core.tape cimport tape_t, watched_t


cdef extern from "itch.h" nogil:
    const uint8_t LENGTHS "pyrt_itch_lengths"[256]     # by letter; 0 = no such message
    uint16_t two "pyrt_two"(const uint8_t* p)
    uint32_t four "pyrt_four"(const uint8_t* p)
    uint64_t eight "pyrt_eight"(const uint8_t* p)


cdef enum:
    SHARES = 65536                     # a share's number (locate) has 16 bits, and is new each day
    LONGEST = 65535                    # a length has 16 bits
    PRICE = 100_000                    # px units of a ten-thousandth
    HIDDEN = 1                         # order_event_t.flags: an execution that is not to be printed

cdef struct share_t:
    char symbol[8]                     # space padded; all zero = not listed
    uint8_t state                      # letter of the last trading action, 0 = none was told
    uint8_t reserved[7]

cdef struct itch_t:
    orders_t orders
    share_t* shares                    # by locate
    watched_t** watched                # by locate; NULL = nobody asked. The table is NULL until somebody asks for a share
    tape_t tape                        # of the watched shares
    uint64_t counts[256]               # messages by letter
    uint64_t malformed                 # a known letter of another length, an empty or cut off message
    uint64_t ends                      # lengths of 0: the end of a file's session
    int64_t ts                         # of the last message of the last feed, ns after midnight New York
    uint32_t waiting                   # bytes in `part`
    uint8_t event                      # letter of the last system event
    bint full                          # memory ran out: the books are no longer whole
    uint8_t part[LONGEST + 2]          # the message that a feed cut off

cdef inline uint32_t mpid(const uint8_t* p) noexcept nogil:
    cdef uint32_t by
    memcpy(&by, p + 36, 4)
    return by


cdef void itch_message(itch_t* t, const uint8_t* p, uint32_t n) noexcept nogil
cdef void itch_watched(itch_t* t, const uint8_t* p, uint32_t n) noexcept nogil               # the same, and tells the tape
cdef void itch_feed(itch_t* t, const uint8_t* p, Py_ssize_t size) noexcept nogil             # each behind its length
cdef void itch_bare(itch_t* t, const uint8_t* p, Py_ssize_t size) noexcept nogil             # one behind the other


cdef class ItchBooks:
    cdef itch_t* itch
    cdef int share(self, symbol) except -1
    cdef object start_table(self)
