"""The pre-trade gate: every control and the reservation in one step."""
cimport cython
from collections import namedtuple
from enum import IntEnum, IntFlag
from libc.stdint cimport INT64_MAX, INT64_MIN
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from pyrt._core.book cimport OrderBook, book_next, book_open, cursor_t, level_t
from pyrt._core.ledger cimport (
    FILL_OVERFLOW, FILL_UNRESERVED, RESERVED_FIRM, RESERVED_NETTED, RESERVED_REPLACING, RESERVED_UNKNOWN,
    counted, fits_i64, i128_abs, i128_hi, i128_lo, i128_max, i128_min, i128_of, money_add, money_of, px_widen,
)
from pyrt._core.types cimport FLAG_CROSSED, FLAG_GAP, FLAG_HALTED, SIDE_BUY, SIDE_SELL, i128_to_object


cdef extern from *:
    int __builtin_ctzll(unsigned long long x) nogil


class Code(IntFlag):
    """Why an order was denied; R-numbers are those of the specification."""

    ORDER_QTY = CODE_ORDER_QTY
    ORDER_NOTIONAL = CODE_ORDER_NOTIONAL
    PRICE_COLLAR = CODE_PRICE_COLLAR
    SLIPPAGE = CODE_SLIPPAGE
    POSITION_LIMIT = CODE_POSITION_LIMIT
    GROSS_EXPOSURE = CODE_GROSS_EXPOSURE
    NET_EXPOSURE = CODE_NET_EXPOSURE
    OPEN_ORDER_VALUE = CODE_OPEN_ORDER_VALUE
    OPEN_ORDER_COUNT = CODE_OPEN_ORDER_COUNT
    BUYING_POWER = CODE_BUYING_POWER
    PARENT_EXCEEDED = CODE_PARENT_EXCEEDED
    REPEAT_EXEC = CODE_REPEAT_EXEC
    DUPLICATE = CODE_DUPLICATE
    SELF_MATCH = CODE_SELF_MATCH
    SHORT_NOT_ALLOWED = CODE_SHORT_NOT_ALLOWED
    RESTRICTED = CODE_RESTRICTED
    MARKET_CLOSED = CODE_MARKET_CLOSED
    HALTED = CODE_HALTED
    LULD = CODE_LULD
    STALE_DATA = CODE_STALE_DATA
    THROTTLE = CODE_THROTTLE
    ORDER_RATE = CODE_ORDER_RATE
    CANCEL_RATIO = CODE_CANCEL_RATIO
    DAILY_LOSS = CODE_DAILY_LOSS
    DRAWDOWN = CODE_DRAWDOWN
    KILLED = CODE_KILLED
    NOT_RECONCILED = CODE_NOT_RECONCILED
    REDUCE_ONLY = CODE_REDUCE_ONLY
    LIMIT_MISSING = CODE_LIMIT_MISSING
    ARITHMETIC_OVERFLOW = CODE_ARITHMETIC_OVERFLOW


class Level(IntEnum):
    """How far a latch is closed."""

    ACTIVE = LEVEL_ACTIVE
    REDUCING = LEVEL_REDUCING
    HALTED = LEVEL_HALTED
    KILLED = LEVEL_KILLED


RULES = ("max_age", "max_trade_age", "max_spread_bps", "haircut_bps", "gap_bps", "max_slippage_bps", "slippage_absolute",
         "duplicate_window", "repeat_max", "repeat_window", "round_trips", "account_interval", "account_burst", "strategy_interval",
         "strategy_burst", "symbol_interval", "symbol_burst", "rate_max", "rate_window", "cancel_ratio", "cancel_window", "open_count",
         "open_value", "gross", "net", "daily_loss", "drawdown")
BOUNDS = ("notional", "position_notional", "qty", "position_qty", "strategy_qty", "collar_bps", "passive_bps")
UNITS = {Code.ORDER_QTY: "qty", Code.SHORT_NOT_ALLOWED: "qty", Code.REDUCE_ONLY: "qty", Code.POSITION_LIMIT: "qty",
         Code.PRICE_COLLAR: "px", Code.SELF_MATCH: "px", Code.LULD: "px", Code.SLIPPAGE: "bps",
         Code.ORDER_NOTIONAL: "money", Code.GROSS_EXPOSURE: "money", Code.NET_EXPOSURE: "money", Code.OPEN_ORDER_VALUE: "money",
         Code.BUYING_POWER: "money", Code.DAILY_LOSS: "money", Code.DRAWDOWN: "money",
         Code.DUPLICATE: "ns", Code.STALE_DATA: "ns", Code.MARKET_CLOSED: "time"}
Failure = namedtuple("Failure", "code limit observed unit")
Failure.__doc__ = "One control that said no; its numbers are integers in `unit`: qty, px, money (1e-18), ns, time (ns UTC), bps or count."

cdef ref_t _NO_REF
cdef position_t _NO_POSITION
memset(&_NO_REF, 0, sizeof(ref_t))
memset(&_NO_POSITION, 0, sizeof(position_t))


cdef inline void ring_add(ring_t* ring, int64_t at) noexcept nogil:
    cdef int64_t last = ring.at[(ring.n - 1) % RING] if ring.n else INT64_MIN
    ring.at[ring.n % RING] = at if at > last else last      # a clock that steps back frees nothing
    ring.n += 1


