"""Numbers and times as a wire writes them, kept as written until the instrument says their unit. All inline."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memcpy

from pyrt._core.types cimport u128


cdef enum:                             # Kind of a value
    KIND_NONE = 0                      # absent or null
    KIND_DECIMAL = 1                   # bits * 10^n, exactly
    KIND_DECIMAL_MORE = 2              # and a little more: at least 19 digits, and what was dropped after them
    KIND_FLOAT = 3                     # bits are a double's
    KIND_TEXT = 4                      # n bytes, bits is their address
    KIND_BOOL = 5                      # bits
    KIND_TIME = 6                      # bits = ns UTC
    KIND_LETTERS = 7                   # bits = up to four letters, the first in the lowest byte
    KIND_LEVELS = 8                    # n levels from the bits-th on
    KIND_ARRAY = 9                     # bits entries follow (msgpack), or its bracket was read (JSON)
    KIND_MAP = 10
    KIND_OTHER = 11                    # read, and of no use here

cdef enum:                             # what became of a number
    SCALED = 0
    VANISHED = 1                       # it was not zero, but is less than half a unit
    REFUSED = 2                        # no number, NaN, infinite, negative or beyond 64 bits

cdef struct value_t:
    uint64_t bits
    int32_t n
    uint16_t kind                      # not a byte: what a byte is written to, C must take for anything
    uint8_t negative                   # of a decimal
    uint8_t dropped                    # of KIND_DECIMAL_MORE, in its last place: 1 less than a half, 2 a half, 3 more

cdef struct minute_t:                  # the last minute seen in text: the next stamp is mostly in the same
    uint8_t text[16]                   # YYYY-MM-DDTHH:MM
    int64_t seconds

cdef extern from *:
    """
    static const uint64_t pyrt_power10[20] = {1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull,
        100000000ull, 1000000000ull, 10000000000ull, 100000000000ull, 1000000000000ull, 10000000000000ull,
        100000000000000ull, 1000000000000000ull, 10000000000000000ull, 100000000000000000ull, 1000000000000000000ull,
        10000000000000000000ull};
    """
    const uint64_t* POWER10 "pyrt_power10"


cdef inline int scale_double(uint64_t bits, int exp, int64_t* out) noexcept nogil:
    # value = m * 2^-shift exactly; m * 10^exp fits 113 bits, so there is one rounding, half to even.
    cdef int shift = 1075 - <int>(bits >> 52)                # of a negative number: below zero
    cdef u128 product
    cdef uint64_t high, low, quotient
    if not 0 < shift < 64:
        return scale_any_double(bits, exp, out)
    product = <u128>(bits & 0xfffffffffffffULL | <uint64_t>1 << 52) * <u128>POWER10[exp]
    high = <uint64_t>(product >> 64)
    low = <uint64_t>product
    quotient = high << (64 - shift) | low >> shift
    low <<= 64 - shift                                       # what is cut off; a half is the topmost bit
    if low > <uint64_t>1 << 63 or (low == <uint64_t>1 << 63 and quotient & 1 != 0):
        quotient += 1
    out[0] = <int64_t>quotient
    if high >> (shift - 1) or out[0] < 0:
        out[0] = 0
        return REFUSED
    return SCALED if quotient != 0 else VANISHED


cdef inline int scale_any_double(uint64_t bits, int exp, int64_t* out) noexcept nogil:
    # Beyond 2^52, below 2^-11, no number, or negative.
    cdef int e = <int>(bits >> 52 & 0x7ff)
    cdef uint64_t m = bits & 0xfffffffffffffULL
    cdef u128 product, quotient, rest, half
    out[0] = 0
    if e == 0x7ff:
        return REFUSED
    if e == 0:
        if bits >> 63 and m != 0:
            return REFUSED
        return SCALED if m == 0 else VANISHED
    if bits >> 63:
        return REFUSED
    product = <u128>(m | <uint64_t>1 << 52) * <u128>POWER10[exp]
    e -= 1075
    if e >= 0:
        if e > 10 or product > <u128>0x7fffffffffffffffULL >> e:
            return REFUSED
        out[0] = <int64_t>(product << e)
        return SCALED
    e = -e
    if e > 120:
        return VANISHED
    quotient = product >> e
    rest = product - (quotient << e)
    half = <u128>1 << (e - 1)
    if rest > half or (rest == half and <uint64_t>quotient & 1):
        quotient = quotient + 1
    if quotient > <u128>0x7fffffffffffffffULL:
        return REFUSED
    out[0] = <int64_t>quotient
    return SCALED if out[0] != 0 else VANISHED


cdef inline int scale_decimal(const value_t* v, int exp, int64_t* out) noexcept nogil:
    cdef int shift = v.n + exp
    cdef uint64_t unit, quotient, rest
    cdef u128 product
    out[0] = 0
    if v.bits == 0:
        return SCALED
    if v.negative:
        return REFUSED
    if shift == 0 and v.kind == KIND_DECIMAL_MORE:
        quotient = v.bits
        if v.dropped == 3 or (v.dropped == 2 and quotient & 1):
            quotient += 1
        if quotient > 0x7fffffffffffffffULL:
            return REFUSED
        out[0] = <int64_t>quotient
        return SCALED
    if shift >= 0:
        if shift > 18:
            return REFUSED
        product = <u128>v.bits * <u128>POWER10[shift]
        if product > <u128>0x7fffffffffffffffULL:
            return REFUSED
        out[0] = <int64_t>product
        return SCALED
    if shift < -19:
        return VANISHED
    unit = POWER10[-shift]
    quotient = v.bits / unit
    rest = v.bits - quotient * unit
    if rest > unit - rest or (rest == unit - rest and (quotient & 1 or v.kind == KIND_DECIMAL_MORE)):
        quotient += 1
    if quotient > 0x7fffffffffffffffULL:
        return REFUSED
    out[0] = <int64_t>quotient
    return SCALED if quotient != 0 else VANISHED


cdef inline const uint8_t* read_number(const uint8_t* p, value_t* v) noexcept nogil:
    # A JSON number. The caller's bytes end in one that no number holds, so the digits need no bounds check.
    cdef const uint8_t* first
    cdef const uint8_t* point
    cdef uint64_t mantissa = 0
    cdef unsigned int d
    cdef int exp = 0, digits
    v.kind = KIND_DECIMAL
    v.negative = p[0] == c'-'
    p += v.negative
    first = p
    d = <unsigned int>p[0] - 48
    if d > 9:
        return NULL
    while d < 10:
        mantissa = mantissa * 10 + d
        p += 1
        d = <unsigned int>p[0] - 48
    if first[0] == c'0' and p - first > 1:
        return NULL
    digits = <int>(p - first)
    if p[0] == c'.':
        p += 1
        point = p
        d = <unsigned int>p[0] - 48
        if d > 9:
            return NULL
        while d < 10:
            mantissa = mantissa * 10 + d
            p += 1
            d = <unsigned int>p[0] - 48
        exp = -<int>(p - point)
        digits -= exp
    v.bits = mantissa
    if digits > 19:
        exp = read_long(first, p, v)
    v.n = exp
    if (p[0] | 32) == c'e':
        return read_exponent(p + 1, v)
    return p


cdef inline int read_long(const uint8_t* p, const uint8_t* end, value_t* v) noexcept nogil:
    # Keeps as many significant digits as 64 bits hold, and what it drops as `dropped`; returns the power of ten.
    cdef uint64_t mantissa = 0
    cdef unsigned int d
    cdef int exp = 0
    cdef bint dot = False, full = False, first = True
    v.dropped = 0
    while p < end:
        if p[0] == c'.':
            dot = True
            p += 1
            continue
        d = <unsigned int>p[0] - 48
        p += 1
        full = full or mantissa > 1844674407370955161ULL or (mantissa == 1844674407370955161ULL and d > 5)
        if not full:
            mantissa = mantissa * 10 + d
            exp -= dot
            continue
        exp += not dot
        if first:
            v.dropped = 0 if d == 0 else 1 if d < 5 else 2 if d == 5 else 3
            first = False
        elif d and (v.dropped == 0 or v.dropped == 2):
            v.dropped += 1
    v.bits = mantissa
    if v.dropped:
        v.kind = KIND_DECIMAL_MORE
    return exp


cdef inline const uint8_t* read_exponent(const uint8_t* p, value_t* v) noexcept nogil:
    cdef int e = 0
    cdef bint negative = p[0] == c'-'
    if p[0] == c'-' or p[0] == c'+':
        p += 1
    if <unsigned int>p[0] - 48 > 9:
        return NULL
    while <unsigned int>p[0] - 48 < 10:
        if e < 100000:
            e = e * 10 + (p[0] - 48)
        p += 1
    v.n += -e if negative else e
    return p


cdef inline int scale(const value_t* v, int exp, int64_t* out) noexcept nogil:
    # A number of any kind, decimal text among them, in units of 10^-exp.
    cdef uint8_t text[48]
    cdef const uint8_t* stop
    cdef value_t number
    if v.kind == KIND_FLOAT:
        return scale_double(v.bits, exp, out)
    if v.kind == KIND_DECIMAL or v.kind == KIND_DECIMAL_MORE:
        return scale_decimal(v, exp, out)
    out[0] = 0
    if v.kind != KIND_TEXT or v.n > 47 or v.n == 0:
        return REFUSED
    memcpy(text, <const uint8_t*><size_t>v.bits, v.n)
    text[v.n] = 0
    stop = read_number(text, &number)
    if stop == NULL or stop != text + v.n:
        return REFUSED
    return scale_decimal(&number, exp, out)


cdef inline int64_t days_from_civil(int64_t y, int64_t m, int64_t d) noexcept nogil:
    # Days since 1970-01-01 of a Gregorian date; years count from March so that the leap day comes last.
    cdef int64_t era, year, day
    y -= m <= 2
    era = y / 400
    year = y - era * 400
    day = (153 * (m + (-3 if m > 2 else 9)) + 2) / 5 + d - 1
    return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468


cdef inline int two_digits(const uint8_t* p) noexcept nogil:
    cdef unsigned int a = <unsigned int>p[0] - 48, b = <unsigned int>p[1] - 48
    return <int>(a * 10 + b) if a < 10 and b < 10 else -1


cdef inline bint read_minute(const uint8_t* p, minute_t* cache) noexcept nogil:
    cdef int century = two_digits(p), year = two_digits(p + 2), month = two_digits(p + 5), day = two_digits(p + 8)
    cdef int hour = two_digits(p + 11), minute = two_digits(p + 14), last = 31
    if century < 0 or year < 0 or p[4] != c'-' or p[7] != c'-' or p[13] != c':' or (p[10] | 32) != c't':
        return False
    year += century * 100
    if month == 2:
        last = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        last = 30
    if not (1970 <= year <= 2261 and 1 <= month <= 12 and 1 <= day <= last and 0 <= hour <= 23 and 0 <= minute <= 59):
        return False
    memcpy(cache.text, p, 16)
    cache.seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60
    return True


cdef inline bint eight_digits(const uint8_t* p, int64_t* value) noexcept nogil:
    # Eight digits at once, as four pairs, two fours and one eight of a word whose lowest byte is the first digit.
    cdef uint64_t word
    memcpy(&word, p, 8)
    if word & 0xf0f0f0f0f0f0f0f0ULL != 0x3030303030303030ULL or \
            word + 0x0606060606060606ULL & 0xf0f0f0f0f0f0f0f0ULL != 0x3030303030303030ULL:
        return False
    word = (word & 0x0f0f0f0f0f0f0f0fULL) * 2561 >> 8
    word = (word & 0x00ff00ff00ff00ffULL) * 6553601 >> 16
    value[0] = <int64_t>((word & 0x0000ffff0000ffffULL) * 42949672960001ULL >> 32)
    return True


cdef inline const uint8_t* read_time(const uint8_t* p, const uint8_t* end, minute_t* cache, int64_t* ns) noexcept nogil:
    # RFC 3339 with 0 to 9 decimals; the byte after it, or NULL where it is not one.
    cdef int64_t fraction = 0
    cdef int seconds, hours, minutes
    cdef unsigned int d
    cdef const uint8_t* point
    if end - p < 20 or (memcmp(cache.text, p, 16) != 0 and not read_minute(p, cache)):
        return NULL
    seconds = two_digits(p + 17)
    if p[16] != c':' or seconds < 0 or seconds > 59:
        return NULL
    p += 19
    if p[0] == c'.':
        p += 1
        point = p
        if end - p >= 8 and eight_digits(p, &fraction):
            p += 8
        while p < end and p - point < 9:
            d = <unsigned int>p[0] - 48
            if d > 9:
                break
            fraction = fraction * 10 + d
            p += 1
        if p == point or p == end:
            return NULL
        fraction *= <int64_t>POWER10[9 - (p - point)]
    ns[0] = (cache.seconds + seconds) * 1000000000 + fraction
    if (p[0] | 32) == c'z':
        return p + 1
    if (p[0] != c'+' and p[0] != c'-') or end - p < 6 or p[3] != c':':
        return NULL
    hours = two_digits(p + 1)
    minutes = two_digits(p + 4)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return NULL
    fraction = <int64_t>(hours * 60 + minutes) * 60000000000LL
    ns[0] += fraction if p[0] == c'-' else -fraction
    return p + 6 if ns[0] >= 0 else NULL
