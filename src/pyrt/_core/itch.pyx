"""NASDAQ TotalView-ITCH 5.0 (specification of 2020-03-06): bytes into order books, into records, and records into bytes."""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

import numpy as np

from pyrt._core.buffers cimport open_records
from pyrt._core.l3 cimport (
    ORDER_ADD, ORDER_CANCEL, ORDER_DELETE, ORDER_EXECUTE, ORDER_NO_ROOM, ORDER_REPLACE, ORDER_TRADE, L3Book, l3_add, l3_delete,
    l3_find, l3_free, l3_grow, l3_init, l3_reduce, l3_reserve,
)
from pyrt._core.l3 import order_event_dtype
from pyrt._core.types cimport SIDE_BUY, SIDE_SELL, STATE_HALTED, STATE_PAUSED, STATE_QUOTING, STATE_TRADING


cdef extern from *:
    """
    static inline uint16_t pyrt_two(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
    static inline uint32_t pyrt_four(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
    static inline uint64_t pyrt_eight(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
    """
    uint16_t two "pyrt_two"(const uint8_t* p) noexcept nogil
    uint32_t four "pyrt_four"(const uint8_t* p) noexcept nogil
    uint64_t eight "pyrt_eight"(const uint8_t* p) noexcept nogil
    bint likely "__builtin_expect"(bint, bint) noexcept nogil


# What stands behind the letter, the share's number (2 bytes), the tracking number (2) and the time (6): name and bytes; a plain
# count is a big-endian integer, "s" is text padded with spaces, "p" a price in as many decimals as the digit says.
HEAD = (("share", 2), ("tracking", 2), ("ts", 6))
MESSAGES = {
    "S": (("event", "1s"),),
    "R": (("symbol", "8s"), ("category", "1s"), ("status", "1s"), ("lot", 4), ("lots_only", "1s"), ("issue", "1s"), ("subtype", "2s"),
          ("authentic", "1s"), ("short_sale", "1s"), ("ipo", "1s"), ("luld_tier", "1s"), ("etp", "1s"), ("leverage", 4),
          ("inverse", "1s")),
    "H": (("symbol", "8s"), ("state", "1s"), ("reserved", "1s"), ("reason", "4s")),
    "Y": (("symbol", "8s"), ("action", "1s")),
    "L": (("mpid", "4s"), ("symbol", "8s"), ("primary", "1s"), ("mode", "1s"), ("state", "1s")),
    "V": (("level1", "8p8"), ("level2", "8p8"), ("level3", "8p8")),
    "W": (("level", "1s"),),
    "K": (("symbol", "8s"), ("release", 4), ("qualifier", "1s"), ("px", "4p4")),
    "J": (("symbol", "8s"), ("reference", "4p4"), ("upper", "4p4"), ("lower", "4p4"), ("extension", 4)),
    "h": (("symbol", "8s"), ("market", "1s"), ("action", "1s")),
    "A": (("order", 8), ("side", "1s"), ("qty", 4), ("symbol", "8s"), ("px", "4p4")),
    "F": (("order", 8), ("side", "1s"), ("qty", 4), ("symbol", "8s"), ("px", "4p4"), ("mpid", "4s")),
    "E": (("order", 8), ("qty", 4), ("match", 8)),
    "C": (("order", 8), ("qty", 4), ("match", 8), ("printable", "1s"), ("px", "4p4")),
    "X": (("order", 8), ("qty", 4)),
    "D": (("order", 8),),
    "U": (("order", 8), ("other", 8), ("qty", 4), ("px", "4p4")),
    "P": (("order", 8), ("side", "1s"), ("qty", 4), ("symbol", "8s"), ("px", "4p4"), ("match", 8)),
    "Q": (("qty", 8), ("symbol", "8s"), ("px", "4p4"), ("match", 8), ("cross", "1s")),
    "B": (("match", 8),),
    "I": (("paired", 8), ("imbalance", 8), ("direction", "1s"), ("symbol", "8s"), ("far", "4p4"), ("near", "4p4"),
          ("reference", "4p4"), ("cross", "1s"), ("variation", "1s")),
    "N": (("symbol", "8s"), ("interest", "1s")),
    "O": (("symbol", "8s"), ("eligible", "1s"), ("minimum", "4p4"), ("maximum", "4p4"), ("near", "4p4"), ("near_ts", 8),
          ("lower", "4p4"), ("upper", "4p4")),
}
STATES = {"H": STATE_HALTED, "P": STATE_PAUSED, "Q": STATE_QUOTING, "T": STATE_TRADING}

