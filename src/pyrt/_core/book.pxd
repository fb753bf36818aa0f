"""A level book: a re-centring ladder of 1,024 ticks a side, everything beyond it in sorted chunks.

A side counts in keys, tick numbers mirrored for bids, so that on both sides the lowest key is the best price. The ladder covers
keys base .. base + 1023; all other levels are worse than it and live in `far_t`. A top-only book has no ladder at all.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.far cimport APPLIED, CHUNK, NEEDS_ROOM, REFUSED, SKIPPED, chunk_t, far_t
from pyrt._core.types cimport NO_PX, market_t, quote_t


cdef enum:
    SLOTS = 1024
    WORDS = 16
    HOME = 256                         # the slot where re-centring puts the best price: depth lies behind it

cdef struct level_t:
    int64_t px, qty

cdef struct ladder_t:
    uint64_t map[WORDS]                # which slots hold a level
    int64_t qty[SLOTS]                 # 0 where there is none

cdef struct side_t:
    level_t* best                      # in the book
    int64_t base                       # key of slot 0
    int64_t step                       # px of a key: key * step, negative for bids
    uint64_t inverse                   # of the tick's odd part, negative for bids
    uint64_t top                       # which words of the map are not zero
    ladder_t* ladder                   # NULL until the first level of depth
    far_t far

cdef struct book_t:                    # what a quote touches stands first, in one line of the cache where the book begins one
    int64_t ts                         # ts_event of the last record that was applied
    bint depth                         # levels came from deltas
    bint gap
    bint loading                       # between CLEAR and the last record of its event
    bint top_only                      # never takes depth
    level_t bid, ask                   # the best levels; NO_PX, 0 where the side is empty
    side_t bids, asks
    int64_t tick, reach                # px units; |tick number| is below reach
    uint64_t update_id                 # of the last delta that had one
    uint64_t refused, ignored          # levels refused; quotes that came while depth was known
    uint8_t shift                      # the tick's power of two

cdef struct cursor_t:
    const side_t* side
    uint64_t bits                      # of the current word, not yet visited
    uint64_t top                       # words not yet visited
    uint32_t word, chunk, index
    bint depth, done

cdef struct walk_t:
    int64_t qty                        # filled
    int64_t worst_px                   # NO_PX: nothing was there
    uint64_t notional_lo               # sum of px * qty, 128 bits
    int64_t notional_hi


cdef void book_init(book_t* book, int64_t tick, bint top_only) noexcept nogil
cdef void book_free(book_t* book) noexcept nogil
cdef bint book_grow(book_t* book) noexcept nogil                      # the one verb that allocates; False: no more room
cdef int book_apply(book_t* book, const market_t* record) noexcept nogil
cdef void book_refuse(book_t* book) noexcept nogil                    # a level was lost for want of room
cdef int book_set(book_t* book, int side, int64_t px, int64_t qty) noexcept nogil
cdef void book_clear(book_t* book) noexcept nogil
cdef uint32_t book_flags(const book_t* book) noexcept nogil           # GAP, SNAPSHOT, CROSSED, TOP_ONLY
cdef void book_open(const book_t* book, int side, cursor_t* cursor) noexcept nogil
cdef bint book_next(cursor_t* cursor, level_t* level) noexcept nogil  # best first; False: no more
cdef walk_t book_walk(const book_t* book, int side, int64_t qty) noexcept nogil   # side of the order: a buy walks the asks


cdef inline void set_top(level_t* best, int64_t px, int64_t qty) noexcept nogil:
    cdef bint there = qty > 0 and px != NO_PX
    best.px = px if there else NO_PX
    best.qty = qty if there else 0


cdef inline int book_quote(book_t* book, const quote_t* quote) noexcept nogil:
    if book.depth:
        book.ignored += 1
        return SKIPPED
    set_top(&book.bid, quote.bid_px, quote.bid_qty)
    set_top(&book.ask, quote.ask_px, quote.ask_qty)
    book.gap = False                                    # a quote is the whole of a top-only book
    book.ts = quote.ts_event
    return APPLIED


cdef class OrderBook:
    cdef book_t* book
    cdef book_t own
    cdef object owner                  # whose memory `book` is, None = own

    @staticmethod
    cdef OrderBook of(book_t* book, object owner)
    cdef object levels(self, int side, Py_ssize_t n)
