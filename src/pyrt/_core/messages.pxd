"""Alpaca's data messages, however they were written, to records."""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pyrt._core.fixed cimport KIND_TEXT, minute_t, value_t
from pyrt._core.json cimport arena_t
from pyrt._core.types cimport bar_t, market_t


cdef enum:                             # Field: where the value of a key waits until its message is whole
    FIELD_UNKNOWN, FIELD_IGNORED
    FIELD_TYPE, FIELD_SYMBOL, FIELD_TIME
    FIELD_P, FIELD_S, FIELD_I, FIELD_X, FIELD_C, FIELD_Z, FIELD_TKS
    FIELD_BP, FIELD_BS, FIELD_AP, FIELD_AS
    FIELD_O, FIELD_H, FIELD_L, FIELD_V, FIELD_N, FIELD_VW
    FIELD_U, FIELD_D, FIELD_SC, FIELD_RC
    FIELD_OI, FIELD_OP, FIELD_OS, FIELD_OC
    FIELD_CI, FIELD_CP, FIELD_CS, FIELD_CC
    FIELD_A, FIELD_B, FIELD_R
    FIELDS

cdef enum:                             # Count: what the decoder has seen and left out
    COUNT_FRAMES
    COUNT_MALFORMED                    # frames that were not read
    COUNT_MESSAGES
    COUNT_CONTROL
    COUNT_UNKNOWN_TYPE                 # messages
    COUNT_UNKNOWN_SYMBOL               # messages
    COUNT_UNKNOWN_FIELD
    COUNT_BAD_TIME                     # messages refused: no time, or none that 1970..2261 holds
    COUNT_BAD_PRICE                    # messages refused: absent, NaN, infinite, negative, overflow
    COUNT_BAD_QTY                      # messages refused
    COUNT_VANISHED_PX                  # messages refused: a price of less than one unit or tick
    COUNT_VANISHED_QTY                 # quantities of less than one unit, taken as one
    COUNT_OFF_TICK                     # quote and book prices moved to the tick away from the market
    COUNT_BAD_ID                       # trade ids that are no u64, taken as 0
    COUNT_MORE_CONDITIONS              # conditions beyond the fourth, left out
    COUNTS

cdef enum:                             # Snap: what becomes of a price off the tick
    SNAP_KEEP                          # prints may lie between ticks
    SNAP_DOWN
    SNAP_UP

cdef struct tick_t:
    int64_t px                         # px units
    uint64_t inverse, most             # of its odd part; how many of it 64 bits hold: what tells its multiples without dividing
    int32_t shift                      # its power of two

cdef struct symbol_t:
    uint8_t text[32]
    uint64_t word                      # of the first bytes of the text
    int32_t n
    int32_t qty_exp
    uint32_t instrument
    uint32_t quote_unit                # what one unit of a quote's size is worth
    tick_t tick, sub_tick
    int64_t lot

cdef struct level_t:
    value_t px, qty

cdef struct print_t:                   # which fields make a trade record
    int px, qty, id, conditions
    uint16_t type, flags

cdef struct slice_t:
    Py_ssize_t first, n


cdef inline uint8_t first_letter(const value_t* v) noexcept nogil:
    return (<const uint8_t*><size_t>v.bits)[0] if v.kind == KIND_TEXT and v.n > 0 else 0


cdef class Messages:
    cdef readonly str codec
    cdef readonly list control         # messages of the last frame that carry no data, as bytes
    cdef bint is_json, no_memory
    cdef bint running                  # frames are read without the GIL
    cdef uint16_t flags                # feed flag of every record
    cdef uint64_t ineligible[4]        # bit set of condition letters that bar a print from setting a price

    # the message under way
    cdef value_t value[FIELDS]
    cdef uint64_t have                 # bit set of Field
    cdef level_t* levels
    cdef Py_ssize_t n_levels, max_levels
    cdef arena_t arena
    cdef minute_t minute
    cdef int64_t ts_recv

    # what came out
    cdef market_t* records
    cdef Py_ssize_t n_records, max_records
    cdef bar_t* bars
    cdef Py_ssize_t n_bars, max_bars
    cdef slice_t controls[16]
    cdef int n_controls
    cdef int64_t count[COUNTS]

    # symbols: open addressing over their bytes
    cdef symbol_t* symbols
    cdef int32_t n_symbols, max_symbols
    cdef int32_t* slots                # index into symbols, -1 = free
    cdef uint64_t mask

    @cython.final
    cdef int idle(self) except -1
    @cython.final
    cdef int enter(self, const symbol_t* symbol) except -1
    @cython.final
    cdef int grow(self) except -1
    @cython.final
    cdef void index(self, int32_t i) noexcept nogil
    @cython.final
    cdef inline const symbol_t* find(self, const value_t* name) noexcept nogil
    @cython.final
    cdef level_t* new_level(self) noexcept nogil
    @cython.final
    cdef void finish(self, Py_ssize_t first, Py_ssize_t n) noexcept nogil
    @cython.final
    cdef void other(self, const value_t* type, Py_ssize_t first, Py_ssize_t n) noexcept nogil
    @cython.final
    cdef inline const value_t* get(self, int field) noexcept nogil
    @cython.final
    cdef inline bint time(self, int64_t* ts) noexcept nogil
    @cython.final
    cdef inline bint price(self, const value_t* v, const symbol_t* s, int snap, int64_t* px) noexcept nogil
    @cython.final
    cdef bint off_tick(self, int64_t tick, int snap, int64_t* px) noexcept nogil
    @cython.final
    cdef inline bint quantity(self, const value_t* v, const symbol_t* s, int64_t* qty) noexcept nogil
    @cython.final
    cdef uint64_t trade_id(self, const value_t* v) noexcept nogil
    @cython.final
    cdef uint32_t letters(self, const value_t* v) noexcept nogil
    @cython.final
    cdef inline market_t* put(self, const symbol_t* s, int64_t ts, uint16_t type, uint16_t flags) noexcept nogil
    @cython.final
    cdef bint put_print(self, const symbol_t* s, int64_t ts, print_t* t) noexcept nogil
    @cython.final
    cdef void trade(self, const symbol_t* s, int64_t ts, bint cancel) noexcept nogil
    @cython.final
    cdef void correction(self, const symbol_t* s, int64_t ts) noexcept nogil
    @cython.final
    cdef inline bint quote_side(self, const value_t* price, const value_t* size, const symbol_t* s, int snap,
                         int64_t* px, int64_t* qty) noexcept nogil
    @cython.final
    cdef void quote(self, const symbol_t* s, int64_t ts) noexcept nogil
    @cython.final
    cdef void bar(self, const symbol_t* s, int64_t ts, uint8_t kind) noexcept nogil
    @cython.final
    cdef void status(self, const symbol_t* s, int64_t ts, bint bands) noexcept nogil
    @cython.final
    cdef void book(self, const symbol_t* s, int64_t ts) noexcept nogil
    @cython.final
    cdef bint book_side(self, const value_t* run, const symbol_t* s, int64_t ts, uint8_t side) noexcept nogil
