"""What the controls find for an order, whether it passes or not: for people who ask why, never on the way of an order."""
from libc.stdint cimport INT64_MIN, int64_t, uint16_t, uint32_t, uint64_t

from pyrt._core.codes cimport (
    CODE_BUYING_POWER, CODE_CANCEL_RATIO, CODE_DAILY_LOSS, CODE_DRAWDOWN, CODE_GROSS_EXPOSURE, CODE_NET_EXPOSURE,
    CODE_OPEN_ORDER_COUNT, CODE_OPEN_ORDER_VALUE, CODE_ORDER_NOTIONAL, CODE_ORDER_QTY, CODE_ORDER_RATE, CODE_POSITION_LIMIT,
    CODE_PRICE_COLLAR, CODE_PRICE_DRIFT, CODE_REPEAT_EXEC, CODE_SLIPPAGE, CODE_STALE_DATA,
)
from pyrt._core.controls cimport Controls
from pyrt._core.ledger cimport i128_hi, i128_lo
from pyrt._core.prices cimport OFF, bounds_t, order_t, rules_t, tape_t
from pyrt._core.types cimport SIDE_BUY, i128, i128_to_object
from pyrt._core.windows cimport activity_t, ring_count

from pyrt._core.codes import UNITS, Code, Failure


cdef extern from *:
    int __builtin_ctzll(unsigned long long x) nogil


cdef int64_t TIGHT = -1                # below whatever a control may find
cdef int64_t FAR = -(<int64_t>1 << 40)                       # the same in hundredths of a percent
cdef i128 OPEN = -(<i128>1 << 100)                           # a loss that is always reached


cdef object _money(i128 x):
    return i128_to_object(i128_lo(x), i128_hi(x))


cdef class _Probe:
    """One order under one limit at a time that cannot hold."""
    cdef Controls controls
    cdef order_t order
    cdef int64_t now, mono
    cdef list found

    cdef int look(self, str name, uint64_t code, object limit, str unit) except -1:
        cdef int bit = __builtin_ctzll(code)
        if self.controls.check_order(&self.order, self.now, self.mono, True) & code:
            self.tell(name, code, limit, _money(self.controls.observed[bit]), unit)
        return 0

    cdef int tell(self, str name, uint64_t code, object limit, object observed, str unit) except -1:
        self.found.append((name, Failure(Code(code), limit, observed, unit or UNITS.get(Code(code), "count"))))
        return 0

    cdef int narrow(self, str name, uint64_t code, int64_t* field, int64_t to, str unit="") except -1:
        cdef int64_t kept = field[0]
        field[0] = to
        try:
            return self.look(name, code, kept, unit)
        finally:
            field[0] = kept

    cdef int narrow_money(self, str name, uint64_t code, i128* field, i128 to, bint loss=False) except -1:
        cdef i128 kept = field[0]
        field[0] = to
        try:
            return self.look(name, code, -_money(kept) if loss else _money(kept), "money")
        finally:
            field[0] = kept


