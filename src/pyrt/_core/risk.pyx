"""The pre-trade gate: the controls, and the facts and settings that they go by."""
cimport cython
from cpython.buffer cimport PyBuffer_Release
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import numpy as np

from pyrt._core.book cimport OrderBook
from pyrt._core.buffers cimport open_records
from pyrt._core.codes cimport LEVEL_ACTIVE, LEVEL_KILLED
from pyrt._core.controls cimport SENT, SHORT_BPS
from pyrt._core.ledger cimport (
    FILL_OVERFLOW, RESERVED_FIRM, RESERVED_NETTED, RESERVED_REPLACING, RESERVED_UNKNOWN, counted, i128_hi, i128_lo, i128_max,
    i128_of, position_t, px_widen, reservation_t,
)
from pyrt._core.prices cimport (
    ORDER_MARKET, ORDER_STOP, ORDER_STOP_LIMIT, ORDER_TRAILING_STOP, bounds_t, last_good, order_t, rules_t, tape_t, trail_distance,
)
from pyrt._core.types cimport SIDE_BUY, i128, i128_to_object, ref_t
from pyrt._core.windows cimport MOVES, RING, activity_t, bucket_take, moves_add, moves_t, ring_add, ring_back, ring_t

from pyrt._core.codes import UNITS, Code, Failure, Level

MISSING = -1                                                 # a limit that nobody set: denies
RULES = ("max_age", "max_trade_age", "max_spread_bps", "haircut_bps", "gap_bps", "max_slippage_bps", "slippage_absolute",
         "duplicate_window", "repeat_max", "repeat_window", "round_trips", "account_interval", "account_burst", "strategy_interval",
         "strategy_burst", "symbol_interval", "symbol_burst", "rate_max", "rate_window", "cancel_ratio", "cancel_window", "open_count",
         "drift_bps", "drift_window", "open_value", "gross", "net", "daily_loss", "drawdown", "filled_loss", "days_drawdown")
BOUNDS = ("notional", "position_notional", "qty", "position_qty", "strategy_qty", "collar_bps", "passive_bps", "adv_qty")
OFF = 1 << 62                                                # a limit that is off: nothing exceeds it
OFF_MONEY = 1 << 124


cdef object _money(i128 x):
    return i128_to_object(i128_lo(x), i128_hi(x))


cdef i128 _units(value) except? -1:
    return i128_of(value >> 64, value & 0xffffffffffffffff)


cdef tuple _moves(const moves_t* moves):
    return tuple((moves.at[i % MOVES], moves.px[i % MOVES]) for i in range(moves.n - MOVES if moves.n > MOVES else 0, moves.n))


cdef tuple _times(const ring_t* ring):
    return tuple(ring_back(ring, k) for k in range(min(ring.n, RING), 0, -1))


