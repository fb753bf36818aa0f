"""Records to Alpaca's data-stream messages, msgpack or JSON: what a venue of ours sends."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from pyrt._core.types cimport bar_t, market_t, trade_t


cdef struct name_t:                    # what a message says of an instrument
    uint8_t text[32]
    int32_t n                          # 0 = not registered
    int32_t qty_exp
    bint crypto
    uint8_t tape


cdef class Encoder:
    cdef readonly str codec
    cdef readonly uint64_t skipped     # records that have no message: gaps, timers
    cdef bint is_json, no_memory
    cdef uint8_t* bytes                # the frame under way
    cdef Py_ssize_t n, capacity
    cdef name_t* names                 # by instrument id
    cdef uint32_t n_names
    cdef bint filled                   # JSON: the open object or array has an entry

    cdef int refuse(self, uint32_t instrument) except -1
    cdef Py_ssize_t group(self, const market_t* records, Py_ssize_t i, Py_ssize_t n) noexcept nogil
    cdef bint message(self, const market_t* records, Py_ssize_t n) noexcept nogil
    cdef bint trade(self, const trade_t* t) noexcept nogil
    cdef bint cancel(self, const trade_t* t) noexcept nogil
    cdef bint correction(self, const trade_t* old, const trade_t* new) noexcept nogil
    cdef bint quote(self, const market_t* r) noexcept nogil
    cdef bint status(self, const market_t* r) noexcept nogil
    cdef bint book(self, const market_t* records, Py_ssize_t n) noexcept nogil
    cdef bint bar(self, const bar_t* b, uint8_t kind) noexcept nogil
    cdef const name_t* open(self, uint32_t instrument, uint8_t kind, int stock, int crypto) noexcept nogil
    cdef void close(self, int64_t ts) noexcept nogil
    cdef bint room(self, Py_ssize_t n) noexcept nogil
    cdef inline void raw(self, const char* text, Py_ssize_t n) noexcept nogil
    cdef inline void byte(self, uint8_t value) noexcept nogil
    cdef inline void big_endian(self, uint8_t head, uint64_t value, int n) noexcept nogil
    cdef inline void key(self, const char* name) noexcept nogil
    cdef inline void text(self, const uint8_t* text, int n) noexcept nogil
    cdef inline void letter(self, const char* name, uint8_t letter) noexcept nogil
    cdef inline void letters(self, const char* name, uint32_t letters) noexcept nogil
    cdef inline void conditions(self, const char* name, uint32_t letters) noexcept nogil
    cdef inline void array_head(self, uint64_t n) noexcept nogil
    cdef inline void whole(self, uint64_t value) noexcept nogil
    cdef inline void price(self, const char* name, int64_t px) noexcept nogil
    cdef inline void quantity(self, const char* name, int64_t qty, int exp) noexcept nogil
    cdef void decimal(self, uint64_t value, int exp) noexcept nogil
    cdef inline void real(self, double value) noexcept nogil
    cdef void time(self, int64_t ts) noexcept nogil
    cdef void json_time(self, int64_t seconds, uint64_t ns) noexcept nogil
    cdef void level(self, const market_t* record, int exp) noexcept nogil
