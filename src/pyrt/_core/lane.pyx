"""The way of the plainest orders: every control, the reservation, the number, the journal's record and the body in one call."""
cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem
from cpython.object cimport PyObject
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from pyrt._core.ledger cimport Ledger, i128_of
from pyrt._core.loop cimport Decider, wish_t
from pyrt._core.order_text cimport TAIL, VALUES, put_body, put_tail, text_t
from pyrt._core.prices cimport ORDER_LIMIT, ORDER_MARKET, ORDER_STOP, ORDER_STOP_LIMIT, order_t
from pyrt._core.risk cimport Gate
from pyrt._core.screen cimport Screen, plain_t
from pyrt._core.types cimport SIDE_BUY, SIDE_SELL, UNITS_ROOM, units_text
from pyrt._core.verbs cimport Ticket


cdef enum:
    KIND_INTENDED = 32                 # journal.codec.Kind
    BIT_REDUCE_ONLY = 1
    TIF_DAY = 1                        # model.TimeInForce
    TIF_FOK = 4                        # beyond it are the auctions

cdef int64_t ONE_DOLLAR = 1_000_000_000
cdef const char** SIDES = ["", "buy", "sell"]
cdef const char** TYPES = ["", "market", "limit", "stop", "stop_limit"]
cdef const char** TIFS = ["", "day", "gtc", "ioc", "fok"]


cdef i128 _units(value) except? -1:
    return i128_of(value >> 64, value & 0xffffffffffffffff)


cdef inline text_t _text(const char* at, Py_ssize_t n) noexcept nogil:
    cdef text_t out
    out.at, out.n = at, n
    return out


cdef inline text_t _word(const char* at) noexcept nogil:
    cdef Py_ssize_t n = 0
    while at[n]:
        n += 1
    return _text(at, n)


cdef inline bint _on_tick(const pair_t* pair, int64_t px) noexcept nogil:
    return pair.known and px > 0 and px % (pair.tick if px >= ONE_DOLLAR else pair.sub_tick) == 0


