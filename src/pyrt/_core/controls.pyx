"""Every pre-trade control and the reservation in one step."""
cimport cython
from cpython.buffer cimport PyBuffer_Release
from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from pyrt._core.buffers cimport open_records
from pyrt._core.codes cimport (
    CODES, CODE_ARITHMETIC_OVERFLOW, CODE_BUYING_POWER, CODE_CANCEL_RATIO, CODE_DAILY_LOSS, CODE_DRAWDOWN, CODE_DUPLICATE,
    CODE_GROSS_EXPOSURE, CODE_HALTED, CODE_KILLED, CODE_LIMIT_MISSING, CODE_MARKET_CLOSED, CODE_NET_EXPOSURE, CODE_NOT_RECONCILED,
    CODE_OPEN_ORDER_COUNT, CODE_OPEN_ORDER_VALUE, CODE_ORDER_QTY, CODE_ORDER_RATE, CODE_PARENT_EXCEEDED, CODE_POSITION_LIMIT,
    CODE_REDUCE_ONLY, CODE_REPEAT_EXEC, CODE_RESTRICTED, CODE_SELF_MATCH, CODE_SHORT_NOT_ALLOWED, CODE_STALE_DATA, CODE_THROTTLE,
    LEVEL_ACTIVE, LEVEL_HALTED, LEVEL_REDUCING,
)
from pyrt._core.ledger cimport counted, fits_i64, i128_abs, i128_hi, i128_lo, i128_max, i128_min, money_of, notional_px, px_widen
from pyrt._core.ledger cimport position_t, reservation_t
from pyrt._core.prices cimport OFF, ORDER_LIMIT, ORDER_MARKET, ORDER_STOP_LIMIT, ORDER_TRAILING_STOP, last_good, rules_t
from pyrt._core.types cimport FLAG_HALTED, SIDE_BUY, SIDE_SELL, i128_to_object
from pyrt._core.windows cimport bucket_empty, bucket_take, bucket_used, ring_back, ring_count, ring_full

from pyrt._core.codes import UNITS, Code, Failure


# One order of a batch, as `check` takes it apart: order_t, whose size the array must have.
order_dtype = np.dtype([("key", "<u8"), ("replaces", "<u8"), ("qty", "<i8"), ("limit_px", "<i8"), ("stop_px", "<i8"), ("trail", "<i8"),
                        ("instrument", "<u4"), ("strategy", "<u2"), ("side", "u1"), ("type", "u1"), ("reduce_only", "u1"),
                        ("extended", "u1"), ("auction", "u1")], align=True)
assert order_dtype.itemsize == sizeof(order_t)

cdef enum:
    LIST_TOO_OLD = 3                   # beside bounds_t.restricted, what RESTRICTED observes
    CLOCK_DENIES = 100_000_000         # ns that our clock may be off the venue's
    UNPRICED = -1                      # in place of the age that STALE_DATA bounds: instruments that have no price at all

cdef ref_t _NO_REF
cdef position_t _NO_POSITION
memset(&_NO_REF, 0, sizeof(ref_t))
memset(&_NO_POSITION, 0, sizeof(position_t))


cdef inline bint same(const order_t* a, const order_t* b) noexcept nogil:
    return a.strategy == b.strategy and a.instrument == b.instrument and a.side == b.side and a.type == b.type and \
        a.qty == b.qty and a.limit_px == b.limit_px and a.stop_px == b.stop_px and a.trail == b.trail and a.replaces == b.replaces


cdef inline int64_t short_px(int64_t px, const ref_t* ref, int64_t ref_px) noexcept nogil:
    """What a share that is sold short counts at: the venue's max(limit, 103 % of the ask)."""
    cdef int64_t ask = px_widen(ref.ask_px if ref.ask_px > 0 else ref_px, SHORT_BPS, True)
    return px if px > ask else ask


