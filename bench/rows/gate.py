"""The pre-trade gate: every control of the shipped profile, limit orders of one strategy in eight instruments."""

import ctypes
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench import material
from bench.limits import limit
from bench.material import CENT, QTY, SUB_TICK, T0
from bench.rows import Contender, Row, Run, Took, peer
from pyrt._core.codes import Code
from pyrt._core.controls import order_dtype
from pyrt._core.pipeline import Pipeline
from pyrt._core.risk import BOUNDS, RULES
from pyrt._core.types import Side
from pyrt.model import Instrument, Instruments, OrderType
from pyrt.risk import Limits, RiskManager

N, SLOW, INSTRUMENTS, BATCH, BATCHES = 8_000, 500, 8, 48, 50
MS = 1_000_000
MONEY = 10**30  # buying power
PX = 19_000 * CENT
WIDE: dict[str, Any] = {
    "max_position_qty": "1e7",
    "max_strategy_qty": "1e7",
    "max_open_orders": 10**6,
    "account_orders_per_minute": 10**6,
    "strategy_orders_per_minute": 10**6,
    "symbol_orders_per_minute": 10**6,
    "repeat_window_ms": 1,
    "symbol_order_rate_window_ms": 1,
    "cancel_window_ms": 1,
    "duplicate_window_ms": 1,
    "max_quote_age_ms": 10**9,
}
WIDE |= dict.fromkeys(("max_position_notional", "max_gross_exposure", "max_net_exposure", "max_open_order_value"), "1e9")


def rows() -> Iterator[Row]:
    bad, good = refused(), allowed()
    for name, every, most in (("first", False, 50), ("all", True, 150)):
        what = "the first control that fails" if name == "first" else "every control that fails"
        both = (in_bulk("Gate.check_all", bad, every), bare(bad, every))
        yield Row(f"gate.{name}", f"refuse an order: {what}, batch", "ns", N, both, most=most)
    yield Row(
        "gate.pass",
        f"check an order against all controls and reserve it, batches of {BATCH}",
        "ns",
        BATCH * BATCHES,
        (in_batches("Gate.check_all", good), bare_batches(good)),
        most=150,
    )
    yield Row(
        "gate.call",
        "the same, one Python call an order",
        "ns",
        BATCH * BATCHES,
        (by_call(good), bare_batches(good), peer("openpit", openpit, operations=SLOW)),
        most=250,
    )


def refused() -> Any:
    """Orders of which each fails a control or two, at every stage of the check."""
    rng = np.random.default_rng(5)
    orders = blank(N)
    orders["qty"] = rng.integers(1, 100, N) * QTY
    kind = rng.integers(0, 8, N)
    orders["qty"][kind == 0] = 6_000 * QTY  # too many
    orders["qty"][kind == 1] = 400 * QTY  # too much money
    orders["limit_px"][kind == 2] += 1_100 * CENT  # beyond the collar
    orders["limit_px"][kind == 3] += CENT // 2  # off the tick
    orders["side"][kind == 4] = Side.SELL  # nothing to sell
    orders["reduce_only"][kind == 5] = 1
    orders["limit_px"][kind == 6] += 300 * CENT  # pays too much over the reference for what it can see
    orders["qty"][kind == 6] = 90 * QTY
    orders["instrument"][kind == 7] = 60  # nobody defined it
    return orders


def allowed() -> Any:
    """Orders that pass, no two of a batch the same."""
    orders = blank(BATCH * BATCHES)
    orders["qty"] = (np.arange(len(orders)) % BATCH + 1) * QTY
    orders["limit_px"] -= CENT
    return orders


def blank(n: int) -> Any:
    orders = np.zeros(n, order_dtype)
    orders["key"] = (1 << 48) + 1 + np.arange(n)
    orders["strategy"], orders["side"], orders["type"] = 1, Side.BUY, OrderType.LIMIT
    orders["instrument"] = np.arange(n) % INSTRUMENTS + 1
    orders["limit_px"] = PX
    return orders


def limits() -> Limits:
    return Limits.of(WIDE, base=Limits.profile("paper"))


def stage(instruments: int) -> Pipeline:
    """One fresh quote of each instrument, its bid at PX."""
    made = Pipeline(grace=0)
    for i in range(1, instruments + 1):
        made.add(i, SUB_TICK)
    made.run(material.quotes(instruments, instruments).view(np.uint8), 0)
    for name, value in (("bid_px", PX), ("ask_px", PX + CENT), ("bid_qty", 50 * QTY), ("ask_qty", 50 * QTY), ("quote_ts", T0)):
        made.refs[name][1 : instruments + 1] = value
    return made


def desk(instruments: int = 1) -> RiskManager:
    """A risk manager with every control of the profile `paper` in force and none of them narrow, and one fresh quote of each."""
    known = Instruments()
    for i in range(1, instruments + 1):
        known.add(Instrument(id=i, symbol=material.symbol(i)))
    risk = RiskManager(known, stage(instruments).refs, limits=limits())
    for i in range(1, instruments + 1):
        risk.ledger.define(i)
        risk._define(known[i])
        risk.gate.session(i, 0, 2**63 - 1)
    risk.gate.open(2)
    risk.gate.account(MONEY, T0)
    return risk


def state(risk: RiskManager) -> tuple[int, int, int]:
    return risk.ledger.open_value, risk.ledger.committed, risk.ledger.open_orders


def in_bulk(name: str, orders: Any, every: bool) -> Contender:
    risk, now = desk(INSTRUMENTS), T0 + MS

    def run() -> Any:
        return risk.gate.check_all(orders, now=now, mono=now, every=every), *state(risk)

    return Contender(name, "ours", run)