cdef inline int64_t ring_back(const ring_t* ring, int64_t k) noexcept nogil:
    """The k-th last time, k from 1; the beginning of time where there were fewer."""
    return ring.at[(ring.n - <uint32_t>k) % RING] if k <= ring.n and k <= RING else INT64_MIN


cdef inline bint ring_full(const ring_t* ring, int64_t limit, int64_t waiting, int64_t window, int64_t now) noexcept nogil:
    """One more now would make more than `limit` within the window."""
    return waiting >= limit or ring_back(ring, limit - waiting) > now - window


cdef int64_t ring_count(const ring_t* ring, int64_t window, int64_t now) noexcept nogil:
    cdef int64_t k = 0
    while k < RING and ring_back(ring, k + 1) > now - window:
        k += 1
    return k


cdef inline bint bucket_empty(int64_t full_at, int64_t now, int64_t interval, int64_t burst, int64_t waiting) noexcept nogil:
    """One more order would go into the last fifth of the bucket, which belongs to cancels."""
    return (full_at if full_at > now else now) + interval * (waiting + 1) - now > interval * (burst - burst / 5)


cdef inline int64_t bucket_used(int64_t full_at, int64_t now, int64_t interval, int64_t waiting) noexcept nogil:
    """Messages that the bucket would hold with one more, rounded up."""
    return ((full_at - now if full_at > now else 0) + interval - 1) / interval + waiting + 1


cdef inline int64_t bucket_take(int64_t full_at, int64_t now, int64_t interval) noexcept nogil:
    return (full_at if full_at > now else now) + interval


cdef inline bint same(const order_t* a, const order_t* b) noexcept nogil:
    return a.strategy == b.strategy and a.instrument == b.instrument and a.side == b.side and a.type == b.type and \
        a.qty == b.qty and a.limit_px == b.limit_px and a.stop_px == b.stop_px and a.replaces == b.replaces


cdef object _money(i128 x):
    return i128_to_object(i128_lo(x), i128_hi(x))


cdef i128 _units(value) except? -1:
    return i128_of(value >> 64, value & 0xffffffffffffffff)


cdef tuple _times(const ring_t* ring):
    return tuple(ring_back(ring, k) for k in range(min(ring.n, RING), 0, -1))


