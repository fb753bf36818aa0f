"""Alpaca's data messages, however they were written, to records."""
cimport cython
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from pyrt._core.fixed cimport (KIND_BOOL, KIND_DECIMAL, KIND_FLOAT, KIND_LETTERS, KIND_LEVELS, KIND_NONE, KIND_TEXT, KIND_TIME, POWER10,
                               REFUSED, SCALED, VANISHED, read_time, scale, scale_double, value_t)
from pyrt._core.types cimport (ACTION_CLEAR, ACTION_NOTHING, ACTION_SET, FLAG_AMENDED, FLAG_CORRECTED, FLAG_INELIGIBLE, FLAG_LAST,
                               FLAG_SNAPSHOT, NO_PX, PX_ONE, SIDE_BUY, SIDE_SELL, STATE_HALTED, STATE_PAUSED, STATE_QUOTING,
                               STATE_TRADING, TYPE_BAR, TYPE_DELTA, TYPE_QUOTE, TYPE_STATUS, TYPE_TRADE, TYPE_TRADE_CANCEL, bar_t,
                               market_t, quote_t, u128)

import numpy as np

from pyrt._core.types import bar_dtype, market_dtype


cdef extern from * nogil:
    int lowest_bit "__builtin_ctzll"(unsigned long long)
    bint likely "__builtin_expect"(bint, bint)


COUNT_NAMES = ("frames", "malformed", "messages", "control", "unknown_type", "unknown_symbol", "unknown_field", "bad_time",
               "bad_price", "bad_qty", "vanished_px", "vanished_qty", "off_tick", "bad_id", "more_conditions")
assert len(COUNT_NAMES) == COUNTS

# Conditions that bar a print from setting a price (odd lot, average price, cash, next day, seller, contingent, derivatively
# priced, prior reference, extended hours, official open and close); their tapes agree on these letters.
INELIGIBLE = b"IBWCNRV74PTUQM9"


cdef inline uint64_t hash_text(const uint8_t* p, int32_t n) noexcept nogil:
    cdef uint64_t h = <uint64_t>n, word
    cdef int i
    while n >= 8:
        memcpy(&word, p, 8)
        h = (h ^ word) * <uint64_t>0x9e3779b97f4a7c15ULL
        h ^= h >> 32
        p += 8
        n -= 8
    word = 0
    for i in range(n):
        word = word << 8 | p[i]
    h = (h ^ word) * <uint64_t>0x9e3779b97f4a7c15ULL
    return h ^ h >> 32


cdef inline uint64_t word_of(const uint8_t* p, int32_t n) noexcept nogil:
    # The first bytes as a number that, with n, tells all texts of eight bytes or less apart.
    cdef uint64_t word
    cdef uint32_t low, high
    cdef uint16_t two
    if n > 8:
        memcpy(&word, p, 8)
        return word
    if n >= 4:
        memcpy(&low, p, 4)
        memcpy(&high, p + n - 4, 4)
        return low | <uint64_t>high << 32
    if n >= 2:
        memcpy(&two, p, 2)
        return two | <uint64_t>p[n - 1] << 16
    return p[0] if n == 1 else 0


cdef inline uint64_t hash_symbol(const uint8_t* p, int32_t n, uint64_t word) noexcept nogil:
    cdef uint64_t h
    if n > 8:
        return hash_text(p, n)
    h = (word + n) * <uint64_t>0x9e3779b97f4a7c15ULL
    return h >> 32


cdef tick_t tick_of(int64_t px) noexcept nogil:
    # A multiple of px, and no other number, times the inverse of its odd part and turned by its power of two, is `most` or less
    # (Hacker's Delight, 10-17).
    cdef tick_t t
    cdef uint64_t odd
    cdef int i
    t.px = px
    t.shift = lowest_bit(<uint64_t>px)
    odd = <uint64_t>px >> t.shift
    t.inverse = odd
    for i in range(5):
        t.inverse = t.inverse * (2 - odd * t.inverse)
    t.most = <uint64_t>-1 // <uint64_t>px
    return t