def in_batches(name: str, orders: Any) -> Contender:
    """Only the checks are timed: approvals of which nothing became are taken back between the batches."""
    gate = desk(INSTRUMENTS).gate
    parts = [orders[i : i + BATCH] for i in range(0, len(orders), BATCH)]
    keys = orders["key"].reshape(-1, BATCH).tolist()

    def run() -> Took:
        ns, codes = 0, []
        for part, expired in zip(parts, keys, strict=True):
            begun = time.perf_counter_ns()
            codes.append(gate.check_all(part, now=T0, mono=T0))
            ns += time.perf_counter_ns() - begun
            for key in expired:
                gate.expire(key)
        return Took(ns / 1e9, np.concatenate(codes))

    return Contender(name, "ours", run, clock="own")


def by_call(orders: Any) -> Contender:
    gate, now = desk(INSTRUMENTS).gate, T0
    fields = ("key", "strategy", "instrument", "side", "type", "qty", "limit_px")
    calls = [part[list(fields)].tolist() for part in orders.reshape(-1, BATCH)]

    def run() -> Took:
        ns, codes, check = 0, [], gate.check
        for part in calls:
            begun = time.perf_counter_ns()
            for key, strategy, instrument, side, kind, qty, px in part:
                codes.append(check(key, strategy, instrument, side, kind, qty, px, now=now, mono=now))
            ns += time.perf_counter_ns() - begun
            for call in part:
                gate.expire(call[0])
        return Took(ns / 1e9, np.array(codes, np.uint64))

    return Contender("Gate.check", "ours", run, clock="own")


def words(*values: int) -> list[int]:
    """128 bits each, as two signed words, the low one first."""
    return [word - (word >> 63 << 64) for value in values for word in (value & (1 << 64) - 1, value >> 64 & (1 << 64) - 1)]


class BareGate:
    """The C gate, told the same limits and quotes."""

    def __init__(self) -> None:
        self.c = c = limit("gate")
        c.gate_new.restype = ctypes.c_void_p
        rules = {name: value for name, value in limits().rules().items() if value is not None}
        plain, money = RULES[:-7], RULES[-7:]
        told = np.array([*(rules[name] for name in plain), *words(*(rules[name] for name in money))], np.int64)
        power = np.array(words(MONEY), np.int64)
        self.gate = ctypes.c_void_p(c.gate_new(told.ctypes, power.ctypes))
        refs = stage(INSTRUMENTS).refs
        for i in range(1, INSTRUMENTS + 1):
            bounds = limits().bounds(Instrument(id=i, symbol=material.symbol(i)))
            numbers = {name: value for name, value in bounds.items() if value is not None}
            of = [numbers[name] for name in BOUNDS[2:]] + [numbers[name] for name in ("share", "restricted", "shorts", "equity")]
            whole = np.array([*words(*(numbers[name] for name in BOUNDS[:2])), *of, CENT, SUB_TICK, 1_000_000_000, 1], np.int64)
            c.gate_define(self.gate, i, whole.ctypes, refs[i : i + 1].ctypes)

    def check(self, orders: Any, now: int, every: bool, codes: Any) -> None:
        self.c.gate_check(
            self.gate, orders.ctypes, ctypes.c_int64(len(orders)), ctypes.c_int64(now), ctypes.c_int64(now), every, codes.ctypes
        )

    def state(self) -> tuple[int, int, int]:
        out = np.empty(5, np.uint64)
        self.c.gate_state(self.gate, out.ctypes)
        value, value_hi, held, held_hi, orders = out.tolist()
        return value_hi << 64 | value, held_hi << 64 | held, orders


def bare(orders: Any, every: bool) -> Contender:
    gate, codes, now = BareGate(), np.empty(len(orders), np.uint64), T0 + MS

    def run() -> Any:
        gate.check(orders, now, every, codes)
        return codes.copy(), *gate.state()

    return Contender("C checks", "limit", run)


def bare_batches(orders: Any) -> Contender:
    gate, codes = BareGate(), np.empty(len(orders), np.uint64)
    gate.c.gate_batches.restype = ctypes.c_int64
    arguments = (gate.gate, orders.ctypes, ctypes.c_int64(len(orders)), ctypes.c_int64(BATCH), ctypes.c_int64(T0), codes.ctypes)

    def run() -> Took:
        ns = gate.c.gate_batches(*arguments)
        return Took(ns / 1e9, codes.copy())

    return Contender("C checks", "limit", run, clock="own")


def openpit() -> Run:
    """One policy of openpit, the size of an order; the reservation is rolled back outside of what is timed in ours, here inside."""
    import openpit as pit
    from openpit.param import AccountId, Price, Quantity, TradeAmount, Volume
    from openpit.param import Side as PitSide
    from openpit.pretrade import policies

    size = policies.OrderSizeLimit(max_quantity=Quantity("5000"), max_notional=Volume("25000"))
    policy = policies.build_order_size_limit().broker_barrier(policies.OrderSizeBrokerBarrier(limit=size))
    engine = pit.Engine.builder().no_sync().builtin(policy).build()
    operation = pit.OrderOperation(
        instrument=pit.Instrument("AAPL", "USD"),
        account_id=AccountId.from_int(1),
        side=PitSide.BUY,
        trade_amount=TradeAmount.quantity("10"),
        price=Price("190"),
    )
    order = pit.Order(operation=operation)

    def run() -> None:
        for _ in range(SLOW):
            engine.execute_pre_trade(order=order).reservation.rollback()

    return run


assert Code.ORDER_QTY == 1  # the C program numbers its codes by these bits