cdef uint8_t[256] LENGTHS              # by letter; 0 = no such message


def _width(kind):
    return kind if isinstance(kind, int) else int(kind[0])


for _letter, _fields in MESSAGES.items():
    LENGTHS[<int>ord(_letter)] = 1 + sum(_width(kind) for _, kind in HEAD + _fields)


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


cdef inline uint32_t mpid(const uint8_t* p) noexcept nogil:
    cdef uint32_t by
    memcpy(&by, p + 36, 4)
    return by


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
            itch_message(t, &t.part[2], t.waiting - 2)
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
            itch_message(t, p + 2, n)
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
        itch_message(t, p, n)
        keep_time(t, p, n)
        p += n
        size -= n


cdef int find_share(const share_t* shares, const char* name) noexcept nogil:
    cdef int i
    for i in range(SHARES):
        if memcmp(shares[i].symbol, name, 8) == 0:
            return i
    return -1


# ---------------------------------------------------------------------------------------------------- into records and back
cdef bint itch_event(const uint8_t* p, uint32_t n, order_event_t* out) noexcept nogil:
    cdef uint8_t letter = p[0]
    if LENGTHS[letter] != n or n < 19:
        return False
    memset(out, 0, sizeof(order_event_t))
    out.instrument = two(p + 1)
    out.ts = <int64_t>two(p + 5) << 32 | four(p + 7)
    out.order = eight(p + 11)
    if letter == c'A' or letter == c'F' or letter == c'P':
        out.action = ORDER_TRADE if letter == c'P' else ORDER_ADD
        out.side = SIDE_SELL if p[19] == c'S' else SIDE_BUY if p[19] == c'B' else 0
        out.qty = four(p + 20)
        out.px = <int64_t>four(p + 32) * PRICE
        out.other = eight(p + 36) if letter == c'P' else 0
        out.by = mpid(p) if letter == c'F' else 0
    elif letter == c'E' or letter == c'C':
        out.action = ORDER_EXECUTE
        out.qty = four(p + 19)
        out.other = eight(p + 23)
        out.px = <int64_t>four(p + 32) * PRICE if letter == c'C' else 0
        out.flags = HIDDEN if letter == c'C' and p[31] != c'Y' else 0
    elif letter == c'X':
        out.action = ORDER_CANCEL
        out.qty = four(p + 19)
    elif letter == c'D':
        out.action = ORDER_DELETE
    elif letter == c'U':
        out.action = ORDER_REPLACE
        out.other = eight(p + 19)
        out.qty = four(p + 27)
        out.px = <int64_t>four(p + 31) * PRICE
    else:
        return False
    return True


cdef Py_ssize_t read_events(const uint8_t* p, Py_ssize_t size, order_event_t* out) noexcept nogil:
    # How many there are; `out` NULL only counts.
    cdef const uint8_t* end = p + size
    cdef order_event_t told
    cdef Py_ssize_t events = 0
    cdef uint64_t seq = 0
    while end - p >= 2 and end - p - 2 >= <Py_ssize_t>two(p):
        if two(p) > 0 and itch_event(p + 2, two(p), &told):
            if out != NULL:
                told.seq = seq
                out[events] = told
            events += 1
        seq += two(p) > 0
        p += 2 + two(p)
    return events