@cython.final
cdef class Gate:
    """Checks an order against every control and reserves it in the same step. Fails closed: what is not set denies.

    `refs` is a ref_dtype array (row = instrument id) that the market stage writes; times are ns given by the caller.
    """

    def __cinit__(self, Ledger ledger not None, const ref_t[::1] refs not None):
        self.ledger = ledger
        self.refs = refs
        self.books = []
        memset(&self.rules, 0xff, sizeof(rules_t))           # -1 everywhere: every limit is missing
        self.buying_power = -1
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

    cdef bint fail(self, uint64_t code, i128 limit, i128 observed) noexcept nogil:
        cdef int bit = __builtin_ctzll(code)
        if not self.failed & code:
            self.limits[bit] = limit
            self.observed[bit] = observed
        self.failed |= code
        return not self.every

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
        if order.replaces and (k.replaced == NULL or k.replaced.pending or k.replaced.account != i or k.replaced.side != order.side
                               or k.replaced.strategy != order.strategy or k.replaced.leaves == 0):
            self.fail(CODE_PARENT_EXCEEDED, 0, 0)
            return self.failed
        if self.size(k) or self.gates(k):
            return self.failed
        self.refer(k)
        if self.price(k) or self.position(k) or self.portfolio(k) or self.crossing(k) or self.repeated(k) or self.rate(k):
            return self.failed
        if self.failed == 0 and not self.reserve(k):
            self.fail(CODE_ARITHMETIC_OVERFLOW, 0, 0)
        return self.failed

    cdef bint size(self, look_t* k) noexcept nogil:
        cdef const order_t* o = k.order
        cdef i128 q = k.account.qty, buys = k.account.buys, sells = k.account.sells
        cdef i128 own = k.own.qty, own_buys = k.own.buys, own_sells = k.own.sells
        if o.qty <= 0 or (k.terms.lot > 1 and o.qty % k.terms.lot):
            self.fail(CODE_ORDER_QTY, k.terms.lot, o.qty)
            return True                                      # no later control can mean anything
        if (o.side != SIDE_BUY and o.side != SIDE_SELL) or not ORDER_MARKET <= o.type <= ORDER_STOP_LIMIT:
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
            if q - sells < 0 and self.fail(CODE_SHORT_NOT_ALLOWED, q - sells + k.n, k.n):
                return True
        k.up = q + buys
        k.down = q - sells
        k.own_up = own + own_buys
        k.own_down = own - own_sells
        if not (fits_i64(k.up) and fits_i64(k.down) and fits_i64(k.own_up) and fits_i64(k.own_down)):
            self.fail(CODE_ARITHMETIC_OVERFLOW, INT64_MAX, i128_max(i128_abs(k.up), i128_abs(k.down)))
            return True
        if o.reduce_only and not k.own_reducing:
            if self.fail(CODE_REDUCE_ONLY, i128_max(i128_abs(own) - (own_sells if own > 0 else own_buys) + k.n, 0), k.n):
                return True
        if k.replaced != NULL and o.qty - k.replaced.filled <= k.replaced.leaves and o.limit_px > 0 and \
                (o.limit_px <= k.replaced.cross_px if o.side == SIDE_BUY else o.limit_px >= k.replaced.cross_px):
            k.reducing = k.own_reducing = True               # fewer at no more eager a price enlarges nothing
        return False

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
        if k.tape.unknown and not k.reducing and self.fail(CODE_NOT_RECONCILED, 0, k.tape.unknown):
            return True
        if k.bounds.restricted and (k.bounds.restricted > 1 or not k.reducing) and self.fail(CODE_RESTRICTED, 0, k.bounds.restricted):
            return True
        if not (k.tape.scheduled and (k.tape.close == 0 or k.tape.open <= k.now < k.tape.close)) and self.closed(k):
            return True
        if k.ref.flags & FLAG_HALTED and self.fail(CODE_HALTED, 0, 1):
            return True
        if not k.reducing and self.pnl - self.baseline <= -self.rules.daily_loss and \
                self.fail(CODE_DAILY_LOSS, -self.rules.daily_loss, self.pnl - self.baseline):
            return True
        return not k.reducing and self.pnl <= self.peak - self.rules.drawdown and \
            self.fail(CODE_DRAWDOWN, -self.rules.drawdown, self.pnl - self.peak)

    cdef bint closed(self, look_t* k) noexcept nogil:
        cdef int64_t opens = k.tape.open, closes = k.tape.close
        if k.order.extended and k.order.type == ORDER_LIMIT and k.tape.scheduled:
            opens = k.tape.pre_open
            closes = k.tape.post_close
            if opens <= k.now < closes:
                return False
        return self.fail(CODE_MARKET_CLOSED, opens if k.now < opens else closes, k.now)

    cdef void refer(self, look_t* k) noexcept nogil:
        # Mid of a quote that is young, two-sided, uncrossed and narrow; else the last trade; else stale, with the last good.
        cdef const ref_t* ref = k.ref
        cdef bint usable = not ref.flags & (FLAG_GAP | FLAG_CROSSED)
        cdef bint quoted = ref.bid_px > 0 and ref.ask_px > ref.bid_px
        cdef int64_t mid = ref.bid_px + (ref.ask_px - ref.bid_px) / 2 if quoted else 0
        k.fresh = True
        if quoted and usable and ref.quote_ts > 0 and k.now - ref.quote_ts <= self.rules.max_age and \
                <i128>(ref.ask_px - ref.bid_px) * 10000 <= <i128>mid * self.rules.max_spread_bps:
            k.ref_px = mid
        elif not ref.flags & FLAG_GAP and ref.last_px > 0 and ref.last_ts > 0 and k.now - ref.last_ts <= self.rules.max_trade_age:
            k.ref_px = ref.last_px
        else:
            k.fresh = False
            k.ref_px = ref.last_px if ref.last_px > 0 else mid

    cdef bint price(self, look_t* k) noexcept nogil:
        cdef const order_t* o = k.order
        cdef bint limited = o.type == ORDER_LIMIT or o.type == ORDER_STOP_LIMIT
        cdef bint stopped = o.type == ORDER_STOP or o.type == ORDER_STOP_LIMIT
        cdef int64_t ask = k.ref.ask_px if k.fresh and k.ref.ask_px > 0 else k.ref_px
        cdef int64_t ref = k.ref_px
        k.worst_px = 0
        k.notional = 0
        k.cost = 0
        k.cross_px = o.limit_px if limited else INT64_MAX if o.side == SIDE_BUY else 0
        if not k.fresh:
            if (not k.reducing or ref <= 0) and self.fail(CODE_STALE_DATA, self.rules.max_age, k.now - k.ref.quote_ts):
                return True
            ref = px_widen(ref, self.rules.haircut_bps, True)
            ask = ref
        if limited and (o.limit_px <= 0 or o.limit_px % (k.terms.tick if o.limit_px >= 1_000_000_000 else k.terms.sub_tick)):
            return self.fail(CODE_PRICE_COLLAR, 0, o.limit_px)
        if stopped and (o.stop_px <= 0 or o.stop_px % (k.terms.tick if o.stop_px >= 1_000_000_000 else k.terms.sub_tick)):
            return self.fail(CODE_PRICE_COLLAR, 0, o.stop_px)
        if k.ref_px <= 0:
            return False                                     # denied as stale above; there is nothing to compare with
        if o.type == ORDER_LIMIT:
            k.worst_px = o.limit_px if o.limit_px > ask else ask
            if self.collar(k, o.limit_px, k.ref_px):
                return True
        elif o.type == ORDER_MARKET:
            k.worst_px = px_widen(ref, k.bounds.collar_bps, True)
        else:
            k.worst_px = o.limit_px if limited else px_widen(o.stop_px, self.rules.gap_bps, True)
            if self.collar(k, o.stop_px, 0) or (limited and self.collar(k, o.limit_px, o.stop_px)):
                return True
        if limited and k.tape.upper_px and (k.tape.close == 0 or k.tape.open <= k.now < k.tape.close) and \
                (o.limit_px > k.tape.upper_px if o.side == SIDE_BUY else o.limit_px < k.tape.lower_px) and \
                self.fail(CODE_LULD, k.tape.upper_px if o.side == SIDE_BUY else k.tape.lower_px, o.limit_px):
            return True
        if k.fresh and not stopped and self.slipping(k, ask):
            return True
        if not money_of(k.worst_px, o.qty, k.terms.scale, &k.notional):
            return self.fail(CODE_ARITHMETIC_OVERFLOW, 0, o.qty)
        return k.notional > k.bounds.notional and self.fail(CODE_ORDER_NOTIONAL, k.bounds.notional, k.notional)

    cdef bint collar(self, look_t* k, int64_t px, int64_t ref) noexcept nogil:
        # ref 0: px is a trigger, held to the wide side both ways, and not where it would fire at once.
        cdef bint buy = k.order.side == SIDE_BUY
        cdef int64_t up = k.bounds.collar_bps if buy else k.bounds.passive_bps
        cdef int64_t down = k.bounds.passive_bps if buy else k.bounds.collar_bps
        cdef int64_t touch
        if ref == 0:
            ref = k.ref_px
            up = down = k.bounds.passive_bps
            touch = k.ref.ask_px if buy else k.ref.bid_px
            if touch <= 0 or not k.fresh:
                touch = ref
            if (px <= touch if buy else px >= touch) and self.fail(CODE_PRICE_COLLAR, touch, px):
                return True
        if <i128>px * 10000 > <i128>ref * (10000 + up):
            return self.fail(CODE_PRICE_COLLAR, px_widen(ref, up, False), px)
        return <i128>px * 10000 < <i128>ref * (10000 - down) and self.fail(CODE_PRICE_COLLAR, px_widen(ref, -down, True), px)

    cdef bint slipping(self, look_t* k, int64_t ask) noexcept nogil:
        # Signed: what an order that trades at once is expected to pay over the reference; a favourable price never counts.
        # Absolute: the distance of a limit from the reference, on either side.
        cdef const order_t* o = k.order
        cdef bint buy = o.side == SIDE_BUY
        cdef int64_t px = o.limit_px
        cdef i128 worse
        if not self.rules.slippage_absolute or o.type == ORDER_MARKET:
            if o.type == ORDER_LIMIT and not (px >= ask if buy else px <= k.ref.bid_px):
                return False
            if k.ref.quote_ts == 0:
                return False                                 # a feed without quotes shows no book to judge by
            px = self.expected(k)
        worse = <i128>px - k.ref_px if buy else <i128>k.ref_px - px
        if self.rules.slippage_absolute:
            worse = i128_abs(worse)
        return worse * 10000 > <i128>k.ref_px * self.rules.max_slippage_bps and \
            self.fail(CODE_SLIPPAGE, self.rules.max_slippage_bps, (worse * 10000 + k.ref_px - 1) / k.ref_px)

    cdef int64_t expected(self, look_t* k) noexcept nogil:
        """The order's average price over the visible book, rounded against it; what is beyond pays the limit or the collar."""
        cdef const order_t* o = k.order
        cdef bint buy = o.side == SIDE_BUY
        cdef int64_t last = k.ref.ask_px if buy else k.ref.bid_px, left = k.n, take = k.ref.ask_qty if buy else k.ref.bid_qty
        cdef i128 paid = 0
        cdef cursor_t cursor
        cdef level_t level
        if last > 0 and take >= left:
            return last
        if k.tape.book != NULL and k.tape.book.depth and not k.tape.book.gap and not k.tape.book.loading:
            book_open(k.tape.book, SIDE_SELL if buy else SIDE_BUY, &cursor)
            while left > 0 and book_next(&cursor, &level):
                if o.type == ORDER_LIMIT and (level.px > o.limit_px if buy else level.px < o.limit_px):
                    break
                last = level.px
                take = left if level.qty > left else level.qty
                paid = paid + <i128>last * take
                left -= take
        elif last > 0 and take > 0:
            paid = <i128>last * take
            left -= take
        if left > 0:
            if o.type == ORDER_LIMIT:
                last = o.limit_px
            elif last <= 0 or not k.reducing:                # an exit is held to what can be seen
                last = px_widen(k.ref_px, k.bounds.collar_bps if buy else -k.bounds.collar_bps, buy)
            paid = paid + <i128>last * left
        return <int64_t>((paid + (k.n - 1 if buy else 0)) / k.n)

    cdef bint position(self, look_t* k) noexcept nogil:
        cdef i128 worst = i128_max(i128_abs(k.up), i128_abs(k.down))
        if not (money_of(k.worst_px, k.up, k.terms.scale, &k.long_) and money_of(k.worst_px, k.down, k.terms.scale, &k.short_)):
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

    cdef i128 cost_of(self, const order_t* o, int64_t n, int64_t px, i128 q, i128 buys, i128 sells) noexcept nogil:
        """Buying power that n of an order needs: what covers a short or sells a long needs none."""
        cdef i128 free = -q - buys if o.side == SIDE_BUY else q - sells, value = 0
        if not money_of(px, n - i128_min(n, i128_max(free, 0)), self.ledger.terms[o.instrument].scale, &value):
            self.ledger.broken = True
        return value

    cdef void contribute(self, uint32_t i) noexcept nogil:
        """Refresh what an instrument adds to the worst-case sums, at its last known price."""
        cdef tape_t* t = &self.tapes[i]
        cdef const position_t* a = &self.ledger.accounts[i] if i < self.ledger.instruments else &_NO_POSITION
        cdef const ref_t* ref = &self.refs[i] if i < self.refs.shape[0] else &_NO_REF
        cdef int64_t px = ref.ask_px if ref.ask_px > 0 else ref.last_px if ref.last_px > 0 else ref.bid_px
        cdef int64_t scale = self.ledger.terms[i].scale if i < self.ledger.instruments else 0
        cdef i128 up = a.qty + a.buys, down = a.qty - a.sells
        cdef i128 gross = 0, long_ = 0, short_ = 0
        if px <= 0:
            px = 0
        if px == t.px and up == t.up and down == t.down and scale == t.scale:    # nothing changed: nearly always, where orders follow each other
            return
        if not (money_of(px, up, scale, &long_) and money_of(px, down, scale, &short_)):
            self.ledger.broken = True
        gross = i128_max(i128_abs(long_), i128_abs(short_))
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

    cdef bint portfolio(self, look_t* k) noexcept nogil:
        cdef i128 gross, up, down, value, before = 0
        cdef const position_t* a = k.account
        cdef rules_t* rules = &self.rules
        self.contribute(k.order.instrument)
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
        value = a.buys if k.order.side == SIDE_BUY else a.sells
        if k.replaced != NULL:
            value = value - counted(k.replaced)
        k.cost = self.cost_of(k.order, k.n, k.worst_px, a.qty, value, value)
        before = k.replaced.cost if k.replaced != NULL else 0
        value = self.ledger.held + self.ledger.spent + k.cost - before
        if k.cost > before and value > self.buying_power:
            return self.fail(CODE_BUYING_POWER, i128_max(self.buying_power, 0), value)
        return False

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
        if k.activity == NULL:
            return waiting >= rules.repeat_max and self.fail(CODE_REPEAT_EXEC, rules.repeat_max, waiting + 1)
        if (ring_full(&k.activity.sends[side], rules.repeat_max, waiting, rules.repeat_window, k.now) or
                ring_full(&k.activity.execs[side], rules.repeat_max, 0, rules.repeat_window, k.now)) and \
                self.fail(CODE_REPEAT_EXEC, rules.repeat_max, rules.repeat_max + 1):
            return True
        return not k.own_reducing and ring_full(&k.activity.trips, rules.round_trips, 0, rules.repeat_window, k.now) and \
            self.fail(CODE_REPEAT_EXEC, rules.round_trips, rules.round_trips + 1)

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
        if ring_full(&k.tape.sends, rules.rate_max, symbol, rules.rate_window, k.now) and \
                self.fail(CODE_ORDER_RATE, rules.rate_max, rules.rate_max + 1):
            return True
        if not k.reducing and ring_back(&k.tape.cancels, rules.cancel_ratio + 1) > k.now - rules.cancel_window:
            cancels = ring_count(&k.tape.cancels, rules.cancel_window, k.now)
            fills = ring_count(&k.tape.fills, rules.cancel_window, k.now)
            if cancels > rules.cancel_ratio * (fills if fills > 1 else 1):
                return self.fail(CODE_CANCEL_RATIO, rules.cancel_ratio * (fills if fills > 1 else 1), cancels)
        return False

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

    cdef int64_t fact_px(self, const order_t* o, int64_t ref_px) noexcept nogil:
        """The price for notional from the journaled fact alone, so that a replay finds the same."""
        cdef int64_t gap = self.rules.gap_bps if self.rules.gap_bps > 0 else 0
        cdef int64_t collar = self.bounds[o.instrument].collar_bps if o.instrument < self.instruments else 0
        if o.type == ORDER_MARKET:
            return px_widen(ref_px, collar if collar > 0 else 0, True)
        if o.type == ORDER_STOP:
            return px_widen(o.stop_px, gap, True)
        return o.limit_px if o.type == ORDER_STOP_LIMIT or o.limit_px > ref_px else ref_px

    cdef void confirm_order(self, const order_t* o, int64_t ref_px, int64_t at) noexcept nogil:
        cdef uint32_t slot = self.ledger.find(o.replaces if o.replaces else o.key), other
        cdef int64_t px = self.fact_px(o, ref_px), n
        cdef int64_t cross = o.limit_px if o.limit_px else INT64_MAX if o.side == SIDE_BUY else 0
        cdef reservation_t* r
        cdef const reservation_t* x
        cdef activity_t* activity
        cdef i128 open_ = 0, cost
        self.forget(o.key)
        if slot == 0:
            slot = self.ledger.put(o.key, o.strategy, o.instrument, o.side, o.qty, px, cross)
            if slot == 0:
                self.ledger.broken = True
                return
        r = &self.ledger.reservations[slot]
        other = self.ledger.first[o.instrument]
        while other:                                         # what facts alone say is open on this side
            x = &self.ledger.reservations[other]
            if other != slot and x.side == o.side and x.state & RESERVED_FIRM:
                open_ = open_ + x.leaves
            other = x.next
        if o.replaces and r.key != o.key:
            n = o.qty - r.filled if o.qty > r.filled else 0
            cost = self.cost_of(o, n if n > r.leaves else r.leaves, px, self.ledger.accounts[o.instrument].qty, open_, open_)
            r.pending_cross = cross
            self.ledger.price(slot, r.px, px)
            self.ledger.hold(slot, r.cost, i128_max(cost - r.cost, 0))
            self.ledger.shift(slot, r.leaves, n)
            r.state |= RESERVED_REPLACING
        else:
            self.ledger.price(slot, px, 0)
            self.ledger.hold(slot, self.cost_of(o, r.leaves, px, self.ledger.accounts[o.instrument].qty, open_, open_), 0)
            r.cross_px = cross
            r.state |= RESERVED_FIRM
        activity = self.activity(r.position)
        if activity == NULL or not self.grow(o.instrument):
            self.ledger.broken = True
            return
        ring_add(&activity.sends[0 if o.side == SIDE_BUY else 1], at)
        ring_add(&self.tapes[o.instrument].sends, at)
        self.strategy_throttle[o.strategy] = bucket_take(self.strategy_throttle[o.strategy], at, self.rules.strategy_interval)
        self.tapes[o.instrument].throttle = bucket_take(self.tapes[o.instrument].throttle, at, self.rules.symbol_interval)
        self.sent[self.sent_count % SENT].order = o[0]
        self.sent[self.sent_count % SENT].at = at
        self.sent_count += 1

    def check(self, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int kind, int64_t qty, int64_t limit_px=0,
              int64_t stop_px=0, *, int64_t now, int64_t mono, bint reduce_only=False, bint extended=False, uint64_t replaces=0,
              bint every=True):
        """Check and reserve an order: 0 = allowed and reserved, else the Code bits that failed (only the first unless `every`).

        now: venue ns, mono: monotonic ns. `replaces` is the key of the chain that the order changes; its reservation then grows
        to the larger of both until `settle`. `failures` holds the numbers until the next check.
        """
        cdef order_t order = order_t(key, replaces, qty, limit_px, stop_px, instrument, strategy, side, kind, reduce_only, extended)
        return self.check_order(&order, now, mono, every)

    @property
    def failures(self):
        """What the last check denied for, in the order of Code's bits."""
        out = []
        for i in range(CODES):
            if self.failed >> i & 1:
                code = Code(1 << i)
                unit = "money" if code == Code.POSITION_LIMIT and self.limit_in_money else UNITS.get(code, "count")
                out.append(Failure(code, _money(self.limits[i]), _money(self.observed[i]), unit))
        return out

    @property
    def ref_px(self):
        """The reference price that the last check saw; 0 = none."""
        return self.look.ref_px

    def confirm(self, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int kind, int64_t qty, int64_t limit_px=0,
                int64_t stop_px=0, *, int64_t ref_px, int64_t at, uint64_t replaces=0):
        """An order is a journaled fact: its approval becomes firm, or, in a replay, it is reserved now. Never refuses."""
        cdef order_t order = order_t(key, replaces, qty, limit_px, stop_px, instrument, strategy, side, kind, False, False)
        self.confirm_order(&order, ref_px, at)
        if instrument < self.instruments:
            self.contribute(instrument)

    def adopt(self, uint64_t key, uint32_t instrument, int side, int64_t leaves, int64_t px, int64_t cross_px, int64_t at):
        """Count an order at the venue that nobody here sent, in full; its strategy is 0 and the venue's figures know it."""
        cdef uint32_t slot = self.ledger.put(key, 0, instrument, side, leaves, px, cross_px)
        if slot and self.grow(instrument):
            self.ledger.reservations[slot].state = RESERVED_FIRM
            self.ledger.reservations[slot].seen_at = at
            self.contribute(instrument)
        return slot != 0

    def expire(self, uint64_t key, uint64_t replaces=0):
        """An approval that became no fact in time: take its reservation back. False where it had become one."""
        cdef uint32_t slot
        if not self.forget(key):
            return False
        slot = self.ledger.find(replaces if replaces else key)
        if replaces:
            self.ledger.settle_slot(slot, False)
        else:
            self.ledger.drop(slot)
        return True

    def fill(self, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int64_t px, int64_t qty, fee, int64_t at):
        """Book a fill (Ledger.fill) and remember it for the window controls. fee: 1e-18 money."""
        cdef uint32_t slot = self.ledger.find(key)
        cdef bint first = slot == 0 or self.ledger.reservations[slot].filled == 0
        cdef int64_t before = self.ledger.positions[self.ledger.position_slot(strategy, instrument, False)].qty, after
        cdef int told = self.ledger.fill_order(key, strategy, instrument, side, px, qty, _units(fee))
        cdef activity_t* activity
        if told & FILL_OVERFLOW or not self.grow(instrument):
            return told
        slot = self.ledger.position_slot(strategy, instrument, False)
        after = self.ledger.positions[slot].qty
        activity = self.activity(slot)
        if activity == NULL:
            raise MemoryError
        if first:                                            # partial fills of one order are one execution
            ring_add(&activity.execs[0 if side == SIDE_BUY else 1], at)
            ring_add(&self.tapes[instrument].fills, at)
        if (before > 0 and after <= 0) or (before < 0 and after >= 0):
            ring_add(&activity.trips, at)
        if at > self.ledger.filled_at:
            self.ledger.filled_at = at
        self.contribute(instrument)
        return told

    def seen(self, uint64_t key, int64_t at):
        """The venue acknowledged the order: its next account figure counts it."""
        cdef uint32_t slot = self.ledger.find(key)
        if slot and self.ledger.reservations[slot].seen_at == 0:
            self.ledger.reservations[slot].seen_at = at

    def unknown(self, uint64_t key, bint is_unknown):
        """The order's fate is open, or proved again; while any is open its instrument takes no entries."""
        cdef uint32_t slot = self.ledger.find(key)
        cdef reservation_t* r = &self.ledger.reservations[slot]
        if slot == 0 or bool(r.state & RESERVED_UNKNOWN) == is_unknown or not self.grow(r.account):
            return
        r.state ^= RESERVED_UNKNOWN
        self.tapes[r.account].unknown += 1 if is_unknown else -1

    def settle(self, uint64_t key, bint accepted):
        """The venue answered a replace of the chain: the new order stands, or the old one goes on."""
        return self.ledger.settle(key, accepted)

    def release(self, uint64_t key, *, int64_t canceled_at=0):
        """A final event: the order counts no more. canceled_at: venue ns where it was a cancel (R19 counts it)."""
        cdef uint32_t slot = self.ledger.find(key)
        cdef uint32_t instrument = self.ledger.reservations[slot].account
        if slot == 0:
            return False
        self.unknown(key, False)
        if canceled_at and self.grow(instrument):
            ring_add(&self.tapes[instrument].cancels, canceled_at)
        self.ledger.drop(slot)
        if self.grow(instrument):
            self.contribute(instrument)
        return True

    def cancel_sent(self, int64_t mono):
        """A cancel left: it is never denied, and takes from the account's bucket."""
        self.account_throttle = bucket_take(self.account_throttle, mono, max(self.rules.account_interval, 0))

    def latch(self, str scope, int level):
        """Set a latch. scope: "system", "account", "strategy:ID" or "instrument:ID". Raises ValueError for another scope or level."""
        kind, _, name = scope.partition(":")
        if not LEVEL_ACTIVE <= level <= LEVEL_KILLED or kind not in ("system", "account", "strategy", "instrument") or \
                bool(name) != (kind in ("strategy", "instrument")):
            raise ValueError(f"no latch {scope!r} at level {level}")
        if kind == "system":
            self.system_level = level
        elif kind == "account":
            self.account_level = level
        elif kind == "strategy":
            self.strategy_level[<uint16_t>int(name)] = level
        else:
            if not self.grow(int(name)):
                raise MemoryError
            self.tapes[<uint32_t>int(name)].level = level

    def level(self, str scope):
        """The level of one latch."""
        kind, _, name = scope.partition(":")
        if kind in ("system", "account"):
            return Level(self.system_level if kind == "system" else self.account_level)
        if kind == "strategy":
            return Level(self.strategy_level[<uint16_t>int(name)])
        return Level(self.tapes[<uint32_t>int(name)].level if int(name) < self.instruments else 0)

    def open(self, int how):
        """The start gate: 0 = nothing passes, 1 = exits only, 2 = open."""
        self.gate_open = how

    def account(self, buying_power, int64_t at):
        """The venue's buying power (1e-18 money) as of `at`: it knows the orders acknowledged, and the fills made, before that."""
        cdef reservation_t* r
        self.buying_power = _units(buying_power)
        if self.ledger.filled_at <= at:
            self.ledger.spent = 0
        for i in range(1, self.ledger.reservations_used):
            r = &self.ledger.reservations[i]
            if r.key and r.seen_at and r.seen_at <= at and not r.state & RESERVED_NETTED:
                self.ledger.held = self.ledger.held - r.cost
                r.state |= RESERVED_NETTED

    def mark(self):
        """Value everything at the refs as they are now; returns the P&L (realised + unrealised - fees) in 1e-18 money."""
        cdef i128 total = self.ledger.realised - self.ledger.fees, one = 0
        cdef position_t* a
        cdef ref_t ref
        cdef uint32_t i
        self.unmarked = 0
        for i in range(min(self.instruments, self.ledger.instruments)):
            if self.ledger.terms[i].scale:
                self.contribute(i)
                a = &self.ledger.accounts[i]
                ref = self.refs[i] if i < self.refs.shape[0] else _NO_REF
                if ref.last_px <= 0:
                    ref.last_px = self.tapes[i].mark_px      # a side that is empty now was not always
                if self.ledger.marked(a, &ref, &one):
                    total = total + one
                    self.tapes[i].mark_px = ref.bid_px if a.qty > 0 else ref.ask_px
                    if self.tapes[i].mark_px <= 0:
                        self.tapes[i].mark_px = ref.last_px
                else:
                    self.unmarked += 1
        self.pnl = total
        if self.unmarked == 0:                               # what is not valued makes no peak
            self.peak = i128_max(self.peak, total)
        return _money(total)

    def begin_day(self, baseline, peak=None):
        """The P&L (1e-18 money) from which the day's loss counts, and the highest since, from which the drawdown does."""
        self.baseline = _units(baseline)
        self.peak = self.baseline if peak is None else _units(peak)

    @property
    def peak_pnl(self):
        """The day's highest P&L at a mark, 1e-18 money."""
        return _money(self.peak)

    @property
    def day_pnl(self):
        """P&L since the day began, as of the last mark, 1e-18 money."""
        return _money(self.pnl - self.baseline)

    @property
    def drawdown(self):
        """Below the day's highest P&L, as of the last mark, 1e-18 money, >= 0."""
        return _money(self.peak - self.pnl)

    def session(self, uint32_t instrument, int64_t opens, int64_t closes, *, pre_open=None, post_close=None):
        """When the instrument trades, venue ns; 0, 0 = always. Until it is told once, the market is closed.

        pre_open and post_close bound the hours of limit orders that are `extended`.
        """
        if not self.grow(instrument):
            raise MemoryError
        self.tapes[instrument].open = opens
        self.tapes[instrument].close = closes
        self.tapes[instrument].pre_open = opens if pre_open is None else pre_open
        self.tapes[instrument].post_close = closes if post_close is None else post_close
        self.tapes[instrument].scheduled = True

    def no_session(self, uint32_t instrument):
        """Nobody knows when the instrument trades: its market is closed."""
        if instrument < self.instruments:
            self.tapes[instrument].scheduled = False

    def watch(self, uint32_t instrument, OrderBook book not None):
        """The live book that SLIPPAGE walks; without it the touch alone is visible."""
        if not self.grow(instrument):
            raise MemoryError
        self.books.append(book)
        self.tapes[instrument].book = book.book

    def bands(self, uint32_t instrument, int64_t lower_px, int64_t upper_px):
        """The limit-up and limit-down prices in force; 0, 0 = none told."""
        if not self.grow(instrument):
            raise MemoryError
        self.tapes[instrument].lower_px = lower_px
        self.tapes[instrument].upper_px = upper_px

    def set_rules(self, rules):
        """The account's limits by name (fields of rules_t; money in 1e-18); None, or a name left out, is missing and denies."""
        cdef int64_t* field = <int64_t*>&self.rules          # RULES names its 64-bit fields in their order
        values = {name: MISSING if rules.get(name) is None else rules[name] for name in RULES}
        for i, name in enumerate(RULES[:len(RULES) - 5]):
            field[i] = values[name]
        self.rules.open_value = _units(values["open_value"])
        self.rules.gross = _units(values["gross"])
        self.rules.net = _units(values["net"])
        self.rules.daily_loss = _units(values["daily_loss"])
        self.rules.drawdown = _units(values["drawdown"])
        self.rules_complete = MISSING not in values.values()

    def set_bounds(self, uint32_t instrument, bounds):
        """An instrument's limits by name (fields of bounds_t; money in 1e-18); None, or a name left out, is missing and denies.

        restricted: 0 = free, 1 = only exits pass, 2 = nothing does.
        """
        cdef bounds_t* b
        if not self.grow(instrument):
            raise MemoryError
        b = &self.bounds[instrument]
        values = {name: MISSING if bounds.get(name) is None else bounds[name] for name in BOUNDS}
        b.notional = _units(values["notional"])
        b.position_notional = _units(values["position_notional"])
        b.qty = values["qty"]
        b.position_qty = values["position_qty"]
        b.strategy_qty = values["strategy_qty"]
        b.collar_bps = values["collar_bps"]
        b.passive_bps = values["passive_bps"]
        b.restricted = bounds.get("restricted", 0)
        b.complete = MISSING not in values.values()

    def state(self):
        """All durable state as bytes that depend on the facts only: the input of the state hash. The ledger's is part of it."""
        cdef activity_t* a
        cdef tape_t* t
        rows = []
        for i in range(1, min(self.ledger.positions_used, self.activities_room)):
            a = &self.activities[i]
            if a.sends[0].n or a.sends[1].n or a.execs[0].n or a.execs[1].n or a.trips.n:
                rows.append((self.ledger.positions[i].strategy, self.ledger.positions[i].instrument, _times(&a.sends[0]),
                             _times(&a.sends[1]), _times(&a.execs[0]), _times(&a.execs[1]), _times(&a.trips)))
        tapes = []
        for i in range(self.instruments):
            t = &self.tapes[i]
            if t.sends.n or t.cancels.n or t.fills.n or t.throttle or t.unknown or t.level:
                tapes.append((i, _times(&t.sends), _times(&t.cancels), _times(&t.fills), t.throttle, t.unknown, t.level))
        strategies = [(i, self.strategy_throttle[i], self.strategy_level[i]) for i in range(1 << 16)
                      if self.strategy_throttle[i] or self.strategy_level[i]]
        sent = [(self.sent[i % SENT].order.key, self.sent[i % SENT].at)
                for i in range(self.sent_count - SENT if self.sent_count > SENT else 0, self.sent_count)]
        return repr((sorted(rows), tapes, strategies, sent, self.system_level, self.account_level, self.gate_open,
                     _money(self.buying_power), _money(self.baseline))).encode() + self.ledger.state()
