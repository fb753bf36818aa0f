"""NASDAQ TotalView-ITCH 5.0: bytes into the order books of all shares, and into market records of those that are watched."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

import numpy as np

from pyrt._core.l3 cimport (
    ORDER_NO_ROOM, L3Book, l3_add, l3_delete, l3_find, l3_free, l3_grow, l3_init, l3_reduce, l3_reserve, price_of, rank_t,
)
from pyrt._core.tape cimport tape_quote, tape_status, tape_trade
from pyrt._core.types cimport NO_PX, SIDE_BUY, SIDE_SELL, STATE_HALTED, STATE_PAUSED, STATE_QUOTING, STATE_TRADING, market_t
from pyrt._core.types import market_dtype


cdef extern from * nogil:
    bint likely "__builtin_expect"(bint, bint)


# ---------------------------------------------------------------------------------------------------- into books
cdef inline void place(itch_t* t, uint32_t where, uint64_t number, uint32_t px, uint32_t qty, uint32_t by) noexcept nogil:
    cdef int code
    if not likely(px > 0, True):
        t.orders.refused += 1
        return
    code = l3_add(&t.orders, where, number, <int64_t>px * PRICE, qty, by)
    while code == ORDER_NO_ROOM:
        if not l3_grow(&t.orders, where):
            t.full = True
            return
        code = l3_add(&t.orders, where, number, <int64_t>px * PRICE, qty, by)


cdef inline void replace(itch_t* t, const uint8_t* p) noexcept nogil:
    # A replacement without a price or quantity is refused with the order that it would have replaced gone: the venue has it no more.
    cdef uint64_t number = eight(p + 11)
    cdef uint32_t px = four(p + 31), slot, where, by
    slot = l3_find(&t.orders, number)
    if not likely(slot != 0, True):
        t.orders.unknown += 1
        return
    where = t.orders.levels[t.orders.orders[slot].level].where
    by = t.orders.orders[slot].by
    l3_delete(&t.orders, number)
    place(t, where, eight(p + 19), px, four(p + 27), by)


cdef void notice(itch_t* t, const uint8_t* p) noexcept nogil:
    # The messages that say something of a share or of the day. Orders go on while a share is halted: books are kept all the same.
    cdef share_t* share = &t.shares[two(p + 1)]
    if p[0] == c'R':
        memcpy(share.symbol, p + 11, 8)
    elif p[0] == c'H':
        share.state = p[19]
    elif p[0] == c'S':
        t.event = p[11]


cdef void itch_message(itch_t* t, const uint8_t* p, uint32_t n) noexcept nogil:
    cdef uint8_t letter = p[0]
    t.counts[letter] += 1
    if not likely(LENGTHS[letter] == n, True):
        t.malformed += LENGTHS[letter] != 0
        return
    if letter == c'A' or letter == c'F':
        if not likely(p[19] == c'B' or p[19] == c'S', True):
            t.orders.refused += 1
            return
        place(t, 2 * <uint32_t>two(p + 1) + (p[19] == c'S'), eight(p + 11), four(p + 32), four(p + 20), mpid(p) if letter == c'F' else 0)
    elif letter == c'D':
        l3_delete(&t.orders, eight(p + 11))
    elif letter == c'E' or letter == c'C' or letter == c'X':
        l3_reduce(&t.orders, eight(p + 11), four(p + 19))
    elif letter == c'U':
        replace(t, p)
    else:
        notice(t, p)


cdef inline bint stands(uint8_t letter) noexcept nogil:
    return letter == c'D' or letter == c'E' or letter == c'C' or letter == c'X' or letter == c'U'


cdef void itch_watched(itch_t* t, const uint8_t* p, uint32_t n) noexcept nogil:
    # An execution trades at the price of the order that stands there, which is gone afterwards: looked up before.
    cdef uint32_t share, slot = 0
    cdef int64_t px = 0, left = 0
    cdef uint8_t letter = p[0], taker = 0
    cdef rank_t* v
    if n < 11 or LENGTHS[letter] != n:
        itch_message(t, p, n)
        return
    share = two(p + 1)
    if stands(letter):
        slot = l3_find(&t.orders, eight(p + 11))
        v = &t.orders.levels[t.orders.orders[slot].level]
        if slot != 0:
            share = v.where >> 1
            px = price_of(v)
            left = t.orders.orders[slot].qty
            taker = SIDE_BUY if v.where & 1 else SIDE_SELL
    itch_message(t, p, n)
    if t.watched[share] != NULL and not tell(t, t.watched[share], p, share, px, left, taker):
        t.full = True


cdef bint sold(itch_t* t, const watched_t* w, int64_t ts, int64_t px, uint64_t qty, uint64_t match, uint8_t taker,
               uint8_t condition) noexcept nogil:
    # Nothing is sold for no price: such a print would be the last price of whoever reads the tape.
    if px <= 0 or qty == 0:
        t.orders.refused += 1
        return True
    return tape_trade(&t.tape, w, ts, px, qty, match, taker, condition)


cdef bint tell(itch_t* t, watched_t* w, const uint8_t* p, uint32_t share, int64_t px, int64_t left, uint8_t taker) noexcept nogil:
    # `left` is what an execution's order had, 0 where there was no such order. False: memory ran out.
    cdef uint8_t letter = p[0]
    cdef int64_t ts = <int64_t>two(p + 5) << 32 | four(p + 7)
    cdef bint told = True
    cdef uint32_t reason
    if letter == c'E' and left > 0 and four(p + 19) > 0:
        told = sold(t, w, ts, px, min(<int64_t>four(p + 19), left), eight(p + 23), taker, c'@')
    elif letter == c'C' and left > 0 and four(p + 19) > 0 and p[31] == c'Y':
        told = sold(t, w, ts, <int64_t>four(p + 32) * PRICE, min(<int64_t>four(p + 19), left), eight(p + 23), taker, c'@')
    elif letter == c'P':
        told = sold(t, w, ts, <int64_t>four(p + 32) * PRICE, four(p + 20), eight(p + 36), 0, c'@')
    elif letter == c'Q' and eight(p + 11) > 0:
        told = sold(t, w, ts, <int64_t>four(p + 27) * PRICE, eight(p + 11), eight(p + 31), 0, c'X')
    elif letter == c'H':
        memcpy(&reason, p + 21, 4)
        told = tape_status(&t.tape, w, ts, state_of(p[19]), p[19], reason)
    return told and tape_quote(&t.tape, w, ts, &t.orders, share)


cdef inline uint8_t state_of(uint8_t letter) noexcept nogil:
    if letter == c'T':
        return STATE_TRADING
    if letter == c'Q':
        return STATE_QUOTING
    return STATE_HALTED if letter == c'H' else STATE_PAUSED if letter == c'P' else 0


cdef inline void take_in(itch_t* t, const uint8_t* p, uint32_t n) noexcept nogil:
    if likely(t.watched == NULL, True):
        itch_message(t, p, n)
    else:
        itch_watched(t, p, n)


cdef inline void keep_time(itch_t* t, const uint8_t* p, uint32_t n) noexcept nogil:
    if n >= 11:
        t.ts = <int64_t>two(p + 5) << 32 | four(p + 7)


cdef Py_ssize_t finish_part(itch_t* t, const uint8_t* p, Py_ssize_t size) noexcept nogil:
    # The rest of the message that the last feed cut off; returns how many bytes that took.
    cdef Py_ssize_t used = 0, wanted
    while t.waiting > 0 and used < size:
        wanted = 2 if t.waiting < 2 else 2 + <Py_ssize_t>two(t.part)
        if t.waiting == wanted:         # a length of 0
            break
        wanted = min(wanted - t.waiting, size - used)
        memcpy(&t.part[t.waiting], p + used, wanted)
        t.waiting += <uint32_t>wanted
        used += wanted
        if t.waiting > 2 and t.waiting == 2 + <uint32_t>two(t.part):
            take_in(t, &t.part[2], t.waiting - 2)
            keep_time(t, &t.part[2], t.waiting - 2)
            t.waiting = 0
    if t.waiting == 2 and two(t.part) == 0:
        t.ends += 1
        t.waiting = 0
    return used


cdef void itch_feed(itch_t* t, const uint8_t* p, Py_ssize_t size) noexcept nogil:
    cdef const uint8_t* end = p + size
    cdef const uint8_t* last = NULL
    cdef uint32_t n
    if t.waiting > 0:
        p += finish_part(t, p, size)
    while end - p >= 2 and t.waiting == 0:
        n = two(p)
        if end - p - 2 < <Py_ssize_t>n:
            break
        if likely(n > 0, True):
            take_in(t, p + 2, n)
            last = p
        else:
            t.ends += 1
        p += 2 + n
    if last != NULL:
        keep_time(t, last + 2, two(last))
    if p < end:                         # less than a message
        memcpy(t.part, p, end - p)
        t.waiting = <uint32_t>(end - p)


cdef void itch_bare(itch_t* t, const uint8_t* p, Py_ssize_t size) noexcept nogil:
    # Without lengths the letter alone says where the next message is: after one that is not known nothing can be read.
    cdef uint8_t n
    while size > 0:
        n = LENGTHS[p[0]]
        if n == 0 or n > size:
            t.counts[p[0]] += 1
            t.malformed += n != 0
            return
        take_in(t, p, n)
        keep_time(t, p, n)
        p += n
        size -= n


cdef int find_share(const share_t* shares, const char* name) noexcept nogil:
    cdef int i
    for i in range(SHARES):
        if memcmp(shares[i].symbol, name, 8) == 0:
            return i
    return -1


# ---------------------------------------------------------------------------------------------------- the books of a day
@cython.final
cdef class ItchBooks:
    """The books of a day of ITCH 5.0, order by order: feed it bytes, ask it for a share's L3Book by symbol.

    Prices are in px units (1e-9), quantities in shares. Unknown messages, orders that are not here, messages of a wrong length are
    counted and passed over. `reserve`: orders to make room for before the first; `midnight`: ns UTC that the records' times count
    from. Belongs to one thread. Raises MemoryError where
    no memory is left.
    """

    def __cinit__(self, *, uint64_t reserve=0, int64_t midnight=0):
        self.itch = <itch_t*>calloc(1, sizeof(itch_t))
        if self.itch == NULL:
            raise MemoryError
        self.itch.shares = <share_t*>calloc(SHARES, sizeof(share_t))
        self.itch.tape.midnight = midnight
        if self.itch.shares == NULL or not l3_init(&self.itch.orders, SHARES):
            raise MemoryError
        if reserve and not l3_reserve(&self.itch.orders, reserve):
            raise MemoryError

    def __dealloc__(self):
        cdef int i
        if self.itch != NULL:
            l3_free(&self.itch.orders)
            free(self.itch.shares)
            free(self.itch.tape.rows)
            if self.itch.watched != NULL:
                for i in range(SHARES):
                    free(self.itch.watched[i])
            free(self.itch.watched)
            free(self.itch)

    def feed(self, data) -> None:
        """Take in any piece of a stream whose messages stand behind their length (two bytes, big-endian), without the GIL.

        NASDAQ's day files and the blocks of MoldUDP64 packets are such streams; a message may be cut anywhere.
        """
        self._take(data, True)

    def feed_bare(self, data) -> None:
        """Take in whole messages that stand one behind the other without lengths; what follows an unknown letter is lost, and counted."""
        self._take(data, False)

    def _take(self, data, bint lengths):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with nogil:
                if lengths:
                    itch_feed(self.itch, <const uint8_t*>view.buf, view.len)
                else:
                    itch_bare(self.itch, <const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        if self.itch.full:
            raise MemoryError("no memory for orders: these books are no longer whole")

    cdef int share(self, symbol) except -1:
        cdef bytes name = symbol.encode("ascii", "replace").ljust(8)
        cdef int i = find_share(self.itch.shares, name) if len(name) == 8 else -1
        if i < 0:
            raise KeyError(symbol)
        return i

    def __getitem__(self, symbol) -> L3Book:
        """The book of a share, a view that lives as long as either; KeyError for one that the day's directory does not have."""
        return L3Book.of(&self.itch.orders, self.share(symbol), self)

    def book(self, int share) -> L3Book:
        """The book of a share by its number of the day (locate)."""
        if not 0 <= share < SHARES:
            raise ValueError("a share's number has 16 bits")
        return L3Book.of(&self.itch.orders, share, self)

    def watch(self, int share, uint32_t instrument, *, int qty_exp=9) -> None:
        """From now on the trades, best prices and trading states of a share, by its number of the day, wait in take() as records.

        Their quantities are in units of 10^-qty_exp. Nothing is told for a trade that is broken later (B): it is counted.
        """
        cdef watched_t* w
        cdef object one
        if not 0 <= share < SHARES or not 0 <= qty_exp <= 9:
            raise ValueError("a share's number has 16 bits, qty_exp is 0 to 9")
        self.start_table()
        one = 10 ** <object>qty_exp
        w = self.itch.watched[share]
        if w == NULL:
            w = <watched_t*>calloc(1, sizeof(watched_t))
            if w == NULL:
                raise MemoryError
            w.bid_px = w.ask_px = NO_PX
            self.itch.watched[share] = w
        w.instrument = instrument
        w.one = one

    cdef object start_table(self):
        if self.itch.watched == NULL:
            self.itch.watched = <watched_t**>calloc(SHARES, sizeof(watched_t*))
            if self.itch.watched == NULL:
                raise MemoryError

    def take(self):
        """The records of the watched shares since the last call, in the order of their messages, as an array of market_dtype."""
        cdef bytes raw = PyBytes_FromStringAndSize(<char*>self.itch.tape.rows, self.itch.tape.n * sizeof(market_t))
        self.itch.tape.n = 0
        return np.frombuffer(raw, market_dtype)

    def state(self, symbol) -> int:
        """TradingState of a share as the last trading action told it; 0 = none was told."""
        return state_of(self.itch.shares[self.share(symbol)].state)

    @property
    def shares(self) -> dict[str, int]:
        """Symbol -> number of the day, of all shares that the directory told."""
        return {
            self.itch.shares[i].symbol[:8].decode("ascii", "replace").rstrip(): i
            for i in range(SHARES) if self.itch.shares[i].symbol[0] != 0
        }

    @property
    def event(self) -> str:
        """Letter of the last system event: O and C are the first and last message of the day, Q and M the trading session."""
        return chr(self.itch.event) if self.itch.event else ""

    @property
    def ts(self) -> int:
        """Time of the last message that the last feed brought whole, ns after midnight in New York."""
        return self.itch.ts

    @property
    def counts(self) -> dict[str, int]:
        """Messages by letter."""
        return {chr(i): self.itch.counts[i] for i in range(256) if self.itch.counts[i]}

    @property
    def counters(self) -> dict[str, int]:
        """Orders here, and what could not be: see L3Book.counters; `letters` counts messages that this version does not know."""
        cdef int i
        strange = sum([self.itch.counts[i] for i in range(256) if LENGTHS[i] == 0])
        return {
            "orders": self.itch.orders.live, "unknown": self.itch.orders.unknown, "duplicates": self.itch.orders.duplicates,
            "refused": self.itch.orders.refused, "clipped": self.itch.orders.clipped, "malformed": self.itch.malformed,
            "letters": strange, "ends": self.itch.ends, "waiting": self.itch.waiting,
        }

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the books hold."""
        return self.book(0).nbytes + sizeof(itch_t) + SHARES * sizeof(share_t)
