"""Order by order: the book of one instrument with every order in its queue."""
cimport cython
from cpython.buffer cimport PyBuffer_Release
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from enum import IntEnum

import numpy as np

from pyrt._core.buffers cimport open_records
from pyrt._core.types cimport FLAG_CROSSED, SIDE_BUY, SIDE_SELL


cdef extern from "pages.h" nogil:
    void* pyrt_pages(size_t size)      # zeroed, on huge pages where it is large


class OrderAction(IntEnum):
    """What happened to an order."""

    ADD = ORDER_ADD
    CANCEL = ORDER_CANCEL
    DELETE = ORDER_DELETE
    EXECUTE = ORDER_EXECUTE
    REPLACE = ORDER_REPLACE
    MODIFY = ORDER_MODIFY
    CLEAR = ORDER_CLEAR
    TRADE = ORDER_TRADE


order_event_dtype = np.dtype([
    ("order", "<u8"), ("other", "<u8"), ("px", "<i8"), ("qty", "<i8"), ("ts", "<i8"), ("seq", "<u8"), ("instrument", "<u4"),
    ("action", "u1"), ("side", "u1"), ("flags", "<u2"), ("by", "S4"), ("reserved", "<u4"),
])
assert order_event_dtype.itemsize == sizeof(order_event_t) == 64
assert sizeof(line_t) == 64
level_dtype = np.dtype([("px", "<i8"), ("qty", "<i8"), ("orders", "<i8")])
queue_dtype = np.dtype([("order", "<u8"), ("qty", "<i8"), ("by", "S4"), ("reserved", "<u4")])

cdef struct depth_t:                   # level_dtype
    int64_t px, qty, orders

cdef struct standing_t:                # queue_dtype
    uint64_t order
    int64_t qty
    char by[4]
    uint32_t reserved


# ---------------------------------------------------------------------------------------------------- memory
cdef bint grow_index(orders_t* o, uint64_t lines) noexcept nogil:
    # Every order is entered anew: some ten ns each.
    cdef line_t* old = o.lines
    cdef uint64_t n = o.mask + 1 if old != NULL else 0
    cdef line_t* more = <line_t*>pyrt_pages(lines * sizeof(line_t))
    cdef uint64_t k
    cdef int i
    if more == NULL:
        return False
    o.lines = more
    o.mask = lines - 1
    o.most = lines * PLACES // 2
    o.shift = 64
    while lines > 1:
        lines >>= 1
        o.shift -= 1
    o.live = 0
    for k in range(n):
        for i in range(PLACES):
            if old[k].slot[i] != 0:
                enter(o, old[k].order[i], old[k].slot[i])
    free(old)
    return True


cdef bint grow_slots(void** rows, uint32_t used, uint32_t* cap, uint32_t wanted, size_t size) noexcept nogil:
    cdef void* more
    if wanted > MOST_SLOTS:
        return False
    more = pyrt_pages(wanted * size)
    if more == NULL:
        return False
    if rows[0] != NULL:
        memcpy(more, rows[0], used * size)
    free(rows[0])
    rows[0] = more
    cap[0] = wanted
    return True


cdef bint l3_init(orders_t* o, uint32_t books) noexcept nogil:
    memset(o, 0, sizeof(orders_t))
    o.books = books
    o.rows = <row_t*>calloc(2 * books, sizeof(row_t))
    o.order_used = o.level_used = 1
    return (o.rows != NULL and grow_index(o, 64) and grow_slots(<void**>&o.orders, 1, &o.order_cap, 128, sizeof(order_t))
            and grow_slots(<void**>&o.levels, 1, &o.level_cap, 64, sizeof(rank_t)))


cdef void l3_free(orders_t* o) noexcept nogil:
    cdef uint32_t i
    if o.rows != NULL:
        for i in range(2 * o.books):
            free(o.rows[i].rungs)
    free(o.rows)
    free(o.lines)
    free(o.orders)
    free(o.levels)


