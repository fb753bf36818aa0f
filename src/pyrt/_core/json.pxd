"""Reading JSON inside bounds. The bytes must end in ']': digits, blanks and literals stop there, only text looks for the end.

Every verb returns the byte after what it read, or NULL where the bytes are not JSON.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from pyrt._core.fixed cimport KIND_ARRAY, KIND_BOOL, KIND_MAP, KIND_NONE, KIND_TEXT, read_number, value_t
from pyrt._core.msgpack cimport MAX_DEPTH

cdef enum:
    ARENA = 1024                       # bytes that escaped text of one message may take

cdef struct arena_t:                   # where escaped text is written out
    int32_t used
    uint8_t text[1024]


cdef inline const uint8_t* blank(const uint8_t* p) noexcept nogil:
    while p[0] <= 32 and (p[0] == 32 or p[0] == 10 or p[0] == 13 or p[0] == 9):
        p += 1
    return p


cdef inline int hex4(const uint8_t* p) noexcept nogil:
    cdef int value = 0, i, c
    for i in range(4):
        c = p[i]
        if 48 <= c <= 57:
            c -= 48
        elif 97 <= (c | 32) <= 102:
            c = (c | 32) - 87
        else:
            return -1
        value = value * 16 + c
    return value


cdef inline int put_utf8(uint8_t* out, uint32_t c) noexcept nogil:
    if c < 0x80:
        out[0] = <uint8_t>c
        return 1
    if c < 0x800:
        out[0] = <uint8_t>(0xc0 | c >> 6)
        out[1] = <uint8_t>(0x80 | c & 63)
        return 2
    if c < 0x10000:
        out[0] = <uint8_t>(0xe0 | c >> 12)
        out[1] = <uint8_t>(0x80 | c >> 6 & 63)
        out[2] = <uint8_t>(0x80 | c & 63)
        return 3
    out[0] = <uint8_t>(0xf0 | c >> 18)
    out[1] = <uint8_t>(0x80 | c >> 12 & 63)
    out[2] = <uint8_t>(0x80 | c >> 6 & 63)
    out[3] = <uint8_t>(0x80 | c & 63)
    return 4


cdef inline const uint8_t* read_escape(const uint8_t* p, const uint8_t* end, uint8_t* out, int* n) noexcept nogil:
    # After a backslash: one character, up to four bytes of it into out.
    cdef int c, low
    cdef uint8_t kind
    if end - p < 2:
        return NULL
    kind = p[0]
    p += 1
    n[0] = 1
    if kind == c'"' or kind == c'\\' or kind == c'/':
        out[0] = kind
    elif kind == c'b':
        out[0] = 8
    elif kind == c'f':
        out[0] = 12
    elif kind == c'n':
        out[0] = 10
    elif kind == c'r':
        out[0] = 13
    elif kind == c't':
        out[0] = 9
    elif kind == c'u':
        if end - p < 5:
            return NULL
        c = hex4(p)
        p += 4
        if 0xd800 <= c < 0xdc00:
            if end - p < 7 or p[0] != c'\\' or p[1] != c'u':
                return NULL
            low = hex4(p + 2)
            if low < 0xdc00 or low > 0xdfff:
                return NULL
            c = 0x10000 + (c - 0xd800) * 1024 + (low - 0xdc00)
            p += 6
        elif c < 0 or 0xdc00 <= c < 0xe000:
            return NULL
        n[0] = put_utf8(out, <uint32_t>c)
    else:
        return NULL
    return p


cdef inline const uint8_t* read_escaped(const uint8_t* p, const uint8_t* end, value_t* v, arena_t* arena) noexcept nogil:
    # p is after the opening quote. Text that outgrows the arena is cut there: no known text is that long.
    cdef uint8_t out[4]
    cdef int n, i, first = arena.used
    while p < end and p[0] != c'"':
        if p[0] == c'\\':
            p = read_escape(p + 1, end, out, &n)
            if p == NULL:
                return NULL
        else:
            if p[0] < 32:
                return NULL
            out[0] = p[0]
            n = 1
            p += 1
        if arena.used + n <= ARENA:
            for i in range(n):
                arena.text[arena.used + i] = out[i]
            arena.used += n
    v.bits = <uint64_t><size_t>(arena.text + first)
    v.n = arena.used - first
    return p + 1 if p < end else NULL


cdef inline const uint8_t* read_text(const uint8_t* p, const uint8_t* end, value_t* v, arena_t* arena) noexcept nogil:
    # p is after the opening quote.
    cdef const uint8_t* first = p
    v.kind = KIND_TEXT
    while p < end:
        if p[0] == c'"':
            v.bits = <uint64_t><size_t>first
            v.n = <int32_t>(p - first)
            return p + 1
        if p[0] == c'\\':
            return read_escaped(first, end, v, arena)
        if p[0] < 32:
            return NULL
        p += 1
    return NULL


cdef inline const uint8_t* read_value(const uint8_t* p, const uint8_t* end, value_t* v, arena_t* arena) noexcept nogil:
    # One value; of an array or an object only its bracket.
    cdef uint8_t c = p[0]
    if c == c'"':
        return read_text(p + 1, end, v, arena)
    if c == c'-' or <unsigned int>c - 48 < 10:
        return read_number(p, v)
    if c == c'[' or c == c'{':
        v.kind = KIND_ARRAY if c == c'[' else KIND_MAP
        return p + 1
    v.kind = KIND_BOOL
    if c == c't':
        v.bits = 1
        return p + 4 if end - p > 4 and memcmp(p, b"true", 4) == 0 else NULL
    v.bits = 0
    if c == c'f':
        return p + 5 if end - p > 5 and memcmp(p, b"false", 5) == 0 else NULL
    v.kind = KIND_NONE
    return p + 4 if end - p > 4 and memcmp(p, b"null", 4) == 0 else NULL


cdef inline const uint8_t* skip_entries(const uint8_t* p, const uint8_t* end, const value_t* v, int depth) noexcept nogil:
    # The rest of the array or object whose bracket is in v; nothing for other values.
    cdef value_t entry
    cdef arena_t spare
    cdef uint8_t close = c']' if v.kind == KIND_ARRAY else c'}'
    if v.kind != KIND_ARRAY and v.kind != KIND_MAP:
        return p
    if depth >= MAX_DEPTH:
        return NULL
    spare.used = ARENA                  # nothing is kept
    p = blank(p)
    if p[0] == close:
        return p + 1 if p + 1 < end else NULL
    while True:
        if v.kind == KIND_MAP:
            if p[0] != c'"':
                return NULL
            p = read_text(p + 1, end, &entry, &spare)
            if p == NULL:
                return NULL
            p = blank(p)
            if p[0] != c':':
                return NULL
            p = blank(p + 1)
        p = read_value(p, end, &entry, &spare)
        if p == NULL:
            return NULL
        p = skip_entries(p, end, &entry, depth + 1)
        if p == NULL:
            return NULL
        p = blank(p)
        if p[0] == close:
            return p + 1 if p + 1 < end else NULL
        if p[0] != c',':
            return NULL
        p = blank(p + 1)
