"""Reading msgpack inside bounds: every verb returns the byte after what it read, or NULL where the bytes are not msgpack."""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from pyrt._core.fixed cimport (KIND_ARRAY, KIND_BOOL, KIND_DECIMAL, KIND_FLOAT, KIND_MAP, KIND_NONE, KIND_OTHER, KIND_TEXT,
                               KIND_TIME, value_t)
from libc.string cimport memcpy

cdef enum:
    MAX_DEPTH = 32                     # deeper values are malformed


cdef extern from *:
    """
    static inline uint64_t pyrt_big_endian8(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
    """
    uint64_t big_endian8 "pyrt_big_endian8"(const uint8_t* p) noexcept nogil


cdef inline uint64_t big_endian(const uint8_t* p, int n) noexcept nogil:
    cdef uint64_t value = 0
    cdef int i
    for i in range(n):
        value = value << 8 | p[i]
    return value


cdef inline const uint8_t* signed_decimal(const uint8_t* p, int64_t value, value_t* v) noexcept nogil:
    v.kind = KIND_DECIMAL
    v.n = 0
    v.negative = value < 0
    v.bits = <uint64_t>0 - <uint64_t>value if value < 0 else <uint64_t>value
    return p


cdef inline const uint8_t* text_of(const uint8_t* p, const uint8_t* end, uint64_t n, value_t* v) noexcept nogil:
    v.kind = KIND_TEXT
    v.bits = <uint64_t><size_t>p
    v.n = <int32_t>n
    return p + n if n <= <uint64_t>(end - p) else NULL


cdef inline const uint8_t* extension(const uint8_t* p, const uint8_t* end, uint64_t n, value_t* v) noexcept nogil:
    # Type -1 is a time: 4 bytes of seconds, 8 with 30 bits of ns, or 12.
    cdef uint64_t seconds = 0, ns = 0
    if end - p < 1 or n > <uint64_t>(end - p - 1):
        return NULL
    v.kind = KIND_OTHER
    if p[0] == 0xff and (n == 4 or n == 8 or n == 12):
        if n == 4:
            seconds = big_endian(p + 1, 4)
        elif n == 8:
            seconds = big_endian8(p + 1)
            ns = seconds >> 34
            seconds &= 0x3ffffffffULL
        else:
            ns = big_endian(p + 1, 4)
            seconds = big_endian8(p + 5)
        if seconds <= 9200000000ULL and ns < 1000000000:
            v.kind = KIND_TIME
            v.bits = seconds * 1000000000 + ns
    return p + 1 + n


