"""The pit of one instrument: the levels of the external market and our orders that rest or wait there, as sorted rows.

Our orders are few, are walked best first through all prices and are read whole where they are, so they stand by value in rows; the
external market has levels without orders. An `L3Book` (l3.pxd) is the other way round: very many orders, each looked up by number,
seldom walked.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memmove

from pyrt._core.types cimport NO_PX, i128


cdef extern from "<stdint.h>" nogil:
    int64_t ANY "INT64_MAX"             # the key of an order that takes any price

cdef enum:                              # Matcher: who of a level is taken to cancel
    QUEUE_PESSIMISTIC = 0               # those behind us
    QUEUE_PROPORTIONAL = 1              # all of the level, each by his part

ctypedef struct level_t:                # of the external market
    int64_t key                         # px of a bid, -px of an ask: the greater the better
    int64_t qty                         # displayed
    int64_t taken                       # by our orders since qty last changed
    int64_t traded                      # at its price since qty last changed; QUEUE_PROPORTIONAL only

ctypedef struct resting_t:              # one of our orders
    uint64_t order
    int64_t key                         # as level_t; of a stop: -stop of a buy, stop of a sell
    int64_t limit_px                    # 0 = at any price
    int64_t leaves
    int64_t ahead                       # external size before us at our price; -1 = not known
    int64_t trail                       # px units that a trailing stop keeps from the best price; 0 = none
    int64_t ratio                       # the same as parts of 1e9 of the best price; 0 = none
    int64_t best                        # best trade price since a trailing stop works; 0 = none yet
    int64_t budget                      # px units (1e-9) of money that may still be spent or earned; order by money only
    int64_t one                         # qty units of one share; 0 = not an order by money
    uint32_t owner                      # orders of one owner never meet
    uint8_t side                        # 0 buy, 1 sell
    uint8_t tif
    uint8_t sweeping                    # waits for more to take: it could trade, but all that is displayed is taken

ctypedef struct levels_t:               # ascending key: the best is the last
    level_t* rows
    Py_ssize_t n, cap

ctypedef struct queue_t:                # ascending key, then newest first: the next to trade is the last
    resting_t* rows
    Py_ssize_t n, cap
    Py_ssize_t sweepers                 # rows that sweep
    Py_ssize_t trailers                 # rows that trail

ctypedef struct pit_t:                  # one instrument; index 0 buy or bid, 1 sell or ask
    levels_t levels[2]
    queue_t resting[2]
    queue_t stops[2]
    int64_t last_px, last_ts            # last trade that may set a price; 0 = never
    uint32_t instrument
    bint told                           # a QUOTE or a DELTA was seen
    bint depth                          # a DELTA was seen: quotes no longer set the book
    bint halted


# ---------------------------------------------------------------------------------------------------- sorted rows
cdef inline bint room(void** rows, Py_ssize_t n, Py_ssize_t* cap, size_t size) noexcept nogil:
    cdef void* more
    if n < cap[0]:
        return True
    more = realloc(rows[0], (2 * cap[0] if cap[0] else 16) * size)
    if more == NULL:
        return False
    rows[0] = more
    cap[0] = 2 * cap[0] if cap[0] else 16
    return True


cdef inline Py_ssize_t find_level(const levels_t* v, int64_t key) noexcept nogil:
    # The first row whose key is not below `key`; the best are the last and the most asked for.
    cdef Py_ssize_t i = v.n
    while i > 0 and v.rows[i - 1].key >= key:
        i -= 1
    return i


cdef inline Py_ssize_t find_place(const queue_t* q, int64_t key) noexcept nogil:
    # Before its equals, since the last of them trades first.
    cdef Py_ssize_t low = 0, high = q.n, mid
    while low < high:
        mid = (low + high) >> 1
        if q.rows[mid].key < key:
            low = mid + 1
        else:
            high = mid
    return low


cdef inline bint trails(const resting_t* o) noexcept nogil:
    return o.trail > 0 or o.ratio > 0


cdef inline bint insert(queue_t* q, const resting_t* o) noexcept nogil:
    cdef Py_ssize_t i
    if not room(<void**>&q.rows, q.n, &q.cap, sizeof(resting_t)):
        return False
    i = find_place(q, o.key)
    memmove(&q.rows[i + 1], &q.rows[i], (q.n - i) * sizeof(resting_t))
    q.rows[i] = o[0]
    q.n += 1
    q.sweepers += o.sweeping
    q.trailers += trails(o)
    return True


cdef inline void erase(queue_t* q, Py_ssize_t i) noexcept nogil:
    q.n -= 1
    q.sweepers -= q.rows[i].sweeping
    q.trailers -= trails(&q.rows[i])
    memmove(&q.rows[i], &q.rows[i + 1], (q.n - i) * sizeof(resting_t))


cdef inline Py_ssize_t place_of(pit_t* p, uint64_t order, queue_t** found) noexcept nogil:
    # The queue of an order and its place there; -1 = it is not here.
    cdef int k
    cdef Py_ssize_t i
    for k in range(4):
        found[0] = &p.resting[k] if k < 2 else &p.stops[k - 2]
        for i in range(found[0].n):
            if found[0].rows[i].order == order:
                return i
    return -1


cdef inline int64_t trail_key(const resting_t* o) noexcept nogil:
    # Where a trailing stop stands: below the best price of a sell, above that of a buy; nowhere before there is one.
    cdef int64_t off = o.trail if o.trail else <int64_t>(<i128>o.best * o.ratio / 1_000_000_000)
    if o.best == 0:
        return -ANY
    return -(o.best + off) if o.side == 0 else o.best - off


cdef inline int64_t affords(const resting_t* o, int64_t px) noexcept nogil:
    # Qty units that an order by money may trade at `px`.
    cdef i128 qty = <i128>o.budget * o.one / px
    return o.leaves if qty > o.leaves else <int64_t>qty


cdef inline int64_t px_of(int s, int64_t key) noexcept nogil:
    return key if s == 0 else -key


cdef inline bint reaches(const resting_t* o, int64_t opposite) noexcept nogil:
    # Whether an order trades at the price of a key of the other side.
    return o.limit_px == 0 or o.key + opposite >= 0


cdef inline bint sweeps(const resting_t* o, const levels_t* opposite) noexcept nogil:
    return o.limit_px == 0 or (opposite.n > 0 and reaches(o, opposite.rows[opposite.n - 1].key))


cdef inline Py_ssize_t best_left(const levels_t* v) noexcept nogil:
    # The best level that has something left to take; -1 = none.
    cdef Py_ssize_t i = v.n - 1
    while i >= 0 and v.rows[i].qty <= v.rows[i].taken:
        i -= 1
    return i


cdef inline int64_t queue_ahead(const pit_t* p, const resting_t* o) noexcept nogil:
    cdef const levels_t* v = &p.levels[o.side]
    cdef Py_ssize_t i = find_level(v, o.key)
    if not p.told:
        return -1
    if i == v.n:                        # better than everybody, or nobody is there
        return 0
    if v.rows[i].key == o.key:
        return v.rows[i].qty - v.rows[i].taken
    return 0 if p.depth and i > 0 else -1


cdef inline void requeue(pit_t* p, int s, int64_t key, int64_t qty, int64_t stood) noexcept nogil:
    # The displayed size of a level is now `qty`; `stood` = what stood there and may have canceled, 0 = not looked at.
    cdef queue_t* q = &p.resting[s]
    cdef Py_ssize_t i = find_place(q, key)
    while i < q.n and q.rows[i].key == key:
        if stood > qty and q.rows[i].ahead > 0:
            q.rows[i].ahead -= <int64_t>(<i128>q.rows[i].ahead * (stood - qty) / stood)
        if q.rows[i].ahead < 0 or q.rows[i].ahead > qty:
            q.rows[i].ahead = qty
        i += 1


cdef inline void lead(pit_t* p, int s, int64_t key) noexcept nogil:
    # Orders better than `key`, the best displayed, have nobody before them.
    cdef queue_t* q = &p.resting[s]
    cdef Py_ssize_t i = q.n - 1
    while i >= 0 and q.rows[i].key > key:
        q.rows[i].ahead = 0
        i -= 1


cdef inline bint set_level(pit_t* p, int s, int64_t key, int64_t qty, int queue) noexcept nogil:
    cdef levels_t* v = &p.levels[s]
    cdef Py_ssize_t i = find_level(v, key)
    cdef bint found = i < v.n and v.rows[i].key == key
    cdef int64_t stood = 0
    if found and queue == QUEUE_PROPORTIONAL:
        stood = max(v.rows[i].qty - v.rows[i].traded, 0)
    if found and qty > 0:
        if v.rows[i].qty != qty:
            v.rows[i] = level_t(key, qty, 0, 0)
    elif found:
        v.n -= 1
        memmove(&v.rows[i], &v.rows[i + 1], (v.n - i) * sizeof(level_t))
    elif qty > 0:
        if not room(<void**>&v.rows, v.n, &v.cap, sizeof(level_t)):
            return False
        memmove(&v.rows[i + 1], &v.rows[i], (v.n - i) * sizeof(level_t))
        v.rows[i] = level_t(key, qty, 0, 0)
        v.n += 1
    requeue(p, s, key, qty, stood)
    lead(p, s, v.rows[v.n - 1].key if v.n else -ANY)
    return True


cdef inline bint set_top(pit_t* p, int s, int64_t px, int64_t qty, int queue) noexcept nogil:
    # A quote tells one level and that it is the only one known.
    cdef levels_t* v = &p.levels[s]
    cdef int64_t key
    if px == NO_PX or px <= 0 or qty <= 0:              # nothing trades, and no money divides, by no price
        v.n = 0
        lead(p, s, -ANY)
        return True
    key = px if s == 0 else -px                         # only now: NO_PX has no negative
    if v.n == 1 and v.rows[0].key == key:
        if v.rows[0].qty == qty:
            return True
        return set_level(p, s, key, qty, queue)
    v.n = 0
    return set_level(p, s, key, qty, queue)
