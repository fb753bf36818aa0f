"""What the window controls remember: the last times of an event, and buckets that refill. All inline."""
from libc.stdint cimport INT64_MIN, int64_t, uint32_t


cdef enum:
    RING = 128                         # the largest count that a window control can have
    MOVES = 32                         # own executions of a side that PRICE_DRIFT knows singly

ctypedef struct ring_t:                # the last RING times, never falling
    int64_t at[RING]
    uint32_t n

ctypedef struct moves_t:               # the last own executions of one side in an instrument
    int64_t at[MOVES]
    int64_t px[MOVES]
    uint32_t n

ctypedef struct activity_t:            # of a position slot
    ring_t sends[2]                    # buys, sells
    ring_t execs[2]
    ring_t trips


cdef inline void ring_add(ring_t* ring, int64_t at) noexcept nogil:
    cdef int64_t last = ring.at[(ring.n - 1) % RING] if ring.n else INT64_MIN
    ring.at[ring.n % RING] = at if at > last else last      # a clock that steps back frees nothing
    ring.n += 1


cdef inline int64_t ring_back(const ring_t* ring, int64_t k) noexcept nogil:
    """The k-th last time, k from 1; the beginning of time where there were fewer."""
    return ring.at[(ring.n - <uint32_t>k) % RING] if k <= ring.n and k <= RING else INT64_MIN


cdef inline bint ring_full(const ring_t* ring, int64_t limit, int64_t waiting, int64_t window, int64_t now) noexcept nogil:
    """One more now would make more than `limit` within the window."""
    return waiting >= limit or ring_back(ring, limit - waiting) > now - window


cdef inline int64_t ring_count(const ring_t* ring, int64_t window, int64_t now) noexcept nogil:
    cdef int64_t k = 0
    while k < RING and ring_back(ring, k + 1) > now - window:
        k += 1
    return k


cdef inline bint bucket_empty(int64_t full_at, int64_t now, int64_t interval, int64_t burst, int64_t waiting) noexcept nogil:
    """One more order would go into the last fifth of the bucket, which belongs to cancels."""
    return (full_at if full_at > now else now) + interval * (waiting + 1) - now > interval * (burst - burst / 5)


cdef inline int64_t bucket_used(int64_t full_at, int64_t now, int64_t interval, int64_t waiting) noexcept nogil:
    """Messages that the bucket would hold with one more, rounded up."""
    return ((full_at - now if full_at > now else 0) + interval - 1) / interval + waiting + 1


cdef inline int64_t bucket_take(int64_t full_at, int64_t now, int64_t interval) noexcept nogil:
    return (full_at if full_at > now else now) + interval


cdef inline int64_t farther(int64_t a, int64_t b, bint buy) noexcept nogil:
    """The price from which the market has come farther in the direction of the side."""
    return a if (a < b) == buy else b


cdef inline void moves_add(moves_t* moves, int64_t at, int64_t px, int64_t window, bint buy) noexcept nogil:
    cdef uint32_t i = moves.n % MOVES, after = (moves.n + 1) % MOVES
    cdef int64_t last = moves.at[(moves.n - 1) % MOVES] if moves.n else INT64_MIN
    if at < last:
        at = last
    if moves.n >= MOVES and moves.at[i] > at - window:       # too many to know singly: the next one keeps its price
        moves.px[after] = farther(moves.px[i], moves.px[after], buy)
    moves.at[i] = at
    moves.px[i] = px
    moves.n += 1


cdef inline int64_t moves_edge(const moves_t* moves, int64_t since, bint buy) noexcept nogil:
    """The farthest price of an execution after `since`; 0 = there was none."""
    cdef uint32_t i, n = moves.n if moves.n < MOVES else MOVES
    cdef int64_t edge = 0
    for i in range(n):
        if moves.at[i] > since:
            edge = farther(edge, moves.px[i], buy) if edge else moves.px[i]
    return edge
