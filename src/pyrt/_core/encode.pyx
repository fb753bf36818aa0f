"""Records to Alpaca's data-stream messages, msgpack or JSON: what a venue of ours sends."""
cimport cython
from cpython.buffer cimport PyBUF_ND, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset, strlen

from pyrt._core.fixed cimport POWER10
from pyrt._core.types cimport (ACTION_CLEAR, ACTION_NOTHING, ACTION_SET, FLAG_CORRECTED, FLAG_LAST, NO_PX, SIDE_BUY, SIDE_SELL,
                               TYPE_BAR, TYPE_DELTA, TYPE_QUOTE, TYPE_STATUS, TYPE_TRADE, TYPE_TRADE_CANCEL, bar_t, market_t,
                               trade_t, u128)

cdef enum:
    MAX_INSTRUMENT = 1 << 20           # names are an array by id: ids are allotted one by one
    MESSAGE = 640                      # bytes that any message without its levels takes at most
    LEVEL = 64


cdef void civil_from_days(int64_t days, int* year, int* month, int* day) noexcept nogil:
    # The Gregorian date of days since 1970-01-01 (>= 0); years count from March.
    cdef int64_t era, doe, yoe, doy, mp
    days += 719468
    era = days / 146097
    doe = days - era * 146097
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100)
    mp = (5 * doy + 2) / 153
    day[0] = <int>(doy - (153 * mp + 2) / 5 + 1)
    month[0] = <int>(mp + (3 if mp < 10 else -9))
    year[0] = <int>(yoe + era * 400 + (month[0] <= 2))


cdef inline void put_digits(uint8_t* out, uint64_t value, int n) noexcept nogil:
    while n > 0:
        n -= 1
        out[n] = <uint8_t>(48 + value % 10)
        value /= 10


cdef const char* status_text(uint32_t code) noexcept nogil:
    # The venue's words for a one-letter status, tapes A, B and C.
    if code == c'H' or code == c'2':
        return b"Trading Halt"
    if code == c'T' or code == c'3':
        return b"Trading Resumption"
    if code == c'Q':
        return b"Quotation Resumption"
    if code == c'P':
        return b"Volatility Trading Pause"
    return b""