def decode(data):
    """The order messages (A F E C X D U P) of a stream with lengths as an array of order_event_dtype; px in px units, qty in shares.

    seq counts all messages from 0; a message that the end cuts off is left out. An execution with a price of its own (C) has it in
    px, and flags 1 where it is not to be printed.
    """
    cdef Py_buffer view
    cdef Py_ssize_t n
    cdef bytes raw
    cdef order_event_t* out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        with nogil:
            n = read_events(<const uint8_t*>view.buf, view.len, NULL)
        raw = PyBytes_FromStringAndSize(NULL, n * sizeof(order_event_t))
        out = <order_event_t*><char*>raw
        with nogil:
            read_events(<const uint8_t*>view.buf, view.len, out)
    finally:
        PyBuffer_Release(&view)
    return np.frombuffer(raw, order_event_dtype)


cdef inline uint8_t* put(uint8_t* p, uint64_t value, int size) noexcept nogil:
    cdef int i
    for i in range(size):
        p[i] = <uint8_t>(value >> 8 * (size - 1 - i))
    return p + size


cdef uint8_t letter_of(const order_event_t* e) noexcept nogil:
    # 0: ITCH cannot say it.
    cdef int64_t most = 0xffffffff
    cdef bint priced = e.px > 0 and e.px % PRICE == 0 and e.px // PRICE <= most
    cdef bint counted = e.qty > 0 and e.qty <= most
    cdef bint sided = e.side == SIDE_BUY or e.side == SIDE_SELL
    if e.instrument >= SHARES or e.ts < 0 or e.ts >> 48 != 0:
        return 0
    if e.action == ORDER_ADD:
        return 0 if not (priced and counted and sided) else c'F' if e.by else c'A'
    if e.action == ORDER_TRADE:
        return c'P' if priced and counted and sided else 0
    if e.action == ORDER_EXECUTE:
        return 0 if not counted or (e.px != 0 and not priced) else c'C' if e.px != 0 or e.flags & HIDDEN else c'E'
    if e.action == ORDER_CANCEL:
        return c'X' if counted else 0
    if e.action == ORDER_DELETE:
        return c'D'
    return c'U' if e.action == ORDER_REPLACE and priced and counted else 0


