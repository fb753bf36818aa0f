"""Level books that live on a few cache lines around the touch and lose nothing beyond it."""
from cpython.buffer cimport PyBuffer_Release
from libc.stdlib cimport calloc, free
from libc.string cimport memmove, memset

import numpy as np

from pyrt._core.buffers cimport open_records
from pyrt._core.far cimport far_empty, far_free, far_grow, far_remove, far_set
from pyrt._core.types cimport (
    ACTION_CLEAR, ACTION_NOTHING, ACTION_SET, FLAG_CROSSED, FLAG_GAP, FLAG_LAST, FLAG_SNAPSHOT, FLAG_TOP_ONLY, NO_PX, SIDE_BUY,
    SIDE_SELL, TYPE_DELTA, TYPE_GAP, TYPE_QUOTE, delta_t, i128, i128_to_object, quote_t,
)


cdef extern from * nogil:
    int lowest_bit "__builtin_ctzll"(unsigned long long)
    int count_bits "__builtin_popcountll"(unsigned long long)
    bint likely "__builtin_expect"(bint, bint)


level_dtype = np.dtype([("px", "<i8"), ("qty", "<i8")])


# ---------------------------------------------------------------------------------------------------- one side
cdef inline void _touch(side_t* side) noexcept nogil:
    # The best level anew, from the bitmap.
    cdef int word, slot
    if likely(side.top != 0, True):
        word = lowest_bit(side.top)
        slot = (word << 6) + lowest_bit(side.ladder.map[word])
        side.best.px = (side.base + slot) * side.step
        side.best.qty = side.ladder.qty[slot]
    else:
        side.best.px = NO_PX
        side.best.qty = 0


cdef inline void _put(side_t* side, int64_t slot, int64_t qty) noexcept nogil:
    cdef int word = <int>(slot >> 6)
    cdef uint64_t bit = <uint64_t>1 << (slot & 63)
    cdef uint64_t bits = side.ladder.map[word]
    side.ladder.qty[slot] = qty
    bits = bits | bit if qty != 0 else bits & ~bit
    side.ladder.map[word] = bits
    bit = <uint64_t>1 << word
    side.top = side.top | bit if bits != 0 else side.top & ~bit


cdef void _map_again(side_t* side) noexcept nogil:
    cdef int slot
    memset(side.ladder.map, 0, sizeof(side.ladder.map))
    side.top = 0
    for slot in range(SLOTS):
        if side.ladder.qty[slot] != 0:
            side.ladder.map[slot >> 6] |= <uint64_t>1 << (slot & 63)
            side.top |= <uint64_t>1 << (slot >> 6)


