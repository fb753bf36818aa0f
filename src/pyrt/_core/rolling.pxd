"""Rolling windows of n values whose sums only ever add, so that nothing drifts and nothing that left comes back. All inline.

A window is two halves: what is left of the block of n before, as sums from each of its places to its end, and the block that grows.
A value leaves by taking the next of those sums; when the block is whole, the sums are made anew from its raw values (turn: n steps,
once in n). First and second moments are kept about `key`, a value of the window itself: the cancellation in a variance is then at
most 2n, whatever the level of the values. Before the first turn a window says nothing that means anything.
"""
from libc.stdint cimport uint32_t


cdef struct window_t:
    double* a                          # (n): [i, n) sums to the end of the old block, [0, i) raw values of the new one
    double* b                          # (n): the second sum; NULL where there is none
    double pa, pb                      # sums over the new block
    double key                         # moments are about it
    double share                       # 1 / n
    uint32_t n, i


# ---------------------------------------------------------------------------------------------------- sum and sum of squares
cdef inline void turn_moments(window_t* w) noexcept nogil:
    cdef uint32_t j = w.n
    cdef double s = 0, q = 0, d
    w.key = w.a[j - 1]
    while j > 0:
        j -= 1
        d = w.a[j] - w.key
        s += d
        q += d * d
        w.a[j] = s
        w.b[j] = q
    w.pa = w.pb = 0
    w.i = 0


cdef inline void push_moments(window_t* w, double x) noexcept nogil:
    cdef double d = x - w.key
    w.pa += d
    w.pb += d * d
    w.a[w.i] = x
    w.i += 1
    if w.i == w.n:
        turn_moments(w)


cdef inline double mean(const window_t* w) noexcept nogil:
    return w.key + (w.a[w.i] + w.pa) * w.share


cdef inline double squares(const window_t* w) noexcept nogil:
    """The sum of squared distances from the mean."""
    cdef double s = w.a[w.i] + w.pa
    cdef double q = w.b[w.i] + w.pb - s * s * w.share
    return q if q > 0 else 0


# ---------------------------------------------------------------------------------------------------- weights 1 .. n, the newest n
cdef inline void turn_weighted(window_t* w) noexcept nogil:
    cdef uint32_t j = w.n
    cdef double s = 0, r = 0
    w.key = w.a[j - 1]
    while j > 0:
        j -= 1
        s += w.a[j] - w.key
        r += s
        w.a[j] = s
        w.b[j] = r
    w.pa = w.pb = 0
    w.i = 0


cdef inline void push_weighted(window_t* w, double x) noexcept nogil:
    cdef double d = x - w.key
    w.a[w.i] = x
    w.i += 1
    w.pa += d
    w.pb += w.i * d
    if w.i == w.n:
        turn_weighted(w)


cdef inline double weighted_mean(const window_t* w) noexcept nogil:
    cdef double n = w.n
    return w.key + 2 * (w.b[w.i] + w.pb + (n - w.i) * w.pa) / (n * (n + 1))


# ---------------------------------------------------------------------------------------------------- two plain sums
cdef inline void push_sums(window_t* w, double x, double y) noexcept nogil:
    cdef uint32_t j = w.n
    cdef double s = 0, r = 0
    w.a[w.i], w.b[w.i] = x, y
    w.pa += x
    w.pb += y
    w.i += 1
    if w.i < w.n:
        return
    while j > 0:
        j -= 1
        s += w.a[j]
        r += w.b[j]
        w.a[j], w.b[j] = s, r
    w.pa = w.pb = 0
    w.i = 0


# ---------------------------------------------------------------------------------------------------- highest and lowest
cdef inline void push_extremes(window_t* w, double high, double low) noexcept nogil:
    cdef uint32_t j = w.n
    w.a[w.i], w.b[w.i] = high, low
    w.pa = high if w.i == 0 or high > w.pa else w.pa
    w.pb = low if w.i == 0 or low < w.pb else w.pb
    w.i += 1
    if w.i < w.n:
        return
    while j > 1:
        j -= 1
        w.a[j - 1] = w.a[j] if w.a[j] > w.a[j - 1] else w.a[j - 1]
        w.b[j - 1] = w.b[j] if w.b[j] < w.b[j - 1] else w.b[j - 1]
    w.i = 0


cdef inline double highest(const window_t* w) noexcept nogil:
    return w.pa if w.i > 0 and w.pa > w.a[w.i] else w.a[w.i]


cdef inline double lowest(const window_t* w) noexcept nogil:
    return w.pb if w.i > 0 and w.pb < w.b[w.i] else w.b[w.i]


# ---------------------------------------------------------------------------------------------------- the value n ago
cdef inline double push_ring(window_t* w, double x) noexcept nogil:
    cdef double old = w.a[w.i]
    w.a[w.i] = x
    w.i = w.i + 1 if w.i + 1 < w.n else 0
    return old