cdef inline const uint8_t* read_wide(uint8_t head, const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil:
    # What the common heads leave over: sized integers, long text, extensions, containers with a length field.
    cdef int width
    cdef float single
    cdef double value
    cdef uint32_t word
    if head <= 0xc0:
        v.kind = KIND_NONE
        return p if head == 0xc0 else NULL
    if head == 0xc1:
        return NULL
    if head == 0xc2 or head == 0xc3:
        v.kind = KIND_BOOL
        v.bits = head & 1
        return p
    if 0xd4 <= head <= 0xd8:
        return extension(p, end, <uint64_t>1 << (head - 0xd4), v)
    if head == 0xca:
        width = 4
    elif head <= 0xc6:
        width = 1 << (head - 0xc4)
    elif head <= 0xc9:
        width = 1 << (head - 0xc7)
    elif head <= 0xcf:
        width = 1 << (head - 0xcc)
    elif head <= 0xd3:
        width = 1 << (head - 0xd0)
    elif head <= 0xdb:
        width = 1 << (head - 0xd9)
    else:
        width = 2 << (head & 1)
    if end - p < width:
        return NULL
    v.bits = big_endian(p, width)
    v.n = 0
    p += width
    if head == 0xca:
        word = <uint32_t>v.bits
        memcpy(&single, &word, 4)
        value = single
        memcpy(&v.bits, &value, 8)
        v.kind = KIND_FLOAT
    elif head <= 0xc6:
        v.kind = KIND_OTHER
        return p + v.bits if v.bits <= <uint64_t>(end - p) else NULL
    elif head <= 0xc9:
        return extension(p, end, v.bits, v)
    elif head <= 0xcf:
        v.kind = KIND_DECIMAL
        v.negative = 0
    elif head == 0xd0:
        return signed_decimal(p, <int8_t>v.bits, v)
    elif head == 0xd1:
        return signed_decimal(p, <int16_t>v.bits, v)
    elif head == 0xd2:
        return signed_decimal(p, <int32_t>v.bits, v)
    elif head == 0xd3:
        return signed_decimal(p, <int64_t>v.bits, v)
    elif head <= 0xdb:
        return text_of(p, end, v.bits, v)
    else:
        v.kind = KIND_ARRAY if head <= 0xdd else KIND_MAP
    return p


cdef inline const uint8_t* read_value(const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil:
    # One value; of an array or a map only the head, its entries follow.
    cdef uint8_t head
    if p >= end:
        return NULL
    head = p[0]
    p += 1
    if head < 0x80:
        v.kind = KIND_DECIMAL
        v.negative = 0
        v.n = 0
        v.bits = head
        return p
    if head == 0xcb:
        if end - p < 8:
            return NULL
        v.kind = KIND_FLOAT
        v.bits = big_endian8(p)
        return p + 8
    if head & 0xe0 == 0xa0:
        return text_of(p, end, head & 31, v)
    if head == 0xd7:
        return extension(p, end, 8, v)
    if head == 0xcd:
        if end - p < 2:
            return NULL
        v.kind = KIND_DECIMAL
        v.negative = 0
        v.n = 0
        v.bits = <uint64_t>p[0] << 8 | p[1]
        return p + 2
    if head & 0xf0 == 0x90 or head & 0xf0 == 0x80:
        v.kind = KIND_ARRAY if head & 0x10 else KIND_MAP
        v.bits = head & 15
        return p
    if head >= 0xe0:
        return signed_decimal(p, <int8_t>head, v)
    return read_wide(head, p, end, v)


cdef inline const uint8_t* quick_value(const uint8_t* p, value_t* v) noexcept nogil:
    # The values of nearly every message, where ten bytes are known to follow; NULL: another. A step of fixed length for each head:
    # the next one can be read before this one is.
    cdef uint8_t head = p[0]
    if head == 0xcb:
        v.kind = KIND_FLOAT
        v.bits = big_endian8(p + 1)
        return p + 9
    if head < 0x80:
        v.kind = KIND_DECIMAL
        v.negative = 0
        v.n = 0
        v.bits = head
        return p + 1
    if head == 0xa1:
        v.kind = KIND_TEXT
        v.n = 1
        v.bits = <uint64_t><size_t>(p + 1)
        return p + 2
    if head == 0xcd:
        v.kind = KIND_DECIMAL
        v.negative = 0
        v.n = 0
        v.bits = <uint64_t>p[1] << 8 | p[2]
        return p + 3
    if head == 0xa4:
        v.kind = KIND_TEXT
        v.n = 4
        v.bits = <uint64_t><size_t>(p + 1)
        return p + 5
    if head == 0xa3:
        v.kind = KIND_TEXT
        v.n = 3
        v.bits = <uint64_t><size_t>(p + 1)
        return p + 4
    return NULL


cdef inline const uint8_t* skip_entries(const uint8_t* p, const uint8_t* end, const value_t* v, int depth) noexcept nogil:
    # The entries of the array or map whose head is in v; nothing for other values.
    cdef value_t entry
    cdef uint64_t left = v.bits
    if v.kind != KIND_ARRAY and v.kind != KIND_MAP:
        return p
    if depth >= MAX_DEPTH or left > <uint64_t>(end - p):
        return NULL
    if v.kind == KIND_MAP:
        left *= 2
    while left > 0:
        left -= 1
        p = read_value(p, end, &entry)
        if p == NULL:
            return NULL
        p = skip_entries(p, end, &entry, depth + 1)
        if p == NULL:
            return NULL
    return p