cdef uint8_t* write_event(uint8_t* p, const order_event_t* e, uint8_t letter, const char* symbol) noexcept nogil:
    p = put(p, LENGTHS[letter], 2)
    p = put(p, letter, 1)
    p = put(put(p, e.instrument, 2), 0, 2)
    p = put(put(p, <uint64_t>e.ts, 6), e.order, 8)
    if letter == c'A' or letter == c'F' or letter == c'P':
        p = put(put(p, c'S' if e.side == SIDE_SELL else c'B', 1), <uint64_t>e.qty, 4)
        memcpy(p, symbol, 8)
        p = put(p + 8, <uint64_t>(e.px // PRICE), 4)
        if letter == c'F':
            memcpy(p, &e.by, 4)
            return p + 4
        return put(p, e.other, 8) if letter == c'P' else p
    if letter == c'E' or letter == c'C':
        p = put(put(p, <uint64_t>e.qty, 4), e.other, 8)
        return p if letter == c'E' else put(put(p, c'N' if e.flags & HIDDEN else c'Y', 1), <uint64_t>(e.px // PRICE), 4)
    if letter == c'U':
        return put(put(put(p, e.other, 8), <uint64_t>e.qty, 4), <uint64_t>(e.px // PRICE), 4)
    return put(p, <uint64_t>e.qty, 4) if letter == c'X' else p


cdef Py_ssize_t write_events(uint8_t* p, const order_event_t* e, Py_ssize_t n, const char* symbols, uint32_t listed) noexcept nogil:
    # How many bytes; -1 - i where ITCH has no message for event i. `p` NULL only counts.
    cdef Py_ssize_t i, size = 0
    cdef uint8_t letter
    for i in range(n):
        letter = letter_of(&e[i])
        if letter == 0:
            return -1 - i
        if p != NULL:
            write_event(p + size, &e[i], letter, symbols + 8 * (e[i].instrument if e[i].instrument < listed else 0))
        size += 2 + LENGTHS[letter]
    return size


def encode(events, symbols=()):
    """ITCH 5.0 bytes, each message behind its length, of an array of order_event_dtype: streams for tests.

    symbols: mapping or sequence of symbols by share number; a share without one is written as spaces. Raises ValueError for an
    event that ITCH cannot say: a price that is no multiple of 0.0001, a quantity beyond 32 bits, MODIFY, CLEAR.
    """
    cdef Py_buffer view
    cdef bytes names = _names(symbols), raw
    cdef uint8_t* out
    cdef uint32_t listed = <uint32_t>(len(names) // 8)
    cdef const char* symbol = names
    cdef Py_ssize_t n = open_records(events, &view, sizeof(order_event_t)), size
    cdef const order_event_t* rows = <const order_event_t*>view.buf
    try:
        with nogil:
            size = write_events(NULL, rows, n, symbol, listed)
        if size < 0:
            raise ValueError(f"event {-1 - size} is none that ITCH has a message for")
        raw = PyBytes_FromStringAndSize(NULL, size)
        out = <uint8_t*><char*>raw
        with nogil:
            write_events(out, rows, n, symbol, listed)
    finally:
        PyBuffer_Release(&view)
    return raw


def _names(symbols):
    told = dict(symbols) if hasattr(symbols, "keys") else dict(enumerate(symbols))
    return b" " * 8 + b"".join(told.get(i, "").encode("ascii").ljust(8)[:8] for i in range(1, max(told, default=0) + 1))


def message(letter, **fields):
    """One message without its length, from the fields of MESSAGES; those not told are 0 or spaces. Raises ValueError for others."""
    out = bytearray(letter.encode("ascii"))
    kinds = HEAD + MESSAGES[letter]
    if strange := fields.keys() - {name for name, _ in kinds}:
        raise ValueError(f"{letter} has no field {', '.join(sorted(strange))}")
    for name, kind in kinds:
        size = _width(kind)
        if isinstance(kind, str) and kind.endswith("s"):
            text = fields.get(name, "").encode("ascii").ljust(size)
            if len(text) > size:
                raise ValueError(f"{name} has {size} bytes, not {len(text)}")
            out += text
        else:
            out += int(fields.get(name, 0)).to_bytes(size, "big")
    return bytes(out)


def parse(data):
    """The fields of one message without its length, as a dict; prices are raw integers. Raises ValueError for what is no message."""
    letter = chr(data[0]) if len(data) else ""
    if letter not in MESSAGES or LENGTHS[<int>ord(letter)] != len(data):
        raise ValueError(f"no message of ITCH 5.0: {bytes(data[:40])!r}")
    told = {"letter": letter}
    at = 1
    for name, kind in HEAD + MESSAGES[letter]:
        size = _width(kind)
        field = bytes(data[at:at + size])
        text = isinstance(kind, str) and kind.endswith("s")
        told[name] = field.decode("latin-1").rstrip() if text else int.from_bytes(field, "big")
        at += size
    return told


# ---------------------------------------------------------------------------------------------------- the books of a day
@cython.final
cdef class ItchBooks:
    """The books of a day of ITCH 5.0, order by order: feed it bytes, ask it for a share's L3Book by symbol.

    Prices are in px units (1e-9), quantities in shares. Unknown messages, orders that are not here, messages of a wrong length are
    counted and passed over. `reserve`: orders to make room for before the first. Belongs to one thread. Raises MemoryError where
    no memory is left.
    """

    def __cinit__(self, *, uint64_t reserve=0):
        self.itch = <itch_t*>calloc(1, sizeof(itch_t))
        if self.itch == NULL:
            raise MemoryError
        self.itch.shares = <share_t*>calloc(SHARES, sizeof(share_t))
        if self.itch.shares == NULL or not l3_init(&self.itch.orders, SHARES):
            raise MemoryError
        if reserve and not l3_reserve(&self.itch.orders, reserve):
            raise MemoryError

    def __dealloc__(self):
        if self.itch != NULL:
            l3_free(&self.itch.orders)
            free(self.itch.shares)
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

    def state(self, symbol) -> int:
        """TradingState of a share as the last trading action told it; 0 = none was told."""
        return STATES.get(chr(self.itch.shares[self.share(symbol)].state), 0)

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