def measure(Controls controls not None, uint64_t key, uint16_t strategy, uint32_t instrument, int side, int kind, int64_t qty,
            int64_t limit_px=0, int64_t stop_px=0, *, int64_t now, int64_t mono, int64_t trail=0, bint reduce_only=False,
            bint extended=False, bint auction=False, uint64_t replaces=0):
    """What each numeric control finds for an order: (name of the limit, Failure) in the order of the specification.

    Arguments as for Controls.check; nothing is reserved, and `failures` afterwards means nothing. A control that does not look at
    this order, because it only reduces or has no price to go by, is left out. Limits that are not set are -1.
    """
    cdef _Probe probe = _Probe()
    cdef bounds_t* bounds
    cdef rules_t* rules = &controls.rules
    cdef tape_t* tape
    cdef activity_t* activity
    cdef uint32_t slot = controls.ledger.position_slot(strategy, instrument, False), j
    cdef int64_t waiting = 0, symbol = 0, fills
    if instrument >= controls.instruments:
        return []
    bounds = &controls.bounds[instrument]
    tape = &controls.tapes[instrument]
    probe.controls = controls
    probe.order = order_t(key, replaces, qty, limit_px, stop_px, trail, instrument, strategy, side, kind, reduce_only, extended, auction)
    probe.now = now
    probe.mono = mono
    probe.found = []
    controls.measuring = True
    try:
        probe.narrow("max_order_qty", CODE_ORDER_QTY, &bounds.qty, TIGHT)
        if bounds.adv_qty < <int64_t>OFF:
            probe.narrow("max_adv_pct", CODE_ORDER_QTY, &bounds.adv_qty, TIGHT)
        probe.narrow_money("max_order_notional", CODE_ORDER_NOTIONAL, &bounds.notional, TIGHT)
        ref_px = controls.look.ref_px
        if limit_px and ref_px > 0 and controls.look.order == &probe.order:
            worse = (limit_px - ref_px if side == SIDE_BUY else ref_px - limit_px) * 10_000
            probe.tell("collar_bps", CODE_PRICE_COLLAR, bounds.collar_bps, -(-worse // ref_px), "bps")
        probe.narrow("max_slippage_bps", CODE_SLIPPAGE, &rules.max_slippage_bps, FAR)
        probe.narrow("max_position_qty", CODE_POSITION_LIMIT, &bounds.position_qty, TIGHT, "qty")
        probe.narrow_money("max_position_notional", CODE_POSITION_LIMIT, &bounds.position_notional, TIGHT)
        probe.narrow("max_strategy_qty", CODE_POSITION_LIMIT, &bounds.strategy_qty, TIGHT, "qty")
        probe.narrow_money("max_gross_exposure", CODE_GROSS_EXPOSURE, &rules.gross, TIGHT)
        probe.narrow_money("max_net_exposure", CODE_NET_EXPOSURE, &rules.net, TIGHT)
        probe.narrow_money("max_open_order_value", CODE_OPEN_ORDER_VALUE, &rules.open_value, TIGHT)
        probe.narrow("max_open_orders", CODE_OPEN_ORDER_COUNT, &rules.open_count, TIGHT)
        probe.narrow_money("buying power", CODE_BUYING_POWER, &controls.buying_power, TIGHT)
        probe.narrow("max_quote_age_ms", CODE_STALE_DATA, &rules.max_age, INT64_MIN)
        probe.narrow_money("max_daily_loss", CODE_DAILY_LOSS, &rules.daily_loss, OPEN, True)
        probe.narrow_money("max_drawdown", CODE_DRAWDOWN, &rules.drawdown, OPEN, True)
        if rules.filled_loss < <i128>OFF * OFF:
            probe.narrow_money("max_daily_loss_if_filled", CODE_DAILY_LOSS, &rules.filled_loss, OPEN, True)
        if rules.days_drawdown < <i128>OFF * OFF:
            probe.narrow_money("max_days_drawdown", CODE_DRAWDOWN, &rules.days_drawdown, OPEN, True)
        if rules.drift_bps < <int64_t>OFF:
            probe.narrow("max_drift_bps", CODE_PRICE_DRIFT, &rules.drift_bps, FAR)
    finally:
        controls.measuring = False
        controls.failed = 0
    for j in range(controls.waiting_count):
        waiting += controls.waiting[j].order.strategy == strategy and controls.waiting[j].order.instrument == instrument and \
            controls.waiting[j].order.side == side
        symbol += controls.waiting[j].order.instrument == instrument
    if 0 < slot < controls.activities_room:
        activity = &controls.activities[slot]
        waiting += ring_count(&activity.sends[0 if side == SIDE_BUY else 1], rules.repeat_window, now)
    looked = controls.look.order == &probe.order
    if not (looked and controls.look.own_reducing):
        probe.tell("repeat_max", CODE_REPEAT_EXEC, rules.repeat_max, waiting + 1, "count")
    if not (looked and controls.look.reducing):
        symbol += ring_count(&tape.sends, rules.rate_window, now)
        probe.tell("symbol_order_rate_max", CODE_ORDER_RATE, rules.rate_max, symbol + 1, "count")
    fills = ring_count(&tape.fills, rules.cancel_window, now)
    probe.tell("cancels_per_fill", CODE_CANCEL_RATIO, rules.cancel_ratio * (fills if fills > 1 else 1),
               ring_count(&tape.cancels, rules.cancel_window, now), "count")
    return probe.found