@cython.final
cdef class Lane(Decider):
    """Decides plain orders on a gate and a screen. `prefix` begins every cid of the journal, `remainder` is that of it.

    Who is told of a decision before there is a fact of it is said by `hand_to`.
    """

    def __cinit__(self, Gate gate not None, Screen screen not None, str prefix not None, int remainder):
        cdef bytes text = prefix.encode("ascii")
        if len(text) > MOST_PREFIX:
            raise ValueError(f"{prefix!r} begins no cid")
        self.gate, self.ledger, self.screen = gate, gate.ledger, screen
        memcpy(self.prefix, <const char*>text, len(text))
        self.prefix_n, self.remainder = len(text), remainder

    def __dealloc__(self):
        free(self.pairs)

    # ---- what it is told
    def open(self, uint32_t epoch, uint64_t approval, uint32_t limits_version, uint64_t number, int64_t since, int64_t until,
             bint dirty, int64_t mark_at):
        """Take one decision from here on: the last approval and number given, from when until when the day lasts (venue ns).

        dirty: something moved since the last mark; mark_at: venue ns at which the next one is due anyway, 0 = none.
        """
        self.fact.epoch, self.fact.approval, self.fact.limits_version, self.last = epoch, approval, limits_version, number
        self.since, self.until, self.dirty, self.mark_at = since, until, dirty, mark_at
        self.is_open = True

    def close(self):
        """Decide nothing until it is told anew."""
        self.is_open = False

    def losses(self, daily, drawdown, days, peak, int64_t peak_from, bint exits):
        """What a mark is held against, 1e-18 money, None = nothing: losses that close a latch, and a peak that is a fact.

        peak_from: venue ns before which no peak is. exits: a mark looks after exits too, and is not made here.
        """
        self.daily = -1 if daily is None else _units(daily)
        self.drawdown = -1 if drawdown is None else _units(drawdown)
        self.days = -1 if days is None else _units(days)
        self.peak = 0 if peak is None else _units(peak)
        self.peak_from = -1 if peak is None else peak_from
        self.exits = exits

    def learn(self, uint32_t strategy, uint32_t instrument, str symbol not None, int exp, int64_t tick, int64_t sub_tick, int64_t since,
              int64_t until, bint shortable, bint easy):
        """A strategy may trade an instrument, whose session the gate knows from `since` until `until`; False where it has no position."""
        cdef uint32_t slot = self.ledger.position_slot(strategy, instrument, False), room = self.pairs_room
        cdef bytes text = symbol.encode()
        cdef pair_t* pair
        cdef void* rows
        if slot == 0 or len(text) > MOST_SYMBOL or not 0 <= exp <= 9 or tick < 1 or sub_tick < 1:
            return False
        if slot >= room:
            room = max(64, 2 * slot)
            rows = realloc(self.pairs, room * sizeof(pair_t))
            if rows == NULL:
                raise MemoryError
            self.pairs = <pair_t*>rows
            memset(self.pairs + self.pairs_room, 0, (room - self.pairs_room) * sizeof(pair_t))
            self.pairs_room = room
        pair = &self.pairs[slot]
        pair.since, pair.until, pair.tick, pair.sub_tick, pair.exp = since, until, tick, sub_tick, exp
        pair.one = <object>10 ** exp
        pair.shortable, pair.easy, pair.known = shortable, easy, True
        pair.symbol_n = len(text)
        memcpy(pair.symbol, <const char*>text, len(text))
        return True

    def forget(self):
        """Forget who may trade what."""
        if self.pairs != NULL:
            memset(self.pairs, 0, self.pairs_room * sizeof(pair_t))
        self.is_open = False

    def hand_to(self, intend not None, dict used not None):
        """Who gets number, record, body and Now of what is decided, and the last source of each strategy that facts tell of."""
        self.intend, self.used = intend, used

    # ---- what it is asked
    def decide(self, intent not None, int64_t now, int64_t mono):
        """Whether an Intent is approved and reserved, with its `number`, `record` and `body`; False where the rules must say."""
        cdef wish_t wish
        if not self.is_open or intent.extended_hours or intent.signal or intent.order_class or intent.trail_px or intent.trail_ratio \
                or intent.target_px or intent.guard_px or intent.guard_limit_px:
            return False
        wish.source, wish.strategy, wish.instrument = intent.source, intent.strategy, intent.instrument
        wish.side, wish.type, wish.tif, wish.reduce_only = intent.side, intent.type, intent.tif, intent.reduce_only
        wish.qty, wish.limit_px, wish.stop_px, wish.valid_until = intent.qty, intent.limit_px, intent.stop_px, intent.valid_until
        return self.take(&wish, now, mono)

    def decide_order(self, order not None, now not None):
        """Whether an order that was sent natively is approved, reserved and handed over; at most once. now: on both clocks."""
        if self.gone is order:
            self.gone = None
            return True
        return self.go(order, now) and self.decide_order(order, now)

    cdef bint go(self, order, now) except -1:
        cdef PyObject* found
        cdef wish_t* w
        if not self.is_open or self.intend is None or not isinstance(order, Ticket):
            return False
        w = &(<Ticket>order).wish
        found = PyDict_GetItem(self.used, w.strategy)
        if (found != NULL and w.source <= <uint64_t><object>found) or not self.take(w, now[0], now[1]):
            return False
        self.gone = order
        self.hand(now)
        return True

    cpdef int hand_over(self, now) except -1:
        """Hand over what was approved last, of which there is no intent yet: that one must be claimed next."""
        self.ahead = <uint64_t>self.fact.strategy << 48 | self.fact.source
        return self.hand(now)

    cpdef int hand(self, now) except -1:
        """Hand over what was approved last; its fact must follow."""
        self.handed = self.fact.number
        self.decided += 1
        self.intend(self.handed, PyBytes_FromStringAndSize(<const char*>&self.fact, sizeof(intended_t)),
                    PyBytes_FromStringAndSize(self.text, self.text_n), now)
        return 0

    def claim(self, uint64_t key) -> bool:
        """Whether an intent was handed over before it came. Raises RuntimeError where another one was."""
        if self.ahead and self.ahead != key:
            raise RuntimeError(f"order {self.fact.number} was decided for another intent than {key}")
        self.ahead, found = 0, self.ahead != 0
        return found

    @property
    def key(self):
        """Of the intent that was approved last."""
        return <uint64_t>self.fact.strategy << 48 | self.fact.source

    @property
    def number(self):
        """Of its order."""
        return self.fact.number

    @property
    def record(self):
        """Its fact, as the journal has it."""
        return PyBytes_FromStringAndSize(<const char*>&self.fact, sizeof(intended_t))

    @property
    def body(self):
        """What is sent of it."""
        return PyBytes_FromStringAndSize(self.text, self.text_n)

    cdef bint take_unseen(self, wish_t* w, int64_t now, int64_t mono) noexcept nogil:
        """The same of terms that nobody looked at; its type is what its prices make it."""
        cdef uint32_t slot = self.ledger.position_slot(w.strategy, w.instrument, False)
        if slot >= self.pairs_room or (w.limit_px and not _on_tick(&self.pairs[slot], w.limit_px)) or \
                (w.stop_px and not _on_tick(&self.pairs[slot], w.stop_px)):
            return False
        w.type = (ORDER_STOP_LIMIT if w.limit_px else ORDER_STOP) if w.stop_px else ORDER_LIMIT if w.limit_px else ORDER_MARKET
        return self.take(w, now, mono)

    cdef bint take(self, const wish_t* w, int64_t now, int64_t mono) noexcept nogil:
        cdef uint32_t slot = self.ledger.position_slot(w.strategy, w.instrument, False)
        cdef intended_t* f = &self.fact
        cdef const pair_t* pair
        cdef plain_t plain
        cdef order_t order
        if not self.is_open or not self.since <= now < self.until or slot >= self.pairs_room or not self.pairs[slot].known:
            return False
        pair = &self.pairs[slot]
        if not pair.since <= now < pair.until or (w.valid_until and now > w.valid_until) or not 1 <= w.tif <= TIF_FOK or \
                not ORDER_MARKET <= w.type <= ORDER_STOP_LIMIT or (w.side != SIDE_BUY and w.side != SIDE_SELL):
            return False
        plain = plain_t(w.instrument, w.side, w.qty, w.limit_px, w.stop_px, pair.one, w.tif == TIF_DAY, pair.shortable, pair.easy)
        order = order_t(<uint64_t>w.strategy << 48 | w.source, 0, w.qty, w.limit_px, w.stop_px, 0, w.instrument, w.strategy, w.side,
                        w.type, w.reduce_only, False, False)
        # What reserves comes last: nothing after it may say no.
        if not self.marked(now) or not self.screen.is_clean(&plain) or not self.write(w, pair, self.last + 1) or \
                self.gate.check_order(&order, now, mono, False):
            return False
        self.is_open = False
        f.kind, f.zero, f.signal, f.rest, f.replaces = KIND_INTENDED, 0, 0, 0, 0
        f.instrument, f.strategy, f.source, f.ts = w.instrument, w.strategy, w.source, now
        f.number = f.root = self.last + 1
        f.qty, f.limit_px, f.stop_px, f.valid_until = w.qty, w.limit_px, w.stop_px, w.valid_until
        f.approval += 1
        f.ref_px = self.gate.look.ref_px
        f.side, f.type, f.tif, f.bits = w.side, w.type, w.tif, BIT_REDUCE_ONLY if w.reduce_only else 0
        return True

    cdef bint marked(self, int64_t now) noexcept nogil:
        """Mark where that is due; False where the mark leads to a fact, or cannot be made."""
        cdef i128 pnl
        if not self.dirty and not (self.mark_at and now >= self.mark_at):
            return True
        if self.exits:
            return False
        self.gate.value(now)
        pnl = self.gate.pnl
        if self.gate.unmarked or (self.daily >= 0 and self.gate.baseline - pnl >= self.daily) or \
                (self.drawdown >= 0 and self.gate.peak - pnl >= self.drawdown) or \
                (self.days >= 0 and self.gate.days_peak - pnl >= self.days):
            return False
        return self.peak_from < 0 or now < self.peak_from or self.gate.peak < self.peak

    cdef bint write(self, const wish_t* w, const pair_t* pair, uint64_t number) noexcept nogil:
        cdef text_t values[VALUES]
        cdef char cid[MOST_PREFIX + TAIL]
        cdef char qty[UNITS_ROOM]
        cdef char limit[UNITS_ROOM]
        cdef char stop[UNITS_ROOM]
        cdef char* end
        memcpy(cid, self.prefix, self.prefix_n)
        values[0] = _text(pair.symbol, pair.symbol_n)
        values[1] = _text(qty, units_text(w.qty, pair.exp, qty))
        values[2] = _word(SIDES[w.side])
        values[3] = _word(TYPES[w.type])
        values[4] = _word(TIFS[w.tif])
        values[5] = _text(cid, self.prefix_n + put_tail(cid + self.prefix_n, number, self.remainder))
        values[6] = _text(limit, units_text(w.limit_px, 9, limit) if w.limit_px else 0)
        values[7] = _text(stop, units_text(w.stop_px, 9, stop) if w.stop_px else 0)
        end = put_body(self.text, values)
        if end == NULL:
            return False
        self.text_n = end - self.text
        return True