cdef class Controls(Prices):
    """Checks an order against every control and reserves it in the same step; Gate says what the controls know.

    `refs` is a ref_dtype array (row = instrument id) that the market stage writes; times are ns given by the caller.
    """

    def __cinit__(self, Ledger ledger not None, const ref_t[::1] refs not None):
        self.ledger = ledger
        self.refs = refs
        self.books = []
        memset(&self.rules, 0xff, sizeof(rules_t))           # -1 everywhere: every limit is missing
        self.buying_power = -1
        self.lists_until = INT64_MAX
        self.strategy_throttle = <int64_t*>calloc(1 << 16, sizeof(int64_t))
        self.strategy_level = <uint8_t*>calloc(1 << 16, 1)
        self.sent = <sent_t*>calloc(SENT, sizeof(sent_t))
        if not (self.strategy_throttle and self.strategy_level and self.sent) or not self.grow(63) or self.activity(63) == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.bounds)
        free(self.tapes)
        free(self.activities)
        free(self.strategy_throttle)
        free(self.strategy_level)
        free(self.sent)

    cdef bint grow(self, uint32_t instrument) noexcept nogil:
        cdef uint32_t room = self.instruments if self.instruments else 64
        cdef bounds_t* bounds
        cdef tape_t* tapes
        if instrument < self.instruments:
            return True
        while room <= instrument:
            room *= 2
        bounds = <bounds_t*>calloc(room, sizeof(bounds_t))
        tapes = <tape_t*>calloc(room, sizeof(tape_t))
        if bounds == NULL or tapes == NULL:
            free(bounds)
            free(tapes)
            return False
        if self.instruments:
            memcpy(bounds, self.bounds, self.instruments * sizeof(bounds_t))
            memcpy(tapes, self.tapes, self.instruments * sizeof(tape_t))
        free(self.bounds)
        free(self.tapes)
        self.bounds = bounds
        self.tapes = tapes
        self.instruments = room
        return True

    cdef activity_t* activity(self, uint32_t position) noexcept nogil:
        cdef uint32_t room = self.activities_room if self.activities_room else 64
        cdef activity_t* rows
        if position >= self.activities_room:
            while room <= position:
                room *= 2
            rows = <activity_t*>calloc(room, sizeof(activity_t))
            if rows == NULL:
                return NULL
            if self.activities_room:
                memcpy(rows, self.activities, self.activities_room * sizeof(activity_t))
            free(self.activities)
            self.activities = rows
            self.activities_room = room
        return &self.activities[position]

    cdef uint64_t check_order(self, const order_t* order, int64_t now, int64_t mono, bint every) noexcept nogil:
        cdef look_t* k = &self.look
        cdef uint32_t slot
        cdef uint32_t i = order.instrument
        self.failed = 0
        self.every = every
        if self.ledger.broken:
            self.fail(CODE_ARITHMETIC_OVERFLOW, 0, 0)
            return self.failed
        if i >= self.instruments or i >= self.ledger.instruments or self.ledger.terms[i].scale == 0 or not self.rules_complete \
                or not self.bounds[i].complete:
            self.fail(CODE_LIMIT_MISSING, 0, i)
            return self.failed
        k.order = order
        k.now = now
        k.mono = mono
        k.terms = self.ledger.terms[i]
        k.account = &self.ledger.accounts[i]
        slot = self.ledger.position_slot(order.strategy, i, False)
        k.own = &self.ledger.positions[slot] if slot else &_NO_POSITION
        k.activity = &self.activities[slot] if 0 < slot < self.activities_room else NULL
        k.bounds = &self.bounds[i]
        k.tape = &self.tapes[i]
        k.ref = &self.refs[i] if i < self.refs.shape[0] else &_NO_REF
        slot = self.ledger.find(order.replaces) if order.replaces else 0
        k.replaced = &self.ledger.reservations[slot] if slot else NULL
        k.n = order.qty
        if order.replaces and (k.replaced == NULL or k.replaced.pending_px or k.replaced.account != i or k.replaced.side != order.side
                               or k.replaced.strategy != order.strategy or k.replaced.leaves == 0):
            self.fail(CODE_PARENT_EXCEEDED, 0, 0)
            return self.failed
        if self.size(k) or self.gates(k):
            return self.failed
        self.refer(k)
        if self.price(k) or self.position(k) or self.portfolio(k) or self.crossing(k) or self.repeated(k) or self.rate(k):
            return self.failed
        if self.failed == 0 and not self.measuring and not self.reserve(k):
            self.fail(CODE_ARITHMETIC_OVERFLOW, 0, 0)
        return self.failed

    @cython.final
    cdef bint size(self, look_t* k) noexcept nogil:
        cdef const order_t* o = k.order
        cdef i128 q = k.account.qty, buys = k.account.buys, sells = k.account.sells
        cdef i128 own = k.own.qty, own_buys = k.own.buys, own_sells = k.own.sells
        if o.qty <= 0 or (k.terms.lot > 1 and o.qty % k.terms.lot):
            self.fail(CODE_ORDER_QTY, k.terms.lot, o.qty)
            return True                                      # no later control can mean anything
        if (o.side != SIDE_BUY and o.side != SIDE_SELL) or not ORDER_MARKET <= o.type <= ORDER_TRAILING_STOP:
            self.fail(CODE_ORDER_QTY, 0, o.type)
            return True
        if o.qty > k.bounds.qty and self.fail(CODE_ORDER_QTY, k.bounds.qty, o.qty):
            return True
        if k.replaced != NULL:
            if o.qty <= k.replaced.filled:
                self.fail(CODE_ORDER_QTY, k.replaced.filled, o.qty)
                return True
            k.n = o.qty - k.replaced.filled
            if k.n < k.replaced.leaves:
                k.n = k.replaced.leaves
            if o.side == SIDE_BUY:
                buys = buys - counted(k.replaced)
                own_buys = own_buys - counted(k.replaced)
            else:
                sells = sells - counted(k.replaced)
                own_sells = own_sells - counted(k.replaced)
        if o.side == SIDE_BUY:
            k.reducing = q < 0 and k.n <= -q - buys
            k.own_reducing = own < 0 and k.n <= -own - own_buys
            buys = buys + k.n
            own_buys = own_buys + k.n
        else:
            k.reducing = q > 0 and k.n <= q - sells
            k.own_reducing = own > 0 and k.n <= own - own_sells
            sells = sells + k.n
            own_sells = own_sells + k.n
            if q - sells < 0 and not self.shortable(k, q - sells + k.n) and self.fail(CODE_SHORT_NOT_ALLOWED, q - sells + k.n, k.n):
                return True
        k.up = q + buys
        k.down = q - sells
        k.own_up = own + own_buys
        k.own_down = own - own_sells
        if not (fits_i64(k.up) and fits_i64(k.down) and fits_i64(k.own_up) and fits_i64(k.own_down)):
            self.fail(CODE_ARITHMETIC_OVERFLOW, INT64_MAX, i128_max(i128_abs(k.up), i128_abs(k.down)))
            return True
        if o.reduce_only and not k.own_reducing:
            if self.fail(CODE_REDUCE_ONLY, i128_max((-k.own_up if o.side == SIDE_BUY else k.own_down) + k.n, 0), k.n):
                return True
        if k.replaced != NULL and o.qty - k.replaced.filled <= k.replaced.leaves and o.limit_px > 0 and \
                (o.limit_px <= k.replaced.cross_px if o.side == SIDE_BUY else o.limit_px >= k.replaced.cross_px):
            k.reducing = k.own_reducing = True               # fewer at no more eager a price enlarges nothing
        if o.qty <= k.bounds.adv_qty or (k.reducing and k.bounds.adv_qty == 0):    # no history holds up no exit
            return False
        return self.fail(CODE_ORDER_QTY, k.bounds.adv_qty, o.qty)

    @cython.final
    cdef bint gates(self, look_t* k) noexcept nogil:
        cdef int level = self.system_level if self.system_level > self.account_level else self.account_level
        if <int>k.tape.level > level:
            level = k.tape.level
        if (level >= LEVEL_HALTED or (level == LEVEL_REDUCING and not k.reducing)) and self.fail(CODE_KILLED, LEVEL_ACTIVE, level):
            return True
        level = self.strategy_level[k.order.strategy]
        if (level >= LEVEL_HALTED or (level == LEVEL_REDUCING and not k.own_reducing)) and self.fail(CODE_KILLED, LEVEL_ACTIVE, level):
            return True
        if (self.gate_open == 0 or (self.gate_open == 1 and not k.reducing)) and self.fail(CODE_NOT_RECONCILED, 2, self.gate_open):
            return True
        if (k.tape.unknown or k.tape.broken) and not k.reducing and self.fail(CODE_NOT_RECONCILED, 0, k.tape.unknown + k.tape.broken):
            return True
        if self.clock_off and not (k.reducing or k.order.reduce_only or self.measuring) and \
                self.fail(CODE_STALE_DATA, CLOCK_DENIES, self.clock_off):
            return True
        if k.bounds.restricted and (k.bounds.restricted > 1 or not k.reducing) and self.fail(CODE_RESTRICTED, 0, k.bounds.restricted):
            return True
        if k.now >= self.lists_until and not k.reducing and self.fail(CODE_RESTRICTED, 0, LIST_TOO_OLD):
            return True
        if not k.order.auction and not (k.tape.scheduled and (k.tape.close == 0 or k.tape.open <= k.now < k.tape.close)) and \
                self.closed(k):
            return True
        if k.ref.flags & FLAG_HALTED and self.fail(CODE_HALTED, 0, 1):
            return True
        if self.market_halted and k.bounds.equity and self.fail(CODE_HALTED, 0, 2):
            return True
        if not k.reducing and self.pnl - self.baseline <= -self.rules.daily_loss and \
                self.fail(CODE_DAILY_LOSS, -self.rules.daily_loss, self.pnl - self.baseline):
            return True
        if not k.reducing and self.pnl <= self.peak - self.rules.drawdown and \
                self.fail(CODE_DRAWDOWN, -self.rules.drawdown, self.pnl - self.peak):
            return True
        return not k.reducing and self.pnl <= self.days_peak - self.rules.days_drawdown and \
            self.fail(CODE_DRAWDOWN, -self.rules.days_drawdown, self.pnl - self.days_peak)

    cdef bint shortable(self, look_t* k, i128 free) noexcept nogil:
        # From long to short is two orders, and the second waits for the end of the first: `free` must be nothing that is held.
        cdef tape_t* t = k.tape
        if k.replaced != NULL and k.order.qty - k.replaced.filled <= k.replaced.leaves and k.order.limit_px >= k.replaced.cross_px > 0:
            return True                                      # an order may always shrink
        if not k.bounds.shorts or k.account.qty > 0 or free > 0 or k.now >= t.short_until or k.n % k.bounds.share:
            return False
        if 0 < k.ref.last_px <= t.ssr_px and not self.measuring:
            t.ssr_until = INT64_MAX                          # for the day and the next: until new history is told
        if k.now >= t.ssr_until and t.ssr_px > 0:
            return True
        return k.order.limit_px > k.ref.bid_px > 0 and (k.order.type == ORDER_LIMIT or k.order.type == ORDER_STOP_LIMIT)

    cdef bint closed(self, look_t* k) noexcept nogil:
        cdef int64_t opens = k.tape.open, closes = k.tape.close
        if k.order.extended and k.order.type == ORDER_LIMIT and k.tape.scheduled:
            opens = k.tape.pre_open
            closes = k.tape.post_close
            if opens <= k.now < closes:
                return False
        return self.fail(CODE_MARKET_CLOSED, opens if k.now < opens else closes, k.now)

    @cython.final
    cdef bint position(self, look_t* k) noexcept nogil:
        cdef i128 worst = i128_max(i128_abs(k.up), i128_abs(k.down))
        cdef int64_t px
        self.contribute(k.order.instrument)
        if k.replaced != NULL and k.replaced.px > k.worst_px:
            k.worst_px = k.replaced.px                       # until the venue has answered, the worse of the two
        px = k.worst_px if k.worst_px > k.tape.px else k.tape.px     # a stop below the market does not cheapen what is held
        if not (money_of(px, k.up, k.terms.scale, &k.long_) and money_of(px, k.down, k.terms.scale, &k.short_)):
            return self.fail(CODE_ARITHMETIC_OVERFLOW, 0, worst)
        k.reach = i128_max(i128_abs(k.long_), i128_abs(k.short_))
        if not k.reducing:
            self.limit_in_money = False
            if worst > k.bounds.position_qty and self.fail(CODE_POSITION_LIMIT, k.bounds.position_qty, worst):
                return True
            if k.reach > k.bounds.position_notional:
                self.limit_in_money = not self.failed & CODE_POSITION_LIMIT
                if self.fail(CODE_POSITION_LIMIT, k.bounds.position_notional, k.reach):
                    return True
        worst = i128_max(i128_abs(k.own_up), i128_abs(k.own_down))
        if not self.failed & CODE_POSITION_LIMIT:
            self.limit_in_money = False
        return not k.own_reducing and worst > k.bounds.strategy_qty and self.fail(CODE_POSITION_LIMIT, k.bounds.strategy_qty, worst)

    @cython.final
    cdef i128 cost_of(self, const order_t* o, int64_t n, int64_t px, i128 q, i128 buys, i128 sells) noexcept nogil:
        """Buying power that n of an order needs: what covers a short or sells a long needs none."""
        cdef i128 free = -q - buys if o.side == SIDE_BUY else q - sells, value = 0
        if not money_of(px, n - i128_min(n, i128_max(free, 0)), self.ledger.terms[o.instrument].scale, &value):
            self.ledger.broken = True
        return value

    @cython.final
    cdef void contribute(self, uint32_t i) noexcept nogil:
        """Refresh what an instrument adds to the worst-case sums, at its last known price."""
        cdef tape_t* t = &self.tapes[i]
        cdef const position_t* a = &self.ledger.accounts[i] if i < self.ledger.instruments else &_NO_POSITION
        cdef const ref_t* ref = &self.refs[i] if i < self.refs.shape[0] else &_NO_REF
        cdef int64_t px = ref.ask_px if ref.ask_px > 0 else ref.last_px if ref.last_px > 0 else ref.bid_px
        cdef int64_t scale = self.ledger.terms[i].scale if i < self.ledger.instruments else 0
        cdef i128 up = a.qty + a.buys, down = a.qty - a.sells
        cdef i128 gross = 0, long_ = 0, short_ = 0
        cdef bint counts = up != 0 or down != 0, unpriced
        if px <= 0:
            px = self.unquoted(i) if counts else 0
        if px == t.px and up == t.up and down == t.down and scale == t.scale:    # nothing changed: nearly always, where orders follow each other
            return
        if not (money_of(px, up, scale, &long_) and money_of(px, down, scale, &short_)):
            self.ledger.broken = True
        gross = i128_max(i128_abs(long_), i128_abs(short_))
        unpriced = counts and px <= 0
        if unpriced != <bint>t.unpriced:
            t.unpriced = unpriced
            self.unpriced += 1 if unpriced else -1
        t.px = px
        t.scale = scale
        t.up = up
        t.down = down
        self.gross = self.gross + gross - t.gross
        self.net_long = self.net_long + long_ - t.net_long
        self.net_short = self.net_short + short_ - t.net_short
        t.gross = gross
        t.net_long = long_
        t.net_short = short_

    cdef int64_t unquoted(self, uint32_t i) noexcept nogil:
        """What counts without a quote or trade counts at: the last good price, or what an order of it asks, beyond the haircut; 0 = none."""
        cdef int64_t px = last_good(&self.tapes[i])
        cdef uint32_t slot = self.ledger.first[i] if px <= 0 and i < self.ledger.instruments else 0
        while slot and px <= 0:
            px = self.ledger.reservations[slot].px
            slot = self.ledger.reservations[slot].next
        return px_widen(px, self.rules.haircut_bps if self.rules.haircut_bps > 0 else 0, True) if px > 0 else 0

    @cython.final
    cdef bint portfolio(self, look_t* k) noexcept nogil:
        cdef i128 gross, up, down, value, before = 0
        cdef const position_t* a = k.account
        cdef rules_t* rules = &self.rules
        if (self.unpriced or self.unmarked) and not (k.reducing or self.measuring) and \
                self.fail(CODE_STALE_DATA, UNPRICED, self.unpriced if self.unpriced > self.unmarked else self.unmarked):
            return True
        gross = self.gross - k.tape.gross + k.reach
        up = i128_abs(self.net_long - k.tape.net_long + k.long_)
        down = i128_abs(self.net_short - k.tape.net_short + k.short_)
        if not k.reducing and ((gross > rules.gross and self.fail(CODE_GROSS_EXPOSURE, rules.gross, gross)) or
                               (i128_max(up, down) > rules.net and self.fail(CODE_NET_EXPOSURE, rules.net, i128_max(up, down)))):
            return True
        value = k.notional
        if k.replaced != NULL:
            money_of(k.replaced.px, k.replaced.leaves, k.terms.scale, &before)
            money_of(k.worst_px, k.n, k.terms.scale, &value)     # fits: up or down above is not smaller in size
        value = self.ledger.order_value + i128_max(value - before, 0)
        if not k.reducing and value > rules.open_value and self.fail(CODE_OPEN_ORDER_VALUE, rules.open_value, value):
            return True
        if k.replaced == NULL and self.ledger.order_count >= rules.open_count and \
                self.fail(CODE_OPEN_ORDER_COUNT, rules.open_count, self.ledger.order_count + 1):
            return True
        if rules.filled_loss < <i128>OFF * OFF and not k.reducing:
            value = self.pnl - self.baseline - self.filled_loss(k)
            if value <= -rules.filled_loss and self.fail(CODE_DAILY_LOSS, -rules.filled_loss, value):
                return True
        value = a.buys if k.order.side == SIDE_BUY else a.sells
        if k.replaced != NULL:
            value = value - counted(k.replaced)
        k.cost = self.cost_of(k.order, k.n, k.worst_px if k.order.side == SIDE_BUY else short_px(k.worst_px, k.ref, k.ref_px), a.qty,
                              value, value)
        before = k.replaced.cost if k.replaced != NULL else 0
        value = self.ledger.held + self.ledger.spent + k.cost - before
        if k.cost > before and value > self.buying_power:
            return self.fail(CODE_BUYING_POWER, i128_max(self.buying_power, 0), value)
        return False

    cdef i128 filled_loss(self, look_t* k) noexcept nogil:
        """What the day would lose more if this order and all open ones filled at their worst and were marked at the collar."""
        cdef i128 total
        cdef const position_t* a
        cdef const reservation_t* r
        cdef int64_t cross = k.cross_px
        cdef uint32_t i
        if k.replaced != NULL and (k.replaced.cross_px > cross) == (k.order.side == SIDE_BUY):
            cross = k.replaced.cross_px                      # the old order may fill yet
        total = self.loss_of(k.order.instrument, k.order.side, k.n, k.worst_px, cross, False)
        for i in range(1, self.ledger.reservations_used):
            r = &self.ledger.reservations[i]
            if r.key and r != k.replaced:
                a = &self.ledger.accounts[r.account]
                cross = r.cross_px
                if r.pending and (r.pending_cross > cross) == (r.side == SIDE_BUY):
                    cross = r.pending_cross
                total = total + self.loss_of(r.account, r.side, counted(r), notional_px(r), cross,
                                             a.qty + a.buys <= 0 if r.side == SIDE_BUY else a.qty - a.sells >= 0)
        return total

    cdef i128 loss_of(self, uint32_t i, int side, int64_t n, int64_t px, int64_t cross, bint closing) noexcept nogil:
        cdef const ref_t* ref = &self.refs[i] if i < self.refs.shape[0] else &_NO_REF
        cdef int64_t collar = self.bounds[i].collar_bps if i < self.instruments and self.bounds[i].collar_bps > 0 else 0
        cdef bint buy = side == SIDE_BUY
        cdef int64_t at = ref.bid_px if buy != closing else ref.ask_px
        cdef int64_t mark
        cdef i128 value = 0
        if at <= 0:
            at = ref.last_px if ref.last_px > 0 else px
        if buy:
            mark = at if closing else px_widen(at, -collar, False)
            value = <i128>(px if cross == INT64_MAX else cross) - mark
        else:
            mark = at if closing else px_widen(at, collar, True)
            value = <i128>mark - (cross if cross > 0 else px_widen(at, -collar, False))
        if value <= 0:
            return 0
        if not fits_i64(value) or not money_of(<int64_t>value, n, self.ledger.terms[i].scale, &value):
            self.ledger.broken = True
        return value

    @cython.final
    cdef bint crossing(self, look_t* k) noexcept nogil:
        cdef bint buy = k.order.side == SIDE_BUY
        cdef uint32_t slot
        cdef const reservation_t* r
        cdef int64_t other
        if (k.account.sells if buy else k.account.buys) == 0:
            return False
        slot = self.ledger.first[k.order.instrument]
        while slot:
            r = &self.ledger.reservations[slot]
            if r.side != k.order.side and counted(r) > 0:
                other = r.cross_px
                if r.pending and (r.pending_cross < other if buy else r.pending_cross > other):
                    other = r.pending_cross
                if (k.cross_px >= other if buy else k.cross_px <= other):
                    self.crossed = r.key
                    return self.fail(CODE_SELF_MATCH, other, k.cross_px)
            slot = r.next
        return False

    @cython.final
    cdef bint repeated(self, look_t* k) noexcept nogil:
        cdef const order_t* o = k.order
        cdef const order_t* w
        cdef rules_t* rules = &self.rules
        cdef int side = 0 if o.side == SIDE_BUY else 1
        cdef int64_t waiting = 0
        cdef uint64_t i = self.sent_count, last = self.sent_count - SENT if self.sent_count > SENT else 0
        cdef uint32_t j
        for j in range(self.waiting_count):
            w = &self.waiting[j].order
            if w.strategy == o.strategy and w.instrument == o.instrument and w.side == o.side:
                waiting += 1
                if w.key == o.key or (same(w, o) and k.now - self.waiting[j].at < rules.duplicate_window):
                    if self.fail(CODE_DUPLICATE, rules.duplicate_window, k.now - self.waiting[j].at):
                        return True
        while i > last:
            i -= 1
            if k.now - self.sent[i % SENT].at >= rules.duplicate_window:
                break
            if same(&self.sent[i % SENT].order, o) and \
                    self.fail(CODE_DUPLICATE, rules.duplicate_window, k.now - self.sent[i % SENT].at):
                return True
        if k.replaced == NULL and self.ledger.find(o.key) and self.fail(CODE_DUPLICATE, 0, 0):
            return True
        if k.own_reducing:                                   # what is held bounds it; a latch that it closed would not stop it either
            return False
        if k.activity == NULL:
            return waiting >= rules.repeat_max and self.fail(CODE_REPEAT_EXEC, rules.repeat_max, waiting + 1)
        if (ring_full(&k.activity.sends[side], rules.repeat_max, waiting, rules.repeat_window, k.now) or
                ring_full(&k.activity.execs[side], rules.repeat_max, 0, rules.repeat_window, k.now)) and \
                self.fail(CODE_REPEAT_EXEC, rules.repeat_max, rules.repeat_max + 1):
            return True
        return ring_full(&k.activity.trips, rules.round_trips, 0, rules.repeat_window, k.now) and \
            self.fail(CODE_REPEAT_EXEC, rules.round_trips, rules.round_trips + 1)

    @cython.final
    cdef bint rate(self, look_t* k) noexcept nogil:
        cdef const order_t* o = k.order
        cdef rules_t* rules = &self.rules
        cdef int64_t all_ = self.waiting_count, strategy = 0, symbol = 0, cancels, fills
        cdef uint32_t j
        for j in range(self.waiting_count):
            strategy += self.waiting[j].order.strategy == o.strategy
            symbol += self.waiting[j].order.instrument == o.instrument
        if self.account_throttle == 0:                       # a start assumes that half of the venue's budget is spent
            self.account_throttle = k.mono + rules.account_interval * (rules.account_burst / 2)
        if bucket_empty(self.account_throttle, k.mono, rules.account_interval, rules.account_burst, 0) or all_ == WAITING:
            if self.fail(CODE_THROTTLE, rules.account_burst - rules.account_burst / 5,
                         bucket_used(self.account_throttle, k.mono, rules.account_interval, 0)):
                return True
        if bucket_empty(self.strategy_throttle[o.strategy], k.now, rules.strategy_interval, rules.strategy_burst, strategy) and \
                self.fail(CODE_THROTTLE, rules.strategy_burst - rules.strategy_burst / 5,
                          bucket_used(self.strategy_throttle[o.strategy], k.now, rules.strategy_interval, strategy)):
            return True
        if bucket_empty(k.tape.throttle, k.now, rules.symbol_interval, rules.symbol_burst, symbol) and \
                self.fail(CODE_THROTTLE, rules.symbol_burst - rules.symbol_burst / 5,
                          bucket_used(k.tape.throttle, k.now, rules.symbol_interval, symbol)):
            return True
        if not k.reducing and ring_full(&k.tape.sends, rules.rate_max, symbol, rules.rate_window, k.now) and \
                self.fail(CODE_ORDER_RATE, rules.rate_max, rules.rate_max + 1):
            return True
        if not k.reducing and ring_back(&k.tape.cancels, rules.cancel_ratio + 1) > k.now - rules.cancel_window:
            cancels = ring_count(&k.tape.cancels, rules.cancel_window, k.now)
            fills = ring_count(&k.tape.fills, rules.cancel_window, k.now)
            if cancels > rules.cancel_ratio * (fills if fills > 1 else 1):
                return self.fail(CODE_CANCEL_RATIO, rules.cancel_ratio * (fills if fills > 1 else 1), cancels)
        return False

    @cython.final
    cdef bint reserve(self, look_t* k) noexcept nogil:
        cdef const order_t* o = k.order
        cdef uint32_t slot
        cdef reservation_t* r
        if k.replaced != NULL:
            slot = self.ledger.find(o.replaces)
            r = &self.ledger.reservations[slot]
            r.pending_cross = k.cross_px
            self.ledger.price(slot, r.px, k.worst_px)
            self.ledger.hold(slot, r.cost, i128_max(k.cost - r.cost, 0))
            self.ledger.shift(slot, r.leaves, o.qty - r.filled)
        else:
            slot = self.ledger.put(o.key, o.strategy, o.instrument, o.side, o.qty, k.worst_px, k.cross_px)
            if slot == 0:
                return False
            self.ledger.hold(slot, k.cost, 0)
        self.contribute(o.instrument)                        # what is approved next in another instrument sees it
        self.waiting[self.waiting_count].order = o[0]
        self.waiting[self.waiting_count].at = k.now
        self.waiting_count += 1
        self.account_throttle = bucket_take(self.account_throttle, k.mono, self.rules.account_interval)
        return True

    cdef bint forget(self, uint64_t key) noexcept nogil:
        cdef uint32_t j
        for j in range(self.waiting_count):
            if self.waiting[j].order.key == key:
                self.waiting_count -= 1
                self.waiting[j] = self.waiting[self.waiting_count]
                return True
        return False

    def check(self, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int kind, int64_t qty, int64_t limit_px=0,
              int64_t stop_px=0, *, int64_t now, int64_t mono, int64_t trail=0, bint reduce_only=False, bint extended=False,
              bint auction=False, uint64_t replaces=0, bint every=True):
        """Check and reserve an order: 0 = allowed and reserved, else the Code bits that failed (only the first unless `every`).

        now: venue ns, mono: monotonic ns. `replaces` is the key of the chain that the order changes; its reservation then grows
        to the larger of both until `settle`. trail: of a trailing stop, px units, below 0 parts of 1e9. auction: its hours were checked.
        `failures` holds the numbers until the next check.
        """
        cdef order_t order = order_t(key, replaces, qty, limit_px, stop_px, trail, instrument, strategy, side, kind, reduce_only, extended,
                                     auction)
        return self.check_order(&order, now, mono, every)

    def check_all(self, orders, *, int64_t now, int64_t mono, bint every=True):
        """Check and reserve orders (an array of order_dtype) in their order, without the GIL: an array of what `check` says of each."""
        cdef Py_buffer view
        cdef uint64_t[::1] codes
        cdef const order_t* order
        cdef Py_ssize_t i, n = open_records(orders, &view, sizeof(order_t))
        try:
            out = np.empty(n, np.uint64)
            codes = out
            order = <const order_t*>view.buf
            with nogil:
                for i in range(n):
                    codes[i] = self.check_order(&order[i], now, mono, every)
        finally:
            PyBuffer_Release(&view)
        return out

    @property
    def failures(self):
        """What the last check denied for, in the order of Code's bits."""
        out = []
        for i in range(CODES):
            if self.failed >> i & 1:
                code = Code(1 << i)
                limit = i128_to_object(i128_lo(self.limits[i]), i128_hi(self.limits[i]))
                observed = i128_to_object(i128_lo(self.observed[i]), i128_hi(self.observed[i]))
                unit = "money" if code == Code.POSITION_LIMIT and self.limit_in_money else UNITS.get(code, "count")
                out.append(Failure(code, limit, observed, unit))
        return out

    @property
    def ref_px(self):
        """The reference price that the last check saw; 0 = none."""
        return self.look.ref_px
