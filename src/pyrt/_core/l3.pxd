"""An order book that knows every order: queues by price and time, orders found by their number.

One store holds the orders of many books. An order is a slot of 32 bytes, chained to those before and behind it at its price; a
level is a slot too, so that an order's level is one step away; each side of a book is a row of (key, level), best last, where the
key is the price of a bid and the negative price of an ask. The index finds a slot by the order's number: lines of 64 bytes with
five places. Numbers that follow one another stand in lines that do, so a venue that counts its orders up keeps writing where the
cache is warm; what finds no place at home goes to a second place that does not depend on neighbours, and each line that was
passed counts it, so that nothing has to move when an order leaves.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memmove


cdef extern from * nogil:
    bint likely "__builtin_expect"(bint, bint)


cdef enum:
    PLACES = 5                         # of a line; half of all are used before the index doubles
    GROUP = 16                         # lines that follow one another for numbers that do, four numbers a line
    NEAR = 16                          # levels from the best that are looked at one by one
    MOST_SLOTS = 0x7fffffff            # orders, levels: their slots are 32 bits

cdef enum:                             # OrderAction
    ORDER_ADD = 1
    ORDER_CANCEL = 2                   # qty less
    ORDER_DELETE = 3
    ORDER_EXECUTE = 4                  # qty less, traded
    ORDER_REPLACE = 5                  # another order, `other`, with px and qty at the end of its queue
    ORDER_MODIFY = 6                   # px and qty anew; keeps its place where px stays and qty does not grow
    ORDER_CLEAR = 7                    # the book is thrown away
    ORDER_TRADE = 8                    # a print against no displayed order: no change

cdef enum:                             # what became of an event
    ORDER_APPLIED = 0
    ORDER_REFUSED = 1                  # no quantity, no side, beyond 64 bits, no such action: counted
    ORDER_UNKNOWN = 2                  # no such order: counted
    ORDER_NO_ROOM = 3                  # nothing was changed: call l3_grow and repeat
    ORDER_SKIPPED = 4                  # not about the book

cdef struct order_event_t:             # 64 bytes; order_event_dtype
    uint64_t order                     # its number
    uint64_t other                     # REPLACE: the number that follows; EXECUTE, TRADE: the match's number
    int64_t px                         # EXECUTE: 0 where the trade is at the order's price
    int64_t qty
    int64_t ts                         # ns, as its source counts
    uint64_t seq
    uint32_t instrument
    uint8_t action, side
    uint16_t flags
    uint32_t by                        # who, four letters, the first in the lowest byte; 0 = not told
    uint32_t reserved

cdef struct line_t:                    # 64 bytes of the index
    uint64_t order[PLACES]
    uint32_t slot[PLACES]              # 0 = free
    uint32_t beyond                    # orders that came by and found no place

cdef struct order_t:
    uint64_t number
    int64_t qty                        # 0 = the slot is free
    uint32_t level
    uint32_t before, behind            # slots of its queue, 0 = nobody; behind: of a free slot, the next free one
    uint32_t by

cdef struct rank_t:                    # a level of a book
    int64_t key, qty
    uint32_t first, last               # slots; first: of a free level, the next free one
    uint32_t orders
    uint32_t where                     # book * 2 + side

cdef struct rung_t:
    int64_t key
    uint32_t level, reserved

cdef struct row_t:                     # one side of a book: ascending keys, the best is the last
    rung_t* rungs
    uint32_t n, cap

cdef struct orders_t:
    line_t* lines
    uint64_t mask                      # lines - 1
    uint64_t live, most                # orders in the index, and how many it takes before it grows
    order_t* orders                    # slot 0 stands for nobody
    rank_t* levels
    row_t* rows                        # by book * 2 + side; 0 bids, 1 asks
    uint32_t order_cap, order_used, order_free
    uint32_t level_cap, level_used, level_free
    uint32_t books
    uint32_t shift                     # 64 - log2(lines)
    uint64_t unknown, duplicates, refused, clipped


cdef bint l3_init(orders_t* o, uint32_t books) noexcept nogil
cdef void l3_free(orders_t* o) noexcept nogil
cdef bint l3_grow(orders_t* o, uint32_t where) noexcept nogil          # the one verb that allocates; False: no more room
cdef bint l3_reserve(orders_t* o, uint64_t orders) noexcept nogil
cdef void l3_clear(orders_t* o, uint32_t book) noexcept nogil
cdef bint l3_ahead(const orders_t* o, uint64_t number, int64_t* orders, int64_t* qty) noexcept nogil


# ---------------------------------------------------------------------------------------------------- the index
cdef inline uint64_t home_of(const orders_t* o, uint64_t number) noexcept nogil:
    cdef uint64_t group = ((number >> 6) * <uint64_t>0x9E3779B97F4A7C15) >> o.shift
    return (group & ~<uint64_t>(GROUP - 1)) | ((number >> 2) & (GROUP - 1))


cdef inline uint64_t next_line(const orders_t* o, uint64_t number, uint64_t at, uint64_t tried) noexcept nogil:
    if tried > 0:
        return (at + 1) & o.mask
    return ((number ^ (number >> 31)) * <uint64_t>0xD6E8FEB86659FD93) >> o.shift


cdef inline uint32_t l3_find(const orders_t* o, uint64_t number) noexcept nogil:
    # The order's slot, 0 = none. Bounded even where every line was passed by somebody.
    cdef uint64_t at = home_of(o, number), tried = 0
    cdef const line_t* line
    cdef int i = <int>(number & 3)
    while tried <= o.mask + 1:
        line = &o.lines[at]
        if likely(line.order[i] == number and line.slot[i] != 0, True):
            return line.slot[i]
        for i in range(PLACES):
            if line.order[i] == number and line.slot[i] != 0:
                return line.slot[i]
        if line.beyond == 0:
            return 0
        i = 0
        at = next_line(o, number, at, tried)
        tried += 1
    return 0


cdef inline void enter(orders_t* o, uint64_t number, uint32_t slot) noexcept nogil:
    # Ends: half of all places are free.
    cdef uint64_t at = home_of(o, number), tried = 0
    cdef line_t* line
    cdef int i
    o.live += 1
    while True:
        line = &o.lines[at]
        i = <int>(number & 3)
        if not likely(line.slot[i] == 0, True):
            i = 0
            while i < PLACES and line.slot[i] != 0:
                i += 1
        if likely(i < PLACES, True):
            line.order[i] = number
            line.slot[i] = slot
            return
        line.beyond += 1
        at = next_line(o, number, at, tried)
        tried += 1


cdef inline void leave(orders_t* o, uint64_t number) noexcept nogil:
    # The order is there.
    cdef uint64_t at = home_of(o, number), tried = 0
    cdef line_t* line
    cdef int i
    o.live -= 1
    while True:
        line = &o.lines[at]
        i = <int>(number & 3)
        if not likely(line.order[i] == number and line.slot[i] != 0, True):
            i = 0
            while i < PLACES and not (line.order[i] == number and line.slot[i] != 0):
                i += 1
        if likely(i < PLACES, True):
            line.slot[i] = 0
            return
        line.beyond -= 1
        at = next_line(o, number, at, tried)
        tried += 1


# ---------------------------------------------------------------------------------------------------- levels and queues
cdef inline int64_t key_of(uint32_t where, int64_t px) noexcept nogil:
    # Of any px, also of the one that has no negative.
    return <int64_t>(<uint64_t>0 - <uint64_t>px) if where & 1 else px


cdef inline uint32_t rung_of(const row_t* row, int64_t key) noexcept nogil:
    # The first rung whose key is not below `key`: most are near the best.
    cdef uint32_t i = row.n, low = 0, high, mid
    cdef uint32_t stop = i - NEAR if i > NEAR else 0
    while i > stop and row.rungs[i - 1].key >= key:
        i -= 1
    if likely(i > stop or stop == 0, True):
        return i
    high = stop
    while low < high:
        mid = (low + high) >> 1
        if row.rungs[mid].key < key:
            low = mid + 1
        else:
            high = mid
    return low


cdef inline uint32_t new_level(orders_t* o, uint32_t where, uint32_t i, int64_t key) noexcept nogil:
    cdef row_t* row = &o.rows[where]
    cdef uint32_t level = o.level_free
    if level != 0:
        o.level_free = o.levels[level].first
    else:
        level = o.level_used
        o.level_used += 1
    memmove(&row.rungs[i + 1], &row.rungs[i], (row.n - i) * sizeof(rung_t))
    row.n += 1
    row.rungs[i] = rung_t(key, level, 0)
    o.levels[level] = rank_t(key, 0, 0, 0, 0, where)
    return level


cdef inline void end_level(orders_t* o, uint32_t level) noexcept nogil:
    cdef rank_t* v = &o.levels[level]
    cdef row_t* row = &o.rows[v.where]
    cdef uint32_t i = rung_of(row, v.key)
    row.n -= 1
    memmove(&row.rungs[i], &row.rungs[i + 1], (row.n - i) * sizeof(rung_t))
    v.first = o.level_free
    o.level_free = level


cdef inline void drop(orders_t* o, uint32_t slot) noexcept nogil:
    # Slot 0 takes what would be written to nobody.
    cdef order_t* r = &o.orders[slot]
    cdef rank_t* v = &o.levels[r.level]
    v.qty -= r.qty
    v.orders -= 1
    o.orders[r.before].behind = r.behind
    o.orders[r.behind].before = r.before
    v.first = v.first if r.before != 0 else r.behind
    v.last = v.last if r.behind != 0 else r.before
    leave(o, r.number)
    if v.orders == 0:
        end_level(o, r.level)
    r.qty = 0
    r.behind = o.order_free
    o.order_free = slot


cdef inline bint has_room(const orders_t* o, uint32_t where) noexcept nogil:
    return (o.live < o.most and (o.order_free != 0 or o.order_used < o.order_cap)
            and (o.level_free != 0 or o.level_used < o.level_cap) and o.rows[where].n < o.rows[where].cap)


# ---------------------------------------------------------------------------------------------------- verbs
cdef inline int l3_add(orders_t* o, uint32_t where, uint64_t number, int64_t px, int64_t qty, uint32_t by) noexcept nogil:
    # An order behind all others at its price. One that is there already under this number makes way, and is counted.
    cdef int64_t most = <int64_t>1 << 62
    cdef int64_t key = key_of(where, px)
    cdef row_t* row = &o.rows[where]
    cdef uint32_t i, slot, level
    cdef order_t* r
    cdef rank_t* v
    if not likely(qty > 0 and qty < most and px > -most and px < most, True):
        o.refused += 1
        return ORDER_REFUSED
    if not likely(has_room(o, where), True):
        return ORDER_NO_ROOM
    slot = l3_find(o, number)
    if not likely(slot == 0, True):
        o.duplicates += 1
        drop(o, slot)
    i = rung_of(row, key)
    if i < row.n and row.rungs[i].key == key:
        level = row.rungs[i].level
        if not likely(o.levels[level].qty < most - qty, True):
            o.refused += 1
            return ORDER_REFUSED
    else:
        level = new_level(o, where, i, key)
    v = &o.levels[level]
    slot = o.order_free
    if slot != 0:
        o.order_free = o.orders[slot].behind
    else:
        slot = o.order_used
        o.order_used += 1
    r = &o.orders[slot]
    r.number = number
    r.qty = qty
    r.level = level
    r.before = v.last
    r.behind = 0
    r.by = by
    o.orders[v.last].behind = slot
    v.first = v.first if v.last != 0 else slot
    v.last = slot
    v.qty += qty
    v.orders += 1
    enter(o, number, slot)
    return ORDER_APPLIED


cdef inline int l3_reduce(orders_t* o, uint64_t number, int64_t qty) noexcept nogil:
    # What is canceled or executed of an order; more than there is takes all of it, and is counted.
    cdef uint32_t slot = l3_find(o, number)
    cdef order_t* r = &o.orders[slot]
    if not likely(slot != 0, True):
        o.unknown += 1
        return ORDER_UNKNOWN
    if not likely(qty > 0, True):
        o.refused += 1
        return ORDER_REFUSED
    if qty >= r.qty:
        o.clipped += qty > r.qty
        drop(o, slot)
        return ORDER_APPLIED
    r.qty -= qty
    o.levels[r.level].qty -= qty
    return ORDER_APPLIED


cdef inline int l3_delete(orders_t* o, uint64_t number) noexcept nogil:
    cdef uint32_t slot = l3_find(o, number)
    if not likely(slot != 0, True):
        o.unknown += 1
        return ORDER_UNKNOWN
    drop(o, slot)
    return ORDER_APPLIED


cdef inline int l3_replace(orders_t* o, uint64_t number, uint64_t other, int64_t px, int64_t qty) noexcept nogil:
    # Leaves its queue and enters, as another order of the same side, at the end of one. What is refused leaves nothing behind.
    cdef uint32_t slot = l3_find(o, number), where, by
    if not likely(slot != 0, True):
        o.unknown += 1
        return ORDER_UNKNOWN
    where = o.levels[o.orders[slot].level].where
    by = o.orders[slot].by
    if not likely(has_room(o, where), True):
        return ORDER_NO_ROOM
    drop(o, slot)
    return l3_add(o, where, other, px, qty, by)


cdef inline int l3_modify(orders_t* o, uint64_t number, int64_t px, int64_t qty) noexcept nogil:
    cdef uint32_t slot = l3_find(o, number)
    cdef order_t* r = &o.orders[slot]
    cdef rank_t* v = &o.levels[r.level]
    if slot != 0 and qty > 0 and qty <= r.qty and v.key == key_of(v.where, px):
        v.qty -= r.qty - qty
        r.qty = qty
        return ORDER_APPLIED
    return l3_replace(o, number, number, px, qty)


cdef inline int64_t price_of(const rank_t* v) noexcept nogil:
    return -v.key if v.where & 1 else v.key


cdef class L3Book:
    cdef orders_t* orders
    cdef orders_t own
    cdef uint32_t book                 # its number in the store
    cdef object owner                  # whose memory `orders` is, None = own

    @staticmethod
    cdef L3Book of(orders_t* orders, uint32_t book, object owner)
    cdef bint done(self, int code, uint32_t where) except -1
    cdef bint is_away(self, uint64_t order) noexcept nogil
    cdef uint32_t own_slot(self, uint64_t order) noexcept nogil
    cdef uint32_t where(self, uint64_t order) noexcept nogil
    cdef object best(self, uint32_t side)
    cdef object levels(self, int side, Py_ssize_t n)