cdef inline bint is_multiple(int64_t px, const tick_t* tick) noexcept nogil:
    cdef uint64_t product = <uint64_t>px * tick.inverse
    return (product >> tick.shift | product << (64 - tick.shift & 63)) <= tick.most


cdef value_t nothing                   # what an absent key reads as
nothing.kind = KIND_NONE


cdef class Messages:
    """What every codec of the stream shares: symbols, the meaning of a message, the records and the counters."""

    def __cinit__(self, codec="msgpack", *, feed_flag=0, ineligible=INELIGIBLE):
        if codec not in ("msgpack", "json"):
            raise ValueError(f"codec is 'msgpack' or 'json', not {codec!r}")
        self.codec = codec
        self.is_json = codec == "json"
        self.flags = feed_flag
        self.control = []
        for letter in ineligible:
            self.ineligible[letter >> 6] |= <uint64_t>1 << (letter & 63)
        self.max_records = 256
        self.max_bars = 32
        self.max_levels = 64
        self.max_symbols = 32
        self.mask = 63
        self.records = <market_t*>malloc(self.max_records * sizeof(market_t))
        self.bars = <bar_t*>malloc(self.max_bars * sizeof(bar_t))
        self.levels = <level_t*>malloc(self.max_levels * sizeof(level_t))
        self.symbols = <symbol_t*>malloc(self.max_symbols * sizeof(symbol_t))
        self.slots = <int32_t*>malloc((self.mask + 1) * sizeof(int32_t))
        if not (self.records and self.bars and self.levels and self.symbols and self.slots):
            raise MemoryError
        memset(self.slots, 0xff, (self.mask + 1) * sizeof(int32_t))

    def __dealloc__(self):
        free(self.records)
        free(self.bars)
        free(self.levels)
        free(self.symbols)
        free(self.slots)

    def register(self, str symbol, uint32_t instrument, *, int64_t tick, int64_t sub_tick, int64_t lot=1, int qty_exp=9,
                 uint32_t quote_unit=1):
        """Make a symbol known; again changes its terms.

        tick (at and above 1.00) and sub_tick (below): px units. lot: qty units. quote_unit: what one unit of a quote's size is worth
        (100 where a feed still counts round lots). Raises ValueError for terms that cannot be.
        """
        cdef symbol_t s
        self.idle()
        text = symbol.encode()
        if not 0 < len(text) <= 32 or instrument == 0:
            raise ValueError(f"symbol {symbol!r} (1 to 32 bytes) or instrument {instrument} (above 0) cannot be")
        if tick <= 0 or sub_tick <= 0 or lot <= 0 or not 0 <= qty_exp <= 18 or quote_unit == 0:
            raise ValueError(f"{symbol}: tick, sub_tick, lot and quote_unit are above 0, qty_exp is 0 to 18")
        memset(&s, 0, sizeof(s))
        s.n = <int32_t>len(text)
        memcpy(s.text, <const char*>text, s.n)
        s.instrument, s.qty_exp, s.quote_unit = instrument, qty_exp, quote_unit
        s.tick, s.sub_tick, s.lot = tick_of(tick), tick_of(sub_tick), lot
        s.word = word_of(s.text, s.n)
        self.enter(&s)

    def take(self):
        """The records and the bars since the last take, in the order of the wire: (market_dtype array, bar_dtype array), yours."""
        self.idle()
        records = np.frombuffer(PyByteArray_FromStringAndSize(<char*>self.records, self.n_records * <Py_ssize_t>sizeof(market_t)), market_dtype)
        bars = np.frombuffer(PyByteArray_FromStringAndSize(<char*>self.bars, self.n_bars * <Py_ssize_t>sizeof(bar_t)), bar_dtype)
        self.n_records = self.n_bars = 0
        return records, bars

    @property
    def counters(self):
        """What was seen and what was left out, by name."""
        return {name: self.count[i] for i, name in enumerate(COUNT_NAMES)}

    cdef int idle(self) except -1:
        if self.running:
            raise RuntimeError("a frame is being read in another thread")
        return 0

    # ------------------------------------------------------------------------------------------------ symbols
    cdef int enter(self, const symbol_t* symbol) except -1:
        cdef const symbol_t* known
        cdef value_t name
        cdef uint64_t at
        cdef int32_t i
        name.kind, name.bits, name.n = KIND_TEXT, <uint64_t><size_t>symbol.text, symbol.n
        known = self.find(&name)
        if known != NULL:
            memcpy(<void*>known, symbol, sizeof(symbol_t))
            return 0
        if self.n_symbols == self.max_symbols:
            self.grow()
        memcpy(&self.symbols[self.n_symbols], symbol, sizeof(symbol_t))
        self.n_symbols += 1
        self.index(self.n_symbols - 1)
        return 0

    cdef int grow(self) except -1:
        cdef symbol_t* symbols = <symbol_t*>realloc(self.symbols, 2 * self.max_symbols * sizeof(symbol_t))
        cdef int32_t* slots
        if symbols == NULL:
            raise MemoryError
        self.symbols = symbols
        slots = <int32_t*>realloc(self.slots, 2 * (self.mask + 1) * sizeof(int32_t))
        if slots == NULL:
            raise MemoryError
        self.slots = slots
        self.max_symbols *= 2
        self.mask = 2 * self.mask + 1
        memset(self.slots, 0xff, (self.mask + 1) * sizeof(int32_t))
        for i in range(self.n_symbols):
            self.index(i)
        return 0

    cdef void index(self, int32_t i) noexcept nogil:
        cdef uint64_t at = hash_symbol(self.symbols[i].text, self.symbols[i].n, self.symbols[i].word) & self.mask
        while self.slots[at] >= 0:
            at = (at + 1) & self.mask
        self.slots[at] = i

    cdef inline const symbol_t* find(self, const value_t* name) noexcept nogil:
        cdef const uint8_t* text = <const uint8_t*><size_t>name.bits
        cdef const symbol_t* s
        cdef uint64_t at, word
        if name.kind != KIND_TEXT or name.n > 32:
            return NULL
        word = word_of(text, name.n)
        at = hash_symbol(text, name.n, word) & self.mask
        while self.slots[at] >= 0:
            s = &self.symbols[self.slots[at]]
            if s.word == word and s.n == name.n and (s.n <= 8 or memcmp(s.text, text, s.n) == 0):
                return s
            at = (at + 1) & self.mask
        return NULL

    cdef level_t* new_level(self) noexcept nogil:
        cdef level_t* grown
        if self.n_levels == self.max_levels:
            grown = <level_t*>realloc(self.levels, 2 * self.max_levels * sizeof(level_t))
            if grown == NULL:
                self.no_memory = True
                return NULL
            self.levels = grown
            self.max_levels *= 2
        self.n_levels += 1
        memset(&self.levels[self.n_levels - 1], 0, sizeof(level_t))
        return &self.levels[self.n_levels - 1]

    # ------------------------------------------------------------------------------------------------ messages
    cdef void finish(self, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
        cdef const value_t* type = self.get(FIELD_TYPE)
        cdef const symbol_t* s
        cdef int64_t ts
        cdef uint8_t kind = first_letter(type)
        self.count[COUNT_MESSAGES] += 1
        if type.kind != KIND_TEXT or type.n != 1:
            self.other(type, first, n)
            return
        if kind not in (c't', c'q', c'b', c'u', c'd', c's', c'l', c'c', c'x', c'o'):
            self.count[COUNT_UNKNOWN_TYPE] += 1
            return
        s = self.find(self.get(FIELD_SYMBOL))
        if s == NULL:
            self.count[COUNT_UNKNOWN_SYMBOL] += 1
            return
        if not self.time(&ts):
            self.count[COUNT_BAD_TIME] += 1
            return
        if kind == c't' or kind == c'x':
            self.trade(s, ts, kind == c'x')
        elif kind == c'q':
            self.quote(s, ts)
        elif kind == c'o':
            self.book(s, ts)
        elif kind == c's' or kind == c'l':
            self.status(s, ts, kind == c'l')
        elif kind == c'c':
            self.correction(s, ts)
        else:
            self.bar(s, ts, kind)

    cdef void other(self, const value_t* type, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
        # Control messages are handed out as they came; their rarely read texts are the shell's affair.
        cdef const uint8_t* text = <const uint8_t*><size_t>type.bits
        if type.kind == KIND_TEXT and self.n_controls < 16 and (
                (type.n == 7 and memcmp(text, b"success", 7) == 0) or (type.n == 5 and memcmp(text, b"error", 5) == 0)
                or (type.n == 12 and memcmp(text, b"subscription", 12) == 0)):
            self.count[COUNT_CONTROL] += 1
            self.controls[self.n_controls].first = first
            self.controls[self.n_controls].n = n
            self.n_controls += 1
        else:
            self.count[COUNT_UNKNOWN_TYPE] += 1

    cdef inline const value_t* get(self, int field) noexcept nogil:
        return &self.value[field] if self.have >> field & 1 else &nothing

    cdef inline bint time(self, int64_t* ts) noexcept nogil:
        cdef const value_t* v = self.get(FIELD_TIME)
        cdef const uint8_t* text
        if v.kind == KIND_TIME:
            ts[0] = <int64_t>v.bits
            return True
        if v.kind != KIND_TEXT:
            return False
        text = <const uint8_t*><size_t>v.bits
        return v.n >= 20 and read_time(text, text + v.n, &self.minute, ts) == text + v.n

    cdef inline bint price(self, const value_t* v, const symbol_t* s, int snap, int64_t* px) noexcept nogil:
        # A price above 0, on its tick: what a float's or a division's noise moved is put back, a print may lie between ticks.
        cdef const tick_t* tick
        cdef int status = scale_double(v.bits, 9, px) if v.kind == KIND_FLOAT else scale(v, 9, px)
        if not likely(status == SCALED, True):
            self.count[COUNT_BAD_PRICE if status == REFUSED else COUNT_VANISHED_PX] += 1
            return False
        tick = &s.tick if px[0] >= PX_ONE else &s.sub_tick
        if likely(px[0] != 0 and is_multiple(px[0], tick), True):
            return True
        return self.off_tick(tick.px, snap, px)

    cdef bint off_tick(self, int64_t tick, int snap, int64_t* px) noexcept nogil:
        cdef int64_t rest = px[0] % tick
        if rest:
            if rest <= px[0] / 1000000000:
                px[0] -= rest
            elif snap != SNAP_DOWN and px[0] > 0x7fffffffffffffffLL - tick:
                self.count[COUNT_BAD_PRICE] += 1
                return False
            elif tick - rest <= px[0] / 1000000000:
                px[0] += tick - rest
            elif snap != SNAP_KEEP:
                self.count[COUNT_OFF_TICK] += 1
                px[0] += tick - rest if snap == SNAP_UP else -rest
        if px[0] == 0:
            self.count[COUNT_VANISHED_PX if rest else COUNT_BAD_PRICE] += 1
            return False
        return True

    cdef inline bint quantity(self, const value_t* v, const symbol_t* s, int64_t* qty) noexcept nogil:
        # Of a float, noise beyond 2^-50 of the whole beside a multiple of the lot is taken off.
        cdef int64_t rest
        cdef int status
        if likely(v.kind == KIND_DECIMAL and v.n == 0 and not v.negative and v.bits >> 32 == 0 and s.qty_exp <= 9, True):
            qty[0] = <int64_t>(v.bits * POWER10[s.qty_exp])
            return True
        status = scale(v, s.qty_exp, qty)
        if status == REFUSED:
            self.count[COUNT_BAD_QTY] += 1
            return False
        if status == VANISHED:
            self.count[COUNT_VANISHED_QTY] += 1
            qty[0] = 1
        elif v.kind == KIND_FLOAT and s.lot > 1:
            rest = qty[0] % s.lot
            if rest <= qty[0] >> 50:
                qty[0] -= rest
            elif s.lot - rest <= qty[0] >> 50:
                qty[0] += s.lot - rest
        return True

    cdef uint64_t trade_id(self, const value_t* v) noexcept nogil:
        cdef int64_t number = 0
        if v.kind == KIND_DECIMAL and v.n == 0 and not v.negative:
            return v.bits
        if v.kind != KIND_NONE and scale(v, 0, &number) == REFUSED:
            self.count[COUNT_BAD_ID] += 1
        return <uint64_t>number

    cdef uint32_t letters(self, const value_t* v) noexcept nogil:
        # A list of conditions, or the first four letters of a code.
        cdef const uint8_t* text
        cdef uint32_t value = 0
        cdef int i
        if v.kind == KIND_LETTERS:
            return <uint32_t>v.bits
        if v.kind == KIND_TEXT:
            text = <const uint8_t*><size_t>v.bits
            for i in range(4 if v.n > 4 else v.n):
                value |= <uint32_t>text[i] << (8 * i)
        return value

    cdef inline market_t* put(self, const symbol_t* s, int64_t ts, uint16_t type, uint16_t flags) noexcept nogil:
        cdef market_t* record
        if self.n_records == self.max_records:
            record = <market_t*>realloc(self.records, 2 * self.max_records * sizeof(market_t))
            if record == NULL:
                self.no_memory = True
                return NULL
            self.records = record
            self.max_records *= 2
        record = &self.records[self.n_records]
        self.n_records += 1
        memset(record, 0, sizeof(market_t))
        record.header.type = type
        record.header.flags = self.flags | flags
        record.header.instrument = s.instrument
        record.header.ts_event = ts
        record.header.ts_recv = self.ts_recv
        return record

    cdef bint put_print(self, const symbol_t* s, int64_t ts, print_t* t) noexcept nogil:
        # The fields that t names, as one trade record; False where a number of it cannot be.
        cdef market_t* record
        cdef uint32_t conditions, rest
        cdef int64_t px, qty
        if not self.price(self.get(t.px), s, SNAP_KEEP, &px) or not self.quantity(self.get(t.qty), s, &qty):
            return False
        record = self.put(s, ts, t.type, t.flags)
        if record == NULL:
            return False
        conditions = rest = self.letters(self.get(t.conditions))
        while rest:
            if self.ineligible[(rest & 255) >> 6] >> (rest & 63) & 1:
                record.header.flags |= FLAG_INELIGIBLE
            rest >>= 8
        if qty == 0:                   # an official price without a deal
            record.header.flags |= FLAG_INELIGIBLE
        record.trade.px = px
        record.trade.qty = qty
        record.trade.trade_id = self.trade_id(self.get(t.id))
        record.trade.conditions = conditions
        record.trade.exchange = first_letter(self.get(FIELD_X))
        record.trade.tape = first_letter(self.get(FIELD_Z))
        return True

    cdef void trade(self, const symbol_t* s, int64_t ts, bint cancel) noexcept nogil:
        cdef print_t t
        cdef uint8_t taker
        t.type, t.flags = TYPE_TRADE_CANCEL if cancel else TYPE_TRADE, 0
        t.px, t.qty, t.id, t.conditions = FIELD_P, FIELD_S, FIELD_I, FIELD_C
        if self.put_print(s, ts, &t) and not cancel:
            taker = first_letter(self.get(FIELD_TKS))
            self.records[self.n_records - 1].trade.taker = SIDE_BUY if taker == c'B' else SIDE_SELL if taker == c'S' else 0

    cdef void correction(self, const symbol_t* s, int64_t ts) noexcept nogil:
        # Both records or none: the print as it was, taken back, then as it should have been.
        cdef Py_ssize_t before = self.n_records
        cdef print_t t
        t.type, t.flags = TYPE_TRADE_CANCEL, FLAG_CORRECTED
        t.px, t.qty, t.id, t.conditions = FIELD_OP, FIELD_OS, FIELD_OI, FIELD_OC
        if self.put_print(s, ts, &t):
            t.type = TYPE_TRADE
            t.px, t.qty, t.id, t.conditions = FIELD_CP, FIELD_CS, FIELD_CI, FIELD_CC
            if self.put_print(s, ts, &t):
                return
        self.n_records = before

    cdef inline bint quote_side(self, const value_t* price, const value_t* size, const symbol_t* s, int snap,
                         int64_t* px, int64_t* qty) noexcept nogil:
        # A side without price or size is empty; False where a number of it cannot be.
        px[0], qty[0] = NO_PX, 0
        if price.kind == KIND_NONE or size.kind == KIND_NONE or is_zero(price):
            return True
        if not self.quantity(size, s, qty):
            return False
        if s.quote_unit != 1:
            if qty[0] > <int64_t>0x7fffffffffffffffULL / s.quote_unit:
                self.count[COUNT_BAD_QTY] += 1
                return False
            qty[0] *= s.quote_unit
        return qty[0] == 0 or self.price(price, s, snap, px)

    cdef void quote(self, const symbol_t* s, int64_t ts) noexcept nogil:
        cdef quote_t q
        cdef market_t* record
        if not self.quote_side(self.get(FIELD_BP), self.get(FIELD_BS), s, SNAP_DOWN, &q.bid_px, &q.bid_qty):
            return
        if not self.quote_side(self.get(FIELD_AP), self.get(FIELD_AS), s, SNAP_UP, &q.ask_px, &q.ask_qty):
            return
        record = self.put(s, ts, TYPE_QUOTE, 0)
        if record != NULL:
            record.quote.bid_px, record.quote.bid_qty = q.bid_px, q.bid_qty
            record.quote.ask_px, record.quote.ask_qty = q.ask_px, q.ask_qty

    cdef void bar(self, const symbol_t* s, int64_t ts, uint8_t kind) noexcept nogil:
        cdef bar_t* bar
        cdef bar_t b
        cdef u128 notional
        cdef int64_t trades = 0, vwap = 0
        cdef const value_t* v = self.get(FIELD_V)
        cdef const value_t* n = self.get(FIELD_N)
        memset(&b, 0, sizeof(b))
        if not (self.price(self.get(FIELD_O), s, SNAP_KEEP, &b.open_px) and self.price(self.get(FIELD_H), s, SNAP_KEEP, &b.high_px)
                and self.price(self.get(FIELD_L), s, SNAP_KEEP, &b.low_px)
                and self.price(self.get(FIELD_C), s, SNAP_KEEP, &b.close_px)):
            return
        if (v.kind != KIND_NONE and not self.quantity(v, s, &b.volume)) or (n.kind != KIND_NONE and scale(n, 0, &trades) == REFUSED):
            self.count[COUNT_BAD_QTY] += n.kind != KIND_NONE
            return
        if trades > 0xffffffffu or b.high_px < b.low_px:
            self.count[COUNT_BAD_QTY if trades > 0xffffffffu else COUNT_BAD_PRICE] += 1
            return
        if self.get(FIELD_VW).kind != KIND_NONE and scale(self.get(FIELD_VW), 9, &vwap) == REFUSED:
            self.count[COUNT_BAD_PRICE] += 1
            return
        b.type, b.instrument, b.ts_recv = TYPE_BAR, s.instrument, self.ts_recv
        b.flags = self.flags | (FLAG_AMENDED if kind == c'u' else 0)
        b.revision = kind == c'u'
        b.start = ts
        b.interval = 86400000000000LL if kind == c'd' else 60000000000LL
        b.ts_event = ts + b.interval
        notional = <u128>vwap * <u128>b.volume
        b.notional_lo = <uint64_t>notional
        b.notional_hi = <int64_t>(notional >> 64)
        b.trades = <uint32_t>trades
        if self.n_bars == self.max_bars:
            bar = <bar_t*>realloc(self.bars, 2 * self.max_bars * sizeof(bar_t))
            if bar == NULL:
                self.no_memory = True
                return
            self.bars = bar
            self.max_bars *= 2
        self.bars[self.n_bars] = b
        self.n_bars += 1

    cdef void status(self, const symbol_t* s, int64_t ts, bint bands) noexcept nogil:
        cdef market_t* record
        cdef int64_t upper = NO_PX, lower = NO_PX
        if bands and not (self.price(self.get(FIELD_U), s, SNAP_KEEP, &upper) and self.price(self.get(FIELD_D), s, SNAP_KEEP, &lower)):
            return
        record = self.put(s, ts, TYPE_STATUS, 0)
        if record == NULL:
            return
        record.status.upper_px = upper
        record.status.lower_px = lower
        record.status.tape = first_letter(self.get(FIELD_Z))
        if bands:
            record.status.code = self.letters(self.get(FIELD_I))
        else:
            record.status.code = self.letters(self.get(FIELD_SC))
            record.status.reason = self.letters(self.get(FIELD_RC))
            record.status.state = trading_state(record.status.code, record.status.reason)

    cdef void book(self, const symbol_t* s, int64_t ts) noexcept nogil:
        # One group of deltas, or nothing where a level of it cannot be.
        cdef Py_ssize_t before = self.n_records
        cdef const value_t* r = self.get(FIELD_R)
        cdef market_t* record
        if r.kind == KIND_BOOL and r.bits:
            record = self.put(s, ts, TYPE_DELTA, FLAG_SNAPSHOT)
            if record == NULL:
                return
            record.delta.action = ACTION_CLEAR
        if not self.book_side(self.get(FIELD_B), s, ts, SIDE_BUY) or not self.book_side(self.get(FIELD_A), s, ts, SIDE_SELL):
            self.n_records = before
            return
        if self.n_records == before:
            record = self.put(s, ts, TYPE_DELTA, 0)
            if record == NULL:
                return
            record.delta.action = ACTION_NOTHING
        self.records[self.n_records - 1].header.flags |= FLAG_LAST

    cdef bint book_side(self, const value_t* run, const symbol_t* s, int64_t ts, uint8_t side) noexcept nogil:
        cdef market_t* record
        cdef const level_t* level
        cdef int64_t px, qty
        cdef int i
        if run.kind != KIND_LEVELS:
            return run.kind == KIND_NONE
        for i in range(run.n):
            level = &self.levels[<Py_ssize_t>run.bits + i]
            if not self.price(&level.px, s, SNAP_DOWN if side == SIDE_BUY else SNAP_UP, &px) or not self.quantity(&level.qty, s, &qty):
                return False
            record = self.put(s, ts, TYPE_DELTA, 0)
            if record == NULL:
                return False
            record.delta.px = px
            record.delta.qty = qty
            record.delta.side = side
            record.delta.action = ACTION_SET
        return True


cdef inline bint is_zero(const value_t* v) noexcept nogil:
    cdef int64_t units
    if v.kind == KIND_DECIMAL or v.kind == KIND_FLOAT:
        return v.bits << (v.kind == KIND_FLOAT) == 0            # a float's sign does not count
    return scale(v, 9, &units) == SCALED and units == 0


cdef inline uint32_t code(const char* text) noexcept nogil:
    cdef uint32_t value = 0
    memcpy(&value, text, 4)
    return value


cdef uint8_t trading_state(uint32_t status, uint32_t reason) noexcept nogil:
    # Of one-letter codes; tapes A, B and tape C use different ones. 0 = the code says nothing of it.
    cdef bint pause = reason in (code("LUDP"), code("LUDS"), code("T5\0\0"), code("M\0\0\0"))
    if status == c'T' or status == c'3':
        return STATE_TRADING
    if status == c'P':
        return STATE_PAUSED
    if status == c'H' or status == c'2':
        return STATE_PAUSED if pause else STATE_HALTED
    return STATE_QUOTING if status == c'Q' else 0