cdef int _spill(side_t* side, int first) noexcept nogil:
    # Slots from `first` on leave for the far chunks. Inserted in descending order, they leave chunks at least half full.
    cdef int slot, levels = 0
    for slot in range(first, SLOTS):
        levels += side.ladder.qty[slot] != 0
    if levels > 0 and side.far.spares < <uint32_t>(levels // (CHUNK // 2) + 2):
        return NEEDS_ROOM
    for slot in range(SLOTS - 1, first - 1, -1):
        if side.ladder.qty[slot] != 0:
            far_set(&side.far, side.base + slot, side.ladder.qty[slot])
            side.ladder.qty[slot] = 0
    return APPLIED


cdef int _centre(side_t* side, int64_t key) noexcept nogil:
    # Move the ladder so that `key` is at HOME. No level is better than both the key and the ladder's best.
    cdef int64_t base = key - HOME
    cdef int64_t move = base - side.base
    cdef int64_t* qty = &side.ladder.qty[0]
    cdef chunk_t* chunk
    if move < 0:
        if _spill(side, <int>(SLOTS + move) if move > -SLOTS else 0) == NEEDS_ROOM:
            return NEEDS_ROOM
        if move > -SLOTS:
            memmove(qty - move, qty, (SLOTS + move) * sizeof(int64_t))
            memset(qty, 0, -move * sizeof(int64_t))
    elif move < SLOTS:
        memmove(qty, qty + move, (SLOTS - move) * sizeof(int64_t))
        memset(qty + (SLOTS - move), 0, move * sizeof(int64_t))
    else:
        memset(qty, 0, SLOTS * sizeof(int64_t))
    side.base = base
    while side.far.used > 0:
        chunk = &side.far.chunks[side.far.order[0]]
        if chunk.key[0] - base >= SLOTS:
            break
        qty[chunk.key[0] - base] = chunk.qty[0]
        far_remove(&side.far, 0, 0)
    _map_again(side)
    return APPLIED


cdef int _set_outside(side_t* side, int64_t key, int64_t qty) noexcept nogil:
    # A key that the ladder does not cover.
    cdef int64_t best
    if side.top == 0:                                   # then nothing is far either: an empty ladder is refilled at once
        if qty == 0:
            return APPLIED
        side.base = key - HOME
    elif key < side.base:                               # a better price than any
        if qty == 0:
            return APPLIED
        if _centre(side, key) == NEEDS_ROOM:
            return NEEDS_ROOM
    else:
        best = lowest_bit(side.top)
        best = side.base + (best << 6) + lowest_bit(side.ladder.map[best])
        if best - side.base > SLOTS // 2:               # the touch has drifted away from HOME
            if _centre(side, best) == NEEDS_ROOM:
                return NEEDS_ROOM
            _touch(side)
        if key - side.base >= SLOTS:
            return far_set(&side.far, key, qty)
    _put(side, key - side.base, qty)
    _touch(side)
    return APPLIED


cdef inline int _set(side_t* side, int64_t key, int64_t qty) noexcept nogil:
    cdef int64_t slot = key - side.base
    if not likely(<uint64_t>slot < SLOTS, True):
        return _set_outside(side, key, qty)
    _put(side, slot, qty)
    if side.top == 0 and side.far.used > 0:
        _centre(side, side.far.chunks[side.far.order[0]].key[0])       # only takes levels in: needs no room
    _touch(side)
    return APPLIED


cdef void _empty(side_t* side) noexcept nogil:
    side.best.px = NO_PX
    side.best.qty = 0
    side.top = 0
    if side.ladder != NULL:
        memset(side.ladder, 0, sizeof(ladder_t))
        far_empty(&side.far)


# ---------------------------------------------------------------------------------------------------- the book
cdef void book_init(book_t* book, int64_t tick, bint top_only) noexcept nogil:
    # px / tick for multiples of the tick is px * (inverse of its odd part) mod 2^64 >> its power of two; any other px comes out
    # with low bits set or beyond `reach` (exact division: Hacker's Delight, 10-16).
    cdef uint64_t odd, inverse
    cdef int i
    memset(book, 0, sizeof(book_t))
    book.tick = tick
    book.top_only = top_only
    book.shift = <uint8_t>lowest_bit(<uint64_t>tick)
    odd = <uint64_t>tick >> book.shift
    inverse = odd
    for i in range(5):
        inverse = inverse * (2 - odd * inverse)         # Newton: each round doubles the right bits, from 3
    book.reach = (<int64_t>1 << 61) // tick
    book.bids.best, book.asks.best = &book.bid, &book.ask
    book.bids.step = -tick
    book.asks.step = tick
    book.bids.inverse = <uint64_t>0 - inverse
    book.asks.inverse = inverse
    _empty(&book.bids)
    _empty(&book.asks)


cdef void _free_side(side_t* side) noexcept nogil:
    free(side.ladder)
    far_free(&side.far)


cdef void book_free(book_t* book) noexcept nogil:
    _free_side(&book.bids)
    _free_side(&book.asks)


cdef bint book_grow(book_t* book) noexcept nogil:
    if book.top_only:
        return False
    if book.bids.ladder == NULL:
        book.bids.ladder = <ladder_t*>calloc(1, sizeof(ladder_t))
    if book.asks.ladder == NULL:
        book.asks.ladder = <ladder_t*>calloc(1, sizeof(ladder_t))
        return book.bids.ladder != NULL and book.asks.ladder != NULL
    if book.bids.far.spares <= book.asks.far.spares:    # whichever is short; a repeat grows the other
        return far_grow(&book.bids.far) or far_grow(&book.asks.far)
    return far_grow(&book.asks.far) or far_grow(&book.bids.far)


cdef inline int _set_level(book_t* book, int side, int64_t px, int64_t qty) noexcept nogil:
    cdef side_t* s = &book.bids if side == SIDE_BUY else &book.asks
    cdef uint64_t product = <uint64_t>px * s.inverse
    cdef int64_t key = <int64_t>product >> book.shift
    cdef uint64_t low = product & ((<uint64_t>1 << book.shift) - 1)
    if not likely(low == 0 and <uint64_t>key + <uint64_t>book.reach <= <uint64_t>(2 * book.reach) and qty >= 0
                  and (side == SIDE_BUY or side == SIDE_SELL), True):
        book.refused += 1
        return REFUSED
    return _set(s, key, qty)


cdef inline int _begin_depth(book_t* book) noexcept nogil:
    if book.top_only:
        book.refused += 1
        return REFUSED
    if book.bids.ladder == NULL or book.asks.ladder == NULL:
        return NEEDS_ROOM
    _empty(&book.bids)                                  # the levels of a quote are no part of a book with depth
    _empty(&book.asks)
    book.depth = True
    return APPLIED


cdef int book_set(book_t* book, int side, int64_t px, int64_t qty) noexcept nogil:
    cdef int code
    if not book.depth:
        code = _begin_depth(book)
        if code != APPLIED:
            return code
    return _set_level(book, side, px, qty)


cdef void book_clear(book_t* book) noexcept nogil:
    _empty(&book.bids)
    _empty(&book.asks)


cdef void book_refuse(book_t* book) noexcept nogil:
    book.refused += 1
    book.gap = True


cdef inline int _apply_delta(book_t* book, const delta_t* delta) noexcept nogil:
    cdef int code = APPLIED
    if not book.depth:
        code = _begin_depth(book)
        if code != APPLIED:
            return code
    if likely(delta.action == ACTION_SET, True):
        code = _set_level(book, delta.side, delta.px, delta.qty)
        if code == NEEDS_ROOM:
            return code
    elif delta.action == ACTION_CLEAR:
        book_clear(book)
        book.loading = True
    elif delta.action != ACTION_NOTHING:
        book.refused += 1
        code = REFUSED
    if delta.update_id != 0:
        book.update_id = delta.update_id
    book.ts = delta.ts_event
    if delta.flags & FLAG_LAST and book.loading:        # the snapshot is whole
        book.loading = False
        book.gap = False
    return code


cdef int book_apply(book_t* book, const market_t* record) noexcept nogil:
    if likely(record.header.type == TYPE_DELTA, True):
        return _apply_delta(book, &record.delta)
    if record.header.type == TYPE_QUOTE:
        return book_quote(book, &record.quote)
    if record.header.type == TYPE_GAP:
        book.gap = True
        return APPLIED
    return SKIPPED


cdef Py_ssize_t _apply_all(book_t* book, const market_t* records, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i, applied = 0
    cdef int code
    for i in range(n):
        code = book_apply(book, &records[i])
        while code == NEEDS_ROOM:
            if not book_grow(book):
                book_refuse(book)
                break
            code = book_apply(book, &records[i])
        applied += code == APPLIED
    return applied


cdef inline bint _update(book_t* book, int side, int64_t px, int64_t qty) noexcept nogil:
    cdef int code = book_set(book, side, px, qty)
    while not likely(code != NEEDS_ROOM, True):
        if not book_grow(book):
            book_refuse(book)
            return False
        code = book_set(book, side, px, qty)
    return code == APPLIED


cdef uint32_t book_flags(const book_t* book) noexcept nogil:
    cdef uint32_t flags = 0
    if book.gap:
        flags |= FLAG_GAP
    if book.loading:
        flags |= FLAG_SNAPSHOT
    if not book.depth:
        flags |= FLAG_TOP_ONLY
    if book.bid.qty > 0 and book.ask.qty > 0:
        # Consolidated quotes may lock; on one venue's book, equal prices would have traded.
        if book.bid.px > book.ask.px or (book.depth and book.bid.px == book.ask.px):
            flags |= FLAG_CROSSED
    return flags


# ---------------------------------------------------------------------------------------------------- reading
cdef void book_open(const book_t* book, int side, cursor_t* cursor) noexcept nogil:
    cursor.side = &book.bids if side == SIDE_BUY else &book.asks
    cursor.depth = book.depth
    cursor.top = cursor.side.top
    cursor.bits = 0
    cursor.word = 0
    cursor.chunk = 0
    cursor.index = 0
    cursor.done = cursor.side.best.qty == 0


cdef bint book_next(cursor_t* cursor, level_t* level) noexcept nogil:
    cdef const side_t* side = cursor.side
    cdef const chunk_t* chunk
    cdef uint32_t slot
    if cursor.done:
        return False
    if not cursor.depth:
        level.px = side.best.px
        level.qty = side.best.qty
        cursor.done = True
        return True
    if cursor.bits == 0 and cursor.top != 0:
        cursor.word = lowest_bit(cursor.top)
        cursor.top &= cursor.top - 1
        cursor.bits = side.ladder.map[cursor.word]
    if cursor.bits != 0:
        slot = (cursor.word << 6) + lowest_bit(cursor.bits)
        cursor.bits &= cursor.bits - 1
        level.px = (side.base + slot) * side.step
        level.qty = side.ladder.qty[slot]
        return True
    if cursor.chunk == side.far.used:
        cursor.done = True
        return False
    chunk = &side.far.chunks[side.far.order[cursor.chunk]]
    level.px = chunk.key[cursor.index] * side.step
    level.qty = chunk.qty[cursor.index]
    cursor.index += 1
    if cursor.index == chunk.n:
        cursor.index = 0
        cursor.chunk += 1
    return True


cdef walk_t book_walk(const book_t* book, int side, int64_t qty) noexcept nogil:
    cdef cursor_t cursor
    cdef level_t level
    cdef walk_t walk
    cdef i128 notional = 0
    cdef int64_t take
    walk.qty = 0
    walk.worst_px = NO_PX
    book_open(book, SIDE_SELL if side == SIDE_BUY else SIDE_BUY, &cursor)
    while walk.qty < qty and book_next(&cursor, &level):
        take = qty - walk.qty if level.qty > qty - walk.qty else level.qty
        notional += <i128>level.px * take
        walk.qty += take
        walk.worst_px = level.px
    walk.notional_lo = <uint64_t>notional
    walk.notional_hi = <int64_t>(notional >> 64)
    return walk


cdef i128 _sum(const book_t* book, int side, Py_ssize_t n) noexcept nogil:
    cdef cursor_t cursor
    cdef level_t level
    cdef i128 total = 0
    book_open(book, side, &cursor)
    while n > 0 and book_next(&cursor, &level):
        total += level.qty
        n -= 1
    return total


cdef Py_ssize_t _copy(const book_t* book, int side, level_t[::1] rows) noexcept nogil:
    cdef cursor_t cursor
    cdef Py_ssize_t n = 0
    book_open(book, side, &cursor)
    while n < rows.shape[0] and book_next(&cursor, &rows[n]):
        n += 1
    return n


cdef int64_t _count(const side_t* side, bint depth) noexcept nogil:
    cdef int64_t levels = side.far.levels
    cdef int word
    if not depth:
        return side.best.qty > 0
    for word in range(WORDS):
        levels += count_bits(side.ladder.map[word])
    return levels


cdef class OrderBook:
    """The levels of one instrument; tick in px units (1e-9), quantities in the instrument's qty units.

    A side counts from the best price on; a price off the tick, a negative quantity or a price beyond 2^61 is refused and counted.
    Quotes fill one level a side until the first delta comes; from then on the deltas alone are the book. Belongs to one thread.
    Raises ValueError for a tick below 1.
    """

    def __cinit__(self, int64_t tick, *, bint top_only=False):
        if tick < 1:
            raise ValueError(f"a tick is 1 or more px units, not {tick}")
        book_init(&self.own, tick, top_only)
        self.book = &self.own

    def __dealloc__(self):
        book_free(&self.own)

    @staticmethod
    cdef OrderBook of(book_t* book, object owner):
        cdef OrderBook view = OrderBook.__new__(OrderBook, book.tick)
        view.book = book
        view.owner = owner
        return view

    def seen_as(self, type kind not None):
        """The same levels, live, as an object of a subclass."""
        cdef OrderBook view
        if not issubclass(kind, OrderBook):
            raise TypeError(f"{kind.__name__} is no OrderBook")
        view = OrderBook.__new__(kind, self.book.tick)
        view.book = self.book
        view.owner = self
        return view

    def apply(self, records) -> int:
        """Take in a batch of 64-byte records without the GIL and return how many changed the book; all are this instrument's.

        DELTA sets, clears or only carries ids; QUOTE is a top-only book's whole; GAP marks it; other types are skipped.
        """
        cdef Py_buffer view
        cdef Py_ssize_t n = open_records(records, &view, sizeof(market_t))
        try:
            with nogil:
                n = _apply_all(self.book, <const market_t*>view.buf, n)
        finally:
            PyBuffer_Release(&view)
        return n

    def update(self, int side, int64_t px, int64_t qty) -> bool:
        """Set a level's total quantity, 0 removes it; what `refused` answers where it is refused."""
        return _update(self.book, side, px, qty) or self.refused(side, px, qty)

    def update_best(self, int side, int64_t px, int64_t qty) -> int | None:
        """Set a level as `update` does and return the best px of its side, in one call; None where the side is empty."""
        if not likely(_update(self.book, side, px, qty), True):
            self.refused(side, px, qty)
        px = self.book.bid.px if side == SIDE_BUY else self.book.ask.px
        return px if px != NO_PX else None

    def refused(self, int side, int64_t px, int64_t qty) -> bool:
        """Asked, after it was counted, about each change that a single call could not make: False; a subclass may raise."""
        return False

    def clear(self) -> None:
        """Drop every level."""
        book_clear(self.book)

    @property
    def best_bid(self) -> tuple[int, int] | None:
        """(px, qty) of the highest bid."""
        return (self.book.bid.px, self.book.bid.qty) if self.book.bid.qty > 0 else None

    @property
    def best_ask(self) -> tuple[int, int] | None:
        """(px, qty) of the lowest ask."""
        return (self.book.ask.px, self.book.ask.qty) if self.book.ask.qty > 0 else None

    def depth(self, Py_ssize_t n):
        """The best n levels as (bids, asks): arrays with fields px and qty, best first, copied."""
        return self.levels(SIDE_BUY, n), self.levels(SIDE_SELL, n)

    cdef object levels(self, int side, Py_ssize_t n):
        cdef int64_t levels = _count(&self.book.bids if side == SIDE_BUY else &self.book.asks, self.book.depth)
        rows = np.empty(max(min(n, levels), 0), level_dtype)
        _copy(self.book, side, rows)
        return rows

    def imbalance(self, Py_ssize_t n=1) -> float:
        """(bid qty - ask qty) / (bid qty + ask qty) over the best n levels a side: -1 .. 1; 0.0 where both are empty."""
        cdef i128 bids = _sum(self.book, SIDE_BUY, n)
        cdef i128 asks = _sum(self.book, SIDE_SELL, n)
        if bids + asks == 0:
            return 0.0
        return <double>(bids - asks) / <double>(bids + asks)

    def walk(self, int side, int64_t qty) -> tuple[int, int, int | None, bool]:
        """What an order of this side (a buy walks the asks) would take: (qty filled, sum of px * qty exact, worst px, enough)."""
        cdef walk_t walk = book_walk(self.book, side, qty)
        worst = None if walk.worst_px == NO_PX else walk.worst_px
        return walk.qty, i128_to_object(walk.notional_lo, walk.notional_hi), worst, walk.qty >= qty

    @property
    def flags(self) -> int:
        """Flag bits: GAP (something is missing), SNAPSHOT (between a clear and its last level), CROSSED, TOP_ONLY (no depth)."""
        return book_flags(self.book)

    @property
    def counters(self) -> dict[str, int]:
        """Levels refused, quotes ignored for want of a top-only book, levels kept a side."""
        return {
            "refused": self.book.refused, "ignored": self.book.ignored,
            "bids": _count(&self.book.bids, self.book.depth), "asks": _count(&self.book.asks, self.book.depth),
        }

    @property
    def tick(self) -> int:
        """Px units."""
        return self.book.tick

    @property
    def update_id(self) -> int:
        """The venue's id of the last update; 0 where it has none."""
        return self.book.update_id

    @property
    def ts(self) -> int:
        """Venue ns of the last change."""
        return self.book.ts

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the levels hold."""
        cdef int64_t total = sizeof(book_t)
        if self.book.bids.ladder != NULL:
            total += 2 * sizeof(ladder_t)
        return total + (self.book.bids.far.capacity + self.book.asks.far.capacity) * (sizeof(chunk_t) + 2 * sizeof(uint32_t))