@cython.final
cdef class Encoder:
    """Writes records as Alpaca's data stream does; a frame is an array of messages.

    codec: "msgpack" (prices float64, sizes integers where whole, times as timestamp extension) or "json" (exact decimals).
    A group of deltas up to FLAG_LAST is one `o` message; a corrected cancel with the trade after it one `c`.
    """

    def __cinit__(self, codec="msgpack"):
        if codec not in ("msgpack", "json"):
            raise ValueError(f"codec is 'msgpack' or 'json', not {codec!r}")
        self.codec = codec
        self.is_json = codec == "json"

    def __dealloc__(self):
        free(self.bytes)
        free(self.names)

    def register(self, str symbol, uint32_t instrument, *, int qty_exp=9, str tape="C"):
        """Name an instrument; symbols with a slash are written in the crypto form. Raises ValueError for terms that cannot be."""
        cdef name_t* grown
        cdef uint32_t n = self.n_names
        text = symbol.encode()
        if not 0 < len(text) <= 32 or not 0 < instrument < MAX_INSTRUMENT or not 0 <= qty_exp <= 18 or len(tape.encode()) != 1:
            raise ValueError(f"{symbol!r}: 1 to 32 bytes, instrument 1 to {MAX_INSTRUMENT - 1}, qty_exp 0 to 18, a tape of one letter")
        if any(c < 32 or c in b'"\\' for c in text):
            raise ValueError(f"{symbol!r}: a symbol has no quotes, backslashes or control characters")
        if instrument >= n:
            n = max(instrument + 1, 2 * n, 64)
            grown = <name_t*>realloc(self.names, n * sizeof(name_t))
            if grown == NULL:
                raise MemoryError
            memset(grown + self.n_names, 0, (n - self.n_names) * sizeof(name_t))
            self.names, self.n_names = grown, n
        memcpy(self.names[instrument].text, <const char*>text, len(text))
        self.names[instrument].n = <int32_t>len(text)
        self.names[instrument].qty_exp = qty_exp
        self.names[instrument].crypto = b"/" in text
        self.names[instrument].tape = <uint8_t>ord(tape)

    def encode(self, records):
        """One frame of market records (64 bytes each, any market dtype). Raises ValueError for an instrument that has no name."""
        return self.join(self.encode_each(records))

    def encode_bars(self, bars, str kind="b"):
        """One frame of bars; kind: "b" minute, "u" the minute again, "d" day."""
        return self.join(self.encode_each_bars(bars, kind))

    def encode_each(self, records):
        """The messages one by one, so that many readers share the work: a list as long as records.

        A group's message stands at its last record, its other places hold b"". join() makes a frame of any of them.
        """
        cdef Py_buffer view
        cdef const market_t* first
        cdef Py_ssize_t i = 0, n, next
        cdef list out
        PyObject_GetBuffer(records, &view, PyBUF_ND)
        try:
            if view.itemsize != sizeof(market_t) or view.len % sizeof(market_t):
                raise ValueError("records are 64 bytes each")
            first = <const market_t*>view.buf
            n = view.len // <Py_ssize_t>sizeof(market_t)
            out = [b""] * n
            while i < n:
                next = self.group(first, i, n)
                self.n = 0
                if not self.message(first + i, next - i):
                    self.refuse(first[i].header.instrument)
                if self.n:
                    out[next - 1] = PyBytes_FromStringAndSize(<char*>self.bytes, self.n)
                i = next
        finally:
            PyBuffer_Release(&view)
        return out

    def encode_each_bars(self, bars, str kind="b"):
        """The bars' messages one by one, as long as bars."""
        cdef Py_buffer view
        cdef const bar_t* first
        cdef Py_ssize_t i
        cdef list out = []
        if kind not in ("b", "u", "d"):
            raise ValueError(f"kind is 'b', 'u' or 'd', not {kind!r}")
        PyObject_GetBuffer(bars, &view, PyBUF_ND)
        try:
            if view.itemsize != sizeof(bar_t) or view.len % sizeof(bar_t):
                raise ValueError("bars are 128 bytes each")
            first = <const bar_t*>view.buf
            for i in range(view.len // <Py_ssize_t>sizeof(bar_t)):
                self.n = 0
                if not self.bar(first + i, <uint8_t>ord(kind)):
                    self.refuse(first[i].instrument)
                out.append(PyBytes_FromStringAndSize(<char*>self.bytes, self.n))
        finally:
            PyBuffer_Release(&view)
        return out

    def join(self, messages):
        """One frame of messages that encode_each gave; empty ones are left out."""
        cdef Py_ssize_t n = 0
        messages = [m for m in messages if m]
        if self.is_json:
            return b"[" + b",".join(messages) + b"]"
        self.n = 0
        if not self.room(8):
            raise MemoryError
        self.array_head(len(messages))
        return PyBytes_FromStringAndSize(<char*>self.bytes, self.n) + b"".join(messages)

    cdef int refuse(self, uint32_t instrument) except -1:
        if self.no_memory:
            self.no_memory = False
            raise MemoryError
        raise ValueError(f"instrument {instrument} has no name here: register it first")

    # ------------------------------------------------------------------------------------------------ messages
    cdef Py_ssize_t group(self, const market_t* records, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
        # The end of the run of records from i on that are one message.
        cdef const market_t* r = &records[i]
        if r.header.type == TYPE_TRADE_CANCEL and r.header.flags & FLAG_CORRECTED and i + 1 < n:
            if (records[i + 1].header.type == TYPE_TRADE and records[i + 1].header.flags & FLAG_CORRECTED
                    and records[i + 1].header.instrument == r.header.instrument):
                return i + 2
        if r.header.type == TYPE_DELTA:
            while (not records[i].header.flags & FLAG_LAST and i + 1 < n and records[i + 1].header.type == TYPE_DELTA
                    and records[i + 1].header.instrument == r.header.instrument):
                i += 1
        return i + 1

    cdef bint message(self, const market_t* records, Py_ssize_t n) noexcept nogil:
        # False where the instrument has no name, or memory ran out.
        cdef const market_t* r = &records[0]
        cdef int type = r.header.type
        if not self.room(MESSAGE + n * LEVEL):
            return False
        if type == TYPE_TRADE:
            return self.trade(&r.trade)
        if type == TYPE_QUOTE:
            return self.quote(r)
        if type == TYPE_DELTA:
            return self.book(records, n)
        if type == TYPE_STATUS:
            return self.status(r)
        if type == TYPE_TRADE_CANCEL:
            return self.correction(&r.trade, &records[1].trade) if n == 2 else self.cancel(&r.trade)
        self.skipped += 1
        return True

    cdef bint trade(self, const trade_t* t) noexcept nogil:
        cdef const name_t* name = self.open(t.instrument, c't', 9, 8)
        if name == NULL:
            return False
        self.key(b"i")
        self.whole(t.trade_id)
        self.letter(b"x", t.exchange)
        self.price(b"p", t.px)
        self.quantity(b"s", t.qty, name.qty_exp)
        if name.crypto:
            self.letter(b"tks", c'B' if t.taker == SIDE_BUY else c'S' if t.taker == SIDE_SELL else 0)
        else:
            self.conditions(b"c", t.conditions)
            self.letter(b"z", t.tape)
        self.close(t.ts_event)
        return True

    cdef bint cancel(self, const trade_t* t) noexcept nogil:
        cdef const name_t* name = self.open(t.instrument, c'x', 9, 9)
        if name == NULL:
            return False
        self.key(b"i")
        self.whole(t.trade_id)
        self.letter(b"x", t.exchange)
        self.price(b"p", t.px)
        self.quantity(b"s", t.qty, name.qty_exp)
        self.letter(b"a", c'C')
        self.letter(b"z", t.tape)
        self.close(t.ts_event)
        return True

    cdef bint correction(self, const trade_t* old, const trade_t* new) noexcept nogil:
        cdef const name_t* name = self.open(old.instrument, c'c', 13, 13)
        if name == NULL:
            return False
        self.letter(b"x", old.exchange)
        self.key(b"oi")
        self.whole(old.trade_id)
        self.price(b"op", old.px)
        self.quantity(b"os", old.qty, name.qty_exp)
        self.conditions(b"oc", old.conditions)
        self.key(b"ci")
        self.whole(new.trade_id)
        self.price(b"cp", new.px)
        self.quantity(b"cs", new.qty, name.qty_exp)
        self.conditions(b"cc", new.conditions)
        self.letter(b"z", old.tape)
        self.close(new.ts_event)
        return True

    cdef bint quote(self, const market_t* r) noexcept nogil:
        cdef const name_t* name = self.open(r.header.instrument, c'q', 11, 7)
        if name == NULL:
            return False
        if not name.crypto:
            self.letter(b"bx", c'V')
        self.price(b"bp", r.quote.bid_px)
        self.quantity(b"bs", r.quote.bid_qty, name.qty_exp)
        if not name.crypto:
            self.letter(b"ax", c'V')
        self.price(b"ap", r.quote.ask_px)
        self.quantity(b"as", r.quote.ask_qty, name.qty_exp)
        if not name.crypto:
            self.conditions(b"c", c'R')
            self.letter(b"z", name.tape)
        self.close(r.header.ts_event)
        return True

    cdef bint status(self, const market_t* r) noexcept nogil:
        # Bands, or else a trading state.
        cdef bint bands = r.status.upper_px != NO_PX
        cdef const name_t* name = self.open(r.header.instrument, c'l' if bands else c's', 7 if bands else 8, 7 if bands else 8)
        cdef const char* words
        if name == NULL:
            return False
        if bands:
            self.price(b"u", r.status.upper_px)
            self.price(b"d", r.status.lower_px)
            self.letters(b"i", r.status.code)
        else:
            words = status_text(r.status.code)
            self.letters(b"sc", r.status.code)
            self.key(b"sm")
            self.text(<const uint8_t*>words, <int>strlen(words))
            self.letters(b"rc", r.status.reason)
            self.key(b"rm")
            self.text(b"", 0)
        self.letter(b"z", r.status.tape)
        self.close(r.header.ts_event)
        return True

    cdef bint book(self, const market_t* records, Py_ssize_t n) noexcept nogil:
        cdef bint whole = records[0].delta.action == ACTION_CLEAR
        cdef const name_t* name = self.open(records[0].header.instrument, c'o', 5 + whole, 5 + whole)
        cdef Py_ssize_t i, count
        cdef uint8_t side
        if name == NULL:
            return False
        for side in range(SIDE_BUY, SIDE_SELL + 1):
            count = 0
            for i in range(n):
                count += records[i].delta.action == ACTION_SET and records[i].delta.side == side
            self.key(b"b" if side == SIDE_BUY else b"a")
            self.array_head(count)
            for i in range(n):
                if records[i].delta.action == ACTION_SET and records[i].delta.side == side:
                    self.level(&records[i], name.qty_exp)
            if self.is_json:
                self.raw(b"]", 1)
                self.filled = True
        if whole:
            self.key(b"r")
            self.raw(b"true" if self.is_json else b"\xc3", 4 if self.is_json else 1)
        self.close(records[0].header.ts_event)
        return True

    cdef bint bar(self, const bar_t* b, uint8_t kind) noexcept nogil:
        cdef const name_t* name
        cdef u128 notional = <u128>b.notional_hi << 64 | <u128>b.notional_lo
        if not self.room(MESSAGE):
            return False
        name = self.open(b.instrument, kind, 10, 10)
        if name == NULL:
            return False
        self.price(b"o", b.open_px)
        self.price(b"h", b.high_px)
        self.price(b"l", b.low_px)
        self.price(b"c", b.close_px)
        self.quantity(b"v", b.volume, name.qty_exp)
        self.key(b"n")
        self.whole(b.trades)
        self.price(b"vw", <int64_t>(notional / <u128>b.volume) if b.volume > 0 else 0)
        self.close(b.start)
        return True

    cdef const name_t* open(self, uint32_t instrument, uint8_t kind, int stock, int crypto) noexcept nogil:
        # Begins a message of so many fields with T and S; NULL where the instrument has no name.
        cdef const name_t* name
        cdef uint8_t head
        if instrument >= self.n_names or self.names[instrument].n == 0:
            return NULL
        name = &self.names[instrument]
        self.filled = False
        head = c'{' if self.is_json else <uint8_t>(0x80 | (crypto if name.crypto else stock))
        self.raw(<const char*>&head, 1)
        self.letter(b"T", kind)
        self.key(b"S")
        self.text(name.text, name.n)
        return name

    cdef void close(self, int64_t ts) noexcept nogil:
        self.key(b"t")
        self.time(ts)
        if self.is_json:
            self.raw(b"}", 1)

    # ------------------------------------------------------------------------------------------------ values
    cdef bint room(self, Py_ssize_t n) noexcept nogil:
        cdef uint8_t* grown
        if self.n + n > self.capacity:
            grown = <uint8_t*>realloc(self.bytes, 2 * (self.n + n))
            if grown == NULL:
                self.no_memory = True
                return False
            self.bytes = grown
            self.capacity = 2 * (self.n + n)
        return True

    cdef inline void raw(self, const char* text, Py_ssize_t n) noexcept nogil:
        memcpy(self.bytes + self.n, text, n)
        self.n += n

    cdef inline void byte(self, uint8_t value) noexcept nogil:
        self.bytes[self.n] = value
        self.n += 1

    cdef inline void big_endian(self, uint8_t head, uint64_t value, int n) noexcept nogil:
        cdef int i
        self.bytes[self.n] = head
        for i in range(n):
            self.bytes[self.n + n - i] = <uint8_t>(value >> (8 * i))
        self.n += n + 1

    cdef inline void key(self, const char* name) noexcept nogil:
        cdef Py_ssize_t n = strlen(name)
        if self.is_json:
            if self.filled:
                self.byte(c',')
            self.filled = True
            self.byte(c'"')
            self.raw(name, n)
            self.byte(c'"')
            self.byte(c':')
        else:
            self.byte(<uint8_t>(0xa0 | n))
            self.raw(name, n)

    cdef inline void text(self, const uint8_t* text, int n) noexcept nogil:
        # At most 32 bytes that need no escape.
        if self.is_json:
            self.byte(c'"')
            self.raw(<const char*>text, n)
            self.byte(c'"')
        else:
            if n < 32:
                self.byte(<uint8_t>(0xa0 | n))
            else:
                self.big_endian(0xd9, <uint64_t>n, 1)
            self.raw(<const char*>text, n)

    cdef inline void letter(self, const char* name, uint8_t letter) noexcept nogil:
        self.key(name)
        self.text(&letter, plain(letter))

    cdef inline void letters(self, const char* name, uint32_t letters) noexcept nogil:
        cdef uint8_t text[4]
        cdef int n = 0
        while n < 4 and plain(<uint8_t>letters):
            text[n] = <uint8_t>letters
            letters >>= 8
            n += 1
        self.key(name)
        self.text(text, n)

    cdef inline void conditions(self, const char* name, uint32_t letters) noexcept nogil:
        cdef uint8_t letter
        cdef uint32_t rest = letters
        cdef int i, n = 0
        while n < 4 and plain(<uint8_t>rest):
            rest >>= 8
            n += 1
        self.key(name)
        self.array_head(n)
        for i in range(n):
            if self.is_json and i > 0:
                self.byte(c',')
            letter = <uint8_t>letters
            self.text(&letter, 1)
            letters >>= 8
        if self.is_json:
            self.byte(c']')

    cdef inline void array_head(self, uint64_t n) noexcept nogil:
        if self.is_json:
            self.byte(c'[')
        elif n < 16:
            self.byte(<uint8_t>(0x90 | n))
        elif n < 65536:
            self.big_endian(0xdc, n, 2)
        else:
            self.big_endian(0xdd, n, 4)

    cdef inline void whole(self, uint64_t value) noexcept nogil:
        if self.is_json:
            self.decimal(value, 0)
        elif value < 0x80:
            self.byte(<uint8_t>value)
        elif value < 0x100:
            self.big_endian(0xcc, value, 1)
        elif value < 0x10000:
            self.big_endian(0xcd, value, 2)
        elif value < 0x100000000ULL:
            self.big_endian(0xce, value, 4)
        else:
            self.big_endian(0xcf, value, 8)

    cdef inline void price(self, const char* name, int64_t px) noexcept nogil:
        # An empty side is price 0, which the venue writes as an integer.
        self.key(name)
        if px == NO_PX or px == 0:
            self.whole(0)
        elif self.is_json:
            self.decimal(<uint64_t>px, 9)
        else:
            self.real(<double>px / 1e9)

    cdef inline void quantity(self, const char* name, int64_t qty, int exp) noexcept nogil:
        cdef uint64_t unit = POWER10[exp], units = <uint64_t>qty
        self.key(name)
        if units % unit == 0:
            self.whole(units / unit)
        elif self.is_json:
            self.decimal(units, exp)
        else:
            self.real(<double>qty / <double>unit)

    cdef void decimal(self, uint64_t value, int exp) noexcept nogil:
        # value * 10^-exp, without zeros at the end.
        cdef uint64_t whole = value / POWER10[exp], part = value - whole * POWER10[exp], rest = whole
        cdef int n = 1
        while rest >= 10:
            rest /= 10
            n += 1
        put_digits(self.bytes + self.n, whole, n)
        self.n += n
        if part:
            while part % 10 == 0:
                part /= 10
                exp -= 1
            self.byte(c'.')
            put_digits(self.bytes + self.n, part, exp)
            self.n += exp

    cdef inline void real(self, double value) noexcept nogil:
        cdef uint64_t bits
        memcpy(&bits, &value, 8)
        self.big_endian(0xcb, bits, 8)

    cdef void time(self, int64_t ts) noexcept nogil:
        # msgpack: the shortest timestamp extension that holds it.
        cdef uint64_t seconds = <uint64_t>ts / 1000000000, ns = <uint64_t>ts % 1000000000
        if not self.is_json:
            if ns == 0 and seconds >> 32 == 0:
                self.byte(0xd6)
                self.big_endian(0xff, seconds, 4)
            else:
                self.byte(0xd7)
                self.big_endian(0xff, ns << 34 | seconds, 8)
            return
        self.json_time(<int64_t>seconds, ns)

    cdef void json_time(self, int64_t seconds, uint64_t ns) noexcept nogil:
        cdef uint8_t* out = self.bytes + self.n
        cdef int year, month, day, digits = 9
        cdef int64_t rest = seconds % 86400
        civil_from_days(seconds / 86400, &year, &month, &day)
        memcpy(out, b'"0000-00-00T00:00:00', 20)
        put_digits(out + 1, year, 4)
        put_digits(out + 6, month, 2)
        put_digits(out + 9, day, 2)
        put_digits(out + 12, <uint64_t>rest / 3600, 2)
        put_digits(out + 15, <uint64_t>rest / 60 % 60, 2)
        put_digits(out + 18, <uint64_t>rest % 60, 2)
        self.n += 20
        if ns:
            while ns % 10 == 0:
                ns /= 10
                digits -= 1
            self.byte(c'.')
            put_digits(self.bytes + self.n, ns, digits)
            self.n += digits
        self.raw(b'Z"', 2)

    cdef void level(self, const market_t* record, int exp) noexcept nogil:
        if self.is_json:
            if self.bytes[self.n - 1] != c'[':
                self.byte(c',')
            self.byte(c'{')
            self.filled = False
        else:
            self.byte(0x82)
        self.price(b"p", record.delta.px)
        self.quantity(b"s", record.delta.qty, exp)
        if self.is_json:
            self.byte(c'}')


cdef inline bint plain(uint8_t letter) noexcept nogil:
    # A letter that needs no escape, in one byte of UTF-8.
    return 32 <= letter < 127 and letter != c'"' and letter != c'\\'
