"""What the controls look at, and those that judge prices: reference, collar, slippage, drift."""
from libc.stdint cimport INT64_MAX, int64_t, uint64_t

from pyrt._core.book cimport book_next, book_open, cursor_t, level_t
from pyrt._core.codes cimport (
    CODE_ARITHMETIC_OVERFLOW, CODE_LULD, CODE_ORDER_NOTIONAL, CODE_PRICE_COLLAR, CODE_PRICE_DRIFT, CODE_SLIPPAGE, CODE_STALE_DATA,
)
from pyrt._core.ledger cimport i128_abs, money_of, px_widen
from pyrt._core.types cimport FLAG_CROSSED, FLAG_GAP, SIDE_BUY, SIDE_SELL, i128
from pyrt._core.windows cimport moves_edge


cdef extern from *:
    int __builtin_ctzll(unsigned long long x) nogil


cdef inline bint is_young(int64_t age, int64_t most) noexcept nogil:
    # As far ahead of our clock as behind it: what is dated further ahead would else stay young until then.
    return age <= most and -age <= most


cdef class Prices:
    """The controls that judge an order's prices; Controls has the others."""

    cdef bint fail(self, uint64_t code, i128 limit, i128 observed) noexcept nogil:
        cdef int bit = __builtin_ctzll(code)
        if not self.failed & code:
            self.limits[bit] = limit
            self.observed[bit] = observed
        self.failed |= code
        return not self.every

    cdef void refer(self, look_t* k) noexcept nogil:
        # Mid of a quote that is young, two-sided, uncrossed and narrow; else the last trade; else stale, with the last good.
        cdef const ref_t* ref = k.ref
        cdef bint usable = not ref.flags & (FLAG_GAP | FLAG_CROSSED)
        cdef bint quoted = ref.bid_px > 0 and ref.ask_px > ref.bid_px
        cdef int64_t mid = ref.bid_px + (ref.ask_px - ref.bid_px) / 2 if quoted else 0
        k.fresh = True
        if quoted and usable and ref.quote_ts > 0 and is_young(k.now - ref.quote_ts, self.rules.max_age) and \
                <i128>(ref.ask_px - ref.bid_px) * 10000 <= <i128>mid * self.rules.max_spread_bps:
            k.ref_px = mid
        elif not ref.flags & FLAG_GAP and ref.last_px > 0 and ref.last_ts > 0 and is_young(k.now - ref.last_ts, self.rules.max_trade_age):
            k.ref_px = ref.last_px
        else:
            k.fresh = False
            k.ref_px = ref.last_px if ref.last_px > 0 else mid if mid > 0 else last_good(k.tape)

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
        elif o.type == ORDER_TRAILING_STOP:
            if self.trailing(k, ref):
                return True
        else:
            k.worst_px = o.limit_px if limited else px_widen(o.stop_px, self.rules.gap_bps, True)
            if self.collar(k, o.stop_px, 0) or (limited and self.collar(k, o.limit_px, o.stop_px)):
                return True
        if limited and k.tape.upper_px and (k.tape.close == 0 or k.tape.open <= k.now < k.tape.close) and \
                (o.limit_px > k.tape.upper_px if o.side == SIDE_BUY else o.limit_px < k.tape.lower_px) and \
                self.fail(CODE_LULD, k.tape.upper_px if o.side == SIDE_BUY else k.tape.lower_px, o.limit_px):
            return True
        if not k.reducing and k.tape.upper_px and (k.tape.close == 0 or k.tape.open <= k.now < k.tape.close):
            if k.ref.bid_px >= k.tape.upper_px and self.fail(CODE_LULD, k.tape.upper_px, k.ref.bid_px):
                return True                                  # limit state: a pause follows unless it is left in 15 s
            if 0 < k.ref.ask_px <= k.tape.lower_px and self.fail(CODE_LULD, k.tape.lower_px, k.ref.ask_px):
                return True
        if k.fresh and not stopped and o.type != ORDER_TRAILING_STOP and self.slipping(k, ask):
            return True
        if self.rules.drift_bps < <int64_t>OFF and k.fresh and not k.reducing and self.drifting(k):
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

    cdef bint trailing(self, look_t* k, int64_t ref) noexcept nogil:
        # Valued at the worse of where it stands now and the reference beyond the gap; its distance is held as a trigger's is.
        cdef int64_t off = trail_distance(k.order, ref)
        cdef int64_t stands = ref + off if k.order.side == SIDE_BUY else ref - off
        k.worst_px = px_widen(ref, self.rules.gap_bps, True)
        if stands > k.worst_px:
            k.worst_px = stands
        if off <= 0 or stands <= 0 or <i128>off * 10000 > <i128>ref * k.bounds.passive_bps:
            return self.fail(CODE_PRICE_COLLAR, px_widen(ref, k.bounds.passive_bps, False) - ref, off)
        return False

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

    cdef bint drifting(self, look_t* k) noexcept nogil:
        """Own executions of the last while, and the market has gone the way that they pushed it since."""
        cdef bint buy = k.order.side == SIDE_BUY
        cdef int64_t px = moves_edge(&k.tape.moves[0 if buy else 1], k.now - self.rules.drift_window, buy)
        cdef i128 moved = <i128>k.ref_px - px if buy else <i128>px - k.ref_px
        return px > 0 and moved * 10000 > <i128>px * self.rules.drift_bps and \
            self.fail(CODE_PRICE_DRIFT, self.rules.drift_bps, (moved * 10000 + px - 1) / px)