cdef bint l3_grow(orders_t* o, uint32_t where) noexcept nogil:
    # Whatever an order of this side may be short of, to twice its size.
    cdef row_t* row = &o.rows[where]
    cdef void* more
    if o.live >= o.most and not grow_index(o, 2 * (o.mask + 1)):
        return False
    if o.order_free == 0 and o.order_used == o.order_cap:
        if not grow_slots(<void**>&o.orders, o.order_used, &o.order_cap, 2 * o.order_cap, sizeof(order_t)):
            return False
    if o.level_free == 0 and o.level_used == o.level_cap:
        if not grow_slots(<void**>&o.levels, o.level_used, &o.level_cap, 2 * o.level_cap, sizeof(rank_t)):
            return False
    if row.n == row.cap:
        more = realloc(row.rungs, (2 * row.cap if row.cap else 16) * sizeof(rung_t))
        if more == NULL:
            return False
        row.rungs = <rung_t*>more
        row.cap = 2 * row.cap if row.cap else 16
    return True


cdef bint l3_reserve(orders_t* o, uint64_t orders) noexcept nogil:
    cdef uint64_t lines = o.mask + 1
    if orders > MOST_SLOTS - 1:
        return False
    while lines * PLACES // 2 < orders:
        lines *= 2
    if lines > o.mask + 1 and not grow_index(o, lines):
        return False
    if o.order_cap <= orders:
        return grow_slots(<void**>&o.orders, o.order_used, &o.order_cap, <uint32_t>orders + 1, sizeof(order_t))
    return True


# ---------------------------------------------------------------------------------------------------- what is there
cdef void l3_clear(orders_t* o, uint32_t book) noexcept nogil:
    cdef uint32_t where
    for where in range(2 * book, 2 * book + 2):
        while o.rows[where].n > 0:
            drop(o, o.levels[o.rows[where].rungs[o.rows[where].n - 1].level].last)


cdef bint l3_ahead(const orders_t* o, uint64_t number, int64_t* orders, int64_t* qty) noexcept nogil:
    # Walks from the order to the front: a few ns for each that stands there.
    cdef uint32_t slot = l3_find(o, number)
    if slot == 0:
        return False
    orders[0] = 0
    qty[0] = 0
    slot = o.orders[slot].before
    while slot != 0:
        orders[0] += 1
        qty[0] += o.orders[slot].qty
        slot = o.orders[slot].before
    return True


cdef Py_ssize_t copy_levels(const orders_t* o, const row_t* row, depth_t[::1] out) noexcept nogil:
    cdef Py_ssize_t i
    cdef const rank_t* v
    for i in range(out.shape[0]):
        v = &o.levels[row.rungs[row.n - 1 - i].level]
        out[i] = depth_t(price_of(v), v.qty, v.orders)
    return out.shape[0]


