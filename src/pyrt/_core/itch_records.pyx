"""The messages of ITCH 5.0 by their table: bytes into arrays of order events and back, one message at a time into its fields."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from pyrt._core.buffers cimport open_records
from pyrt._core.itch cimport HIDDEN, LENGTHS, PRICE, SHARES, eight, four, mpid, two
from pyrt._core.l3 cimport ORDER_ADD, ORDER_CANCEL, ORDER_DELETE, ORDER_EXECUTE, ORDER_REPLACE, ORDER_TRADE, order_event_t
from pyrt._core.l3 import order_event_dtype
from pyrt._core.types cimport SIDE_BUY, SIDE_SELL


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


def _width(kind):
    return kind if isinstance(kind, int) else int(kind[0])


assert {letter: LENGTHS[<int>ord(letter)] for letter in MESSAGES} == {
    letter: 1 + sum(_width(kind) for _, kind in HEAD + fields) for letter, fields in MESSAGES.items()
}


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