@cython.final
cdef class Gate:
    """Checks an order against every control and reserves it in the same step. Fails closed: what is not set denies.

    `refs` is a ref_dtype array (row = instrument id) that the market stage writes; times are ns given by the caller.
    """

    cdef int64_t fact_px(self, const order_t* o, int64_t ref_px) noexcept nogil:
        """The price for notional from the journaled fact alone, so that a replay finds the same."""
        cdef int64_t gap = self.rules.gap_bps if self.rules.gap_bps > 0 else 0
        cdef int64_t collar = self.bounds[o.instrument].collar_bps if o.instrument < self.instruments else 0, stands
        if o.type == ORDER_MARKET:
            return px_widen(ref_px, collar if collar > 0 else 0, True)
        if o.type == ORDER_STOP:
            return px_widen(o.stop_px, gap, True)
        if o.type == ORDER_TRAILING_STOP:
            stands = ref_px + trail_distance(o, ref_px) if o.side == SIDE_BUY else 0
            return max(stands, px_widen(ref_px, gap, True))
        return o.limit_px if o.type == ORDER_STOP_LIMIT or o.limit_px > ref_px else ref_px

    cdef void confirm_order(self, const order_t* o, int64_t ref_px, int64_t at) noexcept nogil:
        cdef uint32_t slot = self.ledger.find(o.replaces if o.replaces else o.key), other
        cdef int64_t px = self.fact_px(o, ref_px), n, held_px
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
        held_px = px_widen(ref_px, SHORT_BPS, True)          # what is sold short counts for more
        held_px = px if o.side == SIDE_BUY or px > held_px else held_px
        r = &self.ledger.reservations[slot]
        other = self.ledger.first[o.instrument]
        while other:                                         # what facts alone say is open on this side
            x = &self.ledger.reservations[other]
            if other != slot and x.side == o.side and x.state & RESERVED_FIRM:
                open_ = open_ + (counted(x) if x.state & RESERVED_REPLACING else x.leaves)
            other = x.next
        if o.replaces and r.key != o.key:
            n = o.qty - r.filled if o.qty > r.filled else 0
            held_px = r.px if r.px > held_px else held_px    # the worse of the two
            cost = self.cost_of(o, n if n > r.leaves else r.leaves, held_px, self.ledger.accounts[o.instrument].qty, open_, open_)
            r.pending_cross = cross
            self.ledger.price(slot, r.px, px)
            self.ledger.hold(slot, r.cost, i128_max(cost - r.cost, 0))
            self.ledger.shift(slot, r.leaves, n)
            r.state |= RESERVED_REPLACING
        else:
            self.ledger.price(slot, px, 0)
            self.ledger.hold(slot, self.cost_of(o, r.leaves, held_px, self.ledger.accounts[o.instrument].qty, open_, open_), 0)
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

    def confirm(self, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int kind, int64_t qty, int64_t limit_px=0,
                int64_t stop_px=0, *, int64_t ref_px, int64_t at, int64_t trail=0, uint64_t replaces=0):
        """An order is a journaled fact: its approval becomes firm, or, in a replay, it is reserved now. Never refuses."""
        cdef order_t order = order_t(key, replaces, qty, limit_px, stop_px, trail, instrument, strategy, side, kind, False, False, False)
        self.confirm_order(&order, ref_px, at)
        if instrument < self.instruments:
            self.contribute(instrument)

    def check_firm(self, orders, *, int64_t now, int64_t mono, bint every=True):
        """As `check_all`, and each that passes is confirmed before the next is looked at: for orders that go out as they are."""
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
                    if codes[i] == 0:
                        self.confirm_order(&order[i], self.look.ref_px, now)
                        self.contribute(order[i].instrument)
        finally:
            PyBuffer_Release(&view)
        return out

    def adopt(self, uint64_t key, uint32_t instrument, int side, int64_t leaves, int64_t px, int64_t cross_px, int64_t at):
        """Count an order at the venue that nobody here sent, in full; its strategy is 0 and the venue's figures know it."""
        cdef uint32_t slot = self.ledger.put(key, 0, instrument, side, leaves, px, cross_px)
        if slot and self.grow(instrument):
            self.ledger.reservations[slot].state = RESERVED_FIRM
            self.ledger.reservations[slot].seen_at = at
            self.contribute(instrument)
        return slot != 0

    def attach(self, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int64_t at):
        """Count an order of a group in the number of open orders; its leaves are counted once `resize` says so. True = it is new."""
        cdef uint32_t slot = self.ledger.put(key, strategy, instrument, side, 0, 0, 0)
        if slot:
            self.ledger.reservations[slot].state = RESERVED_FIRM
            self.ledger.reservations[slot].seen_at = at
        return slot != 0

    def resize(self, uint64_t key, int64_t leaves, int64_t limit_px, int64_t stop_px, int64_t cross_px):
        """Set the leaves and the prices of an order that nobody asked for anew: the worse of a limit and of a stop beyond the gap."""
        cdef int64_t gap = self.rules.gap_bps if self.rules.gap_bps > 0 else 0
        cdef int64_t px = max(limit_px, px_widen(stop_px, gap, True) if stop_px > 0 else 0)
        cdef uint32_t slot = self.ledger.find(key)
        cdef reservation_t* r = &self.ledger.reservations[slot]
        if slot == 0:
            return False
        self.ledger.price(slot, px, r.pending_px)
        self.ledger.shift(slot, leaves, r.pending)
        r.cross_px = cross_px
        self.contribute(r.account)
        return True

    def expire(self, uint64_t key, uint64_t replaces=0):
        """An approval that became no fact in time: take its reservation back. False where it had become one."""
        cdef uint32_t slot, instrument
        if not self.forget(key):
            return False
        slot = self.ledger.find(replaces if replaces else key)
        instrument = self.ledger.reservations[slot].account
        if replaces:
            self.ledger.settle_slot(slot, False)
        else:
            self.ledger.drop(slot)
        if instrument < self.instruments:
            self.contribute(instrument)
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
        moves_add(&self.tapes[instrument].moves[0 if side == SIDE_BUY else 1], at, px, self.rules.drift_window, side == SIDE_BUY)
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
        cdef uint32_t instrument = self.ledger.reservations[self.ledger.find(key)].account
        cdef bint known = self.ledger.settle(key, accepted)
        if instrument < self.instruments:
            self.contribute(instrument)
        return known

    def release(self, uint64_t key, *, int64_t canceled_at=0):
        """A final event: the order counts no more. canceled_at: venue ns where it was a cancel (R19 counts it)."""
        cdef uint32_t slot = self.ledger.find(key)
        cdef uint32_t instrument = self.ledger.reservations[slot].account
        if slot == 0:
            return False
        self.unknown(key, False)
        if canceled_at and self.grow(instrument) and not self.latched(self.ledger.reservations[slot].strategy, instrument):
            ring_add(&self.tapes[instrument].cancels, canceled_at)
        self.ledger.drop(slot)
        if self.grow(instrument):
            self.contribute(instrument)
        return True

    cdef bint latched(self, uint32_t strategy, uint32_t instrument) noexcept nogil:
        """A latch covers the order: its cancel is the kill's, which no ratio counts."""
        return self.system_level or self.account_level or self.strategy_level[strategy & 0xffff] or self.tapes[instrument].level

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

    def mark(self, int64_t now=0):
        """Value everything at the refs as they are now; returns the P&L (realised + unrealised - fees) in 1e-18 money.

        now: venue ns. With it, what is held on a quote and a trade that are both too old is valued at the worst of the touch, the
        last trade and, in the session, the band.
        """
        self.value(now)
        return _money(self.pnl)

    cdef void value(self, int64_t now) noexcept nogil:
        cdef i128 total = self.ledger.realised - self.ledger.fees, one = 0
        cdef position_t* a
        cdef ref_t ref
        cdef uint32_t i
        self.unmarked = 0
        for i in range(min(self.instruments, self.ledger.instruments)):
            if self.ledger.terms[i].scale:
                self.contribute(i)
                a = &self.ledger.accounts[i]
                if i < self.refs.shape[0]:
                    ref = self.refs[i]
                else:
                    memset(&ref, 0, sizeof(ref_t))
                if ref.last_px <= 0:
                    ref.last_px = last_good(&self.tapes[i])  # a side that is empty now was not always
                if now > 0 and a.qty and now - ref.quote_ts > self.rules.max_age and now - ref.last_ts > self.rules.max_trade_age:
                    self.stale(&self.tapes[i], &ref, a.qty > 0, now)
                if self.ledger.marked(a, &ref, &one):
                    total = total + one
                    if i < self.refs.shape[0] and (self.refs[i].bid_px > 0 or self.refs[i].ask_px > 0 or self.refs[i].last_px > 0):
                        self.tapes[i].mark_px = ref.bid_px if a.qty > 0 else ref.ask_px
                        if self.tapes[i].mark_px <= 0:
                            self.tapes[i].mark_px = ref.last_px
                else:
                    self.unmarked += 1
        self.pnl = total
        if self.unmarked == 0:                               # what is not valued makes no peak
            self.peak = i128_max(self.peak, total)
            self.days_peak = i128_max(self.days_peak, total)

    cdef void stale(self, tape_t* t, ref_t* ref, bint held, int64_t now) noexcept nogil:
        cdef int64_t px = ref.bid_px if held else ref.ask_px, band = t.lower_px if held else t.upper_px
        if px <= 0 or (0 < ref.last_px and (ref.last_px < px) == held):
            px = ref.last_px
        if band > 0 and (t.close == 0 or t.open <= now < t.close) and (band < px) == held:
            px = band
        ref.bid_px = ref.ask_px = px

    def begin_day(self, baseline, peak=None):
        """The P&L (1e-18 money) from which the day's loss counts, and the highest since, from which the drawdown does."""
        self.baseline = _units(baseline)
        self.peak = self.baseline if peak is None else _units(peak)
        if self.days_peak < self.peak:
            self.days_peak = self.peak

    def days(self, peak):
        """The highest P&L (1e-18 money) of the last days, from which the longer drawdown counts."""
        self.days_peak = _units(peak)

    @property
    def peak_pnl(self):
        """The day's highest P&L at a mark, 1e-18 money."""
        return _money(self.peak)

    @property
    def day_pnl(self):
        """P&L since the day began, as of the last mark, 1e-18 money."""
        return _money(self.pnl - self.baseline)

    @property
    def days_drawdown(self):
        """Below the highest P&L of the last days, as of the last mark, 1e-18 money, >= 0."""
        return _money(self.days_peak - self.pnl)

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

    def borrow(self, uint32_t instrument, int64_t until):
        """Until when the instrument counts as shortable and easy to borrow, venue ns; 0 = it does not."""
        if not self.grow(instrument):
            raise MemoryError
        self.tapes[instrument].short_until = until

    def ssr(self, uint32_t instrument, int64_t px, int64_t until):
        """The price at or below which Rule 201 restricts short sales, and until when it does anyway, venue ns.

        px 0: not known, so it is in force.
        """
        if not self.grow(instrument):
            raise MemoryError
        self.tapes[instrument].ssr_px = px
        self.tapes[instrument].ssr_until = until

    def broken(self, uint32_t instrument, bint is_broken):
        """The venue holds what no fill explains, or it agrees again; while it does not, the instrument takes no entries."""
        if not self.grow(instrument):
            raise MemoryError
        self.tapes[instrument].broken = is_broken

    def clock(self, int64_t off):
        """How far our clock is off the venue's, ns; until it is 0 again only reductions pass."""
        self.clock_off = off

    def value_at(self, uint32_t instrument, int64_t px):
        """What something is worth that no feed tells of, px units: from the venue's account, or a fill."""
        if px > 0 and self.grow(instrument):
            self.tapes[instrument].venue_px = px

    def priced_by(self, uint32_t instrument):
        """Where the price comes from that an instrument counts at: "feed", "venue" or "" = there is none, and "-" it does not count."""
        cdef const tape_t* t = &self.tapes[instrument]
        cdef ref_t ref
        cdef i128 value = 0
        if instrument >= self.instruments or instrument >= self.ledger.instruments or (t.up == 0 and t.down == 0):
            return "-"
        memset(&ref, 0, sizeof(ref_t))
        if instrument < self.refs.shape[0]:
            ref = self.refs[instrument]
        fed = ref.ask_px > 0 or ref.last_px > 0 or ref.bid_px > 0
        if ref.last_px <= 0:
            ref.last_px = last_good(t)
        if t.unpriced or not self.ledger.marked(&self.ledger.accounts[instrument], &ref, &value):
            return ""
        return "feed" if fed else "venue"

    def lists(self, int64_t until):
        """Until when the restricted lists are good, venue ns; after it only exits pass. 2^63 - 1 = there are none to wait for."""
        self.lists_until = until

    def halt_market(self, bint halted):
        """A circuit breaker stopped all shares, or they trade again."""
        self.market_halted = halted

    def set_rules(self, rules):
        """The account's limits by name (fields of rules_t; money in 1e-18); None, or a name left out, is missing and denies."""
        cdef int64_t* field = <int64_t*>&self.rules          # RULES names its 64-bit fields in their order
        values = {name: MISSING if rules.get(name) is None else rules[name] for name in RULES}
        for i, name in enumerate(RULES[:len(RULES) - 7]):
            field[i] = values[name]
        self.rules.open_value = _units(values["open_value"])
        self.rules.gross = _units(values["gross"])
        self.rules.net = _units(values["net"])
        self.rules.daily_loss = _units(values["daily_loss"])
        self.rules.drawdown = _units(values["drawdown"])
        self.rules.filled_loss = _units(values["filled_loss"])
        self.rules.days_drawdown = _units(values["days_drawdown"])
        self.rules_complete = MISSING not in values.values()

    def set_bounds(self, uint32_t instrument, bounds):
        """An instrument's limits by name (fields of bounds_t; money in 1e-18); None, or a name left out, is missing and denies.

        restricted: 0 = free, 1 = only exits pass, 2 = nothing does. share: qty units of a whole one; shorts: 1 = may be sold short;
        equity: 1 = stands still with all shares.
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
        b.adv_qty = values["adv_qty"]
        b.share = bounds.get("share", 1)
        b.shorts = bounds.get("shorts", 0)
        b.equity = bounds.get("equity", 0)
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
            if t.sends.n or t.cancels.n or t.fills.n or t.throttle or t.unknown or t.level or t.moves[0].n or t.moves[1].n:
                tapes.append((i, _times(&t.sends), _times(&t.cancels), _times(&t.fills), t.throttle, t.unknown, t.level,
                              _moves(&t.moves[0]), _moves(&t.moves[1])))
        strategies = [(i, self.strategy_throttle[i], self.strategy_level[i]) for i in range(1 << 16)
                      if self.strategy_throttle[i] or self.strategy_level[i]]
        sent = [(self.sent[i % SENT].order.key, self.sent[i % SENT].at)
                for i in range(self.sent_count - SENT if self.sent_count > SENT else 0, self.sent_count)]
        return repr((sorted(rows), tapes, strategies, sent, self.system_level, self.account_level, self.gate_open,
                     _money(self.buying_power), _money(self.baseline))).encode() + self.ledger.state()