cdef void copy_queue(const orders_t* o, uint32_t slot, standing_t[::1] out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(out.shape[0]):
        out[i].order = o.orders[slot].number
        out[i].qty = o.orders[slot].qty
        memcpy(out[i].by, &o.orders[slot].by, 4)
        out[i].reserved = 0
        slot = o.orders[slot].behind


cdef inline int l3_event(orders_t* o, uint32_t book, const order_event_t* e) noexcept nogil:
    if e.action == ORDER_ADD:
        if e.side != SIDE_BUY and e.side != SIDE_SELL:
            o.refused += 1
            return ORDER_REFUSED
        return l3_add(o, 2 * book + e.side - 1, e.order, e.px, e.qty, e.by)
    if e.action == ORDER_DELETE:
        return l3_delete(o, e.order)
    if e.action == ORDER_EXECUTE or e.action == ORDER_CANCEL:
        return l3_reduce(o, e.order, e.qty)
    if e.action == ORDER_REPLACE:
        return l3_replace(o, e.order, e.other, e.px, e.qty)
    if e.action == ORDER_MODIFY:
        return l3_modify(o, e.order, e.px, e.qty)
    if e.action == ORDER_CLEAR:
        l3_clear(o, book)
        return ORDER_APPLIED
    if e.action == ORDER_TRADE:
        return ORDER_SKIPPED
    o.refused += 1
    return ORDER_REFUSED


cdef uint32_t side_of(const orders_t* o, uint32_t book, const order_event_t* e) noexcept nogil:
    # Where an event that found no room wants to put its order.
    if e.action == ORDER_ADD:
        return 2 * book + e.side - 1
    return o.levels[o.orders[l3_find(o, e.order)].level].where


cdef bint is_elsewhere(const orders_t* o, uint32_t book, uint64_t number) noexcept nogil:
    # An order of another book of the store: its number is taken, and nothing here may touch it.
    cdef uint32_t slot = l3_find(o, number)
    return slot != 0 and o.levels[o.orders[slot].level].where >> 1 != book


cdef bint is_foreign(orders_t* o, uint32_t book, const order_event_t* e) noexcept nogil:
    # An event about another book's order: counted, as one about nobody's or one that cannot be.
    if e.action == ORDER_CLEAR or e.action == ORDER_TRADE:
        return False
    if is_elsewhere(o, book, e.order):
        o.refused += e.action == ORDER_ADD
        o.unknown += e.action != ORDER_ADD
        return True
    if e.action == ORDER_REPLACE and is_elsewhere(o, book, e.other):
        o.refused += 1
        return True
    return False


cdef Py_ssize_t l3_apply(orders_t* o, uint32_t book, const order_event_t* events, Py_ssize_t n) noexcept nogil:
    # How many changed the book; -1 - i where there was no room for event i.
    cdef Py_ssize_t i, applied = 0
    cdef int code
    for i in range(n):
        if o.books > 1 and is_foreign(o, book, &events[i]):
            continue
        code = l3_event(o, book, &events[i])
        while code == ORDER_NO_ROOM:
            if not l3_grow(o, side_of(o, book, &events[i])):
                return -1 - i
            code = l3_event(o, book, &events[i])
        applied += code == ORDER_APPLIED
    return applied


@cython.final
cdef class L3Book:
    """Every order of one instrument, in its queue; prices in px units (1e-9), quantities in the instrument's qty units.

    Orders are known by the venue's numbers, any 64 bits. What cannot be is counted and never raises: orders that are not here,
    quantities below 1, more canceled or executed than there is (which takes what there is), a number that is here already (the
    older order makes way). A view of one book of many never touches the orders of the others. Memory doubles when it is short, which enters every order anew; `reserve` does that before the open.
    Belongs to one thread. Raises MemoryError where no memory is left.
    """

    def __cinit__(self, *, uint64_t reserve=0):
        if not l3_init(&self.own, 1):
            raise MemoryError
        self.orders = &self.own
        if reserve and not l3_reserve(&self.own, reserve):
            raise MemoryError

    def __dealloc__(self):
        l3_free(&self.own)

    @staticmethod
    cdef L3Book of(orders_t* orders, uint32_t book, object owner):
        cdef L3Book view = L3Book.__new__(L3Book)
        view.orders = orders
        view.book = book
        view.owner = owner
        return view

    def apply(self, events) -> int:
        """Take in an array of order_event_dtype without the GIL and return how many changed the book; all are this instrument's."""
        cdef Py_buffer view
        cdef Py_ssize_t n = open_records(events, &view, sizeof(order_event_t))
        try:
            with nogil:
                n = l3_apply(self.orders, self.book, <const order_event_t*>view.buf, n)
        finally:
            PyBuffer_Release(&view)
        if n < 0:
            raise MemoryError(f"no memory for event {-1 - n}; those before it were applied")
        return n

    cdef bint done(self, int code, uint32_t where) except -1:
        # True: repeat, there is room now.
        if code != ORDER_NO_ROOM:
            return False
        if not l3_grow(self.orders, where):
            raise MemoryError
        return True

    def add(self, uint64_t order, int side, int64_t px, int64_t qty) -> bool:
        """A new order, behind all at its price; False where it is refused."""
        cdef uint32_t where = 2 * self.book + (side == SIDE_SELL)
        cdef int code
        if (side != SIDE_BUY and side != SIDE_SELL) or is_elsewhere(self.orders, self.book, order):
            self.orders.refused += 1
            return False
        code = l3_add(self.orders, where, order, px, qty, 0)
        while self.done(code, where):
            code = l3_add(self.orders, where, order, px, qty, 0)
        return code == ORDER_APPLIED

    def cancel(self, uint64_t order, int64_t qty) -> bool:
        """Take `qty` off an order, which keeps its place; False where it is not here."""
        return not self.is_away(order) and l3_reduce(self.orders, order, qty) == ORDER_APPLIED

    def execute(self, uint64_t order, int64_t qty) -> bool:
        """`qty` of an order was traded; False where it is not here."""
        return not self.is_away(order) and l3_reduce(self.orders, order, qty) == ORDER_APPLIED

    def delete(self, uint64_t order) -> bool:
        """Take an order out; False where it is not here."""
        return not self.is_away(order) and l3_delete(self.orders, order) == ORDER_APPLIED

    def replace(self, uint64_t order, uint64_t other, int64_t px, int64_t qty) -> bool:
        """Another order of the same side in place of `order`, behind all at its price; False where it is not here or refused."""
        cdef int code
        if self.is_away(order):
            return False
        if is_elsewhere(self.orders, self.book, other):
            self.orders.refused += 1
            return False
        code = l3_replace(self.orders, order, other, px, qty)
        while self.done(code, self.where(order)):
            code = l3_replace(self.orders, order, other, px, qty)
        return code == ORDER_APPLIED

    def modify(self, uint64_t order, int64_t px, int64_t qty) -> bool:
        """Price and quantity anew: keeps its place where px stays and qty does not grow, else goes behind all at its price."""
        cdef int code
        if self.is_away(order):
            return False
        code = l3_modify(self.orders, order, px, qty)
        while self.done(code, self.where(order)):
            code = l3_modify(self.orders, order, px, qty)
        return code == ORDER_APPLIED

    cdef bint is_away(self, uint64_t order) noexcept nogil:
        # Here it is unknown, wherever it stands.
        cdef bint away = is_elsewhere(self.orders, self.book, order)
        self.orders.unknown += away
        return away

    cdef uint32_t own_slot(self, uint64_t order) noexcept nogil:
        # 0 too where the order stands in another book of the store.
        cdef uint32_t slot = l3_find(self.orders, order)
        return slot if self.orders.levels[self.orders.orders[slot].level].where >> 1 == self.book else 0

    cdef uint32_t where(self, uint64_t order) noexcept nogil:
        return self.orders.levels[self.orders.orders[l3_find(self.orders, order)].level].where

    def clear(self) -> None:
        """Drop every order."""
        l3_clear(self.orders, self.book)

    @property
    def best_bid(self) -> tuple[int, int] | None:
        """(px, qty) of the highest bid."""
        return self.best(0)

    @property
    def best_ask(self) -> tuple[int, int] | None:
        """(px, qty) of the lowest ask."""
        return self.best(1)

    cdef object best(self, uint32_t side):
        cdef row_t* row = &self.orders.rows[2 * self.book + side]
        cdef rank_t* v
        if row.n == 0:
            return None
        v = &self.orders.levels[row.rungs[row.n - 1].level]
        return price_of(v), v.qty

    def depth(self, Py_ssize_t n):
        """The best n levels as (bids, asks): arrays with fields px, qty and orders, best first, copied."""
        return self.levels(0, n), self.levels(1, n)

    cdef object levels(self, int side, Py_ssize_t n):
        cdef row_t* row = &self.orders.rows[2 * self.book + side]
        out = np.empty(max(min(n, <Py_ssize_t>row.n), 0), level_dtype)
        copy_levels(self.orders, row, out)
        return out

    def queue(self, int side, int64_t px):
        """The orders at a price in the order in which they will trade: an array with fields order, qty and by, copied."""
        cdef row_t* row
        cdef uint32_t i
        cdef int64_t key = key_of(side == SIDE_SELL, px)
        if side != SIDE_BUY and side != SIDE_SELL:
            raise ValueError("a side is Side.BUY or Side.SELL")
        row = &self.orders.rows[2 * self.book + side - 1]
        i = rung_of(row, key)
        if i == row.n or row.rungs[i].key != key:
            return np.empty(0, queue_dtype)
        out = np.empty(self.orders.levels[row.rungs[i].level].orders, queue_dtype)
        copy_queue(self.orders, self.orders.levels[row.rungs[i].level].first, out)
        return out

    def ahead(self, uint64_t order) -> tuple[int, int] | None:
        """(orders, qty) that stand before an order at its price; None where it is not here."""
        cdef int64_t orders = 0, qty = 0
        return (orders, qty) if self.own_slot(order) and l3_ahead(self.orders, order, &orders, &qty) else None

    def order(self, uint64_t order) -> tuple[int, int, int] | None:
        """(side, px, qty left) of an order; None where it is not here."""
        cdef uint32_t slot = self.own_slot(order)
        cdef rank_t* v = &self.orders.levels[self.orders.orders[slot].level]
        return ((v.where & 1) + 1, price_of(v), self.orders.orders[slot].qty) if slot else None

    def elsewhere(self, uint64_t order) -> int | None:
        """The number of the book that an order of the same store stands in, where that is another one than this."""
        return self.where(order) >> 1 if is_elsewhere(self.orders, self.book, order) else None

    def quantity_at(self, int side, int64_t px) -> int:
        """What stands at a price, 0: nothing. Raises ValueError for what is no side."""
        cdef row_t* row
        cdef uint32_t i
        cdef int64_t key = key_of(side == SIDE_SELL, px)
        if side != SIDE_BUY and side != SIDE_SELL:
            raise ValueError("a side is Side.BUY or Side.SELL")
        row = &self.orders.rows[2 * self.book + side - 1]
        i = rung_of(row, key)
        return self.orders.levels[row.rungs[i].level].qty if i < row.n and row.rungs[i].key == key else 0

    @property
    def flags(self) -> int:
        """Flag bits: CROSSED where the best bid is at or above the best ask."""
        cdef row_t* rows = &self.orders.rows[2 * self.book]
        if rows[0].n and rows[1].n and rows[0].rungs[rows[0].n - 1].key >= -rows[1].rungs[rows[1].n - 1].key:
            return FLAG_CROSSED
        return 0

    @property
    def counters(self) -> dict[str, int]:
        """Orders here (of the whole store where the book is a view), levels a side, and what could not be."""
        cdef row_t* rows = &self.orders.rows[2 * self.book]
        return {
            "orders": self.orders.live, "bids": rows[0].n, "asks": rows[1].n, "unknown": self.orders.unknown,
            "duplicates": self.orders.duplicates, "refused": self.orders.refused, "clipped": self.orders.clipped,
        }

    def reserve(self, uint64_t orders) -> None:
        """Make room for this many orders at once."""
        if not l3_reserve(self.orders, orders):
            raise MemoryError

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the store holds."""
        return store_bytes(self.orders)


cdef int64_t store_bytes(const orders_t* o) noexcept nogil:
    cdef int64_t total = (o.mask + 1) * sizeof(line_t) + o.order_cap * sizeof(order_t) + o.level_cap * sizeof(rank_t)
    cdef uint32_t i
    for i in range(2 * o.books):
        total += sizeof(row_t) + o.rows[i].cap * sizeof(rung_t)
    return total
